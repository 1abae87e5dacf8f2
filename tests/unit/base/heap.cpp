// base/heap.h: what operator new hands out is counted, with what the allocator adds to it.
#include "base/heap.h"

#include <criterion/criterion.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace sio::base;

Test(heap, counts_what_is_allocated_at_true_cost_and_no_more_when_it_is_freed) {
    const std::size_t before = heap::bytes_in_use();
    {
        std::vector<std::unique_ptr<char>> small;
        small.reserve(1'000);
        for (int i = 0; i < 1'000; ++i) small.push_back(std::make_unique<char>('x'));
        const std::string large(1'000'000, 'l');
        struct alignas(64) Aligned {
            char bytes[64];
        };
        const auto aligned = std::make_unique<Aligned>();
        const std::size_t during = heap::bytes_in_use() - before;
        if (heap::bytes_in_use() == 0) cr_skip("a sanitizer has an allocator of its own");
        // A byte costs a block of 32 at the least.
        cr_assert(during >= 1'000'000 + 1'000 * (32 + sizeof(void*)) + sizeof(Aligned), "%zu", during);
        cr_assert(during < 1'000'000 + 1'000 * (32 + sizeof(void*)) + 20'000, "%zu", during);
    }
    cr_assert(heap::bytes_in_use() == before);
}

}  // namespace
