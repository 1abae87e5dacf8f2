// pg/pool.h's text_array and quote_identifier, and what of libpq's words may be shown.
#include "pg/text.h"

#include <criterion/criterion.h>

#include <string>
#include <vector>

#include "pg/pool.h"

namespace {

using namespace sio;
using namespace sio::pg;

Test(pg_text, an_array_keeps_every_value_apart) {
    struct Case {
        std::vector<std::string> values;
        std::string want;
    };
    const Case cases[] = {
        {{}, "{}"},
        {{""}, R"({""})"},
        {{"a", "b"}, R"({"a","b"})"},
        {{"NULL", " a ", "a,b", "{}"}, R"({"NULL"," a ","a,b","{}"})"},
        {{R"(say "hi")", R"(a\b)", R"(\")"}, R"({"say \"hi\"","a\\b","\\\""})"},
        {{"it's", "é\n"}, "{\"it's\",\"é\n\"}"},
    };
    for (const auto& [values, want] : cases) {
        const std::string got = text_array(values);
        cr_expect(got == want, "%s instead of %s", got.c_str(), want.c_str());
    }
}

Test(pg_text, an_identifier_is_quoted_part_by_part) {
    struct Case {
        std::string_view name;
        std::string_view want;
    };
    constexpr Case cases[] = {
        {"sessions", R"("sessions")"},
        {"Session", R"("Session")"},
        {"auth.Session", R"("auth"."Session")"},
        {"a.b.c", R"("a"."b"."c")"},
        {R"(a"b)", R"("a""b")"},
        {R"(a";DROP TABLE x;--)", R"("a"";DROP TABLE x;--")"},
        {"with blanks 1", R"("with blanks 1")"},
        {R"("quoted")", R"("""quoted""")"},
    };
    for (const auto& [name, want] : cases) {
        const auto got = quote_identifier(name);
        cr_assert(got.has_value());
        cr_expect(*got == want, "%s", got->c_str());
    }
    const std::string longest(63, 'a');
    cr_expect(quote_identifier(longest).has_value());
    cr_expect(quote_identifier(longest + "." + longest).has_value());
}

Test(pg_text, what_postgresql_would_change_or_refuse_is_no_identifier) {
    const std::string names[] = {
        "", ".", "a.", ".a", "a..b", std::string(64, 'a'), "a." + std::string(64, 'b'), std::string("a\0b", 3)};
    for (const std::string& name : names) {
        const auto got = quote_identifier(name);
        cr_expect(!got && got.error().code == Errc::config, "'%s'", name.c_str());
    }
}

Test(pg_text, messages_are_one_line) {
    cr_expect(first_line("lost it \n\tIs it there?\n") == "lost it");
    cr_expect(first_line("lost it") == "lost it");
    cr_expect(first_line("").empty());
    cr_expect(first_line(nullptr).empty());
}

Test(pg_text, secrets_are_hidden_wherever_they_stand) {
    cr_expect(hide("s3cret and s3cret", "s3cret") == "… and …");
    cr_expect(hide("nothing", "s3cret") == "nothing");
    cr_expect(hide("a cat", "a") == "a cat");
    cr_expect(hide("a cat", "") == "a cat");
    cr_expect(without_quotations(R"(invalid port: "s3"cret", sorry)") == R"(invalid port: "…", sorry)");
    cr_expect(without_quotations("cut \"off") == "cut \"…\"");
    cr_expect(without_quotations("plain") == "plain");
}

}  // namespace
