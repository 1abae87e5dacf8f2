// daemon/options.h: which source wins, what is refused and how it is said, and that what is printed can be read back.
#include "daemon/options.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "daemon/common.h"

namespace {

using namespace sio;
using namespace sio::daemon;
using namespace std::chrono_literals;

enum class Colour { red, green };

struct Settings {
    std::string name = "anonymous";
    std::vector<std::string> hosts{"::"};
    std::vector<std::string> origins;
    std::uint16_t port = 80;
    std::chrono::milliseconds pause{1500};
    std::size_t memory = 2048;
    std::optional<std::size_t> threshold = 1000;
    bool verbose = false;
    bool upgrades = true;
    Colour colour = Colour::red;
};

std::vector<Option> table(Settings& s) {
    return {
        text({.group = "One", .name = "name", .help = "A name.", .env = {"NAME", "OLD_NAME"}}, s.name),
        list({.group = "One", .name = "host", .help = "A host.", .env = {"HOSTS"}}, s.hosts),
        list({.group = "One", .name = "origin", .help = "An origin.", .env = {"ORIGINS"}, .keep_commas = true},
             s.origins),
        number({.group = "Two", .name = "port", .help = "A port.", .env = {"PORT"}}, s.port, 1, 65535),
        duration({.group = "Two", .name = "pause", .help = "A pause.", .cost = "Longer is later."}, s.pause, 1ms, 1h),
        bytes({.group = "Two", .name = "memory", .help = "Memory."}, s.memory, 0, std::size_t{1} << 30U),
        bytes_or_off({.group = "Two", .name = "threshold", .help = "A threshold."}, s.threshold, 0, 100000),
        on_off({.group = "Two", .name = "verbose", .help = "Say more."}, s.verbose),
        on_off({.group = "Two", .name = "upgrades", .help = "Offer upgrades."}, s.upgrades),
        choice({.group = "Two", .name = "colour", .help = "A colour."}, s.colour,
               {{"red", Colour::red}, {"green", Colour::green}}),
    };
}

using Variables = std::map<std::string, std::string>;

Result<Loaded> read(std::vector<Option>& options, const std::vector<const char*>& arguments,
                    const Variables& variables = {}) {
    return load(options, arguments, [&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
}

/// The sentence of the error, or "" when all went well. `code` must be the error's.
std::string complaint(Errc code, const std::vector<const char*>& arguments, const Variables& variables = {}) {
    Settings settings;
    auto options = table(settings);
    const auto loaded = read(options, arguments, variables);
    if (loaded) return "";
    cr_expect(loaded.error().code == code, "%s", loaded.error().what.c_str());
    return loaded.error().what;
}

class ConfigFile {
public:
    explicit ConfigFile(const std::string& content) {
        char name[] = "/tmp/sio-conf-XXXXXX";
        const int fd = mkstemp(name);
        cr_assert(fd >= 0);
        close(fd);
        path_ = name;
        std::ofstream(path_) << content;
    }
    ~ConfigFile() { unlink(path_.c_str()); }
    ConfigFile(const ConfigFile&) = delete;
    ConfigFile& operator=(const ConfigFile&) = delete;
    [[nodiscard]] const char* path() const { return path_.c_str(); }

private:
    std::string path_;
};

}  // namespace

Test(options, a_flag_wins_over_environment_over_file_over_default) {
    const ConfigFile file("name = file\nport = 1000\npause = 2s\n");
    Settings s;
    auto options = table(s);
    const auto loaded = read(options, {"--config", file.path(), "--name", "flag"}, {{"NAME", "env"}, {"PORT", "2000"}});
    cr_assert(loaded.has_value(), "%s", loaded.error().what.c_str());
    cr_expect(s.name == "flag");
    cr_expect(s.port == 2000);
    cr_expect(s.pause == 2s);
    cr_expect(s.memory == 2048);
    cr_expect(options[0].source == "flag");
    cr_expect(options[3].source == "PORT");
    cr_expect(options[4].source == std::string(file.path()) + ":3");
    cr_expect(options[5].source == "default");
}

Test(options, flags_are_written_in_several_ways) {
    Settings s;
    auto options = table(s);
    const auto loaded = read(options, {"--name=a=b", "--port", "8080", "--port=9090", "--verbose", "--no-upgrades",
                                       "--threshold", "off", "--colour", "green", "--memory", "4 KB"});
    cr_assert(loaded.has_value(), "%s", loaded.error().what.c_str());
    cr_expect(s.name == "a=b");
    cr_expect(s.port == 9090, "the last one counts");
    cr_expect(s.verbose && !s.upgrades && !s.threshold && s.colour == Colour::green && s.memory == 4096);

    Settings t;
    auto others = table(t);
    cr_assert(read(others, {"--verbose=off", "--upgrades=no"}).has_value());
    cr_expect(!t.verbose && !t.upgrades);
}

Test(options, a_list_replaces_that_of_a_lower_source) {
    const ConfigFile file("host = a\nhost = b, c\norigin = /x,y/\norigin = z\n");
    Settings s;
    auto options = table(s);
    cr_assert(read(options, {"--config", file.path()}).has_value());
    cr_expect(s.hosts == std::vector<std::string>({"a", "b", "c"}));
    cr_expect(s.origins == std::vector<std::string>({"/x,y/", "z"}));

    Settings t;
    auto others = table(t);
    cr_assert(
        read(others, {"--config", file.path(), "--origin", "p,q"}, {{"HOSTS", "d,e"}, {"ORIGINS", "n,m"}}).has_value());
    cr_expect(t.hosts == std::vector<std::string>({"d", "e"}));
    cr_expect(t.origins == std::vector<std::string>({"p,q"}));

    Settings u;
    auto more = table(u);
    cr_assert(read(more, {}, {{"ORIGINS", " n, m ,"}}).has_value());
    cr_expect(u.origins == std::vector<std::string>({"n", "m"}));
}

Test(options, an_empty_variable_counts_as_unset_and_the_first_name_wins) {
    Settings s;
    auto options = table(s);
    cr_assert(read(options, {}, {{"PORT", ""}, {"NAME", ""}, {"OLD_NAME", "old"}}).has_value());
    cr_expect(s.port == 80 && s.name == "old");
    cr_assert(read(options, {}, {{"NAME", "new"}, {"OLD_NAME", "old"}}).has_value());
    cr_expect(s.name == "new");
}

Test(options, a_wrong_command_line_is_a_usage_error_that_says_what_was_meant) {
    struct Case {
        std::vector<const char*> arguments;
        const char* want;
    };
    const Case cases[] = {
        {{"--prot", "1"}, "unknown option '--prot'; did you mean '--port'?"},
        {{"--no-upgrade"}, "unknown option '--no-upgrade'; did you mean '--no-upgrades'?"},
        {{"--no-port"}, "unknown option '--no-port'"},
        {{"--online"}, "--online goes with --check-config: it tries what a check has judged"},
        {{"--online=soon", "--check-config"}, "--online: 'soon' is not a duration, such as 300ms, 25s, 2m or 1h"},
        {{"--check-confg"}, "unknown option '--check-confg'; did you mean '--check-config'?"},
        {{"--port"}, "option '--port' needs a value"},
        {{"--config"}, "option '--config' needs a value"},
        {{"stray"}, "unexpected argument 'stray'"},
        {{"-p"}, "unexpected argument '-p'"},
        {{"--"}, "unexpected argument '--'"},
        {{"--port", "0"}, "--port: '0' is not within 1 and 65535"},
        {{"--port", "65536"}, "--port: '65536' is not within 1 and 65535"},
        {{"--port", "8o"}, "--port: '8o' is not a whole number"},
        {{"--port="}, "--port: '' is not a whole number"},
        {{"--pause", "5"}, "--pause: '5' is not a duration, such as 300ms, 25s, 2m or 1h"},
        {{"--pause", "2h"}, "--pause: '2h' is not within 1ms and 1h"},
        {{"--memory", "2GB"}, "--memory: '2GB' is not within 0 and 1GB"},
        {{"--memory", "much"}, "--memory: 'much' is not a size, such as 1000000, 64KB or 4MB"},
        {{"--verbose=maybe"}, "--verbose: 'maybe' is neither on nor off"},
        {{"--colour", "blue"}, "--colour: 'blue' is not one of red|green"},
    };
    for (const auto& [arguments, want] : cases) {
        const std::string got = complaint(Errc::usage, arguments);
        cr_expect(got.starts_with(want), "%s, not %s", got.c_str(), want);
    }
}

Test(options, a_wrong_file_is_refused_with_its_line) {
    struct Case {
        const char* content;
        const char* want;
    };
    const Case cases[] = {
        {"# fine\n\n  prot = 1\n", ":3: unknown key 'prot'; did you mean 'port'?"},
        {"port = 1\nport = 2\n", ":2: 'port' is set already, at "},
        {"port 1\n", ":1: 'port 1' is not a 'key = value' line"},
        {"pause = fast\n", ":1: pause: 'fast' is not a duration"},
        {"xyzzyplugh = 1", ":1: unknown key 'xyzzyplugh'"},
        {"config = other\n", ":1: unknown key 'config'"},
    };
    for (const auto& [content, want] : cases) {
        const ConfigFile file(content);
        const std::string got = complaint(Errc::config, {"--config", file.path()});
        cr_expect(got.starts_with(std::string(file.path()) + want), "%s, not %s", got.c_str(), want);
    }
    cr_expect(complaint(Errc::config, {"--config", "/nonexistent"}).starts_with("cannot read /nonexistent: No such"));
    cr_expect(complaint(Errc::config, {"--config", "/tmp"}).starts_with("cannot read /tmp: Is a dir"));
    const ConfigFile wrong("port = 0\n");
    cr_expect(complaint(Errc::config, {"--config", wrong.path(), "--port", "1"}) != "", "also when it is overridden");
}

Test(options, a_wrong_variable_is_refused_with_its_name) {
    const std::string got = complaint(Errc::config, {}, {{"PORT", "http"}});
    cr_expect(got == "PORT: port: 'http' is not a whole number", "%s", got.c_str());
}

Test(options, a_file_may_hold_comments_blanks_and_carriage_returns) {
    const ConfigFile file("# comment\r\n\r\n\t name =  two words # kept \r\nverbose=on\r\n");
    Settings s;
    auto options = table(s);
    const auto loaded = read(options, {"--config", file.path()});
    cr_assert(loaded.has_value(), "%s", loaded.error().what.c_str());
    cr_expect(s.name == "two words # kept" && s.verbose);
}

Test(options, what_stands_around_a_variable_is_taken_off_and_told_once) {
    Settings s;
    auto options = table(s);
    const Variables variables{{"NAME", "\"two words\"\r"},
                              {"PORT", "\xEF\xBB\xBF 8080 "},
                              {"ORIGINS", "'https://a.example', \"https://b.example\""},
                              {"HOSTS", "\"::1,127.0.0.1\""}};
    Findings findings;
    daemon::read(
        options, {},
        [&](const std::string& name) -> std::optional<std::string> {
            const auto found = variables.find(name);
            return found == variables.end() ? std::nullopt : std::optional(found->second);
        },
        findings);
    cr_expect(!findings.has_mistakes());
    cr_expect(s.name == "two words" && s.port == 8080, "'%s'", s.name.c_str());
    cr_expect((s.origins == std::vector<std::string>{"https://a.example", "https://b.example"}));
    cr_expect((s.hosts == std::vector<std::string>{"::1", "127.0.0.1"}));
    cr_assert(findings.warnings().size() == 3, "%zu", findings.warnings().size());
    cr_expect(findings.warnings()[0].starts_with(
        "NAME: what stands around the value (quotes and a carriage return) is not taken for a part of it"));
}

Test(options, a_secret_keeps_what_stands_around_it_and_the_warning_does_not_tell_it) {
    std::string password;
    std::vector<Option> options{secret({.name = "password", .help = "A secret.", .env = {"PASSWORD"}}, password)};
    Findings findings;
    daemon::read(
        options, {}, [](const std::string&) { return std::optional<std::string>("\"hush \""); }, findings);
    cr_expect(password == "\"hush \"");
    cr_assert(findings.warnings().size() == 1);
    cr_expect(findings.warnings()[0].starts_with("PASSWORD: there is something around the secret (quotes and blanks)"));
    cr_expect(findings.warnings()[0].find("hush") == std::string::npos);
}

Test(options, the_variable_of_a_linked_service_is_no_port) {
    std::uint16_t port = 5;
    std::vector<Option> options{number({.name = "port", .help = "A port.", .env = {"CACHE_PORT"}}, port, 1, 65535)};
    for (const char* value : {"tcp://10.96.12.7:6379", "udp://[fd00::1]:53", "\"tcp://172.17.0.5:7000\"\r"}) {
        Findings findings;
        daemon::read(
            options, {}, [&](const std::string&) { return std::optional<std::string>(value); }, findings);
        cr_expect(!findings.has_mistakes() && port == 5, "%s", value);
        cr_assert(findings.warnings().size() == 1);
        cr_expect(findings.warnings()[0].starts_with("CACHE_PORT: '"), "%s", findings.warnings()[0].c_str());
    }
}

Test(options, all_mistakes_are_told_at_once) {
    const ConfigFile file("port = http\nnonsense = 1\npause = 3 weeks\n");
    const std::string got =
        complaint(Errc::usage, {"--config", file.path(), "--colour", "blue", "--memori", "2KB"}, {{"PORT", "x"}});
    for (const std::string want : {"unknown option '--memori'; did you mean '--memory'?", ":1: port: 'http' is not",
                                   ":2: unknown key 'nonsense'", ":3: pause: '3 weeks' is not", "PORT: port: 'x' is",
                                   "--colour: 'blue' is not one of"}) {
        cr_expect(got.find(want) != std::string::npos, "%s is not in\n%s", want.c_str(), got.c_str());
    }
}

Test(options, levels_of_other_loggers_are_understood_in_any_case) {
    LogConfig log;
    std::vector<Option> options;
    add_log_options(options, "Operation", log, "sio:*");
    const auto level = [&](const std::string& word) {
        log.level = log::Level::info;
        const auto loaded = read(options, {}, {{"LOG_LEVEL", word}});
        return loaded ? std::optional(log.level) : std::nullopt;
    };
    cr_expect(level("WARN") == log::Level::warn && level("Warning") == log::Level::warn);
    cr_expect(level("verbose") == log::Level::debug && level("SILLY") == log::Level::trace);
    cr_expect(level("fatal") == log::Level::error && level("30") == log::Level::info);
    cr_expect(!level("loud") && !level("5"));
    cr_expect((options[0].show() == std::vector<std::string>{"info"}));
}

Test(options, questions_are_recognised_and_answered_whatever_else_is_wrong) {
    Settings s;
    auto options = table(s);
    const auto action = [&](const std::vector<const char*>& arguments) { return read(options, arguments)->action; };
    cr_expect(action({}) == Action::run);
    cr_expect(action({"--help", "--nonsense"}) == Action::help);
    cr_expect(action({"-h"}) == Action::help);
    cr_expect(action({"--version"}) == Action::version);
    cr_expect(action({"-V"}) == Action::version);
    cr_expect(action({"--check-config"}) == Action::check_config);
    cr_expect(action({"--sample-config"}) == Action::sample_config);
    cr_expect(!read(options, {"--check-config"})->online &&
              read(options, {"--check-config", "--online"})->online == 5s);
    cr_expect(read(options, {"--online=2m", "--check-config"})->online == 120s);
    cr_expect(action({"--print-config", "--port", "5"}) == Action::print_config);
    cr_expect(s.port == 5);
}

Test(options, durations_and_sizes_are_shown_as_they_are_read) {
    for (const auto* shown : {"0", "1ms", "1500ms", "25s", "120s", "1h", "36h"}) {
        const auto value = parse_duration(shown, 0ms, 1000h);
        cr_assert(value.has_value(), "%s", shown);
        cr_expect(show_duration(*value) == shown, "%s", shown);
    }
    for (const auto* shown : {"0", "1", "1000000", "1KB", "64MB", "3GB"}) {
        const auto value = parse_bytes(shown, 0, std::size_t{1} << 40U);
        cr_assert(value.has_value(), "%s", shown);
        cr_expect(show_bytes(*value) == shown, "%s", shown);
    }
    cr_expect(parse_duration("2m", 0ms, 1h) == 120s);
    cr_expect(parse_bytes("1kb", 0, 4096) == 1024U);
    for (const auto* wrong : {"", "s", "-1s", "1.5s", "99999999999999999999s", "9223372036854775807h", "1 d"}) {
        cr_expect(!parse_duration(wrong, 0ms, std::chrono::milliseconds::max()), "%s", wrong);
    }
    for (const auto* wrong : {"", "KB", "-1", "9223372036854775807GB", "1TB"}) {
        cr_expect(!parse_bytes(wrong, 0, SIZE_MAX), "%s", wrong);
    }
}

Test(options, the_printed_configuration_reads_back_as_the_same) {
    Settings s;
    auto options = table(s);
    cr_assert(read(options, {"--name", "x # y", "--host", "a", "--host", "b", "--origin", "/p,q/", "--pause", "3s",
                             "--threshold", "off", "--verbose", "--colour", "green"})
                  .has_value());
    const ConfigFile file(config_text(options));
    Settings t;
    auto others = table(t);
    const auto loaded = read(others, {"--config", file.path()});
    cr_assert(loaded.has_value(), "%s", loaded.error().what.c_str());
    cr_expect(t.name == s.name && t.hosts == s.hosts && t.origins == s.origins && t.pause == s.pause);
    cr_expect(t.threshold == s.threshold && t.verbose && t.colour == Colour::green);
    cr_expect(config_text(options).find("# from flag\nverbose = on\n") != std::string::npos);
}

Test(options, the_sample_with_its_comment_signs_removed_reads_as_the_defaults) {
    Settings s;
    auto options = table(s);
    std::string sample = sample_text("program", options);
    for (std::size_t at = 0; (at = sample.find("\n#", at)) != std::string::npos; ++at) {
        if (sample[at + 2] >= 'a' && sample[at + 2] <= 'z') sample.erase(at + 1, 1);
    }
    // A list without elements has an empty line, which gives none.
    const ConfigFile file(sample);
    Settings t;
    auto others = table(t);
    const auto loaded = read(others, {"--config", file.path()});
    cr_assert(loaded.has_value(), "%s\n%s", loaded.error().what.c_str(), sample.c_str());
    cr_expect(others[3].source != "default" && t.port == s.port && t.pause == s.pause && t.hosts == s.hosts);
}

Test(options, help_names_every_option_its_default_and_its_variable) {
    Settings s;
    const auto options = table(s);
    const std::string help = help_text("program", "Does things.", options);
    for (const auto* part : {"usage: program", "--name TEXT", "--[no-]verbose", "--colour red|green",
                             "Default: 1500ms.", "Environment: NAME, OLD_NAME.", "--config FILE"}) {
        cr_expect(help.find(part) != std::string::npos, "%s is not in\n%s", part, help.c_str());
    }
}

namespace {

using Properties = std::vector<std::pair<std::string, std::string>>;

struct Broker {
    std::string name = "one";
    Properties all, some;
};

std::vector<Option> broker_table(Broker& b) {
    const auto is_secret = [](std::string_view name) { return name == "sasl.password"; };
    return {
        text({.group = "One", .name = "name", .help = "A name."}, b.name),
        prefix({.group = "One", .name = "kafka.", .help = "A property."}, b.all, is_secret),
        prefix({.group = "One", .name = "kafka.consumer.", .help = "A property of consumers."}, b.some, is_secret),
    };
}

}  // namespace

Test(options, a_prefix_takes_any_name_behind_it_and_the_longest_prefix_counts) {
    Broker b;
    auto options = broker_table(b);
    const auto loaded = read(options, {"--kafka.socket.timeout.ms=5000", "--kafka.client.rack", "a=b",
                                       "--kafka.consumer.fetch.wait.max.ms", "10", "--kafka.client.rack=c"});
    cr_assert(loaded.has_value(), "%s", loaded.error().what.c_str());
    cr_expect(b.all == Properties({{"socket.timeout.ms", "5000"}, {"client.rack", "c"}}));
    cr_expect(b.some == Properties({{"fetch.wait.max.ms", "10"}}));

    Broker none;
    auto others = broker_table(none);
    for (const char* wrong : {"--kafka.", "--kafka", "--no-kafka.x", "--kafkas.x"}) {
        const auto refused = read(others, {wrong, "1"});
        cr_expect(!refused && refused.error().code == Errc::usage, "%s", wrong);
    }
    const auto without = read(others, {"--kafka.x"});
    cr_expect(!without && without.error().what.find("needs a value") != std::string::npos);
}

Test(options, sources_of_a_prefix_are_merged_name_by_name) {
    const ConfigFile file("kafka.a = file\nkafka.b = file\nkafka.consumer.a = x = y\n");
    Broker b;
    auto options = broker_table(b);
    cr_assert(read(options, {"--config", file.path(), "--kafka.b=flag", "--kafka.c=flag"}).has_value());
    cr_expect(b.all == Properties({{"a", "file"}, {"b", "flag"}, {"c", "flag"}}));
    cr_expect(b.some == Properties({{"a", "x = y"}}));
    cr_expect(options[1].source.ends_with(":2, flag"), "%s", options[1].source.c_str());

    Broker twice;
    auto others = broker_table(twice);
    const ConfigFile wrong("kafka.a = 1\nkafka.b = 2\nkafka.a = 3\n");
    const auto refused = read(others, {"--config", wrong.path()});
    cr_expect(!refused &&
              refused.error().what.ends_with(":3: 'kafka.a' is set already, at " + std::string(wrong.path()) + ":1"));
}

Test(options, a_prefix_is_printed_with_its_names_and_read_back_and_its_secrets_are_not) {
    Broker b;
    auto options = broker_table(b);
    const std::string sample = sample_text("x", options);
    cr_expect(sample.find("\n#kafka.NAME =\n") != std::string::npos);
    cr_expect(help_text("x", "About.", options).find("  --kafka.consumer.NAME VALUE\n") != std::string::npos);
    cr_assert(read(options, {"--kafka.a=1", "--kafka.sasl.password=hush", "--kafka.consumer.b=2=3"}).has_value());
    const std::string printed = config_text(options);
    cr_expect(printed.find("hush") == std::string::npos);
    cr_expect(printed.find("# from flag\nkafka.a = 1\nkafka.sasl.password = (set)\n") != std::string::npos);
    Broker back;
    auto others = broker_table(back);
    const ConfigFile file(printed);
    cr_assert(read(others, {"--config", file.path()}).has_value());
    cr_expect(back.some == b.some && back.all.front() == b.all.front());
}

Test(options, what_was_set_to_nothing_is_printed_as_such) {
    Broker b;
    auto options = broker_table(b);
    cr_assert(read(options, {"--name="}).has_value());
    cr_expect(config_text(options).starts_with("# from flag\nname =\n"));
}
