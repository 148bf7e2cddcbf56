/// What is odd but allowed comes to the end of a study and has a report; what is not is refused before a model runs.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/sweep/run_results.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;
using test::check, test::shell;

namespace {

constexpr std::size_t tokens = 6, padding = 2000;

/// A model that has many more ids than its tokenizer has tokens, as published ones have some: of random weights, it
/// finds such an id most likely more often than not.
struct setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", texts;
    std::size_t vocabulary = test::write_tiny_model(model, 2, 1, padding);

    setting() {
        std::string lines;
        for (const char* text : {"the cat sat on the mat", "one two three four five six", "a dog saw a cat"})
            lines += "{\"text\": \"" + std::string(text) + "\"}\n";
        texts = folder.write("texts.jsonl", lines);
    }
    fs::path ids(std::string const& name, std::vector<std::int32_t> const& all) const {
        write_npy(folder / name, std::array{all.size() / tokens, tokens}, std::span<const std::int32_t>(all));
        return folder / name;
    }
};

setting const& here() {
    static const setting s;
    return s;
}

std::string in_shell(fs::path const& path) { return "'" + path.string() + "'"; }

std::string study_line(fs::path const& model, fs::path const& data, fs::path const& out,
                       std::string const& more = "--methods rtn3-g32", std::size_t length = tokens) {
    return "bitlens study --threads 1 --model " + in_shell(model) + " --data " + in_shell(data) + " --out " +
           in_shell(out) + " --tokens " + std::to_string(length) + " " + more;
}

/// That a study ends, that the same command finds it ended, and that its report is drawn again, the same.
/// Returns what the study said.
std::string check_finishes(std::string const& line, fs::path const& out) {
    CAPTURE(line);
    const auto result = shell(line);
    REQUIRE_MESSAGE(result.code == 0, result.text);
    const auto page = test::read_bytes(out / "report.html");
    CHECK(page.ends_with("</html>\n"));
    check(line, 0, {"report: "});
    check("bitlens report " + in_shell(out), 0, {"report: "});
    CHECK(test::read_bytes(out / "report.html") == page);
    return result.text;
}

} // namespace

TEST_CASE("numpy finds the numbers of a run again") {
    const test::temporary_folder folder;
    constexpr std::int32_t documents = 40;
    std::vector<std::int32_t> all;
    for (std::int32_t i = 0; i < documents * static_cast<std::int32_t>(tokens); ++i)
        all.push_back((7 * i * i + i / 3) % 400);
    const auto out = folder / "run";
    check(study_line(here().model, here().ids("many.npy", all), out, "--methods rtn3-g32,rtn2-g64,mine=nf4-g64-dq"), 0,
          {"report: "});
    const auto compared = shell("cmake -DMODULES=numpy -P " + in_shell(BITLENS_TESTS "/cmake/python.cmake") + " -- " +
                                in_shell(BITLENS_TESTS "/parity/run_with_numpy.py") + " " + in_shell(out) +
                                " --command '" BITLENS_COMMAND "' --documents 40 --model " + in_shell(here().model));
    CHECK_MESSAGE(compared.code == 0, compared.text);
    const bool is_skipped = compared.text.find("-- skipped: ") != std::string::npos;
    CHECK_MESSAGE((is_skipped || compared.text.find(", 0 columns and tables differ") != std::string::npos),
                  compared.text);
    if (is_skipped) return;
    auto summary = read_json_file(out / "summary.json");
    auto& number = summary["tables"]["methods"]["rows"][1]["mean_kl"];
    number = number.get<double>() * (1 + 1e-8);
    write_file_atomically(out / "summary.json", summary.dump());
    const auto changed = shell("python3 " + in_shell(BITLENS_TESTS "/parity/run_with_numpy.py") + " " + in_shell(out));
    CHECK(changed.code == 1);
    CHECK_MESSAGE(changed.text.find("FAIL table methods") != std::string::npos, changed.text);
}

TEST_CASE("keys of the data are kept as columns, and read in place of others") {
    const test::temporary_folder folder;
    const auto data = folder.write("d.jsonl", "{\"body\":\"the cat sat on the mat\",\"url\":\"=a\",\"score\":1.50}\n"
                                              "{\"body\":\"one two three four five six\",\"lang\":\"en\"}\n");
    const auto out = folder / "run";
    const std::string methods = "--methods rtn3-g32 ", keys = "--text-key body --id-key url --topic-key lang ";
    const auto line = study_line(here().model, data, out, methods + keys + "--keep url,score");
    check_finishes(line, out);
    const auto run = read_run(out);
    CHECK(run.documents.names == std::vector<std::string>{"=a", ""});
    CHECK(run.documents.topics == std::vector<std::string>{"", "en"});
    REQUIRE(run.documents.kept.size() == 2);
    CHECK(run.documents.kept[0].values == std::vector<std::string>{"=a", ""});
    CHECK(run.documents.kept[1].values == std::vector<std::string>{"1.50", ""});
    const json manifest = read_json_file(out / "manifest.json");
    CHECK(manifest.at("keep") == json({"url", "score"}));
    CHECK(manifest.at("keys") == json({{"text", "body"}, {"id", "url"}, {"topic", "lang"}}));
    check(study_line(here().model, data, out, methods + keys), 2,
          {"holds another run: keep: [\"url\",\"score\"] in the folder, nothing asked for"});
    check(study_line(here().model, data, out, methods + "--text-key body --keep url,score"), 2,
          {"holds another run: keys"});

    const auto plain = folder / "plain";
    const auto refused = [&](fs::path const& from, std::string const& more, int code, std::string const& words) {
        check(study_line(here().model, from, plain, methods + more), code, {words});
        CHECK_FALSE(fs::exists(plain));
    };
    for (const char* key : {"id", "bytes", "nll_full", "error_rtn3-g32", "mse_rtn3-g32_l1"})
        refused(data, "--keep url," + std::string(key), 2,
                "keys to keep: \"" + std::string(key) + "\" is a column of examples.csv already");
    refused(data, keys + "--keep url,url", 2, "\"url\" is named twice");
    refused(data, keys + "--keep uri", 2, "d.jsonl: none of the 2 rows read has the key \"uri\"");
    refused(data, "--text-key body --id-key uri", 2, "d.jsonl: none of the 2 rows read has the key \"uri\"");
    refused(data, "--text-key ''", 2, "the name of a key is expected");
    refused(data, "--text-key score", 1, "line 1: key \"score\": a string is expected, 1.5 was found");
    refused(here().ids("ids.npy", {1, 2, 3, 4, 5, 6}), "--keep url", 2, "token ids were found");
    refused(folder.write("d.txt", "the cat sat on the mat"), "--id-key url", 2,
            "the ending .txt is that of plain text");
    check_finishes(study_line(here().model, here().texts, plain, methods), plain);
    CHECK_FALSE(read_json_file(plain / "manifest.json").contains("keep"));
    CHECK_FALSE(read_json_file(plain / "manifest.json").contains("keys"));
}

TEST_CASE("an id that no token has may be the most likely one: tables and report show it") {
    const auto out = here().folder / "padded";
    check_finishes(study_line(here().model, here().texts, out), out);
    const auto run = read_run(out);
    std::size_t shown = 0;
    for (std::size_t n = 0; n < run.size(); ++n)
        for (const std::int32_t id : run.table.ids_of_positions("top_full").row(n))
            if (static_cast<std::size_t>(id) >= here().vocabulary) {
                CHECK(run.texts[id] == "<id " + std::to_string(id) + ">");
                ++shown;
            }
    CHECK(shown > 0);
    CHECK(test::read_bytes(out / "report.html").find("\"\\u003cid ") != std::string::npos);
    check("bitlens inspect " + in_shell(here().model), 0,
          {"of the " + std::to_string(here().vocabulary + padding) + " ids of the model " + std::to_string(padding) +
               " have no token",
           "refused       nothing"});
}

TEST_CASE("what a study can be given comes to its end") {
    const std::string text = "the cat sat on the mat and", line = "{\"text\": \"" + text + "\"}\n";
    const auto one = here().folder.write("one.jsonl", line);
    std::string twelve, odd;
    for (int i = 0; i < 12; ++i) twelve += line;
    const auto same = here().folder.write("same.jsonl", twelve);
    const std::vector<std::string> labels{R"("a\u0000b")",
                                          R"("=1+1")",
                                          R"("x\"y,\nz\r")",
                                          R"("\u202eabc")",
                                          R"("\ufffe")",
                                          R"("'=q")",
                                          R"("\u001b[31m")",
                                          R"("<b>&'")",
                                          R"("\ufeff")",
                                          R"("\r")",
                                          R"("\t")",
                                          "-7",
                                          "null",
                                          "\"\"",
                                          "12345678901234567890123"};
    for (auto const& label : labels)
        odd += "{\"text\": \"" + text + "\", \"id\": " + label + ", \"topic\": " + label + ", \"other\": NaN}\n";
    const auto odd_labels = here().folder.write("odd.jsonl", odd);
    const auto foreign = here().folder / "foreign\xFF.jsonl";
    fs::copy_file(one, foreign);

    const auto finishes = [&](std::string const& name, fs::path const& data, std::string const& more,
                              std::size_t length) {
        const auto out = here().folder / ("odd_" + name);
        check_finishes(study_line(here().model, data, out, more, length), out);
    };
    finishes("one_position", one, "--methods rtn3-g32", 2);
    finishes("bf16", one, "--methods rtn3-g32,nf4-g32-dq --arithmetic bf16", 2);
    finishes("equal_documents", same, "--methods rtn3-g32,rtn4-row --seed 18446744073709551615", tokens);
    finishes("equal_methods", same, "--methods a=rtn3-g32,A=rtn3-g32,.=rtn3-g32,..=nf3-g32,-=nf3-g32,_=rtn2-row-sym",
             2);
    finishes("labels", odd_labels, "--methods rtn3-g32 --first-position", tokens);
    finishes("name\xFF", foreign, "--methods rtn3-g32", tokens);
    CHECK(read_run(here().folder / "odd_labels").documents.names[0] == std::string("a\0b", 3));
    CHECK(read_run(here().folder / "odd_labels").documents.topics.back() == "12345678901234567890123");
}

TEST_CASE("a method's name is as long as the names of files can be, and a longer one refused before anything is read") {
    const std::string longest(longest_method_name, 'm');
    const auto out = here().folder / "long_name";
    check_finishes(study_line(here().model, here().texts, out, "--methods " + longest + "=rtn3-g32"), out);
    CHECK(fs::exists(out / "figures" / ("figure_01c_norm_h_density_" + longest + ".svg")));
    const auto longer = here().folder / "longer_name";
    check(study_line(here().model, here().texts, longer, "--methods m" + longest + "=rtn3-g32"), 2,
          {"the name has 201 letters; at most 200 are taken, because files are called by it"});
    CHECK_FALSE(fs::exists(longer));
}

TEST_CASE("what stands in the way of a file that is named after a method is said before the model runs") {
    const auto refused = [](fs::path const& out, std::vector<std::string> const& words) {
        check(study_line(here().model, here().texts, out), 1, words);
        CHECK_FALSE(fs::exists(out / "manifest.json"));
    };
    for (const char* name : {"errors.csv", "figure_01a_norm_r_rtn3-g32.csv", "figure_01b_norm_r_density_rtn3-g32.svg",
                             "figure_06_07_kurtosis_rtn3-g32.svg"}) {
        const auto out = here().folder / ("blocked_by_" + std::string(name)), blocked = out / "figures" / name;
        fs::create_directories(blocked);
        std::ofstream(out / ".lock");
        refused(out, {blocked.string() + ": "});
    }
    const auto out = here().folder / "blocked_by_a_file";
    fs::create_directories(out);
    std::ofstream(out / "figures") << "not a folder";
    std::ofstream(out / ".lock");
    refused(out, {(out / "figures").string() + ": "});

    constexpr std::size_t longest_path = 4095, of_a_folder = 200;
    fs::path deep = here().folder / "deep";
    while (deep.string().size() + 2 * of_a_folder < longest_path) deep /= std::string(of_a_folder, 'd');
    deep /= std::string(longest_path - deep.string().size() - 40, 'd'); // there is room for RUN/manifest.json only
    refused(deep, {"File name too long"});
}

TEST_CASE("token ids are studied without a tokenizer, which is said and recorded") {
    const auto ids = here().ids("plain.npy", {5, 6, 7, 8, 9, 10, 2500, 6, 7, 8, 9, 11});
    const auto broken = [&](std::string const& name, auto const& spoil) {
        const auto model = here().folder / name;
        fs::copy(here().model, model);
        spoil(model / "tokenizer.json");
        const auto out = here().folder / ("of_" + name);
        const auto said = check_finishes(study_line(model, ids, out, "--methods rtn3-g32,nf4-g32"), out);
        CHECK_MESSAGE(said.find("warning: there is no tokenizer, so that tokens are shown as ids: ") !=
                          std::string::npos,
                      said);
        CHECK_MESSAGE(said.find("tokenizer.json") != std::string::npos, said);
        const json manifest = read_json_file(out / "manifest.json");
        CHECK(manifest["tokenizer"] == "none");
        // Two blocks of width 64 with 4 and 2 heads of 16 and an MLP of 128; a head that is the embedding.
        constexpr std::size_t blocks = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 2 * 64);
        CHECK(manifest["parameters"] ==
              json({{"all", (here().vocabulary + padding) * 64 + 64 + blocks}, {"blocks", blocks}}));
        for (auto const& file : manifest["model"]["files"]) CHECK(file["name"] != "tokenizer.json");
        const auto run = read_run(out);
        for (const std::int32_t id : run.documents.ids.row(1))
            CHECK(run.texts[id] == "<id " + std::to_string(id) + ">");
        CHECK(test::read_bytes(out / "report.html").find("&lt;id 2500&gt;") != std::string::npos);

        check(study_line(model, here().texts, here().folder / ("texts_of_" + name)), 1, {"tokenizer.json"});
        const auto inspected = shell("bitlens inspect " + in_shell(model)).text;
        CHECK_MESSAGE(inspected.find("refused       tokenizer: ") != std::string::npos, inspected);
        CHECK_MESSAGE(inspected.find("; a study of token ids needs none\n") != std::string::npos, inspected);
        check("bitlens probe --points logits --model " + in_shell(model) + " --data " + in_shell(ids) + " --out " +
                  in_shell(here().folder / "probed.npz"),
              0, {});
    };
    broken("without_tokenizer", [](fs::path const& file) { fs::remove(file); });
    broken("with_a_foreign_tokenizer",
           [](fs::path const& file) { std::ofstream(file) << R"({"model": {"type": "Unigram"}})"; });
    broken("with_a_folder_as_tokenizer", [](fs::path const& file) {
        fs::remove(file);
        fs::create_directory(file);
    });
    check(study_line(here().model, ids, here().folder / "with_tokenizer"), 1,
          {"plain.npy: row 1, column 0: the id 2500 is no token of the model's tokenizer, whose ids are below " +
           std::to_string(here().vocabulary)});
    CHECK_FALSE(fs::exists(here().folder / "with_tokenizer"));
}

TEST_CASE("a text with a token that the model has no row for is named, with its place, the token and the rows") {
    const auto model = here().folder / "short";
    const std::size_t vocabulary = test::write_tiny_model(model, 1);
    json tokenizer = read_json_file(model / "tokenizer.json");
    for (auto const& [place, special] : {std::pair{0, false}, {1, true}})
        tokenizer["added_tokens"].push_back({{"id", vocabulary + static_cast<std::size_t>(place)},
                                             {"content", special ? "<|last|>" : "<|extra|>"},
                                             {"special", special},
                                             {"single_word", false},
                                             {"lstrip", false},
                                             {"rstrip", false},
                                             {"normalized", false}});
    std::ofstream(model / "tokenizer.json") << tokenizer.dump();
    const auto out = here().folder / "of_short";
    const auto study_of = [&](std::string const& lines, const char* name) {
        return study_line(model, here().folder.write(name, lines), out);
    };
    const std::string good = "{\"text\": \"the cat sat on the mat\"}\n", rows = std::to_string(vocabulary),
                      words = "among its tokens is \"<|extra|>\" (id " + rows +
                              "), for which the model has no row: it has " + rows + ", for the ids from 0 to " +
                              std::to_string(vocabulary - 1);
    check(study_of("\n" + good + "{\"text\": \"one <|extra|> two three four five\", \"id\": \"b 2\"}\n", "extra.jsonl"),
          1, {"extra.jsonl: line 3, document 1 (id \"b 2\"): " + words});
    check(study_of("a<|extra|>b two three four five six", "extra.txt"), 1, {"extra.txt: document 0: " + words});
    CHECK_FALSE(fs::exists(out));
    check("bitlens perplexity --window 4 --model " + in_shell(model) + " --text " +
              in_shell(here().folder / "extra.txt"),
          1, {"extra.txt: " + words});
    check("bitlens inspect " + in_shell(model), 0, {"2 tokens are beyond the ids of the model"});
    // The text of a special token is text, and what is cut off is not judged.
    check_finishes(study_of("{\"text\": \"one <|last|> two three four five\"}\n" + good.substr(0, good.size() - 3) +
                                " and on the <|extra|>\"}\n",
                            "last.jsonl"),
                   out);
}

TEST_CASE("tokenize asks for a tokenizer, and for nothing else of a model") {
    const auto folder = here().folder / "tokenizer_alone";
    fs::create_directory(folder);
    fs::copy_file(here().model / "tokenizer.json", folder / "tokenizer.json");
    const std::string text = "echo '\"the cat\"' | bitlens tokenize --model ";
    const auto whole = shell(text + in_shell(here().model));
    CHECK(whole.code == 0);
    check(text + in_shell(folder), 0, {whole.text});
    check("echo 'the cat' | bitlens tokenize --model " + in_shell(folder), 1,
          {"standard input, line 1: no valid JSON at byte 2: syntax error"});
}

TEST_CASE("a method whose logits overflow at some token is a result, and changes no number of the others") {
    const auto model = here().folder / "large_logits";
    test::write_tiny_model(model, 2, 8.4e37f);
    std::string lines;
    for (int n = 0; n < 24; ++n)
        lines +=
            "{\"text\": \"" +
            std::string(n % 3 == 0 ? "the cat sat on the mat, a dog" : "one two three four five " + std::to_string(n)) +
            "\", \"id\": \"d" + std::to_string(n) + "\"}\n";
    const auto data = here().folder.write("large.jsonl", lines);
    const auto without = here().folder / "large_without", with = here().folder / "large_with",
               later = here().folder / "large_later";
    check_finishes(study_line(model, data, without, "--methods rtn2-row"), without);
    const auto said = check_finishes(study_line(model, data, with, "--methods nf4-g32,rtn2-row"), with);
    CHECK(said.find("Under nf4-g32 the loss is not finite in ") != std::string::npos);
    const auto run = read_run(with), other = read_run(without);
    const auto nll = run.table.of_positions("nll_nf4-g32");
    std::size_t gaps = 0;
    for (std::size_t n = 0; n < run.size(); ++n) {
        bool gap = false;
        for (const float x : nll.row(n)) gap = gap || std::isnan(x); // infinite: a loss beyond float
        gaps += gap ? 1u : 0u;
        CHECK(std::isnan(run.table.of_documents("error_nf4-g32")[n]) == gap);
        CHECK((said.find("(d" + std::to_string(n) + ") from position") != std::string::npos) == (gap && gaps <= 10));
    }
    CHECK(gaps > 0);
    CHECK(gaps < run.size());
    CHECK(std::ranges::equal(run.table.of_documents("error_rtn2-row"), other.table.of_documents("error_rtn2-row")));

    check_finishes(study_line(model, data, later, "--methods rtn2-row"), later);
    check_finishes(study_line(model, data, later, "--methods rtn2-row,nf4-g32"), later);
    check(study_line(model, data, later, "--methods rtn2-row"), 0, {"Under nf4-g32 the loss is not finite"});

    const auto broken = here().folder / "broken_model";
    test::write_tiny_model(broken, 2, 2e38f);
    check(study_line(broken, data, here().folder / "broken_run", "--methods rtn2-row"), 1,
          {"the full model's loss is not finite: document "});
}
