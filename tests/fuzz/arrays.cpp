#include "files.hpp"
#include "targets.hpp"

#include "bitlens/io/npy.hpp"
#include "bitlens/io/npz.hpp"

#include <cstring>
#include <string>
#include <vector>

namespace bitlens::fuzz {

namespace {

/// f(T{}) for the type T that the array's numbers have.
template <class F>
void visit_type(npy_type type, F const& f) {
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
        return f(double{});
    }
}

/// A copy of numbers that std::span can look at: std::vector<bool> has none.
template <class T>
std::unique_ptr<T[]> contiguous(std::vector<T> const& values) {
    auto all = std::make_unique<T[]>(values.size());
    std::copy(values.begin(), values.end(), all.get());
    return all;
}

/// The same bits, NaN or not.
template <class T>
bool equal(std::vector<T> const& a, std::vector<T> const& b) {
    const auto bits = contiguous(a), other = contiguous(b);
    return a.size() == b.size() && (a.empty() || std::memcmp(bits.get(), other.get(), a.size() * sizeof(T)) == 0);
}

/// `write(shape, numbers)` writes them, `read()` gives the array that was written.
template <class Write, class Read>
void write_back(npy_array const& array, Write const& write, Read const& read) {
    visit_type(array.type, [&]<class T>(T) {
        const auto values = array.values<T>();
        write(array.shape, std::span<const T>(contiguous(values).get(), values.size()));
        const npy_array back = read();
        must(back.shape == array.shape, "another shape after writing and reading");
        must(equal(back.values<T>(), values), "other numbers after writing and reading");
    });
}

} // namespace

void npy(input bytes) {
    static const folder place;
    const auto back = place / "back.npy";
    write_back(
        read_npy(place.write("array.npy", bytes)),
        [&](auto const& shape, auto values) { write_npy(back, shape, values); }, [&] { return read_npy(back); });
}

void npz(input bytes) {
    static const folder place;
    const auto back = place / "back.npz";
    const npz_reader file(place.write("arrays.npz", bytes));
    for (auto const& name : file.names()) {
        must(file.contains(name), "an array is not found by its name");
        const auto write = [&](auto const& shape, auto values) {
            npz_writer to(back);
            to.add(name, shape, values);
            to.finish();
        };
        write_back(file.array(name), write, [&] { return npz_reader(back).array(name); });
    }
}

} // namespace bitlens::fuzz
