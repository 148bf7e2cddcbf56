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
    std::string text;     // UTF-8
    std::vector<std::int32_t> ids;
    std::vector<std::string> kept; // of document_keys::kept, in their order; empty where absent
};

/// The keys of a line of JSON Lines that make a document: its text, its id and topic, and those that are kept besides.
struct document_keys {
    std::string text = "text", id = "id", topic = "topic";
    std::vector<std::string> kept{};

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
///                              counted as lines. A byte order mark at the start is skipped.
/// Errors: io_error as mapped_file; format_error naming file, line and key (or row and column), and for text that is no
/// UTF-8 the byte of the line; option_error for keys of a file that has none. A file of another kind (Parquet,
/// compressed but by gzip, a table) is named with what makes JSON Lines of it. Where the first document of a file whose
/// name does not promise JSON is none, the error says what the file was read as.
class document_reader {
public:
    /// `most_ids`: of a row of ids no more are read, and judged.
    explicit document_reader(std::filesystem::path const& path,
                             std::size_t most_ids = std::numeric_limits<std::size_t>::max(), document_keys keys = {})
        : who_(path.string()), most_ids_(most_ids), keys_(std::move(keys)) {
        mapped_file file(path);
        if (as_text(file.bytes()).starts_with("\x93NUMPY")) {
            refuse_keys("token ids were found");
            source_.emplace<npy_array>(read_ids(path));
        } else if (path.extension() == ".txt") {
            refuse_keys("the ending .txt is that of plain text");
            source_.emplace<mapped_file>(std::move(file));
        } else {
            if (!file.bytes().empty() && !is_gzip(file.bytes())) refuse_other_kind(file.bytes());
            source_.emplace<line_reader>(path);
        }
        for (auto const* key : {&keys_.text, &keys_.id, &keys_.topic}) add_asked(*key);
        for (auto const& key : keys_.kept) add_asked(key);
        met_.resize(asked_.size(), false);
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
        std::erase_if(absent, [&](std::string const& key) { return met_[place_of(key)]; });
        return absent;
    }

    /// The next document; false after the last.
    bool next(document& d) {
        document found;
        found.row = row_;
        const bool is_found = std::visit([&](auto& source) { return read(source, found); }, source_);
        if (!is_found) return false;
        ++row_;
        d = std::move(found);
        return true;
    }

private:
    void add_asked(std::string const& key) {
        if (place_of(key) == asked_.size()) asked_.push_back(key);
    }
    std::size_t place_of(std::string const& key) const {
        return static_cast<std::size_t>(std::ranges::find(asked_, key) - asked_.begin());
    }
    std::vector<std::string> asked_by_name() const {
        const document_keys usual;
        std::vector<std::string> keys;
        if (keys_.text != usual.text) keys.push_back(keys_.text);
        if (keys_.id != usual.id) keys.push_back(keys_.id);
        if (keys_.topic != usual.topic) keys.push_back(keys_.topic);
        keys.insert(keys.end(), keys_.kept.begin(), keys_.kept.end());
        return keys;
    }

    /// Errors: option_error where a key was asked for by name.
    void refuse_keys(std::string const& found) const {
        if (const auto keys = asked_by_name(); !keys.empty())
            throw option_error(who_ + ": the key " + in_quotes(keys[0]) +
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
                throw format_error(who_ + ": row " + std::to_string(d.row) + ", column " + std::to_string(t) +
                                   ": a token id from 0 to 2147483647 is expected, " + std::to_string(id) +
                                   " was found");
            d.ids.push_back(static_cast<std::int32_t>(id));
        }
        return true;
    }

    bool read(mapped_file& source, document& d) {
        if (d.row > 0) return false;
        d.text = checked_text(as_text(source.bytes()), who_);
        return true;
    }

    bool read(line_reader& source, document& d) {
        std::string_view line;
        do
            if (!source.next(line)) return false;
        while (line.find_first_not_of(" \t\r") == std::string_view::npos);
        if (d.row == 0 && line[line.find_first_not_of(" \t\r")] == '[')
            throw format_error(who_ + ": a JSON array was found; JSON Lines are expected, one object a line without "
                                      "brackets around them and commas between them");
        try {
            read_line(line, source.line_number(), d);
        } catch (format_error const& e) {
            if (d.row > 0) throw;
            refuse_other_kind(as_bytes(line)); // which was compressed
            refuse_table(line);
            if (promises_json()) throw;
            throw format_error(std::string(e.what()) +
                               "; the file was read as JSONL, one object a line: plain text needs the ending .txt");
        }
        return true;
    }

    /// The name without the ending of gzip.
    std::string_view unpacked_name() const noexcept {
        std::string_view name = who_;
        if (name.ends_with(".gz")) name.remove_suffix(3);
        return name;
    }

    /// Whether the name says that the file is JSON.
    bool promises_json() const noexcept {
        return unpacked_name().ends_with(".jsonl") || unpacked_name().ends_with(".json");
    }

    /// What makes JSON Lines of this file with pandas, whose function `read` takes it.
    std::string conversion(std::string const& read, std::string const& more = "") const {
        const auto other_name = std::filesystem::path(unpacked_name()).replace_extension(".jsonl").string();
        return "; in Python, pandas." + read + "(" + in_quotes(who_) + more + ").to_json(" + in_quotes(other_name) +
               ", orient=\"records\", lines=True) makes JSON Lines of it, where each document needs the key " +
               in_quotes(keys_.text);
    }

    void refuse_other_kind(std::span<const std::byte> bytes) const {
        const auto kind = foreign_kind(bytes);
        if (!kind) return;
        std::string remedy = kind->remedy.empty() ? "" : "; " + std::string(kind->remedy);
        if (kind->name == "a Parquet file") remedy = conversion("read_parquet");
        if (kind->name == "an Arrow file") remedy = conversion("read_feather");
        throw format_error(who_ + ": JSON Lines, text or NPY are expected, " + std::string(kind->name) + " was found" +
                           remedy);
    }

    /// `line`, the first, is no JSON.
    void refuse_table(std::string_view line) const {
        if (line[line.find_first_not_of(" \t\r")] == '{') return;
        const auto refuse = [&](std::string const& name, std::string const& how) {
            throw format_error(who_ + ": JSON Lines, text or NPY are expected, a table of " + name +
                               "-separated values was found" + conversion("read_csv", how + ", dtype=str"));
        };
        if (unpacked_name().ends_with(".tsv") || line.find('\t') != line.npos) refuse("tab", ", sep=\"\\t\"");
        if (unpacked_name().ends_with(".csv")) refuse("comma", "");
    }

    void read_line(std::string_view line, std::size_t number, document& d) {
        const std::string who = who_ + ": line " + std::to_string(number);
        const auto members = parse_json_members(line, who, std::vector<std::string_view>(asked_.begin(), asked_.end()));
        const auto member = [&](std::string const& key) -> json_member const& { return members[place_of(key)]; };
        json_member const& text = member(keys_.text);
        if (text.written.empty()) throw format_error(who + ": the key " + in_quotes(keys_.text) + " is missing");
        d.line = number;
        d.text = detail::json_value<std::string>(text.value, keys_.text, who);
        d.id = label(member(keys_.id), keys_.id, who);
        d.topic = label(member(keys_.topic), keys_.topic, who);
        for (auto const& key : keys_.kept) d.kept.push_back(label(member(key), key, who, true));
        for (std::size_t i = 0; i < asked_.size(); ++i) met_[i] = met_[i] || !members[i].written.empty();
    }

    /// A string as it is; a number as the line has it, which of a long one would not be left if it were a double; of a
    /// key that is kept also true and false.
    static std::string label(json_member const& member, std::string const& key, std::string const& who,
                             bool is_kept = false) {
        json const& value = member.value;
        if (value.is_null()) return {};
        if (value.is_number() || (is_kept && value.is_boolean())) return std::string(member.written);
        if (!value.is_string())
            detail::refuse_json(value, key, who,
                                is_kept ? "a string, a number, true, false or null" : "a string or a number");
        return value.get<std::string>();
    }

    std::string who_;
    std::size_t most_ids_;
    document_keys keys_;
    std::vector<std::string> asked_; // those keys, each once
    std::vector<bool> met_;          // of asked_, whether a document had it
    std::variant<std::monostate, npy_array, mapped_file, line_reader> source_;
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
