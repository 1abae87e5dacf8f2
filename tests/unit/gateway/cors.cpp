// gateway/cors.h: the headers of cross-origin answers, byte for byte, and which WebSockets may connect.
#include "gateway/cors.h"

#include <criterion/criterion.h>

#include <string>
#include <utility>

namespace {

using namespace sio;
using namespace sio::gateway;
using Origin = std::optional<std::string_view>;

Cors make(CorsOptions options) {
    auto cors = Cors::create(std::move(options));
    cr_assert(cors.has_value());
    return std::move(*cors);
}

Cors make(std::vector<std::string> origins) {
    CorsOptions options;
    options.origins = std::move(origins);
    return make(std::move(options));
}

std::string plain(const Cors& cors, Origin origin) {
    std::string out;
    cors.append(out, origin);
    return out;
}

std::string preflight(const Cors& cors, Origin origin, Origin headers = std::nullopt) {
    std::string out;
    cors.append_preflight(out, origin, headers);
    return out;
}

constexpr std::string_view methods = "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n";

std::string allow(std::string_view origin) { return "Access-Control-Allow-Origin: " + std::string(origin) + "\r\n"; }

Test(cors, without_origins_it_is_off_and_adds_nothing) {
    const Cors cors = make(std::vector<std::string>{});
    cr_assert(!cors.is_enabled());
    cr_assert(plain(cors, "https://a.example").empty());
    CorsOptions options;
    options.credentials = true;
    options.exposed_headers = "X-A";
    cr_assert(plain(make(options), "https://a.example").empty());
}

Test(cors, a_star_is_sent_always_without_vary) {
    const Cors cors = make({"*"});
    cr_assert(cors.is_enabled());
    cr_assert(plain(cors, "https://a.example") == allow("*"));
    cr_assert(plain(cors, std::nullopt) == allow("*"));
}

Test(cors, one_origin_is_named_whatever_the_request_says) {
    const Cors cors = make({"https://a.example"});
    const std::string expected = allow("https://a.example") + "Vary: Origin\r\n";
    cr_assert(plain(cors, "https://a.example") == expected);
    cr_assert(plain(cors, "https://b.example") == expected);
    cr_assert(plain(cors, std::nullopt) == expected);
}

Test(cors, true_mirrors_the_origin) {
    const Cors cors = make({"true"});
    cr_assert(plain(cors, "https://a.example") == allow("https://a.example") + "Vary: Origin\r\n");
    cr_assert(plain(cors, "null") == allow("null") + "Vary: Origin\r\n");
    cr_assert(plain(cors, std::nullopt) == "Vary: Origin\r\n");
}

Test(cors, of_several_origins_the_one_that_asks_is_named_and_others_get_no_allow_header) {
    const Cors cors = make({"https://a.example", "https://b.example"});
    cr_assert(plain(cors, "https://a.example") == allow("https://a.example") + "Vary: Origin\r\n");
    cr_assert(plain(cors, "https://b.example") == allow("https://b.example") + "Vary: Origin\r\n");
    for (const Origin other : {Origin{"https://c.example"}, Origin{"https://a.example.evil"}, Origin{"https://a"},
                               Origin{"http://a.example"}, Origin{"https://A.example"}, Origin{""}, Origin{}}) {
        cr_assert(plain(cors, other) == "Vary: Origin\r\n");
    }
}

Test(cors, an_expression_is_searched_for_as_javascript_does) {
    const Cors cors = make({"/\\.example\\.org$/"});
    cr_assert(plain(cors, "https://a.example.org") == allow("https://a.example.org") + "Vary: Origin\r\n");
    cr_assert(plain(cors, "https://a.example.org.evil") == "Vary: Origin\r\n");
    cr_assert(plain(cors, "https://aexample-org") == "Vary: Origin\r\n");
    cr_assert(plain(cors, std::nullopt) == "Vary: Origin\r\n");
    const Cors both = make({"https://a.example", "/^http:\\/\\/localhost(:\\d+)?$/"});
    cr_assert(plain(both, "http://localhost:3000") == allow("http://localhost:3000") + "Vary: Origin\r\n");
    cr_assert(plain(both, "https://a.example") == allow("https://a.example") + "Vary: Origin\r\n");
    cr_assert(plain(both, "http://localhost:3000/") == "Vary: Origin\r\n");
}

Test(cors, an_origin_of_absurd_length_matches_no_expression_and_does_no_harm) {
    const Cors cors = make({"/^(.*)*$/"});
    cr_assert(plain(cors, std::string(1'000'000, 'a')) == "Vary: Origin\r\n");
    cr_assert(!cors.admits(std::string(1'000'000, 'a'), "host"));
}

Test(cors, an_expression_that_does_not_compile_is_an_error_of_configuration) {
    CorsOptions options;
    options.origins = {"https://a.example", "/(/"};
    const auto cors = Cors::create(options);
    cr_assert(!cors.has_value());
    cr_assert(cors.error().code == Errc::config);
    cr_assert(cors.error().what.find("/(/") != std::string::npos, "it names the culprit");
}

Test(cors, further_headers_of_an_answer_come_in_nodes_order) {
    CorsOptions options;
    options.origins = {"https://a.example"};
    options.credentials = true;
    options.exposed_headers = "X-One,X-Two";
    options.allowed_headers = "X-In";
    options.max_age = "600";
    cr_assert(plain(make(options), "https://a.example") ==
              "Access-Control-Allow-Origin: https://a.example\r\n"
              "Vary: Origin\r\n"
              "Access-Control-Allow-Credentials: true\r\n"
              "Access-Control-Expose-Headers: X-One,X-Two\r\n");
}

Test(cors, a_preflight_mirrors_the_headers_asked_for_and_says_so_in_vary) {
    const Cors star = make({"*"});
    cr_assert(preflight(star, "https://a.example", "content-type,x-a") ==
              allow("*") + "Vary: Access-Control-Request-Headers\r\n" + std::string(methods) +
                  "Access-Control-Allow-Headers: content-type,x-a\r\n");
    cr_assert(preflight(star, "https://a.example") ==
              allow("*") + "Vary: Access-Control-Request-Headers\r\n" + std::string(methods));
    cr_assert(preflight(star, "https://a.example", "") ==
              allow("*") + "Vary: Access-Control-Request-Headers\r\n" + std::string(methods));
    cr_assert(preflight(make({"https://a.example"}), std::nullopt) ==
              allow("https://a.example") + "Vary: Origin, Access-Control-Request-Headers\r\n" + std::string(methods));
}

Test(cors, a_preflight_of_an_origin_not_listed_gets_all_but_the_allow_header) {
    const Cors cors = make({"https://a.example", "https://b.example"});
    cr_assert(preflight(cors, "https://c.example") ==
              "Vary: Origin, Access-Control-Request-Headers\r\n" + std::string(methods));
}

Test(cors, a_preflight_with_everything_set_comes_in_nodes_order) {
    CorsOptions options;
    options.origins = {"true"};
    options.credentials = true;
    options.methods = "GET,POST";
    options.allowed_headers = "X-In,X-Too";
    options.exposed_headers = "X-Out";
    options.max_age = "600";
    cr_assert(preflight(make(options), "https://a.example", "x-else") ==
              "Access-Control-Allow-Origin: https://a.example\r\n"
              "Vary: Origin\r\n"
              "Access-Control-Allow-Credentials: true\r\n"
              "Access-Control-Allow-Methods: GET,POST\r\n"
              "Access-Control-Allow-Headers: X-In,X-Too\r\n"
              "Access-Control-Max-Age: 600\r\n"
              "Access-Control-Expose-Headers: X-Out\r\n");
}

Test(cors, headers_are_appended_to_what_is_there) {
    std::string out = "A: b\r\n";
    make({"*"}).append(out, std::nullopt);
    cr_assert(out == "A: b\r\n" + allow("*"));
}

Test(cors, a_websocket_without_origin_is_admitted) {
    const Cors cors = make({"https://pages.example"});
    cr_assert(cors.admits(std::nullopt, "gateway.example:8080"));
    cr_assert(cors.admits("", "gateway.example:8080"));
}

Test(cors, a_websocket_of_the_own_host_is_admitted_under_four_schemes_whatever_path_follows) {
    const Cors cors = make({"https://pages.example"});
    for (const std::string_view scheme : {"http", "https", "ws", "wss"}) {
        for (const std::string_view tail :
             {"", "/", "/socket.io/", "/socket.io/?EIO=4&transport=websocket", "?EIO=4", "#x"}) {
            const std::string origin = std::string(scheme) + "://gateway.example:8080" + std::string(tail);
            cr_expect(cors.admits(origin, "gateway.example:8080"), "%s", origin.c_str());
        }
    }
    cr_assert(cors.admits("http://Gateway.Example:8080", "gateway.example:8080"), "hosts have no case");
    cr_assert(cors.admits("http://[::1]:8080/x", "[::1]:8080"));
}

Test(cors, a_websocket_of_another_host_is_not_admitted_unless_listed) {
    const Cors cors = make({"https://pages.example", "/^https:\\/\\/[a-z]+\\.pages\\.example$/"});
    for (const std::string_view origin :
         {"http://evil.example", "http://gateway.example", "http://gateway.example:8081",
          "http://gateway.example:8080.evil", "http://gateway.example:8080@evil.example",
          "http://evil.example/gateway.example:8080", "http://evil.example?://gateway.example:8080",
          "ftp://gateway.example:8080", "file://gateway.example:8080", "gateway.example:8080", "null", "file://",
          "://gateway.example:8080", "http://", "http:///gateway.example:8080", "https://pages.example.evil",
          "http://pages.example", "https://evil.example/https://pages.example"}) {
        cr_expect(!cors.admits(origin, "gateway.example:8080"), "%s", std::string(origin).c_str());
    }
    for (const std::string_view origin :
         {"https://pages.example", "https://pages.example/", "https://pages.example/app?x=1", "https://a.pages.example",
          "https://a.pages.example/app"}) {
        cr_expect(cors.admits(origin, "gateway.example:8080"), "%s", std::string(origin).c_str());
    }
}

Test(cors, a_star_and_true_admit_every_websocket) {
    for (const std::string_view list : {"*", "true"}) {
        const Cors cors = make({std::string(list)});
        for (const std::string_view origin : {"http://evil.example", "null", "file://", "nonsense"}) {
            cr_expect(cors.admits(origin, "gateway.example"), "%s", std::string(origin).c_str());
        }
    }
}

Test(cors, a_listed_null_origin_is_admitted) {
    cr_assert(make({"null", "https://a.example"}).admits("null", "gateway.example"));
}

}  // namespace
