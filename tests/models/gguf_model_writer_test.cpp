#include "bitlens/models/gguf_model_writer.hpp"

#include "bitlens/formats/uniform.hpp"
#include "bitlens/models/checkpoint.hpp"

#include "written_model.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using dense_floats = packed_matrix<dense<float>>;

/// Codes that follow from the name, about the middle one.
coded_matrix named_codes(std::string const& name, std::size_t rows, std::size_t cols) {
    coded_matrix m(4, rows, cols, 32);
    const auto bits = named_bits(name, rows * cols);
    for (std::size_t i = 0; i < bits.size(); ++i) m.codes.data()[i] = static_cast<std::uint8_t>(bits[i] >> 60);
    for (std::size_t i = 0; i < m.scales.span().size(); ++i)
        m.scales.data()[i] = f16(0.01f * static_cast<float>(i + 1));
    m.zeros = matrix<float>(rows, m.groups());
    for (float& z : m.zeros.span()) z = 8;
    return m;
}

const auto no_vector = [](std::string const&) { return std::optional<std::vector<float>>(); };

} // namespace

TEST_CASE("a GGUF model is written again with other matrices and norms, all else as it was") {
    const temporary_folder folder;
    const auto c = config_of_32s();
    const auto tensors = make_tensors(c, safetensors_type::f16);
    write_gguf(folder / "full.gguf", c, tensors);
    const checkpoint full(folder / "full.gguf");
    const auto is_replaced = [](std::string const& name) { return name.find("_proj.") != name.npos; };
    const std::vector<float> norm(64, 0.1f);
    const std::string norm_name = "model.layers.0.input_layernorm.weight";
    write_gguf_model(
        full, folder / "low.gguf",
        [&](std::string const& name) -> std::optional<coded_matrix> {
            if (!is_replaced(name)) return std::nullopt;
            const auto w = full.load_matrix<dense_floats>(name);
            return named_codes(name, w.rows(), w.cols());
        },
        [&](std::string const& name) { return name == norm_name ? std::optional(norm) : std::nullopt; });
    const checkpoint low(folder / "low.gguf");
    CHECK(low.config() == full.config());
    for (auto const& t : low.tensors()) {
        CAPTURE(t.name);
        if (t.shape.size() == 1) {
            CHECK(low.load_vector(t.name) == (t.name == norm_name ? norm : full.load_vector(t.name)));
            continue;
        }
        CHECK(t.type == (is_replaced(t.name) ? "Q4_0" : "F16"));
        const auto w = low.load_matrix<dense_floats>(t.name);
        const auto expected = is_replaced(t.name) ? decoded(named_codes(t.name, w.rows(), w.cols()))
                                                  : full.load_matrix<dense_floats>(t.name);
        bool is_same = true;
        for (std::size_t r = 0; r < w.rows(); ++r)
            for (std::size_t i = 0; i < w.cols(); ++i) is_same = is_same && w.value(r, i) == expected.value(r, i);
        CHECK(is_same);
    }
    const gguf_file file(folder / "low.gguf");
    CHECK(file.required<int>("general.file_type") == 2);
    CHECK(file.required<int>("general.quantization_version") == 2);
    CHECK(file.metadata().size() == gguf_file(folder / "full.gguf").metadata().size() + 2);
}

TEST_CASE("a GGUF model that cannot hold what replaces its matrices says what would be lost") {
    const temporary_folder folder;
    const auto c = config_of_32s();
    write_gguf(folder / "full.gguf", c, make_tensors(c, safetensors_type::f16));
    const checkpoint full(folder / "full.gguf");
    const std::string up = "model.layers.0.mlp.up_proj.weight";
    const auto with_up = [&](coded_matrix const& m) {
        const auto only_up = [&](std::string const& name) -> std::optional<coded_matrix> {
            if (name != up) return std::nullopt;
            return m.with_rows(m.rows(), [](std::size_t r) { return r; });
        };
        write_gguf_model(full, folder / "low.gguf", only_up, no_vector);
    };
    auto m = named_codes(up, 96, 64);
    m.scales(7, 1) = 0.1f;
    CHECK_THROWS_WITH_AS(with_up(m),
                         doctest::Contains("tensor \"blk.0.ffn_up.weight\": Q4_0 does not hold it exactly: row 7, "
                                           "columns from 32 on: the scale 0.1000"),
                         shape_error);
    CHECK_THROWS_AS(with_up(named_codes(up, 96, 32)), shape_error);
    CHECK_FALSE(std::filesystem::exists(folder / "low.gguf"));
    m = named_codes(up, 96, 64);
    m.codes(0, 0) = 15;
    m.zeros(0, 0) = 7; // 8 steps up are beyond Q4_0
    const auto written = [&] {
        with_up(m);
        for (auto const& t : checkpoint(folder / "low.gguf").tensors())
            if (t.name == up) return t.type;
        return std::string();
    };
    m.scales(0, 0) = 0.25f;
    CHECK(written() == "Q4_1");
    m.scales(0, 0) = f16::from_bits(0x3555); // 7 times it is no minimum of 16 bits
    CHECK(written() == "Q5_0");

    write_folder(folder / "model", json_of_32s(), make_tensors(c, safetensors_type::f16));
    CHECK_THROWS_WITH_AS(write_gguf_model(
                             checkpoint(folder / "model"), folder / "x.gguf",
                             [](std::string const&) { return std::optional<coded_matrix>(); }, no_vector),
                         doctest::Contains("a GGUF file is expected"), option_error);
}
