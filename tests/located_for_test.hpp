#pragma once
/// Losses of made-up variants.

#include "bitlens/analysis/location.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::test {

/// A table of variants, with the loss of each document of those that are added. It has columns of others too, without
/// a number.
class located_columns {
public:
    explicit located_columns(std::size_t documents) : documents_(documents) {}

    /// name: of the variant, which runs to the end.
    void run(std::string const& name, std::function<double(std::size_t)> const& nll) { add("nll", name, nll); }
    /// name: of an early exit.
    void exit(std::string const& name, std::function<double(std::size_t)> const& nll) { add("exit", name, nll); }

    results_table table() const {
        std::vector<std::string> variants{full_model_name};
        for (auto const& c : columns_)
            if (std::ranges::find(variants, c.variant) == variants.end()) variants.push_back(c.variant);
        results_table made({{"nll", column_shape::document, column_owner::each_variant, "", ""},
                            {"exit", column_shape::document, column_owner::each_variant, "", ""}},
                           variants, {documents_, 0, 0});
        for (auto const& c : columns_)
            for (stored_column& to : made.columns())
                if (to.declared.name == c.kind && variants[to.variant] == c.variant) to.numbers = c.numbers;
        return made;
    }

private:
    struct column_of_numbers {
        std::string kind, variant;
        std::vector<double> numbers;
    };
    void add(std::string kind, std::string variant, std::function<double(std::size_t)> const& number) {
        std::vector<double> numbers;
        for (std::size_t i = 0; i < documents_; ++i) numbers.push_back(number(i));
        columns_.push_back({std::move(kind), std::move(variant), std::move(numbers)});
    }

    std::size_t documents_;
    std::vector<column_of_numbers> columns_;
};

} // namespace bitlens::test
