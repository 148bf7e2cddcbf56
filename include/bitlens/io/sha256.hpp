#pragma once
/// SHA-256, to say which model, tokenizer and data a run has used.   Source: FIPS 180-4, section 6.2.

#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// The hash of bytes that come in pieces.
class sha256 {
public:
    void update(std::span<const std::byte> bytes) noexcept {
        length_ += bytes.size();
        if (filled_ > 0) {
            const std::size_t n = std::min(bytes.size(), block_.size() - filled_);
            std::ranges::copy(bytes.first(n), block_.begin() + static_cast<std::ptrdiff_t>(filled_));
            filled_ += n;
            bytes = bytes.subspan(n);
            if (filled_ < block_.size()) return;
            add_block(block_.data());
            filled_ = 0;
        }
        for (; bytes.size() >= block_.size(); bytes = bytes.subspan(block_.size())) add_block(bytes.data());
        std::ranges::copy(bytes, block_.begin());
        filled_ = bytes.size();
    }

    /// 64 hexadecimal digits. Once; no update may follow.
    std::string hex() {
        const std::uint64_t bits = length_ * 8;
        std::array<std::byte, 72> padding{std::byte{0x80}};
        const std::size_t zeros = (119 - filled_) % 64; // up to 8 bytes before the end of a block
        for (std::size_t i = 0; i < 8; ++i) padding[1 + zeros + i] = static_cast<std::byte>(bits >> (56 - 8 * i));
        update(std::span(padding).first(1 + zeros + 8));
        constexpr char digits[] = "0123456789abcdef";
        std::string text;
        for (const std::uint32_t word : state_)
            for (int shift = 28; shift >= 0; shift -= 4) text += digits[word >> shift & 15u];
        return text;
    }

private:
    void add_block(std::byte const* block) noexcept {
        // The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
        static constexpr std::array<std::uint32_t, 64> k{
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
            0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
            0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
            0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
            0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
            0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
            0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
            0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
        std::array<std::uint32_t, 64> w;
        for (std::size_t t = 0; t < 16; ++t) {
            const auto b = [&](std::size_t i) { return std::to_integer<std::uint32_t>(block[4 * t + i]); };
            w[t] = b(0) << 24 | b(1) << 16 | b(2) << 8 | b(3);
        }
        for (std::size_t t = 16; t < 64; ++t) {
            const std::uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
            const std::uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
            w[t] = w[t - 16] + s0 + w[t - 7] + s1;
        }
        auto [a, b, c, d, e, f, g, h] = state_;
        for (std::size_t t = 0; t < 64; ++t) {
            const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
            const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + k[t] + w[t];
            const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
            const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        const std::array<std::uint32_t, 8> sum{a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < sum.size(); ++i) state_[i] += sum[i];
    }

    // The first 32 bits of the fractional parts of the square roots of the first 8 primes.
    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::byte, 64> block_{};
    std::size_t filled_ = 0;   // bytes of block_ that wait
    std::uint64_t length_ = 0; // bytes in all
};

/// 64 hexadecimal digits.
inline std::string sha256_of(std::span<const std::byte> bytes) {
    sha256 hash;
    hash.update(bytes);
    return hash.hex();
}
inline std::string sha256_of(std::string_view text) { return sha256_of(as_bytes(text)); }

/// The hash of a file, read in pieces.   Errors: io_error that names the path.
inline std::string sha256_of_file(std::filesystem::path const& path) {
    const auto file = detail::open_regular(path).first;
    std::vector<std::byte> piece(std::size_t{1} << 20);
    sha256 hash;
    for (;;) {
        const std::size_t n = detail::read_fully(file, piece.data(), piece.size(), path);
        hash.update(std::span(piece).first(n));
        if (n < piece.size()) return hash.hex();
    }
}

} // namespace bitlens
