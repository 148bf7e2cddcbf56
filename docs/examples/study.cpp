#include <bitlens/analysis/document_measurement.hpp>
#include <bitlens/models/random_model.hpp>
#include <bitlens/page/run_report.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>
#include <bitlens/sweep/run_arrays.hpp>
#include <bitlens/sweep/run_study.hpp>

#include <cstdio>

using three_bits = bitlens::uniform<3, 32>;
using four_bits = bitlens::uniform<4, 32>;
using weight = bitlens::mixed_matrix<bitlens::dense<float>, three_bits, four_bits>;

int main() {
    const auto config = bitlens::tiny_config<bitlens::llama>();
    const auto full = bitlens::tiny_model<bitlens::llama, weight>(config, 1);

    // 20 documents of 33 random ids. The command `bitlens study` reads them from a file instead.
    bitlens::matrix<std::int32_t> ids(20, 33);
    bitlens::random_generator random(1);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(config.vocabulary));
    auto documents = bitlens::document_rows::numbered(std::move(ids));

    // The full model first, then what is compared with it.
    const std::size_t layers = config.layers;
    const std::vector<bitlens::variant<weight>> variants{
        {"full", full.layers()},
        {"rtn3", bitlens::quantize_layers(*full.layers(), layers, bitlens::rtn<three_bits>{})},
        {"rtn4", bitlens::quantize_layers(*full.layers(), layers, bitlens::rtn<four_bits>{})}};
    const bitlens::document_statistics kind; // what is measured: any type that declares its columns

    bitlens::run_manifest manifest{{{"full", "random"}, {"seed", 1}, {"first_position", false}}, {}, kind.columns()};
    for (std::size_t v = 1; v < variants.size(); ++v)
        manifest.methods.push_back({variants[v].name, variants[v].name + "-g32"});
    const bitlens::run_folder folder("run");
    // Refuses the folder of another run; what an earlier process finished is not done again. Methods may be added
    // later.
    auto begun = bitlens::begin_run(folder, manifest, std::move(documents), layers);
    bitlens::run_study(full, variants, folder, begun, {.examples_per_block = 8, .threads = 2}, kind);
    bitlens::finish_run(folder, begun, [](std::int32_t id) { return std::to_string(id) + " "; });
    bitlens::write_report(folder.path());

    // From here on the folder alone is read.
    const auto run = bitlens::read_run("run");
    const bitlens::run_arrays arrays(run);
    const xt::xarray<double> growth = xt::view(arrays["norm_r"], xt::all(), -1) / arrays["norm_r_l0"];
    std::printf("%zu documents, %zu layers, residuals grow by %.2f; against the error of rtn3: %.2f\n", run.size(),
                run.layers(), xt::mean(growth)(),
                *bitlens::correlation(bitlens::numbers_of(growth), bitlens::numbers_of(arrays["error_rtn3"])));
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
