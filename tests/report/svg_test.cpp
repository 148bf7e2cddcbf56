#include "bitlens/report/svg.hpp"

#include "markup.hpp"

#include <cmath>
#include <cstdio>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

chart curves(std::size_t count) {
    chart c{"curves", "Norm <r> & \"more\"", {"layer", scale::linear, true}, {"‖r‖₂"}, {}, false, {}};
    for (std::size_t k = 0; k < count; ++k) {
        series s{"method " + std::to_string(k) + " \x01</svg><script>", mark::line, {}};
        for (int x = 0; x < 5; ++x) s.points.push_back({x + 0.0, (x + 1.0) * (static_cast<double>(k) + 1)});
        c.series.push_back(s);
    }
    return c;
}

std::string drawn(chart const& c) { return to_svg(std::vector{c}, 1, svg_use::file); }

std::size_t occurrences(std::string const& text, std::string const& what) {
    std::size_t n = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
}

std::vector<std::string> texts(std::vector<detail::tick> const& ticks) {
    std::vector<std::string> out;
    for (auto const& t : ticks) out.push_back(t.text);
    return out;
}

} // namespace

TEST_CASE("a figure is well-formed whatever its texts, and runs nothing") {
    for (const std::size_t count : {0u, 1u, 2u, 20u}) {
        const std::string svg = drawn(curves(count));
        CHECK(xml_complaint(svg) == "");
        CHECK(svg.find("<script") == std::string::npos);
        CHECK(drawn(curves(count)) == svg);
    }
    CHECK(drawn(curves(0)).find("no data") != std::string::npos);
    CHECK(xml_complaint("<a><b></a></b>") != "");
    CHECK(xml_complaint("<a x=y/>") != "");
    CHECK(xml_complaint("<a>&</a>") != "");
}

TEST_CASE("a line has a gap where a number is not defined") {
    chart c = curves(1);
    CHECK(occurrences(drawn(c), "class=\"line\"/>") == 1);
    c.series[0].points[2].y = std::nullopt;
    CHECK(occurrences(drawn(c), "class=\"line\"/>") == 2);
    CHECK(occurrences(drawn(c), "<circle") == 4);
}

TEST_CASE("a logarithmic axis leaves out what has no logarithm, and single points stand alone") {
    chart c = curves(1);
    c.y.scale = scale::logarithmic;
    c.series[0].points[0].y = 0.0;
    c.series[0].points[1].y = -1.0;
    const std::string svg = drawn(c);
    CHECK(occurrences(svg, "<circle") == 3);
    c.series[0].points = {{3, 5.0}};
    CHECK(drawn(c).find("nan") == std::string::npos);
    c.series[0].points = {{3, 0.0}};
    CHECK(drawn(c).find("no data") != std::string::npos);
    c.y.scale = scale::linear;
    CHECK(drawn(c).find("nan") == std::string::npos);
}

TEST_CASE("a band is drawn from low to high, has gaps of its own, and the axes hold all of it") {
    chart c = curves(1);
    c.series[0] = {"m", mark::band, {}};
    for (int x = 0; x < 6; ++x) c.series[0].points.push_back({x + 0.0, 5.0, {}, 5.0 - 2 * x, 5.5});
    const auto bands = [&] { return occurrences(drawn(c), " Z\" class=\"band s0\"/>"); };
    const std::string svg = drawn(c);
    CHECK(xml_complaint(svg) == "");
    CHECK(bands() == 1);
    CHECK(svg.find(">−4</text>") != std::string::npos);
    CHECK(svg.find(": 5, 5.000 (−5.000 to 5.500)</title>") != std::string::npos);
    CHECK(svg.find("class=\"band") < svg.find("class=\"line\"/>")); // below the curves
    c.series[0].points[2].low = std::nullopt;
    CHECK(bands() == 2);
    CHECK(occurrences(drawn(c), "class=\"line\"/>") == 1);
    c.y.scale = scale::logarithmic; // 5 − 2x ≤ 0 from x = 3 on: no band there
    CHECK(drawn(c).find("nan") == std::string::npos);
    CHECK(bands() == 1);
    for (auto& p : c.series[0].points) p.low = p.high = std::nullopt;
    CHECK(bands() == 0);
}

TEST_CASE("the path of a band goes along its highs and back along its lows") {
    chart c = curves(1);
    c.series[0] = {"m", mark::band, {{0, 1.0, {}, 0.0, 2.0}, {1, 1.0, {}, 0.5, 3.0}}};
    const std::string svg = drawn(c);
    const auto end = svg.find(" Z\" class=\"band s0\"");
    const auto begin = svg.rfind("\"M", end) + 2;
    std::vector<double> heights;
    for (auto at = begin; at < end;) {
        at = svg.find(' ', at) + 1;
        heights.push_back(std::stod(svg.substr(at)));
        at = std::min(svg.find('L', at), end);
        if (at != end) ++at;
    }
    REQUIRE(heights.size() == 4); // pixels grow downwards: 2, 3, 0.5, 0
    CHECK(heights[1] < heights[0]);
    CHECK(heights[0] < heights[2]);
    CHECK(heights[2] < heights[3]);
    CHECK((heights[3] - heights[2]) == doctest::Approx((heights[3] - heights[1]) / 6).epsilon(0.01));
}

TEST_CASE("a note says of how many documents, in a line of its own") {
    chart c = curves(2);
    const std::string before = drawn(c);
    c.note = "n = 12 & more";
    const std::string svg = drawn(c);
    CHECK(svg.find(">n = 12 &amp; more</text>") != std::string::npos);
    const auto height = [](std::string const& text) { return std::stod(text.substr(text.find("height=\"") + 8)); };
    CHECK(height(svg) > height(before) + 10);
}

TEST_CASE("the identity line goes through what both axes show") {
    chart c = curves(1);
    c.x.whole_numbers = false;
    c.series[0] = {"m", mark::dots, {{0, 2.0}, {10, 12.0}}};
    CHECK(drawn(c).find("class=\"zero\"") == std::string::npos);
    c.identity_line = true;
    const std::string svg = drawn(c);
    const auto line = svg.rfind("<line", svg.find("class=\"zero\""));
    const auto coordinate = [&](const char* name) {
        return std::stod(svg.substr(svg.find(name, line) + std::string(name).size()));
    };
    // From (1.5, 1.5) to (10.2, 10.2) of x in −0.2 … 10.2, y in 1.5 … 12.5; the plot is 62 … 706 wide.
    CHECK(coordinate("x1=\"") == doctest::Approx(62 + 644 * 1.7 / 10.4).epsilon(1e-3));
    CHECK(coordinate("x2=\"") == doctest::Approx(706).epsilon(1e-3));
    CHECK(coordinate("y1=\"") > coordinate("y2=\""));
    c.series[0].points = {{0, 20.0}, {1, 30.0}};
    CHECK(drawn(c).find("class=\"zero\"") == std::string::npos); // y = x is nowhere
}

TEST_CASE("points that stand out have names that do not lie on each other") {
    chart c = curves(1);
    c.series[0] = {"m", mark::dots, {{0, 0.0}, {1, 1.0}, {1.0001, 1.0}}};
    c.named = {{1, 1, "<17>"}, {1.0001, 1, "18"}, {0, 0, "4"}};
    const std::string svg = drawn(c);
    CHECK(xml_complaint(svg) == "");
    const auto place = [&](std::string const& text) {
        const auto at = svg.rfind("<text", svg.find(">" + text + "</text>"));
        return std::pair(std::stod(svg.substr(svg.find("x=\"", at) + 3)),
                         std::stod(svg.substr(svg.find("y=\"", at) + 3)));
    };
    const auto first = place("&lt;17&gt;"), second = place("18");
    CHECK((std::abs(first.first - second.first) > 12 || std::abs(first.second - second.second) > 12));
    CHECK(first.first < 720 - 4 * 6);
}

TEST_CASE("an axis that only keeps dots apart has no numbers") {
    chart c = curves(1);
    c.series[0] = {"m", mark::dots, {{3, 0.123, "document 7"}}};
    c.y.numbered = false;
    const std::string svg = drawn(c);
    CHECK(svg.find("class=\"grid\"/>") == std::string::npos);
    CHECK(svg.find("<title>m, document 7: 3</title>") != std::string::npos);
}

TEST_CASE("a text longer than its panel is pressed into it") {
    chart c = curves(1);
    CHECK(drawn(c).find("class=\"title\" textLength") == std::string::npos);
    c.title = std::string(200, 'x');
    c.series[0].name = c.x.title = c.y.title = c.note = c.title;
    CHECK(occurrences(drawn(c), "textLength=\"") == 5 - 1); // the title names the only series: no legend
    c.title = "short";
    CHECK(occurrences(drawn(c), "textLength=\"") == 4);
    CHECK(xml_complaint(drawn(c)) == "");
}

TEST_CASE("an area begins at zero") {
    chart c = curves(2);
    for (auto& s : c.series) s.mark = mark::area;
    const std::string svg = drawn(c);
    CHECK(xml_complaint(svg) == "");
    CHECK(occurrences(svg, "class=\"area\"") == 2);
    CHECK(svg.find(">0</text>") != std::string::npos);
}

TEST_CASE("a bar stands on zero from its low to its high, and says its numbers") {
    chart c = curves(0);
    c.y.whole_numbers = true;
    c.series.push_back({"questions", mark::bars, {{2.25, 8, "2 to 2.5", 2.0, 2.5}, {3, 4, "2.5 to 4", 2.5, 4.0}}});
    c.x.whole_numbers = false;
    const std::string svg = drawn(c);
    CHECK(xml_complaint(svg) == "");
    CHECK(svg.find(">questions, 2 to 2.5: 2.250, 8</title>") != std::string::npos);
    REQUIRE(occurrences(svg, "class=\"area\"/>") == 2);
    CHECK(occurrences(svg, "class=\"line\"/>") == 2);
    // The x axis holds both ends of each bar; the second begins where the first ends and is half as high.
    double left[2] = {}, base[2] = {}, top[2] = {}, right[2] = {};
    std::size_t at = 0;
    for (std::size_t i = 0; i < 2; ++i) {
        at = svg.find("<path d=\"M", at + 1);
        REQUIRE(std::sscanf(svg.c_str() + at, "<path d=\"M%lf %lf L%*f %lf L%lf", &left[i], &base[i], &top[i],
                            &right[i]) == 4);
        at = svg.find("class=\"line\"/>", at); // the same bar's outline
    }
    CHECK(left[1] == right[0]);
    CHECK(right[1] - left[1] == doctest::Approx(3 * (right[0] - left[0])).epsilon(1e-3));
    CHECK(base[0] == base[1]);
    CHECK(base[0] - top[0] == doctest::Approx(2 * (base[1] - top[1])).epsilon(1e-3));
    c.series[0].points[1].high = std::nullopt; // no bar without its ends
    CHECK(occurrences(drawn(c), "class=\"area\"/>") == 1);
}

TEST_CASE("lines mark the places that split a chart, where it shows them") {
    chart c = curves(1);
    CHECK(occurrences(drawn(c), "class=\"split\"/>") == 0);
    c.splits = {1.5, 2.5, 40};
    CHECK(occurrences(drawn(c), "class=\"split\"/>") == 2);
}

TEST_CASE("places along an area say their numbers") {
    chart c = curves(2);
    for (auto& s : c.series) {
        s.mark = mark::area;
        s.points.clear();
        for (int x = 0; x < 200; ++x) s.points.push_back({x + 0.0, 1.0 + x});
    }
    const std::string svg = drawn(c);
    CHECK(xml_complaint(svg) == "");
    CHECK(occurrences(svg, "class=\"hover\"><title>") == 2 * 20);
    CHECK(occurrences(svg, ": 10, 11.000</title>") == 2);
}

TEST_CASE("a dot says which it is, unless there are thousands") {
    const auto dots = [](std::size_t count) {
        chart c = curves(1);
        c.x.whole_numbers = false;
        c.series[0] = {"m", mark::dots, {}};
        for (std::size_t i = 0; i < count; ++i)
            c.series[0].points.push_back({0.5, static_cast<double>(i), "document <" + std::to_string(i) + ">"});
        return drawn(c);
    };
    for (const std::size_t count : {100u, 2000u}) {
        const std::string svg = dots(count);
        CHECK(xml_complaint(svg) == "");
        CHECK(occurrences(svg, "<title>m, document &lt;") == count);
        CHECK(svg.find("<title>m, document &lt;7&gt;: 0.500, 7.000</title>") != std::string::npos);
    }
    const std::string svg = dots(2001);
    CHECK(occurrences(svg, "<title>") == 1);
    CHECK(occurrences(svg, "class=\"cloud\"") == 1);

    chart c = curves(1);
    c.series = {{"few", mark::dots, {}}, {"many", mark::dots, {}}};
    for (int i = 0; i < 2001; ++i) c.series[i < 100 ? 0 : 1].points.push_back({i + 0.0, 1.0});
    CHECK(occurrences(drawn(c), "class=\"cloud\"") == 2);
    c.series[0].points.pop_back();
    CHECK(occurrences(drawn(c), "class=\"cloud\"") == 0);
}

TEST_CASE("a single series has a legend unless the title names it") {
    chart c = curves(1);
    c.title = "Correlation with the error";
    c.series[0].name = "rtn3-g64";
    CHECK(drawn(c).find(">rtn3-g64</text>") != std::string::npos);
    c.title += " of rtn3-g64";
    CHECK(drawn(c).find(">rtn3-g64</text>") == std::string::npos);
}

TEST_CASE("ticks stand at round numbers") {
    using detail::linear_ticks, detail::log_ticks;
    CHECK(texts(linear_ticks(-0.83, 0.02, 5, false)) ==
          std::vector<std::string>{"−0.8", "−0.6", "−0.4", "−0.2", "0.0"});
    CHECK(texts(linear_ticks(0, 3, 8, true)) == std::vector<std::string>{"0", "1", "2", "3"});
    CHECK(texts(linear_ticks(0, 2e7, 3, false)) == std::vector<std::string>{"0", "1.00e+07", "2.00e+07"});
    CHECK(texts(log_ticks(0.5, 60, 6)) == std::vector<std::string>{"0.5", "1", "2", "5", "10", "20", "50"});
    CHECK(texts(log_ticks(1e-9, 1e9, 4)) == std::vector<std::string>{"10⁻⁵", "1", "10⁵"});
    CHECK(texts(log_ticks(20, 70, 4)) == std::vector<std::string>{"20", "40", "60"});
}

TEST_CASE("panels stand side by side") {
    const std::vector<chart> charts(5, curves(2));
    for (const auto use : {svg_use::file, svg_use::inside_page}) {
        const std::string svg = to_svg(charts, 2, use);
        CHECK(xml_complaint(svg) == "");
        CHECK(occurrences(svg, "<g transform") == 5);
        CHECK(occurrences(svg, "<svg ") == (use == svg_use::file ? 1 : 5)); // in a page they can stand below each other
        CHECK(occurrences(svg, "<style>") == (use == svg_use::file ? 1 : 0));
    }
}

TEST_CASE("the data of a figure are a table") {
    chart c = curves(1);
    c.series[0].name = "m";
    c.series[0].points = {{0, 0.5}, {1, std::nullopt}};
    CHECK(to_csv(std::vector{c}) == "chart,series,x,y,low,high\ncurves,m,0,0.5,,\ncurves,m,1,,,\n");
    c.series[0].points = {{0, 0.5, {}, 0.25, 0.75}, {1, std::nullopt, {}, std::nullopt, 2.0}};
    CHECK(to_csv(std::vector{c}) == "chart,series,x,y,low,high\ncurves,m,0,0.5,0.25,0.75\ncurves,m,1,,,2\n");
}

TEST_CASE("a picture of no charts is refused") {
    CHECK_THROWS_AS(to_svg(std::vector<chart>{}, 1, svg_use::file), shape_error);
    CHECK_THROWS_WITH_AS(to_svg(std::vector{curves(1)}, 0, svg_use::file),
                         "to_svg: 1 charts, 0 in a row; at least one is expected of both", shape_error);
}
