#pragma once
/// inverse_factor: the upper Cholesky factor of the inverse of a matrix, without the inverse.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/matmul.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

namespace bitlens {

namespace detail {

/// Numbers from the start of one row to the start of the next: whole cache lines, and not a power of two, so that
/// columns do not exclude each other from a cache.
constexpr std::size_t apart(std::size_t cols) noexcept {
    constexpr std::size_t line = alignment / sizeof(float);
    return ((cols + line - 1) / line | 1) * line;
}

/// The upper triangle of `a` becomes Lᵀ, a = L · Lᵀ, then `inverse` becomes L⁻¹; false where a is not positive
/// definite.
inline bool factor_and_invert(matrix_view<double> a, matrix_view<double> inverse) noexcept {
    const std::size_t n = a.rows;
    for (std::size_t j = 0; j < n; ++j) { // row j of Lᵀ, and what is left of those behind
        const double* const row = a.row(j).data();
        const double pivot = a(j, j);
        if (!(pivot > 0) || !std::isfinite(pivot)) return false;
        const double root = std::sqrt(pivot);
        for (std::size_t i = j; i < n; ++i) a(j, i) /= root;
        for (std::size_t i = j + 1; i < n; ++i) {
            double* const to = a.row(i).data();
            const double factor = row[i];
            for (std::size_t k = i; k < n; ++k) to[k] -= factor * row[k];
        }
    }
    for (std::size_t i = 0; i < n; ++i) { // row i of the inverse from the rows before
        double* const to = inverse.row(i).data();
        std::fill_n(to, n, 0.0);
        for (std::size_t j = 0; j < i; ++j) {
            const double factor = a(j, i);
            const double* const before = inverse.row(j).data();
            for (std::size_t k = 0; k <= j; ++k) to[k] -= factor * before[k];
        }
        for (std::size_t k = 0; k < i; ++k) to[k] /= a(i, i);
        to[i] = 1 / a(i, i);
    }
    return true;
}

} // namespace detail

/// U, upper triangular, with UᵀU = H⁻¹, H symmetric.
///
/// With J the reversal of rows and columns: J·H·J = L·Lᵀ, then U = J·L⁻¹·J. What is held is N = L⁻ᵀ, also upper
/// triangular: U(i, j) = N(n − 1 − j, n − 1 − i). It comes a block of columns at a time: rows of L below the block and
/// of N above it are both products with the block's rows of L, of the form x · wᵀ; L lies where N has its zeros. That
/// is 2·n³/3 operations, half of those of a factor, its inverse and the factor of that. Products are float32
/// (kernels/matmul.hpp), blocks on the diagonal double. The bits do not depend on the number of tasks.
class inverse_factor {
public:
    std::size_t size() const noexcept { return size_; }
    /// U(i, j).
    float operator()(std::size_t i, std::size_t j) const noexcept {
        const std::size_t last = size_ - 1;
        return i <= j ? reversed()(last - j, last - i) : 0;
    }
    /// N: zero below the diagonal.
    matrix_view<const float> reversed() const noexcept { return {numbers_.data(), size_, size_, detail::apart(size_)}; }
    /// Bytes of one of so many rows.
    static std::size_t bytes(std::size_t n) noexcept { return n * detail::apart(n) * sizeof(float); }

    /// h(i, j), i ≤ j, is what stands at (i, j) of H; several tasks call it at once.
    /// None where H is not positive definite, as far as this arithmetic can see.
    template <class H>
    static std::optional<inverse_factor> of(std::size_t n, H const& h, unsigned tasks) {
        inverse_factor u(n);
        const auto a = u.view();
        parallel_for(n, [&](std::size_t r) {
            for (std::size_t c = 0; c <= r; ++c) a(r, c) = static_cast<float>(h(n - 1 - r, n - 1 - c));
        });
        if (!factor(a, tasks)) return std::nullopt;
        return u;
    }

private:
    static constexpr std::size_t block = 96;  // columns at once: whole panels of weights of any kernel
    static constexpr std::size_t piece = 384; // rows of one product

    explicit inverse_factor(std::size_t n) : size_(n), numbers_(n * detail::apart(n)) {}
    matrix_view<float> view() noexcept { return {numbers_.data(), size_, size_, detail::apart(size_)}; }

    /// Rows of a product, and the columns from `first_col` to the block's.
    struct part {
        std::size_t row, rows, first_col;
    };

    /// The lower triangle of a, J·H·J, becomes N.
    static bool factor(matrix_view<float> a, unsigned tasks) {
        const std::size_t n = a.rows;
        std::size_t bytes = 0;
        for (std::size_t k = block; k < n; k += block) bytes = std::max(bytes, matmul_bytes(block, k, piece, 1));
        bytes = std::max(bytes, matmul_bytes(block, block, piece, 1));
        std::vector<workspace> scratch;
        std::vector<matrix<float>> sums;
        for (unsigned t = 0; t < tasks; ++t) {
            scratch.emplace_back(bytes);
            sums.emplace_back(piece, block);
        }
        matrix<double> diagonal(block, block), inverse(block, block);
        matrix<float> rounded(block, block);
        std::vector<part> parts;
        const auto each_part = [&](auto const& f) { // parts of a task are as far apart as they can: they differ in size
            parallel_for(std::min<std::size_t>(tasks, parts.size()), [&](std::size_t task) {
                for (std::size_t i = task; i < parts.size(); i += tasks) f(parts[i], scratch[task], sums[task].view());
            });
        };
        for (std::size_t k = 0; k < n; k += block) {
            const std::size_t cols = std::min(block, n - k), end = k + cols;
            const auto l = a.middle_rows(k, cols); // its rows of L
            // Less the products with what came before; N begins with nothing.
            parts.clear();
            for (std::size_t r = 0; r < k; r += piece) parts.push_back({r, std::min(piece, k - r), r});
            for (std::size_t r = k; r < n; r += piece) parts.push_back({r, std::min(piece, n - r), 0});
            if (k > 0)
                each_part([&](part const& p, workspace& own, matrix_view<float> numbers) {
                    const matrix_view<float> y(numbers.data, p.rows, cols);
                    const std::size_t depth = k - p.first_col;
                    matmul(matrix_view<const float>(l.middle_cols(p.first_col, depth)),
                           a.middle_rows(p.row, p.rows).middle_cols(p.first_col, depth), y, own);
                    for (std::size_t r = 0; r < p.rows; ++r) {
                        float* to = &a(p.row + r, k);
                        for (std::size_t c = 0; c < cols; ++c) to[c] -= y(r, c);
                    }
                });
            const auto d = diagonal.view().middle_rows(0, cols).middle_cols(0, cols);
            const auto d_inverse = inverse.view().middle_rows(0, cols).middle_cols(0, cols);
            for (std::size_t r = 0; r < cols; ++r)
                for (std::size_t c = 0; c <= r; ++c) d(c, r) = double{a(k + r, k + c)};
            if (!detail::factor_and_invert(d, d_inverse)) return false;
            for (std::size_t r = 0; r < cols; ++r)
                for (std::size_t c = 0; c < cols; ++c) {
                    rounded(r, c) = static_cast<float>(d_inverse(r, c));
                    a(k + c, k + r) = rounded(r, c);
                }
            for (std::size_t r = k; r < end; ++r) std::fill_n(a.row(r).data(), k, 0.0f); // L has been read here
            // Times the inverse of the block on the diagonal.
            parts.clear();
            for (std::size_t r = 0; r < k; r += piece) parts.push_back({r, std::min(piece, k - r), k});
            for (std::size_t r = end; r < n; r += piece) parts.push_back({r, std::min(piece, n - r), k});
            const matrix_view<const float> w(rounded.data(), cols, cols, block);
            each_part([&](part const& p, workspace& own, matrix_view<float> numbers) {
                const matrix_view<float> y(numbers.data, p.rows, cols);
                const auto x = a.middle_rows(p.row, p.rows).middle_cols(k, cols);
                matmul(w, x, y, own);
                copy_rows(y, x);
            });
        }
        return true;
    }

    std::size_t size_;
    aligned_array<float> numbers_;
};

} // namespace bitlens
