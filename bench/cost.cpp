// What a study costs when it grows: documents, methods, layers and threads are doubled one at a time.
//
//     bench_cost [--csv]
//
// The model has random weights; the methods are one and the same, 4 bits. Each line is a process of its own that makes
// the model, quantizes and measures, and ends with its CPU seconds over those of the line before. They should double
// with documents and layers, grow with methods as 1 + methods does, and stay with threads, which shorten the wall time
// as long as there are cores. Memory should grow with layers and methods, which are kept, a little with threads, each
// of which has a workspace, and not with documents.
//
// Then trees: a full model, a quantized one, and variants that fork from it in the middle and are patched from there
// on. CPU seconds over layers run, of all variants, over those of the two models: should stay within a tenth of 1.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/location_results.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/sweep/run_study.hpp"
#include "process.hpp"

#include <array>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::bench;

namespace {

using format = uniform<4, 64>;
using weight = mixed_matrix<dense<float>, format>;

struct study_size {
    std::size_t documents = 16, methods = 2, layers = 4, threads = 1;
};
constexpr std::size_t tokens = 128;
constexpr std::size_t doublings = 3;

/// One document per thread is at work, so that memory does not depend on the number of documents.
void study(study_size const& size) {
    const thread_limit limit(static_cast<unsigned>(size.threads));
    const model_config config{std::string(llama::description.name), size.layers, 2048, tokens,
                              {256, 4, 2, 64, 640, 1e-5f, 10000.0}, true};
    const auto model = tiny_model<llama, weight>(config, 1);
    std::vector<variant<weight>> variants{{"full", model.layers()}};
    for (std::size_t m = 0; m < size.methods; ++m)
        variants.push_back(
            {"rtn4-g64 " + std::to_string(m + 1), quantize_layers(*model.layers(), size.layers, rtn<format>{})});

    matrix<std::int32_t> ids(size.documents, tokens);
    random_generator random(2);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(config.vocabulary));
    const auto threads = static_cast<unsigned>(size.threads);
    measure_run(model, variants, document_rows::numbered(std::move(ids)), {threads, threads}, document_statistics{});
}

/// A model, its quantized version and so many forks of that, on so many documents.
constexpr std::size_t deep = 16;
void run_tree(std::size_t forks, std::size_t documents) {
    const thread_limit limit(1);
    const model_config config{std::string(llama::description.name), deep, 256, tokens,
                              {256, 4, 2, 64, 640, 1e-5f, 10000.0}, true};
    const auto model = tiny_model<llama, weight>(config, 1);
    std::vector<variant<weight>> variants{{"full", model.layers()},
                                          {"rtn4", quantize_layers(*model.layers(), deep, rtn<format>{})}};
    for (std::size_t i = 0; i < forks; ++i)
        variants.push_back(variant<weight>::fork("patched " + std::to_string(i), "rtn4")
                               .patched(hook::id_of<hook::mlp_out>, "full", {deep / 2, deep}));
    matrix<std::int32_t> ids(documents, tokens);
    random_generator random(2);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(config.vocabulary));
    measure_run(model, variants, document_rows::numbered(std::move(ids)), {documents, 1}, location_losses{});
}

void print_trees(bool csv) {
    std::printf(csv ? "forks,layers,cpu_s,cpu_of_a_layer_over_two_models\n"
                    : "\nforks      layers     CPU s  of a layer, over two models\n");
    constexpr std::size_t documents = 64;
    const auto cpu = [](std::size_t forks, std::size_t of_documents) {
        return measure_process([&] { run_tree(forks, of_documents); }).cpu;
    };
    double before = 0;
    for (const std::size_t forks : {0u, 2u, 4u, 8u, 16u, 32u}) {
        const std::size_t layers = documents * (2 * deep + forks * deep / 2);
        const double used = cpu(forks, documents) - cpu(forks, 0), of_a_layer = used / static_cast<double>(layers);
        if (forks == 0) before = of_a_layer;
        std::printf(csv ? "%zu,%zu,%.3f,%.3f\n" : "%-6zu %10zu %9.3f %12.3f\n", forks, layers, used,
                    of_a_layer / before);
        std::fflush(stdout);
    }
}

struct axis {
    const char* name;
    std::size_t study_size::*value;
};
constexpr std::array<axis, 4> axes{{{"documents", &study_size::documents},
                                    {"methods", &study_size::methods},
                                    {"layers", &study_size::layers},
                                    {"threads", &study_size::threads}}};

void print_row(bool csv, axis const& a, study_size const& size, process_use const& used, double before) {
    std::printf(csv ? "%s,%zu,%.3f,%.3f,%.1f,%.2f\n" : "%-10s %6zu %9.3f %9.3f %9.1f %11.2f\n", a.name, size.*a.value,
                used.wall, used.cpu, static_cast<double>(used.peak_bytes) / (1 << 20), used.cpu / before);
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
    const bool csv = argc == 2 && std::string_view(argv[1]) == "--csv";
    if (argc > 2 || (argc == 2 && !csv)) return std::fprintf(stderr, "bench_cost [--csv]\n"), 2;
    const study_size base;
    std::fprintf(csv ? stderr : stdout,
                 "%zu documents of %zu tokens, %zu methods beside the full model, %zu layers, %zu thread; %u cores\n",
                 base.documents, tokens, base.methods, base.layers, base.threads, available_cores());
    std::printf(csv ? "changed,to,wall_s,cpu_s,peak_mib,cpu_over_line_before\n"
                    : "changed        to    wall s     CPU s  peak MiB  line before\n");
    for (axis const& a : axes) {
        study_size size = base;
        double before = 0;
        for (std::size_t i = 0; i <= doublings; ++i, size.*a.value *= 2) {
            const process_use used = measure_process([&] { study(size); });
            print_row(csv, a, size, used, i == 0 ? used.cpu : before);
            before = used.cpu;
        }
    }
    print_trees(csv);
}
