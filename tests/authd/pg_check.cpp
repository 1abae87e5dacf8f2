// src/pg against a real PostgreSQL on a Unix socket, TCP and TLS, started in a temporary folder and stopped by its
// process number. As root it runs as the user `postgres`, for PostgreSQL refuses root.
//
// usage: pg-check [PART-OF-A-NAME]
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/unique_fd.h"
#include "net/loop.h"
#include "pg/pool.h"

namespace {

using namespace sio;
using namespace sio::pg;

int passed = 0;
int failed = 0;
bool this_failed = false;
std::string folder;

#define CHECK(claim) check((claim), #claim, __LINE__)
#define CHECK_TEXT(text, part) check_text((text), (part), __LINE__)

bool check(bool holds, const char* claim, int line) {
    if (holds) return true;
    this_failed = true;
    std::printf("    line %d: this does not hold: %s\n", line, claim);
    return false;
}

void check_text(const std::string& text, std::string_view part, int line) {
    if (text.find(part) != std::string::npos) return;
    this_failed = true;
    std::printf("    line %d: \"%s\" does not hold \"%.*s\"\n", line, text.c_str(), static_cast<int>(part.size()),
                part.data());
}

Millis now_ms() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return Millis{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

void sleep_ms(long ms) {
    const timespec t{ms / 1000, ms % 1000 * 1'000'000};
    nanosleep(&t, nullptr);
}

// --- Programs -------------------------------------------------------------------------------------------------------

std::string log_path() { return folder + "/log"; }

pid_t spawn(std::vector<std::string> args, const std::string& output) {
    std::vector<char*> pointers;
    pointers.reserve(args.size() + 1);
    for (std::string& arg : args) pointers.push_back(arg.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid = -1;
    if (posix_spawnp(&pid, pointers[0], &actions, nullptr, pointers.data(), environ) != 0) pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

bool run(std::vector<std::string> args) {
    const pid_t pid = spawn(std::move(args), log_path());
    int status = -1;
    if (pid > 0) waitpid(pid, &status, 0);
    return status == 0;
}

int free_port() {
    const base::UniqueFd fd{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

/// A port that takes connections and never answers.
class Mute {
public:
    Mute() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd_.get(), 16) != 0) return;
        getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    [[nodiscard]] std::string port() const { return std::to_string(port_); }

private:
    base::UniqueFd fd_;
    int port_ = 0;
};

// --- PostgreSQL -----------------------------------------------------------------------------------------------------

/// One server for all checks: its folder of data is made once.
class Postgres {
public:
    /// Why it cannot be had; empty when it runs.
    std::string begin() {
        glob_t found{};
        glob("/usr/lib/postgresql/*/bin/postgres", 0, nullptr, &found);
        if (found.gl_pathc > 0) bin_ = found.gl_pathv[found.gl_pathc - 1];
        globfree(&found);
        if (bin_.empty()) {
            return "PostgreSQL is not installed: there is no /usr/lib/postgresql/*/bin/postgres (Debian: postgresql)";
        }
        bin_.resize(bin_.rfind('/') + 1);
        // Whatever becomes of this program, the server goes with it.
        as_server_ = {"setpriv", "--pdeathsig", "QUIT"};
        if (geteuid() == 0) {
            const passwd* user = getpwnam("postgres");
            if (user == nullptr) return "PostgreSQL cannot run as root, and there is no user named postgres";
            uid_ = user->pw_uid;
            as_server_.insert(as_server_.end(), {"--reuid", std::to_string(user->pw_uid), "--regid",
                                                 std::to_string(user->pw_gid), "--clear-groups"});
            if (chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0) return "cannot give the folder to postgres";
        }
        port_ = free_port();
        if (!make_certificates()) return "openssl cannot make certificates";
        if (!run(as_server(
                {"initdb", "-D", data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"}))) {
            return "initdb failed, see its words:\n" + words();
        }
        std::ofstream(data() + "/pg_hba.conf") << "local all all trust\n"
                                                  "host all with_password 127.0.0.1/32 scram-sha-256\n"
                                                  "host all all 127.0.0.1/32 trust\n";
        if (!start()) return "postgres does not start, see its words:\n" + words();
        return {};
    }

    bool start() {
        pid_ = spawn(as_server({"postgres",
                                "-D",
                                data(),
                                "-c",
                                "listen_addresses=127.0.0.1",
                                "-c",
                                "port=" + std::to_string(port_),
                                "-c",
                                "unix_socket_directories=" + folder,
                                "-c",
                                "fsync=off",
                                "-c",
                                "max_connections=40",
                                "-c",
                                "shared_buffers=16MB",
                                "-c",
                                "autovacuum=off",
                                "-c",
                                "ssl=on",
                                "-c",
                                "ssl_cert_file=" + folder + "/server.crt",
                                "-c",
                                "ssl_key_file=" + folder + "/server.key"}),
                     log_path());
        const Millis deadline = now_ms() + 20'000;
        while (now_ms() < deadline) {
            if (sql("SELECT 1")) return true;
            sleep_ms(20);
        }
        return false;
    }
    /// As an administrator does: fast, connections are ended.
    void stop() {
        if (pid_ <= 0) return;
        thaw();
        kill(pid_, SIGINT);
        for (const Millis deadline = now_ms() + 10'000; now_ms() < deadline; sleep_ms(5)) {
            if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
                pid_ = -1;
                return;
            }
        }
        kill(pid_, SIGQUIT);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
    /// SIGSTOP for all of its processes.
    void freeze() {
        kill(pid_, SIGSTOP);
        // It may be about to have another child.
        for (const Millis deadline = now_ms() + 1000; state_of(pid_).first != 'T' && now_ms() < deadline;) sleep_ms(1);
        frozen_ = children();
        for (const pid_t child : frozen_) kill(child, SIGSTOP);
    }
    void thaw() {
        for (const pid_t child : std::exchange(frozen_, {})) kill(child, SIGCONT);
        if (pid_ > 0) kill(pid_, SIGCONT);
    }

    /// By psql, as the superuser.
    [[nodiscard]] bool sql(const std::string& text) const {
        return run({bin_ + "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", folder, "-p", std::to_string(port_), "-U",
                    "postgres", "-d", "postgres", "-c", text});
    }

    [[nodiscard]] std::string port() const { return std::to_string(port_); }
    [[nodiscard]] std::string url(const std::string& user = "postgres") const {
        return "postgresql://" + user + "@/postgres?host=" + folder + "&port=" + port();
    }
    [[nodiscard]] std::string tcp_url(const std::string& host, const std::string& options,
                                      const std::string& user = "postgres") const {
        return "postgresql://" + user + "@" + host + ":" + port() + "/postgres?" + options;
    }

private:
    [[nodiscard]] std::string data() const { return folder + "/data"; }
    [[nodiscard]] std::vector<std::string> as_server(std::vector<std::string> args) const {
        std::vector<std::string> all = as_server_;
        all.push_back(bin_ + args[0]);
        all.insert(all.end(), args.begin() + 1, args.end());
        return all;
    }
    [[nodiscard]] static std::string words() {
        std::ifstream in(log_path());
        return {std::istreambuf_iterator<char>(in), {}};
    }
    bool make_certificates() const {
        const std::string base = folder + "/";
        const auto self_signed = [&](const std::string& name, const std::string& subject) {
            return run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=" + subject, "-addext", "subjectAltName=DNS:localhost", "-keyout",
                        base + name + ".key", "-out", base + name + ".crt"});
        };
        if (!self_signed("server", "localhost") || !self_signed("other", "localhost")) return false;
        if (uid_ != 0 && chown((base + "server.key").c_str(), uid_, static_cast<gid_t>(-1)) != 0) return false;
        return chmod((base + "server.key").c_str(), 0600) == 0 && chmod((base + "server.crt").c_str(), 0644) == 0;
    }
    /// The state of a process (`T`: stopped) and its parent.
    static std::pair<char, pid_t> state_of(pid_t pid) {
        std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
        std::string line;
        std::getline(in, line);
        char state = 0;
        int parent = 0;
        const std::size_t name_ends = line.rfind(')');
        if (name_ends != std::string::npos) std::sscanf(line.c_str() + name_ends + 1, " %c %d", &state, &parent);
        return {state, parent};
    }
    [[nodiscard]] std::vector<pid_t> children() const {
        std::vector<pid_t> pids;
        glob_t found{};
        glob("/proc/[0-9]*", 0, nullptr, &found);
        for (std::size_t i = 0; i < found.gl_pathc; ++i) {
            const pid_t pid = std::atoi(found.gl_pathv[i] + std::strlen("/proc/"));
            if (state_of(pid).second == pid_) pids.push_back(pid);
        }
        globfree(&found);
        return pids;
    }

    std::string bin_;
    std::vector<std::string> as_server_;
    uid_t uid_ = 0;
    int port_ = 0;
    pid_t pid_ = -1;
    std::vector<pid_t> frozen_;
};

Postgres server;

// --- The loop, and what a pool tells --------------------------------------------------------------------------------

struct Stage final : net::Loop::TurnEnd {
    Stage() : loop(std::move(*net::Loop::create())), tick(*this) { loop.add_turn_end(*this); }

    /// Runs the loop until `enough` or for `most` milliseconds; whether it was enough.
    bool until(const std::function<bool()>& enough, Millis most = 8000) {
        enough_ = &enough;
        deadline_ = now_ms() + most;
        loop.timers().arm(tick, loop.now());
        loop.run();
        tick.disarm();
        enough_ = nullptr;
        return enough();
    }
    void wait(Millis ms) {
        until([] { return false; }, ms);
    }
    bool end_turn() override {
        if (enough_ != nullptr && ((*enough_)() || now_ms() >= deadline_)) loop.stop();
        return false;
    }

    net::Loop loop;

private:
    struct Tick final : base::Timer {
        explicit Tick(Stage& of) : stage(of) {}
        void expire(Millis now) override { stage.loop.timers().arm(*this, now + 5); }
        Stage& stage;
    };
    Tick tick;
    const std::function<bool()>* enough_ = nullptr;
    Millis deadline_ = 0;
};

struct Seen final : Pool::Owner {
    void on_database(bool is_up, std::string_view why) override {
        ++(is_up ? ups : downs);
        last = why;
    }
    void on_listening() override { ++listenings; }
    void on_notification(std::string_view channel, std::string_view payload) override {
        notified.push_back(std::string(channel) + " " + std::string(payload));
    }
    int ups = 0;
    int downs = 0;
    int listenings = 0;
    std::string last;
    std::vector<std::string> notified;
};

/// What a query was answered.
struct Answer {
    int times = 0;
    std::optional<Errc> error;
    std::string what;
    std::vector<std::vector<std::string>> rows;  // NULL as "<null>"
    Millis at = 0;

    Pool::Done done() {
        return [this](Result<const Rows*> answer) {
            ++times;
            at = now_ms();
            error.reset();
            rows.clear();
            if (!answer) {
                error = answer.error().code;
                what = answer.error().what;
                return;
            }
            for (std::size_t i = 0; i < (*answer)->size(); ++i) {
                auto& row = rows.emplace_back();
                for (std::size_t j = 0; j < (*answer)->columns(); ++j) {
                    row.emplace_back((*answer)->at(i, j).value_or("<null>"));
                }
            }
        };
    }
    [[nodiscard]] bool is(Errc code) const { return times == 1 && error == code; }
    [[nodiscard]] std::string text() const {
        if (times != 1) return "answered " + std::to_string(times) + " times";
        if (error) return std::string(to_string(*error)) + ": " + what;
        std::string out;
        for (const auto& row : rows) {
            if (!out.empty()) out += '\n';
            for (std::size_t i = 0; i < row.size(); ++i) out += (i == 0 ? "" : "|") + row[i];
        }
        return out;
    }
};

using Parameters = std::vector<std::optional<std::string>>;

/// A stage with one pool on it.
struct Case {
    explicit Case(PoolOptions options, bool begins = true) {
        auto made = Pool::create(stage.loop, std::move(options), seen);
        if (!CHECK(made.has_value())) {
            std::printf("    %s\n", made.error().what.c_str());
            std::exit(1);
        }
        pool = std::move(*made);
        pool->declare("echo", "SELECT $1::text, $2::text", 2);
        pool->declare("number", "SELECT $1::int + 1", 1);
        pool->declare("sleep", "SELECT pg_sleep($1::float8)", 1);
        pool->declare("late_table", "SELECT v FROM late_table", 0);
        pool->declare("guarded", "SELECT v FROM guarded", 0);
        pool->declare("nonsense", "SELEKT 1", 0);
        pool->declare("forget", "DEALLOCATE ALL", 0);
        pool->declare("end_me", "SELECT pg_terminate_backend(pg_backend_pid())", 0);
        pool->declare("large", "SELECT n, repeat('x', 1000) FROM generate_series(1, $1::int) n", 1);
        pool->declare("settings",
                      "SELECT current_setting('statement_timeout'), current_setting('client_encoding'), "
                      "current_setting('application_name')",
                      0);
        pool->declare("copy", "COPY (SELECT 1) TO STDOUT", 0);
        pool->declare("notify", "SELECT pg_notify($1, $2)", 2);
        pool->declare("tls", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", 0);
        if (begins) pool->start();
    }
    bool up(Millis most = 8000) {
        return stage.until([this] { return pool->is_up(); }, most);
    }
    bool down(Millis most = 8000) {
        return stage.until([this] { return !pool->is_up() && seen.downs > 0; }, most);
    }
    /// No connection, and a reason for it.
    bool refused(Millis most = 8000) {
        return stage.until([this] { return pool->trouble() != "no connection to the database yet"; }, most) &&
               !pool->is_up();
    }
    void ask(std::string_view name, const Parameters& parameters, Answer& answer) {
        pool->query(name, parameters, answer.done());
        CHECK(answer.times == 0);
    }
    std::string ask(std::string_view name, const Parameters& parameters = {}) {
        Answer answer;
        ask(name, parameters, answer);
        stage.until([&] { return answer.times > 0; });
        return answer.text();
    }
    Stage stage;
    Seen seen;
    std::unique_ptr<Pool> pool;
};

PoolOptions options_for(std::string url, std::size_t connections = 4) {
    PoolOptions options;
    options.url = std::move(url);
    options.connections = connections;
    return options;
}

bool all_answered(const std::vector<Answer>& answers) {
    return std::all_of(answers.begin(), answers.end(), [](const Answer& one) { return one.times > 0; });
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// --- What must hold -------------------------------------------------------------------------------------------------

void null_and_text_come_back_as_they_went() {
    Case at{options_for(server.url())};
    Answer early;
    at.ask("echo", {"before the first connection", std::nullopt}, early);
    CHECK(at.up());
    CHECK(at.stage.until([&] { return early.times > 0; }));
    CHECK(early.text() == "before the first connection|<null>");
    CHECK(at.ask("echo", {"a 'b' \"c\" \\ é", ""}) == "a 'b' \"c\" \\ é|");
    CHECK(at.ask("number", {"41"}) == "42");
    CHECK(at.ask("settings") == "2s|UTF8|sio-authd");
    CHECK(at.seen.ups == 1 && at.seen.downs == 0 && at.pool->trouble().empty());
    CHECK_TEXT(at.seen.last, "connected to PostgreSQL ");
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4; }));
    CHECK(at.pool->stats().busy == 0 && at.pool->stats().queued == 0 && at.pool->stats().failures == 0);
}

void an_error_of_sql_fails_its_query_alone() {
    Case at{options_for(server.url(), 1)};
    CHECK(at.up());
    CHECK_TEXT(at.ask("late_table"), "malformed: cannot run late_table: relation \"late_table\" does not exist");
    CHECK_TEXT(at.ask("nonsense"), "malformed: cannot run nonsense: syntax error");
    CHECK(server.sql("CREATE TABLE late_table (v text); INSERT INTO late_table VALUES ('here')"));
    CHECK(at.ask("late_table") == "here");
    // A table that changes is not held against the statement that knew it before.
    CHECK(server.sql("ALTER TABLE late_table ALTER v TYPE varchar(9), ADD w int; UPDATE late_table SET v = 'there'"));
    CHECK(at.ask("late_table") == "there");
    CHECK(server.sql("DROP TABLE late_table"));
    CHECK_TEXT(at.ask("late_table"), "malformed:");
    // What a parameter holds may be a token, and is not repeated.
    const std::string wrong = at.ask("number", {"s3cret-token"});
    CHECK_TEXT(wrong, "malformed: cannot run number: invalid input syntax for type integer");
    CHECK(!has(wrong, "s3cret-token"));
    CHECK_TEXT(at.ask("echo", {"\xff\xfe", ""}), "malformed:");
    CHECK(at.ask("number", {"1"}) == "2");
    CHECK(at.pool->stats().connects == 1 && at.seen.downs == 0);
}

void what_is_no_query_is_refused_later() {
    Case at{options_for(server.url(), 1)};
    CHECK(at.up());
    CHECK_TEXT(at.ask("undeclared"), "malformed: cannot run undeclared: no such statement");
    CHECK_TEXT(at.ask("echo", {"one"}), "malformed: cannot run echo: it has 2 parameters");
    CHECK_TEXT(at.ask("echo", {std::string("a\0b", 3), ""}), "NUL");
    CHECK_TEXT(at.ask("echo", {std::string(Pool::max_parameter_bytes, 'x'), "y"}), "longer than");
    CHECK_TEXT(at.ask("large", {std::to_string(Pool::max_answer_bytes / 1000 + 100)}), "malformed: cannot run large");
    CHECK(at.pool->stats().connects == 1);
    CHECK_TEXT(at.ask("copy"), "malformed: cannot run copy: it is a COPY");
    CHECK(at.up());
    CHECK(at.ask("number", {"1"}) == "2");
    Case unstarted{options_for(server.url()), false};
    CHECK_TEXT(unstarted.ask("number", {"1"}), "unavailable");
}

void a_thousand_queries_share_four_connections() {
    Case at{options_for(server.url())};
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4; }));
    int answered = 0;
    int right = 0;
    std::size_t most_busy = 0;
    for (int i = 0; i < 1000; ++i) {
        const Parameters parameters{std::to_string(i)};
        at.pool->query("number", parameters, [&, i](Result<const Rows*> rows) {
            ++answered;
            most_busy = std::max(most_busy, at.pool->stats().busy);
            if (rows && (*rows)->size() == 1 && (*rows)->at(0, 0) == std::to_string(i + 1)) ++right;
        });
    }
    CHECK(at.pool->stats().queued == 996 && at.pool->stats().busy == 4);
    CHECK(at.stage.until([&] { return answered == 1000; }));
    at.stage.wait(20);
    CHECK(answered == 1000 && right == 1000 && most_busy >= 3);
    CHECK(at.pool->stats().queries == 1000 && at.pool->stats().failures == 0 && at.pool->stats().queued == 0);
    CHECK(at.pool->stats().connects == 4);
}

void an_answer_may_ask_the_next() {
    Case at{options_for(server.url(), 1)};
    int rounds = 0;
    std::function<void(Result<const Rows*>)> next = [&](Result<const Rows*> rows) {
        if (!CHECK(rows.has_value()) || ++rounds == 50) return;
        const Parameters parameters{std::string((*rows)->at(0, 0).value_or(""))};
        at.pool->query("number", parameters, next);
    };
    const Parameters first{"0"};
    at.pool->query("number", first, next);
    CHECK(at.stage.until([&] { return rounds == 50; }));
}

void a_full_queue_takes_no_query() {
    PoolOptions options = options_for(server.url(), 1);
    options.max_queued = 10;
    Case at{options};
    CHECK(at.up());
    Answer running;
    at.ask("sleep", {"0.3"}, running);
    std::vector<Answer> waiting(10);
    for (Answer& one : waiting) at.ask("number", {"1"}, one);
    Answer rejected;
    at.ask("number", {"1"}, rejected);
    const Millis begun = now_ms();
    CHECK(at.stage.until([&] { return rejected.times > 0; }));
    CHECK(now_ms() - begun < 100 && rejected.is(Errc::unavailable));
    CHECK_TEXT(rejected.what, "10 queries wait already");
    CHECK(at.stage.until([&] { return all_answered(waiting); }));
    for (const Answer& one : waiting) CHECK(one.text() == "2");
    CHECK(running.times == 1 && !running.error);
}

void a_query_that_waits_too_long_is_unavailable_and_the_connection_stays() {
    PoolOptions options = options_for(server.url(), 1);
    options.silence = 600;
    Case at{options};
    CHECK(at.up());
    Answer first;
    Answer second;
    Answer third;
    const Millis begun = now_ms();
    at.ask("sleep", {"0.4"}, first);
    at.ask("sleep", {"0.4"}, second);  // begins after 400 ms, with 200 left
    at.ask("sleep", {"0.4"}, third);   // never begins
    CHECK(at.stage.until([&] { return third.times > 0 && second.times > 0; }));
    CHECK(second.is(Errc::unavailable) && second.at - begun >= 590 && second.at - begun < 900);
    CHECK(third.is(Errc::unavailable) && third.at - begun >= 590 && third.at - begun < 900);
    CHECK(first.times == 1 && !first.error);
    at.stage.wait(400);
    CHECK(at.ask("number", {"1"}) == "2");
    CHECK(second.times == 1 && third.times == 1);
    CHECK(at.pool->stats().connects == 1 && at.pool->stats().timeouts == 2 && at.seen.downs == 0);
}

void a_slow_statement_costs_its_connection_and_no_other() {
    PoolOptions options = options_for(server.url(), 2);
    options.silence = 600;
    Case at{options};
    CHECK(at.stage.until([&] { return at.pool->stats().open == 2; }));
    Answer slow;
    const Millis begun = now_ms();
    at.ask("sleep", {"30"}, slow);
    for (int i = 0; i < 5; ++i) {
        CHECK(at.ask("number", {"1"}) == "2");
        at.stage.wait(50);
    }
    CHECK(at.stage.until([&] { return slow.times > 0; }));
    CHECK(slow.is(Errc::unavailable) && slow.at - begun >= 590 && slow.at - begun < 900);
    CHECK(at.stage.until([&] { return at.pool->stats().open == 2 && at.pool->stats().connects == 3; }));
    CHECK(at.seen.downs == 0);
    // The server gives it up by itself, a little later.
    at.stage.wait(800);
    CHECK(
        server.sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep($1%' AND "
                   "pid <> pg_backend_pid() AND state = 'active') = 0; END $$"));
}

void a_frozen_server_is_unavailable_in_time_and_comes_back() {
    PoolOptions options = options_for(server.url());
    options.channels = {"sio_check"};
    Case at{options};
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4 && at.seen.listenings == 1; }));
    CHECK(at.ask("number", {"1"}) == "2");
    server.freeze();
    const Millis begun = now_ms();
    std::vector<Answer> answers(100);
    for (Answer& one : answers) at.ask("number", {"1"}, one);
    CHECK(at.stage.until([&] { return all_answered(answers); }));
    CHECK(now_ms() - begun < 1650);
    for (const Answer& one : answers) CHECK(one.is(Errc::unavailable));
    CHECK(at.down());
    CHECK(now_ms() - begun < 2000 && at.seen.downs == 1);
    // From now on at once.
    Answer later;
    const Millis asked = now_ms();
    at.ask("number", {"1"}, later);
    CHECK(at.stage.until([&] { return later.times > 0; }));
    CHECK(later.is(Errc::unavailable) && now_ms() - asked < 50);
    CHECK_TEXT(later.what, "no answer from");
    at.stage.wait(2500);  // over an attempt that gets no answer
    CHECK(at.seen.downs == 1 && !at.pool->is_up());
    server.thaw();
    const Millis thawed = now_ms();
    CHECK(at.up());
    CHECK(now_ms() - thawed < 1500);
    CHECK(at.ask("number", {"1"}) == "2");
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4 && at.seen.listenings == 2; }));
    CHECK(at.seen.ups == 2 && at.seen.downs == 1);
    CHECK(at.stage.loop.longest_turn() < 500'000);  // microseconds: nothing has waited for the server
}

void an_idle_pool_notices_a_freeze_within_two_seconds() {
    Case at{options_for(server.url())};
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4; }));
    at.stage.wait(700);
    server.freeze();
    const Millis begun = now_ms();
    CHECK(at.down());
    CHECK(now_ms() - begun < 1900);
    server.thaw();
    CHECK(at.up());
}

void a_pause_of_our_own_is_no_loss() {
    Case at{options_for(server.url(), 2)};
    CHECK(at.stage.until([&] { return at.pool->stats().open == 2; }));
    std::vector<Answer> answers(20);
    for (Answer& one : answers) at.ask("number", {"1"}, one);
    sleep_ms(2500);
    CHECK(at.stage.until([&] { return all_answered(answers); }));
    for (const Answer& one : answers) CHECK_TEXT(one.text(), "2");
    at.stage.wait(300);
    CHECK(at.pool->stats().connects == 2 && at.seen.downs == 0);
    // Nor while it connects.
    Case connecting{options_for(server.url(), 1)};
    connecting.stage.wait(1);
    sleep_ms(2500);
    CHECK(connecting.up());
    CHECK(connecting.pool->trouble().empty() && connecting.pool->stats().connects == 1);
}

void a_stopped_server_is_named_and_its_statements_work_after_a_restart() {
    PoolOptions options = options_for(server.url());
    options.channels = {"sio_check", "Other channel"};
    Case at{options};
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4 && at.seen.listenings == 1; }));
    CHECK(at.ask("number", {"1"}) == "2");
    Answer open;
    at.ask("sleep", {"1"}, open);
    at.stage.wait(50);
    server.stop();
    CHECK(at.down(1000));
    CHECK(open.is(Errc::unavailable) && at.seen.downs == 1);
    CHECK_TEXT(at.seen.last, "terminating connection due to administrator command");
    CHECK(at.pool->trouble() == at.seen.last || has(at.pool->trouble(), "No such file"));
    at.stage.wait(300);
    CHECK_TEXT(at.ask("number", {"1"}), "unavailable: cannot run number: ");
    CHECK_TEXT(at.pool->trouble(), "No such file or directory");
    const auto connects = at.pool->stats().connects;
    CHECK(server.start());
    CHECK(at.up(2000));
    CHECK(at.ask("number", {"1"}) == "2");
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4 && at.seen.listenings == 2; }));
    CHECK(at.seen.ups == 2 && at.seen.downs == 1 && at.pool->stats().connects == connects + 5);
    CHECK(server.sql("NOTIFY \"Other channel\", 'again'"));
    CHECK(at.stage.until([&] { return at.seen.notified.size() == 1; }));
}

void a_notification_comes_at_once() {
    PoolOptions options = options_for(server.url(), 2);
    options.channels = {"sio_check", "with \"quotes\""};
    Case at{options};
    CHECK(at.stage.until([&] { return at.seen.listenings == 1 && at.pool->is_up(); }));
    at.stage.wait(200);
    for (const char* channel : {"sio_check", "with \"quotes\""}) {
        at.seen.notified.clear();
        Answer sent;
        at.ask("notify", {channel, "{\"user\":\"é\"}"}, sent);
        CHECK(at.stage.until([&] { return sent.times > 0; }));
        const Millis begun = now_ms();
        CHECK(at.stage.until([&] { return at.seen.notified.size() == 1; }));
        CHECK(now_ms() - begun < 100);
        CHECK(at.seen.notified.at(0) == std::string(channel) + " {\"user\":\"é\"}");
    }
    at.seen.notified.clear();
    for (int i = 0; i < 500; ++i) {
        const Parameters parameters{"sio_check", std::to_string(i) + std::string(200, '.')};
        at.pool->query("notify", parameters, [](const Result<const Rows*>&) {});
    }
    CHECK(at.stage.until([&] { return at.seen.notified.size() == 500; }));
    CHECK(at.seen.listenings == 1);
}

void a_right_that_is_revoked_is_denied() {
    CHECK(server.sql(
        "DROP TABLE IF EXISTS guarded; DROP ROLE IF EXISTS limited; CREATE TABLE guarded (v text); "
        "INSERT INTO guarded VALUES ('yes'); CREATE ROLE limited LOGIN; GRANT SELECT (v) ON guarded TO limited"));
    Case at{options_for(server.url("limited"), 1)};
    CHECK(at.up());
    CHECK(at.ask("guarded") == "yes");
    CHECK(server.sql("REVOKE SELECT (v) ON guarded FROM limited"));
    CHECK_TEXT(at.ask("guarded"), "denied: cannot run guarded: permission denied for table guarded (SQLSTATE 42501)");
    CHECK(server.sql("GRANT SELECT (v) ON guarded TO limited"));
    CHECK(at.ask("guarded") == "yes");
    CHECK(at.pool->stats().connects == 1);
}

void what_the_server_forgets_is_prepared_anew() {
    Case at{options_for(server.url(), 1)};
    CHECK(at.up());
    CHECK(at.ask("number", {"1"}) == "2");
    CHECK(at.ask("forget").empty());
    CHECK(at.ask("number", {"2"}) == "3");
    CHECK(at.pool->stats().connects == 1 && at.pool->stats().failures == 0);
    // A connection that is ended: its query is lost, the next has a new one.
    CHECK_TEXT(at.ask("end_me"), "unavailable: ");
    CHECK(at.seen.downs == 1);
    CHECK_TEXT(at.seen.last, "terminating connection due to administrator command");
    CHECK(at.up());
    CHECK(at.ask("number", {"3"}) == "4");
}

void names_and_several_hosts_lead_to_the_server() {
    {
        Case at{options_for(server.tcp_url("127.0.0.1", "sslmode=disable"))};
        CHECK(at.up());
        CHECK(at.ask("tls") == "f");
        server.freeze();
        CHECK(at.down(2000));
        server.thaw();
        CHECK(at.up());
    }
    {
        Case at{options_for(server.tcp_url("localhost", ""))};  // ::1 may be first, where nobody listens
        CHECK(at.up());
        CHECK(at.ask("number", {"1"}) == "2");
    }
    {
        Case at{options_for("postgresql://postgres@no-such-host.invalid:1,127.0.0.1:" + std::to_string(free_port()) +
                            ",localhost:" + server.port() + "/postgres")};
        CHECK(at.up());
    }
    {
        Case at{options_for("host=" + folder + " port=" + server.port() + " user=postgres dbname=postgres")};
        CHECK(at.up());
    }
    {
        setenv("PGHOST", folder.c_str(), 1);
        setenv("PGPORT", server.port().c_str(), 1);
        Case at{options_for("postgresql://postgres@/postgres")};
        CHECK(at.up());
        setenv("PGHOST", "localhost", 1);
        Case named{options_for("user=postgres dbname=postgres")};
        CHECK(named.up());
        unsetenv("PGHOST");
        unsetenv("PGPORT");
    }
    {
        // The first address takes the connection and keeps silent.
        const Mute mute;
        PoolOptions options =
            options_for("postgresql://postgres@127.0.0.1:" + mute.port() + ",127.0.0.1:" + server.port() + "/postgres");
        options.connect_timeout = 400;
        Case at{options};
        CHECK(at.up(2000));
        CHECK(at.stage.until([&] { return at.pool->stats().open == 4; }));
    }
    { const Case gone_while_it_asks{options_for(server.tcp_url("localhost", ""))}; }
    Case at{options_for(server.tcp_url("no-such-host.invalid", ""))};
    CHECK(at.refused());
    CHECK_TEXT(at.pool->trouble(), "cannot resolve no-such-host.invalid");
    CHECK_TEXT(at.ask("number", {"1"}), "unavailable: cannot run number: cannot resolve no-such-host.invalid");
    CHECK(at.seen.ups == 0 && at.seen.downs == 0);
}

void no_password_is_told() {
    CHECK(server.sql("DROP ROLE IF EXISTS with_password; CREATE ROLE with_password LOGIN PASSWORD 'r1ght-pw'"));
    {
        Case at{options_for(server.tcp_url("127.0.0.1", "", "with_password:wr0ng-pw"))};
        CHECK(at.refused());
        CHECK_TEXT(at.pool->trouble(), "password authentication failed for user \"with_password\"");
        CHECK(!has(at.pool->trouble(), "wr0ng-pw"));
    }
    {
        Case at{options_for(server.tcp_url("127.0.0.1", "", "with_password:r1ght-pw"))};
        CHECK(at.up());
    }
    Stage stage;
    Seen seen;
    const std::string wrong[] = {
        "postgresql://u:s3cret@h/d?s3cret=1",
        "postgresql://u:s3cret@h:s3cret/d",
        "postgresql://u:s3cret/x@h/d",
        "postgresql://u:%zzs3cret@h/d",
        "s3cret",
        "host=h password='s3cret",
        "postgresql://u:s3cret@h:1,h2:2,h3:3x/d",
        "host=a,b port=1,2,3 password=s3cret",
        "host=a hostaddr=1.2.3.4,1.2.3.5",
        std::string("host=a\0s3cret", 13),
    };
    for (const std::string& url : wrong) {
        const auto pool = Pool::create(stage.loop, options_for(url), seen);
        if (!CHECK(!pool.has_value() && pool.error().code == Errc::config)) std::printf("    %s\n", url.c_str());
        if (!pool) CHECK(!has(pool.error().what, "s3cret"));
    }
    PoolOptions channel = options_for(server.url());
    channel.channels = {std::string(64, 'a')};
    CHECK(!Pool::create(stage.loop, channel, seen).has_value());
}

void tls_is_as_the_url_wants_it() {
    const std::string right = "sslmode=verify-full&sslrootcert=" + folder + "/server.crt";
    {
        Case at{options_for(server.tcp_url("localhost", right), 2)};
        CHECK(at.up());
        CHECK(at.ask("tls") == "t");
        // Larger than a TLS record and libpq's buffer.
        Answer large;
        at.ask("large", {"5000"}, large);
        CHECK(at.stage.until([&] { return large.times > 0; }, 2000));
        CHECK(!large.error && large.rows.size() == 5000 && large.rows.at(4999).at(1).size() == 1000);
        CHECK(at.pool->stats().failures == 0);
        server.freeze();
        CHECK(at.down(2000));
        at.stage.wait(2300);
        server.thaw();
        CHECK(at.up());
        CHECK(at.stage.loop.longest_turn() < 500'000);
    }
    {
        Case at{options_for(server.tcp_url("localhost", "sslmode=verify-full&sslrootcert=" + folder + "/other.crt"))};
        CHECK(at.refused());
        CHECK_TEXT(at.pool->trouble(), "certificate verify failed");
        CHECK(at.seen.ups == 0);
    }
    {
        Case at{options_for(server.tcp_url("127.0.0.1", right))};
        CHECK(at.refused());
        CHECK_TEXT(at.pool->trouble(), "does not match host name \"127.0.0.1\"");
    }
    Case at{options_for(server.tcp_url("localhost", "sslmode=verify-full&sslrootcert=" + folder + "/no-such.crt"))};
    CHECK(at.refused());
    CHECK_TEXT(at.pool->trouble(), "no-such.crt");
}

void too_many_connections_leave_those_that_are_up() {
    CHECK(server.sql("DROP ROLE IF EXISTS narrow; CREATE ROLE narrow LOGIN CONNECTION LIMIT 2"));
    Case at{options_for(server.url("narrow"), 4)};
    CHECK(at.stage.until([&] { return at.pool->stats().open == 2; }));
    at.stage.wait(300);
    CHECK(at.ask("number", {"1"}) == "2");
    CHECK(at.pool->stats().open == 2 && at.seen.downs == 0);
    CHECK(server.sql("ALTER ROLE narrow CONNECTION LIMIT 10"));
    CHECK(at.stage.until([&] { return at.pool->stats().open == 4; }));
}

void a_pool_may_go_with_queries_open() {
    int answered = 0;
    {
        Case at{options_for(server.url(), 2)};
        CHECK(at.up());
        for (int i = 0; i < 10; ++i) {
            const Parameters parameters{"5"};
            at.pool->query("sleep", parameters, [&](const Result<const Rows*>&) { ++answered; });
        }
        at.pool->query("undeclared", {}, [&](const Result<const Rows*>&) { ++answered; });
    }
    CHECK(answered == 0);
}

struct Named {
    const char* name;
    void (*run)();
};
#define NAMED(function) \
    { #function, function }
constexpr Named all[] = {
    NAMED(null_and_text_come_back_as_they_went),
    NAMED(an_error_of_sql_fails_its_query_alone),
    NAMED(what_is_no_query_is_refused_later),
    NAMED(a_thousand_queries_share_four_connections),
    NAMED(an_answer_may_ask_the_next),
    NAMED(a_full_queue_takes_no_query),
    NAMED(a_query_that_waits_too_long_is_unavailable_and_the_connection_stays),
    NAMED(a_slow_statement_costs_its_connection_and_no_other),
    NAMED(a_frozen_server_is_unavailable_in_time_and_comes_back),
    NAMED(an_idle_pool_notices_a_freeze_within_two_seconds),
    NAMED(a_pause_of_our_own_is_no_loss),
    NAMED(a_stopped_server_is_named_and_its_statements_work_after_a_restart),
    NAMED(a_notification_comes_at_once),
    NAMED(a_right_that_is_revoked_is_denied),
    NAMED(what_the_server_forgets_is_prepared_anew),
    NAMED(names_and_several_hosts_lead_to_the_server),
    NAMED(no_password_is_told),
    NAMED(tls_is_as_the_url_wants_it),
    NAMED(too_many_connections_leave_those_that_are_up),
    NAMED(a_pool_may_go_with_queries_open),
};

int remove_one(const char* path, const struct stat*, int, FTW*) { return remove(path); }

}  // namespace

int main(int argc, char** argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    log::set_level(log::Level::fatal);
    // What the caller's environment says about a database is not ours.
    for (const char* name : {"PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSERVICE",
                             "PGSSLMODE", "PGSSLROOTCERT", "PGAPPNAME", "PGOPTIONS"}) {
        unsetenv(name);
    }
    const char* base = std::getenv("TMPDIR");
    std::string pattern = std::string(base == nullptr ? "/tmp" : base) + "/pg-check-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
        std::perror("cannot create a temporary folder");
        return 1;
    }
    folder = pattern;
    const Millis started = now_ms();
    if (const std::string trouble = server.begin(); trouble.empty()) {
        std::printf("postgres is up (%lld ms)\n", static_cast<long long>(now_ms() - started));
        for (const auto& [name, body] : all) {
            if (argc > 1 && std::strstr(name, argv[1]) == nullptr) continue;
            this_failed = false;
            const Millis begun = now_ms();
            body();
            server.thaw();
            std::printf("%s %s (%lld ms)\n", this_failed ? "FAIL" : "ok  ", name,
                        static_cast<long long>(now_ms() - begun));
            ++(this_failed ? failed : passed);
        }
    } else {
        std::printf("FAIL %s\n", trouble.c_str());
        ++failed;
    }
    server.stop();
    nftw(folder.c_str(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
