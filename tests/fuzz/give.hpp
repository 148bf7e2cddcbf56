#pragma once
/// give: one input to one target, with what every target must keep to.

#include "allocations.hpp"
#include "targets.hpp"

#include "bitlens/core/error.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace bitlens::fuzz {

/// The text of the error with which the library refuses the input; empty if it takes it.
/// Errors: std::logic_error for memory that is out of proportion; whatever the target throws but bitlens::error.
inline std::string give(target const& to, input bytes) {
    constexpr std::size_t for_nothing = std::size_t{4} << 20; // buffers and caches of a size of their own
    take_peak();
    const std::size_t before = allocated();
    std::string refusal;
    try {
        to.run(bytes);
    } catch (error const& e) {
        refusal = e.what();
    }
    const std::size_t taken = std::max(take_peak(), before) - before; // what was kept before may be gone
    if (taken > for_nothing + to.expansion * bytes.size())
        throw std::logic_error(std::to_string(bytes.size()) + " bytes of input took " + std::to_string(taken) +
                               " bytes of memory");
    return refusal;
}

} // namespace bitlens::fuzz
