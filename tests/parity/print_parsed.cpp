/// Reads the files that standard input names, one a line, each by the parser of its extension (.npy, .npz,
/// .safetensors, .gguf, .json), and prints for each a line of JSON: what was read, numbers as their SHA-256, or
/// {"refused": why}.

#include "npy_numbers.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/io/sha256.hpp"

#include <bit>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace bitlens;

/// Type, shape, and the numbers in C order.
json describe(npy_array const& array) {
    const std::string numbers = test::visit_type(array.type, [&]<class T>(T) {
        const std::vector<T> values = array.values<T>();
        const auto all = test::contiguous(values);
        return sha256_of(std::as_bytes(std::span<const T>(all.get(), values.size())));
    });
    return {{"type", info(array.type).descr}, {"shape", array.shape}, {"sha256", numbers}};
}

json read_npz(std::filesystem::path const& path) {
    const npz_reader file(path);
    json all = json::object();
    for (auto const& name : file.names()) all[name] = describe(file.array(name));
    return all;
}

json read_safetensors(std::filesystem::path const& path) {
    const safetensors_file file(path);
    json tensors = json::object();
    for (auto const& t : file.tensors())
        tensors[t.name] = {{"type", info(t.type).name}, {"shape", t.shape}, {"sha256", sha256_of(t.bytes)}};
    return {{"metadata", file.metadata()}, {"tensors", tensors}};
}

/// Floats as the bits of the double, strings as their SHA-256: JSON has neither NaN nor bytes.
json describe(std::string_view text) { return sha256_of(text); }
json describe(double x) { return std::bit_cast<std::uint64_t>(x); }
json describe(std::int64_t x) { return x; }
json describe(std::uint64_t x) { return x; }
json describe(bool x) { return x; }

template <class T>
json describe(gguf_file const& file, gguf_value const& value) {
    if (value.type != gguf_type::array) return describe(file.required<T>(value.key));
    json all = json::array();
    for (auto const& element : file.required<std::vector<T>>(value.key)) all.push_back(describe(T(element)));
    return all;
}

json describe(gguf_file const& file, gguf_value const& value) {
    switch (value.element) {
    case gguf_type::string:
        return describe<std::string_view>(file, value);
    case gguf_type::boolean:
        return describe<bool>(file, value);
    case gguf_type::float32:
    case gguf_type::float64:
        return describe<double>(file, value);
    case gguf_type::uint64:
        return describe<std::uint64_t>(file, value);
    default:
        return describe<std::int64_t>(file, value);
    }
}

json describe(gguf_file const& file, gguf_tensor const& t) {
    json all{{"type", t.type->name}, {"shape", t.shape()}, {"sha256", sha256_of(t.bytes)}};
    if (t.type->decode != nullptr) {
        matrix<float> numbers(t.rows(), t.cols());
        file.decode_rows(t, 0, t.rows(), numbers);
        all["decoded"] = sha256_of(std::as_bytes(numbers.span()));
    }
    return all;
}

json read_gguf(std::filesystem::path const& path) {
    const gguf_file file(path);
    json metadata = json::object(), tensors = json::object();
    for (auto const& value : file.metadata())
        metadata[std::string(value.key)] = {
            {"type", name(value.type)}, {"element", name(value.element)}, {"value", describe(file, value)}};
    for (auto const& t : file.tensors()) tensors[std::string(t.name)] = describe(file, t);
    return {{"metadata", metadata}, {"tensors", tensors}};
}

json read(std::filesystem::path const& path) {
    const auto extension = path.extension();
    if (extension == ".npy") return describe(read_npy(path));
    if (extension == ".npz") return read_npz(path);
    if (extension == ".safetensors") return read_safetensors(path);
    if (extension == ".gguf") return read_gguf(path);
    return {{"value", read_json_file(path)}};
}

} // namespace

int main() {
    for (std::string path; std::getline(std::cin, path);) {
        json answer;
        try {
            answer = read(path);
        } catch (error const& e) {
            answer = {{"refused", e.what()}};
        }
        std::cout << answer.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
    }
}
