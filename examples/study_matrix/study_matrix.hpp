#pragma once
/// study_matrix in a program of several files: what its many formats make slow to compile is compiled once, in
/// study_matrix.cpp. A program of one file needs none of this.

#include "bitlens/kernels/matmul.hpp"
#include "bitlens/kernels/matvec_each.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/awq_walk.hpp"
#include "bitlens/recipes/gptq_walk.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlens {

extern template study_matrix quantize<study_matrix, method>(method const&, matrix_view<const float>);
extern template std::shared_ptr<const study_matrix>
detail::quantize_calibrated<study_matrix>(gptq_method const&, matrix_view<const float>, gptq_inputs const&, gptq_log&);
extern template std::shared_ptr<const study_matrix>
detail::round_spanning_at<study_matrix>(std::size_t, projection, awq_method const&, matrix_view<const float>);
extern template row_decoder decoder_of<>(study_matrix const&) noexcept;
extern template void matmul_rows<>(study_matrix const&, std::size_t, std::size_t, matrix_view<const float>,
                                   matrix_view<float>, workspace&);
extern template void matmul<>(study_matrix const&, matrix_view<const float>, matrix_view<float>, workspace&);
extern template void matvec<>(study_matrix const&, std::span<const float>, std::span<float>, workspace&);
extern template void matvec_each<>(study_matrix const&, matrix_view<const float>, matrix_view<float>, workspace&);
extern template detail::row_product detail::prepare_rows<simd::default_arch>(study_matrix const&,
                                                                             matrix_view<const float>,
                                                                             matrix_view<float>, workspace::frame&);
extern template void embed<>(study_matrix const&, std::span<const std::int32_t>, matrix_view<float>, float);

} // namespace bitlens
