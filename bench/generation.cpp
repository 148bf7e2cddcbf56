// How many tokens a second a model of the shapes of Qwen2.5-1.5B generates, in every packed format of interest: one
// text, beside the bandwidth that its weights could be read with; 2, 4, 8 and 16 side by side; and how fast a prompt is
// read, beside scoring.
//
//     bench_generation [--layers N] [WORD]...     WORD: part of a format's name, e.g. "nf4" or "bf16"
//
// Weights are random, of all formats alike, the head (which is the embedding) too; all of them together are larger than
// the last cache. Bytes of a token are those of the layers and the head. Times are the least of some rounds, the read
// bandwidth the best of those measured between them; the fraction is also given round by round, for machines are
// shared: the median of a round's rate over the bandwidth just before and after it. bench/generation_peers.py does the
// same with others.

#include "bitlens/core/machine.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/formats.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/models/score.hpp"
#include "peaks.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::bench;

namespace {

using weight = mixed_matrix<dense<bf16>, dense<f16>, normal_float<3, 64>, normal_float<4, 64>, uniform<3, 64>,
                            uniform<4, 64>, uniform<4, 32, zero_kind::symmetric>, affine<4, 32>, affine<4, 64>,
                            uniform<8, 32, zero_kind::symmetric>>;
using model = transformer<qwen2, weight>;
constexpr std::size_t rounds = 5, new_tokens = 12, prompt_tokens = 256;

model_config qwen_1_5b(std::size_t layers) {
    model_config c{"qwen2", layers, 151936, 4096, {1536, 12, 2, 128, 8960, 1e-6f}, true};
    c.block.biases = qwen2::description.biases;
    return c;
}

/// Random codes, or numbers, of deviation 1/√cols.
template <weight_format F>
packed_matrix<F> random_matrix(std::size_t rows, std::size_t cols, random_generator& random) {
    packed_matrix<F> w(rows, cols);
    const double deviation = 1 / std::sqrt(static_cast<double>(cols));
    if constexpr (quant_format<F>) {
        double mean = 0, square = 0; // of the levels
        for (const float level : F::codebook) mean += level / static_cast<double>(F::codebook.size());
        for (const float level : F::codebook)
            square += (level - mean) * (level - mean) / static_cast<double>(F::codebook.size());
        const float scale(bf16(static_cast<float>(deviation / std::sqrt(square)))); // few bits
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t g = 0; g < w.groups(); ++g) {
                w.set_scale(r, g, scale);
                if constexpr (F::has_zero) w.set_zero(r, g, static_cast<std::uint8_t>(F::codebook.size() / 2));
                if constexpr (bitlens::detail::has_offset<F>) w.set_offset(r, g, -scale * static_cast<float>(mean));
            }
        const auto codes = w.arrays().codes.span();
        for (std::size_t i = 0; i < codes.size(); i += sizeof(std::uint64_t)) {
            const std::uint64_t bits = random();
            std::memcpy(codes.data() + i, &bits, std::min(sizeof bits, codes.size() - i));
        }
    } else {
        std::vector<typename F::value_type> numbers(1 << 12);
        for (auto& x : numbers)
            x = static_cast<typename F::value_type>(static_cast<float>(deviation * random.normal()));
        for (std::size_t r = 0; r < rows; ++r)
            for (auto& x : w.writable_row(r)) x = numbers[random.below(numbers.size())];
    }
    return w;
}

/// A model, and the bytes of its weights that a token needs.
struct measured_model {
    model runs;
    std::size_t bytes;
};
template <weight_format F>
measured_model random_model(std::size_t layer_count) {
    const model_config config = qwen_1_5b(layer_count);
    auto const& shape = config.block;
    random_generator random(1);
    std::size_t bytes = 0;
    const auto make = [&](matrix_shape of) {
        auto w = random_matrix<F>(of.rows, of.cols, random);
        bytes += w.bytes();
        return std::make_shared<const weight>(std::move(w));
    };
    norms_and_biases rest;
    for (const block_norm n : {block_norm::attn, block_norm::mlp}) rest.gamma(n).assign(shape.width, 1.0f);
    for (const projection p : {projection::q, projection::k, projection::v})
        rest.bias(p).assign(shape_of(p, shape).rows, 0.1f);
    const auto shared_rest = std::make_shared<const norms_and_biases>(std::move(rest));
    std::vector<block_weights<weight>> layers(layer_count);
    for (auto& layer : layers) {
        for (std::size_t p = 0; p < projection_count; ++p)
            layer.linear[p] = make(shape_of(static_cast<projection>(p), shape));
        layer.rest = shared_rest;
    }
    const auto head = make({config.vocabulary, shape.width});
    return {{config, std::make_shared<resident_layers<weight>>(std::move(layers)), head,
             std::vector<float>(shape.width, 1.0f), head},
            bytes};
}

std::vector<std::int32_t> random_ids(std::size_t count, std::size_t vocabulary, random_generator& random) {
    std::vector<std::int32_t> ids(count);
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
}

template <class F>
double time_of(F const& f) {
    const double start = seconds();
    f();
    return seconds() - start;
}

/// Seconds of one step of `texts` texts that grow side by side, their prompts left out.
double step_seconds(model const& m, std::size_t texts) {
    random_generator random(2);
    std::vector<std::vector<std::int32_t>> prompts;
    for (std::size_t i = 0; i < texts; ++i) prompts.push_back(random_ids(4, m.config().vocabulary, random));
    const auto run = [&](std::size_t tokens) {
        return time_of([&] { generate_each(m, prompts, {.most_tokens = tokens}, texts, [](auto...) {}); });
    };
    const double prompt = std::min(run(1), run(1));
    return (run(1 + new_tokens) - prompt) / static_cast<double>(new_tokens);
}

template <weight_format F>
void bench(std::size_t layers, std::span<char* const> words, aligned_array<float> const& buffer) {
    const std::string name = format_name<F>();
    if (!words.empty() && std::ranges::none_of(words, [&](auto* word) { return name.find(word) != name.npos; })) return;
    const measured_model made = random_model<F>(layers);
    model const& m = made.runs;
    const unsigned cores = available_cores();
    const auto of_a_token = static_cast<double>(made.bytes);

    double step = 1e300, bandwidth = 0, before = read_bandwidth(buffer, cores);
    std::vector<double> fractions;
    step_seconds(m, 1); // pages and caches
    for (std::size_t i = 0; i < rounds; ++i) {
        const double took = step_seconds(m, 1), after = read_bandwidth(buffer, cores);
        step = std::min(step, took);
        bandwidth = std::max({bandwidth, before, after});
        fractions.push_back(of_a_token / took / ((before + after) / 2));
        before = after;
    }
    std::ranges::sort(fractions);
    std::printf("%-16s one text %6.2f tokens/s, %7.1f MB a token, %5.1f GB/s: %.3f of %.1f GB/s (median %.3f)\n",
                name.c_str(), 1 / step, of_a_token * 1e-6, of_a_token / step * 1e-9, of_a_token / step / bandwidth,
                bandwidth * 1e-9, fractions[rounds / 2]);
    for (const std::size_t texts : {2u, 4u, 8u, 16u}) {
        double least = 1e300;
        for (std::size_t i = 0; i < 2; ++i) least = std::min(least, step_seconds(m, texts));
        const double rate = static_cast<double>(texts) / least;
        std::printf("%-16s %2zu texts %7.2f tokens/s, %.2f times one\n", name.c_str(), texts, rate, rate * step);
        std::fflush(stdout);
    }
    random_generator random(3);
    const auto ids = random_ids(prompt_tokens, m.config().vocabulary, random);
    double prompt = 1e300, scoring = 1e300;
    for (std::size_t i = 0; i < 2; ++i) {
        prompt = std::min(prompt, time_of([&] { generate(m, ids, {.most_tokens = 1}); }));
        scoring = std::min(scoring, time_of([&] { score(m, ids); }));
    }
    const auto tokens = static_cast<double>(prompt_tokens);
    std::printf("%-16s prompt of %zu: %7.1f tokens/s, scored %7.1f\n", name.c_str(), prompt_tokens, tokens / prompt,
                tokens / scoring);
    std::fflush(stdout);
}

template <weight_format... F>
void bench_all(mixed_matrix<F...> const*, std::size_t layers, std::span<char* const> words) {
    const aligned_array<float> buffer(2 * last_level_cache() / sizeof(float));
    (bench<F>(layers, words, buffer), ...);
}

} // namespace

int main(int argc, char** argv) try {
    std::size_t layers = 28;
    std::span<char* const> words(argv + 1, argv + argc);
    if (words.size() >= 2 && std::string_view(words[0]) == "--layers") {
        const std::string_view number = words[1];
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), layers);
        if (error != std::errc{} || end != number.data() + number.size() || layers == 0)
            return std::fprintf(stderr, "bench_generation [--layers N] [WORD]...\n"), 2;
        words = words.subspan(2);
    }
    bench_all(static_cast<weight const*>(nullptr), layers, words);
} catch (std::exception const& e) {
    std::fprintf(stderr, "bench_generation: %s\n", e.what());
    return 1;
}
