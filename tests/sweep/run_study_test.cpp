#include "bitlens/sweep/run_study.hpp"

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"

#include "temporary_folder.hpp"

#include <array>
#include <cmath>
#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using tree_weight = mixed_matrix<dense<float>, uniform<2, 32>, uniform<4, 32>>;
using two_layer_model = transformer<llama, tree_weight>;
using tree_variant = variant<tree_weight>;
constexpr std::size_t model_layers = 2, data_rows = 5, data_tokens = 7;

two_layer_model two_layers() {
    auto config = tiny_config<llama>();
    config.layers = model_layers;
    return tiny_model<llama, tree_weight>(config, 1);
}

document_rows random_documents(std::size_t vocabulary) {
    matrix<std::int32_t> ids(data_rows, data_tokens);
    random_generator random(5);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
    auto d = document_rows::numbered(std::move(ids));
    d.names[1] = "second";
    d.bytes[0] = 12;
    return d;
}

/// full ─ rtn2 ─ rtn2, 4 bits from layer 1 on ─ and rtn4 beside them.
std::vector<variant<tree_weight>> small_tree(two_layer_model const& model) {
    const auto two = quantize_layers(*model.layers(), model_layers, rtn<uniform<2, 32>>{});
    const auto four = quantize_layers(*model.layers(), model_layers, rtn<uniform<4, 32>>{});
    return {{"full", model.layers()},
            {"rtn2", two},
            tree_variant::fork("fork", "rtn2").with_weights(four, {1}),
            {"rtn4", four},
            tree_variant::fork("late").with_weights(two, {1})};
}

std::vector<std::string> names_of(std::span<const variant<tree_weight>> variants) {
    std::vector<std::string> names;
    for (auto const& v : variants) names.push_back(v.name);
    return names;
}

run_manifest manifest_of(measurement_kind auto const& kind, std::span<const variant<tree_weight>> variants) {
    run_manifest m{{{"seed", 1}}, {}, kind.columns()};
    for (auto const& v : variants.subspan(1)) m.methods.push_back({v.name, v.name});
    return m;
}

void check_equal(results_table const& a, results_table const& b) {
    REQUIRE(a.columns().size() == b.columns().size());
    const auto same = [](auto x, auto y) { return x == y || (std::isnan(x) && std::isnan(y)); };
    for (std::size_t c = 0; c < a.columns().size(); ++c) {
        CAPTURE(a.columns()[c].name);
        CHECK(std::ranges::equal(a.columns()[c].numbers, b.columns()[c].numbers, same));
        CHECK(std::ranges::equal(a.columns()[c].scores, b.columns()[c].scores, same));
        CHECK(a.columns()[c].ids == b.columns()[c].ids);
    }
}

} // namespace

TEST_CASE("a run in memory holds what one reads back from a run folder") {
    const auto model = two_layers();
    const auto variants = small_tree(model);
    const std::span<const variant<tree_weight>> all(variants);
    const auto documents = random_documents(model.config().vocabulary);
    for (const bool first_position : {false, true}) {
        const document_statistics kind{first_position ? every_position : position_range{}, documents.bytes};
        const auto in_memory = measure_run(model, variants, documents, {3, 2}, kind);
        CHECK(in_memory.is_complete());
        CHECK(in_memory.of_documents("kl_rtn2")[0] != in_memory.of_documents("kl_rtn4")[0]);
        CHECK(in_memory.of_documents("bits_per_byte_full")[0] ==
              doctest::Approx(in_memory.of_documents("nll_full")[0] * 6 / (std::log(2.0) * 12)));
        CHECK(std::isnan(in_memory.of_documents("bits_per_byte_full")[1]));

        const test::temporary_folder parent;
        const run_folder folder(parent.path());
        auto run = begin_run(folder, manifest_of(kind, all), documents.first(data_rows), model_layers);
        run_study(model, variants, folder, run, {2, 1}, kind);
        check_equal(run.table, in_memory);
        results_table again(kind.columns(), names_of(all), in_memory.size());
        read_finished(folder, again);
        CHECK(again.is_complete());
        check_equal(again, in_memory);
    }
}

namespace {

/// Fills whatever columns it is told of with numbers that tell document, variant, layer and position.
struct numbered_measurement {
    std::vector<column> columns;
    std::size_t document, layers;
    score_measurement losses;

    template <class F>
    void with_probe(std::size_t v, F const& f) {
        losses.with_probe(v, f);
    }
    std::span<const token_scores> scores() { return losses.scores(); }
    double number(std::size_t v, std::size_t place) const {
        return static_cast<double>(100 * document + 10 * v + place);
    }
    void write(std::size_t v, results_row& row) const {
        for (column const& c : columns) {
            if (!c.is_of(v == 0 ? variant_kind::full_model : variant_kind::method)) continue;
            std::vector<double> layer_numbers, scores;
            std::vector<std::int32_t> ids;
            for (std::size_t k = 0; k < layers; ++k) layer_numbers.push_back(number(v, k));
            for (std::size_t t = 0; t + 1 < data_tokens; ++t) {
                scores.push_back(number(v, t));
                ids.push_back(static_cast<std::int32_t>(number(v, t)));
            }
            if (c.shape == column_shape::document) row.number(c.name, number(v, 9));
            if (c.shape == column_shape::layer) row.layers(c.name, layer_numbers);
            if (c.shape == column_shape::position && c.holds_ids) row.positions<std::int32_t>(c.name, ids);
            if (c.shape == column_shape::position && !c.holds_ids) row.positions<double>(c.name, scores);
        }
    }
};

struct numbered_kind {
    std::vector<column> declared;

    std::vector<column> columns() const { return declared; }
    numbered_measurement make(measured_size size, std::size_t n) const {
        return {declared, n, size.layers, score_measurement(size.tokens - 1, size.variants)};
    }
    std::size_t bytes_of_one(measured_size size) const {
        return score_measurement::bytes(size.tokens - 1, size.variants);
    }
};

} // namespace

TEST_CASE("a measurement with columns of any one shape and owner resumes, lands in files and is read back") {
    const auto model = two_layers();
    const auto variants = small_tree(model);
    const std::span<const variant<tree_weight>> all(variants);
    using enum column_shape;
    using enum column_owner;
    for (const column_owner owner : {full_model, each_method, each_variant})
        for (const column_shape shape : {column_shape::document, layer, position})
            for (const bool holds_ids : {false, true}) {
                if (holds_ids && shape != position) continue;
                CAPTURE(name(owner));
                CAPTURE(name(shape));
                CAPTURE(holds_ids);
                const numbered_kind kind{{{"mine", shape, owner, "unit", "meaning", holds_ids}}};
                const test::temporary_folder parent;
                struct interrupted {};
                const auto measure = [&](bool is_interrupted) {
                    const run_folder folder(parent / "run");
                    auto run = begin_run(folder, manifest_of(kind, all), random_documents(model.config().vocabulary),
                                         model_layers);
                    std::size_t layers = 0;
                    run_study(model, variants, folder, run, {2, 1}, kind, [&](std::size_t n) {
                        layers += n;
                        if (is_interrupted) throw interrupted();
                    });
                    finish_run(folder, run, [](std::int32_t id) { return std::to_string(id); });
                    return layers;
                };
                CHECK_THROWS_AS(measure(true), interrupted);
                CHECK(measure(false) == 3 * (3 * model_layers + 2)); // all but the block of two
                CHECK(measure(false) == 0);

                const auto run = read_run(parent / "run");
                CHECK(run.unfinished.empty());
                CHECK(run.table.is_complete());
                CHECK(run.layers() == (shape == layer ? model_layers : 0));
                CHECK(run.table.columns().size() == (owner == full_model    ? 1
                                                     : owner == each_method ? variants.size() - 1
                                                                            : variants.size()));
                for (stored_column const& s : run.table.columns())
                    for (std::size_t n = 0; n < data_rows; ++n) {
                        const double first = static_cast<double>(100 * n + 10 * s.variant);
                        CHECK(s.name == (owner == full_model ? "mine" : "mine_" + variants[s.variant].name));
                        if (shape == column_shape::document) CHECK(run.table.of_documents(s.name)[n] == first + 9);
                        if (shape == layer) CHECK(run.table.of_layers(s.name)(1, n) == first + 1);
                        if (shape == position && holds_ids)
                            CHECK(run.table.ids_of_positions(s.name)(n, 5) == static_cast<int>(first) + 5);
                        if (shape == position && !holds_ids)
                            CHECK(run.table.of_positions(s.name)(n, 5) == static_cast<float>(first + 5));
                    }
            }
}

TEST_CASE("the folder of a run that measured something else is refused with the first difference") {
    const auto model = two_layers();
    const auto variants = small_tree(model);
    const numbered_kind mine{{{"mine", column_shape::layer, column_owner::each_method, "", "a meaning"}}};
    const test::temporary_folder parent;
    const run_folder folder(parent / "run");
    const auto begin = [&](auto const& kind, std::vector<kept_values> kept = {}) {
        auto documents = random_documents(model.config().vocabulary);
        documents.kept = std::move(kept);
        begin_run(folder, manifest_of(kind, variants), std::move(documents), model_layers);
    };
    const std::vector<std::string> values(data_rows);
    CHECK_THROWS_WITH_AS(begin(mine, {{"mine_late_l1", values}}),
                         "keys to keep: \"mine_late_l1\" is a column of examples.csv already", option_error);
    CHECK_FALSE(folder.manifest());
    begin(mine);
    auto other = mine;
    other.declared[0].unit = "nats";
    CHECK_THROWS_WITH_AS(begin(other), doctest::Contains("holds another run: columns: {"), option_error);
    CHECK_THROWS_WITH_AS(begin(document_statistics{}), doctest::Contains("holds another run: columns: {"),
                         option_error);
    CHECK_THROWS_WITH_AS(begin(mine, {{"url", values}}),
                         doctest::Contains("keep: nothing in the folder, [\"url\"] asked"), option_error);
    begin(mine);
}

TEST_CASE("a tree of variants resumes from every subset of finished variants") {
    const auto model = two_layers();
    const auto variants = small_tree(model);
    const std::span<const variant<tree_weight>> all(variants);
    const auto documents = random_documents(model.config().vocabulary);
    const document_statistics kind{{}, documents.bytes};
    const auto whole = measure_run(model, variants, documents, {3, 1}, kind);
    for (unsigned finished = 0; finished < 1u << variants.size(); ++finished) {
        CAPTURE(finished);
        const test::temporary_folder parent;
        const run_folder folder(parent.path());
        folder.write_manifest(manifest_of(kind, all));
        for (std::size_t v = 0; v < variants.size(); ++v)
            if (finished >> v & 1u) write_part(folder, whole, v, std::array<std::size_t, 3>{1, 2, 3});
        auto run = begin_run(folder, manifest_of(kind, all), documents.first(data_rows), model_layers);
        std::size_t layers = 0;
        const std::size_t planned = layers_to_do(run.table, all, model.config());
        run_study(model, variants, folder, run, {2, 1}, kind, [&](std::size_t n) { layers += n; });
        CHECK(layers == planned);
        CHECK(run.table.is_complete());
        check_equal(run.table, whole);
    }
}

TEST_CASE("some documents and variants of a run are done, and the rest another time") {
    const auto model = two_layers();
    const auto variants = small_tree(model);
    const std::span<const tree_variant> all(variants);
    const auto documents = random_documents(model.config().vocabulary);
    const document_statistics kind{{}, documents.bytes};
    const auto whole = measure_run(model, variants, documents, {3, 1}, kind);
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    const auto begin = [&] {
        return begin_run(folder, manifest_of(kind, all), documents.first(data_rows), model_layers);
    };
    auto run = begin();
    const run_choice choice{{0, 2, 4}, {2, 4}}; // "fork", which needs rtn2, and "late"
    std::size_t layers = 0;
    run_study(
        model, variants, folder, run, {2, 1}, kind, [&](std::size_t n) { layers += n; }, choice);
    CHECK(layers == 3 * (2 * model_layers + 2));
    for (std::size_t v = 0; v < variants.size(); ++v)
        for (std::size_t n = 0; n < data_rows; ++n)
            CHECK(run.table.is_finished(v, n) == ((v == 2 || v == 4) && n % 2 == 0));
    const auto in_memory = measure_run(
        model, variants, documents, {2, 1}, kind, [](std::size_t) {}, choice.rows);
    for (std::size_t n = 0; n < data_rows; ++n) CHECK(in_memory.is_finished(0, n) == (n % 2 == 0));
    CHECK(in_memory.of_documents("nll_late")[2] == whole.of_documents("nll_late")[2]);
    run = begin(); // as another process finds it
    CHECK(run.table.is_finished(4, 4));
    CHECK(layers_to_do(run.table, all, model.config(), choice) == 0);
    run_study(model, variants, folder, run, {2, 1}, kind);
    CHECK(run.table.is_complete());
    check_equal(run.table, whole);
}

namespace {

struct silent_measurement : score_measurement {
    using score_measurement::score_measurement;
    void write(std::size_t, results_row&) const {}
};

/// Remembers what its measurements are made for.
struct curious_kind {
    std::vector<std::pair<std::string, std::string>>& seen;

    std::vector<column> columns() const { return {}; }
    silent_measurement make(measured_size size, std::size_t /*document*/) const {
        seen.clear();
        for (auto const& v : size.which) seen.emplace_back(v.name, v.parent);
        return silent_measurement(size.tokens - 1, size.variants);
    }
    std::size_t bytes_of_one(measured_size) const { return 0; }
};

} // namespace

TEST_CASE("a measurement is told the names of the variants and of their parents") {
    const auto model = two_layers();
    std::vector<std::pair<std::string, std::string>> seen;
    measure_run(model, small_tree(model), random_documents(model.config().vocabulary), {}, curious_kind{seen});
    CHECK(seen == std::vector<std::pair<std::string, std::string>>{
                      {"full", ""}, {"rtn2", "full"}, {"fork", "rtn2"}, {"rtn4", "full"}, {"late", "full"}});
}

TEST_CASE("what is left to do comes in pieces that lack the same variants, with what those fork from") {
    const std::vector<tree_variant> variants{
        {"full", nullptr}, {"a", nullptr}, tree_variant::fork("b", "a").with_weights(nullptr, {1})};
    const std::span<const variant<tree_weight>> all(variants);
    results_table table({{"x", column_shape::document, column_owner::each_variant, "", ""}}, names_of(all), {6, 1, 1});
    const std::vector<std::vector<int>> finished{{1, 1, 0, 0, 1, 1}, {1, 1, 0, 0, 1, 1}, {1, 0, 0, 0, 0, 1}};
    for (std::size_t v = 0; v < 3; ++v)
        for (std::size_t n = 0; n < 6; ++n)
            if (finished[v][n]) table.set_finished(v, n);
    const auto pieces = rows_to_do(table, all);
    using list = std::vector<std::size_t>;
    REQUIRE(pieces.size() == 2);
    CHECK((pieces[0].rows == list{1, 4} && pieces[0].variants == list{2}));
    CHECK(pieces[0].running == list{0, 1, 2});
    CHECK((pieces[1].rows == list{2, 3} && pieces[1].variants == list{0, 1, 2}));

    const auto chosen = rows_to_do(table, all, {{0, 3, 4}, {1, 2}});
    REQUIRE(chosen.size() == 2);
    CHECK((chosen[0].rows == list{3} && chosen[0].variants == list{1, 2}));
    CHECK((chosen[1].rows == list{4} && chosen[1].variants == list{2} && chosen[1].running == list{0, 1, 2}));

    const std::vector<tree_variant> patched{{"full", nullptr},
                                            {"a", nullptr},
                                            {"b", nullptr},
                                            tree_variant::fork("c", "b").patched(hook::id_of<hook::mlp_out>, "a")};
    CHECK(detail::with_what_they_need(std::span<const std::size_t>(list{3}), std::span<const tree_variant>(patched)) ==
          list{0, 1, 2, 3});
    CHECK(detail::with_what_they_need(std::span<const std::size_t>(list{2}), std::span<const tree_variant>(patched)) ==
          list{0, 2});
}

TEST_CASE("the full model alone is a run without methods") {
    const auto model = two_layers();
    const std::vector<variant<tree_weight>> variants{{"full", model.layers()}};
    const auto table =
        measure_run(model, variants, random_documents(model.config().vocabulary), {}, document_statistics{});
    CHECK(table.documents() == data_rows);
    CHECK(table.of_documents("nll_full")[0] > 0);
}

TEST_CASE("a full model whose loss is not finite is an error that names document and position") {
    auto config = tiny_config<llama>();
    config.layers = model_layers;
    auto broken = tiny_model<llama, tree_weight>(config, 1);
    const auto documents = random_documents(config.vocabulary);
    std::vector<block_weights<tree_weight>> blocks;
    for (std::size_t k = 0; k < model_layers; ++k) {
        blocks.push_back(broken.layers()->layer(k));
        packed_matrix<dense<float>> huge(config.block.width, config.block.ffn_width);
        for (std::size_t r = 0; r < huge.rows(); ++r) std::ranges::fill(huge.writable_row(r), 1e38f);
        blocks.back().linear[static_cast<std::size_t>(projection::down)] =
            std::make_shared<const tree_weight>(std::move(huge));
    }
    const std::vector<variant<tree_weight>> variants{
        {"full", std::make_shared<resident_layers<tree_weight>>(std::move(blocks))}};
    CHECK_THROWS_WITH_AS((measure_run(broken, variants, documents, {}, document_statistics{})),
                         doctest::Contains("the full model's loss is not finite: document 0, position 1"),
                         format_error);
}
