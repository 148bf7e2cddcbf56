// Tiny models against the goldens that transformers gave (tests/data/models/make_goldens.py, make_known_answers.py).
#include "bitlens/models/generate.hpp"
#include "bitlens/models/transformer.hpp"

#include "golden_model.hpp"

#include "bitlens/io/npz.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using any_dense = mixed_matrix<dense<float>, dense<bf16>, dense<f16>>;
using every_point = decltype(std::tuple_cat(hook::all{}, hook::once{}));
using tokens = std::vector<std::int32_t>;

struct heard {
    std::size_t rows, cols;
    std::vector<float> values;
    bool operator==(heard const&) const = default;

    std::span<const float> row(std::size_t t) const { return std::span(values).subspan(t * cols, cols); }
};

/// Whatever fires, by the name of the point and its layer.
template <class Points>
struct by_name;
template <class... Points>
struct by_name<std::tuple<Points...>> {
    using points = hook::set<Points...>;
    std::map<std::string, heard> seen;

    template <hook::point Point>
    void on(Point, site at, matrix_view<const float> a) {
        const std::string name(hook::name<Point>);
        auto& here = seen[hook::per_layer<Point> ? name + "_l" + std::to_string(at.layer) : name];
        CHECK(here.values.empty());
        here = {a.rows, a.cols, {}};
        for (std::size_t t = 0; t < a.rows; ++t)
            here.values.insert(here.values.end(), a.row(t).begin(), a.row(t).end());
    }
};

std::map<std::string, heard> run(checkpoint const& source, tokens const& ids) {
    by_name<every_point> probe;
    visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        transformer<Architecture, any_dense>(source, true).forward(ids, probe);
    });
    return probe.seen;
}

std::filesystem::path data(std::string const& name) {
    return std::filesystem::path(BITLENS_TEST_DATA) / "models" / name;
}

/// Every number of the golden's rows, and the mean of |x| over all rows of each point.
/// The bound is relative to the largest value that is stored of a point.
void compare(std::map<std::string, heard> const& ours, std::vector<std::string> const& order,
             std::vector<std::size_t> const& rows, std::span<const float> truth, std::span<const double> means) {
    CHECK(ours.size() == order.size());
    REQUIRE(means.size() == order.size());
    std::size_t offset = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        CAPTURE(order[i]);
        REQUIRE(ours.contains(order[i]));
        heard const& here = ours.at(order[i]);
        REQUIRE(offset + rows.size() * here.cols <= truth.size());
        double worst = 0, largest = 0, sum = 0;
        for (std::size_t t : rows)
            for (float v : here.row(t)) {
                worst = std::max(worst, std::abs(double{v} - double{truth[offset]}));
                largest = std::max(largest, std::abs(double{truth[offset++]}));
            }
        CHECK(worst <= 1e-5 * largest);
        for (float v : here.values) sum += std::abs(double{v});
        CHECK(sum / static_cast<double>(here.values.size()) == doctest::Approx(means[i]).epsilon(1e-5));
    }
    CHECK(offset == truth.size());
}

/// Mean over all rows but the first of ‖row‖, layer by layer.
std::vector<double> mean_norms(std::map<std::string, heard> const& seen, std::string const& point, std::size_t layers) {
    std::vector<double> norms;
    for (std::size_t k = 0; k < layers; ++k) {
        heard const& here = seen.at(point + "_l" + std::to_string(k));
        double sum = 0;
        for (std::size_t t = 1; t < here.rows; ++t) {
            double squares = 0;
            for (float v : here.row(t)) squares += double{v} * double{v};
            sum += std::sqrt(squares);
        }
        norms.push_back(sum / static_cast<double>(here.rows - 1));
    }
    return norms;
}

/// 20 bits of the tensor's name as numbers of [−0.5, 0.5); γ of a norm is one more.
std::vector<float> known_answer_weight(std::string const& name, std::vector<std::size_t> const& shape, bool offsets) {
    std::vector<float> values;
    for (std::uint64_t z : named_bits(name, count_of(shape)))
        values.push_back(static_cast<float>(static_cast<double>(z >> 44) * 0x1p-20 - 0.5 +
                                            (name.ends_with("norm.weight") && !offsets ? 1.0 : 0.0)));
    return values;
}

void check_answers(std::map<std::string, heard> const& seen, json const& answers, std::size_t layers) {
    heard const& logits = seen.at("logits");
    const auto last = logits.row(logits.rows - 1);
    const auto expected = answers.at("logits").get<std::vector<double>>();
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(double{last[i]} - expected[i]) <= 5e-5);
    CHECK(std::ranges::max_element(last) - last.begin() == answers.at("largest").get<std::ptrdiff_t>());
    const double sum = std::accumulate(logits.values.begin(), logits.values.end(), 0.0,
                                       [](double s, float v) { return s + std::abs(double{v}); });
    CHECK(std::abs(sum - answers.at("sum").get<double>()) <= 1e-2);
    for (const std::string point : {"resid_mid", "mlp_in", "mlp_out"}) {
        CAPTURE(point);
        const auto norms = mean_norms(seen, point, layers);
        const auto truth = answers.at(point).get<std::vector<double>>();
        REQUIRE(truth.size() == layers);
        for (std::size_t k = 0; k < layers; ++k) CHECK(std::abs(norms[k] - truth[k]) <= 1e-3);
    }
}

} // namespace

TEST_CASE("every point of tiny models equals transformers', from folders and from GGUF") {
    for (const std::string family :
         {"llama", "qwen2", "mistral", "ministral", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3"}) {
        CAPTURE(family);
        const json file = read_json_file(data(family + ".json"));
        const npz_reader golden(data(family + ".npz"));
        CHECK(file.at("cases").size() >= 4);
        for (auto const& entry : file.at("cases").items()) {
            std::string const& name = entry.key();
            json const& model = entry.value();
            CAPTURE(name);
            const auto layers = model.at("config").at("num_hidden_layers").get<std::size_t>();
            std::vector<std::string> order;
            for (std::size_t k = 0; k < layers; ++k)
                for (json const& point : file.at("points"))
                    order.push_back(point.get<std::string>() + "_l" + std::to_string(k));
            for (json const& point : file.at("once")) order.push_back(point.get<std::string>());
            const auto rows = model.at("rows").get<std::vector<std::size_t>>();
            const auto truth = golden.array(name).values<float>();
            const auto means = golden.array(name + "_mean").values<double>();
            const auto ids = model.at("ids").get<tokens>();

            const auto tensors = tensors_of(model, formula_weight);
            const temporary_folder folder;
            write_folder(folder / "hf", model.at("config"), tensors, model.at("shards").get<std::size_t>());
            const auto from_folder = run(checkpoint(folder / "hf"), ids);
            compare(from_folder, order, rows, truth, means);
            if (model.at("gguf").is_null()) continue; // such a file cannot say what this model is
            write_gguf(folder / "model.gguf", model, tensors);
            const auto from_gguf = run(checkpoint(folder / "model.gguf"), ids);
            if (model.at("gguf").at("tensors").empty())
                CHECK(from_gguf == from_folder);
            else // frequencies of the rotary embedding lie in the file as floats
                compare(from_gguf, order, rows, truth, means);
        }
    }
}

TEST_CASE("whole models give their known answers, from folders and from GGUF") {
    const json file = read_json_file(data("known_answers.json"));
    CHECK(file.at("cases").size() == 20);
    CHECK(known_answer_weight("model.embed_tokens.weight", {3}, false) ==
          std::vector<float>{-0.1287097930908203f, -0.17998218536376953f, 0.013284683227539062f});
    for (auto const& entry : file.at("cases").items()) {
        std::string const& name = entry.key();
        json const& model = entry.value();
        CAPTURE(name);
        const auto layers = model.at("config").at("num_hidden_layers").get<std::size_t>();
        const auto tensors = tensors_of(model, known_answer_weight);
        std::size_t parameters = 0;
        for (auto const& t : tensors) parameters += count_of(t.shape);
        CHECK(parameters == model.at("answers").at("parameters").get<std::size_t>());
        const auto ids = model.at("ids").get<tokens>();
        const temporary_folder folder;
        write_folder(folder / "hf", model.at("config"), tensors);
        check_answers(run(checkpoint(folder / "hf"), ids), model.at("answers"), layers);
        if (model.at("gguf").is_null()) continue;
        write_gguf(folder / "model.gguf", model, tensors);
        check_answers(run(checkpoint(folder / "model.gguf"), ids), model.at("answers"), layers);
    }
}

TEST_CASE("the tokens that transformers generates, with windows far shorter than the texts") {
    const json known = read_json_file(data("known_answers.json")).at("cases");
    const json greedy = read_json_file(data("greedy_tokens.json")).at("cases");
    CHECK(greedy.size() == 23);
    for (auto const& entry : greedy.items()) {
        std::string const& name = entry.key();
        json const& truth = entry.value();
        CAPTURE(name);
        json model = known.at(name.substr(0, name.find("-untied")));
        if (truth.contains("config"))
            model["config"] = truth.at("config"), model["parameters"] = truth.at("parameters");
        const temporary_folder folder;
        write_folder(folder / "hf", model.at("config"), tensors_of(model, known_answer_weight));
        const checkpoint source(folder / "hf");
        const auto ids = model.at("ids").get<tokens>();
        const auto nll = truth.at("nll").get<std::vector<double>>();
        for (const auto products : {row_products::matmul, row_products::matvec}) {
            const auto made = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
                const transformer<Architecture, any_dense> of(source, true);
                return generate(of, ids, {.most_tokens = nll.size(), .most_positions = 64}, products);
            });
            CHECK(made.ids == truth.at("ids").get<tokens>()); // the least margin of all is 1.9e-3
            REQUIRE(made.nll.size() == nll.size());
            for (std::size_t i = 0; i < nll.size(); ++i) CHECK(std::abs(made.nll[i] - nll[i]) <= 5e-5);
        }
    }
}
