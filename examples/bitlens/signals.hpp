#pragma once
/// What the command does when it is asked to stop, and when a file that it reads becomes shorter meanwhile.

#include "bitlens/io/mapped_file.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>

namespace bitlens::command {

/// The program was asked to stop, and did when nothing was half done.
class interrupted : public std::runtime_error {
public:
    interrupted(int signal, std::string const& how_to_go_on) : runtime_error(how_to_go_on), signal_(signal) {}
    int signal() const noexcept { return signal_; }

private:
    int signal_;
};

/// Async-signal-safe, and allocates nothing.
inline void write_error(std::string_view text) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

namespace detail {

inline volatile std::sig_atomic_t stop_signal = 0;

inline void remember_stop(int signal) {
    stop_signal = signal;
    write_error("\nbitlens: stops after this block; once more stops at once, and loses the block\n");
}

/// The file behind a mapped address, in `lines`; empty if there is none. /proc/self/maps has lines
/// "<first>-<end> <rights> <offset> <device> <inode>   <path>", the addresses in hexadecimal. Async-signal-safe.
inline std::string_view mapped_path(std::uintptr_t address, std::array<char, 8192>& lines) {
    const bitlens::detail::descriptor file(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
    std::size_t held = 0;
    for (ssize_t n; (n = ::read(file.get(), lines.data() + held, lines.size() - held)) > 0;) {
        held += static_cast<std::size_t>(n);
        const char* line = lines.data();
        const char* const all = line + held;
        for (const char* end; (end = std::find(line, all, '\n')) != all; line = end + 1) {
            std::uintptr_t first = 0, last = 0;
            const auto dash = std::from_chars(line, end, first, 16);
            if (dash.ptr == end || std::from_chars(dash.ptr + 1, end, last, 16).ec != std::errc{}) continue;
            if (first <= address && address < last) return {std::find(line, end, '/'), end};
        }
        held = static_cast<std::size_t>(all - line);
        std::memmove(lines.data(), line, held);
    }
    return {};
}

inline void explain_bus_error(int, siginfo_t* info, void*) {
    static std::atomic_flag met;
    while (met.test_and_set()) ::pause(); // another thread met it first, and ends the program
    static std::array<char, 8192> lines;  // the stack of whoever met the signal may be short
    const auto path = mapped_path(reinterpret_cast<std::uintptr_t>(info->si_addr), lines);
    write_error("\nbitlens: ");
    put_visible_line(path.empty() ? "a mapped file" : path, write_error);
    write_error(
        ": became shorter, or its disk failed, while it was read. What the run folder holds is complete: with the "
        "file whole again, the same command goes on\n");
    ::_exit(1);
}

} // namespace detail

/// While it lives, the first SIGINT or SIGTERM only leaves a note, and the second one ends the program.
class stop_requests {
public:
    stop_requests() {
        struct sigaction action {};
        action.sa_handler = detail::remember_stop;
        action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
        ::sigaction(SIGINT, &action, &before_[0]);
        ::sigaction(SIGTERM, &action, &before_[1]);
    }
    ~stop_requests() {
        ::sigaction(SIGINT, &before_[0], nullptr);
        ::sigaction(SIGTERM, &before_[1], nullptr);
    }
    stop_requests(stop_requests const&) = delete;
    stop_requests& operator=(stop_requests const&) = delete;

    /// Errors: interrupted, if one has come.
    void check(std::string const& how_to_go_on) const {
        if (detail::stop_signal != 0) throw interrupted(detail::stop_signal, how_to_go_on);
    }

private:
    struct sigaction before_[2]{};
};

/// From now on, a checkpoint that is cut while it is mapped ends the program with a message and exit code 1.
inline void explain_bus_errors() {
    struct sigaction action {};
    action.sa_sigaction = detail::explain_bus_error;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &action, nullptr);
}

} // namespace bitlens::command
