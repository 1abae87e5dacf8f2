// What sioctl prints: data on standard output, the rest on standard error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sio::sioctl {

enum class Format { table, json, ndjson };

/// Standard output, in whole lines. Ignores SIGPIPE: a reader that went away is seen by is_open(), and is no error.
class Output {
public:
    Output();
    ~Output() { flush(); }
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    static bool is_terminal();

    /// Adds a line; a line feed is appended. On a terminal it is escaped().
    void line(std::string_view text);
    /// Empties the screen, if there is one.
    void clear();
    /// Writes what was added. Commands that print over time call it after each line.
    void flush();
    /// False once standard output's reader is gone or it cannot be written.
    [[nodiscard]] bool is_open() const noexcept { return open_; }

private:
    bool is_terminal_;
    std::string pending_;
    bool open_ = true;
};

/// `sioctl: …` on standard error, for each line of `text`.
void complain(std::string_view text);

/// Text that a terminal shows as it is: what controls the cursor (C0, C1, DEL), turns the direction of writing or ends
/// a line becomes `?`.
std::string printable(std::string_view text);

/// The same for whole lines, line feeds and tabs apart, and as JSON writes it (`\u009b`): in JSON such characters are
/// in strings only, so that it means what it did.
std::string escaped(std::string_view text);

/// Valid JSON on several lines, indented by two blanks.
std::string indented(std::string_view json);

/// How a value looks in a table: a text without its quotes, null as `-`, all else as JSON; printable.
std::string cell(std::string_view json);

/// Columns under their names.
class Table {
public:
    explicit Table(std::vector<std::string> names) : rows_{std::move(names)} {}
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    /// Prints names and rows; nothing when there are no rows.
    void print(Output& out) const;

private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace sio::sioctl
