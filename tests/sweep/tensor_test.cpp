#include "bitlens/sweep/tensor.hpp"

#include <doctest/doctest.h>

#include <numeric>

using namespace bitlens;

TEST_CASE("a matrix as an xtensor is the same memory") {
    matrix<float> m(2, 3);
    std::iota(m.span().begin(), m.span().end(), 0.0f);
    auto x = as_xtensor(m.view());
    CHECK(x.dimension() == 2);
    CHECK(x.shape(0) == 2);
    CHECK(x.shape(1) == 3);
    CHECK(x(1, 2) == 5);
    x(1, 0) = -3;
    CHECK(m(1, 0) == -3);
}

TEST_CASE("a view inside a larger matrix keeps its stride") {
    matrix<float> m(4, 5);
    std::iota(m.span().begin(), m.span().end(), 0.0f);
    const auto part = as_xtensor(m.view().middle_rows(1, 2).middle_cols(2, 3));
    CHECK(part(0, 0) == 7);
    CHECK(part(1, 2) == 14);
    float sum = 0;
    for (const float v : part) sum += v; // 7 + 8 + 9 + 12 + 13 + 14
    CHECK(sum == 63);
    const xt::xtensor<float, 2> copy = part;
    CHECK(copy(1, 0) == 12);
    auto target = as_xtensor(m.view().middle_cols(0, 1));
    target *= 2.0f; // 0 5 10 15, and no neighbour
    CHECK(m(3, 0) == 30);
    CHECK(m(3, 1) == 16);
    target.fill(-1.0f);
    CHECK(m(2, 0) == -1);
    CHECK(m(2, 1) == 11);
    target = as_xtensor(m.view().middle_cols(4, 1));
    CHECK(m(3, 0) == 19);
    CHECK(m(3, 1) == 16);
}

TEST_CASE("one row and one column are broadcast, never read past") {
    matrix<float> grid(2, 3), row(1, 3), column(2, 1);
    std::iota(row.span().begin(), row.span().end(), 1.0f);
    std::iota(column.span().begin(), column.span().end(), 10.0f);
    const xt::xtensor<float, 2> sum = as_xtensor(grid.view()) + as_xtensor(row.view()) + as_xtensor(column.view());
    CHECK(sum(0, 0) == 11);
    CHECK(sum(0, 2) == 13);
    CHECK(sum(1, 0) == 12);
    CHECK(sum(1, 2) == 14);
}

TEST_CASE("const matrices give const expressions; empty ones are legal") {
    const matrix<double> m(2, 2);
    const auto x = as_xtensor(m.view());
    static_assert(std::is_same_v<decltype(x(0, 0)), const double&>);
    CHECK(as_xtensor(matrix<double>(0, 4).view()).size() == 0);
}

TEST_CASE("as_matrix copies an expression of rank 2 and refuses others") {
    matrix<float> m(2, 3);
    std::iota(m.span().begin(), m.span().end(), 0.0f);
    const auto doubled = as_matrix(as_xtensor(m.view()) * 2.0f);
    CHECK(doubled.rows() == 2);
    CHECK(doubled.cols() == 3);
    CHECK(doubled(1, 2) == 10);
    const auto turned = as_matrix(xt::transpose(as_xtensor(m.view())));
    CHECK(turned.rows() == 3);
    CHECK(turned(2, 0) == 2);

    const xt::xtensor<float, 1> flat{1.0f, 2.0f};
    CHECK_THROWS_AS(as_matrix(flat), shape_error);
}
