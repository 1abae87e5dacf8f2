// How many sockets the other nodes have. Gateways are asked for numbers, all that are wanted in one turn of the loop at
// once; what else is in the namespace (Node servers, older gateways) for its sockets, as it understands nothing else,
// by a request that says that gateways need not answer. The page is doc/protocol/cluster.md.
//
// How many answers to wait for Redis says, as it does to Node: the subscribers of the gateways' channel, and those of
// the namespace.
#include <algorithm>

#include "base/bytes.h"
#include "base/json.h"
#include "cluster/names.h"
#include "gateway/cluster_parts.h"

namespace sio::gateway {

using cluster::Decoder;
using cluster::Outgoing;
using cluster::Type;

namespace {

constexpr std::size_t max_under_way = 8;  // questions; what is asked meanwhile goes together into later ones
// While there are servers that answer with whole sockets.
constexpr std::size_t max_under_way_with_others = 2;
constexpr std::size_t max_numbers_with_others = 16;  // in one question
constexpr Millis others_written_off = 5'000;         // for so long who did not answer is not waited for again

}  // namespace

void Cluster::count_sockets(Namespace& nsp, const Selection& selection, Millis timeout,
                            std::function<void(ClusterAnswer)> done) {
    ++stats_.counts_asked;
    if (std::string trouble = why_not_ask(); !trouble.empty()) {
        if (classic_servers_) ++stats_.requests_withheld;
        ClusterAnswer answer;
        answer.trouble = std::move(trouble);
        done(std::move(answer));
        return;
    }
    Counting& counting = counting_for(nsp, timeout);
    cluster::Question question{selection_rooms(selection), selection_except(selection)};
    ++counts_waiting_;
    const auto same = std::ranges::find(counting.numbers, question, &Counting::Number::what);
    if (same != counting.numbers.end()) {
        same->done.push_back(std::move(done));
        return;
    }
    Counting::Number& number = counting.numbers.emplace_back();
    number.what = std::move(question);
    number.done.push_back(std::move(done));
}

/// The question that is not asked yet and has room for one more number.
Cluster::Counting& Cluster::counting_for(const Namespace& nsp, Millis timeout) {
    const std::size_t most = has_others_ ? max_numbers_with_others : Decoder::max_questions;
    for (const auto& counting : counting_) {
        if (!counting->is_sent && counting->nsp == nsp.name && counting->timeout == timeout &&
            counting->numbers.size() < most) {
            return *counting;
        }
    }
    auto counting = std::make_unique<Counting>(*this);
    counting->id = random_hex();
    counting->nsp = nsp.name;
    counting->timeout = timeout;
    if (!counting_timer_->is_armed()) loop_.timers().arm(*counting_timer_, loop_.now());
    return *counting_.emplace_back(std::move(counting));
}

void Cluster::send_counts() {
    const std::size_t most = has_others_ ? max_under_way_with_others : max_under_way;
    auto under_way = static_cast<std::size_t>(std::ranges::count(counting_, true, &Counting::is_sent));
    for (const auto& counting : counting_) {
        if (under_way >= most) return;  // finish_count() goes on
        if (counting->is_sent) continue;
        send_count(*counting);
        ++under_way;
    }
}

void Cluster::send_count(Counting& counting) {
    counting.is_sent = true;
    ++stats_.requests_out;
    loop_.timers().arm(counting, loop_.now() + counting.timeout);
    const auto uid = uids_.find(counting.nsp);
    if (uid == uids_.end()) return;  // the namespace has been closed
    std::vector<cluster::Question> questions;
    for (const Counting::Number& number : counting.numbers) questions.push_back(number.what);
    Outgoing out;
    out.type = Type::count_sockets;
    out.request_id = counting.id;
    out.questions = questions;
    publish(nodes_channel(), uid->second, counting.nsp, out);
    commands_.send(
        {"PUBSUB", "NUMSUB", nodes_channel(), cluster::public_channel(options_.channel_prefix, counting.nsp)},
        [this, id = counting.id](const redis::Reply* reply) {
            const auto found = std::ranges::find(counting_, id, &Counting::id);
            if (reply == nullptr || reply->items.size() != 4 || found == counting_.end()) return;
            const auto others = [](const redis::Reply& subscribers) {
                return static_cast<std::size_t>(std::max<std::int64_t>(subscribers.to_integer() - 1, 0));
            };
            (*found)->gateways = others(reply->items[1]);
            (*found)->members = others(reply->items[3]);
            (*found)->is_counted = true;
            check_count(**found);
        });
}

void Cluster::ask_others(Counting& counting) {
    counting.others_asked = true;
    const auto uid = uids_.find(counting.nsp);
    if (uid == uids_.end()) return;
    for (std::size_t i = 0; i < counting.numbers.size(); ++i) {
        const std::string id = counting.id + '/' + std::to_string(i);
        Outgoing out;
        out.type = Type::fetch_sockets;
        out.request_id = id;
        out.rooms = counting.numbers[i].what.rooms;
        out.except = counting.numbers[i].what.except;
        out.gateways_count = true;
        publish(cluster::public_channel(options_.channel_prefix, counting.nsp), uid->second, counting.nsp, out);
    }
}

void Cluster::on_count_response(const cluster::Message& message) {
    const std::size_t slash = std::min(message.request_id.find('/'), message.request_id.size());
    const std::string_view id = message.request_id.substr(0, slash);
    const auto found = std::ranges::find(counting_, id, &Counting::id);
    const bool is_gateway = message.type == Type::count_sockets_response;
    if (const auto peer = peers_.find(std::string(message.uid)); is_gateway && peer != peers_.end()) {
        peer->second.missed = 0;
    }
    if (found == counting_.end()) {
        if (!is_gateway) silent_others_ = 0;  // late, but it answers again
        return;
    }
    Counting& counting = **found;
    if (is_gateway) {
        if (message.counts.size() != counting.numbers.size() || counting.has_answered(message.uid)) return;
        counting.answered.emplace_back(message.uid);
        if (message.is_open) ++counting.open;
        for (std::size_t i = 0; i < message.counts.size(); ++i) counting.numbers[i].sockets += message.counts[i];
    } else {
        const auto index =
            base::parse_decimal(message.request_id.substr(std::min(slash + 1, message.request_id.size())));
        if (!index || *index >= counting.numbers.size()) return;
        Counting::Number& number = counting.numbers[static_cast<std::size_t>(*index)];
        for (json::Walker socket(message.sockets); socket.next();) ++number.sockets;
        ++number.others_heard;
        if (*index == 0) counting.others_uids.emplace_back(message.uid);
    }
    check_count(counting);
}

/// Finishes a question to which all have answered who may be expected to.
void Cluster::check_count(Counting& counting) {
    if (!counting.is_counted) return;
    std::size_t older = 0;           // gateways that answer no such question
    std::size_t lively = 0;          // that have not answered yet and will,
    std::size_t written_off = 0;     // or did not the last time
    std::size_t silent_members = 0;  // and have the namespace
    const auto look_at = [&](const std::string& id, const Peer& peer, bool is_gone) {
        if (!peer.counts) {
            older += is_gone ? 0 : 1;
            return;
        }
        if (counting.has_answered(id)) return;
        ++(is_gone || peer.missed > 0 ? written_off : lively);
        if (has_namespace(peer, counting.nsp)) ++silent_members;
    };
    for (const auto& [id, peer] : peers_) look_at(id, peer, false);
    for (const auto& [id, peer] : gone_) look_at(id, peer, true);

    const std::size_t heard = counting.answered.size() + older;
    // Who listens to the channel and has never said that it is a gateway is none.
    counting.silent = std::min(counting.gateways - std::min(counting.gateways, heard), lively + written_off);
    const std::size_t ours = counting.open + std::min(silent_members, counting.silent);
    counting.others = counting.members - std::min(counting.members, ours);
    if (counting.others > 0 && !counting.others_asked) ask_others(counting);

    const bool is_recent = loop_.now() - silent_others_at_ < others_written_off;
    const std::size_t not_waited_for = is_recent ? silent_others_ : 0;
    if (counting.others_missing() > not_waited_for) return;
    if (counting.silent > 0 && (lively > 0 || counting.silent > written_off)) return;
    finish_count(counting, {});
}

void Cluster::give_up_count(Counting& counting) {
    ++stats_.requests_timed_out;
    if (!counting.is_counted) return finish_count(counting, "Redis does not answer in time");
    for (auto& [id, peer] : peers_) {
        if (counting.silent > 0 && peer.counts && !counting.has_answered(id)) peer.missed = loop_.now();
    }
    if (const std::size_t missing = counting.others_missing(); missing > 0) {
        silent_others_ = missing;
        silent_others_at_ = loop_.now();
    }
    finish_count(counting, {});
}

/// Answers all who wait for these numbers. `trouble`: why there are none.
void Cluster::finish_count(Counting& counting, std::string trouble) {
    const auto found = std::ranges::find_if(counting_, [&](const auto& one) { return one.get() == &counting; });
    if (found == counting_.end()) return;
    const std::unique_ptr<Counting> ended = std::move(*found);
    counting_.erase(found);
    ended->disarm();
    if (ended->is_counted) has_others_ = ended->others > 0;
    ClusterAnswer common;
    common.trouble = std::move(trouble);
    if (common.trouble.empty()) {
        common.expected = ended->answered.size() + ended->silent + ended->others;
        common.nodes = ended->answered;
        common.nodes.insert(common.nodes.end(), ended->others_uids.begin(), ended->others_uids.end());
        common.received = ended->answered.size() + ended->others - ended->others_missing();
        common.silent = silent_names(ended->answered, ended->silent, [](const Peer& peer) { return peer.counts; });
        const auto older = silent_names(ended->others_uids, ended->others_missing(), [&](const Peer& peer) {
            return !peer.counts && has_namespace(peer, ended->nsp);
        });
        common.silent.insert(common.silent.end(), older.begin(), older.end());
    }
    for (Counting::Number& number : ended->numbers) {
        counts_waiting_ -= number.done.size();
        common.clients = number.sockets;
        for (const auto& done : number.done) done(common);
    }
    if (!counting_.empty() && !counting_timer_->is_armed()) loop_.timers().arm(*counting_timer_, loop_.now());
}

void Cluster::fail_counts() {
    while (!counting_.empty()) finish_count(*counting_.front(), trouble());
}

}  // namespace sio::gateway
