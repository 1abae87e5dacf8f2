// redis/endpoint.h: every form of URL; errors that name the part and never tell the password.
#include "redis/endpoint.h"

#include <criterion/criterion.h>

#include <string>

namespace {

using namespace sio;
using namespace sio::redis;

Endpoint parsed(std::string_view url) {
    auto endpoint = parse_url(url);
    cr_assert(endpoint.has_value(), "%.*s: %s", int(url.size()), url.data(), endpoint.error().what.c_str());
    return *endpoint;
}

Test(redis_url, reads_host_port_and_database) {
    const Endpoint plain = parsed("redis://cache.example");
    cr_expect(plain.host == "cache.example" && plain.port == 6379 && plain.database == 0 && !plain.tls);
    cr_expect(plain.username.empty() && plain.password.empty() && plain.socket_path.empty());
    const Endpoint full = parsed("redis://10.0.0.7:7000/12");
    cr_expect(full.host == "10.0.0.7" && full.port == 7000 && full.database == 12);
    cr_expect(parsed("redis://h/?db=3").database == 3);
    const Endpoint v6 = parsed("redis://[2001:db8::1]:7000");
    cr_expect(v6.host == "2001:db8::1" && v6.port == 7000);
    cr_expect(v6.to_string() == "[2001:db8::1]:7000/0");
}

Test(redis_url, reads_user_and_password) {
    const Endpoint both = parsed("redis://ann:p%40ss%2Fw@h");
    cr_expect(both.username == "ann" && both.password == "p@ss/w" && both.host == "h");
    const Endpoint alone = parsed("redis://:secret@h:1");
    cr_expect(alone.username.empty() && alone.password == "secret" && alone.port == 1);
    cr_expect(parsed("redis://:se/cr@et@h").password == "se/cr@et");
    cr_expect(parsed("redis://:a+b@h").password == "a+b");
}

Test(redis_url, forgives_what_other_clients_take_and_says_so) {
    const Endpoint nobody = parsed("redis://:@h:1");
    cr_expect(nobody.username.empty() && nobody.password.empty() && nobody.port == 1 && nobody.warnings.size() == 1);
    const Endpoint standard = parsed("rediss://default:@h");
    cr_expect(standard.username.empty() && standard.password.empty() && standard.warnings.size() == 1);
    cr_expect(parsed("redis://h?family=6").family == 6 && parsed("redis://h/2?family=4").family == 4);
    cr_expect(parsed("redis://h?family=0").warnings.empty());
    const Endpoint other = parsed("redis://h?protocol=3&maxRetriesPerRequest=5&db=2");
    cr_expect(other.database == 2);
    cr_expect((other.warnings == std::vector<std::string>{"option protocol is another driver's and is ignored",
                                                          "option maxRetriesPerRequest is another driver's and is "
                                                          "ignored"}));
    const auto refused = [](std::string_view url) { return parse_url(url).error().what; };
    cr_expect(refused("rediss://h?ssl_cert_reqs=none").find("tls_verify=no") != std::string::npos);
    cr_expect(refused("redis://h?keyPrefix=x").find("option keyPrefix") == 0);
    cr_expect(refused("redis://h?family=5") == "option family is none of 0, 4 and 6");
    cr_expect(refused("redis://ann:@h") == "the password is empty: give it, or leave out the user");
}

Test(redis_url, a_host_by_itself_is_neither_a_url_nor_a_host_with_a_port) {
    for (const std::string_view fine : {"redis", "10.0.0.9", "fd00::9", "cache.example.org"}) {
        cr_expect(check_host(fine).has_value());
    }
    for (const std::string_view wrong : {"redis://:hush@h", "redis:6379", "[fd00::9]", "a b", "a,b"}) {
        const auto result = check_host(wrong);
        cr_assert(!result.has_value());
        cr_expect(result.error().what.find("hush") == std::string::npos);
    }
}

Test(redis_url, reads_unix_sockets) {
    const Endpoint plain = parsed("unix:///run/redis/redis.sock");
    cr_expect(plain.socket_path == "/run/redis/redis.sock" && plain.database == 0);
    cr_expect(plain.to_string() == "unix:/run/redis/redis.sock/0");
    const Endpoint full = parsed("unix://:pw@/tmp/a%20b@c.sock?db=4");
    cr_expect(full.socket_path == "/tmp/a b@c.sock" && full.password == "pw" && full.database == 4, "%s",
              full.socket_path.c_str());
    cr_expect(parsed("unix:///tmp/a@b").socket_path == "/tmp/a@b");
}

Test(redis_url, reads_tls_and_its_options) {
    const Endpoint plain = parsed("rediss://h");
    cr_expect(plain.tls && plain.tls_verify);
    const Endpoint full = parsed(
        "rediss://h:6380/1?tls_ca=/etc/ca.pem&tls_cert=/etc/c.pem&tls_key=/etc/"
        "k%20y.pem&tls_server_name=n&tls_verify=no");
    cr_expect(full.tls_ca_file == "/etc/ca.pem" && full.tls_cert_file == "/etc/c.pem");
    cr_expect(full.tls_key_file == "/etc/k y.pem" && full.tls_server_name == "n" && !full.tls_verify);
    cr_expect(full.to_string() == "tls h:6380/1");
}

Test(redis_url, reads_sentinels) {
    const Endpoint full = parsed("redis+sentinel://u:pw@s1,s2:7,[::1]:8/main/2?sentinel_user=su&sentinel_password=sp");
    cr_assert(full.sentinels.size() == 3);
    cr_expect((full.sentinels[0] == HostPort{"s1", 26379}));
    cr_expect((full.sentinels[1] == HostPort{"s2", 7}));
    cr_expect((full.sentinels[2] == HostPort{"::1", 8}));
    cr_expect(full.sentinel_master == "main" && full.database == 2);
    cr_expect(full.username == "u" && full.password == "pw");
    cr_expect(full.sentinel_username == "su" && full.sentinel_password == "sp");
    cr_expect(full.to_string() == "sentinel main/2");
    cr_expect(parsed("rediss+sentinel://s/main").tls);
}

Test(redis_url, names_the_part_that_is_wrong_and_tells_no_password) {
    struct Case {
        std::string_view url;
        std::string_view names;
    };
    constexpr Case cases[] = {
        {"", "begins with none of"},
        {"http://:s3cret@h", "begins with none of"},
        {"redis:/h", "begins with none of"},
        {"redis://", "host is missing"},
        {"redis://:s3cret@", "host is missing"},
        {"redis://:s3cret@:6379", "host is missing"},
        {"redis://:s3cret@h:", "port"},
        {"redis://:s3cret@h:0", "port"},
        {"redis://:s3cret@h:65536", "port"},
        {"redis://:s3cret@h:12x", "port"},
        {"redis://:s3cret@::1", "IPv6"},
        {"redis://:s3cret@[::1", "["},
        {"redis://:s3cret@[::1]x", "]"},
        {"redis://:s3cret@h/x", "database"},
        {"redis://:s3cret@h/-1", "database"},
        {"redis://:s3cret@h/1/2", "database"},
        {"redis://:s3cret@h/65536", "database"},
        {"redis://s3cret@h", "without a password"},
        {"redis://s3cret:@h", "password is empty"},
        {"redis://:s3cret@h?db", "no value"},
        {"redis://:s3cret@h?db=a", "database"},
        {"redis://:pass?s3cret=1@h", "host"},
        {"redis://h?s3cret=1", "option is none of"},
        {"redis://:s3cret@h?tls_ca=/a", "tls_ca"},
        {"rediss://:s3cret@h?tls_ca=", "tls_ca"},
        {"rediss://:s3cret@h?tls_verify=maybe", "tls_verify"},
        {"rediss://:s3cret@h?tls_cert=/a", "tls_key"},
        {"rediss://:s3cret@h?tls_key=/a", "tls_cert"},
        {"redis://h?sentinel_password=s3cret", "sentinel_password"},
        {"unix://relative/s3cret", "slash"},
        {"unix://", "slash"},
        {"redis+sentinel://:s3cret@s1", "master"},
        {"redis+sentinel://:s3cret@s1/", "master"},
        {"redis+sentinel://:s3cret@s1,,s2/m", "sentinel 2"},
        {"redis+sentinel://:s3cret@s1:x/m", "sentinel 1: the port"},
        {"redis+sentinel://:s3cret@s1/m/x", "database"},
        {"redis+sentinel://s1/m?sentinel_user=s3cret", "sentinel_password"},
        {"redis://:s3cret@h\n", "control"},
        {"redis://:s3cret@ho st", "character"},
    };
    for (const auto& [url, names] : cases) {
        const auto endpoint = parse_url(url);
        cr_assert(!endpoint, "%.*s was taken", int(url.size()), url.data());
        const std::string& what = endpoint.error().what;
        cr_expect(endpoint.error().code == Errc::config);
        cr_expect(what.find(names) != std::string::npos, "%.*s: %s", int(url.size()), url.data(), what.c_str());
        cr_expect(what.find("s3cret") == std::string::npos, "%.*s: %s", int(url.size()), url.data(), what.c_str());
    }
    cr_expect(!parse_url("unix:///" + std::string(107, 'a')));
    cr_expect(parse_url("unix:///" + std::string(106, 'a')).has_value());
    cr_expect(!parse_url("redis://" + std::string(254, 'a')));
    cr_expect(!parse_url("redis://" + std::string(9000, 'a')));
}

Test(redis_url, shows_no_secret) {
    for (const char* url :
         {"redis://ann:s3cret@h", "unix://:s3cret@/a", "redis+sentinel://:s3cret@s/m?sentinel_password=s3cret"}) {
        cr_expect(parsed(url).to_string().find("s3cret") == std::string::npos);
    }
}

}  // namespace
