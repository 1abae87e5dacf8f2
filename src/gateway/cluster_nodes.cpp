// Who else is there: each gateway says so every two seconds on a channel of our own, which Node servers do not know.
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "cluster/names.h"
#include "gateway/cluster_parts.h"
#include "wire/admin.h"

namespace sio::gateway {

namespace {

constexpr Millis node_timeout = 8'000;      // without a word for so long a gateway is not listed any more
constexpr Millis name_settles = 3'000;      // after that without an objection a name is held
constexpr Millis objection_apart = 1'000;   // two of the same gateway that are so far apart are of one that lives
constexpr std::size_t max_nodes = 1'000;    // that are remembered
constexpr std::size_t max_named_uids = 64;  // namespaces a node says its uids of
constexpr std::size_t max_gone = 100;       // whose names are kept,
constexpr Millis gone_kept = 3'600'000;     // for so long

std::string text_member(std::string_view object, std::string_view name) {
    const auto raw = json::member(object, name);
    return raw && json::kind_of(*raw) == json::Kind::string ? json::decode_string(*raw) : std::string();
}

std::int64_t number_member(std::string_view object, std::string_view name) {
    const auto raw = json::member(object, name);
    const auto number = raw ? base::parse_decimal(*raw) : std::nullopt;
    return number ? static_cast<std::int64_t>(*number) : 0;
}

}  // namespace

std::string Cluster::nodes_channel() const { return options_.session_prefix + "nodes"; }

/// `asks`: whoever hears it answers at once, so that a gateway that has just come knows the others.
void Cluster::say_hello(bool asks) {
    if (!commands_.is_up() || !subscriber_.is_up()) return;
    std::string uids = "{";
    std::size_t named = 0;
    for (const auto& [nsp, uid] : uids_) {
        if (++named > max_named_uids) break;
        if (uids.size() > 1) uids += ',';
        uids += json::quote(nsp) + ':' + json::quote(uid);
    }
    if (!asked_for_name_at_) asked_for_name_at_ = loop_.now();
    const std::string text = wire::ObjectWriter()
                                 .text("node", options_.node)
                                 .text("id", node_uid_)
                                 .text("tag", home_tag_)
                                 .text("hop", home_hop_)
                                 .number("pid", getpid())
                                 .number("sockets", static_cast<std::int64_t>(hub_.socket_count()))
                                 .number("since_ms", started_)
                                 .boolean("asks", asks)
                                 .boolean("counts", true)
                                 .boolean("holds", holds_name())
                                 .raw("uids", uids + '}')
                                 .object();
    commands_.send({"PUBLISH", nodes_channel(), text});
}

void Cluster::hear_node(std::string_view bytes) {
    if (bytes.starts_with('{')) return hear_hello(bytes);
    const auto message = decoder_.payload(bytes);
    if (!message || (*message)->type != cluster::Type::count_sockets) return;  // of a newer gateway
    const auto mine = uids_.find((*message)->nsp);
    if (mine == uids_.end() || mine->second != (*message)->uid) on_request(**message);
}

void Cluster::hear_hello(std::string_view text) {
    if (!json::is_valid(text) || json::kind_of(text) != json::Kind::object) return;
    const std::string id = text_member(text, "id");
    if (id.empty() || id == node_uid_) return;
    if (peers_.size() >= max_nodes && !peers_.contains(id)) return;
    Peer& peer = peers_[id];
    const bool is_new = peer.name.empty();
    if (is_new) std::erase_if(gone_, [&id](const auto& one) { return one.first == id; });
    peer.name = text_member(text, "node");
    peer.tag = text_member(text, "tag");
    peer.hop = text_member(text, "hop");
    peer.pid = number_member(text, "pid");
    peer.sockets = number_member(text, "sockets");
    peer.since = number_member(text, "since_ms");
    peer.heard = loop_.now();
    peer.missed = 0;
    peer.counts = json::member(text, "counts") == "true";
    peer.uids.clear();
    for (json::Walker uid(json::member(text, "uids").value_or("{}")); uid.next();) {
        if (json::kind_of(uid.value()) != json::Kind::string) continue;
        peer.uids.insert_or_assign(json::decode_string(uid.key()), json::decode_string(uid.value()));
    }
    // One that was started again under its name takes the place of the one that ended.
    if (is_new) std::erase_if(gone_, [&peer](const auto& one) { return one.second.name == peer.name; });
    if (options_.owns_name && peer.name == options_.node) contest_name(text, id, peer.since);
    if (is_new) log::info("redis", "node_came", {{"node", peer.name}, {"id", id}});
    if (json::member(text, "asks") == "true") say_hello(false);
}

/// A name is held once the others were asked who is there, and nobody that has it has answered.
bool Cluster::holds_name() const noexcept {
    return options_.owns_name && !has_released_name_ && asked_for_name_at_ &&
           loop_.now() - *asked_for_name_at_ >= name_settles;
}

/// A gateway says that it has our name. One that has died meanwhile may be heard late, when Redis was slow, so that who
/// is started again at once must not go by one word: it goes by the second. Who has just come goes. When both hold it,
/// one was frozen while the other came: the one that was there before was silent, and has been given up by all.
void Cluster::contest_name(std::string_view hello, std::string_view id, Millis since) {
    if (has_released_name_ || !on_name_in_use_) return;
    const auto theirs = json::member(hello, "holds");
    if (!theirs) return;
    const bool they_hold = *theirs == "true";
    const bool we_came_later = std::pair(started_, std::string_view(node_uid_)) > std::pair(since, id);
    const bool is_ours = holds_name() != they_hold ? holds_name() : holds_name() ? we_came_later : !we_came_later;
    if (is_ours) return;
    if (!objection_ || objection_->first != id) objection_.emplace(id, loop_.now());
    if (loop_.now() - objection_->second < objection_apart) return;
    const bool was_held = holds_name();
    has_released_name_ = true;
    on_name_in_use_(was_held ? "another gateway has taken it while this one did not answer"
                             : "another gateway has it, and answers");
}

void Cluster::forget_silent_nodes() {
    for (auto peer = peers_.begin(); peer != peers_.end();) {
        if (live_ && loop_.now() - peer->second.heard > node_timeout) {
            log::warn("redis", "node_gone", {{"node", peer->second.name}, {"id", peer->first}});
            gone_.emplace_front(peer->first, std::move(peer->second));
            peer = peers_.erase(peer);
        } else {
            ++peer;
        }
    }
    while (gone_.size() > max_gone || (!gone_.empty() && loop_.now() - gone_.back().second.heard > gone_kept)) {
        gone_.pop_back();
    }
}

// Servers of the classic adapter with our prefix end on a request of this cluster: it is not sent while they are there.
void Cluster::look_for_classic_servers() {
    commands_.send({"PUBSUB", "NUMSUB", cluster::classic_request_channel(options_.channel_prefix, "/")},
                   [this](const redis::Reply* reply) {
                       if (reply == nullptr || reply->items.size() != 2) return;
                       const bool are_there = reply->items[1].to_integer() > 0;
                       if (are_there && !classic_servers_) {
                           log::error(
                               "redis", "classic_servers",
                               {{"prefix", options_.channel_prefix},
                                {"remedy",
                                 "servers of the classic adapter use this prefix and would fail on requests of this "
                                 "cluster, which are withheld: give them another key"}});
                       }
                       classic_servers_ = are_there;
                   });
}

const Cluster::Peer* Cluster::peer_of(std::string_view uid) const {
    const auto is_its = [uid](const std::string& id, const Peer& peer) {
        return id == uid || uid.substr(0, node_in_uid) == std::string_view(id).substr(0, node_in_uid) ||
               std::ranges::any_of(peer.uids, [uid](const auto& one) { return one.second == uid; });
    };
    for (const auto& [id, peer] : peers_) {
        if (is_its(id, peer)) return &peer;
    }
    for (const auto& [id, peer] : gone_) {
        if (is_its(id, peer)) return &peer;
    }
    return nullptr;
}

std::string Cluster::node_of(std::string_view uid) const {
    const Peer* peer = peer_of(uid);
    return peer != nullptr ? peer->name : std::string(uid);  // a Node server, which has no other name
}

bool Cluster::has_namespace(const Peer& peer, std::string_view nsp) {
    return peer.uids.contains(nsp) || peer.uids.size() >= max_named_uids;
}

std::vector<std::string> Cluster::silent_names(const std::vector<std::string>& answered, std::size_t missing,
                                               const std::function<bool(const Peer&)>& may_be) const {
    if (missing == 0) return {};
    std::vector<const Peer*> heard;
    heard.reserve(answered.size());
    for (const std::string& uid : answered) heard.push_back(peer_of(uid));
    std::vector<const Peer*> silent;
    const auto consider = [&](const Peer& peer) {
        if (may_be(peer) && std::ranges::find(heard, &peer) == heard.end()) silent.push_back(&peer);
    };
    for (const auto& [id, peer] : peers_) consider(peer);
    std::ranges::sort(silent, {}, &Peer::heard);
    for (const auto& [id, peer] : gone_) consider(peer);  // the latest first
    std::vector<std::string> names;
    names.reserve(missing);
    for (std::size_t i = 0; i < missing; ++i) names.push_back(i < silent.size() ? silent[i]->name : std::string());
    return names;
}

std::string Cluster::hop_address(const Tag& tag) const {
    for (const auto& [id, peer] : peers_) {
        if (peer.tag == tag.view()) return peer.hop;
    }
    return {};
}

std::vector<Cluster::NodeInfo> Cluster::nodes() const {
    std::vector<NodeInfo> list;
    list.push_back({options_.node, node_uid_, home_hop_, getpid(), static_cast<std::int64_t>(hub_.socket_count()),
                    started_, 0, true});
    for (const auto& [id, peer] : peers_) {
        list.push_back({peer.name, id, peer.hop, peer.pid, peer.sockets, peer.since, loop_.now() - peer.heard, false});
    }
    std::ranges::sort(list, {}, &NodeInfo::name);
    return list;
}

}  // namespace sio::gateway
