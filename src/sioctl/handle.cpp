// handle: runs a command for each event of one name; what it prints is the acknowledgement.
#include <poll.h>
#include <algorithm>

#include <csignal>
#include <deque>
#include <list>

#include "base/bytes.h"
#include "base/json.h"
#include "sioctl/answer.h"
#include "sioctl/child.h"
#include "sioctl/interrupt.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

/// A call as it came: what is needed to run the command.
struct Call {
    std::uint64_t id;
    std::vector<std::pair<std::string, std::string>> variables;
    std::string input;
};

struct Running {
    std::uint64_t call;
    Child child;
    Deadline deadline;
    bool late = false;
};

/// A value for the environment: it ends at a NUL.
std::string for_environment(std::string text) {
    text.resize(std::min(text.find('\0'), text.size()));
    return text;
}

Call call_of(const wire::AdminReply& reply) {
    Call call{reply.call, {}, std::string(json::member(reply.text, "args").value_or("[]")) + "\n"};
    if (const auto attachments = json::member(reply.text, "attachments")) {
        call.input += *attachments;
        call.input += '\n';
    }
    for (const auto& [variable, member] : {std::pair{"SIO_EVENT", "event"}, std::pair{"SIO_SID", "sid"},
                                           std::pair{"SIO_USER", "user"}, std::pair{"SIO_NSP", "nsp"}})
        call.variables.emplace_back(variable, for_environment(text_member(reply.text, member)));
    return call;
}

/// What a command printed, as an array of arguments: an array is meant as it is, another value is the only one, a text
/// that is no JSON is one text, nothing is no argument.
Outcome<std::string> arguments_in(std::string_view output) {
    while (output.ends_with('\n') || output.ends_with('\r')) output.remove_suffix(1);
    if (base::trim(output).empty()) return std::string("[]");
    if (!base::is_utf8(output)) return give_up(exit_code::data, "its output is not UTF-8");
    if (!json::is_valid(output)) return "[" + json::quote(output) + "]";
    std::string value{output};
    // A line of the control protocol has no line feeds; between the tokens of JSON they mean nothing.
    for (char& c : value) {
        if (c == '\n' || c == '\r') c = ' ';
    }
    const std::string_view trimmed = base::trim(value);
    return json::kind_of(trimmed) == json::Kind::array ? std::string(trimmed) : "[" + std::string(trimmed) + "]";
}

class Handler {
public:
    Handler(const Invocation& invocation, Control control, std::size_t parallel, std::chrono::milliseconds limit,
            std::optional<std::uint64_t> count)
        : command_(invocation.command_to_run),
          control_(std::move(control)),
          parallel_(parallel),
          limit_(limit),
          left_(count) {}

    int run(Interrupt& interrupt) {
        for (;;) {
            start_waiting();
            const bool is_idle = waiting_.empty() && running_.empty();
            if (is_idle && (stopping_ || (left_ && *left_ == 0)) && control_.queued_bytes() == 0) return exit_code::ok;
            wait(interrupt);
            while (const auto signal = interrupt.next()) {
                if (*signal == SIGCHLD) continue;
                if (stopping_) return exit_code::ok;  // asked twice: leave, and the commands with us
                stop();
            }
            tend_children();
            if (const auto told = take_lines(); !told) return finish(told.error());
        }
    }

private:
    static constexpr std::size_t max_waiting = 10'000;

    void wait(const Interrupt& interrupt) {
        std::vector<pollfd> polls{{control_.fd(), control_.events(), 0}, {interrupt.fd(), POLLIN, 0}};
        Deadline next;
        for (const Running& running : running_) {
            if (running.child.input_fd() >= 0) polls.push_back({running.child.input_fd(), POLLOUT, 0});
            if (running.child.output_fd() >= 0) polls.push_back({running.child.output_fd(), POLLIN, 0});
            if (!running.late && (!next || *running.deadline < *next)) next = running.deadline;
        }
        ::poll(polls.data(), polls.size(), poll_timeout(next));
        control_ready_ = polls[0].revents;
    }

    Outcome<void> take_lines() {
        const auto ready = control_ready_ != 0 ? control_.on_ready(control_ready_) : Outcome<void>{};
        for (;;) {
            const auto reply = control_.next();
            if (!reply) return tl::unexpected(reply.error());
            if (!*reply) return ready;
            if ((*reply)->kind == wire::AdminReply::Kind::error) {
                // A call that is not waited for any more is no reason to end.
                if ((*reply)->code == wire::admin_error::not_found && accepted_) continue;
                return tl::unexpected(Control::refusal(**reply));
            }
            accepted_ = true;
            if ((*reply)->kind != wire::AdminReply::Kind::call) continue;
            if (stopping_ || waiting_.size() >= max_waiting || (left_ && *left_ == 0)) {
                answer_error((*reply)->call, "busy");
                continue;
            }
            if (left_) --*left_;
            waiting_.push_back(call_of(**reply));
        }
    }

    void start_waiting() {
        while (!waiting_.empty() && running_.size() < parallel_) {
            Call call = std::move(waiting_.front());
            waiting_.pop_front();
            auto child = Child::start(command_, call.variables, std::move(call.input));
            if (!child) {
                complain("cannot run " + command_.front() + ": " + child.error().what);
                answer_error(call.id, "the command cannot be run");
                continue;
            }
            running_.push_back({call.id, std::move(*child), deadline_in(limit_)});
        }
    }

    void tend_children() {
        for (auto running = running_.begin(); running != running_.end();) {
            Child& child = running->child;
            if (child.input_fd() >= 0) child.feed();
            child.collect();
            if ((Clock::now() >= *running->deadline || child.too_much_output()) && !running->late) {
                running->late = true;
                child.signal(SIGKILL);
            }
            if (!child.has_ended()) {
                ++running;
                continue;
            }
            answer(*running);
            running = running_.erase(running);
        }
    }

    void answer(const Running& running) {
        if (running.child.too_much_output()) return answer_error(running.call, "its output is longer than 8 MiB");
        if (running.late) return answer_error(running.call, "the command took too long");
        if (const std::string trouble = running.child.trouble(); !trouble.empty())
            return answer_error(running.call, trouble);
        const auto arguments = arguments_in(running.child.output());
        if (!arguments) return answer_error(running.call, arguments.error().what);
        wire::ObjectWriter members;
        members.number("call", static_cast<std::int64_t>(running.call)).raw("args", *arguments);
        control_.send("answer", members);
    }

    void answer_error(std::uint64_t call, std::string_view text) {
        wire::ObjectWriter members;
        members.number("call", static_cast<std::int64_t>(call)).text("error", text);
        control_.send("answer", members);
    }

    /// No more events; the commands that run may end and be answered.
    void stop() {
        stopping_ = true;
        for (const Call& call : waiting_) answer_error(call.id, "the handler is stopping");
        waiting_.clear();
    }

    const std::vector<std::string>& command_;
    Control control_;
    std::size_t parallel_;
    std::chrono::milliseconds limit_;
    std::optional<std::uint64_t> left_;
    std::deque<Call> waiting_;
    std::list<Running> running_;
    short control_ready_ = 0;
    bool accepted_ = false;
    bool stopping_ = false;
};

}  // namespace

int run_handle(const Invocation& invocation) {
    const auto nsp = invocation.nsp();
    if (!nsp) return finish(nsp.error());
    const auto parallel = invocation.number("--parallel", 1);
    if (!parallel) return finish(parallel.error());
    const auto limit = invocation.time("--timeout", 10s);
    if (!limit) return finish(limit.error());
    const auto count = invocation.number("--count", 1);
    if (!count) return finish(count.error());
    if (parallel->value_or(1) > 1000) return finish({exit_code::usage, "--parallel: at most 1000"});

    std::signal(SIGPIPE, SIG_IGN);
    auto control = Control::open(invocation.control_path(), deadline_in(10s));
    if (!control) return finish(control.error());
    wire::ObjectWriter members;
    if (*nsp) members.text("nsp", **nsp);
    members.text("event", invocation.one("EVENT"));
    Interrupt interrupt{SIGINT, SIGTERM, SIGCHLD};
    control->send("handle", members);
    return Handler{invocation, std::move(*control), parallel->value_or(1), *limit, *count}.run(interrupt);
}

}  // namespace sio::sioctl
