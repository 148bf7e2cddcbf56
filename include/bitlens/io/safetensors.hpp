#pragma once
/// Safetensors: named tensors of one file, or of a folder of shards.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Element types in the order of alignment that the canonical writer sorts by.
enum class safetensors_type : std::uint8_t {
    boolean,
    f4,
    f6_e2m3,
    f6_e3m2,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    c64,
    f64,
    i64,
    u64,
};

struct safetensors_type_info {
    std::string_view name;
    std::size_t bits;
};

/// One entry for each safetensors_type, in its order.
inline constexpr std::array<safetensors_type_info, 22> safetensors_types{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};
static_assert(safetensors_types[static_cast<std::size_t>(safetensors_type::u64)].name == "U64");

constexpr safetensors_type_info const& info(safetensors_type type) noexcept {
    return safetensors_types[static_cast<std::size_t>(type)];
}

/// One tensor as it lies in a file: C order, little-endian, of any alignment. The bytes belong to the file.
struct safetensors_tensor {
    std::string name;
    safetensors_type type;
    std::vector<std::size_t> shape;
    std::span<const std::byte> bytes;

    std::size_t size() const noexcept { return bytes.size() * 8 / info(type).bits; } // elements
};

namespace detail {

/// Bytes of a tensor, or nothing if the shape overflows or ends inside a byte.
inline std::optional<std::size_t> safetensors_bytes(safetensors_type type, std::span<const std::size_t> shape) {
    const auto elements = checked_product(shape);
    if (!elements || *elements > std::numeric_limits<std::size_t>::max() / info(type).bits) return std::nullopt;
    const std::size_t bits = *elements * info(type).bits;
    if (bits % 8 != 0) return std::nullopt;
    return bits / 8;
}

} // namespace detail

/// Whether bytes begin as a safetensors file does: a length of 8 bytes, then a JSON object.
inline bool begins_as_safetensors(std::span<const std::byte> bytes) noexcept {
    return bytes.size() > sizeof(std::uint64_t) && bytes[sizeof(std::uint64_t)] == std::byte{'{'};
}

/// A mapped safetensors file, all of its header checked.
/// Errors: io_error if it cannot be opened; format_error naming file and tensor for a header that is no JSON object of
/// exactly dtype, shape and data_offsets each, for a shape that does not fit its bytes, and for tensors that do not
/// cover the data section exactly once (holes, overlaps, bytes after the last). Values are not checked.
class safetensors_file {
public:
    explicit safetensors_file(std::filesystem::path const& path)
        : file_(std::make_shared<const mapped_file>(path)), who_(path.string()) {
        if (!begins_as_safetensors(file_->bytes())) refuse_foreign(file_->bytes(), who_, "a safetensors file");
        byte_cursor cursor(file_->bytes(), who_);
        const auto header_bytes = cursor.number<std::uint64_t>("header length");
        if (header_bytes > longest_header)
            throw format_error(who_ + ": header length: at most " + std::to_string(longest_header) +
                               " bytes are expected, " + std::to_string(header_bytes) + " were found");
        const auto header = as_text(cursor.take(header_bytes, "header"));
        if (!header.starts_with('{')) throw format_error(who_ + ": header: it must begin with {");
        const json parsed = parse_json(header, who_ + ": header");
        const auto data = cursor.take(cursor.left(), "data");
        for (auto const& [name, entry] : parsed.items()) {
            if (name == "__metadata__")
                read_metadata(entry);
            else
                read_tensor(name, entry, data);
        }
        check_cover(data);
    }

    /// Sorted by name.
    std::span<const safetensors_tensor> tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    safetensors_tensor const* find(std::string_view name) const noexcept {
        const auto place = std::ranges::lower_bound(tensors_, name, {}, &safetensors_tensor::name);
        return place == tensors_.end() || place->name != name ? nullptr : &*place;
    }
    /// Errors: format_error if there is none of that name.
    safetensors_tensor const& tensor(std::string_view name) const {
        if (auto const* const found = find(name)) return *found;
        throw format_error(who_ + ": there is no tensor " + in_quotes(name));
    }
    std::map<std::string, std::string> const& metadata() const noexcept { return metadata_; }
    std::filesystem::path const& path() const noexcept { return file_->path(); }
    /// Keeps the bytes of the tensors alive after this object is gone.
    std::shared_ptr<const mapped_file> mapping() const noexcept { return file_; }

private:
    static constexpr std::uint64_t longest_header = 100'000'000; // as the reference reader

    void read_metadata(json const& entry) {
        if (!entry.is_object()) throw format_error(who_ + ": __metadata__: an object of strings is expected");
        for (auto const& item : entry.items()) {
            auto const* const text = item.value().get_ptr<std::string const*>();
            if (!text)
                throw format_error(who_ + ": __metadata__: " + in_quotes(item.key()) + ": a string is expected, " +
                                   item.value().type_name() + " was found");
            metadata_.emplace(item.key(), *text);
        }
    }

    void read_tensor(std::string const& name, json const& entry, std::span<const std::byte> data) {
        const std::string who = who_ + ": tensor " + in_quotes(name);
        if (name.empty() || name.find('\0') != std::string::npos)
            throw format_error(who + ": a name may not be empty or hold a zero byte");
        if (detail::expect_object(entry, who).size() != 3)
            throw format_error(who + ": exactly dtype, shape and data_offsets are expected, " +
                               std::to_string(entry.size()) + " keys were found");
        const auto type_name = required<std::string>(entry, "dtype", who);
        const auto type = std::ranges::find(safetensors_types, type_name, &safetensors_type_info::name);
        if (type == safetensors_types.end())
            throw format_error(who + ": dtype " + in_quotes(type_name) + " is not known");
        auto shape = required<std::vector<std::size_t>>(entry, "shape", who);
        const auto offsets = required<std::vector<std::size_t>>(entry, "data_offsets", who);
        if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size())
            throw format_error(who + ": data_offsets: 0 ≤ begin ≤ end ≤ " + std::to_string(data.size()) +
                               " is expected, " + shape_text(offsets).substr(0, 100) + " was found");
        const auto id = static_cast<safetensors_type>(type - safetensors_types.begin());
        const auto bytes = detail::safetensors_bytes(id, shape);
        if (bytes != offsets[1] - offsets[0])
            throw format_error(who + ": data_offsets: " + std::to_string(offsets[1] - offsets[0]) +
                               " bytes were found, " + type_name + " of shape " + shape_text(shape) + " needs " +
                               (bytes ? std::to_string(*bytes) : "no possible number"));
        tensors_.push_back({name, id, std::move(shape), data.subspan(offsets[0], *bytes)});
    }

    /// Tensors that follow each other without hole or overlap from the first to the last byte leave no room for
    /// anything hidden.
    void check_cover(std::span<const std::byte> data) const {
        std::vector<safetensors_tensor const*> order;
        for (auto const& t : tensors_) order.push_back(&t);
        std::ranges::sort(order, {}, [](auto const* t) { return std::pair(t->bytes.data(), t->bytes.size()); });
        std::byte const* next = data.data();
        for (auto const* t : order) {
            if (t->bytes.data() != next)
                throw format_error(who_ + ": tensor " + in_quotes(t->name) + ": data_offsets: begin at " +
                                   std::to_string(next - data.data()) + " is expected, " +
                                   std::to_string(t->bytes.data() - data.data()) + " was found (a hole or an overlap)");
            next += t->bytes.size();
        }
        if (next != data.data() + data.size())
            throw format_error(who_ + ": " + std::to_string(data.data() + data.size() - next) +
                               " bytes follow the last tensor");
    }

    std::shared_ptr<const mapped_file> file_;
    std::string who_;
    std::vector<safetensors_tensor> tensors_; // sorted by name: parse_json sorts keys by bytes
    std::map<std::string, std::string> metadata_;
};

/// A tensor of a folder and the file that holds it, whose mapping() keeps the bytes alive.
struct placed_safetensors_tensor {
    safetensors_tensor const* tensor;
    safetensors_file const* file;
};

/// The safetensors of a Hugging Face folder: `model.safetensors`, or else the shards that
/// `model.safetensors.index.json` names.
/// Errors: those of safetensors_file; format_error for a shard name that leaves the folder, a shard that is missing, a
/// tensor that is not in its shard, and a shard with tensors that the index does not give to it (a stale index).
class safetensors_folder {
public:
    explicit safetensors_folder(std::filesystem::path const& folder) : folder_(folder) {
        const auto single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
        if (is_there(single))
            files_.emplace_back(single);
        else if (is_there(index))
            read_index(index);
        else
            throw io_error(folder.string() + ": holds neither model.safetensors nor model.safetensors.index.json");
        for (auto const& file : files_)
            for (auto const& t : file.tensors()) {
                by_name_.add(t.name, tensors_.size());
                tensors_.push_back({&t, &file});
            }
        by_name_.sort();
    }

    safetensors_folder(safetensors_folder&&) = default;
    safetensors_folder& operator=(safetensors_folder&&) = default;
    safetensors_folder(safetensors_folder const&) = delete; // tensors_ points into files_
    safetensors_folder& operator=(safetensors_folder const&) = delete;

    /// The files in use, sorted by name; the index is not among them.
    std::span<const safetensors_file> files() const noexcept { return files_; }
    /// All tensors, file by file.
    std::span<const placed_safetensors_tensor> tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    safetensors_tensor const* find(std::string_view name) const noexcept {
        const auto place = by_name_.find(name);
        return place ? tensors_[*place].tensor : nullptr;
    }
    /// Errors: format_error if there is none of that name.
    safetensors_tensor const& tensor(std::string_view name) const {
        if (auto const* const found = find(name)) return *found;
        throw format_error(folder_.string() + ": there is no tensor " + in_quotes(name));
    }

private:
    void read_index(std::filesystem::path const& path) {
        const std::string who = path.string();
        const json index = read_json_file(path);
        std::vector<std::string_view> tensors; // by name, as parse_json sorts keys
        name_index by_file;                    // places in `tensors`
        for (auto const& item : required_object(index, "weight_map", who).items()) {
            auto const* const file = item.value().get_ptr<std::string const*>();
            if (!file) detail::refuse_json(item.value(), item.key(), who + ": weight_map", "a string");
            std::string const& name = *file;
            if (name.empty() || name == "." || name == ".." ||
                name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
                throw format_error(who + ": weight_map: " + in_quotes(item.key()) +
                                   ": the name of a file of this folder is expected, " + in_quotes(name) +
                                   " was found");
            by_file.add(name, tensors.size());
            tensors.push_back(item.key());
        }
        by_file.sort();
        require_shards(path, by_file, tensors);
        for (auto left = by_file.entries(); !left.empty();) {
            std::size_t count = 1;
            while (count < left.size() && left[count].name == left[0].name) ++count;
            read_shard(path, left.first(count), tensors);
            left = left.subspan(count);
        }
    }

    /// All that are missing at once: a download that was cut lacks several.
    void require_shards(std::filesystem::path const& index, name_index const& by_file,
                        std::span<const std::string_view> tensors) const {
        std::vector<name_index::entry> missing;
        std::size_t shards = 0;
        std::string_view last;
        for (auto const& e : by_file.entries()) {
            if (e.name == last) continue;
            last = e.name;
            ++shards;
            if (!is_there(folder_ / e.name)) missing.push_back(e);
        }
        if (missing.empty()) return;
        constexpr std::size_t shown = 3;
        std::string names;
        for (std::size_t i = 0; i < std::min(missing.size(), shown); ++i)
            names += (i == 0 ? "" : ", ") + in_quotes(missing[i].name);
        if (missing.size() > shown) names += ", …";
        throw io_error(index.string() + ": " + std::to_string(missing.size()) + " of the " + std::to_string(shards) +
                       " shards that it names " + (missing.size() == 1 ? "is" : "are") + " missing in the folder: " +
                       names + " (with " + in_quotes(tensors[missing[0].place]) + "); fetch what is missing");
    }

    /// The shard that the entries of the index name: it has the tensors at their places, and no other.
    void read_shard(std::filesystem::path const& index, std::span<const name_index::entry> entries,
                    std::span<const std::string_view> names) {
        const auto shard = index.parent_path() / entries[0].name;
        const std::string index_name = in_quotes(index.filename().string());
        auto const& file = files_.emplace_back(shard);
        for (auto const& e : entries) file.tensor(names[e.place]); // refuses one that it has not
        for (std::size_t i = 0; i < file.tensors().size(); ++i) {  // both by name
            auto const& name = file.tensors()[i].name;
            if (i == entries.size() || name != names[entries[i].place])
                throw format_error(shard.string() + ": tensor " + in_quotes(name) + " is not given to this file by " +
                                   index_name);
        }
    }

    std::filesystem::path folder_;
    std::vector<safetensors_file> files_;
    std::vector<placed_safetensors_tensor> tensors_;
    name_index by_name_; // places in tensors_
};

} // namespace bitlens
