#include "any_format.hpp"
#include "bitlens/kernels/decode.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

TEST_CASE("decode_rows gives value(), bit for bit, from any chunk on") {
    random_generator random(11);
    for_every_format([&]<class F>() {
        INFO(format_name<F>());
        const auto w = random_matrix<F>(3, legal_cols<F>(331), random);
        for (const std::size_t first : {std::size_t{0}, std::size_t{32}, std::size_t{96}, std::size_t{320}}) {
            for (std::size_t count : {std::size_t{1}, std::size_t{10}, w.cols() - first}) {
                if (first + count > w.cols()) continue;
                const std::size_t room = (count + 31) / 32 * 32;
                std::vector<float> out(2 * room + 1, -7.0f);
                decode_rows<arch>(w, 1, first, {out.data(), 2, count, room});
                bool equal = true;
                for (std::size_t r = 0; r < 2; ++r)
                    for (std::size_t i = 0; i < count; ++i)
                        equal &= std::bit_cast<std::uint32_t>(out[r * room + i]) ==
                                 std::bit_cast<std::uint32_t>(w.value(1 + r, first + i));
                CHECK_MESSAGE(equal, "first ", first, ", count ", count);
                CHECK(out.back() == -7.0f); // nothing is written past the last chunk
            }
        }
    });
}
