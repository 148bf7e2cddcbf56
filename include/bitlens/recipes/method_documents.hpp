#pragma once
/// method_documents: what methods are calibrated on, from one file: for each preset that they ask for, a set.

#include "bitlens/core/error.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/recipes/calibration.hpp"
#include "bitlens/recipes/calibration_preset.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/text/documents.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

/// A number for every preset, or for some of them by name.
struct preset_numbers {
    std::optional<std::size_t> others{}; // of presets that are not named
    std::map<std::string, std::size_t, std::less<>> named{};

    std::optional<std::size_t> of(calibration_preset const& preset) const {
        const auto found = named.find(preset.name);
        return found == named.end() ? others : std::optional(found->second);
    }
};

/// What methods are to look at.
struct calibration_request {
    std::optional<std::filesystem::path> file{};
    std::string text_key = document_keys().text; // of JSON Lines
    preset_numbers texts{}, tokens{};            // at most; none: as calibration_options has it
    std::optional<std::uint64_t> shuffle{};      // seed; none: in the order of the file
};

/// `text` may be none where calibration is rows of ids.
inline calibration_model calibration_model_of(model_config const& config, tokenizer const* text,
                                              std::optional<std::int32_t> bos) {
    return {.text = text,
            .bos = bos,
            .vocabulary = config.vocabulary,
            .context = config.context,
            .widest_input = std::max({config.block.width, config.block.query_width(), config.block.ffn_width})};
}

/// The sets of a file, each read when it is first asked for. Borrows the study.
class method_documents {
public:
    /// study: whose documents no method is calibrated on; none: nothing is left out.
    method_documents(calibration_request asked, calibration_model const& model, document_rows const* study)
        : asked_(std::move(asked)), model_(model), study_(study) {}

    /// The set of a method that needs documents; `said(set)` is called for one that was not asked for before.
    /// Errors: option_error where no file was named; those of read_calibration and leave_out.
    template <class Method, class Said>
    std::shared_ptr<const calibration_set> of(Method const& m, Said const& said) {
        calibration_preset const* const preset = m.calibration();
        BITLENS_ASSERT(preset != nullptr);
        auto& known = sets_[preset->name];
        if (known != nullptr) return known;
        if (!asked_.file)
            throw option_error("--calibration: method " + m.name + ", " + m.text() +
                               ", looks at what the model reads; a file of texts or of token ids is expected");
        auto set = std::make_shared<calibration_set>(read_calibration(*asked_.file, model_,
                                                                      {.preset = *preset,
                                                                       .texts = asked_.texts.of(*preset),
                                                                       .tokens = asked_.tokens.of(*preset),
                                                                       .shuffle = asked_.shuffle},
                                                                      {.text = asked_.text_key}));
        if (study_ != nullptr) leave_out(*set, *study_);
        said(*set);
        return known = std::move(set);
    }
    template <class Method>
    std::shared_ptr<const calibration_set> of(Method const& m) {
        return of(m, [](calibration_set const&) {});
    }

private:
    calibration_request asked_;
    calibration_model model_;
    document_rows const* study_;
    std::map<std::string_view, std::shared_ptr<const calibration_set>> sets_; // by the preset's name
};

} // namespace bitlens
