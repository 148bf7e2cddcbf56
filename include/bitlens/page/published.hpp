#pragma once
/// What the paper reports (arXiv 2506.12044), as tables to stand beside a run's own. Other models, other data, other
/// methods: for orientation, not for comparison number by number.

#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens::published {

inline constexpr std::string_view source = "arXiv 2506.12044: base models of 7 to 70 billion parameters in 16 bits, "
                                           "10,000 FineWeb documents of 512 tokens.";

/// Mean Pearson correlation of errors over all 50 pairs of methods (§4.1).
inline constexpr double mean_method_correlation = 0.82;
/// Jaccard overlap of the methods' worst tenths (§4.1). The paper does not say whether near-duplicates are in them;
/// appendix B gives other overlaps for D_large, which is without them.
inline constexpr std::string_view overlap = "mean 0.51, by chance about 0.05";
inline constexpr std::string_view overlap_note =
    "That the paper's overlap of worst tenths (§4.1) is before the near-duplicate filter is our reading.";
/// Pearson correlation of the error with the Kullback-Leibler divergence, at least (appendix A).
inline constexpr double least_kl_correlation = 0.97;
/// Pearson correlation of norm(x; h) with the MSE of the MLP output, above this in most upper layers (§5.3).
inline constexpr double norm_h_mse_correlation = 0.6;

/// Table 5, FineWeb: logarithms of the quotients of perplexities, over all such pairs of methods of a model.
inline constexpr std::string_view fewer_bits = "0.06 to 0.32 in four models";
/// The largest share of D_large that one of 24 topics holds, at most (§7.1, figure 3).
inline constexpr double largest_topic_share = 0.12;

struct pair_correlation {
    std::string_view model, first, second;
    double pearson;
};

/// Tables 1 and 6.
inline constexpr std::array<pair_correlation, 50> method_correlations{{
    {"Qwen2.5-7B", "AWQ4", "NF4", .52},    {"Qwen2.5-7B", "AWQ4", "GPTQ4", .66},  {"Qwen2.5-7B", "AWQ4", "NF3", .61},
    {"Qwen2.5-7B", "AWQ4", "GPTQ3", .65},  {"Qwen2.5-7B", "AWQ3", "NF3", .78},    {"Qwen2.5-7B", "AWQ3", "GPTQ3", .84},
    {"Qwen2.5-7B", "NF4", "GPTQ4", .57},   {"Qwen2.5-7B", "NF4", "AWQ3", .57},    {"Qwen2.5-7B", "NF4", "GPTQ3", .55},
    {"Qwen2.5-7B", "NF3", "GPTQ3", .75},   {"Qwen2.5-7B", "GPTQ4", "AWQ3", .75},  {"Qwen2.5-7B", "GPTQ4", "NF3", .70},
    {"Llama3-8B", "AWQ4", "NF4", .95},     {"Llama3-8B", "AWQ4", "GPTQ4", .96},   {"Llama3-8B", "AWQ4", "NF3", .88},
    {"Llama3-8B", "AWQ4", "EQAT3", .92},   {"Llama3-8B", "AWQ3", "NF3", .98},     {"Llama3-8B", "AWQ3", "EQAT3", .97},
    {"Llama3-8B", "NF4", "GPTQ4", .95},    {"Llama3-8B", "NF4", "AWQ3", .87},     {"Llama3-8B", "NF4", "EQAT3", .90},
    {"Llama3-8B", "NF3", "EQAT3", .96},    {"Llama3-8B", "GPTQ4", "AWQ3", .90},   {"Llama3-8B", "GPTQ4", "NF3", .90},
    {"Llama3-8B", "GPTQ4", "EQAT3", .93},  {"Mistral-12B", "AWQ4", "NF4", .78},   {"Mistral-12B", "AWQ4", "GPTQ4", .86},
    {"Mistral-12B", "AWQ4", "NF3", .80},   {"Mistral-12B", "AWQ4", "GPTQ3", .83}, {"Mistral-12B", "AWQ3", "NF3", .90},
    {"Mistral-12B", "AWQ3", "GPTQ3", .95}, {"Mistral-12B", "NF4", "GPTQ4", .82},  {"Mistral-12B", "NF4", "AWQ3", .81},
    {"Mistral-12B", "NF4", "GPTQ3", .78},  {"Mistral-12B", "NF3", "GPTQ3", .89},  {"Mistral-12B", "GPTQ4", "AWQ3", .90},
    {"Mistral-12B", "GPTQ4", "NF3", .85},  {"Llama3-70B", "AWQ4", "NF4", .80},    {"Llama3-70B", "AWQ4", "GPTQ4", .96},
    {"Llama3-70B", "AWQ4", "GPTQ3", .86},  {"Llama3-70B", "AWQ4", "EQAT3", .81},  {"Llama3-70B", "AWQ3", "EQAT3", .85},
    {"Llama3-70B", "NF4", "GPTQ4", .81},   {"Llama3-70B", "NF4", "GPTQ3", .80},   {"Llama3-70B", "NF4", "AWQ3", .81},
    {"Llama3-70B", "NF4", "EQAT3", .75},   {"Llama3-70B", "GPTQ4", "AWQ3", .94},  {"Llama3-70B", "GPTQ4", "EQAT3", .83},
    {"Llama3-70B", "GPTQ3", "AWQ3", .96},  {"Llama3-70B", "GPTQ3", "EQAT3", .83},
}};

inline table method_correlation_table() {
    table t{"published_method_correlation",
            "In the paper: correlation of errors between methods (tables 1 and 6)",
            {{"model", "model"}, {"first", "method"}, {"second", "and"}, {"pearson", "Pearson", 2}},
            {},
            {std::string(source)}};
    for (auto const& p : method_correlations)
        t.add({std::string(p.model), std::string(p.first), std::string(p.second), p.pearson});
    return t;
}

/// How GPTQ was run: the damping of its Hessian, and whether columns are quantized by falling activations.
struct gptq_variant {
    double damp;
    bool sorted;

    bool operator==(gptq_variant const&) const = default;
};

struct variant_correlation {
    gptq_variant first, second;
    double pearson;
};

/// Table 7: Qwen2.5-7B in 3 bits.
inline constexpr std::array<variant_correlation, 6> variant_correlations{{
    {{.005, true}, {.01, true}, .95},
    {{.005, true}, {.02, true}, .95},
    {{.01, true}, {.02, true}, .95},
    {{.005, true}, {.01, false}, .92},
    {{.01, true}, {.01, false}, .92},
    {{.02, true}, {.01, false}, .92},
}};
inline constexpr std::string_view variant_model = "Qwen2.5-7B";

inline table variant_correlation_table() {
    const auto words = [](gptq_variant const& v) {
        return "damp " + exact_text(v.damp) + (v.sorted ? ", sorted" : ", not sorted");
    };
    table t{"published_variant_correlation",
            "In the paper: correlation of errors between variants of GPTQ3 (table 7)",
            {{"model", "model"}, {"first", "variant"}, {"second", "and"}, {"pearson", "Pearson", 2}},
            {},
            {std::string(source)}};
    for (auto const& p : variant_correlations)
        t.add({std::string(variant_model), words(p.first), words(p.second), p.pearson});
    return t;
}

/// Table 5, FineWeb at 512 tokens.
inline table perplexity_table() {
    struct row {
        std::string_view model, method;
        double perplexity;
    };
    constexpr std::array<row, 27> rows{{
        {"Qwen2.5-7B", "16 bits", 11.06}, {"Qwen2.5-7B", "AWQ4", 11.35},  {"Qwen2.5-7B", "NF4", 11.37},
        {"Qwen2.5-7B", "GPTQ4", 11.33},   {"Qwen2.5-7B", "AWQ3", 12.77},  {"Qwen2.5-7B", "NF3", 13.47},
        {"Qwen2.5-7B", "GPTQ3", 12.26},   {"Llama3-8B", "16 bits", 9.57}, {"Llama3-8B", "AWQ4", 10.13},
        {"Llama3-8B", "NF4", 10.11},      {"Llama3-8B", "GPTQ4", 10.12},  {"Llama3-8B", "AWQ3", 12.13},
        {"Llama3-8B", "NF3", 12.45},      {"Llama3-8B", "EQAT3", 10.77},  {"Mistral-12B", "16 bits", 8.67},
        {"Mistral-12B", "AWQ4", 9.09},    {"Mistral-12B", "NF4", 9.13},   {"Mistral-12B", "GPTQ4", 9.02},
        {"Mistral-12B", "AWQ3", 10.32},   {"Mistral-12B", "NF3", 12.48},  {"Mistral-12B", "GPTQ3", 10.44},
        {"Llama3-70B", "16 bits", 7.15},  {"Llama3-70B", "AWQ4", 7.42},   {"Llama3-70B", "NF4", 7.88},
        {"Llama3-70B", "GPTQ4", 7.52},    {"Llama3-70B", "GPTQ3", 9.64},  {"Llama3-70B", "AWQ3", 8.40},
    }};
    table t{"published_perplexity",
            "In the paper: perplexity on FineWeb (table 5)",
            {{"model", "model"}, {"method", "method"}, {"perplexity", "perplexity", 2}},
            {},
            {std::string(source)}};
    for (auto const& r : rows) t.add({std::string(r.model), std::string(r.method), r.perplexity});
    return t;
}

struct last_layer_correlation {
    std::string_view model, method;
    double pearson;
};

/// Table 2.
inline constexpr std::array<last_layer_correlation, 11> last_layer_correlations{{
    {"Qwen2.5-7B", "AWQ3", -.66},
    {"Qwen2.5-7B", "NF3", -.58},
    {"Qwen2.5-7B", "GPTQ3", -.74},
    {"Llama3-8B", "AWQ3", -.76},
    {"Llama3-8B", "NF3", -.76},
    {"Llama3-8B", "EQAT3", -.75},
    {"Mistral-12B", "AWQ3", -.80},
    {"Mistral-12B", "NF3", -.71},
    {"Mistral-12B", "GPTQ3", -.83},
    {"Llama3-70B", "AWQ3", -.78},
    {"Llama3-70B", "GPTQ3", -.81},
}};

inline table last_layer_table() {
    table t{"published_last_layer",
            "In the paper: correlation of norm(x; r) at the last layer with the error (table 2)",
            {{"model", "model"}, {"method", "method"}, {"pearson", "Pearson", 2}},
            {},
            {std::string(source)}};
    for (auto const& r : last_layer_correlations) t.add({std::string(r.model), std::string(r.method), r.pearson});
    return t;
}

/// §7.2 and figure 4: mean error of the documents on which Llama3-70B in 16 bits loses much, or little.
inline table long_tail_table() {
    table t{"published_long_tail",
            "In the paper: mean error of hard and of easy documents (figure 4)",
            {{"model", "model"},
             {"method", "method"},
             {"hard", "loss before of 4 or more: mean error", 2},
             {"easy", "of 1 or less", 2}},
            {},
            {std::string(source)}};
    t.add({"Llama3-70B", "AWQ3", .14, .67});
    t.add({"Llama3-70B", "GPTQ3", .30, 1.00});
    return t;
}

/// Appendix B (overlap of D_large) and table 4 (perplexity of the full model on the D_large of AWQ3).
inline table error_sets_table() {
    table t{
        "published_error_sets",
        "In the paper: the large-error sets",
        {{"model", "model"},
         {"jaccard", "mean overlap of D_large between methods", 2},
         {"perplexity_large", "16-bit perplexity on D_large", 2},
         {"perplexity_all", "on all documents", 2}},
        {},
        {std::string(source), "Overlap of worst tenths: " + std::string(overlap) + ". " + std::string(overlap_note)}};
    t.add({"Qwen2.5-7B", .30, 9.42, 11.06});
    t.add({"Llama3-8B", .49, 5.62, 9.57});
    t.add({"Mistral-12B", .66, 5.60, 8.67});
    t.add({"Llama3-70B", .66, 2.66, 7.15});
    return t;
}

/// Perplexity on D_large of AWQ3, with the full model's activations in the upper half of the layers.
struct patched_perplexities {
    std::string_view model, method;
    double full, quantized, mlp_out, mlp_gate, mlp_up, attn_out;
};

/// Table 4. The paper's h_down is mlp_out, its h_attn attn_out.
inline constexpr std::array<patched_perplexities, 7> patching{{
    {"Qwen2.5-7B", "AWQ3", 9.42, 12.26, 9.73, 10.20, 12.64, 11.12},
    {"Qwen2.5-7B", "NF3", 9.42, 12.53, 9.66, 10.61, 12.97, 11.35},
    {"Llama3-8B", "AWQ3", 5.62, 10.68, 5.95, 6.42, 9.97, 9.27},
    {"Llama3-8B", "NF3", 5.62, 11.02, 5.92, 6.43, 10.48, 9.49},
    {"Mistral-12B", "AWQ3", 5.60, 8.67, 6.05, 6.13, 12.49, 7.61},
    {"Mistral-12B", "NF3", 5.60, 10.14, 5.92, 7.12, 13.75, 8.71},
    {"Llama3-70B", "AWQ3", 2.66, 5.25, 2.73, 2.94, 3.24, 4.73},
}};

/// Perplexity on D_large with the last 7 of 40 layers in 16 bits (§6.1), with the inputs of the gates patched, and with
/// the weights of the gates in 16 bits in all layers (§6.2).
struct restored_perplexity {
    std::string_view model, method;
    double full, quantized, restored;
};
inline constexpr restored_perplexity late_layers{"Mistral-12B", "AWQ3", 5.60, 8.67, 8.05};
inline constexpr restored_perplexity gate_inputs{"Llama3-8B", "NF3", 5.62, 11.02, 6.53};
inline constexpr restored_perplexity gate_weights{"Llama3-8B", "NF3", 5.62, 11.02, 10.45};

/// Until about this layer of Mistral-12B's 40, the early-exit loss of D_large is above that of D_ctrl (figure 2).
inline constexpr std::size_t steep_layer = 36, steep_layer_of = 40;

/// Which share of the damage a change gives back, in nats: from perplexities of the quantized model with it, without it
/// and of the full model.
inline double share_back(double full, double quantized, double changed) noexcept {
    return std::log(quantized / changed) / std::log(quantized / full);
}

inline table patching_table() {
    table t{"published_patching",
            "In the paper: perplexity on D_large with the full model's activations in the upper half (table 4)",
            {{"model", "model"},
             {"method", "method"},
             {"full", "16 bits", 2},
             {"quantized", "3 bits", 2},
             {"mlp_out", "mlp_out", 2},
             {"mlp_gate", "mlp_gate", 2},
             {"mlp_up", "mlp_up", 2},
             {"attn_out", "attn_out", 2},
             {"share_mlp_out", "given back: mlp_out", 2},
             {"share_mlp_gate", "mlp_gate", 2},
             {"share_mlp_up", "mlp_up", 2},
             {"share_attn_out", "attn_out", 2}},
            {},
            {std::string(source) + " D_large is that of AWQ3. Shares of the damage in nats are ours, from these "
                                   "perplexities. The paper calls mlp_out h_down, and attn_out h_attn."}};
    for (auto const& r : patching) {
        const auto share = [&](double changed) { return share_back(r.full, r.quantized, changed); };
        t.add({std::string(r.model), std::string(r.method), r.full, r.quantized, r.mlp_out, r.mlp_gate, r.mlp_up,
               r.attn_out, share(r.mlp_out), share(r.mlp_gate), share(r.mlp_up), share(r.attn_out)});
    }
    return t;
}

inline table restoring_table() {
    table t{"published_restoring",
            "In the paper: perplexity on D_large with restored layers, gates and inputs of gates (§6.1, §6.2)",
            {{"model", "model"},
             {"method", "method"},
             {"change", "change"},
             {"full", "16 bits", 2},
             {"quantized", "3 bits", 2},
             {"changed", "with the change", 2},
             {"share", "given back", 2}},
            {},
            {"The share of the damage, in nats, is ours."}};
    const auto add = [&](restored_perplexity const& r, const char* change) {
        t.add({std::string(r.model), std::string(r.method), change, r.full, r.quantized, r.restored,
               share_back(r.full, r.quantized, r.restored)});
    };
    add(late_layers, "last 7 of 40 layers in 16 bits");
    add(gate_inputs, "clean inputs of W_gate alone, upper half");
    add(gate_weights, "W_gate in 16 bits, all layers");
    return t;
}

} // namespace bitlens::published
