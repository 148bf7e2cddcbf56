#include "experiment.hpp"

#include "bitlens/streams.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/page/location_claims.hpp"
#include "bitlens/page/location_tables.hpp"
#include "bitlens/report/visible_text.hpp"

#include <cstddef>
#include <exception>
#include <functional>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace bitlens::paper {

namespace {

int run_program(int argc, char** argv, const char* methods, own_option own,
                std::function<void(request const&)> const& show) try {
    command::open_closed_streams();
    request asked;
    std::string method_names = methods == nullptr ? "" : methods;
    CLI::App app("A table or figure of arXiv 2506.12044; without --model and --data, of a tiny random model");
    auto* const model = app.add_option("--model", asked.model, "Hugging Face folder, or GGUF file");
    auto* const data = app.add_option("--data", asked.data, "JSONL with a field text, text, or NPY of token ids");
    model->needs(data)->check(CLI::ExistingPath);
    data->needs(model)->check(CLI::ExistingFile);
    if (methods != nullptr) {
        app.add_option("--methods", method_names, "as bitlens study has them")->capture_default_str();
        app.add_option("--calibration", asked.calibration, "what gptq and awq look at: as --data")
            ->needs(model)
            ->check(CLI::ExistingFile);
    }
    app.add_option("--tokens", asked.tokens, "token ids a document; shorter ones are left out")
        ->needs(data)
        ->check(CLI::Range(std::size_t{2}, std::size_t{1} << 20))
        ->capture_default_str();
    app.add_option("--examples", asked.examples, "the first N documents that are long enough")
        ->needs(data)
        ->check(CLI::PositiveNumber);
    if (own == own_option::text)
        app.add_option("--text", asked.text, "WikiText as a text file, whose lines are joined by blank ones")
            ->needs(model)
            ->check(CLI::ExistingFile);
    if (own == own_option::before)
        app.add_option("--before", asked.before,
                       "run folder of another model over the same documents, whose losses are taken for this one's")
            ->needs(data)
            ->check(CLI::ExistingDirectory);
    if (own == own_option::runs)
        app.add_option("RUN", asked.runs, "finished run folders: models on the same documents")
            ->excludes(model, app.get_option("--methods"))
            ->check(CLI::ExistingDirectory);
    if (own == own_option::first_position)
        app.add_flag("--first-position", asked.first_position, "count position 0 too");
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& e) {
        const int code = app.exit(e); // 0 for --help
        if (code == 0) command::flush_output();
        return code;
    }
    asked.methods = parse_methods(method_names);
    if (methods != nullptr && asked.methods.empty())
        throw option_error("--methods: at least one is expected; what exists:", method::existing());
    show(asked);
    command::flush_output();
    return 0;
} catch (std::exception const& e) {
    std::cerr << argv[0] << ": ";
    put_visible_error(e, [](std::string_view piece) { std::cerr << piece; });
    std::cerr << '\n';
    return 1;
}

} // namespace

int run(int argc, char** argv, const char* methods, own_option own, void (*show)(request const&)) {
    return run_program(argc, argv, methods, own, show);
}

int run(int argc, char** argv, const char* methods, void (*show)(finished_study const&)) {
    return run_program(argc, argv, methods, own_option::none,
                       [show](request const& asked) { show(measure_study(asked)); });
}

int run(int argc, char** argv, const char* methods, void (*show)(std::span<const named_study>)) {
    return run_program(argc, argv, methods, own_option::runs,
                       [show](request const& asked) { show(measure_sizes(asked)); });
}

int run(int argc, char** argv, const char* methods, location_request const& variants,
        void (*show)(finished_study const&, location const&)) {
    return run_program(argc, argv, methods, own_option::none, [&](request const& asked) {
        const located_study found = measure_location(asked, variants);
        show(found.s, make_location(found.s, found.run.table, found.run.sets_of));
    });
}

std::vector<std::string> location_notes(finished_study const& s, location const& l) {
    std::vector<std::string> notes{located_sets_words(s, l)};
    for (claim const& c : location_claims_of(s, l))
        notes.push_back(c.question + ". Here: " + c.answer.text + " (" + verdict(c) + "). The paper: " + c.paper + ".");
    return notes;
}

} // namespace bitlens::paper
