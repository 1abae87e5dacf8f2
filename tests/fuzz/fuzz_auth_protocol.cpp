// sio-authd reads any line, rules file, pattern, header and notification without harm, and what it takes keeps the
// limits that it states.
//
// Byte 0 says what the rest is.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "authd/carrier.h"
#include "authd/database_url.h"
#include "authd/request.h"
#include "authd/rights.h"
#include "base/bytes.h"
#include "base/json.h"
#include "check.h"
#include "wire/admin.h"

namespace {

using namespace sio;
using namespace sio::authd;

void check_claims(std::string_view claims) {
    if (claims.empty()) return;
    FUZZ_CHECK(json::is_valid(claims) && json::kind_of(claims) == json::Kind::object);
    const std::string reduced = reduced_claims(claims, {"role", "a"});
    FUZZ_CHECK(reduced.empty() || (json::is_valid(reduced) && json::kind_of(reduced) == json::Kind::object));
    FUZZ_CHECK(reduced_claims(reduced, {"role", "a"}) == reduced);
    FUZZ_CHECK(claim_text(claims, "role") == claim_text(reduced, "role"));
}

void check_line(std::string_view line) {
    const auto request = wire::parse_admin_request(line);
    if (!request) return;
    const auto command = parse_command(*request);
    if (!command) {
        FUZZ_CHECK(command.error().code == Errc::malformed || command.error().code == Errc::not_found);
        std::string refusal;
        wire::append_admin_error(refusal, request->id, wire::admin_error::malformed, command.error().what);
        FUZZ_CHECK(wire::parse_admin_reply(refusal).has_value());
        return;
    }
    if (const auto* const asked = std::get_if<Authenticate>(&*command)) {
        Config config;
        config.origins = {"https://a"};
        config.query_token = true;
        const Carrier carrier = choose_carrier(*asked, config);
        FUZZ_CHECK((carrier.kind == Carrier::Kind::token) == !carrier.token.empty());
        FUZZ_CHECK((carrier.kind == Carrier::Kind::refused) == !carrier.code.empty());
        if (asked->token) FUZZ_CHECK(carrier.token == *asked->token && carrier.kind != Carrier::Kind::none);
        FUZZ_CHECK(asked->verify || !asked->at);
        FUZZ_CHECK(!is_database_token(carrier.token) || carrier.token.size() <= 255);
    } else if (const auto* const joining = std::get_if<MayJoin>(&*command)) {
        FUZZ_CHECK(!joining->room.empty() && joining->room.size() <= max_room_bytes &&
                   joining->user.size() <= max_user_bytes);
        check_claims(joining->claims);
    } else if (const auto* const revoked = std::get_if<Revoke>(&*command)) {
        FUZZ_CHECK(!revoked->id.empty() && revoked->id.size() <= Revocations::max_id_bytes);
        FUZZ_CHECK(revoked->kind != Revoked::session || is_session_id(revoked->id));
        FUZZ_CHECK(!revoked->lasts || *revoked->lasts > 0);
    }
}

/// The parts and the literals between them are the room again.
void check_pattern(std::string_view pattern, std::string_view room) {
    const auto compiled = RoomPattern::compile(pattern);
    if (!compiled) return;
    const auto parts = compiled->match(room);
    if (!parts) return;
    for (const auto& [name, value] : *parts) {
        FUZZ_CHECK(!value.empty() && compiled->has_part(name));
        FUZZ_CHECK(value.data() >= room.data() && value.data() + value.size() <= room.data() + room.size());
    }
    if (pattern.find('*') != std::string_view::npos) return;
    std::string again;
    std::size_t part = 0;
    for (std::size_t at = 0; at < pattern.size();) {
        if (pattern[at] == '{') {
            again += (*parts)[part++].second;
            at = pattern.find('}', at) + 1;
        } else {
            again += pattern[at++];
        }
    }
    FUZZ_CHECK(again == room && part == parts->size());
}

void check_rights(std::string_view text) {
    const auto rights = Rights::parse(text, "r.json");
    if (!rights) {
        FUZZ_CHECK(rights.error().code == Errc::config && rights.error().what.starts_with("r.json:"));
        return;
    }
    MayJoin request;
    request.user = "1";
    request.claims = R"({"role":"a","n":[1,"2"]})";
    request.room_token = "t";
    for (const Right& right : rights->all()) {
        FUZZ_CHECK(!right.name.empty());
        for (const std::string_view room : {"a", "course_1", "a_1_2", "1"}) {
            request.room = room;
            const RuleAnswer answer = evaluate(right, request, [] { return false; });
            FUZZ_CHECK((answer.kind == RuleAnswer::Kind::silent) || answer.applies);
            FUZZ_CHECK(answer.kind != RuleAnswer::Kind::ask || right.kind == Right::Kind::sql);
            FUZZ_CHECK(right.kind != Right::Kind::sql || answer.kind == RuleAnswer::Kind::silent ||
                       answer.parameters.size() == right.parameters.size());
            FUZZ_CHECK(right.kind != Right::Kind::room_token || answer.kind == RuleAnswer::Kind::silent);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 8192) return 0;
    const std::string_view text = fuzz::as_text(data + 1, size - 1);
    switch (data[0] & 3U) {
        case 0: check_line(text); break;
        case 1: check_rights(text); break;
        case 2: {
            const std::size_t middle = std::min(text.find('\n'), text.size());
            check_pattern(text.substr(0, middle), text.substr(std::min(middle + 1, text.size())));
            break;
        }
        default: {
            const auto token = bearer(text);
            FUZZ_CHECK(!token || (!token->empty() && base::trim(*token) == *token));
            const auto revocation = parse_notification(text);
            FUZZ_CHECK(!revocation || (!revocation->id.empty() && revocation->id.size() <= Revocations::max_id_bytes));
            FUZZ_CHECK(!is_origin(text) || text.find("://") != std::string_view::npos);
            if (const auto url = read_database_url(text)) FUZZ_CHECK(read_database_url(url->url).has_value());
            break;
        }
    }
    return 0;
}
