#pragma once
/// mapped_file: the bytes of a file, read only, without reading them first.

#include "bitlens/core/error.hpp"

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace bitlens {

/// Whether there is anything to read at a path: what cannot be asked for cannot be opened either.
inline bool is_there(std::filesystem::path const& path) noexcept {
    std::error_code unknown;
    return std::filesystem::exists(path, unknown);
}

namespace detail {

/// io_error "<path>: <what>: <the system's reason>"; call it before anything else can change errno.
[[noreturn]] inline void throw_io_error(std::filesystem::path const& path, std::string_view what) {
    const int reason = errno;
    throw io_error(path.string() + ": " + std::string(what) + ": " + std::generic_category().message(reason));
}

/// An open file descriptor, closed at the end of its scope.
class descriptor {
public:
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int get() const noexcept { return number_; }

private:
    int number_;
};

/// Opens a regular file to be read. Errors: io_error if it is missing, may not be read, or is a folder, pipe or device.
inline std::pair<descriptor, std::size_t> open_regular(std::filesystem::path const& path) {
    // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.get() < 0) throw_io_error(path, "cannot be opened");
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw_io_error(path, "has no status");
    if (!S_ISREG(status.st_mode))
        throw io_error(path.string() + ": is not a regular file" + (S_ISDIR(status.st_mode) ? " but a folder" : ""));
    return {std::move(file), static_cast<std::size_t>(status.st_size)};
}

/// Up to `size` bytes from where the file stands into `to`; fewer only at its end.
inline std::size_t read_fully(descriptor const& file, std::byte* to, std::size_t size,
                              std::filesystem::path const& path) {
    std::size_t done = 0;
    while (done < size) {
        const ssize_t n = ::read(file.get(), to + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw_io_error(path, "cannot be read");
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    return done;
}

} // namespace detail

/// map: pages come from the file when touched; if somebody cuts the file meanwhile, touching a lost page kills the
/// program (SIGBUS). copy: all is read into memory at once, and is safe from that.
enum class file_access { map, copy };

/// The bytes of a file as they were when it was opened. Move-only; moving keeps the address of the bytes.
/// Errors: io_error that names the path and the system's reason; a file cut while it is copied is one too.
class mapped_file {
public:
    explicit mapped_file(std::filesystem::path path, file_access access = file_access::map) : path_(std::move(path)) {
        const auto [file, size] = detail::open_regular(path_);
        if (size == 0) return; // a mapping of no bytes does not exist
        if (access == file_access::copy) {
            copy_.resize(size);
            if (detail::read_fully(file, copy_.data(), size, path_) != size)
                throw io_error(path_.string() + ": became shorter while it was read");
            bytes_ = copy_;
            return;
        }
        void* const first = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
        if (first == MAP_FAILED) detail::throw_io_error(path_, "cannot be mapped");
        bytes_ = {static_cast<std::byte const*>(first), size};
    }
    mapped_file(mapped_file&& other) noexcept
        : path_(std::move(other.path_)), copy_(std::move(other.copy_)), bytes_(std::exchange(other.bytes_, {})) {}
    mapped_file& operator=(mapped_file&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(copy_, other.copy_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~mapped_file() {
        if (copy_.empty() && !bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    }

    std::span<const std::byte> bytes() const noexcept { return bytes_; }
    /// Gives the memory of these bytes, a part of bytes(), back to the system: whoever touches them again reads them
    /// from the file again. Whole pages only; nothing of a copy.
    void give_back(std::span<const std::byte> part) const noexcept {
        if (!copy_.empty() || part.empty()) return;
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const auto begin = static_cast<std::size_t>(part.data() - bytes_.data()), end = begin + part.size();
        const std::size_t first = (begin + page - 1) / page * page, last = end / page * page;
        if (first < last) ::madvise(const_cast<std::byte*>(bytes_.data()) + first, last - first, MADV_DONTNEED);
    }
    std::filesystem::path const& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
    std::vector<std::byte> copy_; // empty when mapped
    std::span<const std::byte> bytes_;
};

} // namespace bitlens
