// An Engine.IO echo server on the gateway's own engine, set up as the official Engine.IO suite wants it. Usage:
// eio-echo PORT [PING_INTERVAL_MS PING_TIMEOUT_MS MAX_PAYLOAD]
#include <signal.h>

#include <cstdio>
#include <cstdlib>

#include "gateway/engine.h"
#include "net/listener.h"
#include "net/signals.h"

namespace {

using namespace sio;

class Echo final : public gateway::EngineApp {
public:
    void start(gateway::Engine& engine) { engine_ = &engine; }
    void on_open(Slot) override {}
    void on_text(Slot slot, std::string_view text) override { reply(slot, gateway::FrameRef::text("4", text)); }
    void on_binary(Slot slot, std::string_view bytes) override { reply(slot, gateway::FrameRef::binary(bytes)); }
    void on_close(Slot, proto::CloseReason) override {}
    void on_upgrade(Slot) override {}
    bool on_http(const proto::HttpHead&, gateway::HttpAnswer&) override { return false; }

private:
    void reply(Slot slot, const gateway::FrameRef& frame) { engine_->outbox().push(slot, frame); }
    gateway::Engine* engine_ = nullptr;
};

long number(int argc, char** argv, int index, long fallback) {
    return argc > index ? std::strtol(argv[index], nullptr, 10) : fallback;
}

}  // namespace

int main(int argc, char** argv) {
    auto loop = net::Loop::create();
    auto cors = gateway::Cors::create({.origins = {"*"}, .allowed_headers = {}, .exposed_headers = {}, .max_age = {}});
    if (!loop || !cors) return 69;
    gateway::EngineOptions options;
    options.times.ping_interval = number(argc, argv, 2, 300);
    options.times.ping_timeout = number(argc, argv, 3, 200);
    options.max_payload = static_cast<std::size_t>(number(argc, argv, 4, 1'000'000));
    options.queue_bytes = 64U << 20U;
    Echo echo;
    gateway::Engine engine(*loop, options, std::move(*cors), echo);
    echo.start(engine);
    const auto port = static_cast<std::uint16_t>(number(argc, argv, 1, 3000));
    for (const char* host : {"127.0.0.1", "::1"}) {
        auto fd = net::listen_tcp(host, port);
        if (fd) fd = engine.listen(fd->release()).map([] { return base::UniqueFd(); });
        if (!fd) {
            std::fprintf(stderr, "eio-echo: %s\n", fd.error().what.c_str());
            return 69;
        }
    }
    net::Signals signals(*loop, {SIGTERM, SIGINT}, [&](int) { loop->stop(); });
    loop->run();
    return 0;
}
