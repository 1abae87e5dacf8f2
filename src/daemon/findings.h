// What comes to light while a configuration is read and judged: all mistakes, not the first alone, and warnings.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sio::daemon {

class Findings {
public:
    void add(Error mistake) { mistakes_.push_back(std::move(mistake)); }
    /// Adds the error that `result` may be. Whether it is none.
    template <typename T>
    bool check(const Result<T>& result) {
        if (!result) add(result.error());
        return result.has_value();
    }
    /// What does not stop us, and an operator should know.
    void warn(std::string sentence) { warnings_.push_back(std::move(sentence)); }

    [[nodiscard]] bool has_mistakes() const noexcept { return !mistakes_.empty(); }
    [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }
    /// Nothing, or one error of all mistakes, a line each, with the code of the first.
    [[nodiscard]] Result<void> result() const {
        if (mistakes_.empty()) return {};
        Error all = mistakes_.front();
        for (std::size_t i = 1; i < mistakes_.size(); ++i) all.what += "\n" + mistakes_[i].what;
        return tl::unexpected<Error>(std::move(all));
    }

private:
    std::vector<Error> mistakes_;
    std::vector<std::string> warnings_;
};

}  // namespace sio::daemon
