// From argv to an Invocation. The only place that knows the parser library.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sioctl/command_table.h"
#include "sioctl/exit_code.h"
#include "sioctl/output.h"
#include "wire/admin.h"

namespace sio::sioctl {

/// One command as it was typed.
class Invocation {
public:
    const Command* command = nullptr;
    std::vector<std::string> command_to_run;  ///< what followed `--`, for commands that run one

    /// Whether a flag, option or argument was given. Names are those of the table: `--nsp`, `EVENT`.
    [[nodiscard]] bool has(std::string_view name) const { return values_.contains(name); }
    /// Its only (or first) value, or `fallback`.
    [[nodiscard]] std::string one(std::string_view name, std::string_view fallback = {}) const;
    /// All its values.
    [[nodiscard]] const std::vector<std::string>& all(std::string_view name) const;
    /// The uses of an option whose Times is `group`, each with its values.
    [[nodiscard]] std::vector<std::vector<std::string>> groups(std::string_view name) const;

    /// A length of time: digits and `ms`, `s`, `m` or `h`; no unit means seconds, a fraction is fine.
    [[nodiscard]] Outcome<std::chrono::milliseconds> time(std::string_view name,
                                                          std::chrono::milliseconds fallback) const;
    /// A whole number from `least` to 10^9.
    [[nodiscard]] Outcome<std::optional<std::uint64_t>> number(std::string_view name, std::uint64_t least) const;

    /// The namespace of `--nsp`, or nothing when it was not given.
    [[nodiscard]] Outcome<std::optional<std::string>> nsp() const;
    /// The sockets that `--to`, `--user`, `--socket`, `--except`, `--nsp` and the argument NAME select.
    [[nodiscard]] Outcome<wire::Selection> selection() const;

    [[nodiscard]] std::string control_path() const;
    /// sio-authd's socket: --authd, SIO_AUTHD, or the default beside the gateway's.
    [[nodiscard]] std::string authd_path() const;
    /// sio-bridge's socket: --bridge, SIO_BRIDGE, or the default beside the gateway's.
    [[nodiscard]] std::string bridge_path() const;
    [[nodiscard]] bool quiet() const { return has("--quiet"); }
    /// The format of `-o`, or else `on_terminal` when standard output is one and `in_pipe` when not.
    [[nodiscard]] Format format(Format on_terminal = Format::table, Format in_pipe = Format::ndjson) const;

    void set(std::string_view name, std::vector<std::string> values) {
        values_.insert_or_assign(std::string(name), std::move(values));
    }

private:
    std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

/// Reads a length of time as Invocation::time() does. Nothing when it is none, or longer than a year.
std::optional<std::chrono::milliseconds> parse_time(std::string_view text);

/// Parses the command line. A Failure with exit code 0 means that --help or --version was asked for: `what` is the text
/// for standard output.
Outcome<Invocation> parse_command_line(int argc, const char* const* argv);

/// The options the parser knows for a command, sorted, its aliases and --help included: what completion must offer.
std::vector<std::string> parser_options(const Command& command);

}  // namespace sio::sioctl
