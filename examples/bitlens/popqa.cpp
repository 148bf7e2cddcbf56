/// `bitlens popqa`: what models answer to questions behind a few examples, into a run folder with a report.

#include "commands.hpp"
#include "model_runs.hpp"
#include "progress.hpp"
#include "run_methods.hpp"
#include "setting.hpp"
#include "signals.hpp"
#include "streams.hpp"

#include "bitlens/analysis/error_sets.hpp"
#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/question_columns.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/page/question_report.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/run_prompts.hpp"
#include "bitlens/text/few_shots.hpp"
#include "bitlens/text/question_set.hpp"
#include "bitlens/version.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::command {

namespace {

/// A question as it is put under one seed.
struct put_question {
    std::vector<std::size_t> shots; // rows of the file
    std::vector<std::int32_t> ids;  // of the prompt
};

/// The questions of a run, and what became of those of the file.
struct question_choice {
    std::vector<question> all;                  // of the file
    std::vector<std::size_t> used;              // places in it, rising
    std::vector<std::vector<put_question>> put; // [seed][of used]
    std::vector<std::string> too_long;          // left out, in words
    std::size_t unwritable = 0;                 // questions of which no right answer can be written
};

/// Places of the questions that are asked: all, or so many of them, which the seed draws.
std::vector<std::size_t> drawn(std::size_t count, std::optional<std::size_t> limit, std::uint64_t seed) {
    std::vector<std::size_t> all(count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    if (!limit || *limit >= count) return all;
    auto some = draw_sample(all, *limit, seed);
    std::ranges::sort(some);
    return some;
}

std::string place_of(popqa_arguments const& a, question const& q) {
    return a.data.string() + ": line " + std::to_string(q.line) + (q.id.empty() ? "" : " (id " + in_quotes(q.id) + ")");
}

/// Reads the questions and writes their prompts. A question whose prompt is too long under one seed is left out under
/// all, and named.   Errors: those of read_questions and few_shots; format_error for a prompt that the tokenizer cannot
/// write; option_error where no question is left.
question_choice choose_questions(popqa_arguments const& a, checkpoint const& source, tokenizer const& t) {
    question_choice c;
    c.all = read_questions(a.data, a.keys);
    const auto bos = bos_token(t, a.bos);
    model_config const& config = source.config();
    const auto places = drawn(c.all.size(), a.questions, a.seed);
    const few_shots shots_of(c.all, a.shots);
    const auto put = [&](std::size_t place, std::uint64_t seed) {
        put_question one;
        try {
            one.shots = shots_of(seed, place);
        } catch (option_error const& e) {
            throw option_error(a.data.string() + ": " + e.what());
        }
        one.ids = ids_of_prompt(place_of(a, c.all[place]) + " and its examples under seed " + std::to_string(seed),
                                prompt_text(c.all, place, one.shots), t, bos, config.vocabulary);
        return one;
    };
    const auto is_too_long = [&](put_question const& one) {
        return config.context != 0 && one.ids.size() + a.tokens - 1 > config.context;
    };
    const auto can_be_written = [&](std::string const& answer) {
        const std::string text = " " + answer;
        return t.writes(text, t.encode(text));
    };
    c.put.resize(a.seeds.size());
    for (const std::size_t place : places) {
        std::vector<put_question> of_seeds;
        for (const std::uint64_t seed : a.seeds) of_seeds.push_back(put(place, seed));
        if (std::ranges::any_of(of_seeds, is_too_long)) {
            c.too_long.push_back(place_of(a, c.all[place]));
            continue;
        }
        c.used.push_back(place);
        for (std::size_t k = 0; k < of_seeds.size(); ++k) c.put[k].push_back(std::move(of_seeds[k]));
        if (std::ranges::none_of(c.all[place].answers, can_be_written)) ++c.unwritable;
    }
    if (c.used.empty())
        throw option_error(a.data.string() + ": the prompts of all " + std::to_string(places.size()) +
                           " questions are longer than the " + std::to_string(config.context) +
                           " positions that the model was trained on; --shots takes fewer examples");
    return c;
}

void say_what_was_chosen(popqa_arguments const& a, question_choice const& c) {
    std::cout << c.used.size() << " of " << c.all.size() << " questions behind " << a.shots << " examples\n";
    say_left_out(c.too_long, "its prompt and answer are longer than the model's context");
    if (c.unwritable > 0)
        std::cerr << "note: of " << c.unwritable
                  << " questions the tokenizer cannot write any right answer: the model cannot give one\n";
}

std::string joined(std::span<const std::size_t> numbers) {
    std::string text;
    for (const std::size_t n : numbers) text += (text.empty() ? "" : " ") + std::to_string(n);
    return text;
}

/// Seed by seed, the same questions in the same order.
document_rows rows_of(popqa_arguments const& a, question_choice const& c) {
    document_rows rows;
    std::vector<kept_values> kept{{"seed", {}}, {"question", {}}, {"answers", {}}, {"popularity", {}}, {"shots", {}}};
    for (std::size_t k = 0; k < a.seeds.size(); ++k)
        for (std::size_t i = 0; i < c.used.size(); ++i) {
            question const& q = c.all[c.used[i]];
            put_question const& put = c.put[k][i];
            rows.ids.add(put.ids);
            rows.rows.push_back(q.row);
            rows.names.push_back(q.id);
            rows.topics.push_back(q.relation);
            rows.bytes.push_back(std::nullopt);
            const std::vector<std::string> values{std::to_string(a.seeds[k]), q.text, json_text(q.answers, "answers"),
                                                  q.popularity_written, joined(put.shots)};
            for (std::size_t v = 0; v < values.size(); ++v) kept[v].values.push_back(values[v]);
        }
    rows.kept = std::move(kept);
    return rows;
}

run_manifest describe_run(popqa_arguments const& a, checkpoint const& model, tokenizer const& t,
                          question_choice const& c, document_rows const& rows, bool has_bos,
                          std::vector<run_method> methods) {
    json setting;
    setting["kind"] = questions_kind;
    setting["bitlens"] = version;
    setting["model"] = describe_model(model, a.model.allowed_keys, true);
    setting["full"] = full_text(model);
    setting["parameters"] = describe_size(model);
    setting["tokenizer"] = visible_text(t.description());
    setting["data"] = file_identity(a.data);
    const question_keys usual;
    const auto add_key = [&](const char* what, std::string const& key, std::string const& usual_key) {
        if (key != usual_key) setting["keys"][what] = key;
    };
    add_key("question", a.keys.text, usual.text);
    add_key("answers", a.keys.answers, usual.answers);
    add_key("bucket", a.keys.bucket, usual.bucket);
    add_key("relation", a.keys.relation, usual.relation);
    add_key("id", a.keys.id, usual.id);
    setting["questions"] = {{"read", c.all.size()},
                            {"used", c.used.size()},
                            {"too_long", c.too_long.size()},
                            {"of_no_writable_answer", c.unwritable}};
    setting["asked_for"] = a.questions ? json(*a.questions) : json("all");
    setting["seed"] = a.seed;
    setting["seeds"] = a.seeds;
    setting["shots"] = a.shots;
    setting["bos"] = has_bos;
    setting["bucket_edges"] = a.bucket_edges.empty() ? json(nullptr) : json(a.bucket_edges);
    setting["bucket_least"] = a.bucket_least;
    setting["arithmetic"] = arithmetic_text(products_named(a.arithmetic));
    return {std::move(setting), std::move(methods), columns_of_questions(), names_of(rows.kept), a.tokens};
}

/// Without the token of `special`, rising, that ends it, if one does.
std::string answer_text(tokenizer const& t, std::span<const std::int32_t> special, std::span<const std::int32_t> prompt,
                        std::span<const std::int32_t> ids) {
    if (!ids.empty() && std::ranges::binary_search(special, ids.back())) ids = ids.first(ids.size() - 1);
    return text_after(t, prompt, ids);
}

/// A JSON line for each row: the prompt as it was, and what each model answered.   Errors: io_error.
void write_answers(std::filesystem::path const& folder, run_results const& run, tokenizer const& t,
                   std::span<const std::int32_t> special) {
    document_rows const& d = run.documents;
    const auto value = [&](const char* key, std::size_t n) {
        return std::ranges::find(d.kept, key, &kept_values::name)->values[n];
    };
    std::string lines;
    for (std::size_t n = 0; n < d.size(); ++n) {
        ordered_json line;
        line["example"] = d.rows[n];
        line["id"] = d.names[n];
        line["seed"] = std::stoull(value("seed", n));
        line["prompt"] = t.decode(d.ids.row(n));
        line["answers"] = parse_json(value("answers", n), "answers");
        for (auto const& variant : run.table.variants()) {
            const auto padded = run.table.ids_of_positions("answer_" + variant).row(n);
            const auto end = std::ranges::find(padded, token_rows::no_token);
            line["given"][variant] = answer_text(t, special, d.ids.row(n), {padded.begin(), end});
        }
        lines += line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n"; // ids may end in a character
    }
    write_file_atomically(folder / "answers.jsonl", lines);
}

template <class Architecture>
void run(popqa_arguments const& a, checkpoint const& source, tokenizer const& t, std::span<const std::int32_t> special,
         question_choice const& c, run_folder const& folder, run_results& run, std::vector<method> const& methods,
         machine const& here) {
    const arithmetic products = products_named(a.arithmetic);
    generation_end until{a.tokens, {}, {}, &t};
    until.is_complete = has_first_line;
    for (const std::int32_t id : special)
        if (static_cast<std::size_t>(id) < source.config().vocabulary) until.ids.push_back(id);
    const std::size_t longest = run.documents.ids.longest() + a.tokens;
    std::size_t left = 0;
    for (std::size_t v = 0; v < run.table.variants().size(); ++v) left += rows_to_generate(run.table, v).size();
    const stop_requests stop;
    progress shown(left, 1, run.documents.ids.mean_tokens() + a.tokens);
    for (std::size_t v = 0; v < run.table.variants().size(); ++v) {
        if (rows_to_generate(run.table, v).empty()) continue;
        const std::vector<method> one = v == 0 ? std::vector<method>() : std::vector<method>{methods[v - 1]};
        const auto plan = plan_generation(source, one, longest, run.size(), a.at_once, products, here);
        transformer<Architecture, weight> model(source, plan.memory.full_resident);
        model = model_of(model, one, plan.memory).with_products(products);
        run_prompts(
            model, v, folder, run, until, {.at_once = plan.at_once, .tasks = here.threads},
            [&](std::size_t n, generated_text const& generated, results_row& row) {
                question const& q = c.all[c.used[n % c.used.size()]];
                write_answer(generated, answer_text(t, special, std::as_const(run.documents.ids).row(n), generated.ids),
                             q.answers, a.tokens, row);
            },
            [&](std::size_t done) {
                shown.advance(done);
                stop.check(folder.path().string() + ": holds all finished blocks; the same command goes on from there");
            });
    }
    if (left > 0)
        folder.log(std::to_string(left) + " answers to prompts of " + lengths_text(run.documents.ids) + " in " +
                   duration_text(shown.seconds()) + " on " + std::to_string(here.threads) + " threads");
}

} // namespace

void popqa(popqa_arguments const& a) {
    if (a.out.empty()) throw option_error("--out: the name of a folder is expected, an empty text was found");
    if (std::set(a.seeds.begin(), a.seeds.end()).size() != a.seeds.size())
        throw option_error("--seeds: a seed is named twice; each is expected once");
    check_bucket_rule({a.bucket_edges.empty() ? std::nullopt : std::optional(a.bucket_edges), a.bucket_least},
                      "--bucket-edges, --bucket-least");
    const machine here(a.machine);
    std::vector<method> asked_for = parse_methods(a.methods);
    const checkpoint source = open_model(a.model);
    const run_folder folder(a.out);
    folder.expect_writable();
    expect_tables_writable(folder.path());
    expect_writable(folder.path() / "answers.jsonl");
    expect_question_report_writable(folder.path());
    const tokenizer t = source.load_tokenizer();
    const question_choice chosen = choose_questions(a, source, t);
    say_what_was_chosen(a, chosen);
    for (auto const& m : asked_for)
        if (!m.folder.empty()) check_source(source, a.model, m);
    const std::optional<std::filesystem::path> no_overrides;
    const quantization_setting setting{a.model, source, &t, a.bos, a.calibration, no_overrides, a.arithmetic, nullptr};
    const auto plans = plan_quantization(setting, asked_for, a.out / "quantized", false);
    document_rows rows = rows_of(a, chosen);
    const run_manifest manifest = folder.agree(
        describe_run(a, source, t, chosen, rows, bos_token(t, a.bos).has_value(), named(asked_for, plans)));
    const auto methods = quantized_methods(setting, plans, std::move(asked_for), here, a.out, manifest);
    for (auto const& m : methods) check_shapes<weight>(source.config().block, source.config().layers, m, {});
    folder.expect_names_writable(manifest.methods);
    run_results results = begin_run(folder, manifest, std::move(rows), 0);
    const auto special = t.special_tokens(); // which end an answer, and are no text of it
    visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        run<Architecture>(a, source, t, special, chosen, folder, results, methods, here);
    });
    write_answers(folder.path(), results, t, special);
    finish_run(folder, results, [&](std::int32_t id) {
        return std::ranges::binary_search(special, id) ? std::string() : t.text_of(id);
    });
    const auto summary = write_question_report(folder.path(), make_questions(std::move(results)));
    std::cout << summary << "report: " << visible_line(summary.page.native()) << '\n';
}

} // namespace bitlens::command
