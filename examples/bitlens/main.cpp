/// The command `bitlens`: parses, calls one verb, and turns errors into exit codes (0 good, 1 failed, 2 misuse).

#include "commands.hpp"
#include "signals.hpp"
#include "streams.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/models/checkpoint_path.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/method_documents.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/version.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <limits>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace {

using namespace bitlens::command;
using bitlens::calibration_request;

/// More than there is of anything that is counted here.
constexpr std::uint64_t large = std::numeric_limits<std::uint32_t>::max();

bool is_whole_number(std::string_view text, std::uint64_t least, std::uint64_t most) {
    std::uint64_t n = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), n);
    return problem == std::errc() && end == text.data() + text.size() && n >= least && n <= most;
}

/// Accepts the numbers from `least` to `most`; CLI::Range would print their limits as floating-point numbers.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
    const std::string range = "from " + std::to_string(least) + " to " + std::to_string(most);
    return {[=](std::string& text) {
                return is_whole_number(text, least, most)
                           ? std::string()
                           : "a whole number " + range + " is expected, " + bitlens::in_quotes(text) + " was found";
            },
            range};
}

/// "800M" → "838860800". Returns what is wrong, if anything.
std::string read_size(std::string& text) {
    constexpr std::string_view units = "KMGT"; // each 1024 of the one before
    std::string_view digits = text;
    std::size_t shift = 0;
    if (!text.empty()) {
        const auto unit = units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(text.back()))));
        if (unit != units.npos) {
            shift = 10 * (unit + 1);
            digits.remove_suffix(1);
        }
    }
    if (!is_whole_number(digits, 1, std::numeric_limits<std::uint64_t>::max() >> shift))
        return "bytes, or a whole number with K, M, G or T, are expected; " + bitlens::in_quotes(text) + " was found";
    text = std::to_string(std::stoull(std::string(digits)) << shift);
    return {};
}

/// One of the numbers of "--layers 0,1,2"; whether the model has that layer is seen later.
std::string check_layer(std::string const& text) {
    if (is_whole_number(text, 0, large)) return {};
    return "numbers joined by commas are expected, as in 0,1,2; " + bitlens::in_quotes(text) + " was found";
}

/// "512" or "max".
std::string check_tokens(std::string const& text) {
    if (text == "max" || is_whole_number(text, 2, 1 << 20)) return {};
    return "max or a whole number from 2 to 1048576 is expected, " + bitlens::in_quotes(text) + " was found";
}

std::string check_key(std::string const& text) {
    return text.empty() ? "the name of a key is expected, an empty text was found" : "";
}

CLI::Option* add_methods_option(CLI::App& verb, std::string& methods) {
    return verb.add_option("--methods", methods,
                           "comma-separated, beside the full model, which comes first:\n" +
                               bitlens::method::existing());
}

void add_machine_options(CLI::App& verb, machine_arguments& machine) {
    verb.add_option("--threads", machine.threads, "threads (default: all cores this process may use)")
        ->check(whole_number(1, large));
    verb.add_option("--memory", machine.memory,
                    "bytes, or 800M, 6G, … (default: four fifths of what this process may have)")
        ->transform(CLI::Validator(read_size, "", "size"));
}

/// What is there is looked at by whoever reads it.
std::string check_model(std::string const& text) {
    std::error_code unknown;
    return std::filesystem::status(text, unknown).type() == std::filesystem::file_type::not_found
               ? bitlens::missing_model_text(text)
               : std::string();
}

CLI::Option* add_model_option(CLI::App& verb, std::string const& name, std::filesystem::path& path) {
    return verb.add_option(name, path, "Hugging Face folder, or GGUF file")->required()->check(check_model);
}

void add_model_options(CLI::App& verb, std::string const& name, model_arguments& model) {
    add_model_option(verb, name, model.path);
    verb.add_option("--allow-key", model.allowed_keys,
                    "a key of the model's configuration that is refused as unknown: pass over it; may be repeated")
        ->allow_extra_args(false);
}

void add_arithmetic_option(CLI::App& verb, std::string& arithmetic) {
    verb.add_option("--arithmetic", arithmetic,
                    "of matrix products; bf16 rounds their operands and is faster where the machine has instructions "
                    "for it")
        ->check(CLI::IsMember({"float32", "bf16"}))
        ->capture_default_str();
}

void add_bos_option(CLI::App& verb, std::string& bos) {
    verb.add_option("--bos", bos, "beginning-of-text token: auto is what the tokenizer's own file says")
        ->check(CLI::IsMember({"auto", "yes", "no"}))
        ->capture_default_str();
}

/// Reads "3072", "awq=3072" or "30000,awq=3072".   Errors: CLI::ValidationError.
bitlens::preset_numbers read_preset_numbers(std::string const& option, std::string const& text) {
    const auto refuse = [&](std::string const& why) { throw CLI::ValidationError(option, why); };
    const auto presets = bitlens::method::calibrations();
    bitlens::preset_numbers numbers;
    for (const std::string_view piece : bitlens::detail::split(text, ',')) {
        const auto equals = piece.find('=');
        std::string number(equals == piece.npos ? piece : piece.substr(equals + 1));
        if (const std::string problem = whole_number(1, large)(number); !problem.empty()) refuse(problem);
        const std::size_t value = std::stoul(number);
        if (equals == piece.npos) {
            if (std::exchange(numbers.others, value)) refuse("one number for all methods is expected, two were found");
            continue;
        }
        const std::string_view name = piece.substr(0, equals);
        std::string known;
        for (auto const* preset : presets) known += (known.empty() ? "" : " or ") + std::string(preset->name);
        if (std::ranges::none_of(presets, [&](auto const* preset) { return preset->name == name; }))
            refuse(known + " is expected before '=', " + bitlens::in_quotes(name) + " was found");
        if (!numbers.named.emplace(name, value).second) refuse("two numbers for " + std::string(name) + " were found");
    }
    return numbers;
}

void add_calibration_options(CLI::App& verb, calibration_arguments& a) {
    calibration_request& of = a.documents;
    auto* const file = verb.add_option("--calibration", of.file,
                                       "what gptq and awq look at: JSONL, JSONL.gz or .txt of text, or NPY of token "
                                       "ids, a row a document")
                           ->check(CLI::ExistingFile);
    verb.add_option("--calibration-text-key", of.text_key, "the key of that JSONL that holds the text")
        ->check(check_key)
        ->needs(file)
        ->capture_default_str();
    const auto add_numbers = [&](std::string const& option, bitlens::preset_numbers& numbers, char const* help) {
        verb.add_option_function<std::string>(
                option, [&numbers, option](std::string const& text) { numbers = read_preset_numbers(option, text); },
                help)
            ->needs(file)
            ->type_name("NUMBER");
    };
    add_numbers("--calibration-texts", of.texts,
                "of that, at most so many texts (default: 1024 for gptq; for awq 128 of at most 512 tokens), or "
                "awq=NUMBER for one of the two");
    add_numbers("--calibration-tokens", of.tokens, "of that, at most so many tokens, or awq=NUMBER for one of the two");
    verb.add_option("--awq-cache", a.awq_cache,
                    "scales and clips of awq as llm-awq publishes them (.pt), in place of a search")
        ->check(CLI::ExistingFile);
    verb.add_option("--calibration-shuffle", of.shuffle,
                    "seed: texts in an order of our own (default: the order of the file)")
        ->needs(file)
        ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()));
}

void add_overrides_option(CLI::App& verb, std::optional<std::filesystem::path>& overrides) {
    verb.add_option("--overrides", overrides, "JSON file: projection and layer patterns → method or full")
        ->check(CLI::ExistingFile);
}

void add_quantize(CLI::App& app, quantize_arguments& a) {
    auto& verb = *app.add_subcommand("quantize", "writes quantized models into folders that the other verbs take in "
                                                 "place of a method's name");
    add_model_options(verb, "--model", a.model);
    add_methods_option(verb, a.methods)->required();
    add_calibration_options(verb, a.calibration);
    verb.add_option("--out", a.out, "a folder in which each method gets one of its name; unfinished ones go on")
        ->required();
    add_overrides_option(verb, a.overrides);
    verb.add_option("--format", a.format,
                    "beside that, a Hugging Face folder OUT/NAME-FORMAT which other packages load: gptq, gptq_v2, awq, "
                    "bnb (NF4) or compressed-tensors, or the file OUT/NAME.gguf, where it holds the result exactly")
        ->check(CLI::IsMember({"bitlens", "gptq", "gptq_v2", "awq", "bnb", "compressed-tensors", "gguf"}))
        ->capture_default_str();
    verb.add_option("--scales", a.scales,
                    "f16, bf16 or f32: round scales to it for --format (default: they must be f16)")
        ->check(CLI::IsMember({"f16", "bf16", "f32"}));
    add_bos_option(verb, a.bos);
    add_arithmetic_option(verb, a.arithmetic);
    add_machine_options(verb, a.machine);
    verb.callback([&a] { quantize(a); });
}

void add_study(CLI::App& app, study_arguments& a) {
    auto& verb = *app.add_subcommand("study", "errors of every document under every method, with a report");
    add_model_options(verb, "--model", a.model);
    verb.add_option("--data", a.data,
                    "JSONL or JSONL.gz (text, optional id and topic), .txt (one document), or NPY of token ids")
        ->required()
        ->check(CLI::ExistingFile);
    verb.add_option("--keep", a.keys.kept, "comma-separated keys of the JSONL that examples.csv gets columns of")
        ->delimiter(',');
    const auto add_key = [&verb](char const* option, std::string& key, char const* help) {
        verb.add_option(option, key, help)->check(check_key)->capture_default_str();
    };
    add_key("--text-key", a.keys.text, "the key of the JSONL that holds the text");
    add_key("--id-key", a.keys.id, "the key of the JSONL that holds the id");
    add_key("--topic-key", a.keys.topic, "the key of the JSONL that holds the topic");
    const auto add_more = [&verb](char const* option, std::string& key, char const* help) {
        return verb.add_option(option, key, help)->check(check_key);
    };
    auto* const prompt = add_more("--prompt-key", a.keys.prompt, "the key of what is read before the text, not scored");
    auto* const choices = add_more("--choices-key", a.keys.choices,
                                   "the key of several answers to the text, each of which makes a row behind it");
    auto* const answer = add_more("--answer-key", a.keys.answer, "the key of the right one: its place, text or label");
    choices->needs(answer)->excludes(prompt);
    answer->needs(choices);
    add_methods_option(verb, a.methods)->required();
    verb.add_option("--out", a.out, "the run folder; an unfinished run there goes on")->required();
    add_calibration_options(verb, a.calibration);
    add_overrides_option(verb, a.overrides);
    verb.add_option("--tokens", a.tokens,
                    "token ids a row, beginning-of-text included; shorter rows are left out; or max, which leaves each "
                    "row as long as it is, up to what the model was trained on (default: 512, or where rows have "
                    "prompts max)")
        ->check(check_tokens);
    verb.add_option("--examples", a.examples, "the first N rows that are long enough")->check(whole_number(1, large));
    add_bos_option(verb, a.bos);
    verb.add_option("--seed", a.seed, "of the resampling and the control set")
        ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()))
        ->capture_default_str();
    verb.add_flag("--first-position", a.first_position, "let norms, kurtosis and MSE include position 0");
    verb.add_flag(
        "--shift-grid", a.shift_grid,
        "rtn and nf a second time as NAME-shift, with groups moved by half of one: the control where the full "
        "model lies on a low-bit grid already");
    add_arithmetic_option(verb, a.arithmetic);
    add_machine_options(verb, a.machine);
    verb.callback([&a] { study(a); });
}

/// "A-B": layers A to B.
std::string check_layers(std::string const& text) {
    const auto dash = text.find('-');
    const std::string_view all = text;
    if (text == "upper" || text == "all" ||
        (dash != text.npos && is_whole_number(all.substr(0, dash), 0, large) &&
         is_whole_number(all.substr(dash + 1), 0, large)))
        return {};
    return "upper, all or a range as in 15-29 is expected; " + bitlens::in_quotes(text) + " was found";
}

void add_locate(CLI::App& app, locate_arguments& a) {
    auto& verb = *app.add_subcommand("locate", "where in the model the errors of a finished study arise: early exit, "
                                               "restoring and patching, into the study's folder and report");
    verb.add_option("run", a.run_folder, "the folder of a finished study")->required()->check(CLI::ExistingDirectory);
    add_model_option(verb, "--model", a.model);
    verb.add_option("--methods", a.methods, "comma-separated names of the study's methods (default: all)")
        ->delimiter(',');
    verb.add_option("--sets-of", a.sets_of, "the method whose D_large and D_ctrl count (default: the study's first)");
    verb.add_option("--on", a.on, "large, ctrl, or all: the documents that are run")
        ->delimiter(',')
        ->check(CLI::IsMember({"large", "ctrl", "all"}))
        ->capture_default_str();
    verb.add_option("--experiments", a.experiments,
                    "exit: loss of states on their way up; restore: late layers in full precision; patch: points "
                    "overwritten with the full model's; gates: W_gate and its inputs; sensitivity: each layer and "
                    "projection alone; attenuation: patches from layer k on")
        ->delimiter(',')
        ->check(CLI::IsMember({"exit", "restore", "patch", "gates", "sensitivity", "attenuation"}))
        ->capture_default_str();
    verb.add_option("--layers", a.layers,
                    "upper, all or A-B: of exits, patches, curves and sensitivity (default: upper, of sensitivity all)")
        ->check(check_layers);
    verb.add_option("--every", a.every, "every n-th layer of exits and curves, from the last one down")
        ->check(whole_number(1, large))
        ->capture_default_str();
    verb.add_flag("--frozen-scale", a.frozen_scale,
                  "early exits divide by the root mean square of the run's last state, not of their own");
    add_machine_options(verb, a.machine);
    verb.callback([&a] { locate(a); });
}

void add_report(CLI::App& app, report_arguments& a) {
    auto& verb =
        *app.add_subcommand("report", "draws tables, figures and report of a run again, from its folder alone");
    verb.add_option("run", a.run_folder, "the run folder")->required()->check(CLI::ExistingDirectory);
    verb.add_flag("--png", a.png, "each figure as PNG too, by the program rsvg-convert (Debian package librsvg2-bin)");
    verb.callback([&a] { report(a); });
}

/// `taken`: set to whether a study would take the model.
void add_inspect(CLI::App& app, model_arguments& model, bool& taken) {
    auto& verb = *app.add_subcommand("inspect",
                                     "architecture, sizes, tensors, formats, tokenizer; what would be refused and why");
    add_model_options(verb, "model", model);
    verb.callback([&] { taken = inspect(model); });
}

void add_tokenize(CLI::App& app, tokenize_arguments& a) {
    auto& verb = *app.add_subcommand("tokenize",
                                     "reads standard input: a JSON string a line in, a JSON array of ids a line out");
    auto& from = *verb.add_option_group("tokenizer", "where the tokenizer is");
    add_model_option(from, "--model", a.model)->required(false);
    from.add_option("--tokenizer", a.tokenizer,
                    "tokenizer.json, tokenizer.model (SentencePiece or tiktoken), tekken.json, GGUF, or a folder")
        ->check(CLI::ExistingPath);
    from.require_option(1);
    verb.add_option("--pre", a.pre,
                    "how words are split, named as in GGUF (qwen2 …), for a tiktoken file, or a folder of vocab.json "
                    "and merges.txt, that does not say it");
    add_bos_option(verb, a.bos);
    verb.callback([&a] { tokenize(a); });
}

void add_probe(CLI::App& app, probe_arguments& a) {
    auto& verb = *app.add_subcommand("probe", "activations at chosen points, as NPZ");
    add_model_options(verb, "--model", a.model);
    verb.add_option("--data", a.data, "NPY of token ids (rows, tokens)")->required()->check(CLI::ExistingFile);
    verb.add_option("--method", a.method,
                    "quantize all linear layers of the blocks first, as in study: rtn3-g64, nf4-g64-dq; or full")
        ->capture_default_str();
    verb.add_option("--points", a.points, "comma-separated points, final_norm and logits among them")
        ->required()
        ->delimiter(',');
    verb.add_option("--layers", a.layers, "comma-separated layers, from 0 (default: all)")
        ->delimiter(',')
        ->check(check_layer);
    verb.add_option("--out", a.out,
                    "the NPZ file: arrays <point>_l<k>, and final_norm and logits, of (rows, tokens, width)")
        ->required();
    add_arithmetic_option(verb, a.arithmetic);
    add_machine_options(verb, a.machine);
    verb.callback([&a] { probe(a); });
}

void add_perplexity(CLI::App& app, perplexity_arguments& a) {
    auto& verb =
        *app.add_subcommand("perplexity", "of one text in windows: mean of the windows' means over window − 1 targets");
    add_model_options(verb, "--model", a.model);
    verb.add_option("--text", a.text, "UTF-8 text file")->required()->check(CLI::ExistingFile);
    add_methods_option(verb, a.methods);
    verb.add_option("--window", a.window, "token ids a window")->check(whole_number(2, 1 << 20))->capture_default_str();
    verb.add_flag("--join-lines", a.join_lines,
                  "put a blank line between the lines of the file, as for WikiText; lines of white space are empty");
    verb.add_flag("--json", a.json, "print one JSON object, with every digit");
    add_bos_option(verb, a.bos);
    add_arithmetic_option(verb, a.arithmetic);
    add_machine_options(verb, a.machine);
    verb.callback([&a] { perplexity(a); });
}

/// One of the numbers of "--stop-ids 0,2"; whether the model has that id is seen later.
std::string check_id(std::string const& text) {
    if (is_whole_number(text, 0, std::numeric_limits<std::int32_t>::max())) return {};
    return "token ids joined by commas are expected, as in 0,2; " + bitlens::in_quotes(text) + " was found";
}

void add_generate(CLI::App& app, generate_arguments& a) {
    auto& verb = *app.add_subcommand("generate", "what a model finds most likely to follow, token by token: one JSON "
                                                 "object a line for each prompt");
    add_model_options(verb, "--model", a.model);
    verb.add_option("--method", a.method, "quantize all linear layers of the blocks first, as in study; or full")
        ->capture_default_str();
    auto& from = *verb.add_option_group("prompts", "what comes before");
    from.add_option("--prompt", a.prompt, "a text");
    from.add_option("--prompts", a.prompts, "JSONL or JSONL.gz (text, optional id), or NPY of token ids")
        ->check(CLI::ExistingFile);
    from.require_option(1);
    verb.add_option("--text-key", a.keys.text, "the key of the JSONL that holds the text")
        ->check(check_key)
        ->capture_default_str();
    verb.add_option("--id-key", a.keys.id, "the key of the JSONL that holds the id")
        ->check(check_key)
        ->capture_default_str();
    verb.add_option("--tokens", a.tokens, "new tokens of a prompt at most")
        ->check(whole_number(1, 1 << 20))
        ->capture_default_str();
    verb.add_option("--positions", a.positions,
                    "of prompt and new tokens that are read at most (default: those that the model was trained on)")
        ->check(whole_number(1, 1 << 24));
    verb.add_option("--stop", a.stop, "end when the new text holds this text; may be repeated")
        ->allow_extra_args(false);
    verb.add_option("--stop-ids", a.stop_ids, "comma-separated token ids: end with any of them")
        ->delimiter(',')
        ->check(check_id);
    verb.add_option("--at-once", a.at_once, "prompts of a file that run side by side, if memory allows it")
        ->check(whole_number(1, large))
        ->capture_default_str();
    verb.add_flag("--exact", a.exact, "products that round as those of whole documents; slower");
    add_bos_option(verb, a.bos);
    add_arithmetic_option(verb, a.arithmetic);
    add_machine_options(verb, a.machine);
    verb.callback([&a] { generate(a); });
}

std::string check_seed(std::string const& text) {
    if (is_whole_number(text, 0, std::numeric_limits<std::uint64_t>::max())) return {};
    return "whole numbers joined by commas are expected, as in 1,2,3; " + bitlens::in_quotes(text) + " was found";
}

void add_popqa(CLI::App& app, popqa_arguments& a) {
    auto& verb = *app.add_subcommand("popqa", "what quantization leaves of what a model knows: questions behind a few "
                                              "examples, marked and put in order of popularity, with a report");
    add_model_options(verb, "--model", a.model);
    verb.add_option("--data", a.data, "questions with right answers: TSV as PopQA is published, or JSONL")
        ->required()
        ->check(CLI::ExistingFile);
    const auto add_key = [&verb](char const* option, std::string& key, char const* help) {
        verb.add_option(option, key, help)->check(check_key)->capture_default_str();
    };
    add_key("--question-key", a.keys.text, "the column or key of the question");
    add_key("--answers-key", a.keys.answers, "that of the list of right answers");
    add_key("--bucket-key", a.keys.bucket, "that of the popularity, a number by which questions are put in buckets");
    add_key("--relation-key", a.keys.relation, "that of the template, none of which gives two examples of a prompt");
    add_key("--id-key", a.keys.id, "that of the id");
    add_methods_option(verb, a.methods)->required();
    verb.add_option("--out", a.out, "the run folder; an unfinished run there goes on")->required();
    add_calibration_options(verb, a.calibration);
    verb.add_option("--seeds", a.seeds, "comma-separated: each draws other examples for all questions")
        ->delimiter(',')
        ->check(check_seed)
        ->capture_default_str();
    verb.add_option("--shots", a.shots, "examples before a question, each of another template")
        ->check(whole_number(0, 1000))
        ->capture_default_str();
    verb.add_option("--tokens", a.tokens, "new tokens of an answer at most")
        ->check(whole_number(1, 1000))
        ->capture_default_str();
    verb.add_option("--questions", a.questions, "ask so many of them, drawn with --seed (default: all)")
        ->check(whole_number(1, large));
    verb.add_option("--seed", a.seed, "that draws the questions of --questions")
        ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()))
        ->capture_default_str();
    verb.add_option("--bucket-edges", a.bucket_edges, "comma-separated log10 of popularity (default: every 0.5)")
        ->delimiter(',');
    verb.add_option("--bucket-least", a.bucket_least, "questions of a bucket; smaller ones join their neighbour")
        ->check(whole_number(1, large))
        ->capture_default_str();
    verb.add_option("--at-once", a.at_once, "prompts that run side by side, if memory allows it")
        ->check(whole_number(1, large))
        ->capture_default_str();
    add_bos_option(verb, a.bos);
    add_arithmetic_option(verb, a.arithmetic);
    add_machine_options(verb, a.machine);
    verb.callback([&a] { popqa(a); });
}

/// Returns the exit code.
int say(const char* error, int code = 1) {
    write_error("bitlens: ");
    bitlens::put_visible_line(error, write_error);
    write_error("\n");
    return code;
}
int say(std::exception const& e, int code = 1) {
    write_error("bitlens: ");
    bitlens::put_visible_error(e, write_error);
    write_error("\n");
    return code;
}
constexpr const char* out_of_memory = "out of memory; --memory says how much may be used, and shorter rows need less";

/// code: 0 where the models are the same, or plausible; 1 where not; 2 where they cannot be compared.
void add_verify(CLI::App& app, verify_arguments& a, int& code) {
    auto& verb = *app.add_subcommand("verify", "whether two checkpoints, of any two kinds, hold the same model");
    add_model_option(verb, "A", a.a.path);
    add_model_option(verb, "B", a.b.path)
        ->description("Hugging Face folder, GGUF file, or a folder that `bitlens quantize` made of A");
    verb.add_option("--expect", a.expect,
                    "a method, as in study: whether B is plausibly that of A, gptq4-g128 say, by the error of each "
                    "weight beside that of rounding to nearest; what it looks like instead");
    verb.add_flag("--all", a.all, "list every tensor that differs, not the worst alone");
    verb.add_flag("--json", a.json, "print one JSON object, with every digit");
    const auto allow = [&](char const* option, char const* of, std::vector<std::string>& keys) {
        verb.add_option(option, keys,
                        std::string("a key of ") + of +
                            "'s configuration that is refused as unknown: pass over it; may be repeated")
            ->allow_extra_args(false);
    };
    allow("--allow-key", "A", a.a.allowed_keys);
    allow("--allow-key-of-b", "B", a.b.allowed_keys);
    verb.add_option("--threads", a.threads, "threads (default: all cores this process may use)")
        ->check(whole_number(1, large));
    verb.callback([&a, &code] {
        try {
            code = verify(a) ? 0 : 1;
        } catch (bitlens::error const& e) {
            code = say(e.what(), 2);
        } catch (std::bad_alloc const&) {
            code = say(out_of_memory, 2);
        }
    });
}

std::terminate_handler usual_termination = nullptr;

/// Memory can also run out where no exception may pass: nlohmann::json allocates when it is destroyed, and TBB starts
/// threads when a limit of them ends.
void explain_termination() {
    try {
        if (const auto thrown = std::current_exception()) std::rethrow_exception(thrown);
    } catch (std::bad_alloc const&) {
        std::_Exit(say(out_of_memory));
    } catch (std::exception const& e) {
        std::_Exit(say(e));
    } catch (...) {
    }
    usual_termination();
}

/// What is wrong with the words of a command line. One that nobody knows is named before anything else: what it was
/// meant to be is missing for that reason alone.
std::string misuse(CLI::App const& app, CLI::ParseError const& e) {
    const auto chosen = app.get_subcommands();
    auto unknown = app.remaining(true); // those before the verb come first
    std::erase(unknown, "--");
    const bool is_option = !unknown.empty() && unknown[0].starts_with('-');
    std::string command = "bitlens";
    if (!chosen.empty()) command += " " + chosen[0]->get_name();
    std::string text = command + ": ";
    if (is_option)
        text += "there is no option " + bitlens::in_quotes(unknown[0]);
    else if (!unknown.empty() && chosen.empty())
        text += "there is no verb " + bitlens::in_quotes(unknown[0]);
    else if (!unknown.empty())
        text += bitlens::in_quotes(unknown[0]) + " is the value of no option";
    else
        text += chosen.empty() ? "a verb is expected" : e.what();
    if (!chosen.empty() || is_option) return text + "; '" + command + " --help' lists the options";
    text += "; there are";
    char const* before = " ";
    for (CLI::App const* verb : app.get_subcommands([](CLI::App const*) { return true; })) {
        text += before + verb->get_name();
        before = ", ";
    }
    return text + "; 'bitlens --help' says what they do";
}

} // namespace

int main(int argc, char** argv) try {
    open_closed_streams();
    usual_termination = std::set_terminate(explain_termination);
    CLI::App app{"bitlens: which inputs low-bit weight-only quantization breaks, where and why"};
    app.name("bitlens");
    app.set_version_flag("--version", std::string(bitlens::version));
    app.require_subcommand(1);
    quantize_arguments quantize;
    study_arguments study;
    locate_arguments locate;
    report_arguments report;
    model_arguments model;
    bool taken = true;
    int code = 0; // of verify
    tokenize_arguments tokenize;
    probe_arguments probe;
    perplexity_arguments perplexity;
    generate_arguments generate;
    popqa_arguments popqa;
    verify_arguments verify;
    add_quantize(app, quantize);
    add_study(app, study);
    add_locate(app, locate);
    add_report(app, report);
    add_inspect(app, model, taken);
    add_tokenize(app, tokenize);
    add_probe(app, probe);
    add_perplexity(app, perplexity);
    add_generate(app, generate);
    add_popqa(app, popqa);
    add_verify(app, verify, code);
    explain_bus_errors();
    try {
        app.parse(argc, argv);
    } catch (CLI::Success const& e) { // --help, --version
        std::ostringstream text;
        app.exit(e, text);
        std::cout << text.str();
    } catch (CLI::ParseError const& e) {
        std::cerr << bitlens::visible_line(misuse(app, e)) << '\n';
        return 2;
    }
    flush_output();
    return taken ? code : 1;
} catch (bitlens::option_error const& e) {
    return say(e, 2);
} catch (interrupted const& e) {
    say(e);
    std::signal(e.signal(), SIG_DFL); // whoever started the program, a loop in a shell say, learns why it ended
    std::raise(e.signal());
    return 1;
} catch (std::bad_alloc const&) {
    return say(out_of_memory);
} catch (std::exception const& e) {
    return say(e);
}
