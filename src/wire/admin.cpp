#include "wire/admin.h"

#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/bytes.h"
#include "base/json.h"

namespace sio::wire {

namespace {

constexpr std::string_view selection_members = "nsp, to, users, sockets, except";
constexpr std::uint64_t max_id = (std::uint64_t{1} << 53) - 1;

constexpr std::array<AdminCommand, 18> commands{{
    {"emit", "nsp, to, users, sockets, except, event, args, attachments, volatile, ack, timeout_ms, count",
     "Emits an event to the sockets selected.", false},
    {"rooms", "nsp, all", "Lists rooms and how many sockets are in each.", false},
    {"sockets", selection_members, "Lists the sockets selected.", false},
    {"join", "nsp, to, users, sockets, except, rooms", "Makes the sockets selected join rooms.", false},
    {"leave", "nsp, to, users, sockets, except, rooms", "Makes the sockets selected leave rooms.", false},
    {"disconnect", "nsp, to, users, sockets, except, how", "Disconnects the sockets selected.", false},
    {"presence", "users, limit", "Tells which users are online, on all nodes.", false},
    {"nodes", "", "Lists the gateways of the cluster.", false},
    {"server-emit", "nsp, event, args, attachments, ack, timeout_ms", "Emits an event to the other servers.", false},
    {"trace", "entry, stream, nsp", "Tells which gateways read an entry of the stream, and whom they wrote it to.",
     false},
    {"health", "", "Tells whether the daemon is well, and which of its checks fails.", false},
    {"stat", "", "Gives the counters of GET /metrics.", false},
    {"listen", "nsp, events, lifecycle", "Sends each event that clients send.", true},
    {"handle", "nsp, event", "Sends each event of that name as a call that wants an answer.", true},
    {"answer", "call, args, attachments, error", "Answers a call.", false},
    {"routes", "", "Tells which routes file is in force.", false},
    {"reload", "", "Reads the routes file again.", false},
    {"log", "level", "Sets the log level until the next start.", false},
}};

/// The text a member stands for; nothing when it is absent or no text.
std::optional<std::string> text_member(std::string_view object, std::string_view key) {
    const auto raw = json::member(object, key);
    if (!raw || json::kind_of(*raw) != json::Kind::string) return std::nullopt;
    return json::decode_string(*raw);
}

std::optional<std::uint64_t> number_member(std::string_view object, std::string_view key) {
    const auto raw = json::member(object, key);
    return raw ? base::parse_decimal(*raw, max_id) : std::nullopt;
}

/// The object a line is, without blanks around it.
std::optional<std::string_view> object_of(std::string_view line) noexcept {
    const std::string_view text = base::trim(line);
    if (text.empty() || text.front() != '{' || !base::is_utf8(text) || !json::is_valid(text)) return std::nullopt;
    return text;
}

}  // namespace

std::span<const AdminCommand> admin_commands() noexcept { return commands; }

const AdminCommand* find_admin_command(std::string_view word) noexcept {
    for (const AdminCommand& command : commands) {
        if (command.word == word) return &command;
    }
    return nullptr;
}

std::string default_control_path() {
    if (geteuid() == 0) return "/run/sio/gateway.sock";
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    if (runtime != nullptr && *runtime == '/') return std::string(runtime) + "/sio/gateway.sock";
    return "/tmp/sio-" + std::to_string(geteuid()) + "/gateway.sock";
}

std::string admin_server_greeting(const AdminGreeting& greeting) {
    ObjectWriter w;
    w.text("sio", "admin").number("major", greeting.major).number("minor", greeting.minor);
    w.text("program", greeting.program).text("version", greeting.version);
    w.number("pid", greeting.pid).text("node", greeting.node);
    return w.line();
}

std::string admin_client_greeting() {
    ObjectWriter w;
    w.text("sio", "admin").number("major", admin_major).number("minor", admin_minor);
    return w.line();
}

Result<AdminGreeting> parse_admin_greeting(std::string_view line) {
    const auto text = object_of(line);
    if (!text) return fail(Errc::malformed, "the greeting is no JSON object");
    if (const auto error = json::member(*text, "error"); error && json::kind_of(*error) == json::Kind::object)
        return fail(Errc::malformed, text_member(*error, "message").value_or("refused without a reason"));
    const auto major = number_member(*text, "major");
    if (text_member(*text, "sio") != "admin" || !major || *major > 1'000'000)
        return fail(Errc::malformed, "the greeting is not one of the control protocol");
    if (*major != static_cast<std::uint64_t>(admin_major))
        return fail(Errc::denied, "the peer speaks control protocol " + std::to_string(*major) + ", this is " +
                                      std::to_string(admin_major));
    AdminGreeting greeting;
    greeting.minor = static_cast<int>(number_member(*text, "minor").value_or(0) % 1'000'000);
    greeting.program = text_member(*text, "program").value_or("");
    greeting.version = text_member(*text, "version").value_or("");
    greeting.pid = static_cast<std::int64_t>(number_member(*text, "pid").value_or(0));
    greeting.node = text_member(*text, "node").value_or("");
    return greeting;
}

Result<AdminRequest> parse_admin_request(std::string_view line) {
    const auto text = object_of(line);
    if (!text) return fail(Errc::malformed, "a request is one JSON object on one line");
    const auto id = number_member(*text, "id");
    if (!id) return fail(Errc::malformed, "a request needs `id`, a whole number from 0 to 2^53 - 1");
    auto cmd = text_member(*text, "cmd");
    if (!cmd) return fail(Errc::malformed, "a request needs `cmd`, a text");
    return AdminRequest{*id, std::move(*cmd), *text};
}

std::optional<std::uint64_t> admin_line_id(std::string_view line) noexcept {
    const auto text = object_of(line);
    return text ? number_member(*text, "id") : std::nullopt;
}

void append_admin_ok(std::string& out, std::uint64_t id, std::string_view members) {
    out += "{\"id\":" + std::to_string(id) + ",\"ok\":true";
    if (!members.empty()) {
        out += ',';
        out += members;
    }
    out += "}\n";
}

void append_admin_error(std::string& out, std::optional<std::uint64_t> id, std::string_view code,
                        std::string_view message) {
    out += id ? "{\"id\":" + std::to_string(*id) + "," : "{";
    out += "\"ok\":false,\"error\":{\"code\":";
    json::append_string(out, code);
    out += ",\"message\":";
    json::append_string(out, message);
    out += "}}\n";
}

Result<AdminReply> parse_admin_reply(std::string_view line) {
    const auto text = object_of(line);
    if (!text) return fail(Errc::malformed, "an answer is one JSON object on one line");
    AdminReply reply;
    reply.text = *text;
    reply.id = number_member(*text, "id");
    if (const auto ok = json::member(*text, "ok")) {
        if (*ok == "true" && reply.id) return reply;
        const auto error = json::member(*text, "error");
        if (*ok != "false" || !error || json::kind_of(*error) != json::Kind::object)
            return fail(Errc::malformed, "an answer without result");
        reply.kind = AdminReply::Kind::error;
        reply.code = text_member(*error, "code").value_or("");
        reply.message = text_member(*error, "message").value_or("no reason given");
        return reply;
    }
    if (!reply.id) return fail(Errc::malformed, "an answer without `id`");
    if (const auto call = number_member(*text, "call")) {
        reply.kind = AdminReply::Kind::call;
        reply.call = *call;
        return reply;
    }
    if (const auto event = json::member(*text, "event"); event && json::kind_of(*event) == json::Kind::object) {
        reply.kind = AdminReply::Kind::event;
        reply.event = *event;
        return reply;
    }
    if (const auto lost = number_member(*text, "lost")) {
        reply.kind = AdminReply::Kind::lost;
        reply.lost = *lost;
        return reply;
    }
    return fail(Errc::malformed, "an answer of unknown kind");
}

Result<std::vector<std::string>> parse_texts(std::string_view object, std::string_view key) {
    std::vector<std::string> texts;
    const auto raw = json::member(object, key);
    if (!raw) return texts;
    const auto wrong = [key] { return fail(Errc::malformed, "`" + std::string(key) + "` must be an array of texts"); };
    if (json::kind_of(*raw) != json::Kind::array) return wrong();
    for (json::Walker walker{*raw}; walker.next();) {
        if (json::kind_of(walker.value()) != json::Kind::string) return wrong();
        texts.push_back(json::decode_string(walker.value()));
    }
    return texts;
}

Result<Selection> parse_selection(std::string_view request) {
    Selection selection;
    if (json::member(request, "nsp")) {
        auto nsp = text_member(request, "nsp");
        if (!nsp || nsp->empty() || nsp->front() != '/')
            return fail(Errc::malformed, "`nsp` must be a text that begins with /");
        selection.nsp = std::move(*nsp);
    }
    struct List {
        std::string_view key;
        std::vector<std::string>& texts;
    };
    for (const List& list : {List{"to", selection.to}, List{"users", selection.users},
                             List{"sockets", selection.sockets}, List{"except", selection.except}}) {
        auto texts = parse_texts(request, list.key);
        if (!texts) return tl::unexpected(texts.error());
        list.texts = std::move(*texts);
    }
    return selection;
}

void ObjectWriter::key(std::string_view name) {
    if (!out_.empty()) out_ += ',';
    json::append_string(out_, name);
    out_ += ':';
}

ObjectWriter& ObjectWriter::text(std::string_view name, std::string_view value) {
    key(name);
    json::append_string(out_, value);
    return *this;
}

ObjectWriter& ObjectWriter::texts(std::string_view name, const std::vector<std::string>& values) {
    key(name);
    out_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (i > 0) out_ += ',';
        json::append_string(out_, values[i]);
    }
    out_ += ']';
    return *this;
}

ObjectWriter& ObjectWriter::number(std::string_view name, std::int64_t value) {
    key(name);
    out_ += std::to_string(value);
    return *this;
}

ObjectWriter& ObjectWriter::boolean(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
    return *this;
}

ObjectWriter& ObjectWriter::raw(std::string_view name, std::string_view value) {
    key(name);
    out_ += value;
    return *this;
}

ObjectWriter& ObjectWriter::selection(const Selection& selection) {
    if (selection.nsp != "/") text("nsp", selection.nsp);
    if (!selection.to.empty()) texts("to", selection.to);
    if (!selection.users.empty()) texts("users", selection.users);
    if (!selection.sockets.empty()) texts("sockets", selection.sockets);
    if (!selection.except.empty()) texts("except", selection.except);
    return *this;
}

void LineSplitter::feed(std::string_view bytes) {
    if (begin_ > 0) {
        buffer_.erase(0, begin_);
        scanned_ -= begin_;
        begin_ = 0;
    }
    buffer_ += bytes;
}

std::optional<std::string_view> LineSplitter::next() noexcept {
    if (too_long_) return std::nullopt;
    const std::size_t end = buffer_.find('\n', scanned_);
    const std::size_t length = (end == std::string::npos ? buffer_.size() : end) - begin_;
    if (length > max_line_) {
        too_long_ = true;
        return std::nullopt;
    }
    if (end == std::string::npos) {
        scanned_ = buffer_.size();
        return std::nullopt;
    }
    std::string_view line = std::string_view(buffer_).substr(begin_, length);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin_ = scanned_ = end + 1;
    return line;
}

}  // namespace sio::wire
