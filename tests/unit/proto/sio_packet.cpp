#include "proto/sio_packet.h"

#include <criterion/criterion.h>

#include <string>
#include <vector>

using namespace sio;
using namespace sio::proto;

namespace {

/// A packet as one line: what the decoder read, spelt by the encoder, and its attachments.
std::string show(const SioPacket& packet) {
    std::string out;
    const std::size_t count = packet.attachments == nullptr ? 0 : packet.attachments->size();
    append_sio_header(out, packet.type, count, packet.nsp, packet.id);
    out += packet.json;
    if (packet.attachments != nullptr) {
        for (const std::string& attachment : *packet.attachments) out += " <" + attachment + '>';
    }
    return out;
}

/// What comes of one text message alone.
std::string text(std::string_view message, std::size_t max_bytes = 1000) {
    SioDecoder decoder{max_bytes};
    const auto result = decoder.text(message);
    if (!result) return std::string(to_string(result.error().code));
    return result->has_value() ? show(**result) : "waiting";
}

/// What comes of a text message and its attachments; the last result.
std::string binary(std::string_view message, const std::vector<std::string>& attachments,
                   std::size_t max_bytes = 1000) {
    SioDecoder decoder{max_bytes};
    auto result = decoder.text(message);
    for (const std::string& attachment : attachments) {
        if (!result) break;
        cr_expect(!result->has_value(), "complete too early");
        result = decoder.binary(attachment);
    }
    if (!result) return std::string(to_string(result.error().code));
    return result->has_value() ? show(**result) : "waiting";
}

}  // namespace

Test(sio_packet, reads_packets_as_clients_write_them) {
    for (const std::string_view message : {"0",
                                           "0{}",
                                           "0{\"token\":\"123\"}",
                                           "0/custom,",
                                           "0/custom,{\"a\":1}",
                                           "1",
                                           "1/custom,",
                                           "2[\"a\"]",
                                           "2[\"message\",1,\"2\",{\"3\":[true]}]",
                                           "2/custom,[\"a\",null]",
                                           "212[\"a\"]",
                                           "2/custom,0[\"a\"]",
                                           "3456[]",
                                           "3/custom,1[\"a\",{}]",
                                           "3[]",
                                           "4{\"message\":\"no\"}",
                                           "4\"no\"",
                                           "2[1,2]",
                                           "2[0]",
                                           "2/custom?token=abc,[\"a\"]",
                                           "2[\"\"]",
                                           "2/a/b-c_d\u00e9,[\"x\"]"}) {
        cr_expect(text(message) == message, "'%s' gives '%s'", message.data(), text(message).c_str());
    }
}

Test(sio_packet, reads_spellings_that_others_do_not_write) {
    cr_expect(text("0/custom") == "0/custom,");
    cr_expect(text("0/,{\"a\":1}") == "0{\"a\":1}");
    cr_expect(text("1/,") == "1");
    cr_expect(text("2/,[\"a\"]") == "2[\"a\"]");
    cr_expect(text("2007[\"a\"]") == "27[\"a\"]");
    cr_expect(text("2 [ \"a\" , 1 ] ") == "2[ \"a\" , 1 ]");
    cr_expect(text("0{ }") == "0{ }");
}

Test(sio_packet, a_missing_payload_is_tolerated_as_node_does) {
    cr_expect(text("2") == "2");
    cr_expect(text("312") == "312");
    cr_expect(text("3") == "3");
    cr_expect(text("4") == "4");
    cr_expect(text("2/custom,") == "2/custom,");
    cr_expect(text("2/custom") == "2/custom,");
    cr_expect(binary("51-", {"x"}) == "2");
}

Test(sio_packet, views_point_into_the_message) {
    const std::string message = "2/custom,7[\"a\",1]";
    SioDecoder decoder{100};
    const auto result = decoder.text(message);
    cr_assert(result && result->has_value());
    const SioPacket& packet = **result;
    cr_expect(packet.type == SioType::event && packet.is_event() && !packet.is_ack());
    cr_expect(packet.nsp.data() == message.data() + 1 && packet.nsp == "/custom");
    cr_expect(packet.id == 7U);
    cr_expect(packet.json.data() == message.data() + 10 && packet.json == "[\"a\",1]");
    cr_expect(packet.attachments == nullptr);
    cr_expect(decoder.bytes_held() == 0);
}

Test(sio_packet, refuses_unknown_types_and_the_empty_message) {
    for (const std::string_view message : {"", "7", "9[\"a\"]", "a", "-1", " 2[\"a\"]", "\"2\"", "/"}) {
        cr_expect(text(message) == "malformed", "'%s'", message.data());
    }
}

Test(sio_packet, refuses_payloads_of_the_wrong_kind) {
    for (const std::string_view message : {"0[]",
                                           "0\"a\"",
                                           "0null",
                                           "0true",
                                           "1{}",
                                           "1[]",
                                           "1null",
                                           "2{}",
                                           "2\"a\"",
                                           "2null",
                                           "2[]",
                                           "2[null]",
                                           "2[true]",
                                           "2[{}]",
                                           "2[[\"a\"]]",
                                           "3{}",
                                           "3\"a\"",
                                           "3null",
                                           "4[]",
                                           "4null",
                                           "4true",
                                           "2[\"a\"",
                                           "2[\"a\"]x",
                                           "2[\"a\",]",
                                           "2-1[\"a\"]",
                                           "0{",
                                           "2/custom[\"a\",1]",
                                           "0/custom,x",
                                           "2   ",
                                           "21.5[\"a\"]",
                                           "2[\"a\"][\"b\"]"}) {
        cr_expect(text(message) == "malformed", "'%s' gives '%s'", message.data(), text(message).c_str());
    }
}

Test(sio_packet, refuses_reserved_event_names_however_they_are_spelt) {
    for (const std::string_view name :
         {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}) {
        cr_expect(is_reserved_event(name));
        cr_expect(text("2[\"" + std::string(name) + "\"]") == "malformed", "'%s'", name.data());
    }
    cr_expect(text("2[\"\\u0063onnect\",1]") == "malformed");
    cr_expect(text("2[ \"connect\" ]") == "malformed");
    cr_expect(text("2[\"connected\"]") == "2[\"connected\"]");
    cr_expect(text("2[\"Connect\"]") == "2[\"Connect\"]");
    cr_expect(text("2[\"error\"]") == "2[\"error\"]");
    cr_expect(text("3[\"connect\"]") == "3[\"connect\"]", "an ack has no name");
    cr_expect(!is_reserved_event("") && !is_reserved_event("message"));
}

Test(sio_packet, acknowledgement_ids_have_at_most_nineteen_digits) {
    cr_expect(text("29999999999999999999[\"a\"]") == "29999999999999999999[\"a\"]");
    cr_expect(text("210000000000000000000[\"a\"]") == "malformed");
    cr_expect(text("200000000000000000001[\"a\"]") == "malformed");
}

Test(sio_packet, refuses_illegal_attachment_counts) {
    for (const std::string_view message :
         {"5[\"a\"]", "5-[\"a\"]", "50-[\"a\"]", "511-[\"a\"]", "51[\"a\"]", "51", "5", "5 1-[\"a\"]", "5+1-[\"a\"]",
          "51.0-[\"a\"]", "5x-[\"a\"]", "5-1-[\"a\"]", "599999999999999999999-[\"a\"]", "6[\"a\"]", "60-[]",
          "5/custom,1-[\"a\"]"}) {
        cr_expect(text(message) == "malformed", "'%s' gives '%s'", message.data(), text(message).c_str());
    }
    cr_expect(text("51-[\"a\"]") == "waiting");
    cr_expect(text("510-[\"a\"]") == "waiting");
    cr_expect(text("501-[\"a\"]") == "waiting");
}

Test(sio_packet, binary_packets_are_complete_with_their_last_attachment) {
    cr_expect(binary(R"(52-/custom,["bin",{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1}}])",
                     {"one", "two"}) ==
              R"(52-/custom,["bin",{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1}}] <one> <two>)");
    cr_expect(binary(R"(61-456[{"_placeholder":true,"num":0}])", {std::string("\0\xFF", 2)}) ==
              std::string(R"(61-456[{"_placeholder":true,"num":0}] <)") + std::string("\0\xFF", 2) + '>');
    cr_expect(binary(R"(52-["bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}])", {"one"}) ==
              "waiting");
    cr_expect(
        binary(R"(51-["bin",{"_placeholder":true,"num":0}])", {""}) == R"(51-["bin",{"_placeholder":true,"num":0}] <>)",
        "an attachment may be empty");
}

Test(sio_packet, placeholders_become_canonical) {
    cr_expect(
        binary(R"(52-["bin", { "num" : 1, "_placeholder" : true , "x":[1]},[{"_placeholder":true,"num":0.0e1}] ])",
               {"one", "two"}) ==
        R"(52-["bin", {"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}] ] <two> <one>)");
    cr_expect(binary(R"(51-["bin",{"_placehold\u0065r":true,"\u006eum":0}])", {"one"}) ==
              R"(51-["bin",{"_placeholder":true,"num":0}] <one>)");
}

Test(sio_packet, unreferenced_attachments_are_dropped_and_doubled_ones_repeated) {
    cr_expect(binary(R"(53-["bin",{"_placeholder":true,"num":2}])", {"one", "two", "three"}) ==
              R"(51-["bin",{"_placeholder":true,"num":0}] <three>)");
    cr_expect(
        binary(
            R"(52-["bin",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}])",
            {"one", "two"}) ==
        R"(53-["bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}] <two> <one> <two>)");
    cr_expect(binary(R"(52-["bin",1])", {"one", "two"}) == R"(2["bin",1])", "nothing binary is left of it");
    cr_expect(binary(R"(61-7[1])", {"one"}) == "37[1]");
}

Test(sio_packet, a_repeated_attachment_may_not_multiply_past_the_limits) {
    std::string message = R"(51-["bin")";
    for (int i = 0; i < 10; ++i) message += R"(,{"_placeholder":true,"num":0})";
    cr_expect(binary(message + "]", {"x"}).substr(0, 3) == "510");
    cr_expect(binary(message + R"(,{"_placeholder":true,"num":0}])", {"x"}) == "malformed");
    cr_expect(binary(message + "]", {std::string(300, 'x')}) == "too_large");
}

Test(sio_packet, refuses_placeholders_that_name_no_attachment) {
    for (const std::string_view num :
         {"1", "-1", "0.5", "\"0\"", "null", "[0]", "{}", "1e9", "99999999999999999999", "true"}) {
        const std::string message = R"(51-["bin",{"_placeholder":true,"num":)" + std::string(num) + "}]";
        cr_expect(binary(message, {"x"}) == "malformed", "num %s", num.data());
    }
    cr_expect(binary(R"(51-["bin",{"_placeholder":true}])", {"x"}) == "malformed");
    cr_expect(binary(R"(51-["bin",{"_placeholder":true,"num":0,"num":5}])", {"x"}) == "malformed");
}

Test(sio_packet, what_only_looks_like_a_placeholder_is_left_alone) {
    cr_expect(
        binary(
            R"(51-["bin",{"_placeholder":false,"num":9},{"_placeholder":"true"},"{\"_placeholder\":true}",{"num":7}])",
            {"x"}) ==
        R"(2["bin",{"_placeholder":false,"num":9},{"_placeholder":"true"},"{\"_placeholder\":true}",{"num":7}])");
    cr_expect(text(R"(2["a",{"_placeholder":true,"num":99}])") == R"(2["a",{"_placeholder":true,"num":99}])");
    cr_expect(binary(R"(51-["bin",{"_placeholder":true,"_placeholder":1}])", {"x"}) ==
                  R"(2["bin",{"_placeholder":true,"_placeholder":1}])",
              "the last member of a name counts");
    cr_expect(binary(R"(51-["bin",{"a":"_placeholder","b":true}])", {"x"}) ==
              R"(2["bin",{"a":"_placeholder","b":true}])");
}

Test(sio_packet, what_lies_inside_a_placeholder_goes_with_it) {
    cr_expect(binary(R"(51-["bin",{"_placeholder":true,"x":{"_placeholder":true,"num":99},"num":0}])", {"x"}) ==
              R"(51-["bin",{"_placeholder":true,"num":0}] <x>)");
}

Test(sio_packet, finds_placeholders_with_their_ranges) {
    const std::string_view json = R"([1,{"_placeholder":true,"num":1},{"a":{"num":0,"_placeholder":true}}])";
    const auto found = find_placeholders(json, 2);
    cr_assert(found && found->size() == 2);
    cr_expect(json.substr((*found)[0].begin, (*found)[0].end - (*found)[0].begin) ==
              R"({"_placeholder":true,"num":1})");
    cr_expect((*found)[0].num == 1);
    cr_expect(json.substr((*found)[1].begin, (*found)[1].end - (*found)[1].begin) ==
              R"({"num":0,"_placeholder":true})");
    cr_expect((*found)[1].num == 0);
    cr_expect(find_placeholders("[]", 0)->empty());
    cr_expect(find_placeholders("{\"_placeholder\":true,\"num\":0}", 1)->size() == 1);
}

Test(sio_packet, text_while_attachments_are_missing_is_an_error) {
    SioDecoder decoder{1000};
    cr_expect(decoder.text(R"(51-["bin",{"_placeholder":true,"num":0}])").has_value());
    cr_expect(decoder.is_waiting());
    const auto result = decoder.text("2[\"a\"]");
    cr_expect(!result && result.error().code == Errc::malformed);
}

Test(sio_packet, a_binary_nobody_announced_is_an_error) {
    SioDecoder decoder{1000};
    const auto result = decoder.binary("x");
    cr_expect(!result && result.error().code == Errc::malformed);
    SioDecoder after{1000};
    cr_expect(after.text(R"(51-["bin",{"_placeholder":true,"num":0}])").has_value());
    cr_expect(after.binary("x").has_value());
    cr_expect(!after.is_waiting());
    cr_expect(!after.binary("y").has_value());
}

Test(sio_packet, text_and_attachments_together_have_a_limit) {
    const std::string message = R"(52-["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}])";
    cr_expect(binary(message, {"1234", "5678"}, message.size() + 8).substr(0, 3) == "52-");
    cr_expect(binary(message, {"1234", "5678"}, message.size() + 7) == "too_large");
    cr_expect(text("2[\"a\"]", 6) == "2[\"a\"]");
    cr_expect(text("2[\"a\"]", 5) == "too_large");
    cr_expect(text(message, message.size() - 1) == "too_large");
}

Test(sio_packet, it_is_known_which_limit_a_packet_has_passed) {
    using Over = SioDecoder::Over;
    const auto excess = [](std::string_view message) {
        SioDecoder decoder{100, 5};
        cr_assert(!decoder.text(message).has_value());
        return decoder.excess();
    };
    cr_expect(excess("2[\"a\",[[[[[1]]]]]]").over == Over::depth && excess("2[\"a\",[[[[[1]]]]]]").most == 5);
    cr_expect(SioDecoder(100, 6).text("2[\"a\",[[[[[1]]]]]]").has_value());
    cr_expect(excess("511-[\"a\"]").over == Over::attachments && excess("511-[\"a\"]").most == max_attachments);
    const auto large = excess("2[\"" + std::string(120, 'x') + "\"]");
    cr_expect(large.over == Over::bytes && large.size == 125 && large.most == 100);
    cr_expect(excess("2[\"a\"").over == Over::nothing && excess("50-[\"a\"]").over == Over::nothing);
    SioDecoder decoder{60};
    cr_assert(decoder.text(R"(51-["b",{"_placeholder":true,"num":0}])").has_value());
    cr_expect(!decoder.binary(std::string(50, 'x')) && decoder.excess().size == 88 && decoder.excess().most == 60);
}

Test(sio_packet, memory_is_given_back_at_the_next_packet) {
    SioDecoder decoder{10000};
    cr_expect(decoder.bytes_held() == 0);
    (void)decoder.text(R"(51-["bin",{"_placeholder":true,"num":0}])");
    cr_expect(decoder.bytes_held() > 0);
    (void)decoder.binary(std::string(5000, 'x'));
    cr_expect(decoder.bytes_held() >= 5000 && !decoder.is_waiting());
    (void)decoder.text("2[\"a\"]");
    cr_expect(decoder.bytes_held() == 0);
}

Test(sio_packet, writes_headers_with_only_what_is_needed) {
    const auto header = [](SioType type, std::size_t attachments, std::string_view nsp,
                           std::optional<std::uint64_t> id) {
        std::string out;
        append_sio_header(out, type, attachments, nsp, id);
        return out;
    };
    cr_expect(header(SioType::event, 0, "/", std::nullopt) == "2");
    cr_expect(header(SioType::connect, 0, "/custom", std::nullopt) == "0/custom,");
    cr_expect(header(SioType::ack, 0, "/", 0) == "30");
    cr_expect(header(SioType::binary_event, 2, "/custom", 12) == "52-/custom,12");
    cr_expect(header(SioType::ack, 0, "/", UINT64_MAX) == "318446744073709551615");
}

Test(sio_packet, cuts_event_names_and_arguments_as_bytes) {
    cr_expect(event_name_token(R"(["message",1])") == "\"message\"");
    cr_expect(event_name_token(R"([ "a\"]" , 1 ])") == R"("a\"]")");
    cr_expect(event_name_token("[12]") == "12");
    cr_expect(event_name_token("") == "");
    cr_expect(event_name_token("[]") == "");

    cr_expect(event_arguments(R"(["message",1,"2",{"3":[true]}])") == R"(1,"2",{"3":[true]})");
    cr_expect(event_arguments(R"([ "a" , 1 , 2 ])") == "1 , 2");
    cr_expect(event_arguments(R"(["a"])") == "");
    cr_expect(event_arguments(R"([ "a" ])") == "");
    cr_expect(event_arguments(R"(["],[",[]])") == "[]");
    cr_expect(event_arguments("") == "");

    cr_expect(ack_arguments(R"([1,"2"])") == R"(1,"2")");
    cr_expect(ack_arguments("[ ]") == "");
    cr_expect(ack_arguments("[]") == "");
    cr_expect(ack_arguments(" [ 1 ] ") == "1");
    cr_expect(ack_arguments("") == "");
}
