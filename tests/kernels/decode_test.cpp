#include "any_format.hpp"
#include "bitlens/kernels/decode.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

TEST_CASE("decode_row gives value(), bit for bit, from any chunk on") {
    random_generator random(11);
    for_every_format([&]<class F>() {
        INFO(format_name<F>());
        const auto w = random_matrix<F>(3, legal_cols<F>(331), random);
        for (const std::size_t first : {std::size_t{0}, std::size_t{32}, std::size_t{96}, std::size_t{320}}) {
            for (std::size_t count : {std::size_t{1}, std::size_t{10}, w.cols() - first}) {
                if (first + count > w.cols()) continue;
                std::vector<float> out((count + 31) / 32 * 32 + 1, -7.0f);
                decode_row<arch>(w, 2, first, count, out.data());
                bool equal = true;
                for (std::size_t i = 0; i < count; ++i)
                    equal &=
                        std::bit_cast<std::uint32_t>(out[i]) == std::bit_cast<std::uint32_t>(w.value(2, first + i));
                CHECK_MESSAGE(equal, "first ", first, ", count ", count);
                CHECK(out.back() == -7.0f); // nothing is written past the last chunk
            }
        }
    });
}
