#pragma once
/// What the verbs that run a model share: the type of a weight, the machine's limits, documents as rows of ids.

#include "commands.hpp"
#include "study_matrix/study_matrix.hpp"

#include "bitlens/core/arithmetic.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/quantizers/weight_grid.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/simd/arch.hpp"
#include "bitlens/sweep/manifest.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/tokenizer_file.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::command {

/// Chosen at run time, once per matrix product: every format that a checkpoint stores or a method produces.
using weight = study_matrix;

inline bool is_linear_of_block(std::string const& name) { return name.ends_with("_proj.weight"); }

/// The checkpoint that the arguments name; what its file left open is said.   Errors: as checkpoint.
inline checkpoint open_model(model_arguments const& a) {
    checkpoint source(a.path, a.allowed_keys);
    for (auto const& remark : source.config().remarks.texts) std::cerr << "note: " << visible_line(remark) << '\n';
    for (auto const& text : source.conclusions()) std::cerr << "note: " << text << '\n';
    return source;
}

/// The grids that the matrices of a model's middle layer lie on, "matrices of layer 15: 7 in groups of 32 to 4 bits";
/// empty where they lie on none.
inline std::string grid_text(checkpoint const& source) {
    constexpr std::size_t rows = 1024; // which have more groups than are looked at
    const std::size_t middle = source.config().layers / 2;
    std::map<std::pair<std::size_t, int>, std::size_t> grids; // group and bits → matrices
    for (auto const& t : source.tensors()) {
        if (!t.name.starts_with(bitlens::detail::layer_prefix(middle)) || !is_linear_of_block(t.name)) continue;
        const auto stored = t.type == "F16"    ? stored_precision::f16
                            : t.type == "BF16" ? stored_precision::bf16
                                               : stored_precision::f32;
        if (const auto grid = find_weight_grid(source.load_first_rows(t.name, rows), stored))
            ++grids[{grid->group, grid->bits}];
    }
    std::string text;
    for (auto const& [grid, count] : grids)
        text += (text.empty() ? "matrices of layer " + std::to_string(middle) + ": " : ", ") + std::to_string(count) +
                " in groups of " + std::to_string(grid.first) + " to " + std::to_string(grid.second) + " bits";
    return text;
}

/// What a checkpoint's numbers tell beside what is said of them, a line each: what was concluded of matrices in codes,
/// and the grid of matrices that pass for full precision.
inline std::vector<std::string> conclusions_of(checkpoint const& source) {
    auto all = source.conclusions();
    const auto is_in_codes = [](tensor_info const& t) {
        return is_linear_of_block(t.name) && t.type != "F32" && t.type != "F16" && t.type != "BF16";
    };
    if (std::ranges::any_of(source.tensors(), is_in_codes)) return all;
    if (const std::string grid = grid_text(source); !grid.empty())
        all.push_back("weights in full precision that were rounded (" + grid + ")");
    return all;
}

/// Each file is hashed once, however many manifests it stands in: of a large model that takes minutes.
inline json const& identity_of_model_file(std::filesystem::path const& file) {
    static std::map<std::filesystem::path, json> known;
    const auto [place, is_new] = known.try_emplace(file);
    if (is_new) place->second = file_identity(file);
    return place->second;
}

/// What a manifest says of a model: with the files that are read, those of the tokenizer only where it is.
inline json describe_model(checkpoint const& source, std::vector<std::string> const& allowed_keys, bool has_tokenizer) {
    json files = json::array();
    const auto of_tokenizer = tokenizer_files(source.path());
    for (auto const& file : source.files())
        if (has_tokenizer || std::ranges::find(of_tokenizer, file) == of_tokenizer.end())
            files.push_back(identity_of_model_file(file));
    json model{{"architecture", source.config().architecture},
               {"layers", source.config().layers},
               {"files", std::move(files)}};
    if (!allowed_keys.empty()) // a set, however often and in what order they were named
        model["allowed_keys"] = std::set(allowed_keys.begin(), allowed_keys.end());
    return model;
}

/// What describe_model gave, by what is in the files alone: the same model under other names is the same.
inline json without_file_names(json model) {
    for (json& file : model["files"]) file = without_name(std::move(file));
    return model;
}

/// The machine as the arguments and the limits of this process allow it. Lives as long as the verb runs.
struct machine {
    unsigned threads;
    std::uint64_t memory; // bytes

    explicit machine(machine_arguments const& a)
        : threads(a.threads == 0 ? available_cores() : a.threads),
          memory(a.memory == 0 ? available_memory() / 5 * 4 : a.memory), limit_(threads) {}

private:
    thread_limit limit_;
};

/// What "--arithmetic NAME" means on this machine.
inline arithmetic products_named(std::string const& name) { return name == "bf16" ? best_bf16() : arithmetic::f32; }

/// What decides the last digits of a result: the arithmetic of products, then the instruction set of all other sums.
inline std::string arithmetic_text(arithmetic products) {
    return std::string(name(products)) + ", " + std::string(simd::default_arch::name());
}

/// The model's tokenizer. Rows of ids need none: where it cannot be read, the study does without.
inline std::optional<tokenizer> tokenizer_of(checkpoint const& source, bool needed) {
    try {
        return source.load_tokenizer();
    } catch (error const& e) {
        if (needed) throw;
        std::cerr << "warning: there is no tokenizer, so that tokens are shown as ids: " << visible_line(e.what())
                  << '\n';
        return std::nullopt;
    }
}

/// What "--bos yes|no|auto" says of the token that a row begins with: none, or the tokenizer's own.
/// Errors: option_error for "yes" with a tokenizer that has none.
inline std::optional<std::int32_t> bos_token(tokenizer const& t, std::string const& policy) {
    try {
        return t.first_token(policy == "yes"  ? bos_policy::always
                             : policy == "no" ? bos_policy::never
                                              : bos_policy::automatic);
    } catch (option_error const& e) {
        throw option_error("--bos " + policy + ": " + e.what());
    }
}

/// Names what of the data is left out, but for the last of many, and says why.
inline void say_left_out(std::vector<std::string> const& places, std::string const& why) {
    constexpr std::size_t most_named = 5;
    for (std::size_t i = 0; i < std::min(most_named, places.size()); ++i)
        std::cerr << "note: " << visible_line(places[i]) << ": left out, " << why << '\n';
    if (places.size() > most_named) std::cerr << "note: " << places.size() << " such are left out in all\n";
}

/// The ids of a prompt.   Errors: format_error where the tokenizer has no tokens for all of it.
inline std::vector<std::int32_t> ids_of_prompt(std::string const& place, std::string const& text, tokenizer const& t,
                                               std::optional<std::int32_t> bos, std::size_t vocabulary) {
    auto ids = t.encode(text);
    if (!t.writes(text, ids))
        throw format_error(place + ": the tokenizer has no tokens for all of this text; its ids stand for " +
                           in_quotes(visible_line(t.decode(ids)).substr(0, 200)));
    if (bos) ids.insert(ids.begin(), *bos);
    check_rows(place, t, ids, vocabulary);
    return ids;
}

} // namespace bitlens::command
