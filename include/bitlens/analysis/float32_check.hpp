#pragma once
/// What another arithmetic than float32 changes: some documents of a run once more in float32.

#include "bitlens/io/atomic_file.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace bitlens {

/// Documents that are scored again: enough to see the size of the difference, few enough to cost little.
inline constexpr std::size_t float32_documents = 8;

inline std::filesystem::path float32_path(std::filesystem::path const& run_folder) {
    return run_folder / "float32.csv";
}

/// Writes float32.csv: example, nll_full, nll_<method> … of documents that were scored in float32. A loss that is not
/// finite is an empty cell.   Errors: io_error.
inline void write_float32_check(std::filesystem::path const& run_folder, document_rows const& documents,
                                results_table const& in_float32) {
    std::vector<std::string> columns{"example"};
    for (auto const& variant : in_float32.variants()) columns.push_back("nll_" + variant);
    csv_writer csv(columns);
    for (std::size_t i = 0; i < documents.size(); ++i) {
        csv.count(documents.rows[i]);
        for (auto const& variant : in_float32.variants()) {
            const double nll = in_float32.of_documents("nll_" + variant)[i];
            std::isnan(nll) ? csv.empty() : csv.number(nll);
        }
        csv.end_row();
    }
    write_file_atomically(float32_path(run_folder), csv.bytes());
}

/// Whether float32.csv is there and knows all these methods.   Errors: those of read_csv.
template <class Names>
bool has_float32_check(std::filesystem::path const& run_folder, Names const& methods) {
    if (!is_there(float32_path(run_folder))) return false;
    const csv_table csv = read_csv(float32_path(run_folder));
    return std::ranges::all_of(methods, [&](auto const& m) { return csv.has("nll_" + m.name); });
}

} // namespace bitlens
