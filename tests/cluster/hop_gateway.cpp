// A gateway whose directory of other gateways is a folder of files instead of Redis, for the tests of hops.
//
// usage: hop-gateway FOLDER [options of sio-gateway]
//
// `FOLDER/TAG` holds the hop address of the gateway with that tag. It writes its own file when it has started.
#include <signal.h>

#include <fstream>
#include <string>

#include "daemon/exit_code.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "net/loop.h"
#include "net/signals.h"

namespace {

class Folder final : public sio::gateway::NodeDirectory {
public:
    explicit Folder(std::string path) : path_(std::move(path)) {}
    [[nodiscard]] std::string hop_address(const sio::gateway::Tag& tag) const override {
        std::ifstream in(path_ + '/' + std::string(tag.view()));
        std::string line;
        std::getline(in, line);
        return line;
    }

private:
    std::string path_;
};

}  // namespace

int main(int argc, char** argv) {
    using namespace sio;
    if (argc < 2) return daemon::exit_usage;
    const auto started = gateway::start({argv + 2, static_cast<std::size_t>(argc - 2)}, daemon::process_environment);
    if (started.exit) return *started.exit;
    const gateway::Config& config = started.config;
    if (auto opened = daemon::open_log(config.log); !opened) return daemon::complain("hop-gateway", opened.error());
    auto loop = net::Loop::create();
    if (!loop) return daemon::complain("hop-gateway", loop.error());
    auto cors = gateway::Cors::create(config.cors);
    if (!cors) return daemon::complain("hop-gateway", cors.error());

    const std::string path = argv[1];
    const Folder folder(path);
    gateway::Gateway gateway(*loop, config, std::move(*cors));
    gateway.set_directory(folder);
    const net::Signals signals(*loop, {SIGTERM, SIGINT, SIGHUP}, [&](int number) { gateway.on_signal(number); });
    if (auto ready = gateway.start(); !ready) return daemon::complain("hop-gateway", ready.error());
    if (!gateway.hop_address().empty()) {
        std::ofstream(path + '/' + std::string(gateway.tag().view())) << gateway.hop_address() << '\n';
    }
    loop->run();
    return daemon::exit_ok;
}
