#pragma once
/// Models whose weights follow from the names of their tensors (as in tests/data/models/make_goldens.py), written as
/// Hugging Face folders or GGUF files for the tests to read.

#include "bitlens/core/half.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/io/safetensors_writer.hpp"
#include "bitlens/models/checkpoint.hpp"

#include "temporary_folder.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::test {

/// Element i: splitmix64(FNV-1a(name) + i).
inline std::vector<std::uint64_t> named_bits(std::string const& name, std::size_t count) {
    std::uint64_t h = 0xCBF29CE484222325u;
    for (char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    std::vector<std::uint64_t> bits(count);
    for (std::uint64_t& z : bits) {
        z = h += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
    }
    return bits;
}

inline std::size_t count_of(std::vector<std::size_t> const& shape) {
    std::size_t count = 1;
    for (std::size_t n : shape) count *= n;
    return count;
}

/// Element i of the tensor: 24 bits of named_bits as a number of [−1, 1), then the size that the kind of tensor asks
/// for. γ of a norm is about 1; where the file holds γ − 1, `norms_are_offsets`.
inline std::vector<float> formula_weight(std::string const& name, std::vector<std::size_t> const& shape,
                                         bool norms_are_offsets = false) {
    std::vector<float> values;
    for (std::uint64_t z : named_bits(name, count_of(shape))) {
        const double u = static_cast<double>(z >> 40) * 0x1p-23 - 1.0;
        if (name.ends_with("norm.weight"))
            values.push_back(static_cast<float>((norms_are_offsets ? 0.0 : 1.0) + 0.25 * u));
        else if (name.ends_with(".bias"))
            values.push_back(static_cast<float>(0.5 * u));
        else
            values.push_back(static_cast<float>(u * std::sqrt(3.0 / static_cast<double>(shape.back()))));
    }
    return values;
}

struct written_tensor {
    std::string name;
    std::vector<std::size_t> shape;
    safetensors_type type;
    std::vector<std::byte> bytes;
};

/// The numbers rounded to the type, as bytes of a file.
inline written_tensor store_tensor(std::string name, std::vector<std::size_t> shape, safetensors_type type,
                                   std::vector<float> const& values) {
    std::vector<std::byte> bytes;
    const auto append = [&](auto x) {
        std::array<std::byte, sizeof x> raw;
        std::memcpy(raw.data(), &x, sizeof x);
        bytes.insert(bytes.end(), raw.begin(), raw.end());
    };
    for (float v : values) {
        if (type == safetensors_type::f16)
            append(f16(v).bits);
        else if (type == safetensors_type::bf16)
            append(bf16(v).bits);
        else
            append(v);
    }
    return {std::move(name), std::move(shape), type, std::move(bytes)};
}

inline written_tensor make_tensor(std::string const& name, std::vector<std::size_t> shape, safetensors_type type) {
    const auto values = formula_weight(name, shape);
    return store_tensor(name, std::move(shape), type, values);
}

/// All tensors of a configuration, the head only where it is not tied.
inline std::vector<written_tensor> make_tensors(model_config const& c, safetensors_type type) {
    std::vector<written_tensor> all;
    detail::for_each_tensor(*find_family(families, c.architecture), c,
                            [&](std::string const& name, std::vector<std::size_t> shape) {
                                all.push_back(make_tensor(name, std::move(shape), type));
                            });
    return all;
}

inline void write_text(std::filesystem::path const& path, std::string const& text) {
    std::ofstream(path, std::ios::binary) << text;
}

inline void write_safetensors_of(std::filesystem::path const& path, std::vector<written_tensor> const& tensors) {
    std::vector<safetensors_entry> entries;
    for (auto const& t : tensors) entries.push_back({t.name, t.type, t.shape, t.bytes});
    write_safetensors(path, std::move(entries), {{"format", "pt"}});
}

/// config.json beside model.safetensors, or beside as many shards as asked for and their index.
inline void write_folder(std::filesystem::path const& folder, json const& config,
                         std::vector<written_tensor> const& tensors, std::size_t shards = 1) {
    std::filesystem::create_directories(folder);
    write_text(folder / "config.json", config.dump());
    if (shards == 1) {
        write_safetensors_of(folder / "model.safetensors", tensors);
        return;
    }
    json map = json::object();
    for (std::size_t s = 0; s < shards; ++s) {
        const std::string name =
            "model-0000" + std::to_string(s + 1) + "-of-0000" + std::to_string(shards) + ".safetensors";
        std::vector<written_tensor> part;
        for (std::size_t i = s; i < tensors.size(); i += shards) {
            part.push_back(tensors[i]);
            map[tensors[i].name] = name;
        }
        write_safetensors_of(folder / name, part);
    }
    write_text(folder / "model.safetensors.index.json", json{{"metadata", json::object()}, {"weight_map", map}}.dump());
}

/// A GGUF file, version 3, piece by piece.
class gguf_writer {
public:
    void text(std::string const& key, std::string const& value) {
        begin(key, 8);
        add(metadata_, value);
    }
    void number(std::string const& key, std::uint32_t value) {
        begin(key, 4);
        add(metadata_, value);
    }
    void real(std::string const& key, float value) {
        begin(key, 6);
        add(metadata_, value);
    }
    void flags(std::string const& key, std::vector<bool> const& values) {
        begin(key, 9);
        add(metadata_, std::uint32_t{7});
        add(metadata_, std::uint64_t{values.size()});
        for (bool value : values) add(metadata_, static_cast<std::uint8_t>(value));
    }
    /// Dimensions as PyTorch has them; the file wants the contiguous one first.
    void tensor(std::string const& name, std::vector<std::size_t> const& shape, std::uint32_t type,
                std::vector<std::byte> const& bytes) {
        add(infos_, name);
        add(infos_, static_cast<std::uint32_t>(shape.size()));
        for (std::size_t i = shape.size(); i-- > 0;) add(infos_, std::uint64_t{shape[i]});
        add(infos_, type);
        add(infos_, std::uint64_t{data_.size()});
        data_.append(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        pad(data_);
        ++tensors_;
    }
    void write(std::filesystem::path const& path) const {
        std::string file = "GGUF";
        add(file, std::uint32_t{3});
        add(file, tensors_);
        add(file, values_);
        file += metadata_ + infos_;
        pad(file);
        write_text(path, file + data_);
    }

private:
    template <class T>
    static void add(std::string& to, T value) requires std::is_arithmetic_v<T> {
        std::array<char, sizeof(T)> raw;
        std::memcpy(raw.data(), &value, sizeof(T));
        to.append(raw.data(), raw.size());
    }
    static void add(std::string& to, std::string const& text) {
        add(to, std::uint64_t{text.size()});
        to += text;
    }
    static void pad(std::string& s) { s.append((32 - s.size() % 32) % 32, '\0'); }
    void begin(std::string const& key, std::uint32_t type) {
        add(metadata_, key);
        add(metadata_, type);
        ++values_;
    }
    std::string metadata_, infos_, data_;
    std::uint64_t tensors_ = 0, values_ = 0;
};

/// "model.layers.3.self_attn.q_proj.weight" → "blk.3.attn_q.weight".
inline std::string gguf_name(std::string const& hugging_face) {
    if (hugging_face == detail::embedding_name) return "token_embd.weight";
    if (hugging_face == detail::final_norm_name) return "output_norm.weight";
    if (hugging_face == detail::head_name) return "output.weight";
    const auto dot = hugging_face.find('.', 13);
    std::string part = hugging_face.substr(dot + 1);
    for (auto const& [from, to] :
         std::array<std::pair<const char*, const char*>, 9>{{{"input_layernorm", "attn_norm"},
                                                             {"post_attention_layernorm", "ffn_norm"},
                                                             {"self_attn.q_proj", "attn_q"},
                                                             {"self_attn.k_proj", "attn_k"},
                                                             {"self_attn.v_proj", "attn_v"},
                                                             {"self_attn.o_proj", "attn_output"},
                                                             {"mlp.gate_proj", "ffn_gate"},
                                                             {"mlp.up_proj", "ffn_up"},
                                                             {"mlp.down_proj", "ffn_down"}}})
        if (part.starts_with(from)) part = to + part.substr(std::strlen(from));
    return "blk." + hugging_face.substr(13, dot - 13) + "." + part;
}

/// The rows of every head as GGUF files of llama store them: row 2i + j ← row j·head_dim/2 + i.
inline std::vector<std::byte> interleave_heads(written_tensor const& t, std::size_t head_dim) {
    const std::size_t row_bytes = t.bytes.size() / t.shape[0], half = head_dim / 2;
    std::vector<std::byte> result(t.bytes.size());
    for (std::size_t head = 0; head < t.shape[0]; head += head_dim)
        for (std::size_t j = 0; j < 2; ++j)
            for (std::size_t i = 0; i < half; ++i)
                std::memcpy(&result[(head + 2 * i + j) * row_bytes], &t.bytes[(head + j * half + i) * row_bytes],
                            row_bytes);
    return result;
}

/// The metadata of a configuration.
inline gguf_writer gguf_metadata(model_config const& c) {
    gguf_writer file;
    const std::string a = c.architecture + ".";
    const auto number = [&](std::string const& key, std::size_t n) {
        file.number(a + key, static_cast<std::uint32_t>(n));
    };
    file.text("general.architecture", c.architecture);
    number("block_count", c.layers);
    number("context_length", c.context);
    number("embedding_length", c.block.width);
    number("feed_forward_length", c.block.ffn_width);
    number("attention.head_count", c.block.heads);
    number("attention.head_count_kv", c.block.kv_heads);
    number("attention.key_length", c.block.head_dim);
    number("attention.value_length", c.block.head_dim);
    file.real(a + "attention.layer_norm_rms_epsilon", c.block.norm_eps);
    file.real(a + "rope.freq_base", static_cast<float>(c.ropes[0].theta));
    return file;
}

/// The same model as a GGUF file.
inline void write_gguf(std::filesystem::path const& path, model_config const& c,
                       std::vector<written_tensor> const& tensors) {
    gguf_writer file = gguf_metadata(c);
    for (auto const& t : tensors) {
        const bool is_pair = t.name.ends_with("q_proj.weight") || t.name.ends_with("k_proj.weight");
        const std::uint32_t type = t.type == safetensors_type::f32 ? 0 : t.type == safetensors_type::f16 ? 1 : 30;
        file.tensor(gguf_name(t.name), t.shape, type,
                    is_pair && c.architecture == "llama" ? interleave_heads(t, c.block.head_dim) : t.bytes);
    }
    file.write(path);
}

/// A Llama of one layer, all of whose rows are made of groups of 32.
inline json json_of_32s() {
    return {{"model_type", "llama"},         {"hidden_act", "silu"},   {"hidden_size", 64},
            {"intermediate_size", 96},       {"num_hidden_layers", 1}, {"num_attention_heads", 4},
            {"num_key_value_heads", 2},      {"head_dim", 16},         {"vocab_size", 40},
            {"max_position_embeddings", 64}, {"rms_norm_eps", 1e-5},   {"tie_word_embeddings", false}};
}
inline model_config config_of_32s() {
    problem_list problems;
    return read_config(json_of_32s(), "config.json", problems);
}

} // namespace bitlens::test
