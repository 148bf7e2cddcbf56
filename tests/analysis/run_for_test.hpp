#pragma once
/// Run folders for tests, written as `bitlens study` writes its own.

#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/report/csv.hpp"

#include "temporary_folder.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace bitlens::test {

inline std::filesystem::path golden_run() { return std::filesystem::path(BITLENS_TEST_DATA) / "analysis" / "run"; }

/// Replaces the first `from` in a file.
inline void replace_in(std::filesystem::path const& path, std::string const& from, std::string const& to) {
    std::string bytes = read_bytes(path);
    const auto at = bytes.find(from);
    if (at == std::string::npos) throw error(path.string() + " holds no " + from);
    write_file_atomically(path, bytes.replace(at, from.size(), to));
}

/// A run of two layers and three tokens a document in which error(i, method) and any other number are as given.
inline void write_run(std::filesystem::path const& folder, std::size_t documents,
                      std::vector<std::string> const& methods,
                      std::function<double(std::size_t, std::size_t)> const& error,
                      std::function<double(std::size_t)> const& other) {
    constexpr std::size_t layers = 2, tokens = 3;
    std::vector<std::string> columns{"example", "id", "topic", "tokens", "nll_full"};
    for (const char* what : {"nll_", "error_", "kl_", "same_top_"})
        for (auto const& m : methods) columns.push_back(what + m);
    for (std::size_t k = 0; k < layers; ++k) {
        for (const char* what : {"norm_r_l", "norm_z_l", "norm_h_l", "kurtosis_r_l", "kurtosis_h_l"})
            columns.push_back(what + std::to_string(k));
        for (auto const& m : methods) columns.push_back("mse_" + m + "_l" + std::to_string(k));
    }
    csv_writer csv(columns);
    for (std::size_t i = 0; i < documents; ++i) {
        csv.count(i).text("").text("").count(tokens).number(2);
        for (std::size_t v = 0; v < methods.size(); ++v) csv.number(2 + error(i, v));
        for (std::size_t v = 0; v < methods.size(); ++v) csv.number(error(i, v));
        for (std::size_t v = 0; v < 2 * methods.size(); ++v) csv.number(other(i));
        for (std::size_t k = 0; k < layers * (5 + methods.size()); ++k) csv.number(other(i));
        csv.end_row();
    }
    write_file_atomically(folder / "examples.csv", csv.bytes());

    npz_writer npz(folder / "tokens.npz");
    std::vector<std::int32_t> ids(documents * tokens); // all different
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i);
    const std::vector<float> nll(documents * (tokens - 1), 1.0f);
    const std::vector<std::int32_t> top(documents * (tokens - 1), 0);
    const std::array<std::size_t, 2> rows{documents, tokens}, scored{documents, tokens - 1};
    npz.add<std::int32_t>("ids", rows, ids);
    for (auto const& m : methods) npz.add<float>("kl_" + m, scored, nll);
    auto variants = methods;
    variants.push_back("full");
    for (auto const& v : variants) {
        npz.add<float>("nll_" + v, scored, nll);
        npz.add<std::int32_t>("top_" + v, scored, top);
    }
    const std::vector<std::uint8_t> bytes(ids.size(), 'x');
    std::vector<std::int64_t> offsets(ids.size() + 1);
    for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<std::int64_t>(i);
    npz.add<std::int32_t>("token_ids", std::array{ids.size()}, ids);
    npz.add<std::int64_t>("token_offsets", std::array{offsets.size()}, offsets);
    npz.add<std::uint8_t>("token_bytes", std::array{bytes.size()}, bytes);
    npz.finish();

    json manifest{{"seed", 0}, {"first_position", true}, {"full", "F32"}, {"methods", json::array()}};
    for (auto const& m : methods) manifest["methods"].push_back({{"name", m}, {"spec", m}});
    write_file_atomically(folder / "manifest.json", manifest.dump());
}

} // namespace bitlens::test
