// connect: a Socket.IO client for a terminal and for scripts.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <map>

#include "base/bytes.h"
#include "base/json.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"
#include "sioctl/interrupt.h"
#include "sioctl/socket_client.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

/// What the command line asks of a session.
struct Script {
    Url url;
    Handshake handshake;
    std::string nsp;
    std::string auth;  ///< JSON object, or empty
    std::deque<TypedEvent> emits;
    bool reads_input = true;
    bool ack = false;
    std::optional<std::string> answer;  ///< JSON array
    std::optional<std::string> wait;
    std::optional<std::uint64_t> count;
    std::optional<std::chrono::milliseconds> length;
    std::optional<std::chrono::milliseconds> timeout;
    bool lifecycle = false;
    bool quiet = false;
    Format format = Format::ndjson;
};

bool is_header(std::string_view text) {
    const std::size_t colon = text.find(':');
    return colon != std::string_view::npos && colon > 0 &&
           text.substr(0, colon).find_first_of(" \t\r\n") == std::string_view::npos &&
           text.find_first_of("\r\n") == std::string_view::npos;
}

/// A JSON value as the array of arguments it means.
std::string as_arguments(std::string_view json) {
    return json::kind_of(json) == json::Kind::array ? std::string(json) : "[" + std::string(json) + "]";
}

Outcome<Script> make_script(const Invocation& invocation) {
    Script script;
    auto url = parse_url(invocation.one("URL"));
    if (!url) return tl::unexpected(url.error());
    script.url = std::move(*url);
    const auto nsp = invocation.nsp();
    if (!nsp) return tl::unexpected(nsp.error());
    script.nsp = nsp->value_or(script.url.nsp);
    if (invocation.has("--auth")) {
        auto auth = checked_json(invocation.one("--auth"), "--auth");
        if (!auth) return tl::unexpected(auth.error());
        if (json::kind_of(*auth) != json::Kind::object) return give_up(exit_code::data, "--auth is no JSON object");
        script.auth = std::move(*auth);
    }
    if (invocation.has("--path")) script.handshake.path = invocation.one("--path");
    if (!script.handshake.path.starts_with('/') || script.handshake.path.find_first_of(" \r\n?#") != std::string::npos)
        return give_up(exit_code::usage, "--path begins with / and has neither blanks nor a query");
    script.handshake.headers = invocation.all("--header");
    for (const std::string& header : script.handshake.headers) {
        if (!is_header(header)) return give_up(exit_code::usage, "--header: write it as 'Name: value'");
    }
    for (const auto& words : invocation.groups("--emit")) {
        const std::span arguments{words.begin() + 1, words.end()};
        auto array = arguments_of(arguments, invocation.has("--string"));
        if (!array) return tl::unexpected(array.error());
        script.emits.push_back({words.front(), std::move(*array)});
    }
    script.reads_input = script.emits.empty();
    script.ack = invocation.has("--ack");
    if (invocation.has("--answer")) {
        auto answer = checked_json(invocation.one("--answer"), "--answer");
        if (!answer) return tl::unexpected(answer.error());
        script.answer = as_arguments(*answer);
    }
    if (invocation.has("--wait")) script.wait = invocation.one("--wait");
    const auto count = invocation.number("--count", 1);
    if (!count) return tl::unexpected(count.error());
    script.count = *count;
    for (auto& [name, value] : {std::pair{"--for", &script.length}, std::pair{"--timeout", &script.timeout}}) {
        const auto time = invocation.time(name, 0ms);
        if (!time) return tl::unexpected(time.error());
        if (invocation.has(name)) *value = *time;
    }
    script.lifecycle = invocation.has("--lifecycle");
    script.quiet = invocation.quiet();
    script.format = invocation.format(Format::ndjson, Format::ndjson);
    return script;
}

class Session {
public:
    Session(Script script, SocketClient socket) : script_(std::move(script)), socket_(std::move(socket)) {}

    int run(Interrupt& interrupt, const Deadline& connect_by) {
        socket_.send(proto::SioType::connect, script_.nsp, std::nullopt, script_.auth);
        connect_by_ = connect_by;
        while (!end_) {
            if (const auto turned = turn(interrupt); !turned) end_ = turned.error();
            out_.flush();
            if (!out_.is_open()) end_ = Failure{exit_code::ok, ""};
        }
        if (!lost_) socket_.close(script_.nsp);
        return finish(*end_);
    }

private:
    Outcome<void> turn(Interrupt& interrupt) {
        if (is_joined_) {
            if (const auto spoken = speak(); !spoken) return spoken;
            if (is_done()) {
                end_ = Failure{exit_code::ok, ""};
                return {};
            }
        }
        std::array<pollfd, 4> polls{{{socket_.fd(), socket_.events(), 0},
                                     {interrupt.fd(), POLLIN, 0},
                                     {wants_input() ? STDIN_FILENO : -1, POLLIN, 0},
                                     {STDOUT_FILENO, 0, 0}}};
        ::poll(polls.data(), polls.size(), poll_timeout(next_deadline()));
        if (interrupt.next() || (polls[3].revents & (POLLERR | POLLNVAL)) != 0) {
            end_ = Failure{exit_code::ok, ""};
            return {};
        }
        if (polls[0].revents != 0) {
            const auto ready = socket_.on_ready(polls[0].revents);
            while (const auto packet = socket_.next()) {
                if (const auto taken = take(*packet); !taken) return taken;
            }
            if (!ready && !(is_joined_ && is_done())) {
                lost_ = true;
                show_lifecycle("disconnect",
                               ready.error().exit == exit_code::protocol ? "parse error" : "transport close");
                return ready;
            }
        }
        if (polls[2].revents != 0) {
            if (const auto read = read_input(); !read) return read;
        }
        return check_deadlines();
    }

    [[nodiscard]] bool wants_input() const {
        return is_joined_ && script_.reads_input && !input_ended_ && script_.emits.empty();
    }

    /// Sends what is due.
    Outcome<void> speak() {
        for (; !script_.emits.empty(); script_.emits.pop_front()) {
            const TypedEvent& emit = script_.emits.front();
            if (proto::is_reserved_event(emit.event))
                return give_up(exit_code::denied, "no client may emit " + emit.event + ": the name is reserved");
            std::optional<std::uint64_t> id;
            if (script_.ack) {
                id = next_id_++;
                asked_.emplace(*id, emit.event);
            }
            std::string payload = "[" + json::quote(emit.event);
            if (emit.arguments.size() > 2) payload += ",";
            payload += std::string_view(emit.arguments).substr(1);
            socket_.send(proto::SioType::event, script_.nsp, id, payload);
        }
        return {};
    }

    /// Whether all that was asked for has come.
    [[nodiscard]] bool is_done() const {
        if (!asked_.empty() || !script_.emits.empty()) return false;
        if (script_.wait || script_.count) return counted_ >= script_.count.value_or(1);
        if (script_.length) return false;
        return !script_.reads_input || input_ended_;
    }

    [[nodiscard]] bool is_waiting() const { return script_.wait || script_.count || !asked_.empty(); }

    [[nodiscard]] Deadline next_deadline() const {
        Deadline next = socket_.heartbeat();
        for (const Deadline& other : {connect_by_, end_by_, answer_by_}) {
            if (other && (!next || *other < *next)) next = other;
        }
        return next;
    }

    Outcome<void> check_deadlines() {
        const auto now = Clock::now();
        if (connect_by_ && now >= *connect_by_)
            return give_up(exit_code::timeout, "the server does not answer the CONNECT in time");
        if (answer_by_ && now >= *answer_by_ && is_waiting())
            return give_up(exit_code::timeout, missing() + " in time");
        if (end_by_ && now >= *end_by_) {
            if (is_waiting() && !is_done()) return give_up(exit_code::timeout, missing() + " in time");
            end_ = Failure{exit_code::ok, ""};
        }
        if (socket_.heartbeat() && now >= *socket_.heartbeat()) {
            lost_ = true;
            show_lifecycle("disconnect", "ping timeout");
            return give_up(exit_code::unavailable, "the server is silent: no ping came");
        }
        return {};
    }

    [[nodiscard]] std::string missing() const {
        if (!asked_.empty()) return "no acknowledgement of " + asked_.begin()->second;
        if (script_.wait) return "no event " + *script_.wait;
        return std::to_string(counted_) + " of " + std::to_string(script_.count.value_or(1)) + " events came";
    }

    Outcome<void> take(const Received& packet) {
        if (packet.nsp != script_.nsp) return {};
        if (packet.is_event()) return take_event(packet);
        if (packet.is_ack()) return take_acknowledgement(packet);
        if (packet.type == proto::SioType::connect) {
            is_joined_ = true;
            sid_ = packet.json.empty() ? "" : text_member(packet.json, "sid");
            connect_by_.reset();
            if (script_.length) end_by_ = deadline_in(*script_.length);
            if (script_.timeout) answer_by_ = deadline_in(*script_.timeout);
            show_lifecycle("connect", "");
            if (!script_.quiet && script_.reads_input && isatty(STDIN_FILENO) == 1)
                complain("connected as " + sid_ + "; type EVENT JSON…, end with Ctrl-D");
        } else if (packet.type == proto::SioType::connect_error) {
            const bool is_object = !packet.json.empty() && json::kind_of(packet.json) == json::Kind::object;
            const std::string message = is_object ? text_member(packet.json, "message") : packet.json;
            const auto data = is_object ? json::member(packet.json, "data") : std::nullopt;
            return give_up(exit_code::denied, "the server refused " + script_.nsp + ": " + message +
                                                  (data ? " " + std::string(*data) : ""));
        } else if (packet.type == proto::SioType::disconnect) {
            show_lifecycle("disconnect", "io server disconnect");
            lost_ = true;
            return give_up(exit_code::no, "the server disconnected us");
        }
        return {};
    }

    Outcome<void> take_event(const Received& packet) {
        const std::string_view name = proto::event_name_token(packet.json);
        if (name.empty()) return {};
        const std::string event = name.front() == '"' ? json::decode_string(name) : std::string(name);
        wire::ObjectWriter line = line_begin();
        line.raw("event", name).raw("args", "[" + std::string(proto::event_arguments(packet.json)) + "]");
        line.boolean("ack", packet.id.has_value());
        add_attachments(line, packet);
        show(line.object());
        if (packet.id && script_.answer) socket_.send(proto::SioType::ack, script_.nsp, packet.id, *script_.answer);
        if (!script_.wait || *script_.wait == event) ++counted_;
        return {};
    }

    Outcome<void> take_acknowledgement(const Received& packet) {
        const auto asked = packet.id ? asked_.find(*packet.id) : asked_.end();
        if (asked == asked_.end()) return {};
        wire::ObjectWriter line = line_begin();
        line.number("answer", static_cast<std::int64_t>(asked->first)).text("event", asked->second);
        line.raw("args", packet.json.empty() ? "[]" : packet.json);
        add_attachments(line, packet);
        asked_.erase(asked);
        show(line.object());
        return {};
    }

    wire::ObjectWriter line_begin() const {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        wire::ObjectWriter line;
        line.number("time_ms", std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
        line.text("nsp", script_.nsp).text("sid", sid_);
        return line;
    }

    static void add_attachments(wire::ObjectWriter& line, const Received& packet) {
        if (packet.attachments.empty()) return;
        std::vector<std::string> texts;
        for (const std::string& attachment : packet.attachments) base::append_base64(texts.emplace_back(), attachment);
        line.texts("attachments", texts);
    }

    void show(const std::string& line) {
        if (script_.format != Format::table) return out_.line(script_.format == Format::json ? indented(line) : line);
        const std::string mark = json::member(line, "answer") ? "answer to " : "";
        out_.line(mark + shown_event(text_member(line, "event"), raw_member(line, "args")));
    }

    void show_lifecycle(std::string_view event, std::string_view reason) {
        if (!script_.lifecycle || !is_joined_) return;
        wire::ObjectWriter line = line_begin();
        line.text("event", event);
        if (!reason.empty()) line.text("reason", reason);
        line.boolean("lifecycle", true);
        show(line.object());
    }

    /// Lines `EVENT JSON…`. On a terminal a wrong line is complained about; from a script it is the end.
    Outcome<void> read_input() {
        std::array<char, 65536> buffer;
        const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (n < 0) return errno == EINTR || errno == EAGAIN ? Outcome<void>{} : end_of_input();
        if (n == 0) return end_of_input();
        input_.feed({buffer.data(), static_cast<std::size_t>(n)});
        while (const auto line = input_.next()) {
            if (const auto typed = take_line(*line); !typed) return typed;
        }
        return {};
    }

    Outcome<void> end_of_input() {
        input_ended_ = true;
        return take_line(input_.rest());
    }

    Outcome<void> take_line(std::string_view line) {
        ++line_number_;
        if (base::trim(line).empty()) return {};
        auto typed = typed_event(line);
        if (typed) {
            script_.emits.push_back(std::move(*typed));
        } else if (isatty(STDIN_FILENO) == 1) {
            complain(typed.error().what);
        } else {
            return give_up(exit_code::data, "line " + std::to_string(line_number_) + ": " + typed.error().what);
        }
        return {};
    }

    Script script_;
    SocketClient socket_;
    Output out_;
    wire::LineSplitter input_;
    std::size_t line_number_ = 0;
    bool input_ended_ = false;
    bool is_joined_ = false;
    bool lost_ = false;
    std::string sid_;
    std::uint64_t next_id_ = 0;
    std::uint64_t counted_ = 0;
    std::map<std::uint64_t, std::string> asked_;  // acknowledgements that have not come: id → event
    Deadline connect_by_;
    Deadline end_by_;
    Deadline answer_by_;
    std::optional<Failure> end_;
};

}  // namespace

int run_connect(const Invocation& invocation) {
    auto script = make_script(invocation);
    if (!script) return finish(script.error());
    const Deadline connect_by = deadline_in(script->timeout.value_or(10s));
    auto socket = SocketClient::open(script->url, script->handshake, connect_by);
    if (!socket) return finish(socket.error());
    Interrupt interrupt{SIGINT, SIGTERM};
    return Session{std::move(*script), std::move(*socket)}.run(interrupt, connect_by);
}

}  // namespace sio::sioctl
