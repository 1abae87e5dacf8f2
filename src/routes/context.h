// What a template can refer to while a list of actions runs: the event, its sender, the handshake and the clock, or a
// Kafka record and the clock.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sio::routes {

struct RecordFacts;

/// What is looked up only when a template or a rule asks for it. The gateway's Host answers.
class Facts {
public:
    virtual ~Facts() = default;

    /// The decoded value of a parameter of the handshake's query, or nothing.
    virtual std::optional<std::string> query(std::string_view name) const = 0;

    /// A header of the handshake's request, or nothing. `name` is in lower case.
    virtual std::optional<std::string> header(std::string_view name) const = 0;

    /// The rooms the socket is in now, as a JSON array of strings; `[]` when it is gone.
    virtual std::string rooms() const = 0;

    /// Whether the socket is in `room` now.
    virtual bool is_in(std::string_view room) const = 0;
};

/// One event, connect or disconnect, as the gateway saw it. All views last for the call that is given the context; what
/// must live longer (a list that waits for an answer) is copied by Run.
struct Context {
    // The event. All empty on connect and disconnect.
    std::string_view event;                    ///< raw JSON token of its name: proto::event_name_token()
    std::string_view args;                     ///< raw JSON, comma-separated: proto::event_arguments()
    std::span<const std::string> attachments;  ///< its placeholders in `args` are canonical
    bool wants_ack = false;                    ///< the client asked for an acknowledgement

    // The socket.
    std::string_view socket_id;
    std::string_view nsp = "/";
    std::string_view transport;  ///< "polling" or "websocket"
    bool recovered = false;

    // Who it is.
    std::string_view user_id;  ///< text; empty: anonymous
    std::string_view user;     ///< raw JSON object with all that is known of the user; may be empty

    // The handshake.
    std::string_view auth = "{}";  ///< raw JSON object: the payload of CONNECT
    std::string_view address;

    std::int64_t now_ms = 0;  ///< Unix time

    std::string_view reason;  ///< of a disconnect, as Socket.IO names it

    // The last answer to `ask` or `hand`; Run fills these.
    bool answered = false;
    std::string_view answer;  ///< raw JSON, comma-separated
    std::span<const std::string> answer_attachments;

    const RecordFacts* record = nullptr;  ///< of a Kafka record (topics.h), which has nothing of the above but the time
    const Facts* facts = nullptr;         ///< null: no query, no headers, no rooms. Run sets it to its Host.
};

}  // namespace sio::routes
