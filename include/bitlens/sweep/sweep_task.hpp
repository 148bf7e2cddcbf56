#pragma once
/// sweep_task: what one example at work in a sweep needs beside its residual streams.

#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/models/config.hpp"
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
    aligned_array<float> kept;  // what is handed over in a layer, one point after the other
    aligned_array<float> exits; // (exits, T − 1, d)

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
    sweep_task_pool(model_config const& config, std::size_t tokens, sweep_load const& load, std::size_t workspace_bytes,
                    unsigned tasks, arithmetic products)
        : shape_(config.block), tokens_(tokens), load_(load), workspace_bytes_(workspace_bytes), tasks_(tasks),
          products_(products),
          ropes_(std::make_shared<const rope_tables>(tables_of(config.ropes, tokens, config.block.head_dim))) {}

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
            new sweep_task{workspace(workspace_bytes_, tasks_, products_), block_buffers(tokens_, shape_, ropes_),
                           aligned_array<float>(load_.kept_numbers * tokens_),
                           aligned_array<float>(load_.exits * (tokens_ - 1) * shape_.width)});
    }

    block_shape shape_;
    std::size_t tokens_;
    sweep_load load_;
    std::size_t workspace_bytes_;
    unsigned tasks_;
    arithmetic products_;
    std::shared_ptr<const rope_tables> ropes_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<sweep_task>> free_;
};

} // namespace bitlens::detail
