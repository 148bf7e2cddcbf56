#pragma once
/// Small layers that a package wrote, and its own weights of each.

#include "bitlens/stored/find_stored_linear.hpp"

#include "stored_for_test.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace bitlens::test {

/// Every layer of tests/data/stored/<file> gives exactly the numbers of its tensor "expected".
template <class Describe>
void check_golden_layers(std::string const& file, std::size_t count, Describe const& description) {
    const safetensors_file all(std::filesystem::path(BITLENS_TEST_DATA) / "stored" / file);
    std::vector<placed_safetensors_tensor> tensors;
    for (auto const& t : all.tensors()) tensors.push_back({&t, &all});
    const auto layers = find_linear_tensors(tensors);
    CHECK(layers.size() == count);
    for (auto const& layer : layers) {
        std::string const& name = layer.first;
        CAPTURE(name);
        const auto linear = find_stored_linear(layer.second, {description(name), "config.json"});
        auto const& expected = all.tensor(name + ".expected");
        REQUIRE(expected.shape == std::vector{linear->rows(), linear->cols()});
        const auto m = linear->read();
        if (const auto form = linear->form()) CHECK(keeps_to_form(*form, m));
        std::vector<float> row(m.cols());
        std::size_t different = 0, i = 0;
        for (std::size_t r = 0; r < m.rows(); ++r) {
            m.read_row(r, row);
            for (const float x : row) different += x != load<float>(expected.bytes.data() + 4 * i++);
        }
        CHECK(different == 0);
    }
}

} // namespace bitlens::test
