#pragma once
/// Which pages of this process's memory are there, as the system says.

#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <stdexcept>
#include <unistd.h>

namespace bitlens::test {

/// Pages that lie wholly in the bytes, and of these those that are there.
struct page_count {
    std::size_t all = 0, present = 0;
};

inline page_count count_pages(void const* data, std::size_t bytes) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    const int table = ::open("/proc/self/pagemap", O_RDONLY); // 8 bytes a page; the highest bit: it is there
    page_count count;
    for (std::uintptr_t p = (begin + page - 1) / page; p < (begin + bytes) / page; ++p, ++count.all) {
        std::uint64_t entry = 0;
        if (::pread(table, &entry, sizeof entry, static_cast<off_t>(p * sizeof entry)) != sizeof entry)
            throw std::runtime_error("/proc/self/pagemap cannot be read");
        count.present += entry >> 63;
    }
    ::close(table);
    return count;
}

} // namespace bitlens::test
