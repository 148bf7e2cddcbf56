#pragma once
/// Standard input, output and error: there when the program starts, and without a failure that nobody learns of.

#include "bitlens/core/error.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

namespace bitlens::command {

/// First of all: descriptors 0 to 2 that are closed would become those of the first files that are opened, which what
/// is printed would then end up in. They are opened so that what is read or written there fails, as if still closed.
inline void open_closed_streams() {
    constexpr std::array opposite{O_WRONLY, O_RDONLY, O_RDONLY};
    for (int number = 0; number < 3; ++number)
        if (::fcntl(number, F_GETFD) < 0 && errno == EBADF)
            if (::open("/dev/null", opposite[static_cast<std::size_t>(number)]) != number) std::_Exit(1);
}

/// What was printed reaches standard output.   Errors: io_error if not all of it did.
inline void flush_output() {
    errno = 0;
    const bool fails_now = std::fflush(stdout) != 0;
    if (!fails_now && std::ferror(stdout) == 0) return;
    // Where it failed earlier the reason is gone, but most refuse to take nothing for the same reason.
    if (errno == 0 && ::write(STDOUT_FILENO, "", 0) == 0) throw io_error("standard output: cannot be written");
    bitlens::detail::throw_io_error("standard output", "cannot be written");
}

/// Directly after the last attempt to read.   Errors: io_error if that was not the end of standard input.
inline void expect_input_was_read() {
    if (std::ferror(stdin) != 0) bitlens::detail::throw_io_error("standard input", "cannot be read");
}

} // namespace bitlens::command
