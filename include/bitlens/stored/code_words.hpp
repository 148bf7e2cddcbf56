#pragma once
/// code_words: codes in 32-bit words, in the three layouts that checkpoints use.

#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/byte_cursor.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlens {

/// How codes of b bits follow each other in 32-bit words, lowest bits first.
enum class word_layout : std::uint8_t {
    continuous,  ///< without a gap: a code may begin in one word and end in the next
    whole_codes, ///< ⌊32/b⌋ codes a word, the highest bits left over
    planar,      ///< 32 codes in parts of 8, 4, 2 and 1 bits, each as words of its own: 3 = 2 + 1, 5 = 4 + 1, …
};

/// Words of `count` codes; planar ones come in whole runs of 32.
constexpr std::size_t words_of(word_layout layout, std::size_t count, int bits) noexcept {
    const auto b = static_cast<std::size_t>(bits);
    switch (layout) {
    case word_layout::continuous:
        return (count * b + 31) / 32;
    case word_layout::whole_codes:
        return (count + 32 / b - 1) / (32 / b);
    case word_layout::planar:
        break;
    }
    return (count + 31) / 32 * b;
}

namespace detail {

constexpr std::uint32_t low_bits(unsigned count) noexcept { return (std::uint32_t{1} << count) - 1; }

/// f(word, shift, bits, bits before) for each piece of code i.   bits: 1 … 8.
template <class Function>
constexpr void for_each_piece(word_layout layout, std::size_t i, int bits, Function const& f) {
    const auto b = static_cast<unsigned>(bits);
    if (layout == word_layout::whole_codes) {
        const std::size_t a_word = 32 / b;
        f(i / a_word, static_cast<unsigned>(i % a_word) * b, b, 0u);
    } else if (layout == word_layout::continuous) {
        const std::size_t first = i * b;
        const auto shift = static_cast<unsigned>(first % 32), here = shift + b <= 32 ? b : 32 - shift;
        f(first / 32, shift, here, 0u);
        if (here < b) f(first / 32 + 1, 0u, b - here, here);
    } else {
        std::size_t word = i / 32 * b;
        unsigned done = 0;
        for (unsigned width = 8; width > 0; width /= 2) {
            if ((b & width) == 0) continue;
            const auto in_run = static_cast<unsigned>(i % 32), a_word = 32 / width;
            f(word + in_run / a_word, in_run % a_word * width, width, done);
            word += width;
            done += width;
        }
    }
}

} // namespace detail

/// Code i of those in words, of which word(j) is the j-th.
template <class Word>
constexpr std::uint8_t code_in(word_layout layout, Word const& word, std::size_t i, int bits) {
    unsigned code = 0;
    detail::for_each_piece(layout, i, bits, [&](std::size_t j, unsigned shift, unsigned width, unsigned done) {
        code |= (std::uint32_t{word(j)} >> shift & detail::low_bits(width)) << done;
    });
    return static_cast<std::uint8_t>(code);
}

/// Writes code i into words that are 0 where it goes; word(j) is a reference to the j-th.
template <class Word>
constexpr void put_code(word_layout layout, Word const& word, std::size_t i, int bits, std::uint8_t code) {
    detail::for_each_piece(layout, i, bits, [&](std::size_t j, unsigned shift, unsigned width, unsigned done) {
        word(j) |= (std::uint32_t{code} >> done & detail::low_bits(width)) << shift;
    });
}

/// The codes of m, whose rows lie one after the other, each in words of its own.
inline void read_code_rows(std::span<const std::byte> words, word_layout layout, coded_matrix& m) {
    const std::size_t row_bytes = m.rows() == 0 ? 0 : words.size() / m.rows();
    for (std::size_t r = 0; r < m.rows(); ++r) {
        const auto word = [&](std::size_t j) { return load<std::uint32_t>(words.data() + r * row_bytes + 4 * j); };
        for (std::size_t k = 0; k < m.cols(); ++k) m.codes(r, k) = code_in(layout, word, k, m.bits);
    }
}

} // namespace bitlens
