// What the decoder returns can be written again and is then read the same; its placeholders are canonical.
//
// The input is cut at 0x1E into messages: the first byte of each says `t` (text) or `b` (binary).
#include "proto/sio_packet.h"

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"

namespace {

using namespace sio;
using namespace sio::proto;

constexpr std::size_t max_bytes = 2048;

struct Written {
    std::string text;
    std::vector<std::string> attachments;
    bool operator==(const Written&) const = default;
};

Written write(const SioPacket& packet) {
    Written out;
    if (packet.attachments != nullptr) out.attachments = *packet.attachments;
    append_sio_header(out.text, packet.type, out.attachments.size(), packet.nsp, packet.id);
    out.text.append(packet.json);
    return out;
}

void check_json(const SioPacket& packet) {
    const std::string_view json = packet.json;
    FUZZ_CHECK(json::is_valid(json));
    if (packet.is_ack()) {
        FUZZ_CHECK(json::is_valid("[" + std::string{ack_arguments(json)} + "]"));
        return;
    }
    if (!packet.is_event()) return;
    const std::string_view name = event_name_token(json);
    FUZZ_CHECK(!name.empty() && json::element(json, 0) == name);
    if (json::kind_of(name) == json::Kind::string) FUZZ_CHECK(!is_reserved_event(json::decode_string(name)));
    const std::string_view arguments = event_arguments(json);
    std::string rebuilt = "[" + std::string{name};
    if (!arguments.empty()) rebuilt.append(",").append(arguments);
    rebuilt.push_back(']');
    FUZZ_CHECK(json::is_valid(rebuilt));
    for (std::size_t i = 0; i < 4; ++i) FUZZ_CHECK(json::element(rebuilt, i) == json::element(json, i));
}

void check_packet(const SioPacket& packet) {
    FUZZ_CHECK(packet.nsp == "/" || (packet.nsp.size() > 0 && packet.nsp.front() == '/'));
    FUZZ_CHECK(packet.nsp.find(',') == std::string_view::npos);
    if (!packet.json.empty()) check_json(packet);
    const bool is_binary = packet.type == SioType::binary_event || packet.type == SioType::binary_ack;
    FUZZ_CHECK(is_binary == (packet.attachments != nullptr));
    std::size_t total = packet.json.size();
    if (packet.attachments != nullptr) {
        const auto placeholders = find_placeholders(packet.json, packet.attachments->size());
        FUZZ_CHECK(placeholders && placeholders->size() == packet.attachments->size());
        FUZZ_CHECK(!placeholders->empty() && placeholders->size() <= max_attachments);
        for (std::size_t k = 0; k < placeholders->size(); ++k) {
            const Placeholder& placeholder = (*placeholders)[k];
            FUZZ_CHECK(placeholder.num == k);
            FUZZ_CHECK(packet.json.substr(placeholder.begin, placeholder.end - placeholder.begin) ==
                       "{\"_placeholder\":true,\"num\":" + std::to_string(k) + "}");
            total += (*packet.attachments)[k].size();
        }
    }
    FUZZ_CHECK(total <= max_bytes);

    // Written and read again it is itself.
    const Written written = write(packet);
    SioDecoder decoder{2 * max_bytes};
    auto result = decoder.text(written.text);
    for (const std::string& attachment : written.attachments) {
        FUZZ_CHECK(result && !result->has_value() && decoder.is_waiting());
        result = decoder.binary(attachment);
    }
    FUZZ_CHECK(result && result->has_value() && !decoder.is_waiting());
    FUZZ_CHECK(write(**result) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 8192) return 0;
    std::string_view rest = fuzz::as_text(data, size);
    SioDecoder decoder{max_bytes};
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\x1e'), rest.size());
        const std::string_view message = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (message.empty()) continue;
        const std::string_view content = message.substr(1);
        if (message.front() == 't' && !base::is_utf8(content)) continue;  // the transport refuses it
        const auto result = message.front() == 't' ? decoder.text(content) : decoder.binary(content);
        FUZZ_CHECK(decoder.bytes_held() <= 16384);
        if (!result) return 0;
        if (result->has_value()) check_packet(**result);
        FUZZ_CHECK(result->has_value() != decoder.is_waiting());
    }
    return 0;
}
