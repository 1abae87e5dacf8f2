// gateway/api_keys.h: which key is whose, and which files are refused.
#include "gateway/api_keys.h"

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace sio;
using namespace sio::gateway;

std::string error_of(std::string_view text) {
    const auto keys = ApiKeys::parse(text, "keys");
    return keys ? "" : keys.error().what;
}

Test(api_keys, a_key_stands_for_the_name_of_its_line) {
    const auto keys = ApiKeys::parse(
        "# who\n\nshop\t0123456789abcdef\r\n  shop  another-key-of-the-shop\nweb.2 ~~~~~~~~~~~~~~~~", "keys");
    cr_assert(keys.has_value());
    cr_expect(keys->size() == 3);
    cr_expect(keys->find("0123456789abcdef") == "shop");
    cr_expect(keys->find("another-key-of-the-shop") == "shop", "a name may have two keys while one replaces the other");
    cr_expect(keys->find("~~~~~~~~~~~~~~~~") == "web.2");
}

Test(api_keys, what_is_no_key_of_the_file_stands_for_nobody) {
    const auto keys = ApiKeys::parse("shop 0123456789abcdef\n", "keys");
    for (const char* text : {"", "0123456789abcde", "0123456789abcdef ", "0123456789abcdeF", "shop", "#"}) {
        cr_expect(keys->find(text).empty(), "'%s'", text);
    }
}

Test(api_keys, a_wrong_line_is_named_and_its_key_is_not) {
    cr_expect(error_of("a 0123456789abcdef\nb short-key\n").starts_with("keys:2: "));
    cr_expect(error_of("b short-key\n").find("short-key") == std::string::npos);
    const std::vector<std::string> texts = {std::string("lonely"),        "n/a 0123456789abcdef",
                                            "n 0123456789abcdef more",    "n 0123456789abcd\x01x",
                                            "n 0123456789abcdé",          std::string(65, 'n') + " 0123456789abcdef",
                                            "n " + std::string(513, 'k'), "a 0123456789abcdef\nb 0123456789abcdef"};
    for (const std::string& text : texts) {
        cr_expect(!error_of(text).empty(), "%s", text.c_str());
    }
    cr_expect(error_of(std::string(64, 'n') + ' ' + std::string(512, 'k')).empty());
}

Test(api_keys, a_text_without_a_key_is_refused) {
    cr_expect(!error_of("").empty());
    cr_expect(!error_of("# shop 0123456789abcdef\n").empty());
}

Test(api_keys, the_number_of_keys_is_bounded) {
    std::string text;
    for (std::size_t i = 0; i < ApiKeys::max_keys; ++i) text += "n 0123456789abcdef-" + std::to_string(i) + "\n";
    cr_expect(error_of(text).empty());
    cr_expect(!error_of(text + "n 0123456789abcdef-more\n").empty());
}

Test(api_keys, a_file_that_others_may_read_is_told) {
    char path[] = "/tmp/sio-keys-XXXXXX";
    close(mkstemp(path));
    std::ofstream(path) << "shop 0123456789abcdef\n";
    cr_expect(!ApiKeys::read(path)->is_exposed());
    for (const mode_t mode : {0640U, 0604U, 0660U}) {
        chmod(path, mode);
        cr_expect(ApiKeys::read(path)->is_exposed(), "%o", mode);
    }
    std::filesystem::remove(path);
    cr_expect(ApiKeys::read(path).error().code == Errc::config);
}

}  // namespace
