// rooms, sockets, join, leave, disconnect: who is there, and moving them about.
#include <chrono>

#include "base/json.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

namespace {

/// Prints the rows of an answer's array: as a table of `columns`, a line each, or the whole answer.
void print_rows(Format format, std::string_view answer, std::string_view key, auto&& print_table) {
    Output out;
    if (format == Format::json) return out.line(indented(without_frame(answer)));
    if (format == Format::table) return print_table(out);
    for (json::Walker rows{raw_member(answer, key)}; rows.next();) out.line(rows.value());
}

/// Prints `reached` and gives the exit code: 1 when the answer is nobody.
int report_reached(const Invocation& invocation, std::string_view answer) {
    const std::uint64_t reached = count_member(answer, "reached");
    Output out;
    if (invocation.format() == Format::json) {
        out.line(indented(without_frame(answer)));
    } else if (!invocation.quiet()) {
        out.line(invocation.format() == Format::table ? "reached " + std::to_string(reached)
                                                      : "{\"reached\":" + std::to_string(reached) + "}");
    }
    if (const int code = silent_nodes(answer); code != exit_code::ok) return code;
    return reached > 0 ? exit_code::ok : exit_code::no;
}

/// Milliseconds since a moment, given as milliseconds since 1970; 0 when the clocks disagree.
std::uint64_t time_since(std::uint64_t moment_ms) {
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
    const auto now_ms = static_cast<std::uint64_t>(now.count());
    return now_ms > moment_ms ? now_ms - moment_ms : 0;
}

/// A request that changes something for the sockets selected. Everybody must be said, not left out.
int change_sockets(const Invocation& invocation, std::string_view cmd, wire::ObjectWriter members) {
    const auto selection = invocation.selection();
    if (!selection) return finish(selection.error());
    if (selection->is_everybody() != invocation.has("--all"))
        return finish({exit_code::usage, selection->is_everybody()
                                             ? "say which sockets: --to, --user or --socket; or --all for everybody"
                                             : "--all and a choice of sockets exclude each other"});
    members.selection(*selection);
    const auto answer = ask_gateway(invocation, cmd, members);
    if (!answer) return finish(answer.error());
    return report_reached(invocation, *answer);
}

int change_rooms(const Invocation& invocation, std::string_view cmd) {
    for (const std::string& room : invocation.all("ROOM")) {
        if (room.empty()) return finish({exit_code::usage, "a room's name is not empty"});
    }
    wire::ObjectWriter members;
    members.texts("rooms", invocation.all("ROOM"));
    return change_sockets(invocation, cmd, members);
}

}  // namespace

int run_rooms(const Invocation& invocation) {
    const auto nsp = invocation.nsp();
    if (!nsp) return finish(nsp.error());
    wire::ObjectWriter members;
    if (*nsp) members.text("nsp", **nsp);
    if (invocation.has("--all")) members.boolean("all", true);
    const auto answer = ask_gateway(invocation, "rooms", members);
    if (!answer) return finish(answer.error());
    print_rows(invocation.format(), *answer, "rooms", [&](Output& out) {
        Table table{{"NAMESPACE", "ROOM", "SOCKETS"}};
        for (json::Walker rows{raw_member(*answer, "rooms")}; rows.next();) {
            const std::string_view row = rows.value();
            table.add({cell(raw_member(row, "nsp")), cell(raw_member(row, "room")), cell(raw_member(row, "sockets"))});
        }
        table.print(out);
    });
    return silent_nodes(*answer);
}

int run_sockets(const Invocation& invocation) {
    const auto selection = invocation.selection();
    if (!selection) return finish(selection.error());
    wire::ObjectWriter members;
    members.selection(*selection);
    const auto answer = ask_gateway(invocation, "sockets", members);
    if (!answer) return finish(answer.error());
    print_rows(invocation.format(), *answer, "sockets", [&](Output& out) {
        Table table{{"SID", "NAMESPACE", "USER", "TRANSPORT", "ADDRESS", "CONNECTED", "ROOMS"}};
        for (json::Walker rows{raw_member(*answer, "sockets")}; rows.next();) {
            const std::string_view row = rows.value();
            std::string rooms;
            for (json::Walker names{raw_member(row, "rooms")}; names.next();) {
                if (names.value() == raw_member(row, "sid")) continue;  // each socket has its own
                if (!rooms.empty()) rooms += ' ';
                rooms += cell(names.value());
            }
            table.add({cell(raw_member(row, "sid")), cell(raw_member(row, "nsp")), cell(raw_member(row, "user")),
                       cell(raw_member(row, "transport")), cell(raw_member(row, "address")),
                       shown_time(time_since(count_member(row, "connected_ms"))) +
                           (raw_member(row, "recovered") == "true" ? ", recovered" : ""),
                       rooms.empty() ? "-" : rooms});
        }
        table.print(out);
    });
    return silent_nodes(*answer);
}

int run_join(const Invocation& invocation) { return change_rooms(invocation, "join"); }

int run_leave(const Invocation& invocation) { return change_rooms(invocation, "leave"); }

int run_disconnect(const Invocation& invocation) {
    wire::ObjectWriter members;
    if (invocation.has("--how")) members.text("how", invocation.one("--how"));
    return change_sockets(invocation, "disconnect", members);
}

}  // namespace sio::sioctl
