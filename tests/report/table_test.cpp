#include "bitlens/report/table.hpp"

#include "bitlens/io/sha256.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/table_script.hpp"

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

TEST_CASE("a page runs the script whose hash it names, and no other") {
    const std::string page = html_page("t", "", "", table_script());
    CHECK(page.find("<script>" + std::string(table_script().code) + "</script>") != std::string::npos);
    CHECK(page.find("script-src 'sha256-" + std::string(table_script().sha256) + "'\"") != std::string::npos);

    const std::string hex = sha256_of(table_script().code);
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string base64;
    unsigned held = 0, bits = 0;
    for (const char c : hex + "0") { // 64 digits of 4 bits, filled up to a multiple of 6 bits by a few zeros
        held = held << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
        for (bits += 4; bits >= 6; bits -= 6) base64 += digits[held >> (bits - 6) & 63u];
    }
    CHECK(table_script().sha256 == base64 + "=");
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
