#pragma once
/// Studies of made-up numbers.

#include "bitlens/analysis/finished_study.hpp"
#include "run_for_test.hpp"

#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace bitlens::test {

/// A study in which error(document, method) and any other number are as given.
inline finished_study study_of(std::size_t documents, std::vector<std::string> const& methods,
                               std::function<double(std::size_t, std::size_t)> const& error,
                               std::function<double(std::size_t)> const& other) {
    const temporary_folder folder;
    write_run(folder.path(), documents, methods, error, other);
    return make_study(read_run(folder.path()));
}

/// Numbers that go with no others: of the golden ratio's multiples, what is behind the point.
inline double scattered(std::size_t i, std::size_t v) {
    return std::fmod(static_cast<double>(i + 1) * 0.6180339887498949 * static_cast<double>(v * v + 1), 1.0);
}

} // namespace bitlens::test
