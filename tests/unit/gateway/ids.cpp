// gateway/ids.h: identifiers of 20 URL-safe characters that nobody can guess and that never repeat.
#include "gateway/ids.h"

#include <criterion/criterion.h>

#include <string>
#include <unordered_set>

#include "base/bytes.h"

namespace {

using namespace sio::gateway;

/// The 15 bytes an id stands for.
std::string bytes_of(const Id& id) {
    std::string text{id.view()};
    for (char& c : text) c = c == '_' ? '/' : c == '-' ? '+' : c;
    const auto bytes = sio::base::decode_base64(text);
    cr_assert(bytes.has_value() && bytes->size() == 15);
    return std::string(bytes->begin(), bytes->end());
}

std::uint32_t counter_of(const Id& id) {
    const std::string bytes = bytes_of(id);
    std::uint32_t value = 0;
    for (std::size_t i = 12; i < 15; ++i) value = value << 8U | static_cast<unsigned char>(bytes[i]);
    return value;
}

Test(ids, an_id_is_20_characters_that_need_no_escaping_in_a_query) {
    IdSource source;
    for (int i = 0; i < 5000; ++i) {
        const Id id = source.next();
        cr_assert(id.view().size() == 20);
        cr_assert(id.view().front() != '-', "a command line would take it for an option");
        cr_assert(id.view().find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
                  std::string_view::npos);
    }
}

Test(ids, ids_do_not_repeat_within_a_source_nor_between_sources) {
    IdSource one;
    IdSource two;
    std::unordered_set<std::string> seen;
    for (int i = 0; i < 20'000; ++i) {
        cr_assert(seen.emplace(one.next().view()).second);
        cr_assert(seen.emplace(two.next().view()).second);
    }
}

Test(ids, the_random_part_is_never_used_twice) {
    IdSource source;
    std::unordered_set<std::string> seen;
    for (int i = 0; i < 1000; ++i) cr_assert(seen.insert(bytes_of(source.next()).substr(0, 12)).second, "id %d", i);
}

Test(ids, every_byte_of_the_random_part_varies) {
    IdSource source;
    std::string ones(12, '\0');
    std::string zeros(12, '\0');
    for (int i = 0; i < 500; ++i) {
        const std::string bytes = bytes_of(source.next());
        for (std::size_t k = 0; k < 12; ++k) {
            ones[k] = static_cast<char>(ones[k] | bytes[k]);
            zeros[k] = static_cast<char>(zeros[k] | ~bytes[k]);
        }
    }
    cr_assert(ones == std::string(12, '\xFF') && zeros == std::string(12, '\xFF'));
}

Test(ids, the_last_three_bytes_count) {
    IdSource source;
    const std::uint32_t first = counter_of(source.next());
    for (std::uint32_t i = 1; i < 1000; ++i) cr_assert(counter_of(source.next()) == ((first + i) & 0xFFFFFFU));
}

Test(ids, an_id_is_read_back_from_its_text) {
    IdSource source;
    const Id id = source.next();
    const std::string text{id.view()};
    cr_assert(Id::from(text) == id);
    cr_assert(IdHash{}(Id::from(text)) == IdHash{}(id));
}

Test(ids, a_text_of_another_length_or_with_another_character_is_no_id_that_was_given_out) {
    IdSource source;
    const Id id = source.next();
    const std::string text{id.view()};
    cr_assert(!(Id::from("") == id));
    cr_assert(!(Id::from(text.substr(0, 19)) == id));
    cr_assert(!(Id::from(text + "A") == id));
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string other = text;
        other[i] = other[i] == 'A' ? 'B' : 'A';
        cr_assert(!(Id::from(other) == id), "character %zu", i);
    }
}

Test(ids, the_id_of_a_session_begins_with_the_tag_of_its_source) {
    IdSource source;
    const Tag tag = source.tag();
    std::unordered_set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const Id id = source.next_session();
        cr_assert(id.view().size() == 20 && id.view().substr(0, Tag::size) == tag.view());
        cr_assert(Tag::of_session(id.view()) == tag);
        cr_assert(seen.insert(bytes_of(id).substr(3, 9)).second, "the random part of id %d is not new", i);
    }
}

Test(ids, tags_are_drawn_anew_and_never_begin_with_a_dash) {
    std::unordered_set<std::string> seen;
    IdSource source;
    for (int i = 0; i < 2000; ++i) {
        cr_assert(Tag::is_tag(source.tag().view()));
        seen.emplace(source.tag().view());
        source.draw_tag();
    }
    cr_expect(seen.size() > 1990, "%zu", seen.size());
}

Test(ids, only_what_may_be_the_id_of_a_session_has_a_tag) {
    cr_expect(Tag::of_session("AbC_0123456789abcdef").has_value());
    for (const char* wrong : {"", "AbC_", "AbC_0123456789abcde", "AbC_0123456789abcdefg", "-bC_0123456789abcdef",
                              "../x0123456789abcdef", "a/b00123456789abcdef", "a.b00123456789abcdef"}) {
        cr_expect(!Tag::of_session(wrong).has_value(), "'%s'", wrong);
    }
    cr_expect(!Tag::of_session(std::string_view("a\0b00123456789abcdef", 20)).has_value());
}

Test(ids, hashes_of_ids_spread) {
    IdSource source;
    std::unordered_set<std::size_t> hashes;
    for (int i = 0; i < 10'000; ++i) hashes.insert(IdHash{}(source.next()));
    cr_assert(hashes.size() > 9990, "%zu", hashes.size());
    hashes.clear();
    for (int i = 0; i < 10'000; ++i) hashes.insert(IdHash{}(source.next_session()));
    cr_assert(hashes.size() > 9990, "%zu of sessions", hashes.size());
}

}  // namespace
