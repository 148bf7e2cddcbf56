/// The entry of libFuzzer, for the target named BITLENS_FUZZ_TARGET.

#include "give.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace {

constexpr bitlens::fuzz::target target =
    *std::ranges::find(bitlens::fuzz::targets, BITLENS_FUZZ_TARGET, &bitlens::fuzz::target::name);

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    bitlens::fuzz::long_for_one_in = 64;
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    bitlens::fuzz::give(target, {data, size});
    return 0;
}
