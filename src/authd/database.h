// What the daemon asks PostgreSQL: sessions of the application, and the SQL of rules.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authd/config.h"
#include "authd/revocations.h"
#include "authd/rights.h"
#include "base/result.h"
#include "net/loop.h"
#include "pg/pool.h"

namespace sio::authd {

/// The channel that is listened to: `user:ID` or `session:HEX`.
inline constexpr std::string_view revoke_channel = "sio_revoke";

/// The statements about sessions. Both give the user's id and the end in seconds since 1970. With a schema they also
/// say whether the session lives by the database's clock; with session-query the third column is claims.
struct SessionSql {
    std::string lookup;  ///< $1: a token; at most two rows
    std::string poll;    ///< $1: an array of tokens; the token comes first in each row
    bool says_alive = false;
};

/// `schema_name` is the schema that the tables lie in unless their names say; empty: the connection's search path.
/// Errors: `config`.
Result<SessionSql> session_sql(const Config& config, const std::string& schema_name);

/// One session as a row says.
struct SessionRow {
    enum class State : std::uint8_t { found, none, expired, doubled, unusable } state = State::none;
    std::string user;
    std::optional<Seconds> expires;  ///< nothing: never
    std::string claims;              ///< raw JSON object, or empty
};

/// Reads the answer of `lookup`. `now` is for a query that does not say whether the session lives.
SessionRow read_session(const pg::Rows& rows, bool says_alive, Seconds now);

struct PolledSession {
    std::string token;
    bool alive = false;
};
std::vector<PolledSession> read_polled(const pg::Rows& rows, bool says_alive, Seconds now);

/// What the rows of a rule's SQL say: any row grants, but a single column that holds false or nothing does not.
bool grants(const pg::Rows& rows);

class Database final : pg::Pool::Owner {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        virtual void on_database_change() = 0;
        /// What was notified before may have been missed.
        virtual void on_database_listening() = 0;
        /// Notifications do not arrive.
        virtual void on_database_not_listening() = 0;
        virtual void on_database_notification(std::string_view payload) = 0;
    };

    /// With the statements of `rights`. Errors: `config`.
    static Result<std::unique_ptr<Database>> create(net::Loop& loop, const Config& config, const Rights& rights,
                                                    Owner& owner);

    void start() { pool_->start(); }
    /// It says nothing to its owner any more, but still answers what it has been asked.
    void retire() noexcept { owner_ = nullptr; }

    void look_up(const std::string& token, Seconds now, std::function<void(Result<SessionRow>)> done);
    /// Errors: any; it then says nothing of any session.
    void poll(std::span<const std::string> tokens, Seconds now,
              std::function<void(Result<std::vector<PolledSession>>)> done);
    void ask(const Right& right, std::span<const std::optional<std::string>> parameters,
             std::function<void(Result<bool>)> done);

    /// It answers, and all that will be asked can run.
    [[nodiscard]] bool is_up() const { return pool_->is_up() && pool_->statement_trouble().empty(); }
    /// Whether notifications were sent, and did not arrive.
    [[nodiscard]] bool has_lost_notifications() const { return pool_->has_lost_notifications(); }
    [[nodiscard]] std::string detail() const;
    [[nodiscard]] pg::Pool::Stats stats() const { return pool_->stats(); }

private:
    explicit Database(Owner& owner) : owner_(&owner) {}
    void on_database(bool is_up, std::string_view why) override;
    void on_listening() override;
    void on_not_listening() override;
    void on_statements() override;
    void on_notification(std::string_view channel, std::string_view payload) override;

    Owner* owner_;
    SessionSql sql_;
    std::unique_ptr<pg::Pool> pool_;
};

}  // namespace sio::authd
