#include "bitlens/recipes/quantize_model.hpp"

#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace bitlens;

namespace {

const block_shape shape{64, 2, 1, 32, 128, 1e-5f};

/// Two layers of bf16 matrices; counts how often one is asked for.
struct counted_layers final : layer_source<study_matrix> {
    std::vector<block_weights<study_matrix>> blocks;
    std::size_t requests = 0;

    counted_layers() {
        random_generator random(11);
        for (int layer = 0; layer < 2; ++layer) {
            block_weights<study_matrix> block;
            for (std::size_t p = 0; p < projection_count; ++p) {
                const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
                packed_matrix<dense<bf16>> w(rows, cols);
                for (std::size_t r = 0; r < rows; ++r)
                    for (bf16& x : w.writable_row(r)) x = bf16(static_cast<float>(random.normal()));
                block.linear[p] = std::make_shared<const study_matrix>(std::move(w));
            }
            block.rest = std::make_shared<const norms_and_biases>();
            blocks.push_back(std::move(block));
        }
    }
    block_weights<study_matrix> layer(std::size_t k) override {
        ++requests;
        return blocks.at(k);
    }
};

override_rules some_rules() {
    return {parse_json(R"({"rules": [{"projection": "gate_proj", "layers": "*", "use": "full"},
                                     {"projection": "o_proj", "layers": "1", "use": "nf4-g32-dq"}]})",
                       "o.json"),
            "o.json", 2};
}

} // namespace

TEST_CASE("quantize gives the format that the method names") {
    matrix<float> w(3, 128);
    random_generator random(12);
    for (float& x : w.span()) x = static_cast<float>(random.normal());
    for (const char* group : {"-row", "-g32", "-g64", "-g128"}) {
        for (int bits = 2; bits <= 8; ++bits)
            for (const char* zero : {"", "-sym"}) {
                const std::string end = std::to_string(bits) + group + zero;
                CHECK(quantize(parse_method("rtn" + end), w).format_name() == "uniform" + end);
            }
        for (const char* bits : {"3", "4"})
            CHECK(quantize(parse_method(std::string("nf") + bits + group), w).format_name() ==
                  std::string("nf") + bits + group);
    }
    const auto direct = rtn<uniform<3, 64>>{}(w);
    const auto named = quantize(parse_method("rtn3-g64"), w);
    const auto plain = quantize(parse_method("nf4-g32"), w), nested = quantize(parse_method("nf4-g32-dq"), w);
    bool scales_differ = false;
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 128; ++c) {
            REQUIRE(named.value(r, c) == direct.value(r, c));
            scales_differ = scales_differ || plain.value(r, c) != nested.value(r, c);
        }
    CHECK(scales_differ);
}

TEST_CASE("a type of weight with few formats takes the methods of those") {
    using few = mixed_matrix<dense<float>, uniform<3, 64>>;
    const matrix<float> w(2, 64);
    CHECK(quantize<few>(parse_method("rtn3-g64"), w).format_name() == "uniform3-g64");
    for (const char* name : {"rtn3-g32", "rtn3-g64-sym", "rtn4-g64", "nf3-g64"})
        CHECK_THROWS_WITH_AS(quantize<few>(parse_method(name), w),
                             doctest::Contains(("method '" + std::string(name) + "': the type of weight").c_str()),
                             option_error);
}

TEST_CASE("a layer is quantized once, and shares what stays full") {
    const auto full = std::make_shared<counted_layers>();
    quantized_layers<study_matrix> layers(full, parse_method("rtn4-g64"), some_rules());
    auto const& stored = full->blocks[1];
    (void)layers.layer(1);
    CHECK(stored.linear[4].use_count() == 1); // what stays full belongs to the source alone, which may drop it
    const auto first = layers.layer(1), again = layers.layer(1);
    CHECK(first.rest == stored.rest);
    CHECK(first.linear[4] == stored.linear[4]); // gate
    for (std::size_t p = 0; p < projection_count; ++p) {
        CHECK(first.linear[p] == again.linear[p]);
        const std::string expected = p == 4 ? "bf16" : p == 3 ? "nf4-g32" : "uniform4-g64";
        CHECK(first.linear[p]->format_name() == expected);
    }
    CHECK(layers.layer(0).linear[3]->format_name() == "uniform4-g64");

    const auto other = std::make_shared<counted_layers>();
    quantized_layers<study_matrix> whole(other, parse_method("rtn4-g64"));
    CHECK(whole.layer(1).linear[4] == whole.layer(1).linear[4]);
    CHECK(other->requests == 1);

    // The same numbers as quantizing the floats by hand.
    matrix<float> w(stored.linear[0]->rows(), stored.linear[0]->cols());
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t c = 0; c < w.cols(); ++c) w(r, c) = stored.linear[0]->value(r, c);
    const auto expected = rtn<uniform<4, 64>>{}(w);
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t c = 0; c < w.cols(); ++c) REQUIRE(first.linear[0]->value(r, c) == expected.value(r, c));
}

TEST_CASE("layers that are not kept are made again, the same") {
    const auto full = std::make_shared<counted_layers>();
    quantized_layers<study_matrix> layers(full, parse_method("nf3-g64"), {}, false);
    const auto first = layers.layer(0), again = layers.layer(0);
    CHECK(full->requests == 2);
    CHECK(first.linear[0] != again.linear[0]);
    CHECK(first.linear[0]->value(5, 7) == again.linear[0]->value(5, 7));
}

TEST_CASE("errors name layer, projection and method") {
    const auto full = std::make_shared<counted_layers>();
    packed_matrix<dense<float>> broken(64, 128);
    broken.writable_row(9)[100] = std::nanf("");
    full->blocks[1].linear[6] = std::make_shared<const study_matrix>(std::move(broken));
    quantized_layers<study_matrix> layers(full, parse_method("rtn3-g64"));
    CHECK_THROWS_WITH_AS((void)layers.layer(1),
                         "layer 1 down_proj, rtn3-g64: rtn: the weight at row 9, column 100 is nan; a finite number is "
                         "expected",
                         format_error);
    quantized_layers<study_matrix> whole_groups(full, parse_method("nf3-g128"));
    CHECK_THROWS_AS((void)whole_groups.layer(0), shape_error); // 64 columns
}
