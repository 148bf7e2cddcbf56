// Seconds and share of the arithmetic peak of what AWQ of a block is made of: what is noted of its inputs on the way
// through it, the search of scales, that which drops ratios and that which runs all of them, and the search of clips.
// Of all together also the seconds of cores, which others on the machine change less.
//
//     bench_awq [DOCUMENTS] [WORD]...     DOCUMENTS: of 512 tokens, 64 unless said; WORD: part of a model's name
//
// One block of a model's shape at 3 bits in groups of 64, with random weights and random states whose channels differ
// in size; all cores, best of some rounds. How many ratios are dropped depends on the states: documents of text differ
// more than random ones, and drop fewer. bench/awq_peers.py does the same with PyTorch.

#include "bitlens/core/machine.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/recipes/awq_walk.hpp"
#include "peaks.hpp"
#include "process.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;
using namespace bitlens::bench;

namespace {

using weight = mixed_matrix<dense<float>, uniform<3, 64>>;
constexpr awq_method method{3, 64};
constexpr std::size_t document = 512, rounds = 3;

struct model_shape {
    std::string_view name;
    block_shape block;
};
constexpr model_shape shapes[] = {{"SmolLM2-135M", {576, 9, 3, 64, 1536, 1e-5f}},
                                  {"Qwen2.5-0.5B", {896, 14, 2, 64, 4864, 1e-6f}}};

transformer<llama, weight> random_block(block_shape const& shape) {
    auto config = tiny_config<llama>();
    config.layers = 1;
    config.block = shape;
    return tiny_model<llama, weight>(config, 1);
}

std::vector<matrix<float>> random_states(std::size_t documents, std::size_t width) {
    random_generator random(1);
    std::vector<double> sizes(width);
    for (double& size : sizes) size = std::exp(random.normal());
    std::vector<matrix<float>> states(documents);
    for (auto& x : states) {
        x = matrix<float>(document, width);
        for (std::size_t t = 0; t < document; ++t)
            for (std::size_t c = 0; c < width; ++c) x(t, c) = static_cast<float>(sizes[c] * random.normal());
    }
    return states;
}

/// Operations of the two halves of a block for one document.
struct block_operations {
    double attention, mlp;

    explicit block_operations(block_shape const& s) {
        const auto tokens = static_cast<double>(document), width = static_cast<double>(s.width),
                   queries = static_cast<double>(s.query_width()), keys = static_cast<double>(s.key_width());
        attention = 4 * tokens * width * (queries + keys) + 2 * tokens * (tokens + 1) * queries;
        mlp = 6 * tokens * width * static_cast<double>(s.ffn_width);
    }
};

/// Of δᵀ·G·δ for ten clips of every group of the matrices that have them, and of G.
double operations_of_clips(block_shape const& s, std::size_t tokens) {
    double sum = 0;
    for (const projection p : {projection::v, projection::o, projection::gate, projection::up, projection::down}) {
        const auto [rows, cols] = shape_of(p, s);
        const auto changes = static_cast<double>(rows * bitlens::detail::clip_count);
        sum += 2 * static_cast<double>(cols * method.group_size) * (changes + static_cast<double>(tokens));
    }
    return sum;
}

struct phase {
    double best = std::numeric_limits<double>::infinity(), operations = 0;
    std::size_t runs = 0;                                          // of a document at a ratio
    double core_seconds = std::numeric_limits<double>::infinity(); // least, where they are known
    std::vector<double> shares{};

    void met(double took, double done, double peak) {
        best = std::min(best, took);
        operations = done;
        shares.push_back(done / took / peak);
    }
    void print(std::string_view model, std::size_t documents, const char* name) {
        const auto middle = shares.begin() + static_cast<std::ptrdiff_t>(shares.size() / 2);
        std::ranges::nth_element(shares, middle);
        std::printf("%-14s %4zu x %zu tokens  %-22s %9.3f s  %7.1f GFLOP/s  %5.2f of the peak",
                    std::string(model).c_str(), documents, document, name, best, operations / best * 1e-9, *middle);
        if (runs != 0) std::printf("  %zu runs of a document", runs);
        if (std::isfinite(core_seconds)) std::printf("  %.3f core seconds", core_seconds);
        std::printf("\n");
        std::fflush(stdout);
    }
};

void bench_model(model_shape const& s, std::size_t documents) {
    const unsigned cores = available_cores();
    const auto model = random_block(s.block);
    const auto states = random_states(documents, s.block.width);
    const std::vector<std::vector<std::int32_t>> ids(documents, std::vector<std::int32_t>(document));
    const block_operations of_document(s.block);
    const auto count = static_cast<double>(documents), width = static_cast<double>(s.block.width),
               ffn_width = static_cast<double>(s.block.ffn_width);
    phase statistics, scales[2], clips, all[2]; // of two: ratios are dropped, all are run
    double before = fma_peak(cores);
    for (std::size_t i = 0; i < 2 * rounds; ++i) {
        const bool runs_all = i % 2 == 1;
        calibration_run run(model, ids, cores);
        for (std::size_t n = 0; n < documents; ++n) copy_rows(states[n].view(), run.stream(n).x.view());
        layer_panels::matrix_counts one;
        one.fill(1);
        layer_panels panels(s.block, one, model.products());
        std::vector<awq_record> records;
        const double start = seconds(), core_start = cpu_seconds();
        awq_block<llama::description.form, weight>(run, 0, model.layers()->layer(0), std::span(&method, 1), {}, panels,
                                                   cores, records, {.drops_losers = !runs_all});
        const double took = seconds() - start, core_seconds = cpu_seconds() - core_start, after = fma_peak(cores),
                     peak = (before + after) / 2;
        double searched = 0, clipped = 0, operations = 0;
        std::size_t runs = 0;
        for (auto const& r : records) {
            (r.ratio ? searched : clipped) += r.seconds;
            if (!r.ratio) continue;
            if (r.module == "down_proj") { // of which products are searched, not documents
                operations += 2 * static_cast<double>(r.runs) * width * ffn_width * ffn_width;
                continue;
            }
            operations +=
                static_cast<double>(r.runs) * (r.module.starts_with("q") ? of_document.attention : of_document.mlp);
            runs += r.runs;
        }
        const double products = static_cast<double>(document) * ffn_width * (ffn_width + 1);
        const double noted = count * (of_document.attention + of_document.mlp + products),
                     cut = operations_of_clips(s.block, input_sample(1, run.tokens()).inputs().rows);
        statistics.met(took - searched - clipped, noted, peak);
        scales[runs_all].met(searched, operations, peak);
        scales[runs_all].runs = runs;
        clips.met(clipped, cut, peak);
        all[runs_all].met(took, noted + operations + cut, peak);
        all[runs_all].core_seconds = std::min(all[runs_all].core_seconds, core_seconds);
        before = after;
    }
    statistics.print(s.name, documents, "statistics");
    scales[0].print(s.name, documents, "scales");
    scales[1].print(s.name, documents, "scales, all ratios");
    clips.print(s.name, documents, "clips");
    all[0].print(s.name, documents, "all");
    all[1].print(s.name, documents, "all, all ratios");
}

} // namespace

int main(int argc, char** argv) {
    std::size_t documents = 64;
    std::vector<std::string_view> words(argv + 1, argv + argc);
    if (!words.empty()) {
        const auto end = words[0].data() + words[0].size();
        std::size_t found = 0;
        if (const auto [at, error] = std::from_chars(words[0].data(), end, found);
            error == std::errc() && at == end && found != 0) {
            documents = found;
            words.erase(words.begin());
        }
    }
    for (model_shape const& s : shapes)
        if (words.empty() || std::ranges::any_of(words, [&](auto word) { return s.name.find(word) != s.name.npos; }))
            bench_model(s, documents);
}
