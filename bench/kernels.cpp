// How near matmul and matvec come to what the machine can do, for every format on shapes of real models; matmul in
// every arithmetic that has instructions of its own.
//
//     bench_kernels [--csv] [--only WORD]...     WORD: part of a format's, a model's or a peak's name,
//                                           "matmul", "panels" or "matvec"
//
// "panels" are weights that a sweep has laid out for many examples, whatever their format; they come from memory here,
// as they do there.
//
// Peaks are measured in the same run, between the kernels, for they drift on shared machines: the fraction is the
// median over rounds of the kernel's rate over the mean of the peaks just before and just after it; beside it stands
// the best rate over the best peak of all rounds. Where another tenant computes on the same core, a loop of nothing but
// FMAs suffers less than any loop that also loads. So the micro-kernel on operands in the first cache runs before and
// after each round too: a round is quiet where it was within 5 % of the run's best both times. There are rounds until
// enough are quiet or patience ends, and the fraction is that of the quiet ones where there are any.

#include "bitlens/core/machine.hpp"
#include "bitlens/formats.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/kernels/matvec.hpp"
#include "bitlens/kernels/weight_panels.hpp"
#include "peaks.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::bench;

namespace {

/// Linear layers, and of SmolLM2's head of 49152 rows a tile.
struct shape {
    const char* model;
    std::size_t rows, cols;
};
constexpr shape shapes[] = {{"SmolLM2-135M", 576, 576},  {"SmolLM2-135M", 192, 576},  {"SmolLM2-135M", 1536, 576},
                            {"SmolLM2-135M", 576, 1536}, {"SmolLM2-135M", 4096, 576}, {"Qwen2.5-0.5B", 896, 896},
                            {"Qwen2.5-0.5B", 128, 896},  {"Qwen2.5-0.5B", 4864, 896}, {"Qwen2.5-0.5B", 896, 4864},
                            {"Llama-3-8B", 4096, 4096},  {"Llama-3-8B", 1024, 4096},  {"Llama-3-8B", 14336, 4096},
                            {"Llama-3-8B", 4096, 14336}};
constexpr std::size_t positions = 512;
constexpr std::size_t rounds = 9;
constexpr double patience = 3; // seconds for quiet rounds

struct options {
    bool csv = false;
    std::vector<std::string_view> only;

    bool wants(std::string_view text) const {
        return std::all_of(only.begin(), only.end(),
                           [&](std::string_view word) { return text.find(word) != text.npos; });
    }
};

/// Time does not depend on the codes, which stay 0; scales and numbers are no zeros, so that nothing is denormal.
template <weight_format F>
packed_matrix<F> some_matrix(std::size_t rows, std::size_t cols) {
    packed_matrix<F> w(rows, cols);
    for (std::size_t r = 0; r < rows; ++r) {
        if constexpr (quant_format<F>) {
            for (std::size_t g = 0; g < w.groups(); ++g) {
                w.set_scale(r, g, 0.01171875f); // few bits
                if constexpr (F::has_zero) w.set_zero(r, g, 1);
                if constexpr (bitlens::detail::has_offset<F>) w.set_offset(r, g, 0.1f);
            }
        } else {
            for (auto& v : w.writable_row(r)) v = static_cast<typename F::value_type>(0.01f);
        }
    }
    return w;
}

struct measured {
    double rate, fraction, best; // the best rate; the median fraction of the peak; the best rate over the best peak
    std::size_t quiet, rounds;   // the fraction is that of the quiet rounds, or of all if none was quiet
};

/// `work()` does `amount` operations (or bytes); `peak()` measures how many the machine can do a second, `alone()` how
/// fast it is at something that suffers from others as the work does.   best_alone: the best of that so far, raised.
template <class Work, class Peak, class Alone>
measured beside(double amount, Work const& work, Peak const& peak, Alone const& alone, double& best_alone) {
    struct round {
        double rate, peak, alone;
    };
    std::vector<round> all;
    const auto is_quiet = [&](round const& r) { return r.alone >= 0.95 * best_alone; };
    const auto quiet = [&] { return static_cast<std::size_t>(std::ranges::count_if(all, is_quiet)); };

    work(); // pages and caches
    double peak_before = peak(), alone_before = alone();
    const double began = seconds();
    while (all.size() < rounds || (quiet() < rounds && seconds() - began < patience)) {
        const double start = seconds();
        std::size_t times = 0;
        do {
            work();
            ++times;
        } while (seconds() - start < 0.001);
        const double rate = static_cast<double>(times) * amount / (seconds() - start);
        const double alone_after = alone(), peak_after = peak();
        best_alone = std::max({best_alone, alone_before, alone_after});
        all.push_back({rate, (peak_before + peak_after) / 2, std::min(alone_before, alone_after)});
        peak_before = peak_after;
        alone_before = alone(); // the peak took a while
    }
    std::vector<double> fractions;
    double best = 0, best_peak = 0;
    for (round const& r : all) {
        if (quiet() == 0 || is_quiet(r)) fractions.push_back(r.rate / r.peak);
        best = std::max(best, r.rate);
        best_peak = std::max(best_peak, r.peak);
    }
    const auto middle = fractions.begin() + static_cast<std::ptrdiff_t>(fractions.size() / 2);
    std::nth_element(fractions.begin(), middle, fractions.end());
    return {best, *middle, best / best_peak, quiet(), all.size()};
}

void print_row(options const& o, const char* kernel, std::string const& format, const char* model, std::size_t rows,
               std::size_t cols, unsigned cores, measured m, const char* unit, const char* bound) {
    if (o.csv)
        std::printf("%s,%s,%s,%zu,%zu,%u,%s,%.4g,%s,%.4f,%.4f,%zu,%zu\n", kernel, format.c_str(), model, rows, cols,
                    cores, unit, m.rate * 1e-9, bound, m.fraction, m.best, m.quiet, m.rounds);
    else
        std::printf("%-7s %-16s %-13s %5zu x %-5zu %2u cores %8.1f %-8s %5.3f (best %5.3f, quiet %zu of %zu) of %s\n",
                    kernel, format.c_str(), model, rows, cols, cores, m.rate * 1e-9, unit, m.fraction, m.best, m.quiet,
                    m.rounds, bound);
    std::fflush(stdout);
}

/// Operations a second of `cores` cores at tiles of y, from operands that stay in the first cache.
double micro_kernel_alone(arithmetic products, unsigned cores) {
    micro_kernel const& kernel = micro_kernel_of(products);
    const std::size_t t = kernel.tile_positions, r = kernel.panel_rows;
    const std::size_t depth = 8192 / (t + r) / 32 * 32, times = 200'000'000 / (2 * t * r * depth);
    const double start = seconds();
    parallel_for(cores, [&](std::size_t) {
        const micro_kernel_session session(kernel);
        aligned_array<packed_element> x(t * kernel.row_elements(depth)), panel(r * kernel.row_elements(depth));
        aligned_array<float> y(t * r);
        for (std::size_t i = 0; i < times; ++i)
            kernel.multiply(kernel.packed_operand(x.data(), t), depth, panel.data(), {y.data(), t, r}, {}, {});
    });
    return 2.0 * static_cast<double>(t * r * depth * times * cores) / (seconds() - start);
}

struct named_peak {
    arithmetic products;
    const char* name;
};
constexpr named_peak peaks[] = {{arithmetic::f32, "the FMA peak"},
                                {arithmetic::bf16_dot, "the dot-product peak"},
                                {arithmetic::bf16_tile, "the tile peak"}};

/// Products of one kind of weights with 512 positions, on every shape in every arithmetic.   make(shape, arithmetic)
/// gives a function of x, y and a workspace.
template <class Make>
void bench_products(options const& o, std::vector<unsigned> const& core_counts, const char* kernel,
                    std::string const& format, Make const& make) {
    static std::map<std::pair<arithmetic, unsigned>, double> best_alone; // of all formats
    for (shape const& s : shapes) {
        const std::string line = kernel + (" " + format) + " " + s.model + " ";
        matrix<float> x(positions, s.cols), y(positions, s.rows);
        std::fill(x.span().begin(), x.span().end(), 0.5f);
        for (named_peak const& peak : peaks) {
            if (!is_available(peak.products) || !o.wants(line + peak.name)) continue;
            auto product = make(s, peak.products);
            for (const unsigned cores : core_counts) {
                const auto [known, first_time] = best_alone.try_emplace({peak.products, cores}, 0.0);
                double& best = known->second;
                for (std::size_t i = 0; first_time && i < 100; ++i)
                    best = std::max(best, micro_kernel_alone(peak.products, cores));
                workspace scratch(matmul_bytes(s.rows, s.cols, positions, cores), cores, peak.products);
                const measured m = beside(
                    2.0 * static_cast<double>(s.rows * s.cols * positions), [&] { product(x, y, scratch); },
                    [&] { return peak_of(peak.products, cores); },
                    [&] { return micro_kernel_alone(peak.products, cores); }, best);
                print_row(o, kernel, format, s.model, s.rows, s.cols, cores, m, "GFLOP/s", peak.name);
            }
        }
    }
}

template <weight_format F>
void bench_matmul(options const& o, std::vector<unsigned> const& cores) {
    bench_products(o, cores, "matmul", format_name<F>(), [](shape const& s, arithmetic) {
        return [w = some_matrix<F>(s.rows, s.cols)](matrix<float> const& x, matrix<float>& y, workspace& scratch) {
            matmul(w, x, y, scratch);
        };
    });
}

/// As many matrices in turn as are twice the last-level cache.
void bench_panels(options const& o, std::vector<unsigned> const& cores) {
    bench_products(o, cores, "panels", "any", [](shape const& s, arithmetic products) {
        std::vector<weight_panels<>> all;
        const auto w = some_matrix<dense<float>>(s.rows, s.cols);
        const std::size_t bytes = weight_panels<>::bytes(s.rows, s.cols, products);
        while (all.size() * bytes < 2 * last_level_cache()) all.emplace_back(s.rows, s.cols, products).pack(w);
        return [all = std::move(all), next = std::size_t{0}](matrix<float> const& x, matrix<float>& y,
                                                             workspace& scratch) mutable {
            matmul(all[next], x, y, scratch);
            next = (next + 1) % all.size();
        };
    });
}

/// Over matrices that together are 4 × the last-level cache; the arithmetic bound is the same kernel on every core at
/// once, on a matrix that stays in each core's own cache.
template <weight_format F>
void bench_matvec(options const& o, std::vector<unsigned> const& core_counts, aligned_array<float> const& buffer) {
    if (!o.wants("matvec " + format_name<F>())) return;
    constexpr std::size_t rows = 4096, cols = 4096, cached_rows = 64;
    std::vector<packed_matrix<F>> weights;
    std::size_t bytes = 0;
    while (bytes < buffer.size() * sizeof(float)) {
        weights.push_back(some_matrix<F>(rows, cols));
        bytes += weights.back().bytes();
    }
    const auto cached = some_matrix<F>(cached_rows, cols);
    std::vector<float> x(cols, 0.5f), y(rows);
    for (const unsigned cores : core_counts) {
        workspace scratch(matmul_bytes(rows, cols, 1, cores), cores);
        const auto arithmetic = [&] { // bytes per second of packed weights, were memory no limit
            constexpr std::size_t times = 200;
            double best = 0;
            for (int i = 0; i < 5; ++i) {
                const double start = seconds();
                parallel_for(cores, [&](std::size_t) {
                    workspace serial(matmul_bytes(cached_rows, cols, 1, 1));
                    std::vector<float> own(cached_rows);
                    for (std::size_t k = 0; k < times; ++k) matvec(cached, x, own, serial);
                });
                best = std::max(best, static_cast<double>(cores * times * cached.bytes()) / (seconds() - start));
            }
            return best;
        };
        bool memory_bound = true;
        double best_alone = 0;
        const measured m = beside(
            static_cast<double>(bytes),
            [&] {
                for (auto const& w : weights) matvec(w, x, y, scratch);
            },
            [&] {
                const double memory = read_bandwidth(buffer, cores), compute = arithmetic();
                memory_bound = memory <= compute;
                return std::min(memory, compute);
            },
            arithmetic, best_alone);
        print_row(o, "matvec", format_name<F>(), "4 x LLC", rows, cols, cores, m, "GB/s",
                  memory_bound ? "the read bandwidth" : "the arithmetic bound");
    }
}

template <class... F>
struct format_list {};

template <int Bits>
using uniform_formats = format_list<uniform<Bits, 64>, uniform<Bits, 64, zero_kind::symmetric>>;
using other_formats = format_list<uniform<3, 32>, uniform<3, 128>, uniform<3, 0>, normal_float<3, 64>,
                                  normal_float<4, 64>, dense<float>, dense<bf16>, dense<f16>>;
using formats_of_others =
    format_list<affine<2, 16>, affine<4, 32>, affine<5, 32>, affine<4, 64>, uniform<3, 16, zero_kind::symmetric>,
                uniform<6, 16, zero_kind::symmetric>, lookup<e2m1_levels, 16>, lookup<e2m1_levels, 32>,
                lookup<iq4_levels, 32>>;

template <class... F>
void bench_formats(format_list<F...>, options const& o, std::vector<unsigned> const& cores,
                   aligned_array<float> const& buffer) {
    (bench_matmul<F>(o, cores), ...);
    (bench_matvec<F>(o, cores, buffer), ...);
}

} // namespace

int main(int argc, char** argv) {
    options o;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--csv")
            o.csv = true;
        else if (argument == "--only" && i + 1 < argc)
            o.only.push_back(argv[++i]);
        else
            return std::fprintf(stderr, "bench_kernels [--csv] [--only WORD]...\n"), 2;
    }
    std::vector<unsigned> cores{1};
    if (available_cores() > 1) cores.push_back(available_cores());

    aligned_array<float> buffer(4 * last_level_cache() / sizeof(float));
    std::FILE* head = o.csv ? stderr : stdout;
    std::fprintf(head, "%s, largest cache %zu MiB\n", simd::arch_name<simd::default_arch>().c_str(),
                 last_level_cache() >> 20);
    for (const unsigned n : cores) {
        double flops = 0, bytes = 0;
        for (std::size_t i = 0; i < rounds; ++i) {
            flops = std::max(flops, fma_peak(n));
            bytes = std::max(bytes, read_bandwidth(buffer, n));
        }
        std::fprintf(head, "%u cores: float32 FMA %.1f GFLOP/s, read %.1f GB/s (best of %zu)\n", n, flops * 1e-9,
                     bytes * 1e-9, rounds);
    }
    if (o.csv) std::printf("kernel,format,model,rows,cols,cores,unit,rate,bound,fraction,best,quiet,rounds\n");
    bench_panels(o, cores);
    bench_formats(uniform_formats<2>{}, o, cores, buffer);
    bench_formats(uniform_formats<3>{}, o, cores, buffer);
    bench_formats(uniform_formats<4>{}, o, cores, buffer);
    bench_formats(uniform_formats<5>{}, o, cores, buffer);
    bench_formats(uniform_formats<6>{}, o, cores, buffer);
    bench_formats(uniform_formats<7>{}, o, cores, buffer);
    bench_formats(uniform_formats<8>{}, o, cores, buffer);
    bench_formats(other_formats{}, o, cores, buffer);
    bench_formats(formats_of_others{}, o, cores, buffer);
}
