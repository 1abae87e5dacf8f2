// Whatever the routes file and whatever a record holds, what goes out is JSON, rooms have names, and a record that
// fails has done nothing.
//
// The input is cut at 0x1E: the routes file, the value, the key, and then names and values of headers in turns.
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"
#include "proto/sio_packet.h"
#include "routes/explain.h"
#include "routes/topics.h"

namespace {

using namespace sio;
using namespace sio::routes;

void check_rooms(std::span<const std::string> rooms) {
    for (const std::string& room : rooms) FUZZ_CHECK(!room.empty() && room.size() <= max_room_bytes);
}

class CheckingSink final : public RecordSink {
public:
    std::size_t count = 0;

    void on_action(const RecordAction& action) override {
        ++count;
        FUZZ_CHECK(is_namespace_name(action.nsp));
        check_rooms(action.rooms);
        check_rooms(action.except);
        check_rooms(action.joined_rooms);
        const bool is_emit = action.kind == RecordAction::Kind::emit;
        const bool has_rooms = action.kind == RecordAction::Kind::join || action.kind == RecordAction::Kind::leave;
        FUZZ_CHECK(is_emit != action.event.empty());
        FUZZ_CHECK(has_rooms != action.joined_rooms.empty());
        if (!is_emit) {
            FUZZ_CHECK(action.args.empty() && action.attachments.empty());
            return;
        }
        const json::Kind kind = json::kind_of(action.event);
        FUZZ_CHECK(json::is_valid(action.event) && (kind == json::Kind::string || kind == json::Kind::number));
        FUZZ_CHECK(!proto::is_reserved_event(json::decode_string(action.event)));
        const std::string args = "[" + std::string{action.args} + "]";
        FUZZ_CHECK(json::is_valid(args) && base::is_utf8(args));
        if (action.attachments.empty()) return;  // a value may look as if it had some
        const auto placeholders = proto::find_placeholders(args, action.attachments.size());
        FUZZ_CHECK(placeholders && placeholders->size() == action.attachments.size());
        for (std::size_t i = 0; i < placeholders->size(); ++i) FUZZ_CHECK((*placeholders)[i].num == i);
    }
};

void check_facts(const TopicRoute& route, std::optional<std::string_view> value, const RecordFacts& facts) {
    FUZZ_CHECK(json::is_valid(facts.value) && base::is_utf8(facts.value));
    if (!facts.cloudevent.empty()) {
        FUZZ_CHECK(json::is_valid(facts.cloudevent) && base::is_utf8(facts.cloudevent));
        for (const std::string_view name : {"specversion", "id", "source", "type"}) {
            const auto attribute = json::member(facts.cloudevent, name);
            FUZZ_CHECK(attribute && json::kind_of(*attribute) == json::Kind::string && attribute->size() > 2);
        }
    }
    FUZZ_CHECK(facts.attachments.size() <= 1);
    FUZZ_CHECK(facts.attachments.empty() || facts.is_binary || facts.has_binary_data);
    if (!facts.has_fields) return;
    FUZZ_CHECK(value && json::kind_of(facts.value) == json::Kind::object);
    for (std::size_t i = 0; i < route.fields.size(); ++i) {
        FUZZ_CHECK(json::member(facts.value, route.fields[i]).value_or("") == facts.fields[i]);
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
    const std::optional<std::string_view> value = rest.empty() ? std::nullopt : std::optional{next()};
    const std::optional<std::string_view> key = rest.empty() ? std::nullopt : std::optional{next()};
    std::vector<RecordHeader> headers;
    while (!rest.empty() && headers.size() < 32) {
        const std::string_view name = next();
        headers.push_back({name, next()});
    }

    // The value is read as JSON whatever the file is.
    TopicRoute plain;
    plain.has_cloudevents = false;
    plain.fields = {"a", "data", "type"};
    RecordFacts facts;
    facts.headers = headers;
    if (value) {
        const bool is_read = read_record(plain, value, facts).has_value();
        FUZZ_CHECK(is_read == (base::is_utf8(*value) && json::is_valid(*value)));
        if (is_read) check_facts(plain, value, facts);
    }

    auto routes = parse_routes(file, "r");
    if (!routes) return 0;
    FUZZ_CHECK(routes->subscription().size() == routes->topics().size());
    RecordRun run;  // shared by all topics, as the bridge does
    for (const auto& route : routes->topics()) {
        FUZZ_CHECK(route->fields.size() <= max_record_fields);
        const TopicRoute* const found = routes->topic(route->name);
        FUZZ_CHECK(found != nullptr && (route->is_pattern || found == route.get()));
        facts.topic = route->name;
        facts.partition = 1;
        facts.offset = 2;
        facts.time_ms = static_cast<std::int64_t>(size % 2) - 1;
        facts.key = key;
        const auto read = read_record(*route, value, facts);
        if (!read) {
            FUZZ_CHECK(read.error().code == Errc::malformed);
            continue;
        }
        check_facts(*route, value, facts);
        Context context;
        context.record = &facts;
        CheckingSink sink;
        const auto done = run.run(*route, context, sink);
        FUZZ_CHECK(done ||
                   (sink.count == 0 && done.error().code == Errc::denied && done.error().what.starts_with("do/")));
        FUZZ_CHECK(sink.count <= max_actions);

        RecordQuestion question;
        question.topic = route->name;
        if (value) question.value = *value;
        if (key) question.key = *key;
        for (const RecordHeader& header : headers) question.headers.emplace_back(header.name, header.value);
        const auto steps = explain(*routes, question);
        FUZZ_CHECK(steps.has_value());
        FUZZ_CHECK(base::is_utf8(to_json(*steps)) && json::is_valid(to_json(*steps)));
    }
    return 0;
}
