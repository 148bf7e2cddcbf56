#pragma once
/// Every arithmetic of this machine, for tests.

#include "bitlens/core/arithmetic.hpp"

#include <doctest/doctest.h>

namespace bitlens::test {

/// Calls f(a) for each, and says which the machine lacks.
template <class F>
void for_every_arithmetic(F const& f) {
    for (const arithmetic a : all_arithmetics) {
        if (!is_available(a)) {
            MESSAGE(name(a) << " is not tested: this machine does not have it");
            continue;
        }
        INFO(name(a));
        f(a);
    }
}

} // namespace bitlens::test
