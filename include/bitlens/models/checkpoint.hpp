#pragma once
/// checkpoint: a model on disk, a Hugging Face folder or a GGUF file, with its tensors under Hugging Face names.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/checkpoint_path.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/weights.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/tokenizer_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// One tensor of a checkpoint.
struct tensor_info {
    std::string name;        // as Hugging Face names it
    std::string stored_name; // as the file names it
    std::string type;        // as the file names it: "BF16", "Q4_1", …
    std::vector<std::size_t> shape;
    std::size_t bytes;
    std::filesystem::path file;
};

namespace detail {

static_assert(std::endian::native == std::endian::little, "checkpoints are read where numbers are little-endian");

enum class stored_number : std::uint8_t { f32, f16, bf16, block, unreadable };

/// One tensor and how to read it.
struct stored_tensor {
    tensor_info info;
    stored_number number;
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> mapping; // keeps the bytes alive
    gguf_tensor const* blocks = nullptr; // of a GGUF file
    std::size_t interleaved_head = 0;    // head_dim where the rows of each head are stored in pairs (i, i + head_dim/2)

    std::size_t rows() const noexcept { return info.shape.size() == 2 ? info.shape[0] : 1; }
    std::size_t cols() const noexcept { return info.shape.back(); }
    std::string who() const { return info.file.string() + ": tensor " + in_quotes(info.stored_name); }

    /// Where row r of the Hugging Face order lies: its row j·h/2 + i of a head is the stored row 2i + j.
    std::size_t stored_row(std::size_t r) const noexcept {
        if (interleaved_head == 0) return r;
        const std::size_t half = interleaved_head / 2, in_head = r % interleaved_head;
        return r - in_head + 2 * (in_head % half) + in_head / half;
    }
};

inline std::string layer_prefix(std::size_t k) { return "model.layers." + std::to_string(k) + "."; }
inline std::string weight_name(std::size_t k, projection p) {
    const bool attention = p <= projection::o;
    return layer_prefix(k) + (attention ? "self_attn." : "mlp.") + std::string(name(p)) + ".weight";
}
inline std::string bias_name(std::size_t k, projection p) {
    return layer_prefix(k) + "self_attn." + std::string(name(p)) + ".bias";
}
inline constexpr std::string_view embedding_name = "model.embed_tokens.weight", final_norm_name = "model.norm.weight",
                                  head_name = "lm_head.weight";
inline std::string attn_norm_name(std::size_t k) { return layer_prefix(k) + "input_layernorm.weight"; }
inline std::string mlp_norm_name(std::size_t k) { return layer_prefix(k) + "post_attention_layernorm.weight"; }

/// f(name, shape) for every tensor of a model.
template <class F>
void for_each_tensor(model_config const& c, F const& f) {
    using shape = std::vector<std::size_t>;
    f(std::string(embedding_name), shape{c.vocabulary, c.block.width});
    f(std::string(final_norm_name), shape{c.block.width});
    if (!c.tied_head) f(std::string(head_name), shape{c.vocabulary, c.block.width});
    const bool has_biases =
        visit_architecture(c, []<class Architecture>(Architecture) { return Architecture::qkv_bias; });
    for (std::size_t k = 0; k < c.layers; ++k) {
        for (auto const& name : {attn_norm_name(k), mlp_norm_name(k)}) f(name, shape{c.block.width});
        for (std::size_t i = 0; i < projection_count; ++i) {
            const auto p = static_cast<projection>(i);
            const auto [rows, cols] = shape_of(p, c.block);
            f(weight_name(k, p), shape{rows, cols});
            if (has_biases && p <= projection::v) f(bias_name(k, p), shape{rows});
        }
    }
}

/// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight"; empty for a name that has no counterpart.
inline std::string hugging_face_name(std::string_view gguf_name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 12> in_layer{{
        {"attn_norm.weight", "input_layernorm.weight"},
        {"ffn_norm.weight", "post_attention_layernorm.weight"},
        {"attn_q.weight", "self_attn.q_proj.weight"},
        {"attn_k.weight", "self_attn.k_proj.weight"},
        {"attn_v.weight", "self_attn.v_proj.weight"},
        {"attn_output.weight", "self_attn.o_proj.weight"},
        {"ffn_gate.weight", "mlp.gate_proj.weight"},
        {"ffn_up.weight", "mlp.up_proj.weight"},
        {"ffn_down.weight", "mlp.down_proj.weight"},
        {"attn_q.bias", "self_attn.q_proj.bias"},
        {"attn_k.bias", "self_attn.k_proj.bias"},
        {"attn_v.bias", "self_attn.v_proj.bias"},
    }};
    if (gguf_name == "token_embd.weight") return std::string(embedding_name);
    if (gguf_name == "output_norm.weight") return std::string(final_norm_name);
    if (gguf_name == "output.weight") return std::string(head_name);
    if (!gguf_name.starts_with("blk.")) return {};
    const auto dot = gguf_name.find('.', 4);
    if (dot == std::string_view::npos) return {};
    for (auto const& [gguf, hugging_face] : in_layer)
        if (gguf_name.substr(dot + 1) == gguf)
            return "model.layers." + std::string(gguf_name.substr(4, dot - 4)) + "." + std::string(hugging_face);
    return {};
}

/// Tensors that some files carry and no forward pass reads: tables that transformers once saved beside the weights, and
/// divisors that the configuration's reader has seen to be ones.
inline bool is_leftover(std::string_view name) {
    return name.ends_with(".rotary_emb.inv_freq") || name == rope_divisors_name;
}

/// The method that a tensor of quantized weights belongs to; empty for other tensors.
inline std::string_view quantized_by(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 10> endings{
        {{".qweight", "GPTQ or AWQ"},
         {".qzeros", "GPTQ or AWQ"},
         {".weight.absmax", "bitsandbytes"},
         {".weight.quant_map", "bitsandbytes"},
         {".SCB", "bitsandbytes"},
         {".weight_scale", "compressed-tensors or FP8"},
         {".weight_scale_inv", "FP8"},
         {".weight_packed", "compressed-tensors"},
         {".W_q", "HQQ"},
         {".codebooks", "AQLM"}}};
    for (auto const& [ending, method] : endings)
        if (name.ends_with(ending)) return method;
    return {};
}

/// Errors: format_error naming the tensor, for a number that is NaN or infinite.
template <class T>
void check_finite(std::span<const T> row, stored_tensor const& from, std::size_t r) {
    const auto exponent_is_full = [](T x) {
        if constexpr (std::same_as<T, float>)
            return (std::bit_cast<std::uint32_t>(x) & 0x7F800000u) == 0x7F800000u;
        else if constexpr (std::same_as<T, bf16>)
            return (x.bits & 0x7F80u) == 0x7F80u;
        else
            return (x.bits & 0x7C00u) == 0x7C00u;
    };
    bool bad = false;
    for (T const& x : row) bad |= exponent_is_full(x);
    if (bad) throw format_error(from.who() + ": row " + std::to_string(r) + " holds a number that is not finite");
}

/// Everything read from disk but the numbers themselves. Nothing here changes after construction.
struct checkpoint_contents {
    std::filesystem::path path;
    std::optional<gguf_file> gguf;
    std::optional<safetensors_folder> safetensors;
    model_config config;
    std::vector<stored_tensor> tensors;
    name_index by_name; // places in tensors, by Hugging Face name
    problem_list problems;

    /// `to_the_end`: what a file of a folder is refused for is one more problem, and the next is still looked at.
    checkpoint_contents(std::filesystem::path where, std::span<const std::string> allowed_keys, bool to_the_end)
        : path(std::move(where)) {
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
        config = read_config(parsed, config_path.string(), problems, allowed_keys);
        for (auto const& [name, method] : quantization_files) {
            const auto beside = path / name;
            if (!is_there(beside) || (parsed.is_object() && parsed.contains("quantization_config"))) continue;
            if (const auto text = quantization_text(read_json_file(beside), method))
                problems.add(beside.string() + ": " + *text);
        }
    }

    void take_safetensors() {
        for (auto const& [tensor, file] : safetensors->tensors()) {
            auto const& name = tensor->name;
            stored_tensor t{
                {name, name, std::string(info(tensor->type).name), tensor->shape, tensor->bytes.size(), file->path()},
                stored_number::unreadable,
                tensor->bytes,
                file->mapping()};
            if (tensor->type == safetensors_type::f32) t.number = stored_number::f32;
            if (tensor->type == safetensors_type::f16) t.number = stored_number::f16;
            if (tensor->type == safetensors_type::bf16) t.number = stored_number::bf16;
            if (!is_leftover(name)) tensors.push_back(std::move(t));
        }
        index_tensors();
    }

    void read_gguf(std::span<const std::string> allowed_keys) {
        gguf.emplace(path);
        config = read_config(*gguf, problems, allowed_keys);
        const bool interleaved = problems.empty() && visit_architecture(config, []<class Architecture>(Architecture) {
                                     return Architecture::gguf_interleaves_heads;
                                 });
        for (auto const& tensor : gguf->tensors()) {
            std::string name = hugging_face_name(tensor.name);
            if (name.empty()) name = std::string(tensor.name); // reported as unexpected
            stored_tensor t{{name, std::string(tensor.name), std::string(tensor.type->name), tensor.shape(),
                             tensor.bytes.size(), path},
                            tensor.type->decode ? stored_number::block : stored_number::unreadable,
                            tensor.bytes,
                            gguf->mapping(),
                            &tensor};
            if (tensor.type->name == "F32") t.number = stored_number::f32;
            if (tensor.type->name == "F16") t.number = stored_number::f16;
            if (tensor.type->name == "BF16") t.number = stored_number::bf16;
            if (interleaved && (name.ends_with("self_attn.q_proj.weight") || name.ends_with("self_attn.k_proj.weight")))
                t.interleaved_head = config.block.head_dim;
            if (!is_leftover(name)) tensors.push_back(std::move(t));
        }
        index_tensors();
    }

    void index_tensors() {
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
        return is_architecture(config.architecture) && unsaid.empty();
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
        for_each_tensor(config, [&](std::string const& name, std::vector<std::size_t> const& shape) {
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
        if (!embedding || !std::ranges::equal(head.bytes, embedding->bytes) ||
            head.info.shape != embedding->info.shape || head.info.type != embedding->info.type)
            problems.add(head.who() + ": the configuration ties the head to the embedding, but this is another matrix");
    }
};

} // namespace detail

/// A model on disk. Copies share one mapping of the files; nothing is read before it is asked for.
///
/// Keys of the configuration that are not known are refused, as they could change what the model computes; those that
/// `allowed_keys` names are passed over.
///
/// Errors at construction: io_error where files are missing or cannot be opened; option_error for an allowed key that
/// does not occur or is known; format_error for the first of its problems: an architecture, then quantized weights,
/// then a key that are not supported, then a tensor that is missing, unexpected, of another shape or unreadable.
class checkpoint {
public:
    explicit checkpoint(std::filesystem::path const& path, std::span<const std::string> allowed_keys = {})
        : contents_(std::make_shared<const detail::checkpoint_contents>(path, allowed_keys, false)) {
        if (problems().empty()) return;
        const std::size_t more = problems().size() - 1;
        throw format_error(problems().front() + (more == 0 ? "" : " (and " + std::to_string(more) + " more)"));
    }

    /// The same without refusing: for showing what is there and everything that is wrong with it. Only config(),
    /// tensors(), files(), problems() and format_description() make sense where problems() is not empty.
    /// Errors: io_error where nothing is; those of a GGUF file's own structure; option_error as above.
    static checkpoint inspect(std::filesystem::path const& path, std::span<const std::string> allowed_keys = {}) {
        return checkpoint(std::make_shared<const detail::checkpoint_contents>(path, allowed_keys, true));
    }
    std::vector<std::string> const& problems() const noexcept { return contents_->problems.texts(); }

    std::filesystem::path const& path() const noexcept { return contents_->path; }
    model_config const& config() const noexcept { return contents_->config; }
    bool is_gguf() const noexcept { return contents_->gguf.has_value(); }

    /// Every file that decides what the model and its tokenizer compute, sorted.
    std::vector<std::filesystem::path> files() const {
        if (is_gguf()) return {path()};
        std::vector<std::filesystem::path> all;
        for (auto const& file : contents_->safetensors->files()) all.push_back(file.path());
        for (const char* name : {"config.json", "model.safetensors.index.json"})
            if (std::error_code unknown; std::filesystem::exists(path() / name, unknown)) all.push_back(path() / name);
        for (auto& file : tokenizer_files(path())) all.push_back(std::move(file));
        std::ranges::sort(all);
        return all;
    }

    /// By name.
    std::vector<tensor_info> tensors() const {
        std::vector<tensor_info> all;
        for (auto const& [name, place] : contents_->by_name.entries()) all.push_back(contents_->tensors[place].info);
        return all;
    }

    /// What is stored how, as in "GGUF, linear layers Q4_1, embedding Q8_0, tied head".
    std::string format_description() const {
        std::map<std::string, std::size_t> linear;
        std::string embedding, head;
        for (auto const& t : contents_->tensors) {
            if (t.info.name.find("_proj.weight") != std::string::npos) ++linear[t.info.type];
            if (t.info.name == detail::embedding_name) embedding = ", embedding " + t.info.type;
            if (t.info.name == detail::head_name) head = ", head " + t.info.type;
        }
        if (config().tied_head && !embedding.empty()) head = ", tied head";
        std::string text = is_gguf() ? "GGUF" : "safetensors";
        if (!linear.empty()) text += ", linear layers";
        for (auto const& [type, count] : linear)
            text += " " + type + (linear.size() > 1 ? " (" + std::to_string(count) + ")" : "");
        return text + embedding + head;
    }

    /// A matrix as W: in its stored type where W can hold that, borrowed from the mapped file where it lies aligned and
    /// in order; otherwise as float.
    /// Errors: format_error naming file and tensor for a name that is not there, a type that W cannot hold, and a
    /// number that is not finite.
    template <class W>
    W load_matrix(std::string_view name) const {
        detail::check_weight<W>();
        auto const& t = tensor(name, 2);
        if (t.number == detail::stored_number::bf16)
            if constexpr (std::constructible_from<W, packed_matrix<dense<bf16>>>) return stored<bf16>(t);
        if (t.number == detail::stored_number::f16)
            if constexpr (std::constructible_from<W, packed_matrix<dense<f16>>>) return stored<f16>(t);
        if constexpr (std::constructible_from<W, packed_matrix<dense<float>>>) {
            if (t.number == detail::stored_number::f32) return stored<float>(t);
            return decoded(t);
        }
        throw format_error(t.who() + ": numbers of type " + t.info.type +
                           " do not fit this program's type of weight, which lists neither them nor dense<float>, to "
                           "which they are decoded");
    }

    /// A norm or bias as floats.   Errors: as load_matrix.
    std::vector<float> load_vector(std::string_view name) const {
        auto const& t = tensor(name, 1);
        std::vector<float> values(t.cols());
        read_row(t, 0, values);
        detail::check_finite<float>(values, t, 0);
        return values;
    }

    /// The tokenizer that the checkpoint carries.
    /// Errors: io_error where a folder has none that is read; format_error as bitlens::load_tokenizer.
    tokenizer load_tokenizer() const {
        return is_gguf() ? tokenizer::from_gguf(*contents_->gguf) : bitlens::load_tokenizer(path());
    }

private:
    explicit checkpoint(std::shared_ptr<const detail::checkpoint_contents> contents) : contents_(std::move(contents)) {}

    detail::stored_tensor const& tensor(std::string_view name, std::size_t rank) const {
        detail::stored_tensor const* const found = contents_->find(name);
        if (!found) throw format_error(path().string() + ": there is no tensor " + in_quotes(name));
        auto const& t = *found;
        if (t.info.shape.size() != rank || t.number == detail::stored_number::unreadable)
            throw format_error(t.who() + ": a readable tensor of rank " + std::to_string(rank) + " is expected, " +
                               t.info.type + " of shape " + shape_text(t.info.shape) + " was found");
        return t;
    }

    /// Row r, in Hugging Face order, as floats.
    void read_row(detail::stored_tensor const& t, std::size_t r, std::span<float> to) const {
        if (t.blocks) {
            contents_->gguf->decode_rows(*t.blocks, t.stored_row(r), 1, {to.data(), 1, to.size()});
            return;
        }
        const auto copy = [&]<class T>(T) {
            std::byte const* from = t.bytes.data() + r * t.cols() * sizeof(T);
            for (std::size_t i = 0; i < to.size(); ++i) {
                T x;
                std::memcpy(&x, from + i * sizeof(T), sizeof(T));
                to[i] = static_cast<float>(x);
            }
        };
        if (t.number == detail::stored_number::f16)
            copy(f16{});
        else if (t.number == detail::stored_number::bf16)
            copy(bf16{});
        else
            copy(float{});
    }

    packed_matrix<dense<float>> decoded(detail::stored_tensor const& t) const {
        packed_matrix<dense<float>> m(t.rows(), t.cols());
        for (std::size_t r = 0; r < t.rows(); ++r) {
            read_row(t, r, m.writable_row(r));
            detail::check_finite<float>(m.row(r), t, r);
        }
        return m;
    }

    /// The numbers in their stored type T, borrowed if possible.
    template <class T>
    packed_matrix<dense<T>> stored(detail::stored_tensor const& t) const {
        const auto make = [&] {
            const auto address = reinterpret_cast<std::uintptr_t>(t.bytes.data());
            if (t.interleaved_head == 0 && address % alignof(T) == 0)
                return packed_matrix<dense<T>>(
                    t.mapping, matrix_view<const T>(reinterpret_cast<T const*>(t.bytes.data()), t.rows(), t.cols()));
            packed_matrix<dense<T>> own(t.rows(), t.cols());
            const std::size_t row_bytes = t.cols() * sizeof(T);
            for (std::size_t r = 0; r < t.rows(); ++r)
                std::memcpy(own.writable_row(r).data(), t.bytes.data() + t.stored_row(r) * row_bytes, row_bytes);
            return own;
        };
        auto m = make();
        for (std::size_t r = 0; r < m.rows(); ++r) detail::check_finite<T>(m.row(r), t, r);
        return m;
    }

    std::shared_ptr<const detail::checkpoint_contents> contents_;
};

/// The blocks of a checkpoint, loaded when asked for. With `keep_resident` each is loaded once and kept; without, only
/// the last one is, which all variants of a sweep ask for in turn, so that a model larger than memory streams from its
/// mapped files.
template <class W>
class checkpoint_layers final : public layer_source<W> {
public:
    checkpoint_layers(checkpoint source, bool keep_resident)
        : source_(std::move(source)), keeps_all_(keep_resident), blocks_(keep_resident ? source_.config().layers : 1) {}

    /// Errors: shape_error for a layer that is not there; as load_matrix and load_vector.
    block_weights<W> layer(std::size_t k) override {
        if (k >= source_.config().layers)
            throw shape_error(source_.path().string() + ": layer " + std::to_string(k) + " is asked of " +
                              std::to_string(source_.config().layers) + " layers");
        block_weights<W>& place = keeps_all_ ? blocks_[k] : blocks_[0];
        if (!keeps_all_ && last_ != k) place = {};
        if (!place.rest) place = load(k);
        last_ = k;
        return place;
    }

private:
    block_weights<W> load(std::size_t k) const {
        block_weights<W> w;
        for (std::size_t i = 0; i < projection_count; ++i)
            w.linear[i] =
                std::make_shared<const W>(source_.load_matrix<W>(detail::weight_name(k, static_cast<projection>(i))));
        norms_and_biases rest;
        rest.attn_norm = source_.load_vector(detail::attn_norm_name(k));
        rest.mlp_norm = source_.load_vector(detail::mlp_norm_name(k));
        visit_architecture(source_.config(), [&]<class Architecture>(Architecture) {
            if constexpr (Architecture::qkv_bias) {
                rest.q_bias = source_.load_vector(detail::bias_name(k, projection::q));
                rest.k_bias = source_.load_vector(detail::bias_name(k, projection::k));
                rest.v_bias = source_.load_vector(detail::bias_name(k, projection::v));
            }
        });
        w.rest = std::make_shared<const norms_and_biases>(std::move(rest));
        return w;
    }

    checkpoint source_;
    bool keeps_all_;
    std::vector<block_weights<W>> blocks_;
    std::size_t last_ = 0;
};

} // namespace bitlens
