#pragma once
/// Whether a test may limit the address space of a process.

namespace bitlens::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool has_address_space_to_spare = false; // sanitizers take terabytes of it
#else
inline constexpr bool has_address_space_to_spare = true;
#endif

} // namespace bitlens::test
