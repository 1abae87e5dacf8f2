// A broker for trying things out: librdkafka's mock cluster, in this process, in memory, on a port of 127.0.0.1.
//
// Other processes can use it (kcat, an application). It forgets everything at the end, knows no ACLs and no
// transactions, keeps about 5 MB a partition, and makes topics of 4 partitions by itself.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace sio::kafka {

class DevBroker final {
public:
    /// Errors: `io`.
    static Result<std::unique_ptr<DevBroker>> create();
    ~DevBroker();
    DevBroker(const DevBroker&) = delete;
    DevBroker& operator=(const DevBroker&) = delete;

    /// `127.0.0.1:PORT`; the port cannot be chosen.
    [[nodiscard]] const std::string& brokers() const noexcept;

    /// For tests of errors. Errors: `io`.
    Result<void> set_down(bool down);                           ///< connections are refused
    void fail_next_produce(int error_code, std::size_t times);  ///< an error code of the protocol
    Result<void> create_topic(const std::string& name, int partitions);

private:
    struct Parts;
    explicit DevBroker(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace sio::kafka
