// produce: records for Kafka, by the bridge's producer.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

/// A text as JSON has it, or in base64.
void add_value(wire::ObjectWriter& members, std::string_view value) {
    if (base::is_utf8(value)) {
        members.text("value", value);
        return;
    }
    std::string encoded;
    base::append_base64(encoded, value);
    members.text("value_base64", encoded);
}

/// What all records of one command have in common.
Outcome<wire::ObjectWriter> common_members(const Invocation& invocation) {
    wire::ObjectWriter members;
    members.text("topic", invocation.one("TOPIC"));
    if (invocation.has("--key")) {
        if (!base::is_utf8(invocation.one("--key"))) return give_up(exit_code::data, "--key is not UTF-8");
        members.text("key", invocation.one("--key"));
    }
    const auto partition = invocation.number("--partition", 0);
    if (!partition) return tl::unexpected(partition.error());
    if (*partition) members.number("partition", static_cast<std::int64_t>(**partition));
    wire::ObjectWriter headers;
    for (const std::string& header : invocation.all("--header")) {
        const std::size_t equals = header.find('=');
        if (equals == std::string::npos || equals == 0) {
            return give_up(exit_code::usage, "--header: " + header + " is not like NAME=VALUE");
        }
        if (!base::is_utf8(header)) return give_up(exit_code::data, "--header is not UTF-8");
        headers.text(header.substr(0, equals), header.substr(equals + 1));
    }
    if (!headers.members().empty()) members.raw("headers", headers.object());
    return members;
}

void print_place(Output& out, Format format, const std::string& topic, std::string_view answer) {
    const std::string_view partition = raw_member(answer, "partition");
    const std::string_view offset = raw_member(answer, "offset");
    if (format == Format::table) {
        out.line(cell(partition) + "/" + cell(offset));
        return;
    }
    wire::ObjectWriter place;
    place.text("topic", topic).raw("partition", partition).raw("offset", offset);
    out.line(format == Format::json ? indented(place.object()) : place.object());
}

/// A record a line, sent without waiting for one another and answered in order.
class Records {
public:
    Records(const Invocation& invocation, wire::ObjectWriter common, std::chrono::milliseconds wait, Control control,
            int input)
        : topic_(invocation.one("TOPIC")),
          format_(invocation.format(Format::table, Format::table)),
          quiet_(invocation.quiet()),
          common_(std::move(common)),
          wait_(wait),
          control_(std::move(control)),
          input_(input) {}

    int run() {
        while (!failure_ && (!input_ended_ || !open_.empty())) {
            if (const auto step = turn(); !step) failure_ = step.error();
        }
        if (!failure_) return exit_code::ok;
        // What was sent before it is told still, as far as it is answered.
        while (!open_.empty() && !is_lost_) {
            const auto reply = control_.receive(deadline_in(wait_));
            if (!reply || !take(*reply)) break;
        }
        out_.flush();
        const int code = finish(*failure_);
        if (!quiet_) complain(std::to_string(produced_) + " records before it were produced");
        return code;
    }

private:
    static constexpr std::size_t window = 512;
    static constexpr std::size_t max_queued = std::size_t{1} << 20U;

    struct Open {
        std::uint64_t id;
        std::size_t line;
        std::optional<std::string> answer;
    };

    Outcome<void> turn() {
        while (has_room()) {
            auto line = lines_.next();
            if (lines_.too_long()) return give_up(exit_code::data, at_line(line_ + 1) + "longer than 6 MiB");
            if (!line && input_ended_ && !std::exchange(rest_taken_, true)) line = lines_.rest();
            if (!line) break;
            ++line_;
            if (line->empty()) continue;
            wire::ObjectWriter members = common_;
            add_value(members, *line);
            open_.push_back({control_.send("produce", members), line_, std::nullopt});
            deadline_ = deadline_in(wait_);
        }
        if (open_.empty() && input_ended_) return {};
        std::array<pollfd, 2> polls{
            {{control_.fd(), control_.events(), 0}, {input_ended_ || !has_room() ? -1 : input_, POLLIN, 0}}};
        const int ready = ::poll(polls.data(), polls.size(), open_.empty() ? -1 : poll_timeout(deadline_));
        if (ready == 0 && !open_.empty() && Clock::now() >= *deadline_) {
            is_lost_ = true;
            return give_up(exit_code::timeout, at_line(open_.front().line) + "Kafka does not confirm it in time");
        }
        if (polls[1].revents != 0) {
            if (const auto got = read_input(); !got) return got;
        }
        if (polls[0].revents != 0) {
            const auto ended = control_.on_ready(polls[0].revents);
            if (const auto taken = take_replies(); !taken) return taken;
            if (!ended) {
                is_lost_ = true;
                return ended;
            }
        }
        return {};
    }

    [[nodiscard]] bool has_room() const { return open_.size() < window && control_.queued_bytes() < max_queued; }

    Outcome<void> read_input() {
        std::array<char, 65536> buffer;
        const ssize_t n = ::read(input_, buffer.data(), buffer.size());
        if (n > 0) {
            lines_.feed({buffer.data(), static_cast<std::size_t>(n)});
        } else if (n == 0) {
            input_ended_ = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            return give_up(exit_code::data, std::string("cannot read the records: ") + std::strerror(errno));
        }
        return {};
    }

    Outcome<void> take_replies() {
        for (;;) {
            const auto reply = control_.next();
            if (!reply) return tl::unexpected(reply.error());
            if (!*reply) return {};
            if (const auto taken = take(**reply); !taken) return taken;
        }
    }

    Outcome<void> take(const wire::AdminReply& reply) {
        if (!reply.id) return tl::unexpected(Control::refusal(reply, bridge_peer));
        const auto found = std::ranges::find(open_, *reply.id, &Open::id);
        if (found == open_.end()) return {};
        if (reply.kind == wire::AdminReply::Kind::error) {
            Failure failure = Control::refusal(reply, bridge_peer);
            failure.what.insert(0, at_line(found->line));
            open_.erase(found);
            return tl::unexpected(std::move(failure));
        }
        found->answer = std::string(reply.text);
        for (; !open_.empty() && open_.front().answer; open_.pop_front()) {
            print_place(out_, format_, topic_, *open_.front().answer);
            ++produced_;
        }
        out_.flush();
        return {};
    }

    static std::string at_line(std::size_t line) { return "line " + std::to_string(line) + ": "; }

    std::string topic_;
    Format format_;
    bool quiet_;
    wire::ObjectWriter common_;
    std::chrono::milliseconds wait_;
    Control control_;
    int input_;
    Output out_;
    wire::LineSplitter lines_{std::size_t{6} << 20U};  // so that it is a line still in base64
    std::size_t line_ = 0;
    std::size_t produced_ = 0;
    bool input_ended_ = false;
    bool rest_taken_ = false;
    bool is_lost_ = false;  // nothing more will be answered
    std::deque<Open> open_;
    Deadline deadline_;
    std::optional<Failure> failure_;
};

}  // namespace

int run_produce(const Invocation& invocation) {
    auto common = common_members(invocation);
    if (!common) return finish(common.error());
    const auto wait = invocation.time("--timeout", 10s);
    if (!wait) return finish(wait.error());
    const bool has_value = invocation.has("VALUE");
    if (has_value && (invocation.has("--file") || invocation.has("--null"))) {
        return finish({exit_code::usage, "VALUE, --file and --null are three ways to say it: give one"});
    }
    if (invocation.has("--file") && invocation.has("--null")) {
        return finish({exit_code::usage, "--file and --null are two ways to say it: give one"});
    }
    if (has_value || invocation.has("--null")) {
        if (has_value) add_value(*common, invocation.one("VALUE"));
        const auto answer = ask_bridge(invocation, "produce", *common, 10s);
        if (!answer) return finish(answer.error());
        Output out;
        print_place(out, invocation.format(Format::table, Format::table), invocation.one("TOPIC"), *answer);
        return exit_code::ok;
    }
    const std::string file = invocation.one("--file", "-");
    base::UniqueFd opened;
    if (file != "-") {
        opened.reset(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
        if (!opened) return finish({exit_code::data, "cannot read " + file + ": " + std::strerror(errno)});
    }
    auto control = Control::open(invocation.bridge_path(), deadline_in(*wait), bridge_peer);
    if (!control) return finish(control.error());
    return Records{invocation, std::move(*common), *wait, std::move(*control), opened ? opened.get() : STDIN_FILENO}
        .run();
}

}  // namespace sio::sioctl
