#include "sioctl/command_table.h"

namespace sio::sioctl {

namespace {

using Arguments = std::vector<Argument>;

constexpr Argument nsp_option{"--nsp", Times::once, "NAMESPACE", "the namespace (default /)"};
constexpr Argument nsp_filter{"--nsp", Times::once, "NAMESPACE", "only this namespace (default: all)"};
constexpr Argument all_option{"--all", Times::flag, "", "everybody in the namespace"};
constexpr Argument authd_option{"--authd", Times::once, "PATH", "the socket of sio-authd (environment: SIO_AUTHD)",
                                "@file"};
constexpr Argument secret_option{"--secret-file", Times::once, "FILE",
                                 "the secrets, one a line, newest first (default: AUTH_SECRET of the environment)",
                                 "@file"};
constexpr Argument letters_timeout{"--timeout", Times::once, "TIME", "how long to wait for the answer (default 30s)"};
constexpr Argument answer_timeout{"--timeout", Times::once, "TIME", "how long to wait for the answer (default 10s)"};

/// The options that select sockets, and then those of the command.
Arguments selecting(Arguments more) {
    Arguments options{
        {"--to", Times::many, "NAME", "a room, a user or a socket; may be repeated"},
        {"--user", Times::many, "USER", "the sockets of this user; may be repeated"},
        {"--socket", Times::many, "SID", "the socket of this id; may be repeated"},
        {"--except", Times::many, "NAME", "leave out a room, a user or a socket; may be repeated"},
        nsp_option,
    };
    options.insert(options.end(), more.begin(), more.end());
    return options;
}

std::vector<Command> make_commands() {
    std::vector<Command> table;
    table.push_back(
        {"emit",
         {{"EVENT", Times::optional, "", "the name of the event; `-` alone: read events from standard input"},
          {"ARG", Times::many, "", "an argument, as JSON; `-` alone: read arguments from standard input"}},
         selecting({
             {"--string", Times::flag, "", "take each ARG as plain text"},
             {"--stdin", Times::flag, "",
              "one event a line from standard input: the array of its arguments, or without EVENT an array "
              "that begins with the event or an object {event,args,to,…}"},
             {"--event-per-line", Times::flag, "", "as --stdin, and each line names its event"},
             {"--volatile", Times::flag, "", "may be dropped for a client that is not ready"},
             {"--ack", Times::flag, "", "wait for acknowledgements and print them, one a line"},
             {"--require", Times::once, "N", "exit 1 unless at least N sockets were reached"},
             {"--timeout", Times::once, "TIME",
              "how long to wait for acknowledgements (default 5s), or for the answer (10s)"},
         }),
         "emit an event to sockets",
         "  sioctl emit notification '{\"message\":\"hello\"}' --to alice\n"
         "  sioctl emit status --string ready --to room1 --except bob\n"
         "  jq -c '[.id, .title]' items.json | sioctl emit item --stdin --to shop\n"
         "  sioctl emit are-you-there --user alice --ack --timeout 2s",
         run_emit});
    table.push_back(
        {"rooms",
         {},
         {nsp_filter, {"--all", Times::flag, "", "also the rooms that each socket has for itself"}, answer_timeout},
         "list rooms and how many sockets are in each",
         "  sioctl rooms\n  sioctl rooms -o ndjson | jq -r .room",
         run_rooms});
    table.push_back({"sockets",
                     {{"NAME", Times::many, "", "as --to"}},
                     selecting({answer_timeout}),
                     "list connected sockets",
                     "  sioctl sockets\n  sioctl sockets alice\n  sioctl sockets --nsp /chat -o json",
                     run_sockets});
    table.push_back({"join",
                     {{"ROOM", Times::at_least_once, "", "the rooms"}},
                     selecting({all_option, answer_timeout}),
                     "make sockets join rooms",
                     "  sioctl join course_7 --user alice",
                     run_join});
    table.push_back({"leave",
                     {{"ROOM", Times::at_least_once, "", "the rooms"}},
                     selecting({all_option, answer_timeout}),
                     "make sockets leave rooms",
                     "  sioctl leave course_7 --user alice\n  sioctl leave course_7 --to course_7",
                     run_leave});
    table.push_back({"disconnect",
                     {{"NAME", Times::many, "", "as --to"}},
                     selecting({{"--how", Times::once, "HOW",
                                 "the namespace (default), the whole client, or only its transport, so that it comes "
                                 "back and recovers",
                                 "namespace|client|transport"},
                                all_option,
                                answer_timeout}),
                     "disconnect sockets",
                     "  sioctl disconnect alice\n  sioctl disconnect --all --how transport",
                     run_disconnect});
    table.push_back({"presence",
                     {{"USER", Times::many, "", "only these users (default: all who are online)"}},
                     {{"--limit", Times::once, "N", "without USER: list at most N (default 1000)"}, answer_timeout},
                     "tell who is online, on all gateways (exit 1: the only USER is not)",
                     "  sioctl presence alice > /dev/null || mail -s 'you have a message' alice\n"
                     "  xargs sioctl presence < members.txt\n"
                     "  sioctl presence -o ndjson | jq -r .user",
                     run_presence});
    table.push_back({"health",
                     {},
                     {answer_timeout},
                     "tell whether the gateway is well (exit 1: it is not)",
                     "  sioctl health || systemctl restart sio-gateway",
                     run_health});
    table.push_back(
        {"server-emit",
         {{"EVENT", Times::once, "", "the name of the event"}, {"ARG", Times::many, "", "an argument, as JSON"}},
         {nsp_option,
          {"--string", Times::flag, "", "take each ARG as plain text"},
          {"--ack", Times::flag, "", "wait for what the servers answer and print it, one a line"},
          {"--timeout", Times::once, "TIME", "how long to wait for that (default 5s)"}},
         "emit an event to the other servers of the cluster",
         "  sioctl server-emit reload-cache '\"prices\"' --ack",
         run_server_emit});
    table.push_back({"nodes",
                     {},
                     {answer_timeout},
                     "list the gateways of the cluster",
                     "  sioctl nodes\n  sioctl nodes -o ndjson | jq -r .node",
                     run_nodes});
    table.push_back({"stat",
                     {},
                     {{"--watch", Times::once, "TIME", "again and again, this far apart"},
                      {"--count", Times::once, "N", "with --watch: how often"},
                      answer_timeout},
                     "show the gateway's counters",
                     "  sioctl stat\n  sioctl stat --watch 1s -o ndjson | jq .socketConnections",
                     run_stat});
    table.push_back({"listen",
                     {{"EVENT", Times::many, "", "only these events (default: all)"}},
                     {nsp_filter,
                      {"--lifecycle", Times::flag, "", "also when sockets connect and disconnect"},
                      {"--count", Times::once, "N", "end after N lines"},
                      {"--for", Times::once, "TIME", "end after this long"}},
                     "print what clients send, one JSON object a line",
                     "  sioctl listen | jq .event\n  sioctl listen order --count 1 --for 30s",
                     run_listen});
    table.push_back({"handle",
                     {{"EVENT", Times::once, "", "the event to answer"}},
                     {nsp_option,
                      {"--parallel", Times::once, "N", "how many commands may run at once (default 1)"},
                      {"--timeout", Times::once, "TIME", "how long a command may run (default 10s)"},
                      {"--count", Times::once, "N", "end after N events"}},
                     "run a command for each event; its output is the acknowledgement",
                     "  sioctl handle add -- jq -c 'add'\n  sioctl handle lookup --parallel 4 -- ./lookup.sh",
                     run_handle,
                     true});
    table.push_back({"connect",
                     {{"URL", Times::once, "", "http://HOST:PORT or ws://HOST:PORT"}},
                     {{"--auth", Times::once, "JSON", "the auth object of the CONNECT packet"},
                      nsp_option,
                      {"--path", Times::once, "PATH", "where the server answers (default /socket.io/)"},
                      {"--header", Times::many, "NAME: VALUE", "a header of the handshake; may be repeated"},
                      {"--emit", Times::group, "EVENT [ARG...]",
                       "emit this once connected, and do not read standard input; may be repeated"},
                      {"--string", Times::flag, "", "take each ARG as plain text"},
                      {"--ack", Times::flag, "", "ask for acknowledgements and wait for them"},
                      {"--answer", Times::once, "JSON", "acknowledge what the server asks with this"},
                      {"--lifecycle", Times::flag, "", "also print when it connects and is disconnected"},
                      {"--wait", Times::once, "EVENT", "end when this event has come"},
                      {"--count", Times::once, "N", "end after N events (with --wait: of that name)"},
                      {"--for", Times::once, "TIME", "end after this long"},
                      {"--timeout", Times::once, "TIME",
                       "how long connecting (default 10s), and then --wait, --count and --ack may take"}},
                     "be a Socket.IO client: emit, wait, print",
                     "  sioctl connect http://localhost:3001 --auth '{\"token\":\"alice\"}'\n"
                     "  sioctl connect http://localhost:3001 --emit ping 1 --ack --timeout 2s\n"
                     "  echo 'message \"hello\"' | sioctl connect ws://localhost:3001 --wait reply",
                     run_connect});
    table.push_back({"routes check",
                     {{"FILE", Times::once, "", "a routes file", "@file"}},
                     {},
                     "check a routes file (exit 78: it is wrong)",
                     "  sioctl routes check /etc/sio/routes.json",
                     run_routes_check});
    table.push_back(
        {"routes explain",
         {{"FILE", Times::once, "", "a routes file", "@file"},
          {"EVENT", Times::optional, "", "the event a client would send"},
          {"ARG", Times::many, "", "its arguments, as JSON"}},
         {nsp_option,
          {"--user", Times::once, "USER", "who would send it (default: anonymous)"},
          {"--auth", Times::once, "JSON", "the auth object of the CONNECT"},
          {"--query", Times::many, "NAME=VALUE", "in the query of the handshake; may be repeated"},
          {"--header", Times::many, "NAME=VALUE", "in the head of the handshake, or of the record; may be repeated"},
          {"--room", Times::many, "ROOM", "a room the socket is in; may be repeated"},
          {"--answer", Times::many, "JSON", "an argument of what `ask` or `hand` is answered; may be repeated"},
          {"--right", Times::once, "ANSWER", "what sio-authd says of a room (default granted)",
           "granted|denied|unavailable"},
          {"--string", Times::flag, "", "take each ARG as plain text"},
          {"--topic", Times::once, "TOPIC", "no event: a record of this Kafka topic"},
          {"--value", Times::once, "JSON", "with --topic: its value (default: null)"},
          {"--value-text", Times::once, "TEXT", "the same, which need not be JSON"},
          {"--key", Times::once, "KEY", "with --topic: its key (default: none)"}},
         "show what a routes file makes of an event, or of a Kafka record",
         "  sioctl routes explain routes.json new_message '{\"room\":\"r\"}' --user alice\n"
         "  sioctl routes explain routes.json --topic course.updated --value '{\"courseId\":\"42\"}'",
         run_routes_explain});
    table.push_back({"routes reload",
                     {},
                     {answer_timeout},
                     "make the gateway read its routes file again",
                     "  sioctl routes check routes.json && sioctl routes reload",
                     run_routes_reload});
    table.push_back({"routes show",
                     {},
                     {answer_timeout},
                     "tell which routes file is in force",
                     "  sioctl routes show",
                     run_routes_show});
    table.push_back(
        {"routes can-i",
         {},
         {{"--user", Times::once, "USER", "whose right it is (default: an anonymous client's)"},
          {"--room", Times::once, "ROOM", "the room"},
          {"--claims", Times::once, "JSON", "what else is known of the user, as rules by claim need it"},
          {"--room-token", Times::once, "TOKEN", "what the user shows for the room; `-`: read it from standard input"},
          {"--routes", Times::once, "FILE", "also show what in this routes file names the room", "@file"},
          {"--event", Times::once, "EVENT", "with --routes: only this event"},
          authd_option,
          answer_timeout},
         "ask sio-authd whether a user may be in a room, and why (exit 77: no)",
         "  sioctl routes can-i --user 42 --room course_7 --claims '{\"role\":\"teacher\"}'\n"
         "  sioctl routes can-i --user 42 --room course_7 --routes routes.json --event join_course",
         run_routes_can_i});
    table.push_back({"revoke",
                     {{"WHAT", Times::once, "", "whose sockets", "user|session"},
                      {"NAME", Times::once, "", "the user's id, or the session as `token verify` names it"}},
                     {{"--for", Times::once, "TIME", "how long it holds (default: as sio-authd is configured)"},
                      {"--lift", Times::flag, "", "end it"},
                      authd_option,
                      answer_timeout},
                     "close a user's or a session's sockets everywhere, and let them in no more",
                     "  sioctl revoke user 42 --for 10m\n  sioctl revoke user 42 --lift",
                     run_revoke});
    table.push_back({"revocations",
                     {},
                     {authd_option, answer_timeout},
                     "list what is revoked",
                     "  sioctl revocations -o ndjson | jq -r .user",
                     run_revocations});
    table.push_back(
        {"token make",
         {},
         {{"--kind", Times::once, "KIND", "of Auth.js 5 (default), of NextAuth 4, signed, or for a room",
           "v5|v4|jwt|room"},
          {"--user", Times::once, "USER", "whose it is: the claim sub"},
          {"--claim", Times::many, "NAME=VALUE", "a claim; VALUE is JSON or else a text; may be repeated"},
          {"--claims", Times::once, "JSON", "an object of claims"},
          {"--expires", Times::once, "TIME", "how long it is good (default 720h); -TIME: so long ago it ended"},
          {"--cookie-name", Times::once, "NAME", "the cookie it is for (v5; default authjs.session-token)"},
          {"--algorithm", Times::once, "ALGORITHM", "how it is signed (jwt and room; default HS256)",
           "HS256|HS384|HS512"},
          {"--room", Times::many, "ROOM", "the room it opens, * stands for anything (room); may be repeated"},
          secret_option},
         "make a token, for tests",
         "  AUTH_SECRET=$secret sioctl token make --user 42 --claim role=teacher --expires 1h\n"
         "  sioctl token make --kind room --user 42 --room 'course_*' --secret-file room.secret",
         run_token_make});
    table.push_back({"token inspect",
                     {{"TOKEN", Times::optional, "", "the token; `-` or nothing: read it from standard input"}},
                     {},
                     "show what can be read of a token without a key; verifies nothing",
                     "  sioctl token inspect < token.txt\n  wl-paste | sioctl token inspect -o json",
                     run_token_inspect});
    table.push_back(
        {"token verify",
         {{"TOKEN", Times::optional, "", "the token; `-` or nothing: read it from standard input"}},
         {{"--at", Times::once, "MOMENT", "judge as at this moment: seconds since 1970, or 2026-01-31T12:00:00Z"},
          {"--cookie-name", Times::once, "NAME", "it is the value of this cookie (default: any)"},
          {"--origin", Times::once, "ORIGIN", "the page it comes from, without which cookies do not count"},
          {"--local", Times::flag, "", "do not ask sio-authd: check by the secrets given here"},
          secret_option,
          {"--room", Times::once, "ROOM", "with --local: it is a room token, and this the room"},
          {"--user", Times::once, "USER", "with --room: who shows it"},
          authd_option,
          answer_timeout},
         "say whether sio-authd takes a token, and which check failed (exit 77: it does not)",
         "  sioctl token verify < token.txt\n  sioctl token verify --local --secret-file secret.txt < token.txt",
         run_token_verify});
    table.push_back(
        {"produce",
         {{"TOPIC", Times::once, "", "the topic"},
          {"VALUE", Times::optional, "", "the record's value (default: each line of standard input is one)"}},
         {{"--key", Times::once, "KEY", "its key"},
          {"--header", Times::many, "NAME=VALUE", "a header; may be repeated"},
          {"--partition", Times::once, "N", "the partition (default: by the key)"},
          {"--file", Times::once, "FILE", "each line of this file is a record; `-`: of standard input", "@file"},
          {"--null", Times::flag, "", "a record without value, a tombstone"},
          {"--timeout", Times::once, "TIME", "how long Kafka may take to confirm (default 10s)"}},
         "give records to Kafka, by sio-bridge, and print PARTITION/OFFSET of each",
         "  sioctl produce course.updated '{\"courseId\":\"42\"}' --key 42\n"
         "  jq -c '.[]' courses.json | sioctl produce course.updated",
         run_produce});
    table.push_back({"trace",
                     {{"RECORD", Times::once, "", "TOPIC/PARTITION/OFFSET"}},
                     {answer_timeout},
                     "show a record's way: consumed, in the stream, read by gateways, at which sockets",
                     "  sioctl trace course.updated/0/17\n"
                     "  sioctl trace \"course.updated/$(sioctl produce course.updated '{\"courseId\":\"42\"}')\"",
                     run_trace});
    table.push_back({"dlq list",
                     {},
                     {{"--limit", Times::once, "N", "the newest N (default 100)"}, letters_timeout},
                     "list dead letters: records that routes could do nothing with",
                     "  sioctl dlq list\n  sioctl dlq list -o ndjson | jq -r 'select(.replayed|not).id'",
                     run_dlq_list});
    table.push_back({"dlq replay",
                     {{"ID", Times::many, "", "a dead letter, PARTITION/OFFSET as dlq list has it"}},
                     {{"--all", Times::flag, "", "all that have not been replayed"},
                      {"--again", Times::flag, "", "also those that have been"},
                      letters_timeout},
                     "run dead letters through the routes as they are now (exit 1: not all could be)",
                     "  sioctl dlq replay 0/17\n  sioctl bridge reload && sioctl dlq replay --all",
                     run_dlq_replay});
    table.push_back({"bridge health",
                     {},
                     {answer_timeout},
                     "tell whether sio-bridge is well (exit 1: it is not)",
                     "  sioctl bridge health || systemctl status sio-bridge",
                     run_bridge_health});
    table.push_back({"bridge partitions",
                     {},
                     {answer_timeout},
                     "list the partitions it consumes, how far it is and how far behind",
                     "  sioctl bridge partitions\n  sioctl bridge partitions -o ndjson | jq -s 'map(.lag)|add'",
                     run_bridge_partitions});
    table.push_back({"bridge reload",
                     {},
                     {answer_timeout},
                     "make sio-bridge read its routes file again",
                     "  sioctl routes check routes.json && sioctl bridge reload",
                     run_bridge_reload});
    table.push_back({"wait",
                     {},
                     {{"--ready", Times::flag, "", "until its checks are well, too"},
                      {"--timeout", Times::once, "TIME", "how long to wait (default 30s)"}},
                     "wait until the gateway answers",
                     "  sioctl wait --ready --timeout 10s && sioctl emit hello",
                     run_wait});
    table.push_back({"log",
                     {{"LEVEL", Times::once, "", "the level", "trace|debug|info|warn|error|fatal"}},
                     {answer_timeout},
                     "set the gateway's log level until its next start",
                     "  sioctl log debug",
                     run_log});
    table.push_back({"completion",
                     {{"SHELL", Times::once, "", "the shell", "bash|zsh|fish"}},
                     {},
                     "print the completion script for a shell",
                     "  sioctl completion bash > /etc/bash_completion.d/sioctl",
                     run_completion});
    return table;
}

}  // namespace

const std::vector<Command>& commands() {
    static const std::vector<Command> table = make_commands();
    return table;
}

const std::vector<Group>& groups() {
    static const std::vector<Group> all{{"routes", "check, explain and reload routes; ask about rights"},
                                        {"token", "make, read and verify tokens"},
                                        {"dlq", "list and replay dead letters"},
                                        {"bridge", "how sio-bridge is, and what it consumes"}};
    return all;
}

const Group* find_group(std::string_view word) noexcept {
    for (const Group& group : groups()) {
        if (group.word == word) return &group;
    }
    return nullptr;
}

const std::vector<Argument>& global_options() {
    static const std::vector<Argument> options{
        {"--control", Times::once, "PATH", "the gateway's control socket (environment: SIO_CONTROL)", "@file"},
        {"--bridge", Times::once, "PATH", "the socket of sio-bridge (environment: SIO_BRIDGE)", "@file"},
        {"-o,--output", Times::once, "FORMAT", "how to print (default: table on a terminal, else ndjson)",
         "table|json|ndjson"},
        {"-q,--quiet", Times::flag, "", "print no counts and notes, only data and errors"},
    };
    return options;
}

std::string_view long_name(const Argument& argument) noexcept {
    const std::size_t comma = argument.name.find(',');
    return comma == std::string_view::npos ? argument.name : argument.name.substr(comma + 1);
}

std::string_view short_name(const Argument& argument) noexcept {
    const std::size_t comma = argument.name.find(',');
    return comma == std::string_view::npos ? std::string_view{} : argument.name.substr(0, comma);
}

}  // namespace sio::sioctl
