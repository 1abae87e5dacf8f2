#include "gateway/places.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sio::gateway {

std::string_view to_string(Rank rank) noexcept {
    static constexpr std::array<std::string_view, rank_count + 1> names = {"bare", "stranger", "absent", "onlooker",
                                                                           "none"};
    return names[static_cast<std::size_t>(rank)];
}

// --- a place --------------------------------------------------------------------------------------------------------

void Place::enter(Places& places, const net::Address& address, Millis now) {
    vacate();
    row_ = &places.row(address);
    ++row_->places;
    since_ = static_cast<std::uint32_t>(now);
    if (rank_ != Rank::none) places.line_up(*this);
}

net::Address Place::counted() const noexcept { return row_ != nullptr ? row_->address : net::Address{}; }

void Place::vacate() noexcept {
    if (row_ == nullptr) return;
    if (rank_ != Rank::none) row_->places_of.step_out(*this);
    PlaceRow& left = *std::exchange(row_, nullptr);
    --left.places;
    left.places_of.drop_if_empty(left);
}

void Place::set_rank(Rank rank, Millis now) {
    if (rank == rank_) return;
    if (row_ != nullptr && rank_ != Rank::none) row_->places_of.step_out(*this);
    rank_ = rank;
    since_ = static_cast<std::uint32_t>(now);
    if (row_ != nullptr && rank_ != Rank::none) row_->places_of.line_up(*this);
}

// --- the lines ------------------------------------------------------------------------------------------------------

void Places::line_up(Place& place) {
    const std::size_t i = index(place.rank_);
    // The only steps that may need memory come first.
    if (place.row_->lines == nullptr) place.row_->lines = std::make_unique<std::array<PlaceRow::Line, rank_count>>();
    PlaceRow::Line& line = place.row_->line(i);
    if (by_count_[i].size() <= line.count + std::size_t{1}) by_count_[i].resize(line.count + std::size_t{2});
    place.older_ = line.newest;
    place.newer_ = nullptr;
    (line.newest != nullptr ? line.newest->newer_ : line.oldest) = &place;
    line.newest = &place;
    ++totals_[i];
    set_count(*place.row_, place.rank_, line.count + 1);
}

void Places::step_out(Place& place) noexcept {
    const std::size_t i = index(place.rank_);
    PlaceRow& row = *place.row_;
    SIO_CHECK(row.lines != nullptr && row.line(i).count > 0);
    PlaceRow::Line& line = row.line(i);
    (place.older_ != nullptr ? place.older_->newer_ : line.oldest) = place.newer_;
    (place.newer_ != nullptr ? place.newer_->older_ : line.newest) = place.older_;
    place.older_ = place.newer_ = nullptr;
    --totals_[i];
    set_count(row, place.rank_, line.count - 1);
    if (std::ranges::all_of(*row.lines, [](const PlaceRow::Line& one) { return one.count == 0; })) row.lines.reset();
}

/// Moves a row to those with as many in a line; there is room for them in `by_count_`.
void Places::set_count(PlaceRow& row, Rank rank, std::uint32_t count) noexcept {
    const std::size_t i = index(rank);
    std::vector<PlaceRow*>& rows = by_count_[i];
    PlaceRow::Line& line = row.line(i);
    if (line.count > 0) {
        (line.previous != nullptr ? line.previous->line(i).next : rows[line.count]) = line.next;
        if (line.next != nullptr) line.next->line(i).previous = line.previous;
    }
    line.count = count;
    line.previous = line.next = nullptr;
    if (count > 0) {
        line.next = std::exchange(rows[count], &row);
        if (line.next != nullptr) line.next->line(i).previous = &row;
    }
    if (count > most_[i]) {
        most_[i] = count;
    } else if (most_[i] > 0 && rows[most_[i]] == nullptr) {
        --most_[i];  // the row that had most has one less now
    }
}

// --- rows -----------------------------------------------------------------------------------------------------------

PlaceRow& Places::row(const net::Address& address) { return rows_.try_emplace(address, *this, address).first->second; }

const PlaceRow* Places::find(const net::Address& address) const noexcept {
    const auto found = rows_.find(address);
    return found == rows_.end() ? nullptr : &found->second;
}

void Places::drop_if_empty(const PlaceRow& row) noexcept {
    if (row.connections == 0 && row.sessions == 0 && row.places == 0) rows_.erase(net::Address(row.address));
}

bool Places::may_connect(const net::Address& address) const noexcept {
    if (per_address_ == 0 || address == net::Address{}) return true;
    const PlaceRow* known = find(address);
    return known == nullptr || known->connections < per_address_;
}

bool Places::may_open(const net::Address& address) const noexcept {
    return per_address_ == 0 || address == net::Address{} || sessions(address) < per_address_;
}

std::size_t Places::sessions(const net::Address& address) const noexcept {
    const PlaceRow* known = find(address);
    return known == nullptr ? 0 : known->sessions;
}

void Places::remove_connection(const net::Address& address) noexcept {
    const auto found = rows_.find(address);
    if (found == rows_.end()) return;
    --found->second.connections;
    drop_if_empty(found->second);
}

void Places::remove_session(const net::Address& address) noexcept {
    const auto found = rows_.find(address);
    if (found == rows_.end()) return;
    --found->second.sessions;
    drop_if_empty(found->second);
}

Places::Candidate Places::first_to_go(Rank rank) const noexcept {
    const std::size_t i = index(rank);
    if (most_[i] == 0) return {};
    PlaceRow& row = *by_count_[i][most_[i]];
    return {row.line(i).oldest, row.address, row.line(i).count};
}

Places::Candidate Places::first_of(const net::Address& address, Rank rank) const noexcept {
    const PlaceRow* known = find(address);
    if (known == nullptr || known->lines == nullptr) return {};
    const PlaceRow::Line& line = (*known->lines)[index(rank)];
    return {line.oldest, address, line.count};
}

}  // namespace sio::gateway
