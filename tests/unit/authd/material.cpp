// Secrets and files of the daemon, which credential counts, and what rows of the database say.
#include "authd/material.h"

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "authd/carrier.h"
#include "authd/database.h"

namespace {

using namespace sio;
using namespace sio::authd;
namespace fs = std::filesystem;

using Variables = std::map<std::string, std::string>;

daemon::Environment environment_of(const Variables& variables) {
    return [variables](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
}

struct Folder {
    Folder() {
        std::string name = (fs::temp_directory_path() / "sio-authd-XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~Folder() { fs::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] std::string write(const char* name, const std::string& text) const {
        const std::string file = (path / name).string();
        std::ofstream(file) << text;
        chmod(file.c_str(), 0600);
        return file;
    }
    fs::path path;
};

std::vector<std::string> texts(const Result<std::vector<Secret>>& secrets) {
    cr_assert(secrets.has_value(), "%s", secrets.error().what.c_str());
    std::vector<std::string> all;
    for (const Secret& secret : *secrets) all.push_back(secret.text);
    return all;
}

using Texts = std::vector<std::string>;
const std::string long_secret(40, 's');

using Row = std::vector<std::optional<std::string>>;

struct FakeRows final : pg::Rows {
    std::vector<Row> rows;
    explicit FakeRows(std::vector<Row> all) : rows(std::move(all)) {}
    [[nodiscard]] std::size_t size() const override { return rows.size(); }
    [[nodiscard]] std::size_t columns() const override { return rows.empty() ? 0 : rows.front().size(); }
    [[nodiscard]] std::optional<std::string_view> at(std::size_t row, std::size_t column) const override {
        if (row >= rows.size() || column >= rows[row].size() || !rows[row][column]) return std::nullopt;
        return *rows[row][column];
    }
};

}  // namespace

Test(authd_material, secrets_of_a_file_are_lines_as_they_are) {
    const Folder folder;
    const auto file = folder.write("s", "new \r\n\n# not a comment\nold");
    cr_expect(texts(read_secrets(file)) == Texts({"new ", "# not a comment", "old"}));
    cr_expect((*read_secrets(file))[1].origin == file + ":3");
    cr_expect(!read_secrets(folder.write("empty", "\n \n")) && !read_secrets(file + "-absent"));
    cr_expect(!read_secrets(folder.write("many", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n")));
}

Test(authd_material, the_file_counts_before_the_environment_before_the_credential) {
    const Folder folder;
    Config config;
    Variables variables{{"AUTH_SECRET", "a"},
                        {"AUTH_SECRET_1", "no"},
                        {"NEXTAUTH_SECRET", "b"},
                        {"CREDENTIALS_DIRECTORY", folder.path.string()}};
    static_cast<void>(folder.write("auth_secret", "c\n"));
    cr_expect(texts(application_secrets(config, environment_of(variables))) == Texts({"a", "b"}));
    variables.erase("AUTH_SECRET");
    variables["AUTH_SECRET_2"] = "newer";
    cr_expect(texts(application_secrets(config, environment_of(variables))) == Texts({"newer", "no", "b"}));
    cr_expect(texts(application_secrets(config, environment_of({{"CREDENTIALS_DIRECTORY", folder.path.string()}}))) ==
              Texts({"c"}));
    cr_expect(texts(application_secrets(config, environment_of({}))).empty());
    config.secret_file = folder.write("f", "f");
    cr_expect(texts(application_secrets(config, environment_of(variables))) == Texts({"f"}));
}

Test(authd_material, a_secret_too_short_for_its_use_is_named_by_file_and_line) {
    const Folder folder;
    Config config;
    config.jwt_secret_file = folder.write("jwt", long_secret + "\nshort\n");
    auto material = read_material(config, environment_of({}));
    cr_assert(!material.has_value() && material.error().code == Errc::config);
    cr_expect(material.error().what.starts_with(config.jwt_secret_file + ":2: "), "%s", material.error().what.c_str());

    config.jwt_secret_file.clear();
    config.secret_file = folder.write("auth", "short\n");
    cr_expect(read_material(config, environment_of({}))->warnings.size() == 1);
    config.rights = folder.write("r.json", R"({"version":1,"rights":[{"name":"i","room":"*","room_token":true}]})");
    material = read_material(config, environment_of({}));
    cr_assert(!material.has_value());
    cr_expect(material.error().what.starts_with(config.secret_file + ":1: "), "%s", material.error().what.c_str());
}

Test(authd_material, rules_ask_for_what_they_need_and_nothing_at_all_is_an_error) {
    const Folder folder;
    Config config;
    cr_expect(!read_material(config, environment_of({})), "nobody could be known");
    config.anonymous = true;
    cr_expect(read_material(config, environment_of({})).has_value());
    config.rights = folder.write("r.json", R"({"version":1,"rights":[{"name":"i","room":"*","sql":"SELECT 1"}]})");
    cr_expect(read_material(config, environment_of({})).error().what.find("--database") != std::string::npos);
}

Test(authd_material, a_changed_secret_changes_the_digest_and_a_rule_does_not) {
    const Folder folder;
    Config config;
    config.secret_file = folder.write("s", long_secret);
    const auto before = read_material(config, environment_of({}));
    config.rights = folder.write("r.json", R"({"version":1,"rights":[]})");
    const auto same = read_material(config, environment_of({}));
    cr_expect(same->identity_digest == before->identity_digest && same->rights_digest != before->rights_digest);
    static_cast<void>(folder.write("s", long_secret + "x"));
    cr_expect(read_material(config, environment_of({}))->identity_digest != before->identity_digest);
}

Test(authd_material, tokens_of_authjs_are_bound_to_any_cookie_name) {
    const Folder folder;
    Config config;
    config.secret_file = folder.write("s", long_secret);
    config.cookie_names = {"my-session", "next-auth.session-token", "authjs.session-token"};
    cr_expect(read_material(config, environment_of({}))->policy.salts == config.cookie_names);
}

Test(authd_carrier, the_first_that_is_present_decides) {
    Config config;
    config.origins = {"https://a.example"};
    Authenticate request;
    cr_expect(choose_carrier(request, config).kind == Carrier::Kind::none);
    request.query_token = "q";
    cr_expect(choose_carrier(request, config).kind == Carrier::Kind::none, "off by default");
    config.query_token = true;
    cr_expect(choose_carrier(request, config).token == "q");
    request.cookie = "other=1";
    cr_expect(choose_carrier(request, config).token == "q", "no session cookie is no credential");
    request.cookie = "other=1; authjs.session-token=c";
    cr_expect(choose_carrier(request, config).code == code::origin, "a bad cookie is not rescued by what comes later");
    request.origin = "https://a.example";
    cr_expect(choose_carrier(request, config).token == "c");
    request.authorization = "Bearer b";
    cr_expect(choose_carrier(request, config).token == "b");
    request.authorization = "Basic b";
    cr_expect(choose_carrier(request, config).code == code::unauthorized);
    request.token = "t";
    cr_expect(choose_carrier(request, config).token == "t");
    request.token = "";
    cr_expect(choose_carrier(request, config).code == code::unauthorized);
}

Test(authd_carrier, each_session_cookie_is_to_be_tried) {
    Config config;
    config.origins = {"https://a.example"};
    Authenticate request;
    request.origin = "https://a.example";
    request.cookie = "next-auth.session-token=old; authjs.session-token=one; authjs.session-token=two";
    const Carrier carrier = choose_carrier(request, config);
    cr_expect(carrier.token == "one" && carrier.others == Texts({"two", "old"}));
}

Test(authd_carrier, a_cookie_counts_with_a_listed_origin_only_compared_as_a_whole) {
    Config config;
    config.origins = {"https://a.example"};
    Authenticate request;
    request.cookie = "authjs.session-token=c";
    for (const auto* origin :
         {"https://a.example.evil", "https://a.example:443", "http://a.example", "null", "", "https://A.example"}) {
        request.origin = origin;
        cr_expect(choose_carrier(request, config).code == code::origin, "%s", origin);
    }
    config.origins.clear();
    request.origin = "https://a.example";
    cr_expect(choose_carrier(request, config).code == code::origin, "none is listed");
    request.token = "t";
    cr_expect(choose_carrier(request, config).kind == Carrier::Kind::token, "a token needs no origin");
}

Test(authd_database, names_are_quoted_and_moments_of_prisma_are_in_utc) {
    Config config;
    config.schema = Schema::pg_adapter;
    cr_expect(
        session_sql(config, "")->lookup ==
        R"(SELECT s."userId"::text, extract(epoch FROM s."expires")::text, coalesce((s."expires") > now(), false))"
        R"( FROM "sessions" s JOIN "users" u ON u."id" = s."userId" WHERE s."sessionToken" = $1 LIMIT 2)");
    config.schema = Schema::prisma;
    config.sessions_table = R"(app.my "s)";
    const auto sql = session_sql(config, "x");
    cr_expect(sql->poll.find(R"(s."expires" AT TIME ZONE 'UTC')") != std::string::npos);
    cr_expect(sql->poll.find(R"(FROM "app"."my ""s" s JOIN "x"."User" u)") != std::string::npos, "%s",
              sql->poll.c_str());
    cr_expect(sql->poll.ends_with(R"(s."sessionToken" = ANY($1::text[]))"));
    config.token_column = std::string(64, 'x');
    cr_expect(!session_sql(config, ""));
}

Test(authd_database, the_operators_query_looks_many_tokens_up_at_once) {
    Config config;
    config.session_query = "SELECT u, e FROM s WHERE t = $1 OR '$10' = $1; ";
    const auto sql = session_sql(config, "");
    cr_expect(sql->lookup == "SELECT u, e FROM s WHERE t = $1 OR '$10' = $1" && !sql->says_alive);
    cr_expect(sql->poll ==
              "SELECT sio_t.token, sio_q.* FROM unnest($1::text[]) AS sio_t(token), LATERAL (SELECT u, e FROM s "
              "WHERE t = sio_t.token OR '$10' = sio_t.token) AS sio_q");
}

Test(authd_database, a_session_is_one_row_that_lives) {
    using State = SessionRow::State;
    const auto state = [](std::vector<Row> rows) { return read_session(FakeRows(std::move(rows)), true, 100).state; };
    const auto good = read_session(FakeRows({Row{"7", "200.5", "t"}}), true, 100);
    cr_expect(good.state == State::found && good.user == "7" && good.expires == 200);
    cr_expect(state({}) == State::none && state({Row{"7", "200", "t"}, Row{"8", "200", "t"}}) == State::doubled);
    cr_expect(state({Row{"7", "200", "f"}}) == State::expired, "the database's clock decides");
    cr_expect(state({Row{"", "200", "t"}}) == State::unusable &&
              state({Row{std::nullopt, "200", "t"}}) == State::unusable);
    cr_expect(state({Row{std::string(257, 'u'), "200", "t"}}) == State::unusable &&
              state({Row{"7", "x", "t"}}) == State::unusable);
    cr_expect(!read_session(FakeRows({Row{"7", "Infinity", "t"}}), true, 100).expires);
}

Test(authd_database, a_query_of_the_operator_may_have_claims) {
    using State = SessionRow::State;
    const auto row = read_session(FakeRows({Row{"7", "200", "{\"a\":\n1}"}}), false, 100);
    cr_expect(row.state == State::found && row.claims == "{\"a\": 1}");
    cr_expect(read_session(FakeRows({Row{"7", "100", std::nullopt}}), false, 100).state == State::expired);
    cr_expect(read_session(FakeRows({Row{"7", "200"}}), false, 100).state == State::found);
    cr_expect(read_session(FakeRows({Row{"7", "200", "[1]"}}), false, 100).state == State::unusable);
    cr_expect(read_session(FakeRows({Row{"7", "200", "{"}}), false, 100).state == State::unusable);
}

Test(authd_database, any_row_grants_but_one_column_that_is_false) {
    cr_expect(!grants(FakeRows({})) && grants(FakeRows({Row{"1"}})) && grants(FakeRows({Row{"t"}})));
    cr_expect(!grants(FakeRows({Row{"f"}})) && !grants(FakeRows({Row{std::nullopt}})));
    cr_expect(grants(FakeRows({Row{"f"}, Row{"t"}})) && grants(FakeRows({Row{"f", "f"}})));
}
