#pragma once
/// Rotary position embedding (Su et al. 2021), pairing dimension i with i + head_dim/2, as Hugging Face models do.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

/// cos and sin of position · θ^(−2i/head_dim), for positions 0 … T − 1 and i < head_dim/2.
/// The frequency and the angle are rounded to float before the cosine is taken: models are trained and served with that
/// rounding (transformers computes both in float32), and at late positions it is worth 10⁻⁵ of a turn.
class rope_table {
public:
    /// Errors: shape_error for an odd head_dim; option_error unless theta is positive.
    rope_table(std::size_t positions, std::size_t head_dim, double theta)
        : cos_(positions, head_dim / 2), sin_(positions, head_dim / 2) {
        if (head_dim == 0 || head_dim % 2 != 0)
            throw shape_error("rope_table: head_dim " + std::to_string(head_dim) + ", expected an even number");
        if (!(theta > 0))
            throw option_error("rope_table: theta " + std::to_string(theta) + ", expected a positive number");
        for (std::size_t i = 0; i < head_dim / 2; ++i) {
            const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
            const float frequency = 1.0f / static_cast<float>(std::pow(theta, double{exponent}));
            for (std::size_t t = 0; t < positions; ++t) {
                const double angle = static_cast<float>(t) * frequency; // rounded to float
                cos_(t, i) = static_cast<float>(std::cos(angle));
                sin_(t, i) = static_cast<float>(std::sin(angle));
            }
        }
    }

    std::size_t positions() const noexcept { return cos_.rows(); }
    std::size_t head_dim() const noexcept { return 2 * cos_.cols(); }
    std::span<const float> cos(std::size_t t) const noexcept { return cos_.row(t); }
    std::span<const float> sin(std::size_t t) const noexcept { return sin_.row(t); }

private:
    matrix<float> cos_, sin_; // (T, head_dim/2)
};

/// Turns every head of every row by its position, in place: (a, b) → (a·cos − b·sin, b·cos + a·sin).
/// Shapes: x (T, heads · head_dim); its rows are positions first … first + T − 1.
/// Errors: shape_error for a position that is not in the table, or a part of a head.
inline void rope(rope_table const& table, std::size_t first, matrix_view<float> x) {
    const std::size_t half = table.head_dim() / 2;
    detail::check_range("rope", "positions", first, x.rows, table.positions());
    if (x.cols % table.head_dim() != 0)
        throw shape_error("rope: x has " + std::to_string(x.cols) + " columns, expected whole heads of " +
                          std::to_string(table.head_dim()));
    for (std::size_t t = 0; t < x.rows; ++t) {
        float const* const c = table.cos(first + t).data();
        float const* const s = table.sin(first + t).data();
        for (std::size_t head = 0; head < x.cols; head += 2 * half) {
            float* const a = x.row(t).data() + head;
            float* const b = a + half;
            for (std::size_t i = 0; i < half; ++i) {
                const float ai = a[i], bi = b[i];
                a[i] = ai * c[i] - bi * s[i];
                b[i] = bi * c[i] + ai * s[i];
            }
        }
    }
}

} // namespace bitlens
