// bridge/config.h: what options mean together, and that sample file and manual page say what the table says.
#include "bridge/config.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace {

using namespace sio;
using namespace sio::bridge;
using namespace std::chrono_literals;

using Variables = std::map<std::string, std::string>;

/// What is there in all cases unless a test says otherwise.
const Variables usual = {{"KAFKA_BROKERS", "kafka:9092"}, {"REDIS_URL", "redis://redis"}};

Result<Config> config_of(const std::vector<const char*>& arguments, const Variables& variables = usual) {
    Config config;
    auto options = options_of(config);
    const auto loaded = load_config(config, options, arguments, [&](const std::string& name) {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
    if (!loaded) return tl::unexpected(loaded.error());
    return config;
}

std::string refusal(const std::vector<const char*>& arguments, const Variables& variables = usual) {
    const auto config = config_of(arguments, variables);
    return config ? "" : std::string(to_string(config.error().code)) + " " + config.error().what;
}

/// The value of a property that librdkafka is given for all clients; `-` when it is given none.
std::string property(const Result<Config>& config, std::string_view name) {
    if (!config) return config.error().what;
    const auto& all = config->kafka.properties;
    const auto found = std::ranges::find(all, name, &kafka::Properties::value_type::first);
    return found == all.end() ? "-" : found->second;
}

std::string source_text(const char* path) {
    const auto root = std::filesystem::path(__FILE__).parent_path() / "../../..";
    std::ifstream in(root / path);
    cr_assert(in.good(), "cannot read %s", path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

class PasswordFile {
public:
    explicit PasswordFile(const std::string& content) {
        char name[] = "/tmp/sio-password-XXXXXX";
        const int fd = mkstemp(name);
        cr_assert(fd >= 0);
        close(fd);
        path_ = name;
        std::ofstream(path_) << content;
    }
    ~PasswordFile() { unlink(path_.c_str()); }
    PasswordFile(const PasswordFile&) = delete;
    PasswordFile& operator=(const PasswordFile&) = delete;
    [[nodiscard]] const char* path() const { return path_.c_str(); }

private:
    std::string path_;
};

/// A certificate that vouches for itself, and its key, in a folder of their own.
class Certificate {
public:
    Certificate() {
        char name[] = "/tmp/sio-certificate-XXXXXX";
        cr_assert(mkdtemp(name) != nullptr);
        folder_ = name;
        EVP_PKEY* const pair = EVP_EC_gen("P-256");
        X509* const made = X509_new();
        X509_set_version(made, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
        X509_gmtime_adj(X509_getm_notBefore(made), 0);
        X509_gmtime_adj(X509_getm_notAfter(made), 3600);
        X509_set_pubkey(made, pair);
        X509_NAME* const subject = X509_get_subject_name(made);
        const unsigned char common[] = "unit test";
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, common, -1, -1, 0);
        X509_set_issuer_name(made, subject);
        cr_assert(X509_sign(made, pair, EVP_sha256()) > 0);
        std::FILE* file = std::fopen(path().c_str(), "w");
        cr_assert(file != nullptr && PEM_write_X509(file, made) == 1);
        std::fclose(file);
        file = std::fopen(key().c_str(), "w");
        cr_assert(file != nullptr && PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr) == 1);
        std::fclose(file);
        X509_free(made);
        EVP_PKEY_free(pair);
    }
    ~Certificate() { std::filesystem::remove_all(folder_); }
    Certificate(const Certificate&) = delete;
    Certificate& operator=(const Certificate&) = delete;
    [[nodiscard]] std::string path() const { return folder_ + "/cert.pem"; }
    [[nodiscard]] std::string key() const { return folder_ + "/key.pem"; }
    [[nodiscard]] std::string ca_flag() const { return "--ca-file=" + path(); }

private:
    std::string folder_;
};

}  // namespace

Test(bridge_config, with_kafka_and_redis_alone_it_is_what_the_struct_says) {
    const auto config = config_of({});
    cr_assert(config.has_value(), "%s", config.error().what.c_str());
    cr_expect(config->control.ends_with("/bridge.sock") && !config->node.empty() && config->warnings.empty());
    cr_expect(config->redis_endpoint->host == "redis" && config->stream == "socket.io" && config->drain == 10s);
    cr_expect(config->kafka.brokers == "kafka:9092" && config->kafka.client_id == "sio-bridge");
    cr_expect(property(config, "security.protocol") == "plaintext");
    const auto named = config_of({}, {{"KAFKA_BROKERS", "a:1,b:2"},
                                      {"KAFKA_CLIENT_ID", "school"},
                                      {"REDIS_HOST", "localhost"},
                                      {"SIO_BRIDGE", "/run/other.sock"}});
    cr_expect(named->kafka.brokers == "a:1,b:2" && named->kafka.client_id == "school" &&
              named->control == "/run/other.sock" && named->redis_endpoint->host == "localhost");
}

Test(bridge_config, the_sample_file_is_the_table_at_its_defaults) {
    Config config;
    cr_expect(source_text("deploy/conf/bridge.conf") == daemon::sample_text("sio-bridge", options_of(config)),
              "write it anew: bin/sio-bridge --sample-config > deploy/conf/bridge.conf");
}

Test(bridge_config, the_manual_page_names_every_option_with_its_default_and_variable) {
    Config config;
    const std::string page = source_text("man/sio-bridge.8");
    std::size_t items = 0;
    for (const auto& option : options_of(config)) {
        const std::string item = "\n.It Fl Fl " + option.shown_name();
        std::size_t at = page.find(item + " ");
        if (at == std::string::npos) at = page.find(item + "\n");
        cr_assert(at != std::string::npos, "--%s is not in the manual page", option.name.c_str());
        std::string text = page.substr(at, page.find("\n.It", at + 1) - at);
        std::replace(text.begin(), text.end(), '\n', ' ');
        for (const auto& value : option.show()) {
            cr_expect(value.empty() || text.find(value) != std::string::npos, "--%s: no default '%s' in '%s'",
                      option.name.c_str(), value.c_str(), text.c_str());
        }
        if (option.is_switch) cr_expect(text.find("Fl Fl no-" + option.name) != std::string::npos);
        for (const auto& variable : option.env) {
            cr_expect(page.find("\n.It Ev " + variable + "\n") != std::string::npos, "%s", variable.c_str());
        }
        ++items;
    }
    std::size_t listed = 0;
    for (std::size_t at = 0; (at = page.find("\n.It Fl Fl ", at)) != std::string::npos; ++at) ++listed;
    cr_expect(listed == items + 5, "%zu items for %zu options", listed, items);
}

Test(bridge_config, the_manual_page_lists_every_metric) {
    const std::string page = source_text("man/sio-bridge.8");
    const std::string source = source_text("src/bridge/metrics.cpp");
    std::size_t found = 0;
    for (std::size_t at = 0; (at = source.find("\"sio_bridge_", at)) != std::string::npos; ++at) {
        const std::string name = source.substr(at + 1, source.find_first_of("\"{ ", at + 1) - at - 1);
        const bool is_part = name.ends_with("_bucket") || name.ends_with("_sum") || name.ends_with("_count");
        if (is_part) continue;  // of a histogram
        cr_expect(page.find("\n.It Li " + name + "\n") != std::string::npos, "%s is not in the manual page",
                  name.c_str());
        ++found;
    }
    cr_expect(found > 10, "%zu metrics", found);
}

Test(bridge_config, what_is_missing_is_told_with_its_remedy) {
    const Variables redis{{"REDIS_HOST", "h"}};
    cr_expect(refusal({}, redis).starts_with("config there is no Kafka: give --brokers"));
    cr_expect(refusal({}, {{"KAFKA_BROKERS", "b:1"}}).starts_with("config there is no Redis: give --redis"));
    cr_expect(refusal({"--embedded-broker"}).starts_with("config embedded-broker is instead of brokers"));
    cr_expect(refusal({"--events-stream="}).starts_with("config there is nothing to do: give --routes"));
    cr_expect(refusal({"--events-stream=", "--routes", "r.json"}) == "");
    const auto embedded = config_of({"--embedded-broker"}, redis);
    cr_assert(embedded.has_value(), "%s", embedded.error().what.c_str());
    cr_expect(embedded->kafka.brokers.empty() && embedded->warnings.size() == 1);
    cr_expect(refusal({"--embedded-broker", "--ca-file", "ca.pem"}, redis).starts_with("config embedded-broker knows"));
}

Test(bridge_config, what_cannot_be_is_refused) {
    cr_expect(refusal({"--events-stream", "socket.io"}).starts_with("config events-stream: "));
    cr_expect(refusal({"--in-flight-bytes", "64KB"}).starts_with("config in-flight-bytes: "));
    for (const auto* wrong :
         {"3002", "localhost:3002", "127.0.0.1", "127.0.0.1:65536", "::1:3002", "[127.0.0.1]:1", ""}) {
        const std::string listen = "--listen=" + std::string(wrong);
        cr_expect(refusal({listen.c_str()}).starts_with("config listen: "), "%s", wrong);
    }
    for (const auto* right : {"--listen=[::1]:3002", "--listen=0.0.0.0:0", "--listen=off"}) {
        cr_expect(refusal({right}) == "", "%s", right);
    }
    for (const auto* wrong : {"--dead-letter-topic=a/b", "--lifecycle-topic=..", "--group=a b", "--node=a\n",
                              "--assignor=sticky", "--security=tls", "--sasl-mechanism=GSSAPI"}) {
        cr_expect(refusal({wrong}).starts_with("usage "), "%s", wrong);
    }
    for (const auto* wrong : {"--group=", "--events-group=", "--client-id=", "--redis-stream="}) {
        cr_expect(refusal({wrong}).starts_with("config "), "%s", wrong);
    }
    cr_expect(refusal({"--dead-letter-topic=", "--lifecycle-topic=", "--security=", "--sasl-mechanism="}) == "");
}

Test(bridge_config, security_is_what_the_files_say_and_sasl_without_tls_must_be_meant) {
    const PasswordFile password("secret\n");
    const auto with = [&](std::vector<const char*> more) {
        for (const auto* each :
             {"--sasl-mechanism=PLAIN", "--sasl-username=u", "--sasl-password-file", password.path()}) {
            more.push_back(each);
        }
        return config_of(more);
    };
    const Certificate certificate;
    const std::string ca = certificate.ca_flag();
    const std::string cert = "--cert-file=" + certificate.path();
    const std::string key = "--key-file=" + certificate.key();
    cr_expect(property(config_of({ca.c_str()}), "security.protocol") == "ssl");
    cr_expect(property(config_of({cert.c_str(), key.c_str()}), "security.protocol") == "ssl");
    cr_expect(property(config_of({"--security=ssl"}), "security.protocol") == "ssl");
    const auto both = with({ca.c_str()});
    cr_assert(both.has_value(), "%s", both.error().what.c_str());
    cr_expect(property(both, "security.protocol") == "sasl_ssl" &&
              property(both, "ssl.ca.location") == certificate.path());
    cr_expect(property(both, "sasl.mechanism") == "PLAIN" && property(both, "sasl.username") == "u");
    cr_expect(property(both, "sasl.password") == "secret" && both->warnings.empty());
    cr_expect(property(with({"--security=sasl_ssl"}), "security.protocol") == "sasl_ssl");

    cr_expect(property(with({}), "security.protocol").starts_with("sasl-mechanism without TLS"));
    const auto plain = with({"--security=sasl_plaintext"});
    cr_assert(plain.has_value());
    cr_expect(plain->warnings.size() == 1 && plain->warnings[0].find("PLAIN without TLS") != std::string::npos);
    cr_expect(property(with({"--security=ssl"}), "x").starts_with("sasl-mechanism does nothing with security ssl"));
    cr_expect(refusal({"--security=sasl_ssl"}).find("asks for a sasl-mechanism") != std::string::npos);
    cr_expect(refusal({"--security=plaintext", "--ca-file=c"}).find("do nothing") != std::string::npos);
    cr_expect(refusal({"--cert-file=c"}).find("come together") != std::string::npos);
    cr_expect(refusal({"--sasl-username=u"}).find("sasl-mechanism") != std::string::npos);
    cr_expect(refusal({"--sasl-mechanism=PLAIN", "--ca-file=c"}).find("sasl-password-file") != std::string::npos);
}

Test(bridge_config, scram_is_warned_about_where_this_librdkafka_cannot_do_it_with_kafka_4) {
    const PasswordFile password("secret");
    const auto config = config_of({"--sasl-mechanism=SCRAM-SHA-256", "--sasl-username=u", "--security=sasl_ssl",
                                   "--sasl-password-file", password.path()});
    cr_assert(config.has_value(), "%s", config.error().what.c_str());
    cr_expect(config->warnings.size() == (kafka::scram_fails_on_kafka_4() ? 1 : 0));
}

Test(bridge_config, properties_of_librdkafka_count_as_our_options_do_and_not_beside_them) {
    const Certificate certificate;
    const std::string ca = "--kafka.ssl.ca.location=" + certificate.path();
    const auto raw = config_of({ca.c_str(), "--kafka.socket.timeout.ms=5000", "--kafka.consumer.fetch.wait.max.ms=10",
                                "--kafka.producer.compression.type=lz4"});
    cr_assert(raw.has_value(), "%s", raw.error().what.c_str());
    cr_expect(property(raw, "security.protocol") == "ssl" && property(raw, "socket.timeout.ms") == "5000");
    cr_expect(raw->kafka.consumer_properties == kafka::Properties({{"fetch.wait.max.ms", "10"}}));
    cr_expect(raw->kafka.producer_properties == kafka::Properties({{"compression.type", "lz4"}}));
    cr_expect(refusal({"--kafka.ssl.ca.location=a", "--ca-file=b"}).find("say the same") != std::string::npos);
    cr_expect(refusal({"--kafka.sasl.mechanisms=PLAIN", "--sasl-mechanism=PLAIN"}).find("say the same") !=
              std::string::npos);
    cr_expect(refusal({"--kafka.security.protocol=sasl_ssl", "--kafka.sasl.mechanisms=PLAIN", "--kafka.sasl.username=u",
                       "--kafka.sasl.password=p"}) == "");
    for (const auto* wrong : {"--kafka.no.such.property=1", "--kafka.consumer.enable.auto.commit=true",
                              "--kafka.producer.enable.idempotence=false"}) {
        cr_expect(refusal({wrong}).starts_with("config "), "%s", wrong);
    }
}

Test(bridge_config, passwords_are_shown_to_nobody) {
    const PasswordFile password("hush-1");
    Config config;
    auto options = options_of(config);
    const auto loaded =
        load_config(config, options,
                    std::vector<const char*>{"--kafka.ssl.key.password=hush-2", "--security=sasl_ssl",
                                             "--kafka.ssl.keystore.password=hush-3", "--sasl-mechanism=PLAIN",
                                             "--sasl-username=u", "--sasl-password-file", password.path()},
                    [](const std::string& name) {
                        const auto found = usual.find(name);
                        return found == usual.end() ? std::nullopt : std::optional(found->second);
                    });
    cr_assert(loaded.has_value(), "%s", loaded.error().what.c_str());
    const std::string printed = daemon::config_text(options);
    cr_expect(printed.find("hush") == std::string::npos, "%s", printed.c_str());
    cr_expect(printed.find("kafka.ssl.key.password = (set)\n") != std::string::npos);
    cr_expect(property(config, "ssl.key.password") == "hush-2" && property(config, "sasl.password") == "hush-1");
}

Test(bridge_config, a_password_file_has_one_line_that_is_not_for_everybody) {
    const auto with = [](const char* path) {
        return std::vector<const char*>{"--sasl-mechanism=PLAIN", "--sasl-username=u", "--security=sasl_ssl",
                                        "--sasl-password-file", path};
    };
    const PasswordFile empty("\n");
    const PasswordFile two("a\nb\n");
    const PasswordFile windows("a b\r\n");
    cr_expect(refusal(with("/nowhere/password")).starts_with("config sasl-password-file: cannot read"));
    cr_expect(refusal(with(empty.path())).find("there is no password") != std::string::npos);
    cr_expect(refusal(with(two.path())).find("more than one line") != std::string::npos);
    cr_expect(property(config_of(with(windows.path())), "sasl.password") == "a b");
    chmod(windows.path(), 0644);
    cr_expect(config_of(with(windows.path()))->warnings.size() == 1);
}
