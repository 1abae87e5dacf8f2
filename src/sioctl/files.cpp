#include "sioctl/files.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/bytes.h"

namespace sio::sioctl {

Outcome<std::string> read_file(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();  // fails for an empty file, too: who reads it says so
    if (errno != 0) return give_up(exit_code::config, "cannot read " + path + ": " + std::strerror(errno));
    return text.str();
}

Outcome<std::string> read_input(std::size_t most) {
    std::string text;
    std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (n == 0) break;
        if (n < 0) {
            if (errno == EINTR) continue;
            return give_up(exit_code::config, std::string("cannot read standard input: ") + std::strerror(errno));
        }
        text.append(buffer.data(), static_cast<std::size_t>(n));
        if (text.size() > most)
            return give_up(exit_code::data, "standard input has more than " + std::to_string(most) + " bytes");
    }
    const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
    return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

}  // namespace sio::sioctl
