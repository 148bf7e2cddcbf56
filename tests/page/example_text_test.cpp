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

TEST_CASE("a document of hostile tokens stays text") {
    const run_results run = read_run(test::golden_run());
    text_page page(run);
    std::string html = example_html(page, 0);
    const auto data = html.find(page_data_begin("tokens-0"));
    REQUIRE(data != std::string::npos);
    CHECK(html.find('<', data + 1) == html.size() - page_data_end.size());
    html.erase(data);
    CHECK(html.find("<script") == std::string::npos);
    CHECK(html.find("&lt;script&gt;alert(1)&lt;/script&gt;") != std::string::npos);
    CHECK(html.find("[U+202E]evil") != std::string::npos);
    CHECK(html.find("␀␛[31m") != std::string::npos);
    CHECK(html.find("&lt;/div&gt;&amp;&quot;&#39;") != std::string::npos);
    CHECK(html.find("</div>") == html.size() - std::string("</div>\n").size());
}
