// Where and how to connect: a URL as libpq reads it, with what the environment adds (PGHOST and its like).
//
// libpq resolves names itself when it is not given `hostaddr`, and waits for the answer. So hosts are listed here,
// their names resolved by Names, and every address handed to libpq as a host of its own, in the order of the URL.
//
// Two things are left to libpq, and may wait: the hosts of a service that the URL names (`service=`), and a server that
// asks for GSSAPI authentication. GSSAPI encryption is off unless the URL or PGGSSENCMODE asks for it, for it asks a
// key server before anything else.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/loop.h"
#include "net/resolver.h"

namespace sio::pg {

/// Addresses of all names of a URL, asked for together. A name server that is silent holds nobody up: see has_any().
class Names {
public:
    /// `on_complete` is called on the loop when every name has its answer, or none; not from within ask().
    Names(net::Loop& loop, const std::vector<std::string>& names, std::function<void()> on_complete);

    /// Asks for all names anew, unless a question is open. Whether all are answered already.
    bool ask();
    /// Whether some name has an address by now.
    [[nodiscard]] bool has_any() const noexcept;
    /// Empty when the name has no address, or no answer yet.
    [[nodiscard]] const std::vector<std::string>& of(const std::string& name) const;
    /// Why there is no address at all.
    [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }

private:
    struct Entry {
        bool is_open = false;
        std::vector<std::string> addresses;
        std::unique_ptr<net::Resolver> resolver;
    };
    void take(Entry& entry, Result<std::vector<std::string>> answer);

    std::function<void()> on_complete_;
    std::map<std::string, Entry> entries_;
    std::size_t open_ = 0;
    std::string trouble_;
};

/// Whether libpq knows a parameter of that name.
[[nodiscard]] bool is_parameter(std::string_view name);

class Target {
public:
    /// Keywords and values for libpq.
    using Words = std::vector<std::pair<std::string, std::string>>;

    /// Errors: `config`; the sentence holds nothing of the URL that may be a secret.
    static Result<Target> parse(const std::string& url, const std::string& application_name);

    /// The hosts that are names, each once.
    [[nodiscard]] std::vector<std::string> names() const;
    /// What to connect with: the addresses that `names` knows by now, beginning with the `first`th of them, for when
    /// the one before did not answer. Errors: `unavailable` when no host has an address.
    [[nodiscard]] Result<Words> words(const Names& names, std::size_t first) const;

    /// For logs: hosts, and no more.
    [[nodiscard]] std::string to_string() const;
    /// `text` without the passwords of the URL.
    [[nodiscard]] std::string without_secrets(std::string text) const;

private:
    struct Host {
        std::string name;     // a name, an address, the folder of a Unix socket, or empty: libpq's default
        std::string address;  // from `hostaddr`
        std::string port;     // empty: the one port of all, or libpq's default
        [[nodiscard]] bool needs_address() const;
    };
    Words words_;              // without hosts
    std::vector<Host> hosts_;  // none: libpq finds them itself
    std::vector<std::string> secrets_;
};

}  // namespace sio::pg
