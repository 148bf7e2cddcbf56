#pragma once
/// micro_kernel_of: the micro-kernel of each arithmetic.

#include "bitlens/core/arithmetic.hpp"
#include "bitlens/kernels/bf16_dot_micro_kernel.hpp"
#include "bitlens/kernels/bf16_emulated_micro_kernel.hpp"
#include "bitlens/kernels/bf16_tile_micro_kernel.hpp"
#include "bitlens/kernels/f32_micro_kernel.hpp"

namespace bitlens {

namespace detail {
template <class Kernel>
inline constexpr micro_kernel the_micro_kernel{Kernel{}};
}

/// Runs where `a` is available.
template <class Arch = simd::default_arch>
micro_kernel const& micro_kernel_of(arithmetic a) noexcept {
    switch (a) {
    case arithmetic::f32:
        return detail::the_micro_kernel<f32_micro_kernel<Arch>>;
#if defined(__x86_64__)
    case arithmetic::bf16_dot:
        return detail::the_micro_kernel<bf16_dot_micro_kernel<Arch>>;
    case arithmetic::bf16_tile:
        return detail::the_micro_kernel<bf16_tile_micro_kernel<Arch>>;
#else
    case arithmetic::bf16_dot: // available on no such machine
    case arithmetic::bf16_tile:
#endif
    case arithmetic::bf16_emulated:
        break;
    }
    return detail::the_micro_kernel<bf16_emulated_micro_kernel<Arch>>;
}

} // namespace bitlens
