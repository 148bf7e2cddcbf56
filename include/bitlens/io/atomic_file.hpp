#pragma once
/// atomic_file: a file that appears under its name complete or not at all. And what else is written: lines of a log.

#include "bitlens/core/error.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace bitlens {

namespace detail {

inline std::filesystem::path folder_of(std::filesystem::path const& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Where a file is written, every link followed, and the status of the file that is there.
struct written_place {
    std::filesystem::path path;
    std::optional<struct stat> status;
};

/// Errors: io_error for a folder, a pipe, a device, a socket, a file that may not be written or replaced, a link that
/// leads nowhere.
inline written_place find_written_place(std::filesystem::path const& name) {
    if (!name.has_filename()) throw io_error(name.string() + ": cannot be written: the name of a file is expected");
    written_place place{name, {}};
    struct stat status {};
    if (::stat(name.c_str(), &status) == 0) {
        const auto mode = status.st_mode;
        if (!S_ISREG(mode))
            throw io_error(name.string() + ": cannot be written: a regular file is expected, a " +
                           (S_ISDIR(mode)    ? "folder"
                            : S_ISFIFO(mode) ? "pipe"
                            : S_ISSOCK(mode) ? "socket"
                                             : "device") +
                           " was found");
        if (::faccessat(AT_FDCWD, name.c_str(), W_OK, AT_EACCESS) != 0) throw_io_error(name, "cannot be written");
        place.status = status;
    } else if (errno != ENOENT) {
        throw_io_error(name, "cannot be written");
    }
    constexpr int most_links = 40; // as Linux follows
    std::error_code unreadable;
    for (int n = 0; n < most_links && std::filesystem::is_symlink(place.path, unreadable); ++n)
        place.path = place.path.parent_path() / std::filesystem::read_symlink(place.path, unreadable);

    struct stat folder {};
    if (::stat(folder_of(place.path).c_str(), &folder) != 0) throw_io_error(name, "cannot be written");
    if (!place.status) return place;
    // A link of /proc leads to an open file, which need not have a name any more.
    if (::lstat(place.path.c_str(), &status) != 0 || status.st_ino != place.status->st_ino ||
        status.st_dev != place.status->st_dev)
        throw io_error(name.string() + ": cannot be written: the file behind this link has no name");
    const auto user = ::geteuid();
    if ((folder.st_mode & S_ISVTX) != 0 && user != 0 && user != status.st_uid && user != folder.st_uid)
        throw io_error(name.string() + ": cannot be written: only its owner may replace it in this folder");
    return place;
}

} // namespace detail

/// Writes to `.NAME.tmp` beside the file; commit() flushes it to the disk and renames it. Without commit() the
/// temporary file is removed and the file stays as it was. Links are followed: what they lead to is replaced, and they
/// stay. A file that was there passes on its mode, and its owner and group as far as the system lets us. The temporary
/// name is fixed, so that what a killed program left is overwritten by the next one; a lock on it keeps two programs
/// from writing the same file. Errors: io_error that names the path and the system's reason; before anything is written
/// for what cannot be replaced: a folder, a pipe, a device, a file or folder that may not be written.
class atomic_file {
public:
    explicit atomic_file(std::filesystem::path path)
        : path_(std::move(path)), place_(detail::find_written_place(path_)),
          temporary_(place_.path.parent_path() / ("." + place_.path.filename().string() + ".tmp")),
          file_(lock_temporary()) {
        try {
            if (::ftruncate(file_.get(), 0) != 0) detail::throw_io_error(temporary_, "cannot be emptied");
            if (place_.status) take_over(*place_.status);
        } catch (...) {
            ::unlink(temporary_.c_str());
            throw;
        }
    }
    atomic_file(atomic_file const&) = delete;
    atomic_file& operator=(atomic_file const&) = delete;
    ~atomic_file() {
        if (!committed_) ::unlink(temporary_.c_str());
    }

    /// Appends.
    void write(std::span<const std::byte> bytes) {
        write_at(size_, bytes);
        size_ += bytes.size();
    }
    void write(std::string_view text) { write(as_bytes(text)); }
    /// Writes over what was written before.
    void overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
        BITLENS_ASSERT(offset <= size_ && bytes.size() <= size_ - offset);
        write_at(offset, bytes);
    }
    /// Bytes written so far.
    std::uint64_t size() const noexcept { return size_; }
    std::filesystem::path const& path() const noexcept { return path_; }

    /// Once; nothing may be written after it.
    void commit() {
        BITLENS_ASSERT(!committed_);
        if (::fsync(file_.get()) != 0) detail::throw_io_error(temporary_, "cannot be flushed to the disk");
        if (::rename(temporary_.c_str(), place_.path.c_str()) != 0)
            detail::throw_io_error(path_, "cannot be put in place of an older file");
        committed_ = true;
        flush_folder();
    }

private:
    detail::descriptor lock_temporary() const {
        for (;;) {
            // Without O_NONBLOCK, opening a pipe that nobody reads from would wait for ever.
            detail::descriptor file(
                ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
            if (file.get() < 0)
                detail::throw_io_error(path_, "cannot be written: " + temporary_.string() + " cannot be created");
            if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
                if (errno == EINTR) continue;
                detail::throw_io_error(temporary_, "is being written by another program");
            }
            struct stat opened {
            }, named{};
            if (::fstat(file.get(), &opened) != 0) detail::throw_io_error(temporary_, "has no status");
            if (!S_ISREG(opened.st_mode)) throw io_error(temporary_.string() + ": is not a regular file");
            // The writer that held the lock before may have renamed this very file into place: then it is not ours.
            if (::stat(temporary_.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
                opened.st_dev == named.st_dev)
                return file;
        }
    }
    /// The owner comes first, for a change of owner takes rights away. Who may not give a file away keeps it.
    void take_over(struct stat const& before) const {
        if (::fchown(file_.get(), before.st_uid, before.st_gid) != 0) {
            [[maybe_unused]] const int only_group = ::fchown(file_.get(), static_cast<uid_t>(-1), before.st_gid);
        }
        if (::fchmod(file_.get(), before.st_mode & 07777u) != 0)
            detail::throw_io_error(temporary_, "cannot be given the mode of the file that it replaces");
    }
    void write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) detail::throw_io_error(path_, "cannot be written");
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            offset += static_cast<std::uint64_t>(n);
        }
    }
    /// A rename lasts through a power cut only when the folder that holds the name is on the disk too.
    void flush_folder() const {
        const auto folder = detail::folder_of(place_.path);
        const detail::descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (opened.get() < 0) detail::throw_io_error(folder, "cannot be opened");
        // Some file systems cannot flush a folder and say EINVAL.
        if (::fsync(opened.get()) != 0 && errno != EINVAL) detail::throw_io_error(folder, "cannot be flushed");
    }

    std::filesystem::path path_;
    detail::written_place place_;
    std::filesystem::path temporary_;
    detail::descriptor file_;
    std::uint64_t size_ = 0;
    bool committed_ = false;
};

/// The whole file at once.   Errors: as atomic_file.
inline void write_file_atomically(std::filesystem::path const& path, std::span<const std::byte> bytes) {
    atomic_file file(path);
    file.write(bytes);
    file.commit();
}
inline void write_file_atomically(std::filesystem::path const& path, std::string_view text) {
    write_file_atomically(path, as_bytes(text));
}

/// Whether something stands under a name, be it a link that leads nowhere: what is there and cannot be read is an error
/// of whoever reads it.
inline bool is_occupied(std::filesystem::path const& name) noexcept {
    std::error_code unknown;
    return std::filesystem::exists(std::filesystem::symlink_status(name, unknown));
}

/// Says before the work of hours that its result could not be written under this name. What is there stays as it is.
/// Errors: as atomic_file.
inline void expect_writable(std::filesystem::path const& path) { const atomic_file opened_and_removed_again(path); }

/// Puts `text` behind what the file holds, which is made if it is not there.   Errors: io_error as atomic_file.
inline void append_to_file(std::filesystem::path const& path, std::string_view text) {
    const auto place = detail::find_written_place(path).path;
    const detail::descriptor file(::open(place.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666));
    if (file.get() < 0) detail::throw_io_error(path, "cannot be written");
    while (!text.empty()) {
        const ssize_t n = ::write(file.get(), text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) detail::throw_io_error(path, "cannot be written");
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

} // namespace bitlens
