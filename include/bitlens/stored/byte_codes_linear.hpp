#pragma once
/// byte_codes_linear: a layer with one code a byte, integers or floats of 8 bits.
///
///     P.weight I8 or F8_E4M3 (out, in)   P.weight_scale (out, groups), (out, 1), (1), or of blocks of rows and columns
///     P.weight_zero_point I8, as the scales; of integers, may be absent
///
/// w = scale · (q − zero). Scales in U8 or F8_E8M0, of groups of 32, are powers of two (MXFP8).
/// Source: compressed-tensors, naive_quantized (int-quantized and float-quantized are the same on disk).

#include "bitlens/core/error.hpp"
#include "bitlens/stored/compressed_linear.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/low_bit_floats.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

namespace detail {

/// Scales that are powers of two.   Errors: format_error naming the place, for a NaN.
inline matrix<float> e8m0_scales(linear_tensors const& t, std::string_view suffix) {
    auto const& stored = *t.find(suffix);
    matrix<float> scales(stored.shape[0], stored.shape[1]);
    for (std::size_t i = 0; i < stored.size(); ++i) {
        const auto exponent = std::to_integer<std::uint8_t>(stored.bytes[i]);
        if (exponent == 255)
            throw format_error(t.who(suffix) + ": row " + std::to_string(i / scales.cols()) + ", column " +
                               std::to_string(i % scales.cols()) + " is 255, which is no number in E8M0");
        scales.data()[i] = e8m0_value(exponent);
    }
    return scales;
}

} // namespace detail

/// Errors at construction: as of compressed_linear.
class byte_codes_linear final : public stored_linear {
public:
    byte_codes_linear(linear_tensors tensors, quantization_description const& d)
        : byte_codes_linear(measured(tensors, d), std::move(tensors)) {}

    std::string type() const override {
        const std::string name = is_float() ? (is_mx() ? "mxfp8" : "fp8") : "int" + std::to_string(shape_.bits);
        return "compressed-tensors " + name + detail::group_text(shape_.scales, cols());
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    /// Integers with zeros of their own, if there are any; floats of 8 bits are in no format.
    std::optional<coded_matrix> form() const override {
        if (is_float()) return std::nullopt;
        coded_matrix m(shape_.bits, 1, cols(), shape_.scales.columns);
        m.zeros = matrix<float>(1, m.groups());
        if (!tensors_.has("weight_zero_point")) std::ranges::fill(m.zeros.span(), static_cast<float>(middle()));
        return m;
    }

private:
    coded_matrix read_numbers() const override {
        coded_matrix m(shape_.bits, rows(), cols(), shape_.scales.columns);
        const int above = middle(), end = 1 << shape_.bits;
        std::byte const* from = tensors_.find("weight")->bytes.data();
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t c = 0; c < cols(); ++c, ++from) {
                const auto bits = std::to_integer<std::uint8_t>(*from);
                const int code = is_float() ? bits : load<std::int8_t>(from) + above;
                if (is_float() ? std::isnan(e4m3_value(bits)) : code < 0 || code >= end)
                    throw format_error(tensors_.who("weight") + ": row " + std::to_string(r) + ", column " +
                                       std::to_string(c) + " is " +
                                       (is_float() ? "not finite"
                                                   : std::to_string(code - above) + ", which is no code of " +
                                                         std::to_string(shape_.bits) + " bits"));
                m.codes(r, c) = static_cast<std::uint8_t>(code);
            }
        m.scales = detail::spread_scales(is_mx() ? detail::e8m0_scales(tensors_, "weight_scale")
                                                 : tensors_.floats("weight_scale"),
                                         shape_.scales, rows());
        if (is_float()) {
            m.levels.resize(256);
            for (std::size_t q = 0; q < 256; ++q) {
                const float level = e4m3_value(static_cast<std::uint8_t>(q));
                m.levels[q] = std::isnan(level) ? 0.0f : level; // of no code that is there
            }
            return m;
        }
        m.zeros = matrix<float>(rows(), shape_.scales.groups);
        auto const* const zeros = tensors_.find("weight_zero_point");
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t g = 0; g < m.groups(); ++g) {
                const std::size_t at = r / shape_.scales.block_rows * m.groups() + g;
                m.zeros(r, g) =
                    static_cast<float>(above + (zeros == nullptr ? 0 : load<std::int8_t>(zeros->bytes.data() + at)));
            }
        return m;
    }

    struct shapes {
        std::size_t out, in;
        int bits;
        detail::scale_layout scales;
    };

    byte_codes_linear(shapes const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), shape_(s) {}

    static shapes measured(linear_tensors const& t, quantization_description const& d) {
        using enum safetensors_type;
        detail::refuse_activations(t);
        t.allow_only({"weight", "weight_scale", "weight_zero_point"});
        auto const& codes = t.require("weight", {i8, f8_e4m3}, 2);
        const bool is_float = codes.type == f8_e4m3;
        shapes s{codes.shape[0], codes.shape[1], 8, {}};
        auto const* const said = detail::said_of(t, d);
        if (said != nullptr && !is_float && said->bits >= 1 && said->bits < 8) s.bits = static_cast<int>(said->bits);
        detail::require_said(t, d, s.bits, is_float);
        auto const* const scales = t.find("weight_scale");
        const std::size_t rank = scales == nullptr ? 2 : scales->shape.size();
        if (scales != nullptr && is_float && (scales->type == u8 || scales->type == f8_e8m0)) {
            t.require("weight_scale", {u8, f8_e8m0}, {s.out, (s.in + 31) / 32});
            s.scales = {32, (s.in + 31) / 32, 1};
        } else {
            t.require("weight_scale", detail::float_types, rank);
            s.scales = detail::scale_layout_of(t, "weight_scale", s.out, s.in, said);
        }
        if (t.has("weight_zero_point")) {
            if (is_float) throw format_error(t.who("weight_zero_point") + ": floats of 8 bits have no zero");
            t.require("weight_zero_point", {i8}, scales->shape);
        }
        return s;
    }

    /// The code of a signed 0.
    int middle() const { return is_float() ? 0 : 1 << (shape_.bits - 1); }
    bool is_float() const { return tensors_.find("weight")->type == safetensors_type::f8_e4m3; }
    bool is_mx() const {
        const auto type = tensors_.find("weight_scale")->type;
        return type == safetensors_type::u8 || type == safetensors_type::f8_e8m0;
    }

    linear_tensors tensors_;
    shapes shape_;
};

} // namespace bitlens
