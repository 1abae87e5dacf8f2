#include "proto/eio_packet.h"

#include <criterion/criterion.h>

#include <vector>

using namespace sio::proto;

Test(eio_packet, decodes_each_type_with_its_body) {
    for (char digit = '0'; digit <= '6'; ++digit) {
        const std::string frame = std::string(1, digit) + "body";
        const auto packet = decode_eio(frame);
        cr_assert(packet.has_value());
        cr_expect(packet->type == static_cast<EioType>(digit));
        cr_expect(packet->body == "body");
        cr_expect(!packet->base64);
    }
}

Test(eio_packet, a_body_may_be_empty) {
    const auto packet = decode_eio("2");
    cr_assert(packet.has_value());
    cr_expect(packet->type == EioType::ping);
    cr_expect(packet->body.empty());
}

Test(eio_packet, b_means_a_binary_message_in_base64) {
    const auto packet = decode_eio("bAQIDBA==");
    cr_assert(packet.has_value());
    cr_expect(packet->type == EioType::message);
    cr_expect(packet->base64);
    cr_expect(packet->body == "AQIDBA==");
}

Test(eio_packet, refuses_the_empty_frame_and_unknown_types) {
    for (const std::string_view frame : {"", "7", "9x", "B", "a", " 4", "-1", "\xC3\xA9"}) {
        cr_expect(!decode_eio(frame), "'%s'", frame.data());
    }
}

Test(eio_packet, a_payload_is_cut_at_its_separators) {
    const auto cut = [](std::string_view body) {
        std::vector<std::string> frames;
        EioPayload payload{body};
        while (const auto frame = payload.next()) frames.emplace_back(*frame);
        cr_expect(!payload.next());
        return frames;
    };
    using Frames = std::vector<std::string>;
    cr_expect((cut("4hello\x1e"
                   "bAQIDBA==") == Frames{"4hello", "bAQIDBA=="}));
    cr_expect((cut("4one") == Frames{"4one"}));
    cr_expect((cut("") == Frames{""}), "an empty body is one empty packet");
    cr_expect((cut("4a\x1e") == Frames{"4a", ""}));
    cr_expect((cut("\x1e\x1e") == Frames{"", "", ""}));
}

Test(eio_packet, the_open_packet_has_the_keys_clients_know_in_their_order) {
    std::string out;
    append_open_packet(out, {"s26smK7PtvQzDfQjAAAA", true, 25000, 20000, 1000000});
    cr_expect(out ==
              "0{\"sid\":\"s26smK7PtvQzDfQjAAAA\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
              "\"pingTimeout\":20000,\"maxPayload\":1000000}");
    out.clear();
    append_open_packet(out, {"x", false, 300, 200, 1});
    cr_expect(out == "0{\"sid\":\"x\",\"upgrades\":[],\"pingInterval\":300,\"pingTimeout\":200,\"maxPayload\":1}");
}
