#pragma once
/// quantized_layers: the blocks of a model, quantized one layer at a time.

#include "bitlens/models/weights.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_layers.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// A layer_source that quantizes every linear layer of another one's blocks by `quantizer`, or as `rules` say for one.
/// A layer is quantized when it is first asked for. Norms, biases and matrices that stay full are shared with the
/// source, not copied. W lists the formats of the methods.
template <weight_matrix W = study_matrix>
class quantized_layers final : public layer_source<W> {
public:
    /// keep_resident: packed layers stay in memory; else each request loads and quantizes again.
    quantized_layers(std::shared_ptr<layer_source<W>> full, method quantizer, override_rules rules = {},
                     bool keep_resident = true)
        : full_(std::move(full)), quantizer_(std::move(quantizer)), rules_(std::move(rules)), keeps_(keep_resident) {}

    /// Errors: those of the source; format_error of the quantizer, naming layer, projection and method.
    block_weights<W> layer(std::size_t k) override {
        if (k < kept_.size() && kept_[k].rest != nullptr) return kept_[k];
        auto block = full_->layer(k);
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto which = static_cast<projection>(p);
            treatment const* const rule = rules_.find(k, which);
            if (rule != nullptr && !rule->has_value()) continue; // full
            block.linear[p] = quantized(*block.linear[p], rule != nullptr ? **rule : quantizer_, k, which);
        }
        if (keeps_) {
            if (k >= kept_.size()) kept_.resize(k + 1);
            kept_[k] = block;
        }
        return block;
    }

private:
    static std::shared_ptr<const W> quantized(W const& w, method const& m, std::size_t k, projection p) {
        const auto place = [&] { return "layer " + std::to_string(k) + " " + std::string(name(p)) + ", "; };
        try {
            return detail::with_floats(
                w, [&](matrix_view<const float> floats) { return std::make_shared<const W>(quantize<W>(m, floats)); });
        } catch (format_error const& e) {
            throw format_error(place() + m.text() + ": " + e.what());
        } catch (shape_error const& e) {
            throw shape_error(place() + m.text() + ": " + e.what());
        }
    }

    std::shared_ptr<layer_source<W>> full_;
    method quantizer_;
    override_rules rules_;
    bool keeps_;
    std::vector<block_weights<W>> kept_;
};

} // namespace bitlens
