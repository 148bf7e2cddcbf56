#include "bitlens/recipes/awq_walk.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/random_model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

using awq_weight = mixed_matrix<dense<float>, uniform<3, 32>, uniform<4, 32>, uniform<3, 64, zero_kind::symmetric>>;
using documents = std::vector<std::vector<std::int32_t>>;

documents random_documents(std::size_t count, std::size_t shortest, std::size_t longest) {
    random_generator random(5);
    documents all(count);
    for (auto& ids : all) {
        ids.resize(shortest + random.below(longest - shortest + 1));
        for (auto& id : ids) id = static_cast<std::int32_t>(random.below(256));
    }
    return all;
}

/// Of weights some of whose input channels are large, so that scales matter.
template <class Architecture>
transformer<Architecture, awq_weight> walked_by_awq(bool shares_heads) {
    auto config = tiny_config<Architecture>();
    config.layers = 2;
    if (!shares_heads) config.block.kv_heads = config.block.heads;
    const auto plain = tiny_model<Architecture, awq_weight>(config, 3);
    awq_fold uneven;
    random_generator random(8);
    for (std::size_t k = 0; k < 2; ++k) {
        auto& scales = uneven.scales.emplace_back();
        for (std::size_t g = 0; g < 4; ++g) {
            if (why_not_scaled(Architecture::description.form, config.block, g)) continue;
            scales[g].resize(g == 3 ? config.block.ffn_width : config.block.width);
            for (float& s : scales[g]) s = static_cast<float>(std::exp2(1.5 * random.normal()));
        }
    }
    return plain.with_layers(std::make_shared<folded_layers<awq_weight>>(plain.layers(), Architecture::description.form,
                                                                         config.block, uneven));
}

std::shared_ptr<const awq_weight> dense_of(matrix<float> numbers) {
    auto own = std::make_shared<matrix<float>>(std::move(numbers));
    const matrix_view<const float> view = *own;
    return std::make_shared<const awq_weight>(packed_matrix<dense<float>>(std::move(own), view));
}
matrix<float> numbers_of(awq_weight const& w) {
    matrix<float> m(w.rows(), w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t c = 0; c < w.cols(); ++c) m(r, c) = w.value(r, c);
    return m;
}

/// A point in one layer of all documents, one after the other.
template <class Model, class Point>
matrix<float> heard(Model const& m, documents const& texts, Point, std::size_t layer) {
    std::vector<float> all;
    std::size_t width = 0;
    for (auto const& ids : texts) {
        record<Point> probe;
        m.forward(ids, probe);
        const auto x = probe.template get<Point>(layer);
        width = x.cols;
        for (std::size_t t = 0; t < x.rows; ++t) all.insert(all.end(), x.row(t).begin(), x.row(t).end());
    }
    matrix<float> joined(all.size() / width, width);
    std::ranges::copy(all, joined.data());
    return joined;
}

std::vector<float> mean_magnitudes(matrix<float> const& x) {
    std::vector<float> means(x.cols());
    for (std::size_t c = 0; c < x.cols(); ++c) {
        double sum = 0;
        for (std::size_t t = 0; t < x.rows(); ++t) sum += std::abs(double{x(t, c)});
        means[c] = static_cast<float>(sum / static_cast<double>(x.rows()));
    }
    return means;
}

/// The same model with some matrices of one layer rounded in scale s.
template <class Model>
Model with_rounded(Model const& m, std::size_t layer, projection_set const& set, uniform_rule const& rule,
                   std::span<const float> s) {
    std::vector<block_weights<awq_weight>> blocks;
    for (std::size_t k = 0; k < m.config().layers; ++k) blocks.push_back(m.layers()->layer(k));
    for (std::size_t p = 0; p < projection_count; ++p) {
        if (!set[p]) continue;
        auto& linear = blocks[layer].linear[p];
        matrix<float> rounded(linear->rows(), linear->cols());
        round_scaled(numbers_of(*linear).view(), s, rule, rounded);
        linear = dense_of(std::move(rounded));
    }
    return m.with_layers(std::make_shared<resident_layers<awq_weight>>(std::move(blocks)));
}

struct walked {
    std::vector<std::vector<quantized_block<awq_weight>>> blocks; // [layer][method]
    std::vector<awq_record> records;

    awq_record const& record(std::size_t layer, std::size_t method, std::string const& module) const {
        const auto found = std::ranges::find_if(
            records, [&](awq_record const& r) { return r.layer == layer && r.method == method && r.module == module; });
        REQUIRE(found != records.end());
        return *found;
    }
};

template <class Architecture>
walked walk(transformer<Architecture, awq_weight> const& m, documents const& texts,
            std::vector<awq_method> const& methods, override_rules const& rules = {},
            awq_search how = {.drops_losers = false}, unsigned threads = 2) {
    calibration_run run(m, texts, threads);
    layer_panels::matrix_counts one;
    one.fill(1);
    layer_panels panels(m.config().block, one, m.products());
    walked result;
    for (std::size_t k = 0; k < m.config().layers; ++k)
        result.blocks.push_back(awq_block<Architecture::description.form, awq_weight>(
            run, k, m.layers()->layer(k), methods, rules, panels, threads, result.records, how));
    return result;
}

/// The record of a search is what whole models say with the matrices rounded at each ratio.
template <class Point, class In, class Model>
void check_search(Model const& m, documents const& texts, walked const& found, std::size_t layer, projection_set set,
                  Point point, In in, uniform_rule const& rule) {
    const auto out = heard(m, texts, point, layer);
    const auto means = mean_magnitudes(heard(m, texts, in, layer));
    std::vector<double> losses;
    for (std::size_t i = 0; i < awq_ratio_count; ++i) {
        const auto rounded =
            heard(with_rounded(m, layer, set, rule, awq_scales(means, awq_ratio(i))), texts, point, layer);
        double sum = 0;
        for (std::size_t j = 0; j < out.span().size(); ++j) {
            const double difference = double{rounded.span()[j]} - double{out.span()[j]};
            sum += difference * difference;
        }
        losses.push_back(sum / static_cast<double>(out.span().size()));
    }
    auto const& record = found.record(layer, 0, names_of(set, "+"));
    REQUIRE(record.ratio);
    const auto best = std::ranges::min_element(losses);
    CHECK(*record.ratio == awq_ratio(static_cast<std::size_t>(best - losses.begin())));
    CHECK(*record.loss == doctest::Approx(*best).epsilon(1e-4));
    CHECK(*record.plain_loss == doctest::Approx(losses[0]).epsilon(1e-4));
    CHECK(*record.ratio > 0); // else nothing was found out here
}

} // namespace

TEST_CASE_TEMPLATE("ratios are those of whole models", Architecture, llama, gemma3) {
    for (const bool shares_heads : {true, false}) {
        const auto m = walked_by_awq<Architecture>(shares_heads);
        const auto texts = random_documents(5, 3, 40);
        const auto found = walk(m, texts, {awq_method{3, 32}});
        const uniform_rule rule{3, 32};
        for (const std::size_t layer : {0u, 1u}) {
            CAPTURE(layer);
            using enum projection;
            check_search(m, texts, found, layer, only(q, k, v), hook::attn_proj_out{}, hook::attn_in{}, rule);
            check_search(m, texts, found, layer, only(gate, up), hook::mlp_down_out{}, hook::mlp_in{}, rule);
            check_search(m, texts, found, layer, only(down), hook::mlp_down_out{}, hook::mlp_act{}, rule);
            if (shares_heads)
                CHECK(found.record(layer, 0, "o_proj").note ==
                      "not scaled: o_proj is 64 × 64, v_proj is 32 × 64: v_proj takes 1/s only where both are alike");
            else
                check_search(m, texts, found, layer, only(o), hook::attn_proj_out{}, hook::attn_heads{}, rule);
        }
    }
}

TEST_CASE("weights are scaled, clipped and rounded, q and k not clipped") {
    const auto m = walked_by_awq<qwen3>(false);
    const auto texts = random_documents(6, 60, 120);
    std::size_t tokens = 0;
    for (auto const& ids : texts) tokens += ids.size();
    const std::vector<awq_method> methods{{3, 32}, {4, 32, false, true, false}, {3, 64, true}, {4, 32, false, false}};
    const auto found = walk(m, texts, methods);
    constexpr block_form form = qwen3::description.form;
    const auto full = m.layers()->layer(1);
    std::array<matrix<float>, 4> inputs{heard(m, texts, hook::attn_in{}, 1), heard(m, texts, hook::attn_heads{}, 1),
                                        heard(m, texts, hook::mlp_in{}, 1), heard(m, texts, hook::mlp_act{}, 1)};
    for (std::size_t i = 0; i < methods.size(); ++i) {
        auto const& block = found.blocks[1][i];
        CAPTURE(methods[i].text());
        for (std::size_t g = 0; g < 4; ++g) CHECK(block.fold[g].empty() == !methods[i].scale);
        const auto scaled = folded(full, form, m.config().block, block.fold);
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto which = static_cast<projection>(p);
            auto expected = numbers_of(*scaled.linear[p]);
            const uniform_rule rule = detail::rule_of_method(methods[i]);
            if (methods[i].clip && which != projection::q && which != projection::k)
                for (std::size_t g = 0; g < 4; ++g) {
                    if (!input_groups(form)[g].readers[p]) continue;
                    input_sample sample(inputs[g].cols(), tokens);
                    sample.keep(0, inputs[g]);
                    const auto clips = awq_clips(expected, rule, sample.divided_by(block.fold[g]).inputs());
                    clip_groups(expected, rule, clips);
                }
            matrix<float> rounded(expected.rows(), expected.cols());
            round_scaled(expected, std::vector<float>(expected.cols(), 1.0f), rule, rounded);
            REQUIRE(block.linear[p] != nullptr);
            for (std::size_t r = 0; r < rounded.rows(); ++r)
                for (std::size_t c = 0; c < rounded.cols(); ++c) REQUIRE(block.linear[p]->value(r, c) == rounded(r, c));
        }
    }
    CHECK(found.record(1, 0, "v_proj").note.ends_with(" groups clipped"));
    CHECK(found.record(1, 0, "q_proj").note.empty());
}

TEST_CASE("one method alone finds what it finds beside others, on any number of threads") {
    const auto m = walked_by_awq<llama>(false);
    const auto texts = random_documents(9, 1, 30);
    const std::vector<awq_method> methods{{3, 32}, {4, 32}};
    const auto both = walk(m, texts, methods);
    for (std::size_t i = 0; i < 2; ++i)
        for (const unsigned threads : {1u, 3u, 40u}) {
            const auto alone = walk(m, texts, {methods[i]}, {}, {.drops_losers = false}, threads);
            for (std::size_t k = 0; k < 2; ++k) {
                CHECK(alone.blocks[k][0].fold == both.blocks[k][i].fold);
                for (std::size_t p = 0; p < projection_count; ++p) {
                    const auto a = numbers_of(*alone.blocks[k][0].linear[p]),
                               b = numbers_of(*both.blocks[k][i].linear[p]);
                    CHECK(std::ranges::equal(a.span(), b.span()));
                }
            }
        }
}

TEST_CASE("a search that drops ratios early finds the same") {
    const auto m = walked_by_awq<llama>(true);
    const auto texts = random_documents(80, 20, 40);
    const auto every = walk(m, texts, {awq_method{3, 32}}), raced = walk(m, texts, {awq_method{3, 32}}, {}, {});
    for (std::size_t k = 0; k < 2; ++k) CHECK(raced.blocks[k][0].fold == every.blocks[k][0].fold);
    REQUIRE(raced.records.size() == every.records.size());
    for (std::size_t i = 0; i < every.records.size(); ++i) {
        CAPTURE(every.records[i].module);
        CHECK(raced.records[i].ratio == every.records[i].ratio);
        CHECK(raced.records[i].loss == every.records[i].loss);
        CHECK(raced.records[i].plain_loss == every.records[i].plain_loss);
        if (!every.records[i].ratio) {
            CHECK(every.records[i].runs == 0);
        } else if (every.records[i].module == "down_proj") { // all documents at once
            CHECK(every.records[i].runs == awq_ratio_count);
            CHECK(raced.records[i].runs == awq_ratio_count);
        } else {
            CHECK(every.records[i].runs == texts.size() * awq_ratio_count);
            CHECK(raced.records[i].runs < every.records[i].runs);
            CHECK(raced.records[i].runs >= texts.size() + (awq_ratio_count - 1) * (texts.size() / 8));
        }
    }
}

TEST_CASE("the quantile of Student's t") {
    // scipy 1.17.1: t.isf(1e-5, n - 1)
    CHECK(detail::most_by_chance(8) == doctest::Approx(10.102684).epsilon(0.04));
    CHECK(detail::most_by_chance(16) == doctest::Approx(6.108868).epsilon(0.005));
    CHECK(detail::most_by_chance(32) == doctest::Approx(5.024874).epsilon(0.002));
    CHECK(detail::most_by_chance(1000) == doctest::Approx(4.285458).epsilon(0.0005));
}

TEST_CASE("ratios that are sure to lose see no more documents") {
    const std::size_t count = 64;
    random_generator random(2);
    std::array<std::size_t, awq_ratio_count> seen{};
    const auto search = [&](bool drops_losers, auto const& loss_of) {
        detail::ratio_losses losses(count);
        seen = {};
        return detail::best_ratio(losses, drops_losers, [&](std::size_t i, std::size_t first, std::size_t some) {
            CHECK(first == seen[i]);
            seen[i] += some;
            for (std::size_t n = first; n < first + some; ++n) losses.at(i, n) = loss_of(i, n);
        });
    };
    const double infinite = std::numeric_limits<double>::infinity(), nan = std::nan("");
    const auto bowl = [&](std::size_t i, std::size_t) {
        const double off = static_cast<double>(i) - 7;
        return 10 + off * off + 0.1 * random.normal();
    };
    CHECK(search(true, bowl) == 7);
    CHECK(seen[0] == count);
    CHECK(seen[7] == count);
    CHECK(seen[19] == 8);
    CHECK(search(false, bowl) == 7);
    CHECK(std::ranges::all_of(seen, [&](std::size_t n) { return n == count; }));
    CHECK(search(true, [](std::size_t, std::size_t) { return 1.0; }) == 0); // the first of equals
    CHECK(search(true, [&](std::size_t i, std::size_t) { return i < 5 ? nan : i == 9 ? infinite : 1.0; }) == 5);
    CHECK(search(true, [&](std::size_t, std::size_t) { return nan; }) == std::nullopt);
    CHECK(search(true, [&](std::size_t i, std::size_t n) {
              return i == 3 && n < 60 ? 0.5 : i == 3 ? infinite : 1.0;
          }) == 0);
}

TEST_CASE("families without norms before their linear layers are scaled where they can be") {
    const auto m = walked_by_awq<olmo2>(false);
    const auto found = walk(m, random_documents(4, 5, 20), {awq_method{3, 32}});
    for (auto const& blocks : found.blocks) {
        CHECK(blocks[0].fold[0].empty());
        CHECK_FALSE(blocks[0].fold[1].empty());
        CHECK(blocks[0].fold[2].empty());
        CHECK_FALSE(blocks[0].fold[3].empty());
        for (auto const& linear : blocks[0].linear) CHECK(linear->format_name() == "uniform3-g32");
    }
    CHECK(found.record(0, 0, "gate_proj+up_proj").note ==
          "not scaled: gate_proj, up_proj: they read the residual stream, with no norm that takes 1/s");
}

TEST_CASE("matrices that rules treat otherwise") {
    const auto m = walked_by_awq<llama>(true);
    const auto texts = random_documents(4, 5, 20);
    const override_rules rules(json::parse(R"({"rules": [{"projection": "up_proj", "layers": "1", "use": "full"},
        {"projection": "down_proj", "layers": "0", "use": "rtn4-g32"}]})"),
                               "rules.json", 2);
    const auto found = walk(m, texts, {awq_method{3, 32}}, rules);
    CHECK(found.blocks[1][0].linear[static_cast<std::size_t>(projection::up)] == nullptr);
    auto const& down = *found.blocks[0][0].linear[static_cast<std::size_t>(projection::down)];
    CHECK(down.format_name() == "uniform4-g32");
    const auto scaled = folded(m.layers()->layer(0), {}, m.config().block, found.blocks[0][0].fold);
    const auto expected = rtn<uniform<4, 32>>{}(numbers_of(scaled[projection::down]).view());
    for (std::size_t c = 0; c < expected.cols(); ++c) CHECK(down.value(5, c) == expected.value(5, c));
}

TEST_CASE("what is not finite is named") {
    const auto m = walked_by_awq<llama>(true);
    const auto texts = random_documents(4, 5, 20);
    const auto spoilt = [&](std::size_t layer, projection p, float value) {
        std::vector<block_weights<awq_weight>> blocks{m.layers()->layer(0), m.layers()->layer(1)};
        auto numbers = numbers_of(blocks[layer][p]);
        numbers(3, 4) = value;
        blocks[layer].linear[static_cast<std::size_t>(p)] = dense_of(std::move(numbers));
        return m.with_layers(std::make_shared<resident_layers<awq_weight>>(std::move(blocks)));
    };
    CHECK_THROWS_WITH_AS(
        walk(spoilt(1, projection::gate, std::numeric_limits<float>::infinity()), texts, {awq_method{3, 32}}),
        "layer 1 gate_proj: the weight at row 3, column 4 is inf; a finite number is expected", format_error);
    // Finite weights, but what they give is not: the next block reads it.
    CHECK_THROWS_AS(walk(spoilt(0, projection::down, 3e38f), texts, {awq_method{3, 32, false, false, false}}),
                    format_error);
}
