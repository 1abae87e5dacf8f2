#include "daemon/common.h"

#include <cstdio>

namespace sio::daemon {

void add_log_options(std::vector<Option>& table, std::string_view group, LogConfig& config, std::string_view example) {
    const auto add = [&](Option option) {
        option.group = group;
        table.push_back(std::move(option));
    };
    add(choice({.name = "log-level",
                .help = "Least level that is logged.",
                .cost = "A lower level costs time and space for each line.",
                .env = {"LOG_LEVEL"}},
               config.level,
               {{"trace", log::Level::trace},
                {"debug", log::Level::debug},
                {"info", log::Level::info},
                {"warn", log::Level::warn},
                {"error", log::Level::error}}));
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
