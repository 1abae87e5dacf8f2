// One connection of a pool: connects, prepares what it is given when it is given it, runs one statement at a time, asks
// an idle server whether it lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/timer_wheel.h"
#include "net/loop.h"
#include "pg/pool.h"
#include "pg/target.h"

// libpq's, so that its header stays in our .cpp files.
struct pg_conn;
struct pg_result;

namespace sio::pg {

/// A timer that calls one member.
template <typename T>
struct Alarm final : base::Timer {
    Alarm(T& of, void (T::*what)()) : object(of), call(what) {}
    void expire(Millis) override { (object.*call)(); }
    T& object;
    void (T::*call)();
};

struct Statement {
    std::size_t index = 0;
    std::string name;         // as declared
    std::string server_name;  // holds a digest of the statement: no other statement is prepared under this name
    std::string sql;
    int parameters = 0;
};

/// A query on its way. `done` is empty when it has been answered.
struct Job {
    const Statement* statement = nullptr;
    std::vector<std::optional<std::string>> parameters;
    Pool::Done done;
    Millis deadline = 0;
    bool was_prepared_anew = false;
    bool is_check = false;  // whether it could run: it is prepared and planned, and not run
};

/// What all connections of a pool share. Outlives them.
struct Shared {
    net::Loop& loop;
    const PoolOptions& options;
    const Target& target;
    Names& names;
    std::string set_up;     // what is run first on each connection
    std::string listen;     // and after it on the one that listens
    std::size_t first = 0;  // of the target's addresses: see Target::words()
};

class Link final : net::Handler {
public:
    /// Nothing of it destroys the link.
    class Owner {
    public:
        virtual ~Owner() = default;
        /// Logged in and set up.
        virtual void on_open(Link& link) = 0;
        /// Free for the next job.
        virtual void on_free(Link& link) = 0;
        /// Lost, or an attempt that failed; dormant now. `job`: what was open, may be null.
        virtual void on_lost(Link& link, bool was_open, std::string reason, std::unique_ptr<Job> job) = 0;
        /// The end of a job, in time or (an error that `is_timeout`) not. `done` is called here.
        virtual void on_answer(Job& job, Result<const Rows*> answer, bool is_timeout) = 0;
        virtual void on_notification(Link& link, std::string_view channel, std::string_view payload) = 0;
    };

    Link(Shared& shared, Owner& owner, bool listens);
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;
    /// Closes without a callback.
    ~Link() override;

    /// Begins an attempt, from the next turn on; nothing when it is not dormant.
    void wake();
    /// As wake(), after a pause that grows with each failure.
    void wake_later();
    /// All names have their answers.
    void on_names();

    [[nodiscard]] bool is_dormant() const noexcept { return stage_ == Stage::dormant; }
    [[nodiscard]] bool is_open() const noexcept { return stage_ == Stage::open; }
    [[nodiscard]] bool is_free() const noexcept { return is_open() && step_ == Step::none && doom_.empty(); }
    [[nodiscard]] bool has_job() const noexcept { return job_ != nullptr; }
    [[nodiscard]] bool listens() const noexcept { return listens_; }
    /// As the server told it, for instance "15.4"; empty while it is not open.
    [[nodiscard]] std::string server_version() const;

    /// Runs a job; only when it is free. Whatever fails is told in the next turn.
    void run(std::unique_ptr<Job> job);

private:
    enum class Stage : std::uint8_t { dormant, waiting, resolving, connecting, setting_up, open };
    /// What the server has been asked.
    enum class Step : std::uint8_t { none, set_up, probe, deallocate, prepare, explain, execute };
    struct Failure {
        std::string state;  // SQLSTATE
        std::string text;
    };
    struct FreeResult {
        void operator()(pg_result* result) const noexcept;
    };
    using ResultPtr = std::unique_ptr<pg_result, FreeResult>;
    struct Answer;

    static void on_notice(void* self, const pg_result* notice) noexcept;
    void on_ready(std::uint32_t events) override;
    void on_alarm();
    void on_again();

    void attempt();
    void connect();
    void go_on_connecting();
    void set_up();
    void watch(std::uint32_t events);

    void ask(Step step, const std::string& sql);
    void probe();
    void deallocate();
    void prepare();
    void explain();
    void execute();
    void flush();
    void asked(Step step, bool was_taken);
    void doom(std::string reason);

    void read();
    void take_notifications();
    bool take(ResultPtr result);
    void end_step();
    void finish();
    void watch_silence();
    void arm_alarm();
    [[nodiscard]] Millis silence_ends() const noexcept;
    [[nodiscard]] bool was_away() const noexcept;

    void close() noexcept;
    void lose(std::string reason);
    [[nodiscard]] std::string libpq_says() const;
    [[nodiscard]] std::string last_words();
    [[nodiscard]] std::string shown(std::string text) const;
    [[nodiscard]] Error error_of(const Failure& failure) const;

    Shared& shared_;
    Owner& owner_;
    const bool listens_;
    Stage stage_ = Stage::dormant;
    Step step_ = Step::none;

    pg_conn* conn_ = nullptr;
    int fd_ = -1;  // the one that is watched; libpq's
    std::uint32_t watched_ = 0;
    bool is_heard_ = false;       // since the step was asked
    std::vector<bool> prepared_;  // by Statement::index

    std::unique_ptr<Job> job_;
    std::unique_ptr<Answer> answer_;  // of the job, as it comes
    std::optional<Failure> failure_;  // of the step
    std::string doom_;                // why it is to be lost in the next turn
    std::string parting_;             // what the server said when it ended the connection

    Alarm<Link> alarm_{*this, &Link::on_alarm};  // the next attempt, the end of its time, the watch over silence
    Alarm<Link> again_{*this, &Link::on_again};  // see read()
    Millis began_at_ = 0;                        // this attempt
    Millis up_at_ = 0;
    Millis heard_at_ = 0;
    Millis asked_at_ = 0;  // this step
    unsigned failed_attempts_ = 0;
    std::uint64_t random_;
};

}  // namespace sio::pg
