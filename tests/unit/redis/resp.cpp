// redis/resp.h: replies of every kind however the stream is cut; what RESP2 forbids; limits before memory.
#include "redis/resp.h"

#include <criterion/criterion.h>

#include <string>
#include <vector>

namespace {

using namespace sio;
using namespace sio::redis;

/// A reply as text that shows all of it: `[nil, +OK, -ERR x, :5, $abc]`.
std::string show(const Reply& root) {
    struct Level {
        std::span<const Reply> items;
        std::size_t next;
    };
    std::string out;
    std::vector<Level> levels{{{&root, 1}, 0}};
    while (!levels.empty()) {
        Level& level = levels.back();
        if (level.next == level.items.size()) {
            levels.pop_back();
            if (!levels.empty()) out += ']';
            continue;
        }
        if (level.next > 0) out += ", ";
        const Reply& reply = level.items[level.next++];
        switch (reply.kind) {
            case Reply::Kind::nil: out += "nil"; break;
            case Reply::Kind::simple: (out += '+') += reply.text; break;
            case Reply::Kind::error: (out += '-') += reply.text; break;
            case Reply::Kind::integer: out += ":" + std::to_string(reply.integer); break;
            case Reply::Kind::bulk: (out += '$') += reply.text; break;
            case Reply::Kind::array:
                out += '[';
                levels.push_back({reply.items, 0});
                break;
        }
    }
    return out;
}

/// What comes out of `bytes` in pieces of `first` and then `step` bytes; the name of the error last, when there is one.
std::vector<std::string> read(Reader& reader, std::string_view bytes, std::size_t first, std::size_t step) {
    std::vector<std::string> seen;
    for (bool begun = false; !bytes.empty() || !begun; begun = true) {
        const std::string_view piece = bytes.substr(0, begun ? step : first);
        bytes.remove_prefix(piece.size());
        reader.feed(piece);
        for (;;) {
            const auto reply = reader.next();
            if (!reply) {
                seen.emplace_back(to_string(reply.error().code));
                return seen;
            }
            if (*reply == nullptr) break;
            seen.push_back(show(**reply));
        }
    }
    return seen;
}

std::vector<std::string> read(std::string_view bytes, std::size_t max_bytes = 1000) {
    Reader reader{max_bytes};
    return read(reader, bytes, bytes.size(), 1);
}

using Seen = std::vector<std::string>;

std::string nested(std::size_t depth) {
    std::string bytes;
    for (std::size_t i = 0; i < depth; ++i) bytes += "*1\r\n";
    return bytes + ":1\r\n";
}

Test(resp, writes_commands_as_arrays_of_bulks) {
    const std::string_view args[] = {"SET", "key", std::string_view("a\r\n\0b", 5), ""};
    std::string out = "before";
    append_command(out, args);
    const std::string want =
        "before*4\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\na\r\n" + std::string(1, '\0') + "b\r\n$0\r\n\r\n";
    cr_expect(out == want);
    cr_expect(command_bytes(args) == out.size() - 6);
    const std::string large(12345, 'x');
    const std::vector<std::string_view> many(11, large);
    out.clear();
    append_command(out, many);
    cr_expect(command_bytes(many) == out.size());
}

Test(resp, reads_every_kind) {
    struct Case {
        std::string_view bytes;
        std::string_view want;
    };
    constexpr Case cases[] = {
        {"+OK\r\n", "+OK"},
        {"+\r\n", "+"},
        {"-ERR no such key\r\n", "-ERR no such key"},
        {":0\r\n", ":0"},
        {":-9223372036854775808\r\n", ":-9223372036854775808"},
        {":9223372036854775807\r\n", ":9223372036854775807"},
        {":+7\r\n", ":7"},
        {"$3\r\nabc\r\n", "$abc"},
        {"$0\r\n\r\n", "$"},
        {"$4\r\n\r\n\r\n\r\n", "$\r\n\r\n"},
        {"$-1\r\n", "nil"},
        {"*-1\r\n", "nil"},
        {"*0\r\n", "[]"},
        {"*3\r\n:1\r\n$-1\r\n*0\r\n", "[:1, nil, []]"},
        {"*2\r\n*2\r\n+a\r\n*1\r\n:2\r\n*1\r\n*1\r\n$1\r\nb\r\n", "[[+a, [:2]], [[$b]]]"},
        {"*3\r\n*1\r\n*1\r\n:1\r\n:2\r\n*1\r\n:3\r\n", "[[[:1]], :2, [:3]]"},
    };
    for (const auto& [bytes, want] : cases) {
        const Seen seen = read(bytes);
        cr_expect(seen.size() == 1 && seen[0] == want, "%.*s gave %s", int(bytes.size()), bytes.data(),
                  seen.empty() ? "nothing" : seen[0].c_str());
    }
}

Test(resp, gives_the_same_replies_however_the_stream_is_cut) {
    const std::string bytes =
        "+OK\r\n*1\r\n*2\r\n$9\r\nsocket.io\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$3\r\nnsp\r\n$1\r\n/\r\n$4\r\ndata\r\n"
        "$6\r\n{\r\n}\r\n\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n:42\r\n$-1\r\n-ERR x\r\n*0\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n"
        "$0\r\n\r\n";
    const Seen whole = read(bytes);
    cr_assert(whole.size() == 7);
    cr_expect(whole[1] == "[[$socket.io, [[$1-0, [$nsp, $/, $data, ${\r\n}\r\n]], [$1-1, nil]]]]", "%s",
              whole[1].c_str());
    for (std::size_t first = 0; first <= bytes.size(); ++first) {
        for (const std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
            Reader reader{1000};
            cr_expect(read(reader, bytes, first, step) == whole, "cut at %zu, then by %zu", first, step);
            cr_expect(reader.bytes_held() == 0);
        }
    }
}

Test(resp, a_reply_that_grew_over_many_buffers_is_whole) {
    const std::string large(300'000, 'y');
    std::string bytes = "*3\r\n$5\r\nfirst\r\n$" + std::to_string(large.size()) + "\r\n" + large + "\r\n+last\r\n";
    Reader reader;
    for (int round = 0; round < 3; ++round) {
        const Seen seen = read(reader, bytes, 10, 4096);
        cr_expect(seen.size() == 1 && seen[0] == "[$first, $" + large + ", +last]");
    }
}

Test(resp, bytes_read_in_place_are_as_good_as_fed_ones) {
    Reader reader;
    const std::string bytes = "$5\r\nhello\r\n";
    for (const char c : bytes) {
        cr_assert(*reader.next() == nullptr);
        const std::span<char> room = reader.room(1);
        cr_assert(!room.empty());
        room[0] = c;
        reader.added(1);
    }
    const auto reply = reader.next();
    cr_assert(reply && *reply != nullptr);
    cr_expect((*reply)->text == "hello");
}

Test(resp, refuses_what_is_no_reply) {
    constexpr std::string_view cases[] = {
        "x\r\n",
        "\r\n",
        "_\r\n",
        "%1\r\n",
        ":\r\n",
        ":1a\r\n",
        ":+-1\r\n",
        ": 1\r\n",
        "$x\r\n",
        "$-2\r\n",
        "*-2\r\n",
        "+OK\n",
        "$3\r\nabcd\r\n",
        "$3\r\nabc\n\n",
        "$3\r\nabcx\n",
        "*1\r\n?\r\n",
        ":99999999999999999999\r\n",
        "+\n",
    };
    for (const std::string_view bytes : cases) {
        for (std::size_t first = 0; first <= bytes.size(); ++first) {
            Reader reader{1000};
            cr_expect(read(reader, bytes, first, bytes.size()) == Seen{"malformed"}, "%.*s cut at %zu",
                      int(bytes.size()), bytes.data(), first);
        }
    }
}

Test(resp, refuses_what_passes_a_limit_as_soon_as_it_is_claimed) {
    struct Case {
        std::string bytes;
        const char* what;
    };
    const Case cases[] = {
        {"$1000\r\n", "a bulk as long as the whole limit"},
        {"$9223372036854775807\r\n", "a bulk of all memory"},
        {"*9223372036854775807\r\n", "an array of all memory"},
        {"*1048577\r\n", "an array with too many elements"},
        {"*1000000\r\n*1000000\r\n", "two arrays with too many elements together"},
        {nested(Reader::max_depth + 1), "arrays too deep"},
        {"$" + std::string(40, '0'), "a number that does not end"},
        {"+" + std::string(1000, 'a'), "a line longer than the limit"},
        {"*2\r\n$900\r\n" + std::string(900, 'a') + "\r\n$100\r\n", "elements that are too long together"},
    };
    for (const Case& one : cases) cr_expect(read(one.bytes) == Seen{"too_large"}, "%s", one.what);
    cr_expect(read("+" + std::string(Reader::max_line_bytes + 1, 'a') + "\r\n", std::size_t{1} << 20U) ==
              Seen{"too_large"});
}

Test(resp, takes_what_just_fits) {
    cr_expect(read(nested(Reader::max_depth)) == Seen{"[[[[[[[[:1]]]]]]]]"});
    const std::string bulk = "$992\r\n" + std::string(992, 'a') + "\r\n";
    cr_assert(bulk.size() == 1000);
    cr_expect(read(bulk, 1000).size() == 1 && read(bulk, 1000)[0].size() == 993);
    cr_expect(read(bulk, 999) == Seen{"too_large"});
    cr_expect(read("+OK\r\n", 5) == Seen{"+OK"});
    cr_expect(read("+OK\r\n", 4) == Seen{"too_large"});
    // The limit is one reply's, not the stream's.
    cr_expect(read(bulk + bulk, 1000).size() == 2);
}

Test(resp, an_error_stays_until_reset) {
    Reader reader;
    reader.feed("?");
    cr_expect(!reader.next());
    reader.feed("+OK\r\n");
    const auto again = reader.next();
    cr_assert(!again);
    cr_expect(again.error().what == "cannot read the reply: an unknown type", "%s", again.error().what.c_str());
    reader.reset();
    reader.feed("+OK\r\n");
    const auto reply = reader.next();
    cr_expect(reply && *reply != nullptr && (*reply)->text == "OK");
}

Test(resp, reads_many_entries_of_a_stream) {
    std::string bytes = "*1\r\n*2\r\n$1\r\ns\r\n*5000\r\n";
    for (int i = 0; i < 5000; ++i) {
        const std::string id = std::to_string(1000 + i) + "-0";
        bytes += "*2\r\n$6\r\n" + id + "\r\n*4\r\n$3\r\nuid\r\n$1\r\na\r\n$4\r\ndata\r\n$6\r\n" + id + "\r\n";
    }
    Reader reader;
    for (int round = 0; round < 2; ++round) {
        for (std::size_t at = 0; at < bytes.size(); at += 1448) {
            cr_assert(at == 0 || *reader.next() == nullptr);
            reader.feed(std::string_view(bytes).substr(at, 1448));
        }
        const auto reply = reader.next();
        cr_assert(reply && *reply != nullptr);
        const auto entries = (*reply)->items[0].items[1].items;
        cr_assert(entries.size() == 5000);
        for (const Reply& entry : entries) cr_expect(entry.items[0].text == entry.items[1].items[3].text);
    }
}

Test(resp, tells_errors_and_numbers_apart) {
    const auto error = [](std::string_view text) {
        Reply reply;
        reply.kind = Reply::Kind::error;
        reply.text = text;
        return reply;
    };
    cr_expect(error("MOVED 1 a:1").is_error("MOVED"));
    cr_expect(error("MOVED").is_error("MOVED"));
    cr_expect(!error("MOVEDX 1").is_error("MOVED"));
    Reply bulk;
    bulk.kind = Reply::Kind::bulk;
    bulk.text = "-12";
    cr_expect(bulk.to_integer() == -12);
    bulk.text = "1-0";
    cr_expect(bulk.to_integer(7) == 7);
    cr_expect(error("5").to_integer(7) == 7);
    cr_expect(Reply{}.to_integer(7) == 7);
}

}  // namespace
