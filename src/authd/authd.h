// The daemon: what is asked on its socket is answered from tokens, the database, the rules and the list of revocations.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/verifier.h"
#include "authd/carrier.h"
#include "authd/config.h"
#include "authd/database.h"
#include "authd/digest.h"
#include "authd/key_set.h"
#include "authd/limiter.h"
#include "authd/material.h"
#include "authd/open_sessions.h"
#include "authd/revocation_stream.h"
#include "authd/revocations.h"
#include "authd/rights.h"
#include "authd/server.h"
#include "authd/ttl_cache.h"
#include "daemon/options.h"
#include "net/loop.h"

namespace sio::authd {

class Authd final : Server::Host, Database::Owner, KeySet::Owner, RevocationStream::Owner {
public:
    static constexpr std::size_t max_known_tokens = 65'536;
    static constexpr std::size_t max_known_rights = 100'000;
    static constexpr std::size_t max_known_claims_bytes = 1024;  ///< of a token that is kept as known
    static constexpr std::size_t max_waiting = 10'000;           ///< requests that wait for a key set
    static constexpr base::Millis key_patience = 3'000;          ///< how long they wait
    static constexpr std::size_t poll_batch_size = 10'000;       ///< sessions of one query
    static constexpr std::size_t max_listed = 1'000;             ///< revocations in one answer

    /// `config` outlives it. Errors: `config`.
    static Result<std::unique_ptr<Authd>> create(net::Loop& loop, const Config& config,
                                                 const daemon::Environment& environment);
    ~Authd() override;

    /// Opens the socket, and begins to connect to what is configured. Errors: `io`.
    Result<void> start();

    /// SIGHUP: log, secrets, keys and rules anew. SIGTERM and SIGINT: the end.
    void on_signal(int number);

private:
    struct Tick;
    struct Evaluation;

    /// Who asks, and what must be done with the answer.
    struct Ask {
        std::uint64_t client = 0;
        std::uint64_t id = 0;
        Authenticate request;
        std::string token;
        base::Millis waits_until = 0;     ///< of one that waits for a key set
        std::vector<std::string> others;  ///< tokens to try when this one is no good
        std::string undecided;            ///< why one before could not be judged
        bool is_expired = false;          ///< one before has expired
    };
    /// A good token, as far as it is needed again.
    struct Known {
        std::string kind;
        std::string user;
        std::string session;
        std::string claims;  ///< those that rules look at
        std::string key;
        std::optional<Seconds> expires;
    };
    struct Decision {
        bool is_granted = false;
        std::string rule;
        std::string reason;
    };

    Authd(net::Loop& loop, const Config& config, daemon::Environment environment);

    // --- Server::Host ---
    void on_request(std::uint64_t client, std::uint64_t id, Command command) override;
    void on_gateway(std::uint64_t client) override;
    void on_gone(std::uint64_t client) override;

    // --- who somebody is ---
    void authenticate(std::uint64_t client, std::uint64_t id, Authenticate request);
    /// `may_wait`: for a key set that is on its way.
    void check(Ask ask, bool may_wait);
    void take_identity(const Ask& ask, const Digest& digest, const auth::Checked& checked);
    void wait_for_keys(Ask ask, const auth::Checked& checked);
    void look_up(Ask ask, const Digest& digest);
    void take_session(const Ask& ask, const Digest& digest, const Result<SessionRow>& row);
    /// Grants unless another user is wanted, or he is out.
    void admit(const Ask& ask, const Known& known, std::string_view all_claims);
    void deny(const Ask& ask, std::string_view code, std::string_view reason, std::string_view verdict);
    /// Whether this address has had too many look-ups for nothing; counts it if so.
    [[nodiscard]] bool is_put_off(const Ask& ask);
    /// Goes on with the next of the tokens shown.
    void try_next(Ask ask);
    void cannot_tell(const Ask& ask, std::string_view reason, std::string_view verdict);

    // --- where he may go ---
    void may_join(std::uint64_t client, std::uint64_t id, MayJoin request);
    void evaluate(const std::shared_ptr<Evaluation>& evaluation);
    void conclude(Evaluation& evaluation);
    void answer_right(std::uint64_t client, std::uint64_t id, const Decision& decision, base::Millis ttl,
                      std::string_view more = {});

    // --- who is out ---
    void revoke(std::uint64_t client, std::uint64_t id, const Revoke& request);
    std::size_t tell_revoked(std::string_view kind, std::string_view id);
    void list_revocations(std::uint64_t client, std::uint64_t id);
    void on_revocations(std::span<const Revocation> revocations) override;
    void on_redis_change() override { tell_status(); }
    std::vector<Revocation> all_revocations() override;

    // --- Database::Owner ---
    void on_database_change() override { tell_status(); }
    void on_database_listening() override;
    void on_database_not_listening() override;
    void on_database_notification(std::string_view payload) override;
    void poll_sessions();
    void poll_batch(std::size_t begin);
    void take_polled(const std::vector<Asked>& asked, const std::vector<PolledSession>& polled);
    void end_round();
    [[nodiscard]] bool has_polls() const;
    [[nodiscard]] base::Millis poll_interval() const;

    // --- keys and rules ---
    void on_key_set(const std::string* text) override;
    Result<void> reload();
    /// Tells that keys of `before` have gone.
    void tell_gone_keys(const std::vector<std::string>& before);
    void release_waiting(bool all);
    void use_database(std::unique_ptr<Database> database);

    // --- what operators see ---
    [[nodiscard]] std::string checks() const;
    [[nodiscard]] std::string health() const;
    [[nodiscard]] std::string counters() const;
    void tell_status();
    void on_tick();
    /// Whether a line about something that fails again and again may be logged now.
    bool may_complain();
    [[nodiscard]] Seconds wall_seconds() const { return loop_.wall_clock() / 1000; }

    net::Loop& loop_;
    const Config& config_;
    daemon::Environment environment_;
    base::Millis started_;
    Server server_;

    std::unique_ptr<auth::Verifier> verifier_;
    std::shared_ptr<const Rights> rights_;
    Digest identity_digest_;
    std::unique_ptr<KeySet> key_set_;
    std::vector<Ask> waiting_;  // for the key set
    TtlCache<Known> known_{max_known_tokens};
    TtlCache<Decision> known_rights_{max_known_rights};
    FailureLimiter limiter_;         // failures of any kind: their lines in the log
    FailureLimiter lookup_limiter_;  // failures that took a look-up: further look-ups

    std::unique_ptr<Database> database_;
    struct Retired {
        std::unique_ptr<Database> database;
        base::Millis until;
    };
    std::vector<Retired> retired_;
    OpenSessions sessions_;
    std::vector<std::string> round_;  // the sessions of this round of the poll
    bool is_polling_ = false;
    bool poll_again_ = false;  // at once, when this round has ended
    std::uint64_t round_number_ = 0;
    base::Millis round_began_ = 0;
    base::Millis next_round_ = 0;

    Revocations revocations_;
    std::unique_ptr<RevocationStream> stream_;
    base::Millis next_sweep_ = 0;

    std::string told_checks_;
    base::Millis complained_ = -60'000;
    std::unique_ptr<Tick> tick_;
    struct Counters {
        std::uint64_t granted = 0, denied = 0, unavailable = 0, known = 0, limited = 0, lookups = 0, polled = 0;
        std::uint64_t rights_granted = 0, rights_denied = 0, rights_unavailable = 0, rights_known = 0, revoked = 0;
        std::uint64_t reloads = 0;
    } counters_;
};

}  // namespace sio::authd
