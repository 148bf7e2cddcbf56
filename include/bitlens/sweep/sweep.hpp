#pragma once
/// The engine of every experiment: block of examples → layer → example (in parallel) → variant.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/layer_panels.hpp"
#include "bitlens/sweep/variants.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// What a sweep fills for one example. `with_probe(v, f)` calls f(probe) once, with the probe that watches variant v in
/// the block about to run; `scores()` gives room for what variant v made of each of the tokens − 1 scored positions.
/// A measurement belongs to one example and is never used by two threads at once.
template <class M>
concept measurement = requires(M m, no_probe& p) {
    m.with_probe(std::size_t{}, [](auto&) {});
    { m.scores() } -> std::convertible_to<std::span<const token_scores>>;
};

namespace detail {

/// What the task of one example needs beside its residual stream: only that is kept from layer to layer.
struct sweep_task {
    workspace scratch;
    block_state state;
};

/// Tasks are lent, not bound to threads: a thread that waits inside a kernel may take up a second example.
class sweep_task_pool {
public:
    sweep_task_pool(block_shape const& shape, std::size_t tokens, std::size_t workspace_bytes, unsigned tasks,
                    arithmetic products)
        : shape_(shape), tokens_(tokens), workspace_bytes_(workspace_bytes), tasks_(tasks), products_(products) {}

    /// Calls f(task) with a task that nobody else uses meanwhile.
    template <class F>
    void lend(F const& f) {
        std::unique_ptr<sweep_task> task = take();
        f(*task);
        const std::lock_guard lock(mutex_);
        free_.push_back(std::move(task));
    }

private:
    std::unique_ptr<sweep_task> take() {
        {
            const std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                auto task = std::move(free_.back());
                free_.pop_back();
                return task;
            }
        }
        return std::unique_ptr<sweep_task>(
            new sweep_task{workspace(workspace_bytes_, tasks_, products_), block_state(tokens_, shape_)});
    }

    block_shape shape_;
    std::size_t tokens_, workspace_bytes_;
    unsigned tasks_;
    arithmetic products_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<sweep_task>> free_;
};

} // namespace detail

/// How the work is cut. Neither number changes a result.
struct sweep_cut {
    std::size_t examples_per_block = 8; // each layer's weights are read and laid out once per block
    unsigned threads = 1;
};

/// Bytes that the sweep needs: for one example (times examples_per_block), for one thread, and once.
struct sweep_memory {
    std::size_t per_example = 0, per_thread = 0, once = 0;
};

inline std::size_t sweep_workspace_bytes(model_config const& config, std::size_t tokens, std::size_t variants,
                                         unsigned tasks) {
    return std::max(advance_bytes(config.block, tokens, tasks),
                    vocabulary_loss_bytes(config.vocabulary, config.block.width, tokens - 1, variants, tasks));
}

/// In whatever arithmetic: float32 takes most.
inline sweep_memory plan_sweep_memory(model_config const& config, std::size_t tokens, std::size_t variants) {
    auto const& shape = config.block;
    const std::size_t row_of_state = shape.width + shape.heads * shape.head_dim + shape.ffn_width;
    return {variants * tokens * shape.width * sizeof(float),
            tokens * row_of_state * sizeof(float) + sweep_workspace_bytes(config, tokens, variants, 1),
            variants * layer_panels::bytes(shape, arithmetic::f32)};
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

template <class Architecture, class W, class Make, class Done>
void run_sweep(transformer<Architecture, W> const& model, std::span<const variant<W>> variants,
               matrix_view<const std::int32_t> ids, sweep_cut cut, Make const& make, Done const& done) {
    using measurement_type = std::invoke_result_t<Make const&, std::size_t>;
    model_config const& config = model.config();
    check_variants(variants, config.layers);
    if (ids.cols < 2)
        throw shape_error("sweep: rows of at least 2 token ids are expected, found " + std::to_string(ids.cols));
    for (std::size_t n = 0; n < ids.rows; ++n) check_token_ids(ids.row(n), config.vocabulary);
    if (ids.rows == 0) return;

    const std::size_t tokens = ids.cols, scored = tokens - 1, variant_count = variants.size();
    const std::size_t block = std::clamp<std::size_t>(cut.examples_per_block, 1, ids.rows);
    const auto tasks = static_cast<unsigned>((cut.threads + block - 1) / block); // inside one example
    sweep_task_pool pool(config.block, tokens, sweep_workspace_bytes(config, tokens, variant_count, tasks), tasks,
                         model.products());
    layer_panels layer(config.block, variant_count, model.products());

    std::vector<matrix<float>> streams; // residual stream of example e and variant v: streams[e · variant_count + v]
    for (std::size_t i = 0; i < block * variant_count; ++i) streams.emplace_back(tokens, config.block.width);
    const auto copy = [](matrix<float> const& from, matrix<float>& to) { std::ranges::copy(from.span(), to.data()); };

    for (std::size_t first = 0; first < ids.rows; first += block) {
        const std::size_t count = std::min(block, ids.rows - first);
        std::vector<measurement_type> measurements;
        measurements.reserve(count);
        for (std::size_t e = 0; e < count; ++e) measurements.push_back(make(first + e));

        parallel_for(count, [&](std::size_t e) {
            matrix<float>* const stream = &streams[e * variant_count];
            model.embed(ids.row(first + e), stream[0]);
            for (std::size_t v = 1; v < variant_count; ++v)
                if (variants[v].fork_layer == 0) copy(stream[0], stream[v]);
        });
        for (std::size_t k = 0; k < config.layers; ++k) {
            std::vector<block_weights<W>> weights(variant_count);
            for (std::size_t v = 0; v < variant_count; ++v)
                if (variants[v].fork_layer <= k) weights[v] = variants[v].weights->layer(k);
            layer.pack(std::span<const block_weights<W>>(weights));
            parallel_for(count, [&](std::size_t e) {
                matrix<float>* const stream = &streams[e * variant_count];
                for (std::size_t v = 1; v < variant_count; ++v)
                    if (k > 0 && variants[v].fork_layer == k) copy(stream[variants[v].parent], stream[v]);
                pool.lend([&](sweep_task& task) {
                    for (std::size_t v = 0; v < variant_count; ++v) {
                        if (variants[v].fork_layer > k) continue;
                        std::swap(task.state.x, stream[v]);
                        measurements[e].with_probe(v, [&](auto& probe) {
                            advance<Architecture>(config.block, layer[v], site{k}, task.state, stage::end, task.scratch,
                                                  probe);
                        });
                        std::swap(task.state.x, stream[v]);
                    }
                });
            });
        }
        parallel_for(count, [&](std::size_t e) {
            std::vector<matrix_view<const float>> hidden;
            for (std::size_t v = 0; v < variant_count; ++v) {
                matrix_view<float> x = streams[e * variant_count + v].view().middle_rows(0, scored);
                rms_norm(x, model.final_norm(), config.block.norm_eps, x);
                hidden.push_back(x);
            }
            pool.lend([&](sweep_task& task) {
                vocabulary_loss(model.head(), hidden, ids.row(first + e).subspan(1), measurements[e].scores(),
                                task.scratch);
            });
        });
        done(first, std::span<measurement_type>(measurements));
    }
}

} // namespace detail

/// Runs every variant on every example, in the arithmetic of `model`, and lets measurements watch.
///
/// ids (N, tokens), tokens ≥ 2: position t is scored on ids(n, t + 1). `make(n)` gives the measurement of example n;
/// `done(first, measurements)` gets those of a finished block, in order, examples first, first + 1, …
/// Results do not depend on `cut`. Errors: shape_error for tokens < 2 or an id outside the vocabulary (before anything
/// runs), option_error for variants that are no tree; what the sources, measurements or `done` throw passes through.
template <class Architecture, class W, class Variants, class Make, class Done>
void sweep(transformer<Architecture, W> const& model, Variants const& variants, matrix_view<const std::int32_t> ids,
           sweep_cut cut, Make const& make, Done const& done) {
    const auto list = variants_of<W>(variants);
    if constexpr (detail::check_measurement<typename detail::made_by<Make const&>::type, Done>())
        detail::run_sweep(model, list, ids, cut, make, done);
}

} // namespace bitlens
