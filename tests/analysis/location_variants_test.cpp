#include "bitlens/analysis/location_variants.hpp"

#include "models/written_model.hpp"

#include "bitlens/analysis/location_results.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/sweep/run_study.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

using weight = study_matrix;

struct no_layers final : layer_source<weight> {
    block_weights<weight> layer(std::size_t) override { return {}; }
};

/// Of methods whose weights nobody asks for.
location_variants<weight> named_variants(std::vector<std::string> const& methods, location_request const& request,
                                         std::size_t layers) {
    std::vector<located_model<weight>> models{{full_model_name, {}, std::make_shared<no_layers>()}};
    for (auto const& m : methods) models.push_back({m, "spec of " + m, std::make_shared<no_layers>()});
    return make_location_variants<weight>(models, request, layers);
}

location_request everything(layer_range range, std::size_t layers) {
    location_request r;
    r.exits = r.restore = r.patch = r.gates = r.sensitivity = r.attenuation = true;
    r.layers = range;
    r.sensitive_layers = {0, layers};
    return r;
}

std::set<std::string> names_of(location_variants<weight> const& found) {
    std::set<std::string> names;
    for (auto const& v : found.variants) CHECK_MESSAGE(names.insert(v.name).second, v.name);
    return names;
}

std::string words_of(location_variants<weight> const& found, std::string const& name) {
    const auto place = std::ranges::find(found.described, name, &run_method::name);
    return place == found.described.end() ? "none is called " + name : place->spec;
}

using columns_of_documents = std::map<std::string, std::vector<double>>;

/// The losses of all variants, under the names of locate.csv. A column that is there already has the same bits.
template <class Model>
void add_losses(columns_of_documents& all, Model const& model, std::vector<variant<weight>> const& variants,
                document_rows const& documents) {
    const auto table = measure_run(model, variants, documents, {2, 1}, location_losses{});
    for (stored_column const& s : table.columns()) {
        const auto [place, is_new] = all.try_emplace(s.name, s.numbers);
        CAPTURE(s.name);
        CHECK((is_new || place->second == s.numbers));
    }
}

/// Every column that the command has a way of asking for, and patches of the other points from layer L − 2 on.
template <class Model>
columns_of_documents losses_of(Model const& model, std::vector<std::string> const& methods,
                               document_rows const& documents) {
    const std::size_t layers = model.config().layers;
    std::vector<located_model<weight>> models{{full_model_name, {}, model.layers()}};
    for (auto const& m : methods)
        models.push_back({m, m, std::make_shared<quantized_layers<weight>>(model.layers(), parse_method(m))});
    std::vector<location_request> requests;
    for (const layer_range range : {layer_range{0, layers}, {layers / 2, layers}, {1, layers / 2 + 1}})
        requests.push_back(everything(range, layers));
    requests.push_back({});
    requests.back().exits = true;
    requests.back().layers = {0, layers};
    requests.back().scale = exit_scale::frozen;
    columns_of_documents all;
    for (auto const& request : requests)
        add_losses(all, model, make_location_variants<weight>(models, request, layers).variants, documents);

    auto direct = make_location_variants<weight>(models, {}, layers).variants;
    for (auto const& m : methods)
        for (const point_id point : {hook::id_of<hook::mlp_gate>, hook::id_of<hook::mlp_up>,
                                     hook::id_of<hook::attn_out>, hook::id_of<hook::mlp_gate_in>})
            direct.push_back(variant<weight>::fork(location_names::patch_from(m, name(point), layers - 2), m)
                                 .patched(point, full_model_name, {layers - 2, layers}));
    add_losses(all, model, direct, documents);
    return all;
}

} // namespace

TEST_CASE("every column equals transformers', on two tiny models") {
    constexpr double tolerance = 2e-6; // nats; rounding makes 4e-7
    const json goldens = read_json_file(std::filesystem::path(BITLENS_TEST_DATA) / "models" / "locate_goldens.json");
    REQUIRE(goldens.at("models").size() == 2);
    for (json const& golden : goldens.at("models")) {
        CAPTURE(golden.at("name"));
        problem_list problems;
        const auto config = read_config(golden.at("config"), "config", problems);
        REQUIRE(problems.texts().empty());
        const test::temporary_folder folder;
        test::write_folder(folder / "model", golden.at("config"), test::make_tensors(config, safetensors_type::f32));
        const auto ids = golden.at("documents").get<std::vector<std::vector<std::int32_t>>>();
        matrix<std::int32_t> rows(ids.size(), ids[0].size());
        for (std::size_t n = 0; n < ids.size(); ++n) std::ranges::copy(ids[n], rows.row(n).begin());
        const auto documents = document_rows::numbered(std::move(rows));
        const checkpoint source(folder / "model");
        const auto found = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
            return losses_of(transformer<Architecture, weight>(source, true),
                             golden.at("methods").get<std::vector<std::string>>(), documents);
        });
        CHECK(golden.at("columns").size() > 140);
        for (auto const& each : golden.at("columns").items()) {
            json const& losses = each.value();
            CAPTURE(each.key());
            const auto column = found.find(each.key());
            REQUIRE(column != found.end());
            REQUIRE(losses.size() == documents.size());
            for (std::size_t n = 0; n < documents.size(); ++n)
                CHECK(std::abs(column->second[n] - losses[n].get<double>()) < tolerance);
        }
    }
}

TEST_CASE("a curve has every n-th layer of its range, counted from the last one") {
    using layers = std::vector<std::size_t>;
    const auto curve = [](std::size_t first, std::size_t end, std::size_t every) {
        return detail::layers_of_curve({first, end}, every);
    };
    CHECK(curve(0, 4, 1) == layers{0, 1, 2, 3});
    CHECK(curve(2, 7, 2) == layers{2, 4, 6});
    CHECK(curve(2, 8, 2) == layers{3, 5, 7});
    CHECK(curve(2, 8, 5) == layers{2, 7});
    CHECK(curve(2, 8, 6) == layers{7});
    CHECK(curve(0, 3, 4'000'000'000) == layers{2});
    CHECK(curve(5, 6, 1) == layers{5});
    CHECK(curve(0, 1, 3) == layers{0});
}

TEST_CASE("a patch is called by its layers where they are not the upper half") {
    const auto name = [](std::size_t first, std::size_t end, std::size_t layers) {
        location_request request;
        request.patch = true;
        request.layers = {first, end};
        const auto found = named_variants({"m_1-x"}, request, layers);
        const auto up = std::ranges::find_if(
            found.described, [](run_method const& m) { return m.name.starts_with("m_1-x_patch_mlp_up"); });
        REQUIRE(up != found.described.end());
        return up->name;
    };
    CHECK(name(3, 6, 6) == "m_1-x_patch_mlp_up");
    CHECK(name(2, 5, 5) == "m_1-x_patch_mlp_up");
    CHECK(name(0, 1, 1) == "m_1-x_patch_mlp_up");
    CHECK(name(0, 6, 6) == "m_1-x_patch_mlp_up_l0-5");
    CHECK(name(4, 5, 6) == "m_1-x_patch_mlp_up_l4-4");
    CHECK(name(3, 5, 6) == "m_1-x_patch_mlp_up_l3-4");
}

TEST_CASE("the manifest says in words what each variant is") {
    auto request = everything({1, 4}, 5);
    const auto found = named_variants({"a"}, request, 5);
    CHECK(words_of(found, "a") == "spec of a");
    CHECK(words_of(found, "a_patch_mlp_up_l1-3") == "a with mlp_up of full in layers 1-3");
    CHECK(words_of(found, "a_patch_mlp_gate_in_l1-3") == "a with mlp_gate_in of full in layers 1-3");
    CHECK(words_of(found, "a_patch_mlp_out_from_l3") == "a with mlp_out of full in layers 3-4");
    CHECK(words_of(found, "a_restore_late") == "a with layer 4 of full");
    CHECK(words_of(found, "a_restore_from_l2") == "a with layers 2-4 of full");
    CHECK(words_of(found, "a_restore_l0") == "a with layer 0 of full");
    CHECK(words_of(found, "a_only_l0") == "full with layer 0 of a");
    CHECK(words_of(found, "a_restore_gate") == "a with gate_proj of full");
    CHECK(words_of(found, "a_only_q") == "full with q_proj of a");
    CHECK(words_of(found, "r_a_l1") == "a ends after the attention of layer 1");
    CHECK(words_of(found, "z_full_l3") == "full ends after layer 3");
    request.scale = exit_scale::frozen;
    CHECK(words_of(named_variants({"a"}, request, 5), "z_frozen_a_l3") ==
          "a ends after layer 3, in the scale of its last state");
    for (auto const& m : found.described) {
        CAPTURE(m.name);
        CHECK(m.ends_early == (m.spec.find(" ends after ") != std::string::npos));
    }
    CHECK(found.described.size() + 1 == found.variants.size()); // all but the full model
}

TEST_CASE("no variant is made twice, whatever is asked for, and each forks from one that comes before it") {
    constexpr std::size_t layers = 6;
    for (const layer_range range : {layer_range{3, 6}, {0, 6}, {5, 6}, {0, 1}, {1, 3}}) {
        const auto found = named_variants({"a", "b-1", "a_b"}, everything(range, layers), layers);
        const auto names = names_of(found);
        CHECK(names.size() == found.variants.size());
        CHECK_NOTHROW(variant_tree<weight>(found.variants, {64, 4, 2, 16, 128, 1e-5f}, layers));
    }
    // Asked for in one call or in several, the variants are the same.
    auto all = names_of(named_variants({"a"}, everything({3, 6}, layers), layers));
    for (bool location_request::*experiment :
         {&location_request::exits, &location_request::restore, &location_request::patch, &location_request::gates,
          &location_request::sensitivity, &location_request::attenuation}) {
        location_request one;
        one.layers = {3, 6};
        one.sensitive_layers = {0, 6};
        one.*experiment = true;
        for (auto const& name : names_of(named_variants({"a"}, one, layers)))
            if (name != "full" && name != "a") all.erase(name);
    }
    CHECK(all == std::set<std::string>{"a", "full"});
}

TEST_CASE("ranges of layers end with the model") {
    location_request request;
    request.patch = request.sensitivity = request.attenuation = true;
    const auto names = names_of(named_variants({"a"}, request, 3));
    CHECK(names == names_of(named_variants(
                       {"a"},
                       [&] {
                           request.layers = request.sensitive_layers = {0, 3};
                           return request;
                       }(),
                       3)));
    CHECK(names.contains("a_patch_mlp_up_l0-2"));
    CHECK(names_of(named_variants({"a"}, {}, 3)) == std::set<std::string>{"a", "full"});
}

TEST_CASE("models of one and of two layers have a late layer and an upper half") {
    const auto one = names_of(named_variants({"a"}, everything({upper_half(1), 1}, 1), 1));
    for (const char* name : {"a_patch_mlp_out", "a_restore_late", "a_restore_from_l0", "a_only_l0", "r_a_l0"})
        CHECK_MESSAGE(one.contains(name), name);
    const auto two = named_variants({"a"}, everything({upper_half(2), 2}, 2), 2);
    CHECK(words_of(two, "a_patch_mlp_out") == "a with mlp_out of full in layer 1");
    CHECK(words_of(two, "a_restore_late") == "a with layer 1 of full");
}

TEST_CASE("a method that is called like a variant of another is refused, in every range of layers") {
    const auto refused = [](std::vector<std::string> const& methods, layer_range range) {
        CAPTURE(methods[1]);
        CHECK_THROWS_WITH_AS(named_variants(methods, everything(range, 6), 6), doctest::Contains(methods[1].c_str()),
                             option_error);
    };
    refused({"a", "a_restore_late"}, {3, 6});
    refused({"a", "a_patch_mlp_up"}, {3, 6});
    refused({"a", "a_patch_mlp_up_l1-2"}, {1, 3});
    refused({"a", "frozen_a"}, {3, 6});
    refused({"a", "a_patch_mlp_up_l1-2"}, {3, 6}); // whoever reads the results could not know
    CHECK_NOTHROW(named_variants({"a", "a-b", "a_b", "a_restore", "-", "_"}, everything({3, 6}, 6), 6));
}
