#pragma once
/// study_matrix: a weight matrix in any format that a method's name can ask for, and quantization into it.

#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/method.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <utility>

namespace bitlens {

namespace detail {

inline constexpr std::array<std::size_t, 4> method_groups{0, 32, 64, 128};

template <class... F>
struct format_list {};

/// 2 … 8 bits × groups × both kinds of zero.
template <std::size_t I>
using uniform_number = uniform<static_cast<int>(2 + I / 8), method_groups[I / 2 % 4],
                               I % 2 == 0 ? zero_kind::asymmetric : zero_kind::symmetric>;
/// 3 and 4 bits × groups.
template <std::size_t I>
using normal_float_number = normal_float<static_cast<int>(3 + I / 4), method_groups[I % 4]>;

template <std::size_t... U, std::size_t... N>
auto method_formats(std::index_sequence<U...>, std::index_sequence<N...>)
    -> format_list<uniform_number<U>..., normal_float_number<N>...>;
using all_method_formats =
    decltype(method_formats(std::make_index_sequence<7 * 4 * 2>{}, std::make_index_sequence<2 * 4>{}));

template <class... F>
auto with_dense_formats(format_list<F...>) -> mixed_matrix<dense<float>, dense<bf16>, dense<f16>, F...>;

} // namespace detail

/// All formats that a method can name, and the dense ones of checkpoints.
using study_matrix = decltype(detail::with_dense_formats(detail::all_method_formats{}));

namespace detail {

/// Quantizes if F is the format that m asks for.
template <quant_format F>
bool quantize_as(method const& m, matrix_view<const float> w, std::optional<study_matrix>& result) {
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

} // namespace detail

/// w (out, in) by method m.   Errors: those of rtn and absmax; option_error for a method that parse_method cannot give.
inline study_matrix quantize(method const& m, matrix_view<const float> w) {
    std::optional<study_matrix> result;
    [&]<class... F>(detail::format_list<F...>) {
        if (!(detail::quantize_as<F>(m, w, result) || ...)) detail::refuse_method(m.text(), "there is no such format");
    }(detail::all_method_formats{});
    return std::move(*result);
}

} // namespace bitlens
