#include "experiment.hpp"

#include "measure.hpp"

#include "bitlens/streams.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/report/visible_text.hpp"

#include <cstddef>
#include <exception>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

namespace bitlens::paper {

int run(int argc, char** argv, const char* methods, void (*show)(finished_study const&)) try {
    command::open_closed_streams();
    checkpoint_documents a;
    std::string method_names = methods;
    CLI::App app("A table or figure of arXiv 2506.12044; without --model and --data, of a tiny random model");
    auto* const model = app.add_option("--model", a.model, "Hugging Face folder, or GGUF file");
    auto* const data = app.add_option("--data", a.data, "JSONL with a field text, text, or NPY of token ids");
    model->needs(data)->check(CLI::ExistingPath);
    data->needs(model)->check(CLI::ExistingFile);
    app.add_option("--methods", method_names, "as bitlens study has them")->capture_default_str();
    app.add_option("--tokens", a.tokens, "token ids a document; shorter ones are left out")
        ->needs(data)
        ->check(CLI::Range(std::size_t{2}, std::size_t{1} << 20))
        ->capture_default_str();
    app.add_option("--examples", a.examples, "the first N documents that are long enough")
        ->needs(data)
        ->check(CLI::PositiveNumber);
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& e) {
        const int code = app.exit(e); // 0 for --help
        if (code == 0) command::flush_output();
        return code;
    }
    const auto parsed = parse_methods(method_names);
    if (parsed.empty()) throw option_error("--methods: at least one is expected");
    show(a.model.empty() ? measure_tiny_model(parsed) : measure_checkpoint(a, parsed));
    command::flush_output();
    return 0;
} catch (std::exception const& e) {
    std::cerr << argv[0] << ": " << visible_line(e.what()) << '\n';
    return 1;
}

} // namespace bitlens::paper
