/// `bitlens locate`: what it refuses, what its table holds, and that it goes on from wherever it was stopped.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/analysis/location_results.hpp"
#include "bitlens/analysis/location_variants.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/sweep/run_study.hpp"

#include "run_for_test.hpp"
#include "temporary_folder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;
using test::check, test::shell;

namespace {

constexpr std::size_t documents = 40, tokens = 6, layers = 4, tenth = documents / 10;
constexpr const char* everything = "--on all --experiments exit,restore,patch,gates,sensitivity,attenuation";
constexpr const char* tables[] = {"locate.csv", "summary.json", "report.html", "locate/manifest.json"};

std::string in_shell(fs::path const& path) { return "'" + path.string() + "'"; }

std::string study_line(fs::path const& model, fs::path const& data, fs::path const& out, std::string const& methods,
                       std::size_t length = tokens) {
    return "bitlens study --threads 1 --model " + in_shell(model) + " --data " + in_shell(data) + " --out " +
           in_shell(out) + " --tokens " + std::to_string(length) + " --methods " + methods;
}

/// A model, ids of documents, and a finished study of two methods, made once for all tests.
struct setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", data = folder / "ids.npy", study = folder / "study";
    matrix<std::int32_t> ids{documents, tokens};

    setting() {
        const std::size_t vocabulary = test::write_tiny_model(model, layers);
        random_generator random(7);
        for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
        write_npy(data, std::array{documents, tokens}, std::span<const std::int32_t>(ids.span()));
        check(study_line(model, data, study, "rtn3-g32,b=rtn2-row"), 0, {"report: "});
    }
    /// A copy of the study.
    fs::path copy(std::string const& name) const {
        fs::copy(study, folder / name, fs::copy_options::recursive);
        return folder / name;
    }
};

setting const& here() {
    static const setting s;
    return s;
}

std::string locate_line(fs::path const& run, std::string const& more = {}, fs::path const& model = here().model) {
    return "bitlens locate " + in_shell(run) + " --threads 1 --model " + in_shell(model) + " " + more;
}

/// Every file of a run but its log, by name.
std::map<std::string, std::string> contents(fs::path const& folder) {
    std::map<std::string, std::string> all;
    for (auto const& entry : fs::recursive_directory_iterator(folder))
        if (entry.is_regular_file() && entry.path().filename() != "log.txt")
            all[fs::relative(entry.path(), folder)] = test::read_bytes(entry.path());
    return all;
}

void check_same_tables(fs::path const& a, fs::path const& b) {
    CAPTURE(a);
    for (const char* name : tables) CHECK_MESSAGE(test::read_bytes(a / name) == test::read_bytes(b / name), name);
    CHECK_FALSE(fs::exists(a / "locate" / "parts"));
}

/// All experiments on all documents, in one call that nothing disturbed.
fs::path const& whole() {
    static const fs::path path = [] {
        const auto run = here().copy("whole");
        check(locate_line(run, everything), 0, {"model runs on 40 documents; 12 early exits on each", "table: "});
        return run;
    }();
    return path;
}

csv_table table_of(fs::path const& run) { return read_csv(run / "locate.csv"); }

/// Refused with the exit code, and the folder as it was.
void check_refused(fs::path const& run, std::string const& line, int code, std::vector<std::string> const& words) {
    const auto before = contents(run);
    check(line, code, words);
    CHECK(contents(run) == before);
}

} // namespace

TEST_CASE("what nobody can locate in is refused, and nothing is written") {
    const auto run = here().copy("misused");
    const auto refused = [&](std::string const& more, int code, std::string const& words) {
        check_refused(run, locate_line(run, more), code, {words});
    };
    refused("--methods nf4-g64", 2, "--methods: the study has no finished method \"nf4-g64\"; it has rtn3-g32, b");
    refused("--methods b,b", 2, "--methods: \"b\" is named twice");
    refused("--methods full", 2, "no finished method \"full\"");
    refused("--methods ''", 2, "no finished method \"\"");
    refused("--sets-of c", 2, "--sets-of: the study has no finished method \"c\"");
    refused("--experiments exits", 2, "--experiments");
    refused("--on small", 2, "--on");
    refused("--every 0", 2, "--every");
    refused("--layers 3-4", 2, "--layers 3-4: the model has layers 0 to 3");
    refused("--layers 2-1", 2, "--layers 2-1: the first layer comes first");
    for (const char* range : {"3", "-1", "1-", "a-b", "lower", "1-2-3"})
        refused(std::string("--layers ") + range, 2, "--layers");
    refused("--memory 1K", 2, "memory: at least");
    check("bitlens locate " + in_shell(run), 2, {"--model is required"});
    check(locate_line(here().folder / "nowhere"), 2, {"Directory does not exist"});

    const auto other = here().folder / "other_model";
    test::write_tiny_model(other, layers, 2);
    check_refused(run, locate_line(run, {}, other), 2, {"is not the model of the study: model.files"});
    const auto shorter = here().folder / "shorter_model";
    test::write_tiny_model(shorter, layers - 1);
    check_refused(run, locate_line(run, {}, shorter), 2, {"is not the model of the study: model."});

    const auto few = here().folder / "few.npy", small = here().folder / "small";
    write_npy(few, std::array<std::size_t, 2>{9, tokens},
              std::span<const std::int32_t>(here().ids.span().first(9 * tokens)));
    check(study_line(here().model, few, small, "rtn3-g32"), 0, {});
    check_refused(small, locate_line(small), 2, {"--on: rtn3-g32 has no D_large and D_ctrl among 9 documents"});
    check(locate_line(small, "--on all --experiments restore"), 0, {"9 documents"});
    CHECK(table_of(small).rows() == 9);
}

TEST_CASE("a folder without a finished study of this machine's arithmetic is refused") {
    const auto empty = here().folder / "empty";
    fs::create_directory(empty);
    check_refused(empty, locate_line(empty), 2, {"empty: the folder of a finished study is expected"});
    const auto unfinished = here().copy("unfinished");
    fs::remove(unfinished / "examples.csv");
    check_refused(unfinished, locate_line(unfinished), 1, {"examples.csv"});

    const auto foreign = here().copy("foreign");
    const auto change = [&](const char* key, json const& value) {
        json manifest = read_json_file(here().study / "manifest.json");
        manifest[key] = value;
        std::ofstream(foreign / "manifest.json") << manifest.dump();
    };
    change("arithmetic", "bf16 (tiles), avx9");
    check_refused(foreign, locate_line(foreign), 2,
                  {"the study was computed in \"bf16 (tiles), avx9\", this machine computes in \"float32"});
    change("methods", json::array());
    check_refused(foreign, locate_line(foreign), 1, {"nll_rtn3-g32' belongs to no method"});
    change("model", "a model");
    check_refused(foreign, locate_line(foreign), 1, {"manifest.json: key \"model\": an object is expected"});

    const auto changed = here().copy("changed");
    auto examples = test::read_bytes(changed / "examples.csv");
    json manifest = read_json_file(changed / "manifest.json");
    for (auto& m : manifest["methods"])
        if (m["name"] == "b") m["spec"] = "rtn4-row"; // its losses are others than those of examples.csv
    std::ofstream(changed / "manifest.json") << manifest.dump();
    check(locate_line(changed, "--experiments restore"), 1,
          {"nll_b of document ", " in examples.csv: the study was made by another version"});
    CHECK_FALSE(fs::exists(changed / "locate.csv"));
}

TEST_CASE("what stands in the way of the files is named before a model runs") {
    const auto refused = [](std::string const& name, std::string const& to_do, std::string const& words) {
        const auto run = here().copy(name);
        check("cd " + in_shell(run) + " && " + to_do, 0, {});
        check_refused(run, locate_line(run), 1, {words});
        CHECK_FALSE(fs::is_regular_file(run / "locate" / "manifest.json"));
    };
    refused("csv_folder", "mkdir locate.csv", "locate.csv: ");
    refused("csv_pipe", "mkfifo locate.csv", "locate.csv: ");
    refused("csv_to_nowhere", "ln -s nowhere/at/all locate.csv", "locate.csv: ");
    refused("manifest_folder", "mkdir -p locate/manifest.json", "locate/manifest.json: ");
    refused("manifest_pipe", "mkdir locate; mkfifo locate/manifest.json", "locate/manifest.json: ");
    refused("locate_file", "touch locate", "locate");
    refused("parts_file", "mkdir locate; touch locate/parts", "locate/parts: a folder is expected");
    refused("report_folder", "rm report.html; mkdir report.html", "report.html: ");

    const auto run = here().copy("locked");
    {
        const run_folder held(run);
        check_refused(run, locate_line(run), 1, {"another process is running in this folder"});
    }
    check(locate_line(run, "--experiments restore") + " > /dev/full", 1, {"standard output: cannot be written"});
    check(locate_line(run, "--experiments restore"), 0, {"table: "});
}

TEST_CASE("a damaged locate.csv, manifest or part is refused by name, in the report too where it reads it") {
    const auto run = here().copy("damaged");
    const std::string restore = "--experiments restore";
    check(locate_line(run, restore), 0, {"table: "});
    const auto csv = test::read_bytes(run / "locate.csv"), manifest = test::read_bytes(run / "locate/manifest.json");
    const auto first_line = csv.find('\n') + 1, second_line = csv.find('\n', first_line) + 1;
    const auto write = [&](const char* name, std::string const& bytes) {
        std::ofstream(run / name, std::ios::binary) << bytes;
    };
    const auto refused = [&](std::string const& words, bool by_locate = true) {
        if (by_locate) check_refused(run, locate_line(run, restore), 1, {words});
        check("bitlens report " + in_shell(run), 1, {words});
        write("locate.csv", csv);
        write("locate/manifest.json", manifest);
    };
    write("locate.csv", "");
    refused("locate.csv: empty");
    write("locate.csv", csv.substr(0, csv.size() - 30));
    refused("locate.csv:");
    write("locate.csv", csv + csv.substr(first_line, second_line - first_line));
    refused("a document of examples.csv that has no other line");
    write("locate.csv", csv.substr(0, first_line) + "9999" + csv.substr(csv.find(',', first_line)));
    refused("locate.csv:2: column 'example' holds '9999'");
    write("locate.csv", csv.substr(0, first_line - 1) + ",mine\n");
    refused("locate.csv: column 'mine' belongs to no variant of locate/manifest.json");
    for (const char* cell : {"nan", "inf", "1e81", "x", "1 "}) {
        const auto begin = csv.find(',', csv.find(',', first_line) + 1) + 1;
        write("locate.csv", csv.substr(0, begin) + cell + csv.substr(csv.find(',', begin)));
        refused("locate.csv:2: column 'nll_full' holds '" + std::string(cell));
    }
    const auto no_full = csv.find("nll_full");
    write("locate.csv", csv.substr(0, no_full) + "nll_none" + csv.substr(no_full + 8));
    refused("nll_full", false);
    {
        auto other_sets = csv;
        for (std::size_t at; (at = other_sets.find(",large,")) != std::string::npos;) other_sets.replace(at, 7, ",,");
        write("locate.csv", other_sets);
        refused("column 'set' is expected to hold D_large and D_ctrl of a method of the study", false);
    }
    for (const char* text : {"", "{", "[]", "{\"methods\": [], \"columns\": 1}"}) {
        write("locate/manifest.json", text);
        refused("locate/manifest.json: ");
    }
    for (const char* per : {"layer", "position"}) {
        json other = json::parse(manifest);
        other["columns"][0]["per"] = per;
        write("locate/manifest.json", other.dump());
        check_refused(run, locate_line(run, restore), 2, {"holds another run: columns: "});
        refused("column \"nll\" is per " + std::string(per) + ", expected per document", false);
    }
    json other = json::parse(manifest);
    for (auto& m : other["methods"])
        if (m["name"] == "b_restore_late") m["spec"] = "something else";
    write("locate/manifest.json", other.dump());
    check_refused(run, locate_line(run, restore), 2, {"method b_restore_late is something else there"});
    fs::remove(run / "locate/manifest.json");
    check_refused(run, locate_line(run, restore), 1, {"locate.csv: there is no locate/manifest.json"});
    write("locate/manifest.json", manifest);

    fs::create_directory(run / "locate/parts");
    write("locate/parts/b_only_q-0-1.npz", "no part");
    check_refused(run, locate_line(run, "--experiments sensitivity"), 1, {"b_only_q-0-1.npz: "});
    fs::remove(run / "locate/parts/b_only_q-0-1.npz");
    check(locate_line(run, "--experiments restore"), 0, {"table: "});
    CHECK(test::read_bytes(run / "locate.csv") == csv);
}

TEST_CASE("the table has the columns that were asked for, by their names, and rows of the sets") {
    const auto run = here().copy("columns");
    check(locate_line(run, "--methods b --sets-of b"), 0, {"8 documents; 8 early exits on each"});
    const auto table = table_of(run);
    CHECK(table.rows() == 2 * tenth);
    const auto sets = table.texts("set");
    CHECK(std::ranges::count(sets, "large") == tenth);
    CHECK(std::ranges::count(sets, "ctrl") == tenth);
    std::set<std::string> expected{"example", "set", "nll_full", "nll_b", "nll_b_restore_gate", "nll_b_restore_late"};
    for (const char* point : {"mlp_out", "mlp_gate", "mlp_up", "attn_out", "mlp_gate_in"})
        expected.insert("nll_b_patch_" + std::string(point));
    for (const char* k : {"2", "3"}) {
        expected.insert("nll_b_restore_from_l" + std::string(k));
        for (const char* exit : {"r_full", "z_full", "r_b", "z_b"})
            expected.insert("exit_" + std::string(exit) + "_l" + k);
    }
    CHECK(std::set<std::string>(table.columns().begin(), table.columns().end()) == expected);
}

TEST_CASE("the numbers are those of a sweep of the same variants, and of the study") {
    using weight = study_matrix;
    const transformer<llama, weight> model(checkpoint(here().model), true);
    std::vector<located_model<weight>> models{{full_model_name, {}, model.layers()}};
    for (const char* m : {"rtn3-g32", "b=rtn2-row"}) {
        const method parsed = parse_method(m);
        models.push_back({parsed.name, {}, std::make_shared<quantized_layers<weight>>(model.layers(), parsed)});
    }
    location_request request;
    request.exits = request.restore = request.patch = request.gates = request.sensitivity = request.attenuation = true;
    request.layers = {layers / 2, layers};
    matrix<std::int32_t> ids(documents, tokens);
    std::ranges::copy(here().ids.span(), ids.data());
    const auto variants = make_location_variants<weight>(models, request, layers).variants;
    const auto expected =
        measure_run(model, variants, document_rows::numbered(std::move(ids)), {4, 1}, location_losses{});
    const auto table = table_of(whole());
    REQUIRE(table.rows() == documents);
    CHECK(table.columns().size() == expected.columns().size() + 2);
    for (stored_column const& s : expected.columns()) {
        CAPTURE(s.name);
        const auto found = table.numbers(s.name);
        for (std::size_t n = 0; n < documents; ++n) // the command is compiled with other flags
            CHECK(std::abs(found[n] - s.numbers[n]) < 1e-5);
    }
    const auto examples = read_csv(whole() / "examples.csv");
    for (const char* name : {"nll_full", "nll_rtn3-g32", "nll_b"}) CHECK(table.numbers(name) == examples.numbers(name));
    CHECK(table.counts("example") == examples.counts("example"));
}

TEST_CASE("what two columns say of one model is the same, to the last bit") {
    const auto run = here().copy("identities");
    check(locate_line(run, "--experiments exit,restore,sensitivity,attenuation --layers all"), 0, {});
    check(locate_line(run, "--experiments exit --layers 3-3 --frozen-scale"), 0, {});
    const auto table = table_of(run);
    const auto same = [&](std::string const& a, std::string const& b) {
        CAPTURE(a);
        CHECK(table.numbers(a) == table.numbers(b));
    };
    for (const std::string m : {"full", "rtn3-g32", "b"}) {
        same("exit_z_" + m + "_l3", "nll_" + m);
        same("exit_z_frozen_" + m + "_l3", "nll_" + m);
    }
    for (const std::string m : {"nll_rtn3-g32", "nll_b"}) {
        same(m + "_restore_from_l0", "nll_full");
        same(m + "_restore_from_l3", m + "_restore_l3");
        same(m + "_restore_late", m + "_restore_l3");
        CHECK(table.numbers(m + "_only_l0") != table.numbers(m));
        CHECK(table.numbers(m + "_patch_mlp_out_from_l0") != table.numbers(m + "_patch_mlp_out_from_l3"));
    }
}

TEST_CASE("a study in bf16 is gone on with in bf16") {
    const auto run = here().folder / "bf16";
    check(study_line(here().model, here().data, run, "rtn3-g32 --arithmetic bf16"), 0, {});
    check(locate_line(run, "--experiments restore --layers all --on all"), 0, {"table: "});
    const auto table = table_of(run), examples = read_csv(run / "examples.csv");
    for (const char* name : {"nll_full", "nll_rtn3-g32"}) CHECK(table.numbers(name) == examples.numbers(name));
    CHECK(table.numbers("nll_rtn3-g32_restore_from_l0") == examples.numbers("nll_full"));
    CHECK(table.numbers("nll_full") != table_of(whole()).numbers("nll_full")); // of float32
}

TEST_CASE("threads, and passes that memory forces, leave no trace in the files") {
    for (auto const& [name, more] :
         std::map<std::string, std::string>{{"two_threads", "--threads 2"}, {"passes", "--threads 2 --memory 1600K"}}) {
        const auto run = here().copy(name);
        auto line = locate_line(run, everything);
        line.replace(line.find("--threads 1"), 11, more);
        const auto said = shell(line);
        REQUIRE_MESSAGE(said.code == 0, said.text);
        CHECK((said.text.find(" variants at once, memory: ") != std::string::npos) == (name != "two_threads"));
        check_same_tables(run, whole());
    }
}

TEST_CASE("a call that was killed anywhere goes on, and ends with the same bytes") {
    constexpr const char* more = "--experiments exit,restore,patch --on all --memory 1600K";
    const auto undisturbed = here().copy("undisturbed"), run = here().copy("killed");
    check(locate_line(undisturbed, more), 0, {"(one layer at a time)"});
    const std::string line = locate_line(run, more);
    const auto command = [&](std::string const& before) {
        return before + " '" BITLENS_COMMAND "' " + line.substr(line.find(' '));
    };
    // Each is let run a little longer; what earlier ones finished is not run again.
    std::size_t killed = 0;
    for (int milliseconds = 10;; milliseconds += milliseconds / 2 + 10) {
        const auto ended = shell(command("timeout -s KILL 0." + std::string(milliseconds < 100 ? "0" : "") +
                                         std::to_string(std::min(milliseconds, 999))));
        if (ended.code == 0) break;
        REQUIRE_MESSAGE(ended.code == 137, ended.text);
        ++killed;
    }
    CHECK(killed > 1);
    check_same_tables(run, undisturbed);

    for (const char* signal : {"INT", "TERM"}) {
        const auto stopped = here().copy(std::string("stopped_by_") + signal);
        const std::string parts = in_shell(stopped / "locate" / "parts");
        const auto slow = locate_line(stopped, more);
        check("'" BITLENS_COMMAND "' " + slow.substr(slow.find(' ')) + " & pid=$!; until ls " + parts +
                  " 2>/dev/null | grep -q npz; do kill -0 $pid || exit 99; done; kill -" + signal + " $pid; wait $pid",
              std::string(signal) == "INT" ? 130 : 143, {"holds all finished blocks; the same command goes on"});
        CHECK_FALSE(fs::exists(stopped / "locate.csv"));
        check("bitlens report " + in_shell(stopped), 0, {"report: "});
        CHECK(test::read_bytes(stopped / "report.html") == test::read_bytes(here().study / "report.html"));
        check(slow, 0, {"table: "});
        check_same_tables(stopped, undisturbed);
    }
}

TEST_CASE("a call that was killed leaves no empty columns in the table of another") {
    const auto run = here().copy("abandoned"), plain = here().copy("not_abandoned");
    fs::create_directories(run / "locate");
    check(locate_line(plain, "--experiments restore,exit"), 0, {});
    fs::copy(plain / "locate" / "manifest.json", run / "locate" / "manifest.json"); // of one that had just begun
    for (auto const& each : {run, plain}) check(locate_line(each, "--experiments restore"), 0, {"table: "});
    const auto table = table_of(run);
    CHECK_FALSE(table.has("exit_r_full_l3"));
    CHECK(table.has("nll_b_restore_late"));
    check("bitlens report " + in_shell(run), 0, {"report: "});
    check(locate_line(run, "--experiments exit"), 0, {"table: "});
    check_same_tables(run, plain);
}

TEST_CASE("later calls add columns and rows, keep what is there, and run nothing twice") {
    const auto run = here().copy("added");
    check(locate_line(run, "--experiments patch --methods b"), 0, {"8 documents"});
    const auto first = table_of(run);
    check(locate_line(run, "--experiments restore,gates"), 0, {"8 documents"});
    const auto second = table_of(run);
    CHECK(second.rows() == 2 * tenth);
    for (auto const& name : first.columns()) CHECK(second.texts(name) == first.texts(name));
    CHECK(second.has("nll_rtn3-g32_restore_late"));
    CHECK_FALSE(second.has("nll_rtn3-g32_patch_mlp_up"));

    check(locate_line(run, "--experiments patch --on all"), 0, {"40 documents"});
    const auto third = table_of(run);
    CHECK(third.rows() == documents);
    const auto examples = third.counts("example"), before = second.counts("example");
    for (std::size_t line = 0; line < third.rows(); ++line) {
        const bool is_old = std::ranges::find(before, examples[line]) != before.end();
        CHECK(third.text(line, third.column("nll_b_restore_late")).empty() == !is_old);
        CHECK_FALSE(third.text(line, third.column("nll_b_patch_mlp_up")).empty());
        if (!is_old) CHECK(third.text(line, third.column("set")).empty());
    }

    const auto files = contents(run);
    const auto nothing = shell(locate_line(run, "--experiments patch,restore --on large"));
    CHECK(nothing.code == 0);
    CHECK_MESSAGE(nothing.text.find("model runs") == std::string::npos, nothing.text);
    CHECK_MESSAGE(nothing.text.find("table: ") != std::string::npos, nothing.text);
    CHECK(contents(run) == files);

    check(locate_line(run, everything), 0, {"40 documents"}); // in other steps, the same numbers
    const auto all = table_of(run), at_once = table_of(whole());
    CHECK(all.columns().size() == at_once.columns().size());
    for (auto const& name : at_once.columns()) CHECK(all.texts(name) == at_once.texts(name));
    CHECK(test::read_bytes(run / "report.html") == test::read_bytes(whole() / "report.html"));
}

TEST_CASE("the report is drawn again the same, whoever's sets count, and a study goes on with what was located") {
    const auto twins = here().folder / "twins"; // whose sets are the same
    check(study_line(here().model, here().data, twins, "one=rtn3-g32,two=rtn3-g32,c=rtn2-row"), 0, {});
    for (auto const& [run, sets_of] : {std::pair{twins, "two"}, {twins, "c"}, {whole(), "b"}, {whole(), "rtn3-g32"}}) {
        check(locate_line(run, "--experiments patch --sets-of " + std::string(sets_of)), 0, {"report: "});
        const auto files = contents(run);
        check("bitlens report " + in_shell(run), 0, {"report: "});
        CHECK(contents(run) == files);
    }
    const auto run = here().copy("studied_on");
    check(locate_line(run, "--experiments patch"), 0, {});
    const auto csv = test::read_bytes(run / "locate.csv");
    check(study_line(here().model, here().data, run, "nf4-g64"), 0, {"report: "});
    CHECK(test::read_bytes(run / "locate.csv") == csv);
    CHECK(test::read_bytes(run / "report.html").find("<h2 id=\"arise\">") != std::string::npos);
    const auto files = contents(run);
    check("bitlens report " + in_shell(run), 0, {"report: "});
    CHECK(contents(run) == files);
    check(locate_line(run, "--experiments patch --sets-of nf4-g64"), 0, {"table: "});
    const auto table = table_of(run);
    for (const char* m : {"rtn3-g32", "b", "nf4-g64"}) CHECK(table.has("nll_" + std::string(m) + "_patch_attn_out"));
}

TEST_CASE("a tree of more than sixty variants runs within the memory that is named") {
    const auto model = here().folder / "deep", run = here().folder / "deep_run";
    test::write_tiny_model(model, 12);
    check(study_line(model, here().data, run, "rtn3-g32"), 0, {});
    const auto said =
        shell(locate_line(run, "--experiments sensitivity,restore,patch,exit --layers all --memory 3M", model));
    REQUIRE_MESSAGE(said.code == 0, said.text);
    CHECK_MESSAGE(said.text.find(" of 3.15 MB allowed") != std::string::npos, said.text);
    // example, set; the two models; each layer and projection alone, twice; restored from each on; patches; exits
    CHECK(table_of(run).columns().size() == 2 + 2 + 2 * 12 + 2 * 7 + 1 + 12 + 4 + 48);
    const auto at_once = here().folder / "deep_at_once";
    check(study_line(model, here().data, at_once, "rtn3-g32"), 0, {});
    check(locate_line(at_once, "--experiments sensitivity,restore,patch,exit --layers all", model), 0, {});
    check_same_tables(run, at_once);
}

TEST_CASE("models of one and two layers, documents of two tokens, single layers, a step beyond the last layer") {
    for (const std::size_t depth : {1u, 2u}) {
        const auto model = here().folder / ("of_" + std::to_string(depth)),
                   run = here().folder / ("run_of_" + std::to_string(depth));
        test::write_tiny_model(model, depth);
        const auto data = here().folder / "pairs.npy";
        std::vector<std::int32_t> pairs;
        for (std::size_t n = 0; n < documents; ++n)
            pairs.insert(pairs.end(), {here().ids.row(n)[0], here().ids.row(n)[1]});
        write_npy(data, std::array<std::size_t, 2>{documents, 2}, std::span<const std::int32_t>(pairs));
        check(study_line(model, data, run, "rtn2-row", 2), 0, {});
        const std::string last = std::to_string(depth - 1);
        check(locate_line(run, std::string(everything) + " --every 1000 --layers " + last + "-" + last, model), 0,
              {"table: "});
        const auto table = table_of(run);
        const auto numbers = [&](std::string const& name) { return table.numbers(name); };
        CHECK(numbers("nll_rtn2-row_restore_late") == numbers("nll_rtn2-row_restore_from_l" + last));
        CHECK(numbers("nll_rtn2-row_patch_mlp_out") == numbers("nll_rtn2-row_patch_mlp_out_from_l" + last));
        CHECK(numbers("exit_z_rtn2-row_l" + last) == numbers("nll_rtn2-row"));
        if (depth == 1) {
            CHECK(numbers("nll_rtn2-row_restore_late") == numbers("nll_full"));
            CHECK(numbers("nll_rtn2-row_only_l0") == numbers("nll_rtn2-row"));
        }
    }
    const auto run = here().copy("every_third");
    check(locate_line(run, "--experiments restore,exit --every 3 --layers all"), 0, {});
    const auto table = table_of(run);
    for (const char* k : {"0", "3"}) CHECK(table.has("nll_b_restore_from_l" + std::string(k)));
    for (const char* k : {"1", "2"}) CHECK_FALSE(table.has("exit_r_full_l" + std::string(k)));
}

TEST_CASE("methods may be called anything that keeps variants apart") {
    const std::string longest(longest_method_name, 'm');
    const auto run = here().folder / "names";
    check(study_line(here().model, here().data, run,
                     longest + "=rtn3-g32,a_b-c=rtn2-row,_=rtn2-row,-=nf3-g32,only_l0=nf4-g32,a_restore=rtn2-row"),
          0, {});
    check(locate_line(run, everything), 0, {"table: "});
    const auto table = table_of(run);
    for (std::string const& m :
         {longest, std::string("a_b-c"), std::string("_"), std::string("-"), std::string("only_l0")})
        CHECK_MESSAGE(table.has("nll_" + m + "_patch_mlp_gate_in"), m);
    CHECK(table.numbers("nll_a_b-c_only_l0") == table.numbers("nll___only_l0"));
    const auto files = contents(run);
    check("bitlens report " + in_shell(run), 0, {"report: "});
    CHECK(contents(run) == files);

    const auto alike = here().folder / "alike", in_range = here().folder / "alike_in_range";
    check(study_line(here().model, here().data, alike, "a=rtn3-g32,a_patch_mlp_up=rtn2-row"), 0, {});
    for (const char* more : {"", "--methods a", "--methods a_patch_mlp_up"})
        check_refused(alike, locate_line(alike, more), 2, {"two variants would be called a_patch_mlp_up"});
    check(study_line(here().model, here().data, in_range, "a=rtn3-g32,a_patch_mlp_up_l1-2=rtn2-row"), 0, {});
    for (const char* more : {"", "--layers 1-2", "--methods a --layers 1-2"})
        check_refused(in_range, locate_line(in_range, more), 2, {"two variants would be called a_patch_mlp_up_l1-2"});
}

TEST_CASE("a loss that is not finite is an empty cell, which the next call looks at once more") {
    const auto model = here().folder / "large_logits", run = here().folder / "large_run";
    test::write_tiny_model(model, layers, 7.7e37f);
    check(study_line(model, here().data, run, "rtn4-row,rtn2-row"), 0, {"Under rtn4-row the loss is not finite"});
    check(locate_line(run, std::string(everything), model), 0, {"table: "});
    const auto csv = test::read_bytes(run / "locate.csv");
    const auto table = table_of(run);
    std::size_t empty = 0;
    for (auto const& name : table.columns())
        if (name != "set")
            for (auto const& x : table.optional_numbers(name)) empty += x ? 0u : 1u;
    CHECK(empty > 0);
    check(locate_line(run, std::string(everything), model), 0, {"table: "});
    CHECK(test::read_bytes(run / "locate.csv") == csv);
    check(locate_line(run, "--experiments exit --frozen-scale", model), 0, {"table: "});
    for (auto const& name : table.columns()) CHECK(table_of(run).texts(name) == table.texts(name));
    const auto files = contents(run);
    check("bitlens report " + in_shell(run), 0, {"report: "});
    CHECK(contents(run) == files);
}
