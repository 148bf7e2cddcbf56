#pragma once
/// model_config: the sizes of a model, read from config.json or from GGUF metadata. What could change a result and is
/// not understood is a problem, never ignored.

#include "bitlens/core/error.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/models/architectures.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What a checkpoint says about its model.
struct model_config {
    std::string architecture; // name of one of the types in architectures.hpp
    std::size_t layers = 0, vocabulary = 0;
    std::size_t context = 0; // positions it was trained for; nothing is cut there
    block_shape block;
    bool tied_head = false; // the head is the embedding

    bool operator==(model_config const&) const = default;
};

/// f(llama{}) or f(qwen2{}) …   Errors: format_error for another architecture, listing those that exist.
template <class F>
decltype(auto) visit_architecture(model_config const& config, F const& f) {
    return visit_architecture(std::string_view(config.architecture), f);
}

/// Everything that is wrong with a checkpoint, one sentence each. `inspect` shows all, a loader throws the first.
class problem_list {
public:
    /// Runs f and keeps the text of a format_error, so that the next check still runs.
    template <class F>
    void collect(F const& f) {
        try {
            f();
        } catch (format_error const& e) {
            add(e.what());
        }
    }
    void add(std::string text) { texts_.push_back(std::move(text)); }
    std::vector<std::string> const& texts() const noexcept { return texts_; }
    bool empty() const noexcept { return texts_.empty(); }

private:
    std::vector<std::string> texts_;
};

namespace detail {

/// Larger than any size of a model, small enough that the product of two is no overflow.
inline constexpr std::size_t largest_size = std::size_t{1} << 30;

inline bool contains(std::span<const std::string_view> all, std::string_view one) {
    return std::ranges::find(all, one) != all.end();
}

} // namespace detail

/// Checks that the sizes make a model: every one positive, query heads a multiple of key heads, an even head_dim,
/// ε and θ positive.
inline void check_config(model_config const& c, std::string const& who, problem_list& problems) {
    auto const& b = c.block;
    const auto wrong = [&](std::string_view what, std::string const& found) {
        problems.add(who + ": " + std::string(what) + " is expected, " + found + " was found");
    };
    const std::array<std::pair<std::string_view, std::size_t>, 8> sizes{{{"layers", c.layers},
                                                                         {"vocabulary", c.vocabulary},
                                                                         {"context", c.context},
                                                                         {"hidden size", b.width},
                                                                         {"attention heads", b.heads},
                                                                         {"key and value heads", b.kv_heads},
                                                                         {"head dimension", b.head_dim},
                                                                         {"feed-forward size", b.ffn_width}}};
    for (auto const& [name, size] : sizes)
        if (size == 0 || size > detail::largest_size)
            wrong("a number of " + std::string(name) + " from 1 to 2^30", std::to_string(size));
    if (b.kv_heads != 0 && b.heads % b.kv_heads != 0)
        wrong("a number of attention heads that is a multiple of the " + std::to_string(b.kv_heads) +
                  " key and value heads",
              std::to_string(b.heads));
    if (b.head_dim % 2 != 0) wrong("an even head dimension (rotary embedding turns pairs)", std::to_string(b.head_dim));
    if (!(b.norm_eps > 0) || !std::isfinite(b.norm_eps))
        wrong("a positive epsilon of the norms", std::to_string(b.norm_eps));
    if (!(b.rope_theta > 0) || !std::isfinite(b.rope_theta))
        wrong("a positive rope theta", std::to_string(b.rope_theta));
}

namespace detail {

/// Keys of config.json that cannot change what the model computes: defaults of training, generation and bookkeeping.
inline constexpr std::array<std::string_view, 39> harmless_config_keys{"_attn_implementation_autoset",
                                                                       "_name_or_path",
                                                                       "add_cross_attention",
                                                                       "architectures",
                                                                       "attention_dropout",
                                                                       "bos_token_id",
                                                                       "chunk_size_feed_forward",
                                                                       "cross_attention_hidden_size",
                                                                       "decoder_start_token_id",
                                                                       "dtype",
                                                                       "eos_token_id",
                                                                       "finetuning_task",
                                                                       "hidden_dropout",
                                                                       "id2label",
                                                                       "initializer_range",
                                                                       "is_decoder",
                                                                       "is_encoder_decoder",
                                                                       "is_llama_config",
                                                                       "label2id",
                                                                       "max_position_embeddings",
                                                                       "model_type",
                                                                       "output_attentions",
                                                                       "output_hidden_states",
                                                                       "pad_token_id",
                                                                       "prefix",
                                                                       "pretraining_tp",
                                                                       "problem_type",
                                                                       "return_dict",
                                                                       "sep_token_id",
                                                                       "task_specific_params",
                                                                       "tokenizer_class",
                                                                       "torch_dtype",
                                                                       "torchscript",
                                                                       "transformers.js_config",
                                                                       "transformers_version",
                                                                       "unsloth_fixed",
                                                                       "unsloth_version",
                                                                       "use_bfloat16",
                                                                       "use_cache"};

/// Keys that this reader understands.
inline constexpr std::array<std::string_view, 21> read_config_keys{
    "attention_bias",      "head_dim",          "hidden_act",          "hidden_size",
    "intermediate_size",   "layer_types",       "max_window_layers",   "mlp_bias",
    "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "partial_rotary_factor",
    "rms_norm_eps",        "rope_interleaved",  "rope_parameters",     "rope_scaling",
    "rope_theta",          "sliding_window",    "tie_word_embeddings", "use_sliding_window",
    "vocab_size"};

/// Reads one config.json, problem by problem.
class config_json_reader {
public:
    config_json_reader(json const& file, std::string who, problem_list& problems)
        : file_(file), who_(std::move(who)), problems_(problems) {}

    model_config read() {
        model_config c;
        problems_.collect([&] { c.architecture = required<std::string>(file_, "model_type", who_); });
        if (!c.architecture.empty()) problems_.collect([&] { check_architecture(c); });
        size("num_hidden_layers", c.layers);
        size("vocab_size", c.vocabulary);
        size("max_position_embeddings", c.context);
        size("hidden_size", c.block.width);
        size("intermediate_size", c.block.ffn_width);
        size("num_attention_heads", c.block.heads);
        c.block.kv_heads = c.block.heads; // before grouped heads there was no such key
        problems_.collect([&] {
            if (const auto n = if_present<std::size_t>(file_, "num_key_value_heads", who_)) c.block.kv_heads = *n;
        });
        problems_.collect([&] { c.block.head_dim = head_dim(c.block); });
        problems_.collect([&] { c.block.norm_eps = required<float>(file_, "rms_norm_eps", who_); });
        problems_.collect([&] { c.block.rope_theta = rope_theta(); });
        problems_.collect([&] {
            // Both families say false where they say nothing.
            c.tied_head = if_present<bool>(file_, "tie_word_embeddings", who_).value_or(false);
        });
        refuse_what_changes_results();
        for (auto const& item : file_.items())
            if (!item.value().is_null() && !contains(harmless_config_keys, item.key()) &&
                !contains(read_config_keys, item.key()))
                problems_.add(who_ + ": the key " + in_quotes(item.key()) +
                              " is not known, and could change what the model computes");
        return c;
    }

private:
    void size(std::string_view key, std::size_t& to) {
        problems_.collect([&] { to = required<std::size_t>(file_, key, who_); });
    }

    void check_architecture(model_config const& c) const {
        visit_architecture(c, [&]<class Architecture>(Architecture) {
            const auto classes = if_present<std::vector<std::string>>(file_, "architectures", who_);
            if (classes && std::ranges::find(*classes, Architecture::hugging_face_class) == classes->end())
                throw format_error(who_ + ": key \"architectures\": " + std::string(Architecture::hugging_face_class) +
                                   " is expected, " + (classes->empty() ? "nothing" : in_quotes(classes->front())) +
                                   " was found");
        });
    }

    std::size_t head_dim(block_shape const& b) const {
        if (const auto n = if_present<std::size_t>(file_, "head_dim", who_)) return *n;
        if (b.heads == 0 || b.width % b.heads != 0)
            throw format_error(who_ + ": without a head_dim, num_attention_heads must divide hidden_size; " +
                               std::to_string(b.heads) + " and " + std::to_string(b.width) + " were found");
        return b.width / b.heads;
    }

    /// transformers 4 writes rope_theta and rope_scaling, transformers 5 rope_parameters with both.
    double rope_theta() {
        constexpr double usual = 10000.0; // of both families, where nothing is said
        std::optional<double> theta = if_present<double>(file_, "rope_theta", who_);
        for (std::string_view key : {"rope_scaling", "rope_parameters"}) {
            json const* const rope = find_object(file_, key, who_);
            if (!rope) continue;
            const std::string who = who_ + ": " + std::string(key);
            for (auto const& item : rope->items()) {
                if (item.key() == "rope_theta") {
                    const auto inner = required<double>(*rope, "rope_theta", who);
                    if (theta && *theta != inner)
                        throw format_error(who + ": rope_theta " + std::to_string(inner) + " and elsewhere " +
                                           std::to_string(*theta));
                    theta = inner;
                } else if (item.key() == "type" || item.key() == "rope_type") {
                    const auto type = required<std::string>(*rope, item.key(), who);
                    if (type != "default")
                        throw format_error(who + ": rope scaling of type " + in_quotes(type) +
                                           " is not supported; only \"default\" is");
                } else if (item.key() == "partial_rotary_factor") {
                    refuse_partial_rotation(*rope, who);
                } else if (!item.value().is_null()) {
                    throw format_error(who + ": the key " + in_quotes(item.key()) + " is not known");
                }
            }
        }
        return theta.value_or(usual);
    }

    static void refuse_partial_rotation(json const& where, std::string const& who) {
        const auto factor = if_present<double>(where, "partial_rotary_factor", who);
        if (factor && *factor != 1)
            throw format_error(who + ": partial_rotary_factor " + std::to_string(*factor) +
                               " is not supported; only 1 is");
    }

    void refuse_true(std::string_view key) {
        problems_.collect([&] {
            if (if_present<bool>(file_, key, who_).value_or(false))
                throw format_error(who_ + ": " + std::string(key) + " is true, which is not supported");
        });
    }

    void refuse_what_changes_results() {
        for (std::string_view key : {"attention_bias", "mlp_bias", "rope_interleaved", "use_sliding_window"})
            refuse_true(key);
        problems_.collect([&] { refuse_partial_rotation(file_, who_); });
        problems_.collect([&] {
            const auto activation = required<std::string>(file_, "hidden_act", who_);
            if (activation != "silu")
                throw format_error(who_ + ": hidden_act " + in_quotes(activation) +
                                   " is not supported; only \"silu\" is");
        });
        problems_.collect([&] {
            for (auto const& type :
                 if_present<std::vector<std::string>>(file_, "layer_types", who_).value_or(std::vector<std::string>{}))
                if (type != "full_attention")
                    throw format_error(who_ + ": layer_types: " + in_quotes(type) +
                                       " is not supported; only \"full_attention\" is");
        });
        problems_.collect([&] { // qwen2 names a window beside use_sliding_window: false
            const bool has_switch = find_value(file_, "use_sliding_window", who_) != nullptr;
            if (!has_switch && find_value(file_, "sliding_window", who_))
                throw format_error(who_ + ": sliding_window is set, which is not supported");
        });
    }

    json const& file_;
    std::string who_;
    problem_list& problems_;
};

/// Keys of GGUF metadata below "<architecture>." that this reader understands or that change nothing.
inline constexpr std::array<std::string_view, 14> read_gguf_keys{"attention.head_count",
                                                                 "attention.head_count_kv",
                                                                 "attention.key_length",
                                                                 "attention.layer_norm_rms_epsilon",
                                                                 "attention.sliding_window",
                                                                 "attention.value_length",
                                                                 "block_count",
                                                                 "context_length",
                                                                 "embedding_length",
                                                                 "feed_forward_length",
                                                                 "rope.dimension_count",
                                                                 "rope.freq_base",
                                                                 "rope.scaling.type",
                                                                 "vocab_size"};

class config_gguf_reader {
public:
    config_gguf_reader(gguf_file const& file, problem_list& problems)
        : file_(file), who_(file.path().string()), problems_(problems) {}

    model_config read() {
        model_config c;
        problems_.collect([&] {
            c.architecture = file_.required<std::string>("general.architecture");
            visit_architecture(c, [](auto) {});
        });
        prefix_ = c.architecture + ".";
        if (c.architecture.empty()) return c;
        problems_.collect([&] { c.layers = file_.required<std::size_t>(key("block_count")); });
        problems_.collect([&] { c.context = file_.required<std::size_t>(key("context_length")); });
        problems_.collect([&] { c.block.width = file_.required<std::size_t>(key("embedding_length")); });
        problems_.collect([&] { c.block.ffn_width = per_layer("feed_forward_length"); });
        problems_.collect([&] { c.block.heads = per_layer("attention.head_count"); });
        c.block.kv_heads = c.block.heads;
        problems_.collect([&] {
            if (file_.find_value(key("attention.head_count_kv")))
                c.block.kv_heads = per_layer("attention.head_count_kv");
        });
        problems_.collect([&] { c.block.head_dim = head_dim(c.block); });
        problems_.collect([&] { c.block.norm_eps = file_.required<float>(key("attention.layer_norm_rms_epsilon")); });
        problems_.collect(
            [&] { c.block.rope_theta = double{file_.if_present<float>(key("rope.freq_base")).value_or(10000.0f)}; });
        problems_.collect([&] {
            gguf_tensor const* const embedding = file_.find("token_embd.weight");
            c.vocabulary = file_.if_present<std::size_t>(key("vocab_size")).value_or(embedding ? embedding->rows() : 0);
        });
        c.tied_head = file_.find("output.weight") == nullptr;
        refuse_what_changes_results();
        return c;
    }

private:
    std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }

    /// A number, or an array with the same number for every layer.
    std::size_t per_layer(std::string_view suffix) const {
        const auto name = key(suffix);
        gguf_value const* const value = file_.find_value(name);
        if (!value || value->type != gguf_type::array) return file_.required<std::size_t>(name);
        const auto all = file_.required<std::vector<std::size_t>>(name);
        if (all.empty() || std::ranges::adjacent_find(all, std::ranges::not_equal_to{}) != all.end())
            throw format_error(who_ + ": key " + in_quotes(name) + ": layers of different sizes are not supported");
        return all.front();
    }

    std::size_t head_dim(block_shape const& b) const {
        const auto key_length = file_.if_present<std::size_t>(key("attention.key_length"));
        if (!key_length && (b.heads == 0 || b.width % b.heads != 0))
            throw format_error(who_ + ": without attention.key_length, head_count must divide embedding_length; " +
                               std::to_string(b.heads) + " and " + std::to_string(b.width) + " were found");
        const std::size_t head_dim = key_length ? *key_length : b.width / b.heads;
        for (std::string_view suffix : {"attention.value_length", "rope.dimension_count"})
            if (const auto other = file_.if_present<std::size_t>(key(suffix)); other && *other != head_dim)
                throw format_error(who_ + ": key " + in_quotes(key(suffix)) + ": " + std::to_string(head_dim) +
                                   " is expected, as long as a head's keys; " + std::to_string(*other) + " was found");
        return head_dim;
    }

    void refuse_what_changes_results() {
        problems_.collect([&] {
            const auto scaling = file_.if_present<std::string>(key("rope.scaling.type"));
            if (scaling && *scaling != "none")
                throw format_error(who_ + ": rope scaling of type " + in_quotes(*scaling) +
                                   " is not supported; only \"none\" is");
        });
        problems_.collect([&] {
            if (file_.if_present<std::uint64_t>(key("attention.sliding_window")).value_or(0) != 0)
                throw format_error(who_ + ": a sliding window is not supported");
        });
        for (auto const& value : file_.metadata())
            if (value.key.starts_with(prefix_) && !contains(read_gguf_keys, value.key.substr(prefix_.size())))
                problems_.add(who_ + ": the key " + in_quotes(value.key) +
                              " is not known, and could change what the model computes");
    }

    gguf_file const& file_;
    std::string who_, prefix_;
    problem_list& problems_;
};

} // namespace detail

/// The configuration in a config.json as transformers 4 and 5 write it; `who` is its path. What is wrong goes to
/// `problems`, and the rest is still read.
inline model_config read_config(json const& file, std::string const& who, problem_list& problems) {
    model_config c;
    problems.collect([&] {
        detail::expect_object(file, who);
        const std::size_t before = problems.texts().size();
        c = detail::config_json_reader(file, who, problems).read();
        if (problems.texts().size() == before) check_config(c, who, problems);
    });
    return c;
}

/// The configuration in the metadata of a GGUF file; problems as above.
inline model_config read_config(gguf_file const& file, problem_list& problems) {
    const std::size_t before = problems.texts().size();
    const auto c = detail::config_gguf_reader(file, problems).read();
    if (problems.texts().size() == before) check_config(c, file.path().string(), problems);
    return c;
}

} // namespace bitlens
