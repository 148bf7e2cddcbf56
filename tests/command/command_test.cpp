#include "tiny_model.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/memory_plan.hpp"
#include "bitlens/sweep/run_folder.hpp"
#include "bitlens/sweep/run_results.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/tokenizer_file.hpp"

#include "address_space.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t rows = 26, tokens = 12;
constexpr const char* two_methods = "rtn3-g64,nf4-g64-dq";
const std::vector<std::string> little_memory{"--threads", "2", "--memory",
                                             "1800K"}; // one layer at a time, several blocks

std::string read_file(fs::path const& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A model, its tokenizer and documents, written once for all tests.
struct setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", ids_path = folder / "ids.npy";
    matrix<std::int32_t> ids{rows, tokens};

    setting() {
        fs::permissions(folder.path(), fs::perms(0755)); // for who runs the command as somebody else
        const std::size_t vocabulary = test::write_tiny_model(model, 3);
        random_generator random(5);
        for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
        write_npy(ids_path, std::array{rows, tokens}, std::span<const std::int32_t>(ids.span()));
    }
};

setting const& here() {
    static const setting s;
    return s;
}

struct outcome {
    int code; // −signal, if one ended the command
    std::string text;
};

/// What happens to the command while it runs.
struct disturbance {
    std::function<bool()> now = [] { return false; }; // whether it is time
    std::function<void(pid_t)> happens = [](pid_t) {};
    std::map<decltype(RLIMIT_AS), rlim_t> limits = {};
    bool as_nobody = false; // who may write nowhere, where root may everywhere
};

outcome run(std::vector<std::string> arguments, fs::path const& input = "/dev/null", disturbance const& d = {}) {
    const auto output = here().folder / "output.txt";
    arguments.insert(arguments.begin(), BITLENS_COMMAND);
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        const int in = ::open(input.c_str(), O_RDONLY);
        const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(out, 2) < 0) ::_exit(99);
        ::signal(SIGXFSZ, SIG_IGN); // a file that grows too large is an error to whoever writes, as a full disk is
        for (auto const& [resource, most] : d.limits) {
            const rlimit limit{most, most};
            if (::setrlimit(resource, &limit) != 0) ::_exit(97);
        }
        constexpr ::uid_t nobody = 65534;
        if (d.as_nobody && ::getuid() == 0 && ::setuid(nobody) != 0) ::_exit(96);
        ::execv(BITLENS_COMMAND, argv.data());
        ::_exit(98);
    }
    int status = 0;
    for (bool happened = false; ::waitpid(child, &status, WNOHANG) == 0;) {
        if (!happened && d.now()) {
            d.happens(child);
            happened = true;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_file(output)};
}

using std::chrono::steady_clock;

/// Kills the command some time after it was started.
disturbance kill_after(steady_clock::duration patience) {
    return {.now = [end = steady_clock::now() + patience] { return steady_clock::now() >= end; },
            .happens = [](pid_t child) { ::kill(child, SIGKILL); }};
}

/// True as soon as a run has finished its first block, of many if it reads a layer at a time.
std::function<bool()> first_block_of(fs::path const& folder) {
    return [parts = folder / "parts"] {
        std::error_code none;
        for (auto const& entry : fs::directory_iterator(parts, none))
            if (entry.path().extension() == ".npz") return true;
        return false;
    };
}

std::vector<std::string> study(fs::path const& out, std::string const& methods, std::vector<std::string> more = {}) {
    std::vector<std::string> all{"study",     "--model", here().model, "--data", here().ids_path, "--tokens", "12",
                                 "--methods", methods,   "--out",      out};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

/// The documents once more, one id of them another.
fs::path with_id(const char* name, std::size_t row, std::size_t column, std::int32_t id) {
    std::vector<std::int32_t> ids(here().ids.span().begin(), here().ids.span().end());
    ids[row * tokens + column] = id;
    write_npy(here().folder / name, std::array{rows, tokens}, std::span<const std::int32_t>(ids));
    return here().folder / name;
}

/// Every file of a run but its log, by name.
std::map<std::string, std::string> contents(fs::path const& folder) {
    std::map<std::string, std::string> all;
    for (auto const& entry : fs::recursive_directory_iterator(folder))
        if (entry.is_regular_file() && entry.path().filename() != "log.txt")
            all[fs::relative(entry.path(), folder)] = read_file(entry.path());
    return all;
}

void check_same_run(fs::path const& a, fs::path const& b) {
    const auto x = contents(a), y = contents(b);
    CHECK(x.size() == y.size());
    for (auto const& file : x) {
        CAPTURE(file.first);
        REQUIRE(y.contains(file.first));
        CHECK(file.second == y.at(file.first));
    }
}

/// A run of two methods that nothing disturbed.
fs::path const& undisturbed() {
    static const fs::path path = [] {
        auto folder = here().folder / "undisturbed";
        const auto result = run(study(folder, two_methods, {"--threads", "1"}));
        REQUIRE_MESSAGE(result.code == 0, result.text);
        return folder;
    }();
    return path;
}

} // namespace

TEST_CASE("a study leaves its tables, its report and nothing unfinished") {
    const auto files = contents(undisturbed());
    for (const char* name : {"examples.csv", "tokens.npz", "summary.json", "manifest.json", "report.html"})
        CHECK(files.contains(name));
    for (auto const& [name, bytes] : files) CHECK(name.find("parts") == std::string::npos);
    CHECK(fs::exists(undisturbed() / "log.txt"));
}

TEST_CASE("equal runs have equal bytes whatever the number of threads and the memory") {
    for (auto const& [name, more] :
         std::map<std::string, std::vector<std::string>>{{"threads", {"--threads", "3"}}, {"memory", little_memory}}) {
        const auto folder = here().folder / name;
        const auto result = run(study(folder, two_methods, more));
        REQUIRE_MESSAGE(result.code == 0, result.text);
        CHECK((result.text.find("one layer at a time") != std::string::npos) == (name == "memory"));
        check_same_run(undisturbed(), folder);
    }
}

TEST_CASE("where weights of one layer cannot be laid out, products decode them, and bytes are the same") {
    const auto folder = here().folder / "not_laid_out";
    const auto result = run(study(folder, two_methods, {"--threads", "1", "--memory", "1M"}));
    REQUIRE_MESSAGE(result.code == 0, result.text);
    CHECK_MESSAGE(result.text.find("each product decodes its weights") != std::string::npos, result.text);
    check_same_run(undisturbed(), folder);
}

TEST_CASE("an embedding in the mapped file takes no memory, but for a head that is the same") {
    const auto untied = here().folder / "untied";
    const std::size_t vocabulary = test::write_tiny_model(untied, 1, 1, 0, false);
    auto arguments = study(here().folder / "untied_run", "rtn3-g64");
    *std::next(std::ranges::find(arguments, "--model")) = untied.string();
    const auto result = run(arguments);
    REQUIRE_MESSAGE(result.code == 0, result.text);
    const std::string ends = "embedding and head " + bytes_text(vocabulary * 64 * sizeof(float)) + ",";
    CHECK_MESSAGE(result.text.find(ends) != std::string::npos, result.text);
    const auto tied = run(study(here().folder / "tied_run", "rtn3-g64"));
    CHECK_MESSAGE(tied.text.find(ends) != std::string::npos, tied.text);
}

TEST_CASE("a run killed at any moment goes on, and ends with the same bytes") {
    for (const std::string arithmetic : {"float32", "bf16"}) { // which scores some documents once more
        const std::vector<std::string> more{"--threads", "1", "--arithmetic", arithmetic};
        const auto timed = here().folder / ("timed_" + arithmetic);
        const auto started = steady_clock::now();
        REQUIRE(run(study(timed, two_methods, more)).code == 0);
        const auto whole = steady_clock::now() - started;
        random_generator random(11);
        int finished = 0, killed = 0;
        const auto folder = [&] { return here().folder / ("killed_" + arithmetic + std::to_string(finished)); };
        while (killed < (arithmetic == "float32" ? 50 : 20)) {
            const auto patience = whole * static_cast<int>(random.below(1000)) / 1000;
            const auto result = run(study(folder(), two_methods, more), "/dev/null", kill_after(patience));
            if (result.code == 0) {
                check_same_run(timed, folder());
                ++finished;
            } else {
                REQUIRE_MESSAGE(result.code == -SIGKILL, result.text);
                ++killed;
            }
        }
        REQUIRE(run(study(folder(), two_methods, more)).code == 0);
        check_same_run(timed, folder());
    }
}

TEST_CASE("a run asked to stop finishes its block and says how to go on") {
    for (const int signal : {SIGINT, SIGTERM}) {
        const auto folder = here().folder / ("stopped" + std::to_string(signal));
        const auto result =
            run(study(folder, two_methods, little_memory), "/dev/null",
                {.now = first_block_of(folder), .happens = [=](pid_t child) { ::kill(child, signal); }});
        CHECK_MESSAGE(result.code == -signal, result.text);
        CHECK_MESSAGE(result.text.find("the same command goes on") != std::string::npos, result.text);
        const auto resumed = run(study(folder, two_methods, little_memory));
        CHECK_MESSAGE(resumed.code == 0, resumed.text);
        check_same_run(undisturbed(), folder);
    }
}

TEST_CASE("a full disk stops a run with a message, and what was written counts") {
    const auto folder = here().folder / "full";
    for (const rlim_t bytes : {2'000u, 8'000u, 20'000u, 60'000u}) {
        const auto result = run(study(folder, two_methods), "/dev/null", {.limits = {{RLIMIT_FSIZE, bytes}}});
        CAPTURE(bytes);
        CHECK_MESSAGE(result.code == 1, result.text);
        CHECK_MESSAGE(result.text.find("cannot be written: File too large") != std::string::npos, result.text);
    }
    const auto result = run(study(folder, two_methods));
    REQUIRE_MESSAGE(result.code == 0, result.text);
    check_same_run(undisturbed(), folder);
}

TEST_CASE("a folder that may not be written is named and left as it is, and goes on when it may") {
    if (run({"inspect", here().model}, "/dev/null", {.as_nobody = true}).code != 0) {
        MESSAGE("a read-only folder is not tested: nobody but root reaches the command or " << here().model);
        return;
    }
    const auto folder = here().folder / "read_only";
    const auto begun = run(study(folder, two_methods), "/dev/null", {.limits = {{RLIMIT_FSIZE, 20'000u}}});
    REQUIRE_MESSAGE(begun.code == 1, begun.text);
    const auto before = contents(folder);
    const auto let_owner_write = [&](fs::perm_options how) {
        for (auto const& entry : fs::recursive_directory_iterator(folder))
            fs::permissions(entry, fs::perms::owner_write, how);
        fs::permissions(folder, fs::perms::owner_write, how);
    };
    let_owner_write(fs::perm_options::remove);
    const auto refused = run(study(folder, two_methods), "/dev/null", {.as_nobody = true});
    CHECK_MESSAGE(refused.code == 1, refused.text);
    CHECK_MESSAGE(refused.text.find(folder.string()) != std::string::npos, refused.text);
    CHECK_MESSAGE(refused.text.find("Permission denied") != std::string::npos, refused.text);
    CHECK(contents(folder) == before);
    let_owner_write(fs::perm_options::add);
    const auto resumed = run(study(folder, two_methods));
    CHECK_MESSAGE(resumed.code == 0, resumed.text);
    check_same_run(undisturbed(), folder);
}

TEST_CASE("where nobody may write, the result is refused before the data are read, and nothing is left") {
    if (run({"inspect", here().model}, "/dev/null", {.as_nobody = true}).code != 0) {
        MESSAGE("not tested: nobody but root reaches the command or " << here().model);
        return;
    }
    const auto folder = here().folder / "of_another", file = folder / "x.npz";
    fs::create_directory(folder);
    std::ofstream(file) << "old";
    fs::permissions(folder, fs::perms(::getuid() == 0 ? 0755 : 0555));
    const auto data = with_id("no_id.npy", 0, 0, 1 << 30);
    const auto probe_into = [&](fs::path const& out) {
        return run({"probe", "--model", here().model, "--data", data, "--points", "logits", "--out", out}, "/dev/null",
                   {.as_nobody = true});
    };
    for (const char* name : {"x.npz", "new.npz"}) {
        const auto refused = probe_into(folder / name);
        CHECK_MESSAGE(refused.code == 1, refused.text);
        CHECK_MESSAGE(refused.text.find("--out: " + (folder / name).string() + ": cannot be written") !=
                          std::string::npos,
                      refused.text);
        CHECK_MESSAGE(refused.text.find("Permission denied") != std::string::npos, refused.text);
    }
    auto arguments = study(folder / "run", two_methods);
    *std::ranges::find(arguments, here().ids_path.string()) = data;
    const auto refused = run(arguments, "/dev/null", {.as_nobody = true});
    CHECK_MESSAGE(refused.code == 1, refused.text);
    CHECK_MESSAGE(refused.text.find("run: cannot be created: Permission denied") != std::string::npos, refused.text);
    CHECK(read_file(file) == "old");
    CHECK(std::distance(fs::directory_iterator(folder), {}) == 1);
    fs::permissions(folder, fs::perms(0755));
}

TEST_CASE("a run out of memory says so, and goes on where there is enough" *
          doctest::skip(!test::has_address_space_to_spare)) {
    const auto with = [](std::vector<std::string> arguments, rlim_t bytes) {
        return run(std::move(arguments), "/dev/null", {.limits = {{RLIMIT_AS, bytes}}});
    };
    rlim_t too_little = 1u << 20, enough = 1u << 30; // for a command that runs no model
    REQUIRE(with({"--version"}, enough).code == 0);
    while (enough - too_little > (64u << 10)) {
        const rlim_t between = (enough + too_little) / 2;
        (with({"--version"}, between).code == 0 ? enough : too_little) = between;
    }
    const auto folder = here().folder / "out_of_memory";
    const std::vector<std::string> one_thread{"--threads", "1", "--memory", "1600K"};
    int failed = 0;
    for (rlim_t bytes = enough;; bytes += 256u << 10, ++failed) {
        const auto result = with(study(folder, two_methods, one_thread), bytes);
        if (result.code == 0) break;
        CAPTURE(bytes - enough);
        REQUIRE_MESSAGE(result.code == 1, result.text);
        const bool says_so = std::ranges::any_of(
            std::array{"out of memory", "cannot be mapped: Cannot allocate memory", "pthread_create has failed"},
            [&](const char* text) { return result.text.find(text) != std::string::npos; });
        REQUIRE_MESSAGE(says_so, result.text);
    }
    CHECK(failed > 0);
    check_same_run(undisturbed(), folder);
}

TEST_CASE("a folder that cannot be made is named") {
    const auto result = run(study("/proc/run", two_methods));
    CHECK(result.code == 1);
    CHECK_MESSAGE(result.text.find("/proc/run: cannot be created") != std::string::npos, result.text);
}

TEST_CASE("a checkpoint cut while it is mapped ends the run with its name, and the run goes on with the whole one") {
    const auto model = here().folder / "cut";
    fs::copy(here().model, model);
    const auto weights = model / "model.safetensors";
    REQUIRE(fs::exists(weights));
    const auto folder = here().folder / "of_cut";
    auto arguments = study(folder, two_methods, little_memory);
    *(std::ranges::find(arguments, here().model.string())) = model;
    const auto result = run(arguments, "/dev/null",
                            {.now = first_block_of(folder), .happens = [&](pid_t) { fs::resize_file(weights, 4096); }});
    CHECK_MESSAGE(result.code == 1, result.text);
    CHECK_MESSAGE(result.text.find(weights.string() + ": became shorter") != std::string::npos, result.text);
    fs::copy_file(here().model / "model.safetensors", weights, fs::copy_options::overwrite_existing);
    const auto resumed = run(arguments);
    REQUIRE_MESSAGE(resumed.code == 0, resumed.text);
    check_same_run(undisturbed(), folder);
}

TEST_CASE("adding a method gives what asking for both at once gives") {
    const auto folder = here().folder / "added";
    REQUIRE(run(study(folder, "rtn3-g64")).code == 0);
    const auto result = run(study(folder, two_methods));
    REQUIRE_MESSAGE(result.code == 0, result.text);
    check_same_run(undisturbed(), folder);
}

TEST_CASE("methods named in another order leave a run as it is") {
    const auto folder = here().folder / "reordered";
    fs::copy(undisturbed(), folder, fs::copy_options::recursive);
    REQUIRE(run(study(folder, "nf4-g64-dq,rtn3-g64")).code == 0);
    check_same_run(undisturbed(), folder);
}

TEST_CASE("what cannot be run is refused before the folder knows of it") {
    const auto folder = here().folder / "refused";
    const auto refused = [](std::vector<std::string> const& arguments, int code, std::string const& words) {
        const auto result = run(arguments);
        CHECK_MESSAGE(result.code == code, result.text);
        CHECK_MESSAGE(result.text.find(words) != std::string::npos, result.text);
    };
    const auto rules = here().folder / "rules.json";
    std::ofstream(rules) << R"({"rules": [{"projection": "*", "layers": "7", "use": "full"}]})";
    refused(study(folder, "rtn3-g64", {"--overrides", rules}), 1, "layer 7; this model has layers 0 to 2");
    refused(study(folder, "rtn3-g64", {"--bos", "yes"}), 2, "holds token ids, which are taken as they stand");
    refused(study(folder, ""), 2, "--methods: at least one is expected");
    REQUIRE(run(study(folder, "rtn3-g64")).code == 0);
    const auto before = contents(folder);
    refused(study(folder, "rtn3-g64,nf4-g128"), 1,
            "layer 0 q_proj, nf4-g128: nf4-g128 matrix: 64 columns; a multiple of the group size 128 is expected");
    REQUIRE(run(study(folder, "rtn3-g64")).code == 0);
    CHECK(contents(folder) == before);

    auto arguments = study(here().folder / "refused_ids", "rtn3-g64");
    *std::ranges::find(arguments, here().ids_path.string()) = with_id("other.npy", 3, 5, 1 << 20);
    refused(arguments, 1, "other.npy: row 3, column 5: a token id from 0 to ");
    CHECK(!fs::exists(here().folder / "refused_ids" / "manifest.json"));
}

TEST_CASE("a report of what is there: a method that is not finished is named, a run that is not finished refused") {
    const auto folder = here().folder / "half";
    fs::copy(undisturbed(), folder, fs::copy_options::recursive);
    json manifest = read_json_file(folder / "manifest.json");
    manifest["methods"].push_back({{"name", "later"}, {"spec", "nf3-g64"}});
    std::ofstream(folder / "manifest.json") << manifest.dump();
    const auto result = run({"report", folder});
    CHECK_MESSAGE(result.code == 0, result.text);
    CHECK_MESSAGE(result.text.find("not finished, and not in the report: later") != std::string::npos, result.text);

    fs::remove(folder / "examples.csv");
    const auto refused = run({"report", folder});
    CHECK(refused.code == 1);
    CHECK_MESSAGE(refused.text.find("examples.csv is missing") != std::string::npos, refused.text);
}

TEST_CASE("rows longer than the model was trained on are computed, with a warning") {
    const auto model = here().folder / "short";
    fs::copy(here().model, model);
    json config = read_json_file(model / "config.json");
    config["max_position_embeddings"] = 8;
    std::ofstream(model / "config.json") << config.dump();
    auto arguments = study(here().folder / "of_short", "rtn3-g64");
    *std::ranges::find(arguments, here().model.string()) = model;
    const auto result = run(arguments);
    CHECK(result.code == 0);
    CHECK_MESSAGE(result.text.find("warning: --tokens 12: the model was trained on 8 positions") != std::string::npos,
                  result.text);
}

TEST_CASE("a study in bf16 says what that changes") {
    const std::vector<std::string> bf16{"--arithmetic", "bf16"};
    const auto folder = here().folder / "bf16", both = here().folder / "bf16_both";
    REQUIRE(run(study(folder, "rtn3-g64", bf16)).code == 0);
    const auto result = run(study(folder, two_methods, bf16));
    REQUIRE_MESSAGE(result.code == 0, result.text);
    REQUIRE(run(study(both, two_methods, {"--arithmetic", "bf16", "--threads", "3"})).code == 0);
    check_same_run(folder, both);

    CHECK(read_file(folder / "manifest.json").find("\"arithmetic\": \"bf16 (") != std::string::npos);
    CHECK(read_file(folder / "report.html").find("What the arithmetic changes") != std::string::npos);
    const csv_table in_float32 = read_csv(folder / "float32.csv"),
                    of_float32 = read_csv(undisturbed() / "examples.csv"), of_bf16 = read_csv(folder / "examples.csv");
    CHECK(in_float32.rows() == 8);
    for (const char* column : {"nll_full", "nll_rtn3-g64", "nll_nf4-g64-dq"}) {
        CAPTURE(column);
        for (std::size_t i = 0; i < in_float32.rows(); ++i) {
            const double truth = in_float32.number(i, in_float32.column(column));
            CHECK(truth == of_float32.number(i, of_float32.column(column)));
            const double rounded = of_bf16.number(i, of_bf16.column(column));
            CHECK(truth != rounded);
            CHECK(std::abs(truth - rounded) < 0.05);
        }
    }
    const auto other = run(study(folder, two_methods));
    CHECK(other.code == 2);
    CHECK_MESSAGE(other.text.find("arithmetic: \"bf16 (") != std::string::npos, other.text);
}

TEST_CASE("a report drawn again is the same") {
    const auto before = contents(undisturbed());
    REQUIRE(run({"report", undisturbed()}).code == 0);
    CHECK(contents(undisturbed()) == before);
}

TEST_CASE("figures as PNG: one of each SVG file, two pixels to its unit; a program that is missing is named") {
    const auto folder = here().folder / "png";
    fs::copy(undisturbed(), folder, fs::copy_options::recursive);
    const std::string path = std::getenv("PATH");
    const auto draw = [&](fs::path const& where) {
        ::setenv("PATH", where.c_str(), 1);
        const auto result = run({"report", folder, "--png"});
        ::setenv("PATH", path.c_str(), 1);
        return result;
    };
    const auto missing = draw(here().model);
    CHECK(missing.code == 1);
    CHECK_MESSAGE(missing.text.find("rsvg-convert") != std::string::npos, missing.text);
    CHECK_MESSAGE(missing.text.find("librsvg2-bin") != std::string::npos, missing.text);
    check_same_run(undisturbed(), folder);

    if (std::system("command -v rsvg-convert >/dev/null") != 0) {
        MESSAGE("the PNG files are skipped: there is no rsvg-convert");
        return;
    }
    const auto drawn = draw(path);
    REQUIRE_MESSAGE(drawn.code == 0, drawn.text);
    std::size_t pictures = 0;
    for (auto const& file : contents(folder)) {
        CAPTURE(file.first);
        fs::path name = file.first;
        if (name.extension() != ".svg") continue;
        const auto png = read_file(folder / name.replace_extension(".png"));
        REQUIRE(png.size() > 24);
        CHECK(png.starts_with("\x89PNG\r\n\x1a\n"));
        const auto width = static_cast<unsigned char>(png[18]) * 256u + static_cast<unsigned char>(png[19]);
        CHECK(width == 2 * std::stod(file.second.substr(file.second.find("width=\"") + 7)));
        ++pictures;
    }
    CHECK(pictures > 3);
    CHECK_MESSAGE(drawn.text.find(std::to_string(pictures) + " figures as PNG") != std::string::npos, drawn.text);

    REQUIRE(run({"report", folder}).code == 0);
    check_same_run(undisturbed(), folder); // no picture stays that is older than its figure
}

/// Opens the page in a frame, works it as a reader would, and leaves what it saw in the element "seen".
constexpr const char* reader_of_the_page =
    R"html(<!DOCTYPE html><meta charset="utf-8"><iframe src="report.html" width="320" height="900"></iframe>
<pre id="seen"></pre><script>
onload = () => {
  const view = frames[0], page = view.document, seen = {};
  const find = selector => page.querySelector(selector), all = selector => [...page.querySelectorAll(selector)];
  const wait = task => new Promise(done => setTimeout(() => done(task()), 50));
  const choose = (place, value) => {
    const select = all(".token-choice select")[place];
    select.value = value;
    select.dispatchEvent(new view.Event("change"));
  };
  const colours = () => all("details.document[open] .text i").map(t => t.className).join();
  const box = () => find("#token-box"), has_box = () => !!box() && !box().hidden;
  const fire = (element, kind, name, more) => element.dispatchEvent(new view[kind](name, {bubbles: true, ...more}));

  seen.ours = colours();
  const looks = ["error", "loss", "kl", "entropy", "margin"].map(by => {
    choose(1, by);
    const coloured = find("details.document[open] .text i[class]");
    return colours() + (coloured ? view.getComputedStyle(coloured).backgroundColor : "");
  });
  seen.measures = new Set(looks).size;
  choose(1, "error");
  seen.back = colours() === seen.ours;
  seen.ours = seen.ours.length > 0;
  all('input[data-method="1"]')[0].click();
  seen.method = all(".token-choice select")[0].value + " " + all(".key").filter(k => !k.hidden).length;
  seen.tables = all(".choice > .of-1").filter(part => view.getComputedStyle(part).display !== "none").length;
  all('input[data-method="0"]')[0].click();

  const text = find("details.document[open] .text"), tokens = text.children;
  const says = place => box().textContent.includes( // tokens that share a character share an element
    "position" + [...tokens].slice(0, place).reduce((sum, t) => sum + (+t.dataset.n || 1), 1));
  fire(tokens[2], "PointerEvent", "pointerover", {pointerType: "mouse"});
  seen.pointed = has_box() && tokens[2].className.includes("now") && says(2);
  fire(text, "PointerEvent", "pointerleave", {pointerType: "mouse"});
  seen.left = !has_box();
  fire(tokens[1], "PointerEvent", "click", {pointerType: "touch"});
  seen.tapped = has_box() && says(1);
  fire(text, "KeyboardEvent", "keydown", {key: "ArrowRight"});
  seen.walked = says(2) && text.tabIndex === 0;
  seen.box_within = box().getBoundingClientRect().right <= page.documentElement.clientWidth;
  fire(text, "KeyboardEvent", "keydown", {key: "Escape"});
  seen.escaped = !has_box();

  const table = find("table[data-rows]"), rows = () => [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells], error = heads.findIndex(h => h.textContent.startsWith("error"));
  const values = () => rows().map(r => +r.cells[error].textContent.replace("\u2212", "-"));
  const falls = () => values().every((v, i, list) => i === 0 || list[i - 1] >= v);
  seen.first = falls();
  const whole = () => rows().map(r => r.innerHTML).join();
  const before = whole();
  heads[error].firstChild.click();
  seen.same = whole() === before;
  heads[error].firstChild.click();
  seen.rising = values().every((v, i, list) => i === 0 || list[i - 1] <= v);
  const filter = find("input[type=search]"), count = filter.nextElementSibling;
  filter.value = "no row has this";
  filter.oninput();
  seen.shown = rows().length + " " + count.textContent;
  filter.value = "";
  filter.oninput();
  seen.again = rows().length === values().length && rows().length > 1;

  const folded = find("details.document:not([open])"), target = folded.querySelector("[id^=document-]").id;
  view.location.hash = target;
  wait(() => {
    seen.unfolded = folded.open;
    for (const details of all("details")) details.open = true;
    seen.beyond = page.documentElement.scrollWidth - page.documentElement.clientWidth;
    view.frameElement.width = 375;
    const scale = ({a, b}) => Math.hypot(a, b); // of turned letters too
    const letters = all("svg text").map(t => scale(t.getScreenCTM()) * parseFloat(view.getComputedStyle(t).fontSize));
    seen.readable = letters.length > 20 && Math.min(...letters) >= 10;
    document.getElementById("seen").textContent = JSON.stringify(seen);
  });
};
</script>)html";

TEST_CASE(
    "the report in a browser: texts are coloured and say what is known of a token, tables sort and search, it fits "
    "a phone, nothing on the console") {
    if (std::system("command -v chromium >/dev/null") != 0) {
        MESSAGE("skipped: there is no chromium");
        return;
    }
    const auto folder = here().folder / "browser", page = folder / "reader.html", log = folder / "log",
               dom = folder / "dom";
    fs::copy(undisturbed(), folder, fs::copy_options::recursive);
    auto examples = read_file(folder / "examples.csv"); // with an id and a topic that have no place to break
    const auto empty = examples.find(",,,", examples.find("\n0,"));
    REQUIRE(empty != std::string::npos);
    std::ofstream(folder / "examples.csv") << examples.insert(empty + 2, 200, 'w').insert(empty + 1, 200, 'w');
    REQUIRE(run({"report", folder}).code == 0);
    std::ofstream(page) << reader_of_the_page;
    // The reader's script may look into the frame only where files count as one origin.
    const std::string command = "timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
                                "--enable-logging=stderr --disable-web-security --allow-file-access-from-files "
                                "--virtual-time-budget=10000 --user-data-dir='" +
                                (folder / "profile").string() + "' --dump-dom 'file://" + page.string() + "' >'" +
                                dom.string() + "' 2>'" + log.string() + "'";
    REQUIRE_MESSAGE(std::system(command.c_str()) == 0, read_file(log));
    const auto text = read_file(dom);
    const auto first = text.find("<pre id=\"seen\">{"), last = text.find("</pre>");
    REQUIRE_MESSAGE(first != std::string::npos, text);
    CHECK(text.substr(first + 15, last - first - 15) ==
          R"({"ours":true,"measures":5,"back":true,"method":"1 1","tables":2,"pointed":true,"left":true,"tapped":true,)"
          R"("walked":true,"box_within":true,"escaped":true,"first":true,"same":true,"rising":true,)"
          R"("shown":"0 0 of 26 documents","again":true,"unfolded":true,"beyond":0,"readable":true})");
    CHECK_MESSAGE(read_file(log).find("CONSOLE") == std::string::npos, read_file(log));
}

TEST_CASE("another run in the same folder is refused, and the difference named") {
    const auto refused = [](std::vector<std::string> const& arguments, char const* words) {
        const auto result = run(arguments);
        CHECK(result.code == 2);
        CHECK_MESSAGE(result.text.find(words) != std::string::npos, result.text);
    };
    const auto before = contents(undisturbed());
    refused(study(undisturbed(), "rtn3-g64", {"--seed", "7"}), "seed: 1 in the folder, 7 asked for");
    refused(study(undisturbed(), "rtn3-g64", {"--first-position"}), "first_position");
    refused(study(undisturbed(), "rtn3-g64", {"--examples", "9"}), "examples");
    auto other = study(undisturbed(), "rtn3-g64");
    *std::ranges::find(other, here().ids_path.string()) = with_id("more.npy", 0, 0, here().ids.row(0)[0] ^ 1);
    refused(other, "data.");
    const auto model = here().folder / "other_model";
    fs::copy(here().model, model);
    json config = read_json_file(model / "config.json");
    config["rms_norm_eps"] = 1e-6;
    std::ofstream(model / "config.json") << config.dump();
    other = study(undisturbed(), "rtn3-g64");
    *std::ranges::find(other, here().model.string()) = model;
    refused(other, "model.files");
    refused(study(undisturbed(), "rtn3-g64=nf4-g64"), "method rtn3-g64 is rtn3-g64 there, nf4-g64 asked for");
    CHECK(contents(undisturbed()) == before);
    CHECK_FALSE(fs::exists(undisturbed() / "parts"));

    const run_folder held(here().folder / "held");
    const auto result = run(study(held.path(), "rtn3-g64"));
    CHECK(result.code == 1);
    CHECK(result.text.find("another process") != std::string::npos);
}

TEST_CASE("misuse is told from failure by the exit code") {
    CHECK(run({}).code == 2);
    CHECK(run({"study"}).code == 2);
    CHECK(run({"nonsense"}).code == 2);
    CHECK(run(study(here().folder / "x", "gptq9-g64")).code == 2);
    CHECK(run(study(here().folder / "x", "rtn3-g64,rtn3-g64")).code == 2);
    CHECK(run(study(here().folder / "x", "rtn3-g64", {"--memory", "100K"})).code == 2);
    CHECK(run({"inspect", here().ids_path}).code == 1);
    for (const char* verb : {"study", "report", "inspect", "tokenize", "probe", "perplexity", "generate"}) {
        const auto help = run({verb, "--help"});
        CHECK(help.code == 0);
        CHECK(help.text.find("Usage") != std::string::npos);
    }
}

TEST_CASE("inspect says what a checkpoint is and what would be refused") {
    auto result = run({"inspect", here().model});
    CHECK(result.code == 0);
    CHECK(result.text.find("llama") != std::string::npos);
    CHECK(result.text.find("refused       nothing") != std::string::npos);
    for (const char* words : {"\nblock         norms before attention and MLP, SiLU gate\n", "\nbiases        none\n",
                              "\npositions     theta ", ", not scaled, frequencies 1 to ", ", magnitude 1\n",
                              "\nwindow        none\n", ", no soft cap\n"})
        CHECK_MESSAGE(result.text.find(words) != std::string::npos, result.text);
    CHECK(result.text.find("remark") == std::string::npos);

    const auto other = here().folder / "mistral"; // the same tensors
    fs::copy(here().model, other);
    json changed = read_json_file(other / "config.json");
    changed["model_type"] = "mistral";
    changed.erase("architectures");
    changed["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}};
    std::ofstream(other / "config.json") << changed.dump();
    result = run({"inspect", other});
    CHECK(result.code == 0);
    for (const char* words :
         {", yarn, factor 4 from 32 positions, fast 32, slow 1, frequencies 1 to ", ", magnitude 1.13863\n",
          "\nwindow        4096 positions\n", "says nothing of sliding_window: as MistralForCausalLM has it"})
        CHECK_MESSAGE(result.text.find(words) != std::string::npos, result.text);

    const auto broken = here().folder / "broken";
    fs::copy(here().model, broken);
    json config = read_json_file(broken / "config.json");
    config["rope_scaling"] = {{"rope_type", "ntk"}, {"factor", 4.0}};
    std::ofstream(broken / "config.json") << config.dump();
    fs::remove(broken / "tokenizer.json");
    result = run({"inspect", broken});
    CHECK(result.code == 1);
    for (const char* words : {"rope_scaling", "refused       tokenizer: "})
        CHECK_MESSAGE(result.text.find(words) != std::string::npos, result.text);
    CHECK(result.text.find("tensors") != std::string::npos); // what is there is shown all the same
}

TEST_CASE("inspect shows what is known, and no size that is not") {
    const auto other = here().folder / "other";
    fs::create_directory(other);
    std::ofstream(other / "config.json") << R"({"model_type": "bert", "hidden_size": 32, "layer_norm_eps": 1e-12})";
    const auto result = run({"inspect", other});
    CHECK(result.code == 1);
    CHECK(result.text.starts_with("architecture  bert\nsizes         width 32\nrefused       "));
    for (const char* nothing : {"rope theta", "epsilon", "context 0", " 0 ", "format"})
        CHECK_MESSAGE(result.text.find(nothing) == std::string::npos, result.text);
}

TEST_CASE("a key that nobody knows is passed over on request, and the run says so") {
    const auto odd = here().folder / "odd";
    fs::copy(here().model, odd);
    json config = read_json_file(odd / "config.json");
    config["odd_key"] = 2;
    std::ofstream(odd / "config.json") << config.dump();
    const auto with_model = [&](fs::path const& out, std::vector<std::string> more) {
        auto arguments = study(out, "rtn3-g64", std::move(more));
        arguments[2] = odd;
        return run(arguments);
    };
    const auto out = here().folder / "odd_run";
    const auto refused = with_model(out, {});
    CHECK(refused.code == 1);
    CHECK_MESSAGE(refused.text.find("--allow-key \"odd_key\" passes over it") != std::string::npos, refused.text);
    CHECK(with_model(out, {"--allow-key", "hidden_act"}).code == 2);
    CHECK(with_model(out, {"--allow-key", "od_key"}).code == 2);
    const auto taken = with_model(out, {"--allow-key", "odd_key", "--allow-key", "odd_key"});
    CHECK_MESSAGE(taken.code == 0, taken.text);
    CHECK(read_json_file(out / "manifest.json")["model"]["allowed_keys"] == json{"odd_key"});
    CHECK(with_model(out, {"--allow-key", "odd_key"}).code == 0); // the same run
    CHECK(run({"inspect", odd}).code == 1);
    CHECK(run({"inspect", odd, "--allow-key", "odd_key"}).code == 0);
    CHECK(run({"tokenize", "--model", odd}).code == 0); // which reads no configuration
    const std::vector<std::string> probe{"probe",     "--model",       odd,
                                         "--data",    here().ids_path, "--points",
                                         "resid_mid", "--out",         here().folder / "odd.npz"};
    CHECK(run(probe).code == 1);
    auto allowed = probe;
    allowed.insert(allowed.end(), {"--allow-key", "odd_key"});
    CHECK(run(allowed).code == 0);
    std::ofstream(here().folder / "odd.txt") << "some words that make a window of a few tokens";
    CHECK(run({"perplexity", "--model", odd, "--text", here().folder / "odd.txt", "--window", "4", "--allow-key",
               "odd_key"})
              .code == 0);
    const auto plain = here().folder / "plain_run";
    CHECK(run(study(plain, "rtn3-g64")).code == 0);
    CHECK_FALSE(read_json_file(plain / "manifest.json")["model"].contains("allowed_keys"));
}

TEST_CASE("tokenize reads JSON strings and writes the tokenizer's ids") {
    const auto input = here().folder / "lines.txt";
    std::ofstream(input) << "\"two words\\n\"\n\"\"\n";
    const auto result = run({"tokenize", "--model", here().model}, input);
    CHECK(result.code == 0);
    const auto t = tokenizer::from_json(here().model / "tokenizer.json");
    CHECK(result.text == json(t.encode("two words\n")).dump() + "\n[]\n");
    std::ofstream(input) << "no JSON\n";
    CHECK(run({"tokenize", "--model", here().model}, input).code == 1);
}

TEST_CASE("tokenize takes the file of a tokenizer alone, of any kind, and what it does not say") {
    const auto input = here().folder / "lines_for_files.txt";
    std::ofstream(input) << "\"the model is small\"\n";
    const fs::path data = fs::path(BITLENS_TEST_DATA) / "text";
    for (const char* name : {"tiny_llama.model", "tiny_gemma.model", "tiny_tekken.json", "tiny_qwen2.json"}) {
        const auto ids = load_tokenizer(data / name).encode("the model is small");
        CHECK(run({"tokenize", "--tokenizer", data / name}, input).text == json(ids).dump() + "\n");
    }
    const auto without = run({"tokenize", "--tokenizer", data / "tiny_llama3.model"}, input);
    CHECK(without.code == 1);
    CHECK_MESSAGE(without.text.find("a tiktoken file of 620 tokens says neither how words are split") !=
                      std::string::npos,
                  without.text);
    const auto ids = load_tokenizer(data / "tiny_llama3.model", "llama-bpe").encode("the model is small");
    CHECK(run({"tokenize", "--tokenizer", data / "tiny_llama3.model", "--pre", "llama-bpe"}, input).text ==
          json(ids).dump() + "\n");
    for (auto const& [file, pre] : {std::pair{"tiny_llama3.model", "deepseek"}, {"tiny_llama.model", "qwen2"}})
        CHECK(run({"tokenize", "--tokenizer", data / file, "--pre", pre}, input).code == 2);
    CHECK(run({"tokenize"}, input).code == 2);
    CHECK(run({"tokenize", "--tokenizer", data / "tiny_llama.model", "--model", here().model}, input).code == 2);
}

TEST_CASE("probe writes what the library computes, perplexity its mean") {
    using model_type = transformer<llama, packed_matrix<dense<float>>>;
    const model_type model(checkpoint(here().model), true);
    const auto out = here().folder / "x.npz";
    REQUIRE(run({"probe", "--model", here().model, "--data", here().ids_path, "--points", "resid_mid,logits",
                 "--layers", "0,2", "--out", out})
                .code == 0);
    const npz_reader file(out);
    CHECK(file.names() == std::vector<std::string>{"logits", "resid_mid_l0", "resid_mid_l2"});
    record<hook::resid_mid, hook::logits> kept;
    model.forward(here().ids.row(3), kept);
    const auto same = [&](std::string const& name, matrix_view<const float> expected) {
        const auto array = file.array(name);
        CHECK(array.shape == std::vector<std::size_t>{rows, tokens, expected.cols});
        const auto values = array.values<float>();
        const auto row = values.begin() + static_cast<std::ptrdiff_t>(3 * tokens * expected.cols);
        float largest = 0; // the command is compiled with other flags, so its sums may be fused elsewhere
        for (std::size_t t = 0; t < tokens; ++t)
            for (float x : expected.row(t)) largest = std::max(largest, std::abs(x));
        for (std::size_t i = 0; i < tokens * expected.cols; ++i)
            CHECK(std::abs(expected.data[i] - row[static_cast<std::ptrdiff_t>(i)]) <= 1e-5f * largest);
    };
    same("resid_mid_l2", kept.get<hook::resid_mid>(2));
    same("logits", kept.get<hook::logits>());
    CHECK(run({"probe", "--model", here().model, "--data", here().ids_path, "--points", "resid_mdi", "--out", out})
              .code == 2);
    CHECK(run({"probe", "--model", here().model, "--data", here().ids_path, "--points", "logits", "--layers", "3",
               "--out", out})
              .code == 2);

    const auto text_path = here().folder / "text.txt";
    std::ofstream(text_path)
        << "A line of words, and another one.\nMore words follow the first ones, again and again.\n";
    const auto perplexity_of = [](fs::path const& text) {
        return run({"perplexity", "--model", here().model, "--text", text, "--window", "8"});
    };
    const auto result = perplexity_of(text_path);
    REQUIRE_MESSAGE(result.code == 0, result.text);
    const auto marked = here().folder / "marked.txt", foreign = here().folder / "foreign.txt";
    std::ofstream(marked) << "\xEF\xBB\xBF" << read_file(text_path);
    const auto last_line = [](std::string const& text) { return text.substr(text.rfind('\n', text.size() - 2) + 1); };
    CHECK(last_line(perplexity_of(marked).text) == last_line(result.text));
    std::ofstream(foreign) << "caf\xE9";
    const auto refused = perplexity_of(foreign);
    CHECK_MESSAGE(refused.text.find("foreign.txt: byte 3 is no UTF-8") != std::string::npos, refused.text);
    const auto ids = tokenizer::from_json(here().model / "tokenizer.json").encode(read_file(text_path));
    double sum = 0;
    const std::size_t windows = ids.size() / 8;
    for (std::size_t w = 0; w < windows; ++w) {
        const std::span<const std::int32_t> window(ids.data() + 8 * w, 8);
        record<hook::logits> logits;
        model.forward(window, logits);
        for (std::size_t t = 0; t + 1 < 8; ++t) {
            const auto row = matrix_view<const float>(logits.get<hook::logits>()).row(t);
            const double largest = *std::max_element(row.begin(), row.end());
            const double total = std::accumulate(row.begin(), row.end(), 0.0,
                                                 [&](double s, float l) { return s + std::exp(l - largest); });
            sum += (largest + std::log(total) - row[static_cast<std::size_t>(window[t + 1])]) / 7;
        }
    }
    char expected[64];
    std::snprintf(expected, sizeof expected, "nll %.4f", sum / static_cast<double>(windows));
    const auto at = result.text.find("nll ");
    REQUIRE(at != std::string::npos);
    CHECK(std::abs(std::stod(result.text.substr(at + 4)) - sum / static_cast<double>(windows)) < 2e-6);
}
