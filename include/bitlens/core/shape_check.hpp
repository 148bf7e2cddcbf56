#pragma once
/// What a public function checks of its operands, once per call: that they fit each other.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bitlens {

namespace detail {

/// "2 × 3".
inline std::string rows_by_cols(std::size_t rows, std::size_t cols) {
    return std::to_string(rows) + " × " + std::to_string(cols);
}

// Apart from the comparisons, and not compiled into each place: only a mistake comes here.
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_shape(const char* who, const char* what, std::size_t rows,
                                                                std::size_t cols, std::size_t expected_rows,
                                                                std::size_t expected_cols) {
    throw shape_error(std::string(who) + ": " + what + " is " + rows_by_cols(rows, cols) + ", expected " +
                      rows_by_cols(expected_rows, expected_cols));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_size(const char* who, const char* what, std::size_t size,
                                                               std::size_t expected) {
    throw shape_error(std::string(who) + ": " + what + " has " + std::to_string(size) + " elements, expected " +
                      std::to_string(expected));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_range(const char* who, const char* what, std::size_t first,
                                                                std::size_t count, std::size_t size) {
    throw shape_error(std::string(who) + ": " + std::to_string(count) + " " + what + " from " + std::to_string(first) +
                      " on, of " + std::to_string(size));
}

/// Errors: shape_error unless the matrix, a view or one that owns, has so many rows and columns.
inline void check_shape(const char* who, const char* what, std::size_t rows, std::size_t cols,
                        std::size_t expected_rows, std::size_t expected_cols) {
    if (rows != expected_rows || cols != expected_cols)
        refuse_shape(who, what, rows, cols, expected_rows, expected_cols);
}
template <class T>
void check_shape(const char* who, const char* what, matrix_view<T> m, std::size_t expected_rows,
                 std::size_t expected_cols) {
    check_shape(who, what, m.rows, m.cols, expected_rows, expected_cols);
}
/// Errors: shape_error unless there are so many.
inline void check_size(const char* who, const char* what, std::size_t size, std::size_t expected) {
    if (size != expected) refuse_size(who, what, size, expected);
}
/// Errors: shape_error unless first … first + count − 1 are among `size`.
inline void check_range(const char* who, const char* what, std::size_t first, std::size_t count, std::size_t size) {
    if (first > size || count > size - first) refuse_range(who, what, first, count, size);
}

} // namespace detail

/// Errors: shape_error for an id outside 0 … vocabulary − 1, with its position.
inline void check_token_ids(std::span<const std::int32_t> ids, std::size_t vocabulary) {
    for (std::size_t t = 0; t < ids.size(); ++t)
        if (ids[t] < 0 || static_cast<std::size_t>(ids[t]) >= vocabulary)
            throw shape_error("token id " + std::to_string(ids[t]) + " at position " + std::to_string(t) +
                              " is outside the vocabulary of " + std::to_string(vocabulary));
}

} // namespace bitlens
