#pragma once
/// packed_matrix: a weight matrix stored in a format, low-bit or dense.

#include "bitlens/core/view.hpp"
#include "bitlens/formats/code_chunk.hpp"
#include "bitlens/formats/dense.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// A matrix of weights in format F.
template <class F>
class packed_matrix {
    static_assert(weight_format<F>,
                  "bitlens: packed_matrix<F>: F is a format, such as uniform<3, 64>, normal_float<4, 64> "
                  "or dense<float>");
};

namespace detail {

/// a · b as a size in bytes, of a matrix whose format has this name.   Errors: shape_error when it does not fit.
inline std::size_t checked_size(std::size_t a, std::size_t b, std::string (*format)()) {
    if (b != 0 && a > std::numeric_limits<std::size_t>::max() / b)
        throw shape_error(format() + " matrix: " + std::to_string(a) + " × " + std::to_string(b) +
                          " is more than memory can hold");
    return a * b;
}

} // namespace detail

/// Whether scale · n is exact in float32 for every integer n < 2^bits.
constexpr bool has_exact_products(float scale, int bits) noexcept {
    const std::uint32_t significand = std::bit_cast<std::uint32_t>(scale) | std::uint32_t{1} << 23;
    return std::countr_zero(significand) >= bits;
}

/// A row of a packed matrix to be written, place by place.
struct row_storage {
    std::uint8_t* codes;       ///< chunks of them
    std::span<float> scales;   ///< of every group
    std::uint8_t* zeros;       ///< of every group, or none
    float* offsets;            ///< of every group, or none
    std::size_t group_columns; ///< of every group but a short last one
};

namespace detail {

/// What packed matrices of all formats hold: those that differ in group size alone are written by the same code. Made,
/// moved and freed by functions that they share and that are not compiled into each place: a variant of many formats
/// has hundreds.
struct packed_arrays {
    std::size_t rows, cols, group_columns, groups, row_bytes;
    aligned_array<std::uint8_t> codes;
    aligned_array<float> scales;
    aligned_array<std::uint8_t> zeros;
    aligned_array<float> offsets;
    std::vector<std::uint32_t> order, places; // the column of each place, the place of each column; or none

    /// group_size: 0 for a whole row.   Errors: shape_error when memory cannot hold the matrix.
    [[gnu::noinline]] packed_arrays(std::size_t row_count, std::size_t col_count, std::size_t group_size,
                                    std::size_t chunk_bytes, bool has_zeros, bool has_offsets, std::string (*format)())
        : rows(row_count), cols(col_count), group_columns(group_size == 0 ? cols : group_size),
          groups(cols == 0 ? 0 : (cols + group_columns - 1) / group_columns),
          row_bytes((cols + chunk_codes - 1) / chunk_codes * chunk_bytes), codes(checked_size(rows, row_bytes, format)),
          scales(checked_size(rows, groups * sizeof(float), format) / sizeof(float)),
          zeros(has_zeros ? rows * groups : 0), offsets(has_offsets ? rows * groups : 0) {}
    [[gnu::noinline]] packed_arrays(packed_arrays&&) noexcept = default;
    [[gnu::noinline]] packed_arrays& operator=(packed_arrays&&) noexcept = default;
    [[gnu::noinline]] ~packed_arrays() = default;

    /// Row r for writing.
    row_storage row(std::size_t r) noexcept {
        BITLENS_ASSERT(r < rows);
        return {codes.data() + r * row_bytes, scales.span().subspan(r * groups, groups),
                zeros.size() == 0 ? nullptr : zeros.data() + r * groups,
                offsets.size() == 0 ? nullptr : offsets.data() + r * groups, group_columns};
    }

    /// Errors: shape_error for another number of places than columns, format_error for what is no permutation.
    [[gnu::noinline]] void set_order(std::vector<std::uint32_t> columns, std::string (*format)()) {
        const auto refuse = [&](std::string const& what) { return format() + " matrix: its order " + what; };
        if (columns.size() != cols)
            throw shape_error(refuse("has " + std::to_string(columns.size()) + " places, expected one for each of " +
                                     std::to_string(cols) + " columns"));
        constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
        std::vector<std::uint32_t> inverse(cols, none);
        for (std::size_t k = 0; k < cols; ++k) {
            const std::uint32_t c = columns[k];
            if (c >= cols)
                throw format_error(refuse("has column " + std::to_string(c) + " at place " + std::to_string(k) +
                                          ", expected one of " + std::to_string(cols) + " columns"));
            if (inverse[c] != none)
                throw format_error(refuse("has column " + std::to_string(c) + " at place " + std::to_string(k) +
                                          " and at place " + std::to_string(inverse[c]) +
                                          "; each column is expected once"));
            inverse[c] = static_cast<std::uint32_t>(k);
        }
        order = std::move(columns);
        places = std::move(inverse);
    }
};

} // namespace detail

/// Codes, scales and zeros or offsets of a (rows, cols) matrix; a row has ⌈cols/32⌉ chunks of codes and
/// ⌈cols/group_size⌉ groups. All of them are 0 at first. Different rows may be written by different threads.
/// Column c lies at place c of every row, or where an order puts it: place k then holds column order[k], and a group is
/// of neighbouring places (GPTQ quantizes columns by falling importance). Who reads a weight speaks of columns.
/// Errors: shape_error when a format of whole groups gets a short last one.
template <quant_format F>
class packed_matrix<F> {
public:
    using format = F;

    packed_matrix(std::size_t rows, std::size_t cols)
        : own_(rows, checked_cols(cols), F::group_size, chunk::bytes, F::has_zero, detail::has_offset<F>,
               &format_name<F>) {}

    std::size_t rows() const noexcept { return own_.rows; }
    std::size_t cols() const noexcept { return own_.cols; }
    std::size_t groups() const noexcept { return own_.groups; }
    /// The group of column c.
    std::size_t group_of(std::size_t c) const noexcept {
        if constexpr (F::group_size == 0)
            return 0;
        else
            return place_of(c) / F::group_size;
    }

    /// The column of each place; none where each lies at its own.
    std::span<const std::uint32_t> order() const noexcept { return own_.order; }
    /// What lies at place k is column order[k] from now on: codes stay where they are.
    /// Errors: shape_error for another number of places than columns, format_error for what is no permutation.
    void set_order(std::vector<std::uint32_t> order) { own_.set_order(std::move(order), &format_name<F>); }
    /// The place of column c.
    std::size_t place_of(std::size_t c) const noexcept {
        BITLENS_ASSERT(c < own_.cols);
        return own_.places.empty() ? c : own_.places[c];
    }
    /// The place of each column; none where each lies at its own.
    std::span<const std::uint32_t> places() const noexcept { return own_.places; }

    std::uint8_t code(std::size_t r, std::size_t c) const noexcept { return code_at(r, place_of(c)); }
    /// q < 2^bits is asserted.
    void set_code(std::size_t r, std::size_t c, std::uint8_t q) noexcept { set_code_at(r, place_of(c), q); }
    /// The code at place k of row r.
    std::uint8_t code_at(std::size_t r, std::size_t k) const noexcept {
        BITLENS_ASSERT(r < own_.rows && k < own_.cols);
        return chunk::get(codes(r).data() + k / chunk_codes * chunk::bytes, k % chunk_codes);
    }
    void set_code_at(std::size_t r, std::size_t k, std::uint8_t q) noexcept {
        BITLENS_ASSERT(r < own_.rows && k < own_.cols && q < F::codebook.size());
        chunk::set(own_.codes.data() + r * own_.row_bytes + k / chunk_codes * chunk::bytes, k % chunk_codes, q);
    }
    float scale(std::size_t r, std::size_t g) const noexcept { return scales(r)[g]; }
    /// In a format with offsets, has_exact_products(s, bits) is asserted.
    void set_scale(std::size_t r, std::size_t g, float s) noexcept {
        BITLENS_ASSERT(r < own_.rows && g < own_.groups);
        BITLENS_ASSERT(!detail::has_offset<F> || has_exact_products(s, F::bits));
        own_.scales[r * own_.groups + g] = s;
    }
    std::uint8_t zero(std::size_t r, std::size_t g) const noexcept requires(F::has_zero) { return zeros(r)[g]; }
    void set_zero(std::size_t r, std::size_t g, std::uint8_t z) noexcept requires(F::has_zero) {
        BITLENS_ASSERT(r < own_.rows && g < own_.groups);
        own_.zeros[r * own_.groups + g] = z;
    }

    float offset(std::size_t r, std::size_t g) const noexcept requires(detail::has_offset<F>) { return offsets(r)[g]; }
    void set_offset(std::size_t r, std::size_t g, float o) noexcept requires(detail::has_offset<F>) {
        BITLENS_ASSERT(r < own_.rows && g < own_.groups);
        own_.offsets[r * own_.groups + g] = o;
    }

    /// fl32(scale · (codebook[code] − zero) + offset): what this weight is; every kernel multiplies with these numbers.
    float value(std::size_t r, std::size_t c) const noexcept {
        const std::size_t g = group_of(c);
        const float level = F::codebook[code(r, c)];
        if constexpr (F::has_zero)
            return scale(r, g) * (level - static_cast<float>(zero(r, g)));
        else if constexpr (detail::has_offset<F>)
            return scale(r, g) * level + offset(r, g);
        else
            return scale(r, g) * level;
    }

    /// Bytes of codes, scales, zeros and offsets, and of columns and places where there is an order.
    std::size_t bytes() const noexcept {
        return own_.codes.size() + (own_.scales.size() + own_.offsets.size()) * sizeof(float) + own_.zeros.size() +
               (own_.order.size() + own_.places.size()) * sizeof(std::uint32_t);
    }

    /// The chunks of row r, one after the other, by place.
    std::span<const std::uint8_t> codes(std::size_t r) const noexcept {
        BITLENS_ASSERT(r < own_.rows);
        return {own_.codes.data() + r * own_.row_bytes, own_.row_bytes};
    }
    std::span<const float> scales(std::size_t r) const noexcept {
        BITLENS_ASSERT(r < own_.rows);
        return {own_.scales.data() + r * own_.groups, own_.groups};
    }
    std::span<const std::uint8_t> zeros(std::size_t r) const noexcept requires(F::has_zero) {
        BITLENS_ASSERT(r < own_.rows);
        return {own_.zeros.data() + r * own_.groups, own_.groups};
    }
    std::span<const float> offsets(std::size_t r) const noexcept requires(detail::has_offset<F>) {
        BITLENS_ASSERT(r < own_.rows);
        return {own_.offsets.data() + r * own_.groups, own_.groups};
    }
    /// All of it, to be written or stored.
    detail::packed_arrays& arrays() noexcept { return own_; }
    detail::packed_arrays const& arrays() const noexcept { return own_; }

private:
    using chunk = code_chunk<F::bits>;

    static std::size_t checked_cols(std::size_t cols) {
        if constexpr (F::group_size != 0 && detail::whole_groups_only<F>)
            if (cols % F::group_size != 0)
                throw shape_error(format_name<F>() + " matrix: " + std::to_string(cols) +
                                  " columns; a multiple of the group size " + std::to_string(F::group_size) +
                                  " is expected");
        return cols;
    }

    detail::packed_arrays own_;
};

/// Numbers of a (rows, cols) matrix: its own, zero at first, or borrowed from whatever `owner` keeps alive.
template <dense_format F>
class packed_matrix<F> {
public:
    using format = F;
    using value_type = typename F::value_type;

    packed_matrix(std::size_t rows, std::size_t cols) {
        detail::checked_size(rows, detail::checked_size(cols, sizeof(value_type), &format_name<F>), &format_name<F>);
        auto own = std::make_shared<matrix<value_type>>(rows, cols);
        writable_ = own->data();
        view_ = std::as_const(*own).view();
        owner_ = std::move(own);
    }
    /// Borrows the numbers of a mapped file. Errors: shape_error when rows overlap.
    packed_matrix(std::shared_ptr<const void> owner, matrix_view<const value_type> numbers)
        : owner_(std::move(owner)), view_(numbers) {
        if (view_.stride < view_.cols)
            throw shape_error(format_name<F>() + " matrix: rows of " + std::to_string(view_.cols) + " numbers, " +
                              std::to_string(view_.stride) + " from one to the next");
    }
    packed_matrix(packed_matrix&&) noexcept = default;
    packed_matrix& operator=(packed_matrix&&) noexcept = default;

    std::size_t rows() const noexcept { return view_.rows; }
    std::size_t cols() const noexcept { return view_.cols; }
    std::size_t bytes() const noexcept { return rows() * cols() * sizeof(value_type); }
    float value(std::size_t r, std::size_t c) const noexcept { return static_cast<float>(view_(r, c)); }
    std::span<const value_type> row(std::size_t r) const noexcept { return view_.row(r); }
    value_type const* data() const noexcept { return view_.data; }
    matrix_view<const value_type> view() const noexcept { return view_; }

    /// Row r for writing.   Errors: bitlens::error where the numbers are borrowed.
    std::span<value_type> writable_row(std::size_t r) {
        BITLENS_ASSERT(r < rows());
        if (writable_ == nullptr)
            throw error(format_name<F>() + " matrix: its numbers are borrowed, only a matrix of its own is written");
        return {writable_ + r * view_.stride, view_.cols};
    }

private:
    std::shared_ptr<const void> owner_;
    value_type* writable_ = nullptr;
    matrix_view<const value_type> view_;
};

template <class W>
inline constexpr bool is_packed_matrix = false;
template <weight_format F>
inline constexpr bool is_packed_matrix<packed_matrix<F>> = true;

} // namespace bitlens
