#pragma once
/// Our own seeded generator: the same numbers on every platform and standard library.

#include "bitlens/core/error.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace bitlens {

/// xoshiro256** (Blackman & Vigna 2018), seeded by splitmix64. Satisfies std::uniform_random_bit_generator.
class random_generator {
public:
    using result_type = std::uint64_t;

    explicit constexpr random_generator(std::uint64_t seed) noexcept {
        for (auto& word : state_) {
            std::uint64_t z = seed += 0x9E3779B97F4A7C15u;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
            word = z ^ (z >> 31);
        }
    }
    static constexpr result_type min() noexcept { return 0; }
    static constexpr result_type max() noexcept { return ~result_type{0}; }

    constexpr result_type operator()() noexcept {
        const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
        const std::uint64_t t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }
    /// Uniform in 0 … n − 1, without bias. n ≥ 1 is asserted.
    constexpr std::uint64_t below(std::uint64_t n) noexcept {
        BITLENS_ASSERT(n > 0);
        const std::uint64_t rejected = (0 - n) % n; // 2⁶⁴ mod n
        for (;;)
            if (const std::uint64_t x = (*this)(); x >= rejected) return x % n;
    }
    /// Uniform in [0, 1), 53 bits.
    constexpr double uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
    /// Standard normal (Box & Muller 1958), one of the pair.
    double normal() noexcept {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
        return radius * std::cos(2.0 * std::numbers::pi * uniform());
    }

private:
    std::uint64_t state_[4] = {};
};

} // namespace bitlens
