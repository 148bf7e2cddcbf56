#pragma once
/// checkpoint_difference: how far two checkpoints of one architecture are apart, of any two kinds.

#include "bitlens/core/error.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/dense.hpp"
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/weights.hpp"
#include "bitlens/quantizers/rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace bitlens {

/// What is odd in one of two matrices and not in the other: rows that are all zero, and blocks of 32 neighbouring
/// numbers, from a multiple of 32 on, that are one number other than zero.
struct odd_numbers {
    std::size_t zero_rows = 0, constant_blocks = 0;
    std::size_t first_zero_row = 0;                             ///< if there is one
    std::size_t first_constant_row = 0, first_constant_col = 0; ///< if there is one

    bool any() const noexcept { return zero_rows + constant_blocks != 0; }
};

/// Where b is not a, of one tensor. A vector is a matrix of one row.
struct tensor_difference {
    struct place {
        std::size_t row, col;
        float a, b;

        double apart() const noexcept { return std::abs(double{b} - double{a}); }
    };

    std::string name;
    std::size_t rows = 0, cols = 0;
    std::size_t unequal = 0;        ///< numbers; −0 is 0
    std::optional<place> first{};   ///< row by row
    std::optional<place> largest{}; ///< |b − a|; the first of equal ones
    double mean = 0;                ///< |b − a|
    double relative = 0;            ///< ‖b − a‖ / ‖a‖; infinite where only a is zero
    std::vector<double> of_rows{};  ///< ‖b − a‖ / ‖a‖ of each row, 0 where both are zero
    odd_numbers in_a{}, in_b{};

    bool is_equal() const noexcept { return unequal == 0; }
    double largest_apart() const noexcept { return largest ? largest->apart() : 0; }
};

namespace detail {

/// ‖b − a‖ / ‖a‖, of their squares.
inline double error_ratio(double apart, double of) noexcept { return apart == 0 ? 0.0 : std::sqrt(apart / of); }

/// One row of a tensor_difference.
struct row_difference {
    std::size_t unequal = 0;
    std::optional<tensor_difference::place> first{}, largest{};
    double sum = 0, squares = 0, reference = 0;
    odd_numbers in_a{}, in_b{};
};

inline bool is_constant(std::span<const float> x) noexcept {
    return std::ranges::all_of(x, [&](float v) { return v == x.front(); });
}

inline row_difference row_difference_of(std::size_t r, std::span<const float> a, std::span<const float> b) noexcept {
    constexpr std::size_t block = 32;
    row_difference d;
    for (std::size_t c = 0; c < a.size(); ++c) {
        d.reference += double{a[c]} * double{a[c]};
        if (a[c] == b[c]) continue;
        const tensor_difference::place here{r, c, a[c], b[c]};
        if (!d.first) d.first = here;
        if (!d.largest || here.apart() > d.largest->apart()) d.largest = here;
        ++d.unequal;
        d.sum += here.apart();
        d.squares += here.apart() * here.apart();
    }
    if (d.unequal == 0) return d;
    const auto is_zero = [](std::span<const float> x) {
        return std::ranges::all_of(x, [](float v) { return v == 0; });
    };
    const bool a_is_zero = is_zero(a), b_is_zero = is_zero(b);
    d.in_a.zero_rows = a_is_zero && !b_is_zero;
    d.in_b.zero_rows = b_is_zero && !a_is_zero;
    for (std::size_t c = 0; c + block <= a.size(); c += block) {
        const auto of_a = a.subspan(c, block), of_b = b.subspan(c, block);
        const bool constant_a = is_constant(of_a), constant_b = is_constant(of_b);
        if (constant_a == constant_b || (constant_a ? of_a : of_b).front() == 0) continue;
        odd_numbers& odd = constant_a ? d.in_a : d.in_b;
        if (odd.constant_blocks++ == 0) odd.first_constant_col = c;
    }
    return d;
}

inline void add_row(odd_numbers& to, std::size_t r, odd_numbers const& row) noexcept {
    if (to.zero_rows == 0 && row.zero_rows != 0) to.first_zero_row = r;
    if (to.constant_blocks == 0 && row.constant_blocks != 0) {
        to.first_constant_row = r;
        to.first_constant_col = row.first_constant_col;
    }
    to.zero_rows += row.zero_rows;
    to.constant_blocks += row.constant_blocks;
}

} // namespace detail

/// The same for any number of threads.
/// Shapes: a, b (rows, cols), finite.   Errors: shape_error for different ones.
inline tensor_difference difference_of(std::string name, matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_shape("difference_of", "b", b, a.rows, a.cols);
    tensor_difference d;
    d.name = std::move(name);
    d.rows = a.rows;
    d.cols = a.cols;
    std::vector<detail::row_difference> rows(a.rows);
    detail::for_each_row(a, [&](std::size_t r) { rows[r] = detail::row_difference_of(r, a.row(r), b.row(r)); });
    double sum = 0, squares = 0, reference = 0;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        auto const& row = rows[r];
        if (!d.first) d.first = row.first;
        if (row.largest && (!d.largest || row.largest->apart() > d.largest->apart())) d.largest = row.largest;
        d.unequal += row.unequal;
        sum += row.sum;
        squares += row.squares;
        reference += row.reference;
        d.of_rows.push_back(detail::error_ratio(row.squares, row.reference));
        detail::add_row(d.in_a, r, row.in_a);
        detail::add_row(d.in_b, r, row.in_b);
    }
    const std::size_t count = a.rows * a.cols;
    d.mean = count == 0 ? 0 : sum / static_cast<double>(count);
    d.relative = detail::error_ratio(squares, reference);
    return d;
}

/// A tensor of a checkpoint, of rank 1 or 2, as floats.   Errors: as load_matrix and load_vector.
inline packed_matrix<dense<float>> load_floats(checkpoint const& source, std::string const& name, std::size_t rank) {
    if (rank == 2) return source.load_matrix<packed_matrix<dense<float>>>(name);
    const auto values = source.load_vector(name);
    packed_matrix<dense<float>> row(1, values.size());
    std::ranges::copy(values, row.writable_row(0).begin());
    return row;
}

/// What is not the same beside the numbers of blocks of the same shape: what a model of one's blocks within the other
/// leaves out of account, in words.
/// Errors: format_error where blocks have another form, shape or number.
inline std::vector<std::string> setting_differences(checkpoint const& full, checkpoint const& other) {
    model_config const &a = full.config(), &b = other.config();
    const auto refuse = [&](std::string const& what, std::string const& of_a, std::string const& of_b) {
        throw format_error(other.path().string() + ": " + what + " " + of_b + ", that of " + full.path().string() +
                           " " + of_a + "; a model of the same architecture and sizes is expected");
    };
    if (full.family().form != other.family().form) refuse("architecture", a.architecture, b.architecture);
    for (auto const& [what, x, y] :
         {std::tuple{"layers", a.layers, b.layers}, std::tuple{"width", a.block.width, b.block.width},
          std::tuple{"heads", a.block.heads, b.block.heads}, std::tuple{"KV heads", a.block.kv_heads, b.block.kv_heads},
          std::tuple{"head dimension", a.block.head_dim, b.block.head_dim},
          std::tuple{"MLP width", a.block.ffn_width, b.block.ffn_width}})
        if (x != y) refuse(what, std::to_string(x), std::to_string(y));
    if (a.block.biases != b.block.biases) refuse("the set of biases is", "another", "one");
    std::vector<std::string> differences;
    const auto note = [&](bool differs, char const* what) {
        if (differs)
            differences.push_back(std::string(what) + " of " + other.path().string() +
                                  " differ from those of the full model");
    };
    if (a.vocabulary != b.vocabulary)
        differences.push_back("the vocabulary of " + other.path().string() + " has " + std::to_string(b.vocabulary) +
                              " rows, the full model's " + std::to_string(a.vocabulary));
    note(std::abs(a.block.norm_eps - b.block.norm_eps) > 1e-3f * a.block.norm_eps, "the epsilons of norms");
    note(a.embedding_scale != b.embedding_scale, "the scales of embeddings");
    note(a.ropes.size() != b.ropes.size() || a.ropes.front().theta != b.ropes.front().theta, "the rotary angles");
    return differences;
}

} // namespace bitlens
