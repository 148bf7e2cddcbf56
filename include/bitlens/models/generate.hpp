#pragma once
/// generate: what a model finds most likely to follow a text, token by token.

#include "bitlens/core/error.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"
#include "bitlens/models/growing_text.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// What ends a generated text, the token that does so included.
struct generation_end {
    std::size_t most_tokens = 64;           // new ones
    std::vector<std::int32_t> ids{};        // any of them
    std::vector<std::string> texts{};       // any of them within the text of the new tokens
    tokenizer const* text_of_ids = nullptr; // that says what this text is; needed for texts and is_complete alone
    std::size_t most_positions = 0;         // that are read; 0: those that the model was trained on
    std::function<bool(std::string_view)> is_complete{}; // says so of the text of the new tokens; none: never

    bool looks_at_text() const noexcept { return !texts.empty() || is_complete; }
    std::size_t positions_of(model_config const& config) const noexcept {
        return most_positions == 0 ? config.context : most_positions;
    }
};

/// Why a text ended.
enum class generation_stop : std::uint8_t {
    most_tokens,
    id,
    text,
    context, ///< no more positions are read
};
constexpr std::string_view name(generation_stop s) noexcept {
    constexpr std::array<std::string_view, 4> names{"most_tokens", "id", "text", "context"};
    return names[static_cast<std::size_t>(s)];
}

/// What followed a text.
struct generated_text {
    std::vector<std::int32_t> ids;
    std::vector<double> nll; // −log p of each, nats
    std::vector<float>
        margin; // logit of each minus the best other: 0 where two are equal, of which the lower id is taken
    generation_stop stopped = generation_stop::most_tokens;

    bool operator==(generated_text const&) const = default;
};

/// The text of new ids after those of a prompt, whose last id decides whether a space that a tokenizer puts before a
/// text belongs to it. Ids that no token has are text too (id_text).
inline std::string text_after(tokenizer const& t, std::span<const std::int32_t> prompt,
                              std::span<const std::int32_t> ids) {
    const auto has_token = [&](std::int32_t id) { return t.has_token(id); };
    std::vector<std::int32_t> all;
    std::ranges::copy_if(prompt, std::back_inserter(all), has_token);
    const std::size_t before = t.decode(all).size();
    const auto unknown = std::ranges::find_if_not(ids, has_token);
    all.insert(all.end(), ids.begin(), unknown);
    std::string text = t.decode(all).substr(before);
    for (auto id = unknown; id != ids.end(); ++id) text += t.text_of(*id);
    return text;
}

namespace detail {

/// The most likely id, its loss with the bits that score gives it, and by how much it is the best.
struct likely_id {
    std::int32_t id;
    double nll;
    float margin;
};
template <class Arch = simd::default_arch>
likely_id most_likely(std::span<const float> logits) noexcept {
    std::array<float, padded_row(vocabulary_tile)> tile, exps;
    running_loss loss;
    for (std::size_t first = 0; first < logits.size(); first += vocabulary_tile) {
        const auto part = logits.subspan(first, std::min(vocabulary_tile, logits.size() - first));
        std::ranges::copy(part, tile.begin());
        loss_tile own{first, part.size(), padded_row(part.size()), tile.data(), exps.data(), false};
        add_tile<Arch>(loss, own, -1, nullptr, 0);
    }
    return {loss.top, loss.log_sum() - double{logits[static_cast<std::size_t>(loss.top)]},
            loss.top_of_reference - loss.best_other};
}

/// A text that grows by what is most likely.
struct generation {
    growing_text text;
    std::size_t prompt; // ids
    generated_text result{};
    bool ended = false;

    explicit generation(std::span<const std::int32_t> ids) : text(ids), prompt(ids.size()) {}

    /// Takes the next id.
    void take(likely_id const& next, model_config const& config, generation_end const& until) {
        text.ids.push_back(next.id);
        result.ids.push_back(next.id);
        result.nll.push_back(next.nll);
        result.margin.push_back(next.margin);
        const auto end = [&](generation_stop why) {
            result.stopped = why;
            ended = true;
        };
        if (std::ranges::find(until.ids, next.id) != until.ids.end()) return end(generation_stop::id);
        if (until.looks_at_text()) {
            const std::string all =
                text_after(*until.text_of_ids, std::span<const std::int32_t>(text.ids).first(prompt), result.ids);
            for (auto const& stop : until.texts)
                if (all.find(stop) != all.npos) return end(generation_stop::text);
            if (until.is_complete && until.is_complete(all)) return end(generation_stop::text);
        }
        if (result.ids.size() >= until.most_tokens) return end(generation_stop::most_tokens);
        if (text.ids.size() > until.positions_of(config)) end(generation_stop::context);
    }
};

/// Errors: those of generate that are of one prompt, and of `until`.
inline void check_generation(model_config const& config, std::span<const std::int32_t> ids,
                             generation_end const& until) {
    if (ids.empty()) throw shape_error("generate: a prompt of 0 token ids, expected at least 1");
    check_token_ids(ids, config.vocabulary);
    if (const std::size_t most = until.positions_of(config); ids.size() > most)
        throw shape_error("generate: a prompt of " + std::to_string(ids.size()) + " token ids, where " +
                          std::to_string(most) + " positions are read at most");
    if (until.most_tokens == 0) throw option_error("generate: 0 tokens at most, expected at least 1");
    for (const std::int32_t id : until.ids)
        if (id < 0 || static_cast<std::size_t>(id) >= config.vocabulary)
            throw option_error("generate: the id " + std::to_string(id) + " ends a text, and is none of the " +
                               std::to_string(config.vocabulary) + " of the vocabulary");
    for (auto const& text : until.texts)
        if (text.empty()) throw option_error("generate: an empty text ends a text, expected at least one byte");
    if (until.looks_at_text() && until.text_of_ids == nullptr)
        throw option_error("generate: a text ends a text, and no tokenizer says what ids stand for");
}

/// Reads what is new of the texts and takes the next id of each.
template <class Architecture, class W, class P>
void generate_next(transformer<Architecture, W> const& model, std::span<generation* const> all,
                   generation_end const& until, row_products products, P& probe, workspace& scratch) {
    std::vector<growing_text*> texts;
    for (generation* const g : all) texts.push_back(&g->text);
    if (const std::size_t bytes = model.read_bytes(texts, scratch.tasks()); bytes > scratch.capacity())
        scratch = workspace(bytes, scratch.tasks(), scratch.products());
    matrix<float> logits(all.size(), model.config().vocabulary);
    model.read(texts, products, probe, scratch, logits);
    for (std::size_t i = 0; i < all.size(); ++i) all[i]->take(most_likely(logits.view().row(i)), model.config(), until);
}

} // namespace detail

/// The ids that follow `ids`, each the most likely one after all before it; of equal ones the lowest. The prompt is
/// read as a document is; then one position at a time, whose products are computed by `products`: matvec reads the
/// weights as fast as the memory gives them; with matmul ids and losses are those of forward and score for the whole
/// text, bit for bit. In the model's arithmetic and in so many tasks, on which no bit depends. The probe hears and may
/// overwrite each run: (T, …) of the prompt, then one row at a time; of logits what it leaves is chosen from. Errors:
/// shape_error for no ids, one outside the vocabulary, and more than there are positions; option_error for an end
/// that is none.
template <class Architecture, class W, detail::meant_as_probe P>
generated_text generate(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids,
                        generation_end const& until, P&& probe, row_products products = row_products::matvec,
                        unsigned tasks = available_cores()) {
    constexpr bool is_named = std::is_lvalue_reference_v<P>;
    static_assert(is_named, "bitlens: generate takes a probe that has a name: what it heard is read from it "
                            "afterwards, and a temporary one is gone by then");
    detail::check_generation(model.config(), ids, until);
    detail::generation text(ids);
    if constexpr (is_named) {
        workspace scratch(0, tasks, model.products());
        detail::generation* const only = &text;
        while (!text.ended) detail::generate_next(model, std::span(&only, 1), until, products, probe, scratch);
    }
    return std::move(text.result);
}

/// Without a probe.
template <class Architecture, class W>
generated_text generate(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids,
                        generation_end const& until = {}, row_products products = row_products::matvec,
                        unsigned tasks = available_cores()) {
    no_probe nobody;
    return generate(model, ids, until, nobody, products, tasks);
}

/// The same of many prompts, `at_once` of them side by side: each layer's weights are read once for all of these. What
/// follows a prompt is what generate gives for it alone, bit for bit. `done(n, result)` is called as soon as prompt n
/// has ended.   Errors: as above.
template <class Architecture, class W, class Done>
void generate_each(transformer<Architecture, W> const& model, std::span<const std::vector<std::int32_t>> prompts,
                   generation_end const& until, std::size_t at_once, Done const& done,
                   unsigned tasks = available_cores(), row_products products = row_products::matvec) {
    if (at_once == 0) throw option_error("generate_each: 0 prompts at once, expected at least 1");
    for (auto const& ids : prompts) detail::check_generation(model.config(), ids, until);
    struct numbered {
        std::size_t prompt;
        std::unique_ptr<detail::generation> text;
    };
    std::vector<numbered> running;
    workspace scratch(0, tasks, model.products());
    no_probe nobody;
    for (std::size_t next = 0; next < prompts.size() || !running.empty();) {
        for (; running.size() < at_once && next < prompts.size(); ++next)
            running.push_back({next, std::make_unique<detail::generation>(prompts[next])});
        std::vector<detail::generation*> all;
        for (auto const& each : running) all.push_back(each.text.get());
        detail::generate_next(model, std::span<detail::generation* const>(all), until, products, nobody, scratch);
        for (auto const& each : running)
            if (each.text->ended) done(each.prompt, std::move(each.text->result));
        std::erase_if(running, [](numbered const& each) { return each.text->ended; });
    }
}

} // namespace bitlens
