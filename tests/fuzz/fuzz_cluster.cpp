// Whatever comes through Redis: what is taken may be sent to clients, and is read the same once written again.
//
// The first byte of the input chooses: `e` and the number of a type for a stream entry, `p` for a payload, `b` and `r`
// for the classic broadcasts and requests, `s` for a session.
#include <array>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"
#include "cluster/message.h"
#include "cluster/session.h"
#include "proto/sio_packet.h"

namespace {

using namespace sio;
using namespace sio::cluster;

struct Kept {
    std::string text;  // every field but the attachments
    std::vector<std::string> attachments;
    bool operator==(const Kept&) const = default;
};

Kept keep(const Message& message) {
    Kept out;
    const auto add = [&](std::string_view text) { out.text.append(text).push_back('\n'); };
    add(std::to_string(static_cast<int>(message.type)));
    add(message.request_id);
    for (const std::string& room : message.rooms) add("r" + room);
    for (const std::string& room : message.except) add("x" + room);
    for (const std::string& room : message.joined_rooms) add("j" + room);
    const Flags& flags = message.flags;
    add(std::string{flags.is_volatile ? "v" : ""} + (flags.compress ? (*flags.compress ? "c" : "n") : "") +
        (flags.expect_single_response ? "s" : "") + (flags.timeout_ms ? std::to_string(*flags.timeout_ms) : ""));
    add(message.event);
    add(message.arguments);
    add(message.packet_has_id ? "id" : "");
    add(message.close ? "close" : "");
    add(std::to_string(message.client_count));
    add(message.value);
    add(message.sockets);
    add(message.gateways_count ? "gateways count" : "");
    add(message.is_open ? "open" : "");
    for (const Question& question : message.questions) {
        add("?");
        for (const std::string& room : question.rooms) add("r" + room);
        for (const std::string& room : question.except) add("x" + room);
    }
    for (const std::uint64_t count : message.counts) add(std::to_string(count));
    out.attachments = message.attachments;
    return out;
}

/// What the type of a message makes a writer write.
Outgoing outgoing(const Message& message) {
    Outgoing out;
    out.type = message.type;
    out.request_id = message.request_id;
    out.rooms = message.rooms;
    out.except = message.except;
    out.flags = message.flags;
    out.event = message.event;
    out.arguments = message.arguments;
    out.attachments = message.attachments;
    if (message.packet_has_id) out.packet_id = 1;
    out.joined_rooms = message.joined_rooms;
    out.close = message.close;
    out.client_count = message.client_count;
    if (!message.value.empty()) out.value = message.value;
    if (!message.sockets.empty()) out.sockets = message.sockets;
    out.gateways_count = message.gateways_count;
    out.questions = message.questions;
    out.counts = message.counts;
    out.is_open = message.is_open;
    return out;
}

void check_text(std::string_view json, const Message& message) {
    FUZZ_CHECK(json::is_valid(json) && base::is_utf8(json));
    if (message.attachments.empty()) return;
    const auto found = proto::find_placeholders(json, message.attachments.size());
    FUZZ_CHECK(found && found->size() == message.attachments.size());
    for (std::size_t i = 0; i < found->size(); ++i) FUZZ_CHECK((*found)[i].num == i);
}

void check(const Message& message) {
    for (const StringList* list : {&message.rooms, &message.except, &message.joined_rooms}) {
        for (const std::string& item : *list) FUZZ_CHECK(base::is_utf8(item));
    }
    FUZZ_CHECK(base::is_utf8(message.uid) && base::is_utf8(message.nsp) && base::is_utf8(message.request_id));
    FUZZ_CHECK(!message.nsp.empty());
    if (message.type == Type::broadcast || message.type == Type::server_side_emit) {
        FUZZ_CHECK(!message.event.empty());
        const json::Kind kind = json::kind_of(message.event);
        FUZZ_CHECK(kind == json::Kind::string || kind == json::Kind::number);
        if (message.type == Type::broadcast && kind == json::Kind::string) {
            FUZZ_CHECK(!proto::is_reserved_event(json::decode_string(message.event)));
        }
        std::string array = "[" + std::string{message.event};
        if (!message.arguments.empty()) array.append(",").append(message.arguments);
        array.push_back(']');
        FUZZ_CHECK(json::element(array, 0) == message.event);
        check_text(array, message);
    }
    if (is_response(message.type)) FUZZ_CHECK(message.has_request_id);
    FUZZ_CHECK(message.questions.empty() == (message.type != Type::count_sockets));
    FUZZ_CHECK(message.counts.empty() == (message.type != Type::count_sockets_response));
    FUZZ_CHECK(message.questions.size() <= Decoder::max_questions && message.counts.size() <= Decoder::max_questions);
    if (!message.value.empty() && message.event.empty()) check_text(message.value, message);
    if (message.type == Type::fetch_sockets_response) check_text(message.sockets, message);
}

/// Written and read twice, by the same way: the second reading gives what the first gave.
void again(const Message& message, bool as_entry) {
    if (message.has_request_id && message.request_id.empty()) return;             // a writer takes it for none
    if (json::kind_of(message.event) == json::Kind::number && !as_entry) return;  // 1e999 is none in MessagePack
    Decoder decoder;
    Kept first;
    const Message* source = &message;
    std::array<std::string, 2> written;  // what is read points into it
    for (std::size_t round = 0; round < written.size(); ++round) {
        std::string& bytes = written[round];
        Result<const Message*> read = fail(Errc::malformed, "");
        if (as_entry) {
            append_stream_data(bytes, outgoing(*source));
            read = decoder.stream_entry("u", "/", std::to_string(static_cast<int>(source->type)), bytes);
        } else {
            append_payload(bytes, "u", "/", outgoing(*source));
            read = decoder.payload(bytes);
        }
        FUZZ_CHECK(read.has_value());
        check(**read);
        if (round == 1) FUZZ_CHECK(keep(**read) == first);
        first = keep(**read);
        source = *read;
    }
}

void session(std::string_view text) {
    const auto first = decode_session(text);
    if (!first) return;
    FUZZ_CHECK(json::is_valid(first->data) && !first->sid.empty() && !first->pid.empty());
    std::string bytes;
    append_session(bytes, *first);
    const auto second = decode_session(bytes);
    FUZZ_CHECK(second.has_value());
    FUZZ_CHECK(second->sid == first->sid && second->pid == first->pid && second->rooms == first->rooms);
    FUZZ_CHECK(second->user == first->user && second->since == first->since && second->node == first->node);
    FUZZ_CHECK(second->data_attachments == first->data_attachments);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2 || size > 8192) return 0;
    const std::string_view input = fuzz::as_text(data, size);
    const std::string_view rest = input.substr(1);
    static Decoder decoder;  // kept, so that what is left of one message can spoil the next
    Result<const Message*> read = fail(Errc::malformed, "");
    switch (input.front()) {
        case 'e': {
            const int type = static_cast<unsigned char>(rest.front()) % 16;
            read = decoder.stream_entry("710f65ae4c7f8b9e", "/", std::to_string(type), rest.substr(1));
            break;
        }
        case 'p': read = decoder.payload(rest); break;
        case 'b': read = decoder.classic_broadcast(rest); break;
        case 'r': {
            const auto request = decoder.classic_request(rest);
            if (request) {
                FUZZ_CHECK((*request)->message != nullptr && base::is_utf8((*request)->sid));
                check(*(*request)->message);
            }
            return 0;
        }
        case 's': session(rest); return 0;
        default: return 0;
    }
    if (!read) {
        FUZZ_CHECK(read.error().code == Errc::malformed && read.error().what.starts_with("cannot read message: "));
        return 0;
    }
    check(**read);
    again(**read, true);
    again(**read, false);
    return 0;
}
