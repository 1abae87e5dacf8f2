#include "gateway/bridge_watch.h"

#include <array>

namespace sio::gateway {

namespace {

// ARGV: how old a word may be, milliseconds; a clock of Redis's that went back makes it negative. Answers how many
// bridges are there, how many of these reach Kafka, and how many there ever were.
constexpr std::string_view script = R"(
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('HVALS', KEYS[1])
local here, connected = 0, 0
for _, text in ipairs(all) do
  local ok, said = pcall(cjson.decode, text)
  if ok and type(said) == 'table' and type(said.at) == 'number' and now - said.at <= tonumber(ARGV[1]) then
    here = here + 1
    if said.kafka == true then connected = connected + 1 end
  end
end
return {here, connected, #all}
)";

}  // namespace

BridgeWatch::BridgeWatch(net::Loop& loop, Send send) : loop_(loop), send_(std::move(send)) {}

void BridgeWatch::start() { loop_.timers().arm(*this, loop_.now()); }

void BridgeWatch::expire(Millis now) {
    loop_.timers().arm(*this, now + interval);
    static const std::string age = std::to_string(silence);
    const std::array<std::string_view, 5> command = {"EVAL", script, "1", "sio:bridges", age};
    const bool taken = send_(command, [this, alive = std::weak_ptr<char>(alive_)](const redis::Reply* reply) {
        if (!alive.expired()) hear(reply);
    });
    if (!taken) hear(nullptr);
}

void BridgeWatch::hear(const redis::Reply* reply) {
    const bool is_told = reply != nullptr && reply->items.size() == 3;
    const auto item = [&](std::size_t i) {
        return is_told ? static_cast<std::size_t>(reply->items[i].to_integer()) : std::size_t{0};
    };
    bridges_ = item(0);
    connected_ = item(1);
    has_heard_ = has_heard_ || item(2) > 0;
}

}  // namespace sio::gateway
