#pragma once
/// Documents from a file: JSON Lines (plain or gzip), plain text, or token ids as NPY.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/text/json_lines.hpp"
#include "bitlens/text/multiple_choice.hpp"
#include "bitlens/text/unicode.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// One document: text, or token ids where the file holds ids.
struct document {
    std::size_t row = 0;  // among the documents of the file, from 0
    std::size_t line = 0; // of the file, from 1; 0 where documents are no lines
    std::string id;       // empty when absent
    std::string topic;    // empty when absent
    std::string prompt;   // UTF-8, read before the text and not scored; empty when absent
    std::string text;     // UTF-8
    std::vector<std::int32_t> ids;
    std::vector<std::string> kept; // of document_keys::kept, in their order; empty where absent
    std::size_t choice = 0;        // of a question of several choices, which one it is, from 0
    bool is_answer = false;        // whether that is the right one
};

/// The keys of a line of JSON Lines that make a document: its text, its id and topic, and those that are kept besides.
/// With the name of a prompt, what stands there is read before the text. With those of choices and of their answer the
/// line is a question, as read_choices reads it, and makes a document for each choice: the line's text is its prompt,
/// and the choice, where needed with a space before it, is its text. These three are read by name only.
struct document_keys {
    std::string text = "text", id = "id", topic = "topic";
    std::vector<std::string> kept{};
    std::string prompt{}, choices{}, answer{}; // empty: not asked for

    bool operator==(document_keys const&) const = default;
};

/// UTF-8 without the byte order mark that may stand before it. Errors: format_error that names `who`, a file, and what
/// kind of file it is if that can be told.
inline std::string_view checked_text(std::string_view text, std::string const& who) {
    const std::size_t valid = valid_utf8_length(text);
    if (valid != text.size()) {
        refuse_foreign(as_bytes(text), who, "text");
        throw format_error(who + ": byte " + std::to_string(valid) + " is no UTF-8");
    }
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    return text;
}

/// Reads the documents of a file one after the other.
///   NPY (by its first bytes)   each row of an array (rows, tokens) of int32 or int64 is a document, taken as it stands
///   .txt                       the whole file is one document
///   anything else, .TXT too    JSON Lines, plain or gzip (by its first bytes): an object a line with `text`, and where
///                              there are any `id` and `topic` (string, or number, which is kept as it is written; null
///                              as if absent), under these names or those of `keys`, and keys to keep (true and false
///                              too); other keys are not judged, see parse_json_members. Blank lines are skipped, but
///                              counted as lines. A byte order mark at the start is skipped. The choices of a question
///                              follow each other; they have its row, and where it has no id, that row as their id.
/// Errors: io_error as mapped_file; format_error naming file, line and key (or row and column), and for text that is no
/// UTF-8 the byte of the line; option_error for keys of a file that has none, for choices without an answer or the
/// other way round, and for a prompt beside them. A file of another kind (Parquet, compressed but by gzip, a table) is
/// named with what makes JSON Lines of it. Where the first document of a file whose name does not promise JSON is none,
/// the error says what the file was read as.
class document_reader {
public:
    /// `most_ids`: of a row of ids no more are read, and judged.
    explicit document_reader(std::filesystem::path const& path,
                             std::size_t most_ids = std::numeric_limits<std::size_t>::max(), document_keys keys = {})
        : kinds_{path.string(), "JSON Lines, text or NPY", "each document needs the key " + in_quotes(keys.text)},
          most_ids_(most_ids), keys_(std::move(keys)) {
        check_keys();
        mapped_file file(path);
        if (as_text(file.bytes()).starts_with("\x93NUMPY")) {
            refuse_keys("token ids were found");
            source_.emplace<npy_array>(read_ids(path));
        } else if (path.extension() == ".txt") {
            refuse_keys("the ending .txt is that of plain text");
            source_.emplace<mapped_file>(std::move(file));
        } else {
            if (!file.bytes().empty() && !is_gzip(file.bytes())) kinds_.refuse_kind(file.bytes());
            std::vector<std::string> asked = asked_by_name();
            asked.insert(asked.end(), {keys_.text, keys_.id, keys_.topic});
            source_.emplace<json_line_reader>(path, asked);
        }
    }

    /// True if documents are token ids, false if they are text.
    bool holds_ids() const noexcept { return std::holds_alternative<npy_array>(source_); }
    /// Ids that every row of the file has; 0 where documents are text.
    std::size_t ids_a_row() const noexcept {
        auto const* const ids = std::get_if<npy_array>(&source_);
        return ids == nullptr ? 0 : ids->shape[1];
    }

    /// Keys that were asked for by name, and that no document so far had.
    std::vector<std::string> absent_keys() const {
        auto absent = asked_by_name();
        if (auto const* const lines = std::get_if<json_line_reader>(&source_))
            std::erase_if(absent, [&](std::string const& key) { return lines->has_met(key); });
        return absent;
    }

    /// The next document; false after the last.
    bool next(document& d) {
        if (next_choice_ < choices_.texts.size()) return take_choice(d);
        document found;
        found.row = row_;
        const bool is_found = std::visit([&](auto& source) { return read(source, found); }, source_);
        if (!is_found) return false;
        ++row_;
        d = std::move(found);
        if (keys_.choices.empty()) return true;
        question_ = std::move(d);
        next_choice_ = 0;
        return take_choice(d);
    }

private:
    std::vector<std::string> asked_by_name() const {
        const document_keys usual;
        std::vector<std::string> keys;
        if (keys_.text != usual.text) keys.push_back(keys_.text);
        if (keys_.id != usual.id) keys.push_back(keys_.id);
        if (keys_.topic != usual.topic) keys.push_back(keys_.topic);
        keys.insert(keys.end(), keys_.kept.begin(), keys_.kept.end());
        for (auto const* key : {&keys_.prompt, &keys_.choices, &keys_.answer})
            if (!key->empty()) keys.push_back(*key);
        return keys;
    }

    void check_keys() const {
        if (keys_.choices.empty() != keys_.answer.empty())
            throw option_error(who() + ": the key of " +
                               (keys_.answer.empty() ? "the choices, " + in_quotes(keys_.choices)
                                                     : "the answer, " + in_quotes(keys_.answer)) +
                               ", was asked for without that of " +
                               (keys_.answer.empty() ? "the answer" : "the choices"));
        if (!keys_.choices.empty() && !keys_.prompt.empty())
            throw option_error(who() + ": the key of a prompt, " + in_quotes(keys_.prompt) +
                               ", was asked for beside that of choices, whose prompt is the question");
    }

    std::string const& who() const noexcept { return kinds_.who; }

    /// Errors: option_error where a key was asked for by name.
    void refuse_keys(std::string const& found) const {
        if (const auto keys = asked_by_name(); !keys.empty())
            throw option_error(who() + ": the key " + in_quotes(keys[0]) +
                               " was asked for, which only lines of JSON Lines have; " + found);
    }

    static npy_array read_ids(std::filesystem::path const& path) {
        npy_array ids = read_npy(path);
        // Rows of no tokens take no bytes, so a small file could have 2⁶³ of them.
        if (ids.shape.size() != 2 || (ids.shape[0] > 0 && ids.shape[1] == 0))
            throw format_error(ids.who + ": shape: (rows, tokens) is expected, " + shape_text(ids.shape) +
                               " was found");
        if (ids.type != npy_type::i32 && ids.type != npy_type::i64)
            throw format_error(ids.who + ": descr: int32 or int64 is expected, " + std::string(info(ids.type).descr) +
                               " was found");
        return ids;
    }

    static bool read(std::monostate, document const&) noexcept { return false; } // never: the constructor sets a source

    bool read(npy_array& source, document& d) {
        const std::size_t rows = source.shape[0], tokens = source.shape[1];
        if (d.row == rows) return false;
        const std::size_t count = std::min(tokens, most_ids_);
        d.ids.reserve(count);
        for (std::size_t t = 0; t < count; ++t) {
            const std::size_t place = source.fortran ? t * rows + d.row : d.row * tokens + t;
            const std::int64_t id =
                source.type == npy_type::i32 ? source.stored<std::int32_t>(place) : source.stored<std::int64_t>(place);
            if (id < 0 || id > std::numeric_limits<std::int32_t>::max())
                throw format_error(who() + ": row " + std::to_string(d.row) + ", column " + std::to_string(t) +
                                   ": a token id from 0 to 2147483647 is expected, " + std::to_string(id) +
                                   " was found");
            d.ids.push_back(static_cast<std::int32_t>(id));
        }
        return true;
    }

    bool read(mapped_file& source, document& d) {
        if (d.row > 0) return false;
        d.text = checked_text(as_text(source.bytes()), who());
        return true;
    }

    bool read(json_line_reader& source, document& d) {
        if (!source.next()) return false;
        if (d.row == 0) kinds_.refuse_array(source.line());
        try {
            source.parse();
            take_line(source, d);
        } catch (format_error const& e) {
            if (d.row > 0) throw;
            kinds_.refuse_kind(as_bytes(source.line())); // which was compressed
            if (!source.line().substr(source.line().find_first_not_of(" \t\r")).starts_with('{')) {
                kinds_.refuse_tabs(source.line());
                kinds_.refuse_commas();
            }
            if (kinds_.promises_json()) throw;
            throw format_error(std::string(e.what()) +
                               "; the file was read as JSONL, one object a line: plain text needs the ending .txt");
        }
        return true;
    }

    void take_line(json_line_reader const& line, document& d) {
        const std::string place = line.place();
        const auto label = [&](std::string const& key, bool is_kept = false) {
            return detail::json_label(line[key], key, place, is_kept);
        };
        d.line = line.number();
        d.text = detail::json_value<std::string>(line.required(keys_.text).value, keys_.text, place);
        d.id = label(keys_.id);
        d.topic = label(keys_.topic);
        for (auto const& key : keys_.kept) d.kept.push_back(label(key, true));
        if (!keys_.prompt.empty()) d.prompt = prompt_of(line);
        if (keys_.choices.empty()) return;
        if (without_outer_space(d.text).empty())
            detail::refuse_json(line[keys_.text].value, keys_.text, place, "a string of more than white space");
        choices_ = read_choices(line, keys_.choices, keys_.answer);
        if (d.id.empty()) d.id = std::to_string(d.row);
        d.prompt = std::move(d.text);
    }

    std::string prompt_of(json_line_reader const& line) const {
        json_member const& prompt = line[keys_.prompt];
        if (prompt.value.is_null()) return {};
        return detail::json_value<std::string>(prompt.value, keys_.prompt, line.place());
    }

    bool take_choice(document& d) {
        d = question_;
        d.choice = next_choice_++;
        d.is_answer = d.choice == choices_.answer;
        d.text = text_of_choice(d.prompt, choices_.texts[d.choice]);
        return true;
    }

    detail::other_than_json_lines kinds_;
    std::size_t most_ids_;
    document_keys keys_;
    std::variant<std::monostate, npy_array, mapped_file, json_line_reader> source_;
    document question_; // that the choices answer
    choice_list choices_;
    std::size_t next_choice_ = 0;
    std::size_t row_ = 0;
};

/// The rows of a data set that was written as a text file, joined again by blank lines. Each line is a row and keeps
/// its end, but one of white space only is the row "". "\n\n" stands before every row but the first, whatever they
/// hold. Source: wikitext.py of Hugging Face's datasets makes these rows (`row if row.strip() else ""`), and llm-awq
/// joins them to score WikiText-2. White space is that of ASCII.
inline std::string join_lines(std::string_view text) {
    std::string joined;
    joined.reserve(text.size() * 2);
    for (std::size_t at = 0; at < text.size();) {
        const std::string_view row = text.substr(at, std::min(text.find('\n', at), text.size() - 1) + 1 - at);
        if (at > 0) joined += "\n\n";
        if (row.find_first_not_of(" \t\n\v\f\r") != row.npos) joined += row;
        at += row.size();
    }
    return joined;
}

/// Whether a model knows these ids of a row, of which none is negative.   Errors: format_error naming file, row and
/// column.
inline void check_ids(std::filesystem::path const& file, std::size_t row, std::span<const std::int32_t> ids,
                      std::size_t vocabulary) {
    for (std::size_t t = 0; t < ids.size(); ++t)
        if (static_cast<std::size_t>(ids[t]) >= vocabulary)
            throw format_error(file.string() + ": row " + std::to_string(row) + ", column " + std::to_string(t) +
                               ": a token id from 0 to " + std::to_string(vocabulary - 1) + " is expected, " +
                               std::to_string(ids[t]) + " was found");
}

} // namespace bitlens
