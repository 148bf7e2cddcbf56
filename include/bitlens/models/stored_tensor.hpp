#pragma once
/// stored_tensor: one tensor of a checkpoint and how to read it.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// One tensor of a checkpoint.
struct tensor_info {
    std::string name;        // as Hugging Face names it
    std::string stored_name; // as the file names it
    std::string type;        // as the file names it: "BF16", "Q4_1", …
    std::vector<std::size_t> shape;
    std::size_t bytes;
    std::filesystem::path file;
};

namespace detail {

static_assert(std::endian::native == std::endian::little, "checkpoints are read where numbers are little-endian");

enum class stored_number : std::uint8_t { f32, f16, bf16, block, coded, unreadable };

/// One tensor and how to read it.
struct stored_tensor {
    tensor_info info;
    stored_number number;
    std::span<const std::byte> bytes;
    std::shared_ptr<const mapped_file> mapping;            // keeps the bytes alive
    gguf_tensor const* blocks = nullptr;                   // of a GGUF file
    std::shared_ptr<const stored_linear> linear = nullptr; // of several tensors, or of such blocks in codes
    std::size_t first_row = 0;                             // of `blocks` or `linear`
    std::size_t interleaved_head = 0; // head_dim where the rows of each head are stored in pairs (i, i + head_dim/2)
    bool is_less_one = false;         // γ − 1 is stored of γ

    std::size_t rows() const noexcept { return info.shape.size() == 2 ? info.shape[0] : 1; }
    std::size_t cols() const noexcept { return info.shape.back(); }
    std::string who() const { return info.file.string() + ": tensor " + in_quotes(info.stored_name); }

    /// Rows first … first + count − 1, as a tensor of their own.
    stored_tensor part(std::size_t first, std::size_t count) const {
        stored_tensor t = *this;
        const std::size_t row_bytes = bytes.size() / info.shape[0];
        t.info.shape[0] = count;
        t.info.bytes = count * row_bytes;
        t.bytes = bytes.subspan(first * row_bytes, count * row_bytes);
        t.first_row = first_row + first;
        return t;
    }

    /// Where row r (of a vector, number r) of the Hugging Face order lies: its row j·h/2 + i of a head is the stored
    /// row 2i + j.
    std::size_t stored_row(std::size_t r) const noexcept {
        if (interleaved_head == 0) return r;
        const std::size_t half = interleaved_head / 2, in_head = r % interleaved_head;
        return r - in_head + 2 * (in_head % half) + in_head / half;
    }
};

/// The method that a tensor of quantized weights belongs to; empty for other tensors.
inline std::string_view quantized_by(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 12> endings{
        {{".qweight", "GPTQ or AWQ"},
         {".qzeros", "GPTQ or AWQ"},
         {".weight.absmax", "bitsandbytes"},
         {".weight.quant_map", "bitsandbytes"},
         {".SCB", "bitsandbytes"},
         {".weight_scale", "compressed-tensors or FP8"},
         {".weight_scale_inv", "FP8"},
         {".weight_packed", "compressed-tensors"},
         {".W_q", "HQQ"},
         {".codebooks", "AQLM"},
         {".q_weight", "ExLlamaV2"},
         {".trellis", "ExLlamaV3"}}};
    for (auto const& [ending, method] : endings)
        if (name.ends_with(ending)) return method;
    return {};
}

/// Errors: format_error naming the tensor, for a number that is NaN or infinite.
template <class T>
void check_finite(std::span<const T> row, stored_tensor const& from, std::size_t r) {
    const auto exponent_is_full = [](T x) {
        if constexpr (std::same_as<T, float>)
            return (std::bit_cast<std::uint32_t>(x) & 0x7F800000u) == 0x7F800000u;
        else if constexpr (std::same_as<T, bf16>)
            return (x.bits & 0x7F80u) == 0x7F80u;
        else
            return (x.bits & 0x7C00u) == 0x7C00u;
    };
    bool bad = false;
    for (T const& x : row) bad |= exponent_is_full(x);
    if (bad) throw format_error(from.who() + ": row " + std::to_string(r) + " holds a number that is not finite");
}

} // namespace detail

} // namespace bitlens
