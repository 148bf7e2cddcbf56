#pragma once
/// What another arithmetic than float32 changes: some documents of a run once more in float32.

#include "bitlens/analysis/run_results.hpp"
#include "bitlens/analysis/study_numbers.hpp"
#include "bitlens/analysis/study_results.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/report/table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// Documents that are scored again: enough to see the size of the difference, few enough to cost little.
inline constexpr std::size_t float32_documents = 8;

inline std::filesystem::path float32_path(std::filesystem::path const& run_folder) {
    return run_folder / "float32.csv";
}

/// The first `count` documents, or all.
inline study_documents first_documents(study_documents const& all, std::size_t count) {
    const auto n = static_cast<std::ptrdiff_t>(std::min(count, all.ids.rows()));
    study_documents first{matrix<std::int32_t>(static_cast<std::size_t>(n), all.ids.cols()),
                          {all.rows.begin(), all.rows.begin() + n},
                          {all.names.begin(), all.names.begin() + n},
                          {all.topics.begin(), all.topics.begin() + n}};
    std::copy_n(all.ids.data(), first.ids.rows() * first.ids.cols(), first.ids.data());
    return first;
}

/// Writes float32.csv: example, nll_full, nll_<method> … of documents that were scored in float32.   Errors: io_error.
inline void write_float32_check(std::filesystem::path const& run_folder, run_results const& in_float32) {
    std::vector<std::string> columns{"example", "nll_full"};
    for (auto const& m : in_float32.methods) columns.push_back("nll_" + m.name);
    csv_writer csv(columns);
    for (std::size_t i = 0; i < in_float32.size(); ++i) {
        csv.count(in_float32.example[i]).number(in_float32.nll_full[i]);
        for (auto const& m : in_float32.methods) csv.number(m.nll[i]);
        csv.end_row();
    }
    write_file_atomically(float32_path(run_folder), csv.bytes());
}

/// Whether float32.csv is there and knows all these methods.   Errors: those of read_csv.
template <class Names>
bool has_float32_check(std::filesystem::path const& run_folder, Names const& methods) {
    if (!std::filesystem::exists(float32_path(run_folder))) return false;
    const csv_table csv = read_csv(float32_path(run_folder));
    return std::ranges::all_of(methods, [&](auto const& m) { return csv.has("nll_" + m.name); });
}

/// The run beside float32.csv; nothing where there is no such file.   Errors: format_error naming the file for an
/// example that is not in the run, or a method that is missing.
inline std::optional<table> float32_table(std::filesystem::path const& run_folder, run_results const& run) {
    if (!std::filesystem::exists(float32_path(run_folder))) return std::nullopt;
    const csv_table csv = read_csv(float32_path(run_folder));
    std::vector<std::size_t> rows; // of the run
    for (const std::uint64_t example : csv.counts("example")) {
        const auto found = std::ranges::find(run.example, example);
        if (found == run.example.end()) csv.refuse(rows.size(), csv.column("example"), "an example of examples.csv");
        rows.push_back(static_cast<std::size_t>(found - run.example.begin()));
    }
    const auto of_rows = [&](std::vector<double> const& all) {
        std::vector<double> some;
        for (const std::size_t i : rows) some.push_back(all[i]);
        return some;
    };
    const auto difference = [](std::vector<double> const& a, std::vector<double> const& b) {
        std::vector<double> d;
        for (std::size_t i = 0; i < a.size(); ++i) d.push_back(a[i] - b[i]);
        return d;
    };
    const auto largest = [](std::vector<double> const& d) {
        double most = 0;
        for (const double x : d) most = std::max(most, std::abs(x));
        return most;
    };
    const undefined no_error{"the full model has no error"};

    table t{"float32",
            "What the arithmetic changes",
            {{"variant", "model"},
             {"documents", "documents"},
             {"nll_difference", "mean difference of the loss", 5},
             {"largest_nll_difference", "largest", 5},
             {"mean_error", "mean error", 4},
             {"mean_error_float32", "in float32", 4},
             {"largest_error_difference", "largest difference of an error", 5},
             {"pearson", "correlation of the errors", 4}},
            {},
            {"The first documents of the run once more in float32. Differences: this run minus float32, nats per "
             "token."}};
    const auto full32 = detail::read_numbers(csv, "nll_full"), full = of_rows(run.nll_full);
    const auto full_difference = difference(full, full32);
    t.add({std::string(full_model_name), rows.size(), overall_mean(full_difference), largest(full_difference), no_error,
           no_error, no_error, no_error});
    for (auto const& m : run.methods) {
        const auto nll32 = detail::read_numbers(csv, "nll_" + m.name), nll = of_rows(m.nll);
        const auto error = of_rows(m.error), error32 = difference(nll32, full32);
        const auto changed = difference(nll, nll32);
        t.add({m.name, rows.size(), overall_mean(changed), largest(changed), overall_mean(error), overall_mean(error32),
               largest(difference(error, error32)), correlation(error, error32)});
    }
    return t;
}

} // namespace bitlens
