#pragma once
/// write_gptq: a matrix of integer zeros as GPTQ's packages keep it.

#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/gptq_linear.hpp"
#include "bitlens/stored/written_part.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// The tensors of a layer of GPTQ whose matrix this is: g_idx holds an order of columns, and the description beside
/// them has to say the group size where the last group is short. Of version 1 (less_one), zeros are 1 … 2^bits − 1: one
/// of 0 would be stored by borrowing from its neighbours, which programs undo in ways of their own.
/// `scales`: what they are written as; GPTQ's packages load F16.
/// Errors: shape_error for a matrix that the layout does not hold exactly, saying what would be lost.
inline std::vector<written_part> write_gptq(coded_matrix const& m, gptq_zeros stored = gptq_zeros::plain,
                                            safetensors_type scales = safetensors_type::f16) {
    const bool is_less_one = stored == gptq_zeros::less_one;
    const detail::writable_matrix w(m, is_less_one ? "GPTQ" : "GPTQ (gptq_v2)");
    if (stored == gptq_zeros::swapped_thirds) w.refuse("zeros that a fault displaced are not written");
    if (m.bits != 2 && m.bits != 3 && m.bits != 4 && m.bits != 8)
        w.refuse("codes of 2, 3, 4 and 8 bits are held, these have " + std::to_string(m.bits));
    if (m.rows() % 32 != 0 || m.cols() % 32 != 0 || m.rows() == 0 || m.cols() == 0)
        w.refuse("multiples of 32 outputs and inputs are held, these are " + std::to_string(m.rows()) + " and " +
                 std::to_string(m.cols()));
    w.require_no_offsets();
    const std::size_t rows = m.rows(), cols = m.cols(), groups = m.groups(), bits = static_cast<std::size_t>(m.bits);
    const auto zeros = w.zeros(is_less_one ? 1 : 0, (1u << bits) - 1);

    std::vector<std::uint32_t> codes(cols / 32 * bits * rows), zero_words(groups * (rows / 32 * bits)), g_idx(cols);
    for (std::size_t k = 0; k < cols; ++k) {
        const std::size_t c = m.order.empty() ? k : m.order[k];
        g_idx[c] = static_cast<std::uint32_t>(k / m.group_columns);
        for (std::size_t r = 0; r < rows; ++r)
            put_code(
                word_layout::continuous, [&](std::size_t j) -> std::uint32_t& { return codes[j * rows + r]; }, c,
                m.bits, m.codes(r, k));
    }
    for (std::size_t g = 0; g < groups; ++g)
        for (std::size_t r = 0; r < rows; ++r)
            put_code(
                word_layout::continuous,
                [&](std::size_t j) -> std::uint32_t& { return zero_words[g * (rows / 32 * bits) + j]; }, r, m.bits,
                static_cast<std::uint8_t>(zeros(r, g) - (is_less_one ? 1 : 0)));
    return {detail::words_part("qweight", {cols / 32 * bits, rows}, codes),
            detail::words_part("qzeros", {groups, rows / 32 * bits}, zero_words), w.transposed_scales("scales", scales),
            detail::words_part("g_idx", {cols}, g_idx)};
}

} // namespace bitlens
