#pragma once
/// quantization_check: whether one matrix is plausibly what a method made of another, and what it looks like instead.
///
/// What is compared is the error of each linear layer with that of rounding to nearest in the method's format. A method
/// that looks at activations has another error, but never by much; what damages do to a file is told by a test of its
/// own each. Thresholds were measured: docs/verify.md.

#include "bitlens/core/error.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/models/checkpoint_difference.hpp"
#include "bitlens/quantizers/affine_grid.hpp"
#include "bitlens/quantizers/rows.hpp"
#include "bitlens/quantizers/uniform_rule.hpp"
#include "bitlens/quantizers/weight_grid.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/stats/spread.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// What a method's numbers are expected to be like: the format, to whose nearest values weights are rounded for
/// comparison, and by what the method's error may differ from that of rounding.
struct expected_quantization {
    std::string method;                     ///< its text
    uniform_rule rule{};                    ///< bits and groups; the zero of a uniform format
    std::span<const float> levels{};        ///< of NormalFloat, rising; none: a uniform format
    double least_ratio = 0, most_ratio = 0; ///< plausible, of quantization_check::ratio
    bool varies_by_rows = false; ///< single rows may have any error: a method that weighs errors by its inputs

    std::size_t group_columns(std::size_t cols) const noexcept { return rule.group_columns(cols); }

    /// to ← the values nearest to a group of weights. Returns the step between neighbouring values, on average.
    /// Shapes: group (n), to (n), n ≥ 1.
    float round(std::span<const float> group, std::span<float> to) const noexcept {
        if (levels.empty()) {
            const affine_codes codes = rule.codes();
            const affine_grid grid = min_max_grid(group, codes);
            for (std::size_t i = 0; i < group.size(); ++i) to[i] = grid.nearest(group[i], codes.largest);
            return grid.scale;
        }
        const float scale = detail::largest_magnitude(group);
        for (std::size_t i = 0; i < group.size(); ++i) {
            const float x = scale == 0 ? 0 : group[i] / scale;
            float best = levels.front();
            for (const float level : levels)
                if (std::abs(x - level) < std::abs(x - best)) best = level;
            to[i] = scale * best;
        }
        return 2 * scale / static_cast<float>(levels.size() - 1);
    }
};

/// Rounding gives the error of rounding but for 16-bit scales and other roundings of halves; AWQ clips and GPTQ moves
/// errors between columns, which makes those of weights larger.
/// Errors: option_error for a method that is a checkpoint, of which nothing is known.
inline expected_quantization expected_of(method const& m) {
    expected_quantization e;
    e.method = m.text();
    const auto is_uniform_method = [&](auto const& k, double least, double most) {
        e.rule = {k.bits, k.group_size, k.symmetric ? zero_kind::symmetric : zero_kind::asymmetric};
        e.least_ratio = least;
        e.most_ratio = most;
    };
    std::visit(
        [&]<class Kind>(Kind const& k) {
            if constexpr (std::is_same_v<Kind, rtn_method>) {
                is_uniform_method(k, 0.9, 1.1);
            } else if constexpr (std::is_same_v<Kind, awq_method>) {
                is_uniform_method(k, 0.6, 2);
            } else if constexpr (std::is_same_v<Kind, gptq_method>) {
                is_uniform_method(k, 0.7, 2.2);
                e.varies_by_rows = true;
            } else if constexpr (std::is_same_v<Kind, normal_float_method>) {
                e.rule = {k.bits, k.group_size, zero_kind::symmetric};
                if (k.bits == 3)
                    e.levels = detail::normal_float_levels<3>;
                else
                    e.levels = detail::normal_float_levels<4>;
                e.least_ratio = 0.9;
                e.most_ratio = 1.1;
            } else {
                throw option_error("--expect: the name of a method is expected, a path was found");
            }
        },
        m.kind);
    return e;
}

/// What a matrix looks like beside another that it is expected to be a quantization of.
enum class quantization_finding : std::uint8_t {
    plausible,
    equal,         ///< every number
    only_rounded,  ///< to 16 bits
    scaled,        ///< scales multiplied, or cut to nothing
    shifted,       ///< zero points off by one
    moved_rows,    ///< rows are those of others
    moved_columns, ///< columns are those of others
    fewer_bits,    ///< than expected
    more_bits,     ///< than expected, or smaller groups
    odd_rows,      ///< plausible but for some rows
    unlike,        ///< another matrix
    unexplained,   ///< too large an error that none of the tests tells
};
inline constexpr std::size_t quantization_finding_count = 12;
constexpr std::string_view name(quantization_finding f) noexcept {
    constexpr std::array<std::string_view, quantization_finding_count> names{
        "plausible",     "not quantized: equal", "not quantized: 16 bits",
        "scales",        "zero points",          "rows moved",
        "columns moved", "fewer bits",           "more bits",
        "odd rows",      "another matrix",       "error too large"};
    return names[static_cast<std::size_t>(f)];
}

struct quantization_check {
    double error = 0;    ///< ‖b − a‖ / ‖a‖
    double expected = 0; ///< of rounding to nearest
    double ratio = 0;    ///< error / expected of a row, the median over the rows
    quantization_finding finding = quantization_finding::plausible;
    std::string text{};            ///< what was found, in words
    std::vector<far_error> rows{}; ///< whose error stands out from what rounding makes of them

    bool is_plausible() const noexcept { return finding == quantization_finding::plausible; }
};

namespace detail {

/// The thresholds of quantization_check.
struct check_limits {
    double rounded = 0.003;    // an error below this is that of 16 bits: 2⁻⁹ at most
    double on_grid = 1e-4;     // an error of rounding below this says that weights lie on the grid already
    double factor = 0.03;      // a common factor differs from 1 by more
    double group_factor = 0.2; // and of single groups, in its logarithm
    double least_shift = 0.5, most_shift = 1.6; // mean of (b − a)/step of a group whose zero is off by one
    double alike = 0.75;                        // cosine of a row or column with the one it is taken for,
    double more_alike = 0.2;                    // and by how much more than with its own
    double unlike = 0.3;                        // cosine with a, below which b is another matrix
    double undone = 1.25;                       // times most_ratio: what is left once a damage is undone
    double less = 0.8;                          // and how much less that is than what was there
    double few_groups = 0.05;                   // a share of groups below which their scales are no reason
    std::size_t tried = 32;                     // rows or columns that are looked for elsewhere, the worst ones
    far_error_rule rows{3, 8, 0.1, 5};          // of errors to those of rounding
};
inline constexpr check_limits limits_of_check;

/// Sums over a row.
struct check_sums {
    double a = 0, b = 0, ab = 0;                                 // ‖a‖², ‖b‖², a·b
    double apart = 0, rounded = 0;                               // ‖b − a‖², ‖rounded a − a‖²
    std::size_t most_values = 0, crowded_groups = 0, groups = 0; // most_values: different ones in a row

    void add(check_sums const& s) noexcept {
        a += s.a;
        b += s.b;
        ab += s.ab;
        apart += s.apart;
        rounded += s.rounded;
        most_values = std::max(most_values, s.most_values);
        crowded_groups += s.crowded_groups;
        groups += s.groups;
    }
    double cosine() const noexcept { return a == 0 || b == 0 ? 0 : ab / std::sqrt(a * b); }
};

/// Of one group of a row.
struct group_sums {
    double a = 0, b = 0, ab = 0, apart = 0, rounded = 0, sum = 0; // sum: of b − a
    double step = 0;
    std::size_t size = 0;

    double shift() const noexcept { return step == 0 ? 0 : sum / (static_cast<double>(size) * step); }
    double factor() const noexcept { return a == 0 ? 1 : ab / a; }
};

inline group_sums group_sums_of(std::span<const float> a, std::span<const float> b,
                                expected_quantization const& expected, std::span<float> rounded) {
    group_sums s;
    s.size = a.size();
    s.step = double{expected.round(a, rounded)};
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double x = double{a[i]}, y = double{b[i]}, z = double{rounded[i]} - x;
        s.a += x * x;
        s.b += y * y;
        s.ab += x * y;
        s.apart += (y - x) * (y - x);
        s.rounded += z * z;
        s.sum += y - x;
    }
    return s;
}

inline std::size_t distinct_values(std::span<const float> x, std::vector<float>& scratch) {
    rising_values(x, scratch);
    return scratch.size();
}

/// A row or column of b and the one of a that it is.
struct moved_vector {
    std::size_t of_b, of_a;
};

/// Of vectors of b, by their numbers, those that are another of a. products(i, j): b_i · a_j for the i-th of them.
inline std::vector<moved_vector> moved_among(std::span<const std::size_t> tried, matrix<double> const& products,
                                             std::span<const double> norms_a, std::span<const double> norms_b) {
    check_limits const& limits = limits_of_check;
    std::vector<moved_vector> moved;
    for (std::size_t i = 0; i < tried.size(); ++i) {
        const auto cosine = [&](std::size_t j) {
            const double of = norms_a[j] * norms_b[i];
            return of == 0 ? 0.0 : products(i, j) / std::sqrt(of);
        };
        std::size_t best = 0;
        for (std::size_t j = 1; j < norms_a.size(); ++j)
            if (cosine(j) > cosine(best)) best = j;
        if (best != tried[i] && cosine(best) > limits.alike && cosine(best) > cosine(tried[i]) + limits.more_alike)
            moved.push_back({tried[i], best});
    }
    return moved;
}

/// Those of b's rows `tried` that are other rows of a.
inline std::vector<moved_vector> moved_rows(matrix_view<const float> a, matrix_view<const float> b,
                                            std::span<const std::size_t> tried) {
    matrix<double> products(tried.size(), a.rows);
    std::vector<double> norms_a(a.rows), norms_b(tried.size());
    const auto dot = [](std::span<const float> x, std::span<const float> y) {
        double sum = 0;
        for (std::size_t c = 0; c < x.size(); ++c) sum += double{x[c]} * double{y[c]};
        return sum;
    };
    for_each_row(a, [&](std::size_t j) {
        norms_a[j] = dot(a.row(j), a.row(j));
        for (std::size_t i = 0; i < tried.size(); ++i) products(i, j) = dot(b.row(tried[i]), a.row(j));
    });
    for (std::size_t i = 0; i < tried.size(); ++i) norms_b[i] = dot(b.row(tried[i]), b.row(tried[i]));
    return moved_among(tried, products, norms_a, norms_b);
}

/// The same of columns.
inline std::vector<moved_vector> moved_columns(matrix_view<const float> a, matrix_view<const float> b,
                                               std::span<const std::size_t> tried) {
    matrix<double> products(tried.size(), a.cols);
    std::vector<double> norms_a(a.cols), norms_b(tried.size());
    parallel_for(tried.size() + 1, [&](std::size_t i) {
        for (std::size_t r = 0; r < a.rows; ++r) {
            const auto row = a.row(r);
            if (i == tried.size()) {
                for (std::size_t j = 0; j < a.cols; ++j) norms_a[j] += double{row[j]} * double{row[j]};
                continue;
            }
            const double x = double{b(r, tried[i])};
            norms_b[i] += x * x;
            for (std::size_t j = 0; j < a.cols; ++j) products(i, j) += x * double{row[j]};
        }
    });
    return moved_among(tried, products, norms_a, norms_b);
}

/// The numbers of the largest of some numbers, the largest first.
inline std::vector<std::size_t> largest_of(std::span<const double> x, std::size_t count) {
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return x[i]; });
    order.resize(std::min(count, order.size()));
    return order;
}

inline std::string percent_text(double share) { return rounded_text(100 * share, 0) + " %"; }
inline std::string factor_text(double factor) { return std::isfinite(factor) ? rounded_text(factor, 2) : "∞"; }

/// The tests that tell what is wrong with one matrix.
class quantization_test {
public:
    quantization_test(matrix_view<const float> a, matrix_view<const float> b, expected_quantization const& expected)
        : a_(a), b_(b), expected_(expected) {}

    quantization_check run() {
        measure();
        judge();
        return std::move(check_);
    }

private:
    using finding = quantization_finding;

    void measure() {
        std::vector<check_sums> rows(a_.rows);
        const std::size_t values = std::size_t{1} << expected_.rule.bits, groups = expected_.rule.groups(a_.cols);
        groups_.resize(a_.rows * groups);
        for_each_row(a_, [&](std::size_t r) {
            std::vector<float> rounded(expected_.group_columns(a_.cols)), sorted;
            check_sums& row = rows[r];
            for (std::size_t g = 0; g < groups; ++g) {
                const auto of_a = expected_.rule.group_of(a_.row(r), g), of_b = expected_.rule.group_of(b_.row(r), g);
                group_sums const& s = groups_[r * groups + g] =
                    group_sums_of(of_a, of_b, expected_, std::span(rounded).first(of_a.size()));
                row.add({s.a, s.b, s.ab, s.apart, s.rounded, 0, distinct_values(of_b, sorted) > values, 1});
            }
            row.most_values = distinct_values(b_.row(r), sorted);
        });
        for (auto const& row : rows) sums_.add(row);
        // A row that happens to lie on a grid is no reason for an infinite ratio.
        const double least = 0.01 * sums_.rounded / static_cast<double>(std::max<std::size_t>(1, a_.rows));
        for (auto const& row : rows)
            row_ratios_.push_back(row.apart == 0 ? 0 : std::sqrt(row.apart / std::max(row.rounded, least)));
        check_.error = error_ratio(sums_.apart, sums_.a);
        check_.expected = error_ratio(sums_.rounded, sums_.a);
        check_.ratio = median_of(row_ratios_);
    }

    void found(finding what, std::string text) {
        check_.finding = what;
        check_.text = std::move(text);
    }
    std::string bits_text() const { return std::to_string(expected_.rule.bits) + " bits"; }
    /// Whether what is left once a damage is undone is plausible, and much less than before.
    bool is_undone(double apart, double rounded) const noexcept {
        return error_ratio(apart, rounded) <= limits_.undone * expected_.most_ratio &&
               error_ratio(apart, rounded) <= limits_.less * error_ratio(sums_.apart, sums_.rounded);
    }

    void judge() {
        if (check_.expected < limits_.on_grid) {
            if (check_.error > limits_.rounded)
                found(finding::unexplained, "A lies on such a grid already, and B is not equal to it");
            return;
        }
        if (sums_.apart == 0) return found(finding::equal, "not quantized: every number is A's");
        if (check_.error < limits_.rounded && check_.ratio < expected_.least_ratio)
            return found(finding::only_rounded, "not quantized: A's numbers, rounded to 16 bits");
        // A method's own error may hide these.
        if (is_shifted() || is_scaled() || has_scaled_groups()) return;
        if (sums_.cosine() > limits_.unlike && has_fewer_values()) return;
        if (check_.ratio < expected_.least_ratio) return judge_small_error();
        if (check_.ratio <= expected_.most_ratio) return judge_rows();
        if (has_moved_rows(finding::moved_rows) || has_moved_columns() || has_error_of_fewer_bits()) return;
        judge_rows();
        if (!check_.is_plausible()) return;
        if (sums_.cosine() < limits_.unlike)
            return found(finding::unlike, "another matrix: its cosine with A's is " + rounded_text(sums_.cosine(), 2));
        found(finding::unexplained, "the error is " + factor_text(check_.ratio) + " times that of rounding to nearest");
    }

    /// Of so many columns some row has more than half of the values of its groups, if it has the bits.
    bool counts_values() const noexcept {
        return std::min(a_.cols, expected_.group_columns(a_.cols)) >= (std::size_t{1} << expected_.rule.bits);
    }
    /// In a row, whatever order the columns of its groups have.
    bool has_fewer_values() {
        const std::size_t values = expected_.rule.groups(a_.cols) << expected_.rule.bits;
        if (!counts_values() || sums_.most_values > values / 2) return false;
        found(finding::fewer_bits, "fewer bits: no row has more than " + std::to_string(sums_.most_values) +
                                       " different values, where the groups of " + bits_text() + " have " +
                                       std::to_string(values));
        return true;
    }
    /// Where values cannot be counted: the error is that of so many bits fewer.
    bool has_error_of_fewer_bits() {
        if (counts_values()) return false;
        const auto steps = [](int bits) { return static_cast<double>((1u << bits) - 1); };
        for (int bits = expected_.rule.bits - 1; bits >= 2; --bits) {
            const double ratio = check_.ratio * steps(bits) / steps(expected_.rule.bits);
            if (ratio < expected_.least_ratio || ratio > expected_.most_ratio) continue;
            found(finding::fewer_bits, "fewer bits: the error is " + factor_text(check_.ratio) +
                                           " times that of rounding to nearest, as of " + std::to_string(bits) +
                                           " bits");
            return true;
        }
        return false;
    }

    /// Share of the groups that have more values than the bits.
    double crowded() const noexcept {
        return static_cast<double>(sums_.crowded_groups) / static_cast<double>(std::max<std::size_t>(1, sums_.groups));
    }
    void judge_small_error() {
        found(finding::more_bits, "more bits or smaller groups: the error is " + factor_text(check_.ratio) +
                                      " times that of rounding to nearest, as of some " +
                                      rounded_text(expected_.rule.bits - std::log2(check_.ratio), 1) + " bits; " +
                                      percent_text(crowded()) + " of the groups have more values than " + bits_text() +
                                      " have");
    }

    void judge_rows() {
        check_.rows = far_errors_of(row_ratios_, limits_.rows);
        if (check_.rows.empty()) return;
        std::vector<std::size_t> worst;
        for (auto const& row : check_.rows)
            if (worst.size() < limits_.tried) worst.push_back(row.index);
        const auto moved = moved_rows(a_, b_, worst);
        auto const& first = check_.rows.front();
        std::string text = counted(check_.rows.size(), "row") + (check_.rows.size() == 1 ? " stands" : " stand") +
                           " out: the error of row " + std::to_string(first.index) + " is " + factor_text(first.times) +
                           " times that of the usual row, " + rounded_text(first.spreads, 0) + " spreads above it";
        if (!moved.empty())
            text += "; " + std::to_string(moved.size()) + " of them are other rows of A, " +
                    std::to_string(moved.front().of_b) + " is " + std::to_string(moved.front().of_a);
        if (moved.size() * 2 >= worst.size()) return found(finding::moved_rows, std::move(text));
        found(expected_.varies_by_rows ? finding::plausible : finding::odd_rows, std::move(text));
    }

    /// b − a is one step in most groups.
    bool is_shifted() {
        std::vector<double> shifts;
        double apart = 0, rounded = 0;
        for (group_sums const& s : groups_) {
            shifts.push_back(s.shift());
            apart += std::max(0.0, s.apart - s.sum * s.sum / static_cast<double>(s.size));
            rounded += s.rounded;
        }
        const double middle = median_of(shifts);
        const auto is_one = [&](double shift) {
            return shift * middle > 0 && std::abs(shift) > limits_.least_shift && std::abs(shift) < limits_.most_shift;
        };
        if (!is_one(middle) || !is_undone(apart, rounded)) return false;
        const auto shifted = static_cast<double>(std::ranges::count_if(shifts, is_one));
        found(finding::shifted, "zero points are off by one: B − A is " + rounded_text(middle, 2) +
                                    " steps on average, in " +
                                    percent_text(shifted / static_cast<double>(shifts.size())) + " of the groups");
        return true;
    }

    bool has_moved_rows(finding what) {
        const auto tried = largest_of(row_ratios_, limits_.tried);
        return found_moved(what, "rows", tried.size(), moved_rows(a_, b_, tried));
    }
    bool has_moved_columns() {
        std::vector<double> apart(a_.cols), size(a_.cols);
        for (std::size_t r = 0; r < a_.rows; ++r)
            for (std::size_t c = 0; c < a_.cols; ++c) {
                const double x = double{a_(r, c)}, d = double{b_(r, c)} - x;
                apart[c] += d * d;
                size[c] += x * x;
            }
        for (std::size_t c = 0; c < a_.cols; ++c) apart[c] = size[c] == 0 ? 0 : apart[c] / size[c];
        const auto tried = largest_of(apart, limits_.tried);
        return found_moved(finding::moved_columns, "columns", tried.size(), moved_columns(a_, b_, tried));
    }
    bool found_moved(finding what, std::string const& of, std::size_t tried, std::vector<moved_vector> const& moved) {
        if (moved.empty() || moved.size() * 2 < tried) return false;
        found(what, of + " are permuted: " + std::to_string(moved.size()) + " of the " + std::to_string(tried) +
                        " worst are others of A, " + std::to_string(moved.front().of_b) + " is " +
                        std::to_string(moved.front().of_a));
        return true;
    }

    bool is_scaled() {
        const double factor = sums_.ab / sums_.a; // of b = factor · a
        if (factor <= 0 || std::abs(factor - 1) < limits_.factor) return false;
        const double apart = sums_.b / (factor * factor) - 2 * sums_.ab / factor + sums_.a; // ‖b/factor − a‖²
        if (!is_undone(std::max(0.0, apart), sums_.rounded)) return false;
        found(finding::scaled, "scales are multiplied by " + factor_text(factor) + ", norms by " +
                                   factor_text(std::sqrt(sums_.b / sums_.a)));
        return true;
    }
    bool has_scaled_groups() {
        std::size_t lost = 0;
        std::vector<double> factors;
        double apart = 0, rounded = 0;
        for (group_sums const& s : groups_) {
            if (s.b == 0 && s.a != 0 && s.rounded < 0.5 * s.a) {
                ++lost;
                continue;
            }
            rounded += s.rounded;
            const double factor = s.factor();
            if (factor <= 0 || std::abs(std::log(factor)) < limits_.group_factor) {
                apart += s.apart;
                continue;
            }
            factors.push_back(factor);
            apart += std::max(0.0, s.b / (factor * factor) - 2 * s.ab / factor + s.a);
        }
        if (static_cast<double>(lost + factors.size()) < limits_.few_groups * static_cast<double>(groups_.size()) ||
            !is_undone(apart, rounded))
            return false;
        const auto share = [&](std::size_t count) {
            return percent_text(static_cast<double>(count) / static_cast<double>(groups_.size()));
        };
        std::string text = "scales of groups are off:";
        if (!factors.empty()) {
            const auto [least, most] = std::ranges::minmax(factors);
            text += " " + std::to_string(factors.size()) + " (" + share(factors.size()) + ") by " + factor_text(least) +
                    " to " + factor_text(most) + ", in the middle by " + factor_text(median_of(factors));
        }
        if (lost != 0)
            text += std::string(factors.empty() ? "" : ",") + " " + std::to_string(lost) + " (" + share(lost) +
                    ") are all zero";
        found(finding::scaled, std::move(text));
        return true;
    }

    matrix_view<const float> a_, b_;
    expected_quantization const& expected_;
    check_limits const& limits_ = limits_of_check;
    check_sums sums_{};
    std::vector<group_sums> groups_{}; // row by row
    std::vector<double> row_ratios_{};
    quantization_check check_{};
};

} // namespace detail

/// Whether b is plausibly the expected quantization of a, the weight that was quantized.
/// Shapes: a, b (out, in), at least one number, finite.   Errors: shape_error otherwise.
inline quantization_check check_quantization(matrix_view<const float> a, matrix_view<const float> b,
                                             expected_quantization const& expected) {
    detail::check_shape("check_quantization", "b", b, a.rows, a.cols);
    if (a.rows * a.cols == 0) throw shape_error("check_quantization: at least one weight is expected");
    return detail::quantization_test(a, b, expected).run();
}

} // namespace bitlens
