#pragma once
/// written_part: a tensor of a linear layer as a writer of another layout makes it, and what such writers share: how a
/// matrix is held in numbers of 16 bits and integer zeros exactly, or refused with what would be lost.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What follows "layer." in its name, and the rest of it.
struct written_part {
    std::string suffix;
    safetensors_type type;
    std::vector<std::size_t> shape;
    std::vector<std::byte> bytes;
};

namespace detail {

template <class Numbers>
std::vector<std::byte> bytes_of_numbers(Numbers const& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    return {bytes.begin(), bytes.end()};
}

inline written_part words_part(std::string suffix, std::vector<std::size_t> shape,
                               std::vector<std::uint32_t> const& words) {
    return {std::move(suffix), safetensors_type::i32, std::move(shape), bytes_of_numbers(words)};
}

/// What a writer is to write, and how errors call the layout.
class writable_matrix {
public:
    writable_matrix(coded_matrix const& m, std::string layout) : m_(m), layout_(std::move(layout)) {}

    /// Errors: shape_error: the layout cannot hold the matrix.
    [[noreturn]] void refuse(std::string const& why) const { throw shape_error(layout_ + ": " + why); }

    void require_no_offsets() const {
        if (m_.offsets.rows() != 0) refuse("offsets of groups are not held; only integer zeros are");
    }
    void require_no_order() const {
        if (!m_.order.empty()) refuse("columns that are stored in an order of their own (act order) are not held");
    }
    /// The integer zeros of a matrix whose levels are a code's distance from one, (rows, groups), least … most.
    matrix<std::uint8_t> zeros(unsigned least, unsigned most) const {
        const float first = m_.level(0);
        for (std::size_t q = 0; q < m_.levels.size(); ++q)
            if (m_.levels[q] != first + static_cast<float>(q))
                refuse("levels that are not equally spaced are not held");
        matrix<std::uint8_t> to(m_.rows(), m_.groups());
        for (std::size_t r = 0; r < m_.rows(); ++r)
            for (std::size_t g = 0; g < m_.groups(); ++g) {
                const float zero = (m_.zeros.rows() == 0 ? 0.0f : m_.zeros(r, g)) - first;
                if (!(zero >= static_cast<float>(least) && zero <= static_cast<float>(most)) ||
                    zero != std::floor(zero))
                    refuse("zeros are integers from " + std::to_string(least) + " to " + std::to_string(most) +
                           ", that of row " + std::to_string(r) + ", group " + std::to_string(g) + " is " +
                           number_text(zero));
                to(r, g) = static_cast<std::uint8_t>(zero);
            }
        return to;
    }
    /// Scales by groups, (groups, rows).   Errors: as above, for one that the type does not hold exactly.
    written_part transposed_scales(std::string suffix, safetensors_type type) const {
        std::vector<std::byte> bytes;
        for (std::size_t g = 0; g < m_.groups(); ++g)
            for (std::size_t r = 0; r < m_.rows(); ++r) append(m_.scales(r, g), r, g, type, bytes);
        return {std::move(suffix), type, {m_.groups(), m_.rows()}, std::move(bytes)};
    }

    /// The same by rows, (rows, groups).
    written_part scales(std::string suffix, safetensors_type type) const {
        std::vector<std::byte> bytes;
        for (std::size_t r = 0; r < m_.rows(); ++r)
            for (std::size_t g = 0; g < m_.groups(); ++g) append(m_.scales(r, g), r, g, type, bytes);
        return {std::move(suffix), type, {m_.rows(), m_.groups()}, std::move(bytes)};
    }

private:
    void append(float scale, std::size_t r, std::size_t g, safetensors_type type, std::vector<std::byte>& to) const {
        const auto put = [&]<class T>(T x) {
            const std::size_t end = to.size();
            to.resize(end + sizeof(T));
            std::memcpy(to.data() + end, &x, sizeof(T));
        };
        const auto put_half = [&](auto half) {
            if (std::bit_cast<std::uint32_t>(static_cast<float>(half)) != std::bit_cast<std::uint32_t>(scale))
                refuse("scales are " + std::string(info(type).name) + ", which does not hold that of row " +
                       std::to_string(r) + ", group " + std::to_string(g) + " exactly: " + number_text(scale) +
                       " would become " + number_text(half));
            put(half.bits);
        };
        if (!std::isfinite(scale))
            refuse("the scale of row " + std::to_string(r) + ", group " + std::to_string(g) + " is not finite");
        if (type == safetensors_type::f32)
            put(scale);
        else if (type == safetensors_type::bf16)
            put_half(bf16(scale));
        else
            put_half(f16(scale));
    }
    static std::string number_text(float x) { return found_text(json(x)); }

    coded_matrix const& m_;
    std::string layout_;
};

} // namespace detail

} // namespace bitlens
