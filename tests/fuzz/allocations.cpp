#include "allocations.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <malloc.h>
#include <new>

namespace {

constexpr std::int64_t none = INT64_MAX;
std::atomic<std::size_t> held{0}, peak{0};
std::atomic<std::int64_t> left{none}; // until one fails

/// Whether memory is to be had for one more.
bool may_allocate() noexcept { return left == none || left-- != 0; }

void* counted(void* place) {
    if (place == nullptr) throw std::bad_alloc();
    const std::size_t now = held += malloc_usable_size(place);
    for (std::size_t before = peak; before < now && !peak.compare_exchange_weak(before, now);) {
    }
    return place;
}

void release(void* place) noexcept {
    if (place != nullptr) held -= malloc_usable_size(place);
    std::free(place);
}

} // namespace

void* operator new(std::size_t size) {
    return counted(may_allocate() ? std::malloc(std::max<std::size_t>(size, 1)) : nullptr);
}
void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
    try {
        return operator new(size);
    } catch (std::bad_alloc const&) {
        return nullptr;
    }
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    const auto unit = static_cast<std::size_t>(alignment);
    const std::size_t whole = (std::max<std::size_t>(size, 1) + unit - 1) / unit * unit;
    return counted(may_allocate() ? std::aligned_alloc(unit, whole) : nullptr);
}
void operator delete(void* place) noexcept { release(place); }
void operator delete(void* place, std::size_t) noexcept { release(place); }
void operator delete(void* place, std::nothrow_t const&) noexcept { release(place); }
void operator delete(void* place, std::align_val_t) noexcept { release(place); }
void operator delete(void* place, std::size_t, std::align_val_t) noexcept { release(place); }

namespace bitlens::fuzz {

std::size_t allocated() noexcept { return held; }
std::size_t take_peak() noexcept { return peak.exchange(held); }
void fail_after(std::size_t n) noexcept { left = static_cast<std::int64_t>(n); }
bool fail_no_more() noexcept { return left.exchange(none) < 0; }

} // namespace bitlens::fuzz
