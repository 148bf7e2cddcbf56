#pragma once
/// stored_linear: what a checkpoint keeps of one weight, in the layout of whoever wrote it.

#include "bitlens/formats/coded_matrix.hpp"

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>

namespace bitlens {

/// One linear layer's weight, (rows, cols) = (out, in). Each kind is one header that lists its tensors, its rules and
/// what it refuses. Headers of files alone decide what is constructed: numbers are read by read().
class stored_linear {
public:
    stored_linear(std::size_t out, std::size_t in) noexcept : rows_(out), cols_(in) {}
    stored_linear(stored_linear const&) = delete;
    stored_linear& operator=(stored_linear const&) = delete;
    virtual ~stored_linear() = default;

    std::size_t rows() const noexcept { return rows_; }
    std::size_t cols() const noexcept { return cols_; }
    /// Short, as reports print it: "GPTQ 4-bit g128 act order".
    virtual std::string type() const = 0;
    /// Bytes on disk.
    virtual std::size_t bytes() const = 0;
    /// One row that stands for every row of read(): its numbers mean nothing, the rest decides which format holds the
    /// matrix before a number is read. Nothing where only the numbers tell.
    virtual std::optional<coded_matrix> form() const { return std::nullopt; }
    /// The weight as it is stored. What scales and zeros in 16 bits stand for is what counts, not the arithmetic in
    /// which some kernel multiplies them.
    /// Errors: format_error naming file, tensor and place.
    virtual coded_matrix read() const = 0;

private:
    std::size_t rows_, cols_;
};

} // namespace bitlens
