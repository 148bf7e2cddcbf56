#include "bitlens/analysis/run_results.hpp"
#include "bitlens/analysis/run_tokens.hpp"

#include "run_for_test.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace bitlens;

namespace {

/// What reading the golden run says after one change to one of its files.
std::string complaint_after(std::string const& file, std::string const& from, std::string const& to) {
    const test::temporary_folder folder;
    std::filesystem::copy(test::golden_run(), folder.path());
    test::replace_in(folder.path() / file, from, to);
    try {
        const auto run = read_run(folder.path());
        run_tokens(folder.path() / "tokens.npz", run);
    } catch (format_error const& e) {
        return e.what();
    }
    return {};
}

bool says(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("a run is read by column name") {
    const auto run = read_run(test::golden_run());
    CHECK(run.size() == 40);
    CHECK(run.layers() == 6);
    CHECK(run.seed == 1);
    CHECK_FALSE(run.first_position);
    CHECK(run.full == "GGUF, Q4_1 and F32");
    CHECK(run.example[3] == 6);
    CHECK(run.id[0] == "=HYPERLINK(1)");
    CHECK(run.topic[2] == "");
    CHECK(run.topic[3] == "Literature, \"quoted\"");
    REQUIRE(run.methods.size() == 3);
    CHECK(run.methods[2].name == "mine");
    CHECK(run.methods[2].spec == "rtn4-g64");
    CHECK(run.kurtosis_r[2][5] == std::nullopt);
    CHECK(run.kurtosis_r[2][4].has_value());
    CHECK(run.methods[1].mse.size() == 6);
}

TEST_CASE("tokens have ids, scores and bytes") {
    const auto run = read_run(test::golden_run());
    const run_tokens tokens(test::golden_run() / "tokens.npz", run);
    CHECK(tokens.ids(0).size() == 24);
    CHECK(tokens.bytes(tokens.ids(0)[0]) == "<script>alert(1)</script>");
    CHECK(tokens.bytes(tokens.ids(0)[2]) == std::string_view("\0\x1B[31m", 6));
    CHECK(tokens.nll(0, "full").size() == 23);
    CHECK(tokens.top(39, "mine").size() == 23);
    CHECK_THROWS_AS(tokens.bytes(1), format_error);
    double sum = 0;
    for (const float x : tokens.nll(7, "nf3-g64")) sum += double{x};
    CHECK(sum / 23 == doctest::Approx(run.methods[1].nll[7]).epsilon(1e-12)); // the column is their mean
}

TEST_CASE("a missing or wrong column, key or array is named with its file") {
    auto complaint = complaint_after("examples.csv", ",norm_z_l1,", ",norm_q_l1,");
    CHECK(says(complaint, "examples.csv: no column 'norm_z_l1'"));
    complaint = complaint_after("examples.csv", ",norm_r_l0,", ",norm_r_first,");
    CHECK(says(complaint, "examples.csv: no column 'norm_r_l0'"));
    complaint = complaint_after("examples.csv", ",mse_mine_l5", ",mse_mine_l6");
    CHECK(says(complaint, "examples.csv: no column 'mse_mine_l5'"));
    complaint = complaint_after("examples.csv", "doc-1,<b>Food</b>,24,", "doc-1,<b>Food</b>,24,nan");
    CHECK(says(complaint, "examples.csv:3: column 'nll_full' holds 'nan"));
    complaint = complaint_after("examples.csv", "doc-1,<b>Food</b>,24,", "doc-1,<b>Food</b>,24,1");
    CHECK(says(complaint, "examples.csv:3: column 'error_rtn3-g64'"));
    CHECK(says(complaint, "expected nll_rtn3-g64 - nll_full"));
    complaint = complaint_after("examples.csv", "doc-1,<b>Food</b>,24,", "doc-1,<b>Food</b>,25,");
    CHECK(says(complaint, "tokens.npz: array 'ids' has rows of 24 tokens, expected 25"));
    complaint = complaint_after("manifest.json", "\"name\": \"mine\"", "\"name\": \"yours\"");
    CHECK(says(complaint, "examples.csv: column 'nll_mine' belongs to no method of manifest.json"));
    complaint = complaint_after("manifest.json", "\"seed\"", "\"grain\"");
    CHECK(says(complaint, "manifest.json"));
    CHECK(says(complaint, "seed"));
    complaint = complaint_after("manifest.json", "\"methods\"", "\"others\"");
    CHECK(says(complaint, "manifest.json: key \"methods\""));
    complaint = complaint_after("tokens.npz", "nll_mine.npy", "nll_mime.npy"); // in the local header only
    CHECK(says(complaint, "tokens.npz"));
    CHECK(complaint_after("manifest.json", "0.1.0", "0.2.0") == "");
}

TEST_CASE("a method of the table that the manifest does not know is refused") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 3, {"a", "b"}, [](std::size_t i, std::size_t) { return 0.5 * static_cast<double>(i); },
        [](std::size_t) { return 1.0; });
    CHECK(read_run(folder.path()).methods.size() == 2);
    test::replace_in(folder.path() / "manifest.json", "{\"name\":\"a\",\"spec\":\"a\"},", "");
    CHECK_THROWS_WITH_AS(
        read_run(folder.path()),
        ((folder.path() / "examples.csv").string() + ": column 'nll_a' belongs to no method of manifest.json").c_str(),
        format_error);
}

TEST_CASE("numbers that no run holds are refused, so that all that is made of a run is finite") {
    CHECK(says(complaint_after("examples.csv", "doc-1,<b>Food</b>,24,", "doc-1,<b>Food</b>,24,1e99"),
               "examples.csv:3: column 'nll_full' holds '1e99"));
}

TEST_CASE("two methods of one name are refused") {
    CHECK(says(complaint_after("manifest.json", "\"name\": \"nf3-g64\"", "\"name\": \"rtn3-g64\""),
               "manifest.json: methods: the name \"rtn3-g64\" is taken"));
    CHECK(says(complaint_after("manifest.json", "\"name\": \"nf3-g64\"", "\"name\": \"full\""), "is taken"));
}

TEST_CASE("a folder without a run is an io_error") {
    const test::temporary_folder folder;
    CHECK_THROWS_AS(read_run(folder.path()), io_error);
    std::filesystem::copy(test::golden_run(), folder.path());
    std::filesystem::remove(folder / "examples.csv");
    std::filesystem::create_directory(folder / "examples.csv");
    CHECK_THROWS_WITH_AS(read_run(folder.path()), doctest::Contains("examples.csv: is not a regular file"), io_error);
}
