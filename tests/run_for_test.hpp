#pragma once
/// Runs of a study for tests, made by the library's own writer, and the one that numpy wrote.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/sweep/run_results.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
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

/// A run of two layers, or more, and three tokens a document in which error(i, method) and any other number are as
/// given. An error that is not finite is that of a loss which is not, at the last position.
inline run_results made_up_run(std::size_t documents, std::vector<std::string> const& methods,
                               std::function<double(std::size_t, std::size_t)> const& error,
                               std::function<double(std::size_t)> const& other, std::size_t layers = 2) {
    constexpr std::size_t tokens = 3;
    matrix<std::int32_t> ids(documents, tokens); // all different
    for (std::size_t i = 0; i < documents * tokens; ++i) ids.data()[i] = static_cast<std::int32_t>(i);
    run_results run;
    run.documents = document_rows::numbered(std::move(ids));
    run.manifest = {{{"seed", 0}, {"first_position", true}, {"full", "F32"}}, {}, document_statistics{}.columns()};
    for (auto const& m : methods) run.manifest.methods.push_back({m, m});
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods),
                              results_size::of(run.documents.ids, layers));
    for (stored_column& s : run.table.columns())
        for (std::size_t i = 0; i < documents; ++i) {
            const double e = s.variant == 0 ? 0 : error(i, s.variant - 1);
            const double value = s.declared.name == "nll" ? 2 + e : s.declared.name == "error" ? e : other(i);
            if (s.declared.shape != column_shape::position)
                for (std::size_t k = 0; k < run.table.layers_of(s); ++k)
                    s.numbers[k * documents + i] = std::isfinite(value) ? value : undefined_number;
            else if (s.declared.holds_ids)
                std::fill_n(s.ids.begin() + static_cast<std::ptrdiff_t>(i * (tokens - 1)), tokens - 1, 0);
            else
                for (std::size_t t = 0; t + 1 < tokens; ++t)
                    s.scores[i * (tokens - 1) + t] =
                        s.declared.name == "nll" && !std::isfinite(e) && t + 2 == tokens ? static_cast<float>(e) : 1.0f;
        }
    for (std::size_t v = 0; v < run.table.variants().size(); ++v)
        for (std::size_t i = 0; i < documents; ++i) run.table.set_finished(v, i);
    run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t) { return std::string("x"); });
    return run;
}

/// The same in a folder.
inline void write_run(std::filesystem::path const& folder, std::size_t documents,
                      std::vector<std::string> const& methods,
                      std::function<double(std::size_t, std::size_t)> const& error,
                      std::function<double(std::size_t)> const& other, std::size_t layers = 2) {
    const run_results run = made_up_run(documents, methods, error, other, layers);
    write_run_tables(folder, run.documents, run.table, run.texts);
    write_file_atomically(folder / "manifest.json", to_json(run.manifest).dump());
}

} // namespace bitlens::test
