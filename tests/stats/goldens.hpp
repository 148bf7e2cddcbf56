#pragma once
/// Reads tests/data/stats/goldens.txt, which make_goldens.py beside it wrote from numpy and scipy.

#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <map>
#include <string>
#include <vector>

/// The values of one line.
inline std::vector<double> const& golden(std::string const& name) {
    static const auto all = [] {
        std::map<std::string, std::vector<double>> values;
        std::ifstream file(BITLENS_TEST_DATA "/stats/goldens.txt");
        std::string key;
        for (std::size_t n; file >> key >> n;) {
            auto& list = values[key];
            list.resize(n);
            for (double& v : list) file >> v;
        }
        return values;
    }();
    REQUIRE_MESSAGE(all.contains(name), name);
    return all.at(name);
}

inline std::vector<float> golden_floats(std::string const& name) {
    auto const& values = golden(name);
    return {values.begin(), values.end()};
}
