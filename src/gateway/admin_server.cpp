#include "gateway/admin_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <tuple>

#include "base/bytes.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/verbs.h"
#include "net/listener.h"
#include "net/socket_path.h"

namespace sio::gateway {

namespace {

constexpr std::size_t lines_per_turn = 64;  // of one client

struct Stream {
    std::uint64_t id = 0;
    bool handles = false;
    bool lifecycle = false;
    std::string nsp;                  // empty: all
    std::vector<std::string> events;  // empty: all
    std::uint64_t lost = 0;

    [[nodiscard]] bool wants(std::string_view namespace_name, std::string_view event) const {
        return (nsp.empty() || nsp == namespace_name) &&
               (events.empty() || std::find(events.begin(), events.end(), event) != events.end());
    }
};

std::string decoded(std::string_view token) {
    return token.empty() || token.front() != '"' ? std::string(token) : json::decode_string(token);
}

void append_user(wire::ObjectWriter& out, const Socket& socket) {
    if (socket.user.empty()) {
        out.raw("user", "null");
    } else {
        out.text("user", socket.user);
    }
}

void append_attachments(wire::ObjectWriter& out, std::span<const std::string> attachments) {
    if (attachments.empty()) return;
    std::string list = "[";
    for (const std::string& bytes : attachments) {
        if (list.size() > 1) list += ',';
        list += '"';
        base::append_base64(list, bytes);
        list += '"';
    }
    out.raw("attachments", list + ']');
}

/// How long other nodes may take: a little less than the client waits.
Millis node_timeout(const wire::AdminRequest& request) {
    const auto given = base::parse_decimal(json::member(request.text, "node_timeout_ms").value_or("2000"), 60'000);
    return static_cast<Millis>(given.value_or(2000));
}

}  // namespace

class AdminServer::Client final : public net::Handler {
public:
    Client(AdminServer& server, int fd, std::uint64_t number) : server_(server), fd_(fd), number_(number) {}

    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    bool greeted = false;
    std::vector<Stream> streams;

    void on_ready(std::uint32_t events) override {
        if (closed_) return;
        if ((events & EPOLLOUT) != 0) flush();
        if (!again_.is_armed()) read_on();
    }

    void send(std::string_view text) {
        if (closed_) return;
        out_ += text;
        flush();
    }
    /// A line of a stream: dropped, and counted, when the client does not read.
    void send_stream(Stream& stream, const std::string& line) {
        if (out_.size() > max_backlog) {
            ++stream.lost;
            return;
        }
        if (stream.lost > 0) {
            send(wire::ObjectWriter()
                     .number("id", static_cast<std::int64_t>(stream.id))
                     .number("lost", static_cast<std::int64_t>(std::exchange(stream.lost, 0)))
                     .line());
        }
        send(line);
    }
    [[nodiscard]] std::size_t backlog() const noexcept { return out_.size(); }
    void close() {
        if (std::exchange(closed_, true)) return;
        again_.disarm();
        server_.loop_.unwatch(fd_.get(), *this);
        server_.forget(*this);
        server_.loop_.dispose(this);
    }

private:
    struct Again final : base::Timer {
        explicit Again(Client& c) : client(c) {}
        Client& client;

    private:
        void expire(Millis) override { client.read_on(); }
    };

    /// Takes lines until there are none, or as many as one turn of the loop may take.
    void read_on() {
        char buffer[16384];
        std::size_t left = lines_per_turn;
        const std::uint64_t before = server_.hub_.stats().deliveries;
        while (!closed_) {
            while (const auto line = lines_.next()) {
                server_.handle_line(*this, std::string(*line));
                if (closed_) return;
                if (--left == 0 || server_.hub_.stats().deliveries - before >= Hub::deliveries_per_turn) {
                    server_.loop_.timers().arm(again_, server_.loop_.now());
                    return;
                }
            }
            if (lines_.too_long()) {
                std::string out;
                wire::append_admin_error(out, std::nullopt, wire::admin_error::too_large, "a line above 8 MiB");
                send(out);
                close();
                return;
            }
            const ssize_t n = recv(fd_.get(), buffer, sizeof buffer, 0);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) return;
            if (n <= 0) return close();
            lines_.feed({buffer, static_cast<std::size_t>(n)});
        }
    }

    void flush() {
        if (!net::send_some(fd_.get(), out_)) broken_ = true;
        if (broken_) out_.clear();  // its end will be read soon
    }

    AdminServer& server_;
    base::UniqueFd fd_;
    std::uint64_t number_;
    wire::LineSplitter lines_;
    std::string out_;
    Again again_{*this};
    bool closed_ = false;
    bool broken_ = false;
};

struct AdminServer::Call final : base::Timer {
    Call(AdminServer& s, std::uint64_t n, std::uint64_t c, const Id& id) : server(s), number(n), client(c), sid(id) {}
    AdminServer& server;
    std::uint64_t number;
    std::uint64_t client;
    Id sid;
    std::function<void(HandAnswer)> done;

private:
    void expire(Millis) override { server.finish_call(number, {"the handler did not answer in time", {}, {}}); }
};

AdminServer::AdminServer(net::Loop& loop, Hub& hub, AdminHost& host, std::string node)
    : loop_(loop), hub_(hub), host_(host), node_(std::move(node)) {}

AdminServer::~AdminServer() {
    stop_listening();
    for (const auto& [number, client] : clients_) delete client;
}

Result<void> AdminServer::listen(const std::string& path) {
    auto fd = net::listen_unix(path);
    if (!fd) return tl::unexpected(fd.error());
    listener_ = std::move(*fd);
    path_ = path;
    return loop_.watch(listener_.get(), *this);
}

void AdminServer::stop_listening() {
    if (path_.empty()) return;
    loop_.unwatch(listener_.get(), *this);
    listener_.reset();
    net::remove_socket(path_);
    path_.clear();
}

void AdminServer::on_ready(std::uint32_t) {
    for (;;) {
        const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (const auto known = net::check_client(fd); !known) {
            log::warn("admin", "peer_refused", {{"path", path_}, {"reason", known.error().what}});
            close(fd);
            continue;
        }
        auto* client = new Client(*this, fd, next_client_++);
        if (!loop_.watch(fd, *client)) {
            delete client;
            continue;
        }
        clients_.emplace(client->number(), client);
        wire::AdminGreeting greeting;
        greeting.program = "sio-gateway";
        greeting.version = SIO_VERSION;
        greeting.pid = getpid();
        greeting.node = node_;
        client->send(wire::admin_server_greeting(greeting));
    }
}

void AdminServer::forget(Client& client) {
    clients_.erase(client.number());
    for (const Stream& stream : client.streams) --(stream.handles ? handlers_ : listeners_);
    std::vector<std::uint64_t> orphans;
    for (const auto& [number, call] : calls_) {
        if (call->client == client.number()) orphans.push_back(number);
    }
    for (const std::uint64_t number : orphans) finish_call(number, {"the handler went away", {}, {}});
}

void AdminServer::handle_line(Client& client, std::string_view line) {
    std::string out;
    if (!client.greeted) {
        const auto greeting = wire::parse_admin_greeting(line);
        if (!greeting) {
            const bool other = greeting.error().code == Errc::denied;
            wire::append_admin_error(out, std::nullopt,
                                     other ? wire::admin_error::unsupported : wire::admin_error::malformed,
                                     other ? "this gateway speaks version 1" : greeting.error().what);
            client.send(out);
            client.close();
            return;
        }
        client.greeted = true;
        return;
    }
    const auto request = wire::parse_admin_request(line);
    if (!request) {
        wire::append_admin_error(out, wire::admin_line_id(line), wire::admin_error::malformed, request.error().what);
        client.send(out);
        return;
    }
    dispatch(client, *request);
}

std::string AdminServer::nodes(const ClusterAnswer& others) const {
    std::string list = "[" + wire::ObjectWriter().text("node", node_).boolean("ok", true).object();
    for (const std::string& uid : others.nodes) {
        list += ',' + wire::ObjectWriter().text("node", cluster_->node_of(uid)).boolean("ok", true).object();
    }
    for (const std::string& name : others.silent) {
        list += ',' + wire::ObjectWriter()
                          .text("node", name.empty() ? "unknown" : name)
                          .boolean("ok", false)
                          .text("error", "no answer in time")
                          .object();
    }
    std::string trouble = others.trouble;
    if (trouble.empty() && cluster_ != nullptr && !cluster_->is_live()) trouble = cluster_->trouble();
    if (!trouble.empty()) {
        list += ',' + wire::ObjectWriter().text("node", "others").boolean("ok", false).text("error", trouble).object();
    }
    return list + ']';
}

std::string AdminServer::node_list() const {
    std::string list = "\"nodes\":[";
    if (cluster_ == nullptr) {
        list += wire::ObjectWriter()
                    .text("node", node_)
                    .boolean("ok", true)
                    .boolean("self", true)
                    .number("sockets", static_cast<std::int64_t>(hub_.socket_count()))
                    .object();
        return list + ']';
    }
    bool first = true;
    for (const Cluster::NodeInfo& node : cluster_->nodes()) {
        if (!std::exchange(first, false)) list += ',';
        wire::ObjectWriter item;
        item.text("node", node.name).boolean("ok", true).boolean("self", node.is_self).text("id", node.id);
        item.number("pid", node.pid).number("sockets", node.sockets).number("since_ms", node.since);
        item.number("heard_ms_ago", node.heard_ago);
        if (!node.hop.empty()) item.text("hop", node.hop);
        list += item.object();
    }
    if (!cluster_->is_live()) {
        list += ',' + wire::ObjectWriter()
                          .text("node", "others")
                          .boolean("ok", false)
                          .text("error", cluster_->trouble())
                          .object();
    }
    return list + ']';
}

void AdminServer::send_to(std::uint64_t client, std::uint64_t id, const std::string& members) {
    const auto found = clients_.find(client);
    if (found == clients_.end()) return;
    std::string out;
    wire::append_admin_ok(out, id, members);
    found->second->send(out);
}

void AdminServer::reached(std::uint64_t client, std::uint64_t id, std::size_t count, const ClusterAnswer& others,
                          const std::string& more) {
    send_to(client, id, "\"reached\":" + std::to_string(count) + more + ",\"nodes\":" + nodes(others));
}

void AdminServer::gather(Namespace& nsp, const Selection& selection, Millis timeout,
                         std::function<void(ClusterAnswer)> done) {
    if (cluster_ == nullptr || !cluster_->is_live()) {
        done({});
    } else {
        cluster_->fetch_sockets(nsp, selection, timeout, std::move(done));
    }
}

void AdminServer::gather_count(Namespace& nsp, const Selection& selection, Millis timeout,
                               std::function<void(ClusterAnswer)> done) {
    if (cluster_ == nullptr || !cluster_->is_live()) {
        done({});
    } else {
        cluster_->count_sockets(nsp, selection, timeout, std::move(done));
    }
}

void AdminServer::dispatch(Client& client, const wire::AdminRequest& request) {
    std::string out;
    const std::string& cmd = request.cmd;
    if (cmd == "emit") return emit(client, request);
    if (cmd == "rooms") return rooms(client, request);
    if (cmd == "sockets") return sockets(client, request);
    if (cmd == "join" || cmd == "leave" || cmd == "disconnect") return change(client, request);
    if (cmd == "answer") return answer(request, client);
    if (cmd == "server-emit") return server_emit(client, request);
    if (cmd == "trace") return trace(client, request);
    if (cmd == "presence") {
        presence_->answer(
            request.text, [this, number = client.number(), id = request.id](const Result<std::string>& members) {
                if (members) {
                    send_to(number, id, *members + ",\"nodes\":" + nodes());
                    return;
                }
                const auto found = clients_.find(number);
                if (found == clients_.end()) return;
                std::string refused;
                wire::append_admin_error(refused, id, to_string(members.error().code), members.error().what);
                found->second->send(refused);
            });
        return;
    }
    if (cmd == "health") {
        wire::append_admin_ok(out, request.id, host_.health() + ",\"nodes\":" + nodes());
    } else if (cmd == "stat") {
        wire::append_admin_ok(out, request.id, "\"stat\":" + host_.metrics() + ",\"nodes\":" + nodes());
    } else if (cmd == "nodes") {
        wire::append_admin_ok(out, request.id, node_list());
    } else if (cmd == "routes") {
        wire::append_admin_ok(out, request.id, "\"routes\":" + host_.routes());
    } else if (cmd == "reload") {
        if (const auto done = host_.reload_routes()) {
            wire::append_admin_ok(out, request.id);
        } else {
            wire::append_admin_error(out, request.id, to_string(done.error().code), done.error().what);
        }
    } else if (cmd == "log") {
        const auto name = json::member(request.text, "level");
        const auto level = name ? log::parse_level(decoded(*name)) : std::nullopt;
        if (level) {
            log::set_level(*level);
            wire::append_admin_ok(out, request.id);
        } else {
            wire::append_admin_error(out, request.id, wire::admin_error::malformed,
                                     "level must be trace, debug, info, warn or error");
        }
    } else if (cmd == "listen" || cmd == "handle") {
        Stream stream;
        stream.id = request.id;
        stream.handles = cmd == "handle";
        if (const auto nsp = json::member(request.text, "nsp")) stream.nsp = decoded(*nsp);
        if (stream.handles) {
            if (stream.nsp.empty()) stream.nsp = "/";
            const auto event = json::member(request.text, "event");
            if (!event) {
                wire::append_admin_error(out, request.id, wire::admin_error::malformed, "handle needs an event");
                client.send(out);
                return;
            }
            stream.events.push_back(decoded(*event));
            ++handlers_;
        } else {
            auto events = wire::parse_texts(request.text, "events");
            if (!events) {
                wire::append_admin_error(out, request.id, wire::admin_error::malformed, events.error().what);
                client.send(out);
                return;
            }
            stream.events = std::move(*events);
            stream.lifecycle = json::member(request.text, "lifecycle") == "true";
            ++listeners_;
        }
        client.streams.push_back(std::move(stream));
        wire::append_admin_ok(out, request.id);
    } else {
        wire::append_admin_error(out, request.id, wire::admin_error::unknown_command,
                                 "there is no command '" + cmd + "'");
    }
    client.send(out);
}

Namespace* AdminServer::selected(Client& client, const wire::AdminRequest& request, Selection& selection) {
    std::string out;
    auto parsed = wire::parse_selection(request.text);
    if (!parsed) {
        wire::append_admin_error(out, request.id, wire::admin_error::malformed, parsed.error().what);
        client.send(out);
        return nullptr;
    }
    Namespace* nsp = hub_.find_namespace(parsed->nsp);
    if (nsp == nullptr) {
        wire::append_admin_error(out, request.id, wire::admin_error::not_found,
                                 "there is no namespace '" + parsed->nsp + "'");
        client.send(out);
        return nullptr;
    }
    selection.rooms = std::move(parsed->to);
    selection.users = std::move(parsed->users);
    selection.sockets = std::move(parsed->sockets);
    selection.except = std::move(parsed->except);
    return nsp;
}

void AdminServer::refuse_with(Client& client, std::uint64_t id, std::string_view code, std::string_view why) {
    std::string out;
    wire::append_admin_error(out, id, code, why);
    client.send(out);
}

std::optional<std::string_view> AdminServer::event_of(Client& client, const wire::AdminRequest& request,
                                                      HandAnswer& arguments) {
    const auto name = json::member(request.text, "event");
    if (!name || json::kind_of(*name) != json::Kind::string) {
        refuse_with(client, request.id, wire::admin_error::malformed, request.cmd + " needs an event (a text)");
        return std::nullopt;
    }
    if (proto::is_reserved_event(json::decode_string(*name))) {
        refuse_with(client, request.id, wire::admin_error::denied,
                    json::decode_string(*name) + " is a reserved event name");
        return std::nullopt;
    }
    auto given = parse_arguments(request.text);
    if (!given) {
        refuse_with(client, request.id, to_string(given.error().code), given.error().what);
        return std::nullopt;
    }
    arguments = std::move(*given);
    return name;
}

void AdminServer::emit(Client& client, const wire::AdminRequest& request) {
    Selection selection;
    Namespace* nsp = selected(client, request, selection);
    if (nsp == nullptr) return;
    const auto refuse = [&](std::string_view code, std::string_view why) {
        refuse_with(client, request.id, code, why);
    };
    HandAnswer arguments;
    const auto name = event_of(client, request, arguments);
    if (!name) return;
    const Event event{*name, arguments.arguments, arguments.attachments};
    if (json::member(request.text, "ack") != "true") {
        const bool is_volatile = json::member(request.text, "volatile") == "true";
        if (json::member(request.text, "count") == "false") {
            hub_.emit(*nsp, selection, event, is_volatile);
            return send_to(client.number(), request.id, "\"nodes\":" + nodes());
        }
        const std::size_t here = hub_.count(*nsp, selection);
        hub_.emit(*nsp, selection, event, is_volatile);
        gather_count(*nsp, selection, node_timeout(request),
                     [this, number = client.number(), id = request.id, here](const ClusterAnswer& others) {
                         reached(number, id, here + others.clients, others);
                     });
        return;
    }
    const auto timeout = base::parse_decimal(json::member(request.text, "timeout_ms").value_or("5000"), 3'600'000);
    if (!timeout) return refuse(wire::admin_error::malformed, "timeout_ms must be a whole number up to 3600000");
    if (emits_waiting_ >= max_emits) {
        return refuse(wire::admin_error::unavailable, "10000 emits wait for acknowledgements already");
    }
    ++emits_waiting_;
    // Here and elsewhere; answered when both are done.
    struct Both {
        std::optional<Answers> here;
        std::optional<ClusterAnswer> others;
    };
    const auto both = std::make_shared<Both>();
    const auto finish = [this, both, number = client.number(), id = request.id] {
        if (!both->here || !both->others) return;
        --emits_waiting_;
        std::string list = ",\"answers\":[";
        bool first = true;
        for (const Answers::One& one : both->here->answers) {
            if (!std::exchange(first, false)) list += ',';
            wire::ObjectWriter item;
            item.text("sid", one.sid.view()).raw("args", one.arguments);
            append_attachments(item, one.attachments);
            list += item.object();
        }
        for (const auto& value : both->others->values) {
            if (!std::exchange(first, false)) list += ',';
            wire::ObjectWriter item;
            item.raw("sid", "null").raw("args", "[" + value.json + "]");
            append_attachments(item, value.attachments);
            list += item.object();
        }
        const std::size_t answered = both->here->answers.size() + both->others->values.size();
        const std::size_t asked = both->here->answers.size() + both->here->silent + both->others->clients;
        list += "],\"silent\":" + std::to_string(asked - std::min(asked, answered));
        reached(number, id, std::max(asked, answered), *both->others, list);
    };
    if (cluster_ == nullptr || !cluster_->is_live()) {
        both->others = ClusterAnswer{};
    } else {
        cluster_->ask(*nsp, selection, event, static_cast<Millis>(*timeout), [both, finish](ClusterAnswer others) {
            both->others = std::move(others);
            finish();
        });
    }
    hub_.ask(*nsp, selection, event, static_cast<Millis>(*timeout), [both, finish](Answers answers) {
        both->here = std::move(answers);
        finish();
    });
}

void AdminServer::server_emit(Client& client, const wire::AdminRequest& request) {
    Selection nobody;
    Namespace* nsp = selected(client, request, nobody);
    if (nsp == nullptr) return;
    const auto refuse = [&](std::string_view code, std::string_view why) {
        refuse_with(client, request.id, code, why);
    };
    HandAnswer arguments;
    const auto name = event_of(client, request, arguments);
    if (!name) return;
    if (cluster_ == nullptr || !cluster_->is_live()) {
        return refuse(wire::admin_error::unavailable,
                      cluster_ == nullptr ? "this gateway is alone" : cluster_->trouble());
    }
    std::optional<Millis> timeout;
    if (json::member(request.text, "ack") == "true") {
        const auto given = base::parse_decimal(json::member(request.text, "timeout_ms").value_or("5000"), 3'600'000);
        if (!given) return refuse(wire::admin_error::malformed, "timeout_ms must be a whole number up to 3600000");
        timeout = static_cast<Millis>(*given);
    }
    const Event event{*name, arguments.arguments, arguments.attachments};
    cluster_->server_side_emit(
        *nsp, event, timeout, [this, number = client.number(), id = request.id](const ClusterAnswer& others) {
            std::string list = "\"answers\":[";
            for (std::size_t i = 0; i < others.values.size(); ++i) {
                wire::ObjectWriter item;
                item.text("node", cluster_->node_of(others.nodes[i])).raw("args", "[" + others.values[i].json + "]");
                append_attachments(item, others.values[i].attachments);
                if (i > 0) list += ',';
                list += item.object();
            }
            send_to(number, id, list + "],\"nodes\":" + nodes(others));
        });
}

void AdminServer::trace(Client& client, const wire::AdminRequest& request) {
    const auto text = [&request](std::string_view member) {
        const auto raw = json::member(request.text, member);
        return raw && json::kind_of(*raw) == json::Kind::string ? json::decode_string(*raw) : std::string();
    };
    const auto entry = Position::parse(text("entry"));
    if (!entry) return refuse_with(client, request.id, wire::admin_error::malformed, "entry must be a text MS-SEQ");
    if (cluster_ == nullptr) {
        return refuse_with(client, request.id, wire::admin_error::unavailable,
                           "this gateway is alone: it reads no stream");
    }
    std::string stream = text("stream");
    if (const std::string nsp = text("nsp"); stream.empty() && !nsp.empty()) stream = cluster_->stream_key(nsp);
    cluster_->trace(stream, *entry, node_timeout(request),
                    [this, number = client.number(), id = request.id](const std::string& list) {
                        send_to(number, id, "\"nodes\":" + list);
                    });
}

void AdminServer::rooms(Client& client, const wire::AdminRequest& request) {
    const auto only = json::member(request.text, "nsp");
    const std::string wanted = only ? decoded(*only) : std::string();
    const bool all = json::member(request.text, "all") == "true";
    // One question to the others for each namespace; answered when the last one is done.
    struct Sum {
        std::map<std::pair<std::string, std::string>, std::size_t> rooms;
        ClusterAnswer others;
        std::size_t open = 1;
    };
    const auto sum = std::make_shared<Sum>();
    const auto finish = [this, sum, number = client.number(), id = request.id] {
        if (--sum->open > 0) return;
        std::string list = "\"rooms\":[";
        bool first = true;
        for (const auto& [key, count] : sum->rooms) {
            if (!std::exchange(first, false)) list += ',';
            list += wire::ObjectWriter()
                        .text("nsp", key.first)
                        .text("room", key.second)
                        .number("sockets", static_cast<std::int64_t>(count))
                        .object();
        }
        send_to(number, id, list + "],\"nodes\":" + nodes(sum->others));
    };
    std::vector<Namespace*> asked;
    for (const auto& [name, nsp] : hub_.namespaces()) {
        if (!wanted.empty() && name != wanted) continue;
        for (const auto& [room, members] : nsp->rooms) sum->rooms[{name, room}] += members->members.size();
        if (all) {
            nsp->by_id.each([&](Outbox::Slot slot) {
                const Socket* socket = hub_.socket_in(slot, *nsp);
                if (socket != nullptr) sum->rooms[{nsp->name, std::string(socket->id.view())}] += 1;
            });
        }
        asked.push_back(nsp.get());
    }
    sum->open += asked.size();
    for (Namespace* nsp : asked) {
        gather(*nsp, {}, node_timeout(request), [sum, finish, all, name = nsp->name](ClusterAnswer others) {
            for (const auto& array : others.values) {
                for (json::Walker socket(array.json); socket.next();) {
                    const std::string sid = decoded(json::member(socket.value(), "id").value_or("\"\""));
                    for (json::Walker room(json::member(socket.value(), "rooms").value_or("[]")); room.next();) {
                        const std::string joined = decoded(room.value());
                        if (all || joined != sid) sum->rooms[{name, joined}] += 1;
                    }
                }
            }
            const auto weight = [](const ClusterAnswer& one) {
                return std::tuple(!one.trouble.empty(), one.silent.size(), one.expected);
            };
            if (weight(others) >= weight(sum->others)) sum->others = std::move(others);
            finish();
        });
    }
    finish();
}

void AdminServer::sockets(Client& client, const wire::AdminRequest& request) {
    Selection selection;
    Namespace* nsp = selected(client, request, selection);
    if (nsp == nullptr) return;
    std::string list = "\"sockets\":[";
    bool first = true;
    for (const Socket* socket : hub_.select(*nsp, selection)) {
        const Session* session = hub_.engine().session(socket->slot);
        if (session == nullptr) continue;
        std::vector<std::string> joined{std::string(socket->id.view())};
        for (const Socket::Seat& seat : socket->seats) joined.push_back(seat.room->name);
        wire::ObjectWriter item;
        item.text("sid", socket->id.view()).text("nsp", nsp->name);
        append_user(item, *socket);
        item.text("transport", session->state.transport() == proto::EioTransport::polling ? "polling" : "websocket")
            .text("address", session->address.to_string())
            .texts("rooms", joined)
            .number("connected_ms", socket->connected_wall_clock)
            .boolean("recovered", socket->recovered);
        if (socket->pass != nullptr && !socket->pass->session.empty()) item.text("session", socket->pass->session);
        if (socket->pass != nullptr && socket->pass->expires) item.number("expires", *socket->pass->expires);
        if (cluster_ != nullptr) item.text("node", node_);
        if (!std::exchange(first, false)) list += ',';
        list += item.object();
    }
    gather(
        *nsp, selection, node_timeout(request),
        [this, list, first, name = nsp->name, number = client.number(), id = request.id](const ClusterAnswer& others) {
            std::string all = list;
            bool is_first = first;
            for (std::size_t node = 0; node < others.values.size(); ++node) {
                for (json::Walker socket(others.values[node].json); socket.next();) {
                    const std::string_view text = socket.value();
                    const std::string_view handshake = json::member(text, "handshake").value_or("{}");
                    const std::string_view data = json::member(text, "data").value_or("{}");
                    if (!std::exchange(is_first, false)) all += ',';
                    all += wire::ObjectWriter()
                               .raw("sid", json::member(text, "id").value_or("null"))
                               .text("nsp", name)
                               .raw("user", json::member(data, "userId").value_or("null"))
                               .raw("transport", "null")
                               .raw("address", json::member(handshake, "address").value_or("null"))
                               .raw("rooms", json::member(text, "rooms").value_or("[]"))
                               .raw("connected_ms", json::member(handshake, "issued").value_or("null"))
                               .text("node", cluster_->node_of(others.nodes[node]))
                               .object();
                }
            }
            send_to(number, id, all + "],\"nodes\":" + nodes(others));
        });
}

void AdminServer::change(Client& client, const wire::AdminRequest& request) {
    Selection selection;
    Namespace* nsp = selected(client, request, selection);
    if (nsp == nullptr) return;
    std::string out;
    auto names = wire::parse_texts(request.text, "rooms");
    const bool disconnects = request.cmd == "disconnect";
    if (!disconnects && (!names || names->empty())) {
        wire::append_admin_error(out, request.id, wire::admin_error::malformed, "rooms must be an array of texts");
        client.send(out);
        return;
    }
    const auto how_token = json::member(request.text, "how");
    const std::string how = how_token ? decoded(*how_token) : "namespace";
    if (disconnects && how != "namespace" && how != "client" && how != "transport") {
        wire::append_admin_error(out, request.id, wire::admin_error::malformed,
                                 "how must be namespace, client or transport");
        client.send(out);
        return;
    }
    std::size_t here = hub_.count(*nsp, selection);
    // Who they are elsewhere is asked first: afterwards they may have left the room that names them.
    gather_count(
        *nsp, selection, node_timeout(request),
        [this, here, how, name = nsp->name, selection, names = names ? std::move(*names) : std::vector<std::string>(),
         cmd = request.cmd, number = client.number(), id = request.id](ClusterAnswer others) {
            Namespace* still = hub_.find_namespace(name);
            if (still == nullptr) return;
            if (cluster_ != nullptr && how != "transport") {
                cluster_->change(name,
                                 cmd == "join"    ? Cluster::Change::join
                                 : cmd == "leave" ? Cluster::Change::leave
                                                  : Cluster::Change::disconnect,
                                 selection, names, how == "client");
                reached(number, id, here + others.clients, others);
                return;
            }
            if (cmd == "join") {
                join_here(hub_, *still, selection, names);
            } else if (cmd == "leave") {
                leave_here(hub_, *still, selection, names);
            } else {
                disconnect_here(hub_, *still, selection,
                                how == "transport" ? Disconnection::of_transport
                                : how == "client"  ? Disconnection::of_client
                                                   : Disconnection::from_namespace);
            }
            if (how == "transport") others = {};
            reached(number, id, here, others);
        });
}

// --- streams --------------------------------------------------------------------------------------------------------

void AdminServer::on_client_event(const Socket& socket, const proto::SioPacket& packet) {
    if (listeners_ == 0) return;
    const std::string event = decoded(proto::event_name_token(packet.json));
    wire::ObjectWriter item;
    item.number("time_ms", loop_.wall_clock()).text("nsp", socket.nsp->name).text("sid", socket.id.view());
    append_user(item, socket);
    item.text("event", event).raw("args", "[" + std::string(proto::event_arguments(packet.json)) + "]");
    item.boolean("ack", packet.id.has_value());
    if (packet.attachments != nullptr) append_attachments(item, *packet.attachments);
    for (const auto& [number, client] : clients_) {
        for (Stream& stream : client->streams) {
            if (stream.handles || !stream.wants(socket.nsp->name, event)) continue;
            client->send_stream(stream, wire::ObjectWriter()
                                            .number("id", static_cast<std::int64_t>(stream.id))
                                            .raw("event", item.object())
                                            .line());
        }
    }
}

void AdminServer::on_lifecycle(const Socket& socket, std::string_view event, std::string_view reason) {
    if (listeners_ == 0) return;
    wire::ObjectWriter item;
    item.number("time_ms", loop_.wall_clock()).text("nsp", socket.nsp->name).text("sid", socket.id.view());
    append_user(item, socket);
    item.text("event", event).boolean("lifecycle", true);
    if (!reason.empty()) item.text("reason", reason);
    for (const auto& [number, client] : clients_) {
        for (Stream& stream : client->streams) {
            if (stream.handles || !stream.lifecycle || (!stream.nsp.empty() && stream.nsp != socket.nsp->name))
                continue;
            client->send_stream(stream, wire::ObjectWriter()
                                            .number("id", static_cast<std::int64_t>(stream.id))
                                            .raw("event", item.object())
                                            .line());
        }
    }
}

void AdminServer::on_server_event(const std::string& nsp, std::string_view event, std::string_view arguments,
                                  const std::function<void(std::string)>& answer) {
    const std::string name = decoded(event);
    wire::ObjectWriter item;
    item.number("time_ms", loop_.wall_clock()).text("nsp", nsp).raw("sid", "null").boolean("server", true);
    item.text("event", name).raw("args", "[" + std::string(arguments) + "]").boolean("ack", answer != nullptr);
    for (const auto& [number, client] : clients_) {
        for (Stream& stream : client->streams) {
            if (stream.handles || !stream.wants(nsp, name)) continue;
            client->send_stream(stream, wire::ObjectWriter()
                                            .number("id", static_cast<std::int64_t>(stream.id))
                                            .raw("event", item.object())
                                            .line());
        }
    }
    // A server that is asked and says nothing makes the one that asks wait for its whole timeout.
    if (answer) answer("null");
}

bool AdminServer::has_handler(std::string_view nsp, std::string_view event) const {
    if (handlers_ == 0) return false;
    for (const auto& [number, client] : clients_) {
        for (const Stream& stream : client->streams) {
            if (stream.handles && stream.wants(nsp, event)) return true;
        }
    }
    return false;
}

bool AdminServer::hand(const Socket& socket, std::string_view handler, std::string_view name,
                       std::string_view arguments, std::span<const std::string> attachments, bool wants_ack,
                       Millis timeout, std::function<void(HandAnswer)> done) {
    const std::string event = decoded(name);
    std::vector<std::pair<Client*, Stream*>> waiting;
    for (const auto& [number, client] : clients_) {
        for (Stream& stream : client->streams) {
            if (stream.handles && stream.wants(socket.nsp->name, handler)) waiting.emplace_back(client, &stream);
        }
    }
    if (waiting.empty()) return false;
    const std::size_t room = calls_of_socket_.contains(socket.id) ? max_backlog : max_backlog_in_shares;
    std::erase_if(waiting, [room](const auto& one) { return one.first->backlog() > room; });
    if (waiting.empty() || calls_.size() >= max_calls) {
        ++calls_refused_;
        done({waiting.empty() ? "the handler does not read" : "too many events wait for an answer already", {}, {}});
        return true;
    }
    const std::uint64_t number = next_call_++;
    const auto [client, stream] = waiting[number % waiting.size()];
    auto call = std::make_unique<Call>(*this, number, client->number(), socket.id);
    ++calls_of_socket_[socket.id];
    call->done = std::move(done);
    loop_.timers().arm(*call, loop_.now() + timeout);
    calls_.emplace(number, std::move(call));
    wire::ObjectWriter line;
    line.number("id", static_cast<std::int64_t>(stream->id)).number("call", static_cast<std::int64_t>(number));
    line.text("nsp", socket.nsp->name).text("sid", socket.id.view());
    append_user(line, socket);
    line.text("event", event).raw("args", "[" + std::string(arguments) + "]").boolean("ack", wants_ack);
    append_attachments(line, attachments);
    client->send(line.line());
    return true;
}

void AdminServer::finish_call(std::uint64_t number, HandAnswer answer) {
    const auto found = calls_.find(number);
    if (found == calls_.end()) return;
    auto call = std::move(found->second);
    calls_.erase(found);
    const auto calls_of = calls_of_socket_.find(call->sid);
    SIO_CHECK(calls_of != calls_of_socket_.end());
    if (--calls_of->second == 0) calls_of_socket_.erase(calls_of);
    call->disarm();
    auto done = std::move(call->done);
    finished_calls_.clear();
    finished_calls_.push_back(std::move(call));  // its expire() may be on the stack
    done(std::move(answer));
}

void AdminServer::answer(const wire::AdminRequest& request, Client& client) {
    std::string out;
    const auto number = base::parse_decimal(json::member(request.text, "call").value_or(""));
    if (!number || !calls_.contains(*number)) {
        wire::append_admin_error(out, request.id, wire::admin_error::not_found, "no such call (it may have timed out)");
        client.send(out);
        return;
    }
    if (const auto error = json::member(request.text, "error")) {
        finish_call(*number, {decoded(*error), {}, {}});
        return;
    }
    auto arguments = parse_arguments(request.text);
    if (!arguments) {
        wire::append_admin_error(out, request.id, to_string(arguments.error().code), arguments.error().what);
        client.send(out);
        finish_call(*number, {"the handler's answer was malformed", {}, {}});
        return;
    }
    finish_call(*number, std::move(*arguments));
}

}  // namespace sio::gateway
