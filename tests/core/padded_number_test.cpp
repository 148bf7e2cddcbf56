#include "bitlens/core/padded_number.hpp"

#include <doctest/doctest.h>

TEST_CASE("numbers are filled up with zeros, and longer ones are not cut") {
    CHECK(bitlens::padded_number(12, 5) == "00012");
    CHECK(bitlens::padded_number(0, 4) == "0000");
    CHECK(bitlens::padded_number(12345, 5) == "12345");
    CHECK(bitlens::padded_number(123456, 5) == "123456");
    CHECK(bitlens::padded_number(7, 0) == "7");
}
