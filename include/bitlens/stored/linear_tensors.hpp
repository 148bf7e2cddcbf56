#pragma once
/// linear_tensors: the tensors of a checkpoint that together are one linear layer, by what follows its name.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/safetensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What follows "model.layers.0.self_attn.q_proj." in the names of its tensors ("qweight", "weight.absmax"), and those
/// tensors. The bytes live as long as this does.
class linear_tensors {
public:
    linear_tensors() = default;
    explicit linear_tensors(std::string name) : name_(std::move(name)) {}

    void add(std::string suffix, placed_safetensors_tensor const& t) {
        parts_.insert_or_assign(std::move(suffix), part{*t.tensor, t.file->path().string(), t.file->mapping()});
    }

    /// The name of the module that they belong to.
    std::string const& name() const noexcept { return name_; }
    bool has(std::string_view suffix) const { return parts_.contains(suffix); }
    /// nullptr where there is none.
    safetensors_tensor const* find(std::string_view suffix) const {
        const auto place = parts_.find(suffix);
        return place == parts_.end() ? nullptr : &place->second.tensor;
    }
    std::vector<std::string_view> suffixes() const {
        std::vector<std::string_view> all;
        for (auto const& [suffix, p] : parts_) all.push_back(suffix);
        return all;
    }
    std::size_t bytes() const noexcept {
        std::size_t sum = 0;
        for (auto const& [suffix, p] : parts_) sum += p.tensor.bytes.size();
        return sum;
    }
    /// The file of one of them.
    std::string file(std::string_view suffix) const { return parts_.find(suffix)->second.file; }
    /// What an error about one of them begins with; about all of them without one.
    std::string who(std::string_view suffix = {}) const {
        const auto place = parts_.find(suffix);
        if (place == parts_.end())
            return (parts_.empty() ? "" : parts_.begin()->second.file + ": ") + "linear layer " + in_quotes(name_);
        return place->second.file + ": tensor " + in_quotes(place->second.tensor.name);
    }

    /// Errors: format_error for a tensor that is none of these.
    void allow_only(std::initializer_list<std::string_view> suffixes) const {
        for (auto const& [suffix, p] : parts_)
            if (std::ranges::find(suffixes, std::string_view(suffix)) == suffixes.end())
                throw format_error(who(suffix) + " does not belong to a linear layer of this kind, as " +
                                   in_quotes(parts_.begin()->second.tensor.name) + " is of");
    }

    /// Errors: format_error where it is missing, has another type or rank, or no elements. So each dimension of it is
    /// one of things that are there, and what is measured by it is in proportion to the file.
    safetensors_tensor const& require(std::string_view suffix, std::initializer_list<safetensors_type> types,
                                      std::size_t rank) const {
        auto const* const t = find(suffix);
        if (t == nullptr)
            throw format_error(who() + ": tensor " + in_quotes(name_ + "." + std::string(suffix)) + " is missing");
        std::string names;
        bool fits = false;
        for (const auto type : types) {
            fits = fits || t->type == type;
            names += (names.empty() ? "" : " or ") + std::string(info(type).name);
        }
        if (!fits || t->shape.size() != rank)
            throw format_error(who(suffix) + ": " + names + " of rank " + std::to_string(rank) + " is expected, " +
                               std::string(info(t->type).name) + " of shape " + shape_text(t->shape) + " was found");
        if (t->bytes.empty()) throw format_error(who(suffix) + ": shape " + shape_text(t->shape) + " holds nothing");
        return *t;
    }
    /// Errors: as above, and for another shape.
    safetensors_tensor const& require(std::string_view suffix, std::initializer_list<safetensors_type> types,
                                      std::vector<std::size_t> const& shape) const {
        auto const& t = require(suffix, types, shape.size());
        if (t.shape != shape)
            throw format_error(who(suffix) + ": shape " + shape_text(shape) + " is expected, " + shape_text(t.shape) +
                               " was found");
        return t;
    }

    /// Numbers of a matrix (or of a vector, as one row) as floats.   F16, BF16 and F32.
    /// Errors: format_error naming the place, for one that is not finite.
    matrix<float> floats(std::string_view suffix) const {
        auto const& t = *find(suffix);
        const std::size_t cols = t.shape.empty() ? 1 : t.shape.back();
        matrix<float> m(cols == 0 ? 0 : t.size() / cols, cols);
        for (std::size_t i = 0; i < t.size(); ++i) {
            float& x = m.data()[i];
            if (t.type == safetensors_type::f32)
                x = load<float>(t.bytes.data() + 4 * i);
            else if (t.type == safetensors_type::bf16)
                x = bf16::from_bits(load<std::uint16_t>(t.bytes.data() + 2 * i));
            else
                x = f16::from_bits(load<std::uint16_t>(t.bytes.data() + 2 * i));
            if (!std::isfinite(x))
                throw format_error(who(suffix) + ": row " + std::to_string(i / cols) + ", column " +
                                   std::to_string(i % cols) + " is not finite");
        }
        return m;
    }

private:
    struct part {
        safetensors_tensor tensor;
        std::string file;
        std::shared_ptr<const mapped_file> mapping; // keeps the bytes alive
    };
    std::string name_;
    std::map<std::string, part, std::less<>> parts_;
};

namespace detail {

/// What scales are stored as.
inline constexpr std::initializer_list<safetensors_type> float_types{safetensors_type::f16, safetensors_type::bf16,
                                                                     safetensors_type::f32};

} // namespace detail

} // namespace bitlens
