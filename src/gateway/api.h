// The HTTP API for servers: POST /api/v1/emit, join, leave, disconnect and presence. See share/openapi.json.
//
// A request is judged by its head (key, rate, kind and size of its body) before the body is read, and by its whole body
// before anything of it is done. In a cluster it is answered when Redis has what it asks for.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "daemon/exposition.h"
#include "gateway/api_idempotency.h"
#include "gateway/api_keys.h"
#include "gateway/api_request.h"
#include "gateway/cluster.h"
#include "gateway/engine.h"
#include "gateway/http_service.h"
#include "gateway/hub.h"
#include "gateway/presence.h"
#include "net/loop.h"
#include "wire/admin.h"

namespace sio::gateway {

struct ApiOptions {
    std::string keys_file;
    std::size_t max_body = std::size_t{1} << 20U;  ///< bytes
    std::uint32_t rate = 0;                        ///< requests per second and name, on this gateway; 0: no limit
};

struct ApiStats {
    static constexpr std::size_t classes = 4;  ///< 2xx, 4xx, 5xx, and those whose client did not wait
    /// By verb and class of status.
    using Counts = std::array<std::array<std::uint64_t, classes>, api_verb_count>;
    std::unordered_map<std::string, Counts, base::KeyedHash> by_name;
    std::uint64_t requests = 0;  ///< answered, whatever their name
    std::uint64_t replays = 0;
    std::uint64_t refused_key = 0;     ///< no key, or a wrong one
    std::uint64_t refused_origin = 0;  ///< of a browser's page
    std::uint64_t refused_rate = 0;
    std::uint64_t refused_busy = 0;  ///< too many at the same time
};

class Api final : public HttpService {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        /// Whether the routes serve a namespace.
        virtual bool serves(std::string_view nsp) = 0;
    };

    static constexpr std::string_view path = "/api/v1/";
    /// Requests that are received or carried out at a time; so many bodies of max_body may be in memory.
    static constexpr std::size_t max_open = 256;
    static constexpr std::size_t items_per_turn = 64;  ///< of a batch
    static constexpr std::size_t max_idempotency_key = 255;

    /// All outlive it. Without `cluster` this gateway is alone.
    Api(Engine& engine, Hub& hub, Presence& presence, Cluster* cluster, Owner& owner, ApiOptions options);
    ~Api() override;

    /// Reads the keys; when that fails those of before stay. Errors: `config`.
    Result<void> load_keys();
    /// Requests are refused from now on.
    void begin_drain() noexcept { draining_ = true; }
    /// The connection for commands to Redis is up.
    void redis_up() { idempotency_.redis_up(); }

    [[nodiscard]] const ApiStats& stats() const noexcept { return stats_; }
    [[nodiscard]] std::size_t open() const noexcept { return jobs_.size(); }
    /// Answers that were forgotten before their time.
    [[nodiscard]] std::uint64_t forgotten() const noexcept { return idempotency_.forgotten(); }
    /// Members for GET /metrics, and lines for Prometheus.
    void append_metrics(wire::ObjectWriter& out) const;
    void append_metrics(daemon::Exposition& out) const;

    Wish on_head(std::uint64_t number, const proto::HttpHead& head, HttpAnswer& answer) override;
    [[nodiscard]] std::size_t max_body() const override { return options_.max_body; }
    void too_large(std::uint64_t number, HttpAnswer& answer) override;
    void on_request(std::uint64_t number, std::string body) override;
    void on_gone(std::uint64_t number) override;

private:
    struct Job;
    struct Bucket {
        double tokens = 0;
        Millis at = 0;
    };

    std::optional<Millis> limited(std::string_view name);
    void carry_out(Job& job);
    void go_on(Job& job);
    void ask_presence(Job& job);
    void finish(Job& job);
    void answer(Job& job, int status, std::string body, std::string headers = {});
    void refuse(Job& job, int status, const ApiFault& fault, std::string headers = {});
    void count(const std::string& name, ApiVerb verb, int status);
    [[nodiscard]] Job* find(std::uint64_t number);

    net::Loop& loop_;
    Engine& engine_;
    Hub& hub_;
    Presence& presence_;
    Cluster* cluster_;
    Owner& owner_;
    ApiOptions options_;
    ApiKeys keys_;
    Idempotency idempotency_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Job>> jobs_;
    std::unique_ptr<Job> finished_;  // its expire() may be on the stack
    std::unordered_map<std::string, Bucket, base::KeyedHash> buckets_;
    ApiStats stats_;
    bool draining_ = false;
    // Shared with callbacks that others hold, which may outlive this object.
    std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sio::gateway
