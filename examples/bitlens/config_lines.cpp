#include "config_lines.hpp"

#include "bitlens/layers/rope.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens::command {

namespace {

std::string shown(double x) {
    std::array<char, 32> digits{};
    std::snprintf(digits.data(), digits.size(), "%.6g", x);
    return digits.data();
}

std::string block_text(block_form form) {
    std::string text = "norms before attention and MLP";
    if (form.norms == norm_places::after) text = "norms after attention and MLP";
    if (form.norms == norm_places::around) text = "norms before and after attention and MLP";
    if (form.queries_keys == query_key_norm::each_head) text += ", norms of each query and key head";
    if (form.queries_keys == query_key_norm::all_heads) text += ", norms of all query and of all key heads";
    return text + (form.gate == activation::silu ? ", SiLU gate" : ", GELU gate (tanh)");
}

struct scaling_text {
    std::string operator()(rope_unscaled const&) const { return "not scaled"; }
    std::string operator()(rope_linear const& s) const { return "linear, factor " + shown(s.factor); }
    std::string operator()(rope_dynamic const& s) const {
        return "dynamic, factor " + shown(s.factor) + " beyond " + std::to_string(s.context) + " positions";
    }
    std::string operator()(rope_llama3 const& s) const {
        return "llama3, factor " + shown(s.factor) + from(s.original_context) + ", low " + shown(s.low) + ", high " +
               shown(s.high);
    }
    std::string operator()(rope_yarn const& s) const {
        return "yarn, factor " + shown(s.factor) + from(s.original_context) + ", fast " + shown(s.fast) + ", slow " +
               shown(s.slow);
    }
    std::string operator()(rope_longrope const& s) const { return "longrope" + from(s.original_context); }
    std::string operator()(rope_divided const&) const { return "divided by the file's rope_freqs"; }

    static std::string from(std::size_t context) { return " from " + std::to_string(context) + " positions"; }
};

std::string frequencies_text(rope_frequencies const& f) {
    return shown(double{f.of_pair.front()}) + " to " + shown(double{f.of_pair.back()});
}

/// A text's own length decides in some kinds of scaling: of one position, and of as many as the context has.
std::string rope_text(rope_rule const& rule, model_config const& c) {
    std::string text = "theta " + shown(rule.theta) + ", " + std::visit(scaling_text{}, rule.scaling);
    if (rule.rotated != 0)
        text += ", the first " + std::to_string(rule.rotated) + " dimensions of " + std::to_string(c.block.head_dim);
    const std::size_t longest = std::holds_alternative<rope_dynamic>(rule.scaling) ? 2 * c.context : c.context;
    const auto one = frequencies_of(rule, c.block.head_dim, 1), all = frequencies_of(rule, c.block.head_dim, longest);
    text += ", frequencies " + frequencies_text(one);
    if (one.of_pair != all.of_pair)
        text += " (in texts of " + std::to_string(longest) + " positions " + frequencies_text(all) + ")";
    return text + ", magnitude " + shown(double{one.magnitude});
}

/// "0-4, 6": ranges of layers.
std::string layers_text(std::vector<std::size_t> const& layers) {
    std::string text;
    for (std::size_t i = 0; i < layers.size();) {
        std::size_t end = i + 1;
        while (end < layers.size() && layers[end] == layers[end - 1] + 1) ++end;
        text += (text.empty() ? "" : ", ") + std::to_string(layers[i]);
        if (end > i + 1) text += "-" + std::to_string(layers[end - 1]);
        i = end;
    }
    return text;
}

/// Of layers that are alike in `what`, each kind in a line, the first layer's first.
template <class Of, class Text>
void add_layers(std::vector<std::pair<std::string, std::string>>& lines, std::string_view label, model_config const& c,
                Of const& of, Text const& text) {
    std::vector<std::pair<std::size_t, std::vector<std::size_t>>> kinds;
    for (std::size_t k = 0; k < c.layers; ++k) {
        const std::size_t what = of(c.block_of(k));
        std::size_t at = 0;
        while (at < kinds.size() && kinds[at].first != what) ++at;
        if (at == kinds.size()) kinds.push_back({what, {}});
        kinds[at].second.push_back(k);
    }
    for (auto const& [what, layers] : kinds)
        lines.emplace_back(&what == &kinds.front().first ? label : "",
                           text(what) + (kinds.size() == 1 ? "" : " in layers " + layers_text(layers)));
}

std::string cap_text(float cap) { return cap == no_soft_cap ? "no soft cap" : "soft cap " + shown(double{cap}); }

} // namespace

std::vector<std::pair<std::string, std::string>> config_lines(model_config const& c, model_family const& family) {
    std::vector<std::pair<std::string, std::string>> lines{{"block", block_text(family.form)}};
    std::string biases;
    for (std::size_t i = 0; i < projection_count; ++i)
        if (const auto p = static_cast<projection>(i); has(c.block.biases, p))
            biases += (biases.empty() ? "" : ", ") + std::string(name(p));
    lines.emplace_back("biases", biases.empty() ? "none" : biases);
    add_layers(
        lines, "positions", c, [](block_shape const& b) { return b.rope; },
        [&](std::size_t rope) { return rope_text(c.ropes[rope], c); });
    add_layers(
        lines, "window", c, [](block_shape const& b) { return b.window; },
        [](std::size_t window) {
            return window == attention_rule::everything ? "none" : std::to_string(window) + " positions";
        });
    lines.emplace_back("scores", "times " + shown(double{c.block.attention().scale}) + ", " +
                                     cap_text(c.block.attention_soft_cap));
    lines.emplace_back("logits", cap_text(c.logit_soft_cap));
    if (family.scales_embedding) lines.emplace_back("embedding", "times " + shown(double{c.embedding_scale}));
    for (auto const& remark : c.remarks.texts) lines.emplace_back("remark", remark);
    return lines;
}

} // namespace bitlens::command
