#include "pg/pool.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <map>
#include <utility>

#include "base/log.h"
#include "pg/link.h"
#include "pg/target.h"
#include "pg/text.h"

namespace sio::pg {

namespace {

constexpr Millis log_interval = 30'000;             // between lines about what stays as it is
constexpr std::string_view echo_name = "sio_echo";  // the notification to ourselves
constexpr Millis soon = 1'000;
constexpr Millis check_delay = 250;
constexpr Millis statement_time_beyond = 500;  // how long the server works on a query after we have given it up

/// A name on the server that no other statement has: a pooler may lend us a session that knows statements of another
/// version of ours.
std::string server_name_of(std::string_view name, std::string_view sql) {
    constexpr std::size_t most = 40;  // of 63 bytes
    std::uint64_t digest = 14695981039346656037U;
    for (const char c : sql) digest = (digest ^ static_cast<unsigned char>(c)) * 1099511628211U;
    std::array<char, 20> text;
    const int length = std::snprintf(text.data(), text.size(), "_%016llx", static_cast<unsigned long long>(digest));
    return std::string(name.substr(0, most)).append(text.data(), static_cast<std::size_t>(length));
}

std::string random_channel() {
    std::uint64_t number = 0;
    static_cast<void>(!::getrandom(&number, sizeof number, 0));
    std::array<char, 32> text;
    const int length =
        std::snprintf(text.data(), text.size(), "sio_echo_%016llx", static_cast<unsigned long long>(number));
    return {text.data(), static_cast<std::size_t>(length)};
}

/// A pool stays with one connection that tries while none is up, so that a server that comes back, or is frozen, meets
/// one visitor and not many; the others follow it.
class LinkPool final : public Pool, public Link::Owner {
public:
    LinkPool(net::Loop& loop, PoolOptions options, Target target, Pool::Owner& owner)
        : options_(std::move(options)),
          target_(std::move(target)),
          loop_(loop),
          owner_(owner),
          names_(loop, target_.names(), [this] { on_names(); }),
          shared_{loop, options_, target_, names_, {}, {}} {
        shared_.set_up = "SET statement_timeout = " + std::to_string(options_.silence + statement_time_beyond) + ";";
        for (const std::string& channel : options_.channels) shared_.listen += "LISTEN " + quote_name(channel) + ";";
        if (!options_.channels.empty()) {
            shared_.listen += "LISTEN " + quote_name(echo_channel_) + ";";
            declare(std::string(echo_name), "SELECT pg_notify('" + echo_channel_ + "', $1)", 1);
        }
        const std::size_t links = std::max<std::size_t>(options_.connections, 1);
        for (std::size_t i = 0; i < links; ++i) links_.push_back(std::make_unique<Link>(shared_, *this, false));
        if (!options_.channels.empty()) links_.push_back(std::make_unique<Link>(shared_, *this, true));
    }

    void start() override {
        if (std::exchange(is_started_, true)) return;
        links_.front()->wake();
    }

    void declare(std::string name, std::string sql, int parameters) override {
        Statement statement;
        statement.index = statements_.size();
        statement.server_name = server_name_of(name, sql);
        statement.name = name;
        statement.sql = std::move(sql);
        statement.parameters = parameters;
        statements_.insert_or_assign(std::move(name), std::move(statement));
    }

    void query(std::string_view name, std::span<const std::optional<std::string>> parameters, Done done) override {
        if (name != echo_name) ++stats_.queries;
        auto job = std::make_unique<Job>();
        job->done = std::move(done);
        const auto refuse = [&](Errc code, std::string_view reason) {
            rejected_.emplace_back(std::move(job),
                                   Error{code, "cannot run " + std::string(name) + ": " + std::string(reason)});
            loop_.timers().arm(rejection_, loop_.now());
        };
        const auto statement = statements_.find(name);
        if (statement == statements_.end()) return refuse(Errc::malformed, "no such statement is declared");
        job->statement = &statement->second;
        if (parameters.size() != static_cast<std::size_t>(statement->second.parameters)) {
            return refuse(Errc::malformed, "it has " + std::to_string(statement->second.parameters) + " parameters");
        }
        std::size_t bytes = 0;
        for (const auto& parameter : parameters) {
            if (!parameter) continue;
            // libpq would take the text for ended there.
            if (parameter->find('\0') != std::string::npos) return refuse(Errc::malformed, "a parameter holds a NUL");
            bytes += parameter->size();
        }
        if (bytes > max_parameter_bytes) {
            return refuse(Errc::malformed,
                          "its parameters are longer than " + std::to_string(max_parameter_bytes) + " bytes");
        }
        if (!is_up_ && (!is_started_ || has_failed_)) return refuse(Errc::unavailable, trouble_);
        Link* free = queue_.empty() ? free_link() : nullptr;
        if (free == nullptr && queue_.size() >= options_.max_queued) {
            return refuse(Errc::unavailable, std::to_string(queue_.size()) + " queries wait already");
        }
        job->parameters.assign(parameters.begin(), parameters.end());
        job->deadline = loop_.now() + options_.silence;
        if (free != nullptr) return free->run(std::move(job));
        queue_.push_back(std::move(job));
        if (queue_.size() == 1) loop_.timers().arm(queue_alarm_, queue_.front()->deadline);
    }

    [[nodiscard]] bool is_up() const override { return is_up_; }
    [[nodiscard]] bool has_lost_notifications() const override { return has_lost_echo_; }
    [[nodiscard]] std::string statement_trouble() const override {
        std::string text;
        for (const auto& [name, trouble] : troubles_) text += (text.empty() ? "" : "; ") + trouble;
        return text;
    }
    [[nodiscard]] const std::string& trouble() const override { return trouble_; }
    [[nodiscard]] Stats stats() const override {
        Stats stats = stats_;
        stats.queued = queue_.size();
        stats.statements_refused = troubles_.size();
        for (const auto& link : links_) {
            if (link->listens()) continue;
            if (link->is_open()) ++stats.open;
            if (link->has_job()) ++stats.busy;
        }
        return stats;
    }

private:
    // --- Link::Owner ------------------------------------------------------------------------------------------------

    void on_open(Link& link) override {
        ++stats_.connects;
        if (link.listens()) return send_echo();
        const bool was_up = std::exchange(is_up_, true);
        if (!was_up) {
            trouble_.clear();
            has_failed_ = false;
            for (const auto& other : links_) other->wake();
            const std::string why = "connected to PostgreSQL " + link.server_version() + " at " + target_.to_string();
            log::info("pg", "database_up", {{"database", target_.to_string()}, {"version", link.server_version()}});
            logged_at_.reset();
            owner_.on_database(true, why);
            loop_.timers().arm(check_alarm_, loop_.now() + check_delay);  // those who wait come first
        }
        feed();
    }

    void on_free(Link&) override { feed(); }

    void on_lost(Link& link, bool was_open, std::string reason, std::unique_ptr<Job> job) override {
        const bool was_up = is_up_;
        if (!link.listens() && !was_open) ++stats_.attempts_failed;
        if (link.listens()) {
            is_listening_ = false;
            echo_alarm_.disarm();
        } else {
            is_up_ = std::any_of(links_.begin(), links_.end(),
                                 [](const auto& one) { return !one->listens() && one->is_open(); });
        }
        if (!is_up_) {
            trouble_ = reason;
            has_failed_ = true;
        }
        schedule(link);
        tell(link, was_up, was_open, reason);
        if (job && job->done) {
            on_answer(*job, fail(Errc::unavailable, "cannot run " + job->statement->name + ": " + reason), false);
        }
        if (is_up_) return;
        queue_alarm_.disarm();
        for (std::deque<std::unique_ptr<Job>> queue = std::exchange(queue_, {}); const auto& one : queue) {
            on_answer(*one, fail(Errc::unavailable, "cannot run " + one->statement->name + ": " + reason), false);
        }
        if (was_up) owner_.on_database(false, reason);
    }

    void on_answer(Job& job, Result<const Rows*> answer, bool is_timeout) override {
        const bool is_ours = job.is_check || (job.statement != nullptr && job.statement->name == echo_name);
        if (!is_ours) {
            if (!answer) ++stats_.failures;
            if (is_timeout) ++stats_.timeouts;
            if (!answer && answer.error().code != Errc::unavailable) check_soon();
        }
        const Done done = std::exchange(job.done, nullptr);
        if (done) done(std::move(answer));
    }

    void on_notification(Link& link, std::string_view channel, std::string_view payload) override {
        if (channel != echo_channel_) return owner_.on_notification(channel, payload);
        // One that has come to another connection is the work of a pooler.
        if (link.listens() && payload == std::to_string(echoes_)) hear_echo();
    }

    // --- Notifications to ourselves --------------------------------------------------------------------------------

    /// On another connection than the one that listens: behind a pooler that shares sessions, the two have nothing to
    /// do with each other, and a notification comes to nobody.
    void send_echo() {
        const Millis now = loop_.now();
        if (!is_up_) return loop_.timers().arm(echo_alarm_, now + soon);
        waits_for_echo_ = false;
        const std::optional<std::string> number[] = {std::to_string(++echoes_)};
        query(echo_name, number, [this, sent = echoes_](const Result<const Rows*>& done) {
            if (sent != echoes_ || !links_.back()->is_open()) return;
            waits_for_echo_ = done.has_value() && heard_ != sent;
            if (heard_ != sent) loop_.timers().arm(echo_alarm_, loop_.now() + soon);
        });
    }

    void hear_echo() {
        heard_ = echoes_;
        waits_for_echo_ = has_lost_echo_ = false;
        loop_.timers().arm(echo_alarm_, loop_.now() + options_.echo_interval);
        if (std::exchange(is_listening_, true)) return;
        log::info("pg", "database_listening", {{"database", target_.to_string()}});
        owner_.on_listening();
    }

    void on_echo_alarm() {
        if (!links_.back()->is_open()) return;
        if (!std::exchange(waits_for_echo_, false)) return send_echo();
        // An absence of our own does not count.
        if (loop_.now() - echo_alarm_.deadline() >= options_.probe_interval / 2) return send_echo();
        is_listening_ = false;
        loop_.timers().arm(echo_alarm_, loop_.now() + options_.echo_interval);
        if (std::exchange(has_lost_echo_, true)) return;
        log::error("pg", "notifications_lost",
                   {{"database", target_.to_string()},
                    {"reason", "a notification to ourselves did not come"},
                    {"remedy",
                     "a pooler in transaction mode does not carry LISTEN: name PostgreSQL itself, or a pool in session "
                     "mode; until then sessions are polled, and revocations by NOTIFY are not heard"}});
        owner_.on_not_listening();
    }

    // --- Statements that cannot run ---------------------------------------------------------------------------------

    void check_soon() {
        if (!check_alarm_.is_armed() || check_alarm_.deadline() > loop_.now() + soon) {
            loop_.timers().arm(check_alarm_, loop_.now() + soon);
        }
    }

    /// One after the other, on a connection that has nothing else to do.
    void check_statements() {
        if (is_checking_) return;
        if (!is_up_) return;  // when it is again
        check_after({});
    }

    void check_after(const std::string& last) {
        const auto next = last.empty() ? statements_.begin() : statements_.upper_bound(last);
        is_checking_ = is_up_ && next != statements_.end();
        if (!is_checking_) {
            if (is_up_) ++stats_.checks;
            const Millis pause = troubles_.empty() ? options_.check_interval : options_.check_interval / 3;
            return loop_.timers().arm(check_alarm_, loop_.now() + pause);
        }
        Link* free = queue_.empty() ? free_link() : nullptr;
        if (free == nullptr) {
            is_checking_ = false;
            return loop_.timers().arm(check_alarm_, loop_.now() + soon);
        }
        auto job = std::make_unique<Job>();
        job->statement = &next->second;
        job->is_check = true;
        job->deadline = loop_.now() + options_.silence;
        job->done = [this, of = next->first](const Result<const Rows*>& answer) {
            on_checked(of, answer);
            checked_ = of;
            loop_.timers().arm(check_next_, loop_.now());
        };
        free->run(std::move(job));
    }

    void on_check_next() { check_after(checked_); }

    void on_checked(const std::string& name, const Result<const Rows*>& answer) {
        if (!answer && answer.error().code == Errc::unavailable) return;  // nothing is known
        const auto known = troubles_.find(name);
        if (answer) {
            if (known == troubles_.end()) return;
            log::info("pg", "statement_runs", {{"statement", name}});
            troubles_.erase(known);
            return owner_.on_statements();
        }
        if (known != troubles_.end() && known->second == answer.error().what) return;
        troubles_.insert_or_assign(name, answer.error().what);
        log::error("pg", "statement_refused",
                   {{"statement", name},
                    {"reason", answer.error().what},
                    {"remedy", answer.error().code == Errc::denied
                                   ? "grant this role SELECT on what the statement reads"
                                   : "see database-schema, the names of tables and columns, and the SQL of the rule"}});
        owner_.on_statements();
    }

    // --- The rest ---------------------------------------------------------------------------------------------------

    void on_names() {
        for (const auto& link : links_) link->on_names();
    }

    void schedule(Link& link) {
        if (is_up_) return link.wake_later();
        const bool another_tries = std::any_of(links_.begin(), links_.end(), [&](const auto& one) {
            return one.get() != &link && !one->listens() && !one->is_dormant();
        });
        if (!link.listens() && !another_tries) link.wake_later();
    }

    void tell(const Link& link, bool was_up, bool was_open, const std::string& reason) {
        const Millis now = loop_.now();
        if (was_up && !is_up_) {
            log::warn("pg", "database_down", {{"database", target_.to_string()}, {"reason", reason}});
        } else if (was_open) {
            log::warn("pg", "database_connection_lost",
                      {{"database", target_.to_string()}, {"reason", reason}, {"listens", link.listens()}});
        } else if (!logged_at_ || now - *logged_at_ >= log_interval) {
            log::warn("pg", "database_attempt_failed",
                      {{"database", target_.to_string()}, {"reason", reason}, {"listens", link.listens()}});
        } else {
            return;
        }
        logged_at_ = now;
    }

    Link* free_link() {
        for (const auto& link : links_) {
            if (!link->listens() && link->is_free()) return link.get();
        }
        return nullptr;
    }

    void feed() {
        while (!queue_.empty()) {
            Link* free = free_link();
            if (free == nullptr) return;
            std::unique_ptr<Job> job = std::move(queue_.front());
            queue_.pop_front();
            free->run(std::move(job));
        }
        queue_alarm_.disarm();
    }

    void on_queue_alarm() {
        const Millis now = loop_.now();
        // An absence of our own does not count: no connection could have become free meanwhile.
        if (now - queue_alarm_.deadline() >= options_.probe_interval / 2) {
            for (const auto& job : queue_) job->deadline = now + options_.silence;
        }
        while (!queue_.empty() && queue_.front()->deadline <= now) {
            const std::unique_ptr<Job> job = std::move(queue_.front());
            queue_.pop_front();
            on_answer(
                *job,
                fail(Errc::unavailable, "cannot run " + job->statement->name + ": no connection was free within " +
                                            std::to_string(options_.silence) + " ms"),
                true);
        }
        if (!queue_.empty()) loop_.timers().arm(queue_alarm_, queue_.front()->deadline);
    }

    void on_rejection() {
        for (auto rejected = std::exchange(rejected_, {}); auto& [job, error] : rejected) {
            on_answer(*job, tl::unexpected<Error>(std::move(error)), false);
        }
    }

    const std::string echo_channel_ = random_channel();
    const PoolOptions options_;
    const Target target_;
    net::Loop& loop_;
    Pool::Owner& owner_;
    Names names_;
    Shared shared_;
    std::map<std::string, Statement, std::less<>> statements_;
    std::vector<std::unique_ptr<Link>> links_;  // the one that listens is the last
    std::deque<std::unique_ptr<Job>> queue_;    // in the order asked, which is that of their deadlines
    std::vector<std::pair<std::unique_ptr<Job>, Error>> rejected_;  // told in the next turn
    Alarm<LinkPool> queue_alarm_{*this, &LinkPool::on_queue_alarm};
    Alarm<LinkPool> rejection_{*this, &LinkPool::on_rejection};
    Alarm<LinkPool> echo_alarm_{*this, &LinkPool::on_echo_alarm};
    Alarm<LinkPool> check_alarm_{*this, &LinkPool::check_statements};
    Alarm<LinkPool> check_next_{*this, &LinkPool::on_check_next};
    std::string checked_;  // the last
    bool is_checking_ = false;
    std::map<std::string, std::string, std::less<>> troubles_;  // by statement
    std::uint64_t echoes_ = 0;                                  // sent
    std::uint64_t heard_ = 0;                                   // the last that came
    bool waits_for_echo_ = false;
    bool is_listening_ = false;
    bool has_lost_echo_ = false;
    bool is_started_ = false;
    bool is_up_ = false;
    bool has_failed_ = false;  // since it was up last
    std::string trouble_ = "no connection to the database yet";
    std::optional<Millis> logged_at_;
    Stats stats_;
};

}  // namespace

Result<std::unique_ptr<Pool>> Pool::create(net::Loop& loop, PoolOptions options, Owner& owner) {
    for (const std::string& channel : options.channels) {
        if (channel.empty() || channel.size() > 63 || channel.find('\0') != std::string::npos) {
            return fail(Errc::config,
                        "cannot listen to a channel: its name is empty, longer than 63 bytes, or holds a NUL");
        }
    }
    auto target = Target::parse(options.url, options.application_name);
    if (!target) return tl::unexpected<Error>(std::move(target.error()));
    return std::make_unique<LinkPool>(loop, std::move(options), std::move(*target), owner);
}

}  // namespace sio::pg
