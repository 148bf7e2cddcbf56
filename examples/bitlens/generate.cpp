/// `bitlens generate`: what a model finds most likely to follow prompts, as JSON Lines.

#include "commands.hpp"
#include "model_runs.hpp"
#include "setting.hpp"
#include "streams.hpp"

#include "bitlens/io/json.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/text/documents.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::command {

namespace {

struct prompt_list {
    std::vector<std::string> places; // for people: where each comes from
    std::vector<std::string> names;  // ids of a file, empty where it has none
    std::vector<std::vector<std::int32_t>> ids;

    std::size_t longest() const {
        std::size_t most = 0;
        for (auto const& each : ids) most = std::max(most, each.size());
        return most;
    }
};

/// Errors: format_error that names a prompt without ids, and one of more than the model has positions.
prompt_list read_prompts(generate_arguments const& a, checkpoint const& source, tokenizer const& t) {
    const auto bos = bos_token(t, a.bos);
    model_config const& config = source.config();
    const std::size_t positions = a.positions == 0 ? config.context : a.positions;
    prompt_list all;
    const auto add = [&](std::string place, std::string name, std::vector<std::int32_t> ids) {
        if (ids.empty()) throw format_error(place + ": an empty prompt, expected at least one token");
        if (ids.size() > positions)
            throw format_error(place + ": a prompt of " + std::to_string(ids.size()) + " tokens; at most " +
                               std::to_string(positions) +
                               (a.positions == 0 ? ", on which the model was trained, are read, or --positions"
                                                 : ", as --positions says, are read"));
        all.places.push_back(std::move(place));
        all.names.push_back(std::move(name));
        all.ids.push_back(std::move(ids));
    };
    if (a.prompt) {
        add("--prompt", "", ids_of_prompt("--prompt", *a.prompt, t, bos, config.vocabulary));
        return all;
    }
    document_reader reader(*a.prompts, std::numeric_limits<std::size_t>::max(), a.keys);
    for (document d; reader.next(d);) {
        const std::string place = bitlens::detail::place_of(*a.prompts, d);
        if (reader.holds_ids())
            check_ids(*a.prompts, d.row, d.ids, config.vocabulary);
        else
            d.ids = ids_of_prompt(place, d.text, t, bos, config.vocabulary);
        add(place, d.id, std::move(d.ids));
    }
    if (const auto absent = reader.absent_keys(); !all.ids.empty() && !absent.empty())
        throw option_error(a.prompts->string() + ": none of the " + std::to_string(all.ids.size()) +
                           " prompts has the key " + in_quotes(absent[0]));
    if (all.ids.empty()) throw option_error(a.prompts->string() + ": at least one prompt is expected, none was found");
    return all;
}

/// Prints lines in the order of the prompts, as soon as those before them are there.
class line_printer {
public:
    line_printer(prompt_list const& prompts, tokenizer const& t) : prompts_(prompts), tokenizer_(t) {}

    /// Errors: format_error for a loss that is not finite.
    void add(std::size_t n, generated_text const& made) {
        for (std::size_t i = 0; i < made.nll.size(); ++i)
            if (!std::isfinite(made.nll[i]))
                throw format_error(prompts_.places[n] + ": the loss of new token " + std::to_string(i) +
                                   " is not finite: the model's numbers overflow");
        ordered_json line;
        line["prompt"] = n;
        if (!prompts_.names[n].empty()) line["id"] = prompts_.names[n];
        line["prompt_tokens"] = prompts_.ids[n].size();
        line["ids"] = made.ids;
        line["text"] = text_after(tokenizer_, prompts_.ids[n], made.ids);
        line["loss"] = made.nll;
        line["margin"] = std::vector<double>(made.margin.begin(), made.margin.end());
        line["stopped"] = name(made.stopped);
        // Ids may end within a character.
        waiting_[n] = line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
        for (; waiting_.contains(next_); ++next_) {
            std::cout << waiting_.at(next_) << '\n';
            waiting_.erase(next_);
        }
        flush_output();
    }

private:
    prompt_list const& prompts_;
    tokenizer const& tokenizer_;
    std::map<std::size_t, std::string> waiting_;
    std::size_t next_ = 0;
};

template <class Architecture>
void run(generate_arguments const& a, checkpoint const& source, prompt_list const& prompts, generation_end const& until,
         machine const& here, line_printer& printer) {
    model_config const& config = source.config();
    const auto methods = methods_beside_full(a.method);
    check_methods(source, a.model, methods);
    for (auto const& m : methods) check_shapes<weight>(config.block, config.layers, m, {});
    const arithmetic products = products_named(a.arithmetic);
    const std::size_t tokens = std::min(prompts.longest() + a.tokens, until.positions_of(config));
    const auto [plan, at_once] =
        plan_generation(source, methods, tokens, prompts.ids.size(), a.at_once, products, here);
    transformer<Architecture, weight> model(source, plan.full_resident);
    model = model_of(model, methods, plan).with_products(products);
    const row_products row_by = a.exact ? row_products::matmul : row_products::matvec;
    if (a.prompt)
        printer.add(0, bitlens::generate(model, prompts.ids[0], until, row_by, here.threads));
    else
        generate_each(
            model, std::span<const std::vector<std::int32_t>>(prompts.ids), until, at_once,
            [&](std::size_t n, generated_text const& made) { printer.add(n, made); }, here.threads, row_by);
}

} // namespace

void generate(generate_arguments const& a) {
    const machine here(a.machine);
    for (auto const& text : a.stop)
        if (text.empty()) throw option_error("--stop: a text is expected, an empty one was found");
    const checkpoint source = open_model(a.model);
    const tokenizer t = source.load_tokenizer();
    for (const std::int32_t id : a.stop_ids)
        if (static_cast<std::size_t>(id) >= source.config().vocabulary)
            throw option_error("--stop-ids: the id " + std::to_string(id) + " is none of the " +
                               std::to_string(source.config().vocabulary) + " of the model");
    const prompt_list prompts = read_prompts(a, source, t);
    line_printer printer(prompts, t);
    const generation_end until{a.tokens, a.stop_ids, a.stop, &t, a.positions};
    visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        run<Architecture>(a, source, prompts, until, here, printer);
    });
}

} // namespace bitlens::command
