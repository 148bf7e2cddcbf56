#include "bitlens/io/npz.hpp"

#include "files.hpp"

#include <array>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

const std::vector<float> six{0, 1, 2, 3, 4, 5};
const std::vector<std::int64_t> two{-7, 1LL << 40};
constexpr std::array<std::size_t, 2> two_by_three{2, 3};
constexpr std::array<std::size_t, 1> vector_shape{2};

/// A file of two arrays; `wide_from` as npz_writer has it.
std::string example(test::temporary_folder const& folder, std::uint64_t wide_from = zip::wide_size) {
    npz_writer writer(folder / "example.npz", wide_from);
    writer.add<float>("values", two_by_three, six);
    writer.add<std::int64_t>("grüße/ids", vector_shape, two);
    writer.finish();
    return test::read_bytes(folder / "example.npz");
}

void check_example(std::filesystem::path const& path) {
    const npz_reader reader(path);
    CHECK(reader.names() == std::vector<std::string>{"values", "grüße/ids"});
    const npy_array values = reader.array("values");
    CHECK(values.shape == std::vector<std::size_t>{2, 3});
    CHECK(values.values<float>() == six);
    CHECK(reader.array("grüße/ids").values<std::int64_t>() == two);
    CHECK_FALSE(reader.contains("absent"));
    CHECK_REFUSED(reader.array("absent"), path.string(), "\"absent\"");
}

/// Opens the bytes as an NPZ file and reads every array; what that says.
std::string reading(std::string const& bytes) {
    const test::temporary_folder folder;
    const auto path = folder.write("m.npz", bytes);
    return files::error_of([&] {
        const npz_reader reader(path);
        for (auto const& name : reader.names()) (void)reader.array(name);
    });
}

#define CHECK_READING(bytes, ...) CHECK(files::missing(reading(bytes), {"m.npz: ", __VA_ARGS__}) == "")

/// Where the `n`-th record that begins with `signature` stands.
std::size_t find_record(std::string const& bytes, std::uint32_t signature, std::size_t n = 0) {
    std::size_t place = bytes.find(files::le(signature));
    while (n-- > 0) place = bytes.find(files::le(signature), place + 4);
    REQUIRE(place != std::string::npos);
    return place;
}

} // namespace

TEST_CASE("arrays come back as they were written, in plain zip and in zip64") {
    const test::temporary_folder folder;
    const std::string plain = example(folder);
    check_example(folder / "example.npz");
    CHECK(plain == example(folder));                         // equal arrays, equal bytes
    for (const std::uint64_t wide_from : {0u, 155u, 300u}) { // all wide; the first size; the directory's offset
        CAPTURE(wide_from);
        const std::string wide = example(folder, wide_from);
        CHECK(wide.size() > plain.size());
        check_example(folder / "example.npz");
    }
}

TEST_CASE("an array may be written in pieces") {
    const test::temporary_folder folder;
    const std::string at_once = example(folder);
    npz_writer writer(folder / "pieces.npz");
    writer.begin<float>("values", two_by_three);
    for (const float v : six) writer.append<float>({&v, 1});
    writer.begin<std::int64_t>("grüße/ids", vector_shape);
    writer.append<std::int64_t>(two);
    writer.finish();
    CHECK(test::read_bytes(folder / "pieces.npz") == at_once);
}

TEST_CASE("what does not fit its shape, or has another's name, is not written") {
    const test::temporary_folder folder;
    {
        npz_writer writer(folder / "x.npz");
        CHECK_THROWS_TEXT(writer.add<float>("a", vector_shape, six), shape_error, "x.npz", "\"a\"", "6 values");
        writer.begin<float>("a", vector_shape);
        CHECK_THROWS_TEXT(writer.append<float>(six), shape_error, "\"a", "4 values more");
        CHECK_THROWS_TEXT(writer.finish(), shape_error, "\"a", "2 values fewer");
    }
    {
        npz_writer writer(folder / "x.npz");
        writer.add<float>("a", two_by_three, six);
        CHECK_REFUSED(writer.add<float>("a", two_by_three, six), "\"a\"", "name of its own");
        CHECK_REFUSED(writer.add<float>("\xFF", two_by_three, six), "\"\\xff\"", "65531 bytes of UTF-8");
        CHECK_REFUSED(writer.add<float>(std::string(65532, 'a'), two_by_three, six), "65531 bytes of UTF-8");
    }
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("more than 65535 arrays need zip64") {
    const test::temporary_folder folder;
    npz_writer writer(folder / "many.npz");
    for (int i = 0; i < 65536; ++i) writer.add<bool>(std::to_string(i), {}, std::array{i % 2 != 0});
    writer.finish();
    const npz_reader reader(folder / "many.npz");
    CHECK(reader.names().size() == 65536);
    CHECK(reader.array("65535").values<bool>() == std::vector{true});
}

TEST_CASE("what numpy deflated is read, and damage to it is refused") {
    const std::string path = std::string(BITLENS_TEST_DATA) + "/io/deflated.npz";
    const npz_reader reader(path);
    CHECK(reader.names() == std::vector<std::string>{"zeros", "count"});
    CHECK(reader.array("zeros").shape == std::vector<std::size_t>{100, 7});
    std::vector<std::int64_t> count(1000);
    std::iota(count.begin(), count.end(), 0);
    CHECK(reader.array("count").values<std::int64_t>() == count);

    const std::string bytes = test::read_bytes(path);
    const std::size_t entry = find_record(bytes, zip::central_entry);
    CHECK_READING(files::with(bytes, entry + 16, "\x12\x34"), "\"zeros.npy\"", "checksum");
    CHECK_READING(files::with(bytes, entry + 24, files::le(std::uint32_t{2927})), "\"zeros.npy\"", "size", "more");
    CHECK_READING(files::with(bytes, entry + 24, files::le(std::uint32_t{2929})), "\"zeros.npy\"", "size", "2928");
    CHECK_READING(files::with(bytes, entry + 24, files::le(std::uint32_t{0xFFFFFFF0})), "\"zeros.npy\"", "4294967280");
    CHECK_READING(files::with(bytes, 600, "\xFF\xFF\xFF\xFF"), "\"count.npy\"");
}

TEST_CASE("an NPZ file cut after any byte is refused") {
    const test::temporary_folder folder;
    for (const std::uint64_t wide_from : {std::uint64_t{zip::wide_size}, std::uint64_t{0}}) {
        const std::string bytes = example(folder, wide_from);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            CAPTURE(size);
            CHECK_READING(bytes.substr(0, size), "");
        }
    }
}

TEST_CASE("an NPZ file with any one byte changed is read or refused") {
    const test::temporary_folder folder;
    for (const std::uint64_t wide_from : {std::uint64_t{zip::wide_size}, std::uint64_t{0}}) {
        const std::string bytes = example(folder, wide_from);
        for (std::size_t place = 0; place < bytes.size(); ++place)
            for (const int flip : {0x01, 0x80, 0xFF}) {
                const char changed = static_cast<char>(bytes[place] ^ flip);
                const std::string said = reading(files::with(bytes, place, {&changed, 1}));
                CHECK_MESSAGE(said.find("another error") == std::string::npos, said);
            }
    }
}

TEST_CASE("what is wrong in a zip file is named") {
    const test::temporary_folder folder;
    const std::string bytes = example(folder);
    CHECK(reading(bytes) == "nothing was thrown");
    const std::size_t first = find_record(bytes, zip::central_entry),
                      second = find_record(bytes, zip::central_entry, 1), end = find_record(bytes, zip::end_record),
                      local = find_record(bytes, zip::local_entry, 1);
    const auto u16 = [](int n) { return files::le(static_cast<std::uint16_t>(n)); };
    const auto u32 = [](std::uint32_t n) { return files::le(n); };

    CHECK_READING(bytes + "x", "end of the central directory");
    CHECK(reading(files::with(bytes, end + 20, u16(3)) + "abc") == "nothing was thrown"); // a comment
    CHECK_READING("x" + bytes, "central directory");
    CHECK_READING(files::with(bytes, end + 4, u16(1)), "end record", "several parts");
    CHECK_READING(files::with(bytes, end + 10, u16(3)), "several parts");
    CHECK_READING(files::with(files::with(bytes, end + 8, u16(3)), end + 10, u16(3)), "entry 2");
    CHECK_READING(files::with(files::with(bytes, end + 8, u16(1)), end + 10, u16(1)), "bytes too long");
    CHECK_READING(files::with(bytes, end + 12, u32(1)), "central directory");
    CHECK_READING(files::with(bytes, end + 16, u32(0xFFFFFFFE)), "central directory");
    CHECK_READING(files::with(bytes, end + 16, u32(0xFFFFFFFF)), "zip64 locator: missing");
    CHECK_READING(files::with(bytes, first, "x"), "entry 0");
    CHECK_READING(files::with(bytes, first + 8, u16(1)), "\"values.npy\"", "encrypted");
    CHECK_READING(files::with(bytes, first + 8, u16(1 << 6)), "\"values.npy\"", "encrypted");
    CHECK_READING(files::with(bytes, first + 8, u16(1 << 13)), "\"values.npy\"", "encrypted");
    CHECK_READING(files::with(bytes, first + 8, u16(1 << 5)), "\"values.npy\"", "patch");
    CHECK_READING(files::with(bytes, second + 8, u16(0)), "ids.npy", "name: UTF-8 is expected, and a flag for it");
    CHECK_READING(files::with(bytes, local + 6, u16(0)), "ids.npy", "local header: flags");
    CHECK_READING(files::with(bytes, first + 10, u16(12)), "\"values.npy\"", "method", "12 was found");
    CHECK_READING(files::with(bytes, first + 10, u16(8)), "\"values.npy\"", "local header: method");
    CHECK_READING(files::with(bytes, first + 16, u32(0)), "\"values.npy\"", "checksum");
    CHECK_READING(files::with(bytes, first + 20, u32(0xFFFFFFF0)), "\"values.npy\"", "data");
    CHECK_READING(files::with(bytes, first + 24, u32(1)), "\"values.npy\"", "two sizes");
    CHECK_READING(files::with(bytes, first + 28, u16(0xFFFF)), "entry 0: name");
    CHECK_READING(files::with(bytes, first + 30, u16(0xFFFF)), "\"values.npy\"", "extra fields");
    CHECK_READING(files::with(bytes, first + 32, u16(0xFFFF)), "\"values.npy\"", "comment");
    CHECK_READING(files::with(bytes, first + 42, u32(0xFFFFFFF0)), "\"values.npy\"", "local header");
    CHECK_READING(files::with(bytes, first + 42, u32(4)), "\"values.npy\"", "local header: missing");
    CHECK_READING(files::with(bytes, first + 46, "V"), "\"Values.npy\"", "name: not that of the directory");
    CHECK_READING(files::with(bytes, local, "x"), "ids.npy", "local header: missing");

    const auto renamed = [&](std::string const& name) { // in both places
        return files::with(files::with(bytes, first + 46, name), 30, name);
    };
    CHECK_READING(renamed("../a/x.npy"), "../a/x.npy", "not allowed");
    CHECK_READING(renamed("a/../b.npy"), "a/../b.npy", "not allowed");
    CHECK_READING(renamed("/etc/x.npy"), "/etc/x.npy", "not allowed");
    CHECK_READING(renamed("a\\\\bcx.npy"), "not allowed");
    CHECK_READING(files::with(renamed("a\xFF\xFFxyz.npy"), first + 8, u16(1 << 11)), "local header: flags");
    CHECK_READING(files::with(files::with(renamed("a\xFF\xFFxyz.npy"), first + 8, u16(1 << 11)), 6, u16(1 << 11)),
                  "not allowed");
    CHECK_READING(renamed(std::string("a\0bxyz.npy", 10)), "not allowed");
    CHECK(reading(renamed("value..npy")) == "nothing was thrown"); // an array named "value."
    CHECK(reading(renamed("a/.../.npy")) == "nothing was thrown");
    CHECK(reading(renamed("values.txt")) == "nothing was thrown"); // is no array

    // Two entries that are one: the second directory entry replaced by a copy of the first.
    const std::string entry = bytes.substr(first, second - first);
    const std::string doubled = bytes.substr(0, first) + entry + entry +
                                files::with(bytes.substr(end), 12, u32(static_cast<std::uint32_t>(2 * entry.size())));
    CHECK_READING(doubled, "\"values.npy\"", "twice");
    // An entry that lies in the data of another: the first is made to reach over the second.
    const std::string longer = files::with(bytes, first + 20,
                                           u32(static_cast<std::uint32_t>(local - 40 + 10)) +
                                               u32(static_cast<std::uint32_t>(local - 40 + 10)));
    CHECK_READING(longer, "overlaps another entry");
    CHECK_READING("", "too short");
    CHECK_READING(std::string(100, '\0'), "not found");

    const std::string wide = example(folder, 0);
    const std::size_t record = find_record(wide, zip::end_record_64), locator = find_record(wide, zip::end_locator_64);
    CHECK(reading(wide) == "nothing was thrown");
    CHECK_READING(files::with(wide, locator, "x"), "zip64 locator: missing");
    CHECK_READING(files::with(wide, locator + 8, files::le(~std::uint64_t{0})), "zip64 locator: offset");
    CHECK_READING(files::with(wide, record, "x"), "zip64 end record: missing");
    CHECK_READING(files::with(wide, record + 24, files::le(~std::uint64_t{0})), "several parts");
    CHECK_READING(files::with(wide, record + 40, files::le(~std::uint64_t{0})), "central directory");
    CHECK_READING(files::with(wide, record + 48, files::le(~std::uint64_t{0})), "central directory");
    const std::size_t field = find_record(wide, zip::central_entry) + 46 + std::strlen("values.npy") + 4;
    CHECK_READING(files::with(wide, field, files::le(~std::uint64_t{0})), "\"values.npy\"", "two sizes");
    CHECK_READING(files::with(wide, field + 8, files::le(~std::uint64_t{0})), "\"values.npy\"", "data");
    CHECK_READING(files::with(wide, field + 16, files::le(~std::uint64_t{0})), "\"values.npy\"", "local header");
}

TEST_CASE("an array without elements is written and read like any other") {
    const test::temporary_folder folder;
    const auto path = folder / "empty.npz";
    npz_writer writer(path);
    writer.add("nothing", std::array<std::size_t, 2>{3, 0}, std::span<const float>());
    writer.finish();
    const npy_array nothing = npz_reader(path).array("nothing");
    CHECK(nothing.shape == std::vector<std::size_t>{3, 0});
    CHECK(nothing.values<float>().empty());
}
