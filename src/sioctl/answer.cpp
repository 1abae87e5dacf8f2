#include "sioctl/answer.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>

#include "base/bytes.h"
#include "base/json.h"
#include "routes/template.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

int finish(const Failure& failure) {
    if (!failure.what.empty()) complain(failure.what);
    return failure.exit;
}

namespace {

Outcome<std::string> ask(const Invocation& invocation, const std::string& path, const Peer& peer, std::string_view cmd,
                         const wire::ObjectWriter& members, std::chrono::milliseconds usual_wait = 10s) {
    const auto wait = invocation.time("--timeout", usual_wait);
    if (!wait) return tl::unexpected(wait.error());
    const Deadline deadline = deadline_in(*wait);
    auto control = Control::open(path, deadline, peer);
    if (!control) return tl::unexpected(control.error());
    return control->ask(cmd, members, deadline);
}

}  // namespace

Outcome<std::string> ask_gateway(const Invocation& invocation, std::string_view cmd,
                                 const wire::ObjectWriter& members) {
    const auto wait = invocation.time("--timeout", 10s);
    if (!wait) return tl::unexpected(wait.error());
    wire::ObjectWriter all = members;
    say_node_timeout(invocation, *wait, all);
    return ask(invocation, invocation.control_path(), gateway_peer, cmd, all);
}

Outcome<std::string> ask_authd(const Invocation& invocation, std::string_view cmd, const wire::ObjectWriter& members) {
    return ask(invocation, invocation.authd_path(), authd_peer, cmd, members);
}

Outcome<std::string> ask_bridge(const Invocation& invocation, std::string_view cmd, const wire::ObjectWriter& members,
                                std::chrono::milliseconds wait) {
    return ask(invocation, invocation.bridge_path(), bridge_peer, cmd, members, wait);
}

std::vector<std::string> silent_in(std::string_view answer) {
    std::vector<std::string> silent;
    for (json::Walker nodes{raw_member(answer, "nodes")}; nodes.next();) {
        if (json::kind_of(nodes.value()) != json::Kind::object || raw_member(nodes.value(), "ok") != "false") continue;
        const std::string name = text_member(nodes.value(), "node");
        if (name == "unknown") {
            silent.emplace_back("a Node server (these have no names)");
        } else if (name == "others") {
            silent.push_back("the other nodes: " + text_member(nodes.value(), "error"));
        } else {
            silent.push_back("node " + name);
        }
    }
    return silent;
}

int silent_nodes(std::string_view answer) {
    const std::vector<std::string> silent = silent_in(answer);
    for (const std::string& who : silent) complain("no answer from " + who);
    return silent.empty() ? exit_code::ok : exit_code::partial;
}

void say_node_timeout(const Invocation& invocation, std::chrono::milliseconds wait, wire::ObjectWriter& members) {
    // The rest is for the way there and back: a node that does not answer must not make the gateway look silent.
    if (invocation.has("--timeout")) members.number("node_timeout_ms", std::max<std::int64_t>(1, wait.count() / 5 * 4));
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

std::optional<std::int64_t> moment(std::string_view json) {
    if (json::kind_of(json) != json::Kind::number) return std::nullopt;
    double seconds = 0;
    const auto parsed = std::from_chars(json.data(), json.data() + json.size(), seconds);
    if (parsed.ec != std::errc{} || !(seconds >= 0 && seconds < 253'402'300'800.0)) return std::nullopt;
    return static_cast<std::int64_t>(seconds);
}

std::string shown_moment(std::string_view json) {
    const auto seconds = moment(json);
    if (!seconds) return cell(json);
    const std::int64_t away =
        *seconds -
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    const std::string time = shown_time(static_cast<std::uint64_t>(std::abs(away)) * 1000);
    const std::string iso = routes::iso_time(*seconds * 1000).substr(0, 19) + "Z";
    return iso + (away >= 0 ? " (in " + time + ")" : " (" + time + " ago)");
}

}  // namespace sio::sioctl
