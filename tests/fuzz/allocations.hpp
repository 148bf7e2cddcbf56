#pragma once
/// What a program that links allocations.cpp holds in memory from operator new, and one allocation of it that fails.

#include <cstddef>

namespace bitlens::fuzz {

/// Bytes held now.
std::size_t allocated() noexcept;
/// The most bytes held at once since the last call.
std::size_t take_peak() noexcept;
/// The allocation after `n` more fails, and no other.
void fail_after(std::size_t n) noexcept;
/// Nothing fails. Returns whether something has.
bool fail_no_more() noexcept;

} // namespace bitlens::fuzz
