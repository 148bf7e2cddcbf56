#include "bitlens/text/normalizer.hpp"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

std::string after(std::vector<normalizer::step> const& steps, std::string_view text) { return normalize(steps, text); }

} // namespace

TEST_CASE("steps follow each other") {
    CHECK(after({}, " a ") == " a ");
    CHECK(after({normalizer::compose{}}, "e\u0301") == "\u00e9");
    CHECK(after({normalizer::prepend{"_"}, normalizer::replace{" ", "_"}}, " a") == "__a");
    CHECK(after({normalizer::replace{"aa", "b"}, normalizer::replace{"ba", ""}}, "aaaaa") == "b");
    CHECK(after({normalizer::replace{"a", "aa"}}, "aba") == "aabaa"); // what was put in is not looked at again
}

TEST_CASE("nothing is put before a text that is empty, or has become so") {
    CHECK(after({normalizer::prepend{"_"}}, "") == "");
    CHECK(after({normalizer::collapse_spaces{}, normalizer::prepend{"_"}}, "   ") == "");
    CHECK(after({normalizer::prepend{"_"}, normalizer::collapse_spaces{}}, "   ") == "_");
}

TEST_CASE("of several spaces one is left, at the ends none; other white space stays") {
    CHECK(after({normalizer::collapse_spaces{}}, "  a   b \n  c ") == "a b \n c");
    CHECK(after({normalizer::collapse_spaces{}}, "a\u00a0\u00a0b\t\t") == "a\u00a0\u00a0b\t\t");
}

TEST_CASE("what stands at the end goes, as often as it is there") {
    CHECK(after({normalizer::strip_end{"ab"}}, "ababab") == "");
    CHECK(after({normalizer::strip_end{"ab"}}, "xababa") == "xababa");
    CHECK(after({normalizer::strip_end{"ab"}}, "abxabab") == "abx");
}
