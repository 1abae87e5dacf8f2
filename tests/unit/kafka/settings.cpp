// kafka/settings.h: what librdkafka does not know, what goes not together, and what our promises rest on is refused.

#include "kafka/settings.h"

#include <criterion/criterion.h>

namespace {

using namespace sio;
using namespace sio::kafka;

Settings with(Properties properties) {
    Settings settings;
    settings.brokers = "127.0.0.1:1";
    settings.client_id = "unit-test";
    settings.properties = std::move(properties);
    return settings;
}

Test(kafka_settings, take_properties_of_librdkafka) {
    cr_expect(check(with({})).has_value());
    cr_expect(check(with({{"socket.timeout.ms", "1500"}, {"debug", "broker"}})).has_value());
    Settings both = with({});
    both.consumer_properties = {{"fetch.wait.max.ms", "10"}};
    both.producer_properties = {{"compression.type", "zstd"}};
    cr_expect(check(both).has_value());
    cr_expect(check(with({{"security.protocol", "sasl_plaintext"},
                          {"sasl.mechanism", "PLAIN"},
                          {"sasl.username", "u"},
                          {"sasl.password", "p"}}))
                  .has_value());
}

Test(kafka_settings, refuse_what_is_unknown_or_does_not_go_together) {
    for (const auto& [name, value] : Properties{{"no.such.thing", "1"},
                                                {"socket.timeout.ms", "soon"},
                                                {"security.protocol", "tls"},
                                                {"sasl.mechanism", "NONE"}}) {
        const auto done = check(with({{"security.protocol", "sasl_plaintext"}, {name, value}}));
        cr_assert(!done, "%s", name.c_str());
        cr_expect(done.error().code == Errc::config);
    }
    const auto unknown = check(with({{"no.such.thing", "1"}}));
    cr_expect(unknown.error().what.find("no.such.thing") != std::string::npos, "%s", unknown.error().what.c_str());
    const auto unreadable = check(with({{"security.protocol", "ssl"}, {"ssl.ca.location", "/nowhere/ca.pem"}}));
    cr_assert(!unreadable);
    cr_expect(unreadable.error().code == Errc::config);
    cr_expect(unreadable.error().what.find("ca") != std::string::npos, "%s", unreadable.error().what.c_str());
}

Test(kafka_settings, refuse_what_our_promises_rest_on_and_name_our_option) {
    const Properties refused = {{"enable.auto.commit", "true"},
                                {"enable.idempotence", "false"},
                                {"acks", "1"},
                                {"request.required.acks", "1"},
                                {"message.timeout.ms", "1000"},
                                {"partition.assignment.strategy", "cooperative-sticky"},
                                {"auto.offset.reset", "latest"},
                                {"queued.min.messages", "10"},
                                {"group.id", "x"},
                                {"bootstrap.servers", "x"}};
    for (const auto& property : refused) {
        for (int where = 0; where < 3; ++where) {
            Settings settings = with({});
            (where == 0   ? settings.properties
             : where == 1 ? settings.consumer_properties
                          : settings.producer_properties) = {property};
            const auto done = check(settings);
            cr_assert(!done, "%s", property.first.c_str());
            cr_expect(done.error().code == Errc::config);
            cr_expect(done.error().what.find(property.first) != std::string::npos);
        }
    }
    cr_expect(check(with({{"group.id", "x"}})).error().what.find("as group") != std::string::npos);
    cr_expect(check(with({{"partition.assignment.strategy", "x"}})).error().what.find("assignor") != std::string::npos);
}

Test(kafka_settings, know_the_library) {
    cr_expect(!library_version().empty());
    if (library_version() == "2.0.2") cr_expect(scram_fails_on_kafka_4());
}

}  // namespace
