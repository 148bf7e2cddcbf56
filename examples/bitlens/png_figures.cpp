#include "png_figures.hpp"

#include "bitlens/core/error.hpp"

#include <array>
#include <cerrno>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace bitlens::command {
namespace {

namespace fs = std::filesystem;

/// `png` appears complete or not at all.
void rasterize(fs::path const& svg, fs::path const& png) {
    const fs::path unfinished = png.parent_path() / ("." + png.filename().string() + ".tmp");
    std::array<std::string, 8> words{"rsvg-convert",       "--zoom",     "2", "--background-color", "white", "--output",
                                     absolute(unfinished), absolute(svg)};
    std::array<char*, words.size() + 1> arguments{};
    for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();

    pid_t child = 0;
    if (const int problem = ::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ))
        throw io_error("--png needs the program rsvg-convert, which cannot be started: " +
                       std::generic_category().message(problem) + "; the Debian package librsvg2-bin has it");
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) {
        std::error_code ignored;
        fs::remove(unfinished, ignored);
        throw io_error(svg.string() + ": rsvg-convert could not make " + png.string() + " of it");
    }
    fs::rename(unfinished, png);
}

} // namespace

std::size_t write_png_figures(fs::path const& figures) {
    std::size_t count = 0;
    for (auto const& entry : fs::directory_iterator(figures)) {
        if (entry.path().extension() != ".svg") continue;
        rasterize(entry.path(), fs::path(entry.path()).replace_extension(".png"));
        ++count;
    }
    return count;
}

} // namespace bitlens::command
