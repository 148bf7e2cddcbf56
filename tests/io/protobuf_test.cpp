#include "bitlens/io/protobuf.hpp"

#include "files.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

protobuf_reader reader(std::string_view bytes) { return {as_bytes(bytes), "x.model"}; }

protobuf_field only(std::string_view bytes) {
    auto fields = reader(bytes);
    const auto field = fields.next();
    REQUIRE(field);
    CHECK(!fields.next());
    return *field;
}

int count(std::string const& bytes) {
    auto fields = reader(bytes);
    int n = 0;
    while (fields.next()) ++n;
    return n;
}

} // namespace

TEST_CASE("the examples of the encoding's description are read") {
    // The messages lie in a string as long as they are read.
    const std::string varint = files::from_hex("089601"), text = files::from_hex("120774657374696e67"),
                      nested = files::from_hex("1a03089601"), negative = files::from_hex("08feffffffffffffffff01");
    CHECK(only(varint).number() == 1);
    CHECK(only(varint).as_int32("a") == 150);
    CHECK(only(text).number() == 2);
    CHECK(only(text).as_text("b") == "testing");
    CHECK(only(negative).as_int32("a") == -2);
    auto inner = only(nested).as_message("c");
    const auto field = inner.next();
    REQUIRE(field);
    CHECK(field->as_int32("a") == 150);
    CHECK(!inner.next());
}

TEST_CASE("values of every type, at their limits") {
    const auto int32 = [](std::string_view hex) {
        const std::string bytes = files::from_hex(hex);
        return only(bytes).as_int32("n");
    };
    CHECK(int32("0800") == 0);
    CHECK(int32("088000") == 0); // in more bytes than are needed
    CHECK(int32("08ffffffff07") == std::numeric_limits<std::int32_t>::max());
    CHECK(int32("0880808080f8ffffffff01") == std::numeric_limits<std::int32_t>::min());
    CHECK(int32("08ffffffffffffffffff01") == -1);
    const std::string f = "\x15" + files::le(-1e9f), yes = files::from_hex("1801"), no = files::from_hex("1800"),
                      far = files::from_hex("f8ffffff0f05"), empty = files::from_hex("0a00"),
                      wide = "\x09" + files::le(std::uint64_t{1});
    CHECK(only(f).as_float("score") == -1e9f);
    CHECK(only(yes).as_bool("b"));
    CHECK(!only(no).as_bool("b"));
    CHECK(only(far).number() == (1u << 29) - 1);
    CHECK(only(empty).as_text("t").empty());
    CHECK(only(wide).number() == 1);
    CHECK(!reader("").next());
}

TEST_CASE("fields come in the order of the file, whatever their types") {
    const std::string bytes = files::from_hex("0801") + "\x15" + files::le(2.0f) + "\x19" +
                              files::le(std::uint64_t{3}) + files::from_hex("22013408050a0136");
    std::vector<std::uint32_t> numbers;
    auto fields = reader(bytes);
    while (const auto field = fields.next()) numbers.push_back(field->number());
    CHECK(numbers == std::vector<std::uint32_t>{1, 2, 3, 4, 1, 1});
}

TEST_CASE("every prefix of a message is either one of fewer fields or refused") {
    const std::string bytes = files::from_hex("089601") + "\x15" + files::le(2.0f) + "\x19" +
                              files::le(std::uint64_t{3}) + files::from_hex("220774657374696e67");
    const std::vector<std::pair<std::size_t, int>> whole{{0, 0}, {3, 1}, {8, 2}, {17, 3}, {26, 4}};
    std::size_t next = 0;
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        const std::string prefix = bytes.substr(0, size);
        if (next < whole.size() && whole[next].first == size)
            CHECK(count(prefix) == whole[next++].second);
        else
            CHECK_REFUSED(count(prefix), "x.model: no protobuf message at byte", "are left of the message");
    }
    CHECK(next == whole.size());
}

TEST_CASE("what is no message is refused, with its place") {
    const auto refused = [](std::string_view hex) { return files::error_of([&] { count(files::from_hex(hex)); }); };
    CHECK(refused("08018a01") ==
          "x.model: no protobuf message at byte 2: 1 bytes are needed, 0 are left of the message");
    CHECK(refused("0a05616263") ==
          "x.model: no protobuf message at byte 0: 5 bytes are needed, 3 are left of the message");
    CHECK(refused("0affffffffffffffffff01") ==
          "x.model: no protobuf message at byte 0: 18446744073709551615 bytes are needed, 0 are left of the message");
    CHECK(refused("08ffffffffffffffffff02") == "x.model: no protobuf message at byte 0: a varint of more than 64 bits");
    CHECK(refused("0880808080808080808080808000") ==
          "x.model: no protobuf message at byte 0: a varint of more than 64 bits");
    CHECK(refused("0001") == "x.model: no protobuf message at byte 0: a field of the number 0");
    CHECK(refused("808080801000") == "x.model: no protobuf message at byte 0: a field of the number 536870912");
    CHECK(refused("08011b08011c") == "x.model: no protobuf message at byte 2: field 3 is a group, which is not read");
    CHECK(refused("1c") == "x.model: no protobuf message at byte 0: field 3 is a group, which is not read");
    CHECK(refused("0e") == "x.model: no protobuf message at byte 0: field 1 is of type 6, which does not exist");
    CHECK(refused("0f") == "x.model: no protobuf message at byte 0: field 1 is of type 7, which does not exist");
}

TEST_CASE("a value that is not of the schema is refused, with its name and place, also in a message in a message") {
    // Field 1 at byte 0; at byte 2 a message with, at byte 4, another one with field 1 at byte 6.
    const auto inner = [](std::string_view hex) {
        const std::string field = files::from_hex(hex);
        const auto size = [](std::size_t n) { return std::string(1, static_cast<char>(n)); };
        const std::string bytes =
            files::from_hex("0801") + "\x12" + size(field.size() + 2) + "\x1a" + size(field.size()) + field;
        return files::error_of([&] {
            auto outer = reader(bytes);
            outer.next();
            auto middle = outer.next()->as_message("middle");
            auto innermost = middle.next()->as_message("innermost");
            const auto found = innermost.next();
            if (found->number() == 1) found->as_int32("n");
            if (found->number() == 2) found->as_bool("b");
            if (found->number() == 3) found->as_float("f");
            if (found->number() == 4) found->as_message("m");
        });
    };
    CHECK(inner("088080808008") == "x.model: n (field 1 at byte 6): an integer from -2147483648 to 2147483647 is "
                                   "expected, 2147483648 was found");
    CHECK(inner("0a00") == "x.model: n (field 1 at byte 6): a varint is expected, a string of bytes was found");
    CHECK(inner("1002") == "x.model: b (field 2 at byte 6): 0 or 1 is expected, 2 was found");
    CHECK(inner("1801") == "x.model: f (field 3 at byte 6): a number of 4 bytes is expected, a varint was found");
    CHECK(inner("2500000000") ==
          "x.model: m (field 4 at byte 6): a string of bytes is expected, a number of 4 bytes was found");
    CHECK(inner("210000000000000000") ==
          "x.model: m (field 4 at byte 6): a string of bytes is expected, a number of 8 bytes was found");
    CHECK(inner("220408") == "x.model: no protobuf message at byte 6: 4 bytes are needed, 1 are left of the message");
}
