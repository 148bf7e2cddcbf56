#pragma once
/// size_study: the same study of several models, and what the paper finds of each of them beside how large it is.

#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/sweep/manifest.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// The study of one model, by the name that tables have for it.
struct named_study {
    std::string name;
    finished_study study;
};

/// A number and its 95 % interval.
struct number_within {
    measured value;
    measured_interval within;
};

struct method_at_size {
    std::string name;
    measured mean_error;  // nats per token
    number_within r, h;   // correlation of norm(x; r), and of norm(x; h), at the last layer with the error
    layer_count reversed; // of the last ten layers; of none where no norm stands before the MLP
};

struct model_at_size {
    std::string name;
    std::uint64_t parameters = 0, in_blocks = 0;
    std::size_t layers = 0;
    number_within growth;                    // mean over documents: norm(x; r) at the last layer over that at the first
    measured overlap, chance, overlap_large; // means over pairs of methods, as method_pair has them
    std::vector<method_at_size> methods;
};

/// Two models under one method: do they fail on the same documents?
struct models_in_common {
    std::size_t first, second; // of size_study::models
    std::string method;
    number_within error;                     // correlation of their errors
    measured overlap, chance, overlap_large; // Jaccard of the worst tenths, by chance about, and of the D_large
};

struct size_study {
    std::vector<model_at_size> models; // by rising parameters
    std::vector<models_in_common> pairs;
    std::size_t documents = 0;
    std::optional<std::size_t> tokens{}; // of each document; none where they differ
};

namespace detail {

/// Settings that follow from the model and its tokenizer, and what the tables of documents say better.
inline constexpr std::array model_settings{"model", "parameters", "full", "tokenizer", "bos", "rows", "examples"};

/// Errors: option_error that names what differs.
inline void expect_same_setting(named_study const& a, named_study const& b) {
    const auto shared = [](finished_study const& s) {
        json setting = s.run.manifest.setting;
        for (const char* key : model_settings) setting.erase(key);
        if (const auto data = setting.find("data"); data != setting.end() && data->is_object()) data->erase("name");
        return setting;
    };
    if (const auto difference =
            first_difference(shared(a.study), shared(b.study), "", {" in " + a.name, " in " + b.name}))
        throw option_error("a size study compares models under the same settings: " + *difference);
}

inline void expect_same_methods(named_study const& a, named_study const& b) {
    const auto expect_those_of = [](named_study const& all, named_study const& other) {
        for (auto const& m : all.study.methods) {
            const auto same = std::ranges::find(other.study.methods, m.name, &method_columns::name);
            if (same == other.study.methods.end())
                throw option_error("a size study compares models under the same methods: " + m.name + " of " +
                                   all.name + " is missing in " + other.name);
            if (same->spec != m.spec)
                throw option_error("a size study compares models under the same methods: " + m.name + " is " + m.spec +
                                   " in " + all.name + ", " + same->spec + " in " + other.name);
        }
    };
    expect_those_of(a, b);
    expect_those_of(b, a);
}

/// None where rows differ in length.
inline std::optional<std::size_t> tokens_of_each(token_rows const& rows) noexcept {
    return rows.shortest() == rows.longest() ? std::optional(rows.longest()) : std::nullopt;
}

inline void expect_same_documents(named_study const& a, named_study const& b) {
    auto const &of_a = a.study.run.documents, &of_b = b.study.run.documents;
    const std::string rule = "a size study compares models on the same documents: ";
    for (std::size_t n = 0; n < std::min(of_a.size(), of_b.size()); ++n)
        if (of_a.rows[n] != of_b.rows[n] || of_a.names[n] != of_b.names[n])
            throw option_error(rule + of_a.who(n) + " in " + a.name + ", " + of_b.who(n) + " in " + b.name);
    if (of_a.size() != of_b.size())
        throw option_error(rule + std::to_string(of_a.size()) + " in " + a.name + ", " + std::to_string(of_b.size()) +
                           " in " + b.name);
    const auto in_a = tokens_of_each(of_a.ids), in_b = tokens_of_each(of_b.ids);
    if (in_a && in_b && *in_a != *in_b)
        throw option_error(rule + std::to_string(*in_a) + " tokens of each in " + a.name + ", " +
                           std::to_string(*in_b) + " in " + b.name);
}

inline void expect_comparable(named_study const& a, named_study const& b) {
    if (a.name == b.name) throw option_error("two models of a size study are called " + a.name);
    expect_same_setting(a, b);
    expect_same_documents(a, b);
    expect_same_methods(a, b);
}

inline std::size_t place_of_method(finished_study const& s, std::string const& name) {
    return static_cast<std::size_t>(std::ranges::find(s.methods, name, &method_columns::name) - s.methods.begin());
}

inline number_within correlation_within(std::span<const double> x, std::span<const double> y, std::uint64_t seed) {
    return {correlation(x, y), correlation_interval(x, y, seed)};
}

inline method_at_size method_of_size(finished_study const& s, std::size_t v) {
    auto const& m = s.methods[v];
    const std::size_t last = s.layers() - 1;
    const undefined none{no_mlp_norm};
    method_at_size found{m.name,
                         overall_mean(m.error),
                         correlation_within(s.norm_r.row(last), m.error, s.seed),
                         {none, {none, none}},
                         {}};
    if (!has_mlp_norm(s)) return found;
    found.h = correlation_within(s.norm_h.row(last), m.error, s.seed);
    found.reversed =
        count_reversals(curves_over(s.norm_r, s.sets[v]), curves_over(s.norm_h, s.sets[v]), last_ten(s.layers()));
    return found;
}

inline model_at_size model_of_size(named_study const& n) {
    finished_study const& s = n.study;
    const std::string who = n.name + ": manifest.json";
    json const& count = required_object(s.run.manifest.setting, "parameters", who);
    const auto pairs = method_pairs(s);
    const auto mean_of = [&](measured method_pair::*number) -> measured {
        if (pairs.empty()) return undefined{"there is one method only"};
        std::vector<measured> all;
        for (auto const& p : pairs) all.push_back(p.*number);
        return mean_defined(all);
    };
    model_at_size found{n.name,
                        required<std::uint64_t>(count, "all", who + ": parameters"),
                        required<std::uint64_t>(count, "blocks", who + ": parameters"),
                        s.layers(),
                        {overall_mean(s.growth_r), mean_interval(defined_numbers(s.growth_r), s.seed)},
                        mean_of(&method_pair::overlap),
                        mean_of(&method_pair::chance),
                        mean_of(&method_pair::overlap_large),
                        {}};
    if (found.parameters == 0) throw format_error(who + ": parameters.all is 0, expected how many the model has");
    for (std::size_t v = 0; v < s.methods.size(); ++v) found.methods.push_back(method_of_size(s, v));
    return found;
}

inline models_in_common in_common(finished_study const& a, finished_study const& b, std::string const& method) {
    const std::size_t v = place_of_method(a, method), w = place_of_method(b, method);
    return {0,
            0,
            method,
            correlation_within(a.methods[v].error, b.methods[w].error, a.seed),
            set_overlap(a.sets[v].worst, b.sets[w].worst),
            jaccard_by_chance(a.sets[v].worst.size(), b.sets[w].worst.size(), a.size()),
            set_overlap(a.sets[v].large, b.sets[w].large)};
}

} // namespace detail

/// Errors: option_error for no studies, and naming the first of documents, methods or settings in which two of them
/// differ; format_error for a study that does not say how many parameters its model has.
inline size_study make_size_study(std::span<const named_study> studies) {
    if (studies.empty()) throw option_error("a size study of no models");
    for (std::size_t a = 0; a < studies.size(); ++a)
        for (std::size_t b = a + 1; b < studies.size(); ++b) detail::expect_comparable(studies[a], studies[b]);
    std::vector<std::pair<model_at_size, finished_study const*>> found;
    for (auto const& n : studies) found.emplace_back(detail::model_of_size(n), &n.study);
    std::ranges::stable_sort(found, {}, [](auto const& m) { return m.first.parameters; });

    size_study all;
    all.documents = studies[0].study.size();
    all.tokens = detail::tokens_of_each(studies[0].study.run.documents.ids);
    for (auto const& m : found) all.models.push_back(m.first);
    for (auto const& m : studies[0].study.methods)
        for (std::size_t a = 0; a < found.size(); ++a)
            for (std::size_t b = a + 1; b < found.size(); ++b) {
                all.pairs.push_back(detail::in_common(*found[a].second, *found[b].second, m.name));
                all.pairs.back().first = a;
                all.pairs.back().second = b;
            }
    return all;
}

} // namespace bitlens
