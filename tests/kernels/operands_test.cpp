// Operands that do not fit are refused, once per call, in every build.
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/kernels/matvec.hpp"
#include "bitlens/kernels/reference.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"
#include "bitlens/kernels/weight_panels.hpp"

#include "bitlens/formats/uniform.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

using packed = packed_matrix<uniform<3, 32>>;
using mixed = mixed_matrix<dense<float>, uniform<3, 32>>;

/// Calls f and gives the text of its shape_error.
template <class F>
std::string refused(F const& f) {
    try {
        f();
    } catch (shape_error const& e) {
        return e.what();
    }
    return "nothing was refused";
}

/// Room for one example of scores.
struct room {
    std::vector<double> nll, kl;
    std::vector<std::int32_t> top;
    std::vector<float> margin;
    explicit room(std::size_t positions) : nll(positions), kl(positions), top(positions), margin(positions) {}
    token_scores view() { return {nll, kl, top, margin}; }
};

} // namespace

TEST_CASE("a product refuses operands that do not fit, and says what they are") {
    const packed w(7, 64);
    const mixed m(packed(7, 64));
    const matrix<float> x(3, 64), narrow(3, 32);
    matrix<float> y(3, 7), wide(3, 8), short_y(2, 7);
    workspace scratch(matmul_bytes(8, 64, 3, 1));
    CHECK(refused([&] { matmul(w, narrow.view(), y.view(), scratch); }) == "matmul: x is 3 × 32, expected 3 × 64");
    CHECK(refused([&] { matmul(m, x.view(), wide.view(), scratch); }) == "matmul: y is 3 × 8, expected 3 × 7");
    CHECK(refused([&] { matmul(x.view(), x.view(), short_y.view(), scratch); }) ==
          "matmul: y is 2 × 7, expected 3 × 3");
    CHECK(refused([&] { matmul_rows(w, 5, 3, x, y, scratch); }) == "matmul_rows: 3 rows from 5 on, of 7");
    CHECK(refused([&] { matmul_rows(w, ~std::size_t{0}, 2, x, y, scratch); }).find("of 7") != std::string::npos);
    CHECK(refused([&] { matmul_rows(w, 5, 2, x, y, scratch); }) == "matmul_rows: y is 3 × 7, expected 3 × 2");
    CHECK(refused([&] { reference::matmul(w, narrow.view(), y.view()); }) ==
          "reference::matmul: x is 3 × 32, expected 3 × 64");
    CHECK(refused([&] { matvec(w, narrow.row(0), y.row(0), scratch); }) == "matvec: x has 32 elements, expected 64");
    CHECK(refused([&] { matvec(m, x.row(0), wide.row(0), scratch); }) == "matvec: y has 8 elements, expected 7");
    matmul(w, x.view(), y.view(), scratch); // what fits is taken
    matvec(m, x.row(0), y.row(0), scratch);
}

TEST_CASE("a workspace that is too small is refused before anything is written") {
    const packed w(7, 64);
    const matrix<float> x(3, 64);
    matrix<float> y(3, 7);
    for (float& v : y.span()) v = 5;
    workspace small(100);
    const auto text = refused([&] { matmul(w, x.view(), y.view(), small); });
    CHECK_MESSAGE(text.starts_with("matmul: the workspace has 100 of 100 bytes free, expected at least "), text);
    CHECK_MESSAGE(text.find(" for 1 task; ") != std::string::npos, text);
    CHECK(refused([&] { matvec(w, x.row(0), y.row(0), small); }).starts_with("matvec: the workspace has 100 of 100"));
    for (const float v : y.span()) CHECK(v == 5);

    workspace for_one(matmul_bytes(7, 64, 3, 1)), for_three(matmul_bytes(7, 64, 3, 3), 3);
    matmul(w, x.view(), y.view(), for_one);
    matmul(w, x.view(), y.view(), for_three);
    {
        workspace::frame taken(for_one); // what is lent already is not there
        taken.take<std::byte>(for_one.capacity());
        CHECK(refused([&] { matmul(w, x.view(), y.view(), for_one); }).find("has 0 of") != std::string::npos);
        CHECK_THROWS_AS(taken.take<float>(1), shape_error);
    }
    matmul(w, x.view(), y.view(), for_one);
}

TEST_CASE("panels refuse weights, memory and arithmetic that are not theirs") {
    const packed w(7, 64);
    std::vector<std::byte> memory(10);
    CHECK(refused([&] { weight_panels<>(7, 64, arithmetic::f32, memory); }).starts_with("weight_panels: 10 bytes"));
    weight_panels<> laid_out(7, 64, arithmetic::f32);
    CHECK(refused([&] { laid_out.pack(packed(6, 64)); }) == "weight_panels: 7 rows from 0 on, of 6");
    CHECK(refused([&] { laid_out.pack(packed(7, 32)); }) == "weight_panels: w is 7 × 32, expected 7 × 64");
    laid_out.pack(w);
    const matrix<float> x(3, 64);
    matrix<float> y(3, 7), wide(3, 8);
    workspace scratch(matmul_bytes(8, 64, 3, 1)), in_bf16(matmul_bytes(8, 64, 3, 1), 1, arithmetic::bf16_emulated);
    CHECK(refused([&] { matmul(laid_out, x.view(), wide.view(), scratch); }) == "matmul: y is 3 × 8, expected 3 × 7");
    CHECK_THROWS_WITH_AS(matmul(laid_out, x.view(), y.view(), in_bf16),
                         "matmul: the weights are laid out for float32, the workspace is for bf16 (emulated)",
                         option_error);
}

TEST_CASE("scores refuse states, targets and room that do not fit") {
    const packed_matrix<dense<float>> head(10, 8), empty(0, 8);
    const matrix<float> states(3, 8), narrow(3, 7);
    std::vector<std::int32_t> targets{1, 2, 9};
    room first(3), second(3), little(2);
    workspace scratch(vocabulary_loss_bytes(10, 8, 3, 2, 1));
    const auto with = [&](auto const& h, std::vector<matrix_view<const float>> hidden, std::vector<token_scores> out) {
        return refused([&] { vocabulary_loss(h, no_soft_cap, hidden, targets, out, scratch); });
    };
    CHECK(with(empty, {states}, {first.view()}) == "vocabulary_loss: the head has no rows, expected at least 1");
    CHECK(with(head, {states}, {}) == "vocabulary_loss: out has 0 elements, expected 1");
    CHECK(with(head, {states, narrow}, {first.view(), second.view()}) ==
          "vocabulary_loss: hidden is 3 × 7, expected 3 × 8");
    CHECK(with(head, {states}, {little.view()}) == "vocabulary_loss: nll has 2 elements, expected 3");
    token_scores short_kl = second.view(), short_margin = second.view();
    short_kl.kl = short_kl.kl.first(2);
    short_margin.margin = short_margin.margin.first(1);
    CHECK(with(head, {states, states}, {first.view(), short_kl}) == "vocabulary_loss: kl has 2 elements, expected 3");
    CHECK(with(head, {states, states}, {first.view(), short_margin}) ==
          "vocabulary_loss: margin has 1 elements, expected 3");
    CHECK(with(head, {states}, {short_kl}) == "nothing was refused"); // the reference has none
    targets[1] = 10;
    CHECK(with(head, {states}, {first.view()}) == "token id 10 at position 1 is outside the vocabulary of 10");
    targets[1] = -1;
    CHECK(with(head, {states}, {first.view()}) == "token id -1 at position 1 is outside the vocabulary of 10");
    targets[1] = 2;
    workspace small(64);
    const std::vector<matrix_view<const float>> hidden{states};
    const std::vector<token_scores> out{first.view()};
    CHECK_THROWS_WITH_AS(vocabulary_loss(head, -30.0f, hidden, targets, out, scratch),
                         "vocabulary_loss: soft cap -30.000000, expected a positive number, or 0 for none",
                         option_error);
    CHECK_THROWS_AS(reference::vocabulary_loss(head, std::nanf(""), hidden, targets, out), option_error);
    CHECK(refused([&] {
              vocabulary_loss(head, no_soft_cap, hidden, targets, out, small);
          }).starts_with("vocabulary_loss: the workspace has 64 of 64 bytes free"));
}
