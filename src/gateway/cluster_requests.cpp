// What nodes ask of each other: sockets, acknowledgements, server-side events. Source: cluster-wire 1.7 to 1.10.
#include <algorithm>
#include <span>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "cluster/names.h"
#include "gateway/cluster_parts.h"
#include "proto/http_head.h"

namespace sio::gateway {

using cluster::Outgoing;
using cluster::Type;
using redis::Reply;

namespace {

constexpr Millis longest_ask = 3'600'000;
constexpr std::size_t max_requests = 10'000;  // under way at a time, ours and theirs each

/// The parameters of a query, decoded, in order.
std::vector<std::pair<std::string, std::string>> query_pairs(std::string_view query) {
    std::vector<std::pair<std::string, std::string>> pairs;
    while (!query.empty()) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view pair = query.substr(0, end);
        const std::size_t equals = std::min(pair.find('='), pair.size());
        if (!pair.empty()) {
            pairs.emplace_back(base::percent_decode(pair.substr(0, equals), true),
                               base::percent_decode(pair.substr(std::min(equals + 1, pair.size())), true));
        }
        query.remove_prefix(std::min(end + 1, query.size()));
    }
    return pairs;
}

}  // namespace

// --- theirs ---------------------------------------------------------------------------------------------------------

/// The sockets a selection names, as Node describes them.
std::string Cluster::sockets_json(Namespace& nsp, const Selection& selection) {
    std::string list = "[";
    for (const Socket* socket : hub_.select(nsp, selection)) {
        const Session* session = hub_.engine().session(socket->slot);
        if (session == nullptr) continue;
        proto::HttpHead head;
        std::vector<std::pair<std::string_view, std::string_view>> headers;
        std::vector<std::string> names;
        if (!proto::parse_http_head(session->head, head)) {
            const std::span came(head.headers.data(), head.header_count);
            names.reserve(came.size());
            for (const auto& [name, value] : came) {
                std::string lower(name);
                std::ranges::transform(lower, lower.begin(), [](char c) {
                    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
                });
                // Credentials stay where they were given.
                if (lower == "cookie" || lower == "authorization") continue;
                names.push_back(std::move(lower));
                headers.emplace_back(names.back(), value);
            }
        }
        std::vector<std::string> rooms{std::string(socket->id.view())};
        for (const Socket::Seat& seat : socket->seats) rooms.push_back(seat.room->name);
        const std::string address = session->address.to_string();
        const auto origin = head.header("origin");
        std::string auth = "{}";
        if (socket->auth.size() > 2) {  // without the token: other nodes have no use for it
            auth = "{";
            for (json::Walker member(socket->auth); member.next();) {
                if (member.key() == "\"token\"" || member.key() == "\"pid\"" || member.key() == "\"offset\"") continue;
                if (auth.size() > 1) auth += ',';
                auth.append(member.key()).append(":").append(member.value());
            }
            auth += '}';
        }
        const std::string data = socket->user.empty() ? "{}" : "{\"userId\":" + json::quote(socket->user) + '}';
        auto query = query_pairs(head.query);
        std::string url(head.path);
        if (std::erase_if(query, [](const auto& pair) { return pair.first == "token"; }) == 0 && !head.query.empty()) {
            url += '?';
            url += head.query;
        }
        std::vector<std::pair<std::string_view, std::string_view>> query_views(query.begin(), query.end());
        cluster::RemoteSocket remote;
        remote.query = query_views;
        remote.id = socket->id.view();
        remote.headers = headers;
        remote.address = address;
        remote.xdomain = origin.has_value();
        remote.issued_ms = socket->connected_wall_clock;
        remote.url = url;
        remote.auth = auth;
        remote.rooms = rooms;
        remote.data = data;
        cluster::append_remote_socket(list, remote);
    }
    return list + ']';
}

void Cluster::on_request(const cluster::Message& message) {
    const auto found = hub_.namespaces().find(message.nsp);
    if (found == hub_.namespaces().end()) return;
    Namespace& nsp = *found->second;
    ++stats_.requests_in;
    const std::string channel = cluster::private_channel(options_.channel_prefix, message.nsp, message.uid);
    selection_.rooms.assign(message.rooms.begin(), message.rooms.end());
    selection_.except.assign(message.except.begin(), message.except.end());
    Outgoing answer;
    answer.request_id = message.request_id;
    if (message.type == Type::fetch_sockets) {
        const std::string sockets = sockets_json(nsp, selection_);
        answer.type = Type::fetch_sockets_response;
        answer.sockets = sockets;
        publish(channel, nsp.uid, nsp.name, answer);
        return;
    }
    const Event event{message.event, message.arguments, message.attachments};
    if (message.type == Type::server_side_emit) {
        if (event.name == trace_event) {  // a question of our own, of which applications need not know
            if (!message.has_request_id) return;
            const std::string value = trace_answer(event.arguments);
            answer.type = Type::server_side_emit_response;
            answer.value = value;
            publish(channel, nsp.uid, nsp.name, answer);
            return;
        }
        std::function<void(std::string)> reply;
        if (message.has_request_id) {
            reply = [this, channel, uid = nsp.uid, name = nsp.name,
                     id = std::string(message.request_id)](const std::string& value) {
                Outgoing out;
                out.type = Type::server_side_emit_response;
                out.request_id = id;
                out.value = value;
                publish(channel, uid, name, out);
            };
        }
        if (server_event_) server_event_(nsp.name, event.name, event.arguments, std::move(reply));
        return;
    }
    const Millis timeout = std::clamp<Millis>(message.flags.timeout_ms.value_or(60'000), 1, longest_ask);
    const std::string id(message.request_id);
    std::size_t reached = 0;
    const auto each = [this, channel, uid = nsp.uid, name = nsp.name, id](const Answers::One& one) {
        // The first argument alone travels, as Node has it.
        const auto first = json::element(one.arguments, 0);
        Outgoing out;
        out.type = Type::broadcast_ack;
        out.request_id = id;
        out.value = first.value_or("null");
        out.attachments = one.attachments;
        publish(channel, uid, name, out);
    };
    if (hub_.questions() < max_requests) {
        reached = hub_.ask(
            nsp, selection_, event, timeout, [](const Answers&) {}, each);
    }
    answer.type = Type::broadcast_client_count;
    answer.client_count = reached;
    publish(channel, nsp.uid, nsp.name, answer);
}

// --- ours -----------------------------------------------------------------------------------------------------------

std::string Cluster::begin_request(Type type, std::string_view nsp, Millis timeout,
                                   std::function<void(ClusterAnswer)> done) {
    std::string id = random_hex();
    auto request = std::make_unique<Request>(*this, id);
    request->type = type;
    request->nsp = nsp;
    request->done = std::move(done);
    ++stats_.requests_out;
    if (classic_servers_) ++stats_.requests_withheld;
    // Away: nobody answers, and what is expected is not known.
    if (!live_) {
        request->answer.trouble = trouble();
    } else if (classic_servers_) {
        request->answer.trouble = "servers of the classic adapter share the channels, so nobody is asked";
    } else if (requests_.size() >= max_requests) {
        request->answer.trouble = "too many questions wait for answers already";
    }
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
        answer.silent = silent_names(request->nsp, answer.nodes, answer.expected - answer.received);
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
