#pragma once
/// Instruction sets: the one door to xsimd, and `scalar`, an instruction set of one lane for machines xsimd lacks.

#include "bitlens/core/intrinsics.hpp"

#include <xsimd/xsimd.hpp>

#include <concepts>
#include <string>
#include <type_traits>

namespace bitlens::simd {

/// One lane, plain C++: the twin that shows what the vector units compute.
struct scalar {
    static constexpr const char* name() noexcept { return "scalar"; }
};

/// The best instruction set this program was compiled for.
using default_arch =
    std::conditional_t<std::is_same_v<xsimd::default_arch, xsimd::unsupported>, scalar, xsimd::default_arch>;

template <class Arch>
std::string arch_name() {
    return Arch::name();
}

#ifdef __AVX512F__
/// The mask of the `maskz` intrinsics that we prefer: the plain ones start from an undefined register, about which g++
/// 12 warns wherever they are inlined. The instruction is the same.
inline constexpr __mmask16 all_lanes = 0xFFFF;

template <class Arch>
concept avx512_arch = std::derived_from<Arch, xsimd::avx512f>;
#else
template <class Arch>
concept avx512_arch = false;
#endif

#ifdef __AVX2__
template <class Arch>
concept avx2_arch = std::derived_from<Arch, xsimd::avx2>;
#else
template <class Arch>
concept avx2_arch = false;
#endif

#ifdef __SSE4_1__
template <class Arch>
concept sse4_arch = std::derived_from<Arch, xsimd::sse4_1> && !avx2_arch<Arch> && !avx512_arch<Arch>;
#else
template <class Arch>
concept sse4_arch = false;
#endif

/// Whether a kernel may keep some 28 registers busy, rather than 15.
template <class Arch>
inline constexpr bool has_32_registers = avx512_arch<Arch> || std::is_same_v<Arch, xsimd::neon64>;

} // namespace bitlens::simd
