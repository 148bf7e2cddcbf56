#pragma once
/// write_compressed: a matrix of integer zeros as compressed-tensors packs it, and how its config.json describes it.

#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/compressed_linear.hpp"
#include "bitlens/stored/written_part.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Whether all zeros of codes are the middle one, which is then not stored.
inline bool is_symmetric(matrix<std::uint8_t> const& zeros, int bits) {
    return std::ranges::all_of(zeros.span(), [&](std::uint8_t z) { return z == 1u << (bits - 1); });
}
inline writable_matrix checked_for_compressed(coded_matrix const& m) {
    writable_matrix w(m, "compressed-tensors (pack-quantized)");
    if (m.rows() == 0 || m.cols() == 0) w.refuse("a matrix without numbers is not held");
    if (m.groups() > 1 && m.cols() % m.group_columns != 0)
        w.refuse("groups are of one size, of " + std::to_string(m.cols()) + " inputs in groups of " +
                 std::to_string(m.group_columns) + " the last is shorter");
    w.require_no_offsets();
    return w;
}

} // namespace detail

/// The tensors of a layer whose matrix this is, codes continuous, as compressed-tensors reads and writes them since
/// 0.18 (all of it, of 1, 2, 4 and 8 bits). An order of columns is weight_g_idx, which it reads up to 0.18. `scales`:
/// what they are written as; it is also the type that the package decodes to. Errors: shape_error for a matrix that the
/// layout does not hold exactly, saying what would be lost.
inline std::vector<written_part> write_compressed(coded_matrix const& m,
                                                  safetensors_type scales = safetensors_type::f16) {
    const auto w = detail::checked_for_compressed(m);
    const auto zeros = w.zeros(0, (1u << m.bits) - 1);
    const std::size_t rows = m.rows(), cols = m.cols(), groups = m.groups();
    constexpr auto layout = word_layout::continuous;
    const std::size_t row_words = words_of(layout, cols, m.bits), zero_words = words_of(layout, rows, m.bits);

    std::vector<std::uint32_t> codes(rows * row_words), g_idx(cols);
    for (std::size_t k = 0; k < cols; ++k) {
        const std::size_t c = m.order.empty() ? k : m.order[k];
        g_idx[c] = static_cast<std::uint32_t>(k / m.group_columns);
        for (std::size_t r = 0; r < rows; ++r)
            put_code(
                layout, [&](std::size_t j) -> std::uint32_t& { return codes[r * row_words + j]; }, c, m.bits,
                m.codes(r, k));
    }
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols)};
    std::vector<written_part> parts{detail::words_part("weight_packed", {rows, row_words}, codes),
                                    w.scales("weight_scale", scales),
                                    {"weight_shape", safetensors_type::i64, {2}, detail::bytes_of_numbers(shape)}};
    if (!detail::is_symmetric(zeros, m.bits)) {
        std::vector<std::uint32_t> words(zero_words * groups);
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t g = 0; g < groups; ++g)
                put_code(
                    layout, [&](std::size_t j) -> std::uint32_t& { return words[j * groups + g]; }, r, m.bits,
                    zeros(r, g));
        parts.push_back(detail::words_part("weight_zero_point", {zero_words, groups}, words));
    }
    if (!m.order.empty() && groups > 1) parts.push_back(detail::words_part("weight_g_idx", {cols}, g_idx));
    return parts;
}

/// "weights" of a group of config_groups whose layers are such matrices.   Errors: as above.
inline ordered_json compressed_arguments(coded_matrix const& m) {
    const auto w = detail::checked_for_compressed(m);
    ordered_json args{{"num_bits", m.bits},
                      {"type", "int"},
                      {"symmetric", detail::is_symmetric(w.zeros(0, (1u << m.bits) - 1), m.bits)},
                      {"strategy", m.groups() > 1 ? "group" : "channel"}};
    if (m.groups() > 1) args["group_size"] = m.group_columns;
    if (!m.order.empty() && m.groups() > 1) args["actorder"] = "group";
    args["dynamic"] = false;
    return args;
}

/// "quantization_config" of a config.json: what compressed_arguments gave for the layers of each of these lists of
/// targets; `ignored` stay in full precision.
inline ordered_json compressed_description(std::vector<std::pair<ordered_json, std::vector<std::string>>> const& groups,
                                           std::vector<std::string> const& ignored) {
    ordered_json config_groups = ordered_json::object();
    for (auto const& [arguments, targets] : groups)
        config_groups["group_" + std::to_string(config_groups.size())] = {{"targets", targets},
                                                                          {"weights", arguments},
                                                                          {"input_activations", nullptr},
                                                                          {"output_activations", nullptr},
                                                                          {"format", "pack-quantized"}};
    return {{"quant_method", "compressed-tensors"},
            {"version", "0.18.0"}, // the first whose codes of 3, 5, 6 and 7 bits lie so
            {"format", "pack-quantized"},
            {"quantization_status", "compressed"},
            {"config_groups", config_groups},
            {"ignore", ignored},
            {"kv_cache_scheme", nullptr}};
}

} // namespace bitlens
