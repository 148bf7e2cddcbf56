#include "bitlens/quantizers/shifted.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include <doctest/doctest.h>

#include <cstddef>

using namespace bitlens;

TEST_CASE("shifted groups are those of the columns from there on, and the first ones come last") {
    matrix<float> w(3, 128), turned(3, 128);
    random_generator random(3);
    for (float& x : w.span()) x = static_cast<float>(random.normal());
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 128; ++c) turned(r, c) = w(r, (c + 32) % 128);
    const auto check = [&](auto const& inner) {
        const shifted<std::remove_cvref_t<decltype(inner)>> by_half{inner, 32}, by_none{inner};
        const auto packed = by_half(w);
        const auto expected = inner(turned), plain = inner(w), same = by_none(w);
        for (std::size_t r = 0; r < 3; ++r)
            for (std::size_t c = 0; c < 128; ++c) {
                CHECK(packed.value(r, (c + 32) % 128) == expected.value(r, c));
                CHECK(same.value(r, c) == plain.value(r, c));
            }
        CHECK(same.order().empty());
        CHECK(packed.group_of(32) == 0);
        CHECK(packed.group_of(31) == packed.groups() - 1);
    };
    check(rtn<uniform<3, 64>>{});
    check(absmax<normal_float<4, 64>>{});
}
