#pragma once
/// mixed_matrix: a weight matrix whose format is chosen at run time, from a list given at compile time.

#include "bitlens/formats/packed_matrix.hpp"

#include <variant>

namespace bitlens {

namespace detail {
template <class G, class... F>
concept format_beside = weight_format<G> &&(!std::same_as<G, F> && ...);
} // namespace detail

/// One of packed_matrix<F>…; kernels look once per product which one it is. "Restore W_gate to 16 bits" is then a
/// change of data, not of type.
template <class... F>
class mixed_matrix {
    static_assert((weight_format<F> && ...), "bitlens: mixed_matrix<F...>: each F is a format, such as uniform<3, 64>, "
                                             "normal_float<4, 64> or dense<float>");

public:
    template <weight_format G>
        requires(std::same_as<G, F> || ...)
    mixed_matrix(packed_matrix<G> m)
    noexcept : matrix_(std::move(m)) {}

    template <detail::format_beside<F...> G>
    mixed_matrix(packed_matrix<G>) = delete; // bitlens: this mixed_matrix does not list the format of that matrix

    std::size_t rows() const {
        return visit([](auto const& m) { return m.rows(); });
    }
    std::size_t cols() const {
        return visit([](auto const& m) { return m.cols(); });
    }
    std::size_t bytes() const {
        return visit([](auto const& m) { return m.bytes(); });
    }
    float value(std::size_t r, std::size_t c) const {
        return visit([&](auto const& m) { return m.value(r, c); });
    }
    std::string format_name() const {
        return visit([]<class G>(packed_matrix<G> const&) { return bitlens::format_name<G>(); });
    }
    /// f(packed_matrix<G> const&) for the format it has.
    template <class Function>
    decltype(auto) visit(Function&& f) const {
        return std::visit(std::forward<Function>(f), matrix_);
    }

private:
    std::variant<packed_matrix<F>...> matrix_;
};

template <class W>
inline constexpr bool is_mixed_matrix = false;
template <weight_format... F>
inline constexpr bool is_mixed_matrix<mixed_matrix<F...>> = true;

/// What a kernel multiplies with: `packed_matrix<F>` or `mixed_matrix<F…>`.
template <class W>
concept weight_matrix = is_packed_matrix<W> || is_mixed_matrix<W>;

namespace detail {

/// Does not compile for a W that is no matrix of weights.
template <class W>
constexpr void check_weight() {
    static_assert(weight_matrix<W>,
                  "bitlens: a weight is a packed_matrix<format> or a mixed_matrix<format...>, such as "
                  "packed_matrix<dense<float>>");
}

} // namespace detail

} // namespace bitlens
