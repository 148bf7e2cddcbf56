#pragma once
/// Verdicts: whether the numbers of a run decide a question, and how.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/stats/overlap.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitlens {

/// `mostly`: in more than half of the layers.
enum class outcome { agrees, mostly, differs, undecided, not_defined };

namespace detail {

/// What chance alone would show so rarely, to either side, decides.
inline constexpr double decisive_share = 0.025;

enum class side { above, below };

/// Does a correlation lie on that side of the threshold? Its whole interval has to.
inline outcome judge(measured const& rho, measured_interval const& within, side wanted, double threshold) {
    if (!rho) return outcome::not_defined;
    if (!within.lo || !within.hi) return outcome::undecided;
    if (*within.lo > threshold) return wanted == side::above ? outcome::agrees : outcome::differs;
    if (*within.hi < threshold) return wanted == side::below ? outcome::agrees : outcome::differs;
    return outcome::undecided;
}

/// In how many resamples a statement holds; of none where there are too few documents.
struct resampled {
    std::size_t holds = 0, of = 0;
};

/// `holds(random)` → bool draws a resample and looks; it is asked as often as an interval resamples.
template <class Holds>
resampled resample(std::size_t documents, std::uint64_t seed, Holds const& holds) {
    if (documents < fewest_documents) return {};
    resampled found{0, bootstrap_resamples};
    random_generator random(seed);
    for (std::size_t i = 0; i < found.of; ++i) found.holds += holds(random) ? 1u : 0u;
    return found;
}

/// As many as the set has, with replacement.
inline std::vector<std::size_t> draw_resample(std::span<const std::size_t> set, random_generator& random) {
    std::vector<std::size_t> drawn(set.size());
    for (auto& member : drawn) member = set[static_cast<std::size_t>(random.below(set.size()))];
    return drawn;
}

inline outcome judge(resampled const& found) noexcept {
    const double of = static_cast<double>(found.of), holds = static_cast<double>(found.holds);
    if (found.of == 0) return outcome::undecided;
    if (of - holds <= decisive_share * of) return outcome::agrees;
    return holds <= decisive_share * of ? outcome::differs : outcome::undecided;
}

/// A count of layers, and in how many resamples it is more than half of them.
inline outcome judge(layer_count count, resampled const& more_than_half) noexcept {
    if (count.of == 0) return outcome::not_defined;
    const outcome found = judge(more_than_half);
    return found == outcome::agrees && count.holds < count.of ? outcome::mostly : found;
}

/// Do two sets of n documents have more in common than random ones of their sizes?
inline outcome judge_overlap(std::span<const std::size_t> a, std::span<const std::size_t> b, std::size_t n) {
    if (a.empty() || b.empty()) return outcome::not_defined;
    const std::size_t common = common_members(a, b);
    if (chance_of_common(a.size(), b.size(), n, common) <= decisive_share) return outcome::agrees;
    return 1 - chance_of_common(a.size(), b.size(), n, common + 1) <= decisive_share ? outcome::differs
                                                                                     : outcome::undecided;
}

} // namespace detail

} // namespace bitlens
