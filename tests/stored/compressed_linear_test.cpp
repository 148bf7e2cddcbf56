#include "bitlens/stored/write_compressed.hpp"

#include "listed_layers.hpp"
#include "stored_for_test.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// What config.json says of a layer with these arguments.
json described(json const& weights, json const& more = json::object()) {
    json group{{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", nullptr}};
    json d{{"quant_method", "compressed-tensors"}, {"config_groups", {{"group_0", group}}}, {"ignore", {"lm_head"}}};
    d.update(more);
    return d;
}
part shape_part(std::int64_t out, std::int64_t in) {
    return {"weight_shape", safetensors_type::i64, {2}, bytes_of(std::vector<std::int64_t>{out, in})};
}
part typed_part(std::string suffix, safetensors_type type, std::vector<std::size_t> shape,
                std::vector<std::uint8_t> const& bytes) {
    return {std::move(suffix), type, std::move(shape), bytes_of(bytes)};
}
bool mentions(std::string const& text, std::string const& words) {
    CAPTURE(text);
    CAPTURE(words);
    return text.find(words) != std::string::npos;
}
/// One row of 40 codes (5i + 3) mod 2^bits under a scale of 1, as KAT-CT2 has them.
written_layer one_row(std::vector<std::uint32_t> const& codes, json const& description = json::object()) {
    return written_layer(
        {words("weight_packed", {1, codes.size()}, codes), floats("weight_scale", {1, 1}, {1.0f}), shape_part(1, 40)},
        description);
}
bool is_ramp(coded_matrix const& m, int bits) {
    bool fits = m.bits == bits && m.cols() == 40;
    for (std::size_t c = 0; c < m.cols(); ++c) fits = fits && m.codes(0, c) == (5 * c + 3) % (1u << bits);
    return fits;
}
std::vector<std::uint8_t> hex_bytes(std::string const& text) {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
    return bytes;
}

} // namespace

TEST_CASE("what compressed-tensors writes is read to the bit") {
    const auto all = listed_layers("compressed_tensors.txt");
    CHECK(all.size() == 38);
    for (auto const& golden : all) {
        CAPTURE(golden.form);
        CAPTURE(golden.arguments.dump());
        CHECK(hash_of_floats(written_layer(golden.parts, described(golden.arguments)).read()) == golden.decoded);
        // Without a description, the tensors say all but what their words leave open, and blocks.
        const auto alone = written_layer(golden.parts).refusal();
        if (golden.arguments.contains("block_structure"))
            CHECK(mentions(alone, "was found beside a weight of"));
        else if (alone == "no refusal")
            CHECK(hash_of_floats(written_layer(golden.parts).read()) == golden.decoded);
        else
            CHECK(mentions(alone, "may be codes of several layouts"));
    }
}

TEST_CASE("packed integers: known words (spec more-formats.md, KAT-CT1)") {
    const std::vector<std::uint32_t> row{0xB5F94D82, 0xA4E82C71, 0x93D71B6F, 0x82C60A4E,
                                         0x50A4E82C, 0x4E93D71B, 0x3D72C60A, 0x2C61B5F9};
    std::vector<std::uint32_t> codes;
    for (std::size_t r = 0; r < 16; ++r) codes.insert(codes.end(), row.begin(), row.end());
    std::vector<float> scales;
    for (std::size_t r = 0; r < 16; ++r) scales.insert(scales.end(), {.10208333f, .10104167f});
    const written_layer layer({words("weight_packed", {16, 8}, codes), floats("weight_scale", {16, 2}, scales),
                               words("weight_zero_point", {2, 2}, {0x78878878, 0x88787787, 0x78878788, 0x87787787}),
                               shape_part(16, 64)});
    CHECK(layer.linear()->type() == "compressed-tensors int4 g32");
    const auto m = layer.read();
    CHECK(m.zeros(0, 0) == 8);
    CHECK(m.zeros(0, 1) == 7);
    CHECK(m.zeros(8, 0) == 8);
    CHECK(m.zeros(15, 1) == 8);
    CHECK(m.codes(0, 0) == 2);
    CHECK(m.value_at(0, 0) == .10208333f * -6.0f);
    CHECK(m.value_at(0, 63) == .10104167f * -5.0f);
}

TEST_CASE("packed integers: both layouts of words, told by their number (spec more-formats.md, KAT-CT2)") {
    using list = std::vector<std::uint32_t>;
    CHECK(is_ramp(one_row(list{0x43C67543, 0x7543C675, 0xC67543C6, 0x00C67543},
                          described({{"num_bits", 3}}, {{"version", "0.20.1"}}))
                      .read(),
                  3));
    CHECK(is_ramp(one_row(list{0x03C67543, 0x150F19D5, 0x27543C67, 0x319D50F1},
                          described({{"num_bits", 3}}, {{"version", "0.17.1"}}))
                      .read(),
                  3));
    CHECK(is_ramp(one_row(list{0x79793503, 0xFD560B30, 0x77137249, 0x1BB45871, 0xF668F514, 0x79793503, 0x00000030},
                          described({{"num_bits", 5}}, {{"version", "0.18"}}))
                      .read(),
                  5));
    CHECK(is_ramp(one_row(list{0x39793503, 0x35582CC1, 0x3137249F, 0x2D161C5D, 0x28F5141B, 0x24D40FD9, 0x00030797},
                          described({{"num_bits", 5}}, {{"version", "0.9.4"}}))
                      .read(),
                  5));
    CHECK(is_ramp(
        one_row(list{0x1748D203, 0x5C2B9A17, 0x38913FEB, 0x2789D613, 0x503BDB1B, 0x79950F28, 0x37CADA23, 0x0000181F},
                described({{"num_bits", 6}}, {{"version", "0.20.1"}}))
            .read(),
        6));
    CHECK(is_ramp(one_row(list{0x61C72D83, 0xE94FA50B, 0x61C72D83, 0xE94FA50B, 0x61C72D83}).read(), 4));
    // 40 inputs of 3 bits take four words in both: nothing but the version tells.
    CHECK(mentions(one_row(list(4), described({{"num_bits", 3}})).refusal(), "may be codes of several layouts"));
    // Zeros of ten rows, −5 … 4.
    const auto m = written_layer({words("weight_packed", {10, 1}, list(10)),
                                  words("weight_zero_point", {2, 1}, {0xA9876543, 0x000000CB}),
                                  floats("weight_scale", {10, 1}, std::vector<float>(10, 1.0f)), shape_part(10, 8)})
                       .read();
    for (std::size_t r = 0; r < 10; ++r) CHECK(m.zeros(r, 0) == static_cast<float>(r + 3));
}

TEST_CASE("zeros of a byte each, as up to 0.9.3, and an order that was never set") {
    const std::vector<std::int8_t> zeros{-3, 2, 0, 7};
    const std::vector<std::int32_t> unset(16, -1);
    const auto m = written_layer({words("weight_packed", {2, 2}, {0x76543210, 0xFEDCBA98, 0, 0xFFFFFFFF}),
                                  halves("weight_scale", {2, 2}, {1, 2, 4, 8}),
                                  shape_part(2, 16),
                                  {"weight_zero_point", safetensors_type::i8, {2, 2}, bytes_of(zeros)},
                                  {"weight_g_idx", safetensors_type::i32, {16}, bytes_of(unset)}},
                                 described({{"num_bits", 4}, {"group_size", 8}}))
                       .read();
    CHECK(m.order.empty());
    CHECK(m.value_at(0, 0) == -8 + 3);
    CHECK(m.value_at(0, 15) == 2 * (7 - 2));
    CHECK(m.value_at(1, 0) == 4 * -8);
    CHECK(m.value_at(1, 15) == 8 * (7 - 7));
}

TEST_CASE("floats of 4 bits: known bytes (spec more-formats.md, KAT-CT3)") {
    const auto codes = typed_part("weight_packed", safetensors_type::u8, {1, 32},
                                  hex_bytes("9fe6724cafe6603dc7f5691ed6f35b9ee6724dbfe5603dc7f46a1ed6735b9ee6"));
    const auto scales = typed_part("weight_scale", safetensors_type::f8_e4m3, {1, 4}, hex_bytes("7d7e7d7e"));
    float g = 0;
    const auto g_bytes = hex_bytes("3d0a5745");
    std::memcpy(&g, g_bytes.data(), 4);
    const part exact = floats("weight_global_scale", {1}, {g});
    const auto m = written_layer({codes, scales, exact}).read();
    CHECK(m.group_columns == 16);
    CHECK(m.value_at(0, 0) == -.72544646f);
    CHECK(m.value_at(0, 1) == -.060453869f);
    CHECK(m.value_at(0, 2) == .48363096f);
    double sum = 0, weighted = 0;
    for (std::size_t c = 0; c < 64; ++c) {
        sum += double{m.value_at(0, c)};
        weighted += static_cast<double>(c + 1) * double{m.value_at(0, c)};
    }
    CHECK(sum == doctest::Approx(-.5859375670552254).epsilon(1e-12));
    CHECK(weighted == doctest::Approx(3.3203118443489075).epsilon(1e-12));
    // ModelOpt has the same bytes by other names, and 1/g.
    part other = codes, second = exact;
    other.suffix = "weight";
    second = {"weight_scale_2", safetensors_type::f32, {}, bytes_of(std::vector<float>{0.5f})};
    const written_layer modelopt({other, scales, second});
    CHECK(modelopt.linear()->type() == "ModelOpt nvfp4");
    CHECK(modelopt.read().value_at(0, 0) == -6.0f * 416 * 0.5f);

    const auto mx =
        written_layer({typed_part("weight_packed", safetensors_type::u8, {1, 32},
                                  hex_bytes("8ee6724cafe6603dc7f56a1ed7f45b9ee6724cafe5602dc7f46a1ed6735c9fe6")),
                       typed_part("weight_scale", safetensors_type::u8, {1, 2}, {0x7c, 0x7c})})
            .read();
    CHECK(mx.value_at(0, 0) == -.5f);
    CHECK(mx.value_at(0, 1) == 0.0f);
    CHECK(mx.value_at(0, 2) == .5f);
    sum = weighted = 0;
    for (std::size_t c = 0; c < 64; ++c) {
        sum += double{mx.value_at(0, c)};
        weighted += static_cast<double>(c + 1) * double{mx.value_at(0, c)};
    }
    CHECK(sum == -.1875);
    CHECK(weighted == -3);
}

TEST_CASE("numbers that are none are named by their place") {
    const auto codes = [](std::uint8_t odd) {
        std::vector<std::uint8_t> bytes(64, 0x38);
        bytes[37] = odd;
        return typed_part("weight", safetensors_type::f8_e4m3, {2, 32}, bytes);
    };
    const auto scale = floats("weight_scale", {1}, {0.5f});
    CHECK(written_layer({codes(0x7E), scale}).read().value_at(1, 5) == 224);
    for (const std::uint8_t nan : {std::uint8_t{0x7F}, std::uint8_t{0xFF}})
        CHECK(mentions(written_layer({codes(nan), scale}).refusal(), "row 1, column 5 is not finite"));
    CHECK(mentions(
        written_layer({codes(0), floats("weight_scale", {1}, {std::numeric_limits<float>::infinity()})}).refusal(),
        "\"layer.weight_scale\": row 0, column 0 is not finite"));
    const auto packed = typed_part("weight_packed", safetensors_type::u8, {1, 16}, std::vector<std::uint8_t>(16));
    CHECK(mentions(written_layer({packed, typed_part("weight_scale", safetensors_type::u8, {1, 1}, {255})}).refusal(),
                   "is 255, which is no number in E8M0"));
    CHECK(mentions(written_layer({packed, typed_part("weight_scale", safetensors_type::f8_e4m3, {1, 2}, {1, 0x7F}),
                                  floats("weight_global_scale", {1}, {1.0f})})
                       .refusal(),
                   "row 0, column 1 is not finite"));
    CHECK(mentions(written_layer({packed, typed_part("weight_scale", safetensors_type::f8_e4m3, {1, 2}, {1, 1}),
                                  floats("weight_global_scale", {1}, {0.0f})})
                       .refusal(),
                   "a number above 0 is expected"));
    const auto ints = typed_part("weight", safetensors_type::i8, {1, 2}, {7, 0xF7}); // 7, −9
    CHECK(mentions(written_layer({ints, scale}, described({{"num_bits", 4}, {"strategy", "tensor"}})).refusal(),
                   "column 1 is -9, which is no code of 4 bits"));
    CHECK(written_layer({ints, scale}).read().value_at(0, 1) == -4.5f);
}

TEST_CASE("what is said and what is stored have to agree") {
    const auto codes = words("weight_packed", {2, 8}, std::vector<std::uint32_t>(16, 0x88888888));
    const auto scale = halves("weight_scale", {2, 2}, {1, 1, 1, 1});
    const auto refusal = [&](json const& description) {
        return written_layer({codes, scale, shape_part(2, 64)}, description).refusal();
    };
    const json four{{"num_bits", 4}, {"strategy", "group"}, {"group_size", 32}};
    CHECK(refusal(described(four)) == "no refusal");
    CHECK(mentions(refusal(described({{"num_bits", 3}})),
                   "8 words a row of 64 inputs are not those of 3 bits, which group "
                   "\"group_0\" of config.json: key \"quantization_config\" says"));
    CHECK(mentions(refusal(described({{"num_bits", 4}, {"type", "float"}})),
                   "4-bit float is said of it by group \"group_0\""));
    CHECK(mentions(refusal(described({{"num_bits", 4}, {"group_size", 16}})), "groups of 16 are said of it"));
    CHECK(mentions(refusal(described({{"num_bits", 4}, {"strategy", "channel"}})),
                   "groups of a whole row are said of it"));
    CHECK(mentions(refusal(described(four, {{"ignore", {"re:lay"}}})),
                   "no group of config_groups takes in \"layer\", or it is ignored"));
    json elsewhere = described(four);
    elsewhere["config_groups"]["group_0"]["targets"] = {"k_proj"};
    CHECK(mentions(refusal(elsewhere), "no group of config_groups takes in \"layer\""));

    CHECK(mentions(written_layer({codes, scale, shape_part(2, 64), floats("input_scale", {1}, {1.0f})}).refusal(),
                   "\"layer.input_scale\": activations are quantized too"));
    CHECK(mentions(written_layer({codes, scale, shape_part(3, 64)}).refusal(),
                   "3 outputs and 64 inputs are said of codes"));
    CHECK(mentions(written_layer({codes, scale, shape_part(2, std::int64_t{1} << 62)}).refusal(), "are said of codes"));
    CHECK(mentions(written_layer({codes, scale, shape_part(2, -64)}).refusal(), "are said of codes"));
    CHECK(mentions(written_layer({codes, scale}).refusal(), "tensor \"layer.weight_shape\" is missing"));
    CHECK(mentions(
        written_layer({codes, halves("weight_scale", {2, 3}, {1, 1, 1, 1, 1, 1}), shape_part(2, 64)}).refusal(),
        "whose inputs are no such number of groups"));
    CHECK(mentions(written_layer({codes, halves("weight_scale", {3, 1}, {1, 1, 1}), shape_part(2, 64)}).refusal(),
                   "was found beside a weight of (2, 64)"));
    CHECK(mentions(
        written_layer({codes, scale, shape_part(2, 64), floats("weight", {2, 64}, std::vector<float>(128))}).refusal(),
        "\"layer.weight\" does not belong to a linear layer of this kind"));
    CHECK(mentions(
        written_layer({floats("weight", {2, 4}, std::vector<float>(8)), floats("weight_scale", {2, 1}, {1, 1})})
            .refusal(),
        "the weight is in full precision"));
    CHECK(mentions(
        written_layer({typed_part("weight_packed", safetensors_type::u8, {1, 24}, std::vector<std::uint8_t>(24)),
                       typed_part("weight_scale", safetensors_type::u8, {1, 1}, {127})})
            .refusal(),
        "(mxfp6) are not read"));
}

TEST_CASE("which layer is of which group (spec more-formats.md, KAT-CT0)") {
    const auto group = [](std::vector<std::string> const& targets, int bits) {
        return json{{"targets", targets}, {"weights", {{"num_bits", bits}}}};
    };
    const compressed_schemes s(json{{"config_groups",
                                     {{"g0", group({"Linear"}, 4)},
                                      {"g1", group({"re:.*down_proj"}, 8)},
                                      {"g2", group({"model.layers.1.mlp.down_proj"}, 3)},
                                      {"g3", group({"re:down_proj", "k_proj"}, 2)}}},
                                    {"ignore", {"lm_head", "re:.*o_proj$", "layers.0.self_attn.q_proj"}}},
                               "config.json");
    const auto bits = [&](std::string const& name) {
        auto const* const found = s.of(name);
        return found == nullptr ? 16 : found->bits;
    };
    for (const char* name :
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"})
        CHECK(bits("model.layers.0." + std::string(name)) == 4);
    CHECK(bits("model.layers.0.mlp.down_proj") == 8);
    CHECK(bits("model.layers.1.mlp.down_proj") == 3);
    CHECK(bits("model.layers.1.self_attn.o_proj") == 16);
    CHECK(bits("lm_head") == 16);
    CHECK(bits("model.embed_tokens") == 16);
    // The name that a model of text has within another, and its own.
    CHECK(bits("language_model.model.layers.1.mlp.down_proj") == 3);
    CHECK_FALSE(s.refusal());
    const compressed_schemes twice(json{{"config_groups", {{"a", group({"x"}, 4)}, {"b", group({"x"}, 2)}}}},
                                   "config.json");
    CHECK(twice.of("x")->bits == 2);
    const compressed_schemes presets(json{{"config_groups", {{"W4A16_ASYM", {"re:a"}}, {"NVFP4A16", {"re:b"}}}}},
                                     "config.json");
    CHECK(presets.of("a")->bits == 4);
    CHECK(presets.of("b")->is_float);
    CHECK_FALSE(presets.refusal());
}

TEST_CASE("patterns of names match as Python's re.match does") {
    const auto matches = [](std::string_view pattern, std::string_view name) {
        return module_pattern(pattern, "config.json").matches(name);
    };
    CHECK(matches("a.c", "abcd"));
    CHECK_FALSE(matches("b", "abc"));
    CHECK(matches(".*lm_head$", "model.lm_head"));
    CHECK_FALSE(matches(".*lm_head$", "lm_head.x"));
    CHECK(matches("model\\.layers\\.(0|1[0-9])\\.", "model.layers.17.mlp"));
    CHECK_FALSE(matches("model\\.layers\\.(0|1[0-9])\\.", "model.layers.27.mlp"));
    CHECK(matches("^(?!.*(gate|lm_head)).*proj", "mlp.up_proj"));
    CHECK_FALSE(matches("^(?!.*(gate|lm_head)).*proj", "mlp.gate_proj"));
    CHECK(matches("(?:ab){2,3}c", "ababc"));
    CHECK_FALSE(matches("(?:ab){2,3}c", "abc"));
    CHECK(matches("x{,2}y", "xxy"));
    CHECK(matches("a+?b*?[^.]\\d\\w", "aaz1_"));
    CHECK(matches("[]a-c-]+$", "-]cb"));
    CHECK(matches("a{x", "a{x"));
    CHECK(matches("\\bfoo\\b", "foo.bar"));
    CHECK_FALSE(matches("(?=.*x)a", "ab"));
    CHECK(matches("", "anything"));
    CHECK(matches("a||b", "zzz"));
    CHECK_FALSE(matches("(a*)*b", std::string(2000, 'a')));
    CHECK_FALSE(matches("(?:(?=a*b)|(?!a*c)a)*$", "aabaa"));
    CHECK(matches("(?:a(?=b)|b(?!b)){4}$", "abab"));
    CHECK_FALSE(matches("(?:a(?=b)|b(?!b)){4}$", "abba"));
    CHECK(matches("(?=(?!b)(a|b(?=a))*$)a", "aba"));
    CHECK_FALSE(matches("(?=(?!b)(a|b(?=a))*$)a", "abb"));
    CHECK(matches("(?=\\b)(?!$).", "a"));
    for (const char* bad :
         {"(", ")", "a)", "[a", "*", "a**", "a{2}{3}", "(?i)a", "(?P<x>a)", "\\1", "\\q", "[z-a]", "[\\d-z]", "\\",
          "((((((((((((((((((((((a))))))))))))))))))))))", "(((a{99}){99}){99})", "a{3,2}"})
        CHECK_THROWS_AS(module_pattern(bad, "config.json"), format_error);
}

TEST_CASE("looks ahead within each other take no longer than their number, and patterns together have a limit") {
    std::string looks, ends;
    for (int i = 0; i < 20; ++i) {
        looks += "(?=.*";
        ends += ')';
    }
    CHECK_FALSE(module_pattern(looks + "x" + ends, "config.json").matches(std::string(2000, 'a')));
    CHECK(module_pattern(looks + "a" + ends, "config.json").matches(std::string(2000, 'a')));
    CHECK_FALSE(module_pattern("(.(?=.*x))+$", "config.json").matches(std::string(20000, 'a')));
    CHECK(module_pattern("(.(?=.*a|$))+$", "config.json").matches(std::string(20000, 'a')));
    CHECK_THROWS_WITH_AS(module_pattern("(?=a{1500})(?=b{1500})", "config.json"), doctest::Contains("is too long"),
                         format_error);
    json ignored = json::array();
    for (std::size_t i = 0; i < 26; ++i) ignored.push_back("re:a{1900}" + std::string(i, 'b'));
    const auto all = [&] { return compressed_schemes(json{{"ignore", ignored}}, "config.json"); };
    CHECK_NOTHROW(all());
    ignored.push_back("re:c{1900}");
    CHECK_THROWS_WITH_AS(all(), doctest::Contains("patterns of layers of more than 50000 characters"), format_error);
}

TEST_CASE("what compressed-tensors says and is not read is named with its group") {
    const auto refusal = [](json const& more, json const& group = json::object()) {
        json d = described({{"num_bits", 8}, {"type", "int"}, {"strategy", "channel"}}, more);
        d["config_groups"]["group_0"].update(group);
        return compressed_schemes(d, "config.json").refusal().value_or("read");
    };
    CHECK(refusal(json::object()) == "read");
    CHECK(refusal({{"quantization_status", "compressed"},
                   {"sparsity_config", json::object()},
                   {"kv_cache_scheme", nullptr},
                   {"format", "mixed-precision"},
                   {"transform_config", json::object()}}) == "read");
    CHECK(refusal(json::object(), {{"input_activations",
                                    {{"num_bits", 8}, {"type", "int"}, {"dynamic", true}, {"strategy", "token"}}}}) ==
          "group \"group_0\": input activations 8-bit int, dynamic per token (W8A8)");
    CHECK(
        refusal(json::object(), {{"input_activations",
                                  {{"num_bits", 8}, {"type", "float"}, {"dynamic", false}, {"strategy", "tensor"}}}}) ==
        "group \"group_0\": input activations 8-bit float, static per tensor (W8A8)");
    CHECK(refusal(json::object(), {{"input_activations",
                                    {{"num_bits", 4}, {"type", "float"}, {"dynamic", "local"}, {"group_size", 16}}}}) ==
          "group \"group_0\": input activations 4-bit float, dynamic local in groups of 16 (W8A4)");
    CHECK(
        mentions(refusal(json::object(), {{"output_activations", {{"num_bits", 8}}}}), "output activations 8-bit int"));
    CHECK(mentions(refusal({{"kv_cache_scheme", {{"num_bits", 8}, {"type", "float"}}}}), "kv cache 8-bit float"));
    CHECK(mentions(refusal({{"format", "sparse-24-bitmask"}}), "format \"sparse-24-bitmask\""));
    CHECK(mentions(refusal({{"format", "marlin-24"}}), "marlin-24"));
    CHECK(mentions(refusal(json::object(), {{"format", "mxfp6-pack-quantized"}}),
                   "group \"group_0\": format \"mxfp6-pack-quantized\""));
    CHECK(mentions(refusal({{"sparsity_config", {{"format", "sparse-bitmask"}}}}), "sparse-bitmask"));
    CHECK(mentions(refusal({{"quantization_status", "frozen"}}), "quantization_status \"frozen\""));
    const auto rotated = [&](const char* location) {
        return refusal(
            {{"transform_config",
              {{"config_groups",
                {{"R1", {{"type", "hadamard"}, {"apply", {{{"targets", {"Linear"}}, {"location", location}}}}}}}}}}});
    };
    CHECK(rotated("weight_input") == "read");
    CHECK(rotated("weight_output") == "read");
    CHECK(rotated("q_attn") == "online rotation of q_attn (\"R1\")");
    CHECK(rotated("input") == "online rotation of input (\"R1\")");
    for (const char* preset : {"W8A8", "FP8_DYNAMIC", "NVFP4", "W4A8", "mxfp4"})
        CHECK(mentions(
            compressed_schemes(json{{"config_groups", {{preset, {"Linear"}}}}}, "c").refusal().value_or("read"),
            "activations are quantized too"));
    CHECK(mentions(compressed_schemes(json{{"config_groups", {{"W9A16", {"Linear"}}}}}, "c").refusal().value_or("read"),
                   "there is no preset of this name"));
    for (json const& bad :
         {json{{"config_groups", 5}}, json{{"config_groups", {{"g", 5}}}},
          json{{"config_groups", {{"g", json::object()}}}}, json{{"config_groups", {{"g", {{"targets", {1}}}}}}},
          json{{"ignore", "x"}},
          json{{"config_groups", {{"g", {{"targets", {"x"}}, {"weights", {{"type", "fixed"}}}}}}}},
          json{{"config_groups", {{"g", {{"targets", {"x"}}, {"weights", {{"strategy", "block"}}}}}}}}})
        CHECK_THROWS_AS(compressed_schemes(bad, "config.json"), format_error);
}

TEST_CASE("what is written for compressed-tensors is what the package writes, and reads back the same") {
    for (auto const& golden : listed_layers("compressed_tensors.txt")) {
        if (golden.form != "pack-quantized" || golden.arguments["strategy"] == "tensor") continue;
        CAPTURE(golden.arguments.dump());
        const auto m = written_layer(golden.parts, described(golden.arguments)).read();
        const auto written = write_compressed(m, safetensors_type::f32);
        CHECK(written.size() == golden.parts.size());
        for (auto const& p : golden.parts) {
            const auto same = std::ranges::find(written, p.suffix, &part::suffix);
            REQUIRE(same != written.end());
            CHECK(same->type == p.type);
            CHECK(same->shape == p.shape);
            CHECK(same->bytes == p.bytes);
        }
        const auto said = compressed_arguments(m);
        for (const char* key : {"num_bits", "symmetric", "strategy"}) CHECK(json(said[key]) == golden.arguments[key]);
        const auto again =
            written_layer(written, json::parse(compressed_description({{said, {"Linear"}}}, {"lm_head"}).dump()))
                .read();
        CHECK(again.codes.span().size() == m.codes.span().size());
        CHECK(std::ranges::equal(again.codes.span(), m.codes.span()));
        CHECK(std::ranges::equal(again.zeros.span(), m.zeros.span()));
        CHECK(std::ranges::equal(again.scales.span(), m.scales.span()));
    }
    coded_matrix m(4, 2, 64, 32);
    m.zeros = matrix<float>(2, 2);
    m.order.resize(64);
    for (std::uint32_t k = 0; k < 64; ++k) {
        m.order[k] = k % 32 * 2 + k / 32;
        m.codes(1, k) = static_cast<std::uint8_t>(k % 16);
    }
    std::ranges::fill(m.scales.span(), 0.25f);
    const auto again = written_layer(write_compressed(m)).read();
    CHECK(again.order == m.order);
    CHECK(std::ranges::equal(again.codes.span(), m.codes.span()));
    CHECK(json(compressed_arguments(m)["actorder"]) == "group");
    const auto refusal = [](coded_matrix const& x) -> std::string {
        try {
            static_cast<void>(write_compressed(x));
        } catch (shape_error const& e) {
            return e.what();
        }
        return "written";
    };
    CHECK(refusal(m) == "written");
    const auto copy = [&] { return m.with_rows(2, [](std::size_t r) { return r; }); };
    auto odd = copy();
    odd.scales(1, 0) = 0.1f;
    CHECK(mentions(refusal(odd), "does not hold that of row 1, group 0 exactly"));
    odd = copy();
    odd.zeros(0, 1) = 0.5f;
    CHECK(mentions(refusal(odd), "zeros are integers from 0 to 15"));
    odd = copy();
    odd.offsets = matrix<float>(2, 2);
    CHECK(mentions(refusal(odd), "offsets of groups are not held"));
    odd = copy();
    odd.levels.assign(e2m1_table.begin(), e2m1_table.end());
    CHECK(mentions(refusal(odd), "levels that are not equally spaced are not held"));
    CHECK(mentions(refusal(coded_matrix(4, 2, 48, 32)), "the last is shorter"));
}
