#include "gateway/accounts.h"

#include <array>

namespace sio::gateway {

namespace {

// Of the ceiling, in percent.
constexpr std::size_t high_at = 80;
constexpr std::size_t critical_at = 92;
constexpr std::size_t relieved_at = 75;

}  // namespace

std::string_view to_string(Account account) noexcept {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(Account::count)> names = {
        "client-bytes", "address-bytes", "memory-limit"};
    return names[static_cast<std::size_t>(account)];
}

void Charge::set(Accounts& accounts, const net::Address& address, std::size_t bytes) {
    const std::size_t steps = bytes / Accounts::step + 1;  // never none, so that a share lives as long as its charges
    if (share_ != nullptr && steps == steps_ && share_->first == address) return;
    if (share_ == nullptr || share_->first != address) {
        clear();
        accounts_ = &accounts;
        share_ = &*accounts.shares_.try_emplace(address, 0).first;
    }
    share_->second += (steps - steps_) * Accounts::step;
    accounts.total_ += (steps - steps_) * Accounts::step;
    steps_ = steps;
}

void Charge::clear() noexcept {
    if (share_ == nullptr) return;
    share_->second -= steps_ * Accounts::step;
    accounts_->total_ -= steps_ * Accounts::step;
    if (share_->second == 0) accounts_->shares_.erase(net::Address(share_->first));
    share_ = nullptr;
    steps_ = 0;
}

std::size_t Accounts::of(const net::Address& address) const noexcept {
    const auto found = shares_.find(address);
    return found == shares_.end() ? 0 : found->second;
}

bool Accounts::is_over(const net::Address& address) const noexcept {
    return limits_.address != 0 && address != net::Address{} && of(address) > limits_.address;
}

Accounts::Pressure Accounts::pressure(std::size_t in_use) const noexcept {
    if (limits_.memory == 0 || in_use < limits_.memory / 100 * high_at) return Pressure::none;
    return in_use < limits_.memory / 100 * critical_at ? Pressure::high : Pressure::critical;
}

std::size_t Accounts::excess(std::size_t in_use) const noexcept {
    const std::size_t goal = limits_.memory / 100 * relieved_at;
    return limits_.memory == 0 || in_use <= goal ? 0 : in_use - goal;
}

}  // namespace sio::gateway
