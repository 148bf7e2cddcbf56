#pragma once
/// The variants that tell where errors arise, made from a model and its quantized versions.

#include "bitlens/analysis/location.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/manifest.hpp"
#include "bitlens/sweep/variants.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What is asked of every method.
struct location_request {
    bool exits = false;       // the loss of states on their way up, also of the full model
    bool restore = false;     // late layers in full precision: the last ⌊0.18 · L⌋, and a curve
    bool patch = false;       // the paper's four points, in `layers`
    bool gates = false;       // the inputs of W_gate, its output, and W_gate itself
    bool sensitivity = false; // each layer and each projection restored alone, and quantized alone
    bool attenuation = false; // mlp_out overwritten from layer k on, as a curve

    layer_range layers{};           // of exits, patches and curves
    std::size_t every = 1;          // of the layers of exits and curves, from the last one down
    layer_range sensitive_layers{}; // of sensitivity
    exit_scale scale = exit_scale::fresh;
};

/// One of the models: its variant's name, what it is made by, its blocks.
template <class W>
struct located_model {
    std::string name, spec;
    std::shared_ptr<layer_source<W>> layers;
    /// The full model with its channels in the scales of these blocks, where they have other ones (AWQ): activations
    /// inside a block, and its matrices one by one, can be exchanged with that model only. None: with the full model.
    std::shared_ptr<layer_source<W>> scaled_full{};
    std::shared_ptr<const model_ends<W>> ends{}; ///< its own embedding, final norm and head; none: the full model's
};

/// Variants and, of all but the first, what they are in words: what a manifest says of them.
template <class W>
struct location_variants {
    std::vector<variant<W>> variants;
    std::vector<run_method> described;
};

namespace detail {

/// Every n-th layer of a range, rising, its last among them.
inline std::vector<std::size_t> layers_of_curve(layer_range range, std::size_t every) {
    std::vector<std::size_t> layers;
    for (std::size_t k = range.end; k > range.first; k -= std::min(k - range.first, every)) layers.push_back(k - 1);
    std::ranges::reverse(layers);
    return layers;
}

inline std::string words(layer_range range) {
    return range.end - range.first == 1 ? "layer " + std::to_string(range.first)
                                        : "layers " + std::to_string(range.first) + "-" + std::to_string(range.end - 1);
}

template <class W>
class location_maker {
public:
    location_maker(std::span<const located_model<W>> models, location_request const& request, std::size_t layers)
        : full_(models[0]), request_(request), layers_(layers) {
        for (layer_range* const range : {&request_.layers, &request_.sensitive_layers})
            range->end = std::min(range->end, layers);
        for (auto const& m : models) {
            found_.variants.push_back({m.name, m.layers});
            found_.variants.back().ends = m.ends;
            if (&m != &models[0]) found_.described.push_back({m.name, m.spec});
        }
        if (request.exits)
            for (auto const& m : models) add_exits(m);
        for (auto const& m : models.subspan(1)) add_changes(m);
    }
    location_variants<W> take() && { return std::move(found_); }

private:
    layer_range from(std::size_t k) const noexcept { return {k, layers_}; }

    void add(variant<W> v, std::string words) {
        const auto made = std::ranges::find(found_.described, v.name, &run_method::name);
        if (made != found_.described.end()) return; // by another experiment
        found_.described.push_back({v.name, std::move(words), v.exit.has_value()});
        found_.variants.push_back(std::move(v));
    }
    void add_exits(located_model<W> const& m) {
        const exit_scale scale = request_.scale;
        for (const std::size_t k : layers_of_curve(request_.layers, request_.every))
            for (const exit_state state : exit_states)
                add(variant<W>::fork(location_names::early_exit(state, scale, m.name, k), m.name)
                        .ending({k, state, scale}),
                    m.name + " ends after " + (state == exit_state::r ? "the attention of " : "") + "layer " +
                        std::to_string(k) + (scale == exit_scale::frozen ? ", in the scale of its last state" : ""));
    }
    /// The model whose parts of a block can stand for those of m, by name.
    std::string peer_of(located_model<W> const& m) {
        if (m.scaled_full == nullptr) return full_.name;
        const std::string name = location_names::scaled_full(m.name);
        add(variant<W>{name, m.scaled_full}, full_.name + " in the scales of " + m.name);
        return name;
    }
    void add_patch(located_model<W> const& m, std::string name, point_id point, layer_range range) {
        const std::string peer = peer_of(m);
        add(variant<W>::fork(std::move(name), m.name).patched(point, peer, range),
            m.name + " with " + std::string(bitlens::name(point)) + " of " + peer + " in " + words(range));
    }
    void add_patches(located_model<W> const& m, std::span<const point_id> points) {
        const layer_range in = request_.layers;
        const bool is_upper_half = in == layer_range{upper_half(layers_), layers_};
        for (const point_id point : points)
            add_patch(m,
                      is_upper_half ? location_names::patch(m.name, bitlens::name(point))
                                    : location_names::patch_in(m.name, bitlens::name(point), in.first, in.end - 1),
                      point, in);
    }
    void add_restored(located_model<W> const& m, std::string name, layer_range range) { // whole blocks, norms too
        add(variant<W>::fork(std::move(name), m.name).with_weights(full_.layers, range),
            m.name + " with " + words(range) + " of " + full_.name);
    }
    void add_only(located_model<W> const& m, std::string name, layer_range range) {
        add(variant<W>::fork(std::move(name), full_.name).with_weights(m.layers, range),
            full_.name + " with " + words(range) + " of " + m.name);
    }
    void add_projection(located_model<W> const& m, projection p, bool with_only) {
        const std::string what = " with " + std::string(bitlens::name(p)) + " of ", peer = peer_of(m);
        add(variant<W>::fork(location_names::restore_projection(m.name, p), m.name)
                .with_weights(m.scaled_full ? m.scaled_full : full_.layers, from(0), only(p)),
            m.name + what + peer);
        if (with_only)
            add(variant<W>::fork(location_names::only_projection(m.name, p), peer)
                    .with_weights(m.layers, from(0), only(p)),
                peer + what + m.name);
    }
    void add_changes(located_model<W> const& m) {
        using hook::id_of, hook::mlp_out, hook::mlp_gate, hook::mlp_up, hook::mlp_gate_in, hook::attn_out;
        const auto curve = layers_of_curve(request_.layers, request_.every);
        if (request_.patch) add_patches(m, std::array{id_of<mlp_out>, id_of<mlp_gate>, id_of<mlp_up>, id_of<attn_out>});
        if (request_.gates) {
            add_patches(m, std::array{id_of<mlp_gate>, id_of<mlp_gate_in>});
            add_projection(m, projection::gate, false);
        }
        if (request_.restore) {
            add_restored(m, location_names::restore_late(m.name), from(first_late_layer(layers_)));
            for (const std::size_t k : curve) add_restored(m, location_names::restore_from(m.name, k), from(k));
        }
        if (request_.sensitivity) {
            for (const std::size_t k : layers_of_curve(request_.sensitive_layers, 1)) {
                add_restored(m, location_names::restore_layer(m.name, k), {k, k + 1});
                add_only(m, location_names::only_layer(m.name, k), {k, k + 1});
            }
            for (std::size_t p = 0; p < projection_count; ++p) add_projection(m, static_cast<projection>(p), true);
        }
        if (request_.attenuation)
            for (const std::size_t k : curve)
                add_patch(m, location_names::patch_from(m.name, hook::name<mlp_out>, k), id_of<mlp_out>, from(k));
    }

    located_model<W> const& full_;
    location_request request_;
    std::size_t layers_;
    location_variants<W> found_;
};

} // namespace detail

/// The models, the full one first, then what is asked of each, under the names of location_names. The model has
/// `layers` layers.   Errors: as check_location_names; option_error for a method that is called like a
/// variant of another.
template <class W>
location_variants<W> make_location_variants(std::span<const located_model<W>> models, location_request const& request,
                                            std::size_t layers) {
    std::vector<std::string> names;
    for (auto const& m : models.subspan(1)) names.push_back(m.name);
    check_location_names(names, layers);
    return detail::location_maker<W>(models, request, layers).take();
}

} // namespace bitlens
