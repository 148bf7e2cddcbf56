#pragma once
/// gguf_blocks_of: a matrix in codes as numbers or blocks of a GGUF file that hold it exactly.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/gguf_blocks.hpp"
#include "bitlens/report/number_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// One matrix on its way into blocks, or into numbers.
class gguf_block_writer {
public:
    gguf_block_writer(coded_matrix const& m, gguf_block_type const& type, std::string who)
        : m_(m), type_(type), who_(std::move(who)) {}

    std::vector<std::byte> write() const {
        if (type_.name == "F32") return numbers<float>();
        if (type_.name == "F16") return numbers<f16>();
        if (type_.name == "BF16") return numbers<bf16>();
        if (type_.parts == nullptr || type_.parts->put_together == nullptr)
            throw option_error(who_ + ": tensors of type " + std::string(type_.name) +
                               " are not written; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 are");
        return blocks();
    }

private:
    [[noreturn]] void refuse(std::string const& what) const {
        throw shape_error(who_ + ": " + std::string(type_.name) + " does not hold it exactly: " + what);
    }
    static std::string place(std::size_t r, std::size_t c) {
        return "row " + std::to_string(r) + ", column " + std::to_string(c);
    }

    template <class T>
    std::vector<std::byte> numbers() const {
        std::vector<std::byte> bytes(m_.rows() * m_.cols() * sizeof(T));
        std::vector<float> row(m_.cols());
        std::byte* to = bytes.data();
        for (std::size_t r = 0; r < m_.rows(); ++r) {
            m_.read_row(r, row);
            for (std::size_t c = 0; c < row.size(); ++c, to += sizeof(T)) {
                const T x(row[c]);
                if (static_cast<float>(x) != row[c])
                    refuse(place(r, c) + ": " + exact_text(double{row[c]}) + " has more bits");
                std::memcpy(to, &x, sizeof(T));
            }
        }
        return bytes;
    }

    std::vector<std::byte> blocks() const {
        const std::size_t group = type_.parts->group, columns = m_.cols();
        if (columns % group != 0)
            refuse(std::to_string(columns) + " columns are no multiple of its groups of " + std::to_string(group));
        if (m_.groups() > 1 && m_.group_columns % group != 0)
            refuse("groups of " + std::to_string(m_.group_columns) + " columns are not made of its groups of " +
                   std::to_string(group));
        if (!std::ranges::is_sorted(m_.order)) refuse("its columns lie in an order of their own");
        std::vector<std::byte> bytes(m_.rows() * columns / group * type_.bytes);
        std::byte* to = bytes.data();
        for (std::size_t r = 0; r < m_.rows(); ++r)
            for (std::size_t first = 0; first < columns; first += group, to += type_.bytes) block(r, first, to);
        return bytes;
    }

    /// Levels of these types are neighbouring integers: a code is moved to the one of the same level, or of the same
    /// distance from the least.
    void block(std::size_t r, std::size_t first, std::byte* to) const {
        auto const& parts = *type_.parts;
        const std::size_t g = first / m_.group_columns;
        const float scale = m_.scales(r, g), zero = m_.zeros.rows() == 0 ? 0.0f : m_.zeros(r, g);
        const float offset = m_.offsets.rows() == 0 ? 0.0f : m_.offsets(r, g);
        const float least = parts.has_offsets ? least_level() : zero + parts.levels[0]; // the level of the first code
        const float shifted = scale * (least - zero) + offset, minimum = parts.has_offsets ? shifted : 0.0f;
        const f16 d(scale), m(minimum);
        if (static_cast<float>(d) != scale) refuse_half(r, first, "scale", scale);
        if (static_cast<float>(m) != minimum) refuse_half(r, first, "minimum", minimum);
        std::array<std::uint8_t, 32> codes;
        for (std::size_t i = 0; i < parts.group; ++i) {
            const float code = m_.level(m_.codes(r, first + i)) - least;
            const bool is_there = code >= 0 && code < static_cast<float>(parts.levels.size());
            codes[i] = static_cast<std::uint8_t>(is_there ? code : -parts.levels[0]);
            const float held = static_cast<float>(d) * parts.levels[codes[i]],
                        stored = parts.has_offsets ? held + static_cast<float>(m) : held;
            if (const float w = m_.value_at(r, first + i); stored != w)
                refuse(place(r, first + i) + ": " + exact_text(double{w}) + " lies on none of its levels");
        }
        parts.put_together(codes.data(), d, m, to);
    }
    [[noreturn]] void refuse_half(std::size_t r, std::size_t first, std::string const& what, float x) const {
        refuse("row " + std::to_string(r) + ", columns from " + std::to_string(first) + " on: the " + what + ' ' +
               exact_text(double{x}) + " is no number of 16 bits");
    }

    float least_level() const { return m_.levels.empty() ? 0.0f : *std::ranges::min_element(m_.levels); }

    coded_matrix const& m_;
    gguf_block_type const& type_;
    std::string who_;
};

} // namespace detail

/// Rows of m as F32, F16 or BF16 numbers, or Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0 blocks. who: what errors begin with.
/// Errors: shape_error saying which weight or scale would not be the same; option_error for another type.
inline std::vector<std::byte> gguf_blocks_of(coded_matrix const& m, gguf_block_type const& type,
                                             std::string const& who) {
    return detail::gguf_block_writer(m, type, who).write();
}

} // namespace bitlens
