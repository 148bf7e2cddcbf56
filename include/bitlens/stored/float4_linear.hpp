#pragma once
/// float4_linear: a layer of floats of 4 bits (E2M1), two a byte, the first in its low half.
///
///     nvfp4     P.weight_packed U8 (out, in/2)  P.weight_scale F8_E4M3 (out, in/16)  P.weight_global_scale F32,
///     divides ModelOpt  P.weight        U8 (out, in/2)  P.weight_scale F8_E4M3 (out, in/16)  P.weight_scale_2 F32,
///     multiplies mxfp4     P.weight_packed U8 (out, in/2)  P.weight_scale U8 (out, in/32): 2^(e − 127)
///
/// w = level · A, A = fl32(scale / global).   Sources: compressed-tensors, nvfp4 and mxfp4; ModelOpt's exporter.

#include "bitlens/core/error.hpp"
#include "bitlens/core/level_tables.hpp"
#include "bitlens/stored/byte_codes_linear.hpp"
#include "bitlens/stored/compressed_linear.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/low_bit_floats.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

/// Errors at construction: as of compressed_linear.
class float4_linear final : public stored_linear {
public:
    float4_linear(linear_tensors tensors, quantization_description const& d)
        : float4_linear(measured(tensors, d), std::move(tensors)) {}

    std::string type() const override {
        return shape_.is_mx     ? "compressed-tensors mxfp4"
               : shape_.divides ? "compressed-tensors nvfp4"
                                : "ModelOpt nvfp4";
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    std::optional<coded_matrix> form() const override { return empty(1); }

private:
    coded_matrix read_numbers() const override {
        auto m = empty(rows());
        std::byte const* from = tensors_.find(shape_.codes)->bytes.data();
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t c = 0; c < cols(); c += 2, ++from) {
                m.codes(r, c) = std::to_integer<std::uint8_t>(*from & std::byte{15});
                m.codes(r, c + 1) = std::to_integer<std::uint8_t>(*from >> 4);
            }
        m.scales = shape_.is_mx ? detail::e8m0_scales(tensors_, "weight_scale") : nv_scales();
        return m;
    }

    struct shapes {
        std::size_t out, in;
        bool is_mx, divides;
        std::string_view codes, global;
    };

    float4_linear(shapes const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), shape_(s) {}

    static shapes measured(linear_tensors const& t, quantization_description const& d) {
        using enum safetensors_type;
        detail::refuse_activations(t);
        shapes s{0, 0, false, t.has("weight_packed"), "weight", "weight_scale_2"};
        if (s.divides) s.codes = "weight_packed", s.global = "weight_global_scale";
        t.allow_only({s.codes, "weight_scale", s.global});
        auto const& codes = t.require(s.codes, {u8}, 2);
        auto const& scales = t.require("weight_scale", {f8_e4m3, u8, f8_e8m0}, 2);
        s.is_mx = scales.type != f8_e4m3;
        s.out = codes.shape[0];
        s.in = 2 * codes.shape[1];
        const std::size_t group = s.is_mx ? 32 : 16;
        if (s.is_mx && 3 * 32 * scales.shape[1] == 4 * codes.shape[1])
            throw format_error(t.who(s.codes) + ": floats of 6 bits (mxfp6) are not read");
        if (s.in % group != 0)
            throw format_error(t.who(s.codes) + ": inputs in groups of " + std::to_string(group) + " are expected, " +
                               std::to_string(s.in) + " inputs were found");
        t.require("weight_scale", {scales.type}, {s.out, s.in / group});
        if (s.is_mx)
            t.allow_only({s.codes, "weight_scale"});
        else if (auto const& global = t.require(s.global, {f32}, t.has(s.global) ? t.find(s.global)->shape.size() : 1);
                 global.size() != 1)
            throw format_error(t.who(s.global) + ": one number is expected, shape " + shape_text(global.shape) +
                               " was found");
        detail::require_said(t, d, 4, true);
        return s;
    }

    coded_matrix empty(std::size_t rows) const {
        coded_matrix m(4, rows, cols(), shape_.is_mx ? 32 : 16);
        m.levels.assign(e2m1_table.begin(), e2m1_table.end());
        return m;
    }

    matrix<float> nv_scales() const {
        const float global = tensors_.floats(shape_.global).data()[0];
        if (!(global > 0))
            throw format_error(tensors_.who(shape_.global) + ": a number above 0 is expected, " +
                               std::to_string(global) + " was found");
        auto const& stored = *tensors_.find("weight_scale");
        matrix<float> scales(stored.shape[0], stored.shape[1]);
        for (std::size_t i = 0; i < stored.size(); ++i) {
            const float local = e4m3_value(std::to_integer<std::uint8_t>(stored.bytes[i]));
            scales.data()[i] = shape_.divides ? local / global : local * global;
            if (!std::isfinite(6 * scales.data()[i]))
                throw format_error(tensors_.who("weight_scale") + ": row " + std::to_string(i / scales.cols()) +
                                   ", column " + std::to_string(i % scales.cols()) + " is not finite");
        }
        return scales;
    }

    linear_tensors tensors_;
    shapes shape_;
};

} // namespace bitlens
