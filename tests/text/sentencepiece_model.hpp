#pragma once
/// SentencePiece models put together by hand, message by message.

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens::test {

inline std::string varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(static_cast<unsigned char>(value | 0x80));
    return bytes + static_cast<char>(value);
}
inline std::string number_field(unsigned number, std::int64_t value) {
    return varint(number << 3) + varint(static_cast<std::uint64_t>(value));
}
inline std::string float_field(unsigned number, float value) {
    std::string bytes = varint(number << 3 | 5);
    for (unsigned shift = 0; shift < 32; shift += 8)
        bytes += static_cast<char>(static_cast<unsigned char>(std::bit_cast<std::uint32_t>(value) >> shift));
    return bytes;
}
inline std::string bytes_field(unsigned number, std::string_view bytes) {
    return (varint(number << 3 | 2) + varint(bytes.size())).append(bytes);
}

enum piece_type : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };

inline std::string piece(std::string_view text, float score = 0, std::int32_t type = normal) {
    return bytes_field(1, bytes_field(1, text) + float_field(2, score) + (type == normal ? "" : number_field(3, type)));
}
inline std::string trainer(std::string_view more = "") {
    return bytes_field(2, number_field(3, 2).append(more)); // BPE
}
/// As all models here are normalized, but for `dummy_prefix`.
inline std::string normalizer_spec(bool dummy_prefix = true, std::string_view more = "") {
    return bytes_field(3,
                       (bytes_field(1, "identity") + number_field(3, dummy_prefix) + number_field(4, 0)).append(more));
}
/// The 256 pieces of single bytes.
inline std::string byte_pieces() {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string all;
    for (unsigned b = 0; b < 256; ++b)
        all += piece(std::string("<0x") + digits[b >> 4] + digits[b & 15] + ">", 0, byte);
    return all;
}

} // namespace bitlens::test
