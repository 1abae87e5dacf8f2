// The Lua scripts of presence: each is one atomic step in Redis (5.0 or later; 6.2 with a retention or bounds).
// presence.h tells what they are for; this file says how they keep their promises.
//
// Keys, all below a prefix that is a hash tag, so that they stand on one slot:
//
//     presence          hash   user -> on how many gateways; 0: in grace. Absent: offline
//     leaving           zset   users in grace -> when it ends
//     presence:left     zset   users who left a gateway while another had them -> when the grace of that ends
//     nodes             zset   gateway -> its last heartbeat
//     node:<gateway>    set    the users of that gateway
//     presence:dead     zset   sets of gateways that are gone, still to be counted down -> when their users' grace ends
//     presence:dead:*   set    one of them
//     presence:seq      hash   gateway -> the number of its last call
//     presence:state    hash   generation (changes when all was forgotten), calm, reaps
//
// Times are milliseconds of Redis's own clock. Always: a user's number is how many sets, of gateways and dead ones,
// hold it; it is in `leaving` exactly when its number is 0.
//
// Numbers of calls tell a gateway when Redis has forgotten some (a replica took over), and Redis when a call of an old
// connection comes late, after those of the new one: it is refused.
//
// `calm`: until then nobody is taken for dead and nobody goes offline. It begins when no gateway had reached Redis for
// a while (Redis was away, or its clock jumped), and lasts as long as gateways may take to come back and say who is
// here.
#pragma once

#include <string_view>

namespace sio::gateway::presence_scripts {

/// Before each script, behind room_text (stream_room.h). ARGV[1] is the prefix.
inline constexpr std::string_view prelude = R"lua(
local prefix = ARGV[1]
local presence, leaving, nodes = prefix .. 'presence', prefix .. 'leaving', prefix .. 'nodes'
local dead, seqs, state = prefix .. 'presence:dead', prefix .. 'presence:seq', prefix .. 'presence:state'
local left = prefix .. 'presence:left'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local calm = tonumber(redis.call('HGET', state, 'calm') or 0)
local problem = false

-- Of the streams of entries: for how long they are kept, how many and how many bytes. 0: no bound.
local function limits_of(text)
  local retention, entries, bytes = string.match(text, '^(%d+) (%d+) (%d+)$')
  return {retention = tonumber(retention), entries = tonumber(entries), bytes = tonumber(bytes)}
end

-- Why a stream has no room for these words, or nothing.
local function why_full(stream, limits, from, to)
  local cost = 0
  for i = from, to do cost = cost + #ARGV[i] end
  local full = room_for(stream, stream .. ':size', cost, limits.entries, limits.bytes, now)
  return full ~= '' and full or nil
end

-- Appends the entries that ARGV describes from `at`: how many; of each the stream, how many words, the words. Gives
-- where they end. What is wrong with a stream must not leave a batch half done.
local function announce(at, really, limits)
  local entries, retention = tonumber(ARGV[at]), limits.retention
  at = at + 1
  for _ = 1, entries do
    local stream, words = ARGV[at], tonumber(ARGV[at + 1])
    local full = really and why_full(stream, limits, at + 2, at + 1 + words)
    if full then
      problem = full
    elseif really then
      local done
      if retention > 0 then
        done = redis.pcall('XADD', stream, 'MINID', '~', now - retention, '*', unpack(ARGV, at + 2, at + 1 + words))
      else
        done = redis.pcall('XADD', stream, '*', unpack(ARGV, at + 2, at + 1 + words))
      end
      if type(done) == 'table' and done.err then problem = done.err end
    end
    at = at + 2 + words
  end
  return at
end

-- The number of the last call of a gateway, and whether this one may follow it.
local function take_number(node, number)
  local last = tonumber(redis.call('HGET', seqs, node) or 0)
  if number <= last then return last, false end
  redis.call('HSET', seqs, node, number)
  return last, true
end

-- A user has left one gateway, which has a grace until `due`. Gives when the user's grace ends, if it began.
-- The gateway that still has the user may be dead and not yet buried: then the grace of this leaving is what counts.
local function count_down(user, due)
  local before = tonumber(redis.call('ZSCORE', left, user) or 0)
  if redis.call('HINCRBY', presence, user, -1) > 0 then
    if due > before and due > now then redis.call('ZADD', left, due, user) end
    return nil
  end
  due = math.max(due, before)
  redis.call('ZREM', left, user)
  redis.call('HSET', presence, user, 0)
  redis.call('ZADD', leaving, due, user)
  return due
end

-- A gateway is gone: its users are counted down later, in batches.
local function bury(node, due)
  redis.call('ZREM', nodes, node)
  redis.call('HDEL', seqs, node)
  local users = prefix .. 'node:' .. node
  if redis.call('EXISTS', users) == 0 then return end
  local grave = node .. ':' .. redis.call('HINCRBY', state, 'reaps', 1)
  redis.call('RENAME', users, dead .. ':' .. grave)
  redis.call('ZADD', dead, due, grave)
end
)lua";

/// The heartbeat. It joins a gateway that Redis does not know, buries others whose heart stopped, counts down a batch
/// of the users of the buried, and hands out users whose grace is over and whom nobody has settled.
///
/// ARGV: prefix, gateway, number, fresh (1: forget what is known of this gateway), interval, timeout, grace, batch, the
/// generation last seen or nothing.
/// Gives: known (0: say again who is here, -1: the number is too small), generation, the number of the call before,
/// how many were buried, graves left, users whose grace began and for how long (flat), users to be settled, how long
/// calm lasts.
///
/// Handing out sets the end of grace to now, so that others are not given the same user within the next second.
inline constexpr std::string_view beat = R"lua(
local node, number, fresh = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local interval, timeout, grace, batch = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local last, in_order = take_number(node, number)
if not in_order then return {-1, '', last} end

local generation = redis.call('HGET', state, 'generation')
if not generation then
  generation = clock[1] .. '.' .. clock[2] .. '.' .. node
  redis.call('HSET', state, 'generation', generation)
end

local newest = redis.call('ZREVRANGE', nodes, 0, 0, 'WITHSCORES')[2]
local disturbed = ARGV[9] ~= '' and ARGV[9] ~= generation
if newest then
  newest = tonumber(newest)
  if newest < now - 3 * interval then disturbed = true end
  if newest > now + interval then  -- the clock went back
    disturbed = true
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', nodes, now + 1, '+inf')) do
      redis.call('ZADD', nodes, now, other)
    end
    redis.call('DEL', left)
  end
elseif redis.call('EXISTS', presence) == 1 then
  disturbed = true
end
if disturbed or calm > now + timeout then
  calm = now + timeout
  redis.call('HSET', state, 'calm', calm)
end
for _, user in ipairs(redis.call('ZRANGEBYSCORE', leaving, now + 660000, '+inf', 'LIMIT', 0, batch)) do
  redis.call('ZADD', leaving, now + grace, user)  -- no grace is that long: the clock went back
end

local known = 1
if fresh or not redis.call('ZSCORE', nodes, node) then
  known = 0
  bury(node, now + math.max(grace, timeout))
  redis.call('HSET', seqs, node, number)
end
redis.call('ZADD', nodes, now, node)
redis.call('ZREMRANGEBYSCORE', left, '-inf', now)

local buried = 0
if now >= calm then
  local silent = redis.call('ZRANGEBYSCORE', nodes, '-inf', now - timeout, 'WITHSCORES', 'LIMIT', 0, 16)
  for i = 1, #silent, 2 do
    -- The last heartbeat may have come one interval before the end.
    bury(silent[i], math.max(now, silent[i + 1] + interval + grace))
    buried = buried + 1
  end
end

local graced = {}
local grave = redis.call('ZRANGE', dead, 0, 0, 'WITHSCORES')
if grave[1] then
  local users, due = dead .. ':' .. grave[1], math.max(now, tonumber(grave[2]))
  for _, user in ipairs(redis.call('SPOP', users, batch)) do
    local ends = count_down(user, due)
    if ends then
      graced[#graced + 1] = user
      graced[#graced + 1] = ends - now
    end
  end
  if redis.call('EXISTS', users) == 0 then redis.call('ZREM', dead, grave[1]) end
end

local forgotten = {}
if now >= calm then
  forgotten = redis.call('ZRANGEBYSCORE', leaving, '-inf', now - 1000, 'LIMIT', 0, batch)
  for _, user in ipairs(forgotten) do redis.call('ZADD', leaving, now, user) end
end

return {known, generation, last, buried, redis.call('ZCARD', dead), graced, forgotten, math.max(0, calm - now)}
)lua";

/// Users came to this gateway or left it. Saying the same twice changes nothing.
///
/// ARGV: prefix, gateway, number, grace, timeout, limits, how many users; of each: what, user, entries (see
/// announce()). What: `+` is here; `=` is here, and was before Redis forgot all, so it is no news while calm lasts; `-`
/// is not here;
/// `!` was here before Redis forgot all and is no more.
/// Gives: whether it was done (not when the gateway is unknown, or the number too small), the places (from 1) of users
/// who came online, the places of those whose grace began and for how long (flat), what was wrong with a stream or
/// nothing.
inline constexpr std::string_view change = R"lua(
local node, grace, timeout, limits = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), limits_of(ARGV[6])
if not redis.call('ZSCORE', nodes, node) then return {0, {}, {}, ''} end
local _, in_order = take_number(node, tonumber(ARGV[3]))
if not in_order then return {0, {}, {}, ''} end
local users, online, graced, at = prefix .. 'node:' .. node, {}, {}, 8
for place = 1, tonumber(ARGV[7]) do
  local what, user, news = ARGV[at], ARGV[at + 1], false
  if what == '+' or what == '=' then
    if redis.call('SADD', users, user) == 1 and redis.call('HINCRBY', presence, user, 1) == 1 then
      news = redis.call('ZREM', leaving, user) == 0 and (what == '+' or now >= calm)
      if news then online[#online + 1] = place end
    end
  elseif what == '-' then
    local ends = redis.call('SREM', users, user) == 1 and count_down(user, now + grace)
    if ends then
      graced[#graced + 1] = place
      graced[#graced + 1] = ends - now
    end
  elseif redis.call('HSETNX', presence, user, 0) == 1 then
    redis.call('ZADD', leaving, now + math.max(grace, timeout), user)
    graced[#graced + 1] = place
    graced[#graced + 1] = math.max(grace, timeout)
  end
  at = announce(at + 2, news, limits)
end
return {1, online, graced, problem or ''}
)lua";

/// Grace should be over for these users.
///
/// ARGV: prefix, limits, how many users; of each: user, entries.
/// Gives: of each 1 (went offline just now), 0 (is not in grace: came back, or somebody else settled it), or, negative,
/// for how many milliseconds it still is; then what was wrong with a stream, or nothing.
inline constexpr std::string_view settle = R"lua(
local limits, results, at = limits_of(ARGV[2]), {}, 4
for place = 1, tonumber(ARGV[3]) do
  local user, result = ARGV[at], 0
  local due = redis.call('ZSCORE', leaving, user)
  if due then
    due = math.max(tonumber(due), calm)
    if due > now then
      result = math.min(-1, math.floor(now - due))
    else
      redis.call('ZREM', leaving, user)
      redis.call('HDEL', presence, user)
      result = 1
    end
  end
  results[place] = result
  at = announce(at + 1, result == 1, limits)
end
return {results, problem or ''}
)lua";

/// This gateway ends. Whoever beats next counts its users down; they have the usual grace.
///
/// ARGV: prefix, gateway, grace.
inline constexpr std::string_view leave = R"lua(
bury(ARGV[2], now + tonumber(ARGV[3]))
return 1
)lua";

}  // namespace sio::gateway::presence_scripts
