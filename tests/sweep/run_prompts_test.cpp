#include "bitlens/sweep/run_prompts.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using prompted_weight = mixed_matrix<dense<float>>;
constexpr std::size_t prompts = 7, new_tokens = 3;

document_rows random_prompts() {
    random_generator random(11);
    token_rows ids;
    for (std::size_t n = 0; n < prompts; ++n) {
        std::vector<std::int32_t> row(2 + n % 4);
        for (auto& id : row) id = static_cast<std::int32_t>(random.below(256));
        ids.add(row);
    }
    return document_rows::numbered(ids);
}

run_manifest manifest_of_prompts() {
    return {json::object(),
            {{"again", "again"}},
            {{"margin", column_shape::document, column_owner::each_variant, "", ""},
             {"answer", column_shape::position, column_owner::each_variant, "", "", true}},
            {},
            new_tokens};
}

/// Runs both variants, which are one model, and stops after some blocks. Returns whether it came to the end.
bool run_both(transformer<llama, prompted_weight> const& model, std::filesystem::path const& path, prompt_cut cut,
              std::size_t most_blocks = 1000) {
    const run_folder folder(path);
    run_results run = begin_run(folder, manifest_of_prompts(), random_prompts(), 0);
    const generation_end until{.most_tokens = new_tokens};
    std::size_t blocks = 0;
    struct stopped {};
    try {
        for (std::size_t v = 0; v < 2; ++v)
            run_prompts(
                model, v, folder, run, until, cut,
                [&](std::size_t n, generated_text const& generated, results_row& row) {
                    CHECK(generated == bitlens::generate(model, std::as_const(run.documents.ids).row(n), until));
                    row.number("margin", double{generated.margin[0]});
                    row.positions<std::int32_t>("answer", generated.ids);
                },
                [&](std::size_t) {
                    if (++blocks == most_blocks) throw stopped{};
                });
    } catch (stopped const&) {
        return false;
    }
    finish_run(folder, run, [](std::int32_t id) { return std::to_string(id); });
    return true;
}

} // namespace

TEST_CASE("prompts of a run are generated from block by block; a run that was stopped goes on to the same bytes") {
    const auto model = tiny_model<llama, prompted_weight>(tiny_config<llama>(), 2);
    const test::temporary_folder whole, broken;
    REQUIRE(run_both(model, whole.path(), {100, 4, 2}));
    CHECK_FALSE(run_both(model, broken.path(), {2, 1, 1}, 2));
    CHECK_FALSE(run_both(model, broken.path(), {3, 3, 1}, 1));
    REQUIRE(run_both(model, broken.path(), {3, 2, 3}));
    for (const char* file : {"examples.csv", "tokens.npz", "manifest.json"})
        CHECK(test::read_bytes(whole / file) == test::read_bytes(broken / file));
    const auto run = read_run(whole.path());
    CHECK(run.table.positions() == new_tokens);
    CHECK(run.size() == prompts);
    for (std::size_t n = 0; n < prompts; ++n)
        CHECK(std::ranges::equal(run.table.ids_of_positions("answer_full").row(n),
                                 run.table.ids_of_positions("answer_again").row(n)));
    const run_folder folder(whole.path());
    CHECK_THROWS_AS(begin_run(
                        folder,
                        [] {
                            auto other = manifest_of_prompts();
                            other.positions = new_tokens + 1;
                            return other;
                        }(),
                        random_prompts(), 0),
                    option_error);
}
