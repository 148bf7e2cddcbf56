#pragma once
/// stored_linear: what a checkpoint keeps of one weight, in the layout of whoever wrote it.

#include "bitlens/core/error.hpp"
#include "bitlens/formats/coded_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace bitlens {

/// One linear layer's weight, (rows, cols) = (out, in). Each kind is one header that lists its tensors, its rules and
/// what it refuses. Headers of files alone decide what is constructed: numbers are read by read().
class stored_linear {
public:
    /// who: what errors about it begin with.
    stored_linear(std::size_t out, std::size_t in, std::string who) : rows_(out), cols_(in), who_(std::move(who)) {}
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
    /// What was concluded against what is said of it, or what its zeros and order show; empty: nothing. No code is
    /// read.
    virtual std::string conclusion() const { return {}; }
    /// The weight as it is stored. What scales and zeros in 16 bits stand for is what counts, not the arithmetic in
    /// which some kernel multiplies them.
    /// Errors: format_error naming file, tensor and place, also for a weight that is not finite.
    coded_matrix read() const {
        auto m = read_numbers();
        require_finite(m);
        return m;
    }

private:
    /// read(), which then looks at the weights.
    virtual coded_matrix read_numbers() const = 0;

    /// Where the largest number that a group could hold is finite, all are.
    void require_finite(coded_matrix const& m) const {
        float largest = static_cast<float>(1u << m.bits) - 1;
        if (!m.levels.empty())
            largest = std::abs(*std::ranges::max_element(m.levels, {}, [](float x) { return std::abs(x); }));
        for (std::size_t r = 0; r < m.rows(); ++r)
            for (std::size_t g = 0; g < m.groups(); ++g) {
                const float zero = m.zeros.rows() == 0 ? 0.0f : m.zeros(r, g);
                const float offset = m.offsets.rows() == 0 ? 0.0f : m.offsets(r, g);
                if (std::isfinite(std::abs(m.scales(r, g)) * (largest + std::abs(zero)) + std::abs(offset))) continue;
                const std::size_t first = g * m.group_columns, end = std::min(first + m.group_columns, m.cols());
                for (std::size_t k = first; k < end; ++k)
                    if (!std::isfinite(m.value_at(r, k)))
                        throw format_error(who_ + ": row " + std::to_string(r) + " holds a number that is not finite");
            }
    }

    std::size_t rows_, cols_;
    std::string who_;
};

} // namespace bitlens
