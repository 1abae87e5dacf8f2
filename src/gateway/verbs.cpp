#include "gateway/verbs.h"

#include "base/bytes.h"
#include "base/json.h"
#include "wire/admin.h"

namespace sio::gateway {

namespace {

// By id: what happens to one may end others of the list.
template <typename Act>
std::size_t each_here(Hub& hub, Namespace& nsp, const Selection& selection, Act&& act) {
    std::vector<Id> ids;
    for (const Socket* socket : hub.select(nsp, selection)) ids.push_back(socket->id);
    for (const Id& sid : ids) {
        if (Socket* socket = hub.find_socket(nsp, sid)) act(*socket);
    }
    return ids.size();
}

}  // namespace

Result<HandAnswer> parse_arguments(std::string_view request) {
    HandAnswer out;
    const auto args = json::member(request, "args");
    if (args && json::kind_of(*args) != json::Kind::array) return fail(Errc::malformed, "args must be an array");
    const std::string_view array = args.value_or("[]");
    if (const auto list = json::member(request, "attachments")) {
        std::vector<std::string> given;
        for (json::Walker w(*list); w.next();) {
            auto bytes = json::kind_of(w.value()) == json::Kind::string
                             ? base::decode_base64(json::decode_string(w.value()))
                             : std::nullopt;
            if (!bytes) return fail(Errc::malformed, "attachments must be texts in base64");
            given.push_back(std::move(*bytes));
        }
        // The decoder of client packets makes placeholders canonical; it is used for these too.
        if (!given.empty()) {
            if (given.size() > proto::max_attachments) return fail(Errc::too_large, "more than 10 attachments");
            proto::SioDecoder decoder(wire::admin_max_line);
            auto packet = decoder.text("6" + std::to_string(given.size()) + "-0" + std::string(array));
            for (const std::string& bytes : given) {
                if (packet) packet = decoder.binary(bytes);
            }
            if (!packet || !*packet) return fail(Errc::malformed, "args do not fit the attachments");
            out.arguments = proto::ack_arguments((*packet)->json);
            if ((*packet)->attachments != nullptr) out.attachments = *(*packet)->attachments;
            return out;
        }
    }
    out.arguments = proto::ack_arguments(array);
    return out;
}

std::size_t join_here(Hub& hub, Namespace& nsp, const Selection& selection, std::span<const std::string> rooms) {
    return each_here(hub, nsp, selection, [&](Socket& socket) {
        for (const std::string& room : rooms) hub.join(socket, room);
    });
}

std::size_t leave_here(Hub& hub, Namespace& nsp, const Selection& selection, std::span<const std::string> rooms) {
    return each_here(hub, nsp, selection, [&](Socket& socket) {
        for (const std::string& room : rooms) hub.leave(socket, room);
    });
}

std::size_t disconnect_here(Hub& hub, Namespace& nsp, const Selection& selection, Disconnection how) {
    return each_here(hub, nsp, selection, [&](Socket& socket) {
        if (how == Disconnection::of_transport) {
            hub.drop_transport(socket);
        } else {
            hub.disconnect(socket, how == Disconnection::of_client);
        }
    });
}

}  // namespace sio::gateway
