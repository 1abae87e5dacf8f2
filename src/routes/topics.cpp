#include "routes/topics.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/sio_packet.h"

namespace sio::routes {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view placeholder = R"({"_placeholder":true,"num":0})";
constexpr std::string_view cloudevents_type = "application/cloudevents";
constexpr std::string_view ce_prefix = "ce_";
constexpr std::size_t max_shown_bytes = 64;  // of what an error quotes
constexpr std::array required_attributes = {"specversion"sv, "id"sv, "source"sv, "type"sv};

tl::unexpected<Error> malformed(std::string what) { return fail(Errc::malformed, std::move(what)); }

// ---- the value ----

/// Says where a text stops being JSON, to the token that does not belong there.
std::string fault_of(std::string_view text) {
    enum class Want { value, value_or_end, key, key_or_end, colon, more, nothing } want = Want::value;
    std::string open;  // what is open, innermost last: at most json::default_depth
    const auto after_value = [&] { return open.empty() ? Want::nothing : Want::more; };
    for (std::size_t at = 0;;) {
        at = text.find_first_not_of(blanks, at);
        if (at == std::string_view::npos) return "ends too early, at byte " + std::to_string(text.size());
        const std::string unexpected = "is not JSON from byte " + std::to_string(at) + " on";
        const char c = text[at];
        const bool may_end = want == Want::more || want == Want::value_or_end || want == Want::key_or_end;
        if (may_end && !open.empty() && c == (open.back() == '{' ? '}' : ']')) {
            open.pop_back();
            want = after_value();
            ++at;
            continue;
        }
        switch (want) {
            case Want::value:
            case Want::value_or_end:
                if (c == '{' || c == '[') {
                    if (open.size() == json::default_depth) return "nests too deeply at byte " + std::to_string(at);
                    open.push_back(c);
                    want = c == '{' ? Want::key_or_end : Want::value_or_end;
                    ++at;
                    continue;
                }
                break;
            case Want::key:
            case Want::key_or_end:
                if (c != '"') return unexpected;
                break;
            case Want::colon:
                if (c != ':') return unexpected;
                want = Want::value;
                ++at;
                continue;
            case Want::more:
                if (c != ',') return unexpected;
                want = open.back() == '{' ? Want::key : Want::value;
                ++at;
                continue;
            case Want::nothing: return unexpected;
        }
        const auto end = json::value_end(text, at);
        if (!end) return unexpected;
        want = want == Want::key || want == Want::key_or_end ? Want::colon : after_value();
        at = *end;
    }
}

bool is_named(std::string_view quoted, std::string_view name) {
    const std::string_view inner = quoted.substr(1, quoted.size() - 2);
    if (inner == name) return true;
    return inner.find('\\') != std::string_view::npos && json::decode_string(quoted) == name;
}

/// Checks an object without blanks around it, and notes the members that the route's templates look at: both in one
/// pass. The last of a name counts, as in JavaScript.
bool read_object(std::string_view text, const TopicRoute& route, RecordFacts& facts) {
    const std::size_t count = std::min(route.fields.size(), max_record_fields);
    std::fill_n(facts.fields.begin(), count, std::string_view{});
    std::size_t end = 1;
    bool may_be_deep = false;
    json::Walker walker{text};
    while (walker.next()) {
        const std::string_view value = walker.value();
        end = static_cast<std::size_t>(value.data() + value.size() - text.data());
        may_be_deep = may_be_deep || value.size() >= 2 * json::default_depth;
        for (std::size_t i = 0; i < count; ++i) {
            if (is_named(walker.key(), route.fields[i])) facts.fields[i] = value;
        }
    }
    // The walk ends at the end of the object, or where it is none.
    const std::size_t close = text.find_first_not_of(blanks, end);
    facts.has_fields =
        close == text.size() - 1 && text[close] == '}' && (!may_be_deep || json::is_valid(text, json::default_depth));
    return facts.has_fields;
}

std::string_view trimmed(std::string_view text) noexcept {
    const std::size_t begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

Result<void> read_json(std::string_view raw, const TopicRoute& route, RecordFacts& facts) {
    if (!base::is_utf8(raw)) return malformed("the value is not UTF-8");
    const std::string_view value = trimmed(raw);
    const bool is_object = value.starts_with('{');
    if (!(is_object ? read_object(value, route, facts) : json::is_valid(value, json::default_depth))) {
        return malformed("the value " + fault_of(raw));
    }
    facts.value = value;
    return {};
}

Result<void> read_value(std::string_view raw, const TopicRoute& route, RecordFacts& facts) {
    switch (route.format) {
        case Format::json: return read_json(raw, route, facts);
        case Format::text:
            if (!base::is_utf8(raw)) return malformed("the value is not UTF-8");
            facts.storage.clear();
            json::append_string(facts.storage, raw);
            facts.value = facts.storage;
            return {};
        case Format::bytes: break;
    }
    facts.attachments.resize(1);
    facts.attachments[0].assign(raw);
    facts.value = placeholder;
    facts.is_binary = true;
    return {};
}

// ---- CloudEvents 1.0: the JSON format and the Kafka protocol binding ----

std::string_view content_type(const RecordFacts& facts) noexcept {
    for (std::size_t i = facts.headers.size(); i-- != 0;) {
        if (base::equal_ignoring_case(facts.headers[i].name, "content-type")) return facts.headers[i].value;
    }
    return {};
}

/// A content type without its parameters.
std::string_view media_type(std::string_view type) noexcept { return base::trim(type.substr(0, type.find(';'))); }

bool begins_ignoring_case(std::string_view text, std::string_view with) noexcept {
    return text.size() >= with.size() && base::equal_ignoring_case(text.substr(0, with.size()), with);
}

bool is_json(std::string_view media) noexcept {
    constexpr std::string_view suffix = "+json";
    return base::equal_ignoring_case(media, "application/json") || base::equal_ignoring_case(media, "text/json") ||
           (media.size() > suffix.size() &&
            base::equal_ignoring_case(media.substr(media.size() - suffix.size()), suffix));
}

/// The attributes that every event has, as they are met.
class Required {
public:
    void note(std::string_view name, std::string_view raw) {
        const auto at = std::ranges::find(required_attributes, name);
        if (at != required_attributes.end()) found_[static_cast<std::size_t>(at - required_attributes.begin())] = raw;
    }

    [[nodiscard]] Result<void> check() const {
        for (std::size_t i = 0; i < found_.size(); ++i) {
            const std::string name{required_attributes[i]};
            if (found_[i].empty()) return malformed("the CloudEvent has no " + name);
            if (json::kind_of(found_[i]) != json::Kind::string || found_[i].size() == 2) {
                return malformed("the CloudEvent's " + name + " is no text, or an empty one");
            }
        }
        if (json::decode_string(found_[0]) != "1.0") {
            const bool is_short = found_[0].size() <= max_shown_bytes;
            return malformed("the CloudEvent's specversion is " + (is_short ? std::string{found_[0]} : "another") +
                             ", not \"1.0\"");
        }
        return {};
    }

private:
    std::array<std::string_view, required_attributes.size()> found_;
};

void append_member(std::string& out, std::string_view key, std::string_view value) {
    if (out.size() > 1) out.push_back(',');
    out.append(key);
    out.push_back(':');
    out.append(value);
}

/// The value is the event's envelope.
Result<void> read_structured(RecordFacts& facts) {
    if (!facts.value.starts_with('{')) return malformed("the CloudEvent is no JSON object");
    Required required;
    std::string_view data;
    std::string_view base64;
    for (json::Walker walker{facts.value}; walker.next();) {
        const std::string name = json::decode_string(walker.key());
        const std::string_view raw = walker.value();
        const json::Kind kind = json::kind_of(raw);
        if (name == "data") {
            data = raw;
        } else if (name == "data_base64") {
            base64 = kind == json::Kind::null ? std::string_view{} : raw;
        } else if (kind == json::Kind::array || kind == json::Kind::object) {
            return malformed("the CloudEvent's attribute " + json::quote(name) + " is no text, number or boolean");
        } else {
            required.note(name, kind == json::Kind::null ? std::string_view{} : raw);
        }
    }
    if (auto checked = required.check(); !checked) return checked;
    if (base64.empty()) {
        facts.cloudevent = facts.value;
        return {};
    }
    if (!data.empty()) return malformed("the CloudEvent has both data and data_base64");
    if (json::kind_of(base64) != json::Kind::string) return malformed("the CloudEvent's data_base64 is no text");
    auto bytes = base::decode_base64(json::decode_string(base64));
    if (!bytes) return malformed("the CloudEvent's data_base64 is not base64");
    facts.attachments.push_back(std::move(*bytes));
    facts.has_binary_data = true;
    facts.cloudevent = "{";
    for (json::Walker walker{facts.value}; walker.next();) {
        if (!is_named(walker.key(), "data_base64")) append_member(facts.cloudevent, walker.key(), walker.value());
    }
    append_member(facts.cloudevent, "\"data\"", placeholder);
    facts.cloudevent += '}';
    return {};
}

/// The attributes are in headers; `data` is raw JSON, or empty when there is none.
Result<void> read_binary(std::string_view type, std::string_view data, RecordFacts& facts) {
    struct Span {
        std::string_view name;
        std::size_t begin;
        std::size_t end;
    };
    std::array<Span, required_attributes.size()> spans;  // the text may move while it grows
    std::size_t found = 0;
    std::string& out = facts.cloudevent;
    out = "{";
    if (!type.empty()) {
        if (!base::is_utf8(type)) return malformed("the header content-type is not UTF-8");
        append_member(out, "\"datacontenttype\"", json::quote(type));
    }
    for (const RecordHeader& header : facts.headers) {
        if (!header.name.starts_with(ce_prefix)) continue;
        const std::string_view name = header.name.substr(ce_prefix.size());
        const bool is_datas = name == "data" || name == "data_base64" || (name == "datacontenttype" && !type.empty());
        if (name.empty() || is_datas) continue;
        if (!base::is_utf8(header.name) || !base::is_utf8(header.value)) {
            return malformed("the header " + base::one_line(base::is_utf8(name) ? header.name : ce_prefix) +
                             " is not UTF-8");
        }
        append_member(out, json::quote(name), {});
        const std::size_t begin = out.size();
        json::append_string(out, header.value);
        if (std::ranges::find(required_attributes, name) == required_attributes.end()) continue;
        const auto same = std::find_if(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(found),
                                       [&](const Span& span) { return span.name == name; });
        if (same == spans.begin() + static_cast<std::ptrdiff_t>(found)) ++found;
        *same = {name, begin, out.size()};
    }
    Required required;
    for (std::size_t i = 0; i < found; ++i) {
        required.note(spans[i].name, std::string_view{out}.substr(spans[i].begin, spans[i].end - spans[i].begin));
    }
    if (auto checked = required.check(); !checked) {
        out.clear();
        return checked;
    }
    if (!data.empty()) append_member(out, "\"data\"", data);
    out += '}';
    return {};
}

}  // namespace

bool is_namespace_name(std::string_view name) noexcept {
    return name.starts_with('/') && name.size() <= max_pattern_bytes && name.find(',') == std::string_view::npos;
}

Result<void> read_record(const TopicRoute& route, std::optional<std::string_view> value, RecordFacts& facts) {
    facts.value = "null";
    facts.cloudevent.clear();
    facts.attachments.clear();
    facts.is_binary = false;
    facts.has_binary_data = false;
    facts.has_fields = false;
    if (!route.has_cloudevents || facts.headers.empty()) {
        return value ? read_value(*value, route, facts) : Result<void>{};
    }

    const std::string_view type = content_type(facts);
    const std::string_view media = media_type(type);
    if (begins_ignoring_case(media, cloudevents_type)) {
        if (!value) return {};
        if (begins_ignoring_case(media, "application/cloudevents-batch")) {
            return malformed("a batch of CloudEvents: a record has one event");
        }
        if (!base::equal_ignoring_case(media, "application/cloudevents+json")) {
            const bool is_shown = media.size() <= max_shown_bytes && base::is_utf8(media);
            return malformed("a CloudEvent as " + (is_shown ? json::quote(media) : "something else") +
                             ": only application/cloudevents+json is read");
        }
        if (auto read = read_json(*value, route, facts); !read) return read;
        return read_structured(facts);
    }
    const bool is_event =
        std::ranges::find(facts.headers, "ce_specversion"sv, &RecordHeader::name) != facts.headers.end();
    if (!is_event) return value ? read_value(*value, route, facts) : Result<void>{};
    // An event without data may come with a null or with nothing.
    if (!value || value->empty()) return read_binary(type, {}, facts);
    if (auto read = read_value(*value, route, facts); !read) return read;
    if (route.format == Format::json || !is_json(media)) {
        facts.has_binary_data = facts.is_binary;
        return read_binary(type, facts.value, facts);
    }
    if (!base::is_utf8(*value)) return malformed("the value is not UTF-8");
    if (!json::is_valid(*value, json::default_depth)) return malformed("the value " + fault_of(*value));
    return read_binary(type, trimmed(*value), facts);
}

// ---- what is done ----

namespace {

/// Names of rooms whose memory is used again.
class Names {
public:
    void clear() noexcept { count_ = 0; }
    std::string& add() {
        if (count_ == all_.size()) all_.emplace_back();
        return all_[count_++];
    }
    [[nodiscard]] std::span<const std::string> view() const noexcept { return {all_.data(), count_}; }

private:
    std::vector<std::string> all_;
    std::size_t count_ = 0;
};

/// An action, rendered, and the memory for that.
struct Prepared {
    RecordAction action;
    std::string nsp;
    Names rooms;
    Names except;
    Names joined_rooms;
    Rendered event;
    Rendered args;
    std::vector<std::string> attachments;
};

Result<std::span<const std::string>> render_rooms(const Rooms& rooms, const Context& context, Names& out) {
    if (!rooms.constants.empty() || rooms.names.empty()) return std::span<const std::string>{rooms.constants};
    out.clear();
    for (const Template& name : rooms.names) {
        std::string& room = out.add();
        if (auto done = render_text(name, context, room, Missing::error); !done)
            return tl::unexpected<Error>(done.error());
        if (room.size() > max_room_bytes) {
            return fail(Errc::denied,
                        "the name of the room is longer than " + std::to_string(max_room_bytes) + " bytes");
        }
    }
    return out.view();
}

Result<std::string_view> render_event(const Template& event, const Context& context, Rendered& out) {
    if (event.is_constant()) return std::string_view{event.tail};
    out.clear();
    if (auto done = render(event, context, out, Missing::error); !done) return tl::unexpected<Error>(done.error());
    const json::Kind kind = json::kind_of(out.json);
    if (kind != json::Kind::string && kind != json::Kind::number) {
        return fail(Errc::denied, event.pieces[0].reference.text + " is no name for an event");
    }
    if (proto::is_reserved_event(json::decode_string(out.json)))
        return fail(Errc::denied, out.json + " is a reserved name");
    return std::string_view{out.json};
}

/// What is between the brackets of a rendered array.
std::string_view inside(std::string_view array) noexcept {
    return array.size() < 2 ? std::string_view{} : array.substr(1, array.size() - 2);
}

Result<void> render_args(const Args& args, const Context& context, Prepared& out) {
    if (args.kind != Args::Kind::array) return {};
    if (args.value.is_constant()) {
        out.action.args = inside(args.value.tail);
        return {};
    }
    out.args.clear();
    if (auto done = render(args.value, context, out.args, Missing::error); !done) return done;
    out.action.args = inside(out.args.json);
    const std::vector<const std::string*>& attachments = out.args.attachments;
    if (attachments.empty()) return {};
    if (attachments.size() == 1) {
        out.action.attachments = {attachments[0], 1};
        return {};
    }
    out.attachments.clear();
    for (const std::string* attachment : attachments) out.attachments.push_back(*attachment);
    out.action.attachments = out.attachments;
    return {};
}

Result<void> prepare(const TopicAction& from, const Context& context, Prepared& out) {
    out.action = {};
    out.action.kind = from.kind;
    out.action.is_volatile = from.is_volatile;
    out.action.close = from.close;
    if (from.nsp.is_constant()) {
        out.action.nsp = from.nsp.tail;
    } else {
        if (auto done = render_text(from.nsp, context, out.nsp, Missing::error); !done) return done;
        if (!is_namespace_name(out.nsp)) {
            const bool is_shown = out.nsp.size() <= max_pattern_bytes;
            return fail(Errc::denied,
                        (is_shown ? json::quote(out.nsp) : "a text of " + std::to_string(out.nsp.size()) + " bytes") +
                            " is not the name of a namespace");
        }
        out.action.nsp = out.nsp;
    }
    const auto rooms = render_rooms(from.rooms, context, out.rooms);
    if (!rooms) return tl::unexpected<Error>(rooms.error());
    out.action.rooms = *rooms;
    const auto except = render_rooms(from.except, context, out.except);
    if (!except) return tl::unexpected<Error>(except.error());
    out.action.except = *except;
    const auto joined = render_rooms(from.joined_rooms, context, out.joined_rooms);
    if (!joined) return tl::unexpected<Error>(joined.error());
    out.action.joined_rooms = *joined;
    if (from.kind != RecordAction::Kind::emit) return {};
    const auto event = render_event(from.event, context, out.event);
    if (!event) return tl::unexpected<Error>(event.error());
    out.action.event = *event;
    return render_args(from.args, context, out);
}

}  // namespace

struct RecordRun::Work {
    std::vector<std::unique_ptr<Prepared>> prepared;  ///< in place: actions have views into them
};

RecordRun::RecordRun() : work_(std::make_unique<Work>()) {}
RecordRun::~RecordRun() = default;

Result<void> RecordRun::run(const TopicRoute& route, const Context& context, RecordSink& sink) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < route.actions.size(); ++i) {
        const TopicAction& action = route.actions[i];
        if (!action.when.empty()) {
            const auto wanted = hold(action.when, context);
            if (!wanted || !*wanted) continue;
        }
        if (count == work_->prepared.size()) work_->prepared.push_back(std::make_unique<Prepared>());
        if (auto done = prepare(action, context, *work_->prepared[count]); !done) {
            return fail(Errc::denied, "do/" + std::to_string(i) + ": " + done.error().what);
        }
        ++count;
    }
    for (std::size_t i = 0; i < count; ++i) sink.on_action(work_->prepared[i]->action);
    return {};
}

}  // namespace sio::routes
