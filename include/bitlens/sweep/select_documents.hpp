#pragma once
/// select_documents: the rows of an input that are long enough, as token ids of one length.

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

/// The documents of a study, and what became of the rows of the input.
struct document_selection {
    document_rows documents;
    std::size_t read = 0, shorter = 0, cut = 0; // rows read; of them, left out, and cut to the length
};

/// Bytes of the text of all ids but the first; nothing where an id has no text.
inline std::optional<std::uint64_t> scored_bytes(tokenizer const& t, std::span<const std::int32_t> ids) {
    std::uint64_t bytes = 0;
    for (const std::int32_t id : ids.subspan(1)) bytes += t.token_bytes(id).size();
    return bytes;
}

/// The first `limit` rows (all without one) of at least `tokens` ids, each cut to so many. Text is encoded, with `bos`
/// before it where there is one; rows of ids are taken as they stand.   vocabulary: the model's.
/// Errors: those of document_reader and encode; format_error for an id outside the vocabulary; option_error when no
/// row is long enough.
inline document_selection select_documents(std::filesystem::path const& data, tokenizer const& t,
                                           std::optional<std::int32_t> bos, std::size_t vocabulary, std::size_t tokens,
                                           std::optional<std::size_t> limit) {
    document_selection s;
    std::vector<std::int32_t> ids;
    document_reader reader(data);
    for (document d; (!limit || s.documents.rows.size() < *limit) && reader.next(d);) {
        ++s.read;
        if (!reader.holds_ids()) {
            d.ids = t.encode(d.text);
            if (bos) d.ids.insert(d.ids.begin(), *bos);
        }
        if (d.ids.size() < tokens) {
            ++s.shorter;
            continue;
        }
        if (d.ids.size() > tokens) ++s.cut;
        check_ids(data, d.row, std::span(d.ids).first(tokens), vocabulary);
        ids.insert(ids.end(), d.ids.begin(), d.ids.begin() + static_cast<std::ptrdiff_t>(tokens));
        s.documents.rows.push_back(d.row);
        s.documents.names.push_back(d.id);
        s.documents.topics.push_back(d.topic);
        s.documents.bytes.push_back(scored_bytes(t, std::span<const std::int32_t>(d.ids).first(tokens)));
    }
    if (s.documents.rows.empty())
        throw option_error(data.string() + ": none of its " + std::to_string(s.read) + " rows has " +
                           std::to_string(tokens) + " tokens or more");
    s.documents.ids = matrix<std::int32_t>(s.documents.rows.size(), tokens);
    std::ranges::copy(ids, s.documents.ids.data());
    return s;
}

} // namespace bitlens
