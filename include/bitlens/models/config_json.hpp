#pragma once
/// The configuration in a config.json as transformers 4 and 5 write it.

#include "bitlens/core/error.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/models/config_json_rope.hpp"
#include "bitlens/models/config_keys.hpp"
#include "bitlens/models/config_quantization.hpp"
#include "bitlens/models/config_reading.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/models/model_family.hpp"

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

/// Reads one config.json, or the part of one that says a model of text, problem by problem.
class config_json_reader {
public:
    /// `path` of `file` within the whole, as in "text_config."; `family` whose configuration it is, or nullptr.
    config_json_reader(json const& file, std::string who, std::string path, model_family const* family,
                       unknown_keys& unknown, problem_list& problems)
        : file_(file), who_(std::move(who)), path_(std::move(path)), family_(family), unknown_(unknown),
          problems_(problems) {}

    /// What the file states, and of a family that is known the rest as its class has it.
    void read(model_config& c) {
        read_sizes(c);
        if (!family_) {
            problems_.collect([&] {
                if (const auto theta = rope_json_reader::stated_theta(file_, who_)) c.ropes[0].theta = *theta;
            });
            return;
        }
        problems_.collect([&] { rope_json_reader(file_, who_, path_, *family_, c, unknown_, unsaid_).read(); });
        problems_.collect([&] { read_windows(c); });
        read_scores(c);
        read_biases(c);
        c.embedding_scale = embedding_scale_of(*family_, c.block.width);
        problems_.collect([&] { check_activation(); });
        refuse_what_changes_results();
        for (auto const& [key, value] : file_.items())
            if (!is_known_config_key(*family_, key))
                unknown_.add(path_ + key, value.is_null() ? "" : found_text(value));
        add_remark(c);
    }

private:
    /// The number that the file states, or else the class of the family.
    template <class T>
    void number(std::string_view key, T& to, T usual) {
        problems_.collect([&] {
            if (file_.contains(key)) {
                to = required<T>(file_, key, who_);
            } else if (family_) {
                to = usual;
                unsaid_.emplace_back(key);
            }
        });
    }

    void read_sizes(model_config& c) {
        const config_defaults usual = family_ ? family_->defaults : config_defaults{};
        number("num_hidden_layers", c.layers, usual.layers);
        number("vocab_size", c.vocabulary, usual.vocabulary);
        number("max_position_embeddings", c.context, usual.context);
        number("hidden_size", c.block.width, usual.width);
        number("intermediate_size", c.block.ffn_width, usual.ffn_width);
        number("num_attention_heads", c.block.heads, usual.heads);
        number("rms_norm_eps", c.block.norm_eps, static_cast<float>(usual.norm_eps));
        problems_.collect([&] { read_kv_heads(c.block, usual.kv_heads); });
        problems_.collect([&] { read_head_dim(c.block, usual.head_dim); });
        problems_.collect(
            [&] { c.tied_head = if_present<bool>(file_, "tie_word_embeddings", who_).value_or(usual.ties_head); });
    }

    void read_kv_heads(block_shape& b, std::size_t usual) {
        constexpr const char* key = "num_key_value_heads";
        if (const auto stated = if_present<std::size_t>(file_, key, who_)) {
            b.kv_heads = *stated;
        } else if (family_) { // null is not absent: one for each head
            b.kv_heads = usual == 0 || file_.contains(key) ? b.heads : usual;
            if (usual != 0 && !file_.contains(key)) unsaid_.emplace_back(key);
        }
    }

    void read_head_dim(block_shape& b, std::size_t usual) {
        if (const auto stated = if_present<std::size_t>(file_, "head_dim", who_)) {
            b.head_dim = *stated;
        } else if (family_ && usual != 0) {
            b.head_dim = usual;
            unsaid_.emplace_back("head_dim");
        } else if (family_) {
            if (b.heads == 0 || b.width % b.heads != 0)
                throw format_error(who_ + ": without a head_dim, num_attention_heads must divide hidden_size; " +
                                   std::to_string(b.heads) + " and " + std::to_string(b.width) + " were found");
            b.head_dim = b.width / b.heads;
        }
    }

    // Windows

    void read_windows(model_config& c) {
        const std::size_t window = stated_window();
        window_plan plan{family_->windows, family_->defaults.window_period, family_->defaults.first_window};
        if (plan.layers == window_layers::switched && window != attention_rule::everything)
            number("max_window_layers", plan.first, plan.first);
        if (family_->reads("sliding_window_pattern"))
            if (const auto period = if_present<std::size_t>(file_, "sliding_window_pattern", who_)) {
                if (*period == 0)
                    throw format_error(who_ + ": key \"sliding_window_pattern\": 1 or more is expected, 0 was found");
                plan.period = *period;
            }
        read_layer_types(c.layers, window, plan);
        set_layers(c, who_, plan, window);
    }

    /// Absent and null are not the same: the class's window, and none.
    std::size_t stated_window() {
        constexpr const char* key = "sliding_window";
        json const* const value = find_value(file_, key, who_);
        if (family_->windows == window_layers::none) {
            if (value)
                throw format_error(who_ + ": " + key + " is set, to " + found_text(*value) + ", but " +
                                   std::string(family_->name) + " has no window; only null is supported");
            return attention_rule::everything;
        }
        if (family_->windows == window_layers::switched &&
            !if_present<bool>(file_, "use_sliding_window", who_).value_or(false))
            return attention_rule::everything; // whatever the window is
        const std::size_t usual = family_->defaults.window;
        if (!file_.contains(key)) {
            if (usual != 0) unsaid_.emplace_back(key);
            return usual == 0 ? attention_rule::everything : usual;
        }
        if (!value) return attention_rule::everything;
        const auto window = json_value<std::size_t>(*value, key, who_);
        if (window == 0)
            throw format_error(who_ +
                               ": key \"sliding_window\": a window of 1 or more is expected, or null for none; 0 "
                               "was found, which hides every position");
        check_repeated_window(window);
        return window;
    }

    /// Some files say it twice.
    void check_repeated_window(std::size_t window) const {
        constexpr const char* key = "sliding_window_size";
        if (!family_->reads(key)) return;
        if (const auto again = if_present<std::size_t>(file_, key, who_); again && *again != window)
            throw format_error(who_ + ": key " + in_quotes(key) + ": " + std::to_string(window) +
                               " is expected, as sliding_window says, " + std::to_string(*again) + " was found");
    }

    /// Where the file lists layers, into the plan. A family that reads no such list must agree with it.
    void read_layer_types(std::size_t layers, std::size_t window, window_plan& plan) const {
        const auto types = if_present<std::vector<std::string>>(file_, "layer_types", who_);
        if (!types) return;
        if (types->size() != layers)
            throw format_error(who_ + ": layer_types: one for each of " + std::to_string(layers) +
                               " layers is expected, " + std::to_string(types->size()) + " were found");
        std::vector<bool> listed;
        for (auto const& type : *types) {
            const bool has_window = type == "sliding_attention";
            if (!has_window && type != "full_attention")
                throw format_error(who_ + ": layer_types: " + in_quotes(type) +
                                   " is not supported; only \"full_attention\" and \"sliding_attention\" are");
            if (has_window && window == attention_rule::everything)
                throw format_error(who_ + ": layer_types: \"sliding_attention\" in layer " +
                                   std::to_string(listed.size()) + ", but there is no window");
            if (!family_->reads("layer_types") && has_window != (window != attention_rule::everything))
                throw format_error(who_ + ": layer_types: \"full_attention\" in layer " +
                                   std::to_string(listed.size()) + ", but all layers of " + std::string(family_->name) +
                                   " have the window");
            listed.push_back(has_window);
        }
        plan.listed = std::move(listed);
    }

    // Scores, biases, activation

    void read_scores(model_config& c) {
        auto const& usual = family_->defaults;
        problems_.collect([&] { read_query_scalar(c.block, usual.query_scalar); });
        read_cap("attn_logit_softcapping", c.block.attention_soft_cap, usual.attention_soft_cap);
        read_cap("final_logit_softcapping", c.logit_soft_cap, usual.logit_soft_cap);
    }

    void read_query_scalar(block_shape& b, double usual) {
        constexpr const char* key = "query_pre_attn_scalar";
        if (!family_->reads(key)) return;
        double scalar = usual;
        if (file_.contains(key)) {
            scalar = required<double>(file_, key, who_);
            if (!(scalar > 0)) refuse_json(file_[key], key, who_, "a positive number");
        } else {
            unsaid_.emplace_back(key);
        }
        set_query_scalar(b, scalar);
    }

    /// Absent and null are not the same: the class's cap, and none.
    void read_cap(std::string_view key, float& cap, float usual) {
        if (!family_->reads(key)) return;
        problems_.collect([&] {
            cap = file_.contains(key) ? no_soft_cap : usual;
            if (!file_.contains(key) && usual != no_soft_cap) unsaid_.emplace_back(key);
            if (json const* const value = find_value(file_, key, who_)) {
                cap = json_value<float>(*value, key, who_);
                if (!(cap > 0)) refuse_json(*value, key, who_, "a positive number, or null for no cap,");
            }
        });
    }

    void read_biases(model_config& c) {
        c.block.biases = family_->biases;
        const auto add = [&](std::string_view key, projection_set biased) {
            if (!family_->reads(key)) return;
            problems_.collect([&] {
                if (if_present<bool>(file_, key, who_).value_or(false)) c.block.biases |= biased;
            });
        };
        add("attention_bias", only(projection::q, projection::k, projection::v, projection::o));
        add("mlp_bias", only(projection::gate, projection::up, projection::down));
    }

    /// A family that reads hidden_activation does not look at hidden_act beside it.
    void check_activation() {
        std::string_view key = "hidden_act";
        if (family_->reads("hidden_activation") && find_value(file_, "hidden_activation", who_))
            key = "hidden_activation";
        if (!file_.contains(key)) return unsaid_.emplace_back(key), void();
        const auto found = required<std::string>(file_, key, who_);
        const auto names = config_names_of(family_->form.gate);
        if (!contains(names, found))
            throw format_error(who_ + ": " + std::string(key) + " " + in_quotes(found) + " is not supported; only " +
                               in_quotes(names.front()) + " is");
    }

    void refuse_what_changes_results() {
        for (auto const& [key, values] : neutral_config_keys)
            if (json const* const value = find_value(file_, key, who_);
                value && !family_->reads(key) && !is_neutral(*value, values))
                problems_.add(who_ + ": " + not_neutral(key, found_text(*value), values));
    }

    void add_remark(model_config& c) const {
        if (unsaid_.empty()) return;
        std::string text = who_ + " says nothing of ";
        for (std::size_t i = 0; i < unsaid_.size(); ++i)
            text += (i == 0 ? "" : i + 1 == unsaid_.size() ? " and " : ", ") + unsaid_[i];
        c.remarks.texts.push_back(text + ": as " + std::string(family_->hugging_face_class) +
                                  " has it where nothing is said");
    }

    json const& file_;
    std::string who_, path_;
    model_family const* family_;
    unknown_keys& unknown_;
    problem_list& problems_;
    std::vector<std::string> unsaid_; // keys that the class answered for
};

/// Reads a whole config.json: whose it is, and what is in the way before its numbers are.
class config_json_file {
public:
    config_json_file(json const& file, std::string who, std::span<const std::string> allowed,
                     std::span<model_family const* const> known, problem_list& problems)
        : file_(file), who_(std::move(who)), known_(known), unknown_(who_, allowed, problems), problems_(problems) {}

    model_config read() {
        model_config c;
        problems_.collect([&] { c.architecture = required<std::string>(file_, "model_type", who_); });
        family_ = find_family(known_, c.architecture);
        for (model_family const* const f : known_)
            if (!family_ && !f->wrapper.name.empty() && f->wrapper.name == c.architecture) wrapped_ = f;
        const bool is_foreign = !c.architecture.empty() && !family_ && !wrapped_;
        if (is_foreign) problems_.add(foreign_architecture(c.architecture));
        refuse_quantization();
        if (wrapped_) {
            c.architecture = wrapped_->name;
            problems_.collect([&] { check_class(wrapped_->wrapper.hugging_face_class); });
            problems_.collect([&] { read_wrapped(c); });
        } else if (family_) {
            problems_.collect([&] { check_class(family_->hugging_face_class); });
            config_json_reader(file_, who_, "", family_, unknown_, problems_).read(c);
        } else { // whatever else it says, it says of another model
            problem_list unsaid;
            config_json_reader(file_, who_, "", nullptr, unknown_, unsaid).read(c);
            return c;
        }
        unknown_.check_allowed([&](std::string_view key) { return occurs(file_, key); });
        return c;
    }

private:
    /// A model of text within one of other things: its part of the file, and that the rest says nothing of it.
    void read_wrapped(model_config& c) {
        constexpr const char* part = "text_config";
        json const& text = required_object(file_, part, who_);
        const std::string who = who_ + ": " + part;
        const auto type = if_present<std::string>(text, "model_type", who);
        if (type && *type != wrapped_->name)
            throw format_error(who + ": model_type " + in_quotes(wrapped_->name) + " is expected, " + in_quotes(*type) +
                               " was found");
        config_json_reader(text, who, std::string(part) + ".", wrapped_, unknown_, problems_).read(c);
        if (const auto ties = if_present<bool>(file_, "tie_word_embeddings", who_); ties && *ties != c.tied_head) {
            if (text.contains("tie_word_embeddings"))
                throw format_error(who_ + ": tie_word_embeddings is not the same here and in " + part);
            c.tied_head = *ties;
        }
        for (auto const& [key, values] : neutral_config_keys)
            if (json const* const value = find_value(file_, key, who_); value && !is_neutral(*value, values))
                problems_.add(who_ + ": " + not_neutral(key, found_text(*value), values));
        for (auto const& [key, value] : file_.items())
            if (key != part && key != "tie_word_embeddings" && !is_known_outside(key))
                unknown_.add(key, value.is_null() ? "" : found_text(value));
    }
    bool is_known_outside(std::string_view key) const {
        return contains(wrapped_->wrapper.keys, key) || contains(harmless_config_keys, key) ||
               contains(quantization_keys, key) || find(neutral_config_keys, key) != nullptr ||
               key.starts_with("unsloth_");
    }

    /// Of a model_type that is not among the families: what it is, if that can be told.
    std::string foreign_architecture(std::string const& name) const {
        std::string text = who_ + ": " + not_supported(name, known_);
        const auto has = [&](std::string_view key) { return file_.contains(key); };
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
        if (text.ends_with(of_experts)) return text;
        for (std::string_view key : keys_of_experts)
            if (json const* const value = find_value(file_, key, who_); value && !is_neutral(*value, neutral::off))
                return text + "; this one " + std::string(of_experts) + " (" + std::string(key) + " is " +
                       found_text(*value) + ")";
        const auto classes = file_.find("architectures");
        if (classes == file_.end() || !classes->is_array() || classes->empty() || !classes->front().is_string())
            return text;
        auto const& first = classes->front().get_ref<std::string const&>();
        if (first.ends_with("ForCausalLM") || first.ends_with("LMHeadModel")) return text;
        return text + "; this one (" + in_quotes(first) + ") does not predict the next token";
    }

    void check_class(std::string_view expected) const {
        const auto classes = if_present<std::vector<std::string>>(file_, "architectures", who_);
        if (classes && std::ranges::find(*classes, expected) == classes->end())
            throw format_error(who_ + ": key \"architectures\": " + std::string(expected) + " is expected, " +
                               (classes->empty() ? "nothing" : in_quotes(classes->front())) + " was found");
    }

    /// Of several descriptions the first that is refused.
    void refuse_quantization() {
        for (auto const& one : quantizations_in(file_, who_)) {
            std::optional<std::string> text;
            problems_.collect([&] { text = quantization_refusal(*one.second, one.first); });
            if (!text) continue;
            problems_.add(*text);
            return;
        }
    }

    /// Whether there is such a key: "rope_scaling.factor" is one of an object in the object.
    static bool occurs(json const& object, std::string_view key) {
        if (!object.is_object()) return false;
        if (object.contains(key)) return true;
        for (std::size_t dot = key.find('.'); dot != key.npos; dot = key.find('.', dot + 1))
            if (const auto inner = object.find(key.substr(0, dot)); inner != object.end())
                if (occurs(*inner, key.substr(dot + 1))) return true;
        return false;
    }

    json const& file_;
    std::string who_;
    std::span<model_family const* const> known_;
    unknown_keys unknown_;
    problem_list& problems_;
    model_family const* family_ = nullptr;
    model_family const* wrapped_ = nullptr; // family of the model that is wrapped
};

} // namespace bitlens::detail
