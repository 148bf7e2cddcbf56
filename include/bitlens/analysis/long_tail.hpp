#pragma once
/// long_tail: the errors of the documents that were hard before quantization, and of those that were easy.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/verdicts.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/report/number_text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitlens {

/// The paper's bounds in nats per token (§7.2): rare documents are those of at least the one, common ones those of at
/// most the other.
inline constexpr double hard_loss = 4, easy_loss = 1;

/// Errors of some documents, whichever their place in D_large or out of it.
struct tail {
    std::vector<double> errors;
    measured mean;
    measured_interval within; // 95 %, by bootstrap over them
};

struct long_tail {
    tail hard, easy;
    outcome easy_lose_more; // is the mean error of the easy ones above that of the hard ones?
};

namespace detail {

inline tail tail_of(std::vector<double> errors, std::string const& which, std::uint64_t seed) {
    const measured mean_error = errors.empty() ? measured(undefined{"no document " + which}) : mean(errors);
    auto within = mean_error ? mean_interval(errors, seed)
                             : measured_interval{undefined{mean_error.reason()}, undefined{mean_error.reason()}};
    return {std::move(errors), mean_error, std::move(within)};
}

} // namespace detail

/// Of the documents that have both numbers. before: the loss of a full model, the same one or another.
/// Shapes: before (N), error (N).   Errors: shape_error for columns of different lengths.
inline long_tail long_tail_of(std::span<const double> before, std::span<const double> error, std::uint64_t seed) {
    const auto both = defined_pairs(before, error);
    std::vector<double> hard, easy;
    for (std::size_t i = 0; i < both.x.size(); ++i) {
        if (both.x[i] >= hard_loss) hard.push_back(both.y[i]);
        if (both.x[i] <= easy_loss) easy.push_back(both.y[i]);
    }
    long_tail found{detail::tail_of(std::move(hard), "has a loss of 4 nats per token or more", seed),
                    detail::tail_of(std::move(easy), "has a loss of 1 nat per token or less", seed + 1),
                    outcome::not_defined};
    if (found.hard.mean && found.easy.mean)
        found.easy_lose_more = detail::judge(detail::resample(
            std::min(found.hard.errors.size(), found.easy.errors.size()), seed, [&](random_generator& random) {
                const double easy_mean = detail::resampled_mean(found.easy.errors, random);
                return easy_mean > detail::resampled_mean(found.hard.errors, random);
            }));
    return found;
}

/// The full model's loss of each document in another run over the same data, perhaps of another model whose tokenizer
/// makes other ids of it; NaN for those that the other run lacks. Documents are the same where they have the same row
/// number in the data and the same id. who: what messages call the other run.   Errors: format_error, which names the
/// document, where a row has another id there, and where no row is in both.
inline std::vector<double> losses_in(finished_study const& other, std::string const& who,
                                     document_rows const& documents) {
    document_rows const& theirs = other.run.documents;
    std::unordered_map<std::size_t, std::size_t> place;
    for (std::size_t n = 0; n < theirs.size(); ++n) place[theirs.rows[n]] = n;
    std::vector<double> losses(documents.size(), undefined_number);
    bool any = false;
    for (std::size_t n = 0; n < documents.size(); ++n) {
        const auto found = place.find(documents.rows[n]);
        if (found == place.end()) continue;
        if (theirs.names[found->second] != documents.names[n])
            throw format_error(who + ": a run of the same documents is expected; its document " +
                               std::to_string(documents.rows[n]) + " has the id " +
                               in_quotes(theirs.names[found->second]) + ", here it has " +
                               in_quotes(documents.names[n]));
        losses[n] = other.nll_full[found->second];
        any = true;
    }
    if (!any)
        throw format_error(who + ": a run of the same documents is expected; none of its " +
                           counted(theirs.size(), "document") + " has the row number of one of the " +
                           std::to_string(documents.size()) + " here");
    return losses;
}

} // namespace bitlens
