// sioctl's command line: the table, the parser and completion agree, and what is typed arrives as it is.
#include "sioctl/command_line.h"

#include <criterion/criterion.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string>
#include <vector>

#include "sioctl/answer.h"
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

/// The manual page, from the first `.Cm WORDS` that begins an item, up to the next section.
std::string items_of(const std::string& page, std::string_view words) {
    std::string all;
    std::size_t pos = 0;
    for (const std::string_view mark : {".It Cm ", ".It Xo Cm "}) {
        for (pos = page.find(std::string(mark) + std::string(words)); pos != std::string::npos;
             pos = page.find(std::string(mark) + std::string(words), pos + 1)) {
            const std::size_t end = pos + mark.size() + words.size();
            if (page[end] != ' ' && page[end] != '\n') continue;
            std::size_t next = std::min(page.find("\n.It ", pos), page.find("\n.El", pos));
            all += page.substr(pos, next - pos);
        }
    }
    return all;
}

Test(sioctl_table, the_manual_page_has_every_command_with_its_options) {
    const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path().parent_path();
    std::ifstream file(root / "man/sioctl.1");
    std::ostringstream text;
    text << file.rdbuf();
    const std::string page = text.str();
    for (const Command& command : commands()) {
        const std::string words{command.words};
        if (words == "connect") continue;  // a section of its own
        const std::string item = items_of(page, words);
        cr_expect(!item.empty(), "%s is not in the manual page", words.c_str());
        // What several commands share is explained once.
        for (const Argument& option : command.options) {
            const std::string name{long_name(option).substr(2)};
            const bool is_shared = name == "timeout" || name == "nsp" || name == "all" || name == "to" ||
                                   name == "socket" || name == "except" ||
                                   (name == "user" && words.find(' ') == std::string::npos);
            if (is_shared) continue;
            cr_expect(item.find("Fl -" + name) != std::string::npos, "--%s of %s is not in the manual page",
                      name.c_str(), words.c_str());
        }
    }
}

Test(sioctl_table, groups_stand_together_and_have_a_sentence) {
    std::string_view last;
    std::vector<std::string_view> seen;
    for (const Command& command : commands()) {
        const std::size_t blank = command.words.find(' ');
        const std::string_view first = command.words.substr(0, blank);
        if (blank == std::string_view::npos) {
            cr_expect(find_group(first) == nullptr);
        } else if (first != last) {
            cr_expect(find_group(first) != nullptr);
            cr_expect(std::find(seen.begin(), seen.end(), first) == seen.end());
            seen.push_back(first);
        }
        last = first;
    }
    cr_expect(seen.size() == groups().size());
}

Test(sioctl_parser, a_wrong_word_in_a_group_is_told_what_the_group_has) {
    const auto got = parse({"token", "mak"});
    cr_assert(!got && got.error().exit == exit_code::usage);
    cr_expect(got.error().what == "no such command: mak; sioctl token has make, inspect and verify (sioctl --help)",
              "%s", got.error().what.c_str());
}

Test(sioctl_parser, words_of_a_claim_pass_through) {
    const auto got = parse({"token", "make", "--claim", "a=[1,2]", "--claim", "b==", "--expires", "-1h"});
    cr_assert(got.has_value());
    const std::vector<std::string> want{"a=[1,2]", "b=="};
    cr_expect(got->all("--claim") == want && got->one("--expires") == "-1h");
}

Test(sioctl_parser, the_socket_of_sio_bridge_is_named_before_or_behind_the_command_then_by_variable) {
    unsetenv("SIO_BRIDGE");
    cr_expect(parse({"trace", "t/0/1"})->bridge_path().ends_with("/bridge.sock"));
    setenv("SIO_BRIDGE", "/variable", 1);
    cr_expect(parse({"dlq", "list"})->bridge_path() == "/variable");
    cr_expect(parse({"dlq", "list", "--bridge", "/option"})->bridge_path() == "/option");
    cr_expect(parse({"--bridge", "/option", "produce", "t", "v"})->bridge_path() == "/option");
    unsetenv("SIO_BRIDGE");
}

Test(sioctl_parser, a_record_is_given_as_it_is) {
    const auto got = parse({"produce", "t", "[1,2]", "--header", "a=b=c", "--header", "d=", "--key", "-1"});
    cr_assert(got.has_value(), "%s", got.error().what.c_str());
    const std::vector<std::string> headers{"a=b=c", "d="};
    cr_expect(got->one("VALUE") == "[1,2]" && got->all("--header") == headers && got->one("--key") == "-1");
    const auto empty = parse({"produce", "t", ""});
    cr_expect(empty.has_value() && empty->has("VALUE"), "an empty value is one");
    const auto negative = parse({"produce", "t", "-1"});
    cr_expect(negative.has_value() && negative->one("VALUE") == "-1");
}

Test(sioctl_parser, the_socket_of_sio_authd_is_named_by_option_then_variable_then_stands_beside_the_gateways) {
    unsetenv("SIO_AUTHD");
    setenv("SIO_CONTROL", "/elsewhere/gateway.sock", 1);
    const std::string beside = parse({"revocations"})->authd_path();
    cr_expect(beside.ends_with("/authd.sock") && !beside.starts_with("/elsewhere"), "%s", beside.c_str());
    setenv("SIO_AUTHD", "/a/b.sock", 1);
    cr_expect(parse({"revocations"})->authd_path() == "/a/b.sock");
    cr_expect(parse({"revocations", "--authd", "c.sock"})->authd_path() == "c.sock");
}

Test(sioctl_values, moments) {
    cr_assert(moment("0") == 0 && moment("1767312000") == 1767312000 && moment("1.9") == 1 && moment("1e3") == 1000);
    for (const std::string_view bad : {"", "null", "\"5\"", "-1", "1e300", "253402300800"})
        cr_expect(!moment(bad), "'%.*s'", static_cast<int>(bad.size()), bad.data());
    const std::string past = shown_moment("1767312000");
    cr_expect(past.starts_with("2026-01-02T00:00:00Z ("), "%s", past.c_str());
    cr_expect(shown_moment("253402300799").starts_with("9999-12-31T23:59:59Z (in "));
    cr_expect(shown_moment("-5") == "-5" && shown_moment("null") == "-");
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
