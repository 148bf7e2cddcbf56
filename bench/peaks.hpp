#pragma once
/// What the machine can do at most, measured beside every kernel: float32 FMA, bf16 dot products and tiles, and reading
/// memory.

#include "bitlens/core/arithmetic.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/kernels/micro_kernels.hpp"
#include "bitlens/simd/batch.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace bitlens::bench {

inline double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Where results go that nobody reads, lest the compiler drop the work that made them.
inline volatile float sink = 0;

namespace detail {

/// a ← a · m + b in as many registers as there are I: enough to hide the latency.
template <std::size_t... I>
float fma_chains(std::index_sequence<I...>, std::size_t steps, float m, float b) {
    using vec = simd::batch<float, simd::default_arch>;
    vec a[] = {vec(static_cast<float>(I))...};
    const vec factor(m), term(b);
    for (std::size_t i = 0; i < steps; ++i) ((a[I] = simd::fma(a[I], factor, term)), ...);
    return (simd::sum(a[I]) + ...);
}

#if defined(__x86_64__)
/// Dot products of bf16 pairs into twelve registers, which differ: of equal ones the compiler keeps one.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] inline float dot_chains(std::size_t steps) {
    __m512 a[12];
    const __m512i pairs = _mm512_set1_epi32(0x3F803F80); // ones
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm512_set1_ps(static_cast<float>(i));
    for (std::size_t i = 0; i < steps; ++i)
#pragma GCC unroll 12
        for (auto& sum : a) sum = _mm512_dpbf16_ps(sum, (__m512bh)pairs, (__m512bh)pairs);
    float numbers[16];
    for (std::size_t i = 1; i < 12; ++i) a[0] = _mm512_add_ps(a[0], a[i]);
    _mm512_storeu_ps(numbers, a[0]);
    return numbers[0];
}

/// Products of tiles into four others. Tiles of ones: with zeros the processor draws less power and runs faster than it
/// does on any numbers.
[[gnu::target("amx-tile,amx-bf16")]] inline void tile_chains(std::size_t steps) {
    const micro_kernel_session session(micro_kernel_of(arithmetic::bf16_tile));
    alignas(64) std::uint32_t ones[256];
    std::ranges::fill(ones, 0x3F803F80u);
    std::atomic_signal_fence(std::memory_order_seq_cst); // loads of tiles do not tell g++ 12 that they read memory
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, ones, 64);
    _tile_loadd(5, ones, 64);
    for (std::size_t i = 0; i < steps; ++i) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
}
#endif

/// Reads four streams at once, as matvec does its rows: one alone does not fill the memory's pipes.
inline float sum_of(const float* first, std::size_t count) {
    using vec = simd::batch<float, simd::default_arch>;
    constexpr std::size_t streams = 4, step = 2 * vec::size;
    vec total[2 * streams];
    for (auto& t : total) t = vec(0.0f);
    for (std::size_t i = 0; i + step <= count / streams; i += step)
        for (std::size_t k = 0; k < streams; ++k)
            for (std::size_t half = 0; half < 2; ++half)
                total[2 * k + half] =
                    total[2 * k + half] + vec::load_unaligned(first + k * (count / streams) + i + half * vec::size);
    float sum = 0;
    for (auto const& t : total) sum += simd::sum(t);
    return sum;
}

} // namespace detail

/// float32 operations per second of `cores` cores together; an FMA is two.
inline double fma_peak(unsigned cores) {
    constexpr std::size_t chains = 12, steps = 400'000;
    const double start = seconds();
    parallel_for(cores, [](std::size_t i) {
        sink = detail::fma_chains(std::make_index_sequence<chains>{}, steps, 0.999f, 1.0f + static_cast<float>(i));
    });
    return 2.0 * static_cast<double>(chains * simd::lanes<simd::default_arch> * steps * cores) / (seconds() - start);
}

/// Operations per second of `cores` cores together in an arithmetic that the machine has.
inline double peak_of(arithmetic a, unsigned cores) {
#if defined(__x86_64__)
    const auto rate = [&](double operations, auto const& work) {
        const double start = seconds();
        parallel_for(cores, [&](std::size_t) { work(); });
        return operations * cores / (seconds() - start);
    };
    if (a == arithmetic::bf16_dot) {
        constexpr std::size_t steps = 400'000;
        return rate(12.0 * 16 * 2 * 2 * steps, [] { sink = detail::dot_chains(steps); });
    }
    if (a == arithmetic::bf16_tile) {
        constexpr std::size_t steps = 40'000;
        return rate(4.0 * 16 * 16 * 32 * 2 * steps, [] { detail::tile_chains(steps); });
    }
#endif
    return fma_peak(cores);
}

/// Bytes per second of `cores` cores that read `buffer` once, together.
inline double read_bandwidth(aligned_array<float> const& buffer, unsigned cores) {
    const double start = seconds();
    parallel_pieces(buffer.size(), cores, 1024, [&](std::size_t, std::size_t begin, std::size_t end) {
        sink = detail::sum_of(buffer.data() + begin, end - begin);
    });
    return static_cast<double>(buffer.size() * sizeof(float)) / (seconds() - start);
}

/// Bytes of the largest cache of core 0; 32 MiB where the system does not say.
inline std::size_t last_level_cache() {
    std::size_t largest = 0;
    std::error_code none;
    for (auto const& entry : std::filesystem::directory_iterator("/sys/devices/system/cpu/cpu0/cache", none)) {
        std::size_t kilobytes = 0;
        if (std::ifstream file(entry.path() / "size"); file >> kilobytes) largest = std::max(largest, kilobytes * 1024);
    }
    return largest > 0 ? largest : std::size_t{32} << 20;
}

} // namespace bitlens::bench
