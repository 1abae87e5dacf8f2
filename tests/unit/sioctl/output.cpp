// sioctl/output.h: what names and events of strangers may do to a terminal, which is nothing.
#include "sioctl/output.h"

#include <criterion/criterion.h>

#include <string>

#include "base/json.h"

namespace {

using namespace sio;
using namespace sio::sioctl;

// As UTF-8: ESC, DEL, NEL, CSI, ALM, LRM, RLM, LS, PS, LRE, RLO, LRI, PDI.
constexpr std::string_view acts[] = {"\x1b",         "\x7f",         "\xc2\x85",     "\xc2\x9b",     "\xd8\x9c",
                                     "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa",
                                     "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9"};
// A no-break space, a dash, an ellipsis, a word joiner, an Arabic letter, an emoji, and sequences that are cut.
constexpr std::string_view shows[] = {"\xc2\xa0",         "\xe2\x80\x94", "\xe2\x80\xa6", "\xe2\x81\xa0", "\xd8\x9d",
                                      "\xf0\x9f\x98\x80", "\xe2\x80",     "\xc2",         "plain"};

}  // namespace

Test(output, controls_are_question_marks_in_tables_and_the_rest_is_escaped_on_a_terminal) {
    for (const std::string_view text : {"\x1b", "\x7f", "\xc2\x85", "\xc2\x9b", "\x07"}) {
        cr_expect(printable("a" + std::string(text) + "b") == "a?b", "%s", json::quote(text).c_str());
        cr_expect(cell('"' + std::string(text) + '"') == "?");
    }
    for (const std::string_view text : acts) {
        const std::string shown = escaped(printable("a" + std::string(text) + "b"));
        cr_expect(shown == "a?b" || shown.starts_with("a\\u"), "%s", shown.c_str());
    }
    for (const std::string_view text : shows) cr_expect(printable(text) == text);
}

Test(output, what_a_terminal_acts_on_is_escaped_in_json_and_means_the_same) {
    for (const std::string_view text : acts) {
        const std::string line = escaped('"' + std::string(text) + '"');
        cr_expect(line.size() == 8 && line.starts_with("\"\\u"), "%s", line.c_str());
        cr_expect(json::decode_string(line) == text);
    }
    for (const std::string_view text : shows) cr_expect(escaped(text) == text);
    cr_expect(escaped("\xc2\x9b") == "\\u009b" && escaped("\xe2\x80\xae") == "\\u202e" && escaped("\x7f") == "\\u007f");
}

Test(output, lines_and_columns_stay) { cr_expect(escaped("{\n\t\"a\": 1\n}") == "{\n\t\"a\": 1\n}"); }
