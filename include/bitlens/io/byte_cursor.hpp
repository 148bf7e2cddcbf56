#pragma once
/// Little-endian numbers in foreign bytes: loads without alignment, checked products, a cursor that cannot leave them.

#include "bitlens/core/error.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace bitlens {

static_assert(std::endian::native == std::endian::little, "every file format read here is little-endian");

/// The number whose bytes begin at `bytes`, which need not be aligned.
template <class T>
T load(std::byte const* bytes) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}
inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// Π factors, or nothing if it does not fit. The empty product is 1; a factor of 0 makes 0 whatever the others are.
constexpr std::optional<std::size_t> checked_product(std::span<const std::size_t> factors) noexcept {
    for (const std::size_t f : factors)
        if (f == 0) return 0;
    std::size_t product = 1;
    for (const std::size_t f : factors) {
        if (product > std::numeric_limits<std::size_t>::max() / f) return std::nullopt;
        product *= f;
    }
    return product;
}

/// "(2, 3)": a shape as messages show it.
inline std::string shape_text(std::span<const std::size_t> shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
}

/// Reads forward through borrowed bytes. Every step checks what is left first.
/// Errors: format_error "<who>: <field>: <n> bytes are needed at offset <o>, <m> are left".
class byte_cursor {
public:
    /// `who` (borrowed) begins every message: the file.
    byte_cursor(std::span<const std::byte> bytes, std::string_view who) noexcept : bytes_(bytes), who_(who) {}

    std::size_t position() const noexcept { return position_; }
    std::size_t left() const noexcept { return bytes_.size() - position_; }

    std::span<const std::byte> take(std::uint64_t count, std::string_view field) {
        if (count > left())
            throw format_error(std::string(who_) + ": " + std::string(field) + ": " + std::to_string(count) +
                               " bytes are needed at offset " + std::to_string(position_) + ", " +
                               std::to_string(left()) + " are left");
        const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
        position_ += taken.size();
        return taken;
    }
    template <class T>
    T number(std::string_view field) {
        return load<T>(take(sizeof(T), field).data());
    }

private:
    std::span<const std::byte> bytes_;
    std::string_view who_;
    std::size_t position_ = 0;
};

} // namespace bitlens
