// presence: who is online, on all gateways together.
#include "base/json.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

namespace {

/// One user a line; `users` is the object {"alice":true,…}.
void print_asked(Output& out, Format format, std::string_view users) {
    Table table{{"USER", "PRESENCE"}};
    for (json::Walker members{users}; members.next();) {
        const bool online = members.value() == "true";
        if (format == Format::table) {
            table.add({cell(members.key()), online ? "online" : "offline"});
        } else {
            out.line(wire::ObjectWriter{}.raw("user", members.key()).boolean("online", online).object());
        }
    }
    table.print(out);
}

void print_list(Output& out, Format format, std::string_view users) {
    Table table{{"USER"}};
    for (json::Walker names{users}; names.next();) {
        if (format == Format::table) {
            table.add({cell(names.value())});
        } else {
            out.line(wire::ObjectWriter{}.raw("user", names.value()).boolean("online", true).object());
        }
    }
    table.print(out);
}

}  // namespace

int run_presence(const Invocation& invocation) {
    const auto limit = invocation.number("--limit", 0);
    if (!limit) return finish(limit.error());
    const std::vector<std::string>& asked = invocation.all("USER");
    if (*limit && !asked.empty()) return finish({exit_code::usage, "--limit is for the list of all, without USER"});
    for (const std::string& user : asked) {
        if (user.empty()) return finish({exit_code::usage, "a user's name is not empty"});
    }
    wire::ObjectWriter members;
    if (!asked.empty()) members.texts("users", asked);
    if (*limit) members.number("limit", static_cast<std::int64_t>(**limit));
    const auto answer = ask_gateway(invocation, "presence", members);
    if (!answer) return finish(answer.error());

    const Format format = invocation.format();
    Output out;
    if (format == Format::json) {
        out.line(indented(without_frame(*answer)));
    } else if (asked.empty()) {
        print_list(out, format, raw_member(*answer, "users"));
    } else {
        print_asked(out, format, raw_member(*answer, "online"));
    }
    out.flush();
    if (asked.empty() && !invocation.quiet()) {
        std::uint64_t shown = 0;
        for (json::Walker names{raw_member(*answer, "users")}; names.next();) ++shown;
        const std::uint64_t count = count_member(*answer, "count");
        complain(std::to_string(count) + " online" + (shown < count ? ", " + std::to_string(shown) + " shown" : ""));
    }
    if (const int code = silent_nodes(*answer); code != exit_code::ok) return code;
    if (asked.size() == 1) {
        json::Walker only{raw_member(*answer, "online")};
        return only.next() && only.value() == "true" ? exit_code::ok : exit_code::no;
    }
    return exit_code::ok;
}

}  // namespace sio::sioctl
