#pragma once
/// coded_matrix: a weight matrix in codes whose rule is known at run time only: what the checkpoints of others are read
/// into and written from, and packed_as, which finds the format that holds one exactly.

#include "bitlens/core/view.hpp"
#include "bitlens/formats/mixed_matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// w(r, order[k]) = fl32(fl32(scales(r, g) · (levels[codes(r, k)] − zeros(r, g))) + offsets(r, g)), g = ⌊k /
/// group_columns⌋. What is empty is left out of the rule: no zeros, no offsets, the codes themselves for levels, and
/// each column at its own place.
struct coded_matrix {
    int bits = 0;                     ///< of a code, 1 … 8
    std::size_t group_columns = 0;    ///< of every group but a short last one
    matrix<std::uint8_t> codes;       ///< (rows, places), each below 2^bits
    matrix<float> scales;             ///< (rows, groups)
    matrix<float> zeros;              ///< (rows, groups)
    matrix<float> offsets;            ///< (rows, groups)
    std::vector<float> levels;        ///< 2^bits
    std::vector<std::uint32_t> order; ///< the column of each place

    coded_matrix() = default;
    /// All codes and scales 0; group 0: a whole row.
    coded_matrix(int code_bits, std::size_t rows, std::size_t cols, std::size_t group)
        : bits(code_bits), group_columns(group == 0 ? std::max<std::size_t>(1, cols) : group), codes(rows, cols),
          scales(rows, cols / group_columns + (cols % group_columns != 0)) {}

    std::size_t rows() const noexcept { return codes.rows(); }
    std::size_t cols() const noexcept { return codes.cols(); }
    std::size_t groups() const noexcept { return scales.cols(); }
    float level(std::uint8_t code) const noexcept { return levels.empty() ? static_cast<float>(code) : levels[code]; }

    /// The weight at place k of row r.
    float value_at(std::size_t r, std::size_t k) const noexcept {
        const std::size_t g = k / group_columns;
        const float steps = level(codes(r, k)) - (zeros.rows() == 0 ? 0.0f : zeros(r, g));
        const float scaled = scales(r, g) * steps;
        return offsets.rows() == 0 ? scaled : scaled + offsets(r, g);
    }
    /// Row r, column by column.
    void read_row(std::size_t r, std::span<float> to) const noexcept {
        BITLENS_ASSERT(to.size() == cols());
        for (std::size_t k = 0; k < to.size(); ++k) to[order.empty() ? k : order[k]] = value_at(r, k);
    }

    /// Rows source(0) … source(count − 1).
    template <class Source>
    coded_matrix with_rows(std::size_t count, Source const& source) const {
        coded_matrix m;
        m.bits = bits;
        m.group_columns = group_columns;
        m.levels = levels;
        m.order = order;
        const auto take = [&]<class T>(matrix<T> const& from, matrix<T>& to) {
            if (from.rows() == 0) return;
            to = matrix<T>(count, from.cols());
            for (std::size_t r = 0; r < count; ++r) std::ranges::copy(from.row(source(r)), to.row(r).begin());
        };
        take(codes, m.codes);
        take(scales, m.scales);
        take(zeros, m.zeros);
        take(offsets, m.offsets);
        return m;
    }
};

/// A packed matrix, code by code.
template <quant_format F>
coded_matrix coded(packed_matrix<F> const& w) {
    coded_matrix m(F::bits, w.rows(), w.cols(), F::group_size);
    if constexpr (F::has_zero) m.zeros = matrix<float>(w.rows(), w.groups());
    if constexpr (detail::has_offset<F>) m.offsets = matrix<float>(w.rows(), w.groups());
    m.levels.assign(F::codebook.begin(), F::codebook.end());
    m.order.assign(w.order().begin(), w.order().end());
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t k = 0; k < w.cols(); ++k) m.codes(r, k) = w.code_at(r, k);
        for (std::size_t g = 0; g < w.groups(); ++g) {
            m.scales(r, g) = w.scale(r, g);
            if constexpr (F::has_zero) m.zeros(r, g) = static_cast<float>(w.zero(r, g));
            if constexpr (detail::has_offset<F>) m.offsets(r, g) = w.offset(r, g);
        }
    }
    return m;
}

namespace detail {

/// The zero that all groups share; nothing where they differ.
inline std::optional<float> common_zero(coded_matrix const& m) {
    if (m.zeros.rows() == 0) return 0.0f;
    if (m.zeros.rows() * m.zeros.cols() == 0) return std::nullopt;
    const float first = m.zeros(0, 0);
    for (std::size_t r = 0; r < m.zeros.rows(); ++r)
        for (const float z : m.zeros.row(r))
            if (z != first) return std::nullopt;
    return first;
}
/// Whether each zero is an integer that a code can be.
inline bool has_code_zeros(coded_matrix const& m) {
    const float end = static_cast<float>(1u << m.bits);
    for (std::size_t r = 0; r < m.zeros.rows(); ++r)
        for (const float z : m.zeros.row(r))
            if (!(z >= 0 && z < end && z == std::floor(z))) return false;
    return true;
}
/// Whether scales multiply codes exactly, as offsets want it.
inline bool are_products_exact(coded_matrix const& m) {
    for (std::size_t r = 0; r < m.scales.rows(); ++r)
        for (const float s : m.scales.row(r))
            if (!has_exact_products(s, m.bits)) return false;
    return true;
}

/// What a search for a format needs to know of a matrix, once.
struct coded_rule {
    coded_matrix const& m;
    std::optional<float> zero = common_zero(m);
    bool zeros_are_codes = has_code_zeros(m);
    bool has_offsets = m.offsets.rows() != 0;
    bool takes_offsets = has_offsets && are_products_exact(m);

    /// Whether F writes every weight as the rule does. Groups may be cut into equal ones that share a scale.
    template <quant_format F>
    bool fits() const {
        if (F::bits != m.bits || has_offset<F> != has_offsets || (has_offsets && !takes_offsets)) return false;
        if constexpr (F::group_size == 0) {
            if (m.groups() > 1) return false;
        } else {
            if (m.groups() > 1 && m.group_columns % F::group_size != 0) return false;
            if (whole_groups_only<F> && m.cols() % F::group_size != 0) return false;
        }
        const float taken = F::has_zero ? 0.0f : zero.value_or(0.0f);
        if (F::has_zero ? !zeros_are_codes : !zero.has_value()) return false;
        for (std::size_t q = 0; q < F::codebook.size(); ++q)
            if (m.level(static_cast<std::uint8_t>(q)) - taken != F::codebook[q]) return false;
        return true;
    }
};

/// Bytes of the groups of a row.
template <quant_format F>
constexpr std::size_t group_bytes(std::size_t cols) noexcept {
    const std::size_t groups = F::group_size == 0 ? 1 : (cols + F::group_size - 1) / F::group_size;
    return groups * (sizeof(float) + (F::has_zero ? 1 : 0) + (has_offset<F> ? sizeof(float) : 0));
}

/// Scales, and zeros or offsets where `to` has them, of groups that may be shorter than those of m.
inline void write_groups(coded_matrix const& m, packed_arrays& to) {
    for (std::size_t r = 0; r < m.rows(); ++r) {
        const row_storage row = to.row(r);
        for (std::size_t g = 0; g < to.groups; ++g) {
            const std::size_t from = std::min(g * to.group_columns / m.group_columns, m.groups() - 1);
            row.scales[g] = m.scales(r, from);
            if (row.zeros != nullptr)
                row.zeros[g] = m.zeros.rows() == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(m.zeros(r, from));
            if (row.offsets != nullptr) row.offsets[g] = m.offsets(r, from);
        }
    }
}

template <quant_format F>
packed_matrix<F> packed_to(coded_matrix const& m) {
    packed_matrix<F> w(m.rows(), m.cols());
    for (std::size_t r = 0; r < m.rows(); ++r) write_code_row<F::bits>(m.codes.row(r), w.arrays().row(r).codes);
    write_groups(m, w.arrays());
    if (!m.order.empty()) w.set_order(m.order);
    return w;
}

template <weight_format... F>
std::optional<mixed_matrix<F...>> packed_as_listed(coded_matrix const& m, std::type_identity<mixed_matrix<F...>>) {
    const coded_rule rule{m};
    constexpr std::size_t none = sizeof...(F);
    std::size_t best = none, fewest = std::numeric_limits<std::size_t>::max(), place = 0;
    const auto consider = [&]<class G>(std::type_identity<G>) {
        if constexpr (quant_format<G>)
            if (const std::size_t bytes = group_bytes<G>(m.cols()); bytes < fewest && rule.template fits<G>()) {
                best = place;
                fewest = bytes;
            }
        ++place;
    };
    (consider(std::type_identity<F>{}), ...);
    std::optional<mixed_matrix<F...>> w;
    if (best == none) return w;
    place = 0;
    const auto pack = [&]<class G>(std::type_identity<G>) {
        if constexpr (quant_format<G>)
            if (place == best) w.emplace(packed_to<G>(m));
        ++place;
    };
    (pack(std::type_identity<F>{}), ...);
    return w;
}

} // namespace detail

/// m in that of W's low-bit formats which holds every weight of it and needs the fewest bytes; nothing where none does.
template <class W>
    requires is_mixed_matrix<W> std::optional<W> packed_as(coded_matrix const& m) {
        return detail::packed_as_listed(m, std::type_identity<W>{});
    }

/// m as floats.
inline packed_matrix<dense<float>> decoded(coded_matrix const& m) {
    packed_matrix<dense<float>> w(m.rows(), m.cols());
    for (std::size_t r = 0; r < m.rows(); ++r) m.read_row(r, w.writable_row(r));
    return w;
}

} // namespace bitlens
