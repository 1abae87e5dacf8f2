// token make, inspect, verify: for tests, and for the night when somebody cannot log in.
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>

#include "auth/mint.h"
#include "auth/verifier.h"
#include "base/bytes.h"
#include "base/json.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"
#include "sioctl/files.h"

namespace sio::sioctl {

namespace {

constexpr std::size_t max_token_bytes = std::size_t{64} * 1024;  // more than any daemon takes
constexpr std::size_t min_signing_secret_bytes = 32;
constexpr std::size_t max_secrets = 16;

auth::Seconds now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// The secrets of --secret-file, one a line, or that of AUTH_SECRET. Failure: 64, 78.
Outcome<std::vector<std::string>> secrets_of(const Invocation& invocation) {
    std::vector<std::string> secrets;
    if (!invocation.has("--secret-file")) {
        const char* variable = std::getenv("AUTH_SECRET");
        if (variable == nullptr || *variable == '\0')
            return give_up(exit_code::usage, "no secret: give --secret-file FILE, or set AUTH_SECRET");
        secrets.emplace_back(variable);
        return secrets;
    }
    const std::string path = invocation.one("--secret-file");
    const auto text = read_file(path);
    if (!text) return tl::unexpected(text.error());
    for (std::size_t at = 0; at < text->size();) {
        const std::size_t end = std::min(text->find('\n', at), text->size());
        std::string line = text->substr(at, end - at);
        at = end + 1;
        if (line.ends_with('\r')) line.pop_back();
        if (line.find_first_not_of(" \t") == std::string::npos) continue;
        secrets.push_back(std::move(line));
        if (secrets.size() > max_secrets) return give_up(exit_code::config, path + " has more than 16 secrets");
    }
    if (secrets.empty()) return give_up(exit_code::config, "there is no secret in " + path);
    return secrets;
}

/// TOKEN, or standard input.
Outcome<std::string> token_of(const Invocation& invocation) {
    std::string token = invocation.one("TOKEN", "-");
    if (token == "-") {
        auto input = read_input(max_token_bytes);
        if (!input) return input;
        token = std::move(*input);
    }
    if (token.empty()) return give_up(exit_code::data, "there is no token");
    if (!base::is_utf8(token)) return give_up(exit_code::data, "the token is not UTF-8");
    return token;
}

/// --at: seconds since 1970, or `2026-01-31T12:00:00Z`.
Outcome<std::optional<auth::Seconds>> moment_of(const Invocation& invocation) {
    if (!invocation.has("--at")) return std::optional<auth::Seconds>{};
    const std::string text = invocation.one("--at");
    if (const auto seconds = base::parse_decimal(text, 253'402'300'799ULL))
        return std::optional<auth::Seconds>{static_cast<auth::Seconds>(*seconds)};
    std::tm parts{};
    const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    if (rest == nullptr || std::string_view(rest) != "Z")
        return give_up(exit_code::usage,
                       "--at: " + text + " is no moment (seconds since 1970, or 2026-01-31T12:00:00Z)");
    return std::optional<auth::Seconds>{static_cast<auth::Seconds>(timegm(&parts))};
}

/// --expires: from now on; with a minus, how long ago. Failure: 64.
Outcome<auth::Seconds> lifetime_of(const Invocation& invocation, auth::Seconds otherwise) {
    if (!invocation.has("--expires")) return otherwise;
    const std::string text = invocation.one("--expires");
    const bool is_past = text.starts_with('-');
    const auto time = parse_time(std::string_view(text).substr(is_past ? 1 : 0));
    if (!time) return give_up(exit_code::usage, "--expires: " + text + " is no length of time (1h, 90s, -1h)");
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*time).count();
    return is_past ? -seconds : seconds;
}

Outcome<auth::TokenKind> kind_of(const Invocation& invocation) {
    const std::string word = invocation.one("--kind", "v5");
    const auto kind = word == "v5"    ? auth::TokenKind::authjs_v5
                      : word == "v4"  ? auth::TokenKind::nextauth_v4
                      : word == "jwt" ? auth::TokenKind::jwt
                                      : auth::TokenKind::room;
    const bool is_signed = kind == auth::TokenKind::jwt || kind == auth::TokenKind::room;
    if (invocation.has("--cookie-name") && kind != auth::TokenKind::authjs_v5)
        return give_up(exit_code::usage, "--cookie-name: only v5 tokens are bound to a cookie");
    if (invocation.has("--algorithm") && !is_signed)
        return give_up(exit_code::usage, "--algorithm: only jwt and room tokens have one to choose");
    if (invocation.has("--room") && kind != auth::TokenKind::room)
        return give_up(exit_code::usage, "--room is for --kind room");
    return kind;
}

/// --claims, and what --claim and --room add to it, as a JSON object. Failure: 64, 65.
Outcome<std::string> claims_of(const Invocation& invocation) {
    std::string object = "{";
    std::vector<std::string> names;
    const auto add = [&](const std::string& name, std::string_view value) -> Outcome<void> {
        if (std::find(names.begin(), names.end(), name) != names.end())
            return give_up(exit_code::usage, "the claim " + name + " is given twice");
        names.push_back(name);
        if (object.size() > 1) object += ',';
        object += json::quote(name) + ':';
        object += value;
        return {};
    };
    if (invocation.has("--claims")) {
        const auto claims = checked_json(invocation.one("--claims"), "--claims");
        if (!claims) return claims;
        if (json::kind_of(*claims) != json::Kind::object)
            return give_up(exit_code::data, "--claims is no object; write {\"role\":\"teacher\"}");
        for (json::Walker claim{*claims}; claim.next();) {
            if (auto done = add(json::decode_string(claim.key()), claim.value()); !done)
                return tl::unexpected(done.error());
        }
    }
    for (const std::string& text : invocation.all("--claim")) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0)
            return give_up(exit_code::usage, "--claim " + text + " is not NAME=VALUE");
        if (!base::is_utf8(text)) return give_up(exit_code::data, "--claim is not UTF-8");
        const std::string value = text.substr(equals + 1);
        auto done = add(text.substr(0, equals), json::is_valid(value) ? value : json::quote(value));
        if (!done) return tl::unexpected(done.error());
    }
    const std::vector<std::string>& rooms = invocation.all("--room");
    for (const std::string& room : rooms) {
        if (room.empty() || !base::is_utf8(room)) return give_up(exit_code::usage, "--room: that is no room");
    }
    if (!rooms.empty()) {
        std::string list = json::quote(rooms.front());
        if (rooms.size() > 1) {
            list = "[";
            for (const std::string& room : rooms) list += (list.size() > 1 ? "," : "") + json::quote(room);
            list += ']';
        }
        if (auto done = add(rooms.size() > 1 ? "rooms" : "room", list); !done) return tl::unexpected(done.error());
    }
    return object + "}";
}

void add_times(Table& table, std::string_view claims) {
    for (const std::string_view name : {"iat", "nbf", "exp"}) {
        if (const auto value = json::member(claims, name)) table.add({std::string(name), shown_moment(*value)});
    }
}

std::string shape_of(int segments) {
    if (segments == 5) return "encrypted (JWE): its claims can be read with the secret only";
    if (segments == 3) return "signed (JWS)";
    if (segments == 1) return "opaque: the token of a database session, or none";
    return std::to_string(segments) + " segments: no token of a known kind";
}

/// A verdict, from the daemon or from here.
struct Judged {
    std::string verdict;
    std::string detail;
    std::string object;  ///< all that is known, raw JSON
};

int tell(const Invocation& invocation, const Judged& judged) {
    Output out;
    if (invocation.format() == Format::json) {
        out.line(indented(judged.object));
    } else if (invocation.format() == Format::ndjson) {
        out.line(judged.object);
    } else {
        Table table{{"TOKEN", printable(judged.verdict)}};
        for (json::Walker member{judged.object}; member.next();) {
            const std::string name = json::decode_string(member.key());
            if (name == "verdict") continue;
            table.add({printable(name), name == "expires" ? shown_moment(member.value()) : cell(member.value())});
        }
        table.print(out);
    }
    out.flush();
    if (text_member(judged.object, "result") == "unavailable")
        return finish({exit_code::unavailable, "it cannot be told just now: " + judged.detail});
    if (judged.verdict == "valid") return exit_code::ok;
    return finish({exit_code::denied, judged.verdict + ": " + judged.detail});
}

Outcome<Judged> judge_here(const Invocation& invocation, const std::string& token, auth::Seconds at) {
    auto secrets = secrets_of(invocation);
    if (!secrets) return tl::unexpected(secrets.error());
    auth::Policy policy;
    policy.secrets = *secrets;
    std::copy_if(secrets->begin(), secrets->end(), std::back_inserter(policy.jwt_secrets),
                 [](const std::string& secret) { return secret.size() >= min_signing_secret_bytes; });
    policy.room_secrets = policy.jwt_secrets;
    if (invocation.has("--cookie-name")) policy.salts = {invocation.one("--cookie-name")};
    const auto verifier = auth::Verifier::create(std::move(policy));
    if (!verifier) return give_up(exit_code::config, verifier.error().what);
    const auth::Checked checked =
        invocation.has("--room") ? verifier->check_room(token, invocation.one("--user"), invocation.one("--room"), at)
                                 : verifier->check(token, at);
    Judged judged{std::string(to_string(checked.verdict)), checked.detail, {}};
    wire::ObjectWriter object;
    object.text("verdict", judged.verdict);
    if (!checked.detail.empty()) object.text("detail", checked.detail);
    // Of any other nothing is known.
    if (checked.verdict == auth::Verdict::valid || checked.verdict == auth::Verdict::expired) {
        object.text("kind", to_string(checked.identity.kind));
        if (!checked.identity.user.empty()) object.text("user", checked.identity.user);
        object.number("expires", checked.identity.expires);
        if (!checked.identity.key.empty()) object.text("key", checked.identity.key);
        if (!checked.identity.claims.empty()) object.raw("claims", checked.identity.claims);
    }
    judged.object = object.object();
    return judged;
}

Outcome<Judged> judge_there(const Invocation& invocation, const std::string& token, std::optional<auth::Seconds> at) {
    wire::ObjectWriter members;
    if (invocation.has("--cookie-name")) {
        members.text("cookie", invocation.one("--cookie-name") + "=" + token);
    } else {
        members.text("token", token);
    }
    if (invocation.has("--origin")) members.text("origin", invocation.one("--origin"));
    if (at) members.number("at", *at);
    const auto answer = ask_authd(invocation, "verify", members);
    if (!answer) return tl::unexpected(answer.error());
    Judged judged{text_member(*answer, "verdict"), text_member(*answer, "detail"), without_frame(*answer)};
    const std::string result = text_member(*answer, "result");
    if (result != "granted" && result != "denied" && result != "unavailable")
        return give_up(exit_code::protocol, "sio-authd gives an unknown answer");
    if (result == "granted") judged.verdict = "valid";
    if (result == "unavailable") judged.verdict = "unknown";
    if (result == "denied") {
        // What is refused for where it comes from is no verdict on the token.
        const std::string code = text_member(*answer, "code");
        const bool is_about_token = code != "origin" && code != "no_credentials" && code != "user_changed";
        if (!is_about_token || judged.verdict.empty() || judged.verdict == "valid")
            judged.verdict = code.empty() ? "denied" : code;
    }
    if (judged.detail.empty()) judged.detail = text_member(*answer, "reason");
    if (judged.detail.empty()) judged.detail = "no reason given";
    return judged;
}

}  // namespace

int run_token_make(const Invocation& invocation) {
    const auto kind = kind_of(invocation);
    if (!kind) return finish(kind.error());
    auth::Minting minting;
    minting.kind = *kind;
    auto claims = claims_of(invocation);
    if (!claims) return finish(claims.error());
    minting.claims = std::move(*claims);
    const auto lifetime = lifetime_of(invocation, minting.lifetime);
    if (!lifetime) return finish(lifetime.error());
    minting.lifetime = *lifetime;
    const auto secrets = secrets_of(invocation);
    if (!secrets) return finish(secrets.error());
    minting.secret = secrets->front();
    minting.salt = invocation.one("--cookie-name", minting.salt);
    minting.algorithm = invocation.one("--algorithm", minting.algorithm);
    minting.user = invocation.one("--user");
    minting.now = now();
    std::array<char, 48> random;
    if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
        return finish({exit_code::unavailable, "the system gives no randomness"});
    minting.random = {random.data(), random.size()};
    const auto token = auth::mint(minting);
    if (!token) return finish({exit_code::usage, token.error().what});
    Output out;
    out.line(*token);
    return exit_code::ok;
}

int run_token_inspect(const Invocation& invocation) {
    const auto token = token_of(invocation);
    if (!token) return finish(token.error());
    const auth::Looks looks = auth::inspect(*token);
    const std::string shape = shape_of(looks.segments);
    const auto expires = json::member(looks.payload, "exp");
    const auto end = expires ? moment(*expires) : std::nullopt;
    const bool is_over = end && *end <= now();
    Output out;
    if (invocation.format() != Format::table) {
        wire::ObjectWriter object;
        object.boolean("verified", false).number("segments", looks.segments).text("shape", shape);
        object.number("bytes", static_cast<std::int64_t>(token->size()));
        if (!looks.header.empty()) object.raw("header", looks.header);
        if (!looks.payload.empty()) object.raw("payload", looks.payload);
        if (end) object.boolean("expired", is_over);
        // A token may have line feeds in its JSON; each line of ours is one object.
        std::string text = object.object();
        std::replace_if(
            text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
        out.line(invocation.format() == Format::json ? indented(text) : text);
    } else {
        Table table{{"TOKEN", "NOT VERIFIED: anybody can write this"}};
        table.add({"shape", shape});
        table.add({"bytes", std::to_string(token->size())});
        if (!looks.header.empty()) table.add({"header", printable(looks.header)});
        if (!looks.payload.empty()) table.add({"payload", printable(looks.payload)});
        add_times(table, looks.payload);
        if (end) table.add({"expired", is_over ? "yes" : "no"});
        table.print(out);
    }
    out.flush();
    if (looks.segments != 1 && looks.segments != 3 && looks.segments != 5)
        return finish({exit_code::data, "that is no token: it has " + std::to_string(looks.segments) + " segments"});
    if (looks.segments != 1 && looks.header.empty())
        return finish({exit_code::data, "that is no token: its first segment is no header"});
    if (!invocation.quiet()) complain("nothing was verified; sioctl token verify does that");
    return exit_code::ok;
}

int run_token_verify(const Invocation& invocation) {
    const bool is_local = invocation.has("--local");
    if (!is_local && (invocation.has("--room") || invocation.has("--user"))) {
        return finish(
            {exit_code::usage, "--room and --user need --local; sioctl routes can-i --room-token asks sio-authd"});
    }
    if (!is_local && invocation.has("--secret-file"))
        return finish({exit_code::usage, "--secret-file needs --local: sio-authd has its own secrets"});
    if (is_local && invocation.has("--origin")) return finish({exit_code::usage, "--origin is for sio-authd to judge"});
    const auto at = moment_of(invocation);
    if (!at) return finish(at.error());
    const auto token = token_of(invocation);
    if (!token) return finish(token.error());
    const auto judged =
        is_local ? judge_here(invocation, *token, at->value_or(now())) : judge_there(invocation, *token, *at);
    if (!judged) return finish(judged.error());
    return tell(invocation, *judged);
}

}  // namespace sio::sioctl
