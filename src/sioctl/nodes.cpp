// nodes, server-emit: the other servers of the cluster.
#include <chrono>

#include "base/json.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"

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

int run_server_emit(const Invocation& invocation) {
    const auto nsp = invocation.nsp();
    if (!nsp) return finish(nsp.error());
    const auto arguments = arguments_of(invocation.all("ARG"), invocation.has("--string"));
    if (!arguments) return finish(arguments.error());
    const auto timeout = invocation.time("--timeout", std::chrono::seconds(5));
    if (!timeout) return finish(timeout.error());
    wire::ObjectWriter members;
    members.text("nsp", nsp->value_or("/")).text("event", invocation.one("EVENT")).raw("args", *arguments);
    if (invocation.has("--ack")) members.boolean("ack", true).number("timeout_ms", timeout->count());
    const auto answer = ask_gateway(invocation, "server-emit", members);
    if (!answer) return finish(answer.error());
    if (invocation.has("--ack")) {
        Output out;
        for (json::Walker answers{raw_member(*answer, "answers")}; answers.next();) out.line(answers.value());
    }
    return silent_nodes(*answer);
}

}  // namespace sio::sioctl
