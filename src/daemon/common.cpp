#include "daemon/common.h"

#include <array>
#include <cstdio>

#include "base/bytes.h"

namespace sio::daemon {

namespace {

struct LevelWord {
    std::string_view word;
    log::Level level;
};

/// Ours first, by which a level is shown; then those of winston, pino, syslog and Python. Whatever is above errors
/// still logs errors.
constexpr std::array level_words = {
    LevelWord{"trace", log::Level::trace},  LevelWord{"debug", log::Level::debug},
    LevelWord{"info", log::Level::info},    LevelWord{"warn", log::Level::warn},
    LevelWord{"error", log::Level::error},  LevelWord{"silly", log::Level::trace},
    LevelWord{"all", log::Level::trace},    LevelWord{"verbose", log::Level::debug},
    LevelWord{"http", log::Level::info},    LevelWord{"notice", log::Level::info},
    LevelWord{"log", log::Level::info},     LevelWord{"information", log::Level::info},
    LevelWord{"warning", log::Level::warn}, LevelWord{"err", log::Level::error},
    LevelWord{"fatal", log::Level::error},  LevelWord{"critical", log::Level::error},
    LevelWord{"crit", log::Level::error},   LevelWord{"alert", log::Level::error},
    LevelWord{"emerg", log::Level::error},  LevelWord{"panic", log::Level::error},
    LevelWord{"silent", log::Level::error}, LevelWord{"off", log::Level::error},
    LevelWord{"none", log::Level::error},   LevelWord{"10", log::Level::trace},
    LevelWord{"20", log::Level::debug},     LevelWord{"30", log::Level::info},
    LevelWord{"40", log::Level::warn},      LevelWord{"50", log::Level::error},
    LevelWord{"60", log::Level::error},
};

Option log_level(Option option, log::Level& target) {
    option.value = "trace|debug|info|warn|error";
    option.set = [&target, all = option.value](std::string_view given) -> Result<void> {
        for (const auto& [word, level] : level_words) {
            if (!base::equal_ignoring_case(word, given)) continue;
            target = level;
            return {};
        }
        return fail(Errc::malformed, "'" + std::string(given) + "' is not one of " + all);
    };
    option.show = [&target]() -> std::vector<std::string> {
        for (const auto& [word, level] : level_words) {
            if (level == target) return {std::string(word)};
        }
        return {};
    };
    return option;
}

}  // namespace

void add_log_options(std::vector<Option>& table, std::string_view group, LogConfig& config, std::string_view example) {
    const auto add = [&](Option option) {
        option.group = group;
        table.push_back(std::move(option));
    };
    add(log_level({.name = "log-level",
                   .help = "Least level that is logged.",
                   .cost = "A lower level costs time and space for each line.",
                   .env = {"LOG_LEVEL"}},
                  config.level));
    add(choice({.name = "log-format", .help = "How a line looks."}, config.format,
               {{"text", log::Format::text}, {"json", log::Format::json}}));
    add(text({.name = "log-file", .value = "FILE", .help = "Where lines go; empty is stderr. Opened anew on SIGHUP."},
             config.file));
    add(text({.name = "debug",
              .value = "PATTERNS",
              .help = "Parts that log at debug whatever the level, such as " + std::string(example) + ".",
              .env = {"DEBUG"}},
             config.debug));
}

Result<void> open_log(const LogConfig& config) {
    log::set_level(config.level);
    log::set_debug(config.debug);
    return log::open(config.format, config.file);
}

Option secret(Option option, std::string& target) {
    option.is_verbatim = true;
    option.holds_secret = [](std::string_view given) { return !given.empty(); };
    option.set = [&target](std::string_view given) -> Result<void> {
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target.empty() ? "" : "(set)"}; };
    return option;
}

void answer(Action action, std::string_view program, std::string_view about, std::string_view version,
            std::span<const Option> options) {
    std::string text;
    switch (action) {
        case Action::run: break;
        case Action::help: text = help_text(program, about, options); break;
        case Action::version: text = std::string(program) + ' ' + std::string(version) + '\n'; break;
        case Action::check_config: text = "the configuration is right\n"; break;
        case Action::print_config: text = config_text(options); break;
        case Action::sample_config: text = sample_text(program, options); break;
    }
    std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace sio::daemon
