#pragma once
/// The figures of a run as PNG.

#include <cstddef>
#include <filesystem>

namespace bitlens::command {

/// Each SVG file of the folder once more as PNG, two pixels to its unit, on white; returns how many there are. What
/// draws them is the program rsvg-convert (Debian package librsvg2-bin).
/// Errors: io_error if that program is missing, fails (it says why itself), or a file cannot be written.
std::size_t write_png_figures(std::filesystem::path const& figures);

} // namespace bitlens::command
