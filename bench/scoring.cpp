// How many tokens a second a checkpoint scores, in every arithmetic that the machine has, in full and quantized, and
// where the time goes.
//
//     bench_scoring MODEL [WORD]...     WORD: part of a line's name, e.g. "float32, full" or "uniform3"
//
// Rows of 512 random ids on all cores, best of several rounds; bench/scoring_peers.py does the same with others.

#include "bitlens/core/machine.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/formats.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/quantizers.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "peaks.hpp"

#include <algorithm>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::bench;

namespace {

using weight = mixed_matrix<dense<float>, dense<bf16>, dense<f16>, uniform<3, 64>, normal_float<4, 64>>;
constexpr std::size_t tokens = 512, rows_per_thread = 4, rounds = 3, rounds_of_parts = 9;

matrix<std::int32_t> random_rows(std::size_t rows, std::size_t vocabulary) {
    random_generator random(1);
    matrix<std::int32_t> ids(rows, tokens);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
}

template <class Architecture>
double tokens_per_second(transformer<Architecture, weight> const& model, unsigned threads) {
    const auto ids = random_rows(rows_per_thread * threads, model.config().vocabulary);
    const std::vector<variant<weight>> variants{{"model", model.layers()}};
    double best = 0;
    for (std::size_t i = 0; i < rounds; ++i) {
        const double start = seconds();
        sweep<Architecture, weight>(
            model, variants, ids, {ids.rows(), threads}, [](std::size_t) { return score_measurement(tokens - 1); },
            [](std::size_t, std::span<score_measurement>) {});
        best = std::max(best, static_cast<double>(ids.rows() * tokens) / (seconds() - start));
    }
    return best;
}

template <class F>
double time_of(F const& f) {
    f();
    double least = 1e300;
    for (std::size_t i = 0; i < rounds_of_parts; ++i) {
        const double start = seconds();
        f();
        least = std::min(least, seconds() - start);
    }
    return least;
}

/// Where the cores' time goes, of which a row takes `core_seconds`: what each part takes alone on one core, in shares
/// of it. What they leave is waiting, for memory that the cores share and for one another.
template <class Architecture>
void print_parts(transformer<Architecture, weight> const& model, double core_seconds, std::size_t rows_per_block) {
    const thread_limit one_core(1);
    auto const& config = model.config();
    auto const& shape = config.block;
    workspace scratch(sweep_workspace_bytes(config, tokens, 1, 1), 1, model.products());
    block_state state(tokens, shape);
    const auto ids = random_rows(1, config.vocabulary);
    layer_panels panels(shape, 1, model.products());
    const block_weights<weight> weights[] = {model.layers()->layer(0)};
    const double layout = time_of([&] { panels.pack(std::span<const block_weights<weight>>(weights)); });
    block_weights<weight_panels<>> const& layer = panels[0];
    no_probe nobody;
    const double block = time_of([&] {
        model.embed(ids.row(0), state.x);
        advance<Architecture>(shape, layer, site{0}, state, stage::end, scratch, nobody);
    });
    matrix<float> x(tokens, shape.ffn_width), y(tokens, shape.ffn_width);
    const double products = time_of([&] {
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
            matmul(*layer.linear[p], x.view().middle_cols(0, cols), y.view().middle_cols(0, rows), scratch);
        }
    });
    const std::size_t q_width = shape.heads * shape.head_dim, k_width = shape.kv_heads * shape.head_dim;
    matrix<float> q(tokens, q_width), k(tokens, k_width), v(tokens, k_width), normed(tokens, shape.width);
    const double attend = time_of([&] { attention(q, k, v, shape.head_dim, state.heads, scratch); });
    const double norms = time_of([&] {
        for (auto const* gamma : {&layer.rest->attn_norm, &layer.rest->mlp_norm})
            rms_norm(state.x, *gamma, shape.norm_eps, normed);
    });
    const double activations = time_of([&] { silu_multiply(state.act, y); });
    const double turns = time_of([&] {
        rope(*state.rope, 0, q);
        rope(*state.rope, 0, k);
    });
    score_measurement row(tokens - 1);
    const double vocabulary = time_of([&] {
        const matrix_view<const float> hidden = state.x.view().middle_rows(0, tokens - 1);
        vocabulary_loss(model.head(), std::span(&hidden, 1), ids.row(0).subspan(1), row.scores(), scratch);
    });

    const auto layers = static_cast<double>(config.layers), rows = static_cast<double>(rows_per_block);
    const double rest = block - products - attend - norms - activations - turns;
    const std::pair<const char*, double> parts[] = {{"products", layers * products},
                                                    {"attention", layers * attend},
                                                    {"norms", layers * norms},
                                                    {"SiLU", layers * activations},
                                                    {"rotary embedding", layers * turns},
                                                    {"sums and the rest of the blocks", layers * rest},
                                                    {"weights laid out", layers * layout / rows},
                                                    {"vocabulary", vocabulary}};
    double waiting = core_seconds;
    std::printf("    of the cores' time:");
    for (auto const& [name, part] : parts) {
        std::printf(" %s %.1f %%,", name, 100 * part / core_seconds);
        waiting -= part;
    }
    std::printf(" waiting %.1f %%\n", 100 * waiting / core_seconds);
}

template <class Architecture>
void bench_model(checkpoint const& source, std::span<char* const> words) {
    const unsigned threads = available_cores();
    const transformer<Architecture, weight> full(source, true);
    const auto wanted = [&](std::string const& line) {
        return words.empty() || std::ranges::any_of(words, [&](auto* word) { return line.find(word) != line.npos; });
    };
    const auto bench = [&](std::string const& format, auto const& make_model) {
        for (const arithmetic a : all_arithmetics) {
            const std::string line = std::string(name(a)) + ", " + format;
            if (!is_available(a) || !wanted(line)) continue;
            const auto model = make_model().with_products(a);
            const double rate = tokens_per_second(model, threads);
            std::printf("%-46s %7.0f tokens/s on %u cores\n", line.c_str(), rate, threads);
            print_parts(model, threads * tokens / rate, rows_per_thread * threads);
            std::fflush(stdout);
        }
    };
    const auto quantized = [&](auto const& quantizer) {
        return [&] { return full.with_layers(quantize_layers(*full.layers(), full.config().layers, quantizer)); };
    };
    bench("full", [&] { return full; });
    bench("uniform3-g64", quantized(rtn<uniform<3, 64>>{}));
    bench("nf4-g64", quantized(absmax<normal_float<4, 64>>{}));
}

} // namespace

int main(int argc, char** argv) try {
    if (argc < 2) return std::fprintf(stderr, "bench_scoring MODEL [WORD]...\n"), 2;
    const checkpoint source(argv[1]);
    visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        bench_model<Architecture>(source, std::span(argv + 2, argv + argc));
    });
} catch (std::exception const& e) {
    std::fprintf(stderr, "bench_scoring: %s\n", e.what());
    return 1;
}
