// What a node keeps in Redis of a client that may come back. Source: cluster-wire 1.12.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/stream_id.h"

namespace sio::cluster {

/// A session as Node stores it, and seven members of ours that Node ignores.
struct StoredSession {
    std::string sid;
    std::string pid;
    std::vector<std::string> rooms;             ///< the one named like the sid among them
    std::string data = "{}";                    ///< raw JSON, the application's; canonical placeholders
    std::vector<std::string> data_attachments;  ///< what they stand for

    std::optional<std::string> user;   ///< absent when a Node server wrote it; empty: anonymous
    std::optional<StreamId> since;     ///< end of the stream when the client connected; absent from Node
    std::optional<std::string> node;   ///< who wrote it; absent from Node
    std::optional<std::string> nsp;    ///< the namespace it is of; absent from Node
    std::vector<std::string> granted;  ///< of the rooms, those it is in by sio-authd's word; absent when there are none

    /// A room that it has joined after it connected, or was in and has left since: events before `after` and after
    /// `through` were not for it.
    struct Stay {
        std::string room;
        StreamId after;
        std::optional<StreamId> through;  ///< nothing: it is in it
    };
    std::vector<Stay> stays;  ///< absent when there are none

    /// The process that the client is with, or was last, `owner_size` characters; absent from Node. It stands first, so
    /// that Redis itself can compare it and set another one, without reading the rest.
    std::optional<std::string> owner;
};

inline constexpr std::size_t owner_size = 16;

/// How the owner stands in the stored form of a session that has one: `owner_mark` at `owner_mark_at`, owner_text() at
/// `owner_at`; places are characters, from 0.
inline constexpr std::string_view owner_mark = "YXRld2F5";
inline constexpr std::size_t owner_mark_at = 4;
inline constexpr std::size_t owner_at = 12;
inline constexpr std::size_t owner_text_size = 24;
std::string owner_text(std::string_view owner);
/// Whether a session in its stored form belongs to the owner with this owner_text().
bool is_owned_by(std::string_view stored, std::string_view text) noexcept;

/// The most rooms, and binary values in `data`, a stored session may have.
inline constexpr std::size_t max_session_rooms = 10'000;
inline constexpr std::size_t max_session_attachments = 1024;

/// Appends the value to store: base64 of a MessagePack map. `data` must be valid JSON.
void append_session(std::string& out, const StoredSession& session);

/// Reads a stored value. Errors: `malformed`; `sid`, `pid` and `rooms` must be there and be strings.
Result<StoredSession> decode_session(std::string_view base64);

/// Appends the key of a session: prefix and pid.
void append_session_key(std::string& out, std::string_view prefix, std::string_view pid);

}  // namespace sio::cluster
