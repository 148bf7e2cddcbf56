#include "measure.hpp"

#include "study_matrix/study_matrix.hpp"

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/sweep/run_study.hpp"
#include "bitlens/sweep/select_documents.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::paper {

namespace {

/// Every method beside the full model on every document, all of it in memory.
template <class Architecture>
finished_study measure(transformer<Architecture, study_matrix> const& model, std::span<const method> methods,
                       document_rows documents) {
    const document_statistics kind{{}, documents.bytes};
    run_manifest manifest{{{"seed", 1}, {"first_position", false}, {"full", ""}}, {}, kind.columns()};
    std::vector<variant<study_matrix>> variants{{std::string(full_model_name), model.layers()}};
    for (auto const& m : methods) {
        manifest.methods.push_back({m.name, m.text()});
        variants.push_back({m.name, std::make_shared<quantized_layers<study_matrix>>(model.layers(), m)});
    }
    const unsigned threads = available_cores();
    const thread_limit limit(threads);
    auto table = measure_run(model, variants, documents, {4 * threads, threads}, kind);
    return make_study({std::move(manifest), std::move(documents), std::move(table), {}, {}});
}

template <class Model>
std::int32_t most_likely_next(Model const& model, std::span<const std::int32_t> ids) {
    record<hook::logits> said;
    model.forward(ids, said);
    const auto last = said.template get<hook::logits>().row(ids.size() - 1);
    return static_cast<std::int32_t>(std::ranges::max_element(last) - last.begin());
}

/// From hard to easy: of document n of N, a share of n/N is what the model itself would say next, the rest any token.
template <class Model>
document_rows made_up_documents(Model const& model) {
    constexpr std::size_t rows = 40, tokens = 24;
    matrix<std::int32_t> all(rows, tokens);
    random_generator random(2);
    for (std::size_t n = 0; n < rows; ++n) {
        const double share = static_cast<double>(n) / rows;
        const auto ids = all.row(n);
        for (std::size_t t = 0; t < tokens; ++t)
            ids[t] = t > 0 && random.uniform() < share
                         ? most_likely_next(model, ids.first(t))
                         : static_cast<std::int32_t>(random.below(model.config().vocabulary));
    }
    return document_rows::numbered(std::move(all));
}

} // namespace

finished_study measure_tiny_model(std::span<const method> methods) {
    constexpr std::uint64_t seed = 1;
    model_config config = tiny_config<llama>();
    config.block.ffn_width = 192; // whole groups of 64
    return measure(tiny_model<llama, study_matrix>(config, seed), methods,
                   made_up_documents(tiny_model<llama, packed_matrix<dense<float>>>(config, seed)));
}

finished_study measure_checkpoint(checkpoint_documents const& a, std::span<const method> methods) {
    const checkpoint source(a.model);
    const tokenizer t = source.load_tokenizer();
    auto selected = select_documents(a.data, &t, t.adds_bos() ? t.bos() : std::nullopt, source.config().vocabulary,
                                     a.tokens, a.examples);
    return visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return measure<Architecture>({source, true}, methods, std::move(selected.documents));
    });
}

} // namespace bitlens::paper
