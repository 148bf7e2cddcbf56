#pragma once
/// key_value_cache: the keys and values of one layer for the positions of a text so far, as attention reads them.

#include "bitlens/core/arithmetic.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/kernels/micro_kernels.hpp"
#include "bitlens/layers/attention_panels.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

namespace bitlens {

/// Keys and values are packed once, when they are appended, for the micro-kernel of one arithmetic; each append touches
/// the places of its own positions and, of keys, those of one panel before them. Room grows by half of what there is,
/// and is then copied as it lies. Move-only; what was moved from is good for nothing but to be assigned to.
template <class Arch = simd::default_arch>
class key_value_cache {
public:
    /// Of no positions yet.   Errors: shape_error for no heads or dimensions; option_error for products that are not
    /// available.
    key_value_cache(std::size_t kv_heads, std::size_t head_dim, arithmetic products)
        : kv_heads_(kv_heads), head_dim_(head_dim), products_(checked(products)) {
        if (kv_heads == 0 || head_dim == 0)
            throw shape_error("key_value_cache: " + std::to_string(kv_heads) + " heads of " + std::to_string(head_dim) +
                              " dimensions, expected at least 1 of 1");
        strips_ = aligned_array<float>(kv_heads * layout().strip());
    }

    std::size_t positions() const noexcept { return positions_; }
    std::size_t capacity() const noexcept { return capacity_; }
    std::size_t kv_heads() const noexcept { return kv_heads_; }
    std::size_t head_dim() const noexcept { return head_dim_; }
    arithmetic products() const noexcept { return products_; }

    /// Bytes that one of so much room takes.
    static std::size_t bytes(std::size_t positions, std::size_t kv_heads, std::size_t head_dim, arithmetic products) {
        const auto of = layout(micro_kernel_of<Arch>(products), room_for(positions), head_dim);
        return kv_heads * ((of.keys() + of.values()) * sizeof(packed_element) + of.strip() * sizeof(float));
    }

    /// Makes room for so many positions in all, if there is less.
    void reserve(std::size_t positions) {
        if (positions <= capacity_) return;
        const auto before = layout(), after = layout(micro_kernel_of<Arch>(products_), room_for(positions), head_dim_);
        aligned_array<packed_element> keys(kv_heads_ * after.keys()), values(kv_heads_ * after.values());
        for (std::size_t h = 0; h < kv_heads_ && positions_ > 0; ++h) {
            std::copy_n(&keys_[h * before.keys()], before.keys(), &keys[h * after.keys()]);
            for (std::size_t panel = 0; panel < before.value_panels; ++panel)
                std::copy_n(&values_[h * before.values() + before.value_panel(panel)], before.value_panel_elements,
                            &values[h * after.values() + after.value_panel(panel)]);
        }
        keys_ = std::move(keys), values_ = std::move(values), capacity_ = after.capacity;
    }

    /// Takes up the keys and values of the next positions, in so many tasks.   Shapes: k, v (T, kv_heads · head_dim).
    /// Errors: shape_error for others.
    void append(matrix_view<const float> k, matrix_view<const float> v, unsigned tasks = 1) {
        detail::check_shape("key_value_cache", "k", k, k.rows, kv_heads_ * head_dim_);
        detail::check_shape("key_value_cache", "v", v, k.rows, kv_heads_ * head_dim_);
        if (k.rows == 0) return;
        make_room(k.rows);
        parallel_pieces(kv_heads_, tasks, 1, [&](std::size_t, std::size_t begin, std::size_t end) {
            for (std::size_t h = begin; h < end; ++h) pack(h, k, v);
        });
        positions_ += k.rows;
    }

    /// Forgets all positions, and keeps the room.
    void clear() noexcept { positions_ = 0; }

    // What attention reads: see attention_panels.hpp.
    detail::attention_layout layout() const noexcept {
        return layout(micro_kernel_of<Arch>(products_), capacity_, head_dim_);
    }
    packed_element const* keys(std::size_t kv_head) const noexcept { return keys_.data() + kv_head * layout().keys(); }
    packed_element const* values(std::size_t kv_head) const noexcept {
        return values_.data() + kv_head * layout().values();
    }

private:
    static detail::attention_layout layout(micro_kernel const& kernel, std::size_t capacity, std::size_t head_dim) {
        return {kernel, capacity, head_dim};
    }
    static constexpr std::size_t room_for(std::size_t positions) noexcept {
        constexpr std::size_t unit = detail::attention_layout::key_unit;
        return detail::attention_layout::pieces(positions, unit) * unit;
    }
    void make_room(std::size_t more) {
        if (more > capacity_ - positions_) reserve(std::max(positions_ + more, capacity_ + capacity_ / 2));
    }
    void pack(std::size_t kv_head, matrix_view<const float> k, matrix_view<const float> v) noexcept {
        const auto at = layout();
        detail::pack_keys(at, positions_, k.middle_cols(kv_head * head_dim_, head_dim_), &keys_[kv_head * at.keys()],
                          &strips_[kv_head * at.strip()]);
        detail::pack_values(at, positions_, v.middle_cols(kv_head * head_dim_, head_dim_),
                            &values_[kv_head * at.values()]);
    }

    std::size_t kv_heads_, head_dim_, positions_ = 0, capacity_ = 0;
    arithmetic products_;
    aligned_array<packed_element> keys_, values_; // [kv_head][as the layout has them]
    aligned_array<float> strips_;                 // [kv_head]: keys of the last panel
};

} // namespace bitlens
