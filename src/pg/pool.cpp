#include "pg/pool.h"

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

constexpr Millis log_interval = 30'000;        // between lines about what stays as it is
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
        ++stats_.queries;
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
    [[nodiscard]] const std::string& trouble() const override { return trouble_; }
    [[nodiscard]] Stats stats() const override {
        Stats stats = stats_;
        stats.queued = queue_.size();
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
        if (link.listens()) {
            log::info("pg", "database_listening", {{"database", target_.to_string()}});
            return owner_.on_listening();
        }
        const bool was_up = std::exchange(is_up_, true);
        if (!was_up) {
            trouble_.clear();
            has_failed_ = false;
            for (const auto& other : links_) other->wake();
            const std::string why = "connected to PostgreSQL " + link.server_version() + " at " + target_.to_string();
            log::info("pg", "database_up", {{"database", target_.to_string()}, {"version", link.server_version()}});
            logged_at_.reset();
            owner_.on_database(true, why);
        }
        feed();
    }

    void on_free(Link&) override { feed(); }

    void on_lost(Link& link, bool was_open, std::string reason, std::unique_ptr<Job> job) override {
        const bool was_up = is_up_;
        if (!link.listens()) {
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
        if (!answer) ++stats_.failures;
        if (is_timeout) ++stats_.timeouts;
        const Done done = std::exchange(job.done, nullptr);
        if (done) done(std::move(answer));
    }

    void on_notification(std::string_view channel, std::string_view payload) override {
        owner_.on_notification(channel, payload);
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
