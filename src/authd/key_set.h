// The public keys of a URL: fetched, kept while their server is away, and asked for anew when a token names another.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "auth/jwks.h"
#include "authd/key_fetcher.h"
#include "net/loop.h"

namespace sio::authd {

class KeySet final : base::Timer {
public:
    static constexpr base::Millis refresh_interval = 600'000;
    static constexpr base::Millis unknown_key_interval = 60'000;  ///< between two fetches for keys not seen yet
    static constexpr base::Millis retry_min = 1'000;
    static constexpr base::Millis retry_max = 30'000;

    class Owner {
    public:
        virtual ~Owner() = default;
        /// A fetch has ended. `text` is the set when it is another than before, else null.
        virtual void on_key_set(const std::string* text) = 0;
    };

    KeySet(net::Loop& loop, const std::string& url, const std::string& ca_file, Owner& owner);

    void start() { begin(); }
    /// A key is not in the set: fetches it unless that was done a short while ago. Whether a fetch is under way now,
    /// whose end on_key_set() tells.
    bool want_unknown_key();
    /// An operator asks: fetches it in any case.
    void refresh() { begin(); }

    /// The last good set; nothing while there has been none.
    [[nodiscard]] const std::optional<std::string>& text() const noexcept { return text_; }
    /// The last fetch was good: a key that is not in the set does not exist.
    [[nodiscard]] bool is_good() const noexcept { return text_.has_value() && trouble_.empty(); }
    [[nodiscard]] bool is_busy() const noexcept { return fetcher_.is_busy(); }
    [[nodiscard]] std::string detail() const;
    [[nodiscard]] std::uint64_t fetches() const noexcept { return fetches_; }

private:
    void expire(base::Millis now) override;
    void begin();
    void on_fetched(Result<std::string> text);

    net::Loop& loop_;
    Owner& owner_;
    KeyFetcher fetcher_;
    std::optional<std::string> text_;
    std::size_t keys_ = 0;
    std::string trouble_;
    base::Millis retry_ = retry_min;
    std::optional<base::Millis> asked_for_unknown_;
    std::uint64_t fetches_ = 0;
};

}  // namespace sio::authd
