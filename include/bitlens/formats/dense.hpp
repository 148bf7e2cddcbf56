#pragma once
/// dense: one number per weight, as full-precision checkpoints store them.

#include "bitlens/core/half.hpp"
#include "bitlens/formats/quant_format.hpp"

namespace bitlens {

/// w = the stored number, read as float. T is float, bf16 or f16.
template <class T>
struct dense {
    static_assert(std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, f16>,
                  "dense: the number type is float, bf16 or f16");
    using value_type = T;
    static std::string name() {
        if constexpr (std::same_as<T, float>)
            return "f32";
        else if constexpr (std::same_as<T, bf16>)
            return "bf16";
        else
            return "f16";
    }
};

template <class F>
concept dense_format = requires {
    typename F::value_type;
}
&&std::same_as<F, dense<typename F::value_type>>;

/// What a weight matrix can be stored as.
template <class F>
concept weight_format = quant_format<F> || dense_format<F>;

static_assert(dense_format<dense<bf16>> && !quant_format<dense<bf16>>);

} // namespace bitlens
