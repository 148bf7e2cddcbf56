#pragma once
/// bitsandbytes_linear: a layer of 4 bits as bitsandbytes keeps it: NF4 or FP4, in blocks that run over the flattened
/// matrix.
///
///     P.weight              any type: ⌈out·in/2⌉ bytes, the first of two codes in the high half
///     P.weight.absmax       F32 (blocks): the scale of each; or U8: codes of what is nested
///     P.weight.quant_map    F32 (16): the levels
///     P.weight.quant_state.bitsandbytes__nf4 (or __fp4)   U8: JSON that says block size and shape
///     P.weight.nested_absmax F32, nested_quant_map F32 (256): scale = map[code] · nested_absmax + nested_offset
///
/// w = level · scale in float32; to what type a program then rounds is not the file's business. Source: bitsandbytes'
/// QuantState.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Errors at construction: format_error naming tensor and file for tensors or a state that are no such layer's.
class bitsandbytes_linear final : public stored_linear {
public:
    explicit bitsandbytes_linear(linear_tensors tensors) : bitsandbytes_linear(stated(tensors), std::move(tensors)) {}

    std::string type() const override {
        return "bitsandbytes " + std::string(state_.is_nf4 ? "NF4" : "FP4") + " b" + std::to_string(state_.block) +
               (state_.nested ? " nested" : "");
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    std::optional<coded_matrix> form() const override { return empty(1); }

    static constexpr std::array<std::string_view, 2> state_parts{"weight.quant_state.bitsandbytes__nf4",
                                                                 "weight.quant_state.bitsandbytes__fp4"};

private:
    coded_matrix read_numbers() const override {
        auto m = empty(rows());
        std::byte const* const codes = tensors_.find("weight")->bytes.data();
        for (std::size_t r = 0, i = 0; r < rows(); ++r)
            for (std::size_t c = 0; c < cols(); ++c, ++i)
                m.codes(r, c) =
                    static_cast<std::uint8_t>(std::to_integer<unsigned>(codes[i / 2]) >> (i % 2 == 0 ? 4 : 0) & 15u);
        const auto scales = read_scales();
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t g = 0; g < m.groups(); ++g)
                m.scales(r, g) = scales[(r * cols() + g * m.group_columns) / state_.block];
        return m;
    }

    /// A group of so many columns lies within one block in every row, wherever the row begins.
    coded_matrix empty(std::size_t rows) const {
        coded_matrix m(4, rows, cols(), std::gcd(state_.block, cols()));
        const auto levels = tensors_.floats("weight.quant_map");
        m.levels.assign(levels.span().begin(), levels.span().end());
        return m;
    }

    struct nested_blocks {
        std::size_t block;
        float offset;
    };
    struct state {
        std::size_t out, in, block;
        bool is_nf4;
        std::optional<nested_blocks> nested;

        std::size_t blocks() const noexcept { return (out * in - 1) / block + 1; }
    };

    bitsandbytes_linear(state const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), state_(s) {}

    static state stated(linear_tensors const& t) {
        using enum safetensors_type;
        const bool is_nf4 = t.has(state_parts[0]), is_fp4 = t.has(state_parts[1]);
        if (is_nf4 && is_fp4)
            throw format_error(t.who(state_parts[1]) + ": one state of the codes is expected, there is one of NF4 too");
        const std::string_view part = state_parts[is_fp4 ? 1 : 0];
        auto const& text = t.require(part, {u8}, 1);
        const std::string who = t.who(part);
        const json said = parse_json({reinterpret_cast<char const*>(text.bytes.data()), text.bytes.size()}, who);
        const auto refuse = [&](std::string const& what) { throw format_error(who + ": " + what); };

        const auto type = required<std::string>(said, "quant_type", who);
        if (type != (is_nf4 ? "nf4" : "fp4"))
            refuse("key \"quant_type\": " + std::string(is_nf4 ? "nf4" : "fp4") + " is expected, " + in_quotes(type) +
                   " was found");
        const auto shape = required<std::vector<std::size_t>>(said, "shape", who);
        if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0)
            refuse("key \"shape\": that of a matrix is expected, " + shape_text(shape) + " was found");
        if (shape[0] > std::numeric_limits<std::size_t>::max() / shape[1])
            refuse("key \"shape\": " + shape_text(shape) + " has more elements than can be counted");
        state s{shape[0], shape[1], positive(said, "blocksize", who), is_nf4, std::nullopt};

        auto const* const codes = t.find("weight");
        if (codes == nullptr) static_cast<void>(t.require("weight", {u8}, 2)); // says that it is missing
        const std::size_t elements = s.out * s.in, code_bytes = elements / 2 + elements % 2;
        if (codes->bytes.size() != code_bytes)
            throw format_error(t.who("weight") + ": " + std::to_string(code_bytes) + " bytes are expected of shape " +
                               shape_text(shape) + " in 4 bits, " + std::to_string(codes->bytes.size()) +
                               " were found");
        static_cast<void>(t.require("weight.quant_map", {f32}, std::vector<std::size_t>{16}));
        auto const& scales = t.require("weight.absmax", {f32, u8}, std::vector<std::size_t>{s.blocks()});
        const bool is_nested = scales.type == u8;
        if (is_nested != t.has("weight.nested_absmax"))
            throw format_error(t.who("weight.absmax") + ": U8 beside nested_absmax or F32 without it is expected, " +
                               std::string(info(scales.type).name) + (is_nested ? " without" : " beside") +
                               " it was found");
        if (!is_nested) return s;
        s.nested = nested_blocks{positive(said, "nested_blocksize", who), required<float>(said, "nested_offset", who)};
        static_cast<void>(t.require("weight.nested_quant_map", {f32}, std::vector<std::size_t>{256}));
        static_cast<void>(
            t.require("weight.nested_absmax", {f32}, std::vector<std::size_t>{(s.blocks() - 1) / s.nested->block + 1}));
        return s;
    }
    static std::size_t positive(json const& said, std::string_view key, std::string const& who) {
        const auto n = required<std::size_t>(said, key, who);
        if (n == 0) throw format_error(who + ": key " + in_quotes(key) + ": 0 means nothing");
        return n;
    }

    /// One of each block.
    std::vector<float> read_scales() const {
        if (!state_.nested) {
            const auto stored = tensors_.floats("weight.absmax");
            return {stored.span().begin(), stored.span().end()};
        }
        const auto scales = tensors_.floats("weight.nested_absmax"), map = tensors_.floats("weight.nested_quant_map");
        const auto codes = tensors_.find("weight.absmax")->bytes;
        std::vector<float> all(codes.size());
        for (std::size_t i = 0; i < all.size(); ++i) {
            const float scaled = map(0, std::to_integer<std::size_t>(codes[i])) * scales(0, i / state_.nested->block);
            all[i] = scaled + state_.nested->offset;
            if (!std::isfinite(all[i]))
                throw format_error(tensors_.who("weight.absmax") + ": the scale of block " + std::to_string(i) +
                                   " is not finite");
        }
        return all;
    }

    linear_tensors tensors_;
    state state_;
};

} // namespace bitlens
