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

TEST_CASE("a place is said once: the byte in the first line, line and column in a later one") {
    CHECK(files::error_of([] { parse_json("[1,]", "f"); }).starts_with("f: no valid JSON at byte 4: syntax error"));
    CHECK(files::error_of([] {
              parse_json("[1,\n]", "f");
          }).starts_with("f: no valid JSON at byte 5: parse error at line 2, column 1: "));
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

namespace {

constexpr std::array<std::string_view, 3> keys{"a", "b", "none"};

/// "written → value" of each key.
std::vector<std::string> members(std::string_view text) {
    std::vector<std::string> all;
    for (auto const& m : parse_json_members(text, "f", keys))
        all.push_back(std::string(m.written) + " → " + m.value.dump());
    return all;
}

using found = std::vector<std::string>;
const found nothing(3, " → null");

} // namespace

TEST_CASE("of the members that are asked for, and of no others, the values are kept, and how they are written") {
    CHECK(members(R"({"x":{"a":1},"a":"t\u00e9xt","y":[{"b":2}] , "b" : -1.50 ,"z":null})") ==
          found{R"("t\u00e9xt" → "téxt")", "-1.50 → -1.5", " → null"});
    CHECK(members(R"({"a":[1,{"b":2}],"b":{"a":3},"\u0061b":4})") ==
          found{R"([1,{"b":2}] → [])", R"({"a":3} → {})", " → null"});
    CHECK(members(R"({"\u0061":1,"b":null})") == found{"1 → 1", "null → null", " → null"});
    CHECK(members(R"({"b":123456789012345678901234567890})")[1].starts_with("123456789012345678901234567890 → "));
    CHECK(members(" {} ") == nothing);

    CHECK_REFUSED(members(R"({"a":1,"b":2,"a":3})"), "f: ", "\"a\"", "twice");
    CHECK_REFUSED(members(R"({"a":1,"\u0061":3})"), "f: ", "\"a\"", "twice");
    CHECK_REFUSED(members(R"([{"a":1}])"), "f: an object is expected, array was found");
    CHECK_REFUSED(members(" -7 "), "f: an object is expected, number was found");
    CHECK_REFUSED(members("\"a\""), "f: an object is expected, string was found");
    CHECK_REFUSED(members("null"), "f: an object is expected, null was found");
    CHECK_REFUSED(members("true"), "f: an object is expected, boolean was found");
    for (const std::string_view bad : {"NaN", "1e999", R"("\ud800")", R"("\q")", "\"\t\"", "\"\n\"", "Infinity"})
        CHECK_REFUSED(members("{\"x\":0,\"a\":" + std::string(bad) + "}"), "f: no valid JSON at byte 1");
    CHECK_REFUSED(members("{\"a\":\"\xFF\"}"), "f: byte 6 is no UTF-8");
    const auto said = files::error_of([&] { members(R"({"x":0,"a":"\ud800"})"); });
    CHECK(said.find("f: no valid JSON at byte 19: syntax error") == 0); // the place in the object, and no other
    CHECK(said.find("line") == std::string::npos);
}

TEST_CASE("members that are not asked for are not judged") {
    for (const std::string_view value :
         {"NaN", "-Infinity", "[Infinity]", "1e999", "-0.0E+1", "123456789012345678901234567890", R"("\ud800")",
          R"(["\udfff\x"])", R"("\"")", R"("\\")", "\"\xFF\"", "\"\t\n\"", R"({"p":1,"p":{"q":[],"q":2}})", "[ ]",
          "{ }", "[[],[[]]]"}) {
        CAPTURE(value);
        const std::string x = "{\"x\":" + std::string(value);
        CHECK(members(x + ",\"a\":1}") == found{"1 → 1", " → null", " → null"});
        CHECK(members("{\"a\":1," + x.substr(1) + ",\"x\":2}") == found{"1 → 1", " → null", " → null"});
    }
    CHECK(members(R"({"\ud800":1,"a\q":2,"":3})") == nothing);
    CHECK(members("{\"x\":" + std::string(62, '[') + "[]" + std::string(62, ']') + "}") == nothing);
    const std::string opened(1 << 20, '[');
    CHECK_REFUSED(members("{\"x\":" + std::string(63, '[') + "[]" + std::string(63, ']') + "}"), "64 levels");
    CHECK_REFUSED(members("{\"x\":" + opened), "64 levels");
}

TEST_CASE("members need an end to be found, and the place without one is named") {
    for (auto const& refused : std::vector<std::pair<std::string_view, std::string_view>>{
             {"", "byte 1: a value is expected, the end was found"},
             {"{", "byte 2: a key in quotes is expected, the end was found"},
             {"{\"a\"", "byte 5: ':' is expected, the end was found"},
             {"{\"a\" 1}", "byte 6: ':' is expected, \"1\" was found"},
             {"{\"a\":1", "byte 7: ',' or '}' is expected, the end was found"},
             {"{\"a\":1,}", "byte 8: a key in quotes is expected, \"}\" was found"},
             {"{a:1}", "byte 2: a key in quotes is expected, \"a\" was found"},
             {"{\"x\":}", "byte 6: a value is expected, \"}\" was found"},
             {"{\"x\":nul}", "byte 6: a value is expected, \"n\" was found"},
             {"{\"x\":-}", "byte 6: a value is expected"},
             {"{\"x\":01}", "byte 6: a value is expected"},
             {"{\"x\":1.}", "byte 6: a value is expected"},
             {"{\"x\":.5}", "byte 6: a value is expected"},
             {"{\"x\":1e}", "byte 6: a value is expected"},
             {"{\"x\":-NaN}", "byte 6: a value is expected"},
             {"{\"x\":'1'}", "byte 6: a value is expected"},
             {"{\"x\":[1 2]}", "byte 9: ',' or ']' is expected, \"2\" was found"},
             {"{\"x\":[1,]}", "byte 9: a value is expected, \"]\" was found"},
             {"{\"x\":[1}", "byte 8: ',' or ']' is expected, \"}\" was found"},
             {"{\"x\":{]}", "byte 7: a key in quotes is expected"},
             {"{\"x\":\"}", "byte 8: the quote that ends a string is expected, the end was found"},
             {"{\"x\":\"\\", "byte 8: the quote that ends a string is expected, the end was found"},
             {"{}]", "byte 3: the end is expected, \"]\" was found"},
             {"plain text", "byte 1: a value is expected, \"p\" was found"}}) {
        auto const& text = refused.first;
        auto const& said = refused.second;
        CAPTURE(text);
        CHECK_REFUSED(members(text), "f: no valid JSON at " + std::string(said));
    }
    CHECK_REFUSED(members(std::string_view("{}\0", 3)), "byte 3: the end is expected");
    CHECK_REFUSED(members("caf\xE9"), "f: byte 3 is no UTF-8");
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
    CHECK_REFUSED(required<int>(v, "no", "config.json"), "\"no\"", "an integer", "null was found");
    CHECK_REFUSED(required<double>(v, "no", "f"), "\"no\"", "a number is expected, null was found");
    CHECK_REFUSED(required_object(v, "no", "f"), "\"no\"", "an object is expected, null was found");
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
