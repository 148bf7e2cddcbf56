#include "bitlens/models/quantization_facts.hpp"

#include "bitlens/io/gguf_writer.hpp"
#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

using namespace bitlens;
using test::temporary_folder;

TEST_CASE("every fact of a description is told, long lists and deep objects by their size") {
    const json said{
        {"quant_method", "gptq"},
        {"bits", 4},
        {"desc_act", true},
        {"checkpoint_format", nullptr},
        {"meta", {{"quantizer", {"gptqmodel:7.7.0"}}, {"damp_percent", 0.05}}},
        {"config_groups",
         {{"group_0", {{"targets", {"Linear", "a", "b", "c"}}, {"weights", {{"num_bits", 4}, {"of", {{"a", 1}}}}}}}}},
        {"dataset", "web pages\nof mine"}};
    std::string all;
    for (auto const& fact : detail::quantization_facts(said)) all += fact + '\n';
    CHECK(all == "bits 4\n"
                 "config_groups.group_0.targets 4 values\n"
                 "config_groups.group_0.weights.num_bits 4\n"
                 "config_groups.group_0.weights.of 1 value\n"
                 "dataset web pages\\x0aof mine\n"
                 "desc_act true\n"
                 "meta.damp_percent 0.05\n"
                 "meta.quantizer gptqmodel:7.7.0\n"
                 "quant_method gptq\n");
    CHECK(detail::quantization_facts(json::object()).empty());
    CHECK(detail::quantization_facts(json("gptq")).empty());
}

TEST_CASE("of a GGUF file, what it says of its type, its quantizer and its importance matrix") {
    const temporary_folder folder;
    gguf_values values;
    values.set("general.architecture", std::string("llama"));
    values.set("general.file_type", std::uint32_t{15});
    values.set("general.quantized_by", std::string("somebody"));
    values.set("quantize.imatrix.dataset", std::string("calibration.txt"));
    values.set("quantize.imatrix.chunks_count", std::int32_t{128});
    bitlens::write_gguf(folder / "m.gguf", values, {}, [](std::size_t) { return std::span<const std::byte>(); });
    CHECK(detail::quantization_facts(gguf_file(folder / "m.gguf")) ==
          std::vector<std::string>{"general.file_type 15", "general.quantized_by somebody",
                                   "quantize.imatrix.dataset calibration.txt", "quantize.imatrix.chunks_count 128"});
}
