#include "any_format.hpp"
#include "bitlens/kernels/decode.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// decode_rows of two rows from the second on against value(), bit for bit.
template <weight_format F>
void check_against_values(packed_matrix<F> const& w) {
    for (const std::size_t first : {std::size_t{0}, std::size_t{32}, std::size_t{96}, std::size_t{320}}) {
        for (std::size_t count : {std::size_t{1}, std::size_t{10}, w.cols() - first}) {
            if (first + count > w.cols()) continue;
            const std::size_t room = (count + 31) / 32 * 32;
            std::vector<float> out(2 * room + 1, -7.0f);
            decode_rows<arch>(w, 1, first, {out.data(), 2, count, room});
            bool equal = true, finite = true;
            for (std::size_t r = 0; r < 2; ++r)
                for (std::size_t i = 0; i < room; ++i) {
                    finite &= std::isfinite(out[r * room + i]);
                    if (i < count)
                        equal &= std::bit_cast<std::uint32_t>(out[r * room + i]) ==
                                 std::bit_cast<std::uint32_t>(w.value(1 + r, first + i));
                }
            CHECK_MESSAGE(equal, "first ", first, ", count ", count);
            CHECK(finite);
            CHECK(out.back() == -7.0f); // nothing is written past the last chunk
        }
    }
}

} // namespace

TEST_CASE("decode_rows gives value(), bit for bit, from any chunk on") {
    random_generator random(11);
    for_every_format([&]<class F>() {
        INFO(format_name<F>());
        check_against_values(random_matrix<F>(3, legal_cols<F>(331), random));
    });
}

TEST_CASE("decode_rows gives value() of columns that have an order, bit for bit") {
    random_generator random(12);
    for_every_low_bit_format([&]<class F>() {
        INFO(format_name<F>());
        check_against_values(random_ordered_matrix<F>(3, legal_cols<F>(331), random));
    });
}

TEST_CASE("an order moves columns, not codes: a mixed matrix decodes them where they belong") {
    random_generator random(13);
    auto w = random_matrix<uniform<3, 32>>(2, 70, random);
    std::vector<float> lying(70);
    for (std::size_t k = 0; k < 70; ++k) lying[k] = w.value(1, k);
    const auto order = random_order(70, random);
    w.set_order(order);
    const mixed_matrix<dense<float>, uniform<3, 32>> mixed = std::move(w);
    matrix<float> out(1, 96);
    decoder_of<arch>(mixed)(1, 0, {out.data(), 1, 70, 96});
    bool equal = true;
    for (std::size_t k = 0; k < 70; ++k) equal &= out(0, order[k]) == lying[k];
    CHECK(equal);
}
