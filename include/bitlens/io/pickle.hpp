#pragma once
/// pickle: what a pickled Python object says, as data. Nothing in it is called: names of functions and classes are
/// values, and so are calls of them.   Source: CPython's Lib/pickletools.py.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitlens {

enum class pickle_kind : std::uint8_t {
    none,
    boolean,    ///< number
    integer,    ///< number
    real,       ///< real_number
    text,       ///< text
    tuple,      ///< items
    list,       ///< items
    dictionary, ///< items: key, value, key, value …
    name,       ///< text: "module name" of a function or class
    call,       ///< items: what is called, its arguments
    reference,  ///< items: the identity of something that lies outside
};

constexpr std::string_view name(pickle_kind kind) noexcept {
    constexpr std::string_view names[]{
        "None",   "a boolean", "an integer",          "a number", "a text", "a tuple", "a list", "a dictionary",
        "a name", "a call",    "an outside reference"};
    return names[static_cast<std::size_t>(kind)];
}

/// One object. Others that it is made of are given by their places in the pickle: one may be part of several.
struct pickle_value {
    pickle_kind kind = pickle_kind::none;
    std::int64_t number = 0;
    double real_number = 0;
    std::string_view text{}; ///< in the pickle's bytes
    std::vector<std::uint32_t> items{};
};

/// Objects of a pickle of protocol 2 to 5. Texts are views of its bytes, which are borrowed.
/// Errors: format_error naming `who`, offset and what is wrong: an operation that is unknown or would run code, a name
/// that is not among those allowed, a stack or memo that lacks what is asked of it, bytes that are missing or left.
class pickle {
public:
    /// Larger ones than any list of tensors are refused: an object may take a byte here and some fifty there.
    static constexpr std::size_t most_bytes = std::size_t{8} << 20;

    /// names: "module name" of all that may be named.
    pickle(std::span<const std::byte> bytes, std::string_view who, std::span<const std::string_view> names)
        : cursor_(bytes, who), who_(who), names_(names) {
        if (bytes.size() > most_bytes)
            fail(std::to_string(bytes.size()) + " bytes, at most " + std::to_string(most_bytes) + " are expected");
        while (step()) {
        }
        if (stack_.size() != 1 || !marks_.empty())
            fail(std::to_string(stack_.size()) + " objects are left at the end, one is expected");
        if (cursor_.left() != 0) fail(std::to_string(cursor_.left()) + " bytes follow the end");
        root_ = stack_.back();
    }

    pickle_value const& root() const noexcept { return values_[root_]; }
    pickle_value const& operator[](std::uint32_t place) const noexcept { return values_[place]; }
    std::size_t size() const noexcept { return values_.size(); }

private:
    [[noreturn]] void fail(std::string const& what) const {
        throw format_error(std::string(who_) + ": pickle, before offset " + std::to_string(cursor_.position()) + ": " +
                           what);
    }

    void push(pickle_value value) {
        stack_.push_back(static_cast<std::uint32_t>(values_.size()));
        values_.push_back(std::move(value));
    }
    /// Objects that the innermost mark has below it are not taken without it.
    std::uint32_t pop() {
        if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("the stack has no object left");
        const auto top = stack_.back();
        stack_.pop_back();
        return top;
    }
    std::vector<std::uint32_t> pop_to_mark() {
        if (marks_.empty()) fail("there is no mark");
        const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
        std::vector<std::uint32_t> items(begin, stack_.end());
        stack_.erase(begin, stack_.end());
        marks_.pop_back();
        return items;
    }
    pickle_value& top(pickle_kind kind) {
        if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("the stack has no object left");
        auto& value = values_[stack_.back()];
        if (value.kind != kind) fail(std::string(name(kind)) + " is expected, found " + std::string(name(value.kind)));
        return value;
    }
    void add_items(pickle_kind kind, std::vector<std::uint32_t> const& items) {
        if (kind == pickle_kind::dictionary && items.size() % 2 != 0) fail("a key without a value");
        auto& to = top(kind).items;
        to.insert(to.end(), items.begin(), items.end());
    }
    void push_tuple(std::size_t count) {
        std::vector<std::uint32_t> items(count);
        for (std::size_t i = count; i-- > 0;) items[i] = pop();
        push({.kind = pickle_kind::tuple, .items = std::move(items)});
    }

    void remember(std::uint64_t number) {
        if (stack_.empty()) fail("nothing to remember");
        memo_[number] = stack_.back();
    }
    void recall(std::uint64_t number) {
        const auto found = memo_.find(number);
        if (found == memo_.end()) fail("number " + std::to_string(number) + " was never remembered");
        stack_.push_back(found->second);
    }

    std::string_view take_text(std::uint64_t size) {
        const std::string_view text = as_text(cursor_.take(size, "pickle: text"));
        if (!is_utf8(text)) fail("a text is not UTF-8");
        return text;
    }
    /// Up to a line feed, which is taken too.
    std::string_view take_line() {
        std::size_t size = 0;
        auto probe = cursor_;
        while (probe.number<char>("pickle: line") != '\n') ++size;
        const std::string_view line = take_text(size);
        cursor_.take(1, "pickle: line");
        return line;
    }
    void push_name(std::string_view module, std::string_view what) {
        const std::string full = std::string(module) + " " + std::string(what);
        const auto found = std::ranges::find(names_, full);
        if (found == names_.end()) fail("it names " + in_quotes(full) + ", which is not allowed");
        push({.kind = pickle_kind::name, .text = *found});
    }
    void push_long(std::size_t bytes) {
        if (bytes > sizeof(std::int64_t)) fail("an integer of " + std::to_string(bytes) + " bytes");
        std::uint64_t number = 0;
        const auto digits = cursor_.take(bytes, "pickle: integer");
        for (std::size_t i = 0; i < bytes; ++i) number |= std::to_integer<std::uint64_t>(digits[i]) << (8 * i);
        if (bytes > 0 && bytes < 8 && (number >> (8 * bytes - 1)) != 0) number |= ~std::uint64_t{0} << (8 * bytes);
        push_integer(static_cast<std::int64_t>(number));
    }
    void push_integer(std::int64_t number) { push({.kind = pickle_kind::integer, .number = number}); }

    /// One operation; false: the last.
    bool step() {
        const auto operation = cursor_.number<std::uint8_t>("pickle: operation");
        switch (operation) {
        case 0x80: // PROTO
            if (const auto protocol = cursor_.number<std::uint8_t>("pickle: protocol"); protocol < 2 || protocol > 5)
                fail("protocol " + std::to_string(protocol) + ", one from 2 to 5 is expected");
            return true;
        case 0x95: // FRAME: what follows is as it would be without
            if (cursor_.number<std::uint64_t>("pickle: frame") > cursor_.left()) fail("a frame larger than the rest");
            return true;
        case '.': // STOP
            return false;
        case '(': // MARK
            marks_.push_back(stack_.size());
            return true;
        case 'N': // NONE
            push({});
            return true;
        case 0x88: // NEWTRUE
        case 0x89: // NEWFALSE
            push({.kind = pickle_kind::boolean, .number = operation == 0x88});
            return true;
        case 'J': // BININT
            push_integer(cursor_.number<std::int32_t>("pickle: integer"));
            return true;
        case 'K': // BININT1
            push_integer(cursor_.number<std::uint8_t>("pickle: integer"));
            return true;
        case 'M': // BININT2
            push_integer(cursor_.number<std::uint16_t>("pickle: integer"));
            return true;
        case 0x8a: // LONG1
            push_long(cursor_.number<std::uint8_t>("pickle: integer"));
            return true;
        case 'G': { // BINFLOAT: eight bytes, the first of the highest value
            std::uint64_t bits = 0;
            for (const std::byte b : cursor_.take(8, "pickle: number")) bits = bits << 8 | std::to_integer<unsigned>(b);
            push({.kind = pickle_kind::real, .real_number = std::bit_cast<double>(bits)});
            return true;
        }
        case 'X': // BINUNICODE
            push({.kind = pickle_kind::text, .text = take_text(cursor_.number<std::uint32_t>("pickle: text"))});
            return true;
        case 0x8c: // SHORT_BINUNICODE
            push({.kind = pickle_kind::text, .text = take_text(cursor_.number<std::uint8_t>("pickle: text"))});
            return true;
        case ')': // EMPTY_TUPLE
            push_tuple(0);
            return true;
        case 0x85: // TUPLE1 … TUPLE3
        case 0x86:
        case 0x87:
            push_tuple(operation - 0x84u);
            return true;
        case 't': // TUPLE
            push({.kind = pickle_kind::tuple, .items = pop_to_mark()});
            return true;
        case ']': // EMPTY_LIST
            push({.kind = pickle_kind::list});
            return true;
        case 'a': { // APPEND
            const auto item = pop();
            add_items(pickle_kind::list, {item});
            return true;
        }
        case 'e': // APPENDS
            add_items(pickle_kind::list, pop_to_mark());
            return true;
        case '}': // EMPTY_DICT
            push({.kind = pickle_kind::dictionary});
            return true;
        case 's': { // SETITEM
            const auto value = pop(), key = pop();
            add_items(pickle_kind::dictionary, {key, value});
            return true;
        }
        case 'u': // SETITEMS
            add_items(pickle_kind::dictionary, pop_to_mark());
            return true;
        case 'q': // BINPUT
            remember(cursor_.number<std::uint8_t>("pickle: memo"));
            return true;
        case 'r': // LONG_BINPUT
            remember(cursor_.number<std::uint32_t>("pickle: memo"));
            return true;
        case 0x94: // MEMOIZE
            remember(memo_.size());
            return true;
        case 'h': // BINGET
            recall(cursor_.number<std::uint8_t>("pickle: memo"));
            return true;
        case 'j': // LONG_BINGET
            recall(cursor_.number<std::uint32_t>("pickle: memo"));
            return true;
        case 'c': { // GLOBAL
            const auto module = take_line();
            push_name(module, take_line());
            return true;
        }
        case 0x93: { // STACK_GLOBAL
            const std::string_view what = values_[top_text()].text;
            pop();
            const std::string_view module = values_[top_text()].text;
            pop();
            push_name(module, what);
            return true;
        }
        case 'R': { // REDUCE
            top(pickle_kind::tuple);
            const auto arguments = pop();
            top(pickle_kind::name);
            const auto called = pop();
            push({.kind = pickle_kind::call, .items = {called, arguments}});
            return true;
        }
        case 'Q': { // BINPERSID
            const auto identity = pop();
            push({.kind = pickle_kind::reference, .items = {identity}});
            return true;
        }
        default:
            fail("the operation " + std::to_string(operation) + " is not known here, or would run code");
        }
    }
    std::uint32_t top_text() {
        top(pickle_kind::text);
        return stack_.back();
    }

    byte_cursor cursor_;
    std::string_view who_;
    std::span<const std::string_view> names_;
    std::vector<pickle_value> values_;
    std::vector<std::uint32_t> stack_;
    std::vector<std::size_t> marks_; // how many objects lie below each
    std::unordered_map<std::uint64_t, std::uint32_t> memo_;
    std::uint32_t root_ = 0;
};

} // namespace bitlens
