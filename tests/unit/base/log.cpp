// base/log.h: what a line looks like, who may be heard, and what a stranger's text cannot do.
#include "base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "base/unique_fd.h"

namespace {

using namespace sio;
using namespace std::string_literals;

/// A log file of its own in a temporary folder. Each Criterion test is a process, so the log is untouched by others.
class LogFile {
public:
    explicit LogFile(log::Format format) {
        char name[] = "/tmp/sio-log-XXXXXX";
        folder_ = mkdtemp(name);
        cr_assert(log::open(format, path()).has_value());
    }
    ~LogFile() {
        unlink(path().c_str());
        unlink((path() + ".1").c_str());
        rmdir(folder_.c_str());
    }
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;

    [[nodiscard]] std::string path() const { return folder_ + "/log"; }
    [[nodiscard]] std::string text() const { return read(path()); }
    /// What follows the time in a text line.
    [[nodiscard]] std::string after_time() const {
        const std::string all = text();
        return all.size() > 25 ? all.substr(25) : all;
    }
    static std::string read(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        std::ostringstream out;
        out << in.rdbuf();
        return out.str();
    }

private:
    std::string folder_;
};

}  // namespace

Test(log, a_text_line_is_time_level_component_event_and_fields) {
    const LogFile file(log::Format::text);
    const std::string sid = "abc";
    const std::size_t size = 7;
    log::info("gateway", "client_connected",
              {{"sid", sid}, {"took_ms", 12}, {"bytes", size}, {"ratio", 0.5}, {"recovered", false}, {"via", "ws"}});
    cr_expect(file.after_time() ==
                  "info gateway client_connected sid=abc took_ms=12 bytes=7 ratio=0.5 recovered=false via=ws\n",
              "%s", file.text().c_str());
    cr_expect(file.text()[10] == 'T' && file.text()[23] == 'Z', "%s", file.text().c_str());
}

Test(log, a_json_line_is_one_object) {
    const LogFile file(log::Format::json);
    log::warn("http", "request_refused", {{"reason", "bad \"path\"\n"}, {"status", 400}, {"load", 1.0 / 0.0}});
    cr_expect(file.text().ends_with("\",\"level\":\"warn\",\"component\":\"http\",\"event\":\"request_refused\","
                                    "\"reason\":\"bad \\\"path\\\"\\n\",\"status\":400,\"load\":null}\n"),
              "%s", file.text().c_str());
    cr_expect(file.text().starts_with("{\"time\":\"2"));
}

Test(log, text_of_a_stranger_cannot_forge_a_line_or_a_field) {
    struct Case {
        std::string value, want;
    };
    const Case cases[] = {
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"x\n2025-01-01T00:00:00.000Z info", "\"x\\n2025-01-01T00:00:00.000Z info\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"\x1b[2J", "\"\\u001b[2J\""},
        {"nul\0byte"s, "\"nul\\u0000byte\""},
        {"\xc2\x9b"
         "2J",
         "\"\\u009b2J\""},
        {"\xe2\x80\xae"
         "right to left",
         "\"\\u202eright to left\""},
        {"broken \xff\xc3", "\"broken \\ufffd\\ufffd\""},
        {"Zoë", "\"Zoë\""},
        {"😀", "\"😀\""},
    };
    for (const auto& [value, want] : cases) {
        const LogFile file(log::Format::text);
        log::info("ws", "frame", {{"value", value}});
        cr_expect(file.after_time() == "info ws frame value=" + want + "\n", "%s", file.text().c_str());
    }
}

Test(log, long_values_and_long_lines_are_cut) {
    const LogFile file(log::Format::json);
    const std::string umlauts = [] {
        std::string s = "x";
        while (s.size() < 2000) s += "ü";
        return s;
    }();
    log::info("ws", "frame", {{"value", umlauts}});
    cr_expect(file.text().size() < 700 && file.text().ends_with("ü…\"}\n"), "%s", file.text().c_str());

    const LogFile other(log::Format::json);
    const std::string controls(600, '\x01');
    log::info("ws", "frame", {{"a", controls}, {"b", controls}, {"c", 1}});
    cr_expect(other.text().size() <= log::max_line_bytes);
    cr_expect(other.text().ends_with(",\"cut\":true}\n"), "%s", other.text().c_str());
}

Test(log, a_secret_is_never_written) {
    const LogFile file(log::Format::text);
    for (const auto* key : {"token", "cookie", "authorization", "password", "secret", "auth"}) {
        log::error("gateway", "refused", {{key, "hunter2"}});
    }
    cr_expect(file.text().find("hunter2") == std::string::npos);
    cr_expect(file.text().find("token=[hidden]") != std::string::npos);
}

Test(log, only_lines_at_or_above_the_level_are_written) {
    const LogFile file(log::Format::text);
    log::set_level(log::Level::warn);
    log::info("gateway", "one");
    log::warn("gateway", "two");
    log::set_level(log::Level::trace);
    log::trace("gateway", "three");
    cr_expect(file.text().find("one") == std::string::npos);
    cr_expect(file.text().find("two") != std::string::npos);
    cr_expect(file.text().find("three") != std::string::npos);
}

Test(log, debug_patterns_choose_components) {
    struct Case {
        const char* patterns;
        const char* component;
        bool want;
    };
    constexpr Case cases[] = {
        {"", "ws", false},
        {"sio:*", "ws", true},
        {"*", "ws", true},
        {"sio:ws", "ws", true},
        {"sio:ws", "http", false},
        {"sio:w*", "ws", true},
        {"sio:*,-sio:ws", "ws", false},
        {"-sio:ws,sio:*", "ws", false},
        {"sio:*,-sio:ws", "http", true},
        {"other:*", "ws", false},
        {"other:* sio:http", "http", true},
        {"socket.io:*", "room", true},
        {"engine.io:*", "room", true},
        {"socket.io*", "routes", true},
        {"sio:*m", "room", true},
        {"sio:*x", "room", false},
        {"-sio:*", "ws", false},
    };
    for (const auto& [patterns, component, want] : cases) {
        log::set_debug(patterns);
        cr_expect(log::enabled(log::Level::debug, component) == want, "DEBUG=%s %s", patterns, component);
        cr_expect(!log::enabled(log::Level::trace, component), "DEBUG=%s %s", patterns, component);
        cr_expect(log::enabled(log::Level::info, component), "DEBUG=%s %s", patterns, component);
    }
}

Test(log, levels_are_read_by_name) {
    cr_expect(log::parse_level("info") == log::Level::info);
    cr_expect(log::parse_level("WARN") == log::Level::warn);
    cr_expect(log::parse_level("warning") == log::Level::warn);
    cr_expect(!log::parse_level("loud"));
    cr_expect(log::to_string(log::Level::fatal) == "fatal");
}

Test(log, reopen_follows_a_rotated_file) {
    const LogFile file(log::Format::text);
    log::info("gateway", "before");
    cr_assert(rename(file.path().c_str(), (file.path() + ".1").c_str()) == 0);
    log::info("gateway", "between");
    cr_assert(log::reopen().has_value());
    log::info("gateway", "after");
    const std::string old = LogFile::read(file.path() + ".1");
    cr_expect(old.find("before") != std::string::npos && old.find("between") != std::string::npos);
    cr_expect(file.text().find("after") != std::string::npos && file.text().find("between") == std::string::npos);
}

Test(log, a_file_that_cannot_be_opened_is_an_error_and_changes_nothing) {
    const LogFile file(log::Format::text);
    const auto opened = log::open(log::Format::text, "/nonexistent/folder/log");
    cr_assert(!opened.has_value());
    cr_expect(opened.error().code == Errc::io);
    log::info("gateway", "still_here");
    cr_expect(file.text().find("still_here") != std::string::npos);
}

Test(log, a_reader_that_does_not_read_never_blocks_us_and_learns_what_it_missed, .timeout = 10) {
    int ends[2];
    cr_assert(pipe2(ends, O_CLOEXEC) == 0);
    const base::UniqueFd reader{ends[0]};
    cr_assert(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
    cr_assert(log::open(log::Format::text, "").has_value());
    for (int i = 0; i < 5000; ++i) log::info("gateway", "client_connected", {{"number", i}});

    std::string seen(1U << 20U, '\0');
    const ssize_t first = read(reader.get(), seen.data(), seen.size());
    cr_assert(first > 0);
    log::info("gateway", "back");
    const ssize_t second = read(reader.get(), seen.data(), seen.size());
    cr_assert(second > 0);
    seen.resize(static_cast<std::size_t>(second));
    cr_expect(seen.find("warn log log_lines_lost lost=") != std::string::npos, "%s", seen.c_str());
    cr_expect(seen.ends_with("info gateway back\n"), "%s", seen.c_str());
}

Test(unique_fd, closes_what_it_owns_and_nothing_else) {
    int ends[2];
    cr_assert(pipe2(ends, O_CLOEXEC) == 0);
    const base::UniqueFd other{ends[1]};
    {
        base::UniqueFd first{ends[0]};
        base::UniqueFd second{std::move(first)};
        cr_expect(!first && second);  // NOLINT(bugprone-use-after-move): moved-from is "none" by contract
        cr_expect(fcntl(ends[0], F_GETFD) >= 0);
    }
    cr_expect(fcntl(ends[0], F_GETFD) < 0);
    cr_expect(fcntl(other.get(), F_GETFD) >= 0);
    base::UniqueFd given{dup(other.get())};
    const int kept = given.release();
    cr_expect(!given && fcntl(kept, F_GETFD) >= 0);
    close(kept);
}
