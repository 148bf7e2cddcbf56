#pragma once
/// quantized_block: the matrices of one block that a method has quantized, and their file.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/io/safetensors_writer.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/recipes/awq_fold.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// What a method makes of a block.
template <class W>
struct quantized_block {
    std::array<std::shared_ptr<const W>, projection_count> linear; ///< none where it stays full
    block_scales fold;                                             ///< into the block before that, as AWQ does
};

namespace detail {

/// What the file of a layer must say beside its numbers.
struct layer_file_identity {
    std::string manifest; // identity_of
    std::size_t layer;
};

/// SHA-256 of all that a file says: its metadata, and the name, type, shape and bytes of each tensor. Tensors come by
/// name.
template <class Tensors>
std::string content_hash(std::map<std::string, std::string> const& metadata, Tensors const& tensors) {
    sha256 hash;
    hash.update(as_bytes(json(metadata).dump(-1, ' ', false, json::error_handler_t::replace)));
    for (auto const& t : tensors) {
        hash.update(as_bytes(t.name + " " + std::string(info(t.type).name) + " " + shape_text(t.shape)));
        hash.update(t.bytes);
    }
    return hash.hex();
}

inline constexpr const char *manifest_metadata = "manifest", *layer_metadata = "layer", *hash_metadata = "sha256",
                            *format_metadata_end = ".format";

inline std::string fold_name(std::size_t group) { return "fold." + std::to_string(group); }
/// Numbers of a group's fold: inputs of its readers, which are the same in every form of block.
inline std::size_t fold_size(std::size_t group, block_shape const& shape) noexcept {
    for (std::size_t p = 0; p < projection_count; ++p)
        if (has(input_groups({})[group].readers, static_cast<projection>(p)))
            return shape_of(static_cast<projection>(p), shape).cols;
    return 0;
}

/// Errors: format_error for a scale or an offset that is not finite, and for a scale beside offsets whose products with
/// codes may round, naming its place. who(".scales") names the tensor.
template <class Who>
void check_group_numbers(packed_arrays const& w, int bits, Who const& who) {
    const auto refuse = [&](std::string const& what, std::size_t i, float x, const char* expected) {
        throw format_error(who("." + what + "s") + ": row " + std::to_string(i / w.groups) + ", group " +
                           std::to_string(i % w.groups) + " has the " + what + ' ' + std::to_string(x) + "; " +
                           expected + " is expected");
    };
    for (std::size_t i = 0; i < w.scales.size(); ++i)
        if (!std::isfinite(w.scales[i])) refuse("scale", i, w.scales[i], "a finite number");
    for (std::size_t i = 0; i < w.offsets.size(); ++i) {
        if (!std::isfinite(w.offsets[i])) refuse("offset", i, w.offsets[i], "a finite number");
        if (!has_exact_products(w.scales[i], bits))
            refuse("scale", i, w.scales[i], "one of so few bits that its products with codes are exact");
    }
}
/// Errors: format_error for a zero that no code of so many bits can be, naming its place.
inline void check_group_zeros(std::span<const std::uint8_t> zeros, std::size_t groups, int bits,
                              std::string const& who) {
    const unsigned levels = 1u << bits;
    for (std::size_t i = 0; i < zeros.size(); ++i)
        if (zeros[i] >= levels)
            throw format_error(who + ": row " + std::to_string(i / groups) + ", group " + std::to_string(i % groups) +
                               " has the zero " + std::to_string(zeros[i]) + "; less than " + std::to_string(levels) +
                               " is expected");
}
/// Errors: format_error for what is no positive number, naming its place.
inline void check_fold(std::span<const float> fold, std::string const& who) {
    for (std::size_t c = 0; c < fold.size(); ++c)
        if (!std::isfinite(fold[c]) || fold[c] <= 0)
            throw format_error(who + ": column " + std::to_string(c) + " is multiplied with " +
                               std::to_string(fold[c]) + "; a finite number above 0 is expected");
}

/// What becomes one file. Tensors are borrowed.
class layer_file_contents {
public:
    explicit layer_file_contents(std::string who) : who_(std::move(who)) {}

    void add(std::string const& name, packed_arrays const& w, std::string const& format, int bits) {
        const auto who = [&](std::string const& part) { return who_ + ": tensor " + in_quotes(name + part); };
        check_group_numbers(w, bits, who);
        check_group_zeros(w.zeros.span(), w.groups, bits, who(".zeros"));
        metadata_[name + format_metadata_end] = format;
        add(name + ".codes", safetensors_type::u8, {w.rows, w.row_bytes}, w.codes.span());
        add(name + ".scales", safetensors_type::f32, {w.rows, w.groups}, w.scales.span());
        if (w.zeros.size() != 0) add(name + ".zeros", safetensors_type::u8, {w.rows, w.groups}, w.zeros.span());
        if (w.offsets.size() != 0) add(name + ".offsets", safetensors_type::f32, {w.rows, w.groups}, w.offsets.span());
        if (w.order.empty()) return;
        if (w.cols > std::size_t{std::numeric_limits<std::int32_t>::max()})
            throw shape_error(who(".order") + ": " + std::to_string(w.cols) + " columns are more than I32 can count");
        add(name + ".order", safetensors_type::i32, {w.cols}, std::span<const std::uint32_t>(w.order));
    }
    void add_fold(std::size_t group, std::span<const float> fold) {
        check_fold(fold, who_ + ": tensor " + in_quotes(fold_name(group)));
        add(fold_name(group), safetensors_type::f32, {fold.size()}, fold);
    }
    /// Errors: those of write_safetensors.
    void write(std::filesystem::path const& path, layer_file_identity const& identity) {
        metadata_[manifest_metadata] = identity.manifest;
        metadata_[layer_metadata] = std::to_string(identity.layer);
        std::ranges::sort(tensors_, {}, &safetensors_entry::name);
        metadata_[hash_metadata] = content_hash(metadata_, tensors_);
        write_safetensors(path, std::move(tensors_), metadata_);
    }

private:
    template <class T>
    void add(std::string name, safetensors_type type, std::vector<std::size_t> shape, std::span<T> numbers) {
        tensors_.push_back({std::move(name), type, std::move(shape), std::as_bytes(numbers)});
    }

    std::string who_;
    std::map<std::string, std::string> metadata_;
    std::vector<safetensors_entry> tensors_;
};

/// What a file holds, each part checked as it is taken.
class layer_file_reader {
public:
    /// Errors: those of safetensors_file; format_error for the file of another layer or folder.
    layer_file_reader(std::filesystem::path const& path, layer_file_identity const& expected)
        : file_(path), who_(path.string()) {
        take_metadata(layer_metadata, std::to_string(expected.layer));
        take_metadata(manifest_metadata, expected.manifest);
        hash_ = take_metadata(hash_metadata);
    }

    /// The format of a matrix; nothing for one that stays full.
    std::optional<std::string> format_of(std::string const& name) {
        const auto key = name + format_metadata_end;
        if (!file_.metadata().contains(key)) return std::nullopt;
        return take_metadata(key);
    }

    /// Into a matrix of the expected shape.   Errors: format_error naming the tensor.
    void read(std::string const& name, int bits, packed_arrays& to) {
        copy(name + ".codes", safetensors_type::u8, {to.rows, to.row_bytes}, to.codes.span());
        copy(name + ".scales", safetensors_type::f32, {to.rows, to.groups}, to.scales.span());
        if (to.zeros.size() != 0) {
            copy(name + ".zeros", safetensors_type::u8, {to.rows, to.groups}, to.zeros.span());
            check_group_zeros(to.zeros.span(), to.groups, bits, who(name + ".zeros"));
        }
        if (to.offsets.size() != 0)
            copy(name + ".offsets", safetensors_type::f32, {to.rows, to.groups}, to.offsets.span());
        check_group_numbers(to, bits, [&](std::string const& part) { return who(name + part); });
    }
    /// The order of a matrix's columns; nothing where they lie as they are.   Errors: format_error naming the tensor.
    std::vector<std::uint32_t> order_of(std::string const& name, std::size_t cols) {
        if (file_.find(name + ".order") == nullptr) return {};
        std::vector<std::int32_t> order(cols);
        copy(name + ".order", safetensors_type::i32, {cols}, std::span(order));
        const auto negative = std::ranges::find_if(order, [](std::int32_t c) { return c < 0; });
        if (negative != order.end())
            throw format_error(who(name + ".order") + ": column " + std::to_string(*negative) + " at place " +
                               std::to_string(negative - order.begin()) + "; at least 0 is expected");
        return {order.begin(), order.end()};
    }
    /// Empty where there is none.   Errors: format_error naming the tensor.
    std::vector<float> fold(std::size_t group, std::size_t size) {
        const std::string name = fold_name(group);
        if (file_.find(name) == nullptr) return {};
        std::vector<float> numbers(size);
        copy(name, safetensors_type::f32, {size}, std::span(numbers));
        check_fold(numbers, who(name));
        return numbers;
    }
    std::string who(std::string const& tensor) const { return who_ + ": tensor " + in_quotes(tensor); }
    std::string const& who() const noexcept { return who_; }

    /// After all is taken.   Errors: format_error for what nobody took, and for bytes that are not those written.
    void finish() const {
        for (auto const& [key, value] : file_.metadata())
            if (!taken_metadata_.contains(key))
                throw format_error(who_ + ": __metadata__: " + in_quotes(key) + " is not known");
        for (auto const& t : file_.tensors())
            if (!taken_tensors_.contains(t.name)) throw format_error(who(t.name) + " is not expected");
        auto metadata = file_.metadata();
        metadata.erase(hash_metadata);
        if (const std::string found = content_hash(metadata, file_.tensors()); found != hash_)
            throw format_error(
                who_ + ": its contents have the SHA-256 " + found + ", " + in_quotes(hash_) +
                " is expected; they are not as they were written, and a file that is removed is made again");
    }

private:
    std::string take_metadata(std::string const& key) {
        taken_metadata_.insert(key);
        const auto found = file_.metadata().find(key);
        if (found == file_.metadata().end())
            throw format_error(who_ + ": __metadata__: " + in_quotes(key) + " is missing; it is no quantized layer's");
        return found->second;
    }
    void take_metadata(std::string const& key, std::string const& expected) {
        if (const std::string found = take_metadata(key); found != expected)
            throw format_error(who_ + ": __metadata__: " + in_quotes(key) + ": " + in_quotes(expected) +
                               " is expected, " + in_quotes(found) + " was found; the file belongs elsewhere");
    }
    template <class T, std::size_t Extent>
    void copy(std::string const& name, safetensors_type type, std::vector<std::size_t> const& shape,
              std::span<T, Extent> to) {
        taken_tensors_.insert(name);
        auto const* const t = file_.find(name);
        if (t == nullptr) throw format_error(who(name) + " is missing");
        if (t->type != type || t->shape != shape)
            throw format_error(who(name) + ": " + std::string(info(type).name) + " of shape " + shape_text(shape) +
                               " is expected, " + std::string(info(t->type).name) + " of shape " +
                               shape_text(t->shape) + " was found");
        std::ranges::copy(t->bytes, std::as_writable_bytes(to).begin());
    }

    safetensors_file file_;
    std::string who_, hash_;
    std::set<std::string> taken_metadata_, taken_tensors_;
};

/// Reads if F is the format of the matrix.
template <weight_format F, class W>
bool read_matrix_as(layer_file_reader& file, std::string const& name, std::string const& format, matrix_shape shape,
                    std::shared_ptr<const W>& to) {
    if constexpr (quant_format<F>) {
        if (format_name<F>() != format) return false;
        const auto here = [&](std::string const& tensor, auto const& f) {
            try {
                return f();
            } catch (shape_error const& e) { // of the matrix, which knows no file
                throw format_error(file.who(tensor) + ": " + e.what());
            }
        };
        auto w = here(name + ".codes", [&] { return packed_matrix<F>(shape.rows, shape.cols); });
        file.read(name, F::bits, w.arrays());
        if (auto order = file.order_of(name, shape.cols); !order.empty()) {
            try {
                w.set_order(std::move(order));
            } catch (error const& e) {
                throw format_error(file.who(name + ".order") + ": " + e.what());
            }
        }
        to = std::make_shared<const W>(std::move(w));
        return true;
    }
    return false;
}

template <weight_format... F>
std::shared_ptr<const mixed_matrix<F...>> read_listed_matrix(layer_file_reader& file, std::string const& name,
                                                             std::string const& format, matrix_shape shape,
                                                             std::type_identity<mixed_matrix<F...>>) {
    std::shared_ptr<const mixed_matrix<F...>> w;
    if (!(read_matrix_as<F>(file, name, format, shape, w) || ...))
        throw format_error(file.who() + ": __metadata__: " + in_quotes(name + format_metadata_end) + ": " +
                           in_quotes(format) + " is no format that the type of weight lists");
    return w;
}

/// Errors: option_error for a matrix that is not in a low-bit format; format_error for one that could not be read
/// again; those of write_safetensors.
template <class W>
void write_block(std::filesystem::path const& path, layer_file_identity const& identity,
                 quantized_block<W> const& block) {
    layer_file_contents contents(path.string());
    for (std::size_t p = 0; p < projection_count; ++p) {
        if (block.linear[p] == nullptr) continue;
        const std::string projection_name(name(static_cast<projection>(p)));
        block.linear[p]->visit([&]<class F>(packed_matrix<F> const& w) {
            if constexpr (quant_format<F>)
                contents.add(projection_name, w.arrays(), format_name<F>(), F::bits);
            else
                throw option_error(path.string() + ": " + projection_name + " is in the format " + format_name<F>() +
                                   "; only low-bit ones are stored, what stays full is left out");
        });
    }
    for (std::size_t g = 0; g < block.fold.size(); ++g)
        if (!block.fold[g].empty()) contents.add_fold(g, block.fold[g]);
    contents.write(path, identity);
}

/// Errors: those of safetensors_file; format_error naming file and tensor for whatever write_block does not write.
template <class W>
quantized_block<W> read_block(std::filesystem::path const& path, layer_file_identity const& identity,
                              block_shape const& shape) {
    layer_file_reader file(path, identity);
    quantized_block<W> block;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto which = static_cast<projection>(p);
        const std::string projection_name(name(which));
        if (const auto format = file.format_of(projection_name))
            block.linear[p] =
                read_listed_matrix(file, projection_name, *format, shape_of(which, shape), std::type_identity<W>{});
    }
    for (std::size_t g = 0; g < block.fold.size(); ++g) block.fold[g] = file.fold(g, fold_size(g, shape));
    file.finish();
    return block;
}

} // namespace detail

} // namespace bitlens
