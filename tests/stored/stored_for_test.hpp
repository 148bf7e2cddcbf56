#pragma once
/// Linear layers in the layouts of others, written tensor by tensor for a test to read.

#include "bitlens/core/half.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/io/safetensors_writer.hpp"
#include "bitlens/stored/find_stored_linear.hpp"
#include "bitlens/stored/written_part.hpp"

#include "keeps_to_form.hpp"
#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::test {

using part = written_part;

template <class T>
std::vector<std::byte> bytes_of(std::vector<T> const& numbers) {
    std::vector<std::byte> bytes(numbers.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
    return bytes;
}
inline part words(std::string suffix, std::vector<std::size_t> shape, std::vector<std::uint32_t> const& numbers) {
    return {std::move(suffix), safetensors_type::i32, std::move(shape), bytes_of(numbers)};
}
inline part floats(std::string suffix, std::vector<std::size_t> shape, std::vector<float> const& numbers) {
    return {std::move(suffix), safetensors_type::f32, std::move(shape), bytes_of(numbers)};
}
inline part halves(std::string suffix, std::vector<std::size_t> shape, std::vector<float> const& numbers) {
    std::vector<std::uint16_t> bits;
    for (const float x : numbers) bits.push_back(f16(x).bits);
    return {std::move(suffix), safetensors_type::f16, std::move(shape), bytes_of(bits)};
}

/// A layer as a file of these parts has it. What is said beside the file is a JSON object.
class written_layer {
public:
    explicit written_layer(std::vector<part> const& parts, json const& description = json::object())
        : files_(write(folder_, parts)), tensors_(find_linear_tensors(files_.tensors()).at("layer")),
          description_(description, "config.json: key \"quantization_config\"") {}

    std::shared_ptr<const stored_linear> linear() const { return find_stored_linear(tensors_, description_); }
    coded_matrix read() const {
        const auto found = linear();
        auto m = found->read();
        if (const auto form = found->form()) CHECK(keeps_to_form(*form, m));
        return m;
    }
    /// What it is refused with; "no refusal" where it is read.
    std::string refusal() const {
        try {
            static_cast<void>(read());
        } catch (format_error const& e) {
            return e.what();
        }
        return "no refusal";
    }

private:
    static safetensors_folder write(temporary_folder const& folder, std::vector<part> const& parts) {
        std::vector<safetensors_entry> entries;
        for (auto const& p : parts) entries.push_back({"layer." + p.suffix, p.type, p.shape, p.bytes});
        write_safetensors(folder / "model.safetensors", std::move(entries));
        return safetensors_folder(folder.path());
    }

    temporary_folder folder_;
    safetensors_folder files_;
    linear_tensors tensors_;
    quantization_description description_;
};

} // namespace bitlens::test
