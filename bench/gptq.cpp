// Seconds and share of the arithmetic peak of what GPTQ of a matrix is made of: the Hessian of its inputs, the factor
// of its inverse, and the columns.
//
//     bench_gptq [WORD]...     WORD: part of a shape's name, e.g. "SmolLM2" or "down"
//
// Random weights, and random inputs whose columns differ in size, in documents of 512 tokens; all cores, best of some
// rounds; bench/gptq_peers.py does the same with PyTorch.

#include "bitlens/quantizers/gptq.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/core/random.hpp"
#include "peaks.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;
using namespace bitlens::bench;

namespace {

constexpr std::size_t document = 512, documents = 16;

struct shape {
    std::string_view name;
    std::size_t rows, cols;
};
constexpr shape shapes[] = {{"SmolLM2-135M q", 576, 576},     {"SmolLM2-135M gate", 1536, 576},
                            {"SmolLM2-135M down", 576, 1536}, {"Llama-3-8B q", 4096, 4096},
                            {"Llama-3-8B gate", 14336, 4096}, {"Llama-3-8B down", 4096, 14336}};

matrix<float> random_inputs(random_generator& random, std::size_t width) {
    matrix<float> x(document, width);
    for (std::size_t t = 0; t < document; ++t)
        for (std::size_t c = 0; c < width; ++c)
            x(t, c) = static_cast<float>(random.normal()) * (0.1f + static_cast<float>(c % 7)) +
                      0.5f * x(t, c == 0 ? 0 : c - 1);
    return x;
}

/// Rounds of f, each between two looks at the peak, as others may use the machine: the least seconds, and the median
/// share of the peak.
template <class F>
void bench_phase(shape const& s, const char* phase, double operations, std::size_t rounds, F const& f) {
    const unsigned cores = available_cores();
    double best = std::numeric_limits<double>::infinity(), before = fma_peak(cores);
    std::vector<double> shares;
    for (std::size_t i = 0; i < rounds; ++i) {
        const double start = seconds();
        std::size_t times = 0;
        do {
            f();
            ++times;
        } while (seconds() - start < 0.02);
        const double took = (seconds() - start) / static_cast<double>(times), after = fma_peak(cores);
        best = std::min(best, took);
        shares.push_back(operations / took / ((before + after) / 2));
        before = after;
    }
    std::ranges::nth_element(shares, shares.begin() + static_cast<std::ptrdiff_t>(rounds / 2));
    std::printf("%-18s %6zu x %5zu  %-22s %9.4f s  %7.1f GFLOP/s  %5.2f of the peak\n", std::string(s.name).c_str(),
                s.rows, s.cols, phase, best, operations / best * 1e-9, shares[rounds / 2]);
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
    const unsigned cores = available_cores();
    for (shape const& s : shapes) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; ++i) wanted = wanted || s.name.find(argv[i]) != std::string_view::npos;
        if (!wanted) continue;
        random_generator random(1);
        const auto rows = static_cast<double>(s.rows), n = static_cast<double>(s.cols);
        std::vector<matrix<float>> x;
        std::vector<matrix_view<const float>> views;
        for (std::size_t d = 0; d < documents; ++d) {
            x.push_back(random_inputs(random, s.cols));
            views.push_back(x.back());
        }
        matrix<float> w(s.rows, s.cols);
        for (float& v : w.span()) v = 0.02f * static_cast<float>(random.normal());
        const std::size_t rounds = s.cols > 8192 ? 1 : s.cols > 2048 ? 3 : 15;

        input_hessian h(s.cols);
        bench_phase(s, "hessian, 8192 tokens", static_cast<double>(document * documents) * n * (n + 1), rounds, [&] {
            h = input_hessian(s.cols);
            h.add(views, cores);
        });
        const gptq<uniform<3, 64>> method;
        auto inputs = method.prepare(h);
        bench_phase(s, "factor", 2 * n * n * n / 3, rounds, [&] { inputs = method.prepare(h); });
        bench_phase(s, "columns, 3 bits g64", rows * n * n, rounds, [&] { sink = method(w, inputs).scale(0, 0); });
    }
}
