// trace: a record's way, from its own time over the bridge and the stream to the sockets.
#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "routes/template.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t max_entries = 64;  // of one record whose gateways are asked

struct Place {
    std::string topic;
    std::int64_t partition = 0;
    std::int64_t offset = 0;
};

Outcome<Place> parse_place(const std::string& text) {
    const std::size_t second = text.rfind('/');
    const std::size_t first = second == std::string::npos || second == 0 ? second : text.rfind('/', second - 1);
    if (first != std::string::npos && first != 0 && second != first) {
        const auto partition =
            base::parse_decimal(std::string_view(text).substr(first + 1, second - first - 1), INT32_MAX);
        const auto offset = base::parse_decimal(std::string_view(text).substr(second + 1), INT64_MAX);
        if (partition && offset) {
            return Place{text.substr(0, first), static_cast<std::int64_t>(*partition),
                         static_cast<std::int64_t>(*offset)};
        }
    }
    return give_up(exit_code::usage, text + " is not like TOPIC/PARTITION/OFFSET");
}

/// What became of one entry of the stream. `nodes` is raw JSON, `null` when no gateway was asked or answered.
struct Entry {
    std::string stream;
    std::string id;
    std::string nodes = "null";
};

/// Asks the gateway about all entries. The failure is the first; what was answered before it stays.
Outcome<void> ask_gateways(const Invocation& invocation, std::vector<Entry>& entries) {
    const auto wait = invocation.time("--timeout", 10s);
    if (!wait) return tl::unexpected(wait.error());
    const Deadline deadline = deadline_in(*wait);
    auto control = Control::open(invocation.control_path(), deadline);
    if (!control) return tl::unexpected(control.error());
    for (std::size_t i = 0; i < std::min(entries.size(), max_entries); ++i) {
        wire::ObjectWriter members;
        if (!entries[i].stream.empty()) members.text("stream", entries[i].stream);
        members.text("entry", entries[i].id);
        const auto answer = control->ask("trace", members, deadline);
        if (!answer) return tl::unexpected(answer.error());
        entries[i].nodes = std::string(raw_member(*answer, "nodes"));
    }
    return {};
}

/// The bridge's answer, with `nodes` in its entries.
std::string whole_answer(std::string_view answer, const std::vector<Entry>& entries, const std::string& failure) {
    std::string out = "{";
    for (json::Walker members{answer}; members.next();) {
        if (members.key() == "\"id\"" || members.key() == "\"ok\"" || members.key() == "\"entries\"") continue;
        if (out.size() > 1) out += ',';
        out += members.key();
        out += ':';
        out += members.value();
    }
    std::string list;
    for (const Entry& entry : entries) {
        wire::ObjectWriter one;
        one.text("stream", entry.stream).text("id", entry.id).raw("nodes", entry.nodes);
        list += (list.empty() ? "" : ",") + one.object();
    }
    if (json::member(answer, "entries")) out += ",\"entries\":[" + list + "]";
    if (!failure.empty()) out += ",\"gateway_error\":" + json::quote(failure);
    return out + "}";
}

std::optional<std::int64_t> moment_of(std::string_view object, std::string_view key) {
    const auto number = base::parse_decimal(raw_member(object, key), INT64_MAX);
    return number ? std::optional(static_cast<std::int64_t>(*number)) : std::nullopt;
}

/// The rows of a table, each with its time and how long after an earlier one that is.
class Timeline {
public:
    void add(const std::string& step, std::optional<std::int64_t> at, std::optional<std::int64_t> before,
             const std::string& what) {
        std::string after = "-";
        if (at && before) after = (*at >= *before ? "+" : "") + std::to_string(*at - *before) + " ms";
        table_.add({step, at ? routes::iso_time(*at) : "-", after, what});
    }
    void print(Output& out) const { table_.print(out); }

private:
    Table table_{{"STEP", "TIME", "AFTER", "WHAT"}};
};

std::string sockets_of(std::string_view node) {
    const std::uint64_t count = count_member(node, "sockets");
    std::string text = std::to_string(count) + (count == 1 ? " socket" : " sockets");
    std::size_t named = 0;
    for (json::Walker sids{raw_member(node, "sids")}; sids.next(); ++named) {
        text += (named == 0 ? ": " : ", ") + cell(sids.value());
    }
    if (named > 0 && named < count) text += ", …";
    return text;
}

void print_timeline(Output& out, std::string_view answer, const std::vector<Entry>& entries) {
    const std::string outcome = text_member(answer, "outcome");
    Table facts{{"RECORD", cell(raw_member(answer, "record"))}};
    facts.add({"outcome", printable(outcome)});
    if (json::member(answer, "reason")) facts.add({"reason", cell(raw_member(answer, "reason"))});
    if (json::member(answer, "next")) facts.add({"next in Redis", cell(raw_member(answer, "next"))});
    facts.print(out);
    const auto made = moment_of(answer, "time_ms");
    const auto consumed = moment_of(answer, "consumed_ms");
    const auto written = moment_of(answer, "written_ms");
    if (!consumed) return;
    Timeline steps;
    steps.add("record", made, std::nullopt, "its own timestamp");
    steps.add("consumed", consumed, made, "by the bridge");
    if (entries.empty() && written) steps.add("settled", written, consumed, printable(outcome));
    for (const Entry& entry : entries) {
        steps.add("in the stream", written, consumed, printable(entry.stream + " " + entry.id));
        for (json::Walker nodes{entry.nodes}; nodes.next();) {
            const std::string_view node = nodes.value();
            const std::string name = "gateway " + text_member(node, "node");
            const auto read = moment_of(node, "read_ms");
            if (raw_member(node, "ok") == "false")
                steps.add(printable(name), std::nullopt, std::nullopt, "did not answer");
            else if (!read)
                steps.add(printable(name), std::nullopt, std::nullopt, "has not read it, or no longer knows");
            else
                steps.add(printable(name), read, written, sockets_of(node));
        }
    }
    out.line("");
    steps.print(out);
}

}  // namespace

int run_trace(const Invocation& invocation) {
    const auto place = parse_place(invocation.one("RECORD"));
    if (!place) return finish(place.error());
    wire::ObjectWriter members;
    members.text("topic", place->topic).number("partition", place->partition).number("offset", place->offset);
    const auto answer = ask_bridge(invocation, "trace", members, 10s);
    if (!answer) return finish(answer.error());
    std::vector<Entry> entries;
    for (json::Walker each{raw_member(*answer, "entries")}; each.next();) {
        entries.push_back({text_member(each.value(), "stream"), text_member(each.value(), "id")});
    }
    std::string failure;
    if (!entries.empty()) {
        if (const auto asked = ask_gateways(invocation, entries); !asked) failure = asked.error().what;
    }
    Output out;
    switch (invocation.format(Format::table, Format::ndjson)) {
        case Format::table: print_timeline(out, *answer, entries); break;
        case Format::json: out.line(indented(whole_answer(*answer, entries, failure))); break;
        case Format::ndjson: out.line(whole_answer(*answer, entries, failure)); break;
    }
    out.flush();
    if (!failure.empty()) {
        complain("what gateways did with it is not known: " + failure);
        return exit_code::partial;
    }
    if (entries.size() > max_entries && !invocation.quiet()) {
        complain("gateways were asked about the first 64 entries of " + std::to_string(entries.size()));
    }
    int code = exit_code::ok;
    for (const Entry& entry : entries) {
        if (const int silent = silent_nodes("{\"nodes\":" + entry.nodes + "}"); silent != exit_code::ok) code = silent;
    }
    return code;
}

}  // namespace sio::sioctl
