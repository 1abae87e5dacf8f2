#include "base/bytes.h"

#include <criterion/criterion.h>

#include <string>

using namespace sio::base;

namespace {

std::string base64(std::string_view data) {
    std::string out;
    append_base64(out, data);
    return out;
}

/// UTF-8 the slow way: decode each character and judge the number.
bool is_utf8_by_the_book(const std::string& text) {
    for (std::size_t i = 0; i < text.size();) {
        const unsigned first = static_cast<unsigned char>(text[i]);
        const std::size_t length = first < 0x80   ? 1
                                   : first < 0xC0 ? 0
                                   : first < 0xE0 ? 2
                                   : first < 0xF0 ? 3
                                   : first < 0xF8 ? 4
                                                  : 0;
        if (length == 0 || text.size() - i < length) return false;
        std::uint32_t code = length == 1 ? first : first & (0xFFU >> (length + 1));
        for (std::size_t k = 1; k < length; ++k) {
            const unsigned tail = static_cast<unsigned char>(text[i + k]);
            if ((tail & 0xC0U) != 0x80U) return false;
            code = code << 6U | (tail & 0x3FU);
        }
        constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < smallest[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
        i += length;
    }
    return true;
}

}  // namespace

Test(bytes, base64_follows_the_vectors_of_rfc_4648) {
    cr_expect(base64("") == "");
    cr_expect(base64("f") == "Zg==");
    cr_expect(base64("fo") == "Zm8=");
    cr_expect(base64("foo") == "Zm9v");
    cr_expect(base64("foob") == "Zm9vYg==");
    cr_expect(base64("fooba") == "Zm9vYmE=");
    cr_expect(base64("foobar") == "Zm9vYmFy");
    cr_expect(base64(std::string("\x01\x02\x03\x04")) == "AQIDBA==");
    cr_expect(base64("\xFF\xFE\xFB\xFF") == "//77/w==");
}

Test(bytes, base64_appends_to_what_is_there) {
    std::string out = "b";
    append_base64(out, "hi");
    cr_expect(out == "baGk=");
}

Test(bytes, base64_of_every_length_comes_back) {
    std::string data;
    for (int length = 0; length < 300; ++length) {
        cr_expect(decode_base64(base64(data)) == data, "length %d", length);
        data.push_back(static_cast<char>(length * 37));
    }
}

Test(bytes, base64_is_decoded_as_leniently_as_node_does) {
    cr_expect(decode_base64("AQIDBA") == std::string("\x01\x02\x03\x04"), "without padding");
    cr_expect(decode_base64("AQIDBA=") == std::string("\x01\x02\x03\x04"), "half the padding");
    cr_expect(decode_base64("__77_w==") == std::string("\xFF\xFE\xFB\xFF"), "the URL-safe alphabet");
    cr_expect(decode_base64("Zm9v\r\nYmFy\n") == std::string("foobar"), "broken lines");
    cr_expect(decode_base64("Zm 9v\tYm\nFy") == std::string("foobar"), "breaks inside a group");
    cr_expect(decode_base64("Zg==Zg==") == std::string("f"), "the first padding ends it");
    cr_expect(decode_base64("Zg==!") == std::string("f"), "nothing after the padding is looked at");
    cr_expect(decode_base64("") == std::string());
    cr_expect(decode_base64("=") == std::string());
    cr_expect(decode_base64("Z") == std::string(), "six bits hold no byte");
    cr_expect(decode_base64("Zm9vZ") == std::string("foo"));
}

Test(bytes, base64_refuses_other_characters) {
    for (const std::string_view text : {"Zm9v!", "!", "Zm9.", "Z\x80==", "Zm9vYm\x7F"}) {
        cr_expect(!decode_base64(text), "'%s'", text.data());
    }
    cr_expect(!decode_base64(std::string("Zm9\0", 4)));
}

Test(bytes, utf8_agrees_with_the_book_on_every_short_sequence) {
    std::string text(1, '\0');
    for (int a = 0; a < 256; ++a) {
        text.assign(1, static_cast<char>(a));
        cr_assert(is_utf8(text) == is_utf8_by_the_book(text), "%02x", a);
        for (int b = 0; b < 256; ++b) {
            text.assign({static_cast<char>(a), static_cast<char>(b)});
            cr_assert(is_utf8(text) == is_utf8_by_the_book(text), "%02x %02x", a, b);
        }
    }
    for (const int a : {0x7F, 0xC2, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5}) {
        for (int b = 0x7F; b < 0xC1; ++b) {
            for (const int c : {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF}) {
                text.assign({static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)});
                cr_assert(is_utf8(text) == is_utf8_by_the_book(text), "%02x %02x %02x", a, b, c);
                for (const int d : {0x7F, 0x80, 0xBF, 0xC0}) {
                    text.resize(3);
                    text.push_back(static_cast<char>(d));
                    cr_assert(is_utf8(text) == is_utf8_by_the_book(text), "%02x %02x %02x %02x", a, b, c, d);
                }
            }
        }
    }
}

Test(bytes, utf8_is_found_wrong_wherever_it_lies_between_ascii) {
    for (std::size_t length = 1; length < 40; ++length) {
        for (std::size_t at = 0; at < length; ++at) {
            std::string text(length, 'x');
            cr_assert(is_utf8(text));
            text[at] = '\xFF';
            cr_assert(!is_utf8(text), "length %zu, at %zu", length, at);
        }
    }
}

Test(bytes, utf8_in_pieces_gives_what_the_whole_gives) {
    const std::string samples[] = {
        "plain ascii, long enough for words",
        "\u00e9\u20ac\U0001F600 and ascii \u00e9",
        "\xED\xA0\x80",
        "\xF0\x9F\x98",
        "abc\xC0\xAF",
        std::string("\xF4\x90\x80\x80"),
        "\xE2\x82",
    };
    for (const std::string& text : samples) {
        for (std::size_t a = 0; a <= text.size(); ++a) {
            for (std::size_t b = a; b <= text.size(); ++b) {
                Utf8Validator validator;
                const bool possible = validator.feed(std::string_view(text).substr(0, a)) &&
                                      validator.feed(std::string_view(text).substr(a, b - a)) &&
                                      validator.feed(std::string_view(text).substr(b));
                cr_assert((possible && validator.at_boundary()) == is_utf8(text));
            }
        }
    }
}

Test(bytes, utf8_fails_at_the_first_impossible_byte_and_stays_failed) {
    Utf8Validator validator;
    cr_expect(validator.feed("\xED"));
    cr_expect(!validator.at_boundary());
    cr_expect(!validator.feed("\xA0"), "a surrogate is known by its second byte");
    cr_expect(!validator.feed("a"));
    cr_expect(!validator.feed(""));
    cr_expect(!validator.at_boundary());
    validator.reset();
    cr_expect(validator.feed("a") && validator.at_boundary());
}

Test(bytes, percent_escapes_are_decoded_and_malformed_ones_stay) {
    cr_expect(percent_decode("a%20b%2Fc", false) == "a b/c");
    cr_expect(percent_decode("a+b", true) == "a b");
    cr_expect(percent_decode("a+b", false) == "a+b");
    cr_expect(percent_decode("%c3%A9", false) == "\u00e9");
    cr_expect(percent_decode("100%", false) == "100%");
    cr_expect(percent_decode("%4", false) == "%4");
    cr_expect(percent_decode("%zz%41", false) == "%zzA");
    cr_expect(percent_decode("%%41", false) == "%A");
    cr_expect(percent_decode("%00", false) == std::string(1, '\0'));
}

Test(bytes, decimals_are_digits_only_and_bounded) {
    cr_expect(parse_decimal("0") == 0U);
    cr_expect(parse_decimal("007") == 7U);
    cr_expect(parse_decimal("18446744073709551615") == UINT64_MAX);
    cr_expect(!parse_decimal("18446744073709551616"));
    cr_expect(!parse_decimal("99999999999999999999"));
    cr_expect(parse_decimal("100", 100) == 100U);
    cr_expect(!parse_decimal("101", 100));
    for (const std::string_view text : {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1e3"}) {
        cr_expect(!parse_decimal(text), "'%s'", text.data());
    }
}

Test(bytes, comparison_ignores_the_case_of_ascii_alone) {
    cr_expect(equal_ignoring_case("Content-Length", "cONTENT-lENGTH"));
    cr_expect(equal_ignoring_case("", ""));
    cr_expect(!equal_ignoring_case("a", "ab"));
    cr_expect(!equal_ignoring_case("[", "{"), "these differ by the case bit only");
    cr_expect(!equal_ignoring_case("\xC4", "\xE4"));
}

Test(bytes, trim_takes_blanks_and_tabs_from_both_ends) {
    cr_expect(trim(" \t a b\t ") == "a b");
    cr_expect(trim(" \t ") == "");
    cr_expect(trim("") == "");
    cr_expect(trim("\ra\n") == "\ra\n");
}
