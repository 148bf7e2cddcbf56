#include "bitlens/io/safetensors.hpp"

#include "bitlens/io/safetensors_writer.hpp"
#include "files.hpp"

#include <cstring>
#include <ctime>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

/// A whole file with this header and as many bytes of data.
std::string safetensors_bytes(std::string const& header, std::size_t data) {
    return files::le(std::uint64_t{header.size()}) + header + std::string(data, '\1');
}

std::string refusal_of(std::string const& bytes) {
    const test::temporary_folder folder;
    const auto path = folder.write("m.safetensors", bytes);
    return files::error_of([&] { safetensors_file file(path); });
}

#define CHECK_REFUSAL(bytes, ...) CHECK(files::missing(refusal_of(bytes), {"m.safetensors: ", __VA_ARGS__}) == "")

const std::string known_header =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[1,1],"data_offsets":[8,10]}})";
/// spec quantization.md, KAT-S1
const std::string known_file =
    files::from_hex("9000000000000000") + known_header + "   " + files::from_hex("0000c03f000000c00038");

} // namespace

TEST_CASE("the known file is read and written byte by byte (KAT-S1)") {
    REQUIRE(known_file.size() == 162);
    const test::temporary_folder folder;
    const safetensors_file file(folder.write("m.safetensors", known_file));
    CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
    REQUIRE(file.tensors().size() == 2);
    safetensors_tensor const& a = file.tensor("a");
    CHECK(a.type == safetensors_type::f32);
    CHECK(a.shape == std::vector<std::size_t>{2});
    CHECK(load<float>(a.bytes.data()) == 1.5f);
    CHECK(load<float>(a.bytes.data() + 4) == -2.f);
    safetensors_tensor const& b = file.tensor("b");
    CHECK(b.shape == std::vector<std::size_t>{1, 1});
    CHECK(b.size() == 1);
    CHECK(load<std::uint16_t>(b.bytes.data()) == 0x3800);
    CHECK(file.find("c") == nullptr);
    CHECK_REFUSED(file.tensor("c"), "m.safetensors", "\"c\"");

    write_safetensors(folder / "again", {{"b", b.type, b.shape, b.bytes}, {"a", a.type, a.shape, a.bytes}},
                      file.metadata());
    CHECK(test::read_bytes(folder / "again") == known_file);
}

TEST_CASE("a safetensors file cut after any byte, or longer by one, is refused") {
    for (std::size_t size = 0; size < known_file.size(); ++size) {
        CAPTURE(size);
        CHECK_REFUSAL(known_file.substr(0, size), "");
    }
    CHECK_REFUSAL(known_file + '\0', "1 bytes follow the last tensor");
}

TEST_CASE("the reference library's file reads alike and is written alike") {
    const std::filesystem::path path = std::string(BITLENS_TEST_DATA) + "/io/arrays.safetensors";
    const safetensors_file file(path);
    CHECK(file.tensors().size() == 6);
    CHECK(file.tensor("scalar").shape.empty());
    CHECK(load<std::int32_t>(file.tensor("scalar").bytes.data()) == 7);
    CHECK(file.tensor("empty").shape == std::vector<std::size_t>{0, 4});
    CHECK(file.tensor("empty").bytes.empty());
    CHECK(file.tensor("mask").type == safetensors_type::boolean);
    std::vector<safetensors_entry> entries;
    for (auto const& t : file.tensors()) entries.push_back({t.name, t.type, t.shape, t.bytes});
    const test::temporary_folder folder;
    write_safetensors(folder / "again", entries, file.metadata());
    CHECK(test::read_bytes(folder / "again") == test::read_bytes(path));
}

TEST_CASE("what is wrong in the header is named") {
    for (const std::uint64_t n : {std::uint64_t{100'000'001}, std::uint64_t{1} << 63, ~std::uint64_t{0}})
        CHECK_REFUSAL(files::with(known_file, 0, files::le(n)), "header length", std::to_string(n));
    CHECK_REFUSAL(files::with(known_file, 0, files::le(std::uint64_t{155})), "header"); // more than is left
    CHECK_REFUSAL(safetensors_bytes("", 0), "header");
    CHECK_REFUSAL(safetensors_bytes(" {}", 0), "must begin with {");
    CHECK_REFUSAL(safetensors_bytes("[]", 0), "must begin with {");
    CHECK_REFUSAL(safetensors_bytes("{\"a\":\"\xFF\"}", 0), "no valid JSON");
    CHECK_REFUSAL(safetensors_bytes("{}x", 0), "no valid JSON");
    CHECK_REFUSAL(safetensors_bytes(R"({"__metadata__":[]})", 0), "__metadata__");
    CHECK_REFUSAL(safetensors_bytes(R"({"__metadata__":{"k":1}})", 0), "__metadata__", "\"k\"", "a string is expected");
    CHECK_REFUSAL(safetensors_bytes("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", 0),
                  "nested deeper");
    CHECK(refusal_of(safetensors_bytes("{}", 0)) == "nothing was thrown");
    CHECK(refusal_of(safetensors_bytes(R"({"__metadata__":{}}   )", 0)) == "nothing was thrown");
}

TEST_CASE("what is wrong with a tensor of a safetensors file is named") {
    const auto one = [](std::string const& entry, std::size_t data = 8) {
        return safetensors_bytes("{\"t\":" + entry + "}", data);
    };
    const auto shaped = [&](std::string const& shape, std::string const& offsets, std::size_t data = 8) {
        return one(R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}", data);
    };
    CHECK(refusal_of(shaped("[2]", "[0,8]")) == "nothing was thrown");
    CHECK(refusal_of(shaped("[]", "[0,4]", 4)) == "nothing was thrown");
    CHECK(refusal_of(shaped("[7,0]", "[0,0]", 0)) == "nothing was thrown");
    CHECK_REFUSAL(one("[]"), "\"t\"", "an object is expected");
    CHECK_REFUSAL(one(R"({"dtype":"F32","shape":[2]})"), "\"t\"", "exactly dtype, shape and data_offsets");
    CHECK_REFUSAL(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})"), "\"t\"", "4 keys");
    CHECK_REFUSAL(one(R"({"dtype":"F32","shape":[2],"offsets":[0,8]})"), "\"t\"", "data_offsets", "missing");
    CHECK_REFUSAL(one(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})"), "\"t\"", "dtype", "F33");
    CHECK_REFUSAL(one(R"({"dtype":1,"shape":[2],"data_offsets":[0,8]})"), "\"t\"", "dtype");
    CHECK_REFUSAL(one(R"({"dtype":"F4","shape":[3],"data_offsets":[0,1]})", 1), "\"t\"", "no possible number");
    CHECK(refusal_of(one(R"({"dtype":"F4","shape":[4],"data_offsets":[0,2]})", 2)) == "nothing was thrown");
    CHECK_REFUSAL(shaped("2", "[0,8]"), "\"t\"", "shape");
    CHECK_REFUSAL(shaped("[-2]", "[0,8]"), "\"t\"", "shape[0]", "-2 was found");
    CHECK_REFUSAL(shaped("[2.0]", "[0,8]"), "\"t\"", "shape[0]");
    CHECK_REFUSAL(shaped("[\"2\"]", "[0,8]"), "\"t\"", "shape[0]");
    CHECK_REFUSAL(shaped("[1e999]", "[0,8]"), "no valid JSON");
    CHECK_REFUSAL(shaped("[18446744073709551616]", "[0,8]"), "\"t\"", "shape[0]");
    CHECK_REFUSAL(shaped("[4294967296,4294967296]", "[0,8]"), "\"t\"", "no possible number");
    CHECK_REFUSAL(shaped("[4611686018427387904]", "[0,0]"), "\"t\"", "no possible number"); // × 32 bits wraps to 0
    CHECK_REFUSAL(shaped("[3]", "[0,8]"), "\"t\"", "needs 12");
    CHECK_REFUSAL(shaped("[2]", "[0]"), "\"t\"", "data_offsets");
    CHECK_REFUSAL(shaped("[2]", "[0,8,8]"), "\"t\"", "data_offsets");
    CHECK_REFUSAL(shaped("[2]", "[8,0]"), "\"t\"", "data_offsets", "(8, 0) was found");
    CHECK_REFUSAL(shaped("[2]", "[0,9]"), "\"t\"", "data_offsets");
    CHECK_REFUSAL(shaped("[2]", "[18446744073709551608,18446744073709551615]"), "\"t\"", "data_offsets");
    CHECK_REFUSAL(shaped("[1]", "[4,8]"), "\"t\"", "hole");
    CHECK_REFUSAL(shaped("[1]", "[0,4]"), "4 bytes follow the last tensor");

    const auto two = [](std::string const& second, std::string const& name = "u") {
        const std::string entry = R"({"dtype":"U8","shape":[4],"data_offsets":)";
        return safetensors_bytes("{\"t\":" + entry + "[0,4]},\"" + name + "\":" + entry + second + "}}", 8);
    };
    CHECK(refusal_of(two("[4,8]")) == "nothing was thrown");
    CHECK_REFUSAL(two("[0,4]"), "\"u\"", "overlap");
    CHECK_REFUSAL(two("[3,7]"), "\"u\"", "overlap");
    CHECK_REFUSAL(two("[4,8]", "t"), "\"t\"", "twice");
    CHECK_REFUSAL(two("[4,8]", ""), "may not be empty");
    CHECK_REFUSAL(two("[4,8]", "a\\u0000b"), "a\\x00b");
}

TEST_CASE("a folder is read from one file or from the shards of its index") {
    const test::temporary_folder folder;
    CHECK_THROWS_TEXT(safetensors_folder(folder.path()), io_error, "neither model.safetensors nor");
    const std::vector<float> x{1, 2, 3};
    const auto write = [&](std::string const& file, std::string const& tensor) {
        write_safetensors(folder / file, {{tensor, safetensors_type::f32, {3}, std::as_bytes(std::span(x))}});
    };
    const auto index = [&](std::string const& map) {
        folder.write("model.safetensors.index.json", R"({"metadata":{"total_size":24},"weight_map":)" + map + "}");
    };
    write("model-00001-of-00002.safetensors", "a");
    write("model-00002-of-00002.safetensors", "b");
    index(R"({"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"})");
    {
        const safetensors_folder model(folder.path());
        REQUIRE(model.tensors().size() == 2);
        CHECK(model.tensor("b").size() == 3);
        CHECK(model.tensors()[1].tensor == &model.tensor("b"));
        CHECK(model.tensors()[1].file->path().filename() == "model-00002-of-00002.safetensors");
        CHECK_REFUSED(model.tensor("c"), folder.path().string(), "\"c\"");
    }
    const auto refused = [&](std::string const& map) {
        index(map);
        return files::error_of([&] { safetensors_folder model(folder.path()); });
    };
    for (const std::string_view name : {"../x.safetensors", "/etc/passwd", "a\\\\b", "..", "", "sub/x", "x\\u0000"}) {
        CAPTURE(name);
        CHECK(files::missing(refused("{\"a\":\"" + std::string(name) + "\"}"),
                             {"weight_map", "\"a\"", "this folder"}) == "");
    }
    CHECK(files::missing(refused(R"({"a":1})"), {"weight_map", "\"a\"", "a string"}) == "");
    CHECK(files::missing(refused("[]"), {"weight_map", "an object"}) == "");
    CHECK(files::missing(refused(R"({"b":"model-00001-of-00002.safetensors"})"), {"00001", "no tensor \"b\""}) == "");
    CHECK(files::missing(refused(R"({"b":"model-00002-of-00002.safetensors","c":"model-00002-of-00002.safetensors"})"),
                         {"00002", "\"c\""}) == "");
    write_safetensors(folder / "model-00001-of-00002.safetensors",
                      {{"a", safetensors_type::f32, {3}, std::as_bytes(std::span(x))},
                       {"b", safetensors_type::f32, {3}, std::as_bytes(std::span(x))}});
    CHECK(files::missing(refused(R"({"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"})"),
                         {"00001", "\"b\"", "not given to this file"}) == "");
    index(R"({"a":"absent.safetensors"})");
    CHECK_THROWS_TEXT(safetensors_folder(folder.path()), io_error, "absent.safetensors", "missing", "\"a\"");

    write("model.safetensors", "only"); // wins over the index, as in transformers
    CHECK(safetensors_folder(folder.path()).find("only") != nullptr);
}

TEST_CASE("the time of a folder is in proportion to its tensors, and does not grow with its shards") {
    constexpr std::size_t shards = 400, tensors_of_each = 250;
    const test::temporary_folder folder;
    std::string map;
    for (std::size_t s = 0; s < shards; ++s) {
        const std::string file = "shard-" + std::to_string(s) + ".safetensors";
        std::vector<safetensors_entry> entries;
        for (std::size_t t = 0; t < tensors_of_each; ++t) {
            const std::string name = std::to_string(s) + "." + std::to_string(t);
            entries.push_back({name, safetensors_type::f32, {0}, {}});
            map += (map.empty() ? "{\"" : ",\"") + name + "\":\"" + file + "\"";
        }
        write_safetensors(folder / file, entries);
    }
    folder.write("model.safetensors.index.json", R"({"weight_map":)" + map + "}}");
    const safetensors_folder model(folder.path());
    REQUIRE(model.tensors().size() == shards * tensors_of_each);
    const std::clock_t begin = std::clock();
    std::size_t wrong = 0;
    for (auto const& [tensor, file] : model.tensors())
        wrong += model.find(tensor->name) == tensor && file->find(tensor->name) == tensor ? 0u : 1u;
    CHECK(wrong == 0);
    CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 1); // hundredths; through all shards: seconds
}

TEST_CASE("a file of very many tensors is written in time in proportion to them") {
    const test::temporary_folder folder;
    std::vector<safetensors_entry> entries;
    for (int t = 0; t < 100'000; ++t) entries.push_back({std::to_string(t), safetensors_type::f32, {0}, {}});
    const std::clock_t begin = std::clock();
    write_safetensors(folder / "many.safetensors", entries);
    CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 10); // some tenths; quadratic: a minute
    CHECK(safetensors_file(folder / "many.safetensors").tensors().size() == entries.size());
}

TEST_CASE("write_safetensors refuses what it could not read back") {
    const test::temporary_folder folder;
    const std::vector<float> x{1, 2, 3};
    const auto bytes = std::as_bytes(std::span(x));
    CHECK_THROWS_TEXT(write_safetensors(folder / "x", {{"a", safetensors_type::f32, {4}, bytes}}), shape_error,
                      "\"a\"");
    CHECK_REFUSED(write_safetensors(folder / "x", {{"a", safetensors_type::f32, {3}, bytes},
                                                   {"a", safetensors_type::f32, {3}, bytes}}),
                  "\"a\"");
    CHECK_REFUSED(write_safetensors(folder / "x", {{"__metadata__", safetensors_type::f32, {3}, bytes}}), "name");
    CHECK_REFUSED(write_safetensors(folder / "x", {{"\xFF", safetensors_type::f32, {3}, bytes}}), "x: name of a tensor",
                  "UTF-8");
    CHECK_REFUSED(write_safetensors(folder / "x", {}, {{"made by", "\xFF"}}), "x: __metadata__", "UTF-8");
    CHECK(std::filesystem::is_empty(folder.path()));
}
