#pragma once
/// The seven linear layers of a block, sets of them, and the bias that follows a matrix product.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace bitlens {

/// The linear layers of a block, in the order in which their inputs come to be.
enum class projection : std::uint8_t { q, k, v, o, gate, up, down };
inline constexpr std::size_t projection_count = 7;

/// "q_proj" …, as Hugging Face checkpoints name them.
constexpr std::string_view name(projection p) noexcept {
    constexpr std::array<std::string_view, projection_count> names{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                                   "gate_proj", "up_proj", "down_proj"};
    return names[static_cast<std::size_t>(p)];
}

/// Some of the linear layers of a block.
using projection_set = std::bitset<projection_count>;
template <class... Projections>
constexpr projection_set only(Projections... p) noexcept {
    return projection_set((0ull | ... | (1ull << static_cast<unsigned>(p))));
}
constexpr bool has(projection_set const& set, projection p) noexcept { return set[static_cast<std::size_t>(p)]; }
inline constexpr projection_set every_projection{(1ull << projection_count) - 1};

/// y_t += b for every row.   Shapes: y (T, n), b (n) or empty, which adds nothing.   Errors: shape_error for others.
inline void add_bias(std::span<const float> b, matrix_view<float> y) {
    if (b.empty()) return;
    detail::check_size("add_bias", "b", b.size(), y.cols);
    for (std::size_t t = 0; t < y.rows; ++t) {
        float* const row = y.row(t).data();
        for (std::size_t i = 0; i < b.size(); ++i) row[i] += b[i];
    }
}

} // namespace bitlens
