// What nodes ask of each other: sockets, acknowledgements, server-side events. Source: cluster-wire 1.7 to 1.10.
#include <algorithm>
#include <span>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "cluster/msgpack.h"
#include "cluster/names.h"
#include "gateway/cluster_parts.h"
#include "proto/http_head.h"

namespace sio::gateway {

using cluster::Outgoing;
using cluster::Type;
using redis::Reply;

namespace {

constexpr Millis longest_ask = 3'600'000;
constexpr std::size_t max_requests = 10'000;            // under way at a time, ours and theirs each
constexpr std::size_t max_incoming_bytes = 64U << 20U;  // of requests that wait
constexpr std::size_t max_unsent_bytes = 16U << 20U;    // of answers that Redis has not taken: no more are made then

// Work for others in one turn of the loop; a unit is about a microsecond.
constexpr std::size_t work_per_turn = 4'000;
constexpr std::size_t work_of_description = 20;  // of one socket
constexpr std::size_t work_of_event = 20;
constexpr std::size_t work_of_question = 2;  // to one socket

/// The parameters of a query, decoded, in order.
std::vector<std::pair<std::string, std::string>> query_pairs(std::string_view query) {
    std::vector<std::pair<std::string, std::string>> pairs;
    while (!query.empty()) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view pair = query.substr(0, end);
        const std::size_t equals = std::min(pair.find('='), pair.size());
        if (!pair.empty()) {
            pairs.emplace_back(proto::decode_query(pair.substr(0, equals)),
                               proto::decode_query(pair.substr(std::min(equals + 1, pair.size()))));
        }
        query.remove_prefix(std::min(end + 1, query.size()));
    }
    return pairs;
}

std::size_t bytes_of(const std::vector<std::string>& list) {
    std::size_t bytes = 0;
    for (const std::string& one : list) bytes += sizeof(std::string) + one.size();
    return bytes;
}

}  // namespace

// --- theirs ---------------------------------------------------------------------------------------------------------

/// Appends a socket as Node describes it.
void Cluster::describe(std::string& list, const Socket& socket) {
    const Session* session = hub_.engine().session(socket.slot);
    if (session == nullptr) return;
    proto::HttpHead head;
    std::vector<std::pair<std::string, std::string>> headers;
    if (!proto::parse_http_head(session->head, head)) {
        for (const auto& [name, value] : std::span(head.headers.data(), head.header_count)) {
            std::string lower(name);
            std::ranges::transform(lower, lower.begin(),
                                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
            // Credentials stay where they were given.
            if (lower == "cookie" || lower == "authorization") continue;
            if (std::ranges::find(headers, lower, &std::pair<std::string, std::string>::first) != headers.end())
                continue;
            std::string text = proto::header_text(head, lower).value_or("");
            headers.emplace_back(std::move(lower), std::move(text));
        }
    }
    std::vector<std::string> rooms{std::string(socket.id.view())};
    for (const Socket::Seat& seat : socket.seats) rooms.push_back(seat.room->name);
    const std::string address = session->address.to_string();
    const auto origin = head.header("origin");
    std::string auth = "{}";
    if (socket.auth.size() > 2) {  // without the token: other nodes have no use for it
        auth = "{";
        for (json::Walker member(socket.auth); member.next();) {
            if (member.key() == "\"token\"" || member.key() == "\"pid\"" || member.key() == "\"offset\"") continue;
            if (auth.size() > 1) auth += ',';
            auth.append(member.key()).append(":").append(member.value());
        }
        auth += '}';
    }
    const std::string data = socket.user.empty() ? "{}" : "{\"userId\":" + json::quote(socket.user) + '}';
    auto query = query_pairs(head.query);
    std::string url(head.path);
    if (std::erase_if(query, [](const auto& pair) { return pair.first == "token"; }) == 0 && !head.query.empty()) {
        url += '?';
        url += head.query;
    }
    std::vector<std::pair<std::string_view, std::string_view>> query_views(query.begin(), query.end());
    cluster::RemoteSocket remote;
    remote.query = query_views;
    remote.id = socket.id.view();
    const std::vector<std::pair<std::string_view, std::string_view>> header_views(headers.begin(), headers.end());
    remote.headers = header_views;
    remote.address = address;
    remote.xdomain = origin.has_value();
    remote.issued_ms = socket.connected_wall_clock;
    remote.url = url;
    remote.auth = auth;
    remote.rooms = rooms;
    remote.data = data;
    cluster::append_remote_socket(list, remote);
}

void Cluster::on_request(const cluster::Message& message) {
    if (message.type == Type::fetch_sockets && message.gateways_count) return;  // count_sockets asked for as much
    if (message.type != Type::count_sockets && !hub_.namespaces().contains(message.nsp)) return;
    ++stats_.requests_in;
    auto request = std::make_unique<Incoming>();
    request->type = message.type;
    request->nsp = message.nsp;
    request->uid = message.uid;
    request->request_id = message.request_id;
    request->has_request_id = message.has_request_id;
    request->rooms = message.rooms.copy();
    request->except = message.except.copy();
    request->timeout = std::clamp<Millis>(message.flags.timeout_ms.value_or(60'000), 1, longest_ask);
    request->event = message.event;
    request->arguments = message.arguments;
    request->attachments = message.attachments;
    request->questions = message.questions;
    request->bytes = sizeof(Incoming) + request->event.size() + request->arguments.size() + bytes_of(request->rooms) +
                     bytes_of(request->except) + bytes_of(request->attachments);
    for (const cluster::Question& question : request->questions) {
        request->bytes += sizeof(question) + bytes_of(question.rooms) + bytes_of(question.except);
    }
    if (incoming_.size() >= max_requests || incoming_bytes_ + request->bytes > max_incoming_bytes) {
        ++stats_.requests_refused;
        if (!std::exchange(is_refusing_, true)) {
            log::warn("redis", "requests_refused",
                      {{"waiting", incoming_.size()},
                       {"bytes", incoming_bytes_},
                       {"remedy", "other members ask more than this gateway can answer: ask less often"}});
        }
        return;
    }
    incoming_bytes_ += request->bytes;
    incoming_.push_back(std::move(request));
    answer_requests();
}

/// Answers what waits, in order, as far as one turn of the loop may go.
void Cluster::answer_requests() {
    if (worked_turn_ != loop_.turns()) {
        worked_turn_ = loop_.turns();
        work_left_ = work_per_turn;
    }
    const auto may_go_on = [this] { return work_left_ > 0 && commands_.pending_bytes() < max_unsent_bytes; };
    while (!incoming_.empty() && may_go_on()) {
        std::unique_ptr<Incoming> request = std::move(incoming_.front());
        incoming_.pop_front();
        if (answer(*request)) {
            incoming_bytes_ -= request->bytes;
        } else {
            incoming_.push_front(std::move(request));
        }
    }
    if (incoming_.empty()) {
        is_refusing_ = false;
    } else if (!incoming_timer_->is_armed()) {
        loop_.timers().arm(*incoming_timer_, loop_.now() + (work_left_ > 0 ? 1 : 0));
    }
}

/// Whether it is done with; else it is to be called again when there is time.
bool Cluster::answer(Incoming& request) {
    if (request.type == Type::count_sockets) return answer_counts(request);
    const auto found = hub_.namespaces().find(request.nsp);
    if (found == hub_.namespaces().end()) return true;
    if (request.type == Type::fetch_sockets) return answer_fetch(request, *found->second);
    if (request.type == Type::server_side_emit) {
        answer_server_side_emit(request, *found->second);
    } else {
        answer_ask(request, *found->second);
    }
    return true;
}

bool Cluster::answer_counts(Incoming& request) {
    Namespace* nsp = hub_.find_namespace(request.nsp);
    while (request.counts.size() < request.questions.size()) {
        if (work_left_ == 0) return false;
        const cluster::Question& question = request.questions[request.counts.size()];
        selection_.rooms.assign(question.rooms.begin(), question.rooms.end());
        selection_.except.assign(question.except.begin(), question.except.end());
        const std::size_t count = nsp == nullptr ? 0 : hub_.count(*nsp, selection_);
        // Rooms that overlap, or whose members are left out, are looked through one by one.
        const bool is_simple = question.except.empty() && question.rooms.size() < 2;
        spend(1 + count / 64 + (is_simple || nsp == nullptr ? 0 : nsp->by_id.size() / 16));
        request.counts.push_back(count);
    }
    Outgoing out;
    out.type = Type::count_sockets_response;
    out.request_id = request.request_id;
    out.counts = request.counts;
    out.is_open = nsp != nullptr;
    publish(cluster::private_channel(options_.channel_prefix, request.nsp, request.uid), node_uid_, request.nsp, out);
    return true;
}

bool Cluster::answer_fetch(Incoming& request, Namespace& nsp) {
    if (!request.sids) {
        request.sids.emplace();
        selection_.rooms.assign(request.rooms.begin(), request.rooms.end());
        selection_.except.assign(request.except.begin(), request.except.end());
        for (const Socket* socket : hub_.select(nsp, selection_)) request.sids->push_back(socket->id);
        spend(1 + request.sids->size() / 16);
    }
    std::string one;
    for (; request.next < request.sids->size(); ++request.next) {
        if (work_left_ == 0) return false;
        spend(work_of_description);
        const Socket* socket = hub_.find_socket(nsp, (*request.sids)[request.next]);
        if (socket == nullptr) continue;
        one = "[";
        describe(one, *socket);
        if (one.size() == 1) continue;
        cluster::msgpack::append_json(request.sockets, std::string_view(one).substr(1));
        ++request.described;
    }
    scratch_.clear();
    cluster::append_sockets_payload(scratch_, nsp.uid, nsp.name, request.request_id, request.described,
                                    request.sockets);
    commands_.send({"PUBLISH", cluster::private_channel(options_.channel_prefix, request.nsp, request.uid), scratch_});
    return true;
}

void Cluster::answer_server_side_emit(const Incoming& request, const Namespace& nsp) {
    spend(work_of_event);
    const std::string channel = cluster::private_channel(options_.channel_prefix, request.nsp, request.uid);
    Outgoing answer;
    answer.type = Type::server_side_emit_response;
    answer.request_id = request.request_id;
    if (request.event == trace_event) {  // a question of our own, of which applications need not know
        if (!request.has_request_id) return;
        const std::string value = trace_answer(request.arguments);
        answer.value = value;
        publish(channel, nsp.uid, nsp.name, answer);
        return;
    }
    std::function<void(std::string)> reply;
    if (request.has_request_id) {
        reply = [this, channel, uid = nsp.uid, name = nsp.name, id = request.request_id](const std::string& value) {
            Outgoing out;
            out.type = Type::server_side_emit_response;
            out.request_id = id;
            out.value = value;
            publish(channel, uid, name, out);
        };
    }
    if (server_event_) server_event_(nsp.name, request.event, request.arguments, std::move(reply));
}

void Cluster::answer_ask(const Incoming& request, Namespace& nsp) {
    const std::string channel = cluster::private_channel(options_.channel_prefix, request.nsp, request.uid);
    const auto each = [this, channel, uid = nsp.uid, name = nsp.name,
                       id = request.request_id](const Answers::One& one) {
        // The first argument alone travels, as Node has it.
        const auto first = json::element(one.arguments, 0);
        Outgoing out;
        out.type = Type::broadcast_ack;
        out.request_id = id;
        out.value = first.value_or("null");
        out.attachments = one.attachments;
        publish(channel, uid, name, out);
    };
    selection_.rooms.assign(request.rooms.begin(), request.rooms.end());
    selection_.except.assign(request.except.begin(), request.except.end());
    const Event event{request.event, request.arguments, request.attachments};
    std::size_t reached = 0;
    if (asks_waiting_ < max_requests) {
        ++asks_waiting_;
        reached = hub_.ask(
            nsp, selection_, event, request.timeout, [this](const Answers&) { --asks_waiting_; }, each);
    }
    spend(work_of_event + reached * work_of_question);
    Outgoing answer;
    answer.type = Type::broadcast_client_count;
    answer.request_id = request.request_id;
    answer.client_count = reached;
    publish(channel, nsp.uid, nsp.name, answer);
}

// --- ours -----------------------------------------------------------------------------------------------------------

std::string Cluster::why_not_ask() const {
    if (!live_) return trouble();
    if (classic_servers_) return "servers of the classic adapter share the channels, so nobody is asked";
    const bool is_full = requests_.size() >= max_requests || counts_waiting_ >= max_requests;
    return is_full ? "too many questions wait for answers already" : "";
}

std::string Cluster::begin_request(Type type, std::string_view nsp, Millis timeout,
                                   std::function<void(ClusterAnswer)> done) {
    std::string id = random_hex();
    auto request = std::make_unique<Request>(*this, id);
    request->type = type;
    request->nsp = nsp;
    request->done = std::move(done);
    ++stats_.requests_out;
    if (classic_servers_) ++stats_.requests_withheld;
    request->answer.trouble = why_not_ask();
    // Away: nobody answers, and what is expected is not known.
    const bool may_ask = request->answer.trouble.empty();
    if (!may_ask) request->answer.expected = 1;
    loop_.timers().arm(*request, loop_.now() + (may_ask ? timeout : 0));
    requests_.emplace(id, std::move(request));
    return id;
}

void Cluster::count_nodes(Namespace& nsp, const std::string& request_id, std::function<void()> then) {
    const bool taken =
        commands_.send({"PUBSUB", "NUMSUB", cluster::public_channel(options_.channel_prefix, nsp.name)},
                       [this, request_id, then = std::move(then)](const Reply* reply) {
                           const auto found = requests_.find(request_id);
                           if (found == requests_.end() || reply == nullptr) return;
                           const std::int64_t nodes =
                               reply->items.size() == 2 ? reply->items[1].to_integer() : 2;  // refused: somebody
                           found->second->answer.expected = nodes > 1 ? static_cast<std::size_t>(nodes - 1) : 0;
                           found->second->counted = true;
                           if (then && found->second->answer.expected > 0) then();
                           check_request(request_id);
                       });
    if (taken) return;
    if (const auto found = requests_.find(request_id); found != requests_.end()) {
        loop_.timers().arm(*found->second, loop_.now());
    }
}

void Cluster::check_request(const std::string& id) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    const Request& request = *found->second;
    if (!request.counted || !request.answer.is_complete()) return;
    if (request.type == Type::broadcast && request.acks < request.answer.clients) return;
    finish_request(id);
}

void Cluster::finish_request(const std::string& id) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    std::unique_ptr<Request> request = std::move(found->second);
    requests_.erase(found);
    request->disarm();
    auto done = std::move(request->done);
    ClusterAnswer answer = std::move(request->answer);
    if (answer.trouble.empty() && !answer.is_complete()) {
        answer.silent = silent_names(answer.nodes, answer.expected - answer.received,
                                     [&request](const Peer& peer) { return has_namespace(peer, request->nsp); });
    }
    finished_.push_back(std::move(request));  // its expire() may be on the stack
    done(std::move(answer));
}

void Cluster::fetch_sockets(Namespace& nsp, const Selection& selection, Millis timeout,
                            std::function<void(ClusterAnswer)> done) {
    const std::string id = begin_request(Type::fetch_sockets, nsp.name, timeout, std::move(done));
    if (classic_servers_) return;
    count_nodes(nsp, id,
                [this, id, uid = nsp.uid, name = nsp.name, rooms = selection_rooms(selection),
                 except = selection_except(selection)] {
                    Outgoing out;
                    out.type = Type::fetch_sockets;
                    out.request_id = id;
                    out.rooms = rooms;
                    out.except = except;
                    publish(cluster::public_channel(options_.channel_prefix, name), uid, name, out);
                });
}

void Cluster::ask(Namespace& nsp, const Selection& selection, const Event& event, Millis timeout,
                  std::function<void(ClusterAnswer)> done) {
    const std::string id = begin_request(Type::broadcast, nsp.name, timeout, std::move(done));
    if (classic_servers_) return;
    const auto rooms = selection_rooms(selection);
    const auto except = selection_except(selection);
    Outgoing out;
    out.type = Type::broadcast;
    out.request_id = id;
    out.rooms = rooms;
    out.except = except;
    out.flags.timeout_ms = timeout;
    out.event = event.name;
    out.arguments = event.arguments;
    out.attachments = event.attachments;
    publish(cluster::public_channel(options_.channel_prefix, nsp.name), nsp.uid, nsp.name, out);
    count_nodes(nsp, id, {});
}

void Cluster::server_side_emit(Namespace& nsp, const Event& event, std::optional<Millis> timeout,
                               std::function<void(ClusterAnswer)> done) {
    const std::string id =
        begin_request(Type::server_side_emit, nsp.name, timeout.value_or(options_.request_timeout), std::move(done));
    if (classic_servers_) return;
    const auto send = [this, id, wants = timeout.has_value(), uid = nsp.uid, name = nsp.name,
                       event_name = std::string(event.name), arguments = std::string(event.arguments),
                       attachments = std::vector<std::string>(event.attachments.begin(), event.attachments.end())] {
        Outgoing out;
        out.type = Type::server_side_emit;
        if (wants) out.request_id = id;
        out.event = event_name;
        out.arguments = arguments;
        out.attachments = attachments;
        publish(cluster::public_channel(options_.channel_prefix, name), uid, name, out);
    };
    if (timeout) {
        count_nodes(nsp, id, send);
        return;
    }
    send();
    finish_request(id);
}

void Cluster::on_response(const cluster::Message& message) {
    const bool is_fetched_count =
        message.type == Type::fetch_sockets_response && message.request_id.find('/') != std::string_view::npos;
    if (message.type == Type::count_sockets_response || is_fetched_count) return on_count_response(message);
    const auto found = requests_.find(std::string(message.request_id));
    if (found == requests_.end()) return;
    Request& request = *found->second;
    switch (message.type) {
        case Type::fetch_sockets_response:
            ++request.answer.received;
            request.answer.nodes.emplace_back(message.uid);
            request.answer.values.push_back({std::string(message.sockets), {}});
            break;
        case Type::server_side_emit_response:
            ++request.answer.received;
            request.answer.nodes.emplace_back(message.uid);
            request.answer.values.push_back({std::string(message.value), message.attachments});
            break;
        case Type::broadcast_client_count:
            ++request.answer.received;
            request.answer.nodes.emplace_back(message.uid);
            request.answer.clients += message.client_count;
            break;
        case Type::broadcast_ack:
            ++request.acks;
            request.answer.values.push_back({std::string(message.value), message.attachments});
            break;
        default: return;
    }
    check_request(std::string(message.request_id));
}

}  // namespace sio::gateway
