#include "bitlens/io/pickle.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

using namespace bitlens;
using namespace std::string_literals;

namespace {

constexpr std::array<std::string_view, 2> names{"collections OrderedDict", "torch FloatStorage"};

pickle read(std::string const& bytes) { return {as_bytes(bytes), "p", names}; }
std::string refusal(std::string const& bytes) {
    try {
        read(bytes);
    } catch (format_error const& e) {
        return e.what();
    }
    return "read";
}

} // namespace

TEST_CASE("objects of every kind") {
    // pickletools.dis of Python 3.11 names the operations.
    const std::string bytes = "\x80\x02]q\x00(NG\x3f\xf8\x00\x00\x00\x00\x00\x00J\xfe\xff\xff\xff"
                              "K\x07M\x00\x01\x8a\x02\x00\xff\x88\x89X\x02\x00\x00\x00\xc3\xa9"
                              "\x8c\x01"
                              "a)\x85}(K\x01K\x02us"
                              "."s;
    // The dictionary's `s` lacks a dictionary below: the tuple is no dictionary.
    CHECK(refusal(bytes) == "p: pickle, before offset 52: a dictionary is expected, found a text");
    const std::string sound = "\x80\x02]q\x00(NG\x3f\xf8\x00\x00\x00\x00\x00\x00J\xfe\xff\xff\xff"
                              "K\x07M\x00\x01\x8a\x02\x00\xff\x88\x89X\x02\x00\x00\x00\xc3\xa9"
                              "\x8c\x01"
                              "a)\x85}(K\x01K\x02u"
                              "ccollections\nOrderedDict\n)RX\x01\x00\x00\x00xQh\x00"
                              "e."s;
    const auto p = read(sound);
    auto const& list = p.root();
    REQUIRE(list.kind == pickle_kind::list);
    REQUIRE(list.items.size() == 15);
    const auto item = [&](std::size_t i) -> auto const& { return p[list.items[i]]; };
    CHECK(item(0).kind == pickle_kind::none);
    CHECK(item(1).real_number == 1.5);
    CHECK(item(2).number == -2);
    CHECK(item(3).number == 7);
    CHECK(item(4).number == 256);
    CHECK(item(5).number == -256);
    CHECK(item(6).number == 1);
    CHECK(item(7).kind == pickle_kind::boolean);
    CHECK(item(8).text == "é");
    CHECK(item(9).text == "a");
    CHECK(p[item(10).items.at(0)].kind == pickle_kind::tuple);
    CHECK(p[item(11).items.at(1)].number == 2);
    CHECK(item(12).kind == pickle_kind::call);
    CHECK(p[item(12).items.at(0)].text == "collections OrderedDict");
    CHECK(item(13).kind == pickle_kind::reference);
    CHECK(&item(14) == &list); // a list may be in itself
}

TEST_CASE("nothing runs, and no other name is known") {
    CHECK(refusal("\x80\x02"
                  "cos\nsystem\nX\x02\x00\x00\x00ls\x85R."s) ==
          "p: pickle, before offset 13: it names \"os system\", which is not allowed");
    CHECK(refusal("\x80\x04\x8c\x02os\x8c\x06system\x93."s) ==
          "p: pickle, before offset 15: it names \"os system\", which is not allowed");
    for (const char operation : {'b', 'i', 'o', 'P', '\x81', '\x92', 'S', 'I', 'F', 'L', 'V', 'g', 'p', 'd', 'l', '0'})
        CHECK(refusal("\x80\x02N"s + operation + ".").find("is not known here, or would run code") !=
              std::string::npos);
}

TEST_CASE("what is missing or left over") {
    CHECK(refusal("") == "p: pickle: operation: 1 bytes are needed at offset 0, 0 are left");
    CHECK(refusal("N") == "p: pickle: operation: 1 bytes are needed at offset 1, 0 are left");
    CHECK(refusal(".") == "p: pickle, before offset 1: 0 objects are left at the end, one is expected");
    CHECK(refusal("NN.") == "p: pickle, before offset 3: 2 objects are left at the end, one is expected");
    CHECK(refusal("(N.") == "p: pickle, before offset 3: 1 objects are left at the end, one is expected");
    CHECK(refusal("N.N") == "p: pickle, before offset 2: 1 bytes follow the end");
    CHECK(refusal("t.") == "p: pickle, before offset 1: there is no mark");
    CHECK(refusal("N(\x85.") == "p: pickle, before offset 3: the stack has no object left");
    CHECK(refusal("](NNu.") == "p: pickle, before offset 5: a dictionary is expected, found a list");
    CHECK(refusal("}(Nu.") == "p: pickle, before offset 4: a key without a value");
    CHECK(refusal("h\x05."s) == "p: pickle, before offset 2: number 5 was never remembered");
    CHECK(refusal("q\x05."s) == "p: pickle, before offset 2: nothing to remember");
    CHECK(refusal("X\xff\xff\xff\xff."s) == "p: pickle: text: 4294967295 bytes are needed at offset 5, 1 are left");
    CHECK(refusal("X\x01\x00\x00\x00\xff."s) == "p: pickle, before offset 6: a text is not UTF-8");
    CHECK(refusal("\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01."s) ==
          "p: pickle, before offset 2: an integer of 9 bytes");
    CHECK(refusal("\x80\x06N."s) == "p: pickle, before offset 2: protocol 6, one from 2 to 5 is expected");
    CHECK(refusal("\x95\xff\x00\x00\x00\x00\x00\x00\x00N."s) ==
          "p: pickle, before offset 9: a frame larger than the rest");
    CHECK(refusal("NR.") == "p: pickle, before offset 2: a tuple is expected, found None");
    CHECK(refusal("N)R.") == "p: pickle, before offset 3: a name is expected, found None");
    CHECK(refusal(std::string(pickle::most_bytes + 1, 'N')).ends_with("8388609 bytes, at most 8388608 are expected"));
    CHECK(refusal("ccollections").starts_with("p: pickle: line: 1 bytes are needed"));
}

TEST_CASE("depth costs no stack of ours, and shared objects no time") {
    std::string deep(1000000, '(');
    for (std::size_t i = 0; i < 1000000; ++i) deep += 't';
    CHECK(read(deep + ".").size() == 1000000);
    std::string doubled = "N"; // 2^200000 objects, if each were copied
    for (std::size_t i = 0; i < 200000; ++i) doubled += "q\x01h\x01\x86"s;
    CHECK(read(doubled + ".").size() == 200001);
}
