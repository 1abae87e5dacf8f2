#include "proto/http_head.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"

namespace sio::proto {
namespace {

using base::equal_ignoring_case;

enum Allowed : std::uint8_t {
    in_token = 1,   // RFC 9110 section 5.6.2
    in_target = 2,  // visible ASCII
    in_value = 4,   // visible ASCII, blank, tab, and bytes above ASCII
    in_host = 8,    // what `uri-host [":" port]` is made of
};

constexpr auto allowed = [] {
    std::array<std::uint8_t, 256> table{};
    const auto add = [&](std::string_view chars, unsigned bit) {
        for (const char c : chars) {
            auto& entry = table[static_cast<unsigned char>(c)];
            entry = static_cast<std::uint8_t>(entry | bit);
        }
    };
    constexpr std::string_view alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    add(alphanumeric, in_token | in_host);
    add("!#$%&'*+-.^_`|~", in_token);
    add("!$%&'()*+,-.:;=[]_~", in_host);
    for (unsigned c = 0x21; c <= 0x7E; ++c) {
        table[c] = static_cast<std::uint8_t>(table[c] | in_target | in_value);
    }
    for (unsigned c = 0x80; c <= 0xFF; ++c) table[c] = in_value;
    add(" \t", in_value);
    return table;
}();

constexpr bool is_allowed(char c, Allowed where) noexcept {
    return (allowed[static_cast<unsigned char>(c)] & where) != 0;
}

constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// Calls `use` with each element of a comma-separated list, blanks trimmed, empty ones left out.
template <typename Use>
void each_element(std::string_view list, Use use) {
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        const std::string_view element = base::trim(list.substr(0, comma));
        if (!element.empty()) use(element);
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
}

/// A qvalue in thousandths; nothing when it is not one.
std::optional<unsigned> parse_quality(std::string_view text) noexcept {
    if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
    unsigned value = text[0] == '1' ? 1000 : 0;
    if (text.size() > 1 && text[1] != '.') return std::nullopt;
    unsigned weight = 100;
    for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
        if (c < '0' || c > '9') return std::nullopt;
        value += static_cast<unsigned>(c - '0') * weight;
        weight /= 10;
    }
    if (value > 1000) return std::nullopt;
    return value;
}

/// Sets path and query from the target; false when the target is not one.
bool split_target(HttpHead& out) noexcept {
    std::string_view rest = out.target;
    if (rest == "*") {
        if (out.method != "OPTIONS") return false;
    } else if (rest.front() != '/') {
        // The absolute form, which servers must accept though only proxies send it.
        const std::size_t scheme = rest.find("://");
        if (scheme == std::string_view::npos) return false;
        const std::string_view name = rest.substr(0, scheme);
        if (!equal_ignoring_case(name, "http") && !equal_ignoring_case(name, "https") &&
            !equal_ignoring_case(name, "ws") && !equal_ignoring_case(name, "wss")) {
            return false;
        }
        rest.remove_prefix(scheme + 3);
        const std::size_t authority = std::min(rest.find_first_of("/?#"), rest.size());
        if (authority == 0) return false;
        rest.remove_prefix(authority);
    }
    rest = rest.substr(0, rest.find('#'));
    const std::size_t mark = rest.find('?');
    out.path = rest.substr(0, mark);
    out.query = mark == std::string_view::npos ? std::string_view{} : rest.substr(mark + 1);
    if (out.path.empty()) out.path = "/";
    return true;
}

/// What the fields say together; judged when all have been read.
struct Framing {
    unsigned hosts = 0;
    unsigned lengths = 0;
    unsigned codings = 0;
    unsigned upgrades = 0;
    bool other_coding = false;
    bool close = false;
    bool keep_alive = false;
    bool names_upgrade = false;
    bool websocket = false;
    bool expects = false;
};

std::optional<HttpRefusal> take_field(std::string_view name, std::string_view value, Framing& framing,
                                      HttpHead& out) noexcept {
    switch (name.size()) {
        case 4:
            if (!equal_ignoring_case(name, "host")) break;
            if (++framing.hosts > 1) return HttpRefusal{400, "repeated Host"};
            if (!std::all_of(value.begin(), value.end(), [](char c) { return is_allowed(c, in_host); })) {
                return HttpRefusal{400, "invalid Host"};
            }
            break;
        case 6:
            if (equal_ignoring_case(name, "expect")) {
                framing.expects = framing.expects || equal_ignoring_case(value, "100-continue");
            }
            break;
        case 7:
            if (!equal_ignoring_case(name, "upgrade")) break;
            ++framing.upgrades;
            framing.websocket = equal_ignoring_case(value, "websocket");
            break;
        case 10:
            if (!equal_ignoring_case(name, "connection")) break;
            each_element(value, [&](std::string_view token) {
                if (equal_ignoring_case(token, "close")) framing.close = true;
                if (equal_ignoring_case(token, "keep-alive")) framing.keep_alive = true;
                if (equal_ignoring_case(token, "upgrade")) framing.names_upgrade = true;
            });
            break;
        case 14: {
            if (!equal_ignoring_case(name, "content-length")) break;
            if (value.empty() || value.find_first_not_of("0123456789") != std::string_view::npos) {
                return HttpRefusal{400, "invalid Content-Length"};
            }
            const auto length = base::parse_decimal(value);
            if (!length) return HttpRefusal{413, "Content-Length beyond any limit"};
            if (++framing.lengths > 1 && out.content_length != *length) {
                return HttpRefusal{400, "contradicting Content-Length"};
            }
            out.content_length = *length;
            break;
        }
        case 17:
            if (!equal_ignoring_case(name, "transfer-encoding")) break;
            ++framing.codings;
            framing.other_coding = framing.other_coding || !equal_ignoring_case(value, "chunked");
            break;
        default: break;
    }
    return std::nullopt;
}

std::optional<HttpRefusal> judge(const Framing& framing, HttpHead& out) noexcept {
    if (framing.hosts == 0 && !out.http_1_0) return HttpRefusal{400, "missing Host"};
    if (framing.codings != 0) {
        if (out.http_1_0) return HttpRefusal{400, "Transfer-Encoding in HTTP/1.0"};
        if (framing.lengths != 0) return HttpRefusal{400, "Content-Length beside Transfer-Encoding"};
        if (framing.other_coding) return HttpRefusal{501, "unknown Transfer-Encoding"};
        if (framing.codings > 1) return HttpRefusal{400, "repeated Transfer-Encoding"};
        out.chunked = true;
    }
    out.keep_alive = !framing.close && (!out.http_1_0 || framing.keep_alive);
    // RFC 9110: Upgrade means nothing in HTTP/1.0. Proxies that speak it to us pass WebSockets on all the same (nginx
    // without proxy_http_version), and Node takes them.
    out.has_upgrade = framing.upgrades != 0;
    out.upgrade_websocket = framing.names_upgrade && framing.websocket && framing.upgrades == 1;
    out.expect_continue = framing.expects && !out.http_1_0;
    return std::nullopt;
}

}  // namespace

std::optional<std::string_view> HttpHead::header(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < header_count; ++i) {
        if (equal_ignoring_case(headers[i].name, name)) return headers[i].value;
    }
    return std::nullopt;
}

std::size_t find_http_head(std::string_view bytes) noexcept {
    constexpr std::string_view end = "\r\n\r\n";
    const std::size_t at = bytes.find(end);
    return at == std::string_view::npos ? 0 : at + end.size();
}

std::optional<HttpRefusal> parse_http_head(std::string_view head, HttpHead& out) noexcept {
    out.method = out.target = out.path = out.query = {};
    out.http_1_0 = out.upgrade_websocket = out.has_upgrade = out.expect_continue = out.chunked = false;
    out.keep_alive = true;
    out.content_length = 0;
    out.header_count = 0;

    const char* p = head.data();
    const char* const end = p + head.size();
    const auto skip = [&](Allowed where) {
        const char* const from = p;
        while (p != end && is_allowed(*p, where)) ++p;
        return std::string_view{from, static_cast<std::size_t>(p - from)};
    };
    const auto take = [&](std::string_view expected) {
        if (static_cast<std::size_t>(end - p) < expected.size() ||
            std::memcmp(p, expected.data(), expected.size()) != 0) {
            return false;
        }
        p += expected.size();
        return true;
    };

    out.method = skip(in_token);
    const bool upper = std::all_of(out.method.begin(), out.method.end(), [](char c) { return c < 'a' || c > 'z'; });
    if (out.method.empty() || !upper || !take(" ")) return HttpRefusal{400, "invalid method"};
    out.target = skip(in_target);
    if (out.target.empty() || !take(" ")) return HttpRefusal{400, "invalid target"};
    if (!take("HTTP/")) return HttpRefusal{400, "invalid version"};
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (end - p < 3 || !is_digit(p[0]) || p[1] != '.' || !is_digit(p[2])) {
        return HttpRefusal{400, "invalid version"};
    }
    const bool known = p[0] == '1' && (p[2] == '0' || p[2] == '1');
    out.http_1_0 = p[2] == '0';
    p += 3;
    if (!take("\r\n")) return HttpRefusal{400, "invalid request line"};
    if (!known) return HttpRefusal{505, "unsupported HTTP version"};
    if (!split_target(out)) return HttpRefusal{400, "invalid target"};

    Framing framing;
    while (!take("\r\n")) {
        const std::string_view name = skip(in_token);
        if (name.empty() || !take(":")) return HttpRefusal{400, "invalid header name"};
        const std::string_view value = base::trim(skip(in_value));
        if (!take("\r\n")) return HttpRefusal{400, "invalid header value"};
        if (out.header_count == HttpHead::max_headers) return HttpRefusal{431, "too many headers"};
        out.headers[out.header_count++] = {name, value};
        if (const auto refusal = take_field(name, value, framing, out)) return refusal;
    }
    if (p != end) return HttpRefusal{400, "bytes after the head"};
    return judge(framing, out);
}

namespace {

/// Headers of which Node keeps the first line alone (IncomingMessage, matchKnownFields).
bool stands_once(std::string_view name) noexcept {
    static constexpr std::array<std::string_view, 18> once = {
        "age",           "authorization", "content-length", "content-type",        "etag",
        "expires",       "from",          "host",           "if-modified-since",   "if-unmodified-since",
        "last-modified", "location",      "max-forwards",   "proxy-authorization", "referer",
        "retry-after",   "server",        "user-agent"};
    return std::ranges::any_of(once, [name](std::string_view one) { return equal_ignoring_case(one, name); });
}

}  // namespace

std::optional<std::string> header_text(const HttpHead& head, std::string_view name) {
    std::optional<std::string> text;
    for (std::size_t i = 0; i < head.header_count; ++i) {
        const auto& [found, value] = head.headers[i];
        if (!equal_ignoring_case(found, name)) continue;
        if (!text) {
            text = base::latin1_to_utf8(value);
            if (stands_once(name)) return text;
        } else {
            text->append(equal_ignoring_case(name, "cookie") ? "; " : ", ").append(base::latin1_to_utf8(value));
        }
    }
    return text;
}

std::string decode_query(std::string_view text) { return base::valid_utf8(base::percent_decode(text, true)); }

std::optional<std::string> query_parameter(std::string_view query, std::string_view name) {
    std::optional<std::string_view> found;
    for (;;) {
        const std::size_t amp = std::min(query.find('&'), query.size());
        const std::string_view pair = query.substr(0, amp);
        const std::size_t equals = std::min(pair.find('='), pair.size());
        const std::string_view key = pair.substr(0, equals);
        const bool plain = key.find_first_of("%+") == std::string_view::npos;
        if (!pair.empty() && (plain ? key == name : decode_query(key) == name)) {
            found = pair.substr(std::min(equals + 1, pair.size()));
        }
        if (amp == query.size()) break;
        query.remove_prefix(amp + 1);
    }
    if (!found) return std::nullopt;
    return decode_query(*found);
}

std::string_view choose_encoding(std::string_view accept_encoding, std::string_view const* offered,
                                 std::size_t offered_count) noexcept {
    // The quality the client gives a coding by name; the last mention counts.
    const auto named = [&](std::string_view coding) {
        std::optional<unsigned> quality;
        each_element(accept_encoding, [&](std::string_view element) {
            const std::size_t semicolon = std::min(element.find(';'), element.size());
            const std::string_view name = base::trim(element.substr(0, semicolon));
            const bool alias = coding == "gzip" && equal_ignoring_case(name, "x-gzip");
            if (!alias && !equal_ignoring_case(name, coding)) return;
            quality = 1000;
            std::string_view rest = element.substr(semicolon);
            while (!rest.empty()) {
                rest.remove_prefix(1);
                const std::size_t stop = std::min(rest.find(';'), rest.size());
                const std::string_view parameter = base::trim(rest.substr(0, stop));
                if (parameter.size() >= 2 && (parameter[0] == 'q' || parameter[0] == 'Q') && parameter[1] == '=') {
                    quality = parse_quality(parameter.substr(2)).value_or(0);
                }
                rest.remove_prefix(stop);
            }
        });
        return quality;
    };

    const unsigned others = named("*").value_or(0);
    std::string_view best = "identity";
    unsigned best_quality = 0;
    for (std::size_t i = 0; i < offered_count; ++i) {
        const unsigned quality = named(offered[i]).value_or(others);
        if (quality > best_quality) {
            best = offered[i];
            best_quality = quality;
        }
    }
    if (best_quality != 0 && named("identity").value_or(0) > best_quality) return "identity";
    return best;
}

namespace {

/// Takes what is before the next `separator` outside of quotes off the front of `text`.
std::string_view take_part(std::string_view& text, char separator) noexcept {
    bool is_quoted = false;
    std::size_t end = 0;
    for (; end < text.size(); ++end) {
        const char c = text[end];
        if (is_quoted && c == '\\') {
            ++end;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (c == separator && !is_quoted) {
            break;
        }
    }
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return base::trim(part);
}

/// How exactly a media range names a type: 3 by itself, 2 as one of its family, 1 as any, 0 not at all.
unsigned specificity(std::string_view range, std::string_view type) noexcept {
    if (equal_ignoring_case(range, type)) return 3;
    const std::string_view family = type.substr(0, type.find('/') + 1);
    if (range.size() == family.size() + 1 && range.back() == '*' &&
        equal_ignoring_case(range.substr(0, family.size()), family))
        return 2;
    return range == "*/*" || range == "*" ? 1 : 0;
}

}  // namespace

std::optional<std::size_t> choose_media_type(std::string_view accept,
                                             std::span<const std::string_view> offered) noexcept {
    struct Rank {
        unsigned quality = 0;
        unsigned specificity = 0;
    };
    constexpr std::size_t most = 8;
    std::array<Rank, most> ranks{};
    const std::size_t count = std::min(offered.size(), most);
    bool has_range = false;
    while (!accept.empty()) {
        std::string_view element = take_part(accept, ',');
        const std::string_view range = take_part(element, ';');
        if (range.empty()) continue;
        has_range = true;
        unsigned quality = 1000;
        while (!element.empty()) {
            const std::string_view parameter = take_part(element, ';');
            if (parameter.size() >= 2 && (parameter[0] == 'q' || parameter[0] == 'Q') && parameter[1] == '=') {
                quality = parse_quality(parameter.substr(2)).value_or(0);
            }
        }
        for (std::size_t i = 0; i < count; ++i) {
            const unsigned exactly = specificity(range, offered[i]);
            if (exactly == 0 || exactly < ranks[i].specificity) continue;
            const bool is_better = exactly > ranks[i].specificity || quality > ranks[i].quality;
            if (is_better) ranks[i] = {quality, exactly};
        }
    }
    if (!has_range) return count > 0 ? std::optional<std::size_t>(0) : std::nullopt;
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < count; ++i) {
        if (ranks[i].quality == 0) continue;
        const auto value = [&](std::size_t at) { return std::pair(ranks[at].quality, ranks[at].specificity); };
        if (!best || value(i) > value(*best)) best = i;
    }
    return best;
}

ChunkedDecoder::State ChunkedDecoder::feed(std::string_view& in, std::string& body, std::size_t max_body) {
    constexpr unsigned max_size_digits = 16;
    constexpr std::uint32_t max_skipped = 8192;
    const auto bad = [this] {
        step_ = Step::bad;
        return State::error;
    };
    const auto is_skippable = [this](char c) { return is_allowed(c, in_value) && ++skipped_ <= max_skipped; };

    for (;;) {
        if (step_ == Step::done) return State::done;
        if (step_ == Step::bad) return State::error;
        if (in.empty()) return State::more;
        const char c = in.front();
        switch (step_) {
            case Step::size: {
                const int digit = hex_value(c);
                if (digit >= 0) {
                    if (++size_digits_ > max_size_digits) return bad();
                    left_ = left_ << 4U | static_cast<unsigned>(digit);
                } else if (size_digits_ == 0) {
                    return bad();
                } else if (c == ';') {
                    step_ = Step::extension;
                } else if (c == '\r') {
                    step_ = Step::size_lf;
                } else {
                    return bad();
                }
                break;
            }
            case Step::extension:
                if (c == '\r') {
                    step_ = Step::size_lf;
                } else if (!is_skippable(c)) {
                    return bad();
                }
                break;
            case Step::size_lf:
                if (c != '\n') return bad();
                if (body.size() > max_body || left_ > max_body - body.size()) {
                    too_large_ = true;
                    return bad();
                }
                step_ = left_ == 0 ? Step::trailer : Step::data;
                size_digits_ = 0;
                break;
            case Step::data: {
                const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
                body.append(in.substr(0, taken));
                in.remove_prefix(taken);
                left_ -= taken;
                if (left_ == 0) step_ = Step::data_cr;
                continue;
            }
            case Step::data_cr:
                if (c != '\r') return bad();
                step_ = Step::data_lf;
                break;
            case Step::data_lf:
                if (c != '\n') return bad();
                step_ = Step::size;
                break;
            case Step::trailer:
                if (c == '\r') {
                    step_ = trailer_empty_ ? Step::end_lf : Step::trailer_lf;
                } else if (!is_skippable(c)) {
                    return bad();
                } else {
                    trailer_empty_ = false;
                }
                break;
            case Step::trailer_lf:
                if (c != '\n') return bad();
                step_ = Step::trailer;
                trailer_empty_ = true;
                break;
            case Step::end_lf:
                if (c != '\n') return bad();
                step_ = Step::done;
                break;
            case Step::done:
            case Step::bad: break;
        }
        in.remove_prefix(1);
    }
}

}  // namespace sio::proto
