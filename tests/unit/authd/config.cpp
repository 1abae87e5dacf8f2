// authd/config.h: what options mean together, and that sample file and manual page say what the table says.
#include "authd/config.h"

#include <criterion/criterion.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "authd/database_url.h"
#include "authd/rights.h"
#include "base/json.h"

namespace {

using namespace sio;
using namespace sio::authd;
using namespace std::chrono_literals;

using Variables = std::map<std::string, std::string>;

Result<Config> config_of(const std::vector<const char*>& arguments, const Variables& variables = {}) {
    Config config;
    auto options = options_of(config);
    const auto loaded = load_config(config, options, arguments, [&](const std::string& name) {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
    if (!loaded) return tl::unexpected(loaded.error());
    return config;
}

std::string refusal(const std::vector<const char*>& arguments, const Variables& variables = {}) {
    const auto config = config_of(arguments, variables);
    return config ? "" : std::string(to_string(config.error().code)) + " " + config.error().what;
}

std::string source_text(const char* path) {
    const auto root = std::filesystem::path(__FILE__).parent_path() / "../../..";
    std::ifstream in(root / path);
    cr_assert(in.good(), "cannot read %s", path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

}  // namespace

Test(authd_config, without_any_word_it_is_what_the_struct_says) {
    const auto config = config_of({});
    cr_assert(config.has_value(), "%s", config.error().what.c_str());
    cr_expect(config->control.ends_with("/authd.sock") && config->leeway == 15s && config->rights_ttl == 10s);
    cr_expect(!config->anonymous && !config->query_token && config->nextauth_v4 && config->authjs_v5);
    cr_expect(config->revocation_ttl == 720h && config->session_poll == 500ms && config->warnings.empty());
}

Test(authd_config, the_sample_file_is_the_table_at_its_defaults) {
    Config config;
    cr_expect(source_text("deploy/conf/authd.conf") == daemon::sample_text("sio-authd", options_of(config)),
              "write it anew: bin/sio-authd --sample-config > deploy/conf/authd.conf");
}

Test(authd_config, the_manual_page_names_every_option_with_its_default_and_variable) {
    Config config;
    const std::string page = source_text("man/sio-authd.8");
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
    std::size_t listed = 0;
    for (std::size_t at = 0; (at = page.find("\n.It Fl Fl ", at)) != std::string::npos; ++at) ++listed;
    cr_expect(listed == items + 5, "%zu items for %zu options", listed, items);
}

Test(authd_config, the_example_of_rules_can_be_read_and_the_schema_is_json) {
    const auto rights = Rights::parse(source_text("deploy/conf/rights.json"), "rights.json");
    cr_assert(rights.has_value(), "%s", rights.error().what.c_str());
    for (const auto kind : {Right::Kind::sql, Right::Kind::claim, Right::Kind::own, Right::Kind::room_token}) {
        cr_expect(rights->has(kind));
    }
    cr_expect(json::is_valid(source_text("share/rights.schema.json")));
}

Test(authd_config, origins_are_exact_and_only_those_of_the_shared_variable_may_be_others) {
    cr_expect(config_of({"--origin", "https://a.example", "--origin", "http://localhost:3000"})->origins.size() == 2);
    for (const auto* wrong : {"a.example", "https://a.example/", "https://A.example", "*", "null", "true",
                              "https://*.example", "https://", "https://a@b"}) {
        cr_expect(refusal({"--origin", wrong}).starts_with("config origin: "), "%s", wrong);
    }
    const auto shared = config_of({}, {{"SOCKET_IO_CORS_ORIGIN", "https://a.example,*,/x/"}});
    cr_assert(shared.has_value());
    cr_expect(shared->origins == std::vector<std::string>({"https://a.example"}) && shared->warnings.size() == 2);
}

Test(authd_config, keys_come_over_https_or_from_this_host) {
    cr_expect(refusal({"--jwks", "http://id.example/jwks"}).starts_with("config jwks"));
    cr_expect(refusal({"--jwks", "http://localhost.evil.example/jwks"}).starts_with("config jwks"));
    cr_expect(refusal({"--jwks", "http://127.0.0.1:80@evil.example/"}).starts_with("config jwks"));
    cr_expect(refusal({"--jwks", "ftp://id.example/jwks"}).starts_with("config jwks"));
    cr_expect(refusal({"--jwks", "http://127.0.0.1:9/jwks"}) == "" && refusal({"--jwks", "https://x/y"}) == "");
}

Test(authd_config, a_key_set_without_audience_is_warned_about) {
    cr_expect(config_of({"--jwks", "keys.json"})->warnings.size() == 1);
    cr_expect(config_of({"--jwks", "keys.json", "--jwt-audience", "chat"})->warnings.empty());
    cr_expect(config_of({"--jwks", "keys.json", "--jwt-party", "web"})->warnings.empty());
}

Test(authd_config, database_options_that_contradict_one_another_are_refused) {
    cr_expect(refusal({"--database-schema", "prisma"}).starts_with("config sessions in a database"));
    cr_expect(refusal({"--database-schema", "prisma"}, {{"DATABASE_URL", "postgres://h/d"}}) == "");
    cr_expect(refusal({"--database", "x", "--sessions-table", "s"}).starts_with("config names of tables"));
    cr_expect(
        refusal({"--database", "x", "--session-query", "SELECT 1"}).starts_with("config session-query: there is no"));
    cr_expect(refusal({"--database", "x", "--session-query", "SELECT $1", "--database-schema", "prisma"})
                  .starts_with("config session-query stands alone"));
}

Test(authd_config, secrets_are_not_shown) {
    Config config;
    auto options = options_of(config);
    const std::vector<const char*> arguments{"--database", "postgres://u:hush@h/d", "--redis-password", "hush"};
    cr_assert(load_config(config, options, arguments, [](const std::string&) { return std::nullopt; }).has_value());
    cr_expect(daemon::config_text(options).find("hush") == std::string::npos);
}

Test(authd_config, what_other_drivers_write_into_the_url_is_ignored_with_its_name) {
    const auto prisma =
        read_database_url("postgresql://u@h/d?schema=app%20x&connection_limit=5&sslmode=require&pgbouncer=true");
    cr_assert(prisma.has_value(), "%s", prisma.error().what.c_str());
    cr_expect(prisma->url == "postgresql://u@h/d?sslmode=require" && prisma->schema == "app x");
    cr_assert(prisma->warnings.size() == 2);
    cr_expect(prisma->warnings[0].starts_with("parameter connection_limit is another driver's and is ignored"));
    cr_expect(prisma->warnings[1].starts_with("parameter pgbouncer is another driver's and is ignored"));
    for (const std::string url : {"host=/run dbname=d password='x'", "postgres://h/d", "dbname='file:x'",
                                  "postgres://h/d?channel_binding=require&application_name=a"}) {
        const auto same = read_database_url(url);
        cr_assert(same.has_value(), "%s: %s", url.c_str(), same.error().what.c_str());
        cr_expect(same->url == url && same->schema.empty() && same->warnings.empty(), "%s", url.c_str());
    }
}

Test(authd_config, what_means_the_same_in_other_words_is_translated_and_told) {
    struct Case {
        const char* given;
        const char* taken;
    };
    const Case cases[] = {
        {"postgres://h/d?sslmode=no-verify", "postgres://h/d?sslmode=require"},
        {"postgres://h/d?a=&ssl=true", ""},
        {"postgres://h/d?ssl=1&connect_timeout=3", "postgres://h/d?sslmode=require&connect_timeout=3"},
        {"postgres://h/d?ssl=false", "postgres://h/d?sslmode=disable"},
        {"jdbc:postgresql://h/d", "postgresql://h/d"},
        {"postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"},
        {"Postgres://h/d", "postgresql://h/d"},
    };
    for (const auto& [given, taken] : cases) {
        const auto url = read_database_url(given);
        if (*taken == '\0') {
            cr_expect(!url.has_value(), "%s", given);
            continue;
        }
        cr_assert(url.has_value(), "%s: %s", given, url.error().what.c_str());
        cr_expect(url->url == taken && url->warnings.size() == 1, "%s became %s", given, url->url.c_str());
    }
}

Test(authd_config, a_parameter_that_changes_the_meaning_is_refused_with_its_name_and_no_value) {
    struct Case {
        const char* given;
        const char* want;
    };
    const Case cases[] = {
        {"postgres://h/d?sslaccept=strict", "parameter sslaccept is another driver's: write sslmode=verify-full"},
        {"postgres://h/d?sslidentity=hush.p12", "parameter sslidentity is another driver's: write sslcert=FILE"},
        {"postgres://h/d?currentSchema=hush", "parameter currentSchema is another driver's: write schema=NAME"},
        {"postgres://h/d?frobnicate=hush", "parameter frobnicate is not known to libpq: leave it out"},
        {"postgres://h/d?sslmode=hush", "parameter sslmode is none of disable, allow"},
        {"postgres://u:a?hush@h/d", "there is an @ after its ?: both are percent-encoded"},
        {"prisma://hush/?api_key=hush", "it begins with prisma:, an address that only Prisma speaks to"},
        {"mysql://u:hush@h/d", "it begins with mysql:, which is no PostgreSQL"},
        {"file:./hush.db", "it begins with file:, which is no PostgreSQL"},
    };
    for (const auto& [given, want] : cases) {
        const auto url = read_database_url(given);
        cr_assert(!url.has_value(), "%s", given);
        cr_expect(url.error().what.starts_with(want), "%s", url.error().what.c_str());
        cr_expect(url.error().what.find("hush") == std::string::npos, "%s", url.error().what.c_str());
    }
}
