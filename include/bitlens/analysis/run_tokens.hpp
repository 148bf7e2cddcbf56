#pragma once
/// run_tokens: what a run keeps of every position (tokens.npz): ids, losses, divergences, most likely tokens, and
/// the bytes of tokens.

#include "bitlens/analysis/run_results.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/npz.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Rows of tokens.npz are the rows of examples.csv. Column t of what is scored belongs to id t + 1.
class run_tokens {
public:
    /// Errors: io_error; format_error naming the file and the array that is missing or has another type or shape than
    /// the run's, or token bytes that contradict each other.
    run_tokens(std::filesystem::path const& path, run_results const& run)
        : who_(path.string()), file_(path), rows_(run.size()) {
        const npy_array ids = file_.array("ids");
        if (ids.fortran || ids.shape.size() != 2 || ids.shape[0] != rows_)
            throw format_error(ids.who + ": shape " + shape_text(ids.shape) + ", expected one row for each of the " +
                               std::to_string(rows_) + " rows of examples.csv");
        tokens_ = ids.shape[1];
        ids_ = ids.values<std::int32_t>();
        for (std::size_t i = 0; i < rows_; ++i)
            if (run.tokens[i] != tokens_)
                throw format_error(who_ + ": array 'ids' has rows of " + std::to_string(tokens_) +
                                   " tokens, expected " + std::to_string(run.tokens[i]) + " as row " +
                                   std::to_string(i) + " of examples.csv");
        if (rows_ > 0 && tokens_ < 2) throw format_error(who_ + ": array 'ids' has rows without a scored token");
        expect_scores("full");
        for (auto const& m : run.methods) {
            expect_scores(m.name);
            expect_losses("kl_" + m.name);
        }
        read_token_bytes();
    }

    /// Token ids of an example.   Shapes: (tokens).   Errors: shape_error for a row that is not there.
    std::span<const std::int32_t> ids(std::size_t row) const {
        if (row >= rows_)
            throw shape_error(who_ + ": row " + std::to_string(row) + " is asked of " + std::to_string(rows_));
        return std::span(ids_).subspan(row * tokens_, tokens_);
    }
    std::vector<std::span<const std::int32_t>> all_ids() const {
        std::vector<std::span<const std::int32_t>> all;
        for (std::size_t i = 0; i < rows_; ++i) all.push_back(ids(i));
        return all;
    }
    /// Loss in nats at each scored position; `variant` is "full" or a method.   Shapes: (tokens − 1).
    std::vector<float> nll(std::size_t row, std::string_view variant) const {
        return scores<float>("nll_", variant, row);
    }
    /// KL(full ‖ method) in nats at each scored position.   Shapes: (tokens − 1).
    std::vector<float> kl(std::size_t row, std::string_view method) const { return scores<float>("kl_", method, row); }
    /// Most likely id at each scored position.   Shapes: (tokens − 1).
    std::vector<std::int32_t> top(std::size_t row, std::string_view variant) const {
        return scores<std::int32_t>("top_", variant, row);
    }
    /// The bytes that an id stands for.   Errors: format_error for one that the run does not know.
    std::string_view bytes(std::int32_t id) const {
        const auto place = std::ranges::lower_bound(token_ids_, id);
        if (place == token_ids_.end() || *place != id)
            throw format_error(who_ + ": array 'token_ids' lacks the id " + std::to_string(id));
        const auto i = static_cast<std::size_t>(place - token_ids_.begin());
        return std::string_view(token_bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
    }

private:
    std::size_t scored() const noexcept { return tokens_ == 0 ? 0 : tokens_ - 1; } // positions
    template <npy_number T>
    npy_array expect_rows(std::string const& name, std::size_t cols) const {
        npy_array array = file_.array(name);
        array.template expect<T>();
        if (array.fortran || array.shape != std::vector<std::size_t>{rows_, cols})
            throw format_error(array.who + ": shape " + shape_text(array.shape) + ", expected " +
                               shape_text(std::vector<std::size_t>{rows_, cols}));
        return array;
    }
    void expect_losses(std::string const& name) {
        npy_array const& array = scores_.emplace(name, expect_rows<float>(name, scored())).first->second;
        for (std::size_t i = 0; i < array.size(); ++i)
            if (!std::isfinite(array.stored<float>(i)))
                throw format_error(array.who + ": number " + std::to_string(i) + " is not finite");
    }
    void expect_scores(std::string const& variant) {
        expect_losses("nll_" + variant);
        scores_.emplace("top_" + variant, expect_rows<std::int32_t>("top_" + variant, scored()));
    }
    template <npy_number T>
    std::vector<T> scores(std::string_view prefix, std::string_view variant, std::size_t row) const {
        npy_array const& array = scores_.at(std::string(prefix) + std::string(variant));
        std::vector<T> values(array.shape[1]);
        for (std::size_t t = 0; t < values.size(); ++t) values[t] = array.template stored<T>(row * values.size() + t);
        return values;
    }
    void read_token_bytes() {
        token_ids_ = file_.array("token_ids").template values<std::int32_t>();
        const auto offsets = file_.array("token_offsets").template values<std::int64_t>();
        const auto bytes = file_.array("token_bytes").template values<std::uint8_t>();
        if (std::ranges::adjacent_find(token_ids_, std::greater_equal<>{}) != token_ids_.end())
            throw format_error(who_ + ": array 'token_ids' does not rise");
        if (offsets.size() != token_ids_.size() + 1 || offsets.front() != 0 ||
            offsets.back() != static_cast<std::int64_t>(bytes.size()) || !std::ranges::is_sorted(offsets))
            throw format_error(who_ + ": array 'token_offsets' does not cut the " + std::to_string(bytes.size()) +
                               " bytes of 'token_bytes' into " + std::to_string(token_ids_.size()) + " pieces");
        offsets_.assign(offsets.begin(), offsets.end());
        token_bytes_.assign(bytes.begin(), bytes.end());
    }

    std::string who_;
    npz_reader file_;
    std::size_t rows_, tokens_ = 0;
    std::vector<std::int32_t> ids_; // (N, tokens)
    std::map<std::string, npy_array> scores_;
    std::vector<std::int32_t> token_ids_; // rising
    std::vector<std::size_t> offsets_;
    std::string token_bytes_;
};

} // namespace bitlens
