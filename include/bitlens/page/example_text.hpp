#pragma once
/// Documents as HTML, each token coloured by its own error under one method, its loss, or its divergence.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/number_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// Neighbouring tokens that are shown as one because a character's bytes are split between them.
struct token_group {
    std::size_t first = 0, count = 0; // positions
    std::string bytes;
};

/// Groups the tokens of one document so that no character is split, unless its bytes are not UTF-8 anyway.
inline std::vector<token_group> group_tokens(std::span<const std::string> token_bytes) {
    const auto begun_character = [](std::string bytes) {
        bytes.erase(0, valid_utf8_length(bytes));
        if (bytes.empty()) return bytes;
        const auto lead = static_cast<std::uint8_t>(bytes.front());
        const std::size_t length = lead >= 0xF5 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
        const auto continues = [](char c) { return (static_cast<std::uint8_t>(c) & 0xC0u) == 0x80u; };
        if (bytes.size() >= length || !std::all_of(bytes.begin() + 1, bytes.end(), continues)) bytes.clear();
        return bytes;
    };
    std::vector<token_group> groups;
    std::string begun; // the last bytes of the last group, where they begin a character that is not whole
    for (std::size_t t = 0; t < token_bytes.size(); ++t) {
        if (begun.empty()) groups.push_back({t, 0, {}});
        auto& group = groups.back();
        ++group.count;
        group.bytes += token_bytes[t];
        begun = begun_character(begun + token_bytes[t]);
    }
    return groups;
}

/// What a token is coloured by, in nats. Its class is a letter and the step that |value| reaches, "" below the first.
struct token_scale {
    char above, below; // letters for numbers above and below zero
    std::array<double, 4> steps;

    std::string operator()(double value) const {
        if (std::isnan(value)) return {};
        std::size_t step = 0;
        while (step < steps.size() && std::abs(value) >= steps[step]) ++step;
        if (step == 0) return {};
        return (value > 0 ? above : below) + std::to_string(step);
    }
};
inline constexpr token_scale error_scale{'p', 'n', {0.25, 0.5, 1, 2}}, loss_scale{'l', 'l', {1, 2, 4, 8}},
    kl_scale{'k', 'k', {0.1, 0.3, 1, 3}};

/// The colours of each scale, on light and on dark pages; the reader's choice in example_switch says which counts.
inline std::string_view example_style() noexcept {
    return R"(.text{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--shade);padding:.75rem 1rem;margin:.5rem 0;font-size:.9rem;line-height:1.7;max-height:32rem;overflow-y:auto}
.text i,.key i{font-style:normal;border-radius:2px}
.by{margin:0 .3em 0 1em}.by+label{font-size:.9rem;cursor:pointer}
.key,.documents h4{margin:.5rem 0}.key i{padding:0 .4em;margin-right:.25em;color:var(--ink)}
.key{display:none}#by-error:checked~.key.error,#by-loss:checked~.key.loss,#by-kl:checked~.key.kl{display:block}
#by-error:checked~* .p1{background:rgba(226,88,16,.16)}#by-error:checked~* .p2{background:rgba(226,88,16,.32)}#by-error:checked~* .p3{background:rgba(226,88,16,.52)}#by-error:checked~* .p4{background:rgba(226,88,16,.78)}
#by-error:checked~* .n1{background:rgba(24,120,210,.16)}#by-error:checked~* .n2{background:rgba(24,120,210,.32)}#by-error:checked~* .n3{background:rgba(24,120,210,.52)}#by-error:checked~* .n4{background:rgba(24,120,210,.78)}
#by-loss:checked~* .l1{background:rgba(130,80,200,.14)}#by-loss:checked~* .l2{background:rgba(130,80,200,.28)}#by-loss:checked~* .l3{background:rgba(130,80,200,.46)}#by-loss:checked~* .l4{background:rgba(130,80,200,.7)}
#by-kl:checked~* .k1{background:rgba(20,150,110,.16)}#by-kl:checked~* .k2{background:rgba(20,150,110,.32)}#by-kl:checked~* .k3{background:rgba(20,150,110,.52)}#by-kl:checked~* .k4{background:rgba(20,150,110,.78)}
@media print{.text{max-height:none}.text,.key{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
)";
}

/// The choice of a scale, and what its colours mean. What it colours stands behind it, inside elements beside it.
inline std::string example_switch() {
    return R"(<span class="soft">Colour by</span><input class="by" type="radio" name="by" id="by-error" checked><label for="by-error">error</label><input class="by" type="radio" name="by" id="by-loss"><label for="by-loss">loss of the full model</label><input class="by" type="radio" name="by" id="by-kl"><label for="by-kl">KL divergence</label>
<p class="key error soft">Error of a token in nats: <i class="n4">≤ −2</i><i class="n3">−1</i><i class="n2">−0.5</i><i class="n1">−0.25</i> <i class="p1">0.25</i><i class="p2">0.5</i><i class="p3">1</i><i class="p4">≥ 2</i>. Point at a token for its numbers.</p>
<p class="key loss soft">Loss of a token under the full model in nats: <i class="l1">1</i><i class="l2">2</i><i class="l3">4</i><i class="l4">≥ 8</i>. Point at a token for its numbers.</p>
<p class="key kl soft">KL divergence of the predictions for a token in nats: <i class="k1">0.1</i><i class="k2">0.3</i><i class="k3">1</i><i class="k4">≥ 3</i>. Point at a token for its numbers.</p>
)";
}

/// The text of example `row` under a method. Pointing at a token shows its loss before and after, the divergence, and
/// the token that each model found most likely where they differ.
inline std::string example_html(run_results const& run, std::size_t row, std::string const& method) {
    const auto ids = run.documents.ids.row(row);
    const auto scores = [&](std::string const& column) { return run.table.of_positions(column).row(row); };
    const auto tops = [&](std::string const& column) { return run.table.ids_of_positions(column).row(row); };
    const auto full = scores("nll_full"), quantized = scores("nll_" + method), kl = scores("kl_" + method);
    const auto top_full = tops("top_full"), top_quantized = tops("top_" + method);
    std::vector<std::string> bytes;
    for (const std::int32_t id : ids) bytes.emplace_back(run.texts[id]);

    std::string out = "<div class=\"text\">";
    for (auto const& group : group_tokens(bytes)) {
        double before = 0, after = 0, divergence = 0;
        std::string likeliest;
        for (std::size_t t = group.first; t < group.first + group.count; ++t) {
            if (t == 0) continue; // nothing predicts the first token
            before += full[t - 1];
            after += quantized[t - 1];
            divergence += kl[t - 1];
            if (top_full[t - 1] != top_quantized[t - 1])
                likeliest.append("; likeliest “")
                    .append(run.texts[top_full[t - 1]])
                    .append("”, now “")
                    .append(run.texts[top_quantized[t - 1]])
                    .append("”");
        }
        const std::string text = html_escape(group.bytes);
        if (group.first + group.count == 1) {
            out += text;
            continue;
        }
        const double error = after - before;
        std::string classes;
        for (auto const& name : {error_scale(error), loss_scale(before), kl_scale(divergence)})
            if (!name.empty()) classes += (classes.empty() ? "" : " ") + name;
        out += classes.empty() ? "<i title=\"" : "<i class=\"" + classes + "\" title=\"";
        const auto number = [](double x) {
            return std::isfinite(x) ? with_minus_sign(fixed_text(x, 2)) : "not finite";
        };
        out += number(before) + " → " + number(after) + " (" + (error > 0 ? "+" : "") + number(error) + "), KL " +
               number(divergence) + html_escape(likeliest) + "\">" + text + "</i>";
    }
    return out + "</div>\n";
}

} // namespace bitlens
