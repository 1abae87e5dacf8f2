// emit: events from the command line, or many from standard input.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <unordered_map>

#include "base/bytes.h"
#include "base/json.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

/// What holds for all events of one command.
struct Plan {
    wire::Selection selection;
    bool is_volatile = false;
    bool ack = false;
    std::chrono::milliseconds ack_wait = 5s;
    std::chrono::milliseconds answer_wait = 10s;
    std::uint64_t require = 0;
    bool counts = true;  ///< how many were reached is asked for
};

struct Totals {
    std::uint64_t events = 0;
    std::uint64_t reached = 0;
    std::uint64_t answers = 0;
    std::uint64_t silent = 0;
    std::map<std::string, std::uint64_t> silent_nodes;  ///< who → the events that it did not answer for
};

Outcome<Plan> make_plan(const Invocation& invocation) {
    Plan plan;
    auto selection = invocation.selection();
    if (!selection) return tl::unexpected(selection.error());
    plan.selection = std::move(*selection);
    plan.is_volatile = invocation.has("--volatile");
    plan.ack = invocation.has("--ack");
    const auto wait = invocation.time("--timeout", plan.ack ? 5s : 10s);
    if (!wait) return tl::unexpected(wait.error());
    // The gateway waits for the clients; we wait for the gateway a little longer.
    plan.ack_wait = *wait;
    plan.answer_wait = plan.ack ? *wait + 5s : *wait;
    const auto require = invocation.number("--require", 1);
    if (!require) return tl::unexpected(require.error());
    plan.require = require->value_or(0);
    // Who wants no number asks no other node for one.
    plan.counts = !invocation.quiet() || plan.require > 0;
    return plan;
}

wire::ObjectWriter emit_request(const Plan& plan, const Invocation& invocation, const wire::Selection& selection,
                                std::string_view event, std::string_view arguments, std::string_view attachments) {
    wire::ObjectWriter members;
    members.selection(selection).text("event", event).raw("args", arguments);
    if (!attachments.empty()) members.raw("attachments", attachments);
    if (plan.is_volatile) members.boolean("volatile", true);
    if (plan.ack) {
        members.boolean("ack", true).number("timeout_ms", plan.ack_wait.count());
    } else if (!plan.counts) {
        members.boolean("count", false);
    } else {
        say_node_timeout(invocation, plan.answer_wait, members);
    }
    return members;
}

/// Takes one answer into account, and prints the acknowledgements in it.
void take_answer(const Plan& plan, const Invocation& invocation, Output& out, std::string_view answer, Totals& totals) {
    totals.reached += count_member(answer, "reached");
    for (const std::string& who : silent_in(answer)) ++totals.silent_nodes[who];
    if (!plan.ack) return;
    totals.silent += count_member(answer, "silent");
    for (json::Walker answers{raw_member(answer, "answers")}; answers.next();) {
        ++totals.answers;
        if (invocation.format() == Format::table)
            out.line(shown_event(text_member(answers.value(), "sid"), raw_member(answers.value(), "args")));
        else if (invocation.format() == Format::ndjson)
            out.line(answers.value());
    }
    out.flush();
}

/// One line for each node that did not answer, however many events it did not answer for.
void complain_of_silence(const Totals& totals, bool many) {
    for (const auto& [who, events] : totals.silent_nodes) {
        complain("no answer from " + who +
                 (many ? " for " + std::to_string(events) + " of " + std::to_string(totals.events) + " events" : ""));
    }
}

/// Says how many were reached. With --ack the answers are the data, and this a note.
int report(const Plan& plan, const Invocation& invocation, Output& out, const Totals& totals, bool many) {
    complain_of_silence(totals, many);
    const std::string reached = std::to_string(totals.reached);
    if (plan.ack) {
        if (!invocation.quiet())
            complain("reached " + reached + ", " + std::to_string(totals.answers) + " answered" +
                     (totals.silent > 0 ? ", " + std::to_string(totals.silent) + " did not answer in time" : ""));
    } else if (!invocation.quiet()) {
        if (invocation.format() == Format::table)
            out.line(many ? std::to_string(totals.events) + " events reached " + reached : "reached " + reached);
        else if (many)
            out.line("{\"events\":" + std::to_string(totals.events) + ",\"reached\":" + reached + "}");
        else if (invocation.format() == Format::ndjson)
            out.line("{\"reached\":" + reached + "}");
    }
    if (!totals.silent_nodes.empty()) return exit_code::partial;
    if (totals.reached < plan.require) return exit_code::no;
    if (plan.ack && (totals.silent > 0 || totals.answers == 0)) return exit_code::no;
    return exit_code::ok;
}

int emit_one(const Invocation& invocation, const Plan& plan) {
    const auto arguments = arguments_of(invocation.all("ARG"), invocation.has("--string"));
    if (!arguments) return finish(arguments.error());
    const std::string event = invocation.one("EVENT");
    if (!base::is_utf8(event)) return finish({exit_code::data, "the event's name is not UTF-8"});
    const Deadline deadline = deadline_in(plan.answer_wait);
    auto control = Control::open(invocation.control_path(), deadline);
    if (!control) return finish(control.error());
    const auto answer =
        control->ask("emit", emit_request(plan, invocation, plan.selection, event, *arguments, {}), deadline);
    if (!answer) return finish(answer.error());
    Output out;
    Totals totals;
    totals.events = 1;
    if (invocation.format() == Format::json) out.line(indented(without_frame(*answer)));
    take_answer(plan, invocation, out, *answer, totals);
    return report(plan, invocation, out, totals, false);
}

/// Makes a request of one line of standard input.
Outcome<wire::ObjectWriter> request_of_line(const Plan& plan, const Invocation& invocation, std::string_view line) {
    const auto checked = checked_json(line, "it");
    if (!checked) return tl::unexpected(checked.error());
    const std::string_view value = *checked;
    const json::Kind kind = json::kind_of(value);
    if (invocation.has("EVENT") && invocation.one("EVENT") != "-") {
        const std::string arguments = kind == json::Kind::array ? std::string(value) : "[" + std::string(value) + "]";
        return emit_request(plan, invocation, plan.selection, invocation.one("EVENT"), arguments, {});
    }
    if (kind == json::Kind::array) {
        const auto event = json::element(value, 0);
        if (!event || json::kind_of(*event) != json::Kind::string)
            return give_up(exit_code::data, "the array does not begin with the event's name");
        std::string arguments = "[";
        std::size_t index = 0;
        for (json::Walker elements{value}; elements.next(); ++index) {
            if (index == 0) continue;
            if (index > 1) arguments += ',';
            arguments += elements.value();
        }
        return emit_request(plan, invocation, plan.selection, json::decode_string(*event), arguments + "]", {});
    }
    if (kind != json::Kind::object) return give_up(exit_code::data, "it is neither an array nor an object");
    constexpr std::array<std::string_view, 9> known{"event",   "args",   "attachments", "to",      "users",
                                                    "sockets", "except", "nsp",         "volatile"};
    for (json::Walker members{value}; members.next();) {
        const std::string key = json::decode_string(members.key());
        if (std::find(known.begin(), known.end(), key) == known.end())
            return give_up(exit_code::data, "unknown member " + key);
    }
    if (json::kind_of(raw_member(value, "event")) != json::Kind::string)
        return give_up(exit_code::data, "it has no event");
    const std::string_view args = json::member(value, "args").value_or("[]");
    if (json::kind_of(args) != json::Kind::array) return give_up(exit_code::data, "args is not an array");
    // One room may be given as a text.
    wire::Selection selection;
    std::string whole{value};
    if (const auto to = json::member(value, "to"); to && json::kind_of(*to) == json::Kind::string) {
        whole.pop_back();
        whole += ",\"to\":[" + std::string(*to) + "]}";
    }
    auto parsed = wire::parse_selection(whole);
    if (!parsed) return give_up(exit_code::data, parsed.error().what);
    selection = std::move(*parsed);
    // A line that says for whom it is goes there; else where the command line says.
    if (selection.is_everybody()) {
        selection.to = plan.selection.to;
        selection.users = plan.selection.users;
        selection.sockets = plan.selection.sockets;
    }
    if (selection.except.empty()) selection.except = plan.selection.except;
    if (!json::member(value, "nsp")) selection.nsp = plan.selection.nsp;
    Plan own = plan;
    own.is_volatile = plan.is_volatile || raw_member(value, "volatile") == "true";
    return emit_request(own, invocation, selection, text_member(value, "event"), args,
                        json::member(value, "attachments").value_or(""));
}

/// Events from standard input, pipelined: at most `window` are unanswered at a time.
class Batch {
public:
    Batch(const Invocation& invocation, const Plan& plan, Control control)
        : invocation_(invocation), plan_(plan), control_(std::move(control)) {}

    int run() {
        while (!failure_ && (!input_ended_ || !in_flight_.empty())) {
            if (const auto step = turn(); !step) failure_ = step.error();
        }
        if (failure_) {
            const int code = finish(*failure_);
            complain_of_silence(totals_, true);
            if (totals_.events > 0) {
                complain(std::to_string(totals_.events) + " events before it were sent" +
                         (plan_.counts ? " and reached " + std::to_string(totals_.reached) : ""));
            }
            return code;
        }
        return report(plan_, invocation_, out_, totals_, true);
    }

private:
    static constexpr std::size_t window = 512;
    static constexpr std::size_t max_queued = std::size_t{1} << 20;

    Outcome<void> turn() {
        while (in_flight_.size() < window && control_.queued_bytes() < max_queued) {
            auto line = input_.next();
            if (input_.too_long())
                return give_up(exit_code::data, "line " + std::to_string(line_ + 1) + ": longer than 8 MiB");
            if (!line && input_ended_ && !rest_taken_) {
                rest_taken_ = true;
                line = input_.rest();
            }
            if (!line) break;
            ++line_;
            if (base::trim(*line).empty()) continue;
            const auto request = request_of_line(plan_, invocation_, *line);
            if (!request) return stop_reading({request.error().exit, at_line(line_) + request.error().what});
            in_flight_.emplace(control_.send("emit", *request), line_);
            deadline_ = deadline_in(plan_.answer_wait);
        }
        if (in_flight_.empty() && input_ended_) return {};

        const bool room = in_flight_.size() < window && control_.queued_bytes() < max_queued;
        std::array<pollfd, 2> polls{
            {{control_.fd(), control_.events(), 0}, {input_ended_ || !room ? -1 : STDIN_FILENO, POLLIN, 0}}};
        const int ready = ::poll(polls.data(), polls.size(), in_flight_.empty() ? -1 : poll_timeout(deadline_));
        if (ready == 0 && !in_flight_.empty() && Clock::now() >= *deadline_)
            return give_up(exit_code::timeout, "the gateway does not answer in time");
        if (polls[1].revents != 0) {
            if (const auto got = read_input(); !got) return got;
        }
        if (polls[0].revents != 0) {
            const auto ended = control_.on_ready(polls[0].revents);
            if (const auto taken = take_replies(); !taken) return taken;
            if (!ended && !(in_flight_.empty() && input_ended_)) return ended;
        }
        return {};
    }

    /// A line that is wrong ends the input; what was sent before it is still answered.
    Outcome<void> stop_reading(Failure failure) {
        input_ended_ = rest_taken_ = true;
        while (!in_flight_.empty()) {
            const auto reply = control_.receive(deadline_in(plan_.answer_wait));
            if (!reply) break;
            if (const auto taken = take(*reply); !taken) break;
        }
        return tl::unexpected(std::move(failure));
    }

    Outcome<void> read_input() {
        std::array<char, 65536> buffer;
        const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (n > 0) {
            input_.feed({buffer.data(), static_cast<std::size_t>(n)});
        } else if (n == 0) {
            input_ended_ = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            return give_up(exit_code::data, std::string("cannot read standard input: ") + std::strerror(errno));
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
        if (!reply.id) return tl::unexpected(Control::refusal(reply));
        const auto found = in_flight_.find(*reply.id);
        if (found == in_flight_.end()) return {};
        const std::size_t line = found->second;
        in_flight_.erase(found);
        deadline_ = deadline_in(plan_.answer_wait);  // it answers: there is no need to hurry it
        if (reply.kind == wire::AdminReply::Kind::error) {
            Failure failure = Control::refusal(reply);
            failure.what.insert(0, at_line(line));
            return tl::unexpected(std::move(failure));
        }
        ++totals_.events;
        if (invocation_.format() == Format::json) out_.line(indented(without_frame(reply.text)));
        take_answer(plan_, invocation_, out_, reply.text, totals_);
        return {};
    }

    static std::string at_line(std::size_t line) { return "line " + std::to_string(line) + ": "; }

    const Invocation& invocation_;
    const Plan& plan_;
    Control control_;
    Output out_;
    Totals totals_;
    wire::LineSplitter input_;
    std::size_t line_ = 0;
    bool input_ended_ = false;
    bool rest_taken_ = false;
    std::unordered_map<std::uint64_t, std::size_t> in_flight_;  // id → line
    Deadline deadline_;
    std::optional<Failure> failure_;
};

}  // namespace

int run_emit(const Invocation& invocation) {
    const auto plan = make_plan(invocation);
    if (!plan) return finish(plan.error());
    const auto& arguments = invocation.all("ARG");
    const bool dash = arguments.size() == 1 && arguments.front() == "-";
    const bool every_line_names = invocation.one("EVENT") == "-" || invocation.has("--event-per-line");
    if (invocation.has("--stdin") || dash || every_line_names) {
        if (!arguments.empty() && !dash)
            return finish(
                {exit_code::usage, "arguments come from the command line or from standard input, not from both"});
        if (invocation.has("--event-per-line") && invocation.has("EVENT") && invocation.one("EVENT") != "-")
            return finish({exit_code::usage, "with --event-per-line each line names its event: leave EVENT out"});
        auto control = Control::open(invocation.control_path(), deadline_in(plan->answer_wait));
        if (!control) return finish(control.error());
        return Batch{invocation, *plan, std::move(*control)}.run();
    }
    if (!invocation.has("EVENT"))
        return finish({exit_code::usage, "which event? Name it, or give --stdin (sioctl emit --help)"});
    return emit_one(invocation, *plan);
}

}  // namespace sio::sioctl
