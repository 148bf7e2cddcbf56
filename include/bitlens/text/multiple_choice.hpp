#pragma once
/// Questions of which one of several choices is the answer, as lines of JSON Lines hold them.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/text/json_lines.hpp"
#include "bitlens/text/unicode.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// The choices of a question, none of them empty, and the place of the right one.
struct choice_list {
    std::vector<std::string> texts;
    std::size_t answer = 0;
};

/// Most choices of a question; each is read with the question before it.
inline constexpr std::size_t most_choices = 1000;

/// Where a choice stands behind a question: with a space before it, unless there is white space of ASCII already.
inline std::string text_of_choice(std::string_view question, std::string_view choice) {
    constexpr std::string_view spaces = " \t\n\v\f\r";
    const bool has_space = spaces.find(question.empty() ? ' ' : question.back()) != spaces.npos ||
                           spaces.find(choice.empty() ? ' ' : choice.front()) != spaces.npos;
    return (has_space ? "" : " ") + std::string(choice);
}

namespace detail {

/// A string that is more than white space, an element of an array.   Errors: format_error.
inline std::string some_text(json const& value, std::string_view key, std::string_view who, std::size_t element) {
    auto text = json_value<std::string>(value, key, who, element);
    if (without_outer_space(text).empty()) refuse_json(value, key, who, "a string of more than white space", element);
    return text;
}

/// The place among so many that a number or the digits of one name.
inline std::optional<std::size_t> index_among(std::size_t count, std::string_view digits) {
    std::size_t index = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (problem != std::errc{} || end != digits.data() + digits.size() || index >= count) return std::nullopt;
    return index;
}

class choice_finder {
public:
    choice_finder(json_line_reader const& line, std::string_view choices_key, std::string_view answer_key)
        : choices_key_(choices_key), answer_key_(answer_key), who_(line.place()),
          choices_(line.value(line.required(choices_key))), answer_member_(line.required(answer_key)) {}

    choice_list run() const {
        choice_list found;
        if (choices_.is_array()) {
            found.texts = texts(choices_, choices_key_);
            found.answer = place_in_list(found.texts);
        } else if (choices_.is_object()) {
            const std::string text_key = std::string(choices_key_) + ".text";
            found.texts = texts(member(choices_, "text", who_ + ": key " + in_quotes(choices_key_)), text_key);
            found.answer = place_of_label(found.texts.size());
        } else {
            refuse_json(choices_, choices_key_, who_, "an array of strings, or an object of text and label");
        }
        return found;
    }

private:
    std::vector<std::string> texts(json const& all, std::string_view key) const {
        if (!all.is_array()) refuse_json(all, key, who_, "an array of strings");
        if (all.size() < 2 || all.size() > most_choices)
            throw format_error(who_ + ": key " + in_quotes(key) + ": 2 to " + std::to_string(most_choices) +
                               " choices are expected, " + std::to_string(all.size()) + " were found");
        std::vector<std::string> found;
        found.reserve(all.size());
        for (std::size_t i = 0; i < all.size(); ++i) found.push_back(some_text(all[i], key, who_, i));
        return found;
    }

    /// The answer as a text: that of a string, the digits of an integer.
    std::string answer() const {
        json const& value = answer_member_.value;
        if (value.is_number_integer() || value.is_string()) return json_label(answer_member_, answer_key_, who_);
        refuse_answer("a string or an integer");
    }
    [[noreturn]] void refuse_answer(std::string const& expected) const {
        refuse_json(answer_member_.value, answer_key_, who_, expected);
    }

    /// Errors: format_error also for a string that is one choice and counts to another, and for one that several are.
    std::size_t place_in_list(std::span<const std::string> choices) const {
        const std::string right = answer();
        const auto index = index_among(choices.size(), right);
        std::optional<std::size_t> place;
        if (answer_member_.value.is_string()) place = only_place(choices, right, "choices");
        if (place && index && *place != *index)
            refuse_answer("one of the choices, or its place from 0, but not that of another,");
        if (!place && !index)
            refuse_answer("one of the choices, or its place from 0 to " + std::to_string(choices.size() - 1) + ",");
        return place ? *place : *index;
    }

    std::size_t place_of_label(std::size_t count) const {
        const std::string key = std::string(choices_key_) + ".label";
        json const& all = member(choices_, "label", who_ + ": key " + in_quotes(choices_key_));
        if (!all.is_array()) refuse_json(all, key, who_, "an array of strings");
        if (all.size() != count)
            throw format_error(who_ + ": key " + in_quotes(key) + ": as many labels as texts are expected, " +
                               std::to_string(all.size()) + " and " + std::to_string(count) + " were found");
        std::vector<std::string> labels;
        for (std::size_t i = 0; i < count; ++i) {
            if (!all[i].is_string() && !all[i].is_number_integer())
                refuse_json(all[i], key, who_, "a string or an integer", i);
            labels.push_back(all[i].is_string() ? all[i].get<std::string>() : all[i].dump());
        }
        const auto place = only_place(labels, answer(), "labels");
        if (!place) refuse_answer("one of the labels");
        return *place;
    }

    std::optional<std::size_t> only_place(std::span<const std::string> all, std::string const& one,
                                          std::string const& called) const {
        const auto place = std::find(all.begin(), all.end(), one);
        if (place == all.end()) return std::nullopt;
        if (std::find(place + 1, all.end(), one) != all.end()) refuse_answer("the text of only one of the " + called);
        return static_cast<std::size_t>(place - all.begin());
    }

    std::string_view choices_key_, answer_key_;
    std::string who_;
    json choices_;
    json_member const& answer_member_;
};

} // namespace detail

/// The choices of a line that was read, by two of its keys.
///   choices   an array of strings, or an object as of ARC: {"text": [strings], "label": [strings or integers]}
///   answer    of an array: the place of the right choice from 0, as an integer or its digits in a string, or the
///   choice
///             itself; of an object: its label
/// Errors: format_error naming file, line and key, also for an answer that may be read as two choices, for fewer than 2
/// choices and for more than 1000.
inline choice_list read_choices(json_line_reader const& line, std::string_view choices_key,
                                std::string_view answer_key) {
    return detail::choice_finder(line, choices_key, answer_key).run();
}

} // namespace bitlens
