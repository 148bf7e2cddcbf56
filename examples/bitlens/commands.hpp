#pragma once
/// The verbs of the command `bitlens`: each takes its parsed arguments, prints its result and throws what goes wrong.

#include "bitlens/recipes/method_documents.hpp"
#include "bitlens/text/documents.hpp"
#include "bitlens/text/question_set.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace bitlens::command {

/// What every verb that runs a model can be told about the machine. Neither changes a result.
struct machine_arguments {
    unsigned threads = 0;     // 0: all cores this process may use
    std::uint64_t memory = 0; // bytes; 0: four fifths of what this process may have
};

/// A model, and the keys of its configuration that are passed over though nobody here knows them.
struct model_arguments {
    std::filesystem::path path;
    std::vector<std::string> allowed_keys;
};

/// "bf16" is the fastest of its kind that the machine has.
inline constexpr const char* default_arithmetic = "float32";

/// What methods that look at activations are calibrated on.
struct calibration_arguments {
    calibration_request documents;
    std::optional<std::filesystem::path> awq_cache; // what AWQ's searches found elsewhere
};

struct quantize_arguments {
    model_arguments model;
    std::filesystem::path out;
    std::string methods;
    calibration_arguments calibration;
    std::optional<std::filesystem::path> overrides;
    std::string format = "bitlens";    // or a name of export_layouts, beside the folder of our own
    std::optional<std::string> scales; // f16, bf16 or f32, of such a format
    std::string bos = "auto";
    std::string arithmetic = default_arithmetic;
    machine_arguments machine;
};
void quantize(quantize_arguments const&);

struct study_arguments {
    model_arguments model;
    std::filesystem::path data, out;
    std::string methods;
    calibration_arguments calibration;
    std::optional<std::filesystem::path> overrides;
    std::optional<std::string> tokens; // or "max"; none: 512, or where rows have prompts max
    std::optional<std::size_t> examples;
    std::string bos = "auto";
    std::uint64_t seed = 1;
    bool first_position = false;
    bool shift_grid = false; // methods of groups a second time, with groups elsewhere
    document_keys keys;
    std::string arithmetic = default_arithmetic;
    machine_arguments machine;
};
void study(study_arguments const&);

struct locate_arguments {
    std::filesystem::path run_folder, model;
    std::vector<std::string> methods;   // names of the study's; none: all
    std::optional<std::string> sets_of; // none: the study's first
    std::vector<std::string> on{"large", "ctrl"};
    std::vector<std::string> experiments{"exit", "restore", "patch", "gates"};
    std::optional<std::string> layers; // upper, all, or A-B; none: upper, and all for sensitivity
    std::size_t every = 1;
    bool frozen_scale = false;
    machine_arguments machine;
};
void locate(locate_arguments const&);

struct report_arguments {
    std::filesystem::path run_folder;
    bool png = false;
};
void report(report_arguments const&);

/// Returns whether a study would take the model.
bool inspect(model_arguments const&);

struct tokenize_arguments {
    std::filesystem::path model, tokenizer; // one of the two
    std::string pre;
    std::string bos = "no";
};
void tokenize(tokenize_arguments const&);

struct probe_arguments {
    model_arguments model;
    std::filesystem::path data, out;
    std::string method = "full";
    std::vector<std::string> points;
    std::vector<std::size_t> layers; // empty: all
    std::string arithmetic = default_arithmetic;
    machine_arguments machine;
};
void probe(probe_arguments const&);

struct perplexity_arguments {
    model_arguments model;
    std::filesystem::path text;
    std::string methods; // beside the full model, which runs first
    std::size_t window = 2048;
    bool join_lines = false;
    bool json = false;
    std::string bos = "auto";
    std::string arithmetic = default_arithmetic;
    machine_arguments machine;
};
void perplexity(perplexity_arguments const&);

struct generate_arguments {
    model_arguments model;
    std::string method = "full";
    std::optional<std::string> prompt; // one of the two
    std::optional<std::filesystem::path> prompts;
    document_keys keys;
    std::size_t tokens = 64;
    std::size_t positions = 0; // 0: those that the model was trained on
    std::vector<std::string> stop;
    std::vector<std::int32_t> stop_ids;
    std::size_t at_once = 16;
    bool exact = false; // products of matmul
    std::string bos = "auto";
    std::string arithmetic = default_arithmetic;
    machine_arguments machine;
};
void generate(generate_arguments const&);

struct popqa_arguments {
    model_arguments model;
    std::filesystem::path data, out;
    std::string methods;
    calibration_arguments calibration;
    question_keys keys;
    std::vector<std::uint64_t> seeds{633}; // of the examples before a question
    std::size_t shots = 15, tokens = 15;
    std::optional<std::size_t> questions; // so many of them; none: all
    std::uint64_t seed = 1;               // that draws them
    std::vector<double> bucket_edges;     // log10; empty: every 0.5
    std::size_t bucket_least = 100;
    std::size_t at_once = 16;
    std::string bos = "auto";
    std::string arithmetic = default_arithmetic;
    machine_arguments machine;
};
void popqa(popqa_arguments const&);

struct verify_arguments {
    model_arguments a, b;
    std::optional<std::string> expect; // a method's text
    bool all = false;                  // lists are not cut short
    bool json = false;
    unsigned threads = 0; // 0: all cores this process may use
};
/// Returns whether b is the same model as a, or plausibly what it is expected to be.
bool verify(verify_arguments const&);

} // namespace bitlens::command
