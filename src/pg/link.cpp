#include "pg/link.h"

#include <libpq-fe.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "pg/text.h"

namespace sio::pg {

namespace {

constexpr Millis tls_poll_interval = 5;
constexpr int max_reads_a_turn = 64;  // of notifications; the rest comes in the next turn
constexpr std::string_view no_state;  // an error that libpq made itself

/// Whether an error says that the same query may well succeed later.
bool is_passing(std::string_view state) noexcept {
    if (state == no_state || state == "55P03" || state == "26000") return true;
    const std::string_view group = state.substr(0, 2);
    // Connection, transaction (serialization, deadlock), resources, operator, system.
    return group == "08" || group == "40" || group == "53" || group == "57" || group == "58";
}

/// A table, a column, a function, a schema or a right is missing.
bool is_lacking(std::string_view state) noexcept {
    return state == "42501" || state == "42P01" || state == "42703" || state == "42883" || state == "3F000";
}

}  // namespace

// --- Rows -----------------------------------------------------------------------------------------------------------

/// Rows as they come one by one, so that what is too much is noticed before it is kept.
struct Link::Answer final : Rows {
    [[nodiscard]] std::size_t size() const override { return rows.size(); }
    [[nodiscard]] std::size_t columns() const override {
        const pg_result* any = rows.empty() ? last.get() : rows.front().get();
        return any == nullptr ? 0 : static_cast<std::size_t>(PQnfields(any));
    }
    [[nodiscard]] std::optional<std::string_view> at(std::size_t row, std::size_t column) const override {
        if (row >= rows.size() || column >= columns()) return std::nullopt;
        const pg_result* one = rows[row].get();
        const int field = static_cast<int>(column);
        if (PQgetisnull(one, 0, field) != 0) return std::nullopt;
        return std::string_view(PQgetvalue(one, 0, field), static_cast<std::size_t>(PQgetlength(one, 0, field)));
    }

    std::vector<ResultPtr> rows;
    ResultPtr last;  // ends the rows, and has none
    std::size_t bytes = 0;
    bool is_too_large = false;
};

void Link::FreeResult::operator()(pg_result* result) const noexcept { PQclear(result); }

// --- Life -----------------------------------------------------------------------------------------------------------

Link::Link(Shared& shared, Owner& owner, bool listens)
    : shared_(shared), owner_(owner), listens_(listens), random_(reinterpret_cast<std::uintptr_t>(this)) {
    static_cast<void>(!::getrandom(&random_, sizeof random_, GRND_NONBLOCK));
}

Link::~Link() { close(); }

void Link::wake() {
    if (stage_ != Stage::dormant) return;
    stage_ = Stage::waiting;
    shared_.loop.timers().arm(alarm_, shared_.loop.now());
}

void Link::wake_later() {
    if (stage_ != Stage::dormant) return;
    stage_ = Stage::waiting;
    const PoolOptions& options = shared_.options;
    const unsigned doublings = std::min(failed_attempts_++, 16U);
    const Millis pause =
        std::clamp<Millis>(options.backoff_min << doublings, 1, std::max<Millis>(options.backoff_max, 1));
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;
    const auto less = static_cast<Millis>((random_ >> 33U) % static_cast<std::uint64_t>(pause / 2 + 1));
    shared_.loop.timers().arm(alarm_, shared_.loop.now() + pause - less);
}

void Link::on_alarm() {
    if (!doom_.empty()) return lose(std::exchange(doom_, {}));
    if (stage_ != Stage::waiting && stage_ != Stage::open && was_away()) {
        return shared_.loop.timers().arm(alarm_, shared_.loop.now() + shared_.options.connect_timeout);
    }
    const std::string limit = std::to_string(shared_.options.connect_timeout) + " ms";
    switch (stage_) {
        case Stage::dormant: return;
        case Stage::waiting: return attempt();
        case Stage::resolving:
            if (shared_.names.has_any()) return connect();
            return lose("cannot resolve " + shared_.target.to_string() + ": no answer within " + limit);
        case Stage::connecting:
        case Stage::setting_up:
            // Addresses of which the first keeps silent would never get to the second.
            ++shared_.first;
            return lose("cannot connect to " + shared_.target.to_string() + ": no answer within " + limit);
        case Stage::open: return watch_silence();
    }
}

void Link::close() noexcept {
    if (fd_ >= 0) shared_.loop.unwatch(fd_, *this);
    fd_ = -1;
    watched_ = 0;
    failure_.reset();
    answer_.reset();
    // Sends its farewell only when the socket takes it at once.
    if (conn_ != nullptr) PQfinish(std::exchange(conn_, nullptr));
    step_ = Step::none;
    prepared_.clear();
    doom_.clear();
    parting_.clear();
    again_.disarm();
}

void Link::lose(std::string reason) {
    const bool was_open = stage_ == Stage::open;
    reason = shown(std::move(reason));
    close();
    alarm_.disarm();
    stage_ = Stage::dormant;
    if (was_open && shared_.loop.now() - up_at_ > shared_.options.backoff_max) failed_attempts_ = 0;
    owner_.on_lost(*this, was_open, std::move(reason), std::move(job_));
}

void Link::doom(std::string reason) {
    if (doom_.empty()) doom_ = reason.empty() ? "lost the database" : std::move(reason);
    shared_.loop.timers().arm(alarm_, shared_.loop.now());
}

std::string Link::shown(std::string text) const { return shared_.target.without_secrets(std::move(text)); }

std::string Link::libpq_says() const {
    std::string text = first_line(PQerrorMessage(conn_));
    return text.empty() ? "lost " + shared_.target.to_string() : text;
}

std::string Link::server_version() const {
    const char* version = conn_ == nullptr ? nullptr : PQparameterStatus(conn_, "server_version");
    const std::string text = first_line(version);
    return text.substr(0, text.find(' '));
}

// --- Connecting -----------------------------------------------------------------------------------------------------

void Link::watch(std::uint32_t events) {
    const int fd = PQsocket(conn_);
    // While it connects libpq may close its socket and open another, maybe under the same number; what is closed is
    // watched no more. So the loop is told each time.
    if (stage_ == Stage::open && fd == fd_ && events == watched_) return;
    fd_ = fd;
    watched_ = events;
    if (auto watched = shared_.loop.watch_level(fd, *this, events); !watched) {
        fd_ = -1;
        doom("cannot connect to " + shared_.target.to_string() + ": " + watched.error().what);
    }
}

void Link::attempt() {
    began_at_ = shared_.loop.now();
    shared_.loop.timers().arm(alarm_, began_at_ + shared_.options.connect_timeout);
    stage_ = Stage::resolving;
    if (shared_.names.ask()) connect();
}

void Link::on_names() {
    if (stage_ == Stage::resolving) connect();
}

void Link::connect() {
    const auto words = shared_.target.words(shared_.names, shared_.first);
    if (!words) return lose(words.error().what);
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : *words) {
        keywords.push_back(keyword.c_str());
        values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    stage_ = Stage::connecting;
    shared_.loop.timers().arm(alarm_, shared_.loop.now() + shared_.options.connect_timeout);
    conn_ = PQconnectStartParams(keywords.data(), values.data(), 0);
    if (conn_ == nullptr) return lose("cannot connect to " + shared_.target.to_string() + ": out of memory");
    PQsetNoticeReceiver(conn_, &Link::on_notice, this);
    if (PQstatus(conn_) == CONNECTION_BAD) return lose(libpq_says());
    watch(EPOLLOUT);
}

void Link::go_on_connecting() {
    switch (PQconnectPoll(conn_)) {
        case PGRES_POLLING_READING: return watch(EPOLLIN);
        case PGRES_POLLING_WRITING: return watch(EPOLLOUT);
        case PGRES_POLLING_OK: return set_up();
        default: break;
    }
    // libpq has closed its socket by now, and with it the watch.
    if (PQsocket(conn_) < 0) fd_ = -1;
    lose(libpq_says());
}

void Link::set_up() {
    stage_ = Stage::setting_up;
    if (PQsetnonblocking(conn_, 1) != 0) return lose(libpq_says());
    heard_at_ = shared_.loop.now();
    ask(Step::set_up, listens_ ? shared_.set_up + shared_.listen : shared_.set_up);
}

// --- Asking ---------------------------------------------------------------------------------------------------------

/// What was asked goes out; whether libpq took it.
void Link::asked(Step step, bool was_taken) {
    if (!was_taken) return doom(libpq_says());
    step_ = step;
    is_heard_ = false;
    failure_.reset();
    asked_at_ = shared_.loop.now();
    flush();
    if (stage_ == Stage::open) arm_alarm();
}

void Link::flush() {
    const int left = PQflush(conn_);
    if (left < 0) return doom(libpq_says());
    watch(left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void Link::ask(Step step, const std::string& sql) { asked(step, PQsendQuery(conn_, sql.c_str()) == 1); }

void Link::probe() { ask(Step::probe, "SELECT 1"); }

void Link::run(std::unique_ptr<Job> job) {
    job_ = std::move(job);
    const std::size_t index = job_->statement->index;
    if (prepared_.size() <= index) prepared_.resize(index + 1, false);
    if (!prepared_[index]) return prepare();
    if (job_->is_check) return explain();
    execute();
}

void Link::deallocate() { ask(Step::deallocate, "DEALLOCATE " + quote_name(job_->statement->server_name)); }

void Link::prepare() {
    const Statement& statement = *job_->statement;
    asked(Step::prepare, PQsendPrepare(conn_, statement.server_name.c_str(), statement.sql.c_str(),
                                       statement.parameters, nullptr) == 1);
}

/// Plans it: tables and rights are looked at, and nothing is run.
void Link::explain() {
    std::string sql = "EXPLAIN EXECUTE " + quote_name(job_->statement->server_name);
    for (int i = 0; i < job_->statement->parameters; ++i) sql += i == 0 ? "(NULL" : ", NULL";
    if (job_->statement->parameters > 0) sql += ')';
    ask(Step::explain, sql);
}

void Link::execute() {
    std::vector<const char*> values;
    values.reserve(job_->parameters.size());
    for (const auto& parameter : job_->parameters) values.push_back(parameter ? parameter->c_str() : nullptr);
    const bool was_taken =
        PQsendQueryPrepared(conn_, job_->statement->server_name.c_str(), static_cast<int>(values.size()), values.data(),
                            nullptr, nullptr, 0) == 1 &&
        PQsetSingleRowMode(conn_) == 1;
    answer_ = std::make_unique<Answer>();
    asked(Step::execute, was_taken);
}

// --- Silence --------------------------------------------------------------------------------------------------------

Millis Link::silence_ends() const noexcept {
    const PoolOptions& options = shared_.options;
    // A probe is sent after an interval of silence, which counts.
    const Millis patience = step_ == Step::probe
                                ? std::max(options.silence - options.probe_interval, options.silence / 2)
                                : options.silence;
    return asked_at_ + patience;
}

void Link::arm_alarm() {
    if (!doom_.empty()) return;
    Millis due = heard_at_ + shared_.options.probe_interval;
    if (step_ != Step::none) due = silence_ends();
    if (job_ && job_->done) due = std::min(due, job_->deadline);
    shared_.loop.timers().arm(alarm_, due);
}

/// Whether the alarm rings late, because the whole program stood still.
bool Link::was_away() const noexcept {
    return shared_.loop.now() - alarm_.deadline() >= shared_.options.probe_interval / 2;
}

void Link::watch_silence() {
    // Not the time of the alarm: after an absence of ours the wheel goes through all that was due, one by one.
    const Millis now = shared_.loop.now();
    if (step_ != Step::none) {
        // What has come counts, and so does an absence of our own: an answer could not have been seen meanwhile.
        const bool we_were_away = was_away();
        read();
        if (stage_ != Stage::open || !doom_.empty()) return;
        if (we_were_away && step_ != Step::none) {
            asked_at_ = now;
            if (job_) job_->deadline = now + shared_.options.silence;
        }
    }
    if (job_ && job_->done && now >= job_->deadline) {
        // The connection has its own time: it may have got the query late.
        owner_.on_answer(*job_,
                         fail(Errc::unavailable, "cannot run " + job_->statement->name + ": no answer within " +
                                                     std::to_string(shared_.options.silence) + " ms"),
                         true);
    }
    if (step_ != Step::none && now >= silence_ends()) {
        return lose("no answer from " + shared_.target.to_string() + " for " + std::to_string(now - asked_at_) + " ms");
    }
    if (step_ == Step::none && now >= heard_at_ + shared_.options.probe_interval) return probe();
    arm_alarm();
}

// --- Answers --------------------------------------------------------------------------------------------------------

void Link::on_notice(void* self, const pg_result* notice) noexcept {
    const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == nullptr || std::string_view(severity) != "FATAL") return;
    static_cast<Link*>(self)->parting_ = first_line(PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
}

void Link::on_ready(std::uint32_t events) {
    if (stage_ == Stage::connecting) return go_on_connecting();
    if (stage_ != Stage::setting_up && stage_ != Stage::open) return;
    if ((events & ~std::uint32_t{EPOLLOUT}) != 0) {
        heard_at_ = shared_.loop.now();
        is_heard_ = true;
        read();
        if (stage_ != Stage::setting_up && stage_ != Stage::open) return;
    }
    // libpq wants to be asked after each reading, too.
    if ((watched_ & EPOLLOUT) != 0 && doom_.empty()) flush();
}

void Link::on_again() {
    if (stage_ == Stage::open && doom_.empty()) read();
}

void Link::read() {
    const bool was_well = PQconsumeInput(conn_) == 1;
    take_notifications();
    while (step_ != Step::none && PQisBusy(conn_) == 0) {
        ResultPtr result{PQgetResult(conn_)};
        if (!result) {
            end_step();
            if (conn_ == nullptr || !doom_.empty()) return;
        } else if (!take(std::move(result))) {
            return;
        }
    }
    if (!was_well || PQstatus(conn_) == CONNECTION_BAD) return lose(last_words());
    if (stage_ == Stage::open && !alarm_.is_armed()) arm_alarm();
    // What TLS has deciphered and libpq has had no room for makes no event.
    if (is_heard_ && PQisBusy(conn_) != 0 && PQsslInUse(conn_) != 0) {
        shared_.loop.timers().arm(again_, shared_.loop.now() + tls_poll_interval);
    }
}

void Link::take_notifications() {
    for (int reads = 0; reads < max_reads_a_turn; ++reads) {
        bool any = false;
        while (PGnotify* one = PQnotifies(conn_)) {
            any = true;
            owner_.on_notification(*this, one->relname, one->extra == nullptr ? "" : one->extra);
            PQfreemem(one);
        }
        // See read(): only a reading that brings nothing says that there is nothing.
        if (!any || PQconsumeInput(conn_) != 1) return;
    }
    shared_.loop.timers().arm(again_, shared_.loop.now());
}

/// One result of the step; false when the connection is gone.
bool Link::take(ResultPtr result) {
    switch (PQresultStatus(result.get())) {
        case PGRES_SINGLE_TUPLE:
            if (!answer_ || answer_->is_too_large) return true;
            answer_->bytes += PQresultMemorySize(result.get());
            if (answer_->rows.size() < Pool::max_rows && answer_->bytes <= Pool::max_answer_bytes) {
                answer_->rows.push_back(std::move(result));
            } else {
                // The rest is read and forgotten.
                answer_->is_too_large = true;
                answer_->rows.clear();
            }
            return true;
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK:
        case PGRES_EMPTY_QUERY:
            if (answer_ && step_ == Step::execute) answer_->last = std::move(result);
            return true;
        case PGRES_COPY_OUT:
        case PGRES_COPY_IN:
        case PGRES_COPY_BOTH: {
            // No way back from there but a new connection.
            const std::string what = "cannot run " + (job_ ? job_->statement->name : "a statement") + ": it is a COPY";
            if (job_ && job_->done) owner_.on_answer(*job_, fail(Errc::malformed, what), false);
            lose(what);
            return false;
        }
        default: break;
    }
    if (failure_) return true;
    failure_.emplace();
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    failure_->state = state == nullptr ? no_state : state;
    failure_->text = first_line(PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY));
    if (failure_->text.empty()) failure_->text = first_line(PQresultErrorMessage(result.get()));
    const char* severity = PQresultErrorField(result.get(), PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity != nullptr && std::string_view(severity) == "FATAL") parting_ = failure_->text;
    return true;
}

void Link::end_step() {
    const bool is_good = !failure_;
    const std::string state = failure_ ? failure_->state : std::string();
    switch (std::exchange(step_, Step::none)) {
        case Step::none: return;
        case Step::set_up:
            if (!is_good) return lose("cannot set up a connection to the database: " + failure_->text);
            stage_ = Stage::open;
            up_at_ = shared_.loop.now();
            arm_alarm();
            return owner_.on_open(*this);
        case Step::probe:
            if (!is_good) return lose("cannot probe the database: " + failure_->text);
            arm_alarm();
            return owner_.on_free(*this);
        case Step::deallocate: return prepare();
        case Step::prepare:
            // Prepared by somebody else: behind a pooler. The name holds a digest of the statement.
            if (!is_good && state != "42P05") return finish();
            prepared_[job_->statement->index] = true;
            failure_.reset();
            if (!job_->done) return finish();
            if (job_->is_check) return explain();
            return execute();
        case Step::explain:
            // What is no query, or was prepared on another connection of a pooler, cannot be looked at so.
            if (!is_good && !is_lacking(state)) failure_.reset();
            answer_ = std::make_unique<Answer>();
            return finish();
        case Step::execute:
            // Forgotten by the server (a pooler, DEALLOCATE ALL), or a table of it has changed.
            if ((state == "26000" || state == "0A000") && !job_->was_prepared_anew && job_->done) {
                job_->was_prepared_anew = true;
                prepared_[job_->statement->index] = false;
                return state == "26000" ? prepare() : deallocate();
            }
            return finish();
    }
}

/// Answers the job, and is free.
void Link::finish() {
    const std::unique_ptr<Job> job = std::move(job_);
    const std::unique_ptr<Answer> answer = std::move(answer_);
    const std::optional<Failure> failure = std::exchange(failure_, std::nullopt);
    arm_alarm();
    if (job->done) {
        if (failure) {
            Error error = error_of(*failure);
            // PostgreSQL quotes what it could not read, and that may be a token.
            for (const auto& parameter : job->parameters) {
                if (parameter) error.what = hide(std::move(error.what), *parameter);
            }
            error.what = "cannot run " + job->statement->name + ": " + error.what;
            owner_.on_answer(*job, tl::unexpected<Error>(std::move(error)), false);
        } else if (answer->is_too_large) {
            owner_.on_answer(*job,
                             fail(Errc::malformed, "cannot run " + job->statement->name +
                                                       ": its answer is larger than " + std::to_string(Pool::max_rows) +
                                                       " rows or " + std::to_string(Pool::max_answer_bytes) + " bytes"),
                             false);
        } else {
            owner_.on_answer(*job, answer.get(), false);
        }
    }
    owner_.on_free(*this);
}

Error Link::error_of(const Failure& failure) const {
    Errc code = Errc::malformed;
    if (is_passing(failure.state)) code = Errc::unavailable;
    if (failure.state == "42501") code = Errc::denied;
    std::string text = shown(failure.text);
    if (failure.state != no_state) text += " (SQLSTATE " + failure.state + ")";
    return {code, std::move(text)};
}

/// Why the server has gone, in its own words where it said some.
std::string Link::last_words() {
    std::string words = std::move(parting_);
    return words.empty() ? libpq_says() : shared_.target.to_string() + " says: " + words;
}

}  // namespace sio::pg
