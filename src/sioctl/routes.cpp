// routes check, explain, reload, show: the routes file.
#include "base/json.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

int run_routes_reload(const Invocation& invocation) {
    const auto answer = ask_gateway(invocation, "reload", {});
    if (!answer) {
        // The only thing about a reload that can be malformed is the file.
        Failure failure = answer.error();
        if (failure.exit == exit_code::data) failure.exit = exit_code::config;
        return finish(failure);
    }
    return silent_nodes(*answer);
}

int run_routes_show(const Invocation& invocation) {
    const auto answer = ask_gateway(invocation, "routes", {});
    if (!answer) return finish(answer.error());
    const std::string_view routes = raw_member(*answer, "routes");
    Output out;
    if (invocation.format() == Format::json) {
        out.line(indented(routes));
    } else if (invocation.format() == Format::ndjson) {
        out.line(routes);
    } else {
        Table table{{"ROUTES", cell(raw_member(routes, "file"))}};
        for (json::Walker members{routes}; members.next();) {
            if (members.key() != "\"file\"") table.add({cell(members.key()), cell(members.value())});
        }
        table.print(out);
    }
    return silent_nodes(*answer);
}

}  // namespace sio::sioctl
