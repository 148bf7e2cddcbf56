#pragma once
/// write_gguf_model: a GGUF checkpoint once more, with some of its tensors replaced.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/gguf_writer.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/stored_tensor.hpp"
#include "bitlens/stored/gguf_blocks_of.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

class gguf_model_writer {
public:
    explicit gguf_model_writer(checkpoint const& source) : contents_(*source.contents_) {
        if (!contents_.gguf)
            throw option_error(contents_.path.string() +
                               ": a GGUF file is expected, from which metadata and tokenizer of another are taken");
        for (auto const& t : contents_.tensors) held_[t.blocks].push_back(&t);
        for (auto& [blocks, parts] : held_) std::ranges::sort(parts, {}, &stored_tensor::first_row);
    }

    template <class MatrixOf, class VectorOf>
    void write(std::filesystem::path const& path, MatrixOf const& matrix_of, VectorOf const& vector_of) {
        auto const& tensors = contents_.gguf->tensors();
        std::vector<gguf_entry> entries;
        std::vector<std::optional<std::vector<std::byte>>> replaced(tensors.size());
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            entries.push_back({std::string(tensors[i].name), tensors[i].type, tensors[i].shape()});
            if (const auto place = held_.find(&tensors[i]); place == held_.end())
                continue;
            else if (tensors[i].rank == 2)
                replaced[i] = matrix_bytes(place->second, matrix_of, entries.back());
            else if (tensors[i].rank == 1)
                replaced[i] = vector_bytes(place->second, vector_of, entries.back());
        }
        write_gguf(path, values(), entries, [&](std::size_t i) -> std::span<const std::byte> {
            return replaced[i] ? std::span<const std::byte>(*replaced[i]) : tensors[i].bytes;
        });
    }

private:
    using held_tensors = std::vector<stored_tensor const*>;

    /// The types that may hold codes, by their bits.
    static constexpr std::array<std::uint32_t, 5> code_types{2, 3, 6, 7, 8};
    /// general.file_type of a model that is mostly of that type.
    static constexpr std::array<std::uint32_t, 5> file_types{2, 3, 8, 9, 7};

    template <class MatrixOf>
    std::optional<std::vector<std::byte>> matrix_bytes(held_tensors const& parts, MatrixOf const& matrix_of,
                                                       gguf_entry& entry) {
        std::vector<coded_matrix> in_file;
        for (stored_tensor const* const t : parts)
            if (auto m = matrix_of(t->info.name)) {
                if (m->rows() != t->rows() || m->cols() != t->cols())
                    throw shape_error(t->who() + ": shape " + shape_text(t->info.shape) + " is expected, " +
                                      std::to_string(m->rows()) + " rows of " + std::to_string(m->cols()) +
                                      " were given");
                in_file.push_back(in_stored_order(std::move(*m), *t));
            }
        if (in_file.empty()) return std::nullopt;
        if (in_file.size() != parts.size())
            throw option_error(parts[0]->who() + ": is one tensor of " + std::to_string(parts.size()) +
                               " matrices, of which either all are replaced or none");
        std::exception_ptr lost;
        for (std::size_t k = 0; k < code_types.size(); ++k) {
            auto const& type = *find_gguf_block_type(code_types[k]);
            try {
                std::vector<std::byte> bytes;
                for (auto const& m : in_file) {
                    const auto more = gguf_blocks_of(m, type, parts[0]->who());
                    bytes.insert(bytes.end(), more.begin(), more.end());
                }
                entry.type = &type;
                ++written_[k];
                return bytes;
            } catch (shape_error const&) { // the first that has the bits says what would be lost
                if (!lost && type.parts->bits >= in_file[0].bits) lost = std::current_exception();
            }
        }
        std::rethrow_exception(lost);
    }

    static coded_matrix in_stored_order(coded_matrix m, stored_tensor const& t) {
        if (t.interleaved_head == 0) return m;
        std::vector<std::size_t> row_at(m.rows());
        for (std::size_t r = 0; r < m.rows(); ++r) row_at[t.stored_row(r)] = r;
        return m.with_rows(m.rows(), [&](std::size_t at) { return row_at[at]; });
    }

    template <class VectorOf>
    static std::optional<std::vector<std::byte>> vector_bytes(held_tensors const& parts, VectorOf const& vector_of,
                                                              gguf_entry& entry) {
        stored_tensor const& t = *parts[0];
        const std::optional<std::vector<float>> given = parts.size() == 1 ? vector_of(t.info.name) : std::nullopt;
        if (!given) return std::nullopt;
        if (given->size() != t.cols())
            throw shape_error(t.who() + ": " + std::to_string(t.cols()) + " numbers are expected, " +
                              std::to_string(given->size()) + " were given");
        std::vector<std::byte> bytes(given->size() * sizeof(float));
        for (std::size_t i = 0; i < given->size(); ++i)
            std::memcpy(bytes.data() + t.stored_row(i) * sizeof(float), &(*given)[i], sizeof(float));
        entry.type = find_gguf_block_type(0);
        return bytes;
    }

    gguf_values values() const {
        gguf_values all;
        for (auto const& value : contents_.gguf->metadata())
            if (!value.key.starts_with("split.")) all.copy(value);
        if (const auto most = std::ranges::max_element(written_); *most > 0) {
            all.set("general.file_type", file_types[static_cast<std::size_t>(most - written_.begin())]);
            all.set("general.quantization_version", std::uint32_t{2});
        }
        return all;
    }

    checkpoint_contents const& contents_;
    std::map<gguf_tensor const*, held_tensors> held_;
    std::array<std::size_t, code_types.size()> written_{}; // tensors of each type
};

} // namespace detail

/// Writes `source`, which is a GGUF checkpoint, as one GGUF file. matrix_of(name) and vector_of(name), asked for each
/// tensor by its Hugging Face name, give an optional coded_matrix and an optional std::vector<float> to write in its
/// place: in the first of Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 that holds the codes exactly, and as F32. Metadata and all
/// other tensors are those of the source. What replaces is held in memory until the file is written.
/// Errors: option_error for a source that is a folder, and where only some matrices of one tensor are replaced;
/// shape_error for another shape, or saying what would be lost; those of write_gguf.
template <class MatrixOf, class VectorOf>
void write_gguf_model(checkpoint const& source, std::filesystem::path const& path, MatrixOf const& matrix_of,
                      VectorOf const& vector_of) {
    detail::gguf_model_writer(source).write(path, matrix_of, vector_of);
}

} // namespace bitlens
