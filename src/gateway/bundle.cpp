#include "gateway/bundle.h"

#include <array>
#include <fstream>
#include <sstream>

#include "base/bytes.h"
#include "gateway/http_text.h"

namespace sio::gateway {

namespace {

constexpr std::array<std::string_view, 4> names = {"socket.io.js", "socket.io.min.js", "socket.io.esm.min.js",
                                                   "socket.io.msgpack.min.js"};

bool is_bundle_file(std::string_view name) {
    if (name.ends_with(".map")) name.remove_suffix(4);
    for (const std::string_view known : names) {
        if (known == name) return true;
    }
    return false;
}

}  // namespace

std::optional<std::string> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream content;
    if (!file || !(content << file.rdbuf())) return std::nullopt;
    return content.str();
}

const std::string* Bundle::file(const std::string& name) {
    if (const auto found = kept_.find(name); found != kept_.end()) return &found->second;
    auto content = read_file(directory_ + '/' + name);
    if (!content) return nullptr;
    return &kept_.emplace(name, std::move(*content)).first->second;
}

// The bundle opens with `/*!\n * Socket.IO v4.8.4\n`.
std::string Bundle::version() {
    if (version_.empty()) {
        if (const std::string* text = file("socket.io.js")) {
            constexpr std::string_view mark = "Socket.IO v";
            const std::size_t at = text->substr(0, 200).find(mark);
            if (at != std::string::npos) {
                const std::size_t begin = at + mark.size();
                version_ = text->substr(begin, text->find_first_of("\r\n ", begin) - begin);
            }
        }
    }
    return version_;
}

bool Bundle::serve(const proto::HttpHead& head, HttpAnswer& answer) {
    if (directory_.empty() || !head.path.starts_with(path_)) return false;
    const std::string name(head.path.substr(path_.size()));
    if (!is_bundle_file(name)) return false;
    const std::string* content = file(name);
    if (content == nullptr) return false;
    const std::string tag = '"' + version() + '"';
    if (const auto known = head.header("if-none-match"); known && (*known == tag || *known == "W/" + tag)) {
        answer.status = 304;
        return true;
    }
    answer.status = 200;
    answer.content_type =
        name.ends_with(".map") ? "application/json; charset=utf-8" : "application/javascript; charset=utf-8";
    answer.headers = "Cache-Control: public, max-age=0\r\nETag: " + tag + "\r\n";
    static constexpr std::array<std::string_view, 3> offered = {"gzip", "br", "deflate"};
    const std::string_view encoding = proto::choose_encoding(proto::header_text(head, "accept-encoding").value_or(""),
                                                             offered.data(), offered.size());
    if (encoding == "identity") {
        answer.body = *content;
        return true;
    }
    std::string& compressed = kept_[name + '|' + std::string(encoding)];
    if (compressed.empty()) compressed = compress(encoding, *file(name));
    answer.headers += "content-encoding: " + std::string(encoding) + "\r\n";
    answer.body = compressed;
    return true;
}

}  // namespace sio::gateway
