// Between the gateways of one host: a connection whose session another gateway has is handed to it, descriptor and all.
//
// Each gateway listens on the Unix socket `<folder>/<tag>.relay`. What is sent there is one message for each
// connection: a header of 28 bytes with the peer's address, the bytes already read of the client, and with the
// message's first byte the descriptor (SCM_RIGHTS). There are no answers. Both ends check that the other runs as the
// same user. A loop cannot be: the receiver has the tag that is asked for, or the connection stays where it is.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "gateway/engine.h"
#include "net/loop.h"

namespace sio::gateway {

struct RelayStats {
    std::uint64_t out = 0;       ///< connections handed to another gateway
    std::uint64_t in = 0;        ///< connections taken from another gateway
    std::uint64_t failures = 0;  ///< could not be handed over, or arrived without a descriptor
    std::uint64_t full = 0;      ///< requests answered 503 because too much waited for their gateway
};

/// Writes the header of a message whose bytes are `length` long.
void append_relay_header(std::string& out, const net::Address& address, PeerKind kind, std::size_t length);

struct RelayHeader {
    net::Address address;
    PeerKind kind = PeerKind::proxy_or_client;
    std::size_t length = 0;
};

/// Reads a header. Errors: `malformed` for what is none of this version; `too_large` above max_bytes.
Result<RelayHeader> parse_relay_header(std::string_view header, std::size_t max_bytes);

class Relay final : public Forwarder {
public:
    static constexpr std::size_t header_bytes = 28;
    static constexpr std::size_t max_message = 4U << 20U;  ///< bytes read of one client
    static constexpr std::size_t max_waiting = 512;        ///< connections that wait for one gateway
    static constexpr std::size_t max_waiting_bytes = 4U << 20U;
    static constexpr std::size_t max_peers = 256;  ///< gateways that send to us

    Relay(net::Loop& loop, Engine& engine);
    ~Relay() override;
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    /// Sweeps the folder of sockets nobody answers on, and listens there under the engine's tag; a tag that somebody
    /// has already is drawn anew. A missing folder is made (mode 0700). Call it before the engine has sessions.
    /// Errors: `io`; `usage` when the path is too long.
    Result<void> start(const std::string& folder);

    Reach reach(const Tag& tag) override;
    void take(Handover handover) override;
    [[nodiscard]] std::size_t descriptors() const noexcept override;
    [[nodiscard]] const RelayStats& stats() const noexcept { return stats_; }

private:
    class Peer;      // a gateway we send to
    class Source;    // a gateway that sends to us
    class Listener;  // where they come in

    struct TagHash {
        std::size_t operator()(const Tag& tag) const noexcept;
    };

    [[nodiscard]] std::string path_of(std::string_view tag) const;
    void sweep() const;
    Result<base::UniqueFd> listen();
    void accept_all();
    void drop(Peer& peer);
    void drop(Source& source);
    void keep_here(Handover handover);

    net::Loop& loop_;
    Engine& engine_;
    std::string folder_;
    std::string own_path_;
    std::unique_ptr<Listener> listener_;
    std::unordered_map<Tag, std::unique_ptr<Peer>, TagHash> peers_;
    std::vector<std::unique_ptr<Source>> sources_;
    RelayStats stats_;
};

}  // namespace sio::gateway
