// PostgreSQL on the event loop: a small pool of libpq connections that come back by themselves, prepared statements,
// time limits, notifications.
//
// libpq does TLS, authentication and the protocol; nothing here waits for it. Names are resolved by net::Resolver, as
// libpq would block (the host stays in the connection string for certificates); target.h says what is left to libpq. A
// statement is prepared once per connection, and anew when the server has forgotten it or its tables have changed. A
// server that does not answer within `silence` counts as lost, whether its host is gone or its process is frozen: its
// queries fail with `unavailable`, and only theirs.
//
// While no connection is up one alone tries to connect, and the others follow it. Queries fail at once then, but wait
// for the first attempt of all. A COPY and a transaction over several queries are not supported. A pooler that shares
// sessions loses notifications, which is noticed. What is sent and received is UTF-8 where the database has an
// encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/loop.h"

namespace sio::pg {

using base::Millis;

struct PoolOptions {
    std::string url;                ///< a URL or `key=value` words, as libpq takes them; TLS options of it are honoured
    std::size_t connections = 4;    ///< at least one is made; the one that listens comes on top
    Millis connect_timeout = 2000;  ///< of an attempt, after which the next address of the URL is the first
    Millis silence = 1500;          ///< a query unanswered for so long: its connection is lost
    Millis probe_interval = 500;    ///< how often an idle pool is asked whether it lives
    Millis backoff_min = 50;
    Millis backoff_max = 1000;
    std::size_t max_queued = 10'000;  ///< queries that wait for a connection; the next fails at once
    std::vector<std::string>
        channels;  ///< LISTENed to, on one connection; after each (re)connect on_listening() is told
    std::string application_name = "sio-authd";
    Millis echo_interval = 10'000;  ///< between notifications to ourselves
    Millis check_interval =
        10'000;  ///< between looks at whether all statements can run; a third of it while one cannot
};

/// Rows of text, of no rows for what is no SELECT. Lives for the call.
class Rows {
public:
    virtual ~Rows() = default;
    [[nodiscard]] virtual std::size_t size() const = 0;
    [[nodiscard]] virtual std::size_t columns() const = 0;
    /// Nothing for NULL, and where there is no such row or column.
    [[nodiscard]] virtual std::optional<std::string_view> at(std::size_t row, std::size_t column) const = 0;
};

/// The loop and the owner outlive it. Whatever it calls may call query() of it, and must not destroy it.
class Pool {
public:
    static constexpr std::size_t max_parameter_bytes = std::size_t{4} << 20U;  ///< of all parameters of a query
    static constexpr std::size_t max_answer_bytes = std::size_t{16} << 20U;    ///< of all rows, as libpq keeps them
    static constexpr std::size_t max_rows = 100'000;

    class Owner {
    public:
        virtual ~Owner() = default;
        /// The first connection is up after none was; or the last was lost. `why`: a sentence, libpq's own words where
        /// there are some, without a password.
        virtual void on_database(bool is_up, std::string_view why) = 0;
        /// LISTEN is in force (again), as a notification to ourselves has told: what was notified before may have been
        /// missed. Not in step with on_database(): it is a connection of its own.
        virtual void on_listening() {}
        /// The notification to ourselves did not come: a pooler shares the connection. It is tried again by itself.
        virtual void on_not_listening() {}
        /// statement_trouble() has changed.
        virtual void on_statements() {}
        virtual void on_notification(std::string_view channel, std::string_view payload) {
            static_cast<void>(channel);
            static_cast<void>(payload);
        }
    };
    /// Called exactly once, never from within query(), and not any more when the pool is destroyed. Errors:
    /// `unavailable` (no connection, lost, timed out, too many queued; SQLSTATE classes 08, 40, 53, 57, 58, and 26000,
    /// 55P03), `denied` (the role lacks a right: SQLSTATE 42501), `malformed` (any other error of SQL: a mistake in the
    /// statement or its parameters; a limit above that was passed). The sentence names the statement and holds
    /// PostgreSQL's words, without what the parameters hold.
    using Done = std::function<void(Result<const Rows*>)>;

    /// Errors: `config` when the URL is none, or a channel is no name. The sentence holds no password.
    static Result<std::unique_ptr<Pool>> create(net::Loop& loop, PoolOptions options, Owner& owner);
    virtual ~Pool() = default;

    virtual void start() = 0;
    /// Declares a statement; prepared on each connection before its first use. Call before start(). `name` is unique
    /// and of plain letters. A statement that cannot be prepared fails the query that needed it, and is tried again.
    virtual void declare(std::string name, std::string sql, int parameters) = 0;
    /// Runs a declared statement with text parameters (nothing: NULL), on any free connection or the next that is free.
    virtual void query(std::string_view name, std::span<const std::optional<std::string>> parameters, Done done) = 0;

    [[nodiscard]] virtual bool is_up() const = 0;
    /// Whether one has been lost, and none has come since.
    [[nodiscard]] virtual bool has_lost_notifications() const = 0;
    /// What PostgreSQL says of the declared statements that cannot run: a table or column is missing, or a right;
    /// empty: all can. They are tried, without being run, when the database is up, and then each `check_interval`.
    [[nodiscard]] virtual std::string statement_trouble() const = 0;
    /// Why it is not up; empty while it is.
    [[nodiscard]] virtual const std::string& trouble() const = 0;
    struct Stats {
        std::uint64_t queries = 0;           ///< asked
        std::uint64_t failures = 0;          ///< answered with an error
        std::uint64_t timeouts = 0;          ///< of these, for want of an answer or a free connection within `silence`
        std::uint64_t connects = 0;          ///< connections that came up, the one that listens included
        std::uint64_t attempts_failed = 0;   ///< to connect, without the one that listens
        std::size_t statements_refused = 0;  ///< that cannot run, see statement_trouble()
        std::uint64_t checks = 0;            ///< times that all statements have been tried
        std::size_t queued = 0;              ///< wait for a connection
        std::size_t busy = 0;                ///< connections that run a query
        std::size_t open = 0;                ///< connections that are up, without the one that listens
    };
    [[nodiscard]] virtual Stats stats() const = 0;
};

/// A text array literal for `= ANY($1::text[])`.
std::string text_array(std::span<const std::string> values);

/// `name` as a quoted SQL identifier; parts of a dotted name are quoted each. Errors: `config` when it is empty, longer
/// than 63 bytes a part, or holds a NUL.
Result<std::string> quote_identifier(std::string_view name);

}  // namespace sio::pg
