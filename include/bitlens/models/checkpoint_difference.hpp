#pragma once
/// checkpoint_difference: how far two checkpoints of one architecture are apart, of any two kinds.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/dense.hpp"
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/weights.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace bitlens {

/// Where b is not a, of one tensor. A vector is a matrix of one row.
struct tensor_difference {
    struct place {
        std::size_t row, col;
        float a, b;
    };

    std::string name;
    std::size_t rows = 0, cols = 0;
    std::size_t unequal = 0;      ///< numbers; −0 is 0
    double largest = 0, mean = 0; ///< |b − a|
    double relative = 0;          ///< ‖b − a‖ / ‖a‖; infinite where only a is zero
    std::optional<place> first{}; ///< row by row
    std::vector<double> of_rows;  ///< ‖b − a‖ / ‖a‖ of each row, 0 where both are zero

    bool is_equal() const noexcept { return unequal == 0; }
};

/// Shapes: a, b (rows, cols).   Errors: shape_error for different ones.
inline tensor_difference difference_of(std::string name, matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_shape("difference_of", "b", b, a.rows, a.cols);
    tensor_difference d;
    d.name = std::move(name);
    d.rows = a.rows;
    d.cols = a.cols;
    double sum = 0, squares = 0, reference = 0;
    const auto ratio = [](double apart, double of) { return apart == 0 ? 0.0 : std::sqrt(apart / of); };
    for (std::size_t r = 0; r < a.rows; ++r) {
        double row_squares = 0, row_reference = 0;
        for (std::size_t c = 0; c < a.cols; ++c) {
            const float x = a(r, c), y = b(r, c);
            row_reference += double{x} * double{x};
            if (x == y) continue;
            const double apart = std::abs(double{y} - double{x});
            if (!d.first) d.first = tensor_difference::place{r, c, x, y};
            ++d.unequal;
            sum += apart;
            row_squares += apart * apart;
            d.largest = std::max(d.largest, apart);
        }
        d.of_rows.push_back(ratio(row_squares, row_reference));
        squares += row_squares;
        reference += row_reference;
    }
    const std::size_t count = a.rows * a.cols;
    d.mean = count == 0 ? 0 : sum / static_cast<double>(count);
    d.relative = ratio(squares, reference);
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

/// The tensor of that name in two checkpoints.   Errors: as load_floats; shape_error for different shapes.
inline tensor_difference difference_of(checkpoint const& a, checkpoint const& b, std::string const& name,
                                       std::size_t rank) {
    const auto of_a = load_floats(a, name, rank), of_b = load_floats(b, name, rank);
    if (of_a.rows() != of_b.rows() || of_a.cols() != of_b.cols())
        throw shape_error("tensor " + in_quotes(name) + ": " + detail::rows_by_cols(of_a.rows(), of_a.cols()) + " in " +
                          a.path().string() + ", " + detail::rows_by_cols(of_b.rows(), of_b.cols()) + " in " +
                          b.path().string());
    return difference_of(name, of_a.view(), of_b.view());
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
