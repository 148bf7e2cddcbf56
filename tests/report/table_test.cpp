#include "bitlens/report/table.hpp"

#include "bitlens/report/html.hpp"
#include "bitlens/report/table_script.hpp"

#include "../page_script_hash.hpp"

#include <array>
#include <doctest/doctest.h>
#include <string>

using namespace bitlens;

namespace {

table small_table() {
    return {"t",
            "Mean <error>",
            {{"method", "method"}, {"n", "examples"}, {"error", "error", 2}},
            {{"rtn3", std::size_t{12}, -0.126}, {"=nf4", std::size_t{7}, undefined{"fewer than three examples"}}},
            {"A note & more."}};
}

} // namespace

TEST_CASE("numbers are rounded for people and exact for programs") {
    CHECK(rounded_text(0.12345, 3) == "0.123");
    CHECK(rounded_text(-0.0, 2) == "0.00");
    CHECK(fixed_text(-0.0001, 2) == "0.00");
    CHECK(rounded_text(0.0001, 2) == "1.00e-04");
    CHECK(rounded_text(-12345678.0, 1) == "-1.23e+07");
    CHECK(exact_text(0.1) == "0.1");
    CHECK(exact_text(1.0 / 3) == "0.3333333333333333");
    CHECK(with_minus_sign("-1e-04") == "−1e−04");
}

TEST_CASE("a table as text") {
    CHECK(to_text(small_table()) == "Mean <error>\n"
                                    "method  examples        error\n"
                                    "rtn3          12        -0.13\n"
                                    "=nf4           7  not defined\n"
                                    "A note & more.\n"
                                    "Not defined: fewer than three examples.\n");
}

TEST_CASE("a table as CSV") { CHECK(to_csv(small_table()) == "method,n,error\nrtn3,12,-0.126\n'=nf4,7,\n"); }

TEST_CASE("a table as HTML") {
    const std::string html = to_html(small_table());
    CHECK(html.find("<h3>Mean &lt;error&gt;</h3>") != std::string::npos);
    CHECK(html.find("<td class=\"n\">−0.13</td>") != std::string::npos);
    CHECK(html.find("title=\"fewer than three examples\">not defined</td>") != std::string::npos);
    CHECK(html.find("Not defined: fewer than three examples.") != std::string::npos);
    CHECK(html.find("A note &amp; more.") != std::string::npos);
}

TEST_CASE("anybody's text stays text") {
    CHECK(html_escape("<script>alert('x' & \"y\")</script>") ==
          "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;");
    CHECK(html_escape("\u202E\x01") == "[U+202E]␁");
    const std::string page = html_page("</title><script>", "", "<p>body</p>\n");
    CHECK(page.find("<script") == std::string::npos);
    CHECK(page.find("Content-Security-Policy") != std::string::npos);
    CHECK(page.find("http://") == std::string::npos);
    CHECK(page.find("https://") == std::string::npos);
    CHECK(page.find("prefers-color-scheme:dark") != std::string::npos);
    CHECK(page.find("@media print") != std::string::npos);
}

TEST_CASE("a page runs the scripts whose hashes it names, and no other") {
    const std::array scripts{table_script(), page_script{"second()", "hash"}};
    const std::string page = html_page("t", "", "", scripts);
    for (page_script const& script : scripts)
        CHECK(page.find("<script>" + std::string(script.code) + "</script>") != std::string::npos);
    CHECK(page.find("; script-src 'sha256-" + std::string(table_script().sha256) + "' 'sha256-hash'\"") !=
          std::string::npos);
    CHECK(table_script().sha256 == test::base64_sha256(table_script().code));
}

TEST_CASE("data of a page is JSON of anybody's text, and ends nowhere but at its end") {
    const std::string text = "</script><!--\"\\\n\t\x01\u202E\xFF é";
    CHECK(json_string(text) == "\"\\u003c/script>\\u003c!--\\\"\\\\\\n\\t␁[U+202E]� é\"");
    CHECK(page_data("a", "[1]") == "<script type=\"application/json\" id=\"a\">[1]</script>\n");
}

TEST_CASE("a listed table shows its first rows and has all of them as data") {
    table t;
    t.name = "t";
    t.columns = {{"n", "N"}, {"x", "X", 2}, {"word", "word"}};
    html_use use{.titled = false, .targets = {}, .listed = "thing"};
    for (std::size_t i = 0; i < 250; ++i) {
        t.add({i, i == 1 ? cell(undefined{"no"}) : cell(0.5 * static_cast<double>(i)), "<" + std::to_string(i)});
        use.targets.push_back(i == 7 ? "seven" : "");
    }
    const std::string html = to_html(t, use);
    CHECK(html.find("The first 100 of 250 things") != std::string::npos);
    CHECK(html.find("&lt;99<") != std::string::npos);
    CHECK(html.find("&lt;100<") == std::string::npos);
    CHECK(html.find("<a href=\"#seven\">7</a>") != std::string::npos);
    const auto begin = html.find(page_data_begin("t-rows")), end = html.find(page_data_end);
    REQUIRE(begin != std::string::npos);
    const std::string data =
        html.substr(begin + page_data_begin("t-rows").size(), end - begin - page_data_begin("t-rows").size());
    CHECK(data.starts_with("{\"digits\":[0,2,null],\n\"rows\":[\n[0,0,\"\\u003c0\"],\n[1,null,\"\\u003c1\"],\n[2,1,"));
    CHECK(data.ends_with("\n[249,124.5,\"\\u003c249\"]],\n\"targets\":{\"7\":\"seven\"}}"));
    t.rows.resize(3);
    use.targets.resize(3);
    CHECK(to_html(t, use).find("3 things") != std::string::npos);
}

TEST_CASE("what is folded is unfolded for paper, and folded again") {
    for (const char* event : {"\"beforeprint\"", "\"afterprint\""})
        CHECK_MESSAGE(table_script().code.find(event) != std::string_view::npos, event);
}

TEST_CASE("rows and targets of another size than the table are refused") {
    table t;
    t.name = "t";
    t.columns = {{"a", "A"}, {"b", "B"}};
    CHECK_THROWS_WITH_AS(t.add({{1.0}}), "table 't': a row of 1 cells, expected 2", shape_error);
    t.add({{1.0}, {2.0}});
    html_use use;
    use.targets = {"x", "y"};
    CHECK_THROWS_WITH_AS(to_html(t, use), "table 't': 2 targets, expected 1, one for each row", shape_error);
}
