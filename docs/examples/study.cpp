#include <bitlens/analysis/study.hpp>
#include <bitlens/analysis/study_report.hpp>
#include <bitlens/models/random_model.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>

#include <cstdio>

using three_bits = bitlens::uniform<3, 32>;
using four_bits = bitlens::uniform<4, 32>;
using weight = bitlens::mixed_matrix<bitlens::dense<float>, three_bits, four_bits>;

int main() {
    const auto config = bitlens::tiny_config<bitlens::llama>();
    const auto full = bitlens::tiny_model<bitlens::llama, weight>(config, 1);

    // 20 documents of 33 random ids. The command `bitlens study` reads them from a file instead.
    bitlens::study_documents documents;
    documents.ids = bitlens::matrix<std::int32_t>(20, 33);
    bitlens::random_generator random(1);
    for (auto& id : documents.ids.span()) id = static_cast<std::int32_t>(random.below(config.vocabulary));
    for (std::size_t n = 0; n < 20; ++n) {
        documents.rows.push_back(n);
        documents.names.push_back("random-" + std::to_string(n));
        documents.topics.emplace_back();
    }

    // The full model first, then what is compared with it.
    const std::size_t layers = config.layers;
    const std::vector<bitlens::variant<weight>> variants{
        {bitlens::full_model_name, full.layers()},
        {"rtn3", bitlens::quantize_layers(*full.layers(), layers, bitlens::rtn<three_bits>{})},
        {"rtn4", bitlens::quantize_layers(*full.layers(), layers, bitlens::rtn<four_bits>{})}};
    std::vector<bitlens::variant_results> results;
    for (auto const& v : variants) results.push_back(bitlens::make_variant_results(v.name, 20, 32, layers));

    const bitlens::run_folder folder("run");
    bitlens::json methods = bitlens::json::array();
    for (std::size_t v = 1; v < variants.size(); ++v)
        methods.push_back({{"name", variants[v].name}, {"spec", variants[v].name + "-g32"}});
    folder.write_manifest({{"full", "random"}, {"seed", 1}, {"first_position", false}, {"methods", methods}});
    bitlens::read_finished(folder, results); // what an earlier process finished is not done again
    bitlens::run_study<bitlens::llama, weight>(
        full, variants, documents, false, {.examples_per_block = 8, .threads = 2}, folder, results, [](std::size_t) {});
    bitlens::write_study_tables(folder, documents, results, [](std::int32_t id) { return std::to_string(id) + " "; });
    folder.remove_parts();
    bitlens::write_report(folder.path());

    // From here on the folder alone is read.
    const auto run = bitlens::read_run("run");
    std::printf("%zu documents, %zu layers\n", run.size(), run.layers());
    const auto examples = bitlens::read_csv("run/examples.csv");
    for (auto const& column : examples.columns())
        if (!column.ends_with("_l1") && !column.ends_with("_l2") && !column.ends_with("_l3"))
            std::printf("  %s\n", column.c_str());
    std::printf("tokens.npz\n");
    const bitlens::npz_reader tokens("run/tokens.npz");
    for (auto const& name : tokens.names()) {
        const auto array = tokens.array(name);
        const std::string type(bitlens::info(array.type).descr);
        const bool has_rows = array.shape.size() == 2;
        std::printf("  %-16s %s %s\n", name.c_str(), type.c_str(),
                    has_rows ? bitlens::shape_text(array.shape).c_str() : "(a list)");
    }
}
