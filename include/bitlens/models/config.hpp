#pragma once
/// model_config: the sizes of a model, read from config.json or from GGUF metadata. What could change a result and is
/// not understood is a problem, never ignored.

#include "bitlens/core/error.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/config_keys.hpp"

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
    /// Runs f and keeps the text of an error, so that the next check still runs.
    template <class Error = format_error, class F>
    void collect(F const& f) {
        try {
            f();
        } catch (option_error const&) {
            throw; // what was asked for is wrong, not what was found
        } catch (Error const& e) {
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

/// What a checkpoint of quantized weights says of them; nothing where it says that they are not quantized.
/// `method` is what to call it where the description does not.
inline std::optional<std::string> quantization_text(json const& description, std::string_view method) {
    if (description.empty() || description == false) return std::nullopt; // null, {} and [] are empty
    std::string text = "weights quantized by " + std::string(method);
    if (description.is_object()) {
        const auto is = [&](const char* key, bool value) {
            const auto place = description.find(key);
            return place != description.end() && *place == value;
        };
        if (is("load_in_4bit", false) && is("load_in_8bit", false)) return std::nullopt; // bitsandbytes, switched off
        const auto name = description.find("quant_method");
        if (name != description.end() && name->is_string())
            text = "weights quantized by " + in_quotes(name->get_ref<std::string const&>());
        constexpr std::array<std::string_view, 5> bits{"bits", "w_bit", "nbits", "num_bits", "weight_bits"};
        constexpr std::array<std::string_view, 2> group{"group_size", "q_group_size"};
        if (is("load_in_4bit", true))
            text += " to 4 bits";
        else if (is("load_in_8bit", true))
            text += " to 8 bits";
        else if (json const* const n = find_below(description, bits); n && n->is_number())
            text += " to " + found_text(*n) + " bits";
        if (json const* const n = find_below(description, group); n && n->is_number_integer() && *n > 0) // −1: rows
            text += " in groups of " + found_text(*n);
    }
    return text + " are not read yet; the model in full precision that they were made from is, and so is GGUF";
}

inline std::string not_neutral(std::string_view key, std::string const& found, neutral values) {
    return std::string(key) + " is " + found + ", which is not supported; only " + std::string(name(values)) + " is";
}

/// The end of every refusal of a key that is not known.
inline std::string way_past(std::string const& key, std::string const& found) {
    return " is not known, and could change what the model computes (its value is " + found + "); --allow-key " +
           in_quotes(key) + " passes over it";
}

/// Checks that the keys to be passed over are there, and unknown.   Errors: option_error.
template <class Occurs, class IsKnown>
void check_allowed_keys(std::span<const std::string> allowed, std::string const& who, Occurs const& occurs,
                        IsKnown const& is_known) {
    for (auto const& key : allowed) {
        if (!occurs(key))
            throw option_error(who + ": there is no key " + in_quotes(key) + " that could be passed over");
        if (is_known(key)) throw option_error(who + ": the key " + in_quotes(key) + " is known, and not passed over");
    }
}

/// Reads one config.json, problem by problem.
class config_json_reader {
public:
    config_json_reader(json const& file, std::string who, std::span<const std::string> allowed, problem_list& problems)
        : file_(file), who_(std::move(who)), allowed_(allowed), problems_(problems) {}

    model_config read() {
        model_config c;
        problems_.collect([&] { c.architecture = required<std::string>(file_, "model_type", who_); });
        const bool is_foreign = !c.architecture.empty() && !is_architecture(c.architecture);
        if (is_foreign) problems_.add(foreign_architecture(c.architecture));
        refuse_quantization();
        if (is_foreign) { // whatever else it says, it says of another model
            problem_list unsaid;
            config_json_reader(file_, who_, {}, unsaid).read_sizes(c);
            return c;
        }
        if (!c.architecture.empty()) problems_.collect([&] { check_class(c); });
        read_sizes(c);
        fill_in(c);
        refuse_what_changes_results(c);
        for (auto const& [key, value] : file_.items())
            if (!is_known_config_key(key)) refuse_unknown(key, value);
        check_allowed_keys(
            allowed_, who_, [&](std::string const& key) { return occurs(key); },
            [](std::string const& key) { return is_known(key); });
        return c;
    }

private:
    static constexpr std::array<std::string_view, 2> rope_keys{"rope_scaling", "rope_parameters"};

    void size(std::string_view key, std::size_t& to) {
        problems_.collect([&] { to = required<std::size_t>(file_, key, who_); });
    }

    /// What the file states; the rest stays as it is.
    void read_sizes(model_config& c) {
        size("num_hidden_layers", c.layers);
        size("vocab_size", c.vocabulary);
        size("max_position_embeddings", c.context);
        size("hidden_size", c.block.width);
        size("intermediate_size", c.block.ffn_width);
        size("num_attention_heads", c.block.heads);
        problems_.collect([&] {
            if (const auto n = if_present<std::size_t>(file_, "num_key_value_heads", who_)) c.block.kv_heads = *n;
        });
        problems_.collect([&] {
            if (const auto n = if_present<std::size_t>(file_, "head_dim", who_)) c.block.head_dim = *n;
        });
        problems_.collect([&] { c.block.norm_eps = required<float>(file_, "rms_norm_eps", who_); });
        problems_.collect([&] {
            if (const auto theta = stated_theta()) c.block.rope_theta = *theta;
        });
        problems_.collect([&] {
            // Both families say false where they say nothing.
            c.tied_head = if_present<bool>(file_, "tie_word_embeddings", who_).value_or(false);
        });
    }

    bool says(std::string_view key) const { return find_value(file_, key, who_) != nullptr; }

    /// What both families take where a file says nothing.
    void fill_in(model_config& c) {
        if (!says("num_key_value_heads"))
            c.block.kv_heads = c.block.heads; // before grouped heads there was no such key
        if (!says("head_dim")) problems_.collect([&] { c.block.head_dim = usual_head_dim(c.block); });
        const auto states_theta = [&](std::string_view key) {
            const auto rope = file_.find(key);
            return rope != file_.end() && rope->is_object() && rope->contains("rope_theta");
        };
        if (!says("rope_theta") && std::ranges::none_of(rope_keys, states_theta)) c.block.rope_theta = 10000.0;
    }

    std::size_t usual_head_dim(block_shape const& b) const {
        if (b.heads == 0 || b.width % b.heads != 0)
            throw format_error(who_ + ": without a head_dim, num_attention_heads must divide hidden_size; " +
                               std::to_string(b.heads) + " and " + std::to_string(b.width) + " were found");
        return b.width / b.heads;
    }

    /// Of a model_type that is not among the architectures: what it is, if that can be told.
    std::string foreign_architecture(std::string const& name) const {
        std::string text = who_ + ": ";
        try {
            visit_architecture(name, [](auto) {});
        } catch (format_error const& e) {
            text += e.what();
        }
        const auto has = [&](const char* key) { return file_.contains(key); };
        if (const auto inner = file_.find("text_config"); inner != file_.end()) {
            text += "; this one wraps a language model (text_config";
            if (inner->is_object())
                if (const auto type = inner->find("model_type"); type != inner->end() && type->is_string())
                    text += ", of type " + found_text(*type);
            return text + ") beside models of other things than text";
        }
        if (has("vision_config") || has("audio_config") || has("llm_config"))
            return text + "; this one is a model of other things than text too";
        if (const auto two = file_.find("is_encoder_decoder"); two != file_.end() && *two == true)
            return text + "; this one is an encoder with a decoder";
        const auto classes = file_.find("architectures");
        if (classes == file_.end() || !classes->is_array() || classes->empty() || !classes->front().is_string())
            return text;
        auto const& first = classes->front().get_ref<std::string const&>();
        if (first.ends_with("ForCausalLM") || first.ends_with("LMHeadModel")) return text;
        return text + "; this one (" + in_quotes(first) + ") does not predict the next token";
    }

    void check_class(model_config const& c) const {
        visit_architecture(c, [&]<class Architecture>(Architecture) {
            const auto classes = if_present<std::vector<std::string>>(file_, "architectures", who_);
            if (classes && std::ranges::find(*classes, Architecture::hugging_face_class) == classes->end())
                throw format_error(who_ + ": key \"architectures\": " + std::string(Architecture::hugging_face_class) +
                                   " is expected, " + (classes->empty() ? "nothing" : in_quotes(classes->front())) +
                                   " was found");
        });
    }

    void refuse_quantization() {
        for (std::string_view key : {"quantization_config", "compression_config", "quantization"}) {
            const auto place = file_.find(key);
            if (place == file_.end()) continue;
            const auto text = quantization_text(*place, key == "quantization" ? "MLX" : "a method without a name");
            if (!text) continue;
            problems_.add(who_ + ": key " + in_quotes(key) + ": " + *text);
            return;
        }
    }

    /// transformers 4 writes rope_theta and rope_scaling, transformers 5 rope_parameters with both.
    std::optional<double> stated_theta() const {
        std::optional<double> theta = if_present<double>(file_, "rope_theta", who_);
        for (std::string_view key : rope_keys) {
            json const* const rope = find_object(file_, key, who_);
            if (!rope) continue;
            const std::string who = who_ + ": " + std::string(key);
            const auto inner = if_present<double>(*rope, "rope_theta", who);
            if (theta && inner && *theta != *inner)
                throw format_error(who + ": rope_theta " + std::to_string(*inner) + " and elsewhere " +
                                   std::to_string(*theta));
            if (inner) theta = inner;
        }
        return theta;
    }

    /// Errors: format_error for a scaling that changes a frequency.
    static void refuse_scaling(json const& rope, std::string const& who) {
        constexpr std::array<std::string_view, 3> same_by_one{"linear", "llama3", "yarn"};
        auto type = if_present<std::string>(rope, "rope_type", who); // before "type", where both are
        if (!type) type = if_present<std::string>(rope, "type", who);
        const auto factor = if_present<double>(rope, "factor", who);
        const bool is_one = factor && *factor == 1;
        const bool is_none = !type || *type == "default";
        if (is_none ? factor && !is_one : !(is_one && contains(same_by_one, *type)))
            throw format_error(who + ": rope scaling " + (type ? "of type " + in_quotes(*type) : "without a type") +
                               " is not supported yet" +
                               (factor ? " (its factor is " + found_text(rope["factor"]) + ")" : "") +
                               "; only \"default\" is, and \"linear\", \"llama3\" or \"yarn\" by a factor of 1");
        for (const char* key : {"attention_factor", "partial_rotary_factor"})
            if (json const* const value = find_value(rope, key, who); value && !is_neutral(*value, neutral::one))
                throw format_error(who + ": " + not_neutral(key, found_text(*value), neutral::one));
    }

    void refuse_rope_scaling() {
        for (std::string_view key : rope_keys)
            problems_.collect([&] {
                json const* const rope = find_object(file_, key, who_);
                if (!rope) return;
                refuse_scaling(*rope, who_ + ": " + std::string(key));
                for (auto const& [inner, value] : rope->items())
                    if (!contains(read_rope_keys, inner)) refuse_unknown(std::string(key) + "." + inner, value);
            });
    }

    void refuse_unknown(std::string const& key, json const& value) {
        if (!value.is_null() && std::ranges::find(allowed_, key) == allowed_.end())
            problems_.add(who_ + ": the key " + in_quotes(key) + way_past(key, found_text(value)));
    }

    /// f(object, its key) for a key or for "rope_scaling.<key>".
    template <class F>
    static bool with_rope_key(std::string_view path, F const& f) {
        for (std::string_view rope : rope_keys)
            if (path.size() > rope.size() && path.starts_with(rope) && path[rope.size()] == '.')
                return f(rope, path.substr(rope.size() + 1));
        return false;
    }
    bool occurs(std::string const& key) const {
        return file_.contains(key) || with_rope_key(key, [&](std::string_view rope, std::string_view inner) {
                   const auto object = file_.find(rope);
                   return object != file_.end() && object->is_object() && object->contains(inner);
               });
    }
    static bool is_known(std::string const& key) {
        return is_known_config_key(key) || with_rope_key(key, [](std::string_view, std::string_view inner) {
                   return contains(read_rope_keys, inner);
               });
    }

    void refuse_what_changes_results(model_config const& c) {
        for (auto const& [key, values] : neutral_config_keys)
            if (json const* const value = find_value(file_, key, who_); value && !is_neutral(*value, values))
                problems_.add(who_ + ": " + not_neutral(key, found_text(*value), values));
        refuse_rope_scaling();
        problems_.collect([&] {
            const auto activation = required<std::string>(file_, "hidden_act", who_);
            if (activation != "silu" && activation != "swish") // two names of one function
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
        // qwen2 has a window of which its switch, false where nothing is said, makes no use.
        json const* const window = find_value(file_, "sliding_window", who_);
        if (window && c.architecture != qwen2::name && !says("use_sliding_window"))
            problems_.add(who_ + ": sliding_window is set, to " + found_text(*window) +
                          ", which is not supported; only null is");
    }

    json const& file_;
    std::string who_;
    std::span<const std::string> allowed_;
    problem_list& problems_;
};

/// Of a GGUF file: by what the frequencies of rope are divided. Ones divide by nothing.
inline constexpr std::string_view rope_divisors_name = "rope_freqs.weight";

class config_gguf_reader {
public:
    config_gguf_reader(gguf_file const& file, std::span<const std::string> allowed, problem_list& problems)
        : file_(file), who_(file.path().string()), allowed_(allowed), problems_(problems) {}

    model_config read() {
        model_config c;
        if (const auto part = part_of_a_model()) {
            problems_.add(who_ + ": " + *part);
            return c;
        }
        problems_.collect([&] { c.architecture = file_.required<std::string>("general.architecture"); });
        if (c.architecture.empty()) return c;
        prefix_ = c.architecture + ".";
        if (!is_architecture(c.architecture)) { // whatever else it says, it says of another model
            problems_.collect([&] { refuse_architecture(c.architecture); });
            problem_list unsaid;
            config_gguf_reader other(file_, {}, unsaid);
            other.prefix_ = prefix_;
            other.read_sizes(c);
            return c;
        }
        read_sizes(c);
        if (!file_.find_value(key("attention.head_count_kv"))) c.block.kv_heads = c.block.heads;
        problems_.collect([&] { c.block.head_dim = head_dim(c.block); });
        if (!file_.find_value(key("rope.freq_base"))) c.block.rope_theta = 10000.0;
        c.tied_head = file_.find("output.weight") == nullptr;
        refuse_what_changes_results();
        check_allowed_keys(
            allowed_, who_, [&](std::string const& name) { return file_.find_value(name) != nullptr; },
            [&](std::string const& name) {
                return !name.starts_with(prefix_) || is_known_gguf_key(std::string_view(name).substr(prefix_.size()));
            });
        return c;
    }

private:
    std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }

    void refuse_architecture(std::string const& name) const {
        try {
            visit_architecture(name, [](auto) {});
        } catch (format_error const& e) {
            throw format_error(who_ + ": " + e.what());
        }
    }

    /// What the file is where it is no model; nothing where it is one.
    std::optional<std::string> part_of_a_model() const {
        const auto text = [&](std::string_view name) -> std::string {
            gguf_value const* const value = file_.find_value(name);
            return value && value->type == gguf_type::string ? file_.required<std::string>(name) : "";
        };
        const std::string type = text("general.type"), architecture = text("general.architecture");
        const std::string wanted = "; the file of the language model itself is expected";
        if (type == "mmproj" || architecture == "clip")
            return "this is the encoder of images or sound of a model (mmproj)" + wanted;
        if (type == "adapter" || file_.find_value("adapter.type"))
            return "this is an adapter (LoRA), which changes a model and is none; merge it into its model first";
        if (!type.empty() && type != "model") return "key \"general.type\": " + in_quotes(type) + " was found" + wanted;
        if (file_.tensors().empty() && file_.find_value("tokenizer.ggml.tokens"))
            return "this is a vocabulary without tensors" + wanted;
        return std::nullopt;
    }

    /// What the file states; the rest stays as it is.
    void read_sizes(model_config& c) {
        problems_.collect([&] { c.layers = file_.required<std::size_t>(key("block_count")); });
        problems_.collect([&] { c.context = file_.required<std::size_t>(key("context_length")); });
        problems_.collect([&] { c.block.width = file_.required<std::size_t>(key("embedding_length")); });
        problems_.collect([&] { c.block.ffn_width = per_layer("feed_forward_length"); });
        problems_.collect([&] { c.block.heads = per_layer("attention.head_count"); });
        problems_.collect([&] {
            if (file_.find_value(key("attention.head_count_kv")))
                c.block.kv_heads = per_layer("attention.head_count_kv");
        });
        problems_.collect([&] {
            if (const auto n = file_.if_present<std::size_t>(key("attention.key_length"))) c.block.head_dim = *n;
        });
        problems_.collect([&] { c.block.norm_eps = file_.required<float>(key("attention.layer_norm_rms_epsilon")); });
        problems_.collect([&] {
            if (const auto theta = file_.if_present<float>(key("rope.freq_base"))) c.block.rope_theta = double{*theta};
        });
        problems_.collect([&] {
            gguf_tensor const* const embedding = file_.find("token_embd.weight");
            c.vocabulary = file_.if_present<std::size_t>(key("vocab_size")).value_or(embedding ? embedding->rows() : 0);
        });
    }

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
        problems_.collect([&] { refuse_scaling(); });
        problems_.collect([&] { refuse_scaling_tensors(); });
        problems_.collect([&] {
            const auto window = file_.if_present<std::uint64_t>(key("attention.sliding_window")).value_or(0);
            if (window != 0)
                throw format_error(who_ + ": a sliding window is not supported; " + std::to_string(window) +
                                   " was found, only 0 is");
        });
        problems_.collect([&] {
            const auto layout = file_.if_present<std::string>(key("tensor_data_layout"));
            // Files say either of the one order that there is.
            if (layout && *layout != "reference" && *layout != "Meta AI original pth")
                throw format_error(who_ + ": key " + in_quotes(key("tensor_data_layout")) + ": " + in_quotes(*layout) +
                                   " is not known; known are \"reference\" and \"Meta AI original pth\"");
        });
        for (auto const& value : file_.metadata())
            if (value.key.starts_with(prefix_)) problems_.collect([&] { refuse_value(value); });
    }

    void refuse_value(gguf_value const& value) {
        const auto suffix = value.key.substr(prefix_.size());
        if (neutral_key const* const known = detail::find(neutral_gguf_keys, suffix)) {
            const auto number = number_of(file_, value);
            if (!number || !is_neutral(*number, known->values))
                problems_.add(who_ + ": " + not_neutral(value.key, found_text(file_, value), known->values));
        } else if (const std::string name(value.key);
                   !is_known_gguf_key(suffix) && std::ranges::find(allowed_, name) == allowed_.end()) {
            problems_.add(who_ + ": the key " + in_quotes(name) + way_past(name, found_text(file_, value)));
        }
    }

    void refuse_scaling() const {
        const auto type = file_.if_present<std::string>(key("rope.scaling.type")).value_or("none");
        gguf_value const* const stored = file_.find_value(key("rope.scaling.factor"));
        const auto factor = stored ? number_of(file_, *stored) : std::nullopt;
        const bool is_one = factor && is_neutral(*factor, neutral::off_or_one);
        if (type == "none" ? !stored || is_one : is_one && (type == "linear" || type == "yarn")) return;
        throw format_error(who_ + ": rope scaling of type " + in_quotes(type) + " is not supported yet" +
                           (stored ? " (its factor is " + found_text(file_, *stored) + ")" : "") +
                           "; only \"none\" is, and \"linear\" or \"yarn\" by a factor of 1");
    }

    /// What else stretches positions is kept as tensors of divisors.
    void refuse_scaling_tensors() const {
        for (auto const& [name, type] :
             std::array<std::pair<std::string_view, const char*>, 3>{{{rope_divisors_name, "llama3"},
                                                                      {"rope_factors_long.weight", "longrope"},
                                                                      {"rope_factors_short.weight", "longrope"}}}) {
            gguf_tensor const* const t = file_.find(name);
            if (!t || (name == rope_divisors_name && holds_ones(*t))) continue;
            throw format_error(who_ + ": tensor " + in_quotes(name) + ": rope scaling of type " + in_quotes(type) +
                               " is not supported yet");
        }
    }
    static bool holds_ones(gguf_tensor const& t) {
        if (t.type->name != "F32") return false;
        for (std::size_t i = 0; i < t.bytes.size(); i += sizeof(float))
            if (load<float>(t.bytes.data() + i) != 1) return false;
        return true;
    }

    gguf_file const& file_;
    std::string who_, prefix_;
    std::span<const std::string> allowed_;
    problem_list& problems_;
};

} // namespace detail

/// The configuration in a config.json as transformers 4 and 5 write it; `who` is its path. What is wrong goes to
/// `problems`, and the rest is still read; of an architecture that is not supported, what it states. Keys that are not
/// known and that `allowed_keys` names are passed over ("rope_scaling.<key>" for one in there).
/// Errors: option_error for an allowed key that does not occur or is known.
inline model_config read_config(json const& file, std::string const& who, problem_list& problems,
                                std::span<const std::string> allowed_keys = {}) {
    model_config c;
    problems.collect([&] {
        detail::expect_object(file, who);
        const std::size_t before = problems.texts().size();
        c = detail::config_json_reader(file, who, allowed_keys, problems).read();
        if (problems.texts().size() == before) check_config(c, who, problems);
    });
    return c;
}

/// The configuration in the metadata of a GGUF file; problems, allowed keys (by their full name) and errors as above.
inline model_config read_config(gguf_file const& file, problem_list& problems,
                                std::span<const std::string> allowed_keys = {}) {
    const std::size_t before = problems.texts().size();
    const auto c = detail::config_gguf_reader(file, allowed_keys, problems).read();
    if (problems.texts().size() == before) check_config(c, file.path().string(), problems);
    return c;
}

} // namespace bitlens
