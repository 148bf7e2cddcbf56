#include "bitlens/recipes/method.hpp"

#include <doctest/doctest.h>

#include <ctime>

using namespace bitlens;

namespace {

/// What parse_methods says against a text.
std::string refusal(std::string const& text) {
    try {
        (void)parse_methods(text);
    } catch (option_error const& e) {
        return e.what();
    }
    return "accepted";
}

} // namespace

TEST_CASE("every method of the grammar comes back as its text") {
    std::size_t count = 0;
    for (const char* group : {"-row", "-g32", "-g64", "-g128"}) {
        for (int bits = 2; bits <= 8; ++bits)
            for (const char* zero : {"", "-sym"}) {
                const std::string text = "rtn" + std::to_string(bits) + group + zero;
                const method m = parse_method(text);
                CHECK(m.text() == text);
                CHECK(m.name == text);
                ++count;
            }
        for (const char* kind : {"nf3", "nf4"})
            for (const char* scales : {"", "-dq"}) {
                CHECK(parse_method(std::string(kind) + group + scales).text() == std::string(kind) + group + scales);
                ++count;
            }
    }
    CHECK(count == 72);
    for (const char* text :
         {"gptq3-g64", "gptq8-row-asym", "gptq2-g32:damp=0.005,act_order=off,group_aware=on",
          "gptq4-g128-asym:increment=0.02,static_groups=on,block=64,mse=2.4,fresh_groups=on", "awq3-g128",
          "awq4-g64-sym:scale=off", "awq4-row:clip=off", "rtn3-g64-shift", "rtn4-g32-sym-shift", "nf4-g64-dq-shift"})
        CHECK(parse_method(text).text() == text);
    CHECK(parse_method("gptq3-g64:act_order=on,damp=0.01").text() == "gptq3-g64");
    CHECK(parse_method("gptq3-g64:damp=0.02,act_order=off").name == "gptq3-g64_damp_0.02_act_order_off");
}

TEST_CASE("what a method's text means") {
    const method m = parse_method("mine_2.b=rtn3-g64-sym");
    CHECK(m.name == "mine_2.b");
    CHECK(std::get<rtn_method>(m.kind) == rtn_method{3, 64, true});
    CHECK(std::get<normal_float_method>(parse_method("nf4-row-dq").kind) == normal_float_method{4, 0, true});
    const auto g = std::get<gptq_method>(parse_method("gptq3-g64-asym:damp=0.02,act_order=off").kind);
    CHECK(g == gptq_method{3, 64, false, {.damp = 0.02, .act_order = false}});
    CHECK(std::get<awq_method>(parse_method("awq4-g128:clip=off").kind) == awq_method{4, 128, false, true, false});
    CHECK_FALSE(m.needs_documents());
    CHECK(parse_method("awq4-g128").needs_documents());
}

TEST_CASE("lists") {
    CHECK(parse_methods("").empty());
    const auto list = parse_methods("rtn3-g64, a=rtn3-g64 ,nf4-row");
    REQUIRE(list.size() == 3);
    CHECK(list[1].name == "a");
    CHECK(refusal("rtn3-g64,nf3-g64,rtn3-g64").find("two methods are called 'rtn3-g64'") != std::string::npos);
    CHECK(refusal("a=rtn3-g64,a=nf3-g64").find("two methods are called 'a'") != std::string::npos);
}

TEST_CASE("a comma between options ends no method") {
    const auto pieces = [](std::string_view list) {
        std::string all;
        for (const auto text : bitlens::detail::split_methods<method>(list)) all += "[" + std::string(text) + "]";
        return all;
    };
    CHECK(pieces("gptq3-g64:damp=0.02,act_order=off,nf3-g64") == "[gptq3-g64:damp=0.02,act_order=off][nf3-g64]");
    CHECK(pieces("a=gptq3-g64:damp=0.02,b=rtn3-g64,c=nf3-g64") == "[a=gptq3-g64:damp=0.02][b=rtn3-g64][c=nf3-g64]");
    CHECK(pieces("rtn3-g64,damp=0.02") == "[rtn3-g64][damp=0.02]");
    CHECK(pieces("a:x=1,,y=2") == "[a:x=1][][y=2]");
    CHECK(refusal("rtn3-g64:x=1,y=2,nf3-g64").find("method 'rtn3-g64:x=1,y=2': there is no option 'x'") == 0);
}

TEST_CASE("a refusal shows what came from outside without obeying it") {
    CHECK(refusal("\x1b[2Jrtn3-g64").find("method '␛[2Jrtn3-g64'") == 0);
}

TEST_CASE("a refusal says what is wrong and what exists") {
    const std::vector<std::pair<std::string, std::string>> wrong{
        {"rtn3", "the group is missing"},
        {"full", "the model as it is stored is no method, and runs without being named"},
        {"gguf3-g64", "there is no method 'gguf3'"},
        {"rtn-g64", "no number of bits from 2 to 8"},
        {"rtn1-g64", "no number of bits from 2 to 8"},
        {"rtn9-g64", "no number of bits from 2 to 8"},
        {"rtn03-g64", "no number of bits"},
        {"rtn+3-g64", "no number of bits"},
        {"rtn3 -g64", "no number of bits"},
        {"rtn99999999999999999999-g64", "no number of bits"},
        {"nf2-g64", "no number of bits from 3 to 4"},
        {"rtn3-g48", "'-g48' is no group"},
        {"rtn3-g064", "'-g064' is no group"},
        {"rtn3-64", "'-64' is no group"},
        {"rtn3-", "'-' is no group"},
        {"rtn3-g64-", "'-' means nothing"},
        {"rtn3-g64-symm", "'-symm' means nothing"},
        {"rtn3-g64-sym-sym", "'-sym' stands twice"},
        {"nf4-g64-dq-dq", "'-dq' stands twice"},
        {"nf4-g64-sym", "'-sym' means nothing"},
        {"rtn4-g64-dq", "'-dq' means nothing"},
        {"rtn4-row-shift", "'-shift' moves groups, of which a row has one"},
        {"gptq4-g64-sym", "'-sym' means nothing"},
        {"awq4-g64-asym", "'-asym' means nothing"},
        {"=rtn3-g64", "the name before '=' is empty"},
        {"full=rtn3-g64", "the name 'full'"},
        {"a b=rtn3-g64", "a name is made of"},
        {"a/b=rtn3-g64", "a name is made of"},
        {"RTN3-g64", "there is no method"},
        {"rtn3-g64,", "there is no method ''"},
        {"rtn3-g64:damp=0.01", "there is no option 'damp'"},
        {"gptq3-g64:damp", "the option 'damp' has no '=' and no value"},
        {"gptq3-g64:", "the option '' has no '=' and no value"},
        {"gptq3-g64:damp=", "option damp: a number from 0 to 1 is expected, '' was found"},
        {"gptq3-g64:damp=2", "option damp: a number from 0 to 1 is expected, '2' was found"},
        {"gptq3-g64:damp=nan", "option damp: a number from 0 to 1 is expected, 'nan' was found"},
        {"gptq3-g64:damp=0.01x", "option damp: a number from 0 to 1 is expected, '0.01x' was found"},
        {"gptq3-g64:damp=0.01,damp=0.02", "'damp' stands twice"},
        {"gptq3-g64:act_order=yes", "option act_order: on or off is expected, 'yes' was found"},
        {"gptq3-g64:block=0", "option block: a whole number from 1 to 1048576 is expected, '0' was found"},
        {"gptq3-g64:clip=off", "there is no option 'clip'"},
        {"gptq3-g64:group_aware=on", "one of the two is expected"},
        {"awq4-g128:damp=0.01", "there is no option 'damp'"},
    };
    for (auto const& [text, reason] : wrong) {
        const std::string said = refusal(text); // begins with the text
        CAPTURE(said);
        CHECK(said.find(reason) != std::string::npos);
        const std::size_t first_line = said.find('\n');
        CHECK(std::string_view(said).substr(0, first_line).ends_with("; what exists:"));
        CHECK(said.substr(first_line + 1) == method::existing());
    }
}

TEST_CASE("the fewest and the most bits that exist are taken") {
    for (const char* text :
         {"rtn2-row", "rtn8-row", "nf3-row", "nf4-row", "gptq2-row", "gptq8-row", "awq2-row", "awq8-row"})
        CHECK(parse_method(text).text() == text);
}

TEST_CASE("what exists is a line for each kind, and one for what all have") {
    CHECK(method::existing() ==
          "  rtn<2-8>-GROUP   -sym: on a grid symmetric about 0; -shift: groups moved by half of one\n"
          "  nf<3-4>-GROUP    -dq: scales are quantized too; -shift: groups moved by half of one\n"
          "  gptq<2-8>-GROUP  -asym: on a grid that is not symmetric about 0; after ':' damp, increment, act_order, "
          "static_groups, group_aware, block, mse, fresh_groups, as in gptq3-g64:damp=0.02,act_order=off\n"
          "  awq<2-8>-GROUP   -sym: on a grid symmetric about 0; after ':' scale and clip, as in awq4-g128:clip=off\n"
          "  PATH             of a quantized model: a folder that bitlens wrote, or any checkpoint of the same sizes\n"
          "  GROUP is g32, g64, g128 or row; a name may come first: rtn3-g64, mine=nf4-g64-dq, theirs=PATH");
}

TEST_CASE("a name has at most 200 letters, for files are named after it") {
    CHECK(parse_method(std::string(200, 'm') + "=rtn3-g64").name.size() == 200);
    CHECK(refusal(std::string(201, 'm') + "=rtn3-g64").find("the name has 201 letters; at most 200 are taken") !=
          std::string::npos);
}

TEST_CASE("the time of a list is in proportion to it") {
    std::string list = "first=rtn2-row";
    for (int i = 0; i < 300'000; ++i) list += ",m" + std::to_string(i) + "=rtn2-row";
    const std::clock_t begin = std::clock();
    CHECK(parse_methods(list).size() == 300'001);
    CHECK(refusal(list + ",first=nf3-row").find("two methods are called 'first'") != std::string::npos);
    CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC <
          10); // some tenths; every pair would take minutes
}
