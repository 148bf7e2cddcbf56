#pragma once
/// Documents as HTML, each token coloured by how rare its numbers are in the run, with the numbers for the page's
/// script.

#include "bitlens/core/utf8.hpp"
#include "bitlens/page/document_words.hpp"
#include "bitlens/page/token_scale.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/page_data.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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

/// Texts of the ids that a page names, each once, by the order in which it names them.
class token_vocabulary {
public:
    explicit token_vocabulary(token_texts const& texts) : texts_(&texts) {}

    std::size_t operator()(std::int32_t id) {
        const auto [place, is_new] = numbers_.try_emplace(id, numbers_.size());
        if (is_new) list_ += (list_.empty() ? "" : ",") + json_string(token_words((*texts_)[id]));
        return place->second;
    }
    /// JSON.
    std::string list() const { return "[" + list_ + "]"; }

private:
    token_texts const* texts_;
    std::map<std::int32_t, std::size_t> numbers_;
    std::string list_;
};

/// Everything that the texts of a page have in common.
struct text_page {
    explicit text_page(run_results const& r)
        : run(r), numbers(r.table), scales(scales_of(numbers, r.table.variants().size())), vocabulary(r.texts) {}

    run_results const& run;
    token_numbers numbers;
    std::vector<std::vector<token_scale>> scales; // of each variant of the table
    token_vocabulary vocabulary;
};

namespace detail {

/// Names of measures in the page's data.
inline std::string_view key(token_measure m) noexcept {
    constexpr std::string_view keys[] = {"error", "loss", "loss_full", "kl", "entropy", "margin"};
    return keys[static_cast<std::size_t>(m)];
}

/// A class of example_style, for the step that the most unusual of the numbers reaches: a letter for above or below
/// zero and the step, "" below the first.
inline std::string step_class(token_scale const& scale, std::span<const token_scale::code> codes) {
    std::size_t most = 0;
    bool falls = false;
    for (auto const& code : codes)
        if (const std::size_t step = scale.step(code); step > most) {
            most = step;
            falls = scale.measure == token_measure::error && code && *code < 0;
        }
    return most == 0 ? "" : (falls ? "n" : "p") + std::to_string(most);
}

inline std::vector<token_scale::code> codes_of(text_page const& page, token_scale const& scale, std::size_t v,
                                               std::size_t row) {
    std::vector<token_scale::code> codes;
    for (std::size_t t = page.numbers.scored(row).first; t < page.numbers.scored(row).end; ++t)
        codes.push_back(scale.encode(page.numbers(scale.measure, v, row, t)));
    return codes;
}

inline std::string codes_json(std::span<const token_scale::code> codes) {
    std::string out = "[";
    for (std::size_t t = 0; t < codes.size(); ++t)
        out += (t == 0 ? "" : ",") + (codes[t] ? std::to_string(*codes[t]) : "null");
    return out + "]";
}

/// The scales in which a page has the full model's numbers, beside a method's loss_full.
inline std::vector<token_scale> scales_of_full(text_page const& page) {
    std::vector<token_scale> scales;
    for (const token_measure m : {token_measure::entropy, token_measure::margin})
        if (page.numbers.has(m, 0)) scales.push_back({m});
    return scales;
}

/// {"full": {…}, "methods": [{"error": [12, -3, null, …], …, "top": [0, 7, …]}, …]}: of each scored position whole
/// units of each scale, and numbers of the vocabulary. A method's loss is its error more than loss_full, where it has
/// an error; its top is 0 where it is the full model's, else one more than its number.
inline std::string tokens_json(text_page& page, std::size_t row) {
    const scored_positions scored = page.numbers.scored(row);
    const auto lists = [&](std::size_t v, std::span<const token_scale> scales, auto const& wanted) {
        std::string out;
        for (token_scale const& scale : scales)
            if (wanted(scale.measure))
                out += (out.empty() ? "\"" : ",\"") + std::string(key(scale.measure)) +
                       "\":" + codes_json(codes_of(page, scale, v, row));
        return out;
    };
    const auto with_top = [&](std::string out, std::size_t v) {
        if (!page.numbers.has_top(v)) return "{" + out + "}";
        out += (out.empty() ? "" : ",") + std::string("\"top\":[");
        for (std::size_t t = scored.first; t < scored.end; ++t) {
            const std::int32_t top = page.numbers.top(v, row, t);
            const bool same = v > 0 && page.numbers.has_top(0) && top == page.numbers.top(0, row, t);
            out += (t == scored.first ? "" : ",") + std::to_string(same ? 0 : page.vocabulary(top) + (v > 0 ? 1 : 0));
        }
        return "{" + out + "]}";
    };
    const auto is_full = [](token_measure m) { return m == token_measure::loss_full; };
    std::string full = lists(0, scales_of_full(page), [](token_measure) { return true; });
    if (page.scales.size() > 1)
        if (auto const before = lists(1, page.scales[1], is_full); !before.empty())
            full += (full.empty() ? "" : ",") + before;
    std::string out = "{\"full\":" + with_top(std::move(full), 0) + ",\n\"methods\":[";
    for (std::size_t v = 1; v < page.scales.size(); ++v) {
        const bool has_error = page.numbers.has(token_measure::error, v);
        const auto is_listed = [&](token_measure m) { return !is_full(m) && !(m == token_measure::loss && has_error); };
        out += (v == 1 ? "" : ",\n") + with_top(lists(v, page.scales[v], is_listed), v);
    }
    return out + "]}";
}

} // namespace detail

/// The text of document `row`, coloured by the first measure of the first method, and page_data of all its numbers.
/// Each scored token has an element, where data-n tokens share one; the first, and others of a prompt, have none.
inline std::string example_html(text_page& page, std::size_t row) {
    std::vector<std::string> bytes;
    for (const std::int32_t id : page.run.documents.ids.row(row)) bytes.emplace_back(page.run.texts[id]);
    token_scale const* const scale =
        page.scales.size() > 1 && !page.scales[1].empty() ? &page.scales[1].front() : nullptr;
    const auto codes = scale ? detail::codes_of(page, *scale, 1, row) : std::vector<token_scale::code>();
    const std::size_t prompt = page.numbers.scored(row).first + 1;
    const std::string data = "tokens-" + std::to_string(row);
    std::string out = "<div class=\"text\" data-tokens=\"" + data + "\">";
    for (auto const& group : group_tokens(bytes)) {
        const std::string text = html_escape(group.bytes);
        const std::size_t unread = prompt - std::min(group.first, prompt); // of the group and those after it
        const std::size_t count = group.count - std::min(unread, group.count);
        const std::size_t first = std::max(group.first, prompt) - prompt; // of the scored tokens, that which is its own
        if (count == 0) {
            out += text;
            continue;
        }
        out += "<i";
        if (scale)
            if (const auto step = detail::step_class(*scale, std::span(codes).subspan(first, count)); !step.empty())
                out += " class=\"" + step + "\"";
        if (count > 1) out += " data-n=\"" + std::to_string(count) + "\"";
        out += ">" + text + "</i>";
    }
    return out + "</div>\n" + page_data(data, detail::tokens_json(page, row));
}

/// What the steps of a scale mean, with their numbers.
inline std::string key_html(token_scale const& scale, std::size_t v, std::string_view method, bool shown) {
    const auto chip = [&](char letter, std::size_t i, std::int64_t units) {
        const double x = static_cast<double>(units) / std::pow(10.0, scale.digits);
        return "<i class=\"" + std::string(1, letter) + std::to_string(i + 1) + "\">" +
               with_minus_sign(fixed_text(x, scale.digits)) + "</i>";
    };
    const bool signed_steps = scale.measure == token_measure::error, falling = scale.measure == token_measure::margin;
    std::string out = "<p class=\"key soft\" data-method=\"" + std::to_string(v - 1) + "\" data-measure=\"" +
                      std::string(detail::key(scale.measure)) + "\"" + (shown ? "" : " hidden") + ">";
    if (signed_steps) {
        out += "below ";
        for (std::size_t i = scale.steps.size(); i-- > 0;) out += chip('n', i, -scale.steps[i]);
        out += " ";
    }
    out += falling ? "below " : "above ";
    for (std::size_t i = 0; i < scale.steps.size(); ++i)
        out += chip('p', i, falling ? -scale.steps[i] : scale.steps[i]);
    out += std::string(falling ? " logits" : " nats") + ": " + std::string(name(scale.measure)) + " under " +
           html_escape(method);
    for (std::string_view separator = ", further out than "; const double share : token_shares) {
        out += std::string(separator) + rounded_text(100 * share, share == token_shares.back() ? 1 : 0);
        separator = ", ";
    }
    return out + " % of all positions of the run</p>\n";
}

/// The keys of all scales, of which the first shows, and a place for the choices that the script fills.
inline std::string example_switch(text_page const& page) {
    std::string out = "<div class=\"token-choice\" hidden></div>\n";
    for (std::size_t v = 1; v < page.scales.size(); ++v)
        for (std::size_t i = 0; i < page.scales[v].size(); ++i)
            out += key_html(page.scales[v][i], v, page.run.table.variants()[v], v == 1 && i == 0);
    return out;
}

/// What the script knows of the scales, and the texts of tokens; after all texts.
inline std::string example_data(text_page const& page) {
    std::string out = "{\"methods\":[", separator;
    for (std::size_t v = 1; v < page.scales.size(); ++v) {
        out += std::exchange(separator, ",\n") + "{\"name\":" + json_string(page.run.table.variants()[v]) +
               ",\"scales\":{";
        for (std::size_t i = 0; i < page.scales[v].size(); ++i) {
            token_scale const& scale = page.scales[v][i];
            out += (i == 0 ? "\"" : ",\"") + std::string(detail::key(scale.measure)) +
                   "\":{\"name\":" + json_string(name(scale.measure)) + ",\"digits\":" + std::to_string(scale.digits) +
                   ",\"steps\":[";
            for (std::size_t k = 0; k < scale.steps.size(); ++k)
                out += (k == 0 ? "" : ",") + std::to_string(scale.steps[k]);
            out += "]}";
        }
        out += "}}";
    }
    return page_data("token-scales", out + "],\n\"words\":" + page.vocabulary.list() + "}");
}

/// How texts look, on light and on dark pages.
inline std::string_view example_style() noexcept {
    return R"(.text{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--shade);padding:.75rem 1rem;margin:.5rem 0;font-size:.9rem;line-height:1.7;max-height:32rem;overflow-y:auto}
.text:focus-visible{outline:2px solid var(--accent)}
.text i,.key i{font-style:normal;border-radius:2px}
.text i.now{outline:2px solid var(--accent)}
.key{margin:.5rem 0}.key i{padding:0 .35em;margin-right:.2em;color:var(--ink);white-space:nowrap}
.documents{--hue:226,88,16}
.documents[data-by=loss],.documents[data-by=loss_full]{--hue:130,80,200}.documents[data-by=kl]{--hue:20,150,110}.documents[data-by=entropy]{--hue:176,130,0}.documents[data-by=margin]{--hue:200,50,110}
.p1{background:rgba(var(--hue),.16)}.p2{background:rgba(var(--hue),.32)}.p3{background:rgba(var(--hue),.52)}.p4{background:rgba(var(--hue),.78)}
.n1{background:rgba(24,120,210,.16)}.n2{background:rgba(24,120,210,.32)}.n3{background:rgba(24,120,210,.52)}.n4{background:rgba(24,120,210,.78)}
.token-choice:not([hidden]){display:flex;flex-wrap:wrap;gap:.4rem 1rem;font-size:.9rem;margin:.5rem 0}
.token-choice select{font:inherit;color:inherit;background:var(--shade);border:1px solid var(--line);padding:.2rem .4rem;max-width:100%}
#token-box{position:absolute;z-index:1;width:min(24rem,calc(100vw - 2rem));background:var(--paper);border:1px solid var(--accent);border-radius:4px;padding:.4rem .7rem;font-size:.85rem;box-shadow:0 2px 8px rgba(0,0,0,.25);overflow-wrap:anywhere;pointer-events:none}
#token-box dl{grid-template-columns:max-content 1fr;margin:0}#token-box dl dd{margin:0}
@media print{.text{max-height:none}.text,.key{print-color-adjust:exact;-webkit-print-color-adjust:exact}.token-choice,#token-box{display:none!important}}
)";
}

} // namespace bitlens
