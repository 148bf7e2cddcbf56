#pragma once
/// study_matrix in a program of several files: what its many formats make slow to compile is compiled once, in
/// study_matrix.cpp. A program of one file needs none of this.

#include "bitlens/kernels/matmul.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/recipes/all_formats.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlens {

extern template study_matrix quantize<study_matrix>(method const&, matrix_view<const float>);
extern template row_decoder decoder_of<>(study_matrix const&) noexcept;
extern template void matmul_rows<>(study_matrix const&, std::size_t, std::size_t, matrix_view<const float>,
                                   matrix_view<float>, workspace&);
extern template void matmul<>(study_matrix const&, matrix_view<const float>, matrix_view<float>, workspace&);
extern template void embed<>(study_matrix const&, std::span<const std::int32_t>, matrix_view<float>, float);

} // namespace bitlens
