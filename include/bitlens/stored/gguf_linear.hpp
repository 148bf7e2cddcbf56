#pragma once
/// gguf_linear: a matrix in blocks of GGUF, kept as the codes and scales that they consist of.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace bitlens {

/// w = scale · level[code] (+ offset): groups of 32, of 16 in Q2_K, Q3_K and Q6_K. Scales and offsets are the products
/// that a super-block stores factors of; they are exact in float, so that the weights are those of the decoder.
class gguf_linear final : public stored_linear {
public:
    /// t: a matrix of a type with parts, whose bytes `mapping` keeps. file: named in errors.
    gguf_linear(gguf_tensor const& t, std::string file, std::shared_ptr<const mapped_file> mapping)
        : stored_linear(t.rows(), t.cols(), std::move(file) + ": tensor " + in_quotes(t.name)), tensor_(t),
          mapping_(std::move(mapping)) {
        BITLENS_ASSERT(t.type->parts != nullptr);
    }

    std::string type() const override { return std::string(tensor_.type->name); }
    std::size_t bytes() const override { return tensor_.bytes.size(); }
    std::optional<coded_matrix> form() const override { return empty(1); }

private:
    coded_matrix read_numbers() const override {
        auto m = empty(rows());
        gguf_block_type const& type = *tensor_.type;
        const std::size_t blocks = cols() / type.elements, block_groups = type.elements / type.parts->group;
        std::array<float, most_groups> unused; // where there are no offsets
        std::byte const* block = tensor_.bytes.data();
        for (std::size_t r = 0; r < rows(); ++r) {
            for (std::size_t b = 0; b < blocks; ++b, block += type.bytes) {
                float* const offsets =
                    type.parts->has_offsets ? m.offsets.row(r).data() + b * block_groups : unused.data();
                type.parts->take_apart(block, m.codes.row(r).data() + b * type.elements,
                                       m.scales.row(r).data() + b * block_groups, offsets);
            }
        }
        return m;
    }

    static constexpr std::size_t most_groups = 16; // of a block

    coded_matrix empty(std::size_t rows) const {
        auto const& parts = *tensor_.type->parts;
        coded_matrix m(parts.bits, rows, cols(), parts.group);
        if (parts.has_offsets) m.offsets = matrix<float>(rows, m.groups());
        m.levels.assign(parts.levels.begin(), parts.levels.end());
        return m;
    }

    gguf_tensor tensor_;
    std::shared_ptr<const mapped_file> mapping_; // keeps the bytes alive
};

} // namespace bitlens
