#pragma once
/// model_config: the sizes and settings of a model, and the checks that they make one.

#include "bitlens/core/error.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/rope.hpp"
#include "bitlens/models/architectures.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// How a layer attends, where layers differ.
struct layer_rule {
    std::size_t window = attention_rule::everything;
    std::size_t rope = 0; // its place in model_config::ropes

    bool operator==(layer_rule const&) const = default;
};

/// What a file left open, and what was taken in its place, one sentence each. They say where numbers of a configuration
/// come from and are no part of it: any two lists compare equal.
struct config_remarks {
    std::vector<std::string> texts;

    bool operator==(config_remarks const&) const noexcept { return true; }
};

/// What a checkpoint says about its model.
struct model_config {
    std::string architecture; // a name among the families (architectures.hpp), or that of one's own
    std::size_t layers = 0, vocabulary = 0;
    std::size_t context = 0; // positions it was trained for; nothing is cut there
    block_shape block;
    bool tied_head = false; // the head is the embedding
    std::vector<rope_rule> ropes{rope_rule{}};
    std::vector<layer_rule> layer_rules{}; // of each layer; empty: all are as `block` says
    float embedding_scale = 1;             // rows of the embedding are multiplied with it
    float logit_soft_cap = no_soft_cap;
    config_remarks remarks{};

    bool operator==(model_config const&) const = default;

    /// The numbers of block k.
    block_shape block_of(std::size_t k) const {
        block_shape shape = block;
        if (layer_rules.empty()) return shape;
        shape.window = layer_rules.at(k).window;
        shape.rope = layer_rules[k].rope;
        return shape;
    }
};

/// f(llama{}) or f(qwen2{}) …   Errors: format_error for another architecture, listing those that exist.
template <class F>
decltype(auto) visit_architecture(model_config const& config, F const& f) {
    return visit_architecture(std::string_view(config.architecture), f);
}

/// Everything that is wrong with a checkpoint, one sentence each. `inspect` shows all, a loader throws the first.
class problem_list {
public:
    /// Runs f and keeps the text of an error, so that the next check still runs.
    template <class Error = format_error, class F>
    void collect(F const& f) {
        try {
            f();
        } catch (option_error const&) {
            throw; // what was asked for is wrong, not what was found
        } catch (Error const& e) {
            add(e.what());
        }
    }
    void add(std::string text) { texts_.push_back(std::move(text)); }
    std::vector<std::string> const& texts() const noexcept { return texts_; }
    bool empty() const noexcept { return texts_.empty(); }

private:
    std::vector<std::string> texts_;
};

namespace detail {

/// Larger than any size of a model, small enough that the product of two is no overflow.
inline constexpr std::size_t largest_size = std::size_t{1} << 30;

template <class T>
bool is_positive(T x) noexcept {
    return x > 0 && std::isfinite(x);
}

/// Checks what the sizes are, apart from how a layer attends.
template <class Wrong>
void check_sizes(model_config const& c, Wrong const& wrong) {
    auto const& b = c.block;
    const std::array<std::pair<std::string_view, std::size_t>, 8> sizes{{{"layers", c.layers},
                                                                         {"vocabulary", c.vocabulary},
                                                                         {"context", c.context},
                                                                         {"hidden size", b.width},
                                                                         {"attention heads", b.heads},
                                                                         {"key and value heads", b.kv_heads},
                                                                         {"head dimension", b.head_dim},
                                                                         {"feed-forward size", b.ffn_width}}};
    for (auto const& [name, size] : sizes)
        if (size == 0 || size > largest_size)
            wrong("a number of " + std::string(name) + " from 1 to 2^30", std::to_string(size));
    if (b.kv_heads != 0 && b.heads % b.kv_heads != 0)
        wrong("a number of attention heads that is a multiple of the " + std::to_string(b.kv_heads) +
                  " key and value heads",
              std::to_string(b.heads));
    if (b.head_dim % 2 != 0) wrong("an even head dimension (rotary embedding turns pairs)", std::to_string(b.head_dim));
}

/// Checks that each rule makes a table. Of a head_dim that is odd or none, that alone is said.
template <class Wrong>
void check_ropes(model_config const& c, std::string const& who, Wrong const& wrong, problem_list& problems) {
    const std::size_t head_dim = c.block.head_dim;
    for (auto const& rule : c.ropes) {
        if (!is_positive(rule.theta)) {
            wrong("a positive rope theta", std::to_string(rule.theta));
            continue;
        }
        if (head_dim == 0 || head_dim % 2 != 0 || head_dim > largest_size) continue;
        try {
            stretch_of(rule, head_dim, c.context);
        } catch (error const& e) {
            problems.add(who + ": " + e.what());
        }
    }
}

/// Checks where layers look and how they turn.
template <class Wrong>
void check_layers(model_config const& c, Wrong const& wrong) {
    const auto check = [&](std::size_t window, std::size_t rope, std::string const& where) {
        if (window == 0) wrong("a window of 1 position or more" + where, "0");
        if (rope >= c.ropes.size())
            wrong("one of " + std::to_string(c.ropes.size()) + " rotary embeddings" + where,
                  "number " + std::to_string(rope));
    };
    check(c.block.window, c.block.rope, "");
    if (!c.layer_rules.empty() && c.layer_rules.size() != c.layers)
        wrong("a rule for each of " + std::to_string(c.layers) + " layers", std::to_string(c.layer_rules.size()));
    for (std::size_t k = 0; k < c.layer_rules.size(); ++k)
        check(c.layer_rules[k].window, c.layer_rules[k].rope, " in layer " + std::to_string(k));
}

} // namespace detail

/// Checks that the numbers make a model: every size positive, query heads a multiple of key heads, an even head_dim and
/// as many dimensions of it turned or fewer; ε, θ and scales positive; windows of 1 position or more; a rule for every
/// layer where there is one for any.
inline void check_config(model_config const& c, std::string const& who, problem_list& problems) {
    const auto wrong = [&](std::string const& what, std::string const& found) {
        problems.add(who + ": " + what + " is expected, " + found + " was found");
    };
    detail::check_sizes(c, wrong);
    auto const& b = c.block;
    const std::array<std::pair<std::string_view, float>, 3> positive{
        {{"epsilon of the norms", b.norm_eps},
         {"scale of attention", b.attention_scale.value_or(1.0f)},
         {"scale of the embedding", c.embedding_scale}}};
    for (auto const& [name, x] : positive)
        if (!detail::is_positive(x)) wrong("a positive " + std::string(name), std::to_string(x));
    if (!(b.growth.rate >= 0) || !std::isfinite(b.growth.rate) || b.growth.period == 0)
        wrong("a growth of queries of 0 or more in periods of 1 position or more",
              std::to_string(b.growth.rate) + " in " + std::to_string(b.growth.period));
    for (const float cap : {b.attention_soft_cap, c.logit_soft_cap})
        if (cap != no_soft_cap && !detail::is_positive(cap)) wrong("a positive soft cap", std::to_string(cap));
    detail::check_ropes(c, who, wrong, problems);
    detail::check_layers(c, wrong);
}

} // namespace bitlens
