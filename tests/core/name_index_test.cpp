#include "bitlens/core/name_index.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;

TEST_CASE("a name index finds places by the bytes of names, and says which name comes twice") {
    name_index index;
    CHECK_FALSE(index.find("a"));
    CHECK_FALSE(index.repeated());
    const std::vector<std::string> names{"b", "", "ab", "\xC3\xA9", "a", "B"};
    for (std::size_t i = 0; i < names.size(); ++i) index.add(names[i], i);
    index.sort();
    for (std::size_t i = 0; i < names.size(); ++i) CHECK(index.find(names[i]) == i);
    for (std::string_view absent : {"A", "aa", "abc", "c", "\xC3", "\xFF"}) CHECK_FALSE(index.find(absent));
    std::string order;
    for (auto const& e : index.entries()) order += std::to_string(e.place);
    CHECK(order == "154203"); // bytes are unsigned
    CHECK_FALSE(index.repeated());

    index.add("ab", 9);
    index.add("ab", 7);
    index.sort();
    CHECK(index.repeated() == "ab");
    CHECK(index.find("ab") == 2);
    CHECK(index.entries()[3].place == 2);
    CHECK(index.entries()[4].place == 7);
    CHECK(index.entries()[5].place == 9);
}
