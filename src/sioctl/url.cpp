// Where a server is: URLs as stock clients take them.
#include <algorithm>

#include "base/bytes.h"
#include "sioctl/socket_client.h"

namespace sio::sioctl {

Outcome<Url> parse_url(std::string_view text) {
    const auto wrong = [text](std::string_view why) {
        return give_up(exit_code::usage, "cannot use URL " + std::string(text) + ": " + std::string(why));
    };
    std::string_view rest = text;
    if (const std::size_t colon = text.find("://"); colon != std::string_view::npos) {
        const std::string_view scheme = text.substr(0, colon);
        rest = text.substr(colon + 3);
        if (base::equal_ignoring_case(scheme, "https") || base::equal_ignoring_case(scheme, "wss"))
            return wrong("sioctl does not encrypt; connect to the gateway's own port, or through a tunnel (ssh -L)");
        if (!base::equal_ignoring_case(scheme, "http") && !base::equal_ignoring_case(scheme, "ws"))
            return wrong("it begins with http:// or ws://");
    }
    Url url;
    const std::size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
    std::string_view authority = rest.substr(0, authority_end);
    rest.remove_prefix(authority_end);
    rest = rest.substr(0, rest.find('#'));
    if (authority.find('@') != std::string_view::npos) return wrong("user and password do not belong in it");
    if (authority.starts_with('[')) {
        const std::size_t bracket = authority.find(']');
        if (bracket == std::string_view::npos) return wrong("the bracket is not closed");
        url.host = authority.substr(1, bracket - 1);
        url.is_ipv6_literal = true;
        authority.remove_prefix(bracket + 1);
    } else {
        url.host = authority.substr(0, authority.rfind(':'));
        authority.remove_prefix(url.host.size());
    }
    url.port = "80";
    if (!authority.empty()) {
        if (authority.front() != ':' || !base::parse_decimal(authority.substr(1), 65535))
            return wrong("the port is no number");
        url.port = authority.substr(1);
    }
    const auto is_bad = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; };
    if (url.host.empty()) return wrong("it names no host");
    if (std::any_of(text.begin(), text.end(), is_bad)) return wrong("it has blanks in it");
    if (const std::size_t mark = rest.find('?'); mark != std::string_view::npos) {
        url.query = rest.substr(mark + 1);
        rest = rest.substr(0, mark);
    }
    url.nsp = rest.empty() ? "/" : rest;
    return url;
}

}  // namespace sio::sioctl
