#include "bitlens/core/workspace.hpp"

#include <doctest/doctest.h>

#include <cstdint>

using namespace bitlens;

static_assert(workspace::bytes_for<float>(0) == 0);
static_assert(workspace::bytes_for<float>(1) == alignment);
static_assert(workspace::bytes_for<float>(16) == alignment);
static_assert(workspace::bytes_for<double>(9) == 2 * alignment);

TEST_CASE("a frame hands out aligned pieces that do not overlap, up to the last byte") {
    workspace w(workspace::bytes_for<float>(3) + workspace::bytes_for<double>(10) + workspace::bytes_for<char>(64), 2);
    CHECK(w.tasks() == 2);
    workspace::frame frame(w);
    const auto a = frame.take<float>(3);
    const auto b = frame.take<double>(2, 5);
    const auto c = frame.take<char>(64);
    for (const void* p :
         {static_cast<const void*>(a.data()), static_cast<const void*>(b.data), static_cast<const void*>(c.data())})
        CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
    CHECK(a.size() == 3);
    CHECK(b.rows == 2);
    CHECK(b.cols == 5);
    for (float& x : a) x = 1;
    for (std::size_t r = 0; r < b.rows; ++r)
        for (double& x : b.row(r)) x = 2;
    for (char& x : c) x = 3;
    CHECK(a[2] == 1);
    CHECK(b(1, 4) == 2);
    CHECK(static_cast<void*>(c.data() + c.size()) ==
          static_cast<void*>(reinterpret_cast<std::byte*>(a.data()) + w.capacity()));
}

TEST_CASE("frames nest and give back all they took") {
    workspace w(4 * alignment);
    workspace::frame outer(w);
    const auto kept = outer.take<int>(16);
    int* inner_piece = nullptr;
    {
        workspace::frame inner(w);
        inner_piece = inner.take<int>(48).data();
        CHECK(inner_piece == kept.data() + 16);
    }
    CHECK(outer.take<int>(48).data() == inner_piece);
}

TEST_CASE("a workspace refuses more than it has, no tasks, and an arithmetic that this machine has not") {
    workspace w(4 * alignment);
    workspace::frame f(w);
    f.take<float>(16);
    CHECK_THROWS_WITH_AS(f.take<float>(49),
                         "workspace::frame::take: the workspace has 192 of 256 bytes free, expected at least 256 for 1 "
                         "task; each kernel has a function …_bytes that says how many",
                         shape_error);
    CHECK(f.take<float>(48).size() == 48); // what was refused took nothing
    CHECK_THROWS_WITH_AS(workspace(64, 0), "workspace: 0 tasks, expected at least 1", option_error);
    for (const arithmetic a : all_arithmetics)
        if (!is_available(a)) CHECK_THROWS_AS(workspace(64, 1, a), option_error);
}
