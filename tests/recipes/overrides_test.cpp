#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_model.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

constexpr std::size_t layers = 4;

override_rules rules_of(std::string const& text) { return {parse_json(text, "o.json"), "o.json", layers}; }

std::string refusal_of_rules(std::string const& text) {
    try {
        (void)rules_of(text);
    } catch (format_error const& e) {
        return e.what();
    }
    return "accepted";
}

std::string treated(override_rules const& rules, std::size_t layer, projection p) {
    std::optional<method> const* const found = rules.find(layer, p);
    return found == nullptr ? "-" : found->has_value() ? (*found)->text() : "full";
}

} // namespace

TEST_CASE("the last rule that matches holds") {
    const auto rules = rules_of(R"({"rules": [
        {"projection": "*", "layers": "0-1,3", "use": "rtn8-g64"},
        {"projection": "gate_proj|up_proj", "layers": "*", "use": "full"},
        {"projection": "up_proj", "layers": "3", "use": "nf4-row-dq"}]})");
    CHECK(treated(rules, 0, projection::q) == "rtn8-g64");
    CHECK(treated(rules, 1, projection::down) == "rtn8-g64");
    CHECK(treated(rules, 2, projection::q) == "-");
    CHECK(treated(rules, 3, projection::v) == "rtn8-g64");
    CHECK(treated(rules, 2, projection::gate) == "full");
    CHECK(treated(rules, 0, projection::up) == "full");
    CHECK(treated(rules, 3, projection::up) == "nf4-row-dq");
}

TEST_CASE("no rules match nothing") {
    CHECK(treated(override_rules(), 0, projection::q) == "-");
    CHECK(treated(rules_of(R"({"rules": []})"), 0, projection::q) == "-");
}

TEST_CASE("a refusal names file, rule and reason") {
    const auto one = [](std::string const& projections, std::string const& range, std::string const& use) {
        return R"({"rules": [{"projection": ")" + projections + R"(", "layers": ")" + range + R"(", "use": ")" + use +
               R"("}]})";
    };
    REQUIRE(refusal_of_rules(one("*", "0", "full")) == "accepted");
    const std::vector<std::pair<std::string, std::string>> wrong{
        {one("q", "*", "full"), "there is no projection \"q\"; expected * or q_proj, k_proj"},
        {one("q_proj|", "*", "full"), "there is no projection \"\""},
        {one("*", "4", "full"), "layer 4; this model has layers 0 to 3"},
        {one("*", "0-4", "full"), "layer 4; this model has layers 0 to 3"},
        {one("*", "2-1", "full"), "numbers and ranges"},
        {one("*", "", "full"), "numbers and ranges"},
        {one("*", "1,", "full"), "numbers and ranges"},
        {one("*", "-1", "full"), "numbers and ranges"},
        {one("*", "1-2-3", "full"), "numbers and ranges"},
        {one("*", "99999999999999999999", "full"), "numbers and ranges"},
        {one("*", "*", "rtn3"), "the group is missing"},
        {one("*", "*", "a=rtn3-g64"), "a method without a name"},
        {R"({"rules": [{"projection": "*", "layers": "*"}]})", "the key \"use\" is missing"},
        {R"({"rules": [{"projection": "*", "layer": "*", "use": "full"}]})",
         "the key \"layer\" means nothing here; expected projection, layers, use"},
        {R"({"rules": [{"projection": "*", "layers": 3, "use": "full"}]})", "a string is expected"},
        {R"({"rules": [3]})", "an object is expected"},
    };
    for (auto const& [text, reason] : wrong) {
        const std::string said = refusal_of_rules(text);
        CAPTURE(said);
        CHECK(said.starts_with("o.json: rule 1 ("));
        CHECK(said.find(reason) != std::string::npos);
    }
    CHECK(refusal_of_rules(R"({"rule": []})").find("o.json: the key \"rule\" means nothing here; expected rules") !=
          std::string::npos);
    CHECK(refusal_of_rules("{}").find("an array \"rules\" is expected") != std::string::npos);
    CHECK(refusal_of_rules("[]").find("an object is expected") != std::string::npos);
}

TEST_CASE("a refusal shows the rule as JSON, and of a long one the beginning") {
    CHECK(
        refusal_of_rules(R"({"rules": [{"projection": "q_proj", "layers": "9", "use": "full"}]})") ==
        R"(o.json: rule 1 ({"layers":"9","projection":"q_proj","use":"full"}): layer 9; this model has layers 0 to 3)");
    CHECK(refusal_of_rules(R"({"rules": ["\u001bü\u007f"]})")
              .starts_with("o.json: rule 1 (\"\\u001b\\u00fc\\u007f\"): an object is expected"));
    const std::string said = refusal_of_rules("{\"rules\": [\"" + std::string(1000, 'x') + "\"]}");
    CHECK(said.starts_with("o.json: rule 1 (\"" + std::string(199, 'x') + "…): an object"));
}

TEST_CASE("a rule that holds nowhere is an error") {
    const std::string said = refusal_of_rules(R"({"rules": [{"projection": "q_proj", "layers": "1", "use": "full"},
                                                   {"projection": "*", "layers": "*", "use": "nf4-g64"}]})");
    CAPTURE(said);
    CHECK(said.starts_with("o.json: rule 1 "));
    CHECK(said.find("holds for no matrix") != std::string::npos);
}

TEST_CASE("the example of docs/study.md comes to what the page says") {
    constexpr std::size_t page_layers = 30;
    const auto rules = read_override_rules(
        std::filesystem::path(BITLENS_TEST_DATA) / ".." / ".." / "docs" / "examples" / "overrides.json", page_layers);
    const method of_the_study = parse_method("rtn3-g64");
    for (std::size_t layer = 0; layer < page_layers; ++layer)
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto which = static_cast<projection>(p);
            const bool last = layer == 29;
            std::string expected = layer < 2 || last ? "rtn8-g64" : "rtn3-g64";
            if (which == projection::gate) expected = "full";
            if (which == projection::up) expected = last ? "nf4-g64-dq" : "full";
            const auto use = treatment_of(of_the_study, rules, layer, which);
            CAPTURE(layer);
            CAPTURE(name(which));
            CHECK((use ? use->text() : "full") == expected);
        }
}
