#include "measure.hpp"

#include "study_matrix/study_matrix.hpp"

#include "bitlens/analysis/choices.hpp"
#include "bitlens/analysis/dimension_means.hpp"
#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/location_results.hpp"
#include "bitlens/analysis/question_columns.hpp"
#include "bitlens/analysis/window_losses.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/recipes/method_documents.hpp"
#include "bitlens/recipes/model_walk.hpp"
#include "bitlens/recipes/stored_layers.hpp"
#include "bitlens/sweep/run_results.hpp"
#include "bitlens/sweep/run_study.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/text/text_windows.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::paper {

namespace {

template <class Architecture>
using study_model = transformer<Architecture, study_matrix>;

/// Every core works while it lives.
struct all_cores {
    unsigned threads = available_cores();
    sweep_cut cut{4 * threads, threads};
    thread_limit limit{threads};
};

using documents_as_ids = std::vector<std::vector<std::int32_t>>;

/// Methods, and what each is calibrated on; none where it needs nothing.
struct chosen_methods {
    std::span<const method> all;
    std::vector<std::shared_ptr<const documents_as_ids>> documents;

    explicit chosen_methods(std::span<const method> methods) : all(methods), documents(methods.size()) {}
};

/// Whether a method looks at documents before it runs.
bool needs_documents(method const& m) { return m.folder.empty() && m.needs_documents(); }

/// A method's blocks, quantized in memory where they lie in no folder.
template <class Architecture>
located_model<study_matrix> model_of(study_model<Architecture> const& model, method const& m,
                                     documents_as_ids const* documents) {
    model_config const& config = model.config();
    constexpr block_form form = Architecture::description.form;
    located_model<study_matrix> found{m.name, m.text(), nullptr};
    std::optional<awq_fold> fold;
    if (!m.folder.empty()) {
        const quantized_folder folder(m.folder);
        found.layers = std::make_shared<stored_layers<study_matrix>>(folder, model.layers(), config, form);
        fold = fold_of<study_matrix>(folder, config.block);
    } else if (m.needs_documents()) {
        const all_cores here;
        const auto walked = quantize_model(model, m, *documents, here.threads);
        found.layers = walked;
        fold = walked->fold();
    } else {
        found.layers = std::make_shared<quantized_layers<study_matrix>>(model.layers(), m);
    }
    if (fold)
        found.scaled_full =
            std::make_shared<folded_layers<study_matrix>>(model.layers(), form, config.block, std::move(*fold));
    return found;
}

/// The full model, then every method.
template <class Architecture>
std::vector<located_model<study_matrix>> models_of(study_model<Architecture> const& model,
                                                   chosen_methods const& methods) {
    std::vector<located_model<study_matrix>> models{{std::string(full_model_name), {}, model.layers()}};
    for (std::size_t v = 0; v < methods.all.size(); ++v)
        models.push_back(model_of(model, methods.all[v], methods.documents[v].get()));
    return models;
}
std::vector<variant<study_matrix>> variants_of(std::span<const located_model<study_matrix>> models) {
    std::vector<variant<study_matrix>> variants;
    for (auto const& m : models) variants.push_back({m.name, m.layers});
    return variants;
}
template <class Architecture>
std::vector<variant<study_matrix>> variants_of(study_model<Architecture> const& model, chosen_methods const& methods) {
    return variants_of(models_of(model, methods));
}

/// Every method beside the full model on every document, all of it in memory. `variants`: those of `methods`.
template <class Architecture>
finished_study measure(study_model<Architecture> const& model, std::span<const method> methods,
                       std::span<const variant<study_matrix>> variants, document_rows documents) {
    const document_statistics kind{{}, documents.bytes};
    // The family that the model was loaded as: Architecture need only compute like it.
    model_family const* const family = find_family(families, model.config().architecture);
    const parameter_count size = count_parameters(*family, model.config());
    run_manifest manifest{{{"seed", 1},
                           {"first_position", false},
                           {"full", ""},
                           {"parameters", {{"all", size.all}, {"blocks", size.blocks}}}},
                          {},
                          kind.columns()};
    for (auto const& m : methods) manifest.methods.push_back({m.name, m.text()});
    const all_cores here;
    auto table = measure_run(model, variants, documents, here.cut, kind);
    return make_study({std::move(manifest), std::move(documents), std::move(table), {}, {}});
}

template <class Architecture>
finished_study measure(study_model<Architecture> const& model, chosen_methods const& methods, document_rows documents) {
    const auto variants = variants_of(model, methods);
    return measure(model, methods.all, std::span<const variant<study_matrix>>(variants), std::move(documents));
}

template <class Architecture>
located_study locate(study_model<Architecture> const& model, chosen_methods const& methods, document_rows documents,
                     location_request wanted) {
    const auto models = models_of(model, methods);
    const auto of_study = variants_of(models);
    finished_study s =
        measure(model, methods.all, std::span<const variant<study_matrix>>(of_study), std::move(documents));
    wanted.layers = wanted.sensitive_layers = {upper_half(s.layers()), s.layers()};
    const auto variants = make_location_variants<study_matrix>(models, wanted, s.layers()).variants;

    constexpr std::size_t sets_of = 0;
    std::vector<std::size_t> rows = s.sets[sets_of].large;
    rows.insert(rows.end(), s.sets[sets_of].ctrl.begin(), s.sets[sets_of].ctrl.end());
    if (rows.empty())
        throw option_error(s.methods[sets_of].name + " has no D_large and D_ctrl among " + std::to_string(s.size()) +
                           " documents, of which a tenth is too few");
    const all_cores here;
    auto table = measure_run(
        model, variants, s.run.documents, here.cut, location_losses{}, [](std::size_t) {}, rows);
    return {std::move(s), {std::move(table), sets_of}};
}

template <class Architecture>
text_losses measure(study_model<Architecture> const& model, chosen_methods const& methods,
                    matrix<std::int32_t> const& windows) {
    const all_cores here;
    auto losses = window_losses(model, variants_of(model, methods), windows.view(), here.cut);
    text_losses found{windows.cols(), std::move(losses[0]), {}};
    for (std::size_t v = 1; v < losses.size(); ++v) found.methods.push_back(std::move(losses[v]));
    return found;
}

template <class Architecture>
std::vector<layer_outliers> outliers_of_layers(study_model<Architecture> const& model, token_rows const& ids,
                                               bool first_position) {
    if (!has_norm(Architecture::description.form, block_norm::mlp))
        throw option_error(model.config().architecture +
                           " has no norm before its MLP, whose weights the outliers could be compared with");
    const all_cores here;
    const auto magnitudes =
        dimension_means<hook::resid_mid>(model, ids, here.cut, first_position ? every_position : position_range{});
    std::vector<layer_outliers> layers;
    for (std::size_t k = 0; k < magnitudes.rows(); ++k)
        layers.push_back(outliers_of(magnitudes.row(k), model.layers()->layer(k).rest->gamma(block_norm::mlp)));
    return layers;
}

model_config tiny_config_of_groups() {
    model_config config = tiny_config<llama>();
    config.block.ffn_width = 192; // whole groups of 64
    return config;
}

template <class W>
transformer<llama, W> tiny(float sharpness = 1) {
    constexpr std::uint64_t seed = 1;
    const model_config config = tiny_config_of_groups();
    const auto model = std::make_shared<const transformer<llama, W>>(tiny_model<llama, W>(config, seed));
    std::vector<float> final_norm(model->final_norm().begin(), model->final_norm().end());
    for (float& gamma : final_norm) gamma *= sharpness;
    const auto part = [&](W const& of_model) { return std::shared_ptr<const W>(model, &of_model); };
    return {config, model->layers(), part(model->embedding()), std::move(final_norm), part(model->head())};
}

template <class Model>
std::int32_t most_likely_next(Model const& model, std::span<const std::int32_t> ids) {
    record<hook::logits> said;
    model.forward(ids, said);
    const auto last = said.template get<hook::logits>().row(ids.size() - 1);
    return static_cast<std::int32_t>(std::ranges::max_element(last) - last.begin());
}

/// From hard to easy: of row n of N, a share of n/N is what the tiny model itself would say next, the rest any token.
matrix<std::int32_t> made_up_ids(std::size_t rows, std::size_t tokens, std::uint64_t seed = 2) {
    const auto model = tiny<packed_matrix<dense<float>>>();
    matrix<std::int32_t> all(rows, tokens);
    random_generator random(seed);
    for (std::size_t n = 0; n < rows; ++n) {
        const double share = static_cast<double>(n) / static_cast<double>(rows);
        const auto ids = all.row(n);
        for (std::size_t t = 0; t < tokens; ++t)
            ids[t] = t > 0 && random.uniform() < share
                         ? most_likely_next(model, ids.first(t))
                         : static_cast<std::int32_t>(random.below(model.config().vocabulary));
    }
    return all;
}

document_rows made_up_documents() {
    constexpr std::size_t topics = 7;
    auto documents = document_rows::numbered(made_up_ids(40, 24));
    for (std::size_t n = 0; n < documents.size(); ++n)
        documents.topics[n] = std::string("topic ") + static_cast<char>('A' + n % topics);
    return documents;
}

/// Questions of three choices behind a prompt, any of which may be the right one.
document_rows made_up_choices() {
    constexpr std::size_t questions = 80, choices = 3, prompt = 12, choice = 3;
    const auto prompts = made_up_ids(questions, prompt, 4);
    random_generator random(5);
    token_rows ids;
    std::vector<kept_values> kept{{choice_name, {}}, {is_answer_name, {}}};
    for (std::size_t q = 0; q < questions; ++q) {
        const auto right = static_cast<std::size_t>(random.below(choices));
        for (std::size_t c = 0; c < choices; ++c) {
            std::vector<std::int32_t> row(prompts.row(q).begin(), prompts.row(q).end());
            for (std::size_t t = 0; t < choice; ++t) row.push_back(static_cast<std::int32_t>(random.below(256)));
            ids.add(row, prompt);
            kept[0].values.push_back(std::to_string(c));
            kept[1].values.push_back(c == right ? "1" : "0");
        }
    }
    auto all = document_rows::numbered(std::move(ids));
    for (std::size_t n = 0; n < all.size(); ++n) all.rows[n] = n / choices;
    all.kept = std::move(kept);
    return all;
}

/// Ids as words.
std::string made_up_text(std::span<const std::int32_t> ids) {
    std::string text;
    for (const std::int32_t id : ids) text += " w" + std::to_string(id);
    return text;
}

/// Prompts whose right answer is what the model says, or for two of five something else, of rising popularity.
template <class Architecture>
finished_questions ask_made_up_questions(study_model<Architecture> const& model, chosen_methods const& methods) {
    constexpr std::size_t questions = 400, tokens = 3, prompt = 10;
    const generation_end until{.most_tokens = tokens};
    const auto prompts = made_up_ids(questions, prompt, 6);
    random_generator random(7);
    run_results run;
    run.documents = document_rows::numbered(prompts);
    run.documents.kept = {{"seed", {}}, {"question", {}}, {"answers", {}}, {"popularity", {}}};
    std::vector<std::vector<std::string>> answers;
    for (std::size_t n = 0; n < questions; ++n) {
        const auto said = generate(model, prompts.row(n), until);
        answers.push_back({random.uniform() < 0.6 ? made_up_text(said.ids) : "something else"});
        const std::vector<std::string> values{"1", made_up_text(prompts.row(n)), json(answers.back()).dump(),
                                              std::to_string(std::pow(10.0, 2 + 3 * random.uniform()))};
        for (std::size_t k = 0; k < values.size(); ++k) run.documents.kept[k].values.push_back(values[k]);
    }
    run.manifest.setting = {{"kind", questions_kind}, {"full", ""},         {"seeds", {1}}, {"shots", 0},
                            {"bucket_edges", json()}, {"bucket_least", 130}};
    for (auto const& m : methods.all) run.manifest.methods.push_back({m.name, m.text()});
    run.manifest.columns = columns_of_questions();
    run.manifest.kept = names_of(run.documents.kept);
    run.manifest.positions = tokens;
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods),
                              size_of_run(run.manifest, run.documents, 0));
    const auto models = models_of(model, methods);
    for (std::size_t v = 0; v < models.size(); ++v) {
        const auto answering = model.with_layers(models[v].layers);
        std::vector<std::vector<std::int32_t>> all;
        for (std::size_t n = 0; n < questions; ++n) all.emplace_back(prompts.row(n).begin(), prompts.row(n).end());
        generate_each(answering, std::span<const std::vector<std::int32_t>>(all), until, 16,
                      [&](std::size_t n, generated_text const& given) {
                          results_row row(run.table, v, n);
                          write_answer(given, made_up_text(given.ids), answers[n], tokens, row);
                          row.finish();
                      });
    }
    run.texts =
        token_texts(ids_of(run.documents, run.table), [](std::int32_t id) { return " w" + std::to_string(id); });
    return make_questions(std::move(run));
}

/// The methods of a program that is given no model.
chosen_methods made_up_choice(std::span<const method> methods) {
    chosen_methods chosen(methods);
    if (std::ranges::none_of(methods, needs_documents)) return chosen;
    const auto ids = made_up_ids(16, 48, 3);
    const auto documents = std::make_shared<documents_as_ids>();
    for (std::size_t n = 0; n < ids.rows(); ++n) documents->emplace_back(ids.row(n).begin(), ids.row(n).end());
    for (std::size_t v = 0; v < methods.size(); ++v)
        if (needs_documents(methods[v])) chosen.documents[v] = documents;
    return chosen;
}

/// A tiny model of so many layers and 16 times as much width as heads.
template <class Architecture>
named_study measure_tiny(std::string name, std::span<const method> methods, std::size_t layers, std::size_t heads) {
    constexpr std::uint64_t seed = 1;
    model_config config = tiny_config<Architecture>();
    config.layers = layers;
    config.block.width = 16 * heads;
    config.block.heads = heads;
    config.block.ffn_width = 3 * config.block.width;
    return {std::move(name), measure(tiny_model<Architecture, study_matrix>(config, seed), made_up_choice(methods),
                                     made_up_documents())};
}

/// "runs/qwen/" → "qwen".
std::string name_of_run(std::filesystem::path const& folder) {
    const auto path = folder.lexically_normal();
    return (path.has_filename() ? path : path.parent_path()).filename().string();
}

document_rows documents_of(request const& asked, checkpoint const& source) {
    const tokenizer t = source.load_tokenizer();
    return select_documents(asked.data, &t, t.adds_bos() ? t.bos() : std::nullopt, source.config().vocabulary,
                            asked.tokens, asked.examples)
        .documents;
}

/// The methods that were asked for, and what they are calibrated on, without the documents of the study.
/// Errors: those of method_documents.
chosen_methods choice_of(request const& asked, checkpoint const& source, document_rows const* study) {
    chosen_methods chosen(asked.methods);
    if (std::ranges::none_of(asked.methods, needs_documents)) return chosen;
    const tokenizer t = source.load_tokenizer();
    calibration_request from;
    if (!asked.calibration.empty()) from.file = asked.calibration;
    method_documents documents(from, calibration_model_of(source.config(), &t, t.first_token(bos_policy::automatic)),
                               study);
    for (std::size_t v = 0; v < asked.methods.size(); ++v) {
        if (!needs_documents(asked.methods[v])) continue;
        const auto set = documents.of(asked.methods[v]);
        chosen.documents[v] = {set, &set->documents};
    }
    return chosen;
}

} // namespace

finished_study measure_study(request const& asked) {
    if (asked.model.empty())
        return measure(tiny<study_matrix>(asked.sharpness), made_up_choice(asked.methods), made_up_documents());
    const checkpoint source(asked.model);
    auto documents = documents_of(asked, source);
    const auto methods = choice_of(asked, source, &documents);
    return visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return measure(study_model<Architecture>(source, true), methods, std::move(documents));
    });
}

std::vector<named_study> measure_sizes(request const& asked) {
    std::vector<named_study> all;
    if (!asked.model.empty()) {
        all.push_back({name_of_run(asked.model), measure_study(asked)});
    } else if (asked.runs.empty()) {
        all.push_back(measure_tiny<llama>("llama, width 64", asked.methods, 5, 4));
        all.push_back(measure_tiny<llama>("llama, width 128", asked.methods, 12, 8));
        all.push_back(measure_tiny<olmo2>("olmo2, width 64", asked.methods, 6, 4));
    }
    for (auto const& run : asked.runs) all.push_back({name_of_run(run), make_study(read_run(run))});
    return all;
}

located_study measure_location(request const& asked, location_request wanted) {
    if (asked.model.empty())
        return locate(tiny<study_matrix>(asked.sharpness), made_up_choice(asked.methods), made_up_documents(), wanted);
    const checkpoint source(asked.model);
    auto documents = documents_of(asked, source);
    const auto methods = choice_of(asked, source, &documents);
    return visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return locate(study_model<Architecture>(source, true), methods, std::move(documents), wanted);
    });
}

std::optional<text_losses> measure_text(request const& asked) {
    constexpr std::size_t window = 2048;
    if (asked.model.empty()) return measure(tiny<study_matrix>(), made_up_choice(asked.methods), made_up_ids(12, 48));
    if (asked.text.empty()) return std::nullopt;
    const checkpoint source(asked.model);
    const tokenizer t = source.load_tokenizer();
    const auto windows =
        cut_windows(read_text(asked.text, true), asked.text.string(), t, t.adds_bos() ? t.bos() : std::nullopt, window);
    check_rows(asked.text.string(), t, windows.ids.span(), source.config().vocabulary);
    const auto methods = choice_of(asked, source, nullptr);
    return visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return measure(study_model<Architecture>(source, true), methods, windows.ids);
    });
}

documents_and_choices measure_choices(request const& asked) {
    if (!asked.model.empty() || (!asked.runs.empty() && asked.runs.size() != 2))
        throw option_error("two finished runs are expected, the first of documents, the second of questions of several "
                           "choices; " +
                           counted(asked.runs.size(), "run") + " was found");
    if (asked.runs.empty()) {
        const auto model = tiny<study_matrix>();
        const auto methods = made_up_choice(asked.methods);
        return {measure(model, methods, made_up_documents()), measure(model, methods, made_up_choices())};
    }
    documents_and_choices found{make_study(read_run(asked.runs[0])), make_study(read_run(asked.runs[1]))};
    if (!choices_of(found.choices))
        throw option_error(asked.runs[1].string() +
                           ": a run of questions of several choices is expected, one of documents was found");
    return found;
}

finished_questions measure_questions(request const& asked) {
    if (!asked.model.empty() || asked.runs.size() > 1)
        throw option_error("a finished run of bitlens popqa is expected; " + counted(asked.runs.size(), "run") +
                           " was found");
    if (!asked.runs.empty()) return make_questions(read_run(asked.runs[0]));
    return ask_made_up_questions(tiny<study_matrix>(4), made_up_choice(asked.methods));
}

std::vector<layer_outliers> measure_outliers(request const& asked) {
    if (asked.model.empty())
        return outliers_of_layers(tiny<study_matrix>(), made_up_documents().ids, asked.first_position);
    const checkpoint source(asked.model);
    const auto documents = documents_of(asked, source);
    return visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return outliers_of_layers(study_model<Architecture>(source, true), documents.ids, asked.first_position);
    });
}

} // namespace bitlens::paper
