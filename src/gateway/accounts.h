// What clients make this process hold: an account for each, a share for each address, and one ceiling for all.
//
// An account is a sum that whoever holds the bytes makes again when it may have changed; it is compared with the
// limits, and its address is charged with the difference. The ceiling is compared with what the allocator has given out
// (base/heap.h), so that it holds for bytes that are on no account, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "net/address.h"

namespace sio::gateway {

struct AccountLimits {
    std::size_t client = std::size_t{16} << 20U;   ///< bytes for one client
    std::size_t address = std::size_t{48} << 20U;  ///< bytes for all clients of one address; 0: no limit
    std::size_t memory = 0;                        ///< bytes of the allocator; 0: no ceiling
};

/// Which limit was passed.
enum class Account : std::uint8_t { client, address, memory, count };

/// `client-bytes`, `address-bytes` or `memory-limit`.
[[nodiscard]] std::string_view to_string(Account account) noexcept;

class Accounts;

/// What one part of a client holds, charged to an address until it is destroyed.
class Charge {
public:
    Charge() noexcept = default;
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;
    ~Charge() { clear(); }

    /// `accounts` outlives this.
    void set(Accounts& accounts, const net::Address& address, std::size_t bytes);
    void clear() noexcept;

private:
    friend class Accounts;
    Accounts* accounts_ = nullptr;
    std::pair<const net::Address, std::size_t>* share_ = nullptr;
    std::size_t steps_ = 0;
};

class Accounts {
public:
    explicit Accounts(AccountLimits limits) noexcept : limits_(limits) {}
    Accounts(const Accounts&) = delete;
    Accounts& operator=(const Accounts&) = delete;

    [[nodiscard]] const AccountLimits& limits() const noexcept { return limits_; }
    void limit_memory(std::size_t bytes) noexcept { limits_.memory = bytes; }

    /// Whether all that an address holds is more than its share. A client without an address (a Unix socket's) has no
    /// share.
    [[nodiscard]] bool is_over(const net::Address& address) const noexcept;
    [[nodiscard]] std::size_t of(const net::Address& address) const noexcept;
    /// Of all clients.
    [[nodiscard]] std::size_t total() const noexcept { return total_; }

    enum class Pressure : std::uint8_t {
        none,
        high,      ///< no new sessions
        critical,  ///< the most expensive clients go
    };
    /// `in_use` bytes of the allocator.
    [[nodiscard]] Pressure pressure(std::size_t in_use) const noexcept;
    /// Bytes to be freed before the pressure is no longer critical, with room to spare.
    [[nodiscard]] std::size_t excess(std::size_t in_use) const noexcept;

    static constexpr std::size_t step = 1024;  ///< bytes; charges are rounded up, so that small changes cost nothing

private:
    friend class Charge;

    AccountLimits limits_;
    std::unordered_map<net::Address, std::size_t, net::AddressHash> shares_;  // bytes
    std::size_t total_ = 0;
};

}  // namespace sio::gateway
