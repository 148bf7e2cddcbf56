/// `bitlens verify`: whether two checkpoints hold the same model, and whether one is plausibly a quantization of the
/// other.

#include "commands.hpp"
#include "quantize_methods.hpp"
#include "setting.hpp"

#include "bitlens/io/json.hpp"
#include "bitlens/models/checkpoint_difference.hpp"
#include "bitlens/page/table_json.hpp"
#include "bitlens/recipes/model_comparison.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/text/tokenizer_difference.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::command {

namespace {

/// What is known of two models.
struct verified_models {
    std::string kind_a, kind_b;
    std::vector<std::string> settings;      // that differ
    std::optional<std::string> tokenizer{}; // how it differs
    std::string not_compared{};             // why tokenizers are not
    std::optional<expected_quantization> expected{};
    model_comparison comparison{};

    std::size_t plausible() const noexcept {
        return static_cast<std::size_t>(
            std::ranges::count_if(comparison.checks, [](auto const& c) { return c.check.is_plausible(); }));
    }
    bool is_same() const noexcept { return settings.empty() && !tokenizer && comparison.is_same(); }
    /// All weights in blocks are plausible, no number of other tensors is odd, and nothing else is another model's.
    bool is_plausible() const noexcept {
        const auto is_broken = [](compared_tensor const& t) {
            return !t.unreadable.empty() || t.difference.in_b.any();
        };
        return plausible() == comparison.checks.size() && std::ranges::none_of(comparison.tensors, is_broken) &&
               comparison.only_in_a.empty() && comparison.only_in_b.empty() && settings.empty() && !tokenizer;
    }
    /// What is asked for.
    bool is_good() const noexcept { return expected ? is_plausible() : is_same(); }
};

verified_models verify_models(verify_arguments const& a) {
    if (is_quantized_folder(a.a.path))
        throw option_error("A: " + a.a.path.string() +
                           ": is a folder that 'bitlens quantize' wrote, which holds a model only beside its full one; "
                           "the full model is expected here, and the folder as B");
    verified_models v;
    if (a.expect) v.expected = expected_of(parse_method(*a.expect));
    const checkpoint full = open_model(a.a);
    v.kind_a = full.format_description();
    checkpoint_tensors of_a(full);
    if (is_quantized_folder(a.b.path)) {
        method m;
        m.name = "B";
        m.folder = a.b.path;
        check_source(full, a.a, m);
        const quantized_folder folder(a.b.path);
        v.kind_b = "written by 'bitlens quantize', " + folder.manifest().method;
        folder_tensors<weight> of_b(folder, full);
        v.comparison = compare_models(full, of_a, of_b, v.expected);
        return v;
    }
    const checkpoint other(a.b.path, a.b.allowed_keys);
    v.kind_b = other.format_description();
    v.settings = setting_differences(full, other);
    try {
        v.tokenizer = tokenizer_difference(full.load_tokenizer(), other.load_tokenizer());
    } catch (error const& e) {
        v.not_compared = e.what();
    }
    checkpoint_tensors of_b(other);
    v.comparison = compare_models(full, of_a, of_b, v.expected);
    return v;
}

measured relative_error(double e) { return {std::isfinite(e) ? std::optional(e) : std::nullopt, "A is zero there"}; }

std::string place_text(std::optional<tensor_difference::place> const& at) {
    return at ? "row " + std::to_string(at->row) + ", column " + std::to_string(at->col) + ": " +
                    exact_text(double{at->a}) + ", " + exact_text(double{at->b})
              : "none";
}

/// Those that differ, the worst first.
table differing(model_comparison const& c, std::size_t most) {
    table t{"tensors",
            "tensors that differ, the largest relative error first",
            {{"name", "tensor"},
             {"type_a", "in A"},
             {"type_b", "in B"},
             {"unequal", "unequal"},
             {"numbers", "of"},
             {"relative_error", "relative error", 5},
             {"mean", "mean |B - A|", 6},
             {"largest", "largest", 6},
             {"first", "first: A, B"}},
            {},
            {}};
    std::vector<compared_tensor const*> different;
    for (auto const& one : c.tensors)
        if (one.unreadable.empty() && !one.is_equal()) different.push_back(&one);
    std::ranges::stable_sort(different, std::ranges::greater{},
                             [](compared_tensor const* one) { return one->difference.relative; });
    for (std::size_t i = 0; i < std::min(most, different.size()); ++i) {
        auto const& d = different[i]->difference;
        t.add({d.name, different[i]->type_a, different[i]->type_b, d.unequal, d.rows * d.cols,
               relative_error(d.relative), d.mean, d.largest_apart(), place_text(d.first)});
    }
    if (different.size() > most)
        t.notes.push_back(std::to_string(different.size() - most) + " more differ; --all lists them.");
    return t;
}

/// Members of one kind over the layers, in the order in which they come.
template <class Take>
std::vector<std::pair<std::string, std::vector<std::size_t>>> by_kind(model_comparison const& c, std::size_t count,
                                                                      Take const& tensor_of) {
    std::vector<std::pair<std::string, std::vector<std::size_t>>> kinds;
    for (std::size_t i = 0; i < count; ++i) {
        auto const& t = c.tensors[tensor_of(i)];
        if (!t.layer || !t.unreadable.empty()) continue;
        auto found = std::ranges::find(kinds, t.kind, [](auto const& kind) { return kind.first; });
        if (found == kinds.end()) found = kinds.insert(kinds.end(), {t.kind, {}});
        found->second.push_back(i);
    }
    return kinds;
}

table of_kinds(model_comparison const& c) {
    table t{"kinds",
            "over the layers",
            {{"kind", "tensor"},
             {"layers", "layers"},
             {"different", "differ"},
             {"median_relative_error", "median error", 5},
             {"largest_relative_error", "largest", 5},
             {"layer", "in layer"},
             {"largest_difference", "largest |B - A|", 6}},
            {},
            {}};
    for (auto const& [kind, members] : by_kind(c, c.tensors.size(), [](std::size_t i) { return i; })) {
        std::vector<double> errors;
        std::size_t worst = members.front(), different = 0;
        double apart = 0;
        for (const std::size_t i : members) {
            auto const& d = c.tensors[i].difference;
            errors.push_back(d.relative);
            different += !d.is_equal();
            apart = std::max(apart, d.largest_apart());
            if (d.relative > c.tensors[worst].difference.relative) worst = i;
        }
        t.add({kind, members.size(), different, relative_error(median_of(errors)),
               relative_error(c.tensors[worst].difference.relative), *c.tensors[worst].layer, apart});
    }
    return t;
}

table of_checks(verified_models const& v) {
    auto const& checks = v.comparison.checks;
    table t{"expected",
            "is B " + v.expected->method + " of A? Errors beside those of rounding to nearest",
            {{"kind", "weight"},
             {"error", "median error", 4},
             {"expected", "of rounding", 4},
             {"ratio", "ratio", 3},
             {"least_ratio", "least", 3},
             {"most_ratio", "most", 3},
             {"plausible", "plausible"},
             {"layers", "of"}},
            {},
            {"Ratios from " + rounded_text(v.expected->least_ratio, 1) + " to " +
             rounded_text(v.expected->most_ratio, 1) + " are plausible."}};
    const auto tensor_of = [&](std::size_t i) { return checks[i].tensor; };
    for (auto const& [kind, members] : by_kind(v.comparison, checks.size(), tensor_of)) {
        std::vector<double> errors, expected, ratios;
        std::size_t plausible = 0;
        for (const std::size_t i : members) {
            errors.push_back(checks[i].check.error);
            expected.push_back(checks[i].check.expected);
            ratios.push_back(checks[i].check.ratio);
            plausible += checks[i].check.is_plausible();
        }
        const auto ratio = [](double r) {
            return measured(std::isfinite(r) ? std::optional(r) : std::nullopt, "rounding makes no error");
        };
        const auto [least, most] = std::ranges::minmax(ratios);
        t.add({kind, relative_error(median_of(errors)), median_of(expected), ratio(median_of(ratios)), ratio(least),
               ratio(most), plausible, members.size()});
    }
    std::size_t folded = 0;
    for (auto const& c : checks) folded += c.is_folded;
    if (folded != 0)
        t.notes.push_back("In " + counted(folded, "weight") +
                          " scales of channels were found, folded as AWQ does, and undone first.");
    return t;
}

std::string outlier_text(far_error const& o) {
    return std::isfinite(o.times)
               ? rounded_text(o.times, 1) + " times the median, " + rounded_text(o.spreads, 0) + " spreads above it"
               : std::string("the others are equal");
}

void add_odd(std::vector<std::string>& found, std::string const& of, char const* model, odd_numbers const& odd) {
    if (odd.zero_rows != 0)
        found.push_back(of + ": " + counted(odd.zero_rows, "row") + " of " + model +
                        " all zero, which the other model's are not; the first is row " +
                        std::to_string(odd.first_zero_row));
    if (odd.constant_blocks != 0)
        found.push_back(of + ": " + counted(odd.constant_blocks, "block") + " of 32 numbers of " + model +
                        " one number, which the other model's are not; the first at row " +
                        std::to_string(odd.first_constant_row) + ", column " + std::to_string(odd.first_constant_col));
}

/// What is odd in a tensor, as a broken file would have it.
std::vector<std::string> odd_texts(verified_models const& v) {
    std::vector<std::string> found;
    for (auto const& name : v.comparison.only_in_a) found.push_back(name + ": B has no such tensor");
    for (auto const& name : v.comparison.only_in_b) found.push_back(name + ": A has no such tensor");
    for (std::size_t i = 0; i < v.comparison.tensors.size(); ++i) {
        auto const& t = v.comparison.tensors[i];
        std::string const& of = t.difference.name;
        if (!t.unreadable.empty()) found.push_back(of + ": " + t.unreadable);
        if (t.among_layers) found.push_back(of + ": its error is " + outlier_text(*t.among_layers) + ", of the layers");
        add_odd(found, of, "A", t.difference.in_a);
        add_odd(found, of, "B", t.difference.in_b);
        const bool is_checked = std::ranges::any_of(v.comparison.checks, [&](auto const& c) { return c.tensor == i; });
        if (!t.rows.empty() && !is_checked)
            found.push_back(of + ": the error of " + counted(t.rows.size(), "row") + " stands out, most that of row " +
                            std::to_string(t.rows.front().index) + ": " + outlier_text(t.rows.front()) +
                            ", of the rows");
    }
    for (auto const& c : v.comparison.checks)
        if (c.check.is_plausible() && !c.check.text.empty())
            found.push_back(v.comparison.tensors[c.tensor].difference.name + ": " + c.check.text);
    return found;
}

std::vector<std::string> check_texts(verified_models const& v) {
    std::vector<std::string> found;
    for (auto const& c : v.comparison.checks)
        if (!c.check.is_plausible())
            found.push_back(v.comparison.tensors[c.tensor].difference.name + ": " + c.check.text);
    return found;
}

/// What the weights that are not plausible look like, the most frequent first.
std::string findings_text(verified_models const& v) {
    std::map<quantization_finding, std::size_t> counts;
    for (auto const& c : v.comparison.checks)
        if (!c.check.is_plausible()) ++counts[c.check.finding];
    std::vector<std::pair<quantization_finding, std::size_t>> sorted(counts.begin(), counts.end());
    std::ranges::stable_sort(sorted, std::ranges::greater{}, [](auto const& one) { return one.second; });
    std::string text;
    for (auto const& one : sorted)
        text += (text.empty() ? "" : ", ") + std::string(name(one.first)) + " (" + std::to_string(one.second) + ")";
    return text;
}

std::string verdict(verified_models const& v) {
    auto const& c = v.comparison;
    if (!v.expected) return v.is_same() ? "the same model, value for value" : "not the same model";
    const std::string all = std::to_string(c.checks.size());
    if (v.plausible() != c.checks.size())
        return "not plausible: " + std::to_string(c.checks.size() - v.plausible()) + " of " + all +
               " weights do not look like " + v.expected->method + " of A: " + findings_text(v);
    const std::string text = "all " + all + " weights look like " + v.expected->method + " of A";
    return v.is_plausible() ? "plausible: " + text : "not plausible: " + text + ", but what is beside them differs";
}

struct tensor_counts {
    std::size_t equal = 0, different = 0, unreadable = 0;
    explicit tensor_counts(model_comparison const& c) {
        for (auto const& t : c.tensors) ++(!t.unreadable.empty() ? unreadable : t.is_equal() ? equal : different);
    }
};

void print_list(std::string const& title, std::vector<std::string> const& texts, std::size_t most) {
    if (texts.empty()) return;
    std::cout << title << '\n';
    for (std::size_t i = 0; i < std::min(most, texts.size()); ++i) std::cout << "  " << visible_line(texts[i]) << '\n';
    if (texts.size() > most) std::cout << "  " << texts.size() - most << " more; --all lists them\n";
}

void print(verified_models const& v, verify_arguments const& a) {
    const std::size_t most = a.all ? v.comparison.tensors.size() + v.comparison.checks.size() : 20;
    std::cout << "A          " << visible_line(a.a.path.string()) << ": " << visible_line(v.kind_a) << "\nB          "
              << visible_line(a.b.path.string()) << ": " << visible_line(v.kind_b) << '\n';
    for (auto const& text : v.settings) std::cout << "settings   " << visible_line(text) << '\n';
    if (v.tokenizer) std::cout << "tokenizer  " << visible_line(*v.tokenizer) << '\n';
    if (!v.not_compared.empty()) std::cout << "tokenizer  not compared: " << visible_line(v.not_compared) << '\n';
    const tensor_counts counts(v.comparison);
    std::cout << "tensors    " << counts.equal << " equal, " << counts.different << " differ";
    if (counts.unreadable != 0) std::cout << ", " << counts.unreadable << " cannot be compared";
    std::cout << '\n';
    if (counts.different != 0)
        std::cout << '\n' << to_text(differing(v.comparison, most)) << '\n' << to_text(of_kinds(v.comparison)) << '\n';
    print_list("odd", odd_texts(v), most);
    if (v.expected && !v.comparison.checks.empty()) {
        std::cout << to_text(of_checks(v)) << '\n';
        print_list("not plausible", check_texts(v), most);
    }
    std::cout << verdict(v) << '\n';
}

ordered_json to_json(verified_models const& v, verify_arguments const& a) {
    ordered_json all;
    all["a"] = a.a.path.string();
    all["b"] = a.b.path.string();
    all["kind_a"] = v.kind_a;
    all["kind_b"] = v.kind_b;
    all["same"] = v.is_same();
    all["verdict"] = verdict(v);
    all["settings"] = v.settings;
    all["tokenizer"] = nullptr;
    if (v.tokenizer) all["tokenizer"] = *v.tokenizer;
    if (!v.not_compared.empty()) all["tokenizer_not_compared"] = v.not_compared;
    const tensor_counts counts(v.comparison);
    all["equal"] = counts.equal;
    all["different"] = counts.different;
    all["unreadable"] = counts.unreadable;
    all["tensors"] = bitlens::to_json(differing(v.comparison, v.comparison.tensors.size()))["rows"];
    all["kinds"] = bitlens::to_json(of_kinds(v.comparison))["rows"];
    all["odd"] = odd_texts(v);
    if (!v.expected) return all;
    all["expected"] = v.expected->method;
    all["plausible"] = v.is_plausible();
    ordered_json& weights = all["weights"] = ordered_json::array();
    for (auto const& c : v.comparison.checks) {
        ordered_json one{{"name", v.comparison.tensors[c.tensor].difference.name},
                         {"error", c.check.error},
                         {"expected", c.check.expected},
                         {"ratio", c.check.ratio},
                         {"folded", c.is_folded},
                         {"finding", name(c.check.finding)},
                         {"text", c.check.text}};
        weights.push_back(std::move(one));
    }
    return all;
}

} // namespace

bool verify(verify_arguments const& a) {
    machine_arguments limits;
    limits.threads = a.threads;
    const machine here(limits);
    const verified_models v = verify_models(a);
    if (a.json) // paths may be no UTF-8
        std::cout << to_json(v, a).dump(2, ' ', false, ordered_json::error_handler_t::replace) << '\n';
    else
        print(v, a);
    return v.is_good();
}

} // namespace bitlens::command
