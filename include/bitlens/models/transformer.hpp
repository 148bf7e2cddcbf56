#pragma once
/// transformer: a decoder model, from token ids to logits, with a probe on the way.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/growing_text.hpp"
#include "bitlens/models/weights.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// A model of one architecture with weights of type W. Copies share the weights.
template <class Architecture, class W>
class transformer {
    static_assert(bitlens::architecture<Architecture>,
                  "bitlens: transformer<Architecture, Weight>: an architecture is llama or another of "
                  "models/architectures.hpp, or a struct with a description as docs/add-an-architecture.md has it");
    static_assert(weight_matrix<W>,
                  "bitlens: transformer<Architecture, Weight>: a weight is a packed_matrix<format> or "
                  "a mixed_matrix<format...>, such as packed_matrix<dense<float>>");

public:
    using architecture = Architecture;
    using weight = W;

    /// Of parts; the head may be the embedding.   Errors: shape_error for shapes that do not fit the configuration.
    transformer(model_config config, std::shared_ptr<layer_source<W>> layers, std::shared_ptr<const W> embedding,
                std::vector<float> final_norm, std::shared_ptr<const W> head)
        : config_(std::move(config)), layers_(std::move(layers)), embedding_(std::move(embedding)),
          final_norm_(std::make_shared<const std::vector<float>>(std::move(final_norm))), head_(std::move(head)) {
        const std::size_t vocabulary = config_.vocabulary, width = config_.block.width;
        if (layers_ == nullptr || embedding_ == nullptr || head_ == nullptr)
            throw shape_error("transformer: a part is null; layers, embedding and head are expected");
        detail::check_shape("transformer", "embedding", embedding_->rows(), embedding_->cols(), vocabulary, width);
        detail::check_shape("transformer", "head", head_->rows(), head_->cols(), vocabulary, width);
        detail::check_size("transformer", "final_norm", final_norm_->size(), width);
    }

    /// Of a checkpoint, whose files stay mapped. With `keep_resident` its blocks are loaded once and kept.
    /// Families whose blocks have one form compute alike, so that a mistral may be a transformer<llama>. Errors:
    /// format_error for a checkpoint whose blocks have another form; as load_matrix.
    transformer(checkpoint const& source, bool keep_resident)
        : transformer(configuration_of(source), std::make_shared<checkpoint_layers<W>>(source, keep_resident),
                      std::make_shared<const W>(source.load_matrix<W>(detail::embedding_name)),
                      source.load_vector(detail::final_norm_name), nullptr, source) {}

    /// The same model with other blocks.
    template <class Source>
    transformer with_layers(Source layers) const {
        static_assert(source_of<Source, W>,
                      "bitlens: with_layers takes a std::shared_ptr to a layer_source whose weights "
                      "are of this model's type");
        transformer other = *this;
        if constexpr (source_of<Source, W>) other.layers_ = std::move(layers);
        if (other.layers_ == nullptr) throw shape_error("with_layers: a layer_source is expected, found none");
        return other;
    }

    /// The same model whose products are computed in another arithmetic.   Errors: option_error where this machine has
    /// none.
    transformer with_products(arithmetic products) const {
        transformer other = *this;
        other.products_ = checked(products);
        return other;
    }

    model_config const& config() const noexcept { return config_; }
    arithmetic products() const noexcept { return products_; }
    std::shared_ptr<layer_source<W>> layers() const noexcept { return layers_; }
    W const& embedding() const noexcept { return *embedding_; }
    std::span<const float> final_norm() const noexcept { return *final_norm_; }
    W const& head() const noexcept { return *head_; }
    model_ends<W> ends() const noexcept { return {embedding_, final_norm_, head_}; }

    /// x ← the rows of the embedding, in the scale that the model wants.   Shapes: ids (T), x (T, d).
    /// Errors: as bitlens::embed.
    void embed(std::span<const std::int32_t> ids, matrix_view<float> x) const {
        if (!in_file_) return bitlens::embed(*embedding_, ids, x, config_.embedding_scale);
        detail::check_shape("embed", "x", x, ids.size(), embedding_->cols());
        // The system brings up to 2 MiB of a file for one row.
        constexpr std::size_t rows_at_once = 16;
        for (std::size_t t = 0; t < ids.size(); t += rows_at_once) {
            const std::size_t rows = std::min(rows_at_once, ids.size() - t);
            bitlens::embed(*embedding_, ids.subspan(t, rows), x.middle_rows(t, rows), config_.embedding_scale);
            in_file_->give_back(detail::embedding_name);
        }
    }

    /// Bytes of workspace that forward needs.
    std::size_t forward_bytes(std::size_t positions, unsigned tasks) const {
        return std::max(advance_bytes(config_.block, positions, tasks),
                        matmul_bytes(config_.vocabulary, config_.block.width, positions, tasks));
    }

    /// Runs a whole document and speaks to the probe on the way; final_norm and logits (T, vocabulary) are made only
    /// for a probe that listens to them. The workspace says in which arithmetic; bits depend neither on the probe nor
    /// on the workspace's tasks. Errors: shape_error for no ids, one outside the vocabulary, layers of another shape,
    /// or a workspace of less than forward_bytes; what the layers' source throws.
    template <detail::meant_as_probe P>
    void forward(std::span<const std::int32_t> ids, P&& p, workspace& scratch) const {
        if constexpr (check_probe<P>()) run(ids, p, scratch);
    }
    /// The same with a workspace of its own, in one task.
    template <detail::meant_as_probe P>
    void forward(std::span<const std::int32_t> ids, P&& p) const {
        workspace scratch(forward_bytes(ids.size(), 1), 1, products_);
        if constexpr (check_probe<P>()) run(ids, p, scratch);
    }

    /// Bytes of workspace that read needs for these texts, and for any that have a few more ids by then.
    std::size_t read_bytes(std::span<growing_text* const> texts, unsigned tasks) const {
        constexpr std::size_t unit = 256; // positions by which texts grow until more is needed
        std::size_t bytes = 0;
        for (auto const& part : parts_of(texts)) {
            std::size_t keys = 0;
            for (growing_text const* const text : part.texts)
                keys = std::max(keys, (text->ids.size() + unit - 1) / unit * unit);
            bytes = std::max({bytes, continue_bytes(config_.block, part.rows, part.texts.size(), keys, tasks),
                              workspace::bytes_for<float>(part.texts.size() * config_.block.width) +
                                  matmul_bytes(config_.vocabulary, config_.block.width, part.rows, tasks)});
        }
        return bytes;
    }

    /// Reads the ids of each text that were not read yet, and leaves in row i of `logits` those of the last id of text
    /// i. A text is read from its beginning as a document is, by matmul; a text that goes on by `products`: with matmul
    /// these are the logits of forward for all ids of the text, bit for bit, however they came piece by piece and
    /// whichever texts are side by side. Where the frequencies of a rotary embedding depend on the length of a text and
    /// change with the ids that came, the text is read again from its beginning. A layer is asked for once for all
    /// texts. The probe hears the rows that are read at a point, those of a few texts one after the other.
    /// Shapes: logits (texts, vocabulary).   Errors: shape_error for a text with nothing to read, or of another model;
    /// a workspace of less than read_bytes, and as forward; option_error for a text that was read in another
    /// arithmetic. After an error the texts are good for nothing.
    template <detail::meant_as_probe P>
    void read(std::span<growing_text* const> texts, row_products products, P&& p, workspace& scratch,
              matrix_view<float> logits) const {
        if constexpr (check_probe<P>()) run(texts, products, p, scratch, logits);
    }

private:
    /// Texts that are read together: their rows one after the other.
    struct read_part {
        std::size_t first; // of `texts`, among all
        std::span<growing_text* const> texts;
        bool begins; // else they go on
        std::size_t rows = 0;
    };

    transformer(model_config config, std::shared_ptr<layer_source<W>> layers, std::shared_ptr<const W> embedding,
                std::vector<float> final_norm, std::nullptr_t, checkpoint const& source)
        : transformer(std::move(config), std::move(layers), embedding, std::move(final_norm),
                      head_of(source, embedding)) {
        if (leaves_embedding(source)) in_file_ = source;
    }

    /// Whether memory of the embedding is given back after use.
    static bool leaves_embedding(checkpoint const& source) {
        return !source.config().tied_head && source.is_borrowed<W>(detail::embedding_name);
    }
    static std::shared_ptr<const W> head_of(checkpoint const& source, std::shared_ptr<const W> const& embedding) {
        if (source.config().tied_head) return embedding;
        if (leaves_embedding(source)) source.give_back(detail::embedding_name); // which has been read to be checked
        return std::make_shared<const W>(source.load_matrix<W>(detail::head_name));
    }

    template <class P>
    static constexpr bool check_probe() {
        static_assert(std::is_lvalue_reference_v<P>, "bitlens: forward takes a probe that has a name: what it heard is "
                                                     "read from it afterwards, and a temporary one is gone by then");
        return std::is_lvalue_reference_v<P> && bitlens::detail::points_of<std::remove_cvref_t<P>>::is_sound;
    }

    /// forward, for a probe that has been checked.
    template <class P>
    void run(std::span<const std::int32_t> ids, P& p, workspace& scratch) const {
        if (ids.empty()) throw shape_error("forward: at least one token id is expected");
        scratch.require("forward", forward_bytes(ids.size(), scratch.tasks()));
        residual_stream stream(ids.size(), config_.block);
        block_buffers buffers(ids.size(), config_.block, config_.ropes);
        embed(ids, stream.x);
        for (std::size_t k = 0; k < config_.layers; ++k)
            advance<Architecture::description.form>(config_.block_of(k), layers_->layer(k), site{k}, stream, buffers,
                                                    stage::end, scratch, p);
        if constexpr (listens_to_any<P, hook::final_norm, hook::logits>) {
            rms_norm(stream.x.view(), final_norm(), config_.block.norm_eps, stream.x.view());
            emit<hook::final_norm>(p, site{config_.layers}, stream.x);
        }
        if constexpr (listens<P, hook::logits>) {
            matrix<float> logits(ids.size(), config_.vocabulary);
            matmul(*head_, stream.x.view(), logits.view(), scratch);
            soft_cap(config_.logit_soft_cap, logits.view());
            emit<hook::logits>(p, site{config_.layers}, logits);
        }
    }

    /// Whether what was read of a text is no part of what it has become.
    bool is_read_again(growing_text const& text) const noexcept {
        return std::ranges::any_of(config_.ropes, [&](rope_rule const& rule) {
            return shortest_text_like(rule, text.ids.size()) > text.positions();
        });
    }

    /// Neighbouring texts together, as long as they are few rows; those that begin apart from those that go on.
    std::vector<read_part> parts_of(std::span<growing_text* const> texts) const {
        constexpr std::size_t most_rows = 256;
        std::vector<read_part> parts;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            growing_text const& text = *texts[i];
            const bool begins = text.positions() == 0 || is_read_again(text);
            const std::size_t rows = begins ? text.ids.size() : text.unread();
            if (rows == 0)
                throw shape_error("read: text " + std::to_string(i) + " has " + std::to_string(text.ids.size()) +
                                  " ids, and all were read; at least one more is expected");
            const bool joins = !parts.empty() && parts.back().begins == begins && parts.back().rows + rows <= most_rows;
            if (!joins) parts.push_back({i, {}, begins});
            parts.back().texts = texts.subspan(parts.back().first, i - parts.back().first + 1);
            parts.back().rows += rows;
        }
        return parts;
    }

    /// Room for the keys and values of a text, and the tables that turn it: its own, those of another of `texts`, or
    /// new ones, for all of them and their next ids.
    void prepare(growing_text& text, std::span<growing_text* const> texts, arithmetic products) const {
        if (text.layers.empty())
            for (std::size_t k = 0; k < config_.layers; ++k)
                text.layers.emplace_back(config_.block.kv_heads, config_.block.head_dim, products);
        detail::check_size("read", "the text's layers", text.layers.size(), config_.layers);
        if (is_read_again(text)) text.forget();
        const auto serves = [&](std::shared_ptr<const text_ropes> const& ropes) {
            return ropes != nullptr && ropes->serve(config_.ropes, text.ids.size());
        };
        if (serves(text.ropes)) return;
        std::size_t longest = 0;
        for (growing_text const* const other : texts) {
            if (serves(other->ropes)) {
                text.ropes = other->ropes;
                return;
            }
            longest = std::max(longest, other->ids.size());
        }
        text.ropes = std::make_shared<const text_ropes>(config_.ropes, text.ids.size(), longest + longest / 2 + 64,
                                                        config_.block.head_dim);
    }

    /// read, for a probe that has been checked.
    template <class P>
    void run(std::span<growing_text* const> texts, row_products products, P& p, workspace& scratch,
             matrix_view<float> logits) const {
        detail::check_shape("read", "logits", logits, texts.size(), config_.vocabulary);
        scratch.require("read", read_bytes(texts, scratch.tasks()));
        struct running {
            read_part part;
            residual_stream stream;
            block_buffers buffers;
            std::vector<text_rows> rows{};
        };
        std::vector<running> all;
        const auto products_of = [&](read_part const& part) { return part.begins ? row_products::matmul : products; };
        for (auto const& part : parts_of(texts)) {
            all.push_back({part, {part.rows, config_.block}, {part.rows, config_.block, nullptr}});
            for (std::size_t i = 0, row = 0; i < part.texts.size(); ++i) {
                growing_text& text = *part.texts[i];
                prepare(text, texts, scratch.products());
                auto& rows = all.back().rows;
                rows.push_back({text.unread(), text.layers, {text.ropes, &text.ropes->tables}});
                embed(std::span<const std::int32_t>(text.ids).subspan(text.positions()),
                      all.back().stream.x.view().middle_rows(row, text.unread()));
                row += text.unread();
            }
        }
        for (std::size_t k = 0; k < config_.layers; ++k) {
            const auto layer = layers_->layer(k);
            for (auto& [part, stream, buffers, rows] : all)
                advance<Architecture::description.form>(config_.block_of(k), layer, site{k}, stream, buffers,
                                                        continuation{rows, products_of(part)}, stage::end, scratch, p);
        }
        for (auto& [part, stream, buffers, rows] : all)
            find_logits(rows, products_of(part), stream, p, scratch, logits.middle_rows(part.first, part.texts.size()));
    }

    /// Of the last row of each text.
    template <class P>
    void find_logits(std::span<const text_rows> rows, row_products products, residual_stream& stream, P& p,
                     workspace& scratch, matrix_view<float> logits) const {
        const auto norm = [&](matrix_view<float> x) { rms_norm(x, final_norm(), config_.block.norm_eps, x); };
        const auto take_last = [&](matrix_view<const float> from, matrix_view<float> to) {
            for (std::size_t i = 0, end = 0; i < rows.size(); ++i) {
                end += rows[i].rows;
                std::ranges::copy(from.row(end - 1), to.row(i).begin());
            }
        };
        constexpr bool norms_all = listens_to_any<P, hook::final_norm, hook::logits>;
        if constexpr (norms_all) {
            norm(stream.x);
            emit<hook::final_norm>(p, site{config_.layers}, stream.x);
        }
        if constexpr (listens<P, hook::logits>) {
            matrix<float> of_all(stream.x.rows(), config_.vocabulary);
            multiply_head(products, stream.x, of_all, scratch);
            emit<hook::logits>(p, site{config_.layers}, of_all);
            take_last(of_all, logits);
        } else {
            workspace::frame frame(scratch);
            const auto last = frame.template take<float>(rows.size(), config_.block.width);
            take_last(stream.x, last);
            if constexpr (!norms_all) norm(last);
            multiply_head(products, last, logits, scratch);
        }
    }

    void multiply_head(row_products products, matrix_view<const float> x, matrix_view<float> logits,
                       workspace& scratch) const {
        multiply_rows(products, *head_, x, logits, scratch);
        soft_cap(config_.logit_soft_cap, logits);
    }

    static model_config const& configuration_of(checkpoint const& source) {
        if (source.family().form != Architecture::description.form)
            throw format_error(source.path().string() + ": blocks of the form of " +
                               std::string(Architecture::description.name) + " are expected, those of " +
                               source.config().architecture + " have another");
        return source.config();
    }

    model_config config_;
    std::shared_ptr<layer_source<W>> layers_;
    std::shared_ptr<const W> embedding_;
    std::shared_ptr<const std::vector<float>> final_norm_;
    std::shared_ptr<const W> head_;
    std::optional<checkpoint> in_file_; // where the embedding is borrowed from, and its memory given back after use
    arithmetic products_ = arithmetic::f32;
};

} // namespace bitlens
