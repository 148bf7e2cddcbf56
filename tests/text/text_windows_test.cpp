#include "bitlens/text/text_windows.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

tokenizer tiny_tokenizer() {
    return tokenizer::from_json(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json");
}
constexpr const char* two_lines =
    "A line of words, and another one.\nMore words follow the first ones, again and again.";

} // namespace

TEST_CASE("windows are neighbouring ids of one tokenization, whose rest is left over") {
    const tokenizer t = tiny_tokenizer();
    const auto ids = t.encode(two_lines);
    const std::size_t window = 5;
    const auto plain = cut_windows(two_lines, "TEXT", t, {}, window);
    CHECK_FALSE(plain.bos);
    CHECK(plain.tokens == ids.size());
    REQUIRE(plain.ids.rows() == ids.size() / window);
    CHECK(plain.scored() == plain.ids.rows() * (window - 1));
    CHECK(std::ranges::equal(plain.ids.span(), std::span(ids).first(plain.ids.rows() * window)));
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < plain.ids.rows() * window; ++i)
        bytes += i % window == 0 ? 0 : t.token_bytes(ids[i]).size();
    CHECK(plain.bytes == bytes);
}

TEST_CASE("a beginning-of-text token stands before the first window alone") {
    const tokenizer t = tiny_tokenizer();
    const auto ids = t.encode(two_lines);
    const auto begun = cut_windows(two_lines, "TEXT", t, 1, 5);
    CHECK(begun.bos);
    CHECK(begun.tokens == ids.size() + 1);
    CHECK(begun.ids(0, 0) == 1);
    CHECK(std::ranges::equal(begun.ids.span().subspan(1), std::span(ids).first(begun.ids.rows() * 5 - 1)));
}

TEST_CASE("a text without a whole window is refused with its size") {
    const tokenizer t = tiny_tokenizer();
    const auto count = t.encode(two_lines).size();
    CHECK(cut_windows(two_lines, "TEXT", t, {}, count).ids.rows() == 1);
    const std::string expected = "TEXT: " + std::to_string(count) + " tokens, at least one window of " +
                                 std::to_string(count + 1) + " is expected";
    CHECK_THROWS_WITH_AS(cut_windows(two_lines, "TEXT", t, {}, count + 1), expected.c_str(), option_error);
}

TEST_CASE("a text is read whole, or its lines joined by blank ones") {
    const test::temporary_folder folder;
    const auto file = folder.write("wiki.txt", "\xEF\xBB\xBF one \n \n two \n");
    CHECK(read_text(file, false) == " one \n \n two \n");
    CHECK(read_text(file, true) == join_lines(" one \n \n two \n"));
    CHECK_THROWS_AS(read_text(folder.write("bad.txt", "a\xFF"), false), format_error);
}
