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
    const added_token_finder finder({{"<a>", 1, false}, {"<a>b", 2, false}, {"a>bc", 3, false}, {"<<", 4, false}});
    CHECK(cut(finder, "", false) == "");
    CHECK(cut(finder, "none here <", false) == "[none here <]");
    CHECK(cut(finder, "x<a>y", false) == "[x]1[y]");
    CHECK(cut(finder, "<a>bc", false) == "2[c]"); // a>bc begins later
    CHECK(cut(finder, "<<a>bc", false) == "43");
    CHECK(cut(finder, "<<<", false) == "4[<]");
    CHECK(cut({}, "text", true) == "[text]");
}

TEST_CASE("a special token that is not asked for is text, and hides what overlaps it") {
    const added_token_finder finder({{"<s>", 1, true}, {"s>x", 2, false}, {"<t>", 3, false}});
    CHECK(cut(finder, "a<s>x<t>", true) == "[a]1[x]3");
    CHECK(cut(finder, "a<s>x<t>", false) == "[a<s>x]3");
    CHECK(cut(finder, "as>x", false) == "[a]2");
}
