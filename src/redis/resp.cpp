#include "redis/resp.h"

#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

namespace sio::redis {

namespace {

constexpr std::size_t max_number_line = 32;                         // bytes after the type of `:`, `$` and `*`
constexpr std::size_t smallest_buffer = 16384;                      // bytes
constexpr std::size_t largest_idle_buffer = std::size_t{4} << 20U;  // what is larger goes with the reply that needed it
constexpr std::size_t largest_idle_table = std::size_t{1} << 17U;   // elements

std::optional<std::int64_t> parse_number(std::string_view text) noexcept {
    if (text.starts_with('+')) {
        text.remove_prefix(1);
        if (text.starts_with('-')) return std::nullopt;
    }
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::size_t digits(std::size_t number) noexcept {
    std::size_t count = 1;
    for (; number >= 10; number /= 10) ++count;
    return count;
}

void append_header(std::string& out, char type, std::size_t number) {
    std::array<char, 24> text;
    text[0] = type;
    char* end = std::to_chars(text.data() + 1, text.data() + text.size() - 2, number).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(text.data(), static_cast<std::size_t>(end - text.data()));
}

}  // namespace

std::int64_t Reply::to_integer(std::int64_t otherwise) const noexcept {
    if (kind == Kind::integer) return integer;
    if (!is_text()) return otherwise;
    return parse_number(text).value_or(otherwise);
}

void append_command(std::string& out, std::span<const std::string_view> args) {
    append_header(out, '*', args.size());
    for (const std::string_view arg : args) {
        append_header(out, '$', arg.size());
        out += arg;
        out += "\r\n";
    }
}

std::size_t command_bytes(std::span<const std::string_view> args) noexcept {
    std::size_t bytes = 3 + digits(args.size());
    for (const std::string_view arg : args) bytes += 5 + digits(arg.size()) + arg.size();
    return bytes;
}

void Reader::reset() noexcept {
    begin_ = end_ = at_ = scanned_ = done_bytes_ = bulk_bytes_ = 0;
    in_bulk_ = failed_ = false;
    depth_ = owed_ = 0;
    elements_.clear();
    error_.what.clear();
}

void Reader::drop_reply() noexcept {
    if (done_bytes_ == 0) return;
    begin_ += std::exchange(done_bytes_, 0);
    if (elements_.capacity() > largest_idle_table) std::vector<Element>{}.swap(elements_);
    if (replies_.capacity() > largest_idle_table) std::vector<Reply>{}.swap(replies_);
    elements_.clear();
    if (begin_ != end_) return;
    begin_ = end_ = 0;
    if (capacity_ <= largest_idle_buffer) return;
    data_.reset();
    capacity_ = 0;
}

std::span<char> Reader::room(std::size_t at_least) {
    drop_reply();
    if (capacity_ - end_ < at_least) {
        const std::size_t held = end_ - begin_;
        // Moved only where at least half is free, so that each byte is moved a bounded number of times.
        if (held <= capacity_ / 2 && capacity_ - held >= at_least) {
            std::memmove(data_.get(), data_.get() + begin_, held);
        } else {
            const std::size_t capacity = std::max({smallest_buffer, 2 * capacity_, held + at_least});
            auto larger = std::make_unique_for_overwrite<char[]>(capacity);
            if (held > 0) std::memcpy(larger.get(), data_.get() + begin_, held);
            data_ = std::move(larger);
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = held;
    }
    return {data_.get() + end_, capacity_ - end_};
}

void Reader::feed(std::string_view bytes) {
    if (bytes.empty()) return drop_reply();
    std::memcpy(room(bytes.size()).data(), bytes.data(), bytes.size());
    added(bytes.size());
}

Reader::Step Reader::give_up(Errc code, std::string what) {
    failed_ = true;
    error_ = {code, "cannot read the reply: " + std::move(what)};
    return Step::failed;
}

Reader::Step Reader::add(Reply::Kind kind, std::size_t size, std::int64_t value) {
    elements_.push_back({kind, static_cast<std::uint32_t>(size), value});
    return Step::element;
}

Reader::Step Reader::parse_element() {
    const std::string_view left{data_.get() + begin_ + at_, end_ - begin_ - at_};
    if (left.empty()) return Step::more;
    const char type = left.front();
    const bool text = type == '+' || type == '-';
    if (!text && type != ':' && type != '$' && type != '*') return give_up(Errc::malformed, "an unknown type");

    const std::size_t most = text ? max_line_bytes : max_number_line;
    const std::size_t line_feed = left.find('\n', std::max<std::size_t>(scanned_, 1));
    const std::size_t line_bytes = std::min(line_feed, left.size()) - 1;  // with the carriage return
    if (line_bytes > most + 1) return give_up(Errc::too_large, "a line is too long");
    if (at_ + line_bytes + 2 > max_bytes_) return give_up(Errc::too_large, "it is longer than allowed");
    if (line_feed == std::string_view::npos) {
        scanned_ = left.size();
        return Step::more;
    }
    if (line_bytes == 0 || left[line_feed - 1] != '\r') return give_up(Errc::malformed, "a line ends without CR");
    scanned_ = 0;
    const std::string_view line = left.substr(1, line_bytes - 1);
    const std::size_t begin = at_ + 1;
    at_ += line_feed + 1;
    if (text) {
        const auto kind = type == '+' ? Reply::Kind::simple : Reply::Kind::error;
        return add(kind, line.size(), static_cast<std::int64_t>(begin));
    }
    return parse_line(type, line);
}

Reader::Step Reader::parse_line(char type, std::string_view line) {
    const auto number = parse_number(line);
    if (!number) return give_up(Errc::malformed, "no number where one must be");
    if (type == ':') return add(Reply::Kind::integer, 0, *number);
    if (*number == -1) return add(Reply::Kind::nil, 0, 0);
    if (*number < 0) return give_up(Errc::malformed, "a negative length");

    const auto length = static_cast<std::uint64_t>(*number);
    if (type == '$') {
        if (length > max_bytes_ || at_ + length + 2 > max_bytes_) {
            return give_up(Errc::too_large, "it is longer than allowed");
        }
        bulk_bytes_ = static_cast<std::size_t>(length);
        in_bulk_ = true;
        return finish_bulk();
    }
    if (length > max_elements || elements_.size() + owed_ + length > max_elements) {
        return give_up(Errc::too_large, "it has more elements than allowed");
    }
    if (length > 0 && depth_ == max_depth) return give_up(Errc::too_large, "arrays are nested too deeply");
    add(Reply::Kind::array, static_cast<std::size_t>(length), 0);
    if (length == 0) return Step::element;
    left_[depth_++] = static_cast<std::uint32_t>(length);
    owed_ += static_cast<std::size_t>(length);
    return Step::element;
}

Reader::Step Reader::finish_bulk() {
    const std::size_t here = end_ - begin_ - at_;
    if (here < bulk_bytes_ + 2) return Step::more;
    const char* end = data_.get() + begin_ + at_ + bulk_bytes_;
    if (end[0] != '\r' || end[1] != '\n') return give_up(Errc::malformed, "a bulk ends without CR LF");
    in_bulk_ = false;
    const std::size_t begin = at_;
    at_ += bulk_bytes_ + 2;
    return add(Reply::Kind::bulk, bulk_bytes_, static_cast<std::int64_t>(begin));
}

// After each element: whether it was the last one of the reply.
bool Reader::is_whole() noexcept {
    const Element& last = elements_.back();
    // An array that has just been opened counts for its parent when it is closed.
    if (last.kind == Reply::Kind::array && last.size > 0) return false;
    while (depth_ > 0) {
        --owed_;
        if (--left_[depth_ - 1] > 0) return false;
        --depth_;
        // The array that is complete is itself an element of the next one.
    }
    return true;
}

const Reply* Reader::build() {
    if (replies_.size() < elements_.size()) replies_.resize(elements_.size());
    struct Filling {
        Reply* next;
        std::uint32_t left;
    };
    std::array<Filling, max_depth + 1> arrays;
    std::size_t depth = 0;
    const char* base = data_.get() + begin_;
    Reply* unused = replies_.data() + 1;
    arrays[0] = {replies_.data(), 1};
    for (const Element& element : elements_) {
        while (arrays[depth].left == 0) --depth;
        --arrays[depth].left;
        Reply& reply = *arrays[depth].next++;
        reply.kind = element.kind;
        reply.text = {};
        reply.integer = 0;
        reply.items = {};
        switch (element.kind) {
            case Reply::Kind::nil: break;
            case Reply::Kind::integer: reply.integer = element.value; break;
            case Reply::Kind::array:
                if (element.size == 0) break;
                reply.items = {unused, element.size};
                arrays[++depth] = {unused, element.size};
                unused += element.size;
                break;
            case Reply::Kind::simple:
            case Reply::Kind::error:
            case Reply::Kind::bulk: reply.text = {base + element.value, element.size}; break;
        }
    }
    return replies_.data();
}

Result<const Reply*> Reader::next() {
    drop_reply();
    while (!failed_) {
        const Step step = in_bulk_ ? finish_bulk() : parse_element();
        if (step == Step::more) return nullptr;
        if (step == Step::failed) break;
        if (!is_whole()) continue;
        done_bytes_ = std::exchange(at_, 0);
        return build();
    }
    return tl::unexpected<Error>(error_);
}

}  // namespace sio::redis
