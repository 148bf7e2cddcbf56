#pragma once
/// gptq_linear: a layer as GPTQ's packages keep it: codes down the inputs, zeros along the outputs, perhaps an order.
///
///     P.qweight I32 (words of in codes, out)      P.scales F16 (groups, out)
///     P.qzeros  I32 (groups, words of out codes)  P.g_idx  I32 (in): the group of each input; may be absent
///
/// w = scale · (code − zero). Version 1 stores zero − 1, version 2 the zero. Codes are continuous, of 3 bits perhaps
/// planar, of 5 to 7 always. Sources: AutoGPTQ and GPTQModel, their packers.

#include "bitlens/core/error.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/group_order.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace bitlens {

/// How zeros of a GPTQ checkpoint are stored.
enum class gptq_zeros : std::uint8_t {
    less_one,       ///< zero − 1, as version 1 has it; one is added to a whole word, or to each code of 3 bits
    each_less_one,  ///< zero − 1, to each of which one is added
    plain,          ///< as version 2
    swapped_thirds, ///< 3 bits, version 1, by GPTQModel before 6.1: less a constant whose second and third words had
                    ///< changed places
};

/// What a whole checkpoint says of its layers.
struct gptq_layout {
    gptq_zeros zeros = gptq_zeros::less_one;
    word_layout words = word_layout::continuous;
    std::optional<std::size_t> group; ///< columns, 0 for a whole row; nothing: as many as fit
    std::optional<bool> symmetric;
    word_layout five_to_seven_bits = word_layout::planar;

    /// Errors: format_error for a layout that is not read, naming it.
    static gptq_layout of(quantization_description const& d) {
        gptq_layout layout;
        const auto refuse = [&](std::string const& what) { throw format_error(d.who() + ": " + what); };
        const std::string format = d.text({"checkpoint_format", "format", "version"}).value_or("gptq");
        if (format == "gptq_v2")
            layout.zeros = gptq_zeros::plain;
        else if (format == "gptq_p") {
            layout.zeros = gptq_zeros::plain;
            layout.words = word_layout::planar;
        } else if (format != "gptq")
            refuse("weights of GPTQ in the layout " + in_quotes(format) +
                   " are not read; gptq, gptq_v2 and gptq_p are");
        if (const auto type = d.text({"pack_dtype"}); type && *type != "int32")
            refuse("codes packed into " + in_quotes(*type) + " are not read; int32 is expected");
        if (const auto group = d.integer({"group_size", "q_group_size"})) {
            if (*group < -1 || *group == 0) refuse("group_size " + std::to_string(*group) + " means nothing");
            layout.group = *group == -1 ? 0 : static_cast<std::size_t>(*group);
        }
        layout.symmetric = d.flag({"sym"});
        if (const auto zero_point = d.flag({"zero_point"}); zero_point && !layout.symmetric)
            layout.symmetric = !*zero_point;
        return layout;
    }
};

/// Errors at construction: format_error naming tensor and file for shapes that are no GPTQ layer's.
class gptq_linear final : public stored_linear {
public:
    static constexpr std::array<std::string_view, 4> suffixes{"qweight", "qzeros", "scales", "g_idx"};

    gptq_linear(linear_tensors tensors, gptq_layout const& layout)
        : gptq_linear(measured(tensors, layout), std::move(tensors)) {}

    std::string type() const override {
        return "GPTQ " + std::to_string(shape_.bits) + "-bit g" + std::to_string(shape_.group);
    }
    std::size_t bytes() const override { return tensors_.bytes(); }
    /// With zeros and an order, which the numbers may turn out not to need.
    std::optional<coded_matrix> form() const override {
        coded_matrix m(shape_.bits, 1, cols(), shape_.group);
        m.zeros = matrix<float>(1, groups_);
        if (tensors_.has("g_idx")) m.order = detail::columns_in_place(cols());
        return m;
    }

    std::string conclusion() const override {
        std::string text;
        const auto add = [&text](std::string const& more) { text += (text.empty() ? "" : "; ") + more; };
        const gptq_zeros said = shape_.layout.zeros, found = zeros_rule();
        if (found == gptq_zeros::swapped_thirds)
            add("zeros of 3 bits as GPTQModel before 6.1 stores them");
        else if (found != said)
            add(std::string("zeros are stored ") + (found == gptq_zeros::plain ? "as they are" : "less one") +
                ", whatever its label says");
        if (found == gptq_zeros::less_one && has_word_that_ends_in_ones())
            add("zeros may be lost: AutoGPTQ overwrites those after one of 0 in the same word");
        if (has_order()) add("groups of columns that lie apart");
        return text;
    }

private:
    coded_matrix read_numbers() const override {
        coded_matrix m(shape_.bits, rows(), cols(), shape_.group);
        read_codes(m);
        auto const scales = tensors_.floats("scales");
        m.zeros = matrix<float>(rows(), groups_);
        const auto zeros = zeros_by(zeros_rule());
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t g = 0; g < groups_; ++g) {
                m.scales(r, g) = scales(g, r);
                m.zeros(r, g) = static_cast<float>(zeros(g, r));
            }
        if (tensors_.has("g_idx")) detail::sort_by_group(m, tensors_, "g_idx");
        return m;
    }

    struct shapes {
        std::size_t out, in, groups, group;
        int bits;
        gptq_layout layout;
    };

    gptq_linear(shapes const& s, linear_tensors&& tensors)
        : stored_linear(s.out, s.in, tensors.who()), tensors_(std::move(tensors)), shape_(s), groups_(s.groups) {}

    static shapes measured(linear_tensors const& t, gptq_layout const& layout) {
        using enum safetensors_type;
        auto const& codes = t.require("qweight", {i32}, 2);
        auto const& zeros = t.require("qzeros", {i32}, 2);
        auto const& scales = t.require("scales", detail::float_types, 2);
        shapes s{codes.shape[1], 0, scales.shape[0], 0, 0, layout};
        if (scales.shape[1] != s.out || zeros.shape[0] != s.groups)
            throw format_error(t.who() + ": qweight " + shape_text(codes.shape) + ", qzeros " +
                               shape_text(zeros.shape) + " and scales " + shape_text(scales.shape) +
                               " do not belong together");
        for (int bits = 2; bits <= 8 && s.bits == 0; ++bits) { // words of zeros are given by bits alone
            const bool is_five_to_seven = bits == 5 || bits == 6 || bits == 7;
            s.layout.words = is_five_to_seven ? layout.five_to_seven_bits : layout.words;
            if (words_of(s.layout.words, s.out, bits) == zeros.shape[1]) s.bits = bits;
        }
        if (s.bits == 0)
            throw format_error(t.who("qzeros") + ": shape " + shape_text(zeros.shape) + " holds zeros of " +
                               std::to_string(s.out) + " outputs in no number of bits from 2 to 8");
        s.in = codes.shape[0] * 32 / static_cast<std::size_t>(s.bits);
        if (t.has("g_idx")) s.in = t.require("g_idx", {i32}, 1).shape[0];
        if (words_of(s.layout.words, s.in, s.bits) != codes.shape[0])
            throw format_error(t.who("qweight") + ": " + std::to_string(words_of(s.layout.words, s.in, s.bits)) +
                               " rows are expected of " + std::to_string(s.in) + " inputs in " +
                               std::to_string(s.bits) + " bits, " + std::to_string(codes.shape[0]) + " were found");
        const auto groups_of = [&](std::size_t group) { return group == 0 ? 1 : (s.in + group - 1) / group; };
        s.group = layout.group ? (*layout.group == 0 ? s.in : *layout.group) : (s.in + s.groups - 1) / s.groups;
        if (groups_of(s.group) != s.groups) s.group = (s.in + s.groups - 1) / s.groups; // one of its own
        if (groups_of(s.group) != s.groups)
            throw format_error(t.who("scales") + ": " + std::to_string(s.groups) + " groups of " +
                               std::to_string(s.in) + " inputs are of no size");
        return s;
    }

    /// 32 inputs at a time: their words lie in a few rows, one word of each output after the other.
    void read_codes(coded_matrix& m) const {
        std::byte const* const words = tensors_.find("qweight")->bytes.data();
        const std::size_t run_words = static_cast<std::size_t>(shape_.bits);
        for (std::size_t first = 0; first < cols(); first += 32)
            for (std::size_t r = 0; r < rows(); ++r) {
                const auto word = [&](std::size_t j) {
                    return load<std::uint32_t>(words + 4 * ((first / 32 * run_words + j) * rows() + r));
                };
                for (std::size_t i = 0; i < std::min<std::size_t>(32, cols() - first); ++i)
                    m.codes(r, first + i) = code_in(shape_.layout.words, word, i, shape_.bits);
            }
    }

    /// How zeros are stored, which a label may say wrongly: those of symmetric codes are the middle one, and so are all
    /// of 3 bits under the constants that GPTQModel subtracted before 6.1.
    gptq_zeros zeros_rule() const {
        const gptq_zeros said = shape_.layout.zeros;
        const auto all_are_middle = [&](gptq_zeros rule) {
            return std::ranges::all_of(zeros_by(rule).span(),
                                       [middle = 1u << (shape_.bits - 1)](std::uint8_t z) { return z == middle; });
        };
        if (said == gptq_zeros::less_one && shape_.bits == 3 && all_are_middle(gptq_zeros::swapped_thirds))
            return gptq_zeros::swapped_thirds;
        if (!shape_.layout.symmetric.value_or(false) || said == gptq_zeros::swapped_thirds || all_are_middle(said))
            return said;
        const gptq_zeros other = said == gptq_zeros::plain ? gptq_zeros::less_one : gptq_zeros::plain;
        return all_are_middle(other) ? other : said;
    }

    /// Whether the upper two codes of a word of zeros less one are all ones, as if −1 had been put into one before
    /// them.
    bool has_word_that_ends_in_ones() const {
        const auto bits = static_cast<unsigned>(shape_.bits);
        if (32 % bits != 0 || bits > 4) return false;
        const std::uint32_t upper = ~std::uint32_t{0} << (32 - 2 * bits);
        auto const& zeros = *tensors_.find("qzeros");
        for (std::size_t i = 0; i < zeros.size(); ++i)
            if ((load<std::uint32_t>(zeros.bytes.data() + 4 * i) & upper) == upper) return true;
        return false;
    }

    bool has_order() const {
        auto const* const g_idx = tensors_.find("g_idx");
        for (std::size_t c = 1; g_idx != nullptr && c < cols(); ++c)
            if (load<std::int32_t>(g_idx->bytes.data() + 4 * c) < load<std::int32_t>(g_idx->bytes.data() + 4 * c - 4))
                return true;
        return false;
    }

    /// (groups, out)
    matrix<std::uint8_t> zeros_by(gptq_zeros rule) const {
        std::byte const* const words = tensors_.find("qzeros")->bytes.data();
        const std::size_t row_words = tensors_.find("qzeros")->shape[1];
        const auto bits = static_cast<unsigned>(shape_.bits);
        const unsigned mask = (1u << bits) - 1;
        matrix<std::uint8_t> zeros(groups_, rows());
        for (std::size_t g = 0; g < groups_; ++g) {
            const auto word = [&](std::size_t j) {
                const auto stored = load<std::uint32_t>(words + 4 * (g * row_words + j));
                if (rule == gptq_zeros::swapped_thirds) return stored + swapped[j % 3];
                if (rule == gptq_zeros::less_one && 32 % bits == 0) return stored + 0xFFFFFFFFu / mask;
                return stored;
            };
            for (std::size_t r = 0; r < rows(); ++r) {
                unsigned zero = code_in(shape_.layout.words, word, r, shape_.bits);
                if (rule == gptq_zeros::each_less_one || (rule == gptq_zeros::less_one && 32 % bits != 0))
                    zero = (zero + 1) & mask;
                zeros(g, r) = static_cast<std::uint8_t>(zero);
            }
        }
        return zeros;
    }

    static constexpr std::array<std::uint32_t, 3> swapped{0x24924924, 0x92492492, 0x49249249};

    linear_tensors tensors_;
    shapes shape_;
    std::size_t groups_;
};

} // namespace bitlens
