#include "bitlens/io/npy.hpp"

#include "files.hpp"

#include <array>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

const std::string goldens = std::string(BITLENS_TEST_DATA) + "/io/";

/// A whole file with this header text.
std::string whole(std::string const& header, std::size_t data = 24) {
    return std::string("\x93NUMPY\x01\x00", 8) + files::le(static_cast<std::uint16_t>(header.size())) + header +
           std::string(data, '\0');
}
std::string dictionary(std::string const& descr, std::string const& shape) {
    return "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }\n";
}
npy_array parse(std::string_view bytes) { return parse_npy(as_bytes(bytes), "x.npy", nullptr); }

template <class T>
void check_golden(std::string const& name) {
    CAPTURE(name);
    const npy_array array = read_npy(goldens + "array_" + name + ".npy");
    std::array<T, 6> expected;
    for (std::size_t i = 0; i < 6; ++i) {
        if constexpr (std::same_as<T, bool>)
            expected[i] = i % 2 != 0;
        else if constexpr (std::integral<T>)
            expected[i] = static_cast<T>(i);
        else
            expected[i] = T(static_cast<float>(i));
    }
    CHECK(array.shape == std::vector<std::size_t>{2, 3});
    CHECK(array.type == npy_type_of<T>());
    const auto values = array.values<T>();
    REQUIRE(values.size() == 6);
    for (std::size_t i = 0; i < 6; ++i) CHECK(double(float(values[i])) == double(float(expected[i])));
    const test::temporary_folder folder;
    write_npy<T>(folder / "again.npy", array.shape, expected);
    CHECK(test::read_bytes(folder / "again.npy") == test::read_bytes(goldens + "array_" + name + ".npy"));
}

} // namespace

TEST_CASE("every type reads as numpy wrote it and is written byte by byte as numpy writes it") {
    check_golden<bool>("b1");
    check_golden<std::int8_t>("i1");
    check_golden<std::int16_t>("i2");
    check_golden<std::int32_t>("i4");
    check_golden<std::int64_t>("i8");
    check_golden<std::uint8_t>("u1");
    check_golden<std::uint16_t>("u2");
    check_golden<std::uint32_t>("u4");
    check_golden<std::uint64_t>("u8");
    check_golden<f16>("f2");
    check_golden<float>("f4");
    check_golden<double>("f8");
}

TEST_CASE("shapes of rank 0 and 1 and without elements are written as numpy writes them") {
    const test::temporary_folder folder;
    const double scalar = 2.5;
    write_npy<double>(folder / "x", {}, {&scalar, 1});
    CHECK(test::read_bytes(folder / "x") == test::read_bytes(goldens + "array_scalar.npy"));
    CHECK(read_npy(folder / "x").values<double>() == std::vector{2.5});
    const std::array<std::size_t, 2> empty{0, 3};
    write_npy<float>(folder / "x", empty, {});
    CHECK(test::read_bytes(folder / "x") == test::read_bytes(goldens + "array_empty.npy"));
    CHECK(read_npy(folder / "x").values<float>().empty());
    const std::array<std::size_t, 1> five{5};
    std::array<std::int32_t, 5> count;
    std::iota(count.begin(), count.end(), 0);
    write_npy<std::int32_t>(folder / "x", five, count);
    CHECK(test::read_bytes(folder / "x") == test::read_bytes(goldens + "array_long.npy"));
    CHECK_THROWS_TEXT(write_npy<std::int32_t>(folder / "y", empty, count), shape_error, "y: 5 values", "(0, 3)");
}

TEST_CASE("versions 2 and 3 and Fortran order are read") {
    for (const char* name : {"array_version_2.npy", "array_version_3.npy"})
        CHECK(read_npy(goldens + name).values<std::int32_t>() == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5});
    const npy_array fortran = read_npy(goldens + "array_fortran.npy");
    CHECK(fortran.fortran);
    CHECK(fortran.shape == std::vector<std::size_t>{2, 3, 4});
    std::vector<std::int32_t> expected(24);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(fortran.values<std::int32_t>() == expected);
    CHECK(fortran.stored<std::int32_t>(1) == 12); // element (1, 0, 0)
}

TEST_CASE("an NPY file cut after any byte, or longer by one, is refused") {
    const std::string bytes = test::read_bytes(goldens + "array_f4.npy");
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CAPTURE(size);
        CHECK_REFUSED(parse(std::string_view(bytes).substr(0, size)), "x.npy: ");
    }
    CHECK_REFUSED(parse(bytes + 'x'), "x.npy: shape: (2, 3) of <f4 does not fit the 25 bytes");
}

TEST_CASE("an NPY file with any one byte of its header changed is read or refused") {
    const std::string bytes = test::read_bytes(goldens + "array_f4.npy");
    for (std::size_t place = 0; place < 128; ++place)
        for (int value = 0; value < 256; ++value) {
            const char changed = static_cast<char>(value);
            try {
                (void)parse(files::with(bytes, place, {&changed, 1}));
            } catch (format_error const&) {
            }
        }
}

TEST_CASE("headers may be written in other ways") {
    const auto expect = [](std::string const& header) {
        CAPTURE(header);
        CHECK(parse(whole(header)).shape == std::vector<std::size_t>{2, 3});
    };
    expect(dictionary("'<f4'", "(2, 3)"));
    expect(dictionary("\"<f4\"", "(2,3,)"));
    expect("{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}");
    expect("  { 'shape' : ( 2 , 3 ) , 'descr' : '<f4' , 'fortran_order' : True }   \n");
}

TEST_CASE("what is wrong in the header of an NPY file is named") {
    const std::string good = whole(dictionary("'<f4'", "(2, 3)"));
    CHECK(parse(good).size() == 6);
    CHECK_REFUSED(parse(files::with(good, 0, "x")), "x.npy: magic");
    CHECK_REFUSED(parse(files::with(good, 6, "\x04")), "version", "4.0 was found");
    CHECK_REFUSED(parse(files::with(good, 7, "\x01")), "version", "1.1 was found");
    CHECK_REFUSED(parse(std::string("\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF", 12)), "header length", "4294967295");
    CHECK_REFUSED(parse(std::string("\x93NUMPY\x02\x00\x10\x00\x00\x00", 12)), "header");
    struct wrong_type {
        std::string descr;
        std::string_view word;
    };
    for (wrong_type const& wrong :
         {wrong_type{"'>f4'", "big-endian"}, wrong_type{"'|O'", "Python objects"}, wrong_type{"'<c8'", "<c8"},
          wrong_type{"'<U3'", "<U3"}, wrong_type{"[('a', '<f4')]", "records"}, wrong_type{"5", "in quotes"},
          wrong_type{"'<f3'", "<f3"}, wrong_type{"''", "no type"}, wrong_type{"'<f4", "no type"}}) {
        CAPTURE(wrong.descr);
        CHECK_REFUSED(parse(whole(dictionary(wrong.descr, "(2, 3)"))), "x.npy: header: descr", wrong.word);
    }
    for (const std::string shape : {"(-1, 3)", "(02, 3)", "(2.0, 3)", "(18446744073709551616,)", "2", "(6)", "(2 3)",
                                    "[2, 3]", "(2,,3)", "(0x2, 3)", "(2L, 3)", "('2', 3)", "(2, 3", "(,)"}) {
        CAPTURE(shape);
        CHECK_REFUSED(parse(whole(dictionary("'<f4'", shape))), "x.npy: header");
    }
    for (const std::string shape : {"(2, 4)", "()", "(0, 3)", "(4294967296, 4294967296)", "(18446744073709551615,)",
                                    "(4611686018427387904, 4)", "(2, 3, 18446744073709551615)"}) {
        CAPTURE(shape);
        CHECK_REFUSED(parse(whole(dictionary("'<f4'", shape))), "x.npy: shape", "does not fit");
    }
    std::string deep = "(";
    for (int i = 0; i < 65; ++i) deep += "1, ";
    CHECK_REFUSED(parse(whole(dictionary("'<f4'", deep + ")"), 4)), "shape", "64 dimensions");
    CHECK_REFUSED(parse(whole("{'descr': '<f4', 'fortran_order': False, }\n")), "shape are expected");
    CHECK_REFUSED(parse(whole("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}")), "\"descr\"",
                  "twice");
    CHECK_REFUSED(parse(whole("{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}")), "fortran_order",
                  "True or False");
    CHECK_REFUSED(parse(whole("{'x': 1}")), "\"x\"", "unknown");
    CHECK_REFUSED(parse(whole("")), "'{' is expected");
    CHECK_REFUSED(parse(whole(dictionary("'<f4'", "(6,)") + "x")), "text follows");
    CHECK_REFUSED(parse(good).values<double>(), "x.npy: type <f8 is expected, <f4 was found");
}
