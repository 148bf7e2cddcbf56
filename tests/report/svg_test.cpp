#include "bitlens/report/svg.hpp"

#include "markup.hpp"

#include <cmath>
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

TEST_CASE("an area begins at zero") {
    chart c = curves(2);
    for (auto& s : c.series) s.mark = mark::area;
    const std::string svg = drawn(c);
    CHECK(xml_complaint(svg) == "");
    CHECK(occurrences(svg, "class=\"area\"") == 2);
    CHECK(svg.find(">0</text>") != std::string::npos);
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
    const std::string svg = to_svg(charts, 2, svg_use::inside_page);
    CHECK(xml_complaint(svg) == "");
    CHECK(occurrences(svg, "<g transform") == 5);
    CHECK(svg.find("<style>") == std::string::npos);
}

TEST_CASE("the data of a figure are a table") {
    chart c = curves(1);
    c.series[0].name = "m";
    c.series[0].points = {{0, 0.5}, {1, std::nullopt}};
    CHECK(to_csv(std::vector{c}) == "chart,series,x,y\ncurves,m,0,0.5\ncurves,m,1,\n");
}

TEST_CASE("a picture of no charts is refused") {
    CHECK_THROWS_AS(to_svg(std::vector<chart>{}, 1, svg_use::file), shape_error);
    CHECK_THROWS_WITH_AS(to_svg(std::vector{curves(1)}, 0, svg_use::file),
                         "to_svg: 1 charts, 0 in a row; at least one is expected of both", shape_error);
}
