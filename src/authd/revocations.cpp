#include "authd/revocations.h"

namespace sio::authd {

namespace {

std::string key_of(Revoked kind, std::string_view id) {
    std::string key;
    key.reserve(id.size() + 1);
    key += to_string(kind).front();
    key += id;
    return key;
}

}  // namespace

std::string_view to_string(Revoked kind) noexcept { return kind == Revoked::user ? "user" : "session"; }

std::optional<Revoked> parse_revoked(std::string_view word) noexcept {
    if (word == "user") return Revoked::user;
    if (word == "session") return Revoked::session;
    return std::nullopt;
}

Revocations::Change Revocations::apply(const Revocation& revocation, Seconds now) {
    std::string key = key_of(revocation.kind, revocation.id);
    const auto found = entries_.find(key);
    if (revocation.until <= now) {
        if (revocation.until != 0 || found == entries_.end()) return Change::none;
        entries_.erase(found);
        return Change::lifted;
    }
    if (found != entries_.end()) {
        if (found->second == revocation.until) return Change::none;
        found->second = revocation.until;
        return Change::placed;
    }
    if (entries_.size() >= max_entries) sweep(now);
    if (entries_.size() >= max_entries) return Change::full;
    entries_.emplace(std::move(key), revocation.until);
    return Change::placed;
}

bool Revocations::is_out(Revoked kind, std::string_view id, Seconds now) const {
    if (entries_.empty()) return false;
    const auto found = entries_.find(key_of(kind, id));
    return found != entries_.end() && found->second > now;
}

void Revocations::sweep(Seconds now) {
    std::erase_if(entries_, [now](const auto& entry) { return entry.second <= now; });
}

void Revocations::each(Seconds now, const std::function<bool(const Revocation&)>& use) const {
    for (const auto& [key, until] : entries_) {
        if (until <= now) continue;
        const Revoked kind = key.front() == 'u' ? Revoked::user : Revoked::session;
        if (!use({kind, key.substr(1), until})) return;
    }
}

}  // namespace sio::authd
