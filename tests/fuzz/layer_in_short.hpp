#pragma once
/// A linear layer as others store it, in so few bytes that a fuzzer changes one thing at a time. Files of safetensors
/// have a target of their own: a layer's tensors need only be what such a file can hold.
///
///     what is said of the layer, in JSON, and a line feed; what is no JSON says nothing
///     1 byte: the number of tensors
///     of each: its part, its type and its rank, and each of its dimensions, a byte each
///     the bytes of the tensors, one after the other; where they end, they begin again
///
/// A byte is taken as the remainder by what there is to choose from; dimensions from 224 on stand for large ones.

#include "targets.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/stored/find_stored_linear.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::fuzz {

class layer_in_short {
public:
    static constexpr std::string_view name = "model.layers.0.mlp.up_proj";

    /// parts: what its tensors may be called, file: the one that they are said to come from.
    /// Errors: format_error for tensors that no file of safetensors holds, or that are too large for a fuzzer.
    layer_in_short(input bytes, std::span<const std::string_view> parts, safetensors_file const& file)
        : file_(file), rest_(bytes) {
        const auto line_end = std::ranges::find(rest_, std::uint8_t{'\n'});
        said_ = as_text(std::as_bytes(input(rest_.begin(), line_end)));
        rest_ = rest_.subspan(std::min(said_.size() + 1, rest_.size()));
        const std::size_t count = next() % 8;
        for (std::size_t i = 0; i < count; ++i) read_head(parts);
        const input data = rest_;
        std::size_t at = 0;
        for (auto& t : tensors_) {
            const std::size_t size = bytes_of(t);
            auto& kept = bytes_.emplace_back(size + 1); // as it may lie in a file: of any alignment
            for (std::size_t k = 0; k < size && !data.empty(); ++k) kept[k + 1] = std::byte{data[at++ % data.size()]};
            t.bytes = std::span(kept).subspan(1);
        }
    }

    /// The line of JSON.
    std::string_view said() const noexcept { return said_; }
    std::size_t bytes() const noexcept {
        std::size_t sum = 0;
        for (auto const& t : tensors_) sum += t.bytes.size();
        return sum;
    }
    /// Errors: format_error where they are no such layer's.
    linear_tensors tensors() const {
        std::vector<placed_safetensors_tensor> placed;
        for (auto const& t : tensors_) placed.push_back({&t, &file_});
        auto found = find_linear_tensors(placed);
        const auto place = found.find(name);
        if (place == found.end()) throw format_error("no tensor marks a layer");
        return std::move(place->second);
    }

private:
    static constexpr std::size_t most_bytes = std::size_t{1} << 12;
    static constexpr std::size_t first_long = 224;
    static constexpr auto long_dimensions = std::to_array<std::size_t>(
        {256, 384, 512, 768, 1024, 2048, 4096, 8192, std::size_t{1} << 31, std::size_t{1} << 32, std::size_t{1} << 58,
         std::size_t{1} << 60, std::size_t{1} << 61, std::size_t{1} << 62, std::size_t{1} << 63, ~std::size_t{0}});

    std::size_t next() {
        if (rest_.empty()) return 0;
        const std::size_t byte = rest_.front();
        rest_ = rest_.subspan(1);
        return byte;
    }
    void read_head(std::span<const std::string_view> parts) {
        safetensors_tensor t;
        t.name = std::string(name) + "." + std::string(parts[next() % parts.size()]);
        t.type = static_cast<safetensors_type>(next() % safetensors_types.size());
        t.shape.resize(next() % 4);
        for (auto& d : t.shape) {
            d = next();
            if (d >= first_long) d = long_dimensions[(d - first_long) % long_dimensions.size()];
        }
        const auto is_it = [&](safetensors_tensor const& other) { return other.name == t.name; };
        if (std::ranges::none_of(tensors_, is_it)) tensors_.push_back(std::move(t)); // a file has each name once
    }
    std::size_t bytes_of(safetensors_tensor const& t) const {
        const auto size = detail::safetensors_bytes(t.type, t.shape);
        if (!size) throw format_error("tensor " + t.name + ": no file holds shape " + shape_text(t.shape));
        if (*size > most_bytes) throw format_error("tensor " + t.name + ": too large for a fuzzer");
        return *size;
    }

    safetensors_file const& file_;
    input rest_;
    std::string_view said_;
    std::vector<safetensors_tensor> tensors_;
    std::vector<std::vector<std::byte>> bytes_;
};

} // namespace bitlens::fuzz
