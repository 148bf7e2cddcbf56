#pragma once
/// What a piece of work uses when it has a process for itself.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bitlens::bench {

struct process_use {
    double wall = 0, cpu = 0;     // seconds; cpu of all threads and of processes that it waited for
    std::uint64_t peak_bytes = 0; // resident, of the largest of them
};

namespace detail {

inline double seconds_of(timeval t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); }

} // namespace detail

/// Seconds that all threads of this process have had a core in user mode.
inline double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return detail::seconds_of(used.ru_utime);
}

/// f() in a process of its own, so that its peak of memory is not that of what ran before. The caller has no threads.
/// Errors: runtime_error when the process does not start, or f throws there.
template <class F>
process_use measure_process(F const& f) {
    std::fflush(nullptr);
    const auto start = std::chrono::steady_clock::now();
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("a process could not be started");
    if (child == 0) {
        try {
            f();
            _exit(0);
        } catch (std::exception const& e) {
            std::fprintf(stderr, "%s\n", e.what());
            _exit(1);
        }
    }
    int status = 0;
    rusage used{};
    if (wait4(child, &status, 0, &used) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error("the measured process failed");
    return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
            detail::seconds_of(used.ru_utime) + detail::seconds_of(used.ru_stime), static_cast<std::uint64_t>(used.ru_maxrss) << 10};
}

} // namespace bitlens::bench
