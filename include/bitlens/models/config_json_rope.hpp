#pragma once
/// The rotary embedding of a config.json: rope_theta and rope_scaling as transformers 4 writes them, rope_parameters as
/// transformers 5 does.

#include "bitlens/core/error.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/layers/rope.hpp"
#include "bitlens/models/config_reading.hpp"

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

/// A kind of scaling and the keys that say it, beside those that every kind has.
struct rope_kind {
    std::string_view name;
    std::span<const std::string_view> keys;
};

inline constexpr auto keys_of_any_rope =
    std::to_array<std::string_view>({"partial_rotary_factor", "rope_theta", "rope_type", "type"});
inline constexpr auto keys_of_factor = std::to_array<std::string_view>({"factor"});
inline constexpr auto keys_of_llama3 = std::to_array<std::string_view>(
    {"factor", "high_freq_factor", "low_freq_factor", "original_max_position_embeddings"});
inline constexpr auto keys_of_yarn =
    std::to_array<std::string_view>({"attention_factor", "beta_fast", "beta_slow", "factor", "mscale", "mscale_all_dim",
                                     "original_max_position_embeddings", "truncate"});
inline constexpr auto keys_of_longrope = std::to_array<std::string_view>(
    {"attention_factor", "factor", "long_factor", "original_max_position_embeddings", "short_factor"});

inline constexpr auto rope_kinds = std::to_array<rope_kind>({
    {"default", keys_of_factor},
    {"linear", keys_of_factor},
    {"dynamic", keys_of_factor},
    {"llama3", keys_of_llama3},
    {"yarn", keys_of_yarn},
    {"longrope", keys_of_longrope},
});

/// Where the numbers of one rotary embedding stand, and what they are where none is there.
struct rope_places {
    json const* object;         // rope_scaling, rope_parameters or one of its parts, or nullptr
    std::string path;           // of `object`
    std::string_view theta_key; // at the top
    double usual_theta;
    bool is_of_file = false; // usual_theta is what another place in the file comes to
};

/// Reads the rotary embeddings of one config.json.
class rope_json_reader {
public:
    /// `path` of the object within the whole file, as in "text_config."; `c` has its sizes already. Keys of which the
    /// file says nothing go to `unsaid`.
    rope_json_reader(json const& file, std::string who, std::string path, model_family const& family, model_config& c,
                     unknown_keys& unknown, std::vector<std::string>& unsaid)
        : file_(file), who_(std::move(who)), path_(std::move(path)), family_(family), c_(c), unknown_(unknown),
          unsaid_(unsaid) {}

    /// Errors: format_error for what makes no rule; keys that are not known go to the others.
    void read() {
        json const* const scaling = filled(find_object(file_, "rope_scaling", who_));
        json const* const parameters = filled(find_object(file_, "rope_parameters", who_));
        auto const& usual = family_.defaults;
        if (usual.local_rope_theta == 0) {
            if (scaling) { // before the other, as in transformers
                c_.ropes = {rule({scaling, "rope_scaling", "rope_theta", usual.rope_theta})};
                if (parameters) refuse_hidden_theta(*parameters, "rope_parameters", c_.ropes[0].theta);
            } else {
                if (!parameters && family_.reads(growth_key)) // of which the class's are many numbers
                    throw format_error(who_ + ": the key \"rope_parameters\" is missing");
                c_.ropes = {rule({parameters, "rope_parameters", "rope_theta", usual.rope_theta})};
            }
            return;
        }
        json const* const full = part(parameters, "full_attention");
        json const* const sliding = part(parameters, "sliding_attention");
        if (parameters)
            for (auto const& [key, value] : parameters->items())
                if (key != "full_attention" && key != "sliding_attention")
                    unknown_.add(path_ + "rope_parameters." + key, value.is_null() ? "" : found_text(value));
        rope_rule global = rule({full, "rope_parameters.full_attention", "rope_theta", usual.rope_theta});
        if (scaling) { // of these layers alone
            rope_rule scaled = rule({scaling, "rope_scaling", "rope_theta", global.theta, true});
            if (full) refuse_hidden_theta(*full, "rope_parameters.full_attention", scaled.theta);
            global = std::move(scaled);
        }
        rope_rule local =
            rule({sliding, "rope_parameters.sliding_attention", "rope_local_base_freq", usual.local_rope_theta});
        c_.ropes = {global};
        if (local != global) c_.ropes.push_back(std::move(local));
    }

    /// Of a family that is not known: the theta that the file states, if it is one number.
    static std::optional<double> stated_theta(json const& file, std::string const& who) {
        if (const auto theta = if_present<double>(file, "rope_theta", who)) return theta;
        json const* const parameters = find_object(file, "rope_parameters", who);
        return parameters ? if_present<double>(*parameters, "rope_theta", who) : std::nullopt;
    }

private:
    static json const* filled(json const* object) { return object && !object->empty() ? object : nullptr; }
    json const* part(json const* parameters, std::string_view key) const {
        return parameters ? find_object(*parameters, key, who_ + ": rope_parameters") : nullptr;
    }
    double theta_in(json const* object, double otherwise) const {
        return object ? if_present<double>(*object, "rope_theta", who_).value_or(otherwise) : otherwise;
    }

    rope_rule rule(rope_places const& from) {
        static const json nothing = json::object();
        json const& object = from.object ? *from.object : nothing;
        const std::string who = from.object ? who_ + ": " + from.path : who_;
        rope_rule r;
        r.theta = theta(object, from, who);
        r.rotated = rotated(object, who);
        r.scaling = scaling(object, from.path, who);
        return r;
    }

    double theta(json const& object, rope_places const& from, std::string const& who) {
        const auto inner = if_present<double>(object, "rope_theta", who);
        const auto outer = if_present<double>(file_, from.theta_key, who_);
        if (inner && outer && *inner != *outer) refuse_theta(who, *inner, *outer);
        if (!inner && !outer && !from.is_of_file) unsaid_.emplace_back(from.theta_key);
        return inner ? *inner : outer.value_or(from.usual_theta);
    }
    /// What is computed by `used` must not be hidden by a number in an object that is not read.
    void refuse_hidden_theta(json const& object, std::string const& path, double used) const {
        if (const double hidden = theta_in(&object, used); hidden != used)
            refuse_theta(who_ + ": " + path, hidden, used);
    }
    [[noreturn]] static void refuse_theta(std::string const& who, double one, double other) {
        throw format_error(who + ": rope_theta " + std::to_string(one) + " and elsewhere " + std::to_string(other));
    }

    std::size_t rotated(json const& object, std::string const& who) const {
        constexpr const char* key = "partial_rotary_factor";
        json const* const value = find_value(object, key, who);
        if (!family_.reads(key)) { // at the top it counts among those that are neutral
            if (value && !is_neutral(*value, neutral::one))
                throw format_error(who + ": " + not_neutral(key, found_text(*value), neutral::one));
            return 0;
        }
        const auto inner = if_present<double>(object, key, who), outer = if_present<double>(file_, key, who_);
        if (inner && outer && *inner != *outer)
            throw format_error(who + ": " + key + " " + std::to_string(*inner) + " and elsewhere " +
                               std::to_string(*outer));
        const double part = inner ? *inner : outer.value_or(1.0);
        const double turned = part * static_cast<double>(c_.block.head_dim);
        if (!(part <= 1) || !(turned >= 2))
            throw format_error(who + ": " + key + ": a part of the head dimension (" +
                               std::to_string(c_.block.head_dim) + ") that is 2 or more is expected, " +
                               std::to_string(part) + " was found");
        return rotated_of(static_cast<std::size_t>(turned), c_.block.head_dim);
    }

    rope_scaling scaling(json const& object, std::string const& path, std::string const& who) {
        auto stated = if_present<std::string>(object, "rope_type", who); // before "type", where both are
        if (!stated) stated = if_present<std::string>(object, "type", who);
        std::string type = stated.value_or("default");
        if (contains(family_.longrope_names, type)) type = "longrope";
        const auto kind = std::ranges::find(rope_kinds, type, &rope_kind::name);
        if (kind == rope_kinds.end()) throw format_error(who + ": rope scaling " + not_known(type));
        for (auto const& [key, value] : object.items())
            if (!contains(keys_of_any_rope, key) && !contains(kind->keys, key) &&
                !(key == growth_key && family_.reads(key)))
                unknown_.add(path_ + path + "." + key, value.is_null() ? "" : found_text(value));
        if (family_.reads(growth_key)) read_growth(object, who);
        if (type == "default") return unscaled(object, who, stated.has_value());
        if (type == "longrope") return longrope(object, who);
        if (type == "yarn") return yarn(object, who);
        const auto factor = required<double>(object, "factor", who);
        if (type == "dynamic") return rope_dynamic{factor, c_.context};
        if (type == "linear") return factor == 1 ? rope_scaling() : rope_linear{factor};
        rope_llama3 s{factor, required<double>(object, "low_freq_factor", who),
                      required<double>(object, "high_freq_factor", who), original_context(object, who)};
        return factor == 1 ? rope_scaling() : s;
    }

    /// Queries grow with the position in units of the length that positions were stretched from.
    void read_growth(json const& object, std::string const& who) {
        if (const auto rate = if_present<double>(object, growth_key, who); rate && *rate != 0)
            c_.block.growth = {*rate, original_context(object, who)};
    }
    static constexpr std::string_view growth_key = "llama_4_scaling_beta";

    static std::string not_known(std::string const& type) {
        std::string text = "of type " + in_quotes(type) + " is not known; known are ";
        for (auto const& kind : rope_kinds)
            text += (&kind == &rope_kinds.front()  ? ""
                     : &kind == &rope_kinds.back() ? " and "
                                                   : ", ") +
                    in_quotes(kind.name);
        return text;
    }

    static rope_scaling unscaled(json const& object, std::string const& who, bool states_type) {
        if (const auto factor = if_present<double>(object, "factor", who); factor && *factor != 1)
            throw format_error(who + ": rope scaling " + (states_type ? "of type \"default\"" : "without a type") +
                               " has a factor of " + found_text(object["factor"]) + "; only 1 changes nothing");
        return {};
    }

    rope_scaling yarn(json const& object, std::string const& who) {
        rope_yarn s;
        s.original_context = original_context(object, who);
        member(object, "factor", who); // null is one of its values
        s.factor = if_present<double>(object, "factor", who).value_or(ratio(s.original_context));
        const auto unless_none = [&](std::string_view key, double otherwise) { // 0 and null are none
            const double x = if_present<double>(object, key, who).value_or(0);
            return x == 0 ? otherwise : x;
        };
        s.fast = unless_none("beta_fast", s.fast);
        s.slow = unless_none("beta_slow", s.slow);
        s.truncate = if_present<bool>(object, "truncate", who).value_or(true);
        s.magnitude = if_present<double>(object, "attention_factor", who);
        s.mscale = unless_none("mscale", 0);
        s.mscale_all = unless_none("mscale_all_dim", 0);
        if (s.factor == 1 && s.magnitude.value_or(1) == 1) return {};
        return s;
    }

    rope_scaling longrope(json const& object, std::string const& who) {
        rope_longrope s;
        s.short_factors = required<std::vector<double>>(object, "short_factor", who);
        s.long_factors = required<std::vector<double>>(object, "long_factor", who);
        s.original_context = original_context(object, who);
        s.factor = if_present<double>(object, "factor", who).value_or(ratio(s.original_context));
        s.magnitude = if_present<double>(object, "attention_factor", who);
        return s;
    }

    double ratio(std::size_t original_context) const {
        return original_context == 0 ? 0 : static_cast<double>(c_.context) / static_cast<double>(original_context);
    }

    /// Positions before they were stretched. A family that reads the key at the top takes it, or its class's default,
    /// before that of the scaling; others know the latter only.
    std::size_t original_context(json const& object, std::string const& who) {
        constexpr const char* key = "original_max_position_embeddings";
        const auto inner = if_present<std::size_t>(object, key, who), outer = if_present<std::size_t>(file_, key, who_);
        const bool reads_outer = family_.reads(key);
        const std::size_t usual = family_.defaults.original_context ? family_.defaults.original_context : c_.context;
        const std::size_t used = reads_outer ? outer.value_or(usual) : inner.value_or(usual);
        auto const& unread = reads_outer ? inner : outer;
        if (unread && *unread != used && !(reads_outer && outer))
            throw format_error((reads_outer ? who : who_) + ": key " + in_quotes(key) + ": " + std::to_string(*unread) +
                               " was found where it is not read; what is read comes to " + std::to_string(used));
        if (!inner && !outer && std::ranges::find(unsaid_, key) == unsaid_.end()) unsaid_.emplace_back(key);
        return used;
    }

    json const& file_;
    std::string who_, path_;
    model_family const& family_;
    model_config& c_;
    unknown_keys& unknown_;
    std::vector<std::string>& unsaid_;
};

} // namespace bitlens::detail
