// gateway/config.h: what options mean together, and that the sample file and the manual page say what the struct says.
#include "gateway/config.h"

#include <criterion/criterion.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "gateway/engine.h"
#include "wire/admin.h"

namespace {

using namespace sio;
using namespace sio::gateway;
using namespace std::chrono_literals;

using Variables = std::map<std::string, std::string>;

daemon::Environment environment_of(const Variables& variables) {
    return [variables](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
}

Result<Config> config_of(const std::vector<const char*>& arguments, const Variables& variables = {}) {
    Config config;
    auto options = options_of(config);
    const auto loaded = load_config(config, options, arguments, environment_of(variables));
    if (!loaded) return tl::unexpected(loaded.error());
    return config;
}

std::string refusal(const std::vector<const char*>& arguments, const Variables& variables = {}) {
    const auto config = config_of(arguments, variables);
    return config ? "" : std::string(to_string(config.error().code)) + " " + config.error().what;
}

/// A file of the source tree, by its path from the root.
std::string source_text(const char* path) {
    const auto root = std::filesystem::path(__FILE__).parent_path() / "../../..";
    std::ifstream in(root / path);
    cr_assert(in.good(), "cannot read %s", path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

}  // namespace

Test(config, without_any_word_it_is_what_the_struct_says) {
    const auto config = config_of({});
    cr_assert(config.has_value(), "%s", config.error().what.c_str());
    cr_expect(config->hosts == std::vector<std::string>({"0.0.0.0", "::"}));
    cr_expect(config->port == 3001 && config->path == "/socket.io/");
    cr_expect(config->ping_interval == 25s && config->ping_timeout == 20s && config->max_payload == 1'000'000);
    cr_expect(config->rate_limit == RateLimit({.events = 100, .per = 60s}));
    cr_expect(config->websocket_origin_check == false);
    cr_expect(!config->control.empty());
    cr_expect(!config->production);
}

Test(config, a_user_may_send_ten_times_as_much_as_a_connection_unless_it_is_said) {
    cr_expect(config_of({})->user_rate_limit == RateLimit({.events = 1'000, .per = 60s}));
    cr_expect(config_of({"--rate-limit", "7/2s"})->user_rate_limit == RateLimit({.events = 70, .per = 2s}));
    cr_expect(config_of({"--rate-limit", "off"})->user_rate_limit == std::nullopt);
    cr_expect(config_of({"--user-rate-limit", "off"})->user_rate_limit == std::nullopt);
    cr_expect(config_of({"--rate-limit", "off", "--user-rate-limit", "5/1s"})->user_rate_limit ==
              RateLimit({.events = 5, .per = 1s}));
}

Test(config, the_sample_file_is_the_table_at_its_defaults) {
    Config config;
    const std::string want = daemon::sample_text("sio-gateway", options_of(config));
    cr_expect(source_text("deploy/conf/gateway.conf") == want,
              "write it anew: bin/sio-gateway --sample-config > deploy/conf/gateway.conf");
}

Test(config, the_manual_page_names_every_option_with_its_default_and_variable) {
    Config config;
    const std::string page = source_text("man/sio-gateway.8");
    std::size_t items = 0;
    for (const auto& option : options_of(config)) {
        const std::string item = "\n.It Fl Fl " + option.name;
        std::size_t at = page.find(item + " ");
        if (at == std::string::npos) at = page.find(item + "\n");
        cr_assert(at != std::string::npos, "--%s is not in the manual page", option.name.c_str());
        std::string text = page.substr(at, page.find("\n.It", at + 1) - at);
        std::replace(text.begin(), text.end(), '\n', ' ');
        for (const auto& value : option.show()) {
            cr_expect(value.empty() || text.find(value) != std::string::npos, "--%s: no default '%s' in '%s'",
                      option.name.c_str(), value.c_str(), text.c_str());
        }
        if (option.is_switch) cr_expect(text.find("Fl Fl no-" + option.name) != std::string::npos);
        for (const auto& variable : option.env) {
            cr_expect(page.find("\n.It Ev " + variable + "\n") != std::string::npos, "%s", variable.c_str());
        }
        ++items;
    }
    // And nothing else: three actions, --online and --config stand above the options, --help and --version begin with a
    // letter.
    std::size_t listed = 0;
    for (std::size_t at = 0; (at = page.find("\n.It Fl Fl ", at)) != std::string::npos; ++at) ++listed;
    cr_expect(listed == items + 5, "%zu items for %zu options", listed, items);
}

Test(config, the_variables_of_a_compose_file_work_as_written) {
    const auto config = config_of({}, {{"SOCKET_IO_PORT", "4001"},
                                       {"SOCKET_IO_HOST", "127.0.0.1"},
                                       {"SOCKET_IO_CORS_ORIGIN", "https://a.example,https://b.example"},
                                       {"LOG_LEVEL", "debug"},
                                       {"DEBUG", "socket.io:*"},
                                       {"SIO_CONTROL", "/tmp/x.sock"},
                                       {"NODE_ENV", "production"}});
    cr_assert(config.has_value(), "%s", config.error().what.c_str());
    cr_expect(config->port == 4001 && config->hosts == std::vector<std::string>({"127.0.0.1"}));
    cr_expect(config->cors.origins == std::vector<std::string>({"https://a.example", "https://b.example"}));
    cr_expect(config->log.level == log::Level::debug && config->log.debug == "socket.io:*");
    cr_expect(config->control == "/tmp/x.sock" && config->production);
}

Test(config, development_tokens_are_refused_in_production) {
    cr_expect(refusal({"--auth", "dev"}, {{"NODE_ENV", "production"}}).starts_with("config auth"));
    cr_expect(refusal({"--auth", "dev"}, {{"NODE_ENV", "development"}}) == "");
    cr_expect(refusal({"--auth", "none"}, {{"NODE_ENV", "production"}}) == "");
}

Test(config, websockets_are_checked_when_origins_are_listed_unless_told_otherwise) {
    cr_expect(config_of({"--cors-origin", "https://a.example"})->websocket_origin_check == true);
    cr_expect(config_of({"--cors-origin", "*", "--websocket-origin-check", "off"})->websocket_origin_check == false);
    cr_expect(config_of({"--websocket-origin-check", "on"})->websocket_origin_check == true);
}

Test(config, the_path_begins_and_ends_with_a_slash) {
    cr_expect(config_of({"--path", "/realtime"})->path == "/realtime/");
    cr_expect(config_of({"--path", "/"})->path == "/");
    for (const auto* wrong : {"", "socket.io", "/a b", "/a?b", "/a#b", "/a\r\nX: y"}) {
        cr_expect(refusal({"--path", wrong}).starts_with("usage --path: "), "%s", wrong);
    }
}

Test(config, transports_rates_and_thresholds_are_read) {
    cr_expect(!config_of({"--transports", "websocket"})->polling);
    cr_expect(!config_of({"--transports", "polling"})->websocket);
    cr_expect(config_of({"--transports", "websocket, polling"})->polling);
    cr_expect(refusal({"--transports", ""}) == "usage --transports: no transport is left");
    cr_expect(refusal({"--transports", "carrier-pigeon"}).starts_with("usage --transports: 'carrier-pigeon'"));

    cr_expect(!config_of({"--rate-limit", "off"})->rate_limit);
    cr_expect(config_of({"--rate-limit", "5/100ms"})->rate_limit == RateLimit({.events = 5, .per = 100ms}));
    for (const auto* wrong : {"100", "100/", "/60s", "0/60s", "100/0", "100/60"}) {
        cr_expect(refusal({"--rate-limit", wrong}).starts_with("usage --rate-limit: "), "%s", wrong);
    }
    cr_expect(!config_of({"--http-compression-threshold", "off"})->http_compression_threshold);
    cr_expect(config_of({"--http-compression-threshold", "0"})->http_compression_threshold == 0U);
}

Test(config, what_goes_into_a_header_cannot_leave_it) {
    const auto* const cookie = "io; Path=/; HttpOnly; SameSite=Lax";
    cr_expect(config_of({"--cookie", cookie})->cookie == cookie);
    cr_expect(config_of({"--cookie", ""})->cookie.empty());
    for (const auto* wrong : {"io\r\nSet-Cookie: a=b", "=x", "a b", "; Path=/", "io=1"}) {
        cr_expect(refusal({"--cookie", wrong}).starts_with("usage --cookie: "), "%s", wrong);
    }
    cr_expect(refusal({"--cors-methods", "GET\nX: y"}).starts_with("usage --cors-methods: "));
    cr_expect(refusal({"--cors-max-age", "soon"}).starts_with("usage --cors-max-age: "));
    cr_expect(config_of({"--cors-max-age", "600"})->cors.max_age == "600");
    cr_expect(refusal({"--cors-origin", "/(/"}).starts_with("config "));
}

Test(config, files_that_were_named_must_be_there) {
    cr_expect(refusal({"--client-dir", "/nonexistent"}).starts_with("config client-dir: "));
    cr_expect(refusal({"--client-dir", "/nonexistent", "--no-serve-client"}) == "");
    cr_expect(refusal({"--proxy-protocol"}).find("trust-proxy") != std::string::npos);
    const std::string deep(200, 'x');
    cr_expect(refusal({"--control", deep.c_str()}).starts_with("config control: "));
}

Test(config, the_control_socket_is_where_sioctl_looks) {
    cr_expect(config_of({})->control == wire::default_control_path());
    cr_expect(config_of({"--control", "/tmp/c"}, {{"SIO_CONTROL", "/tmp/e"}})->control == "/tmp/c");
}

Test(config, the_engine_gets_what_was_said) {
    const auto config = config_of({"--path",
                                   "/rt",
                                   "--ping-interval",
                                   "300ms",
                                   "--ping-timeout",
                                   "200ms",
                                   "--max-payload",
                                   "5000",
                                   "--transports",
                                   "polling",
                                   "--no-upgrades",
                                   "--queue-policy",
                                   "drop-oldest",
                                   "--queue-bytes",
                                   "1MB",
                                   "--idle-timeout",
                                   "5s",
                                   "--cookie",
                                   "sid",
                                   "--max-connections",
                                   "7",
                                   "--trust-proxy",
                                   "--proxy-protocol",
                                   "--websocket-origin-check",
                                   "on"});
    cr_assert(config.has_value(), "%s", config.error().what.c_str());
    const EngineOptions options = engine_options(*config);
    cr_expect(options.path == "/rt/" && options.cookie == "sid" && options.max_payload == 5000);
    cr_expect(options.times.ping_interval == 300 && options.times.ping_timeout == 200);
    cr_expect(options.polling && !options.websocket && !options.upgrades);
    cr_expect(options.proxies.contains(net::Address::from(std::string_view("127.0.0.1"))));
    cr_expect(options.proxy_protocol);
    cr_expect(options.queue_policy == QueuePolicy::drop_oldest && options.queue_bytes == 1U << 20U);
    cr_expect(options.idle_timeout == 5000 && options.max_connections == 7 && options.websocket_origin_check);
}

Test(config, production_is_production_however_it_is_written) {
    for (const char* value :
         {"production", "\"production\"", "'Production' ", "PRODUCTION\r", "\xEF\xBB\xBFproduction"}) {
        const std::vector<const char*> arguments{"--auth", "dev"};
        cr_expect(start(arguments, environment_of({{"NODE_ENV", value}})).exit == 78, "%s", value);
    }
    const std::vector<const char*> arguments{"--auth", "dev"};
    cr_expect(!start(arguments, environment_of({{"NODE_ENV", "\"development\""}})).exit);
}

Test(config, a_check_of_the_caller_can_refuse_the_start) {
    const std::vector<const char*> arguments{"--check-config"};
    daemon::Judge<Config> judge;
    judge.files = [](daemon::Action, const Config&, daemon::Findings& findings) {
        findings.add({Errc::config, "cannot read routes: no such file"});
    };
    cr_expect(start(arguments, environment_of({}), judge).exit == 78);
    cr_expect(start(arguments, environment_of({})).exit == 0);
    cr_expect(!start({}, environment_of({})).exit);
    const std::vector<const char*> wrong{"--nonsense"};
    cr_expect(start(wrong, environment_of({})).exit == 64);
}

Test(config, what_is_named_is_tried_only_when_it_is_asked_for_and_a_fault_ends_with_69) {
    std::vector<std::chrono::milliseconds> limits;
    daemon::Judge<Config> judge;
    judge.online = [&limits](const Config&, std::chrono::milliseconds limit, daemon::Findings& findings) {
        limits.push_back(limit);
        if (limit > 1s) findings.add({Errc::unavailable, "redis: nobody is there"});
    };
    const auto exit_of = [&](const std::vector<const char*>& arguments) {
        return start(arguments, environment_of({}), judge).exit;
    };
    cr_expect(exit_of({"--check-config"}) == 0 && !exit_of({}) && limits.empty());
    cr_expect(exit_of({"--check-config", "--online"}) == 69);
    cr_expect(exit_of({"--online=700ms", "--check-config"}) == 0);
    cr_expect(limits == (std::vector<std::chrono::milliseconds>{5s, 700ms}));
}
