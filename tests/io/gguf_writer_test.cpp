#include "bitlens/io/gguf_writer.hpp"

#include "bitlens/io/gguf.hpp"
#include "files.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

std::string bytes_in(std::filesystem::path const& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("a GGUF file of the gguf package is written again byte for byte") {
    const std::filesystem::path original = std::string(BITLENS_TEST_DATA) + "/io/every_kind.gguf";
    const gguf_file file(original);
    gguf_values values;
    for (auto const& value : file.metadata()) values.copy(value);
    std::vector<gguf_entry> tensors;
    for (auto const& t : file.tensors()) tensors.push_back({std::string(t.name), t.type, t.shape()});
    const test::temporary_folder folder;
    write_gguf(folder / "again.gguf", values, tensors, [&](std::size_t i) { return file.tensors()[i].bytes; });
    CHECK(bytes_in(folder / "again.gguf") == bytes_in(original));
}

TEST_CASE("metadata set by its C++ type is that of the gguf package") {
    const std::filesystem::path original = std::string(BITLENS_TEST_DATA) + "/io/every_kind.gguf";
    const gguf_file file(original);
    gguf_values values;
    values.set("general.architecture", "llama");
    values.set("kind.u8", std::uint8_t{200});
    values.set("kind.i8", std::int8_t{-100});
    values.set("kind.u16", std::uint16_t{60000});
    values.set("kind.i16", std::int16_t{-30000});
    values.set("kind.u32", std::uint32_t{4000000000u});
    values.set("kind.i32", std::int32_t{-2000000000});
    values.set("kind.f32", 0.1f);
    values.set("kind.bool", false);
    values.set("kind.string", std::string("grüße"));
    values.set("kind.u64", (std::uint64_t{1} << 63) + 5);
    values.set("kind.i64", -(std::int64_t{1} << 62));
    values.set("kind.f64", 0.1);
    values.set("kind.strings", std::vector<std::string>{"a", "ü", "long piece of text"});
    values.set("kind.floats", std::vector{.5f, 1.5f});
    values.set("kind.ints", std::vector<std::int32_t>{3, -4});
    values.set("odd", 1);
    values.set("kind.bool", true); // in its place
    values.erase("odd");
    std::vector<gguf_entry> tensors;
    for (auto const& t : file.tensors()) tensors.push_back({std::string(t.name), t.type, t.shape()});
    const test::temporary_folder folder;
    write_gguf(folder / "again.gguf", values, tensors, [&](std::size_t i) { return file.tensors()[i].bytes; });
    CHECK(bytes_in(folder / "again.gguf") == bytes_in(original));
}

TEST_CASE("what no GGUF file may hold is refused before anything is there") {
    const test::temporary_folder folder;
    const auto path = folder / "m.gguf";
    const std::array<std::byte, 64> zeros{};
    auto const* const f32 = find_gguf_block_type(0);
    auto const* const q4_0 = find_gguf_block_type(2);
    const auto refused = [&]<class Error>(std::type_identity<Error>, std::vector<gguf_entry> const& tensors,
                                          std::size_t bytes, std::string const& key = "k") {
        gguf_values values;
        values.set(key, 1);
        return files::error_of<Error>(
            [&] { write_gguf(path, values, tensors, [&](std::size_t) { return std::span(zeros).first(bytes); }); });
    };
    const std::type_identity<format_error> format;
    const std::type_identity<shape_error> shape;
    CHECK(files::missing(refused(format, {}, 0, ""), {"m.gguf: key \"\""}) == "");
    CHECK(files::missing(refused(format, {}, 0, "a\nb"), {"cannot be a key"}) == "");
    CHECK(files::missing(refused(format, {{std::string(64, 'n'), f32, {1}}}, 4), {"cannot be the name"}) == "");
    CHECK(files::missing(refused(format, {{"t", f32, {1}}, {"t", f32, {1}}}, 4), {"\"t\"", "of its own"}) == "");
    CHECK(files::missing(refused(shape, {{"t", q4_0, {2, 16}}}, 18), {"\"t\"", "whole blocks of 32"}) == "");
    CHECK(files::missing(refused(shape, {{"t", f32, {1, 1, 1, 1, 1}}}, 4), {"\"t\"", "at most 4 dim"}) == "");
    CHECK(files::missing(refused(shape, {{"t", q4_0, {1, 32}}}, 17), {"\"t\"", "17 bytes do not fit Q4_0"}) == "");
    CHECK_FALSE(std::filesystem::exists(path));
    CHECK(refused(shape, {{"t", q4_0, {1, 32}}, {"s", f32, {}}}, 18) != "nothing was thrown");
}

TEST_CASE("tensors lie at the alignment of 32, whatever the metadata came from") {
    const test::temporary_folder folder;
    const std::vector<std::byte> bytes(12, std::byte{7});
    gguf_values values;
    values.set("general.alignment", std::uint32_t{64});
    auto const* const f32 = find_gguf_block_type(0);
    write_gguf(folder / "m.gguf", values, std::vector<gguf_entry>{{"a", f32, {3}}, {"b", f32, {1, 3}}},
               [&](std::size_t) { return std::span<const std::byte>(bytes); });
    const gguf_file file(folder / "m.gguf");
    CHECK(file.metadata().empty());
    CHECK(file.tensor("b").shape() == std::vector<std::size_t>{1, 3});
    CHECK(as_text(file.tensor("b").bytes) == as_text(bytes));
    write_gguf(folder / "n.gguf", {}, {}, [](std::size_t) { return std::span<const std::byte>(); });
    CHECK(bytes_in(folder / "n.gguf").size() == 24);
}
