#pragma once
/// write_safetensors: named tensors into one file, in canonical form.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/safetensors.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// A tensor to write; its bytes are borrowed.
struct safetensors_entry {
    std::string name;
    safetensors_type type;
    std::vector<std::size_t> shape;
    std::span<const std::byte> bytes;
};

/// Writes the canonical form: tensors by falling alignment of their type, then by name; compact JSON, padded with
/// spaces to a multiple of 8. Equal tensors make equal files, whatever their order.
/// Errors: shape_error if bytes and shape differ, format_error for a name that occurs twice or is no UTF-8, io_error as
/// atomic_file.
inline void write_safetensors(std::filesystem::path const& path, std::vector<safetensors_entry> tensors,
                              std::map<std::string, std::string> const& metadata = {}) {
    std::ranges::sort(
        tensors, [](auto const& a, auto const& b) { return a.type != b.type ? a.type > b.type : a.name < b.name; });
    std::string text = "{";
    const auto add = [&](std::string const& name, std::string const& value) {
        text += (text.size() > 1 ? "," : "") + json_text(name, path.string() + ": name of a tensor") + ":" + value;
    };
    if (!metadata.empty()) add("__metadata__", json_text(metadata, path.string() + ": __metadata__"));
    std::set<std::string_view> names{"", "__metadata__"};
    std::size_t end = 0;
    for (auto const& t : tensors) {
        const std::string who = path.string() + ": tensor " + in_quotes(t.name);
        if (detail::safetensors_bytes(t.type, t.shape) != t.bytes.size())
            throw shape_error(who + ": " + std::to_string(t.bytes.size()) + " bytes do not fit " +
                              std::string(info(t.type).name) + " of shape " + shape_text(t.shape));
        if (!names.insert(t.name).second) throw format_error(who + ": each tensor needs a name of its own");
        add(t.name, R"({"dtype":")" + std::string(info(t.type).name) + R"(","shape":)" + json(t.shape).dump() +
                        R"(,"data_offsets":[)" + std::to_string(end) + "," + std::to_string(end + t.bytes.size()) +
                        "]}");
        end += t.bytes.size();
    }
    text += '}';
    text.append((8 - text.size() % 8) % 8, ' ');
    atomic_file file(path);
    const std::uint64_t length = text.size();
    file.write(std::as_bytes(std::span(&length, 1)));
    file.write(text);
    for (auto const& t : tensors) file.write(t.bytes);
    file.commit();
}

} // namespace bitlens
