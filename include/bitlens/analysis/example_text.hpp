#pragma once
/// Documents as HTML, each token coloured by its own error under one method.

#include "bitlens/analysis/run_tokens.hpp"
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

/// Class of a token by its error in nats: "p1" … "p4" from 0.25, 0.5, 1 and 2 on, "n1" … below zero; none between.
inline std::string error_class(double error) {
    constexpr std::array<double, 4> steps{0.25, 0.5, 1, 2};
    std::size_t step = 0;
    while (step < steps.size() && std::abs(error) >= steps[step]) ++step;
    if (step == 0) return {};
    return (error > 0 ? "p" : "n") + std::to_string(step);
}

/// Colours of error_class, on light and on dark pages.
inline std::string_view example_style() noexcept {
    return R"(.text{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--shade);padding:.75rem 1rem;margin:.5rem 0;font-size:.9rem;line-height:1.7;max-height:32rem;overflow-y:auto}
.text i,.key i{font-style:normal;border-radius:2px}
.p1{background:rgba(226,88,16,.16)}.p2{background:rgba(226,88,16,.32)}.p3{background:rgba(226,88,16,.52)}.p4{background:rgba(226,88,16,.78)}
.n1{background:rgba(24,120,210,.16)}.n2{background:rgba(24,120,210,.32)}.n3{background:rgba(24,120,210,.52)}.n4{background:rgba(24,120,210,.78)}
.key i{padding:0 .4em;margin-right:.25em;color:var(--ink)}
@media print{.text{max-height:none;print-color-adjust:exact;-webkit-print-color-adjust:exact}}
)";
}

/// What the colours mean.
inline std::string example_key() {
    return "<p class=\"key soft\">Error of a token in nats: <i class=\"n4\">≤ −2</i><i class=\"n3\">−1</i><i "
           "class=\"n2\">−0.5</i><i class=\"n1\">−0.25</i> <i class=\"p1\">0.25</i><i class=\"p2\">0.5</i><i "
           "class=\"p3\">1</i><i class=\"p4\">≥ 2</i>. Point at a token for its numbers.</p>\n";
}

/// The text of example `row` under a method. Pointing at a token shows its loss before and after, and the token that
/// each model found most likely where they differ.
inline std::string example_html(run_tokens const& tokens, std::size_t row, std::string_view method) {
    const auto ids = tokens.ids(row);
    const auto full = tokens.nll(row, "full"), quantized = tokens.nll(row, method);
    const auto top_full = tokens.top(row, "full"), top_quantized = tokens.top(row, method);
    std::vector<std::string> bytes;
    for (const std::int32_t id : ids) bytes.emplace_back(tokens.bytes(id));

    std::string out = "<div class=\"text\">";
    for (auto const& group : group_tokens(bytes)) {
        double before = 0, after = 0;
        std::string tops;
        for (std::size_t t = group.first; t < group.first + group.count; ++t) {
            if (t == 0) continue; // nothing predicts the first token
            before += full[t - 1];
            after += quantized[t - 1];
            if (top_full[t - 1] != top_quantized[t - 1])
                tops.append("; likeliest “")
                    .append(tokens.bytes(top_full[t - 1]))
                    .append("”, now “")
                    .append(tokens.bytes(top_quantized[t - 1]))
                    .append("”");
        }
        const std::string text = html_escape(group.bytes);
        if (group.first + group.count == 1) {
            out += text;
            continue;
        }
        const double error = after - before;
        const std::string name = error_class(error);
        out += name.empty() ? "<i title=\"" : "<i class=\"" + name + "\" title=\"";
        out += fixed_text(before, 2) + " → " + fixed_text(after, 2) + " (" + (error < 0 ? "" : "+") +
               with_minus_sign(fixed_text(error, 2)) + ")" + html_escape(tops) + "\">" + text + "</i>";
    }
    return out + "</div>\n";
}

} // namespace bitlens
