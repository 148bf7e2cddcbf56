#pragma once
/// What a program that links allocations.cpp holds in memory from operator new.

#include <cstddef>

namespace bitlens::fuzz {

/// Bytes held now.
std::size_t allocated() noexcept;
/// The most bytes held at once since the last call.
std::size_t take_peak() noexcept;

} // namespace bitlens::fuzz
