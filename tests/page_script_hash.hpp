#pragma once
/// What a page must name for a script to run.

#include "bitlens/io/sha256.hpp"

#include <string>
#include <string_view>

namespace bitlens::test {

/// Base64 of the SHA-256.
inline std::string base64_sha256(std::string_view code) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string base64;
    unsigned held = 0, bits = 0;
    for (const char c :
         sha256_of(code) + "0") { // 64 digits of 4 bits, filled up to a multiple of 6 bits by a few zeros
        held = held << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
        for (bits += 4; bits >= 6; bits -= 6) base64 += digits[held >> (bits - 6) & 63u];
    }
    return base64 + "=";
}

} // namespace bitlens::test
