#include "bitlens/io/gguf.hpp"

#include "bitlens/io/npz.hpp"
#include "files.hpp"

#include <array>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
using files::le;

namespace {

std::string text(std::string_view s) { return le(std::uint64_t{s.size()}) + std::string(s); }

std::string pair(std::string_view key, gguf_type type, std::string const& value) {
    return text(key) + le(type) + value;
}

std::string array(gguf_type element, std::uint64_t count, std::string const& elements) {
    return le(element) + le(count) + elements;
}

std::string tensor(std::string_view name, std::vector<std::uint64_t> const& dims, std::uint32_t type,
                   std::uint64_t offset) {
    std::string bytes = text(name) + le(static_cast<std::uint32_t>(dims.size()));
    for (const auto d : dims) bytes += le(d);
    return bytes + le(type) + le(offset);
}

/// A whole file: header, padding to `unit`, data.
std::string whole(std::vector<std::string> const& values, std::vector<std::string> const& tensors,
                  std::string const& data = "", std::size_t unit = 32, std::uint32_t version = 3) {
    std::string bytes = "GGUF" + le(version) + le(std::uint64_t{tensors.size()}) + le(std::uint64_t{values.size()});
    for (auto const& v : values) bytes += v;
    for (auto const& t : tensors) bytes += t;
    bytes.append((unit - bytes.size() % unit) % unit, '\0');
    return bytes + data;
}

/// What opening a file of these bytes says.
std::string opening(std::string const& bytes) {
    const test::temporary_folder folder;
    const auto path = folder.write("m.gguf", bytes);
    return files::error_of([&] { gguf_file file(path); });
}

#define CHECK_OPENING(bytes, ...) CHECK(files::missing(opening(bytes), {"m.gguf: ", __VA_ARGS__}) == "")

const std::string architecture = pair("general.architecture", gguf_type::string, text("llama"));

/// spec quantization.md, KAT-C1
const std::string known_answer = [] {
    std::string bytes = files::from_hex("474755460300000001000000000000000300000000000000140000000000000067656e6572616c"
                                        "2e6172636869746563747572650800000005"
                                        "000000000000006c6c616d61110000000000000067656e6572616c2e616c69676e6d656e740400"
                                        "000020000000010000000000000061090000"
                                        "00050000000200000000000000ffffffff020000000800000000000000742e7765696768740200"
                                        "000020000000000000000200000000000000"
                                        "020000000000000000000000000000000000000000");
    for (int i = 0; i < 36; ++i) bytes += static_cast<char>(i);
    return bytes + std::string(28, '\0');
}();

} // namespace

TEST_CASE("the known file opens: metadata, tensor, shape, bytes (KAT-C1)") {
    REQUIRE(known_answer.size() == 256);
    CHECK(known_answer == whole({architecture, pair("general.alignment", gguf_type::uint32, le(std::uint32_t{32})),
                                 pair("a", gguf_type::array, array(gguf_type::int32, 2, le(-1) + le(2)))},
                                {tensor("t.weight", {32, 2}, 2, 0)}, known_answer.substr(192)));
    const test::temporary_folder folder;
    const gguf_file file(folder.write("known.gguf", known_answer));
    CHECK(file.version() == 3);
    CHECK(file.metadata().size() == 3);
    CHECK(file.required<std::string>("general.architecture") == "llama");
    CHECK(file.required<std::size_t>("general.alignment") == 32);
    CHECK(file.required<std::vector<int>>("a") == std::vector{-1, 2});
    gguf_tensor const& t = file.tensor("t.weight");
    CHECK(t.type->name == "Q4_0");
    CHECK(t.rows() == 2);
    CHECK(t.cols() == 32);
    CHECK(t.shape() == std::vector<std::size_t>{2, 32});
    CHECK(as_text(t.bytes) == known_answer.substr(192, 36));
    matrix<float> y(2, 32), last(1, 32);
    file.decode_rows(t, 0, 2, y);
    // d = 0x0100 = 2⁻¹⁶, first byte 2: codes 2 and 0
    CHECK(y(0, 0) == -6 * 0x1p-16f);
    CHECK(y(0, 16) == -8 * 0x1p-16f);
    file.decode_rows(t, 1, 1, last);
    CHECK(std::ranges::equal(last.row(0), y.row(1)));
}

TEST_CASE("a GGUF file cut after any byte is refused") {
    for (std::size_t size = 0; size < known_answer.size(); ++size) {
        CAPTURE(size);
        CHECK_OPENING(known_answer.substr(0, size), "");
    }
}

TEST_CASE("a GGUF file with any one byte changed opens or is refused, never worse") {
    const test::temporary_folder folder;
    for (std::size_t place = 0; place < 192; ++place)
        for (const int flip : {0x01, 0x80, 0xFF}) {
            const char changed = static_cast<char>(known_answer[place] ^ flip);
            const auto path = folder.write("m.gguf", files::with(known_answer, place, {&changed, 1}));
            try {
                const gguf_file file(path);
                for (auto const& t : file.tensors())
                    if (t.type->decode) {
                        matrix<float> y(t.rows(), t.cols());
                        file.decode_rows(t, 0, t.rows(), y);
                    }
            } catch (format_error const&) {
            }
        }
}

TEST_CASE("what is wrong in the head of a GGUF file is named") {
    CHECK_OPENING("GGML" + known_answer.substr(4), "magic");
    CHECK_OPENING(files::with(known_answer, 4, le(std::uint32_t{1})), "version", "1 was found");
    CHECK_OPENING(files::with(known_answer, 4, le(std::uint32_t{4})), "version", "4 was found");
    CHECK_OPENING(files::with(known_answer, 4, le(std::uint32_t{0})), "version", "0 was found");
    CHECK_OPENING(files::with(known_answer, 4, le(std::uint32_t{0x03000000})), "version", "3 in big-endian");
    for (const std::uint64_t count :
         {std::uint64_t{4}, std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        CHECK_OPENING(files::with(known_answer, 8, le(count)), "tensor");
        CHECK_OPENING(files::with(known_answer, 16, le(count)), "");
    }
    CHECK(opening(whole({architecture}, {}, "", 32, 2)) == "nothing was thrown");
}

TEST_CASE("what is wrong in the metadata is named by its key") {
    const auto one = [](std::string const& value) { return whole({value}, {}); };
    const std::uint64_t huge[] = {std::uint64_t{1} << 30, (std::uint64_t{1} << 30) + 1, std::uint64_t{1} << 63,
                                  ~std::uint64_t{0}};
    for (const std::uint64_t n : huge) {
        CHECK_OPENING(one(le(n) + "key"), "key 0");
        CHECK_OPENING(one(text("k") + le(gguf_type::string) + le(n)), "\"k\"");
        CHECK_OPENING(one(text("k") + le(gguf_type::array) + array(gguf_type::uint8, n, "")), "\"k\"");
        CHECK_OPENING(one(text("k") + le(gguf_type::array) + array(gguf_type::float64, n, "")), "\"k\"");
        CHECK_OPENING(one(text("k") + le(gguf_type::array) + array(gguf_type::string, n, "")), "\"k\"");
        CHECK_OPENING(one(text("k") + le(gguf_type::array) + array(gguf_type::string, 1, le(n))), "\"k\"");
    }
    CHECK_OPENING(one(text("") + le(gguf_type::uint8) + "a"), "key 0", "1 to 65535");
    CHECK_OPENING(one(text(std::string(65536, 'k')) + le(gguf_type::uint8) + "a"), "key 0", "65536 bytes");
    CHECK_OPENING(one(text(std::string_view("a\0b", 3)) + le(gguf_type::uint8) + "a"), "key 0", "a\\x00b");
    CHECK_OPENING(one(text("\xFF") + le(gguf_type::uint8) + "a"), "key 0", "\\xff");
    CHECK_OPENING(one(text("k") + le(std::uint32_t{13}) + "a"), "\"k\"", "13 is no type");
    CHECK_OPENING(one(text("k") + le(~std::uint32_t{0}) + "a"), "\"k\"", "no type");
    CHECK_OPENING(one(text("k") + le(gguf_type::array) + array(gguf_type::array, 0, "")), "\"k\"", "array of arrays");
    CHECK_OPENING(one(text("k") + le(gguf_type::array) + le(std::uint32_t{99}) + le(std::uint64_t{0})), "\"k\"", "99");
    CHECK_OPENING(one(text("k") + le(gguf_type::boolean) + "\2"), "\"k\"", "neither 0 nor 1");
    CHECK_OPENING(one(text("k") + le(gguf_type::string) + text("\xC0\x80")), "\"k\"", "UTF-8");
    CHECK_OPENING(whole({architecture, architecture}, {}), "\"general.architecture\"", "twice");
    CHECK_OPENING(one(pair("split.count", gguf_type::uint16, le(std::uint16_t{3}))), "\"split.no\" is missing");
    CHECK_OPENING(one(pair("split.count", gguf_type::uint32, le(std::uint32_t{65536}))), "from 0 to 65535", "65536");
    CHECK(opening(one(pair("split.count", gguf_type::uint16, le(std::uint16_t{1})))) == "nothing was thrown");
}

TEST_CASE("what is wrong with the alignment is named") {
    const auto aligned = [](gguf_type type, std::string const& value, std::size_t unit) {
        return whole({pair("general.alignment", type, value)}, {tensor("t", {4}, 0, 0)},
                     std::string(std::max<std::size_t>(unit, 16), '\0'), unit);
    };
    CHECK(opening(aligned(gguf_type::uint32, le(std::uint32_t{64}), 64)) == "nothing was thrown");
    CHECK(opening(aligned(gguf_type::uint32, le(std::uint32_t{1}), 1)) == "nothing was thrown");
    for (const std::uint32_t unit : {0u, 3u, 48u})
        CHECK_OPENING(aligned(gguf_type::uint32, le(unit), 32), "\"general.alignment\"", "power of two");
    CHECK_OPENING(aligned(gguf_type::uint32, le(std::uint32_t{1} << 31), 32), "padding");
    CHECK_OPENING(aligned(gguf_type::uint64, le(std::uint64_t{32}), 32), "\"general.alignment\"", "u32");
    CHECK_OPENING(whole({pair("general.alignment", gguf_type::uint32, le(std::uint32_t{3}))}, {}), "power of two");
}

TEST_CASE("what is wrong with a tensor is named") {
    const auto one = [](std::string const& info, std::size_t data = 64) {
        return whole({architecture}, {info}, std::string(data, '\0'));
    };
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();
    CHECK(opening(one(tensor("t", {16}, 0, 0))) == "nothing was thrown");
    CHECK(opening(one(tensor("t", {}, 0, 0), 32)) == "nothing was thrown");
    CHECK(opening(one(tensor("t", {0, 5}, 0, 0), 0)) == "nothing was thrown");
    CHECK_OPENING(one(tensor("", {16}, 0, 0)), "tensor 0: name");
    CHECK_OPENING(one(tensor(std::string(64, 'n'), {16}, 0, 0)), "tensor 0: name", "64 bytes");
    CHECK_OPENING(one(tensor("t", {1, 1, 1, 1, 16}, 0, 0)), "\"t\"", "5 were found");
    CHECK_OPENING(one(text("t") + le(~std::uint32_t{0})), "\"t\"", "4294967295 were found");
    CHECK_OPENING(one(tensor("t", {16}, 4, 0)), "\"t\"", "type 4");
    CHECK_OPENING(one(tensor("t", {16}, ~std::uint32_t{0}, 0)), "\"t\"", "type 4294967295");
    CHECK_OPENING(one(tensor("t", {16}, 42, 0)), "\"t\"", "Q2_0");
    CHECK_OPENING(one(tensor("t", {16}, 2, 0)), "\"t\"", "cut a block of 32", "Q4_0");
    CHECK_OPENING(one(tensor("t", {most}, 0, 0)), "\"t\"", "2^63 elements");
    CHECK_OPENING(one(tensor("t", {most, 0}, 0, 0)), "\"t\"", "2^63 elements");
    CHECK_OPENING(one(tensor("t", {std::uint64_t{1} << 32, std::uint64_t{1} << 31}, 0, 0)), "\"t\"", "2^63 elements");
    CHECK_OPENING(one(tensor("t", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0)), "\"t\"", "2^63 elements");
    CHECK_OPENING(one(tensor("t", {std::uint64_t{1} << 61, 2}, 0, 0)), "\"t\"", "2^63 bytes");
    CHECK_OPENING(one(tensor("t", {17}, 0, 0)), "\"t\"", "data"); // one element more than there is
    CHECK_OPENING(one(tensor("t", {16}, 0, 0), 63), "\"t\"", "data");
    CHECK_OPENING(one(tensor("t", {12}, 0, 0), 63), "\"t\"", "padding");
    CHECK_OPENING(one(tensor("t", {8}, 0, 32)), "\"t\"", "offset 0 is expected, 32 was found");
    CHECK_OPENING(one(tensor("t", {8}, 0, most)), "\"t\"", "offset 18446744073709551615");
    const auto two = [](std::string_view name, std::uint64_t offset) {
        return whole({}, {tensor("a", {4}, 0, 0), tensor(name, {4}, 0, offset)}, std::string(64, '\0'));
    };
    CHECK(opening(two("b", 32)) == "nothing was thrown");
    CHECK_OPENING(two("b", 16), "\"b\"", "offset 32 is expected, 16 was found");
    CHECK_OPENING(two("b", 0), "\"b\"", "offset 32 is expected, 0 was found");
    CHECK_OPENING(two("a", 32), "\"a\"", "twice");
}

namespace {

/// The file of part `number` of a model in `count`, with a tensor of four numbers each.
std::string part_of(std::uint16_t number, std::uint16_t count, std::vector<std::string> const& names,
                    std::vector<std::string> more = {}, std::int32_t all = 4) {
    more.push_back(pair("split.no", gguf_type::uint16, le(number)));
    more.push_back(pair("split.count", gguf_type::uint16, le(count)));
    more.push_back(pair("split.tensors.count", gguf_type::int32, le(all)));
    std::vector<std::string> tensors;
    std::string data;
    for (auto const& name : names) {
        tensors.push_back(tensor(name, {4}, 0, data.size()));
        for (int i = 0; i < 8; ++i) data += le(static_cast<float>(i < 4 ? 10 * number + i : 0));
    }
    return whole(more, tensors, data);
}

} // namespace

TEST_CASE("the parts of a model are read as one file, the first of them standing for all") {
    const test::temporary_folder folder;
    const auto first = folder.write("m-00001-of-00003.gguf", part_of(0, 3, {"a", "b"}, {architecture}));
    const auto second = folder.write("m-00002-of-00003.gguf", part_of(1, 3, {"c"}));
    const auto third = folder.write("m-00003-of-00003.gguf", part_of(2, 3, {"d"}, {architecture}));
    const gguf_file file(first);
    CHECK(file.path() == first);
    REQUIRE(file.parts().size() == 3);
    CHECK(file.parts()[2]->path() == third);
    CHECK(file.required<std::string>("general.architecture") == "llama");
    REQUIRE(file.tensors().size() == 4);
    CHECK(file.tensor("b").part == 0);
    CHECK(file.mapping(file.tensor("c"))->path() == second);
    matrix<float> y(1, 4);
    file.decode_rows(file.tensor("d"), 0, 1, y);
    CHECK(y(0, 3) == 23);
    file.decode_rows(file.tensor("c"), 0, 1, y);
    CHECK(y(0, 0) == 10);
    CHECK_REFUSED(gguf_file(second), "m-00002-of-00003.gguf: this is part 2 of 3 of a model; the first, ",
                  "m-00001-of-00003.gguf, is expected");
}

TEST_CASE("parts that are missing, misnamed, or of another model are told") {
    const test::temporary_folder folder;
    const auto first = folder.write("m-00001-of-00003.gguf", part_of(0, 3, {"a", "b"}, {architecture}));
    CHECK_THROWS_TEXT(gguf_file(first), io_error, "2 of the 3 parts of this model are missing in the folder: ",
                      "\"m-00002-of-00003.gguf\", \"m-00003-of-00003.gguf\"");
    folder.write("m-00003-of-00003.gguf", part_of(2, 3, {"d"}));
    CHECK_THROWS_TEXT(gguf_file(first), io_error,
                      "1 of the 3 parts of this model is missing in the folder: ", "\"m-00002-of-00003.gguf\"");
    const auto with_second = [&](std::string const& bytes) {
        folder.write("m-00002-of-00003.gguf", bytes);
        return files::error_of([&] { gguf_file file(first); });
    };
    CHECK(with_second(part_of(1, 3, {"c"})) == "nothing was thrown");
    const auto names = [&](std::string const& bytes, std::initializer_list<std::string_view> words) {
        return files::missing(with_second(bytes), words);
    };
    CHECK(names(part_of(2, 3, {"c"}), {"m-00002-of-00003.gguf: part 2 of 3 is expected"}) == "");
    CHECK(names(part_of(1, 4, {"c"}), {"m-00002-of-00003.gguf: part 2 of 3 is expected"}) == "");
    CHECK(names(whole({}, {}), {"m-00002-of-00003.gguf: part 2 of 3 is expected"}) == "");
    CHECK(names(part_of(1, 3, {"a"}), {"m-00001-of-00003.gguf: tensor \"a\" occurs in two of its parts"}) == "");
    CHECK(names(part_of(1, 3, {"c", "e"}),
                {"\"split.tensors.count\": 4 tensors are expected, 5 were found in 3 parts"}) == "");
    CHECK(names(part_of(1, 3, {}), {"4 tensors are expected, 3 were found"}) == "");
    CHECK(names(part_of(1, 3, {"c"}, {pair("general.architecture", gguf_type::string, text("qwen2"))}),
                {"m-00002-of-00003.gguf: key \"general.architecture\": the first part, ", "has another value"}) == "");
    CHECK(names(part_of(1, 3, {"c"}, {pair("odd", gguf_type::uint8, "a")}), {"key \"odd\"", "lacks it"}) == "");
    CHECK(names(part_of(1, 3, {"c"}, {}, 5), {"\"split.tensors.count\"", "has another value"}) == "");
    CHECK(names("GGUF", {"m-00002-of-00003.gguf: version"}) == "");

    const auto single = [&](std::string const& name, std::uint16_t number) {
        const auto path = folder.write(name, part_of(number, 3, {"a", "b"}, {architecture}));
        return files::error_of([&] { gguf_file file(path); });
    };
    for (const char* name : {"other.gguf", "m-00001-of-00004.gguf", "-00001-of-00003.gguf", "m-1-of-3.gguf"})
        CHECK(files::missing(single(name, 0), {name, "key \"split.no\": this is part 1 of 3 of a model, whose name "
                                                     "would end with \"-00001-of-00003.gguf\""}) == "");
    CHECK(files::missing(single("n-00001-of-00003.gguf", 1), {"would end with \"-00002-of-00003.gguf\""}) == "");
    CHECK(files::missing(single("n-00004-of-00003.gguf", 3), {"this is part 4 of 3"}) == "");
}

TEST_CASE("types that have no decoder are listed, and decoding them is refused by name") {
    const test::temporary_folder folder;
    const gguf_file file(folder.write("m.gguf", whole({}, {tensor("t", {256, 1}, 22, 0)}, std::string(96, '\0'))));
    gguf_tensor const& t = file.tensor("t");
    CHECK(t.type->name == "IQ2_S");
    CHECK(t.bytes.size() == 82);
    matrix<float> y(1, 256);
    CHECK_REFUSED(file.decode_rows(t, 0, 1, y), "m.gguf", "\"t\"", "IQ2_S");
}

TEST_CASE("every kind of metadata as the gguf package writes it") {
    const gguf_file file(std::string(BITLENS_TEST_DATA) + "/io/every_kind.gguf");
    CHECK(file.required<int>("kind.u8") == 200);
    CHECK(file.required<int>("kind.i8") == -100);
    CHECK(file.required<std::uint16_t>("kind.u16") == 60000);
    CHECK(file.required<std::int64_t>("kind.i16") == -30000);
    CHECK(file.required<std::uint64_t>("kind.u32") == 4000000000u);
    CHECK(file.required<std::int32_t>("kind.i32") == -2000000000);
    CHECK(file.required<float>("kind.f32") == 0.1f);
    CHECK(file.required<double>("kind.f32") == double{0.1f});
    CHECK(file.required<double>("kind.f64") == 0.1);
    CHECK(file.required<bool>("kind.bool"));
    CHECK(file.required<std::string_view>("kind.string") == "grüße");
    CHECK(file.required<std::uint64_t>("kind.u64") == (std::uint64_t{1} << 63) + 5);
    CHECK(file.required<std::int64_t>("kind.i64") == -(std::int64_t{1} << 62));
    CHECK(file.required<std::vector<std::string_view>>("kind.strings") ==
          std::vector<std::string_view>{"a", "ü", "long piece of text"});
    CHECK(file.required<std::vector<float>>("kind.floats") == std::vector{.5f, 1.5f});
    CHECK(file.required<std::vector<std::int64_t>>("kind.ints") == std::vector<std::int64_t>{3, -4});
    CHECK(file.if_present<int>("kind.u8") == 200);
    CHECK(file.if_present<int>("absent") == std::nullopt);

    CHECK_REFUSED(file.required<int>("absent"), "every_kind.gguf", "\"absent\"", "missing");
    CHECK_REFUSED(file.required<std::uint32_t>("kind.i8"), "\"kind.i8\"", "-100 was found");
    CHECK_REFUSED(file.required<std::int32_t>("kind.u32"), "\"kind.u32\"", "4000000000 was found");
    CHECK_REFUSED(file.required<std::int64_t>("kind.u64"), "\"kind.u64\"");
    CHECK_REFUSED(file.required<int>("kind.f32"), "\"kind.f32\"", "an integer is expected, f32 was found");
    CHECK_REFUSED(file.required<int>("kind.bool"), "\"kind.bool\"", "bool was found");
    CHECK_REFUSED(file.required<bool>("kind.u8"), "\"kind.u8\"", "bool is expected, u8 was found");
    CHECK_REFUSED(file.required<float>("kind.u8"), "\"kind.u8\"", "a float is expected, u8 was found");
    CHECK_REFUSED(file.required<float>("kind.string"), "\"kind.string\"", "string was found");
    CHECK_REFUSED(file.required<std::string>("kind.u8"), "\"kind.u8\"", "a string is expected");
    CHECK_REFUSED(file.required<int>("kind.ints"), "\"kind.ints\"", "a single value is expected, an array of");
    CHECK_REFUSED(file.required<std::vector<int>>("kind.u8"), "\"kind.u8\"", "an array is expected");
    CHECK_REFUSED(file.required<std::vector<int>>("kind.strings"), "\"kind.strings\"", "an array of string was found");
    CHECK_REFUSED(file.required<std::vector<std::string>>("kind.ints"), "\"kind.ints\"", "array of strings");
    CHECK_REFUSED(file.required<std::vector<std::uint32_t>>("kind.ints"), "\"kind.ints\"", "-4 was found");
    CHECK_REFUSED(file.required<std::vector<int>>("kind.floats"), "\"kind.floats\"", "array of f32");

    CHECK(file.tensor("f32.weight").shape() == std::vector<std::size_t>{2, 3});
    CHECK_REFUSED(file.tensor("absent.weight"), "every_kind.gguf", "\"absent.weight\"");
    matrix<float> y(2, 3), h(2, 4), q(2, 512);
    file.decode_rows(file.tensor("f32.weight"), 0, 2, y);
    file.decode_rows(file.tensor("f16.weight"), 0, 2, h);
    for (std::size_t i = 0; i < 6; ++i) CHECK(y.span()[i] == static_cast<float>(i));
    for (std::size_t i = 0; i < 8; ++i) CHECK(h.span()[i] == static_cast<float>(i));
    file.decode_rows(file.tensor("q4.weight"), 0, 2, q);
    const npz_reader goldens(std::string(BITLENS_TEST_DATA) + "/io/gguf_blocks.npz");
    CHECK(std::ranges::equal(q.span(), goldens.array("Q4_K_values").values<float>()));
}

TEST_CASE("the vocabulary file of llama.cpp opens") {
    const std::filesystem::path path =
        std::string(BITLENS_SHARED_DATA) + "/tokenizers/llama-2/ggml-vocab-llama-spm.gguf";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: ../shared/data is absent");
        return;
    }
    const gguf_file file(path);
    CHECK(file.tensors().empty());
    CHECK(file.required<std::string>("tokenizer.ggml.model") == "llama");
    const auto tokens = file.required<std::vector<std::string_view>>("tokenizer.ggml.tokens");
    REQUIRE(tokens.size() == 32000);
    CHECK(tokens[1] == "<s>");
    CHECK(file.required<std::vector<float>>("tokenizer.ggml.scores").size() == 32000);
}
