// Base64 and decoding are inverses; UTF-8 in pieces is judged as the whole is.
#include "base/bytes.h"

#include <string>

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace sio;
    if (size > 4096) return 0;
    const std::string_view text = fuzz::as_text(data, size);

    std::string encoded;
    base::append_base64(encoded, text);
    FUZZ_CHECK(encoded.size() == (size + 2) / 3 * 4);
    FUZZ_CHECK(base::decode_base64(encoded) == text);
    if (const auto decoded = base::decode_base64(text)) {
        FUZZ_CHECK(decoded->size() <= size / 4 * 3 + 2);
        std::string spaced;
        for (const char c : text) spaced.append({'\n', c});
        FUZZ_CHECK(base::decode_base64(spaced) == decoded);
    }

    const bool valid = base::is_utf8(text);
    const std::string mended = base::valid_utf8(std::string(text));
    FUZZ_CHECK(base::is_utf8(mended) && (mended == text) == valid && mended.size() <= 3 * size);
    FUZZ_CHECK(base::is_utf8(base::latin1_to_utf8(text)));
    fuzz::each_cut(size, [&](std::size_t cut) {
        base::Utf8Validator validator;
        const bool first = validator.feed(text.substr(0, cut));
        const bool second = validator.feed(text.substr(cut));
        FUZZ_CHECK(first || !second);
        FUZZ_CHECK((second && validator.at_boundary()) == valid);
    });

    const std::string decoded = base::percent_decode(text, true);
    FUZZ_CHECK(decoded.size() <= size);
    std::string escaped;
    for (std::size_t i = 0; i < size; ++i) {
        constexpr std::string_view hex = "0123456789ABCDEF";
        escaped.append({'%', hex[data[i] >> 4U], hex[data[i] & 15U]});
    }
    FUZZ_CHECK(base::percent_decode(escaped, true) == text);

    if (const auto number = base::parse_decimal(text)) {
        const auto digits = text.substr(std::min(text.find_first_not_of('0'), size - 1));
        FUZZ_CHECK(std::to_string(*number) == digits);
    }
    FUZZ_CHECK(base::equal_ignoring_case(text, text));
    const std::string_view trimmed = base::trim(text);
    FUZZ_CHECK(base::trim(trimmed) == trimmed);
    return 0;
}
