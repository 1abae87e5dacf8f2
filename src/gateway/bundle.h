// The browser bundle of socket.io-client, served below the Engine.IO path as Node serves it (server-features 3).
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "gateway/engine.h"

namespace sio::gateway {

class Bundle {
public:
    /// `directory` holds the files; empty: nothing is served. They are read on first use and kept, compressed forms
    /// too. The ETag is the version of the bundle, read from its first lines.
    Bundle(std::string directory, std::string path) : directory_(std::move(directory)), path_(std::move(path)) {}

    /// False when the request is for none of the eight files.
    bool serve(const proto::HttpHead& head, HttpAnswer& answer);

private:
    const std::string* file(const std::string& name);
    std::string version();

    std::string directory_;
    std::string path_;
    std::string version_;
    std::unordered_map<std::string, std::string> kept_;  // `name` or `name|encoding`
};

/// Reads a whole file; nothing when that fails.
std::optional<std::string> read_file(const std::string& path);

}  // namespace sio::gateway
