#pragma once
/// Huge pages: one entry of the processor's address cache for 2 MiB instead of 4 KiB. Kernels walk down matrices whose
/// rows lie pages apart, and looking an address up costs most where a virtual machine does it twice.

#include <cstddef>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace bitlens::detail {

inline constexpr std::size_t huge_page = std::size_t{2} << 20;

/// Asks for huge pages where `bytes` bytes at `p` hold whole ones. Only the system knows whether it has any, and
/// nothing but time depends on it. To be called before the first touch.
inline void prefer_huge_pages([[maybe_unused]] void* p, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef __linux__
    if (bytes >= huge_page) ::madvise(p, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
}

} // namespace bitlens::detail
