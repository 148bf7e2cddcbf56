#pragma once
/// The paper's numbers for the methods of a run: which of its methods each is like, and what it reports of them.

#include "bitlens/analysis/location.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/page/published.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens::published {

/// The paper's name for a method, by family and bits, or none: "gptq3-g64:damp=0.02" → "GPTQ3". Groups need not be as
/// large as there, which are of 64 (GPTQ3, NF) and of 128.
inline std::string_view name_of(method_columns const& m) {
    struct named {
        std::string_view family;
        unsigned bits;
        std::string_view name;
    };
    constexpr std::array<named, 7> all{{{"awq", 3, "AWQ3"},
                                        {"awq", 4, "AWQ4"},
                                        {"gptq", 3, "GPTQ3"},
                                        {"gptq", 4, "GPTQ4"},
                                        {"nf", 3, "NF3"},
                                        {"nf", 4, "NF4"},
                                        {"eqat", 3, "EQAT3"}}};
    const auto bits = bits_of(m);
    for (named const& n : all)
        if (n.family == family(m) && n.bits == bits) return n.name;
    return {};
}

/// How a method of GPTQ differs from others by what table 7 varies; none for other methods, and where it differs by
/// anything else too. What a spec does not name is as the paper has it: damp 0.01, sorted.
inline std::optional<gptq_variant> variant_of(method_columns const& m) {
    const std::string_view spec = m.spec;
    const auto colon = spec.find(':');
    if (family(m) != "gptq" || std::ranges::count(spec.substr(0, colon), '-') > 1) return std::nullopt;
    gptq_variant v{.01, true};
    std::string_view options = colon == spec.npos ? std::string_view() : spec.substr(colon + 1);
    while (!options.empty()) {
        const auto comma = options.find(',');
        const std::string_view option = options.substr(0, comma);
        options.remove_prefix(comma == options.npos ? options.size() : comma + 1);
        const auto value = option.substr(std::min(option.find('='), option.size() - 1) + 1);
        if (option.starts_with("damp=")) {
            const auto end = value.data() + value.size();
            const auto [read, problem] = std::from_chars(value.data(), end, v.damp);
            if (read != end || problem != std::errc()) return std::nullopt;
        } else if (option == "act_order=on" || option == "act_order=off") {
            v.sorted = value == "on";
        } else {
            return std::nullopt;
        }
    }
    return v;
}

namespace detail {

inline void append(std::string& text, std::string_view model, double value) {
    text += (text.empty() ? "" : ", ") + std::string(model) + ' ' + with_minus_sign(fixed_text(value, 2));
}

} // namespace detail

/// Tables 1, 6 and 7: "Qwen2.5-7B 0.84, Mistral-12B 0.95"; empty where the paper has no such pair.
inline std::string correlations_of(method_columns const& a, method_columns const& b) {
    std::string text;
    const auto first = name_of(a), second = name_of(b);
    for (auto const& p : method_correlations)
        if ((p.first == first && p.second == second) || (p.first == second && p.second == first))
            detail::append(text, p.model, p.pearson);
    const auto one = variant_of(a), other = variant_of(b);
    if (one && other && first == "GPTQ3" && second == "GPTQ3")
        for (auto const& p : variant_correlations)
            if ((p.first == *one && p.second == *other) || (p.first == *other && p.second == *one))
                detail::append(text, variant_model, p.pearson);
    return text;
}

/// Table 2.
inline std::string last_layer_of(method_columns const& m) {
    std::string text;
    for (auto const& r : last_layer_correlations)
        if (r.method == name_of(m)) detail::append(text, r.model, r.pearson);
    return text;
}

/// Table 4, §6.1 and §6.2: the share of the damage on D_large that a change gives back, by the paper's perplexities.
inline std::string share_back_of(method_columns const& m, model_change const& c) {
    const auto name = name_of(m);
    std::string text;
    const auto append = [&](std::string_view model, double full, double quantized, double changed) {
        detail::append(text, model, share_back(full, quantized, changed));
    };
    constexpr std::array<std::pair<std::string_view, double patched_perplexities::*>, 4> points{
        {{hook::name<hook::mlp_out>, &patched_perplexities::mlp_out},
         {hook::name<hook::mlp_gate>, &patched_perplexities::mlp_gate},
         {hook::name<hook::mlp_up>, &patched_perplexities::mlp_up},
         {hook::name<hook::attn_out>, &patched_perplexities::attn_out}}};
    if (c.kind == change_kind::patch)
        for (auto const& [point, changed] : points)
            for (auto const& r : patching)
                if (point == c.point && r.method == name) append(r.model, r.full, r.quantized, r.*changed);
    const auto restored = [&](bool is_it, restored_perplexity const& r) {
        if (is_it && r.method == name) append(r.model, r.full, r.quantized, r.restored);
    };
    restored(c.kind == change_kind::patch && c.point == hook::name<hook::mlp_gate_in>, gate_inputs);
    restored(c.kind == change_kind::restore_projection && c.part == projection::gate, gate_weights);
    restored(c.kind == change_kind::restore_late, late_layers);
    return text;
}

/// Whether two methods are variants of GPTQ with as many bits, which table 7 compares.
inline bool are_variants(method_columns const& a, method_columns const& b) {
    const auto one = variant_of(a), other = variant_of(b);
    return one && other && *one != *other && bits_of(a) == bits_of(b);
}

/// Puts the paper's numbers, a text for each row, into a last column, where there are any.
inline void add_beside(table& t, std::span<const std::string> of_rows, std::string title = "the paper") {
    if (std::ranges::all_of(of_rows, &std::string::empty)) return;
    t.columns.push_back({"paper", std::move(title)});
    for (std::size_t r = 0; r < t.rows.size(); ++r) t.rows[r].emplace_back(of_rows[r]);
}

} // namespace bitlens::published
