#pragma once
/// compressed_linear: a layer of integers as compressed-tensors packs them.
///
///     P.weight_packed I32 (out, words of in codes)   P.weight_scale (out, groups), (out, 1) or (1)
///     P.weight_shape I64 (2): out, in                P.weight_zero_point I32 (words of out codes, groups), or I8
///     P.weight_g_idx I32 (in): the group of each input; may be absent, or be −1
///
/// w = scale · (q − zero), q and zero signed; in words 2^(bits − 1) is added to them. Codes are continuous; up to
/// 0.17.1, those of 3, 5, 6 and 7 bits came ⌊32/bits⌋ to a word.   Source: compressed-tensors 0.3 … 0.20, its packer.

#include "bitlens/core/error.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/group_order.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// What is said of a layer that is in codes; nullptr where nothing is.
/// Errors: format_error where it is said to be dense.
inline compressed_scheme const* said_of(linear_tensors const& t, quantization_description const& d) {
    if (d.schemes() == nullptr || !d.schemes()->are_said()) return nullptr;
    if (auto const* const scheme = d.schemes()->of(t.name())) return scheme;
    throw format_error(d.who() + ": no group of config_groups takes in " + in_quotes(t.name()) +
                       ", or it is ignored; " + t.who() + " is quantized all the same");
}
/// Errors: format_error where another type is said than is there.
inline void require_said(linear_tensors const& t, quantization_description const& d, std::int64_t bits, bool is_float) {
    auto const* const scheme = said_of(t, d);
    if (scheme == nullptr || (scheme->bits == bits && scheme->is_float == is_float)) return;
    const auto text = [](std::int64_t n, bool f) { return std::to_string(n) + "-bit " + (f ? "float" : "int"); };
    throw format_error(t.who() + ": " + text(scheme->bits, scheme->is_float) + " is said of it by group " +
                       in_quotes(scheme->group) + " of " + d.who() + ", " + text(bits, is_float) + " is stored");
}
/// Errors: format_error for a layer whose inputs are quantized too.
inline void refuse_activations(linear_tensors const& t) {
    for (const std::string_view suffix : {"input_scale", "input_global_scale", "input_zero_point", "output_scale"})
        if (t.has(suffix))
            throw format_error(t.who(suffix) + ": activations are quantized too, the model is not of weights in few "
                                               "bits alone; such ones are not read");
}

inline std::string matrix_text(std::size_t rows, std::size_t cols) { return shape_text(std::array{rows, cols}); }

/// Scales of rows by groups: (out, groups) of groups of `columns`.
struct scale_layout {
    std::size_t columns = 0; ///< of a group
    std::size_t groups = 1;
    std::size_t block_rows = 1; ///< that share a row of scales
};
/// Errors: format_error for scales that do not belong to (out, in), or to what is said.
inline scale_layout scale_layout_of(linear_tensors const& t, std::string_view suffix, std::size_t out, std::size_t in,
                                    compressed_scheme const* said) {
    auto const& scales = *t.find(suffix);
    const auto refuse = [&](std::string const& why) {
        throw format_error(t.who(suffix) + ": shape " + shape_text(scales.shape) + " was found beside a weight of " +
                           matrix_text(out, in) + why);
    };
    if (said != nullptr && said->block[0] != 0) {
        const std::size_t rows = out / said->block[0] + (out % said->block[0] != 0);
        const std::size_t groups = in / said->block[1] + (in % said->block[1] != 0);
        if (scales.shape != std::vector<std::size_t>{rows, groups})
            refuse(", " + matrix_text(rows, groups) + " is expected");
        return {said->block[1], groups, said->block[0]};
    }
    scale_layout layout{in, 1, 1};
    if (scales.size() == 1 && scales.shape.size() <= 2) {
        layout.block_rows = out;
    } else {
        if (scales.shape.size() != 2 || scales.shape[0] != out) refuse("");
        layout.groups = scales.shape[1];
        if (in % layout.groups != 0) refuse(", whose inputs are no such number of groups");
        layout.columns = in / layout.groups;
    }
    if (said != nullptr && said->columns && (*said->columns == 0 ? in : *said->columns) != layout.columns)
        refuse("; groups of " + (*said->columns == 0 ? "a whole row" : std::to_string(*said->columns)) +
               " are said of it");
    return layout;
}
inline std::string group_text(scale_layout const& s, std::size_t in) {
    if (s.block_rows > 1 && s.groups > 1)
        return " blocks of " + std::to_string(s.block_rows) + "x" + std::to_string(s.columns);
    return s.columns == in ? (s.block_rows > 1 ? " whole" : " rows") : " g" + std::to_string(s.columns);
}
/// (out, groups)
inline matrix<float> spread_scales(matrix<float> const& stored, scale_layout const& s, std::size_t out) {
    matrix<float> all(out, s.groups);
    for (std::size_t r = 0; r < out; ++r) std::ranges::copy(stored.row(r / s.block_rows), all.row(r).begin());
    return all;
}

} // namespace detail

/// Errors at construction: format_error naming tensor and file for shapes that are no such layer's, or not the one that
/// is described; for quantized activations.
class compressed_linear final : public stored_linear {
public:
    compressed_linear(linear_tensors tensors, quantization_description const& d)
        : compressed_linear(measured(tensors, d), std::move(tensors)) {}

    std::string type() const override {
        return "compressed-tensors int" + std::to_string(shape_.bits) + detail::group_text(shape_.scales, cols()) +
               (tensors_.has("weight_g_idx") ? " act order" : "");
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    /// With an order where there may be one.
    std::optional<coded_matrix> form() const override {
        coded_matrix m(shape_.bits, 1, cols(), shape_.scales.columns);
        m.zeros = matrix<float>(1, m.groups());
        if (!tensors_.has("weight_zero_point")) std::ranges::fill(m.zeros.span(), middle());
        if (tensors_.has("weight_g_idx")) m.order = detail::columns_in_place(cols());
        return m;
    }

private:
    coded_matrix read_numbers() const override {
        coded_matrix m(shape_.bits, rows(), cols(), shape_.scales.columns);
        read_code_rows(tensors_.find("weight_packed")->bytes, shape_.words, m);
        m.scales = detail::spread_scales(tensors_.floats("weight_scale"), shape_.scales, rows());
        m.zeros = zeros();
        if (has_order()) detail::sort_by_group(m, tensors_, "weight_g_idx");
        return m;
    }

    struct shapes {
        std::size_t out, in;
        int bits;
        word_layout words;
        detail::scale_layout scales;
    };

    compressed_linear(shapes const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), shape_(s) {}

    static shapes measured(linear_tensors const& t, quantization_description const& d) {
        using enum safetensors_type;
        detail::refuse_activations(t);
        t.allow_only({"weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"});
        auto const& words = t.require("weight_packed", {i32}, 2);
        auto const& sizes = t.require("weight_shape", {i64}, std::vector<std::size_t>{2});
        const auto out = load<std::int64_t>(sizes.bytes.data()), in = load<std::int64_t>(sizes.bytes.data() + 8);
        if (out < 1 || in < 1 || std::cmp_not_equal(out, words.shape[0]) || std::cmp_greater(in / 32, words.shape[1]))
            throw format_error(t.who("weight_shape") + ": " + std::to_string(out) + " outputs and " +
                               std::to_string(in) + " inputs are said of codes in words " + shape_text(words.shape));
        shapes s{static_cast<std::size_t>(out), static_cast<std::size_t>(in), 0, word_layout::continuous, {}};
        auto const* const said = detail::said_of(t, d);
        find_layout(t, d, said, s);
        detail::require_said(t, d, s.bits, false);
        if (t.has("weight_scale")) // a vector or a matrix
            t.require("weight_scale", detail::float_types, t.find("weight_scale")->shape.size());
        else
            t.require("weight_scale", detail::float_types, 2);
        s.scales = detail::scale_layout_of(t, "weight_scale", s.out, s.in, said);
        if (auto const* const zeros = t.find("weight_zero_point")) {
            if (zeros->type == i32)
                t.require("weight_zero_point", {i32}, {words_of(s.words, s.out, s.bits), s.scales.groups});
            else
                t.require("weight_zero_point", {i8}, t.find("weight_scale")->shape);
        }
        if (t.has("weight_g_idx")) t.require("weight_g_idx", {i32}, std::vector<std::size_t>{s.in});
        return s;
    }

    /// Bits and layout by the words of a row, then by those of zeros, then by what is said.
    static void find_layout(linear_tensors const& t, quantization_description const& d, compressed_scheme const* said,
                            shapes& s) {
        using enum word_layout;
        const std::size_t row_words = t.find("weight_packed")->shape[1];
        auto const* const zeros = t.find("weight_zero_point");
        struct choice {
            int bits;
            word_layout words;
        };
        std::vector<choice> fitting;
        for (int bits = 1; bits <= 8; ++bits)
            for (const word_layout words : {continuous, whole_codes}) {
                if (words == whole_codes && 32 % bits == 0) continue; // as continuous
                if (words_of(words, s.in, bits) != row_words) continue;
                if (zeros != nullptr && zeros->type == safetensors_type::i32 &&
                    (zeros->shape.empty() || words_of(words, s.out, bits) != zeros->shape[0]))
                    continue;
                if (said == nullptr || said->bits == bits) fitting.push_back({bits, words});
            }
        // Codes that all lie in a first word lie there in both layouts.
        std::erase_if(fitting, [&](choice const& c) {
            const std::size_t a_word = 32 / static_cast<std::size_t>(c.bits);
            return c.words == whole_codes && s.in <= a_word && (zeros == nullptr || s.out <= a_word);
        });
        if (fitting.size() == 2 && fitting[0].bits == fitting[1].bits) {
            const auto said_by = version_of(d);
            if (said_by) fitting = {fitting[*said_by >= std::pair{0, 18} ? 0 : 1]};
        }
        const std::string found = t.who("weight_packed") + ": " + std::to_string(row_words) + " words a row of " +
                                  std::to_string(s.in) + " inputs";
        if (fitting.empty())
            throw format_error(found +
                               (said != nullptr && !said->is_float
                                    ? " are not those of " + std::to_string(said->bits) + " bits, which group " +
                                          in_quotes(said->group) + " of " + d.who() + " says"
                                    : " are those of no number of bits from 1 to 8"));
        if (fitting.size() > 1)
            throw format_error(found + " may be codes of several layouts, and nothing beside them says of which");
        s.bits = fitting.front().bits;
        s.words = fitting.front().words;
    }
    static std::optional<std::pair<int, int>> version_of(quantization_description const& d) {
        const std::string text = d.text({"version"}).value_or("");
        std::pair<int, int> found;
        char const* const end = text.data() + text.size();
        const auto major = std::from_chars(text.data(), end, found.first);
        if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
        if (std::from_chars(major.ptr + 1, end, found.second).ec != std::errc()) return std::nullopt;
        return found;
    }

    float middle() const noexcept { return static_cast<float>(1u << (shape_.bits - 1)); }

    /// As codes are, 2^(bits − 1) above the signed ones.   (out, groups)
    matrix<float> zeros() const {
        matrix<float> all(rows(), shape_.scales.groups);
        std::ranges::fill(all.span(), middle());
        auto const* const stored = tensors_.find("weight_zero_point");
        if (stored == nullptr) return all;
        std::byte const* const bytes = stored->bytes.data();
        const std::size_t groups = shape_.scales.groups;
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t g = 0; g < groups; ++g) {
                if (stored->type == safetensors_type::i8) {
                    all(r, g) += load<std::int8_t>(bytes + r / shape_.scales.block_rows * groups + g);
                } else {
                    const auto word = [&](std::size_t j) { return load<std::uint32_t>(bytes + 4 * (j * groups + g)); };
                    all(r, g) = static_cast<float>(code_in(shape_.words, word, r, shape_.bits));
                }
            }
        return all;
    }

    /// An order that was never set is −1 everywhere.
    bool has_order() const {
        auto const* const g_idx = tensors_.find("weight_g_idx");
        if (g_idx == nullptr) return false;
        for (std::size_t c = 0; c < cols(); ++c)
            if (load<std::int32_t>(g_idx->bytes.data() + 4 * c) == -1) return false;
        return true;
    }

    linear_tensors tensors_;
    shapes shape_;
};

} // namespace bitlens
