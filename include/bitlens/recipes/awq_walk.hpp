#pragma once
/// awq_block: AWQ on one block of a model, for several methods at once. Documents have come through the full blocks
/// before it and leave through the full block, so that no error of a quantized one is in what is searched on.
///
/// Source: llm-awq:awq/quantize/{pre_quant,auto_scale,auto_clip}.py, in float32.

#include "bitlens/core/error.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/stopwatch.hpp"
#include "bitlens/hooks/points.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/quantizers/awq.hpp"
#include "bitlens/quantizers/input_hessian.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/awq_cache.hpp"
#include "bitlens/recipes/awq_fold.hpp"
#include "bitlens/recipes/awq_method.hpp"
#include "bitlens/recipes/calibration_run.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/recipes/quantized_block.hpp"
#include "bitlens/sweep/layer_panels.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What a search says of the linear layers that read one input, or rounding of one of them.
struct awq_record {
    std::size_t layer = 0, method = 0;     ///< method: its place among those of the call
    std::string module;                    ///< "q_proj+k_proj+v_proj", "v_proj"
    std::optional<float> ratio{};          ///< that was chosen
    std::optional<double> loss{};          ///< mean squared difference of the inspected outputs, of that ratio
    std::optional<double> plain_loss{};    ///< of ratio 0: without scales
    std::optional<double> relative_loss{}; ///< loss over the mean square of the outputs
    std::size_t runs = 0;                  ///< of a document at a ratio; where all are looked at as one, of all of them
    double seconds = 0;
    std::string note{};
};

/// How far the search of a ratio goes.
struct awq_search {
    /// A ratio whose losses on a part of the documents are above those of the best one there, more than chance would
    /// have it once in 100 000 times, sees no more of them. Off: every ratio sees every document.
    bool drops_losers = true;
};

namespace detail {

/// What Student's t of n documents exceeds once in 100 000 times: Cornish and Fisher's expansion, which lies below for
/// few documents, by 3.5 % for 8 of them.
inline double most_by_chance(std::size_t n) noexcept {
    constexpr double z = 4.2649; // of the normal distribution
    const double freedom = static_cast<double>(n - 1), z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
    return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom * freedom * freedom);
}

/// Losses of the ratios, document by document.
struct ratio_losses {
    std::size_t documents;
    std::vector<double> of{}; // [ratio][document]
    std::array<std::size_t, awq_ratio_count> seen{};

    explicit ratio_losses(std::size_t n) : documents(n), of(awq_ratio_count * n) {}
    double& at(std::size_t ratio, std::size_t n) noexcept { return of[ratio * documents + n]; }
    double at(std::size_t ratio, std::size_t n) const noexcept { return of[ratio * documents + n]; }
    /// Over the documents that it has seen, in their order; infinite where one is not finite.
    double sum(std::size_t ratio) const noexcept {
        double sum = 0;
        for (std::size_t n = 0; n < seen[ratio]; ++n) sum += at(ratio, n);
        return std::isfinite(sum) ? sum : std::numeric_limits<double>::infinity();
    }
};

/// The first ratio with the smallest finite loss, or none. evaluate(ratio, first, count, losses) measures a ratio on
/// documents first … first + count − 1.
template <class Evaluate>
std::optional<std::size_t> best_ratio(ratio_losses& losses, bool drops_losers, Evaluate const& evaluate) {
    const std::size_t all = losses.documents;
    std::vector<std::size_t> ratios(awq_ratio_count);
    for (std::size_t i = 0; i < ratios.size(); ++i) ratios[i] = i;
    const auto best_of = [&] {
        return *std::ranges::min_element(ratios, {}, [&](std::size_t i) { return losses.sum(i); });
    };
    constexpr std::size_t fewest = 8; // documents that a standard error is told from
    std::size_t first = 0;
    for (std::size_t parts = drops_losers ? 8 : 1; parts > 0; parts /= 2) {
        const std::size_t end = all / parts;
        if (parts > 1 && end < fewest) continue;
        for (const std::size_t i : ratios) {
            evaluate(i, first, end - first);
            losses.seen[i] = end;
        }
        first = end;
        if (parts == 1) break;
        const std::size_t best = best_of();
        if (!std::isfinite(losses.sum(best))) continue;
        std::erase_if(ratios, [&](std::size_t i) {
            if (i == 0 || i == best) return false; // ratio 0 is what all are compared with
            double mean = 0, squares = 0;
            for (std::size_t n = 0; n < end; ++n) mean += losses.at(i, n) - losses.at(best, n);
            mean /= static_cast<double>(end);
            if (!std::isfinite(mean)) return true;
            for (std::size_t n = 0; n < end; ++n) {
                const double off = losses.at(i, n) - losses.at(best, n) - mean;
                squares += off * off;
            }
            const double error = std::sqrt(squares / static_cast<double>(end - 1) / static_cast<double>(end));
            return mean > most_by_chance(end) * error;
        });
    }
    const std::size_t best = best_of();
    if (!std::isfinite(losses.sum(best))) return std::nullopt;
    return best;
}

/// What is noted of one input of all documents.
struct noted_input {
    std::vector<std::vector<double>> magnitudes; // Σ |x| of each document
    input_sample sample;

    noted_input(std::size_t documents, std::size_t width, std::size_t tokens)
        : magnitudes(documents), sample(width, tokens) {}

    void note(std::size_t document, std::size_t first_token, matrix_view<const float> x) {
        auto& sums = magnitudes[document];
        sums.assign(x.cols, 0.0);
        for (std::size_t t = 0; t < x.rows; ++t) {
            float const* const row = x.row(t).data();
            for (std::size_t c = 0; c < x.cols; ++c) sums[c] += double{std::abs(row[c])};
        }
        sample.keep(first_token, x);
    }
    /// Mean |x| of every channel.   Errors: format_error for an input that is not finite.
    std::vector<float> means(std::size_t tokens, std::string const& who) const {
        std::vector<float> mean(sample.inputs().cols);
        for (std::size_t c = 0; c < mean.size(); ++c) {
            double sum = 0;
            for (std::size_t n = 0; n < magnitudes.size(); ++n) {
                sum += magnitudes[n][c];
                if (!std::isfinite(sum))
                    throw format_error(who + ": channel " + std::to_string(c) + " of document " + std::to_string(n) +
                                       " is not finite");
            }
            mean[c] = static_cast<float>(sum / static_cast<double>(tokens));
        }
        return mean;
    }
};

/// The full half of a block, attention or MLP, on one document: notes the inputs of its linear layers, copies what the
/// last one reads and gives.
template <class In, class Middle, class Out>
struct half_probe {
    using points = hook::set<In, Middle, Out>;
    std::size_t document, first_token;
    noted_input &in, &middle;
    matrix_view<float> middle_copy, out_copy; // empty: not wanted

    void on(In, site, matrix_view<float> x) { in.note(document, first_token, x); }
    void on(Middle, site, matrix_view<float> x) {
        middle.note(document, first_token, x);
        if (middle_copy.rows != 0) copy_rows(x, middle_copy);
    }
    void on(Out, site, matrix_view<float> y) {
        if (out_copy.rows != 0) copy_rows(y, out_copy);
    }
};

/// Σ (y − expected)², each row in double; expected empty: zeros.
inline double squared_difference(matrix_view<const float> y, matrix_view<const float> expected) noexcept {
    double sum = 0;
    for (std::size_t t = 0; t < y.rows; ++t) {
        float const *const a = y.row(t).data(), *const b = expected.rows == 0 ? nullptr : expected.row(t).data();
        std::array<double, 8> sums{}; // so that it becomes vector code
        std::size_t c = 0;
        const auto add = [&](std::size_t lane) {
            const double difference = double{a[c + lane]} - (b == nullptr ? 0 : double{b[c + lane]});
            sums[lane] += difference * difference;
        };
        for (; c + sums.size() <= y.cols; c += sums.size())
            for (std::size_t lane = 0; lane < sums.size(); ++lane) add(lane);
        for (; c < y.cols; ++c) add(0);
        for (const double each : sums) sum += each;
    }
    return sum;
}

/// What the last linear layer of a half gives beside what it gives in full, on one document.
template <class Out>
struct difference_probe {
    using points = hook::set<Out>;
    matrix_view<const float> expected;
    double sum = 0;

    void on(Out, site, matrix_view<float> y) { sum = squared_difference(y, expected); }
};

inline uniform_rule rule_of_method(awq_method const& m) noexcept {
    return {m.bits, m.group_size, m.symmetric ? zero_kind::symmetric : zero_kind::asymmetric};
}

/// w ← clip(w) as the search finds, and what that did.
inline std::string clip_weights(matrix_view<float> w, uniform_rule const& rule, input_sample const& inputs) {
    const auto clips = awq_clips(w, rule, inputs.inputs());
    std::size_t cut = 0;
    for (std::size_t r = 0; r < clips.rows(); ++r)
        for (std::size_t g = 0; g < clips.cols(); ++g)
            cut += clips(r, g) < largest_magnitude(rule.group_of(std::span<const float>(w.row(r)), g)) ? 1u : 0u;
    clip_groups(w, rule, clips);
    return std::to_string(cut) + " of " + std::to_string(clips.rows() * clips.cols()) + " groups clipped";
}

/// Errors: as round_spanning, naming the place; option_error where W does not list the format.
template <class W>
std::shared_ptr<const W> round_spanning_at(std::size_t layer, projection p, awq_method const& m,
                                           matrix_view<const float> w) {
    std::shared_ptr<const W> result;
    try {
        with_quantizer<W>(
            m, [&]<quant_format F>(awq<F> const&) { result = std::make_shared<const W>(round_spanning<F>(w)); });
    } catch (format_error const& e) {
        throw format_error("layer " + std::to_string(layer) + " " + std::string(name(p)) + ", " + m.text() + ": " +
                           e.what());
    }
    return result;
}

/// AWQ's searches on one block.
template <block_form Form>
class awq_block_search {
public:
    /// w ← what a rule's method makes of the matrix.
    using rounding = std::function<void(projection, matrix_view<float> w)>;

    /// The full block, laid out, and its numbers. What it is made with must outlive it.
    awq_block_search(calibration_run& run, laid_out_layer const& layer,
                     std::array<matrix_view<const float>, projection_count> const& weights,
                     std::span<const awq_method> methods, override_rules const& rules, rounding round_otherwise,
                     awq_search const& how, unsigned threads, std::vector<awq_record>& records)
        : run_(run), layer_(layer), weights_(weights), methods_(methods), rules_(rules),
          round_otherwise_(std::move(round_otherwise)), how_(how), threads_(threads), records_(records),
          scales_(methods.size()) {
        std::size_t first = 0;
        for (std::size_t n = 0; n < run_.size(); ++n) {
            first_token_.push_back(first);
            first += run_.stream(n).x.rows();
        }
    }

    /// Takes the documents through the full block, and finds all scales on it.
    void search() {
        half<hook::attn_in, hook::attn_heads, hook::attn_proj_out>(0, stage::gate_up);
        half<hook::mlp_in, hook::mlp_act, hook::mlp_down_out>(2, stage::end);
    }

    /// By method.
    std::vector<block_scales> const& scales() const noexcept { return scales_; }
    /// What the readers of an input group read of the full block.
    input_sample const& sample(std::size_t group) const noexcept { return inputs_[group]->sample; }

private:
    struct half_states {
        std::vector<matrix<float>> before; // the streams before this half, if candidates run it again
        std::vector<matrix<float>> out;    // what it gave in full
    };

    std::size_t width_of(std::size_t group) const {
        return shape_of(listed(input_groups(Form)[group].readers).front(), layer_.shape).cols;
    }
    std::string who(std::size_t group) const {
        return "layer " + std::to_string(layer_.at.layer) + ", input of " + names_of(input_groups(Form)[group].readers);
    }
    bool searches(std::size_t group) const {
        return !why_not_scaled(Form, layer_.shape, group) &&
               std::ranges::any_of(methods_, [](awq_method const& m) { return m.scale; });
    }

    /// One half of the block: the linear layers that read the stream, group `first`, and the one that gives, first + 1.
    template <class In, class Middle, class Out>
    void half(std::size_t first, stage until) {
        for (const std::size_t g : {first, first + 1})
            inputs_[g] = std::make_unique<noted_input>(run_.size(), width_of(g), run_.tokens());
        const bool runs_again = searches(first), by_products = searches(first + 1);
        half_states states;
        states.before.resize(run_.size());
        states.out.resize(run_.size());
        std::optional<input_hessian> products;
        if (by_products) products.emplace(width_of(first + 1));
        const std::size_t at_once = by_products ? run_.documents_at_once(width_of(first + 1), threads_) : run_.size();
        for (std::size_t begin = 0; begin < run_.size(); begin += at_once) {
            const std::size_t count = std::min(at_once, run_.size() - begin);
            std::vector<matrix<float>> middle(count);
            run_.for_each(begin, count, [&](std::size_t n, calibration_task& task) {
                auto const& x = run_.stream(n).x;
                if (runs_again) {
                    states.before[n] = matrix<float>(x.rows(), x.cols());
                    copy_rows(x.view(), states.before[n].view());
                    states.out[n] = matrix<float>(x.rows(), x.cols());
                }
                if (by_products) middle[n - begin] = matrix<float>(x.rows(), width_of(first + 1));
                half_probe<In, Middle, Out> probe{n,
                                                  first_token_[n],
                                                  *inputs_[first],
                                                  *inputs_[first + 1],
                                                  middle[n - begin].view(),
                                                  states.out[n].view()};
                run_.template advance<Form>(n, layer_, until, task, probe);
            });
            if (by_products) add_products(*products, middle, first + 1);
        }
        for (const std::size_t g : {first, first + 1}) inputs_[g]->means(run_.tokens(), who(g)); // all are finite
        if (runs_again) search_outputs<Out>(first, states);
        if (by_products) search_products(first + 1, *products);
        for (const std::size_t g : {first, first + 1})
            if (const auto reason = why_not_scaled(Form, layer_.shape, g))
                for (std::size_t m = 0; m < methods_.size(); ++m)
                    if (methods_[m].scale)
                        records_.push_back({.layer = layer_.at.layer,
                                            .method = m,
                                            .module = names_of(input_groups(Form)[g].readers, "+"),
                                            .note = "not scaled: " + *reason});
    }

    void add_products(input_hessian& products, std::vector<matrix<float>> const& inputs, std::size_t group) const {
        try {
            products.add(std::vector<matrix_view<const float>>(inputs.begin(), inputs.end()), threads_);
        } catch (format_error const& e) {
            throw format_error(who(group) + ": " + e.what());
        }
    }

    /// Q(W · s)/s of a method, or as rules have it.
    matrix<float> rounded(std::size_t m, projection p, std::span<const float> s) const {
        matrix_view<const float> const w = weights_[static_cast<std::size_t>(p)];
        matrix<float> result(w.rows, w.cols);
        auto const* const rule = rules_.find(layer_.at.layer, p);
        if (rule == nullptr) {
            round_scaled(w, s, rule_of_method(methods_[m]), result);
            return result;
        }
        copy_rows(w, result.view());
        if (!*rule) return result;
        fold_weight(result, {s, {}});
        round_otherwise_(p, result);
        for (std::size_t r = 0; r < w.rows; ++r)
            for (std::size_t c = 0; c < w.cols; ++c) result(r, c) /= s[c];
        return result;
    }

    /// The input that a half begins with: candidates run the half again on all documents.
    template <class Out>
    void search_outputs(std::size_t group, half_states const& states) {
        const auto readers = listed(input_groups(Form)[group].readers);
        block_weights<weight_panels<>> block = layer_.weights; // of which the readers are replaced
        std::vector<std::shared_ptr<weight_panels<>>> candidates;
        for (const projection p : readers) {
            const auto [rows, cols] = shape_of(p, layer_.shape);
            candidates.push_back(std::make_shared<weight_panels<>>(rows, cols, run_.products()));
            block.linear[static_cast<std::size_t>(p)] = candidates.back();
        }
        double power = 0;
        for (auto const& out : states.out) power += squared_difference(out, {});
        const stage begin = group == 0 ? stage::qkv : stage::gate_up, until = group == 0 ? stage::gate_up : stage::end;
        find_scales(group, run_.size(), {power, run_.tokens() * layer_.shape.width},
                    [&](std::size_t m, std::span<const float> s, std::size_t first, std::span<double> sums) {
                        for (std::size_t i = 0; i < readers.size(); ++i) {
                            const auto candidate = rounded(m, readers[i], s);
                            candidates[i]->pack(packed_matrix<dense<float>>(nullptr, candidate.view()), 0, threads_);
                        }
                        run_.for_each(first, sums.size(), [&](std::size_t n, calibration_task& task) {
                            auto const& before = states.before[n];
                            residual_stream stream(before.rows(), layer_.shape);
                            copy_rows(before.view(), stream.x.view());
                            stream.next = begin;
                            difference_probe<Out> probe{states.out[n].view()};
                            bitlens::advance<Form>(layer_.shape, block, layer_.at, stream, *task.buffers, until,
                                                   task.scratch, probe);
                            sums[n - first] = probe.sum;
                        });
                    });
    }

    /// The input of one linear layer, whose own outputs are inspected: Σ_t (x_t · δ)² = δᵀ · Σ_t x_tᵀx_t · δ for its
    /// rows δ, all documents at once.
    void search_products(std::size_t group, input_hessian const& products) {
        const projection p = listed(input_groups(Form)[group].readers).front();
        matrix_view<const float> const w = weights_[static_cast<std::size_t>(p)];
        const change_of_outputs change = [&] {
            matrix<float> sums(w.cols, w.cols);
            parallel_for(w.cols, [&](std::size_t i) {
                for (std::size_t j = 0; j < w.cols; ++j) sums(i, j) = static_cast<float>(products.sum(i, j));
            });
            return change_of_outputs::of_products(sums);
        }();
        const auto sum_of = [&](matrix_view<const float> changes) {
            std::vector<float> sums(changes.rows);
            constexpr std::size_t rows_of_a_piece = 32;
            parallel_for((changes.rows + rows_of_a_piece - 1) / rows_of_a_piece, [&](std::size_t piece) {
                const std::size_t begin = piece * rows_of_a_piece,
                                  count = std::min(rows_of_a_piece, changes.rows - begin);
                change.squares(changes.middle_rows(begin, count), std::span(sums).subspan(begin, count));
            });
            double sum = 0;
            for (const float each : sums) sum += double{each};
            return sum;
        };
        find_scales(group, 1, {sum_of(w), run_.tokens() * w.rows},
                    [&](std::size_t m, std::span<const float> s, std::size_t, std::span<double> sums) {
                        auto changes = rounded(m, p, s);
                        for (std::size_t r = 0; r < w.rows; ++r)
                            for (std::size_t c = 0; c < w.cols; ++c) changes(r, c) -= w(r, c);
                        sums[0] = sum_of(changes);
                    });
    }

    /// What losses are relative to, and means of.
    struct inspected_outputs {
        double power; // Σ of squares
        std::size_t count;
    };

    /// The scales of a group, of every method that searches them. evaluate(method, scales, first, sums): the sums of
    /// squared differences, part by part from `first` on.
    template <class Evaluate>
    void find_scales(std::size_t group, std::size_t parts, inspected_outputs outputs, Evaluate const& evaluate) {
        const auto magnitudes = inputs_[group]->means(run_.tokens(), who(group));
        for (std::size_t m = 0; m < methods_.size(); ++m) {
            if (!methods_[m].scale) continue;
            const stopwatch watch;
            ratio_losses losses(parts);
            const auto best =
                best_ratio(losses, how_.drops_losers, [&](std::size_t ratio, std::size_t first, std::size_t count) {
                    evaluate(m, awq_scales(magnitudes, awq_ratio(ratio)), first,
                             std::span(losses.of).subspan(ratio * parts + first, count));
                });
            if (!best)
                throw format_error(who(group) + ", " + methods_[m].text() + ": with none of the " +
                                   std::to_string(awq_ratio_count) + " ratios are the outputs finite");
            if (*best != 0) scales_[m][group] = awq_scales(magnitudes, awq_ratio(*best));
            const double count = static_cast<double>(outputs.count), sum = losses.sum(*best);
            const std::size_t runs = std::accumulate(losses.seen.begin(), losses.seen.end(), std::size_t{0});
            records_.push_back({.layer = layer_.at.layer,
                                .method = m,
                                .module = names_of(input_groups(Form)[group].readers, "+"),
                                .ratio = awq_ratio(*best),
                                .loss = sum / count,
                                .plain_loss = losses.sum(0) / count,
                                .relative_loss = outputs.power > 0 ? sum / outputs.power : 0,
                                .runs = runs,
                                .seconds = watch.seconds(),
                                .note = parts == 1
                                            ? ""
                                            : std::to_string(runs) + " of " + std::to_string(parts * awq_ratio_count) +
                                                  " runs of a document at a ratio"});
        }
    }

    calibration_run& run_;
    laid_out_layer const& layer_;
    std::array<matrix_view<const float>, projection_count> const& weights_;
    std::span<const awq_method> methods_;
    override_rules const& rules_;
    rounding round_otherwise_;
    awq_search how_;
    unsigned threads_;
    std::vector<awq_record>& records_;
    std::vector<std::size_t> first_token_;
    std::vector<block_scales> scales_;
    std::array<std::unique_ptr<noted_input>, 4> inputs_;
};

} // namespace detail

/// Quantizes a block by several methods, and takes the documents through the full block. All scales are searched on the
/// block as it is; then they are applied, clips are searched of all linear layers but q and k, and weights are rounded.
/// What `rules` treat otherwise stays full, or is rounded as they say; either way it is scaled, as the block is.
/// One of each matrix of a layer is laid out in `panels`.   Results and records name methods by their places.
/// Errors: format_error naming layer and linear layers, for inputs or weights that are not finite, or where no ratio
/// has finite losses; option_error for a method whose format W does not list.
template <block_form Form, class W>
std::vector<quantized_block<W>> awq_block(calibration_run& run, std::size_t k, block_weights<W> const& full,
                                          std::span<const awq_method> methods, override_rules const& rules,
                                          layer_panels& panels, unsigned threads, std::vector<awq_record>& records,
                                          awq_search const& how = {}) {
    const block_shape shape = run.config().block_of(k);
    std::array<matrix<float>, projection_count> decoded;
    std::array<matrix_view<const float>, projection_count> weights;
    for (std::size_t p = 0; p < projection_count; ++p) {
        weights[p] = detail::stored_floats(*full.linear[p]);
        if (weights[p].data == nullptr) {
            decoded[p] = matrix<float>(full.linear[p]->rows(), full.linear[p]->cols());
            detail::with_floats(*full.linear[p], [&](matrix_view<const float> w) { copy_rows(w, decoded[p].view()); });
            weights[p] = decoded[p];
        }
        const std::string who = "layer " + std::to_string(k) + " " + std::string(name(static_cast<projection>(p)));
        for (std::size_t r = 0; r < weights[p].rows; ++r) detail::check_finite(who.c_str(), weights[p].row(r), r, 0);
    }
    panels.pack(std::span<const block_weights<W>>(&full, 1));
    const laid_out_layer layer{shape, site{k}, panels[0]};
    const auto by_rule = [&](projection p, matrix_view<float> w) {
        return detail::quantize_at<W>(k, p, **rules.find(k, p), w);
    };
    const auto round_by_rule = [&](projection p, matrix_view<float> w) {
        detail::with_floats(by_rule(p, w), [&](matrix_view<const float> floats) { copy_rows(floats, w); });
    };
    detail::awq_block_search<Form> search(run, layer, weights, methods, rules, round_by_rule, how, threads, records);
    search.search();

    std::vector<quantized_block<W>> results(methods.size());
    for (std::size_t m = 0; m < methods.size(); ++m) {
        results[m].fold = search.scales()[m];
        for (std::size_t g = 0; g < input_groups(Form).size(); ++g)
            for (const projection p : detail::listed(input_groups(Form)[g].readers)) {
                const stopwatch watch;
                auto const* const rule = rules.find(k, p);
                if (rule != nullptr && !*rule) continue;
                matrix<float> scaled(weights[static_cast<std::size_t>(p)].rows,
                                     weights[static_cast<std::size_t>(p)].cols);
                copy_rows(weights[static_cast<std::size_t>(p)], scaled.view());
                detail::fold_weight(scaled, detail::fold_of(p, Form, results[m].fold));
                auto& result = results[m].linear[static_cast<std::size_t>(p)];
                awq_record record{.layer = k, .method = m, .module = std::string(name(p))};
                if (rule != nullptr) {
                    result = std::make_shared<const W>(by_rule(p, scaled));
                } else {
                    if (methods[m].clip && p != projection::q && p != projection::k)
                        record.note = detail::clip_weights(scaled, detail::rule_of_method(methods[m]),
                                                           search.sample(g).divided_by(results[m].fold[g]));
                    result = detail::round_spanning_at<W>(k, p, methods[m], scaled);
                }
                record.seconds = watch.seconds();
                records.push_back(std::move(record));
            }
    }
    return results;
}

/// A block by scales and clips that were found elsewhere.
/// Errors: format_error for clips of other groups than the method's, and as round_spanning; option_error for a method
/// whose format W does not list; shape_error for a layer that the cache has not.
template <class W>
quantized_block<W> awq_block_of(awq_cache const& cache, std::size_t k, block_weights<W> const& full, block_form form,
                                block_shape const& shape, awq_method const& how) {
    if (k >= cache.fold.scales.size() || k >= cache.clips.size())
        throw shape_error("awq_cache: layer " + std::to_string(k) + " is asked of " +
                          std::to_string(cache.fold.scales.size()) + " layers");
    quantized_block<W> result;
    result.fold = cache.fold.scales[k];
    check_scales(result.fold, form, shape);
    const uniform_rule rule = detail::rule_of_method(how);
    for (const projection p : detail::listed(every_projection)) {
        const auto index = static_cast<std::size_t>(p);
        matrix<float> w(full[p].rows(), full[p].cols());
        detail::with_floats(full[p], [&](matrix_view<const float> floats) { copy_rows(floats, w.view()); });
        detail::fold_weight(w, detail::fold_of(p, form, result.fold));
        if (auto const& clips = cache.clips[k][index]; clips.rows() != 0) {
            if (clips.cols() != rule.groups(w.cols()))
                throw format_error("awq_cache: layer " + std::to_string(k) + " " + std::string(name(p)) +
                                   " is clipped in " + std::to_string(clips.cols()) + " groups of a row, " +
                                   how.text() + " has " + std::to_string(rule.groups(w.cols())));
            clip_groups(w, rule, clips);
        }
        result.linear[index] = detail::round_spanning_at<W>(k, p, how, w);
    }
    return result;
}

} // namespace bitlens
