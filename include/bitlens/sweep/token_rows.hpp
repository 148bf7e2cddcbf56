#pragma once
/// token_rows: rows of token ids, each of its own length, and from where on each is scored.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// Positions first … end − 1 of a row; position t is scored on id t + 1.
struct scored_positions {
    std::size_t first = 0, end = 0;

    bool operator==(scored_positions const&) const = default;
    std::size_t count() const noexcept { return end - first; }
};

/// Rows are read whole, and scored from some position on: what comes before is a prompt.
class token_rows {
public:
    token_rows() = default;
    /// Rows of one length, scored from their first position on.
    token_rows(matrix_view<const std::int32_t> ids) {
        for (std::size_t n = 0; n < ids.rows; ++n) add(ids.row(n));
    }
    token_rows(matrix_view<std::int32_t> ids) : token_rows(matrix_view<const std::int32_t>(ids)) {}
    token_rows(matrix<std::int32_t> const& ids) : token_rows(ids.view()) {}

    /// prompt: how many of the ids are only read, the first one at least.   Errors: shape_error where none is left.
    void add(std::span<const std::int32_t> ids, std::size_t prompt = 1) {
        if (prompt == 0 || prompt > ids.size())
            throw shape_error("token_rows: a prompt of " + std::to_string(prompt) + " of " +
                              std::to_string(ids.size()) + " ids, expected from 1 to all of them");
        ids_.insert(ids_.end(), ids.begin(), ids.end());
        ends_.push_back(ids_.size());
        first_scored_.push_back(prompt - 1);
    }

    std::size_t size() const noexcept { return ends_.size(); }
    std::span<const std::int32_t> row(std::size_t n) const noexcept {
        return std::span(ids_).subspan(begin(n), tokens(n));
    }
    std::span<std::int32_t> row(std::size_t n) noexcept { return std::span(ids_).subspan(begin(n), tokens(n)); }
    std::int32_t operator()(std::size_t n, std::size_t t) const noexcept { return row(n)[t]; }
    std::int32_t& operator()(std::size_t n, std::size_t t) noexcept { return row(n)[t]; }
    /// Row after row.
    std::span<const std::int32_t> all() const noexcept { return ids_; }

    std::size_t tokens(std::size_t n) const noexcept { return ends_[n] - begin(n); }
    scored_positions scored(std::size_t n) const noexcept { return {first_scored_[n], tokens(n) - 1}; }
    /// Tokens of the longest and of the shortest row; 0 where there is none.
    std::size_t longest() const noexcept {
        std::size_t most = 0;
        for (std::size_t n = 0; n < size(); ++n) most = std::max(most, tokens(n));
        return most;
    }
    std::size_t shortest() const noexcept {
        std::size_t least = longest();
        for (std::size_t n = 0; n < size(); ++n) least = std::min(least, tokens(n));
        return least;
    }
    /// Of a row, rounded down; 0 where there is none.
    std::size_t mean_tokens() const noexcept { return size() == 0 ? 0 : ids_.size() / size(); }
    /// Positions that the longest row can be scored at.
    std::size_t positions() const noexcept { return longest() == 0 ? 0 : longest() - 1; }
    /// Whether a row has a prompt beside its first id.
    bool has_prompts() const noexcept {
        return std::ranges::any_of(first_scored_, [](std::size_t first) { return first > 0; });
    }

    /// Some of the rows.
    token_rows chosen(std::span<const std::size_t> rows) const {
        token_rows some;
        for (const std::size_t n : rows) some.add(row(n), first_scored_[n] + 1);
        return some;
    }
    /// (N, longest), −1 after the end of a row.
    matrix<std::int32_t> padded() const {
        matrix<std::int32_t> all(size(), longest());
        std::ranges::fill(all.span(), no_token);
        for (std::size_t n = 0; n < size(); ++n) std::ranges::copy(row(n), all.row(n).begin());
        return all;
    }

    static constexpr std::int32_t no_token = -1;

private:
    std::size_t begin(std::size_t n) const noexcept { return n == 0 ? 0 : ends_[n - 1]; }

    std::vector<std::int32_t> ids_;
    std::vector<std::size_t> ends_, first_scored_;
};

} // namespace bitlens
