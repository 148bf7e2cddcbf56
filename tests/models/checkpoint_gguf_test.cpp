#include "bitlens/formats/affine.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/io/gguf_blocks.hpp"
#include "bitlens/models/checkpoint.hpp"

#include "written_model.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using floats = packed_matrix<dense<float>>;
using any_code =
    mixed_matrix<dense<float>, dense<f16>, uniform<4, 32, zero_kind::symmetric>, uniform<5, 32, zero_kind::symmetric>,
                 uniform<8, 32, zero_kind::symmetric>, affine<4, 32>>;

/// Blocks of bytes that follow from the name; no f16 among them is infinite.
std::vector<std::byte> named_blocks(std::string const& name, gguf_block_type const& type, std::size_t count) {
    std::vector<std::byte> bytes;
    for (const std::uint64_t bits : named_bits(name, count / type.elements * type.bytes)) {
        const auto b = static_cast<std::byte>(bits >> 56);
        bytes.push_back((b & std::byte{0x7C}) == std::byte{0x7C} ? b & std::byte{0xBF} : b);
    }
    return bytes;
}

/// A model whose matrices are of one type.
void write_blocks(std::filesystem::path const& path, gguf_block_type const& type) {
    const auto c = config_of_32s();
    gguf_writer file = gguf_metadata(c);
    for (auto const& t : make_tensors(c, safetensors_type::f32))
        if (t.shape.size() == 2)
            file.tensor(gguf_name(t.name), t.shape, type.id, named_blocks(t.name, type, count_of(t.shape)));
        else
            file.tensor(gguf_name(t.name), t.shape, 0, t.bytes);
    file.write(path);
}

} // namespace

TEST_CASE("blocks of GGUF stay codes where the type of weight lists a format that holds them, at the same values") {
    const temporary_folder folder;
    for (const std::uint32_t id : {2u, 3u, 6u, 8u, 20u}) {
        auto const& type = *find_gguf_block_type(id);
        CAPTURE(std::string(type.name));
        write_blocks(folder / "model.gguf", type);
        const checkpoint source(folder / "model.gguf");
        const bool is_kept = id != 20; // the levels of IQ4_NL are not listed
        const std::string kind = id == 3 ? "affine" : "uniform";
        for (auto const& t : source.tensors()) {
            if (t.shape.size() != 2) continue;
            CAPTURE(t.name);
            const auto expected = source.load_matrix<floats>(t.name);
            const auto loaded = source.load_matrix<any_code>(t.name);
            bool is_same = true;
            for (std::size_t r = 0; r < expected.rows(); ++r)
                for (std::size_t c = 0; c < expected.cols(); ++c)
                    is_same = is_same && loaded.value(r, c) == expected.value(r, c);
            CHECK(is_same);
            CHECK(loaded.format_name() ==
                  (is_kept ? kind + std::string(type.name.substr(1, 1)) + (id == 3 ? "-g32" : "-g32-sym") : "f32"));
            const auto form = source.form_of<any_code>(t.name);
            CHECK(form.bytes == loaded.bytes());
            CHECK(form.is_float == !is_kept);
            CHECK_FALSE(form.is_borrowed);
            CHECK(source.form_of<floats>(t.name).bytes == expected.bytes());
        }
    }
}

TEST_CASE("rows of q and k lie in the order of their heads in codes too") {
    const temporary_folder folder;
    auto const& type = *find_gguf_block_type(8);
    write_blocks(folder / "model.gguf", type);
    const checkpoint source(folder / "model.gguf");
    for (const char* name : {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.v_proj.weight"}) {
        const auto loaded = source.load_matrix<any_code>(name);
        std::vector<float> stored(loaded.rows() * 64);
        const auto blocks = named_blocks(name, type, stored.size());
        type.decode(blocks.data(), stored.size() / 32, stored.data());
        for (std::size_t r = 0; r < loaded.rows(); ++r) {
            const std::size_t in_head = r % 16; // row 8j + i of a head is stored as 2i + j
            const std::size_t at = name[25] == 'q' ? r - in_head + 2 * (in_head % 8) + in_head / 8 : r;
            CHECK(loaded.value(r, 5) == stored[at * 64 + 5]);
        }
    }
}

TEST_CASE("how a matrix will be loaded is known before it is: 16 bits stay, borrowed or not; others become floats") {
    const temporary_folder folder;
    const auto c = config_of_32s();
    write_gguf(folder / "model.gguf", c, make_tensors(c, safetensors_type::f16));
    const checkpoint source(folder / "model.gguf");
    const std::string up = "model.layers.0.mlp.up_proj.weight", q = "model.layers.0.self_attn.q_proj.weight";
    CHECK(source.form_of<any_code>(up).bytes == 2 * 96 * 64);
    CHECK(source.form_of<any_code>(up).is_borrowed);
    CHECK_FALSE(source.form_of<any_code>(up).is_float);
    CHECK_FALSE(source.form_of<any_code>(q).is_borrowed); // its rows are not in order
    CHECK(source.form_of<floats>(up).bytes == 4 * 96 * 64);
    CHECK(source.form_of<floats>(up).is_float);
    CHECK_FALSE(source.form_of<floats>(up).is_borrowed);
}

TEST_CASE("a model in several GGUF files is the model in one") {
    const temporary_folder folder;
    const auto c = config_of_32s();
    const auto tensors = make_tensors(c, safetensors_type::f16);
    write_gguf(folder / "whole.gguf", c, tensors);
    const auto name = [](int k) { return "m-0000" + std::to_string(k + 1) + "-of-00002.gguf"; };
    for (int k = 0; k < 2; ++k) {
        gguf_writer file = k == 0 ? gguf_metadata(c) : gguf_writer();
        file.number("split.no", static_cast<std::uint32_t>(k));
        file.number("split.count", 2);
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            auto const& t = tensors[i];
            const bool is_pair = t.name.ends_with("q_proj.weight") || t.name.ends_with("k_proj.weight");
            if (i % 2 == static_cast<std::size_t>(k))
                file.tensor(gguf_name(t.name), t.shape, 1, is_pair ? interleave_heads(t, c.block.head_dim) : t.bytes);
        }
        file.write(folder / name(k));
    }
    const checkpoint whole(folder / "whole.gguf"), parts(folder / name(0));
    CHECK(parts.files() == std::vector{folder / name(0), folder / name(1)});
    CHECK(parts.config() == whole.config());
    REQUIRE(parts.tensors().size() == whole.tensors().size());
    for (auto const& t : parts.tensors()) {
        CAPTURE(t.name);
        if (t.shape.size() == 1) {
            CHECK(parts.load_vector(t.name) == whole.load_vector(t.name));
            continue;
        }
        const auto one = whole.load_matrix<floats>(t.name), other = parts.load_matrix<floats>(t.name);
        CHECK(std::memcmp(one.data(), other.data(), one.bytes()) == 0);
    }
    const auto place = [&](std::string const& tensor) {
        for (auto const& t : parts.tensors())
            if (t.name == tensor) return t.file;
        return std::filesystem::path();
    };
    CHECK(place(tensors[1].name) == folder / name(1));
    CHECK(place(tensors[2].name) == folder / name(0));
    std::filesystem::remove(folder / name(1));
    CHECK_THROWS_WITH_AS(checkpoint(folder / name(0)), doctest::Contains("1 of the 2 parts of this model is missing"),
                         io_error);
}
