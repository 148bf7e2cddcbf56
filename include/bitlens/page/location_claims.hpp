#pragma once
/// What the paper finds of where errors arise (§6), put as questions to a run.

#include "bitlens/analysis/location.hpp"
#include "bitlens/page/claim.hpp"
#include "bitlens/page/published.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

inline constexpr double most_of_damage = 0.5;

/// Columns of losses over the documents of a set that have all of them.
struct loss_columns {
    std::vector<std::vector<double>> losses; // [column][document]

    loss_columns(std::span<const std::size_t> rows, std::span<const std::span<const double>> columns)
        : losses(columns.size()) {
        for (const std::size_t i : rows) {
            if (std::ranges::any_of(columns, [i](std::span<const double> c) { return std::isnan(c[i]); })) continue;
            for (std::size_t c = 0; c < columns.size(); ++c) losses[c].push_back(columns[c][i]);
        }
    }
    std::size_t documents() const noexcept { return losses.empty() ? 0 : losses.front().size(); }
    std::vector<double> means(std::span<const std::size_t> drawn) const {
        std::vector<double> found;
        for (auto const& column : losses) found.push_back(*mean_over(column, drawn));
        return found;
    }
    std::vector<std::size_t> places() const {
        std::vector<std::size_t> all(documents());
        std::iota(all.begin(), all.end(), std::size_t{0});
        return all;
    }
};

/// Does `holds(means)` of the columns, in resamples of a set?
template <class Holds>
outcome judge_means(finished_study const& s, std::span<const std::size_t> set,
                    std::vector<std::span<const double>> const& columns, Holds const& holds) {
    const loss_columns of(set, columns);
    if (of.documents() == 0) return outcome::not_defined;
    const auto all = of.places();
    return judge(resample(all.size(), s.seed,
                          [&](random_generator& random) { return holds(of.means(draw_resample(all, random))); }));
}

/// "0.88 (0.81 to 0.93)".
inline std::string share_text(estimate const& share) {
    std::string text = signed_text(share.value, 2);
    if (share.value && share.within.lo && share.within.hi)
        text += " (" + signed_text(share.within.lo, 2) + " to " + signed_text(share.within.hi, 2) + ")";
    return text;
}

/// Of each method that has all of `changes`: the shares that they give back of its damage on D_large, and
/// `holds(means)` of the losses of the full model, of the method, and under each change. `names`: of each change, where
/// there are several. No answers: no method has them all.
template <class Holds>
run_answer ask_changes(finished_study const& s, location const& l, std::vector<model_change> const& changes,
                       std::vector<std::string> const& names, Holds const& holds) {
    run_answer all;
    for (located_method const& m : l.methods) {
        std::vector<std::span<const double>> columns{m.nll_full, m.nll};
        std::string text = s.methods[m.method].name;
        auto const& damage = m.itself_on(located_set::large).error.value;
        bool defined = damage && *damage > 0;
        for (std::size_t i = 0; i < changes.size(); ++i) {
            auto const* const v = m.find(changes[i]);
            if (!v) break;
            columns.push_back(v->nll);
            auto const& share = v->on(located_set::large).share_back;
            text += (i == 0 ? " " : ", ") + (names.empty() ? std::string() : names[i] + " ") + share_text(share);
            defined = defined && share.value;
        }
        if (columns.size() < changes.size() + 2) continue;
        all.text += (all.text.empty() ? "" : "; ") + text;
        all.answers.push_back(
            {text, defined ? judge_means(s, l.rows(located_set::large), columns, holds) : outcome::not_defined});
    }
    return all;
}

/// means: of the full model, the method and changes.
inline bool gives_most_back(std::span<const double> means, std::size_t change = 0) {
    return means[1] - means[2 + change] > most_of_damage * (means[1] - means[0]);
}

/// "AWQ3 0.88, NF3 0.91 of Qwen2.5-7B; …": shares of the paper's table 4.
inline std::string published_shares(double published::patched_perplexities::*changed) {
    std::string text;
    std::string_view model;
    for (auto const& r : published::patching) {
        text += r.model == model ? ", " : (text.empty() ? "" : "; ") + std::string(r.model) + " ";
        text += std::string(r.method) + " " +
                with_minus_sign(rounded_text(published::share_back(r.full, r.quantized, r.*changed), 2));
        model = r.model;
    }
    return text;
}
inline std::string published_share(published::restored_perplexity const& r) {
    return with_minus_sign(rounded_text(published::share_back(r.full, r.quantized, r.restored), 2)) + " (" +
           std::string(r.model) + ", " + std::string(r.method) + ")";
}

/// Layer at which, in the paper, the early-exit loss of D_large begins to fall steeply: 36 of 40.
inline std::size_t steep_layer(std::size_t layers) noexcept {
    return layers * published::steep_layer / published::steep_layer_of;
}

/// Losses of early exits of the full model, over a set.
inline loss_columns exit_losses(location const& l, std::span<const std::span<const double>> columns, located_set set) {
    return {l.rows(set), columns};
}

/// Draws both sets anew.
template <class Holds>
outcome judge_sets(finished_study const& s, loss_columns const& large, loss_columns const& ctrl, Holds const& holds) {
    if (large.documents() == 0 || ctrl.documents() == 0) return outcome::not_defined;
    const auto all_large = large.places(), all_ctrl = ctrl.places();
    return judge(resample(std::min(large.documents(), ctrl.documents()), s.seed, [&](random_generator& random) {
        const auto of_large = large.means(draw_resample(all_large, random));
        return holds(of_large, ctrl.means(draw_resample(all_ctrl, random)));
    }));
}

inline layer_count count_above(std::span<const double> large, std::span<const double> ctrl) {
    layer_count count{0, large.size()};
    for (std::size_t k = 0; k < large.size(); ++k) count.holds += large[k] > ctrl[k] ? 1u : 0u;
    return count;
}

} // namespace detail

/// The paper's findings of §6, each by name; without answers where what it needs was not run.
namespace location_claims {

inline claim clean_mlp_outputs_give_most_back(finished_study const& s, location const& l) {
    return {"Clean MLP outputs (mlp_out) in the upper half give back most of the damage on D_large: more than half",
            detail::published_shares(&published::patched_perplexities::mlp_out),
            detail::ask_changes(s, l, {{change_kind::patch, hook::name<hook::mlp_out>}}, {},
                                [](std::span<const double> means) { return detail::gives_most_back(means); })};
}

inline claim gates_give_more_back_than_up(finished_study const& s, location const& l) {
    return {"Clean outputs of the gates (mlp_gate) give back more than those of W_up (mlp_up)",
            "in all seven: mlp_gate " + detail::published_shares(&published::patched_perplexities::mlp_gate),
            detail::ask_changes(
                s, l,
                {{change_kind::patch, hook::name<hook::mlp_gate>}, {change_kind::patch, hook::name<hook::mlp_up>}},
                {"mlp_gate", "mlp_up"}, [](std::span<const double> means) { return means[2] < means[3]; })};
}

inline claim up_alone_gives_little_back(finished_study const& s, location const& l) {
    return {"Clean outputs of W_up (mlp_up) alone are ineffective: they give back less than half",
            detail::published_shares(&published::patched_perplexities::mlp_up) + "; below 0 is worse than no patch",
            detail::ask_changes(s, l, {{change_kind::patch, hook::name<hook::mlp_up>}}, {},
                                [](std::span<const double> means) { return !detail::gives_most_back(means); })};
}

inline claim attention_gives_little_back(finished_study const& s, location const& l) {
    return {"Clean attention outputs (attn_out) give back little: less than half",
            detail::published_shares(&published::patched_perplexities::attn_out),
            detail::ask_changes(s, l, {{change_kind::patch, hook::name<hook::attn_out>}}, {},
                                [](std::span<const double> means) { return !detail::gives_most_back(means); })};
}

inline claim inputs_of_gates_not_their_weights(finished_study const& s, location const& l) {
    return {
        "Restoring W_gate in all layers gives back less than half, clean inputs of the gates in the upper half more",
        "W_gate restored " + detail::published_share(published::gate_weights) + ", mlp_gate_in " +
            detail::published_share(published::gate_inputs),
        detail::ask_changes(s, l,
                            {{change_kind::restore_projection, {}, 0, projection::gate},
                             {change_kind::patch, hook::name<hook::mlp_gate_in>}},
                            {"W_gate restored", "mlp_gate_in"}, [](std::span<const double> means) {
                                return !detail::gives_most_back(means, 0) && detail::gives_most_back(means, 1);
                            })};
}

inline claim late_layers_give_little_back(finished_study const& s, location const& l) {
    return {"Restoring the last 18 % of the layers gives back only a small part: less than half",
            detail::published_share(published::late_layers),
            detail::ask_changes(s, l, {{change_kind::restore_late}}, {},
                                [](std::span<const double> means) { return !detail::gives_most_back(means); })};
}

/// The layers of the upper half before the last tenth.
inline claim large_errors_are_ready_late(finished_study const& s, location const& l) {
    claim c{
        "Early exits from r of the full model: the loss of D_large is above that of D_ctrl in the upper layers, until "
        "the last tenth",
        "until about layer 36 of 40 (Mistral-12B)",
        {}};
    auto const* const exits = l.find_exit(exit_state::r, exit_scale::fresh, std::nullopt);
    if (!exits) return c;
    std::vector<std::span<const double>> columns;
    for (std::size_t i = 0; i < exits->layers.size(); ++i)
        if (exits->layers[i] >= upper_half(s.layers()) && exits->layers[i] < detail::steep_layer(s.layers()))
            columns.push_back(exits->nll[i]);
    const auto large = detail::exit_losses(l, columns, located_set::large),
               ctrl = detail::exit_losses(l, columns, located_set::ctrl);
    if (large.documents() == 0 || ctrl.documents() == 0) return c;
    const auto count = [](std::span<const double> a, std::span<const double> b) { return detail::count_above(a, b); };
    const layer_count found = count(large.means(large.places()), ctrl.means(ctrl.places()));
    const auto more_than_half = [&](std::span<const double> a, std::span<const double> b) {
        const auto drawn = count(a, b);
        return 2 * drawn.holds > drawn.of;
    };
    outcome judged = detail::judge_sets(s, large, ctrl, more_than_half);
    if (judged == outcome::agrees && found.holds < found.of) judged = outcome::mostly;
    c.answer.answers.push_back(detail::answer_with("full model", found, judged));
    c.answer.text = c.answer.answers.back().text + " layers";
    return c;
}

/// From the last early exit before the last tenth to the model's end.
inline claim large_errors_fall_late(finished_study const& s, location const& l) {
    claim c{"In the last tenth of the layers the loss of D_large falls further than that of D_ctrl (early exits from r "
            "of the full model)",
            "falls sharply from about layer 36 of 40 on (Mistral-12B); in all four models late",
            {}};
    auto const* const exits = l.find_exit(exit_state::r, exit_scale::fresh, std::nullopt);
    if (!exits) return c;
    std::optional<std::size_t> place;
    for (std::size_t i = 0; i < exits->layers.size(); ++i)
        if (exits->layers[i] >= upper_half(s.layers()) && exits->layers[i] < detail::steep_layer(s.layers())) place = i;
    if (!place) return c;
    const std::vector<std::span<const double>> columns{exits->nll[*place], s.nll_full};
    const auto large = detail::exit_losses(l, columns, located_set::large),
               ctrl = detail::exit_losses(l, columns, located_set::ctrl);
    if (large.documents() == 0 || ctrl.documents() == 0) return c;
    const auto fall = [](std::span<const double> means) { return means[0] - means[1]; };
    const outcome judged = detail::judge_sets(
        s, large, ctrl, [&](std::span<const double> a, std::span<const double> b) { return fall(a) > fall(b); });
    const auto text = [&](detail::loss_columns const& of) {
        return detail::signed_text(fall(of.means(of.places())), 2);
    };
    c.answer.text = "from layer " + std::to_string(exits->layers[*place]) + " to the end by " + text(large) +
                    " against " + text(ctrl) + " nats";
    c.answer.answers.push_back({c.answer.text, judged});
    return c;
}

/// In the order in which the page shows them.
inline constexpr std::array all{large_errors_are_ready_late,  large_errors_fall_late,
                                late_layers_give_little_back, clean_mlp_outputs_give_most_back,
                                gates_give_more_back_than_up, up_alone_gives_little_back,
                                attention_gives_little_back,  inputs_of_gates_not_their_weights};

} // namespace location_claims

/// The paper's findings about what was run.
inline std::vector<claim> location_claims_of(finished_study const& s, location const& l) {
    std::vector<claim> found;
    for (auto* const about : location_claims::all)
        if (claim c = about(s, l); !c.answer.answers.empty()) found.push_back(std::move(c));
    return found;
}

} // namespace bitlens
