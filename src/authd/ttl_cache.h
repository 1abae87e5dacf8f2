// Answers that are kept for a while, in a table that does not grow beyond its bound. Pure: time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

#include "authd/digest.h"

namespace sio::authd {

template <typename Value>
class TtlCache {
public:
    explicit TtlCache(std::size_t max_entries) : max_entries_(max_entries) {}

    /// What was kept under `key` and still counts at `now`, or null. Lives until the next put() or clear().
    [[nodiscard]] const Value* find(const Digest& key, std::int64_t now) const {
        const auto found = entries_.find(key);
        return found == entries_.end() || found->second.until <= now ? nullptr : &found->second.value;
    }

    /// Until when it is kept; only for a key that find() finds.
    [[nodiscard]] std::int64_t until(const Digest& key) const { return entries_.at(key).until; }

    /// Keeps `value` while the clock is below `until`. The oldest goes when the table is full.
    void put(const Digest& key, Value value, std::int64_t until, std::int64_t now) {
        if (until <= now) return;
        const auto [at, is_new] = entries_.insert_or_assign(key, Entry{std::move(value), until});
        static_cast<void>(at);
        if (is_new) order_.push_back(key);
        while (!order_.empty() && (entries_.size() > max_entries_ || is_over(order_.front(), now))) {
            entries_.erase(order_.front());
            order_.pop_front();
        }
    }

    void clear() {
        entries_.clear();
        order_.clear();
    }
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    struct Entry {
        Value value;
        std::int64_t until;
    };
    [[nodiscard]] bool is_over(const Digest& key, std::int64_t now) const {
        const auto found = entries_.find(key);
        return found == entries_.end() || found->second.until <= now;
    }

    std::unordered_map<Digest, Entry, DigestHash> entries_;
    std::deque<Digest> order_;  // in which they came
    std::size_t max_entries_;
};

}  // namespace sio::authd
