// gateway/api_request.h: which bodies of the HTTP API are taken, and where a refused one is wrong.
#include "gateway/api_request.h"

#include <criterion/criterion.h>

#include <string>

namespace {

using namespace sio::gateway;

ApiRequest good(ApiVerb verb, std::string_view body) {
    auto parsed = parse_api_request(verb, body);
    const auto* fault = std::get_if<ApiFault>(&parsed);
    cr_assert(fault == nullptr, "%s: %s", std::string(body).c_str(), fault->message.c_str());
    return std::move(std::get<ApiRequest>(parsed));
}

void expect_fault(ApiVerb verb, std::string_view body, std::string_view code, std::string_view pointer) {
    const auto parsed = parse_api_request(verb, body);
    const auto* fault = std::get_if<ApiFault>(&parsed);
    cr_assert(fault != nullptr, "%s is taken", std::string(body).c_str());
    cr_expect(fault->code == code && fault->pointer == pointer && !fault->message.empty(), "%s: %s at '%s': %s",
              std::string(body).c_str(), fault->code.c_str(), fault->pointer.c_str(), fault->message.c_str());
}

Test(api_request, an_emit_has_what_the_control_socket_takes) {
    const std::string body =
        " {\"nsp\":\"/chat\",\"to\":[\"r\"],\"users\":[\"u\"],\"sockets\":[\"s\"],\"except\":[\"x\"],"
        "\"event\":\"caf\\u00e9\",\"args\":[1,{\"b\":{\"_placeholder\":true,\"num\":0}}],\"attachments\":[\"AQI=\"],"
        "\"volatile\":true}\n";
    const ApiRequest request = good(ApiVerb::emit, body);
    cr_assert(!request.is_batch && request.items.size() == 1);
    const ApiItem& item = request.items[0];
    cr_expect(item.nsp == "/chat");
    cr_expect(item.selection.rooms == std::vector<std::string>{"r"});
    cr_expect(item.selection.users == std::vector<std::string>{"u"});
    cr_expect(item.selection.sockets == std::vector<std::string>{"s"});
    cr_expect(item.selection.except == std::vector<std::string>{"x"});
    cr_expect(item.event == "\"caf\\u00e9\"");
    cr_expect(item.arguments.arguments == R"(1,{"b":{"_placeholder":true,"num":0}})");
    cr_expect(item.arguments.attachments == std::vector<std::string>{"\x01\x02"});
    cr_expect(item.is_volatile);
}

Test(api_request, an_emit_of_an_event_alone_is_for_everybody) {
    const ApiRequest request = good(ApiVerb::emit, R"({"event":"e"})");
    cr_expect(request.items[0].nsp == "/" && request.items[0].arguments.arguments.empty());
    cr_expect(!request.items[0].is_volatile);
}

Test(api_request, a_batch_keeps_its_order) {
    const ApiRequest request = good(ApiVerb::emit, R"([{"event":"a"}, {"event":"b"},{"event":"c"}])");
    cr_assert(request.is_batch && request.items.size() == 3);
    cr_expect(request.items[0].event == "\"a\"" && request.items[2].event == "\"c\"");
}

Test(api_request, a_batch_has_one_to_a_thousand_items) {
    std::string body = "[";
    for (std::size_t i = 0; i < max_api_items; ++i) body += R"({"event":"e"},)";
    body.back() = ']';
    cr_expect(good(ApiVerb::emit, body).items.size() == max_api_items);
    body.back() = ',';
    expect_fault(ApiVerb::emit, body + R"({"event":"e"}])", "too_large", "");
    expect_fault(ApiVerb::emit, "[]", "malformed", "");
}

Test(api_request, the_first_wrong_item_of_a_batch_is_named) {
    const auto parsed = parse_api_request(ApiVerb::emit, R"([{"event":"a"},{"event":"b","args":{}},{"event":1}])");
    const auto* fault = std::get_if<ApiFault>(&parsed);
    cr_assert(fault != nullptr);
    cr_expect(fault->index == 1 && fault->pointer == "/1/args");
}

Test(api_request, what_is_no_request_is_refused) {
    for (const char* body : {"", " ", "x", "{", "1", "null", "\"x\"", "{\"event\":\"e\"}x", "[1]", "[[]]", "\xff"}) {
        const auto parsed = parse_api_request(ApiVerb::emit, body);
        const auto* fault = std::get_if<ApiFault>(&parsed);
        cr_assert(fault != nullptr, "%s is taken", body);
        cr_expect(fault->code == "malformed");
    }
    expect_fault(ApiVerb::emit, std::string(600, '['), "malformed", "");
}

Test(api_request, members_of_the_wrong_kind_are_named) {
    expect_fault(ApiVerb::emit, "{}", "malformed", "");
    expect_fault(ApiVerb::emit, R"({"event":7})", "malformed", "/event");
    expect_fault(ApiVerb::emit, R"({"event":"e","nsp":"chat"})", "malformed", "/nsp");
    expect_fault(ApiVerb::emit, R"({"event":"e","nsp":1})", "malformed", "/nsp");
    expect_fault(ApiVerb::emit, R"({"event":"e","to":"r"})", "malformed", "/to");
    expect_fault(ApiVerb::emit, R"({"event":"e","users":[1]})", "malformed", "/users");
    expect_fault(ApiVerb::emit, R"({"event":"e","args":"x"})", "malformed", "/args");
    expect_fault(ApiVerb::emit, R"({"event":"e","volatile":1})", "malformed", "/volatile");
    expect_fault(ApiVerb::emit, R"({"event":"e","attachments":{}})", "malformed", "/attachments");
    expect_fault(ApiVerb::emit, R"({"event":"e","attachments":["%"]})", "malformed", "/attachments");
    expect_fault(ApiVerb::emit, R"({"event":"e","args":[{"_placeholder":true,"num":3}],"attachments":["AA=="]})",
                 "malformed", "/attachments");
    expect_fault(ApiVerb::join, R"({"all":true})", "malformed", "");
    expect_fault(ApiVerb::join, R"({"all":true,"rooms":[]})", "malformed", "/rooms");
    expect_fault(ApiVerb::leave, R"({"all":true,"rooms":"r"})", "malformed", "/rooms");
    expect_fault(ApiVerb::disconnect, R"({"all":true,"how":"softly"})", "malformed", "/how");
    expect_fault(ApiVerb::presence, R"({"users":["a"],"limit":1})", "malformed", "/limit");
    expect_fault(ApiVerb::presence, R"({"limit":-1})", "malformed", "/limit");
}

Test(api_request, names_that_clients_keep_for_themselves_cannot_be_emitted) {
    expect_fault(ApiVerb::emit, R"({"event":"connect"})", "denied", "/event");
    expect_fault(ApiVerb::emit, R"([{"event":"d\u0069sconnect"}])", "denied", "/0/event");
}

Test(api_request, a_misspelt_member_does_not_reach_everybody) {
    expect_fault(ApiVerb::emit, R"({"event":"e","room":["r"]})", "malformed", "/room");
    expect_fault(ApiVerb::emit, R"([{"event":"e","a/b~c":1}])", "malformed", "/0/a~1b~0c");
    expect_fault(ApiVerb::emit, R"({"event":"e","rooms":["r"]})", "malformed", "/rooms");
    expect_fault(ApiVerb::presence, R"({"to":["r"]})", "malformed", "/to");
}

Test(api_request, a_list_that_selects_nobody_does_not_select_everybody) {
    for (const char* list : {"to", "users", "sockets"}) {
        expect_fault(ApiVerb::emit, R"({"event":"e",")" + std::string(list) + "\":[]}", "malformed",
                     "/" + std::string(list));
    }
    cr_expect(good(ApiVerb::emit, R"({"event":"e","except":[]})").items.size() == 1);
}

Test(api_request, to_change_everybody_has_to_be_said) {
    expect_fault(ApiVerb::disconnect, "{}", "malformed", "");
    expect_fault(ApiVerb::join, R"({"rooms":["r"],"except":["x"]})", "malformed", "");
    expect_fault(ApiVerb::disconnect, R"({"all":false})", "malformed", "");
    expect_fault(ApiVerb::disconnect, R"({"all":true,"to":["r"]})", "malformed", "/all");
    cr_expect(good(ApiVerb::disconnect, R"({"all":true})").items[0].how == Disconnection::from_namespace);
    cr_expect(good(ApiVerb::disconnect, R"({"users":["u"],"how":"client"})").items[0].how == Disconnection::of_client);
    cr_expect(good(ApiVerb::leave, R"({"users":["u"],"rooms":["a","b"]})").items[0].rooms.size() == 2);
}

Test(api_request, the_items_of_a_batch_share_one_bound_of_users) {
    cr_expect(good(ApiVerb::presence, R"([{"limit":50000},{"limit":50000}])").items.size() == 2);
    expect_fault(ApiVerb::presence, R"([{"limit":50000},{"limit":50001}])", "too_large", "/1");
    expect_fault(ApiVerb::presence, R"([{"limit":99999},{"users":["a","b"]}])", "too_large", "/1");
    expect_fault(ApiVerb::presence, R"({"limit":100001})", "malformed", "/limit");
}

Test(api_request, every_verb_has_its_path) {
    for (std::size_t i = 0; i < api_verb_count; ++i) {
        const auto verb = static_cast<ApiVerb>(i);
        cr_expect(api_verb(to_string(verb)) == verb);
    }
    for (const char* name : {"", "emit/", "Emit", "rooms"}) cr_expect(!api_verb(name).has_value(), "%s", name);
}

}  // namespace
