#include "bitlens/text/added_tokens.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace bitlens;

namespace {

/// Text in brackets, ids bare: "[a]7[b]".
std::string cut(added_token_finder const& finder, std::string_view text, bool special) {
    std::string out;
    finder.cut(
        text, special, [&](std::string_view part) { out.append("[").append(part).append("]"); },
        [&](std::int32_t id) { out += std::to_string(id); });
    return out;
}

} // namespace

TEST_CASE("the leftmost token, and of several the longest") {
    const added_token_finder finder({{"<a>", 1}, {"<a>b", 2}, {"a>bc", 3}, {"<<", 4}});
    CHECK(cut(finder, "", false) == "");
    CHECK(cut(finder, "none here <", false) == "[none here <]");
    CHECK(cut(finder, "x<a>y", false) == "[x]1[y]");
    CHECK(cut(finder, "<a>bc", false) == "2[c]"); // a>bc begins later
    CHECK(cut(finder, "<<a>bc", false) == "43");
    CHECK(cut(finder, "<<<", false) == "4[<]");
    CHECK(cut({}, "text", true) == "[text]");
}

TEST_CASE("a special token that is not asked for is text, and hides what overlaps it") {
    const added_token_finder finder({{.text = "<s>", .id = 1, .special = true}, {"s>x", 2}, {"<t>", 3}});
    CHECK(cut(finder, "a<s>x<t>", true) == "[a]1[x]3");
    CHECK(cut(finder, "a<s>x<t>", false) == "[a<s>x]3");
    CHECK(cut(finder, "as>x", false) == "[a]2");
}

TEST_CASE("white space beside a token goes with it where the token takes it") {
    const added_token_finder left({{.text = "<a>", .id = 1, .strips_left = true}}),
        right({{.text = "<a>", .id = 1, .strips_right = true}}),
        both({{.text = "<a>", .id = 1, .strips_left = true, .strips_right = true}, {"\n", 2}});
    CHECK(cut(left, "x \u3000<a> y", false) == "[x]1[ y]");
    CHECK(cut(left, " \n<a>", false) == "1");
    CHECK(cut(right, "x <a> \t\u2003y", false) == "[x ]1[y]");
    CHECK(cut(right, "<a>  <a>  ", false) == "11");
    CHECK(cut(both, "<a>  <a>  x", false) == "11[x]");
    CHECK(cut(both, "x <a> \n y", false) == "[x]12[ y]"); // the line end is found though it was taken
}

TEST_CASE("a single word touches no letter, mark, digit or _") {
    const added_token_finder finder({{.text = "ab", .id = 1, .single_word = true}, {"b!", 2}});
    CHECK(cut(finder, "ab", false) == "1");
    CHECK(cut(finder, "ab-ab (ab)", false) == "1[-]1[ (]1[)]");
    for (std::string_view beside : {"x", "_", "7", "\u00e9", "\u0301", "\u2167", "\u24b6", "\u0e33"}) {
        CAPTURE(beside);
        CHECK(cut(finder, std::string(beside) + "ab", false) == "[" + std::string(beside) + "ab]");
        CHECK(cut(finder, "ab" + std::string(beside), false) == "[ab" + std::string(beside) + "]");
    }
    for (std::string_view beside : {" ", "-", "\u00bd", "\u2019"})
        CHECK(cut(finder, "ab" + std::string(beside), false) == "1[" + std::string(beside) + "]");
    CHECK(cut(finder, "xab!", false) == "[xab!]"); // refused, it hides what overlaps it
}

TEST_CASE("taking white space takes linear time") {
    const added_token_finder finder({{.text = "\n", .id = 1, .strips_left = true, .strips_right = true},
                                     {.text = "<a>", .id = 2, .strips_left = true}});
    std::string text(2'000'000, '\n');
    std::size_t found = 0;
    finder.cut(
        text, false, [](std::string_view) {}, [&](std::int32_t) { ++found; });
    CHECK(found == text.size());
}
