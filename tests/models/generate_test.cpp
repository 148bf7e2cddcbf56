#include "bitlens/models/generate.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/models/score.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;
using test::same_bits;

namespace {

using generating_weight = mixed_matrix<dense<float>, uniform<3, 32>, normal_float<4, 32>>;
template <class Architecture>
using generating_model = transformer<Architecture, generating_weight>;

std::vector<std::int32_t> random_ids(std::size_t count, std::size_t vocabulary = 256, std::uint64_t seed = 5) {
    random_generator random(seed + count);
    std::vector<std::int32_t> ids(count);
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
}

/// What windows, caps and rotary embeddings a family can have, at sizes where a short text meets them.
template <class Architecture>
void for_settings_of(auto const& f) {
    const auto run = [&](std::string const& name, auto const& change) {
        auto config = tiny_config<Architecture>();
        config.layers = 3;
        change(config);
        CAPTURE(std::string(Architecture::description.name) + ": " + name);
        f(tiny_model<Architecture, generating_weight>(config, 3));
    };
    const auto alternate = [](model_config& c, std::size_t window, std::size_t rope) {
        for (std::size_t k = 0; k < c.layers; ++k)
            c.layer_rules.push_back(k % 2 == 0 ? layer_rule{window, rope} : layer_rule{});
    };
    run("as it is", [](model_config&) {});
    run("windows in all layers, and another head", [](model_config& c) {
        c.block.window = 5;
        c.tied_head = false;
    });
    run("windows in some layers, caps, growing queries", [&](model_config& c) {
        alternate(c, 7, 0);
        c.block.attention_soft_cap = 2;
        c.logit_soft_cap = 3;
        c.block.growth = {0.3, 10};
        c.vocabulary = 1500; // two tiles of it
    });
    run("two rotary embeddings, one stretched", [&](model_config& c) {
        c.ropes = {rope_rule{.scaling = rope_llama3{8, 1, 4, 16}}, rope_rule{.theta = 1000, .rotated = 8}};
        alternate(c, 9, 1);
    });
    run("frequencies that change when a text is too long", [](model_config& c) {
        c.ropes = {rope_rule{.scaling = rope_dynamic{4, 20}}};
    });
    run("others for long texts", [](model_config& c) {
        rope_longrope s{std::vector(8, 1.0), std::vector(8, 1.0), 44, 4};
        for (std::size_t i = 0; i < 8; ++i) s.long_factors[i] = 1.5 + static_cast<double>(i);
        c.ropes = {rope_rule{.scaling = s}, rope_rule{}};
    });
}
template <class F>
void for_every_setting(F const& f) {
    std::apply([&](auto... family) { (for_settings_of<decltype(family)>(f), ...); }, architectures{});
}

/// Whether the frequencies of a text depend on its length: then a text without its last id, which the loss of that id
/// comes from, is another than score reads.
bool turns_by_length(model_config const& c) {
    return std::ranges::any_of(c.ropes, [](rope_rule const& r) { return shortest_text_like(r, 1000) > 0; });
}

/// The same by computing the whole text again for each token; losses are those of score, where it reads the same text,
/// else from the logits.
template <class Model>
generated_text by_whole_texts(Model const& model, std::vector<std::int32_t> ids, std::size_t tokens) {
    const std::size_t prompt = ids.size();
    generated_text made;
    for (std::size_t n = 0; n < tokens; ++n) {
        record<hook::logits> said;
        workspace scratch(model.forward_bytes(ids.size(), 1), 1, model.products());
        model.forward(ids, said, scratch);
        const auto logits = said.template get<hook::logits>().row(ids.size() - 1);
        const auto best = std::max_element(logits.begin(), logits.end());
        float other = -std::numeric_limits<float>::infinity();
        double sum = 0;
        for (auto l = logits.begin(); l != logits.end(); ++l) {
            sum += std::exp(double{*l} - double{*best});
            if (l != best) other = std::max(other, *l);
        }
        ids.push_back(static_cast<std::int32_t>(best - logits.begin()));
        made.margin.push_back(*best - other);
        made.nll.push_back(std::log(sum));
    }
    made.ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(prompt), ids.end());
    if (turns_by_length(model.config())) return made;
    workspace scratch(score_bytes(model, ids.size(), 1), 1, model.products());
    const auto nll = score(model, ids, scratch);
    made.nll.assign(nll.end() - static_cast<std::ptrdiff_t>(tokens), nll.end());
    return made;
}

/// The same tokens by the same margins; the same losses too, but for those that come from logits.
void check_same(generated_text const& a, generated_text const& truth, model_config const& config) {
    CHECK(a.ids == truth.ids);
    CHECK(a.margin == truth.margin);
    CHECK(a.stopped == truth.stopped);
    if (!turns_by_length(config)) CHECK(a.nll == truth.nll);
    REQUIRE(a.nll.size() == truth.nll.size());
    for (std::size_t n = 0; n < a.nll.size(); ++n) CHECK(std::abs(a.nll[n] - truth.nll[n]) < 2e-6);
}

/// Quantized to nearest in half of its layers, nf4 in the others.
template <class Architecture>
generating_model<Architecture> low_bit(generating_model<Architecture> const& full) {
    std::vector<block_weights<generating_weight>> blocks;
    for (std::size_t k = 0; k < full.config().layers; ++k) {
        blocks.push_back(full.layers()->layer(k));
        for (auto& w : blocks.back().linear)
            w = w->visit([&]<class F>(packed_matrix<F> const& m) {
                if constexpr (!std::same_as<F, dense<float>>)
                    return w;
                else if (k % 2 == 0)
                    return std::make_shared<const generating_weight>(rtn<uniform<3, 32>>{}(m.view()));
                else
                    return std::make_shared<const generating_weight>(absmax<normal_float<4, 32>>{}(m.view()));
            });
    }
    return full.with_layers(std::make_shared<resident_layers<generating_weight>>(std::move(blocks)));
}

/// Hears how many rows come, and leaves one id alone possible.
struct insists_on {
    using points = hook::set<hook::resid_pre, hook::logits>;
    std::size_t id;
    std::vector<std::size_t> rows = {};
    void on(hook::resid_pre, site at, matrix_view<float> a) {
        if (at.layer == 0) rows.push_back(a.rows);
    }
    void on(hook::logits, site, matrix_view<float> a) const {
        for (std::size_t t = 0; t < a.rows; ++t) a(t, id) = 100;
    }
};
struct halves_mlp {
    using points = hook::set<hook::mlp_out, hook::final_norm>;
    void on(hook::mlp_out, site, matrix_view<float> a) const { halve(a); }
    void on(hook::final_norm, site, matrix_view<float> a) const { halve(a); }
    static void halve(matrix_view<float> a) {
        for (std::size_t t = 0; t < a.rows; ++t)
            for (float& x : a.row(t)) x /= 2;
    }
};

} // namespace

TEST_CASE("with matmul each token is that of computing the whole text again, bit for bit, for every family") {
    for_every_setting([](auto const& model) {
        for (const std::size_t prompt : {1u, 18u, 43u}) {
            CAPTURE(prompt);
            const auto ids = random_ids(prompt, model.config().vocabulary);
            const auto truth = by_whole_texts(model, ids, 8);
            const auto made = generate(model, ids, {.most_tokens = 8}, row_products::matmul, 1);
            check_same(made, truth, model.config());
            CHECK(generate(model, ids, {.most_tokens = 8}, row_products::matmul, 3) == made);
        }
    });
}

TEST_CASE("a text that is read in pieces has the logits of the whole, bit for bit, for every family") {
    for_every_setting([](auto const& model) {
        const std::size_t vocabulary = model.config().vocabulary;
        const auto ids = random_ids(60, vocabulary);
        record<hook::logits> said;
        const auto whole = [&](std::size_t count) {
            model.forward(std::span(ids).first(count), said);
            return matrix_view<const float>(said.template get<hook::logits>()).middle_rows(count - 1, 1);
        };
        growing_text text({});
        no_probe nobody;
        matrix<float> logits(1, vocabulary);
        workspace scratch(model.read_bytes({}, 1));
        for (const std::size_t end : {13u, 14u, 15u, 19u, 20u, 21u, 22u, 40u, 44u, 45u, 46u, 60u}) {
            CAPTURE(end);
            text.ids.assign(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(end));
            growing_text* const only = &text;
            scratch = workspace(model.read_bytes(std::span(&only, 1), 1));
            model.read(std::span(&only, 1), row_products::matmul, nobody, scratch, logits);
            CHECK(text.positions() == end);
            CHECK(same_bits(logits, whole(end)));
        }
    });
}

TEST_CASE("in bf16, and of weights in few bits, tokens are those of whole texts too") {
    const auto full = tiny_model<gemma3, generating_weight>(tiny_config<gemma3>(), 3);
    const auto low = low_bit(full);
    const auto ids = random_ids(30);
    const auto of_low = generate(low, ids, {.most_tokens = 12}, row_products::matmul);
    CHECK(of_low == by_whole_texts(low, ids, 12));
    CHECK(of_low.ids != generate(full, ids, {.most_tokens = 12}, row_products::matmul).ids);
    for (const arithmetic a : {arithmetic::bf16_emulated, best_bf16()}) {
        CAPTURE(name(a));
        const auto rounded = low.with_products(a);
        const auto of_rounded = generate(rounded, ids, {.most_tokens = 12}, row_products::matmul);
        CHECK(of_rounded == by_whole_texts(rounded, ids, 12));
        CHECK(of_rounded.nll != of_low.nll);
    }
}

TEST_CASE("what follows a prompt does not depend on the prompts beside it") {
    const auto model = low_bit(tiny_model<gemma2, generating_weight>(
        [] {
            auto config = tiny_config<gemma2>();
            config.block.window = 40;
            config.ropes = {rope_rule{.scaling = rope_dynamic{2, 60}}};
            return config;
        }(),
        3));
    std::vector<std::vector<std::int32_t>> prompts;
    for (const std::size_t length : {1u, 58u, 300u, 12u, 12u, 511u, 90u, 70u})
        prompts.push_back(random_ids(length, 256, prompts.size()));
    for (const auto products : {row_products::matvec, row_products::matmul}) {
        CAPTURE(static_cast<int>(products));
        std::vector<generated_text> alone;
        for (auto const& ids : prompts) alone.push_back(generate(model, ids, {.most_tokens = 6}, products, 1));
        CHECK(alone[5].ids.size() == 2); // of 512 positions
        for (const std::size_t at_once : {1u, 3u, 100u})
            for (const unsigned tasks : {1u, 2u}) {
                CAPTURE(at_once);
                std::vector<std::size_t> order;
                const auto done = [&](std::size_t n, generated_text const& result) {
                    order.push_back(n);
                    CAPTURE(n);
                    CHECK(result == alone[n]);
                };
                generate_each(model, prompts, {.most_tokens = 6}, at_once, done, tasks, products);
                CHECK(order.size() == prompts.size());
                if (at_once == 1) CHECK(std::ranges::is_sorted(order));
                if (at_once == 100) CHECK(order[0] == 5); // it ended first
            }
    }
    std::size_t called = 0;
    generate_each(model, {}, {}, 3, [&](std::size_t, generated_text const&) { ++called; });
    CHECK(called == 0);
}

TEST_CASE("with matvec a token is another only where two are as good, and losses are the same to rounding") {
    std::size_t tokens = 0, others = 0;
    for_every_setting([&](auto const& full) {
        const auto model = low_bit(full);
        const auto ids = random_ids(21, model.config().vocabulary);
        const auto exact = generate(model, ids, {.most_tokens = 30}, row_products::matmul);
        const auto fast = generate(model, ids, {.most_tokens = 30});
        CHECK(fast == generate(model, ids, {.most_tokens = 30}, row_products::matvec, 3));
        tokens += exact.ids.size();
        for (std::size_t n = 0; n < exact.ids.size(); ++n) {
            if (exact.ids[n] != fast.ids[n]) {
                ++others;
                CHECK(exact.margin[n] < 1e-4f);
                break; // from there on it is another text
            }
            CHECK(std::abs(exact.nll[n] - fast.nll[n]) < 1e-4);
        }
    });
    MESSAGE(others << " of " << tokens << " tokens are others with matvec");
    CHECK(others < 3);
}

TEST_CASE("a text ends by number, id, text or context, whichever comes first, and says by which") {
    const auto model = tiny_model<llama, generating_weight>(tiny_config<llama>(), 3);
    const auto ids = random_ids(10);
    const auto all = generate(model, ids, {.most_tokens = 20}, row_products::matmul);
    CHECK(all.ids.size() == 20);
    CHECK(all.nll.size() == 20);
    CHECK(all.stopped == generation_stop::most_tokens);

    const std::int32_t stop = all.ids[7];
    std::int32_t never = 0;
    while (std::ranges::find(all.ids, never) != all.ids.end()) ++never;
    const auto first = static_cast<std::size_t>(std::ranges::find(all.ids, stop) - all.ids.begin());
    const auto by_id = generate(model, ids, {.most_tokens = 20, .ids = {stop, never}}, row_products::matmul);
    CHECK(by_id.stopped == generation_stop::id);
    CHECK(by_id.ids == std::vector(all.ids.begin(), all.ids.begin() + static_cast<std::ptrdiff_t>(first) + 1));

    CHECK(generate(model, ids, {.most_tokens = first + 1, .ids = {stop}}, row_products::matmul).stopped ==
          generation_stop::id);
    CHECK(generate(model, random_ids(512), {.most_tokens = 1}).stopped == generation_stop::most_tokens);
    const auto at_the_end = generate(model, random_ids(510), {.most_tokens = 20});
    CHECK(at_the_end.stopped == generation_stop::context);
    CHECK(at_the_end.ids.size() == 3); // the last stands where no position is
    CHECK(generate(model, random_ids(510), {.most_tokens = 20, .most_positions = 514}).ids.size() == 5);
    CHECK(generate(model, ids, {.most_tokens = 20, .most_positions = 10}).ids.size() == 1);

    const auto words = tokenizer::from_json(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json");
    auto config = tiny_config<llama>();
    config.vocabulary = words.vocabulary_size() + 9; // ids that no token has
    const auto speaks = tiny_model<llama, generating_weight>(config, 3);
    const auto prompt = words.encode("A text");
    const auto said = generate(speaks, prompt, {.most_tokens = 30}, row_products::matmul);
    const std::string text = text_after(words, prompt, said.ids);
    std::size_t used = 0;
    for (std::size_t n = 1; n <= said.ids.size(); ++n) {
        const std::string so_far = text_after(words, prompt, std::span(said.ids).first(n));
        CHECK(text.starts_with(so_far));
        if (n == 12) used = so_far.size();
    }
    const std::string wanted = text.substr(used / 2, used - used / 2); // across tokens
    const auto by_text =
        generate(speaks, prompt, {.most_tokens = 30, .texts = {"nowhere in it", wanted}, .text_of_ids = &words},
                 row_products::matmul);
    CHECK(by_text.stopped == generation_stop::text);
    CHECK(by_text.ids.size() <= 12);
    CHECK(text_after(words, prompt, by_text.ids).find(wanted) != std::string::npos);
    CHECK(text_after(words, prompt, std::span(by_text.ids).first(by_text.ids.size() - 1)).find(wanted) ==
          std::string::npos);
}

TEST_CASE("ids that no token has are text after those that have one") {
    const auto words = tokenizer::from_json(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json");
    const auto unknown = static_cast<std::int32_t>(words.vocabulary_size());
    auto ids = words.encode(" and more");
    CHECK(text_after(words, words.encode("A text"), ids) == " and more");
    ids.push_back(unknown);
    CHECK(text_after(words, std::vector{unknown}, ids) == " and more" + id_text(unknown));
    CHECK(text_after(words, {}, {}) == "");
}

TEST_CASE("a probe hears the prompt, then one row at a time, and what it writes is what counts") {
    const auto model = tiny_model<qwen2, generating_weight>(tiny_config<qwen2>(), 3);
    const auto ids = random_ids(11);
    for (const auto products : {row_products::matmul, row_products::matvec}) {
        insists_on probe{42};
        const auto made = generate(model, ids, {.most_tokens = 4}, probe, products);
        CHECK(made.ids == std::vector<std::int32_t>(4, 42));
        CHECK(probe.rows == std::vector<std::size_t>{11, 1, 1, 1});
        halves_mlp half;
        const auto other = generate(model, ids, {.most_tokens = 4}, half, products);
        CHECK(other.nll != generate(model, ids, {.most_tokens = 4}, products).nll);
        record<hook::resid_post> listener;
        CHECK(generate(model, ids, {.most_tokens = 1}, listener, products) ==
              generate(model, ids, {.most_tokens = 1}, products));
        CHECK(listener.get<hook::resid_post>(2).rows == 11);
    }
    halves_mlp half; // as whole texts with the same probe
    const auto made = generate(model, ids, {.most_tokens = 2}, half, row_products::matmul);
    auto all = ids;
    all.insert(all.end(), made.ids.begin(), made.ids.end());
    const auto nll = score(model, all, half);
    CHECK(std::vector(nll.end() - 2, nll.end()) == made.nll);
}

TEST_CASE("equal logits: the lowest id, and a margin of 0") {
    auto config = tiny_config<llama>();
    config.vocabulary = 1100;
    const auto model = tiny_model<llama, generating_weight>(config, 3);
    struct two_best {
        using points = hook::set<hook::logits>;
        void on(hook::logits, site, matrix_view<float> a) const {
            for (std::size_t t = 0; t < a.rows; ++t) a(t, 70) = a(t, 9) = a(t, 1050) = 50;
        }
    } probe;
    const auto made = generate(model, random_ids(3), {.most_tokens = 2}, probe);
    CHECK(made.ids == std::vector<std::int32_t>{9, 9});
    CHECK(made.margin == std::vector{0.0f, 0.0f});
    CHECK(made.nll[0] == doctest::Approx(std::log(3.0)).epsilon(1e-6));
}

TEST_CASE("what is no prompt, no end and no text of this model is refused") {
    const auto model = tiny_model<llama, generating_weight>(tiny_config<llama>(), 3);
    const auto refuse = [&]<class Error>(std::vector<std::int32_t> const& ids, generation_end const& until,
                                         std::string const& words, Error const*) {
        CAPTURE(words);
        CHECK_THROWS_WITH_AS(generate(model, ids, until), words.c_str(), Error);
        CHECK_THROWS_WITH_AS(generate_each(model, std::vector{random_ids(3), ids}, until, 2, [](auto...) {}),
                             words.c_str(), Error);
    };
    const shape_error* const shape = nullptr;
    const option_error* const option = nullptr;
    refuse({}, {}, "generate: a prompt of 0 token ids, expected at least 1", shape);
    refuse({1, 256}, {}, "token id 256 at position 1 is outside the vocabulary of 256", shape);
    refuse(random_ids(513), {}, "generate: a prompt of 513 token ids, where 512 positions are read at most", shape);
    refuse({1}, {.most_tokens = 0}, "generate: 0 tokens at most, expected at least 1", option);
    refuse({1}, {.ids = {256}}, "generate: the id 256 ends a text, and is none of the 256 of the vocabulary", option);
    refuse({1}, {.texts = {"a"}}, "generate: a text ends a text, and no tokenizer says what ids stand for", option);
    refuse({1}, {.texts = {""}}, "generate: an empty text ends a text, expected at least one byte", option);
    CHECK_THROWS_AS(generate_each(model, {}, {}, 0, [](auto...) {}), option_error);

    growing_text text(random_ids(5));
    growing_text* const only = &text;
    no_probe nobody;
    matrix<float> logits(1, 256);
    workspace scratch(model.read_bytes(std::span(&only, 1), 1)), small(64);
    const auto read = [&](auto const& m, workspace& w) {
        m.read(std::span(&only, 1), row_products::matmul, nobody, w, logits);
    };
    CHECK_THROWS_WITH_AS(read(model, small), doctest::Contains("read: the workspace has 64 of 64 bytes free"),
                         shape_error);
    read(model, scratch);
    CHECK_THROWS_WITH_AS(read(model, scratch),
                         "read: text 0 has 5 ids, and all were read; at least one more is expected", shape_error);
    text.ids.push_back(7);
    auto config = tiny_config<llama>();
    config.layers = 2;
    CHECK_THROWS_WITH_AS(read(tiny_model<llama, generating_weight>(config, 3), scratch),
                         "read: the text's layers has 4 elements, expected 2", shape_error);
    workspace rounded(model.read_bytes(std::span(&only, 1), 1), 1, arithmetic::bf16_emulated);
    CHECK_THROWS_WITH_AS(read(model, rounded),
                         "attention: keys and values are packed for float32, the workspace is for bf16 (emulated)",
                         option_error);
}
