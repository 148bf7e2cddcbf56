#pragma once
/// mlx_linear: a layer as MLX keeps it.
///
///     affine  P.weight U32 (out, words of in codes)  P.scales, P.biases (out, groups); P.qbiases in the kind "metal"
///     mxfp4   P.weight U32 (out, in/8): E2M1         P.scales U8 (out, in/32): 2^(e − 127)
///
/// w = fl32(fl32(scale · q) + bias). Codes are continuous.   Source: mlx.core.quantize.

#include "bitlens/core/error.hpp"
#include "bitlens/core/level_tables.hpp"
#include "bitlens/stored/byte_codes_linear.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/low_bit_floats.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

/// Errors at construction: format_error for shapes that are no such layer's, for bits and groups that are not said or
/// are others, and for a mode that is not read.
class mlx_linear final : public stored_linear {
public:
    mlx_linear(linear_tensors tensors, quantization_description const& d)
        : mlx_linear(measured(tensors, d), std::move(tensors)) {}

    std::string type() const override {
        return shape_.offsets.empty() ? "MLX mxfp4"
                                      : "MLX " + std::to_string(shape_.bits) + "-bit g" + std::to_string(shape_.group);
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    /// Not of scales in 32 bits, whose products may round.
    std::optional<coded_matrix> form() const override {
        if (tensors_.find("scales")->type == safetensors_type::f32) return std::nullopt;
        return empty(1);
    }

private:
    coded_matrix read_numbers() const override {
        auto m = empty(rows());
        read_code_rows(tensors_.find("weight")->bytes, word_layout::continuous, m);
        if (shape_.offsets.empty()) {
            m.scales = detail::e8m0_scales(tensors_, "scales");
        } else {
            m.scales = tensors_.floats("scales");
            m.offsets = tensors_.floats(shape_.offsets);
        }
        return m;
    }

    struct shapes {
        std::size_t out, in, group;
        int bits;
        std::string_view offsets; // the tensor of them; none of floats
    };

    mlx_linear(shapes const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), shape_(s) {}

    coded_matrix empty(std::size_t rows) const {
        coded_matrix m(shape_.bits, rows, cols(), shape_.group);
        if (shape_.offsets.empty())
            m.levels.assign(e2m1_table.begin(), e2m1_table.end());
        else
            m.offsets = matrix<float>(rows, m.groups());
        return m;
    }

    /// What is said of this layer beside what is of all.
    static std::optional<quantization_description> said_of(linear_tensors const& t, quantization_description const& d) {
        if (!d.empty())
            if (const auto own = d.object().find(t.name()); own != d.object().end() && own->is_object())
                return quantization_description(*own, d.who() + ": " + in_quotes(t.name()));
        return std::nullopt;
    }

    static shapes measured(linear_tensors const& t, quantization_description const& d) {
        using enum safetensors_type;
        const auto of_this = said_of(t, d);
        quantization_description const& own = of_this ? *of_this : d;
        const auto said = [&](std::string_view key) {
            const auto n = own.integer({key});
            return n ? n : d.integer({key});
        };
        const std::string_view offsets = t.has("qbiases") ? "qbiases" : "biases";
        const bool is_affine = t.has(offsets);
        const std::string mode = own.text({"mode"}).value_or(d.text({"mode"}).value_or(is_affine ? "affine" : "mxfp4"));
        if (mode != "affine" && mode != "mxfp4")
            throw format_error(t.who() + ": weights of MLX in the mode " + in_quotes(mode) +
                               " are not read; affine and mxfp4 are");
        auto const& words = t.require("weight", {u32}, 2);
        shapes s{words.shape[0], 0, 32, 4, {}};
        if (mode == "affine") {
            t.allow_only({"weight", "scales", offsets});
            const auto bits = said("bits"), group = said("group_size");
            if (!bits || !group)
                throw format_error(t.who() + ": bits and group_size are expected beside weights in this layout");
            if (*bits < 2 || *bits > 8 || *bits == 7 || *group < 1)
                throw format_error(own.who() + ": " + std::to_string(*bits) + " bits in groups of " +
                                   std::to_string(*group) + " are none of MLX");
            s.bits = static_cast<int>(*bits);
            s.group = static_cast<std::size_t>(*group);
            s.offsets = offsets;
        } else {
            t.allow_only({"weight", "scales"});
        }
        const std::size_t all_bits = 32 * words.shape[1]; // of bytes that are there
        s.in = all_bits / static_cast<std::size_t>(s.bits);
        if (words_of(word_layout::continuous, s.in, s.bits) != words.shape[1] ||
            all_bits % static_cast<std::size_t>(s.bits) != 0 || s.in % s.group != 0)
            throw format_error(t.who("weight") + ": shape " + shape_text(words.shape) + " is none of codes of " +
                               std::to_string(s.bits) + " bits in groups of " + std::to_string(s.group));
        const std::vector<std::size_t> groups{s.out, s.in / s.group};
        if (mode == "affine") {
            t.require("scales", detail::float_types, groups);
            t.require(offsets, detail::float_types, groups);
        } else {
            t.require("scales", {u8}, groups);
        }
        return s;
    }

    linear_tensors tensors_;
    shapes shape_;
};

} // namespace bitlens
