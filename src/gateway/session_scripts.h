// The steps that change who a session in Redis belongs to. Its key is never absent while its client may return: the
// owner is replaced within the value, and who is not the owner any more can neither write nor delete it.
#pragma once

#include <string_view>

namespace sio::gateway {

/// Makes somebody the owner of a session, and gives its client the window to return once more.
///
/// KEYS: session. ARGV: owner_mark, owner_text(), the least time to live (ms). Returns the session as it was, or nil.
/// One that a Node server has written has no place for an owner: it is left as it is, and swap_session_script does the
/// rest.
inline constexpr std::string_view claim_session_script = R"lua(
local session = redis.call('GET', KEYS[1])
if not session then return false end
if string.sub(session, 5, 12) == ARGV[1] then redis.call('SETRANGE', KEYS[1], 12, ARGV[2]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return session
)lua";

/// Replaces a session that is still as it was read. KEYS: session. ARGV: as it was, as it shall be, time to live (ms).
/// Returns 1, or 0 when it is another one.
inline constexpr std::string_view swap_session_script = R"lua(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
)lua";

/// Writes a session, unless it belongs to somebody else by now. KEYS: session. ARGV: value, time to live (ms).
/// Returns 1, or 0 when it is another's.
inline constexpr std::string_view write_session_script = R"lua(
local session = redis.call('GET', KEYS[1])
if session and string.sub(session, 5, 36) ~= string.sub(ARGV[1], 5, 36) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
)lua";

/// Deletes a session, unless it belongs to somebody else by now. KEYS: session. ARGV: owner_mark and owner_text().
inline constexpr std::string_view delete_session_script = R"lua(
local session = redis.call('GET', KEYS[1])
if session and string.sub(session, 5, 36) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
)lua";

}  // namespace sio::gateway
