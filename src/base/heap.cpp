#include "base/heap.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIO_COUNTS_HEAP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SIO_COUNTS_HEAP 0
#endif
#endif
#ifndef SIO_COUNTS_HEAP
#define SIO_COUNTS_HEAP 1
#endif

namespace sio::base::heap {

namespace {

[[maybe_unused]] constexpr std::size_t block_header = sizeof(std::size_t);  // what glibc keeps before each block
constexpr int mapped_above = 64 << 10;                                      // bytes of one block
constexpr int trimmed_above = 1 << 20;  // bytes that are free at the end of the heap

// Constant-initialized: allocations come before and after the life of everything else.
std::atomic<std::size_t> in_use{0};
std::atomic<void*> reserve{nullptr};
std::atomic<bool> spent{false};

}  // namespace

std::size_t bytes_in_use() noexcept { return in_use.load(std::memory_order_relaxed); }

bool is_spent() noexcept { return spent.load(std::memory_order_relaxed); }

void keep_reserve(std::size_t bytes) {
    if (reserve.load() != nullptr) return;
    // Touched by nobody: it takes address space, and memory when it has been freed and is used for something else.
    reserve = std::malloc(bytes);
    spent = reserve == nullptr;
}

void return_memory_early() noexcept {
    mallopt(M_MMAP_THRESHOLD, mapped_above);
    mallopt(M_TRIM_THRESHOLD, trimmed_above);
    mallopt(M_ARENA_MAX, 1);
}

#if SIO_COUNTS_HEAP

namespace {

/// Frees the reserve. False: there is none.
bool spend_reserve() noexcept {
    void* kept = reserve.exchange(nullptr);
    if (kept == nullptr) return false;
    std::free(kept);
    spent = true;
    return true;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
    for (;;) {
        void* block = alignment <= alignof(std::max_align_t)
                          ? std::malloc(bytes != 0 ? bytes : 1)
                          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
        if (block != nullptr) {
            in_use.fetch_add(malloc_usable_size(block) + block_header, std::memory_order_relaxed);
            return block;
        }
        if (!spend_reserve()) throw std::bad_alloc();
    }
}

void release(void* block) noexcept {
    if (block == nullptr) return;
    in_use.fetch_sub(malloc_usable_size(block) + block_header, std::memory_order_relaxed);
    std::free(block);
}

}  // namespace

#endif

}  // namespace sio::base::heap

#if SIO_COUNTS_HEAP

// The other forms (arrays, sizes, nothrow) are defined by the library in terms of these.
void* operator new(std::size_t bytes) { return sio::base::heap::allocate(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return sio::base::heap::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { sio::base::heap::release(block); }
void operator delete(void* block, std::size_t) noexcept { sio::base::heap::release(block); }
void operator delete(void* block, std::align_val_t) noexcept { sio::base::heap::release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { sio::base::heap::release(block); }

#endif
