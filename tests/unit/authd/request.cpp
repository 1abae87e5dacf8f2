// authd/request.h: what may be asked, and in which form.
#include "authd/request.h"

#include <criterion/criterion.h>

namespace {

using namespace sio;
using namespace sio::authd;

Result<Command> read(std::string_view line) {
    const auto request = wire::parse_admin_request(line);
    cr_assert(request.has_value(), "%s", request.error().what.c_str());
    return parse_command(*request);
}

std::string trouble(std::string_view line) {
    const auto command = read(line);
    return command ? "" : std::string(to_string(command.error().code)) + " " + command.error().what;
}

}  // namespace

Test(authd_request, authenticate_tells_an_absent_credential_from_an_empty_one) {
    const auto command =
        read(R"({"id":1,"cmd":"authenticate","token":"","origin":"o","address":"1.2.3.4","user":"7"})");
    const auto* const asked = std::get_if<Authenticate>(&*command);
    cr_assert(asked != nullptr);
    cr_expect(asked->token == "" && !asked->cookie && !asked->authorization && !asked->query_token);
    cr_expect(asked->origin == "o" && asked->address == "1.2.3.4" && asked->user == "7" && !asked->verify);
}

Test(authd_request, a_moment_counts_for_verify_only) {
    cr_expect(std::get<Authenticate>(*read(R"({"id":1,"cmd":"verify","at":5})")).at == 5);
    cr_expect(!std::get<Authenticate>(*read(R"({"id":1,"cmd":"authenticate","at":5})")).at);
    cr_expect(trouble(R"({"id":1,"cmd":"verify","at":"5"})") == "malformed `at` must be a whole number");
}

Test(authd_request, members_of_other_types_and_too_long_ones_are_refused) {
    cr_expect(trouble(R"({"id":1,"cmd":"authenticate","token":7})") == "malformed `token` must be a text");
    cr_expect(trouble(R"({"id":1,"cmd":"authenticate","token":null})").starts_with("malformed `token`"));
    cr_expect(trouble(R"({"id":1,"cmd":"may_join","user":"1"})").starts_with("malformed `room`"));
    cr_expect(trouble(R"({"id":1,"cmd":"may_join","room":""})").starts_with("malformed `room`"));
    cr_expect(trouble(R"({"id":1,"cmd":"may_join","room":")" + std::string(257, 'r') + "\"}")
                  .starts_with("malformed `room`"));
    cr_expect(trouble(R"({"id":1,"cmd":"may_join","room":")" + std::string(256, 'r') + "\"}") == "");
    cr_expect(trouble(R"({"id":1,"cmd":"can_i","room":"r","claims":[]})") == "malformed `claims` must be an object");
    cr_expect(trouble(R"({"id":1,"cmd":"closed","sessions":"x"})").starts_with("malformed"));
    cr_expect(trouble(R"({"id":1,"cmd":"log","level":"loud"})").starts_with("malformed `level`"));
    cr_expect(trouble(R"({"id":1,"cmd":"emit"})") == "not_found there is no command 'emit'");
}

Test(authd_request, a_revocation_is_of_one_user_or_one_session) {
    const std::string hex(64, 'a');
    cr_expect(std::get<Revoke>(*read(R"({"id":1,"cmd":"revoke","user":"42","for_s":60})")).lasts == 60);
    cr_expect(std::get<Revoke>(*read(R"({"id":1,"cmd":"revoke","session":")" + hex + "\",\"lift\":true}")).lift);
    cr_expect(trouble(R"({"id":1,"cmd":"revoke"})").starts_with("malformed"));
    cr_expect(trouble(R"({"id":1,"cmd":"revoke","user":"1","session":")" + hex + "\"}").starts_with("malformed"));
    cr_expect(trouble(R"({"id":1,"cmd":"revoke","session":"abc"})").starts_with("malformed `session`"));
    cr_expect(trouble(R"({"id":1,"cmd":"revoke","user":""})").starts_with("malformed `user`"));
    cr_expect(trouble(R"({"id":1,"cmd":"revoke","user":"1","for_s":0})").starts_with("malformed `for_s`"));
    cr_expect(trouble(R"({"id":1,"cmd":"revoke","user":"1","lift":1})").starts_with("malformed `lift`"));
}

Test(authd_request, a_bearer_token_stands_behind_its_word_in_any_case) {
    cr_expect(bearer("Bearer abc") == "abc" && bearer("bearer  abc ") == "abc" && bearer("BEARER\tabc") == "abc");
    for (const auto* none : {"", "Bearer", "Bearer ", "Bearerabc", "Basic abc", "abc"})
        cr_expect(!bearer(none), "%s", none);
}

Test(authd_request, a_database_is_asked_for_printable_tokens_of_255_bytes_at_most) {
    cr_expect(is_database_token(std::string(255, 'x')) && !is_database_token(std::string(256, 'x')));
    cr_expect(!is_database_token("") && !is_database_token("a b") && !is_database_token("a\x01") &&
              !is_database_token("\xc3\xa4"));
}

Test(authd_request, notifications_name_a_user_or_the_digest_of_a_session) {
    cr_expect(parse_notification("user:a:b")->id == "a:b");
    cr_expect(parse_notification("session:" + std::string(64, '0'))->kind == Revoked::session);
    for (const auto* wrong : {"", "user", "user:", "42", "session:abc", "group:1", "user:\xff"}) {
        cr_expect(!parse_notification(wrong), "%s", wrong);
    }
}

Test(authd_request, only_the_claims_named_are_passed_on) {
    const std::string claims = R"({"sub":"1","email":"x@y","role":["a","b"],"n":7,"f":1.5})";
    cr_expect(reduced_claims(claims, {"role", "absent", "n"}) == R"({"role":["a","b"],"n":7})");
    cr_expect(reduced_claims(claims, {}).empty() && reduced_claims(claims, {"absent"}).empty() &&
              reduced_claims("", {"n"}).empty());
    cr_expect(claim_text(claims, "sub") == "1" && claim_text(claims, "n") == "7");
    cr_expect(!claim_text(claims, "f") && !claim_text(claims, "role") && !claim_text("", "sub"));
}
