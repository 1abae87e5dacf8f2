// What the files of Cluster share among themselves.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/cluster.h"

namespace sio::gateway {

/// 16 lower-case hexadecimal digits, as Node names requests and members.
std::string random_hex();

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

/// A client that comes back from another node.
struct Cluster::Return {
    std::string nsp;
    Comeback comeback;
    Position from;
    Millis until = 0;
    bool has_session = false;
    bool is_reading = false;
    bool is_known = false;  ///< its offset is a place in the stream
    std::vector<MissedEvent> missed;
    std::function<void(std::optional<Restored>)> done;
};

}  // namespace sio::gateway
