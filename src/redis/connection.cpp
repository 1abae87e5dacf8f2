#include "redis/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "redis/tls.h"

namespace sio::redis {

namespace {

constexpr std::size_t read_room = 32768;                            // bytes of room for one read, at least
constexpr std::size_t read_budget = std::size_t{1} << 20U;          // bytes read in one turn
constexpr std::size_t largest_idle_output = std::size_t{4} << 20U;  // a larger buffer goes when it is empty
constexpr Millis still_down_interval = 30'000;                      // between log lines while it stays down
constexpr std::size_t max_refusals_logged = 32;                     // different ones, until nothing is refused any more

bool is_subscription(std::string_view command) noexcept {
    constexpr std::string_view ending = "SUBSCRIBE";
    return command.size() >= ending.size() && command.size() <= ending.size() + 3 &&
           base::equal_ignoring_case(command.substr(command.size() - ending.size()), ending);
}

/// Answers to what greets that say nothing about whether Redis will serve us.
bool is_tolerable(const Reply& error) noexcept {
    return error.is_error("NOPERM") || error.is_error("MISCONF") || error.is_error("NOREPLICAS") ||
           error.text.find("unknown command") != std::string_view::npos ||
           error.text.find("nknown subcommand") != std::string_view::npos;
}

}  // namespace

Connection::Connection(net::Loop& loop, Endpoint endpoint, ConnectionOptions options, Owner& owner)
    : loop_(loop),
      endpoint_(std::move(endpoint)),
      options_(std::move(options)),
      owner_(owner),
      reader_(options_.max_reply_bytes),
      random_(reinterpret_cast<std::uintptr_t>(this)) {
    static_cast<void>(!::getrandom(&random_, sizeof random_, GRND_NONBLOCK));
    loop_.add_turn_end(*this);
}

Connection::~Connection() {
    close_socket();
    loop_.remove_turn_end(*this);
}

void Connection::start() {
    if (stage_ != Stage::stopped) return;
    stage_ = Stage::waiting;
    loop_.timers().arm(alarm_, loop_.now());
}

void Connection::stop() {
    stage_ = Stage::stopped;
    alarm_.disarm();
    close_socket();
    answer_open_with_null();
}

void Connection::reconnect(std::string_view why) {
    if (stage_ == Stage::stopped) return;
    if (stage_ == Stage::waiting) return loop_.timers().arm(alarm_, loop_.now());
    lose(std::string(why));
}

// --- Timers ---------------------------------------------------------------------------------------------------------

void Connection::on_alarm(Millis) {
    const std::string limit = std::to_string(options_.connect_timeout) + " ms";
    switch (stage_) {
        case Stage::stopped: return;
        case Stage::waiting: return attempt();
        case Stage::resolving: return lose("cannot resolve " + target_.host + ": no answer within " + limit);
        case Stage::connecting: return lose("cannot connect to " + place() + ": no answer within " + limit);
        case Stage::securing: return lose("cannot connect to " + place() + ": no TLS handshake within " + limit);
        case Stage::greeting: return lose("cannot log in to " + place() + ": no answer within " + limit);
        case Stage::up: return watch_silence();
    }
}

void Connection::on_resume(Millis) {
    const std::uint64_t epoch = epoch_;
    if (std::exchange(more_to_read_, false)) read(true);
    if (epoch == epoch_ && !trouble_.empty()) lose(std::exchange(trouble_, {}));
}

Millis Connection::silence_ends() const noexcept {
    const Open& first = open_[open_head_];
    // A ping is sent after an interval of silence, which counts.
    const Millis patience = first.ask == Ask::ping ? options_.silence - ping_interval() : options_.silence;
    return std::max(heard_at_, first.sent_at) + patience + first.patience;
}

void Connection::watch_silence() {
    // Not the time of the alarm: after an absence of ours the wheel goes through all that was due, one by one.
    const Millis now = loop_.now();
    if (pending() > 0 && now >= silence_ends()) {
        // What has come counts, and so does an absence of our own: an answer could not have been seen meanwhile.
        const bool we_were_away = now - alarm_.deadline() >= ping_interval() / 2;
        const std::uint64_t epoch = epoch_;
        read(true);
        if (epoch != epoch_) return;
        if (we_were_away) heard_at_ = now;
        if (pending() > 0 && now >= silence_ends()) {
            return lose("no answer from " + place() + " for " +
                        std::to_string(now - std::max(heard_at_, open_[open_head_].sent_at)) + " ms");
        }
    }
    if (pending() == 0) {
        const Millis due = heard_at_ + ping_interval();
        if (now < due) return loop_.timers().arm(alarm_, due);
        put(Ask::ping, {"PING"});
    }
    loop_.timers().arm(alarm_, silence_ends());
}

// --- Connecting -----------------------------------------------------------------------------------------------------

std::string Connection::place() const {
    if (asks_sentinel_) return "sentinel " + target_.to_string();
    if (!endpoint_.socket_path.empty() && endpoint_.sentinels.empty()) return "unix:" + endpoint_.socket_path;
    return target_.to_string();
}

void Connection::attempt() {
    began_at_ = loop_.now();
    loop_.timers().arm(alarm_, began_at_ + options_.connect_timeout);
    asks_sentinel_ = !endpoint_.sentinels.empty();
    if (asks_sentinel_) return connect_to(endpoint_.sentinels[sentinel_]);
    if (!endpoint_.socket_path.empty()) return open_unix_socket();
    connect_to({endpoint_.host, endpoint_.port});
}

void Connection::connect_to(HostPort target) {
    target_ = std::move(target);
    addresses_.clear();
    if (net::is_numeric(target_.host)) {
        addresses_.push_back(target_.host);
        return try_addresses("it has no address");
    }
    stage_ = Stage::resolving;
    if (!resolver_) {
        resolver_ = std::make_unique<net::Resolver>(
            loop_, [this](Result<std::vector<std::string>> found) { on_resolved(std::move(found)); });
    }
    if (auto asked = resolver_->ask(target_.host); !asked) lose(asked.error().what);
}

void Connection::on_resolved(Result<std::vector<std::string>> addresses) {
    if (stage_ != Stage::resolving) return;
    if (!addresses) return lose(addresses.error().what);
    addresses_ = std::move(*addresses);
    if (endpoint_.family == 0) return try_addresses("it has no address");
    std::erase_if(addresses_, [this](const std::string& address) {
        return (address.find(':') == std::string::npos) != (endpoint_.family == 4);
    });
    try_addresses("it has no address of the family that the URL asks for");
}

/// Begins with the next address; `reason` is what became of the one before.
void Connection::try_addresses(std::string reason) {
    stage_ = Stage::connecting;
    while (!addresses_.empty()) {
        const std::string address = std::move(addresses_.front());
        addresses_.erase(addresses_.begin());
        sockaddr_storage to{};
        socklen_t size = 0;
        if (auto* v4 = reinterpret_cast<sockaddr_in*>(&to); inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons(target_.port);
            size = sizeof *v4;
        } else if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&to);
                   inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons(target_.port);
            size = sizeof *v6;
        } else {
            reason = address + " is no address";
            continue;
        }
        base::UniqueFd fd{::socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        if (!fd) {
            reason = std::strerror(errno);
            continue;
        }
        const int on = 1;
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const int result = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), size);
        if (result != 0 && errno != EINPROGRESS) {
            reason = std::strerror(errno);
            continue;
        }
        // Watched only now: a socket that does not connect yet is reported as hung up. Done or not, the socket's first
        // edge says so.
        if (adopt_socket(std::move(fd))) return;
        reason = "the loop cannot watch it";
    }
    lose("cannot connect to " + place() + ": " + reason);
}

void Connection::open_unix_socket() {
    const std::string& path = endpoint_.socket_path;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (path.size() >= sizeof to.sun_path) return lose("cannot connect to " + place() + ": the path is too long");
    std::memcpy(to.sun_path, path.data(), path.size());
    base::UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    // A Unix socket connects at once or not at all.
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
        return lose("cannot connect to " + place() + ": " + std::strerror(errno));
    }
    if (!adopt_socket(std::move(fd))) return lose("cannot connect to " + place() + ": the loop cannot watch it");
    on_connected();
}

bool Connection::adopt_socket(base::UniqueFd fd) {
    fd_ = std::move(fd);
    reader_.reset();
    if (loop_.watch(fd_.get(), *this)) return true;
    fd_.reset();
    return false;
}

void Connection::on_connected() {
    if (!endpoint_.tls) return greet();
    auto tls = Tls::create(endpoint_, target_.host, fd_.get());
    if (!tls) return lose("cannot connect to " + place() + ": " + tls.error().what);
    tls_ = std::move(*tls);
    stage_ = Stage::securing;
    go_on_securing();
}

void Connection::go_on_securing() {
    switch (tls_->handshake()) {
        case Tls::Io::done: return greet();
        case Tls::Io::again: return;
        case Tls::Io::closed:
            return lose("cannot connect to " + place() + ": closed during the TLS handshake (does it speak TLS?)");
        case Tls::Io::failed: return lose("cannot connect to " + place() + ": " + tls_->error());
    }
}

void Connection::greet() {
    stage_ = Stage::greeting;
    heard_at_ = loop_.now();
    const std::string& user = asks_sentinel_ ? endpoint_.sentinel_username : endpoint_.username;
    const std::string& password = asks_sentinel_ ? endpoint_.sentinel_password : endpoint_.password;
    if (!user.empty()) {
        put(Ask::auth, {"AUTH", user, password});
    } else if (!password.empty()) {
        put(Ask::auth, {"AUTH", password});
    }
    if (asks_sentinel_) {
        put(Ask::sentinel, {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", endpoint_.sentinel_master});
    } else {
        if (endpoint_.database != 0) put(Ask::select, {"SELECT", std::to_string(endpoint_.database)});
        if (!options_.name.empty()) put(Ask::set_name, {"CLIENT", "SETNAME", options_.name});
        put(Ask::client_id, {"CLIENT", "ID"});
        if (!endpoint_.sentinels.empty()) put(Ask::role, {"ROLE"});
        // The last word: a Redis that still loads its data answers all of the above, and not this.
        put(Ask::ping, {"PING"});
    }
}

bool Connection::take_greeting(Ask ask, const Reply& reply) {
    if (ask == Ask::sentinel) return take_master(reply);
    if (reply.is_error() && (ask == Ask::auth || ask == Ask::select || ask == Ask::role || !is_tolerable(reply))) {
        lose((ask == Ask::auth     ? "cannot log in to "
              : ask == Ask::select ? "cannot select the database of "
                                   : "cannot use ") +
             place() + ": " + std::string(reply.text));
        return false;
    }
    if (ask == Ask::client_id && reply.is_integer()) client_id_ = static_cast<std::uint64_t>(reply.integer);
    if (ask == Ask::role) {
        const bool is_master = reply.is_array() && !reply.items.empty() && reply.items[0].text == "master";
        if (!is_master) {
            lose("cannot use " + place() + ": the sentinels call it the master, and it is a replica");
            return false;
        }
    }
    if (ask != Ask::ping) return true;
    const std::uint64_t epoch = epoch_;
    come_up();
    return epoch == epoch_;
}

bool Connection::take_master(const Reply& reply) {
    if (reply.is_error()) {
        lose("cannot ask " + place() + ": " + std::string(reply.text));
        return false;
    }
    if (!reply.is_array() || reply.items.size() != 2 || reply.items[0].text.empty() ||
        reply.items[0].text.size() > 253) {
        lose(place() + " does not know a master named " + endpoint_.sentinel_master);
        return false;
    }
    const std::int64_t port = reply.items[1].to_integer();
    if (port < 1 || port > 65535) {
        lose(place() + " names a master without a port");
        return false;
    }
    HostPort master{std::string(reply.items[0].text), static_cast<std::uint16_t>(port)};
    close_socket();
    asks_sentinel_ = false;
    sentinels_tried_ = 0;
    connect_to(std::move(master));
    return false;
}

void Connection::come_up() {
    stage_ = Stage::up;
    up_at_ = loop_.now();
    ++stats_.connects;
    down_reason_.clear();
    down_logged_ = false;
    failures_not_logged_ = 0;
    log::info("redis", "redis_up",
              {{"name", options_.name},
               {"redis", place()},
               {"tls", endpoint_.tls},
               {"database", endpoint_.database},
               {"took_ms", up_at_ - began_at_}});
    loop_.timers().arm(alarm_, up_at_ + ping_interval());
    owner_.on_up(*this);
}

// --- Losing ---------------------------------------------------------------------------------------------------------

void Connection::close_socket() noexcept {
    ++epoch_;
    tls_.reset();
    if (fd_) {
        loop_.unwatch(fd_.get(), *this);
        fd_.reset();
    }
    if (resolver_) resolver_->forget();
    addresses_.clear();
    resume_.disarm();
    out_.clear();
    out_sent_ = 0;
    trouble_.clear();
    subscribed_ = write_blocked_ = more_to_read_ = false;
    client_id_ = 0;
}

void Connection::answer_open_with_null() {
    std::vector<Open> open = std::exchange(open_, {});
    const std::size_t head = std::exchange(open_head_, 0);
    open_bytes_ = 0;
    for (std::size_t i = head; i < open.size(); ++i) {
        if (open[i].done) open[i].done(nullptr);
    }
}

Millis Connection::next_pause() noexcept {
    const unsigned doublings = std::min(failed_attempts_++, 16U);
    const Millis pause =
        std::clamp<Millis>(options_.backoff_min << doublings, 1, std::max<Millis>(options_.backoff_max, 1));
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;
    return pause - static_cast<Millis>((random_ >> 33U) % static_cast<std::uint64_t>(pause / 2 + 1));
}

void Connection::lose(std::string reason) {
    const bool was_up = stage_ == Stage::up;
    const Millis now = loop_.now();
    stage_ = Stage::waiting;
    close_socket();
    if (was_up && now - up_at_ > options_.backoff_max) failed_attempts_ = 0;
    if (asks_sentinel_) {
        sentinel_ = (sentinel_ + 1) % endpoint_.sentinels.size();
        if (++sentinels_tried_ < endpoint_.sentinels.size()) {
            // It is a failure only when no sentinel helps.
            log::debug("redis", "sentinel_failed", {{"name", options_.name}, {"reason", reason}});
            loop_.timers().arm(alarm_, now);
            return answer_open_with_null();
        }
        sentinels_tried_ = 0;
    } else if (!endpoint_.sentinels.empty() && !was_up) {
        // This sentinel may be the one that does not know of a failover.
        sentinel_ = (sentinel_ + 1) % endpoint_.sentinels.size();
    }
    ++stats_.failures;
    loop_.timers().arm(alarm_, now + next_pause());
    log_down(was_up, reason);
    down_reason_ = reason;
    const std::uint64_t epoch = epoch_;
    answer_open_with_null();
    if (epoch == epoch_) owner_.on_down(*this, reason);
}

void Connection::log_down(bool was_up, std::string_view reason) {
    const Millis now = loop_.now();
    if (was_up || !down_logged_) {
        log::warn("redis", "redis_down",
                  {{"name", options_.name}, {"redis", endpoint_.to_string()}, {"reason", reason}});
    } else if (now - logged_at_ >= still_down_interval) {
        log::warn("redis", "redis_still_down",
                  {{"name", options_.name},
                   {"redis", endpoint_.to_string()},
                   {"reason", reason},
                   {"attempts", failures_not_logged_ + 1}});
    } else {
        ++failures_not_logged_;
        return;
    }
    logged_at_ = now;
    down_logged_ = true;
    failures_not_logged_ = 0;
}

// --- Commands -------------------------------------------------------------------------------------------------------

bool Connection::send(std::span<const std::string_view> args, Done done) { return accept(args, 0, std::move(done)); }

bool Connection::send_blocking(std::span<const std::string_view> args, Millis patience, Done done) {
    return accept(args, patience, std::move(done));
}

bool Connection::accept(std::span<const std::string_view> args, Millis patience, Done done) {
    if (stage_ != Stage::up || args.empty()) return false;
    const std::size_t bytes = command_bytes(args);
    if (bytes > options_.max_pending_bytes || open_bytes_ > options_.max_pending_bytes - bytes) return false;
    if (is_subscription(args[0])) {
        if (args.size() < 2) return false;
        put(Ask::subscription, args, patience, static_cast<std::uint32_t>(args.size() - 1), std::move(done));
    } else {
        put(Ask::command, args, patience, 0, std::move(done));
    }
    ++stats_.commands;
    // This turn's end has been here already; the next one must not wait for an event.
    if (ended_turn_ == loop_.turns()) run_next_turn();
    return true;
}

void Connection::put(Ask ask, std::span<const std::string_view> args, Millis patience, std::uint32_t confirmations,
                     Done done) {
    const std::size_t before = out_.size();
    append_command(out_, args);
    const std::size_t bytes = out_.size() - before;
    open_bytes_ += bytes;
    open_.push_back({ask, confirmations, bytes, loop_.now(), patience, std::move(done)});
}

Connection::Open Connection::pop() {
    Open first = std::move(open_[open_head_]);
    open_bytes_ -= first.bytes;
    if (++open_head_ == open_.size()) {
        open_.clear();
        open_head_ = 0;
    } else if (open_head_ >= 1024 && open_head_ >= open_.size() / 2) {
        open_.erase(open_.begin(), open_.begin() + static_cast<std::ptrdiff_t>(open_head_));
        open_head_ = 0;
    }
    return first;
}

bool Connection::end_turn() {
    ended_turn_ = loop_.turns();
    flush_now();
    return false;
}

void Connection::flush_now() {
    if (out_sent_ < out_.size() && !write_blocked_ && trouble_.empty()) flush();
}

void Connection::flush() {
    while (out_sent_ < out_.size()) {
        const std::string_view left = std::string_view(out_).substr(out_sent_);
        std::size_t bytes = 0;
        if (tls_) {
            const Tls::Io io = tls_->write(left, bytes);
            if (io == Tls::Io::again) {
                write_blocked_ = true;
                break;
            }
            if (io == Tls::Io::closed) trouble_ = place() + " closed the connection";
            if (io == Tls::Io::failed) trouble_ = "lost " + place() + ": " + tls_->error();
        } else {
            const ssize_t n = ::send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) {
                write_blocked_ = true;
                break;
            }
            // Redis may have said why before it closed: that is read first.
            if (n < 0) {
                more_to_read_ = errno == EPIPE || errno == ECONNRESET;
                trouble_ = "lost " + place() + ": " + std::strerror(errno);
            } else {
                bytes = static_cast<std::size_t>(n);
            }
        }
        if (!trouble_.empty()) return run_next_turn();
        out_sent_ += bytes;
        stats_.bytes_out += bytes;
    }
    if (out_sent_ == out_.size()) {
        out_.clear();
        if (out_.capacity() > largest_idle_output) out_.shrink_to_fit();
        out_sent_ = 0;
    } else if (out_sent_ >= out_.size() / 2) {
        out_.erase(0, out_sent_);
        out_sent_ = 0;
    }
}

// --- Replies --------------------------------------------------------------------------------------------------------

void Connection::on_ready(std::uint32_t events) {
    if (stage_ == Stage::connecting) {
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
        if (error == 0 && (events & EPOLLOUT) == 0) return;
        if (error != 0) {
            auto others = std::move(addresses_);
            close_socket();
            addresses_ = std::move(others);
            return try_addresses(std::strerror(error));
        }
        on_connected();
        // What follows looks at the same edge.
    }
    if (stage_ == Stage::securing) go_on_securing();
    if (stage_ != Stage::greeting && stage_ != Stage::up) return;
    if ((events & EPOLLOUT) != 0 || tls_) write_blocked_ = false;  // the end of this turn writes
    constexpr std::uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    if (tls_ || (events & (EPOLLIN | ends)) != 0) read((events & ends) != 0);
}

/// Reads what is there, `to_the_end` also when a short read says that it was all, to see whether the peer has closed.
void Connection::read(bool to_the_end) {
    const std::uint64_t epoch = epoch_;
    std::size_t budget = read_budget;
    while (budget > 0) {
        const std::span<char> room = reader_.room(read_room);
        const std::size_t most = std::min(room.size(), budget);
        std::size_t bytes = 0;
        if (tls_) {
            const Tls::Io io = tls_->read(room.data(), most, bytes);
            if (io == Tls::Io::again) return;
            if (io == Tls::Io::closed) return lose(place() + " closed the connection");
            if (io == Tls::Io::failed) return lose("lost " + place() + ": " + tls_->error());
        } else {
            const ssize_t n = ::recv(fd_.get(), room.data(), most, 0);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) return;
            if (n < 0) return lose("lost " + place() + ": " + std::strerror(errno));
            if (n == 0) return lose(place() + " closed the connection");
            bytes = static_cast<std::size_t>(n);
        }
        reader_.added(bytes);
        stats_.bytes_in += bytes;
        heard_at_ = loop_.now();
        budget -= bytes;
        if (!dispatch() || epoch != epoch_) return;
        if (!tls_ && !to_the_end && bytes < most) return;
    }
    more_to_read_ = true;
    run_next_turn();
}

/// False when the socket that was read from is gone.
bool Connection::dispatch() {
    const std::uint64_t epoch = epoch_;
    for (;;) {
        const auto reply = reader_.next();
        if (!reply) {
            lose("lost " + place() + ": " + reply.error().what);
            return false;
        }
        if (*reply == nullptr) return true;
        if (!take(**reply) || epoch != epoch_) return false;
    }
}

bool Connection::take(const Reply& reply) {
    if (take_push(reply)) return true;
    if (pending() == 0) {
        lose("lost " + place() + ": " +
             (reply.is_error() ? std::string(reply.text) : std::string("an answer to no question")));
        return false;
    }
    const Open command = pop();
    switch (command.ask) {
        case Ask::command:
        case Ask::subscription: return finish(command, reply);
        case Ask::ping:
            if (stage_ == Stage::up) return true;
            [[fallthrough]];
        case Ask::auth:
        case Ask::select:
        case Ask::set_name:
        case Ask::client_id:
        case Ask::role:
        case Ask::sentinel: return take_greeting(command.ask, reply);
    }
    return true;
}

bool Connection::finish(const Open& command, const Reply& reply) {
    const std::uint64_t epoch = epoch_;
    if (reply.is_denial() || (reply.is_error() && !command.done)) keep_refusal(reply);
    if (command.done) command.done(&reply);
    if (epoch != epoch_) return false;
    if (!reply.is_error()) return true;
    if (reply.is_error("MOVED") || reply.is_error("ASK") || reply.is_error("CLUSTERDOWN")) {
        lose(place() +
             " belongs to a Redis Cluster, which is not supported (one Redis, or one behind sentinels, is): " +
             std::string(reply.text));
        return false;
    }
    if (reply.is_error("READONLY")) {
        lose(place() + " is a replica: " + std::string(reply.text));
        return false;
    }
    return true;
}

void Connection::note_refusal(const Reply& error) {
    if (!error.is_denial()) keep_refusal(error);
}

void Connection::keep_refusal(const Reply& error) {
    const std::string_view text = error.text;
    ++stats_.refused;
    if (refusal().empty()) refusals_logged_.clear();
    refusal_ = text;
    refused_at_ = loop_.now();
    if (refusals_logged_.size() == max_refusals_logged ||
        std::ranges::find(refusals_logged_, text) != refusals_logged_.end()) {
        return;
    }
    refusals_logged_.emplace_back(text);
    log::error("redis", "redis_refused",
               {{"name", options_.name},
                {"redis", endpoint_.to_string()},
                {"redis_user", endpoint_.username.empty() ? std::string_view("default") : endpoint_.username},
                {"reason", text},
                {"remedy", error.is_denial() ? "give this Redis user the rights in sio(7), REDIS RIGHTS"
                                             : "see what Redis says of itself: INFO, its log"}});
}

/// Whether the reply is what a subscription brings; then it has been taken.
bool Connection::take_push(const Reply& reply) {
    if (!reply.is_array() || reply.items.size() < 3 || !reply.items[0].is_text()) return false;
    const bool awaited = pending() > 0 && open_[open_head_].ask == Ask::subscription;
    if (!subscribed_ && !awaited) return false;
    const std::string_view kind = reply.items[0].text;
    if (is_subscription(kind)) {
        subscribed_ = true;
        const std::uint64_t epoch = epoch_;
        owner_.on_push(*this, reply);
        if (!awaited || epoch != epoch_) return true;
        if (--open_[open_head_].confirmations > 0) return true;
        const Open command = pop();
        if (command.done) command.done(&reply);
        return true;
    }
    if (!subscribed_ || (kind != "message" && kind != "pmessage" && kind != "smessage")) return false;
    owner_.on_push(*this, reply);
    return true;
}

}  // namespace sio::redis
