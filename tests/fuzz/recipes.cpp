#include "files.hpp"
#include "targets.hpp"

#include "bitlens/models/architectures.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/recipes/awq_cache.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantized_folder.hpp"

namespace bitlens::fuzz {

void methods(input bytes) {
    for (auto const& m : parse_methods(as_text(std::as_bytes(bytes)))) {
        const method again = parse_method(m.name + "=" + m.text());
        must(again.name == m.name && again.text() == m.text() && again.kind == m.kind, "another method after writing");
    }
}

void overrides(input bytes) {
    static const folder place;
    constexpr std::size_t layers = 3;
    const auto rules = read_override_rules(place.write("overrides.json", bytes), layers);
    for (std::size_t layer = 0; layer <= layers; ++layer)
        for (std::size_t p = 0; p < projection_count; ++p) {
            auto const* const use = rules.find(layer, static_cast<projection>(p));
            must(layer < layers || use == nullptr, "a rule for a layer that does not exist");
            if (use != nullptr && *use) parse_method((*use)->text());
        }
}

void quantized_manifest(input bytes) {
    static const folder place;
    place.write("manifest.json", bytes);
    const quantized_folder taken(place.path());
    must(quantized_manifest_from(to_json(taken.manifest()), "again") == taken.manifest(), "another one after writing");
    must(is_quantized_folder(place.path()), "a folder that does not know itself");
    if (taken.manifest().layers != 0) taken.layer_path(taken.manifest().layers - 1);
}

void quantized_layer(input bytes) {
    using weights = mixed_matrix<dense<float>, uniform<3, 32>, normal_float<4, 0>>;
    static const folder place{{"manifest.json", "quantized_manifest/valid.json"}};
    static const quantized_folder model(place.path());
    constexpr block_shape shape{4, 2, 1, 2, 4, 1e-5f};
    place.write("layer-0000.safetensors", bytes);
    const auto block = read_quantized_layer<weights>(model, 0, shape);
    for (auto const& w : block.linear)
        for (std::size_t r = 0; w != nullptr && r < w->rows(); ++r)
            for (std::size_t c = 0; c < w->cols(); ++c) w->value(r, c);
    const auto written = place.path() / "written.safetensors";
    detail::write_block(written, {model.identity(), 0}, block);
    detail::read_block<weights>(written, {model.identity(), 0}, shape);
}

void published_awq(input bytes) {
    static const folder place;
    const model_config config{"llama", 1, 8, 16, {4, 2, 1, 2, 4, 1e-5f}};
    const auto cache = read_awq_cache(place.write("w4-g4.pt", bytes), config, llama::description);
    must(cache.fold.scales.size() == 1 && cache.clips.size() == 1, "a layer more or less");
    check_scales(cache.fold.scales[0], llama::description.form, config.block);
}

} // namespace bitlens::fuzz
