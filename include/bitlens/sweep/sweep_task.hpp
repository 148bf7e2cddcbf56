#pragma once
/// sweep_task: what one example at work in a sweep needs beside its residual streams.

#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/growing_text.hpp"
#include "bitlens/sweep/variant_tree.hpp"

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace bitlens::detail {

/// Only streams are kept from layer to layer.
struct sweep_task {
    workspace scratch;
    block_buffers buffers;
    aligned_array<float> kept;                     // what is handed over in a layer, one point after the other
    aligned_array<float> exits;                    // (exits, T − 1, d)
    std::shared_ptr<const text_ropes> own_ropes{}; // where those of all do not turn a row of its length

    /// For a row of so many tokens, which `common` or its own tables turn.
    void begin(std::size_t tokens, model_config const& config, std::shared_ptr<const text_ropes> const& common) {
        buffers.heads.use_rows(tokens);
        buffers.act.use_rows(tokens);
        const auto serves = [&](std::shared_ptr<const text_ropes> const& ropes) {
            return ropes != nullptr && ropes->serve(config.ropes, tokens);
        };
        if (!serves(common) && !serves(own_ropes))
            own_ropes = std::make_shared<const text_ropes>(config.ropes, tokens, tokens, config.block.head_dim);
        auto const& ropes = serves(common) ? common : own_ropes;
        buffers.ropes = {ropes, &ropes->tables};
    }

    /// Room for the points that a layer hands over.
    std::vector<matrix_view<float>> room_for(layer_step const& step, block_shape const& shape) {
        std::vector<matrix_view<float>> room;
        float* free = kept.data();
        for (auto const& each : step.kept) {
            room.push_back({free, buffers.heads.rows(), width_of(each.point, shape)});
            free += room.back().rows * room.back().cols;
        }
        return room;
    }
};

/// Tasks are lent, not bound to threads: a thread that waits inside a kernel may take up a second example.
class sweep_task_pool {
public:
    /// tokens: of the longest row.   config: must outlive this.
    sweep_task_pool(model_config const& config, std::size_t tokens, sweep_load const& load, std::size_t workspace_bytes,
                    unsigned tasks, arithmetic products)
        : config_(config), tokens_(tokens), load_(load), workspace_bytes_(workspace_bytes), tasks_(tasks),
          products_(products),
          ropes_(std::make_shared<const text_ropes>(config.ropes, tokens, tokens, config.block.head_dim)) {}

    /// Calls f(task) with a task that nobody else uses meanwhile, for a row of so many tokens.
    template <class F>
    void lend(std::size_t tokens, F const& f) {
        std::unique_ptr<sweep_task> task = take();
        task->begin(tokens, config_, ropes_);
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
        return std::unique_ptr<sweep_task>(new sweep_task{
            workspace(workspace_bytes_, tasks_, products_), block_buffers(tokens_, config_.block, nullptr),
            aligned_array<float>(load_.kept_numbers * tokens_),
            aligned_array<float>(load_.exits * (tokens_ - 1) * config_.block.width)});
    }

    model_config const& config_;
    std::size_t tokens_;
    sweep_load load_;
    std::size_t workspace_bytes_;
    unsigned tasks_;
    arithmetic products_;
    std::shared_ptr<const text_ropes> ropes_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<sweep_task>> free_;
};

} // namespace bitlens::detail
