/// Gives every file of the corpus to its target.
///
///     fuzz_replay            fails where one ends in anything but success or an error of the library
///     fuzz_replay --table    prints what became of each, as docs/hostile-input.md has it

#include "give.hpp"

#include "bitlens/core/utf8.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <iostream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fuzz = bitlens::fuzz;

/// Sorted.   Errors: std::runtime_error if there are none.
std::vector<std::filesystem::path> inputs_of(fuzz::target const& t) {
    const auto corpus = std::filesystem::path(BITLENS_FUZZ_CORPUS) / t.name;
    std::vector<std::filesystem::path> all;
    for (auto const& entry : std::filesystem::directory_iterator(corpus)) all.push_back(entry.path());
    if (all.empty()) throw std::runtime_error(corpus.string() + ": is empty");
    std::ranges::sort(all);
    return all;
}

std::string give_file(fuzz::target const& t, std::filesystem::path const& path) {
    const std::string bytes = bitlens::test::read_bytes(path);
    return fuzz::give(t, {reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size()});
}

/// A message as a cell of a table: without the temporary folder, without what a JSON library says in its own words, in
/// one line and not too long.
std::string cell(std::string text) {
    constexpr std::size_t longest = 240;
    text = std::regex_replace(text, std::regex("[^ ]*/bitlens_test_[^/:]*/"), "");
    text = std::regex_replace(text, std::regex("[^ ]*/bitlens_test_[^/:]*"), "FOLDER");
    text = std::regex_replace(text, std::regex("(no valid JSON at byte [0-9]+): [^]*"), "$1: …");
    text = std::regex_replace(text, std::regex("\n *"), " ");
    if (text.size() > longest) text = text.substr(0, bitlens::valid_utf8_length(text.substr(0, longest))) + "…";
    return "`" + std::regex_replace(text, std::regex("\\|"), "\\|") + "`";
}

void print_table(fuzz::target const& t) {
    std::cout << "\n## " << t.title << "\n\n| input | answer |\n|---|---|\n";
    for (auto const& path : inputs_of(t)) {
        const std::string refusal = give_file(t, path);
        std::cout << "| " << path.filename().string() << " | " << (refusal.empty() ? "taken" : cell(refusal)) << " |\n";
    }
}

/// False where an input broke something, or where one that is called valid was refused.
bool replay(fuzz::target const& t) {
    bool good = true;
    for (auto const& path : inputs_of(t)) {
        std::string problem;
        try {
            const std::string refusal = give_file(t, path);
            if (!refusal.empty() && path.filename().string().starts_with("valid")) problem = "refused: " + refusal;
        } catch (std::exception const& e) {
            problem = e.what();
        }
        if (problem.empty()) continue;
        std::cerr << path.string() << ": " << problem << '\n';
        good = false;
    }
    return good;
}

} // namespace

int main(int count, char** arguments) {
    if (count == 2 && std::string_view(arguments[1]) == "--table") {
        std::ranges::for_each(fuzz::targets, print_table);
        return 0;
    }
    bool good = true;
    for (auto const& t : fuzz::targets) good = replay(t) && good;
    return good ? 0 : 1;
}
