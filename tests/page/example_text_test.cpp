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

TEST_CASE("of a row with a prompt only the scored tokens can be looked at") {
    run_results run;
    token_rows ids;
    ids.add(std::vector<std::int32_t>{10, 11, 12, 13}, 3);
    ids.add(std::vector<std::int32_t>{10, 14});
    run.documents = document_rows::numbered(ids);
    run.manifest.methods = {{"a", "a"}};
    run.manifest.columns = {{"nll", column_shape::position, column_owner::each_variant, "", ""},
                            {"top", column_shape::position, column_owner::each_variant, "", "", true}};
    run.table = results_table(run.manifest.columns, {"full", "a"}, results_size::of(ids, 1));
    for (std::size_t v = 0; v < 2; ++v)
        for (std::size_t n = 0; n < 2; ++n) {
            const std::vector<double> nll(1, v == 0 ? 0.5 : 2.5);
            const std::vector<std::int32_t> top(1, v == 0 ? 15 : 16);
            results_row row(run.table, v, n);
            row.positions<double>("nll", nll);
            row.positions<std::int32_t>("top", top);
            row.finish();
        }
    run.texts =
        token_texts(ids_of(run.documents, run.table), [](std::int32_t id) { return "<" + std::to_string(id) + ">"; });
    text_page page(run);
    const std::string html = example_html(page, 0), shorter = example_html(page, 1);
    CHECK(html.find("&lt;10&gt;&lt;11&gt;&lt;12&gt;<i>&lt;13&gt;</i></div>") != std::string::npos);
    CHECK(html.find("\"error\":[200]") != std::string::npos);
    CHECK(html.find("\"top\":[2]") != std::string::npos);
    CHECK(shorter.find("&lt;10&gt;<i>&lt;14&gt;</i></div>") != std::string::npos);
    CHECK(first_words(run, 1, 0) == "<10><14>");
}
