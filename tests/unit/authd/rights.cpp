// authd/rights.h: which rooms a pattern means, what a file may say, and what its rules say of a user.
#include "authd/rights.h"

#include <criterion/criterion.h>

namespace {

using namespace sio;
using namespace sio::authd;

/// The parts as `name=value,…`, or `-` when the room does not match.
std::string matched(std::string_view pattern, std::string_view room) {
    const auto compiled = RoomPattern::compile(pattern);
    cr_assert(compiled.has_value(), "%s", compiled.error().what.c_str());
    const auto parts = compiled->match(room);
    if (!parts) return "-";
    std::string out;
    for (const auto& [name, value] : *parts)
        out += (out.empty() ? "" : ",") + std::string(name) + "=" + std::string(value);
    return out;
}

Rights rights_of(const std::string& rules) {
    auto rights = Rights::parse(R"({"version":1,"rights":[)" + rules + "]}", "r.json");
    cr_assert(rights.has_value(), "%s", rights.error().what.c_str());
    return std::move(*rights);
}

std::string trouble(const std::string& text) {
    const auto rights = Rights::parse(text, "r.json");
    return rights ? "" : rights.error().what;
}

std::string rule_trouble(const std::string& rule) { return trouble("{\"version\":1,\n\"rights\":[\n" + rule + "]}"); }

bool is_granted(const Rights& rights, const MayJoin& request, bool room_token = false) {
    return evaluate(rights.all().front(), request, [&] { return room_token; }).kind == RuleAnswer::Kind::granted;
}

MayJoin asking(std::string user, std::string room, std::string claims = "") {
    MayJoin request;
    request.user = std::move(user);
    request.room = std::move(room);
    request.claims = std::move(claims);
    return request;
}

}  // namespace

Test(rights_pattern, a_part_takes_all_but_what_ends_it) {
    cr_expect(matched("course_{id}", "course_42") == "id=42");
    cr_expect(matched("course_{id}", "course_4_2") == "id=4_2");
    cr_expect(matched("course_{id}", "course_") == "-" && matched("course_{id}", "xcourse_1") == "-");
    cr_expect(matched("team_{team}_{channel}", "team_a_b_c") == "team=a,channel=b_c");
    cr_expect(matched("team_{team}_{channel}", "team__c") == "-");
    cr_expect(matched("{a}:{b}x", "1:2x") == "a=1,b=2" && matched("{a}:{b}x", "1:2xx") == "-");
    cr_expect(matched("plain", "plain") == "" && matched("plain", "plainer") == "-");
}

Test(rights_pattern, a_star_takes_any_run_and_no_more_than_it_must) {
    cr_expect(matched("*", "") == "" && matched("*", "x") == "" && matched("a*b", "ab") == "" &&
              matched("a*b", "axbxb") == "");
    cr_expect(matched("a*b", "axc") == "-");
    cr_expect(matched("*_{id}", "a_b_c") == "id=b_c");
    cr_expect(matched("*_{id}_x", "a_b_c_x") == "id=c");
    cr_expect(matched(std::string(120, '*').replace(1, 119, "a*a*a*a*a*a*b"), std::string(256, 'a')) == "-");
}

Test(rights_pattern, what_could_match_in_two_ways_is_refused) {
    for (const auto* wrong : {"", "{a}{b}", "{a}*", "*{a}", "**", "{a", "a}", "{}", "{a b}", "{a}_{a}", "{room}"}) {
        cr_expect(!RoomPattern::compile(wrong), "%s", wrong);
    }
}

Test(rights_file, problems_name_line_and_pointer) {
    cr_expect(trouble("{\n\"version\":2,\"rights\":[]}") == "r.json:2: /version: must be 1");
    cr_expect(trouble("{\"version\":1}").starts_with("r.json:1: /rights: is missing"));
    cr_expect(trouble("{\n\n x}").starts_with("r.json:3: /: is not JSON"));
    cr_expect(trouble("[]") == "r.json:1: /: must be an object");
    cr_expect(rule_trouble(R"({"name":"a","room":"r"})") ==
              "r.json:3: /rights/0: needs one of sql, claim, own and room_token");
    cr_expect(rule_trouble(R"({"name":"a","room":"{user}","own":true,"room_token":true})").find("needs one of") !=
              std::string::npos);
    cr_expect(rule_trouble(R"({"name":"a","room":"r","own":true})").find("/room: must have the part {user}") !=
              std::string::npos);
    cr_expect(rule_trouble(R"({"room":"{user}","own":true})").find("/name: is missing") != std::string::npos);
    cr_expect(rule_trouble(R"({"name":"a","room":"{user}","own":true,"in":["x"]})").find("/in: goes with claim only") !=
              std::string::npos);
    cr_expect(rule_trouble(R"({"name":"a","room":"{user}","own":true,"nmae":1})").find("is not known here") !=
              std::string::npos);
    cr_expect(rule_trouble(R"({"name":"a","room":"{user}","own":true,"ttl":"1 day"})").find("/ttl: ") !=
              std::string::npos);
    cr_expect(rule_trouble(R"({"name":"a","room":"{user}","own":true},{"name":"a","room":"{user}","own":true})")
                  .find("/rights/1/name: is the name of another rule") != std::string::npos);
    // Two problems, two lines.
    cr_expect(rule_trouble("{\"name\":\"\",\n\"room\":\"{a\",\"own\":true}").find("\nr.json:4: ") != std::string::npos);
}

Test(rights_file, sql_and_its_parameters_must_agree) {
    const auto sql = [](const std::string& text, const std::string& parameters) {
        return rule_trouble(R"({"name":"a","room":"c_{id}","sql":")" + text + R"(","parameters":)" + parameters + "}");
    };
    cr_expect(sql("SELECT $1, $2", R"(["{user}","{id}"])") == "");
    cr_expect(sql("SELECT $1", R"(["{user}","{id}"])").find("does not use $2") != std::string::npos);
    cr_expect(sql("SELECT $1, $2", R"(["{user}"])").find("uses $2, which parameters lacks") != std::string::npos);
    cr_expect(sql("SELECT $10", R"(["{user}"])").find("does not use $1,") != std::string::npos);
    cr_expect(sql("SELECT $1", R"(["{other}"])").find("/parameters/0: must be") != std::string::npos);
    cr_expect(sql("SELECT $1", R"(["x{id}"])").find("/parameters/0: must be") != std::string::npos);
    cr_expect(sql("SELECT $1", R"([7])").find("must be a text") != std::string::npos);
}

Test(rights, a_statement_is_named_by_what_it_says) {
    const auto one = rights_of(R"({"name":"a","room":"c","sql":"SELECT 1"},{"name":"b","room":"d","sql":"SELECT 2"})");
    const auto two = rights_of(R"({"name":"b","room":"d","sql":"SELECT 2"})");
    cr_expect(one.all()[0].statement != one.all()[1].statement && one.all()[1].statement == two.all()[0].statement);
}

Test(rights, the_own_room_is_of_its_user_alone) {
    const auto rights = rights_of(R"({"name":"a","room":"desk_{user}","own":true})");
    cr_expect(is_granted(rights, asking("42", "desk_42")));
    cr_expect(!is_granted(rights, asking("42", "desk_43")) && !is_granted(rights, asking("", "desk_42")));
}

Test(rights, a_claim_is_one_of_the_values_or_holds_one) {
    const auto rights = rights_of(R"({"name":"a","room":"c_*","claim":"role","in":["teacher",7,true]})");
    cr_expect(rights.claims() == std::vector<std::string>({"role"}));
    for (const auto* good : {R"({"role":"teacher"})", R"({"role":["x","teacher"]})", R"({"role":7})", R"({"role":[7]})",
                             R"({"role":true})"}) {
        cr_expect(is_granted(rights, asking("1", "c_1", good)), "%s", good);
    }
    for (const auto* bad : {R"({"role":"teachers"})", R"({"role":[]})", R"({"role":{"x":"teacher"}})",
                            R"({"role":null})", R"({"role":[["teacher"]]})", R"({"other":"teacher"})", ""}) {
        cr_expect(!is_granted(rights, asking("1", "c_1", bad)), "%s", bad);
    }
    cr_expect(!is_granted(rights, asking("1", "d_1", R"({"role":"teacher"})")));
}

Test(rights, a_claim_may_list_the_rooms) {
    const auto rights = rights_of(R"({"name":"a","room":"c_{id}","claim":"courses","in":["{id}"]})");
    cr_expect(is_granted(rights, asking("1", "c_9", R"({"courses":["8","9"]})")));
    cr_expect(is_granted(rights, asking("1", "c_9", R"({"courses":[9]})")));
    cr_expect(!is_granted(rights, asking("1", "c_7", R"({"courses":["8","9"]})")));
}

Test(rights, a_room_token_is_looked_at_only_when_there_is_one) {
    const auto rights = rights_of(R"({"name":"a","room":"c_*","room_token":true})");
    MayJoin request = asking("1", "c_1");
    cr_expect(!is_granted(rights, request, true));
    request.room_token = "x";
    cr_expect(is_granted(rights, request, true) && !is_granted(rights, request, false));
}

Test(rights, sql_gets_texts_and_is_not_asked_in_vain) {
    const auto rights = rights_of(R"({"name":"a","room":"c_{id}","sql":"SELECT $1,$2,$3,$4,$5",)"
                                  R"("parameters":["{user}","{id}","{room}","{claim.org}","x"]})");
    const auto ask = [&](const MayJoin& request) {
        return evaluate(rights.all().front(), request, [] { return false; });
    };
    const auto answer = ask(asking("1", "c_9", R"({"org":5})"));
    cr_assert(answer.kind == RuleAnswer::Kind::ask);
    const std::vector<std::optional<std::string>> want{"1", "9", "c_9", "5", "x"};
    cr_expect(answer.parameters == want);
    cr_expect(ask(asking("1", "c_9")).parameters[3] == std::nullopt);
    cr_expect(ask(asking("", "c_9")).kind == RuleAnswer::Kind::silent, "nobody is no user");
    cr_expect(ask(asking("1", "d_9")).kind == RuleAnswer::Kind::silent);
    // What PostgreSQL would read of it is another room.
    cr_expect(ask(asking("1", std::string("c_9\0x", 5))).kind == RuleAnswer::Kind::silent);
}
