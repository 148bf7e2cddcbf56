#pragma once
/// Threads: the one door to oneTBB. BITLENS_STD_THREADS swaps in std::thread, for the thread sanitizer, which reports
/// races inside an uninstrumented oneTBB.

#include "bitlens/core/error.hpp"
#include "bitlens/core/intrinsics.hpp" // oneTBB includes them too

#include <algorithm>
#include <cstddef>

#ifdef BITLENS_STD_THREADS
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>
#else
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#endif

namespace bitlens {

namespace detail {
/// A function of whatever type, borrowed: the loops that call it are compiled once, not for every function.
template <class... Arguments>
class function_view {
public:
    template <class F>
    explicit function_view(F const& f)
        : function_(&f), call_([](void const* function, Arguments... a) { (*static_cast<F const*>(function))(a...); }) {
    }

    void operator()(Arguments... a) const { call_(function_, a...); }

private:
    void const* function_;
    void (*call_)(void const* function, Arguments... a);
};
using indexed_function = function_view<std::size_t>;                         // of i
using piece_function = function_view<std::size_t, std::size_t, std::size_t>; // of task, begin, end
} // namespace detail

#ifdef BITLENS_STD_THREADS

namespace detail {
inline std::atomic<unsigned>& thread_limit_value() {
    static std::atomic<unsigned> value{std::max(1u, std::thread::hardware_concurrency())};
    return value;
}
inline thread_local bool inside_parallel_for = false;
} // namespace detail

/// While it lives, parallel_for uses at most `threads` threads. Of several that live, the smallest counts; they end in
/// the reverse order.
class thread_limit {
public:
    explicit thread_limit(unsigned threads) : before_(detail::thread_limit_value()) {
        detail::thread_limit_value() = std::clamp(threads, 1u, before_);
    }
    ~thread_limit() { detail::thread_limit_value() = before_; }
    thread_limit(thread_limit const&) = delete;
    thread_limit& operator=(thread_limit const&) = delete;

private:
    unsigned before_;
};

namespace detail {
inline void for_each_index(std::size_t n, indexed_function const& f) {
    const std::size_t threads = std::min<std::size_t>(n, thread_limit_value());
    if (threads <= 1 || inside_parallel_for) { // nested loops run in the thread that met them
        for (std::size_t i = 0; i < n; ++i) f(i);
        return;
    }
    std::atomic<std::size_t> next{0};
    std::exception_ptr first_error;
    std::mutex error_mutex;
    const auto work = [&] {
        inside_parallel_for = true;
        try {
            for (std::size_t i; (i = next.fetch_add(1)) < n;) f(i);
        } catch (...) {
            next = n;
            const std::lock_guard lock(error_mutex);
            if (!first_error) first_error = std::current_exception();
        }
        inside_parallel_for = false;
    };
    {
        std::vector<std::jthread> others; // joined at the end of this block, and when one more cannot be started
        others.reserve(threads - 1);
        for (std::size_t t = 1; t < threads; ++t) others.emplace_back(work);
        work();
    }
    if (first_error) std::rethrow_exception(first_error);
}
} // namespace detail

#else

/// While it lives, parallel_for uses at most `threads` threads. Of several that live, the smallest counts; they end in
/// the reverse order.
class thread_limit {
public:
    explicit thread_limit(unsigned threads)
        : control_(tbb::global_control::max_allowed_parallelism, std::max<std::size_t>(1, threads)) {}

private:
    tbb::global_control control_;
};

namespace detail {
inline void for_each_index(std::size_t n, indexed_function const& f) {
    tbb::parallel_for(
        tbb::blocked_range<std::size_t>(0, n, 1),
        [&f](tbb::blocked_range<std::size_t> const& range) {
            for (std::size_t i = range.begin(); i != range.end(); ++i) f(i);
        },
        tbb::simple_partitioner{});
}
} // namespace detail

#endif

/// f(i) for every i < n, in any order, on several threads. The first exception leaves here, after all tasks have ended.
template <class F>
void parallel_for(std::size_t n, F const& f) {
    detail::for_each_index(n, detail::indexed_function(f));
}

namespace detail {
/// Where piece `task` of `tasks` begins: at a multiple of `unit`, or at the end.
constexpr std::size_t piece_begin(std::size_t n, std::size_t tasks, std::size_t unit, std::size_t task) noexcept {
    const std::size_t units = (n + unit - 1) / unit;
    return std::min(n, units * task / tasks * unit);
}
inline void for_each_piece(std::size_t n, std::size_t tasks, std::size_t unit, piece_function const& f) {
    BITLENS_ASSERT(tasks > 0 && unit > 0);
    const auto piece = [&](std::size_t task) {
        const std::size_t begin = piece_begin(n, tasks, unit, task), end = piece_begin(n, tasks, unit, task + 1);
        if (begin < end) f(task, begin, end);
    };
    if (tasks == 1)
        piece(0);
    else
        parallel_for(tasks, piece);
}
} // namespace detail

/// Splits 0 … n − 1 into `tasks` neighbouring pieces whose borders are multiples of `unit`, and calls
/// f(task, begin, end) for every piece that is not empty. A task may own scratch by its number.
template <class F>
void parallel_pieces(std::size_t n, std::size_t tasks, std::size_t unit, F const& f) {
    detail::for_each_piece(n, tasks, unit, detail::piece_function(f));
}

} // namespace bitlens
