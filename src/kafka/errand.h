// A question that blocks, asked on a thread of its own and answered on the loop. Included within src/kafka only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/result.h"
#include "net/loop.h"

namespace sio::kafka {

/// Runs `work` on a thread, then, on the loop, what it returned. When that takes longer than `patience_ms`, `late` runs
/// instead, and the thread's answer is dropped. Either runs once, unless the loop ends before. `work` must not refer to
/// anything that may go meanwhile. Errors, when neither will run: `io`.
Result<void> run_errand(net::Loop& loop, std::int64_t patience_ms, std::function<std::function<void()>()> work,
                        std::function<void()> late);

/// The same for a question with one answer; `done` hears of all errors, also at once.
template <typename T>
void ask_apart(net::Loop& loop, std::int64_t patience_ms, std::function<Result<T>()> work,
               std::function<void(Result<T>)> done) {
    // Emptied by the loop's thread when it is called: what it holds is not to go on the other one.
    auto shared = std::make_shared<std::function<void(Result<T>)>>(std::move(done));
    auto begun = run_errand(
        loop, patience_ms,
        [work = std::move(work), shared]() -> std::function<void()> {
            auto answer = std::make_shared<Result<T>>(work());
            return [answer, shared] { std::exchange(*shared, nullptr)(std::move(*answer)); };
        },
        [shared, patience_ms] {
            std::exchange(*shared, nullptr)(
                fail(Errc::unavailable, "cannot ask Kafka: no answer within " + std::to_string(patience_ms) + " ms"));
        });
    if (!begun) std::exchange(*shared, nullptr)(tl::unexpected(begun.error()));
}

}  // namespace sio::kafka
