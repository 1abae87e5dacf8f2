#include "bridge/claim.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"

namespace sio::bridge {

namespace {

constexpr base::Millis margin = 500;  // the claim counts as over so long before Redis says so

/// KEYS: the claim. ARGV: who asks, for how long in ms, its state, a holder that is known to be gone. Gives the holder
/// now, its state, and for how many ms it has the name.
constexpr std::string_view claim_script = R"lua(
local at = redis.call('GET', KEYS[1])
if at then
  local holder, state = string.match(at, '^(%S+) (%S+)$')
  if holder and holder ~= ARGV[1] and holder ~= ARGV[4] then return {holder, state, redis.call('PTTL', KEYS[1])} end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3], 'PX', ARGV[2])
return {ARGV[1], ARGV[3], tonumber(ARGV[2])}
)lua";

constexpr std::string_view release_script = R"lua(
local at = redis.call('GET', KEYS[1])
if at and string.match(at, '^(%S+) ') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
)lua";

/// When a process was started, in ticks since the boot. Nothing when it is not there or has ended.
std::optional<std::string> start_of(std::string_view pid) {
    std::ifstream file("/proc/" + std::string(pid) + "/stat");
    std::string text;
    if (!file || !std::getline(file, text)) return std::nullopt;
    // PID (NAME) STATE …, of which the start is the 22nd; a name may hold anything.
    std::size_t at = text.rfind(')');
    if (at == std::string::npos || at + 2 >= text.size()) return std::nullopt;
    if (text[at + 2] == 'Z' || text[at + 2] == 'X') return std::nullopt;
    for (int field = 2; field < 22; ++field) {
        at = text.find(' ', at + 1);
        if (at == std::string::npos) return std::nullopt;
    }
    return text.substr(at + 1, text.find(' ', at + 1) - at - 1);
}

/// Where process numbers mean the same: this boot of this host, and the namespace.
std::string place() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string boot;
    std::getline(file, boot);
    std::array<char, 64> space{};
    const auto length = readlink("/proc/self/ns/pid", space.data(), space.size());
    if (boot.empty() || length <= 0) return "-";
    return boot + '/' + std::string(space.data(), static_cast<std::size_t>(length));
}

/// `PLACE|PID|START|RANDOM`
std::string name_of_this_process() {
    std::array<unsigned char, 8> bytes{};
    static_cast<void>(!getrandom(bytes.data(), bytes.size(), 0));
    const std::string pid = std::to_string(getpid());
    return place() + '|' + pid + '|' + start_of(pid).value_or("-") + '|' + base::to_hex(bytes.data(), bytes.size());
}

/// Whether it was a process of this host that is there no more.
bool is_gone(std::string_view holder) {
    std::vector<std::string_view> parts;
    while (parts.size() < 4) {
        const std::size_t bar = std::min(holder.find('|'), holder.size());
        parts.push_back(holder.substr(0, bar));
        holder.remove_prefix(std::min(bar + 1, holder.size()));
    }
    if (parts[0] == "-" || parts[0] != place() || parts[2] == "-" || !base::parse_decimal(parts[1])) return false;
    return start_of(parts[1]).value_or("") != parts[2];
}

}  // namespace

Claim::Claim(net::Loop& loop, std::string_view node, redis::Connection& commands, Owner& owner)
    : loop_(loop),
      commands_(commands),
      owner_(owner),
      key_("sio:bridge-name:" + std::string(node)),
      me_(name_of_this_process()) {}

void Claim::renew(bool drains) {
    if (is_over_ || !commands_.is_up()) return;
    commands_.send(
        {"EVAL", claim_script, "1", key_, me_, std::to_string(lasts), drains ? "draining" : "working", gone_},
        [this, alive = std::weak_ptr<char>(alive_), asked_at = loop_.now()](const redis::Reply* reply) {
            if (!alive.expired()) on_answer(asked_at, reply);
        });
}

void Claim::release() {
    is_over_ = true;
    ours_until_ = 0;
    if (commands_.is_up()) commands_.send({"EVAL", release_script, "1", key_, me_});
}

void Claim::on_answer(base::Millis asked_at, const redis::Reply* reply) {
    if (reply == nullptr || is_over_) return;
    if (!reply->is_array() || reply->items.size() != 3) {
        if (reply->is_error()) log::debug("bridge", "claim_refused", {{"reason", reply->text}});
        return;
    }
    if (reply->items[0].text != me_) {
        return on_foreign(reply->items[0].text, reply->items[1].text, reply->items[2].to_integer());
    }
    const bool was_ours = is_ours();
    ours_until_ = asked_at + lasts - margin;
    foreign_until_ = 0;
    if (!was_ours && is_ours()) owner_.on_claimed();
}

void Claim::on_foreign(std::string_view holder, std::string_view state, base::Millis left) {
    const bool was_ours = ours_until_ > 0;
    ours_until_ = 0;
    const base::Millis until = loop_.now() + left;
    // Who has let it end and is overtaken by another, which was let in since, has to go, too.
    const bool is_renewed = foreign_ == holder && until > foreign_until_ + margin;
    if (was_ours || (is_renewed && state != "draining")) {
        is_over_ = true;
        return owner_.on_name_taken();
    }
    if (foreign_ != holder) {
        log::info("bridge", "name_awaited", {{"at_most_s", (lasts + 999) / 1000}});
        foreign_ = holder;
    }
    foreign_until_ = until;
    if (gone_ == holder || !is_gone(holder)) return;
    gone_ = holder;
    renew(false);
}

}  // namespace sio::bridge
