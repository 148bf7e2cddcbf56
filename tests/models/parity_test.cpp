// Tiny models against the goldens that transformers gave (tests/data/models/make_goldens.py).
#include "bitlens/models/transformer.hpp"

#include "written_model.hpp"

#include "bitlens/hooks/record.hpp"
#include "bitlens/io/npz.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using any_dense = mixed_matrix<dense<float>, dense<bf16>, dense<f16>>;
using every_point = decltype(std::tuple_cat(hook::all{}, hook::once{}));

/// Whatever fires, by the name of the golden array.
template <class Points>
struct by_name;
template <class... Points>
struct by_name<std::tuple<Points...>> {
    using points = hook::set<Points...>;
    std::map<std::string, std::vector<float>> seen;

    template <hook::point Point>
    void on(Point, site at, matrix_view<const float> a) {
        const std::string name(hook::name<Point>);
        auto& values = seen[hook::per_layer<Point> ? name + "_l" + std::to_string(at.layer) : name];
        CHECK(values.empty());
        for (std::size_t t = 0; t < a.rows; ++t) values.insert(values.end(), a.row(t).begin(), a.row(t).end());
    }
};
using everything = by_name<every_point>;

everything run(checkpoint const& source, std::vector<std::int32_t> const& ids) {
    everything probe;
    visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        transformer<Architecture, any_dense>(source, true).forward(ids, probe);
    });
    return probe;
}

} // namespace

TEST_CASE("every point of tiny models equals transformers', from folders and from GGUF") {
    for (const std::string name : {"llama_f32_tied", "llama_bf16_shards", "llama_f16", "llama_bf16_odd",
                                   "qwen2_f32_tied", "qwen2_bf16_shards", "qwen2_f16", "qwen2_bf16_odd"}) {
        CAPTURE(name);
        const std::filesystem::path golden_folder = std::filesystem::path(BITLENS_TEST_DATA) / "models" / name;
        const npz_reader golden(golden_folder / "golden.npz");
        const auto ids = golden.array("ids").values<std::int32_t>();

        const auto config_file = read_json_file(golden_folder / "config.json");
        problem_list problems;
        const auto config = read_config(config_file, name, problems);
        REQUIRE(problems.texts() == std::vector<std::string>{});
        const auto type = name.find("bf16") != std::string::npos  ? safetensors_type::bf16
                          : name.find("f16") != std::string::npos ? safetensors_type::f16
                                                                  : safetensors_type::f32;
        const auto tensors = make_tensors(config, type);
        const temporary_folder folder;
        write_folder(folder / "hf", config_file, tensors, name.find("shards") != std::string::npos ? 3 : 1);
        write_gguf(folder / "model.gguf", config, tensors);

        const auto from_folder = run(checkpoint(folder / "hf"), ids);
        CHECK(from_folder.seen.size() + 1 == golden.names().size()); // ids is the one more
        for (auto const& seen : from_folder.seen) {
            CAPTURE(seen.first);
            auto const& ours = seen.second;
            const auto truth = golden.array(seen.first).values<float>();
            REQUIRE(ours.size() == truth.size());
            double worst = 0, largest = 0;
            for (std::size_t i = 0; i < ours.size(); ++i) {
                worst = std::max(worst, std::abs(double{ours[i]} - double{truth[i]}));
                largest = std::max(largest, std::abs(double{truth[i]}));
            }
            CHECK(worst <= 1e-4 * largest);
        }
        const auto from_gguf = run(checkpoint(folder / "model.gguf"), ids);
        CHECK(from_gguf.seen == from_folder.seen);
    }
}
