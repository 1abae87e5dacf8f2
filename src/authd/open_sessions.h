// The database sessions that gateways have sockets of, to be looked up again and again. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "authd/database.h"
#include "authd/revocations.h"
#include "base/keyed_hash.h"

namespace sio::authd {

class OpenSessions {
public:
    static constexpr std::size_t max_sessions = 1'000'000;

    struct Session {
        std::string token;
        std::optional<Seconds> expires;              ///< as last granted
        std::unordered_set<std::uint64_t> gateways;  ///< connections
    };

    /// A socket of it is open at `gateway`. False when the table is full: it is not looked up again.
    bool open(std::uint64_t gateway, const std::string& session, const std::string& token,
              std::optional<Seconds> expires);
    void close(std::uint64_t gateway, const std::string& session);
    void drop_gateway(std::uint64_t gateway);
    /// It has gone; all gateways have been told.
    void remove(const std::string& session);

    [[nodiscard]] const Session* find(const std::string& session) const;
    [[nodiscard]] std::size_t size() const noexcept { return sessions_.size(); }
    [[nodiscard]] std::vector<std::string> ids() const;

private:
    std::unordered_map<std::string, Session, base::KeyedHash> sessions_;
    std::unordered_map<std::uint64_t, std::unordered_set<std::string, base::KeyedHash>> of_gateway_;
};

struct Asked {
    std::string session;
    std::string token;
    std::optional<Seconds> expires;
};

/// The sessions of `asked` that have gone, by what the database says: there is no row, or more than one, or it has
/// ended before the moment that was granted. One that has ended when it was to end has not gone: its gateway warns,
/// waits and closes by itself.
std::vector<std::string> gone_sessions(const std::vector<Asked>& asked, const std::vector<PolledSession>& polled,
                                       Seconds now);

}  // namespace sio::authd
