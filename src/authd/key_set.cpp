#include "authd/key_set.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace sio::authd {

KeySet::KeySet(net::Loop& loop, const std::string& url, const std::string& ca_file, Owner& owner)
    : loop_(loop), owner_(owner), fetcher_(loop, url, ca_file, auth::Jwks::max_bytes, [this](Result<std::string> text) {
          on_fetched(std::move(text));
      }) {}

bool KeySet::want_unknown_key() {
    if (fetcher_.is_busy()) return true;
    const base::Millis now = loop_.now();
    if (asked_for_unknown_ && now - *asked_for_unknown_ < unknown_key_interval) return false;
    asked_for_unknown_ = now;
    begin();
    return fetcher_.is_busy();
}

void KeySet::expire(base::Millis) { begin(); }

void KeySet::begin() {
    if (fetcher_.is_busy()) return;
    disarm();
    ++fetches_;
    if (auto begun = fetcher_.fetch(); !begun) {
        trouble_ = begun.error().what;
        log::error("jwks", "fetch_failed", {{"reason", trouble_}});
        loop_.timers().arm(*this, loop_.now() + retry_max);
    }
}

void KeySet::on_fetched(Result<std::string> text) {
    std::string trouble;
    std::size_t keys = 0;
    if (text) {
        const auto parsed = auth::Jwks::parse(*text);
        if (!parsed) {
            trouble = "cannot use the key set: " + parsed.error().what;
        } else if (parsed->size() == 0) {
            trouble = "cannot use the key set: there is no key in it that we have a use for";
        } else {
            keys = parsed->size();
        }
    } else {
        trouble = text.error().what;
    }
    trouble_ = std::move(trouble);
    if (!trouble_.empty()) {
        log::warn("jwks", "fetch_failed", {{"reason", trouble_}, {"has_older", text_.has_value()}});
        loop_.timers().arm(*this, loop_.now() + retry_);
        retry_ = std::min(2 * retry_, retry_max);
        owner_.on_key_set(nullptr);
        return;
    }
    retry_ = retry_min;
    keys_ = keys;
    loop_.timers().arm(*this, loop_.now() + refresh_interval);
    const bool is_new = text_ != *text;
    text_ = std::move(*text);
    if (is_new) log::info("jwks", "keys_fetched", {{"keys", keys_}});
    owner_.on_key_set(is_new ? &*text_ : nullptr);
}

std::string KeySet::detail() const {
    if (!trouble_.empty()) return trouble_;
    return text_ ? std::to_string(keys_) + " keys" : "not fetched yet";
}

}  // namespace sio::authd
