#include "cluster/message.h"

#include <criterion/criterion.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "cluster/msgpack.h"
#include "unit/cluster/golden.h"

using namespace sio;
using namespace sio::cluster;

namespace {

constexpr std::string_view uid = "710f65ae4c7f8b9e";
constexpr std::string_view request_id = "b06cfaa030759f19";

std::string joined(const StringList& list) {
    std::string out;
    for (const std::string& item : list) out += (out.empty() ? "" : ",") + item;
    return out;
}

/// What a message says, as one line.
std::string show(const Message& message) {
    std::string out =
        std::string{message.uid} + ' ' + std::string{message.nsp} + ' ' + std::string{to_string(message.type)};
    if (message.has_request_id) out += " asked=" + std::string{message.request_id};
    if (!message.rooms.empty()) out += " rooms=" + joined(message.rooms);
    if (!message.except.empty()) out += " except=" + joined(message.except);
    if (message.flags.is_volatile) out += " volatile";
    if (message.flags.compress) out += *message.flags.compress ? " compress" : " plain";
    if (message.flags.expect_single_response) out += " single";
    if (message.flags.timeout_ms) out += " timeout=" + std::to_string(*message.flags.timeout_ms);
    if (!message.event.empty()) out += ' ' + std::string{message.event} + '(' + std::string{message.arguments} + ')';
    if (message.packet_has_id) out += " with id";
    if (!message.joined_rooms.empty()) out += " of=" + joined(message.joined_rooms);
    if (message.close) out += " close";
    if (message.type == Type::broadcast_client_count) out += " count=" + std::to_string(message.client_count);
    if (!message.value.empty()) out += " value=" + std::string{message.value};
    if (!message.sockets.empty()) out += " sockets=" + std::string{message.sockets};
    if (message.gateways_count) out += " gateways count";
    for (const Question& question : message.questions) {
        out += " ?";
        for (const std::string& room : question.rooms) out += '+' + room;
        for (const std::string& room : question.except) out += '-' + room;
    }
    for (const std::uint64_t count : message.counts) out += " #" + std::to_string(count);
    if (message.is_open) out += " open";
    for (const std::string& attachment : message.attachments) out += " <" + std::to_string(attachment.size()) + '>';
    return out;
}

std::string shown(const Result<const Message*>& result) {
    if (!result) return std::string{to_string(result.error().code)};
    return show(**result);
}

std::string entry(std::string_view type, std::string_view data) {
    Decoder decoder;
    return shown(decoder.stream_entry("u", "/", type, data));
}

std::string payload(std::string_view bytes) {
    Decoder decoder;
    return shown(decoder.payload(bytes));
}

std::string packed(std::string_view json, const std::vector<std::string>& attachments = {}) {
    std::string out;
    cr_assert(msgpack::from_json(json, attachments, out).has_value(), "%s", std::string{json}.c_str());
    return out;
}

std::string classic(std::string_view bytes) {
    Decoder decoder;
    return shown(decoder.classic_broadcast(bytes));
}

std::string request(std::string_view bytes) {
    Decoder decoder;
    const auto result = decoder.classic_request(bytes);
    if (!result) return std::string{to_string(result.error().code)};
    std::string out = std::to_string(static_cast<int>((*result)->type)) + ' ' + show(*(*result)->message);
    if (!(*result)->sid.empty()) out += " sid=" + std::string{(*result)->sid};
    return out;
}

std::string stream_data(const Outgoing& message) {
    std::string out;
    append_stream_data(out, message);
    return out;
}

std::string payload_of(const Outgoing& message) {
    std::string out;
    append_payload(out, uid, "/", message);
    return out;
}

}  // namespace

// ---- Entries of the stream ------------------------------------------------------------------------------------------

Test(cluster_message, reads_entries_that_node_wrote) {
    cr_expect(entry("3", golden::stream_hello) == R"(u / broadcast "hello"(1,"2",{"a":[true,null]},null))");
    cr_expect(entry("3", golden::stream_flags) == "u / broadcast rooms=r1,\u00e9\"\n except=r2 volatile plain \"x\"()");
    cr_expect(entry("3", golden::stream_with_id) == R"(u / broadcast rooms=sid-1 "q"(1) with id)");
    cr_expect(entry("3", golden::stream_binary) ==
              R"(u / broadcast rooms=room1 "bin"({"_placeholder":true,"num":0}) <2>)");
    cr_expect(entry("3", golden::stream_two_binary) ==
              R"(u / broadcast except=x "bin"({"a":{"_placeholder":true,"num":0},)"
              R"("n":[1.5,-1,70000,-40000,1099511627776,-1099511627776]},{"_placeholder":true,"num":1}) <1> <300>)");
    cr_expect(entry("3", golden::stream_binary_date) ==
              R"(u / broadcast "d"("2026-11-23T07:35:53.120Z","2026-11-23T07:35:53.000Z","1969-12-31T23:59:59.999Z",)"
              R"({"_placeholder":true,"num":0},null,{"u":null}) <1>)");
    cr_expect(entry("4", golden::stream_join) == "u / sockets_join rooms=room1 of=a,b");
    cr_expect(entry("5", golden::stream_leave) == "u / sockets_leave except=room1 of=a");
    cr_expect(entry("6", golden::stream_disconnect) == "u / disconnect_sockets rooms=nobody close");
}

Test(cluster_message, reads_entries_of_the_streams_emitter) {
    cr_expect(
        entry("3", R"({"packet":{"type":2,"data":["a"],"nsp":"/"},"opts":{"rooms":[],"flags":{},"except":[]}})") ==
        R"(u / broadcast "a"())");
    cr_expect(entry("9", R"({"packet":["ev",1]})") == R"(u / server_side_emit "ev"(1))");
}

Test(cluster_message, reads_the_types_that_have_no_data) {
    for (const std::string_view type : {"1", "2", "13"}) cr_expect(entry(type, "") != "malformed");
}

Test(cluster_message, reads_requests_and_responses_in_the_stream_too) {
    cr_expect(entry("7", R"({"opts":{},"requestId":"r"})") == "u / fetch_sockets asked=r");
    cr_expect(entry("12", R"({"requestId":"r","packet":[1]})") == "u / broadcast_ack asked=r value=[1]");
    cr_expect(entry("12", R"({"requestId":"r"})") == "u / broadcast_ack asked=r value=null");
}

Test(cluster_message, tolerates_what_other_writers_do) {
    cr_expect(entry("3", R"({"opts":{},"packet":{"data":["a"],"type":2}})") == R"(u / broadcast "a"())");
    cr_expect(entry("3", R"( {"opts":{}})") == "malformed", "a blank is no object and no base64 of one");
    cr_expect(
        entry(
            "3",
            R"({ "packet" : { "type" : 2.0 , "data" : [ "a" , 1 , 2 ] } , "opts" : { "rooms" : [ 7 , "x" ] } , "more" : {} } )") ==
        R"(u / broadcast rooms=7,x "a"(1 , 2))");
    cr_expect(
        entry(
            "3",
            R"({"opts":{"rooms":null,"except":null,"flags":null},"requestId":null,"packet":{"type":2,"data":[1],"id":null}})") ==
        R"(u / broadcast 1())");
    cr_expect(
        entry("3", R"({"p\u0061cket":{"type":2,"data":["a"]},"opts":{"rooms":["\u0041"]},"requestId":"\u0042"})") ==
        R"(u / broadcast asked=B rooms=A "a"())");
    cr_expect(
        entry("3", R"({"packet":{"type":2,"data":["a"]},"opts":{"flags":{"timeout":1.5,"volatile":false,"x":[]}}})") ==
        R"(u / broadcast timeout=1 "a"())");
}

Test(cluster_message, of_two_members_of_one_name_the_last_counts) {
    cr_expect(
        entry("3",
              R"({"opts":{"rooms":["a"]},"opts":{"rooms":["b"]},"packet":{"type":2,"data":["x",1],"data":["y"]}})") ==
        R"(u / broadcast rooms=b "y"())");
}

Test(cluster_message, refuses_what_must_not_reach_clients) {
    for (const std::string_view data : {R"({"opts":{},"packet":{"type":2,"data":["a",]}})",
                                        R"({"opts":{},"packet":{"type":2,"data":["a",1}})",
                                        R"({"opts":{},"packet":{"type":2,"data":["a",01]}})",
                                        R"({"opts":{},"packet":{"type":2,"data":["a"]}} x)",
                                        R"({"opts":{},"packet":{"type":2,"data":["a"]})",
                                        R"({"opts":{},"packet":{"type":2,"data":[]}})",
                                        R"({"opts":{},"packet":{"type":2,"data":[null]}})",
                                        R"({"opts":{},"packet":{"type":2,"data":[["a"]]}})",
                                        R"({"opts":{},"packet":{"type":2,"data":{"0":"a"}}})",
                                        R"({"opts":{},"packet":{"type":2,"data":["disconnect"]}})",
                                        R"({"opts":{},"packet":{"type":2,"data":["conn\u0065ct"]}})",
                                        R"({"opts":{},"packet":{"type":2}})",
                                        R"({"opts":{},"packet":{"type":3,"data":["a"]}})",
                                        R"({"opts":{},"packet":{"type":5,"data":["a"]}})",
                                        R"({"opts":{},"packet":{"type":"2","data":["a"]}})",
                                        R"({"opts":{},"packet":{"data":["a"]}})",
                                        R"({"opts":{},"packet":[]})",
                                        R"({"opts":{}})",
                                        R"({"packet":{"type":2,"data":["a"]}})",
                                        R"({"opts":[],"packet":{"type":2,"data":["a"]}})",
                                        R"({"opts":null,"packet":{"type":2,"data":["a"]}})",
                                        R"({"opts":{"rooms":"a"},"packet":{"type":2,"data":["a"]}})",
                                        R"({"opts":{"rooms":[null]},"packet":{"type":2,"data":["a"]}})",
                                        R"({"opts":{"rooms":[["a"]]},"packet":{"type":2,"data":["a"]}})",
                                        R"({"opts":{"flags":[]},"packet":{"type":2,"data":["a"]}})",
                                        R"({"opts":{},"requestId":5,"packet":{"type":2,"data":["a"]}})",
                                        "{\"opts\":{},\"packet\":{\"type\":2,\"data\":[\"a\xFF\"]}}",
                                        "{\"opts\":{},\"packet\":{\"type\":2,\"data\":[\"a\n\"]}}",
                                        "{",
                                        "{}",
                                        "[]",
                                        "null",
                                        "=",
                                        "*",
                                        "AAAA"}) {
        cr_expect(entry("3", data) == "malformed", "%s: %s", std::string{data}.c_str(), entry("3", data).c_str());
    }
    for (const std::string_view type : {"", "0", "14", "-3", "3.0", "x", "4294967299"}) {
        cr_expect(entry(type, golden::stream_hello) == "malformed", "%s", std::string{type}.c_str());
    }
    cr_expect(entry("4", R"({"opts":{}})") == "malformed");
    cr_expect(entry("4", R"({"rooms":["a"]})") == "malformed", "without options it would join everybody");
    cr_expect(entry("6", R"({"close":true})") == "malformed", "without options it would disconnect everybody");
    cr_expect(entry("7", R"({"opts":{}})") == "malformed");
    cr_expect(entry("8", R"({"requestId":"r"})") == "malformed");
    cr_expect(entry("9", "{}") == "malformed");
    cr_expect(entry("11", R"({"requestId":"r"})") == "malformed");
    cr_expect(entry("11", R"({"requestId":"r","clientCount":-1})") == "malformed");
    cr_expect(entry("11", R"({"requestId":"r","clientCount":1.5})") == "malformed");
    Decoder decoder;
    cr_expect(shown(decoder.stream_entry("u", "", "3", golden::stream_hello)) == "malformed");
    cr_expect(shown(decoder.stream_entry("\xFF", "/", "3", golden::stream_hello)) == "malformed");
    cr_expect(shown(decoder.stream_entry("u", "/", "3", "")) == "malformed");
}

Test(cluster_message, an_error_says_what_is_wrong) {
    Decoder decoder;
    const auto result = decoder.stream_entry("u", "/", "3", R"({"opts":{},"packet":{"type":2,"data":["connect"]}})");
    cr_assert(!result);
    cr_expect(result.error().what == "cannot read message: the event name is reserved");
}

Test(cluster_message, a_message_above_the_limit_is_too_large) {
    Decoder decoder{golden::stream_hello.size()};
    cr_expect(decoder.stream_entry("u", "/", "3", golden::stream_hello).has_value());
    Decoder smaller{golden::stream_hello.size() - 1};
    cr_expect(shown(smaller.stream_entry("u", "/", "3", golden::stream_hello)) == "too_large");
    cr_expect(shown(smaller.payload(std::string(1000, 'x'))) == "too_large");
    cr_expect(shown(smaller.classic_broadcast(std::string(1000, 'x'))) == "too_large");
}

Test(cluster_message, binary_counts_and_stays_in_its_place) {
    const auto encoded = [](std::string_view json, std::size_t attachments) {
        std::string out;
        base::append_base64(out, packed(json, std::vector<std::string>(attachments, "x")));
        return out;
    };
    std::string many = R"({"packet":{"type":2,"data":["a")";
    for (int i = 0; i < 10; ++i) many += R"(,{"_placeholder":true,"num":)" + std::to_string(i) + '}';
    cr_expect(entry("3", encoded(many + R"(]},"opts":{}})", 10)) != "malformed");
    cr_expect(entry("3", encoded(many + R"(,{"_placeholder":true,"num":0}]},"opts":{}})", 10)) == "malformed");
    cr_expect(entry("3", encoded(R"({"packet":{"type":2,"data":["a"]},"opts":{},"more":{"_placeholder":true,"num":0}})",
                                 1)) == "malformed");
    cr_expect(entry("4", encoded(R"({"opts":{},"rooms":["a"],"more":{"_placeholder":true,"num":0}})", 1)) ==
              "malformed");
    cr_expect(entry("4", encoded(R"({"opts":{},"rooms":["a"]})", 0)) == "u / sockets_join of=a",
              "any type may be packed");
    cr_expect(entry("10", encoded(R"({"requestId":"r","more":{"_placeholder":true,"num":0}})", 1)) == "malformed");
    cr_expect(
        entry("3", encoded(R"({"packet":{"type":2,"data":["a",{"_placeholder":true,"num":0}],"data":["a"]},"opts":{}})",
                           1)) == "malformed");
    // Clients would take the object of the sender's own for the attachment.
    cr_expect(
        entry(
            "3",
            encoded(
                R"({"packet":{"type":2,"data":["a",{"_placeholder":true,"num":0},{"num":0,"_placeholder":true}]},"opts":{}})",
                1)) == "malformed");
}

Test(cluster_message, arguments_nest_as_deep_as_a_client_may_send_them) {
    const std::string deep = std::string(json::max_depth - 1, '[') + std::string(json::max_depth - 1, ']');
    Outgoing message{.type = Type::broadcast, .event = "\"a\"", .arguments = deep};
    cr_expect(entry("3", stream_data(message)) == "u / broadcast \"a\"(" + deep + ')');
    message.request_id = "r";
    cr_expect(payload(payload_of(message)) == std::string{uid} + " / broadcast asked=r \"a\"(" + deep + ')');
    const std::string deeper = '[' + deep + ']';
    message.arguments = deeper;
    cr_expect(entry("3", stream_data(message)) == "malformed");
}

Test(cluster_message, a_decoder_forgets_the_message_before) {
    Decoder decoder;
    const std::vector<std::string_view> entries{golden::stream_flags,
                                                golden::stream_two_binary,
                                                golden::stream_hello,
                                                R"({"packet":{"type":2,"data":["a"]},"opts":{}})",
                                                golden::stream_flags,
                                                R"({"packet":{"type":2,"data":["a"]},"opts":{}})",
                                                "{",
                                                golden::stream_with_id};
    for (int round = 0; round < 2; ++round) {
        for (const std::string_view data : entries) {
            cr_expect(shown(decoder.stream_entry("u", "/", "3", data)) == entry("3", data));
        }
        cr_expect(shown(decoder.payload(golden::payload_ack)) == payload(golden::payload_ack));
    }
}

// ---- Channels -------------------------------------------------------------------------------------------------------

Test(cluster_message, reads_payloads_that_node_published) {
    const std::string from = std::string{uid} + " / ";
    const std::string asked = " asked=" + std::string{request_id};
    cr_expect(payload(golden::payload_fetch) == from + "fetch_sockets" + asked);
    cr_expect(payload(golden::payload_ask) == from + "broadcast" + asked + " timeout=500 \"askall\"(1)");
    cr_expect(payload(golden::payload_ask_binary) ==
              from + "broadcast" + asked +
                  R"( rooms=r single timeout=500 "askall"({"_placeholder":true,"num":0}) <3>)");
    cr_expect(payload(golden::payload_emit) == from + R"(server_side_emit "ev"(1,{"a":"b"}))");
    cr_expect(payload(golden::payload_emit_ack) == from + "server_side_emit" + asked + " \"ev\"(1)");
    cr_expect(payload(golden::payload_no_sockets) == from + "fetch_sockets_response" + asked + " sockets=[]");
    cr_expect(payload(golden::payload_emit_answer) ==
              from + "server_side_emit_response" + asked +
                  R"( value={"from":"node","bytes":{"_placeholder":true,"num":0}} <2>)");
    cr_expect(payload(golden::payload_count) == from + "broadcast_client_count" + asked + " count=0");
    cr_expect(payload(golden::payload_ack) == from + "broadcast_ack" + asked + R"( value={"from":"c2"})");
    cr_expect(payload(golden::payload_ack_nothing) == from + "broadcast_ack" + asked + " value=null");
}

Test(cluster_message, reads_payloads_in_json_as_the_sharded_adapter_writes_them) {
    cr_expect(payload(R"({"type":3,"data":{"packet":{"type":2,"data":["a"]},"opts":{}},"uid":"u","nsp":"/x"})") ==
              R"(u /x broadcast "a"())");
    cr_expect(payload(R"({"uid":"u","nsp":"/","data":{"opts":{},"close":true},"type":6})") ==
              "u / disconnect_sockets close");
}

Test(cluster_message, refuses_payloads_that_are_none) {
    for (const std::string_view json : {"{}", R"({"type":3,"nsp":"/"})", R"({"type":99,"nsp":"/","data":{}})", "[1]",
                                        "7", R"({"type":2,"uid":"u"})", R"({"type":2,"uid":7,"nsp":"/"})",
                                        R"({"type":2,"uid":"u","nsp":7})", R"({"type":"2","uid":"u","nsp":"/"})"}) {
        cr_expect(payload(packed(json)) == "malformed", "%s", std::string{json}.c_str());
        cr_expect(payload(json) == "malformed", "%s", std::string{json}.c_str());
    }
    cr_expect(payload("") == "malformed");
    cr_expect(payload(golden::payload_ask.substr(0, golden::payload_ask.size() - 1)) == "malformed");
    cr_expect(payload(std::string{golden::payload_ask} + '\xC0') == "malformed");
    cr_expect(payload(golden::classic_all) == "malformed", "an array is the classic adapter's");
}

// ---- Encoding -------------------------------------------------------------------------------------------------------

Test(cluster_message, writes_entries_byte_for_byte_as_node_does) {
    const std::vector<std::string> room1{"room1"};
    cr_expect(
        stream_data({.type = Type::broadcast, .event = R"("hello")", .arguments = R"(1,"2",{"a":[true,null]},null)"}) ==
        golden::stream_hello);
    const std::vector<std::string> odd{"r1", "\u00e9\"\n"};
    const std::vector<std::string> r2{"r2"};
    Outgoing flagged{.type = Type::broadcast, .rooms = odd, .except = r2, .event = "\"x\""};
    flagged.flags.is_volatile = true;
    flagged.flags.compress = false;
    cr_expect(stream_data(flagged) == golden::stream_flags);
    const std::vector<std::string> sid{"sid-1"};
    cr_expect(
        stream_data({.type = Type::broadcast, .rooms = sid, .event = "\"q\"", .arguments = "1", .packet_id = 7}) ==
        golden::stream_with_id);
    const std::vector<std::string> one{"\x01\x02"};
    cr_expect(stream_data({.type = Type::broadcast,
                           .rooms = room1,
                           .event = "\"bin\"",
                           .arguments = R"({"_placeholder":true,"num":0})",
                           .attachments = one}) == golden::stream_binary);
    const std::vector<std::string> two{std::string(1, '\0'), std::string(300, '\5')};
    const std::vector<std::string> x{"x"};
    cr_expect(stream_data({.type = Type::broadcast,
                           .except = x,
                           .event = "\"bin\"",
                           .arguments = R"({"a":{"_placeholder":true,"num":0},"n":[1.5,-1,70000,-40000,1099511627776,)"
                                        R"(-1099511627776]},{"_placeholder":true,"num":1})",
                           .attachments = two}) == golden::stream_two_binary);
    const std::vector<std::string> ab{"a", "b"};
    const std::vector<std::string> a{"a"};
    const std::vector<std::string> nobody{"nobody"};
    cr_expect(stream_data({.type = Type::sockets_join, .rooms = room1, .joined_rooms = ab}) == golden::stream_join);
    cr_expect(stream_data({.type = Type::sockets_leave, .except = room1, .joined_rooms = a}) == golden::stream_leave);
    cr_expect(stream_data({.type = Type::disconnect_sockets, .rooms = nobody, .close = true}) ==
              golden::stream_disconnect);
    cr_expect(stream_data({.type = Type::heartbeat}).empty());
}

Test(cluster_message, writes_payloads_byte_for_byte_as_node_does) {
    cr_expect(payload_of({.type = Type::fetch_sockets, .request_id = request_id}) == golden::payload_fetch);
    Outgoing ask{.type = Type::broadcast, .request_id = request_id, .event = "\"askall\"", .arguments = "1"};
    ask.flags.timeout_ms = 500;
    cr_expect(payload_of(ask) == golden::payload_ask);
    const std::vector<std::string> r{"r"};
    const std::vector<std::string> bytes{"\x01\x02\x03"};
    ask.rooms = r;
    ask.flags.expect_single_response = true;
    ask.arguments = R"({"_placeholder":true,"num":0})";
    ask.attachments = bytes;
    cr_expect(payload_of(ask) == golden::payload_ask_binary);
    cr_expect(payload_of({.type = Type::server_side_emit, .event = "\"ev\"", .arguments = R"(1,{"a":"b"})"}) ==
              golden::payload_emit);
    cr_expect(
        payload_of({.type = Type::server_side_emit, .request_id = request_id, .event = "\"ev\"", .arguments = "1"}) ==
        golden::payload_emit_ack);
    const std::vector<std::string> answer{"\x07\x08"};
    cr_expect(payload_of({.type = Type::server_side_emit_response,
                          .request_id = request_id,
                          .attachments = answer,
                          .value = R"({"from":"node","bytes":{"_placeholder":true,"num":0}})"}) ==
              golden::payload_emit_answer);
    cr_expect(payload_of({.type = Type::broadcast_client_count, .request_id = request_id}) == golden::payload_count);
    cr_expect(payload_of({.type = Type::broadcast_ack, .request_id = request_id, .value = R"({"from":"c2"})"}) ==
              golden::payload_ack);
    cr_expect(payload_of({.type = Type::broadcast_ack, .request_id = request_id}) == golden::payload_ack_nothing);
    cr_expect(payload_of({.type = Type::fetch_sockets_response, .request_id = request_id}) ==
              golden::payload_no_sockets);
}

Test(cluster_message, describes_a_socket_byte_for_byte_as_node_does) {
    const std::vector<std::pair<std::string_view, std::string_view>> headers{{"host", "localhost"},
                                                                             {"user-agent", "n"}};
    const std::vector<std::pair<std::string_view, std::string_view>> query{{"EIO", "4"}, {"transport", "websocket"}};
    const std::vector<std::string> rooms{"sid-1", "room1"};
    RemoteSocket socket{.id = "sid-1",
                        .headers = headers,
                        .address = "127.0.0.1",
                        .secure = true,
                        .issued_ms = 1795419353120,
                        .url = "/socket.io/?EIO=4",
                        .query = query,
                        .auth = R"({"token":"x"})",
                        .rooms = rooms,
                        .data = "{\"name\":\"\u00e9\",\"n\":1.5}"};
    std::string array = "[";
    append_remote_socket(array, socket);
    const std::string sockets = array + ']';
    cr_expect(payload_of({.type = Type::fetch_sockets_response, .request_id = request_id, .sockets = sockets}) ==
              golden::payload_sockets);
    append_remote_socket(array, socket);
    array += ']';
    cr_expect(json::is_valid(array));
    Decoder decoder;
    const auto back = decoder.payload(golden::payload_sockets);
    cr_assert(back.has_value());
    cr_expect((*back)->sockets == sockets);
}

// ---- What gateways ask each other
// ------------------------------------------------------------------------------------

Test(cluster_message, gateways_ask_each_other_for_counts) {
    const std::vector<Question> questions{{{"a", "b"}, {"c"}}, {{}, {}}};
    const std::string from = std::string{uid} + " / ";
    const std::string asked = " asked=" + std::string{request_id};
    cr_expect(payload(payload_of({.type = Type::count_sockets, .request_id = request_id, .questions = questions})) ==
              from + "count_sockets" + asked + " ?+a+b-c ?");
    const std::vector<std::uint64_t> counts{2500, 0};
    cr_expect(
        payload(payload_of(
            {.type = Type::count_sockets_response, .request_id = request_id, .counts = counts, .is_open = true})) ==
        from + "count_sockets_response" + asked + " #2500 #0 open");
    cr_expect(payload(payload_of({.type = Type::fetch_sockets, .request_id = "r/0", .gateways_count = true})) ==
              from + "fetch_sockets asked=r/0 gateways count");
}

Test(cluster_message, refuses_counts_that_are_none) {
    const auto of = [](std::string_view type, std::string_view data) {
        return payload(R"({"type":)" + std::string{type} + R"(,"uid":"u","nsp":"/","data":)" + std::string{data} + '}');
    };
    cr_expect(of("64", R"({"requestId":"r","questions":[{"rooms":["a"]}]})") == "u / count_sockets asked=r ?+a");
    for (const std::string_view data :
         {R"({"questions":[{}]})", R"({"requestId":"r"})", R"({"requestId":"r","questions":[]})",
          R"({"requestId":"r","questions":[1]})", R"({"requestId":"r","questions":{}})",
          R"({"requestId":"r","questions":[{"rooms":7}]})", R"({"requestId":"r","questions":null})"}) {
        cr_expect(of("64", data) == "malformed", "%s", std::string{data}.c_str());
    }
    for (const std::string_view data : {R"({"counts":[1]})", R"({"requestId":"r"})", R"({"requestId":"r","counts":[]})",
                                        R"({"requestId":"r","counts":[-1]})", R"({"requestId":"r","counts":[0.5]})",
                                        R"({"requestId":"r","counts":["1"]})", R"({"requestId":"r","counts":7})"}) {
        cr_expect(of("65", data) == "malformed", "%s", std::string{data}.c_str());
    }
    const auto many = [](std::string_view one, std::size_t count) {
        std::string list{one};
        for (std::size_t i = 1; i < count; ++i) list.append(",").append(one);
        return list;
    };
    for (const std::size_t extra : {0, 1}) {
        const std::size_t count = Decoder::max_questions + extra;
        cr_expect((of("64", R"({"requestId":"r","questions":[)" + many("{}", count) + "]}") == "malformed") ==
                  (extra == 1));
        cr_expect((of("65", R"({"requestId":"r","counts":[)" + many("1", count) + "]}") == "malformed") ==
                  (extra == 1));
    }
    cr_expect(of("63", "{}") == "malformed" && of("66", "{}") == "malformed", "types beside ours");
}

Test(cluster_message, an_answer_made_socket_by_socket_is_the_answer_made_at_once) {
    const std::vector<std::string> rooms{"sid-1", "room1"};
    const RemoteSocket socket{.id = "sid-1", .address = "127.0.0.1", .url = "/", .rooms = rooms, .data = "{\"n\":1.5}"};
    for (const std::size_t count : {0, 1, 3, 20}) {
        std::string array = "[";
        std::string packed_sockets;
        for (std::size_t i = 0; i < count; ++i) {
            append_remote_socket(array, socket);
            std::string one = "[";
            append_remote_socket(one, socket);
            msgpack::append_json(packed_sockets, std::string_view(one).substr(1));
        }
        array += ']';
        std::string bytes;
        append_sockets_payload(bytes, uid, "/", request_id, count, packed_sockets);
        cr_expect(bytes ==
                  payload_of({.type = Type::fetch_sockets_response, .request_id = request_id, .sockets = array}));
    }
}

// ---- The classic dialect --------------------------------------------------------------------------------------------

Test(cluster_message, reads_broadcasts_of_the_classic_emitter) {
    cr_expect(classic(golden::classic_all) == "emitter / broadcast \"hello\"(1,\"\u00e9\")");
    cr_expect(classic(golden::classic_room) == R"(emitter /chat broadcast rooms=room1 except=x volatile "hello"())");
    cr_expect(
        classic(golden::classic_binary) ==
        R"(emitter / broadcast rooms=a,b "bin"({"_placeholder":true,"num":0},{"d":"2026-11-23T07:35:53.120Z"}) <2>)");
    cr_expect(classic(packed(R"(["u",{"type":5,"data":["a"]},{}])")) == R"(u / broadcast "a"())");
}

Test(cluster_message, refuses_classic_broadcasts_that_are_none) {
    for (const std::string_view json :
         {"[]", R"(["u",{"type":2,"data":["a"]}])", R"(["u",{"type":2,"data":["a"]},{},1])",
          R"([1,{"type":2,"data":["a"]},{}])", R"(["u",{"type":2,"data":[]},{}])",
          R"(["u",{"type":2,"data":["connect"]},{}])", R"(["u",{"type":4,"data":["a"]},{}])",
          R"(["u",{"type":2,"data":["a"]},null])", R"(["u",{"type":2,"data":["a"],"nsp":1},{}])", R"({"type":3})"}) {
        cr_expect(classic(packed(json)) == "malformed", "%s", std::string{json}.c_str());
    }
    cr_expect(classic("") == "malformed");
    cr_expect(classic(golden::payload_fetch) == "malformed", "a map is the streams adapter's");
    cr_expect(classic(golden::classic_all.substr(0, golden::classic_all.size() - 1)) == "malformed");
}

Test(cluster_message, reads_requests_of_the_classic_emitter) {
    cr_expect(request(golden::classic_join) == "2  / sockets_join rooms=a of=x,y");
    cr_expect(request(golden::classic_leave) == "3  / sockets_leave of=x");
    cr_expect(request(golden::classic_disconnect) == "4  / disconnect_sockets except=a close");
    cr_expect(request(golden::classic_server_side) == R"(6 emitter / server_side_emit "ev"(1,"x"))");
}

Test(cluster_message, reads_requests_of_the_classic_adapter) {
    cr_expect(request(R"({"uid":"u","requestId":"r","type":0,"rooms":["a"]})") ==
              "0 u / fetch_sockets asked=r rooms=a");
    cr_expect(request(R"({"uid":"u","requestId":"r","type":1})") == "1 u / fetch_sockets asked=r");
    cr_expect(request(R"({"requestId":"r","type":2,"sid":"s","room":"x"})") == "2  / sockets_join asked=r of=x sid=s");
    cr_expect(request(R"({"requestId":"r","type":4,"sid":"s"})") == "4  / disconnect_sockets asked=r sid=s");
    cr_expect(request(R"({"uid":"u","requestId":"r","type":5,"opts":{"rooms":["a"],"except":[]}})") ==
              "5 u / fetch_sockets asked=r rooms=a");
    cr_expect(
        request(packed(
            R"({"uid":"u","requestId":"r","type":7,"packet":{"type":2,"data":["a",{"_placeholder":true,"num":0}],"nsp":"/n"},"opts":{"rooms":[],"except":[],"flags":{"timeout":9}}})",
            {"z"})) == R"(7 u /n broadcast asked=r timeout=9 "a"({"_placeholder":true,"num":0}) <1>)");
}

Test(cluster_message, refuses_classic_requests_that_are_none) {
    for (const std::string_view json :
         {"{}", R"({"type":8})", R"({"type":-1})", R"({"type":2,"rooms":["a"]})", R"({"type":2,"opts":{}})",
          R"({"type":2,"sid":"s"})", R"({"type":4,"close":true})", R"({"type":5,"opts":{}})", R"({"type":6})",
          R"({"type":6,"data":[]})", R"({"type":6,"data":{}})", R"({"type":7,"requestId":"r","opts":{}})",
          R"({"type":1})", R"({"type":1,"requestId":1})", "[1]"}) {
        cr_expect(request(json) == "malformed", "%s", std::string{json}.c_str());
        cr_expect(request(packed(json)) == "malformed", "%s", std::string{json}.c_str());
    }
    cr_expect(request("") == "malformed");
    cr_expect(request(R"({"type":1,"requestId":"r"} x)") == "malformed");
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

Test(cluster_message, a_list_reuses_its_memory) {
    StringList list;
    list.add() = "a name too long for the small buffer of a string";
    const char* const before = list[0].data();
    list.clear();
    cr_expect(list.empty());
    list.add().assign("another name, about as long as the first");
    cr_expect(list[0].data() == before);
    for (int i = 0; i < 1000; ++i) list.add().assign("x");
    cr_expect(list.size() == 1001 && list.copy().size() == 1001);
    list.clear();
    cr_expect(list.begin() == list.end());
}
