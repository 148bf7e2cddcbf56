#pragma once
/// awq_linear: a layer as AWQ's packages keep it, in the layout of one of their kernels, of 4 bits but for GEMM.
///
///     GEMM         P.qweight I32 (in, W)      P.qzeros I32 (in/g, W)      P.scales (in/g, out), W = ⌈out·bits/32⌉
///     GEMV         P.qweight I32 (out, in/8)  P.qzeros I32 (out, Z)       P.scales (out, 8·Z), filled up with zeros
///     llm-awq v2   P.qweight I16 (out/4, in)  P.scales, P.scaled_zeros (or qzeros) (8·Z, out)
///
/// w = scale · (code − zero); version 2 keeps −scale · zero. GEMM's codes of 4 bits are shuffled within a word; of 2, 3
/// and 5 to 8 bits, which GPTQModel alone writes, they follow each other without a gap. Sources: the packers of
/// AutoAWQ, llm-awq and GPTQModel.

#include "bitlens/core/error.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

namespace detail {

/// Groups of a row where they are not said: as many as the file has room for.
inline std::size_t awq_group(linear_tensors const& t, quantization_description const& d) {
    const auto said = d.integer({"group_size", "q_group_size"});
    if (!said) throw format_error(t.who() + ": group_size is expected beside weights in this layout");
    if (*said < -1 || *said == 0)
        throw format_error(d.who() + ": group_size " + std::to_string(*said) + " means nothing");
    return *said == -1 ? 0 : static_cast<std::size_t>(*said);
}

} // namespace detail

/// Errors at construction: format_error naming tensor and file for shapes that are no such layer's.
class awq_gemm_linear final : public stored_linear {
public:
    awq_gemm_linear(linear_tensors t, int bits)
        : stored_linear(t.require("scales", detail::float_types, 2).shape[1],
                        t.require("qweight", {safetensors_type::i32}, 2).shape[0], t.who()),
          tensors_(std::move(t)), groups_(tensors_.find("scales")->shape[0]), bits_(bits) {
        using enum safetensors_type;
        if (rows() % 8 != 0 || cols() % groups_ != 0)
            throw format_error(tensors_.who("scales") + ": scales " + shape_text(tensors_.find("scales")->shape) +
                               " do not divide " + std::to_string(cols()) + " inputs into groups");
        tensors_.require("qweight", {i32}, {cols(), words()});
        tensors_.require("qzeros", {i32}, {groups_, words()});
    }

    /// The bits of a code by the words of `qweight`. Where they are those of several, as of few outputs, the
    /// description decides, and without it they are 4. None where the words are those of no such layer, or of any of
    /// several.
    static std::optional<int> bits_of(linear_tensors const& t, quantization_description const& d) {
        const std::size_t words = t.find("qweight")->shape[1], outputs = t.find("scales")->shape[1];
        const auto fits = [&](std::int64_t bits) {
            return bits >= 2 && bits <= 8 && outputs <= SIZE_MAX / 8 &&
                   words_of(word_layout::continuous, outputs, static_cast<int>(bits)) == words;
        };
        if (const auto said = d.integer({"bits", "w_bit"}); said && fits(*said)) return static_cast<int>(*said);
        if (fits(4)) return 4;
        std::optional<int> only;
        for (int bits = 2; bits <= 8; ++bits)
            if (fits(bits)) {
                if (only) return std::nullopt;
                only = bits;
            }
        return only;
    }

    std::string type() const override {
        return "AWQ " + std::to_string(bits_) + "-bit g" + std::to_string(cols() / groups_) + " (GEMM)";
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    std::optional<coded_matrix> form() const override {
        coded_matrix m(bits_, 1, cols(), cols() / groups_);
        m.zeros = matrix<float>(1, m.groups());
        return m;
    }

    /// The output, of eight, whose code lies in nibble j of a word.
    static constexpr std::array<std::size_t, 8> output_of_nibble{0, 2, 4, 6, 1, 3, 5, 7};

private:
    coded_matrix read_numbers() const override {
        coded_matrix m(bits_, rows(), cols(), cols() / groups_);
        m.zeros = matrix<float>(rows(), groups_);
        const auto scales = tensors_.floats("scales");
        for_each_code("qweight", cols(), [&](std::size_t c, std::size_t r, std::uint8_t q) { m.codes(r, c) = q; });
        for_each_code("qzeros", groups_,
                      [&](std::size_t g, std::size_t r, std::uint8_t q) { m.zeros(r, g) = static_cast<float>(q); });
        for (std::size_t g = 0; g < groups_; ++g)
            for (std::size_t r = 0; r < rows(); ++r) m.scales(r, g) = scales(g, r);
        return m;
    }

    template <class Function>
    void for_each_code(std::string_view suffix, std::size_t count, Function const& f) const {
        std::byte const* const bytes = tensors_.find(suffix)->bytes.data();
        for (std::size_t i = 0; i < count; ++i) {
            const auto word = [&](std::size_t j) { return load<std::uint32_t>(bytes + 4 * (i * words() + j)); };
            for (std::size_t k = 0; k < rows(); ++k)
                f(i, bits_ == 4 ? k / 8 * 8 + output_of_nibble[k % 8] : k,
                  code_in(word_layout::continuous, word, k, bits_));
        }
    }
    std::size_t words() const { return words_of(word_layout::continuous, rows(), bits_); }

    linear_tensors tensors_;
    std::size_t groups_;
    int bits_;
};

/// Errors at construction: as above; where the description says no group size.
class awq_gemv_linear final : public stored_linear {
public:
    awq_gemv_linear(linear_tensors t, quantization_description const& d)
        : stored_linear(t.require("qweight", {safetensors_type::i32}, 2).shape[0],
                        8 * t.require("qweight", {safetensors_type::i32}, 2).shape[1], t.who()),
          tensors_(std::move(t)), group_(detail::awq_group(tensors_, d)) {
        using enum safetensors_type;
        if (group_ == 0) group_ = cols();
        const std::size_t words = tensors_.require("qzeros", {i32}, 2).shape[1];
        tensors_.require("qzeros", {i32}, {rows(), words});
        tensors_.require("scales", detail::float_types, {rows(), 8 * words});
        if (cols() % group_ != 0 || cols() / group_ > 8 * words)
            throw format_error(tensors_.who("qzeros") + ": room for " + std::to_string(8 * words) +
                               " groups was found, " + std::to_string(cols()) + " inputs in groups of " +
                               std::to_string(group_) + " need " + std::to_string((cols() + group_ - 1) / group_));
    }

    std::string type() const override { return "AWQ 4-bit g" + std::to_string(group_) + " (GEMV)"; }
    std::size_t bytes() const override { return tensors_.bytes(); }
    std::optional<coded_matrix> form() const override {
        coded_matrix m(4, 1, cols(), group_);
        m.zeros = matrix<float>(1, m.groups());
        return m;
    }

private:
    coded_matrix read_numbers() const override {
        coded_matrix m(4, rows(), cols(), group_);
        m.zeros = matrix<float>(rows(), m.groups());
        const auto scales = tensors_.floats("scales");
        std::byte const* const codes = tensors_.find("qweight")->bytes.data();
        std::byte const* const zeros = tensors_.find("qzeros")->bytes.data();
        const std::size_t code_bytes = cols() / 2, zero_bytes = scales.cols() / 2;
        const auto nibble = [](std::byte const* from, std::size_t i) {
            return static_cast<std::uint8_t>(std::to_integer<unsigned>(from[i / 2]) >> (i % 2 * 4) & 15u);
        };
        for (std::size_t r = 0; r < rows(); ++r) {
            for (std::size_t c = 0; c < cols(); ++c) m.codes(r, c) = nibble(codes + r * code_bytes, c);
            for (std::size_t g = 0; g < m.groups(); ++g) {
                m.scales(r, g) = scales(r, g);
                m.zeros(r, g) = static_cast<float>(nibble(zeros + r * zero_bytes, g));
            }
        }
        return m;
    }

    linear_tensors tensors_;
    std::size_t group_;
};

/// Errors at construction: as above.
class awq_fast_linear final : public stored_linear {
public:
    awq_fast_linear(linear_tensors t, quantization_description const& d)
        : stored_linear(4 * t.require("qweight", {safetensors_type::i16}, 2).shape[0],
                        t.require("qweight", {safetensors_type::i16}, 2).shape[1], t.who()),
          tensors_(std::move(t)), group_(detail::awq_group(tensors_, d)),
          zeros_(tensors_.has("scaled_zeros") ? "scaled_zeros" : "qzeros") {
        if (group_ == 0) group_ = cols();
        const std::size_t room = tensors_.require("scales", detail::float_types, 2).shape[0];
        tensors_.require("scales", detail::float_types, {room, rows()});
        tensors_.require(zeros_, detail::float_types, {room, rows()});
        if (cols() % 64 != 0 || cols() % group_ != 0 || cols() / group_ > room)
            throw format_error(tensors_.who("scales") + ": " + std::to_string(cols()) + " inputs in groups of " +
                               std::to_string(group_) + " do not fit room for " + std::to_string(room) + " groups");
    }

    std::string type() const override { return "AWQ 4-bit g" + std::to_string(group_) + " (llm-awq v2)"; }
    std::size_t bytes() const override { return tensors_.bytes(); }
    std::optional<coded_matrix> form() const override {
        coded_matrix m(4, 1, cols(), group_);
        m.offsets = matrix<float>(1, m.groups());
        return m;
    }

private:
    coded_matrix read_numbers() const override {
        coded_matrix m(4, rows(), cols(), group_);
        m.offsets = matrix<float>(rows(), m.groups());
        const auto scales = tensors_.floats("scales"), zeros = tensors_.floats(zeros_);
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t g = 0; g < m.groups(); ++g) {
                m.scales(r, g) = scales(g, r);
                m.offsets(r, g) = zeros(g, r);
            }
        // Of four rows and 64 inputs: 64 words, row by row; a word has four inputs that lie 8 apart.
        std::byte const* words = tensors_.find("qweight")->bytes.data();
        for (std::size_t r = 0; r < rows(); r += 4)
            for (std::size_t c = 0; c < cols(); c += 64)
                for (std::size_t w = 0; w < 64; ++w, words += 2) {
                    const auto four = load<std::uint16_t>(words);
                    const std::size_t first = w % 16 / 8 * 32 + w % 8;
                    for (std::size_t j = 0; j < 4; ++j)
                        m.codes(r + w / 16, c + first + 8 * j) = static_cast<std::uint8_t>(four >> (4 * j) & 15u);
                }
        return m;
    }

    linear_tensors tensors_;
    std::size_t group_;
    std::string zeros_;
};

} // namespace bitlens
