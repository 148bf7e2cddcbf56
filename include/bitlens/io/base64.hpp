#pragma once
/// Base64 as RFC 4648 has it in section 4, read strictly.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

namespace detail {

/// The value of each digit; 64 for what is none.
inline constexpr std::array<std::uint8_t, 256> base64_digits = [] {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::array<std::uint8_t, 256> values{};
    values.fill(64);
    for (std::size_t i = 0; i < digits.size(); ++i)
        values[static_cast<unsigned char>(digits[i])] = static_cast<std::uint8_t>(i);
    return values;
}();

} // namespace detail

/// The bytes that a text stands for, or nothing where it is not what an encoder writes: four digits for three bytes,
/// the last four filled with '=', no bit set beyond the last byte, no blanks.
inline std::optional<std::string> decode_base64(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    const std::size_t filled = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    text.remove_suffix(filled);
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t bits = 0;
    unsigned count = 0; // of bits not yet in a byte
    for (const char c : text) {
        const std::uint8_t digit = detail::base64_digits[static_cast<unsigned char>(c)];
        if (digit == 64) return std::nullopt;
        bits = (bits << 6 | digit) & 0xFFFF;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        bytes.push_back(static_cast<char>(static_cast<unsigned char>(bits >> count)));
    }
    const bool is_clean = (bits & ((1u << count) - 1)) == 0;
    return is_clean ? std::optional(std::move(bytes)) : std::nullopt;
}

} // namespace bitlens
