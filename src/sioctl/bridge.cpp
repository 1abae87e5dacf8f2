// bridge partitions, bridge reload, dlq list, dlq replay: what sio-bridge does with topics and with dead letters.
#include "base/bytes.h"
#include "base/json.h"
#include "routes/template.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t shown_value = 60;  // characters of a dead letter's value in a table
constexpr auto letters_wait = 30s;       // reading a topic back takes its time

void print_partitions(Output& out, std::string_view partitions) {
    Table table{{"TOPIC", "PARTITION", "NEXT", "END", "LAG", "IN FLIGHT", "STATE"}};
    for (json::Walker each{partitions}; each.next();) {
        const std::string_view one = each.value();
        table.add({cell(raw_member(one, "topic")), cell(raw_member(one, "partition")), cell(raw_member(one, "next")),
                   cell(raw_member(one, "end")), cell(raw_member(one, "lag")), cell(raw_member(one, "in_flight")),
                   cell(raw_member(one, "state"))});
    }
    table.print(out);
}

/// At most `most` characters of UTF-8.
std::string cut(std::string text, std::size_t most) {
    std::size_t characters = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;
        if (characters++ < most) continue;
        text.resize(i);
        return text + "…";
    }
    return text;
}

void print_letters(Output& out, std::string_view records) {
    Table table{{"ID", "SINCE", "ERROR", "FROM", "KEY", "VALUE", "REPLAYED", "REASON"}};
    for (json::Walker each{records}; each.next();) {
        const std::string_view one = each.value();
        const std::uint64_t since = count_member(one, "time_ms");
        const bool is_text = json::kind_of(raw_member(one, "value")) == json::Kind::string;
        const bool is_binary = json::kind_of(raw_member(one, "value_base64")) == json::Kind::string;
        table.add({cell(raw_member(one, "id")),
                   since == 0 ? "-" : routes::iso_time(static_cast<std::int64_t>(since)).substr(0, 19) + "Z",
                   cell(raw_member(one, "error")), cell(raw_member(one, "source")), cell(raw_member(one, "key")),
                   is_text     ? cut(cell(raw_member(one, "value")), shown_value)
                   : is_binary ? cell(raw_member(one, "bytes")) + " bytes"
                               : "-",
                   raw_member(one, "replayed") == "true" ? "yes" : "no", cell(raw_member(one, "reason"))});
    }
    table.print(out);
}

void print_results(Output& out, std::string_view results) {
    Table table{{"ID", "RESULT", "ENTRIES", "REASON"}};
    for (json::Walker each{results}; each.next();) {
        const std::string_view one = each.value();
        table.add({cell(raw_member(one, "id")), raw_member(one, "ok") == "true" ? "replayed" : "failed",
                   cell(raw_member(one, "entries")), cell(raw_member(one, "error"))});
    }
    table.print(out);
}

/// One array of the answer, as the format wants it.
void print_array(const Invocation& invocation, std::string_view answer, std::string_view member,
                 void (*print)(Output&, std::string_view)) {
    const std::string_view array = raw_member(answer, member);
    Output out;
    switch (invocation.format()) {
        case Format::table: print(out, array); break;
        case Format::json: out.line(indented(without_frame(answer))); break;
        case Format::ndjson:
            for (json::Walker each{array}; each.next();) out.line(each.value());
            break;
    }
}

bool is_letter_id(std::string_view text) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    return base::parse_decimal(text.substr(0, slash), INT32_MAX) &&
           base::parse_decimal(text.substr(std::min(slash + 1, text.size())), INT64_MAX);
}

}  // namespace

int run_bridge_partitions(const Invocation& invocation) {
    const auto answer = ask_bridge(invocation, "partitions", {}, 10s);
    if (!answer) return finish(answer.error());
    print_array(invocation, *answer, "partitions", print_partitions);
    return exit_code::ok;
}

int run_bridge_reload(const Invocation& invocation) {
    const auto answer = ask_bridge(invocation, "reload", {}, 10s);
    return answer ? exit_code::ok : finish(answer.error());
}

int run_dlq_list(const Invocation& invocation) {
    const auto limit = invocation.number("--limit", 1);
    if (!limit) return finish(limit.error());
    wire::ObjectWriter members;
    if (*limit) members.number("limit", static_cast<std::int64_t>(**limit));
    const auto answer = ask_bridge(invocation, "dlq_list", members, letters_wait);
    if (!answer) return finish(answer.error());
    print_array(invocation, *answer, "records", print_letters);
    if (!invocation.quiet()) {
        std::size_t count = 0;
        for (json::Walker each{raw_member(*answer, "records")}; each.next();) ++count;
        complain(std::to_string(count) + " in " + text_member(*answer, "topic") +
                 (count == limit->value_or(100) ? "; there may be more (--limit)" : ""));
    }
    return exit_code::ok;
}

int run_dlq_replay(const Invocation& invocation) {
    const std::vector<std::string>& ids = invocation.all("ID");
    if (ids.empty() != invocation.has("--all")) {
        return finish(
            {exit_code::usage, ids.empty() ? "which ones? Name them, or say --all" : "--all or names, not both"});
    }
    for (const std::string& id : ids) {
        if (!is_letter_id(id))
            return finish({exit_code::usage, id + " is not like PARTITION/OFFSET, as dlq list has it"});
    }
    wire::ObjectWriter members;
    if (!ids.empty()) members.texts("records", ids);
    if (invocation.has("--again")) members.boolean("again", true);
    const auto answer = ask_bridge(invocation, "dlq_replay", members, letters_wait);
    if (!answer) return finish(answer.error());
    print_array(invocation, *answer, "results", print_results);
    std::size_t replayed = 0;
    std::size_t failed = 0;
    for (json::Walker each{raw_member(*answer, "results")}; each.next();) {
        ++(raw_member(each.value(), "ok") == "true" ? replayed : failed);
    }
    if (!invocation.quiet()) {
        complain(std::to_string(replayed) + " replayed" +
                 (failed > 0 ? ", " + std::to_string(failed) + " could not be" : ""));
    }
    return failed > 0 ? exit_code::no : exit_code::ok;
}

}  // namespace sio::sioctl
