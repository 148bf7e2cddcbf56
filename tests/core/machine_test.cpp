#include "bitlens/core/machine.hpp"

#include "address_space.hpp"

#include <doctest/doctest.h>

#include <thread>

using namespace bitlens;

TEST_CASE("cores and memory are within what the machine has") {
    CHECK(available_cores() >= 1);
    CHECK(available_cores() <= static_cast<unsigned>(sysconf(_SC_NPROCESSORS_CONF)));
    const auto machine =
        static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
    CHECK(available_memory() > 0);
    CHECK(available_memory() <= machine);
}

TEST_CASE("affinity narrows the cores") {
    cpu_set_t before;
    CPU_ZERO(&before);
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    std::size_t first = 0;
    while (!CPU_ISSET(first, &before)) ++first;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    unsigned cores = 0;
    std::thread([&] { // of this thread only: the other tests keep theirs
        if (sched_setaffinity(0, sizeof one, &one) == 0) cores = available_cores();
    })
        .join();
    CHECK(cores == 1);
}

TEST_CASE("a limit of the process narrows the memory" * doctest::skip(!test::has_address_space_to_spare)) {
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_DATA, &before) == 0);
    const std::uint64_t free = available_memory(), half = free / 2;
    const rlimit narrow{half, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_DATA, &narrow) == 0);
    CHECK(available_memory() == half);
    REQUIRE(setrlimit(RLIMIT_DATA, &before) == 0);
    CHECK(available_memory() == free);
}
