#include "bitlens/report/visible_text.hpp"

#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace bitlens;

TEST_CASE("ordinary text of any script stays as it is") {
    const std::string text = "Grüße,\t中文\nשלום \U0001F600 \U0001F468\u200D\U0001F469";
    CHECK(visible_text(text) == text);
}

TEST_CASE("what hides or moves text becomes a sign") {
    CHECK(visible_text(std::string("a\0b", 3)) == "a␀b");
    CHECK(visible_text("\x1B[31m") == "␛[31m");
    CHECK(visible_text("\r\x7F") == "␍␡");
    CHECK(visible_text("\u202Efdp.exe") == "[U+202E]fdp.exe");
    CHECK(visible_text("\u061C\u200E\u200F\u2066\u2069") == "[U+061C][U+200E][U+200F][U+2066][U+2069]");
    CHECK(visible_text("\u0085\uFFFE\uFDD0") == "\uFFFD\uFFFD\uFFFD");
}

TEST_CASE("bytes that are not UTF-8 become replacement characters") {
    CHECK(visible_text("\xFFok") == "\uFFFDok");
    CHECK(visible_text("\xC0\xAF") == "\uFFFD\uFFFD");                     // overlong
    CHECK(visible_text("\xE0\x80\x80") == "\uFFFD\uFFFD\uFFFD");           // overlong
    CHECK(visible_text("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");           // a surrogate
    CHECK(visible_text("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD"); // above U+10FFFF
    CHECK(visible_text("\xE4\xB8") == "\uFFFD\uFFFD");                     // cut off
}

TEST_CASE("any bytes become valid UTF-8, and stay as they are the second time") {
    random_generator random(3);
    for (int i = 0; i < 5000; ++i) {
        std::string bytes(static_cast<std::size_t>(random.below(9)), ' ');
        for (char& c : bytes) c = static_cast<char>(random.below(256));
        const std::string once = visible_text(bytes);
        CHECK(visible_text(once) == once);
    }
}

TEST_CASE("a name is one line in which each byte that cannot be shown is seen, and the rest is as it was") {
    for (const char* name : {"", "a b.npy", "naïve-文档.jsonl", "back\\slash", "\uFFFD"})
        CHECK(visible_line(name) == name);
    CHECK(visible_line("caf\xE9.npy") == "caf\\xe9.npy");
    CHECK(visible_line("\xFF\xFE") == "\\xff\\xfe");
    CHECK(visible_line("文\xE4\xB8") == "文\\xe4\\xb8");
    CHECK(visible_line("a\nb\tc\r\x1B[31m\x7F") == "a\\x0ab\\x09c\\x0d\\x1b[31m\\x7f");
    CHECK(visible_line(std::string("a\0b", 3)) == "a\\x00b");
    CHECK(visible_line("\u202Efdp.exe\u0085") == "\\xe2\\x80\\xaefdp.exe\\xc2\\x85");
    for (int i = 0; i < 256; ++i) { // whatever the byte, the line is UTF-8 that shows as it is
        const auto line = visible_line(std::string("a") + static_cast<char>(i) + "b");
        CHECK(visible_text(line) == line);
        CHECK(visible_line(line) == line);
    }
}
