#pragma once
/// The models of tests/data/models/*.json (made by make_goldens.py there), written as Hugging Face folders and as GGUF
/// files. What a family's files hold stands in the JSON: nothing here asks the library.

#include "written_model.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string_view>

namespace bitlens::test {

inline safetensors_type type_of(json const& model) {
    const auto name = model.at("type").get<std::string>();
    return name == "bf16" ? safetensors_type::bf16 : name == "f16" ? safetensors_type::f16 : safetensors_type::f32;
}

inline bool norms_are_offsets(json const& model) {
    return model.at("config").at("model_type").get<std::string>().starts_with("gemma");
}

/// "model.layers.N.mlp.up_proj.weight" → "model.layers.3.mlp.up_proj.weight".
inline std::string in_layer(std::string name, std::size_t layer) {
    const auto place = name.find(".N.");
    return place == std::string::npos ? name : name.replace(place + 1, 1, std::to_string(layer));
}

/// f(name, shape, weights as floats) of every parameter, as transformers names them. `formula(name, shape, whether
/// norms are offsets)` → floats.
template <class Formula>
std::vector<written_tensor> tensors_of(json const& model, Formula const& formula) {
    std::vector<written_tensor> all;
    const auto layers = model.at("config").at("num_hidden_layers").get<std::size_t>();
    for (json const& parameter : model.at("parameters")) {
        const auto name = parameter.at(0).get<std::string>();
        const auto shape = parameter.at(1).get<std::vector<std::size_t>>();
        const std::size_t count = name.find(".N.") == std::string::npos ? 1 : layers;
        for (std::size_t layer = 0; layer < count; ++layer) {
            const std::string full = in_layer(name, layer);
            all.push_back(store_tensor(full, shape, type_of(model), formula(full, shape, norms_are_offsets(model))));
        }
    }
    return all;
}

/// What store_tensor stored.
inline std::vector<float> stored_values(written_tensor const& t) {
    std::vector<float> values(count_of(t.shape));
    if (t.type == safetensors_type::f32) {
        std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
        return values;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint16_t bits;
        std::memcpy(&bits, &t.bytes[2 * i], 2);
        values[i] = t.type == safetensors_type::bf16 ? static_cast<float>(bf16::from_bits(bits))
                                                     : static_cast<float>(f16::from_bits(bits));
    }
    return values;
}

/// The metadata and tensors that model["gguf"] asks for; vectors as f32, as such files have them.
inline void write_gguf(std::filesystem::path const& path, json const& model,
                       std::vector<written_tensor> const& tensors) {
    json const& layout = model.at("gguf");
    gguf_writer file;
    std::size_t head_dim = 0;
    std::map<std::string, std::size_t> sizes;
    for (json const& entry : layout.at("metadata")) {
        const auto key = entry.at(0).get<std::string>();
        const auto kind = entry.at(1).get<std::string>();
        json const& value = entry.at(2);
        if (kind == "string")
            file.text(key, value.get<std::string>());
        else if (kind == "uint32")
            file.number(key, value.get<std::uint32_t>());
        else if (kind == "float32")
            file.real(key, value.get<float>());
        else if (kind == "[bool]")
            file.flags(key, value.get<std::vector<bool>>());
        else
            throw std::runtime_error("metadata of type " + kind);
        if (kind == "uint32") sizes[key.substr(key.find('.') + 1)] = value.get<std::size_t>();
    }
    head_dim = sizes.contains("attention.key_length") ? sizes.at("attention.key_length")
                                                      : sizes.at("embedding_length") / sizes.at("attention.head_count");
    std::map<std::string, std::string> names;
    for (json const& pair : layout.at("names"))
        for (std::size_t layer = 0; layer < sizes.at("block_count"); ++layer)
            names[in_layer(pair.at(0).get<std::string>(), layer)] = in_layer(pair.at(1).get<std::string>(), layer);
    for (auto const& [name, values] : layout.at("tensors").items()) {
        const auto numbers = values.get<std::vector<float>>();
        file.tensor(name, {numbers.size()}, 0,
                    store_tensor(name, {numbers.size()}, safetensors_type::f32, numbers).bytes);
    }
    for (written_tensor t : tensors) {
        if (t.shape.size() == 1) {
            auto values = stored_values(t);
            if (layout.at("adds_one").get<bool>() && t.name.ends_with("norm.weight"))
                for (float& v : values) v += 1;
            t = store_tensor(t.name, t.shape, safetensors_type::f32, values);
        }
        const bool is_pair = t.name.find("q_proj.") != std::string::npos || t.name.find("k_proj.") != std::string::npos;
        if (is_pair && layout.at("pairs").get<bool>()) t.bytes = interleave_heads(t, head_dim);
        const std::uint32_t type = t.type == safetensors_type::f32 ? 0 : t.type == safetensors_type::f16 ? 1 : 30;
        file.tensor(names.at(t.name), t.shape, type, t.bytes);
    }
    file.write(path);
}

} // namespace bitlens::test
