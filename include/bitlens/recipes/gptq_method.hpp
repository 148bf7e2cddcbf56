#pragma once
/// gptq_method: GPTQ among the kinds of methods, "gptq3-g64", "gptq4-g128-asym:damp=0.02,act_order=off".

#include "bitlens/quantizers/gptq.hpp"
#include "bitlens/recipes/calibration_preset.hpp"
#include "bitlens/recipes/method_kinds.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bitlens {

struct gptq_method {
    static constexpr method_usage usage{
        "gptq", 2, 8,
        "-asym: on a grid that is not symmetric about 0; after ':' damp, increment, act_order, static_groups, "
        "group_aware, block, mse, fresh_groups, as in gptq3-g64:damp=0.02,act_order=off"};
    static constexpr calibration_preset calibration = gptq_calibration;

    int bits = 4;
    std::size_t group_size = 0; ///< 0: a whole row
    bool symmetric = true;
    gptq_options options{};

    bool operator==(gptq_method const&) const = default;
    static gptq_method read(method_words& words) {
        gptq_method m{words.bits(), words.group_size(), !words.flag("asym"), {}};
        gptq_options& o = m.options;
        o.damp = words.number("damp", o.damp, 0, 1);
        o.damp_increment = words.number("increment", o.damp_increment, 0, 1);
        o.act_order = words.on_off("act_order", o.act_order);
        o.static_groups = words.on_off("static_groups", o.static_groups);
        o.group_aware = words.on_off("group_aware", o.group_aware);
        o.block = words.whole_number("block", o.block, 1, 1 << 20);
        o.mse = words.number("mse", o.mse, 0, 16);
        o.fresh_groups = words.on_off("fresh_groups", o.fresh_groups);
        if (o.act_order && o.group_aware)
            words.refuse("group_aware=on orders columns within their groups, and act_order=on all of them: one of the "
                         "two is expected; act_order=off,group_aware=on");
        return m;
    }
    std::string text() const {
        const gptq_options usual;
        return detail::method_text(usage, bits, group_size) + (symmetric ? "" : "-asym") +
               option_texts()
                   .add("damp", options.damp, usual.damp)
                   .add("increment", options.damp_increment, usual.damp_increment)
                   .add("act_order", options.act_order, usual.act_order)
                   .add("static_groups", options.static_groups, usual.static_groups)
                   .add("group_aware", options.group_aware, usual.group_aware)
                   .add("block", options.block, usual.block)
                   .add("mse", options.mse, usual.mse)
                   .add("fresh_groups", options.fresh_groups, usual.fresh_groups)
                   .text();
    }
    /// Columns in an order of their own have their numbers with them.
    std::uint64_t bytes(matrix_shape shape) const {
        const bool has_order = options.act_order && !options.static_groups && group_size != 0;
        return detail::packed_bytes(shape, bits, group_size) + (has_order ? detail::order_bytes(shape) : 0);
    }
    template <quant_format F>
        requires is_uniform<F> std::optional<gptq<F>> quantizer()
    const {
        if (!detail::is_format<F>(bits, group_size, symmetric)) return std::nullopt;
        return gptq<F>{options};
    }
};

static_assert(method_kind<gptq_method>);

} // namespace bitlens
