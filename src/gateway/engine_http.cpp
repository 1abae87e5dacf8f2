// The HTTP side of the Engine.IO server: which request is what, in Node's order of checks (wire-protocol 1.7), polls,
// POSTs and the WebSocket handshake.
#include <array>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/http_text.h"

namespace sio::gateway {

using proto::CloseReason;
using proto::EioTransport;

namespace {

// wire-protocol 1.7; the order is that of the codes.
constexpr std::array<std::string_view, 6> error_messages = {
    "Transport unknown", "Session ID unknown", "Bad handshake method",
    "Bad request",       "Forbidden",          "Unsupported protocol version"};
enum ErrorCode : int { unknown_transport = 0, unknown_sid, bad_method, bad_request, forbidden, unsupported_version };

constexpr std::string_view no_store = "cache-control: no-store\r\n";
constexpr std::uint64_t packets_per_turn = 2'048;  // of one POST
constexpr std::size_t max_compressed = 128 << 10;  // bytes of polls' answers in a turn: five milliseconds for all
constexpr std::size_t compressed_per_work = 16;    // bytes

}  // namespace

void Engine::answer_error(Connection& connection, int code) {
    const std::string_view message = error_messages[static_cast<std::size_t>(code)];
    ++stats_.requests_refused;
    log::debug("http", "connection_error",
               {{"code", code}, {"message", message}, {"address", connection.address.to_string()}});
    std::string body = R"({"code":)" + std::to_string(code) + R"(,"message":)" + json::quote(message) + '}';
    connection.reply(code == forbidden ? 403 : 400, "application/json", body);
}

// A head is complete. POSTs of sessions and upgrades are decided on now; everything else when its body (mostly none)
// has been read, so that the connection can be kept.
void Engine::route(Connection& connection) {
    Exchange& x = *connection.exchange;
    const proto::HttpHead& head = x.head;
    if (!identify(connection)) return;
    if (connection.gate != nullptr && !enter_by_hop(connection)) return;
    if (service_ != nullptr && is_for_service(connection)) return;
    if (leaves(connection)) return;
    if (!is_ours(head.path)) {
        if (head.upgrade_websocket) connection.refuse_upgrade("Not found", {}, 404);
        return;
    }
    cors_.append(x.reply.cors, head.header("origin"));
    if (head.upgrade_websocket && options_.websocket) {
        if (head.content_length > 0 || head.chunked) {
            connection.refuse_upgrade(error_messages[bad_request]);
            return;
        }
        route_upgrade(connection);
        return;
    }
    if (head.method != "POST") return;
    const auto sid = proto::query_parameter(head.query, "sid");
    Session* session = sid && !sid->empty() ? find(*sid) : nullptr;
    if (session == nullptr || session->closing) return;
    if (proto::query_parameter(head.query, "transport") != "polling" ||
        session->state.transport() != EioTransport::polling || proto::query_parameter(head.query, "EIO") != "4") {
        return;
    }
    begin_post(connection, *session);
}

/// Whether a path is Engine.IO's. Without its slash, too: that is how Next.js rewrites pass it on, and how clients with
/// addTrailingSlash off ask.
bool Engine::is_ours(std::string_view path) const noexcept {
    const std::string_view own = options_.path;
    return path.starts_with(own) || path == own.substr(0, own.size() - 1);
}

/// Finds out whose request it is that a proxy passes on. False: its client has too many connections, and it is refused.
bool Engine::identify(Connection& connection) {
    if (connection.gate != nullptr || connection.kind == PeerKind::client) return true;
    if (!options_.proxies.contains(connection.peer)) return true;
    const proto::HttpHead& head = connection.exchange->head;
    const net::Address address = client_address(head, connection.peer, options_.proxies);
    connection.address = address;
    // A listed proxy's own requests, to see whether we live, are nobody's.
    const bool is_proxy = options_.proxies.are_listed && options_.proxies.contains(address);
    return count_for(connection, is_proxy ? net::Address{} : address);
}

/// Counts a proxy's connection for its client. False: that has too many, and the connection is refused.
bool Engine::count_for(Connection& connection, const net::Address& address) {
    if (address == connection.counted()) return true;
    if (places_.may_connect(address)) {
        set_counted(connection, address);
        return true;
    }
    tell_refused_connection(address);
    connection.close_after_reply = true;
    if (connection.exchange == nullptr) {
        connection.refuse(503, "too many connections of this address");
    } else if (connection.exchange->head.upgrade_websocket) {
        connection.refuse_upgrade("Server is full", {}, 503);
    } else {
        connection.reply(503, {}, {});
    }
    return false;
}

/// A proxy's kept connection is nobody's between two requests: the next may be another client's.
void Engine::release_client(Connection& connection) {
    if (connection.gate != nullptr || connection.kind == PeerKind::client) return;
    if (!options_.proxies.contains(connection.peer)) return;
    connection.address = connection.peer;
    if (connection.counted() == net::Address{}) return;
    static_cast<void>(count_for(connection, {}));  // of which there may be any number
    recount(connection);
}

/// From now on the connection is of the client that its proxy has named. What a head says is the word of one proxy, as
/// an element of a list would be: the client's own lists count only when it is a listed proxy, too.
bool Engine::take_proxy_head(Connection& connection, const proto::ProxyHead& head) {
    ++stats_.proxy_heads;
    if (head.family == proto::ProxyHead::Family::none) return true;  // the proxy's own, as its requests are
    connection.address = connection.peer = net::Address{head.source};
    if (!options_.proxies.are_listed) connection.kind = PeerKind::client;
    const bool is_proxy = options_.proxies.are_listed && options_.proxies.contains(connection.peer);
    return count_for(connection, is_proxy ? net::Address{} : connection.peer);
}

std::string_view to_string(ProxyFault fault) noexcept {
    switch (fault) {
        case ProxyFault::missing: return "missing";
        case ProxyFault::malformed: return "malformed";
        case ProxyFault::untrusted: return "untrusted";
        case ProxyFault::off: return "off";
        case ProxyFault::count: break;
    }
    return {};
}

void Engine::refuse_proxy_head(Connection& connection, ProxyFault fault, std::string_view reason) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(ProxyFault::count)> remedies = {
        "let this proxy begin each connection, also those of its health checks, with the PROXY protocol, or take its "
        "address out of trust-proxy",
        "see what this proxy sends: a head of version 1, or of version 2 with 4096 bytes at most",
        "add this address to trust-proxy when it is a proxy's",
        "set proxy-protocol when this is a proxy, and name it in trust-proxy; or let the proxy send no PROXY protocol"};
    const auto index = static_cast<std::size_t>(fault);
    ++stats_.proxy_faults[index];
    if (const auto held_back = proxy_logs_[index].pass(loop_.now())) {
        log::warn("gateway", "proxy_head_refused",
                  {{"address", connection.peer.to_string()},
                   {"fault", to_string(fault)},
                   {"reason", reason},
                   {"remedy", remedies[index]},
                   {"held_back", *held_back}});
    }
    connection.refuse(400, "the PROXY protocol");
}

// --- requests of the service ---

bool Engine::is_for_service(Connection& connection) {
    Exchange& x = *connection.exchange;
    HttpAnswer answer;
    switch (service_->on_head(next_request_, x.head, answer)) {
        case HttpService::Wish::nothing: return false;
        case HttpService::Wish::answer:
            ++stats_.requests_refused;
            if (x.head.chunked || x.head.content_length > 0) connection.close_after_reply = true;
            connection.reply(answer.status, answer.content_type, answer.body, answer.headers);
            return true;
        case HttpService::Wish::body: break;
    }
    connection.request = next_request_++;
    requests_.emplace(connection.request, &connection);
    connection.set_rank(Rank::none, loop_.now());
    x.body_limit = service_->max_body();
    x.wants_body = true;
    return true;
}

void Engine::hand_to_service(Connection& connection) {
    // As with a held poll: of the request only what the answer needs is kept.
    connection.disarm();
    connection.parked = std::make_unique<ReplyContext>(std::move(connection.exchange->reply));
    std::string body = std::move(connection.exchange->body);
    connection.exchange.reset();
    connection.holds_poll = true;
    service_->on_request(connection.request, std::move(body));
}

void Engine::answer(std::uint64_t number, const HttpAnswer& answer) {
    const auto found = requests_.find(number);
    if (found == requests_.end()) return;
    Connection& connection = *found->second;
    requests_.erase(found);
    connection.request = 0;
    connection.set_rank(Rank::bare, loop_.now());
    if (answer.status >= 400) ++stats_.requests_refused;
    connection.reply(answer.status, answer.content_type, answer.body, answer.headers);
}

// A body above its limit is dropped; the session it was for goes on.
void Engine::refuse_body(Connection& connection) {
    abandon_post(connection);
    ++stats_.requests_refused;
    connection.close_after_reply = true;
    const Exchange& x = *connection.exchange;
    const std::uint64_t size = x.head.chunked ? 0 : x.head.content_length;
    HttpAnswer answer;
    answer.status = 413;
    answer.content_type = "text/plain; charset=UTF-8";
    answer.body =
        tell_limit(connection.request != 0 ? Limit::api_body : Limit::body, connection.address, {}, size, x.body_limit);
    if (connection.request != 0) service_->too_large(connection.request, answer);
    connection.reply(answer.status, answer.content_type, answer.body, answer.headers);
}

// Another gateway passes a request on. Its proof is asked for before anything else is looked at.
bool Engine::enter_by_hop(Connection& connection) {
    Exchange& x = *connection.exchange;
    const auto refuse = [&](int status) {
        ++stats_.requests_refused;
        connection.close_after_reply = true;
        connection.reply(status, {}, {});
        return false;
    };
    const auto address = connection.gate->admit(x.head);
    if (!address) return refuse(403);
    if (!places_.may_connect(*address)) {
        tell_refused_connection(*address);
        return refuse(503);
    }
    connection.address = *address;
    set_counted(connection, *address);
    x.reply.keep_alive = false;  // the next request of this client may be for somebody else
    return true;
}

// Whether the request is for a session of another gateway that can be reached: then the connection goes there.
bool Engine::leaves(Connection& connection) {
    // A kept connection's next request may be another client's: a proxy stands before us.
    const bool at_home = std::exchange(connection.at_home, connection.gate != nullptr);
    if (forwarders_.empty() || at_home) return false;
    Exchange& x = *connection.exchange;
    const proto::HttpHead& head = x.head;
    if (!is_ours(head.path) || (head.method != "GET" && head.method != "POST")) return false;
    const auto sid = proto::query_parameter(head.query, "sid");
    const auto tag = Tag::of_session(sid.value_or(""));
    if (!tag || *tag == ids_.tag() || find(*sid) != nullptr) return false;
    for (Forwarder* forwarder : forwarders_) {
        switch (forwarder->reach(*tag)) {
            case Forwarder::Reach::unknown: continue;
            case Forwarder::Reach::full:
                connection.close_after_reply = true;
                if (head.upgrade_websocket) {
                    connection.refuse_upgrade("Server is full", {}, 503);
                } else {
                    connection.reply(503, {}, {});
                }
                return true;
            case Forwarder::Reach::open:
                x.way = forwarder;
                x.goal = *tag;
                connection.leave();
                return true;
        }
    }
    return false;
}

void Engine::finish_request(Connection& connection) {
    if (connection.request != 0) return hand_to_service(connection);
    Exchange& x = *connection.exchange;
    if (x.wants_body) {
        Session* session = connection.generation != 0 && generations_[connection.slot] == connection.generation
                               ? this->session(connection.slot)
                               : nullptr;
        if (session != nullptr && session->post == &connection) {
            finish_post(connection);
        } else {
            answer_error(connection, unknown_sid);  // it was closed while the body came
        }
        return;
    }
    if (is_ours(x.head.path)) {
        route_engine(connection);
    } else {
        answer_app(connection);
    }
}

void Engine::answer_app(Connection& connection) {
    HttpAnswer answer;
    if (!app_.on_http(connection.exchange->head, answer)) answer = HttpAnswer{};
    connection.reply(answer.status, answer.content_type, answer.body, answer.headers);
}

void Engine::route_engine(Connection& connection) {
    Exchange& x = *connection.exchange;
    const proto::HttpHead& head = x.head;
    if (cors_.is_enabled() && head.method == "OPTIONS") {
        x.reply.cors.clear();
        cors_.append_preflight(x.reply.cors, head.header("origin"), head.header("access-control-request-headers"));
        connection.reply(204, {}, {}, "Content-Length: 0\r\n");
        return;
    }
    HttpAnswer answer;
    // A file of the client bundle, or something else that has the path without its slash.
    const bool is_bare = !head.path.starts_with(options_.path);
    if (!(is_bare && proto::query_parameter(head.query, "EIO")) && app_.on_http(head, answer)) {
        connection.reply(answer.status, answer.content_type, answer.body, answer.headers);
        return;
    }
    const auto transport = proto::query_parameter(head.query, "transport");
    const bool polling = transport == "polling" && options_.polling;
    if (!polling && !(transport == "websocket" && options_.websocket)) {
        answer_error(connection, unknown_transport);
        return;
    }
    const bool version_4 = proto::query_parameter(head.query, "EIO") == "4";
    const auto sid = proto::query_parameter(head.query, "sid");
    if (sid && !sid->empty()) {
        Session* session = find(*sid);
        if (session == nullptr) {
            answer_error(connection, unknown_sid);
        } else if (polling != (session->state.transport() == EioTransport::polling) || !version_4) {
            answer_error(connection, bad_request);
        } else if (head.method == "GET") {
            poll(connection, *session);
        } else if (head.method == "POST") {
            answer_error(connection, unknown_sid);  // a session that is closing takes nothing any more
        } else {
            connection.reply(500, {}, {});
        }
        return;
    }
    if (head.method != "GET") {
        answer_error(connection, bad_method);
    } else if (!polling) {
        answer_error(connection, bad_request);
    } else if (!version_4 && !refusing_) {
        answer_error(connection, unsupported_version);
    } else if (!put_off(connection, false) && !refuses_session(connection, false)) {
        handshake(connection);
    }
}

/// Whether there is no place for another session; then its client has been told.
bool Engine::refuses_session(Connection& connection, bool upgrade) {
    const auto why = find_place(connection.counted());
    if (!why) return false;
    tell_no_session(*why, connection.address);
    const std::string_view message = *why == NoSession::draining  ? "Server is shutting down"
                                     : *why == NoSession::address ? "Too many sessions from this address"
                                                                  : "Server is full";
    if (upgrade) {
        connection.refuse_upgrade(message, {}, 503);
    } else {
        connection.close_after_reply = true;
        connection.reply(503, "application/json", R"({"code":4,"message":)" + json::quote(message) + '}');
    }
    return true;
}

// A client that is told so comes back by itself, later each time.
bool Engine::put_off(Connection& connection, bool upgrade) {
    if (refusing_ || app_.takes_sessions()) return false;
    ++stats_.handshakes_put_off;
    constexpr std::string_view retry = "Retry-After: 1\r\n";
    if (upgrade) {
        connection.refuse_upgrade("try again", retry, 503);
    } else {
        connection.close_after_reply = true;
        connection.reply(503, "application/json", R"({"code":4,"message":"try again"})", retry);
    }
    return true;
}

void Engine::handshake(Connection& connection) {
    Session& session = open_session(connection, EioTransport::polling);
    std::string body;
    proto::append_open_packet(body, {session.sid.view(), options_.websocket && options_.upgrades,
                                     options_.times.ping_interval, options_.times.ping_timeout, options_.max_payload});
    std::string headers(no_store);
    if (!options_.cookie.empty()) {
        const std::size_t name_end = std::min(options_.cookie.find(';'), options_.cookie.size());
        headers += "Set-Cookie: " + options_.cookie.substr(0, name_end) + '=';
        headers += session.sid.view();
        headers += options_.cookie.substr(name_end) + "\r\n";
    }
    app_.on_open(session.slot);
    recount(session);  // it outlives this connection
    connection.reply(200, "text/plain; charset=UTF-8", body, headers);
}

void Engine::poll(Connection& connection, Session& session) {
    Exchange& x = *connection.exchange;
    if (session.closing) {
        std::string last;
        if (outbox_.take_payload(session.slot, max_packets_per_poll, last) == 0) {
            last =
                "6\x1e"
                "1";
            release(session.slot);
        }
        connection.reply(200, "text/plain; charset=UTF-8", last, no_store);
        return;
    }
    if (session.poll != nullptr) {
        close(session.slot, CloseReason::transport_error, Ending::as_node);
        connection.reply(400, {}, {});
        return;
    }
    if (options_.compression_threshold) {
        if (const auto accepted = proto::header_text(x.head, "accept-encoding")) {
            static constexpr std::array<std::string_view, 2> offered = {"gzip", "deflate"};
            x.reply.encoding = proto::choose_encoding(*accepted, offered.data(), offered.size());
        }
    }
    // A held poll keeps nothing of its request but what the answer needs.
    connection.parked = std::make_unique<ReplyContext>(std::move(x.reply));
    connection.exchange.reset();
    connection.holds_poll = true;
    connection.slot = session.slot;
    connection.generation = generations_[session.slot];
    session.poll = &connection;
    rank(session);
    std::string payload;
    if (outbox_.take_payload(session.slot, max_packets_per_poll, payload) > 0) {
        answer_poll(session, std::move(payload));
        return;
    }
    outbox_.set_poll_waiting(session.slot, true);
    session.state.poll_parked(loop_.now());
    arm(session);
}

void Engine::answer_poll(Session& session, std::string payload) {
    Connection* connection = std::exchange(session.poll, nullptr);
    outbox_.set_poll_waiting(session.slot, false);
    session.state.poll_answered();
    connection->generation = 0;
    connection->set_rank(Rank::bare, loop_.now());
    rank(session);
    std::string headers;
    const std::string_view encoding = connection->parked->encoding;
    if ((encoding == "gzip" || encoding == "deflate") && payload.size() >= *options_.compression_threshold &&
        compressed_ + payload.size() <= max_compressed) {
        compressed_ += payload.size();
        work_ += payload.size() / compressed_per_work;
        if (std::string compressed = compress(encoding, payload); !compressed.empty()) {
            payload = std::move(compressed);
            headers = "Content-Encoding: " + std::string(encoding) + "\r\n";
        }
    }
    headers += no_store;
    connection->reply(200, "text/plain; charset=UTF-8", payload, headers);
}

void Engine::begin_post(Connection& connection, Session& session) {
    Exchange& x = *connection.exchange;
    const Slot slot = session.slot;
    if (session.post != nullptr) {
        Connection* first = std::exchange(session.post, nullptr);
        close(slot, CloseReason::transport_error, Ending::as_node);
        first->generation = 0;
        first->destroy();
        connection.close_after_reply = true;
        connection.reply(400, {}, {});
        return;
    }
    if (x.head.header("content-type") == "application/octet-stream") {
        close(slot, CloseReason::transport_error, Ending::as_node);
        connection.close_after_reply = true;
        connection.reply(400, {}, {});
        return;
    }
    if (x.body_left > options_.max_payload) return;  // answered 413 without touching the session
    x.wants_body = true;
    connection.slot = slot;
    connection.generation = generations_[slot];
    session.post = &connection;
    rank(session);
}

void Engine::abandon_post(Connection& connection) {
    const std::uint32_t generation = std::exchange(connection.generation, 0);
    if (generation == 0 || generations_[connection.slot] != generation) return;
    Session* session = sessions_[connection.slot].get();
    if (session == nullptr || session->post != &connection) return;
    session->post = nullptr;
    connection.set_rank(Rank::bare, loop_.now());
    rank(*session);
}

void Engine::finish_post(Connection& connection) {
    Exchange& x = *connection.exchange;
    connection.disarm();
    x.payload.emplace(x.body);
    if (!base::is_utf8(x.body)) {
        close(connection.slot, CloseReason::parse_error, Ending::as_node);  // nothing of it is delivered
    }
    deliver_post(connection);
}

/// Delivers the next packets of a POST, and answers it behind the last, with `ok` whatever they did. False: there are
/// more than a turn should take, and the rest comes in the next.
bool Engine::deliver_post(Connection& connection) {
    Exchange& x = *connection.exchange;
    const Slot slot = connection.slot;
    const std::uint32_t generation = connection.generation;
    const std::uint64_t enough = work_ + packets_per_turn;
    // A session that ends takes its number from the connection.
    while (generation != 0 && connection.generation == generation && session(slot) != nullptr) {
        if (work_ >= enough) {
            read_later(connection);
            return false;
        }
        const auto frame = x.payload->next();
        if (!frame) break;
        ++work_;
        const auto packet = proto::decode_eio(*frame);
        if (!packet) {
            close(slot, CloseReason::parse_error, Ending::as_node);
            break;
        }
        deliver(slot, generation, *packet);
    }
    if (connection.mode == Connection::Mode::dead) return true;
    abandon_post(connection);
    x.payload.reset();
    connection.reply(200, "text/html", "ok", no_store);
    return true;
}

void Engine::route_upgrade(Connection& connection) {
    const proto::HttpHead& head = connection.exchange->head;
    const auto transport = proto::query_parameter(head.query, "transport");
    const auto refuse = [&](ErrorCode code) {
        ++stats_.requests_refused;
        connection.refuse_upgrade(error_messages[static_cast<std::size_t>(code)]);
    };
    if (transport != "websocket" && !(transport == "polling" && options_.polling)) return refuse(unknown_transport);
    const bool version_4 = proto::query_parameter(head.query, "EIO") == "4";
    const auto sid = proto::query_parameter(head.query, "sid");
    const bool is_new = !sid || sid->empty();
    Session* session = is_new ? nullptr : find(*sid);
    if (!is_new) {
        if (session == nullptr) return refuse(unknown_sid);
        if (!version_4) return refuse(bad_request);
    } else if (head.method != "GET") {
        return refuse(bad_method);
    } else if (!version_4 && !refusing_) {
        return refuse(unsupported_version);
    } else if (put_off(connection, true)) {
        return;
    }
    if (options_.websocket_origin_check && !cors_.admits(head.header("origin"), head.header("host").value_or(""))) {
        ++stats_.origins_refused;
        log::info("http", "origin_refused",
                  {{"origin", head.header("origin").value_or("")}, {"address", connection.address.to_string()}});
        return refuse(forbidden);
    }
    const std::string key = proto::header_text(head, "sec-websocket-key").value_or("");  // two are none, as in Node
    if (head.method != "GET") return refuse(bad_request);
    if (!proto::is_websocket_key(key)) {
        connection.refuse_upgrade("Missing or invalid Sec-WebSocket-Key header");
        return;
    }
    if (const auto version = proto::header_text(head, "sec-websocket-version"); version != "13" && version != "8") {
        connection.refuse_upgrade("Missing or invalid Sec-WebSocket-Version header",
                                  "Sec-WebSocket-Version: 13, 8\r\n");
        return;
    }
    std::string response =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        proto::websocket_accept(key) + "\r\n";
    if (const auto offered = proto::header_text(head, "sec-websocket-protocol")) {
        const auto chosen = proto::first_websocket_protocol(*offered);
        if (!chosen) {
            connection.refuse_upgrade("Invalid Sec-WebSocket-Protocol header");
            return;
        }
        response.append("Sec-WebSocket-Protocol: ").append(*chosen).append("\r\n");
    }
    response += connection.exchange->reply.cors + "\r\n";
    const bool base64 = !proto::query_parameter(head.query, "b64").value_or("").empty();

    if (is_new && transport == "websocket") {
        if (refuses_session(connection, true)) return;
        Session& opened = open_session(connection, EioTransport::websocket);
        const Slot slot = opened.slot;
        opened.socket = &connection;
        rank(opened);
        if (base64) outbox_.set_base64(slot);
        connection.slot = slot;
        connection.generation = generations_[slot];
        std::string open;
        proto::append_open_packet(open, {opened.sid.view(), false, options_.times.ping_interval,
                                         options_.times.ping_timeout, options_.max_payload});
        proto::append_ws_frame(response, proto::WsOpcode::text, open);  // one write for both
        connection.become_websocket(response);
        if (connection.mode != Connection::Mode::websocket) return;
        if (!connection.has_output()) outbox_.attach(slot, connection.fd);
        app_.on_open(slot);
        connection.read_early_frames();
        return;
    }
    // An upgrade. When the session cannot take it, the WebSocket is opened and closed, as Node does.
    const bool may_probe =
        session != nullptr && !session->closing && transport == "websocket" && session->state.begin_probe(loop_.now());
    if (may_probe) {
        session->probe = &connection;
        session->base64 = base64;
        connection.is_probe = true;
        connection.slot = session->slot;
        connection.generation = generations_[session->slot];
        arm(*session);
    }
    connection.become_websocket(response);
    if (!may_probe) {
        connection.close_websocket({}, proto::ws_close::none, {});
        return;
    }
    connection.read_early_frames();
}

}  // namespace sio::gateway
