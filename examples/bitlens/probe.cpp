/// `bitlens probe`: activations at chosen points of chosen layers, as NPZ.

#include "commands.hpp"
#include "model_runs.hpp"
#include "setting.hpp"

#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/npz.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

namespace bitlens::command {

namespace {

/// Points of a run as the command line names them.
std::vector<std::string> point_names() {
    std::vector<std::string> names;
    const auto add = [&]<class... P>(std::tuple<P...> const*) { (names.emplace_back(hook::name<P>), ...); };
    add(static_cast<hook::all const*>(nullptr));
    add(static_cast<hook::once const*>(nullptr));
    return names;
}

/// Numbers of one position.
template <hook::point Point>
std::size_t width_of(model_config const& c) {
    if constexpr (hook::per_layer<Point>) return bitlens::width_of(hook::id_of<Point>, c.block);
    return std::same_as<Point, hook::logits> ? c.vocabulary : c.block.width;
}

/// Bytes that the store below keeps of one position.
std::uint64_t kept_bytes(model_config const& c, std::set<std::string> const& points, std::size_t layers) {
    std::uint64_t numbers = 0;
    const auto add = [&]<class Point>(Point) {
        if (points.contains(std::string(hook::name<Point>)))
            numbers += width_of<Point>(c) * (hook::per_layer<Point> ? layers : 1);
    };
    std::apply([&](auto... point) { (add(point), ...); }, std::tuple_cat(hook::all{}, hook::once{}));
    return numbers * sizeof(float);
}

/// The arrays to write, by name, each (rows, tokens, width) once its width is known.
class activation_store {
public:
    activation_store(std::size_t rows, std::size_t tokens, std::set<std::string> points, std::set<std::size_t> layers)
        : rows_(rows), tokens_(tokens), points_(std::move(points)), layers_(std::move(layers)) {}

    void keep(std::size_t row, std::string_view point, bool per_layer, std::size_t layer, matrix_view<const float> a) {
        if (!points_.contains(std::string(point)) || (per_layer && !layers_.contains(layer))) return;
        const std::string name = per_layer ? std::string(point) + "_l" + std::to_string(layer) : std::string(point);
        auto [place, is_new] = arrays_.try_emplace(name);
        if (is_new) place->second = matrix<float>(rows_ * tokens_, a.cols);
        for (std::size_t t = 0; t < tokens_; ++t)
            std::ranges::copy(a.row(t), place->second.row(row * tokens_ + t).begin());
    }
    void write(std::filesystem::path const& path) const {
        npz_writer file(path);
        for (auto const& [name, m] : arrays_) file.add(name, std::array{rows_, tokens_, m.cols()}, m.span());
        file.finish();
    }

private:
    std::size_t rows_, tokens_;
    std::set<std::string> points_;
    std::set<std::size_t> layers_;
    std::map<std::string, matrix<float>> arrays_;
};

/// Hands whatever fires in the run of one row to the store.
template <class Points>
struct store_probe;
template <class... Points>
struct store_probe<std::tuple<Points...>> {
    using points = hook::set<Points...>;
    activation_store& store;
    std::size_t row;

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) {
        store.keep(row, hook::name<Point>, hook::per_layer<Point>, at.layer, a);
    }
};

using block_points = hook::all;
using points_to_the_norm = decltype(std::tuple_cat(hook::all{}, std::tuple<hook::final_norm>{}));
using all_points = decltype(std::tuple_cat(hook::all{}, hook::once{}));

/// What comes after the blocks, logits above all, is made only for those who ask.
template <class Architecture, class Points>
void run_rows(transformer<Architecture, weight> const& model, matrix_view<const std::int32_t> ids, unsigned threads,
              activation_store& store) {
    workspace scratch(model.forward_bytes(ids.cols, threads), threads, model.products());
    for (std::size_t n = 0; n < ids.rows; ++n) {
        store_probe<Points> probe{store, n};
        model.forward(ids.row(n), probe, scratch);
    }
}

/// Says before the model runs what the run would end with. Errors: option_error, io_error.
void check_out(std::filesystem::path const& path, checkpoint const& source, std::filesystem::path const& data) {
    const auto refuse = [&](std::filesystem::path const& read, const char* what) {
        std::error_code not_there; // where nothing is, nothing is lost
        if (std::filesystem::equivalent(path, read, not_there))
            throw option_error("--out: " + path.string() + " is read as " + what);
    };
    for (auto const& file : source.files()) refuse(file, "--model");
    refuse(data, "--data");
    if (!path.has_filename() || std::filesystem::is_directory(path))
        throw option_error("--out: the name of a file is expected, the folder " + path.string() + " was found");
    try {
        expect_writable(path);
    } catch (io_error const& e) {
        throw io_error(std::string("--out: ") + e.what());
    }
}

} // namespace

void probe(probe_arguments const& a) {
    if (a.out.empty()) throw option_error("--out: the name of a file is expected, an empty text was found");
    const machine here(a.machine);
    const checkpoint source = open_model(a.model);
    const auto known = point_names();
    for (auto const& point : a.points)
        if (std::ranges::find(known, point) == known.end()) {
            std::string text = "--points: no point is named '" + point + "'; there are";
            for (auto const& name : known) text += " " + name;
            throw option_error(text);
        }
    std::set<std::size_t> layers(a.layers.begin(), a.layers.end());
    if (layers.empty())
        for (std::size_t k = 0; k < source.config().layers; ++k) layers.insert(k);
    if (*layers.rbegin() >= source.config().layers)
        throw option_error("--layers: layer " + std::to_string(*layers.rbegin()) + " of a model of " +
                           std::to_string(source.config().layers) + " layers, counted from 0");
    check_out(a.out, source, a.data);
    const auto ids = read_token_ids(a.data);
    for (std::size_t n = 0; n < ids.rows(); ++n) check_ids(a.data, n, ids.row(n), source.config().vocabulary);
    warn_beyond_context(source.config(), "rows of", ids.cols());
    const std::set<std::string> points(a.points.begin(), a.points.end());
    activation_store store(ids.rows(), ids.cols(), points, layers);
    visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        const auto methods = methods_beside_full(a.method);
        check_methods(source, a.model, methods);
        const std::uint64_t bytes_of_row = ids.cols() * kept_bytes(source.config(), points, layers.size());
        auto demand = demand_of(source, methods, ids.cols(), ids.rows(), bytes_of_row);
        if (points.contains("logits")) // of one row at a time
            demand.states.once += ids.cols() * source.config().vocabulary * sizeof(float);
        const auto plan = plan_memory(demand, here.memory, here.threads);
        transformer<Architecture, weight> model(source, plan.full_resident);
        model = model_of(model, methods, plan).with_products(products_named(a.arithmetic));
        if (points.contains("logits"))
            run_rows<Architecture, all_points>(model, ids, here.threads, store);
        else if (points.contains("final_norm"))
            run_rows<Architecture, points_to_the_norm>(model, ids, here.threads, store);
        else
            run_rows<Architecture, block_points>(model, ids, here.threads, store);
    });
    store.write(a.out);
}

} // namespace bitlens::command
