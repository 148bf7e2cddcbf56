#include "bitlens/text/unicode.hpp"

#include "bitlens/core/utf8.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace bitlens;

TEST_CASE("UTF-8: every scalar value is written and read back") {
    for (char32_t code = 0; code < 0x110000; ++code) {
        if (code == 0xD800) code = 0xE000;
        std::string text;
        append_utf8(text, code);
        const character c = decode_utf8(text, 0);
        if (c.code != code || c.size != text.size() || !is_utf8(text)) FAIL("U+" << static_cast<unsigned>(code));
    }
}

TEST_CASE("classes are those of Unicode 16, and numeric characters those of 17") {
    for (unsigned space :
         {0x09u, 0x0Du, 0x20u, 0x85u, 0xA0u, 0x1680u, 0x2000u, 0x200Au, 0x2028u, 0x202Fu, 0x205Fu, 0x3000u})
        CHECK(class_of(space) == character_class::space);
    for (unsigned no_space : {0x00u, 0x1Cu, 0x180Eu, 0x200Bu, 0x2060u, 0xFEFFu})
        CHECK(class_of(no_space) == character_class::other);
    for (unsigned letter :
         {0x41u, 0xAAu, 0x17Fu, 0x1C5u, 0x2B0u, 0x5D0u, 0x4E00u, 0xD7A3u, 0x1C89u, 0xA7CBu, 0x105C0u, 0x2EE5Du})
        CHECK(class_of(letter) == character_class::letter);
    for (unsigned number : {0x30u, 0xB2u, 0xBDu, 0x660u, 0x2167u, 0x3007u, 0x1D7CEu, 0x10D40u, 0x1E5FAu})
        CHECK((class_of(number) == character_class::number && is_numeric(number)));
    for (unsigned other : {0x2Eu, 0x300u, 0x93Eu, 0x20ACu, 0xE000u, 0xFFFDu, 0xFFFFu, 0x1F600u, 0x10FFFFu})
        CHECK(class_of(other) == character_class::other);
    CHECK(is_numeric(0x11DE0)); // came with Unicode 17
    CHECK(!is_numeric('a'));
}

TEST_CASE("letters by case, and characters of words") {
    for (unsigned upper : {0x41u, 0x5Au, 0xC9u, 0x1C5u, 0x1FBCu, 0x1C89u, 0xA7CBu, 0x10D50u})
        CHECK(case_of(upper) == letter_case::upper);
    for (unsigned lower : {0x61u, 0x7Au, 0xDFu, 0x17Fu, 0x1C8Au, 0xA7CDu, 0x10D85u})
        CHECK(case_of(lower) == letter_case::lower);
    for (unsigned either : {0xAAu, 0x2B0u, 0x4E00u, 0x300u, 0x93Eu, 0x20DDu, 0x897u, 0x105C0u, 0x113D1u, 0x1E5EEu})
        CHECK(case_of(either) == letter_case::either);
    for (unsigned none : {0x30u, 0x5Fu, 0x20u, 0x2Eu, 0xB2u, 0x2160u, 0x24B6u, 0x1F600u, 0x10D40u, 0x10FFFFu})
        CHECK(case_of(none) == letter_case::none);
    for (unsigned word : {0x41u, 0x5Fu, 0x37u, 0x300u, 0x200Du, 0x2040u, 0x2160u, 0x24B6u, 0x1F189u, 0x10D40u, 0x4E00u})
        CHECK(is_of_word(word));
    for (unsigned other : {0x2Du, 0x20u, 0xB2u, 0xBDu, 0x2019u, 0x200Bu, 0x1F18Au, 0x1F600u, 0xE000u})
        CHECK(!is_of_word(other));
    // As many of each as Hugging Face tokenizers 0.23.3 and tiktoken 0.14 find in all code points.
    std::size_t upper = 0, lower = 0, either = 0, words = 0;
    for (char32_t code = 0; code < 0x110000; ++code) {
        if (code == 0xD800) code = 0xE000;
        upper += case_of(code) == letter_case::upper;
        lower += case_of(code) == letter_case::lower;
        either += case_of(code) == letter_case::either;
        words += is_of_word(code);
    }
    CHECK(upper == 1889);
    CHECK(lower == 2258);
    CHECK(either == 139'382);
    CHECK(words == 144'667);
}

TEST_CASE("NFC composes, orders marks and leaves what Unicode 9 does not know") {
    CHECK(compose_nfc("") == "");
    CHECK(compose_nfc("plain caf\u00e9") == "plain caf\u00e9");
    CHECK(compose_nfc("e\u0301") == "\u00e9");
    CHECK(compose_nfc("a\u0302\u0323") == "\u1ead"); // reordered first
    CHECK(compose_nfc("\u1100\u1161\u11a8") == "\uac01");
    CHECK(compose_nfc("\u0958\u2126\u212b") == "\u0915\u093c\u03a9\u00c5"); // singletons and an exclusion
    CHECK(compose_nfc("\uac00\u11a7") == "\uac00\u11a7");                   // U+11A7 is no trailing consonant
    CHECK(compose_nfc("\U00011935\U00011930") == "\U00011935\U00011930");   // Unicode 13 joins these
    CHECK(compose_nfc("a\u0301\u08ca\u0323") == "\u00e1\u08ca\u0323");      // U+08CA came with Unicode 14
}

TEST_CASE("NFC of a million combining marks in the worst order") {
    std::string text = "a";
    for (int i = 0; i < 500'000; ++i) text += "\u0301\u0323"; // classes 230, 220, 230, …
    const std::string composed = compose_nfc(text);
    // ạ takes the first U+0323; the rest of them come before all U+0301, none of which can compose any more.
    CHECK(composed.substr(0, 5) == "\u1ea1\u0323");
    CHECK(composed.size() == 3 + 2 * 999'999);
    CHECK(composed.substr(3 + 2 * 499'999, 4) == "\u0301\u0301");
}
