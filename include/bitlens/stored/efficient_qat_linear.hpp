#pragma once
/// efficient_qat_linear: a layer of 2, 3 or 4 bits as EfficientQAT keeps it: GPTQ's tensors, but of 3 bits ten codes a
/// word, and zeros as they are.
///
///     P.qweight I32 (⌈in/n⌉, out)      P.scales F16 or, once trained, F32 (groups, out)
///     P.qzeros  I32 (groups, ⌈out/n⌉)  P.g_idx  I32 (in): the group of each input, always in order
///
/// n = ⌊32/bits⌋ codes of 2, 3 or 4 bits in a word. w = scale · (code − zero). Source: EfficientQAT's QuantLinear.

#include "bitlens/core/error.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

/// Errors at construction: format_error naming tensor and file for shapes that are no such layer's.
class efficient_qat_linear final : public stored_linear {
public:
    efficient_qat_linear(linear_tensors tensors, int bits)
        : efficient_qat_linear(measured(tensors, bits), std::move(tensors)) {}

    /// The bits of such a layer, where tensors with qweight, qzeros and scales are one: of 3 bits by the words of its
    /// zeros, whatever is said; of 2 and 4 bits, whose words are GPTQ's too, where nothing is said.
    static std::optional<int> bits_of(linear_tensors const& t, quantization_description const& d) {
        using enum safetensors_type;
        auto const& codes = t.require("qweight", {i32}, 2);
        const std::size_t out = codes.shape[1], words = t.require("qzeros", {i32}, 2).shape[1];
        std::optional<std::size_t> in;
        if (t.has("g_idx")) in = t.require("g_idx", {i32}, 1).shape[0];
        const auto fits = [&](int bits) {
            return words == words_of(word_layout::whole_codes, out, bits) &&
                   (!in || codes.shape[0] == words_of(word_layout::whole_codes, *in, bits));
        };
        if (fits(3)) {
            if (!fits(4)) return 3;
            // Up to 32 outputs have as many words in 4 bits. In 3, two bits of each word are left over.
            const auto said = d.integer({"bits", "w_bit", "wbits"});
            if (said ? *said == 3 : d.empty() && has_bits_left_over(t)) return 3;
        }
        if (!d.empty()) return std::nullopt;
        for (const int bits : {2, 4})
            if (fits(bits)) return bits;
        return std::nullopt;
    }

    std::string type() const override {
        return "EfficientQAT " + std::to_string(bits_) + "-bit g" + std::to_string(group_);
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    std::optional<coded_matrix> form() const override { return empty(1); }

private:
    coded_matrix read_numbers() const override {
        check_groups();
        auto m = empty(rows());
        const auto scales = tensors_.floats("scales");
        // Down the inputs, and along the outputs.
        std::byte const* const codes = tensors_.find("qweight")->bytes.data();
        const std::size_t a_word = 32 / static_cast<std::size_t>(bits_);
        for (std::size_t first = 0; first < cols(); first += a_word)
            for (std::size_t r = 0; r < rows(); ++r) {
                const auto word = load<std::uint32_t>(codes + 4 * (first / a_word * rows() + r));
                for (std::size_t i = 0; i < std::min(a_word, cols() - first); ++i)
                    m.codes(r, first + i) = code(word, i);
            }
        std::byte const* const zeros = tensors_.find("qzeros")->bytes.data();
        const std::size_t row_words = tensors_.find("qzeros")->shape[1];
        for (std::size_t g = 0; g < m.groups(); ++g)
            for (std::size_t r = 0; r < rows(); ++r) {
                const auto word = load<std::uint32_t>(zeros + 4 * (g * row_words + r / a_word));
                m.zeros(r, g) = static_cast<float>(code(word, r % a_word));
                m.scales(r, g) = scales(g, r);
            }
        return m;
    }

    coded_matrix empty(std::size_t rows) const {
        coded_matrix m(bits_, rows, cols(), group_);
        m.zeros = matrix<float>(rows, m.groups());
        return m;
    }

    struct shapes {
        std::size_t out, in, group;
        int bits;
    };

    efficient_qat_linear(shapes const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), group_(s.group), bits_(s.bits) {}

    static shapes measured(linear_tensors const& t, int bits) {
        using enum safetensors_type;
        auto const& codes = t.require("qweight", {i32}, 2);
        const std::size_t words = codes.shape[0], a_word = 32 / static_cast<std::size_t>(bits);
        const std::size_t groups = t.require("scales", detail::float_types, 2).shape[0];
        shapes s{codes.shape[1], words * a_word, 0, bits};
        // Without g_idx, inputs of 3 bits are the multiple of 32 that the words are for.
        if (t.has("g_idx"))
            s.in = t.require("g_idx", {i32}, 1).shape[0];
        else if (bits == 3)
            s.in = s.in / 32 * 32;
        if (words_of(word_layout::whole_codes, s.in, bits) != words)
            throw format_error(t.who("qweight") + ": " + std::to_string(words) + " rows of " + std::to_string(a_word) +
                               " inputs each do not fit " + std::to_string(s.in) + " inputs");
        if (s.in % groups != 0)
            throw format_error(t.who("scales") + ": scales " + shape_text(t.find("scales")->shape) + " do not divide " +
                               std::to_string(s.in) + " inputs into groups");
        s.group = s.in / groups;
        t.require("scales", detail::float_types, {groups, s.out});
        t.require("qzeros", {i32}, {groups, words_of(word_layout::whole_codes, s.out, bits)});
        return s;
    }

    /// Whether no word has more than ten codes of 3 bits.
    static bool has_bits_left_over(linear_tensors const& t) {
        for (const std::string_view part : {"qweight", "qzeros"}) {
            const auto bytes = t.find(part)->bytes;
            for (std::size_t i = 0; i < bytes.size(); i += 4)
                if (load<std::uint32_t>(bytes.data() + i) >> 30 != 0) return false;
        }
        return true;
    }

    /// Nobody but GPTQ has groups that lie apart; then nothing says how its zeros are stored.
    void check_groups() const {
        if (!tensors_.has("g_idx")) return;
        auto const* const groups = tensors_.find("g_idx")->bytes.data();
        for (std::size_t c = 0; c < cols(); ++c)
            if (const auto g = load<std::int32_t>(groups + 4 * c); g < 0 || static_cast<std::size_t>(g) != c / group_)
                throw format_error(tensors_.who("g_idx") + ": without a quantization_config beside them, groups of " +
                                   std::to_string(group_) + " inputs in order are expected; input " +
                                   std::to_string(c) + " is of group " + std::to_string(g));
    }

    std::uint8_t code(std::uint32_t word, std::size_t i) const noexcept {
        return code_in(
            word_layout::whole_codes, [word](std::size_t) { return word; }, i, bits_);
    }

    linear_tensors tensors_;
    std::size_t group_;
    int bits_;
};

} // namespace bitlens
