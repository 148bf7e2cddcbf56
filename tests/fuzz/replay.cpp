/// Gives every file of the corpus to its target.
///
///     fuzz_replay            fails where one ends in anything but success or an error of the library
///     fuzz_replay --table    prints what became of each, as docs/hostile-input.md has it
///     fuzz_replay --out-of-memory    gives the valid ones of targets that make no JSON over and over,
///                            and lets one allocation after the other fail: fails where that ends in anything but
///                            std::bad_alloc, or memory stays behind

#include "give.hpp"

#include "bitlens/core/utf8.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <utility>
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

bool is_called_valid(std::filesystem::path const& path) { return path.filename().string().starts_with("valid"); }

fuzz::input input_of(std::string const& bytes) {
    return {reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size()};
}

std::string give_file(fuzz::target const& t, std::filesystem::path const& path) {
    return fuzz::give(t, input_of(bitlens::test::read_bytes(path)));
}

/// The text without the names of temporary folders; one that ends there is called FOLDER.
std::string without_folders(std::string text) {
    constexpr std::string_view mark = "/bitlens_test_";
    for (std::size_t at; (at = text.find(mark)) != text.npos;) {
        const std::size_t begin = text.rfind(' ', at) + 1, end = text.find_first_of("/: ", at + mark.size());
        if (end < text.size() && text[end] == '/')
            text.erase(begin, end + 1 - begin);
        else
            text.replace(begin, std::min(end, text.size()) - begin, "FOLDER");
    }
    return text;
}

/// The text up to where a JSON library begins to speak in its own words.
std::string without_details(std::string text) {
    constexpr std::string_view mark = "no valid JSON at byte ";
    const std::size_t at = text.find(mark);
    if (at == text.npos) return text;
    const std::size_t end = text.find(": ", at);
    return end == text.npos ? text : text.substr(0, end) + ": …";
}

std::string replace_all(std::string text, std::string_view old, std::string_view by) {
    for (std::size_t at = 0; (at = text.find(old, at)) != text.npos; at += by.size()) text.replace(at, old.size(), by);
    return text;
}

/// A message as a cell of a table, in one line and not too long.
std::string cell(std::string text) {
    constexpr std::size_t longest = 240;
    text = replace_all(without_details(without_folders(std::move(text))), "\n", " ");
    const auto both_spaces = [](char a, char b) { return a == ' ' && b == ' '; };
    text.erase(std::unique(text.begin(), text.end(), both_spaces), text.end());
    if (text.size() > longest) text = text.substr(0, bitlens::valid_utf8_length(text.substr(0, longest))) + "…";
    return "`" + replace_all(std::move(text), "|", "\\|") + "`";
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
            if (!refusal.empty() && is_called_valid(path)) problem = "refused: " + refusal;
        } catch (std::exception const& e) {
            problem = e.what();
        }
        if (problem.empty()) continue;
        std::cerr << path.string() << ": " << problem << '\n';
        good = false;
    }
    return good;
}

/// Errors: std::runtime_error if there are none.
std::vector<std::filesystem::path> valid_inputs_of(fuzz::target const& t) {
    auto all = inputs_of(t);
    std::erase_if(all, std::not_fn(is_called_valid));
    if (all.empty()) throw std::runtime_error(std::string(t.name) + ": no input is called valid");
    return all;
}

/// False where the want of memory breaks something.
bool run_out_of_memory(fuzz::target const& t, std::filesystem::path const& path) {
    const std::string bytes = bitlens::test::read_bytes(path);
    const fuzz::input input = input_of(bytes);
    t.run(input); // makes what is made once and kept
    const std::size_t held = fuzz::allocated();
    bool good = true, failed = true;
    for (std::size_t n = 0; failed; ++n) {
        std::string problem;
        fuzz::fail_after(n);
        try {
            t.run(input);
            failed = fuzz::fail_no_more(); // and was done without
        } catch (std::bad_alloc const&) {
            fuzz::fail_no_more();
        } catch (std::exception const& e) {
            fuzz::fail_no_more();
            problem = e.what();
        }
        if (problem.empty() && fuzz::allocated() > held)
            problem = std::to_string(fuzz::allocated() - held) + " bytes are left behind";
        if (problem.empty()) continue;
        std::cerr << path.string() << ", allocation " << n << " fails: " << problem << '\n';
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
    const bool out_of_memory = count == 2 && std::string_view(arguments[1]) == "--out-of-memory";
    bool good = true;
    for (auto const& t : fuzz::targets)
        if (!out_of_memory)
            good = replay(t) && good;
        else if (!t.makes_json)
            for (auto const& path : valid_inputs_of(t)) good = run_out_of_memory(t, path) && good;
    return good ? 0 : 1;
}
