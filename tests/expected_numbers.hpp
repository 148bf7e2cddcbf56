#pragma once
/// What numpy and scipy say of the golden run.

#include "bitlens/io/json.hpp"

#include <doctest/doctest.h>
#include <filesystem>

namespace bitlens::test {

inline json expected_numbers() {
    return read_json_file(std::filesystem::path(BITLENS_TEST_DATA) / "analysis" / "expected.json");
}

/// A number of theirs. Sums of some hundred numbers in double, in any order, agree to as many rounding errors.
inline doctest::Approx as_expected(json const& value) { return doctest::Approx(value.get<double>()).epsilon(1e-12); }

} // namespace bitlens::test
