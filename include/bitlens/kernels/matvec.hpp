#pragma once
/// matvec: y = w · x for one position, as generation needs it.

#include "bitlens/kernels/matmul.hpp"

namespace bitlens {

/// y = w · x.   Shapes: w (rows, cols), x (cols), y (rows).
template <class Arch = simd::default_arch, weight_matrix W>
void matvec(W const& w, std::span<const float> x, std::span<float> y, workspace& scratch) noexcept {
    matmul<Arch>(w, {x.data(), 1, x.size()}, {y.data(), 1, y.size()}, scratch);
}

} // namespace bitlens
