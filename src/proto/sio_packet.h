// Socket.IO v5 packets to and from bytes, and the reassembly of binary attachments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace sio::proto {

/// Source: Socket.IO protocol revision 5, "Packet encoding".
enum class SioType : char {
    connect = '0',
    disconnect = '1',
    event = '2',
    ack = '3',
    connect_error = '4',
    binary_event = '5',
    binary_ack = '6',
};

/// The most attachments a packet may have. Node's decoder refuses more since socket.io-parser 4.2.6.
inline constexpr std::size_t max_attachments = 10;

/// One complete packet. Views live until the next call of the decoder that returned it.
struct SioPacket {
    SioType type;
    std::string_view nsp;             ///< "/" when the text names none
    std::optional<std::uint64_t> id;  ///< acknowledgement id
    std::string_view json;            ///< validated payload without blanks around it; may be empty
    const std::vector<std::string>* attachments = nullptr;  ///< for binary types only

    [[nodiscard]] bool is_event() const noexcept { return type == SioType::event || type == SioType::binary_event; }
    [[nodiscard]] bool is_ack() const noexcept { return type == SioType::ack || type == SioType::binary_ack; }
};

/// Turns the messages of one connection into packets.
///
/// Text without attachments is decoded in place: the packet's views point into the text given, nothing is allocated.
/// A packet with attachments is kept (header text and binaries) until its last one has come. Every rule of
/// wire-protocol 2.1–2.4 is checked, so what comes out can be relayed as bytes: unknown type, payload kinds, reserved
/// event names, attachment counts, placeholders out of range, text while binaries are missing, binaries nobody
/// announced. An error is final for the connection.
///
/// Placeholders of what comes out are canonical: each is written `{"_placeholder":true,"num":k}` with k = 0, 1, 2 … in
/// order of appearance, and `attachments` are in that order (unreferenced ones are dropped, one referenced twice is
/// repeated), because some clients compare that text. The number of attachments after that is still at most
/// max_attachments, and their bytes still within the limit. A binary packet that references none of its attachments
/// comes out as a plain event or ack, since a count of 0 is not allowed on the wire.
class SioDecoder {
public:
    /// Limits one packet's text and attachments together to `max_bytes` (inclusive), and its JSON to `max_depth`
    /// levels.
    explicit SioDecoder(std::size_t max_bytes, std::size_t max_depth = json::default_depth) noexcept
        : max_bytes_(max_bytes), max_depth_(max_depth) {}

    /// A text message (without the Engine.IO `4`). A value without packet: attachments are still missing.
    Result<std::optional<SioPacket>> text(std::string_view message);

    /// A binary message.
    Result<std::optional<SioPacket>> binary(std::string_view bytes);

    /// Which limit the last packet passed that was refused, for whoever tells it.
    enum class Over : std::uint8_t { nothing, bytes, attachments, depth };
    struct Excess {
        Over over = Over::nothing;
        std::uint64_t size = 0;  ///< 0: not known
        std::uint64_t most = 0;
    };
    [[nodiscard]] Excess excess() const noexcept { return excess_; }

    /// Whether attachments are being waited for.
    [[nodiscard]] bool is_waiting() const noexcept { return pending_ != nullptr; }

    /// Drops the packet that was last returned: its views are not used any more.
    void forget() noexcept { complete_.reset(); }

    /// Bytes held for the packet that is being reassembled, or was last returned.
    [[nodiscard]] std::size_t bytes_held() const noexcept;

private:
    struct Pending;
    struct PendingDeleter {
        void operator()(Pending* pending) const noexcept;
    };
    tl::unexpected<Error> too_large(std::uint64_t size) noexcept;

    std::size_t max_bytes_;
    std::size_t max_depth_;
    Excess excess_;
    std::unique_ptr<Pending, PendingDeleter> pending_;   // being filled
    std::unique_ptr<Pending, PendingDeleter> complete_;  // last returned; its views are alive
};

/// A placeholder found in a payload: the byte range of its object and the attachment it names.
struct Placeholder {
    std::size_t begin;
    std::size_t end;
    std::uint32_t num;
};

/// Finds each object of a valid JSON text whose `_placeholder` is true, in order. Errors: `malformed` when its `num`
/// is not an integer in [0, attachments).
Result<std::vector<Placeholder>> find_placeholders(std::string_view json, std::size_t attachments);

/// Appends the part of a packet before its JSON: type, `<attachments>-` for binary types, `<nsp>,` unless "/", id.
void append_sio_header(std::string& out, SioType type, std::size_t attachments, std::string_view nsp,
                       std::optional<std::uint64_t> id);

/// The event name of a valid event payload (`["name",…]`), raw with its quotes (or digits: numbers are names too);
/// empty when the payload is empty.
std::string_view event_name_token(std::string_view json) noexcept;

/// The arguments of an event payload as bytes: what follows the name, without the comma and the closing bracket;
/// empty when there are none. `1,"2",{"3":[true]}` for `["message",1,"2",{"3":[true]}]`. For an ack payload all
/// between the brackets.
std::string_view event_arguments(std::string_view json) noexcept;
std::string_view ack_arguments(std::string_view json) noexcept;

/// Whether a server may not emit under this name (`connect`, `disconnect`, …): wire-protocol 2.3.
bool is_reserved_event(std::string_view name) noexcept;

}  // namespace sio::proto
