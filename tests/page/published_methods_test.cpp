#include "bitlens/page/published_methods.hpp"

#include "bitlens/page/claims.hpp"
#include "bitlens/page/tables.hpp"
#include "bitlens/page/words.hpp"
#include "run_for_test.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

method_columns method_of(std::string spec) {
    method_columns m;
    m.name = "any";
    m.spec = std::move(spec);
    return m;
}

std::string_view name_of(std::string const& spec) {
    const auto m = method_of(spec);
    return published::name_of(m);
}

/// As a manifest has it: a name, and how the method is made.
using named_methods = std::vector<std::pair<std::string, std::string>>;

/// Errors that go together closely, but for those of the last method where `apart`.
finished_study study_under(named_methods const& methods, bool apart = false) {
    std::vector<std::string> names;
    for (auto const& m : methods) names.push_back(m.first);
    const auto error = [&](std::size_t i, std::size_t v) {
        const double x = static_cast<double>(i), noise = std::fmod(x * 0.618034 * static_cast<double>(v + 2), 1.0);
        return apart && v + 1 == methods.size() ? noise : 0.01 * x + noise / 10;
    };
    auto run = test::made_up_run(100, names, error, [](std::size_t i) { return static_cast<double>(i % 17); });
    for (std::size_t v = 0; v < methods.size(); ++v) run.manifest.methods[v].spec = methods[v].second;
    return make_study(std::move(run));
}

std::string text_in(table const& t, std::size_t row, std::string const& key) {
    for (std::size_t c = 0; c < t.columns.size(); ++c)
        if (t.columns[c].key == key) return std::get<std::string>(t.rows.at(row)[c].value);
    return "no column " + key;
}

} // namespace

TEST_CASE("a method is like the paper's of its family and bits, whatever its group, options and name") {
    CHECK(name_of("gptq3-g64") == "GPTQ3");
    CHECK(name_of("gptq4-g128") == "GPTQ4");
    CHECK(name_of("gptq3-g64:damp=0.02,act_order=off") == "GPTQ3");
    CHECK(name_of("awq3-g128") == "AWQ3");
    CHECK(name_of("awq3-g64") == "AWQ3");
    CHECK(name_of("awq4-g128:clip=off") == "AWQ4");
    CHECK(name_of("nf3-g64") == "NF3");
    CHECK(name_of("nf4-row-dq") == "NF4");
    CHECK(name_of("eqat3-g128") == "EQAT3");
    for (const char* other : {"rtn3-g64", "gptq2-g64", "gptq8-g128", "awq5-g64", "nf2-g64", "eqat4-g128", "gptq30-g64",
                              "gptqx3-g64", "awq", "3", ""})
        CHECK_MESSAGE(name_of(other).empty(), other);
}

TEST_CASE("variants of GPTQ are told by damping and order, and by nothing else") {
    const auto variant = [](std::string const& spec) { return published::variant_of(method_of(spec)); };
    using published::gptq_variant;
    CHECK(variant("gptq3-g64") == gptq_variant{.01, true});
    CHECK(variant("gptq3-g64:damp=0.005") == gptq_variant{.005, true});
    CHECK(variant("gptq3-g64:damp=0.02,act_order=off") == gptq_variant{.02, false});
    CHECK(variant("gptq3-g64:act_order=on,damp=0.01") == gptq_variant{.01, true});
    CHECK_FALSE(variant("gptq3-g64-asym:damp=0.02"));
    CHECK_FALSE(variant("gptq3-g64:mse=2.4"));
    CHECK_FALSE(variant("gptq3-g64:damp=0.02,static_groups=on"));
    CHECK_FALSE(variant("gptq3-g64:damp="));
    CHECK_FALSE(variant("gptq3-g64:damp=0.02x"));
    CHECK_FALSE(variant("gptq3-g64:act_order=maybe"));
    CHECK_FALSE(variant("awq3-g64"));

    const auto variants = [](std::string const& a, std::string const& b) {
        return published::are_variants(method_of(a), method_of(b));
    };
    CHECK(variants("gptq3-g64", "gptq3-g64:damp=0.02"));
    CHECK(variants("gptq4-g128:act_order=off", "gptq4-g128"));
    CHECK_FALSE(variants("gptq3-g64", "gptq4-g64:damp=0.02"));
    CHECK_FALSE(variants("gptq3-g64", "gptq3-g128")); // another group, the same variant
    CHECK_FALSE(variants("gptq3-g64", "awq3-g64"));
}

TEST_CASE("the paper's correlations of a pair, in either order") {
    const auto of = [](std::string const& a, std::string const& b) {
        const auto text = published::correlations_of(method_of(a), method_of(b));
        CHECK(text == published::correlations_of(method_of(b), method_of(a)));
        return text;
    };
    CHECK(of("awq3-g128", "gptq3-g64") == "Qwen2.5-7B 0.84, Mistral-12B 0.95, Llama3-70B 0.96");
    CHECK(of("nf4-g64", "awq4-g128") == "Qwen2.5-7B 0.52, Llama3-8B 0.95, Mistral-12B 0.78, Llama3-70B 0.80");
    CHECK(of("gptq4-g128", "eqat3-g128") == "Llama3-8B 0.93, Llama3-70B 0.83");
    CHECK(of("gptq3-g64:damp=0.02", "nf3-g64") == "Qwen2.5-7B 0.75, Mistral-12B 0.89");
    CHECK(of("gptq3-g64", "gptq4-g128").empty());
    CHECK(of("awq3-g128", "rtn3-g64").empty());
    CHECK(of("awq3-g128", "awq3-g64").empty());
    // Table 7.
    CHECK(of("gptq3-g64", "gptq3-g64:damp=0.005") == "Qwen2.5-7B 0.95");
    CHECK(of("gptq3-g64:damp=0.02", "gptq3-g64:act_order=off") == "Qwen2.5-7B 0.92");
    CHECK(of("gptq3-g64:damp=0.02", "gptq3-g64:damp=0.005") == "Qwen2.5-7B 0.95");
    CHECK(of("gptq3-g64:damp=0.05", "gptq3-g64").empty());
    CHECK(of("gptq4-g64:damp=0.02", "gptq4-g64").empty());
}

TEST_CASE("the paper's means over models are those of its tables") {
    const auto mean_of = [](std::string_view model) {
        double sum = 0, n = 0;
        for (auto const& p : published::method_correlations)
            if (p.model == model) sum += p.pearson, ++n;
        return sum / n;
    };
    CHECK(mean_of("Qwen2.5-7B") == doctest::Approx(.663).epsilon(0.001));
    CHECK(mean_of("Llama3-8B") == doctest::Approx(.928).epsilon(0.001));
    CHECK(mean_of("Mistral-12B") == doctest::Approx(.848).epsilon(0.001));
    CHECK(mean_of("Llama3-70B") == doctest::Approx(.847).epsilon(0.001));
    double sum = 0;
    for (auto const& p : published::variant_correlations) sum += p.pearson;
    CHECK(sum / 6 == doctest::Approx(.935).epsilon(1e-9)); // §4.2: 0.93
}

TEST_CASE("what the paper reports stands beside a run's correlations, where it reports any") {
    const auto s = study_under({{"gptq3-g64", "gptq3-g64"},
                                {"d2", "gptq3-g64:damp=0.02"},
                                {"mine", "awq3-g128"},
                                {"gptq4-g128", "gptq4-g128"},
                                {"rtn3-g64", "rtn3-g64"}});
    const auto pairs = method_pairs(s);
    const auto t = method_correlation_table(s, pairs);
    REQUIRE(t.rows.size() == 10);
    CHECK(t.columns.back().key == "paper");
    CHECK(text_in(t, 0, "families") == "same");
    CHECK(text_in(t, 0, "paper") == "Qwen2.5-7B 0.95"); // table 7
    CHECK(text_in(t, 1, "paper") == "Qwen2.5-7B 0.84, Mistral-12B 0.95, Llama3-70B 0.96");
    CHECK(text_in(t, 2, "families") == "same"); // gptq3 and gptq4, which the paper does not pair
    CHECK(text_in(t, 2, "paper").empty());
    CHECK(text_in(t, 3, "families") == "different"); // gptq3 and rtn3
    CHECK(text_in(t, 3, "paper").empty());
    CHECK(text_in(t, 4, "paper") == text_in(t, 1, "paper")); // d2 and mine
    CHECK(comparable_pairs(pairs).pairs.size() == 7);        // all but the three of GPTQ

    const auto last = last_layer_table(s);
    CHECK(text_in(last, 0, "paper") == "Qwen2.5-7B \u22120.74, Mistral-12B \u22120.83, Llama3-70B \u22120.81");
    CHECK(text_in(last, 2, "paper") ==
          "Qwen2.5-7B \u22120.66, Llama3-8B \u22120.76, Mistral-12B \u22120.80, Llama3-70B \u22120.78");
    CHECK(text_in(last, 3, "paper").empty()); // of 4 bits

    const auto none = study_under({{"a", "rtn3-g64"}, {"b", "rtn4-g64"}});
    CHECK(text_in(method_correlation_table(none, method_pairs(none)), 0, "paper") == "no column paper");
    CHECK(text_in(last_layer_table(none), 0, "paper") == "no column paper");
}

TEST_CASE("the paper's shares of the damage stand beside the changes that it makes") {
    const auto of = [](std::string const& spec, model_change const& c) {
        return published::share_back_of(method_of(spec), c);
    };
    CHECK(of("awq3-g128", {change_kind::patch, hook::name<hook::mlp_out>}) ==
          "Qwen2.5-7B 0.88, Llama3-8B 0.91, Mistral-12B 0.82, Llama3-70B 0.96");
    CHECK(of("nf3-g64", {change_kind::patch, hook::name<hook::mlp_up>}) ==
          "Qwen2.5-7B \u22120.12, Llama3-8B 0.07, Mistral-12B \u22120.51");
    CHECK(of("awq3-g128", {change_kind::restore_late}) == "Mistral-12B 0.17");
    CHECK(of("nf3-g64", {change_kind::patch, hook::name<hook::mlp_gate_in>}) == "Llama3-8B 0.78");
    CHECK(of("nf3-g64", {change_kind::restore_projection, {}, 0, projection::gate}) == "Llama3-8B 0.08");
    CHECK(of("nf3-g64", {change_kind::restore_projection, {}, 0, projection::up}).empty());
    CHECK(of("gptq3-g64", {change_kind::patch, hook::name<hook::mlp_out>}).empty());
    CHECK(of("awq3-g128", {change_kind::patch_from, hook::name<hook::mlp_out>, 2}).empty());
}

TEST_CASE("a run with variants of GPTQ is asked whether they fail on the same documents, others are not") {
    const auto about = [](finished_study const& s) {
        const auto pairs = method_pairs(s);
        return claims_of({s, pairs});
    };
    const named_methods four{{"a", "gptq3-g64:damp=0.005"},
                             {"b", "gptq3-g64"},
                             {"c", "gptq3-g64:damp=0.02"},
                             {"d", "gptq3-g64:act_order=off"}};
    const auto found = about(study_under(four));
    REQUIRE(found.size() == claims::all.size() + 1);
    CHECK(found.back().question.starts_with("Variants of GPTQ"));
    CHECK(found.back().answer.answers.size() == 6);
    CHECK(found.back().answer.comparable);
    CHECK(verdict(found.back()) == "agrees");
    CHECK(verdict(about(study_under(four, true)).back()) == "agrees for 3, differs for 3");
    // By tables 1 and 6 these are one family.
    CHECK_FALSE(found.front().answer.comparable);
    CHECK(about(study_under({{"a", "gptq3-g64"}, {"b", "awq3-g64"}})).size() == claims::all.size());
}
