#include "bitlens/formats.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using mixed = mixed_matrix<dense<float>, uniform<3, 64>>;
static_assert(weight_matrix<mixed> && weight_matrix<packed_matrix<uniform<3, 64>>> && !weight_matrix<matrix<float>>);
static_assert(!std::is_constructible_v<mixed, packed_matrix<uniform<4, 64>>>);
static_assert(!std::is_copy_constructible_v<mixed> && std::is_move_constructible_v<mixed>);

} // namespace

TEST_CASE("a mixed matrix answers for the matrix it holds") {
    packed_matrix<uniform<3, 64>> w(2, 70);
    w.set_code(1, 69, 5);
    w.set_scale(1, 1, 2.0f);
    const std::size_t bytes = w.bytes();
    mixed m = std::move(w);
    CHECK(m.rows() == 2);
    CHECK(m.cols() == 70);
    CHECK(m.bytes() == bytes);
    CHECK(m.value(1, 69) == 10.0f);
    CHECK(m.format_name() == "uniform3-g64");
    m = packed_matrix<dense<float>>(4, 1);
    CHECK(m.format_name() == "f32");
    CHECK(m.visit([](auto const& held) { return held.rows(); }) == 4);
}
