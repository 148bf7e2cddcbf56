#include "png_figures.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace bitlens::command {
namespace {

namespace fs = std::filesystem;

/// Of what the program that reads `svg` writes. It is given no names: it might not take ours, which may be any bytes.
std::vector<std::byte> rasterize(fs::path const& svg) {
    using bitlens::detail::descriptor;
    const auto [source, svg_bytes] = bitlens::detail::open_regular(svg);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) bitlens::detail::throw_io_error(svg, "no pipe can be made for its picture");
    const descriptor output(ends[0]);
    descriptor input(ends[1]);

    std::array<std::string, 5> words{"rsvg-convert", "--zoom", "2", "--background-color", "white"};
    std::array<char*, words.size() + 1> arguments{};
    for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, source.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, input.get(), STDOUT_FILENO);
    pid_t child = 0;
    const int problem = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (problem != 0)
        throw io_error("--png needs the program rsvg-convert, which cannot be started: " +
                       std::generic_category().message(problem) + "; the Debian package librsvg2-bin has it");
    input = descriptor(-1); // or its end would never come

    std::vector<std::byte> picture;
    std::array<std::byte, 1 << 16> piece;
    while (const std::size_t n = bitlens::detail::read_fully(output, piece.data(), piece.size(), "rsvg-convert"))
        picture.insert(picture.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(n));
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) throw io_error(svg.string() + ": rsvg-convert could not make a picture of it");
    return picture;
}

} // namespace

std::size_t write_png_figures(fs::path const& figures) {
    std::size_t count = 0;
    for (auto const& entry : fs::directory_iterator(figures)) {
        if (entry.path().extension() != ".svg") continue;
        write_file_atomically(fs::path(entry.path()).replace_extension(".png"), rasterize(entry.path()));
        ++count;
    }
    return count;
}

} // namespace bitlens::command
