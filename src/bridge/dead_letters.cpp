#include "bridge/dead_letters.h"

#include "base/bytes.h"
#include "base/log.h"

namespace sio::bridge {

namespace {

constexpr base::Millis retry_pause = 1'000;
constexpr base::Millis refused_pause =
    10'000;  // a refusal of Kafka's costs the events that are under way a moment, too
constexpr std::size_t max_reason_bytes = 1024;

std::string cut(std::string_view reason) {
    std::string text = base::one_line(reason);
    if (text.size() > max_reason_bytes) {
        std::size_t end = max_reason_bytes;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // not within a character
        text.resize(end);
    }
    return text;
}

}  // namespace

std::string_view to_string(Poison kind) noexcept {
    switch (kind) {
        case Poison::malformed: return "malformed";
        case Poison::no_value: return "no_value";
        case Poison::too_large: return "too_large";
    }
    return "malformed";
}

struct DeadLetters::Retry final : base::Timer {
    explicit Retry(DeadLetters& of) : letters(of) {}
    DeadLetters& letters;

private:
    void expire(base::Millis) override { letters.send_all(); }
};

DeadLetters::DeadLetters(net::Loop& loop, kafka::Producer& producer, std::string topic)
    : loop_(loop), producer_(producer), topic_(std::move(topic)), retry_(std::make_unique<Retry>(*this)) {}

DeadLetters::~DeadLetters() { producer_.forget(*this); }

std::uint64_t DeadLetters::bury(const kafka::Record& record, Poison kind, std::string_view reason,
                                std::function<void()> done) {
    const std::string why = cut(reason);
    log::warn("dead", "record_refused",
              {{"topic", record.topic},
               {"partition", record.partition},
               {"offset", record.offset},
               {"error", to_string(kind)},
               {"reason", why}});
    Letter letter;
    if (record.key) letter.key.emplace(*record.key);
    if (record.value) letter.value.emplace(*record.value);
    for (const kafka::Header& header : record.headers) {
        letter.headers.emplace_back(header.name,
                                    header.value ? std::optional<std::string>(*header.value) : std::nullopt);
    }
    const auto add_header = [&letter](std::string_view name, std::string value) {
        letter.headers.emplace_back(name, std::move(value));
    };
    add_header("sio-reason", why);
    add_header("sio-error", std::string(to_string(kind)));
    add_header("sio-topic", std::string(record.topic));
    add_header("sio-partition", std::to_string(record.partition));
    add_header("sio-offset", std::to_string(record.offset));
    add_header("sio-time", std::to_string(record.time_ms));
    add_header("sio-failed-at", std::to_string(loop_.wall_clock()));
    letter.done = std::move(done);
    return add(std::move(letter));
}

void DeadLetters::bury_event(const kafka::Outgoing& record, std::string_view entry, std::string_view kind,
                             std::string_view reason, std::function<void()> done) {
    Letter letter;
    if (record.key) letter.key.emplace(*record.key);
    for (const kafka::Header& header : record.headers) {
        letter.headers.emplace_back(header.name,
                                    header.value ? std::optional<std::string>(*header.value) : std::nullopt);
    }
    if (kind == to_string(Poison::too_large)) {
        letter.headers.emplace_back("sio-bytes", std::to_string(record.value ? record.value->size() : 0));
    } else if (record.value) {
        letter.value.emplace(*record.value);
    }
    const auto set_header = [&letter](std::string_view name, std::string value) {
        std::erase_if(letter.headers, [name](const auto& header) { return header.first == name; });
        letter.headers.emplace_back(name, std::move(value));
    };
    set_header("sio-reason", cut(reason));
    set_header("sio-error", std::string(kind));
    set_header("sio-topic", std::string(record.topic));
    set_header("sio-id", std::string(entry));
    set_header("sio-failed-at", std::to_string(loop_.wall_clock()));
    letter.done = std::move(done);
    static_cast<void>(add(std::move(letter)));
}

std::uint64_t DeadLetters::add(Letter letter) {
    std::uint64_t bytes = (letter.key ? letter.key->size() : 0) + (letter.value ? letter.value->size() : 0);
    for (const auto& [name, value] : letter.headers) bytes += name.size() + (value ? value->size() : 0);
    letter.bytes = bytes;
    bytes_ += bytes;
    const std::uint64_t tag = next_++;
    Letter& kept = letters_.emplace(tag, std::move(letter)).first->second;
    if (topic_.empty()) {
        loop_.timers().arm(*retry_, loop_.now());  // done in the next turn, as ever
    } else if (!retry_->is_armed()) {              // else behind those that wait already
        send(tag, kept);
    }
    return bytes;
}

void DeadLetters::send(std::uint64_t tag, Letter& letter) {
    std::vector<kafka::Header> headers;
    headers.reserve(letter.headers.size());
    for (const auto& [name, value] : letter.headers) {
        headers.push_back({name, value ? std::optional<std::string_view>(*value) : std::nullopt});
    }
    kafka::Outgoing out;
    out.topic = topic_;
    if (letter.key) out.key = *letter.key;
    if (letter.value) out.value = *letter.value;
    out.headers = headers;
    const auto taken = producer_.produce(out, *this, tag);
    letter.is_open = taken.has_value();
    if (!taken) failed(tag, taken.error());
}

void DeadLetters::failed(std::uint64_t tag, const Error& error) {
    Letter& letter = letters_.at(tag);
    letter.is_open = false;
    ++stats_.retries;
    base::Millis pause = retry_pause;
    if (error.code == Errc::too_large && !letter.is_cut) {
        // Its value cannot be kept; where it came from is.
        letter.is_cut = true;
        letter.headers.emplace_back("sio-bytes", std::to_string(letter.value ? letter.value->size() : 0));
        letter.value.reset();
        letter.key.reset();
        ++stats_.cut;
        pause = 0;
    } else if (error.code != Errc::unavailable) {
        complain(error.what);
        if (error.code != Errc::not_found) pause = refused_pause;
    }
    if (!retry_->is_armed()) loop_.timers().arm(*retry_, loop_.now() + pause);
}

void DeadLetters::send_all() {
    if (topic_.empty()) {
        auto letters = std::exchange(letters_, {});
        bytes_ = 0;
        for (auto& [tag, letter] : letters) {
            ++stats_.written;
            letter.done();
        }
        return;
    }
    for (auto& [tag, letter] : letters_) {
        if (letter.is_open) continue;
        send(tag, letter);
        if (!letter.is_open && !letter.is_cut) break;  // the queue is full, or the topic is not there
    }
}

void DeadLetters::on_report(std::uint64_t tag, const Error* error) {
    const auto found = letters_.find(tag);
    if (found == letters_.end()) return;
    if (error != nullptr) return failed(tag, *error);
    ++stats_.written;
    if (!trouble_.empty()) log::info("dead", "topic_taken", {{"topic", topic_}});
    trouble_.clear();
    bytes_ -= found->second.bytes;
    const auto done = std::move(found->second.done);
    letters_.erase(found);
    done();
}

/// Once, until a letter is written.
void DeadLetters::complain(std::string_view why) {
    if (trouble_.empty()) {
        log::error("dead", "topic_unavailable",
                   {{"topic", topic_},
                    {"waiting", letters_.size()},
                    {"reason", why},
                    {"remedy", "make the topic, and let the user write it"}});
    }
    trouble_ = why;
}

}  // namespace sio::bridge
