#pragma once
/// Reads tests/data/quantizers/*.txt, which make_goldens.py beside them wrote.

#include "bitlens/core/view.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

/// The floats of a line, eight hexadecimal digits each.
inline std::vector<float> read_floats(std::istream& file, std::size_t count) {
    std::vector<float> values(count);
    for (float& v : values) {
        std::string digits;
        file >> digits;
        v = std::bit_cast<float>(static_cast<std::uint32_t>(std::stoul(digits, nullptr, 16)));
    }
    return values;
}

/// A word of codes, `digits` hexadecimal digits each.
inline std::vector<std::uint8_t> read_codes(std::istream& file, std::size_t digits) {
    std::string word;
    file >> word;
    std::vector<std::uint8_t> codes(word.size() / digits);
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = static_cast<std::uint8_t>(std::stoul(word.substr(i * digits, digits), nullptr, 16));
    return codes;
}

/// One matrix and what bitsandbytes makes of it.
struct nf4_golden {
    std::string name;
    std::size_t rows = 0, cols = 0;
    std::vector<float> weights;
    std::vector<std::uint8_t> codes;
    std::vector<float> scales, nested_scales;

    bitlens::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};

inline std::vector<nf4_golden> const& nf4_goldens() {
    static const auto all = [] {
        std::vector<nf4_golden> list;
        std::ifstream file(BITLENS_TEST_DATA "/quantizers/nf4.txt");
        nf4_golden one;
        while (file >> one.name >> one.rows >> one.cols) {
            one.weights = read_floats(file, one.rows * one.cols);
            one.codes = read_codes(file, 1);
            one.scales = read_floats(file, one.rows * one.cols / 64);
            one.nested_scales = read_floats(file, one.rows * one.cols / 64);
            list.push_back(one);
        }
        return list;
    }();
    REQUIRE(all.size() == 6);
    return all;
}

/// KAT-N of spec/quantization.md: x[i] = (((37i + 11) mod 101) − 50)/64.
inline bitlens::matrix<float> known_answer_weights() {
    bitlens::matrix<float> w(2, 64);
    for (int i = 0; i < 128; ++i)
        w.span()[static_cast<std::size_t>(i)] = static_cast<float>((37 * i + 11) % 101 - 50) / 64;
    return w;
}
