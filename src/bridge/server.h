// The two ways to ask a bridge: its control socket (doc/protocol/bridge.md), and GET over HTTP for machines.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/loop.h"

namespace sio::bridge {

/// An answer that may come later: members of a JSON object without its braces, or an error whose code becomes that of
/// the protocol. Called once, on the loop; when the client has gone it does nothing.
using Answer = std::function<void(Result<std::string> members)>;

/// `TOPIC/PARTITION/OFFSET`; topics have no slash.
struct RecordName {
    std::string topic;
    std::int32_t partition = 0;
    std::int64_t offset = 0;
};

struct ProduceRequest {
    std::string topic;
    std::optional<std::int32_t> partition;
    std::optional<std::string> key;
    std::optional<std::string> value;  ///< bytes; nothing: a tombstone
    std::vector<std::pair<std::string, std::string>> headers;
};

/// What the bridge answers. All calls come on the loop.
class ServerHost {
public:
    virtual ~ServerHost() = default;
    virtual void on_health(Answer answer) = 0;                           ///< health_members()
    virtual void on_partitions(Answer answer) = 0;                       ///< what is consumed, and how far
    virtual void on_produce(ProduceRequest request, Answer answer) = 0;  ///< answered when Kafka has the record
    virtual void on_trace(RecordName record, Answer answer) = 0;
    virtual void on_dlq_list(std::size_t limit, Answer answer) = 0;  ///< 1 to 10,000
    /// Empty `records`: all that have not been replayed.
    virtual void on_dlq_replay(std::vector<std::pair<std::int32_t, std::int64_t>> records, bool again,
                               Answer answer) = 0;
    virtual void on_reload(Answer answer) = 0;
    virtual std::string metrics_text() = 0;  ///< Prometheus text 0.0.4
    virtual std::string health_json() = 0;   ///< the body of GET /health
    virtual bool is_ready() = 0;             ///< GET /ready: 200 or 503, with health_json() as the body
};

class ControlServer {
public:
    ControlServer(net::Loop& loop, ServerHost& host, std::string node);
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;
    /// Errors: `io`.
    Result<void> listen(const std::string& path);
    void stop_listening();

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

/// HTTP/1.1 for scrapers and probes: GET and HEAD of /metrics, /health, /live and /ready, nothing else; heads of at
/// most 8 KiB, at most 64 connections, 10 s for a request.
class HttpServer {
public:
    HttpServer(net::Loop& loop, ServerHost& host);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;
    /// `host:port`. Errors: `config`, `io`.
    Result<void> listen(const std::string& address);

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace sio::bridge
