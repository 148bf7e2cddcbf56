#pragma once
/// Rotary position embedding (Su et al. 2021), pairing dimension i with i + r/2 of the r that turn, as Hugging Face
/// models do, and the ways to stretch it to longer texts.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace bitlens {

// How frequencies f_i = θ^(−2i/r) of a model are changed, one type a kind. Contexts are numbers of positions.

/// f_i.
struct rope_unscaled {
    bool operator==(rope_unscaled const&) const = default;
};

/// f_i / factor.
struct rope_linear {
    double factor = 1;
    bool operator==(rope_linear const&) const = default;
};

/// θ grows with the text: θ ← θ·(factor·n/context − factor + 1)^(r/(r−2)), where n is the longer of text and context.
struct rope_dynamic {
    double factor = 1;
    std::size_t context = 0;
    bool operator==(rope_dynamic const&) const = default;
};

/// f_i / factor where a turn takes more than original_context / low positions, f_i where it takes fewer than
/// original_context / high, in between a mean of both, weighted by turns in the original context.
struct rope_llama3 {
    double factor = 1, low = 1, high = 4;
    std::size_t original_context = 0;
    bool operator==(rope_llama3 const&) const = default;
};

/// f_i in dimensions that turn more than `fast` times in the original context, f_i / factor in those that turn fewer
/// than `slow` times, in between a mean of both that changes with i (Peng et al. 2023).
struct rope_yarn {
    double factor = 1;
    std::size_t original_context = 0;
    double fast = 32, slow = 1;
    bool truncate = true;              // where the mean begins and ends, to whole i
    std::optional<double> magnitude{}; // A; else from factor and the next two
    double mscale = 0, mscale_all = 0; // used where neither is 0
    bool operator==(rope_yarn const&) const = default;
};

/// f_i / short_factors_i for a text that fits the original context, else f_i / long_factors_i, at all its positions
/// (Ding et al. 2024).
struct rope_longrope {
    std::vector<double> short_factors, long_factors; // (r/2)
    std::size_t original_context = 0;
    double factor = 1;                 // context / original context
    std::optional<double> magnitude{}; // A, of short texts too; else √(1 + ln factor / ln original_context)
    bool operator==(rope_longrope const&) const = default;
};

/// f_i / divisors_i, as GGUF files keep what rope_llama3 computes.
struct rope_divided {
    std::vector<float> divisors; // (r/2)
    bool operator==(rope_divided const&) const = default;
};

using rope_scaling =
    std::variant<rope_unscaled, rope_linear, rope_dynamic, rope_llama3, rope_yarn, rope_longrope, rope_divided>;

/// What turns in the heads of a layer, and how fast.
struct rope_rule {
    double theta = 10000;
    std::size_t rotated = 0; ///< r: dimensions of a head that turn, from the first; 0: all
    rope_scaling scaling{};
    bool operator==(rope_rule const&) const = default;
};

/// How far each pair turns from one position to the next, and by what all of them are multiplied.
struct rope_frequencies {
    std::vector<float> of_pair; // (r/2), radians
    float magnitude = 1;        // A
};

namespace detail {

/// Errors: option_error unless x is positive, and finite.
inline void check_rope_number(const char* what, double x, double above = 0) {
    if (!(x > above) || !std::isfinite(x))
        throw option_error("rope: " + std::string(what) + " " + std::to_string(x) + ", expected a " +
                           (above == 0 ? "positive number" : "number above " + std::to_string(above)));
}
inline void check_rope_context(const char* what, std::size_t positions) {
    if (positions == 0) throw option_error("rope: " + std::string(what) + " is 0 positions, expected at least 1");
}
template <class T>
void check_rope_numbers(const char* what, std::vector<T> const& x, std::size_t pairs) {
    check_size("rope", what, x.size(), pairs);
    for (const T v : x) check_rope_number(what, double{v});
}

/// r.   Errors: shape_error unless it is even and no more than the head has.
inline std::size_t rotated_dims(rope_rule const& rule, std::size_t head_dim) {
    const std::size_t rotated = rule.rotated == 0 ? head_dim : rule.rotated;
    if (rule.rotated == 0 && (head_dim == 0 || head_dim % 2 != 0))
        throw shape_error("rope: head_dim " + std::to_string(head_dim) + ", expected an even number");
    if (rotated > head_dim || rotated % 2 != 0)
        throw shape_error("rope: " + std::to_string(rotated) +
                          " dimensions of a head turn, expected an even number up to "
                          "head_dim " +
                          std::to_string(head_dim));
    return rotated;
}

/// What a kind of scaling makes of r dimensions, for one text: the base, the frequency of pair i from f_i, and A.
struct rope_stretch {
    double theta;
    std::size_t rotated, positions;
    std::function<double(std::size_t i, double f)> of_pair = [](std::size_t, double f) { return f; };
    double magnitude = 1;

    std::size_t pairs() const noexcept { return rotated / 2; }

    // Errors: option_error, shape_error where the numbers of a kind are none to compute with.
    void operator()(rope_unscaled const&) const noexcept {}
    void operator()(rope_linear const& s) {
        check_rope_number("factor", s.factor);
        of_pair = [s](std::size_t, double f) { return f / s.factor; };
    }
    void operator()(rope_dynamic const& s) {
        check_rope_number("factor", s.factor);
        check_rope_context("context", s.context);
        if (positions <= s.context) return;
        const double r = static_cast<double>(rotated), text = static_cast<double>(positions);
        theta *= std::pow(s.factor * text / static_cast<double>(s.context) - (s.factor - 1), r / (r - 2));
    }
    void operator()(rope_llama3 const& s) {
        check_rope_number("factor", s.factor);
        check_rope_number("low", s.low);
        check_rope_number("high", s.high, s.low);
        check_rope_context("original_context", s.original_context);
        of_pair = [s](std::size_t, double f) {
            const double turns = static_cast<double>(s.original_context) * f / (2 * std::numbers::pi);
            const double unscaled = std::clamp((turns - s.low) / (s.high - s.low), 0.0, 1.0);
            return (1 - unscaled) * f / s.factor + unscaled * f;
        };
    }
    void operator()(rope_yarn const& s) {
        check_rope_number("factor", s.factor);
        check_rope_number("fast", s.fast);
        check_rope_number("slow", s.slow);
        check_rope_number("theta of yarn", theta, 1);
        check_rope_context("original_context", s.original_context);
        const auto pair_of = [&](double turns) { // the i, no whole one, that turns so often in the original context
            return static_cast<double>(rotated) *
                   std::log(static_cast<double>(s.original_context) / (turns * 2 * std::numbers::pi)) /
                   (2 * std::log(theta));
        };
        double first = pair_of(s.fast), last = pair_of(s.slow);
        if (s.truncate) first = std::floor(first), last = std::ceil(last);
        first = std::max(first, 0.0), last = std::min(last, static_cast<double>(rotated - 1)); // r − 1, not r/2 − 1
        if (first == last) last += 0.001;
        of_pair = [factor = s.factor, first, last](std::size_t i, double f) {
            const double scaled = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
            return scaled * f / factor + (1 - scaled) * f;
        };
        const auto magnitude_of = [&](double m) { return s.factor <= 1 ? 1 : 0.1 * m * std::log(s.factor) + 1; };
        const bool has_both = s.mscale != 0 && s.mscale_all != 0;
        magnitude = s.magnitude ? *s.magnitude
                    : has_both  ? magnitude_of(s.mscale) / magnitude_of(s.mscale_all)
                                : magnitude_of(1);
    }
    void operator()(rope_longrope const& s) {
        check_rope_numbers("short_factors", s.short_factors, pairs());
        check_rope_numbers("long_factors", s.long_factors, pairs());
        check_rope_number("factor", s.factor);
        check_rope_context("original_context", s.original_context);
        of_pair = [factors = positions <= s.original_context ? s.short_factors : s.long_factors](
                      std::size_t i, double f) { return f / factors[i]; };
        if (s.magnitude)
            magnitude = *s.magnitude;
        else if (s.factor > 1)
            magnitude = std::sqrt(1 + std::log(s.factor) / std::log(static_cast<double>(s.original_context)));
    }
    void operator()(rope_divided const& s) {
        check_rope_numbers("divisors", s.divisors, pairs());
        of_pair = [divisors = s.divisors](std::size_t i, double f) { return f / double{divisors[i]}; };
    }
};

/// Errors: those of frequencies_of.
inline rope_stretch stretch_of(rope_rule const& rule, std::size_t head_dim, std::size_t positions) {
    check_rope_number("theta", rule.theta);
    rope_stretch stretch{rule.theta, rotated_dims(rule, head_dim), positions};
    std::visit(stretch, rule.scaling);
    check_rope_number("magnitude", stretch.magnitude);
    return stretch;
}

} // namespace detail

/// The frequencies of a text of some positions: its length decides where a rule's scaling depends on it.
/// f_i is rounded to float, and so is what becomes of it.
/// Errors: shape_error for dimensions that do not pair up, or factors of another number; option_error for numbers that
/// are not positive, a yarn of a θ that is not above 1, and a llama3 whose `high` is not above its `low`.
inline rope_frequencies frequencies_of(rope_rule const& rule, std::size_t head_dim, std::size_t positions) {
    const auto stretch = detail::stretch_of(rule, head_dim, positions);
    rope_frequencies f{{}, static_cast<float>(stretch.magnitude)};
    for (std::size_t i = 0; i < stretch.pairs(); ++i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(stretch.rotated);
        const float unscaled = 1.0f / static_cast<float>(std::pow(stretch.theta, double{exponent}));
        f.of_pair.push_back(static_cast<float>(stretch.of_pair(i, double{unscaled})));
    }
    return f;
}

/// The length of the shortest text whose frequencies are those of a text of some positions: what was turned in a text
/// of so many or more is not to be turned again when it grows to `positions`.
inline std::size_t shortest_text_like(rope_rule const& rule, std::size_t positions) noexcept {
    if (auto const* const s = std::get_if<rope_dynamic>(&rule.scaling)) return positions <= s->context ? 0 : positions;
    if (auto const* const s = std::get_if<rope_longrope>(&rule.scaling))
        return positions <= s->original_context ? 0 : s->original_context + 1;
    return 0;
}

/// A·cos and A·sin of position · frequency, for positions 0 … T − 1 of a text of T, and each pair that turns.
/// The frequency and the angle are rounded to float before the cosine is taken: models are trained and served with that
/// rounding (transformers computes both in float32), and at late positions it is worth 10⁻⁵ of a turn.
class rope_table {
public:
    /// Of a text with these frequencies, for its first positions.
    rope_table(std::size_t positions, std::size_t head_dim, rope_frequencies const& f)
        : head_dim_(head_dim), cos_(positions, f.of_pair.size()), sin_(positions, f.of_pair.size()) {
        const double a = double{f.magnitude};
        for (std::size_t i = 0; i < f.of_pair.size(); ++i)
            for (std::size_t t = 0; t < positions; ++t) {
                const double angle = static_cast<float>(t) * f.of_pair[i]; // rounded to float
                cos_(t, i) = static_cast<float>(a * std::cos(angle));
                sin_(t, i) = static_cast<float>(a * std::sin(angle));
            }
    }
    /// Errors: those of frequencies_of.
    rope_table(std::size_t positions, std::size_t head_dim, rope_rule const& rule)
        : rope_table(positions, head_dim, frequencies_of(rule, head_dim, positions)) {}

    std::size_t positions() const noexcept { return cos_.rows(); }
    std::size_t head_dim() const noexcept { return head_dim_; }
    std::size_t rotated() const noexcept { return 2 * cos_.cols(); }
    std::span<const float> cos(std::size_t t) const noexcept { return cos_.row(t); }
    std::span<const float> sin(std::size_t t) const noexcept { return sin_.row(t); }

private:
    std::size_t head_dim_;
    matrix<float> cos_, sin_; // (T, rotated/2)
};

/// Turns the first dimensions of every head of every row by its position, in place: (a, b) → (a·cos − b·sin,
/// b·cos + a·sin). The others stay.
/// Shapes: x (T, heads · head_dim); its rows are positions first … first + T − 1.
/// Errors: shape_error for a position that is not in the table, or a part of a head.
inline void rope(rope_table const& table, std::size_t first, matrix_view<float> x) {
    const std::size_t half = table.rotated() / 2;
    detail::check_range("rope", "positions", first, x.rows, table.positions());
    if (x.cols % table.head_dim() != 0)
        throw shape_error("rope: x has " + std::to_string(x.cols) + " columns, expected whole heads of " +
                          std::to_string(table.head_dim()));
    for (std::size_t t = 0; t < x.rows; ++t) {
        float const* const c = table.cos(first + t).data();
        float const* const s = table.sin(first + t).data();
        for (std::size_t head = 0; head < x.cols; head += table.head_dim()) {
            float* const a = x.row(t).data() + head;
            float* const b = a + half;
            for (std::size_t i = 0; i < half; ++i) {
                const float ai = a[i], bi = b[i];
                a[i] = ai * c[i] - bi * s[i];
                b[i] = bi * c[i] + ai * s[i];
            }
        }
    }
}

} // namespace bitlens
