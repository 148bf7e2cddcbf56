#pragma once
/// The engine of every experiment: block of examples → layer → example (in parallel) → variant.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/layer_panels.hpp"
#include "bitlens/sweep/point_exchange.hpp"
#include "bitlens/sweep/sweep_task.hpp"
#include "bitlens/sweep/token_rows.hpp"
#include "bitlens/sweep/variant_tree.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What a sweep fills for one example. `with_probe(v, f)` calls f(probe) once, with the probe that watches variant v in
/// the block about to run; `scores()` gives room for what variant v made of each of the example's scored positions.
/// A measurement belongs to one example and is never used by two threads at once.
template <class M>
concept measurement = requires(M m, no_probe& p) {
    m.with_probe(std::size_t{}, [](auto&) {});
    { m.scores() } -> std::convertible_to<std::span<const token_scores>>;
};

/// How many values a patch of a variant replaced, in the variant itself and in those that fork from it.
struct patch_count {
    std::string variant;
    point_id point;
    std::uint64_t values = 0;
};

/// How the work is cut. Nothing of it changes a result.
struct sweep_cut {
    std::size_t examples_per_block = 8; // each layer's weights are read and laid out once per block
    unsigned threads = 1;
    bool lays_out = true; // else each product decodes the weights anew, and memory for a layer of them is saved
};

/// Bytes that the sweep needs: for one example (times examples_per_block), for one thread, once, and where weights are
/// laid out.
struct sweep_memory {
    std::size_t per_example = 0, per_thread = 0, once = 0, panels = 0;
};

inline std::size_t sweep_workspace_bytes(model_config const& config, std::size_t tokens, sweep_load const& load,
                                         unsigned tasks) {
    return std::max(advance_bytes(config.block, tokens, tasks),
                    vocabulary_loss_bytes(config.vocabulary, config.block.width, tokens - 1,
                                          std::max(load.scored, load.exits), tasks));
}

/// In whatever arithmetic: float32 takes most.
inline sweep_memory plan_sweep_memory(model_config const& config, std::size_t tokens, sweep_load const& load) {
    auto const& shape = config.block;
    return {load.streams * tokens * shape.width * sizeof(float),
            block_buffers::bytes(tokens, shape) +
                (load.kept_numbers * tokens + load.exits * (tokens - 1) * shape.width) * sizeof(float) +
                sweep_workspace_bytes(config, tokens, load, 1),
            0, layer_panels::bytes(shape, load.matrices, arithmetic::f32)};
}

namespace detail {

/// What a sweep's `make` gives, or void where it is no function of an example's number.
template <class Make>
struct made_by {
    using type = void;
};
template <std::invocable<std::size_t> Make>
struct made_by<Make> {
    using type = std::remove_cvref_t<std::invoke_result_t<Make, std::size_t>>;
};

/// Whether a sweep can fill what `make` gives and hand it to `done`. Does not compile where it cannot, and says why.
template <class M, class Done>
constexpr bool check_measurement() {
    static_assert(!std::is_void_v<M>,
                  "bitlens: sweep(model, variants, ids, cut, make, done): make(n) gives the measurement "
                  "of example n, a std::size_t");
    if constexpr (!std::is_void_v<M>) {
        constexpr bool has_scores = requires(M m) {
            { m.scores() } -> std::convertible_to<std::span<const token_scores>>;
        };
        constexpr bool has_probe = requires(M m) {
            m.with_probe(std::size_t{}, [](auto&) {});
        };
        constexpr bool is_taken = std::invocable<Done const&, std::size_t, std::span<M>>;
        static_assert(has_scores,
                      "bitlens: a measurement has scores(), which gives a std::span<const token_scores>, one "
                      "for each variant");
        static_assert(has_probe,
                      "bitlens: a measurement has with_probe(v, f), which calls f(probe) with the probe that "
                      "watches variant v, or with a no_probe");
        static_assert(is_taken,
                      "bitlens: sweep(model, variants, ids, cut, make, done): done(first, measurements) takes a "
                      "std::size_t and a std::span of what make gives");
        return has_scores && has_probe && is_taken;
    }
    return false;
}

/// The weights of each run of a layer. Every source is asked for the layer once.
template <class W>
std::vector<block_weights<W>> weights_of_runs(variant_tree<W> const& tree, std::size_t layer) {
    std::map<layer_source<W>*, block_weights<W>> given;
    const auto from = [&](layer_source<W>* source) -> block_weights<W> const& {
        auto [place, is_new] = given.try_emplace(source);
        if (is_new) place->second = source->layer(layer);
        return place->second;
    };
    std::vector<block_weights<W>> all;
    for (auto const& run : tree.step(layer).runs) {
        block_weights<W> w;
        for (std::size_t p = 0; p < projection_count; ++p)
            w.linear[p] = from(tree.source_of_matrix(run.variant, layer, p)).linear[p];
        w.rest = from(tree.source_of_rest(run.variant, layer)).rest;
        all.push_back(std::move(w));
    }
    return all;
}

/// One sweep at work: what is the same for all its blocks of examples.
template <class Architecture, class W, class M>
class sweep_run {
public:
    sweep_run(transformer<Architecture, W> const& model, variant_tree<W> const& tree, std::size_t tokens,
              std::size_t block, sweep_cut cut)
        : model_(model), config_(model.config()), tree_(tree),
          pool_(config_, tokens, tree.load(),
                sweep_workspace_bytes(config_, tokens, tree.load(), tasks(cut.threads, block)),
                tasks(cut.threads, block), model.products()),
          panels_(config_.block, tree.load().matrices, model.products(), cut.lays_out), replaced_(block) {
        for (std::size_t i = 0; i < block * streams(); ++i) streams_.emplace_back(tokens, config_.block);
    }

    /// The rows of `all` from `first` on, one for each measurement.
    void run(token_rows const& all, std::size_t first, std::span<M> measurements) {
        for (M& each : measurements)
            check_size("sweep", "scores()", each.scores().size(), tree_.size()); // one for each variant
        const auto text = [&](std::size_t e) { return row{all.row(first + e), all.scored(first + e)}; };
        const std::size_t count = measurements.size();
        parallel_for(count, [&](std::size_t e) {
            for (std::size_t i = 0; i < streams(); ++i) stream(e, i).x.use_rows(all.tokens(first + e));
            model_.embed(all.row(first + e), stream(e, 0).x);
            replaced_[e].assign(tree_.patches().size(), 0);
        });
        for (std::size_t k = 0; k < config_.layers; ++k) {
            const auto weights = weights_of_runs(tree_, k);
            panels_.pack(std::span<const block_weights<W>>(weights));
            parallel_for(count, [&](std::size_t e) { run_layer(k, e, text(e), measurements[e]); });
        }
        parallel_for(count, [&](std::size_t e) { end(e, text(e), measurements[e]); });
    }
    /// Values that a patch, by its number in the tree, replaced in example e of the last block.
    std::uint64_t replaced(std::size_t e, std::size_t patch) const noexcept { return replaced_[e][patch]; }

private:
    struct row {
        std::span<const std::int32_t> ids;
        scored_positions scored;

        /// The ids that the scored positions are scored on.
        std::span<const std::int32_t> targets() const { return ids.subspan(scored.first + 1); }
        template <class T>
        matrix_view<T> scored_of(matrix_view<T> x) const {
            return x.middle_rows(scored.first, scored.count());
        }
    };

    /// Inside one example.
    static unsigned tasks(unsigned threads, std::size_t block) {
        return static_cast<unsigned>((threads + block - 1) / block);
    }
    std::size_t streams() const noexcept { return tree_.load().streams; }
    residual_stream& stream(std::size_t e, std::size_t number) { return streams_[e * streams() + number]; }

    void run_layer(std::size_t k, std::size_t e, row const& text, M& measurement) {
        layer_step const& step = tree_.step(k);
        for (auto const& fork : step.forks) {
            auto& to = stream(e, fork.to).x;
            if (auto const* const own = k == 0 ? tree_.ends_of(fork.variant) : nullptr)
                embed(*own->embedding, text.ids, to.view(), config_.embedding_scale);
            else
                copy_rows(stream(e, fork.from).x, to.view());
        }
        pool_.lend(text.ids.size(), [&](sweep_task& task) {
            const auto kept = task.room_for(step, config_.block);
            run_variants(k, e, kept, task, measurement);
            const auto state_of = [&](layer_step::exit const& exit) -> matrix_view<const float> {
                return exit.kept ? matrix_view<const float>(kept[*exit.kept]) : stream(e, exit.stream).x.view();
            };
            for (auto const& exit : step.frozen)
                if (auto& waits = stream(e, exit.waits_in).x; state_of(exit).data != waits.data())
                    copy_rows(state_of(exit), waits.view());
            if (!step.exits.empty()) score_exits(step.exits, state_of, text, task, measurement);
        });
    }

    void run_variants(std::size_t k, std::size_t e, std::span<const matrix_view<float>> kept, sweep_task& task,
                      M& measurement) {
        layer_step const& step = tree_.step(k);
        const block_shape shape = config_.block_of(k);
        for (std::size_t i = 0; i < step.runs.size(); ++i) {
            auto const& run = step.runs[i];
            const auto advance_with = [&](auto& probe) {
                residual_stream& s = stream(e, run.stream);
                s.next = stage::qkv;
                advance<Architecture::description.form>(shape, panels_[i], site{k}, s, task.buffers, run.until,
                                                        task.scratch, probe);
            };
            measurement.with_probe(run.variant, [&](auto& probe) {
                if (run.patches.empty() && run.keeps.empty()) return advance_with(probe);
                point_exchange<hook::all> exchange{step, run, kept, replaced_[e]};
                chain both(exchange, probe);
                advance_with(both);
            });
        }
    }

    /// What a head makes of states that have not come to the end: all of a layer together, each tile of the head
    /// decoded once.
    template <class StateOf>
    void score_exits(std::span<const layer_step::exit> exits, StateOf const& state_of, row const& text,
                     sweep_task& task, M& measurement) {
        const std::size_t width = config_.block.width;
        std::vector<matrix_view<const float>> hidden;
        std::vector<W const*> heads;
        std::vector<token_scores> scores;
        for (auto const& exit : exits) {
            const std::size_t count = text.scored.count();
            const matrix_view<float> normed(task.exits.data() + hidden.size() * count * width, count, width);
            rms_norm(text.scored_of(state_of(exit)), final_norm_of(exit.variant), config_.block.norm_eps, normed);
            hidden.push_back(normed);
            heads.push_back(&head_of(exit.variant));
            scores.push_back(alone(measurement.scores()[exit.variant]));
        }
        vocabulary_loss(std::span<W const* const>(heads), config_.logit_soft_cap, hidden, text.targets(), scores,
                        task.scratch);
    }

    std::span<const float> final_norm_of(std::size_t v) const {
        auto const* const own = tree_.ends_of(v);
        return own != nullptr ? std::span<const float>(*own->final_norm) : model_.final_norm();
    }
    W const& head_of(std::size_t v) const {
        auto const* const own = tree_.ends_of(v);
        return own != nullptr ? *own->head : model_.head();
    }

    /// Scores of a state that stands beside no reference.
    static token_scores alone(token_scores scores) {
        scores.kl = {};
        scores.margin = {};
        return scores;
    }

    void end(std::size_t e, row const& text, M& measurement) {
        const auto x = [&](std::size_t number) { return text.scored_of(stream(e, number).x.view()); };
        const auto room = measurement.scores();
        std::vector<matrix_view<const float>> hidden;
        std::vector<W const*> heads;
        std::vector<token_scores> scores;
        std::vector<bool> is_normed(streams());
        for (auto const& last : tree_.last_states())
            if (last.scale_of)
                rms_norm_of_scale(x(last.stream), x(*last.scale_of), final_norm_of(last.variant),
                                  config_.block.norm_eps, x(last.stream));
        for (auto const& last : tree_.last_states()) {
            if (!last.scale_of && !is_normed[last.stream]) {
                rms_norm(x(last.stream), final_norm_of(last.variant), config_.block.norm_eps, x(last.stream));
                is_normed[last.stream] = true;
            }
            hidden.push_back(x(last.stream));
            heads.push_back(&head_of(last.variant));
            scores.push_back(last.scale_of ? alone(room[last.variant]) : room[last.variant]);
        }
        pool_.lend(text.ids.size(), [&](sweep_task& task) {
            vocabulary_loss(std::span<W const* const>(heads), config_.logit_soft_cap, hidden, text.targets(), scores,
                            task.scratch);
        });
    }

    transformer<Architecture, W> const& model_;
    model_config const& config_;
    variant_tree<W> const& tree_;
    sweep_task_pool pool_;
    layer_panels panels_;
    std::vector<residual_stream> streams_;             // of example e: streams_[e · streams() + number]
    std::vector<std::vector<std::uint64_t>> replaced_; // [example][patch]
};

/// Errors: option_error for a patch of positions that a row of so many tokens does not have.
template <class W>
void check_positions(variant_tree<W> const& tree, std::size_t tokens) {
    for (auto const& [v, patch] : tree.patches())
        if (patch->positions.count(tokens) == 0)
            throw option_error("sweep: variant '" + visible_text(tree.name(v)) + "': its patch of " +
                               std::string(name(patch->point)) + " begins at position " +
                               std::to_string(patch->positions.first) + " and ends before " +
                               std::to_string(patch->positions.end) + "; the rows have " + std::to_string(tokens));
}

/// Errors: shape_error for a variant whose ends have not the shapes of the model's.
template <class W>
void check_ends(std::span<const variant<W>> variants, model_config const& config) {
    for (auto const& v : variants) {
        if (v.ends == nullptr) continue;
        check_shape("sweep", "embedding", v.ends->embedding->rows(), v.ends->embedding->cols(), config.vocabulary,
                    config.block.width);
        check_shape("sweep", "head", v.ends->head->rows(), v.ends->head->cols(), config.vocabulary, config.block.width);
        check_size("sweep", "final_norm", v.ends->final_norm->size(), config.block.width);
    }
}

template <class Architecture, class W, class Make, class Done>
std::vector<patch_count> run_sweep(transformer<Architecture, W> const& model, std::span<const variant<W>> variants,
                                   token_rows const& ids, sweep_cut cut, Make const& make, Done const& done) {
    using measurement_type = std::invoke_result_t<Make const&, std::size_t>;
    const variant_tree<W> tree(variants, model.config().block, model.config().layers);
    for (std::size_t n = 0; n < ids.size(); ++n) {
        if (ids.scored(n).count() == 0)
            throw shape_error("sweep: row " + std::to_string(n) + " has " + std::to_string(ids.tokens(n)) +
                              " token ids, of which none is scored; at least 2 are expected, and a prompt of fewer");
        check_token_ids(ids.row(n), model.config().vocabulary);
        check_positions(tree, ids.tokens(n));
    }
    check_ends(variants, model.config());
    std::vector<patch_count> counts;
    for (auto const& [v, patch] : tree.patches()) counts.push_back({tree.name(v), patch->point, 0});
    if (ids.size() == 0) return counts;

    const std::size_t block = std::clamp<std::size_t>(cut.examples_per_block, 1, ids.size());
    sweep_run<Architecture, W, measurement_type> run(model, tree, ids.longest(), block, cut);
    for (std::size_t first = 0; first < ids.size(); first += block) {
        const std::size_t count = std::min(block, ids.size() - first);
        std::vector<measurement_type> measurements;
        measurements.reserve(count);
        for (std::size_t e = 0; e < count; ++e) measurements.push_back(make(first + e));
        run.run(ids, first, measurements);
        for (std::size_t i = 0; i < counts.size(); ++i)
            for (std::size_t e = 0; e < count; ++e) {
                if (run.replaced(e, i) == 0)
                    throw option_error("sweep: variant '" + visible_text(counts[i].variant) + "': its patch of " +
                                       std::string(name(counts[i].point)) + " replaced no value");
                counts[i].values += run.replaced(e, i);
            }
        done(first, std::span<measurement_type>(measurements));
    }
    return counts;
}

} // namespace detail

/// Runs every variant on every example, in the arithmetic of `model`, and lets measurements watch.
///
/// ids: rows of at least one scored position; position t is scored on id t + 1. `make(n)` gives the measurement of
/// example n;
/// `done(first, measurements)` gets those of a finished block, in order, examples first, first + 1, … A variant that
/// ends early is scored where it ends, without kl and margin. Returns how many values each patch replaced.
/// Results do not depend on `cut`. Errors: shape_error for a row without a scored position or an id outside the
/// vocabulary, or measurements of another number of variants (before anything runs), option_error for variants that are
/// no tree (see variant_tree) or patches that replace nothing; what the sources, measurements or `done` throw passes
/// through.
template <class Architecture, class W, class Variants, class Make, class Done>
std::vector<patch_count> sweep(transformer<Architecture, W> const& model, Variants const& variants,
                               token_rows const& ids, sweep_cut cut, Make const& make, Done const& done) {
    const auto list = variants_of<W>(variants);
    if constexpr (detail::check_measurement<typename detail::made_by<Make const&>::type, Done>())
        return detail::run_sweep(model, list, ids, cut, make, done);
    else
        return {};
}

} // namespace bitlens
