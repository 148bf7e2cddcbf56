#pragma once
/// Files of tiktoken put together by hand.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens::test {

inline std::string base64_of(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t three = 0;
        for (std::size_t k = 0; k < 3; ++k)
            three = three << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : digits[three >> (18 - 6 * k) & 63];
    }
    return text;
}

/// The 256 bytes and more tokens.
inline std::vector<std::string> byte_tokens(std::vector<std::string> const& more) {
    std::vector<std::string> tokens;
    for (unsigned b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(static_cast<unsigned char>(b)));
    tokens.insert(tokens.end(), more.begin(), more.end());
    return tokens;
}

inline std::string tiktoken_text(std::vector<std::string> const& more) {
    std::string text;
    std::size_t rank = 0;
    for (auto const& token : byte_tokens(more)) text += base64_of(token) + " " + std::to_string(rank++) + "\n";
    return text;
}

} // namespace bitlens::test
