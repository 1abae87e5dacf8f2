#include "bridge/config.h"

#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "bridge/listen_address.h"
#include "daemon/exit_code.h"
#include "daemon/judge.h"
#include "daemon/socket_options.h"
#include "routes/topics.h"
#include "wire/admin.h"

namespace sio::bridge {
namespace {

using namespace std::chrono_literals;
using daemon::Option;

constexpr std::string_view program = "sio-bridge";
constexpr std::string_view about =
    "Carries records of Kafka topics to Socket.IO clients, and events of clients to Kafka topics. See sio-bridge(8).";
constexpr auto longest = 24h;
constexpr std::size_t max_password_file_bytes = 4096;
constexpr std::size_t max_name_bytes = 249;

/// One of `words`, or nothing.
Option word_or_none(Option option, std::string& target, std::vector<std::string_view> words) {
    if (option.value.empty()) {
        for (const auto word : words) option.value += (option.value.empty() ? "" : "|") + std::string(word);
    }
    option.set = [&target, words = std::move(words), all = option.value](std::string_view given) -> Result<void> {
        if (!given.empty() && std::ranges::find(words, given) == words.end()) {
            return fail(Errc::malformed, "'" + std::string(given) + "' is not one of " + all);
        }
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

/// A name without blanks and control characters, so that it can stand in logs, keys and Kafka's own names.
Option name_text(Option option, std::string& target) {
    option.set = [&target](std::string_view given) -> Result<void> {
        const bool is_clean = std::ranges::all_of(given, [](char c) { return c > ' ' && c <= '~'; });
        if (!is_clean || given.size() > max_name_bytes) {
            return fail(Errc::malformed,
                        "'" + std::string(given) + "' is not a name of at most 249 visible characters");
        }
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

/// A topic as Kafka can have it, or nothing.
Option topic(Option option, std::string& target) {
    option.value = "TOPIC";
    option.set = [&target](std::string_view given) -> Result<void> {
        if (!given.empty() && !kafka::is_topic_name(given)) {
            return fail(Errc::malformed, "'" + std::string(given) +
                                             "' is no name of a topic: it has letters, digits, " +
                                             "'.', '_' and '-', at most 249");
        }
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

bool is_secret_property(std::string_view name) noexcept {
    for (const std::string_view part : {"password", "secret", "key.pem", "oauthbearer.config", "jaas"}) {
        if (name.find(part) != std::string_view::npos) return true;
    }
    return false;
}

/// What the options and properties about TLS and SASL come to, one property of librdkafka each.
class Security {
public:
    explicit Security(Config& config) : config_(config) {}

    Result<void> settle() {
        if (auto done = take("security.protocol", {}, "security", config_.security); !done) return done;
        if (auto done = take("ssl.ca.location", {}, "ca-file", config_.ca_file); !done) return done;
        if (auto done = take("ssl.certificate.location", {}, "cert-file", config_.cert_file); !done) return done;
        if (auto done = take("ssl.key.location", {}, "key-file", config_.key_file); !done) return done;
        if (auto done = take("sasl.mechanism", "sasl.mechanisms", "sasl-mechanism", config_.sasl_mechanism); !done) {
            return done;
        }
        if (auto done = take("sasl.username", {}, "sasl-username", config_.sasl_username); !done) return done;
        if (auto done = take_password(); !done) return done;
        return check();
    }

private:
    [[nodiscard]] std::string_view raw(std::string_view name) const {
        const auto found = std::ranges::find(config_.properties, name, &kafka::Properties::value_type::first);
        return found == config_.properties.end() ? std::string_view{} : std::string_view(found->second);
    }

    Result<void> take(std::string_view property, std::string_view alias, std::string_view option,
                      const std::string& value) {
        if (value.empty()) return {};
        for (const std::string_view name : {property, alias}) {
            if (!name.empty() && !raw(name).empty()) {
                return fail(Errc::config,
                            std::string(option) + " and kafka." + std::string(name) + " say the same: leave one out");
            }
        }
        add(property, value);
        return {};
    }

    Result<void> take_password() {
        if (config_.sasl_password_file.empty()) return {};
        auto password = read_password(config_.sasl_password_file);
        if (!password) return tl::unexpected(password.error());
        daemon::Findings of_mode;
        daemon::warn_of_mode("sasl-password-file", config_.sasl_password_file, of_mode);
        config_.warnings.insert(config_.warnings.end(), of_mode.warnings().begin(), of_mode.warnings().end());
        return take("sasl.password", {}, "sasl-password-file", *password);
    }

    static Result<std::string> read_password(const std::string& file) {
        errno = 0;
        std::ifstream in(file, std::ios::binary);
        if (!in) {
            return fail(Errc::config,
                        "sasl-password-file: cannot read " + file + ": " + std::strerror(errno == 0 ? EIO : errno));
        }
        std::string text(max_password_file_bytes + 1, '\0');
        in.read(text.data(), static_cast<std::streamsize>(text.size()));
        if (in.bad()) return fail(Errc::config, "sasl-password-file: cannot read " + file);
        text.resize(static_cast<std::size_t>(in.gcount()));
        if (text.size() > max_password_file_bytes) {
            return fail(Errc::config, "sasl-password-file: " + file + " has more than 4096 bytes");
        }
        if (text.ends_with('\n')) text.pop_back();
        if (text.ends_with('\r')) text.pop_back();
        if (text.empty()) return fail(Errc::config, "sasl-password-file: there is no password in " + file);
        if (text.find_first_of(std::string_view("\0\n", 2)) != std::string::npos) {
            return fail(Errc::config, "sasl-password-file: " + file + " has more than one line");
        }
        return text;
    }

    void add(std::string_view property, std::string_view value) {
        config_.kafka.properties.emplace_back(property, value);
    }

    /// The value in force of a property, whoever gave it.
    [[nodiscard]] std::string_view given(std::string_view property) const {
        const auto& ours = config_.kafka.properties;
        const auto found = std::ranges::find(ours, property, &kafka::Properties::value_type::first);
        return found != ours.end() ? std::string_view(found->second) : raw(property);
    }

    [[nodiscard]] bool has_any(std::initializer_list<std::string_view> properties) const {
        return std::ranges::any_of(properties, [&](std::string_view name) { return !given(name).empty(); });
    }

    Result<void> check() {
        const bool has_ca = has_any({"ssl.ca.location", "ssl.ca.pem"});
        const bool has_cert = has_any({"ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"});
        const bool has_key = has_any({"ssl.key.location", "ssl.key.pem", "ssl.keystore.location"});
        if (has_cert != has_key) return fail(Errc::config, "cert-file and key-file come together");
        std::string_view mechanism = given("sasl.mechanism");
        if (mechanism.empty()) mechanism = raw("sasl.mechanisms");
        const bool has_user = has_any({"sasl.username", "sasl.password"});
        if (has_user && mechanism.empty()) return fail(Errc::config, "a user asks for a sasl-mechanism");

        std::string protocol(given("security.protocol"));
        if (protocol.empty()) {
            const bool has_tls = has_ca || has_cert;
            if (!mechanism.empty() && !has_tls) {
                return fail(
                    Errc::config,
                    "sasl-mechanism without TLS shows the network who we are: give ca-file, or security sasl_ssl "
                    "with the system's certificates, or else say so with security sasl_plaintext");
            }
            protocol = !mechanism.empty() ? "sasl_ssl" : has_tls ? "ssl" : "plaintext";
            config_.security = protocol;
            add("security.protocol", protocol);
        }
        const bool is_sasl = protocol.starts_with("sasl_") || protocol.starts_with("SASL_");
        const bool is_tls = protocol.ends_with("ssl") || protocol.ends_with("SSL");
        if (is_sasl && mechanism.empty())
            return fail(Errc::config, "security " + protocol + " asks for a sasl-mechanism");
        if (!is_sasl && !mechanism.empty()) {
            return fail(Errc::config, "sasl-mechanism does nothing with security " + protocol);
        }
        if (!is_tls && (has_ca || has_cert)) {
            return fail(Errc::config, "ca-file and cert-file do nothing with security " + protocol);
        }
        const bool wants_password = mechanism == "PLAIN" || mechanism.starts_with("SCRAM-");
        if (wants_password && (given("sasl.username").empty() || given("sasl.password").empty())) {
            return fail(Errc::config,
                        "sasl-mechanism " + std::string(mechanism) + " asks for sasl-username and sasl-password-file");
        }
        if (mechanism == "PLAIN" && !is_tls) {
            config_.warnings.emplace_back("sasl-mechanism PLAIN without TLS: the network can read the password");
        }
        if (mechanism.starts_with("SCRAM-") && kafka::scram_fails_on_kafka_4()) {
            config_.warnings.push_back("sasl-mechanism " + std::string(mechanism) +
                                       ": brokers of Kafka 4 refuse it from " + "librdkafka " +
                                       std::string(kafka::library_version()) + "; use PLAIN over TLS, or certificates");
        }
        return {};
    }

    Config& config_;
};

void check_socket(Config& config, daemon::Findings& findings) {
    if (config.control.empty()) config.control = default_socket_path();
    if (config.control.size() >= sizeof(sockaddr_un::sun_path)) {
        findings.add(
            {Errc::config, "control: '" + config.control + "' is longer than the path of a socket may be: 107 bytes"});
    }
    if (config.node.empty()) {
        std::array<char, 256> name{};
        if (gethostname(name.data(), name.size() - 1) == 0) config.node = name.data();
        if (config.node.empty()) config.node = "sio-bridge";
    }
    if (config.listen == "off") return;
    if (const auto address = parse_listen_address(config.listen); !address) {
        findings.add({Errc::config, "listen: " + address.error().what + ", nor off"});
    }
}

/// `host`, `host:port` or, as librdkafka has it, `PROTOCOL://host:port`, separated by commas.
Result<void> check_brokers(std::string_view brokers) {
    while (!brokers.empty()) {
        const std::size_t end = std::min(brokers.find(','), brokers.size());
        std::string_view one = base::trim(brokers.substr(0, end));
        brokers.remove_prefix(std::min(end + 1, brokers.size()));
        const auto wrong = [one](std::string_view remedy) {
            return fail(Errc::config, "brokers: '" + std::string(one) + "' " + std::string(remedy));
        };
        if (one.empty()) continue;
        std::string_view rest = one;
        if (const std::size_t slashes = one.find("://"); slashes != std::string_view::npos) {
            const std::string_view scheme = one.substr(0, slashes);
            const auto is = [scheme](std::string_view word) { return base::equal_ignoring_case(word, scheme); };
            if (!is("plaintext") && !is("ssl") && !is("sasl_plaintext") && !is("sasl_ssl")) {
                return fail(Errc::config, "brokers: what begins with " + std::string(scheme) +
                                              ":// is a URL: write host:port, and say TLS by security = ssl");
            }
            rest = one.substr(slashes + 3);
        }
        const std::size_t colon = rest.starts_with('[') ? rest.find("]:") : rest.rfind(':');
        const std::string_view host = rest.substr(0, colon);
        if (host.empty() || host.find_first_of(" \t\"'/\\@;{}()<>") != std::string_view::npos ||
            host.starts_with("[\"")) {
            return wrong("is not host:port; several are separated by commas");
        }
        if (colon == std::string_view::npos) continue;
        const std::string_view port = rest.substr(colon + (rest.starts_with('[') ? 2 : 1));
        const auto number = base::parse_decimal(port, 65535);
        if (!number || *number == 0) return wrong("has a port that is no number from 1 to 65535");
    }
    return {};
}

void check_kafka(Config& config, daemon::Findings& findings) {
    const auto wrong = [&](std::string what) { findings.add({Errc::config, std::move(what)}); };
    findings.check(check_brokers(config.brokers));
    if (config.brokers.empty() && !config.embedded_broker) {
        wrong(
            "there is no Kafka: give --brokers host:port or KAFKA_BROKERS, or, to try things out, "
            "--embedded-broker");
    }
    if (!config.brokers.empty() && config.embedded_broker) {
        wrong("embedded-broker is instead of brokers: leave one out");
    }
    if (config.client_id.empty()) wrong("client-id: brokers are told some name");
    if (!findings.check(Security(config).settle())) return;
    if (config.embedded_broker) {
        if (config.security != "plaintext") {
            wrong("embedded-broker knows neither TLS nor users: leave out what is about them");
        }
        config.warnings.emplace_back("embedded-broker is for trying out: it keeps records in memory, until we end");
    }
    auto& given = config.properties;
    config.kafka.properties.insert(config.kafka.properties.end(), given.begin(), given.end());
    config.kafka.consumer_properties = config.consumer_properties;
    config.kafka.producer_properties = config.producer_properties;
    config.kafka.brokers = config.brokers;
    config.kafka.client_id = config.client_id;
    findings.check(kafka::check(config.kafka));
}

void check_directions(const Config& config, daemon::Findings& findings) {
    const auto wrong = [&](std::string what) { findings.add({Errc::config, std::move(what)}); };
    if (config.routes.empty() && config.events_stream.empty()) {
        wrong("there is nothing to do: give --routes with topics to consume, or an events-stream");
    }
    if (config.group.empty()) wrong("group: consumers are some group's");
    if (config.events_group.empty()) wrong("events-group: readers of the stream are some group's");
    if (config.stream.empty()) wrong("redis-stream: gateways read some stream");
    if (config.events_stream == config.stream) {
        wrong("events-stream: '" + config.stream + "' is the stream that gateways read");
    }
    if (config.in_flight_bytes < config.max_record_bytes) {
        wrong("in-flight-bytes: less than max-record-bytes, so that some record never gets through");
    }
}

void complete(Config& config, daemon::Findings& findings) {
    check_socket(config, findings);
    // What is missing is told only when all that was given could be read.
    const bool is_whole = !findings.has_mistakes();
    daemon::settle_redis(config.redis, config.redis_endpoint, findings);
    const bool is_redis_wrong = is_whole && findings.has_mistakes();
    if (is_whole || !config.routes.empty()) check_directions(config, findings);
    if (is_whole && !is_redis_wrong && !config.redis_endpoint) {
        findings.add(
            {Errc::config, "there is no Redis: give --redis redis://host, REDIS_URL or REDIS_HOST, the gateways' own"});
    }
    if (is_whole || !config.brokers.empty()) check_kafka(config, findings);
}

}  // namespace

Result<void> check_topics(const routes::Routes& routes, const Config& config) {
    for (const auto& topic : routes.topics()) {
        if (topic->is_pattern || config.dead_letter_topic.empty() || topic->name != config.dead_letter_topic) continue;
        return fail(Errc::config, config.routes + ": /topics/" + topic->name +
                                      ": dead letters are written to this topic (dead-letter-topic), so it cannot be "
                                      "consumed: leave it out, or name another dead-letter-topic");
    }
    return {};
}

std::string default_socket_path() {
    const std::string path = wire::default_control_path();
    return path.substr(0, path.rfind('/') + 1) + "bridge.sock";
}

std::vector<Option> options_of(Config& c) {
    using daemon::bytes;
    using daemon::choice;
    using daemon::duration;
    using daemon::number;
    std::vector<Option> table;
    std::string group;
    const auto add = [&](Option option) {
        option.group = group;
        table.push_back(std::move(option));
    };

    group = "Listening";
    add(daemon::text({.name = "control",
                      .value = "PATH",
                      .help = "Socket that sioctl talks to; empty: /run/sio/bridge.sock for root, else sio/bridge.sock "
                              "in XDG_RUNTIME_DIR, else /tmp/sio-UID/bridge.sock.",
                      .env = {"SIO_BRIDGE"}},
                     c.control));
    daemon::add_socket_options(table, group);
    add(name_text({.name = "node",
                   .value = "NAME",
                   .help = "This bridge's name among others, the same at each start; two on one host need different "
                           "ones; empty: the host's name."},
                  c.node));
    add(daemon::text({.name = "listen",
                      .value = "ADDRESS:PORT|off",
                      .help = "Where GET of /metrics, /health, /live and /ready is answered, without asking who asks."},
                     c.listen));

    group = "Kafka";
    add(daemon::text({.name = "brokers",
                      .value = "HOST:PORT,…",
                      .help = "Brokers to begin with, of which one must answer; they name the others.",
                      .env = {"KAFKA_BROKERS"}},
                     c.brokers));
    add(daemon::on_off({.name = "embedded-broker",
                        .help = "Be a Kafka broker, too, for trying things out: in memory, on a port of this host, "
                                "forgotten at the end."},
                       c.embedded_broker));
    add(name_text({.name = "client-id",
                   .value = "NAME",
                   .help = "Who we are in the logs and metrics of brokers.",
                   .env = {"KAFKA_CLIENT_ID"}},
                  c.client_id));
    add(word_or_none(
        {.name = "security",
         .help = "How brokers are spoken to; empty: sasl_ssl with a mechanism and ca-file or cert-file, ssl "
                 "with one of these, plaintext with none of all."},
        c.security, {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"}));
    add(daemon::text(
        {.name = "ca-file", .value = "FILE", .help = "Certificates that vouch for brokers, PEM; empty: the system's."},
        c.ca_file));
    add(daemon::text({.name = "cert-file", .value = "FILE", .help = "Our certificate, PEM."}, c.cert_file));
    add(daemon::text({.name = "key-file", .value = "FILE", .help = "Its key, PEM."}, c.key_file));
    add(word_or_none({.name = "sasl-mechanism", .help = "How we prove who we are; empty: not by SASL."},
                     c.sasl_mechanism, {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}));
    add(daemon::text({.name = "sasl-username", .value = "NAME", .help = "Who we are."}, c.sasl_username));
    add(daemon::text({.name = "sasl-password-file", .value = "FILE", .help = "File with the password, one line."},
                     c.sasl_password_file));
    add(daemon::prefix(
        {.name = "kafka.",
         .help = "Property of librdkafka by its own name, such as kafka.ssl.key.password; those that our "
                 "promises rest on are refused."},
        c.properties, is_secret_property));
    add(daemon::prefix({.name = "kafka.consumer.", .help = "The same, of consumers only."}, c.consumer_properties,
                       is_secret_property));
    add(daemon::prefix({.name = "kafka.producer.", .help = "The same, of producers only."}, c.producer_properties,
                       is_secret_property));

    group = "Topics to clients";
    add(daemon::text(
        {.name = "routes",
         .value = "FILE",
         .help = "What becomes of records: the topics of a routes file; read again on SIGHUP. Empty: nothing "
                 "is consumed."},
        c.routes));
    add(name_text({.name = "group", .value = "NAME", .help = "Consumer group that all bridges share."}, c.group));
    add(choice({.name = "assignor", .help = "How partitions are shared out among them; the same on all."}, c.assignor,
               {{"range", std::string("range")}, {"roundrobin", std::string("roundrobin")}}));
    add(duration({.name = "session-timeout",
                  .help = "How long a bridge may be silent before the others get its partitions; brokers set bounds.",
                  .cost = "A larger value lets a dead bridge's records wait longer."},
                 c.session_timeout, 1s, 30min));
    add(daemon::on_off({.name = "from-beginning",
                        .help = "Begin partitions that the group has never read at their first record instead of "
                                "with what is newer than this start."},
                       c.from_beginning));
    add(topic({.name = "dead-letter-topic",
               .help = "Where records go that routes can do nothing with; empty: they are only counted and logged."},
              c.dead_letter_topic));
    add(bytes({.name = "max-record-bytes",
               .help = "Largest value of a record; larger ones are dead letters.",
               .cost = "A larger value lets one event cost Redis and each gateway that much memory."},
              c.max_record_bytes, 1U << 10U, 64U << 20U));
    add(bytes({.name = "in-flight-bytes",
               .help = "Most bytes that are read from Kafka and not in Redis yet; then reading stops.",
               .cost = "A larger value costs that memory."},
              c.in_flight_bytes, 64U << 10U, std::size_t{1} << 30U));
    add(bytes(
        {.name = "read-ahead-bytes",
         .help = "Most bytes that are fetched from Kafka before they are read.",
         .cost = "A larger value costs that memory while records come faster than Redis takes them; a full one is "
                 "filled again only a second later, so a small one bounds the rate."},
        c.read_ahead_bytes, 1U << 20U, std::size_t{1} << 30U));

    group = "Events of clients to topics";
    add(daemon::text({.name = "events-stream",
                      .value = "KEY",
                      .help = "Stream in Redis where gateways put what goes out, as they have it; empty: nothing goes "
                              "out."},
                     c.events_stream));
    add(name_text(
        {.name = "events-group",
         .value = "NAME",
         .help = "Consumer group of the bridges on that stream; a new one begins with all that it still has."},
        c.events_group));
    add(topic({.name = "lifecycle-topic",
               .help = "Where connects, disconnects, joins, leaves and rooms that fill or empty go; empty: nowhere."},
              c.lifecycle_topic));
    add(bytes({.name = "out-bytes",
               .help = "Most bytes that are with Kafka and not confirmed yet; then reading stops.",
               .cost = "A larger value costs that memory."},
              c.out_bytes, 64U << 10U, std::size_t{1} << 30U));

    group = "Redis";
    daemon::add_redis_options(table, group, c.redis,
                              "The Redis of the gateways: redis://, rediss:// (TLS), unix:// or redis+sentinel://.");
    add(daemon::text({.name = "redis-stream",
                      .value = "KEY",
                      .help = "Stream that gateways share, as they have it with the two options that follow."},
                     c.stream));
    add(number({.name = "redis-stream-count", .value = "N", .help = "Number of these streams."}, c.stream_count, 1,
               64));
    add(duration({.name = "redis-retention",
                  .help = "How long entries stay in the stream.",
                  .cost = "A larger value costs memory of Redis."},
                 c.retention, 1s, longest));
    add(bytes({.name = "redis-stream-bytes",
               .help = "Most memory that these streams take in Redis, in all; then the oldest entries go.",
               .cost = "A larger value costs memory of Redis."},
              c.stream_bytes, 64U << 10U, std::size_t{1} << 40U));
    add(number({.name = "redis-stream-entries",
                .value = "N",
                .help = "Most entries of these streams, in all; then likewise.",
                .cost = "A larger value costs memory of Redis."},
               c.stream_entries, 100, std::size_t{1} << 40U));

    group = "Operation";
    add(duration({.name = "drain",
                  .help = "How long what is in flight may take after SIGTERM before the program ends.",
                  .cost = "A larger value ends later when Kafka or Redis is away."},
                 c.drain, 0ms, longest));
    daemon::add_log_options(table, group, c.log, "sio:*,-sio:kafka");
    return table;
}

namespace {

daemon::Loaded settle(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                      const daemon::Environment& environment, daemon::Findings& findings) {
    daemon::Loaded loaded = daemon::read(options, arguments, environment, findings);
    if (daemon::wants_config(loaded.action)) complete(config, findings);
    return loaded;
}

}  // namespace

Result<daemon::Action> load_config(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                                   const daemon::Environment& environment) {
    return daemon::settled(config, options, arguments, environment, settle);
}

Start start(std::span<const char* const> arguments, const daemon::Environment& environment,
            const daemon::Judge<Config>& judge) {
    return daemon::start<Config>({program, about, SIO_VERSION}, arguments, environment, options_of, settle, judge);
}

}  // namespace sio::bridge
