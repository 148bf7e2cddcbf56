#include "bitlens/page/example_text.hpp"

#include "run_for_test.hpp"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace bitlens;

TEST_CASE("tokens that share a character are shown as one") {
    const std::vector<std::string> tokens{"a", "caf\xC3", "\xA9", "\xF0\x9F", "\x98", "\x80", "\xFF", "b", "\xE4\xB8"};
    std::vector<std::string> found;
    std::vector<std::size_t> first;
    for (auto const& g : group_tokens(tokens)) {
        found.push_back(g.bytes);
        first.push_back(g.first);
    }
    CHECK(found == std::vector<std::string>{"a", "café", "\xF0\x9F\x98\x80", "\xFF", "b", "\xE4\xB8"});
    CHECK(first == std::vector<std::size_t>{0, 1, 3, 6, 7, 8});
}

TEST_CASE("bytes that never become a character do not swallow the rest") {
    const std::vector<std::string> tokens{"\xE4", "b", "c"};
    CHECK(group_tokens(tokens).size() == 2); // "\xE4b" cannot be a character, so "c" stands alone
}

TEST_CASE("a document without a place to cut takes time in proportion") {
    std::vector<std::string> tokens(300'000, "\xA9\xC3"); // each ends what the one before began
    tokens.front() = "\xC3";
    CHECK(group_tokens(tokens).size() == 1);
}

TEST_CASE("colours by steps of each measure") {
    CHECK(error_scale(0.2) == "");
    CHECK(error_scale(0.25) == "p1");
    CHECK(error_scale(-0.5) == "n2");
    CHECK(error_scale(1.99) == "p3");
    CHECK(error_scale(100) == "p4");
    CHECK(error_scale(-100) == "n4");
    CHECK(loss_scale(0.99) == "");
    CHECK(loss_scale(4) == "l3");
    CHECK(kl_scale(0.1) == "k1");
    CHECK(kl_scale(9) == "k4");
}

TEST_CASE("a document of hostile tokens stays text") {
    const std::string html = example_html(read_run(test::golden_run()), 0, "nf3-g64");
    CHECK(html.find("<script") == std::string::npos);
    CHECK(html.find("&lt;script&gt;alert(1)&lt;/script&gt;") != std::string::npos);
    CHECK(html.find("[U+202E]evil") != std::string::npos);
    CHECK(html.find("␀␛[31m") != std::string::npos);
    CHECK(html.find("&lt;/div&gt;&amp;&quot;&#39;") != std::string::npos);
    CHECK(html.find("</div>") == html.size() - std::string("</div>\n").size());
}
