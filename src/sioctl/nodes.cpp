// nodes: the gateways of the cluster.
#include <chrono>

#include "base/json.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

int run_nodes(const Invocation& invocation) {
    const auto answer = ask_gateway(invocation, "nodes", {});
    if (!answer) return finish(answer.error());
    const std::string_view nodes = raw_member(*answer, "nodes");
    Output out;
    if (invocation.format() == Format::json) {
        out.line(indented(nodes));
    } else if (invocation.format() == Format::ndjson) {
        for (json::Walker node{nodes}; node.next();) out.line(node.value());
    } else {
        const auto now =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
        Table table{{"NODE", "SOCKETS", "PID", "UP", "HEARD", "HOP"}};
        for (json::Walker node{nodes}; node.next();) {
            const std::uint64_t since = count_member(node.value(), "since_ms");
            const bool is_self = raw_member(node.value(), "self") == "true";
            table.add({cell(raw_member(node.value(), "node")), cell(raw_member(node.value(), "sockets")),
                       cell(raw_member(node.value(), "pid")),
                       since == 0 ? "-" : shown_time(static_cast<std::uint64_t>(now.count()) - since),
                       is_self ? "answers" : shown_time(count_member(node.value(), "heard_ms_ago")) + " ago",
                       cell(raw_member(node.value(), "hop"))});
        }
        table.print(out);
    }
    return silent_nodes(*answer);
}

}  // namespace sio::sioctl
