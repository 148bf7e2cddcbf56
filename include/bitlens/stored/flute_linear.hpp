#pragma once
/// flute_linear: a layer of 2, 3 or 4 bits as FLUTE keeps it: codes shuffled for its kernels, and a table of levels.
///
///     P.weight I16 (out·bits/16, in)   P.scales (out, groups)   P.tables (2^bits)
///     P.tables2: the table in pairs, which says nothing new
///
/// w = table[code] · scale. How 2 and 4 bits are shuffled depends on the kernel: on tiles of 32 rows of words, as all
/// that FLUTE comes tuned with, or of 64, which no file tells. Sources: FLUTE's packers and its table of templates.

#include "bitlens/core/error.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Errors at construction: format_error naming tensor and file for shapes that are no such layer's; for a template
/// that is none.
class flute_linear final : public stored_linear {
public:
    flute_linear(linear_tensors tensors, quantization_description const& d)
        : flute_linear(measured(tensors, d), std::move(tensors)) {}

    std::string type() const override {
        return "FLUTE " + std::to_string(shape_.bits) + "-bit g" + std::to_string(shape_.group) + " (tiles of " +
               std::to_string(shape_.tile) + ")";
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    std::optional<coded_matrix> form() const override { return empty(1); }

private:
    coded_matrix read_numbers() const override {
        auto m = empty(rows());
        m.scales = tensors_.floats("scales");
        if (shape_.bits == 3)
            read_three_bits(m);
        else
            read_whole_codes(m);
        return m;
    }

    struct shapes {
        std::size_t out, in, bits, group, tile;
    };

    flute_linear(shapes const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), shape_(s) {}

    static shapes measured(linear_tensors const& t, quantization_description const& d) {
        using enum safetensors_type;
        auto const& codes = t.require("weight", {i16}, 2);
        auto const& scales = t.require("scales", detail::float_types, 2);
        shapes s{scales.shape[0], codes.shape[1], 0, 0, 32};
        for (const std::size_t bits : {2u, 3u, 4u})
            if (s.out % 16 == 0 && codes.shape[0] == s.out / 16 * bits) s.bits = bits;
        const std::size_t groups = scales.shape[1];
        if (s.bits == 0 || s.in % groups != 0)
            throw format_error(t.who("weight") + ": words " + shape_text(codes.shape) + " and scales " +
                               shape_text(scales.shape) + " are those of no layer of 2, 3 or 4 bits");
        s.group = s.in / groups;
        t.require("tables", detail::float_types, std::vector<std::size_t>{std::size_t{1} << s.bits});
        // Templates by number: of each number of stages and of lookups (four of 4 bits), tiles of 64, 32 and 32.
        if (const auto id = d.integer({"template_id"})) {
            const std::int64_t kinds = s.bits == 4 ? 16 : 4;
            if (*id < 0 || *id >= 9 * kinds)
                throw format_error(d.who() + ": template_id " + std::to_string(*id) + " of " + std::to_string(s.bits) +
                                   " bits is none that is known");
            if (*id / kinds % 3 == 0) s.tile = 64;
        }
        if (s.bits == 3 && s.tile != 32)
            throw format_error(d.who() + ": codes of 3 bits in tiles of " + std::to_string(s.tile) + " are not read");
        const std::size_t rows = s.tile * (s.bits == 3 ? 16 : 16 / s.bits);
        if (s.out % rows != 0 || s.in % 2 != 0)
            throw format_error(t.who("weight") + ": multiples of " + std::to_string(rows) +
                               " outputs and an even number of inputs are expected of " + std::to_string(s.bits) +
                               " bits, " + std::to_string(s.out) + " and " + std::to_string(s.in) + " were found");
        return s;
    }

    coded_matrix empty(std::size_t rows) const {
        coded_matrix m(static_cast<int>(shape_.bits), rows, cols(), shape_.group);
        const auto levels = tensors_.floats("tables");
        m.levels.assign(levels.span().begin(), levels.span().end());
        return m;
    }

    std::uint16_t word(std::size_t row, std::size_t col) const noexcept {
        return load<std::uint16_t>(tensors_.find("weight")->bytes.data() + 2 * (row * cols() + col));
    }

    /// 2 and 4 bits. The words of a pair of columns hold their codes in turn, of the second column first; the word of
    /// the first column has the rows of the first half of a chunk, the other those of the second half.
    void read_whole_codes(coded_matrix& m) const {
        const std::size_t a_word = 16 / shape_.bits, tile = shape_.tile;
        const unsigned mask = (1u << shape_.bits) - 1;
        for (std::size_t row = 0; row < rows() / a_word; ++row)
            for (std::size_t col = 0; col < cols(); ++col) {
                const unsigned codes = word(row, col);
                for (std::size_t slot = 0; slot < a_word; ++slot) {
                    const std::size_t j = col % 2 * (a_word / 2) + slot / 2;
                    const std::size_t r = row / tile * a_word * tile + j * tile + row % tile;
                    m.codes(r, col - col % 2 + (1 - slot % 2)) =
                        static_cast<std::uint8_t>(codes >> (slot * shape_.bits) & mask);
                }
            }
    }

    /// 3 bits. 96 bits of a pair of columns in six words: 16 and 14 bits three times, the last six in the tops of
    /// those of 14. The first word of three stands apart from the other two.
    void read_three_bits(coded_matrix& m) const {
        constexpr std::array<std::size_t, 16> rows_of{0, 3, 6, 9, 12, 1, 4, 7, 10, 13, 2, 5, 8, 11, 14, 15};
        std::array<std::uint8_t, 96> bits{};
        for (std::size_t chunk = 0; chunk < rows() / 512; ++chunk)
            for (std::size_t lane = 0; lane < 32; ++lane)
                for (std::size_t pair = 0; pair < cols(); pair += 2) {
                    for (std::size_t t = 0; t < 3; ++t) {
                        const std::size_t row =
                            t == 0 ? 32 * chunk + lane : rows() / 16 + 64 * chunk + 32 * (t - 1) + lane;
                        const unsigned first = word(row, pair), second = word(row, pair + 1);
                        const auto bit = [](unsigned from, std::size_t i) {
                            return static_cast<std::uint8_t>(from >> i & 1u);
                        };
                        for (std::size_t i = 0; i < 16; ++i) bits[30 * t + i] = bit(first, i);
                        for (std::size_t i = 0; i < 14; ++i) bits[30 * t + 16 + i] = bit(second, i);
                        for (std::size_t i = 0; i < 2; ++i) bits[90 + 2 * t + i] = bit(second, 14 + i);
                    }
                    const auto code = [&](std::size_t i) {
                        return static_cast<std::uint8_t>(bits[i] | bits[i + 1] << 1 | bits[i + 2] << 2);
                    };
                    for (std::size_t i = 0; i < 16; ++i) {
                        const std::size_t r = 512 * chunk + 32 * rows_of[i] + lane;
                        m.codes(r, pair + 1) = code(6 * i);
                        m.codes(r, pair) = code(6 * i + 3);
                    }
                }
    }

    linear_tensors tensors_;
    shapes shape_;
};

} // namespace bitlens
