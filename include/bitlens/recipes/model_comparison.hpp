#pragma once
/// model_comparison: two models, tensor by tensor: where they differ, which tensors and rows stand out, and whether one
/// is plausibly the quantization of the other that it is expected to be.

#include "bitlens/core/error.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/checkpoint_difference.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/recipes/awq_fold.hpp"
#include "bitlens/recipes/model_tensors.hpp"
#include "bitlens/recipes/quantization_check.hpp"
#include "bitlens/recipes/recovered_scales.hpp"
#include "bitlens/stats/spread.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// One tensor of two models.
struct compared_tensor {
    tensor_difference difference;            ///< without its rows
    std::string kind{};                      ///< its name without the number of its layer
    std::string type_a{}, type_b{};          ///< as stored
    std::optional<std::size_t> layer{};      ///< of tensors in blocks
    std::string unreadable{};                ///< why its numbers cannot be compared; empty: they are
    std::vector<far_error> rows{};           ///< whose error stands out from that of the others
    std::optional<far_error> among_layers{}; ///< where its error stands out from those of its kind and types

    bool is_equal() const noexcept { return unreadable.empty() && difference.is_equal(); }
    bool is_odd() const noexcept {
        return !unreadable.empty() || !rows.empty() || among_layers || difference.in_a.any() || difference.in_b.any();
    }
};

/// What one weight is beside what it is expected to be.
struct checked_weight {
    std::size_t tensor; ///< of model_comparison::tensors
    quantization_check check;
    bool is_folded; ///< the scales of channels that were found in norms and rows were undone first
};

struct model_comparison {
    std::vector<compared_tensor> tensors;
    std::vector<std::string> only_in_a, only_in_b; ///< tensors
    std::vector<checked_weight> checks;            ///< of weights in blocks, if something is expected

    bool is_same() const noexcept {
        return only_in_a.empty() && only_in_b.empty() &&
               std::ranges::all_of(tensors, [](auto const& t) { return t.is_equal(); });
    }
};

/// Errors that stand out of those of a row, or of the same weight in other layers (docs/verify.md).
inline constexpr far_error_rule rows_that_stand_out{3, 15, 0.1, 5}, layers_that_stand_out{2, 8, 0.1, 5};

namespace detail {

/// Compares the tensors of two models in the order in which scales of channels become known.
class comparing {
public:
    comparing(checkpoint const& settings, model_tensors& a, model_tensors& b,
              std::optional<expected_quantization> const& expected)
        : config_(settings.config()), family_(settings.family()), a_(a), b_(b), expected_(expected) {}

    model_comparison run() {
        compare(std::string(embedding_name), std::string(embedding_name), 2);
        for (std::size_t k = 0; k < config_.layers; ++k) compare_layer(k);
        compare(std::string(final_norm_name), std::string(final_norm_name), 1);
        compare_heads();
        mark_layers();
        return std::move(result_);
    }

private:
    using floats = packed_matrix<dense<float>>;

    /// A tied head is the embedding.
    void compare_heads() {
        const std::string head(head_name), embedding(embedding_name);
        const bool in_a = a_.has(head), in_b = b_.has(head);
        if (in_a || in_b) compare(in_a ? head : embedding, in_b ? head : embedding, 2, {}, head);
    }

    /// Norms first, then each input with what gives it before what reads it.
    void compare_layer(std::size_t k) {
        scales_ = {};
        for (const bool norms : {true, false})
            for (auto const& parameter : family_.parameters) {
                auto const* const norm = std::get_if<block_norm>(&parameter.part);
                if (!has_parameter(config_, parameter) || (norm != nullptr) != norms) continue;
                const std::string name = layer_prefix(k) + name_below_layer(parameter);
                if (auto const* const weight = std::get_if<weight_of>(&parameter.part))
                    compare(name, name, 2, k, name, weight->linear);
                else
                    compare(name, name, 1, k, name, {}, norm);
            }
    }

    void compare(std::string const& name_a, std::string const& name_b, std::size_t rank,
                 std::optional<std::size_t> layer = {}, std::string name = {}, std::optional<projection> linear = {},
                 block_norm const* norm = nullptr) {
        if (name.empty()) name = name_a;
        compared_tensor t;
        t.kind = name;
        t.layer = layer;
        if (layer) t.kind.erase(0, layer_prefix(*layer).size());
        t.difference.name = name;
        try {
            const bool in_a = a_.has(name_a), in_b = b_.has(name_b);
            if (!in_a || !in_b) {
                if (in_a != in_b) (in_a ? result_.only_in_a : result_.only_in_b).push_back(name);
                return;
            }
            t.type_a = a_.type(name_a);
            t.type_b = b_.type(name_b);
            const auto a = a_.floats(name_a, rank), b = b_.floats(name_b, rank);
            if (a.rows() != b.rows() || a.cols() != b.cols())
                throw shape_error(rows_by_cols(a.rows(), a.cols()) + " in A, " + rows_by_cols(b.rows(), b.cols()) +
                                  " in B");
            t.difference = difference_of(name, a.view(), b.view());
            t.rows = far_errors_of(t.difference.of_rows, rows_that_stand_out);
            t.difference.of_rows.clear();
            if (norm != nullptr) take_norm(*norm, a.view().row(0), b.view().row(0));
            if (linear && expected_) check(*linear, a.view(), b.view());
        } catch (error const& e) {
            t.unreadable = e.what();
        }
        result_.tensors.push_back(std::move(t));
    }

    void take_norm(block_norm norm, std::span<const float> a, std::span<const float> b) {
        const auto groups = input_groups(family_.form);
        for (std::size_t g = 0; g < groups.size(); ++g)
            if (groups[g].norm == norm) scales_[g] = scales_between(a, b);
    }

    /// Scales are undone where that makes b more like a.
    void check(projection p, matrix_view<const float> a, matrix_view<const float> b) {
        const std::size_t tensor = result_.tensors.size();
        quantization_check plain = check_quantization(a, b, *expected_);
        matrix<float> folded(a.rows, a.cols);
        copy_rows(a, folded.view());
        weight_fold fold = fold_of(p, family_.form, scales_);
        fold_weight(folded, {fold.columns, {}});
        const auto groups = input_groups(family_.form);
        for (std::size_t g = 0; g < groups.size(); ++g)
            if (groups[g].linear == p && !why_not_scaled(family_.form, config_.block, g)) {
                scales_[g] = scales_between_rows(folded, b);
                fold = fold_of(p, family_.form, scales_);
                fold_weight(folded, {{}, fold.rows});
            }
        if (fold.columns.empty() && fold.rows.empty())
            return result_.checks.push_back({tensor, std::move(plain), false});
        quantization_check undone = check_quantization(folded, b, *expected_);
        const bool is_better = undone.error < plain.error;
        if (!is_better) // what was taken for scales is none: for those that read it either
            for (std::size_t g = 0; g < groups.size(); ++g)
                if (groups[g].linear == p) scales_[g].clear();
        result_.checks.push_back({tensor, std::move(is_better ? undone : plain), is_better});
    }

    /// Which tensors of one kind, stored alike, have an error that stands out among the layers'.
    void mark_layers() {
        std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::size_t>> alike;
        for (std::size_t i = 0; i < result_.tensors.size(); ++i)
            if (auto const& t = result_.tensors[i]; t.layer && t.unreadable.empty())
                alike[{t.kind, t.type_a, t.type_b}].push_back(i);
        for (auto const& [kind, members] : alike) {
            std::vector<double> errors;
            for (const std::size_t i : members) errors.push_back(result_.tensors[i].difference.relative);
            for (auto const& one : far_errors_of(errors, layers_that_stand_out))
                result_.tensors[members[one.index]].among_layers =
                    far_error{members[one.index], one.times, one.spreads};
        }
    }

    model_config const& config_;
    model_family const& family_;
    model_tensors &a_, &b_;
    std::optional<expected_quantization> const& expected_;
    model_comparison result_{};
    block_scales scales_{}; // of the layer at hand, of b against a
};

} // namespace detail

/// Every tensor of two models of one architecture and sizes. Two of a name are in memory at a time, as floats.
/// `settings`: of the model whose tensors a are.
inline model_comparison compare_models(checkpoint const& settings, model_tensors& a, model_tensors& b,
                                       std::optional<expected_quantization> const& expected = {}) {
    return detail::comparing(settings, a, b, expected).run();
}

} // namespace bitlens
