#pragma once
/// arithmetic: what the products of activations and weights are computed with. All else is float32.

#include "bitlens/core/error.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bitlens {

enum class arithmetic : std::uint8_t {
    f32,           ///< float32 operands and sums, fused multiply-adds
    bf16_emulated, ///< operands rounded to bf16, then as f32: their products are exact in float32
    bf16_dot,      ///< AVX512_BF16: operands rounded to bf16, products summed in float32 two at a time
    bf16_tile,     ///< AMX-BF16: the same, in tiles of 16 rows
};

inline constexpr std::array all_arithmetics{arithmetic::f32, arithmetic::bf16_emulated, arithmetic::bf16_dot,
                                            arithmetic::bf16_tile};

/// "float32", "bf16 (AMX tiles)" …
constexpr std::string_view name(arithmetic a) noexcept {
    switch (a) {
    case arithmetic::f32:
        return "float32";
    case arithmetic::bf16_emulated:
        return "bf16 (emulated)";
    case arithmetic::bf16_dot:
        return "bf16 (AVX-512 dot products)";
    case arithmetic::bf16_tile:
        break;
    }
    return "bf16 (AMX tiles)";
}

namespace detail {

#if defined(__x86_64__) && defined(__linux__)
inline bool has_avx512_bf16() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1) != 0;
}
/// Asks the system for the state of the tiles, which it grants a process once and for all its threads.
inline bool has_amx_bf16() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!has_avx512_bf16() || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
    const bool bf16_instructions = (d >> 22 & 1) != 0, tiles = (d >> 24 & 1) != 0;
    constexpr long request_permission = 0x1023, tile_data = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA of Linux
    return bf16_instructions && tiles && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
inline bool has_avx512_bf16() noexcept { return false; }
inline bool has_amx_bf16() noexcept { return false; }
#endif

} // namespace detail

/// Whether this machine can, and its system lets us.
inline bool is_available(arithmetic a) noexcept {
    if (a == arithmetic::bf16_dot) {
        static const bool dot = detail::has_avx512_bf16();
        return dot;
    }
    if (a == arithmetic::bf16_tile) {
        static const bool tile = detail::has_amx_bf16();
        return tile;
    }
    return true;
}

/// Errors: option_error unless it is available.
inline arithmetic checked(arithmetic a) {
    if (!is_available(a))
        throw option_error("arithmetic " + std::string(name(a)) +
                           ": this machine has none; best_bf16() is the fastest bf16 that it has");
    return a;
}

/// The fastest bf16 that is available.
inline arithmetic best_bf16() noexcept {
    for (const arithmetic a : {arithmetic::bf16_tile, arithmetic::bf16_dot})
        if (is_available(a)) return a;
    return arithmetic::bf16_emulated;
}

} // namespace bitlens
