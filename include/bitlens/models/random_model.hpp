#pragma once
/// tiny_model: a seeded random model for tests and examples that need no download.

#include "bitlens/core/random.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/models/transformer.hpp"

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// Sizes of a model that runs in a moment: 4 layers of width 64, grouped heads, 256 tokens.
template <class Architecture>
model_config tiny_config() {
    static_assert(architecture<Architecture>,
                  "bitlens: an architecture is llama or another of models/architectures.hpp, or a struct with a "
                  "description as docs/add-an-architecture.md has it");
    if constexpr (architecture<Architecture>) {
        model_family const& family = Architecture::description;
        model_config c{std::string(family.name), 4, 256, 512, {64, 4, 2, 16, 160, 1e-5f}, true};
        c.block.biases = family.biases;
        if (family.scales_embedding) c.embedding_scale = 8; // √64
        return c;
    }
}

namespace detail {

/// A matrix of normal numbers that keeps the size of what it multiplies: deviation 1/√cols.
template <class W>
std::shared_ptr<const W> random_weight(matrix_shape shape, random_generator& random) {
    static_assert(std::constructible_from<W, packed_matrix<dense<float>>>,
                  "bitlens: a random model has float weights; quantize them afterwards");
    packed_matrix<dense<float>> m(shape.rows, shape.cols);
    const double deviation = 1 / std::sqrt(static_cast<double>(shape.cols));
    for (std::size_t r = 0; r < shape.rows; ++r)
        for (float& w : m.writable_row(r)) w = static_cast<float>(deviation * random.normal());
    return std::make_shared<const W>(std::move(m));
}

inline std::vector<float> random_vector(std::size_t size, double mean, double deviation, random_generator& random) {
    std::vector<float> v(size);
    for (float& x : v) x = static_cast<float>(mean + deviation * random.normal());
    return v;
}

} // namespace detail

/// A model with random weights, the same for the same configuration and seed on every machine.
/// Errors: format_error for a configuration that is no model (check_config) or of another architecture.
template <class Architecture, class W>
transformer<Architecture, W> tiny_model(model_config const& config, std::uint64_t seed) {
    problem_list problems;
    check_config(config, "tiny_model", problems);
    if (config.architecture != Architecture::description.name)
        problems.add("tiny_model: architecture " + std::string(Architecture::description.name) + " is expected, " +
                     config.architecture + " was found");
    if (!problems.empty()) throw format_error(problems.texts().front());

    auto const& shape = config.block;
    random_generator random(seed);
    std::vector<block_weights<W>> layers(config.layers);
    for (auto& layer : layers) {
        norms_and_biases rest;
        for (auto const& parameter : Architecture::description.parameters) {
            if (!detail::has_parameter(config, parameter)) continue;
            const std::size_t size = detail::shape_of(parameter, Architecture::description.form, shape)[0];
            if (auto const* const weight = std::get_if<weight_of>(&parameter.part))
                layer.linear[static_cast<std::size_t>(weight->linear)] =
                    detail::random_weight<W>(shape_of(weight->linear, shape), random);
            else if (auto const* const bias = std::get_if<bias_of>(&parameter.part))
                rest.bias(bias->linear) = detail::random_vector(size, 0, 0.5, random);
            else
                rest.gamma(std::get<block_norm>(parameter.part)) = detail::random_vector(size, 1, 0.1, random);
        }
        layer.rest = std::make_shared<const norms_and_biases>(std::move(rest));
    }
    const auto embedding = detail::random_weight<W>({config.vocabulary, shape.width}, random);
    auto final_norm = detail::random_vector(shape.width, 1, 0.1, random);
    const auto head = config.tied_head ? embedding : detail::random_weight<W>({config.vocabulary, shape.width}, random);
    return {config, std::make_shared<resident_layers<W>>(std::move(layers)), embedding, std::move(final_norm), head};
}

} // namespace bitlens
