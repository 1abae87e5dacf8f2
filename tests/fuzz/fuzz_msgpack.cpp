// MessagePack that is taken becomes JSON that may be sent to clients, and the way back and forth again changes nothing;
// JSON becomes MessagePack that is taken.
#include "cluster/msgpack.h"

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"
#include "proto/sio_packet.h"

namespace {

using namespace sio;
namespace msgpack = cluster::msgpack;

constexpr std::size_t max_attachments = 10;

struct Text {
    std::string json;
    std::vector<std::string> attachments;
    bool operator==(const Text&) const = default;
};

bool read(std::string_view bytes, Text& out) {
    return msgpack::to_json(bytes, out.json, out.attachments, max_attachments).has_value();
}

void walk(std::string_view bytes) {
    const auto head = msgpack::read_head(bytes, 0);
    FUZZ_CHECK(head.has_value());
    std::string together;
    std::uint32_t count = 0;
    for (msgpack::Walker walker{bytes}; walker.next(); ++count) {
        FUZZ_CHECK(msgpack::is_valid(walker.value()));
        together.append(walker.key()).append(walker.value());
        if (count < 8 && !walker.name().empty()) FUZZ_CHECK(msgpack::member(bytes, walker.name()).has_value());
    }
    if (head->kind == msgpack::Kind::array || head->kind == msgpack::Kind::map) {
        FUZZ_CHECK(count == head->count);
        FUZZ_CHECK(together == bytes.substr(head->end));
    } else {
        FUZZ_CHECK(count == 0 && head->end == bytes.size());
    }
}

void there_and_back(std::string_view bytes) {
    Text first;
    const bool valid = msgpack::is_valid(bytes);
    if (valid) walk(bytes);
    if (!read(bytes, first)) {
        FUZZ_CHECK(first.json.empty() && first.attachments.empty());
        return;
    }
    FUZZ_CHECK(valid);
    FUZZ_CHECK(base::is_utf8(first.json));
    // A value may nest a little deeper than JSON of ours; its elements then do not all.
    const bool deep = !json::is_valid(first.json);
    if (deep) FUZZ_CHECK(first.json.size() > json::max_depth);
    if (!first.attachments.empty()) {
        const auto found = proto::find_placeholders(first.json, first.attachments.size());
        FUZZ_CHECK(found && found->size() == first.attachments.size());
    }
    std::string again;
    msgpack::append_json(again, first.json, first.attachments);
    FUZZ_CHECK(msgpack::is_valid(again));
    Text second;
    FUZZ_CHECK(read(again, second));
    FUZZ_CHECK(second.attachments == first.attachments);
    std::string third;
    msgpack::append_json(third, second.json, second.attachments);
    FUZZ_CHECK(third == again);
}

void from_text(std::string_view text) {
    std::string bytes = "kept";
    const std::vector<std::string> attachments{"a", "b"};
    const bool taken = msgpack::from_json(text, attachments, bytes).has_value();
    FUZZ_CHECK(taken == json::is_valid(text));
    FUZZ_CHECK(bytes.starts_with("kept"));
    if (!taken) {
        FUZZ_CHECK(bytes.size() == 4);
        return;
    }
    FUZZ_CHECK(msgpack::is_valid(std::string_view{bytes}.substr(4)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 8192) return 0;
    const std::string_view input = fuzz::as_text(data, size);
    there_and_back(input);
    from_text(input);
    std::string unchecked;  // text that is no JSON must do no harm either
    msgpack::append_json(unchecked, input);
    return 0;
}
