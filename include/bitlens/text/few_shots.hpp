#pragma once
/// The examples that stand before a question, and the prompt that they make with it.

#include "bitlens/core/error.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/text/question_set.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitlens {

/// Chooses the examples (shots) of each question of a set: one from each of as many other relations, none of the
/// question's own and none with its text, in a random order. Where there are more other relations than shots, it is
/// chosen among them, too. Every choice is uniform: of the relations, of their order, and of the examples of a
/// relation.
///   Relations   that a question without one has is the empty one. In a set without any, each question is its own
///   relation:
///               shots are drawn from all questions of another text. A relation of one question has one example.
///   Seed        what is chosen depends on the seed, the row of the question and the whole set, and on nothing else.
///   The
///               numbers come from random_generator(h ^ row), h the first of random_generator(seed): first those of a
///               Fisher–Yates shuffle of the other relations, which stops after the shots, each followed by the one
///               that chooses the example. Relations whose questions all have one text come first, sorted by the rows
///               where their texts occur first, then the others; both by their first rows. Examples of a relation are
///               sorted by the row where their text occurs first, then by their own.
/// Time: to make one, the size of the set times its logarithm; for each question, the shots times that.
class few_shots {
public:
    /// set: all questions of a file, so that the row of each is its place. It is borrowed, and must outlive this.
    explicit few_shots(std::span<const question> set, std::size_t shots = 15) : set_(set), shots_(shots) {
        number_texts();
        number_relations();
        sort_examples();
        sort_relations();
    }

    /// The rows of the shots of a question, in their order.
    /// Errors: option_error where fewer other relations have an example of another text than there are to be shots.
    std::vector<std::size_t> operator()(std::uint64_t seed, std::size_t row) const {
        BITLENS_ASSERT(row < set_.size());
        const skipped_ranges others = others_than(row);
        const std::size_t count = order_.size() - others.size();
        if (count < shots_)
            throw option_error(
                "the question of row " + std::to_string(row) + ": " + std::to_string(shots_) +
                " shots, each of another relation than it and of another text, are expected; there are " +
                std::to_string(count) + " such relations");
        random_generator random(random_generator(seed)() ^ row);
        std::unordered_map<std::size_t, std::size_t> moved; // what the shuffle has put at a place, where that changed
        const auto at = [&](std::size_t place) {
            const auto found = moved.find(place);
            return found == moved.end() ? place : found->second;
        };
        std::vector<std::size_t> rows(shots_);
        for (std::size_t i = 0; i < shots_; ++i) {
            const auto chosen = i + static_cast<std::size_t>(random.below(count - i));
            const std::size_t place = at(chosen);
            moved[chosen] = at(i);
            rows[i] = example(order_[others.among_all(place)], text_of_[row], random);
        }
        return rows;
    }

private:
    /// Neighbouring examples in examples_.
    struct range {
        std::size_t begin, end;
        std::size_t size() const noexcept { return end - begin; }
    };
    /// Numbers from 0 without those of two ranges, which rise and do not overlap.
    struct skipped_ranges {
        std::array<range, 2> skipped;
        std::size_t size() const noexcept { return skipped[0].size() + skipped[1].size(); }
        std::size_t among_all(std::size_t n) const noexcept {
            for (range const& r : skipped)
                if (n >= r.begin) n += r.size();
            return n;
        }
    };

    void number_texts() {
        std::unordered_map<std::string_view, std::size_t> first; // row of each text
        for (std::size_t row = 0; row < set_.size(); ++row)
            text_of_.push_back(first.try_emplace(set_[row].text, row).first->second);
    }

    void number_relations() {
        const bool has_relations = std::ranges::any_of(set_, [](question const& q) { return !q.relation.empty(); });
        std::unordered_map<std::string_view, std::size_t> numbers;
        for (std::size_t row = 0; row < set_.size(); ++row)
            relation_of_.push_back(has_relations ? numbers.try_emplace(set_[row].relation, numbers.size()).first->second
                                                 : row);
        relations_.resize(has_relations ? numbers.size() : set_.size());
    }

    /// Puts the examples of each relation side by side, and of these those of one text.
    void sort_examples() {
        for (std::size_t row = 0; row < set_.size(); ++row) examples_.push_back(row);
        const auto key = [&](std::size_t row) { return std::array{relation_of_[row], text_of_[row], row}; };
        std::ranges::sort(examples_, {}, key);
        for (std::size_t begin = 0; begin < examples_.size();) {
            std::size_t end = begin;
            const std::size_t relation = relation_of_[examples_[begin]];
            while (end < examples_.size() && relation_of_[examples_[end]] == relation) ++end;
            relations_[relation] = {begin, end};
            begin = end;
        }
    }

    bool is_of_one_text(std::size_t relation) const noexcept {
        return text_of_[examples_[relations_[relation].begin]] == text_of_[examples_[relations_[relation].end - 1]];
    }

    /// Puts relations that a question of the same text cannot use side by side.
    void sort_relations() {
        for (std::size_t relation = 0; relation < relations_.size(); ++relation) order_.push_back(relation);
        const auto key = [&](std::size_t relation) {
            const bool is_one = is_of_one_text(relation);
            return std::array{is_one ? text_of_[examples_[relations_[relation].begin]] : set_.size(), relation};
        };
        std::ranges::sort(order_, {}, key);
        place_of_.resize(order_.size());
        for (std::size_t place = 0; place < order_.size(); ++place) place_of_[order_[place]] = place;
        of_text_.assign(set_.size(), {0, 0});
        for (std::size_t place = 0; place < order_.size() && is_of_one_text(order_[place]); ++place) {
            range& all = of_text_[text_of_[examples_[relations_[order_[place]].begin]]];
            if (all.size() == 0) all = {place, place};
            all.end = place + 1;
        }
    }

    /// Places in order_ without the question's own relation, and those that have its text alone.
    skipped_ranges others_than(std::size_t row) const noexcept {
        const std::size_t own = place_of_[relation_of_[row]];
        const range same = of_text_[text_of_[row]];
        if (own >= same.begin && own < same.end) return {{same, {same.end, same.end}}};
        return own < same.begin ? skipped_ranges{{range{own, own + 1}, same}}
                                : skipped_ranges{{same, range{own, own + 1}}};
    }

    /// The row of an example of the relation, of another text.
    std::size_t example(std::size_t relation, std::size_t text, random_generator& random) const {
        const auto all = std::span(examples_).subspan(relations_[relation].begin, relations_[relation].size());
        const auto text_of = [&](std::size_t row) { return text_of_[row]; };
        const auto begin = std::ranges::lower_bound(all, text, {}, text_of);
        const auto same = static_cast<std::size_t>(std::ranges::upper_bound(all, text, {}, text_of) - begin);
        const auto chosen = static_cast<std::size_t>(random.below(all.size() - same));
        return all[chosen < static_cast<std::size_t>(begin - all.begin()) ? chosen : chosen + same];
    }

    std::span<const question> set_;
    std::size_t shots_;
    std::vector<std::size_t> text_of_;     // [row], the row where its text occurs first
    std::vector<std::size_t> relation_of_; // [row], numbered in the order of their first rows
    std::vector<std::size_t> examples_;    // rows
    std::vector<range> relations_;         // [relation], of examples_
    std::vector<std::size_t> order_;       // relations
    std::vector<std::size_t> place_of_;    // [relation], in order_
    std::vector<range> of_text_;           // [row where a text occurs first], of order_
};

/// "Q: {text} A: {first answer}" of each shot, blank lines behind them, and "Q: {text} A:" of the question.
/// set: all questions of a file.   shots: rows of it.
/// Source: run_model.py of Mallen et al. 2023, which has the object that the question was made of as its example's
/// answer.
inline std::string prompt_text(std::span<const question> set, std::size_t row, std::span<const std::size_t> shots) {
    std::string prompt;
    const auto ask = [&](question const& q) { prompt += "Q: " + q.text + " A:"; };
    for (const std::size_t shot : shots) {
        ask(set[shot]);
        prompt += " " + set[shot].answers.front() + "\n\n";
    }
    ask(set[row]);
    return prompt;
}

} // namespace bitlens
