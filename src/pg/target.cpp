#include "pg/target.h"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "pg/text.h"

namespace sio::pg {

namespace {

struct FreeOptions {
    void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

/// The value of a keyword; null when it has none.
const char* value_of(const Options& options, std::string_view keyword) noexcept {
    if (!options) return nullptr;
    for (const PQconninfoOption* one = options.get(); one->keyword != nullptr; ++one) {
        if (keyword == one->keyword) return one->val;
    }
    return nullptr;
}

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> items;
    for (;;) {
        const std::size_t comma = list.find(',');
        items.emplace_back(list.substr(0, comma));
        if (comma == std::string_view::npos) return items;
        list.remove_prefix(comma + 1);
    }
}

bool is_port(std::string_view text) noexcept {
    unsigned port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

tl::unexpected<Error> bad_url(std::string_view reason) {
    return fail(Errc::config, "cannot use the URL of the database: " + std::string(reason));
}

}  // namespace

// --- Names ----------------------------------------------------------------------------------------------------------

Names::Names(net::Loop& loop, const std::vector<std::string>& names, std::function<void()> on_complete)
    : on_complete_(std::move(on_complete)) {
    for (const std::string& name : names) {
        Entry& entry = entries_[name];
        entry.resolver = std::make_unique<net::Resolver>(
            loop, [this, &entry](Result<std::vector<std::string>> answer) { take(entry, std::move(answer)); });
    }
}

bool Names::ask() {
    if (open_ > 0) return false;
    trouble_.clear();
    for (auto& [name, entry] : entries_) {
        entry.addresses.clear();
        const auto asked = entry.resolver->ask(name);
        entry.is_open = asked.has_value();
        if (asked) {
            ++open_;
        } else {
            trouble_ = asked.error().what;
        }
    }
    return open_ == 0;
}

void Names::take(Entry& entry, Result<std::vector<std::string>> answer) {
    if (!entry.is_open) return;
    entry.is_open = false;
    if (answer) {
        entry.addresses = std::move(*answer);
    } else {
        trouble_ = std::move(answer.error().what);
    }
    if (--open_ == 0) on_complete_();
}

bool Names::has_any() const noexcept {
    return std::any_of(entries_.begin(), entries_.end(), [](const auto& one) { return !one.second.addresses.empty(); });
}

const std::vector<std::string>& Names::of(const std::string& name) const {
    static const std::vector<std::string> none;
    const auto found = entries_.find(name);
    return found == entries_.end() ? none : found->second.addresses;
}

bool is_parameter(std::string_view name) {
    const Options known{PQconndefaults()};
    if (!known) return true;  // out of memory: libpq says so
    for (const PQconninfoOption* one = known.get(); one->keyword != nullptr; ++one) {
        if (name == one->keyword) return true;
    }
    return false;
}

// --- Target ---------------------------------------------------------------------------------------------------------

bool Target::Host::needs_address() const {
    // A slash begins the folder of a Unix socket, an @ an abstract one.
    return address.empty() && !name.empty() && name.front() != '/' && name.front() != '@' && !net::is_numeric(name);
}

Result<Target> Target::parse(const std::string& url, const std::string& application_name) {
    if (url.find('\0') != std::string::npos) return bad_url("it holds a NUL");
    char* message = nullptr;
    const Options given{PQconninfoParse(url.c_str(), &message)};
    if (!given) {
        const std::string reason = without_quotations(first_line(message));
        PQfreemem(message);
        return bad_url(reason.empty() ? "out of memory" : reason);
    }
    const Options defaults{PQconndefaults()};
    // A service of the URL goes before the environment, and only libpq reads it.
    const bool has_service = value_of(given, "service") != nullptr;
    const auto effective = [&](std::string_view keyword) -> std::string_view {
        if (const char* value = value_of(given, keyword)) return value;
        const char* value = has_service ? nullptr : value_of(defaults, keyword);
        return value == nullptr ? std::string_view() : std::string_view(value);
    };

    Target target;
    for (const PQconninfoOption* one = given.get(); one->keyword != nullptr; ++one) {
        const std::string_view keyword = one->keyword;
        if (one->val == nullptr || keyword == "host" || keyword == "hostaddr" || keyword == "port" ||
            keyword == "client_encoding" || keyword == "fallback_application_name" || keyword == "connect_timeout") {
            continue;
        }
        if (keyword == "password" || keyword == "sslpassword") target.secrets_.emplace_back(one->val);
        target.words_.emplace_back(keyword, one->val);
    }
    target.words_.emplace_back("client_encoding", "UTF8");
    target.words_.emplace_back("fallback_application_name", application_name);
    if (value_of(given, "gssencmode") == nullptr && std::getenv("PGGSSENCMODE") == nullptr) {
        target.words_.emplace_back("gssencmode", "disable");
    }

    const std::string_view ports = effective("port");
    const std::vector<std::string> port_list = split(ports);
    for (const std::string& port : port_list) {
        if (!port.empty() && !is_port(port)) {
            return bad_url("a port is no number from 1 to 65535 (is a password before it not percent-encoded?)");
        }
    }
    const std::string_view names = effective("host");
    const std::string_view addresses = effective("hostaddr");
    if (has_service && names.empty() && addresses.empty()) {
        if (!ports.empty()) target.words_.emplace_back("port", ports);
        return target;
    }
    const std::vector<std::string> name_list = split(names);
    const std::vector<std::string> address_list = split(addresses);
    const std::size_t count = addresses.empty() ? name_list.size() : address_list.size();
    if (!names.empty() && name_list.size() != count) return bad_url("it has not as many addresses as hosts");
    if (port_list.size() != 1 && port_list.size() != count) return bad_url("it has not as many ports as hosts");
    for (std::size_t i = 0; i < count; ++i) {
        Host host;
        if (!names.empty()) host.name = name_list[i];
        if (!addresses.empty()) host.address = address_list[i];
        host.port = port_list.size() == 1 ? port_list[0] : port_list[i];
        target.hosts_.push_back(std::move(host));
    }
    return target;
}

std::vector<std::string> Target::names() const {
    std::vector<std::string> names;
    for (const Host& host : hosts_) {
        if (host.needs_address()) names.push_back(host.name);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

Result<Target::Words> Target::words(const Names& names, std::size_t first) const {
    if (hosts_.empty()) return words_;
    std::vector<Host> hosts;
    for (const Host& host : hosts_) {
        if (!host.needs_address()) {
            hosts.push_back(host);
            continue;
        }
        for (const std::string& address : names.of(host.name)) hosts.push_back({host.name, address, host.port});
    }
    if (hosts.empty()) {
        return fail(Errc::unavailable,
                    names.trouble().empty() ? "cannot resolve " + to_string() : std::string(names.trouble()));
    }
    std::rotate(hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(first % hosts.size()), hosts.end());
    Words words = words_;
    std::string name_list;
    std::string address_list;
    std::string port_list;
    bool has_address = false;
    bool has_port = false;
    bool has_name = false;
    for (const Host& host : hosts) {
        const std::string_view comma = &host == hosts.data() ? "" : ",";
        name_list.append(comma).append(host.name);
        address_list.append(comma).append(host.address);
        port_list.append(comma).append(host.port);
        has_name = has_name || !host.name.empty();
        has_address = has_address || !host.address.empty();
        has_port = has_port || !host.port.empty();
    }
    // An empty item of `hostaddr` makes libpq look at `host`.
    if (has_name || hosts.size() > 1) words.emplace_back("host", name_list);
    if (has_address) words.emplace_back("hostaddr", address_list);
    if (has_port) words.emplace_back("port", port_list);
    return words;
}

std::string Target::to_string() const {
    std::string text;
    for (const Host& host : hosts_) {
        if (!text.empty()) text += ", ";
        const std::string& name = host.name.empty() ? host.address : host.name;
        text += name.empty() ? "the local server" : name;
        if (!host.port.empty()) text += ":" + host.port;
    }
    return text.empty() ? "the database of a service file" : text;
}

std::string Target::without_secrets(std::string text) const {
    for (const std::string& secret : secrets_) text = hide(std::move(text), secret);
    return text;
}

}  // namespace sio::pg
