#pragma once
/// transformer: a decoder model, from token ids to logits, with a probe on the way.

#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/weights.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// A model of one architecture with weights of type W. Copies share the weights.
template <class Architecture, weight_matrix W>
class transformer {
public:
    using architecture = Architecture;
    using weight = W;

    /// Of parts; the head may be the embedding. Shapes fit the configuration (asserted).
    transformer(model_config config, std::shared_ptr<layer_source<W>> layers, std::shared_ptr<const W> embedding,
                std::vector<float> final_norm, std::shared_ptr<const W> head)
        : config_(std::move(config)), layers_(std::move(layers)), embedding_(std::move(embedding)),
          final_norm_(std::make_shared<const std::vector<float>>(std::move(final_norm))), head_(std::move(head)) {
        BITLENS_ASSERT(embedding_->rows() == config_.vocabulary && embedding_->cols() == config_.block.width);
        BITLENS_ASSERT(head_->rows() == config_.vocabulary && head_->cols() == config_.block.width);
        BITLENS_ASSERT(final_norm_->size() == config_.block.width);
    }

    /// Of a checkpoint, whose files stay mapped. With `keep_resident` its blocks are loaded once and kept.
    /// Errors: format_error for a checkpoint of another architecture; as load_matrix.
    transformer(checkpoint const& source, bool keep_resident)
        : transformer(checked(source), std::make_shared<checkpoint_layers<W>>(source, keep_resident),
                      std::make_shared<const W>(source.load_matrix<W>(detail::embedding_name)),
                      source.load_vector(detail::final_norm_name), nullptr, source) {}

    /// The same model with other blocks.
    transformer with_layers(std::shared_ptr<layer_source<W>> layers) const {
        transformer other = *this;
        other.layers_ = std::move(layers);
        return other;
    }

    /// The same model whose products are computed in another arithmetic, which is available (asserted).
    transformer with_products(arithmetic products) const {
        BITLENS_ASSERT(is_available(products));
        transformer other = *this;
        other.products_ = products;
        return other;
    }

    model_config const& config() const noexcept { return config_; }
    arithmetic products() const noexcept { return products_; }
    std::shared_ptr<layer_source<W>> layers() const noexcept { return layers_; }
    W const& embedding() const noexcept { return *embedding_; }
    std::span<const float> final_norm() const noexcept { return *final_norm_; }
    W const& head() const noexcept { return *head_; }

    /// x ← the rows of the embedding.   Shapes: ids (T), x (T, d).   Errors: shape_error for an id outside the
    /// vocabulary.
    void embed(std::span<const std::int32_t> ids, matrix_view<float> x) const {
        check_token_ids(ids, config_.vocabulary);
        bitlens::embed(*embedding_, ids, x);
    }

    /// Bytes of workspace that forward needs.
    std::size_t forward_bytes(std::size_t positions, unsigned tasks) const {
        return std::max(advance_bytes(config_.block, positions, tasks),
                        matmul_bytes(config_.vocabulary, config_.block.width, positions, tasks));
    }

    /// Runs a whole document and speaks to the probe on the way; final_norm and logits (T, vocabulary) are made only
    /// for a probe that listens to them. The workspace says in which arithmetic; bits depend neither on the probe nor
    /// on the workspace's tasks. Errors: shape_error for no ids, or one outside the vocabulary; what the layers' source
    /// throws.
    template <probe P>
    void forward(std::span<const std::int32_t> ids, P& p, workspace& scratch) const {
        if (ids.empty()) throw shape_error("forward: at least one token id is expected");
        block_state state(ids.size(), config_.block);
        embed(ids, state.x);
        for (std::size_t k = 0; k < config_.layers; ++k)
            advance<Architecture>(config_.block, layers_->layer(k), site{k}, state, stage::end, scratch, p);
        if constexpr (listens_to_any<P, hook::final_norm, hook::logits>) {
            rms_norm(state.x.view(), final_norm(), config_.block.norm_eps, state.x.view());
            emit<hook::final_norm>(p, site{config_.layers}, state.x);
        }
        if constexpr (listens<P, hook::logits>) {
            matrix<float> logits(ids.size(), config_.vocabulary);
            matmul(*head_, state.x.view(), logits.view(), scratch);
            emit<hook::logits>(p, site{config_.layers}, logits);
        }
    }
    /// The same with a workspace of its own, in one task.
    template <probe P>
    void forward(std::span<const std::int32_t> ids, P& p) const {
        workspace scratch(forward_bytes(ids.size(), 1), 1, products_);
        forward(ids, p, scratch);
    }

private:
    transformer(model_config config, std::shared_ptr<layer_source<W>> layers, std::shared_ptr<const W> embedding,
                std::vector<float> final_norm, std::nullptr_t, checkpoint const& source)
        : transformer(std::move(config), std::move(layers), embedding, std::move(final_norm),
                      source.config().tied_head ? embedding
                                                : std::make_shared<const W>(source.load_matrix<W>(detail::head_name))) {
    }

    static model_config const& checked(checkpoint const& source) {
        if (source.config().architecture != Architecture::name)
            throw format_error(source.path().string() + ": architecture " + std::string(Architecture::name) +
                               " is expected, " + source.config().architecture + " was found");
        return source.config();
    }

    model_config config_;
    std::shared_ptr<layer_source<W>> layers_;
    std::shared_ptr<const W> embedding_;
    std::shared_ptr<const std::vector<float>> final_norm_;
    std::shared_ptr<const W> head_;
    arithmetic products_ = arithmetic::f32;
};

} // namespace bitlens
