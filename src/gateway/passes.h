// The sockets that sio-authd has let in: for how long they may stay, who is thrown out, and what is asked again.
//
// The hub gives each of them here when it has joined and takes it back when it leaves. What is decided of one is
// carried out with the hub's verbs. Clients are told by events of reserved names:
//
//     sio:expiring {"expires":SECONDS,"in_ms":N}    before the end; `sio:refresh` {"token":T} puts it off
//     sio:closed   {"reason":R}                     R: "token_expired", "revoked", …; then the socket ends
//     sio:left     {"room":ROOM,"reason":"denied"}  he may not be there any more
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/timer_wheel.h"
#include "gateway/authority.h"
#include "gateway/hub.h"
#include "net/loop.h"

namespace sio::gateway {

struct PassOptions {
    Millis warning = 60'000;   ///< how long before its end a session's client is warned
    Millis grace = 15'000;     ///< how long after it the socket stays: the leeway of the tokens
    bool query_token = false;  ///< whether `?token=` is a credential
    Millis recovery_window = 120'000;
};

struct PassStats {
    std::uint64_t refreshed = 0;       ///< sessions that a client has put off
    std::uint64_t refresh_denied = 0;  ///< tokens that were not taken for it
    std::uint64_t expired = 0;         ///< sockets closed at the end of their session
    std::uint64_t revoked = 0;         ///< sockets closed because somebody said so
    std::uint64_t rechecked = 0;       ///< questions asked again
    std::uint64_t rooms_left = 0;      ///< rooms that sockets had to leave
};

class Passes final : public Authority::Owner {
public:
    Passes(net::Loop& loop, PassOptions options, Hub& hub);
    ~Passes() override;
    Passes(const Passes&) = delete;
    Passes& operator=(const Passes&) = delete;

    /// Who is asked; it outlives the last socket.
    void start(Authority& authority) noexcept { authority_ = &authority; }

    [[nodiscard]] const PassStats& stats() const noexcept { return stats_; }
    [[nodiscard]] std::size_t count() const noexcept { return sockets_.size(); }

    // --- what the hub does with it ---

    /// Whether who a new client is can be found out: the daemon is there, or was a moment ago.
    [[nodiscard]] bool can_ask() const noexcept;
    /// Who the client of this session is, by this token or else by the headers of its handshake. `done` is called once,
    /// later.
    void ask(const Session& session, const std::optional<std::string>& token, std::string_view must_be_user,
             std::function<void(Decision)> done);
    [[nodiscard]] std::unique_ptr<Pass> make(Decision decision, std::optional<std::string> token) const;
    /// What was granted was revoked since.
    [[nodiscard]] bool is_revoked(const Pass& pass, std::string_view user, Millis decided_at) const;
    /// A socket with a pass has joined. Times are when it was asked for, and when the answer came.
    void admitted(Socket& socket, Millis asked_at, Millis decided_at);
    /// It leaves; `comes_back`: perhaps for a while.
    void left(Socket& socket, bool comes_back);
    /// A session was granted, and nobody has come in by it.
    void unused(std::string_view session);

    [[nodiscard]] static bool is_refresh(const proto::SioPacket& packet);
    void refresh(Socket& socket, const proto::SioPacket& packet);

    /// What a client is told of a code, and the `data` beside it. The precise reason is for the log.
    [[nodiscard]] static std::string_view message(std::string_view code) noexcept;
    [[nodiscard]] static std::string data(std::string_view code);
    /// A CONNECT payload less its token.
    [[nodiscard]] static std::string without_token(std::string_view auth);

    // --- Authority::Owner ---
    void on_revoked_user(std::string_view user) override;
    void on_revoked_session(std::string_view session) override;
    void on_revoked_key(std::string_view key) override;
    void on_recheck_rights() override;
    void on_recheck_sessions() override;

    /// Questions asked again at a time.
    static constexpr std::size_t max_rechecks = 100;

private:
    struct Life;
    class RetryTimer;
    enum class Mark : std::uint8_t { user, session, key };
    struct Revocation {
        Millis at;
        Mark mark;
        std::string name;
    };
    struct Recheck {
        std::uint64_t number;
        std::string room;  ///< empty: who it is
    };
    struct Away {
        std::vector<Pass::Granted> rooms;
        Millis until;
    };

    [[nodiscard]] Socket* find(std::uint64_t number) const;
    [[nodiscard]] Millis wall(Millis now) const noexcept;
    void index(Socket& socket);
    void unindex(const Socket& socket);
    void forget_session(const std::string& session);
    void arm(Pass& pass, Millis at_wall, Millis now);
    void plan(Socket& socket, Millis now);
    void due(std::uint64_t number, Millis now);
    void ask_again(Socket& socket);
    void renewed(std::uint64_t number, Decision decision);
    /// Takes over what was granted anew; whether the session ends later than it did.
    bool apply(Socket& socket, Decision decision);
    void warn(Socket& socket, Millis now);
    void close(Socket& socket, std::string_view reason);
    void revoke(Mark mark, std::string_view name);
    void refreshed(std::uint64_t number, std::optional<std::uint64_t> ack, std::string token, Decision decision);
    void acknowledge(Socket& socket, std::optional<std::uint64_t> ack, std::string_view code, std::string_view reason);
    void pump();
    void recheck_session(Socket& socket);
    void recheck_right(Socket& socket, const std::string& room);
    void recheck_rooms(const Socket& socket);
    void put_off(Recheck recheck);
    void retry(Millis now);
    void forget_old();

    net::Loop& loop_;
    PassOptions options_;
    Hub& hub_;
    Authority* authority_ = nullptr;
    PassStats stats_;
    std::uint64_t numbers_ = 0;
    std::unordered_map<std::uint64_t, Socket*> sockets_;  // by the number of their pass
    StringMap<std::vector<Socket*>> by_session_;
    StringMap<std::vector<Socket*>> by_user_;
    std::deque<Revocation> revoked_lately_;
    Millis rechecked_at_ = -1;
    std::deque<std::pair<Millis, std::string>> closed_lately_;
    StringMap<Millis> closed_at_;
    std::unordered_map<Id, Away, IdHash> away_;
    std::deque<std::pair<Millis, Id>> away_order_;
    std::deque<Recheck> rechecks_;
    std::size_t rechecking_ = 0;
    std::vector<Recheck> unsettled_;
    Millis unsettled_since_ = 0;
    std::unique_ptr<RetryTimer> retry_timer_;
};

}  // namespace sio::gateway
