#include "sioctl/answer.h"

#include "base/bytes.h"
#include "base/json.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

int finish(const Failure& failure) {
    if (!failure.what.empty()) complain(failure.what);
    return failure.exit;
}

Outcome<std::string> ask_gateway(const Invocation& invocation, std::string_view cmd,
                                 const wire::ObjectWriter& members) {
    const auto wait = invocation.time("--timeout", 10s);
    if (!wait) return tl::unexpected(wait.error());
    const Deadline deadline = deadline_in(*wait);
    auto control = Control::open(invocation.control_path(), deadline);
    if (!control) return tl::unexpected(control.error());
    return control->ask(cmd, members, deadline);
}

int silent_nodes(std::string_view answer) {
    int code = exit_code::ok;
    for (json::Walker nodes{raw_member(answer, "nodes")}; nodes.next();) {
        if (json::kind_of(nodes.value()) != json::Kind::object || raw_member(nodes.value(), "ok") != "false") continue;
        complain("no answer from node " + text_member(nodes.value(), "node"));
        code = exit_code::partial;
    }
    return code;
}

std::string without_frame(std::string_view answer) {
    std::string out = "{";
    for (json::Walker members{answer}; members.next();) {
        if (members.key() == "\"id\"" || members.key() == "\"ok\"") continue;
        if (out.size() > 1) out += ',';
        out += members.key();
        out += ':';
        out += members.value();
    }
    return out + "}";
}

std::string_view raw_member(std::string_view object, std::string_view key) {
    return json::member(object, key).value_or("null");
}

std::uint64_t count_member(std::string_view object, std::string_view key) {
    return base::parse_decimal(raw_member(object, key)).value_or(0);
}

std::string text_member(std::string_view object, std::string_view key) {
    const std::string_view raw = raw_member(object, key);
    return json::kind_of(raw) == json::Kind::string ? json::decode_string(raw) : std::string{};
}

std::string shown_time(std::uint64_t ms) {
    if (ms < 1000) return std::to_string(ms) + " ms";
    const std::uint64_t seconds = ms / 1000;
    if (seconds < 120) return std::to_string(seconds) + " s";
    const std::uint64_t minutes = seconds / 60;
    if (minutes < 120) return std::to_string(minutes) + " min";
    const std::uint64_t hours = minutes / 60;
    if (hours < 48) return std::to_string(hours) + " h " + std::to_string(minutes % 60) + " min";
    return std::to_string(hours / 24) + " d " + std::to_string(hours % 24) + " h";
}

}  // namespace sio::sioctl
