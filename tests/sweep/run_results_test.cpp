#include "bitlens/sweep/run_results.hpp"

#include "bitlens/sweep/run_arrays.hpp"
#include "run_for_test.hpp"
#include <algorithm>

#include <cmath>
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
        read_run(folder.path());
    } catch (format_error const& e) {
        return e.what();
    }
    return {};
}

bool says(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("a run that another program wrote is read by its declaration") {
    const auto run = read_run(test::golden_run());
    CHECK(run.size() == 40);
    CHECK(run.layers() == 6);
    CHECK(run.manifest.setting.at("seed") == 1);
    CHECK(run.documents.rows[3] == 6);
    CHECK(run.documents.names[0] == "=HYPERLINK(1)");
    CHECK(run.documents.topics[2] == "");
    CHECK(run.documents.topics[3] == "Literature, \"quoted\"");
    REQUIRE(run.methods().size() == 3);
    CHECK(run.methods()[2] == run_method{"mine", "rtn4-g64"});
    CHECK(std::isnan(run.table.of_layers("kurtosis_r")(2, 5)));
    CHECK_FALSE(std::isnan(run.table.of_layers("kurtosis_r")(2, 4)));
    CHECK(run.table.of_layers("mse_nf3-g64").rows == 6);
    CHECK(run.table.is_complete());
}

TEST_CASE("tokens have ids, scores and bytes") {
    const auto run = read_run(test::golden_run());
    CHECK(run.documents.ids.longest() == 24);
    CHECK(run.texts[run.documents.ids(0, 0)] == "<script>alert(1)</script>");
    CHECK(run.texts[run.documents.ids(0, 2)] == std::string_view("\0\x1B[31m", 6));
    CHECK(run.table.ids_of_positions("top_mine").cols == 23);
    CHECK_THROWS_AS(run.texts[1], format_error);
    double sum = 0;
    for (const float x : run.table.of_positions("nll_nf3-g64").row(7)) sum += double{x};
    CHECK(sum / 23 == doctest::Approx(run.table.of_documents("nll_nf3-g64")[7]).epsilon(1e-12)); // their mean
}

TEST_CASE("a missing or wrong column, key or array is named with its file") {
    auto complaint = complaint_after("examples.csv", ",norm_z_l1,", ",norm_q_l1,");
    CHECK(says(complaint, "examples.csv: no column 'norm_z_l1'"));
    complaint = complaint_after("examples.csv", ",norm_r_l0,", ",norm_r_first,");
    CHECK(says(complaint, "examples.csv: no column 'norm_r_l0'"));
    complaint = complaint_after("examples.csv", ",mse_mine_l5", ",mse_mine_l6");
    CHECK(says(complaint, "examples.csv: no column 'mse_mine_l5'"));
    complaint = complaint_after("examples.csv", "doc-1,<b>Food</b>,24,100,", "doc-1,<b>Food</b>,24,100,nan");
    CHECK(says(complaint, "examples.csv:3: column 'nll_full' holds 'nan"));
    complaint = complaint_after("examples.csv", "doc-1,<b>Food</b>,24,", "doc-1,<b>Food</b>,25,");
    CHECK(says(complaint, "examples.csv:3: column 'tokens' holds '25', expected 24 as in "));
    complaint = complaint_after("manifest.json", "\"name\": \"mine\"", "\"name\": \"yours\"");
    CHECK(says(complaint, "examples.csv: column 'nll_mine' belongs to no method of manifest.json"));
    complaint = complaint_after("manifest.json", "\"methods\"", "\"others\"");
    CHECK(says(complaint, "manifest.json: key \"methods\""));
    complaint = complaint_after("manifest.json", "\"columns\"", "\"others\"");
    CHECK(says(complaint, "manifest.json: key \"columns\""));
    complaint = complaint_after("manifest.json", "\"per\": \"layer\"", "\"per\": \"stratum\"");
    CHECK(says(complaint,
               "manifest.json: columns: key \"per\": \"stratum\" was found, expected document, layer, position"));
    complaint = complaint_after("tokens.npz", "nll_mine.npy", "nll_mime.npy"); // in the local header only
    CHECK(says(complaint, "tokens.npz"));
    CHECK(complaint_after("manifest.json", "0.1.0", "0.2.0") == "");
}

TEST_CASE("a method of the table that the manifest does not know is refused") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 3, {"a", "b"}, [](std::size_t i, std::size_t) { return 0.5 * static_cast<double>(i); },
        [](std::size_t) { return 1.0; });
    CHECK(read_run(folder.path()).methods().size() == 2);
    test::replace_in(folder.path() / "manifest.json", "{\"name\":\"a\",\"spec\":\"a\"},", "");
    CHECK_THROWS_WITH_AS(
        read_run(folder.path()),
        ((folder.path() / "examples.csv").string() + ": column 'nll_a' belongs to no method of manifest.json").c_str(),
        format_error);
}

TEST_CASE("a method of the manifest that the files do not have is unfinished") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 3, {"a"}, [](std::size_t, std::size_t) { return 0.5; }, [](std::size_t) { return 1.0; });
    test::replace_in(folder.path() / "manifest.json", "{\"name\":\"a\",\"spec\":\"a\"}",
                     "{\"name\":\"a\",\"spec\":\"a\"},{\"name\":\"b\",\"spec\":\"b\"}");
    const auto run = read_run(folder.path());
    CHECK(run.unfinished == std::vector<std::string>{"b"});
    CHECK(run.methods() == std::vector<run_method>{{"a", "a"}});
    CHECK(run.table.variants() == std::vector<std::string>{"full", "a"});
}

TEST_CASE("numbers that no run holds are refused, so that sums of their squares are finite") {
    CHECK(says(complaint_after("examples.csv", "doc-1,<b>Food</b>,24,100,", "doc-1,<b>Food</b>,24,100,1e99"),
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

TEST_CASE("keys of the data are columns of text that come back, whatever they are called and hold") {
    const test::temporary_folder folder;
    auto run = test::made_up_run(
        2, {"a"}, [](std::size_t, std::size_t) { return 0.5; }, [](std::size_t) { return 1.0; });
    // Names that look like columns of a method, or of a layer that the model does not have.
    run.documents.kept = {{"url", {"=1+1", ""}},
                          {"=sum", {std::string("a\0\"b\",\r\n", 9), "'-x"}},
                          {"nll_of_others", {"x", "y"}},
                          {"norm_r_l2", {"", "1e999"}},
                          {"mse_a_l2", {"", ""}}};
    run.manifest.kept = names_of(run.documents.kept);
    const auto write = [&] {
        write_run_tables(folder.path(), run.documents, run.table, run.texts);
        write_file_atomically(folder / "manifest.json", to_json(run.manifest).dump());
    };
    write();
    const auto header = test::read_bytes(folder / "examples.csv");
    CHECK(header.starts_with("example,id,topic,url,'=sum,nll_of_others,norm_r_l2,mse_a_l2,tokens,bytes,nll_full,"));
    const auto again = read_run(folder.path());
    CHECK(again.manifest == run.manifest);
    CHECK(again.layers() == 2);
    REQUIRE(again.documents.kept.size() == run.documents.kept.size());
    for (std::size_t k = 0; k < again.documents.kept.size(); ++k) {
        CHECK(again.documents.kept[k].name == run.documents.kept[k].name);
        CHECK(again.documents.kept[k].values == run.documents.kept[k].values);
    }
    CHECK(first_difference(run.manifest, {run.manifest.setting, {}, run.manifest.columns, {"url"}})
              ->starts_with("keep: [\"url\",\"=sum\""));
    auto without = run.manifest;
    without.kept.clear();
    CHECK(first_difference(without, run.manifest)->starts_with("keep: nothing in the folder, "));
    CHECK_FALSE(to_json(without).contains("keep"));

    run.documents.kept[0].values.pop_back();
    CHECK_THROWS_WITH_AS(write(), "write_run_tables: 1 values of the key \"url\", expected 2", shape_error);
    for (const char* key : {"example", "id", "topic", "tokens", "bytes", "nll_a", "error_a", "growth_r", "norm_r_l1"}) {
        run.documents.kept = {{key, {"", ""}}};
        CHECK_THROWS_WITH_AS(write(), doctest::Contains("is a column of examples.csv already"), option_error);
    }
    run.documents.kept = {{"x", {"", ""}}, {"x", {"", ""}}};
    CHECK_THROWS_WITH_AS(write(), "keys to keep: \"x\" is named twice", option_error);
    run.documents.kept = {{"", {"", ""}}};
    CHECK_THROWS_AS(write(), option_error);
    test::replace_in(folder / "manifest.json", "\"keep\":[\"url\"", "\"keep\":[\"id\"");
    CHECK_THROWS_WITH_AS(read_run(folder.path()),
                         doctest::Contains("manifest.json: keys to keep: \"id\" is a column of examples.csv already"),
                         format_error);
    test::replace_in(folder / "manifest.json", "\"keep\":[\"id\"", "\"keep\":[\"uri\"");
    CHECK_THROWS_WITH_AS(read_run(folder.path()), doctest::Contains("examples.csv: no column 'uri'"), format_error);
}

TEST_CASE("what is written comes back bit for bit, with what is not finite") {
    const test::temporary_folder folder;
    const double infinite = std::numeric_limits<double>::infinity();
    const auto error = [&](std::size_t i, std::size_t) { return i == 1 ? infinite : 0.1 * static_cast<double>(i); };
    const auto other = [](std::size_t i) { return i == 2 ? std::nan("") : 1.0 / 3 + static_cast<double>(i); };
    const auto run = test::made_up_run(4, {"a"}, error, other);
    test::write_run(folder.path(), 4, {"a"}, error, other);
    const auto again = read_run(folder.path());
    CHECK(again.manifest == run.manifest);
    CHECK(again.documents.rows == run.documents.rows);
    CHECK(std::ranges::equal(again.documents.ids.all(), run.documents.ids.all()));
    REQUIRE(again.table.columns().size() == run.table.columns().size());
    const auto same = [](auto x, auto y) { return x == y || (std::isnan(x) && std::isnan(y)); };
    for (std::size_t c = 0; c < run.table.columns().size(); ++c) {
        auto const &a = run.table.columns()[c], &b = again.table.columns()[c];
        CAPTURE(a.name);
        CHECK(std::ranges::equal(a.numbers, b.numbers, same));
        CHECK(std::ranges::equal(a.scores, b.scores, same));
        CHECK(a.ids == b.ids);
    }
    CHECK(std::isnan(again.table.of_documents("error_a")[1]));
    CHECK(std::isinf(again.table.of_positions("nll_a")(1, 1)));
    CHECK(test::read_bytes(folder / "examples.csv").find("inf") == std::string::npos);
}

TEST_CASE("documents of unequal length, and prompts, come back as they were; a file that says otherwise is refused") {
    const test::temporary_folder folder;
    token_rows ids;
    ids.add(std::vector<std::int32_t>{5, 6, 7, 8}, 2);
    ids.add(std::vector<std::int32_t>{9, 4});
    ids.add(std::vector<std::int32_t>{1, 2, 3}, 2);
    run_results run;
    run.documents = document_rows::numbered(ids);
    run.manifest = {json::object(),
                    {},
                    {{"loss", column_shape::document, column_owner::full_model, "", ""},
                     {"nll", column_shape::position, column_owner::full_model, "", ""},
                     {"top", column_shape::position, column_owner::full_model, "", "", true}}};
    run.table = results_table(run.manifest.columns, {"full"}, results_size::of(ids, 0));
    CHECK(run.table.positions() == 3);
    for (std::size_t n = 0; n < 3; ++n) {
        results_row row(run.table, 0, n);
        const auto scored = ids.scored(n);
        std::vector<double> nll(scored.count(), 0.5);
        std::vector<std::int32_t> top(scored.count(), 7);
        row.number("loss", 0.5);
        row.positions<double>("nll", nll);
        row.positions<std::int32_t>("top", top);
        row.finish();
        nll.push_back(1);
        results_row longer(run.table, 0, n);
        CHECK_THROWS_AS(longer.positions<double>("nll", nll), shape_error);
    }
    const auto write = [&] {
        run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t) { return std::string("x"); });
        write_run_tables(folder.path(), run.documents, run.table, run.texts);
        write_file_atomically(folder / "manifest.json", to_json(run.manifest).dump());
    };
    write();
    const auto again = read_run(folder.path());
    REQUIRE(again.size() == 3);
    for (std::size_t n = 0; n < 3; ++n) {
        CHECK(std::ranges::equal(again.documents.ids.row(n), ids.row(n)));
        CHECK(again.documents.ids.scored(n) == ids.scored(n));
        CHECK(again.table.scored(n) == ids.scored(n));
    }
    CHECK(again.table.positions() == 3);
    CHECK(std::isnan(again.table.of_positions("nll")(0, 0)));
    CHECK(again.table.of_positions("nll")(0, 1) == 0.5f);
    CHECK(again.table.ids_of_positions("top")(1, 2) == token_rows::no_token);
    const run_arrays arrays(again);
    CHECK(arrays.ids()(1, 2) == -1);
    CHECK(arrays.ids()(0, 3) == 8);

    const std::string row = "\n1,,,2,,1,";
    test::replace_in(folder / "examples.csv", row, "\n1,,,3,,1,");
    CHECK_THROWS_WITH_AS(read_run(folder.path()), doctest::Contains("2 as in "), format_error);
    test::replace_in(folder / "examples.csv", "\n1,,,3,,1,", "\n1,,,2,,2,");
    CHECK_THROWS_WITH_AS(read_run(folder.path()), doctest::Contains("from 1 to 1 of its tokens"), format_error);
    test::replace_in(folder / "examples.csv", "\n1,,,2,,2,", "\n1,,,2,,0,");
    CHECK_THROWS_AS(read_run(folder.path()), format_error);

    // Numbers of so many positions each, whatever the lengths of the documents are.
    run.manifest.positions = 5;
    run.table = results_table(run.manifest.columns, {"full"}, size_of_run(run.manifest, run.documents, 0));
    write();
    CHECK(read_run(folder.path()).table.positions() == 5);
    CHECK(read_run(folder.path()).table.scored(1) == scored_positions{0, 5});
    CHECK(read_run(folder.path()).manifest == run.manifest);
    run.manifest.positions.reset();
    CHECK(first_difference(read_run(folder.path()).manifest, run.manifest) ==
          "positions: 5 in the folder, nothing asked for");
    // No room is made for more than the files hold.
    test::replace_in(folder / "manifest.json", "\"positions\":5", "\"positions\":1152921504606846976");
    CHECK_THROWS_WITH_AS(read_run(folder.path()), doctest::Contains("expected (3, 1152921504606846976)"), format_error);
    test::replace_in(folder / "manifest.json", "\"positions\":1152921504606846976", "\"positions\":0");
    CHECK_THROWS_WITH_AS(read_run(folder.path()), doctest::Contains("key \"positions\": at least 1 is expected"),
                         format_error);
}
