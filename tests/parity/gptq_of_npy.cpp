/// GPTQ of matrices in NPY files. Standard input has a line of JSON for each: {"w": FILE, "x": [FILE, …], "out":
/// FOLDER, "bits": 3, "group": 64 (0: a row), "symmetric": true, and what differs from gptq_options: "damp",
/// "act_order", "static_groups", "group_aware", "block", "mse", "fresh_groups"}. w (out, in) and every document x
/// (tokens, in) are float32. Into FOLDER go codes (out, in), scales and zeros (out, groups) and g_idx (in), columns as
/// w has them; a line of JSON says the loss and what else was met.
/// {"h": FILE, "out": FOLDER} instead asks for the factor of the inverse of h (n, n), in double: u (n, n) goes into
/// FOLDER.

#include "bitlens/core/error.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/quantizers/gptq.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace bitlens;

matrix<float> read_matrix(std::string const& path) {
    const npy_array array = read_npy(path);
    if (array.shape.size() != 2) throw format_error(path + ": a matrix is expected");
    const auto values = array.values<float>();
    matrix<float> m(array.shape[0], array.shape[1]);
    std::copy(values.begin(), values.end(), m.data());
    return m;
}

gptq_options options_of(json const& job) {
    gptq_options o;
    o.damp = job.value("damp", o.damp);
    o.damp_increment = job.value("damp_increment", o.damp_increment);
    o.act_order = job.value("act_order", o.act_order);
    o.static_groups = job.value("static_groups", o.static_groups);
    o.group_aware = job.value("group_aware", o.group_aware);
    o.block = job.value("block", o.block);
    o.mse = job.value("mse", o.mse);
    o.fresh_groups = job.value("fresh_groups", o.fresh_groups);
    return o;
}

json quantize(json const& job) {
    const auto w = read_matrix(job.at("w").get<std::string>());
    input_hessian inputs(w.cols());
    for (auto const& path : job.at("x")) {
        const auto x = read_matrix(path.get<std::string>());
        const std::array documents{x.view()};
        inputs.add(documents, available_cores());
    }
    const uniform_rule codes{job.at("bits").get<int>(), job.at("group").get<std::size_t>(),
                             job.at("symmetric").get<bool>() ? zero_kind::symmetric : zero_kind::asymmetric};
    gptq_log log;
    const auto q = quantize_gptq(w, gptq_inputs(inputs, options_of(job), codes.group_size), codes, &log);

    matrix<std::uint8_t> columns(w.rows(), w.cols());
    std::vector<std::int32_t> g_idx(w.cols());
    for (std::size_t k = 0; k < w.cols(); ++k) {
        const std::size_t c = q.order.empty() ? k : q.order[k];
        g_idx[c] = static_cast<std::int32_t>(k / q.group_columns);
        for (std::size_t r = 0; r < w.rows(); ++r) columns(r, c) = q.codes(r, k);
    }
    const std::filesystem::path out = job.at("out").get<std::string>();
    const auto write = [&]<class T>(const char* name, std::vector<std::size_t> shape, std::span<const T> values) {
        write_npy<T>(out / name, shape, values);
    };
    write("codes.npy", {w.rows(), w.cols()}, std::as_const(columns).span());
    write("scales.npy", {w.rows(), q.groups()}, q.scales.span());
    write("zeros.npy", {w.rows(), q.groups()}, q.zeros.span());
    write("g_idx.npy", {w.cols()}, std::span<const std::int32_t>(g_idx));
    return {{"loss", log.loss},
            {"damp_used", log.damp_used},
            {"dead_columns", log.dead_columns},
            {"factor_seconds", log.factor_seconds},
            {"quantize_seconds", log.quantize_seconds}};
}

json factorize(json const& job) {
    const npy_array array = read_npy(job.at("h").get<std::string>());
    const auto h = array.values<double>();
    const std::size_t n = array.shape.at(0);
    const auto u = inverse_factor::of(
        n, [&](std::size_t i, std::size_t j) { return h[i * n + j]; }, 1);
    if (!u) throw format_error(array.who + ": not positive definite");
    matrix<float> all(n, n);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = i; j < n; ++j) all(i, j) = (*u)(i, j);
    const std::filesystem::path out = job.at("out").get<std::string>();
    write_npy<float>(out / "u.npy", std::array{n, n}, std::as_const(all).span());
    return {{"columns", n}};
}

} // namespace

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        json answer;
        try {
            const json job = json::parse(line);
            answer = job.contains("h") ? factorize(job) : quantize(job);
        } catch (error const& e) {
            answer = {{"refused", e.what()}};
        }
        std::cout << answer.dump() << std::endl;
    }
}
