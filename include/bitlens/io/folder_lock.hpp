#pragma once
/// folder_lock: a folder that one process at a time writes into, and that says whose it is.

#include "bitlens/core/error.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <cerrno>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Folders that are made, and removed again at the end where they are still empty.
class new_folders {
public:
    /// `path` and the folders above it that are missing.   Errors: io_error.
    explicit new_folders(std::filesystem::path const& path) {
        std::error_code code;
        for (auto missing = path; !missing.empty() && !std::filesystem::exists(missing, code);
             missing = missing.parent_path())
            innermost_first_.push_back(missing);
        std::filesystem::create_directories(path, code);
        if (!code) return;
        remove();
        throw io_error(path.string() + ": cannot be created: " + code.message());
    }
    new_folders(new_folders const&) = delete;
    new_folders& operator=(new_folders const&) = delete;
    ~new_folders() { remove(); }

private:
    void remove() const noexcept {
        for (auto const& folder : innermost_first_) ::rmdir(folder.c_str());
    }

    std::vector<std::filesystem::path> innermost_first_;
};

} // namespace detail

/// Held as long as it lives: a second process that asks for it is refused. Its file, FOLDER/.lock, is never written and
/// marks the folder as `whose` ("run"), should the process be killed before it writes anything else. At the end nothing
/// is left of a folder, or a lock, that it made and into which nothing was written.
class folder_lock {
public:
    /// Creates the folder or takes an earlier one.   Errors: io_error when it cannot be written or another process has
    /// it; option_error when it holds files but no lock.
    folder_lock(std::filesystem::path folder, std::string_view whose)
        : path_(std::move(folder)), lock_is_new_(is_free_for(whose)), new_folders_(path_), lock_(take()) {}
    folder_lock(folder_lock const&) = delete;
    folder_lock& operator=(folder_lock const&) = delete;
    ~folder_lock() {
        if (!lock_is_new_) return;
        try {
            if (std::distance(std::filesystem::directory_iterator(path_), {}) == 1)
                ::unlink((path_ / file_name).c_str());
        } catch (std::exception const&) { // then the lock stays, as after a kill
        }
    }

    std::filesystem::path const& path() const noexcept { return path_; }

private:
    static constexpr const char* file_name = ".lock";

    /// Whether the lock is still to be made.
    bool is_free_for(std::string_view whose) const {
        const std::string owner(whose);
        std::error_code code;
        if (!std::filesystem::exists(path_, code)) return true;
        if (!std::filesystem::is_directory(path_, code))
            throw io_error(path_.string() + ": a folder for the " + owner + " is expected, found a file");
        if (std::filesystem::exists(path_ / file_name, code)) return false;
        if (!std::filesystem::is_empty(path_, code) && !code)
            throw option_error(path_.string() + ": holds files but no " + owner +
                               "; expected an empty or new folder, or a " + owner + "'s");
        return true;
    }
    detail::descriptor take() const {
        const auto path = path_ / file_name;
        for (;;) {
            detail::descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
            if (lock.get() < 0) throw io_error(path.string() + ": " + std::strerror(errno));
            if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
                throw io_error(path_.string() + (errno == EWOULDBLOCK
                                                     ? ": another process is running in this folder"
                                                     : ": cannot be locked: " + std::string(std::strerror(errno))));
            // Who held it before may have removed it: then it keeps nobody out.
            struct stat opened {
            }, named{};
            if (::fstat(lock.get(), &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
                opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
                return lock;
        }
    }

    std::filesystem::path path_;
    bool lock_is_new_;
    detail::new_folders new_folders_;
    detail::descriptor lock_;
};

} // namespace bitlens
