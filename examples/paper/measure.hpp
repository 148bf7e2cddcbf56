#pragma once
/// What the programs of this folder show, measured in memory.

#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/location.hpp"
#include "bitlens/analysis/location_variants.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/outliers.hpp"
#include "bitlens/analysis/size_study.hpp"
#include "bitlens/recipes/method.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace bitlens::paper {

/// What a program is asked for. No model: a tiny random one, and made-up documents and text.
struct request {
    std::filesystem::path model, data;
    std::size_t tokens = 512; // of a document: the first `examples` (all, if none) of at least so many are taken
    std::optional<std::size_t> examples;
    std::vector<method> methods;
    std::filesystem::path calibration;       // what some methods are calibrated on; made up where there is no model
    std::filesystem::path text;              // to score in windows
    std::filesystem::path before;            // run folder whose losses count as those before quantization
    std::vector<std::filesystem::path> runs; // finished ones, in place of a model
    bool first_position = false;             // whether position 0 counts
    float sharpness = 1;                     // of the tiny model alone: what its logits are multiplied by
};

finished_study measure_study(request const&);

/// Each run by the name of its folder; without runs the model, or tiny ones of several sizes, one without a norm before
/// the MLP among them.
std::vector<named_study> measure_sizes(request const&);

/// A study, and what variants of its methods left.
struct located_study {
    finished_study s;
    located_run run;
};
/// The variants run on D_large and D_ctrl of the first method, and all ranges of layers are the upper half.
/// Errors: option_error for too few documents to have such sets.
located_study measure_location(request const&, location_request);

/// Nats per token, the mean of each window of the text.
struct text_losses {
    std::size_t window;                       // token ids
    std::vector<double> full;                 // (windows)
    std::vector<std::vector<double>> methods; // (methods, windows)
};
/// By the convention of WikiText-2: lines joined by blank ones, windows of 2048. None where a model was given and no
/// text.
std::optional<text_losses> measure_text(request const&);

/// Documents, and questions of several choices, under the same models.
struct documents_and_choices {
    finished_study documents, choices;
};
/// Two finished runs, the second of choices; without runs, of a tiny model.   Errors: option_error for another number
/// of runs, or where the second one is of no choices.
documents_and_choices measure_choices(request const&);

/// A finished run of questions; without one, of a tiny model, which is right about three fifths of what it is asked.
/// Errors: option_error for another number of runs.
finished_questions measure_questions(request const&);

/// Of each layer of the full model, over all documents.
std::vector<layer_outliers> measure_outliers(request const&);

} // namespace bitlens::paper
