#include "base/json.h"

#include <criterion/criterion.h>

#include <string>
#include <vector>

using namespace sio;

Test(json, accepts_what_rfc_8259_allows) {
    for (const std::string_view text : {"null",
                                        "true",
                                        "false",
                                        "0",
                                        "-0",
                                        "10",
                                        "-1.5",
                                        "1e9",
                                        "1E+9",
                                        "1.25e-3",
                                        "-0.0",
                                        "\"\"",
                                        "\"a\"",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"",
                                        "\"\\ud800\"",
                                        "[]",
                                        "[ ]",
                                        "{}",
                                        "{ }",
                                        "[1]",
                                        "[1,2,3]",
                                        " [ 1 , \"2\" , { \"3\" : [ true ] } ] ",
                                        "{\"a\":1,\"b\":{\"c\":[]},\"a\":2}",
                                        "[[],[[]],{}]",
                                        "\t\r\n [\n]\n",
                                        "\"\x7F\"",
                                        "\"a string of more than eight bytes, with \\n inside\"",
                                        "{\"\":null}",
                                        "[{\"a\":[{\"b\":[]}]},[[{}]]]",
                                        "\"\u20ac\""}) {
        cr_expect(json::is_valid(text), "'%s'", text.data());
    }
}

Test(json, refuses_what_rfc_8259_forbids) {
    for (const std::string_view text : {"",
                                        " ",
                                        "nul",
                                        "nulll",
                                        "True",
                                        "+1",
                                        "01",
                                        "-",
                                        "-01",
                                        "1.",
                                        ".5",
                                        "1e",
                                        "1e+",
                                        "1.e3",
                                        "0x10",
                                        "NaN",
                                        "Infinity",
                                        "\"",
                                        "\"a",
                                        "\"\\\"",
                                        "\"\\x41\"",
                                        "\"\\u12\"",
                                        "\"\\u12g4\"",
                                        "\"\\",
                                        "\"\n\"",
                                        "\"\t\"",
                                        "\"twelve bytes\tand a tab\"",
                                        "'a'",
                                        "[",
                                        "]",
                                        "[1",
                                        "[1,",
                                        "[1,]",
                                        "[,1]",
                                        "[1 2]",
                                        "[1}",
                                        "{",
                                        "}",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\":1",
                                        "{\"a\":1,",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "{1:1}",
                                        "{\"a\" 1}",
                                        "{\"a\":1]",
                                        "{,}",
                                        "1 2",
                                        "[] []",
                                        "[]]",
                                        "{}}",
                                        "{\"a\":1 \"b\":2}",
                                        "[true false]",
                                        "/**/1",
                                        "1//",
                                        "[1,,2]",
                                        "tru",
                                        "t",
                                        "f",
                                        "n",
                                        "{\"a\"::1}",
                                        "[\"a\":1]",
                                        "\xEF\xBB\xBF[]",
                                        "[1]x",
                                        "{\"a\",1}",
                                        "\"\\u\"",
                                        "\"\\uD83",
                                        "--1",
                                        "1e1.5"}) {
        cr_expect(!json::is_valid(text), "'%s'", text.data());
    }
    cr_expect(!json::is_valid(std::string_view("\0", 1)));
    cr_expect(!json::is_valid(std::string_view("\"a\0b\"", 5)));
    cr_expect(!json::is_valid(std::string_view("[1]\0", 4)));
}

Test(json, no_prefix_of_a_container_is_valid) {
    const std::string_view text = R"({"a":[1,-2.5e+3,"x\"y\u00e9",{"b":[true,false,null,[]]}],"c":{}})";
    cr_assert(json::is_valid(text));
    for (std::size_t length = 0; length < text.size(); ++length) {
        cr_expect(!json::is_valid(text.substr(0, length)), "length %zu", length);
    }
}

Test(json, control_characters_are_found_wherever_they_lie_in_a_string) {
    for (std::size_t length = 1; length < 40; ++length) {
        for (std::size_t at = 0; at < length; ++at) {
            std::string text(length, 'x');
            text = '"' + text + '"';
            for (const char c : {'\0', '\x1F', '\n'}) {
                std::string broken = text;
                broken[at + 1] = c;
                cr_assert(!json::is_valid(broken), "length %zu, at %zu", length, at);
            }
            std::string wide = text;
            wide[at + 1] = '\x80';  // above ASCII is the transport's matter
            cr_assert(json::is_valid(wide));
        }
    }
}

Test(json, nests_to_its_limit_and_not_deeper) {
    const auto nested = [](std::size_t depth, const char* open, const char* close) {
        std::string text;
        for (std::size_t i = 0; i < depth; ++i) text += open;
        text += '0';
        for (std::size_t i = 0; i < depth; ++i) text += close;
        return text;
    };
    cr_expect(json::is_valid(nested(json::max_depth, "[", "]")));
    cr_expect(!json::is_valid(nested(json::max_depth + 1, "[", "]")));
    cr_expect(json::is_valid(nested(json::max_depth, "{\"a\":", "}")));
    cr_expect(!json::is_valid(nested(json::max_depth + 1, "{\"a\":", "}")));
    cr_expect(json::is_valid(nested(json::max_depth / 2, "[{\"a\":", "}]")));
    cr_expect(!json::is_valid(nested(json::max_depth / 2, "[{\"a\":", "]}")));
    cr_expect(json::is_valid(nested(7, "[", "]"), 7) && !json::is_valid(nested(8, "[", "]"), 7));
    cr_expect(!json::is_valid(std::string(1000000, '[')));
}

Test(json, remembers_the_kind_of_each_open_container) {
    // 130 levels, so that the kinds lie in three words.
    std::string open;
    std::string close;
    for (int i = 0; i < 130; ++i) {
        const bool object = i % 3 == 0;
        open += object ? "{\"k\":" : "[";
        close.insert(0, object ? "}" : "]");
    }
    cr_expect(json::is_valid(open + "1" + close));
    for (std::size_t i = 0; i < close.size(); ++i) {
        std::string wrong = close;
        wrong[i] = wrong[i] == '}' ? ']' : '}';
        cr_expect(!json::is_valid(open + "1" + wrong), "close %zu", i);
    }
}

Test(json, value_end_stops_behind_the_value) {
    cr_expect(json::value_end("[1,2] tail", 0) == std::size_t{5});
    cr_expect(json::value_end("  \"x\"\"y\"", 0) == std::size_t{5});
    cr_expect(json::value_end("[1, {\"a\":2}]", 3) == std::size_t{11});
    cr_expect(json::value_end("12,", 0) == std::size_t{2});
    cr_expect(json::value_end("01", 0) == std::size_t{1}, "what follows is the caller's matter");
    cr_expect(!json::value_end("1", 1));
    cr_expect(!json::value_end("1", 5));
    cr_expect(!json::value_end("   ", 0));
    cr_expect(!json::value_end("[1,2", 0));
}

Test(json, kind_comes_from_the_first_byte) {
    cr_expect(json::kind_of("null") == json::Kind::null);
    cr_expect(json::kind_of("true") == json::Kind::boolean);
    cr_expect(json::kind_of("false") == json::Kind::boolean);
    cr_expect(json::kind_of("-1") == json::Kind::number);
    cr_expect(json::kind_of("0") == json::Kind::number);
    cr_expect(json::kind_of("\"\"") == json::Kind::string);
    cr_expect(json::kind_of("[]") == json::Kind::array);
    cr_expect(json::kind_of("{}") == json::Kind::object);
}

Test(json, walker_yields_elements_and_members_in_order) {
    std::vector<std::string> seen;
    for (json::Walker w{R"( [ 1 , "two" ,{"three":[3]}, null ] )"}; w.next();) {
        cr_expect(w.key().empty());
        seen.emplace_back(w.value());
    }
    cr_expect((seen == std::vector<std::string>{"1", "\"two\"", "{\"three\":[3]}", "null"}));

    seen.clear();
    for (json::Walker w{R"({"a":1, "b\n" : [2] ,"a":{}})"}; w.next();) {
        seen.push_back(std::string(w.key()) + '=' + std::string(w.value()));
    }
    cr_expect((seen == std::vector<std::string>{"\"a\"=1", "\"b\\n\"=[2]", "\"a\"={}"}));
}

Test(json, walker_finds_nothing_in_the_empty_and_in_what_is_no_container) {
    for (const std::string_view text : {"[]", "{}", "[ ]", " { } ", "1", "\"[1]\"", "null", "", "  "}) {
        json::Walker w{text};
        cr_expect(!w.next(), "'%s'", text.data());
        cr_expect(!w.next());
    }
}

Test(json, walker_stops_at_what_is_malformed) {
    for (const std::string_view text : {"[1", "[1 2]", "{\"a\"", "{\"a\":", "{1:2}", "[,", "{\"a\" 1}"}) {
        int count = 0;
        for (json::Walker w{text}; w.next();) ++count;
        cr_expect(count <= 1, "'%s'", text.data());
    }
}

Test(json, member_takes_the_last_of_that_name_however_it_is_spelt) {
    cr_expect(json::member(R"({"a":1,"b":2})", "b") == "2");
    cr_expect(json::member(R"({"a":1,"a":2})", "a") == "2");
    cr_expect(json::member(R"({"\u0061":3})", "a") == "3");
    cr_expect(json::member(R"({"a":1,"\u0061":3})", "a") == "3");
    cr_expect(!json::member(R"({"a":{"b":1}})", "b"));
    cr_expect(!json::member("{}", "a"));
    cr_expect(!json::member("[1]", "a"));
    cr_expect(!json::member("[\"\"]", ""));
    cr_expect(json::member(R"({"":0})", "") == "0");
}

Test(json, element_counts_from_zero) {
    cr_expect(json::element("[10,[20],30]", 0) == "10");
    cr_expect(json::element("[10,[20],30]", 1) == "[20]");
    cr_expect(json::element("[10,[20],30]", 2) == "30");
    cr_expect(!json::element("[10]", 1));
    cr_expect(!json::element("[]", 0));
    cr_expect(!json::element("{\"0\":1}", 0));
}

Test(json, strings_are_decoded_with_their_escapes) {
    cr_expect(json::decode_string(R"("plain")") == "plain");
    cr_expect(json::decode_string(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    cr_expect(json::decode_string(R"("\u0041\u00e9\u20AC")") == "A\u00e9\u20ac");
    cr_expect(json::decode_string(R"("\uD83D\uDE00!")") == "\U0001F600!");
    cr_expect(json::decode_string(R"("\u0000")") == std::string(1, '\0'));
}

Test(json, lone_surrogates_become_the_replacement_character) {
    cr_expect(json::decode_string(R"("\ud83d")") == "\uFFFD");
    cr_expect(json::decode_string(R"("\ude00x")") == "\uFFFDx");
    cr_expect(json::decode_string(R"("\ud83dx")") == "\uFFFDx");
    cr_expect(json::decode_string(R"("\ud83d\ud83d\ude00")") == "\uFFFD\U0001F600");
    cr_expect(json::decode_string(R"("\ud83d\u0041")") ==
              "\uFFFD"
              "A");
    cr_expect(json::decode_string(R"("\ud83d\n")") == "\uFFFD\n");
}

Test(json, decoding_what_is_no_string_is_harmless) {
    for (const std::string_view text : {"", "\"", "a", "\"a", "\"\\\"", "\"\\u12\"", "\"\\u\"", "\"\\uD83D\\u\""}) {
        (void)json::decode_string(text);
    }
}

Test(json, strings_are_written_as_json_stringify_does) {
    cr_expect(json::quote("plain") == R"("plain")");
    cr_expect(json::quote("a\"b\\c/d") == R"("a\"b\\c/d")");
    cr_expect(json::quote("\b\f\n\r\t") == R"("\b\f\n\r\t")");
    cr_expect(json::quote(std::string_view("\0\x01\x1f\x7f", 4)) == "\"\\u0000\\u0001\\u001f\x7f\"");
    cr_expect(json::quote("\u00e9\u20ac\u2028") == "\"\u00e9\u20ac\u2028\"");
    std::string out = "x";
    json::append_string(out, "");
    cr_expect(out == "x\"\"");
}

Test(json, any_text_comes_back_from_its_quotes) {
    std::string text;
    for (int i = 0; i < 128; ++i) text.push_back(static_cast<char>(i));
    text += "\u00e9\u20ac\U0001F600";
    cr_expect(json::is_valid(json::quote(text)));
    cr_expect(json::decode_string(json::quote(text)) == text);
}
