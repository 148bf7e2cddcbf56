#pragma once
/// model_tensors: the tensors of a model as floats, one at a time, whether a checkpoint holds them or a folder of a
/// quantized model beside its full one.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/formats/dense.hpp"
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/checkpoint_difference.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/recipes/quantized_folder.hpp"
#include "bitlens/recipes/stored_layers.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// Names are those of Hugging Face files (for_each_tensor).
struct model_tensors {
    virtual ~model_tensors() = default;

    /// Whether there is one: a tied head is none.
    virtual bool has(std::string const& name) const = 0;
    /// How it is stored: "BF16", "uniform4-g64-sym".   Errors: format_error for one that is not there.
    virtual std::string type(std::string const& name) = 0;
    /// A vector is a matrix of one row.   Errors: format_error for one that is not there, or numbers that cannot be
    /// read or are not finite, naming file and tensor.
    virtual packed_matrix<dense<float>> floats(std::string const& name, std::size_t rank) = 0;
};

/// Of a checkpoint.
class checkpoint_tensors final : public model_tensors {
public:
    explicit checkpoint_tensors(checkpoint source) : source_(std::move(source)), infos_(source_.tensors()) {}

    bool has(std::string const& name) const override {
        return std::ranges::find(infos_, name, &tensor_info::name) != infos_.end();
    }
    std::string type(std::string const& name) override {
        const auto found = std::ranges::find(infos_, name, &tensor_info::name);
        if (found == infos_.end())
            throw format_error(source_.path().string() + ": there is no tensor " + in_quotes(name));
        return found->type;
    }
    packed_matrix<dense<float>> floats(std::string const& name, std::size_t rank) override {
        return load_floats(source_, name, rank);
    }

private:
    checkpoint source_;
    std::vector<tensor_info> infos_;
};

/// Of a finished folder that `bitlens quantize` wrote, and of the full model what it leaves out. W is a mixed_matrix
/// that lists the folder's formats and dense<float>.
template <class W>
class folder_tensors final : public model_tensors {
public:
    /// Errors: as stored_layers.
    folder_tensors(quantized_folder const& folder, checkpoint const& full)
        : full_(full), rest_(full), layers_(folder, std::make_shared<checkpoint_layers<W>>(full, false), full.config(),
                                            full.family().form, false) {}

    bool has(std::string const& name) const override { return rest_.has(name); }
    std::string type(std::string const& name) override {
        const auto at = detail::find_in_blocks(full_.family(), name);
        if (!at || !std::holds_alternative<weight_of>(at->parameter->part)) return rest_.type(name);
        return block(at->layer).linear[index_of(*at)]->format_name();
    }
    packed_matrix<dense<float>> floats(std::string const& name, std::size_t rank) override {
        const auto at = detail::find_in_blocks(full_.family(), name);
        if (!at) return rest_.floats(name, rank);
        block_weights<W> const& weights = block(at->layer);
        if (auto const* const bias = std::get_if<bias_of>(&at->parameter->part))
            return as_row(weights.rest->bias(bias->linear));
        if (auto const* const norm = std::get_if<block_norm>(&at->parameter->part))
            return as_row(weights.rest->gamma(*norm));
        W const& w = *weights.linear[index_of(*at)];
        packed_matrix<dense<float>> m(w.rows(), w.cols());
        detail::with_floats(w, [&](matrix_view<const float> from) {
            for (std::size_t r = 0; r < from.rows; ++r) std::ranges::copy(from.row(r), m.writable_row(r).begin());
        });
        return m;
    }

private:
    static std::size_t index_of(detail::place_in_block const& p) {
        return static_cast<std::size_t>(std::get<weight_of>(p.parameter->part).linear);
    }
    static packed_matrix<dense<float>> as_row(std::vector<float> const& values) {
        packed_matrix<dense<float>> row(1, values.size());
        std::ranges::copy(values, row.writable_row(0).begin());
        return row;
    }

    block_weights<W> const& block(std::size_t k) {
        if (!block_.rest || k != layer_) {
            block_ = {};
            block_ = layers_.layer(k);
            layer_ = k;
        }
        return block_;
    }

    checkpoint full_;
    checkpoint_tensors rest_;
    stored_layers<W> layers_;
    block_weights<W> block_{}; // the last that was asked for
    std::size_t layer_ = 0;
};

} // namespace bitlens
