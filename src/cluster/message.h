// The messages members of a cluster exchange through Redis, to and from bytes, as @socket.io/redis-streams-adapter,
// @socket.io/redis-streams-emitter and the classic @socket.io/redis-emitter write them.
//
// What comes out of a Decoder has been checked completely: its JSON may be sent to clients as it is. Source:
// cluster-wire 1.3 to 1.6 and 3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sio::cluster {

enum class Type : std::uint8_t {
    initial_heartbeat = 1,
    heartbeat,
    broadcast,
    sockets_join,
    sockets_leave,
    disconnect_sockets,
    fetch_sockets,
    fetch_sockets_response,
    server_side_emit,
    server_side_emit_response,
    broadcast_client_count,
    broadcast_ack,
    adapter_close,
    // Ours, which gateways alone send each other: doc/protocol/cluster.md.
    count_sockets = 64,
    count_sockets_response,
};

/// The name as logs spell it, for instance "fetch_sockets".
std::string_view to_string(Type type) noexcept;

/// Whether it answers a request.
[[nodiscard]] constexpr bool is_response(Type type) noexcept {
    return type == Type::fetch_sockets_response || type == Type::server_side_emit_response ||
           type == Type::broadcast_client_count || type == Type::broadcast_ack || type == Type::count_sockets_response;
}

/// The uid of messages that come from an emitter, which is no member.
inline constexpr std::string_view emitter_uid = "emitter";

struct Flags {
    bool is_volatile = false;
    std::optional<bool> compress;
    bool expect_single_response = false;
    std::optional<std::int64_t> timeout_ms;

    friend bool operator==(const Flags&, const Flags&) = default;
};

/// Strings whose memory is used again: clear() keeps it, within a bound.
class StringList {
public:
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] const std::string& operator[](std::size_t i) const noexcept { return items_[i]; }
    [[nodiscard]] const std::string* begin() const noexcept { return items_.data(); }
    [[nodiscard]] const std::string* end() const noexcept { return items_.data() + size_; }
    [[nodiscard]] std::span<const std::string> span() const noexcept { return {items_.data(), size_}; }
    operator std::span<const std::string>() const noexcept { return span(); }
    [[nodiscard]] std::vector<std::string> copy() const { return {begin(), end()}; }

    void clear() noexcept;
    /// Adds an empty string and returns it.
    std::string& add();

private:
    static constexpr std::size_t kept_items = 64;
    static constexpr std::size_t kept_bytes = 4096;  ///< of one string
    std::vector<std::string> items_;
    std::size_t size_ = 0;
};

/// One of the selections that a count_sockets asks about.
struct Question {
    std::vector<std::string> rooms;  ///< empty: everybody
    std::vector<std::string> except;

    friend bool operator==(const Question&, const Question&) = default;
};

/// One message. Which members are set depends on the type; the others are empty. Views live until the next call of the
/// Decoder that returned it, and only while the text it was decoded from does.
struct Message {
    std::string_view uid;  ///< of the sender; may be empty
    std::string_view nsp;
    Type type{};

    std::string_view request_id;
    bool has_request_id = false;  ///< an answer is wanted, or this is one

    StringList rooms;  ///< empty: everybody
    StringList except;
    Flags flags;

    std::string_view event;      ///< broadcast and server_side_emit: the name, raw JSON (a string or a number)
    std::string_view arguments;  ///< raw JSON, comma-separated, without brackets; canonical placeholders
    std::vector<std::string> attachments;  ///< what the placeholders of arguments, value or sockets stand for
    bool packet_has_id = false;            ///< broadcast: an emit with acknowledgement that was written to the stream

    StringList joined_rooms;         ///< sockets_join, sockets_leave
    bool close = false;              ///< disconnect_sockets: the connection too
    std::uint64_t client_count = 0;  ///< broadcast_client_count
    std::string_view value;          ///< server_side_emit_response, broadcast_ack: one value, raw JSON; "null" for none
    std::string_view sockets;        ///< fetch_sockets_response: raw JSON array of objects

    bool gateways_count = false;        ///< fetch_sockets: gateways have been asked otherwise, and need not answer
    std::vector<Question> questions;    ///< count_sockets
    std::vector<std::uint64_t> counts;  ///< count_sockets_response: one for each question, in their order
    bool is_open = false;               ///< count_sockets_response: the sender has the namespace
};

/// What classic adapters ask of each other. Source: cluster-wire 3.3.
enum class ClassicType : std::uint8_t {
    sockets = 0,
    all_rooms,
    remote_join,
    remote_leave,
    remote_disconnect,
    remote_fetch,
    server_side_emit,
    broadcast,
};

/// A request of a classic adapter or emitter. `message` holds what both dialects share: uid (empty when absent),
/// request_id, rooms and except of `opts`, flags, event, arguments, attachments, joined_rooms, close; its type is the
/// nearest of ours (fetch_sockets for sockets and all_rooms); its nsp is the packet's, "/" when it names none. Views
/// live as those of a Message.
struct ClassicRequest {
    ClassicType type{};
    const Message* message = nullptr;
    std::string_view sid;  ///< legacy join, leave and disconnect: the one socket meant (no `opts`)
};

/// Decodes one message at a time and keeps its scratch memory. A plain JSON broadcast takes no memory once the decoder
/// has seen one like it.
class Decoder {
public:
    /// The most bytes a message may have by default.
    static constexpr std::size_t default_max_bytes = 64U << 20U;
    /// Rooms in one list of a message; more are malformed.
    static constexpr std::size_t max_rooms = 100'000;
    /// Questions of one count_sockets, and counts of its answer; more are malformed.
    static constexpr std::size_t max_questions = 256;
    /// Binary values in the sockets of one fetch_sockets_response; events and values have proto::max_attachments.
    static constexpr std::size_t max_socket_attachments = 4096;

    explicit Decoder(std::size_t max_bytes = default_max_bytes) noexcept : max_bytes_(max_bytes) {}
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    /// A stream entry, from its fields. `data` is JSON or the base64 of MessagePack, empty for none. Errors:
    /// `malformed`; `too_large` when `data` passes the limit. A reader skips the entry and goes on.
    Result<const Message*> stream_entry(std::string_view uid, std::string_view nsp, std::string_view type,
                                        std::string_view data);

    /// What was published on a channel: a whole message in MessagePack, or in JSON, as the sharded adapter writes it.
    /// Errors: as stream_entry(); an array (the classic adapter's) is malformed.
    Result<const Message*> payload(std::string_view bytes);

    /// A broadcast of a classic adapter or emitter: `[uid, packet, opts]`. Message::nsp is the packet's, "/" when it
    /// names none. Errors: as stream_entry(); a map (the streams adapter's) is malformed.
    Result<const Message*> classic_broadcast(std::string_view bytes);

    /// What was published on a classic request channel, JSON or MessagePack. Errors: as stream_entry().
    Result<const ClassicRequest*> classic_request(std::string_view bytes);

private:
    struct Cursor;
    enum class Dialect : std::uint8_t { streams, classic };

    void reset() noexcept;
    // Each reads one JSON value and leaves the cursor behind it; null, or why it cannot.
    const char* read_data(std::string_view json);
    const char* read_packet(Cursor& in, Dialect dialect);
    const char* read_event(Cursor& in, bool refuse_reserved);
    const char* read_opts(Cursor& in);
    const char* read_flags(Cursor& in);
    const char* read_list(Cursor& in, StringList& out);
    const char* read_text(Cursor& in, std::string_view& out, bool* is_there);
    const char* read_questions(Cursor& in);
    const char* read_counts(Cursor& in);
    [[nodiscard]] const char* check_placeholders() const;
    const char* read_payload_json(std::string_view json);
    const char* read_payload_msgpack(std::string_view map);
    const char* read_classic_broadcast(std::string_view array);
    const char* read_classic_request(std::string_view json);
    const char* transcode(std::string_view value, std::size_t max_attachments);

    std::size_t max_bytes_;
    Message message_;
    ClassicRequest request_;
    StringList list_;                  // of a question that is being read
    std::string json_;                 // what MessagePack became
    std::deque<std::string> decoded_;  // texts whose escapes were resolved
};

/// A message to encode: what Message has, as views. Which members are used depends on the type. All JSON must be valid.
struct Outgoing {
    Type type{};
    std::string_view request_id = {};  ///< empty: none

    std::span<const std::string> rooms = {};
    std::span<const std::string> except = {};
    Flags flags = {};

    std::string_view emitter_nsp = {};  ///< broadcast: written as an emitter does, who names the namespace again
    std::string_view event = {};        ///< raw JSON
    std::string_view arguments = {};    ///< raw JSON, comma-separated, without brackets; canonical placeholders
    std::span<const std::string> attachments = {};
    std::optional<std::uint64_t> packet_id = {};  ///< broadcast to one socket that is to acknowledge

    std::span<const std::string> joined_rooms = {};
    bool close = false;
    std::uint64_t client_count = 0;
    std::string_view value = "null";  ///< raw JSON
    std::string_view sockets = "[]";  ///< raw JSON array, made with append_remote_socket()

    bool gateways_count = false;
    std::span<const Question> questions = {};
    std::span<const std::uint64_t> counts = {};
    bool is_open = false;
};

/// Appends the `data` field of a stream entry: JSON, or the base64 of MessagePack when there are attachments; nothing
/// for the types without data. Byte for byte as Node writes it.
void append_stream_data(std::string& out, const Outgoing& message);

/// Appends the whole message in MessagePack, for a channel. Byte for byte as Node writes it.
void append_payload(std::string& out, std::string_view uid, std::string_view nsp, const Outgoing& message);

/// Appends a fetch_sockets_response whose `count` sockets are MessagePack already, one behind the other, as
/// append_payload() would write it.
void append_sockets_payload(std::string& out, std::string_view uid, std::string_view nsp, std::string_view request_id,
                            std::size_t count, std::string_view sockets);

/// A socket in the answer to fetch_sockets. Source: cluster-wire 1.7.
struct RemoteSocket {
    std::string_view id = {};
    std::span<const std::pair<std::string_view, std::string_view>> headers = {};  ///< names in lower case
    std::string_view address = {};
    bool xdomain = false;
    bool secure = false;
    std::int64_t issued_ms = 0;  ///< Unix time
    std::string_view url = {};
    std::span<const std::pair<std::string_view, std::string_view>> query = {};  ///< decoded
    std::string_view auth = "{}";                                               ///< raw JSON object
    std::span<const std::string> rooms = {};
    std::string_view data = "{}";  ///< raw JSON object
};

/// Appends one element to a JSON array in the making: begin with `[`, append each, end with `]`. Adds the comma when
/// `array` does not end with `[`.
void append_remote_socket(std::string& array, const RemoteSocket& socket);

}  // namespace sio::cluster
