#pragma once
/// Errors that outside data can cause, and the assertion for promises inside the library.

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bitlens {

/// Root of everything the library throws. The text says who, what was found and what was expected.
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Two things that must fit together do not: a matrix and its vector, a group size and a row.
struct shape_error : error {
    using error::error;
};

/// Bytes that do not follow the format they claim. The text names the file and, where there is one, the tensor or
/// field.
struct format_error : error {
    using error::error;
};

/// The operating system refused: open, read, write, map, lock.
struct io_error : error {
    using error::error;
};

/// An option, a method name or a pattern that means nothing here. The text lists what exists, where that takes several
/// lines below its own.
struct option_error : error {
    using error::error;
    option_error(std::string const& text, std::string const& lines)
        : error(text + '\n' + lines), text_size_(text.size()) {}

    std::string_view text() const noexcept { return std::string_view(what()).substr(0, text_size_); }
    std::string_view lines() const noexcept { // empty: there are none
        const std::string_view all = what();
        return all.substr(std::min(text_size_ + 1, all.size()));
    }

private:
    std::size_t text_size_ = std::string::npos - 1; // all of it
};

} // namespace bitlens

/// A promise between parts of the library, or of who writes an inner loop; gone under NDEBUG. Outside data never
/// reaches one, nor do the operands of a whole call: those throw instead.
#define BITLENS_ASSERT(condition) assert(condition)
