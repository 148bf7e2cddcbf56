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
}

TEST_CASE("what a method's text means") {
    const method m = parse_method("mine_2.b=rtn3-g64-sym");
    CHECK(m.name == "mine_2.b");
    CHECK(m.kind == method_kind::rtn);
    CHECK(m.bits == 3);
    CHECK(m.group_size == 64);
    CHECK(m.symmetric);
    CHECK_FALSE(m.nested_scales);
    const method n = parse_method("nf4-row-dq");
    CHECK(n.kind == method_kind::normal_float);
    CHECK(n.group_size == 0);
    CHECK(n.nested_scales);
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
    using bitlens::detail::split_methods;
    const auto pieces = [](std::string_view list) {
        std::string all;
        for (const auto text : split_methods(list)) all += "[" + std::string(text) + "]";
        return all;
    };
    CHECK(pieces("gptq3-g64:damp=0.02,act_order=off,nf3-g64") == "[gptq3-g64:damp=0.02,act_order=off][nf3-g64]");
    CHECK(pieces("a=gptq3-g64:damp=0.02,b=rtn3-g64,c=nf3-g64") == "[a=gptq3-g64:damp=0.02][b=rtn3-g64][c=nf3-g64]");
    CHECK(pieces("rtn3-g64,damp=0.02") == "[rtn3-g64][damp=0.02]");
    CHECK(pieces("a:x=1,,y=2") == "[a:x=1][][y=2]");
    CHECK(refusal("rtn3-g64:x=1,y=2,nf3-g64").find("method 'rtn3-g64:x=1,y=2': there are no options like ':x=1,y=2'") ==
          0);
}

TEST_CASE("a refusal shows what came from outside without obeying it") {
    CHECK(refusal("\x1b[2Jrtn3-g64").find("method '␛[2Jrtn3-g64'") == 0);
}

TEST_CASE("a refusal says what is wrong and what exists") {
    const std::vector<std::pair<std::string, std::string>> wrong{
        {"rtn3", "the group is missing"},
        {"full", "the model as it is stored is no method, and runs without being named"},
        {"gptq3-g64", "there is no method 'gptq3'"},
        {"/models/awq", "there is no method"},
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
        {"nf4-g64-sym", "-sym belongs to rtn"},
        {"rtn4-g64-dq", "-dq belongs to nf"},
        {"=rtn3-g64", "the name before '=' is empty"},
        {"full=rtn3-g64", "the name 'full'"},
        {"a b=rtn3-g64", "a name is made of"},
        {"a/b=rtn3-g64", "a name is made of"},
        {"RTN3-g64", "there is no method"},
        {"rtn3-g64,", "there is no method ''"},
        {"rtn3-g64:damp=0.01", "there are no options like ':damp=0.01'"},
        {"gptq3-g64:damp=0.02,act_order=off", "there is no method 'gptq3'"},
    };
    for (auto const& [text, reason] : wrong) {
        const std::string said = refusal(text); // begins with the text
        CAPTURE(said);
        CHECK(said.find(reason) != std::string::npos);
        CHECK(said.find("rtn2 … rtn8 and nf3, nf4") != std::string::npos);
    }
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
