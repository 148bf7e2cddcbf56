#pragma once
/// The numbers of an NPY file by the type that they have there, for tests.

#include "bitlens/io/npy.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace bitlens::test {

/// f(T{}) for the type T that the array's numbers have.
template <class F>
auto visit_type(npy_type type, F const& f) {
    switch (type) {
    case npy_type::boolean:
        return f(bool{});
    case npy_type::i8:
        return f(std::int8_t{});
    case npy_type::i16:
        return f(std::int16_t{});
    case npy_type::i32:
        return f(std::int32_t{});
    case npy_type::i64:
        return f(std::int64_t{});
    case npy_type::u8:
        return f(std::uint8_t{});
    case npy_type::u16:
        return f(std::uint16_t{});
    case npy_type::u32:
        return f(std::uint32_t{});
    case npy_type::u64:
        return f(std::uint64_t{});
    case npy_type::f16:
        return f(f16{});
    case npy_type::f32:
        return f(float{});
    case npy_type::f64:
        break;
    }
    return f(double{});
}

/// A copy of numbers that std::span can look at: std::vector<bool> has none.
template <class T>
std::unique_ptr<T[]> contiguous(std::vector<T> const& values) {
    auto all = std::make_unique<T[]>(values.size());
    std::copy(values.begin(), values.end(), all.get());
    return all;
}

} // namespace bitlens::test
