#pragma once
/// protobuf_reader: the fields of a message of Protocol Buffers, one after the other.
/// Source: the encoding's own description, protobuf.dev/programming-guides/encoding.

#include "bitlens/core/error.hpp"
#include "bitlens/io/byte_cursor.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

/// How the value of a field is written.
enum class protobuf_type : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

constexpr std::string_view name(protobuf_type type) noexcept {
    switch (type) {
    case protobuf_type::varint:
        return "a varint";
    case protobuf_type::fixed64:
        return "a number of 8 bytes";
    case protobuf_type::bytes:
        return "a string of bytes";
    default:
        return "a number of 4 bytes";
    }
}

class protobuf_reader;

/// One field: its number and its value, which is borrowed.
class protobuf_field {
public:
    std::uint32_t number() const noexcept { return number_; }

    /// The value as the message's schema has it; `what` is its name there.
    /// Errors: format_error where it is written in another way, or has no such value.
    std::int32_t as_int32(std::string_view what) const {
        const auto value = static_cast<std::int64_t>(expect(protobuf_type::varint, what)); // −1 takes ten bytes
        if (!std::in_range<std::int32_t>(value))
            fail(what, "an integer from " + std::to_string(std::numeric_limits<std::int32_t>::min()) + " to " +
                           std::to_string(std::numeric_limits<std::int32_t>::max()) + " is expected, " +
                           std::to_string(value) + " was found");
        return static_cast<std::int32_t>(value);
    }
    bool as_bool(std::string_view what) const {
        const std::uint64_t value = expect(protobuf_type::varint, what);
        if (value > 1) fail(what, "0 or 1 is expected, " + std::to_string(value) + " was found");
        return value == 1;
    }
    float as_float(std::string_view what) const {
        return std::bit_cast<float>(static_cast<std::uint32_t>(expect(protobuf_type::fixed32, what)));
    }
    std::string_view as_text(std::string_view what) const { return bitlens::as_text(as_bytes(what)); }
    std::span<const std::byte> as_bytes(std::string_view what) const {
        expect(protobuf_type::bytes, what);
        return bytes_;
    }

    protobuf_reader as_message(std::string_view what) const;

    /// "<who>: <what> (field 3 at byte 120): <reason>".
    [[noreturn]] void fail(std::string_view what, std::string const& reason) const {
        throw format_error(std::string(who_) + ": " + std::string(what) + " (field " + std::to_string(number_) +
                           " at byte " + std::to_string(offset_) + "): " + reason);
    }

private:
    friend protobuf_reader;
    protobuf_field() = default;

    std::uint64_t expect(protobuf_type type, std::string_view what) const {
        if (type_ != type)
            fail(what, std::string(name(type)) + " is expected, " + std::string(name(type_)) + " was found");
        return value_;
    }

    std::string_view who_;
    std::size_t offset_ = 0; // of the field in the file
    std::uint32_t number_ = 0;
    protobuf_type type_ = protobuf_type::varint;
    std::uint64_t value_ = 0; // of bytes, where in the file they begin
    std::span<const std::byte> bytes_;
};

/// Reads forward through the borrowed bytes of a message. What is in a field of bytes, a message perhaps, is not looked
/// at.
/// Errors: format_error naming the file and the byte: a field that leaves its message, a varint of more than 64 bits, a
/// field of number 0, groups (which nobody writes any more) and the two types that do not exist.
class protobuf_reader {
public:
    /// `who` (borrowed) begins the text of every error: the file. `first`: place of the message in it.
    protobuf_reader(std::span<const std::byte> message, std::string_view who, std::size_t first = 0) noexcept
        : message_(message), who_(who), first_(first) {}

    /// The next field, or nothing at the end.
    std::optional<protobuf_field> next() {
        if (at_ == message_.size()) return std::nullopt;
        const std::size_t begin = at_;
        const std::uint64_t tag = varint(begin), number = tag >> 3, type = tag & 7;
        constexpr std::uint64_t highest = (std::uint64_t{1} << 29) - 1;
        if (number == 0 || number > highest) fail(begin, "a field of the number " + std::to_string(number));
        protobuf_field field;
        field.who_ = who_;
        field.offset_ = first_ + begin;
        field.number_ = static_cast<std::uint32_t>(number);
        field.type_ = static_cast<protobuf_type>(type);
        switch (type) {
        case 0:
            field.value_ = varint(begin);
            return field;
        case 1:
            field.value_ = load<std::uint64_t>(take(8, begin).data());
            return field;
        case 2:
            field.bytes_ = take(varint(begin), begin);
            field.value_ = first_ + at_ - field.bytes_.size();
            return field;
        case 5:
            field.value_ = load<std::uint32_t>(take(4, begin).data());
            return field;
        case 3:
        case 4:
            fail(begin, "field " + std::to_string(number) + " is a group, which is not read");
        default:
            fail(begin,
                 "field " + std::to_string(number) + " is of type " + std::to_string(type) + ", which does not exist");
        }
    }

private:
    [[noreturn]] void fail(std::size_t begin, std::string const& reason) const {
        throw format_error(std::string(who_) + ": no protobuf message at byte " + std::to_string(first_ + begin) +
                           ": " + reason);
    }

    std::span<const std::byte> take(std::uint64_t count, std::size_t begin) {
        const std::size_t left = message_.size() - at_;
        if (count > left)
            fail(begin,
                 std::to_string(count) + " bytes are needed, " + std::to_string(left) + " are left of the message");
        const auto taken = message_.subspan(at_, static_cast<std::size_t>(count));
        at_ += taken.size();
        return taken;
    }

    /// Seven bits a byte, the lowest first; all bytes but the last have the top bit set.
    std::uint64_t varint(std::size_t begin) {
        std::uint64_t value = 0;
        for (unsigned shift = 0;; shift += 7) {
            const auto byte = std::to_integer<std::uint64_t>(take(1, begin)[0]);
            if (shift == 63 && byte > 1) fail(begin, "a varint of more than 64 bits");
            value |= (byte & 0x7F) << shift;
            if (byte < 0x80) return value;
        }
    }

    std::span<const std::byte> message_;
    std::string_view who_;
    std::size_t first_; // of the message in the file
    std::size_t at_ = 0;
};

inline protobuf_reader protobuf_field::as_message(std::string_view what) const {
    const auto first = static_cast<std::size_t>(expect(protobuf_type::bytes, what));
    return {bytes_, who_, first};
}

} // namespace bitlens
