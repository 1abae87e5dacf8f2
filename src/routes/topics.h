// What becomes of a Kafka record: the `topics` of a routes file. See sio-routes(5).
//
// No Kafka here: a record is a Context whose `record` is set, and what is to be done is told to a sink.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "routes/context.h"
#include "routes/routes.h"

namespace sio::routes {

inline constexpr std::size_t max_topic_name_bytes = 249;  ///< as Kafka has it, inclusive
inline constexpr std::size_t max_record_fields = 16;      ///< members of a value that are found on the way, a topic

/// How a topic's values are read.
enum class Format : std::uint8_t {
    json,   ///< one JSON value
    text,   ///< UTF-8, which becomes a JSON string
    bytes,  ///< anything, which becomes an attachment
};

struct RecordHeader {
    std::string_view name;
    std::string_view value;  ///< bytes; a null is an empty text
};

/// A record that has been read: what the roots {record.…} and {cloudevent.…} look at. Made by read_record(); views into
/// the record and into this.
struct RecordFacts {
    std::string_view topic;
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    std::int64_t time_ms = -1;            ///< Unix time; -1: none
    std::optional<std::string_view> key;  ///< UTF-8, else it is missing for templates
    std::span<const RecordHeader> headers;

    std::string_view value;  ///< raw JSON: the value as read; a placeholder for bytes
    /// CloudEvents 1.0, binary or structured mode. Raw JSON object of its attributes, with `data` where there is some;
    /// empty: the record is none.
    std::string cloudevent;
    std::vector<std::string> attachments;  ///< the value's bytes, or the decoded `data_base64`
    bool is_binary = false;                ///< `value` is attachments[0]
    bool has_binary_data = false;          ///< the CloudEvent's `data` is
    std::string storage;                   ///< what `value` points into when it is not the record's own bytes

    /// The members of `value` that TopicRoute::fields names, in that order; empty: it has none. Only when `has_fields`.
    std::array<std::string_view, max_record_fields> fields;
    bool has_fields = false;
};

struct TopicRoute;

/// Whether a record may be emitted into a namespace of that name: it begins with `/`, has no comma and is not too long.
[[nodiscard]] bool is_namespace_name(std::string_view name) noexcept;

/// Reads the value as `route` declares it and the CloudEvent in it. `facts` has everything else set before. A null
/// value (tombstone) is JSON null. Never recurses; takes no memory for plain JSON without a CloudEvent.
///
/// Errors: `malformed`, naming the place: not JSON (with the byte offset), not UTF-8, an envelope that lacks a required
/// attribute.
Result<void> read_record(const TopicRoute& route, std::optional<std::string_view> value, RecordFacts& facts);

/// One thing to be done, everything rendered. Views last for the call.
struct RecordAction {
    enum class Kind : std::uint8_t { emit, join, leave, disconnect } kind = Kind::emit;
    std::string_view nsp = "/";
    std::span<const std::string> rooms = {};  ///< whose sockets are meant; empty: all of the namespace
    std::span<const std::string> except = {};
    bool is_volatile = false;
    std::string_view event = {};                     ///< emit: raw JSON token
    std::string_view args = {};                      ///< emit: raw JSON, comma-separated, without brackets
    std::span<const std::string> attachments = {};   ///< emit: in order of the placeholders in `args`, copied or not
    std::span<const std::string> joined_rooms = {};  ///< join, leave
    bool close = false;                              ///< disconnect: the connection, not only the namespace
};

class RecordSink {
public:
    virtual ~RecordSink() = default;
    virtual void on_action(const RecordAction& action) = 0;
};

/// One action of a topic's list.
struct TopicAction {
    RecordAction::Kind kind = RecordAction::Kind::emit;
    Template nsp;         ///< a text; `/` unless the file says otherwise
    Template event;       ///< a value
    Args args;            ///< none, or an array
    bool to_all = false;  ///< else `rooms`
    Rooms rooms;
    Rooms except;
    bool is_volatile = false;
    Rooms joined_rooms;
    bool close = false;
    std::vector<Condition> when;
    std::string about;
};

/// What becomes of the records of one topic, or of all whose names match a pattern.
struct TopicRoute {
    std::string name;         ///< as the file spells it
    bool is_pattern = false;  ///< has `*`, which stands for any run of characters
    Format format = Format::json;
    bool has_cloudevents = true;  ///< a record that says it is a CloudEvent is read as one
    std::vector<TopicAction> actions;
    std::vector<std::string> fields;  ///< members of the value that templates look at, at most max_record_fields
    std::string about;
};

/// Does the list for one record. All actions are rendered before the first is told, so that a record that fails has
/// done nothing. Reuses the memory of `work` over records.
///
/// Errors: `denied`, a sentence that names the action (`do/0: {record.value.courseId} is not in the record`): unlike in
/// lists of client events, a reference that finds nothing is an error, in rooms, events and arguments alike; and what
/// render() refuses. Conditions are false where they cannot be told.
class RecordRun {
public:
    RecordRun();
    ~RecordRun();
    RecordRun(const RecordRun&) = delete;
    RecordRun& operator=(const RecordRun&) = delete;
    Result<void> run(const TopicRoute& route, const Context& context, RecordSink& sink);

private:
    struct Work;
    std::unique_ptr<Work> work_;
};

}  // namespace sio::routes
