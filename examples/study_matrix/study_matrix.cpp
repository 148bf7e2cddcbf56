#include "study_matrix.hpp"

namespace bitlens {

template study_matrix quantize<study_matrix, method>(method const&, matrix_view<const float>);
template std::shared_ptr<const study_matrix>
detail::quantize_calibrated<study_matrix>(gptq_method const&, matrix_view<const float>, gptq_inputs const&, gptq_log&);
template std::shared_ptr<const study_matrix>
detail::round_spanning_at<study_matrix>(std::size_t, projection, awq_method const&, matrix_view<const float>);
template row_decoder decoder_of<>(study_matrix const&) noexcept;
template void matmul_rows<>(study_matrix const&, std::size_t, std::size_t, matrix_view<const float>, matrix_view<float>,
                            workspace&);
template void matmul<>(study_matrix const&, matrix_view<const float>, matrix_view<float>, workspace&);
template void matvec<>(study_matrix const&, std::span<const float>, std::span<float>, workspace&);
template void matvec_each<>(study_matrix const&, matrix_view<const float>, matrix_view<float>, workspace&);
template detail::row_product detail::prepare_rows<simd::default_arch>(study_matrix const&, matrix_view<const float>,
                                                                      matrix_view<float>, workspace::frame&);
template void embed<>(study_matrix const&, std::span<const std::int32_t>, matrix_view<float>, float);

} // namespace bitlens
