#pragma once
/// Writes GGUF files.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/gguf_blocks.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// Metadata to be written, in the order in which the keys were first set.
class gguf_values {
public:
    /// Under its key, as another file has it.
    void copy(gguf_value const& value) {
        std::string bytes = number(static_cast<std::uint32_t>(value.type));
        if (value.type == gguf_type::array)
            bytes += number(static_cast<std::uint32_t>(value.element)) + number(std::uint64_t{value.count});
        place(value.key) = bytes + std::string(as_text(value.payload));
    }
    /// T: bool, an integer of 8 to 64 bits, float, double, a string, or a vector of these.
    template <class T>
    void set(std::string_view key, T const& value) {
        if constexpr (requires { typename T::value_type; } && !std::convertible_to<T, std::string_view>) {
            std::string bytes = number(static_cast<std::uint32_t>(gguf_type::array)) +
                                number(static_cast<std::uint32_t>(type_of<typename T::value_type>())) +
                                number(std::uint64_t{value.size()});
            for (typename T::value_type const& x : value) bytes += payload(x);
            place(key) = std::move(bytes);
        } else {
            place(key) = number(static_cast<std::uint32_t>(type_of<T>())) + payload(value);
        }
    }
    void erase(std::string_view key) {
        std::erase_if(all_, [&](auto const& pair) { return pair.first == key; });
    }

    /// Key, and type and value as a file has them.
    std::span<const std::pair<std::string, std::string>> all() const noexcept { return all_; }

private:
    template <class T>
    static constexpr gguf_type type_of() noexcept {
        if constexpr (std::convertible_to<T, std::string_view>)
            return gguf_type::string;
        else if constexpr (std::same_as<T, bool>)
            return gguf_type::boolean;
        else if constexpr (std::same_as<T, float>)
            return gguf_type::float32;
        else if constexpr (std::same_as<T, double>)
            return gguf_type::float64;
        else {
            static_assert(std::integral<T>, "bool, integers, floats, strings, and vectors of them are written");
            constexpr bool has_sign = std::is_signed_v<T>;
            switch (sizeof(T)) {
            case 1:
                return has_sign ? gguf_type::int8 : gguf_type::uint8;
            case 2:
                return has_sign ? gguf_type::int16 : gguf_type::uint16;
            case 4:
                return has_sign ? gguf_type::int32 : gguf_type::uint32;
            default:
                return has_sign ? gguf_type::int64 : gguf_type::uint64;
            }
        }
    }
    template <class T>
    static std::string number(T value) {
        return std::string(as_text(std::as_bytes(std::span(&value, 1))));
    }
    template <class T>
    static std::string payload(T const& value) {
        if constexpr (std::convertible_to<T, std::string_view>) {
            const std::string_view text = value;
            return number(std::uint64_t{text.size()}) + std::string(text);
        } else {
            return number(value);
        }
    }
    std::string& place(std::string_view key) {
        const auto found = std::ranges::find(all_, key, &std::pair<std::string, std::string>::first);
        return found != all_.end() ? found->second : all_.emplace_back(key, "").second;
    }

    std::vector<std::pair<std::string, std::string>> all_;
};

/// A tensor to be written; shape outermost dimension first, as PyTorch has it.
struct gguf_entry {
    std::string name;
    gguf_block_type const* type;
    std::vector<std::size_t> shape;
};

namespace detail {

/// Errors: shape_error naming the tensor.
inline std::size_t gguf_bytes(gguf_entry const& t, std::string const& who) {
    const std::size_t cols = t.shape.empty() ? 1 : t.shape.back();
    const auto count = checked_product(t.shape);
    if (t.shape.size() > 4 || !count || t.type->elements == 0 || cols % t.type->elements != 0)
        throw shape_error(who + ": at most 4 dimensions are expected and rows of whole blocks of " +
                          std::to_string(t.type->elements) + " numbers, shape " + shape_text(t.shape) + " was found");
    return *count / t.type->elements * t.type->bytes;
}

} // namespace detail

/// Writes version 3 in the canonical form: what stands in the order given, data at the alignment of 32 that needs no
/// key (a general.alignment among the values is left out). bytes_of(i) gives the bytes of tensor i, which need to live
/// until the next is asked for; they are asked for in order, once the head is written.
/// Errors: format_error for a key or name that is empty, too long, no UTF-8 or there twice; shape_error where shape,
/// type and bytes do not fit; io_error as atomic_file.
template <class BytesOf>
void write_gguf(std::filesystem::path const& path, gguf_values const& values, std::span<const gguf_entry> tensors,
                BytesOf const& bytes_of) {
    constexpr std::uint64_t unit = 32;
    const auto who = [&](std::string_view what, std::string_view name) {
        return path.string() + ": " + std::string(what) + " " + in_quotes(name);
    };
    std::string infos, pairs;
    const auto add = [](std::string& to, auto number) { to += as_text(std::as_bytes(std::span(&number, 1))); };
    const auto add_text = [&](std::string& to, std::string_view text) {
        add(to, std::uint64_t{text.size()});
        to += text;
    };
    std::uint64_t keys = 0;
    for (auto const& [key, value] : values.all()) {
        if (!detail::is_gguf_name(key, detail::longest_gguf_key))
            throw format_error(who("key", key) + ": cannot be a key");
        if (key == detail::gguf_alignment_key) continue;
        add_text(pairs, key);
        pairs += value;
        ++keys;
    }
    std::set<std::string_view> names;
    std::vector<std::size_t> sizes;
    std::uint64_t end = 0;
    for (auto const& t : tensors) {
        if (!detail::is_gguf_name(t.name, detail::longest_gguf_tensor_name))
            throw format_error(who("tensor", t.name) + ": cannot be the name of a tensor");
        if (!names.insert(t.name).second)
            throw format_error(who("tensor", t.name) + ": each tensor needs a name of its own");
        sizes.push_back(detail::gguf_bytes(t, who("tensor", t.name)));
        add_text(infos, t.name);
        add(infos, static_cast<std::uint32_t>(t.shape.size()));
        for (std::size_t k = t.shape.size(); k-- > 0;) add(infos, std::uint64_t{t.shape[k]});
        add(infos, t.type->id);
        add(infos, end);
        end += sizes.back() + detail::gguf_padding(sizes.back(), unit);
    }
    std::string head = "GGUF";
    add(head, std::uint32_t{3});
    add(head, std::uint64_t{tensors.size()});
    add(head, keys);
    atomic_file file(path);
    const auto pad = [&] { file.write(std::string(detail::gguf_padding(file.size(), unit), '\0')); };
    file.write(head + pairs + infos);
    if (!tensors.empty()) pad();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const std::span<const std::byte> bytes = bytes_of(i);
        if (bytes.size() != sizes[i])
            throw shape_error(who("tensor", tensors[i].name) + ": " + std::to_string(bytes.size()) +
                              " bytes do not fit " + std::string(tensors[i].type->name) + " of shape " +
                              shape_text(tensors[i].shape));
        file.write(bytes);
        pad();
    }
    file.commit();
}

} // namespace bitlens
