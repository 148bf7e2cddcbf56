#pragma once
/// Questions with the answers that are right, from tables as PopQA is published and from JSON Lines.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/text/json_lines.hpp"
#include "bitlens/text/tab_table.hpp"
#include "bitlens/text/unicode.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// One question.
struct question {
    std::size_t row = 0;              // among the questions of the file, from 0
    std::size_t line = 0;             // of the file, from 1
    std::string id;                   // empty when absent
    std::string relation;             // the template that it is made of; empty when absent
    std::string text;                 // UTF-8, more than white space
    std::vector<std::string> answers; // that are right; at least one, each more than white space
    std::optional<double> popularity; // finite and not negative
    std::string popularity_written;   // as the file has it; empty when absent
};

/// The columns of a table, or the keys of a line of JSON Lines, that make a question. Of id, relation and bucket an
/// empty name stands for none.
struct question_keys {
    std::string text = "question", answers = "possible_answers", bucket = "s_pop", relation = "prop", id = "id";

    bool operator==(question_keys const&) const = default;
};

namespace detail {

class question_file {
public:
    question_file(std::filesystem::path const& path, question_keys const& keys)
        : path_(path), keys_(keys), kinds_{path.string(), "JSON Lines or tab-separated values",
                                           "each question needs the keys " + in_quotes(keys.text) + " and " +
                                               in_quotes(keys.answers)} {}

    std::vector<question> read() {
        if (is_json_lines())
            read_json_lines();
        else
            read_table();
        if (questions_.empty()) refuse_nothing();
        return std::move(questions_);
    }

private:
    [[noreturn]] void refuse_nothing() const {
        throw format_error(path_.string() + ": at least one question is expected, none was found");
    }

    /// By the first line that is not blank: one that begins with a brace or a bracket is of JSON Lines, another with
    /// tabs the header of a table.
    bool is_json_lines() const {
        {
            const mapped_file file(path_);
            if (!is_gzip(file.bytes())) kinds_.refuse_kind(file.bytes());
        }
        line_reader lines(path_);
        std::string_view line;
        do
            if (!lines.next(line)) refuse_nothing();
        while (is_blank_line(line));
        kinds_.refuse_kind(as_bytes(line)); // which was compressed
        kinds_.refuse_array(line);
        if (line[line.find_first_not_of(" \t\r")] == '{') return true;
        if (line.find('\t') != line.npos) return false;
        kinds_.refuse_commas();
        if (kinds_.promises_json()) return true; // which says what is wrong with the line
        throw format_error(path_.string() + ": line " + std::to_string(lines.line_number()) +
                           ": an object of JSON, or a header with tabs between the names of columns, is expected, " +
                           in_quotes(line) + " was found");
    }

    /// The keys that a file can do without, unless they were asked for by name.
    std::array<std::string const*, 3> optional_keys() const { return {&keys_.bucket, &keys_.relation, &keys_.id}; }
    bool is_asked_by_name(std::string const* key) const {
        const question_keys usual;
        std::string const& default_name = key == &keys_.bucket     ? usual.bucket
                                          : key == &keys_.relation ? usual.relation
                                                                   : usual.id;
        return !key->empty() && *key != default_name;
    }

    void read_json_lines() {
        std::vector<std::string> asked{keys_.text, keys_.answers};
        for (auto const* key : optional_keys())
            if (!key->empty()) asked.push_back(*key);
        json_line_reader lines(path_, asked);
        while (lines.next()) {
            lines.parse();
            question& q = begin_question(lines.number());
            const auto place = [&](std::string const& key) { return lines.place() + ": key " + in_quotes(key); };
            const auto label = [&](std::string const& key) {
                return key.empty() ? std::string() : json_label(lines[key], key, lines.place());
            };
            set_text(q, json_value<std::string>(lines.required(keys_.text).value, keys_.text, lines.place()),
                     place(keys_.text));
            json_member const& answers = lines.required(keys_.answers);
            auto const* const in_text = answers.value.get_ptr<std::string const*>();
            set_answers(q, in_text ? parse_json(*in_text, place(keys_.answers)) : lines.value(answers),
                        place(keys_.answers));
            set_popularity(q, label(keys_.bucket), place(keys_.bucket));
            q.relation = label(keys_.relation);
            q.id = label(keys_.id);
        }
        for (auto const* key : optional_keys())
            if (is_asked_by_name(key) && !lines.has_met(*key) && !questions_.empty())
                throw option_error(path_.string() + ": none of the " + std::to_string(questions_.size()) +
                                   " questions has the key " + in_quotes(*key));
    }

    void read_table() {
        tab_table_reader table(path_, keys_.answers);
        const std::size_t text = table.required(keys_.text), answers = table.required(keys_.answers);
        for (auto const* key : optional_keys())
            if (is_asked_by_name(key) && !table.find(*key)) throw option_error(table.absence_of(*key));
        const auto column = [&](std::string const& key) { return key.empty() ? std::nullopt : table.find(key); };
        const auto bucket = column(keys_.bucket), relation = column(keys_.relation), id = column(keys_.id);
        while (table.next()) {
            question& q = begin_question(table.number());
            const auto place = [&](std::string const& key) { return table.place() + ": column " + in_quotes(key); };
            set_text(q, table.cell(text), place(keys_.text));
            set_answers(q, parse_json(table.cell(answers), place(keys_.answers)), place(keys_.answers));
            if (bucket) set_popularity(q, table.cell(*bucket), place(keys_.bucket));
            if (relation) q.relation = table.cell(*relation);
            if (id) q.id = table.cell(*id);
        }
    }

    question& begin_question(std::size_t line) {
        question& q = questions_.emplace_back();
        q.row = questions_.size() - 1;
        q.line = line;
        return q;
    }

    /// Whether there is something else than white space.
    static bool says_nothing(std::string_view text) { return without_outer_space(text).empty(); }
    [[noreturn]] static void refuse(std::string const& where, std::string const& expected, std::string const& found) {
        throw format_error(where + ": " + expected + " is expected, " + found + " was found");
    }

    static void set_text(question& q, std::string text, std::string const& where) {
        if (says_nothing(text)) refuse(where, "a question of more than white space", in_quotes(text));
        q.text = std::move(text);
    }

    static void set_answers(question& q, json const& all, std::string const& where) {
        if (!all.is_array()) refuse(where, "a list of strings", found_text(all));
        if (all.empty()) refuse(where, "a list of at least one answer", "an empty list");
        q.answers.reserve(all.size());
        for (auto const& answer : all) {
            auto const* const text = answer.get_ptr<std::string const*>();
            if (text == nullptr || says_nothing(*text))
                refuse(where + ": answer " + std::to_string(q.answers.size()),
                       text == nullptr ? "a string" : "a string of more than white space", found_text(answer));
            q.answers.push_back(*text);
        }
    }

    static void set_popularity(question& q, std::string written, std::string const& where) {
        if (written.empty()) return;
        double number = 0;
        const char* const end = written.data() + written.size();
        const auto [read, problem] = std::from_chars(written.data(), end, number);
        if (problem != std::errc{} || read != end || !std::isfinite(number) || number < 0)
            refuse(where, "a finite number that is not negative", in_quotes(written));
        q.popularity = number;
        q.popularity_written = std::move(written);
    }

    std::filesystem::path path_;
    question_keys keys_;
    other_than_json_lines kinds_;
    std::vector<question> questions_;
};

} // namespace detail

/// The questions of a file, all of them. The first line that is not blank tells what it is.
///   a table      tab-separated values, plain or gzip, with a header line: a question, a list of answers as JSON, and
///   where
///                there are such columns a popularity, a relation and an id. Other columns are not judged, but no two
///                may have one name. Cells are taken as they stand or, where the first cell of answers begins with a
///                quote, with quotes as pandas writes them; see tab_table_reader.
///   JSON Lines   plain or gzip, an object a line with the same under the same keys: answers as a list of strings or as
///   a
///                string that holds one; popularity as a number or as one in a string; relation and id as of documents
/// An empty cell, or null, of popularity, relation or id is one that is absent.
/// Errors: io_error as mapped_file; format_error naming file, line and column or key, also for a file of another kind,
/// one of no questions, and a table without a column of questions or answers; option_error for another than the usual
/// name of popularity, relation or id that no question has. Time and memory grow as the file does.
inline std::vector<question> read_questions(std::filesystem::path const& path, question_keys const& keys = {}) {
    return detail::question_file(path, keys).read();
}

} // namespace bitlens
