// Part of a test program for one level of x86-64, and itself compiled for any. It runs before the program's other
// constructors, which may already use instructions that this CPU lacks.

#include <cstdio>
#include <cstdlib>

namespace {

[[gnu::constructor(101)]] void leave_unless_the_cpu_can() {
    __builtin_cpu_init();
    const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    const bool v3 =
        v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512cd");
    const bool can[] = {v2, v3, v4};
    if (can[BITLENS_X86_64_LEVEL - 2]) return;
    std::puts("SKIPPED: this CPU is no x86-64-v" BITLENS_X86_64_LEVEL_NAME);
    std::fflush(stdout);
    std::_Exit(0);
}

} // namespace
