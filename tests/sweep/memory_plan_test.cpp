#include "bitlens/sweep/memory_plan.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

memory_demand demand() {
    memory_demand d;
    d.ends = 100;
    d.full = 1000;
    d.quantized = 400;
    d.layers = 10;
    d.results = 50;
    d.states = {7, 30, 20};
    d.rows = 64;
    return d;
}

} // namespace

TEST_CASE("with room for everything a block only needs to keep the threads busy") {
    const auto plan = plan_memory(demand(), 1'000'000, 2);
    CHECK(plan.full_resident);
    CHECK(plan.quantized_resident);
    CHECK(plan.cut.examples_per_block == 8);
    CHECK(plan.total == 100 + 1000 + 400 + 50 + 2 * 30 + 20 + 8 * 7);
    CHECK(plan_memory(demand(), 1'000'000, 4).cut.examples_per_block == 16);
}

TEST_CASE("with less room layers are read again, and blocks grow as far as memory allows") {
    const std::uint64_t without_full = 100 + 100 + 400 + 50 + 2 * 30 + 20;
    auto plan = plan_memory(demand(), without_full + 20 * 7 + 6, 2);
    CHECK_FALSE(plan.full_resident);
    CHECK(plan.quantized_resident);
    CHECK(plan.cut.examples_per_block == 20);
    CHECK(plan.total <= without_full + 20 * 7 + 6);

    const std::uint64_t smallest = 100 + 100 + 40 + 50 + 2 * 30 + 20 + 7;
    plan = plan_memory(demand(), smallest, 2);
    CHECK_FALSE(plan.quantized_resident);
    CHECK(plan.cut.examples_per_block == 1);
    CHECK(plan.total == smallest);
    CHECK_THROWS_WITH_AS(plan_memory(demand(), smallest - 1, 2), doctest::Contains("at least"), option_error);
    auto d = demand();
    d.results = 1'000'000'000'000;
    CHECK_THROWS_WITH_AS(
        plan_memory(d, 1000, 2),
        doctest::Contains(("1000.0 GB of them for what is kept of all " + std::to_string(d.rows) + " rows").c_str()),
        option_error);
}

TEST_CASE("weights are laid out where there is room for them and for enough rows") {
    auto d = demand();
    d.states.panels = 300;
    CHECK(plan_memory(d, 1'000'000, 2).cut.lays_out);
    const std::uint64_t smallest = 100 + 100 + 40 + 50 + 2 * 30 + 20 + 7;
    auto plan = plan_memory(d, smallest + 300 + 7 * 7, 2);
    CHECK(plan.cut.lays_out);
    CHECK(plan.cut.examples_per_block == 8);
    CHECK(plan.total == smallest + 300 + 7 * 7);
    plan = plan_memory(d, smallest + 300 + 7 * 7 - 1, 2); // 7 rows would keep two threads waiting
    CHECK_FALSE(plan.cut.lays_out);
    CHECK(plan.cut.examples_per_block == (7 + 300 + 7 * 7 - 1) / 7);
    plan = plan_memory(d, smallest, 2);
    CHECK_FALSE(plan.cut.lays_out);
    CHECK(plan.total == smallest);
    CHECK_THROWS_AS(plan_memory(d, smallest - 1, 2), option_error);
}

TEST_CASE("a block is never larger than the rows there are") {
    auto d = demand();
    d.rows = 3;
    CHECK(plan_memory(d, 1'000'000, 2).cut.examples_per_block == 3);
}

TEST_CASE("amounts of memory are told apart") {
    CHECK(bytes_text(1'050'000) == "1.05 MB");
    CHECK(bytes_text(713'400'000) == "713 MB");
    CHECK(bytes_text(5'440'000'000) == "5.4 GB");
}
