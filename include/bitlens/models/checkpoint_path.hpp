#pragma once
/// What a path leads to that is given as a model, and where it leads to none, what to give or do instead.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// "org/name" of a path that is a model's name on a hub, or its address there; empty for another.
inline std::string hub_name(std::string_view text) {
    if (const auto scheme = text.find("://"); scheme != text.npos) {
        const auto host_end = text.find('/', scheme + 3);
        text.remove_prefix(host_end == text.npos ? text.size() : host_end + 1);
        const auto name_end = text.find('/', std::min(text.find('/'), text.size() - 1) + 1);
        text = text.substr(0, name_end); // "org/name/tree/main" and the like
    }
    text = text.substr(0, text.find(':')); // "org/name:Q4_K_M"
    if (text.ends_with('/')) text.remove_suffix(1);
    const auto slash = text.find('/');
    const auto is_part = [](std::string_view part) {
        constexpr std::string_view signs = "-_.";
        return !part.empty() && !part.starts_with('.') && std::ranges::all_of(part, [&](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   signs.find(c) != signs.npos;
        });
    };
    if (slash == text.npos || !is_part(text.substr(0, slash)) || !is_part(text.substr(slash + 1))) return {};
    for (std::string_view ending : {".gguf", ".safetensors", ".json", ".bin"})
        if (text.ends_with(ending)) return {};
    return std::string(text);
}

/// A few of the names, for a message.
inline std::string some_of(std::vector<std::string> const& names) {
    constexpr std::size_t most = 3;
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i == 0 ? "" : ", ") + in_quotes(names[i]);
    return text + (names.size() > most ? ", …" : "");
}

/// Names of what lies in a folder, sorted.
inline std::vector<std::string> names_in(std::filesystem::path const& folder) {
    std::vector<std::string> names;
    std::error_code unknown;
    for (auto const& entry : std::filesystem::directory_iterator(folder, unknown))
        names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

/// The first folder below that holds a config.json, as those of a hub's cache do; empty where there is none.
inline std::filesystem::path folder_below(std::filesystem::path const& folder) {
    for (auto const& place : {folder, folder / "snapshots"})
        for (auto const& name : names_in(place))
            if (is_there(place / name / "config.json")) return place / name;
    return {};
}

/// Weights as others write them, by the start and the end of their names.
struct foreign_weights {
    std::string_view begins, ends, name, remedy;
};
inline constexpr std::string_view saved_again =
    "load the model with transformers and save it again (save_pretrained), which writes model.safetensors";
inline constexpr std::array<foreign_weights, 13> known_weights{{
    {"consolidated", ".safetensors", "weights in the layout of who made the model",
     "fetch the files of the same model for transformers"},
    {"consolidated", ".pth", "weights in the layout of who made the model",
     "fetch the files of the same model for transformers"},
    {"model-", ".safetensors", "shards", "fetch model.safetensors.index.json too, which says what is in which"},
    {"", ".safetensors", "safetensors of another name", "name the one file that is meant model.safetensors"},
    {"", ".gguf", "GGUF files", "give the path of one of them"},
    {"", ".bin", "PyTorch's pickled weights", saved_again},
    {"", ".pth", "PyTorch's pickled weights", saved_again},
    {"", ".pt", "PyTorch's pickled weights", saved_again},
    {"", ".ckpt", "pickled weights", saved_again},
    {"", ".msgpack", "Flax weights", saved_again},
    {"", ".h5", "TensorFlow weights", saved_again},
    {"", ".onnx", "an ONNX graph", "fetch the model that it was made from"},
    {"", ".tflite", "a TensorFlow Lite graph", "fetch the model that it was made from"},
}};

/// What an adapter says of the model that it changes.
inline std::string base_model_of(std::filesystem::path const& adapter_config) {
    try {
        const json parsed = read_json_file(adapter_config);
        const auto base = if_present<std::string>(parsed, "base_model_name_or_path", adapter_config.string());
        if (base) return ", " + in_quotes(*base) + ",";
    } catch (error const&) { // it only helps to say more
    }
    return "";
}

/// "; there are …" of what a folder has in place of weights that are read; empty where there is nothing known.
inline std::string instead_of_weights(std::filesystem::path const& folder) {
    const auto names = names_in(folder);
    if (is_there(folder / "adapter_config.json"))
        return "; there is an adapter (LoRA, adapter_config.json), which changes a model and is none: merge it into "
               "its "
               "base model" +
               base_model_of(folder / "adapter_config.json") + " and save that (merge_and_unload, save_pretrained)";
    for (auto const& kind : known_weights) {
        std::vector<std::string> found;
        for (auto const& name : names)
            if (name.starts_with(kind.begins) && name.ends_with(kind.ends)) found.push_back(name);
        if (!found.empty())
            return "; there are " + std::string(kind.name) + " (" + some_of(found) +
                   "), which are not read here: " + std::string(kind.remedy);
    }
    return "";
}

} // namespace detail

/// What is wrong with a path at which there is nothing, and how to get there what its name may mean.
inline std::string missing_model_text(std::filesystem::path const& path) {
    std::string text = path.string() + ": there is no such file or folder";
    const std::string hub = detail::hub_name(path.string());
    if (hub.empty()) return text;
    const std::string name = hub.substr(hub.find('/') + 1);
    return text + "; nothing is fetched from a hub: 'hf download " + hub + " --local-dir " + name +
           "' does that, and the folder " + name + " is then given";
}

namespace detail {

/// Errors: format_error for a file that is none of GGUF but can be told.
inline void refuse_file_of_folder(std::filesystem::path const& path, std::span<const std::byte> bytes) {
    const std::string name = path.filename().string();
    const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    if (name.ends_with(".safetensors") || name.ends_with(".json") || begins_as_safetensors(bytes))
        throw format_error(path.string() + ": this is one file of a Hugging Face folder; give the folder, " +
                           folder.string());
    for (auto const& kind : known_weights)
        if (!name.ends_with(".gguf") && name.starts_with(kind.begins) && name.ends_with(kind.ends))
            throw format_error(path.string() + ": " + std::string(kind.name) +
                               " are not read: " + std::string(kind.remedy));
}

/// Whether a folder (or else a file, perhaps GGUF) is at a path.
/// Errors: io_error where nothing is; format_error for a file that is no GGUF and can be told.
inline bool is_model_folder(std::filesystem::path const& path) {
    std::error_code unknown;
    const auto status = std::filesystem::status(path, unknown);
    if (status.type() == std::filesystem::file_type::not_found) throw io_error(missing_model_text(path));
    if (std::filesystem::is_directory(status)) return true;
    const mapped_file file(path);
    if (!as_text(file.bytes()).starts_with("GGUF")) refuse_file_of_folder(path, file.bytes());
    return false;
}

inline bool has_weights(std::filesystem::path const& folder) {
    return is_there(folder / "model.safetensors") || is_there(folder / "model.safetensors.index.json");
}

/// Errors: io_error for a folder without config.json, saying what there is.
inline void require_config(std::filesystem::path const& folder) {
    if (is_there(folder / "config.json")) return;
    std::string text =
        folder.string() + ": holds no config.json; a Hugging Face folder has one beside model.safetensors";
    if (const auto below = folder_below(folder); !below.empty())
        text += "; there is one in " + below.string() + ": give that folder";
    else if (!has_weights(folder))
        text += instead_of_weights(folder);
    throw io_error(text);
}

/// Errors: io_error for a folder without weights that are read, saying what there is.
inline void require_weights(std::filesystem::path const& folder) {
    if (has_weights(folder)) return;
    throw io_error(folder.string() + ": holds neither model.safetensors nor model.safetensors.index.json" +
                   instead_of_weights(folder));
}

/// Descriptions of quantized weights that stand beside config.json, and the method that each belongs to.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 4> quantization_files{
    {{"quantize_config.json", "gptq"},
     {"quant_config.json", "awq"},
     {"flute_config.json", "flute"},
     {"hf_quant_config.json", "modelopt"}}};

} // namespace detail

} // namespace bitlens
