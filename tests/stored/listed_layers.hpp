#pragma once
/// Layers that packages of others wrote, and what they decode them to: files of tests/data/stored.

#include "bitlens/io/json.hpp"
#include "bitlens/io/sha256.hpp"

#include "stored_for_test.hpp"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::test {

struct listed_layer {
    std::string form;
    json arguments;
    std::vector<part> parts;
    std::string decoded; ///< SHA-256 of the floats, zeros without a sign
};

inline std::vector<listed_layer> listed_layers(std::string const& name) {
    std::ifstream file(std::string(BITLENS_TEST_DATA "/stored/") + name);
    if (!file) throw std::runtime_error("no goldens " + name);
    std::vector<listed_layer> all;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string first, second, third, fourth;
        words >> first >> second;
        if (first == "case") {
            std::getline(words, third);
            all.push_back({second, json::parse(third), {}, {}});
        } else if (first == "decoded") {
            all.back().decoded = second;
        } else {
            words >> third >> fourth;
            const auto type = std::ranges::find(safetensors_types, second, &safetensors_type_info::name);
            part p{first,
                   static_cast<safetensors_type>(type - safetensors_types.begin()),
                   json::parse(third).get<std::vector<std::size_t>>(),
                   {}};
            for (std::size_t i = 0; i + 1 < fourth.size(); i += 2)
                p.bytes.push_back(static_cast<std::byte>(std::stoul(fourth.substr(i, 2), nullptr, 16)));
            all.back().parts.push_back(std::move(p));
        }
    }
    return all;
}

inline std::string hash_of_floats(coded_matrix const& m) {
    std::vector<float> values(m.rows() * m.cols());
    for (std::size_t r = 0; r < m.rows(); ++r) m.read_row(r, std::span(values).subspan(r * m.cols(), m.cols()));
    for (float& x : values) x += 0.0f;
    return sha256_of(std::as_bytes(std::span(values)));
}

} // namespace bitlens::test
