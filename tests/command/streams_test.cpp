/// What the command does with its streams and the names of files: full devices, closed descriptors, names of any bytes.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/npy.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <sys/stat.h>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;

namespace {

using test::check, test::read_bytes, test::shell;

constexpr std::size_t rows = 20, tokens = 12;

/// A model, rows of ids for it, a text and lines to tokenize.
struct setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", ids = folder / "ids.npy", run = folder / "run";
    fs::path text = folder.write("text.txt", "A line of words, and another one, and some more of them.\n");
    fs::path lines = folder.write("lines", "\"two words\"\n\"and more\"\n");
    std::size_t vocabulary = test::write_tiny_model(model, 2);

    setting() {
        std::vector<std::int32_t> all(rows * tokens);
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(i % vocabulary);
        write_npy(ids, std::array{rows, tokens}, std::span<const std::int32_t>(all));
        const auto made = shell(study(run));
        REQUIRE_MESSAGE(made.code == 0, made.text);
    }
    std::string study(fs::path const& out) const {
        return "bitlens study --model '" + model.string() + "' --data '" + ids.string() +
               "' --methods rtn3-g64 --tokens 12 --out '" + out.string() + "'";
    }
    std::string probe(fs::path const& out) const {
        return "bitlens probe --model '" + model.string() + "' --data '" + ids.string() +
               "' --points final_norm --out '" + out.string() + "'";
    }
    /// Everything that prints a result, and the word that the result has in it.
    std::map<std::string, std::string> printing() const {
        const std::string with_model = " --model '" + model.string() + "'";
        return {{"bitlens --help", "inspect"},
                {"bitlens --version", "."},
                {"bitlens study --help", "--methods"},
                {"bitlens inspect '" + model.string() + "'", "refused       nothing"},
                {"bitlens tokenize" + with_model + " <'" + lines.string() + "'", "]"},
                {"bitlens perplexity --window 4" + with_model + " --text '" + text.string() + "'", "perplexity"},
                {"bitlens report '" + run.string() + "'", "report:"},
                {study(run), "report:"}};
    }
};

setting const& here() {
    static const setting s;
    return s;
}

/// Every file of a run but its log, by name.
std::map<std::string, std::string> contents(fs::path const& folder) {
    std::map<std::string, std::string> all;
    for (auto const& entry : fs::recursive_directory_iterator(folder))
        if (entry.is_regular_file() && entry.path().filename() != "log.txt")
            all[entry.path().lexically_relative(folder)] = read_bytes(entry.path());
    return all;
}

std::ptrdiff_t entries(fs::path const& folder) { return std::distance(fs::directory_iterator(folder), {}); }

} // namespace

TEST_CASE("what cannot be printed is an error") {
    for (auto const& [line, word] : here().printing()) {
        check(line, 0, {word});
        check(line + " >/dev/full", 1, {"bitlens: standard output: cannot be written: No space left on device"});
        check(line + " >&-", 1, {"bitlens: standard output: cannot be written: Bad file descriptor"});
    }
    const auto before = contents(here().run);
    const auto refused = here().folder / "unprinted"; // before a model runs
    check(here().study(refused) + " >/dev/full", 1, {"No space left on device"});
    CHECK_FALSE(fs::exists(refused));
    CHECK(contents(here().run) == before);
}

TEST_CASE("who reads no more of the output ends the command quietly") {
    const auto result = shell("{ sleep 0.3; bitlens study --help; echo \"code $?\" >&2; } | true");
    CHECK(result.text == "code 141\n"); // 128 + SIGPIPE
}

TEST_CASE("what cannot be read is an error, not an empty text") {
    const std::string folder = here().folder.path(), model = here().model;
    const std::string tokenize = "bitlens tokenize --model '" + model + "'";
    check(tokenize + " <'" + folder + "'", 1, {"bitlens: standard input: cannot be read: Is a directory"});
    check(tokenize + " <&-", 1, {"bitlens: standard input: cannot be read: Bad file descriptor"});
    check(tokenize + " </dev/null", 0, {});
    const auto out = (here().folder / "unread").string();
    check("bitlens perplexity --model '" + model + "' --text '" + folder + "'", 2, {"--text", "directory", folder});
    check("bitlens probe --model '" + model + "' --data '" + folder + "' --points logits --out '" + out + "'", 2,
          {"--data", "directory", folder});
    check(here().study(out) + " --overrides '" + folder + "'", 2, {"--overrides", "directory", folder});
    fs::create_directories(here().folder / "unreadable" / "config.json");
    check("bitlens inspect '" + folder + "/unreadable'", 1, {"config.json: is not a regular file but a folder"});
    CHECK_FALSE(fs::exists(out));
}

TEST_CASE("descriptors that are closed at the start do not become those of files") {
    const auto whole = contents(here().run);
    CHECK(whole.at(".lock").empty());
    int number = 0;
    for (const char* closed : {"<&-", "2>&-", "<&- 2>&-"}) {
        CAPTURE(closed);
        const auto out = here().folder / ("closed" + std::to_string(++number));
        const auto printed = here().folder / "printed";
        check(here().study(out) + " >'" + printed.string() + "' " + closed, 0, {});
        CHECK(contents(out) == whole);
        CHECK(read_bytes(printed).find("report: ") != std::string::npos);
    }
    check(here().study(here().run) + " >&- 2>&- <&-", 1, {});
    CHECK(contents(here().run) == whole);

    const auto open = here().folder / "open.npz", closed = here().folder / "closed.npz";
    check(here().probe(open), 0, {});
    check(here().probe(closed) + " >&- 2>&- <&-", 0, {}); // which prints nothing
    CHECK(read_bytes(open) == read_bytes(closed));
}

TEST_CASE("names of files may be any bytes") {
    const std::string name = "caf\xE9 \x1B[31m\n", shown = "caf\\xe9 \\x1b[31m\\x0a";
    const auto folder = here().folder / name, model = folder / "model", ids = folder / (name + ".npy");
    fs::create_directory(folder);
    fs::copy(here().model, model);
    fs::copy_file(here().ids, ids);
    const auto quoted = [](fs::path const& path) { return "'" + path.string() + "'"; };
    const auto study = [&](fs::path const& data, std::string const& methods) {
        return "bitlens study --tokens 12 --model " + quoted(model) + " --data " + quoted(data) + " --methods " +
               methods + " --out " + quoted(folder / "run");
    };
    check(study(folder / "absent", "rtn3-g64"), 2, {"--data", shown + "/absent;"});
    check(study(ids, "rtn3-g64"), 0, {"report: " + here().folder.path().string() + "/" + shown + "/run/report.html"});
    CHECK(read_json_file(folder / "run" / "manifest.json").at("data").at("name") == shown + ".npy");
    CHECK(read_bytes(folder / "run" / "report.html").find(shown + ".npy") != std::string::npos);
    check(study(ids, "rtn3-g64,rtn4-g64"), 0, {"report: "}); // the same name as before
    check("bitlens report " + quoted(folder / "run"), 0, {"report: "});
    CHECK(is_utf8(read_bytes(folder / "run" / "report.html")));

    const auto other = folder / (name + "2.npy");
    fs::copy_file(ids, other);
    check(study(other, "rtn3-g64"), 2, {shown + "/run: holds another run: data.name: \"caf\\\\xe9 \\\\x1b[31m"});
    const auto broken = folder.string() + "/x" + name + ".gguf";
    fs::copy_file(ids, broken);
    const auto result = shell("bitlens inspect " + quoted(broken));
    CHECK(result.code == 1);
    CHECK_MESSAGE(result.text == "bitlens: " + here().folder.path().string() + "/" + shown + "/x" + shown +
                                     ".gguf: a GGUF file is expected, an NPY array was found\n",
                  result.text);
    check("bitlens probe --model " + quoted(model) + " --data " + quoted(ids) + " --points final_norm --out " +
              quoted(folder / (name + ".npz")),
          0, {});
    CHECK(fs::exists(folder / (name + ".npz")));
}

TEST_CASE("a study that is refused leaves no folder behind") {
    const auto out = here().folder / "not" / "begun";
    check(here().study(out) + " --examples 0", 2, {"--examples"});
    check(here().study(out) + " --bos yes", 2, {"ids.npy holds token ids"});
    check(here().study(out) + " --memory 1K", 2, {"at least "});
    check(here().study(out) + " --overrides '" + here().folder.write("rules.json", "{\"a\"").string() + "'", 1,
          {"rules.json: no valid JSON"});
    CHECK_FALSE(fs::exists(here().folder / "not"));
}

TEST_CASE("results are written through links, keep their mode, and replace nothing but files") {
    const auto folder = here().folder / "results";
    fs::create_directories(folder / "elsewhere");
    check(here().probe(folder / "plain.npz"), 0, {});
    const auto plain = read_bytes(folder / "plain.npz");

    const auto target = here().folder.write("results/elsewhere/x.npz", "old");
    REQUIRE(::chmod(target.c_str(), 0640) == 0);
    fs::create_symlink("elsewhere/x.npz", folder / "link.npz");
    fs::create_symlink("elsewhere/new.npz", folder / "to_new.npz");
    for (const char* name : {"link.npz", "to_new.npz"}) {
        check(here().probe(folder / name), 0, {});
        CHECK(fs::is_symlink(folder / name));
        CHECK(read_bytes(folder / name) == plain);
    }
    CHECK(fs::status(target).permissions() == fs::perms(0640));
    CHECK(entries(folder / "elsewhere") == 2);

    REQUIRE(::mkfifo((folder / "pipe.npz").c_str(), 0600) == 0);
    fs::create_symlink("/dev/null", folder / "null.npz");
    fs::create_symlink("absent/x.npz", folder / "lost.npz");
    fs::create_directory(folder / "folder.npz");
    const auto count = entries(folder);
    // Before the data are read, of which these ids are none of the model's.
    const std::vector<std::int32_t> outside(tokens, static_cast<std::int32_t>(here().vocabulary));
    const auto data = here().folder / "outside.npy";
    write_npy(data, std::array<std::size_t, 2>{1, tokens}, std::span<const std::int32_t>(outside));
    for (auto const& [name, code, words] : std::vector<std::tuple<const char*, int, const char*>>{
             {"pipe.npz", 1, "a regular file is expected, a pipe was found"},
             {"null.npz", 1, "a regular file is expected, a device was found"},
             {"lost.npz", 1, "cannot be written: No such file or directory"},
             {"folder.npz", 2, "the name of a file is expected, the folder "}})
        check("bitlens probe --model '" + here().model.string() + "' --data '" + data.string() +
                  "' --points final_norm --out '" + (folder / name).string() + "'",
              code, {"--out: ", name, words});
    CHECK(entries(folder) == count);
    CHECK(fs::is_fifo(folder / "pipe.npz"));
}

TEST_CASE("a study whose results could not be written is refused before it reads the documents") {
    const auto data = here().folder.write("broken.jsonl", "no JSON\n");
    const auto run_on = [&](fs::path const& out) {
        return "bitlens study --model '" + here().model.string() + "' --data '" + data.string() +
               "' --methods rtn3-g64 --tokens 12 --out '" + out.string() + "'";
    };
    const auto begun = here().folder / "begun";
    check(run_on(begun), 1, {"broken.jsonl: line 1"});
    CHECK_FALSE(fs::exists(begun));
    for (const char* name :
         {"examples.csv", "tokens.npz", "summary.json", "report.html", "float32.csv", "manifest.json", "log.txt"}) {
        const auto out = here().folder / ("blocked_" + std::string(name));
        fs::create_directories(out / name);
        here().folder.write(("blocked_" + std::string(name) + "/.lock"), "");
        check(run_on(out), 1, {std::string(name) + ": cannot be written: a regular file is expected, a folder"});
        CHECK(entries(out) == 2);
    }
    const auto out = here().folder / "blocked_figures";
    fs::create_directories(out);
    here().folder.write("blocked_figures/.lock", "");
    here().folder.write("blocked_figures/parts", "no folder");
    check(run_on(out), 1, {"parts: a folder is expected"});
    fs::remove(out / "parts");
    fs::create_symlink("absent", out / "figures");
    check(run_on(out), 1, {"figures: a folder is expected: No such file or directory"});
    fs::remove(out / "figures");
    fs::create_directories(out / "figures" / "errors.svg");
    check(run_on(out), 1, {"errors.svg: cannot be written: a regular file is expected, a folder was found"});
    fs::create_symlink("absent/run", here().folder / "dangling");
    check(run_on(here().folder / "dangling"), 1, {"dangling: cannot be created"});
    CHECK(fs::is_symlink(here().folder / "dangling"));
    check(run_on("/dev/null"), 1, {"/dev/null: a folder for the run is expected"});
}

TEST_CASE("a run keeps the links and modes of its files when they are written again") {
    const auto run = here().folder / "linked", elsewhere = here().folder / "linked_elsewhere";
    fs::copy(here().run, run, fs::copy_options::recursive);
    fs::create_directory(elsewhere);
    const auto whole = contents(run);
    std::vector<fs::path> moved{"report.html", "summary.json"};
    for (auto const& entry : fs::directory_iterator(run / "figures"))
        moved.push_back("figures" / entry.path().filename());
    REQUIRE(moved.size() > 2);
    for (auto const& name : moved) {
        fs::rename(run / name, elsewhere / name.filename());
        fs::create_symlink(elsewhere / name.filename(), run / name);
        fs::permissions(run / name, fs::perms(0600));
    }
    fs::rename(run / "log.txt", elsewhere / "log.txt");
    fs::create_symlink(elsewhere / "log.txt", run / "log.txt");
    check("bitlens report '" + run.string() + "'", 0, {});
    check(here().study(run), 0, {});
    for (auto const& name : moved) {
        CAPTURE(name);
        CHECK(fs::is_symlink(run / name));
        CHECK(fs::status(run / name).permissions() == fs::perms(0600));
    }
    CHECK(contents(run) == whole);
    CHECK(entries(elsewhere) == static_cast<std::ptrdiff_t>(moved.size() + 1));
}
