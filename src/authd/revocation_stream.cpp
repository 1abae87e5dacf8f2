#include "authd/revocation_stream.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"

namespace sio::authd {

namespace {

constexpr std::string_view page = "1000";
constexpr std::size_t page_entries = 1000;
constexpr base::Millis block = 1000;
constexpr base::Millis retry_pause = 1000;

redis::ConnectionOptions options_of(std::string name) {
    redis::ConnectionOptions options;
    options.name = std::move(name);
    return options;
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_id(std::string_view text) {
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto time = base::parse_decimal(text.substr(0, dash));
    const auto number = base::parse_decimal(text.substr(dash + 1));
    if (!time || !number) return std::nullopt;
    return std::pair{*time, *number};
}

/// Which daemon has written an entry, so that it does not take its own words for news.
std::string random_name() {
    std::array<unsigned char, 16> bytes{};
    static_cast<void>(!getrandom(bytes.data(), bytes.size(), 0));
    return base::to_hex(bytes.data(), bytes.size());
}

std::string name_of(const Revocation& revocation) {
    return std::string(to_string(revocation.kind)) + ':' + revocation.id;
}

bool is_from(std::span<const redis::Reply> fields, std::string_view writer) {
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
        if (fields[i].text == "from") return fields[i + 1].text == writer;
    }
    return false;
}

}  // namespace

std::optional<Revocation> parse_entry(std::span<const redis::Reply> fields) {
    Revocation out;
    bool has_kind = false;
    bool has_until = false;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
        const std::string_view value = fields[i + 1].text;
        if (fields[i].text == "kind") {
            const auto kind = parse_revoked(value);
            if (!kind) return std::nullopt;
            out.kind = *kind;
            has_kind = true;
        } else if (fields[i].text == "id") {
            out.id = value;
        } else if (fields[i].text == "until") {
            const auto until = base::parse_decimal(value, INT64_MAX);
            if (!until) return std::nullopt;
            out.until = static_cast<Seconds>(*until);
            has_until = true;
        }
    }
    if (!has_kind || !has_until || out.id.empty() || out.id.size() > Revocations::max_id_bytes ||
        !base::is_utf8(out.id)) {
        return std::nullopt;
    }
    return out;
}

RevocationStream::RevocationStream(net::Loop& loop, const redis::Endpoint& endpoint, Seconds kept, Owner& owner)
    : loop_(loop),
      kept_(kept),
      owner_(owner),
      uid_(random_name()),
      writer_(loop, endpoint, options_of("sio-authd"), *this),
      reader_(loop, endpoint, options_of("sio-authd-reader"), *this) {}

void RevocationStream::start() {
    writer_.start();
    reader_.start();
}

std::string RevocationStream::detail() const {
    if (!trouble_.empty()) return trouble_;
    if (!write_trouble_.empty()) return write_trouble_;
    if (is_up()) return "all read";
    const auto& down = writer_.is_up() ? reader_ : writer_;
    return down.down_reason().empty() ? "not connected yet" : down.down_reason();
}

void RevocationStream::on_up(redis::Connection& connection) {
    if (&connection == &writer_) {
        flush();
    } else {
        ask_for_last();
    }
    owner_.on_redis_change();
}

void RevocationStream::on_down(redis::Connection& connection, std::string_view reason) {
    if (&connection == &reader_) {
        retry_.disarm();
        has_asked_ = false;
    } else {
        retry_writing_.disarm();
    }
    log::debug("redis", "redis_down", {{"reason", reason}});
    owner_.on_redis_change();
}

void RevocationStream::set_trouble(std::string& of, std::string trouble) {
    if (trouble == of) return;
    of = std::move(trouble);
    if (!of.empty()) log::error("redis", "revocations_failed", {{"reason", of}});
    owner_.on_redis_change();
}

void RevocationStream::on_refused(std::string& of, std::string_view reason) {
    ++refused_;
    const std::string_view what = &of == &trouble_ ? "cannot read " : "cannot write to ";
    set_trouble(of, std::string(what) + std::string(key) + ": " + std::string(reason));
}

// --- Writing ---------------------------------------------------------------------------------------------------------

bool RevocationStream::add(const Revocation& revocation, std::function<void(bool)> done) {
    const std::string oldest = std::to_string(std::max<base::Millis>(loop_.wall_clock() - kept_ * 1000, 0));
    const std::string until = std::to_string(revocation.until);
    return writer_.send({"XADD", key, "MINID", "~", oldest, "*", "kind", to_string(revocation.kind), "id",
                         revocation.id, "until", until, "from", uid_},
                        [this, done = std::move(done)](const redis::Reply* reply) {
                            const bool is_refused = reply != nullptr && reply->is_error();
                            if (is_refused) on_refused(write_trouble_, reply->text);
                            done(reply != nullptr && !is_refused);
                            if (reply == nullptr) return;  // flushed when the writer is up again
                            if (is_refused) {
                                if (writer_.is_up()) loop_.timers().arm(retry_writing_, loop_.now() + retry_pause);
                            } else if (!write_trouble_.empty()) {
                                set_trouble(write_trouble_, {});
                                flush();
                            }
                        });
}

void RevocationStream::publish(const Revocation& revocation, const std::function<void(bool stored)>& done) {
    const bool sent = writer_.is_up() && add(revocation, [this, revocation, done](bool stored) {
                          if (!stored) spool(revocation);
                          done(stored);
                      });
    if (sent) return;
    spool(revocation);
    done(false);
}

void RevocationStream::spool(const Revocation& revocation) {
    if (spool_.size() >= max_spooled) {
        log::error("redis", "revocation_not_shared", {{"waiting", spool_.size()}});
        return;
    }
    spool_.push_back(revocation);
    owner_.on_redis_change();
}

void RevocationStream::flush() {
    if (!write_trouble_.empty()) {  // one is enough to see whether Redis takes them again
        if (spool_.empty()) return set_trouble(write_trouble_, {});
        const Revocation first = spool_.front();
        spool_.pop_front();
        const bool sent = add(first, [this, first](bool stored) {
            if (!stored) spool_.push_front(first);
        });
        if (!sent) spool_.push_front(first);
        return;
    }
    auto waiting = std::exchange(spool_, {});
    for (const Revocation& revocation : waiting) {
        const bool sent = add(revocation, [this, revocation](bool stored) {
            if (!stored) spool(revocation);
        });
        if (!sent) spool(revocation);
    }
}

// --- Reading ---------------------------------------------------------------------------------------------------------

std::string RevocationStream::id_text() const {
    return std::to_string(last_.first) + '-' + std::to_string(last_.second);
}

/// A stream that ends before what was read of it is another: Redis was emptied, or has become another one.
void RevocationStream::ask_for_last() {
    const bool sent = reader_.send({"XREVRANGE", key, "+", "-", "COUNT", "1"}, [this](const redis::Reply* reply) {
        if (reply == nullptr) return;
        if (reply->is_error()) {
            on_refused(trouble_, reply->text);
            loop_.timers().arm(retry_, loop_.now() + retry_pause);
            return;
        }
        has_asked_ = true;
        Id top{0, 0};
        if (!reply->items.empty() && !reply->items.front().items.empty()) {
            top = parse_id(reply->items.front().items.front().text).value_or(top);
        }
        if (top < last_) {
            log::warn("redis", "revocations_lost", {{"reason", "the stream ends before what was read of it"}});
            last_ = {0, 0};
            has_lost_ = true;
        }
        is_behind_ = true;
        read();
    });
    if (!sent) log::debug("redis", "not_asked");
}

void RevocationStream::read() {
    if (!reader_.is_up()) return;
    const std::string block_text = std::to_string(block);
    const std::string last = id_text();
    // While behind nothing is waited for.
    const auto done = [this](const redis::Reply* reply) { take(reply); };
    if (is_behind_) {
        reader_.send({"XREAD", "COUNT", page, "STREAMS", key, last}, done);
    } else {
        reader_.send_blocking({"XREAD", "COUNT", page, "BLOCK", block_text, "STREAMS", key, last}, block, done);
    }
}

void RevocationStream::take(const redis::Reply* reply) {
    if (reply == nullptr) return;  // it comes back, and reads on from where it was
    if (reply->is_error()) {
        on_refused(trouble_, reply->text);
        loop_.timers().arm(retry_, loop_.now() + retry_pause);
        return;
    }
    set_trouble(trouble_, {});
    std::size_t count = 0;
    if (reply->is_array() && !reply->items.empty() && reply->items.front().items.size() == 2) {
        for (const redis::Reply& entry : reply->items.front().items[1].items) {
            if (entry.items.size() != 2) continue;
            ++count;
            if (const auto id = parse_id(entry.items[0].text)) last_ = *id;
            if (is_from(entry.items[1].items, uid_)) continue;
            auto revocation = parse_entry(entry.items[1].items);
            if (!revocation) {
                log::warn("redis", "revocation_unreadable", {{"entry", entry.items[0].text}});
                continue;
            }
            unread_.insert_or_assign(name_of(*revocation), *revocation);
        }
    }
    is_behind_ = count == page_entries;
    if (!is_behind_) caught_up();
    read();
}

void RevocationStream::caught_up() {
    const auto read = std::exchange(unread_, {});
    if (std::exchange(has_lost_, false)) {
        for (const Revocation& one : owner_.all_revocations()) {
            if (!read.contains(name_of(one))) publish(one, [](bool) {});
        }
    }
    if (read.empty()) return;
    std::set<std::string> overruled;  // what waits to be written is the last word
    for (const Revocation& waiting : spool_) overruled.insert(name_of(waiting));
    std::vector<Revocation> revocations;
    revocations.reserve(read.size());
    for (const auto& [name, revocation] : read) {
        if (!overruled.contains(name)) revocations.push_back(revocation);
    }
    owner_.on_revocations(revocations);
}

}  // namespace sio::authd
