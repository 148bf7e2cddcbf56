#pragma once
/// text_windows: one text as windows of equally many token ids, as perplexities are taken over them.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/text/documents.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace bitlens {

struct text_windows {
    bool bos = false;         // whether the text begins with a beginning-of-text token
    std::size_t tokens = 0;   // ids of the whole text, with it
    matrix<std::int32_t> ids; // (windows, window): neighbouring ones; what is left over at the end is not scored
    /// Of the text that the scored ids stand for, which are all of a window but the first; unknown where ids do not
    /// give the text back, as from a tokenizer that drops what it has no token for.
    std::optional<std::size_t> bytes;

    std::size_t scored() const noexcept { return ids.rows() * (ids.cols() - 1); }
};

/// A whole file of UTF-8, without the byte order mark that may stand before it. is_joined: as join_lines has it, by the
/// convention of WikiText-2.   Errors: io_error; format_error as checked_text.
inline std::string read_text(std::filesystem::path const& path, bool is_joined) {
    const mapped_file file(path);
    const std::string_view text = checked_text(as_text(file.bytes()), path.string());
    return is_joined ? join_lines(text) : std::string(text);
}

/// The whole text is tokenized once; `bos`, if there is one, stands before the first window alone. who: what messages
/// call the text.   Errors: those of encode; option_error where the text has no whole window.
inline text_windows cut_windows(std::string_view text, std::string const& who, tokenizer const& t,
                                std::optional<std::int32_t> bos, std::size_t window) {
    auto ids = t.encode(text);
    const bool is_whole = t.decode(ids) == text;
    if (bos) ids.insert(ids.begin(), *bos);
    text_windows windows{bos.has_value(), ids.size(), matrix<std::int32_t>(ids.size() / window, window), {}};
    auto& cut = windows.ids;
    if (cut.rows() == 0)
        throw option_error(who + ": " + std::to_string(ids.size()) + " tokens, at least one window of " +
                           std::to_string(window) + " is expected");
    std::copy_n(ids.begin(), cut.rows() * cut.cols(), cut.data());
    if (!is_whole) return windows;
    std::size_t bytes = 0;
    for (std::size_t n = 0; n < cut.rows(); ++n)
        for (const std::int32_t id : cut.row(n).subspan(1)) bytes += t.token_bytes(id).size();
    windows.bytes = bytes;
    return windows;
}

} // namespace bitlens
