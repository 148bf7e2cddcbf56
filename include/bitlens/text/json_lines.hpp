#pragma once
/// JSON Lines: what stands under some keys in each line of a file, and the words for a file that holds something else.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/io/json.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Reads JSON Lines, plain or gzip, and of each line the members under some keys. Lines of white space alone are
/// skipped, but counted.
class json_line_reader {
public:
    /// keys: what members are asked for; those that are named twice are read once.   Errors: io_error as mapped_file.
    json_line_reader(std::filesystem::path const& path, std::span<const std::string> keys)
        : who_(path.string()), lines_(path) {
        for (auto const& key : keys)
            if (place_of(key) == keys_.size()) keys_.push_back(key);
        met_.resize(keys_.size(), false);
    }

    /// Goes to the next line; false after the last.   Errors: format_error as line_reader.
    bool next() {
        do
            if (!lines_.next(line_)) return false;
        while (is_blank_line(line_));
        return true;
    }

    /// The line that next() found.
    std::string_view line() const noexcept { return line_; }
    std::size_t number() const noexcept { return lines_.line_number(); }
    /// Names file and line, as errors do.
    std::string place() const { return who_ + ": line " + std::to_string(number()); }

    /// Reads the line.   Errors: format_error as parse_json_members.
    void parse() {
        members_ = parse_json_members(line_, place(), std::vector<std::string_view>(keys_.begin(), keys_.end()));
        for (std::size_t i = 0; i < keys_.size(); ++i) met_[i] = met_[i] || !members_[i].written.empty();
    }

    /// A member of the line that was read, by one of the keys; its `written` is empty where there is none.
    json_member const& operator[](std::string_view key) const { return members_[place_of(key)]; }
    /// The same, which must be there.   Errors: format_error.
    json_member const& required(std::string_view key) const {
        json_member const& member = (*this)[key];
        if (member.written.empty()) throw format_error(place() + ": the key " + in_quotes(key) + " is missing");
        return member;
    }

    /// The whole value of such a member, arrays and objects too.   Errors: format_error as parse_json.
    json value(json_member const& member) const {
        return parse_json(member.written, place(), static_cast<std::size_t>(member.written.data() - line_.data()));
    }

    /// Whether a line that was read had this one of the keys.
    bool has_met(std::string_view key) const { return met_[place_of(key)]; }

private:
    std::size_t place_of(std::string_view key) const {
        return static_cast<std::size_t>(std::ranges::find(keys_, key) - keys_.begin());
    }

    std::string who_;
    line_reader lines_;
    std::string_view line_;
    std::vector<std::string> keys_; // each once
    std::vector<bool> met_;         // of keys_, whether a line had it
    std::vector<json_member> members_;
};

namespace detail {

/// A string as it is; a number as the line has it, which of a long one would not be left if it were a double; of a key
/// that is kept also true and false. Empty where there is none, or null.   Errors: format_error for another value.
inline std::string json_label(json_member const& member, std::string_view key, std::string_view who,
                              bool is_kept = false) {
    json const& value = member.value;
    if (value.is_null()) return {};
    if (value.is_number() || (is_kept && value.is_boolean())) return std::string(member.written);
    if (!value.is_string())
        refuse_json(value, key, who, is_kept ? "a string, a number, true, false or null" : "a string or a number");
    return value.get<std::string>();
}

/// The words of a reader of JSON Lines for a file that is of another kind.
struct other_than_json_lines {
    std::string who;      // the file
    std::string expected; // what the reader takes: "JSON Lines, text or NPY"
    std::string needed;   // in JSON Lines: "each document needs the key \"text\""

    /// The name without the ending of gzip.
    std::string_view unpacked_name() const noexcept {
        std::string_view name = who;
        if (name.ends_with(".gz")) name.remove_suffix(3);
        return name;
    }

    /// Whether the name says that the file is JSON.
    bool promises_json() const noexcept {
        return unpacked_name().ends_with(".jsonl") || unpacked_name().ends_with(".json");
    }

    /// Errors: format_error for bytes of a known other kind, with what to do about it.
    void refuse_kind(std::span<const std::byte> bytes) const {
        const auto kind = foreign_kind(bytes);
        if (!kind) return;
        std::string remedy = kind->remedy.empty() ? "" : "; " + std::string(kind->remedy);
        if (kind->name == "a Parquet file") remedy = conversion("read_parquet");
        if (kind->name == "an Arrow file") remedy = conversion("read_feather");
        refuse(std::string(kind->name), remedy);
    }

    /// Errors: format_error for a table of which `line`, which is no JSON, is the first.
    void refuse_tabs(std::string_view line) const {
        if (unpacked_name().ends_with(".tsv") || line.find('\t') != line.npos)
            refuse("a table of tab-separated values", conversion("read_csv", ", sep=\"\\t\", dtype=str"));
    }
    void refuse_commas() const {
        if (unpacked_name().ends_with(".csv"))
            refuse("a table of comma-separated values", conversion("read_csv", ", dtype=str"));
    }
    /// Errors: format_error for a first line that opens an array.
    void refuse_array(std::string_view line) const {
        if (line[line.find_first_not_of(" \t\r")] == '[')
            throw format_error(who + ": a JSON array was found; JSON Lines are expected, one object a line without "
                                     "brackets around them and commas between them");
    }

private:
    [[noreturn]] void refuse(std::string const& found, std::string const& remedy) const {
        throw format_error(who + ": " + expected + " are expected, " + found + " was found" + remedy);
    }

    /// What makes JSON Lines of this file with pandas, whose function `read` takes it.
    std::string conversion(std::string const& read, std::string const& more = "") const {
        const auto other_name = std::filesystem::path(unpacked_name()).replace_extension(".jsonl").string();
        return "; in Python, pandas." + read + "(" + in_quotes(who) + more + ").to_json(" + in_quotes(other_name) +
               ", orient=\"records\", lines=True) makes JSON Lines of it, where " + needed;
    }
};

} // namespace detail

} // namespace bitlens
