#include "authd/open_sessions.h"

namespace sio::authd {

bool OpenSessions::open(std::uint64_t gateway, const std::string& session, const std::string& token,
                        std::optional<Seconds> expires) {
    auto found = sessions_.find(session);
    if (found == sessions_.end()) {
        if (sessions_.size() >= max_sessions) return false;
        found = sessions_.emplace(session, Session{token, expires, {}}).first;
    }
    found->second.expires = expires;
    found->second.gateways.insert(gateway);
    of_gateway_[gateway].insert(session);
    return true;
}

void OpenSessions::close(std::uint64_t gateway, const std::string& session) {
    const auto found = sessions_.find(session);
    if (found == sessions_.end() || found->second.gateways.erase(gateway) == 0) return;
    if (found->second.gateways.empty()) sessions_.erase(found);
    const auto mine = of_gateway_.find(gateway);
    if (mine == of_gateway_.end()) return;
    mine->second.erase(session);
    if (mine->second.empty()) of_gateway_.erase(mine);
}

void OpenSessions::drop_gateway(std::uint64_t gateway) {
    const auto mine = of_gateway_.find(gateway);
    if (mine == of_gateway_.end()) return;
    for (const std::string& session : mine->second) {
        const auto found = sessions_.find(session);
        if (found == sessions_.end()) continue;
        found->second.gateways.erase(gateway);
        if (found->second.gateways.empty()) sessions_.erase(found);
    }
    of_gateway_.erase(mine);
}

void OpenSessions::remove(const std::string& session) {
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    for (const std::uint64_t gateway : found->second.gateways) {
        const auto theirs = of_gateway_.find(gateway);
        if (theirs == of_gateway_.end()) continue;
        theirs->second.erase(session);
        if (theirs->second.empty()) of_gateway_.erase(theirs);
    }
    sessions_.erase(found);
}

const OpenSessions::Session* OpenSessions::find(const std::string& session) const {
    const auto found = sessions_.find(session);
    return found == sessions_.end() ? nullptr : &found->second;
}

std::vector<std::string> OpenSessions::ids() const {
    std::vector<std::string> all;
    all.reserve(sessions_.size());
    for (const auto& [id, session] : sessions_) all.push_back(id);
    return all;
}

std::vector<std::string> gone_sessions(const std::vector<Asked>& asked, const std::vector<PolledSession>& polled,
                                       Seconds now) {
    struct Found {
        std::size_t rows = 0;
        bool alive = false;
    };
    std::unordered_map<std::string_view, Found, base::KeyedHash> by_token;
    for (const PolledSession& one : polled) {
        Found& found = by_token[one.token];
        ++found.rows;
        found.alive = one.alive;
    }
    std::vector<std::string> gone;
    for (const Asked& one : asked) {
        const auto found = by_token.find(one.token);
        if (found == by_token.end() || found->second.rows != 1) {
            gone.push_back(one.session);
        } else if (!found->second.alive && (!one.expires || *one.expires > now)) {
            gone.push_back(one.session);
        }
    }
    return gone;
}

}  // namespace sio::authd
