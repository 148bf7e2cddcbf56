#pragma once
/// Every format that the tests of kernels/ go through, matrices filled with known noise, and shapes around the edges.

#include "bitlens/core/random.hpp"
#include "bitlens/formats.hpp"
#include "bitlens/simd/arch.hpp"

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

namespace bitlens::test {

#ifdef BITLENS_TEST_SCALAR
using arch = simd::scalar;
#else
using arch = simd::default_arch;
#endif

template <int Bits>
using uniform_formats = std::tuple<uniform<Bits, 32>, uniform<Bits, 64>, uniform<Bits, 128>, uniform<Bits, 0>,
                                   uniform<Bits, 32, zero_kind::symmetric>, uniform<Bits, 64, zero_kind::symmetric>,
                                   uniform<Bits, 128, zero_kind::symmetric>, uniform<Bits, 0, zero_kind::symmetric>>;
template <int Bits>
using normal_formats =
    std::tuple<normal_float<Bits, 32>, normal_float<Bits, 64>, normal_float<Bits, 128>, normal_float<Bits, 0>>;
template <int Bits>
using half_chunk_formats = std::tuple<uniform<Bits, 16>, uniform<Bits, 16, zero_kind::symmetric>, affine<Bits, 16>>;
template <int Bits>
using affine_formats = std::tuple<affine<Bits, 32>, affine<Bits, 64>, affine<Bits, 0>>;
template <class Levels>
using lookup_formats = std::tuple<lookup<Levels, 16>, lookup<Levels, 32>, lookup<Levels, 64>, lookup<Levels, 0>>;
using dense_formats = std::tuple<dense<float>, dense<bf16>, dense<f16>>;

/// Calls f.template operator()<F>() for every format of some lists.
template <class... Lists, class Function>
void for_each_format(Function const& f) {
    const auto over_list = [&]<class... F>(std::tuple<F...>*) { (f.template operator()<F>(), ...); };
    (over_list(static_cast<Lists*>(nullptr)), ...);
}
template <class Function>
void for_every_low_bit_format(Function const& f) {
    for_each_format<uniform_formats<2>, uniform_formats<3>, uniform_formats<4>, uniform_formats<5>, uniform_formats<6>,
                    uniform_formats<7>, uniform_formats<8>, normal_formats<3>, normal_formats<4>, half_chunk_formats<2>,
                    half_chunk_formats<3>, half_chunk_formats<6>, affine_formats<2>, affine_formats<4>,
                    affine_formats<5>, affine_formats<8>, lookup_formats<e2m1_levels>, lookup_formats<iq4_levels>>(f);
}
template <class Function>
void for_every_format(Function const& f) {
    for_every_low_bit_format(f);
    for_each_format<dense_formats>(f);
}

/// `cols`, or as many as a format of whole groups takes.
template <weight_format F>
std::size_t legal_cols(std::size_t cols) {
    if constexpr (quant_format<F>)
        if constexpr (detail::whole_groups_only<F> && F::group_size != 0)
            return (cols + F::group_size - 1) / F::group_size * F::group_size;
    return cols;
}

/// Random codes, scales and zeros or offsets, or random numbers; in every row one group's scale is 0, if it has more
/// than one.
template <weight_format F>
packed_matrix<F> random_matrix(std::size_t rows, std::size_t cols, random_generator& random) {
    packed_matrix<F> w(rows, cols);
    for (std::size_t r = 0; r < rows; ++r) {
        if constexpr (quant_format<F>) {
            for (std::size_t c = 0; c < cols; ++c)
                w.set_code(r, c, static_cast<std::uint8_t>(random.below(F::codebook.size())));
            for (std::size_t g = 0; g < w.groups(); ++g) {
                const float scale = g == 1 ? 0.0f : static_cast<float>(random.normal());
                if constexpr (detail::has_offset<F>) {
                    w.set_scale(r, g, static_cast<float>(f16(scale))); // few bits
                    w.set_offset(r, g, static_cast<float>(random.normal()));
                } else {
                    w.set_scale(r, g, scale);
                }
                if constexpr (F::has_zero)
                    w.set_zero(r, g, static_cast<std::uint8_t>(random.below(F::codebook.size())));
            }
        } else {
            for (auto& v : w.writable_row(r))
                v = static_cast<typename F::value_type>(static_cast<float>(random.normal()));
        }
    }
    return w;
}

/// The places 0 … n − 1, shuffled.
inline std::vector<std::uint32_t> random_order(std::size_t n, random_generator& random) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    for (std::size_t k = n; k > 1; --k) std::swap(order[k - 1], order[random.below(k)]);
    return order;
}
/// Every format that can have an order, in random_matrix's way; with one.
template <quant_format F>
packed_matrix<F> random_ordered_matrix(std::size_t rows, std::size_t cols, random_generator& random) {
    auto w = random_matrix<F>(rows, cols, random);
    w.set_order(random_order(cols, random));
    return w;
}
/// Its values as they are.
template <weight_format F>
packed_matrix<dense<float>> laid_out_in_order(packed_matrix<F> const& w) {
    packed_matrix<dense<float>> all(w.rows(), w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t c = 0; c < w.cols(); ++c) all.writable_row(r)[c] = w.value(r, c);
    return all;
}

/// A view of normal numbers, `offset` floats off the alignment, with an odd gap between rows.
class ragged_matrix {
public:
    ragged_matrix(std::size_t rows, std::size_t cols, std::size_t offset, random_generator& random)
        : numbers_(rows * (cols + 3) + offset), view_(numbers_.data() + offset, rows, cols, cols + 3) {
        for (auto& v : numbers_.span()) v = static_cast<float>(random.normal());
    }
    operator matrix_view<float>() noexcept { return view_; }
    operator matrix_view<const float>() const noexcept { return view_; }
    matrix_view<float> view() noexcept { return view_; }

private:
    aligned_array<float> numbers_;
    matrix_view<float> view_;
};

/// Half the distance from 1 to the next float: what one rounding may add, relative to its result.
inline constexpr double unit = 0x1p-24;

/// An upper bound of sums of n + 1 rounded terms: γ_n = n·u / (1 − n·u) (Higham 2002, §3.1).
inline double gamma_of(std::size_t n) { return static_cast<double>(n) * unit / (1 - static_cast<double>(n) * unit); }

} // namespace bitlens::test
