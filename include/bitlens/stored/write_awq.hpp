#pragma once
/// write_awq: a matrix of 4 bits and integer zeros as AWQ's packages keep it for the kernel called GEMM.

#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/stored/awq_linear.hpp"
#include "bitlens/stored/written_part.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bitlens {

/// The tensors of a layer of AWQ, version "gemm", whose matrix this is.   `scales`: what they are written as; AWQ's
/// packages load F16.
/// Errors: shape_error for a matrix that the layout does not hold exactly, saying what would be lost.
inline std::vector<written_part> write_awq_gemm(coded_matrix const& m,
                                                safetensors_type scales = safetensors_type::f16) {
    const detail::writable_matrix w(m, "AWQ (GEMM)");
    const std::size_t rows = m.rows(), cols = m.cols(), groups = m.groups();
    if (m.bits != 4) w.refuse("codes of 4 bits are held, these have " + std::to_string(m.bits));
    if (rows % 8 != 0 || rows == 0 || cols == 0)
        w.refuse("multiples of 8 outputs are held, these are " + std::to_string(rows));
    if (cols % m.group_columns != 0)
        w.refuse("a short last group is not held: " + std::to_string(cols) + " inputs in groups of " +
                 std::to_string(m.group_columns));
    w.require_no_offsets();
    w.require_no_order();
    const auto zeros = w.zeros(0, 15);
    const auto words = [&](std::size_t count, auto const& code) {
        std::vector<std::uint32_t> all;
        all.reserve(count * rows / 8);
        for (std::size_t i = 0; i < count; ++i)
            for (std::size_t first = 0; first < rows; first += 8) {
                std::uint32_t word = 0;
                for (std::size_t j = 0; j < 8; ++j)
                    word |= std::uint32_t{code(first + awq_gemm_linear::output_of_nibble[j], i)} << (4 * j);
                all.push_back(word);
            }
        return all;
    };
    return {detail::words_part("qweight", {cols, rows / 8}, words(cols, m.codes)),
            detail::words_part("qzeros", {groups, rows / 8}, words(groups, zeros)),
            w.transposed_scales("scales", scales)};
}

} // namespace bitlens
