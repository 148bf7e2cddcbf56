#pragma once
/// run_arrays: the table of a run as xtensor arrays by name, to slice and combine as one would in numpy.

#include "bitlens/core/error.hpp"
#include "bitlens/sweep/run_results.hpp"
#include "bitlens/sweep/tensor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace bitlens {

/// Copies of columns, by the names that files have for them. NaN: not defined for that document.
///
///     const run_arrays run(results);
///     const xt::xarray<double> last = xt::view(run["norm_r"], xt::all(), -1);   // (N)
///     const auto rho = correlation(last / run["norm_r_l0"], run["error_rtn3-g64"]);
class run_arrays {
public:
    explicit run_arrays(run_results const& run) : run_(&run) {}

    /// A column of examples.csv: "nll_full" (N); of layers "norm_r" (N, L), or one of them, "norm_r_l3" (N).
    /// Errors: option_error naming the columns that there are.
    xt::xarray<double> operator[](std::string_view name) const {
        results_table const& t = run_->table;
        if (t.find(name, column_shape::layer)) {
            const auto layers = t.of_layers(name);
            xt::xarray<double> all = xt::zeros<double>(std::array{layers.cols, layers.rows});
            for (std::size_t n = 0; n < layers.cols; ++n)
                for (std::size_t k = 0; k < layers.rows; ++k) all(n, k) = layers(k, n);
            return all;
        }
        if (const auto layer = one_layer(name)) return copy(*layer);
        return copy(t.of_documents(name));
    }
    /// An array of tokens.npz: numbers of the scored positions, or token ids, "ids" those of the documents.
    /// What a document has no numbers of is NaN, or the id −1.   Shapes: (N, T), ids (N, longest).   Errors:
    /// option_error naming the columns that there are.
    xt::xarray<float> positions(std::string_view name) const { return copy_rows(run_->table.of_positions(name)); }
    xt::xarray<std::int32_t> ids(std::string_view name = "ids") const {
        const matrix<std::int32_t> of_documents = name == "ids" ? run_->documents.ids.padded() : matrix<std::int32_t>();
        return copy_rows(name == "ids" ? of_documents.view() : run_->table.ids_of_positions(name));
    }

private:
    /// "norm_r_l3" → layer 3 of "norm_r".
    std::optional<std::span<const double>> one_layer(std::string_view name) const {
        for (stored_column const& s : run_->table.columns())
            if (s.declared.shape == column_shape::layer && name.starts_with(s.name))
                for (std::size_t k = 0; k < run_->layers(); ++k)
                    if (name == layer_column(s.name, k)) return run_->table.of_layers(s.name).row(k);
        return std::nullopt;
    }
    static xt::xarray<double> copy(std::span<const double> column) {
        xt::xarray<double> all = xt::zeros<double>(std::array{column.size()});
        std::ranges::copy(column, all.begin());
        return all;
    }
    template <class T>
    static xt::xarray<T> copy_rows(matrix_view<const T> rows) {
        xt::xarray<T> all = xt::zeros<T>(std::array{rows.rows, rows.cols});
        for (std::size_t n = 0; n < rows.rows; ++n)
            for (std::size_t t = 0; t < rows.cols; ++t) all(n, t) = rows(n, t);
        return all;
    }

    run_results const* run_;
};

/// The numbers of an xtensor expression in row-major order, for the statistics that take spans.
template <class E>
std::vector<double> numbers_of(xt::xexpression<E> const& expression) {
    const xt::xarray<double> all = expression.derived_cast();
    return {all.begin(), all.end()};
}

} // namespace bitlens
