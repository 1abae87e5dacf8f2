// listen: what clients send, one JSON object a line.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/json.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"
#include "sioctl/interrupt.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

/// An event for people: who, what.
std::string shown(std::string_view event) {
    const std::string user = text_member(event, "user");
    const std::string who = user.empty() ? text_member(event, "sid") : user;
    const std::string nsp = text_member(event, "nsp");
    std::string line = printable(who) + (nsp == "/" || nsp.empty() ? "" : " " + printable(nsp)) + "  ";
    if (raw_member(event, "lifecycle") == "true") {
        const std::string reason = text_member(event, "reason");
        return line + printable(text_member(event, "event")) + (reason.empty() ? "" : ": " + printable(reason));
    }
    return line + shown_event(text_member(event, "event"), json::member(event, "args").value_or("[]"));
}

/// An event as a line: its object, with the attachments that stood beside it.
std::string whole(const wire::AdminReply& reply) {
    const auto attachments = json::member(reply.text, "attachments");
    if (!attachments || json::member(reply.event, "attachments")) return std::string(reply.event);
    std::string line{reply.event};
    line.pop_back();
    return line + (line.size() > 1 ? "," : "") + "\"attachments\":" + std::string(*attachments) + "}";
}

}  // namespace

int run_listen(const Invocation& invocation) {
    const auto nsp = invocation.nsp();
    if (!nsp) return finish(nsp.error());
    const auto count = invocation.number("--count", 1);
    if (!count) return finish(count.error());
    const auto length = invocation.time("--for", 0ms);
    if (!length) return finish(length.error());
    const Format format = invocation.format(Format::ndjson, Format::ndjson);
    wire::ObjectWriter members;
    if (*nsp) members.text("nsp", **nsp);
    if (invocation.has("EVENT")) members.texts("events", invocation.all("EVENT"));
    if (invocation.has("--lifecycle")) members.boolean("lifecycle", true);

    auto control = Control::open(invocation.control_path(), deadline_in(10s));
    if (!control) return finish(control.error());
    Interrupt interrupt{SIGINT, SIGTERM};
    control->send("listen", members);
    const Deadline end = invocation.has("--for") ? deadline_in(*length) : Deadline{};
    Output out;
    for (std::uint64_t shown_lines = 0;;) {
        // Standard output is polled for nothing but its reader's end.
        std::array<pollfd, 3> polls{
            {{control->fd(), control->events(), 0}, {interrupt.fd(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
        ::poll(polls.data(), polls.size(), poll_timeout(end));
        if (interrupt.next() || (polls[2].revents & (POLLERR | POLLNVAL)) != 0) return exit_code::ok;
        const auto ready = polls[0].revents != 0 ? control->on_ready(polls[0].revents) : Outcome<void>{};
        for (;;) {
            const auto reply = control->next();
            if (!reply) return finish(reply.error());
            if (!*reply) break;
            if ((*reply)->kind == wire::AdminReply::Kind::error) return finish(Control::refusal(**reply));
            if ((*reply)->kind == wire::AdminReply::Kind::lost)
                complain(std::to_string((*reply)->lost) +
                         " events were lost: they came faster than they are read here");
            if ((*reply)->kind != wire::AdminReply::Kind::event) continue;
            const std::string line = whole(**reply);
            out.line(format == Format::table ? shown(line) : format == Format::json ? indented(line) : line);
            out.flush();
            if (!out.is_open() || (*count && ++shown_lines >= **count)) return exit_code::ok;
        }
        if (!ready) return finish(ready.error());
        if (end && Clock::now() >= *end) {
            if (!*count) return exit_code::ok;
            return finish({exit_code::timeout,
                           std::to_string(shown_lines) + " of " + std::to_string(**count) + " events came in time"});
        }
    }
}

}  // namespace sio::sioctl
