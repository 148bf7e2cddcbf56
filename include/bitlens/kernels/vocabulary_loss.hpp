#pragma once
/// vocabulary_loss: from final hidden states to the scores of every token, without ever holding all logits.

#include "bitlens/simd/arch.hpp" // before oneTBB, which includes the compiler's headers that warn (see there)

#include "bitlens/core/parallel.hpp"
#include "bitlens/kernels/soft_cap.hpp"
#include "bitlens/kernels/weight_panels.hpp"
#include "bitlens/simd/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace bitlens {

/// Where the scores of one variant go; every span has one place per position (T), or none where nobody asks; `kl` of
/// the reference is not written. p is softmax(logits of the variant), p₀ that of the reference (variant 0).
struct token_scores {
    std::span<double> nll;       ///< −log p(target), nats
    std::span<double> kl;        ///< KL(p₀‖p) = Σ_i p₀(i)·log(p₀(i)/p(i)), nats
    std::span<std::int32_t> top; ///< most likely id; of equal ones the lowest
    std::span<float> margin;     ///< logit of the reference's `top` minus the best other logit, both of this variant
    std::span<double> entropy{}; ///< −Σ_i p(i)·log p(i), nats
};

namespace detail {

/// Rows of the head whose logits exist at the same time, and positions that do: 2 MiB per matrix of logits.
inline constexpr std::size_t vocabulary_tile = 1024;
inline constexpr std::size_t loss_positions = 512;

/// Rows of logits are padded to whole registers of any instruction set, with a logit whose likelihood is 0.
inline constexpr std::size_t row_unit = 16;
inline constexpr float no_logit = std::numeric_limits<float>::lowest();
constexpr std::size_t padded_row(std::size_t n) noexcept { return (n + row_unit - 1) / row_unit * row_unit; }

/// Σ term(i) over i = 0, lanes, 2·lanes … < n, registers of floats: float within eight registers, double from there on.
template <class Arch, class Term>
double sum_of_row(std::size_t n, Term const& term) noexcept {
    using vec = simd::batch<float, Arch>;
    double sum = 0;
    for (std::size_t i = 0; i < n;) {
        vec part(0.0f);
        for (const std::size_t end = std::min(n, i + 8 * vec::size); i < end; i += vec::size) part = part + term(i);
        sum += double{simd::sum(part)};
    }
    return sum;
}

/// The largest of n numbers, n a multiple of row_unit.
template <class Arch>
float largest_of_row(const float* x, std::size_t n) noexcept {
    using vec = simd::batch<float, Arch>;
    vec largest(no_logit);
    for (std::size_t i = 0; i < n; i += vec::size) largest = simd::max(largest, vec::load_unaligned(x + i));
    return simd::fold(largest, [](float a, float b) { return std::max(a, b); });
}

/// What is known of one position of one variant after some tiles of the vocabulary. Sums are relative to `largest`.
struct running_loss {
    double sum = 0;      // Σ_i exp(l_i − largest)
    double weighted = 0; // Σ_i exp(l_i − largest) · (l_i − largest)
    double dot = 0;      // Σ_i exp(l⁰_i − the reference's largest) · (l⁰_i − l_i)
    float largest = -std::numeric_limits<float>::infinity();
    float target = 0;                 // logit of the target
    float top_of_reference = largest; // logit of what the reference finds most likely so far
    float best_other = largest;       // largest of all others
    std::int32_t top = 0;

    double log_sum() const noexcept { return double{largest} + std::log(sum); }
    double entropy() const noexcept { return std::log(sum) - weighted / sum; }
};

/// One position of one variant in the current tile of `count` ids, from id `first` on.
struct loss_tile {
    std::size_t first, count, padded_count;
    float* logits;      // padded
    float* exps;        // exp(logits − largest), written here
    bool weighs = true; // running_loss::weighted is wanted
    double rescale = 1; // what the sums were multiplied with, as `largest` rose; written here
};

/// Takes a tile into the sums. For the reference itself `reference` is null.
template <class Arch>
void add_tile(running_loss& loss, loss_tile& tile, std::int32_t target, loss_tile const* reference,
              std::int32_t top_of_reference) noexcept {
    using vec = simd::batch<float, Arch>;
    std::fill(tile.logits + tile.count, tile.logits + tile.padded_count, no_logit);
    const float largest = largest_of_row<Arch>(tile.logits, tile.padded_count);
    tile.rescale = 1;
    if (largest > loss.largest) {
        const double risen = double{loss.largest} - double{largest};
        tile.rescale = std::exp(risen); // 0 in the first tile
        if (loss.sum > 0) loss.weighted = tile.rescale * (loss.weighted + loss.sum * risen);
        loss.largest = largest;
        const auto place =
            static_cast<std::size_t>(std::find(tile.logits, tile.logits + tile.count, largest) - tile.logits);
        if (place < tile.count) loss.top = static_cast<std::int32_t>(tile.first + place); // else all are NaN
    }
    const vec shift(loss.largest);
    loss.sum = loss.sum * tile.rescale + sum_of_row<Arch>(tile.padded_count, [&](std::size_t i) {
                   const vec e = simd::exp(vec::load_unaligned(tile.logits + i) - shift);
                   e.store_unaligned(tile.exps + i);
                   return e;
               });
    const vec least(no_logit); // an infinite logit has the likelihood 0, and 0·∞ is no number
    if (tile.weighs)
        loss.weighted += sum_of_row<Arch>(tile.padded_count, [&](std::size_t i) {
            return vec::load_unaligned(tile.exps + i) * simd::max(vec::load_unaligned(tile.logits + i) - shift, least);
        });
    if (reference != nullptr)
        loss.dot = loss.dot * reference->rescale + sum_of_row<Arch>(tile.padded_count, [&](std::size_t i) {
                       const vec p = vec::load_unaligned(reference->exps + i);
                       return p * (vec::load_unaligned(reference->logits + i) - vec::load_unaligned(tile.logits + i));
                   });

    const auto place_of = [&](std::int32_t id) {
        return static_cast<std::size_t>(id) - tile.first;
    }; // ≥ count: outside
    if (place_of(target) < tile.count) loss.target = tile.logits[place_of(target)];
    const std::size_t top = place_of(reference != nullptr ? top_of_reference : loss.top);
    if (top < tile.count) { // new in this tile: what was on top before is another one now
        loss.best_other = std::max(loss.best_other, loss.top_of_reference);
        for (std::size_t i = 0; i < tile.count; ++i)
            if (i != top) loss.best_other = std::max(loss.best_other, tile.logits[i]);
        loss.top_of_reference = tile.logits[top];
    } else {
        loss.best_other = std::max(loss.best_other, largest);
    }
}

/// Errors: those of vocabulary_loss, but for the workspace.
inline void check_loss_operands(std::size_t vocabulary, std::size_t width, float soft_cap,
                                std::span<const matrix_view<const float>> hidden, std::span<const std::int32_t> targets,
                                std::span<const token_scores> out) {
    constexpr const char* who = "vocabulary_loss";
    check_soft_cap(who, soft_cap);
    if (vocabulary == 0) throw shape_error("vocabulary_loss: the head has no rows, expected at least 1");
    check_size(who, "out", out.size(), hidden.size());
    for (auto const& states : hidden) check_shape(who, "hidden", states, targets.size(), width);
    for (std::size_t v = 0; v < out.size(); ++v) {
        check_size(who, "nll", out[v].nll.size(), targets.size());
        const auto check_if_asked = [&](const char* what, std::size_t size) {
            if (size != 0) check_size(who, what, size, targets.size());
        };
        if (v != 0) check_if_asked("kl", out[v].kl.size());
        check_if_asked("top", out[v].top.size());
        check_if_asked("margin", out[v].margin.size());
    }
    check_token_ids(targets, vocabulary);
}

} // namespace detail

/// Bytes of workspace that vocabulary_loss needs.
template <class Arch = simd::default_arch>
std::size_t vocabulary_loss_bytes(std::size_t vocabulary, std::size_t width, std::size_t positions,
                                  std::size_t variants, unsigned tasks) noexcept {
    const std::size_t tile = detail::padded_row(std::min(vocabulary, detail::vocabulary_tile));
    const std::size_t block = std::min(positions, detail::loss_positions);
    std::size_t panels = 0;
    for (const arithmetic a : all_arithmetics) panels = std::max(panels, weight_panels<Arch>::bytes(tile, width, a));
    return 3 * workspace::bytes_for<float>(block * tile) + workspace::bytes_for<float>(tasks * tile) +
           workspace::bytes_for<std::byte>(panels) + workspace::bytes_for<detail::running_loss>(variants * block) +
           workspace::bytes_for<detail::loss_tile>(block) + matmul_bytes<Arch>(tile, width, block, tasks);
}

/// Scores of T tokens under several variants of one model: logits l = hidden · headᵀ, or
/// c · tanh(l/c) of them where there is a soft cap c, one tile of the vocabulary at a time, log Σ exp and KL by
/// rescaling sums as the largest logit rises (Milakov & Gimelshein 2018). Shapes: head (vocabulary, d), hidden[v] (T,
/// d) after the final norm; v = 0 is the reference. targets (T), out[v]. Errors: shape_error where they do not fit, for
/// a target outside the vocabulary, an empty vocabulary, and a workspace that is too small; option_error for a cap
/// below 0, or infinite. A variant's bits depend on its own states and the reference's alone: not on tasks, nor on the
/// other variants; states equal to the reference's have KL 0 exactly. Else KL is right to about 1e-6·(1 + largest |l⁰ −
/// l|), so it may come out below 0 by that. A NaN logit makes its position's scores NaN. margin is infinite when the
/// vocabulary has one word. Agrees with reference::vocabulary_loss.
/// `heads` has one for each variant; those that follow each other and are the same matrix share its tiles.
template <class Arch = simd::default_arch, weight_matrix W>
void vocabulary_loss(std::span<W const* const> heads, float soft_cap, std::span<const matrix_view<const float>> hidden,
                     std::span<const std::int32_t> targets, std::span<const token_scores> out, workspace& scratch) {
    detail::check_size("vocabulary_loss", "heads", heads.size(), hidden.size());
    if (heads.empty()) return;
    W const& head = *heads[0];
    for (W const* const other : heads)
        detail::check_shape("vocabulary_loss", "head", other->rows(), other->cols(), head.rows(), head.cols());
    detail::check_loss_operands(head.rows(), head.cols(), soft_cap, hidden, targets, out);
    scratch.require("vocabulary_loss", vocabulary_loss_bytes<Arch>(head.rows(), head.cols(), targets.size(),
                                                                   hidden.size(), scratch.tasks()));
    const std::size_t vocabulary = head.rows(),
                      tile = detail::padded_row(std::min(vocabulary, detail::vocabulary_tile));
    const std::size_t tasks = scratch.tasks();
    for (std::size_t t0 = 0; t0 < targets.size(); t0 += detail::loss_positions) {
        const std::size_t positions = std::min(detail::loss_positions, targets.size() - t0);
        workspace::frame frame(scratch);
        const auto reference_logits = frame.take<float>(positions, tile),
                   own_logits = frame.take<float>(positions, tile);
        const auto reference_exps = frame.take<float>(positions, tile), own_exps = frame.take<float>(tasks, tile);
        const auto references = frame.take<detail::loss_tile>(positions);
        const auto losses = frame.take<detail::running_loss>(hidden.size() * positions);
        const auto panels = frame.take<std::byte>(weight_panels<Arch>::bytes(tile, head.cols(), scratch.products()));
        std::fill(losses.begin(), losses.end(), detail::running_loss{});

        for (std::size_t first = 0; first < vocabulary; first += tile) {
            const std::size_t count = std::min(tile, vocabulary - first);
            weight_panels<Arch> tile_of_head(count, head.cols(), scratch.products(), panels);
            for (std::size_t v = 0; v < hidden.size(); ++v) {
                // All variants of a head multiply with it: decoded once.
                if (v == 0 || heads[v] != heads[v - 1]) tile_of_head.pack(*heads[v], first, scratch.tasks());
                const auto logits = v == 0 ? reference_logits : own_logits;
                const bool is_compared = v != 0 && !(out[v].kl.empty() && out[v].margin.empty());
                matmul(tile_of_head, hidden[v].middle_rows(t0, positions), logits.middle_cols(0, count), scratch);
                parallel_pieces(positions, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
                    for (std::size_t t = begin; t < end; ++t) {
                        auto& exps = v == 0 ? reference_exps(t, 0) : own_exps(task, 0);
                        detail::loss_tile own{first,         count, detail::padded_row(count),
                                              &logits(t, 0), &exps, !out[v].entropy.empty()};
                        if (soft_cap != no_soft_cap) detail::cap_row<Arch>(logits.row(t).first(count), 1, soft_cap);
                        detail::add_tile<Arch>(losses[v * positions + t], own, targets[t0 + t],
                                               is_compared ? &references[t] : nullptr, losses[t].top);
                        if (v == 0) references[t] = own;
                    }
                });
            }
        }
        for (std::size_t v = 0; v < hidden.size(); ++v)
            for (std::size_t t = 0; t < positions; ++t) {
                detail::running_loss const &loss = losses[v * positions + t], &full = losses[t];
                const auto write = [at = t0 + t](auto const& to, auto value) {
                    if (!to.empty()) to[at] = value;
                };
                write(out[v].nll, loss.log_sum() - double{loss.target});
                if (v != 0) write(out[v].kl, loss.dot / full.sum + (loss.log_sum() - full.log_sum()));
                write(out[v].top, loss.top);
                write(out[v].margin, loss.top_of_reference - loss.best_other);
                write(out[v].entropy, loss.entropy());
            }
    }
}

/// The same of variants that share the head.
template <class Arch = simd::default_arch, weight_matrix W>
void vocabulary_loss(W const& head, float soft_cap, std::span<const matrix_view<const float>> hidden,
                     std::span<const std::int32_t> targets, std::span<const token_scores> out, workspace& scratch) {
    const std::vector<W const*> heads(hidden.size(), &head);
    vocabulary_loss<Arch>(std::span<W const* const>(heads), soft_cap, hidden, targets, out, scratch);
}

namespace reference {

/// The same in double, straight from the formulas, with all logits of a position at once.
template <weight_matrix W>
void vocabulary_loss(W const& head, float soft_cap, std::span<const matrix_view<const float>> hidden,
                     std::span<const std::int32_t> targets, std::span<const token_scores> out) {
    detail::check_loss_operands(head.rows(), head.cols(), soft_cap, hidden, targets, out);
    std::vector<std::vector<double>> logits(hidden.size(), std::vector<double>(head.rows()));
    std::vector<double> log_sums(hidden.size());
    for (std::size_t t = 0; t < targets.size(); ++t) {
        for (std::size_t v = 0; v < hidden.size(); ++v) {
            for (std::size_t r = 0; r < head.rows(); ++r) {
                logits[v][r] = 0;
                for (std::size_t c = 0; c < head.cols(); ++c)
                    logits[v][r] += double{head.value(r, c)} * double{hidden[v](t, c)};
                if (soft_cap != no_soft_cap)
                    logits[v][r] = double{soft_cap} * std::tanh(logits[v][r] / double{soft_cap});
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
            const std::ptrdiff_t reference_top = top_of(0);
            double kl = 0, entropy = 0, best_other = -std::numeric_limits<double>::infinity();
            for (std::size_t r = 0; r < head.rows(); ++r) {
                const double log_p = logits[0][r] - log_sums[0], log_q = logits[v][r] - log_sums[v];
                kl += std::exp(log_p) * (log_p - log_q);
                entropy -= std::exp(log_q) * log_q;
                if (static_cast<std::ptrdiff_t>(r) != reference_top) best_other = std::max(best_other, logits[v][r]);
            }
            const auto write = [t](auto const& to, auto value) {
                if (!to.empty()) to[t] = value;
            };
            write(out[v].nll, log_sums[v] - logits[v][static_cast<std::size_t>(targets[t])]);
            if (v != 0) write(out[v].kl, kl);
            write(out[v].top, static_cast<std::int32_t>(top_of(v)));
            write(out[v].margin, static_cast<float>(logits[v][static_cast<std::size_t>(reference_top)] - best_other));
            write(out[v].entropy, entropy);
        }
    }
}

} // namespace reference

} // namespace bitlens
