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
#include <span>
#include <string>
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
};

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

/// The first `limit` rows (all without one) that are long enough, each cut to `length.most` ids. Text is encoded, with
/// `bos` before it where there is one; rows of ids are taken as they stand. What is cut off is not judged. t: nullptr
/// only for rows of ids.   vocabulary: the model's.   keys: of JSON Lines. Errors: those of document_reader and encode;
/// option_error for a key asked for by name that no row has; format_error naming the document for an id outside the
/// vocabulary, and for one in rows of ids that is no token of the tokenizer; option_error when no row is long enough.
inline document_selection select_documents(std::filesystem::path const& data, tokenizer const* t,
                                           std::optional<std::int32_t> bos, std::size_t vocabulary, row_length length,
                                           std::optional<std::size_t> limit, document_keys const& keys = {}) {
    document_selection s;
    for (auto const& key : keys.kept) s.documents.kept.push_back({key, {}});
    document_reader reader(data, length.most, keys);
    BITLENS_ASSERT(t != nullptr || reader.holds_ids());
    for (document d; (!limit || s.documents.rows.size() < *limit) && reader.next(d);) {
        ++s.read;
        if (!reader.holds_ids()) {
            d.ids = t->encode(d.text);
            if (bos) d.ids.insert(d.ids.begin(), *bos);
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
        s.documents.ids.add(used);
        s.documents.rows.push_back(d.row);
        s.documents.names.push_back(d.id);
        s.documents.topics.push_back(d.topic);
        for (std::size_t k = 0; k < d.kept.size(); ++k) s.documents.kept[k].values.push_back(d.kept[k]);
        s.documents.bytes.push_back(detail::scored_bytes(t, used));
    }
    if (const auto absent = reader.absent_keys(); s.read > 0 && !absent.empty())
        throw option_error(data.string() + ": none of the " + std::to_string(s.read) + " rows read has the key " +
                           in_quotes(absent[0]));
    if (s.documents.rows.empty())
        throw option_error(data.string() + ": none of its " + std::to_string(s.read) + " rows has " +
                           std::to_string(length.least) + " tokens or more");
    return s;
}

} // namespace bitlens
