#pragma once
/// input_hessian: what GPTQ knows of the inputs of a linear layer, Σ over tokens of x · xᵀ.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/quantizers/rows.hpp"
#include "bitlens/simd/transpose.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

/// to(c, r) = from(r, c).
template <class Arch = simd::default_arch>
void transpose_rows(matrix_view<const float> from, matrix_view<float> to) noexcept {
    constexpr std::size_t side = simd::lanes<Arch>;
    const std::size_t rows = from.rows / side * side, cols = from.cols / side * side;
    for (std::size_t c = 0; c < cols; c += side)
        for (std::size_t r = 0; r < rows; r += side)
            simd::transpose<Arch>(from.data + r * from.stride + c, from.stride, to.data + c * to.stride + r, to.stride);
    for (std::size_t c = 0; c < from.cols; ++c)
        for (std::size_t r = c < cols ? rows : 0; r < from.rows; ++r) to(c, r) = from(r, c);
}

} // namespace detail

/// Σ_t x_t · x_tᵀ over the tokens t of all documents, of one linear layer's inputs. Products of a document are float32
/// (kernels/matmul.hpp), their sum over documents is double, in the order of documents: the bits depend neither on the
/// number of tasks nor on how documents are divided over calls. Holds the lower triangle.
class input_hessian {
public:
    explicit input_hessian(std::size_t width) : width_(width), sums_(place_of_strip(strips())) {}

    /// From sums made elsewhere, of which the lower triangle is read.
    /// Errors: shape_error unless it is square, format_error for a sum that is not finite.
    static input_hessian of_sums(matrix_view<const double> sums, std::size_t tokens) {
        detail::check_shape("input_hessian", "the matrix of sums", sums, sums.rows, sums.rows);
        input_hessian all(sums.rows);
        all.tokens_ = tokens;
        for (std::size_t r = 0; r < sums.rows; ++r)
            for (std::size_t c = 0; c <= r; ++c) {
                if (!std::isfinite(sums(r, c)))
                    throw format_error("input_hessian: the sum at row " + std::to_string(r) + ", column " +
                                       std::to_string(c) + " is " + std::to_string(sums(r, c)) +
                                       "; a finite number is expected");
                all.at(r, c) = sums(r, c);
            }
        return all;
    }

    std::size_t width() const noexcept { return width_; }
    std::size_t tokens() const noexcept { return tokens_; }
    std::size_t documents() const noexcept { return documents_; }
    /// Σ_t x_t(i) · x_t(j).
    double sum(std::size_t i, std::size_t j) const noexcept {
        const std::size_t r = std::max(i, j), c = std::min(i, j);
        return sums_[place_of(r) + c];
    }
    /// Σ_t x_t(i) · x_t(j) for j = 0 … i.
    std::span<const double> row(std::size_t i) const noexcept { return sums_.span().subspan(place_of(i), i + 1); }
    /// Bytes of the sums of inputs of such a width.
    static std::size_t bytes(std::size_t width) noexcept {
        const std::size_t strips = (width + strip - 1) / strip;
        return strips * (strips + 1) / 2 * strip * strip * sizeof(double);
    }

    /// Adds documents: of each, the inputs of all its tokens.   Shapes: (tokens, width).
    /// Errors: shape_error for another width; format_error for an input that is NaN or infinite, or too large for its
    /// square, and names the document (counted over all calls), token and column. Nothing has been added then.
    void add(std::span<const matrix_view<const float>> documents, unsigned tasks) {
        if (tasks == 0) throw option_error("input_hessian: 0 tasks, expected at least 1");
        for (auto const& x : documents) detail::check_shape("input_hessian", "x", x, x.rows, width_);
        parallel_for(documents.size(), [&](std::size_t d) { check_document(documents[d], documents_ + d); });
        buffers room;
        for (std::size_t first = 0, count = 0; first < documents.size(); first += count) {
            std::size_t tokens = 0;
            for (count = 0; first + count < documents.size(); ++count) {
                tokens += documents[first + count].rows;
                if (count > 0 && tokens > most_tokens && tokens * width_ > most_numbers) break;
            }
            add_some(documents.subspan(first, count), room, tasks);
        }
        for (auto const& x : documents) tokens_ += x.rows;
        documents_ += documents.size();
    }

private:
    static constexpr std::size_t strip = 192;              // rows of sums at once: whole panels of any kernel
    static constexpr std::size_t tile_columns = 4 * strip; // of which so many columns stay in a cache
    // Documents whose sums are added up at once have more than so many tokens, or numbers, only if they are one.
    static constexpr std::size_t most_tokens = 512, most_numbers = std::size_t{1} << 20;

    std::size_t strips() const noexcept { return (width_ + strip - 1) / strip; }
    /// Row r has room for the columns up to the end of its strip.
    static std::size_t place_of_strip(std::size_t s) noexcept { return s * (s + 1) / 2 * strip * strip; }
    static std::size_t place_of(std::size_t r) noexcept {
        const std::size_t s = r / strip;
        return place_of_strip(s) + r % strip * (s + 1) * strip;
    }
    double& at(std::size_t r, std::size_t c) noexcept { return sums_[place_of(r) + c]; }

    /// Rows of a transposed document begin on a cache line, and not at a power of two from one another.
    static std::size_t stride_of(std::size_t tokens) noexcept {
        constexpr std::size_t line = alignment / sizeof(float);
        return ((tokens + line - 1) / line | 1) * line;
    }

    static void check_document(matrix_view<const float> x, std::size_t document) {
        // Sums of x² stay finite for numbers below this.
        const float most = std::sqrt(std::numeric_limits<float>::max() / 2 / static_cast<float>(x.rows + 1));
        for (std::size_t t = 0; t < x.rows; ++t) {
            if (detail::largest_magnitude(x.row(t)) < most) continue;
            for (std::size_t c = 0; c < x.cols; ++c) {
                const float v = x(t, c);
                if (std::abs(v) < most) continue;
                throw format_error("input_hessian: the input of document " + std::to_string(document) + ", token " +
                                   std::to_string(t) + ", column " + std::to_string(c) + " is " + std::to_string(v) +
                                   (std::isfinite(v) ? "; its square is more than float32 can hold"
                                                     : "; a finite number is expected"));
            }
        }
    }

    /// A part of the sums that a task computes: of the columns, those of its last row and before.
    struct tile {
        std::size_t row, rows, col, cols;
    };
    std::vector<tile> tiles() const {
        std::vector<tile> all;
        const std::size_t height = width_ < 2048 ? strip / 4 : strip; // of narrow sums every task shall have some
        for (std::size_t r = 0; r < width_; r += height) {
            const std::size_t end = std::min(width_, r + height);
            for (std::size_t c = 0; c < end; c += tile_columns)
                all.push_back({r, end - r, c, std::min(tile_columns, end - c)});
        }
        return all;
    }

    /// A document as both operands of the product of xᵀ with itself.
    struct operands {
        matrix_view<const float> x;
        detail::matmul_plan plan;      // of xᵀ
        matrix_view<float> transposed; // (width, tokens)
        packed_element* panels;

        /// Columns first … first + count − 1 of it; first is a multiple of a strip.
        void take_over(std::size_t first, std::size_t count) const {
            detail::transpose_rows(x.middle_cols(first, count), transposed.middle_rows(first, count));
            const std::size_t height = plan.kernel.panel_rows;
            for (std::size_t k = 0; k < x.rows; k += plan.depth)
                for (std::size_t c = first; c < first + count; c += height)
                    plan.kernel.pack_transposed(&x(k, c), x.stride, std::min(height, first + count - c),
                                                std::min(plan.depth, x.rows - k), panels + plan.place(x.cols, c, k));
        }
        /// y = (columns from `row` on)ᵀ · (columns from `col` on); col is a multiple of a strip.
        void multiply(std::size_t row, std::size_t col, matrix_view<float> y, workspace& scratch) const {
            const auto* first = panels + col / plan.kernel.panel_rows * plan.panel_elements;
            detail::multiply(plan.kernel, {.laid_out = first, .rows = x.cols}, transposed.middle_rows(row, y.rows), y,
                             scratch);
        }
    };

    /// Memory of the operands, which grows to what is needed at once.
    struct buffers {
        aligned_array<float> transposed;
        aligned_array<packed_element> panels;

        std::vector<operands> lay_out(std::span<const matrix_view<const float>> documents) {
            std::vector<operands> all;
            std::size_t floats = 0, elements = 0;
            for (auto const& x : documents) {
                if (x.rows == 0) continue;
                all.push_back({x, {micro_kernel_of(arithmetic::f32), x.rows}, {}, nullptr});
                floats += x.cols * stride_of(x.rows);
                elements += all.back().plan.elements(x.cols);
            }
            if (transposed.size() < floats) transposed = aligned_array<float>(floats);
            if (panels.size() < elements) panels = aligned_array<packed_element>(elements);
            float* to = transposed.data();
            packed_element* panel = panels.data();
            for (operands& one : all) {
                one.transposed = {to, one.x.cols, one.x.rows, stride_of(one.x.rows)};
                one.panels = panel;
                to += one.x.cols * one.transposed.stride;
                panel += one.plan.elements(one.x.cols);
            }
            return all;
        }
    };

    void add_some(std::span<const matrix_view<const float>> documents, buffers& room, unsigned tasks) {
        const auto both = room.lay_out(documents);
        std::size_t bytes = 0;
        for (operands const& document : both)
            bytes = std::max(bytes, matmul_bytes(tile_columns, document.x.rows, strip, 1));
        parallel_for(both.size() * strips(), [&](std::size_t i) {
            const std::size_t first = i % strips() * strip;
            both[i / strips()].take_over(first, std::min(strip, width_ - first));
        });
        const auto all = tiles();
        const std::size_t pieces = both.empty() ? 0 : std::min<std::size_t>(tasks, all.size());
        parallel_for(pieces, [&](std::size_t piece) {
            workspace scratch(bytes + workspace::bytes_for<float>(strip * tile_columns));
            workspace::frame frame(scratch);
            const auto numbers = frame.take<float>(strip * tile_columns);
            for (std::size_t i = piece; i < all.size(); i += pieces) {
                auto const& [row, rows, col, cols] = all[i];
                const matrix_view<float> products(numbers.data(), rows, cols);
                for (operands const& document : both) {
                    document.multiply(row, col, products, scratch);
                    for (std::size_t r = 0; r < rows; ++r) {
                        double* to = &at(row + r, col);
                        const float* from = products.row(r).data();
                        for (std::size_t c = 0; c < cols; ++c) to[c] += double{from[c]};
                    }
                }
            }
        });
    }

    std::size_t width_, tokens_ = 0, documents_ = 0;
    aligned_array<double> sums_;
};

} // namespace bitlens
