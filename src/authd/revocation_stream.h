// Revocations that all daemons share: the stream `sio:revocations` in Redis, with the fields kind, id, until and from.
//
// It is read from its beginning, then followed. What cannot be written now waits and is written when Redis is back. A
// Redis that has lost its data is given what this daemon knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authd/revocations.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace sio::authd {

/// An entry's fields. Nothing when it is none of ours.
std::optional<Revocation> parse_entry(std::span<const redis::Reply> fields);

class RevocationStream final : redis::Connection::Owner {
public:
    static constexpr std::string_view key = "sio:revocations";
    static constexpr std::size_t max_spooled = 100'000;

    class Owner {
    public:
        virtual ~Owner() = default;
        /// What other daemons have written, the last word about each; `until` is 0 where it was lifted.
        virtual void on_revocations(std::span<const Revocation> revocations) = 0;
        virtual void on_redis_change() = 0;
        /// All that is in force here, for a Redis that has lost it.
        virtual std::vector<Revocation> all_revocations() = 0;
    };

    /// `kept`: seconds that entries stay in the stream.
    RevocationStream(net::Loop& loop, const redis::Endpoint& endpoint, Seconds kept, Owner& owner);

    void start();
    /// Writes one. `done` hears, now or later, whether Redis has it; if not, it waits and is written later.
    void publish(const Revocation& revocation, const std::function<void(bool stored)>& done);

    [[nodiscard]] bool is_up() const noexcept {
        return writer_.is_up() && reader_.is_up() && trouble_.empty() && write_trouble_.empty();
    }
    /// Commands that Redis refused.
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
    [[nodiscard]] std::string detail() const;
    [[nodiscard]] std::size_t waiting() const noexcept { return spool_.size(); }

private:
    using Id = std::pair<std::uint64_t, std::uint64_t>;
    struct Retry final : base::Timer {
        explicit Retry(RevocationStream& of) : stream(of) {}
        void expire(base::Millis) override { stream.has_asked_ ? stream.read() : stream.ask_for_last(); }
        RevocationStream& stream;
    };
    struct RetryWriting final : base::Timer {
        explicit RetryWriting(RevocationStream& of) : stream(of) {}
        void expire(base::Millis) override { stream.flush(); }
        RevocationStream& stream;
    };

    void on_up(redis::Connection& connection) override;
    void on_down(redis::Connection& connection, std::string_view reason) override;
    bool add(const Revocation& revocation, std::function<void(bool)> done);
    void spool(const Revocation& revocation);
    void flush();
    void ask_for_last();
    void read();
    void take(const redis::Reply* reply);
    void caught_up();
    void set_trouble(std::string& of, std::string trouble);
    void on_refused(std::string& of, std::string_view reason);
    [[nodiscard]] std::string id_text() const;

    net::Loop& loop_;
    Seconds kept_;
    Owner& owner_;
    std::string uid_;
    redis::Connection writer_;
    redis::Connection reader_;
    Retry retry_{*this};
    RetryWriting retry_writing_{*this};
    bool has_asked_ = false;                    // for the end of the stream, since the reader is up
    Id last_{0, 0};                             // of the entries read
    bool is_behind_ = true;                     // there may be more to read at once
    bool has_lost_ = false;                     // Redis has lost its data: write what is not in it
    std::map<std::string, Revocation> unread_;  // read while behind: the last word about each
    std::deque<Revocation> spool_;
    std::string trouble_;        // why it cannot be read
    std::string write_trouble_;  // why it cannot be written
    std::uint64_t refused_ = 0;
};

}  // namespace sio::authd
