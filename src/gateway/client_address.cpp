#include "gateway/client_address.h"

#include <algorithm>
#include <cstdint>

#include "base/bytes.h"

namespace sio::gateway {

namespace {

constexpr std::size_t most_hops = 16;  // of proxies in a row

enum class Quotes : std::uint8_t { plain, hide_separators };

/// Takes what follows the last `separator` off the end of `text`; with Quotes::hide_separators, the last outside of
/// quotes. A quote that is never closed hides nothing: a client has opened it to swallow what its proxy writes.
std::string_view take_last(std::string_view& text, char separator, Quotes quotes) noexcept {
    std::size_t end = std::string_view::npos;
    bool is_quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (quotes == Quotes::plain) {
            if (text[i] == separator) end = i;
        } else if (is_quoted && text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            is_quoted = !is_quoted;
        } else if (text[i] == separator && !is_quoted) {
            end = i;
        }
    }
    if (is_quoted) end = text.rfind(separator);
    const std::string_view last = text.substr(end == std::string_view::npos ? 0 : end + 1);
    text = text.substr(0, end == std::string_view::npos ? 0 : end);
    return base::trim(last);
}

/// Whether each quote that is opened is closed; else they hide nothing.
bool closes_quotes(std::string_view text) noexcept {
    bool is_quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_quoted && text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            is_quoted = !is_quoted;
        }
    }
    return !is_quoted;
}

/// The parameter `for` of an element of Forwarded, the last when there are several; empty when there is none.
std::string_view for_of(std::string_view element) noexcept {
    std::string_view found;
    const bool has_quotes = closes_quotes(element);
    for (std::size_t begin = 0, end = 0; begin <= element.size(); begin = end + 1) {
        bool is_quoted = false;
        for (end = begin; end < element.size() && (is_quoted || element[end] != ';'); ++end) {
            if (!has_quotes) continue;
            if (is_quoted && element[end] == '\\' && end + 1 < element.size()) {
                ++end;
            } else if (element[end] == '"') {
                is_quoted = !is_quoted;
            }
        }
        const std::string_view pair = element.substr(begin, end - begin);
        const std::size_t equals = pair.find('=');
        if (equals != std::string_view::npos && base::equal_ignoring_case(base::trim(pair.substr(0, equals)), "for")) {
            found = base::trim(pair.substr(equals + 1));
        }
    }
    return found;
}

/// `:` and a port, or an obfuscated one (RFC 7239, section 6).
bool is_port(std::string_view text) noexcept {
    if (text.size() < 2 || text.front() != ':') return false;
    text.remove_prefix(1);
    if (text.front() != '_') return base::parse_decimal(text, 65535).has_value();
    return std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
               c == '-';
    });
}

}  // namespace

Result<TrustedProxies> parse_trusted_proxies(std::string_view text) {
    TrustedProxies proxies;
    for (const auto* word : {"off", "false", "no", "0", ""}) {
        if (base::equal_ignoring_case(text, word)) return proxies;
    }
    for (const auto* word : {"on", "true", "yes", "1"}) {
        if (!base::equal_ignoring_case(text, word)) continue;
        proxies.networks = net::Networks::near();
        return proxies;
    }
    proxies.are_listed = true;
    while (!text.empty()) {
        if (auto added = proxies.networks.add(take_last(text, ',', Quotes::plain)); !added)
            return tl::unexpected(added.error());
    }
    return proxies;
}

std::optional<net::Address> parse_forwarded_address(std::string_view text) {
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
    if (text.starts_with('[')) {
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos) return std::nullopt;
        if (close + 1 < text.size() && !is_port(text.substr(close + 1))) return std::nullopt;
        text = text.substr(1, close - 1);
    } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
        if (!is_port(text.substr(colon))) return std::nullopt;
        text = text.substr(0, colon);  // one colon: a port behind an IPv4 address
    }
    if (text.find_first_of("\", \t") != std::string_view::npos) return std::nullopt;  // in a zone, too
    text = text.substr(0, text.find('%'));
    const net::Address address = net::Address::from(text);
    if (address == net::Address{}) return std::nullopt;  // `::` is nobody's either
    return address;
}

net::Address client_address(const proto::HttpHead& head, const net::Address& peer, const TrustedProxies& proxies) {
    if (!proxies.contains(peer)) return peer;
    const bool has_list = head.header("x-forwarded-for").has_value();
    const std::string_view name = has_list ? "x-forwarded-for" : "forwarded";
    net::Address client = peer;
    std::size_t hops = 0;
    for (std::size_t i = head.header_count; i-- > 0;) {
        if (!base::equal_ignoring_case(head.headers[i].name, name)) continue;
        for (std::string_view rest = head.headers[i].value; !rest.empty();) {
            if (++hops > most_hops) return client;
            const std::string_view element = take_last(rest, ',', has_list ? Quotes::plain : Quotes::hide_separators);
            const auto address = parse_forwarded_address(has_list ? element : for_of(element));
            if (!address) return client;
            client = *address;
            if (!proxies.are_listed || !proxies.contains(client)) return client;
        }
    }
    return client;
}

}  // namespace sio::gateway
