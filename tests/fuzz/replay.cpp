// Replays corpora through a fuzz target without libFuzzer: `fuzz_json DIRECTORY|FILE...`.
//
// Each file runs in a process of its own and for at most ten seconds, so that one that fails does not hide the others.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "check.h"

namespace {

constexpr unsigned seconds_for_one = 10;

/// The files named, and those in the folders named, in order.
bool collect(const std::string& name, std::vector<std::string>& files) {
    std::error_code error;
    if (!std::filesystem::is_directory(name, error)) {
        if (!std::filesystem::exists(name, error)) return false;
        files.push_back(name);
        return true;
    }
    std::vector<std::string> found;
    for (auto entry = std::filesystem::directory_iterator(name, error);
         !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        if (entry->is_regular_file(error)) found.push_back(entry->path().string());
    }
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
    return !error && !found.empty();
}

[[noreturn]] void run_one(const std::string& file) {
    ::alarm(seconds_for_one);
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    // An allocation of exactly this size lets sanitizers see a read past the end.
    const auto exact = std::make_unique<std::uint8_t[]>(bytes.size());
    std::transform(bytes.begin(), bytes.end(), exact.get(), [](char c) { return static_cast<std::uint8_t>(c); });
    LLVMFuzzerTestOneInput(exact.get(), bytes.size());
    std::_Exit(0);
}

bool passes(const std::string& file) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) run_one(file);
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::size_t passed = 0;
    std::size_t failed = 0;
    std::vector<std::string> files;
    for (int i = 1; i < argc; ++i) {
        if (collect(argv[i], files)) continue;
        std::printf("cannot read %s: it is absent or empty\n", argv[i]);
        ++failed;
    }
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s DIRECTORY|FILE...\n", argv[0]);
        return 64;
    }
    for (const std::string& file : files) {
        if (passes(file)) {
            ++passed;
        } else {
            ++failed;
            std::printf("failed: %s\n", file.c_str());
        }
    }
    std::printf("%zu passed, %zu failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
