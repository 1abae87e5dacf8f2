#include "kafka/errand.h"

#include <algorithm>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/timer_wheel.h"
#include "kafka/client.h"

namespace sio::kafka {

namespace {

/// What the thread and the loop share; the thread may outlive everything else.
struct Slip {
    std::mutex mutex;  // of the two that follow
    std::function<void()> answer;
    bool is_answered = false;
    base::UniqueFd bell;
};

class Errand final : net::Handler, base::Timer {
public:
    Errand(net::Loop& loop, std::shared_ptr<Slip> slip, std::function<void()> late)
        : loop_(loop), slip_(std::move(slip)), late_(std::move(late)) {}

    Result<void> begin(std::int64_t patience_ms, std::function<std::function<void()>()> work) {
        if (auto watched = loop_.watch(slip_->bell.get(), *this); !watched) return watched;
        try {
            std::thread([slip = slip_, work = std::move(work)] {
                auto answer = work();
                const std::lock_guard lock(slip->mutex);
                slip->answer = std::move(answer);
                slip->is_answered = true;
                ring_bell(slip->bell.get());
            }).detach();
        } catch (const std::system_error& error) {
            loop_.unwatch(slip_->bell.get(), *this);
            return fail(Errc::io, std::string("cannot start a thread: ") + error.what());
        }
        loop_.timers().arm(*this, loop_.now() + patience_ms);
        return {};
    }

private:
    void on_ready(std::uint32_t) override {
        std::function<void()> answer;
        {
            const std::lock_guard lock(slip_->mutex);
            if (!slip_->is_answered) return;
            answer = std::move(slip_->answer);
        }
        finish(std::move(answer));
    }
    void expire(base::Millis) override { finish(std::move(late_)); }
    void finish(std::function<void()> last);

    net::Loop& loop_;
    std::shared_ptr<Slip> slip_;
    std::function<void()> late_;
};

/// Those under way, by the thread of their loop.
std::vector<std::unique_ptr<Errand>>& under_way() {
    thread_local std::vector<std::unique_ptr<Errand>> all;
    return all;
}

void Errand::finish(std::function<void()> last) {
    loop_.unwatch(slip_->bell.get(), *this);
    disarm();
    auto& all = under_way();
    const auto self = std::ranges::find(all, this, &std::unique_ptr<Errand>::get);
    loop_.dispose(self->release());
    all.erase(self);
    last();
}

}  // namespace

Result<void> run_errand(net::Loop& loop, std::int64_t patience_ms, std::function<std::function<void()>()> work,
                        std::function<void()> late) {
    auto bell = make_bell();
    if (!bell) return tl::unexpected(bell.error());
    auto slip = std::make_shared<Slip>();
    slip->bell = std::move(*bell);
    auto errand = std::make_unique<Errand>(loop, std::move(slip), std::move(late));
    if (auto begun = errand->begin(patience_ms, std::move(work)); !begun) return begun;
    under_way().push_back(std::move(errand));
    return {};
}

}  // namespace sio::kafka
