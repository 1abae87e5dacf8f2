#include "authd/online.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "auth/jwks.h"
#include "authd/database.h"
#include "authd/key_fetcher.h"
#include "authd/material.h"
#include "authd/revocation_stream.h"
#include "base/timer_wheel.h"
#include "daemon/redis_trial.h"
#include "daemon/trials.h"

namespace sio::authd {

namespace {

constexpr base::Millis look_interval = 20;
constexpr std::uint64_t attempts = 3;  // a URL may name several addresses

struct Remedy {
    std::string_view word;
    std::string_view remedy;
};

constexpr std::array database_remedies = {
    Remedy{"password", "see user and password of DATABASE_URL"},
    Remedy{"authentication", "see user and password of DATABASE_URL, and pg_hba.conf"},
    Remedy{"pg_hba.conf", "let this host in there, or give sslmode=require"},
    Remedy{"role \"", "see the user of DATABASE_URL"},
    Remedy{"database \"", "see the name behind the host in DATABASE_URL"},
    Remedy{"Connection refused", "nobody listens there: is PostgreSQL running, and is that its port?"},
    Remedy{"No such file", "there is no such socket: see the host of DATABASE_URL"},
    Remedy{"cannot resolve", "no name server knows that host: see DATABASE_URL"},
    Remedy{"certificate", "name the authority with sslrootcert=FILE"},
    Remedy{"SSL", "sslmode says whether it is spoken to by TLS"},
    Remedy{"too many", "raise its max_connections, or lower database-connections"},
    Remedy{"no answer", "a firewall may drop what we send, or the address is wrong"},
};

std::string with_remedy(const std::string& reason) {
    for (const Remedy& one : database_remedies) {
        if (reason.find(one.word) != std::string::npos) return reason + ": " + std::string(one.remedy);
    }
    return reason;
}

/// Connects as the daemon does, prepares all that it would ask, and notifies itself.
class DatabaseTrial final : base::Timer, Database::Owner {
public:
    DatabaseTrial(net::Loop& loop, const Config& config, const Rights& rights, daemon::Trials& trials)
        : loop_(loop), trials_(trials), trial_(trials.open("database", [this] {
              return database_ ? with_remedy(database_->detail()) : std::string();
          })) {
        auto database = Database::create(loop, config, rights, *this);
        if (!database) {  // said by the judge
            trials_.close(trial_);
            return;
        }
        database_ = std::move(*database);
        database_->start();
        loop_.timers().arm(*this, loop_.now() + look_interval);
    }

private:
    void on_database_change() override {}
    void on_database_listening() override { is_heard_ = true; }
    void on_database_not_listening() override {
        trials_.warn(
            "database: a notification to ourselves did not come, so revocations by NOTIFY are not heard: a pooler in "
            "transaction mode does not carry LISTEN; name PostgreSQL itself, or a pool in session mode");
        is_heard_ = true;
    }
    void on_database_notification(std::string_view) override {}

    void expire(base::Millis now) override {
        const pg::Pool::Stats stats = database_->stats();
        if (stats.connects == 0 && stats.attempts_failed >= attempts) {
            trials_.fault("database: " + with_remedy(database_->detail()));
        } else if (stats.checks > 0 && stats.statements_refused > 0) {
            trials_.fault("database: " + database_->detail() +
                          ": grant this role SELECT on what it reads, or see database-schema, the names of tables and "
                          "columns, and the SQL of rules");
        } else if (stats.checks == 0 || !is_heard_) {
            return loop_.timers().arm(*this, now + look_interval);
        }
        trials_.close(trial_);
    }

    net::Loop& loop_;
    daemon::Trials& trials_;
    std::size_t trial_;
    std::unique_ptr<Database> database_;
    bool is_heard_ = false;  // ourselves, or not
};

class KeysTrial {
public:
    KeysTrial(net::Loop& loop, const Config& config, daemon::Trials& trials)
        : trials_(trials),
          url_(config.jwks),
          trial_(trials.open("jwks " + url_)),
          fetcher_(loop, url_, config.jwks_ca, auth::Jwks::max_bytes,
                   [this](const Result<std::string>& text) { judge(text); }) {
        if (auto begun = fetcher_.fetch(); !begun) judge(tl::unexpected<Error>(begun.error()));
    }

private:
    void judge(const Result<std::string>& text) {
        if (!text) {
            trials_.fault("jwks: cannot fetch " + url_ + ": " + text.error().what +
                          ": see the URL, and jwks-ca for an authority of your own");
        } else if (const auto keys = auth::Jwks::parse(*text); !keys) {
            trials_.fault("jwks: " + url_ + ": " + keys.error().what +
                          ": the URL must be that of the key set (jwks_uri), not of the issuer");
        } else if (keys->size() == 0) {
            trials_.warn("jwks: " + url_ + ": there is no key in it that we have a use for");
        }
        trials_.close(trial_);
    }

    daemon::Trials& trials_;
    std::string url_;
    std::size_t trial_;
    KeyFetcher fetcher_;
};

std::vector<daemon::RedisCommand> redis_commands() {
    const std::string key(RevocationStream::key);
    daemon::RedisCommands commands;
    commands.at("~" + key).add({"XADD", key, "x", "f", "v"}).add({"XREAD", "COUNT", "1", "STREAMS", key, "$"});
    commands.add({"XREVRANGE", key, "0-1", "0-1"});
    return std::move(commands).all();
}

struct Parts {
    Material material;
    std::optional<daemon::RedisTrial> redis;
    std::optional<DatabaseTrial> database;
    std::optional<KeysTrial> keys;
};

}  // namespace

void try_online(const Config& config, const daemon::Environment& environment, std::chrono::milliseconds limit,
                daemon::Findings& findings) {
    daemon::run_trials(limit, findings, [&](net::Loop& loop, daemon::Trials& trials) {
        auto parts = std::make_unique<Parts>();
        // What is wrong with it has been said; the database is tried all the same.
        if (auto material = read_material(config, environment)) parts->material = std::move(*material);
        if (config.redis_endpoint) parts->redis.emplace(loop, *config.redis_endpoint, redis_commands(), trials);
        if (!config.database.empty()) parts->database.emplace(loop, config, parts->material.rights, trials);
        if (config.has_jwks_url()) parts->keys.emplace(loop, config, trials);
        return parts;
    });
}

}  // namespace sio::authd
