#pragma once
/// export_checkpoint: a quantized model as a Hugging Face folder that the packages of others load.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/padded_number.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors_writer.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/gguf_model_writer.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/recipes/quantized_folder.hpp"
#include "bitlens/recipes/stored_layers.hpp"
#include "bitlens/stored/write_awq.hpp"
#include "bitlens/stored/write_bitsandbytes.hpp"
#include "bitlens/stored/write_compressed.hpp"
#include "bitlens/stored/write_gptq.hpp"
#include "bitlens/version.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// Whose files a quantized model is written as.
enum class export_layout : std::uint8_t { gptq, gptq_v2, awq, bitsandbytes, compressed_tensors };

inline constexpr std::array<std::pair<std::string_view, export_layout>, 5> export_layouts{
    {{"gptq", export_layout::gptq},
     {"gptq_v2", export_layout::gptq_v2},
     {"awq", export_layout::awq},
     {"bnb", export_layout::bitsandbytes},
     {"compressed-tensors", export_layout::compressed_tensors}}};

struct export_options {
    export_layout layout = export_layout::gptq;
    /// Scales are rounded to this type; none: they must be F16 exactly.
    std::optional<safetensors_type> scales{};
};

namespace detail {

/// Tensors of one file, with the bytes that they are written from.
class shard {
public:
    void add(std::string name, written_part part) {
        part.suffix = std::move(name);
        parts_.push_back(std::move(part));
    }
    void add(std::string name, std::vector<float> const& numbers) {
        add(std::move(name), {"", safetensors_type::f32, {numbers.size()}, bytes_of_numbers(numbers)});
    }
    /// A matrix in its own type.
    template <dense_format F>
    void add(std::string name, packed_matrix<F> const& w) {
        using number = typename F::value_type;
        constexpr auto type = std::same_as<number, float>  ? safetensors_type::f32
                              : std::same_as<number, bf16> ? safetensors_type::bf16
                                                           : safetensors_type::f16;
        std::vector<number> numbers;
        for (std::size_t r = 0; r < w.rows(); ++r) numbers.insert(numbers.end(), w.row(r).begin(), w.row(r).end());
        add(std::move(name), {"", type, {w.rows(), w.cols()}, bytes_of_numbers(numbers)});
    }

    void write(std::filesystem::path const& path, ordered_json& weight_map, std::size_t& bytes) const {
        std::vector<safetensors_entry> entries;
        for (auto const& p : parts_) {
            entries.push_back({p.suffix, p.type, p.shape, p.bytes});
            weight_map[p.suffix] = path.filename().string();
            bytes += p.bytes.size();
        }
        write_safetensors(path, std::move(entries), {{"format", "pt"}});
    }

private:
    std::vector<written_part> parts_; // whose suffix is the whole name
};

/// Errors: shape_error naming row and group, for a scale that is beyond the numbers of the type.
inline void round_scales(coded_matrix& m, safetensors_type type) {
    for (std::size_t r = 0; r < m.rows(); ++r)
        for (std::size_t g = 0; g < m.groups(); ++g) {
            float& s = m.scales(r, g);
            if (type == safetensors_type::f16) s = f16(s);
            if (type == safetensors_type::bf16) s = bf16(s);
            if (!std::isfinite(s))
                throw shape_error("the scale of row " + std::to_string(r) + ", group " + std::to_string(g) +
                                  " is beyond the numbers of " + std::string(info(type).name));
        }
}

/// What the description of a folder needs to know of its layers.
struct exported_layers {
    std::vector<std::string> full;                                                      // modules that stay full
    std::map<std::string, std::pair<ordered_json, std::vector<std::string>>> described; // arguments → their modules
    bool has_order = false, is_symmetric = true;
    std::set<int> bits;
    std::set<std::size_t> groups; // of matrices with several a row
    std::size_t widest_row = 0;   // of those with one

    /// One group size for all; a row that is no longer is one group under any. 0: rows.
    std::size_t group() const noexcept { return groups.empty() ? 0 : *groups.begin(); }
    bool has_one_rule() const noexcept {
        return bits.size() == 1 && groups.size() <= 1 && (groups.empty() || widest_row <= group());
    }
};

inline ordered_json gptq_description(exported_layers const& layers, bool is_v2) {
    ordered_json d{{"quant_method", "gptq"},
                   {"bits", *layers.bits.begin()},
                   {"group_size", layers.group() == 0 ? -1 : static_cast<std::int64_t>(layers.group())},
                   {"desc_act", layers.has_order},
                   {"sym", layers.is_symmetric},
                   {"lm_head", false},
                   {"true_sequential", true},
                   {"pack_dtype", "int32"},
                   {"checkpoint_format", is_v2 ? "gptq_v2" : "gptq"},
                   {"meta", {{"quantizer", {"bitlens:" + std::string(version)}}}}};
    for (auto const& module : layers.full) d["dynamic"]["-:^" + module + "$"] = ordered_json::object();
    return d;
}

inline ordered_json description_of(exported_layers const& layers, export_layout layout) {
    switch (layout) {
    case export_layout::gptq:
    case export_layout::gptq_v2:
        return gptq_description(layers, layout == export_layout::gptq_v2);
    case export_layout::awq: {
        ordered_json d{{"quant_method", "awq"},
                       {"bits", 4},
                       {"group_size", layers.group() == 0 ? -1 : static_cast<std::int64_t>(layers.group())},
                       {"zero_point", true},
                       {"version", "gemm"},
                       {"modules_to_not_convert", nullptr}};
        if (!layers.full.empty()) d["modules_to_not_convert"] = layers.full;
        return d;
    }
    case export_layout::bitsandbytes: {
        std::vector<std::string> skipped{"lm_head"};
        skipped.insert(skipped.end(), layers.full.begin(), layers.full.end());
        return {{"quant_method", "bitsandbytes"},
                {"load_in_4bit", true},
                {"load_in_8bit", false},
                {"bnb_4bit_quant_type", "nf4"},
                {"bnb_4bit_use_double_quant", false},
                {"bnb_4bit_compute_dtype", "float32"},
                {"bnb_4bit_quant_storage", "uint8"},
                {"llm_int8_skip_modules", skipped}};
    }
    case export_layout::compressed_tensors:
        break;
    }
    std::vector<std::pair<ordered_json, std::vector<std::string>>> groups;
    for (auto const& [text, group] : layers.described) groups.push_back(group);
    if (groups.size() == 1) groups[0].second = {"Linear"};
    std::vector<std::string> ignored{"lm_head"};
    ignored.insert(ignored.end(), layers.full.begin(), layers.full.end());
    return compressed_description(groups, ignored);
}

/// The tensors of a quantized matrix, and what is to be said of it.   Errors: shape_error of the writer.
inline std::vector<written_part> parts_of(coded_matrix m, std::string const& module, export_options const& o,
                                          exported_layers& layers) {
    if (o.scales) round_scales(m, *o.scales);
    const auto type = o.scales.value_or(safetensors_type::f16);
    layers.has_order = layers.has_order || !m.order.empty();
    const auto zero = common_zero(m);
    layers.is_symmetric = layers.is_symmetric && zero && *zero - m.level(0) == static_cast<float>(1u << (m.bits - 1));
    layers.bits.insert(m.bits);
    if (m.groups() > 1)
        layers.groups.insert(m.group_columns);
    else
        layers.widest_row = std::max(layers.widest_row, m.cols());
    switch (o.layout) {
    case export_layout::gptq:
        return write_gptq(m, gptq_zeros::less_one, type);
    case export_layout::gptq_v2:
        return write_gptq(m, gptq_zeros::plain, type);
    case export_layout::awq:
        return write_awq_gemm(m, type);
    case export_layout::bitsandbytes:
        return write_bitsandbytes(m);
    case export_layout::compressed_tensors:
        break;
    }
    const ordered_json arguments = compressed_arguments(m);
    auto& group = layers.described[arguments.dump()];
    group.first = arguments;
    group.second.push_back(module);
    return write_compressed(m, type);
}

/// Tokenizer, template and what else of text lies beside a model.
inline void copy_beside(std::filesystem::path const& from, std::filesystem::path const& to) {
    constexpr std::array<std::string_view, 4> endings{".json", ".txt", ".model", ".jinja"};
    constexpr std::array<std::string_view, 4> own{"config.json", "model.safetensors.index.json", "quantize_config.json",
                                                  "quant_config.json"};
    for (auto const& entry : std::filesystem::directory_iterator(from)) {
        const std::string name = entry.path().filename().string();
        if (!entry.is_regular_file() || std::ranges::find(own, name) != own.end() ||
            std::ranges::none_of(endings, [&](std::string_view end) { return name.ends_with(end); }))
            continue;
        std::filesystem::copy_file(entry.path(), to / name);
    }
}

/// Errors: option_error for a source whose matrices are in codes.
inline void expect_full_precision(checkpoint const& source) {
    for (auto const& t : source.tensors())
        if (t.type != "F32" && t.type != "F16" && t.type != "BF16")
            throw option_error(source.path().string() + ": tensor " + in_quotes(t.stored_name) + " is " + t.type +
                               "; a model in full precision is expected, beside which nothing else is in codes");
}

/// The names of a source's tensors as its files have them.   Errors: option_error where several matrices lie in one
/// tensor, which the layouts of others do not know.
inline std::map<std::string, std::string> stored_names(checkpoint const& source) {
    std::map<std::string, std::string> names;
    std::set<std::string> seen;
    for (auto const& t : source.tensors()) {
        names[t.name] = t.stored_name;
        if (!seen.insert(t.stored_name).second)
            throw option_error(source.path().string() + ": tensor " + in_quotes(t.stored_name) +
                               " holds several matrices, which are not written apart; a model that keeps them apart is "
                               "expected");
    }
    return names;
}

} // namespace detail

/// Writes folder `to`, complete or not at all: the quantized matrices as the layout has them, in the scales of norms
/// that AWQ's need, all else as the source has it, config.json with their description, the tokenizer's files.
/// W lists the formats of the folder.
/// Errors: option_error for a `to` that is there already, a source that is no folder of full precision, matrices that
/// differ in bits or groups where the layout knows only one of each; shape_error naming layer and projection, for a
/// matrix that the layout does not hold exactly, saying what would be lost; those of the folder, source and writer.
template <class W>
void export_checkpoint(quantized_folder const& quantized, checkpoint const& source, export_options const& options,
                       std::filesystem::path const& to) {
    if (source.is_gguf())
        throw option_error(source.path().string() +
                           ": a GGUF file has no config.json and no tokenizer.json to write; a "
                           "Hugging Face folder of the model is expected");
    if (is_occupied(to))
        throw option_error(to.string() + ": is there already; another name, or none of it, is expected");
    const auto names = detail::stored_names(source);
    detail::expect_full_precision(source);
    std::filesystem::path work = to;
    work += ".part";
    std::error_code ignored;
    std::filesystem::remove_all(work, ignored); // of a call that was stopped
    std::filesystem::create_directories(work);

    model_config const& config = source.config();
    model_family const& family = source.family();
    checkpoint_layers<W> full(source, false);
    detail::exported_layers layers;
    ordered_json weight_map = ordered_json::object();
    std::size_t bytes = 0;
    const std::size_t shards = config.layers + 1;
    const auto shard_path = [&](std::size_t number) {
        return work / ("model-" + padded_number(number, 5) + "-of-" + padded_number(shards, 5) + ".safetensors");
    };
    const auto as_stored = [&](std::vector<float> gamma) {
        if (family.stores_gamma_less_one)
            for (float& x : gamma) x -= 1.0f;
        return gamma;
    };

    detail::shard ends;
    const auto add_matrix = [&](std::string_view name) {
        const auto w = source.load_matrix<mixed_matrix<dense<float>, dense<bf16>, dense<f16>>>(name);
        w.visit([&](auto const& numbers) { ends.add(names.at(std::string(name)), numbers); });
    };
    add_matrix(detail::embedding_name);
    if (!config.tied_head) add_matrix(detail::head_name);
    ends.add(names.at(std::string(detail::final_norm_name)), as_stored(source.load_vector(detail::final_norm_name)));
    ends.write(shard_path(1), weight_map, bytes);

    for (std::size_t k = 0; k < config.layers; ++k) {
        const auto of_full = full.layer(k);
        const auto block = detail::completed(
            over_full(read_quantized_layer<W>(quantized, k, config.block), of_full, family.form, config.block), full,
            k);
        detail::shard shard;
        for (auto const& parameter : family.parameters) {
            if (!detail::has_parameter(config, parameter)) continue;
            const std::string name = names.at(detail::layer_prefix(k) + detail::name_below_layer(parameter));
            if (auto const* const bias = std::get_if<bias_of>(&parameter.part)) {
                shard.add(name, block.rest->bias(bias->linear));
                continue;
            }
            if (auto const* const norm = std::get_if<block_norm>(&parameter.part)) {
                shard.add(name, as_stored(block.rest->gamma(*norm)));
                continue;
            }
            const auto p = std::get<weight_of>(parameter.part).linear;
            const std::string module = name.substr(0, name.size() - std::string_view(".weight").size());
            block.linear[static_cast<std::size_t>(p)]->visit([&]<class F>(packed_matrix<F> const& w) {
                if constexpr (dense_format<F>) {
                    layers.full.push_back(module);
                    shard.add(name, w);
                } else {
                    try {
                        for (auto& part : detail::parts_of(coded(w), module, options, layers)) {
                            std::string full_name = module + "." + part.suffix;
                            shard.add(std::move(full_name), std::move(part));
                        }
                    } catch (shape_error const& e) {
                        throw shape_error("layer " + std::to_string(k) + " " + std::string(bitlens::name(p)) + ": " +
                                          e.what());
                    }
                }
            });
        }
        shard.write(shard_path(k + 2), weight_map, bytes);
    }
    if (layers.bits.empty()) throw option_error(quantized.path().string() + ": no matrix is quantized");
    if (!layers.has_one_rule() && options.layout != export_layout::compressed_tensors &&
        options.layout != export_layout::bitsandbytes)
        throw option_error(quantized.path().string() +
                           ": matrices of several numbers of bits or groups are not described by this layout; "
                           "compressed-tensors does");

    const ordered_json description = detail::description_of(layers, options.layout);
    auto written = ordered_json::parse(read_json_file(source.path() / "config.json").dump());
    written["quantization_config"] = description;
    write_file_atomically(work / "config.json", written.dump(2) + "\n");
    if (options.layout == export_layout::gptq || options.layout == export_layout::gptq_v2)
        write_file_atomically(work / "quantize_config.json", description.dump(2) + "\n");
    write_file_atomically(work / "model.safetensors.index.json",
                          ordered_json{{"metadata", {{"total_size", bytes}}}, {"weight_map", weight_map}}.dump(2) +
                              "\n");
    detail::copy_beside(source.path(), work);
    std::filesystem::rename(work, to);
}

/// Writes a GGUF file, complete or not at all: the quantized matrices as blocks that hold them, norms in the scales
/// that AWQ's need, all else as `source`, a GGUF file too, has it. `scales`: F16, to which they are rounded; none: they
/// must be F16 exactly. Errors: option_error for a `to` that is there already, or a source that is none; format_error
/// naming the tensor, for a matrix that no block type holds exactly, saying what would be lost; those of the folder and
/// source.
template <class W>
void export_gguf(quantized_folder const& quantized, checkpoint const& source, std::optional<safetensors_type> scales,
                 std::filesystem::path const& to) {
    if (is_occupied(to))
        throw option_error(to.string() + ": is there already; another name, or none of it, is expected");
    model_config const& config = source.config();
    model_family const& family = source.family();
    checkpoint_layers<W> full(source, false);
    std::optional<std::size_t> kept; // the layer that `block` is of
    block_weights<W> block, of_full;
    const auto find = [&](std::string const& name) -> block_parameter const* {
        const auto found = detail::find_in_blocks(family, name);
        if (!found) return nullptr;
        const std::size_t k = found->layer;
        if (kept != k) {
            of_full = full.layer(k);
            block = over_full(read_quantized_layer<W>(quantized, k, config.block), of_full, family.form, config.block);
            kept = k;
        }
        return found->parameter;
    };
    const auto matrix_of = [&](std::string const& name) -> std::optional<coded_matrix> {
        auto const* const parameter = find(name);
        auto const* const weight = parameter == nullptr ? nullptr : std::get_if<weight_of>(&parameter->part);
        if (weight == nullptr) return std::nullopt;
        auto const& w = block.linear[static_cast<std::size_t>(weight->linear)];
        if (w == nullptr) return std::nullopt; // as the source has it
        return w->visit([&]<class F>(packed_matrix<F> const& packed) -> std::optional<coded_matrix> {
            if constexpr (quant_format<F>) {
                auto m = coded(packed);
                if (scales) detail::round_scales(m, *scales);
                return m;
            } else {
                throw option_error(name +
                                   ": stays full in the scales that AWQ gave it, which GGUF's blocks do not hold");
            }
        });
    };
    const auto vector_of = [&](std::string const& name) -> std::optional<std::vector<float>> {
        auto const* const parameter = find(name);
        if (parameter == nullptr || block.rest == of_full.rest) return std::nullopt;
        if (auto const* const bias = std::get_if<bias_of>(&parameter->part)) return block.rest->bias(bias->linear);
        if (auto const* const norm = std::get_if<block_norm>(&parameter->part)) return block.rest->gamma(*norm);
        return std::nullopt;
    };
    write_gguf_model(source, to, matrix_of, vector_of);
}

} // namespace bitlens
