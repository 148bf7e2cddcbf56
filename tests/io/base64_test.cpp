#include "bitlens/io/base64.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

using namespace bitlens;

TEST_CASE("what RFC 4648 gives in section 10 is read back") {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 7> known{{{"", ""},
                                                                                  {"Zg==", "f"},
                                                                                  {"Zm8=", "fo"},
                                                                                  {"Zm9v", "foo"},
                                                                                  {"Zm9vYg==", "foob"},
                                                                                  {"Zm9vYmE=", "fooba"},
                                                                                  {"Zm9vYmFy", "foobar"}}};
    for (auto const& [text, bytes] : known) CHECK(decode_base64(text) == std::string(bytes));
    CHECK(decode_base64("AP9/gA==") == std::string("\0\xFF\x7F\x80", 4));
    CHECK(decode_base64("+/+/") == std::string("\xFB\xFF\xBF"));
}

TEST_CASE("every byte comes back at each of the three places") {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t place = 0; place < 3; ++place)
        for (unsigned byte = 0; byte < 256; ++byte) {
            const unsigned three = byte << (16 - 8 * place);
            std::string text, expected(3, '\0');
            for (const unsigned shift : {18u, 12u, 6u, 0u}) text += digits[three >> shift & 63];
            expected[place] = static_cast<char>(static_cast<unsigned char>(byte));
            CHECK(decode_base64(text) == expected);
        }
}

TEST_CASE("what no encoder writes is refused") {
    for (const std::string_view text : {
             "Z",    "Zg",   "Zg=",  "Zm9",      "Zm9vY",               // a length that is no multiple of four
             "====", "Z===", "=m9v", "Zg==Zg==", "Z=9v",  "Zm=v",       // '=' where none belongs
             "Zh==", "Zm9=",                                            // bits beyond the last byte
             "Zm9-", "Zm9_", "Zm9 ", " m9v",     "Zm9\n", "Zm\xC3\xA9", // other signs
         })
        CHECK_MESSAGE(decode_base64(text) == std::nullopt, text);
    CHECK(decode_base64(std::string_view("Zm9\0", 4)) == std::nullopt);
}
