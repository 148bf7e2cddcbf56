#pragma once
/// matrix_view (borrowed) and matrix (owned): rows of numbers, the shape that everything between two layers has.

#include "bitlens/core/error.hpp"
#include "bitlens/core/huge_pages.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace bitlens {

/// Alignment of owned numbers in bytes: one cache line, the widest vector register there is.
inline constexpr std::size_t alignment = 64;

/// A borrowed matrix: `rows` rows of `cols` neighbouring numbers, `stride` numbers from one row to the next.
template <class T>
struct matrix_view {
    T* data = nullptr;
    std::size_t rows = 0, cols = 0, stride = 0;

    constexpr matrix_view() = default;
    constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count, std::size_t row_stride) noexcept
        : data(first), rows(row_count), cols(col_count), stride(row_stride) {}
    constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count) noexcept
        : matrix_view(first, row_count, col_count, col_count) {}

    constexpr std::span<T> row(std::size_t r) const noexcept {
        BITLENS_ASSERT(r < rows);
        return {data + r * stride, cols};
    }
    constexpr T& operator()(std::size_t r, std::size_t c) const noexcept {
        BITLENS_ASSERT(r < rows && c < cols);
        return data[r * stride + c];
    }
    /// Rows first … first + count − 1, not copied.
    constexpr matrix_view middle_rows(std::size_t first, std::size_t count) const noexcept {
        BITLENS_ASSERT(first + count <= rows);
        return {data + first * stride, count, cols, stride};
    }
    /// Columns first … first + count − 1, not copied.
    constexpr matrix_view middle_cols(std::size_t first, std::size_t count) const noexcept {
        BITLENS_ASSERT(first + count <= cols);
        return {data + first, rows, count, stride};
    }
    constexpr operator matrix_view<const T>() const noexcept requires(!std::is_const_v<T>) {
        return {data, rows, cols, stride};
    }
};

/// to ← from, which has its shape.
template <class T>
void copy_rows(std::type_identity_t<matrix_view<const T>> from, matrix_view<T> to) noexcept {
    BITLENS_ASSERT(from.rows == to.rows && from.cols == to.cols);
    for (std::size_t r = 0; r < to.rows; ++r) std::copy_n(from.row(r).data(), to.cols, to.row(r).data());
}

/// Numbers on a cache line of their own, zero at first. Move-only: a copy of a weight matrix is never meant by
/// accident. What was moved from is empty.
template <class T>
class aligned_array {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                  "aligned_array holds plain numbers");

public:
    aligned_array() = default;
    explicit aligned_array(std::size_t size) : size_(size) {
        if (size == 0) return;
        if (size > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length();
        const std::size_t bytes = size * sizeof(T);
        const std::align_val_t place{bytes < detail::huge_page ? alignment : detail::huge_page};
        data_ = {static_cast<T*>(::operator new(bytes, place)), free_aligned{place}};
        detail::prefer_huge_pages(data_.get(), bytes);
        std::fill_n(data_.get(), size, T{});
    }
    aligned_array(aligned_array&& other) noexcept
        : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
    aligned_array& operator=(aligned_array&& other) noexcept {
        data_ = std::move(other.data_);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }

    T* data() noexcept { return data_.get(); }
    T const* data() const noexcept { return data_.get(); }
    std::size_t size() const noexcept { return size_; }
    std::span<T> span() noexcept { return {data(), size_}; }
    std::span<const T> span() const noexcept { return {data(), size_}; }
    T& operator[](std::size_t i) noexcept {
        BITLENS_ASSERT(i < size_);
        return data_.get()[i];
    }
    T const& operator[](std::size_t i) const noexcept {
        BITLENS_ASSERT(i < size_);
        return data_.get()[i];
    }

private:
    struct free_aligned {
        std::align_val_t place{alignment};
        void operator()(T* p) const noexcept { ::operator delete(p, place); }
    };
    std::unique_ptr<T, free_aligned> data_;
    std::size_t size_ = 0;
};

/// An owned matrix, zero at first, rows back to back. Move-only; what was moved from has no rows and no columns.
template <class T>
class matrix {
public:
    matrix() = default;
    matrix(std::size_t rows, std::size_t cols) : rows_(rows), cols_(cols), values_(checked_size(rows, cols)) {}
    matrix(matrix&& other) noexcept
        : rows_(std::exchange(other.rows_, 0)), cols_(std::exchange(other.cols_, 0)),
          values_(std::move(other.values_)) {}
    matrix& operator=(matrix&& other) noexcept {
        rows_ = std::exchange(other.rows_, 0);
        cols_ = std::exchange(other.cols_, 0);
        values_ = std::move(other.values_);
        return *this;
    }

    /// From now on it has the first `rows` rows of its memory, which keep their numbers.   Asserted: they fit.
    void use_rows(std::size_t rows) noexcept {
        BITLENS_ASSERT(rows * cols_ <= values_.size());
        rows_ = rows;
    }

    std::size_t rows() const noexcept { return rows_; }
    std::size_t cols() const noexcept { return cols_; }
    T* data() noexcept { return values_.data(); }
    T const* data() const noexcept { return values_.data(); }
    std::span<T> span() noexcept { return values_.span().first(rows_ * cols_); }
    std::span<const T> span() const noexcept { return values_.span().first(rows_ * cols_); }
    std::span<T> row(std::size_t r) noexcept { return view().row(r); }
    std::span<const T> row(std::size_t r) const noexcept { return view().row(r); }
    T& operator()(std::size_t r, std::size_t c) noexcept { return view()(r, c); }
    T const& operator()(std::size_t r, std::size_t c) const noexcept { return view()(r, c); }
    matrix_view<T> view() noexcept { return {data(), rows_, cols_}; }
    matrix_view<const T> view() const noexcept { return {data(), rows_, cols_}; }
    operator matrix_view<T>() noexcept { return view(); }
    operator matrix_view<const T>() const noexcept { return view(); }

private:
    static std::size_t checked_size(std::size_t rows, std::size_t cols) {
        if (cols != 0 && rows > std::numeric_limits<std::size_t>::max() / cols) throw std::bad_array_new_length();
        return rows * cols;
    }
    std::size_t rows_ = 0, cols_ = 0;
    aligned_array<T> values_;
};

} // namespace bitlens
