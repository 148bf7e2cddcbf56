#pragma once
/// The compiler's vector intrinsics, included before anyone else does: g++ 12 warns wherever an AVX-512 intrinsic that
/// starts from an undefined register is inlined, and decides where the header is first included whether it may.

#if defined(__x86_64__) || defined(__i386__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
