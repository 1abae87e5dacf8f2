#include "gateway/recovery.h"

#include <algorithm>

namespace sio::gateway {

namespace {

constexpr std::size_t allocation_cost = 16;      // what malloc adds to a block, at most
constexpr Millis mark_interval = 250;            // how exactly the age of what was sent is known
constexpr std::size_t rooms_per_step = 64;       // that the budget looks at when a packet comes
constexpr std::size_t rooms_per_purge = 10'000;  // and that a purge looks at
constexpr std::uint32_t smallest_list = 4;       // positions
constexpr std::size_t origin_cost = 256;         // of an address in two tables, and of its first positions
constexpr std::uint32_t long_list = 1'024;       // positions

/// Bytes that a text holds beside itself.
std::size_t heap_bytes(const std::string& text) noexcept {
    return text.capacity() > 15 ? text.capacity() + 1 + allocation_cost : 0;
}

std::size_t heap_bytes(const std::vector<std::string>& list) noexcept {
    std::size_t bytes = list.capacity() == 0 ? 0 : list.capacity() * sizeof(std::string) + allocation_cost;
    for (const std::string& one : list) bytes += heap_bytes(one);
    return bytes;
}

std::size_t heap_bytes(const std::vector<Stay>& list) noexcept {
    std::size_t bytes = list.capacity() == 0 ? 0 : list.capacity() * sizeof(Stay) + allocation_cost;
    for (const Stay& one : list) bytes += heap_bytes(one.room);
    return bytes;
}

}  // namespace

// --- lists of positions ---------------------------------------------------------------------------------------------

namespace {

/// A long list grows by a quarter, so that growing does not break the budget.
std::uint32_t grown(std::uint32_t size) noexcept {
    return std::max(smallest_list, size < long_list ? size * 2 : size + size / 4);
}

}  // namespace

void PositionList::move_into(std::uint32_t capacity, std::uint32_t head) {
    auto data = std::make_unique_for_overwrite<Position[]>(capacity);
    std::copy_n(data_.get() + head_, size_, data.get() + head);
    data_ = std::move(data);
    capacity_ = capacity;
    head_ = head;
}

void PositionList::push_back(Position position) {
    if (head_ + size_ == capacity_) {
        // A list whose front has gone moves down into its own room before it takes more.
        const bool is_full = size_ + size_ / 8 >= capacity_;
        move_into(is_full ? grown(size_) : capacity_, 0);
    }
    data_[head_ + size_] = position;
    ++size_;
}

void PositionList::push_front(Position position) {
    if (head_ == 0) {
        const std::uint32_t capacity = grown(size_);
        move_into(capacity, capacity - size_);
    }
    --head_;
    data_[head_] = position;
    ++size_;
}

void PositionList::pop_front() noexcept {
    ++head_;
    --size_;
    if (size_ == 0) {
        data_.reset();
        capacity_ = head_ = 0;
    } else if (capacity_ > smallest_list && size_ * 4 <= capacity_) {
        move_into(std::max(smallest_list, capacity_ / 2), 0);
    }
}

// --- the log --------------------------------------------------------------------------------------------------------

RecoveryLog::RecoveryLog(RecoveryBudget& budget, Options options, Position start, Millis now)
    : budget_(budget), options_(options) {
    begin_at(start, now);
}

RecoveryLog::~RecoveryLog() { budget_.used -= content_bytes_ + index_bytes_; }

void RecoveryLog::begin_at(Position position, Millis now) {
    budget_.used -= content_bytes_ + index_bytes_;
    content_bytes_ = index_bytes_ = 0;
    packets_.clear();
    by_bytes_.clear();
    origins_.clear();
    hollow_ = 0;
    rooms_.clear();
    walk_.clear();
    marks_.clear();
    hand_ = hand_left_ = 0;
    floor_ = index_floor_ = unknown_rooms_ = {};
    position_ = known_after_ = content_after_ = position;
    takes_older_content_ = true;
    marks_.push_back({position, now, now});
}

void RecoveryLog::lose_through(Position position, Millis now) {
    known_after_ = std::max(known_after_, position);
    mark(std::max(position, marks_.empty() ? floor_ : marks_.back().through), now);
}

void RecoveryLog::mark(Position position, Millis now) {
    if (marks_.empty() || now - marks_.back().began >= mark_interval) marks_.push_back({position, now, now});
    marks_.back().through = position;
    marks_.back().at = now;
}

Position RecoveryLog::floor(Millis now) noexcept {
    while (!marks_.empty() && marks_.front().at + options_.keep < now) {
        floor_ = std::max(floor_, marks_.front().through);
        marks_.pop_front();
    }
    return floor_;
}

std::size_t RecoveryLog::cost(const Packet& packet) noexcept {
    const auto of_frame = [](const FrameRef& frame) { return sizeof(Frame) + frame->size() + allocation_cost; };
    std::size_t bytes = sizeof(Packet) + (packet.frame ? of_frame(packet.frame) : 0);
    if (packet.origin != nullptr) bytes += 2 * sizeof(Position);  // in its origin's list
    if (packet.more == nullptr) return bytes;
    bytes += sizeof(Packet::More) + allocation_cost + heap_bytes(packet.more->except) +
             packet.more->attachments.capacity() * sizeof(FrameRef);
    for (const FrameRef& frame : packet.more->attachments) bytes += of_frame(frame);
    return bytes;
}

RecoveryLog::Packet RecoveryLog::make_packet(const Audience& to, Position position, std::span<const FrameRef> frames) {
    Packet packet;
    packet.position = position;
    packet.frame = frames.front();
    if (frames.size() > 1 || !to.except.empty()) {
        packet.more = std::make_unique<Packet::More>();
        packet.more->attachments.assign(frames.begin() + 1, frames.end());
        packet.more->except.assign(to.except.begin(), to.except.end());
    }
    return packet;
}

void RecoveryLog::add_content(std::size_t bytes) noexcept {
    content_bytes_ += bytes;
    budget_.used += bytes;
}

void RecoveryLog::record(const Audience& to, Position position, std::span<const FrameRef> frames, Millis now,
                         const net::Address& from) {
    move_to(position);
    mark(position, now);
    floor(now);
    index(to, position, false);
    packets_.push_back(make_packet(to, position, frames));
    charge_origin(packets_.back(), from);
    add_content(cost(packets_.back()));
    drop_old_content();
    if (index_bytes_ > budget_.limit / 2) shrink_index();
    while (budget_.is_over() && packets_.size() > 1) {
        if (!hollow_greediest()) drop_front();
    }
}

// --- whose packets they are ---

void RecoveryLog::charge_origin(Packet& packet, const net::Address& from) {
    if (options_.has_source || from == net::Address{}) return;
    const auto [entry, is_new] = origins_.try_emplace(from);
    if (is_new) add_content(origin_cost);
    Origin& origin = entry->second;
    origin.address = from;
    packet.origin = &origin;
    origin.packets.push_back(packet.position);
    by_bytes_.set(origin, origin.bytes + cost(packet));
}

/// A packet is the oldest of its origin when it goes.
void RecoveryLog::discharge_origin(Packet& packet) noexcept {
    if (packet.origin == nullptr) return;
    Origin& origin = *packet.origin;
    by_bytes_.set(origin, origin.bytes - cost(packet));
    origin.packets.pop_front();
    packet.origin = nullptr;
    if (!origin.packets.is_empty()) return;
    by_bytes_.erase(origin);
    origins_.erase(net::Address(origin.address));
    content_bytes_ -= origin_cost;
    budget_.used -= origin_cost;
}

/// Takes the frames of the oldest packet of whoever has most, when that is more than his share. False: nobody has.
bool RecoveryLog::hollow_greediest() {
    const Origin* greediest = by_bytes_.most();
    if (greediest == nullptr || greediest->bytes <= budget_.limit / 4) return false;
    const Position oldest = greediest->packets.front();
    if (oldest == packets_.front().position || oldest == packets_.back().position) return false;
    Packet& packet = *std::ranges::lower_bound(packets_, oldest, {}, &Packet::position);
    const std::size_t before = cost(packet);
    discharge_origin(packet);
    packet.frame = {};
    packet.more.reset();
    ++hollow_;
    const std::size_t freed = before - cost(packet);
    content_bytes_ -= freed;
    budget_.used -= freed;
    return true;
}

/// Whether the budget has taken what lies at a place, and it cannot be fetched.
bool RecoveryLog::is_hollow(Position position) const noexcept {
    const Packet* packet = find_packet(position);
    return packet != nullptr && !packet->frame;
}

void RecoveryLog::drop_front() {
    const std::size_t bytes = cost(packets_.front());
    discharge_origin(packets_.front());
    if (!packets_.front().frame) --hollow_;
    content_bytes_ -= bytes;
    budget_.used -= bytes;
    content_after_ = packets_.front().position;
    takes_older_content_ = false;
    packets_.pop_front();
}

void RecoveryLog::drop_old_content() {
    while (!packets_.empty() && packets_.front().position <= floor_) drop_front();
}

// --- reading back ---

bool RecoveryLog::wants_older_content() const noexcept {
    return takes_older_content_ && content_bytes_ < budget_.limit / 2 && !budget_.is_over();
}

bool RecoveryLog::is_full() const noexcept {
    return index_bytes_ >= budget_.limit / 8 * 3 || (budget_.is_over() && packets_.size() <= 1);
}

void RecoveryLog::prepend(const Audience& to, Position position, std::span<const FrameRef> frames, Millis sent) {
    if (marks_.empty() || marks_.front().at - sent >= mark_interval) marks_.push_front({position, sent, sent});
    index(to, position, true);
    if (frames.empty()) {
        takes_older_content_ = false;
        content_after_ = std::max(content_after_, position);
        return;
    }
    packets_.push_front(make_packet(to, position, frames));
    add_content(cost(packets_.front()));
    content_after_ = position.previous();
}

// --- rooms ---

void RecoveryLog::make_key(std::string& key, std::string_view nsp, const std::string_view* room) {
    key.assign(nsp);
    if (room == nullptr) {
        key += '\1';
    } else {
        key += '\0';
        key += *room;
    }
}

std::string RecoveryLog::key_of(std::string_view nsp, const Stay& stay) {
    std::string key;
    const std::string_view name = stay.room;
    make_key(key, nsp, stay.is_everybody ? nullptr : &name);
    return key;
}

void RecoveryLog::index(const Audience& to, Position position, bool in_front) {
    if (to.rooms.empty()) index_room(to.nsp, nullptr, position, in_front);
    for (const std::string_view& room : to.rooms) index_room(to.nsp, &room, position, in_front);
}

void RecoveryLog::index_room(std::string_view nsp, const std::string_view* name, Position position, bool in_front) {
    make_key(key_, nsp, name);
    auto found = rooms_.find(std::string_view(key_));
    if (found == rooms_.end()) {
        found = rooms_.try_emplace(key_).first;
        Room& made = found->second;
        made.key = &found->first;
        made.place = walk_.size();
        made.forgotten_through = unknown_rooms_ > floor_ ? unknown_rooms_ : Position{};
        walk_.push_back(&made);
    }
    Room& room = found->second;
    if (in_front) {
        // One room may be named twice.
        if (room.positions.is_empty() || room.positions.front() != position) room.positions.push_front(position);
    } else {
        if (!room.positions.is_empty() && room.positions.front() <= floor_) trim(room);
        if (room.positions.is_empty() || room.positions.view().back() != position) room.positions.push_back(position);
    }
    recount(room);
}

void RecoveryLog::recount(Room& room) noexcept {
    constexpr std::size_t own = sizeof(std::pair<const std::string, Room>) + 2 * sizeof(void*) + allocation_cost +
                                2 * sizeof(void*);  // a node, its place in a bucket and in the walk
    const std::size_t list = room.positions.bytes() == 0 ? 0 : room.positions.bytes() + allocation_cost;
    const std::size_t bytes = own + heap_bytes(*room.key) + list;
    index_bytes_ += bytes - room.counted;
    budget_.used += bytes - room.counted;
    room.counted = bytes;
}

/// Takes out what is too old or what the budget has taken.
void RecoveryLog::trim(Room& room) noexcept {
    PositionList& list = room.positions;
    const Position taken = options_.has_source ? index_floor_ : std::max(index_floor_, content_after_);
    while (!list.is_empty() && list.front() <= floor_) list.pop_front();
    while (!list.is_empty() && list.front() <= taken) {
        room.forgotten_through = list.front();
        list.pop_front();
    }
    if (room.forgotten_through <= floor_) room.forgotten_through = {};
    recount(room);
}

/// Returns whether the room is gone. A room that has forgotten something is kept as long as that matters; when the
/// index holds no more than the content's part and is too large still, it goes all the same.
bool RecoveryLog::trim_or_erase(Room& room) {
    trim(room);
    if (!room.positions.is_empty()) return false;
    if (room.forgotten_through > Position{}) {
        if (index_floor_ < content_after_ || index_bytes_ <= budget_.limit / 2) return false;
        unknown_rooms_ = std::max(unknown_rooms_, room.forgotten_through);
    }
    index_bytes_ -= room.counted;
    budget_.used -= room.counted;
    Room* const moved = walk_.back();
    walk_[room.place] = moved;
    moved->place = room.place;
    walk_.pop_back();
    rooms_.erase(rooms_.find(std::string_view(*room.key)));
    return true;
}

/// A step of making the index smaller: the oldest quarter second of it goes from some rooms.
void RecoveryLog::shrink_index() {
    if (hand_left_ == 0) {
        const Position above = std::max(index_floor_, floor_);
        const auto next = std::ranges::find_if(marks_, [&](const Mark& mark) { return mark.through > above; });
        if (next != marks_.end() && next->through < content_after_) {
            index_floor_ = next->through;
        } else if (above < content_after_) {
            index_floor_ = content_after_;
        } else if (!packets_.empty()) {
            index_floor_ = std::max(above, packets_[packets_.size() / 2].position);
        } else {
            index_floor_ = position_;
        }
        hand_left_ = walk_.size();
    }
    for (std::size_t n = 0; n < rooms_per_step && hand_left_ > 0 && !walk_.empty(); ++n, --hand_left_) {
        if (hand_ >= walk_.size()) hand_ = 0;
        if (!trim_or_erase(*walk_[hand_])) ++hand_;
    }
}

void RecoveryLog::purge(Millis now) {
    floor(now);
    drop_old_content();
    for (std::size_t n = std::min(rooms_per_purge, walk_.size()); n > 0 && !walk_.empty(); --n) {
        if (hand_ >= walk_.size()) hand_ = 0;
        if (!trim_or_erase(*walk_[hand_])) ++hand_;
    }
}

// --- giving back ---

const RecoveryLog::Room* RecoveryLog::find(std::string_view nsp, const Stay& stay) const {
    const std::string_view name = stay.room;
    make_key(key_, nsp, stay.is_everybody ? nullptr : &name);
    const auto found = rooms_.find(std::string_view(key_));
    return found == rooms_.end() ? nullptr : &found->second;
}

/// The last position of what went to a room and is not known any more.
Position RecoveryLog::forgotten_of(const Room* room) const noexcept {
    if (room == nullptr) return unknown_rooms_;
    // Without a source what has no content is as good as forgotten.
    Position last = room->forgotten_through;
    const Position taken = options_.has_source ? index_floor_ : std::max(index_floor_, content_after_);
    const auto list = room->positions.view();
    if (const auto above = std::upper_bound(list.begin(), list.end(), taken); above != list.begin()) {
        last = std::max(last, *std::prev(above));
    }
    return last;
}

RecoveryLog::Coverage RecoveryLog::covers(std::string_view nsp, std::span<const Stay> rooms, Position from,
                                          Millis now) {
    const Position after = std::max(from, floor(now));
    if (after < known_after_) return Coverage::not_read;
    for (const Stay& stay : rooms) {
        const Room* room = find(nsp, stay);
        const Position since = std::max(after, stay.after);
        if (forgotten_of(room) > since) return Coverage::forgotten;
        if (hollow_ == 0 || room == nullptr) continue;
        const auto list = room->positions.view();
        const auto missed = std::ranges::subrange(std::ranges::upper_bound(list, since), list.end());
        if (std::ranges::any_of(missed, [&](Position one) { return one <= stay.through && is_hollow(one); })) {
            return Coverage::forgotten;
        }
    }
    return Coverage::whole;
}

Position RecoveryLog::forgotten_through(std::string_view nsp, std::span<const Stay> rooms) const {
    Position last = known_after_;
    for (const Stay& stay : rooms) last = std::max(last, forgotten_of(find(nsp, stay)));
    return last;
}

const RecoveryLog::Packet* RecoveryLog::find_packet(Position position) const noexcept {
    const auto found = std::lower_bound(packets_.begin(), packets_.end(), position,
                                        [](const Packet& packet, Position p) { return packet.position < p; });
    return found != packets_.end() && found->position == position ? &*found : nullptr;
}

bool RecoveryLog::has(std::string_view nsp, std::span<const Stay> rooms, Position position) const {
    if (find_packet(position) != nullptr) return true;
    return std::ranges::any_of(rooms, [&](const Stay& stay) {
        const Room* room = find(nsp, stay);
        return room != nullptr && std::ranges::binary_search(room->positions.view(), position);
    });
}

bool RecoveryLog::collect(std::string_view nsp, std::span<const Stay> rooms, Position from, std::size_t most,
                          std::vector<Missed>& out, Position& passed) const {
    from = std::max(from, floor_);
    if (from < known_after_) return false;
    found_.clear();
    for (const Stay& stay : rooms) {
        const Position after = std::max(from, stay.after);
        const Room* room = find(nsp, stay);
        if (forgotten_of(room) > after) return false;
        if (room == nullptr) continue;
        const auto list = room->positions.view();
        auto next = std::upper_bound(list.begin(), list.end(), after);
        for (std::size_t n = 0; n < most && next != list.end() && *next <= stay.through; ++n) found_.push_back(*next++);
    }
    std::ranges::sort(found_);
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    if (found_.size() > most) found_.resize(most);
    for (const Position position : found_) {
        const Packet* packet = position > content_after_ ? find_packet(position) : nullptr;
        if (packet != nullptr && !packet->frame) return false;
        passed = position;
        if (packet != nullptr && packet->more != nullptr && is_excepted(packet->more->except, rooms, position))
            continue;
        out.push_back({position, packet});
    }
    return true;
}

bool RecoveryLog::is_excepted(std::span<const std::string> except, std::span<const Stay> rooms,
                              Position position) noexcept {
    return std::ranges::any_of(except, [&](const std::string& name) {
        return std::ranges::any_of(
            rooms, [&](const Stay& stay) { return !stay.is_everybody && stay.room == name && stay.has(position); });
    });
}

// --- saved sockets --------------------------------------------------------------------------------------------------

namespace {

void append(SavedEntry& entry, SavedEntry::Links SavedEntry::*links, SavedEntry*& oldest,
            SavedEntry*& newest) noexcept {
    (entry.*links) = {newest, nullptr};
    (newest != nullptr ? (newest->*links).newer : oldest) = &entry;
    newest = &entry;
}

void unlink(SavedEntry& entry, SavedEntry::Links SavedEntry::*links, SavedEntry*& oldest,
            SavedEntry*& newest) noexcept {
    const auto [older, newer] = entry.*links;
    (older != nullptr ? (older->*links).newer : oldest) = newer;
    (newer != nullptr ? (newer->*links).older : newest) = older;
}

}  // namespace

void SavedPool::add(SavedEntry& entry, const net::Address& address) {
    SavedRow& row = rows_.try_emplace(address).first->second;
    row.address = address;
    entry.row = &row;
    append(entry, &SavedEntry::by_time, oldest_, newest_);
    append(entry, &SavedEntry::in_row, row.oldest, row.newest);
    by_bytes_.set(row, row.bytes + entry.bytes);
    bytes_ += entry.bytes;
    ++count_;
}

void SavedPool::remove(SavedEntry& entry) noexcept {
    SavedRow& row = *entry.row;
    unlink(entry, &SavedEntry::by_time, oldest_, newest_);
    unlink(entry, &SavedEntry::in_row, row.oldest, row.newest);
    bytes_ -= entry.bytes;
    --count_;
    if (row.oldest != nullptr) {
        by_bytes_.set(row, row.bytes - entry.bytes);
        return;
    }
    by_bytes_.erase(row);
    rows_.erase(net::Address(row.address));
}

SavedSockets::~SavedSockets() {
    while (!saved_.empty()) extract(saved_.begin());
}

std::size_t SavedSockets::cost(const SavedSocket& saved) noexcept {
    return sizeof(Entries::value_type) + 2 * sizeof(void*) + allocation_cost + sizeof(void*) + SavedPool::row_cost +
           heap_bytes(saved.data) + (saved.user ? heap_bytes(*saved.user) : 0) + heap_bytes(saved.stays) +
           heap_bytes(saved.granted);
}

SavedSocket SavedSockets::extract(Entries::iterator entry) noexcept {
    budget_.saved.remove(entry->second);
    bytes_ -= entry->second.bytes;
    budget_.used -= entry->second.bytes;
    SavedSocket saved = std::move(entry->second.saved);
    saved_.erase(entry);
    return saved;
}

void SavedSockets::forget(const SavedEntry& entry) noexcept {
    SavedSockets& owner = *entry.owner;
    owner.extract(owner.saved_.find(entry.secret));
}

void SavedSockets::save(const Id& secret, SavedSocket saved, Millis now, const net::Address& address) {
    saved.until = now + window_;
    if (const auto before = saved_.find(secret); before != saved_.end()) extract(before);
    SavedEntry& entry = saved_[secret];
    entry.saved = std::move(saved);
    entry.secret = secret;
    entry.owner = this;
    entry.bytes = cost(entry.saved);
    bytes_ += entry.bytes;
    budget_.used += entry.bytes;
    SavedPool& all = budget_.saved;
    all.add(entry, address);
    while (all.count() > max_saved || (all.bytes() > budget_.limit / 4 && all.count() > 1)) forget(*all.first_to_go());
}

std::optional<SavedSocket> SavedSockets::take(const Id& secret, Millis now) {
    const auto found = saved_.find(secret);
    if (found == saved_.end() || found->second.saved.until < now) return std::nullopt;
    return extract(found);
}

void SavedPool::purge(Millis now) noexcept {
    while (oldest_ != nullptr && oldest_->saved.until < now) SavedSockets::forget(*oldest_);
}

}  // namespace sio::gateway
