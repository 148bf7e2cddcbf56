#include "files.hpp"
#include "targets.hpp"

#include "npy_numbers.hpp"

#include "bitlens/io/npy.hpp"
#include "bitlens/io/npz.hpp"

#include <cstring>
#include <string>
#include <vector>

namespace bitlens::fuzz {

namespace {

/// The same bits, NaN or not.
template <class T>
bool equal(std::vector<T> const& a, std::vector<T> const& b) {
    const auto bits = test::contiguous(a), other = test::contiguous(b);
    return a.size() == b.size() && (a.empty() || std::memcmp(bits.get(), other.get(), a.size() * sizeof(T)) == 0);
}

/// `write(shape, numbers)` writes them, `read()` gives the array that was written.
template <class Write, class Read>
void write_back(npy_array const& array, Write const& write, Read const& read) {
    test::visit_type(array.type, [&]<class T>(T) {
        const auto values = array.values<T>();
        write(array.shape, std::span<const T>(test::contiguous(values).get(), values.size()));
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
