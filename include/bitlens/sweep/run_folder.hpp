#pragma once
/// run_folder: where one run keeps its manifest, its finished blocks and its log, so that a kill loses one block at
/// most.

#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/folder_lock.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/sweep/manifest.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// A finished block on disk: rows first … first + count − 1 of one variant.
struct run_part {
    std::filesystem::path path;
    std::size_t first = 0, count = 0;
};

/// Owns the folder as long as it lives: a second process that opens it is refused. At the end nothing is left of a
/// folder, or a lock, that it made and into which nothing was written.
///
///     RUN/manifest.json     what the run is; equal for equal runs
///     RUN/parts/…           finished blocks, `<variant>-<first>-<count>.npz`, until the run is complete
///     RUN/log.txt           times, threads, hosts: what differs between equal runs
///     RUN/.lock             held, not written
///
/// What goes on from a finished run keeps manifest and parts of its own in a folder within, RUN/locate/….
class run_folder {
public:
    /// Creates the folder or opens an earlier run's. `sequel`: the folder within, where there is one. Errors: io_error
    /// when it cannot be written or another process has it; option_error when it is no run folder but holds files.
    explicit run_folder(std::filesystem::path folder, std::string sequel = {})
        : lock_(std::move(folder), "run"), path_(lock_.path()), own_(sequel.empty() ? path_ : path_ / sequel) {}

    std::filesystem::path const& path() const noexcept { return path_; }

    /// Says before a run that its manifest, log or parts could not be written.   Errors: io_error.
    void expect_writable() const {
        bitlens::expect_writable(path_ / log_name);
        std::error_code code;
        if (!is_occupied(own_)) return;
        bitlens::expect_writable(own_ / manifest_name);
        const auto parts = own_ / parts_name;
        if (!is_occupied(parts)) return;
        if (!std::filesystem::is_directory(parts, code)) throw io_error(parts.string() + ": a folder is expected");
        bitlens::expect_writable(parts / "part");
    }

    /// The manifest that an earlier process left; nothing in a new folder.   Errors: those of manifest_from.
    std::optional<run_manifest> manifest() const {
        const auto file = own_ / manifest_name;
        if (!is_occupied(file)) return std::nullopt;
        return manifest_from(read_json_file(file), file.string());
    }
    /// What this call runs: `asked` in a new folder; in one that was begun, with the methods that it has, in its order,
    /// before those that are new, because their order is that of the tables. Nothing is written.
    /// Errors: option_error with the first difference for the folder of another run, or a method that is another there.
    run_manifest agree(run_manifest asked) const {
        auto earlier = manifest();
        if (!earlier) return asked;
        if (const auto difference = first_difference(*earlier, asked))
            throw option_error(own_.string() + ": holds another run: " + *difference + "; another folder keeps both");
        for (run_method const& m : asked.methods) {
            const auto same = std::ranges::find(earlier->methods, m.name, &run_method::name);
            if (same == earlier->methods.end())
                earlier->methods.push_back(m);
            else if (same->spec != m.spec)
                throw option_error(own_.string() + ": method " + m.name + " is " + same->spec + " there, " + m.spec +
                                   " asked for; another name keeps both");
            else if (same->quantized != m.quantized)
                throw option_error(own_.string() + ": method " + m.name + ", " + m.spec +
                                   ", is another quantized model there, calibrated on other documents say; another "
                                   "name keeps both");
        }
        return *earlier;
    }
    /// Says before a run that a file named after one of its methods could not be written: the longest is a figure's,
    /// while it is being written.   Errors: io_error.
    void expect_names_writable(std::vector<run_method> const& methods) const {
        for (run_method const& m : methods)
            bitlens::expect_writable(path_ / (std::string(longest_around_a_name, '_') + m.name));
    }
    /// And makes room for parts.   Errors: io_error; format_error for a string that is no UTF-8.
    void write_manifest(run_manifest const& manifest) const {
        const std::string text = json_text(to_json(manifest), (own_ / manifest_name).string(), 2) + "\n";
        std::error_code code;
        std::filesystem::create_directories(own_ / parts_name, code);
        if (code) throw io_error((own_ / parts_name).string() + ": cannot be created: " + code.message());
        write_file_atomically(own_ / manifest_name, text);
    }

    /// Finished blocks of a variant, by first row. Files of other names are left alone.
    std::vector<run_part> parts(std::string_view variant) const {
        std::vector<run_part> found;
        std::error_code code;
        std::filesystem::directory_iterator entries(own_ / parts_name, code);
        if (code) throw io_error((own_ / parts_name).string() + ": cannot be listed: " + code.message());
        for (auto const& entry : entries)
            if (auto part = parse_part(entry.path(), variant)) found.push_back(*part);
        std::ranges::sort(found, {}, &run_part::first);
        return found;
    }
    std::filesystem::path part_path(std::string_view variant, std::size_t first, std::size_t count) const {
        return own_ / parts_name /
               (std::string(variant) + "-" + std::to_string(first) + "-" + std::to_string(count) + part_suffix);
    }
    /// Whether there are finished blocks of any variant.
    bool has_parts() const {
        std::error_code code;
        return !std::filesystem::is_empty(own_ / parts_name, code) && !code;
    }
    /// For a complete run: its results stand elsewhere in the folder.
    void remove_parts() const { std::filesystem::remove_all(own_ / parts_name); }

    /// Appends one line with the time to log.txt.
    void log(std::string_view line) const {
        const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
        std::tm utc{};
        gmtime_r(&now, &utc);
        char stamp[32];
        std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
        append_to_file(path_ / log_name, std::string(stamp) + ' ' + std::string(line) + '\n');
    }

private:
    static constexpr const char *parts_name = "parts", *manifest_name = "manifest.json", *log_name = "log.txt",
                                *part_suffix = ".npz";
    static constexpr std::size_t longest_around_a_name = 48; // "figures/figure_01b_norm_r_density_" and ".svg", say

    static std::optional<run_part> parse_part(std::filesystem::path const& path, std::string_view variant) {
        const std::string name = path.filename().string();
        const std::string prefix = std::string(variant) + "-";
        if (!name.starts_with(prefix) || !name.ends_with(part_suffix)) return std::nullopt;
        const char* at = name.data() + prefix.size();
        const char* const end = name.data() + name.size() - std::strlen(part_suffix);
        run_part part{path};
        const auto first = std::from_chars(at, end, part.first);
        if (first.ec != std::errc{} || first.ptr == end || *first.ptr != '-') return std::nullopt;
        const auto count = std::from_chars(first.ptr + 1, end, part.count);
        if (count.ec != std::errc{} || count.ptr != end || part.count == 0) return std::nullopt;
        return part;
    }

    folder_lock lock_;
    std::filesystem::path path_, own_; // of the run, and of its manifest and parts
};

} // namespace bitlens
