// routes can-i, revoke, revocations: what sio-authd lets people do.
#include <chrono>

#include "base/bytes.h"
#include "base/json.h"
#include "routes/explain.h"
#include "routes/routes.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"
#include "sioctl/files.h"

namespace sio::sioctl {

namespace {

constexpr std::size_t max_token_bytes = std::size_t{64} * 1024;  // a line of the daemon's

/// A name that was typed: neither empty nor another encoding.
Outcome<std::string> name_of(const Invocation& invocation, std::string_view argument) {
    std::string name = invocation.one(argument);
    // An empty name is what an unset shell variable leaves.
    if (name.empty()) return give_up(exit_code::usage, std::string(argument) + ": an empty name means nobody");
    if (!base::is_utf8(name)) return give_up(exit_code::usage, std::string(argument) + " is not UTF-8");
    return name;
}

std::string json_of(const std::vector<routes::Way>& ways) {
    std::string array = "[";
    for (const routes::Way& way : ways) {
        wire::ObjectWriter one;
        one.text("namespace", way.nsp).text("list", way.list).text("verb", way.verb).text("room", way.room);
        one.text("allow", way.allow).boolean("asks", way.is_granted_by_authd);
        if (array.size() > 1) array += ',';
        array += one.object();
    }
    return array + "]";
}

void print_right(Output& out, std::string_view answer, const std::string& who, const std::string& room,
                 const std::vector<routes::Way>& ways) {
    Table right{{"RIGHT", cell(raw_member(answer, "result"))}};
    right.add({"user", printable(who)});
    right.add({"room", printable(room)});
    right.add({"rule", cell(raw_member(answer, "rule"))});
    if (json::member(answer, "reason")) right.add({"reason", cell(raw_member(answer, "reason"))});
    if (json::member(answer, "ttl_ms")) right.add({"known for", shown_time(count_member(answer, "ttl_ms"))});
    right.print(out);
    Table rules{{"RULE", "KIND", "ANSWER"}};
    bool has_rules = false;
    for (json::Walker rule{raw_member(answer, "rules")}; rule.next(); has_rules = true) {
        rules.add({cell(raw_member(rule.value(), "name")), cell(raw_member(rule.value(), "kind")),
                   cell(raw_member(rule.value(), "answer"))});
    }
    if (has_rules) out.line("");
    rules.print(out);
    Table table{{"NAMESPACE", "LIST", "VERB", "ROOM", "ALLOW"}};
    for (const routes::Way& way : ways)
        table.add({printable(way.nsp), printable(way.list), way.verb, printable(way.room), printable(way.allow)});
    if (!ways.empty()) out.line("");
    table.print(out);
}

/// How a question ends that sio-authd answered with `granted`, `denied` or `unavailable`.
int finish_with(std::string_view answer, const std::string& question) {
    const std::string result = text_member(answer, "result");
    std::string reason = text_member(answer, "reason");
    if (reason.empty()) reason = "no reason given";
    if (result == "granted") return exit_code::ok;
    if (result == "denied") return finish({exit_code::denied, question + ": denied, " + reason});
    if (result == "unavailable")
        return finish({exit_code::unavailable, question + ": it cannot be told just now, " + reason});
    return finish({exit_code::protocol, "sio-authd gives an unknown answer"});
}

}  // namespace

int run_routes_can_i(const Invocation& invocation) {
    if (!invocation.has("--room")) return finish({exit_code::usage, "which room? (--room ROOM)"});
    const auto room = name_of(invocation, "--room");
    if (!room) return finish(room.error());
    const std::string user = invocation.one("--user");
    if (!base::is_utf8(user)) return finish({exit_code::usage, "--user is not UTF-8"});
    if (invocation.has("--event") && !invocation.has("--routes"))
        return finish({exit_code::usage, "--event needs --routes FILE"});

    wire::ObjectWriter members;
    if (!user.empty()) members.text("user", user);
    members.text("room", *room);
    if (invocation.has("--claims")) {
        const auto claims = checked_json(invocation.one("--claims"), "--claims");
        if (!claims) return finish(claims.error());
        if (json::kind_of(*claims) != json::Kind::object)
            return finish({exit_code::data, "--claims is no object; write {\"role\":\"teacher\"}"});
        members.raw("claims", *claims);
    }
    if (invocation.has("--room-token")) {
        std::string token = invocation.one("--room-token");
        if (token == "-") {
            auto input = read_input(max_token_bytes);
            if (!input) return finish(input.error());
            token = std::move(*input);
        }
        if (!base::is_utf8(token)) return finish({exit_code::data, "the room token is not UTF-8"});
        members.text("room_token", token);
    }
    std::vector<routes::Way> ways;
    if (invocation.has("--routes")) {
        const std::string path = invocation.one("--routes");
        const auto text = read_file(path);
        if (!text) return finish(text.error());
        const auto parsed = routes::parse_routes(*text, path);
        if (!parsed) return finish({exit_code::config, parsed.error().what});
        ways = routes::ways_to(*parsed, *room, invocation.one("--event"));
        if (ways.empty() && !invocation.quiet()) complain("nothing in " + path + " names such a room");
    }

    const auto answer = ask_authd(invocation, "can_i", members);
    if (!answer) return finish(answer.error());
    const std::string who = user.empty() ? "an anonymous client" : user;
    Output out;
    if (invocation.format() == Format::table) {
        print_right(out, *answer, who, *room, ways);
    } else {
        std::string object =
            "{\"user\":" + (user.empty() ? std::string("null") : json::quote(user)) + ",\"room\":" + json::quote(*room);
        for (json::Walker each{*answer}; each.next();) {
            if (each.key() == "\"id\"" || each.key() == "\"ok\"") continue;
            object += ',';
            object.append(each.key()) += ':';
            object += each.value();
        }
        if (invocation.has("--routes")) object += ",\"routes\":" + json_of(ways);
        object += '}';
        out.line(invocation.format() == Format::json ? indented(object) : object);
    }
    out.flush();
    return finish_with(*answer, who + " in " + *room);
}

int run_revoke(const Invocation& invocation) {
    const bool is_session = invocation.one("WHAT") == "session";
    const auto name = name_of(invocation, "NAME");
    if (!name) return finish(name.error());
    if (is_session && (name->size() != 64 || name->find_first_not_of("0123456789abcdef") != std::string::npos)) {
        return finish({exit_code::usage,
                       "a session is named by 64 hexadecimal digits, as `sioctl token verify` shows "
                       "them"});
    }
    const bool is_lifted = invocation.has("--lift");
    if (is_lifted && invocation.has("--for")) return finish({exit_code::usage, "--lift ends it now: leave --for out"});
    const auto lasts = invocation.time("--for", {});
    if (!lasts) return finish(lasts.error());
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*lasts).count();
    if (invocation.has("--for") && seconds == 0) return finish({exit_code::usage, "--for: at least a second"});

    wire::ObjectWriter members;
    members.text(is_session ? "session" : "user", *name);
    if (invocation.has("--for")) members.number("for_s", seconds);
    if (is_lifted) members.boolean("lift", true);
    const auto answer = ask_authd(invocation, "revoke", members);
    if (!answer) return finish(answer.error());
    const std::string stored = text_member(*answer, "stored");
    Output out;
    if (invocation.format() != Format::table) {
        const std::string object = without_frame(*answer);
        out.line(invocation.format() == Format::json ? indented(object) : object);
    } else if (!invocation.quiet()) {
        const std::uint64_t reached = count_member(*answer, "reached");
        out.line((is_lifted ? "lifted; " : "revoked; ") + std::to_string(reached) +
                 (reached == 1 ? " connection" : " connections") + " told");
    }
    if (stored == "memory" && !is_lifted && !invocation.quiet())
        complain("kept in the memory of this sio-authd only: others do not know, and its restart forgets it (--redis)");
    return exit_code::ok;
}

int run_revocations(const Invocation& invocation) {
    const auto answer = ask_authd(invocation, "revocations", {});
    if (!answer) return finish(answer.error());
    const std::string_view all = raw_member(*answer, "revocations");
    Output out;
    if (invocation.format() == Format::json) {
        out.line(indented(all));
    } else if (invocation.format() == Format::ndjson) {
        for (json::Walker one{all}; one.next();) out.line(one.value());
    } else {
        Table table{{"WHAT", "NAME", "UNTIL"}};
        for (json::Walker one{all}; one.next();) {
            const bool is_session = json::member(one.value(), "session").has_value();
            const std::string_view what = is_session ? "session" : "user";
            table.add({std::string(what), cell(raw_member(one.value(), what)),
                       shown_moment(raw_member(one.value(), "until"))});
        }
        table.print(out);
    }
    return exit_code::ok;
}

}  // namespace sio::sioctl
