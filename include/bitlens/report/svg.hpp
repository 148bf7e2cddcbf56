#pragma once
/// chart: curves with bands, dots and densities on two axes, drawn as SVG that follows the reader's light or dark mode.

#include "bitlens/core/error.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/number_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

enum class scale { linear, logarithmic };

struct axis {
    std::string title; // with its unit
    bitlens::scale scale = scale::linear;
    bool whole_numbers = false; // ticks at 0, 1, 2 …: layers, counts
    bool numbered = true;       // else places along it only keep dots apart
};

/// A band is a line with an interval around it; a bar stands on zero.
enum class mark { line, band, dots, area, bars };

/// One curve or cloud of a chart. No y: not defined there, and a line has a gap; no low or high: so has its band.
struct series {
    struct point {
        double x;
        std::optional<double> y;
        std::string label = {};                    // what it is, where the series does not say it: "document 7"
        std::optional<double> low = {}, high = {}; // of a band, along y; of a bar, along x
    };
    std::string name;
    bitlens::mark mark = mark::line;
    std::vector<point> points;
};

struct chart {
    std::string name; // stem of its files
    std::string title;
    axis x, y;
    std::vector<bitlens::series> series;
    bool zero_line = false;     // shows y = 0 and marks it
    std::vector<double> splits; // marks these x
    std::string note = {};      // below the title: of how many documents
    bool identity_line = false; // marks y = x
    struct place {
        double x, y;
        std::string text;
    };
    std::vector<place> named = {}; // points that stand out, by name
};

namespace detail {

/// Where ticks stand and how they read.
struct tick {
    double at;
    std::string text;
};

/// 1, 2 or 5 times a power of ten: the step that gives at most `most` ticks over `width` (> 0).
inline double nice_step(double width, int most) {
    const double rough = width / most;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (factor * power >= rough * (1 - 1e-9)) return factor * power;
    return 10 * power;
}

/// Multiples of a nice step within [low, high].
inline std::vector<tick> linear_ticks(double low, double high, int most, bool whole_numbers) {
    double step = nice_step(high - low, most);
    if (whole_numbers) step = std::max(step, 1.0);
    const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 12);
    const bool plain = step > 1e-5 && std::max(std::abs(low), std::abs(high)) < 1e6;
    std::vector<tick> ticks;
    for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
        const double at = i * step;
        ticks.push_back({at, with_minus_sign(plain ? fixed_text(at, digits) : rounded_text(at, 0))});
    }
    return ticks;
}

inline std::string superscript(int value) {
    constexpr std::string_view digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    std::string out = value < 0 ? "⁻" : "";
    for (const char c : std::to_string(std::abs(value))) out += digits[c - '0'];
    return out;
}

/// A power of ten times 1, 2 or 5 as it is read most easily: 0.02, 500, 10⁶.
inline std::string log_tick_text(int factor, int power) {
    if (power >= -3 && power <= 4) return fixed_text(factor * std::pow(10.0, power), std::max(0, -power));
    return (factor == 1 ? "" : std::to_string(factor) + "·") + "10" + superscript(power);
}

/// Powers of ten within [low, high] (> 0), every second, third … one where they are many; 2 and 5 times them where they
/// are few. A range within one power of ten gets linear ticks.
inline std::vector<tick> log_ticks(double low, double high, int most) {
    if (high / low < 10) return linear_ticks(low, high, most, false);
    const int first = static_cast<int>(std::floor(std::log10(low)));
    const int last = static_cast<int>(std::ceil(std::log10(high)));
    const int every = std::max(1, (last - first + most - 1) / most);
    std::vector<int> factors{1};
    if (std::log10(high / low) < 2.5) factors = {1, 2, 5};
    std::vector<tick> ticks;
    for (int power = first; power <= last; ++power)
        for (const int factor : factors) {
            const double at = factor * std::pow(10.0, power);
            if (power % every != 0 || at < low * (1 - 1e-9) || at > high * (1 + 1e-9)) continue;
            ticks.push_back({at, log_tick_text(factor, power)});
        }
    return ticks;
}

/// Maps a range of numbers to a range of pixels.
struct scale_map {
    bitlens::scale scale;
    double low, high;   // of the numbers
    double first, last; // pixels of low and high

    double operator()(double v) const {
        const double share =
            scale == scale::linear ? (v - low) / (high - low) : std::log(v / low) / std::log(high / low);
        return first + share * (last - first);
    }
    std::vector<tick> ticks(int most, bool whole_numbers) const {
        return scale == scale::linear ? linear_ticks(low, high, most, whole_numbers) : log_ticks(low, high, most);
    }
};

struct range {
    double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();

    void include(double v) {
        low = std::min(low, v);
        high = std::max(high, v);
    }
    bool empty() const noexcept { return low > high; }
    /// Air on both sides, `share` of the width; a single number gets air enough to stand alone.
    void widen(bitlens::scale s, double share) {
        if (s == scale::logarithmic) {
            const double factor = high > low ? std::pow(high / low, share) : 2.0;
            low /= factor;
            high *= factor;
        } else {
            const double air = high > low ? (high - low) * share : std::max(std::abs(low) * 0.1, 0.5);
            low -= air;
            high += air;
        }
    }
};

inline std::string px(double v) { return fixed_text(v, 2); }

/// Width of a text in the figures' 12 px face, near enough to place legends: no font is at hand to ask.
inline double text_width(std::string_view text) {
    double characters = 0;
    for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u ? 1.0 : 0.0;
    return 6.9 * characters;
}

/// Attributes that press a text into `most` pixels where it is longer.
inline std::string pressed(std::string_view text, double most) {
    if (text_width(text) <= most) return {};
    return " textLength=\"" + px(most) + "\" lengthAdjust=\"spacingAndGlyphs\"";
}

inline std::string text_at(double x, double y, std::string_view classes, std::string_view text,
                           double most = std::numeric_limits<double>::infinity()) {
    return "<text x=\"" + px(x) + "\" y=\"" + px(y) + "\" class=\"" + std::string(classes) + "\"" +
           pressed(text, most) + ">" + html_escape(text) + "</text>\n";
}

inline std::string line_from(double x1, double y1, double x2, double y2, std::string_view classes) {
    return "<line x1=\"" + px(x1) + "\" y1=\"" + px(y1) + "\" x2=\"" + px(x2) + "\" y2=\"" + px(y2) + "\" class=\"" +
           std::string(classes) + "\"/>\n";
}

/// Colours differ for every kind of colour vision; from the ninth series on they come again with dashes.
inline constexpr std::size_t series_colours = 8;

inline std::string series_class(std::size_t i) {
    return "s" + std::to_string(i % series_colours) + (i / series_colours % 2 == 1 ? " dashed" : "");
}

/// Size of one panel in pixels, and where its axes stand.
struct panel {
    double width, height, left, right, top, bottom;
};

inline constexpr double legend_sample = 24; // pixels of a legend's sample line and the space behind it
inline constexpr double text_line = 17;     // from one line of the heading to the next

/// Where the legend's entries begin, in lines below title and note. A single series that the title names needs none.
inline std::vector<std::pair<double, double>> legend_places(chart const& c, panel const& p) {
    std::vector<std::pair<double, double>> places;
    if (c.series.size() == 1 && c.title.find(c.series[0].name) != std::string::npos) return places;
    double x = p.left;
    double y = 34 + (c.note.empty() ? 0 : text_line);
    for (auto const& s : c.series) {
        const double width = legend_sample + text_width(s.name) + 16;
        if (x + width > p.width && x > p.left) {
            x = p.left;
            y += text_line;
        }
        places.emplace_back(x, y);
        x += width;
    }
    return places;
}

/// Pixels that title, note and legend take.
inline double heading_height(chart const& c, panel const& p) {
    const auto places = legend_places(c, p);
    if (!places.empty()) return places.back().second + 13;
    return 30 + (c.note.empty() ? 0 : text_line);
}

/// Draws one chart with its origin at the upper left of its panel.
class chart_drawing {
public:
    chart_drawing(chart const& c, panel const& p) : chart_(c), panel_(p) {}

    std::string operator()() {
        constexpr double title_face = 13.0 / 12; // to what text_width knows
        std::string out = text_at(0, 16, "title", chart_.title, panel_.width / title_face);
        if (!chart_.note.empty()) out += text_at(0, 16 + text_line, "tick", chart_.note, panel_.width);
        out += legend();
        const range x = x_range();
        const range y = y_range();
        if (x.empty() || y.empty()) return out + text_at(panel_.width / 2, panel_.height / 2, "middle tick", "no data");
        x_ = {chart_.x.scale, x.low, x.high, panel_.left, panel_.width - panel_.right};
        y_ = {chart_.y.scale, y.low, y.high, panel_.height - panel_.bottom, panel_.top};
        out += axes();
        for (std::size_t i = chart_.series.size(); i-- > 0;) out += band(chart_.series[i], i); // below all curves
        for (std::size_t i = chart_.series.size(); i-- > 0;) out += draw(chart_.series[i], i); // the first on top
        return out + names();
    }

private:
    static bool shows(axis const& a, double v) { return a.scale == scale::linear || v > 0; }
    bool drawable(series::point const& p) const { return p.y && shows(chart_.y, *p.y) && shows(chart_.x, p.x); }
    bool has_band(series::point const& p) const {
        return p.low && p.high && shows(chart_.y, *p.low) && shows(chart_.x, p.x);
    }
    bool is_bar(series const& s, series::point const& p) const {
        return s.mark == mark::bars && drawable(p) && p.low && p.high && shows(chart_.x, *p.low);
    }
    /// `include(range, series, point)` for all that is drawn.
    template <class F>
    range range_of(F const& include) const {
        range r;
        for (auto const& s : chart_.series)
            for (auto const& p : s.points) {
                BITLENS_ASSERT(std::isfinite(p.x) && (!p.y || std::isfinite(*p.y)));
                include(r, s, p);
            }
        return r;
    }
    bool has(mark m) const {
        return std::ranges::any_of(chart_.series, [m](auto const& s) { return s.mark == m; });
    }
    range x_range() const {
        range r = range_of([this](range& all, auto const& s, auto const& p) {
            if (drawable(p)) all.include(p.x);
            if (!is_bar(s, p)) return;
            all.include(*p.low);
            all.include(*p.high);
        });
        if (!r.empty()) r.widen(chart_.x.scale, has(mark::area) ? 0.0 : 0.02);
        return r;
    }
    range y_range() const {
        range r = range_of([this](range& all, auto const& s, auto const& p) {
            if (drawable(p)) all.include(*p.y);
            if (s.mark != mark::band || !has_band(p)) return;
            all.include(*p.low);
            all.include(*p.high);
        });
        if (r.empty()) return r;
        if (chart_.zero_line) r.include(0);
        r.widen(chart_.y.scale, 0.05);
        if (has(mark::area) || has(mark::bars)) r.low = 0; // they mean something only above zero
        return r;
    }

    std::string legend() const {
        std::string out;
        const auto places = legend_places(chart_, panel_);
        for (std::size_t i = 0; i < places.size(); ++i) {
            const auto [x, y] = places[i];
            if (chart_.series[i].mark == mark::dots)
                out += "<circle cx=\"" + px(x + 9) + "\" cy=\"" + px(y - 4) + "\" r=\"3.5\" class=\"dot " +
                       series_class(i) + "\"/>\n";
            else {
                if (chart_.series[i].mark == mark::band)
                    out += "<path d=\"M" + px(x) + " " + px(y - 9) + "h18v10h-18Z\" class=\"band " + series_class(i) +
                           "\"/>\n";
                out += line_from(x, y - 4, x + 18, y - 4, "line " + series_class(i));
            }
            out += text_at(x + legend_sample, y, "", chart_.series[i].name, panel_.width - x - legend_sample);
        }
        return out;
    }

    std::string axes() const {
        const double left = panel_.left, right = panel_.width - panel_.right;
        const double top = panel_.top, bottom = panel_.height - panel_.bottom;
        std::string out;
        if (chart_.y.numbered)
            for (auto const& t : y_.ticks(static_cast<int>((bottom - top) / 45) + 1, chart_.y.whole_numbers)) {
                out += line_from(left, y_(t.at), right, y_(t.at), "grid");
                out += text_at(left - 7, y_(t.at) + 4, "end tick", t.text);
            }
        for (auto const& t : x_.ticks(static_cast<int>((right - left) / 70) + 1, chart_.x.whole_numbers)) {
            out += line_from(x_(t.at), bottom, x_(t.at), bottom + 5, "axis");
            out += text_at(x_(t.at), bottom + 19, "middle tick", t.text);
        }
        out += line_from(left, bottom, right, bottom, "axis");
        if (chart_.zero_line) out += line_from(left, y_(0), right, y_(0), "zero");
        for (const double split : chart_.splits)
            if (split > x_.low && split < x_.high) out += line_from(x_(split), top, x_(split), bottom, "split");
        if (const double from = std::max(x_.low, y_.low), to = std::min(x_.high, y_.high);
            chart_.identity_line && from < to)
            out += line_from(x_(from), y_(from), x_(to), y_(to), "zero");
        out += text_at((left + right) / 2, panel_.height - 6, "middle", chart_.x.title, panel_.width - left);
        out += "<text transform=\"translate(12 " + px((top + bottom) / 2) + ") rotate(-90)\" class=\"middle\"" +
               pressed(chart_.y.title, bottom - top) + ">" + html_escape(chart_.y.title) + "</text>\n";
        return out;
    }

    std::string draw(series const& s, std::size_t i) const {
        std::string out = "<g class=\"" + series_class(i) + "\">\n";
        if (s.mark == mark::bars) return out + bars(s) + "</g>\n";
        if (s.mark != mark::dots) out += curves(s);
        if (s.mark == mark::area)
            out += hover_places(s);
        else if (s.mark == mark::dots && dot_count() > titled_points)
            out += cloud(s);
        else if (s.points.size() <= single_points)
            out += dots(s);
        else if (s.mark == mark::dots)
            out += "<g class=\"many\">\n" + dots(s) + "</g>\n";
        return out + "</g>\n";
    }
    std::size_t dot_count() const {
        std::size_t count = 0;
        for (auto const& s : chart_.series) count += s.mark == mark::dots ? s.points.size() : 0;
        return count;
    }
    /// One area for each stretch that has an interval.
    std::string band(series const& s, std::size_t i) const {
        if (s.mark != mark::band) return {};
        std::string out;
        for_stretches(
            s.points, [this](auto const& p) { return has_band(p); },
            [&](std::span<const series::point> points) {
                std::string there, back;
                for (auto const& p : points) {
                    there += (there.empty() ? "M" : " L") + px(x_(p.x)) + " " + px(y_(*p.high));
                    back = " L" + px(x_(p.x)) + " " + px(y_(*p.low)) + back;
                }
                out += "<path d=\"" + there + back + " Z\" class=\"band " + series_class(i) + "\"/>\n";
            });
        return out;
    }
    /// Beside its point, where no other name is.
    std::string names() const {
        constexpr double beside = 6, line = 13;
        std::string out;
        std::vector<std::array<double, 4>> taken; // left, right, top, bottom
        for (auto const& place : chart_.named) {
            const double x = x_(place.x), y = y_(place.y), width = text_width(place.text);
            for (auto const& [right, below] : {std::pair{true, false}, {false, false}, {true, true}, {false, true}}) {
                const double left = right ? x + beside : x - beside - width, base = below ? y + line : y - 3;
                const std::array<double, 4> box{left, left + width, base - line + 3, base + 3};
                const bool inside = box[0] >= panel_.left && box[1] <= panel_.width && box[2] >= panel_.top - 3 &&
                                    box[3] <= panel_.height - panel_.bottom;
                const bool free = std::ranges::none_of(taken, [&](auto const& other) {
                    return box[0] < other[1] && other[0] < box[1] && box[2] < other[3] && other[2] < box[3];
                });
                if (!inside || !free) continue;
                out += text_at(left, base, "tick", place.text);
                taken.push_back(box);
                break;
            }
        }
        return out;
    }
    /// A density is no set of points: places along it, unseen, say its numbers.
    std::string hover_places(series const& s) const {
        constexpr std::size_t most = 20;
        std::string out;
        for (std::size_t i = 0; i < s.points.size(); i += (s.points.size() + most - 1) / most)
            if (drawable(s.points[i])) out += circle(s, s.points[i], "8", "hover");
        return out;
    }
    /// Many dots as one path, for the size of the file.
    std::string cloud(series const& s) const {
        std::string path;
        for (auto const& p : s.points)
            if (drawable(p)) path += "M" + px(x_(p.x)) + " " + px(y_(*p.y)) + "h0";
        return "<path d=\"" + path + "\" class=\"cloud\"/>\n";
    }
    /// `draw(points)` for each stretch of points that are defined.
    template <class Defined, class Draw>
    static void for_stretches(std::span<const series::point> points, Defined const& defined, Draw const& draw) {
        for (auto from = points.begin(); from != points.end();) {
            from = std::find_if(from, points.end(), defined);
            const auto to = std::find_if_not(from, points.end(), defined);
            if (from != to) draw(std::span<const series::point>(from, to));
            from = to;
        }
    }
    /// One path for each stretch without a gap.
    std::string curves(series const& s) const {
        std::string out;
        for_stretches(
            s.points, [this](auto const& p) { return drawable(p); },
            [&](std::span<const series::point> points) { out += curve(points, s.mark == mark::area); });
        return out;
    }
    std::string curve(std::span<const series::point> points, bool filled) const {
        std::string path;
        for (auto const& p : points) path += (path.empty() ? "M" : " L") + px(x_(p.x)) + " " + px(y_(*p.y));
        std::string out;
        if (filled)
            out += "<path d=\"" + path + " L" + px(x_(points.back().x)) + " " + px(y_(0)) + " L" +
                   px(x_(points.front().x)) + " " + px(y_(0)) + " Z\" class=\"area\"/>\n";
        return out + "<path d=\"" + path + "\" class=\"line\"/>\n";
    }
    std::string bars(series const& s) const {
        std::string out;
        for (auto const& p : s.points) {
            if (!is_bar(s, p)) continue;
            const double left = x_(*p.low), right = x_(*p.high), top = y_(*p.y);
            const std::string path = "M" + px(left) + " " + px(y_(0)) + " L" + px(left) + " " + px(top) + " L" +
                                     px(right) + " " + px(top) + " L" + px(right) + " " + px(y_(0));
            out += "<path d=\"" + path + " Z\" class=\"area\"/>\n<path d=\"" + path + "\" class=\"line\"/>\n" +
                   circle(s, p, "8", "hover");
        }
        return out;
    }
    /// Each says its numbers when pointed at.
    std::string dots(series const& s) const {
        std::string out;
        for (auto const& p : s.points)
            if (drawable(p)) out += circle(s, p, "2.5", "dot");
        return out;
    }
    std::string circle(series const& s, series::point const& p, std::string_view radius,
                       std::string_view classes) const {
        const std::string name = p.label.empty() ? s.name : s.name + ", " + p.label;
        std::string numbers = rounded_text(p.x, chart_.x.whole_numbers ? 0 : 3);
        if (chart_.y.numbered) numbers += ", " + rounded_text(*p.y, chart_.y.whole_numbers ? 0 : 3);
        if (s.mark == mark::band && p.low && p.high)
            numbers += " (" + rounded_text(*p.low, 3) + " to " + rounded_text(*p.high, 3) + ")";
        return "<circle cx=\"" + px(x_(p.x)) + "\" cy=\"" + px(y_(*p.y)) + "\" r=\"" + std::string(radius) +
               "\" class=\"" + std::string(classes) + "\"><title>" + html_escape(name) + ": " +
               with_minus_sign(numbers) + "</title></circle>\n";
    }

    static constexpr std::size_t single_points = 128;  // more hide each other, and the line that joins them
    static constexpr std::size_t titled_points = 2000; // about 200 kB
    chart const& chart_;
    panel panel_;
    scale_map x_{}, y_{};
};

} // namespace detail

/// How figures look, in light and dark and on paper. A page that shows several has it once.
inline std::string_view svg_style() noexcept {
    return R"(.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr));gap:.75rem}.charts.wide{grid-template-columns:minmax(40rem,46.5rem)}.charts .chart{width:100%;height:auto}
.chart{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
.chart text{fill:#1c1e21}.chart .title{font-weight:600;font-size:13px}.chart .tick{fill:#5c636b}.chart .middle{text-anchor:middle}.chart .end{text-anchor:end}
.chart line,.chart path{fill:none;stroke-linejoin:round;pointer-events:none}.chart .grid{stroke:#e4e7ea}.chart .axis,.chart .zero{stroke:#8a9199}.chart .split{stroke:#8a9199;stroke-dasharray:2 3}
.chart .line{stroke:currentColor;stroke-width:2}.chart .dashed .line,.chart .line.dashed{stroke-dasharray:5 3}.chart path.area{fill:currentColor;fill-opacity:.18}.chart path.band{fill:currentColor;fill-opacity:.15}
.chart .dot{fill:currentColor}.chart .many .dot{fill-opacity:.55}.chart .hover{fill:none;pointer-events:all}.chart .cloud{stroke:currentColor;stroke-width:4;stroke-linecap:round;stroke-opacity:.55}
.chart .s0{color:#d9540b}.chart .s1{color:#0a6ebd}.chart .s2{color:#0b8f6a}.chart .s3{color:#b5508f}.chart .s4{color:#8a6d00}.chart .s5{color:#4aa8dc}.chart .s6{color:#6b4fbb}.chart .s7{color:#4a4f55}
@media screen and (prefers-color-scheme:dark){.chart text{fill:#e6e7e9}.chart .tick{fill:#a0a7af}.chart .grid{stroke:#2c3035}.chart .axis,.chart .zero,.chart .split{stroke:#6b727a}
.chart .s0{color:#ff8a4c}.chart .s1{color:#62b0f5}.chart .s2{color:#3ecfa4}.chart .s3{color:#e58cc4}.chart .s4{color:#d9b83a}.chart .s5{color:#9bd6f7}.chart .s6{color:#ab97f0}.chart .s7{color:#c4c9cf}}
)";
}

enum class svg_use { file, inside_page }; // a file carries its own style and background

namespace detail {

inline std::string svg_open(double width, double height, std::string_view title) {
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" width=\"" + px(width) +
           "\" height=\"" + px(height) + "\" viewBox=\"0 0 " + px(width) + " " + px(height) + "\">\n<title>" +
           html_escape(title) + "</title>\n";
}

inline std::string drawn_at(double x, double y, chart const& c, panel const& p) {
    return "<g transform=\"translate(" + px(x) + " " + px(y) + ")\">\n" + chart_drawing(c, p)() + "</g>\n";
}

} // namespace detail

/// Charts side by side, `per_row` in a row: a file is one picture of them; in a page each is a picture of its own, and
/// where there is no room for a row they stand below each other, or one that is alone in its row can be scrolled:
/// letters keep 10 pixels on a screen of 375. All numbers are finite (asserted).
/// Errors: shape_error for no charts, or none in a row.
inline std::string to_svg(std::span<const chart> charts, std::size_t per_row, svg_use use) {
    if (charts.empty() || per_row == 0)
        throw shape_error("to_svg: " + std::to_string(charts.size()) + " charts, " + std::to_string(per_row) +
                          " in a row; at least one is expected of both");
    const bool small = per_row > 1;
    detail::panel panel{small ? 384.0 : 720.0, small ? 230.0 : 350.0, 62, 14, 0, 46};
    for (auto const& c : charts) panel.top = std::max(panel.top, detail::heading_height(c, panel));
    panel.height += panel.top;

    if (use == svg_use::inside_page) {
        constexpr double margin = 2;
        std::string out = small ? "<div class=\"charts\">\n" : "<div class=\"charts wide\">\n";
        for (auto const& c : charts)
            out += detail::svg_open(panel.width + 2 * margin, panel.height + 2 * margin, c.title) +
                   detail::drawn_at(margin, margin, c, panel) + "</svg>\n";
        return out + "</div>\n";
    }
    constexpr double margin = 12;
    const std::size_t columns = std::min(per_row, charts.size());
    const std::size_t rows = (charts.size() + per_row - 1) / per_row;
    const auto along = [](std::size_t n, double size) { return static_cast<double>(n) * (size + margin) + margin; };
    std::string out = detail::svg_open(along(columns, panel.width), along(rows, panel.height), charts.front().title) +
                      "<style>\n" + std::string(svg_style()) +
                      ".paper{fill:#fff}@media screen and (prefers-color-scheme:dark){.paper{fill:#15171a}}\n</style>\n"
                      "<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n";
    for (std::size_t i = 0; i < charts.size(); ++i)
        out += detail::drawn_at(along(i % per_row, panel.width), along(i / per_row, panel.height), charts[i], panel);
    return out + "</svg>\n";
}

/// What a picture shows, one row for each point: chart, series, x, y and the band's low and high, empty where not
/// defined.
inline std::string to_csv(std::span<const chart> charts) {
    csv_writer csv(std::vector<std::string>{"chart", "series", "x", "y", "low", "high"});
    for (auto const& c : charts)
        for (auto const& s : c.series)
            for (auto const& p : s.points) {
                csv.text(c.name).text(s.name).number(p.x);
                for (auto const& value : {p.y, p.low, p.high}) value ? csv.number(*value) : csv.empty();
                csv.end_row();
            }
    return csv.bytes();
}

} // namespace bitlens
