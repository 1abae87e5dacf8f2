#include "gateway/limits.h"

#include <array>

namespace sio::gateway {

namespace {

struct Row {
    std::string_view name;
    std::string_view what;
    std::string_view option;
};

constexpr std::string_view fixed = "fixed";
constexpr std::array<Row, limit_count> rows = {{
    {"message", "bytes of a message", "max-payload"},
    {"body", "bytes of a body", "max-payload"},
    {"api-body", "bytes of a body", "api-max-body"},
    {"head", "bytes of a request's head", "max-header-bytes"},
    {"header-lines", "header lines", fixed},
    {"connections", "connections", "max-connections"},
    {"address-connections", "connections of one address", "max-connections-per-address"},
    {"packet", "bytes of a packet and its attachments", "max-payload"},
    {"attachments", "attachments of a packet", fixed},
    {"attachment-time", "milliseconds for the attachments of a packet", "body-timeout"},
    {"json-depth", "levels of JSON", "max-json-depth"},
    {"early-packets", "packets before the CONNECT was answered", fixed},
    {"early-bytes", "bytes before the CONNECT was answered", "max-payload"},
    {"rate", "packets in a window", "rate-limit"},
    {"connection-namespaces", "namespaces on one connection", "max-namespaces-per-connection"},
    {"namespaces", "namespaces", "max-namespaces"},
    {"namespace-name", "bytes of a namespace's name", fixed},
}};

const Row& row_of(Limit limit) noexcept { return rows[static_cast<std::size_t>(limit)]; }

}  // namespace

std::string_view to_string(Limit limit) noexcept { return row_of(limit).name; }

std::string_view option_of(Limit limit) noexcept { return row_of(limit).option; }

std::string limit_text(Limit limit, std::uint64_t size, std::uint64_t most) {
    const Row& row = row_of(limit);
    std::string text = size == 0 ? std::string("too many ") : std::to_string(size) + ' ';
    text.append(row.what).append(", of at most ").append(std::to_string(most));
    if (row.option != fixed) text.append(" (").append(row.option).append(")");
    return text;
}

}  // namespace sio::gateway
