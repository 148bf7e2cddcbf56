/// A statistic of one's own as columns of a run: how far does a 3-bit model's residual stream drift from the full
/// one's? It lands in a folder, is not measured twice, and is read back as arrays.

#include <bitlens/hooks.hpp>
#include <bitlens/models/random_model.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>
#include <bitlens/sweep/position_scores.hpp>
#include <bitlens/sweep/run_arrays.hpp>
#include <bitlens/sweep/run_study.hpp>

#include <cstdio>
#include <filesystem>
using namespace bitlens;
using weight = mixed_matrix<dense<float>, uniform<3, 32>>;

/// MSE(z, z̃)   of one document's residual stream in two models, layer by layer.
struct stream_drift {
    std::vector<std::vector<double>> mse; // [variant][layer]
    score_measurement losses;             // which every sweep computes
    latest<hook::resid_post> full{every_position};

    struct comparison {
        using points = hook::set<hook::resid_post>;
        latest<hook::resid_post> const& full;
        std::vector<double>& mse;

        void on(hook::resid_post, site at, matrix_view<float> z) {
            mse[at.layer] = mean_squared_difference(full.of_layer(at.layer), z);
        }
    };
    template <class F>
    void with_probe(std::size_t variant, F const& f) { // variant 0, the full model, comes first in every layer
        if (variant == 0) return f(full);
        comparison with_full{full, mse[variant]};
        f(with_full);
    }
    std::span<const token_scores> scores() { return losses.scores(); }
    void write(std::size_t variant, results_row& row) const {
        if (variant > 0) row.layers("drift", mse[variant]);
    }
};

/// What a run has to know of it: the columns that it fills, how one is made for a document, and its bytes.
struct drift_statistic {
    std::vector<column> columns() const {
        return {
            {"drift", column_shape::layer, column_owner::each_method, "activations squared", "MSE(z, z') of a block"}};
    }
    stream_drift make(measured_size s, std::size_t /*document*/) const {
        return {std::vector(s.variants, std::vector<double>(s.layers)), score_measurement(s.scored(), s.variants)};
    }
    std::size_t bytes_of_one(measured_size s) const {
        return score_measurement::bytes(s.scored(), s.variants) + latest<hook::resid_post>::bytes(s.tokens, s.width);
    }
};

/// Returns how many layers ran, of both models and all documents.
std::size_t study(std::filesystem::path const& path) {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const std::size_t layers = model.config().layers, documents = 3, tokens = 16;
    const auto rtn3 = quantize_layers(*model.layers(), layers, rtn<uniform<3, 32>>{});
    const std::vector<variant<weight>> variants{{"full", model.layers()}, {"rtn3", rtn3}};
    matrix<std::int32_t> ids(documents, tokens);
    random_generator random(2);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(model.config().vocabulary));

    std::size_t ran = 0;
    const run_manifest manifest{
        {{"model", "tiny"}, {"ids", "seed 2"}}, {{"rtn3", "rtn3-g32"}}, drift_statistic{}.columns()};
    const run_folder folder(path); // another run's is refused, with the first difference
    auto run = begin_run(folder, manifest, document_rows::numbered(std::move(ids)), layers);
    run_study(model, variants, folder, run, {}, drift_statistic{}, [&](std::size_t n) { ran += n; });
    finish_run(folder, run, [](std::int32_t id) { return std::to_string(id); });
    return ran;
}

int main() {
    std::filesystem::remove_all("drift");
    for (const char* call : {"first", "second"}) std::printf("%s call: %zu layers ran\n", call, study("drift"));

    const run_results run = read_run("drift");
    const xt::xarray<double> drift = run_arrays(run)["drift_rtn3"]; // (documents, layers)
    for (std::size_t n = 0; n < run.size(); ++n) {
        std::printf("document %zu:", n);
        for (std::size_t k = 0; k < run.layers(); ++k) std::printf(" %.3f", drift(n, k));
        std::printf("\n");
    }
    const xt::xarray<double> growth = xt::view(drift, xt::all(), -1) / xt::view(drift, xt::all(), 0);
    std::printf("from the first layer to the last it grows %.1f times\n", xt::mean(growth)());
}
