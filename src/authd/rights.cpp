#include "authd/rights.h"

#include <jansson.h>

#include <algorithm>
#include <array>

#include "authd/digest.h"
#include "base/bytes.h"
#include "base/json.h"
#include "daemon/options.h"

namespace sio::authd {

namespace {

using json::Kind;
using namespace std::string_view_literals;

bool is_name(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
}

}  // namespace

// --- Patterns --------------------------------------------------------------------------------------------------------

Result<RoomPattern> RoomPattern::compile(std::string_view pattern) {
    RoomPattern out;
    if (pattern.empty() || pattern.size() > max_room_bytes) {
        return fail(Errc::malformed, "must have 1 to " + std::to_string(max_room_bytes) + " bytes");
    }
    const auto is_open = [&] { return !out.pieces_.empty() && out.pieces_.back().kind != Piece::Kind::literal; };
    for (std::size_t at = 0; at < pattern.size();) {
        const char c = pattern[at];
        if (c == '{') {
            const std::size_t end = pattern.find('}', at);
            const std::string_view name = pattern.substr(at + 1, end == std::string_view::npos ? 0 : end - at - 1);
            if (end == std::string_view::npos || !is_name(name)) {
                return fail(Errc::malformed, "has a { that is not like {id}: letters, digits, _ and - name a part");
            }
            if (name == "room")
                return fail(Errc::malformed, "has a part {room}, which is the whole name; call it otherwise");
            if (out.has_part(name)) return fail(Errc::malformed, "has the part {" + std::string(name) + "} twice");
            if (is_open()) return fail(Errc::malformed, "has two parts without a character between them");
            out.pieces_.push_back({Piece::Kind::part, std::string(name)});
            at = end + 1;
        } else if (c == '*') {
            if (is_open()) return fail(Errc::malformed, "has a * next to another or to a part");
            out.pieces_.push_back({Piece::Kind::any, {}});
            ++at;
        } else if (c == '}') {
            return fail(Errc::malformed, "has a } without its {");
        } else {
            const std::size_t end = std::min(pattern.find_first_of("{}*", at), pattern.size());
            out.pieces_.push_back({Piece::Kind::literal, std::string(pattern.substr(at, end - at))});
            at = end;
        }
    }
    return out;
}

bool RoomPattern::has_part(std::string_view name) const noexcept {
    return std::ranges::any_of(pieces_,
                               [name](const Piece& p) { return p.kind == Piece::Kind::part && p.text == name; });
}

std::optional<RoomPattern::Parts> RoomPattern::match(std::string_view room) const {
    Parts parts;
    std::size_t at = 0;
    std::size_t piece = 0;
    // Where the last `*` stands, what it has taken, and how many parts there were: it takes one character more when the
    // rest does not match.
    std::size_t star = std::string_view::npos;
    std::size_t star_end = 0;
    std::size_t star_parts = 0;
    // Where the part at each piece ended when it was last looked for. Later tries begin no further left, so that the
    // name is searched once for each piece and not once for each try.
    std::vector<std::size_t> ends(pieces_.size(), 0);
    for (;;) {
        bool matched = true;
        if (piece == pieces_.size()) {
            if (at == room.size()) return parts;
            matched = false;
        } else {
            const Piece& p = pieces_[piece];
            switch (p.kind) {
                case Piece::Kind::literal:
                    matched = room.substr(at).starts_with(p.text);
                    if (matched) at += p.text.size();
                    break;
                case Piece::Kind::part: {
                    std::size_t& end = ends[piece];
                    if (piece + 1 == pieces_.size()) {
                        end = room.size();
                    } else if (end <= at) {
                        end = std::min(room.find(pieces_[piece + 1].text.front(), at), room.size());
                    }
                    matched = end > at;
                    if (matched) parts.emplace_back(p.text, room.substr(at, end - at));
                    at = matched ? end : at;
                    break;
                }
                case Piece::Kind::any:
                    star = piece;
                    star_end = at;
                    star_parts = parts.size();
                    break;
            }
            if (matched) ++piece;
        }
        if (matched) continue;
        if (star == std::string_view::npos || star_end == room.size()) return std::nullopt;
        at = ++star_end;
        piece = star + 1;
        parts.resize(star_parts);
    }
}

// --- Reading ---------------------------------------------------------------------------------------------------------

std::string_view to_string(Right::Kind kind) noexcept {
    switch (kind) {
        case Right::Kind::sql: return "sql";
        case Right::Kind::claim: return "claim";
        case Right::Kind::own: return "own";
        case Right::Kind::room_token: return "room_token";
    }
    return "own";
}

bool Rights::has(Right::Kind kind) const noexcept {
    return std::ranges::any_of(rights_, [kind](const Right& right) { return right.kind == kind; });
}

/// From text to Rights, with every problem found on the way.
class RightsLoader {
public:
    RightsLoader(std::string_view text, std::string_view file) : text_(text), file_(file) {}

    Result<Rights> load() {
        if (text_.size() > max_rights_bytes) {
            problem(text_.substr(0, 0), "", "is larger than 1 MiB; write less");
        } else if (!base::is_utf8(text_) || !json::is_valid(text_)) {
            syntax();
        } else {
            top(base::trim(text_.substr(text_.find_first_not_of(" \t\r\n"))));
        }
        if (problems_.empty()) return std::move(rights_);
        std::string all;
        for (const std::string& one : problems_) all += (all.empty() ? "" : "\n") + one;
        return fail(Errc::config, all);
    }

private:
    struct Member {
        std::string name;
        std::string_view value;
        std::string pointer;
    };

    void problem(std::string_view at, std::string_view pointer, std::string_view what) {
        if (problems_.size() >= 20) return;
        const auto line = 1 + std::count(text_.begin(), text_.begin() + (at.data() - text_.data()), '\n');
        problems_.push_back(base::one_line(std::string(file_) + ":" + std::to_string(line) + ": " +
                                           (pointer.empty() ? "/" : std::string(pointer)) + ": " + std::string(what)));
    }

    /// Says where the text stops being JSON.
    void syntax() {
        json_error_t error;
        json_t* const parsed = json_loadb(text_.data(), text_.size(), JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        std::string what = "nests too deeply";
        int line = 1;
        if (parsed == nullptr) {
            line = std::max(error.line, 1);
            what = "is not JSON: " + std::string(static_cast<const char*>(error.text));
        }
        json_decref(parsed);
        problems_.push_back(base::one_line(std::string(file_) + ":" + std::to_string(line) + ": /: " + what));
    }

    std::vector<Member> members(std::string_view object, const std::string& pointer,
                                std::span<const std::string_view> known) {
        std::vector<Member> all;
        for (json::Walker walker{object}; walker.next();) {
            Member member{json::decode_string(walker.key()), walker.value(), pointer + "/"};
            for (const char c : member.name) member.pointer += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
            if (std::ranges::find(all, member.name, &Member::name) != all.end()) {
                problem(walker.key(), member.pointer, "is there twice; keep one");
            } else if (std::ranges::find(known, member.name) == known.end()) {
                std::string words;
                for (const auto word : known) words += (words.empty() ? "" : ", ") + std::string(word);
                problem(walker.key(), member.pointer, "is not known here; write one of " + words);
            } else {
                all.push_back(std::move(member));
            }
        }
        return all;
    }

    static const Member* find(const std::vector<Member>& all, std::string_view name) {
        const auto found = std::ranges::find(all, name, &Member::name);
        return found == all.end() ? nullptr : &*found;
    }

    bool expect(const Member& member, Kind kind, std::string_view remedy) {
        if (json::kind_of(member.value) == kind) return true;
        problem(member.value, member.pointer, remedy);
        return false;
    }

    void top(std::string_view value) {
        static constexpr std::array known = {"version"sv, "rights"sv, "about"sv, "$schema"sv};
        if (json::kind_of(value) != Kind::object) return problem(value, "", "must be an object");
        const auto all = members(value, "", known);
        const Member* const version = find(all, "version");
        if (version == nullptr || version->value != "1") {
            problem(version == nullptr ? value : version->value, "/version", "must be 1");
        }
        const Member* const list = find(all, "rights");
        if (list == nullptr) return problem(value, "/rights", "is missing; write \"rights\": []");
        if (!expect(*list, Kind::array, "must be an array of rules")) return;
        std::size_t index = 0;
        for (json::Walker walker{list->value}; walker.next(); ++index) {
            if (index == max_rights) return problem(walker.value(), "/rights", "has more than 256 rules");
            right(walker.value(), "/rights/" + std::to_string(index));
        }
    }

    void right(std::string_view value, const std::string& pointer) {
        static constexpr std::array known = {"name"sv, "room"sv, "sql"sv, "parameters"sv, "claim"sv,
                                             "in"sv,   "own"sv,  "ttl"sv, "room_token"sv, "about"sv};
        static constexpr std::array kinds = {"sql"sv, "claim"sv, "own"sv, "room_token"sv};
        if (json::kind_of(value) != Kind::object) return problem(value, pointer, "must be an object");
        const auto all = members(value, pointer, known);
        Right right;
        name(value, pointer, all, right);
        const Member* const room = find(all, "room");
        if (room == nullptr) {
            problem(value, pointer + "/room", "is missing; write for instance \"course_{id}\"");
        } else if (expect(*room, Kind::string, "must be a text such as \"course_{id}\"")) {
            auto pattern = RoomPattern::compile(json::decode_string(room->value));
            if (pattern) {
                right.room = std::move(*pattern);
            } else {
                problem(room->value, room->pointer, pattern.error().what);
            }
        }
        const auto count = std::ranges::count_if(kinds, [&](auto word) { return find(all, word) != nullptr; });
        if (count != 1) return problem(value, pointer, "needs one of sql, claim, own and room_token");
        if (const Member* const sql = find(all, "sql")) of_sql(*sql, all, right);
        if (const Member* const claim = find(all, "claim")) of_claim(*claim, value, pointer, all, right);
        for (const auto& [word, kind] :
             {std::pair{"own"sv, Right::Kind::own}, std::pair{"room_token"sv, Right::Kind::room_token}}) {
            const Member* const flag = find(all, word);
            if (flag == nullptr) continue;
            right.kind = kind;
            if (flag->value != "true") problem(flag->value, flag->pointer, "must be true");
        }
        if (right.kind == Right::Kind::own && room != nullptr && !right.room.has_part("user")) {
            problem(room->value, room->pointer, "must have the part {user}, whose own room it is");
        }
        for (const auto& [word, kind] :
             {std::pair{"parameters"sv, Right::Kind::sql}, std::pair{"in"sv, Right::Kind::claim}}) {
            const Member* const with = find(all, word);
            if (with != nullptr && right.kind != kind) {
                problem(with->value, with->pointer, "goes with " + std::string(to_string(kind)) + " only");
            }
        }
        if (const Member* const ttl = find(all, "ttl")) {
            if (expect(*ttl, Kind::string, "must be a length of time such as \"30s\"")) {
                const auto parsed = daemon::parse_duration(json::decode_string(ttl->value),
                                                           std::chrono::milliseconds(0), std::chrono::hours(24));
                if (parsed) {
                    right.ttl = *parsed;
                } else {
                    problem(ttl->value, ttl->pointer, parsed.error().what);
                }
            }
        }
        rights_.rights_.push_back(std::move(right));
    }

    void name(std::string_view value, const std::string& pointer, const std::vector<Member>& all, Right& right) {
        const Member* const name = find(all, "name");
        if (name == nullptr) return problem(value, pointer + "/name", "is missing; answers name the rule by it");
        if (!expect(*name, Kind::string, "must be a text")) return;
        right.name = json::decode_string(name->value);
        if (right.name.empty() || right.name.size() > 128)
            problem(name->value, name->pointer, "must have 1 to 128 bytes");
        if (std::ranges::find(rights_.rights_, right.name, &Right::name) != rights_.rights_.end()) {
            problem(name->value, name->pointer, "is the name of another rule already");
        }
    }

    void of_sql(const Member& sql, const std::vector<Member>& all, Right& right) {
        right.kind = Right::Kind::sql;
        std::size_t parameters = 0;
        if (const Member* const list = find(all, "parameters")) {
            if (expect(*list, Kind::array, "must be an array of texts such as [\"{user}\", \"{id}\"]")) {
                for (json::Walker walker{list->value}; walker.next(); ++parameters) {
                    const std::string at = list->pointer + "/" + std::to_string(parameters);
                    if (json::kind_of(walker.value()) != Kind::string) {
                        problem(walker.value(), at, "must be a text");
                        continue;
                    }
                    if (auto operand = operand_of({"", walker.value(), at}, right)) {
                        right.parameters.push_back(std::move(*operand));
                    }
                }
            }
        }
        if (!expect(sql, Kind::string, "must be a text")) return;
        right.sql = json::decode_string(sql.value);
        if (right.sql.empty() || right.sql.size() > max_sql_bytes || right.sql.find('\0') != std::string::npos) {
            return problem(sql.value, sql.pointer, "must have 1 to 16384 bytes, none of them NUL");
        }
        // By what it says: after a reload a name never stands for another question.
        right.statement = "right_" + sha256(right.sql).hex().substr(0, 16);
        if (parameters > max_parameters) return problem(sql.value, sql.pointer, "has more than 16 parameters");
        for (std::size_t number = 1; number <= parameters; ++number) {
            if (!mentions(right.sql, number)) {
                problem(sql.value, sql.pointer, "does not use $" + std::to_string(number) + ", which parameters has");
            }
        }
        if (mentions(right.sql, parameters + 1)) {
            problem(sql.value, sql.pointer, "uses $" + std::to_string(parameters + 1) + ", which parameters lacks");
        }
    }

    static bool mentions(std::string_view sql, std::size_t number) {
        const std::string word = "$" + std::to_string(number);
        for (std::size_t at = sql.find(word); at != std::string_view::npos; at = sql.find(word, at + 1)) {
            const std::size_t end = at + word.size();
            if (end == sql.size() || sql[end] < '0' || sql[end] > '9') return true;
        }
        return false;
    }

    void of_claim(const Member& claim, std::string_view value, const std::string& pointer,
                  const std::vector<Member>& all, Right& right) {
        right.kind = Right::Kind::claim;
        if (expect(claim, Kind::string, "must be the name of a claim")) {
            right.claim = json::decode_string(claim.value);
            if (right.claim.empty()) problem(claim.value, claim.pointer, "must not be empty");
            need_claim(right.claim);
        }
        const Member* const in = find(all, "in");
        if (in == nullptr) return problem(value, pointer + "/in", "is missing; write \"in\": [\"teacher\"]");
        if (!expect(*in, Kind::array, "must be an array of values, one of which the claim must be or hold")) return;
        std::size_t index = 0;
        for (json::Walker walker{in->value}; walker.next(); ++index) {
            const std::string at = in->pointer + "/" + std::to_string(index);
            const Kind kind = json::kind_of(walker.value());
            if (kind == Kind::string) {
                if (auto operand = operand_of({"", walker.value(), at}, right)) right.in.push_back(std::move(*operand));
            } else if (kind == Kind::number || kind == Kind::boolean) {
                right.in.push_back({Operand::Kind::text, std::string(walker.value())});
            } else {
                problem(walker.value(), at, "must be a text, a number or a boolean");
            }
        }
        if (index == 0) problem(in->value, in->pointer, "is empty: nobody would be granted anything");
    }

    std::optional<Operand> operand_of(const Member& member, const Right& right) {
        std::string text = json::decode_string(member.value);
        if (text.find_first_of("{}") == std::string::npos) return Operand{Operand::Kind::text, std::move(text)};
        constexpr std::string_view remedy =
            "must be a plain text or exactly one of {user}, {room}, {claim.NAME} and a "
            "part of the room";
        if (text.size() < 3 || text.front() != '{' || text.back() != '}') {
            problem(member.value, member.pointer, remedy);
            return std::nullopt;
        }
        std::string name = text.substr(1, text.size() - 2);
        if (name == "user") return Operand{Operand::Kind::user, {}};
        if (name == "room") return Operand{Operand::Kind::room, {}};
        if (name.starts_with("claim.") && name.size() > 6) {
            name.erase(0, 6);
            need_claim(name);
            return Operand{Operand::Kind::claim, std::move(name)};
        }
        if (right.room.has_part(name)) return Operand{Operand::Kind::part, std::move(name)};
        problem(member.value, member.pointer, remedy);
        return std::nullopt;
    }

    void need_claim(const std::string& name) {
        if (std::ranges::find(rights_.claims_, name) == rights_.claims_.end()) rights_.claims_.push_back(name);
    }

    std::string_view text_;
    std::string_view file_;
    std::vector<std::string> problems_;
    Rights rights_;
};

Result<Rights> Rights::parse(std::string_view text, std::string_view file) { return RightsLoader(text, file).load(); }

// --- Asking ----------------------------------------------------------------------------------------------------------

namespace {

std::optional<std::string> value_of(const Operand& operand, const MayJoin& request, const RoomPattern::Parts& parts) {
    switch (operand.kind) {
        case Operand::Kind::text: return operand.name;
        case Operand::Kind::user: return request.user;
        case Operand::Kind::room: return request.room;
        case Operand::Kind::claim: return claim_text(request.claims, operand.name);
        case Operand::Kind::part: break;
    }
    for (const auto& [name, value] : parts) {
        if (name == operand.name) return std::string(value);
    }
    return std::nullopt;
}

/// A text's content, or a number or boolean as it is written.
std::string scalar(std::string_view raw) {
    return json::kind_of(raw) == Kind::string ? json::decode_string(raw) : std::string(raw);
}

bool holds(std::string_view claim, std::string_view wanted) {
    const Kind kind = json::kind_of(claim);
    if (kind == Kind::array) {
        for (json::Walker walker{claim}; walker.next();) {
            const Kind inner = json::kind_of(walker.value());
            if (inner != Kind::array && inner != Kind::object && inner != Kind::null &&
                scalar(walker.value()) == wanted) {
                return true;
            }
        }
        return false;
    }
    return kind != Kind::object && kind != Kind::null && scalar(claim) == wanted;
}

}  // namespace

RuleAnswer evaluate(const Right& right, const MayJoin& request, const std::function<bool()>& room_token) {
    RuleAnswer answer;
    const auto parts = right.room.match(request.room);
    if (!parts) return answer;
    answer.applies = true;
    for (const auto& [name, value] : *parts) {
        if (name == "user" && (request.user.empty() || value != request.user)) return answer;
    }
    switch (right.kind) {
        case Right::Kind::own: answer.kind = RuleAnswer::Kind::granted; break;
        case Right::Kind::room_token:
            if (!request.room_token.empty() && room_token()) answer.kind = RuleAnswer::Kind::granted;
            break;
        case Right::Kind::claim: {
            const auto claim = request.claims.empty() ? std::nullopt : json::member(request.claims, right.claim);
            if (!claim) break;
            for (const Operand& one : right.in) {
                const auto wanted = value_of(one, request, *parts);
                // Nobody is named by an empty id.
                if (!wanted || (one.kind == Operand::Kind::user && wanted->empty())) continue;
                if (holds(*claim, *wanted)) answer.kind = RuleAnswer::Kind::granted;
            }
            break;
        }
        case Right::Kind::sql:
            for (const Operand& one : right.parameters) {
                if (one.kind == Operand::Kind::user && request.user.empty()) return answer;
                auto value = value_of(one, request, *parts);
                // To the database a text ends at its NUL: it would be asked about another room.
                if (value && value->find('\0') != std::string::npos) return answer;
                answer.parameters.push_back(std::move(value));
            }
            answer.kind = RuleAnswer::Kind::ask;
            break;
    }
    return answer;
}

}  // namespace sio::authd
