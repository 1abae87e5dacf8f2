// Templates: JSON values and texts with references like `{event.0.courseId}` in them.
//
// A template is compiled when the routes file is read. Rendering copies raw JSON spans of the context into the output
// between literal bytes that were quoted at load time, so nothing a client sends can leave the place it was given.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routes/context.h"

namespace sio::routes {

/// What a reference begins with.
enum class Root : std::uint8_t {
    event_arg,          ///< event.N…
    event_args,         ///< event.args
    event_name,         ///< event.name
    answer_arg,         ///< answer.N…
    answer_args,        ///< answer.args
    user,               ///< user…
    user_id,            ///< user.id
    socket_id,          ///< socket.id
    socket_namespace,   ///< socket.namespace
    socket_transport,   ///< socket.transport
    socket_recovered,   ///< socket.recovered
    socket_rooms,       ///< socket.rooms
    handshake_auth,     ///< handshake.auth…
    handshake_query,    ///< handshake.query.NAME
    handshake_header,   ///< handshake.headers.NAME
    handshake_address,  ///< handshake.address
    clock_iso,          ///< clock.iso, as JavaScript's toISOString
    clock_ms,           ///< clock.ms
    disconnect_reason,  ///< disconnect.reason
    record_value,       ///< record.value…
    record_key,         ///< record.key
    record_header,      ///< record.headers.NAME
    record_topic,       ///< record.topic
    record_partition,   ///< record.partition
    record_offset,      ///< record.offset
    record_time,        ///< record.time
    cloudevent,         ///< cloudevent…
};

/// Of Reference::slot: none.
inline constexpr std::uint8_t no_slot = 0xFF;

/// One `{…}`.
struct Reference {
    Root root = Root::event_args;
    std::uint32_t index = 0;        ///< of the argument, for event_arg and answer_arg
    std::string name;               ///< of the query parameter or header
    std::vector<std::string> path;  ///< members and indices below it
    std::string text;               ///< as written, with its braces: for messages
    bool is_trusted = false;        ///< an answer that can only be a handler's
    std::uint8_t slot = no_slot;    ///< of record_value: where the first step of `path` is in RecordFacts::fields

    /// Whether a client chooses the value.
    [[nodiscard]] bool is_from_client() const noexcept;

    /// Whether it looks at a Kafka record.
    [[nodiscard]] bool is_of_record() const noexcept;
};

/// A compiled value or text: pieces and what follows the last one.
///
/// In a value, literals are JSON bytes; in a text (a room name) they are the text itself.
struct Template {
    struct Piece {
        std::string before;  ///< literal bytes in front of the reference
        Reference reference;
        bool in_text = false;  ///< within a longer string, where only scalars may stand
    };
    std::vector<Piece> pieces;
    std::string tail;

    [[nodiscard]] bool is_constant() const noexcept { return pieces.empty(); }

    /// Whether it is one reference and nothing else, quotes aside.
    [[nodiscard]] bool is_reference() const noexcept {
        return pieces.size() == 1 && pieces[0].before.empty() && tail.empty() && !pieces[0].in_text;
    }

    /// Whether a client chooses any part of it.
    [[nodiscard]] bool is_from_client() const noexcept;
};

/// A rendered value. `attachments` point into those of the context, in order of the placeholders in `json`, which are
/// numbered 0, 1, 2 ….
struct Rendered {
    std::string json;
    std::vector<const std::string*> attachments;

    void clear() noexcept {
        json.clear();
        attachments.clear();
    }
};

/// Compiles a JSON value (valid, without blanks around it). Errors: `config`, with a remedy.
Result<Template> compile_value(std::string_view json);

/// Compiles a text, given decoded. Errors: `config`, with a remedy.
Result<Template> compile_text(std::string_view text);

/// Compiles the one reference that `text` is, or nothing when it is anything else.
Result<Template> compile_reference(std::string_view text);

/// What becomes of a reference that finds nothing.
enum class Missing : std::uint8_t {
    null,   ///< null, or nothing inside a longer string
    error,  ///< an error that names it
};

/// Appends the value to `out`. Errors: `denied` when something is missing and must not be, when an object or array
/// would stand inside a longer string, when the result would nest deeper than json::max_depth or have more attachments
/// than a packet may, or when a client's text only looks like an attachment. `out.json` must be empty.
Result<void> render(const Template& value, const Context& context, Rendered& out, Missing missing = Missing::null);

/// Renders a text into `out`, replacing it. Errors: `denied` when a part is missing, empty or no scalar; `missing` only
/// says how exactly that is told.
Result<void> render_text(const Template& text, const Context& context, std::string& out,
                         Missing missing = Missing::null);

/// The raw JSON a reference stands for, or nothing when it is missing. The view points into the context or into
/// `storage`, which is overwritten.
std::optional<std::string_view> look_up(const Reference& reference, const Context& context, std::string& storage);

/// The attachments that placeholders in the reference's value mean.
std::span<const std::string> attachments_of(const Reference& reference, const Context& context) noexcept;

/// `2026-01-31T12:00:00.000Z` for milliseconds since the epoch.
std::string iso_time(std::int64_t ms);

}  // namespace sio::routes
