// What the files of Cluster share among themselves.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/cluster.h"

namespace sio::gateway {

/// 16 lower-case hexadecimal digits, as Node names requests and members.
std::string random_hex();

/// How many digits of a namespace's uid are those of its gateway: the others know by them whose answer it is, whatever
/// namespaces it has said that it has.
inline constexpr std::size_t node_in_uid = 8;

/// The value of a field in the flat list of a stream entry or of XINFO; null when it is not there.
inline const redis::Reply* field(const redis::Reply& list, std::string_view name) {
    for (std::size_t i = 0; i + 1 < list.items.size(); i += 2) {
        if (list.items[i].text == name) return &list.items[i + 1];
    }
    return nullptr;
}

inline std::string_view text_field(const redis::Reply& list, std::string_view name) {
    const redis::Reply* found = field(list, name);
    return found == nullptr ? std::string_view() : found->text;
}

inline std::uint64_t number_field(const redis::Reply& list, std::string_view name) {
    const redis::Reply* found = field(list, name);
    return found == nullptr ? 0 : static_cast<std::uint64_t>(found->to_integer());
}

/// The event by which gateways ask each other for `trace`: raw JSON. Its arguments are a stream's key and an entry's
/// id.
inline constexpr std::string_view trace_event = "\"sio:trace\"";

/// A question to the other nodes.
struct Cluster::Request final : base::Timer {
    Request(Cluster& c, std::string i) : cluster(c), id(std::move(i)) {}

    Cluster& cluster;
    std::string id;
    cluster::Type type{};
    std::string nsp;
    ClusterAnswer answer;
    bool counted = false;    ///< how many nodes there are is known
    std::uint64_t acks = 0;  ///< broadcast with acknowledgement: those that came
    std::function<void(ClusterAnswer)> done;

private:
    void expire(Millis) override {
        ++cluster.stats_.requests_timed_out;
        cluster.finish_request(id);
    }
};

/// A timer that calls one member.
struct Cluster::Later final : base::Timer {
    Later(Cluster& c, void (Cluster::*what)()) : cluster(c), call(what) {}
    Cluster& cluster;
    void (Cluster::*call)();

private:
    void expire(Millis) override { (cluster.*call)(); }
};

/// A request of another node. What is much work is done over several turns; what has been done is kept here.
struct Cluster::Incoming {
    cluster::Type type{};
    std::string nsp;
    std::string uid;
    std::string request_id;
    bool has_request_id = false;
    std::vector<std::string> rooms;
    std::vector<std::string> except;
    Millis timeout = 0;
    std::string event;
    std::string arguments;
    std::vector<std::string> attachments;
    std::vector<cluster::Question> questions;
    std::size_t bytes = 0;

    std::vector<std::uint64_t> counts;    ///< of the questions so far
    std::optional<std::vector<Id>> sids;  ///< whom a fetch selects
    std::size_t next = 0;                 ///< of them
    std::size_t described = 0;
    std::string sockets;  ///< these, in MessagePack, one behind the other
};

/// Numbers that the other nodes are asked for by one question.
struct Cluster::Counting final : base::Timer {
    explicit Counting(Cluster& c) : cluster(c) {}

    struct Number {
        cluster::Question what;
        std::uint64_t sockets = 0;     ///< so far
        std::size_t others_heard = 0;  ///< of those that were asked for their sockets
        std::vector<std::function<void(ClusterAnswer)>> done;
    };
    Cluster& cluster;
    std::string id;
    std::string nsp;
    Millis timeout = 0;
    std::vector<Number> numbers;
    bool is_sent = false;
    bool is_counted = false;            ///< the next two are known
    std::size_t gateways = 0;           ///< beside this one
    std::size_t members = 0;            ///< of the namespace, beside this one
    std::vector<std::string> answered;  ///< ids of gateways
    std::size_t open = 0;               ///< of these, those that have the namespace
    std::size_t silent = 0;             ///< gateways that have not answered yet
    std::size_t others = 0;             ///< members that are asked for their sockets
    bool others_asked = false;
    std::vector<std::string> others_uids;  ///< of those that answered the first of these requests

    [[nodiscard]] bool has_answered(std::string_view gateway) const {
        return std::ranges::find(answered, gateway) != answered.end();
    }
    /// What the worst of the requests for sockets still waits for.
    [[nodiscard]] std::size_t others_missing() const {
        std::size_t most = 0;
        for (const Number& number : numbers) most = std::max(most, others - std::min(others, number.others_heard));
        return most;
    }

private:
    void expire(Millis) override { cluster.give_up_count(*this); }
};

/// A client that wants to resume, while it cannot be told yet.
struct Cluster::Resume final : base::Timer {
    Resume(Cluster& c, std::string n, ResumeRequest r, std::function<void(ResumeResult)> d)
        : cluster(c), nsp(std::move(n)), request(std::move(r)), done(std::move(d)) {}

    Cluster& cluster;
    std::string nsp;
    ResumeRequest request;
    std::function<void(ResumeResult)> done;  ///< empty once it has been called
    std::vector<Stay> stays;                 ///< where it was, once its session is known
    Position from;                           ///< all at or before this it has, or is in `older`
    std::vector<Position> older;             ///< ascending
    std::vector<Position> swept;             ///< what the sweep under way has found, descending
    Millis began = 0;
    std::uint64_t read = 0;  ///< how far reading back was when its time was last looked at
    bool is_asking = false;  ///< a reply of Redis is under way
    bool is_owner = false;   ///< the session is marked as ours
    bool is_known = false;   ///< its offset is a place in the stream
    std::string waits_for;   ///< in words, for the log

private:
    void expire(Millis) override { cluster.on_wait_over(*this); }
};

/// A reading of the stream backwards for clients that missed more than the log knows: once for all that wait for it.
struct Cluster::Sweep {
    std::vector<std::shared_ptr<Resume>> members;
    StringMap<std::vector<Resume*>> by_room;  ///< by namespace and room
    Position above;                           ///< what is above this they have by the log
    Position at;                              ///< the next page ends before this
    Position down_to;                         ///< all above this is wanted
    Millis began = 0;
};

/// A fetch of single events.
struct Cluster::Fetch {
    std::vector<FetchedEvent> events;
    std::size_t open = 0;  ///< replies
    bool is_lost = false;
    std::function<void(std::optional<std::vector<FetchedEvent>>)> done;
};

}  // namespace sio::gateway
