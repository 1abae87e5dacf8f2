// sioctl's command line: the table, the parser and completion agree, and what is typed arrives as it is.
#include "sioctl/command_line.h"

#include <criterion/criterion.h>

#include <chrono>
#include <initializer_list>
#include <string>
#include <vector>

#include "sioctl/arguments.h"
#include "sioctl/completion.h"
#include "sioctl/socket_client.h"

namespace {

using namespace sio::sioctl;
using namespace std::chrono_literals;

Outcome<Invocation> parse(std::initializer_list<const char*> words) {
    std::vector<const char*> argv{"sioctl"};
    argv.insert(argv.end(), words);
    return parse_command_line(static_cast<int>(argv.size()), argv.data());
}

Test(sioctl_table, completion_offers_what_the_parser_takes) {
    for (const Command& command : commands()) {
        const std::string words{command.words};
        cr_expect(offered_options(command) == parser_options(command), "options of %s", words.c_str());
        for (const std::string_view shell : {"bash", "zsh", "fish"}) {
            const std::string script = completion_script(shell);
            for (const Argument& option : command.options) {
                const std::string name{long_name(option).substr(2)};
                cr_expect(script.find(name) != std::string::npos, "%s of %s", name.c_str(), words.c_str());
            }
        }
    }
}

Test(sioctl_table, every_command_has_a_sentence_and_an_example) {
    for (const Command& command : commands()) {
        const std::string words{command.words};
        cr_expect(!command.sentence.empty() && !command.sentence.ends_with('.'), "%s", words.c_str());
        cr_expect(command.examples.find("sioctl " + words) != std::string_view::npos, "%s", words.c_str());
        cr_expect(command.run != nullptr);
    }
}

Test(sioctl_parser, words_pass_through_as_they_are) {
    const auto got =
        parse({"emit", "x", "[1,2]", "-5", "", "++", "%%", "rooms", "a=b", "--to", "[r]", "--", "--to", "-q"});
    cr_assert(got.has_value());
    const std::vector<std::string> want{"[1,2]", "-5", "", "++", "%%", "rooms", "a=b", "--to", "-q"};
    cr_assert(got->all("ARG") == want);
    cr_assert(got->all("--to") == std::vector<std::string>{"[r]"});
    cr_assert(!got->quiet());
}

Test(sioctl_parser, groups_keep_apart) {
    const auto got =
        parse({"connect", "http://h", "--emit", "a", "1", "", "--emit", "b", "--ack", "--emit", "c", "%%"});
    cr_assert(got.has_value());
    const std::vector<std::vector<std::string>> want{{"a", "1", ""}, {"b"}, {"c", "%%"}};
    cr_assert(got->groups("--emit") == want);
    cr_assert(got->has("--ack") && !got->has("--wait"));
}

Test(sioctl_parser, a_command_to_run_is_left_alone) {
    const auto got = parse({"handle", "x", "--parallel", "2", "--", "sh", "-c", "--quiet", "--", "[1]"});
    cr_assert(got.has_value());
    const std::vector<std::string> want{"sh", "-c", "--quiet", "--", "[1]"};
    cr_assert(got->command_to_run == want);
    cr_assert(!got->quiet());
}

Test(sioctl_parser, an_empty_name_is_not_everybody) {
    const auto got = parse({"emit", "x", "--to", ""});
    cr_assert(got.has_value());
    cr_assert(!got->selection() && got->selection().error().exit == exit_code::usage);
}

Test(sioctl_values, lengths_of_time) {
    cr_assert(parse_time("500ms") == 500ms);
    cr_assert(parse_time("5s") == 5s && parse_time("5") == 5s && parse_time("1.5") == 1500ms);
    cr_assert(parse_time("2m") == 2min && parse_time("1h") == 1h && parse_time("0") == 0ms);
    for (const std::string_view bad : {"", "s", ".", "1.2.3", "-1s", "5 s", "5d", "1e3", "99999999h", "soon"})
        cr_expect(!parse_time(bad), "'%.*s'", static_cast<int>(bad.size()), bad.data());
}

Test(sioctl_values, a_typed_event_is_a_word_and_json) {
    const auto typed = typed_event("  say 1 {\"a\": [2, 3]} \"x y\" ");
    cr_assert(typed && typed->event == "say" && typed->arguments == R"([1,{"a": [2, 3]},"x y"])");
    cr_assert(typed_event("\"two words\"")->event == "two words");
    cr_assert(typed_event("say")->arguments == "[]");
    cr_assert(typed_event("say 1, 2")->arguments == "[1,2]");
    for (const std::string_view bad : {"say hello", "say 12x", "say {", "\"say", "say \xFF"})
        cr_expect(!typed_event(bad) && typed_event(bad).error().exit == exit_code::data, "'%.*s'",
                  static_cast<int>(bad.size()), bad.data());
    cr_assert(shown_event("say", R"([1,"\n"])") == R"(say 1 "\n")");
    cr_assert(shown_event("two words", "[]") == R"("two words")");
}

Test(sioctl_values, urls_as_stock_clients_take_them) {
    const auto url = parse_url("http://localhost:3001/chat?token=1#top");
    cr_assert(url && url->host == "localhost" && url->port == "3001" && url->nsp == "/chat" && url->query == "token=1");
    cr_assert(parse_url("ws://h")->port == "80" && parse_url("ws://h/")->nsp == "/");
    cr_assert(parse_url("h:1")->host == "h");
    const auto v6 = parse_url("http://[::1]:3001");
    cr_assert(v6 && v6->host == "::1" && v6->port == "3001" && v6->is_ipv6_literal);
    for (const std::string_view bad : {"", "https://h", "wss://h", "ftp://h", "http://", "http://:1", "http://h:x",
                                       "http://h:99999", "http://u@h", "http://[::1", "http://h /"})
        cr_expect(!parse_url(bad), "'%.*s'", static_cast<int>(bad.size()), bad.data());
}

}  // namespace
