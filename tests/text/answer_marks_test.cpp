#include "bitlens/text/answer_marks.hpp"
#include "bitlens/text/question_set.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using answer_list = std::vector<std::string>;

/// FNV-1a of 64 bits.
struct text_checksum {
    std::uint64_t value = 0xCBF29CE484222325;
    void add(std::string_view text) {
        for (const char c : text) value = (value ^ static_cast<std::uint8_t>(c)) * 0x100000001B3;
    }
    void add_all(std::string_view text) {
        for (std::string const& made : {lower_case(text), capitalized(text), normalized_answer(text)}) add(made + "\n");
    }
};

/// As answer_marks.py of tests/parity makes them.
std::string made_up(std::string const& alias, std::size_t kind) {
    std::string changed = alias;
    switch (kind) {
    case 0:
        return " " + alias;
    case 1:
        return " the " + lower_case(alias) + ".";
    case 2:
        return " It is " + capitalized(alias) + ", I think";
    case 3:
        for (char& c : changed)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
        return changed;
    case 4:
        return "x" + alias + "y";
    default:
        std::erase(changed, '.');
        return changed + "!";
    }
}

} // namespace

TEST_CASE("the first line of a generated text") {
    CHECK(first_line(" Paris\n\nQ: In") == " Paris");
    CHECK(first_line(" Paris") == " Paris");
    CHECK(first_line("").empty());
    CHECK(first_line("\nParis").empty());
    CHECK(first_line("\n\nParis\nQ:") == "Paris");
    CHECK(first_line("\n\n\nParis").empty());
    CHECK(first_line(" \nParis") == " ");
    CHECK(first_line(" Paris\r\nQ") == " Paris\r"); // it is the line feed that ends a line
}

TEST_CASE("containment of an answer as it is, in small letters, or with a capital") {
    const answer_list usa{"United States of America", "USA", "'Merica"};
    CHECK(contains_answer(" the United States of America.", usa));
    CHECK(contains_answer("united states of america", usa));
    CHECK(contains_answer("United states of america", usa));
    CHECK_FALSE(contains_answer("UNITED STATES OF AMERICA", usa));
    CHECK(contains_answer("usability", usa)); // within a word
    CHECK(contains_answer("Usage", answer_list{"USA", "x"}));
    CHECK_FALSE(contains_answer("uSA", usa));
    CHECK_FALSE(contains_answer("United  States of America", usa));
    CHECK_FALSE(contains_answer("", usa));
    CHECK_FALSE(contains_answer("anything", answer_list{}));
    CHECK(contains_answer("i\u0307stanbul", answer_list{"İstanbul"}));
    CHECK_FALSE(contains_answer("istanbul", answer_list{"İstanbul"}));
    CHECK(contains_answer("Die Ssen", answer_list{"ßen"}));
}

TEST_CASE("equality after case, punctuation, articles and white space are set aside") {
    const answer_list states{"The United States", "U.S.A."};
    for (std::string_view text : {"united states", " United   States!", "an United\u00A0States\x1C",
                                  "the \"United\" a States", "usa", "U S A", "U.S.A"}) {
        CAPTURE(text);
        CHECK(matches_answer(text, states) == (text != "U S A"));
    }
    CHECK_FALSE(matches_answer("United States of America", states));
    CHECK_FALSE(matches_answer("", states));
    CHECK_FALSE(matches_answer("united states", answer_list{}));
    CHECK(normalized_answer("Anna, the a-team an' A.") == "anna ateam");
    CHECK(normalized_answer("\u00E1 a\u0301 the漢 3a a_b the") == "\u00E1 \u0301 the漢 3a ab");
    CHECK(normalized_answer("“A”–the") == "“ ”–"); // only the signs of ASCII go
    CHECK(normalized_answer("b\u2003\u3000c\x1D\x1E") == "b c");
    // Nothing is left of these but what they are.
    CHECK(matches_answer(" the  the", answer_list{"The The"}));
    CHECK(matches_answer("a", answer_list{"A"}));
    for (std::string_view text : {"", ".", "the", "!!", "The, The"}) {
        CAPTURE(text);
        CHECK_FALSE(matches_answer(text, answer_list{"The The", "!!!"}));
    }
}

TEST_CASE("letters are mapped, and answers normalised, as Python does") {
    constexpr std::array<std::pair<char32_t, char32_t>, 19> ranges{{{0x20, 0x58F},
                                                                    {0x10A0, 0x10FF},
                                                                    {0x13A0, 0x13FD},
                                                                    {0x1C90, 0x1CBF},
                                                                    {0x1D2C, 0x1DBF},
                                                                    {0x1E00, 0x1FFE},
                                                                    {0x2010, 0x206F},
                                                                    {0x2100, 0x218B},
                                                                    {0x24B6, 0x24E9},
                                                                    {0x2C00, 0x2D2D},
                                                                    {0xA640, 0xA69D},
                                                                    {0xAB30, 0xABBF},
                                                                    {0xFB00, 0xFB17},
                                                                    {0xFE10, 0xFE55},
                                                                    {0xFF01, 0xFF5A},
                                                                    {0x10400, 0x104FB},
                                                                    {0x118A0, 0x118DF},
                                                                    {0x1E900, 0x1E943},
                                                                    {0x1F130, 0x1F189}}};
    text_checksum letters;
    for (auto const& range : ranges)
        for (char32_t code = range.first; code <= range.second; ++code) {
            std::string c;
            append_utf8(c, code);
            for (std::string const& text : {c, c + "ABΣ", "a" + c + "Σ", "aΣ" + c + "b", "the" + c + "an a" + c})
                letters.add_all(text);
        }
    CHECK(letters.value == 0xfd9f53561437935b); // tests/parity/answer_marks.py
}

TEST_CASE("marks of the aliases of PopQA are those of Python") {
    const auto path = std::filesystem::path(BITLENS_SHARED_DATA) / "popqa.tsv";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: ../shared/data is absent");
        return;
    }
    const auto questions = read_questions(path);
    text_checksum aliases, marks;
    std::size_t count = 0, contained = 0, matched = 0;
    for (auto const& q : questions) {
        count += q.answers.size();
        for (auto const& alias : q.answers) aliases.add_all(alias);
        for (std::size_t k = 0; k < 12; ++k) {
            auto const& others = k % 2 == 0 ? q.answers : questions[(31 * q.row + 17 * k) % questions.size()].answers;
            const std::string text = made_up(others[(q.row + k) % others.size()], k / 2);
            const bool contains = contains_answer(text, q.answers), matches = matches_answer(text, q.answers);
            contained += contains;
            matched += matches;
            marks.add(contains ? "1" : "0");
            marks.add(matches ? "1" : "0");
        }
    }
    // tests/parity/answer_marks.py
    CHECK(count == 14574);
    CHECK(aliases.value == 0xf0415238c3db5f19);
    CHECK(contained == 18438);
    CHECK(matched == 14599);
    CHECK(marks.value == 0xf70d02d2ebcfcb72);
}

TEST_CASE("a text has its first line as soon as nothing behind it could change that") {
    for (const std::string text : {"", "Paris", "\n", "\n\n", "\n\nParis"}) CHECK_FALSE(has_first_line(text));
    for (const std::string text : {"Paris\n", "\nP", "\n\nParis\n", "\n\n\n", "Paris\nQ: "}) {
        CHECK(has_first_line(text));
        CHECK(first_line(text) == first_line(text + "more\nand more"));
    }
}
