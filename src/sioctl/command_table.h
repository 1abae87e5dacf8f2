// The command table: each command's words, arguments, options and one sentence. The parser, --help and the completion
// scripts are made from it, and a test compares them.
#pragma once

#include <string_view>
#include <vector>

namespace sio::sioctl {

class Invocation;

/// How often something may be given.
enum class Times { flag, once, optional, many, at_least_once, group };

/// An option, or (without dashes) an argument.
struct Argument {
    std::string_view name;       ///< `-o,--output`, `--nsp`, `EVENT`
    Times times;                 ///< flag: no value. group: `--emit EVENT [ARG...]`, each use a group of its own
    std::string_view value;      ///< of an option, what its value is called: `ROOM`
    std::string_view sentence;   ///< without a full stop
    std::string_view choices{};  ///< `a|b|c`; `@file` for file names; `@command` for the words of a command
};

struct Command {
    std::string_view words;  ///< `emit`, `routes check`
    std::vector<Argument> arguments;
    std::vector<Argument> options;
    std::string_view sentence;
    std::string_view examples;  ///< lines for --help
    int (*run)(const Invocation&);
    bool takes_command = false;  ///< what follows `--` is a command to run
};

/// The first word of commands of two words. Those of a group stand together in the table.
struct Group {
    std::string_view word;
    std::string_view sentence;
};

/// All groups.
const std::vector<Group>& groups();

/// The group of that word, or null.
const Group* find_group(std::string_view word) noexcept;

/// All commands, in the order --help shows them.
const std::vector<Command>& commands();

/// What may be given with each command.
const std::vector<Argument>& global_options();

/// The long name of an option (`--output` of `-o,--output`), or the name of an argument.
std::string_view long_name(const Argument& argument) noexcept;

/// Its short name (`-o`), or empty.
std::string_view short_name(const Argument& argument) noexcept;

// The commands, one file a family.
int run_emit(const Invocation&);
int run_rooms(const Invocation&);
int run_sockets(const Invocation&);
int run_join(const Invocation&);
int run_leave(const Invocation&);
int run_disconnect(const Invocation&);
int run_presence(const Invocation&);
int run_health(const Invocation&);
int run_nodes(const Invocation&);
int run_server_emit(const Invocation&);
int run_stat(const Invocation&);
int run_wait(const Invocation&);
int run_log(const Invocation&);
int run_listen(const Invocation&);
int run_handle(const Invocation&);
int run_connect(const Invocation&);
int run_routes_check(const Invocation&);
int run_routes_explain(const Invocation&);
int run_routes_reload(const Invocation&);
int run_routes_show(const Invocation&);
int run_routes_can_i(const Invocation&);
int run_revoke(const Invocation&);
int run_revocations(const Invocation&);
int run_token_make(const Invocation&);
int run_token_inspect(const Invocation&);
int run_token_verify(const Invocation&);
int run_produce(const Invocation&);
int run_trace(const Invocation&);
int run_dlq_list(const Invocation&);
int run_dlq_replay(const Invocation&);
int run_bridge_health(const Invocation&);
int run_bridge_partitions(const Invocation&);
int run_bridge_reload(const Invocation&);
int run_completion(const Invocation&);

}  // namespace sio::sioctl
