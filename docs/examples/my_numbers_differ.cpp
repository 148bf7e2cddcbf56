#include <bitlens/hooks.hpp>
#include <bitlens/models.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/stats.hpp>

#include <cmath>
#include <cstdio>
#include <numeric>

namespace hook = bitlens::hook;
using weight = bitlens::packed_matrix<bitlens::dense<float>>;
using model = bitlens::transformer<bitlens::llama, weight>;

namespace {

const auto full = bitlens::tiny_model<bitlens::llama, weight>(bitlens::tiny_config<bitlens::llama>(), 1);
const std::vector<std::int32_t> ids{1, 17, 42, 99, 7, 123, 5, 64};

/// The model with every matrix W of its blocks replaced by change(projection, W).
template <class Change>
model changed(Change const& change) {
    std::vector<bitlens::block_weights<weight>> layers;
    for (std::size_t k = 0; k < full.config().layers; ++k) {
        layers.push_back(full.layers()->layer(k));
        for (std::size_t p = 0; p < bitlens::projection_count; ++p) {
            auto& place = layers[k].linear[p];
            weight w(place->rows(), place->cols());
            for (std::size_t r = 0; r < w.rows(); ++r)
                for (std::size_t c = 0; c < w.cols(); ++c)
                    w.writable_row(r)[c] = change(static_cast<bitlens::projection>(p), *place, r, c);
            place = std::make_shared<const weight>(std::move(w));
        }
    }
    return full.with_layers(std::make_shared<bitlens::resident_layers<weight>>(std::move(layers)));
}

/// ‖a − b‖ / ‖b‖ of one position.
double relative(std::span<const float> a, std::span<const float> b) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference += std::pow(double{a[i]} - double{b[i]}, 2);
        size += std::pow(double{b[i]}, 2);
    }
    return std::sqrt(difference / size);
}

double mean_nll(model const& m, std::span<const std::int32_t> tokens) {
    return bitlens::mean(bitlens::score(m, tokens)); // position t foretells token t + 1: T − 1 scores
}

} // namespace

int main() {
    // Zero points stored minus one (GPTQ v1), read as they stand.
    const auto w = full.layers()->layer(0)[bitlens::projection::gate].view();
    auto packed = bitlens::rtn<bitlens::uniform<4, 32>>{}(w);
    const float before = packed.value(0, 0);
    packed.set_zero(0, 0, static_cast<std::uint8_t>(packed.zero(0, 0) - 1));
    std::printf("zeros off by one: a weight moves by %.1f scales\n",
                static_cast<double>((packed.value(0, 0) - before) / packed.scale(0, 0)));

    // Rows of q and k in the order of llama's GGUF files, not put back.
    const std::size_t head_dim = full.config().block.head_dim;
    const auto interleaved = changed([&](bitlens::projection p, weight const& m, std::size_t r, std::size_t c) {
        if (p != bitlens::projection::q && p != bitlens::projection::k) return m.value(r, c);
        const std::size_t i = r % head_dim;
        return m.value(r - i + i / 2 + i % 2 * (head_dim / 2), c);
    });
    bitlens::record<hook::attn_out> right, wrong;
    full.forward(ids, right);
    interleaved.forward(ids, wrong);
    const auto attention = [](auto const& probe) { return probe.template get<hook::attn_out>(0); };
    std::printf("q and k interleaved: attn_out of layer 0 off by");
    for (std::size_t t : {0u, 1u, 2u}) std::printf(" %.2f", relative(attention(wrong).row(t), attention(right).row(t)));
    std::printf(" at positions 0, 1, 2\n");

    // h is what the MLP reads: γ is in it.
    bitlens::record<hook::resid_mid, hook::mlp_in> norms;
    full.forward(ids, norms);
    const auto r = norms.get<hook::resid_mid>(0).row(3), h = norms.get<hook::mlp_in>(0).row(3);
    double squares = 0;
    for (const float x : r) squares += double{x} * double{x};
    const double rms = std::sqrt(squares / static_cast<double>(r.size()));
    std::printf("h / (r / rms) of four dimensions, which is their γ: ");
    for (std::size_t i = 0; i < 4; ++i) std::printf("%.3f ", double{h[i]} / (double{r[i]} / rms));
    std::printf("\n");

    // The same weights, rounded to 8 bits of mantissa.
    const auto rounded = changed([](auto, weight const& m, std::size_t i, std::size_t c) {
        return static_cast<float>(bitlens::bf16(m.value(i, c)));
    });
    std::printf("mean nll %.4f; weights rounded to bfloat16 %.4f; without the first token %.4f\n", mean_nll(full, ids),
                mean_nll(rounded, ids), mean_nll(full, std::span(ids).subspan(1)));

    // 160 columns in groups of 64: RTN has a short group at the end of each row, NF4 refuses.
    const auto down = full.layers()->layer(0)[bitlens::projection::down].view();
    const auto short_group = bitlens::rtn<bitlens::uniform<4, 64>>{}(down);
    std::printf("%zu columns: %zu groups a row\n", down.cols, short_group.groups());
    try {
        bitlens::absmax<bitlens::normal_float<4, 64>>{}(down);
    } catch (bitlens::shape_error const& e) {
        std::printf("%s\n", e.what());
    }
}
