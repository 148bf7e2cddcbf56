// A whole block without listeners, for tests/hooks/no_cost.cmake to disassemble.
#include "bitlens/layers/block.hpp"

using namespace bitlens;

void run_block(block_shape const& shape, block_weights<packed_matrix<dense<float>>> const& weights,
               residual_stream& stream, block_buffers& buffers, workspace& scratch) {
    no_probe nobody;
    advance<block_form{}>(shape, weights, site{1}, stream, buffers, stage::end, scratch, nobody);
}
