#include "bitlens/recipes/quantize_layers.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using weight = mixed_matrix<dense<float>, dense<bf16>, uniform<3, 32>>;
constexpr block_shape uneven{64, 2, 1, 32, 100, 1e-5f, 1e4}; // W_down has 100 columns: a short last chunk

/// One layer of matrices stored as T.
template <class T>
std::shared_ptr<layer_source<weight>> one_layer() {
    random_generator random(7);
    block_weights<weight> block;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), uneven);
        packed_matrix<dense<T>> w(rows, cols);
        for (std::size_t r = 0; r < rows; ++r)
            for (T& x : w.writable_row(r)) x = T(static_cast<float>(random.normal()));
        block.linear[p] = std::make_shared<const weight>(std::move(w));
    }
    block.rest = std::make_shared<const norms_and_biases>();
    return std::make_shared<resident_layers<weight>>(std::vector{block});
}

template <class T>
void check_layer() {
    const auto full = one_layer<T>();
    const auto quantized = quantize_layers(*full, 1, rtn<uniform<3, 32>>{});
    const auto before = full->layer(0), after = quantized->layer(0);
    CHECK(after.rest == before.rest);
    for (std::size_t p = 0; p < projection_count; ++p) {
        weight const& w = *before.linear[p];
        matrix<float> floats(w.rows(), w.cols());
        for (std::size_t r = 0; r < w.rows(); ++r)
            for (std::size_t c = 0; c < w.cols(); ++c) floats(r, c) = w.value(r, c);
        const auto expected = rtn<uniform<3, 32>>{}(floats.view());
        CHECK(after.linear[p]->format_name() == "uniform3-g32");
        for (std::size_t r = 0; r < w.rows(); ++r)
            for (std::size_t c = 0; c < w.cols(); ++c) REQUIRE(after.linear[p]->value(r, c) == expected.value(r, c));
    }
}

} // namespace

TEST_CASE("every linear layer becomes what the quantizer makes of its numbers, the rest is shared") {
    check_layer<float>();
    check_layer<bf16>();
}

TEST_CASE("more layers than there are cannot be asked for") {
    CHECK_THROWS_WITH_AS(one_layer<float>()->layer(1),
                         "layer 1 is asked of 1 layers; a model needs as many as it has blocks", shape_error);
}
