// How many bytes this process has allocated with operator new: the allocator's true cost, counted as it happens.
//
// A program that calls any of this has its operator new replaced (heap.cpp). Under sanitizers, which have their own,
// and which want to see every pair, nothing is counted and bytes_in_use() is 0.
#pragma once

#include <cstddef>

namespace sio::base::heap {

/// Bytes allocated and not freed by all threads, with what the allocator adds to each block.
[[nodiscard]] std::size_t bytes_in_use() noexcept;

/// Keeps `bytes` aside. When the system has no more, they are freed once so that what is under way can end, and
/// is_spent() is true until keep_reserve() is called again. Without a reserve, or when it is spent, std::bad_alloc ends
/// the program.
void keep_reserve(std::size_t bytes);
[[nodiscard]] bool is_spent() noexcept;

/// Large blocks are mapped by themselves, so that they go back to the system when they are freed, and freed memory at
/// the end of the heap does at once. Call it first in main().
void return_memory_early() noexcept;

}  // namespace sio::base::heap
