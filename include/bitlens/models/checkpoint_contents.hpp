#pragma once
/// checkpoint_contents: what is on disk of a model, found, named and checked before a number is read.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/models/checkpoint_path.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/model_family.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/models/quantization_facts.hpp"
#include "bitlens/models/stored_tensor.hpp"
#include "bitlens/stored/find_stored_linear.hpp"
#include "bitlens/stored/gguf_linear.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens::detail {

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 3> gguf_names{
    {{"token_embd.weight", embedding_name}, {"output_norm.weight", final_norm_name}, {"output.weight", head_name}}};

/// Tensors that some files carry and no forward pass reads: tables that transformers once saved beside the weights.
inline bool is_leftover(std::string_view name) {
    return name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".masked_bias");
}

/// The name within the model of text of a tensor of a model that also reads other things.
inline std::string unwrapped(std::string_view name) {
    for (std::string_view prefix : {"model.language_model.", "language_model.model."})
        if (name.starts_with(prefix)) return "model." + std::string(name.substr(prefix.size()));
    constexpr std::string_view head = "language_model.lm_head.";
    if (name.starts_with(head)) return "lm_head." + std::string(name.substr(head.size()));
    return std::string(name);
}
/// Tensors that the reader of the configuration has read.
inline bool is_read_with_config(std::string_view name) {
    return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

/// Whether a tensor of such a model belongs to the other things.
inline bool is_of_other_things(std::string_view name) {
    if (name.starts_with("model.")) name.remove_prefix(6);
    return name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.");
}

inline bool is_of_queries_or_keys(block_parameter const& parameter) {
    constexpr auto turned = only(projection::q, projection::k);
    if (auto const* const weight = std::get_if<weight_of>(&parameter.part)) return has(turned, weight->linear);
    auto const* const bias = std::get_if<bias_of>(&parameter.part);
    return bias != nullptr && has(turned, bias->linear);
}

/// Everything read from disk but the numbers themselves. Nothing here changes after construction.
struct checkpoint_contents {
    std::filesystem::path path;
    std::optional<gguf_file> gguf;
    std::optional<safetensors_folder> safetensors;
    model_config config;
    model_family const* kind = nullptr; // of the model; nullptr: none that is known
    std::vector<stored_tensor> tensors;
    name_index by_name; // places in tensors, by Hugging Face name
    problem_list problems;

    /// `to_the_end`: what a file of a folder is refused for is one more problem, and the next is still looked at.
    checkpoint_contents(std::filesystem::path where, std::span<const std::string> allowed_keys,
                        std::span<model_family const* const> known, bool to_the_end)
        : path(std::move(where)), families_(known) {
        if (is_model_folder(path))
            read_folder(allowed_keys, to_the_end);
        else
            read_gguf(allowed_keys);
        if (problems.empty() || (to_the_end && (gguf || safetensors) && says_a_model())) check_tensors();
    }
    checkpoint_contents(checkpoint_contents const&) = delete;
    checkpoint_contents& operator=(checkpoint_contents const&) = delete;

    void read_folder(std::span<const std::string> allowed_keys, bool to_the_end) {
        const auto step = [&](auto const& f) {
            if (!to_the_end) return f();
            problems.collect<error>(f);
        };
        step([&] { read_folder_config(allowed_keys); });
        if (!to_the_end && !problems.empty()) return;
        if (!is_there(path / "config.json") && !has_weights(path)) return; // all that there is has been said
        step([&] {
            require_weights(path);
            safetensors.emplace(path);
        });
        if (safetensors) take_safetensors();
    }

    void read_folder_config(std::span<const std::string> allowed_keys) {
        require_config(path);
        const auto config_path = path / "config.json";
        const auto parsed = read_json_file(config_path);
        config = read_config(parsed, config_path.string(), problems, allowed_keys, families_);
        is_wrapped_ = parsed.is_object() && parsed.contains("text_config");
        problem_list said_already; // by read_config
        said_already.collect([&] { quantization_ = quantization_in(parsed, config_path.string()); });
        for (auto const& [name, method] : quantization_files) {
            const auto beside = path / name;
            if (!quantization_.empty() || !is_there(beside)) continue;
            json description = read_json_file(beside);
            if (const auto text = quantization_refusal(description, beside.string(), method)) problems.add(*text);
            quantization_ = {std::move(description), beside.string()};
        }
    }

    void take_safetensors() {
        kind = find_family(families_, config.architecture);
        auto linears = find_linear_tensors(safetensors->tensors());
        for (auto const& [tensor, file] : safetensors->tensors()) {
            const auto [layer, part] = split_part(tensor->name);
            if (!part.empty() && linears.contains(layer)) continue;
            const std::string name = is_wrapped_ ? unwrapped(tensor->name) : tensor->name;
            if (is_leftover(name) || (is_wrapped_ && is_of_other_things(name))) continue;
            if (is_said_quantized(*tensor))
                problems.add(file->path().string() + ": tensor " + in_quotes(tensor->name) + ": " +
                             quantization_.who() + " says that this layer is quantized, its weight is " +
                             std::string(info(tensor->type).name));
            stored_tensor t{{name, tensor->name, std::string(info(tensor->type).name), tensor->shape,
                             tensor->bytes.size(), file->path()},
                            stored_number::unreadable,
                            tensor->bytes,
                            file->mapping()};
            if (tensor->type == safetensors_type::f32) t.number = stored_number::f32;
            if (tensor->type == safetensors_type::f16) t.number = stored_number::f16;
            if (tensor->type == safetensors_type::bf16) t.number = stored_number::bf16;
            t.is_less_one = kind && kind->stores_gamma_less_one && name.ends_with("norm.weight");
            take(std::move(t), split_layer_name(name, "model.layers."), &block_parameter::hugging_face);
        }
        for (auto& one : linears) problems.collect([&] { take_linear(one.first, std::move(one.second)); });
        index_tensors();
    }

    /// Whether a weight that is stored whole should be in codes.
    bool is_said_quantized(safetensors_tensor const& tensor) const {
        constexpr std::string_view weight = ".weight";
        std::string_view layer = tensor.name;
        if (quantization_.schemes() == nullptr || tensor.shape.size() != 2 || !layer.ends_with(weight)) return false;
        layer.remove_suffix(weight.size());
        return quantization_.schemes()->of(layer) != nullptr;
    }

    /// A linear layer of several tensors, as the one that others have of it.
    void take_linear(std::string const& layer, linear_tensors parts) {
        const std::filesystem::path file = parts.file(parts.suffixes().front());
        const auto linear = find_stored_linear(std::move(parts), quantization_);
        const std::string name = (is_wrapped_ ? unwrapped(layer) : layer) + ".weight";
        stored_tensor t{{name, layer, linear->type(), {linear->rows(), linear->cols()}, linear->bytes(), file},
                        stored_number::coded,
                        {},
                        nullptr,
                        nullptr,
                        linear};
        take(std::move(t), split_layer_name(name, "model.layers."), &block_parameter::hugging_face);
    }

    void read_gguf(std::span<const std::string> allowed_keys) {
        gguf.emplace(path);
        config = read_config(*gguf, problems, allowed_keys, families_);
        kind = find_family(families_, config.architecture);
        for (auto const& tensor : gguf->tensors()) {
            const std::string name(tensor.name);
            if (is_read_with_config(name)) continue;
            auto mapping = gguf->mapping(tensor);
            auto const& file = mapping->path();
            stored_tensor t{{name, name, std::string(tensor.type->name), tensor.shape(), tensor.bytes.size(), file},
                            tensor.type->decode ? stored_number::block : stored_number::unreadable,
                            tensor.bytes,
                            mapping,
                            &tensor};
            if (tensor.type->parts && tensor.rank == 2)
                t.linear = std::make_shared<gguf_linear>(tensor, file.string(), std::move(mapping));
            if (tensor.type->name == "F32") t.number = stored_number::f32;
            if (tensor.type->name == "F16") t.number = stored_number::f16;
            if (tensor.type->name == "BF16") t.number = stored_number::bf16;
            for (auto const& [stored, hugging_face] : gguf_names)
                if (name == stored) t.info.name = hugging_face;
            take(std::move(t), split_layer_name(name, "blk."), &block_parameter::gguf);
        }
        index_tensors();
    }

    /// Adds a tensor of that place in a layer, or of none, under the names of the parameters that it holds; one that
    /// holds none that is known keeps its name, and is reported as unexpected.
    void take(stored_tensor t, std::optional<name_in_layer> const& place, std::string_view block_parameter::*column) {
        const auto parts = kind && place ? parts_of(t, column, place->rest) : std::vector<block_parameter const*>();
        if (parts.empty()) return tensors.push_back(std::move(t));
        const auto add = [&](stored_tensor part, block_parameter const& parameter) {
            part.info.name = "model.layers." + std::string(place->layer) + "." + name_below_layer(parameter);
            if (gguf && kind->gguf_interleaves_heads && is_of_queries_or_keys(parameter))
                part.interleaved_head = config.block.head_dim;
            tensors.push_back(std::move(part));
        };
        if (parts.size() == 1) return add(std::move(t), *parts.front());
        std::size_t first = 0;
        for (block_parameter const* const parameter : parts) {
            const std::size_t rows = shape_of(*parameter, kind->form, config.block)[0];
            add(t.part(first, rows), *parameter);
            first += rows;
        }
    }

    /// The parameters that a tensor holds, by its name within a layer. Where a file keeps apart what others of the
    /// family have in one tensor, the tensor goes by the usual name. By sizes that make no model nothing is divided.
    std::vector<block_parameter const*> parts_of(stored_tensor const& t, std::string_view block_parameter::*column,
                                                 std::string_view stored_name) const {
        std::vector<block_parameter const*> parts;
        std::size_t rows = 0;
        for (auto const& parameter : kind->parameters)
            if (parameter.*column == stored_name) {
                parts.push_back(&parameter);
                rows += shape_of(parameter, kind->form, config.block)[0];
            }
        const bool are_stacked = parts.size() > 1 && !t.info.shape.empty() && t.info.shape[0] == rows;
        if (parts.size() == 1 || (are_stacked && says_a_model())) return parts;
        for (auto const& parameter : separate_weights)
            if (parameter.*column == stored_name) return {&parameter};
        return {};
    }

    void index_tensors() {
        // Of a tied pair, some files keep the head.
        const auto is_called = [](std::string_view name) {
            return [name](stored_tensor const& t) { return t.info.name == name; };
        };
        if (config.tied_head && std::ranges::none_of(tensors, is_called(embedding_name)))
            for (auto& t : tensors)
                if (t.info.name == head_name) t.info.name = embedding_name;
        for (std::size_t i = 0; i < tensors.size(); ++i) by_name.add(tensors[i].info.name, i);
        by_name.sort();
        if (const auto twice = by_name.repeated())
            problems.add(path.string() + ": two tensors stand for " + in_quotes(*twice));
    }

    stored_tensor const* find(std::string_view name) const noexcept {
        const auto place = by_name.find(name);
        return place ? &tensors[*place] : nullptr;
    }

    /// Whether the configuration, refused or not, says which tensors there should be.
    bool says_a_model() const {
        problem_list unsaid;
        check_config(config, {}, unsaid);
        return kind != nullptr && unsaid.empty();
    }

    /// Every tensor of the architecture is there, in its shape and readable, and no other.
    void check_tensors() {
        for (auto const& t : tensors)
            if (const auto method = quantized_by(t.info.name); !method.empty()) {
                problems.add(t.who() + " belongs to weights quantized by " + std::string(method) +
                             ", which are not read yet");
                return; // what else is odd is so for this reason
            }
        if (config.layers > tensors.size()) { // and no list of a billion missing names
            problems.add(path.string() + ": the configuration says " + std::to_string(config.layers) +
                         " layers, but there are only " + std::to_string(tensors.size()) + " tensors");
            return;
        }
        std::vector<bool> is_known(tensors.size());
        for_each_tensor(*kind, config, [&](std::string const& name, std::vector<std::size_t> const& shape) {
            if (const auto place = by_name.find(name)) {
                is_known[*place] = true;
                check_tensor(tensors[*place], shape);
            } else {
                problems.add(path.string() + ": tensor " + in_quotes(name) + " of shape " + shape_text(shape) +
                             " is missing");
            }
        });
        const auto head = by_name.find(head_name);
        if (config.tied_head && head) {
            is_known[*head] = true;
            check_tied_head(tensors[*head]);
        }
        for (auto const& [name, place] : by_name.entries())
            if (!is_known[place])
                problems.add(tensors[place].who() + ": " + config.architecture + " has no such tensor");
    }

    void check_tensor(stored_tensor const& t, std::vector<std::size_t> const& shape) {
        if (t.info.shape != shape)
            problems.add(t.who() + ": shape " + shape_text(shape) + " is expected from the configuration, " +
                         shape_text(t.info.shape) + " was found");
        else if (t.number == stored_number::unreadable)
            problems.add(t.who() + ": numbers of type " + t.info.type + " are not read yet");
        else if (shape.size() == 1 && t.number == stored_number::block)
            problems.add(t.who() + ": F32, F16 or BF16 is expected of a vector, " + t.info.type + " was found");
    }

    /// A stored head beside tie_word_embeddings: true is harmless only if it is the embedding.
    void check_tied_head(stored_tensor const& head) {
        stored_tensor const* const embedding = find(embedding_name);
        if (!embedding || head.linear || !std::ranges::equal(head.bytes, embedding->bytes) ||
            head.info.shape != embedding->info.shape || head.info.type != embedding->info.type)
            problems.add(head.who() + ": the configuration ties the head to the embedding, but this is another matrix");
    }

    /// What is said of how the weights were quantized.
    std::vector<std::string> quantization_facts() const {
        return gguf ? detail::quantization_facts(*gguf) : detail::quantization_facts(quantization_.object());
    }

private:
    std::span<model_family const* const> families_;
    bool is_wrapped_ = false; // a model of text within one of other things
    quantization_description quantization_;
};

} // namespace bitlens::detail
