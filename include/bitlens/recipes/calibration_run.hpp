#pragma once
/// calibration_run: documents of any lengths on their way through a model, block by block.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/layer_panels.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What the task of one document works with; it keeps nothing from one call to the next.
struct calibration_task {
    workspace scratch;
    std::optional<block_buffers> buffers; // of the document at hand
};

/// One layer as a walk runs it: its numbers, its place, its weights laid out.
struct laid_out_layer {
    block_shape shape;
    site at;
    block_weights<weight_panels<>> const& weights;
};

/// Documents that a method is calibrated on, and their residual streams, which are all that is kept of them between two
/// calls. Documents run in parallel, one task each; nothing depends on how many there are at a time.
class calibration_run {
public:
    /// The streams stand before layer 0.   Errors: shape_error for an id outside the vocabulary, an empty document, or
    /// none.
    template <class Architecture, class W>
    calibration_run(transformer<Architecture, W> const& model, std::span<const std::vector<std::int32_t>> documents,
                    unsigned threads)
        : config_(model.config()), products_(model.products()) {
        if (documents.empty()) throw shape_error("calibration: at least one document is expected");
        for (auto const& ids : documents) {
            if (ids.empty()) throw shape_error("calibration: a document without tokens is no document");
            tokens_ += ids.size();
            longest_ = std::max(longest_, ids.size());
            streams_.emplace_back(ids.size(), config_.block);
            auto& tables = ropes_[ids.size()];
            if (tables == nullptr)
                tables =
                    std::make_shared<const rope_tables>(tables_of(config_.ropes, ids.size(), config_.block.head_dim));
        }
        tasks_ = static_cast<unsigned>((threads + documents.size() - 1) / documents.size());
        parallel_for(documents.size(), [&](std::size_t n) { model.embed(documents[n], streams_[n].x); });
    }

    std::size_t size() const noexcept { return streams_.size(); }
    std::size_t tokens() const noexcept { return tokens_; }
    std::size_t longest() const noexcept { return longest_; }
    model_config const& config() const noexcept { return config_; }
    arithmetic products() const noexcept { return products_; }
    residual_stream& stream(std::size_t n) noexcept { return streams_[n]; }

    /// f(n, task) for documents first … first + count − 1, in parallel, in any order.
    template <class F>
    void for_each(std::size_t first, std::size_t count, F const& f) {
        parallel_for(count, [&](std::size_t i) { lend(first + i, f); });
    }
    template <class F>
    void for_each(F const& f) {
        for_each(0, size(), f);
    }

    /// Runs document n from where its stream stands to stage `until` of the layer.
    template <block_form Form, detail::meant_as_probe P>
    void advance(std::size_t n, laid_out_layer const& layer, stage until, calibration_task& task, P& probe) {
        bitlens::advance<Form>(layer.shape, layer.weights, layer.at, streams_[n], *task.buffers, until, task.scratch,
                               probe);
    }
    template <block_form Form>
    void advance(std::size_t n, laid_out_layer const& layer, stage until, calibration_task& task) {
        no_probe nothing;
        advance<Form>(n, layer, until, task, nothing);
    }

    /// Takes all documents through a layer.
    template <block_form Form>
    void advance_all(laid_out_layer const& layer) {
        for_each([&](std::size_t n, calibration_task& task) { advance<Form>(n, layer, stage::end, task); });
    }
    /// Documents whose inputs of such a width are held until a Hessian has taken them in: enough for all threads.
    std::size_t documents_at_once(std::size_t width, unsigned threads) const noexcept {
        constexpr std::size_t held_bytes = std::size_t{64} << 20;
        const std::size_t fit = held_bytes / std::max<std::size_t>(1, longest_ * width * sizeof(float));
        return std::max<std::size_t>({fit, threads, 1});
    }

    /// Bytes of the streams of so many tokens, and of one task at a document of so many.
    static std::size_t stream_bytes(model_config const& config, std::size_t tokens) noexcept {
        return tokens * config.block.width * sizeof(float);
    }
    static std::size_t task_bytes(model_config const& config, std::size_t longest) {
        return block_buffers::bytes(longest, config.block) + advance_bytes(config.block, longest, 1);
    }

private:
    template <class F>
    void lend(std::size_t n, F const& f) {
        std::unique_ptr<calibration_task> task;
        {
            const std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                task = std::move(free_.back());
                free_.pop_back();
            }
        }
        if (task == nullptr)
            task.reset(
                new calibration_task{workspace(advance_bytes(config_.block, longest_, tasks_), tasks_, products_), {}});
        const std::size_t positions = streams_[n].x.rows();
        if (!task->buffers || task->buffers->heads.rows() != positions)
            task->buffers.emplace(positions, config_.block, ropes_.at(positions));
        f(n, *task);
        const std::lock_guard lock(mutex_);
        free_.push_back(std::move(task));
    }

    model_config config_;
    arithmetic products_;
    std::size_t tokens_ = 0, longest_ = 0;
    unsigned tasks_ = 1;                                              // inside one document
    std::map<std::size_t, std::shared_ptr<const rope_tables>> ropes_; // by the length of the text
    std::vector<residual_stream> streams_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<calibration_task>> free_;
};

/// y ← what the first linear layers of a stage (qkv or gate_up) read of a residual stream: norm(x), or x itself where
/// the blocks have no such norm.   Shapes: x, y (T, d).
inline void read_stream(matrix_view<const float> x, block_form form, block_norm norm, norms_and_biases const& rest,
                        float eps, matrix_view<float> y) {
    if (has_norm(form, norm))
        rms_norm(x, rest.gamma(norm), eps, y);
    else
        copy_rows(x, y);
}

} // namespace bitlens
