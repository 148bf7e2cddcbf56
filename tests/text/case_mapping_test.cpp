#include "bitlens/text/case_mapping.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

TEST_CASE("small letters, where one becomes several and where a word ends") {
    CHECK(lower_case("").empty());
    CHECK(lower_case("The USA, 4 U") == "the usa, 4 u");
    CHECK(lower_case("ÄÖÜ ЖЙ ǅ Ⅷ Ⓐ") == "äöü жй ǆ ⅷ ⓐ");
    CHECK(lower_case("ẞß ﬁ ŉ") == "ßß ﬁ ŉ"); // small already
    CHECK(lower_case("İstanbul") == "i\u0307stanbul");
    CHECK(lower_case("ΣΊΣΥΦΟΣ") == "σίσυφος");
    CHECK(lower_case("Σ ΑΣ. ΑΣ.Β ΑΣ1") == "σ ας. ασ.β ας1"); // a full stop may stand within a word, a digit not
    CHECK(lower_case("Α\u0301Σ\u00AD!") == "α\u0301ς\u00AD!");
    CHECK(lower_case("ªΣ 漢Σ") == "ªς 漢σ");
    CHECK(lower_case("A\xFF\xC3Σ") == "a\xFF\xC3σ"); // bytes that are no characters stay
}

TEST_CASE("a capital and then small letters") {
    CHECK(capitalized("").empty());
    CHECK(capitalized("new YORK") == "New york");
    CHECK(capitalized("'murICA") == "'murica");
    CHECK(capitalized("ßen") == "Ssen");
    CHECK(capitalized("ﬁN ﬁ") == "Fin ﬁ");
    CHECK(capitalized("ŉA") == "\u02BCNa");
    CHECK(capitalized("ΐΣ") == "\u0399\u0308\u0301ς");
    CHECK(capitalized("ǆ") == "ǅ"); // the title, not the capital Ǆ
    CHECK(capitalized("ᾳΣ") == "ᾼς");
    CHECK(capitalized("ﬗ") == "\u0544\u056D"); // the last of the table
    CHECK(capitalized("İI") == "İi");
    CHECK(capitalized("ΣΣ") == "Σς");
    CHECK(capitalized("'Σ") == "'σ");
    CHECK(capitalized("\xC3Q") == "\xC3q");
}
