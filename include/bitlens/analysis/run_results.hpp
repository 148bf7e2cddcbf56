#pragma once
/// run_results: a finished run as its folder holds it (examples.csv, tokens.npz, manifest.json), read without a model.

#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/report/csv.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// One number per example for every layer.   Shapes: [L][N].
using per_layer = std::vector<std::vector<double>>;

/// What examples.csv says of one quantized model; one number per example.
struct method_results {
    std::string name;
    std::string spec;                   // how the command named it: "nf3-g64"
    std::vector<double> nll, error, kl; // nats per token; error = nll − nll_full
    std::vector<double> same_top;       // share of positions whose most likely token is the full model's
    per_layer mse;                      // of the MLP outputs against the full model's
};

/// All of a run but its tokens. Example i is row i of examples.csv.
struct run_results {
    json manifest;
    std::uint64_t seed = 0;
    bool first_position = false; // norms, kurtosis and MSE count position 0
    std::string full;            // in which formats the full model is stored

    std::vector<std::uint64_t> example; // row of the input
    std::vector<std::string> id, topic; // topic: empty where the input has none
    std::vector<std::uint64_t> tokens;  // ids scored, the first one included
    std::vector<double> nll_full;
    std::vector<method_results> methods;
    std::vector<std::string> unfinished; // methods of the manifest for which the table has nothing yet
    per_layer norm_r, norm_z, norm_h;
    std::vector<std::vector<std::optional<double>>> kurtosis_r, kurtosis_h; // nothing: a token without spread

    std::size_t size() const noexcept { return example.size(); }
    std::size_t layers() const noexcept { return norm_r.size(); }
};

namespace detail {

/// A column where an empty cell means: not defined.
inline std::vector<std::optional<double>> read_optional_numbers(csv_table const& csv, std::string const& name) {
    // More than the square of any float, so that no run holds more; and sums and squares of such numbers are finite.
    constexpr double most = 1e80;
    auto values = csv.optional_numbers(name);
    for (std::size_t i = 0; i < values.size(); ++i)
        if (values[i] && std::abs(*values[i]) > most) csv.refuse(i, csv.column(name), "a number of at most 1e80");
    return values;
}

inline std::vector<double> read_numbers(csv_table const& csv, std::string const& name) {
    std::vector<double> values;
    for (auto const& value : read_optional_numbers(csv, name)) {
        if (!value) csv.refuse(values.size(), csv.column(name), "a finite number");
        values.push_back(*value);
    }
    return values;
}

/// Columns `<stem>_l0`, `<stem>_l1` … of the table.
inline per_layer read_layers(csv_table const& csv, std::string const& stem, std::size_t layers) {
    per_layer values;
    for (std::size_t k = 0; k < layers; ++k) values.push_back(read_numbers(csv, stem + "_l" + std::to_string(k)));
    return values;
}

/// error_<method> must be the difference it is said to be, up to the order of summation.
inline void check_errors(csv_table const& csv, method_results const& m, std::span<const double> nll_full) {
    constexpr double rounding = 1e-9;
    for (std::size_t i = 0; i < m.error.size(); ++i)
        if (std::abs(m.error[i] - (m.nll[i] - nll_full[i])) > rounding * std::max(1.0, std::abs(m.nll[i])))
            csv.refuse(i, csv.column("error_" + m.name),
                       "nll_" + m.name + " - nll_full = " + exact_text(m.nll[i] - nll_full[i]));
}

} // namespace detail

/// Errors: io_error; format_error as csv_table.
inline csv_table read_csv(std::filesystem::path const& path) {
    const mapped_file file(path);
    return {as_text(file.bytes()), path.string()};
}

/// A method as manifest.json names it.
struct method_name {
    std::string name, spec;
};

/// The key `methods` of a manifest.   Errors: format_error naming `who` and what is missing or wrong.
inline std::vector<method_name> methods_of(json const& manifest, std::string const& who) {
    json const* const entries = find_value(manifest, "methods", who);
    if (!entries || !entries->is_array()) throw format_error(who + ": key \"methods\": an array is expected");
    std::vector<method_name> methods;
    for (auto const& entry : *entries)
        methods.push_back({required<std::string>(entry, "name", who + ": methods"),
                           required<std::string>(entry, "spec", who + ": methods")});
    return methods;
}

/// Reads examples.csv by column name, and manifest.json.   Errors: io_error; format_error naming the file and the
/// column, line or key that is missing or wrong, or a folder where no study has come to its end.
inline run_results read_run(std::filesystem::path const& folder) {
    run_results run;
    const auto manifest_path = folder / "manifest.json";
    run.manifest = read_json_file(manifest_path);
    run.seed = required<std::uint64_t>(run.manifest, "seed", manifest_path.string());
    run.first_position = required<bool>(run.manifest, "first_position", manifest_path.string());
    run.full = required<std::string>(run.manifest, "full", manifest_path.string());

    if (!std::filesystem::exists(folder / "examples.csv"))
        throw format_error(folder.string() + ": the tables of a finished run are expected, examples.csv is missing; "
                                             "the `bitlens study` that began it goes on when it is called again");
    const csv_table csv = read_csv(folder / "examples.csv");
    run.example = csv.counts("example");
    run.id = csv.texts("id");
    run.topic = csv.texts("topic");
    run.tokens = csv.counts("tokens");
    run.nll_full = detail::read_numbers(csv, "nll_full");
    csv.column("norm_r_l0"); // a model has a layer
    std::size_t layers = 1;
    while (csv.has("norm_r_l" + std::to_string(layers))) ++layers;
    run.norm_r = detail::read_layers(csv, "norm_r", layers);
    run.norm_z = detail::read_layers(csv, "norm_z", layers);
    run.norm_h = detail::read_layers(csv, "norm_h", layers);
    for (std::size_t k = 0; k < layers; ++k) {
        run.kurtosis_r.push_back(detail::read_optional_numbers(csv, "kurtosis_r_l" + std::to_string(k)));
        run.kurtosis_h.push_back(detail::read_optional_numbers(csv, "kurtosis_h_l" + std::to_string(k)));
    }

    std::set<std::string, std::less<>> known{"nll_full"};
    for (auto const& [name, spec] : methods_of(run.manifest, manifest_path.string())) {
        method_results m{name, spec, {}, {}, {}, {}, {}};
        if (!known.insert("nll_" + m.name).second)
            throw format_error(manifest_path.string() + ": methods: the name " + in_quotes(m.name) + " is taken");
        if (!csv.has("nll_" + m.name)) {
            run.unfinished.push_back(m.name);
            continue;
        }
        m.nll = detail::read_numbers(csv, "nll_" + m.name);
        m.error = detail::read_numbers(csv, "error_" + m.name);
        m.kl = detail::read_numbers(csv, "kl_" + m.name);
        m.same_top = detail::read_numbers(csv, "same_top_" + m.name);
        m.mse = detail::read_layers(csv, "mse_" + m.name, layers);
        detail::check_errors(csv, m, run.nll_full);
        run.methods.push_back(std::move(m));
    }
    for (auto const& name : csv.columns())
        if (name.starts_with("nll_") && !known.contains(name))
            throw format_error(csv.who() + ": column '" + visible_text(name) +
                               "' belongs to no method of manifest.json");
    return run;
}

} // namespace bitlens
