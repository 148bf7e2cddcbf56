#include <bitlens/recipes.hpp>

#include <array>
#include <cstdio>
#include <vector>

int main() {
    // Rows of token ids, as `--calibration ids.npy` takes them; of a text file they are made with the model's
    // tokenizer.
    constexpr std::size_t rows = 40, tokens = 64, vocabulary = 500;
    bitlens::random_generator random(1);
    std::vector<std::int32_t> ids(rows * tokens);
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(vocabulary));
    bitlens::write_npy<std::int32_t>("ids.npy", std::array{rows, tokens}, ids);

    auto set = bitlens::read_calibration("ids.npy", {.vocabulary = vocabulary}, {.tokens = 2000});
    std::printf("%s\n", set.summary().c_str());

    // A study of a part of row 7, and of a row that is not among them.
    bitlens::matrix<std::int32_t> studied(2, 32);
    for (std::size_t t = 0; t < 32; ++t) {
        studied.row(0)[t] = ids[7 * tokens + 20 + t];
        studied.row(1)[t] = static_cast<std::int32_t>(random.below(vocabulary));
    }
    leave_out(set, bitlens::document_rows::numbered(std::move(studied)));
    for (auto const& repeat : set.in_study)
        std::printf("row %zu has %.0f %% of document %zu of the study\n", repeat.row, 100 * repeat.share,
                    repeat.study_row);
    std::printf("%s\n", set.summary().c_str());
}
