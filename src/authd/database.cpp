#include "authd/database.h"

#include <algorithm>
#include <set>

#include "authd/database_url.h"
#include "base/bytes.h"
#include "base/json.h"

namespace sio::authd {

namespace {

constexpr std::string_view lookup_name = "session";
constexpr std::string_view poll_name = "sessions";

/// The whole seconds of a moment as PostgreSQL writes it; nothing for what is none.
std::optional<Seconds> whole_seconds(std::string_view text) {
    const bool negative = text.starts_with('-');
    if (negative) text.remove_prefix(1);
    const auto value = base::parse_decimal(text.substr(0, text.find('.')), INT64_MAX);
    if (!value) return std::nullopt;
    return negative ? -static_cast<Seconds>(*value) : static_cast<Seconds>(*value);
}

struct Moment {
    bool good = false;
    std::optional<Seconds> at;  // nothing: never
};

Moment moment_of(std::optional<std::string_view> text) {
    if (!text || *text == "Infinity" || *text == "infinity") return {true, std::nullopt};
    const auto at = whole_seconds(*text);
    return {at.has_value(), at};
}

bool is_alive(const Moment& end, Seconds now) { return end.good && (!end.at || *end.at > now); }

/// `$1` in the operator's query becomes a column, so that one statement looks many tokens up.
std::string with_column(std::string_view query, std::string_view column) {
    std::string out;
    for (std::size_t at = 0; at < query.size();) {
        const bool is_parameter = query.substr(at).starts_with("$1") &&
                                  (at + 2 == query.size() || query[at + 2] < '0' || query[at + 2] > '9');
        if (is_parameter) {
            out += column;
            at += 2;
        } else {
            out += query[at++];
        }
    }
    return out;
}

}  // namespace

Result<SessionSql> session_sql(const Config& config, const std::string& schema_name) {
    SessionSql sql;
    if (!config.session_query.empty()) {
        std::string query = config.session_query;
        while (!query.empty() && (query.back() == ';' || query.back() == ' ' || query.back() == '\n')) query.pop_back();
        sql.lookup = query;
        sql.poll = "SELECT sio_t.token, sio_q.* FROM unnest($1::text[]) AS sio_t(token), LATERAL (" +
                   with_column(query, "sio_t.token") + ") AS sio_q";
        return sql;
    }
    const bool is_prisma = config.schema == Schema::prisma;
    Error trouble{Errc::config, {}};
    const auto quoted = [&](const std::string& given, std::string_view standard) {
        auto name = pg::quote_identifier(given.empty() ? standard : std::string_view(given));
        if (!name && trouble.what.empty()) trouble = name.error();
        return name.value_or("");
    };
    const std::string prefix = schema_name.empty() ? "" : schema_name + ".";
    const std::string sessions = quoted(config.sessions_table, prefix + (is_prisma ? "Session" : "sessions"));
    const std::string users = quoted(config.users_table, prefix + (is_prisma ? "User" : "users"));
    const std::string token = quoted(config.token_column, "sessionToken");
    const std::string user = quoted(config.user_column, "userId");
    const std::string expires = quoted(config.expires_column, "expires");
    const std::string id = quoted(config.user_id_column, "id");
    if (!trouble.what.empty()) return tl::unexpected(trouble);
    // Prisma's moments have no zone and are in UTC, whatever zone the connection is in.
    const std::string at = is_prisma ? "s." + expires + " AT TIME ZONE 'UTC'" : "s." + expires;
    const std::string columns =
        "s." + user + "::text, extract(epoch FROM " + at + ")::text, coalesce((" + at + ") > now(), false)";
    const std::string from =
        " FROM " + sessions + " s JOIN " + users + " u ON u." + id + " = s." + user + " WHERE s." + token + " = ";
    sql.lookup = "SELECT " + columns + from + "$1 LIMIT 2";
    sql.poll = "SELECT s." + token + "::text, " + columns + from + "ANY($1::text[])";
    sql.says_alive = true;
    return sql;
}

SessionRow read_session(const pg::Rows& rows, bool says_alive, Seconds now) {
    SessionRow out;
    if (rows.size() == 0) return out;
    if (rows.size() > 1) {
        out.state = SessionRow::State::doubled;
        return out;
    }
    out.state = SessionRow::State::unusable;
    const auto user = rows.at(0, 0);
    if (!user || user->empty() || user->size() > max_user_bytes || !base::is_utf8(*user)) return out;
    const Moment end = moment_of(rows.at(0, 1));
    if (!end.good) return out;
    if (!says_alive && rows.columns() > 2) {
        const std::string claims(base::trim(rows.at(0, 2).value_or("")));
        if (!claims.empty() &&
            (!base::is_utf8(claims) || !json::is_valid(claims) || json::kind_of(claims) != json::Kind::object)) {
            return out;
        }
        out.claims = claims;
        std::ranges::replace(out.claims, '\n', ' ');  // it goes into a line; within texts there are none
        std::ranges::replace(out.claims, '\r', ' ');
    }
    out.user = std::string(*user);
    out.expires = end.at;
    const bool alive = says_alive ? rows.at(0, 2) == "t" : is_alive(end, now);
    out.state = alive ? SessionRow::State::found : SessionRow::State::expired;
    return out;
}

std::vector<PolledSession> read_polled(const pg::Rows& rows, bool says_alive, Seconds now) {
    std::vector<PolledSession> all;
    all.reserve(rows.size());
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const auto token = rows.at(row, 0);
        if (!token) continue;
        const bool alive = says_alive ? rows.at(row, 3) == "t" : is_alive(moment_of(rows.at(row, 2)), now);
        all.push_back({std::string(*token), alive});
    }
    return all;
}

bool grants(const pg::Rows& rows) {
    if (rows.size() == 0) return false;
    if (rows.columns() != 1) return true;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const auto value = rows.at(row, 0);
        if (value && *value != "f") return true;
    }
    return false;
}

Result<std::unique_ptr<Database>> Database::create(net::Loop& loop, const Config& config, const Rights& rights,
                                                   Owner& owner) {
    std::unique_ptr<Database> database(new Database(owner));
    auto url = read_database_url(config.database);
    if (!url) return fail(Errc::config, "database: " + url.error().what);
    const std::string& schema_name = url->schema;
    pg::PoolOptions options;
    options.url = std::move(url->url);
    options.connections = config.database_connections;
    options.silence = config.database_timeout.count();
    options.channels = {std::string(revoke_channel)};
    auto pool = pg::Pool::create(loop, std::move(options), *database);
    if (!pool) return fail(Errc::config, "database: " + pool.error().what);
    database->pool_ = std::move(*pool);
    if (config.has_database_sessions()) {
        auto sql = session_sql(config, schema_name == "public" ? "" : schema_name);
        if (!sql) return tl::unexpected(sql.error());
        database->sql_ = std::move(*sql);
        database->pool_->declare(std::string(lookup_name), database->sql_.lookup, 1);
        database->pool_->declare(std::string(poll_name), database->sql_.poll, 1);
    }
    std::set<std::string_view> declared;
    for (const Right& right : rights.all()) {
        if (right.kind != Right::Kind::sql || !declared.insert(right.statement).second) continue;
        database->pool_->declare(right.statement, right.sql, static_cast<int>(right.parameters.size()));
    }
    return database;
}

void Database::look_up(const std::string& token, Seconds now, std::function<void(Result<SessionRow>)> done) {
    const std::optional<std::string> parameters[] = {token};
    pool_->query(lookup_name, parameters,
                 [done = std::move(done), says_alive = sql_.says_alive, now](const Result<const pg::Rows*>& rows) {
                     if (!rows) return done(tl::unexpected<Error>(rows.error()));
                     done(read_session(**rows, says_alive, now));
                 });
}

void Database::poll(std::span<const std::string> tokens, Seconds now,
                    std::function<void(Result<std::vector<PolledSession>>)> done) {
    const std::optional<std::string> parameters[] = {pg::text_array(tokens)};
    pool_->query(poll_name, parameters,
                 [done = std::move(done), says_alive = sql_.says_alive, now](const Result<const pg::Rows*>& rows) {
                     if (!rows) return done(tl::unexpected<Error>(rows.error()));
                     done(read_polled(**rows, says_alive, now));
                 });
}

void Database::ask(const Right& right, std::span<const std::optional<std::string>> parameters,
                   std::function<void(Result<bool>)> done) {
    pool_->query(right.statement, parameters, [done = std::move(done)](const Result<const pg::Rows*>& rows) {
        if (!rows) return done(tl::unexpected<Error>(rows.error()));
        done(grants(**rows));
    });
}

std::string Database::detail() const {
    if (pool_->is_up()) return is_up() ? "answers" : pool_->statement_trouble();
    return pool_->trouble().empty() ? "not connected yet" : pool_->trouble();
}

void Database::on_database(bool, std::string_view) {
    if (owner_ != nullptr) owner_->on_database_change();
}

void Database::on_listening() {
    if (owner_ != nullptr) owner_->on_database_listening();
}

void Database::on_not_listening() {
    if (owner_ != nullptr) owner_->on_database_not_listening();
}

void Database::on_statements() {
    if (owner_ != nullptr) owner_->on_database_change();
}

void Database::on_notification(std::string_view channel, std::string_view payload) {
    if (owner_ != nullptr && channel == revoke_channel) owner_->on_database_notification(payload);
}

}  // namespace sio::authd
