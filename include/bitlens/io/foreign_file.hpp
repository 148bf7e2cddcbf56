#pragma once
/// foreign_file: what a file is that a reader did not expect, told by its bytes, and what makes a readable one of it.

#include "bitlens/core/error.hpp"
#include "bitlens/io/byte_cursor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitlens {

/// A kind of file by its name with an article, and what to do about one; both are texts of the program.
struct file_kind {
    std::string_view begins; // with these bytes
    std::string_view name, remedy;
};

namespace detail {

using namespace std::string_view_literals;

inline constexpr std::array<file_kind, 21> file_kinds{{
    {"GGUF"sv, "a GGUF file", "a model in it is given by the path of that file"},
    {"\x93NUMPY"sv, "an NPY array", ""},
    {"PK\x03\x04"sv, "a zip archive", "unpack it first; PyTorch's .bin, .pt and .pth are archives too, and not read"},
    {"PK\x05\x06"sv, "an empty zip archive", ""},
    {"\x1F\x8B"sv, "a gzip file", "'gunzip' unpacks it"},
    {"\x28\xB5\x2F\xFD"sv, "a Zstandard file", "'zstd -d' unpacks it"},
    {"BZh"sv, "a bzip2 file", "'bunzip2' unpacks it"},
    {"\xFD"
     "7zXZ\0"sv,
     "an xz file", "'unxz' unpacks it"},
    {"7z\xBC\xAF\x27\x1C"sv, "a 7z archive", "unpack it first"},
    {"\x04\x22\x4D\x18"sv, "an LZ4 file", "'unlz4' unpacks it"},
    {"PAR1"sv, "a Parquet file", ""},
    {"ARROW1"sv, "an Arrow file", ""},
    {"\x89HDF\r\n\x1A\n"sv, "an HDF5 file", ""},
    {"SQLite format 3\0"sv, "an SQLite database", ""},
    {"%PDF-"sv, "a PDF document", ""},
    {"\x80\x02"sv, "a Python pickle", "it could run any program, and is not read"},
    {"\x80\x03"sv, "a Python pickle", "it could run any program, and is not read"},
    {"\x80\x04"sv, "a Python pickle", "it could run any program, and is not read"},
    {"\x80\x05"sv, "a Python pickle", "it could run any program, and is not read"},
    {"lmgg"sv, "a GGML file from before GGUF", "a newer conversion of the model is needed"},
    {"tjgg"sv, "a GGML file from before GGUF", "a newer conversion of the model is needed"},
}};

inline constexpr file_kind tar_archive{"", "a tar archive", "unpack it first"};
inline constexpr file_kind web_page{"", "a web page", "the download gave a page in place of the file: fetch it again"};
inline constexpr file_kind lfs_pointer{
    "", "a Git LFS pointer",
    "it stands for a file that was not fetched: 'git lfs pull' in the folder of the clone does that"};
inline constexpr file_kind empty_file{"", "an empty file", "was the download cut?"};

/// "<!DOCTYPE html …" or "<html …" after white space, in letters of any case.
inline bool begins_as_web_page(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    std::string start(text.substr(0, 14));
    std::ranges::transform(start, start.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    return start.starts_with("<!doctype html") || start.starts_with("<html");
}

} // namespace detail

/// The kind of a file that is foreign wherever these bytes are no start of what is expected; nothing where they are
/// like nothing known.
inline std::optional<file_kind> foreign_kind(std::span<const std::byte> bytes) {
    const std::string_view text = as_text(bytes);
    if (text.empty()) return detail::empty_file;
    constexpr std::size_t longest_pointer = 1024; // as Git LFS itself has it
    if (text.starts_with("version ") && text.size() < longest_pointer && text.find("\noid ") != text.npos)
        return detail::lfs_pointer;
    for (auto const& kind : detail::file_kinds)
        if (text.starts_with(kind.begins)) return kind;
    constexpr std::size_t tar_magic = 257; // in its first header
    if (text.size() > tar_magic && text.substr(tar_magic).starts_with("ustar")) return detail::tar_archive;
    if (detail::begins_as_web_page(text)) return detail::web_page;
    return std::nullopt;
}

/// For a reader that has seen that bytes do not begin as those it reads: `who` is their file, `expected` what it reads.
/// Errors: format_error naming the kind, if it is known.
inline void refuse_foreign(std::span<const std::byte> bytes, std::string_view who, std::string_view expected) {
    const auto kind = foreign_kind(bytes);
    if (!kind) return;
    throw format_error(std::string(who) + ": " + std::string(expected) + " is expected, " + std::string(kind->name) +
                       " was found" + (kind->remedy.empty() ? "" : "; ") + std::string(kind->remedy));
}

} // namespace bitlens
