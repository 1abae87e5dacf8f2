// A body of the HTTP API is read without harm, and what is read makes sense: an item alone and the same item in a batch
// are the same, faults point into the body, and texts that become packets are valid JSON.
//
// Byte 0: the command. The rest is the body.
#include <string>
#include <string_view>

#include "base/json.h"
#include "check.h"
#include "gateway/api_request.h"

namespace {

using namespace sio;
using namespace sio::gateway;

void check_fault(const ApiFault& fault) {
    FUZZ_CHECK(!fault.code.empty() && !fault.message.empty());
    FUZZ_CHECK(fault.pointer.empty() || fault.pointer.front() == '/');
    if (fault.index) {
        FUZZ_CHECK(*fault.index < max_api_items);
        FUZZ_CHECK(fault.pointer.starts_with("/" + std::to_string(*fault.index)));
    }
}

void check_item(ApiVerb verb, const ApiItem& item, std::string_view body) {
    FUZZ_CHECK(item.text.data() >= body.data() && item.text.data() + item.text.size() <= body.data() + body.size());
    FUZZ_CHECK(json::is_valid(item.text));
    FUZZ_CHECK(item.nsp.starts_with('/'));
    if (verb == ApiVerb::emit) {
        FUZZ_CHECK(json::is_valid(item.event) && item.event.front() == '"');
        FUZZ_CHECK(!proto::is_reserved_event(json::decode_string(item.event)));
        FUZZ_CHECK(json::is_valid("[" + item.arguments.arguments + "]"));
        FUZZ_CHECK(item.arguments.attachments.size() <= proto::max_attachments);
    }
    const bool selects =
        !item.selection.rooms.empty() || !item.selection.users.empty() || !item.selection.sockets.empty();
    if (verb == ApiVerb::join || verb == ApiVerb::leave) FUZZ_CHECK(!item.rooms.empty());
    if (verb != ApiVerb::emit && verb != ApiVerb::presence) {
        FUZZ_CHECK(selects || json::member(item.text, "all") == "true");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto verb = static_cast<ApiVerb>(data[0] % api_verb_count);
    const std::string body(reinterpret_cast<const char*>(data + 1), size - 1);
    const auto parsed = parse_api_request(verb, body);
    if (const auto* fault = std::get_if<ApiFault>(&parsed)) {
        check_fault(*fault);
        return 0;
    }
    const auto& request = std::get<ApiRequest>(parsed);
    FUZZ_CHECK(!request.items.empty() && request.items.size() <= max_api_items);
    FUZZ_CHECK(request.is_batch || request.items.size() == 1);
    for (const ApiItem& item : request.items) {
        check_item(verb, item, body);
        const std::string wrapped = request.is_batch ? std::string(item.text) : "[" + std::string(item.text) + "]";
        const auto again = parse_api_request(verb, wrapped);
        const auto* same = std::get_if<ApiRequest>(&again);
        FUZZ_CHECK(same != nullptr && same->is_batch != request.is_batch && same->items.size() == 1);
        const ApiItem& other = same->items[0];
        FUZZ_CHECK(other.nsp == item.nsp && other.event == item.event && other.is_volatile == item.is_volatile);
        FUZZ_CHECK(other.rooms == item.rooms && other.how == item.how);
        FUZZ_CHECK(other.selection.rooms == item.selection.rooms && other.selection.users == item.selection.users);
        FUZZ_CHECK(other.arguments.arguments == item.arguments.arguments);
        FUZZ_CHECK(other.arguments.attachments == item.arguments.attachments);
    }
    return 0;
}
