// The control socket's lines: what sioctl and the daemons say to each other. The page is doc/protocol/admin.md.
//
// Codecs only: no socket, no clock. Values of a line stay the bytes they came in (base/json.h), so an argument of an
// event passes through unchanged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::wire {

inline constexpr int admin_major = 1;
inline constexpr int admin_minor = 0;

/// The longest line, without its line feed, bytes.
inline constexpr std::size_t admin_max_line = std::size_t{8} * 1024 * 1024;

/// One command of the protocol: its word, the members a request may have beside `cmd` and `id`, and what it does.
struct AdminCommand {
    std::string_view word;
    std::string_view members;
    std::string_view sentence;
    bool streams;  ///< answered by lines without end
};

/// All commands, in the order of the page. What is not in it is answered `unknown_command`.
std::span<const AdminCommand> admin_commands() noexcept;

/// The entry of that word, or null.
const AdminCommand* find_admin_command(std::string_view word) noexcept;

/// Where the gateway listens unless told otherwise: `/run/sio/gateway.sock` for root; else below $XDG_RUNTIME_DIR; else
/// `/tmp/sio-<uid>/gateway.sock`. Whoever has SIO_CONTROL or --control asks those first.
std::string default_control_path();

/// Who speaks: the first line in each direction. A client sends only the version.
struct AdminGreeting {
    int major = admin_major;
    int minor = admin_minor;
    std::string program;
    std::string version;
    std::int64_t pid = 0;
    std::string node;
};

/// The line a daemon opens with, line feed included.
std::string admin_server_greeting(const AdminGreeting& greeting);

/// The line a client opens with, line feed included.
std::string admin_client_greeting();

/// Reads either greeting. Errors: `malformed` when it is none, or when it is an error line (its message is the reason);
/// `denied` when the peer's major version is not ours.
Result<AdminGreeting> parse_admin_greeting(std::string_view line);

/// A request as it arrived. `text` is the whole object, for json::member(); it points into the line.
struct AdminRequest {
    std::uint64_t id = 0;
    std::string cmd;
    std::string_view text;
};

/// Errors: `malformed` when the line is no JSON object in UTF-8, or has no `cmd` (text) or `id` (whole number from 0 to
/// 2^53 - 1).
Result<AdminRequest> parse_admin_request(std::string_view line);

/// The `id` of a line, when it has one that counts, even if nothing else about it does: so a refusal can name it.
std::optional<std::uint64_t> admin_line_id(std::string_view line) noexcept;

/// Codes of refusals beside those of Errc that have the same name.
namespace admin_error {
inline constexpr std::string_view malformed = "malformed";
inline constexpr std::string_view too_large = "too_large";
inline constexpr std::string_view not_found = "not_found";
inline constexpr std::string_view denied = "denied";
inline constexpr std::string_view unavailable = "unavailable";
inline constexpr std::string_view timeout = "timeout";
inline constexpr std::string_view unknown_command = "unknown_command";
inline constexpr std::string_view busy = "busy";
inline constexpr std::string_view config = "config";
inline constexpr std::string_view unsupported = "unsupported";
}  // namespace admin_error

/// Appends `{"id":N,"ok":true,…}` and a line feed. `members`: further members as JSON, without braces; may be empty.
void append_admin_ok(std::string& out, std::uint64_t id, std::string_view members = {});

/// Appends a refusal and a line feed; without `id` for one that answers no request (the greeting, a line too long).
void append_admin_error(std::string& out, std::optional<std::uint64_t> id, std::string_view code,
                        std::string_view message);

/// A line from the daemon. `text` is the whole object and points into the line given.
struct AdminReply {
    enum class Kind { ok, error, event, call, lost };
    Kind kind = Kind::ok;
    std::optional<std::uint64_t> id;  ///< only an error may lack it
    std::string_view text;
    std::string_view event;  ///< of an event: its object, raw
    std::uint64_t call = 0;  ///< of a call: what `answer` repeats
    std::uint64_t lost = 0;  ///< of lost: how many
    std::string code;        ///< of an error
    std::string message;     ///< of an error
};

/// Errors: `malformed` when the line is none of them.
Result<AdminReply> parse_admin_reply(std::string_view line);

/// Which sockets are meant: the union of `to`, `users` and `sockets` less `except`; all of the namespace when the three
/// are empty.
struct Selection {
    std::string nsp = "/";
    std::vector<std::string> to;
    std::vector<std::string> users;
    std::vector<std::string> sockets;
    std::vector<std::string> except;

    [[nodiscard]] bool is_everybody() const noexcept { return to.empty() && users.empty() && sockets.empty(); }
};

/// Reads the selection members of a request. Errors: `malformed` when one has the wrong type, or `nsp` does not begin
/// with `/`.
Result<Selection> parse_selection(std::string_view request);

/// Reads an array of texts; an absent member is an empty list. Errors: `malformed`.
Result<std::vector<std::string>> parse_texts(std::string_view object, std::string_view key);

/// Writes the members of one JSON object in order.
///
///     ObjectWriter w;
///     w.text("cmd", "emit").number("id", 1).raw("args", args);
///     socket.send(std::move(w).line());
class ObjectWriter {
public:
    ObjectWriter& text(std::string_view key, std::string_view value);
    ObjectWriter& texts(std::string_view key, const std::vector<std::string>& values);
    ObjectWriter& number(std::string_view key, std::int64_t value);
    ObjectWriter& boolean(std::string_view key, bool value);
    /// `json` is a valid JSON value already.
    ObjectWriter& raw(std::string_view key, std::string_view json);
    /// The members that differ from the default: `nsp` unless `/`, lists unless empty.
    ObjectWriter& selection(const Selection& selection);

    /// The members, without braces.
    [[nodiscard]] const std::string& members() const& noexcept { return out_; }
    /// `{…}`
    [[nodiscard]] std::string object() const { return "{" + out_ + "}"; }
    /// `{…}` and a line feed.
    [[nodiscard]] std::string line() const { return "{" + out_ + "}\n"; }

private:
    void key(std::string_view name);
    std::string out_;
};

/// Cuts a stream of bytes into lines of at most `max_line` bytes.
class LineSplitter {
public:
    explicit LineSplitter(std::size_t max_line = admin_max_line) noexcept : max_line_(max_line) {}

    /// Adds what has been read.
    void feed(std::string_view bytes);

    /// The next whole line without its line feed (nor the carriage return before it), or nothing yet. The view lives
    /// until the next feed().
    std::optional<std::string_view> next() noexcept;

    /// A line was longer than the limit; it is the last this splitter gives nothing of.
    [[nodiscard]] bool too_long() const noexcept { return too_long_; }

    /// What has come after the last line feed, for a stream that ended without one.
    [[nodiscard]] std::string_view rest() const noexcept { return std::string_view(buffer_).substr(begin_); }

private:
    std::string buffer_;
    std::size_t begin_ = 0;    // of the next line
    std::size_t scanned_ = 0;  // no line feed before here
    std::size_t max_line_;
    bool too_long_ = false;
};

}  // namespace sio::wire
