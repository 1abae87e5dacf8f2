// The Lua text by which the stream of events keeps to its bounds: what every group of its readers has acknowledged goes
// first, and what does not fit then is refused.
#pragma once

#include <string_view>

namespace sio::gateway {

/// Goes before a script; defines `room_for(stream, size, cost, most_entries, most_bytes, now)`: whether an entry of
/// `cost` bytes of text may be appended, at `now` in ms. Gives an empty text, or why not (it begins with FULL, and
/// names the group that is behind most); how many entries there are; and about how many bytes, never less. `size` is
/// the key that keeps the estimate: when the stream was measured, the bytes since, and why it is full. What is full is
/// looked at again after 250 ms. Bounds of 0 are none. Needs Redis 6.2.
inline constexpr std::string_view room_text = R"lua(
local function is_before(a, b)
  local function is_less(x, y) return #x < #y or (#x == #y and x < y) end
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return is_less(a_ms, b_ms) end
  return is_less(a_seq, b_seq)
end

-- The first entry that some group has not acknowledged, nothing when there is no group; and whose that is, in words.
local function first_needed(stream)
  local first, who = nil, 'no group reads it'
  for _, words in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #words, 2 do group[words[i]] = words[i + 1] end
    local pending = redis.call('XPENDING', stream, group.name)
    local needed = pending[2]
    if not needed then
      needed = group['last-delivered-id']
      local ms, seq = string.match(needed, '^(%d+)-(%d+)$')
      if #seq < 15 then needed = ms .. '-' .. string.format('%.0f', seq + 1) end
    end
    if not first or is_before(needed, first) then
      first = needed
      who = 'the group "' .. string.gsub(group.name, '%c', '?') .. '" is behind: ' .. pending[1] ..
            ' entries read and not acknowledged, ' .. (tonumber(group.lag) or 'some') .. ' not read'
    end
  end
  return first, who
end

local function room_for(stream, size, cost, most_entries, most_bytes, now)
  if most_entries == 0 and most_bytes == 0 then return '', 0, 0 end
  if most_entries == 0 then most_entries = math.huge end
  if most_bytes == 0 then most_bytes = math.huge end
  local function measured() return redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 0) or 0 end
  local entries = redis.call('XLEN', stream)
  local looked, bytes, full = string.match(redis.call('GET', size) or '', '^(%d+) (%d+) ?(.*)$')
  looked, bytes = tonumber(looked), tonumber(bytes)
  if full and full ~= '' and now >= looked and now < looked + 250 then return full, entries, bytes end
  full = ''
  if not looked or now < looked or now > looked + 10000 then looked, bytes = now, measured() end
  -- Of an entry the stream never takes more: small ones share a node, a large one has a block of its own.
  cost = math.floor(cost * 1.25) + 150
  local function is_over() return entries >= most_entries or bytes + cost > most_bytes end
  if is_over() then
    looked, bytes = now, measured()
    if is_over() then
      local first, who = first_needed(stream)
      -- What all have acknowledged goes, the oldest first, until an eighth is free.
      for _ = 1, first and 32 or 0 do
        if entries <= most_entries * 7 / 8 and bytes <= most_bytes * 7 / 8 then break end
        local gone = redis.call('XTRIM', stream, 'MINID', '~', first, 'LIMIT', math.ceil(entries / 8))
        if gone == 0 then gone = redis.call('XTRIM', stream, 'MINID', '~', first, 'LIMIT', 100) end
        if gone == 0 then gone = redis.call('XTRIM', stream, 'MINID', first) end
        if gone == 0 then break end
        entries, bytes = entries - gone, measured()
      end
      if is_over() then
        full = string.format('FULL the stream has %d entries of %.0f bytes; %s', entries, bytes, who)
      end
    end
  end
  if full == '' then bytes = bytes + cost end
  redis.call('SET', size, string.format('%.0f %.0f %s', looked, bytes, full))
  return full, entries, bytes
end
)lua";

}  // namespace sio::gateway
