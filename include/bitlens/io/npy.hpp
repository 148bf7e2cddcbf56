#pragma once
/// NPY: one array of numbers in a file, read and written as numpy does.
/// Source: numpy 2.4, doc of numpy.lib.format; versions 1, 2 and 3 are read, 1 is written.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
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
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

enum class npy_type : std::uint8_t { boolean, i8, i16, i32, i64, u8, u16, u32, u64, f16, f32, f64 };

struct npy_type_info {
    std::string_view descr; // as numpy writes it
    std::size_t bytes;
};

/// One entry for each npy_type, in its order.
inline constexpr std::array<npy_type_info, 12> npy_types{{{"|b1", 1},
                                                          {"|i1", 1},
                                                          {"<i2", 2},
                                                          {"<i4", 4},
                                                          {"<i8", 8},
                                                          {"|u1", 1},
                                                          {"<u2", 2},
                                                          {"<u4", 4},
                                                          {"<u8", 8},
                                                          {"<f2", 2},
                                                          {"<f4", 4},
                                                          {"<f8", 8}}};
constexpr npy_type_info const& info(npy_type type) noexcept { return npy_types[static_cast<std::size_t>(type)]; }

/// A number that an NPY file can hold.
template <class T>
concept npy_number = std::same_as<T, bool> || std::same_as<T, f16> || std::same_as<T, float> ||
    std::same_as<T, double> ||
    (std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> && sizeof(T) <= 8);

template <npy_number T>
constexpr npy_type npy_type_of() noexcept {
    if constexpr (std::same_as<T, bool>)
        return npy_type::boolean;
    else if constexpr (std::same_as<T, f16>)
        return npy_type::f16;
    else if constexpr (std::same_as<T, float>)
        return npy_type::f32;
    else if constexpr (std::same_as<T, double>)
        return npy_type::f64;
    else {
        constexpr npy_type first = std::is_signed_v<T> ? npy_type::i8 : npy_type::u8;
        return static_cast<npy_type>(static_cast<int>(first) + std::countr_zero(sizeof(T)));
    }
}

/// An array as it lies in a file: little-endian, of any alignment. `owner` keeps the bytes alive.
struct npy_array {
    std::string who; // the file, for messages
    npy_type type;
    bool fortran; // the first index runs fastest
    std::vector<std::size_t> shape;
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;

    std::size_t size() const noexcept { return bytes.size() / info(type).bytes; } // elements

    /// All elements in C order.   Errors: format_error if the array is not of type T.
    template <npy_number T>
    std::vector<T> values() const {
        expect<T>();
        std::vector<T> all(size());
        if (!fortran || shape.size() < 2) {
            for (std::size_t i = 0; i < all.size(); ++i) all[i] = stored<T>(i);
            return all;
        }
        std::vector<std::size_t> index(shape.size(), 0);
        for (std::size_t i = 0; i < all.size(); ++i) {
            std::size_t place = 0;
            for (std::size_t k = shape.size(); k-- > 0;) place = place * shape[k] + index[k];
            all[i] = stored<T>(place);
            for (std::size_t k = shape.size(); k-- > 0 && ++index[k] == shape[k];) index[k] = 0;
        }
        return all;
    }

    /// Errors: format_error if the array is not of type T.
    template <npy_number T>
    void expect() const {
        if (type != npy_type_of<T>())
            throw format_error(who + ": type " + std::string(info(npy_type_of<T>()).descr) + " is expected, " +
                               std::string(info(type).descr) + " was found");
    }

    /// Element `i` in the order of storage; the array must be of type T.
    template <npy_number T>
    T stored(std::size_t i) const noexcept {
        BITLENS_ASSERT(type == npy_type_of<T>() && i < size());
        if constexpr (std::same_as<T, bool>)
            return bytes[i] != std::byte{0};
        else
            return load<T>(bytes.data() + i * sizeof(T));
    }
};

namespace detail {

/// The header of an NPY file: the text of a Python dictionary with the keys descr, fortran_order and shape.
class npy_header {
public:
    npy_header(std::string_view text, std::string const& who) : text_(text), who_(who) {
        skip_spaces();
        expect('{');
        while (!accept('}')) {
            const auto key = read_string("a key");
            expect(':');
            if (key == "descr" && !type)
                read_descr();
            else if (key == "fortran_order" && !fortran)
                fortran = read_bool();
            else if (key == "shape" && !shape)
                read_shape();
            else
                fail("key " + in_quotes(key) + " is unknown or occurs twice");
            if (accept('}')) break;
            expect(',');
        }
        if (!text_.empty()) fail("text follows the dictionary: " + in_quotes(text_));
        if (!type || !fortran || !shape) fail("descr, fortran_order and shape are expected");
    }

    std::optional<npy_type> type;
    std::optional<bool> fortran;
    std::optional<std::vector<std::size_t>> shape;

private:
    static constexpr std::size_t highest_rank = 64; // as numpy

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": header: " + what); }
    void skip_spaces() noexcept {
        while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t')) text_.remove_prefix(1);
    }
    bool accept(char c) noexcept {
        if (!text_.starts_with(c)) return false;
        text_.remove_prefix(1);
        skip_spaces();
        return true;
    }
    void expect(char c) {
        if (!accept(c)) fail(std::string("'") + c + "' is expected at " + in_quotes(text_));
    }
    std::string_view read_string(std::string const& what) {
        const char quote = text_.starts_with('"') ? '"' : '\'';
        if (!text_.starts_with(quote)) fail(what + " in quotes is expected at " + in_quotes(text_));
        text_.remove_prefix(1);
        const std::size_t end = text_.find(quote);
        if (end == std::string_view::npos) fail(what + " has no end");
        const auto found = text_.substr(0, end);
        text_.remove_prefix(end + 1);
        skip_spaces();
        return found;
    }
    bool read_bool() {
        for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}})
            if (text_.starts_with(word)) {
                text_.remove_prefix(word.size());
                skip_spaces();
                return value;
            }
        fail("fortran_order: True or False is expected at " + in_quotes(text_));
    }
    void read_descr() {
        if (text_.starts_with('[')) fail("descr: an array of records is not read, only of numbers");
        const auto descr = read_string("descr");
        if (descr.starts_with('>')) fail("descr: " + in_quotes(descr) + " is big-endian; only little-endian is read");
        if (descr.ends_with('O')) fail("descr: " + in_quotes(descr) + ": Python objects are not read, only numbers");
        const auto place = std::ranges::find(npy_types, descr, &npy_type_info::descr);
        if (place == npy_types.end()) fail("descr: " + in_quotes(descr) + " is no type that is read here");
        type = static_cast<npy_type>(place - npy_types.begin());
    }
    /// "()", "(3,)", "(3, 4)" and "(3, 4,)".
    void read_shape() {
        expect('(');
        shape.emplace();
        while (!accept(')')) {
            std::size_t size = 0;
            const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
            const bool has_leading_zero = text_.starts_with('0') && end - text_.data() > 1; // no number of Python
            if (error != std::errc{} || has_leading_zero)
                fail("shape: an integer from 0 to 2^64 - 1 is expected at " + in_quotes(text_));
            text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
            skip_spaces();
            shape->push_back(size);
            if (shape->size() > highest_rank) fail("shape: more than 64 dimensions");
            if (accept(')')) {
                if (shape->size() == 1) fail("shape: one number in parentheses, \"(3)\", is no Python tuple");
                break;
            }
            expect(',');
        }
    }

    std::string_view text_; // what is not read yet
    std::string const& who_;
};

} // namespace detail

/// The array that `bytes` hold and nothing else. `who` (the file) begins the text of every error; `owner` is kept by
/// the result.
/// Errors: format_error for what is no NPY file, records, Python objects, big-endian numbers, and for data longer or
/// shorter than the shape says.
inline npy_array parse_npy(std::span<const std::byte> bytes, std::string who, std::shared_ptr<const void> owner) {
    constexpr std::size_t longest_header = std::size_t{1} << 20; // numpy itself stops at 10,000 unless told otherwise
    byte_cursor cursor(bytes, who);
    if (as_text(cursor.take(6, "magic")) != "\x93NUMPY") throw format_error(who + ": magic: this is no NPY file");
    const auto major = cursor.number<std::uint8_t>("version"), minor = cursor.number<std::uint8_t>("version");
    if (major < 1 || major > 3 || minor != 0)
        throw format_error(who + ": version: 1.0, 2.0 or 3.0 is expected, " + std::to_string(major) + "." +
                           std::to_string(minor) + " was found");
    const std::size_t length =
        major == 1 ? cursor.number<std::uint16_t>("header length") : cursor.number<std::uint32_t>("header length");
    if (length > longest_header)
        throw format_error(who + ": header length: at most " + std::to_string(longest_header) + " is expected, " +
                           std::to_string(length) + " was found");
    detail::npy_header header(as_text(cursor.take(length, "header")), who);
    const std::size_t width = info(*header.type).bytes;
    const auto elements = checked_product(*header.shape);
    if (!elements || *elements > cursor.left() / width || *elements * width != cursor.left())
        throw format_error(who + ": shape: " + shape_text(*header.shape) + " of " +
                           std::string(info(*header.type).descr) + " does not fit the " +
                           std::to_string(cursor.left()) + " bytes of data");
    const auto data = cursor.take(cursor.left(), "data");
    return {std::move(who), *header.type, *header.fortran, std::move(*header.shape), data, std::move(owner)};
}

/// The array of a mapped NPY file.   Errors: io_error as mapped_file, format_error as parse_npy.
inline npy_array read_npy(std::filesystem::path const& path) {
    auto file = std::make_shared<const mapped_file>(path);
    const auto bytes = file->bytes();
    return parse_npy(bytes, path.string(), std::move(file));
}

namespace detail {

/// The header of version 1 as numpy writes it, byte by byte: room for the first dimension to grow to 21 digits, then
/// spaces up to a multiple of 64.   Errors: shape_error if it takes more than 65535 bytes.
inline std::string npy_header_text(npy_type type, std::span<const std::size_t> shape) {
    std::string text = "{'descr': '" + std::string(info(type).descr) + "', 'fortran_order': False, 'shape': (";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    text += shape.size() == 1 ? ",), }" : "), }";
    if (!shape.empty()) text.append(21 - std::to_string(shape[0]).size(), ' ');
    constexpr std::size_t before = 10; // magic, version, length
    text.append(64 - (before + text.size() + 1) % 64, ' ');
    text += '\n';
    if (text.size() > 0xFFFF) throw shape_error("an NPY file of " + std::to_string(shape.size()) + " dimensions");
    const auto length = static_cast<std::uint16_t>(text.size());
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(length & 0xFF) + static_cast<char>(length >> 8) +
           text;
}

/// Errors: shape_error if there are not as many values as the shape says.
inline void check_npy_size(std::string const& who, std::span<const std::size_t> shape, std::size_t values) {
    if (checked_product(shape) != values)
        throw shape_error(who + ": " + std::to_string(values) + " values do not fill the shape " + shape_text(shape));
}

} // namespace detail

/// Writes `values` (C order) as version 1.0, the same bytes as numpy.save.
/// Errors: shape_error if there are not as many values as the shape says, io_error as atomic_file.
template <npy_number T>
void write_npy(std::filesystem::path const& path, std::span<const std::size_t> shape, std::span<const T> values) {
    detail::check_npy_size(path.string(), shape, values.size());
    atomic_file file(path);
    file.write(detail::npy_header_text(npy_type_of<T>(), shape));
    file.write(std::as_bytes(values));
    file.commit();
}

} // namespace bitlens
