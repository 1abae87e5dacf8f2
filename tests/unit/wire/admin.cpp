// wire/admin.h: the lines of the control socket.
#include "wire/admin.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include <string>

namespace {

using namespace sio;
using namespace sio::wire;

Test(admin, greetings_are_those_of_the_page) {
    AdminGreeting greeting;
    greeting.program = "sio-gateway";
    greeting.version = "0.1.0";
    greeting.pid = 4711;
    greeting.node = "web1#4711";
    const std::string line = admin_server_greeting(greeting);
    cr_assert(line ==
              "{\"sio\":\"admin\",\"major\":1,\"minor\":0,\"program\":\"sio-gateway\",\"version\":\"0.1.0\","
              "\"pid\":4711,\"node\":\"web1#4711\"}\n");
    cr_assert(admin_client_greeting() == "{\"sio\":\"admin\",\"major\":1,\"minor\":0}\n");
    const auto parsed = parse_admin_greeting(line);
    cr_assert(parsed.has_value());
    cr_assert(parsed->node == "web1#4711" && parsed->pid == 4711 && parsed->program == "sio-gateway");
}

Test(admin, another_minor_version_and_unknown_members_are_fine_another_major_is_not) {
    cr_assert(parse_admin_greeting(R"({"sio":"admin","major":1,"minor":9,"new":[1]})").has_value());
    const auto newer = parse_admin_greeting(R"({"sio":"admin","major":2,"minor":0})");
    cr_assert(!newer && newer.error().code == Errc::denied);
    for (const std::string_view line :
         {"", "{", "[]", "{}", R"({"sio":"auth","major":1})", R"({"sio":"admin"})", R"({"sio":"admin","major":"1"})",
          R"({"ok":false,"error":{"message":"full"}})"}) {
        const auto got = parse_admin_greeting(line);
        cr_expect(!got && got.error().code == Errc::malformed, "line '%.*s'", static_cast<int>(line.size()),
                  line.data());
    }
}

Test(admin, a_request_needs_a_word_and_a_number) {
    const auto request = parse_admin_request(R"( {"id":7,"cmd":"emit","event":"x"} )");
    cr_assert(request.has_value());
    cr_assert(request->id == 7 && request->cmd == "emit" && request->text.front() == '{');
    for (const std::string_view line :
         {"", "7", "[]", "{}", "{\"id\":1}", R"({"cmd":"x"})", R"({"id":"1","cmd":"x"})", R"({"id":-1,"cmd":"x"})",
          R"({"id":1.5,"cmd":"x"})", R"({"id":9007199254740992,"cmd":"x"})", R"({"id":1,"cmd":2})",
          "{\"id\":1,\"cmd\":\"\xFF\"}", R"({"id":1,"cmd":"x"} {})"}) {
        const auto got = parse_admin_request(line);
        cr_expect(!got && got.error().code == Errc::malformed, "line '%.*s'", static_cast<int>(line.size()),
                  line.data());
    }
    cr_assert(admin_line_id(R"({"id":3})") == 3);
    cr_assert(!admin_line_id("nonsense"));
}

Test(admin, answers_are_read_as_they_are_written) {
    std::string line;
    append_admin_ok(line, 1, "\"reached\":2");
    cr_assert(line == "{\"id\":1,\"ok\":true,\"reached\":2}\n");
    auto reply = parse_admin_reply(line);
    cr_assert(reply && reply->kind == AdminReply::Kind::ok && reply->id == 1);

    line.clear();
    append_admin_error(line, 2, admin_error::denied, "a \"quoted\"\nreason");
    reply = parse_admin_reply(line);
    cr_assert(reply && reply->kind == AdminReply::Kind::error && reply->id == 2);
    cr_assert(reply->code == "denied" && reply->message == "a \"quoted\"\nreason");

    line.clear();
    append_admin_error(line, std::nullopt, admin_error::too_large, "a line above 8 MiB");
    reply = parse_admin_reply(line);
    cr_assert(reply && reply->kind == AdminReply::Kind::error && !reply->id);

    reply = parse_admin_reply(R"({"id":3,"event":{"event":"x","args":[1e400]}})");
    cr_assert(reply && reply->kind == AdminReply::Kind::event && reply->event == R"({"event":"x","args":[1e400]})");
    reply = parse_admin_reply(R"({"id":3,"call":8,"event":"x","args":[]})");
    cr_assert(reply && reply->kind == AdminReply::Kind::call && reply->call == 8);
    reply = parse_admin_reply(R"({"id":3,"lost":17})");
    cr_assert(reply && reply->kind == AdminReply::Kind::lost && reply->lost == 17);
    for (const std::string_view bad :
         {"{}", R"({"id":1})", R"({"ok":true})", R"({"id":1,"ok":false})", R"({"id":1,"ok":1})", "x"})
        cr_expect(!parse_admin_reply(bad), "line '%.*s'", static_cast<int>(bad.size()), bad.data());
}

Test(admin, a_selection_comes_back_as_it_was_written) {
    Selection selection;
    selection.nsp = "/chat";
    selection.to = {"r", "\"quoted\""};
    selection.users = {"alice"};
    selection.except = {"e"};
    ObjectWriter writer;
    writer.selection(selection);
    const auto parsed = parse_selection(writer.object());
    cr_assert(parsed && parsed->nsp == "/chat" && parsed->to == selection.to && parsed->users == selection.users);
    cr_assert(parsed->sockets.empty() && parsed->except == selection.except && !parsed->is_everybody());
    cr_assert(parse_selection("{}")->is_everybody() && parse_selection("{}")->nsp == "/");
    cr_assert(ObjectWriter{}.selection(Selection{}).members().empty());
    for (const std::string_view bad :
         {R"({"to":"r"})", R"({"to":[1]})", R"({"nsp":"chat"})", R"({"nsp":1})", R"({"except":{}})"})
        cr_expect(!parse_selection(bad), "request '%.*s'", static_cast<int>(bad.size()), bad.data());
}

Test(line_splitter, meets_every_split) {
    const std::string stream = "one\r\n\ntwo three\nrest";
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        LineSplitter lines;
        std::string seen;
        for (const std::string& part : {stream.substr(0, cut), stream.substr(cut)}) {
            lines.feed(part);
            while (const auto line = lines.next()) seen += "<" + std::string(*line) + ">";
        }
        cr_expect(seen == "<one><><two three>", "cut at %zu: %s", cut, seen.c_str());
        cr_expect(lines.rest() == "rest");
    }
}

Test(line_splitter, stops_at_a_line_above_the_limit) {
    LineSplitter lines{4};
    lines.feed("1234\n12345\n1\n");
    cr_assert(lines.next() == "1234");
    cr_assert(!lines.next() && lines.too_long());
    LineSplitter endless{4};
    endless.feed("12345");
    cr_assert(!endless.next() && endless.too_long());
}

Test(admin, default_path_follows_the_user) {
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    const std::string path = default_control_path();
    cr_assert(path == "/run/sio/gateway.sock" || path == "/run/user/7/sio/gateway.sock");
}

}  // namespace
