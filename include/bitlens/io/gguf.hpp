#pragma once
/// gguf_file: metadata by key and tensors by name of a GGUF file (versions 2 and 3), or of the parts of one, decoded to
/// float row by row.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/padded_number.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/gguf_blocks.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// Types of metadata, by their number in the file.
enum class gguf_type : std::uint32_t {
    uint8,
    int8,
    uint16,
    int16,
    uint32,
    int32,
    float32,
    boolean,
    string,
    array,
    uint64,
    int64,
    float64,
};

inline constexpr std::array<std::string_view, 13> gguf_type_names{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                                  "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::string_view name(gguf_type type) noexcept { return gguf_type_names[static_cast<std::size_t>(type)]; }

/// One piece of metadata. Key and payload lie in the file.
struct gguf_value {
    std::string_view key;
    gguf_type type;
    gguf_type element;                  // of an array; otherwise `type` again
    std::size_t count;                  // elements of an array; otherwise 1
    std::span<const std::byte> payload; // as stored, without type and count
};

/// One tensor. Name and bytes lie in the file.
struct gguf_tensor {
    std::string_view name;
    gguf_block_type const* type;
    std::array<std::size_t, 4> dims; // as stored: dims[0] is the contiguous one; 1 from `rank` on
    std::size_t rank;
    std::span<const std::byte> bytes;
    std::size_t part = 0; // of a file in several parts, from 0

    std::size_t cols() const noexcept { return dims[0]; }
    std::size_t rows() const noexcept { return dims[1] * dims[2] * dims[3]; }
    /// Outermost dimension first, as PyTorch has it.
    std::vector<std::size_t> shape() const { return {dims.rend() - static_cast<std::ptrdiff_t>(rank), dims.rend()}; }
    std::size_t row_bytes() const noexcept { return cols() / type->elements * type->bytes; }
};

namespace detail {

inline constexpr std::string_view gguf_alignment_key = "general.alignment";
inline constexpr std::size_t longest_gguf_key = 65535, longest_gguf_tensor_name = 63;

/// Whether a key or the name of a tensor may be so: not empty, UTF-8 without control characters.
inline bool is_gguf_name(std::string_view text, std::size_t most) noexcept {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    return !text.empty() && text.size() <= most && is_utf8(text) && std::ranges::none_of(text, is_control);
}

/// Bytes from n on to the next multiple of `unit`.
constexpr std::uint64_t gguf_padding(std::uint64_t n, std::uint64_t unit) noexcept { return (unit - n % unit) % unit; }

} // namespace detail

/// A mapped GGUF file, all of its structure checked. Views into it live as long as mapping() is kept.
/// Errors: io_error if it cannot be opened; format_error naming file, key or tensor, and field otherwise: what is not
/// version 2 or 3 or little-endian, strings and arrays longer than the file, nested arrays, empty or repeated keys and
/// names, unknown types, an alignment that is no power of two, shapes that overflow or cut a block, offsets that are
/// not the running sum, and data that is missing.
///
/// A model may lie in several files, NAME-00001-of-00003.gguf and so on, the first of which has the metadata and is the
/// one to open: all are read, and their tensors are those of one file.
/// Errors: io_error naming the parts that are missing; format_error for a part other than the first, one under another
/// name, and parts that do not belong together.
/// Source: ggml d99724f2, docs/gguf.md and src/gguf.cpp.
class gguf_file {
public:
    explicit gguf_file(std::filesystem::path const& path) : gguf_file(path, only_this_file{}) {
        if (const auto count = part_count(); count > 1) read_other_parts(count);
    }

    std::filesystem::path const& path() const noexcept { return parts_[0]->path(); }
    std::uint32_t version() const noexcept { return version_; }
    /// The file, or its parts in their order.
    std::span<const std::shared_ptr<const mapped_file>> parts() const noexcept { return parts_; }
    /// Keeps the bytes of a tensor alive after this object is gone.
    std::shared_ptr<const mapped_file> mapping(gguf_tensor const& t) const noexcept { return parts_[t.part]; }

    /// In the order of the file.
    std::span<const gguf_value> metadata() const noexcept { return values_; }
    /// nullptr where there is none.
    gguf_value const* find_value(std::string_view key) const noexcept {
        const auto place = values_by_key_.find(key);
        return place ? &values_[*place] : nullptr;
    }

    /// The value of `key` as T, nothing where it is absent. T: bool; an integer (any stored integer whose value fits);
    /// float or double (stored as f32 or f64); std::string or std::string_view (into the file; a scalar is UTF-8, the
    /// strings of an array are bytes); std::vector of these for an array.
    /// Errors: format_error naming file and key for another type, or a number that does not fit.
    template <class T>
    std::optional<T> if_present(std::string_view key) const {
        gguf_value const* const value = find_value(key);
        if (!value) return std::nullopt;
        return convert<T>(*value);
    }
    /// As if_present, but absent is a format_error too.
    template <class T>
    T required(std::string_view key) const {
        gguf_value const* const value = find_value(key);
        if (!value) fail("the key " + in_quotes(key) + " is missing");
        return convert<T>(*value);
    }

    /// In the order of the file.
    std::span<const gguf_tensor> tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    gguf_tensor const* find(std::string_view tensor_name) const noexcept {
        const auto place = tensors_by_name_.find(tensor_name);
        return place ? &tensors_[*place] : nullptr;
    }
    /// Errors: format_error if there is none of that name.
    gguf_tensor const& tensor(std::string_view tensor_name) const {
        if (auto const* const found = find(tensor_name)) return *found;
        fail("there is no tensor " + in_quotes(tensor_name));
    }

    /// Rows first … first + count − 1 of a tensor of this file as floats.   Shapes: out (count, cols).
    /// Errors: format_error naming file and tensor if its type has no decoder here; the range is asserted.
    void decode_rows(gguf_tensor const& from, std::size_t first, std::size_t count, matrix_view<float> out) const {
        BITLENS_ASSERT(first <= from.rows() && count <= from.rows() - first);
        BITLENS_ASSERT(out.rows == count && out.cols == from.cols());
        if (!from.type->decode)
            throw format_error(parts_[from.part]->path().string() + ": tensor " + in_quotes(from.name) + ": type " +
                               std::string(from.type->name) + " cannot be decoded");
        const std::size_t blocks = from.cols() / from.type->elements;
        for (std::size_t r = 0; r < count; ++r)
            from.type->decode(from.bytes.data() + (first + r) * from.row_bytes(), blocks, out.row(r).data());
    }

private:
    static constexpr std::uint64_t longest = std::uint64_t{1} << 30; // bytes of a string, elements of an array

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": " + what); }

    void read_version(byte_cursor& cursor) {
        version_ = cursor.number<std::uint32_t>("version");
        if (version_ != 0 && (version_ & 0xFFFFu) == 0)
            fail("version: " + std::to_string(version_ >> 24) + " in big-endian order; only little-endian is read");
        if (version_ != 2 && version_ != 3)
            fail("version: 2 or 3 is expected, " + std::to_string(version_) + " was found");
    }

    /// u64 length, bytes.
    std::string_view read_string(byte_cursor& cursor, std::string_view field) const {
        const auto length = cursor.number<std::uint64_t>(field);
        if (length > longest)
            fail(std::string(field) + ": a string of at most 2^30 bytes is expected, " + std::to_string(length) +
                 " were found");
        return as_text(cursor.take(length, field));
    }

    std::string_view read_name(byte_cursor& cursor, std::string const& field, std::size_t most) const {
        const auto text = read_string(cursor, field);
        if (!detail::is_gguf_name(text, most))
            fail(field + ": 1 to " + std::to_string(most) +
                 " bytes of UTF-8 without control characters are expected, " + std::to_string(text.size()) + " bytes " +
                 in_quotes(text) + " were found");
        return text;
    }

    gguf_type read_type(byte_cursor& cursor, std::string const& field) const {
        const auto type = cursor.number<std::uint32_t>(field);
        if (type >= gguf_type_names.size()) fail(field + ": " + std::to_string(type) + " is no type of metadata");
        return gguf_type{type};
    }

    /// Bytes of a number or bool; 0 for strings and arrays.
    static constexpr std::size_t width(gguf_type type) noexcept {
        constexpr std::array<std::size_t, gguf_type_names.size()> widths{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        return widths[static_cast<std::size_t>(type)];
    }

    void read_metadata(byte_cursor& cursor, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            gguf_value value{};
            value.key = read_name(cursor, "key " + std::to_string(i), detail::longest_gguf_key);
            const std::string field = "key " + in_quotes(value.key);
            value.type = value.element = read_type(cursor, field + ": type");
            value.count = 1;
            if (value.type == gguf_type::array) {
                value.element = read_type(cursor, field + ": element type");
                if (value.element == gguf_type::array) fail(field + ": an array of arrays is not allowed");
                const auto elements = cursor.number<std::uint64_t>(field + ": element count");
                if (elements > longest)
                    fail(field + ": an array of at most 2^30 elements is expected, " + std::to_string(elements) +
                         " were found");
                value.count = static_cast<std::size_t>(elements);
            }
            value.payload = read_payload(cursor, value, field);
            values_by_key_.add(value.key, values_.size());
            values_.push_back(value);
        }
        values_by_key_.sort();
        if (const auto twice = values_by_key_.repeated()) fail("key " + in_quotes(*twice) + " occurs twice");
    }

    std::span<const std::byte> read_payload(byte_cursor& cursor, gguf_value const& value,
                                            std::string const& field) const {
        if (value.element != gguf_type::string) {
            const auto payload = cursor.take(std::uint64_t{value.count} * width(value.element), field);
            const auto is_bool = [](std::byte b) { return std::to_integer<unsigned>(b) <= 1; };
            if (value.element == gguf_type::boolean && !std::ranges::all_of(payload, is_bool))
                fail(field + ": a bool that is neither 0 nor 1");
            return payload;
        }
        const std::size_t begin = cursor.position();
        for (std::size_t i = 0; i < value.count; ++i) {
            const auto text = read_string(cursor, field);
            if (value.type == gguf_type::string && !is_utf8(text)) fail(field + ": a string that is no UTF-8");
        }
        return file_.subspan(begin, cursor.position() - begin);
    }

    struct only_this_file {};
    gguf_file(std::filesystem::path const& path, only_this_file)
        : parts_{std::make_shared<const mapped_file>(path)}, file_(parts_[0]->bytes()), who_(path.string()) {
        byte_cursor cursor(file_, who_);
        if (!as_text(file_).starts_with("GGUF")) refuse_foreign(file_, who_, "a GGUF file");
        if (as_text(cursor.take(4, "magic")) != "GGUF") fail("magic: GGUF is expected: this is no GGUF file");
        read_version(cursor);
        const auto tensors = cursor.number<std::uint64_t>("tensor count");
        const auto values = cursor.number<std::uint64_t>("metadata count");
        read_metadata(cursor, values);
        read_tensors(cursor, tensors);
        place_tensors(cursor);
    }

    static constexpr std::string_view part_key = "split.no", count_key = "split.count",
                                      all_tensors_key = "split.tensors.count";

    std::uint64_t part_count() const { return if_present<std::uint16_t>(count_key).value_or(1); }

    /// "-00002-of-00003.gguf" of part 1.
    static std::string part_ending(std::size_t part, std::size_t count) {
        return "-" + padded_number(part + 1, 5) + "-of-" + padded_number(count, 5) + ".gguf";
    }

    /// This is the first part of `count`, or it is refused.
    void read_other_parts(std::size_t count) {
        const std::string name = path().filename().string();
        const auto part = required<std::uint16_t>(part_key);
        const std::string which =
            "this is part " + std::to_string(std::size_t{part} + 1) + " of " + std::to_string(count) + " of a model";
        const std::string ending = part_ending(part, count);
        if (part >= count || !name.ends_with(ending) || name == ending)
            fail("key " + in_quotes(part_key) + ": " + which + ", whose name would end with " + in_quotes(ending));
        const auto path_of = [&](std::size_t k) {
            return path().parent_path() / (name.substr(0, name.size() - ending.size()) + part_ending(k, count));
        };
        if (part != 0) fail(which + "; the first, " + path_of(0).string() + ", is expected, which stands for them all");
        require_parts(count, path_of);
        for (std::size_t k = 1; k < count; ++k) add_part(k, gguf_file(path_of(k), only_this_file{}));
        if (const auto all = if_present<std::uint64_t>(all_tensors_key); all && *all != tensors_.size())
            fail("key " + in_quotes(all_tensors_key) + ": " + std::to_string(*all) + " tensors are expected, " +
                 std::to_string(tensors_.size()) + " were found in " + std::to_string(count) + " parts");
        tensors_by_name_.sort();
        if (const auto twice = tensors_by_name_.repeated())
            fail("tensor " + in_quotes(*twice) + " occurs in two of its parts");
    }

    /// All that are missing at once: a download that was cut lacks several.
    template <class PathOf>
    void require_parts(std::size_t count, PathOf const& path_of) const {
        constexpr std::size_t shown = 3;
        std::size_t missing = 0;
        std::string names;
        for (std::size_t k = 1; k < count; ++k) {
            if (is_there(path_of(k))) continue;
            if (missing < shown)
                names += (missing == 0 ? "" : ", ") + in_quotes(path_of(k).filename().string());
            else if (missing == shown)
                names += ", …";
            ++missing;
        }
        if (missing == 0) return;
        throw io_error(who_ + ": " + std::to_string(missing) + " of the " + std::to_string(count) +
                       " parts of this model " + (missing == 1 ? "is" : "are") + " missing in the folder: " + names);
    }

    /// What a part says beside its own number is what the first says.
    void add_part(std::size_t k, gguf_file const& part) {
        if (part.part_count() != part_count() || part.required<std::uint16_t>(part_key) != k)
            part.fail("part " + std::to_string(k + 1) + " of " + std::to_string(part_count()) +
                      " is expected, its metadata says another");
        for (gguf_value const& value : part.values_) {
            if (value.key == part_key || value.key == detail::gguf_alignment_key) continue;
            gguf_value const* const first = find_value(value.key);
            if (first == nullptr || first->type != value.type || first->element != value.element ||
                !std::ranges::equal(first->payload, value.payload))
                part.fail("key " + in_quotes(value.key) + ": the first part, " + path().string() +
                          (first == nullptr ? ", lacks it" : ", has another value"));
        }
        for (gguf_tensor t : part.tensors_) {
            t.part = k;
            tensors_by_name_.add(t.name, tensors_.size());
            tensors_.push_back(t);
        }
        parts_.push_back(part.parts_[0]);
    }

    void read_tensors(byte_cursor& cursor, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            gguf_tensor t{};
            t.name = read_name(cursor, "tensor " + std::to_string(i) + ": name", detail::longest_gguf_tensor_name);
            const std::string field = "tensor " + in_quotes(t.name);
            t.rank = cursor.number<std::uint32_t>(field + ": number of dimensions");
            if (t.rank > t.dims.size())
                fail(field + ": at most 4 dimensions are expected, " + std::to_string(t.rank) + " were found");
            t.dims.fill(1);
            for (std::size_t k = 0; k < t.rank; ++k) t.dims[k] = cursor.number<std::uint64_t>(field + ": dimension");
            const auto type = cursor.number<std::uint32_t>(field + ": type");
            t.type = find_gguf_block_type(type);
            if (!t.type) fail(field + ": type " + std::to_string(type) + " is not known");
            const std::size_t size = checked_bytes(t, field);
            const auto offset = cursor.number<std::uint64_t>(field + ": offset");
            if (offset > file_.size() || size > file_.size() - offset)
                fail(field + ": " + std::to_string(size) + " bytes at offset " + std::to_string(offset) +
                     " are not in a file of " + std::to_string(file_.size()));
            t.bytes = file_.subspan(offset, size); // place_tensors moves it to where the data section begins
            tensors_by_name_.add(t.name, tensors_.size());
            tensors_.push_back(t);
        }
        tensors_by_name_.sort();
        if (const auto twice = tensors_by_name_.repeated()) fail("tensor " + in_quotes(*twice) + " occurs twice");
    }

    std::size_t checked_bytes(gguf_tensor const& t, std::string const& field) const {
        constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
        const auto elements = checked_product(t.dims);
        if (std::ranges::any_of(t.dims, [](std::size_t d) { return d > most; }) || !elements || *elements > most)
            fail(field + ": a shape of less than 2^63 elements is expected, " + shape_text(t.dims) + " was found");
        if (t.type->elements == 0) fail(field + ": the layout of type " + std::string(t.type->name) + " is not known");
        if (t.cols() % t.type->elements != 0)
            fail(field + ": rows of " + std::to_string(t.cols()) + " elements cut a block of " +
                 std::to_string(t.type->elements) + " of type " + std::string(t.type->name));
        const std::size_t blocks = *elements / t.type->elements;
        if (blocks > most / t.type->bytes) fail(field + ": " + shape_text(t.dims) + " needs more than 2^63 bytes");
        return blocks * t.type->bytes;
    }

    std::uint64_t alignment() const {
        gguf_value const* const stored = find_value(detail::gguf_alignment_key);
        if (stored && stored->type != gguf_type::uint32)
            fail("key " + in_quotes(detail::gguf_alignment_key) + ": u32 is expected");
        const std::uint64_t unit = stored ? convert<std::uint32_t>(*stored) : 32;
        if (!std::has_single_bit(unit))
            fail("key " + in_quotes(detail::gguf_alignment_key) + ": a power of two is expected, " +
                 std::to_string(unit) + " was found");
        return unit;
    }

    /// Offsets count from the data section, which begins at the next multiple of the alignment.
    void place_tensors(byte_cursor& cursor) {
        const std::uint64_t unit = alignment();
        if (tensors_.empty()) return;
        const auto padding = [unit](std::uint64_t n) { return detail::gguf_padding(n, unit); };
        cursor.take(padding(cursor.position()), "padding before the data");
        const std::size_t begin = cursor.position();
        for (gguf_tensor& t : tensors_) {
            const std::string field = "tensor " + in_quotes(t.name);
            const auto offset = static_cast<std::size_t>(t.bytes.data() - file_.data());
            if (offset != cursor.position() - begin)
                fail(field + ": offset " + std::to_string(cursor.position() - begin) + " is expected, " +
                     std::to_string(offset) + " was found");
            t.bytes = cursor.take(t.bytes.size(), field + ": data");
            cursor.take(padding(t.bytes.size()), field + ": padding after the data");
        }
    }

    [[noreturn]] void refuse(gguf_value const& value, std::string_view expected) const {
        fail("key " + in_quotes(value.key) + ": " + std::string(expected) + " is expected, " +
             (value.type == gguf_type::array ? "an array of " : "") + std::string(name(value.element)) + " was found");
    }

    /// A number or bool of the metadata, in the widest type of its kind.
    using stored_number = std::variant<bool, std::int64_t, std::uint64_t, double>;

    /// `type` is that of a number or bool.
    static stored_number load_number(gguf_type type, std::byte const* bytes) {
        switch (type) {
        case gguf_type::uint8:
            return std::int64_t{load<std::uint8_t>(bytes)};
        case gguf_type::int8:
            return std::int64_t{load<std::int8_t>(bytes)};
        case gguf_type::uint16:
            return std::int64_t{load<std::uint16_t>(bytes)};
        case gguf_type::int16:
            return std::int64_t{load<std::int16_t>(bytes)};
        case gguf_type::uint32:
            return std::int64_t{load<std::uint32_t>(bytes)};
        case gguf_type::int32:
            return std::int64_t{load<std::int32_t>(bytes)};
        case gguf_type::int64:
            return load<std::int64_t>(bytes);
        case gguf_type::uint64:
            return load<std::uint64_t>(bytes);
        case gguf_type::float32:
            return double{load<float>(bytes)};
        case gguf_type::float64:
            return load<double>(bytes);
        case gguf_type::boolean:
            return load<std::uint8_t>(bytes) != 0;
        case gguf_type::string:
        case gguf_type::array:
            break;
        }
        BITLENS_ASSERT(false);
        return false;
    }

    /// One element of `value` whose bytes begin at `bytes`.
    template <class T>
    T convert_number(gguf_value const& value, std::byte const* bytes) const {
        const stored_number stored = load_number(value.element, bytes);
        if constexpr (std::same_as<T, bool>) {
            if (auto const* const x = std::get_if<bool>(&stored)) return *x;
            refuse(value, "bool");
        } else if constexpr (std::integral<T>) {
            if (auto const* const x = std::get_if<std::int64_t>(&stored)) return in_range<T>(value, *x);
            if (auto const* const x = std::get_if<std::uint64_t>(&stored)) return in_range<T>(value, *x);
            refuse(value, "an integer");
        } else {
            static_assert(std::floating_point<T>, "bool, integers, floats, strings, and vectors of them are read");
            if (auto const* const x = std::get_if<double>(&stored)) return static_cast<T>(*x);
            refuse(value, "a float");
        }
    }

    template <class T, class Stored>
    T in_range(gguf_value const& value, Stored stored) const {
        if (!std::in_range<T>(stored))
            fail("key " + in_quotes(value.key) + ": a number from " + std::to_string(std::numeric_limits<T>::min()) +
                 " to " + std::to_string(std::numeric_limits<T>::max()) + " is expected, " + std::to_string(stored) +
                 " was found");
        return static_cast<T>(stored);
    }

    template <class T>
    T convert(gguf_value const& value) const {
        if constexpr (requires(T all) { all.emplace_back(); }) {
            if (value.type != gguf_type::array) refuse(value, "an array");
            return convert_array<typename T::value_type>(value);
        } else if (value.type == gguf_type::array) {
            refuse(value, "a single value");
        } else if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
            if (value.type != gguf_type::string) refuse(value, "a string");
            return T(as_text(value.payload.subspan(sizeof(std::uint64_t))));
        } else {
            if (value.type == gguf_type::string) refuse(value, "a number or bool");
            return convert_number<T>(value, value.payload.data());
        }
    }

    template <class T>
    std::vector<T> convert_array(gguf_value const& value) const {
        constexpr bool wants_text = std::same_as<T, std::string> || std::same_as<T, std::string_view>;
        if (wants_text != (value.element == gguf_type::string))
            refuse(value, wants_text ? "an array of strings" : "an array of numbers");
        std::vector<T> all;
        all.reserve(value.count);
        if constexpr (wants_text) {
            byte_cursor cursor(value.payload, who_);
            for (std::size_t i = 0; i < value.count; ++i) all.emplace_back(read_string(cursor, value.key));
        } else {
            for (std::size_t i = 0; i < value.count; ++i)
                all.push_back(convert_number<T>(value, value.payload.data() + i * width(value.element)));
        }
        return all;
    }

    std::vector<std::shared_ptr<const mapped_file>> parts_;
    std::span<const std::byte> file_; // the first part
    std::string who_;
    std::uint32_t version_ = 0;
    std::vector<gguf_value> values_;
    std::vector<gguf_tensor> tensors_;
    name_index values_by_key_, tensors_by_name_; // places in these two
};

} // namespace bitlens
