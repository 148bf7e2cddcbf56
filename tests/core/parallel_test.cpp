#include "bitlens/core/parallel.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

using namespace bitlens;

TEST_CASE("parallel_for calls f once for every index") {
    for (const std::size_t n : {0u, 1u, 2u, 3u, 1000u}) {
        std::vector<std::atomic<int>> calls(n);
        parallel_for(n, [&](std::size_t i) { ++calls[i]; });
        for (const auto& c : calls) CHECK(c == 1);
    }
}

TEST_CASE("loops nest") {
    std::atomic<int> calls = 0;
    parallel_for(8, [&](std::size_t) { parallel_for(8, [&](std::size_t) { ++calls; }); });
    CHECK(calls == 64);
}

TEST_CASE("an exception leaves the loop after its tasks have ended, and the next loop works") {
    for (const unsigned threads : {1u, 4u}) {
        const thread_limit limit(threads);
        std::atomic<int> running = 0;
        const auto loop = [&] {
            parallel_for(100, [&](std::size_t i) {
                ++running;
                if (i == 17) {
                    --running;
                    throw std::runtime_error("seventeen");
                }
                --running;
            });
        };
        CHECK_THROWS_WITH_AS(loop(), "seventeen", std::runtime_error);
        CHECK(running == 0);
        const auto nested = [&] { parallel_for(4, [&](std::size_t) { loop(); }); };
        CHECK_THROWS_WITH_AS(nested(), "seventeen", std::runtime_error);

        std::atomic<int> calls = 0;
        parallel_for(100, [&](std::size_t) { ++calls; });
        CHECK(calls == 100);
    }
}

TEST_CASE("a thread limit holds while it lives, and the smallest of several counts") {
    const auto threads_used = [] {
        std::set<std::thread::id> seen;
        std::mutex mutex;
        parallel_for(64, [&](std::size_t) {
            {
                const std::lock_guard lock(mutex);
                seen.insert(std::this_thread::get_id());
            }
            std::this_thread::sleep_for(std::chrono::microseconds(200)); // lets the others take their share
        });
        return seen.size();
    };
    {
        const thread_limit one(1);
        CHECK(threads_used() == 1);
        const thread_limit more(8);
        CHECK(threads_used() == 1);
    }
    {
        const thread_limit two(2);
        CHECK(threads_used() <= 2);
    }
    if (std::thread::hardware_concurrency() > 1) { // no limit is left behind; a busy machine may be slow to send help
        std::size_t most = 1;
        for (int attempt = 0; attempt < 200 && most == 1; ++attempt) most = threads_used();
        CHECK(most > 1);
    }
}

TEST_CASE("pieces cover the range in order, without gaps, on borders that are multiples of the unit") {
    for (const std::size_t n : {0u, 1u, 5u, 64u, 100u, 1001u})
        for (const std::size_t tasks : {1u, 2u, 3u, 7u, 40u})
            for (const std::size_t unit : {1u, 4u, 32u}) {
                CAPTURE(n);
                CAPTURE(tasks);
                CAPTURE(unit);
                std::vector<std::pair<std::size_t, std::size_t>> pieces(tasks); // (0, 0) where f was not called
                parallel_pieces(n, tasks, unit, [&](std::size_t task, std::size_t begin, std::size_t end) {
                    pieces[task] = {begin, end};
                });
                std::size_t covered = 0, smallest = n, largest = 0;
                for (const auto& [begin, end] : pieces) {
                    if (begin == end) continue;
                    CHECK(begin == covered);
                    CHECK(begin % unit == 0);
                    covered = end;
                    smallest = std::min(smallest, end - begin);
                    largest = std::max(largest, end - begin);
                }
                CHECK(covered == n);
                if (n >= tasks * unit) CHECK(largest - smallest < 2 * unit); // an even split, but for the last border
            }
}
