#pragma once
/// vocabulary_loss: from final hidden states to the scores of every token, without ever holding all logits.

#include "bitlens/core/parallel.hpp"
#include "bitlens/kernels/matmul.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace bitlens {

/// Where the scores of one variant go; every span has one place per position (T), but `kl` of the reference, which is
/// empty. p is softmax(logits of the variant), p₀ that of the reference (variant 0).
struct token_scores {
    std::span<double> nll;       ///< −log p(target), nats
    std::span<double> kl;        ///< KL(p₀‖p) = Σ_i p₀(i)·log(p₀(i)/p(i)), nats
    std::span<std::int32_t> top; ///< most likely id; of equal ones the lowest
    std::span<float> margin;     ///< logit of the reference's `top` minus the best other logit, both of this variant
};

namespace detail {

/// Rows of the head whose logits exist at the same time, and positions that do: 2 MiB per matrix of logits.
inline constexpr std::size_t vocabulary_tile = 1024;
inline constexpr std::size_t loss_positions = 512;

/// e^x for x ≤ 0 in float32, relative error < 2.4e-7; below −87 (a likelihood that float32 cannot hold) e^−87.
/// Plain arithmetic, so that a loop over it becomes vector code. NaN stays NaN.
inline float exp_of_nonpositive(float x) noexcept {
    x = x < -87.0f ? -87.0f : x;
    constexpr float shift = 12582912.0f; // 1.5 · 2²³: adding it rounds to an integer, kept in the lowest bits
    const float shifted = x * 1.44269504f + shift;
    const float n = shifted - shift;
    const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f; // x − n·ln 2 in two parts; |r| ≤ ln(2)/2
    float p = 1.0f / 5040; // Taylor's series: the term left out is below 2⁻²⁷
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(shift) + 127u;
    return std::bit_cast<float>(exponent << 23) * p; // 2ⁿ · e^r, and n ≥ −126
}

/// Sums that run over a row 16 numbers abreast: float within 128 numbers, double from there on.
inline constexpr std::size_t loss_lanes = 16;
template <class Term>
double sum_of_row(std::size_t n, Term const& term) noexcept {
    constexpr std::size_t steps = 8;
    double sum = 0;
    std::size_t i = 0;
    while (i + loss_lanes <= n) {
        std::array<float, loss_lanes> part{};
        for (std::size_t s = 0; s < steps && i + loss_lanes <= n; ++s, i += loss_lanes)
            for (std::size_t k = 0; k < loss_lanes; ++k) part[k] += term(i + k);
        for (std::size_t width = loss_lanes / 2; width > 0; width /= 2)
            for (std::size_t k = 0; k < width; ++k) part[k] += part[k + width];
        sum += double{part[0]};
    }
    for (; i < n; ++i) sum += double{term(i)};
    return sum;
}

inline float largest_of_row(std::span<const float> x) noexcept {
    std::array<float, loss_lanes> part;
    part.fill(-std::numeric_limits<float>::infinity());
    std::size_t i = 0;
    for (; i + loss_lanes <= x.size(); i += loss_lanes)
        for (std::size_t k = 0; k < loss_lanes; ++k) part[k] = x[i + k] > part[k] ? x[i + k] : part[k];
    for (std::size_t k = 0; i < x.size(); ++i, ++k) part[k] = std::max(part[k], x[i]);
    return *std::max_element(part.begin(), part.end());
}

/// What is known of one position of one variant after some tiles of the vocabulary. Sums are relative to `largest`.
struct running_loss {
    double sum = 0; // Σ_i exp(l_i − largest)
    double dot = 0; // Σ_i exp(l⁰_i − the reference's largest) · (l⁰_i − l_i)
    float largest = -std::numeric_limits<float>::infinity();
    float target = 0;                 // logit of the target
    float top_of_reference = largest; // logit of what the reference finds most likely so far
    float best_other = largest;       // largest of all others
    std::int32_t top = 0;

    double log_sum() const noexcept { return double{largest} + std::log(sum); }
};

/// One position of the reference in the current tile, as the other variants need it.
struct reference_tile {
    std::span<const float> logits, exps; // exps = exp(logits − largest)
    double rescale;                      // what its sums were multiplied with, as `largest` rose
    std::int32_t top;
};

/// Takes the logits of ids first … into the sums of one position; overwrites `exps` with exp(logits − largest).
/// Returns what the sums before were multiplied with. `reference` is null for the reference itself.
inline double add_tile(running_loss& loss, std::span<const float> logits, std::span<float> exps, std::size_t first,
                       std::int32_t target, reference_tile const* reference) noexcept {
    const float largest = largest_of_row(logits);
    double rescale = 1;
    if (largest > loss.largest) {
        rescale = std::exp(double{loss.largest} - double{largest}); // 0 in the first tile
        loss.largest = largest;
        const auto place = std::find(logits.begin(), logits.end(), largest) - logits.begin();
        loss.top = static_cast<std::int32_t>(first) + static_cast<std::int32_t>(place);
    }
    const float shift = loss.largest;
    loss.sum = loss.sum * rescale + sum_of_row(logits.size(), [&](std::size_t i) {
                   return exps[i] = exp_of_nonpositive(logits[i] - shift);
               });
    const auto inside = [&](std::int32_t id) {
        return static_cast<std::size_t>(id) >= first && static_cast<std::size_t>(id) < first + logits.size();
    };
    if (inside(target)) loss.target = logits[static_cast<std::size_t>(target) - first];

    if (reference != nullptr)
        loss.dot = loss.dot * reference->rescale + sum_of_row(logits.size(), [&](std::size_t i) {
                       return reference->exps[i] * (reference->logits[i] - logits[i]);
                   });
    const std::int32_t top = reference != nullptr ? reference->top : loss.top;
    if (inside(top)) { // new in this tile: what was on top before is another one now
        const std::size_t place = static_cast<std::size_t>(top) - first;
        loss.best_other = std::max({loss.best_other, loss.top_of_reference, largest_of_row(logits.first(place)),
                                    largest_of_row(logits.subspan(place + 1))});
        loss.top_of_reference = logits[place];
    } else {
        loss.best_other = std::max(loss.best_other, largest);
    }
    return rescale;
}

} // namespace detail

/// Bytes of workspace that vocabulary_loss needs.
template <class Arch = simd::default_arch>
constexpr std::size_t vocabulary_loss_bytes(std::size_t vocabulary, std::size_t width, std::size_t positions,
                                            std::size_t variants, unsigned tasks) noexcept {
    const std::size_t tile = std::min(vocabulary, detail::vocabulary_tile);
    const std::size_t block = std::min(positions, detail::loss_positions);
    return 3 * workspace::bytes_for<float>(block * tile) + workspace::bytes_for<float>(tasks * tile) +
           workspace::bytes_for<detail::running_loss>(variants * block) + workspace::bytes_for<double>(block) +
           matmul_bytes<Arch>(tile, width, block, tasks);
}

/// Scores of T tokens under several variants of one model that share the head: logits l = hidden · headᵀ, one tile of
/// the vocabulary at a time, log Σ exp and KL by rescaling sums as the largest logit rises (Milakov & Gimelshein 2018).
/// Shapes: head (vocabulary, d), hidden[v] (T, d) after the final norm; v = 0 is the reference. targets (T), out[v].
/// Errors: none thrown; shapes, 0 ≤ target < vocabulary and vocabulary ≥ 1 are asserted.
/// A variant's bits depend on its own states and the reference's alone: not on tasks, nor on the other variants; states
/// equal to the reference's have KL 0 exactly. Else KL is right to about 1e-6·(1 + largest |l⁰ − l|), so it may come
/// out below 0 by that. A NaN logit makes its position's scores NaN. margin is infinite when the vocabulary has one
/// word. Agrees with reference::vocabulary_loss.
template <class Arch = simd::default_arch, weight_matrix W>
void vocabulary_loss(W const& head, std::span<const matrix_view<const float>> hidden,
                     std::span<const std::int32_t> targets, std::span<const token_scores> out,
                     workspace& scratch) noexcept {
    BITLENS_ASSERT(hidden.size() == out.size() && head.rows() > 0);
    const std::size_t vocabulary = head.rows(), tile = std::min(vocabulary, detail::vocabulary_tile);
    const std::size_t tasks = scratch.tasks();
    for (std::size_t t0 = 0; t0 < targets.size(); t0 += detail::loss_positions) {
        const std::size_t positions = std::min(detail::loss_positions, targets.size() - t0);
        workspace::frame frame(scratch);
        const auto reference_logits = frame.take<float>(positions * tile),
                   own_logits = frame.take<float>(positions * tile);
        const auto reference_exps = frame.take<float>(positions * tile), own_exps = frame.take<float>(tasks * tile);
        const auto rescales = frame.take<double>(positions);
        const auto losses = frame.take<detail::running_loss>(hidden.size() * positions);
        std::fill(losses.begin(), losses.end(), detail::running_loss{});

        for (std::size_t first = 0; first < vocabulary; first += tile) {
            const std::size_t count = std::min(tile, vocabulary - first);
            for (std::size_t v = 0; v < hidden.size(); ++v) {
                BITLENS_ASSERT(hidden[v].rows == targets.size() && hidden[v].cols == head.cols());
                const matrix_view<float> logits((v == 0 ? reference_logits : own_logits).data(), positions, count);
                matmul_rows<Arch>(head, first, count, hidden[v].middle_rows(t0, positions), logits, scratch);
                parallel_pieces(positions, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
                    for (std::size_t t = begin; t < end; ++t) {
                        BITLENS_ASSERT(targets[t0 + t] >= 0 && static_cast<std::size_t>(targets[t0 + t]) < vocabulary);
                        const auto exps_of_reference = reference_exps.subspan(t * count, count);
                        const detail::reference_tile reference{reference_logits.subspan(t * count, count),
                                                               exps_of_reference, rescales[t], losses[t].top};
                        const auto exps = v == 0 ? exps_of_reference : own_exps.subspan(task * tile, count);
                        const double rescale = detail::add_tile(losses[v * positions + t], logits.row(t), exps, first,
                                                                targets[t0 + t], v == 0 ? nullptr : &reference);
                        if (v == 0) rescales[t] = rescale;
                    }
                });
            }
        }
        for (std::size_t v = 0; v < hidden.size(); ++v)
            for (std::size_t t = 0; t < positions; ++t) {
                detail::running_loss const &loss = losses[v * positions + t], &full = losses[t];
                out[v].nll[t0 + t] = loss.log_sum() - double{loss.target};
                if (v != 0) out[v].kl[t0 + t] = loss.dot / full.sum + (loss.log_sum() - full.log_sum());
                out[v].top[t0 + t] = loss.top;
                out[v].margin[t0 + t] = loss.top_of_reference - loss.best_other;
            }
    }
}

namespace reference {

/// The same in double, straight from the formulas, with all logits of a position at once.
template <weight_matrix W>
void vocabulary_loss(W const& head, std::span<const matrix_view<const float>> hidden,
                     std::span<const std::int32_t> targets, std::span<const token_scores> out) {
    std::vector<std::vector<double>> logits(hidden.size(), std::vector<double>(head.rows()));
    std::vector<double> log_sums(hidden.size());
    for (std::size_t t = 0; t < targets.size(); ++t) {
        for (std::size_t v = 0; v < hidden.size(); ++v) {
            for (std::size_t r = 0; r < head.rows(); ++r) {
                logits[v][r] = 0;
                for (std::size_t c = 0; c < head.cols(); ++c)
                    logits[v][r] += double{head.value(r, c)} * double{hidden[v](t, c)};
            }
            const double largest = *std::max_element(logits[v].begin(), logits[v].end());
            double sum = 0;
            for (const double l : logits[v]) sum += std::exp(l - largest);
            log_sums[v] = largest + std::log(sum);
        }
        const auto top_of = [&](std::size_t v) {
            return std::max_element(logits[v].begin(), logits[v].end()) - logits[v].begin();
        };
        for (std::size_t v = 0; v < hidden.size(); ++v) {
            out[v].nll[t] = log_sums[v] - logits[v][static_cast<std::size_t>(targets[t])];
            const std::ptrdiff_t reference_top = top_of(0);
            double kl = 0, best_other = -std::numeric_limits<double>::infinity();
            for (std::size_t r = 0; r < head.rows(); ++r) {
                const double log_p = logits[0][r] - log_sums[0], log_q = logits[v][r] - log_sums[v];
                kl += std::exp(log_p) * (log_p - log_q);
                if (static_cast<std::ptrdiff_t>(r) != reference_top) best_other = std::max(best_other, logits[v][r]);
            }
            if (v != 0) out[v].kl[t] = kl;
            out[v].top[t] = static_cast<std::int32_t>(top_of(v));
            out[v].margin[t] = static_cast<float>(logits[v][static_cast<std::size_t>(reference_top)] - best_other);
        }
    }
}

} // namespace reference

} // namespace bitlens
