#pragma once
/// run_folder: where one run keeps its manifest, its finished blocks and its log, so that a kill loses one block at
/// most.

#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <system_error>
#include <vector>

namespace bitlens {

/// The first place where two JSON values differ, in words; nothing when they are equal.
inline std::optional<std::string> first_difference(json const& found, json const& asked,
                                                   std::string const& where = "") {
    if (found == asked) return std::nullopt;
    if (found.is_object() && asked.is_object()) {
        const auto inside = [&](std::string const& key) { return where.empty() ? key : where + "." + key; };
        for (auto const& [key, value] : asked.items()) {
            if (!found.contains(key)) return inside(key) + ": nothing in the folder, " + value.dump() + " asked for";
            if (auto difference = first_difference(found[key], value, inside(key))) return difference;
        }
        for (auto const& [key, value] : found.items())
            if (!asked.contains(key)) return inside(key) + ": " + value.dump() + " in the folder, nothing asked for";
    }
    return where + ": " + found.dump() + " in the folder, " + asked.dump() + " asked for";
}

/// A finished block on disk: rows first … first + count − 1 of one variant.
struct run_part {
    std::filesystem::path path;
    std::size_t first = 0, count = 0;
};

/// Owns the folder as long as it lives: a second process that opens it is refused.
///
///     RUN/manifest.json     what the run is; equal for equal runs
///     RUN/parts/…           finished blocks, `<variant>-<first>-<count>.npz`, until the run is complete
///     RUN/log.txt           times, threads, hosts: what differs between equal runs
///     RUN/.lock             held, not written
class run_folder {
public:
    /// Creates the folder or opens an earlier run's. Errors: io_error when it cannot be written or another process has
    /// it; option_error when it is no run folder but holds files.
    explicit run_folder(std::filesystem::path folder) : path_(std::move(folder)) {
        std::error_code code;
        const bool existed = std::filesystem::exists(path_, code);
        if (existed && !std::filesystem::is_directory(path_, code))
            throw io_error(path_.string() + ": a folder for the run is expected, found a file");
        if (existed && !std::filesystem::exists(path_ / lock_name, code) && !std::filesystem::is_empty(path_, code) &&
            !code)
            throw option_error(path_.string() +
                               ": holds files but no run; expected an empty or new folder, or a run's");
        std::filesystem::create_directories(path_, code);
        if (code) throw io_error(path_.string() + ": cannot be created: " + code.message());
        // The lock comes first: it marks the folder as a run's, should the process be killed here.
        lock_ = detail::descriptor(::open((path_ / lock_name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
        if (lock_.get() < 0) throw io_error((path_ / lock_name).string() + ": " + std::strerror(errno));
        if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
            throw io_error(path_.string() + (errno == EWOULDBLOCK
                                                 ? ": another process is running in this folder"
                                                 : ": cannot be locked: " + std::string(std::strerror(errno))));
    }

    std::filesystem::path const& path() const noexcept { return path_; }

    /// The manifest that an earlier process left; nothing in a new folder.
    std::optional<json> manifest() const {
        const auto file = path_ / manifest_name;
        std::error_code unknown; // what is there and cannot be read is an error of reading
        if (!std::filesystem::exists(std::filesystem::symlink_status(file, unknown))) return std::nullopt;
        return read_json_file(file);
    }
    /// Makes the folder of the parts.   Errors: io_error.
    void make_room_for_parts() const {
        std::error_code code;
        std::filesystem::create_directories(path_ / parts_name, code);
        if (code) throw io_error((path_ / parts_name).string() + ": cannot be created: " + code.message());
    }
    /// And makes room for parts.
    void write_manifest(json const& manifest) const {
        make_room_for_parts();
        write_file_atomically(path_ / manifest_name, manifest.dump(2) + "\n");
    }

    /// Finished blocks of a variant, by first row. Files of other names are left alone.
    std::vector<run_part> parts(std::string_view variant) const {
        std::vector<run_part> found;
        std::error_code code;
        std::filesystem::directory_iterator entries(path_ / parts_name, code);
        if (code) throw io_error((path_ / parts_name).string() + ": cannot be listed: " + code.message());
        for (auto const& entry : entries)
            if (auto part = parse_part(entry.path(), variant)) found.push_back(*part);
        std::ranges::sort(found, {}, &run_part::first);
        return found;
    }
    std::filesystem::path part_path(std::string_view variant, std::size_t first, std::size_t count) const {
        return path_ / parts_name /
               (std::string(variant) + "-" + std::to_string(first) + "-" + std::to_string(count) + part_suffix);
    }
    /// For a complete run: its results stand elsewhere in the folder.
    void remove_parts() const { std::filesystem::remove_all(path_ / parts_name); }

    /// Appends one line with the time to log.txt.
    void log(std::string_view line) const {
        const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
        std::tm utc{};
        gmtime_r(&now, &utc);
        char stamp[32];
        std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
        std::ofstream file(path_ / "log.txt", std::ios::app);
        file << stamp << ' ' << line << '\n';
        if (!file) throw io_error((path_ / "log.txt").string() + ": cannot be written");
    }

private:
    static constexpr const char *lock_name = ".lock", *parts_name = "parts", *manifest_name = "manifest.json",
                                *part_suffix = ".npz";

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

    std::filesystem::path path_;
    detail::descriptor lock_{-1};
};

} // namespace bitlens
