#pragma once
/// select_documents: the rows of an input that are long enough, as token ids.

#include "bitlens/core/utf8.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/text/documents.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Tokens of a document: shorter ones are left out, longer ones cut.
struct row_length {
    std::size_t least, most;

    /// Documents of one length.
    row_length(std::size_t exactly) : least(exactly), most(exactly) {}
    row_length(std::size_t from, std::size_t to) : least(from), most(to) {}
    /// Documents as long as they are, of which a model has so many positions.
    static row_length any_up_to(std::size_t most) { return {2, most}; }
};

/// The documents of a study, and what became of the rows of the input.
struct document_selection {
    document_rows documents;
    std::size_t read = 0, shorter = 0, cut = 0; // rows read; of them, left out, and cut to the length
    std::vector<std::string> too_long{};        // rows with prompts that are longer and left out, in words
};

/// What examples.csv calls the choices of questions: which one a row is, and whether ("1" or "0") it is the right one.
inline constexpr const char *choice_name = "choice", *is_answer_name = "is_answer";

namespace detail {

/// Bytes of the text of all ids but the first; nothing where there is no tokenizer, or an id has no token.
inline std::optional<std::uint64_t> scored_bytes(tokenizer const* t, std::span<const std::int32_t> ids) {
    std::uint64_t bytes = 0;
    for (const std::int32_t id : ids.subspan(1)) {
        if (t == nullptr || !t->has_token(id)) return std::nullopt;
        bytes += t->token_bytes(id).size();
    }
    return bytes;
}

/// The ids of a document's text behind its prompt, and how many of them are the prompt: those that the two have in
/// common, since a text may change the last tokens of what stands before it.
struct prompted_ids {
    std::vector<std::int32_t> ids;
    std::size_t prompt;
};
inline prompted_ids encode_document(tokenizer const& t, std::optional<std::int32_t> bos, document const& d) {
    prompted_ids all{t.encode(d.prompt + d.text), 0};
    if (!d.prompt.empty()) {
        const auto alone = t.encode(d.prompt);
        const auto [end, of_prompt] = std::ranges::mismatch(all.ids, alone);
        all.prompt = static_cast<std::size_t>(end - all.ids.begin());
    }
    if (bos) {
        all.ids.insert(all.ids.begin(), *bos);
        ++all.prompt;
    }
    all.prompt = std::max<std::size_t>(all.prompt, 1);
    return all;
}

/// Leaves out the rows of `s` whose rows of the data are named: a question of which a choice is missing is none.
inline void leave_out_rows(document_rows& s, std::set<std::size_t> const& rows_of_data) {
    std::vector<std::size_t> kept;
    for (std::size_t n = 0; n < s.size(); ++n)
        if (!rows_of_data.contains(s.rows[n])) kept.push_back(n);
    if (kept.size() < s.size()) s = s.chosen(kept);
}

/// A document of a file in words: "d.jsonl: line 7, document 5 (id "mine")".
inline std::string place_of(std::filesystem::path const& file, document const& d) {
    return file.string() + ": " + (d.line > 0 ? "line " + std::to_string(d.line) + ", " : "") + "document " +
           std::to_string(d.row) + (d.id.empty() ? "" : " (id " + in_quotes(d.id) + ")");
}

} // namespace detail

/// Whether a model of so many ids has a row for every token of a text.   Errors: format_error that `who`, the text,
/// begins.
inline void check_rows(std::string const& who, tokenizer const& t, std::span<const std::int32_t> ids,
                       std::size_t vocabulary) {
    for (const std::int32_t id : ids)
        if (static_cast<std::size_t>(id) >= vocabulary)
            throw format_error(who + ": among its tokens is " + in_quotes(t.text_of(id)) + " (id " +
                               std::to_string(id) + "), for which the model has no row: it has " +
                               std::to_string(vocabulary) + ", for the ids from 0 to " +
                               std::to_string(vocabulary - 1));
}

/// The first `limit` rows (all without one) that are long enough, each cut to `length.most` ids; one with a prompt is
/// never cut, but left out with all choices of its question, and named. Choices stay together, though they be more than
/// `limit`. Text is encoded, with `bos` before it where there is one; rows of ids are taken as they stand. What is cut
/// off is not judged. t: nullptr only for rows of ids.   vocabulary: the model's.   keys: of JSON Lines.
/// Errors: those of document_reader and encode; option_error for a key asked for by name that no row has; format_error
/// naming the document for an id outside the vocabulary, for one in rows of ids that is no token of the tokenizer, and
/// where a prompt leaves no token of the text behind it; option_error when no row is long enough.
inline document_selection select_documents(std::filesystem::path const& data, tokenizer const* t,
                                           std::optional<std::int32_t> bos, std::size_t vocabulary, row_length length,
                                           std::optional<std::size_t> limit, document_keys const& keys = {}) {
    document_selection s;
    for (auto const& key : keys.kept) s.documents.kept.push_back({key, {}});
    const bool has_choices = !keys.choices.empty();
    if (has_choices)
        for (const char* name : {choice_name, is_answer_name}) s.documents.kept.push_back({name, {}});
    std::set<std::size_t> left_out; // rows of the data
    document_reader reader(data, length.most, keys);
    BITLENS_ASSERT(t != nullptr || reader.holds_ids());
    const auto is_enough = [&](document const& d) { // never in the middle of a question
        return limit && s.documents.rows.size() >= *limit &&
               (!has_choices || s.documents.rows.empty() || s.documents.rows.back() != d.row);
    };
    for (document d; (!limit || has_choices || s.documents.rows.size() < *limit) && reader.next(d) && !is_enough(d);) {
        ++s.read;
        std::size_t prompt = 1;
        if (!reader.holds_ids()) {
            auto encoded = detail::encode_document(*t, bos, d);
            d.ids = std::move(encoded.ids);
            prompt = encoded.prompt;
            if (prompt == d.ids.size() && !d.prompt.empty())
                throw format_error(detail::place_of(data, d) + ": no token is left of the text behind its prompt");
            if (!d.prompt.empty() && d.ids.size() > length.most) {
                s.too_long.push_back(detail::place_of(data, d));
                left_out.insert(d.row);
                continue;
            }
        }
        if (d.ids.size() < length.least) {
            ++s.shorter;
            continue;
        }
        if (std::max(d.ids.size(), reader.ids_a_row()) > length.most) ++s.cut;
        const auto used = std::span<const std::int32_t>(d.ids).first(std::min(d.ids.size(), length.most));
        if (reader.holds_ids()) {
            check_ids(data, d.row, used, vocabulary);
            const auto unknown = std::ranges::find_if(used, [&](std::int32_t id) { return t && !t->has_token(id); });
            if (unknown != used.end())
                throw format_error(data.string() + ": row " + std::to_string(d.row) + ", column " +
                                   std::to_string(unknown - used.begin()) + ": the id " + std::to_string(*unknown) +
                                   " is no token of the model's tokenizer, whose ids are below " +
                                   std::to_string(t->vocabulary_size()));
        } else {
            check_rows(detail::place_of(data, d), *t, used, vocabulary);
        }
        s.documents.ids.add(used, prompt);
        s.documents.rows.push_back(d.row);
        s.documents.names.push_back(d.id);
        s.documents.topics.push_back(d.topic);
        for (std::size_t k = 0; k < d.kept.size(); ++k) s.documents.kept[k].values.push_back(d.kept[k]);
        if (has_choices) {
            s.documents.kept[keys.kept.size()].values.push_back(std::to_string(d.choice));
            s.documents.kept[keys.kept.size() + 1].values.push_back(d.is_answer ? "1" : "0");
        }
        s.documents.bytes.push_back(detail::scored_bytes(t, used.subspan(prompt - 1)));
    }
    if (has_choices) detail::leave_out_rows(s.documents, left_out);
    if (const auto absent = reader.absent_keys(); s.read > 0 && !absent.empty())
        throw option_error(data.string() + ": none of the " + std::to_string(s.read) + " rows read has the key " +
                           in_quotes(absent[0]));
    if (s.documents.rows.empty())
        throw option_error(data.string() + ": none of its " + std::to_string(s.read) + " rows has " +
                           std::to_string(length.least) + " tokens or more");
    return s;
}

} // namespace bitlens
