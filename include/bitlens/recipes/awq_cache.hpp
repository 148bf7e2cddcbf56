#pragma once
/// awq_cache: scales and clips that llm-awq found for a model, from the file in which they are published.
///
/// The file is what torch.save wrote of {"scale": [(name of what takes 1/s, (names of linear layers …), s) …],
/// "clip": [(name of a linear layer, m of (out, groups, 1)) …]}, names as "model.layers.3.self_attn.q_proj".
/// Source: llm-awq:awq/quantize/{auto_scale,auto_clip,pre_quant}.py.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/io/torch_file.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/models/model_family.hpp"
#include "bitlens/recipes/awq_fold.hpp"
#include "bitlens/recipes/method_words.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

struct awq_cache {
    awq_fold fold;
    /// m of each group of a linear layer, by layer and projection: (out, groups), or empty where it is not clipped.
    std::vector<std::array<matrix<float>, projection_count>> clips;
};

namespace detail {

/// A part of a layer by its name in Hugging Face's models, "model.layers.3.self_attn.q_proj".
struct layer_part {
    std::size_t layer;
    block_part part;
};
inline layer_part find_part(std::string_view full, model_family const& family, std::size_t layers,
                            std::string const& who) {
    constexpr std::string_view begin = "model.layers.", weight = ".weight";
    const auto refuse = [&](std::string const& what) -> layer_part {
        throw format_error(who + ": " + in_quotes(full.substr(0, 200)) + ": " + what);
    };
    if (!full.starts_with(begin)) return refuse("a name like \"model.layers.0.…\" is expected");
    const std::string_view rest = full.substr(begin.size());
    const auto dot = rest.find('.');
    layer_part found{};
    if (dot == rest.npos || !read_number(rest.substr(0, dot), found.layer))
        return refuse("a layer's number is expected");
    if (found.layer >= layers) return refuse("the model has " + std::to_string(layers) + " layers");
    for (auto const& parameter : family.parameters) {
        if (!parameter.hugging_face.ends_with(weight)) continue;
        if (parameter.hugging_face.substr(0, parameter.hugging_face.size() - weight.size()) != rest.substr(dot + 1))
            continue;
        found.part = parameter.part;
        return found;
    }
    return refuse("blocks of the family " + std::string(family.name) + " have no such part");
}

inline projection find_linear(layer_part const& part, std::string_view full, std::string const& who) {
    if (auto const* const weight = std::get_if<weight_of>(&part.part)) return weight->linear;
    throw format_error(who + ": " + in_quotes(full) + " is no linear layer");
}

} // namespace detail

/// Reads scales and clips for a model.
/// Errors: those of torch_file; format_error naming the entry for a part that the model has not, an input that is not
/// scaled in such blocks, one that occurs twice, another shape, and numbers that are not finite, or not above 0.
inline awq_cache read_awq_cache(std::filesystem::path const& path, model_config const& config,
                                model_family const& family) {
    const torch_file file(path);
    block_shape const& shape = config.block;
    awq_cache cache;
    cache.fold.scales.resize(config.layers);
    cache.clips.resize(config.layers);

    const auto groups = input_groups(family.form);
    std::size_t number = 0;
    for (const auto place : file.items_of(file.value_of(file.root(), "scale"), file.who() + ": \"scale\"")) {
        const std::string who = file.who() + ": scale " + std::to_string(number++);
        const auto items = file.items_of(file[place], who);
        if (items.size() != 3)
            throw format_error(who + ": " + std::to_string(items.size()) + " things, 3 are expected");
        const std::string_view before = file.text_of(file[items[0]], who);
        const auto taker = detail::find_part(before, family, config.layers, who);
        projection_set readers;
        for (const auto name_place : file.items_of(file[items[1]], who)) {
            const std::string_view full = file.text_of(file[name_place], who);
            const auto part = detail::find_part(full, family, config.layers, who);
            if (part.layer != taker.layer)
                throw format_error(who + ": " + in_quotes(full) + " is in another layer than " + in_quotes(before));
            readers |= only(detail::find_linear(part, full, who));
        }
        const auto group = std::ranges::find(groups, readers, &input_group::readers); // none for no readers
        if (group == groups.end())
            throw format_error(who + ": " + names_of(readers) + " do not read one input by themselves");
        auto const* const linear = std::get_if<weight_of>(&taker.part);
        auto const* const norm = std::get_if<block_norm>(&taker.part);
        if (!(norm != nullptr && group->norm == *norm) && !(linear != nullptr && group->linear == linear->linear))
            throw format_error(who + ": " + in_quotes(before) + " does not give the input of " + names_of(readers));
        auto& scales = cache.fold.scales[taker.layer][static_cast<std::size_t>(group - groups.begin())];
        if (!scales.empty()) throw format_error(who + ": the input of " + names_of(readers) + " is scaled twice");
        const std::size_t width = shape_of(detail::listed(readers).front(), shape).cols;
        scales = file.tensor_of(file[items[2]], width, who).numbers;
        if (scales.empty()) throw format_error(who + ": no numbers");
        try {
            check_scales(cache.fold.scales[taker.layer], family.form, shape);
        } catch (error const& e) {
            throw format_error(who + ": " + e.what());
        }
    }

    number = 0;
    for (const auto place : file.items_of(file.value_of(file.root(), "clip"), file.who() + ": \"clip\"")) {
        const std::string who = file.who() + ": clip " + std::to_string(number++);
        const auto items = file.items_of(file[place], who);
        if (items.size() != 2)
            throw format_error(who + ": " + std::to_string(items.size()) + " things, 2 are expected");
        const std::string_view full = file.text_of(file[items[0]], who);
        const auto part = detail::find_part(full, family, config.layers, who);
        const projection p = detail::find_linear(part, full, who);
        auto& clips = cache.clips[part.layer][static_cast<std::size_t>(p)];
        if (clips.rows() != 0) throw format_error(who + ": " + in_quotes(full) + " is clipped twice");
        const auto [rows, cols] = shape_of(p, shape);
        const auto found = file.tensor_of(file[items[1]], rows * cols, who);
        const bool fits = found.shape.size() == 3 && found.shape[0] == rows && found.shape[1] > 0 &&
                          found.shape[2] == 1 && cols % found.shape[1] == 0;
        if (!fits)
            throw format_error(who + ": shape " + shape_text(found.shape) + ", (" + std::to_string(rows) +
                               ", groups, 1) is expected, of groups that divide " + std::to_string(cols) + " columns");
        clips = matrix<float>(rows, found.shape[1]);
        std::ranges::copy(found.numbers, clips.data());
        for (const float m : found.numbers)
            if (!(m >= 0 && std::isfinite(m)))
                throw format_error(who + ": " + std::to_string(m) +
                                   " is found, a finite number of at least 0 is expected");
    }
    return cache;
}

} // namespace bitlens
