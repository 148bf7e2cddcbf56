#include "bitlens/analysis/measure_run.hpp"

#include "bitlens/analysis/study.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"

#include "temporary_folder.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using weight = mixed_matrix<dense<float>, uniform<2, 32>, uniform<4, 32>>;
constexpr std::size_t model_layers = 2, data_rows = 5, data_tokens = 7;

study_documents random_documents(std::size_t vocabulary) {
    study_documents d{
        matrix<std::int32_t>(data_rows, data_tokens), {0, 1, 3, 4, 6}, {"a", "", "c", "", ""}, {"", "t", "", "", ""}};
    random_generator random(5);
    for (auto& id : d.ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
    return d;
}

} // namespace

TEST_CASE("a run in memory holds what one reads back from a study's folder") {
    auto config = tiny_config<llama>();
    config.layers = model_layers;
    const auto model = tiny_model<llama, weight>(config, 1);
    const std::vector<variant<weight>> variants{
        {full_model_name, model.layers()},
        {"rtn2", quantize_layers(*model.layers(), model_layers, rtn<uniform<2, 32>>{})},
        {"rtn4", quantize_layers(*model.layers(), model_layers, rtn<uniform<4, 32>>{})}};
    const auto documents = random_documents(config.vocabulary);

    for (const bool first_position : {false, true}) {
        const test::temporary_folder parent;
        const run_folder folder(parent.path());
        folder.write_manifest(
            {{"seed", 0},
             {"first_position", first_position},
             {"full", ""},
             {"methods", {{{"name", "rtn2"}, {"spec", "rtn2"}}, {{"name", "rtn4"}, {"spec", "rtn4"}}}}});
        std::vector<variant_results> results;
        for (auto const& v : variants)
            results.push_back(make_variant_results(v.name, data_rows, data_tokens - 1, model_layers));
        run_study<llama, weight>(model, variants, documents, first_position, {2, 1}, folder, results,
                                 [](std::size_t) {});
        write_study_tables(folder, documents, results, [](std::int32_t) { return std::string("x"); });
        const run_results stored = read_run(folder.path());

        const auto run = measure_run<llama, weight>(model, variants, documents, {3, 2}, first_position);
        CHECK(run.seed == stored.seed);
        CHECK(run.first_position == stored.first_position);
        CHECK(run.full == stored.full);
        CHECK(run.example == stored.example);
        CHECK(run.id == stored.id);
        CHECK(run.topic == stored.topic);
        CHECK(run.tokens == stored.tokens);
        CHECK(run.nll_full == stored.nll_full);
        CHECK(run.norm_r == stored.norm_r);
        CHECK(run.norm_z == stored.norm_z);
        CHECK(run.norm_h == stored.norm_h);
        CHECK(run.kurtosis_r == stored.kurtosis_r);
        CHECK(run.kurtosis_h == stored.kurtosis_h);
        REQUIRE(run.methods.size() == 2);
        for (std::size_t v = 0; v < 2; ++v) {
            auto const &a = run.methods[v], &b = stored.methods[v];
            CHECK(a.name == b.name);
            CHECK(a.spec == b.spec);
            CHECK(a.nll == b.nll);
            CHECK(a.error == b.error);
            CHECK(a.kl == b.kl);
            CHECK(a.same_top == b.same_top);
            CHECK(a.mse == b.mse);
        }
        CHECK(run.methods[0].kl != run.methods[1].kl);
    }
}

TEST_CASE("the full model alone is a run without methods") {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const std::vector<variant<weight>> variants{{full_model_name, model.layers()}};
    const auto run = measure_run<llama, weight>(model, variants, random_documents(model.config().vocabulary), {});
    CHECK(run.size() == data_rows);
    CHECK(run.methods.empty());
    CHECK(run.nll_full[0] > 0);
}
