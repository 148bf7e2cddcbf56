#pragma once
/// What checkpoints of quantized weights say of them, what of it is read, and why the rest is not.

#include "bitlens/io/json.hpp"
#include "bitlens/stored/auto_round.hpp"
#include "bitlens/stored/quantization_description.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::detail {

/// Numbers of a description of quantized weights, wherever its kind keeps them: the first of that name, outermost
/// first.
inline json const* find_below(json const& object, std::span<const std::string_view> names, std::size_t depth = 3) {
    for (std::string_view name : names)
        if (const auto place = object.find(name); place != object.end() && !place->is_null()) return &*place;
    if (depth == 0) return nullptr;
    for (auto const& inner : object)
        if (inner.is_object())
            if (json const* const found = find_below(inner, names, depth - 1)) return found;
    return nullptr;
}

/// Where a config.json describes quantized weights.
inline constexpr std::array<std::string_view, 4> quantization_keys{"quantization_config", "compression_config",
                                                                   "sparseml_quantization_config", "quantization"};
/// Models within a model, whose configuration may describe them in place of the outer one.
inline constexpr std::array<std::string_view, 2> inner_models{"text_config", "llm_config"};

/// Where a config.json says something of quantized weights, and what: outermost first.
inline std::vector<std::pair<std::string, json const*>> quantizations_in(json const& config, std::string const& who) {
    std::vector<std::pair<std::string, json const*>> all;
    if (!config.is_object()) return all;
    for (const std::string_view key : quantization_keys)
        if (const auto place = config.find(key); place != config.end())
            all.emplace_back(who + ": key " + in_quotes(key), &*place);
    for (const std::string_view key : inner_models)
        if (const auto inner = config.find(key); inner != config.end())
            for (auto& one : quantizations_in(*inner, who + ": " + std::string(key))) all.push_back(std::move(one));
    return all;
}
/// The first of them that says anything.
inline quantization_description quantization_in(json const& config, std::string const& who) {
    for (auto const& [place, value] : quantizations_in(config, who))
        if (value->is_object() && !value->empty()) return {*value, place};
    return {};
}

/// What is not read of a description whose method is; nothing where all is.
using quantization_refusal_of = std::optional<std::string>(quantization_description const&);

inline std::optional<std::string> nothing_refused(quantization_description const&) { return std::nullopt; }
inline std::optional<std::string> compressed_refusal(quantization_description const& d) {
    return d.schemes() == nullptr ? std::nullopt : d.schemes()->refusal();
}
inline std::optional<std::string> bitsandbytes_refusal(quantization_description const& d) {
    if (!d.flag({"load_in_8bit"}).value_or(false)) return std::nullopt;
    return "LLM.int8 rounds activations too";
}
inline std::optional<std::string> mlx_refusal(quantization_description const& d) {
    const auto mode = d.text({"mode"}).value_or("affine");
    if (mode == "affine" || mode == "mxfp4") return std::nullopt;
    return "mode " + in_quotes(mode);
}
/// Of ModelOpt weights alone in NVFP4 are read; layers whose inputs are quantized too have tensors that say so.
inline std::optional<std::string> modelopt_refusal(quantization_description const& d) {
    if (d.schemes() != nullptr && d.schemes()->refusal()) return d.schemes()->refusal();
    constexpr std::array<std::string_view, 1> algorithm{"quant_algo"}, cache{"kv_cache_quant_algo"};
    if (json const* const name = find_below(d.object(), algorithm); name == nullptr)
        return "quant_algo is not said";
    else if (!name->is_string() || name->get_ref<std::string const&>().find("NVFP4") == std::string::npos)
        return "quant_algo " + found_text(*name);
    if (json const* const name = find_below(d.object(), cache)) return "kv cache " + found_text(*name);
    return std::nullopt;
}

/// A method of quantization by the name that checkpoints have for it.
struct quantization_method {
    std::string_view name;
    quantization_refusal_of* check; ///< nullptr for one of which nothing is read
    std::string_view why;           ///< is it not
};

/// What is read, and why the rest is not.
inline constexpr auto quantization_methods = std::to_array<quantization_method>({
    {"gptq", nothing_refused, {}},
    {"awq", nothing_refused, {}},
    {"bitsandbytes", bitsandbytes_refusal, {}},
    {"flute", nothing_refused, {}},
    {"compressed-tensors", compressed_refusal, {}},
    {"sparseml", compressed_refusal, {}},
    {"auto-round", auto_round_refusal, {}},
    {"intel/auto-round", auto_round_refusal, {}},
    {"modelopt", modelopt_refusal, {}},
    {"mlx", mlx_refusal, {}},
    {"metal", mlx_refusal, {}},
    {"aqlm", nullptr, "sums of vectors from codebooks"},
    {"bitnet", nullptr, "ternary weights whose inputs are rounded to 8 bits"},
    {"eetq", nullptr, "integers of 8 bits in the order of one kernel"},
    {"exl2", nullptr, "groups of ExLlamaV2 with bits of their own"},
    {"exl3", nullptr, "trellis codes of ExLlamaV3"},
    {"fbgemm-fp8", nullptr, "floats of 8 bits whose inputs are rounded too"},
    {"fouroversix", nullptr, "NVFP4 with scales of two kinds"},
    {"fp8", nullptr, "floats of 8 bits whose inputs are rounded too"},
    {"fp-quant", nullptr, "floats of 4 bits after a rotation that is done at run time"},
    {"gemma", nullptr, "integers whose inputs are rounded too"},
    {"higgs", nullptr, "vectors of a grid after a rotation that is done at run time"},
    {"hqq", nullptr, "half-quadratic quantization"},
    {"mxfp4", nullptr, "experts of gpt-oss"},
    {"mxfp8", nullptr, "floats of 8 bits whose inputs are rounded too"},
    {"paroquant", nullptr, "rotations of pairs of columns that are done at run time"},
    {"qqq", nullptr, "integers whose inputs are rounded to 8 bits"},
    {"quanto", nullptr, "tensors of one library's own classes"},
    {"quark", nullptr, "the layouts of AMD Quark"},
    {"sinq", nullptr, "scales of columns beside those of rows"},
    {"spqr", nullptr, "outliers in a sparse matrix beside the codes"},
    {"torchao", nullptr, "tensors of one library's own classes"},
    {"vptq", nullptr, "vectors from codebooks"},
});

/// The name of the method of a description that names none, by the rest that it says; empty where that tells nothing.
inline std::string_view unnamed_method(quantization_description const& d) {
    if (d.schemes() != nullptr) return "compressed-tensors";
    if (d.find({"bits"}) != nullptr && d.find({"group_size"}) != nullptr) return "mlx";
    json const* const producer = d.find({"producer"});
    if (producer != nullptr && producer->is_object() && producer->value("name", json()) == "modelopt")
        return "modelopt";
    return {};
}

/// Why a checkpoint of quantized weights is refused by what it says of them; nothing where it is read, or says that
/// they are not quantized. `method` is what it is where the description does not say.
/// Errors: format_error for what is no description of its method.
inline std::optional<std::string> quantization_refusal(json const& said, std::string const& who,
                                                       std::string_view method = {}) {
    if (said.empty() || said == false) return std::nullopt; // null, {} and [] are empty
    if (!said.is_object())
        return who + ": weights quantized by a method without a name are not read; the model in full precision that "
                     "they were made from is, and so is GGUF";
    const auto is = [&](const char* key, bool value) {
        const auto place = said.find(key);
        return place != said.end() && *place == value;
    };
    if (is("load_in_4bit", false) && is("load_in_8bit", false)) return std::nullopt; // bitsandbytes, switched off
    const quantization_description d(said, who);
    std::string name = d.method();
    if (name.empty() && (is("load_in_4bit", true) || is("load_in_8bit", true))) name = "bitsandbytes";
    if (name.empty()) name = method.empty() ? unnamed_method(d) : method;
    std::string text = who + ": weights quantized by " + (name.empty() ? "a method without a name" : in_quotes(name));
    const auto known = std::ranges::find(quantization_methods, std::string_view(name), &quantization_method::name);
    std::string why;
    if (known != quantization_methods.end()) {
        why = known->why;
        if (known->check != nullptr) {
            const auto found = known->check(d);
            if (!found) return std::nullopt;
            why = *found;
        }
    }
    constexpr std::array<std::string_view, 5> bits{"bits", "w_bit", "nbits", "num_bits", "weight_bits"};
    constexpr std::array<std::string_view, 2> group{"group_size", "q_group_size"};
    if (is("load_in_4bit", true))
        text += " to 4 bits";
    else if (is("load_in_8bit", true))
        text += " to 8 bits";
    else if (json const* const n = find_below(said, bits); n && n->is_number())
        text += " to " + found_text(*n) + " bits";
    if (json const* const n = find_below(said, group); n && n->is_number_integer() && *n > 0) // −1: rows
        text += " in groups of " + found_text(*n);
    return text + " are not read" + (why.empty() ? "" : " (" + why + ")") +
           "; the model in full precision that they were made from is, and so is GGUF";
}

} // namespace bitlens::detail
