#include "proto/ws_frame.h"

#include <criterion/criterion.h>

#include <vector>

using namespace sio::proto;

namespace {

constexpr std::uint32_t mask = 0x37FA213D;

std::string masked(WsOpcode opcode, std::string_view payload) {
    std::string out;
    append_masked_ws_frame(out, opcode, payload, mask);
    return out;
}

/// The same without the FIN bit.
std::string fragment(WsOpcode opcode, std::string_view payload) {
    std::string out = masked(opcode, payload);
    out[0] = static_cast<char>(static_cast<unsigned char>(out[0]) & 0x7FU);
    return out;
}

std::string close_payload(unsigned code, std::string_view reason = {}) {
    std::string out{static_cast<char>(code >> 8U), static_cast<char>(code & 255U)};
    return out += reason;
}

std::string show(const WsEvent& event) {
    std::string out;
    switch (event.kind) {
        case WsEvent::Kind::need_more: return "";
        case WsEvent::Kind::text: out = "text "; break;
        case WsEvent::Kind::binary: out = "binary "; break;
        case WsEvent::Kind::ping: out = "ping "; break;
        case WsEvent::Kind::pong: out = "pong "; break;
        case WsEvent::Kind::close: out = "close " + std::to_string(event.close_code) + ' '; break;
        case WsEvent::Kind::error: return "error " + std::to_string(event.close_code);
    }
    return out + std::string(event.data);
}

using Events = std::vector<std::string>;

/// What a reader makes of `bytes` that come in the pieces that end at `cuts`.
Events read(std::string bytes, std::vector<std::size_t> cuts = {}, std::size_t max_message = 1000,
            WsReader::Role role = WsReader::Role::server) {
    WsReader reader{role, max_message};
    Events events;
    cuts.push_back(bytes.size());
    std::size_t from = 0;
    for (const std::size_t cut : cuts) {
        std::string piece = bytes.substr(from, cut - from);  // memory of its own, so that overruns show
        from = cut;
        std::span<char> in{piece.data(), piece.size()};
        for (;;) {
            const WsEvent event = reader.next(in);
            if (event.kind == WsEvent::Kind::need_more) {
                cr_expect(in.empty(), "need_more leaves no input");
                break;
            }
            events.push_back(show(event));
            if (event.kind == WsEvent::Kind::error) return events;
        }
    }
    return events;
}

/// Expects `want` for the whole, for each single cut and for byte after byte.
void expect_for_every_split(const std::string& bytes, const Events& want, std::size_t max_message = 1000) {
    const auto check = [&](const std::vector<std::size_t>& cuts, const char* how) {
        const Events got = read(bytes, cuts, max_message);
        std::string text;
        for (const auto& event : got) text += event + " | ";
        cr_expect(got == want, "%s: %s", how, text.c_str());
    };
    check({}, "whole");
    std::vector<std::size_t> all;
    for (std::size_t i = 1; i < bytes.size(); ++i) {
        all.push_back(i);
        check({i}, ("cut at " + std::to_string(i)).c_str());
    }
    check(all, "byte after byte");
}

}  // namespace

Test(ws_frame, reads_the_examples_of_rfc_6455) {
    const std::string hello("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    cr_expect((read(hello) == Events{"text Hello"}));
    cr_expect(masked(WsOpcode::text, "Hello") == hello);
    cr_expect((read(std::string("\x81\x05Hello"), {}, 1000, WsReader::Role::client) == Events{"text Hello"}));
    cr_expect((read(std::string("\x01\x03Hel\x80\x02lo"), {}, 1000, WsReader::Role::client) == Events{"text Hello"}));
}

Test(ws_frame, reads_messages_of_every_length_form_at_every_split) {
    for (const std::size_t size : {0, 1, 7, 8, 9, 125, 126, 127, 300}) {
        const std::string body(size, 'x');
        expect_for_every_split(masked(WsOpcode::text, body), {"text " + body});
        expect_for_every_split(masked(WsOpcode::binary, body), {"binary " + body});
    }
    const std::string large(70000, 'y');
    const std::string frame = masked(WsOpcode::binary, large);
    cr_expect(read(frame, {}, 70000) == Events{"binary " + large});
    for (const std::size_t cut : {1, 2, 5, 9, 10, 13, 14, 15, 5000, 70013}) {
        cr_expect(read(frame, {cut}, 70000) == Events{"binary " + large}, "cut at %zu", cut);
    }
}

Test(ws_frame, reads_several_messages_from_one_input) {
    expect_for_every_split(masked(WsOpcode::text, "2") + masked(WsOpcode::text, "4hello") +
                               masked(WsOpcode::binary, std::string("\0\xFF", 2)),
                           {"text 2", "text 4hello", std::string("binary \0\xFF", 9)});
}

Test(ws_frame, joins_fragments_and_lets_control_frames_between_them) {
    expect_for_every_split(fragment(WsOpcode::text, "4[\"a\"") + masked(WsOpcode::ping, "p1") +
                               fragment(WsOpcode::continuation, "") + masked(WsOpcode::pong, "") +
                               fragment(WsOpcode::continuation, ",1") + masked(WsOpcode::continuation, "]") +
                               masked(WsOpcode::binary, "next"),
                           {"ping p1", "pong ", "text 4[\"a\",1]", "binary next"});
    expect_for_every_split(fragment(WsOpcode::binary, "") + masked(WsOpcode::continuation, ""), {"binary "});
}

Test(ws_frame, a_character_may_be_cut_by_fragments) {
    expect_for_every_split(fragment(WsOpcode::text, "\xE2") + fragment(WsOpcode::continuation, "\x82") +
                               masked(WsOpcode::continuation, "\xAC!"),
                           {"text \u20ac!"});
}

Test(ws_frame, refuses_reserved_bits_and_opcodes) {
    for (const unsigned bit : {0x40U, 0x20U, 0x10U}) {
        std::string frame = masked(WsOpcode::text, "x");
        frame[0] = static_cast<char>(static_cast<unsigned char>(frame[0]) | bit);
        expect_for_every_split(frame, {"error 1002"});
    }
    for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
        expect_for_every_split(masked(static_cast<WsOpcode>(opcode), ""), {"error 1002"});
    }
}

Test(ws_frame, refuses_the_wrong_side_of_masking) {
    std::string plain;
    append_ws_frame(plain, WsOpcode::text, "hi");
    expect_for_every_split(plain, {"error 1002"});
    cr_expect((read(masked(WsOpcode::text, "hi"), {}, 1000, WsReader::Role::client) == Events{"error 1002"}));
    cr_expect((read(plain, {1}, 1000, WsReader::Role::client) == Events{"text hi"}));
}

Test(ws_frame, refuses_control_frames_that_are_fragmented_or_long) {
    for (const WsOpcode opcode : {WsOpcode::close, WsOpcode::ping, WsOpcode::pong}) {
        expect_for_every_split(fragment(opcode, ""), {"error 1002"});
        expect_for_every_split(masked(opcode, std::string(126, 'x')), {"error 1002"});
    }
    const std::string longest(125, 'x');
    expect_for_every_split(masked(WsOpcode::ping, longest), {"ping " + longest});
}

Test(ws_frame, refuses_continuations_of_nothing_and_messages_inside_messages) {
    expect_for_every_split(masked(WsOpcode::continuation, "x"), {"error 1002"});
    expect_for_every_split(fragment(WsOpcode::continuation, ""), {"error 1002"});
    expect_for_every_split(fragment(WsOpcode::text, "a") + masked(WsOpcode::text, "b"), {"error 1002"});
    expect_for_every_split(fragment(WsOpcode::text, "a") + masked(WsOpcode::binary, "b"), {"error 1002"});
    expect_for_every_split(
        fragment(WsOpcode::text, "a") + masked(WsOpcode::continuation, "b") + masked(WsOpcode::continuation, "c"),
        {"text ab", "error 1002"});
}

Test(ws_frame, refuses_lengths_with_the_top_bit) {
    expect_for_every_split(std::string("\x82\xFF\x80\0\0\0\0\0\0\x01\0\0\0\0", 14), {"error 1002"});
}

Test(ws_frame, a_length_in_more_bytes_than_needed_is_let_pass) {
    expect_for_every_split(std::string("\x82\xFE\0\x01\0\0\0\0x", 9), {"binary x"});
    expect_for_every_split(std::string("\x82\xFF\0\0\0\0\0\0\0\x01\0\0\0\0x", 15), {"binary x"});
}

Test(ws_frame, a_message_may_have_the_limit_and_not_a_byte_more) {
    expect_for_every_split(masked(WsOpcode::text, "12345678"), {"text 12345678"}, 8);
    expect_for_every_split(masked(WsOpcode::text, "123456789"), {"error 1009"}, 8);
    expect_for_every_split(fragment(WsOpcode::text, "1234") + masked(WsOpcode::continuation, "5678"), {"text 12345678"},
                           8);
    expect_for_every_split(fragment(WsOpcode::text, "1234") + masked(WsOpcode::continuation, "56789"), {"error 1009"},
                           8);
    expect_for_every_split(masked(WsOpcode::ping, "control frames do not count"), {"ping control frames do not count"},
                           8);
}

Test(ws_frame, a_header_alone_is_refused_for_its_length_and_nothing_is_kept) {
    std::string header("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 10);
    WsReader reader{WsReader::Role::server, 1000};
    std::span<char> in{header.data(), header.size()};
    const WsEvent event = reader.next(in);
    cr_expect(event.kind == WsEvent::Kind::error);
    cr_expect(event.close_code == ws_close::too_big && event.size == std::uint64_t{1} << 62U,
              "it is no nonsense to add to");
    std::string bytes =
        fragment(WsOpcode::text, std::string(600, 'a')) + masked(WsOpcode::continuation, std::string(700, 'b'));
    std::span<char> two{bytes.data(), bytes.size()};
    WsReader other{WsReader::Role::server, 1000};
    cr_expect(other.next(two).size == 1300);
    cr_expect(reader.bytes_held() == 0);
}

Test(ws_frame, memory_follows_what_has_come_and_is_given_back) {
    constexpr std::size_t size = 1000000;
    std::string frame = masked(WsOpcode::binary, std::string(size, 'z'));
    WsReader reader{WsReader::Role::server, size};
    cr_expect(reader.bytes_held() == 0);
    std::span<char> some{frame.data(), 1000};
    cr_expect(reader.next(some).kind == WsEvent::Kind::need_more);
    cr_expect(reader.bytes_held() < 4000, "a claimed megabyte takes %zu bytes", reader.bytes_held());
    std::span<char> rest{frame.data() + 1000, frame.size() - 1000};
    const WsEvent event = reader.next(rest);
    cr_expect(event.kind == WsEvent::Kind::binary);
    cr_expect(event.data.size() == size);
    cr_expect(reader.next(rest).kind == WsEvent::Kind::need_more);
    cr_expect(reader.bytes_held() == 0);
}

Test(ws_frame, a_whole_message_is_a_view_into_the_input) {
    std::string frame = masked(WsOpcode::text, "hello");
    WsReader reader{WsReader::Role::server, 100};
    std::span<char> in{frame.data(), frame.size()};
    const WsEvent event = reader.next(in);
    cr_expect(event.data.data() == frame.data() + 6);
    cr_expect(reader.bytes_held() == 0);
}

Test(ws_frame, refuses_text_that_is_not_utf8) {
    for (const std::string_view bad : {"\xFF", "a\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "cut \xE2\x82"}) {
        expect_for_every_split(masked(WsOpcode::text, bad), {"error 1007"});
    }
    expect_for_every_split(fragment(WsOpcode::text, "\xE2") + masked(WsOpcode::continuation, "x"), {"error 1007"});
    expect_for_every_split(fragment(WsOpcode::text, "a\xE2\x82") + masked(WsOpcode::continuation, ""), {"error 1007"});
    expect_for_every_split(masked(WsOpcode::binary, "\xFF"), {"binary \xFF"});
}

Test(ws_frame, text_is_refused_at_its_first_wrong_byte_not_at_its_end) {
    std::string start = masked(WsOpcode::text,
                               "abc\xFF"
                               "defgh")
                            .substr(0, 6 + 4);
    WsReader reader{WsReader::Role::server, 100};
    std::span<char> in{start.data(), start.size()};
    const WsEvent event = reader.next(in);
    cr_expect(event.kind == WsEvent::Kind::error);
    cr_expect(event.close_code == ws_close::bad_data);
}

Test(ws_frame, reads_close_frames_with_and_without_code) {
    expect_for_every_split(masked(WsOpcode::close, ""), {"close 0 "});
    expect_for_every_split(masked(WsOpcode::close, close_payload(1000, "End by user")), {"close 1000 End by user"});
    for (const unsigned code :
         {1000U, 1001U, 1002U, 1003U, 1007U, 1011U, 1012U, 1013U, 1014U, 3000U, 3999U, 4000U, 4999U}) {
        expect_for_every_split(masked(WsOpcode::close, close_payload(code)), {"close " + std::to_string(code) + ' '});
    }
}

Test(ws_frame, refuses_close_payloads_that_rfc_6455_forbids) {
    expect_for_every_split(masked(WsOpcode::close, "\x03"), {"error 1002"});
    for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 2000U, 2999U, 5000U, 65535U}) {
        expect_for_every_split(masked(WsOpcode::close, close_payload(code)), {"error 1002"});
    }
    expect_for_every_split(masked(WsOpcode::close, close_payload(1000, "\xC3")), {"error 1007"});
}

Test(ws_frame, frames_after_a_close_can_still_be_read) {
    expect_for_every_split(masked(WsOpcode::close, "") + masked(WsOpcode::text, "41"), {"close 0 ", "text 41"});
}

Test(ws_frame, an_error_is_final_and_leaves_the_input_alone) {
    std::string bytes = masked(WsOpcode::continuation, "x") + masked(WsOpcode::text, "fine");
    WsReader reader{WsReader::Role::server, 100};
    std::span<char> in{bytes.data(), bytes.size()};
    cr_expect(reader.next(in).kind == WsEvent::Kind::error);
    const std::size_t left = in.size();
    const WsEvent again = reader.next(in);
    cr_expect(again.kind == WsEvent::Kind::error);
    cr_expect(again.close_code == ws_close::protocol_error);
    cr_expect(in.size() == left);
}

Test(ws_frame, a_reader_can_be_moved_inside_a_message) {
    std::string bytes = fragment(WsOpcode::text, "ab") + masked(WsOpcode::continuation, "cd");
    WsReader first{WsReader::Role::server, 100};
    std::span<char> in{bytes.data(), 9};
    cr_expect(first.next(in).kind == WsEvent::Kind::need_more);
    WsReader second{std::move(first)};
    in = {bytes.data() + 9, bytes.size() - 9};
    const WsEvent event = second.next(in);
    cr_expect(event.kind == WsEvent::Kind::text);
    cr_expect(event.data == "abcd");
}

Test(ws_frame, writes_headers_in_the_shortest_form) {
    const auto header = [](std::size_t size) {
        char bytes[ws_max_header];
        return std::string(bytes, write_ws_header(bytes, WsOpcode::binary, size));
    };
    cr_expect(header(0) == std::string("\x82\x00", 2));
    cr_expect(header(125) == std::string("\x82\x7D", 2));
    cr_expect(header(126) == std::string("\x82\x7E\x00\x7E", 4));
    cr_expect(header(65535) == std::string("\x82\x7E\xFF\xFF", 4));
    cr_expect(header(65536) == std::string("\x82\x7F\0\0\0\0\0\x01\0\0", 10));
}

Test(ws_frame, writes_close_frames_and_cuts_a_reason_between_characters) {
    std::string out;
    append_ws_close(out, ws_close::none, "");
    cr_expect(out == std::string("\x88\x00", 2));
    out.clear();
    append_ws_close(out, ws_close::going_away, "bye");
    cr_expect(out == std::string("\x88\x05\x03\xE9"
                                 "bye",
                                 7));
    out.clear();
    append_ws_close(out, ws_close::normal, std::string(122, 'x') + "\u20ac");
    cr_expect(out.size() == 2 + 2 + 122);
    cr_expect((read(out, {}, 1000, WsReader::Role::client) == Events{"close 1000 " + std::string(122, 'x')}));
}

Test(ws_frame, accepts_a_key_as_rfc_6455_shows) {
    cr_expect(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    cr_expect(websocket_accept("x3JJHMbDL1EzLkh9GBhXDw==") == "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

Test(ws_frame, a_key_is_sixteen_bytes_in_base64) {
    cr_expect(is_websocket_key("dGhlIHNhbXBsZSBub25jZQ=="));
    for (const std::string_view key :
         {"", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZ!==",
          "dGhlIHNhbXBsZSBub25jZQA=", "dGhlIHNhbXBsZSBub25-ZQ=="}) {
        cr_expect(!is_websocket_key(key), "'%s'", key.data());
    }
}
