#pragma once
/// column: what a measurement says of the numbers that it leaves.

#include "bitlens/core/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// The name of variant 0 in every file of a run.
inline constexpr const char* full_model_name = "full";

/// How many numbers a column has of each document.
enum class column_shape : std::uint8_t { document, layer, position };

/// What a variant of a run is: the first, another one that runs to the end, or one that ends before.
enum class variant_kind : std::uint8_t { full_model, method, early_exit };

/// Of which variants it has them; `each_variant` is the full model and each method.
enum class column_owner : std::uint8_t { full_model, each_method, each_variant, each_exit };

/// One quantity of a table of results. Files, readers, the plan of memory and the tables in the docs follow from it.
struct column {
    std::string name; // small letters, digits and '_'
    column_shape shape = column_shape::document;
    column_owner owner = column_owner::each_variant;
    std::string unit;       // "nats per token"; empty: a pure number
    std::string meaning;    // one line
    bool holds_ids = false; // token ids (int32) in place of numbers (float32); of a position only

    bool operator==(column const&) const = default;

    bool is_of(variant_kind v) const noexcept {
        switch (owner) {
        case column_owner::full_model:
            return v == variant_kind::full_model;
        case column_owner::each_method:
            return v == variant_kind::method;
        case column_owner::each_variant:
            return v != variant_kind::early_exit;
        case column_owner::each_exit:
            break;
        }
        return v == variant_kind::early_exit;
    }
    /// What files call it: "norm_r" of the full model alone, else with the variant: "nll_full", "mse_rtn3-g64".
    std::string stored_name(std::string_view variant) const {
        return owner == column_owner::full_model ? name : name + "_" + std::string(variant);
    }
};

/// The column of a table of rows for one layer: "norm_r_l3".
inline std::string layer_column(std::string_view stored_name, std::size_t layer) {
    return std::string(stored_name) + "_l" + std::to_string(layer);
}

/// Words for the enumerators, as manifests write them.
inline std::string_view name(column_shape shape) noexcept {
    constexpr std::string_view names[] = {"document", "layer", "position"};
    return names[static_cast<std::size_t>(shape)];
}
inline std::string_view name(column_owner owner) noexcept {
    constexpr std::string_view names[] = {"full model", "each method", "each variant", "each early exit"};
    return names[static_cast<std::size_t>(owner)];
}

/// Errors: option_error for a name that files could not bear, or ids that are not of a position.
inline void check_column(column const& c) {
    const auto plain = [](char x) { return (x >= 'a' && x <= 'z') || (x >= '0' && x <= '9') || x == '_'; };
    if (c.name.empty() || !std::ranges::all_of(c.name, plain))
        throw option_error("column '" + c.name + "': a name of small letters, digits and '_' is expected");
    if (c.holds_ids && c.shape != column_shape::position)
        throw option_error("column '" + c.name + "': token ids are expected of each position only");
}

} // namespace bitlens
