// A Host that writes down what it is asked to do, one line each, and keeps what waits.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "routes/run.h"

namespace sio::routes {

class FakeHost final : public Host {
public:
    std::vector<std::string> lines;
    std::vector<std::unique_ptr<Run>> waiting;
    std::vector<std::string> in_rooms;
    std::map<std::string, std::string, std::less<>> queries;
    std::map<std::string, std::string, std::less<>> headers;
    std::optional<Grant> right;                     ///< what known() says
    std::string full_room;                          ///< joining it fails
    const char* last_args = nullptr;                ///< of the last ack
    const std::string* last_attachments = nullptr;  ///< of the last ack

    /// What happened since the last call, joined by " | ".
    std::string said() {
        std::string all;
        for (const std::string& line : lines) all += (all.empty() ? "" : " | ") + line;
        lines.clear();
        return all;
    }

    /// The Run that waits longest.
    std::unique_ptr<Run> take() {
        std::unique_ptr<Run> first = std::move(waiting.front());
        waiting.erase(waiting.begin());
        return first;
    }

    std::optional<std::string> query(std::string_view name) const override { return find(queries, name); }
    std::optional<std::string> header(std::string_view name) const override { return find(headers, name); }
    std::string rooms() const override { return list(in_rooms); }
    bool is_in(std::string_view room) const override { return std::ranges::find(in_rooms, room) != in_rooms.end(); }

    Result<void> join(std::string_view room, std::optional<std::string_view> room_token) override {
        if (room == full_room) return fail(Errc::unavailable, "cannot join: too many rooms");
        in_rooms.emplace_back(room);
        std::string line = "join " + std::string{room};
        if (room_token) line += " granted" + (room_token->empty() ? "" : " by " + std::string{*room_token});
        lines.push_back(line);
        return {};
    }
    void leave(std::string_view room) override { lines.push_back("leave " + std::string{room}); }
    void emit(const Message& message, const Target& target) override {
        constexpr std::string_view words[] = {"self", "others", "all", "rooms", "others_in"};
        std::string line = "emit " + shown(message) + " to " + std::string{words[static_cast<int>(target.audience)]};
        if (!target.rooms.empty()) line += " " + list(target.rooms);
        if (!target.except.empty()) line += " except " + list(target.except);
        if (target.is_volatile) line += " volatile";
        if (target.is_local) line += " local";
        lines.push_back(line);
    }
    void ack(std::string_view args, std::span<const std::string> attachments) override {
        last_args = args.data();
        last_attachments = attachments.data();
        lines.push_back("ack " + shown({{}, args, attachments}));
    }
    void ask(const Message& message, Milliseconds timeout, std::unique_ptr<Run> rest) override {
        lines.push_back("ask " + shown(message) + " for " + std::to_string(timeout.count()));
        waiting.push_back(std::move(rest));
    }
    void hand(std::string_view handler, const Message& message, Milliseconds timeout,
              std::unique_ptr<Run> rest) override {
        lines.push_back("hand " + std::string{handler} + " " + shown(message) + " for " +
                        std::to_string(timeout.count()));
        waiting.push_back(std::move(rest));
    }
    void publish(const Publication& publication, Milliseconds timeout, std::unique_ptr<Run> rest) override {
        std::string line = "publish " + std::string{publication.topic};
        if (publication.key) line += "@" + std::string{*publication.key};
        line += " " + shown({{}, publication.value, publication.attachments});
        lines.push_back(line + " for " + std::to_string(timeout.count()));
        waiting.push_back(std::move(rest));
    }
    std::optional<Grant> known(std::span<const std::string> rooms, std::string_view room_token) override {
        if (right) lines.push_back("know " + list(rooms) + by(room_token));
        return right;
    }
    void authorize(std::span<const std::string> rooms, std::string_view room_token,
                   std::unique_ptr<Run> rest) override {
        lines.push_back("authorize " + list(rooms) + by(room_token));
        waiting.push_back(std::move(rest));
    }
    void schedule(Milliseconds delay, std::unique_ptr<Run> rest) override {
        lines.push_back("wait " + std::to_string(delay.count()));
        waiting.push_back(std::move(rest));
    }
    void disconnect(Disconnect::What what) override {
        constexpr std::string_view words[] = {"namespace", "client", "transport"};
        lines.push_back("disconnect " + std::string{words[static_cast<int>(what)]});
        if (on_disconnect) on_disconnect();
    }
    void stopped(std::string_view verb, std::string_view code, std::string_view reason) override {
        lines.push_back("stopped " + std::string{verb} + " " + std::string{code} + ": " + std::string{reason});
    }

    void (*on_disconnect)() = nullptr;

private:
    using Map = std::map<std::string, std::string, std::less<>>;
    static std::optional<std::string> find(const Map& map, std::string_view name) {
        const auto found = map.find(name);
        return found == map.end() ? std::nullopt : std::optional{found->second};
    }
    static std::string by(std::string_view token) { return token.empty() ? "" : " by " + std::string{token}; }
    static std::string list(std::span<const std::string> texts) {
        std::string out = "[";
        for (const std::string& text : texts) out += (out.size() > 1 ? "," : "") + json::quote(text);
        return out + "]";
    }
    static std::string shown(const Message& message) {
        std::string out = std::string{message.event} + "(" + std::string{message.args} + ")";
        for (const std::string& attachment : message.attachments) out += "<" + attachment + ">";
        return out;
    }
};

}  // namespace sio::routes
