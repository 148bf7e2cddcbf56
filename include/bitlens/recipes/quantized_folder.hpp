#pragma once
/// quantized_folder: a quantized model on disk, one file a layer, so that a kill loses one layer at most.

#include "bitlens/core/error.hpp"
#include "bitlens/core/padded_number.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/folder_lock.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/recipes/quantized_block.hpp"
#include "bitlens/recipes/quantized_manifest.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace bitlens {

/// A folder that holds, or is to hold, all layers of a model (docs/quantized-folder.md):
///
///     DIR/manifest.json               what decides its bytes
///     DIR/layer-0000.safetensors …    each finished layer
///     DIR/.lock                       held by who writes
class quantized_folder {
public:
    /// One that is there, finished or not.   Errors: io_error without a manifest; those of quantized_manifest_from.
    explicit quantized_folder(std::filesystem::path path)
        : quantized_folder(
              path, quantized_manifest_from(read_json_file(path / manifest_name), (path / manifest_name).string())) {}

    std::filesystem::path const& path() const noexcept { return path_; }
    quantized_manifest const& manifest() const noexcept { return manifest_; }
    /// What its layers are marked with.
    std::string const& identity() const noexcept { return identity_; }

    /// Errors: shape_error for a layer that the model has not.
    std::filesystem::path layer_path(std::size_t k) const {
        if (k >= manifest_.layers)
            throw shape_error(path_.string() + ": layer " + std::to_string(k) + " is asked of " +
                              std::to_string(manifest_.layers) + " layers");
        return path_ / ("layer-" + padded_number(k, 4) + ".safetensors");
    }
    /// Whether there is a file for layer k.
    bool has_layer(std::size_t k) const { return is_occupied(layer_path(k)); }
    /// The first layer that is not there yet.
    std::optional<std::size_t> first_missing_layer() const {
        for (std::size_t k = 0; k < manifest_.layers; ++k)
            if (!has_layer(k)) return k;
        return std::nullopt;
    }

protected:
    quantized_folder(std::filesystem::path path, quantized_manifest manifest)
        : path_(std::move(path)), manifest_(std::move(manifest)), identity_(identity_of(manifest_)) {}

    static constexpr const char* manifest_name = "manifest.json";

private:
    std::filesystem::path path_;
    quantized_manifest manifest_;
    std::string identity_;
};

/// Whether a folder says of itself that it is a quantized model, whatever state it is in.
inline bool is_quantized_folder(std::filesystem::path const& path) {
    try {
        const json manifest = read_json_file(path / "manifest.json");
        return manifest.is_object() && manifest.contains("kind") && manifest["kind"] == detail::quantized_kind;
    } catch (error const&) {
        return false;
    }
}

/// A folder that is being written: nobody else may, as long as it lives.
class quantized_folder_writer : public quantized_folder {
public:
    /// Begins a folder, or goes on with one of the same manifest.   Errors: option_error with the first difference for
    /// another manifest, or a folder that holds other files; io_error where another process has it or it cannot be
    /// written; those of quantized_manifest_from.
    quantized_folder_writer(std::filesystem::path const& path, quantized_manifest manifest)
        : quantized_folder(path, std::move(manifest)), lock_(path, "quantized model") {
        const auto file = path / manifest_name;
        if (is_occupied(file)) {
            const auto earlier = quantized_manifest_from(read_json_file(file), file.string());
            if (const auto difference = first_difference(earlier, this->manifest()))
                throw option_error(path.string() + ": holds another quantized model: " + *difference +
                                   "; another folder keeps both");
        } else {
            write_file_atomically(file, json_text(to_json(this->manifest()), file.string(), 2) + "\n");
        }
    }

private:
    folder_lock lock_;
};

/// Leaves the file of layer k complete, or not at all. Equal blocks make equal files.
/// Errors: shape_error for a layer that the model has not; option_error for a matrix that is not in a
/// low-bit format; format_error for one that could not be read again; io_error as atomic_file.
template <class W>
void write_quantized_layer(quantized_folder_writer const& folder, std::size_t k, quantized_block<W> const& block) {
    static_assert(is_mixed_matrix<W>, "bitlens: quantized_block<W>: W is a mixed_matrix, such as study_matrix");
    detail::write_block(folder.layer_path(k), {folder.identity(), k}, block);
}

/// Layer k of blocks of this shape, all of it checked.   W is a mixed_matrix that lists the formats.
/// Errors: shape_error for a layer that the model has not; io_error for one that is not there yet; format_error naming
/// file and tensor for all that write_quantized_layer would not have written for this folder and shape.
template <class W>
quantized_block<W> read_quantized_layer(quantized_folder const& folder, std::size_t k, block_shape const& shape) {
    static_assert(is_mixed_matrix<W>, "bitlens: read_quantized_layer<W>: W is a mixed_matrix, such as study_matrix");
    return detail::read_block<W>(folder.layer_path(k), {folder.identity(), k}, shape);
}

} // namespace bitlens
