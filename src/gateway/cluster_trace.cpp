// `trace`: what the gateways know of an entry of the stream.
#include <algorithm>

#include "base/json.h"
#include "cluster/names.h"
#include "gateway/cluster_parts.h"
#include "wire/admin.h"

namespace sio::gateway {

void Cluster::note(TraceRing::Entry& traced, const Namespace& nsp, const Reached& reached) {
    traced.sockets = static_cast<std::uint32_t>(std::min<std::uint64_t>(reached.sockets, UINT32_MAX));
    for (std::size_t i = 0; i < reached.named; ++i) {
        if (const Socket* socket = hub_.socket_in(reached.slots[i], nsp)) traced.sids[traced.named++] = socket->id;
    }
}

std::string Cluster::stream_key(std::string_view nsp) const {
    return cluster::stream_for(options_.stream, options_.stream_count, nsp);
}

/// The members of an answer, without braces.
std::string Cluster::trace_here(std::string_view stream, Position entry) const {
    std::uint32_t index = TraceRing::any_stream;
    const TraceRing::Entry* found = nullptr;
    if (!stream.empty()) {
        const auto known = stream_index_.find(std::string(stream));
        if (known != stream_index_.end()) index = static_cast<std::uint32_t>(known->second);
    }
    if (stream.empty() || index != TraceRing::any_stream) found = trace_.find(entry, index);
    wire::ObjectWriter out;
    if (found == nullptr) {
        out.raw("read_ms", "null").number("sockets", 0).raw("sids", "[]");
        return out.members();
    }
    std::vector<std::string> sids;
    for (std::size_t i = 0; i < found->named; ++i) sids.emplace_back(found->sids[i].view());
    out.number("read_ms", found->read).number("sockets", found->sockets).texts("sids", sids);
    if (found->is_delivered) out.boolean("early", true);
    return out.members();
}

/// What another gateway that asks is answered, one JSON value.
std::string Cluster::trace_answer(std::string_view arguments) const {
    const std::string list = "[" + std::string(arguments) + "]";
    const auto stream = json::element(list, 0);
    const auto entry = json::element(list, 1);
    if (!stream || !entry || json::kind_of(*stream) != json::Kind::string ||
        json::kind_of(*entry) != json::Kind::string) {
        return "null";
    }
    const auto id = Position::parse(json::decode_string(*entry));
    return id ? '{' + trace_here(json::decode_string(*stream), *id) + '}' : "null";
}

void Cluster::trace(const std::string& stream, Position entry, Millis timeout, std::function<void(std::string)> done) {
    const std::string id = begin_request(
        cluster::Type::server_side_emit, "", timeout,
        [this, stream, entry, done = std::move(done)](const ClusterAnswer& others) {
            std::string list = "[{" + wire::ObjectWriter().text("node", options_.node).boolean("ok", true).members() +
                               ',' + trace_here(stream, entry) + '}';
            std::vector<std::string> silent;
            for (const auto& [peer_id, peer] : peers_) silent.push_back(peer.name);
            std::ranges::sort(silent);
            for (std::size_t i = 0; i < others.values.size(); ++i) {
                const std::string name = node_of(others.nodes[i]);
                if (const auto found = std::ranges::find(silent, name); found != silent.end()) silent.erase(found);
                const std::string_view value = others.values[i].json;
                const auto member = [&](std::string_view key, std::string_view otherwise) {
                    return json::kind_of(value) == json::Kind::object ? json::member(value, key).value_or(otherwise)
                                                                      : otherwise;
                };
                wire::ObjectWriter item;
                item.text("node", name).boolean("ok", true).raw("read_ms", member("read_ms", "null"));
                item.raw("sockets", member("sockets", "0")).raw("sids", member("sids", "[]"));
                if (member("early", "false") == "true") item.boolean("early", true);
                list += ',' + item.object();
            }
            for (const std::string& name : silent) {
                list += ',' + wire::ObjectWriter()
                                  .text("node", name)
                                  .boolean("ok", false)
                                  .text("error", live_ ? "no answer in time" : trouble())
                                  .object();
            }
            done(list + ']');
        });
    const auto found = requests_.find(id);
    if (found == requests_.end() || !live_ || classic_servers_ || uids_.empty()) return;
    // Only gateways answer, so only these are waited for.
    found->second->counted = true;
    found->second->answer.expected = peers_.size();
    const auto root = uids_.find("/");
    const auto& [nsp, uid] = root != uids_.end() ? *root : *uids_.begin();
    const std::string arguments = json::quote(stream) + ',' + json::quote(entry.text());
    cluster::Outgoing out;
    out.type = cluster::Type::server_side_emit;
    out.request_id = id;
    out.event = trace_event;
    out.arguments = arguments;
    if (!peers_.empty()) publish(cluster::public_channel(options_.channel_prefix, nsp), uid, nsp, out);
    check_request(id);
}

}  // namespace sio::gateway
