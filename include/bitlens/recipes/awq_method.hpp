#pragma once
/// awq_method: AWQ among the kinds of methods, "awq3-g128", "awq4-g128:clip=off".

#include "bitlens/quantizers/awq.hpp"
#include "bitlens/recipes/calibration_preset.hpp"
#include "bitlens/recipes/method_kinds.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bitlens {

struct awq_method {
    static constexpr method_usage usage{
        "awq", 2, 8, "-sym: on a grid symmetric about 0; after ':' scale and clip, as in awq4-g128:clip=off"};
    static constexpr calibration_preset calibration = awq_calibration;

    int bits = 4;
    std::size_t group_size = 0; ///< 0: a whole row
    bool symmetric = false;
    bool scale = true; ///< search scales of channels
    bool clip = true;  ///< search clips of groups

    bool operator==(awq_method const&) const = default;
    static awq_method read(method_words& words) {
        awq_method m{words.bits(), words.group_size(), words.flag("sym")};
        m.scale = words.on_off("scale", m.scale);
        m.clip = words.on_off("clip", m.clip);
        return m;
    }
    std::string text() const {
        return detail::method_text(usage, bits, group_size) + (symmetric ? "-sym" : "") +
               option_texts().add("scale", scale, true).add("clip", clip, true).text();
    }
    std::uint64_t bytes(matrix_shape shape) const { return detail::packed_bytes(shape, bits, group_size); }
    template <quant_format F>
        requires is_uniform<F> std::optional<awq<F>> quantizer()
    const {
        if (!detail::is_format<F>(bits, group_size, symmetric)) return std::nullopt;
        return awq<F>{clip};
    }
};

static_assert(method_kind<awq_method>);

} // namespace bitlens
