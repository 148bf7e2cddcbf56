// How many tokens a second a checkpoint scores, in every arithmetic that the machine has, in full and quantized, and
// where the time goes; and what a study's measurements add to it.
//
//     bench_scoring MODEL [WORD]...     WORD: part of a line's name, e.g. "float32, full", "uniform3" or "study"
//
// Rows of 512 random ids on all cores, best of several rounds; bench/scoring_peers.py does the same with others.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/formats.hpp"
#include "bitlens/hooks/measure.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/quantizers.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "peaks.hpp"
#include "process.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
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
    workspace scratch(sweep_workspace_bytes(config, tokens, {}, 1), 1, model.products());
    residual_stream stream(tokens, shape);
    block_buffers buffers(tokens, shape, config.ropes);
    const auto ids = random_rows(1, config.vocabulary);
    layer_panels panels(shape, sweep_load::of_models(1, config.layers).matrices, model.products());
    const block_weights<weight> weights[] = {model.layers()->layer(0)};
    const double layout = time_of([&] { panels.pack(std::span<const block_weights<weight>>(weights)); });
    block_weights<weight_panels<>> const& layer = panels[0];
    no_probe nobody;
    const double block = time_of([&] {
        model.embed(ids.row(0), stream.x);
        advance<Architecture::description.form>(shape, layer, site{0}, stream, buffers, stage::end, scratch, nobody);
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
    const double attend =
        time_of([&] { attention(q, k, v, shape.head_dim, shape.attention(), buffers.heads, scratch); });
    const double norms = time_of([&] {
        for (const block_norm n : {block_norm::attn, block_norm::mlp})
            rms_norm(stream.x, layer.rest->gamma(n), shape.norm_eps, normed);
    });
    const double activations = time_of([&] { activate_multiply<activation::silu>(buffers.act, y); });
    const double turns = time_of([&] {
        rope(buffers.ropes->front(), 0, q);
        rope(buffers.ropes->front(), 0, k);
    });
    score_measurement row(tokens - 1);
    const double vocabulary = time_of([&] {
        const matrix_view<const float> hidden = stream.x.view().middle_rows(0, tokens - 1);
        vocabulary_loss(model.head(), no_soft_cap, std::span(&hidden, 1), ids.row(0).subspan(1), row.scores(), scratch);
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

/// What the paper asks for beside the losses, and no more: norms and kurtosis of the full model, and how far each
/// method's MLPs are from it.
class papers_measurement {
public:
    papers_measurement(std::size_t layers, std::size_t variants)
        : scores_(tokens - 1, variants), full_(std::make_unique<full_model_probes>(layers)) {
        for (std::size_t v = 1; v < variants; ++v) mse_.push_back({std::vector<double>(layers), full_.get()});
    }
    template <class F>
    void with_probe(std::size_t variant, F const& f) {
        if (variant > 0) return f(mse_[variant - 1]);
        chain probe{full_->norm_r, full_->norm_h, full_->kurtosis_r, full_->kurtosis_h, full_->mlp_out};
        f(probe);
    }
    std::span<const token_scores> scores() noexcept { return scores_.scores(); }

private:
    struct full_model_probes {
        residual_norms<hook::resid_mid> norm_r;
        residual_norms<hook::mlp_in> norm_h;
        token_kurtosis<hook::resid_mid> kurtosis_r;
        token_kurtosis<hook::mlp_in> kurtosis_h;
        latest<hook::mlp_out> mlp_out;

        explicit full_model_probes(std::size_t layers)
            : norm_r(layers), norm_h(layers), kurtosis_r(layers), kurtosis_h(layers) {}
    };
    struct mlp_error {
        using points = hook::set<hook::mlp_out>;
        std::vector<double> per_layer;
        full_model_probes const* full;

        void on(hook::mlp_out, site at, matrix_view<const float> a) {
            per_layer[at.layer] =
                mean_squared_difference(full->mlp_out.positions().of(a), full->mlp_out.of_layer(at.layer));
        }
    };

    score_measurement scores_;
    std::unique_ptr<full_model_probes> full_; // where it stays when this object moves
    std::vector<mlp_error> mse_;
};

/// Seconds of one core for what a measurement's probes do with one document.
template <class Measurement>
double seconds_of_probes(Measurement measured, std::size_t variants, std::size_t layers, matrix<float>& states) {
    return time_of([&] {
        for (std::size_t k = 0; k < layers; ++k)
            for (std::size_t v = 0; v < variants; ++v)
                measured.with_probe(v, [&](auto& probe) {
                    std::apply([&](auto... point) { (emit<decltype(point)>(probe, site{k}, states), ...); },
                               hook::all{});
                });
    });
}

/// What a study's measurements add to the scores of the full model and three methods. The sweeps that they watch differ
/// by less than their times do from call to call, so that the probes are timed alone.
template <class Architecture>
void bench_measurements(transformer<Architecture, weight> const& full, arithmetic products, std::string const& line,
                        unsigned threads) {
    const auto three_bits = quantize_layers(*full.layers(), full.config().layers, rtn<uniform<3, 64>>{});
    const auto four_bits = quantize_layers(*full.layers(), full.config().layers, absmax<normal_float<4, 64>>{});
    const std::vector<variant<weight>> variants{
        {"full", full.layers()}, {"rtn3", three_bits}, {"nf4", four_bits}, {"nf4 again", four_bits}};
    const auto ids = random_rows(threads, full.config().vocabulary);
    double document = 1e300; // of one core
    for (std::size_t i = 0; i < rounds; ++i) {
        const double start = cpu_seconds();
        sweep(
            full.with_products(products), variants, ids, {ids.rows(), threads},
            [&](std::size_t) { return score_measurement(tokens - 1, variants.size()); }, [](std::size_t, auto) {});
        document = std::min(document, (cpu_seconds() - start) / static_cast<double>(ids.rows()));
    }
    const thread_limit one_core(1);
    const measured_size size{variants.size(), full.config().layers, tokens, full.config().block.width};
    matrix<float> states(tokens, size.width);
    random_generator random(2);
    for (float& x : states.span()) x = static_cast<float>(random.normal());
    const double papers =
        seconds_of_probes(papers_measurement(size.layers, size.variants), size.variants, size.layers, states);
    const double all = seconds_of_probes(document_statistics{}.make(size, 0), size.variants, size.layers, states);
    std::printf("%-46s %7.2f core seconds a row; norms, kurtosis and MSE add %.1f %%, all that is measured %.1f %%\n",
                line.c_str(), document, 100 * papers / document, 100 * all / document);
    std::fflush(stdout);
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
    for (const arithmetic a : all_arithmetics)
        if (const std::string line = std::string(name(a)) + ", study of three methods"; is_available(a) && wanted(line))
            bench_measurements(full, a, line, threads);
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
