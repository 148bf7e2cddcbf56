#include "bitlens/quantizers/input_hessian.hpp"

#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

using documents = std::vector<matrix<float>>;

documents random_documents(std::vector<std::size_t> const& tokens, std::size_t width, std::uint64_t seed = 1) {
    random_generator random(seed);
    documents all;
    for (const std::size_t t : tokens)
        for (float& v : all.emplace_back(t, width).span()) v = static_cast<float>(random.normal());
    return all;
}

std::vector<matrix_view<const float>> views(documents const& all, std::size_t first = 0, std::size_t end = SIZE_MAX) {
    std::vector<matrix_view<const float>> list;
    for (std::size_t d = first; d < std::min(end, all.size()); ++d) list.push_back(all[d].view());
    return list;
}

input_hessian hessian_of(documents const& all, std::size_t width, unsigned tasks = 1) {
    input_hessian h(width);
    h.add(views(all), tasks);
    return h;
}

bool same(input_hessian const& a, input_hessian const& b) {
    if (a.tokens() != b.tokens() || a.width() != b.width()) return false;
    for (std::size_t i = 0; i < a.width(); ++i)
        if (std::memcmp(a.row(i).data(), b.row(i).data(), (i + 1) * sizeof(double)) != 0) return false;
    return true;
}

} // namespace

TEST_CASE("sums of products, against long double") {
    for (const std::size_t width : {1u, 7u, 96u, 193u, 500u}) {
        CAPTURE(width);
        const auto all = random_documents({3, 1, 40, 0, 130}, width);
        const auto h = hessian_of(all, width, 2);
        CHECK(h.tokens() == 174);
        CHECK(h.documents() == 5);
        for (std::size_t i = 0; i < width; ++i)
            for (std::size_t j = 0; j < width; ++j) {
                long double sum = 0, magnitude = 0;
                for (auto const& x : all)
                    for (std::size_t t = 0; t < x.rows(); ++t) {
                        const long double product =
                            static_cast<long double>(x(t, i)) * static_cast<long double>(x(t, j));
                        sum += product;
                        magnitude += std::abs(product);
                    }
                // One document's sums have at most 130 roundings and 3, the bound of matmul.
                REQUIRE(std::abs(static_cast<long double>(h.sum(i, j)) - sum) <= 133 * 0x1p-24L * 1.01L * magnitude);
                REQUIRE(h.sum(i, j) == h.sum(j, i));
            }
    }
}

TEST_CASE("the bits depend neither on tasks nor on how documents are divided over calls") {
    constexpr std::size_t width = 1000;
    const auto all = random_documents({20, 700, 3, 64, 65, 1, 100}, width);
    const auto one = hessian_of(all, width);
    CHECK(same(one, hessian_of(all, width, 2)));
    CHECK(same(one, hessian_of(all, width, 7)));
    input_hessian divided(width);
    divided.add(views(all, 0, 2), 3);
    for (std::size_t d = 2; d < 5; ++d) divided.add(views(all, d, d + 1), 1);
    divided.add({}, 1);
    divided.add(views(all, 5), 2);
    CHECK(same(one, divided));
}

TEST_CASE("a million tokens lose no digits") {
    // Columns that are constant make every rounding of a running sum in float32 go the same way.
    constexpr std::size_t width = 4, tokens = 50, count = 20000;
    random_generator random(3);
    input_hessian h(width);
    std::array<std::array<long double, width>, width> sums{}, magnitudes{};
    std::array<std::array<float, width>, width> in_float{};
    for (std::size_t d = 0; d < count; d += 500) {
        documents all;
        for (std::size_t k = 0; k < 500; ++k) {
            auto& x = all.emplace_back(tokens, width);
            for (std::size_t t = 0; t < tokens; ++t) {
                x(t, 0) = 0.1f;
                x(t, 1) = static_cast<float>(random.normal());
                x(t, 2) = 1000 + x(t, 1);
                x(t, 3) = random.below(1000) == 0 ? 5e3f : 0.01f;
            }
            for (std::size_t i = 0; i < width; ++i)
                for (std::size_t j = 0; j < width; ++j) {
                    float of_document = 0;
                    for (std::size_t t = 0; t < tokens; ++t) {
                        const long double product =
                            static_cast<long double>(x(t, i)) * static_cast<long double>(x(t, j));
                        sums[i][j] += product;
                        magnitudes[i][j] += std::abs(product);
                        of_document += x(t, i) * x(t, j);
                    }
                    in_float[i][j] += of_document;
                }
        }
        h.add(views(all), 1);
    }
    CHECK(h.tokens() == 1'000'000);
    // The bound of one document's products, whatever the number of documents; 2e4 roundings of a double are nothing.
    constexpr long double bound = (tokens + 3) * 0x1p-24L * 1.01L;
    long double most = 0, most_in_float = 0;
    for (std::size_t i = 0; i < width; ++i)
        for (std::size_t j = 0; j < width; ++j) {
            most = std::max(most, std::abs(static_cast<long double>(h.sum(i, j)) - sums[i][j]) / magnitudes[i][j]);
            most_in_float = std::max(most_in_float, std::abs(static_cast<long double>(in_float[i][j]) - sums[i][j]) /
                                                        magnitudes[i][j]);
        }
    MESSAGE("relative error ", static_cast<double>(most), ", of sums in float32 ", static_cast<double>(most_in_float));
    CHECK(most <= bound);
    CHECK(most_in_float > 10 * bound); // so that this test can tell
}

TEST_CASE("inputs that are not finite, or too large, are named and not added") {
    constexpr std::size_t width = 200;
    auto all = random_documents({5, 6, 7}, width);
    input_hessian h(width);
    h.add(views(all), 1);
    const auto before = hessian_of(all, width);
    const auto check_refused = [&](float value, std::string const& what) {
        auto more = random_documents({4, 3}, width, 2);
        more[1](2, 150) = value;
        CHECK_THROWS_WITH_AS(h.add(views(more), 2),
                             ("input_hessian: the input of document 4, token 2, column 150 is " + what).c_str(),
                             format_error);
        CHECK(same(h, before));
        CHECK(h.documents() == 3);
    };
    check_refused(std::nanf(""), "nan; a finite number is expected");
    check_refused(-std::numeric_limits<float>::infinity(), "-inf; a finite number is expected");
    check_refused(1.5e19f, std::to_string(1.5e19f) + "; its square is more than float32 can hold");

    auto large = random_documents({4}, width, 2);
    large[0](1, 3) = -3e18f;
    h.add(views(large), 1);
    CHECK(std::isfinite(h.sum(3, 3)));

    const documents narrow = random_documents({3}, width - 1);
    CHECK_THROWS_WITH_AS(h.add(views(narrow), 1), "input_hessian: x is 3 × 199, expected 3 × 200", shape_error);
    CHECK_THROWS_AS(h.add(views(all), 0), option_error);
}

TEST_CASE("sums made elsewhere") {
    matrix<double> sums(3, 3);
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j) sums(i, j) = static_cast<double>(i + j + 1);
    const auto h = input_hessian::of_sums(sums, 17);
    CHECK(h.tokens() == 17);
    CHECK(h.sum(1, 2) == 4);
    CHECK(h.sum(2, 1) == 4);
    CHECK_THROWS_AS(input_hessian::of_sums(sums.view().middle_rows(0, 2), 1), shape_error);
    sums(2, 1) = std::nan("");
    CHECK_THROWS_WITH_AS(input_hessian::of_sums(sums, 1),
                         "input_hessian: the sum at row 2, column 1 is nan; a finite number is expected", format_error);
}
