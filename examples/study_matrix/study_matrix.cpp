#include "study_matrix.hpp"

namespace bitlens {

template study_matrix quantize<study_matrix>(method const&, matrix_view<const float>);
template row_decoder decoder_of<>(study_matrix const&) noexcept;
template void matmul_rows<>(study_matrix const&, std::size_t, std::size_t, matrix_view<const float>, matrix_view<float>,
                            workspace&);
template void matmul<>(study_matrix const&, matrix_view<const float>, matrix_view<float>, workspace&);
template void embed<>(study_matrix const&, std::span<const std::int32_t>, matrix_view<float>, float);

} // namespace bitlens
