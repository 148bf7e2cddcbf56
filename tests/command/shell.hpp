#pragma once
/// The command as a line of the shell calls it.

#include <cstdio>
#include <string>
#include <sys/wait.h>
#include <vector>

#include <doctest/doctest.h>

namespace bitlens::test {

struct outcome {
    int code;
    std::string text; // of both streams
};

/// What a line of the shell does; `bitlens` in it is the command.
inline outcome shell(std::string const& line) {
    std::FILE* const pipe =
        ::popen(("bitlens() { '" BITLENS_COMMAND "' \"$@\"; }; { " + line + "; } 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    const int status = ::pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
}

/// And that it ends with the code, and says the words.
inline void check(std::string const& line, int code, std::vector<std::string> const& words) {
    const auto result = shell(line);
    CAPTURE(line);
    CHECK_MESSAGE(result.code == code, result.text);
    for (auto const& word : words)
        CHECK_MESSAGE(result.text.find(word) != std::string::npos, word, " is missing in: ", result.text);
}

} // namespace bitlens::test
