// A point that fires once per run is no point of a layer. Built with BITLENS_BAD=0 it compiles, with 1 it must not.
#include "bitlens/hooks/points.hpp"

using namespace bitlens;

#if BITLENS_BAD
constexpr auto id = hook::id_of<hook::logits>;
#else
constexpr auto id = hook::id_of<hook::mlp_out>;
#endif

int main() { return id.index() == 0; }
