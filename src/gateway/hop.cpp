#include "gateway/hop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "net/listener.h"

namespace sio::gateway {

namespace {

constexpr std::string_view field_name = "Sio-Hop";
constexpr std::size_t share = 256U << 10U;  // bytes passed on for one connection in a turn
constexpr std::size_t chunk = 65536;
constexpr Millis linger_time = 2'000;
constexpr std::size_t least_slots = 1'024;

std::string hmac_hex(std::string_view key, std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
         text.size(), digest.data(), &size);
    return base::to_hex(digest.data(), size);
}

std::string hex_of(std::uint64_t number) {
    std::array<unsigned char, sizeof number> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(number >> (56 - 8 * i));
    return base::to_hex(bytes.data(), bytes.size());
}

/// The number whose 16 lower-case hexadecimal digits stand at the front.
std::optional<std::uint64_t> number_of(std::string_view text) {
    if (text.size() < 16) return std::nullopt;
    std::uint64_t number = 0;
    for (const char c : text.substr(0, 16)) {
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) return std::nullopt;
        number = number << 4U | static_cast<std::uint64_t>(is_digit ? c - '0' : c - 'a' + 10);
    }
    return number;
}

std::uint64_t random_number() {
    std::uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) std::abort();
    return number;
}

/// A connection under way to the endpoint, or none.
base::UniqueFd connect_to(const HopEndpoint& endpoint) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    const sockaddr* address = reinterpret_cast<const sockaddr*>(&v4);
    socklen_t size = sizeof v4;
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    if (inet_pton(AF_INET, endpoint.host.c_str(), &v4.sin_addr) != 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(endpoint.port);
        if (inet_pton(AF_INET6, endpoint.host.c_str(), &v6.sin6_addr) != 1) return {};
        address = reinterpret_cast<const sockaddr*>(&v6);
        size = sizeof v6;
    }
    base::UniqueFd fd(socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return {};
    const auto set = [&](int level, int option, int value) {
        setsockopt(fd.get(), level, option, &value, sizeof value);
    };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    // A host that vanished is noticed in a minute, though nothing is sent.
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
    if (connect(fd.get(), address, size) != 0 && errno != EINPROGRESS) return {};
    return fd;
}

}  // namespace

// --- the proof ------------------------------------------------------------------------------------------------------

std::optional<HopEndpoint> HopEndpoint::parse(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto port = base::parse_decimal(text.substr(colon + 1), 65535);
    if (!port) return std::nullopt;
    HopEndpoint endpoint{std::string(text.substr(0, colon)), static_cast<std::uint16_t>(*port)};
    unsigned char parsed[16];
    if (endpoint.host.size() > 2 && endpoint.host.front() == '[' && endpoint.host.back() == ']') {
        endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
        if (inet_pton(AF_INET6, endpoint.host.c_str(), parsed) == 1) return endpoint;
    } else if (inet_pton(AF_INET, endpoint.host.c_str(), parsed) == 1) {
        return endpoint;
    }
    return std::nullopt;
}

std::string HopEndpoint::to_string() const {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

Result<HopSecret> HopSecret::read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(Errc::config, "cannot read the hop secret in " + path);
    std::string text(max_bytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
    if (text.size() < min_bytes || text.size() > max_bytes) {
        return fail(Errc::config, "cannot use the hop secret in " + path + ": it has less than " +
                                      std::to_string(min_bytes) + " or more than " + std::to_string(max_bytes) +
                                      " bytes");
    }
    return HopSecret(std::move(text));
}

std::string HopSecret::sign(std::string_view method, std::string_view target, const net::Address& client,
                            Millis wall_clock, std::uint64_t number) const {
    const std::string address = client.to_string();
    const std::string time = std::to_string(wall_clock);
    std::string text;
    for (const std::string_view part : {method, target, std::string_view(address)}) text.append(part).append("\n");
    const std::string digits = hex_of(number);
    text.append(time).append("\n").append(digits);
    return "2 " + address + ' ' + time + ' ' + digits + ' ' + hmac_hex(secret_, text);
}

std::optional<HopSecret::Proof> HopSecret::verify(const proto::HttpHead& head, Millis wall_clock) const {
    std::optional<std::string_view> given;
    for (std::size_t i = 0; i < head.header_count; ++i) {
        if (!base::equal_ignoring_case(head.headers[i].name, field_name)) continue;
        if (given) return std::nullopt;
        given = head.headers[i].value;
    }
    if (!given || !given->starts_with("2 ")) return std::nullopt;
    const std::string_view rest = given->substr(2);
    const std::size_t blank = rest.find(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    const net::Address client = net::Address::from(rest.substr(0, blank));
    const std::string_view after = rest.substr(blank + 1);
    const auto time = base::parse_decimal(after.substr(0, after.find(' ')), INT64_MAX / 2);
    if (!time) return std::nullopt;
    const auto then = static_cast<Millis>(*time);
    if (then < wall_clock - max_skew || then > wall_clock + max_skew) return std::nullopt;
    const std::size_t second = after.find(' ');
    const auto number = second == std::string_view::npos ? std::nullopt : number_of(after.substr(second + 1));
    if (!number) return std::nullopt;
    // What it must be, in full: nothing that is spelled in another way is taken.
    const std::string want = sign(head.method, head.target, client, then, *number);
    if (want.size() != given->size() || CRYPTO_memcmp(want.data(), given->data(), want.size()) != 0) {
        return std::nullopt;
    }
    return Proof{client, then, *number};
}

// --- each proof once ------------------------------------------------------------------------------------------------

bool HopNumbers::Generation::has(std::uint64_t number) const noexcept {
    if (slots.empty()) return false;
    const std::size_t mask = slots.size() - 1;
    for (std::size_t at = number & mask; slots[at] != 0; at = (at + 1) & mask) {
        if (slots[at] == number) return true;
    }
    return false;
}

void HopNumbers::Generation::put(std::uint64_t number) noexcept {
    const std::size_t mask = slots.size() - 1;
    std::size_t at = number & mask;
    while (slots[at] != 0) at = (at + 1) & mask;
    slots[at] = number;
}

void HopNumbers::Generation::add(std::uint64_t number) {
    if (2 * (count + 1) > slots.size()) {
        const std::vector<std::uint64_t> before =
            std::exchange(slots, std::vector<std::uint64_t>(std::max(least_slots, 2 * slots.size())));
        for (const std::uint64_t one : before) {
            if (one != 0) put(one);
        }
    }
    put(number);
    ++count;
}

bool HopNumbers::take(std::uint64_t number, Millis time, Millis wall_clock) {
    // A proof is good from max_skew before its time to max_skew after it: in the generation after the next it is not.
    if (wall_clock - turned_at_ > 2 * HopSecret::max_skew || wall_clock < turned_at_ - 2 * HopSecret::max_skew ||
        fresh_.count >= max_each_) {
        turn(wall_clock);
    }
    number = std::max<std::uint64_t>(number, 1);  // 0 is a free place
    if (time < not_before_ || fresh_.has(number) || old_.has(number)) return false;
    fresh_.add(number);
    fresh_.newest = std::max(fresh_.newest, time);
    return true;
}

void HopNumbers::turn(Millis wall_clock) {
    if (old_.count > 0) not_before_ = std::max(not_before_, old_.newest + 1);
    old_ = std::exchange(fresh_, {});
    turned_at_ = wall_clock;
}

std::string with_hop_field(std::string_view head, std::string_view value) {
    std::string out;
    out.reserve(head.size() + field_name.size() + value.size() + 4);
    for (std::size_t at = 0; at < head.size();) {
        const std::size_t end = std::min(head.find("\r\n", at), head.size() - 2) + 2;
        const std::string_view line = head.substr(at, end - at);
        at = end;
        if (line == "\r\n") break;
        if (base::equal_ignoring_case(line.substr(0, line.find(':')), field_name)) continue;
        out += line;
    }
    out.append(field_name).append(": ").append(value).append("\r\n\r\n");
    return out;
}

// --- one connection that is passed on -------------------------------------------------------------------------------

/// The handler of the client's descriptor; the owner's has one inside.
class Hops::Splice final : public net::Handler {
public:
    Splice(Hops& hops, Handover handover, base::UniqueFd owner)
        : hops_(hops), handover_(std::move(handover)), upstream_(*this), deadline_(*this), again_(*this) {
        client_.fd = std::move(handover_.fd);
        owner_.fd = std::move(owner);
        hops_.engine_.hold(handover_.address);
        hops_.splices_.insert(this);
        hops_.loop_.timers().arm(deadline_, hops_.loop_.now() + connect_timeout);
    }

    ~Splice() override { leave(); }

    /// False when a descriptor cannot be watched.
    bool watch() { return hops_.loop_.watch(client_.fd.get(), *this) && hops_.loop_.watch(owner_.fd.get(), upstream_); }

    void on_ready(std::uint32_t events) override { on_side(client_, events); }

    /// Ends both connections; deletes itself after this turn.
    void end() {
        if (phase_ == Phase::over) return;
        leave();
        hops_.loop_.dispose(this);
    }

    /// The owner was not reached in time, or does not answer.
    void fail(std::string_view reason) {
        if (phase_ == Phase::over) return;
        if (client_.ended) {  // nobody waits for an answer any more
            end();
            return;
        }
        ++hops_.stats_.failures;
        log::info("gateway", "hop_failed", {{"reason", reason}, {"address", handover_.address.to_string()}});
        base::UniqueFd client = take_client();
        end();
        Engine::refuse(std::move(client));
    }

private:
    enum class Phase : std::uint8_t {
        connecting,
        waiting,  ///< for the first byte of the answer
        flowing,
        ending,  ///< the owner has said all; what is left of it goes to the client
        over
    };

    struct Side {
        base::UniqueFd fd;
        std::string out;        // for this side, not yet taken
        std::size_t sent = 0;   // of `out`
        bool readable = false;  // an edge came, and no read has found the end since
        bool writable = false;
        bool ended = false;  // it sends no more
        bool shut = false;   // we send no more

        [[nodiscard]] std::size_t pending() const noexcept { return out.size() - sent; }
    };

    struct Upstream final : net::Handler {
        explicit Upstream(Splice& s) : splice(s) {}
        void on_ready(std::uint32_t events) override { splice.on_side(splice.owner_, events); }
        Splice& splice;
    };
    struct Deadline final : base::Timer {
        explicit Deadline(Splice& s) : splice(s) {}
        void expire(Millis) override { splice.late(); }
        Splice& splice;
    };
    struct Again final : base::Timer {
        explicit Again(Splice& s) : splice(s) {}
        void expire(Millis) override { splice.pump(); }
        Splice& splice;
    };

    base::UniqueFd take_client() {
        hops_.loop_.unwatch(client_.fd.get(), *this);
        return std::move(client_.fd);
    }

    void leave() {
        if (phase_ == Phase::over) return;
        phase_ = Phase::over;
        deadline_.disarm();
        again_.disarm();
        if (client_.fd) hops_.loop_.unwatch(client_.fd.get(), *this);
        if (owner_.fd) hops_.loop_.unwatch(owner_.fd.get(), upstream_);
        client_.fd.reset();
        owner_.fd.reset();
        hops_.engine_.let_go(handover_.address);
        hops_.splices_.erase(this);
    }

    void late() {
        switch (phase_) {
            case Phase::connecting: fail("the owner cannot be reached in time"); return;
            case Phase::waiting: fail("the owner does not answer"); return;
            case Phase::flowing:
            case Phase::ending: end(); return;
            case Phase::over: return;
        }
    }

    void on_side(Side& side, std::uint32_t events) {
        if (phase_ == Phase::over) return;
        if ((events & EPOLLERR) != 0 && &side == &client_) {
            end();
            return;
        }
        if (&side == &owner_ && phase_ == Phase::connecting && !connected()) return;
        if ((events & EPOLLOUT) != 0) side.writable = true;
        if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) side.readable = true;
        pump();
    }

    /// The connect has ended. False when it failed, and this is over.
    bool connected() {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(owner_.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error == ECONNREFUSED) {  // the owner is gone, and its sessions with it: the client is told so here
            ++hops_.stats_.failures;
            Handover back{take_client(),  handover_.address, handover_.tag, std::move(handover_.bytes),
                          handover_.peer, handover_.kind};
            back.bytes.append(owner_.out);
            Engine& engine = hops_.engine_;
            end();
            engine.adopt(std::move(back.fd), back.peer, back.bytes, true, back.kind);
            return false;
        }
        if (error != 0) {
            fail(std::strerror(error));
            return false;
        }
        proto::HttpHead head;
        const std::string_view bytes = handover_.bytes;
        const std::string_view text = bytes.substr(0, proto::find_http_head(bytes));
        if (proto::parse_http_head(text, head)) {  // it was parsed once before
            fail("the request cannot be read");
            return false;
        }
        const std::string value =
            hops_.secret_->sign(head.method, head.target, handover_.address, hops_.loop_.wall_clock(), random_number());
        std::string first = with_hop_field(text, value);
        first += bytes.substr(text.size());
        first += owner_.out;
        owner_.out = std::move(first);
        handover_.bytes = std::string();
        ++hops_.stats_.out;
        phase_ = Phase::waiting;
        const EngineOptions& options = hops_.engine_.options();
        hops_.loop_.timers().arm(
            deadline_, hops_.loop_.now() + answer_grace + std::max(options.times.ping_interval, options.body_timeout));
        return true;
    }

    enum class Flow : std::uint8_t { blocked, moved, failed };

    /// A system call failed on this side: that is the end. Gives Flow::failed.
    Flow broken(const Side& side) {
        if (&side == &owner_ && phase_ == Phase::waiting) {
            fail("the connection to the owner broke");
        } else {
            end();
        }
        return Flow::failed;
    }

    // Reading may go on when what is kept for the other side is within bounds; an edge that came meanwhile is kept.
    Flow read_from(Side& from, Side& to, std::size_t& budget) {
        if (!from.readable || from.ended || to.pending() >= max_buffered) return Flow::blocked;
        auto& buffer = hops_.buffer_;
        buffer.resize(chunk);
        const std::size_t most = std::min({buffer.size(), budget, max_buffered - to.pending()});
        const ssize_t n = recv(from.fd.get(), buffer.data(), most, 0);
        if (n < 0) {
            if (errno == EINTR) return Flow::moved;
            if (errno != EAGAIN) return broken(from);
            from.readable = false;
            return Flow::blocked;
        }
        if (n == 0) {
            from.ended = true;
            return Flow::moved;
        }
        const auto length = static_cast<std::size_t>(n);
        budget -= length;
        if (&from == &owner_ && phase_ == Phase::waiting) {
            phase_ = Phase::flowing;
            deadline_.disarm();
        }
        if (to.shut || phase_ == Phase::ending) return Flow::moved;  // nobody wants it any more
        std::string_view rest(buffer.data(), length);
        if (to.writable && to.pending() == 0) {  // most go through without being kept
            const ssize_t taken = send(to.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
            if (taken < 0 && errno != EAGAIN && errno != EINTR) return broken(to);
            if (taken > 0) rest.remove_prefix(static_cast<std::size_t>(taken));
            if (taken < 0 && errno == EAGAIN) to.writable = false;
        }
        to.out.append(rest);
        return Flow::moved;
    }

    Flow write_to(Side& to) {
        if (to.pending() == 0 || !to.writable) return Flow::blocked;
        const ssize_t n = send(to.fd.get(), to.out.data() + to.sent, to.pending(), MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) return Flow::moved;
            if (errno != EAGAIN) return broken(to);
            to.writable = false;
            return Flow::blocked;
        }
        to.sent += static_cast<std::size_t>(n);
        if (to.pending() == 0) {
            to.out = std::string();
            to.sent = 0;
        } else if (to.sent >= chunk) {
            to.out.erase(0, to.sent);
            to.sent = 0;
        }
        return Flow::moved;
    }

    void pump() {
        if (phase_ == Phase::over) return;
        std::size_t budget = share;
        bool moved = true;
        bool wrote = false;
        while (moved && budget > 0) {
            moved = false;
            for (Side* to : {&client_, &owner_}) {
                Side& from = to == &client_ ? owner_ : client_;
                const Flow out = write_to(*to);
                const Flow in = out == Flow::failed ? out : read_from(from, *to, budget);
                if (in == Flow::failed) return;
                wrote |= out == Flow::moved;
                moved |= out == Flow::moved || in == Flow::moved;
                if (budget == 0) break;
            }
        }
        if (budget == 0) hops_.loop_.timers().arm(again_, hops_.loop_.now());
        finish(wrote);
    }

    // Passes ends on, and bounds how long anybody may take.
    void finish(bool wrote) {
        if (owner_.ended && phase_ == Phase::waiting) {
            fail("the owner ended without an answer");
            return;
        }
        if (phase_ == Phase::connecting) return;
        for (Side* to : {&client_, &owner_}) {
            const Side& from = to == &client_ ? owner_ : client_;
            if (!from.ended || to->pending() > 0 || to->shut) continue;
            to->shut = true;
            shutdown(to->fd.get(), SHUT_WR);
            wrote = true;
        }
        if (client_.ended && owner_.ended && client_.pending() == 0) {
            end();
            return;
        }
        if (owner_.ended) phase_ = Phase::ending;
        const bool stuck = client_.pending() > 0 || owner_.pending() > 0;
        const bool closing = client_.shut || owner_.shut;
        if (phase_ == Phase::waiting && !closing) return;  // its deadline stands
        if (!stuck && !closing) {
            deadline_.disarm();
        } else if (wrote || !deadline_.is_armed()) {
            const EngineOptions& options = hops_.engine_.options();
            const Millis patience =
                std::max(options.body_timeout, options.times.ping_interval + options.times.ping_timeout);
            hops_.loop_.timers().arm(deadline_, hops_.loop_.now() + (stuck ? patience : linger_time));
        }
    }

    Hops& hops_;
    Handover handover_;
    Side client_;
    Side owner_;
    Upstream upstream_;
    Deadline deadline_;
    Again again_;
    Phase phase_ = Phase::connecting;
};

// --- the hops -------------------------------------------------------------------------------------------------------

Hops::Hops(net::Loop& loop, Engine& engine) : loop_(loop), engine_(engine) {}

Hops::~Hops() {
    while (!splices_.empty()) delete *splices_.begin();
}

Result<void> Hops::start(const HopEndpoint& endpoint, HopSecret secret, const NodeDirectory& directory) {
    auto fd = net::listen_tcp(endpoint.host, endpoint.port);
    if (!fd) return tl::unexpected(fd.error());
    address_ = HopEndpoint{endpoint.host, net::local_port(fd->get())}.to_string();
    secret_ = std::move(secret);
    directory_ = &directory;
    if (auto listening = engine_.listen_to_hops(fd->release(), *this); !listening) return listening;
    engine_.add_forwarder(*this);
    log::info("gateway", "listening_to_hops", {{"address", address_}, {"tag", engine_.ids().tag().view()}});
    return {};
}

Forwarder::Reach Hops::reach(const Tag& tag) {
    const std::string address = directory_->hop_address(tag);
    // An entry of ours under a strange tag would be a loop of one.
    return address.empty() || address == address_ || !HopEndpoint::parse(address) ? Reach::unknown : Reach::open;
}

void Hops::take(Handover handover) {
    const auto endpoint = HopEndpoint::parse(directory_->hop_address(handover.tag));
    base::UniqueFd owner = endpoint ? connect_to(*endpoint) : base::UniqueFd();
    if (!owner) {
        ++stats_.failures;
        Engine::refuse(std::move(handover.fd));
        return;
    }
    auto splice = std::make_unique<Splice>(*this, std::move(handover), std::move(owner));
    if (splice->watch()) {
        (void)splice.release();  // ends itself
    } else {
        ++stats_.failures;
    }
}

std::optional<net::Address> Hops::admit(const proto::HttpHead& head) {
    const auto proof = secret_->verify(head, loop_.wall_clock());
    const bool is_first = proof && numbers_.take(proof->number, proof->time, loop_.wall_clock());
    ++(is_first ? stats_.in : stats_.refused);
    if (is_first) return proof->client;
    if (proof) ++stats_.replayed;
    log::warn("gateway", "hop_refused",
              {{"target", head.path},
               {"reason", proof ? "its proof was used before: somebody listens between the gateways and sends it again"
                                : "no valid proof: another secret, or clocks more than 30 s apart"}});
    return std::nullopt;
}

}  // namespace sio::gateway
