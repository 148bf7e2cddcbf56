#pragma once
/// The configuration in the metadata of a GGUF file.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/models/config_keys.hpp"
#include "bitlens/models/config_reading.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/models/model_family.hpp"

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
#include <variant>
#include <vector>

namespace bitlens::detail {

/// Tensors of a GGUF file that belong to its configuration: by what the frequencies of rope are divided.
inline constexpr std::string_view rope_divisors_name = "rope_freqs.weight";
inline constexpr std::string_view rope_long_name = "rope_factors_long.weight";
inline constexpr std::string_view rope_short_name = "rope_factors_short.weight";

class config_gguf_reader {
public:
    config_gguf_reader(gguf_file const& file, std::span<const std::string> allowed,
                       std::span<model_family const* const> known, problem_list& problems)
        : file_(file), who_(file.path().string()), known_(known), unknown_(who_, allowed, problems),
          problems_(problems) {}

    model_config read() {
        model_config c;
        if (const auto part = part_of_a_model()) {
            problems_.add(who_ + ": " + *part);
            return c;
        }
        problems_.collect([&] { c.architecture = file_.required<std::string>("general.architecture"); });
        if (c.architecture.empty()) return c;
        prefix_ = c.architecture + ".";
        const auto found = std::ranges::find(known_, c.architecture, &model_family::gguf_name);
        if (found == known_.end()) { // whatever else it says, it says of another model
            problems_.add(who_ + ": " + not_supported(c.architecture, known_));
            problem_list unsaid;
            config_gguf_reader other(file_, {}, known_, unsaid);
            other.prefix_ = prefix_;
            other.read_sizes(c);
            return c;
        }
        family_ = *found;
        c.architecture = family_->name;
        read_model(c);
        unknown_.check_allowed([&](std::string_view name) { return file_.find_value(name) != nullptr; });
        return c;
    }

private:
    std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }

    /// What the file is where it is no model; nothing where it is one.
    std::optional<std::string> part_of_a_model() const {
        const auto text = [&](std::string_view name) { return text_of(name).value_or(""); };
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
    /// Of a key that is a string, if it is there.
    std::optional<std::string> text_of(std::string_view name) const {
        gguf_value const* const value = file_.find_value(name);
        if (!value || value->type != gguf_type::string) return std::nullopt;
        return file_.required<std::string>(name);
    }

    void read_model(model_config& c) {
        read_sizes(c);
        if (!file_.find_value(key("attention.head_count_kv"))) c.block.kv_heads = c.block.heads;
        problems_.collect([&] { c.block.head_dim = head_dim(c.block); });
        problems_.collect([&] { read_ropes(c); });
        problems_.collect([&] { read_windows(c); });
        problems_.collect([&] { read_scores(c); });
        c.tied_head = file_.find("output.weight") == nullptr;
        c.block.biases = stored_biases();
        c.embedding_scale = embedding_scale_of(*family_, c.block.width);
        refuse_what_changes_results();
        add_remark(c);
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
            if (const auto theta = file_.if_present<float>(key("rope.freq_base"))) c.ropes[0].theta = double{*theta};
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
        for (std::string_view suffix :
             {"attention.value_length", "attention.key_length_swa", "attention.value_length_swa"})
            if (const auto other = file_.if_present<std::size_t>(key(suffix)); other && *other != head_dim)
                throw format_error(who_ + ": key " + in_quotes(key(suffix)) + ": " + std::to_string(head_dim) +
                                   " is expected, as long as a head's keys; " + std::to_string(*other) + " was found");
        return head_dim;
    }

    /// The biases of every model of the family, and those that the first block has.
    projection_set stored_biases() const {
        projection_set biased = family_->biases;
        for (auto const& parameter : family_->parameters)
            if (auto const* const bias = std::get_if<bias_of>(&parameter.part))
                if (file_.find("blk.0." + std::string(parameter.gguf))) biased |= only(bias->linear);
        return biased;
    }

    // Positions

    void read_ropes(model_config& c) {
        rope_rule& global = c.ropes[0]; // with the theta that was read
        if (family_->defaults.rope_theta != rope_rule{}.theta) file_.required<float>(key("rope.freq_base"));
        global.rotated = rotated("rope.dimension_count", c.block.head_dim);
        const bool has_own_local = family_->defaults.local_rope_theta != 0;
        const std::size_t local_rotated = rotated("rope.dimension_count_swa", c.block.head_dim);
        const auto local_theta = file_.if_present<float>(key("rope.freq_base_swa"));
        global.scaling = scaling(c);
        if (has_own_local) { // which no scaling changes
            rope_rule local{local_theta ? double{*local_theta} : family_->defaults.local_rope_theta, local_rotated};
            if (local != global) c.ropes.push_back(std::move(local));
        } else if (local_theta && double{*local_theta} != global.theta) {
            throw format_error(who_ + ": key " + in_quotes(key("rope.freq_base_swa")) + ": " +
                               std::to_string(global.theta) + " is expected, as in all layers of " +
                               std::string(family_->name) + "; " + std::to_string(*local_theta) + " was found");
        }
    }

    std::size_t rotated(std::string_view suffix, std::size_t head_dim) const {
        const auto turned = file_.if_present<std::size_t>(key(suffix));
        if (!turned) return 0;
        const bool may_be_less = family_->reads("partial_rotary_factor");
        if (*turned > head_dim || *turned == 0 || (*turned != head_dim && !may_be_less))
            throw format_error(who_ + ": key " + in_quotes(key(suffix)) + ": " + std::to_string(head_dim) +
                               (may_be_less ? " or less is expected" : " is expected") +
                               ", as long as a head's keys; " + std::to_string(*turned) + " was found");
        return rotated_of(*turned, head_dim);
    }

    double number(std::string_view suffix, double otherwise) const {
        gguf_value const* const value = file_.find_value(key(suffix));
        if (!value) return otherwise;
        const auto x = number_of(file_, *value);
        if (!x)
            throw format_error(who_ + ": key " + in_quotes(value->key) + ": a number is expected, " +
                               found_text(file_, *value) + " was found");
        return *x;
    }

    rope_scaling scaling(model_config const& c) const {
        const double stored = number("rope.scaling.factor", 1), factor = stored == 0 ? 1 : stored;
        const auto stated = file_.if_present<std::string>(key("rope.scaling.type"));
        const std::string type = stated ? *stated : factor == 1 ? "none" : "linear";
        const bool has_long = file_.find(rope_long_name), has_short = file_.find(rope_short_name);
        const bool is_longrope = type == "longrope" || has_long || has_short;
        if (!contains(std::to_array<std::string_view>({"none", "linear", "yarn", "longrope"}), type))
            throw format_error(who_ + ": rope scaling of type " + in_quotes(type) +
                               " is not known; known are \"none\", \"linear\", \"yarn\" and \"longrope\"");
        if (type == "none" && factor != 1)
            throw format_error(who_ + ": rope scaling of type \"none\" has a factor of " + number_text(factor));
        if (is_longrope && type != "longrope" && type != "none")
            throw format_error(who_ + ": tensors " + in_quotes(rope_long_name) + " and " + in_quotes(rope_short_name) +
                               " are of rope scaling \"longrope\", but its type is " + in_quotes(type));
        refuse_unread_magnitude("rope.scaling.attn_factor", is_longrope, "longrope");
        refuse_unread_magnitude("rope.scaling.yarn_attn_factor", type == "yarn", "yarn");
        const double share = number("rope.scaling.yarn_ext_factor", -1); // below 0: as the type has it
        if (!(share < 0) && share != (type == "yarn" ? 1 : 0))
            throw format_error(who_ + ": key " + in_quotes(key("rope.scaling.yarn_ext_factor")) + ": " +
                               (type == "yarn" ? "1" : "0") + " is expected of rope scaling " + in_quotes(type) + ", " +
                               number_text(share) + " was found");
        rope_scaling result;
        if (is_longrope)
            result = longrope(c);
        else if (type == "yarn")
            result = yarn(c, factor);
        else if (factor != 1)
            result = rope_linear{factor};
        return with_divisors(c, std::move(result));
    }

    void refuse_unread_magnitude(std::string_view suffix, bool is_read, const char* type) const {
        if (const double x = number(suffix, 1); !is_read && x != 1)
            throw format_error(who_ + ": key " + in_quotes(key(suffix)) + " is " + number_text(x) +
                               ", which only rope scaling of type " + in_quotes(type) + " reads");
    }

    rope_scaling yarn(model_config const& c, double factor) const {
        rope_yarn s;
        s.factor = factor;
        s.original_context =
            file_.if_present<std::size_t>(key("rope.scaling.original_context_length")).value_or(c.context);
        s.fast = number("rope.scaling.yarn_beta_fast", s.fast);
        s.slow = number("rope.scaling.yarn_beta_slow", s.slow);
        if (file_.find_value(key("rope.scaling.yarn_attn_factor")))
            s.magnitude = number("rope.scaling.yarn_attn_factor", 1);
        if (const double m = number("rope.scaling.yarn_log_multiplier", 0); m != 0) s.mscale = 1, s.mscale_all = m;
        if (factor == 1 && s.magnitude.value_or(1) == 1) return {};
        return s;
    }

    rope_scaling longrope(model_config const& c) const {
        rope_longrope s;
        s.long_factors = factors<double>(c, rope_long_name);
        s.short_factors = factors<double>(c, rope_short_name);
        s.original_context = file_.required<std::size_t>(key("rope.scaling.original_context_length"));
        if (s.original_context != 0)
            s.factor = static_cast<double>(c.context) / static_cast<double>(s.original_context);
        if (file_.find_value(key("rope.scaling.attn_factor"))) s.magnitude = number("rope.scaling.attn_factor", 1);
        return s;
    }

    /// Numbers of a tensor, one for each pair of dimensions that turns.
    template <class T>
    std::vector<T> factors(model_config const& c, std::string_view name) const {
        gguf_tensor const* const t = file_.find(name);
        const std::size_t turned = c.ropes[0].rotated == 0 ? c.block.head_dim : c.ropes[0].rotated;
        const std::string expected = who_ + ": tensor " + in_quotes(name) + ": " + std::to_string(turned / 2) +
                                     " numbers of type F32 are expected, ";
        if (!t) throw format_error(expected + "no such tensor was found");
        if (t->type->name != "F32" || t->cols() != turned / 2 || t->rows() != 1)
            throw format_error(expected + std::to_string(t->cols() * t->rows()) + " of type " +
                               std::string(t->type->name) + " were found");
        std::vector<T> all;
        for (std::size_t i = 0; i < t->bytes.size(); i += sizeof(float))
            all.push_back(T{load<float>(t->bytes.data() + i)});
        return all;
    }

    /// What llama3 computes is kept as a tensor. Ones divide by nothing.
    rope_scaling with_divisors(model_config const& c, rope_scaling scaling) const {
        if (!file_.find(rope_divisors_name)) return scaling;
        rope_divided s{factors<float>(c, rope_divisors_name)};
        if (std::ranges::all_of(s.divisors, [](float x) { return x == 1; })) return scaling;
        if (scaling != rope_scaling())
            throw format_error(
                who_ + ": tensor " + in_quotes(rope_divisors_name) +
                " scales positions, and so does the metadata (rope.scaling); one of the two is expected");
        return s;
    }

    // Windows and scores

    void read_windows(model_config& c) {
        constexpr std::string_view suffix = "attention.sliding_window";
        const auto stated = file_.if_present<std::size_t>(key(suffix));
        // Where a configuration can switch windows off, GGUF files do not say whether it did.
        if (family_->windows == window_layers::none || family_->windows == window_layers::switched) {
            if (stated.value_or(0) != 0)
                throw format_error(who_ + ": key " + in_quotes(key(suffix)) + ": a sliding window of " +
                                   std::string(family_->name) + " is not supported in GGUF; " +
                                   std::to_string(*stated) + " was found, only 0 is");
            return;
        }
        window_plan plan{family_->windows, family_->defaults.window_period};
        read_pattern(c.layers, plan);
        auto const& usual = family_->defaults;
        const bool has_usual = family_->windows == window_layers::periodic; // phi3's files leave out that there is none
        if (usual.local_rope_theta != 0) file_.required<std::size_t>(key(suffix)); // as there is no usual one
        const std::size_t window = stated.value_or(has_usual ? usual.window : 0);
        if (!stated && window != 0)
            c.remarks.texts.push_back(who_ + " says nothing of " + key(suffix) + ": " + std::to_string(window) +
                                      " is taken, as usual for " + std::string(family_->name));
        set_layers(c, who_, plan, window == 0 ? attention_rule::everything : window);
    }

    /// A number n, of which every n-th layer has no window, or whether each layer has one.
    void read_pattern(std::size_t layers, window_plan& plan) const {
        const std::string name = key("attention.sliding_window_pattern");
        gguf_value const* const value = file_.find_value(name);
        if (!value) return;
        if (value->type != gguf_type::array) {
            plan.layers = window_layers::periodic;
            plan.period = file_.required<std::size_t>(name);
            return;
        }
        auto listed = file_.required<std::vector<bool>>(name);
        if (listed.size() != layers)
            throw format_error(who_ + ": key " + in_quotes(name) + ": one for each of " + std::to_string(layers) +
                               " layers is expected, " + std::to_string(listed.size()) + " were found");
        plan.listed = std::move(listed);
    }

    void read_scores(model_config& c) {
        auto const& usual = family_->defaults;
        // The scalar that a configuration of Hugging Face states is not stored.
        if (family_->reads("query_pre_attn_scalar") && c.layers == family_->gguf_depth_of_wide_scores &&
            c.block.heads != 0)
            set_query_scalar(c.block, static_cast<double>(c.block.width) / static_cast<double>(c.block.heads));
        if (family_->reads("llama_4_scaling_beta"))
            if (const double rate = number("attention.temperature_scale", 0); rate != 0)
                c.block.growth = {rate, file_.required<std::size_t>(key("rope.scaling.original_context_length"))};
        c.block.attention_soft_cap = cap("attn_logit_softcapping", usual.attention_soft_cap);
        c.logit_soft_cap = cap("final_logit_softcapping", usual.logit_soft_cap);
    }

    /// Older files leave out what is usual.
    float cap(std::string_view suffix, float usual) const {
        if (!family_->reads(suffix)) return no_soft_cap; // any but 0 is refused
        return file_.if_present<float>(key(suffix)).value_or(usual);
    }

    void refuse_what_changes_results() {
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
        const bool is_cap = suffix.ends_with("_softcapping");
        if (suffix == "attention.temperature_scale" && family_->reads("llama_4_scaling_beta")) return;
        if (contains(read_gguf_keys, suffix) || (is_cap && family_->reads(suffix))) return;
        if (neutral_key const* const known = detail::find(neutral_gguf_keys, suffix)) {
            const auto number = number_of(file_, value);
            if (!number || !is_neutral(*number, known->values))
                problems_.add(who_ + ": " + not_neutral(value.key, found_text(file_, value), known->values));
        } else {
            unknown_.add(std::string(value.key), found_text(file_, value));
        }
    }

    /// Of a family whose files are read as another's, as they say the same: what they do not say.
    void add_remark(model_config& c) const {
        const std::string name = text_of("general.name").value_or(text_of("general.basename").value_or(""));
        std::string plain = name;
        std::ranges::transform(plain, plain.begin(),
                               [](char x) { return x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x; });
        for (model_family const* const f : known_)
            if (f != family_ && f->gguf_name == family_->gguf_name && f->windows != window_layers::none &&
                plain.find(f->name) != plain.npos)
                return c.remarks.texts.push_back(who_ + ": general.name is " + in_quotes(name) + "; GGUF files of " +
                                                 std::string(f->name) +
                                                 " do not say whether its layers have a window, and none is taken");
    }

    gguf_file const& file_;
    std::string who_, prefix_;
    std::span<model_family const* const> known_;
    unknown_keys unknown_;
    problem_list& problems_;
    model_family const* family_ = nullptr;
};

} // namespace bitlens::detail
