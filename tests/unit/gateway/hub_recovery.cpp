// The hub's recovery against a model: whatever is sent, however large, to whoever reads however slowly, is cut anywhere
// and returns at any time, each client hears each event that was for it once and in order, or is told that it begins
// again. Alone, and in a cluster whose stream this file keeps in memory.
#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "unit/gateway/auth_world.h"

namespace {

using namespace sio;
using namespace sio::gateway;

using Names = std::vector<std::string>;

/// What a client is to hear: numbers of events, in the order of their places.
struct Expected {
    std::vector<std::uint64_t> numbers;
};

/// A cluster of one: its stream is a list, and is read when the test says so.
class FakeBackbone final : public Backbone {
public:
    struct Entry {
        Position position;
        std::string nsp;
        Selection to;
        std::string name;
        std::string arguments;
        std::vector<std::string> attachments;
        std::uint64_t early = 0;
    };

    Hub* hub = nullptr;
    std::vector<Entry> stream;  ///< read
    std::deque<Entry> unread;   ///< written
    std::deque<Entry> spooled;  ///< emitted while the cluster could not be reached
    bool is_reachable = true;
    std::deque<std::function<void()>> answers;  ///< that are under way
    std::map<std::string, SavedSocket> sessions;
    Position last{1'000'000, 0};
    std::uint64_t next_number = 1;
    std::size_t fetched = 0;
    std::size_t looked_back = 0;
    std::function<void(const Entry&)> on_read;

    [[nodiscard]] std::size_t stream_count() const noexcept override { return 1; }
    [[nodiscard]] std::size_t stream_of_namespace(std::string_view) const override { return 0; }
    [[nodiscard]] Position position(std::string_view) const override { return last; }
    [[nodiscard]] bool is_starting() const noexcept override { return false; }
    void opened(Namespace&) override {}
    void closing(Namespace&) override {}

    std::optional<std::uint64_t> broadcast(const Namespace& nsp, const Selection& selection, const Event& event,
                                           bool is_volatile) override {
        Entry entry;
        entry.nsp = nsp.name;
        entry.to.rooms = selection.rooms;
        entry.to.rooms.insert(entry.to.rooms.end(), selection.users.begin(), selection.users.end());
        entry.to.rooms.insert(entry.to.rooms.end(), selection.sockets.begin(), selection.sockets.end());
        entry.to.except = selection.except;
        entry.name = event.name;
        entry.arguments = event.arguments;
        entry.attachments.assign(event.attachments.begin(), event.attachments.end());
        if (is_reachable) {
            unread.push_back(std::move(entry));
            return std::nullopt;
        }
        if (is_volatile) return 0;
        entry.early = next_number++;
        spooled.push_back(entry);
        return entry.early;
    }
    [[nodiscard]] std::string_view process() const noexcept override { return "0123456789abcdef"; }
    [[nodiscard]] std::uint64_t last_early(std::string_view) const override {
        if (!spooled.empty()) return spooled.back().early;
        std::uint64_t last = 0;
        for (const Entry& entry : unread) last = std::max(last, entry.early);
        return last;
    }

    void lose() { is_reachable = false; }
    void reach() {
        is_reachable = true;
        for (Entry& entry : spooled) unread.push_back(std::move(entry));
        spooled.clear();
    }
    void read(std::size_t most) {
        for (; most > 0 && !unread.empty(); --most) {
            stream.push_back(std::move(unread.front()));
            unread.pop_front();
            Entry& entry = stream.back();
            ++last.seq;
            entry.position = last;
            on_read(entry);
            hub->deliver(entry.nsp, entry.to, {entry.name, entry.arguments, entry.attachments}, false, last,
                         entry.early != 0);
        }
    }
    void answer(std::size_t most) {
        for (; most > 0 && !answers.empty(); --most) {
            const auto one = std::move(answers.front());
            answers.pop_front();
            one();
        }
    }

    void flush() override {}
    void keep(Socket& socket) override { sessions[socket.pid()] = saved(socket); }
    void release(const Socket& socket, bool recoverable) override {
        if (recoverable) {
            sessions[socket.pid()] = saved(socket);
        } else {
            sessions.erase(socket.pid());
        }
    }
    void resume(Namespace& nsp, ResumeRequest request, std::function<void(ResumeResult)> done) override {
        answers.emplace_back([this, name = nsp.name, request, done] {
            const auto found = sessions.find(request.pid);
            if (!request.saved && found == sessions.end()) {
                done(ResumeResult::failed(ResumeFailure::unknown_session));
                return;
            }
            SavedSocket socket = request.saved ? *request.saved : found->second;
            const Position from = request.offset.value_or(socket.connected_at);
            auto stays = Hub::stays_of(socket.sid, socket.stays);
            Resumed resumed = find(name, stays, from);
            resumed.saved = std::move(socket);
            done(ResumeResult::of(std::move(resumed)));
        });
    }
    void look_back(std::string_view nsp, std::vector<Stay> stays, Position from,
                   std::function<void(ResumeResult)> done) override {
        ++looked_back;
        answers.emplace_back([this, name = std::string(nsp), stays = std::move(stays), from, done] {
            done(ResumeResult::of(find(name, stays, from)));
        });
    }
    void fetch(std::string_view, std::vector<Position> positions,
               std::function<void(std::optional<std::vector<FetchedEvent>>)> done) override {
        answers.emplace_back([this, positions = std::move(positions), done] {
            if (!is_reachable) {
                done(std::nullopt);
                return;
            }
            std::vector<FetchedEvent> events;
            for (const Position position : positions) {
                const auto found = std::ranges::find(stream, position, &Entry::position);
                cr_assert(found != stream.end());
                ++fetched;
                events.push_back({position, true, found->to.rooms, found->to.except, found->name, found->arguments,
                                  found->attachments, found->early != 0 ? "0123456789abcdef" : "", found->early});
            }
            done(std::move(events));
        });
    }

private:
    static SavedSocket saved(const Socket& socket) {
        SavedSocket kept;
        kept.sid = socket.id;
        kept.connected_at = socket.connected_at;
        kept.user = socket.user;
        for (const Socket::Seat& seat : socket.seats)
            kept.stays.push_back({.room = seat.room->name, .after = seat.since});
        kept.stays.insert(kept.stays.end(), socket.extra().past.begin(), socket.extra().past.end());
        return kept;
    }
    Resumed find(const std::string& nsp, std::span<const Stay> stays, Position from) {
        Resumed resumed;
        resumed.from = from;
        RecoveryLog& log = hub->log(0);
        if (log.covers(nsp, stays, from, 0) == RecoveryLog::Coverage::whole) return resumed;
        for (const Entry& entry : stream) {
            const bool is_mine = entry.to.rooms.empty() || std::ranges::any_of(entry.to.rooms, [&](const auto& room) {
                                     return std::ranges::find(stays, room, &Stay::room) != stays.end();
                                 });
            if (entry.position > from && is_mine) resumed.older.push_back(entry.position);
        }
        resumed.from = last;
        return resumed;
    }
};

/// A stock client, as far as recovery goes: it counts an event as received when it is connected, and keeps what comes
/// before.
class StockClient {
public:
    StockClient(net::Loop& loop, std::uint16_t port) : loop_(loop), port_(port) {}
    StockClient(const StockClient&) = delete;
    StockClient& operator=(const StockClient&) = delete;

    std::string sid;
    std::string pid;
    std::string offset;
    std::vector<std::uint64_t> heard;
    std::size_t begun_again = 0;
    std::size_t acks = 0;
    bool is_connected = false;

    void open() {
        fd_ = base::UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const int room = 8192;  // so that the gateway's writes come to an end
        setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port_);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
        write(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        bytes_.clear();
        has_head_ = is_connected = is_ended = false;
        attachments_due_ = 0;
        std::string auth = "{}";
        if (!pid.empty())
            auth = "{\"pid\":\"" + pid + "\"" + (offset.empty() ? "" : ",\"offset\":\"" + offset + "\"") + "}";
        send("40" + auth);
    }
    [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }
    bool is_ended = false;
    void cut() {
        fd_.reset();
        is_connected = false;
    }
    void send(const std::string& text) {
        std::string frame = "\x81";
        frame += static_cast<char>(0x80 | text.size());
        cr_assert(text.size() < 126 || text.size() < 65'536);
        if (text.size() >= 126) {
            frame.back() = static_cast<char>(0x80 | 126);
            frame += static_cast<char>(text.size() >> 8U);
            frame += static_cast<char>(text.size() & 0xffU);
        }
        write(frame + std::string(4, '\0') + text);
    }
    /// Reads at most so many bytes.
    void read(std::size_t most) {
        char part[16384];
        while (fd_ && most > 0) {
            const ssize_t n = recv(fd_.get(), part, std::min(sizeof part, most), MSG_DONTWAIT);
            if (n == 0) is_ended = true;
            if (n <= 0) break;
            bytes_.append(part, static_cast<std::size_t>(n));
            most -= static_cast<std::size_t>(n);
        }
        take();
    }

private:
    void take() {
        std::size_t at = 0;
        if (!has_head_) {
            const std::size_t end = bytes_.find("\r\n\r\n");
            if (end == std::string::npos) return;
            has_head_ = true;
            at = end + 4;
        }
        for (;;) {
            if (bytes_.size() - at < 2) break;
            std::size_t size = static_cast<unsigned char>(bytes_[at + 1]);
            std::size_t from = at + 2;
            const std::size_t wide = size == 126 ? 2 : size == 127 ? 8 : 0;
            if (bytes_.size() < from + wide) break;
            if (wide > 0) size = 0;
            for (std::size_t i = 0; i < wide; ++i) size = size << 8U | static_cast<unsigned char>(bytes_[from + i]);
            from += wide;
            if (bytes_.size() < from + size) break;
            frame(bytes_[at] & 15, std::string_view(bytes_).substr(from, size));
            at = from + size;
        }
        bytes_.erase(0, at);
    }
    void frame(int opcode, std::string_view body) {
        if (opcode == 2) {
            cr_assert(attachments_due_ > 0, "an attachment of nothing");
            if (--attachments_due_ == 0) hear();
            return;
        }
        if (opcode != 1) return;
        cr_assert(attachments_due_ == 0, "text between an event and its attachments: %s",
                  std::string(body.substr(0, 60)).c_str());
        if (body.starts_with("40")) {
            const std::string new_pid = auth_world::member(body.substr(2), "pid");
            if (!pid.empty() && new_pid != pid) {
                ++begun_again;
                heard.clear();
                offset.clear();
            }
            pid = new_pid;
            sid = auth_world::member(body.substr(2), "sid");
            is_connected = true;
        } else if (body.starts_with("43")) {
            ++acks;
        } else if (body.starts_with("42") || body.starts_with("451-") || body.starts_with("452-")) {
            cr_assert(is_connected, "an event before CONNECT is answered");
            const std::string_view list = body.substr(body.find('['));
            number_ = *base::parse_decimal(*json::element(list, 1));
            std::size_t count = 0;
            for (json::Walker one(list); one.next();) ++count;
            const auto last = json::element(list, count - 1);
            if (json::kind_of(*last) == json::Kind::string) offset_ = json::decode_string(*last);
            has_offset_ = json::kind_of(*last) == json::Kind::string && offset_.find('-') != std::string::npos;
            attachments_due_ = body[1] == '5' ? static_cast<std::size_t>(body[2] - '0') : 0;
            if (attachments_due_ == 0) hear();
        }
    }
    void hear() {
        heard.push_back(number_);
        if (has_offset_) offset = offset_;
    }
    void write(const std::string& bytes) { (void)!::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }

    net::Loop& loop_;
    std::uint16_t port_;
    base::UniqueFd fd_;
    std::string bytes_;
    std::string offset_;
    std::uint64_t number_ = 0;
    std::size_t attachments_due_ = 0;
    bool has_head_ = false;
    bool has_offset_ = false;
};

struct Handlers final : HubHandlers {
    Hub* hub = nullptr;
    Admission admit(std::string_view nsp, const Session*, std::string_view, std::string_view) override {
        Admission admission;
        if (nsp == "/") admission.kind = Admission::Kind::open;
        return admission;
    }
    void on_connect(Socket&) override {}
    void on_event(Socket& socket, const proto::SioPacket& packet) override {
        const std::string name = json::decode_string(*json::element(packet.json, 0));
        const std::string room = json::decode_string(*json::element(packet.json, 1));
        if (name == "join") hub->join(socket, room);
        if (name == "leave") hub->leave(socket, room);
        if (packet.id) hub->acknowledge(socket, *packet.id, "1");
    }
    void on_disconnect(Socket&, std::string_view) override {}
    std::optional<Millis> limited(const Socket&) override { return std::nullopt; }
    bool on_http(const proto::HttpHead&, HttpAnswer&) override { return false; }
};

struct Scenario {
    bool is_cluster = false;
    std::size_t queue_bytes = 64'000;
    std::size_t recovery_bytes = std::size_t{64} << 20U;
    bool may_begin_again = false;
    bool loses_redis = false;
};

class Model : auth_world::Base {
public:
    Model(const Scenario& scenario, unsigned seed) : scenario_(scenario), seed_(seed), random_(seed) {
        handlers_.hub = &hub_;
        if (scenario.is_cluster) {
            backbone_.hub = &hub_;
            backbone_.on_read = [this](const FakeBackbone::Entry& entry) {
                const std::uint64_t number = number_of(entry.arguments);
                entry.early == 0 ? expect(entry.to, number) : expect_late(entry.to, number);
            };
            hub_.set_backbone(backbone_);
        }
        hub_.start(engine_);
        if (scenario.is_cluster) hub_.log(0).begin_at(backbone_.last, loop.now());
        auto fd = net::listen_tcp("127.0.0.1", 0, false);
        port_ = net::local_port(fd->get());
        const int room = 8192;  // inherited: so that sockets are full before the queue is
        setsockopt(fd->get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        cr_assert(engine_.listen(fd->release()).has_value());
        for (int i = 0; i < 4; ++i) {
            clients_.push_back(std::make_unique<One>(loop, port_));
            bring_back(*clients_.back());
        }
    }

    void run(unsigned steps) {
        for (unsigned step = 0; step < steps; ++step) {
            switch (below(10)) {
                case 0:
                case 1:
                case 2:
                case 3: emit_some(); break;
                case 4: clients_[below(4)]->client.read(below(30'000)); break;
                case 5: change_rooms(*clients_[below(4)]); break;
                case 6: cut(*clients_[below(4)]); break;
                case 7: bring_back(*clients_[below(4)]); break;
                case 8: turn(); break;
                case 9: lose_or_reach(); break;
            }
            if (scenario_.is_cluster) backbone_.read(below(4));
            if (scenario_.is_cluster) backbone_.answer(below(3));
            if (below(3) == 0) turn();
        }
        finish();
    }

    std::size_t begun_again = 0;
    std::size_t returns = 0;
    std::size_t heard = 0;
    [[nodiscard]] const HubStats& stats() const { return hub_.stats(); }
    [[nodiscard]] std::size_t fetched() const { return backbone_.fetched; }
    [[nodiscard]] std::size_t looked_back() const { return backbone_.looked_back; }

private:
    struct One {
        One(net::Loop& loop, std::uint16_t port) : client(loop, port) {}
        StockClient client;
        std::set<std::string> rooms;
        std::vector<std::uint64_t> expected;
        std::set<std::uint64_t> optional;
        std::size_t again_seen = 0;
        bool has_joined = false;
    };

    unsigned below(std::size_t n) { return static_cast<unsigned>(random_() % n); }
    static std::uint64_t number_of(std::string_view arguments) {
        return *base::parse_decimal(arguments.substr(0, arguments.find(',')));
    }
    void turn() {
        wait([] { return false; }, 0);
    }
    /// Turns until `is_so`; everything that is under way is answered meanwhile.
    bool settle(const std::function<bool()>& is_so) {
        for (int turns = 0; turns < 20'000; ++turns) {
            if (is_so()) return true;
            if (scenario_.is_cluster) backbone_.answer(100);
            turn();
        }
        return is_so();
    }

    /// Who is to hear an event that has got its place just now.
    void expect(const Selection& to, std::uint64_t number) {
        for (const auto& one : clients_) {
            if (is_for(*one, to)) one->expected.push_back(number);
        }
    }
    /// An event that was emitted early has got its place. Who missed it then hears it now. While Redis cannot be
    /// reached nothing says what came before a change of rooms: who was in the room at one of the two times may hear
    /// it.
    void expect_late(const Selection& to, std::uint64_t number) {
        for (const auto& one : clients_) {
            const bool was_sent = early_heard_.contains({one.get(), number});
            const bool was_for_it = was_sent || early_missed_.contains({one.get(), number});
            if (was_for_it && is_for(*one, to)) {
                if (!was_sent) one->expected.push_back(number);
            } else if (was_for_it || is_for(*one, to)) {
                std::erase(one->expected, number);
                one->optional.insert(number);
            }
        }
    }
    /// Who hears an event that is emitted early.
    void expect_early(const Selection& to, std::uint64_t number) {
        Namespace& nsp = *hub_.find_namespace("/");
        for (const auto& one : clients_) {
            if (!is_for(*one, to)) continue;
            const Socket* socket = one->client.is_open() ? hub_.find_socket(nsp, Id::from(one->client.sid)) : nullptr;
            if (socket != nullptr && socket->replay == nullptr) {
                early_heard_.insert({one.get(), number});
                one->expected.push_back(number);
            } else {
                early_missed_.insert({one.get(), number});
            }
        }
    }
    static bool is_for(const One& one, const Selection& to) {
        const auto is_in = [&](const std::string& room) { return one.rooms.contains(room); };
        return one.has_joined && (to.rooms.empty() || std::ranges::any_of(to.rooms, is_in)) &&
               std::ranges::none_of(to.except, is_in);
    }

    void emit_some() {
        for (unsigned n = 1 + below(below(5) == 0 ? 40 : 3); n > 0; --n) {
            Selection to;
            for (unsigned rooms = below(3); rooms > 0; --rooms) to.rooms.push_back(names_[below(names_.size())]);
            if (below(6) == 0) to.except.push_back(names_[below(names_.size())]);
            const std::uint64_t number = ++emitted_;
            const std::size_t size = below(8) == 0 ? below(50'000) : below(300);
            std::string arguments = std::to_string(number) + ",\"" + std::string(size, 'x') + "\",0";
            std::vector<std::string> attachments;
            if (below(8) == 0) {
                arguments += R"(,{"_placeholder":true,"num":0})";
                attachments.emplace_back(below(3'000), 'b');
            }
            Namespace* nsp = hub_.find_namespace("/");
            if (!scenario_.is_cluster) {
                expect(to, number);
            } else if (!backbone_.is_reachable) {
                expect_early(to, number);
            }
            hub_.emit(*nsp, to, {"\"e\"", arguments, attachments});
        }
    }

    void change_rooms(One& one) {
        if (!one.client.is_connected ||
            hub_.find_socket(*hub_.find_namespace("/"), Id::from(one.client.sid)) == nullptr)
            return;
        const std::string room = names_[below(names_.size())];
        // By the server, so that it is known when it happened.
        Socket& socket = *hub_.find_socket(*hub_.find_namespace("/"), Id::from(one.client.sid));
        if (below(3) == 0) {
            hub_.leave(socket, room);
            one.rooms.erase(room);
        } else {
            hub_.join(socket, room);
            one.rooms.insert(room);
        }
    }

    void cut(One& one) {
        if (!one.client.is_open()) return;
        const Id sid = Id::from(one.client.sid);
        if (below(2) == 0) one.client.read(below(20'000));
        note_again(one);
        one.client.cut();
        cr_assert(settle([&] { return !is_here(sid); }), "seed %u: a cut is not noticed", seed_);
    }
    bool is_here(const Id& sid) { return hub_.find_socket(*hub_.find_namespace("/"), sid) != nullptr; }

    void bring_back(One& one) {
        if (one.client.is_open()) {
            one.client.read(1U << 20U);
            if (!one.client.is_ended) return;
            one.client.cut();  // it was too slow
        }
        if (one.has_joined) ++returns;
        // It may be ended at once: what it missed is forgotten while it is told.
        do {
            one.client.open();
            cr_assert(settle([&] {
                          one.client.read(4'000);
                          return one.client.is_connected || one.client.is_ended;
                      }),
                      "seed %u: CONNECT is not answered", seed_);
        } while (!one.client.is_connected);
        one.has_joined = true;
        note_again(one);
    }
    void note_again(One& one) {
        if (one.client.begun_again == one.again_seen) return;
        cr_assert(scenario_.may_begin_again, "seed %u: a client begins again", seed_);
        one.again_seen = one.client.begun_again;
        ++begun_again;
        one.expected.clear();
        one.rooms.clear();
    }

    void lose_or_reach() {
        if (!scenario_.loses_redis) return;
        if (backbone_.is_reachable) {
            backbone_.read(1'000);  // what is unread and not ours to say again
            backbone_.lose();
        } else {
            backbone_.reach();
        }
    }

    void finish() {
        if (!backbone_.is_reachable) backbone_.reach();
        if (scenario_.is_cluster) backbone_.read(100'000);
        for (const auto& one : clients_) bring_back(*one);
        settle([&] {
            for (const auto& one : clients_) {
                one->client.read(1U << 20U);
                if (one->client.is_ended) bring_back(*one);
            }
            const auto has_all = [](const auto& one) {
                const auto extra = std::ranges::count_if(
                    one->client.heard, [&](std::uint64_t number) { return one->optional.contains(number); });
                return one->client.heard.size() - static_cast<std::size_t>(extra) >= one->expected.size();
            };
            return std::ranges::all_of(clients_, has_all) && hub_.sockets_behind() == 0;
        });
        for (const auto& one : clients_) {
            note_again(*one);
            heard += one->client.heard.size();
            std::vector<std::uint64_t> want = one->expected;
            std::vector<std::uint64_t> got = one->client.heard;
            if (scenario_.loses_redis) {  // what was early has no order
                std::ranges::sort(want);
                std::ranges::sort(got);
                for (const std::uint64_t number : one->optional) {
                    const auto found = std::ranges::find(got, number);
                    if (found != got.end()) got.erase(found);
                }
            }
            if (want == got) continue;
            std::string what;
            for (std::size_t i = 0; i < std::max(want.size(), got.size()); ++i) {
                if (i < want.size() && i < got.size() && want[i] == got[i]) continue;
                what = "at " + std::to_string(i) + " of " + std::to_string(want.size()) + "/" +
                       std::to_string(got.size()) + ": wanted " +
                       (i < want.size() ? std::to_string(want[i]) : "nothing") + ", heard " +
                       (i < got.size() ? std::to_string(got[i]) : "nothing");
                break;
            }
            cr_assert(false, "seed %u: a client has not heard what was for it, %s", seed_, what.c_str());
        }
    }

    Scenario scenario_;
    unsigned seed_;
    std::mt19937 random_;
    const Names names_{"a", "b", "c", "d"};
    Handlers handlers_;
    FakeBackbone backbone_;
    Hub hub_{[this] {
                 HubOptions options;
                 options.recovery = RecoveryMode::on;
                 options.recovery_bytes = scenario_.recovery_bytes;
                 options.rate_limit = 0;
                 return options;
             }(),
             handlers_};
    Engine engine_{loop,
                   [this] {
                       EngineOptions options;
                       options.path = "/socket.io/";
                       options.queue_bytes = scenario_.queue_bytes;
                       return options;
                   }(),
                   *Cors::create({}), hub_};
    std::uint16_t port_ = 0;
    std::vector<std::unique_ptr<One>> clients_;
    std::set<std::pair<const One*, std::uint64_t>> early_heard_;
    std::set<std::pair<const One*, std::uint64_t>> early_missed_;
    std::uint64_t emitted_ = 0;
};

struct Sum {
    std::size_t returns = 0;
    std::size_t begun_again = 0;
    std::size_t heard = 0;
    std::uint64_t fell_behind = 0;
    std::size_t fetched = 0;
    std::size_t looked_back = 0;
};

Sum run(const Scenario& scenario, unsigned seeds, unsigned steps) {
    Sum sum;
    for (unsigned seed = 1; seed <= seeds; ++seed) {
        Model model(scenario, seed);
        model.run(steps);
        sum.returns += model.returns;
        sum.begun_again += model.begun_again;
        sum.heard += model.heard;
        sum.fell_behind += model.stats().fell_behind;
        sum.fetched += model.fetched();
        sum.looked_back += model.looked_back();
    }
    return sum;
}

Test(hub_recovery, alone_each_event_is_heard_once_and_in_order_whatever_the_queue_holds) {
    const Sum sum = run({.queue_bytes = 20'000}, 25, 150);
    cr_assert(sum.returns > 100 && sum.heard > 1'000);
    cr_assert(sum.fell_behind > 20, "queues were full: %llu", static_cast<unsigned long long>(sum.fell_behind));
    cr_assert(sum.begun_again == 0);
}

Test(hub_recovery, alone_with_little_memory_a_client_hears_all_or_is_told) {
    const Sum sum = run({.queue_bytes = 20'000, .recovery_bytes = 120'000, .may_begin_again = true}, 25, 150);
    cr_assert(sum.begun_again > 10 && sum.returns > sum.begun_again);
}

Test(hub_recovery, in_a_cluster_each_event_is_heard_once_and_in_order) {
    const Sum sum = run({.is_cluster = true, .queue_bytes = 20'000}, 25, 150);
    cr_assert(sum.returns > 100 && sum.heard > 1'000 && sum.fell_behind > 10);
}

Test(hub_recovery, in_a_cluster_little_memory_makes_nobody_begin_again) {
    const Sum sum = run({.is_cluster = true, .queue_bytes = 20'000, .recovery_bytes = 60'000}, 25, 150);
    cr_assert(sum.fetched > 100, "what is not in memory is fetched: %zu", sum.fetched);
    const Sum less = run({.is_cluster = true, .queue_bytes = 20'000, .recovery_bytes = 4'000}, 25, 150);
    cr_assert(less.looked_back > 10, "what is not in the index is looked for: %zu", less.looked_back);
}

Test(hub_recovery, events_from_times_without_redis_are_heard_once_by_who_stays_and_by_who_returns) {
    const Sum sum = run({.is_cluster = true, .queue_bytes = 20'000, .loses_redis = true}, 25, 150);
    cr_assert(sum.returns > 100 && sum.heard > 1'000);
}

}  // namespace
