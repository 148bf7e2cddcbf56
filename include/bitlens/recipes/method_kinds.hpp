#pragma once
/// The kinds of quantization methods: what each is told, how its text is read and written, which quantizer it is for
/// a format.

#include "bitlens/layers/block.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/quantizers/shifted.hpp"
#include "bitlens/recipes/calibration_preset.hpp"
#include "bitlens/recipes/method_words.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bitlens {

/// A kind of methods is an aggregate of their knobs:
///   Kind::usage             what their texts begin with
///   Kind::read(words)       the method of a text; takes the words that it knows
///   k.text()                the text that reads as k
///   k.bytes(shape)          of a matrix of that shape, packed
///   k.quantizer<F>()        its quantizer for the format F, or nothing where that is not the format it packs to;
///                           a template for the formats that a kind can pack to at all
/// Where the quantizer is a calibrated_quantizer, or scales between layers are searched, the kind says how texts become
/// the documents that it looks at, `calibration = gptq_calibration`, and a walk over a model quantizes with it.
template <class K>
concept method_kind = requires(K const& k, method_words& words, matrix_shape shape) {
    { K::usage } -> std::convertible_to<method_usage>;
    { K::read(words) } -> std::same_as<K>;
    { k.text() } -> std::same_as<std::string>;
    { k.bytes(shape) } -> std::same_as<std::uint64_t>;
    { k == k } -> std::convertible_to<bool>;
};

template <class K>
inline constexpr bool is_calibrated = requires {
    { K::calibration } -> std::convertible_to<calibration_preset>;
};

namespace detail {

inline std::string method_text(method_usage const& usage, int bits, std::size_t group_size) {
    return std::string(usage.word) + std::to_string(bits) + group_suffix(group_size);
}

/// Codes, and a float and a zero point for each group.
constexpr std::uint64_t packed_bytes(matrix_shape shape, int bits, std::size_t group_size) noexcept {
    const std::uint64_t groups = group_size == 0 ? 1 : (shape.cols + group_size - 1) / group_size;
    return shape.rows * (shape.cols * static_cast<std::uint64_t>(bits) / 8 + groups * 5);
}

/// Of the columns and places of a matrix that has an order.
constexpr std::uint64_t order_bytes(matrix_shape shape) noexcept { return shape.cols * 2 * sizeof(std::uint32_t); }

/// "-shift".   Errors: option_error for a group that is the whole row.
inline bool is_shifted(method_words& words) {
    const bool is = words.flag("shift");
    if (is && words.group_size() == 0) words.refuse("'-shift' moves groups, of which a row has one");
    return is;
}

/// Whether F is the uniform format of these numbers.
template <quant_format F>
constexpr bool is_format(int bits, std::size_t group_size, bool symmetric) noexcept {
    return F::bits == bits && F::group_size == group_size && F::has_zero != symmetric;
}

} // namespace detail

/// Round to nearest: "rtn3-g64", "rtn4-row-sym".
struct rtn_method {
    static constexpr method_usage usage{"rtn", 2, 8,
                                        "-sym: on a grid symmetric about 0; -shift: groups moved by half of one"};

    int bits = 4;
    std::size_t group_size = 0; ///< 0: a whole row
    bool symmetric = false;
    bool shifted_groups = false;

    bool operator==(rtn_method const&) const = default;
    static rtn_method read(method_words& words) {
        return {words.bits(), words.group_size(), words.flag("sym"), detail::is_shifted(words)};
    }
    std::string text() const {
        return detail::method_text(usage, bits, group_size) + (symmetric ? "-sym" : "") +
               (shifted_groups ? "-shift" : "");
    }
    std::uint64_t bytes(matrix_shape shape) const {
        return detail::packed_bytes(shape, bits, group_size) + (shifted_groups ? detail::order_bytes(shape) : 0);
    }
    template <quant_format F>
        requires is_uniform<F> std::optional<shifted<rtn<F>>> quantizer()
    const {
        if (!detail::is_format<F>(bits, group_size, symmetric)) return std::nullopt;
        return shifted<rtn<F>>{{}, shifted_groups ? group_size / 2 : 0};
    }
};

/// NormalFloat: "nf3-g64", "nf4-row-dq".
struct normal_float_method {
    static constexpr method_usage usage{"nf", 3, 4,
                                        "-dq: scales are quantized too; -shift: groups moved by half of one"};

    int bits = 4;
    std::size_t group_size = 0; ///< 0: a whole row
    bool nested_scales = false;
    bool shifted_groups = false;

    bool operator==(normal_float_method const&) const = default;
    static normal_float_method read(method_words& words) {
        return {words.bits(), words.group_size(), words.flag("dq"), detail::is_shifted(words)};
    }
    std::string text() const {
        return detail::method_text(usage, bits, group_size) + (nested_scales ? "-dq" : "") +
               (shifted_groups ? "-shift" : "");
    }
    std::uint64_t bytes(matrix_shape shape) const {
        return detail::packed_bytes(shape, bits, group_size) + (shifted_groups ? detail::order_bytes(shape) : 0);
    }
    template <quant_format F>
        requires is_normal_float<F> std::optional<shifted<absmax<F>>> quantizer()
    const {
        if (F::bits != bits || F::group_size != group_size) return std::nullopt;
        return shifted<absmax<F>>{{nested_scales}, shifted_groups ? group_size / 2 : 0};
    }
};

static_assert(method_kind<rtn_method> && method_kind<normal_float_method>);

} // namespace bitlens
