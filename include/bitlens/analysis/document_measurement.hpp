#pragma once
/// document_measurement: what a study measures of one document, of the full model and of each quantized one.

#include "bitlens/core/error.hpp"
#include "bitlens/hooks/measure.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/column.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/run_study.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// A sweep's measurement of one document; variant 0 is the full model. Whatever is a mean over positions leaves out
/// position 0, unless `positions` says otherwise.
class document_measurement {
public:
    /// bytes: of the text that is scored, where it is known.
    /// Errors: shape_error for less than 2 tokens, or no variants.
    document_measurement(measured_size size, position_range positions, std::optional<std::uint64_t> bytes)
        : full_(std::make_unique<full_model_probes>(size.layers, positions)), bytes_(bytes) {
        if (size.tokens < 2 || size.variants == 0)
            throw shape_error("document_measurement: " + std::to_string(size.tokens) + " tokens and " +
                              std::to_string(size.variants) + " variants, expected at least 2 and 1");
        for (std::size_t v = 1; v < size.variants; ++v) methods_.emplace_back(size.layers, *full_);
        for (std::size_t v = 0; v < size.variants; ++v) scores_.emplace_back(size.scored(), v == 0);
        for (auto& s : scores_) views_.push_back(s.view());
    }

    /// Bytes that one takes.
    static std::size_t bytes(measured_size size) noexcept {
        constexpr std::size_t lists_of_full = 6, lists_of_method = 6;
        return latest<hook::resid_mid>::bytes(size.tokens, size.width) +
               latest<hook::attn_out>::bytes(size.tokens, size.width) +
               latest<hook::mlp_out>::bytes(size.tokens, size.width) +
               size.variants * size.tokens * position_scores::bytes_of_a_position +
               size.layers *
                   (lists_of_full * sizeof(std::optional<double>) + size.variants * lists_of_method * sizeof(double));
    }

    template <class F>
    void with_probe(std::size_t variant, F const& f) {
        if (variant == 0) {
            full_model_probes& p = *full_;
            chain probe{p.norm_r, p.norm_z, p.norm_h, p.kurtosis_r, p.kurtosis_h, p.top8_r, p.r, p.attn_out, p.mlp_out};
            f(probe);
        } else {
            method_probes& p = methods_[variant - 1];
            chain probe{p.r, p.attn_out, p.mlp_out};
            f(probe);
        }
    }
    std::span<const token_scores> scores() noexcept { return views_; }

    void write(std::size_t variant, results_row& row) const {
        position_scores const &scores = scores_[variant], &full = scores_[0];
        const double nll = mean<double>(scores.nll);
        row.number("nll", nll);
        row.number("entropy", mean<double>(scores.entropy));
        row.number("bits_per_byte", bits_per_byte(nll * static_cast<double>(scores.nll.size())));
        row.positions<double>("nll", scores.nll);
        row.positions<double>("entropy", scores.entropy);
        row.positions<std::int32_t>("top", scores.top);
        row.positions<float>("margin", scores.margin);
        if (variant == 0) {
            row.layers("norm_r", full_->norm_r.per_layer);
            row.layers("norm_z", full_->norm_z.per_layer);
            row.layers("norm_h", full_->norm_h.per_layer);
            row.layers("kurtosis_r", full_->kurtosis_r.per_layer);
            row.layers("kurtosis_h", full_->kurtosis_h.per_layer);
            row.layers("top8_r", full_->top8_r.per_layer);
            row.number("growth_r", full_->norm_r.per_layer.back() / full_->norm_r.per_layer.front());
        } else {
            method_probes const& p = methods_[variant - 1];
            row.number("error", nll - mean<double>(full.nll));
            row.number("kl", mean<double>(scores.kl));
            row.number("same_top", same_top(scores, full));
            row.positions<double>("kl", scores.kl);
            row.layers("mse", p.mlp_out.squared);
            row.layers("diff_r", p.r.relative);
            row.layers("diff_attn", p.attn_out.relative);
            row.layers("diff_mlp", p.mlp_out.relative);
        }
    }

private:
    struct full_model_probes {
        residual_norms<hook::resid_mid> norm_r;
        residual_norms<hook::resid_post> norm_z;
        residual_norms<hook::mlp_in> norm_h;
        token_kurtosis<hook::resid_mid> kurtosis_r;
        token_kurtosis<hook::mlp_in> kurtosis_h;
        top_share<hook::resid_mid> top8_r;
        latest<hook::resid_mid> r;
        latest<hook::attn_out> attn_out;
        latest<hook::mlp_out> mlp_out;

        full_model_probes(std::size_t layers, position_range p)
            : norm_r(layers, p), norm_z(layers, p), norm_h(layers, p), kurtosis_r(layers, p), kurtosis_h(layers, p),
              top8_r(layers, 8, p), r(p), attn_out(p), mlp_out(p) {}
    };
    struct method_probes {
        difference<hook::resid_mid> r;
        difference<hook::attn_out> attn_out;
        difference<hook::mlp_out> mlp_out;

        method_probes(std::size_t layers, full_model_probes const& full)
            : r(layers, full.r), attn_out(layers, full.attn_out), mlp_out(layers, full.mlp_out) {}
    };

    std::optional<double> bits_per_byte(double nats) const noexcept {
        if (!bytes_ || *bytes_ == 0) return std::nullopt;
        return nats / (std::numbers::ln2 * static_cast<double>(*bytes_));
    }

    std::unique_ptr<full_model_probes> full_; // where it stays when this object moves: the methods' probes refer to it
    std::vector<method_probes> methods_;
    std::optional<std::uint64_t> bytes_;
    std::vector<position_scores> scores_;
    std::vector<token_scores> views_;
};

/// What `bitlens study` measures of every document.
struct document_statistics {
    position_range positions;                                 // of norms, kurtosis, shares and differences
    std::span<const std::optional<std::uint64_t>> bytes = {}; // of each document's scored text; none: unknown

    std::vector<column> columns() const {
        using enum column_shape;
        using enum column_owner;
        const std::string nats = "nats per token", states = "activations";
        return {
            {"nll", document, each_variant, nats, "mean over the T scored positions of -log p(next token)"},
            {"error", document, each_method, nats, "nll of the method minus nll_full (eq. 4 of the paper)"},
            {"kl", document, each_method, nats, "mean of KL(p_full || p_method) over the whole vocabulary"},
            {"same_top", document, each_method, "share", "positions whose most likely token is the full model's"},
            {"entropy", document, each_variant, nats, "mean entropy of the predictions"},
            {"bits_per_byte", document, each_variant, "bits per byte",
             "loss of all scored tokens over the bytes of their text; empty where those are unknown"},
            {"growth_r", document, full_model, "", "norm_r of the last layer over that of layer 0"},
            {"norm_r", layer, full_model, states, "mean length of the states after attention (eq. 7)"},
            {"norm_z", layer, full_model, states, "mean length of the states after the block"},
            {"norm_h", layer, full_model, states, "mean length of what the MLP reads, norm and weight applied"},
            {"kurtosis_r", layer, full_model, "",
             "mean over tokens of the kurtosis of a state after attention, 3 for a normal distribution; empty where "
             "the "
             "numbers of a token are all equal"},
            {"kurtosis_h", layer, full_model, "", "the same of what the MLP reads"},
            {"top8_r", layer, full_model, "share",
             "of the squared length of a state after attention in its eight largest dimensions, mean over tokens"},
            {"mse", layer, each_method, "activations squared",
             "mean squared difference of the MLP's output from the full model's"},
            {"diff_r", layer, each_method, "",
             "mean over tokens of |r' - r| / |r|, the state after attention against the full model's: where the two "
             "runs "
             "part"},
            {"diff_attn", layer, each_method, "", "the same of what attention adds"},
            {"diff_mlp", layer, each_method, "", "the same of what the MLP adds"},
            {"nll", position, each_variant, "nats", "-log p(next token); column t belongs to id t + 1"},
            {"kl", position, each_method, "nats", "KL(p_full || p_method)"},
            {"top", position, each_variant, "token id", "most likely next id", true},
            {"margin", position, each_variant, "logits",
             "logit of the full model's most likely id minus the largest other one, both of this variant: below 0 "
             "where "
             "quantization changed the first place"},
            {"entropy", position, each_variant, "nats", "entropy of the prediction"},
        };
    }
    document_measurement make(measured_size size, std::size_t n) const {
        return {size, positions, n < bytes.size() ? bytes[n] : std::nullopt};
    }
    std::size_t bytes_of_one(measured_size size) const noexcept { return document_measurement::bytes(size); }
};
static_assert(measurement_kind<document_statistics>);

} // namespace bitlens
