/// The entry of libFuzzer, for the target named BITLENS_FUZZ_TARGET.

#include "give.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>

namespace {

constexpr bitlens::fuzz::target target =
    *std::ranges::find(bitlens::fuzz::targets, BITLENS_FUZZ_TARGET, &bitlens::fuzz::target::name);

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    bitlens::fuzz::long_for_one_in = 64;
    return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

/// Of layers, whose bytes mean what their place says, mostly a few bytes change and none moves.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
    std::minstd_rand random(seed);
    if (!target.name.starts_with("stored_") || size == 0 || random() % 4 == 0)
        return LLVMFuzzerMutate(data, size, most);
    for (std::size_t changes = 1 + random() % 3; changes > 0; --changes) {
        const std::size_t among = random() % 2 == 0 ? size : std::min<std::size_t>(size, 128);
        data[random() % among] = static_cast<std::uint8_t>(random() >> 8);
    }
    return size;
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    bitlens::fuzz::give(target, {data, size});
    return 0;
}
