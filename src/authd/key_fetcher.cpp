#include "authd/key_fetcher.h"

#include <curl/curl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/unique_fd.h"

namespace sio::authd {

namespace {

constexpr auto farewell = std::chrono::milliseconds(1'500);  // libcurl looks at `cancelled` each second

/// Once for the process, before there is a thread.
bool curl_is_ready() {
    static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    return ready;
}

bool is_loopback(std::string_view url) noexcept {
    const std::size_t begin = url.find("://");
    const std::string_view host = url.substr(begin == std::string_view::npos ? 0 : begin + 3);
    return host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
}

}  // namespace

struct KeyFetcher::Job {
    std::string url;
    std::string ca_file;
    std::size_t max_bytes = 0;
    base::UniqueFd ready;  // an eventfd
    std::atomic<bool> cancelled{false};
    std::mutex mutex;  // of what follows
    std::condition_variable ended;
    bool has_ended = false;
    Result<std::string> answer = std::string{};

    // Of the thread alone until it has ended.
    std::string body;
    bool is_too_large = false;

    static std::size_t take(char* data, std::size_t size, std::size_t count, void* self) {
        auto* const job = static_cast<Job*>(self);
        const std::size_t bytes = size * count;
        if (bytes > job->max_bytes - job->body.size()) {
            job->is_too_large = true;
            return 0;
        }
        job->body.append(data, bytes);
        return bytes;
    }
    static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
        return static_cast<Job*>(self)->cancelled.load() ? 1 : 0;
    }
};

KeyFetcher::KeyFetcher(net::Loop& loop, std::string url, std::string ca_file, std::size_t max_bytes, Done done)
    : loop_(loop), url_(std::move(url)), ca_file_(std::move(ca_file)), max_bytes_(max_bytes), done_(std::move(done)) {
    static_cast<void>(curl_is_ready());
}

KeyFetcher::~KeyFetcher() {
    if (!job_) return;
    loop_.unwatch(job_->ready.get(), *this);
    job_->cancelled = true;
    // A thread within libcurl while the process takes its libraries down would crash it.
    std::unique_lock lock(job_->mutex);
    job_->ended.wait_for(lock, farewell, [this] { return job_->has_ended; });
}

void KeyFetcher::run(Job& job) {
    CURL* const curl = curl_easy_init();
    Result<std::string> answer = fail(Errc::unavailable, "cannot fetch the key set: libcurl does not start");
    if (curl != nullptr) {
        std::array<char, CURL_ERROR_SIZE> words{};
        curl_easy_setopt(curl, CURLOPT_URL, job.url.c_str());
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, job.url.starts_with("https:") ? "https" : "http");
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
        curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words.data());
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "sio-authd/" SIO_VERSION);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Job::take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &job);
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Job::on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &job);
        if (!job.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, job.ca_file.c_str());
        if (is_loopback(job.url)) curl_easy_setopt(curl, CURLOPT_PROXY, "");
        const CURLcode code = curl_easy_perform(curl);
        long status = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (job.is_too_large) {
            answer = fail(Errc::too_large, "the key set has more than " + std::to_string(job.max_bytes) + " bytes");
        } else if (code != CURLE_OK) {
            answer = fail(Errc::unavailable, std::string("cannot fetch the key set: ") +
                                                 (words.front() != '\0' ? words.data() : curl_easy_strerror(code)));
        } else if (status != 200) {
            answer = fail(Errc::unavailable, "cannot fetch the key set: its server answers " + std::to_string(status));
        } else {
            answer = std::move(job.body);
        }
        curl_easy_cleanup(curl);
    }
    const std::lock_guard lock(job.mutex);
    job.answer = std::move(answer);
    job.has_ended = true;
    const std::uint64_t one = 1;
    static_cast<void>(!::write(job.ready.get(), &one, sizeof one));
    job.ended.notify_all();
}

Result<void> KeyFetcher::fetch() {
    if (job_) return {};
    auto job = std::make_shared<Job>();
    job->url = url_;
    job->ca_file = ca_file_;
    job->max_bytes = max_bytes_;
    job->ready = base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!job->ready) return fail(Errc::io, std::string("cannot create an event descriptor: ") + std::strerror(errno));
    if (auto watched = loop_.watch(job->ready.get(), *this); !watched) return watched;
    try {
        std::thread([job] { run(*job); }).detach();
    } catch (const std::system_error& error) {
        loop_.unwatch(job->ready.get(), *this);
        return fail(Errc::io, std::string("cannot start a thread: ") + error.what());
    }
    job_ = std::move(job);
    return {};
}

void KeyFetcher::on_ready(std::uint32_t) {
    std::uint64_t count = 0;
    if (::read(job_->ready.get(), &count, sizeof count) != sizeof count) return;
    const auto job = std::exchange(job_, nullptr);
    loop_.unwatch(job->ready.get(), *this);
    Result<std::string> answer = std::string{};
    {
        const std::lock_guard lock(job->mutex);
        answer = std::move(job->answer);
    }
    done_(std::move(answer));
}

}  // namespace sio::authd
