#pragma once
/// document_measurement: what the study keeps of one document, for the full model and for each quantized one.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/hooks/points.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/stats/norms.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// What the residual stream of the full model looks like: one number per layer each (arXiv 2506.12044, §5).
struct layer_statistics {
    std::vector<double> norm_r, norm_z, norm_h;                // mean ‖r_t‖₂ of resid_mid, resid_post, mlp_in
    std::vector<std::optional<double>> kurtosis_r, kurtosis_h; // mean over tokens, not excess

    explicit layer_statistics(std::size_t layers)
        : norm_r(layers), norm_z(layers), norm_h(layers), kurtosis_r(layers), kurtosis_h(layers) {}
};

/// Per-position scores of one variant: see token_scores. The first variant's kl stays empty.
struct position_scores {
    std::vector<double> nll, kl;
    std::vector<std::int32_t> top;
    std::vector<float> margin;

    position_scores(std::size_t positions, bool is_reference)
        : nll(positions), kl(is_reference ? 0 : positions), top(positions), margin(positions) {}
    token_scores view() noexcept { return {nll, kl, top, margin}; }
};

/// Share of the positions at which two runs find the same token most likely.
/// Errors: shape_error for different numbers of positions, or none.
inline double same_top(position_scores const& a, position_scores const& b) {
    detail::check_size("same_top", "b", b.top.size(), a.top.size());
    if (a.top.empty()) throw shape_error("same_top: at least one position is expected");
    std::size_t same = 0;
    for (std::size_t t = 0; t < a.top.size(); ++t) same += a.top[t] == b.top[t] ? 1u : 0u;
    return static_cast<double>(same) / static_cast<double>(a.top.size());
}

/// A sweep's measurement of one row under one variant: its scores and nothing else.
class score_measurement {
public:
    explicit score_measurement(std::size_t positions) : scores_(positions, true), view_(scores_.view()) {}
    template <class F>
    void with_probe(std::size_t, F const& f) {
        no_probe nobody;
        f(nobody);
    }
    std::span<const token_scores> scores() noexcept { return {&view_, 1}; }
    position_scores const& positions() const noexcept { return scores_; }

private:
    position_scores scores_;
    token_scores view_;
};

/// A sweep's measurement of one document. Variant 0 is the full model. Norms, kurtosis and the difference of the MLP
/// outputs are means over positions 1 … T, because position 0 carries the attention sink's massive activation;
/// `first_position` includes it.
class document_measurement {
public:
    /// `tokens` ids, so T = tokens − 1 scored positions.   Errors: shape_error for less than 2 tokens, or no variants.
    document_measurement(std::size_t variants, std::size_t layers, std::size_t tokens, std::size_t width,
                         bool first_position)
        : skipped_(first_position ? 0 : 1), layers_(layers) {
        if (tokens < 2 || variants == 0)
            throw shape_error("document_measurement: " + std::to_string(tokens) + " tokens and " +
                              std::to_string(variants) + " variants, expected at least 2 and 1");
        mlp_out_ = matrix<float>(tokens - skipped_, width);
        mlp_out_mse_.assign(variants - 1, std::vector<double>(layers));
        for (std::size_t v = 0; v < variants; ++v) scores_.emplace_back(tokens - 1, v == 0);
        for (auto& s : scores_) views_.push_back(s.view());
    }

    /// Bytes that one takes, at most.
    static std::size_t bytes(std::size_t variants, std::size_t layers, std::size_t tokens, std::size_t width) noexcept {
        constexpr std::size_t of_a_score = 2 * sizeof(double) + sizeof(std::int32_t) + sizeof(float);
        constexpr std::size_t of_a_layer = 5 * sizeof(std::optional<double>);
        return tokens * width * sizeof(float) + variants * tokens * of_a_score +
               layers * (of_a_layer + variants * sizeof(double));
    }

    template <class F>
    void with_probe(std::size_t variant, F const& f) {
        if (variant == 0) {
            full_model_probe probe{*this};
            f(probe);
        } else {
            quantized_model_probe probe{*this, mlp_out_mse_[variant - 1]};
            f(probe);
        }
    }
    std::span<const token_scores> scores() noexcept { return views_; }

    layer_statistics const& layers() const noexcept { return layers_; }
    position_scores const& positions(std::size_t variant) const noexcept { return scores_[variant]; }
    /// MSE(l) of the MLP outputs of a variant ≥ 1 against the full model's, one number per layer.
    std::span<const double> mlp_out_mse(std::size_t variant) const noexcept { return mlp_out_mse_[variant - 1]; }

private:
    matrix_view<const float> counted(matrix_view<float> a) const noexcept {
        return a.middle_rows(skipped_, a.rows - skipped_);
    }

    struct full_model_probe {
        using points = hook::set<hook::resid_mid, hook::mlp_in, hook::mlp_out, hook::resid_post>;
        document_measurement& owner;

        void on(hook::resid_mid, site at, matrix_view<float> r) {
            owner.layers_.norm_r[at.layer] = mean_row_norm(owner.counted(r));
            owner.layers_.kurtosis_r[at.layer] = kurtosis_per_token(owner.counted(r));
        }
        void on(hook::mlp_in, site at, matrix_view<float> h) {
            owner.layers_.norm_h[at.layer] = mean_row_norm(owner.counted(h));
            owner.layers_.kurtosis_h[at.layer] = kurtosis_per_token(owner.counted(h));
        }
        void on(hook::mlp_out, site, matrix_view<float> o) {
            const auto rows = owner.counted(o);
            for (std::size_t t = 0; t < rows.rows; ++t) std::ranges::copy(rows.row(t), owner.mlp_out_.row(t).begin());
        }
        void on(hook::resid_post, site at, matrix_view<float> z) {
            owner.layers_.norm_z[at.layer] = mean_row_norm(owner.counted(z));
        }
    };
    struct quantized_model_probe {
        using points = hook::set<hook::mlp_out>;
        document_measurement& owner;
        std::vector<double>& mse;

        void on(hook::mlp_out, site at, matrix_view<float> o) {
            mse[at.layer] = mean_squared_difference(owner.counted(o), owner.mlp_out_);
        }
    };

    std::size_t skipped_;
    layer_statistics layers_;
    matrix<float> mlp_out_; // the full model's in the layer at hand
    std::vector<std::vector<double>> mlp_out_mse_;
    std::vector<position_scores> scores_;
    std::vector<token_scores> views_;
};

} // namespace bitlens
