#pragma once
/// position_scores: room for what a sweep finds of every scored position of one variant.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitlens {

/// Per-position scores of one variant: see token_scores. The first variant's kl stays empty.
struct position_scores {
    std::vector<double> nll, kl, entropy;
    std::vector<std::int32_t> top;
    std::vector<float> margin;

    position_scores(std::size_t positions, bool is_reference)
        : nll(positions), kl(is_reference ? 0 : positions), entropy(positions), top(positions), margin(positions) {}
    token_scores view() noexcept { return {nll, kl, top, margin, entropy}; }

    /// Bytes that one position takes, at most.
    static constexpr std::size_t bytes_of_a_position = 3 * sizeof(double) + sizeof(std::int32_t) + sizeof(float);
};

/// Share of the positions at which two runs find the same token most likely.
/// Errors: shape_error for different numbers of positions, or none.
inline double same_top(position_scores const& a, position_scores const& b) {
    detail::check_size("same_top", "b", b.top.size(), a.top.size());
    if (a.top.empty()) throw shape_error("same_top: at least one position is expected");
    std::size_t same = 0;
    for (std::size_t t = 0; t < a.top.size(); ++t) same += a.top[t] == b.top[t] ? 1u : 0u;
    return static_cast<double>(same) / static_cast<double>(a.top.size());
}

/// A sweep's measurement of one row: the scores of every variant and nothing else. Variant 0 is the full model.
class score_measurement {
public:
    explicit score_measurement(std::size_t positions, std::size_t variants = 1) {
        BITLENS_ASSERT(variants >= 1);
        for (std::size_t v = 0; v < variants; ++v) scores_.emplace_back(positions, v == 0);
        for (auto& s : scores_) views_.push_back(s.view());
    }

    /// Bytes that one takes, at most.
    static std::size_t bytes(std::size_t positions, std::size_t variants) noexcept {
        return variants * positions * position_scores::bytes_of_a_position;
    }

    template <class F>
    void with_probe(std::size_t, F const& f) {
        no_probe nobody;
        f(nobody);
    }
    std::span<const token_scores> scores() noexcept { return views_; }
    position_scores const& positions(std::size_t variant) const noexcept { return scores_[variant]; }

private:
    std::vector<position_scores> scores_;
    std::vector<token_scores> views_;
};

} // namespace bitlens
