#pragma once
/// study_matrix: a weight matrix in any format that a method's name can ask for or a checkpoint keeps, and quantization
/// into it.

#include "bitlens/formats/affine.hpp"
#include "bitlens/formats/lookup.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/recipes/method.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace bitlens {

namespace detail {

inline constexpr std::array<std::size_t, 4> method_groups{0, 32, 64, 128};

/// 2 … 8 bits × groups × both kinds of zero.
template <std::size_t I>
using uniform_number = uniform<static_cast<int>(2 + I / 8), method_groups[I / 2 % 4],
                               I % 2 == 0 ? zero_kind::asymmetric : zero_kind::symmetric>;
/// 3 and 4 bits × groups.
template <std::size_t I>
using normal_float_number = normal_float<static_cast<int>(3 + I / 4), method_groups[I % 4]>;

template <std::size_t... U, std::size_t... N>
auto all_formats(std::index_sequence<U...>, std::index_sequence<N...>)
    -> mixed_matrix<dense<float>, dense<bf16>, dense<f16>, uniform_number<U>..., normal_float_number<N>...,
                    // Q3_K and Q6_K; Q2_K; Q4_1, Q5_1, Q4_K, Q5_K and MLX; NVFP4; MXFP4; IQ4; FP4 of bitsandbytes
                    uniform<3, 16, zero_kind::symmetric>, uniform<6, 16, zero_kind::symmetric>, affine<2, 16>,
                    affine<2, 32>, affine<3, 32>, affine<4, 32>, affine<5, 32>, affine<6, 32>, affine<8, 32>,
                    affine<2, 64>, affine<3, 64>, affine<4, 64>, affine<5, 64>, affine<6, 64>, affine<8, 64>,
                    lookup<e2m1_levels, 16>, lookup<e2m1_levels, 32>, lookup<iq4_levels, 32>, lookup<fp4_levels, 32>,
                    lookup<fp4_levels, 64>>;

} // namespace detail

/// All formats that a method can name, and those that checkpoints keep.
using study_matrix =
    decltype(detail::all_formats(std::make_index_sequence<7 * 4 * 2>{}, std::make_index_sequence<2 * 4>{}));

namespace detail {

template <class Kind, weight_format F, class Function>
bool with_quantizer_for(Kind const& kind, Function const& f) {
    if constexpr (requires { kind.template quantizer<F>(); }) {
        const auto q = kind.template quantizer<F>();
        if (q) f(*q);
        return q.has_value();
    } else {
        return false;
    }
}
template <class Kind, weight_format... F, class Function>
bool with_quantizer_listed(Kind const& kind, Function const& f, std::type_identity<mixed_matrix<F...>>) {
    return (with_quantizer_for<Kind, F>(kind, f) || ...);
}

} // namespace detail

/// f(q) with the kind's quantizer for the one of W's formats that it packs to.
/// Errors: option_error for a method whose format W does not list.
template <class W, class Kind, class Function>
void with_quantizer(Kind const& kind, Function const& f) {
    static_assert(is_mixed_matrix<W>, "bitlens: quantize<W>(method, w), or a walk: W is a mixed_matrix that lists the "
                                      "formats which methods may ask for, "
                                      "such as study_matrix");
    if (!detail::with_quantizer_listed(kind, f, std::type_identity<W>{}))
        throw option_error("method '" + kind.text() + "': the type of weight lists no such format");
}

/// w (out, in) by a method that needs nothing but the weights, as a W that lists the method's format.
/// Errors: those of the quantizer; option_error for a method whose format W does not list, or one that needs documents.
template <class W = study_matrix, class Method>
W quantize(Method const& m, matrix_view<const float> w) {
    std::optional<W> result;
    std::visit(
        [&]<class Kind>(Kind const& kind) {
            if constexpr (is_calibrated<Kind>)
                throw option_error("method '" + kind.text() +
                                   "' looks at what a model reads: a walk over the model quantizes with it, not a call "
                                   "with one matrix");
            else
                with_quantizer<W>(kind, [&](auto const& q) { result.emplace(q(w)); });
        },
        m.kind);
    return std::move(*result);
}

} // namespace bitlens
