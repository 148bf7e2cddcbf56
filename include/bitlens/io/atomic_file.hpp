#pragma once
/// atomic_file: a file that appears under its name complete or not at all.

#include "bitlens/core/error.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace bitlens {

/// Writes to `.NAME.tmp` in the folder of `path`; commit() flushes it to the disk and renames it. Without commit()
/// the temporary file is removed and `path` stays as it was. The temporary name is fixed, so that what a killed program
/// left is overwritten by the next one; a lock on it keeps two programs from writing the same file.
/// Errors: io_error that names the path and the system's reason.
class atomic_file {
public:
    explicit atomic_file(std::filesystem::path path)
        : path_(std::move(path)), temporary_(path_.parent_path() / ("." + path_.filename().string() + ".tmp")),
          file_(lock_temporary()) {
        if (::ftruncate(file_.get(), 0) != 0) detail::throw_io_error(temporary_, "cannot be emptied");
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
        if (::rename(temporary_.c_str(), path_.c_str()) != 0)
            detail::throw_io_error(path_, "cannot be put in place of an older file");
        committed_ = true;
        flush_folder();
    }

private:
    detail::descriptor lock_temporary() const {
        for (;;) {
            detail::descriptor file(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
            if (file.get() < 0) detail::throw_io_error(temporary_, "cannot be created");
            if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
                if (errno == EINTR) continue;
                detail::throw_io_error(temporary_, "is being written by another program");
            }
            // The writer that held the lock before may have renamed this very file into place: then it is not ours.
            struct stat opened {
            }, named{};
            if (::fstat(file.get(), &opened) != 0) detail::throw_io_error(temporary_, "has no status");
            if (::stat(temporary_.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
                opened.st_dev == named.st_dev)
                return file;
        }
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
        const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
        const detail::descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (opened.get() < 0) detail::throw_io_error(folder, "cannot be opened");
        // Some file systems cannot flush a folder and say EINVAL.
        if (::fsync(opened.get()) != 0 && errno != EINVAL) detail::throw_io_error(folder, "cannot be flushed");
    }

    std::filesystem::path path_, temporary_;
    detail::descriptor file_;
    std::uint64_t size_ = 0;
    bool committed_ = false;
};

/// Says before there is anything to write whether it could be: makes the temporary file and removes it again.
/// Errors: as atomic_file; io_error for a folder of that name.
inline void expect_writable(std::filesystem::path const& path) {
    std::error_code not_there;
    if (std::filesystem::is_directory(path, not_there))
        throw io_error(path.string() + ": a file is to be written there, found a folder");
    const atomic_file opened(path);
}

/// The whole file at once.   Errors: as atomic_file.
inline void write_file_atomically(std::filesystem::path const& path, std::span<const std::byte> bytes) {
    atomic_file file(path);
    file.write(bytes);
    file.commit();
}
inline void write_file_atomically(std::filesystem::path const& path, std::string_view text) {
    write_file_atomically(path, as_bytes(text));
}

} // namespace bitlens
