#pragma once
/// Runs of made-up questions.

#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/question_columns.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace bitlens::test {

/// What variants answer: right(seed, question, variant), the full model being variant 0.
using right_answers = std::function<bool(std::size_t, std::size_t, std::size_t)>;

struct made_up_questions {
    std::size_t questions = 0;
    std::vector<std::string> methods{};
    right_answers contains = [](std::size_t, std::size_t, std::size_t) { return true; };
    std::optional<right_answers> exact{}; // else as contains
    std::function<std::optional<double>(std::size_t)> popularity = [](std::size_t) { return std::nullopt; };
    std::vector<std::uint64_t> seeds{7};
    json edges = nullptr;
    std::size_t least = 100;
    std::function<double(std::size_t, std::size_t)> nll = [](std::size_t, std::size_t) { return 0.5; }; // row, variant
};

/// Token 1 is " right", 2 " wrong", 3 a line end, 4 markup; a right answer is 1, a wrong one 4 2; both go on behind the
/// line end.
inline std::string token_for_test(std::int32_t id) {
    constexpr const char* texts[] = {"x", " right", " wrong", "\n", " <b>&"};
    return texts[static_cast<std::size_t>(id)];
}

inline run_results run_of(made_up_questions const& m) {
    constexpr std::size_t positions = 15;
    const std::size_t rows = m.questions * m.seeds.size();
    run_results run;
    token_rows prompts;
    for (std::size_t n = 0; n < rows; ++n) prompts.add(std::vector<std::int32_t>(3 + n % 4)); // unlike the answers' 15
    run.documents = document_rows::numbered(std::move(prompts));
    for (const char* key : {"seed", "question", "answers", "popularity"}) run.documents.kept.push_back({key, {}});
    for (std::size_t n = 0; n < rows; ++n) {
        const std::size_t q = n % m.questions;
        run.documents.rows[n] = q;
        run.documents.names[n] = "q" + std::to_string(q);
        run.documents.topics[n] = q % 2 == 0 ? "capital" : "author";
        auto& kept = run.documents.kept;
        kept[0].values.push_back(std::to_string(m.seeds[n / m.questions]));
        kept[1].values.push_back("What is <i>" + std::to_string(q) + "</i>?");
        kept[2].values.push_back(R"(["right", "the \"right\" one"])");
        const auto popularity = m.popularity(q);
        kept[3].values.push_back(popularity ? exact_text(*popularity) : "");
    }
    json const seeds = m.seeds;
    run.manifest.setting = {{"kind", "questions"}, {"full", "F32"},           {"seeds", seeds},
                            {"shots", 15},         {"bucket_edges", m.edges}, {"bucket_least", m.least}};
    for (auto const& name : m.methods) run.manifest.methods.push_back({name, name});
    run.manifest.columns = columns_of_questions();
    run.manifest.positions = positions;
    run.manifest.kept = {"seed", "question", "answers", "popularity"};
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods),
                              size_of_run(run.manifest, run.documents, 0));
    for (stored_column& s : run.table.columns())
        for (std::size_t n = 0; n < rows; ++n) {
            const std::size_t k = n / m.questions, q = n % m.questions;
            const bool contains = m.contains(k, q, s.variant);
            if (s.declared.holds_ids) {
                auto const at = s.ids.begin() + static_cast<std::ptrdiff_t>(n * positions);
                std::fill_n(at, positions, -1);
                std::ranges::copy(contains ? std::vector<std::int32_t>{1, 3, 0} : std::vector<std::int32_t>{4, 2, 3, 0},
                                  at);
            } else if (s.declared.name == "contains") {
                s.numbers[n] = contains ? 1 : 0;
            } else if (s.declared.name == "exact") {
                s.numbers[n] = (m.exact ? (*m.exact)(k, q, s.variant) : contains) ? 1 : 0;
            } else if (s.declared.name == "answer_nll") {
                s.numbers[n] = m.nll(n, s.variant);
            }
        }
    for (std::size_t v = 0; v < run.table.variants().size(); ++v)
        for (std::size_t n = 0; n < rows; ++n) run.table.set_finished(v, n);
    run.texts = token_texts({0, 1, 2, 3, 4}, token_for_test);
    return run;
}

inline void write_questions(std::filesystem::path const& folder, made_up_questions const& m) {
    const run_results run = run_of(m);
    write_run_tables(folder, run.documents, run.table, run.texts);
    write_file_atomically(folder / "manifest.json", to_json(run.manifest).dump());
}

} // namespace bitlens::test
