#include "bitlens/sweep/run_folder.hpp"

#include "temporary_folder.hpp"

#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;

TEST_CASE("the first difference between two manifests is named with both values") {
    const json a = {{"model", {{"sha256", "aa"}}}, {"tokens", 512}};
    CHECK_FALSE(first_difference(a, a));
    json b = a;
    b["model"]["sha256"] = "bb";
    CHECK(*first_difference(a, b) == "model.sha256: \"aa\" in the folder, \"bb\" asked for");
    b = a;
    b["seed"] = 3;
    CHECK(*first_difference(a, b) == "seed: nothing in the folder, 3 asked for");
    CHECK(*first_difference(b, a) == "seed: 3 in the folder, nothing asked for");
    CHECK(first_difference(json(1), json::object())->find("1 in the folder, {} asked for") != std::string::npos);
}

TEST_CASE("a run folder can be opened again, but not twice at once") {
    const test::temporary_folder parent;
    const fs::path path = parent.path() / "deep" / "run";
    {
        const run_folder folder(path);
        CHECK_FALSE(folder.manifest());
        folder.write_manifest({{{"tokens", 7}}, {{"a", "rtn3-row"}}, {}});
        CHECK_THROWS_WITH_AS(run_folder{path}, doctest::Contains("another process is running"), io_error);
    }
    const run_folder folder(path);
    CHECK(folder.manifest()->setting.at("tokens") == 7);
}

TEST_CASE("the lock alone marks a folder as a run's: a process may be killed when it has made nothing else") {
    const test::temporary_folder parent;
    std::ofstream(parent.path() / ".lock").close();
    std::ofstream(parent.path() / "parts") << "no folder";
    CHECK_THROWS_WITH_AS(run_folder{parent.path()}.write_manifest({}), doctest::Contains("parts: cannot be created: "),
                         io_error);
    fs::remove(parent.path() / "parts");
    CHECK_FALSE(run_folder{parent.path()}.manifest());
    CHECK_FALSE(fs::exists(parent.path() / "parts")); // who only looks leaves nothing
}

TEST_CASE("a run that is refused before it writes anything leaves nothing behind") {
    const test::temporary_folder parent;
    {
        const run_folder folder(parent.path() / "deep" / "run");
        CHECK(fs::exists(folder.path() / ".lock"));
        CHECK_THROWS_WITH_AS(run_folder{folder.path()}, doctest::Contains("another process is running"), io_error);
        CHECK_THROWS_WITH_AS(folder.write_manifest({{{"name", "\xFF"}}, {}, {}}), doctest::Contains("UTF-8"),
                             format_error);
    }
    CHECK(fs::is_empty(parent.path()));
    CHECK_THROWS_WITH_AS(run_folder{parent.path() / "deep" / std::string(300, 'x')},
                         doctest::Contains("cannot be created"), io_error);
    CHECK(fs::is_empty(parent.path()));
    { const run_folder folder(parent.path()); }
    CHECK(fs::is_empty(parent.path())); // a folder that was there stays
    { run_folder{parent.path() / "run"}.log("a line"); }
    CHECK(fs::exists(parent.path() / "run" / ".lock")); // or the folder would be nobody's
    fs::remove(parent.path() / "run" / "log.txt");
    { const run_folder folder(parent.path() / "run"); }
    CHECK(fs::exists(parent.path() / "run" / ".lock")); // an earlier run's
}

TEST_CASE("what cannot be read in a run folder is an io_error") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    fs::create_symlink("manifest.json", parent / "manifest.json");
    CHECK_THROWS_WITH_AS(folder.manifest(), doctest::Contains("manifest.json: cannot be opened"), io_error);
    folder.remove_parts();
    CHECK_THROWS_WITH_AS(folder.parts("a"), doctest::Contains("parts: cannot be listed"), io_error);
}

TEST_CASE("a folder that holds something else is left alone") {
    const test::temporary_folder parent;
    std::ofstream(parent.path() / "thesis.tex") << "text";
    CHECK_THROWS_WITH_AS(run_folder{parent.path()}, doctest::Contains("holds files but no run"), option_error);
    CHECK_THROWS_WITH_AS(run_folder{parent.path() / "thesis.tex"}, doctest::Contains("found a file"), io_error);
    CHECK(std::distance(fs::directory_iterator(parent.path()), {}) == 1);
}

TEST_CASE("parts are found by variant, in order of their rows, and nothing else is taken for one") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.write_manifest({});
    for (auto const& path : {folder.part_path("a", 8, 8), folder.part_path("a", 0, 8), folder.part_path("a-8", 0, 4)})
        std::ofstream(path) << "part";
    for (const char* name : {"a-16-8.npz.tmp123", "a-16.npz", "a-x-8.npz", "a-16-0.npz", "a--8.npz"})
        std::ofstream(folder.path() / "parts" / name) << "no part";
    const auto parts = folder.parts("a");
    REQUIRE(parts.size() == 2);
    CHECK(parts[0].first == 0);
    CHECK(parts[1].first == 8);
    CHECK(parts[1].count == 8);
    CHECK(folder.parts("a-8").size() == 1);
    folder.remove_parts();
    CHECK_FALSE(fs::exists(folder.path() / "parts"));
}

TEST_CASE("the log keeps every line behind its time") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.log("first");
    folder.log("second");
    std::ifstream log(parent.path() / "log.txt");
    std::string line;
    std::getline(log, line);
    CHECK(line.ends_with("Z first"));
    std::getline(log, line);
    CHECK(line.ends_with("Z second"));
}
