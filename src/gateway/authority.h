// The gateway's end of sio-authd (doc/protocol/auth.md): one connection that comes back by itself, questions in flight,
// the rights that are known, and what the daemon says unasked.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/timer_wheel.h"
#include "net/loop.h"

namespace sio::gateway {

using base::Millis;

/// What a client came with. Absent ones are nothing; views last for the call.
struct Credentials {
    std::optional<std::string_view> token;          ///< `auth.token` of the CONNECT, decoded
    std::optional<std::string_view> authorization;  ///< the header's value
    std::optional<std::string_view> cookie;         ///< the header's value
    std::optional<std::string_view> query_token;    ///< only when the daemon is to have it
    std::optional<std::string_view> origin;         ///< the header's value
    bool same_origin = false;                       ///< no Origin, and Sec-Fetch-Site says `same-origin`
    std::string_view address;
};

/// What the daemon says of a client.
struct Decision {
    enum class Kind : std::uint8_t { granted, denied, unavailable } kind = Kind::unavailable;
    std::string user;                     ///< empty: anonymous
    std::string session;                  ///< names it, see the page; empty for anonymous
    std::string token_kind;               ///< "authjs-v5", "database", …
    std::optional<std::int64_t> expires;  ///< seconds since 1970
    bool renews = false;
    std::string claims;  ///< raw JSON object, or empty
    std::string key;
    std::string code;    ///< of denied, for the client: "token_expired", …
    std::string reason;  ///< for the log
};

/// Whether a user may be in a room.
enum class Right : std::uint8_t { granted, denied, unavailable };

/// Whose right it is.
struct Holder {
    std::string_view user;
    std::string_view session;
    std::string_view claims;  ///< as in Decision
};

struct AuthorityOptions {
    std::string path;  ///< the daemon's socket
    Millis timeout =
        5'000;  ///< a question open for so long is `unavailable`; those asked while it is away wait for it too
    Millis backoff_min = 50;
    Millis backoff_max = 1'000;
    std::size_t max_open = 10'000;            ///< questions; the next is `unavailable` at once
    std::size_t max_open_bytes = 64U << 20U;  ///< of their lines, which are kept until they are answered
    /// So many questions, and bytes, each asker may have open whatever others have, up to max_open_in_shares and twice
    /// max_open_bytes. Who a client is its address asks, and whether a user may be in a room the user.
    std::size_t share_of_asker = 100;
    std::size_t share_of_asker_bytes = 256U << 10U;
    std::size_t max_open_in_shares = 50'000;
    std::size_t max_rights = 100'000;  ///< kept answers about rooms
};

class Authority {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        virtual void on_revoked_user(std::string_view user) = 0;
        virtual void on_revoked_session(std::string_view session) = 0;
        virtual void on_revoked_key(std::string_view key) = 0;
        /// Ask again; both after the daemon was away.
        virtual void on_recheck_rights() = 0;
        virtual void on_recheck_sessions() = 0;
    };

    Authority(net::Loop& loop, AuthorityOptions options, Owner& owner);
    ~Authority();
    Authority(const Authority&) = delete;
    Authority& operator=(const Authority&) = delete;

    void start();

    /// `done` is called once, later, never from within.
    void authenticate(const Credentials& credentials, std::string_view must_be_user,
                      std::function<void(Decision)> done);
    /// What is known of a right without asking, and without a room token: whoever has one may be granted what is denied
    /// here.
    [[nodiscard]] std::optional<Right> known(const Holder& holder, std::string_view room);
    /// Asks about each of `rooms`; `done` is called once, later, with the worst answer (denied before unavailable) and
    /// the room it is about.
    void may_join(const Holder& holder, std::span<const std::string> rooms, std::string_view room_token,
                  std::function<void(Right, std::string room)> done);
    /// The last socket of a session here has gone.
    void closed(std::string_view session);

    /// Connected and greeted.
    [[nodiscard]] bool is_up() const noexcept;
    /// How long it has not been up; nothing while it is.
    [[nodiscard]] std::optional<Millis> away_for() const noexcept;
    /// The members of `checks` for health: `"authd":{"ok":…}` and what the daemon says of its own, `"postgresql":{…}`.
    [[nodiscard]] std::string checks() const;
    /// All of them are well.
    [[nodiscard]] bool is_ready() const noexcept;

    struct Stats {
        std::uint64_t granted = 0, denied = 0, unavailable = 0, rights_asked = 0, rights_known = 0, connects = 0;
        std::uint64_t refused = 0;  ///< questions that were not asked: too many were open
        std::size_t open = 0, rights_kept = 0;
    };
    [[nodiscard]] const Stats& stats() const noexcept;

private:
    class Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace sio::gateway
