#pragma once
/// checkpoint_method: what another checkpoint of the same architecture holds, whoever made it and however it stores it.

#include "bitlens/layers/block.hpp"
#include "bitlens/recipes/method_kinds.hpp"

#include <cstdint>
#include <string>

namespace bitlens {

/// "checkpoint": nothing is told of it beside where it lies.
struct checkpoint_method {
    static constexpr method_usage usage{"checkpoint", 0, 0, ""};

    bool operator==(checkpoint_method const&) const = default;
    static checkpoint_method read(method_words&) { return {}; }
    std::string text() const { return std::string(usage.word); }
    /// At most: as float32.
    std::uint64_t bytes(matrix_shape shape) const { return std::uint64_t{4} * shape.rows * shape.cols; }
};

static_assert(method_kind<checkpoint_method>);

} // namespace bitlens
