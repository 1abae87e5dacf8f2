// Whatever the routes file and whatever a client sends, what goes out is JSON, and rooms have names.
//
// The input is cut at 0x1E: the routes file, the arguments of an event (a JSON array), the answer to questions
// (another).
#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"
#include "proto/sio_packet.h"
#include "routes/explain.h"
#include "routes/run.h"

namespace {

using namespace sio;
using namespace sio::routes;

void check_message(const Message& message) {
    FUZZ_CHECK(json::is_valid("[" + std::string{message.args} + "]"));
    if (!message.event.empty()) {
        const json::Kind kind = json::kind_of(message.event);
        FUZZ_CHECK(json::is_valid(message.event) && (kind == json::Kind::string || kind == json::Kind::number));
    }
    if (message.attachments.empty()) return;  // a text event may look as if it had some
    const auto placeholders = proto::find_placeholders(message.args, message.attachments.size());
    FUZZ_CHECK(placeholders && placeholders->size() == message.attachments.size());
    for (std::size_t i = 0; i < placeholders->size(); ++i) FUZZ_CHECK((*placeholders)[i].num == i);
}

void check_room(std::string_view room) { FUZZ_CHECK(!room.empty() && room.size() <= max_room_bytes); }

class CheckingHost final : public Host {
public:
    std::deque<std::unique_ptr<Run>> waiting;
    int acks = 0;

    std::optional<std::string> query(std::string_view name) const override {
        return name.size() % 2 == 0 ? std::nullopt : std::optional{std::string{"q\"{"} + std::string{name}};
    }
    std::optional<std::string> header(std::string_view name) const override { return query(name); }
    std::string rooms() const override { return R"(["sid","a\"b"])"; }
    bool is_in(std::string_view room) const override { return room.size() % 2 == 0; }
    Result<void> join(std::string_view room, std::optional<std::string_view> room_token) override {
        FUZZ_CHECK(!room_token || room_token->size() <= max_room_token_bytes);
        check_room(room);
        if (room == "full") return fail(Errc::unavailable, "cannot join: full");
        return {};
    }
    void leave(std::string_view room) override { check_room(room); }
    void emit(const Message& message, const Target& target) override {
        check_message(message);
        FUZZ_CHECK(!message.event.empty() && !proto::is_reserved_event(json::decode_string(message.event)));
        for (const std::string& room : target.rooms) check_room(room);
        for (const std::string& room : target.except) check_room(room);
        const bool for_rooms = target.audience == Audience::rooms || target.audience == Audience::others_in;
        FUZZ_CHECK(for_rooms != target.rooms.empty());
    }
    void ack(std::string_view args, std::span<const std::string> attachments) override {
        check_message({{}, args, attachments});
        ++acks;
    }
    void ask(const Message& message, Milliseconds timeout, std::unique_ptr<Run> rest) override {
        check_message(message);
        keep(timeout, std::move(rest));
    }
    void hand(std::string_view, const Message& message, Milliseconds timeout, std::unique_ptr<Run> rest) override {
        check_message(message);
        keep(timeout, std::move(rest));
    }
    void publish(const Publication& publication, Milliseconds timeout, std::unique_ptr<Run> rest) override {
        FUZZ_CHECK(json::is_valid(publication.value));
        keep(timeout, std::move(rest));
    }
    std::optional<Grant> known(std::span<const std::string> rooms, std::string_view room_token) override {
        FUZZ_CHECK(!rooms.empty() && room_token.size() <= max_room_token_bytes);
        for (const std::string& room : rooms) check_room(room);
        if (rooms.front().size() % 3 == 0) return std::nullopt;
        return Grant{.kind = rooms.front().size() % 3 == 1 ? Grant::Kind::granted : Grant::Kind::denied, .reason = "r"};
    }
    void authorize(std::span<const std::string> rooms, std::string_view, std::unique_ptr<Run> rest) override {
        FUZZ_CHECK(!rooms.empty() && rest != nullptr);
        waiting.push_back(std::move(rest));
    }
    void schedule(Milliseconds delay, std::unique_ptr<Run> rest) override { keep(delay, std::move(rest)); }
    void disconnect(Disconnect::What) override {}
    void stopped(std::string_view, std::string_view code, std::string_view) override { FUZZ_CHECK(!code.empty()); }

private:
    void keep(Milliseconds time, std::unique_ptr<Run> rest) {
        FUZZ_CHECK(time.count() > 0 && time <= max_delay && rest != nullptr);
        waiting.push_back(std::move(rest));
    }
};

/// What is between the brackets of a JSON array, or of an empty one when the text is none.
std::string_view inside(std::string_view text) {
    if (!base::is_utf8(text) || !json::is_valid(text)) return {};
    const std::size_t begin = text.find_first_not_of(" \t\r\n");
    const std::size_t end = *json::value_end(text, begin);
    if (text[begin] != '[') return {};
    const std::string_view args = text.substr(begin + 1, end - begin - 2);
    return args.find_first_not_of(" \t\r\n") == std::string_view::npos ? std::string_view{} : args;
}

/// As many attachments as a decoder would have delivered with these arguments.
std::vector<std::string> attachments_of(std::string_view args) {
    const auto placeholders = proto::find_placeholders(args, proto::max_attachments);
    if (!placeholders || placeholders->size() > proto::max_attachments) return {};
    for (std::size_t i = 0; i < placeholders->size(); ++i) {
        if ((*placeholders)[i].num != i) return {};
    }
    return std::vector<std::string>(placeholders->size(), "bytes");
}

void run(const std::shared_ptr<const Routes>& routes, const ActionList& list, Context context,
         std::string_view answer) {
    const std::vector<std::string> answer_attachments = attachments_of(answer);
    for (const auto outcome : {Answer::Outcome::answered, Answer::Outcome::timed_out}) {
        CheckingHost host;
        Run::start(routes, list, context, host);
        std::size_t waits = 0;
        while (!host.waiting.empty()) {
            FUZZ_CHECK(++waits <= 2 * max_actions);
            auto next = std::move(host.waiting.front());
            host.waiting.pop_front();
            Run::resume(std::move(next), host, 1,
                        {.outcome = waits % 2 == 0 ? Answer::Outcome::elapsed : outcome,
                         .args = answer,
                         .attachments = answer_attachments,
                         .reason = "r"});
        }
        FUZZ_CHECK(host.acks <= (context.wants_ack ? 1 : 0));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 8192) return 0;
    std::string_view rest = fuzz::as_text(data, size);
    const auto next = [&] {
        const std::size_t end = std::min(rest.find('\x1e'), rest.size());
        const std::string_view part = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        return part;
    };
    const std::string_view file = next();
    const std::string_view args = inside(next());
    const std::string_view answer = inside(next());

    auto parsed = parse_routes(file, "r");
    const Report report = check(file, "r");
    FUZZ_CHECK(report.ok == parsed.has_value());
    FUZZ_CHECK(report.ok == report.problems.empty());
    for (const std::string& problem : report.problems) FUZZ_CHECK(problem.starts_with("r:"));
    if (!parsed) return 0;
    const auto routes = std::make_shared<const Routes>(std::move(*parsed));

    const std::vector<std::string> attachments = attachments_of(args);
    Context context;
    context.socket_id = "sid";
    context.transport = "polling";
    context.user_id = "u\"{x}";
    context.auth = R"({"token":"t","x":{"_placeholder":true,"num":0}})";
    for (const auto& nsp : routes->namespaces()) {
        context.nsp = nsp->name;
        (void)refusal(*nsp, context);
        run(routes, nsp->on_connect, context, answer);
        Context left = context;
        left.reason = "transport close";
        run(routes, nsp->on_disconnect, left, answer);
        for (const EventRoute& event : nsp->events) {
            const std::string token = json::quote(event.name);
            FUZZ_CHECK(nsp->event(token) == &event);
            Context sent = context;
            sent.event = token;
            sent.args = args;
            sent.attachments = attachments;
            sent.wants_ack = args.size() % 2 == 0;
            run(routes, event.list, sent, answer);
        }
    }
    return 0;
}
