#pragma once
/// What another arithmetic than float32 changed, as a table: the run beside its float32.csv.

#include "bitlens/analysis/float32_check.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/report/table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// The run beside float32.csv; nothing where there is no such file.   Errors: format_error naming the file for an
/// example that is not in the run, or a method that is missing.
inline std::optional<table> float32_table(std::filesystem::path const& run_folder, finished_study const& s) {
    if (!is_there(float32_path(run_folder))) return std::nullopt;
    const csv_table csv = read_csv(float32_path(run_folder));
    std::vector<std::size_t> rows; // of the run
    for (const std::uint64_t example : csv.counts("example")) {
        auto const& all = s.run.documents.rows;
        const auto found = std::ranges::find(all, example);
        if (found == all.end()) csv.refuse(rows.size(), csv.column("example"), "an example of examples.csv");
        rows.push_back(static_cast<std::size_t>(found - all.begin()));
    }
    const auto of_rows = [&](std::span<const double> all) {
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
        for (const double x : defined_numbers(d)) most = std::max(most, std::abs(x));
        return most;
    };
    const auto read = [&](std::string const& column) {
        std::vector<double> numbers;
        for (auto const& x : csv.optional_numbers(column)) {
            if (x && std::abs(*x) > detail::largest_number)
                csv.refuse(numbers.size(), csv.column(column), "a number of at most 1e80");
            numbers.push_back(x.value_or(undefined_number));
        }
        return numbers;
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
    const auto full32 = read("nll_full"), full = of_rows(s.nll_full);
    const auto full_difference = difference(full, full32);
    t.add({std::string(full_model_name), rows.size(), overall_mean(full_difference), largest(full_difference), no_error,
           no_error, no_error, no_error});
    for (auto const& m : s.methods) {
        const auto nll32 = read("nll_" + m.name), nll = of_rows(m.nll);
        const auto error = of_rows(m.error), error32 = difference(nll32, full32);
        const auto changed = difference(nll, nll32);
        t.add({m.name, rows.size(), overall_mean(changed), largest(changed), overall_mean(error), overall_mean(error32),
               largest(difference(error, error32)), correlation(error, error32)});
    }
    return t;
}

} // namespace bitlens
