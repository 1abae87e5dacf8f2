// The control socket's stream gives the same lines however it is cut; a line is read alike whatever blanks are around
// it; what is read can be written and is then read the same.
//
// Byte 0: how long a line may be. The rest is the stream.
#include "wire/admin.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"

namespace {

using namespace sio;
using namespace sio::wire;

struct Seen {
    std::vector<std::string> lines;
    bool too_long = false;
    std::string rest;
    bool operator==(const Seen&) const = default;
};

/// The lines of `bytes` in pieces of `step`, the first one of `first`.
Seen split(std::string_view bytes, std::size_t limit, std::size_t first, std::size_t step) {
    LineSplitter splitter{limit};
    Seen seen;
    std::size_t at = 0;
    while (at < bytes.size() && !seen.too_long) {
        const std::string piece{bytes.substr(at, at == 0 && first != 0 ? first : step)};
        at += piece.size();
        splitter.feed(piece);
        while (const auto line = splitter.next()) {
            FUZZ_CHECK(line->size() <= limit && line->find('\n') == std::string_view::npos);
            seen.lines.emplace_back(*line);
        }
        seen.too_long = splitter.too_long();
        FUZZ_CHECK(seen.too_long || splitter.rest().size() <= limit);
    }
    if (seen.too_long) {
        splitter.feed("x\n");
        FUZZ_CHECK(!splitter.next() && splitter.too_long());
    } else {
        seen.rest = splitter.rest();
    }
    return seen;
}

bool is_inside(std::string_view part, std::string_view whole) {
    return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void check_request(std::string_view line) {
    const auto request = parse_admin_request(line);
    if (!request) {
        FUZZ_CHECK(request.error().code == Errc::malformed);
        return;
    }
    FUZZ_CHECK(request->id < (std::uint64_t{1} << 53U));
    FUZZ_CHECK(is_inside(request->text, line) && json::is_valid(request->text));
    FUZZ_CHECK(admin_line_id(line) == request->id);
    FUZZ_CHECK(base::is_utf8(request->cmd));
    const auto* command = find_admin_command(request->cmd);
    FUZZ_CHECK(command == nullptr || command->word == request->cmd);

    ObjectWriter writer;
    writer.number("id", static_cast<std::int64_t>(request->id)).text("cmd", request->cmd);
    const auto selection = parse_selection(request->text);
    if (selection) {
        FUZZ_CHECK(selection->nsp.starts_with('/'));
        writer.selection(*selection);
    } else {
        FUZZ_CHECK(selection.error().code == Errc::malformed);
    }
    const std::string written = writer.object();
    FUZZ_CHECK(writer.line() == written + "\n" && written.find('\n') == std::string::npos);
    const auto again = parse_admin_request(written);
    FUZZ_CHECK(again && again->id == request->id && again->cmd == request->cmd);
    if (!selection) return;
    const auto same = parse_selection(written);
    FUZZ_CHECK(same && same->nsp == selection->nsp && same->to == selection->to && same->users == selection->users &&
               same->sockets == selection->sockets && same->except == selection->except &&
               same->is_everybody() == selection->is_everybody());
}

void check_reply(std::string_view line) {
    const auto reply = parse_admin_reply(line);
    if (!reply) {
        FUZZ_CHECK(reply.error().code == Errc::malformed);
        return;
    }
    FUZZ_CHECK(is_inside(reply->text, line) && json::is_valid(reply->text));
    FUZZ_CHECK(reply->id || reply->kind == AdminReply::Kind::error);
    std::string written;
    switch (reply->kind) {
        case AdminReply::Kind::ok: append_admin_ok(written, *reply->id); break;
        case AdminReply::Kind::error: append_admin_error(written, reply->id, reply->code, reply->message); break;
        case AdminReply::Kind::event:
            FUZZ_CHECK(is_inside(reply->event, line) && json::kind_of(reply->event) == json::Kind::object);
            return;
        case AdminReply::Kind::call:
        case AdminReply::Kind::lost: return;
    }
    FUZZ_CHECK(written.ends_with('\n') && written.find('\n') == written.size() - 1);
    const auto again = parse_admin_reply(written);
    FUZZ_CHECK(again && again->kind == reply->kind && again->id == reply->id && again->code == reply->code);
    if (reply->kind == AdminReply::Kind::error) FUZZ_CHECK(again->message == reply->message);
}

void check_greeting(std::string_view line) {
    const auto greeting = parse_admin_greeting(line);
    if (!greeting) {
        FUZZ_CHECK(greeting.error().code == Errc::malformed || greeting.error().code == Errc::denied);
        return;
    }
    FUZZ_CHECK(greeting->major == admin_major);
    const std::string written = admin_server_greeting(*greeting);
    FUZZ_CHECK(written.find('\n') == written.size() - 1);
    const auto again = parse_admin_greeting(written);
    FUZZ_CHECK(again && again->minor == greeting->minor && again->program == greeting->program &&
               again->version == greeting->version && again->pid == greeting->pid && again->node == greeting->node);
}

void check_line(std::string_view line) {
    check_request(line);
    check_reply(line);
    check_greeting(line);
    const auto id = admin_line_id(line);
    const std::string padded = " \t" + std::string(line) + " \t";
    FUZZ_CHECK(admin_line_id(padded) == id);
    FUZZ_CHECK(parse_admin_request(padded).has_value() == parse_admin_request(line).has_value());
    // A refusal written with whatever text came is one line that is read back.
    if (!base::is_utf8(line)) return;
    std::string refusal;
    append_admin_error(refusal, id, admin_error::malformed, line);
    const auto read = parse_admin_reply(refusal);
    FUZZ_CHECK(read && read->kind == AdminReply::Kind::error && read->id == id && read->message == line);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 4096) return 0;
    constexpr std::size_t limits[] = {0, 20, 200, 100000};
    const std::size_t limit = limits[data[0] & 3U];
    const std::string_view bytes = fuzz::as_text(data + 1, size - 1);

    const Seen whole = split(bytes, limit, 0, std::max<std::size_t>(bytes.size(), 1));
    FUZZ_CHECK(split(bytes, limit, 0, 1) == whole);
    fuzz::each_cut(bytes.size(), [&](std::size_t cut) {
        FUZZ_CHECK(split(bytes, limit, cut, std::max<std::size_t>(bytes.size(), 1)) == whole);
    });
    for (const std::string& line : whole.lines) check_line(line);
    check_line(whole.rest);
    return 0;
}
