#pragma once
/// document_rows: the documents of a run as rows of equally many token ids, and where they came from.

#include "bitlens/core/view.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// A key of the data that is kept beside id and topic: a column of text of examples.csv.
struct kept_values {
    std::string name;
    std::vector<std::string> values; // (N), empty where the document has none
};

struct document_rows {
    matrix<std::int32_t> ids;       // (N, tokens)
    std::vector<std::size_t> rows;  // row number in the input
    std::vector<std::string> names; // `id` of the input, empty when absent
    std::vector<std::string> topics;
    std::vector<std::optional<std::uint64_t>> bytes; // of the text of the scored tokens, where that is known
    std::vector<kept_values> kept{};

    /// Documents of these ids alone, numbered from 0.
    static document_rows numbered(matrix<std::int32_t> ids) {
        const std::size_t n = ids.rows();
        document_rows all{std::move(ids),
                          std::vector<std::size_t>(n),
                          std::vector<std::string>(n),
                          std::vector<std::string>(n),
                          std::vector<std::optional<std::uint64_t>>(n),
                          {}};
        for (std::size_t i = 0; i < n; ++i) all.rows[i] = i;
        return all;
    }

    std::size_t size() const noexcept { return ids.rows(); }
    /// Scored positions of a row.
    std::size_t positions() const noexcept { return ids.cols() == 0 ? 0 : ids.cols() - 1; }

    /// The first `count`, or all.
    document_rows first(std::size_t count) const {
        const auto n = static_cast<std::ptrdiff_t>(std::min(count, size()));
        const auto head = [n](auto const& list) {
            return std::remove_cvref_t<decltype(list)>(list.begin(), list.begin() + n);
        };
        document_rows some{matrix<std::int32_t>(static_cast<std::size_t>(n), ids.cols()),
                           head(rows),
                           head(names),
                           head(topics),
                           head(bytes),
                           {}};
        for (kept_values const& k : kept) some.kept.push_back({k.name, head(k.values)});
        std::copy_n(ids.data(), some.ids.rows() * ids.cols(), some.ids.data());
        return some;
    }

    /// "document 7", or "document 7 (its id)": how messages name row n.
    std::string who(std::size_t n) const {
        return "document " + std::to_string(rows[n]) + (names[n].empty() ? "" : " (" + visible_text(names[n]) + ")");
    }
};

} // namespace bitlens
