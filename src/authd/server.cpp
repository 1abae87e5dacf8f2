#include "authd/server.h"

#include <utility>

#include "wire/admin.h"

namespace sio::authd {

namespace {

daemon::LineServer::Options line_options() {
    daemon::LineServer::Options options;
    options.component = "authd";
    options.greeting.program = "sio-authd";
    options.greeting.version = SIO_VERSION;
    options.max_line = max_line;
    return options;
}

}  // namespace

Server::Server(net::Loop& loop, Host& host) : host_(host), lines_(loop, *this, line_options()) {}

void Server::on_gone(std::uint64_t client) {
    clients_.erase(client);
    host_.on_gone(client);
}

void Server::on_line(std::uint64_t number, std::string_view line) {
    ++requests_;
    const auto refused = [&](std::optional<std::uint64_t> id, std::string_view code, std::string_view message) {
        ++refused_;
        std::string out;
        wire::append_admin_error(out, id, code, message);
        lines_.send(number, out);
    };
    const auto request = wire::parse_admin_request(line);
    if (!request) {
        refused(wire::admin_line_id(line), wire::admin_error::malformed, request.error().what);
        return;
    }
    Client& client = clients_[number];
    if (client.open >= max_open) {
        refused(request->id, wire::admin_error::busy, "10,000 requests are open already");
        return;
    }
    auto command = parse_command(*request);
    if (!command) {
        const bool unknown = command.error().code == Errc::not_found;
        refused(request->id, unknown ? wire::admin_error::unknown_command : wire::admin_error::malformed,
                command.error().what);
        return;
    }
    ++client.open;
    if (const auto* const asked = std::get_if<Authenticate>(&*command);
        asked != nullptr && !asked->verify && !std::exchange(client.is_gateway, true)) {
        host_.on_gateway(number);
        if (!lines_.has(number)) return;
    }
    host_.on_request(number, request->id, std::move(*command));
}

void Server::answer(std::uint64_t client, std::uint64_t id, std::string_view members) {
    close(client);
    std::string out;
    wire::append_admin_ok(out, id, members);
    lines_.send(client, out);
}

void Server::refuse(std::uint64_t client, std::uint64_t id, std::string_view code, std::string_view message) {
    close(client);
    std::string out;
    wire::append_admin_error(out, id, code, message);
    lines_.send(client, out);
}

void Server::close(std::uint64_t client) {
    if (const auto found = clients_.find(client); found != clients_.end()) --found->second.open;
}

std::size_t Server::tell(std::string_view line) {
    // Writing may find that one does not read, and take it off the table.
    std::vector<std::uint64_t> gateways;
    for (const auto& [number, client] : clients_) {
        if (client.is_gateway) gateways.push_back(number);
    }
    for (const std::uint64_t number : gateways) tell(number, line);
    return gateways.size();
}

void Server::tell(std::uint64_t client, std::string_view line) { lines_.send(client, line); }

}  // namespace sio::authd
