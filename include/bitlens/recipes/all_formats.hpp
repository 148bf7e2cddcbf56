#pragma once
/// study_matrix: a weight matrix in any format that a method's name can ask for, and quantization into it.

#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/method.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

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
    -> mixed_matrix<dense<float>, dense<bf16>, dense<f16>, uniform_number<U>..., normal_float_number<N>...>;

} // namespace detail

/// All formats that a method can name, and the dense ones of checkpoints.
using study_matrix =
    decltype(detail::all_formats(std::make_index_sequence<7 * 4 * 2>{}, std::make_index_sequence<2 * 4>{}));

namespace detail {

/// Quantizes if F is the format that m asks for.
template <weight_format F, class W>
bool quantize_as(method const& m, matrix_view<const float> w, std::optional<W>& result) {
    if constexpr (is_uniform<F> || is_normal_float<F>) {
        if (m.bits != F::bits || m.group_size != F::group_size) return false;
        if constexpr (is_uniform<F>) {
            if (m.kind != method_kind::rtn || m.symmetric == F::has_zero) return false;
            result.emplace(rtn<F>{}(w));
        } else {
            if (m.kind != method_kind::normal_float) return false;
            result.emplace(absmax<F>{m.nested_scales}(w));
        }
        return true;
    }
    return false;
}

template <weight_format... F>
mixed_matrix<F...> quantize_as_listed(method const& m, matrix_view<const float> w,
                                      std::type_identity<mixed_matrix<F...>>) {
    std::optional<mixed_matrix<F...>> result;
    if (!(quantize_as<F>(m, w, result) || ...)) refuse_method(m.text(), "the type of weight lists no such format");
    return std::move(*result);
}

} // namespace detail

/// w (out, in) by method m, as a W that lists m's format.
/// Errors: those of rtn and absmax; option_error for a method whose format W does not list.
template <class W = study_matrix>
W quantize(method const& m, matrix_view<const float> w) {
    static_assert(is_mixed_matrix<W>,
                  "bitlens: quantize<W>(method, w): W is a mixed_matrix that lists the formats which "
                  "methods may ask for, such as study_matrix");
    return detail::quantize_as_listed(m, w, std::type_identity<W>{});
}

} // namespace bitlens
