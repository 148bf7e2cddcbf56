#pragma once
/// document_rows: the documents of a run as rows of token ids, and where they came from.

#include "bitlens/report/number_text.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/token_rows.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// A key of the data that is kept beside id and topic: a column of text of examples.csv.
struct kept_values {
    std::string name;
    std::vector<std::string> values; // (N), empty where the document has none
};

struct document_rows {
    token_rows ids;
    std::vector<std::size_t> rows;  // row number in the input
    std::vector<std::string> names; // `id` of the input, empty when absent
    std::vector<std::string> topics;
    std::vector<std::optional<std::uint64_t>> bytes; // of the text of the scored tokens, where that is known
    std::vector<kept_values> kept{};

    /// Documents of these ids alone, numbered from 0.
    static document_rows numbered(token_rows ids) {
        const std::size_t n = ids.size();
        document_rows all{std::move(ids),
                          std::vector<std::size_t>(n),
                          std::vector<std::string>(n),
                          std::vector<std::string>(n),
                          std::vector<std::optional<std::uint64_t>>(n),
                          {}};
        std::iota(all.rows.begin(), all.rows.end(), std::size_t{0});
        return all;
    }

    std::size_t size() const noexcept { return ids.size(); }

    /// The first `count`, or all.
    document_rows first(std::size_t count) const {
        std::vector<std::size_t> numbers(std::min(count, size()));
        std::iota(numbers.begin(), numbers.end(), std::size_t{0});
        return chosen(numbers);
    }
    /// Some of them.
    document_rows chosen(std::span<const std::size_t> numbers) const {
        const auto some_of = [&](auto const& list) {
            std::remove_cvref_t<decltype(list)> some;
            for (const std::size_t n : numbers) some.push_back(list[n]);
            return some;
        };
        document_rows some{ids.chosen(numbers), some_of(rows), some_of(names), some_of(topics), some_of(bytes), {}};
        for (kept_values const& k : kept) some.kept.push_back({k.name, some_of(k.values)});
        return some;
    }

    /// "document 7", or "document 7 (its id)": how messages name row n.
    std::string who(std::size_t n) const {
        return "document " + std::to_string(rows[n]) + (names[n].empty() ? "" : " (" + visible_text(names[n]) + ")");
    }
};

/// "512 tokens", "31 to 512 tokens".
inline std::string lengths_text(token_rows const& rows) {
    const std::string range = rows.shortest() == rows.longest() ? "" : std::to_string(rows.shortest()) + " to ";
    return range + counted(rows.longest(), "token");
}

} // namespace bitlens
