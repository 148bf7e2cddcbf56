#pragma once
/// score: what a model makes of a text, in nats per token, without ever holding its logits.

#include "bitlens/core/machine.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"
#include "bitlens/models/transformer.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Takes what the head reads, and scores it.
template <class W>
struct scorer {
    using points = hook::set<hook::final_norm>;
    W const& head;
    float soft_cap;
    std::span<const std::int32_t> ids;
    std::span<double> nll;
    workspace& scratch;

    void on(hook::final_norm, site, matrix_view<const float> x) const {
        std::vector<std::int32_t> top(nll.size());
        std::vector<float> margin(nll.size());
        const matrix_view<const float> hidden = x.middle_rows(0, nll.size());
        const token_scores scores{nll, {}, top, margin};
        vocabulary_loss(head, soft_cap, std::span(&hidden, 1), ids.subspan(1), std::span(&scores, 1), scratch);
    }
};

} // namespace detail

/// Bytes of workspace that score needs for so many ids.
template <class Architecture, class W>
std::size_t score_bytes(transformer<Architecture, W> const& model, std::size_t tokens, unsigned tasks) {
    model_config const& config = model.config();
    return std::max(model.forward_bytes(tokens, tasks),
                    vocabulary_loss_bytes(config.vocabulary, config.block.width, tokens, 1, tasks));
}

/// nll_t = −log p(ids_{t+1} | ids_0 … ids_t), in nats, p = softmax(logits): the loss at each scored position; their
/// mean is the model's loss on the text, and e to its power the perplexity.   Shapes: ids (T) → (T − 1). The first id
/// is only read: a text begins with the tokenizer's own token where there is one (encode_with_bos). The head, softmax
/// and loss are fused: logits are never all there, and a probe cannot listen to them; what it writes elsewhere,
/// final_norm included, is scored. The workspace says in how many tasks and which arithmetic; bits are those of the
/// sweep, and do not depend on tasks. Sums are in double; a loss is that of the logits to about 1e-6. Errors:
/// shape_error for less than two ids, or one outside the vocabulary; as forward.
template <class Architecture, class W, detail::meant_as_probe P>
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids, P&& probe,
                          workspace& scratch) {
    constexpr bool is_named = std::is_lvalue_reference_v<P>;
    static_assert(is_named,
                  "bitlens: score takes a probe that has a name: what it heard is read from it afterwards, and a "
                  "temporary one is gone by then");
    static_assert(!listens<P, hook::logits>,
                  "bitlens: score never makes the logits, so no probe hears them; forward does");
    if (ids.size() < 2)
        throw shape_error("score: " + std::to_string(ids.size()) +
                          " token ids, expected at least 2: each but the first is scored");
    scratch.require("score", score_bytes(model, ids.size(), scratch.tasks()));
    std::vector<double> nll(ids.size() - 1);
    if constexpr (is_named) {
        detail::scorer<W> last{model.head(), model.config().logit_soft_cap, ids, nll, scratch};
        chain both(probe, last);
        model.forward(ids, both, scratch);
    }
    return nll;
}

/// The same with a workspace of its own, in as many tasks as this process may use cores, in the model's arithmetic.
template <class Architecture, class W, detail::meant_as_probe P>
    requires(!std::same_as<std::remove_cvref_t<P>, workspace>)
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids, P&& probe) {
    const unsigned tasks = available_cores();
    workspace scratch(score_bytes(model, ids.size(), tasks), tasks, model.products());
    return score(model, ids, std::forward<P>(probe), scratch);
}

/// Without a probe.
template <class Architecture, class W>
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids,
                          workspace& scratch) {
    no_probe nobody;
    return score(model, ids, nobody, scratch);
}
template <class Architecture, class W>
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids) {
    no_probe nobody;
    return score(model, ids, nobody);
}

} // namespace bitlens
