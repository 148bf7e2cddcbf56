#include "files.hpp"
#include "targets.hpp"

#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"

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

} // namespace bitlens::fuzz
