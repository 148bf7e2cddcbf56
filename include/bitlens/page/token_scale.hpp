#pragma once
/// token_scale: what tokens are coloured by, in steps of the run's own numbers, so that a colour says "rare in this
/// run" under every method and for every measure.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/core/parallel.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What a position has under a method: nll − nll_full, nll, nll_full, kl, entropy, margin.
enum class token_measure : std::uint8_t { error, loss, loss_full, kl, entropy, margin };
inline constexpr std::array token_measures{token_measure::error, token_measure::loss,    token_measure::loss_full,
                                           token_measure::kl,    token_measure::entropy, token_measure::margin};

/// Words for a measure, as choices and keys have them.
inline std::string_view name(token_measure m) noexcept {
    constexpr std::string_view names[] = {"error", "loss", "loss before", "KL divergence", "entropy", "margin"};
    return names[static_cast<std::size_t>(m)];
}

/// A step is reached by what lies beyond this share of all positions of the run.
inline constexpr std::array token_shares{0.75, 0.90, 0.97, 0.995};

/// The numbers of all positions of a run under its methods. A run that lacks a column has no such measure.
class token_numbers {
public:
    explicit token_numbers(results_table const& t) {
        const auto numbers = [&](std::string const& name) {
            return t.find(name, column_shape::position) ? t.of_positions(name) : matrix_view<const float>();
        };
        const auto ids = [&](std::string const& name) {
            return t.find(name, column_shape::position) ? t.ids_of_positions(name) : matrix_view<const std::int32_t>();
        };
        for (auto const& variant : t.variants())
            variants_.push_back({numbers("nll_" + variant), numbers("kl_" + variant), numbers("entropy_" + variant),
                                 numbers("margin_" + variant), ids("top_" + variant)});
        for (std::size_t n = 0; n < t.documents(); ++n) scored_.push_back(t.scored(n));
    }

    std::size_t documents() const noexcept { return scored_.size(); }
    /// Positions of document n that have numbers.
    scored_positions scored(std::size_t n) const noexcept { return scored_[n]; }

    /// Of variant v of the run's table, 0 the full model, which has no error and no divergence.
    bool has(token_measure m, std::size_t v) const noexcept {
        const auto there = [](auto const& column) { return column.data != nullptr; };
        switch (m) {
        case token_measure::error:
            return v > 0 && there(variants_[v].nll) && there(variants_[0].nll);
        case token_measure::loss:
            return there(variants_[v].nll);
        case token_measure::loss_full:
            return there(variants_[0].nll);
        case token_measure::kl:
            return there(variants_[v].kl);
        case token_measure::entropy:
            return there(variants_[v].entropy);
        case token_measure::margin:
            return there(variants_[v].margin);
        }
        return false;
    }
    /// Of position t (that of id t + 1) of document n. `has` is asserted.
    double operator()(token_measure m, std::size_t v, std::size_t n, std::size_t t) const noexcept {
        BITLENS_ASSERT(has(m, v));
        switch (m) {
        case token_measure::error:
            return double{variants_[v].nll(n, t)} - double{variants_[0].nll(n, t)};
        case token_measure::loss:
            return double{variants_[v].nll(n, t)};
        case token_measure::loss_full:
            return double{variants_[0].nll(n, t)};
        case token_measure::kl:
            return double{variants_[v].kl(n, t)};
        case token_measure::entropy:
            return double{variants_[v].entropy(n, t)};
        case token_measure::margin:
            return double{variants_[v].margin(n, t)};
        }
        return undefined_number;
    }
    bool has_top(std::size_t v) const noexcept { return variants_[v].top.data != nullptr; }
    /// The id that a variant finds likeliest there.
    std::int32_t top(std::size_t v, std::size_t n, std::size_t t) const noexcept { return variants_[v].top(n, t); }

private:
    struct columns {
        matrix_view<const float> nll, kl, entropy, margin;
        matrix_view<const std::int32_t> top;
    };
    std::vector<columns> variants_;
    std::vector<scored_positions> scored_;
};

/// A measure of one variant in whole units of 10^−digits, and the steps that its colours begin beyond.
struct token_scale {
    using code = std::optional<std::int64_t>; // none: the number is not finite

    token_measure measure;
    int digits = 2;
    std::array<std::int64_t, token_shares.size()> steps{}; // in units, of unusual(x); rising
    std::array<double, token_shares.size()> exact_steps{}; // the same numbers, not rounded

    code encode(double x) const noexcept {
        constexpr double largest = 1e15; // in units; beyond, doubles skip whole numbers
        if (!std::isfinite(x)) return std::nullopt;
        return std::llround(std::clamp(x * std::pow(10.0, digits), -largest, largest));
    }
    void set_digits(int wanted) noexcept {
        digits = wanted;
        for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = encode(exact_steps[i]).value_or(0);
    }
    /// What counts as much: the size of an error, a small margin, and of all else a large number.
    static double unusual(token_measure m, double x) noexcept {
        return m == token_measure::error ? std::abs(x) : m == token_measure::margin ? -x : x;
    }
    /// 0 … 4: how many of the steps a number is beyond. What is not finite is beyond all.
    std::size_t step(code x) const noexcept {
        if (!x) return steps.size();
        const std::int64_t size = measure == token_measure::error    ? std::abs(*x)
                                  : measure == token_measure::margin ? -*x
                                                                     : *x;
        std::size_t reached = 0;
        while (reached < steps.size() && size > steps[reached]) ++reached;
        return reached;
    }
};

/// The scale that the numbers of all documents give. Two figures or more are left of a number that reaches the first
/// step. Where no number is finite, there are no steps to tell apart.
inline token_scale scale_of(token_numbers const& numbers, token_measure m, std::size_t v) {
    std::vector<float> sizes;
    for (std::size_t n = 0; n < numbers.documents(); ++n)
        for (std::size_t t = numbers.scored(n).first; t < numbers.scored(n).end; ++t)
            if (const double x = numbers(m, v, n, t); std::isfinite(x))
                sizes.push_back(static_cast<float>(token_scale::unusual(m, x)));
    token_scale s{m};
    if (sizes.empty()) return s;
    std::array<double, token_shares.size()> at{};
    auto from = sizes.begin();
    for (std::size_t i = 0; i < at.size(); ++i) {
        const auto place =
            sizes.begin() + static_cast<std::ptrdiff_t>(token_shares[i] * static_cast<double>(sizes.size() - 1));
        std::nth_element(from, place, sizes.end());
        at[i] = double{*place};
        from = place;
    }
    const double first = std::abs(at.front()), last = std::abs(at.back());
    if (const double small = first > 0 ? first : last; small > 0)
        s.digits = std::clamp(1 - static_cast<int>(std::floor(std::log10(small))), 2, 9);
    s.exact_steps = at;
    s.set_digits(s.digits);
    return s;
}

/// Whether a measure is a loss or a difference of losses.
constexpr bool is_of_loss(token_measure m) noexcept { return m <= token_measure::loss_full; }

/// Of every measure that the methods of a run have. Each variant v of the run's table has a list, the full model's
/// empty. Those of losses have one unit, so that loss_full + error is loss.
inline std::vector<std::vector<token_scale>> scales_of(token_numbers const& numbers, std::size_t variants) {
    std::vector<std::pair<std::size_t, token_measure>> all;
    for (std::size_t v = 1; v < variants; ++v)
        for (const token_measure m : token_measures)
            if (numbers.has(m, v)) all.emplace_back(v, m);
    std::vector<token_scale> found(all.size());
    parallel_for(all.size(), [&](std::size_t i) { found[i] = scale_of(numbers, all[i].second, all[i].first); });
    int digits = 0;
    for (token_scale const& s : found)
        if (is_of_loss(s.measure)) digits = std::max(digits, s.digits);
    for (token_scale& s : found)
        if (is_of_loss(s.measure)) s.set_digits(digits);
    std::vector<std::vector<token_scale>> scales(variants);
    for (std::size_t i = 0; i < all.size(); ++i) scales[all[i].first].push_back(found[i]);
    return scales;
}

} // namespace bitlens
