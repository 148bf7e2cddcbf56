#pragma once
/// checkpoint: a model on disk, a Hugging Face folder or a GGUF file, with its tensors under Hugging Face names.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/checkpoint_contents.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/models/stored_tensor.hpp"
#include "bitlens/models/weights.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/tokenizer_file.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

namespace detail {
class gguf_model_writer;
} // namespace detail

/// A matrix of a checkpoint once it is loaded.
struct loaded_form {
    std::size_t bytes;  ///< in codes: at most
    bool is_borrowed;   ///< the bytes are those of the mapped file
    bool is_float;      ///< of 32 bits
    std::string format; ///< its name: "uniform4-g128", "bf16"
};

/// A model on disk. Copies share one mapping of the files; nothing is read before it is asked for.
///
/// Keys of the configuration that are not known are refused, as they could change what the model computes; those that
/// `allowed_keys` names are passed over.
///
/// Errors at construction: io_error where files are missing or cannot be opened; option_error for an allowed key that
/// does not occur or is known; format_error for the first of its problems: an architecture, then quantized weights,
/// then a key that are not supported, then a tensor that is missing, unexpected, of another shape or unreadable.
class checkpoint {
public:
    explicit checkpoint(std::filesystem::path const& path, std::span<const std::string> allowed_keys = {})
        : checkpoint(path, allowed_keys, families) {}
    /// Of one's own family, which need not be among `architectures`.
    template <architecture Architecture>
    static checkpoint of(std::filesystem::path const& path, std::span<const std::string> allowed_keys = {}) {
        static constexpr std::array one{&Architecture::description};
        return checkpoint(path, allowed_keys, one);
    }

    /// The same without refusing: for showing what is there and everything that is wrong with it. Only config(),
    /// tensors(), files(), problems() and format_description() make sense where problems() is not empty.
    /// Errors: io_error where nothing is; those of a GGUF file's own structure; option_error as above.
    static checkpoint inspect(std::filesystem::path const& path, std::span<const std::string> allowed_keys = {}) {
        return checkpoint(std::make_shared<const detail::checkpoint_contents>(path, allowed_keys, families, true));
    }
    std::vector<std::string> const& problems() const noexcept { return contents_->problems.texts(); }

    std::filesystem::path const& path() const noexcept { return contents_->path; }
    model_config const& config() const noexcept { return contents_->config; }
    /// What its family is like.
    model_family const& family() const noexcept { return *contents_->kind; }
    bool is_gguf() const noexcept { return contents_->gguf.has_value(); }

    /// Every file that decides what the model and its tokenizer compute, sorted.
    std::vector<std::filesystem::path> files() const {
        std::vector<std::filesystem::path> all;
        if (is_gguf()) {
            for (auto const& part : contents_->gguf->parts()) all.push_back(part->path());
            return all;
        }
        for (auto const& file : contents_->safetensors->files()) all.push_back(file.path());
        for (const char* name : {"config.json", "model.safetensors.index.json"})
            if (is_there(path() / name)) all.push_back(path() / name);
        for (auto& file : tokenizer_files(path())) all.push_back(std::move(file));
        std::ranges::sort(all);
        return all;
    }

    /// By name.
    std::vector<tensor_info> tensors() const {
        std::vector<tensor_info> all;
        for (auto const& [name, place] : contents_->by_name.entries()) all.push_back(contents_->tensors[place].info);
        return all;
    }

    /// What is stored how, as in "GGUF, linear layers Q4_1, embedding Q8_0, tied head".
    std::string format_description() const {
        std::map<std::string, std::size_t> linear;
        std::string embedding, head;
        for (auto const& t : contents_->tensors) {
            if (t.info.name.find("_proj.weight") != std::string::npos) ++linear[t.info.type];
            if (t.info.name == detail::embedding_name) embedding = ", embedding " + t.info.type;
            if (t.info.name == detail::head_name) head = ", head " + t.info.type;
        }
        if (config().tied_head && !embedding.empty()) head = ", tied head";
        std::string text = is_gguf() ? "GGUF" : "safetensors";
        if (!linear.empty()) text += ", linear layers";
        for (auto const& [type, count] : linear)
            text += " " + type + (linear.size() > 1 ? " (" + std::to_string(count) + ")" : "");
        return text + embedding + head;
    }

    /// What its files say of how the weights were quantized, a fact each, "bits 4": for people, whatever is read of it.
    std::vector<std::string> quantization_facts() const { return contents_->quantization_facts(); }

    /// What was concluded of matrices in codes against what is said, or seen in their zeros and orders, each with how
    /// many: "210 matrices: zeros are stored as they are, whatever its label says".
    std::vector<std::string> conclusions() const {
        std::map<std::string, std::size_t> counts;
        for (auto const& t : contents_->tensors)
            if (t.linear != nullptr)
                if (auto text = t.linear->conclusion(); !text.empty()) ++counts[std::move(text)];
        std::vector<std::string> all;
        for (auto const& [text, count] : counts)
            all.push_back(std::to_string(count) + (count == 1 ? " matrix: " : " matrices: ") + text);
        return all;
    }

    /// A matrix as W: in its stored type where W can hold that, borrowed from the mapped file where it lies aligned and
    /// in order; in codes where W lists a format that holds those exactly; otherwise as float.
    /// Errors: format_error naming file and tensor for a name that is not there, a type that W cannot hold, and a
    /// number that is not finite.
    template <class W>
    W load_matrix(std::string_view name) const {
        detail::check_weight<W>();
        auto const& t = tensor(name, 2);
        if (t.number == detail::stored_number::bf16)
            if constexpr (std::constructible_from<W, packed_matrix<dense<bf16>>>) return stored<bf16>(t);
        if (t.number == detail::stored_number::f16)
            if constexpr (std::constructible_from<W, packed_matrix<dense<f16>>>) return stored<f16>(t);
        constexpr bool takes_floats = std::constructible_from<W, packed_matrix<dense<float>>>;
        if constexpr (takes_floats)
            if (t.number == detail::stored_number::f32) return stored<float>(t);
        if (t.number == detail::stored_number::coded || packed_form<W>(t)) {
            const auto m = coded(t);
            if constexpr (is_mixed_matrix<W>)
                if (auto packed = packed_as<W>(m)) return std::move(*packed);
            if constexpr (takes_floats) return bitlens::decoded(m);
        }
        if constexpr (takes_floats) return decoded(t);
        throw format_error(t.who() + ": numbers of type " + t.info.type +
                           " do not fit this program's type of weight, which lists neither them nor dense<float>, to "
                           "which they are decoded");
    }

    /// The first rows of a matrix, at most so many, as floats: enough to see what kind of numbers it holds.
    /// Errors: as load_matrix.
    matrix<float> load_first_rows(std::string_view name, std::size_t most) const {
        auto const& t = tensor(name, 2);
        matrix<float> rows(std::min(most, t.rows()), t.cols());
        if (t.number == detail::stored_number::coded) {
            const auto all = coded(t);
            for (std::size_t r = 0; r < rows.rows(); ++r) all.read_row(r, rows.row(r));
        } else {
            for (std::size_t r = 0; r < rows.rows(); ++r) read_finite_row(t, r, rows.row(r));
        }
        return rows;
    }

    /// What load_matrix<W> makes of a matrix, before a number is read.   Errors: as load_matrix for a name.
    template <class W>
    loaded_form form_of(std::string_view name) const {
        detail::check_weight<W>();
        auto const& t = tensor(name, 2);
        const std::size_t count = t.rows() * t.cols();
        if (t.number == detail::stored_number::bf16 && std::constructible_from<W, packed_matrix<dense<bf16>>>)
            return {count * sizeof(bf16), lies_as<bf16>(t), false, format_name<dense<bf16>>()};
        if (t.number == detail::stored_number::f16 && std::constructible_from<W, packed_matrix<dense<f16>>>)
            return {count * sizeof(f16), lies_as<f16>(t), false, format_name<dense<f16>>()};
        if (auto packed = packed_form<W>(t)) return std::move(*packed);
        const bool takes_floats = std::constructible_from<W, packed_matrix<dense<float>>>;
        return {count * sizeof(float), takes_floats && t.number == detail::stored_number::f32 && lies_as<float>(t),
                true, format_name<dense<float>>()};
    }

    /// Whether load_matrix<W> leaves the numbers in the mapped file. Their memory is the system's own copy of the file:
    /// it comes as they are touched, and goes with the matrix.   Errors: as load_matrix for a name.
    template <class W>
    bool is_borrowed(std::string_view name) const {
        return form_of<W>(name).is_borrowed;
    }

    /// Gives the memory of a borrowed matrix back to the system; it comes again as its numbers are read.
    /// Errors: as load_matrix for a name.
    void give_back(std::string_view name) const {
        auto const& t = tensor(name, 2);
        t.mapping->give_back(t.bytes);
    }

    /// A norm or bias as floats.   Errors: as load_matrix.
    std::vector<float> load_vector(std::string_view name) const {
        auto const& t = tensor(name, 1);
        std::vector<float> stored(t.cols()), values(t.cols());
        read_row(t, 0, stored);
        detail::check_finite<float>(stored, t, 0);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = stored[t.stored_row(i)] + (t.is_less_one ? 1.0f : 0.0f);
        return values;
    }

    /// The tokenizer that the checkpoint carries.
    /// Errors: io_error where a folder has none that is read; format_error as bitlens::load_tokenizer.
    tokenizer load_tokenizer() const {
        return is_gguf() ? tokenizer::from_gguf(*contents_->gguf) : bitlens::load_tokenizer(path());
    }

private:
    friend class detail::gguf_model_writer;

    explicit checkpoint(std::shared_ptr<const detail::checkpoint_contents> contents) : contents_(std::move(contents)) {}
    checkpoint(std::filesystem::path const& path, std::span<const std::string> allowed_keys,
               std::span<model_family const* const> known)
        : contents_(std::make_shared<const detail::checkpoint_contents>(path, allowed_keys, known, false)) {
        if (problems().empty()) return;
        const std::size_t more = problems().size() - 1;
        throw format_error(problems().front() + (more == 0 ? "" : " (and " + std::to_string(more) + " more)"));
    }

    detail::stored_tensor const& tensor(std::string_view name, std::size_t rank) const {
        detail::stored_tensor const* const found = contents_->find(name);
        if (!found) throw format_error(path().string() + ": there is no tensor " + in_quotes(name));
        auto const& t = *found;
        if (t.info.shape.size() != rank || t.number == detail::stored_number::unreadable)
            throw format_error(t.who() + ": a readable tensor of rank " + std::to_string(rank) + " is expected, " +
                               t.info.type + " of shape " + shape_text(t.info.shape) + " was found");
        return t;
    }

    /// Row r, as it is stored, as floats.
    void read_row(detail::stored_tensor const& t, std::size_t r, std::span<float> to) const {
        if (t.blocks) {
            contents_->gguf->decode_rows(*t.blocks, t.first_row + r, 1, {to.data(), 1, to.size()});
            return;
        }
        const auto copy = [&]<class T>(T) {
            std::byte const* from = t.bytes.data() + r * t.cols() * sizeof(T);
            for (std::size_t i = 0; i < to.size(); ++i) {
                T x;
                std::memcpy(&x, from + i * sizeof(T), sizeof(T));
                to[i] = static_cast<float>(x);
            }
        };
        if (t.number == detail::stored_number::f16)
            copy(f16{});
        else if (t.number == detail::stored_number::bf16)
            copy(bf16{});
        else
            copy(float{});
    }

    /// A matrix in codes, or its rows that are t's.
    static coded_matrix coded(detail::stored_tensor const& t) {
        auto all = t.linear->read();
        if (t.rows() == all.rows() && t.interleaved_head == 0) return all;
        return all.with_rows(t.rows(), [&](std::size_t r) { return t.first_row + t.stored_row(r); });
    }

    /// A matrix in codes as W; nothing where W lists no format that holds it, or that is not known before numbers are
    /// read.
    template <class W>
    static std::optional<loaded_form> packed_form(detail::stored_tensor const& t) {
        if constexpr (is_mixed_matrix<W>) {
            const auto form = t.linear ? t.linear->form() : std::nullopt;
            const auto row = form ? packed_as<W>(*form) : std::nullopt;
            if (!row) return std::nullopt;
            const std::size_t order_bytes = 2 * form->order.size() * sizeof(std::uint32_t); // both ways
            return loaded_form{t.rows() * (row->bytes() - order_bytes) + order_bytes, false, false, row->format_name()};
        } else {
            return std::nullopt;
        }
    }

    /// Row r of the Hugging Face order.   Errors: format_error for a number that is not finite.
    void read_finite_row(detail::stored_tensor const& t, std::size_t r, std::span<float> to) const {
        read_row(t, t.stored_row(r), to);
        detail::check_finite<float>(to, t, r);
    }

    packed_matrix<dense<float>> decoded(detail::stored_tensor const& t) const {
        packed_matrix<dense<float>> m(t.rows(), t.cols());
        for (std::size_t r = 0; r < t.rows(); ++r) read_finite_row(t, r, m.writable_row(r));
        return m;
    }

    /// The numbers in their stored type T, borrowed if possible.
    template <class T>
    packed_matrix<dense<T>> stored(detail::stored_tensor const& t) const {
        const auto make = [&] {
            if (lies_as<T>(t))
                return packed_matrix<dense<T>>(
                    borrowed(t), matrix_view<const T>(reinterpret_cast<T const*>(t.bytes.data()), t.rows(), t.cols()));
            packed_matrix<dense<T>> own(t.rows(), t.cols());
            const std::size_t row_bytes = t.cols() * sizeof(T);
            for (std::size_t r = 0; r < t.rows(); ++r)
                std::memcpy(own.writable_row(r).data(), t.bytes.data() + t.stored_row(r) * row_bytes, row_bytes);
            return own;
        };
        auto m = make();
        for (std::size_t r = 0; r < m.rows(); ++r) detail::check_finite<T>(m.row(r), t, r);
        return m;
    }

    /// Whether the numbers lie in the file as a matrix of T has them.
    template <class T>
    static bool lies_as(detail::stored_tensor const& t) noexcept {
        return t.interleaved_head == 0 && reinterpret_cast<std::uintptr_t>(t.bytes.data()) % alignof(T) == 0;
    }
    /// What keeps the bytes of t alive; the last to let go gives their memory back.
    static std::shared_ptr<const void> borrowed(detail::stored_tensor const& t) {
        return {static_cast<void const*>(t.bytes.data()),
                [mapping = t.mapping, bytes = t.bytes](void const*) { mapping->give_back(bytes); }};
    }

    std::shared_ptr<const detail::checkpoint_contents> contents_;
};

/// The blocks of a checkpoint, loaded when asked for. With `keep_resident` each is loaded once and kept; without, only
/// the last one is, which all variants of a sweep ask for in turn, so that a model larger than memory streams from its
/// mapped files.
template <class W>
class checkpoint_layers final : public layer_source<W> {
public:
    checkpoint_layers(checkpoint source, bool keep_resident)
        : source_(std::move(source)), keeps_all_(keep_resident), blocks_(keep_resident ? source_.config().layers : 1) {}

    /// Errors: shape_error for a layer that is not there; as load_matrix and load_vector.
    block_weights<W> layer(std::size_t k) override {
        if (k >= source_.config().layers)
            throw shape_error(source_.path().string() + ": layer " + std::to_string(k) + " is asked of " +
                              std::to_string(source_.config().layers) + " layers");
        block_weights<W>& place = keeps_all_ ? blocks_[k] : blocks_[0];
        if (!keeps_all_ && last_ != k) place = {};
        if (!place.rest) place = load(k);
        last_ = k;
        return place;
    }

private:
    block_weights<W> load(std::size_t k) const {
        block_weights<W> w;
        norms_and_biases rest;
        for (auto const& parameter : source_.family().parameters) {
            if (!detail::has_parameter(source_.config(), parameter)) continue;
            const std::string name = detail::layer_prefix(k) + detail::name_below_layer(parameter);
            if (auto const* const weight = std::get_if<weight_of>(&parameter.part))
                w.linear[static_cast<std::size_t>(weight->linear)] =
                    std::make_shared<const W>(source_.load_matrix<W>(name));
            else if (auto const* const bias = std::get_if<bias_of>(&parameter.part))
                rest.bias(bias->linear) = source_.load_vector(name);
            else
                rest.gamma(std::get<block_norm>(parameter.part)) = source_.load_vector(name);
        }
        w.rest = std::make_shared<const norms_and_biases>(std::move(rest));
        return w;
    }

    checkpoint source_;
    bool keeps_all_;
    std::vector<block_weights<W>> blocks_;
    std::size_t last_ = 0;
};

} // namespace bitlens
