#include "bitlens/io/json.hpp"

#include "files.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

TEST_CASE("JSON is read as it is written") {
    const json v = parse_json(R"( {"a": [1, -2, 2.5, true, null, "ü"], "b": {"c": {}}} )", "f");
    CHECK(v["a"].dump() == "[1,-2,2.5,true,null,\"ü\"]");
    CHECK(v["b"]["c"].empty());
    CHECK(parse_json("7", "f") == 7);
    CHECK(parse_json("\xEF\xBB\xBF[]", "f").is_array());
}

TEST_CASE("what is no JSON is refused with file and place") {
    for (const std::string_view text :
         {"", "{", "[1,]", "{\"a\" 1}", "[1] 2", "nul", "NaN", "[Infinity]", "-Infinity", "1e999", "01", "'a'",
          "\"\\ud800\"", "\"\xFF\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "// x\n1", "\"a\nb\"", "[1"}) {
        CAPTURE(text);
        CHECK_REFUSED(parse_json(text, "file.json"), "file.json: ", "no valid JSON at byte ");
    }
    const std::string long_text = "\"" + std::string(1000000, 'x');
    CHECK(files::error_of([&] { parse_json(long_text, "f"); }).size() < 500);
}

TEST_CASE("a zero byte is not the end of the text") {
    CHECK_REFUSED(parse_json(std::string_view("{}\0", 3), "f"), "f: no valid JSON at byte 2: a zero byte");
    CHECK_REFUSED(parse_json(std::string_view("{}\0{", 4), "f"), "byte 2");
}

TEST_CASE("nesting of 64 is read, of 65 refused, of a million refused too") {
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK(parse_json(nested(64), "f").is_array());
    CHECK_REFUSED(parse_json(nested(65), "f"), "f: ", "64 levels");
    CHECK_REFUSED(parse_json(std::string(1000000, '['), "f"), "64 levels");
    std::string objects;
    for (int i = 0; i < 65; ++i) objects += "{\"a\":";
    CHECK_REFUSED(parse_json(objects, "f"), "64 levels");
}

TEST_CASE("a key that occurs twice in one object is refused, in two objects it is not") {
    CHECK_REFUSED(parse_json(R"({"a":1,"b":2,"a":1})", "f"), "f: ", "\"a\"", "twice");
    CHECK_REFUSED(parse_json(R"([{"x":{"\u0061":1,"a":1}}])", "f"), "\"a\"", "twice");
    CHECK(parse_json(R"({"a":{"a":1},"b":[{"a":1},{"a":2}]})", "f").size() == 2);
}

TEST_CASE("of the members that are asked for, and of no others, the values are kept") {
    constexpr std::array<std::string_view, 3> keys{"a", "b", "none"};
    const auto members = [&](std::string_view text) { return parse_json_members(text, "f", keys); };
    CHECK(members(R"({"x":{"a":1},"a":"text","y":[{"b":2}],"b":-1.5,"z":null})") == json({{"a", "text"}, {"b", -1.5}}));
    CHECK(members(R"({"a":[1,{"b":2}],"b":{"a":3},"\u0061b":4})") ==
          json({{"a", json::array()}, {"b", json::object()}}));
    CHECK(members(R"([{"a":1}])") == json::array());
    CHECK(members("{}") == json::object());
    CHECK(members(" 7 ") == 7);

    CHECK_REFUSED(members(R"({"a":1,"b":2,"a":3})"), "f: ", "\"a\"", "twice");
    CHECK_REFUSED(members(R"({"x":1,"y":{"p":1},"x":3})"), "\"x\"", "twice");
    CHECK_REFUSED(members(R"({"x":[{"y":{"\u0070":1,"q":2,"p":3}}]})"), "\"p\"", "twice");
    CHECK(members(R"({"x":{"p":{"p":1,"q":2},"q":3},"y":{"p":4}})").empty());
    CHECK_REFUSED(members("{\"x\":" + std::string(63, '[') + "[]" + std::string(63, ']') + "}"), "64 levels");
    CHECK(members("{\"x\":" + std::string(62, '[') + "[]" + std::string(62, ']') + "}").empty());
    CHECK_REFUSED(members(R"({"a":1,"x":[NaN]})"), "f: no valid JSON at byte 13");
    CHECK_REFUSED(members("{}]"), "no valid JSON");
    CHECK_REFUSED(members(std::string_view("{}\0", 3)), "zero byte");
}

TEST_CASE("typed values, and errors that name file, key, what was found and what was expected") {
    const json v = parse_json(
        R"({"n":7,"minus":-1,"half":0.5,"big":1e300,"long":18446744073709551615,"s":"x","yes":true,"no":null,"a":[1,2],"o":{}})",
        "f");
    CHECK(required<std::size_t>(v, "n", "f") == 7);
    CHECK(required<int>(v, "minus", "f") == -1);
    CHECK(required<float>(v, "half", "f") == .5f);
    CHECK(required<double>(v, "n", "f") == 7.);
    CHECK(required<std::uint64_t>(v, "long", "f") == ~std::uint64_t{0});
    CHECK(required<std::string>(v, "s", "f") == "x");
    CHECK(required<bool>(v, "yes", "f"));
    CHECK(required<std::vector<int>>(v, "a", "f") == std::vector{1, 2});
    CHECK(required_object(v, "o", "f").empty());
    CHECK(if_present<int>(v, "n", "f") == 7);
    CHECK(if_present<int>(v, "no", "f") == std::nullopt);
    CHECK(if_present<int>(v, "absent", "f") == std::nullopt);
    CHECK(find_object(v, "absent", "f") == nullptr);

    CHECK_REFUSED(required<int>(v, "absent", "config.json"), "config.json: ", "\"absent\"", "missing");
    CHECK_REFUSED(required<int>(v, "no", "config.json"), "\"no\"", "missing");
    CHECK_REFUSED(required_object(v, "absent", "f"), "\"absent\"", "missing");
    CHECK_REFUSED(required<std::size_t>(v, "minus", "config.json"), "config.json: ", "\"minus\"", "from 0",
                  "-1 was found");
    CHECK_REFUSED(required<std::int8_t>(v, "long", "f"), "\"long\"", "-128 to 127");
    CHECK_REFUSED(required<std::int64_t>(v, "long", "f"), "\"long\"");
    CHECK_REFUSED(required<int>(v, "half", "f"), "\"half\"", "0.5 was found");
    CHECK_REFUSED(required<int>(v, "s", "f"), "\"s\"", "an integer", "\"x\" was found");
    CHECK_REFUSED(required<int>(v, "yes", "f"), "\"yes\"", "true was found");
    CHECK_REFUSED(required<bool>(v, "n", "f"), "\"n\"", "true or false");
    CHECK_REFUSED(required<float>(v, "big", "f"), "\"big\"", "range of float");
    CHECK(required<double>(v, "big", "f") == 1e300);
    CHECK_REFUSED(required<float>(v, "a", "f"), "\"a\"", "a number is expected, array was found");
    CHECK_REFUSED(required<std::string>(v, "n", "f"), "\"n\"", "a string is expected, 7 was found");
    CHECK_REFUSED(required<std::vector<bool>>(v, "a", "f"), "\"a[0]\"");
    CHECK_REFUSED(required<std::vector<int>>(v, "n", "f"), "\"n\"", "an array");
    CHECK_REFUSED(find_object(v, "n", "f"), "\"n\"", "an object");
    CHECK_REFUSED(required<int>(v["a"], "n", "f"), "f: an object is expected, array was found");
}

TEST_CASE("JSON is written of UTF-8, and of nothing else") {
    CHECK(json_text({{"a", "é"}}, "f") == "{\"a\":\"é\"}");
    CHECK(json_text({{"a", 1}}, "f", 2) == "{\n  \"a\": 1\n}");
    CHECK_REFUSED(json_text({{"a", "\xFF"}}, "manifest.json"), "manifest.json: JSON holds UTF-8 only");
    CHECK_REFUSED(json_text({{"\xFF", 1}}, "f"), "f: JSON holds UTF-8 only");
}
