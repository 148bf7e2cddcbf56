#pragma once
/// override_rules: which matrices a study treats differently from its method, from a JSON file.
///
///     {"rules": [{"projection": "gate_proj|up_proj", "layers": "*",      "use": "full"},
///                {"projection": "*",                 "layers": "0-1,29", "use": "rtn8-g64"}]}
///
/// projection: names as in checkpoints, joined by '|', or "*". layers: numbers and ranges from 0, joined by ',', or
/// "*". use: a method without a name, or "full": as the checkpoint has it. Of the rules that match a matrix the last
/// one holds; a rule that holds for none is an error.

#include "bitlens/io/json.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/recipes/method.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// What becomes of a matrix is a method, or nothing: it stays as the checkpoint has it.
template <class Method>
class basic_override_rules {
public:
    /// No rules.
    basic_override_rules() = default;
    /// `who` is the file, `layers` those of the model.
    /// Errors: format_error naming file, number of the rule (from 1) and its text.
    basic_override_rules(json const& file, std::string_view who, std::size_t layers) {
        check_keys(file, {"rules"}, who);
        json const* const rules = find_value(file, "rules", who);
        if (rules == nullptr || !rules->is_array())
            throw format_error(std::string(who) + R"(: an array "rules" is expected)");
        rule_of_.assign(layers, {});
        for (std::size_t i = 0; i < rules->size(); ++i) {
            json const& rule = (*rules)[i];
            const std::string rule_name =
                std::string(who) + ": rule " + std::to_string(i + 1) + " (" + shown(rule) + ")";
            add(rule, rule_name);
            names_.push_back(rule_name);
        }
        for (std::size_t i = 0; i < names_.size(); ++i)
            if (!is_used(i)) throw format_error(names_[i] + " holds for no matrix: later rules override it everywhere");
    }

    /// The rule's treatment of one matrix, or nullptr where no rule matches.
    std::optional<Method> const* find(std::size_t layer, projection p) const {
        if (layer >= rule_of_.size()) return nullptr;
        const auto rule = rule_of_[layer][static_cast<std::size_t>(p)];
        return rule ? &uses_[*rule] : nullptr;
    }

private:
    /// Its beginning as JSON in ASCII; in_quotes would write `\x22` for each of its quotation marks.
    static std::string shown(json const& rule) {
        constexpr std::size_t longest = 200;
        std::string text = rule.dump(-1, ' ', true);
        if (text.size() <= longest) return text;
        text.resize(longest);
        return text + "…";
    }

    static void check_keys(json const& object, std::initializer_list<std::string_view> known, std::string_view who) {
        for (auto const& [key, value] : detail::expect_object(object, who).items())
            if (std::find(known.begin(), known.end(), key) == known.end()) {
                std::string expected;
                for (const std::string_view k : known) expected += (expected.empty() ? "" : ", ") + std::string(k);
                throw format_error(std::string(who) + ": the key " + in_quotes(key) + " means nothing here; expected " +
                                   expected);
            }
    }

    void add(json const& rule, std::string const& who) {
        check_keys(rule, {"projection", "layers", "use"}, who);
        const auto projections = read_projections(required<std::string>(rule, "projection", who), who);
        const auto layers = read_layers(required<std::string>(rule, "layers", who), who);
        uses_.push_back(read_use(required<std::string>(rule, "use", who), who));
        for (std::size_t layer = 0; layer < rule_of_.size(); ++layer)
            for (std::size_t p = 0; p < projection_count; ++p)
                if (layers[layer] && projections[p]) rule_of_[layer][p] = uses_.size() - 1;
    }

    static std::array<bool, projection_count> read_projections(std::string const& text, std::string const& who) {
        std::array<bool, projection_count> chosen{};
        if (text == "*") {
            chosen.fill(true);
            return chosen;
        }
        for (const std::string_view word : detail::split(text, '|')) {
            std::string known;
            bool found = false;
            for (std::size_t p = 0; p < projection_count; ++p) {
                const auto proper = name(static_cast<projection>(p));
                known += std::string(p == 0 ? "" : ", ") + std::string(proper);
                if (word == proper) found = chosen[p] = true;
            }
            if (!found)
                throw format_error(who + ": there is no projection " + in_quotes(word) + "; expected * or " + known +
                                   ", joined by |");
        }
        return chosen;
    }

    std::vector<bool> read_layers(std::string const& text, std::string const& who) const {
        const std::size_t layers = rule_of_.size();
        if (text == "*") return std::vector<bool>(layers, true);
        std::vector<bool> chosen(layers);
        for (const std::string_view range : detail::split(text, ',')) {
            const auto dash = range.find('-');
            std::size_t first = 0, last = 0;
            if (!detail::read_number(range.substr(0, dash), first) ||
                !detail::read_number(dash == range.npos ? range : range.substr(dash + 1), last) || last < first)
                throw format_error(who + ": layers " + in_quotes(text) +
                                   "; expected * or numbers and ranges like 0-3,29");
            if (last >= layers)
                throw format_error(who + ": layer " + std::to_string(last) + "; this model has layers 0 to " +
                                   std::to_string(layers - 1));
            std::fill(chosen.begin() + static_cast<std::ptrdiff_t>(first),
                      chosen.begin() + static_cast<std::ptrdiff_t>(last + 1), true);
        }
        return chosen;
    }

    static std::optional<Method> read_use(std::string const& text, std::string const& who) {
        if (text == "full") return std::nullopt;
        if (text.find('=') != text.npos) throw format_error(who + ": a method without a name, or full, is expected");
        try {
            Method use = parse_method<Method>(text);
            if (use.needs_documents())
                throw option_error(in_quotes(text) + " looks at what the model reads, which a rule for one matrix does "
                                                     "not; expected a method that needs nothing but the weights");
            return use;
        } catch (option_error const& e) {
            throw format_error(who + ": " + std::string(e.text()) +
                               (e.lines().empty() ? "" : " methods that need nothing but the weights, as in rtn3-g64") +
                               ", or full");
        }
    }

    bool is_used(std::size_t rule) const {
        for (auto const& layer : rule_of_)
            if (std::find(layer.begin(), layer.end(), rule) != layer.end()) return true;
        return false;
    }

    std::vector<std::array<std::optional<std::size_t>, projection_count>> rule_of_; // per layer and projection
    std::vector<std::optional<Method>> uses_;                                       // per rule
    std::vector<std::string> names_;                                                // per rule, for errors
};

using override_rules = basic_override_rules<method>;

/// Errors: io_error; format_error as above.
inline override_rules read_override_rules(std::filesystem::path const& path, std::size_t layers) {
    return override_rules(read_json_file(path), path.string(), layers);
}

} // namespace bitlens
