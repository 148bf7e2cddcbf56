#pragma once
/// run_facts: what a run is of, in a few words from its manifest: model, data, methods, documents.

#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Empty where the manifest says nothing: a program of one's own writes what it likes there.
struct run_facts {
    std::string model, data;          // names of files
    std::string kind;                 // "llama, 30 layers"
    std::string methods;              // "rtn3-g64, mine (rtn4-g64)"
    std::vector<std::string> origins; // "mine: GGUF, linear layers Q4_K, …", of each method that has one
    std::string documents;            // "48 documents of 128 tokens"

    /// What there is of model, data, methods and documents on one line.
    std::string title() const {
        std::string text;
        for (auto const& part : {model, data, methods, documents})
            if (!part.empty()) text += (text.empty() ? "" : " · ") + part;
        return text;
    }
};

namespace detail {

/// The text of a key, or of the key "name" in an object there.
inline std::string name_in(json const& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end()) return {};
    if (found->is_string()) return visible_line(found->get_ref<std::string const&>());
    return found->is_object() ? name_in(*found, "name") : std::string();
}

/// The file of weights among a model's: those that go with it (configuration, tokenizer) have names that say nothing.
inline std::string weights_name(json const& model) {
    const auto files = model.find("files");
    if (files == model.end() || !files->is_array()) return {};
    std::vector<std::string> names;
    for (json const& file : *files) {
        auto name = name_in(file, "name");
        if (name.ends_with(".gguf") || name.ends_with(".safetensors")) names.push_back(std::move(name));
    }
    if (names.empty()) return {};
    return names.front() + (names.size() > 1 ? " and " + counted(names.size() - 1, "more file") : "");
}

/// All but the documents, whose rows runs count each in their own way.
inline run_facts facts_of_run(run_results const& run) {
    run_facts facts;
    json const& setting = run.manifest.setting;
    facts.model = name_in(setting, "model");
    if (const auto model = setting.find("model"); model != setting.end() && model->is_object()) {
        if (facts.model.empty()) facts.model = weights_name(*model);
        facts.kind = name_in(*model, "architecture");
    }
    if (run.layers() > 0) facts.kind += (facts.kind.empty() ? "" : ", ") + counted(run.layers(), "layer");
    facts.data = name_in(setting, "data");
    for (run_method const& m : run.manifest.methods)
        if (!m.origin.empty()) facts.origins.push_back(visible_line(m.name + ": " + m.origin));
    for (run_method const& m : run.methods()) {
        facts.methods += (facts.methods.empty() ? "" : ", ") + m.name;
        if (m.spec != m.name) facts.methods += " (" + m.spec + ")";
    }
    return facts;
}

} // namespace detail

/// Errors of both: none, whatever the manifest holds.
inline run_facts facts_of(finished_study const& s) {
    run_facts facts = detail::facts_of_run(s.run);
    facts.documents = counted(s.size(), "document") + " of " + lengths_text(s.run.documents.ids);
    return facts;
}
inline run_facts facts_of(finished_questions const& q) {
    run_facts facts = detail::facts_of_run(q.run);
    facts.documents =
        counted(q.size(), "question") + " behind " + counted(q.shots, "example") + " each, chosen with the seed";
    facts.documents += q.seeds.size() == 1 ? " " : "s ";
    for (std::size_t k = 0; k < q.seeds.size(); ++k)
        facts.documents += (k == 0 ? "" : k + 1 == q.seeds.size() ? " and " : ", ") + std::to_string(q.seeds[k]);
    return facts;
}

} // namespace bitlens
