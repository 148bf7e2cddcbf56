#pragma once
/// variant_tree: variants that refer to each other by name, checked, and what of them runs in each layer.

#include "bitlens/core/error.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/variants.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What of the variants runs in one layer, the same for every example. Streams are numbered: a variant has one from its
/// fork to its end, and another takes it then. What variants hand to each other at points is kept for this layer only.
struct layer_step {
    struct copy {
        std::size_t from, to; // streams
        std::size_t variant;  // whose stream it becomes
    };
    struct kept_point {
        std::size_t variant; // whose
        point_id point;
        bool operator==(kept_point const&) const = default;
    };
    struct patch {
        point_id point;
        std::size_t kept; // what it is overwritten with: of layer_step::kept
        position_range positions;
        std::size_t number; // of the tree's patches
    };
    struct run {
        std::size_t variant, stream;
        stage until;
        std::vector<patch> patches;
        std::vector<std::size_t> keeps; // of layer_step::kept
    };
    struct exit {
        std::size_t variant;
        std::optional<std::size_t> kept; // else it is in the stream
        std::size_t stream;
        std::size_t waits_in; // the variant's own stream, where its scale is frozen
    };

    std::vector<copy> forks; // before anything runs
    std::vector<run> runs;   // in this order
    std::vector<kept_point> kept;
    std::vector<exit> exits;  // scored as the layer ends
    std::vector<exit> frozen; // these wait for the scale of the last layer
};

/// What a sweep of a tree takes, in numbers of streams, states and matrices.
struct sweep_load {
    std::size_t streams = 1;
    std::size_t kept_numbers = 0;                         // of one position, in the layer that hands over most
    std::size_t exits = 0;                                // in the layer that has most
    std::size_t scored = 1;                               // after the last layer
    std::array<std::size_t, projection_count> matrices{}; // distinct ones of a layer, where there are most
    std::size_t layers_run = 0;                           // of all variants: the cost of an example

    /// Of models that share nothing.
    static sweep_load of_models(std::size_t models, std::size_t layers) noexcept {
        sweep_load load;
        load.streams = load.scored = models;
        load.matrices.fill(models);
        load.layers_run = models * layers;
        return load;
    }
};

template <class W>
class variant_tree {
public:
    /// Errors: option_error naming the variant, and what it refers to that is not there, comes later, or has ended; for
    /// a change that would never come into effect; for a root that is no whole model.
    variant_tree(std::span<const variant<W>> variants, block_shape const& shape, std::size_t layers)
        : variants_(variants), layers_(layers) {
        if (variants.empty()) throw option_error("sweep: at least one variant is expected, the full-precision model");
        std::set<std::string_view> names;
        for (auto const& v : variants)
            if (!names.insert(v.name).second) refuse(v, "has the name of an earlier one");
        for (auto const& v : variants) add(v);
        for (std::size_t v = 0; v < variants.size(); ++v)
            for (std::size_t k = nodes_[v].first; k < nodes_[v].end; ++k) check_sources(v, k);
        assign_streams();
        for (std::size_t k = 0; k < layers; ++k) steps_.push_back(make_step(k));
        weigh(shape);
    }

    std::size_t size() const noexcept { return variants_.size(); }
    std::string const& name(std::size_t v) const noexcept { return variants_[v].name; }
    layer_step const& step(std::size_t layer) const noexcept { return steps_[layer]; }
    sweep_load const& load() const noexcept { return load_; }

    /// Streams, and variants, that are scored after the last layer: those that run to the end.
    struct last_state {
        std::size_t variant, stream;
        std::optional<std::size_t> scale_of; // the stream in whose scale it is normalised
    };
    std::vector<last_state> const& last_states() const noexcept { return last_; }

    /// The patches of all variants, by number.
    struct numbered_patch {
        std::size_t variant;
        point_patch const* patch;
    };
    std::span<const numbered_patch> patches() const noexcept { return patches_; }

    /// Layers that a variant runs by itself.
    std::size_t layers_of(std::size_t v) const noexcept { return nodes_[v].end - nodes_[v].first; }

    /// The ends of a variant; nullptr where they are the model's.
    model_ends<W> const* ends_of(std::size_t v) const noexcept {
        while (v != 0 && variants_[v].ends == nullptr) v = nodes_[v].parent;
        return variants_[v].ends.get();
    }

    /// The source of one matrix of a variant at a layer, and of its norms and biases.
    layer_source<W>* source_of_matrix(std::size_t v, std::size_t layer, std::size_t p) const {
        return find_source(v, layer, [p](projection_set const& s) { return s.test(p); });
    }
    layer_source<W>* source_of_rest(std::size_t v, std::size_t layer) const {
        return find_source(v, layer, [](projection_set const& s) { return s.all(); });
    }

private:
    /// A variant runs layers first … end − 1 by itself, the last of them to the end only if `complete` reaches it.
    struct node {
        std::size_t parent, first, end, complete;
        std::size_t stream = 0;
        std::size_t first_patch = 0; // of patches_
    };

    [[noreturn]] static void refuse(variant<W> const& v, std::string const& what) {
        throw option_error("sweep: variant '" + visible_text(v.name) + "' " + what);
    }
    static std::string text(layer_range const& r) {
        return "layers " + std::to_string(r.first) +
               (r.end == layer_range().end ? " and above" : " to below " + std::to_string(r.end));
    }

    /// The earlier variant of that name.
    std::size_t earlier(variant<W> const& v, std::string const& name, const char* role) const {
        const auto found = std::ranges::find(variants_, name, &variant<W>::name);
        if (found == variants_.end())
            refuse(v, "has '" + visible_text(name) + "' as its " + role + ", and there is no variant of that name");
        const auto index = static_cast<std::size_t>(found - variants_.begin());
        if (index == nodes_.size()) refuse(v, "has itself as its " + std::string(role));
        if (index > nodes_.size())
            refuse(v, "has '" + visible_text(name) + "' as its " + role + ", which comes after it" +
                          (found->parent == v.name || refers_to(*found, v.name) ? " and refers to it, a cycle" : "") +
                          "; an earlier variant is expected");
        return index;
    }
    static bool refers_to(variant<W> const& v, std::string const& name) {
        return std::ranges::find(v.patches, name, &point_patch::source) != v.patches.end();
    }

    static constexpr std::size_t last_of_r = hook::id_of<hook::resid_mid>.index(); // points up to it fire before r

    /// Whether a point fires in a layer of a variant: one that ends after attention never comes to the MLP.
    static bool fires(node const& n, std::size_t layer, point_id point) noexcept {
        return layer < n.complete || (layer < n.end && point.index() <= last_of_r);
    }

    void add(variant<W> const& v) {
        const bool is_root = nodes_.empty();
        node n{};
        n.complete = n.end = layers_;
        if (v.exit) {
            if (v.exit->layer >= layers_)
                refuse(v, "ends in layer " + std::to_string(v.exit->layer) + " of a model with layers 0 to " +
                              std::to_string(layers_ - 1));
            n.end = v.exit->layer + 1;
            n.complete = v.exit->state == exit_state::z ? n.end : v.exit->layer;
        }
        n.first = n.end;
        for (auto const& w : v.weights) {
            if (w.source == nullptr) refuse(v, "has no weights; a layer_source is expected");
            if (w.projections.none()) refuse(v, "changes the weights of no projection");
            if (w.layers.first >= std::min(w.layers.end, n.end))
                refuse(v, "changes weights in " + text(w.layers) + ", of which it runs none: it has layers 0 to " +
                              std::to_string(n.end - 1));
            n.first = std::min(n.first, w.layers.first);
        }
        if (v.ends != nullptr) n.first = 0;
        n.first_patch = patches_.size();
        if (is_root) check_root(v);
        for (auto const& p : v.patches) {
            std::size_t k = p.layers.first;
            while (k < std::min(p.layers.end, n.end) && !fires(n, k, p.point)) ++k;
            if (k >= std::min(p.layers.end, n.end))
                refuse(v, "patches " + std::string(bitlens::name(p.point)) + " in " + text(p.layers) +
                              ", where it never fires");
            earlier(v, p.source, "source");
            n.first = std::min(n.first, p.layers.first);
            patches_.push_back({nodes_.size(), &p});
        }
        if (!is_root) {
            n.parent = v.parent.empty() ? 0 : earlier(v, v.parent, "parent");
            node const& parent = nodes_[n.parent];
            if (parent.complete < n.first)
                refuse(v, "forks at layer " + std::to_string(std::min(n.first, layers_ - 1)) + " from '" +
                              visible_text(variants_[n.parent].name) + "', which has ended there");
            if (v.exit && v.exit->scale == exit_scale::frozen && parent.complete < layers_)
                refuse(v, "ends in the scale of '" + visible_text(variants_[n.parent].name) +
                              "', which never comes to the last layer");
        }
        nodes_.push_back(n);
    }
    void check_root(variant<W> const& v) const {
        if (!v.parent.empty() || v.exit || !v.patches.empty() || v.ends != nullptr)
            refuse(v, "comes first: it is the root, which has weights and nothing else");
        if (v.weights.empty() || v.weights[0].layers.first != 0 || v.weights[0].layers.end < layers_ ||
            !v.weights[0].projections.all())
            refuse(v, "has no weights for the whole model; a layer_source is expected");
    }

    /// The variant whose run of a layer is that of v: itself, or what it has not yet forked from.
    std::size_t runner(std::size_t v, std::size_t layer) const noexcept {
        while (layer < nodes_[v].first) v = nodes_[v].parent;
        return v;
    }

    /// f(patch, its number) for those that are in effect at a layer, the root's first.
    template <class F>
    void each_patch(std::size_t v, std::size_t layer, F const& f) const {
        if (v != 0) each_patch(nodes_[v].parent, layer, f);
        for (std::size_t i = 0; i < variants_[v].patches.size(); ++i)
            if (variants_[v].patches[i].layers.has(layer)) f(variants_[v].patches[i], nodes_[v].first_patch + i);
    }
    std::size_t index_of(std::string const& name) const {
        return static_cast<std::size_t>(std::ranges::find(variants_, name, &variant<W>::name) - variants_.begin());
    }
    void check_sources(std::size_t v, std::size_t layer) const {
        each_patch(v, layer, [&](point_patch const& p, std::size_t) {
            if (fires(nodes_[v], layer, p.point) && !fires(nodes_[index_of(p.source)], layer, p.point))
                refuse(variants_[v], "patches " + std::string(bitlens::name(p.point)) + " of layer " +
                                         std::to_string(layer) + " with that of '" + visible_text(p.source) +
                                         "', which has ended there");
        });
    }

    template <class Covers>
    layer_source<W>* find_source(std::size_t v, std::size_t layer, Covers const& covers) const {
        for (;; v = nodes_[v].parent) {
            auto const& changes = variants_[v].weights;
            for (auto w = changes.rbegin(); w != changes.rend(); ++w)
                if (w->layers.has(layer) && covers(w->projections)) return w->source.get();
            BITLENS_ASSERT(v != 0);
        }
    }

    bool is_frozen(std::size_t v) const noexcept {
        return variants_[v].exit && variants_[v].exit->scale == exit_scale::frozen;
    }

    /// A stream is free for others once no fork of the layer after its last can read it any more.
    void assign_streams() {
        std::vector<std::size_t> order, free_from; // of streams: the first layer at which another may begin
        const auto begins = [&](std::size_t v) { return std::min(nodes_[v].first, nodes_[v].end - 1); };
        for (std::size_t v = 0; v < size(); ++v)
            if (nodes_[v].first < nodes_[v].end || is_frozen(v)) order.push_back(v);
        std::ranges::stable_sort(order, {}, begins);
        for (const std::size_t v : order) {
            const auto free = std::ranges::find_if(free_from, [&](std::size_t layer) { return layer <= begins(v); }) -
                              free_from.begin();
            nodes_[v].stream = static_cast<std::size_t>(free);
            if (nodes_[v].stream == free_from.size()) free_from.push_back(0);
            const bool waits = is_frozen(v) || nodes_[v].end == layers_;
            free_from[nodes_[v].stream] = waits ? layers_ + 1 : nodes_[v].end + 1;
        }
        load_.streams = free_from.size();
    }

    layer_step make_step(std::size_t k) const {
        layer_step step;
        const auto keep = [&](std::size_t v, point_id point) {
            const layer_step::kept_point wanted{runner(v, k), point};
            const auto found = std::ranges::find(step.kept, wanted);
            if (found == step.kept.end()) step.kept.push_back(wanted);
            return static_cast<std::size_t>(std::ranges::find(step.kept, wanted) - step.kept.begin());
        };
        for (std::size_t v = 0; v < size(); ++v) {
            node const& n = nodes_[v];
            if (k < n.first || k >= n.end) continue;
            if (v != 0 && k == n.first)
                step.forks.push_back({k == 0 ? nodes_[0].stream : nodes_[runner(n.parent, k - 1)].stream, n.stream, v});
            layer_step::run run{v, n.stream, k < n.complete ? stage::end : stage::gate_up, {}, {}};
            each_patch(v, k, [&](point_patch const& p, std::size_t number) {
                if (fires(n, k, p.point))
                    run.patches.push_back({p.point, keep(index_of(p.source), p.point), p.positions, number});
            });
            step.runs.push_back(std::move(run));
        }
        for (std::size_t v = 0; v < size(); ++v) {
            node const& n = nodes_[v];
            if (!variants_[v].exit || k + 1 != n.end) continue;
            layer_step::exit exit{v, {}, nodes_[runner(v, k)].stream, n.stream};
            if (runner(v, k) != v && variants_[v].exit->state == exit_state::r)
                exit.kept = keep(v, hook::id_of<hook::resid_mid>); // its parent goes on
            (is_frozen(v) ? step.frozen : step.exits).push_back(exit);
        }
        for (std::size_t i = 0; i < step.kept.size(); ++i)
            std::ranges::find(step.runs, step.kept[i].variant, &layer_step::run::variant)->keeps.push_back(i);
        return step;
    }

    void weigh(block_shape const& shape) {
        for (std::size_t v = 0; v < size(); ++v) {
            const bool runs_to_the_end = !variants_[v].exit;
            if (runs_to_the_end)
                last_.push_back({v, nodes_[runner(v, layers_ - 1)].stream, {}});
            else if (is_frozen(v))
                last_.push_back({v, nodes_[v].stream, nodes_[runner(nodes_[v].parent, layers_ - 1)].stream});
            load_.layers_run += layers_of(v);
        }
        load_.scored = last_.size();
        for (std::size_t k = 0; k < layers_; ++k) {
            std::size_t numbers = 0;
            for (auto const& kept : steps_[k].kept) numbers += width_of(kept.point, shape);
            load_.kept_numbers = std::max(load_.kept_numbers, numbers);
            load_.exits = std::max(load_.exits, steps_[k].exits.size());
            for (std::size_t p = 0; p < projection_count; ++p) {
                std::set<layer_source<W>*> distinct;
                for (auto const& run : steps_[k].runs) distinct.insert(source_of_matrix(run.variant, k, p));
                load_.matrices[p] = std::max(load_.matrices[p], distinct.size());
            }
        }
    }

    std::span<const variant<W>> variants_;
    std::size_t layers_;
    std::vector<node> nodes_;
    std::vector<numbered_patch> patches_;
    std::vector<layer_step> steps_;
    std::vector<last_state> last_;
    sweep_load load_;
};

} // namespace bitlens
