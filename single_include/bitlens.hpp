#pragma once
// bitlens in one file, made by single_include/generate.cmake: change the headers under include/, not this.

// ---- bitlens/bitlens.hpp
/// All of bitlens, in the order of the ranks.

// ---- bitlens/core.hpp
/// core: what every other folder stands on. No formats, no models, no files.

// ---- bitlens/core/arithmetic.hpp
/// arithmetic: what the products of activations and weights are computed with. All else is float32.

// ---- bitlens/core/error.hpp
/// Errors that outside data can cause, and the assertion for promises inside the library.

#include <cassert>
#include <stdexcept>
#include <string>

namespace bitlens {

/// Root of everything the library throws. The text says who, what was found and what was expected.
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Two things that must fit together do not: a matrix and its vector, a group size and a row.
struct shape_error : error {
    using error::error;
};

/// Bytes that do not follow the format they claim. The text names the file and, where there is one, the tensor or
/// field.
struct format_error : error {
    using error::error;
};

/// The operating system refused: open, read, write, map, lock.
struct io_error : error {
    using error::error;
};

/// An option, a method name or a pattern that means nothing here. The text lists what exists.
struct option_error : error {
    using error::error;
};

} // namespace bitlens

/// A promise between parts of the library, or of who writes an inner loop; gone under NDEBUG. Outside data never
/// reaches one, nor do the operands of a whole call: those throw instead.
#define BITLENS_ASSERT(condition) assert(condition)

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bitlens {

enum class arithmetic : std::uint8_t {
    f32,           ///< float32 operands and sums, fused multiply-adds
    bf16_emulated, ///< operands rounded to bf16, then as f32: their products are exact in float32
    bf16_dot,      ///< AVX512_BF16: operands rounded to bf16, products summed in float32 two at a time
    bf16_tile,     ///< AMX-BF16: the same, in tiles of 16 rows
};

inline constexpr std::array all_arithmetics{arithmetic::f32, arithmetic::bf16_emulated, arithmetic::bf16_dot,
                                            arithmetic::bf16_tile};

/// "float32", "bf16 (AMX tiles)" …
constexpr std::string_view name(arithmetic a) noexcept {
    switch (a) {
    case arithmetic::f32:
        return "float32";
    case arithmetic::bf16_emulated:
        return "bf16 (emulated)";
    case arithmetic::bf16_dot:
        return "bf16 (AVX-512 dot products)";
    case arithmetic::bf16_tile:
        break;
    }
    return "bf16 (AMX tiles)";
}

namespace detail {

#if defined(__x86_64__) && defined(__linux__)
inline bool has_avx512_bf16() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1) != 0;
}
/// Asks the system for the state of the tiles, which it grants a process once and for all its threads.
inline bool has_amx_bf16() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!has_avx512_bf16() || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
    const bool bf16_instructions = (d >> 22 & 1) != 0, tiles = (d >> 24 & 1) != 0;
    constexpr long request_permission = 0x1023, tile_data = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA of Linux
    return bf16_instructions && tiles && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
inline bool has_avx512_bf16() noexcept { return false; }
inline bool has_amx_bf16() noexcept { return false; }
#endif

} // namespace detail

/// Whether this machine can, and its system lets us.
inline bool is_available(arithmetic a) noexcept {
    if (a == arithmetic::bf16_dot) {
        static const bool dot = detail::has_avx512_bf16();
        return dot;
    }
    if (a == arithmetic::bf16_tile) {
        static const bool tile = detail::has_amx_bf16();
        return tile;
    }
    return true;
}

/// Errors: option_error unless it is available.
inline arithmetic checked(arithmetic a) {
    if (!is_available(a))
        throw option_error("arithmetic " + std::string(name(a)) +
                           ": this machine has none; best_bf16() is the fastest bf16 that it has");
    return a;
}

/// The fastest bf16 that is available.
inline arithmetic best_bf16() noexcept {
    for (const arithmetic a : {arithmetic::bf16_tile, arithmetic::bf16_dot})
        if (is_available(a)) return a;
    return arithmetic::bf16_emulated;
}

} // namespace bitlens

// ---- bitlens/core/half.hpp
/// f16 and bf16: the two 16-bit floats of checkpoints, as storage. Arithmetic is always float.

#include <bit>
#include <cstdint>

namespace bitlens {

/// The top half of a float: 1 sign, 8 exponent, 7 mantissa bits.
struct bf16 {
    std::uint16_t bits = 0;

    bf16() = default;
    /// Nearest, ties to even; a NaN stays one and becomes quiet.
    constexpr explicit bf16(float x) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(x);
        if ((u & 0x7FFFFFFFu) > 0x7F800000u)
            bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);
        else
            bits = static_cast<std::uint16_t>((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
    }
    static constexpr bf16 from_bits(std::uint16_t b) noexcept {
        bf16 x;
        x.bits = b;
        return x;
    }
    constexpr operator float() const noexcept { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 mantissa bits.
struct f16 {
    std::uint16_t bits = 0;

    f16() = default;
    /// Nearest, ties to even; from 65520 on infinity; a NaN stays one and becomes quiet.
    constexpr explicit f16(float x) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(x);
        const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
        const std::uint32_t a = u & 0x7FFFFFFFu; // |x|
        std::uint32_t h = 0;
        if (a > 0x7F800000u) {
            h = 0x7E00u | ((a >> 13) & 0x3FFu);
        } else if (a >= 0x477FF000u) { // 65520: half way between the largest f16 and 2¹⁶
            h = 0x7C00u;
        } else if (a >= 0x38800000u) { // 2⁻¹⁴: the smallest normal f16
            h = (a - 0x38000000u + 0xFFFu + ((a >> 13) & 1u)) >> 13;
        } else if (a > 0x33000000u) {                     // above 2⁻²⁵: a subnormal f16
            const std::uint32_t shift = 126u - (a >> 23); // mantissa → units of 2⁻²⁴
            const std::uint32_t mantissa = (a & 0x7FFFFFu) | 0x800000u;
            const std::uint32_t half = 1u << (shift - 1u);
            h = (mantissa + half - 1u + ((mantissa >> shift) & 1u)) >> shift;
        }
        bits = static_cast<std::uint16_t>(sign | h);
    }
    static constexpr f16 from_bits(std::uint16_t b) noexcept {
        f16 x;
        x.bits = b;
        return x;
    }
    constexpr operator float() const noexcept {
        const std::uint32_t sign = (std::uint32_t{bits} & 0x8000u) << 16;
        const std::uint32_t exponent = (std::uint32_t{bits} >> 10) & 0x1Fu;
        const std::uint32_t mantissa = std::uint32_t{bits} & 0x3FFu;
        if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
        if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24f; // exact
        return sign ? -magnitude : magnitude;
    }
};

} // namespace bitlens

// ---- bitlens/core/huge_pages.hpp
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

// ---- bitlens/core/intrinsics.hpp
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

// ---- bitlens/core/machine.hpp
/// What this process may use of the machine: cores and memory, as its control group (cgroup v1 or v2) and its own
/// limits (ulimit) say.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <sched.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

namespace bitlens {

namespace detail {

/// The limits of a control group hold for all groups below it, so the smallest on the way to the root counts.
/// `read_limit` is called with each folder on that way.
template <class F>
void for_each_cgroup_folder(F read_limit) {
    std::ifstream groups("/proc/self/cgroup"); // lines hierarchy:controllers:path
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':');
        const auto second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
        for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
            if (path == "/") path.clear();
            read_limit(root + path);
            if (path.empty()) break;
        }
    }
}

inline std::optional<double> read_number(std::string const& path) {
    std::ifstream file(path);
    double value = 0;
    if (file >> value) return value; // the word "max" is no number: no limit
    return std::nullopt;
}

} // namespace detail

/// Cores this process may run on: its affinity, cut by the CPU quota of its control group, at least 1.
inline unsigned available_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    double cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    else if (const long online = sysconf(_SC_NPROCESSORS_ONLN); online > 0)
        cores = static_cast<double>(online);
    detail::for_each_cgroup_folder([&](std::string const& folder) {
        double quota = 0, period = 0;
        if (std::ifstream v2(folder + "/cpu.max"); v2 >> quota >> period && period > 0)
            cores = std::min(cores, std::ceil(quota / period));
        const auto v1_quota = detail::read_number(folder + "/cpu.cfs_quota_us");
        const auto v1_period = detail::read_number(folder + "/cpu.cfs_period_us");
        if (v1_quota && v1_period && *v1_quota > 0 && *v1_period > 0)
            cores = std::min(cores, std::ceil(*v1_quota / *v1_period));
    });
    return std::max(1u, static_cast<unsigned>(cores));
}

/// Bytes of memory this process may have in all: the machine's, cut by the limits of its control group and its own.
inline std::uint64_t available_memory() {
    const double pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
    double bytes = pages * static_cast<double>(sysconf(_SC_PAGE_SIZE));
    detail::for_each_cgroup_folder([&](std::string const& folder) {
        for (const char* name : {"/memory.max", "/memory.limit_in_bytes"})
            if (const auto limit = detail::read_number(folder + name)) bytes = std::min(bytes, *limit);
    });
    rlimit limit{};
    for (const auto resource : {RLIMIT_AS, RLIMIT_DATA})
        if (getrlimit(resource, &limit) == 0) bytes = std::min(bytes, static_cast<double>(limit.rlim_cur));
    return static_cast<std::uint64_t>(bytes);
}

} // namespace bitlens

// ---- bitlens/core/name_index.hpp
/// name_index: the places of named things.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

namespace bitlens {

/// Finds places by name: filled, sorted once, then searched by halves. The names are borrowed.
class name_index {
public:
    struct entry {
        std::string_view name;
        std::size_t place;
    };

    void reserve(std::size_t names) { entries_.reserve(names); }
    void add(std::string_view name, std::size_t place) { entries_.push_back({name, place}); }

    /// Before anything below. The places of one name rise.
    void sort() {
        std::sort(entries_.begin(), entries_.end(),
                  [](entry const& a, entry const& b) { return std::tie(a.name, a.place) < std::tie(b.name, b.place); });
    }

    /// By name, in the order of their bytes.
    std::span<const entry> entries() const noexcept { return entries_; }

    /// The first name that was added more than once.
    std::optional<std::string_view> repeated() const noexcept {
        for (std::size_t i = 1; i < entries_.size(); ++i)
            if (entries_[i - 1].name == entries_[i].name) return entries_[i].name;
        return std::nullopt;
    }

    /// The first of the places added under a name.
    std::optional<std::size_t> find(std::string_view name) const noexcept {
        const auto found = std::lower_bound(entries_.begin(), entries_.end(), name,
                                            [](entry const& e, std::string_view n) { return e.name < n; });
        if (found == entries_.end() || found->name != name) return std::nullopt;
        return found->place;
    }

private:
    std::vector<entry> entries_;
};

} // namespace bitlens

// ---- bitlens/core/parallel.hpp
/// Threads: the one door to oneTBB. BITLENS_STD_THREADS swaps in std::thread, for the thread sanitizer, which reports
/// races inside an uninstrumented oneTBB.

#include <algorithm>
#include <cstddef>

#ifdef BITLENS_STD_THREADS
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>
#else
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#endif

namespace bitlens {

namespace detail {
/// A function of whatever type, borrowed: the loops that call it are compiled once, not for every function.
template <class... Arguments>
class function_view {
public:
    template <class F>
    explicit function_view(F const& f)
        : function_(&f), call_([](void const* function, Arguments... a) { (*static_cast<F const*>(function))(a...); }) {
    }

    void operator()(Arguments... a) const { call_(function_, a...); }

private:
    void const* function_;
    void (*call_)(void const* function, Arguments... a);
};
using indexed_function = function_view<std::size_t>;                         // of i
using piece_function = function_view<std::size_t, std::size_t, std::size_t>; // of task, begin, end
} // namespace detail

#ifdef BITLENS_STD_THREADS

namespace detail {
inline std::atomic<unsigned>& thread_limit_value() {
    static std::atomic<unsigned> value{std::max(1u, std::thread::hardware_concurrency())};
    return value;
}
inline thread_local bool inside_parallel_for = false;
} // namespace detail

/// While it lives, parallel_for uses at most `threads` threads. Of several that live, the smallest counts; they end in
/// the reverse order.
class thread_limit {
public:
    explicit thread_limit(unsigned threads) : before_(detail::thread_limit_value()) {
        detail::thread_limit_value() = std::clamp(threads, 1u, before_);
    }
    ~thread_limit() { detail::thread_limit_value() = before_; }
    thread_limit(thread_limit const&) = delete;
    thread_limit& operator=(thread_limit const&) = delete;

private:
    unsigned before_;
};

namespace detail {
inline void for_each_index(std::size_t n, indexed_function const& f) {
    const std::size_t threads = std::min<std::size_t>(n, thread_limit_value());
    if (threads <= 1 || inside_parallel_for) { // nested loops run in the thread that met them
        for (std::size_t i = 0; i < n; ++i) f(i);
        return;
    }
    std::atomic<std::size_t> next{0};
    std::exception_ptr first_error;
    std::mutex error_mutex;
    const auto work = [&] {
        inside_parallel_for = true;
        try {
            for (std::size_t i; (i = next.fetch_add(1)) < n;) f(i);
        } catch (...) {
            next = n;
            const std::lock_guard lock(error_mutex);
            if (!first_error) first_error = std::current_exception();
        }
        inside_parallel_for = false;
    };
    {
        std::vector<std::jthread> others; // joined at the end of this block, and when one more cannot be started
        others.reserve(threads - 1);
        for (std::size_t t = 1; t < threads; ++t) others.emplace_back(work);
        work();
    }
    if (first_error) std::rethrow_exception(first_error);
}
} // namespace detail

#else

/// While it lives, parallel_for uses at most `threads` threads. Of several that live, the smallest counts; they end in
/// the reverse order.
class thread_limit {
public:
    explicit thread_limit(unsigned threads)
        : control_(tbb::global_control::max_allowed_parallelism, std::max<std::size_t>(1, threads)) {}

private:
    tbb::global_control control_;
};

namespace detail {
inline void for_each_index(std::size_t n, indexed_function const& f) {
    tbb::parallel_for(
        tbb::blocked_range<std::size_t>(0, n, 1),
        [&f](tbb::blocked_range<std::size_t> const& range) {
            for (std::size_t i = range.begin(); i != range.end(); ++i) f(i);
        },
        tbb::simple_partitioner{});
}
} // namespace detail

#endif

/// f(i) for every i < n, in any order, on several threads. The first exception leaves here, after all tasks have ended.
template <class F>
void parallel_for(std::size_t n, F const& f) {
    detail::for_each_index(n, detail::indexed_function(f));
}

namespace detail {
inline void for_each_piece(std::size_t n, std::size_t tasks, std::size_t unit, piece_function const& f) {
    BITLENS_ASSERT(tasks > 0 && unit > 0);
    const std::size_t units = (n + unit - 1) / unit;
    const auto piece = [&](std::size_t task) {
        const std::size_t begin = std::min(n, units * task / tasks * unit);
        const std::size_t end = std::min(n, units * (task + 1) / tasks * unit);
        if (begin < end) f(task, begin, end);
    };
    if (tasks == 1)
        piece(0);
    else
        parallel_for(tasks, piece);
}
} // namespace detail

/// Splits 0 … n − 1 into `tasks` neighbouring pieces whose borders are multiples of `unit`, and calls
/// f(task, begin, end) for every piece that is not empty. A task may own scratch by its number.
template <class F>
void parallel_pieces(std::size_t n, std::size_t tasks, std::size_t unit, F const& f) {
    detail::for_each_piece(n, tasks, unit, detail::piece_function(f));
}

} // namespace bitlens

// ---- bitlens/core/random.hpp
/// Our own seeded generator: the same numbers on every platform and standard library.

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace bitlens {

/// xoshiro256** (Blackman & Vigna 2018), seeded by splitmix64. Satisfies std::uniform_random_bit_generator.
class random_generator {
public:
    using result_type = std::uint64_t;

    explicit constexpr random_generator(std::uint64_t seed) noexcept {
        for (auto& word : state_) {
            std::uint64_t z = seed += 0x9E3779B97F4A7C15u;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
            word = z ^ (z >> 31);
        }
    }
    static constexpr result_type min() noexcept { return 0; }
    static constexpr result_type max() noexcept { return ~result_type{0}; }

    constexpr result_type operator()() noexcept {
        const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
        const std::uint64_t t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }
    /// Uniform in 0 … n − 1, without bias. n ≥ 1 is asserted.
    constexpr std::uint64_t below(std::uint64_t n) noexcept {
        BITLENS_ASSERT(n > 0);
        const std::uint64_t rejected = (0 - n) % n; // 2⁶⁴ mod n
        for (;;)
            if (const std::uint64_t x = (*this)(); x >= rejected) return x % n;
    }
    /// Uniform in [0, 1), 53 bits.
    constexpr double uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
    /// Standard normal (Box & Muller 1958), one of the pair.
    double normal() noexcept {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
        return radius * std::cos(2.0 * std::numbers::pi * uniform());
    }

private:
    std::uint64_t state_[4] = {};
};

} // namespace bitlens

// ---- bitlens/core/shape_check.hpp
/// What a public function checks of its operands, once per call: that they fit each other.

// ---- bitlens/core/view.hpp
/// matrix_view (borrowed) and matrix (owned): rows of numbers, the shape that everything between two layers has.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace bitlens {

/// Alignment of owned numbers in bytes: one cache line, the widest vector register there is.
inline constexpr std::size_t alignment = 64;

/// A borrowed matrix: `rows` rows of `cols` neighbouring numbers, `stride` numbers from one row to the next.
template <class T>
struct matrix_view {
    T* data = nullptr;
    std::size_t rows = 0, cols = 0, stride = 0;

    constexpr matrix_view() = default;
    constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count, std::size_t row_stride) noexcept
        : data(first), rows(row_count), cols(col_count), stride(row_stride) {}
    constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count) noexcept
        : matrix_view(first, row_count, col_count, col_count) {}

    constexpr std::span<T> row(std::size_t r) const noexcept {
        BITLENS_ASSERT(r < rows);
        return {data + r * stride, cols};
    }
    constexpr T& operator()(std::size_t r, std::size_t c) const noexcept {
        BITLENS_ASSERT(r < rows && c < cols);
        return data[r * stride + c];
    }
    /// Rows first … first + count − 1, not copied.
    constexpr matrix_view middle_rows(std::size_t first, std::size_t count) const noexcept {
        BITLENS_ASSERT(first + count <= rows);
        return {data + first * stride, count, cols, stride};
    }
    /// Columns first … first + count − 1, not copied.
    constexpr matrix_view middle_cols(std::size_t first, std::size_t count) const noexcept {
        BITLENS_ASSERT(first + count <= cols);
        return {data + first, rows, count, stride};
    }
    constexpr operator matrix_view<const T>() const noexcept requires(!std::is_const_v<T>) {
        return {data, rows, cols, stride};
    }
};

/// Numbers on a cache line of their own, zero at first. Move-only: a copy of a weight matrix is never meant by
/// accident. What was moved from is empty.
template <class T>
class aligned_array {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                  "aligned_array holds plain numbers");

public:
    aligned_array() = default;
    explicit aligned_array(std::size_t size) : size_(size) {
        if (size == 0) return;
        if (size > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length();
        const std::size_t bytes = size * sizeof(T);
        const std::align_val_t place{bytes < detail::huge_page ? alignment : detail::huge_page};
        data_ = {static_cast<T*>(::operator new(bytes, place)), free_aligned{place}};
        detail::prefer_huge_pages(data_.get(), bytes);
        std::fill_n(data_.get(), size, T{});
    }
    aligned_array(aligned_array&& other) noexcept
        : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
    aligned_array& operator=(aligned_array&& other) noexcept {
        data_ = std::move(other.data_);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }

    T* data() noexcept { return data_.get(); }
    T const* data() const noexcept { return data_.get(); }
    std::size_t size() const noexcept { return size_; }
    std::span<T> span() noexcept { return {data(), size_}; }
    std::span<const T> span() const noexcept { return {data(), size_}; }
    T& operator[](std::size_t i) noexcept {
        BITLENS_ASSERT(i < size_);
        return data_.get()[i];
    }
    T const& operator[](std::size_t i) const noexcept {
        BITLENS_ASSERT(i < size_);
        return data_.get()[i];
    }

private:
    struct free_aligned {
        std::align_val_t place{alignment};
        void operator()(T* p) const noexcept { ::operator delete(p, place); }
    };
    std::unique_ptr<T, free_aligned> data_;
    std::size_t size_ = 0;
};

/// An owned matrix, zero at first, rows back to back. Move-only; what was moved from has no rows and no columns.
template <class T>
class matrix {
public:
    matrix() = default;
    matrix(std::size_t rows, std::size_t cols) : rows_(rows), cols_(cols), values_(checked_size(rows, cols)) {}
    matrix(matrix&& other) noexcept
        : rows_(std::exchange(other.rows_, 0)), cols_(std::exchange(other.cols_, 0)),
          values_(std::move(other.values_)) {}
    matrix& operator=(matrix&& other) noexcept {
        rows_ = std::exchange(other.rows_, 0);
        cols_ = std::exchange(other.cols_, 0);
        values_ = std::move(other.values_);
        return *this;
    }

    std::size_t rows() const noexcept { return rows_; }
    std::size_t cols() const noexcept { return cols_; }
    T* data() noexcept { return values_.data(); }
    T const* data() const noexcept { return values_.data(); }
    std::span<T> span() noexcept { return values_.span(); }
    std::span<const T> span() const noexcept { return values_.span(); }
    std::span<T> row(std::size_t r) noexcept { return view().row(r); }
    std::span<const T> row(std::size_t r) const noexcept { return view().row(r); }
    T& operator()(std::size_t r, std::size_t c) noexcept { return view()(r, c); }
    T const& operator()(std::size_t r, std::size_t c) const noexcept { return view()(r, c); }
    matrix_view<T> view() noexcept { return {data(), rows_, cols_}; }
    matrix_view<const T> view() const noexcept { return {data(), rows_, cols_}; }
    operator matrix_view<T>() noexcept { return view(); }
    operator matrix_view<const T>() const noexcept { return view(); }

private:
    static std::size_t checked_size(std::size_t rows, std::size_t cols) {
        if (cols != 0 && rows > std::numeric_limits<std::size_t>::max() / cols) throw std::bad_array_new_length();
        return rows * cols;
    }
    std::size_t rows_ = 0, cols_ = 0;
    aligned_array<T> values_;
};

} // namespace bitlens

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bitlens {

namespace detail {

/// "2 × 3".
inline std::string rows_by_cols(std::size_t rows, std::size_t cols) {
    return std::to_string(rows) + " × " + std::to_string(cols);
}

// Apart from the comparisons, and not compiled into each place: only a mistake comes here.
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_shape(const char* who, const char* what, std::size_t rows,
                                                                std::size_t cols, std::size_t expected_rows,
                                                                std::size_t expected_cols) {
    throw shape_error(std::string(who) + ": " + what + " is " + rows_by_cols(rows, cols) + ", expected " +
                      rows_by_cols(expected_rows, expected_cols));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_size(const char* who, const char* what, std::size_t size,
                                                               std::size_t expected) {
    throw shape_error(std::string(who) + ": " + what + " has " + std::to_string(size) + " elements, expected " +
                      std::to_string(expected));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_range(const char* who, const char* what, std::size_t first,
                                                                std::size_t count, std::size_t size) {
    throw shape_error(std::string(who) + ": " + std::to_string(count) + " " + what + " from " + std::to_string(first) +
                      " on, of " + std::to_string(size));
}

/// Errors: shape_error unless the matrix, a view or one that owns, has so many rows and columns.
inline void check_shape(const char* who, const char* what, std::size_t rows, std::size_t cols,
                        std::size_t expected_rows, std::size_t expected_cols) {
    if (rows != expected_rows || cols != expected_cols)
        refuse_shape(who, what, rows, cols, expected_rows, expected_cols);
}
template <class T>
void check_shape(const char* who, const char* what, matrix_view<T> m, std::size_t expected_rows,
                 std::size_t expected_cols) {
    check_shape(who, what, m.rows, m.cols, expected_rows, expected_cols);
}
/// Errors: shape_error unless there are so many.
inline void check_size(const char* who, const char* what, std::size_t size, std::size_t expected) {
    if (size != expected) refuse_size(who, what, size, expected);
}
/// Errors: shape_error unless first … first + count − 1 are among `size`.
inline void check_range(const char* who, const char* what, std::size_t first, std::size_t count, std::size_t size) {
    if (first > size || count > size - first) refuse_range(who, what, first, count, size);
}

} // namespace detail

/// Errors: shape_error for an id outside 0 … vocabulary − 1, with its position.
inline void check_token_ids(std::span<const std::int32_t> ids, std::size_t vocabulary) {
    for (std::size_t t = 0; t < ids.size(); ++t)
        if (ids[t] < 0 || static_cast<std::size_t>(ids[t]) >= vocabulary)
            throw shape_error("token id " + std::to_string(ids[t]) + " at position " + std::to_string(t) +
                              " is outside the vocabulary of " + std::to_string(vocabulary));
}

} // namespace bitlens

// ---- bitlens/core/utf8.hpp
/// UTF-8: characters of text that came from outside, and how an error message may show it.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// One character of UTF-8 text and the number of bytes that it takes there. A byte that belongs to none is U+FFFD of
/// size 1.
struct character {
    char32_t code;
    std::size_t size;

    constexpr bool valid() const noexcept { return code != U'\uFFFD' || size == 3; }
};

/// The character that begins at byte `at` < text.size(). Overlong forms, surrogates and values above U+10FFFF are none.
/// Source: Unicode 15, table 3-7.
constexpr character decode_utf8(std::string_view text, std::size_t at = 0) noexcept {
    constexpr character invalid{U'\uFFFD', 1};
    const auto byte = [&](std::size_t i) { return char32_t{static_cast<std::uint8_t>(text[at + i])}; };
    const char32_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t size = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (size == 0 || text.size() - at < size) return invalid;
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    char32_t code = lead & (0x7Fu >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return invalid;
        code = code << 6 | (byte(i) & 0x3F);
    }
    if (code < smallest[size] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return invalid;
    return {code, size};
}

/// Whether all bytes are below 128.
constexpr bool is_ascii(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// Bytes of the longest valid UTF-8 prefix; equal to text.size() if all of it is valid.
constexpr std::size_t valid_utf8_length(std::string_view text) noexcept {
    std::size_t i = 0;
    while (i < text.size()) {
        const character c = decode_utf8(text, i);
        if (!c.valid()) break;
        i += c.size;
    }
    return i;
}

constexpr bool is_utf8(std::string_view text) noexcept { return valid_utf8_length(text) == text.size(); }

/// Appends one character as UTF-8. `code` must be a scalar value: no surrogate, at most U+10FFFF.
inline void append_utf8(std::string& text, char32_t code) {
    const auto put = [&](char32_t bits) { text.push_back(static_cast<char>(static_cast<unsigned char>(bits))); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)),
            put(0x80 | (code & 0x3F));
    }
}

namespace detail {

/// "\\xNN": a byte that cannot be shown as it is.
inline std::array<char, 4> hex_escape(char c) noexcept {
    constexpr char digits[] = "0123456789abcdef";
    const auto byte = static_cast<std::uint8_t>(c);
    return {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
}

} // namespace detail

/// A name from a file as an error message shows it: in double quotes, at most 100 bytes of it, everything but printable
/// ASCII as `\xNN`.
inline std::string in_quotes(std::string_view text) {
    constexpr std::size_t longest = 100;
    std::string shown = "\"";
    for (const char c : text.substr(0, longest)) {
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\')
            shown += c;
        else
            for (const char sign : detail::hex_escape(c)) shown += sign;
    }
    shown += text.size() > longest ? "…\"" : "\"";
    return shown;
}

} // namespace bitlens

// ---- bitlens/core/workspace.hpp
/// workspace: memory that the owner of a run lends to the kernels it calls, so that none of them allocates.

#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

/// A stack of bytes, the number of tasks a kernel may split into, and the arithmetic of its products. It belongs to the
/// task of one example, never to a thread: a thread that waits inside a kernel may take up another example.
class workspace {
public:
    /// `bytes` is what the largest call needs: each kernel has a `…_bytes` function.
    /// Errors: option_error for no tasks, or products that are not available.
    explicit workspace(std::size_t bytes, unsigned tasks = 1, arithmetic products = arithmetic::f32)
        : memory_(bytes), tasks_(tasks), products_(checked(products)) { // which asks the system for its tiles
        if (tasks == 0) throw option_error("workspace: 0 tasks, expected at least 1");
    }
    unsigned tasks() const noexcept { return tasks_; }
    arithmetic products() const noexcept { return products_; }
    std::size_t capacity() const noexcept { return memory_.size(); }

    /// What a kernel asks before it begins.   Errors: shape_error unless so many bytes are free.
    void require(const char* who, std::size_t bytes) const {
        if (bytes > capacity() - used_) refuse(who, bytes);
    }

    /// What `take<T>(count)` uses up.
    template <class T>
    static constexpr std::size_t bytes_for(std::size_t count) noexcept {
        return (count * sizeof(T) + alignment - 1) / alignment * alignment;
    }

    /// Takes memory until it goes out of scope, then gives all of it back. Frames nest.
    class frame {
    public:
        explicit frame(workspace& w) noexcept : workspace_(w), mark_(w.used_) {}
        ~frame() { workspace_.used_ = mark_; }
        frame(frame const&) = delete;
        frame& operator=(frame const&) = delete;

        /// `count` numbers on a cache line of their own, values unspecified.   Errors: as require.
        template <class T>
        std::span<T> take(std::size_t count) {
            workspace_.require("workspace::frame::take", bytes_for<T>(count));
            auto* first = reinterpret_cast<T*>(workspace_.memory_.data() + workspace_.used_);
            workspace_.used_ += bytes_for<T>(count);
            return {first, count};
        }
        template <class T>
        matrix_view<T> take(std::size_t rows, std::size_t cols) {
            return {take<T>(rows * cols).data(), rows, cols};
        }

    private:
        workspace& workspace_;
        std::size_t mark_;
    };

private:
    [[noreturn, gnu::cold, gnu::noinline]] void refuse(const char* who, std::size_t bytes) const {
        throw shape_error(std::string(who) + ": the workspace has " + std::to_string(capacity() - used_) + " of " +
                          std::to_string(capacity()) + " bytes free, expected at least " + std::to_string(bytes) +
                          " for " + std::to_string(tasks_) + (tasks_ == 1 ? " task" : " tasks") +
                          "; each kernel has a function …_bytes that says how many");
    }

    aligned_array<std::byte> memory_;
    std::size_t used_ = 0;
    unsigned tasks_;
    arithmetic products_;
};

} // namespace bitlens

// ---- bitlens/simd.hpp
/// Vectors of numbers, whatever the instruction set.

// ---- bitlens/simd/arch.hpp
/// Instruction sets: the one door to xsimd, and `scalar`, an instruction set of one lane for machines xsimd lacks.

#include <xsimd/xsimd.hpp>

#include <concepts>
#include <string>
#include <type_traits>

namespace bitlens::simd {

/// One lane, plain C++: the twin that shows what the vector units compute.
struct scalar {
    static constexpr const char* name() noexcept { return "scalar"; }
};

/// The best instruction set this program was compiled for.
using default_arch =
    std::conditional_t<std::is_same_v<xsimd::default_arch, xsimd::unsupported>, scalar, xsimd::default_arch>;

template <class Arch>
std::string arch_name() {
    return Arch::name();
}

#ifdef __AVX512F__
/// The mask of the `maskz` intrinsics that we prefer: the plain ones start from an undefined register, about which g++
/// 12 warns wherever they are inlined. The instruction is the same.
inline constexpr __mmask16 all_lanes = 0xFFFF;

template <class Arch>
concept avx512_arch = std::derived_from<Arch, xsimd::avx512f>;
#else
template <class Arch>
concept avx512_arch = false;
#endif

#ifdef __AVX2__
template <class Arch>
concept avx2_arch = std::derived_from<Arch, xsimd::avx2>;
#else
template <class Arch>
concept avx2_arch = false;
#endif

#ifdef __SSE4_1__
template <class Arch>
concept sse4_arch = std::derived_from<Arch, xsimd::sse4_1> && !avx2_arch<Arch> && !avx512_arch<Arch>;
#else
template <class Arch>
concept sse4_arch = false;
#endif

/// Whether a kernel may keep some 28 registers busy, rather than 15.
template <class Arch>
inline constexpr bool has_32_registers = avx512_arch<Arch> || std::is_same_v<Arch, xsimd::neon64>;

} // namespace bitlens::simd

// ---- bitlens/simd/batch.hpp
/// batch: a vector register of numbers, for every instruction set of simd/arch.hpp with the same words.

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bitlens::simd {

/// A register of one lane.
template <class T>
struct scalar_batch {
    static constexpr std::size_t size = 1;
    T value = 0;

    scalar_batch() = default;
    explicit scalar_batch(T x) noexcept : value(x) {}
    static scalar_batch load_unaligned(const T* p) noexcept { return scalar_batch(*p); }
    void store_unaligned(T* p) const noexcept { *p = value; }
    friend scalar_batch operator+(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value + b.value); }
    friend scalar_batch operator-(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value - b.value); }
    friend scalar_batch operator*(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value * b.value); }
    friend scalar_batch operator/(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value / b.value); }
    friend scalar_batch operator-(scalar_batch a) noexcept { return scalar_batch(-a.value); }
};

namespace detail {
template <class T, class Arch>
struct batch_of {
    using type = xsimd::batch<T, Arch>;
};
template <class T>
struct batch_of<T, scalar> {
    using type = scalar_batch<T>;
};
} // namespace detail

/// `size` numbers of type T, as many as fit a register.
template <class T, class Arch>
using batch = typename detail::batch_of<T, Arch>::type;

/// Lanes of float, and of std::int32_t.
template <class Arch>
inline constexpr std::size_t lanes = batch<float, Arch>::size;

/// a · b + c, rounded once where the instruction set can (xsimd before 9 multiplies and adds with AVX-512).
template <class Arch>
xsimd::batch<float, Arch> fma(xsimd::batch<float, Arch> const& a, xsimd::batch<float, Arch> const& b,
                              xsimd::batch<float, Arch> const& c) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>)
        return _mm512_fmadd_ps(a, b, c);
    else
#endif
        return xsimd::fma(a, b, c);
}
inline scalar_batch<float> fma(scalar_batch<float> a, scalar_batch<float> b, scalar_batch<float> c) noexcept {
#ifdef FP_FAST_FMAF
    return scalar_batch<float>(std::fma(a.value, b.value, c.value));
#else
    return a * b + c; // no instruction for it, so no compiler can fuse it behind our back
#endif
}

/// The sum of all lanes, in an order that depends on the instruction set alone.
template <class Arch>
float sum(xsimd::batch<float, Arch> const& a) noexcept {
#if XSIMD_VERSION_MAJOR >= 10
    return xsimd::reduce_add(a);
#else
    return xsimd::hadd(a);
#endif
}
inline float sum(scalar_batch<float> a) noexcept { return a.value; }

template <class Arch>
xsimd::batch<float, Arch> max(xsimd::batch<float, Arch> const& a, xsimd::batch<float, Arch> const& b) noexcept {
    return xsimd::max(a, b);
}
inline scalar_batch<float> max(scalar_batch<float> a, scalar_batch<float> b) noexcept {
    return a.value < b.value ? b : a;
}

/// e^x, relative error < 2.4e-7; what float cannot hold is 0 or ∞.
template <class Arch>
xsimd::batch<float, Arch> exp(xsimd::batch<float, Arch> const& x) noexcept {
    return xsimd::exp(x);
}
inline scalar_batch<float> exp(scalar_batch<float> x) noexcept { return scalar_batch<float>(std::exp(x.value)); }

template <class Arch>
xsimd::batch<float, Arch> to_float(xsimd::batch<std::int32_t, Arch> const& a) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>)
        return _mm512_maskz_cvtepi32_ps(all_lanes, a);
    else
#endif
        return xsimd::to_float(a);
}
inline scalar_batch<float> to_float(scalar_batch<std::int32_t> a) noexcept {
    return scalar_batch<float>(static_cast<float>(a.value));
}

} // namespace bitlens::simd

// ---- bitlens/simd/bf16.hpp
/// Pairs of bf16 numbers: the operands of dot-product instructions.

#include <cstddef>
#include <cstdint>

namespace bitlens::simd {

/// Two neighbouring columns of a row, the first in the low half.
struct bf16_pair {
    std::uint32_t bits;
};

/// Pairs that fill a register of 512 bits.
inline constexpr std::size_t bf16_pairs = 16;

#if defined(__x86_64__)
/// pairs ← x rounded to the nearest bf16, ties to even, subnormal numbers to 0; then zeros up to whole registers.
/// Needs a machine with AVX512_BF16, whatever this program is compiled for.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] inline void
round_to_pairs(const float* x, std::size_t n, bf16_pair* pairs, std::size_t stride = bf16_pairs) noexcept {
    constexpr std::size_t lanes = bf16_pairs, columns = 2 * lanes;
    for (; n >= columns; n -= columns, x += columns, pairs += stride)
        _mm512_storeu_si512(pairs, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + lanes), _mm512_loadu_ps(x)));
    if (n == 0) return;
    const std::uint32_t used = (1u << n) - 1u;
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(used), x),
                 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(used >> lanes), x + lanes);
    _mm512_storeu_si512(pairs, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}
#endif

} // namespace bitlens::simd

// ---- bitlens/simd/lookup.hpp
/// lookup: T[q] for every lane, from a table of a few floats that stays in registers where the instruction set can.

#include <array>

namespace bitlens::simd {

/// A table of Size floats (a power of two). `map` makes another one from it; `operator[]` looks up a register of codes.
/// Any instruction set: the table is in memory.
template <std::size_t Size, class Arch>
class table {
public:
    using vec = batch<float, Arch>;
    /// Whether a lookup is a single instruction, which reads no more bits of a code than it needs: T[q mod Size].
    static constexpr bool is_fast = false;

    explicit table(std::array<float, Size> const& values) noexcept : values_(values) {}

    /// The table of f(v) for its values v; f works on registers.
    template <class F>
    table map(F const& f) const noexcept {
        table result(values_);
        if constexpr (Size >= vec::size) {
            for (std::size_t i = 0; i < Size; i += vec::size)
                f(vec::load_unaligned(&values_[i])).store_unaligned(&result.values_[i]);
        } else {
            std::array<float, vec::size> padded{};
            for (std::size_t i = 0; i < Size; ++i) padded[i] = values_[i];
            f(vec::load_unaligned(padded.data())).store_unaligned(padded.data());
            for (std::size_t i = 0; i < Size; ++i) result.values_[i] = padded[i];
        }
        return result;
    }
    /// T[q]; every q < Size.
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        std::array<std::int32_t, vec::size> index;
        std::array<float, vec::size> found;
        q.store_unaligned(index.data());
        for (std::size_t i = 0; i < vec::size; ++i) found[i] = values_[static_cast<std::size_t>(index[i])];
        return vec::load_unaligned(found.data());
    }

private:
    std::array<float, Size> values_;
};

namespace detail {
/// The values over and over until a register is full.
template <std::size_t Lanes, std::size_t Size>
std::array<float, Lanes> repeated(std::array<float, Size> const& values) noexcept {
    std::array<float, Lanes> all;
    for (std::size_t i = 0; i < Lanes; ++i) all[i] = values[i % Size];
    return all;
}
} // namespace detail

#ifdef __AVX512F__
template <std::size_t Size, avx512_arch Arch>
    requires(Size <= 16)
class table<Size, Arch> {
public:
    using vec = batch<float, Arch>;
    static constexpr bool is_fast = true;

    explicit table(std::array<float, Size> const& values) noexcept
        : values_(vec::load_unaligned(detail::repeated<16>(values).data())) {}
    template <class F>
    table map(F const& f) const noexcept {
        return table(f(values_));
    }
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        return vec(_mm512_maskz_permutexvar_ps(all_lanes, static_cast<__m512i>(q), static_cast<__m512>(values_)));
    }

private:
    explicit table(vec const& values) noexcept : values_(values) {}
    vec values_;
};
#endif

#ifdef __AVX2__
template <std::size_t Size, avx2_arch Arch>
    requires(Size <= 8)
class table<Size, Arch> {
public:
    using vec = batch<float, Arch>;
    static constexpr bool is_fast = true;

    explicit table(std::array<float, Size> const& values) noexcept
        : values_(vec::load_unaligned(detail::repeated<8>(values).data())) {}
    template <class F>
    table map(F const& f) const noexcept {
        return table(f(values_));
    }
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        return vec(_mm256_permutevar8x32_ps(static_cast<__m256>(values_), static_cast<__m256i>(q)));
    }

private:
    explicit table(vec const& values) noexcept : values_(values) {}
    vec values_;
};

/// Two registers, and bit 3 of the code chooses between them.
template <avx2_arch Arch>
class table<16, Arch> {
public:
    using vec = batch<float, Arch>;
    static constexpr bool is_fast = false;

    explicit table(std::array<float, 16> const& values) noexcept
        : low_(vec::load_unaligned(values.data())), high_(vec::load_unaligned(values.data() + 8)) {}
    template <class F>
    table map(F const& f) const noexcept {
        return table(f(low_), f(high_));
    }
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        const __m256i index = static_cast<__m256i>(q);
        const __m256 low = _mm256_permutevar8x32_ps(static_cast<__m256>(low_), index);
        const __m256 high = _mm256_permutevar8x32_ps(static_cast<__m256>(high_), index);
        return vec(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28))));
    }

private:
    table(vec const& low, vec const& high) noexcept : low_(low), high_(high) {}
    vec low_, high_;
};
#endif

} // namespace bitlens::simd

// ---- bitlens/simd/rows.hpp
/// Element-wise work on rows of floats, a register at a time.

#include <algorithm>
#include <array>
#include <cstddef>

namespace bitlens::simd {

/// combine(… combine(v_0, v_1) …, v_n) of the lanes, in order.
template <class Vec, class F>
float fold(Vec const& v, F const& combine) noexcept {
    std::array<float, Vec::size> each;
    v.store_unaligned(each.data());
    float result = each[0];
    for (std::size_t i = 1; i < each.size(); ++i) result = combine(result, each[i]);
    return result;
}

/// y_i = f(x_i …) for i < n. Inputs and y may be the same numbers. A short tail goes through f in a padded register, so
/// that a number's bits do not depend on where it stands.
template <class Arch, class F, class... In>
void map(std::size_t n, F const& f, float* y, In const*... x) noexcept {
    using vec = batch<float, Arch>;
    std::size_t i = 0;
    for (; i + vec::size <= n; i += vec::size) f(vec::load_unaligned(x + i)...).store_unaligned(y + i);
    if (i == n) return;
    const auto padded = [&](float const* p) {
        std::array<float, vec::size> buffer{};
        std::copy(p + i, p + n, buffer.begin());
        return vec::load_unaligned(buffer.data());
    };
    std::array<float, vec::size> tail;
    f(padded(x)...).store_unaligned(tail.data());
    std::copy(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(n - i), y + i);
}

} // namespace bitlens::simd

// ---- bitlens/simd/transpose.hpp
/// transpose: a square of 32-bit elements as wide as a register, rows to columns.

namespace bitlens::simd {

namespace detail {

/// Squares that shuffles transpose; there is none for an instruction set without.
template <class Arch>
struct transposer;
template <class Arch>
concept has_transposer = requires {
    sizeof(transposer<Arch>);
};

#ifdef __AVX512F__
/// Columns arrive in the right 128-bit lane by loading it from there, which leaves 4 × 4 squares to the shuffles.
template <avx512_arch Arch>
struct transposer<Arch> {
    static void run(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) noexcept {
        for (std::size_t j = 0; j < 16; j += 4) { // output rows j … j + 3
            const auto column = [&](std::size_t i) {
                const float* first = in + i * in_stride + j;
                __m512 v = _mm512_zextps128_ps512(_mm_loadu_ps(first));
                v = _mm512_maskz_insertf32x4(all_lanes, v, _mm_loadu_ps(first + 4 * in_stride), 1);
                v = _mm512_maskz_insertf32x4(all_lanes, v, _mm_loadu_ps(first + 8 * in_stride), 2);
                return _mm512_maskz_insertf32x4(all_lanes, v, _mm_loadu_ps(first + 12 * in_stride), 3);
            };
            const __m512 a = column(0), b = column(1), c = column(2), d = column(3);
            const __m512d ab_low = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(all_lanes, a, b)),
                          ab_high = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(all_lanes, a, b));
            const __m512d cd_low = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(all_lanes, c, d)),
                          cd_high = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(all_lanes, c, d));
            _mm512_storeu_pd(out + (j + 0) * out_stride, _mm512_maskz_unpacklo_pd(0xFF, ab_low, cd_low));
            _mm512_storeu_pd(out + (j + 1) * out_stride, _mm512_maskz_unpackhi_pd(0xFF, ab_low, cd_low));
            _mm512_storeu_pd(out + (j + 2) * out_stride, _mm512_maskz_unpacklo_pd(0xFF, ab_high, cd_high));
            _mm512_storeu_pd(out + (j + 3) * out_stride, _mm512_maskz_unpackhi_pd(0xFF, ab_high, cd_high));
        }
    }
};
#endif

#ifdef __AVX2__
template <avx2_arch Arch>
struct transposer<Arch> {
    static void run(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) noexcept {
        for (std::size_t j = 0; j < 8; j += 4) { // output rows j … j + 3
            const auto column = [&](std::size_t i) {
                const float* first = in + i * in_stride + j;
                return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(first)),
                                            _mm_loadu_ps(first + 4 * in_stride), 1);
            };
            const __m256 a = column(0), b = column(1), c = column(2), d = column(3);
            const __m256 ab_low = _mm256_unpacklo_ps(a, b), ab_high = _mm256_unpackhi_ps(a, b);
            const __m256 cd_low = _mm256_unpacklo_ps(c, d), cd_high = _mm256_unpackhi_ps(c, d);
            _mm256_storeu_ps(out + (j + 0) * out_stride, _mm256_shuffle_ps(ab_low, cd_low, 0x44));
            _mm256_storeu_ps(out + (j + 1) * out_stride, _mm256_shuffle_ps(ab_low, cd_low, 0xEE));
            _mm256_storeu_ps(out + (j + 2) * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0x44));
            _mm256_storeu_ps(out + (j + 3) * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0xEE));
        }
    }
};
#endif

#ifdef __SSE4_1__
template <sse4_arch Arch>
struct transposer<Arch> {
    static void run(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) noexcept {
        __m128 a = _mm_loadu_ps(in), b = _mm_loadu_ps(in + in_stride);
        __m128 c = _mm_loadu_ps(in + 2 * in_stride), d = _mm_loadu_ps(in + 3 * in_stride);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(out, a);
        _mm_storeu_ps(out + out_stride, b);
        _mm_storeu_ps(out + 2 * out_stride, c);
        _mm_storeu_ps(out + 3 * out_stride, d);
    }
};
#endif

} // namespace detail

/// out(j, i) = in(i, j), i, j < lanes.
template <class Arch, class T>
void transpose(const T* in, std::size_t in_stride, T* out, std::size_t out_stride) noexcept {
    static_assert(sizeof(T) == sizeof(float));
    if constexpr (detail::has_transposer<Arch>) { // only intrinsics read and write there, which may alias
        detail::transposer<Arch>::run(reinterpret_cast<const float*>(in), in_stride, reinterpret_cast<float*>(out),
                                      out_stride);
    } else {
        for (std::size_t i = 0; i < lanes<Arch>; ++i)
            for (std::size_t j = 0; j < lanes<Arch>; ++j) out[j * out_stride + i] = in[i * in_stride + j];
    }
}

} // namespace bitlens::simd

// ---- bitlens/simd/unpack.hpp
/// unpack: 32 codes of `Bits` bits from 4 · Bits bytes into registers of std::int32_t.
///
/// The layout, that of formats/code_chunk.hpp: the bits of a code are cut, from the lowest up, into parts of 8, 4, 2
/// and 1 bits, the parts of all 32 codes one part after the other. In a part of p bits code i has
///     p = 8: byte i     p = 4: byte i mod 16, shift 4·⌊i/16⌋     p = 2: byte i mod 8, shift 2·⌊i/8⌋     p = 1: bit i.

#include <array>
#include <cstring>

namespace bitlens::simd {

/// 32 codes in order: register v holds codes v · lanes … (v + 1) · lanes − 1.
template <class Arch>
using codes = std::array<batch<std::int32_t, Arch>, 32 / lanes<Arch>>;

namespace detail {

/// Where the part of `Width` bits begins, in bytes.
template <int Bits, int Width>
inline constexpr std::size_t part_offset = std::size_t{4} * (Bits & ~(2 * Width - 1));

template <class T>
T load_as(const std::uint8_t* p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

/// Any instruction set: one code after the other.
template <int Bits, class Arch>
struct unpacker {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        std::array<std::int32_t, 32> q{};
        if constexpr ((Bits & 8) != 0)
            for (std::size_t i = 0; i < 32; ++i) q[i] = chunk[i];
        if constexpr ((Bits & 4) != 0)
            for (std::size_t i = 0; i < 32; ++i) q[i] = (chunk[i % 16] >> (4 * (i / 16))) & 15;
        if constexpr ((Bits & 2) != 0)
            for (std::size_t i = 0; i < 32; ++i)
                q[i] |= ((chunk[part_offset<Bits, 2> + i % 8] >> (2 * (i / 8))) & 3) << (Bits & 4);
        if constexpr ((Bits & 1) != 0) {
            const auto plane = load_as<std::uint32_t>(chunk + part_offset<Bits, 1>);
            for (std::size_t i = 0; i < 32; ++i) q[i] |= static_cast<std::int32_t>((plane >> i) & 1u) << (Bits - 1);
        }
        codes<Arch> result;
        for (std::size_t v = 0; v < result.size(); ++v)
            result[v] = batch<std::int32_t, Arch>::load_unaligned(&q[v * lanes<Arch>]);
        return result;
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept { return run(chunk); }
};

#ifdef __AVX512F__
template <int Bits, avx512_arch Arch>
struct unpacker<Bits, Arch> {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        __m512i low = _mm512_setzero_si512(), high = low;
        if constexpr ((Bits & 8) != 0) {
            low = _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk)));
            high = _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk + 16)));
        }
        if constexpr ((Bits & 4) != 0) {
            const __m512i both =
                _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk)));
            low = _mm512_and_si512(both, _mm512_set1_epi32(15));
            high = _mm512_maskz_srli_epi32(all_lanes, both, 4);
        }
        if constexpr ((Bits & 2) != 0) {
            constexpr int at = Bits & 4; // place of this part in a code
            const __m128i eight = _mm_set1_epi64x(load_as<long long>(chunk + part_offset<Bits, 2>));
            const __m512i all = _mm512_maskz_slli_epi32(all_lanes, _mm512_maskz_cvtepu8_epi32(all_lanes, eight),
                                                        at); // bytes 0 … 7, twice
            const __m512i mask = _mm512_set1_epi32(3 << at);
            low = _mm512_or_si512(low, _mm512_and_si512(_mm512_maskz_srlv_epi32(all_lanes, all, halves(0, 2)), mask));
            high = _mm512_or_si512(high, _mm512_and_si512(_mm512_maskz_srlv_epi32(all_lanes, all, halves(4, 6)), mask));
        }
        if constexpr ((Bits & 1) != 0) {
            const auto plane = load_as<std::uint32_t>(chunk + part_offset<Bits, 1>);
            const __m512i bit = _mm512_set1_epi32(1 << (Bits - 1));
            low = _mm512_mask_or_epi32(low, static_cast<__mmask16>(plane), low, bit);
            high = _mm512_mask_or_epi32(high, static_cast<__mmask16>(plane >> 16), high, bit);
        }
        return {batch<std::int32_t, Arch>(low), batch<std::int32_t, Arch>(high)};
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept {
        using out = batch<std::int32_t, Arch>;
        if constexpr (Bits == 4) {
            const __m512i both =
                _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk)));
            return {out(both), out(_mm512_maskz_srli_epi32(all_lanes, both, 4))};
        } else if constexpr (Bits == 2 || Bits == 3) {
            const __m512i all = _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_set1_epi64x(load_as<long long>(chunk)));
            __m512i low = _mm512_maskz_srlv_epi32(all_lanes, all, halves(0, 2));
            __m512i high = _mm512_maskz_srlv_epi32(all_lanes, all, halves(4, 6));
            if constexpr (Bits == 3) { // the plane is turned until a lane's bit is its bit 2, and the rest replaced
                const __m512i plane = _mm512_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
                const __m512i turn = _mm512_setr_epi32(2, 1, 0, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19);
                const __m512i two_bits = _mm512_set1_epi32(3);
                constexpr int mask_chooses = 0xE4;
                low = _mm512_maskz_ternarylogic_epi32(all_lanes, low, _mm512_maskz_rolv_epi32(all_lanes, plane, turn),
                                                      two_bits, mask_chooses);
                high = _mm512_maskz_ternarylogic_epi32(
                    all_lanes, high,
                    _mm512_maskz_rolv_epi32(all_lanes, plane, _mm512_xor_si512(turn, _mm512_set1_epi32(16))), two_bits,
                    mask_chooses);
            }
            return {out(low), out(high)};
        } else {
            return run(chunk);
        }
    }

private:
    static __m512i halves(int a, int b) noexcept {
        return _mm512_setr_epi32(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b);
    }
};
#endif

#ifdef __AVX2__
template <int Bits, avx2_arch Arch>
struct unpacker<Bits, Arch> {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        __m256i q[4];
#pragma GCC unroll 4
        for (auto& v : q) v = _mm256_setzero_si256();
        if constexpr ((Bits & 8) != 0)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v) q[v] = eight_bytes(chunk + 8 * v);
        if constexpr ((Bits & 4) != 0)
#pragma GCC unroll 2
            for (std::size_t v = 0; v < 2; ++v) {
                const __m256i both = eight_bytes(chunk + 8 * v);
                q[v] = _mm256_and_si256(both, _mm256_set1_epi32(15));
                q[v + 2] = _mm256_srli_epi32(both, 4);
            }
        if constexpr ((Bits & 2) != 0) {
            constexpr int at = Bits & 4; // place of this part in a code
            const __m256i all = _mm256_slli_epi32(eight_bytes(chunk + part_offset<Bits, 2>), at);
            const __m256i mask = _mm256_set1_epi32(3 << at);
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v)
                q[v] = _mm256_or_si256(q[v], _mm256_and_si256(_mm256_srli_epi32(all, static_cast<int>(2 * v)), mask));
        }
        if constexpr ((Bits & 1) != 0) {
            const __m256i plane = _mm256_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
            const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v) {
                const __m256i bit =
                    _mm256_srlv_epi32(plane, _mm256_add_epi32(lane, _mm256_set1_epi32(static_cast<int>(8 * v))));
                q[v] = _mm256_or_si256(q[v], _mm256_slli_epi32(_mm256_and_si256(bit, _mm256_set1_epi32(1)), Bits - 1));
            }
        }
        using out = batch<std::int32_t, Arch>;
        return {out(q[0]), out(q[1]), out(q[2]), out(q[3])};
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept {
        using out = batch<std::int32_t, Arch>;
        if constexpr (Bits == 2) {
            const __m256i all = eight_bytes(chunk);
            return {out(all), out(_mm256_srli_epi32(all, 2)), out(_mm256_srli_epi32(all, 4)),
                    out(_mm256_srli_epi32(all, 6))};
        } else if constexpr (Bits == 3) {
            const __m256i all = eight_bytes(chunk), two_bits = _mm256_set1_epi32(0x33);
            const __m256i even = _mm256_and_si256(all, two_bits); // of registers 0 and, 4 bits higher, 2
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(all, 2), two_bits); // of 1 and 3
            const __m256i plane = _mm256_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
            const __m256i of_lane = _mm256_srlv_epi32(plane, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            // Byte v: the third bit of register v.
            const __m256i third = _mm256_and_si256(_mm256_slli_epi32(of_lane, 2), _mm256_set1_epi32(0x04040404));
            return {out(_mm256_or_si256(even, third)), out(_mm256_or_si256(odd, _mm256_srli_epi32(third, 8))),
                    out(_mm256_or_si256(_mm256_srli_epi32(even, 4), _mm256_srli_epi32(third, 16))),
                    out(_mm256_or_si256(_mm256_srli_epi32(odd, 4), _mm256_srli_epi32(third, 24)))};
        } else {
            return run(chunk);
        }
    }

private:
    static __m256i eight_bytes(const std::uint8_t* p) noexcept {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    }
};
#endif

#ifdef __SSE4_1__
template <int Bits, sse4_arch Arch>
struct unpacker<Bits, Arch> {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        __m128i q[8];
#pragma GCC unroll 8
        for (auto& v : q) v = _mm_setzero_si128();
        if constexpr ((Bits & 8) != 0)
#pragma GCC unroll 8
            for (std::size_t v = 0; v < 8; ++v) q[v] = four_bytes(chunk + 4 * v);
        if constexpr ((Bits & 4) != 0)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v) {
                const __m128i both = four_bytes(chunk + 4 * v);
                q[v] = _mm_and_si128(both, _mm_set1_epi32(15));
                q[v + 4] = _mm_srli_epi32(both, 4);
            }
        if constexpr ((Bits & 2) != 0) {
            constexpr int at = Bits & 4; // place of this part in a code
            const __m128i mask = _mm_set1_epi32(3 << at);
#pragma GCC unroll 8
            for (std::size_t v = 0; v < 8; ++v) {
                const __m128i all = _mm_slli_epi32(four_bytes(chunk + part_offset<Bits, 2> + 4 * (v % 2)), at);
                q[v] = _mm_or_si128(q[v], _mm_and_si128(_mm_srli_epi32(all, static_cast<int>(2 * (v / 2))), mask));
            }
        }
        if constexpr ((Bits & 1) != 0) {
            const __m128i plane = _mm_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
#pragma GCC unroll 8
            for (std::size_t v = 0; v < 8; ++v) {
                const __m128i bit = _mm_slli_epi32(_mm_setr_epi32(1, 2, 4, 8), static_cast<int>(4 * v));
                const __m128i is_set = _mm_cmpeq_epi32(_mm_and_si128(plane, bit), bit);
                q[v] = _mm_or_si128(q[v], _mm_and_si128(is_set, _mm_set1_epi32(1 << (Bits - 1))));
            }
        }
        codes<Arch> result;
#pragma GCC unroll 8
        for (std::size_t v = 0; v < 8; ++v) result[v] = batch<std::int32_t, Arch>(q[v]);
        return result;
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept { return run(chunk); }

private:
    static __m128i four_bytes(const std::uint8_t* p) noexcept {
        return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(load_as<std::int32_t>(p)));
    }
};
#endif

} // namespace detail

/// The 32 codes of the chunk at `chunk` (4 · Bits bytes, at any address).
template <int Bits, class Arch>
codes<Arch> unpack(const std::uint8_t* chunk) noexcept {
    static_assert(Bits >= 1 && Bits <= 8);
    return detail::unpacker<Bits, Arch>::run(chunk);
}

/// The same, but for the bits of each lane from `Bits` on, which may be anything: enough to look up in a fast table.
template <int Bits, class Arch>
codes<Arch> unpack_unmasked(const std::uint8_t* chunk) noexcept {
    static_assert(Bits >= 1 && Bits <= 8);
    return detail::unpacker<Bits, Arch>::run_unmasked(chunk);
}

} // namespace bitlens::simd

// ---- bitlens/simd/widen.hpp
/// widen: a register of floats from floats, 16-bit floats or bytes in memory. Exact.

#include <array>

namespace bitlens::simd {

namespace detail {
template <class Arch, class T>
batch<float, Arch> widen_one_by_one(const T* p) noexcept {
    std::array<float, lanes<Arch>> numbers;
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(p[i]);
    return batch<float, Arch>::load_unaligned(numbers.data());
}
} // namespace detail

template <class Arch>
batch<float, Arch> widen(const float* p) noexcept {
    return batch<float, Arch>::load_unaligned(p);
}

template <class Arch>
batch<float, Arch> widen(const bf16* p) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>) {
        const __m512i bits =
            _mm512_maskz_cvtepu16_epi32(all_lanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
        return batch<float, Arch>(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(all_lanes, bits, 16)));
    } else
#endif
#ifdef __AVX2__
        if constexpr (avx2_arch<Arch>) {
        const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return batch<float, Arch>(_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)));
    } else
#endif
        return detail::widen_one_by_one<Arch>(p);
}

template <class Arch>
batch<float, Arch> widen(const f16* p) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>) {
        return batch<float, Arch>(
            _mm512_maskz_cvtph_ps(all_lanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
    } else
#endif
#if defined(__AVX2__) && defined(__F16C__)
        if constexpr (avx2_arch<Arch>) {
        return batch<float, Arch>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    } else
#endif
        return detail::widen_one_by_one<Arch>(p);
}

template <class Arch>
batch<float, Arch> widen(const std::uint8_t* p) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>) {
        return batch<float, Arch>(_mm512_maskz_cvtepi32_ps(
            all_lanes, _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))));
    } else
#endif
#ifdef __AVX2__
        if constexpr (avx2_arch<Arch>) {
        return batch<float, Arch>(
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))));
    } else
#endif
        return detail::widen_one_by_one<Arch>(p);
}

} // namespace bitlens::simd

// ---- bitlens/formats.hpp
/// How weights are stored.

// ---- bitlens/formats/code_chunk.hpp
/// code_chunk: how 32 codes of 2 … 8 bits lie in 4 · bits bytes, so that a vector unit can unpack them.
///
/// The bits of a code are cut, from the lowest up, into parts of 8, 4, 2 and 1 bits (7 = 4 + 2 + 1), and the parts of
/// all 32 codes lie one part after the other. In a part of p bits code i has
///     p = 8: byte i        p = 4: byte i mod 16, shift 4·⌊i/16⌋        p = 2: byte i mod 8, shift 2·⌊i/8⌋
///     p = 1: byte ⌊i/8⌋, shift i mod 8: a bit plane, a mask register as it stands.
/// Neighbouring codes are in neighbouring bytes at the same shift: one widening load and one shift give many of them.

// ---- bitlens/formats/quant_format.hpp
/// What a low-bit weight format is: the concept quant_format, and the two kinds of zero point.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bitlens {

/// asymmetric: every group stores a zero point. symmetric: the zero point is the middle code, part of the codebook.
enum class zero_kind : std::uint8_t { asymmetric, symmetric };

/// Codes are stored in chunks of 32 (formats/code_chunk.hpp); a group is a whole number of chunks.
inline constexpr std::size_t chunk_codes = 32;

/// One way to write a weight in `bits` bits:  w = fl32(scale · (codebook[code] − zero)).
/// `group_size` neighbouring inputs share one scale, and one zero when `has_zero`; group_size 0: the whole row does.
/// A format whose method has no short last group says `static constexpr bool whole_groups_only = true`. One of several
/// that differ in group_size alone may name their common `row_format`, so that kernels are compiled once for all of
/// them.
template <class F>
concept quant_format = requires(std::uint32_t code) {
    { F::bits } -> std::convertible_to<int>;
    { F::group_size } -> std::convertible_to<std::size_t>;
    { F::has_zero } -> std::convertible_to<bool>;
    { F::codebook[code] } -> std::convertible_to<float>;
    { F::name() } -> std::convertible_to<std::string>;
}
&&F::bits >= 2 && F::bits <= 8 && F::codebook.size() == (std::size_t{1} << F::bits) && F::group_size % chunk_codes == 0;

/// Name of a format, as reports print it: "uniform3-g64", "nf4-g64", "bf16".
template <class F>
std::string format_name() {
    return F::name();
}

namespace detail {

/// "nf4-g64", or "nf4-row" when one group is a whole row.
inline std::string numbered_name(const char* kind, int bits, std::size_t group_size, const char* suffix = "") {
    return kind + std::to_string(bits) + (group_size == 0 ? std::string("-row") : "-g" + std::to_string(group_size)) +
           suffix;
}

template <class F>
inline constexpr bool whole_groups_only = false;
template <class F>
    requires requires { F::whole_groups_only; }
inline constexpr bool whole_groups_only<F> = F::whole_groups_only;

template <class F>
struct row_format_of {
    using type = F;
};
template <class F>
    requires requires { typename F::row_format; }
struct row_format_of<F> {
    using type = typename F::row_format;
    static_assert(type::bits == F::bits && type::has_zero == F::has_zero && type::codebook == F::codebook,
                  "row_format: a format of the same bits, codebook and zero is expected");
};
template <class F>
using row_format = typename row_format_of<F>::type;

} // namespace detail

} // namespace bitlens

#include <array>

namespace bitlens {

template <int Bits>
struct code_chunk {
    static constexpr std::size_t bytes = chunk_codes * Bits / 8;

    /// Code i of the chunk at `chunk`.
    static constexpr std::uint8_t get(const std::uint8_t* chunk, std::size_t i) noexcept {
        unsigned code = 0, done = 0;
        for (unsigned width = 8; width > 0; width /= 2) {
            if ((Bits & width) == 0) continue;
            const auto [byte, shift] = place(width, i);
            code |= ((unsigned{chunk[byte]} >> shift) & mask(width)) << done;
            chunk += chunk_codes * width / 8;
            done += width;
        }
        return static_cast<std::uint8_t>(code);
    }
    /// Overwrites code i; q < 2^Bits.
    static constexpr void set(std::uint8_t* chunk, std::size_t i, std::uint8_t q) noexcept {
        unsigned rest = q;
        for (unsigned width = 8; width > 0; width /= 2) {
            if ((Bits & width) == 0) continue;
            const auto [byte, shift] = place(width, i);
            chunk[byte] =
                static_cast<std::uint8_t>((chunk[byte] & ~(mask(width) << shift)) | ((rest & mask(width)) << shift));
            chunk += chunk_codes * width / 8;
            rest >>= width;
        }
    }

private:
    struct position {
        std::size_t byte;
        unsigned shift;
    };
    static constexpr position place(unsigned width, std::size_t i) noexcept {
        if (width == 1) return {i / 8, static_cast<unsigned>(i % 8)};
        const std::size_t bytes_of_part = chunk_codes * width / 8;
        return {i % bytes_of_part, width * static_cast<unsigned>(i / bytes_of_part)};
    }
    static constexpr unsigned mask(unsigned width) noexcept { return (1u << width) - 1u; }
};

namespace detail {

/// Distinct codes written over ones, twice, come back as written.
template <int Bits>
constexpr bool chunk_round_trip() {
    std::array<std::uint8_t, code_chunk<Bits>::bytes> chunk{};
    for (auto& byte : chunk) byte = 0xFF;
    const auto code = [](std::size_t i) { return static_cast<std::uint8_t>((i * 37 + 11) % (1u << Bits)); };
    for (std::size_t i = 0; i < chunk_codes; ++i) code_chunk<Bits>::set(chunk.data(), i, code(i));
    for (std::size_t i = 0; i < chunk_codes; ++i)
        if (code_chunk<Bits>::get(chunk.data(), i) != code(i)) return false;
    return true;
}
static_assert(chunk_round_trip<2>() && chunk_round_trip<3>() && chunk_round_trip<4>() && chunk_round_trip<5>() &&
              chunk_round_trip<6>() && chunk_round_trip<7>() && chunk_round_trip<8>());

} // namespace detail

} // namespace bitlens

// ---- bitlens/formats/dense.hpp
/// dense: one number per weight, as full-precision checkpoints store them.

namespace bitlens {

/// w = the stored number, read as float. T is float, bf16 or f16.
template <class T>
struct dense {
    static_assert(std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, f16>,
                  "dense: the number type is float, bf16 or f16");
    using value_type = T;
    static std::string name() {
        if constexpr (std::same_as<T, float>)
            return "f32";
        else if constexpr (std::same_as<T, bf16>)
            return "bf16";
        else
            return "f16";
    }
};

template <class F>
concept dense_format = requires {
    typename F::value_type;
}
&&std::same_as<F, dense<typename F::value_type>>;

/// What a weight matrix can be stored as.
template <class F>
concept weight_format = quant_format<F> || dense_format<F>;

static_assert(dense_format<dense<bf16>> && !quant_format<dense<bf16>>);

} // namespace bitlens

// ---- bitlens/formats/mixed_matrix.hpp
/// mixed_matrix: a weight matrix whose format is chosen at run time, from a list given at compile time.

// ---- bitlens/formats/packed_matrix.hpp
/// packed_matrix: a weight matrix stored in a format, low-bit or dense.

#include <utility>

namespace bitlens {

/// A matrix of weights in format F.
template <class F>
class packed_matrix {
    static_assert(weight_format<F>,
                  "bitlens: packed_matrix<F>: F is a format, such as uniform<3, 64>, normal_float<4, 64> "
                  "or dense<float>");
};

namespace detail {

/// a · b as a size in bytes, of a matrix whose format has this name.   Errors: shape_error when it does not fit.
inline std::size_t checked_size(std::size_t a, std::size_t b, std::string (*format)()) {
    if (b != 0 && a > std::numeric_limits<std::size_t>::max() / b)
        throw shape_error(format() + " matrix: " + std::to_string(a) + " × " + std::to_string(b) +
                          " is more than memory can hold");
    return a * b;
}

} // namespace detail

/// A row of a packed matrix to be written.
struct row_storage {
    std::uint8_t* codes;       ///< chunks of them
    std::span<float> scales;   ///< of every group
    std::uint8_t* zeros;       ///< of every group, or none
    std::size_t group_columns; ///< of every group but a short last one
};

namespace detail {

/// What packed matrices of all formats hold: those that differ in group size alone are written by the same code. Made,
/// moved and freed by functions that they share and that are not compiled into each place: a variant of many formats
/// has hundreds.
struct packed_arrays {
    std::size_t rows, cols, group_columns, groups, row_bytes;
    aligned_array<std::uint8_t> codes;
    aligned_array<float> scales;
    aligned_array<std::uint8_t> zeros;

    /// group_size: 0 for a whole row.   Errors: shape_error when memory cannot hold the matrix.
    [[gnu::noinline]] packed_arrays(std::size_t row_count, std::size_t col_count, std::size_t group_size,
                                    std::size_t chunk_bytes, bool has_zeros, std::string (*format)())
        : rows(row_count), cols(col_count), group_columns(group_size == 0 ? cols : group_size),
          groups(cols == 0 ? 0 : (cols + group_columns - 1) / group_columns),
          row_bytes((cols + chunk_codes - 1) / chunk_codes * chunk_bytes), codes(checked_size(rows, row_bytes, format)),
          scales(checked_size(rows, groups * sizeof(float), format) / sizeof(float)),
          zeros(has_zeros ? rows * groups : 0) {}
    [[gnu::noinline]] packed_arrays(packed_arrays&&) noexcept = default;
    [[gnu::noinline]] packed_arrays& operator=(packed_arrays&&) noexcept = default;
    [[gnu::noinline]] ~packed_arrays() = default;

    /// Row r for writing.
    row_storage row(std::size_t r) noexcept {
        BITLENS_ASSERT(r < rows);
        return {codes.data() + r * row_bytes, scales.span().subspan(r * groups, groups),
                zeros.size() == 0 ? nullptr : zeros.data() + r * groups, group_columns};
    }
};

} // namespace detail

/// Codes, scales and zeros of a (rows, cols) matrix; a row has ⌈cols/32⌉ chunks of codes and ⌈cols/group_size⌉ groups.
/// All codes, scales and zeros are 0 at first. Different rows may be written by different threads.
/// Errors: shape_error when a format of whole groups gets a short last one.
template <quant_format F>
class packed_matrix<F> {
public:
    using format = F;

    packed_matrix(std::size_t rows, std::size_t cols)
        : own_(rows, checked_cols(cols), F::group_size, chunk::bytes, F::has_zero, &format_name<F>) {}

    std::size_t rows() const noexcept { return own_.rows; }
    std::size_t cols() const noexcept { return own_.cols; }
    std::size_t groups() const noexcept { return own_.groups; }
    /// The group of column c.
    static constexpr std::size_t group_of([[maybe_unused]] std::size_t c) noexcept {
        if constexpr (F::group_size == 0)
            return 0;
        else
            return c / F::group_size;
    }

    std::uint8_t code(std::size_t r, std::size_t c) const noexcept {
        BITLENS_ASSERT(r < own_.rows && c < own_.cols);
        return chunk::get(codes(r).data() + c / chunk_codes * chunk::bytes, c % chunk_codes);
    }
    /// q < 2^bits is asserted.
    void set_code(std::size_t r, std::size_t c, std::uint8_t q) noexcept {
        BITLENS_ASSERT(r < own_.rows && c < own_.cols && q < F::codebook.size());
        chunk::set(own_.codes.data() + r * own_.row_bytes + c / chunk_codes * chunk::bytes, c % chunk_codes, q);
    }
    float scale(std::size_t r, std::size_t g) const noexcept { return scales(r)[g]; }
    void set_scale(std::size_t r, std::size_t g, float s) noexcept {
        BITLENS_ASSERT(r < own_.rows && g < own_.groups);
        own_.scales[r * own_.groups + g] = s;
    }
    std::uint8_t zero(std::size_t r, std::size_t g) const noexcept requires(F::has_zero) { return zeros(r)[g]; }
    void set_zero(std::size_t r, std::size_t g, std::uint8_t z) noexcept requires(F::has_zero) {
        BITLENS_ASSERT(r < own_.rows && g < own_.groups);
        own_.zeros[r * own_.groups + g] = z;
    }

    /// fl32(scale · (codebook[code] − zero)): what this weight is; every kernel multiplies with these numbers.
    float value(std::size_t r, std::size_t c) const noexcept {
        const std::size_t g = group_of(c);
        const float level = F::codebook[code(r, c)];
        if constexpr (F::has_zero)
            return scale(r, g) * (level - static_cast<float>(zero(r, g)));
        else
            return scale(r, g) * level;
    }

    /// Bytes of codes, scales and zeros.
    std::size_t bytes() const noexcept {
        return own_.codes.size() + own_.scales.size() * sizeof(float) + own_.zeros.size();
    }

    /// The chunks of row r, one after the other.
    std::span<const std::uint8_t> codes(std::size_t r) const noexcept {
        BITLENS_ASSERT(r < own_.rows);
        return {own_.codes.data() + r * own_.row_bytes, own_.row_bytes};
    }
    std::span<const float> scales(std::size_t r) const noexcept {
        BITLENS_ASSERT(r < own_.rows);
        return {own_.scales.data() + r * own_.groups, own_.groups};
    }
    std::span<const std::uint8_t> zeros(std::size_t r) const noexcept requires(F::has_zero) {
        BITLENS_ASSERT(r < own_.rows);
        return {own_.zeros.data() + r * own_.groups, own_.groups};
    }
    /// For writing all of it.
    detail::packed_arrays& arrays() noexcept { return own_; }

private:
    using chunk = code_chunk<F::bits>;

    static std::size_t checked_cols(std::size_t cols) {
        if constexpr (F::group_size != 0 && detail::whole_groups_only<F>)
            if (cols % F::group_size != 0)
                throw shape_error(format_name<F>() + " matrix: " + std::to_string(cols) +
                                  " columns; a multiple of the group size " + std::to_string(F::group_size) +
                                  " is expected");
        return cols;
    }

    detail::packed_arrays own_;
};

/// Numbers of a (rows, cols) matrix: its own, zero at first, or borrowed from whatever `owner` keeps alive.
template <dense_format F>
class packed_matrix<F> {
public:
    using format = F;
    using value_type = typename F::value_type;

    packed_matrix(std::size_t rows, std::size_t cols) {
        detail::checked_size(rows, detail::checked_size(cols, sizeof(value_type), &format_name<F>), &format_name<F>);
        auto own = std::make_shared<matrix<value_type>>(rows, cols);
        writable_ = own->data();
        view_ = std::as_const(*own).view();
        owner_ = std::move(own);
    }
    /// Borrows the numbers of a mapped file. Errors: shape_error when rows overlap.
    packed_matrix(std::shared_ptr<const void> owner, matrix_view<const value_type> numbers)
        : owner_(std::move(owner)), view_(numbers) {
        if (view_.stride < view_.cols)
            throw shape_error(format_name<F>() + " matrix: rows of " + std::to_string(view_.cols) + " numbers, " +
                              std::to_string(view_.stride) + " from one to the next");
    }
    packed_matrix(packed_matrix&&) noexcept = default;
    packed_matrix& operator=(packed_matrix&&) noexcept = default;

    std::size_t rows() const noexcept { return view_.rows; }
    std::size_t cols() const noexcept { return view_.cols; }
    std::size_t bytes() const noexcept { return rows() * cols() * sizeof(value_type); }
    float value(std::size_t r, std::size_t c) const noexcept { return static_cast<float>(view_(r, c)); }
    std::span<const value_type> row(std::size_t r) const noexcept { return view_.row(r); }
    value_type const* data() const noexcept { return view_.data; }
    matrix_view<const value_type> view() const noexcept { return view_; }

    /// Row r for writing.   Errors: bitlens::error where the numbers are borrowed.
    std::span<value_type> writable_row(std::size_t r) {
        BITLENS_ASSERT(r < rows());
        if (writable_ == nullptr)
            throw error(format_name<F>() + " matrix: its numbers are borrowed, only a matrix of its own is written");
        return {writable_ + r * view_.stride, view_.cols};
    }

private:
    std::shared_ptr<const void> owner_;
    value_type* writable_ = nullptr;
    matrix_view<const value_type> view_;
};

template <class W>
inline constexpr bool is_packed_matrix = false;
template <weight_format F>
inline constexpr bool is_packed_matrix<packed_matrix<F>> = true;

} // namespace bitlens

#include <variant>

namespace bitlens {

namespace detail {
template <class G, class... F>
concept format_beside = weight_format<G> &&(!std::same_as<G, F> && ...);
} // namespace detail

/// One of packed_matrix<F>…; kernels look once per product which one it is. "Restore W_gate to 16 bits" is then a
/// change of data, not of type.
template <class... F>
class mixed_matrix {
    static_assert((weight_format<F> && ...), "bitlens: mixed_matrix<F...>: each F is a format, such as uniform<3, 64>, "
                                             "normal_float<4, 64> or dense<float>");

public:
    template <weight_format G>
        requires(std::same_as<G, F> || ...)
    mixed_matrix(packed_matrix<G> m)
    noexcept : matrix_(std::move(m)) {}

    template <detail::format_beside<F...> G>
    mixed_matrix(packed_matrix<G>) = delete; // bitlens: this mixed_matrix does not list the format of that matrix

    std::size_t rows() const {
        return visit([](auto const& m) { return m.rows(); });
    }
    std::size_t cols() const {
        return visit([](auto const& m) { return m.cols(); });
    }
    std::size_t bytes() const {
        return visit([](auto const& m) { return m.bytes(); });
    }
    float value(std::size_t r, std::size_t c) const {
        return visit([&](auto const& m) { return m.value(r, c); });
    }
    std::string format_name() const {
        return visit([]<class G>(packed_matrix<G> const&) { return bitlens::format_name<G>(); });
    }
    /// f(packed_matrix<G> const&) for the format it has.
    template <class Function>
    decltype(auto) visit(Function&& f) const {
        return std::visit(std::forward<Function>(f), matrix_);
    }

private:
    std::variant<packed_matrix<F>...> matrix_;
};

template <class W>
inline constexpr bool is_mixed_matrix = false;
template <weight_format... F>
inline constexpr bool is_mixed_matrix<mixed_matrix<F...>> = true;

/// What a kernel multiplies with: `packed_matrix<F>` or `mixed_matrix<F…>`.
template <class W>
concept weight_matrix = is_packed_matrix<W> || is_mixed_matrix<W>;

namespace detail {

/// Does not compile for a W that is no matrix of weights.
template <class W>
constexpr void check_weight() {
    static_assert(weight_matrix<W>,
                  "bitlens: a weight is a packed_matrix<format> or a mixed_matrix<format...>, such as "
                  "packed_matrix<dense<float>>");
}

} // namespace detail

} // namespace bitlens

// ---- bitlens/formats/normal_float.hpp
/// normal_float: codebooks whose levels follow the quantiles of a normal distribution (NF3, NF4).

#include <array>
#include <bit>

namespace bitlens {

namespace detail {

/// The levels as bits of float32: a decimal literal could round differently.
template <std::size_t Size>
constexpr std::array<float, Size> levels_from_bits(std::array<std::uint32_t, Size> const& bits) {
    std::array<float, Size> level{};
    for (std::size_t q = 0; q < Size; ++q) level[q] = std::bit_cast<float>(bits[q]);
    return level;
}

template <int Bits>
inline constexpr std::array<float, std::size_t{1} << Bits> normal_float_levels{};

/// The exact table of FLUTE's construction (arXiv 2407.10960), rounded to float32: quantiles at equally spaced
/// probabilities up to 929/960, four below zero, zero, three above.
template <>
inline constexpr auto normal_float_levels<3> = levels_from_bits<8>({0xBF800000, 0xBEF50EDF, 0xBE5E5A6A, 0x00000000,
                                                                    0x3E24CADF, 0x3EAD0336, 0x3F1007A9, 0x3F800000});

/// The constants of bitsandbytes (Dettmers et al. 2023, arXiv 2305.14314); they, not the exact quantiles, are
/// normative.
template <>
inline constexpr auto normal_float_levels<4> = levels_from_bits<16>({0xBF800000, 0xBF3239B1, 0xBF066B30, 0xBECA32A0,
                                                                     0xBE91A24D, 0xBE3D353F, 0xBDBA7871, 0x00000000,
                                                                     0x3DA2FAFF, 0x3E24CAE3, 0x3E7C04DD, 0x3EAD033A,
                                                                     0x3EE1A4B8, 0x3F1007AB, 0x3F3913B3, 0x3F800000});

} // namespace detail

/// w = scale · codebook[q], scale = the largest |w| of the group. There is no short last group.
template <int Bits, std::size_t GroupSize>
struct normal_float {
    static_assert(Bits == 3 || Bits == 4, "normal_float: 3 or 4 bits");
    static_assert(GroupSize % chunk_codes == 0, "normal_float: group_size is a multiple of 32, or 0 for a whole row");

    static constexpr int bits = Bits;
    static constexpr std::size_t group_size = GroupSize;
    static constexpr bool has_zero = false;
    static constexpr bool whole_groups_only = true;
    static constexpr auto codebook = detail::normal_float_levels<Bits>;
    using row_format = normal_float<Bits, 0>;
    static std::string name() { return detail::numbered_name("nf", Bits, GroupSize); }
};

static_assert(quant_format<normal_float<3, 64>> && normal_float<3, 64>::codebook[3] == 0.0f);
static_assert(normal_float<4, 64>::codebook[15] == 1.0f && normal_float<4, 64>::codebook[7] == 0.0f);

} // namespace bitlens

// ---- bitlens/formats/uniform.hpp
/// uniform: equally spaced levels, what RTN, GPTQ, AWQ and EfficientQAT store.

#include <array>

namespace bitlens {

/// w = scale · (q − zero), 0 ≤ q < 2^Bits. Symmetric: no stored zero, codebook[q] = q − 2^(Bits−1).
template <int Bits, std::size_t GroupSize, zero_kind Zero = zero_kind::asymmetric>
struct uniform {
    static_assert(Bits >= 2 && Bits <= 8, "uniform: 2 to 8 bits");
    static_assert(GroupSize % chunk_codes == 0, "uniform: group_size is a multiple of 32, or 0 for a whole row");

    static constexpr int bits = Bits;
    static constexpr std::size_t group_size = GroupSize;
    static constexpr bool has_zero = Zero == zero_kind::asymmetric;
    static constexpr auto codebook = [] {
        std::array<float, std::size_t{1} << Bits> level{};
        for (std::size_t q = 0; q < level.size(); ++q)
            level[q] = static_cast<float>(q) - (has_zero ? 0.0f : static_cast<float>(level.size() / 2));
        return level;
    }();
    using row_format = uniform<Bits, 0, Zero>;
    static std::string name() { return detail::numbered_name("uniform", Bits, GroupSize, has_zero ? "" : "-sym"); }
};

static_assert(quant_format<uniform<3, 128>> && uniform<3, 128>::codebook[7] == 7.0f);
static_assert(uniform<3, 64, zero_kind::symmetric>::codebook[0] == -4.0f);

} // namespace bitlens

// ---- bitlens/stats.hpp
/// Statistics of activations and of errors: pure functions on spans, double inside.

// ---- bitlens/stats/correlation.hpp
/// Pearson's and Spearman's correlation, and a bootstrap interval for them.

// ---- bitlens/stats/ranks.hpp
/// Order statistics: ranks with ties, quantiles.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// The place 1 … N of every value in rising order; equal values all get the mean of their places.
/// Errors: bitlens::error for a NaN, which has no place. Infinities have one.
inline std::vector<double> mid_ranks(std::span<const double> x) {
    for (std::size_t i = 0; i < x.size(); ++i)
        if (std::isnan(x[i])) throw error("mid_ranks: value " + std::to_string(i) + " is not a number");
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
    std::vector<double> ranks(x.size());
    for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
        while (last < order.size() && x[order[last]] == x[order[first]]) ++last;
        const double rank = 0.5 * static_cast<double>(first + 1 + last); // places first + 1 … last
        for (std::size_t i = first; i < last; ++i) ranks[order[i]] = rank;
    }
    return ranks;
}

/// The value below which the share q of the sample lies: linear between the neighbours of place q·(N − 1), counted
/// from 0.
/// `sorted` rises.   Errors: shape_error when N = 0; option_error unless 0 ≤ q ≤ 1.
/// Source: Hyndman & Fan 1996, definition 7 (numpy's and R's default).
inline double quantile(std::span<const double> sorted, double q) {
    if (sorted.empty()) throw shape_error("quantile: at least one number is expected");
    if (!(q >= 0 && q <= 1)) throw option_error("quantile: q = " + std::to_string(q) + ", expected 0 … 1");
    const double place = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

} // namespace bitlens

// ---- bitlens/stats/sums.hpp
/// The one summation that the statistics share: double, in an order that depends on nothing but the number of terms.

#include <array>
#include <cstddef>

namespace bitlens::detail {

/// Σ_{i<n} term(i) in double. Term i goes to partial sum i mod 8, and the eight are added in pairs at the end: an
/// order that vector units can follow, whatever their width, and that no number of threads changes.
template <class Term>
double sum_of(std::size_t n, Term const& term) noexcept {
    constexpr std::size_t lanes = 8;
    std::array<double, lanes> part{};
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (std::size_t k = 0; k < lanes; ++k) part[k] += term(i + k);
    for (std::size_t k = 0; i < n; ++i, ++k) part[k] += term(i);
    return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

} // namespace bitlens::detail

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

inline void check_pairs(const char* who, std::span<const double> x, std::span<const double> y) {
    if (x.size() != y.size())
        throw shape_error(std::string(who) + ": " + std::to_string(x.size()) + " values against " +
                          std::to_string(y.size()));
}

/// x − x̄, by way of x − x₀, so that a constant vector gives exact zeros; times a power of two that brings the largest
/// into [0.5, 1), so that no square leaves the range of double. Empty when a value or a difference is not finite.
inline std::vector<double> centred(std::span<const double> x) {
    const double origin = x[0];
    const double shift = sum_of(x.size(), [&](std::size_t i) { return x[i] - origin; }) / static_cast<double>(x.size());
    std::vector<double> d(x.size());
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        d[i] = (x[i] - origin) - shift;
        if (!std::isfinite(d[i])) return {};
        largest = std::max(largest, std::abs(d[i]));
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    for (double& v : d) v = std::ldexp(v, -exponent);
    return d;
}

} // namespace detail

/// ρ = Σ (x_i − x̄)(y_i − ȳ) / (‖x − x̄‖ · ‖y − ȳ‖), in −1 … 1.
/// nullopt where it does not exist: fewer than two pairs, a constant vector, a value that is not finite.
/// Errors: shape_error when x and y differ in length.
inline std::optional<double> pearson(std::span<const double> x, std::span<const double> y) {
    detail::check_pairs("pearson", x, y);
    if (x.size() < 2) return std::nullopt;
    const auto dx = detail::centred(x), dy = detail::centred(y);
    if (dx.empty() || dy.empty()) return std::nullopt;
    const auto dot = [](std::span<const double> a, std::span<const double> b) {
        return detail::sum_of(a.size(), [&](std::size_t i) { return a[i] * b[i]; });
    };
    const double xx = dot(dx, dx), yy = dot(dy, dy);
    if (!(xx > 0 && yy > 0)) return std::nullopt;
    return std::clamp(dot(dx, dy) / std::sqrt(xx * yy), -1.0, 1.0);
}

/// Pearson's correlation of the mid-ranks; ties share a rank. Infinities have a rank.
/// nullopt: fewer than two pairs, a constant vector, a NaN.   Errors: shape_error when x and y differ in length.
inline std::optional<double> spearman(std::span<const double> x, std::span<const double> y) {
    detail::check_pairs("spearman", x, y);
    const auto is_nan = [](double v) { return std::isnan(v); };
    if (std::any_of(x.begin(), x.end(), is_nan) || std::any_of(y.begin(), y.end(), is_nan)) return std::nullopt;
    return pearson(mid_ranks(x), mid_ranks(y));
}

/// lo ≤ hi.
struct interval {
    double lo = 0, hi = 0;
};

/// Percentile interval of a statistic of pairs: draws N pairs with replacement `resamples` times, and takes the
/// quantiles (1 ∓ level)/2 of what `statistic(x, y)` → std::optional<double> says of each draw.
/// A draw without an answer (all its pairs the same, say) is drawn again. nullopt: the statistic does not exist for the
/// data themselves, or for more than half of the draws.
/// Same seed, same interval, on every machine where the statistic is the same.
/// Errors: shape_error when x and y differ in length; option_error for no resamples or a level outside (0, 1).
/// Source: Efron & Tibshirani 1993, chapter 13.
template <class Statistic>
std::optional<interval> bootstrap_interval(std::span<const double> x, std::span<const double> y,
                                           Statistic const& statistic, std::size_t resamples = 1000,
                                           double level = 0.95, std::uint64_t seed = 0) {
    detail::check_pairs("bootstrap_interval", x, y);
    if (resamples == 0) throw option_error("bootstrap_interval: at least one resample is expected");
    if (!(level > 0 && level < 1))
        throw option_error("bootstrap_interval: level " + std::to_string(level) + ", expected between 0 and 1");
    if (!statistic(x, y)) return std::nullopt;
    random_generator random(seed);
    std::vector<double> drawn_x(x.size()), drawn_y(y.size()), answers;
    answers.reserve(resamples);
    for (std::size_t draw = 0; answers.size() < resamples; ++draw) {
        if (draw == 2 * resamples) return std::nullopt;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const auto pair = static_cast<std::size_t>(random.below(x.size()));
            drawn_x[i] = x[pair];
            drawn_y[i] = y[pair];
        }
        if (const std::optional<double> answer = statistic(std::span<const double>(drawn_x), drawn_y))
            answers.push_back(*answer);
    }
    std::sort(answers.begin(), answers.end());
    return interval{quantile(answers, (1 - level) / 2), quantile(answers, (1 + level) / 2)};
}

} // namespace bitlens

// ---- bitlens/stats/density.hpp
/// Histograms and kernel density estimates: how values are spread.

// ---- bitlens/stats/moments.hpp
/// Mean, variance and kurtosis, and the kurtosis of activations in the three readings that the literature has.
///
/// All passes run over x_i − x_0 in double. That keeps every digit when the spread is small against the mean, and makes
/// the moments of a constant vector exactly zero instead of nearly.
/// NaN and infinity in the input: mean and variance are then NaN or infinite; a kurtosis does not exist (nullopt).

#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

namespace detail {

/// Σ_i (x_i − m)² and Σ_i (x_i − m)⁴ around the mean m of n numbers.
struct central_sums {
    double mean = 0, square = 0, fourth = 0;
};

/// value(i), i < n, gives the numbers; n ≥ 1.
template <class Value>
central_sums central_sums_of(std::size_t n, Value const& value) noexcept {
    const double count = static_cast<double>(n);
    const double origin = value(0);
    const double shift = sum_of(n, [&](std::size_t i) { return value(i) - origin; }) / count;
    const auto deviation = [&](std::size_t i) { return (value(i) - origin) - shift; };
    central_sums sums;
    sums.mean = origin + shift;
    sums.square = sum_of(n, [&](std::size_t i) {
        const double d = deviation(i);
        return d * d;
    });
    sums.fourth = sum_of(n, [&](std::size_t i) {
        const double d = deviation(i);
        return (d * d) * (d * d);
    });
    return sums;
}

template <std::floating_point T>
central_sums central_sums_of(std::span<const T> x) noexcept {
    return central_sums_of(x.size(), [x](std::size_t i) { return static_cast<double>(x[i]); });
}

/// All numbers of a matrix, row by row, as one list.
inline central_sums central_sums_of(matrix_view<const float> r) {
    if (r.stride == r.cols || r.rows == 1) return central_sums_of(std::span<const float>(r.data, r.rows * r.cols));
    std::vector<float> flat;
    flat.reserve(r.rows * r.cols);
    for (std::size_t t = 0; t < r.rows; ++t) flat.insert(flat.end(), r.row(t).begin(), r.row(t).end());
    return central_sums_of(std::span<const float>(flat));
}

/// A kurtosis, unless it is 0/0 (constant numbers), or its parts are NaN, infinite or too small for double.
inline std::optional<double> kurtosis_from(double mean_fourth, double mean_square) noexcept {
    const double square_of_square = mean_square * mean_square;
    const double kurtosis = mean_fourth / square_of_square;
    if (!(square_of_square > 0) || !std::isfinite(kurtosis)) return std::nullopt;
    return kurtosis;
}

} // namespace detail

/// x̄ = 1/N · Σ x_i.   Errors: shape_error when N = 0.
template <std::floating_point T>
double mean(std::span<const T> x) {
    if (x.empty()) throw shape_error("mean: at least one number is expected");
    return detail::central_sums_of(x).mean;
}
inline double mean(std::span<const double> x) { return mean<double>(x); }

/// σ² = 1/N · Σ (x_i − x̄)²   (the population's; exactly 0 for a constant vector).   Errors: shape_error when N = 0.
template <std::floating_point T>
double variance(std::span<const T> x) {
    if (x.empty()) throw shape_error("variance: at least one number is expected");
    return detail::central_sums_of(x).square / static_cast<double>(x.size());
}
inline double variance(std::span<const double> x) { return variance<double>(x); }

/// κ = 1/N · Σ (x_i − x̄)⁴ / σ⁴   — 3 for a normal distribution (not excess), between 1 and N.
/// nullopt: a constant vector (N = 1 too), a value that is not finite, a spread outside 1e±77.
/// Errors: shape_error when N = 0.
template <std::floating_point T>
std::optional<double> kurtosis(std::span<const T> x) {
    if (x.empty()) throw shape_error("kurtosis: at least one number is expected");
    const auto sums = detail::central_sums_of(x);
    const double n = static_cast<double>(x.size());
    return detail::kurtosis_from(sums.fourth / n, sums.square / n);
}
inline std::optional<double> kurtosis(std::span<const double> x) { return kurtosis<double>(x); }

/// 1/T · Σ_t κ(r_t)   — every token's own kurtosis over its d numbers, then the mean. At most d, whatever one token
/// does. Shapes: r (T, d).   nullopt: a token whose d numbers are all equal or not finite.   Errors: shape_error when
/// empty. Source: arXiv 2506.12044, figures 6 and 7 (their formula is per vector).
inline std::optional<double> kurtosis_per_token(matrix_view<const float> r) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("kurtosis_per_token: at least one number is expected");
    double sum = 0;
    for (std::size_t t = 0; t < r.rows; ++t) {
        const auto of_token = kurtosis<float>(r.row(t));
        if (!of_token) return std::nullopt;
        sum += *of_token;
    }
    return sum / static_cast<double>(r.rows);
}

/// κ of all T·d numbers of one example as one list: up to T·d, and ruled by the token of the attention sink if it is
/// among them.
/// Shapes: r (T, d).   nullopt: as kurtosis.   Errors: shape_error when empty.
inline std::optional<double> kurtosis_flat(matrix_view<const float> r) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("kurtosis_flat: at least one number is expected");
    const auto sums = detail::central_sums_of(r);
    const double n = static_cast<double>(r.rows) * static_cast<double>(r.cols);
    return detail::kurtosis_from(sums.fourth / n, sums.square / n);
}

/// 1/N · Σ (x_i − x̄)⁴ / (s + 1e-8)⁴ over all N = T·d numbers, with the sample's s² = Σ (x_i − x̄)² / (N − 1).
/// Shapes: r (T, d).   nullopt: N = 1, or a value that is not finite; equal numbers give 0, thanks to the 1e-8.
/// Errors: shape_error when empty.   Source: the toolkit LLMC (ModelTC/llmc); the paper does not
/// say which kurtosis it means.
inline std::optional<double> kurtosis_llmc(matrix_view<const float> r) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("kurtosis_llmc: at least one number is expected");
    const double n = static_cast<double>(r.rows) * static_cast<double>(r.cols);
    if (n < 2) return std::nullopt;
    const auto sums = detail::central_sums_of(r);
    const double s = std::sqrt(sums.square / (n - 1)) + 1e-8;
    return detail::kurtosis_from(sums.fourth / n, s * s);
}

} // namespace bitlens

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// Counts per bin. Bin b holds edges[b] ≤ x < edges[b + 1]; the last one holds its upper edge too.
struct histogram_counts {
    std::vector<double> edges;        ///< one more than bins, rising
    std::vector<std::size_t> counts;  ///< one per bin
    std::size_t below = 0, above = 0; ///< values outside the edges
};

/// Counts values between given edges.
/// Errors: option_error unless there are two or more finite edges that rise; bitlens::error for a NaN among the values.
inline histogram_counts histogram(std::span<const double> values, std::span<const double> edges) {
    if (edges.size() < 2) throw option_error("histogram: at least two edges are expected");
    for (std::size_t i = 0; i < edges.size(); ++i)
        if (!std::isfinite(edges[i]) || (i > 0 && edges[i] <= edges[i - 1]))
            throw option_error("histogram: edge " + std::to_string(i) + " = " + std::to_string(edges[i]) +
                               ", expected finite numbers that rise");
    histogram_counts h{{edges.begin(), edges.end()}, std::vector<std::size_t>(edges.size() - 1), 0, 0};
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double x = values[i];
        if (std::isnan(x)) throw error("histogram: value " + std::to_string(i) + " is not a number");
        if (x < edges.front()) {
            ++h.below;
        } else if (x > edges.back()) {
            ++h.above;
        } else {
            const auto next = static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), x) - edges.begin());
            ++h.counts[std::min(next, h.counts.size()) - 1];
        }
    }
    return h;
}

/// The same with `bins` bins of equal width from lo to hi.   Errors: also option_error for no bins.
inline histogram_counts histogram(std::span<const double> values, double lo, double hi, std::size_t bins) {
    if (bins == 0) throw option_error("histogram: at least one bin is expected");
    std::vector<double> edges(bins + 1);
    for (std::size_t b = 0; b <= bins; ++b)
        edges[b] = std::lerp(lo, hi, static_cast<double>(b) / static_cast<double>(bins));
    return histogram(values, edges);
}

/// h = 0.9 · min(s, IQR/1.34) · N^(−1/5), with the sample's s² = Σ (x − x̄)² / (N − 1); s alone where IQR = 0.
/// nullopt: fewer than two values, all of them equal, one that is not finite.
/// Source: Silverman 1986, eq. 3.31.
inline std::optional<double> silverman_bandwidth(std::span<const double> values) {
    if (values.size() < 2) return std::nullopt;
    const double n = static_cast<double>(values.size());
    const double s = std::sqrt(detail::central_sums_of(values).square / (n - 1));
    if (!std::isfinite(s) || s == 0) return std::nullopt;
    std::vector<double> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    const double iqr = quantile(sorted, 0.75) - quantile(sorted, 0.25);
    const double spread = iqr > 0 ? std::min(s, iqr / 1.34) : s;
    return 0.9 * spread * std::pow(n, -0.2);
}

/// f(u) = 1/(N·h·√(2π)) · Σ_i exp(−½·((u − x_i)/h)²)   at every u of `at`.   Units: 1 / those of the values.
/// Errors: shape_error for no values; option_error unless the bandwidth h is finite and positive;
/// bitlens::error for a value that is not finite.
inline std::vector<double> kernel_density(std::span<const double> values, std::span<const double> at,
                                          double bandwidth) {
    if (values.empty()) throw shape_error("kernel_density: at least one value is expected");
    if (!(bandwidth > 0) || !std::isfinite(bandwidth))
        throw option_error("kernel_density: bandwidth " + std::to_string(bandwidth) + ", expected a positive number");
    for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i])) throw error("kernel_density: value " + std::to_string(i) + " is not finite");
    const double unit = static_cast<double>(values.size()) * bandwidth * std::sqrt(2 * std::numbers::pi);
    std::vector<double> density(at.size());
    for (std::size_t k = 0; k < at.size(); ++k)
        density[k] = detail::sum_of(values.size(),
                                    [&](std::size_t i) {
                                        const double z = (at[k] - values[i]) / bandwidth;
                                        return std::exp(-0.5 * z * z);
                                    }) /
                     unit;
    return density;
}

} // namespace bitlens

// ---- bitlens/stats/norms.hpp
/// Lengths of activations and distances between them. A NaN or infinity in the input is one in the result.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// ‖x‖₂   (0 for an empty x). Squares of floats are exact in double and cannot overflow there.
inline double euclidean_norm(std::span<const float> x) noexcept {
    return std::sqrt(detail::sum_of(x.size(), [&](std::size_t i) { return double{x[i]} * double{x[i]}; }));
}

/// ‖r_t‖₂ of every row.   Shapes: r (T, d) → (T).   Units: those of the activations.
inline std::vector<double> row_norms(matrix_view<const float> r) {
    std::vector<double> norms(r.rows);
    for (std::size_t t = 0; t < r.rows; ++t) norms[t] = euclidean_norm(r.row(t));
    return norms;
}

/// norm(x; r) = 1/T · Σ_t ‖r_t‖₂   — residual magnitude of one example at one layer.
/// Shapes: r (T, d).   Units: those of the activations.   Errors: shape_error when T = 0.   Source: arXiv 2506.12044,
/// eq. 7.
inline double mean_row_norm(matrix_view<const float> r) {
    if (r.rows == 0) throw shape_error("mean_row_norm: at least one row is expected");
    double sum = 0;
    for (std::size_t t = 0; t < r.rows; ++t) sum += euclidean_norm(r.row(t));
    return sum / static_cast<double>(r.rows);
}

namespace detail {

inline void check_same_shape(const char* who, matrix_view<const float> a, matrix_view<const float> b) {
    if (a.rows != b.rows || a.cols != b.cols)
        throw shape_error(std::string(who) + ": " + std::to_string(a.rows) + " × " + std::to_string(a.cols) +
                          " numbers against " + std::to_string(b.rows) + " × " + std::to_string(b.cols));
    if (a.rows == 0 || a.cols == 0) throw shape_error(std::string(who) + ": at least one number is expected");
}

} // namespace detail

/// MSE = 1/(T·d) · Σ_{t,i} (a_ti − b_ti)²   — how far a quantized run is from the full one at one place.
/// Shapes: a, b (T, d).   Errors: shape_error when they differ in shape or are empty.
inline double mean_squared_difference(matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_same_shape("mean_squared_difference", a, b);
    double sum = 0;
    for (std::size_t t = 0; t < a.rows; ++t) {
        const auto x = a.row(t), y = b.row(t);
        sum += detail::sum_of(x.size(), [&](std::size_t i) {
            const double difference = double{x[i]} - double{y[i]};
            return difference * difference;
        });
    }
    return sum / (static_cast<double>(a.rows) * static_cast<double>(a.cols));
}

/// 1/T · Σ_t ‖a_t − b_t‖₂ / ‖b_t‖₂   — how far a quantized run is from the full one at one place, against the length of
/// what it should be. Infinite or NaN where a row of b is zero.
/// Shapes: a, b (T, d).   Errors: as mean_squared_difference.
inline double mean_relative_difference(matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_same_shape("mean_relative_difference", a, b);
    double sum = 0;
    for (std::size_t t = 0; t < a.rows; ++t) {
        const auto x = a.row(t), y = b.row(t);
        const double square = detail::sum_of(x.size(), [&](std::size_t i) {
            const double difference = double{x[i]} - double{y[i]};
            return difference * difference;
        });
        sum += std::sqrt(square) / euclidean_norm(y);
    }
    return sum / static_cast<double>(a.rows);
}

/// 1/T · Σ_t (Σ of the `largest` largest r_ti²) / ‖r_t‖₂²   — the share of a state's length that lies in few
/// dimensions, from largest/d to 1. NaN where a row is zero. Shapes: r (T, d).   Errors: shape_error when r is empty.
inline double mean_top_share(matrix_view<const float> r, std::size_t largest) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("mean_top_share: at least one number is expected");
    const auto count = static_cast<std::ptrdiff_t>(std::min(largest, r.cols));
    std::vector<double> squares(r.cols);
    double sum = 0;
    for (std::size_t t = 0; t < r.rows; ++t) {
        std::ranges::transform(r.row(t), squares.begin(), [](float v) { return double{v} * double{v}; });
        const double all = detail::sum_of(squares.size(), [&](std::size_t i) { return squares[i]; });
        std::ranges::partial_sort(squares, squares.begin() + count, std::greater<>{});
        sum += detail::sum_of(static_cast<std::size_t>(count), [&](std::size_t i) { return squares[i]; }) / all;
    }
    return sum / static_cast<double>(r.rows);
}

} // namespace bitlens

// ---- bitlens/stats/overlap.hpp
/// How much two sets of examples have in common.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {
inline std::vector<std::size_t> as_set(std::span<const std::size_t> members) {
    std::vector<std::size_t> set(members.begin(), members.end());
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
    return set;
}
} // namespace detail

/// |A ∩ B|. A member listed twice counts once; the order does not matter.
inline std::size_t common_members(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    const auto first = detail::as_set(a), second = detail::as_set(b);
    return static_cast<std::size_t>(std::count_if(first.begin(), first.end(), [&second](std::size_t member) {
        return std::binary_search(second.begin(), second.end(), member);
    }));
}

/// |A ∩ B| / |A ∪ B|, in 0 … 1, of the same sets.   nullopt: both sets empty.
inline std::optional<double> jaccard(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    const std::size_t common = common_members(a, b);
    const std::size_t either = detail::as_set(a).size() + detail::as_set(b).size() - common;
    if (either == 0) return std::nullopt;
    return static_cast<double>(common) / static_cast<double>(either);
}

/// The chance that random sets of a and of b out of n items have at least `common` items in common: the upper tail of
/// the hypergeometric distribution.   Errors: shape_error for a set of more than n.
inline double chance_of_common(std::size_t a, std::size_t b, std::size_t n, std::size_t common) {
    if (a > n || b > n)
        throw shape_error("chance_of_common: sets of " + std::to_string(a) + " and " + std::to_string(b) +
                          ", expected at most the " + std::to_string(n) + " items that there are");
    const auto log_choose = [](std::size_t of, std::size_t k) {
        const auto log_factorial = [](std::size_t m) { return std::lgamma(static_cast<double>(m) + 1); };
        return log_factorial(of) - log_factorial(k) - log_factorial(of - k);
    };
    const std::size_t least = a + b > n ? a + b - n : 0;
    if (common <= least) return 1;
    double chance = 0;
    for (std::size_t k = common; k <= std::min(a, b); ++k)
        chance += std::exp(log_choose(a, k) + log_choose(n - a, b - k) - log_choose(n, b));
    return std::min(chance, 1.0);
}

} // namespace bitlens

// ---- bitlens/io.hpp
/// Files: mapped, hashed, compressed, written all or nothing, and the formats JSON, NPY, NPZ, safetensors and GGUF.

// ---- bitlens/io/atomic_file.hpp
/// atomic_file: a file that appears under its name complete or not at all. And what else is written: lines of a log.

// ---- bitlens/io/byte_cursor.hpp
/// Little-endian numbers in foreign bytes: loads without alignment, checked products, a cursor that cannot leave them.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace bitlens {

static_assert(std::endian::native == std::endian::little, "every file format read here is little-endian");

/// The number whose bytes begin at `bytes`, which need not be aligned.
template <class T>
T load(std::byte const* bytes) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}
inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// Π factors, or nothing if it does not fit. The empty product is 1; a factor of 0 makes 0 whatever the others are.
constexpr std::optional<std::size_t> checked_product(std::span<const std::size_t> factors) noexcept {
    for (const std::size_t f : factors)
        if (f == 0) return 0;
    std::size_t product = 1;
    for (const std::size_t f : factors) {
        if (product > std::numeric_limits<std::size_t>::max() / f) return std::nullopt;
        product *= f;
    }
    return product;
}

/// "(2, 3)": a shape as messages show it.
inline std::string shape_text(std::span<const std::size_t> shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
}

/// Reads forward through borrowed bytes. Every step checks what is left first.
/// Errors: format_error "<who>: <field>: <n> bytes are needed at offset <o>, <m> are left".
class byte_cursor {
public:
    /// `who` (borrowed) begins every message: the file.
    byte_cursor(std::span<const std::byte> bytes, std::string_view who) noexcept : bytes_(bytes), who_(who) {}

    std::size_t position() const noexcept { return position_; }
    std::size_t left() const noexcept { return bytes_.size() - position_; }

    std::span<const std::byte> take(std::uint64_t count, std::string_view field) {
        if (count > left())
            throw format_error(std::string(who_) + ": " + std::string(field) + ": " + std::to_string(count) +
                               " bytes are needed at offset " + std::to_string(position_) + ", " +
                               std::to_string(left()) + " are left");
        const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
        position_ += taken.size();
        return taken;
    }
    template <class T>
    T number(std::string_view field) {
        return load<T>(take(sizeof(T), field).data());
    }

private:
    std::span<const std::byte> bytes_;
    std::string_view who_;
    std::size_t position_ = 0;
};

} // namespace bitlens

// ---- bitlens/io/mapped_file.hpp
/// mapped_file: the bytes of a file, read only, without reading them first.

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// io_error "<path>: <what>: <the system's reason>"; call it before anything else can change errno.
[[noreturn]] inline void throw_io_error(std::filesystem::path const& path, std::string_view what) {
    const int reason = errno;
    throw io_error(path.string() + ": " + std::string(what) + ": " + std::generic_category().message(reason));
}

/// An open file descriptor, closed at the end of its scope.
class descriptor {
public:
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int get() const noexcept { return number_; }

private:
    int number_;
};

/// Opens a regular file to be read. Errors: io_error if it is missing, may not be read, or is a folder, pipe or device.
inline std::pair<descriptor, std::size_t> open_regular(std::filesystem::path const& path) {
    // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.get() < 0) throw_io_error(path, "cannot be opened");
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw_io_error(path, "has no status");
    if (!S_ISREG(status.st_mode))
        throw io_error(path.string() + ": is not a regular file" + (S_ISDIR(status.st_mode) ? " but a folder" : ""));
    return {std::move(file), static_cast<std::size_t>(status.st_size)};
}

/// Up to `size` bytes from where the file stands into `to`; fewer only at its end.
inline std::size_t read_fully(descriptor const& file, std::byte* to, std::size_t size,
                              std::filesystem::path const& path) {
    std::size_t done = 0;
    while (done < size) {
        const ssize_t n = ::read(file.get(), to + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw_io_error(path, "cannot be read");
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    return done;
}

} // namespace detail

/// map: pages come from the file when touched; if somebody cuts the file meanwhile, touching a lost page kills the
/// program (SIGBUS). copy: all is read into memory at once, and is safe from that.
enum class file_access { map, copy };

/// The bytes of a file as they were when it was opened. Move-only; moving keeps the address of the bytes.
/// Errors: io_error that names the path and the system's reason; a file cut while it is copied is one too.
class mapped_file {
public:
    explicit mapped_file(std::filesystem::path path, file_access access = file_access::map) : path_(std::move(path)) {
        const auto [file, size] = detail::open_regular(path_);
        if (size == 0) return; // a mapping of no bytes does not exist
        if (access == file_access::copy) {
            copy_.resize(size);
            if (detail::read_fully(file, copy_.data(), size, path_) != size)
                throw io_error(path_.string() + ": became shorter while it was read");
            bytes_ = copy_;
            return;
        }
        void* const first = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
        if (first == MAP_FAILED) detail::throw_io_error(path_, "cannot be mapped");
        bytes_ = {static_cast<std::byte const*>(first), size};
    }
    mapped_file(mapped_file&& other) noexcept
        : path_(std::move(other.path_)), copy_(std::move(other.copy_)), bytes_(std::exchange(other.bytes_, {})) {}
    mapped_file& operator=(mapped_file&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(copy_, other.copy_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~mapped_file() {
        if (copy_.empty() && !bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    }

    std::span<const std::byte> bytes() const noexcept { return bytes_; }
    std::filesystem::path const& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
    std::vector<std::byte> copy_; // empty when mapped
    std::span<const std::byte> bytes_;
};

} // namespace bitlens

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace bitlens {

namespace detail {

inline std::filesystem::path folder_of(std::filesystem::path const& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Where a file is written, every link followed, and the status of the file that is there.
struct written_place {
    std::filesystem::path path;
    std::optional<struct stat> status;
};

/// Errors: io_error for a folder, a pipe, a device, a socket, a file that may not be written or replaced, a link that
/// leads nowhere.
inline written_place find_written_place(std::filesystem::path const& name) {
    if (!name.has_filename()) throw io_error(name.string() + ": cannot be written: the name of a file is expected");
    written_place place{name, {}};
    struct stat status {};
    if (::stat(name.c_str(), &status) == 0) {
        const auto mode = status.st_mode;
        if (!S_ISREG(mode))
            throw io_error(name.string() + ": cannot be written: a regular file is expected, a " +
                           (S_ISDIR(mode)    ? "folder"
                            : S_ISFIFO(mode) ? "pipe"
                            : S_ISSOCK(mode) ? "socket"
                                             : "device") +
                           " was found");
        if (::faccessat(AT_FDCWD, name.c_str(), W_OK, AT_EACCESS) != 0) throw_io_error(name, "cannot be written");
        place.status = status;
    } else if (errno != ENOENT) {
        throw_io_error(name, "cannot be written");
    }
    constexpr int most_links = 40; // as Linux follows
    std::error_code unreadable;
    for (int n = 0; n < most_links && std::filesystem::is_symlink(place.path, unreadable); ++n)
        place.path = place.path.parent_path() / std::filesystem::read_symlink(place.path, unreadable);

    struct stat folder {};
    if (::stat(folder_of(place.path).c_str(), &folder) != 0) throw_io_error(name, "cannot be written");
    if (!place.status) return place;
    // A link of /proc leads to an open file, which need not have a name any more.
    if (::lstat(place.path.c_str(), &status) != 0 || status.st_ino != place.status->st_ino ||
        status.st_dev != place.status->st_dev)
        throw io_error(name.string() + ": cannot be written: the file behind this link has no name");
    const auto user = ::geteuid();
    if ((folder.st_mode & S_ISVTX) != 0 && user != 0 && user != status.st_uid && user != folder.st_uid)
        throw io_error(name.string() + ": cannot be written: only its owner may replace it in this folder");
    return place;
}

} // namespace detail

/// Writes to `.NAME.tmp` beside the file; commit() flushes it to the disk and renames it. Without commit() the
/// temporary file is removed and the file stays as it was. Links are followed: what they lead to is replaced, and they
/// stay. A file that was there passes on its mode, and its owner and group as far as the system lets us. The temporary
/// name is fixed, so that what a killed program left is overwritten by the next one; a lock on it keeps two programs
/// from writing the same file. Errors: io_error that names the path and the system's reason; before anything is written
/// for what cannot be replaced: a folder, a pipe, a device, a file or folder that may not be written.
class atomic_file {
public:
    explicit atomic_file(std::filesystem::path path)
        : path_(std::move(path)), place_(detail::find_written_place(path_)),
          temporary_(place_.path.parent_path() / ("." + place_.path.filename().string() + ".tmp")),
          file_(lock_temporary()) {
        try {
            if (::ftruncate(file_.get(), 0) != 0) detail::throw_io_error(temporary_, "cannot be emptied");
            if (place_.status) take_over(*place_.status);
        } catch (...) {
            ::unlink(temporary_.c_str());
            throw;
        }
    }
    atomic_file(atomic_file const&) = delete;
    atomic_file& operator=(atomic_file const&) = delete;
    ~atomic_file() {
        if (!committed_) ::unlink(temporary_.c_str());
    }

    /// Appends.
    void write(std::span<const std::byte> bytes) {
        write_at(size_, bytes);
        size_ += bytes.size();
    }
    void write(std::string_view text) { write(as_bytes(text)); }
    /// Writes over what was written before.
    void overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
        BITLENS_ASSERT(offset <= size_ && bytes.size() <= size_ - offset);
        write_at(offset, bytes);
    }
    /// Bytes written so far.
    std::uint64_t size() const noexcept { return size_; }
    std::filesystem::path const& path() const noexcept { return path_; }

    /// Once; nothing may be written after it.
    void commit() {
        BITLENS_ASSERT(!committed_);
        if (::fsync(file_.get()) != 0) detail::throw_io_error(temporary_, "cannot be flushed to the disk");
        if (::rename(temporary_.c_str(), place_.path.c_str()) != 0)
            detail::throw_io_error(path_, "cannot be put in place of an older file");
        committed_ = true;
        flush_folder();
    }

private:
    detail::descriptor lock_temporary() const {
        for (;;) {
            // Without O_NONBLOCK, opening a pipe that nobody reads from would wait for ever.
            detail::descriptor file(
                ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
            if (file.get() < 0)
                detail::throw_io_error(path_, "cannot be written: " + temporary_.string() + " cannot be created");
            if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
                if (errno == EINTR) continue;
                detail::throw_io_error(temporary_, "is being written by another program");
            }
            struct stat opened {
            }, named{};
            if (::fstat(file.get(), &opened) != 0) detail::throw_io_error(temporary_, "has no status");
            if (!S_ISREG(opened.st_mode)) throw io_error(temporary_.string() + ": is not a regular file");
            // The writer that held the lock before may have renamed this very file into place: then it is not ours.
            if (::stat(temporary_.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
                opened.st_dev == named.st_dev)
                return file;
        }
    }
    /// The owner comes first, for a change of owner takes rights away. Who may not give a file away keeps it.
    void take_over(struct stat const& before) const {
        if (::fchown(file_.get(), before.st_uid, before.st_gid) != 0) {
            [[maybe_unused]] const int only_group = ::fchown(file_.get(), static_cast<uid_t>(-1), before.st_gid);
        }
        if (::fchmod(file_.get(), before.st_mode & 07777u) != 0)
            detail::throw_io_error(temporary_, "cannot be given the mode of the file that it replaces");
    }
    void write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) detail::throw_io_error(path_, "cannot be written");
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            offset += static_cast<std::uint64_t>(n);
        }
    }
    /// A rename lasts through a power cut only when the folder that holds the name is on the disk too.
    void flush_folder() const {
        const auto folder = detail::folder_of(place_.path);
        const detail::descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (opened.get() < 0) detail::throw_io_error(folder, "cannot be opened");
        // Some file systems cannot flush a folder and say EINVAL.
        if (::fsync(opened.get()) != 0 && errno != EINVAL) detail::throw_io_error(folder, "cannot be flushed");
    }

    std::filesystem::path path_;
    detail::written_place place_;
    std::filesystem::path temporary_;
    detail::descriptor file_;
    std::uint64_t size_ = 0;
    bool committed_ = false;
};

/// The whole file at once.   Errors: as atomic_file.
inline void write_file_atomically(std::filesystem::path const& path, std::span<const std::byte> bytes) {
    atomic_file file(path);
    file.write(bytes);
    file.commit();
}
inline void write_file_atomically(std::filesystem::path const& path, std::string_view text) {
    write_file_atomically(path, as_bytes(text));
}

/// Says before the work of hours that its result could not be written under this name. What is there stays as it is.
/// Errors: as atomic_file.
inline void expect_writable(std::filesystem::path const& path) { const atomic_file opened_and_removed_again(path); }

/// Puts `text` behind what the file holds, which is made if it is not there.   Errors: io_error as atomic_file.
inline void append_to_file(std::filesystem::path const& path, std::string_view text) {
    const auto place = detail::find_written_place(path).path;
    const detail::descriptor file(::open(place.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666));
    if (file.get() < 0) detail::throw_io_error(path, "cannot be written");
    while (!text.empty()) {
        const ssize_t n = ::write(file.get(), text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) detail::throw_io_error(path, "cannot be written");
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

} // namespace bitlens

// ---- bitlens/io/foreign_file.hpp
/// foreign_file: what a file is that a reader did not expect, told by its bytes, and what makes a readable one of it.

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitlens {

/// A kind of file by its name with an article, and what to do about one; both are texts of the program.
struct file_kind {
    std::string_view begins; // with these bytes
    std::string_view name, remedy;
};

namespace detail {

using namespace std::string_view_literals;

inline constexpr std::array<file_kind, 21> file_kinds{{
    {"GGUF"sv, "a GGUF file", "a model in it is given by the path of that file"},
    {"\x93NUMPY"sv, "an NPY array", ""},
    {"PK\x03\x04"sv, "a zip archive", "unpack it first; PyTorch's .bin, .pt and .pth are archives too, and not read"},
    {"PK\x05\x06"sv, "an empty zip archive", ""},
    {"\x1F\x8B"sv, "a gzip file", "'gunzip' unpacks it"},
    {"\x28\xB5\x2F\xFD"sv, "a Zstandard file", "'zstd -d' unpacks it"},
    {"BZh"sv, "a bzip2 file", "'bunzip2' unpacks it"},
    {"\xFD"
     "7zXZ\0"sv,
     "an xz file", "'unxz' unpacks it"},
    {"7z\xBC\xAF\x27\x1C"sv, "a 7z archive", "unpack it first"},
    {"\x04\x22\x4D\x18"sv, "an LZ4 file", "'unlz4' unpacks it"},
    {"PAR1"sv, "a Parquet file", ""},
    {"ARROW1"sv, "an Arrow file", ""},
    {"\x89HDF\r\n\x1A\n"sv, "an HDF5 file", ""},
    {"SQLite format 3\0"sv, "an SQLite database", ""},
    {"%PDF-"sv, "a PDF document", ""},
    {"\x80\x02"sv, "a Python pickle", "it could run any program, and is not read"},
    {"\x80\x03"sv, "a Python pickle", "it could run any program, and is not read"},
    {"\x80\x04"sv, "a Python pickle", "it could run any program, and is not read"},
    {"\x80\x05"sv, "a Python pickle", "it could run any program, and is not read"},
    {"lmgg"sv, "a GGML file from before GGUF", "a newer conversion of the model is needed"},
    {"tjgg"sv, "a GGML file from before GGUF", "a newer conversion of the model is needed"},
}};

inline constexpr file_kind tar_archive{"", "a tar archive", "unpack it first"};
inline constexpr file_kind web_page{"", "a web page", "the download gave a page in place of the file: fetch it again"};
inline constexpr file_kind lfs_pointer{
    "", "a Git LFS pointer",
    "it stands for a file that was not fetched: 'git lfs pull' in the folder of the clone does that"};
inline constexpr file_kind empty_file{"", "an empty file", "was the download cut?"};

/// "<!DOCTYPE html …" or "<html …" after white space, in letters of any case.
inline bool begins_as_web_page(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    std::string start(text.substr(0, 14));
    std::ranges::transform(start, start.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    return start.starts_with("<!doctype html") || start.starts_with("<html");
}

} // namespace detail

/// The kind of a file that is foreign wherever these bytes are no start of what is expected; nothing where they are
/// like nothing known.
inline std::optional<file_kind> foreign_kind(std::span<const std::byte> bytes) {
    const std::string_view text = as_text(bytes);
    if (text.empty()) return detail::empty_file;
    constexpr std::size_t longest_pointer = 1024; // as Git LFS itself has it
    if (text.starts_with("version ") && text.size() < longest_pointer && text.find("\noid ") != text.npos)
        return detail::lfs_pointer;
    for (auto const& kind : detail::file_kinds)
        if (text.starts_with(kind.begins)) return kind;
    constexpr std::size_t tar_magic = 257; // in its first header
    if (text.size() > tar_magic && text.substr(tar_magic).starts_with("ustar")) return detail::tar_archive;
    if (detail::begins_as_web_page(text)) return detail::web_page;
    return std::nullopt;
}

/// For a reader that has seen that bytes do not begin as those it reads: `who` is their file, `expected` what it reads.
/// Errors: format_error naming the kind, if it is known.
inline void refuse_foreign(std::span<const std::byte> bytes, std::string_view who, std::string_view expected) {
    const auto kind = foreign_kind(bytes);
    if (!kind) return;
    throw format_error(std::string(who) + ": " + std::string(expected) + " is expected, " + std::string(kind->name) +
                       " was found" + (kind->remedy.empty() ? "" : "; ") + std::string(kind->remedy));
}

} // namespace bitlens

// ---- bitlens/io/gguf.hpp
/// gguf_file: metadata by key and tensors by name of a GGUF file (versions 2 and 3), decoded to float row by row.

// ---- bitlens/io/gguf_blocks.hpp
/// The tensor types of GGUF: how many elements a block of each holds in how many bytes, and its decoding to float.
///
/// In every type each product is exact in float (f16 × at most 8 bits × at most 5 bits), so that one rounding is left
/// and fused multiply-add changes nothing; only Q6_K, which has no sum, rounds a product.
/// Source: ggml d99724f2, src/ggml-common.h and dequantize_row_* of src/ggml-quants.c.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitlens {

namespace gguf_blocks {

inline float half_at(std::byte const* p) noexcept { return f16::from_bits(load<std::uint16_t>(p)); }
inline unsigned byte_at(std::byte const* p) noexcept { return std::to_integer<unsigned>(*p); }

/// y = (q − 8)·d.   18 bytes: f16 d, 16 bytes of nibbles; the low nibble of byte j is element j, the high j + 16.
inline void decode_q4_0(std::byte const* block, float* y) noexcept {
    const float d = half_at(block);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 2 + j);
        y[j] = static_cast<float>(static_cast<int>(q & 15u) - 8) * d;
        y[j + 16] = static_cast<float>(static_cast<int>(q >> 4) - 8) * d;
    }
}

/// y = q·d + m.   20 bytes: f16 d, f16 m, nibbles as Q4_0.
inline void decode_q4_1(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), m = half_at(block + 2);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 4 + j);
        y[j] = static_cast<float>(q & 15u) * d + m;
        y[j + 16] = static_cast<float>(q >> 4) * d + m;
    }
}

/// y = (q − 16)·d.   22 bytes: f16 d, u32 whose bit e is the fifth bit of element e, nibbles as Q4_0.
inline void decode_q5_0(std::byte const* block, float* y) noexcept {
    const float d = half_at(block);
    const auto fifth = load<std::uint32_t>(block + 2);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 6 + j);
        const unsigned low = (q & 15u) | ((fifth >> j & 1u) << 4), high = (q >> 4) | ((fifth >> (j + 16) & 1u) << 4);
        y[j] = static_cast<float>(static_cast<int>(low) - 16) * d;
        y[j + 16] = static_cast<float>(static_cast<int>(high) - 16) * d;
    }
}

/// y = q·d + m.   24 bytes: f16 d, f16 m, u32 and nibbles as Q5_0.
inline void decode_q5_1(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), m = half_at(block + 2);
    const auto fifth = load<std::uint32_t>(block + 4);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 8 + j);
        const unsigned low = (q & 15u) | ((fifth >> j & 1u) << 4), high = (q >> 4) | ((fifth >> (j + 16) & 1u) << 4);
        y[j] = static_cast<float>(low) * d + m;
        y[j + 16] = static_cast<float>(high) * d + m;
    }
}

/// y = q·d.   34 bytes: f16 d, 32 signed bytes.
inline void decode_q8_0(std::byte const* block, float* y) noexcept {
    const float d = half_at(block);
    for (std::size_t j = 0; j < 32; ++j) y[j] = static_cast<float>(load<std::int8_t>(block + 2 + j)) * d;
}

/// y = d·level[q].   18 bytes as Q4_0.
inline void decode_iq4_nl(std::byte const* block, float* y) noexcept {
    static constexpr std::array<float, 16> level{-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};
    const float d = half_at(block);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 2 + j);
        y[j] = d * level[q & 15u];
        y[j + 16] = d * level[q >> 4];
    }
}

/// Two bits of element e of the 64 bytes at `plane`: 128 elements lie in 32 bytes, 32 of them in each pair of bits.
inline unsigned two_bits(std::byte const* plane, std::size_t e) noexcept {
    return byte_at(plane + e / 128 * 32 + e % 32) >> (e % 128 / 32 * 2) & 3u;
}

/// y = (d·s)·q − dmin·m, s and m of 16 elements in the low and high nibble of a byte.
/// 84 bytes: sc[16], two-bit plane[64], f16 d, f16 dmin.
inline void decode_q2_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block + 80), dmin = half_at(block + 82);
    for (std::size_t i = 0; i < 16; ++i) {
        const unsigned sc = byte_at(block + i);
        const float scale = d * static_cast<float>(sc & 15u), min = dmin * static_cast<float>(sc >> 4);
        for (std::size_t e = 16 * i; e < 16 * i + 16; ++e)
            y[e] = scale * static_cast<float>(two_bits(block + 16, e)) - min;
    }
}

/// y = (d·s)·q, q = −4 … 3, s = −32 … 31 for 16 elements.
/// 110 bytes: hmask[32] (bit e/32 of byte e%32: third bit of q), two-bit plane[64], sc[12], f16 d.
inline void decode_q3_k(std::byte const* block, float* y) noexcept {
    std::byte const *const mask = block, *const plane = block + 32, *const sc = block + 96;
    const float d = half_at(block + 108);
    for (std::size_t i = 0; i < 16; ++i) {
        const unsigned low = i < 8 ? byte_at(sc + i) & 15u : byte_at(sc + i - 8) >> 4;
        const unsigned high = byte_at(sc + 8 + i % 4) >> (i / 4 * 2) & 3u;
        const float scale = d * static_cast<float>(static_cast<int>(low | high << 4) - 32);
        for (std::size_t e = 16 * i; e < 16 * i + 16; ++e) {
            const unsigned third = byte_at(mask + e % 32) >> (e / 32) & 1u;
            y[e] = scale * static_cast<float>(static_cast<int>(two_bits(plane, e) | third << 2) - 4);
        }
    }
}

struct scale_and_min {
    float scale, min;
};

/// The six-bit scale and min of 32 elements, j = 0 … 7, from the 12 bytes that Q4_K and Q5_K share.
inline scale_and_min six_bits(std::byte const* sc, std::size_t j) noexcept {
    if (j < 4) return {static_cast<float>(byte_at(sc + j) & 63u), static_cast<float>(byte_at(sc + j + 4) & 63u)};
    const unsigned low = byte_at(sc + j + 4);
    return {static_cast<float>((low & 15u) | (byte_at(sc + j - 4) >> 6) << 4),
            static_cast<float>((low >> 4) | (byte_at(sc + j) >> 6) << 4)};
}

/// y = (d·s)·q − dmin·m.   144 bytes: f16 d, f16 dmin, sc[12], qs[128]: 64 elements lie in 32 bytes, the first 32 in
/// the low nibbles.
inline void decode_q4_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), dmin = half_at(block + 2);
    for (std::size_t j = 0; j < 8; ++j) {
        const auto [s, m] = six_bits(block + 4, j);
        const float scale = d * s, min = dmin * m;
        std::byte const* const qs = block + 16 + j / 2 * 32;
        for (std::size_t l = 0; l < 32; ++l)
            y[32 * j + l] = scale * static_cast<float>(byte_at(qs + l) >> (j % 2 * 4) & 15u) - min;
    }
}

/// As Q4_K with a fifth bit.   176 bytes: f16 d, f16 dmin, sc[12], qh[32] (bit j of byte l: element l of run j),
/// qs[128].
inline void decode_q5_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), dmin = half_at(block + 2);
    std::byte const* const qh = block + 16;
    for (std::size_t j = 0; j < 8; ++j) {
        const auto [s, m] = six_bits(block + 4, j);
        const float scale = d * s, min = dmin * m;
        std::byte const* const qs = block + 48 + j / 2 * 32;
        for (std::size_t l = 0; l < 32; ++l) {
            const unsigned q = (byte_at(qs + l) >> (j % 2 * 4) & 15u) | (byte_at(qh + l) >> j & 1u) << 4;
            y[32 * j + l] = scale * static_cast<float>(q) - min;
        }
    }
}

/// y = (d·s)·q, q = −32 … 31, s a signed byte for 16 elements.
/// 210 bytes: ql[128], qh[64], sc[16], f16 d. Of the 128 elements of a half, element 32k + l has its low bits in byte
/// 32(k mod 2) + l of ql (low nibble for k < 2) and its two high bits in bits 2k of byte l of qh.
inline void decode_q6_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block + 208);
    for (std::size_t half = 0; half < 2; ++half) {
        std::byte const *const ql = block + 64 * half, *const qh = block + 128 + 32 * half;
        std::byte const* const sc = block + 192 + 8 * half;
        for (std::size_t k = 0; k < 4; ++k) {
            const float scale[2] = {d * static_cast<float>(load<std::int8_t>(sc + 2 * k)),
                                    d * static_cast<float>(load<std::int8_t>(sc + 2 * k + 1))};
            for (std::size_t l = 0; l < 32; ++l) {
                const unsigned low = byte_at(ql + k % 2 * 32 + l) >> (k / 2 * 4) & 15u;
                const unsigned high = byte_at(qh + l) >> (2 * k) & 3u;
                y[128 * half + 32 * k + l] = scale[l / 16] * static_cast<float>(static_cast<int>(low | high << 4) - 32);
            }
        }
    }
}

/// One element a block.
inline void decode_f32(std::byte const* block, float* y) noexcept { *y = load<float>(block); }
inline void decode_f16(std::byte const* block, float* y) noexcept { *y = half_at(block); }
inline void decode_bf16(std::byte const* block, float* y) noexcept { *y = bf16::from_bits(load<std::uint16_t>(block)); }

/// `count` blocks that follow each other.
template <auto Decode, std::size_t Elements, std::size_t Bytes>
void decode_all(std::byte const* blocks, std::size_t count, float* y) noexcept {
    for (std::size_t b = 0; b < count; ++b) Decode(blocks + b * Bytes, y + b * Elements);
}

} // namespace gguf_blocks

/// A tensor type of GGUF: `elements` neighbouring numbers of a row lie in `bytes` bytes.
struct gguf_block_type {
    std::uint32_t id;
    std::string_view name;
    std::size_t elements, bytes; // 0, 0: the name is known, the layout is not
    /// (blocks, how many, room for as many × elements floats); nullptr: no decoder here.
    void (*decode)(std::byte const*, std::size_t, float*) noexcept;
};

namespace detail {

template <auto Decode, std::size_t Elements, std::size_t Bytes>
constexpr gguf_block_type decodable(std::uint32_t id, std::string_view name) noexcept {
    return {id, name, Elements, Bytes, &gguf_blocks::decode_all<Decode, Elements, Bytes>};
}

} // namespace detail

/// Every type with a name, by id. Ids between them were removed from the format.
inline constexpr std::array gguf_block_types{
    detail::decodable<gguf_blocks::decode_f32, 1, 4>(0, "F32"),
    detail::decodable<gguf_blocks::decode_f16, 1, 2>(1, "F16"),
    detail::decodable<gguf_blocks::decode_q4_0, 32, 18>(2, "Q4_0"),
    detail::decodable<gguf_blocks::decode_q4_1, 32, 20>(3, "Q4_1"),
    detail::decodable<gguf_blocks::decode_q5_0, 32, 22>(6, "Q5_0"),
    detail::decodable<gguf_blocks::decode_q5_1, 32, 24>(7, "Q5_1"),
    detail::decodable<gguf_blocks::decode_q8_0, 32, 34>(8, "Q8_0"),
    gguf_block_type{9, "Q8_1", 32, 36, nullptr},
    detail::decodable<gguf_blocks::decode_q2_k, 256, 84>(10, "Q2_K"),
    detail::decodable<gguf_blocks::decode_q3_k, 256, 110>(11, "Q3_K"),
    detail::decodable<gguf_blocks::decode_q4_k, 256, 144>(12, "Q4_K"),
    detail::decodable<gguf_blocks::decode_q5_k, 256, 176>(13, "Q5_K"),
    detail::decodable<gguf_blocks::decode_q6_k, 256, 210>(14, "Q6_K"),
    gguf_block_type{15, "Q8_K", 256, 292, nullptr},
    gguf_block_type{16, "IQ2_XXS", 256, 66, nullptr},
    gguf_block_type{17, "IQ2_XS", 256, 74, nullptr},
    gguf_block_type{18, "IQ3_XXS", 256, 98, nullptr},
    gguf_block_type{19, "IQ1_S", 256, 50, nullptr},
    detail::decodable<gguf_blocks::decode_iq4_nl, 32, 18>(20, "IQ4_NL"),
    gguf_block_type{21, "IQ3_S", 256, 110, nullptr},
    gguf_block_type{22, "IQ2_S", 256, 82, nullptr},
    gguf_block_type{23, "IQ4_XS", 256, 136, nullptr},
    gguf_block_type{24, "I8", 1, 1, nullptr},
    gguf_block_type{25, "I16", 1, 2, nullptr},
    gguf_block_type{26, "I32", 1, 4, nullptr},
    gguf_block_type{27, "I64", 1, 8, nullptr},
    gguf_block_type{28, "F64", 1, 8, nullptr},
    gguf_block_type{29, "IQ1_M", 256, 56, nullptr},
    detail::decodable<gguf_blocks::decode_bf16, 1, 2>(30, "BF16"),
    gguf_block_type{34, "TQ1_0", 256, 54, nullptr},
    gguf_block_type{35, "TQ2_0", 256, 66, nullptr},
    gguf_block_type{39, "MXFP4", 32, 17, nullptr},
    gguf_block_type{40, "NVFP4", 64, 36, nullptr},
    gguf_block_type{41, "Q1_0", 128, 18, nullptr},
    gguf_block_type{42, "Q2_0", 0, 0, nullptr},
};

/// nullptr for an id that names no type.
constexpr gguf_block_type const* find_gguf_block_type(std::uint32_t id) noexcept {
    for (auto const& type : gguf_block_types)
        if (type.id == id) return &type;
    return nullptr;
}

} // namespace bitlens

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// Types of metadata, by their number in the file.
enum class gguf_type : std::uint32_t {
    uint8,
    int8,
    uint16,
    int16,
    uint32,
    int32,
    float32,
    boolean,
    string,
    array,
    uint64,
    int64,
    float64,
};

inline constexpr std::array<std::string_view, 13> gguf_type_names{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                                  "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::string_view name(gguf_type type) noexcept { return gguf_type_names[static_cast<std::size_t>(type)]; }

/// One piece of metadata. Key and payload lie in the file.
struct gguf_value {
    std::string_view key;
    gguf_type type;
    gguf_type element;                  // of an array; otherwise `type` again
    std::size_t count;                  // elements of an array; otherwise 1
    std::span<const std::byte> payload; // as stored, without type and count
};

/// One tensor. Name and bytes lie in the file.
struct gguf_tensor {
    std::string_view name;
    gguf_block_type const* type;
    std::array<std::size_t, 4> dims; // as stored: dims[0] is the contiguous one; 1 from `rank` on
    std::size_t rank;
    std::span<const std::byte> bytes;

    std::size_t cols() const noexcept { return dims[0]; }
    std::size_t rows() const noexcept { return dims[1] * dims[2] * dims[3]; }
    /// Outermost dimension first, as PyTorch has it.
    std::vector<std::size_t> shape() const { return {dims.rend() - static_cast<std::ptrdiff_t>(rank), dims.rend()}; }
    std::size_t row_bytes() const noexcept { return cols() / type->elements * type->bytes; }
};

/// A mapped GGUF file, all of its structure checked. Views into it live as long as mapping() is kept.
/// Errors: io_error if it cannot be opened; format_error naming file, key or tensor, and field otherwise: what is not
/// version 2 or 3 or little-endian, strings and arrays longer than the file, nested arrays, empty or repeated keys and
/// names, unknown types, an alignment that is no power of two, shapes that overflow or cut a block, offsets that are
/// not the running sum, data that is missing, and one part of a model that was split into several files.
/// Source: ggml d99724f2, docs/gguf.md and src/gguf.cpp.
class gguf_file {
public:
    explicit gguf_file(std::filesystem::path const& path)
        : file_(std::make_shared<const mapped_file>(path)), who_(path.string()) {
        byte_cursor cursor(file_->bytes(), who_);
        if (!as_text(file_->bytes()).starts_with("GGUF")) refuse_foreign(file_->bytes(), who_, "a GGUF file");
        if (as_text(cursor.take(4, "magic")) != "GGUF") fail("magic: GGUF is expected: this is no GGUF file");
        read_version(cursor);
        const auto tensors = cursor.number<std::uint64_t>("tensor count");
        const auto values = cursor.number<std::uint64_t>("metadata count");
        read_metadata(cursor, values);
        refuse_parts();
        read_tensors(cursor, tensors);
        place_tensors(cursor);
    }

    std::filesystem::path const& path() const noexcept { return file_->path(); }
    std::uint32_t version() const noexcept { return version_; }
    /// Keeps the bytes of the tensors alive after this object is gone.
    std::shared_ptr<const mapped_file> mapping() const noexcept { return file_; }

    /// In the order of the file.
    std::span<const gguf_value> metadata() const noexcept { return values_; }
    /// nullptr where there is none.
    gguf_value const* find_value(std::string_view key) const noexcept {
        const auto place = values_by_key_.find(key);
        return place ? &values_[*place] : nullptr;
    }

    /// The value of `key` as T, nothing where it is absent. T: bool; an integer (any stored integer whose value fits);
    /// float or double (stored as f32 or f64); std::string or std::string_view (into the file; a scalar is UTF-8, the
    /// strings of an array are bytes); std::vector of these for an array.
    /// Errors: format_error naming file and key for another type, or a number that does not fit.
    template <class T>
    std::optional<T> if_present(std::string_view key) const {
        gguf_value const* const value = find_value(key);
        if (!value) return std::nullopt;
        return convert<T>(*value);
    }
    /// As if_present, but absent is a format_error too.
    template <class T>
    T required(std::string_view key) const {
        gguf_value const* const value = find_value(key);
        if (!value) fail("the key " + in_quotes(key) + " is missing");
        return convert<T>(*value);
    }

    /// In the order of the file.
    std::span<const gguf_tensor> tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    gguf_tensor const* find(std::string_view tensor_name) const noexcept {
        const auto place = tensors_by_name_.find(tensor_name);
        return place ? &tensors_[*place] : nullptr;
    }
    /// Errors: format_error if there is none of that name.
    gguf_tensor const& tensor(std::string_view tensor_name) const {
        if (auto const* const found = find(tensor_name)) return *found;
        fail("there is no tensor " + in_quotes(tensor_name));
    }

    /// Rows first … first + count − 1 of a tensor of this file as floats.   Shapes: out (count, cols).
    /// Errors: format_error naming file and tensor if its type has no decoder here; the range is asserted.
    void decode_rows(gguf_tensor const& from, std::size_t first, std::size_t count, matrix_view<float> out) const {
        BITLENS_ASSERT(first <= from.rows() && count <= from.rows() - first);
        BITLENS_ASSERT(out.rows == count && out.cols == from.cols());
        if (!from.type->decode)
            fail("tensor " + in_quotes(from.name) + ": type " + std::string(from.type->name) + " cannot be decoded");
        const std::size_t blocks = from.cols() / from.type->elements;
        for (std::size_t r = 0; r < count; ++r)
            from.type->decode(from.bytes.data() + (first + r) * from.row_bytes(), blocks, out.row(r).data());
    }

private:
    static constexpr std::uint64_t longest = std::uint64_t{1} << 30; // bytes of a string, elements of an array
    static constexpr std::size_t longest_key = 65535, longest_tensor_name = 63;

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": " + what); }

    void read_version(byte_cursor& cursor) {
        version_ = cursor.number<std::uint32_t>("version");
        if (version_ != 0 && (version_ & 0xFFFFu) == 0)
            fail("version: " + std::to_string(version_ >> 24) + " in big-endian order; only little-endian is read");
        if (version_ != 2 && version_ != 3)
            fail("version: 2 or 3 is expected, " + std::to_string(version_) + " was found");
    }

    /// u64 length, bytes.
    std::string_view read_string(byte_cursor& cursor, std::string_view field) const {
        const auto length = cursor.number<std::uint64_t>(field);
        if (length > longest)
            fail(std::string(field) + ": a string of at most 2^30 bytes is expected, " + std::to_string(length) +
                 " were found");
        return as_text(cursor.take(length, field));
    }

    /// A key or the name of a tensor: not empty, UTF-8 without control characters.
    std::string_view read_name(byte_cursor& cursor, std::string const& field, std::size_t most) const {
        const auto text = read_string(cursor, field);
        const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
        if (text.empty() || text.size() > most || !is_utf8(text) || std::ranges::any_of(text, is_control))
            fail(field + ": 1 to " + std::to_string(most) +
                 " bytes of UTF-8 without control characters are expected, " + std::to_string(text.size()) + " bytes " +
                 in_quotes(text) + " were found");
        return text;
    }

    gguf_type read_type(byte_cursor& cursor, std::string const& field) const {
        const auto type = cursor.number<std::uint32_t>(field);
        if (type >= gguf_type_names.size()) fail(field + ": " + std::to_string(type) + " is no type of metadata");
        return gguf_type{type};
    }

    /// Bytes of a number or bool; 0 for strings and arrays.
    static constexpr std::size_t width(gguf_type type) noexcept {
        constexpr std::array<std::size_t, gguf_type_names.size()> widths{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        return widths[static_cast<std::size_t>(type)];
    }

    void read_metadata(byte_cursor& cursor, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            gguf_value value{};
            value.key = read_name(cursor, "key " + std::to_string(i), longest_key);
            const std::string field = "key " + in_quotes(value.key);
            value.type = value.element = read_type(cursor, field + ": type");
            value.count = 1;
            if (value.type == gguf_type::array) {
                value.element = read_type(cursor, field + ": element type");
                if (value.element == gguf_type::array) fail(field + ": an array of arrays is not allowed");
                const auto elements = cursor.number<std::uint64_t>(field + ": element count");
                if (elements > longest)
                    fail(field + ": an array of at most 2^30 elements is expected, " + std::to_string(elements) +
                         " were found");
                value.count = static_cast<std::size_t>(elements);
            }
            value.payload = read_payload(cursor, value, field);
            values_by_key_.add(value.key, values_.size());
            values_.push_back(value);
        }
        values_by_key_.sort();
        if (const auto twice = values_by_key_.repeated()) fail("key " + in_quotes(*twice) + " occurs twice");
    }

    std::span<const std::byte> read_payload(byte_cursor& cursor, gguf_value const& value,
                                            std::string const& field) const {
        if (value.element != gguf_type::string) {
            const auto payload = cursor.take(std::uint64_t{value.count} * width(value.element), field);
            const auto is_bool = [](std::byte b) { return std::to_integer<unsigned>(b) <= 1; };
            if (value.element == gguf_type::boolean && !std::ranges::all_of(payload, is_bool))
                fail(field + ": a bool that is neither 0 nor 1");
            return payload;
        }
        const std::size_t begin = cursor.position();
        for (std::size_t i = 0; i < value.count; ++i) {
            const auto text = read_string(cursor, field);
            if (value.type == gguf_type::string && !is_utf8(text)) fail(field + ": a string that is no UTF-8");
        }
        return file_->bytes().subspan(begin, cursor.position() - begin);
    }

    void refuse_parts() const {
        const auto parts = if_present<std::uint64_t>("split.count");
        if (parts && *parts > 1)
            fail("key \"split.count\": this is one of " + std::to_string(*parts) +
                 " parts of a model; join them first (llama-gguf-split --merge)");
    }

    void read_tensors(byte_cursor& cursor, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            gguf_tensor t{};
            t.name = read_name(cursor, "tensor " + std::to_string(i) + ": name", longest_tensor_name);
            const std::string field = "tensor " + in_quotes(t.name);
            t.rank = cursor.number<std::uint32_t>(field + ": number of dimensions");
            if (t.rank > t.dims.size())
                fail(field + ": at most 4 dimensions are expected, " + std::to_string(t.rank) + " were found");
            t.dims.fill(1);
            for (std::size_t k = 0; k < t.rank; ++k) t.dims[k] = cursor.number<std::uint64_t>(field + ": dimension");
            const auto type = cursor.number<std::uint32_t>(field + ": type");
            t.type = find_gguf_block_type(type);
            if (!t.type) fail(field + ": type " + std::to_string(type) + " is not known");
            const std::size_t size = checked_bytes(t, field);
            const auto offset = cursor.number<std::uint64_t>(field + ": offset");
            if (offset > file_->bytes().size() || size > file_->bytes().size() - offset)
                fail(field + ": " + std::to_string(size) + " bytes at offset " + std::to_string(offset) +
                     " are not in a file of " + std::to_string(file_->bytes().size()));
            t.bytes = file_->bytes().subspan(offset, size); // place_tensors moves it to where the data section begins
            tensors_by_name_.add(t.name, tensors_.size());
            tensors_.push_back(t);
        }
        tensors_by_name_.sort();
        if (const auto twice = tensors_by_name_.repeated()) fail("tensor " + in_quotes(*twice) + " occurs twice");
    }

    std::size_t checked_bytes(gguf_tensor const& t, std::string const& field) const {
        constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
        const auto elements = checked_product(t.dims);
        if (std::ranges::any_of(t.dims, [](std::size_t d) { return d > most; }) || !elements || *elements > most)
            fail(field + ": a shape of less than 2^63 elements is expected, " + shape_text(t.dims) + " was found");
        if (t.type->elements == 0) fail(field + ": the layout of type " + std::string(t.type->name) + " is not known");
        if (t.cols() % t.type->elements != 0)
            fail(field + ": rows of " + std::to_string(t.cols()) + " elements cut a block of " +
                 std::to_string(t.type->elements) + " of type " + std::string(t.type->name));
        const std::size_t blocks = *elements / t.type->elements;
        if (blocks > most / t.type->bytes) fail(field + ": " + shape_text(t.dims) + " needs more than 2^63 bytes");
        return blocks * t.type->bytes;
    }

    std::uint64_t alignment() const {
        constexpr std::string_view key = "general.alignment";
        gguf_value const* const stored = find_value(key);
        if (stored && stored->type != gguf_type::uint32) fail("key " + in_quotes(key) + ": u32 is expected");
        const std::uint64_t unit = stored ? convert<std::uint32_t>(*stored) : 32;
        if (!std::has_single_bit(unit))
            fail("key " + in_quotes(key) + ": a power of two is expected, " + std::to_string(unit) + " was found");
        return unit;
    }

    /// Offsets count from the data section, which begins at the next multiple of the alignment.
    void place_tensors(byte_cursor& cursor) {
        const std::uint64_t unit = alignment();
        if (tensors_.empty()) return;
        const auto padding = [unit](std::uint64_t n) { return (unit - n % unit) % unit; };
        cursor.take(padding(cursor.position()), "padding before the data");
        const std::size_t begin = cursor.position();
        for (gguf_tensor& t : tensors_) {
            const std::string field = "tensor " + in_quotes(t.name);
            const auto offset = static_cast<std::size_t>(t.bytes.data() - file_->bytes().data());
            if (offset != cursor.position() - begin)
                fail(field + ": offset " + std::to_string(cursor.position() - begin) + " is expected, " +
                     std::to_string(offset) + " was found");
            t.bytes = cursor.take(t.bytes.size(), field + ": data");
            cursor.take(padding(t.bytes.size()), field + ": padding after the data");
        }
    }

    [[noreturn]] void refuse(gguf_value const& value, std::string_view expected) const {
        fail("key " + in_quotes(value.key) + ": " + std::string(expected) + " is expected, " +
             (value.type == gguf_type::array ? "an array of " : "") + std::string(name(value.element)) + " was found");
    }

    /// A number or bool of the metadata, in the widest type of its kind.
    using stored_number = std::variant<bool, std::int64_t, std::uint64_t, double>;

    /// `type` is that of a number or bool.
    static stored_number load_number(gguf_type type, std::byte const* bytes) {
        switch (type) {
        case gguf_type::uint8:
            return std::int64_t{load<std::uint8_t>(bytes)};
        case gguf_type::int8:
            return std::int64_t{load<std::int8_t>(bytes)};
        case gguf_type::uint16:
            return std::int64_t{load<std::uint16_t>(bytes)};
        case gguf_type::int16:
            return std::int64_t{load<std::int16_t>(bytes)};
        case gguf_type::uint32:
            return std::int64_t{load<std::uint32_t>(bytes)};
        case gguf_type::int32:
            return std::int64_t{load<std::int32_t>(bytes)};
        case gguf_type::int64:
            return load<std::int64_t>(bytes);
        case gguf_type::uint64:
            return load<std::uint64_t>(bytes);
        case gguf_type::float32:
            return double{load<float>(bytes)};
        case gguf_type::float64:
            return load<double>(bytes);
        case gguf_type::boolean:
            return load<std::uint8_t>(bytes) != 0;
        case gguf_type::string:
        case gguf_type::array:
            break;
        }
        BITLENS_ASSERT(false);
        return false;
    }

    /// One element of `value` whose bytes begin at `bytes`.
    template <class T>
    T convert_number(gguf_value const& value, std::byte const* bytes) const {
        const stored_number stored = load_number(value.element, bytes);
        if constexpr (std::same_as<T, bool>) {
            if (auto const* const x = std::get_if<bool>(&stored)) return *x;
            refuse(value, "bool");
        } else if constexpr (std::integral<T>) {
            if (auto const* const x = std::get_if<std::int64_t>(&stored)) return in_range<T>(value, *x);
            if (auto const* const x = std::get_if<std::uint64_t>(&stored)) return in_range<T>(value, *x);
            refuse(value, "an integer");
        } else {
            static_assert(std::floating_point<T>, "bool, integers, floats, strings, and vectors of them are read");
            if (auto const* const x = std::get_if<double>(&stored)) return static_cast<T>(*x);
            refuse(value, "a float");
        }
    }

    template <class T, class Stored>
    T in_range(gguf_value const& value, Stored stored) const {
        if (!std::in_range<T>(stored))
            fail("key " + in_quotes(value.key) + ": a number from " + std::to_string(std::numeric_limits<T>::min()) +
                 " to " + std::to_string(std::numeric_limits<T>::max()) + " is expected, " + std::to_string(stored) +
                 " was found");
        return static_cast<T>(stored);
    }

    template <class T>
    T convert(gguf_value const& value) const {
        if constexpr (requires(T all) { all.emplace_back(); }) {
            if (value.type != gguf_type::array) refuse(value, "an array");
            return convert_array<typename T::value_type>(value);
        } else if (value.type == gguf_type::array) {
            refuse(value, "a single value");
        } else if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
            if (value.type != gguf_type::string) refuse(value, "a string");
            return T(as_text(value.payload.subspan(sizeof(std::uint64_t))));
        } else {
            if (value.type == gguf_type::string) refuse(value, "a number or bool");
            return convert_number<T>(value, value.payload.data());
        }
    }

    template <class T>
    std::vector<T> convert_array(gguf_value const& value) const {
        constexpr bool wants_text = std::same_as<T, std::string> || std::same_as<T, std::string_view>;
        if (wants_text != (value.element == gguf_type::string))
            refuse(value, wants_text ? "an array of strings" : "an array of numbers");
        std::vector<T> all;
        all.reserve(value.count);
        if constexpr (wants_text) {
            byte_cursor cursor(value.payload, who_);
            for (std::size_t i = 0; i < value.count; ++i) all.emplace_back(read_string(cursor, value.key));
        } else {
            for (std::size_t i = 0; i < value.count; ++i)
                all.push_back(convert_number<T>(value, value.payload.data() + i * width(value.element)));
        }
        return all;
    }

    std::shared_ptr<const mapped_file> file_;
    std::string who_;
    std::uint32_t version_ = 0;
    std::vector<gguf_value> values_;
    std::vector<gguf_tensor> tensors_;
    name_index values_by_key_, tensors_by_name_; // places in these two
};

} // namespace bitlens

// ---- bitlens/io/gzip.hpp
/// The one door to zlib: inflating with limits, and the lines of a file that may be gzip.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <zlib.h>

namespace bitlens {

/// CRC-32 (of gzip and zip) of bytes that follow others whose CRC-32 is `before`.
inline std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept {
    if (bytes.empty()) return before; // zlib would begin anew at a null pointer
    return static_cast<std::uint32_t>(::crc32_z(before, reinterpret_cast<Bytef const*>(bytes.data()), bytes.size()));
}

/// How deflated bytes are wrapped.
enum class deflate_kind { raw, gzip };

/// Inflates borrowed bytes piece by piece. Gzip members that follow each other are one stream.
/// Errors: format_error that begins with `who` for bytes that are no deflate stream, a wrong checksum, a stream that
/// ends early, bytes after its end, and for a bomb: more than most_unpacked.
class inflater {
public:
    /// Bytes. Deflate never reaches more than 1032 × the compressed size, and that only on one byte repeated; no real
    /// file of more than 64 MiB reaches 256 ×.
    static constexpr std::uint64_t most_unpacked(std::uint64_t compressed) noexcept {
        return std::min(1032 * compressed, (std::uint64_t{64} << 20) + 256 * compressed);
    }

    inflater(std::span<const std::byte> compressed, std::string who, deflate_kind kind)
        : input_(compressed), who_(std::move(who)), kind_(kind), most_(most_unpacked(compressed.size())),
          stream_(new z_stream{}) {
        // Of 2^15 bytes of window; + 16: with the header and checksum of gzip; negative: with neither.
        if (inflateInit2(stream_.get(), kind == deflate_kind::gzip ? 15 + 16 : -15) != Z_OK) throw std::bad_alloc();
    }

    /// Fills `out` as far as the stream goes; how many bytes were written. Fewer than out.size() only at the end.
    std::size_t read(std::span<std::byte> out) {
        std::size_t done = 0;
        while (done < out.size() && !ended_) {
            done += step(out.subspan(done));
            if (total_ + done > most_)
                fail("unpacks to more than " + std::to_string(most_) + " bytes, which no real file of its size does");
        }
        total_ += done;
        return done;
    }

private:
    struct end_stream {
        void operator()(z_stream* s) const noexcept {
            inflateEnd(s);
            delete s;
        }
    };

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": " + what); }

    std::size_t step(std::span<std::byte> out) {
        constexpr std::size_t most = std::numeric_limits<uInt>::max(); // zlib counts in 32 bits
        const std::size_t in_size = std::min(input_.size(), most), out_size = std::min(out.size(), most);
        stream_->next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input_.data()));
        stream_->avail_in = static_cast<uInt>(in_size);
        stream_->next_out = reinterpret_cast<Bytef*>(out.data());
        stream_->avail_out = static_cast<uInt>(out_size);
        const int status = inflate(stream_.get(), Z_NO_FLUSH);
        input_ = input_.subspan(in_size - stream_->avail_in);
        if (status == Z_MEM_ERROR) throw std::bad_alloc();
        if (status == Z_STREAM_END)
            finish_member();
        else if (status == Z_BUF_ERROR || (status == Z_OK && input_.empty() && stream_->avail_out > 0))
            fail("the compressed data end early");
        else if (status != Z_OK)
            fail(std::string("the compressed data are damaged: ") +
                 (stream_->msg ? stream_->msg : "no deflate stream"));
        return out_size - stream_->avail_out;
    }

    void finish_member() {
        ended_ = input_.empty();
        if (ended_) return;
        const bool next = kind_ == deflate_kind::gzip && input_[0] == std::byte{0x1F};
        if (!next) fail(std::to_string(input_.size()) + " bytes follow the end of the compressed data");
        if (inflateReset(stream_.get()) != Z_OK) fail("the next member cannot be read");
    }

    std::span<const std::byte> input_; // what is not inflated yet
    std::string who_;
    deflate_kind kind_;
    std::uint64_t most_, total_ = 0;
    bool ended_ = false;
    std::unique_ptr<z_stream, end_stream> stream_;
};

/// Whether bytes begin as a gzip file does. No UTF-8 text does.
inline bool is_gzip(std::span<const std::byte> bytes) noexcept {
    return bytes.size() >= 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

/// All that a gzip file unpacks to.   Errors: as inflater; more than `cap` bytes are a format_error too.
inline std::string gunzip(std::span<const std::byte> bytes, std::string const& who, std::size_t cap) {
    inflater stream(bytes, who, deflate_kind::gzip);
    std::string all;
    for (;;) {
        constexpr std::size_t piece = std::size_t{1} << 16;
        const std::size_t have = all.size();
        all.resize(have + std::max(piece, have / 2));
        const std::size_t n = stream.read(std::as_writable_bytes(std::span(all)).subspan(have));
        const bool ended = have + n < all.size();
        all.resize(have + n);
        if (all.size() > cap) throw format_error(who + ": unpacks to more than " + std::to_string(cap) + " bytes");
        if (ended) return all;
    }
}

/// The lines of a text file, plain or gzip (told apart by its first bytes). A line ends with `\n` or `\r\n`; the last
/// may end with the file; a byte order mark before the first is skipped. Errors: io_error as mapped_file; format_error
/// naming the file for damaged gzip, and the line for one longer than longest_line.
class line_reader {
public:
    /// Bytes; a document of this size is a mistake, and its JSON would take several times the memory.
    static constexpr std::size_t longest_line = std::size_t{64} << 20;

    line_reader(line_reader const&) = delete; // rest_ points into buffer_
    line_reader& operator=(line_reader const&) = delete;
    explicit line_reader(std::filesystem::path const& path) : file_(path), rest_(as_text(file_.bytes())) {
        if (is_gzip(file_.bytes())) {
            unpacked_.emplace(file_.bytes(), path.string(), deflate_kind::gzip);
            rest_ = {};
            read_more();
        }
        constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
        if (rest_.starts_with(byte_order_mark)) rest_.remove_prefix(byte_order_mark.size());
    }

    /// The next line without its end; false after the last. The text is good until the next call.
    bool next(std::string_view& line) {
        std::size_t searched = 0;
        std::size_t end = 0;
        while ((end = rest_.find('\n', searched)) == std::string_view::npos) {
            searched = rest_.size();
            check_length(searched, number_ + 1);
            if (!read_more()) break;
        }
        if (end == std::string_view::npos && rest_.empty()) return false;
        line = rest_.substr(0, end);
        check_length(line.size(), ++number_);
        rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        return true;
    }

    /// Of the line that next() gave last, from 1.
    std::size_t line_number() const noexcept { return number_; }
    std::filesystem::path const& path() const noexcept { return file_.path(); }

private:
    void check_length(std::size_t size, std::size_t number) const {
        if (size > longest_line)
            throw format_error(path().string() + ": line " + std::to_string(number) + ": longer than " +
                               std::to_string(longest_line) + " bytes");
    }
    /// Puts more unpacked bytes behind rest_; false if there are none.
    bool read_more() {
        if (!unpacked_) return false;
        constexpr std::size_t piece = std::size_t{1} << 16;
        buffer_.erase(0, buffer_.size() - rest_.size()); // rest_ is always the end of buffer_
        const std::size_t have = buffer_.size();
        buffer_.resize(have + std::max(piece, have));
        const std::size_t n = unpacked_->read(std::as_writable_bytes(std::span(buffer_)).subspan(have));
        buffer_.resize(have + n);
        rest_ = buffer_;
        return n > 0;
    }

    mapped_file file_;
    std::string_view rest_; // what next() has not given yet: of the file, or the end of buffer_
    std::optional<inflater> unpacked_;
    std::string buffer_;
    std::size_t number_ = 0;
};

} // namespace bitlens

// ---- bitlens/io/json.hpp
/// The one door to nlohmann-json: parsing of foreign JSON with limits, and typed access whose errors name file and key.

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// JSON with the keys of an object sorted; what parse_json returns.
using json = nlohmann::json;
/// JSON with keys in the order of insertion, to write with.
using ordered_json = nlohmann::ordered_json;

/// Deepest nesting of arrays and objects that parse_json accepts.
inline constexpr std::size_t deepest_json = 64;

namespace detail {

/// Builds the value while the text is read, so that duplicate keys are refused where they occur, and too deep a
/// nesting.
class json_builder final : public nlohmann::json_sax<json> {
public:
    /// `first`: place of the text's first byte in what `who` names.
    json_builder(std::string_view who, std::size_t first) : who_(who), first_(first) {}
    json result;

    bool null() override { return add(json()); }
    bool boolean(bool value) override { return add(json(value)); }
    bool number_integer(number_integer_t value) override { return add(json(value)); }
    bool number_unsigned(number_unsigned_t value) override { return add(json(value)); }
    bool number_float(number_float_t value, string_t const&) override { return add(json(value)); }
    bool string(string_t& value) override { return add(json(std::move(value))); }
    bool binary(binary_t&) override { fail("binary values are no JSON"); }
    bool start_object(std::size_t) override { return open(json(json::value_t::object)); }
    bool start_array(std::size_t) override { return open(json(json::value_t::array)); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& name) override {
        const auto [member, is_new] = open_.back()->get_ptr<json::object_t*>()->emplace(std::move(name), json());
        if (!is_new) fail("the key " + in_quotes(member->first) + " occurs twice in one object");
        value_of_key_ = &member->second;
        return true;
    }
    bool parse_error(std::size_t position, std::string const&, nlohmann::json::exception const& e) override {
        std::string reason = e.what(); // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
        if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
        // In the first line the column is the byte, which is said already; and `who` may name another line.
        if (reason.starts_with("parse error at line 1,")) reason.erase(0, reason.find(": ") + 2);
        if (reason.size() > longest_reason) reason.resize(longest_reason); // it may quote a string of any length
        reason.resize(valid_utf8_length(reason));
        fail("no valid JSON at byte " + std::to_string(first_ + position) + ": " + reason);
    }

private:
    static constexpr std::size_t longest_reason = 300;

    [[noreturn]] void fail(std::string const& reason) const { throw format_error(std::string(who_) + ": " + reason); }
    json& place(json&& value) {
        if (open_.empty()) return result = std::move(value);
        if (open_.back()->is_object()) return *value_of_key_ = std::move(value);
        return open_.back()->get_ptr<json::array_t*>()->emplace_back(std::move(value));
    }
    bool add(json&& value) {
        place(std::move(value));
        return true;
    }
    bool open(json&& empty) {
        if (open_.size() == deepest_json) fail("JSON nested deeper than " + std::to_string(deepest_json) + " levels");
        open_.push_back(&place(std::move(empty)));
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    std::string_view who_;
    std::size_t first_;
    std::vector<json*> open_; // arrays and objects that are not closed yet, outermost first
    json* value_of_key_ = nullptr;
};

/// A number as RFC 8259 writes it, of any size.
constexpr bool is_json_number(std::string_view text) noexcept {
    const auto digits = [&] {
        std::size_t n = 0;
        while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
        text.remove_prefix(n);
        return n;
    };
    const auto take = [&](std::string_view one_of) {
        const bool is_there = !text.empty() && one_of.find(text[0]) != one_of.npos;
        if (is_there) text.remove_prefix(1);
        return is_there;
    };
    take("-");
    if (!take("0") && digits() == 0) return false;
    if (take(".") && digits() == 0) return false;
    if (take("eE")) {
        take("+-");
        if (digits() == 0) return false;
    }
    return text.empty();
}

/// Finds the members of the object that a text holds, and of their values no more than where they end.
class json_member_finder {
public:
    json_member_finder(std::string_view text, std::string_view who) : text_(text), who_(who) {}

    /// on_member(key, value), both as they are written, for each member of the outermost object.
    template <class F>
    void run(F const& on_member) {
        skip_blanks();
        if (next() != '{') {
            const char begins = next();
            skip_value();
            expect_end();
            fail("an object is expected, " + std::string(type_of(begins)) + " was found");
        }
        skip_object(on_member);
        expect_end();
    }

private:
    static constexpr std::string_view blanks = " \t\r\n";

    [[noreturn]] void fail(std::string const& reason) const { throw format_error(std::string(who_) + ": " + reason); }
    [[noreturn]] void refuse(std::string_view expected) const {
        if (const std::size_t valid = valid_utf8_length(text_); valid != text_.size())
            fail("byte " + std::to_string(valid) + " is no UTF-8");
        fail("no valid JSON at byte " + std::to_string(at_ + 1) + ": " + std::string(expected) + " is expected, " +
             (at_ == text_.size() ? "the end" : in_quotes(text_.substr(at_, 1))) + " was found");
    }
    /// Of a value that was skipped.
    static std::string_view type_of(char begins) noexcept {
        switch (begins) {
        case '[':
            return "array";
        case '"':
            return "string";
        case 'n':
            return "null";
        case 't':
        case 'f':
            return "boolean";
        default:
            return "number";
        }
    }

    char next() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
    void skip_blanks() noexcept { at_ = std::min(text_.find_first_not_of(blanks, at_), text_.size()); }
    bool skip(char c) {
        skip_blanks();
        const bool is_there = at_ < text_.size() && text_[at_] == c;
        if (is_there) ++at_;
        return is_there;
    }
    void expect_end() {
        skip_blanks();
        if (at_ != text_.size()) refuse("the end");
    }

    std::string_view skip_value() {
        skip_blanks();
        const std::size_t begin = at_;
        switch (next()) {
        case '{':
            skip_object([](std::string_view, std::string_view) {});
            break;
        case '[':
            skip_list(']', [this] { skip_value(); });
            break;
        case '"':
            skip_string();
            break;
        default:
            skip_word();
        }
        return text_.substr(begin, at_ - begin);
    }
    /// What stands between brackets, an item before each comma and the last bracket.
    template <class Item>
    void skip_list(char last, Item const& item) {
        if (++depth_ > deepest_json) fail("JSON nested deeper than " + std::to_string(deepest_json) + " levels");
        ++at_;
        if (!skip(last)) {
            do item();
            while (skip(','));
            if (!skip(last)) refuse(last == '}' ? "',' or '}'" : "',' or ']'");
        }
        --depth_;
    }
    template <class F>
    void skip_object(F const& on_member) {
        skip_list('}', [&] {
            skip_blanks();
            if (next() != '"') refuse("a key in quotes");
            const std::string_view key = skip_string();
            if (!skip(':')) refuse("':'");
            on_member(key, skip_value());
        });
    }
    std::string_view skip_string() {
        const std::size_t begin = at_;
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] == '"') {
                ++at_;
                return text_.substr(begin, at_ - begin);
            }
            if (text_[at_] == '\\') ++at_;
        }
        at_ = text_.size();
        refuse("the quote that ends a string");
    }
    void skip_word() {
        const std::string_view rest = text_.substr(at_);
        const std::string_view word = rest.substr(0, rest.find_first_of(",]} \t\r\n"));
        constexpr std::array<std::string_view, 6> words{"true", "false", "null", "NaN", "Infinity", "-Infinity"};
        if (!is_json_number(word) && std::ranges::find(words, word) == words.end()) refuse("a value");
        at_ += word.size();
    }

    std::string_view text_, who_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0; // arrays and objects that are open
};

/// Whether a key, written in quotes, is that one.
inline bool is_key(std::string_view written, std::string_view key) {
    if (written.find('\\') == written.npos) return written.substr(1, written.size() - 2) == key;
    constexpr std::size_t longest = 6; // bytes of a character that is written as \uXXXX
    if (written.size() > longest * key.size() + 2) return false;
    constexpr bool throws = false;
    const json text = json::parse(written, nullptr, throws);
    return text.is_string() && text.get_ref<std::string const&>() == key;
}

} // namespace detail

/// The value that `text` holds and nothing else. `who` (file, perhaps a line) begins the text of every error.
/// Errors: format_error for what is not JSON (RFC 8259, UTF-8 only; NaN, Infinity, comments, lone surrogates, zero
/// bytes, numbers beyond double), for a key that occurs twice in one object, for nesting deeper than 64.
/// `first`: place of the text's first byte in what `who` names.
inline json parse_json(std::string_view text, std::string_view who, std::size_t first = 0) {
    // nlohmann takes a zero byte for the end of the text and would pass over what follows it.
    if (const auto zero = text.find('\0'); zero != std::string_view::npos)
        throw format_error(std::string(who) + ": no valid JSON at byte " + std::to_string(first + zero) +
                           ": a zero byte");
    detail::json_builder builder(who, first);
    json::sax_parse(text.begin(), text.end(), &builder);
    return std::move(builder.result);
}

/// A member of an object.
struct json_member {
    std::string_view written; // its value in the text that was read; empty where there is no such member
    json value;               // an array or object is empty
};

/// The members of the object that `text` holds that are named by `keys`, in their order. Other members are not judged:
/// their values are passed over, in time in proportion to their length and no memory. They have to have an end, so
/// brackets, commas, colons and the quotes of strings must be right, and what stands without quotes must be a value of
/// JSON or NaN, Infinity, -Infinity, as Python writes them; what their strings hold, how large their numbers are and
/// whether their keys occur twice is nobody's concern.
/// Errors: format_error for nesting deeper than 64; for a key that is asked for and occurs twice; for its value as
/// parse_json, and where it is no UTF-8.
inline std::vector<json_member> parse_json_members(std::string_view text, std::string_view who,
                                                   std::span<const std::string_view> keys) {
    std::vector<json_member> members(keys.size());
    detail::json_member_finder(text, who).run([&](std::string_view key, std::string_view written) {
        const auto asked = std::ranges::find_if(keys, [&](std::string_view k) { return detail::is_key(key, k); });
        if (asked == keys.end()) return;
        json_member& member = members[static_cast<std::size_t>(asked - keys.begin())];
        if (!member.written.empty())
            throw format_error(std::string(who) + ": the key " + in_quotes(*asked) + " occurs twice in one object");
        member.written = written;
        if (written[0] == '[' || written[0] == '{') {
            member.value = written[0] == '[' ? json::array() : json::object();
            return;
        }
        const auto first = static_cast<std::size_t>(written.data() - text.data());
        if (const std::size_t valid = valid_utf8_length(written); valid != written.size())
            throw format_error(std::string(who) + ": byte " + std::to_string(first + valid) + " is no UTF-8");
        member.value = parse_json(written, who, first);
    });
    return members;
}

/// The text of a value, on one line or, with `indent`, on many. `who` begins the text of every error.
/// Errors: format_error for a string that is no UTF-8, as names of files may be.
inline std::string json_text(json const& value, std::string_view who, int indent = -1) {
    try {
        return value.dump(indent);
    } catch (json::type_error const&) {
        throw format_error(std::string(who) + ": JSON holds UTF-8 only, and a string that is none was found");
    }
}

/// The value that a file holds.   Errors: io_error; those of parse_json; format_error for a file of another kind.
inline json read_json_file(std::filesystem::path const& path) {
    const mapped_file file(path);
    refuse_foreign(file.bytes(), path.string(), "JSON"); // of which none begins as they do
    return parse_json(as_text(file.bytes()), path.string());
}

namespace detail {

/// A number or a word as it is, a container (it would be as long as it likes) by its type.
inline std::string found_text(json const& value) {
    if (auto const* const x = value.get_ptr<std::string const*>()) return in_quotes(*x);
    if (auto const* const x = value.get_ptr<bool const*>()) return *x ? "true" : "false";
    if (auto const* const x = value.get_ptr<json::number_unsigned_t const*>()) return std::to_string(*x);
    if (auto const* const x = value.get_ptr<json::number_integer_t const*>()) return std::to_string(*x);
    auto const* const x = value.get_ptr<json::number_float_t const*>();
    if (!x) return value.type_name();
    std::array<char, 32> digits;
    std::string text(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), *x).ptr);
    if (text.find_first_of(".e") == std::string::npos) text += ".0"; // it was written as one that is no integer
    return text;
}

/// `element` is the place in the array `key`, if it is one.
[[noreturn]] inline void refuse_json(json const& value, std::string_view key, std::string_view who,
                                     std::string_view expected, std::optional<std::size_t> element = {}) {
    const std::string place = std::string(key) + (element ? "[" + std::to_string(*element) + "]" : "");
    throw format_error(std::string(who) + ": key " + in_quotes(place) + ": " + std::string(expected) +
                       " is expected, " + found_text(value) + " was found");
}

template <class T>
T json_value(json const& value, std::string_view key, std::string_view who, std::optional<std::size_t> element = {}) {
    if constexpr (std::same_as<T, bool>) {
        if (auto const* const x = value.get_ptr<bool const*>()) return *x;
        refuse_json(value, key, who, "true or false", element);
    } else if constexpr (std::integral<T>) {
        if (auto const* const x = value.get_ptr<json::number_unsigned_t const*>()) {
            if (std::in_range<T>(*x)) return static_cast<T>(*x);
        } else if (auto const* const y = value.get_ptr<json::number_integer_t const*>()) {
            if (std::in_range<T>(*y)) return static_cast<T>(*y);
        }
        refuse_json(value, key, who,
                    "an integer from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                        std::to_string(std::numeric_limits<T>::max()),
                    element);
    } else if constexpr (std::floating_point<T>) {
        if (!value.is_number()) refuse_json(value, key, who, "a number", element);
        const auto number = value.get<double>();
        if (!(std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max())))
            refuse_json(value, key, who, "a number of the range of float", element);
        return static_cast<T>(number);
    } else if constexpr (std::same_as<T, std::string>) {
        if (auto const* const x = value.get_ptr<std::string const*>()) return *x;
        refuse_json(value, key, who, "a string", element);
    } else {
        static_assert(
            requires(T all) { all.emplace_back(); },
            "bool, integers, floats, std::string and std::vector of these are read");
        if (!value.is_array()) refuse_json(value, key, who, "an array");
        T all;
        all.reserve(value.size());
        for (std::size_t i = 0; i < value.size(); ++i)
            all.push_back(json_value<typename T::value_type>(value[i], key, who, i));
        return all;
    }
}

inline json const& expect_object(json const& value, std::string_view who) {
    if (!value.is_object())
        throw format_error(std::string(who) + ": an object is expected, " + value.type_name() + " was found");
    return value;
}

/// object[key], which may be null.   Errors: format_error where it is absent, or `object` is no object.
inline json const& member(json const& object, std::string_view key, std::string_view who) {
    const auto place = expect_object(object, who).find(key);
    if (place == object.end()) throw format_error(std::string(who) + ": the key " + in_quotes(key) + " is missing");
    return *place;
}

} // namespace detail

/// The value of `key` in `object`, or nullptr where it is absent or null (as Hugging Face writes "not set").
/// Errors: format_error if `object` is no object.
inline json const* find_value(json const& object, std::string_view key, std::string_view who) {
    const auto place = detail::expect_object(object, who).find(key);
    return place == object.end() || place->is_null() ? nullptr : &*place;
}

/// object[key] as T: bool, an integer (range checked), a float, std::string or a std::vector of these; nothing where it
/// is absent or null.   Errors: format_error naming `who` and the key if the value is of another type.
template <class T>
std::optional<T> if_present(json const& object, std::string_view key, std::string_view who) {
    json const* const value = find_value(object, key, who);
    if (!value) return std::nullopt;
    return detail::json_value<T>(*value, key, who);
}

/// As if_present, but absent or null is a format_error too.
template <class T>
T required(json const& object, std::string_view key, std::string_view who) {
    return detail::json_value<T>(detail::member(object, key, who), key, who);
}

/// object[key], itself an object, or nullptr where it is absent or null.   Errors: as if_present.
inline json const* find_object(json const& object, std::string_view key, std::string_view who) {
    json const* const value = find_value(object, key, who);
    if (value && !value->is_object()) detail::refuse_json(*value, key, who, "an object");
    return value;
}

/// object[key], itself an object.   Errors: as required.
inline json const& required_object(json const& object, std::string_view key, std::string_view who) {
    json const& value = detail::member(object, key, who);
    if (!value.is_object()) detail::refuse_json(value, key, who, "an object");
    return value;
}

} // namespace bitlens

// ---- bitlens/io/npy.hpp
/// NPY: one array of numbers in a file, read and written as numpy does.
/// Source: numpy 2.4, doc of numpy.lib.format; versions 1, 2 and 3 are read, 1 is written.

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

enum class npy_type : std::uint8_t { boolean, i8, i16, i32, i64, u8, u16, u32, u64, f16, f32, f64 };

struct npy_type_info {
    std::string_view descr; // as numpy writes it
    std::size_t bytes;
};

/// One entry for each npy_type, in its order.
inline constexpr std::array<npy_type_info, 12> npy_types{{{"|b1", 1},
                                                          {"|i1", 1},
                                                          {"<i2", 2},
                                                          {"<i4", 4},
                                                          {"<i8", 8},
                                                          {"|u1", 1},
                                                          {"<u2", 2},
                                                          {"<u4", 4},
                                                          {"<u8", 8},
                                                          {"<f2", 2},
                                                          {"<f4", 4},
                                                          {"<f8", 8}}};
constexpr npy_type_info const& info(npy_type type) noexcept { return npy_types[static_cast<std::size_t>(type)]; }

/// A number that an NPY file can hold.
template <class T>
concept npy_number = std::same_as<T, bool> || std::same_as<T, f16> || std::same_as<T, float> ||
    std::same_as<T, double> ||
    (std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> && sizeof(T) <= 8);

template <npy_number T>
constexpr npy_type npy_type_of() noexcept {
    if constexpr (std::same_as<T, bool>)
        return npy_type::boolean;
    else if constexpr (std::same_as<T, f16>)
        return npy_type::f16;
    else if constexpr (std::same_as<T, float>)
        return npy_type::f32;
    else if constexpr (std::same_as<T, double>)
        return npy_type::f64;
    else {
        constexpr npy_type first = std::is_signed_v<T> ? npy_type::i8 : npy_type::u8;
        return static_cast<npy_type>(static_cast<int>(first) + std::countr_zero(sizeof(T)));
    }
}

/// An array as it lies in a file: little-endian, of any alignment. `owner` keeps the bytes alive.
struct npy_array {
    std::string who; // the file, for messages
    npy_type type;
    bool fortran; // the first index runs fastest
    std::vector<std::size_t> shape;
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;

    std::size_t size() const noexcept { return bytes.size() / info(type).bytes; } // elements

    /// All elements in C order.   Errors: format_error if the array is not of type T.
    template <npy_number T>
    std::vector<T> values() const {
        expect<T>();
        std::vector<T> all(size());
        if (!fortran || shape.size() < 2) {
            for (std::size_t i = 0; i < all.size(); ++i) all[i] = stored<T>(i);
            return all;
        }
        std::vector<std::size_t> index(shape.size(), 0);
        for (std::size_t i = 0; i < all.size(); ++i) {
            std::size_t place = 0;
            for (std::size_t k = shape.size(); k-- > 0;) place = place * shape[k] + index[k];
            all[i] = stored<T>(place);
            for (std::size_t k = shape.size(); k-- > 0 && ++index[k] == shape[k];) index[k] = 0;
        }
        return all;
    }

    /// Errors: format_error if the array is not of type T.
    template <npy_number T>
    void expect() const {
        if (type != npy_type_of<T>())
            throw format_error(who + ": type " + std::string(info(npy_type_of<T>()).descr) + " is expected, " +
                               std::string(info(type).descr) + " was found");
    }

    /// Element `i` in the order of storage; the array must be of type T.
    template <npy_number T>
    T stored(std::size_t i) const noexcept {
        BITLENS_ASSERT(type == npy_type_of<T>() && i < size());
        if constexpr (std::same_as<T, bool>)
            return bytes[i] != std::byte{0};
        else
            return load<T>(bytes.data() + i * sizeof(T));
    }
};

namespace detail {

/// The header of an NPY file: the text of a Python dictionary with the keys descr, fortran_order and shape.
class npy_header {
public:
    npy_header(std::string_view text, std::string const& who) : text_(text), who_(who) {
        skip_spaces();
        expect('{');
        while (!accept('}')) {
            const auto key = read_string("a key");
            expect(':');
            if (key == "descr" && !type)
                read_descr();
            else if (key == "fortran_order" && !fortran)
                fortran = read_bool();
            else if (key == "shape" && !shape)
                read_shape();
            else
                fail("key " + in_quotes(key) + " is unknown or occurs twice");
            if (accept('}')) break;
            expect(',');
        }
        if (!text_.empty()) fail("text follows the dictionary: " + in_quotes(text_));
        if (!type || !fortran || !shape) fail("descr, fortran_order and shape are expected");
    }

    std::optional<npy_type> type;
    std::optional<bool> fortran;
    std::optional<std::vector<std::size_t>> shape;

private:
    static constexpr std::size_t highest_rank = 64; // as numpy

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": header: " + what); }
    void skip_spaces() noexcept {
        while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t')) text_.remove_prefix(1);
    }
    bool accept(char c) noexcept {
        if (!text_.starts_with(c)) return false;
        text_.remove_prefix(1);
        skip_spaces();
        return true;
    }
    void expect(char c) {
        if (!accept(c)) fail(std::string("'") + c + "' is expected at " + in_quotes(text_));
    }
    std::string_view read_string(std::string const& what) {
        const char quote = text_.starts_with('"') ? '"' : '\'';
        if (!text_.starts_with(quote)) fail(what + " in quotes is expected at " + in_quotes(text_));
        text_.remove_prefix(1);
        const std::size_t end = text_.find(quote);
        if (end == std::string_view::npos) fail(what + " has no end");
        const auto found = text_.substr(0, end);
        text_.remove_prefix(end + 1);
        skip_spaces();
        return found;
    }
    bool read_bool() {
        for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}})
            if (text_.starts_with(word)) {
                text_.remove_prefix(word.size());
                skip_spaces();
                return value;
            }
        fail("fortran_order: True or False is expected at " + in_quotes(text_));
    }
    void read_descr() {
        if (text_.starts_with('[')) fail("descr: an array of records is not read, only of numbers");
        const auto descr = read_string("descr");
        if (descr.starts_with('>')) fail("descr: " + in_quotes(descr) + " is big-endian; only little-endian is read");
        if (descr.ends_with('O')) fail("descr: " + in_quotes(descr) + ": Python objects are not read, only numbers");
        const auto place = std::ranges::find(npy_types, descr, &npy_type_info::descr);
        if (place == npy_types.end()) fail("descr: " + in_quotes(descr) + " is no type that is read here");
        type = static_cast<npy_type>(place - npy_types.begin());
    }
    /// "()", "(3,)", "(3, 4)" and "(3, 4,)".
    void read_shape() {
        expect('(');
        shape.emplace();
        while (!accept(')')) {
            std::size_t size = 0;
            const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
            const bool has_leading_zero = text_.starts_with('0') && end - text_.data() > 1; // no number of Python
            if (error != std::errc{} || has_leading_zero)
                fail("shape: an integer from 0 to 2^64 - 1 is expected at " + in_quotes(text_));
            text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
            skip_spaces();
            shape->push_back(size);
            if (shape->size() > highest_rank) fail("shape: more than 64 dimensions");
            if (accept(')')) {
                if (shape->size() == 1) fail("shape: one number in parentheses, \"(3)\", is no Python tuple");
                break;
            }
            expect(',');
        }
    }

    std::string_view text_; // what is not read yet
    std::string const& who_;
};

} // namespace detail

/// The array that `bytes` hold and nothing else. `who` (the file) begins the text of every error; `owner` is kept by
/// the result.
/// Errors: format_error for what is no NPY file, records, Python objects, big-endian numbers, and for data longer or
/// shorter than the shape says.
inline npy_array parse_npy(std::span<const std::byte> bytes, std::string who, std::shared_ptr<const void> owner) {
    constexpr std::size_t longest_header = std::size_t{1} << 20; // numpy itself stops at 10,000 unless told otherwise
    byte_cursor cursor(bytes, who);
    if (as_text(cursor.take(6, "magic")) != "\x93NUMPY") throw format_error(who + ": magic: this is no NPY file");
    const auto major = cursor.number<std::uint8_t>("version"), minor = cursor.number<std::uint8_t>("version");
    if (major < 1 || major > 3 || minor != 0)
        throw format_error(who + ": version: 1.0, 2.0 or 3.0 is expected, " + std::to_string(major) + "." +
                           std::to_string(minor) + " was found");
    const std::size_t length =
        major == 1 ? cursor.number<std::uint16_t>("header length") : cursor.number<std::uint32_t>("header length");
    if (length > longest_header)
        throw format_error(who + ": header length: at most " + std::to_string(longest_header) + " is expected, " +
                           std::to_string(length) + " was found");
    detail::npy_header header(as_text(cursor.take(length, "header")), who);
    const std::size_t width = info(*header.type).bytes;
    const auto elements = checked_product(*header.shape);
    if (!elements || *elements > cursor.left() / width || *elements * width != cursor.left())
        throw format_error(who + ": shape: " + shape_text(*header.shape) + " of " +
                           std::string(info(*header.type).descr) + " does not fit the " +
                           std::to_string(cursor.left()) + " bytes of data");
    const auto data = cursor.take(cursor.left(), "data");
    return {std::move(who), *header.type, *header.fortran, std::move(*header.shape), data, std::move(owner)};
}

/// The array of a mapped NPY file.   Errors: io_error as mapped_file, format_error as parse_npy.
inline npy_array read_npy(std::filesystem::path const& path) {
    auto file = std::make_shared<const mapped_file>(path);
    const auto bytes = file->bytes();
    return parse_npy(bytes, path.string(), std::move(file));
}

namespace detail {

/// The header of version 1 as numpy writes it, byte by byte: room for the first dimension to grow to 21 digits, then
/// spaces up to a multiple of 64.   Errors: shape_error if it takes more than 65535 bytes.
inline std::string npy_header_text(npy_type type, std::span<const std::size_t> shape) {
    std::string text = "{'descr': '" + std::string(info(type).descr) + "', 'fortran_order': False, 'shape': (";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    text += shape.size() == 1 ? ",), }" : "), }";
    if (!shape.empty()) text.append(21 - std::to_string(shape[0]).size(), ' ');
    constexpr std::size_t before = 10; // magic, version, length
    text.append(64 - (before + text.size() + 1) % 64, ' ');
    text += '\n';
    if (text.size() > 0xFFFF) throw shape_error("an NPY file of " + std::to_string(shape.size()) + " dimensions");
    const auto length = static_cast<std::uint16_t>(text.size());
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(length & 0xFF) + static_cast<char>(length >> 8) +
           text;
}

/// Errors: shape_error if there are not as many values as the shape says.
inline void check_npy_size(std::string const& who, std::span<const std::size_t> shape, std::size_t values) {
    if (checked_product(shape) != values)
        throw shape_error(who + ": " + std::to_string(values) + " values do not fill the shape " + shape_text(shape));
}

} // namespace detail

/// Writes `values` (C order) as version 1.0, the same bytes as numpy.save.
/// Errors: shape_error if there are not as many values as the shape says, io_error as atomic_file.
template <npy_number T>
void write_npy(std::filesystem::path const& path, std::span<const std::size_t> shape, std::span<const T> values) {
    detail::check_npy_size(path.string(), shape, values.size());
    atomic_file file(path);
    file.write(detail::npy_header_text(npy_type_of<T>(), shape));
    file.write(std::as_bytes(values));
    file.commit();
}

} // namespace bitlens

// ---- bitlens/io/npz.hpp
/// NPZ: named arrays in one zip file. Read stored and deflated; written stored, so that numpy.load reads it.

// ---- bitlens/io/zip.hpp
/// zip_file: the entries of a zip file in memory, stored or deflated.   Source: PKWARE APPNOTE 6.3.10, 4.3 and 4.5.3.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace zip {

/// What begins each record.
inline constexpr std::uint32_t local_entry = 0x04034b50, central_entry = 0x02014b50, end_record = 0x06054b50,
                               end_record_64 = 0x06064b50, end_locator_64 = 0x07064b50;
/// A size, offset or count that did not fit and stands in a zip64 record instead.
inline constexpr std::uint32_t wide_size = 0xFFFFFFFF;
inline constexpr std::uint16_t wide_count = 0xFFFF;
/// The extra field that holds such sizes and offsets.
inline constexpr std::uint16_t wide_field = 1;
/// Flags of an entry. A name without name_is_utf8 is of an old code page.
inline constexpr std::uint16_t encrypted = 1, patched = 1 << 5, strongly_encrypted = 1 << 6, name_is_utf8 = 1 << 11,
                               masked = 1 << 13;

enum class method : std::uint16_t { stored = 0, deflated = 8 };

/// One file in a zip file. Name and data lie in the bytes of the zip file.
struct entry {
    std::string_view name;
    zip::method method;
    std::uint32_t crc;
    std::uint64_t size;              // unpacked
    std::uint64_t offset;            // of the local header
    std::span<const std::byte> data; // as stored
};

} // namespace zip

/// The central directory of a zip file, checked against the local headers, and the unpacked entries.
/// Errors: format_error naming file, entry and field: several disks, encryption, other methods, a directory or entry
/// that is not where it should be, names that occur twice, leave the folder or are neither ASCII nor said to be UTF-8,
/// entries that share bytes, and when an entry is unpacked, a bomb (see inflater), a wrong size or checksum.
class zip_file {
public:
    /// `bytes` are borrowed; `who` begins the text of every error.
    zip_file(std::span<const std::byte> bytes, std::string who) : bytes_(bytes), who_(std::move(who)) {
        const auto where = find_directory();
        byte_cursor cursor(bytes_.subspan(where.begin, where.size), who_);
        for (std::uint64_t i = 0; i < where.entries; ++i)
            entries_.push_back(read_entry(cursor, bytes_.first(where.begin), i));
        if (cursor.left() != 0) fail("central directory: " + std::to_string(cursor.left()) + " bytes too long");
        check_names();
        check_overlap();
    }

    /// In the order of the directory.
    std::span<const zip::entry> entries() const noexcept { return entries_; }
    /// nullptr where there is none of that name.
    zip::entry const* find(std::string_view name) const noexcept {
        const auto place = by_name_.find(name);
        return place ? &entries_[*place] : nullptr;
    }

    /// The bytes of an entry and what keeps them alive beside the zip file itself: nullptr for a stored entry, whose
    /// bytes lie in the file.
    std::pair<std::span<const std::byte>, std::shared_ptr<const void>> unpack(zip::entry const& entry) const {
        const std::string who = who_ + ": entry " + in_quotes(entry.name);
        std::pair<std::span<const std::byte>, std::shared_ptr<const void>> unpacked{entry.data, nullptr};
        if (entry.method == zip::method::deflated) {
            if (entry.size > inflater::most_unpacked(entry.data.size()))
                throw format_error(who + ": size: " + std::to_string(entry.data.size()) +
                                   " bytes are said to unpack to " + std::to_string(entry.size));
            // One byte more than there should be shows that the data go on.
            const auto buffer = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(entry.size) + 1);
            const std::size_t size = inflater(entry.data, who, deflate_kind::raw).read(*buffer);
            if (size != entry.size)
                throw format_error(who + ": size: " + std::to_string(entry.size) + " bytes are expected, " +
                                   (size > entry.size ? "more" : std::to_string(size)) + " were unpacked");
            unpacked = {std::span<const std::byte>(*buffer).first(size), buffer};
        }
        if (crc32_of(unpacked.first) != entry.crc) throw format_error(who + ": the checksum is wrong");
        return unpacked;
    }

private:
    struct directory {
        std::size_t begin, size;
        std::uint64_t entries;
    };

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": " + what); }

    /// A comment of unknown length follows the end record, so it is looked for from the end.
    std::size_t find_end_record() const {
        constexpr std::size_t record_bytes = 22, longest_comment = 65535;
        if (bytes_.size() < record_bytes) fail("too short for a zip file");
        const std::size_t highest = bytes_.size() - record_bytes;
        for (std::size_t comment = 0; comment <= std::min(highest, longest_comment); ++comment) {
            std::byte const* const record = bytes_.data() + (highest - comment);
            if (load<std::uint32_t>(record) == zip::end_record && load<std::uint16_t>(record + 20) == comment)
                return highest - comment;
        }
        fail("end of the central directory: not found: this is no zip file, or it was cut");
    }

    directory find_directory() const {
        const std::size_t end = find_end_record();
        byte_cursor record(bytes_.subspan(end + 4), who_);
        const auto disks = record.number<std::uint32_t>("end record: disks");
        const auto entries_here = record.number<std::uint16_t>("end record: entries");
        const auto entries = record.number<std::uint16_t>("end record: entries");
        const auto size = record.number<std::uint32_t>("end record: size"),
                   begin = record.number<std::uint32_t>("end record: offset");
        if (entries == zip::wide_count || size == zip::wide_size || begin == zip::wide_size)
            return find_directory_64(end);
        if (disks != 0 || entries_here != entries) fail("end record: a zip file in several parts is not read");
        return checked_directory(begin, size, entries, end);
    }

    directory find_directory_64(std::size_t end) const {
        constexpr std::size_t locator_bytes = 20, record_bytes = 56;
        if (end < locator_bytes + record_bytes) fail("zip64 end record: missing");
        byte_cursor locator(bytes_.subspan(end - locator_bytes, locator_bytes), who_);
        if (locator.number<std::uint32_t>("zip64 locator") != zip::end_locator_64) fail("zip64 locator: missing");
        locator.take(4, "zip64 locator: disk");
        const std::size_t place = end - locator_bytes - record_bytes;
        if (locator.number<std::uint64_t>("zip64 locator: offset") != place)
            fail("zip64 locator: offset: the zip64 end record is not directly before it");
        byte_cursor record(bytes_.subspan(place, record_bytes), who_);
        if (record.number<std::uint32_t>("zip64 end record") != zip::end_record_64) fail("zip64 end record: missing");
        record.take(12, "zip64 end record: size and versions");
        const auto disks = record.number<std::uint64_t>("zip64 end record: disks");
        const auto entries_here = record.number<std::uint64_t>("zip64 end record: entries");
        const auto entries = record.number<std::uint64_t>("zip64 end record: entries");
        if (disks != 0 || entries_here != entries) fail("zip64 end record: a zip file in several parts is not read");
        const auto size = record.number<std::uint64_t>("zip64 end record: size");
        return checked_directory(record.number<std::uint64_t>("zip64 end record: offset"), size, entries, place);
    }

    directory checked_directory(std::uint64_t begin, std::uint64_t size, std::uint64_t entries, std::size_t end) const {
        if (begin > end || size != end - begin)
            fail("central directory: " + std::to_string(size) + " bytes at offset " + std::to_string(begin) +
                 " do not end at " + std::to_string(end));
        return {static_cast<std::size_t>(begin), static_cast<std::size_t>(size), entries};
    }

    /// Entry `i` of the directory; its local header and data lie in `files`, the bytes before the directory.
    zip::entry read_entry(byte_cursor& cursor, std::span<const std::byte> files, std::uint64_t i) const {
        const std::string nth = "entry " + std::to_string(i);
        if (cursor.number<std::uint32_t>(nth) != zip::central_entry) fail(nth + ": no entry of the central directory");
        zip::entry e{};
        cursor.take(4, nth); // versions
        const auto flags = cursor.number<std::uint16_t>(nth);
        e.method = zip::method{cursor.number<std::uint16_t>(nth)};
        cursor.take(4, nth); // time and date
        e.crc = cursor.number<std::uint32_t>(nth);
        std::uint64_t packed = cursor.number<std::uint32_t>(nth);
        e.size = cursor.number<std::uint32_t>(nth);
        const auto name_bytes = cursor.number<std::uint16_t>(nth);
        const auto extra_bytes = cursor.number<std::uint16_t>(nth);
        const auto comment_bytes = cursor.number<std::uint16_t>(nth);
        cursor.take(8, nth); // disk and attributes
        e.offset = cursor.number<std::uint32_t>(nth);
        e.name = as_text(cursor.take(name_bytes, nth + ": name"));
        const std::string field = "entry " + in_quotes(e.name);
        constexpr auto hidden = zip::encrypted | zip::strongly_encrypted | zip::masked;
        if ((flags & hidden) != 0) fail(field + ": is encrypted");
        if ((flags & zip::patched) != 0) fail(field + ": is a patch of another file");
        if (!is_ascii(e.name) && (flags & zip::name_is_utf8) == 0)
            fail(field + ": name: UTF-8 is expected, and a flag for it");
        if (e.method != zip::method::stored && e.method != zip::method::deflated)
            fail(field + ": method: 0 (stored) or 8 (deflated) is expected, " +
                 std::to_string(static_cast<unsigned>(e.method)) + " was found");
        read_wide_field(cursor.take(extra_bytes, field + ": extra fields"), field, {&e.size, &packed, &e.offset});
        cursor.take(comment_bytes, field + ": comment");
        e.data = find_data(e, flags, packed, files, field);
        if (e.method == zip::method::stored && e.size != packed) fail(field + ": size: a stored entry of two sizes");
        return e;
    }

    /// The zip64 field holds those of the three numbers that were too large, in this order.
    void read_wide_field(std::span<const std::byte> extra, std::string const& field,
                         std::initializer_list<std::uint64_t*> numbers) const {
        byte_cursor cursor(extra, who_);
        while (cursor.left() > 0) {
            const auto id = cursor.number<std::uint16_t>(field + ": extra field");
            const auto size = cursor.number<std::uint16_t>(field + ": extra field");
            byte_cursor content(cursor.take(size, field + ": extra field"), who_);
            if (id != zip::wide_field) continue;
            for (std::uint64_t* const number : numbers)
                if (*number == zip::wide_size) *number = content.number<std::uint64_t>(field + ": zip64 field");
        }
    }

    std::span<const std::byte> find_data(zip::entry const& e, std::uint16_t flags, std::uint64_t packed,
                                         std::span<const std::byte> files, std::string const& field) const {
        const std::string header = field + ": local header";
        byte_cursor cursor(files, who_);
        cursor.take(e.offset, header);
        if (cursor.number<std::uint32_t>(header) != zip::local_entry) fail(header + ": missing");
        cursor.take(2, header); // version
        if ((cursor.number<std::uint16_t>(header) & zip::name_is_utf8) != (flags & zip::name_is_utf8))
            fail(header + ": flags: not those of the directory");
        if (cursor.number<std::uint16_t>(header) != static_cast<std::uint16_t>(e.method))
            fail(header + ": method: not that of the directory");
        cursor.take(16, header); // time, date, checksum, sizes: 0 where a program wrote them behind the data
        const auto name_bytes = cursor.number<std::uint16_t>(header);
        const auto extra_bytes = cursor.number<std::uint16_t>(header);
        if (as_text(cursor.take(name_bytes, header)) != e.name) fail(header + ": name: not that of the directory");
        cursor.take(extra_bytes, header);
        return cursor.take(packed, field + ": data");
    }

    void check_names() {
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            auto const& e = entries_[i];
            const bool leaves = e.name == ".." || e.name.starts_with("../") || e.name.ends_with("/..") ||
                                e.name.find("/../") != e.name.npos || e.name.starts_with('/') ||
                                e.name.find_first_of(std::string_view("\\\0", 2)) != std::string_view::npos;
            if (e.name.empty() || leaves || !is_utf8(e.name))
                fail("entry " + in_quotes(e.name) + ": name: not allowed");
            by_name_.add(e.name, i);
        }
        by_name_.sort();
        if (const auto twice = by_name_.repeated()) fail("entry " + in_quotes(*twice) + " occurs twice");
    }

    void check_overlap() const {
        std::vector<zip::entry const*> order;
        for (auto const& e : entries_) order.push_back(&e);
        std::ranges::sort(order, {}, &zip::entry::offset);
        std::uint64_t used = 0; // bytes up to the end of the entries so far
        for (auto const* const e : order) {
            if (e->offset < used) fail("entry " + in_quotes(e->name) + ": offset: overlaps another entry");
            used = static_cast<std::uint64_t>(e->data.data() + e->data.size() - bytes_.data());
        }
    }

    std::span<const std::byte> bytes_;
    std::string who_;
    std::vector<zip::entry> entries_;
    name_index by_name_; // places in entries_
};

} // namespace bitlens

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// The arrays of a mapped NPZ file.
/// Errors: io_error as mapped_file, format_error as zip_file.
class npz_reader {
public:
    explicit npz_reader(std::filesystem::path const& path)
        : file_(std::make_shared<const mapped_file>(path)), who_(path.string()), zip_(file_->bytes(), who_) {}

    /// Of the arrays, in the order of the file; an entry that does not end in .npy is none.
    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (auto const& e : zip_.entries())
            if (e.name.ends_with(suffix)) all.emplace_back(e.name.substr(0, e.name.size() - suffix.size()));
        return all;
    }
    bool contains(std::string_view name) const { return find(name) != nullptr; }

    /// A stored array is a view of the file, which it keeps mapped; a deflated one is unpacked.
    /// Errors: format_error if there is none of that name, if its size or checksum is wrong, and as parse_npy.
    npy_array array(std::string_view name) const {
        zip::entry const* const entry = find(name);
        if (!entry) throw format_error(who_ + ": there is no array " + in_quotes(name));
        auto [bytes, owner] = zip_.unpack(*entry);
        if (!owner) owner = file_;
        return parse_npy(bytes, who_ + ": array " + in_quotes(name), std::move(owner));
    }

private:
    static constexpr std::string_view suffix = ".npy";

    zip::entry const* find(std::string_view name) const { return zip_.find(std::string(name).append(suffix)); }

    std::shared_ptr<const mapped_file> file_;
    std::string who_;
    zip_file zip_;
};

/// Writes arrays one after the other to an NPZ file that appears when finish() is called. Nothing but the caller's
/// piece of an array is held in memory. Equal arrays in equal order make equal bytes: entries bear no date of their
/// own. Errors: shape_error if an array gets more or fewer values than its shape says, format_error for a name that
/// occurs twice, is no UTF-8 or is longer than zip holds, io_error as atomic_file.
class npz_writer {
public:
    /// `wide_from`: bytes from which on a size or offset is written as zip64; smaller only to test that.
    explicit npz_writer(std::filesystem::path const& path, std::uint64_t wide_from = zip::wide_size)
        : file_(path), wide_from_(wide_from) {}

    /// One array at once, in C order.
    template <npy_number T>
    void add(std::string_view name, std::span<const std::size_t> shape, std::span<const T> values) {
        detail::check_npy_size(who(name), shape, values.size());
        begin<T>(name, shape);
        append(values);
    }
    /// Begins an array whose values follow by append, in C order, until the next begin, add or finish.
    template <npy_number T>
    void begin(std::string_view name, std::span<const std::size_t> shape) {
        end_array();
        const std::string header = detail::npy_header_text(npy_type_of<T>(), shape);
        const auto count = checked_product(shape);
        if (!count || *count > (std::numeric_limits<std::size_t>::max() - header.size()) / sizeof(T))
            throw shape_error(who(name) + ": the shape " + shape_text(shape) + " is too large");
        constexpr std::size_t longest_name = 0xFFFF - std::string_view(".npy").size();
        if (name.size() > longest_name || !is_utf8(name))
            throw format_error(who(name) + ": a name of at most " + std::to_string(longest_name) +
                               " bytes of UTF-8 is expected");
        if (name.empty() || !names_.insert(std::string(name)).second)
            throw format_error(who(name) + ": each array needs a name of its own");
        open_ = {std::string(name) + ".npy", npy_type_of<T>(), 0, file_.size(), header.size() + *count * sizeof(T)};
        left_ = *count;
        write_local_header(open_);
        write_data(as_bytes(header));
        is_open_ = true;
    }
    template <npy_number T>
    void append(std::span<const T> values) {
        BITLENS_ASSERT(is_open_ && open_.type == npy_type_of<T>());
        if (values.size() > left_)
            throw shape_error(who(open_.name) + ": " + std::to_string(values.size() - left_) +
                              " values more than the shape says");
        left_ -= values.size();
        write_data(std::as_bytes(values));
    }
    /// Once; the file is in place afterwards.
    void finish() {
        end_array();
        const std::uint64_t begin = file_.size();
        for (auto const& e : entries_) write_central_entry(e);
        write_end(begin, file_.size() - begin);
        file_.commit();
    }

private:
    struct entry {
        std::string name;
        npy_type type;
        std::uint32_t crc;
        std::uint64_t offset, size;
    };
    /// Little-endian numbers one after the other.
    class record {
    public:
        template <class T>
        record& operator<<(T number) {
            text_.append(reinterpret_cast<char const*>(&number), sizeof number);
            return *this;
        }
        record& operator<<(std::string_view text) {
            text_ += text;
            return *this;
        }
        std::string_view text() const noexcept { return text_; }

    private:
        std::string text_;
    };

    static constexpr std::uint16_t version_plain = 20, version_wide = 45; // of the APPNOTE that a reader must know
    static constexpr std::uint32_t new_year_1980 = 0x00210000;            // midnight; the first date that zip knows
    static constexpr std::size_t crc_in_local_header = 14;

    std::string who(std::string_view name) const { return file_.path().string() + ": array " + in_quotes(name); }
    bool is_wide(std::uint64_t n) const noexcept { return n >= wide_from_; }
    std::uint32_t narrow(std::uint64_t n) const noexcept {
        return is_wide(n) ? zip::wide_size : static_cast<std::uint32_t>(n);
    }
    static std::uint16_t flags(entry const& e) noexcept { return is_ascii(e.name) ? 0 : zip::name_is_utf8; }

    void write_data(std::span<const std::byte> bytes) {
        open_.crc = crc32_of(bytes, open_.crc);
        file_.write(bytes);
    }
    void end_array() {
        if (!is_open_) return;
        if (left_ != 0)
            throw shape_error(who(open_.name) + ": " + std::to_string(left_) + " values fewer than the shape says");
        file_.overwrite(open_.offset + crc_in_local_header, std::as_bytes(std::span(&open_.crc, 1)));
        entries_.push_back(std::move(open_));
        is_open_ = false;
    }

    void write_local_header(entry const& e) {
        record wide;
        if (is_wide(e.size)) wide << zip::wide_field << std::uint16_t{16} << e.size << e.size;
        record r;
        r << zip::local_entry << (is_wide(e.size) ? version_wide : version_plain) << flags(e) << zip::method::stored
          << new_year_1980 << std::uint32_t{0} // the checksum is filled in by end_array
          << narrow(e.size) << narrow(e.size) << static_cast<std::uint16_t>(e.name.size())
          << static_cast<std::uint16_t>(wide.text().size()) << std::string_view(e.name) << wide.text();
        file_.write(r.text());
    }
    void write_central_entry(entry const& e) {
        record numbers;
        if (is_wide(e.size)) numbers << e.size << e.size;
        if (is_wide(e.offset)) numbers << e.offset;
        record wide;
        if (!numbers.text().empty())
            wide << zip::wide_field << static_cast<std::uint16_t>(numbers.text().size()) << numbers.text();
        const std::uint16_t needed = wide.text().empty() ? version_plain : version_wide;
        record r;
        r << zip::central_entry << needed << needed << flags(e) << zip::method::stored << new_year_1980 << e.crc
          << narrow(e.size) << narrow(e.size) << static_cast<std::uint16_t>(e.name.size())
          << static_cast<std::uint16_t>(wide.text().size()) << std::uint16_t{0} // no comment
          << std::uint16_t{0} << std::uint16_t{0} << std::uint32_t{0}           // first disk, no attributes
          << narrow(e.offset) << std::string_view(e.name) << wide.text();
        file_.write(r.text());
    }
    void write_end(std::uint64_t begin, std::uint64_t size) {
        const std::uint64_t count = entries_.size();
        record r;
        if (count >= zip::wide_count || is_wide(begin) || is_wide(size)) {
            constexpr std::uint64_t rest_of_record = 44;
            r << zip::end_record_64 << rest_of_record << version_wide << version_wide << std::uint32_t{0}
              << std::uint32_t{0} << count << count << size << begin;
            r << zip::end_locator_64 << std::uint32_t{0} << begin + size << std::uint32_t{1};
        }
        const auto short_count = static_cast<std::uint16_t>(std::min<std::uint64_t>(count, zip::wide_count));
        r << zip::end_record << std::uint32_t{0} << short_count << short_count << narrow(size) << narrow(begin)
          << std::uint16_t{0};
        file_.write(r.text());
    }

    atomic_file file_;
    std::uint64_t wide_from_;
    std::set<std::string, std::less<>> names_;
    std::vector<entry> entries_; // finished
    entry open_{};               // the one that append() fills
    std::size_t left_ = 0;       // its values that are still to come
    bool is_open_ = false;
};

} // namespace bitlens

// ---- bitlens/io/safetensors.hpp
/// Safetensors: named tensors of one file, or of a folder of shards.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// Element types in the order of alignment that the canonical writer sorts by.
enum class safetensors_type : std::uint8_t {
    boolean,
    f4,
    f6_e2m3,
    f6_e3m2,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    c64,
    f64,
    i64,
    u64,
};

struct safetensors_type_info {
    std::string_view name;
    std::size_t bits;
};

/// One entry for each safetensors_type, in its order.
inline constexpr std::array<safetensors_type_info, 22> safetensors_types{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};
static_assert(safetensors_types[static_cast<std::size_t>(safetensors_type::u64)].name == "U64");

constexpr safetensors_type_info const& info(safetensors_type type) noexcept {
    return safetensors_types[static_cast<std::size_t>(type)];
}

/// One tensor as it lies in a file: C order, little-endian, of any alignment. The bytes belong to the file.
struct safetensors_tensor {
    std::string name;
    safetensors_type type;
    std::vector<std::size_t> shape;
    std::span<const std::byte> bytes;

    std::size_t size() const noexcept { return bytes.size() * 8 / info(type).bits; } // elements
};

namespace detail {

/// Bytes of a tensor, or nothing if the shape overflows or ends inside a byte.
inline std::optional<std::size_t> safetensors_bytes(safetensors_type type, std::span<const std::size_t> shape) {
    const auto elements = checked_product(shape);
    if (!elements || *elements > std::numeric_limits<std::size_t>::max() / info(type).bits) return std::nullopt;
    const std::size_t bits = *elements * info(type).bits;
    if (bits % 8 != 0) return std::nullopt;
    return bits / 8;
}

} // namespace detail

/// Whether bytes begin as a safetensors file does: a length of 8 bytes, then a JSON object.
inline bool begins_as_safetensors(std::span<const std::byte> bytes) noexcept {
    return bytes.size() > sizeof(std::uint64_t) && bytes[sizeof(std::uint64_t)] == std::byte{'{'};
}

/// A mapped safetensors file, all of its header checked.
/// Errors: io_error if it cannot be opened; format_error naming file and tensor for a header that is no JSON object of
/// exactly dtype, shape and data_offsets each, for a shape that does not fit its bytes, and for tensors that do not
/// cover the data section exactly once (holes, overlaps, bytes after the last). Values are not checked.
class safetensors_file {
public:
    explicit safetensors_file(std::filesystem::path const& path)
        : file_(std::make_shared<const mapped_file>(path)), who_(path.string()) {
        if (!begins_as_safetensors(file_->bytes())) refuse_foreign(file_->bytes(), who_, "a safetensors file");
        byte_cursor cursor(file_->bytes(), who_);
        const auto header_bytes = cursor.number<std::uint64_t>("header length");
        if (header_bytes > longest_header)
            throw format_error(who_ + ": header length: at most " + std::to_string(longest_header) +
                               " bytes are expected, " + std::to_string(header_bytes) + " were found");
        const auto header = as_text(cursor.take(header_bytes, "header"));
        if (!header.starts_with('{')) throw format_error(who_ + ": header: it must begin with {");
        const json parsed = parse_json(header, who_ + ": header");
        const auto data = cursor.take(cursor.left(), "data");
        for (auto const& [name, entry] : parsed.items()) {
            if (name == "__metadata__")
                read_metadata(entry);
            else
                read_tensor(name, entry, data);
        }
        check_cover(data);
    }

    /// Sorted by name.
    std::span<const safetensors_tensor> tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    safetensors_tensor const* find(std::string_view name) const noexcept {
        const auto place = std::ranges::lower_bound(tensors_, name, {}, &safetensors_tensor::name);
        return place == tensors_.end() || place->name != name ? nullptr : &*place;
    }
    /// Errors: format_error if there is none of that name.
    safetensors_tensor const& tensor(std::string_view name) const {
        if (auto const* const found = find(name)) return *found;
        throw format_error(who_ + ": there is no tensor " + in_quotes(name));
    }
    std::map<std::string, std::string> const& metadata() const noexcept { return metadata_; }
    std::filesystem::path const& path() const noexcept { return file_->path(); }
    /// Keeps the bytes of the tensors alive after this object is gone.
    std::shared_ptr<const mapped_file> mapping() const noexcept { return file_; }

private:
    static constexpr std::uint64_t longest_header = 100'000'000; // as the reference reader

    void read_metadata(json const& entry) {
        if (!entry.is_object()) throw format_error(who_ + ": __metadata__: an object of strings is expected");
        for (auto const& item : entry.items()) {
            auto const* const text = item.value().get_ptr<std::string const*>();
            if (!text)
                throw format_error(who_ + ": __metadata__: " + in_quotes(item.key()) + ": a string is expected, " +
                                   item.value().type_name() + " was found");
            metadata_.emplace(item.key(), *text);
        }
    }

    void read_tensor(std::string const& name, json const& entry, std::span<const std::byte> data) {
        const std::string who = who_ + ": tensor " + in_quotes(name);
        if (name.empty() || name.find('\0') != std::string::npos)
            throw format_error(who + ": a name may not be empty or hold a zero byte");
        if (detail::expect_object(entry, who).size() != 3)
            throw format_error(who + ": exactly dtype, shape and data_offsets are expected, " +
                               std::to_string(entry.size()) + " keys were found");
        const auto type_name = required<std::string>(entry, "dtype", who);
        const auto type = std::ranges::find(safetensors_types, type_name, &safetensors_type_info::name);
        if (type == safetensors_types.end())
            throw format_error(who + ": dtype " + in_quotes(type_name) + " is not known");
        auto shape = required<std::vector<std::size_t>>(entry, "shape", who);
        const auto offsets = required<std::vector<std::size_t>>(entry, "data_offsets", who);
        if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size())
            throw format_error(who + ": data_offsets: 0 ≤ begin ≤ end ≤ " + std::to_string(data.size()) +
                               " is expected, " + shape_text(offsets).substr(0, 100) + " was found");
        const auto id = static_cast<safetensors_type>(type - safetensors_types.begin());
        const auto bytes = detail::safetensors_bytes(id, shape);
        if (bytes != offsets[1] - offsets[0])
            throw format_error(who + ": data_offsets: " + std::to_string(offsets[1] - offsets[0]) +
                               " bytes were found, " + type_name + " of shape " + shape_text(shape) + " needs " +
                               (bytes ? std::to_string(*bytes) : "no possible number"));
        tensors_.push_back({name, id, std::move(shape), data.subspan(offsets[0], *bytes)});
    }

    /// Tensors that follow each other without hole or overlap from the first to the last byte leave no room for
    /// anything hidden.
    void check_cover(std::span<const std::byte> data) const {
        std::vector<safetensors_tensor const*> order;
        for (auto const& t : tensors_) order.push_back(&t);
        std::ranges::sort(order, {}, [](auto const* t) { return std::pair(t->bytes.data(), t->bytes.size()); });
        std::byte const* next = data.data();
        for (auto const* t : order) {
            if (t->bytes.data() != next)
                throw format_error(who_ + ": tensor " + in_quotes(t->name) + ": data_offsets: begin at " +
                                   std::to_string(next - data.data()) + " is expected, " +
                                   std::to_string(t->bytes.data() - data.data()) + " was found (a hole or an overlap)");
            next += t->bytes.size();
        }
        if (next != data.data() + data.size())
            throw format_error(who_ + ": " + std::to_string(data.data() + data.size() - next) +
                               " bytes follow the last tensor");
    }

    std::shared_ptr<const mapped_file> file_;
    std::string who_;
    std::vector<safetensors_tensor> tensors_; // sorted by name: parse_json sorts keys by bytes
    std::map<std::string, std::string> metadata_;
};

/// A tensor of a folder and the file that holds it, whose mapping() keeps the bytes alive.
struct placed_safetensors_tensor {
    safetensors_tensor const* tensor;
    safetensors_file const* file;
};

/// The safetensors of a Hugging Face folder: `model.safetensors`, or else the shards that
/// `model.safetensors.index.json` names.
/// Errors: those of safetensors_file; format_error for a shard name that leaves the folder, a shard that is missing, a
/// tensor that is not in its shard, and a shard with tensors that the index does not give to it (a stale index).
class safetensors_folder {
public:
    explicit safetensors_folder(std::filesystem::path const& folder) : folder_(folder) {
        const auto single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
        if (exists(single))
            files_.emplace_back(single);
        else if (exists(index))
            read_index(index);
        else
            throw io_error(folder.string() + ": holds neither model.safetensors nor model.safetensors.index.json");
        for (auto const& file : files_)
            for (auto const& t : file.tensors()) {
                by_name_.add(t.name, tensors_.size());
                tensors_.push_back({&t, &file});
            }
        by_name_.sort();
    }

    safetensors_folder(safetensors_folder&&) = default;
    safetensors_folder& operator=(safetensors_folder&&) = default;
    safetensors_folder(safetensors_folder const&) = delete; // tensors_ points into files_
    safetensors_folder& operator=(safetensors_folder const&) = delete;

    /// The files in use, sorted by name; the index is not among them.
    std::span<const safetensors_file> files() const noexcept { return files_; }
    /// All tensors, file by file.
    std::span<const placed_safetensors_tensor> tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    safetensors_tensor const* find(std::string_view name) const noexcept {
        const auto place = by_name_.find(name);
        return place ? tensors_[*place].tensor : nullptr;
    }
    /// Errors: format_error if there is none of that name.
    safetensors_tensor const& tensor(std::string_view name) const {
        if (auto const* const found = find(name)) return *found;
        throw format_error(folder_.string() + ": there is no tensor " + in_quotes(name));
    }

private:
    static bool exists(std::filesystem::path const& path) noexcept {
        std::error_code unknown; // what cannot be asked for cannot be opened either
        return std::filesystem::exists(path, unknown);
    }

    void read_index(std::filesystem::path const& path) {
        const std::string who = path.string();
        const json index = read_json_file(path);
        std::vector<std::string_view> tensors; // by name, as parse_json sorts keys
        name_index by_file;                    // places in `tensors`
        for (auto const& item : required_object(index, "weight_map", who).items()) {
            auto const* const file = item.value().get_ptr<std::string const*>();
            if (!file) detail::refuse_json(item.value(), item.key(), who + ": weight_map", "a string");
            std::string const& name = *file;
            if (name.empty() || name == "." || name == ".." ||
                name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
                throw format_error(who + ": weight_map: " + in_quotes(item.key()) +
                                   ": the name of a file of this folder is expected, " + in_quotes(name) +
                                   " was found");
            by_file.add(name, tensors.size());
            tensors.push_back(item.key());
        }
        by_file.sort();
        require_shards(path, by_file, tensors);
        for (auto left = by_file.entries(); !left.empty();) {
            std::size_t count = 1;
            while (count < left.size() && left[count].name == left[0].name) ++count;
            read_shard(path, left.first(count), tensors);
            left = left.subspan(count);
        }
    }

    /// All that are missing at once: a download that was cut lacks several.
    void require_shards(std::filesystem::path const& index, name_index const& by_file,
                        std::span<const std::string_view> tensors) const {
        std::vector<name_index::entry> missing;
        std::size_t shards = 0;
        std::string_view last;
        for (auto const& e : by_file.entries()) {
            if (e.name == last) continue;
            last = e.name;
            ++shards;
            if (!exists(folder_ / e.name)) missing.push_back(e);
        }
        if (missing.empty()) return;
        constexpr std::size_t shown = 3;
        std::string names;
        for (std::size_t i = 0; i < std::min(missing.size(), shown); ++i)
            names += (i == 0 ? "" : ", ") + in_quotes(missing[i].name);
        if (missing.size() > shown) names += ", …";
        throw io_error(index.string() + ": " + std::to_string(missing.size()) + " of the " + std::to_string(shards) +
                       " shards that it names " + (missing.size() == 1 ? "is" : "are") + " missing in the folder: " +
                       names + " (with " + in_quotes(tensors[missing[0].place]) + "); fetch what is missing");
    }

    /// The shard that the entries of the index name: it has the tensors at their places, and no other.
    void read_shard(std::filesystem::path const& index, std::span<const name_index::entry> entries,
                    std::span<const std::string_view> names) {
        const auto shard = index.parent_path() / entries[0].name;
        const std::string index_name = in_quotes(index.filename().string());
        auto const& file = files_.emplace_back(shard);
        for (auto const& e : entries) file.tensor(names[e.place]); // refuses one that it has not
        for (std::size_t i = 0; i < file.tensors().size(); ++i) {  // both by name
            auto const& name = file.tensors()[i].name;
            if (i == entries.size() || name != names[entries[i].place])
                throw format_error(shard.string() + ": tensor " + in_quotes(name) + " is not given to this file by " +
                                   index_name);
        }
    }

    std::filesystem::path folder_;
    std::vector<safetensors_file> files_;
    std::vector<placed_safetensors_tensor> tensors_;
    name_index by_name_; // places in tensors_
};

} // namespace bitlens

// ---- bitlens/io/safetensors_writer.hpp
/// write_safetensors: named tensors into one file, in canonical form.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// A tensor to write; its bytes are borrowed.
struct safetensors_entry {
    std::string name;
    safetensors_type type;
    std::vector<std::size_t> shape;
    std::span<const std::byte> bytes;
};

/// Writes the canonical form: tensors by falling alignment of their type, then by name; compact JSON, padded with
/// spaces to a multiple of 8. Equal tensors make equal files, whatever their order.
/// Errors: shape_error if bytes and shape differ, format_error for a name that occurs twice or is no UTF-8, io_error as
/// atomic_file.
inline void write_safetensors(std::filesystem::path const& path, std::vector<safetensors_entry> tensors,
                              std::map<std::string, std::string> const& metadata = {}) {
    std::ranges::sort(
        tensors, [](auto const& a, auto const& b) { return a.type != b.type ? a.type > b.type : a.name < b.name; });
    std::string text = "{";
    const auto add = [&](std::string const& name, std::string const& value) {
        text += (text.size() > 1 ? "," : "") + json_text(name, path.string() + ": name of a tensor") + ":" + value;
    };
    if (!metadata.empty()) add("__metadata__", json_text(metadata, path.string() + ": __metadata__"));
    std::set<std::string_view> names{"", "__metadata__"};
    std::size_t end = 0;
    for (auto const& t : tensors) {
        const std::string who = path.string() + ": tensor " + in_quotes(t.name);
        if (detail::safetensors_bytes(t.type, t.shape) != t.bytes.size())
            throw shape_error(who + ": " + std::to_string(t.bytes.size()) + " bytes do not fit " +
                              std::string(info(t.type).name) + " of shape " + shape_text(t.shape));
        if (!names.insert(t.name).second) throw format_error(who + ": each tensor needs a name of its own");
        add(t.name, R"({"dtype":")" + std::string(info(t.type).name) + R"(","shape":)" + json(t.shape).dump() +
                        R"(,"data_offsets":[)" + std::to_string(end) + "," + std::to_string(end + t.bytes.size()) +
                        "]}");
        end += t.bytes.size();
    }
    text += '}';
    text.append((8 - text.size() % 8) % 8, ' ');
    atomic_file file(path);
    const std::uint64_t length = text.size();
    file.write(std::as_bytes(std::span(&length, 1)));
    file.write(text);
    for (auto const& t : tensors) file.write(t.bytes);
    file.commit();
}

} // namespace bitlens

// ---- bitlens/io/sha256.hpp
/// SHA-256, to say which model, tokenizer and data a run has used.   Source: FIPS 180-4, section 6.2.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// The hash of bytes that come in pieces.
class sha256 {
public:
    void update(std::span<const std::byte> bytes) noexcept {
        length_ += bytes.size();
        if (filled_ > 0) {
            const std::size_t n = std::min(bytes.size(), block_.size() - filled_);
            std::ranges::copy(bytes.first(n), block_.begin() + static_cast<std::ptrdiff_t>(filled_));
            filled_ += n;
            bytes = bytes.subspan(n);
            if (filled_ < block_.size()) return;
            add_block(block_.data());
            filled_ = 0;
        }
        for (; bytes.size() >= block_.size(); bytes = bytes.subspan(block_.size())) add_block(bytes.data());
        std::ranges::copy(bytes, block_.begin());
        filled_ = bytes.size();
    }

    /// 64 hexadecimal digits. Once; no update may follow.
    std::string hex() noexcept {
        const std::uint64_t bits = length_ * 8;
        std::array<std::byte, 72> padding{std::byte{0x80}};
        const std::size_t zeros = (119 - filled_) % 64; // up to 8 bytes before the end of a block
        for (std::size_t i = 0; i < 8; ++i) padding[1 + zeros + i] = static_cast<std::byte>(bits >> (56 - 8 * i));
        update(std::span(padding).first(1 + zeros + 8));
        constexpr char digits[] = "0123456789abcdef";
        std::string text;
        for (const std::uint32_t word : state_)
            for (int shift = 28; shift >= 0; shift -= 4) text += digits[word >> shift & 15u];
        return text;
    }

private:
    void add_block(std::byte const* block) noexcept {
        // The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
        static constexpr std::array<std::uint32_t, 64> k{
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
            0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
            0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
            0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
            0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
            0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
            0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
            0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
        std::array<std::uint32_t, 64> w;
        for (std::size_t t = 0; t < 16; ++t) {
            const auto b = [&](std::size_t i) { return std::to_integer<std::uint32_t>(block[4 * t + i]); };
            w[t] = b(0) << 24 | b(1) << 16 | b(2) << 8 | b(3);
        }
        for (std::size_t t = 16; t < 64; ++t) {
            const std::uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
            const std::uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
            w[t] = w[t - 16] + s0 + w[t - 7] + s1;
        }
        auto [a, b, c, d, e, f, g, h] = state_;
        for (std::size_t t = 0; t < 64; ++t) {
            const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
            const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + k[t] + w[t];
            const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
            const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        const std::array<std::uint32_t, 8> sum{a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < sum.size(); ++i) state_[i] += sum[i];
    }

    // The first 32 bits of the fractional parts of the square roots of the first 8 primes.
    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::byte, 64> block_{};
    std::size_t filled_ = 0;   // bytes of block_ that wait
    std::uint64_t length_ = 0; // bytes in all
};

/// 64 hexadecimal digits.
inline std::string sha256_of(std::span<const std::byte> bytes) {
    sha256 hash;
    hash.update(bytes);
    return hash.hex();
}
inline std::string sha256_of(std::string_view text) { return sha256_of(as_bytes(text)); }

/// The hash of a file, read in pieces.   Errors: io_error that names the path.
inline std::string sha256_of_file(std::filesystem::path const& path) {
    const auto file = detail::open_regular(path).first;
    std::vector<std::byte> piece(std::size_t{1} << 20);
    sha256 hash;
    for (;;) {
        const std::size_t n = detail::read_fully(file, piece.data(), piece.size(), path);
        hash.update(std::span(piece).first(n));
        if (n < piece.size()) return hash.hex();
    }
}

} // namespace bitlens

// ---- bitlens/report.hpp
/// report/: tables and figures as text, CSV, HTML and SVG. Knows nothing of models.

// ---- bitlens/report/csv.hpp
/// Tables of comma-separated values (RFC 4180), read by column name and written so that every double reads back
/// exactly.

// ---- bitlens/report/number_text.hpp
/// Numbers as text, the same in every locale: exact for files, rounded for people.

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// The shortest decimal text that reads back as the same double.
/// Errors: a number that is not finite has no place in a file of results; asserted.
inline std::string exact_text(double value) {
    BITLENS_ASSERT(std::isfinite(value));
    std::array<char, 32> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

/// `digits` figures after the point; never "-0.00".
inline std::string fixed_text(double value, int digits) {
    BITLENS_ASSERT(std::isfinite(value) && digits >= 0);
    std::array<char, 400> buffer; // 309 digits before the point of the largest double
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, digits).ptr;
    std::string text(buffer.data(), end);
    if (text.front() == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
    return text;
}

/// For people: `digits` figures after the point, or powers of ten ("3.20e-07") where these would show nothing or too
/// much: below half of the last figure, and from 10⁷ on.
inline std::string rounded_text(double value, int digits) {
    BITLENS_ASSERT(std::isfinite(value) && digits >= 0);
    const double size = std::abs(value);
    if (size == 0 || (size >= 0.5 * std::pow(10.0, -digits) && size < 1e7)) return fixed_text(value, digits);
    std::array<char, 32> buffer;
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific, 2).ptr;
    return {buffer.data(), end};
}

/// The same with the typographic minus, for pages and figures.
inline std::string with_minus_sign(std::string text) {
    std::string out;
    for (const char c : text) {
        if (c == '-')
            out += "\u2212";
        else
            out += c;
    }
    return out;
}

/// "1 document", "2 documents".
inline std::string counted(std::size_t count, std::string_view what) {
    return std::to_string(count) + ' ' + std::string(what) + (count == 1 ? "" : "s");
}

} // namespace bitlens

// ---- bitlens/report/visible_text.hpp
/// Anybody's bytes as text that can be shown: valid UTF-8 in which nothing hides and nothing moves its neighbours.

#include <cstddef>
#include <string>
#include <string_view>

namespace bitlens {

namespace detail {

/// Characters that reorder the text around them: marks, embeddings, overrides and isolates.
constexpr bool reorders_text(char32_t c) noexcept {
    return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/// Controls but tab and line feed, noncharacters.
constexpr bool is_unseen(char32_t c) noexcept {
    return (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0) || (c & 0xFFFE) == 0xFFFE ||
           (c >= 0xFDD0 && c <= 0xFDEF);
}

} // namespace detail

/// What would not be seen, or would change how its neighbours look, becomes a visible sign: C0 controls and DEL their
/// symbols (␀ … ␡), characters that reorder text "[U+202E]", C1 controls, noncharacters and bytes that are not UTF-8 �.
/// Tab and line feed stay. So a terminal, an XML parser and a browser may all read it. Errors: none, whatever the
/// bytes.
inline std::string visible_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto [c, size] = decode_utf8(text);
        if (detail::is_unseen(c))
            append_utf8(out, c < 0x20 ? 0x2400 + c : c == 0x7F ? char32_t{0x2421} : char32_t{0xFFFD});
        else if (detail::reorders_text(c)) {
            constexpr std::string_view digits = "0123456789ABCDEF";
            out += "[U+";
            for (int shift = 12; shift >= 0; shift -= 4) out += digits[static_cast<std::size_t>(c >> shift & 0xF)];
            out += ']';
        } else
            append_utf8(out, c); // U+FFFD too, for bytes that are not UTF-8
        text.remove_prefix(size);
    }
    return out;
}

/// Gives `put` the pieces of visible_line(text), and allocates nothing itself.
template <class Put>
void put_visible_line(std::string_view text, Put const& put) {
    std::size_t from = 0; // of what is shown as it is
    for (std::size_t at = 0; at < text.size();) {
        const character one = decode_utf8(text, at);
        const std::size_t next = at + one.size;
        if (!one.valid() || one.code == '\t' || one.code == '\n' || detail::is_unseen(one.code) ||
            detail::reorders_text(one.code)) {
            put(text.substr(from, at - from));
            for (; at < next; ++at) {
                const auto escape = detail::hex_escape(text[at]);
                put(std::string_view(escape.data(), escape.size()));
            }
            from = next;
        }
        at = next;
    }
    put(text.substr(from));
}

/// Anybody's bytes, such as the name of a file or a message that has one in it, on one line of text that can be shown:
/// what visible_text would change, tab, line feed and bytes that are not UTF-8 are `\xNN`, each byte of it; the rest is
/// as it was. Errors: none, whatever the bytes.
inline std::string visible_line(std::string_view text) {
    std::string out;
    put_visible_line(text, [&](std::string_view piece) { out += piece; });
    return out;
}

} // namespace bitlens

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// A spreadsheet takes a cell that begins with = + - @ (or a tab or carriage return) for a formula. Such text is
/// written behind an apostrophe, and so is text that already looks like the result, which makes the way back unique.
inline bool looks_like_formula(std::string_view text) noexcept {
    const auto first = text.find_first_not_of('\'');
    return first != std::string_view::npos && std::string_view("=+-@\t\r").find(text[first]) != std::string_view::npos;
}

} // namespace detail

/// Writes a table row by row: one call per cell in the order of the columns, then end_row().
class csv_writer {
public:
    /// Errors: shape_error for no columns; option_error for one named twice.
    explicit csv_writer(std::span<const std::string> columns) : columns_(columns.size()) {
        if (columns.empty()) throw shape_error("csv: at least one column is expected");
        std::vector<std::string> sorted(columns.begin(), columns.end());
        std::ranges::sort(sorted);
        if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
            throw option_error("csv: two columns are named '" + visible_text(*twice) + "'");
        for (auto const& name : columns) quoted_cell(name);
        end_row();
    }

    csv_writer& text(std::string_view value) {
        if (!detail::looks_like_formula(value)) return quoted_cell(value);
        std::string guarded(1, '\'');
        guarded += value;
        return quoted_cell(guarded);
    }
    /// Finite (asserted). A number that is not defined is an empty cell: see empty().
    csv_writer& number(double value) { return plain_cell(exact_text(value)); }
    csv_writer& count(std::uint64_t value) { return plain_cell(std::to_string(value)); }
    csv_writer& empty() { return plain_cell({}); }

    /// Errors: shape_error unless there was one cell for each column.
    void end_row() {
        if (cells_ != columns_) refuse_row(cells_);
        bytes_ += '\n';
        cells_ = 0;
    }
    /// Everything so far, the header first.
    std::string const& bytes() const noexcept { return bytes_; }

private:
    [[noreturn]] void refuse_row(std::size_t cells) const {
        throw shape_error("csv: a row of " + std::to_string(cells) + " cells, expected " + std::to_string(columns_));
    }
    csv_writer& plain_cell(std::string_view value) {
        if (cells_ == columns_) refuse_row(cells_ + 1);
        if (cells_++ != 0) bytes_ += ',';
        bytes_ += value;
        return *this;
    }
    csv_writer& quoted_cell(std::string_view value) {
        if (value.find_first_of(",\"\r\n") == std::string_view::npos) return plain_cell(value);
        std::string quoted = "\"";
        for (const char c : value) {
            if (c == '"') quoted += '"';
            quoted += c;
        }
        return plain_cell(quoted += '"');
    }

    std::size_t columns_;
    std::size_t cells_ = 0; // of the row at hand
    std::string bytes_;
};

/// A table in memory: its cells are one text and the place where each ends, so that it takes a small multiple of the
/// file.
class csv_table {
public:
    /// `who` names the file in errors. Lines end in LF or CRLF; a UTF-8 byte order mark is skipped.
    /// Errors: format_error with file, line and column for a missing header, a column without a name or named twice, a
    /// row of another length, a quote out of place or never closed.
    csv_table(std::string_view bytes, std::string who) : who_(std::move(who)) {
        if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
        if (bytes.empty()) throw format_error(who_ + ": empty; a header with the names of the columns is expected");
        if (bytes.size() > text_.max_size() / 2) throw format_error(who_ + ": too large");
        text_.reserve(bytes.size());
        std::size_t at = 0;
        std::size_t line = 1;
        while (at < bytes.size()) read_row(bytes, at, line);
        for (std::size_t c = 0; c < names_.size(); ++c) {
            if (names_[c].empty()) throw format_error(who_ + ":1: column " + std::to_string(c + 1) + " has no name");
            if (!index_.emplace(names_[c], c).second)
                throw format_error(who_ + ":1: two columns are named '" + visible_text(names_[c]) + "'");
        }
    }

    std::size_t rows() const noexcept { return lines_.size(); }
    std::vector<std::string> const& columns() const noexcept { return names_; }
    std::string const& who() const noexcept { return who_; }
    bool has(std::string_view name) const { return index_.contains(std::string(name)); }

    /// Errors: format_error naming the file and the column that is missing.
    std::size_t column(std::string_view name) const {
        const auto found = index_.find(std::string(name));
        if (found == index_.end())
            throw format_error(who_ + ": no column '" + visible_text(name) + "' among its " +
                               std::to_string(names_.size()) + " columns");
        return found->second;
    }
    /// A cell as text, without the apostrophe that keeps a spreadsheet from running it.
    std::string text(std::size_t row, std::size_t col) const {
        const auto bytes = cell(row, col);
        return std::string(bytes.starts_with('\'') && detail::looks_like_formula(bytes) ? bytes.substr(1) : bytes);
    }
    /// Errors: format_error naming file, line and column unless the cell is one finite number and nothing else.
    double number(std::size_t row, std::size_t col) const {
        double value = 0;
        if (!parse(cell(row, col), value) || !std::isfinite(value)) refuse(row, col, "a finite number");
        return value;
    }
    /// Errors: as number(), for a whole number of 0 or more.
    std::uint64_t count(std::size_t row, std::size_t col) const {
        std::uint64_t value = 0;
        if (!parse(cell(row, col), value)) refuse(row, col, "a whole number");
        return value;
    }
    /// A whole column by name. Errors: those of column() and of each cell.
    std::vector<double> numbers(std::string_view name) const {
        return whole_column<double>(name, [this](std::size_t r, std::size_t c) { return number(r, c); });
    }
    /// The same where an empty cell means: not defined.
    std::vector<std::optional<double>> optional_numbers(std::string_view name) const {
        return whole_column<std::optional<double>>(name, [this](std::size_t r, std::size_t c) {
            return cell(r, c).empty() ? std::nullopt : std::optional(number(r, c));
        });
    }
    std::vector<std::uint64_t> counts(std::string_view name) const {
        return whole_column<std::uint64_t>(name, [this](std::size_t r, std::size_t c) { return count(r, c); });
    }
    std::vector<std::string> texts(std::string_view name) const {
        return whole_column<std::string>(name, [this](std::size_t r, std::size_t c) { return text(r, c); });
    }
    /// Errors of the caller's own checks read like ours.
    [[noreturn]] void refuse(std::size_t row, std::size_t col, std::string_view expected) const {
        constexpr std::size_t shown = 40;
        const std::string found = visible_text(cell(row, col).substr(0, shown));
        throw format_error(who_ + ":" + std::to_string(lines_[row]) + ": column '" + visible_text(names_[col]) +
                           "' holds '" + found + (cell(row, col).size() > shown ? "…" : "") + "', expected " +
                           std::string(expected));
    }

private:
    std::string_view cell(std::size_t row, std::size_t col) const {
        BITLENS_ASSERT(row < rows() && col < names_.size());
        const std::size_t i = row * names_.size() + col;
        const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
        return std::string_view(text_).substr(begin, ends_[i] - begin);
    }
    template <class T>
    static bool parse(std::string_view text, T& value) {
        const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
        return result.ec == std::errc{} && result.ptr == text.data() + text.size();
    }
    template <class T, class F>
    std::vector<T> whole_column(std::string_view name, F const& at) const {
        const std::size_t c = column(name);
        std::vector<T> values;
        values.reserve(rows());
        for (std::size_t r = 0; r < rows(); ++r) values.push_back(at(r, c));
        return values;
    }

    /// Reads one row from bytes[at] on: the header, if there is none yet. `line` counts line ends, quoted ones too.
    void read_row(std::string_view bytes, std::size_t& at, std::size_t& line) {
        const std::size_t first_line = line;
        const bool is_header = names_.empty();
        std::size_t cells = 0;
        bool more = true;
        while (more) {
            const std::size_t begin = text_.size();
            more = read_cell(bytes, at, line, cells);
            ++cells;
            if (is_header) {
                names_.push_back(text_.substr(begin));
                text_.resize(begin);
            } else if (cells <= names_.size()) {
                ends_.push_back(text_.size());
            }
        }
        if (is_header) return;
        if (cells != names_.size())
            throw format_error(who_ + ":" + std::to_string(first_line) + ": " + std::to_string(cells) +
                               " cells, expected " + std::to_string(names_.size()) + " as in the header");
        lines_.push_back(first_line);
    }
    /// Appends one cell to text_ and steps over what ends it. True if a comma did, so that another cell follows.
    bool read_cell(std::string_view bytes, std::size_t& at, std::size_t& line, std::size_t cell) {
        if (at < bytes.size() && bytes[at] == '"') {
            read_quoted(bytes, at, line, cell);
        } else {
            const std::size_t end = std::min(bytes.find_first_of(",\"\n", at), bytes.size());
            if (end < bytes.size() && bytes[end] == '"') misplaced_quote(line, cell);
            const bool has_carriage_return =
                end > at && bytes[end - 1] == '\r' && (end == bytes.size() || bytes[end] == '\n');
            text_ += bytes.substr(at, end - at - (has_carriage_return ? 1 : 0));
            at = end;
        }
        if (at == bytes.size()) return false;
        if (bytes[at] == ',') {
            ++at;
            return true;
        }
        at += bytes[at] == '\r' ? 2u : 1u;
        ++line;
        return false;
    }
    /// From an opening quote to the comma, line end or end of file behind the closing one.
    void read_quoted(std::string_view bytes, std::size_t& at, std::size_t& line, std::size_t cell) {
        const std::size_t first_line = line;
        for (++at;; at += 2) { // each turn ends at a doubled quote, which stands for one
            const std::size_t quote = bytes.find('"', at);
            if (quote == std::string_view::npos)
                throw format_error(place(first_line, cell) + "a quote is opened and never closed");
            const auto piece = bytes.substr(at, quote - at);
            line += static_cast<std::size_t>(std::ranges::count(piece, '\n'));
            text_ += piece;
            at = quote;
            if (!bytes.substr(at).starts_with("\"\"")) break;
            text_ += '"';
        }
        ++at;
        const auto rest = bytes.substr(at);
        if (!rest.empty() && rest[0] != ',' && rest[0] != '\n' && !rest.starts_with("\r\n"))
            misplaced_quote(line, cell);
    }
    [[noreturn]] void misplaced_quote(std::size_t line, std::size_t cell) const {
        throw format_error(place(line, cell) + "a quote inside a cell that is not quoted as a whole");
    }
    std::string place(std::size_t line, std::size_t cell) const {
        const std::string name = cell < names_.size() ? " '" + visible_text(names_[cell]) + "'" : "";
        return who_ + ":" + std::to_string(line) + ": column " + std::to_string(cell + 1) + name + ": ";
    }

    std::string who_;
    std::vector<std::string> names_;
    std::unordered_map<std::string, std::size_t> index_;
    std::string text_;               // all cells, unquoted, row after row
    std::vector<std::size_t> ends_;  // where each cell ends in text_
    std::vector<std::size_t> lines_; // where each row begins in the file, from 1
};

} // namespace bitlens

// ---- bitlens/report/html.hpp
/// HTML that may show anybody's text: escaping, and a page that stands alone and loads nothing.

#include <string>
#include <string_view>

namespace bitlens {

/// Any bytes as they may stand in HTML and XML, in an element or a quoted attribute: visible_text with references for
/// & < > " '. Errors: none.
inline std::string html_escape(std::string_view text) {
    std::string out;
    for (const char c : visible_text(text)) {
        switch (c) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '\'':
            out += "&#39;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

/// How pages of this library look: light and dark as the reader's system says, on a phone, a screen and paper.
inline std::string_view page_style() noexcept {
    return R"(:root{color-scheme:light dark;--paper:#fff;--ink:#1c1e21;--soft:#5c636b;--line:#dcdfe3;--shade:#f5f6f8;--accent:#0a5ea8}
@media screen and (prefers-color-scheme:dark){:root{--paper:#15171a;--ink:#e6e7e9;--soft:#a0a7af;--line:#34383d;--shade:#1e2125;--accent:#7cb8f2}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.25rem;line-height:1.3;margin:2.75rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.75rem 0 .25rem}
p{max-width:46rem;margin:.5rem 0}
a{color:var(--accent)}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em}
.soft,figcaption,.note{color:var(--soft);font-size:.875rem}
.note{margin:.25rem 0}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1rem;font-size:.9rem;margin:1rem 0}
.summary{background:var(--shade);border-left:4px solid var(--accent);padding:.75rem 1rem;margin:1.25rem 0}
.summary ul{margin:0;padding-left:1.1rem}
.summary li{margin:.3rem 0}
.scroll{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums lining-nums}
th,td{padding:.3rem .75rem .3rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:baseline}
th{color:var(--soft);font-weight:600;vertical-align:bottom}
th.n,td.n{text-align:right;padding:.3rem 0 .3rem .75rem}
td.n,td.name{white-space:nowrap}
td:not(.n):not(.name){min-width:9rem}
td.undefined{color:var(--soft);font-style:italic}
figure{margin:1rem 0}
figure svg{max-width:100%;height:auto;display:block}
details{margin:.75rem 0}
summary{cursor:pointer;color:var(--accent);font-size:.9rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.25rem 0;font-size:.875rem}
dl dl{margin:0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
@media(max-width:40rem){main{padding:1.25rem .9rem 3rem}body{font-size:15px}dl{grid-template-columns:1fr}dl dd{margin-left:1rem}}
@media print{main{max-width:none;padding:0}body{font-size:10pt}nav{display:none}h2{break-after:avoid}figure,table{break-inside:avoid}.scroll{overflow:visible}}
)";
}

/// A script of ours, and what a page says it may run: base64 of the SHA-256 of its code.
struct page_script {
    std::string_view code, sha256;
};

/// A whole page in one file. `title` is text; `style` (after page_style) and `body` are HTML of ours. The page forbids
/// itself to load anything, and to run anything but `script`.
inline std::string html_page(std::string_view title, std::string_view style, std::string_view body,
                             page_script const& script = {}) {
    std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                       "'unsafe-inline'";
    if (!script.code.empty()) page += "; script-src 'sha256-" + std::string(script.sha256) + "'";
    page += "\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";
    page += html_escape(title);
    page += "</title>\n<style>\n";
    page += page_style();
    page += style;
    page += "</style>\n</head>\n<body>\n<main>\n";
    page += body;
    page += "</main>\n";
    if (!script.code.empty()) page += "<script>" + std::string(script.code) + "</script>\n";
    page += "</body>\n</html>\n";
    return page;
}

} // namespace bitlens

// ---- bitlens/report/svg.hpp
/// chart: curves, dots and densities on two axes, drawn as SVG that follows the reader's light or dark mode.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

enum class scale { linear, logarithmic };

struct axis {
    std::string title; // with its unit
    bitlens::scale scale = scale::linear;
    bool whole_numbers = false; // ticks at 0, 1, 2 …: layers
};

enum class mark { line, dots, area };

/// One curve or cloud of a chart. No y: not defined there, and a line has a gap.
struct series {
    struct point {
        double x;
        std::optional<double> y;
        std::string label = {}; // what it is, where the series does not say it: "document 7"
    };
    std::string name;
    bitlens::mark mark = mark::line;
    std::vector<point> points;
};

struct chart {
    std::string name; // stem of its files
    std::string title;
    axis x, y;
    std::vector<bitlens::series> series;
    bool zero_line = false;      // shows y = 0 and marks it
    std::optional<double> split; // marks this x
};

namespace detail {

/// Where ticks stand and how they read.
struct tick {
    double at;
    std::string text;
};

/// 1, 2 or 5 times a power of ten: the step that gives at most `most` ticks over `width` (> 0).
inline double nice_step(double width, int most) {
    const double rough = width / most;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (factor * power >= rough * (1 - 1e-9)) return factor * power;
    return 10 * power;
}

/// Multiples of a nice step within [low, high].
inline std::vector<tick> linear_ticks(double low, double high, int most, bool whole_numbers) {
    double step = nice_step(high - low, most);
    if (whole_numbers) step = std::max(step, 1.0);
    const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 12);
    const bool plain = step > 1e-5 && std::max(std::abs(low), std::abs(high)) < 1e6;
    std::vector<tick> ticks;
    for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
        const double at = i * step;
        ticks.push_back({at, with_minus_sign(plain ? fixed_text(at, digits) : rounded_text(at, 0))});
    }
    return ticks;
}

inline std::string superscript(int value) {
    constexpr std::string_view digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    std::string out = value < 0 ? "⁻" : "";
    for (const char c : std::to_string(std::abs(value))) out += digits[c - '0'];
    return out;
}

/// A power of ten times 1, 2 or 5 as it is read most easily: 0.02, 500, 10⁶.
inline std::string log_tick_text(int factor, int power) {
    if (power >= -3 && power <= 4) return fixed_text(factor * std::pow(10.0, power), std::max(0, -power));
    return (factor == 1 ? "" : std::to_string(factor) + "·") + "10" + superscript(power);
}

/// Powers of ten within [low, high] (> 0), every second, third … one where they are many; 2 and 5 times them where they
/// are few. A range within one power of ten gets linear ticks.
inline std::vector<tick> log_ticks(double low, double high, int most) {
    if (high / low < 10) return linear_ticks(low, high, most, false);
    const int first = static_cast<int>(std::floor(std::log10(low)));
    const int last = static_cast<int>(std::ceil(std::log10(high)));
    const int every = std::max(1, (last - first + most - 1) / most);
    std::vector<int> factors{1};
    if (std::log10(high / low) < 2.5) factors = {1, 2, 5};
    std::vector<tick> ticks;
    for (int power = first; power <= last; ++power)
        for (const int factor : factors) {
            const double at = factor * std::pow(10.0, power);
            if (power % every != 0 || at < low * (1 - 1e-9) || at > high * (1 + 1e-9)) continue;
            ticks.push_back({at, log_tick_text(factor, power)});
        }
    return ticks;
}

/// Maps a range of numbers to a range of pixels.
struct scale_map {
    bitlens::scale scale;
    double low, high;   // of the numbers
    double first, last; // pixels of low and high

    double operator()(double v) const {
        const double share =
            scale == scale::linear ? (v - low) / (high - low) : std::log(v / low) / std::log(high / low);
        return first + share * (last - first);
    }
    std::vector<tick> ticks(int most, bool whole_numbers) const {
        return scale == scale::linear ? linear_ticks(low, high, most, whole_numbers) : log_ticks(low, high, most);
    }
};

struct range {
    double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();

    void include(double v) {
        low = std::min(low, v);
        high = std::max(high, v);
    }
    bool empty() const noexcept { return low > high; }
    /// Air on both sides, `share` of the width; a single number gets air enough to stand alone.
    void widen(bitlens::scale s, double share) {
        if (s == scale::logarithmic) {
            const double factor = high > low ? std::pow(high / low, share) : 2.0;
            low /= factor;
            high *= factor;
        } else {
            const double air = high > low ? (high - low) * share : std::max(std::abs(low) * 0.1, 0.5);
            low -= air;
            high += air;
        }
    }
};

inline std::string px(double v) { return fixed_text(v, 2); }

/// Width of a text in the figures' 12 px face, near enough to place legends: no font is at hand to ask.
inline double text_width(std::string_view text) {
    double characters = 0;
    for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u ? 1.0 : 0.0;
    return 6.9 * characters;
}

inline std::string text_at(double x, double y, std::string_view classes, std::string_view text) {
    return "<text x=\"" + px(x) + "\" y=\"" + px(y) + "\" class=\"" + std::string(classes) + "\">" + html_escape(text) +
           "</text>\n";
}

inline std::string line_from(double x1, double y1, double x2, double y2, std::string_view classes) {
    return "<line x1=\"" + px(x1) + "\" y1=\"" + px(y1) + "\" x2=\"" + px(x2) + "\" y2=\"" + px(y2) + "\" class=\"" +
           std::string(classes) + "\"/>\n";
}

/// Colours differ for every kind of colour vision; from the ninth series on they come again with dashes.
inline constexpr std::size_t series_colours = 8;

inline std::string series_class(std::size_t i) {
    return "s" + std::to_string(i % series_colours) + (i / series_colours % 2 == 1 ? " dashed" : "");
}

/// Size of one panel in pixels, and where its axes stand.
struct panel {
    double width, height, left, right, top, bottom;
};

inline constexpr double legend_sample = 24; // pixels of a legend's sample line and the space behind it
inline constexpr double legend_line = 17;

/// Where the legend's entries begin, in lines between title and plot. A single series that the title names needs none.
inline std::vector<std::pair<double, double>> legend_places(chart const& c, panel const& p) {
    std::vector<std::pair<double, double>> places;
    if (c.series.size() == 1 && c.title.find(c.series[0].name) != std::string::npos) return places;
    double x = p.left;
    double y = 34;
    for (auto const& s : c.series) {
        const double width = legend_sample + text_width(s.name) + 16;
        if (x + width > p.width && x > p.left) {
            x = p.left;
            y += legend_line;
        }
        places.emplace_back(x, y);
        x += width;
    }
    return places;
}

/// Draws one chart with its origin at the upper left of its panel.
class chart_drawing {
public:
    chart_drawing(chart const& c, panel const& p) : chart_(c), panel_(p) {}

    std::string operator()() {
        std::string out = text_at(0, 16, "title", chart_.title);
        out += legend();
        const range x = x_range();
        const range y = y_range();
        if (x.empty() || y.empty()) return out + text_at(panel_.width / 2, panel_.height / 2, "middle tick", "no data");
        x_ = {chart_.x.scale, x.low, x.high, panel_.left, panel_.width - panel_.right};
        y_ = {chart_.y.scale, y.low, y.high, panel_.height - panel_.bottom, panel_.top};
        out += axes();
        for (std::size_t i = 0; i < chart_.series.size(); ++i) out += draw(chart_.series[i], i);
        return out;
    }

private:
    bool drawable(series::point const& p) const {
        return p.y && (chart_.y.scale == scale::linear || *p.y > 0) && (chart_.x.scale == scale::linear || p.x > 0);
    }
    template <class F>
    range range_of(F const& coordinate) const {
        range r;
        for (auto const& s : chart_.series)
            for (auto const& p : s.points) {
                BITLENS_ASSERT(std::isfinite(p.x) && (!p.y || std::isfinite(*p.y)));
                if (drawable(p)) r.include(coordinate(p));
            }
        return r;
    }
    bool has(mark m) const {
        return std::ranges::any_of(chart_.series, [m](auto const& s) { return s.mark == m; });
    }
    range x_range() const {
        range r = range_of([](auto const& p) { return p.x; });
        if (!r.empty()) r.widen(chart_.x.scale, has(mark::area) ? 0.0 : 0.02);
        return r;
    }
    range y_range() const {
        range r = range_of([](auto const& p) { return *p.y; });
        if (r.empty()) return r;
        if (chart_.zero_line) r.include(0);
        r.widen(chart_.y.scale, 0.05);
        if (has(mark::area)) r.low = 0; // an area means something only above zero
        return r;
    }

    std::string legend() const {
        std::string out;
        const auto places = legend_places(chart_, panel_);
        for (std::size_t i = 0; i < places.size(); ++i) {
            const auto [x, y] = places[i];
            if (chart_.series[i].mark == mark::dots)
                out += "<circle cx=\"" + px(x + 9) + "\" cy=\"" + px(y - 4) + "\" r=\"3.5\" class=\"dot " +
                       series_class(i) + "\"/>\n";
            else
                out += line_from(x, y - 4, x + 18, y - 4, "line " + series_class(i));
            out += text_at(x + legend_sample, y, "", chart_.series[i].name);
        }
        return out;
    }

    std::string axes() const {
        const double left = panel_.left, right = panel_.width - panel_.right;
        const double top = panel_.top, bottom = panel_.height - panel_.bottom;
        std::string out;
        for (auto const& t : y_.ticks(static_cast<int>((bottom - top) / 45) + 1, chart_.y.whole_numbers)) {
            out += line_from(left, y_(t.at), right, y_(t.at), "grid");
            out += text_at(left - 7, y_(t.at) + 4, "end tick", t.text);
        }
        for (auto const& t : x_.ticks(static_cast<int>((right - left) / 70) + 1, chart_.x.whole_numbers)) {
            out += line_from(x_(t.at), bottom, x_(t.at), bottom + 5, "axis");
            out += text_at(x_(t.at), bottom + 19, "middle tick", t.text);
        }
        out += line_from(left, bottom, right, bottom, "axis");
        if (chart_.zero_line) out += line_from(left, y_(0), right, y_(0), "zero");
        if (chart_.split && *chart_.split > x_.low && *chart_.split < x_.high)
            out += line_from(x_(*chart_.split), top, x_(*chart_.split), bottom, "split");
        out += text_at((left + right) / 2, panel_.height - 6, "middle", chart_.x.title);
        out += "<text transform=\"translate(12 " + px((top + bottom) / 2) + ") rotate(-90)\" class=\"middle\">" +
               html_escape(chart_.y.title) + "</text>\n";
        return out;
    }

    std::string draw(series const& s, std::size_t i) const {
        std::string out = "<g class=\"" + series_class(i) + "\">\n";
        if (s.mark != mark::dots) out += curves(s);
        if (s.mark == mark::area)
            out += hover_places(s);
        else if (s.points.size() <= single_points)
            out += dots(s);
        else if (s.mark == mark::dots)
            out += s.points.size() <= titled_points ? "<g class=\"many\">\n" + dots(s) + "</g>\n" : cloud(s);
        return out + "</g>\n";
    }
    /// A density is no set of points: places along it, unseen, say its numbers.
    std::string hover_places(series const& s) const {
        constexpr std::size_t most = 20;
        std::string out;
        for (std::size_t i = 0; i < s.points.size(); i += (s.points.size() + most - 1) / most)
            if (drawable(s.points[i])) out += circle(s, s.points[i], "8", "hover");
        return out;
    }
    /// Many dots as one path, for the size of the file.
    std::string cloud(series const& s) const {
        std::string path;
        for (auto const& p : s.points)
            if (drawable(p)) path += "M" + px(x_(p.x)) + " " + px(y_(*p.y)) + "h0";
        return "<path d=\"" + path + "\" class=\"cloud\"/>\n";
    }
    /// One path for each stretch without a gap.
    std::string curves(series const& s) const {
        std::string out;
        for (auto from = s.points.begin(); from != s.points.end();) {
            const auto defined = [this](auto const& p) { return drawable(p); };
            from = std::find_if(from, s.points.end(), defined);
            const auto to = std::find_if_not(from, s.points.end(), defined);
            if (from != to) out += curve({from, to}, s.mark == mark::area);
            from = to;
        }
        return out;
    }
    std::string curve(std::span<const series::point> points, bool filled) const {
        std::string path;
        for (auto const& p : points) path += (path.empty() ? "M" : " L") + px(x_(p.x)) + " " + px(y_(*p.y));
        std::string out;
        if (filled)
            out += "<path d=\"" + path + " L" + px(x_(points.back().x)) + " " + px(y_(0)) + " L" +
                   px(x_(points.front().x)) + " " + px(y_(0)) + " Z\" class=\"area\"/>\n";
        return out + "<path d=\"" + path + "\" class=\"line\"/>\n";
    }
    /// Each says its numbers when pointed at.
    std::string dots(series const& s) const {
        std::string out;
        for (auto const& p : s.points)
            if (drawable(p)) out += circle(s, p, "2.5", "dot");
        return out;
    }
    std::string circle(series const& s, series::point const& p, std::string_view radius,
                       std::string_view classes) const {
        const std::string name = p.label.empty() ? s.name : s.name + ", " + p.label;
        const std::string numbers = rounded_text(p.x, chart_.x.whole_numbers ? 0 : 3) + ", " + rounded_text(*p.y, 3);
        return "<circle cx=\"" + px(x_(p.x)) + "\" cy=\"" + px(y_(*p.y)) + "\" r=\"" + std::string(radius) +
               "\" class=\"" + std::string(classes) + "\"><title>" + html_escape(name) + ": " +
               with_minus_sign(numbers) + "</title></circle>\n";
    }

    static constexpr std::size_t single_points = 128;  // more hide each other, and the line that joins them
    static constexpr std::size_t titled_points = 2000; // about 200 kB
    chart const& chart_;
    panel panel_;
    scale_map x_{}, y_{};
};

} // namespace detail

/// How figures look, in light and dark and on paper. A page that shows several has it once.
inline std::string_view svg_style() noexcept {
    return R"(.chart{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
.chart text{fill:#1c1e21}.chart .title{font-weight:600;font-size:13px}.chart .tick{fill:#5c636b}.chart .middle{text-anchor:middle}.chart .end{text-anchor:end}
.chart line,.chart path{fill:none;stroke-linejoin:round;pointer-events:none}.chart .grid{stroke:#e4e7ea}.chart .axis,.chart .zero{stroke:#8a9199}.chart .split{stroke:#8a9199;stroke-dasharray:2 3}
.chart .line{stroke:currentColor;stroke-width:2}.chart .dashed .line,.chart .line.dashed{stroke-dasharray:5 3}.chart path.area{fill:currentColor;fill-opacity:.18}
.chart .dot{fill:currentColor}.chart .many .dot{fill-opacity:.55}.chart .hover{fill:none;pointer-events:all}.chart .cloud{stroke:currentColor;stroke-width:4;stroke-linecap:round;stroke-opacity:.55}
.chart .s0{color:#d9540b}.chart .s1{color:#0a6ebd}.chart .s2{color:#0b8f6a}.chart .s3{color:#b5508f}.chart .s4{color:#8a6d00}.chart .s5{color:#4aa8dc}.chart .s6{color:#6b4fbb}.chart .s7{color:#4a4f55}
@media screen and (prefers-color-scheme:dark){.chart text{fill:#e6e7e9}.chart .tick{fill:#a0a7af}.chart .grid{stroke:#2c3035}.chart .axis,.chart .zero,.chart .split{stroke:#6b727a}
.chart .s0{color:#ff8a4c}.chart .s1{color:#62b0f5}.chart .s2{color:#3ecfa4}.chart .s3{color:#e58cc4}.chart .s4{color:#d9b83a}.chart .s5{color:#9bd6f7}.chart .s6{color:#ab97f0}.chart .s7{color:#c4c9cf}}
)";
}

enum class svg_use { file, inside_page }; // a file carries its own style and background

/// Charts side by side, `per_row` in a row, in one picture. All numbers are finite (asserted).
/// Errors: shape_error for no charts, or none in a row.
inline std::string to_svg(std::span<const chart> charts, std::size_t per_row, svg_use use) {
    if (charts.empty() || per_row == 0)
        throw shape_error("to_svg: " + std::to_string(charts.size()) + " charts, " + std::to_string(per_row) +
                          " in a row; at least one is expected of both");
    const bool small = per_row > 1;
    detail::panel panel{small ? 400.0 : 720.0, small ? 260.0 : 380.0, 62, 14, 30, 46};
    double legend = 0;
    for (auto const& c : charts)
        if (const auto places = detail::legend_places(c, panel); !places.empty())
            legend = std::max(legend, places.back().second - panel.top + 13);
    panel.top += legend;
    panel.height += legend;
    constexpr double margin = 12;
    const std::size_t columns = std::min(per_row, charts.size());
    const std::size_t rows = (charts.size() + per_row - 1) / per_row;
    const auto along = [](std::size_t n, double size) { return static_cast<double>(n) * (size + margin) + margin; };
    const std::string width = detail::px(along(columns, panel.width)), height = detail::px(along(rows, panel.height));

    std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" width=\"" + width +
                      "\" height=\"" + height + "\" viewBox=\"0 0 " + width + " " + height + "\">\n<title>" +
                      html_escape(charts.front().title) + "</title>\n";
    if (use == svg_use::file) {
        out += "<style>\n" + std::string(svg_style()) +
               ".paper{fill:#fff}@media screen and (prefers-color-scheme:dark){.paper{fill:#15171a}}\n</style>\n"
               "<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n";
    }
    for (std::size_t i = 0; i < charts.size(); ++i) {
        out += "<g transform=\"translate(" + detail::px(along(i % per_row, panel.width)) + " " +
               detail::px(along(i / per_row, panel.height)) + ")\">\n";
        out += detail::chart_drawing(charts[i], panel)() + "</g>\n";
    }
    return out + "</svg>\n";
}

/// What a picture shows, one row for each point: chart, series, x, y (empty where not defined).
inline std::string to_csv(std::span<const chart> charts) {
    csv_writer csv(std::vector<std::string>{"chart", "series", "x", "y"});
    for (auto const& c : charts)
        for (auto const& s : c.series)
            for (auto const& p : s.points) {
                csv.text(c.name).text(s.name).number(p.x);
                p.y ? csv.number(*p.y) : csv.empty();
                csv.end_row();
            }
    return csv.bytes();
}

} // namespace bitlens

// ---- bitlens/report/table.hpp
/// table: a result that people and programs read alike, as text for the terminal, as HTML and as CSV.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// Why there is no number where one would stand ("fewer than three examples"). It takes the place of NaN.
struct undefined {
    std::string reason;
};

/// A number, or the reason why it is not defined.
class measured {
public:
    measured(double value) : value_(value) {}
    measured(undefined why) : value_(std::move(why)) {}
    /// A statistic that says by nullopt that it is not defined, and why that can be.
    measured(std::optional<double> value, std::string_view reason) : value_(undefined{std::string(reason)}) {
        if (value) value_ = *value;
    }
    explicit operator bool() const noexcept { return value_.index() == 0; }
    double operator*() const { return std::get<0>(value_); }
    std::string const& reason() const { return std::get<1>(value_).reason; }
    std::optional<double> optional() const { return *this ? std::optional(**this) : std::nullopt; }

private:
    std::variant<double, undefined> value_;
};

/// Text, a finite number, a count, or the reason why there is none.
struct cell {
    std::variant<std::string, double, std::uint64_t, undefined> value;

    cell(std::string text) : value(std::move(text)) {}
    cell(char const* text) : value(std::string(text)) {}
    cell(double number) : value(number) {}
    cell(std::size_t count) : value(std::uint64_t{count}) {}
    cell(undefined why) : value(std::move(why)) {}
    cell(measured const& m) : value(undefined{}) {
        if (m)
            value = *m;
        else
            value = undefined{m.reason()};
    }
};

struct table {
    struct column {
        std::string key;   // for programs: the name in CSV and JSON
        std::string title; // for people
        int digits = 3;    // shown after the point; files always hold the exact number
    };
    std::string name; // stem of its file
    std::string title;
    std::vector<column> columns;
    std::vector<std::vector<cell>> rows;
    std::vector<std::string> notes; // whole sentences below it

    /// Errors: shape_error unless there is one cell for each column.
    void add(std::vector<cell> row) {
        if (row.size() != columns.size())
            throw shape_error("table '" + name + "': a row of " + std::to_string(row.size()) + " cells, expected " +
                              std::to_string(columns.size()));
        rows.push_back(std::move(row));
    }
};

/// A cell for people: rounded, "not defined" where it is not.
inline std::string shown(cell const& c, int digits) {
    struct visitor {
        int digits;
        std::string operator()(std::string const& text) const { return text; }
        std::string operator()(double number) const { return rounded_text(number, digits); }
        std::string operator()(std::uint64_t count) const { return std::to_string(count); }
        std::string operator()(undefined const&) const { return "not defined"; }
    };
    return std::visit(visitor{digits}, c.value);
}

namespace detail {

inline bool is_text(cell const& c) noexcept { return std::holds_alternative<std::string>(c.value); }

/// Characters on a terminal, as far as that is one per code point.
inline std::size_t shown_width(std::string_view text) noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

/// A column of numbers is aligned at the right; one text in it makes it a column of texts.
inline bool has_text(table const& t, std::size_t col) {
    return std::ranges::any_of(t.rows, [col](auto const& row) { return is_text(row[col]); });
}

/// Why numbers of the table are not defined, each reason once.
inline std::vector<std::string> reasons_of(table const& t) {
    std::vector<std::string> reasons;
    for (auto const& row : t.rows)
        for (auto const& c : row)
            if (auto const* why = std::get_if<undefined>(&c.value))
                if (std::ranges::find(reasons, why->reason) == reasons.end()) reasons.push_back(why->reason);
    return reasons;
}

} // namespace detail

/// For the terminal: title, columns aligned by spaces, notes, why numbers are not defined. Control characters show as
/// their symbols.
inline std::string to_text(table const& t) {
    std::vector<std::vector<std::string>> lines(1);
    for (auto const& c : t.columns) lines[0].push_back(c.title);
    for (auto const& row : t.rows) {
        auto& line = lines.emplace_back();
        for (std::size_t c = 0; c < row.size(); ++c) line.push_back(visible_text(shown(row[c], t.columns[c].digits)));
    }
    std::string out = t.title + "\n";
    std::vector<std::size_t> width(t.columns.size());
    for (auto const& line : lines)
        for (std::size_t c = 0; c < line.size(); ++c) width[c] = std::max(width[c], detail::shown_width(line[c]));
    for (auto const& line : lines) {
        std::string text;
        for (std::size_t c = 0; c < line.size(); ++c) {
            const std::string padding(width[c] - detail::shown_width(line[c]), ' ');
            text += (c == 0 ? "" : "  ") + (detail::has_text(t, c) ? line[c] + padding : padding + line[c]);
        }
        out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
    }
    for (auto const& note : t.notes) out += note + "\n";
    for (auto const& reason : detail::reasons_of(t)) out += "Not defined: " + reason + ".\n";
    return out;
}

/// Keys as the header, exact numbers, an empty cell where a number is not defined.
inline std::string to_csv(table const& t) {
    std::vector<std::string> keys;
    for (auto const& c : t.columns) keys.push_back(c.key);
    csv_writer csv(keys);
    struct visitor {
        csv_writer& csv;
        void operator()(std::string const& text) const { csv.text(text); }
        void operator()(double number) const { csv.number(number); }
        void operator()(std::uint64_t count) const { csv.count(count); }
        void operator()(undefined const&) const { csv.empty(); }
    };
    for (auto const& row : t.rows) {
        for (auto const& c : row) std::visit(visitor{csv}, c.value);
        csv.end_row();
    }
    return csv.bytes();
}

/// How a page shows a table.
struct html_use {
    bool sortable = false;            // as table_script sorts and filters it, in a box of limited height
    std::vector<std::string> targets; // of each row, if any: the id on the page that its first cell leads to, or ""
};

namespace detail {

/// What a sortable column is sorted by, where that is not the text of its cells.
inline std::string sort_value(cell const& c) {
    struct visitor {
        std::string operator()(std::string const&) const { return {}; }
        std::string operator()(double number) const { return exact_text(number); }
        std::string operator()(std::uint64_t count) const { return std::to_string(count); }
        std::string operator()(undefined const&) const { return "-Infinity"; }
    };
    const std::string value = std::visit(visitor{}, c.value);
    return value.empty() ? value : " data-v=\"" + value + "\"";
}

} // namespace detail

/// Title, the table in a box that scrolls, and its notes. Where a number is not defined, the reason shows on hover;
/// reasons also follow as a note, for paper.
inline std::string to_html(table const& t, html_use const& use = {}) {
    constexpr std::size_t longest_name = 24; // longer texts may break
    if (!use.targets.empty() && use.targets.size() != t.rows.size())
        throw shape_error("table '" + t.name + "': " + std::to_string(use.targets.size()) + " targets, expected " +
                          std::to_string(t.rows.size()) + ", one for each row");
    std::string out = "<h3>" + html_escape(t.title) + "</h3>\n";
    out += use.sortable ? "<div class=\"scroll sortable\"><table class=\"sort\">" : "<div class=\"scroll\"><table>";
    out += "\n<thead><tr>";
    for (std::size_t c = 0; c < t.columns.size(); ++c)
        out += (detail::has_text(t, c) ? "<th>" : "<th class=\"n\">") + html_escape(t.columns[c].title) + "</th>";
    out += "</tr></thead>\n<tbody>\n";
    for (std::size_t r = 0; r < t.rows.size(); ++r) {
        out += "<tr>";
        for (std::size_t c = 0; c < t.columns.size(); ++c) {
            cell const& here = t.rows[r][c];
            std::string text = shown(here, t.columns[c].digits);
            if (auto const* why = std::get_if<undefined>(&here.value)) {
                out += "<td class=\"n undefined\" title=\"" + html_escape(why->reason) + "\"";
            } else if (detail::is_text(here)) {
                out += detail::shown_width(text) <= longest_name ? "<td class=\"name\"" : "<td";
                text = "<bdi>" + html_escape(text) + "</bdi>";
            } else {
                out += "<td class=\"n\"";
                text = with_minus_sign(text);
            }
            const bool leads = c == 0 && !use.targets.empty() && !use.targets[r].empty();
            if (leads) text = "<a href=\"#" + html_escape(use.targets[r]) + "\">" + text + "</a>";
            out += (use.sortable ? detail::sort_value(here) : "") + ">" + text + "</td>";
        }
        out += "</tr>\n";
    }
    out += "</tbody>\n</table></div>\n";
    for (auto const& note : t.notes) out += "<p class=\"note\">" + html_escape(note) + "</p>\n";
    for (auto const& reason : detail::reasons_of(t))
        out += "<p class=\"note\">Not defined: " + html_escape(reason) + ".</p>\n";
    return out;
}

} // namespace bitlens

// ---- bitlens/text.hpp
/// Tokenizers, documents, near duplicates.

// ---- bitlens/text/added_tokens.hpp
/// Tokens that are found in the text as they are written, before any word is cut: `<|im_start|>` and its kin.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Finds added tokens: the leftmost first, and of those that begin at the same place the longest.
class added_token_finder {
public:
    struct token {
        std::string text; // not empty
        std::int32_t id;
        bool special; // found only when asked for
    };

    added_token_finder() = default;
    explicit added_token_finder(std::vector<token> tokens) {
        name_index by_text;
        for (std::size_t i = 0; i < tokens.size(); ++i) by_text.add(tokens[i].text, i);
        by_text.sort();
        tokens_.reserve(tokens.size());
        for (auto const& [text, place] : by_text.entries()) {
            begins_[static_cast<unsigned char>(text[0])] = true;
            tokens_.push_back(std::move(tokens[place]));
        }
    }

    /// Calls on_text(std::string_view) and on_token(id) for what the text consists of, in order. Without `special`, the
    /// text of a special token is text; it still hides tokens that overlap it, as in Hugging Face with
    /// `encode_special_tokens`. Time: bytes of the text × bytes of the longest token.
    template <class OnText, class OnToken>
    void cut(std::string_view text, bool special, OnText&& on_text, OnToken&& on_token) const {
        std::size_t begin = 0; // of the text not handed on yet
        for (std::size_t at = 0; at < text.size();) {
            token const* found = longest_at(text, at);
            if (!found) {
                ++at;
                continue;
            }
            if (special || !found->special) {
                if (begin < at) on_text(text.substr(begin, at - begin));
                on_token(found->id);
                begin = at + found->text.size();
            }
            at += found->text.size();
        }
        if (begin < text.size()) on_text(text.substr(begin));
    }

private:
    token const* longest_at(std::string_view text, std::size_t at) const noexcept {
        if (!begins_[static_cast<unsigned char>(text[at])]) return nullptr;
        token const* longest = nullptr;
        auto first = tokens_.begin(), last = tokens_.end(); // those that begin with the `depth` bytes at `at`
        for (std::size_t depth = 0; first != last && at + depth < text.size(); ++depth) {
            const unsigned next = static_cast<unsigned char>(text[at + depth]);
            const auto byte = [&](token const& t) {
                return depth < t.text.size() ? static_cast<unsigned char>(t.text[depth]) + 1u : 0u;
            };
            first = std::partition_point(first, last, [&](token const& t) { return byte(t) < next + 1u; });
            last = std::partition_point(first, last, [&](token const& t) { return byte(t) == next + 1u; });
            if (first != last && first->text.size() == depth + 1) longest = &*first; // the shortest comes first
        }
        return longest;
    }

    std::vector<token> tokens_; // by rising text
    std::array<bool, 256> begins_{};
};

} // namespace bitlens

// ---- bitlens/text/byte_alphabet.hpp
/// The alphabet in which byte-level tokenizers write bytes: a printable character for each of the 256.

// ---- bitlens/text/unicode.hpp
/// What tokenizers know of Unicode: the classes that split patterns speak of, and composition (NFC).
///
/// The measure is what Hugging Face `tokenizers` 0.23 does, and its three parts follow three versions of Unicode: the
/// classes `\p{L}`, `\p{N}` and `\s` version 16, the step `Digits` version 17, NFC version 9. utf8proc is Unicode 15 in
/// Debian 12 and newer elsewhere, so the differences are tables here.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utf8proc.h>
#include <vector>

namespace bitlens {

namespace detail {

struct code_range {
    char32_t first, last;
};

inline bool in_ranges(std::span<const code_range> sorted, char32_t code) noexcept {
    const auto after =
        std::upper_bound(sorted.begin(), sorted.end(), code, [](char32_t c, code_range r) { return c < r.first; });
    return after != sorted.begin() && code <= std::prev(after)->last;
}

/// White_Space of Unicode, which is what \s means.
inline constexpr std::array<code_range, 10> spaces{{{0x09, 0x0D},
                                                    {0x20, 0x20},
                                                    {0x85, 0x85},
                                                    {0xA0, 0xA0},
                                                    {0x1680, 0x1680},
                                                    {0x2000, 0x200A},
                                                    {0x2028, 0x2029},
                                                    {0x202F, 0x202F},
                                                    {0x205F, 0x205F},
                                                    {0x3000, 0x3000}}};

/// Letters that came with Unicode 15.1 and 16.
inline constexpr std::array<code_range, 22> letters_since_15{
    {{0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
     {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
     {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
     {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
     {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}}};

/// Numbers that came with Unicode 16.
inline constexpr std::array<code_range, 7> numbers_since_15{{{0x10D40, 0x10D49},
                                                             {0x116D0, 0x116E3},
                                                             {0x11BF0, 0x11BF9},
                                                             {0x16130, 0x16139},
                                                             {0x16D70, 0x16D79},
                                                             {0x1CCF0, 0x1CCF9},
                                                             {0x1E5F1, 0x1E5FA}}};

/// Numbers that came with Unicode 17.
inline constexpr std::array<code_range, 2> numbers_since_16{{{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}}};

/// Characters that stay where they are, though utf8proc would reorder or join them: those that came after Unicode 9,
/// and U+11A7, which utf8proc 2.8 takes for a trailing consonant of Hangul and lets disappear.
inline constexpr std::array<code_range, 48> never_composed{
    {{0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x11A7, 0x11A7},   {0x1715, 0x1715},   {0x1ABF, 0x1AFF},
     {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x105C0, 0x105F3}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D},
     {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
     {0x1133B, 0x1133B}, {0x11380, 0x113E2}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11938},
     {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
     {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
     {0x16100, 0x1612F}, {0x16D40, 0x16D6C}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
     {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6E3},
     {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5}}};

} // namespace detail

/// What a split pattern can ask of a character.
enum class character_class : std::uint8_t { letter, number, space, other };

namespace detail {

inline character_class look_up_class(char32_t code) noexcept {
    if (in_ranges(spaces, code)) return character_class::space;
    const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return character_class::letter;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return character_class::number;
    if (category == UTF8PROC_CATEGORY_CN) {
        if (in_ranges(letters_since_15, code)) return character_class::letter;
        if (in_ranges(numbers_since_15, code)) return character_class::number;
    }
    return character_class::other;
}

/// The classes of ASCII, where nearly all text lives.
inline constexpr std::array<character_class, 128> ascii_class = [] {
    std::array<character_class, 128> table{};
    for (std::size_t c = 0; c < table.size(); ++c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool space = c == ' ' || (c >= 0x09 && c <= 0x0D);
        table[c] = letter                   ? character_class::letter
                   : (c >= '0' && c <= '9') ? character_class::number
                   : space                  ? character_class::space
                                            : character_class::other;
    }
    return table;
}();

} // namespace detail

/// `\p{L}` → letter, `\p{N}` → number, `\s` → space, the rest → other.
inline character_class class_of(char32_t code) noexcept {
    return code < 0x80 ? detail::ascii_class[code] : detail::look_up_class(code);
}

/// What the step `Digits` splits off: `\p{N}`, and the numbers of Unicode 17.
inline bool is_numeric(char32_t code) noexcept {
    return class_of(code) == character_class::number || detail::in_ranges(detail::numbers_since_16, code);
}

namespace detail {

/// Joins a stretch of characters, none of them in `never_composed`, and appends it to `out`. Linear but for the sort of
/// long runs of combining marks (utf8proc's own is quadratic there, which is why it is done here).
class composer {
public:
    void operator()(std::string_view text, std::string& out) {
        points_.clear();
        for (std::size_t at = 0; at < text.size();) {
            const character c = decode_utf8(text, at);
            append_parts(c.code);
            at += c.size;
        }
        order_marks();
        const auto size = static_cast<utf8proc_ssize_t>(points_.size());
        const utf8proc_ssize_t joined = utf8proc_normalize_utf32(points_.data(), size, options());
        for (utf8proc_ssize_t i = 0; i < joined; ++i)
            append_utf8(out, static_cast<char32_t>(points_[static_cast<std::size_t>(i)]));
    }

private:
    static utf8proc_option_t options() noexcept {
        return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    }
    static int rank(utf8proc_int32_t code) noexcept { return utf8proc_get_property(code)->combining_class; }

    void append_parts(char32_t code) {
        std::array<utf8proc_int32_t, 8> parts; // the longest canonical decomposition has four
        int boundary = 0;
        const utf8proc_ssize_t count =
            utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts.data(),
                                    static_cast<utf8proc_ssize_t>(parts.size()), options(), &boundary);
        points_.insert(points_.end(), parts.begin(), parts.begin() + count);
    }

    /// Sorts each run of marks by its combining class and keeps the order of equal ones.
    void order_marks() {
        const auto is_mark = [](utf8proc_int32_t c) { return rank(c) != 0; };
        for (auto first = points_.begin();;) {
            first = std::find_if(first, points_.end(), is_mark);
            if (first == points_.end()) return;
            const auto last = std::find_if_not(first, points_.end(), is_mark);
            order_.clear(); // class, place, mark
            for (auto mark = first; mark != last; ++mark)
                order_.push_back(static_cast<std::uint64_t>(rank(*mark)) << 56 |
                                 static_cast<std::uint64_t>(mark - first) << 21 | static_cast<std::uint64_t>(*mark));
            std::sort(order_.begin(), order_.end());
            for (std::uint64_t key : order_) *first++ = static_cast<utf8proc_int32_t>(key & 0x1F'FFFF);
        }
    }

    std::vector<utf8proc_int32_t> points_;
    std::vector<std::uint64_t> order_; // of the marks of a run
};

} // namespace detail

/// NFC(text), with the tables of Unicode 9 (see above). The text must be valid UTF-8.
inline std::string compose_nfc(std::string_view text) {
    constexpr unsigned char lead_of_u0300 = 0xCC; // what lies below U+0300 neither combines nor changes
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < lead_of_u0300; }))
        return std::string(text);
    std::string out;
    out.reserve(text.size());
    detail::composer compose;
    std::size_t begin = 0; // of the stretch not written yet
    for (std::size_t at = 0; at < text.size();) {
        const character c = decode_utf8(text, at);
        if (detail::in_ranges(detail::never_composed, c.code)) {
            compose(text.substr(begin, at - begin), out);
            out.append(text, at, c.size);
            begin = at + c.size;
        }
        at += c.size;
    }
    compose(text.substr(begin), out);
    return out;
}

} // namespace bitlens

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitlens {

/// GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes are U+0100, U+0101, … in rising order (so
/// a space is U+0120).
inline constexpr std::array<char32_t, 256> byte_alphabet = [] {
    std::array<char32_t, 256> table{};
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
        const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
        table[b] = printable ? b : next++;
    }
    return table;
}();
static_assert(byte_alphabet[' '] == 0x120 && byte_alphabet[0xAD] == 0x143 && byte_alphabet['a'] == 'a');

/// The character of one byte, as UTF-8.
inline std::string in_byte_alphabet(unsigned char byte) {
    std::string text;
    append_utf8(text, byte_alphabet[byte]);
    return text;
}

/// The bytes that a token's text stands for, or nothing where it has a character outside the alphabet or is not UTF-8.
inline std::optional<std::string> bytes_of_alphabet(std::string_view text) {
    static constexpr auto byte_of = [] {
        std::array<std::int16_t, 0x144> table{};
        table.fill(-1);
        for (std::size_t b = 0; b < 256; ++b) table[byte_alphabet[b]] = static_cast<std::int16_t>(b);
        return table;
    }();
    if (!is_utf8(text)) return std::nullopt;
    std::string bytes;
    for (std::size_t at = 0; at < text.size();) {
        const character c = decode_utf8(text, at);
        if (c.code >= byte_of.size() || byte_of[c.code] < 0) return std::nullopt;
        bytes.push_back(static_cast<char>(byte_of[c.code]));
        at += c.size;
    }
    return bytes;
}

} // namespace bitlens

// ---- bitlens/text/byte_pair.hpp
/// The merge engine of byte-pair encoding: join the neighbours of the lowest rank, the leftmost first, until none can
/// be.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// One rule: `left` and `right`, side by side, become `result`. Its place in the list is its rank.
struct byte_pair_merge {
    std::uint32_t left, right, result;
};

/// The rules of one tokenizer. A word of n symbols takes O(n log n) steps, and memory linear in n.
class byte_pair_merges {
public:
    /// The symbols are 0 … symbols − 1.   Errors: format_error in the name of `who` where two rules join the same pair.
    byte_pair_merges(std::size_t symbols, std::vector<byte_pair_merge> const& ranked, std::string_view who)
        : first_(symbols + 1, 0), rules_(ranked.size()) {
        for (auto const& m : ranked) ++first_[m.left + 1];
        for (std::size_t s = 0; s < symbols; ++s) first_[s + 1] += first_[s];
        std::vector<std::uint64_t> order(ranked.size()); // right and rank, the rules of one `left` side by side
        std::vector<std::uint32_t> next = first_;
        for (std::size_t i = 0; i < ranked.size(); ++i)
            order[next[ranked[i].left]++] = std::uint64_t{ranked[i].right} << 32 | i;
        for (std::size_t s = 0; s < symbols; ++s) {
            std::sort(order.begin() + first_[s], order.begin() + first_[s + 1]);
            for (std::size_t i = first_[s]; i < first_[s + 1]; ++i) {
                const auto right = static_cast<std::uint32_t>(order[i] >> 32),
                           rank = static_cast<std::uint32_t>(order[i]);
                if (i > first_[s] && rules_[i - 1].right == right)
                    throw format_error(std::string(who) + ": merges[" + std::to_string(rules_[i - 1].rank) +
                                       "] and merges[" + std::to_string(rank) +
                                       "] join the same pair; each pair has one rank");
                rules_[i] = {right, rank, ranked[rank].result};
            }
        }
    }

    std::size_t size() const noexcept { return rules_.size(); }

    /// Memory that one thread uses again from word to word.
    class scratch;

    /// Replaces the symbols of a word by the result of merging; `word` is shorter than 2³² − 1 symbols.
    void apply(std::vector<std::uint32_t>& word, scratch& memory) const;

private:
    struct rule {
        std::uint32_t right, rank, result;
    };

    rule const* find(std::uint32_t left, std::uint32_t right) const noexcept {
        const auto begin = rules_.begin() + first_[left], end = rules_.begin() + first_[left + 1];
        const auto found =
            std::lower_bound(begin, end, right, [](rule const& r, std::uint32_t s) { return r.right < s; });
        return found != end && found->right == right ? &*found : nullptr;
    }

    std::vector<std::uint32_t> first_; // rules_[first_[s] … first_[s + 1] − 1] have s on the left, by rising `right`
    std::vector<rule> rules_;
};

class byte_pair_merges::scratch {
    friend byte_pair_merges;
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

    /// A symbol of the word, in a list; `rank` and `result` are those of merging it with the next one.
    struct node {
        std::uint32_t symbol, previous, next, rank, result;
    };

    void pair_up(byte_pair_merges const& merges, std::uint32_t at) {
        node& n = nodes_[at];
        rule const* found = n.next == none ? nullptr : merges.find(n.symbol, nodes_[n.next].symbol);
        n.rank = found ? found->rank : none;
        if (found) n.result = found->result;
    }

    static std::uint64_t candidate(std::uint32_t rank, std::uint32_t at) noexcept {
        return std::uint64_t{rank} << 32 | at;
    }

    std::vector<node> nodes_;
    std::vector<std::uint64_t> heap_; // rank in the high half, place in the low one: the smallest is the next to merge
};

inline void byte_pair_merges::apply(std::vector<std::uint32_t>& word, scratch& memory) const {
    constexpr std::uint32_t none = scratch::none;
    BITLENS_ASSERT(word.size() < none);
    auto& nodes = memory.nodes_;
    auto& heap = memory.heap_;
    const auto count = static_cast<std::uint32_t>(word.size());
    nodes.resize(count);
    heap.clear();
    for (std::uint32_t i = 0; i < count; ++i)
        nodes[i] = {word[i], i == 0 ? none : i - 1, i + 1 == count ? none : i + 1, none, 0};
    for (std::uint32_t i = 0; i < count; ++i) {
        memory.pair_up(*this, i);
        if (nodes[i].rank != none) heap.push_back(scratch::candidate(nodes[i].rank, i));
    }
    std::make_heap(heap.begin(), heap.end(), std::greater<>{});
    const auto renew = [&](std::uint32_t at) { // the pair that begins at `at` has changed
        memory.pair_up(*this, at);
        if (nodes[at].rank == none) return;
        heap.push_back(scratch::candidate(nodes[at].rank, at));
        std::push_heap(heap.begin(), heap.end(), std::greater<>{});
    };
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end(), std::greater<>{});
        const auto rank = static_cast<std::uint32_t>(heap.back() >> 32), at = static_cast<std::uint32_t>(heap.back());
        heap.pop_back();
        auto& left = nodes[at];
        if (left.rank != rank) continue; // an old candidate: one of the two has gone into another merge
        auto& right = nodes[left.next];
        left.symbol = left.result;
        left.next = right.next;
        right.rank = none;
        if (left.next != none) nodes[left.next].previous = at;
        renew(at);
        if (left.previous != none) renew(left.previous);
    }
    word.clear();
    for (std::uint32_t at = count == 0 ? none : 0; at != none; at = nodes[at].next) word.push_back(nodes[at].symbol);
}

} // namespace bitlens

// ---- bitlens/text/documents.hpp
/// Documents from a file: JSON Lines (plain or gzip), plain text, or token ids as NPY.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// One document: text, or token ids where the file holds ids.
struct document {
    std::size_t row = 0;  // among the documents of the file, from 0
    std::size_t line = 0; // of the file, from 1; 0 where documents are no lines
    std::string id;       // empty when absent
    std::string topic;    // empty when absent
    std::string text;     // UTF-8
    std::vector<std::int32_t> ids;
};

/// UTF-8 without the byte order mark that may stand before it. Errors: format_error that names `who`, a file, and what
/// kind of file it is if that can be told.
inline std::string_view checked_text(std::string_view text, std::string const& who) {
    const std::size_t valid = valid_utf8_length(text);
    if (valid != text.size()) {
        refuse_foreign(as_bytes(text), who, "text");
        throw format_error(who + ": byte " + std::to_string(valid) + " is no UTF-8");
    }
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    return text;
}

/// Reads the documents of a file one after the other.
///   NPY (by its first bytes)   each row of an array (rows, tokens) of int32 or int64 is a document, taken as it stands
///   .txt                       the whole file is one document
///   anything else, .TXT too    JSON Lines, plain or gzip (by its first bytes): an object a line with `text`, and where
///                              there are any `id` and `topic` (string, or number, which is kept as it is written; null
///                              as if absent); other keys are not judged, see parse_json_members. Blank lines are
///                              skipped, but counted as lines. A byte order mark at the start is skipped.
/// Errors: io_error as mapped_file; format_error naming file, line and key (or row and column), and for text that is no
/// UTF-8 the byte of the line. A file of another kind (Parquet, compressed but by gzip, a table) is named with what
/// makes JSON Lines of it. Where the first document of a file whose name does not promise JSON is none, the error says
/// what the file was read as.
class document_reader {
public:
    /// `most_ids`: of a row of ids no more are read, and judged.
    explicit document_reader(std::filesystem::path const& path,
                             std::size_t most_ids = std::numeric_limits<std::size_t>::max())
        : who_(path.string()), most_ids_(most_ids) {
        mapped_file file(path);
        if (as_text(file.bytes()).starts_with("\x93NUMPY"))
            source_.emplace<npy_array>(read_ids(path));
        else if (path.extension() == ".txt")
            source_.emplace<mapped_file>(std::move(file));
        else {
            if (!file.bytes().empty() && !is_gzip(file.bytes())) refuse_other_kind(file.bytes());
            source_.emplace<line_reader>(path);
        }
    }

    /// True if documents are token ids, false if they are text.
    bool holds_ids() const noexcept { return std::holds_alternative<npy_array>(source_); }
    /// Ids that every row of the file has; 0 where documents are text.
    std::size_t ids_a_row() const noexcept {
        auto const* const ids = std::get_if<npy_array>(&source_);
        return ids == nullptr ? 0 : ids->shape[1];
    }

    /// The next document; false after the last.
    bool next(document& d) {
        document found;
        found.row = row_;
        const bool is_found = std::visit([&](auto& source) { return read(source, found); }, source_);
        if (!is_found) return false;
        ++row_;
        d = std::move(found);
        return true;
    }

private:
    static npy_array read_ids(std::filesystem::path const& path) {
        npy_array ids = read_npy(path);
        // Rows of no tokens take no bytes, so a small file could have 2⁶³ of them.
        if (ids.shape.size() != 2 || (ids.shape[0] > 0 && ids.shape[1] == 0))
            throw format_error(ids.who + ": shape: (rows, tokens) is expected, " + shape_text(ids.shape) +
                               " was found");
        if (ids.type != npy_type::i32 && ids.type != npy_type::i64)
            throw format_error(ids.who + ": descr: int32 or int64 is expected, " + std::string(info(ids.type).descr) +
                               " was found");
        return ids;
    }

    static bool read(std::monostate, document const&) noexcept { return false; } // never: the constructor sets a source

    bool read(npy_array& source, document& d) {
        const std::size_t rows = source.shape[0], tokens = source.shape[1];
        if (d.row == rows) return false;
        const std::size_t count = std::min(tokens, most_ids_);
        d.ids.reserve(count);
        for (std::size_t t = 0; t < count; ++t) {
            const std::size_t place = source.fortran ? t * rows + d.row : d.row * tokens + t;
            const std::int64_t id =
                source.type == npy_type::i32 ? source.stored<std::int32_t>(place) : source.stored<std::int64_t>(place);
            if (id < 0 || id > std::numeric_limits<std::int32_t>::max())
                throw format_error(who_ + ": row " + std::to_string(d.row) + ", column " + std::to_string(t) +
                                   ": a token id from 0 to 2147483647 is expected, " + std::to_string(id) +
                                   " was found");
            d.ids.push_back(static_cast<std::int32_t>(id));
        }
        return true;
    }

    bool read(mapped_file& source, document& d) {
        if (d.row > 0) return false;
        d.text = checked_text(as_text(source.bytes()), who_);
        return true;
    }

    bool read(line_reader& source, document& d) {
        std::string_view line;
        do
            if (!source.next(line)) return false;
        while (line.find_first_not_of(" \t\r") == std::string_view::npos);
        if (d.row == 0 && line[line.find_first_not_of(" \t\r")] == '[')
            throw format_error(who_ + ": a JSON array was found; JSON Lines are expected, one object a line without "
                                      "brackets around them and commas between them");
        try {
            read_line(line, source.line_number(), d);
        } catch (format_error const& e) {
            if (d.row > 0) throw;
            refuse_other_kind(as_bytes(line)); // which was compressed
            refuse_table(line);
            if (promises_json()) throw;
            throw format_error(std::string(e.what()) +
                               "; the file was read as JSONL, one object a line: plain text needs the ending .txt");
        }
        return true;
    }

    /// The name without the ending of gzip.
    std::string_view unpacked_name() const noexcept {
        std::string_view name = who_;
        if (name.ends_with(".gz")) name.remove_suffix(3);
        return name;
    }

    /// Whether the name says that the file is JSON.
    bool promises_json() const noexcept {
        return unpacked_name().ends_with(".jsonl") || unpacked_name().ends_with(".json");
    }

    /// What makes JSON Lines of this file with pandas, whose function `read` takes it.
    std::string conversion(std::string const& read, std::string const& more = "") const {
        const auto other_name = std::filesystem::path(unpacked_name()).replace_extension(".jsonl").string();
        return "; in Python, pandas." + read + "(" + in_quotes(who_) + more + ").to_json(" + in_quotes(other_name) +
               ", orient=\"records\", lines=True) makes JSON Lines of it, where each document needs the key \"text\"";
    }

    void refuse_other_kind(std::span<const std::byte> bytes) const {
        const auto kind = foreign_kind(bytes);
        if (!kind) return;
        std::string remedy = kind->remedy.empty() ? "" : "; " + std::string(kind->remedy);
        if (kind->name == "a Parquet file") remedy = conversion("read_parquet");
        if (kind->name == "an Arrow file") remedy = conversion("read_feather");
        throw format_error(who_ + ": JSON Lines, text or NPY are expected, " + std::string(kind->name) + " was found" +
                           remedy);
    }

    /// `line`, the first, is no JSON.
    void refuse_table(std::string_view line) const {
        if (line[line.find_first_not_of(" \t\r")] == '{') return;
        const auto refuse = [&](std::string const& name, std::string const& how) {
            throw format_error(who_ + ": JSON Lines, text or NPY are expected, a table of " + name +
                               "-separated values was found" + conversion("read_csv", how + ", dtype=str"));
        };
        if (unpacked_name().ends_with(".tsv") || line.find('\t') != line.npos) refuse("tab", ", sep=\"\\t\"");
        if (unpacked_name().ends_with(".csv")) refuse("comma", "");
    }

    void read_line(std::string_view line, std::size_t number, document& d) const {
        const std::string who = who_ + ": line " + std::to_string(number);
        constexpr std::array<std::string_view, 3> keys{"text", "id", "topic"};
        const auto members = parse_json_members(line, who, keys);
        if (members[0].written.empty()) throw format_error(who + ": the key " + in_quotes(keys[0]) + " is missing");
        d.line = number;
        d.text = detail::json_value<std::string>(members[0].value, keys[0], who);
        d.id = label(members[1], keys[1], who);
        d.topic = label(members[2], keys[2], who);
    }

    /// A string as it is; a number as the line has it, which of a long one would not be left if it were a double.
    static std::string label(json_member const& member, std::string_view key, std::string const& who) {
        if (member.value.is_null()) return {};
        if (member.value.is_number()) return std::string(member.written);
        if (!member.value.is_string()) detail::refuse_json(member.value, key, who, "a string or a number");
        return member.value.get<std::string>();
    }

    std::string who_;
    std::size_t most_ids_;
    std::variant<std::monostate, npy_array, mapped_file, line_reader> source_;
    std::size_t row_ = 0;
};

/// The rows of a data set that was written as a text file, joined again by blank lines. Each line is a row and keeps
/// its end, but one of white space only is the row "". "\n\n" stands before every row but the first, whatever they
/// hold. Source: wikitext.py of Hugging Face's datasets makes these rows (`row if row.strip() else ""`), and llm-awq
/// joins them to score WikiText-2. White space is that of ASCII.
inline std::string join_lines(std::string_view text) {
    std::string joined;
    joined.reserve(text.size() * 2);
    for (std::size_t at = 0; at < text.size();) {
        const std::string_view row = text.substr(at, std::min(text.find('\n', at), text.size() - 1) + 1 - at);
        if (at > 0) joined += "\n\n";
        if (row.find_first_not_of(" \t\n\v\f\r") != row.npos) joined += row;
        at += row.size();
    }
    return joined;
}

/// Whether a model knows these ids of a row, of which none is negative.   Errors: format_error naming file, row and
/// column.
inline void check_ids(std::filesystem::path const& file, std::size_t row, std::span<const std::int32_t> ids,
                      std::size_t vocabulary) {
    for (std::size_t t = 0; t < ids.size(); ++t)
        if (static_cast<std::size_t>(ids[t]) >= vocabulary)
            throw format_error(file.string() + ": row " + std::to_string(row) + ", column " + std::to_string(t) +
                               ": a token id from 0 to " + std::to_string(vocabulary - 1) + " is expected, " +
                               std::to_string(ids[t]) + " was found");
}

} // namespace bitlens

// ---- bitlens/text/near_duplicates.hpp
/// Leaves out rows of tokens that repeat a better one.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

/// Numbers for n-grams: equal n-grams, and only those, have the same.
class ngram_numbers {
public:
    explicit ngram_numbers(std::size_t n) : n_(n) {}

    /// The set of a row's n-grams as rising numbers. A row shorter than n counts as one n-gram, the whole row.
    std::vector<std::size_t> of(std::span<const std::int32_t> row) {
        const std::size_t count = row.size() < n_ ? 1 : row.size() - n_ + 1;
        std::vector<std::size_t> set;
        set.reserve(count);
        for (std::size_t i = 0; i < count; ++i)
            set.push_back(
                numbers_.try_emplace(row.subspan(i, std::min(n_, row.size())), numbers_.size()).first->second);
        std::sort(set.begin(), set.end());
        set.erase(std::unique(set.begin(), set.end()), set.end());
        return set;
    }

    std::size_t size() const noexcept { return numbers_.size(); }

private:
    struct by_ids {
        bool operator()(std::span<const std::int32_t> a, std::span<const std::int32_t> b) const noexcept {
            return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
        }
    };
    std::size_t n_;
    std::map<std::span<const std::int32_t>, std::size_t, by_ids> numbers_; // keys borrow from the rows
};

} // namespace detail

/// Walks down a ranking and keeps a row unless it is near to one kept before: Jaccard index of the sets of token
/// n-grams above `threshold`. Stops when `limit` rows are kept. Returns their places in `ranked`, in order. Edges: a
/// row shorter than n is one n-gram, so that it is near to its equals alone; the same holds for empty rows. Errors:
/// option_error if n is 0 or the threshold is outside [0, 1].   Source: arXiv 2506.12044, the choice of D_large.
inline std::vector<std::size_t> keep_distinct(std::span<const std::span<const std::int32_t>> ranked, std::size_t limit,
                                              double threshold = 0.1, std::size_t n = 5) {
    if (n == 0) throw option_error("near duplicates: an n-gram of 0 tokens; at least 1 is expected");
    if (!(threshold >= 0 && threshold <= 1))
        throw option_error("near duplicates: a threshold of " + std::to_string(threshold) + "; 0 … 1 is expected");
    detail::ngram_numbers numbers(n);
    std::vector<std::vector<std::size_t>>
        rows_with; // [n-gram] → kept rows that have it, counted in the order of keeping
    std::vector<std::size_t> kept, kept_sizes;
    std::vector<std::size_t> shared; // [kept row] → n-grams that it shares with the row at hand
    for (std::size_t r = 0; r < ranked.size() && kept.size() < limit; ++r) {
        const std::vector<std::size_t> grams = numbers.of(ranked[r]);
        rows_with.resize(numbers.size());
        shared.assign(kept.size(), 0);
        for (std::size_t g : grams)
            for (std::size_t k : rows_with[g]) ++shared[k];
        const auto near = [&](std::size_t k) {
            const std::size_t either = grams.size() + kept_sizes[k] - shared[k];
            return static_cast<double>(shared[k]) > threshold * static_cast<double>(either);
        };
        bool distinct = true;
        for (std::size_t k = 0; k < kept.size() && distinct; ++k) distinct = !near(k);
        if (!distinct) continue;
        for (std::size_t g : grams) rows_with[g].push_back(kept.size());
        kept.push_back(r);
        kept_sizes.push_back(grams.size());
    }
    return kept;
}

} // namespace bitlens

// ---- bitlens/text/split.hpp
/// How a tokenizer cuts text into the words that are merged apart from each other: one hand-written scanner per
/// pattern.
///
/// A backtracking regular expression overflows its stack, or its patience, on ten million spaces. These scanners look
/// at each character at most a constant number of times.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// The rules that exist. A tokenizer applies a list of them, each to every piece of the one before.
enum class split_rule : std::uint8_t {
    single_digits, // every numeric character is a piece; what lies between is one, too
    gpt2,
    qwen2
};

/// A rule as files write it.
struct split_pattern {
    split_rule rule;
    std::string_view name;  // for people
    std::string_view regex; // empty for single_digits, which files name as a step `Digits`
};

inline constexpr std::array<split_pattern, 3> split_patterns{{
    {split_rule::single_digits, "single digits", ""},
    {split_rule::gpt2, "gpt2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {split_rule::qwen2, "qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
}};

inline std::string_view name(split_rule rule) noexcept { return split_patterns[static_cast<std::size_t>(rule)].name; }

namespace detail {

/// One piece of valid UTF-8 text under a rule. Every `…_end` takes the start of something and returns where it ends.
class piece_scanner {
public:
    explicit piece_scanner(std::string_view text) noexcept : text_(text) {}

    /// End of the piece that begins at `at` < text size. Greater than `at`.
    std::size_t piece_end(split_rule rule, std::size_t at) const noexcept {
        switch (rule) {
        case split_rule::single_digits:
            return digit_or_rest_end(at);
        case split_rule::gpt2:
            return gpt2_end(at);
        case split_rule::qwen2:
            return qwen2_end(at);
        }
        return text_.size();
    }

private:
    std::size_t digit_or_rest_end(std::size_t at) const noexcept {
        const character first = decode_utf8(text_, at);
        if (is_numeric(first.code)) return at + first.size;
        while (at < text_.size()) {
            const character c = decode_utf8(text_, at);
            if (is_numeric(c.code)) break;
            at += c.size;
        }
        return at;
    }

    std::size_t gpt2_end(std::size_t at) const noexcept {
        if (const std::size_t end = contraction_end(at, false); end != at) return end;
        const std::size_t body = after_one_space(at);
        if (body < text_.size()) {
            const character_class kind = class_at(body);
            if (kind != character_class::space) return run_end(kind, body);
        }
        return spaces_end(at);
    }

    std::size_t qwen2_end(std::size_t at) const noexcept {
        if (const std::size_t end = contraction_end(at, true); end != at) return end;
        const character first = decode_utf8(text_, at);
        const character_class kind = class_of(first.code);
        if (kind == character_class::letter) return run_end(kind, at);
        if (kind == character_class::number) return at + first.size;
        const std::size_t second = at + first.size; // any one character but a line end leads letters
        if (!is_line_end(text_[at]) && second < text_.size() && class_at(second) == character_class::letter)
            return run_end(character_class::letter, second);
        const std::size_t body = after_one_space(at);
        if (body < text_.size() && class_at(body) == character_class::other)
            return line_ends_end(run_end(character_class::other, body));
        const std::size_t last_line_end = text_.substr(0, run_end(character_class::space, at)).find_last_of("\r\n");
        if (last_line_end != std::string_view::npos && last_line_end >= at) return last_line_end + 1;
        return spaces_end(at);
    }

    /// 's 't 're 've 'm 'll 'd, or `at` where there is none. Without regard to case, ſ is an s, too.
    std::size_t contraction_end(std::size_t at, bool any_case) const noexcept {
        if (text_[at] != '\'') return at;
        const auto letter = [&](std::size_t i) {
            const char c = i < text_.size() ? text_[i] : '\0';
            return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        };
        const char first = letter(at + 1), second = letter(at + 2);
        if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
        if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
            return at + 3;
        if (any_case && text_.substr(at + 1).starts_with("\u017F")) return at + 3;
        return at;
    }

    /// Spaces but the last of them, which belongs to the next word, where there is a next word and more than one space.
    std::size_t spaces_end(std::size_t at) const noexcept {
        const std::size_t end = run_end(character_class::space, at);
        if (end == text_.size()) return end;
        std::size_t last = end - 1;
        while ((static_cast<unsigned char>(text_[last]) & 0xC0) == 0x80) --last;
        return last == at ? end : last;
    }

    std::size_t run_end(character_class kind, std::size_t at) const noexcept {
        while (at < text_.size()) {
            const character c = decode_utf8(text_, at);
            if (class_of(c.code) != kind) break;
            at += c.size;
        }
        return at;
    }

    std::size_t line_ends_end(std::size_t at) const noexcept {
        while (at < text_.size() && is_line_end(text_[at])) ++at;
        return at;
    }

    std::size_t after_one_space(std::size_t at) const noexcept { return text_[at] == ' ' ? at + 1 : at; }
    character_class class_at(std::size_t at) const noexcept { return class_of(decode_utf8(text_, at).code); }
    static bool is_line_end(char c) noexcept { return c == '\r' || c == '\n'; }

    std::string_view text_;
};

} // namespace detail

/// Calls on_word(std::string_view) for every word of `text`, in order: the pieces of the last rule within those of the
/// one before, and so on. No rule: the text is one word. An empty text has none. The text must be valid UTF-8.
template <class OnWord>
void for_each_word(std::span<const split_rule> rules, std::string_view text, OnWord&& on_word) {
    std::vector<std::string_view> open(rules.size() + 1); // [k]: what is left of the piece that rule k cuts
    open[0] = text;
    for (std::size_t k = 0;;) {
        if (open[k].empty()) {
            if (k == 0) return;
            --k;
        } else if (k == rules.size()) {
            on_word(std::exchange(open[k], {}));
        } else {
            const std::size_t end = detail::piece_scanner(open[k]).piece_end(rules[k], 0);
            open[k + 1] = open[k].substr(0, end);
            open[k].remove_prefix(end);
            ++k;
        }
    }
}

} // namespace bitlens

// ---- bitlens/text/tokenizer.hpp
/// Byte-level BPE tokenizers, as GGUF metadata and Hugging Face's tokenizer.json describe them.

// ---- bitlens/text/tokenizer_definition.hpp
/// What a tokenizer file says, in terms that all file formats share.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// A byte-level BPE tokenizer as its file describes it. Nothing is checked here; the class `tokenizer` does that.
struct tokenizer_definition {
    struct token {
        std::string text;
        std::int32_t id;
    };
    struct added_token {
        std::string text; // as it stands in documents
        std::int32_t id;
        bool special;    // matched only when asked for; the others always are
        bool normalized; // looked for after normalization, in its normalized form
    };
    struct merge {
        std::string left, right;
    };

    std::string who;                  // the file, for messages
    std::vector<token> vocabulary;    // texts in the byte alphabet
    std::vector<added_token> added;   // may repeat a token of the vocabulary to say what it is
    std::vector<token> unused;        // ids that stand for nothing; no text gives them
    std::vector<merge> merges;        // by falling priority; parts and results are tokens
    std::vector<split_rule> splits;   // see for_each_word
    bool composes = false;            // NFC before anything but raw added tokens
    bool prefers_whole_words = false; // a word that is a token is not merged (`ignore_merges`)
    std::string answer_to_unknown;    // the field that says what becomes of a byte without a token; empty: dropped
    std::optional<std::int32_t> bos;  // beginning of text
    bool adds_bos = false;            // whether the file wants it before every text
};

} // namespace bitlens

// ---- bitlens/text/tokenizer_gguf.hpp
/// Reads the tokenizer of a GGUF file from its metadata.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// What a value of tokenizer.ggml.pre stands for. The file holds the name alone, so normalization and the policy for
/// the beginning of text come from the model family's own tokenizer.json.
struct gguf_pre {
    std::string_view name;
    std::vector<split_rule> splits;
    bool composes, adds_bos;
};

inline gguf_pre const& find_gguf_pre(std::string_view name, std::string const& who) {
    static const std::array<gguf_pre, 2> known{{
        {"smollm", {split_rule::single_digits, split_rule::gpt2}, false, false},
        {"qwen2", {split_rule::qwen2}, true, false},
    }};
    std::string names;
    for (gguf_pre const& pre : known) {
        if (pre.name == name) return pre;
        names += (names.empty() ? "" : ", ") + std::string(pre.name);
    }
    throw format_error(who + ": key \"tokenizer.ggml.pre\": " + in_quotes(name) + " is not known; known are: " + names);
}

/// Sorts a token by the kind that the file gives it: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused.
inline void add_gguf_token(tokenizer_definition& out, std::string_view text, std::int32_t id, std::int32_t type) {
    switch (type) {
    case 1:
        out.vocabulary.push_back({std::string(text), id});
        return;
    case 2:
    case 3:
        out.added.push_back({std::string(text), id, true, false});
        return;
    case 4:
        out.added.push_back({std::string(text), id, false, false});
        return;
    case 5:
        out.unused.push_back({std::string(text), id});
        return;
    default:
        throw format_error(out.who + ": key \"tokenizer.ggml.token_type\": element " + std::to_string(id) + " is " +
                           std::to_string(type) + "; 1 … 5 are expected (6 belongs to SentencePiece)");
    }
}

} // namespace detail

/// What tokenizer.ggml.* of a GGUF file says. Control tokens are special, user-defined ones added.
/// Errors: format_error for a missing key, lists of unequal length, and what is not known here: a model but "gpt2", a
/// value of `pre` (with those that are known), a space before the text.
inline tokenizer_definition read_tokenizer(gguf_file const& file) {
    tokenizer_definition out;
    out.who = file.path().string();
    const auto model = file.required<std::string>("tokenizer.ggml.model");
    if (model != "gpt2")
        throw format_error(out.who + ": key \"tokenizer.ggml.model\": " + in_quotes(model) +
                           " is not known; known are: gpt2 (byte-level BPE)");
    detail::gguf_pre const& pre = detail::find_gguf_pre(file.required<std::string>("tokenizer.ggml.pre"), out.who);
    out.splits = pre.splits;
    out.composes = pre.composes;
    if (file.if_present<bool>("tokenizer.ggml.add_space_prefix").value_or(false))
        throw format_error(out.who + ": key \"tokenizer.ggml.add_space_prefix\": true is not supported");

    const auto tokens = file.required<std::vector<std::string_view>>("tokenizer.ggml.tokens");
    const auto types = file.required<std::vector<std::int32_t>>("tokenizer.ggml.token_type");
    if (types.size() != tokens.size())
        throw format_error(out.who + ": tokenizer.ggml.tokens has " + std::to_string(tokens.size()) +
                           " elements and tokenizer.ggml.token_type " + std::to_string(types.size()));
    for (std::size_t i = 0; i < tokens.size(); ++i)
        detail::add_gguf_token(out, tokens[i], static_cast<std::int32_t>(i),
                               types[i]); // arrays have at most 2³⁰ elements

    const auto merges = file.required<std::vector<std::string_view>>("tokenizer.ggml.merges");
    out.merges.reserve(merges.size());
    for (std::string_view merge : merges) {
        const std::size_t space = merge.find(' ');
        if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos)
            throw format_error(out.who + ": key \"tokenizer.ggml.merges\": element " +
                               std::to_string(out.merges.size()) + " is " + in_quotes(merge) +
                               "; two parts with one space between are expected");
        out.merges.push_back({std::string(merge.substr(0, space)), std::string(merge.substr(space + 1))});
    }
    out.bos = file.if_present<std::int32_t>("tokenizer.ggml.bos_token_id");
    out.adds_bos = file.if_present<bool>("tokenizer.ggml.add_bos_token").value_or(pre.adds_bos);
    return out;
}

} // namespace bitlens

// ---- bitlens/text/tokenizer_json.hpp
/// Reads Hugging Face's tokenizer.json. What is not known is refused by name, never passed over.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// One reading of one tokenizer.json.
class tokenizer_json_reader {
public:
    tokenizer_json_reader(json const& file, std::string who) : file_(file) { out_.who = std::move(who); }

    tokenizer_definition read() {
        only(file_, "",
             {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
              "decoder", "model"});
        read_model(required_object(file_, "model", out_.who));
        read_added_tokens();
        for (json const* step : steps("normalizer", "normalizers")) read_normalizer(*step);
        read_pre_tokenizer(steps("pre_tokenizer", "pretokenizers"));
        for (json const* step : steps("post_processor", "processors")) read_post_processor(*step);
        for (json const* step : steps("decoder", "decoders"))
            if (type(*step, "decoder") != "ByteLevel") refuse_type(*step, "decoder", "ByteLevel");
        return std::move(out_);
    }

private:
    std::string where(std::string_view part) const {
        return part.empty() ? out_.who : out_.who + ": " + std::string(part);
    }
    [[noreturn]] void fail(std::string_view part, std::string const& reason) const {
        throw format_error(where(part) + ": " + reason);
    }
    std::string type(json const& step, std::string_view part) const {
        return required<std::string>(step, "type", where(part));
    }
    [[noreturn]] void refuse_type(json const& step, std::string_view part, std::string const& known) const {
        fail(part, "the type " + in_quotes(type(step, part)) + " is not known; known are: " + known);
    }
    void only(json const& object, std::string_view part, std::initializer_list<std::string_view> known) const {
        if (!object.is_object()) fail(part, std::string("an object is expected, ") + object.type_name() + " was found");
        for (auto const& [key, value] : object.items())
            if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end())
                fail(part, "the key " + in_quotes(key) + " is not known");
    }
    bool flag(json const& object, std::string_view key, std::string_view part, bool otherwise) const {
        return if_present<bool>(object, key, where(part)).value_or(otherwise);
    }

    /// file_[key] as a list of steps: nothing, one step, or what its `Sequence`s list under `list_key`.
    std::vector<json const*> steps(std::string_view key, std::string_view list_key) const {
        std::vector<json const*> found, open; // `open` has the next step last
        if (json const* const first = find_object(file_, key, out_.who)) open.push_back(first);
        while (!open.empty()) {
            json const& step = *open.back();
            open.pop_back();
            if (type(step, key) != "Sequence") {
                found.push_back(&step);
                continue;
            }
            json const* const list = find_value(step, list_key, where(key));
            if (!list || !list->is_array()) fail(key, "the Sequence has no array " + in_quotes(list_key));
            for (auto inner = list->rbegin(); inner != list->rend(); ++inner) open.push_back(&*inner);
        }
        return found;
    }

    void read_model(json const& model) {
        if (const auto found = if_present<std::string>(model, "type", where("model")); found != "BPE")
            fail("model", "the type " + in_quotes(found.value_or("")) + " is not known; known are: BPE");
        only(model, "model",
             {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges", "vocab", "merges"});
        if (if_present<double>(model, "dropout", where("model")).value_or(0) != 0)
            fail("model", "dropout makes ids a matter of chance and is not supported");
        for (std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"})
            if (!if_present<std::string>(model, key, where("model")).value_or("").empty())
                fail("model", std::string(key) + " is not supported; byte-level tokenizers have none");
        if (if_present<std::string>(model, "unk_token", where("model"))) out_.answer_to_unknown = "model.unk_token";
        if (flag(model, "byte_fallback", "model", false)) out_.answer_to_unknown = "model.byte_fallback";
        out_.prefers_whole_words = flag(model, "ignore_merges", "model", false);
        json const& vocabulary = required_object(model, "vocab", where("model"));
        const std::string vocabulary_name = where("model.vocab");
        out_.vocabulary.reserve(vocabulary.size());
        for (auto const& [text, id] : vocabulary.items())
            out_.vocabulary.push_back({text, required<std::int32_t>(vocabulary, text, vocabulary_name)});
        json const* const merges = find_value(model, "merges", where("model"));
        if (!merges || !merges->is_array()) fail("model", "there is no array \"merges\"");
        out_.merges.reserve(merges->size());
        for (json const& merge : *merges) read_merge(merge);
    }

    /// "a b", or ["a", "b"].
    void read_merge(json const& merge) {
        if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
            out_.merges.push_back({merge[0].get<std::string>(), merge[1].get<std::string>()});
            return;
        }
        const std::string text = merge.is_string() ? merge.get<std::string>() : "";
        const std::size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
            fail("model", "merges[" + std::to_string(out_.merges.size()) +
                              "] is neither two parts with one space between nor an array of two strings");
        out_.merges.push_back({text.substr(0, space), text.substr(space + 1)});
    }

    void read_added_tokens() {
        json const* const list = find_value(file_, "added_tokens", out_.who);
        if (!list) return;
        if (!list->is_array()) fail("added_tokens", "an array is expected");
        for (std::size_t i = 0; i < list->size(); ++i) {
            json const& token = (*list)[i];
            const std::string part = "added_tokens[" + std::to_string(i) + "]";
            only(token, part, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
            for (std::string_view key : {"single_word", "lstrip", "rstrip"})
                if (flag(token, key, part, false)) fail(part, std::string(key) + " = true is not supported");
            const bool special = required<bool>(token, "special", where(part));
            out_.added.push_back({required<std::string>(token, "content", where(part)),
                                  required<std::int32_t>(token, "id", where(part)), special,
                                  flag(token, "normalized", part, !special)});
        }
    }

    void read_normalizer(json const& step) {
        if (type(step, "normalizer") != "NFC") refuse_type(step, "normalizer", "NFC, Sequence");
        only(step, "normalizer", {"type"});
        out_.composes = true;
    }

    /// Rules that split, then ByteLevel, which may split once more.
    void read_pre_tokenizer(std::vector<json const*> const& list) {
        constexpr std::string_view part = "pre_tokenizer";
        constexpr std::size_t most = 8; // no tokenizer has more than three
        if (list.size() > most) fail(part, std::to_string(list.size()) + " steps; at most 8 are read");
        if (list.empty()) fail(part, "there is none; one that ends with ByteLevel is expected");
        for (json const* step : list) {
            const std::string kind = type(*step, part);
            const bool last = step == list.back();
            if (kind != "Digits" && kind != "Split" && kind != "ByteLevel")
                refuse_type(*step, part, "Sequence, Digits, Split, ByteLevel");
            if ((kind == "ByteLevel") != last) fail(part, "the last step must be ByteLevel, and no other may");
            if (kind == "Digits") read_digits(*step);
            if (kind == "Split") read_split(*step);
            if (kind == "ByteLevel") read_byte_level(*step);
        }
    }

    void read_digits(json const& step) {
        only(step, "pre_tokenizer Digits", {"type", "individual_digits"});
        if (!required<bool>(step, "individual_digits", where("pre_tokenizer Digits")))
            fail("pre_tokenizer Digits", "individual_digits = false is not supported");
        out_.splits.push_back(split_rule::single_digits);
    }

    void read_split(json const& step) {
        constexpr std::string_view part = "pre_tokenizer Split";
        only(step, part, {"type", "pattern", "behavior", "invert"});
        json const& pattern = required_object(step, "pattern", where(part));
        only(pattern, "pre_tokenizer Split pattern", {"Regex"});
        const auto regex = required<std::string>(pattern, "Regex", where(part));
        const auto behavior = required<std::string>(step, "behavior", where(part));
        if (behavior != "Isolated")
            fail(part, "the behavior " + in_quotes(behavior) + " is not known; known are: Isolated");
        flag(step, "invert", part, false); // matches and gaps are pieces alike, so it changes nothing
        std::string known;
        for (split_pattern const& p : split_patterns) {
            if (p.regex.empty()) continue;
            if (p.regex == regex) {
                out_.splits.push_back(p.rule);
                return;
            }
            known += "\n  " + std::string(p.name) + ": " + std::string(p.regex);
        }
        constexpr std::size_t longest = 2000;
        fail(part, "the pattern\n  " + regex.substr(0, longest) + "\nis not known; known are:" + known);
    }

    void read_byte_level(json const& step) {
        constexpr std::string_view part = "pre_tokenizer ByteLevel";
        only(step, part, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
        if (flag(step, "add_prefix_space", part, true)) fail(part, "add_prefix_space = true is not supported");
        if (flag(step, "use_regex", part, true)) out_.splits.push_back(split_rule::gpt2);
    }

    void read_post_processor(json const& step) {
        constexpr std::string_view part = "post_processor";
        const std::string kind = type(step, part);
        if (kind == "ByteLevel") return; // it changes offsets, which do not exist here
        if (kind != "TemplateProcessing") refuse_type(step, part, "Sequence, ByteLevel, TemplateProcessing");
        json const* const single = find_value(step, "single", where(part));
        if (!single || !single->is_array()) fail(part, "there is no array \"single\"");
        for (json const& piece : *single) {
            if (find_value(piece, "Sequence", where(part))) return; // what follows the text is not ours to add
            json const& special = required_object(piece, "SpecialToken", where(part));
            add_leading_token(step, required<std::string>(special, "id", where(part)));
        }
        fail(part, "\"single\" has no Sequence");
    }

    void add_leading_token(json const& step, std::string const& name) {
        constexpr std::string_view part = "post_processor";
        json const& all = required_object(step, "special_tokens", where(part));
        json const& token = required_object(all, name, where("post_processor special_tokens"));
        const auto ids = required<std::vector<std::int32_t>>(token, "ids", where(part));
        if (ids.size() != 1 || out_.adds_bos) fail(part, "more than one token before the text is not supported");
        out_.bos = ids[0];
        out_.adds_bos = true;
    }

    json const& file_;
    tokenizer_definition out_;
};

/// Errors: io_error for a folder without tokenizer.json, saying what there is.
inline void require_tokenizer(std::filesystem::path const& folder) {
    const auto is_there = [&](const char* name) {
        std::error_code unknown; // what cannot be asked for cannot be opened either
        return std::filesystem::exists(folder / name, unknown);
    };
    if (is_there("tokenizer.json")) return;
    std::string others;
    for (const char* name : {"tokenizer.model", "vocab.json", "merges.txt", "tekken.json", "spiece.model"})
        if (is_there(name)) others += (others.empty() ? "" : ", ") + in_quotes(name);
    throw io_error(folder.string() + ": holds no tokenizer.json" +
                   (others.empty() ? "" : ", and " + others + " in its place is not read") +
                   "; AutoTokenizer of transformers writes one when it loads and saves the folder's tokenizer");
}

} // namespace detail

/// What a tokenizer.json says. `who` is its name in messages. `truncation` and `padding` are passed over: they are
/// settings of a batch. Errors: format_error for a missing key, a value of the wrong type, and everything that is not
/// known here: a normalizer but NFC, a split pattern (quoted, with those that are known), a model but BPE, an option
/// that would change ids.
inline tokenizer_definition read_tokenizer(json const& file, std::string who) {
    return detail::tokenizer_json_reader(file, std::move(who)).read();
}

} // namespace bitlens

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// An id as text, where no token says what it stands for: "<id 400>".
inline std::string id_text(std::int32_t id) { return "<id " + std::to_string(id) + ">"; }

/// Whether the ids of a text begin with the token that marks the beginning of one.
enum class bos_policy : std::uint8_t {
    automatic, ///< as the tokenizer's own file says
    always,
    never,
};

/// Text → ids and back. What it does is what its file says; the ids are those of Hugging Face `tokenizers` 0.23, byte
/// for byte (tests/data/text/compare_with_tokenizers.py). Immutable: any number of threads may use one at once.
///
/// Two things are as there, though one may not expect them. A byte that has no token is dropped (SmolLM2 has none for
/// 21 bytes that rare planes need); `description` counts them. Truncation and padding, which some files ask for, belong
/// to batches and are not done.
class tokenizer {
public:
    /// Errors: format_error where the definition contradicts itself: see the messages.
    explicit tokenizer(tokenizer_definition definition);

    /// From tokenizer.ggml.* of a model or vocabulary file.
    static tokenizer from_gguf(gguf_file const& file) { return tokenizer(read_tokenizer(file)); }

    /// From a model: a GGUF file, or a Hugging Face folder with its tokenizer.json and, for the name of the
    /// beginning-of-text token, its tokenizer_config.json. No weight is looked at.
    static tokenizer from_model(std::filesystem::path const& path) {
        if (!std::filesystem::is_directory(path)) return from_gguf(gguf_file(path));
        const auto file = path / "tokenizer.json";
        detail::require_tokenizer(path);
        const json parsed = read_json_file(file);
        return from_json(parsed, file.string(), named_bos(path / "tokenizer_config.json", parsed, file.string()));
    }

    /// From a tokenizer.json. It names a beginning-of-text token only where it puts one before every text; `bos` is the
    /// one that another file of the same folder names, if any.
    static tokenizer from_json(std::filesystem::path const& path, std::optional<std::int32_t> bos = {}) {
        const mapped_file file(path);
        return from_json(parse_json(as_text(file.bytes()), path.string()), path.string(), bos);
    }
    static tokenizer from_json(json const& file, std::string who, std::optional<std::int32_t> bos = {}) {
        tokenizer_definition definition = read_tokenizer(file, std::move(who));
        if (!definition.bos) definition.bos = bos;
        return tokenizer(std::move(definition));
    }

    /// The ids of a text, with nothing put before or after. Text that looks like a special token stays text, unless
    /// `special`: Hugging Face's `encode(text, add_special_tokens=False)`, with `encode_special_tokens` = not
    /// `special`. Time: O(n log n) in the bytes of the text, whatever they are. Errors: format_error with the offset
    /// where the text is not UTF-8, or has 4 GiB or more.
    std::vector<std::int32_t> encode(std::string_view text, bool special = false) const;

    /// encode, with the token that marks the beginning of a text before them, where the policy puts one: what a model
    /// reads when a text begins.   Errors: as encode and first_token.
    std::vector<std::int32_t> encode_with_bos(std::string_view text, bos_policy policy = bos_policy::automatic) const {
        auto ids = encode(text);
        if (const auto first = first_token(policy)) ids.insert(ids.begin(), *first);
        return ids;
    }

    /// The bytes a token stands for; they may be part of a character. An added or special token gives its text.
    /// Errors: format_error where no token has the id.
    std::string const& token_bytes(std::int32_t id) const { return find(id).bytes; }

    /// The same, or id_text where no token has the id: a model may have rows for more ids than there are tokens, and
    /// find one of those most likely.
    std::string text_of(std::int32_t id) const {
        token const* const found = look_up(id);
        return found == nullptr ? id_text(id) : found->bytes;
    }
    bool has_token(std::int32_t id) const noexcept { return look_up(id) != nullptr; }

    /// The bytes of all tokens, one after the other. Ids cut within a character give text that is not UTF-8.
    std::string decode(std::span<const std::int32_t> ids) const {
        std::string text;
        for (std::int32_t id : ids) text += token_bytes(id);
        return text;
    }

    /// One more than the highest id. Files may leave ids out.
    std::size_t vocabulary_size() const noexcept {
        return tokens_.empty() ? 0 : static_cast<std::size_t>(tokens_.back().id) + 1;
    }

    std::size_t token_count() const noexcept { return tokens_.size(); }
    /// Tokens whose id is less than that.
    std::size_t tokens_below(std::size_t id) const noexcept {
        const auto end = std::ranges::lower_bound(tokens_, id, {}, [](token const& t) { return std::size_t(t.id); });
        return static_cast<std::size_t>(end - tokens_.begin());
    }

    std::vector<std::int32_t> special_tokens() const {
        std::vector<std::int32_t> ids;
        for (token const& t : tokens_)
            if (t.kind == token_kind::special) ids.push_back(t.id);
        return ids;
    }

    /// The token that marks the beginning of a text, and whether the file wants it before every text.
    std::optional<std::int32_t> bos() const noexcept { return bos_; }
    bool adds_bos() const noexcept { return adds_bos_; }

    /// The token that ids begin with under a policy, or none.
    /// Errors: option_error for `always` where the file names no such token.
    std::optional<std::int32_t> first_token(bos_policy policy) const {
        if (policy == bos_policy::never || (policy == bos_policy::automatic && !adds_bos_)) return std::nullopt;
        if (!bos_) throw option_error(who_ + ": the tokenizer has no beginning-of-text token to put before every text");
        return bos_;
    }

    /// One line for people.
    std::string description() const;

private:
    enum class token_kind : std::uint8_t { normal, added, special, unused };
    struct token {
        std::int32_t id;
        token_kind kind;
        std::string bytes;
    };
    struct named_token { // while the tables are built
        std::string text;
        std::int32_t id;
        token_kind kind;
        bool in_vocabulary;
    };
    using symbol = std::uint32_t; // place in tokens_
    static constexpr symbol no_symbol = std::numeric_limits<symbol>::max();
    class encoder;

    static std::vector<named_token> join_by_text(tokenizer_definition& definition);
    void fill_tokens(std::vector<named_token> const& by_id);
    void fill_merges(tokenizer_definition const& definition, name_index const& symbols);
    void fill_added(std::vector<tokenizer_definition::added_token>& added);
    void check_bos() const;
    static std::optional<std::int32_t> named_bos(std::filesystem::path const& config_path, json const& tokenizer_file,
                                                 std::string const& who);
    token const* look_up(std::int32_t id) const noexcept;
    token const& find(std::int32_t id) const;
    symbol whole_word(std::string_view bytes) const;
    std::size_t bytes_without_token() const noexcept {
        return static_cast<std::size_t>(std::count(byte_symbols_.begin(), byte_symbols_.end(), no_symbol));
    }

    std::string who_;
    std::vector<token> tokens_; // by rising id
    std::array<symbol, 256> byte_symbols_{};
    byte_pair_merges merges_{0, {}, ""};
    std::vector<symbol> whole_words_; // tokens of the vocabulary by rising bytes, where whole words go first
    added_token_finder raw_added_, normalized_added_;
    std::vector<split_rule> splits_;
    bool composes_;
    std::optional<std::int32_t> bos_;
    bool adds_bos_;
};

// ---------------------------------------------------------------------------------------------------- reading a
// definition

inline tokenizer::tokenizer(tokenizer_definition definition)
    : who_(std::move(definition.who)), splits_(std::move(definition.splits)), composes_(definition.composes),
      bos_(definition.bos), adds_bos_(definition.adds_bos) {
    definition.who = who_;
    const std::vector<named_token> all = join_by_text(definition);
    fill_tokens(all);
    name_index symbols;
    symbols.reserve(all.size());
    for (symbol s = 0; s < all.size(); ++s)
        if (all[s].kind != token_kind::unused) symbols.add(all[s].text, s);
    symbols.sort();
    for (unsigned b = 0; b < 256; ++b)
        byte_symbols_[b] =
            static_cast<symbol>(symbols.find(in_byte_alphabet(static_cast<unsigned char>(b))).value_or(no_symbol));
    if (!definition.answer_to_unknown.empty() && bytes_without_token() > 0)
        throw format_error(who_ + ": " + definition.answer_to_unknown + " is set and " +
                           std::to_string(bytes_without_token()) +
                           " bytes have no token; that is supported only where all 256 have one");
    fill_merges(definition, symbols);
    fill_added(definition.added);
    check_bos();
    if (!definition.prefers_whole_words) return;
    name_index words;
    for (symbol s = 0; s < all.size(); ++s)
        if (all[s].in_vocabulary && bytes_of_alphabet(all[s].text)) words.add(tokens_[s].bytes, s);
    words.sort();
    for (auto const& word : words.entries()) whole_words_.push_back(static_cast<symbol>(word.place));
}

/// All tokens once, by rising id: one that is both in the vocabulary and added is one token, if the two agree on its
/// id.
inline std::vector<tokenizer::named_token> tokenizer::join_by_text(tokenizer_definition& definition) {
    std::vector<named_token> all;
    all.reserve(definition.vocabulary.size() + definition.added.size() + definition.unused.size());
    for (auto& t : definition.vocabulary) all.push_back({std::move(t.text), t.id, token_kind::normal, true});
    for (auto const& t : definition.added)
        all.push_back({t.text, t.id, t.special ? token_kind::special : token_kind::added, false});
    for (auto& t : definition.unused) all.push_back({std::move(t.text), t.id, token_kind::unused, false});
    name_index by_text;
    by_text.reserve(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) by_text.add(all[i].text, i);
    by_text.sort();
    std::vector<std::uint64_t> order; // id, and place in `all`
    order.reserve(all.size());
    named_token* earlier = nullptr; // the first of its text
    for (auto const& [text, place] : by_text.entries()) {
        named_token& t = all[place];
        if (!earlier || earlier->text != text) {
            if (t.id < 0)
                throw format_error(definition.who + ": token " + in_quotes(text) + " has the id " +
                                   std::to_string(t.id));
            order.push_back(static_cast<std::uint64_t>(t.id) << 32 | place);
            earlier = &t;
            continue;
        }
        if (!(earlier->in_vocabulary && !t.in_vocabulary && earlier->id == t.id))
            throw format_error(definition.who + ": token " + in_quotes(text) + " is there twice, with ids " +
                               std::to_string(earlier->id) + " and " + std::to_string(t.id));
        earlier->kind = t.kind;
    }
    std::sort(order.begin(), order.end());
    std::vector<named_token> by_id;
    by_id.reserve(order.size());
    for (std::uint64_t key : order) by_id.push_back(std::move(all[static_cast<std::uint32_t>(key)]));
    return by_id;
}

inline void tokenizer::fill_tokens(std::vector<named_token> const& by_id) {
    if (by_id.empty()) throw format_error(who_ + ": the vocabulary is empty");
    tokens_.reserve(by_id.size());
    for (named_token const& t : by_id) {
        if (!tokens_.empty() && tokens_.back().id == t.id)
            throw format_error(who_ + ": two tokens have the id " + std::to_string(t.id) + "; one is " +
                               in_quotes(t.text));
        if (t.kind != token_kind::normal) {
            tokens_.push_back({t.id, t.kind, t.text});
            continue;
        }
        std::optional<std::string> bytes = bytes_of_alphabet(t.text);
        if (!bytes)
            throw format_error(who_ + ": token " + in_quotes(t.text) + " (id " + std::to_string(t.id) +
                               ") has a character that is not in the byte alphabet");
        tokens_.push_back({t.id, t.kind, std::move(*bytes)});
    }
}

inline void tokenizer::fill_merges(tokenizer_definition const& definition, name_index const& symbols) {
    std::vector<byte_pair_merge> merges;
    merges.reserve(definition.merges.size());
    const auto known = [&](std::string_view text) {
        const auto s = symbols.find(text);
        if (!s)
            throw format_error(who_ + ": merges[" + std::to_string(merges.size()) + "]: " + in_quotes(text) +
                               " is not a token of the vocabulary");
        return static_cast<symbol>(*s);
    };
    for (auto const& m : definition.merges) merges.push_back({known(m.left), known(m.right), known(m.left + m.right)});
    merges_ = byte_pair_merges(tokens_.size(), merges, who_);
}

inline void tokenizer::fill_added(std::vector<tokenizer_definition::added_token>& added) {
    constexpr std::size_t longest = 1024; // bytes; bounds the time of looking for them
    std::vector<added_token_finder::token> raw, normalized;
    for (auto& t : added) {
        if (t.text.size() > longest)
            throw format_error(who_ + ": the added token with id " + std::to_string(t.id) + " has " +
                               std::to_string(t.text.size()) + " bytes; at most " + std::to_string(longest) +
                               " are read");
        if (!is_utf8(t.text))
            throw format_error(who_ + ": the text of the added token with id " + std::to_string(t.id) +
                               " is not UTF-8");
        if (t.text.empty()) continue; // found nowhere
        if (t.normalized && composes_) t.text = compose_nfc(t.text);
        (t.normalized ? normalized : raw).push_back({std::move(t.text), t.id, t.special});
    }
    raw_added_ = added_token_finder(std::move(raw));
    normalized_added_ = added_token_finder(std::move(normalized));
}

inline void tokenizer::check_bos() const {
    if (bos_) find(*bos_);
    if (adds_bos_ && !bos_)
        throw format_error(who_ + ": a beginning-of-text token is to be added, but none is named (bos_token_id)");
}

/// The id of the beginning-of-text token that tokenizer_config.json names, a string or an object with `content`.
inline std::optional<std::int32_t> tokenizer::named_bos(std::filesystem::path const& config_path,
                                                        json const& tokenizer_file, std::string const& who) {
    if (std::error_code unknown; !std::filesystem::exists(config_path, unknown)) return std::nullopt;
    const json parsed = read_json_file(config_path);
    json const* const named = find_value(parsed, "bos_token", config_path.string());
    if (!named) return std::nullopt;
    const std::string text = named->is_object() ? required<std::string>(*named, "content", config_path.string())
                                                : required<std::string>(parsed, "bos_token", config_path.string());
    if (json const* const added = find_value(tokenizer_file, "added_tokens", who); added && added->is_array())
        for (auto const& token : *added)
            if (if_present<std::string>(token, "content", who) == text) return required<std::int32_t>(token, "id", who);
    if (json const* const model = find_object(tokenizer_file, "model", who))
        if (json const* const vocabulary = find_object(*model, "vocab", who))
            return if_present<std::int32_t>(*vocabulary, text, who);
    return std::nullopt;
}

inline tokenizer::token const* tokenizer::look_up(std::int32_t id) const noexcept {
    const auto found = std::ranges::lower_bound(tokens_, id, {}, &token::id);
    return found == tokens_.end() || found->id != id ? nullptr : &*found;
}

inline tokenizer::token const& tokenizer::find(std::int32_t id) const {
    token const* const found = look_up(id);
    if (found == nullptr)
        throw format_error(who_ + ": no token has the id " + std::to_string(id) + "; the ids are below " +
                           std::to_string(vocabulary_size()));
    return *found;
}

inline std::string tokenizer::description() const {
    const auto count = [&](token_kind kind) {
        return std::to_string(
            std::count_if(tokens_.begin(), tokens_.end(), [&](token const& t) { return t.kind == kind; }));
    };
    std::string text = "byte-level BPE, " + std::to_string(tokens_.size()) + " tokens (" + count(token_kind::special) +
                       " special, " + count(token_kind::added) + " added, " + count(token_kind::unused) + " unused), " +
                       std::to_string(merges_.size()) + " merges; words split by ";
    for (std::size_t i = 0; i < splits_.size(); ++i) text += (i > 0 ? ", then " : "") + std::string(name(splits_[i]));
    if (splits_.empty()) text += "nothing";
    text += composes_ ? "; NFC" : "; no normalization";
    if (!whole_words_.empty()) text += "; whole words first";
    if (bytes_without_token() > 0)
        text += "; " + std::to_string(bytes_without_token()) + " bytes without a token, dropped";
    text += bos_ ? "; beginning of text " + token_bytes(*bos_) + " (" + std::to_string(*bos_) + "), " +
                       (adds_bos_ ? "added" : "not added")
                 : "; no beginning of text";
    return text;
}

// ------------------------------------------------------------------------------------------------------------ encoding

inline tokenizer::symbol tokenizer::whole_word(std::string_view bytes) const {
    const auto found = std::lower_bound(whole_words_.begin(), whole_words_.end(), bytes,
                                        [&](symbol s, std::string_view b) { return tokens_[s].bytes < b; });
    return found != whole_words_.end() && tokens_[*found].bytes == bytes ? *found : no_symbol;
}

/// One call of `encode`: the ids so far, and where in them the words met lately have theirs.
class tokenizer::encoder {
public:
    encoder(tokenizer const& t, std::size_t text_size)
        : tokenizer_(t), cache_(std::bit_ceil(std::clamp<std::size_t>(text_size / 8, 16, 8192))) {
        ids_.reserve(text_size / 4);
    }

    void run(std::string_view text, bool special) {
        const auto push = [&](std::int32_t id) { ids_.push_back(id); };
        const auto words = [&](std::string_view part) {
            for_each_word(tokenizer_.splits_, part, [&](std::string_view word) { append(word); });
        };
        const auto normalize = [&](std::string_view part) {
            if (tokenizer_.composes_) part = composed_.emplace_front(compose_nfc(part));
            tokenizer_.normalized_added_.cut(part, special, words, push);
        };
        tokenizer_.raw_added_.cut(text, special, normalize, push);
    }

    std::vector<std::int32_t> take() { return std::move(ids_); }

private:
    /// A word and its ids, which are ids_[first … first + count − 1].
    struct known_word {
        std::string_view word; // of the caller's text or of composed_
        std::size_t first = 0, count = 0;
    };

    /// The cache has one place for a word and forgets what was there, so its size and its time are bounded.
    void append(std::string_view word) {
        known_word& place = cache_[std::hash<std::string_view>{}(word) & (cache_.size() - 1)];
        if (place.word == word) {
            for (std::size_t i = 0; i < place.count; ++i) ids_.push_back(ids_[place.first + i]);
            return;
        }
        const std::size_t first = ids_.size();
        merge(word);
        place = {word, first, ids_.size() - first};
    }

    void merge(std::string_view word) {
        if (const symbol whole = tokenizer_.whole_word(word); whole != no_symbol) {
            ids_.push_back(tokenizer_.tokens_[whole].id);
            return;
        }
        symbols_.clear();
        for (char c : word) {
            const symbol s = tokenizer_.byte_symbols_[static_cast<unsigned char>(c)];
            if (s != no_symbol) symbols_.push_back(s);
        }
        tokenizer_.merges_.apply(symbols_, memory_);
        for (symbol s : symbols_) ids_.push_back(tokenizer_.tokens_[s].id);
    }

    tokenizer const& tokenizer_;
    std::vector<known_word> cache_;
    std::forward_list<std::string> composed_; // each stays where it is
    std::vector<symbol> symbols_;
    byte_pair_merges::scratch memory_;
    std::vector<std::int32_t> ids_;
};

inline std::vector<std::int32_t> tokenizer::encode(std::string_view text, bool special) const {
    if (text.size() >= std::numeric_limits<std::uint32_t>::max())
        throw format_error("text of " + std::to_string(text.size()) + " bytes: less than 4 GiB can be encoded at once");
    if (const std::size_t valid = valid_utf8_length(text); valid != text.size())
        throw format_error("text is not UTF-8 at byte " + std::to_string(valid));
    encoder call(*this, text.size());
    call.run(text, special);
    return call.take();
}

} // namespace bitlens

// ---- bitlens/kernels.hpp
/// Products of weights and activations.

// ---- bitlens/kernels/bf16_dot_micro_kernel.hpp
/// bf16_dot_micro_kernel: the innermost product by the dot products of AVX512_BF16.

// ---- bitlens/kernels/bf16_operands.hpp
/// Layouts of bf16 operands, which the kernels of dot products and of tiles share.

// ---- bitlens/kernels/micro_kernel.hpp
/// micro_kernel: the innermost product of one arithmetic as a value, around which `matmul` and `attention` lay the same
/// loops.

#include <cstddef>
#include <limits>

namespace bitlens {

/// What operands are packed into: a number of float32, or two of bf16.
struct packed_element {
    alignas(float) std::byte bytes[sizeof(float)];
};

/// Sizes of a micro-kernel, and of the loops that suit it.
struct micro_kernel_sizes {
    static constexpr std::size_t most_panel_rows = 48, most_tile_positions = 32, most_panels_at_once = 8; // of all
    static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

    std::size_t lanes;          ///< rows of w in a register: panels hold whole ones
    std::size_t panel_rows;     ///< rows of w in a panel, at most
    std::size_t tile_positions; ///< positions in a tile, at most
    std::size_t position_unit;  ///< of which a packed tile holds a multiple
    std::size_t max_depth;      ///< columns that are summed at once, at most
    std::size_t piece_columns;  ///< of which both operands hold a multiple, zeros from the last column on
    std::size_t piece_elements; ///< that those are in a row
    std::size_t panels_at_once; ///< that a tile of positions meets in turn
    /// Rows of w that meet positions for which packing these pays; before, they are read as they lie.
    std::size_t rows_worth_packing = 0;
    /// Rows of w that meet all columns before the next rows do, their sums held between blocks of columns. Any order
    /// of the loops does where products take long beside what moves memory: then these two are unbounded.
    std::size_t rows_at_once = unbounded;
    /// Positions that meet weights which are laid out, before the next positions do.
    std::size_t positions_at_hand = unbounded;

    /// Elements of a row of `depth` columns.
    constexpr std::size_t row_elements(std::size_t depth) const noexcept {
        return (depth + piece_columns - 1) / piece_columns * piece_elements;
    }
    /// Positions of y that `multiply` writes when asked for some.
    constexpr std::size_t padded_positions(std::size_t positions) const noexcept {
        return positions == tile_positions ? positions
                                           : (positions + position_unit - 1) / position_unit * position_unit;
    }
    /// Rows of a panel that holds `rows` ≥ 1 of them: those up to whole registers.
    constexpr std::size_t padded_rows(std::size_t rows) const noexcept {
        return rows == panel_rows ? rows : (rows + lanes - 1) / lanes * lanes;
    }
};

/// A tile of y: `tile_positions` positions × `panel_rows` rows of w, summed over up to `max_depth` columns in
/// registers. It owns its operands' layouts, so that another unit of the machine is another value like this one: made
/// by a type with its sizes and functions (f32_micro_kernel and its kin).
///   panel, of w: as the kernel likes, padded_rows(rows) · row_elements(depth) elements
///   positions, of x: tile by tile [column / piece_columns][position][piece_elements], zeros for positions up to a
///   multiple of position_unit. One stream of memory, where rows as they are would be as many as there are positions.
struct micro_kernel : micro_kernel_sizes {
    /// A tile of positions, packed or as it lies in x.
    struct operand {
        const void* data;
        std::size_t to_position, to_piece; // elements from one position, or piece of its columns, to the next
    };

    template <class Kernel>
    explicit constexpr micro_kernel(Kernel const&) noexcept
        : micro_kernel_sizes(Kernel::sizes), pack_weights(&Kernel::pack_weights),
          pack_transposed(&Kernel::pack_transposed), pack_positions(&Kernel::pack_positions),
          multiply(&Kernel::multiply), begin(&Kernel::begin), end(&Kernel::end) {
        static_assert(Kernel::sizes.panel_rows <= most_panel_rows &&
                      Kernel::sizes.tile_positions <= most_tile_positions &&
                      Kernel::sizes.panels_at_once <= most_panels_at_once);
    }

    /// Puts `depth` columns of `rows` ≤ panel_rows rows of weights into a panel, from its column `at` on, a multiple of
    /// piece_columns.   weights: [padded_rows(rows)][stride], room for depth rounded up to pieces and to the lanes.
    void (*pack_weights)(const float* weights, std::size_t stride, std::size_t rows, std::size_t at, std::size_t depth,
                         packed_element* panel) noexcept;
    /// The same from weights that lie transposed, [depth][stride], `rows` of them in a line.
    void (*pack_transposed)(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                            packed_element* panel) noexcept;
    /// x: a tile of positions, up to max_depth columns; packed: padded_positions(x.rows) · row_elements(x.cols).
    void (*pack_positions)(matrix_view<const float> const& x, packed_element* packed) noexcept;
    /// y (padded_positions, padded_rows) = start + x · panelᵀ, or without `start` if that is empty; y may be start.
    /// x: a tile of positions.   soon: rows of `depth` numbers, or none, that are fetched into a cache on the way.
    /// Views by reference: g++ 12 copies them through the stack, which costs up to 0.05 of the peak.
    void (*multiply)(operand const& x, std::size_t depth, const packed_element* panel, matrix_view<float> const& y,
                     matrix_view<const float> const& start, matrix_view<const float> const& soon) noexcept;
    /// Around a thread's products.
    void (*begin)() noexcept;
    void (*end)() noexcept;

    operand packed_operand(const packed_element* packed, std::size_t positions) const noexcept {
        return {packed, piece_elements, padded_positions(positions) * piece_elements};
    }
    /// Whether nothing that `multiply` reads of a tile lies beyond it, and a kernel that takes it so is wanted.
    bool can_stay_unpacked(matrix_view<const float> const& x, std::size_t rows_of_w) const noexcept {
        return rows_of_w < rows_worth_packing && x.rows % position_unit == 0 && x.cols % piece_columns == 0;
    }
    operand unpacked_operand(matrix_view<const float> const& x) const noexcept {
        return {x.data, x.stride, piece_elements};
    }
};

/// A thread multiplies while one lives.
class micro_kernel_session {
public:
    explicit micro_kernel_session(micro_kernel const& kernel) noexcept : end_(kernel.end) { kernel.begin(); }
    ~micro_kernel_session() { end_(); }
    micro_kernel_session(micro_kernel_session const&) = delete;
    micro_kernel_session& operator=(micro_kernel_session const&) = delete;

private:
    void (*end_)() noexcept;
};

} // namespace bitlens

#include <algorithm>
#include <array>

namespace bitlens {

#if defined(__x86_64__)

/// Operands come in squares of 16 rows × 32 columns (16 pairs), 1 KiB each:
///   panel, of w: [column / 32][row / 16], a square [pair][row]
///   positions, of x: tile by tile [column / 32][position], 16 pairs of each.
template <class Arch>
struct bf16_operands {
    using pair = simd::bf16_pair;

    static constexpr std::size_t lanes = 16, square_columns = 2 * simd::bf16_pairs;
    static constexpr std::size_t square_pairs = lanes * simd::bf16_pairs;

    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, packed_element* panel) noexcept {
        std::array<pair, square_pairs> square;
        const std::size_t width = padded(rows, lanes);
        for (std::size_t r = 0; r < width; r += lanes)
            for (std::size_t k = 0; k < depth; k += square_columns) {
                for (std::size_t i = 0; i < lanes; ++i)
                    simd::round_to_pairs(weights + (r + i) * stride + k, square_columns, &square[i * simd::bf16_pairs]);
                transpose(square.data(), pairs(panel) + square_at(at + k, r, width));
            }
    }
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                packed_element* panel) noexcept {
        const std::size_t width = padded(rows, lanes);
        for (std::size_t k = 0; k < padded(depth, square_columns); ++k)
            for (std::size_t r = 0; r < width; ++r) {
                const bool inside = k < depth && r < rows;
                const std::uint32_t bits = bf16(inside ? weights[k * stride + r] : 0.0f).bits;
                pair& both = pairs(panel)[square_at(k, r, width) + k % square_columns / 2 * lanes + r % lanes];
                both.bits = k % 2 == 0 ? bits : both.bits | bits << 16;
            }
    }
    /// As rows of a tile of `positions` ≥ x.rows.
    static void pack_positions(matrix_view<const float> const& x, std::size_t positions,
                               packed_element* packed) noexcept {
        pair* const rows = pairs(packed);
        for (std::size_t t = 0; t < x.rows; ++t)
            simd::round_to_pairs(x.data + t * x.stride, x.cols, rows + t * simd::bf16_pairs,
                                 positions * simd::bf16_pairs);
        for (std::size_t k = 0; k < padded(x.cols, square_columns) / 2; k += simd::bf16_pairs)
            std::fill(rows + k * positions + x.rows * simd::bf16_pairs, rows + (k + simd::bf16_pairs) * positions,
                      pair{});
    }

private:
    static pair* pairs(packed_element* packed) noexcept { return reinterpret_cast<pair*>(packed); }
    static constexpr std::size_t padded(std::size_t n, std::size_t unit) noexcept {
        return (n + unit - 1) / unit * unit;
    }
    /// Where the square of column k and row r begins in a panel of `width` rows.
    static constexpr std::size_t square_at(std::size_t k, std::size_t r, std::size_t width) noexcept {
        return k / square_columns * simd::bf16_pairs * width + r / lanes * square_pairs;
    }
    static void transpose(const pair* square, pair* out) noexcept {
        constexpr std::size_t n = simd::lanes<Arch>;
        for (std::size_t i = 0; i < lanes; i += n)
            for (std::size_t j = 0; j < simd::bf16_pairs; j += n)
                simd::transpose<Arch>(square + i * simd::bf16_pairs + j, simd::bf16_pairs, out + j * lanes + i, lanes);
    }
};

#endif

} // namespace bitlens

#include <utility>

namespace bitlens {

#if defined(__x86_64__)

/// Sums of pairs of products, in float32: 8 positions × 48 rows in registers. Chosen when the program runs, so that it
/// need not be compiled for the machine.
template <class Arch>
struct bf16_dot_micro_kernel : bf16_operands<Arch> {
    using base = bf16_operands<Arch>;
    static constexpr micro_kernel_sizes sizes{.lanes = base::lanes,
                                              .panel_rows = 48,
                                              .tile_positions = 8,
                                              .position_unit = 4,
                                              .max_depth = 512,
                                              .piece_columns = base::square_columns,
                                              .piece_elements = simd::bf16_pairs,
                                              .panels_at_once = 8};

    static void begin() noexcept {}
    static void end() noexcept {}

    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        BITLENS_ASSERT(x.rows <= sizes.tile_positions && x.cols <= sizes.max_depth);
        base::pack_positions(x, sizes.padded_positions(x.rows), packed);
    }
    static void multiply(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                         matrix_view<float> const& y, matrix_view<const float> const& start,
                         matrix_view<const float> const&) noexcept {
        constexpr std::size_t unit = sizes.position_unit, heights = sizes.tile_positions / unit;
        BITLENS_ASSERT(y.rows >= 1 && y.rows <= sizes.tile_positions && y.rows % unit == 0);
        BITLENS_ASSERT(y.cols >= 1 && y.cols <= sizes.panel_rows && y.cols % base::lanes == 0);
        static constexpr auto by_shape = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array{&multiply_shape<(I % heights + 1) * unit, I / heights + 1>...};
        }
        (std::make_index_sequence<heights * sizes.panel_rows / base::lanes>{});
        by_shape[(y.cols / base::lanes - 1) * heights + y.rows / unit - 1](
            static_cast<const typename base::pair*>(x.data), sizes.row_elements(depth),
            reinterpret_cast<const typename base::pair*>(panel), y, start);
    }

private:
    template <std::size_t Positions, std::size_t Registers>
    [[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] static void
    multiply_shape(const typename base::pair* x, std::size_t pairs, const typename base::pair* panel,
                   matrix_view<float> const& y, matrix_view<const float> const& start) noexcept {
        __m512 sum[Positions][Registers];
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Positions; ++p)
#pragma GCC unroll 3
            for (std::size_t r = 0; r < Registers; ++r) sum[p][r] = _mm512_setzero_ps();
        for (std::size_t k = 0; k < pairs;
             k += simd::bf16_pairs, x += Positions * simd::bf16_pairs, panel += Registers * base::square_pairs)
            for (std::size_t i = 0; i < simd::bf16_pairs; ++i) {
                __m512i weights[Registers];
#pragma GCC unroll 3
                for (std::size_t r = 0; r < Registers; ++r)
                    weights[r] = _mm512_loadu_si512(panel + r * base::square_pairs + i * base::lanes);
#pragma GCC unroll 8
                for (std::size_t p = 0; p < Positions; ++p) {
                    const __m512i xp = _mm512_set1_epi32(static_cast<int>(x[p * simd::bf16_pairs + i].bits));
#pragma GCC unroll 3
                    for (std::size_t r = 0; r < Registers; ++r)
                        sum[p][r] = _mm512_dpbf16_ps(sum[p][r], (__m512bh)xp, (__m512bh)weights[r]);
                }
            }
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Positions; ++p)
#pragma GCC unroll 3
            for (std::size_t r = 0; r < Registers; ++r) {
                const __m512 before = start.rows == 0
                                          ? _mm512_setzero_ps()
                                          : _mm512_loadu_ps(start.data + p * start.stride + r * base::lanes);
                _mm512_storeu_ps(y.data + p * y.stride + r * base::lanes, _mm512_add_ps(before, sum[p][r]));
            }
    }
};

#endif

} // namespace bitlens

// ---- bitlens/kernels/bf16_emulated_micro_kernel.hpp
/// bf16_emulated_micro_kernel: the innermost product of bf16 operands where no instruction is made for it.

// ---- bitlens/kernels/f32_micro_kernel.hpp
/// f32_micro_kernel: the innermost product in float32.

#include <array>
#include <cstring>
#include <utility>

namespace bitlens {

/// Weights of a panel: [column][padded_rows], a column of them fills a few registers. Positions can be read as they
/// lie, for products that are over before packing pays.
template <class Arch>
struct f32_micro_kernel {
    using vec = simd::batch<float, Arch>;

    static constexpr std::size_t lanes = vec::size, piece = 8;
    static constexpr std::size_t panel_registers = simd::has_32_registers<Arch> ? 3 : 2;
    static constexpr std::size_t panel_rows = panel_registers * lanes, panels_at_once = 3;
    static constexpr std::size_t tile_positions = simd::has_32_registers<Arch> ? 8 : 6;
    static constexpr std::size_t first_cache = 24 << 10; // bytes of it for a tile of positions
    static constexpr micro_kernel_sizes sizes{.lanes = lanes,
                                              .panel_rows = panel_rows,
                                              .tile_positions = tile_positions,
                                              // code for every number takes long to compile
                                              .position_unit = tile_positions / 2,
                                              .max_depth = first_cache / (tile_positions * sizeof(float)),
                                              .piece_columns = piece,
                                              .piece_elements = piece,
                                              .panels_at_once = panels_at_once,
                                              .rows_worth_packing = 6 * panels_at_once * panel_rows};

    static void begin() noexcept {}
    static void end() noexcept {}

    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, packed_element* panel) noexcept {
        const std::size_t width = sizes.padded_rows(rows);
        float* const columns = reinterpret_cast<float*>(panel) + at * width;
        for (std::size_t k = 0; k < sizes.row_elements(depth); k += lanes)
            for (std::size_t r = 0; r < rows; r += lanes)
                simd::transpose<Arch>(weights + r * stride + k, stride, columns + k * width + r, width);
    }
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                packed_element* panel) noexcept {
        const std::size_t width = sizes.padded_rows(rows);
        float* column = reinterpret_cast<float*>(panel);
        for (std::size_t k = 0; k < depth; ++k, weights += stride, column += width) {
            std::copy_n(weights, rows, column);
            std::fill(column + rows, column + width, 0.0f);
        }
        std::fill(column, column + (sizes.row_elements(depth) - depth) * width, 0.0f);
    }
    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        BITLENS_ASSERT(x.rows <= tile_positions && x.cols <= sizes.max_depth);
        float* const numbers = reinterpret_cast<float*>(packed);
        if (x.rows == tile_positions)
            pack_tile(x, std::integral_constant<std::size_t, tile_positions>{}, numbers);
        else
            pack_tile(x, x.rows, numbers);
    }
    static void multiply(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                         matrix_view<float> const& y, matrix_view<const float> const& start,
                         matrix_view<const float> const& soon) noexcept {
        BITLENS_ASSERT(y.rows >= 1 && y.rows <= tile_positions && y.rows % sizes.position_unit == 0);
        BITLENS_ASSERT(y.cols >= 1 && y.cols <= sizes.panel_rows && y.cols % lanes == 0);
        constexpr std::size_t heights = tile_positions / sizes.position_unit;
        static constexpr auto by_shape = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array{&multiply_shape<(I % heights + 1) * sizes.position_unit, I / heights + 1>...};
        }
        (std::make_index_sequence<heights * panel_registers>{});
        by_shape[(y.cols / lanes - 1) * heights + y.rows / sizes.position_unit - 1](x, depth, panel, y, start, soon);
    }

private:
    static constexpr std::size_t line = alignment / sizeof(float);

    /// positions: a number that the compiler knows, where it is the usual one.
    template <class Positions>
    static void pack_tile(matrix_view<const float> const& x, Positions positions, float* packed) noexcept {
        const std::size_t padding = (sizes.padded_positions(positions) - positions) * piece;
        const std::size_t whole = x.cols / piece * piece;
        const auto pack_piece = [&](std::size_t k, auto const& copy) {
            const float* from = x.data + k;
            for (std::size_t p = 0; p < positions; ++p, from += x.stride, packed += piece) copy(from);
            packed = std::fill_n(packed, padding, 0.0f);
        };
        for (std::size_t k = 0; k < whole; k += piece)
            pack_piece(k, [&](const float* from) { std::memcpy(packed, from, piece * sizeof(float)); });
        if (whole < x.cols)
            pack_piece(whole, [&](const float* from) {
                std::fill(std::copy_n(from, x.cols - whole, packed), packed + piece, 0.0f);
            });
    }
    template <std::size_t Positions, std::size_t Registers>
    static void multiply_shape(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                               matrix_view<float> const& y, matrix_view<const float> const& start,
                               matrix_view<const float> const& soon) noexcept {
        multiply_unrolled(std::make_index_sequence<Positions>{}, std::make_index_sequence<Registers>{},
                          std::make_index_sequence<piece>{}, x, sizes.row_elements(depth),
                          reinterpret_cast<const float*>(panel), y, start, soon);
    }
    template <std::size_t... P, std::size_t... R, std::size_t... K>
    static void multiply_unrolled(std::index_sequence<P...>, std::index_sequence<R...>, std::index_sequence<K...>,
                                  micro_kernel::operand const& x, std::size_t depth, const float* panel,
                                  matrix_view<float> const& y, matrix_view<const float> const& start,
                                  matrix_view<const float> const& soon) noexcept {
        constexpr std::size_t positions = sizeof...(P), rows = sizeof...(R) * lanes;
        struct registers {
            vec r[sizeof...(R)] = {(static_cast<void>(R), vec(0.0f))...};
        };
        registers sum[positions];
        // y was last touched a panel ago. Its lines are asked for a row at a time, early enough to arrive and late
        // enough not to leave the first cache again before the end.
        constexpr std::size_t notice = 2 * positions * piece;
        const std::size_t asking_from = depth > notice ? depth - notice : 0;
        const float* y_row = y.data;
        const float* pieces = static_cast<const float*>(x.data);
        const std::size_t to_position = x.to_position, to_piece = x.to_piece;
        for (std::size_t k = 0; k < depth; k += piece, pieces += to_piece, panel += piece * rows) {
            if (k >= asking_from && k < asking_from + positions * piece) {
                (__builtin_prefetch(y_row + R * lanes, 1), ...);
                y_row += y.stride;
            }
            if (k % line == 0)
                for (std::size_t t = 0; t < soon.rows; ++t) __builtin_prefetch(soon.data + t * soon.stride + k);
            const auto add_column = [&](const float* xk, const float* w) __attribute__((always_inline)) {
                const vec weights[] = {vec::load_unaligned(w + R * lanes)...};
                const auto step = [&](vec const& xkp, registers& s) __attribute__((always_inline)) {
                    ((s.r[R] = simd::fma(xkp, weights[R], s.r[R])), ...);
                };
                (step(vec(xk[P * to_position]), sum[P]), ...);
            };
            (add_column(pieces + K, panel + K * rows), ...);
        }
        const auto store = [&](vec const& v, const float* before, float* out) {
            (start.rows != 0 ? vec::load_unaligned(before) + v : v).store_unaligned(out);
        };
        const auto store_row = [&](registers const& s, const float* before, float* out) {
            (store(s.r[R], before + R * lanes, out + R * lanes), ...);
        };
        (store_row(sum[P], start.data + P * start.stride, y.data + P * y.stride), ...);
    }
};

} // namespace bitlens

namespace bitlens {

/// As f32_micro_kernel, but for its operands, which are rounded to bf16 and kept as floats: a product of two bf16
/// numbers is exact in float32.
template <class Arch>
struct bf16_emulated_micro_kernel : f32_micro_kernel<Arch> {
    using base = f32_micro_kernel<Arch>;
    static constexpr micro_kernel_sizes sizes = [] {
        micro_kernel_sizes s = base::sizes;
        s.rows_worth_packing = 0; // positions are rounded on the way
        return s;
    }();

    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, packed_element* panel) noexcept {
        base::pack_weights(weights, stride, rows, at, depth, panel);
        const std::size_t width = sizes.padded_rows(rows);
        round(panel + at * width, depth * width);
    }
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                packed_element* panel) noexcept {
        base::pack_transposed(weights, stride, rows, depth, panel);
        round(panel, depth * sizes.padded_rows(rows));
    }
    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        base::pack_positions(x, packed);
        round(packed, sizes.padded_positions(x.rows) * sizes.row_elements(x.cols));
    }

private:
    static void round(packed_element* packed, std::size_t n) noexcept {
        float* const x = reinterpret_cast<float*>(packed);
        for (std::size_t i = 0; i < n; ++i) x[i] = float{bf16(x[i])};
    }
};

} // namespace bitlens

// ---- bitlens/kernels/bf16_tile_micro_kernel.hpp
/// bf16_tile_micro_kernel: the innermost product by the tiles of AMX-BF16.

#include <atomic>

namespace bitlens {

#if defined(__x86_64__)

/// Sums of pairs of products, in float32: four tiles of 16 positions × 16 rows of w. Chosen when the program runs, so
/// that it need not be compiled for the machine.
template <class Arch>
struct bf16_tile_micro_kernel : bf16_operands<Arch> {
    using base = bf16_operands<Arch>;
    static constexpr std::size_t panel_rows = 32, first_cache = 40 << 10; // bytes of the cache for operands
    /// Tiles multiply so fast that what they read and write decides: a panel stays in the first cache and meets all
    /// positions, which come from the second, past the first; of 1536 columns they take 768 KiB of it, and the sums of
    /// rows_at_once rows 256 KiB (both as where they are unbounded, but bounded).
    static constexpr micro_kernel_sizes sizes{.lanes = base::lanes,
                                              .panel_rows = panel_rows,
                                              .tile_positions = 32,
                                              .position_unit = 16,
                                              .max_depth = first_cache / (panel_rows * sizeof(bf16)),
                                              .piece_columns = base::square_columns,
                                              .piece_elements = simd::bf16_pairs,
                                              .panels_at_once = 1,
                                              .rows_at_once = 256,
                                              .positions_at_hand = 256};

    [[gnu::target("amx-tile")]] static void begin() noexcept { _tile_loadconfig(&all_tiles); }
    [[gnu::target("amx-tile")]] static void end() noexcept { _tile_release(); }

    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        BITLENS_ASSERT(x.rows <= sizes.tile_positions && x.cols <= sizes.max_depth);
        base::pack_positions(x, sizes.padded_positions(x.rows), packed);
    }
    static void multiply(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                         matrix_view<float> const& y, matrix_view<const float> const& start,
                         matrix_view<const float> const& soon) noexcept {
        BITLENS_ASSERT(y.rows >= 1 && y.rows <= sizes.tile_positions && y.cols >= 1 && y.cols <= sizes.panel_rows);
        const auto run = y.rows > 16 ? (y.cols > 16 ? &multiply_tiles<true, true> : &multiply_tiles<true, false>)
                                     : (y.cols > 16 ? &multiply_tiles<false, true> : &multiply_tiles<false, false>);
        run(static_cast<const typename base::pair*>(x.data), sizes.row_elements(depth),
            reinterpret_cast<const typename base::pair*>(panel), y, start, soon);
    }

private:
    struct alignas(64) layout {
        std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
        std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static_assert(sizeof(layout) == 64);
    // A constant: g++ 12 believes that only the first bytes are read, and drops what is written to others.
    static constexpr layout all_tiles{};

    /// Tiles 0 … 3: sums of (positions, rows) (0, 0), (0, 1), (1, 0), (1, 1); 4, 5: positions; 6, 7: rows of w.
    template <bool TwoOfX, bool TwoOfW>
    [[gnu::target("amx-tile,amx-bf16")]] static void
    multiply_tiles(const typename base::pair* x, std::size_t pairs, const typename base::pair* panel,
                   matrix_view<float> const& y, matrix_view<const float> const& start,
                   matrix_view<const float> const& soon) noexcept {
        constexpr std::size_t row_bytes = 64;
        const std::size_t y_bytes = y.stride * sizeof(float), start_bytes = start.stride * sizeof(float);
        // Where the first cache has no room for both operands, positions that pass through it would drive panels out.
        const bool streams =
            pairs * sizeof(typename base::pair) * (sizes.panel_rows + sizes.tile_positions) > first_cache;
        // Operands are written before: loads of tiles do not tell g++ 12 that they read memory.
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (start.rows != 0) {
            _tile_loadd(0, start.data, start_bytes);
            if constexpr (TwoOfW) _tile_loadd(1, start.data + 16, start_bytes);
            if constexpr (TwoOfX) _tile_loadd(2, start.data + 16 * start.stride, start_bytes);
            if constexpr (TwoOfX && TwoOfW) _tile_loadd(3, start.data + 16 * start.stride + 16, start_bytes);
        } else {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
        }
        // y was last touched a panel ago: some of its rows are asked for at each step.
        const float* y_row = y.data;
        for (std::size_t k = 0; k < pairs; k += simd::bf16_pairs) {
            if (k < (TwoOfX ? 8 : 4) * simd::bf16_pairs)
                for (std::size_t i = 0; i < 4; ++i, y_row += y.stride) {
                    __builtin_prefetch(y_row, 1);
                    if constexpr (TwoOfW) __builtin_prefetch(y_row + 16, 1);
                }
            for (std::size_t i = 0; i < soon.rows; ++i) {
                __builtin_prefetch(soon.data + i * soon.stride + 2 * k, 0, 2);
                __builtin_prefetch(soon.data + i * soon.stride + 2 * k + 16, 0, 2);
            }
            if (streams)
                _tile_stream_loadd(4, x, row_bytes);
            else
                _tile_loadd(4, x, row_bytes);
            _tile_loadd(6, panel, row_bytes);
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (TwoOfW) {
                _tile_loadd(7, panel + base::square_pairs, row_bytes);
                _tile_dpbf16ps(1, 4, 7);
            }
            if constexpr (TwoOfX) {
                if (streams)
                    _tile_stream_loadd(5, x + base::square_pairs, row_bytes);
                else
                    _tile_loadd(5, x + base::square_pairs, row_bytes);
                _tile_dpbf16ps(2, 5, 6);
            }
            if constexpr (TwoOfX && TwoOfW) _tile_dpbf16ps(3, 5, 7);
            x += (TwoOfX ? 2 : 1) * base::square_pairs;
            panel += (TwoOfW ? 2 : 1) * base::square_pairs;
        }
        _tile_stored(0, y.data, y_bytes);
        if constexpr (TwoOfW) _tile_stored(1, y.data + 16, y_bytes);
        if constexpr (TwoOfX) _tile_stored(2, y.data + 16 * y.stride, y_bytes);
        if constexpr (TwoOfX && TwoOfW) _tile_stored(3, y.data + 16 * y.stride + 16, y_bytes);
    }
};

#endif

} // namespace bitlens

// ---- bitlens/kernels/decode.hpp
/// decode: the numbers of a weight matrix, row by row, as every kernel but matvec reads them.

namespace bitlens {

namespace detail {

/// Whether codebook[q] = codebook[0] + q, so that a conversion can stand for the lookup.
template <quant_format F>
inline constexpr bool counts_up = [] {
    for (std::size_t q = 0; q < F::codebook.size(); ++q)
        if (F::codebook[q] != F::codebook[0] + static_cast<float>(q)) return false;
    return true;
}();

/// Whether kernels look levels up, rather than converting codes to floats.
template <quant_format F, class Arch>
inline constexpr bool looks_up = !counts_up<F> || simd::table<F::codebook.size(), Arch>::is_fast;

/// The levels codebook[q] of 32 codes.
template <quant_format F, class Arch>
class level_decoder {
public:
    using vec = simd::batch<float, Arch>;
    /// The codes of a chunk, as the lookup needs them.
    static simd::codes<Arch> unpack(const std::uint8_t* chunk) noexcept {
        if constexpr (simd::table<F::codebook.size(), Arch>::is_fast)
            return simd::unpack_unmasked<F::bits, Arch>(chunk);
        else
            return simd::unpack<F::bits, Arch>(chunk);
    }
    vec operator()(simd::batch<std::int32_t, Arch> const& q) const noexcept {
        if constexpr (looks_up<F, Arch>)
            return table_[q];
        else if constexpr (F::codebook[0] == 0.0f)
            return simd::to_float(q);
        else
            return simd::to_float(q) + vec(F::codebook[0]);
    }

    auto const& levels() const noexcept requires(looks_up<F, Arch>) { return table_; }

private:
    struct nothing {
        explicit nothing(std::array<float, F::codebook.size()> const&) noexcept {}
    };
    [[no_unique_address]] std::conditional_t<looks_up<F, Arch>, simd::table<F::codebook.size(), Arch>, nothing> table_{
        F::codebook};
};

/// One row of a packed matrix. Groups are counted in chunks at run time: formats that differ in group_size share code.
struct packed_row {
    const std::uint8_t* codes;
    const float* scales;
    const std::uint8_t* zeros;
    std::size_t group_chunks;

    template <quant_format F>
    static packed_row of(packed_matrix<F> const& w, std::size_t r) noexcept {
        packed_row row{w.codes(r).data(), w.scales(r).data(), nullptr, chunks_per_group(w)};
        if constexpr (F::has_zero) row.zeros = w.zeros(r).data();
        return row;
    }
    template <quant_format F>
    static std::size_t chunks_per_group(packed_matrix<F> const& w) noexcept {
        return F::group_size == 0 ? std::max<std::size_t>(1, (w.cols() + chunk_codes - 1) / chunk_codes)
                                  : F::group_size / chunk_codes;
    }
};

/// Rows of a packed matrix: the first, and the bytes or numbers from one to the next.
struct packed_rows {
    packed_row first;
    std::size_t code_bytes, groups;

    template <quant_format F>
    static packed_rows of(packed_matrix<F> const& w, std::size_t r) noexcept {
        return {packed_row::of(w, r), w.codes(r).size(), w.groups()};
    }
    void advance() noexcept {
        first.codes += code_bytes;
        first.scales += groups;
        if (first.zeros != nullptr) first.zeros += groups;
    }
};

/// Chunks begin … of rows of a format with F's levels, whatever its groups, into out (rows, columns).
template <quant_format F, class Arch>
void decode_chunks(packed_rows rows, std::size_t begin, matrix_view<float> out) noexcept {
    using vec = simd::batch<float, Arch>;
    using table = simd::table<F::codebook.size(), Arch>;
    const level_decoder<F, Arch> level;
    const std::size_t end = begin + (out.cols + chunk_codes - 1) / chunk_codes;
    const std::size_t first_group = begin / rows.first.group_chunks;
    for (std::size_t r = 0; r < out.rows; ++r, rows.advance()) {
        packed_row const& row = rows.first;
        float* to = out.data + r * out.stride;
        for (std::size_t i = begin, group = first_group; i < end; ++group) {
            const std::size_t stop = std::min(end, (group + 1) * row.group_chunks);
            const vec scale(row.scales[group]);
            vec zero(0.0f);
            if constexpr (F::has_zero) zero = vec(static_cast<float>(row.zeros[group]));
            const auto weight = [&](vec const& l) {
                if constexpr (F::has_zero)
                    return scale * (l - zero);
                else
                    return scale * l;
            };
            const auto decode_group = [&](auto const& decode) {
                for (; i < stop; ++i, to += chunk_codes) {
                    const auto q = level.unpack(row.codes + i * code_chunk<F::bits>::bytes);
#pragma GCC unroll 8 // codes stay in registers, at -O2 too
                    for (std::size_t v = 0; v < q.size(); ++v) decode(q[v]).store_unaligned(to + v * vec::size);
                }
            };
            if constexpr (table::is_fast) { // scale and zero go into the table, once a group
                const auto weights = level.levels().map(weight);
                decode_group([&](auto const& q) { return weights[q]; });
            } else {
                decode_group([&](auto const& q) { return weight(level(q)); });
            }
        }
    }
}

/// `count` numbers as floats, then zeros up to a multiple of 32.
template <class Arch, class T>
void widen_row(const T* numbers, std::size_t count, float* out) noexcept {
    const std::size_t whole = count / simd::lanes<Arch> * simd::lanes<Arch>;
    for (std::size_t i = 0; i < whole; i += simd::lanes<Arch>) simd::widen<Arch>(numbers + i).store_unaligned(out + i);
    for (std::size_t i = whole; i < count; ++i) out[i] = static_cast<float>(numbers[i]);
    std::fill(out + count, out + (count + chunk_codes - 1) / chunk_codes * chunk_codes, 0.0f);
}

template <class Arch, class T>
void widen_rows(matrix_view<const T> numbers, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    BITLENS_ASSERT(r + out.rows <= numbers.rows && first + out.cols <= numbers.cols);
    for (std::size_t i = 0; i < out.rows; ++i)
        widen_row<Arch>(numbers.data + (r + i) * numbers.stride + first, out.cols, out.data + i * out.stride);
}

} // namespace detail

/// out(i, k) = w.value(r + i, first + k), bit for bit.   first is a multiple of 32, and out's rows have room for their
/// columns rounded up to one: what lies there beyond the last column of w is finite where the row's scales are, and
/// means nothing.
template <class Arch = simd::default_arch, quant_format F>
void decode_rows(packed_matrix<F> const& w, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    BITLENS_ASSERT(first % chunk_codes == 0 && first + out.cols <= w.cols() && r + out.rows <= w.rows());
    if (out.rows == 0 || out.cols == 0) return;
    detail::decode_chunks<detail::row_format<F>, Arch>(detail::packed_rows::of(w, r), first / chunk_codes, out);
}
template <class Arch = simd::default_arch, dense_format F>
void decode_rows(packed_matrix<F> const& w, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    detail::widen_rows<Arch>(w.view(), r, first, out);
}

/// What a product needs to know of a matrix: loops are compiled once, and only this function per format.
struct row_decoder {
    const void* matrix;
    void (*decode)(const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept;

    void operator()(std::size_t r, std::size_t first, matrix_view<float> out) const noexcept {
        decode(matrix, r, first, out);
    }
};

template <class Arch = simd::default_arch, weight_format F>
row_decoder decoder_of(packed_matrix<F> const& w) noexcept {
    return {&w, [](const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
                decode_rows<Arch>(*static_cast<packed_matrix<F> const*>(matrix), r, first, out);
            }};
}
template <class Arch = simd::default_arch, weight_format... F>
row_decoder decoder_of(mixed_matrix<F...> const& w) noexcept {
    return w.visit([](auto const& m) { return decoder_of<Arch>(m); });
}

/// `w` must outlive the decoder.
template <class Arch = simd::default_arch>
row_decoder decoder_of(matrix_view<const float> const& w) noexcept {
    return {&w, [](const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
                detail::widen_rows<Arch>(*static_cast<matrix_view<const float> const*>(matrix), r, first, out);
            }};
}

} // namespace bitlens

// ---- bitlens/kernels/matmul.hpp
/// matmul: y = x · wᵀ for many positions, whatever the format of w.
///
/// y(t, r) = Σ_b fl32( Σ_{k in block b} x(t, k) · w(r, k) ): blocks of columns that depend on the number of columns
/// alone, each summed in the order of its columns and added to the ones before (tiles of AMX go on from the sum of the
/// ones before). Hence the same bits for any number of positions, tasks and tiles.

// ---- bitlens/kernels/micro_kernels.hpp
/// micro_kernel_of: the micro-kernel of each arithmetic.

namespace bitlens {

namespace detail {
template <class Kernel>
inline constexpr micro_kernel the_micro_kernel{Kernel{}};
}

/// Runs where `a` is available.
template <class Arch = simd::default_arch>
micro_kernel const& micro_kernel_of(arithmetic a) noexcept {
    switch (a) {
    case arithmetic::f32:
        return detail::the_micro_kernel<f32_micro_kernel<Arch>>;
#if defined(__x86_64__)
    case arithmetic::bf16_dot:
        return detail::the_micro_kernel<bf16_dot_micro_kernel<Arch>>;
    case arithmetic::bf16_tile:
        return detail::the_micro_kernel<bf16_tile_micro_kernel<Arch>>;
#else
    case arithmetic::bf16_dot: // available on no such machine
    case arithmetic::bf16_tile:
#endif
    case arithmetic::bf16_emulated:
        break;
    }
    return detail::the_micro_kernel<bf16_emulated_micro_kernel<Arch>>;
}

} // namespace bitlens

#include <array>
#include <concepts>
#include <type_traits>

namespace bitlens {

namespace detail {

/// What matvec needs: x padded to whole chunks, and at most one sum per chunk.
constexpr std::size_t matvec_bytes(std::size_t cols) noexcept {
    const std::size_t chunks = (cols + chunk_codes - 1) / chunk_codes;
    return workspace::bytes_for<float>(chunks * chunk_codes) + workspace::bytes_for<float>(chunks);
}

/// Sizes of the loops around a micro-kernel, for weights of some number of columns.
struct matmul_plan {
    static constexpr std::size_t most_positions = 512; // at once: their block of x stays in the cache of a core
    static constexpr std::size_t strip = 128; // columns decoded at once: a panel's rows of them stay in the first cache

    micro_kernel const& kernel;
    std::size_t cols;
    std::size_t depth = depth_of(kernel, cols); // columns per block: all blocks alike, but for the last
    std::size_t blocks = (cols + depth - 1) / depth;
    std::size_t panel_elements = kernel.panel_rows * kernel.row_elements(depth);

    /// Whether a few rows of w meet all columns before the next rows come.
    bool keeps_sums() const noexcept { return kernel.rows_at_once != micro_kernel::unbounded; }
    /// Elements of x that a task holds packed: of all columns, if other rows of w come for them again.
    std::size_t position_elements(std::size_t positions) const noexcept {
        return (keeps_sums() ? blocks : 1) * kernel.padded_positions(std::min(positions, most_positions)) *
               kernel.row_elements(depth);
    }
    /// Sums that a task holds between blocks of columns, tile by tile: in y they would lie lines apart that exclude
    /// each other from a cache.
    std::size_t sum_floats(std::size_t rows, std::size_t positions) const noexcept {
        if (!keeps_sums() || blocks == 1) return 0;
        return kernel.padded_rows(std::min(rows, kernel.rows_at_once)) *
               kernel.padded_positions(std::min(positions, most_positions));
    }
    std::size_t strip_floats() const noexcept { return kernel.panel_rows * strip; }
    /// Panels of so many rows.
    std::size_t panels_of(std::size_t rows) const noexcept {
        return (rows + kernel.panel_rows - 1) / kernel.panel_rows;
    }
    /// Panels that a task holds.
    std::size_t panels_held(std::size_t rows) const noexcept {
        return std::min(kernel.panels_at_once, panels_of(rows));
    }
    /// Elements before the panel of a row, a multiple of a panel's, and of the columns from `col` on, a multiple of a
    /// block's, where all panels of rows × cols weights are laid out: [block of columns][panel of rows].
    std::size_t place(std::size_t rows, std::size_t row, std::size_t col) const noexcept {
        BITLENS_ASSERT(row % kernel.panel_rows == 0 && col % depth == 0);
        return (col / depth * panels_of(rows) + row / kernel.panel_rows) * panel_elements;
    }
    /// Elements of all panels.
    std::size_t elements(std::size_t rows) const noexcept { return blocks * panels_of(rows) * panel_elements; }
    /// Bytes of workspace that a product of so many positions with rows × cols weights needs.
    std::size_t bytes(std::size_t rows, std::size_t positions, unsigned tasks) const noexcept {
        return workspace::bytes_for<packed_element>(tasks * position_elements(positions)) +
               workspace::bytes_for<packed_element>(tasks * panels_held(rows) * panel_elements) +
               workspace::bytes_for<float>(tasks * sum_floats(rows, positions)) +
               workspace::bytes_for<float>(tasks * strip_floats());
    }

private:
    static std::size_t depth_of(micro_kernel const& kernel, std::size_t cols) noexcept {
        const std::size_t at_least = std::max<std::size_t>(1, (cols + kernel.max_depth - 1) / kernel.max_depth);
        const std::size_t columns = std::max<std::size_t>(1, (cols + at_least - 1) / at_least);
        return (columns + chunk_codes - 1) / chunk_codes * chunk_codes;
    }
};

/// The weights of a product, panel by panel: made for it from rows that are decoded, or all laid out before.
struct panel_source {
    row_decoder decode{}; // row 0 here is row `first` there
    std::size_t first = 0;
    packed_element const* laid_out = nullptr; // all panels of weights of so many rows, or none: then they are made
    std::size_t rows = 0;

    /// Positions that meet a block of weights before the next do. What is made for a product is made for many.
    std::size_t positions_at_once(micro_kernel const& kernel) const noexcept {
        return laid_out == nullptr ? matmul_plan::most_positions
                                   : std::min(matmul_plan::most_positions, kernel.positions_at_hand);
    }
    /// Tasks may begin at multiples of so many rows.
    std::size_t unit(micro_kernel const& kernel) const noexcept {
        return laid_out == nullptr ? kernel.lanes : kernel.panel_rows;
    }
    /// A panel that need not be made, which may then be fetched early; or none.
    packed_element const* at_hand(matmul_plan const& plan, std::size_t row, std::size_t col) const noexcept {
        return laid_out == nullptr ? nullptr : laid_out + plan.place(rows, row, col);
    }
    /// A panel of `count` rows and `depth` columns, in `own` if it is not at hand.   scratch: strip_floats of the plan.
    packed_element const* panel(matmul_plan const& plan, std::size_t row, std::size_t count, std::size_t col,
                                std::size_t depth, packed_element* own, float* scratch) const noexcept {
        if (laid_out != nullptr) return at_hand(plan, row, col);
        constexpr std::size_t strip = matmul_plan::strip;
        std::fill(scratch + count * strip, scratch + plan.kernel.padded_rows(count) * strip, 0.0f);
        for (std::size_t k = 0; k < depth; k += strip) {
            const std::size_t columns = std::min(strip, depth - k);
            decode(first + row, col + k, {scratch, count, columns, strip});
            plan.kernel.pack_weights(scratch, strip, count, k, columns, own);
        }
        return own;
    }
};

/// One tile of y; one that the kernel would write beyond takes a way round through one that is larger.   soon: numbers
/// to fetch into a cache on the way, rows of `depth`.
inline void multiply_tile(micro_kernel const& kernel, micro_kernel::operand const& x, std::size_t depth,
                          const packed_element* panel, matrix_view<float> const& y,
                          matrix_view<const float> const& start, matrix_view<const float> const& soon) noexcept {
    const std::size_t rows = kernel.padded_rows(y.cols), positions = kernel.padded_positions(y.rows);
    if (y.cols == rows && y.rows == positions) return kernel.multiply(x, depth, panel, y, start, soon);
    std::array<float, micro_kernel::most_tile_positions * micro_kernel::most_panel_rows> numbers;
    const matrix_view<float> full(numbers.data(), positions, rows);
    if (start.rows != 0) std::fill_n(full.data, positions * rows, 0.0f);
    for (std::size_t t = 0; t < start.rows; ++t) std::ranges::copy(start.row(t), full.row(t).begin());
    kernel.multiply(x, depth, panel, full, start.rows == 0 ? start : full, soon);
    for (std::size_t t = 0; t < y.rows; ++t) std::copy_n(full.row(t).begin(), y.cols, y.row(t).begin());
}

/// One of `parts` parts of a panel of so many elements, or of none, as rows of `depth` floats: what a product fetches
/// on the way.
inline matrix_view<const float> part_of(packed_element const* panel, std::size_t elements, std::size_t depth,
                                        std::size_t part, std::size_t parts) noexcept {
    if (panel == nullptr || depth == 0) return {};
    const std::size_t rows = (elements + parts * depth - 1) / (parts * depth);
    return {reinterpret_cast<const float*>(panel) + part * rows * depth, rows, depth};
}

/// What a task works in: positions and panels of weights, packed; sums; decoded weights.
struct matmul_scratch {
    packed_element *positions, *panels;
    float *sums, *strip;
};

/// A block of columns of w, of all blocks: the first begins the sums, the last leaves them in y.
struct column_block {
    std::size_t first;
    bool begins, ends;
    packed_element const* following; // the panel that comes after these, if it is at hand
};

/// The part of y = x · wᵀ of a block of columns, for as many positions as the caches hold: each tile of positions meets
/// a few panels of weights, then the next tile does, so that y is written in strips. Panels are packed when their first
/// tile of positions comes, positions (if they are not: `pack`) when the first panels do: what is packed is multiplied
/// while it is near.   Rows of w from `first_row` of weights on.
inline void multiply_block(matmul_plan const& plan, panel_source const& weights, std::size_t first_row,
                           column_block block, matrix_view<const float> x, bool pack, matrix_view<float> y,
                           matmul_scratch scratch) noexcept {
    micro_kernel const& kernel = plan.kernel;
    const std::size_t panel_rows = kernel.panel_rows, tile_positions = kernel.tile_positions;
    const std::size_t group_rows = kernel.panels_at_once * panel_rows, row_elements = kernel.row_elements(x.cols);
    const std::size_t tiles = (x.rows + tile_positions - 1) / tile_positions;
    std::array<packed_element const*, micro_kernel::most_panels_at_once> panels{}, next{}; // next: those after these
    const auto tile = [&](std::size_t n) {
        const std::size_t t = n * tile_positions;
        return x.middle_rows(t, std::min(tile_positions, x.rows - t));
    };
    for (std::size_t first = 0; first < y.cols; first += group_rows) {
        const std::size_t end = std::min(first + group_rows, y.cols);
        const bool pack_now = pack && first == 0;
        const auto soon = [&](std::size_t n, std::size_t i) -> matrix_view<const float> {
            if (!pack_now || i != 0) return part_of(next[i], panel_rows * row_elements, x.cols, n, tiles);
            return n + 1 < tiles ? tile(n + 1) : matrix_view<const float>{};
        };
        auto* packed = scratch.positions;
        for (std::size_t n = 0; n < tiles; ++n) {
            const auto here = tile(n);
            const bool as_it_lies = kernel.can_stay_unpacked(here, y.cols);
            if (pack_now && !as_it_lies) kernel.pack_positions(here, packed);
            const micro_kernel::operand positions =
                as_it_lies ? kernel.unpacked_operand(here) : kernel.packed_operand(packed, here.rows);
            const std::size_t padded = kernel.padded_positions(here.rows);
            for (std::size_t r = first, i = 0; r < end; r += panel_rows, ++i) {
                const std::size_t rows = std::min(panel_rows, end - r), after = r + group_rows;
                if (n == 0) {
                    panels[i] = weights.panel(plan, first_row + r, rows, block.first, x.cols,
                                              scratch.panels + i * plan.panel_elements, scratch.strip);
                    next[i] = after < y.cols ? weights.at_hand(plan, first_row + after, block.first)
                              : i == 0       ? block.following
                                             : nullptr;
                }
                const auto out = y.middle_rows(n * tile_positions, here.rows).middle_cols(r, rows);
                auto sums = out;
                if (plan.keeps_sums()) {
                    const std::size_t width = kernel.padded_rows(rows);
                    sums = {scratch.sums, padded, width};
                    if (!(block.begins && block.ends)) scratch.sums += padded * width;
                }
                multiply_tile(kernel, positions, x.cols, panels[i], block.ends ? out : sums,
                              block.begins ? matrix_view<float>{} : sums, soon(n, i));
            }
            packed += padded * row_elements;
        }
    }
}

/// y = x · wᵀ in one task, rows of w from `first_row` of weights: all columns for some rows of w, then for the next,
/// so that the sums of these rows stay in a cache from one block of columns to the next.
inline void multiply_piece(matmul_plan const& plan, panel_source const& weights, std::size_t first_row,
                           matrix_view<const float> x, matrix_view<float> y, matmul_scratch scratch) noexcept {
    micro_kernel const& kernel = plan.kernel;
    const micro_kernel_session session(kernel);
    const std::size_t depth = plan.depth, rows_at_once = std::min(kernel.rows_at_once, y.cols);
    const std::size_t positions_at_once = weights.positions_at_once(kernel);
    for (std::size_t t = 0; t < x.rows; t += positions_at_once) {
        const std::size_t positions = std::min(positions_at_once, x.rows - t);
        for (std::size_t r = 0; r < y.cols; r += rows_at_once) {
            const auto out = y.middle_rows(t, positions).middle_cols(r, std::min(rows_at_once, y.cols - r));
            const std::size_t after = r + out.cols;
            auto own = scratch;
            for (std::size_t k = 0; k == 0 || k < x.cols; k += depth) {
                const auto here = x.middle_rows(t, positions).middle_cols(k, std::min(depth, x.cols - k));
                const bool ends = k + depth >= x.cols;
                const auto* following = !ends            ? weights.at_hand(plan, first_row + r, k + depth)
                                        : after < y.cols ? weights.at_hand(plan, first_row + after, 0)
                                                         : nullptr;
                multiply_block(plan, weights, first_row + r, {k, k == 0, ends, following}, here, r == 0, out, own);
                if (plan.keeps_sums())
                    own.positions += kernel.padded_positions(positions) * kernel.row_elements(here.cols);
            }
        }
    }
}

/// y = x · wᵀ, rows of w from `weights`. Tasks share the longer side of y, and each packs for itself what it needs of
/// the other side's operand: that costs less than waiting for one another, and leaves it in its own cache.   Shapes: x
/// (T, cols), y (T, rows), which have been checked.   Errors: shape_error for a workspace that is too small.
inline void multiply(micro_kernel const& kernel, panel_source const& weights, matrix_view<const float> x,
                     matrix_view<float> y, workspace& scratch) {
    const matmul_plan plan{kernel, x.cols};
    scratch.require("matmul", plan.bytes(y.cols, x.rows, scratch.tasks()));
    workspace::frame frame(scratch);
    const std::size_t tasks = scratch.tasks(), packed = plan.position_elements(x.rows);
    const std::size_t held = plan.panels_held(y.cols) * plan.panel_elements, summed = plan.sum_floats(y.cols, x.rows);
    const auto positions = frame.take<packed_element>(tasks * packed);
    const auto panels = frame.take<packed_element>(tasks * held);
    const auto sums = frame.take<float>(tasks * summed);
    const auto strips = frame.take<float>(tasks * plan.strip_floats());
    const auto own = [&](std::size_t task) {
        return matmul_scratch{positions.data() + task * packed, panels.data() + task * held,
                              sums.data() + task * summed, strips.data() + task * plan.strip_floats()};
    };
    if (x.rows > y.cols)
        parallel_pieces(x.rows, tasks, kernel.tile_positions,
                        [&](std::size_t task, std::size_t begin, std::size_t end) {
                            multiply_piece(plan, weights, 0, x.middle_rows(begin, end - begin),
                                           y.middle_rows(begin, end - begin), own(task));
                        });
    else
        parallel_pieces(y.cols, tasks, weights.unit(kernel), [&](std::size_t task, std::size_t begin, std::size_t end) {
            multiply_piece(plan, weights, begin, x, y.middle_cols(begin, end - begin), own(task));
        });
}

/// The operands of y = x · wᵀ, w of so many rows and columns.   Errors: shape_error where they do not fit.
inline void check_product(const char* who, std::size_t rows, std::size_t cols, matrix_view<const float> x,
                          matrix_view<float> y) {
    check_shape(who, "x", x, x.rows, cols);
    check_shape(who, "y", y, x.rows, rows);
}

/// y = x · (rows of a matrix from `first` on)ᵀ.
template <class Arch>
void multiply_decoded(row_decoder decode, std::size_t first, matrix_view<const float> x, matrix_view<float> y,
                      workspace& scratch) {
    multiply(micro_kernel_of<Arch>(scratch.products()), {.decode = decode, .first = first}, x, y, scratch);
}

} // namespace detail

/// Bytes of workspace that every product of this folder needs with `rows` × `cols` weights of any format, in any
/// arithmetic.
template <class Arch = simd::default_arch>
std::size_t matmul_bytes(std::size_t rows, std::size_t cols, std::size_t positions, unsigned tasks) noexcept {
    std::size_t bytes = detail::matvec_bytes(cols);
    for (const arithmetic a : all_arithmetics)
        bytes = std::max(bytes, detail::matmul_plan{micro_kernel_of<Arch>(a), cols}.bytes(rows, positions, tasks));
    return bytes;
}

/// y = x · (rows first … first + count − 1 of w)ᵀ.   Shapes: w (rows, cols), x (T, cols), y (T, count).
/// Errors: shape_error for rows that w does not have, and as matmul.
template <class Arch = simd::default_arch, weight_matrix W>
void matmul_rows(W const& w, std::size_t first, std::size_t count, matrix_view<const float> x, matrix_view<float> y,
                 workspace& scratch) {
    detail::check_range("matmul_rows", "rows", first, count, w.rows());
    detail::check_product("matmul_rows", count, w.cols(), x, y);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), first, x, y, scratch);
}

/// y = x · wᵀ, in the arithmetic of the workspace.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Agrees with
/// reference::matmul of the operands as that arithmetic rounds them.   Errors: shape_error where the shapes do not fit,
/// or the workspace is too small.
template <class Arch = simd::default_arch, weight_matrix W>
void matmul(W const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    detail::check_product("matmul", w.rows(), w.cols(), x, y);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), 0, x, y, scratch);
}

/// y = x · wᵀ for plain numbers.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Errors: as above.
template <class Arch = simd::default_arch>
void matmul(matrix_view<const float> w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    detail::check_product("matmul", w.rows, w.cols, x, y);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), 0, x, y, scratch);
}

namespace detail {

/// What matmul has a product for, besides matrices in a format.
template <class W>
inline constexpr bool is_laid_out = std::convertible_to<W const&, matrix_view<const float>>;

/// What y = x · wᵀ is called with, where Read and Write are what x and y become.
template <class Read, class Write, class... Operands>
struct product_call {
    static constexpr bool has_all = false;
    static constexpr bool fits = false;
};
template <class Read, class Write, class W, class X, class Y, class Scratch>
struct product_call<Read, Write, W, X, Y, Scratch> {
    using weights = std::remove_cvref_t<W>;
    static constexpr bool has_all = true;
    static constexpr bool w = weight_matrix<weights> || is_laid_out<weights>, x = std::convertible_to<X, Read>,
                          y = std::convertible_to<Y, Write>, scratch = std::same_as<Scratch, workspace&>;
    static constexpr bool fits = w && x && y && scratch;
};

/// Does not compile, and says why.
template <class Call>
constexpr void explain_product() {
    static_assert(Call::has_all, "bitlens: a product takes four operands: w, x, y and a workspace");
    if constexpr (Call::has_all) {
        static_assert(Call::w,
                      "bitlens: w of a product is a packed_matrix<format> or a mixed_matrix<format...>, and of "
                      "matmul also a matrix of float; a format alone, or double, is none");
        static_assert(Call::x, "bitlens: x of a product holds float: matmul reads a matrix_view<const float>, matvec a "
                               "std::span<const float>");
        static_assert(Call::y, "bitlens: y of a product is float and is written: matmul writes a matrix_view<float>, "
                               "matvec a std::span<float>, of what is not const");
        static_assert(Call::scratch, "bitlens: the last operand of a product is a workspace that has a name and is not "
                                     "const");
    }
}

} // namespace detail

/// A call that no product takes.
template <class Arch = simd::default_arch, class... Operands>
    requires(!detail::product_call<matrix_view<const float>, matrix_view<float>, Operands...>::fits)
void matmul(Operands&&...) {
    detail::explain_product<detail::product_call<matrix_view<const float>, matrix_view<float>, Operands...>>();
}

} // namespace bitlens

// ---- bitlens/kernels/matvec.hpp
/// matvec: y = w · x for one position, as generation needs it. Reads the packed weights once, and never unpacks a row.

namespace bitlens {

namespace detail {

/// Pieces that tasks share: small ones, so that a core that others slow down does fewer of them.
constexpr std::size_t matvec_pieces(std::size_t bytes, std::size_t tasks) noexcept {
    constexpr std::size_t piece_bytes = 64 << 10;
    return tasks == 1 ? 1 : std::max(tasks, bytes / piece_bytes);
}

/// Rows that share the loads of x, and whose sums do not wait for one another.
inline constexpr std::size_t rows_at_once = 4;

/// Σ_g s_g · z_g · sums[g].
template <class Arch>
float zero_part(std::span<const float> scales, std::span<const std::uint8_t> zeros, const float* sums) noexcept {
    using vec = simd::batch<float, Arch>;
    vec total(0.0f);
    std::size_t g = 0;
    for (; g + vec::size <= scales.size(); g += vec::size)
        total = simd::fma(vec::load_unaligned(&scales[g]) * simd::widen<Arch>(&zeros[g]), vec::load_unaligned(sums + g),
                          total);
    float rest = 0;
    for (; g < scales.size(); ++g) rest += scales[g] * static_cast<float>(zeros[g]) * sums[g];
    return simd::sum(total) + rest;
}

/// y[i] = Σ_g s_g · Σ_{c∈g} T[q_c]·x_c for a few rows of `chunks` chunks, in a format with F's levels.
/// x: zero from the last column to the end of its chunk.
template <quant_format F, class Arch>
std::array<float, rows_at_once> dot_levels(std::array<packed_row, rows_at_once> const& rows, std::size_t chunks,
                                           const float* x) noexcept {
    using vec = simd::batch<float, Arch>;
    constexpr std::size_t chunk_bytes = code_chunk<F::bits>::bytes;
    const std::size_t next_rows = rows_at_once * chunks * chunk_bytes; // too far for the machine to foresee
    const level_decoder<F, Arch> level;
    vec total[rows_at_once];
    for (auto& t : total) t = vec(0.0f);
    for (std::size_t c = 0, group = 0; c < chunks; ++group) {
        vec sum[rows_at_once];
        for (auto& s : sum) s = vec(0.0f);
        for (const std::size_t stop = std::min(chunks, c + rows[0].group_chunks); c < stop; ++c)
#pragma GCC unroll 4 // sums in registers, at -O2 too
            for (std::size_t k = 0; k < rows_at_once; ++k) {
                const std::uint8_t* codes = rows[k].codes + c * chunk_bytes;
                __builtin_prefetch(codes + next_rows);
                const auto q = level.unpack(codes);
#pragma GCC unroll 8
                for (std::size_t v = 0; v < q.size(); ++v)
                    sum[k] = simd::fma(level(q[v]), vec::load_unaligned(x + c * chunk_codes + v * vec::size), sum[k]);
            }
#pragma GCC unroll 4
        for (std::size_t k = 0; k < rows_at_once; ++k)
            total[k] = simd::fma(vec(rows[k].scales[group]), sum[k], total[k]);
    }
    std::array<float, rows_at_once> y;
    for (std::size_t k = 0; k < rows_at_once; ++k) y[k] = simd::sum(total[k]);
    return y;
}

/// y[i] = Σ_g s_g · ( Σ_{c∈g} T[q_c]·x_c − z_g · Σ_{c∈g} x_c ) for rows first … first + count − 1.
/// sums[g] = Σ_{c∈g} x_c, read only when there are zeros.
template <quant_format F, class Arch>
void dot_rows(packed_matrix<F> const& w, std::size_t first, std::size_t count, const float* x, const float* sums,
              float* y) noexcept {
    const std::size_t chunks = (w.cols() + chunk_codes - 1) / chunk_codes;
    for (std::size_t i = 0; i < count; i += rows_at_once) {
        std::array<packed_row, rows_at_once> rows;
        for (std::size_t k = 0; k < rows_at_once; ++k) // the last row once more, rather than another loop
            rows[k] = packed_row::of(w, first + std::min(i + k, count - 1));
        const auto dots = dot_levels<row_format<F>, Arch>(rows, chunks, x);
        for (std::size_t k = 0; k < std::min(rows_at_once, count - i); ++k) {
            y[i + k] = dots[k];
            if constexpr (F::has_zero)
                y[i + k] -= zero_part<Arch>(w.scales(first + i + k), w.zeros(first + i + k), sums);
        }
    }
}

/// y[i] = Σ_c w_c · x_c.
template <dense_format F, class Arch>
void dot_rows(packed_matrix<F> const& w, std::size_t first, std::size_t count, const float* x, const float*,
              float* y) noexcept {
    using vec = simd::batch<float, Arch>;
    for (std::size_t i = 0; i < count; i += rows_at_once) {
        std::array<typename F::value_type const*, rows_at_once> numbers;
        vec total[rows_at_once];
        for (std::size_t k = 0; k < rows_at_once; ++k) {
            numbers[k] = w.row(first + std::min(i + k, count - 1)).data();
            total[k] = vec(0.0f);
        }
        std::size_t c = 0;
        for (; c + vec::size <= w.cols(); c += vec::size)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < rows_at_once; ++k)
                total[k] = simd::fma(simd::widen<Arch>(numbers[k] + c), vec::load_unaligned(x + c), total[k]);
        for (std::size_t k = 0; k < std::min(rows_at_once, count - i); ++k) {
            float rest = 0;
            for (std::size_t tail = c; tail < w.cols(); ++tail) rest += static_cast<float>(numbers[k][tail]) * x[tail];
            y[i + k] = simd::sum(total[k]) + rest;
        }
    }
}

/// x, and zeros up to the end of its last chunk.
inline std::span<float> padded_copy(std::span<const float> x, std::span<float> padded) noexcept {
    std::fill(std::copy(x.begin(), x.end(), padded.begin()), padded.end(), 0.0f);
    return padded;
}

/// sums[g] = Σ of the group's part of x, in double.   group_size 0: one group.
inline void sum_groups(std::span<const float> x, std::size_t group_size, std::span<float> sums) noexcept {
    if (group_size == 0) group_size = x.size();
    for (std::size_t g = 0; g < sums.size(); ++g) {
        double sum = 0;
        for (std::size_t c = g * group_size; c < std::min(x.size(), (g + 1) * group_size); ++c) sum += double{x[c]};
        sums[g] = static_cast<float>(sum);
    }
}

} // namespace detail

namespace detail {

/// As product_call; plain numbers have no matvec.
template <class... Operands>
struct vector_product : product_call<std::span<const float>, std::span<float>, Operands...> {};
template <class W, class... Others>
    requires(!weight_matrix<std::remove_cvref_t<W>>)
struct vector_product<W, Others...> : product_call<std::span<const float>, std::span<float>, W, Others...> {
    static constexpr bool w = false, fits = false;
};

} // namespace detail

/// y = w · x.   Shapes: w (rows, cols), x (cols), y (rows).   Agrees with reference::matvec; rounds differently from
/// matmul, for it factors the scales out. The same bits for any number of tasks.   Errors: as matmul.
template <class Arch = simd::default_arch, weight_format F>
void matvec(packed_matrix<F> const& w, std::span<const float> x, std::span<float> y, workspace& scratch) {
    detail::check_size("matvec", "x", x.size(), w.cols());
    detail::check_size("matvec", "y", y.size(), w.rows());
    scratch.require("matvec", detail::matvec_bytes(w.cols()));
    workspace::frame frame(scratch);
    const std::size_t chunks = (x.size() + chunk_codes - 1) / chunk_codes;
    const auto padded = detail::padded_copy(x, frame.take<float>(chunks * chunk_codes));
    std::span<float> sums;
    if constexpr (quant_format<F>)
        if constexpr (F::has_zero) {
            sums = frame.take<float>(w.groups());
            detail::sum_groups(x, F::group_size, sums);
        }
    parallel_pieces(w.rows(), detail::matvec_pieces(w.bytes(), scratch.tasks()), detail::rows_at_once,
                    [&](std::size_t, std::size_t begin, std::size_t end) {
                        detail::dot_rows<F, Arch>(w, begin, end - begin, padded.data(), sums.data(), y.data() + begin);
                    });
}

template <class Arch = simd::default_arch, weight_format... F>
void matvec(mixed_matrix<F...> const& w, std::span<const float> x, std::span<float> y, workspace& scratch) {
    w.visit([&](auto const& m) { matvec<Arch>(m, x, y, scratch); });
}

/// A call that no product takes.
template <class Arch = simd::default_arch, class... Operands>
    requires(!detail::vector_product<Operands...>::fits)
void matvec(Operands&&...) { detail::explain_product<detail::vector_product<Operands...>>(); }

} // namespace bitlens

// ---- bitlens/kernels/reference.hpp
/// The products of kernels/ in double, straight from their formulas: what the fast ones are compared with.

namespace bitlens::reference {

/// y = x · wᵀ.   Shapes: w (rows, cols), x (T, cols), y (T, rows). Rounded to float once, at the end.
/// Errors: shape_error where they do not fit.
template <weight_matrix W>
void matmul(W const& w, matrix_view<const float> x, matrix_view<float> y) {
    detail::check_shape("reference::matmul", "x", x, x.rows, w.cols());
    detail::check_shape("reference::matmul", "y", y, x.rows, w.rows());
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < y.cols; ++r) {
            double sum = 0;
            for (std::size_t c = 0; c < x.cols; ++c) sum += double{w.value(r, c)} * double{x(t, c)};
            y(t, r) = static_cast<float>(sum);
        }
}

/// The same for one position.   Shapes: x (cols), y (rows).
template <weight_matrix W>
void matvec(W const& w, std::span<const float> x, std::span<float> y) {
    matmul(w, {x.data(), 1, x.size()}, {y.data(), 1, y.size()});
}

} // namespace bitlens::reference

// ---- bitlens/kernels/vocabulary_loss.hpp
/// vocabulary_loss: from final hidden states to the scores of every token, without ever holding all logits.

// ---- bitlens/kernels/weight_panels.hpp
/// weight_panels: a weight matrix laid out once for many products, where `matmul` decodes and lays out anew each time.

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

/// A matrix as the micro-kernel of one arithmetic reads it, in float32 or bf16: [block of columns][panel of rows]. Its
/// memory can be packed anew with another matrix of the same shape. Products have the bits of those with the matrix
/// itself. Move-only.
template <class Arch = simd::default_arch>
class weight_panels {
public:
    /// Room for rows × cols weights, all zero.   Errors: option_error for products that are not available.
    weight_panels(std::size_t rows, std::size_t cols, arithmetic products)
        : rows_(rows), cols_(cols), products_(checked(products)), own_(bytes(rows, cols, products)),
          memory_(own_.data()) {}
    /// The same in memory of the caller, at least `bytes(…)` of it on a cache line of its own, which is zero only if it
    /// was.   Errors: also shape_error for less memory.
    weight_panels(std::size_t rows, std::size_t cols, arithmetic products, std::span<std::byte> memory)
        : rows_(rows), cols_(cols), products_(checked(products)), memory_(memory.data()) {
        const std::size_t needed = bytes(rows, cols, products);
        if (memory.size() < needed)
            throw shape_error("weight_panels: " + std::to_string(memory.size()) +
                              " bytes of memory, expected at least " + std::to_string(needed));
    }

    std::size_t rows() const noexcept { return rows_; }
    std::size_t cols() const noexcept { return cols_; }
    arithmetic products() const noexcept { return products_; }

    /// Bytes that one takes.
    static std::size_t bytes(std::size_t rows, std::size_t cols, arithmetic products) noexcept {
        return detail::matmul_plan{micro_kernel_of<Arch>(products), cols}.elements(rows) * sizeof(packed_element);
    }

    /// Takes over rows `first` … of w, as many as it has itself.   Errors: shape_error where w has not so many, or
    /// other columns.
    template <weight_matrix W>
    void pack(W const& w, std::size_t first = 0, unsigned tasks = 1) {
        detail::check_range("weight_panels", "rows", first, rows_, w.rows());
        detail::check_shape("weight_panels", "w", w.rows(), w.cols(), w.rows(), cols_);
        pack(decoder_of<Arch>(w), first, tasks);
    }

    /// All of them, as a product takes them.
    detail::panel_source source() const noexcept { return {.laid_out = panels(), .rows = rows_}; }

private:
    packed_element* panels() const noexcept { return reinterpret_cast<packed_element*>(memory_); }

    void pack(row_decoder decode, std::size_t first, unsigned tasks) {
        const detail::matmul_plan plan{micro_kernel_of<Arch>(products_), cols_};
        const detail::panel_source made{.decode = decode, .first = first};
        const std::size_t height = plan.kernel.panel_rows;
        parallel_pieces(rows_, tasks, height, [&](std::size_t, std::size_t begin, std::size_t end) {
            alignas(alignment) std::array<float, micro_kernel::most_panel_rows * detail::matmul_plan::strip> strip;
            for (std::size_t k = 0; k < cols_; k += plan.depth)
                for (std::size_t r = begin; r < end; r += height)
                    made.panel(plan, r, std::min(height, end - r), k, std::min(plan.depth, cols_ - k),
                               panels() + plan.place(rows_, r, k), strip.data());
        });
    }

    std::size_t rows_, cols_;
    arithmetic products_;
    aligned_array<std::byte> own_; // empty in memory of the caller
    std::byte* memory_;
};

template <class W>
inline constexpr bool is_weight_panels = false;
template <class Arch>
inline constexpr bool is_weight_panels<weight_panels<Arch>> = true;
template <class Arch>
inline constexpr bool detail::is_laid_out<weight_panels<Arch>> = true;

/// What matmul takes: weights in a format, or laid out.
template <class W>
concept product_weights = weight_matrix<W> || is_weight_panels<W>;

/// y = x · wᵀ, in the arithmetic of the workspace, which is that of w.   Shapes: w (rows, cols), x (T, cols), y (T,
/// rows).   Errors: as matmul; option_error for panels of another arithmetic.
template <class Arch>
void matmul(weight_panels<Arch> const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    detail::check_product("matmul", w.rows(), w.cols(), x, y);
    if (scratch.products() != w.products())
        throw option_error("matmul: the weights are laid out for " + std::string(name(w.products())) +
                           ", the workspace is for " + std::string(name(scratch.products())));
    detail::multiply(micro_kernel_of<Arch>(w.products()), w.source(), x, y, scratch);
}

} // namespace bitlens

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace bitlens {

/// Where the scores of one variant go; every span has one place per position (T), or none where nobody asks; `kl` of
/// the reference is not written. p is softmax(logits of the variant), p₀ that of the reference (variant 0).
struct token_scores {
    std::span<double> nll;       ///< −log p(target), nats
    std::span<double> kl;        ///< KL(p₀‖p) = Σ_i p₀(i)·log(p₀(i)/p(i)), nats
    std::span<std::int32_t> top; ///< most likely id; of equal ones the lowest
    std::span<float> margin;     ///< logit of the reference's `top` minus the best other logit, both of this variant
    std::span<double> entropy{}; ///< −Σ_i p(i)·log p(i), nats
};

namespace detail {

/// Rows of the head whose logits exist at the same time, and positions that do: 2 MiB per matrix of logits.
inline constexpr std::size_t vocabulary_tile = 1024;
inline constexpr std::size_t loss_positions = 512;

/// Rows of logits are padded to whole registers of any instruction set, with a logit whose likelihood is 0.
inline constexpr std::size_t row_unit = 16;
inline constexpr float no_logit = std::numeric_limits<float>::lowest();
constexpr std::size_t padded_row(std::size_t n) noexcept { return (n + row_unit - 1) / row_unit * row_unit; }

/// Σ term(i) over i = 0, lanes, 2·lanes … < n, registers of floats: float within eight registers, double from there on.
template <class Arch, class Term>
double sum_of_row(std::size_t n, Term const& term) noexcept {
    using vec = simd::batch<float, Arch>;
    double sum = 0;
    for (std::size_t i = 0; i < n;) {
        vec part(0.0f);
        for (const std::size_t end = std::min(n, i + 8 * vec::size); i < end; i += vec::size) part = part + term(i);
        sum += double{simd::sum(part)};
    }
    return sum;
}

/// The largest of n numbers, n a multiple of row_unit.
template <class Arch>
float largest_of_row(const float* x, std::size_t n) noexcept {
    using vec = simd::batch<float, Arch>;
    vec largest(no_logit);
    for (std::size_t i = 0; i < n; i += vec::size) largest = simd::max(largest, vec::load_unaligned(x + i));
    return simd::fold(largest, [](float a, float b) { return std::max(a, b); });
}

/// What is known of one position of one variant after some tiles of the vocabulary. Sums are relative to `largest`.
struct running_loss {
    double sum = 0;      // Σ_i exp(l_i − largest)
    double weighted = 0; // Σ_i exp(l_i − largest) · (l_i − largest)
    double dot = 0;      // Σ_i exp(l⁰_i − the reference's largest) · (l⁰_i − l_i)
    float largest = -std::numeric_limits<float>::infinity();
    float target = 0;                 // logit of the target
    float top_of_reference = largest; // logit of what the reference finds most likely so far
    float best_other = largest;       // largest of all others
    std::int32_t top = 0;

    double log_sum() const noexcept { return double{largest} + std::log(sum); }
    double entropy() const noexcept { return std::log(sum) - weighted / sum; }
};

/// One position of one variant in the current tile of `count` ids, from id `first` on.
struct loss_tile {
    std::size_t first, count, padded_count;
    float* logits;      // padded
    float* exps;        // exp(logits − largest), written here
    double rescale = 1; // what the sums were multiplied with, as `largest` rose; written here
};

/// Takes a tile into the sums. For the reference itself `reference` is null.
template <class Arch>
void add_tile(running_loss& loss, loss_tile& tile, std::int32_t target, loss_tile const* reference,
              std::int32_t top_of_reference) noexcept {
    using vec = simd::batch<float, Arch>;
    std::fill(tile.logits + tile.count, tile.logits + tile.padded_count, no_logit);
    const float largest = largest_of_row<Arch>(tile.logits, tile.padded_count);
    tile.rescale = 1;
    if (largest > loss.largest) {
        const double risen = double{loss.largest} - double{largest};
        tile.rescale = std::exp(risen); // 0 in the first tile
        if (loss.sum > 0) loss.weighted = tile.rescale * (loss.weighted + loss.sum * risen);
        loss.largest = largest;
        const auto place =
            static_cast<std::size_t>(std::find(tile.logits, tile.logits + tile.count, largest) - tile.logits);
        if (place < tile.count) loss.top = static_cast<std::int32_t>(tile.first + place); // else all are NaN
    }
    const vec shift(loss.largest);
    loss.sum = loss.sum * tile.rescale + sum_of_row<Arch>(tile.padded_count, [&](std::size_t i) {
                   const vec e = simd::exp(vec::load_unaligned(tile.logits + i) - shift);
                   e.store_unaligned(tile.exps + i);
                   return e;
               });
    const vec least(no_logit); // an infinite logit has the likelihood 0, and 0·∞ is no number
    loss.weighted += sum_of_row<Arch>(tile.padded_count, [&](std::size_t i) {
        return vec::load_unaligned(tile.exps + i) * simd::max(vec::load_unaligned(tile.logits + i) - shift, least);
    });
    if (reference != nullptr)
        loss.dot = loss.dot * reference->rescale + sum_of_row<Arch>(tile.padded_count, [&](std::size_t i) {
                       const vec p = vec::load_unaligned(reference->exps + i);
                       return p * (vec::load_unaligned(reference->logits + i) - vec::load_unaligned(tile.logits + i));
                   });

    const auto place_of = [&](std::int32_t id) {
        return static_cast<std::size_t>(id) - tile.first;
    }; // ≥ count: outside
    if (place_of(target) < tile.count) loss.target = tile.logits[place_of(target)];
    const std::size_t top = place_of(reference != nullptr ? top_of_reference : loss.top);
    if (top < tile.count) { // new in this tile: what was on top before is another one now
        loss.best_other = std::max(loss.best_other, loss.top_of_reference);
        for (std::size_t i = 0; i < tile.count; ++i)
            if (i != top) loss.best_other = std::max(loss.best_other, tile.logits[i]);
        loss.top_of_reference = tile.logits[top];
    } else {
        loss.best_other = std::max(loss.best_other, largest);
    }
}

/// Errors: those of vocabulary_loss, but for the workspace.
inline void check_loss_operands(std::size_t vocabulary, std::size_t width,
                                std::span<const matrix_view<const float>> hidden, std::span<const std::int32_t> targets,
                                std::span<const token_scores> out) {
    constexpr const char* who = "vocabulary_loss";
    if (vocabulary == 0) throw shape_error("vocabulary_loss: the head has no rows, expected at least 1");
    check_size(who, "out", out.size(), hidden.size());
    for (auto const& states : hidden) check_shape(who, "hidden", states, targets.size(), width);
    for (std::size_t v = 0; v < out.size(); ++v) {
        check_size(who, "nll", out[v].nll.size(), targets.size());
        if (v != 0) check_size(who, "kl", out[v].kl.size(), targets.size());
        check_size(who, "top", out[v].top.size(), targets.size());
        check_size(who, "margin", out[v].margin.size(), targets.size());
    }
    check_token_ids(targets, vocabulary);
}

} // namespace detail

/// Bytes of workspace that vocabulary_loss needs.
template <class Arch = simd::default_arch>
std::size_t vocabulary_loss_bytes(std::size_t vocabulary, std::size_t width, std::size_t positions,
                                  std::size_t variants, unsigned tasks) noexcept {
    const std::size_t tile = detail::padded_row(std::min(vocabulary, detail::vocabulary_tile));
    const std::size_t block = std::min(positions, detail::loss_positions);
    std::size_t panels = 0;
    for (const arithmetic a : all_arithmetics) panels = std::max(panels, weight_panels<Arch>::bytes(tile, width, a));
    return 3 * workspace::bytes_for<float>(block * tile) + workspace::bytes_for<float>(tasks * tile) +
           workspace::bytes_for<std::byte>(panels) + workspace::bytes_for<detail::running_loss>(variants * block) +
           workspace::bytes_for<detail::loss_tile>(block) + matmul_bytes<Arch>(tile, width, block, tasks);
}

/// Scores of T tokens under several variants of one model that share the head: logits l = hidden · headᵀ, one tile of
/// the vocabulary at a time, log Σ exp and KL by rescaling sums as the largest logit rises (Milakov & Gimelshein 2018).
/// Shapes: head (vocabulary, d), hidden[v] (T, d) after the final norm; v = 0 is the reference. targets (T), out[v].
/// Errors: shape_error where they do not fit, for a target outside the vocabulary, an empty vocabulary, and a workspace
/// that is too small.
/// A variant's bits depend on its own states and the reference's alone: not on tasks, nor on the other variants; states
/// equal to the reference's have KL 0 exactly. Else KL is right to about 1e-6·(1 + largest |l⁰ − l|), so it may come
/// out below 0 by that. A NaN logit makes its position's scores NaN. margin is infinite when the vocabulary has one
/// word. Agrees with reference::vocabulary_loss.
template <class Arch = simd::default_arch, weight_matrix W>
void vocabulary_loss(W const& head, std::span<const matrix_view<const float>> hidden,
                     std::span<const std::int32_t> targets, std::span<const token_scores> out, workspace& scratch) {
    detail::check_loss_operands(head.rows(), head.cols(), hidden, targets, out);
    scratch.require("vocabulary_loss", vocabulary_loss_bytes<Arch>(head.rows(), head.cols(), targets.size(),
                                                                   hidden.size(), scratch.tasks()));
    const std::size_t vocabulary = head.rows(),
                      tile = detail::padded_row(std::min(vocabulary, detail::vocabulary_tile));
    const std::size_t tasks = scratch.tasks();
    for (std::size_t t0 = 0; t0 < targets.size(); t0 += detail::loss_positions) {
        const std::size_t positions = std::min(detail::loss_positions, targets.size() - t0);
        workspace::frame frame(scratch);
        const auto reference_logits = frame.take<float>(positions, tile),
                   own_logits = frame.take<float>(positions, tile);
        const auto reference_exps = frame.take<float>(positions, tile), own_exps = frame.take<float>(tasks, tile);
        const auto references = frame.take<detail::loss_tile>(positions);
        const auto losses = frame.take<detail::running_loss>(hidden.size() * positions);
        const auto panels = frame.take<std::byte>(weight_panels<Arch>::bytes(tile, head.cols(), scratch.products()));
        std::fill(losses.begin(), losses.end(), detail::running_loss{});

        for (std::size_t first = 0; first < vocabulary; first += tile) {
            const std::size_t count = std::min(tile, vocabulary - first);
            // All variants multiply with it: decoded once.
            weight_panels<Arch> tile_of_head(count, head.cols(), scratch.products(), panels);
            tile_of_head.pack(head, first, scratch.tasks());
            for (std::size_t v = 0; v < hidden.size(); ++v) {
                const auto logits = v == 0 ? reference_logits : own_logits;
                matmul(tile_of_head, hidden[v].middle_rows(t0, positions), logits.middle_cols(0, count), scratch);
                parallel_pieces(positions, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
                    for (std::size_t t = begin; t < end; ++t) {
                        auto& exps = v == 0 ? reference_exps(t, 0) : own_exps(task, 0);
                        detail::loss_tile own{first, count, detail::padded_row(count), &logits(t, 0), &exps};
                        detail::add_tile<Arch>(losses[v * positions + t], own, targets[t0 + t],
                                               v == 0 ? nullptr : &references[t], losses[t].top);
                        if (v == 0) references[t] = own;
                    }
                });
            }
        }
        for (std::size_t v = 0; v < hidden.size(); ++v)
            for (std::size_t t = 0; t < positions; ++t) {
                detail::running_loss const &loss = losses[v * positions + t], &full = losses[t];
                const auto write = [at = t0 + t](auto const& to, auto value) {
                    if (!to.empty()) to[at] = value;
                };
                write(out[v].nll, loss.log_sum() - double{loss.target});
                if (v != 0) write(out[v].kl, loss.dot / full.sum + (loss.log_sum() - full.log_sum()));
                write(out[v].top, loss.top);
                write(out[v].margin, loss.top_of_reference - loss.best_other);
                write(out[v].entropy, loss.entropy());
            }
    }
}

namespace reference {

/// The same in double, straight from the formulas, with all logits of a position at once.
template <weight_matrix W>
void vocabulary_loss(W const& head, std::span<const matrix_view<const float>> hidden,
                     std::span<const std::int32_t> targets, std::span<const token_scores> out) {
    detail::check_loss_operands(head.rows(), head.cols(), hidden, targets, out);
    std::vector<std::vector<double>> logits(hidden.size(), std::vector<double>(head.rows()));
    std::vector<double> log_sums(hidden.size());
    for (std::size_t t = 0; t < targets.size(); ++t) {
        for (std::size_t v = 0; v < hidden.size(); ++v) {
            for (std::size_t r = 0; r < head.rows(); ++r) {
                logits[v][r] = 0;
                for (std::size_t c = 0; c < head.cols(); ++c)
                    logits[v][r] += double{head.value(r, c)} * double{hidden[v](t, c)};
            }
            const double largest = *std::max_element(logits[v].begin(), logits[v].end());
            double sum = 0;
            for (const double l : logits[v]) sum += std::exp(l - largest);
            log_sums[v] = largest + std::log(sum);
        }
        const auto top_of = [&](std::size_t v) {
            return std::max_element(logits[v].begin(), logits[v].end()) - logits[v].begin();
        };
        for (std::size_t v = 0; v < hidden.size(); ++v) {
            const std::ptrdiff_t reference_top = top_of(0);
            double kl = 0, entropy = 0, best_other = -std::numeric_limits<double>::infinity();
            for (std::size_t r = 0; r < head.rows(); ++r) {
                const double log_p = logits[0][r] - log_sums[0], log_q = logits[v][r] - log_sums[v];
                kl += std::exp(log_p) * (log_p - log_q);
                entropy -= std::exp(log_q) * log_q;
                if (static_cast<std::ptrdiff_t>(r) != reference_top) best_other = std::max(best_other, logits[v][r]);
            }
            const auto write = [t](auto const& to, auto value) {
                if (!to.empty()) to[t] = value;
            };
            write(out[v].nll, log_sums[v] - logits[v][static_cast<std::size_t>(targets[t])]);
            if (v != 0) write(out[v].kl, kl);
            write(out[v].top, static_cast<std::int32_t>(top_of(v)));
            write(out[v].margin, static_cast<float>(logits[v][static_cast<std::size_t>(reference_top)] - best_other));
            write(out[v].entropy, entropy);
        }
    }
}

} // namespace reference

} // namespace bitlens

// ---- bitlens/hooks.hpp
/// What a run lets others read and overwrite, and the probes that do.

// ---- bitlens/hooks/measure.hpp
/// Probes that keep one number per layer: of a run alone, or of a run against another that went before it.

// ---- bitlens/hooks/probe.hpp
/// Probes: what listens to the points of a run, and how a layer speaks to it.

// ---- bitlens/hooks/points.hpp
/// The quantities of a model that a probe can read or overwrite, one empty type each.

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <tuple>

namespace bitlens {

/// Where a model is while it speaks to a probe. Layers count from 0; points of the whole run carry the number of
/// layers.
struct site {
    std::size_t layer = 0;
};

namespace hook {

// The residual stream. (T, d)
struct resid_pre {};  ///< before the block
struct resid_mid {};  ///< after its attention: r of the paper (eq. 5)
struct resid_post {}; ///< after its MLP: z (eq. 6)

// Attention.
struct attn_in {};    ///< what q, k and v read: norm and γ applied (T, d)
struct attn_heads {}; ///< what W_o reads (T, heads · head_dim)
struct attn_out {};   ///< what W_o gives (T, d)

// The MLP. (T, d)
struct mlp_in {};      ///< h: norm and γ applied
struct mlp_gate_in {}; ///< what W_gate alone reads: overwriting it leaves W_up's input alone (paper §6.2)
struct mlp_out {};     ///< what W_down gives: o of the paper

// Inside the MLP. (T, d_ff)
struct mlp_gate {}; ///< σ(W_gate h)
struct mlp_up {};   ///< W_up h
struct mlp_act {};  ///< their product, which W_down reads

// Once per run, after the last block.
struct final_norm {}; ///< what the head reads, γ applied (T, d)
struct logits {};     ///< (T, vocabulary)

/// The points that fire once in every layer, in the order in which they fire.
using all = std::tuple<resid_pre, attn_in, attn_heads, attn_out, resid_mid, mlp_in, mlp_gate_in, mlp_gate, mlp_up,
                       mlp_act, mlp_out, resid_post>;
/// The points that fire once per run.
using once = std::tuple<final_norm, logits>;

namespace detail {

template <class Point, class... Points>
constexpr std::size_t position(std::tuple<Points...> const*) {
    std::size_t found = sizeof...(Points), i = 0;
    ((found = std::same_as<Point, Points> ? i : found, ++i), ...);
    return found;
}
template <class Point, class Tuple>
inline constexpr std::size_t position_in = position<Point>(static_cast<Tuple const*>(nullptr));

inline constexpr std::array<std::string_view, 14> names{
    "resid_pre", "attn_in", "attn_heads", "attn_out", "resid_mid",  "mlp_in",     "mlp_gate_in",
    "mlp_gate",  "mlp_up",  "mlp_act",    "mlp_out",  "resid_post", "final_norm", "logits"};

} // namespace detail

/// One of the types above.
template <class P>
concept point =
    detail::position_in<P, all> < std::tuple_size_v<all> || detail::position_in<P, once> < std::tuple_size_v<once>;

namespace detail {

/// Does not compile for a type that is no point.
template <class P>
constexpr bool check_point() {
    static_assert(point<P>, "bitlens: only the points of bitlens::hook can be listened to; see hooks/points.hpp");
    return point<P>;
}

} // namespace detail

/// Whether the point fires in every layer, rather than once per run.
template <point P>
inline constexpr bool per_layer = detail::position_in<P, all> < std::tuple_size_v<all>;

/// The point's own name, as files and command lines write it.
template <point P>
inline constexpr std::string_view name =
    detail::names[per_layer<P> ? detail::position_in<P, all> : std::tuple_size_v<all> + detail::position_in<P, once>];

/// Which points a probe listens to.
template <class... Points>
struct set {
    static_assert((point<Points> && ...),
                  "bitlens: hook::set holds points of bitlens::hook only; see hooks/points.hpp");
    template <class P>
    static constexpr bool has = (std::same_as<P, Points> || ...);
};

} // namespace hook
} // namespace bitlens

#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bitlens {

/// A probe declares the points it listens to, `using points = hook::set<…>`, and has one `on` for each:
/// `void on(Point, site, matrix_view<float>)`, which may read or overwrite the tensor. A probe belongs to one run.
template <class P>
concept probe = requires {
    typename std::remove_cvref_t<P>::points;
};

namespace detail {

/// Whether P has an `on` whose first parameter is this point by name. `{Point{}}` becomes that type, or one that is
/// made from it, but no template's parameter is deduced from it: an `on(auto, …)`, or one for every hook::point, is not
/// meant, nor looked into.
template <class P, class Point>
concept names_point = requires(P& p, site at, matrix_view<float> a) {
    p.on({Point{}}, at, a);
};
struct no_point {};

/// Whether P names a point that its set lacks. What takes anything, a std::any say, names none.
template <class P, class Point>
inline constexpr bool forgets = names_point<P, Point> && !names_point<P, no_point> && !P::points::template has<Point>;

/// Anything: what is no probe is told so in a sentence (points_of), not by a constraint. That this one looks for
/// `points` where a call stands keeps g++ from warning that a local type's are not used.
template <class P>
concept meant_as_probe = probe<P> || !probe<P>;

/// The one door to the set of a probe, which tells its mistakes.
template <class P>
struct points_of {
    static_assert(probe<P>,
                  "bitlens: a probe has `using points = bitlens::hook::set<...>` and an on() for each of them");
    static constexpr bool is_sound = false;
    template <class Point>
    static constexpr bool has = false;
};
template <probe P>
struct points_of<P> {
    static constexpr bool is_set = requires {
        { P::points::template has<hook::resid_pre> } -> std::convertible_to<bool>;
    };
    static_assert(is_set, "bitlens: `points` of a probe is a bitlens::hook::set<...>");

    template <class Point>
    static constexpr bool is_heard() {
        static_assert(!forgets<P, Point>,
                      "bitlens: this probe has an on() for a point that is not in its `points`, and it "
                      "would never be called; add the point to its hook::set<...>");
        return true;
    }
    template <class... Points>
    static constexpr bool are_heard(std::tuple<Points...> const*) {
        if constexpr (is_set) return (is_heard<Points>() && ...);
        return false;
    }
    static constexpr bool is_sound =
        are_heard(static_cast<hook::all const*>(nullptr)) && are_heard(static_cast<hook::once const*>(nullptr));

    template <class Point>
    static constexpr bool has_point() {
        if constexpr (is_sound) return P::points::template has<Point>;
        return false;
    }
    template <class Point>
    static constexpr bool has = has_point<Point>();
};

} // namespace detail

/// Whether a probe's set has the point. A probe with a named `on` for a point that its set lacks does not compile.
template <class P, class Point>
inline constexpr bool listens = detail::points_of<std::remove_cvref_t<P>>::template has<Point>;

/// Whether P listens to any of the points.
template <class P, class... Points>
inline constexpr bool listens_to_any = (listens<P, Points> || ...);

/// Listens to nothing: a run with it is a run without hooks.
struct no_probe {
    using points = hook::set<>;
};

/// The only way a layer speaks to a probe. `tensor` is a matrix, or a view of one; it is not even looked at where the
/// probe does not listen, so that nothing is left of the call.
template <class Point, detail::meant_as_probe P, class Tensor = matrix_view<float>>
constexpr void emit([[maybe_unused]] P& p, [[maybe_unused]] site at, [[maybe_unused]] Tensor&& tensor) {
    static_assert(hook::point<Point>, "bitlens: only points of bitlens::hook can be emitted; see hooks/points.hpp");
    if constexpr (listens<P, Point>) {
        const matrix_view<float> a = tensor;
        constexpr bool has_on = requires { p.on(Point{}, at, a); };
        static_assert(has_on, "bitlens: a probe needs a public on(Point, bitlens::site, bitlens::matrix_view<float>) "
                              "for every point in its set, a const one where the probe is const");
        if constexpr (has_on) p.on(Point{}, at, a);
    }
}

/// Several probes as one: at each point they speak in the order given, so that a later one sees what an earlier one
/// wrote. Named probes are referred to and must outlive the chain, temporaries are kept.
template <detail::meant_as_probe... Probes>
class chain {
public:
    static_assert((detail::points_of<std::remove_cvref_t<Probes>>::is_sound && ...), "bitlens: a chain is of probes");

    struct points {
        template <class Point>
        static constexpr bool has = (listens<Probes, Point> || ...);
    };

    /// The types come from the guide below alone, so that a named probe is never copied.
    explicit chain(std::type_identity_t<Probes>... probes) : probes_(std::forward<Probes>(probes)...) {}

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) {
        std::apply([&](auto&... each) { (emit<Point>(each, at, a), ...); }, probes_);
    }

private:
    std::tuple<Probes...> probes_;
};
template <class... Probes>
chain(Probes&&...) -> chain<Probes...>;

} // namespace bitlens

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// Which positions of a document a mean runs over: from `first` to the end. The paper leaves out position 0, which
/// carries the massive activation of the attention sink; `every_position` takes it in.
struct position_range {
    std::size_t first = 1;

    /// Errors: shape_error when no position is left.
    matrix_view<const float> of(matrix_view<const float> a) const {
        if (a.rows <= first)
            throw shape_error("measure: " + std::to_string(a.rows) + " positions leave none from position " +
                              std::to_string(first) + " on");
        return a.middle_rows(first, a.rows - first);
    }
};
inline constexpr position_range every_position{0};

namespace detail {

/// The number of the layer at hand.   Errors: shape_error where there is no room for it.
template <hook::point Point, class T>
T& of_layer(std::vector<T>& per_layer, site at) {
    static_assert(hook::per_layer<Point>, "bitlens: final_norm and logits fire once per run, not in every layer");
    if (at.layer >= per_layer.size())
        throw shape_error("measure: " + std::string(hook::name<Point>) + " of layer " + std::to_string(at.layer) +
                          ", room for " + std::to_string(per_layer.size()) + " layers");
    return per_layer[at.layer];
}

} // namespace detail

/// norm(x; a) of one point at every layer: the mean length of its rows (arXiv 2506.12044, eq. 7).   Errors: shape_error
/// for more layers than there is room for.
template <class Point>
class residual_norms {
    static_assert(hook::detail::check_point<Point>());

public:
    using points = hook::set<Point>;

    explicit residual_norms(std::size_t layers, position_range positions = {})
        : per_layer(layers), positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        detail::of_layer<Point>(per_layer, at) = mean_row_norm(positions_.of(a));
    }

    std::vector<double> per_layer;

private:
    position_range positions_;
};

/// Kurtosis of one point at every layer, per token (not excess); nullopt as in kurtosis_per_token.
/// Errors: as residual_norms.
template <class Point>
class token_kurtosis {
    static_assert(hook::detail::check_point<Point>());

public:
    using points = hook::set<Point>;

    explicit token_kurtosis(std::size_t layers, position_range positions = {})
        : per_layer(layers), positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        detail::of_layer<Point>(per_layer, at) = kurtosis_per_token(positions_.of(a));
    }

    std::vector<std::optional<double>> per_layer;

private:
    position_range positions_;
};

/// Share of ‖a_t‖² in its `largest` largest dimensions at every layer, mean over positions; see mean_top_share.
/// Errors: as residual_norms.
template <hook::point Point>
class top_share {
public:
    using points = hook::set<Point>;

    top_share(std::size_t layers, std::size_t largest, position_range positions = {})
        : per_layer(layers), largest_(largest), positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        detail::of_layer<Point>(per_layer, at) = mean_top_share(positions_.of(a), largest_);
    }

    std::vector<double> per_layer;

private:
    std::size_t largest_;
    position_range positions_;
};

/// Copies one point, and keeps the copy until the next layer's comes: for runs that go side by side, layer by layer, as
/// those of a sweep do.
template <hook::point Point>
class latest {
public:
    using points = hook::set<Point>;

    explicit latest(position_range positions = {}) : positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        const auto rows = positions_.of(a);
        if (copy_.rows() != rows.rows || copy_.cols() != rows.cols) copy_ = matrix<float>(rows.rows, rows.cols);
        for (std::size_t t = 0; t < rows.rows; ++t) std::ranges::copy(rows.row(t), copy_.row(t).begin());
        layer_ = at.layer;
    }
    /// The copy, of the positions that count.   Errors: shape_error when it is not that of the layer.
    matrix_view<const float> of_layer(std::size_t layer) const {
        if (layer_ != layer)
            throw shape_error("measure: " + std::string(hook::name<Point>) + " of layer " + std::to_string(layer) +
                              " has nothing to be compared with; the run that comes first must be there");
        return copy_.view();
    }
    position_range positions() const noexcept { return positions_; }

private:
    position_range positions_;
    matrix<float> copy_;
    std::optional<std::size_t> layer_;
};

/// How far a run is from the one before it at one point, at every layer: mean squared difference, and mean relative
/// difference (see mean_squared_difference, mean_relative_difference). `before` must outlive this probe.
/// Errors: as residual_norms, and shape_error where `before` holds nothing of that layer.
template <hook::point Point>
class difference {
public:
    using points = hook::set<Point>;

    difference(std::size_t layers, latest<Point> const& before) : squared(layers), relative(layers), before_(&before) {}
    void on(Point, site at, matrix_view<const float> a) {
        const auto rows = before_->positions().of(a), reference = before_->of_layer(at.layer);
        detail::of_layer<Point>(squared, at) = mean_squared_difference(rows, reference);
        detail::of_layer<Point>(relative, at) = mean_relative_difference(rows, reference);
    }

    std::vector<double> squared, relative;

private:
    latest<Point> const* before_;
};

} // namespace bitlens

// ---- bitlens/hooks/patch.hpp
/// patch: a probe that overwrites points of one run with what a record holds of another.

// ---- bitlens/hooks/record.hpp
/// record: a probe that copies what it hears, for reading afterwards or for patching another run.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// The copies of one point, by layer. Points of the whole run have a single entry.
template <class Point>
class recorded {
    static_assert(hook::detail::check_point<Point>());

public:
    /// The tensor as it was at that layer.   Errors: shape_error when nothing was recorded there.
    matrix_view<const float> layer(std::size_t k) const {
        if (k >= layers_.size() || !layers_[k])
            throw shape_error("record of " + std::string(hook::name<Point>) + ": nothing was recorded at layer " +
                              std::to_string(k));
        return layers_[k]->view();
    }

protected:
    void keep(std::size_t k, matrix_view<const float> a) {
        if (k >= layers_.size()) layers_.resize(k + 1);
        auto& copy = layers_[k].emplace(a.rows, a.cols);
        for (std::size_t t = 0; t < a.rows; ++t) std::ranges::copy(a.row(t), copy.row(t).begin());
    }

private:
    std::vector<std::optional<matrix<float>>> layers_;
};

/// Copies the given points at every layer; a second run replaces what the first one left.
template <class... Points>
class record : public recorded<Points>... {
public:
    using points = hook::set<Points...>;

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) {
        static_assert(points::template has<Point>, "bitlens: this record does not listen to that point");
        recorded<Point>::keep(slot<Point>(at.layer), a);
    }
    /// The copy of a per-layer point.   Errors: shape_error when nothing was recorded there.
    template <hook::point Point>
    matrix_view<const float> get(std::size_t layer) const {
        static_assert(points::template has<Point>, "bitlens: this record does not listen to that point");
        static_assert(hook::per_layer<Point>, "bitlens: final_norm and logits fire once per run and take no layer");
        return recorded<Point>::layer(layer);
    }
    /// The copy of a point that fires once per run.   Errors: shape_error when it did not.
    template <hook::point Point>
    matrix_view<const float> get() const {
        static_assert(points::template has<Point>, "bitlens: this record does not listen to that point");
        static_assert(!hook::per_layer<Point>, "bitlens: this point fires in every layer: name one");
        return recorded<Point>::layer(0);
    }

private:
    template <class Point>
    static constexpr std::size_t slot(std::size_t layer) noexcept {
        return hook::per_layer<Point> ? layer : 0;
    }
};

} // namespace bitlens

#include <limits>
#include <string>

namespace bitlens {

/// Overwrites the points, at all positions, in layers first … end − 1, with the recorded ones. Points of the whole run
/// are overwritten whatever the layers. The record must outlive the patch.
/// Errors: shape_error when the record lacks the layer or has another shape; at construction when end < first.
template <class... Points>
class patch {
public:
    using points = hook::set<Points...>;

    template <class Record>
    explicit patch(Record const& source, std::size_t first = 0,
                   std::size_t end = std::numeric_limits<std::size_t>::max())
        : sources_(heard_by<Points>(source)...), first_(first), end_(end) {
        if (end < first)
            throw shape_error("patch: layers " + std::to_string(first) + " to below " + std::to_string(end) +
                              ", expected an end that is not before the first");
    }

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) const {
        if (hook::per_layer<Point> && (at.layer < first_ || at.layer >= end_)) return;
        const auto source = std::get<recorded<Point> const*>(sources_)->layer(hook::per_layer<Point> ? at.layer : 0);
        if (source.rows != a.rows || source.cols != a.cols)
            throw shape_error("patch of " + std::string(hook::name<Point>) + " at layer " + std::to_string(at.layer) +
                              ": the record has shape " + shape(source) + ", the run " + shape(a));
        for (std::size_t t = 0; t < a.rows; ++t) std::ranges::copy(source.row(t), a.row(t).begin());
    }

private:
    template <class Point, class Record>
    static recorded<Point> const* heard_by(Record const& source) {
        static_assert(std::derived_from<Record, recorded<Point>>,
                      "bitlens: the record must listen to every point of the patch");
        if constexpr (std::derived_from<Record, recorded<Point>>)
            return &source;
        else
            return nullptr;
    }
    static std::string shape(matrix_view<const float> a) {
        return std::to_string(a.rows) + " × " + std::to_string(a.cols);
    }
    std::tuple<recorded<Points> const*...> sources_;
    std::size_t first_, end_;
};

} // namespace bitlens

// ---- bitlens/quantizers.hpp
/// Quantizers: one matrix in, one packed matrix out.

// ---- bitlens/quantizers/absmax.hpp
/// absmax: the nearest level of a NormalFloat codebook that is stretched to the largest weight of each group.

// ---- bitlens/quantizers/dynamic_map.hpp
/// Nested quantization of scales: 8-bit codes on bitsandbytes' signed dynamic map, blocks of 256.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bitlens {

/// The 256 rising levels: for e = 0 … 6 the midpoints of 2^e equal parts of [0.1, 1], times 10^(e−6), with both signs;
/// and 0 and 1. Made in double and rounded to float32 once.
/// Source: bitsandbytes' create_dynamic_map.
inline std::array<float, 256> dynamic_map() {
    std::array<double, 256> level{};
    std::size_t next = 0;
    level[next++] = 0;
    level[next++] = 1;
    for (int e = 0; e <= 6; ++e) {
        const int parts = 1 << e;
        for (int k = 0; k < parts; ++k) {
            const double midpoint = 0.1 + 0.9 * (k + 0.5) / parts;
            const double value = midpoint * std::pow(10.0, e - 6);
            level[next++] = value;
            level[next++] = -value;
        }
    }
    std::sort(level.begin(), level.end());
    std::array<float, 256> map{};
    std::transform(level.begin(), level.end(), map.begin(), [](double v) { return static_cast<float>(v); });
    return map;
}

/// Replaces scales by what is left of them after nested quantization:
///   offset = mean(scales); per block of 256: m = max|scale − offset|, code = nearest level to (scale − offset) · (1/m)
///   (a tie goes to the lower one);  scale ← fl32(fl32(level · m) + offset).
/// The mean is summed in double and rounded once; bitsandbytes sums in float32 in an order that depends on the machine,
/// so its offset can differ in the last bit. A decoded scale of a group far below the mean can be negative, there as
/// here.
inline void nest_scales(std::span<float> scales) {
    if (scales.empty()) return;
    constexpr std::size_t block_size = 256;
    static const std::array<float, 256> map = dynamic_map();
    double sum = 0;
    for (const float s : scales) sum += double{s};
    const float offset = static_cast<float>(sum / static_cast<double>(scales.size()));
    for (std::size_t first = 0; first < scales.size(); first += block_size) {
        const auto block = scales.subspan(first, std::min(block_size, scales.size() - first));
        float largest = 0;
        for (const float s : block) largest = std::max(largest, std::abs(s - offset));
        const float reciprocal = 1.0f / std::max(largest, 1e-38f); // bitsandbytes' guard against equal scales
        for (float& s : block) {
            const float x = std::min((s - offset) * reciprocal, 1.0f);
            const auto above = std::lower_bound(map.begin() + 1, map.end() - 1, x); // the upper of its two neighbours
            const double up = double{*above} - double{x}, down = double{x} - double{*(above - 1)};
            const float level = up < down ? *above : *(above - 1);
            // A product of floats is exact in double, so it is rounded once, fused multiply-add or not.
            const float scaled = static_cast<float>(double{level} * double{largest});
            s = scaled + offset;
        }
    }
}

} // namespace bitlens

// ---- bitlens/quantizers/quantizer.hpp
/// What a quantizer is: one matrix in, one packed matrix out.

#include <concepts>

namespace bitlens {

/// A method that needs nothing but the weights: an aggregate of its paper's knobs, called with w (out, in).
/// A method that looks at activations too gets a concept of its own beside this one, called with (w, statistics):
/// a walk over a model must know which of the two it has, because only the second one needs documents.
template <class Q>
concept quantizer = quant_format<typename Q::format> && requires(Q const& q, matrix_view<const float> w) {
    { q(w) } -> std::same_as<packed_matrix<typename Q::format>>;
};

} // namespace bitlens

// ---- bitlens/quantizers/rows.hpp
/// What quantizers share: the extremes of a group, rows in parallel, codes into a packed row.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bitlens::detail {

/// f(row) for every row of w, in parallel, in pieces large enough to be worth a task.
template <class F>
void for_each_row(matrix_view<const float> w, F const& f) {
    constexpr std::size_t weights_per_task = std::size_t{1} << 16;
    const std::size_t most = std::max<std::size_t>(1, w.rows);
    const std::size_t tasks = std::clamp<std::size_t>(w.rows * w.cols / weights_per_task, 1, most);
    parallel_pieces(w.rows, tasks, 1, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) f(r);
    });
}

/// Group g of a row.
inline std::span<const float> group_of_row(std::span<const float> row, row_storage const& storage, std::size_t g) {
    const std::size_t first = g * storage.group_columns;
    return row.subspan(first, std::min(storage.group_columns, row.size() - first));
}

/// Refuses NaN and infinity, which no scale can hold. Errors: format_error that names row and column.
inline void check_finite(const char* who, std::span<const float> group, std::size_t row, std::size_t first_column) {
    for (std::size_t i = 0; i < group.size(); ++i)
        if (!std::isfinite(group[i]))
            throw format_error(std::string(who) + ": the weight at row " + std::to_string(row) + ", column " +
                               std::to_string(first_column + i) + " is " + std::to_string(group[i]) +
                               "; a finite number is expected");
}

/// max |x|, infinite or NaN as soon as one x is.
inline float largest_magnitude(std::span<const float> x) noexcept {
    std::uint32_t largest = 0; // without their sign, floats are ordered as their bits are: a loop that vectorises
    for (const float v : x) largest = std::max(largest, std::bit_cast<std::uint32_t>(v) & 0x7FFFFFFFu);
    return std::bit_cast<float>(largest);
}

/// min(min x, 0) and max(max x, 0); one of them is infinite or NaN as soon as one x is.
struct value_range {
    float lo = 0, hi = 0;
};
inline value_range range_with_zero(std::span<const float> x) noexcept {
    // Flipping the lower bits of negative floats orders all floats as signed integers are.
    const auto flip = [](std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); };
    std::int32_t lo = 0, hi = 0; // +0
    for (const float v : x) {
        const std::int32_t key = flip(std::bit_cast<std::int32_t>(v));
        lo = std::min(lo, key);
        hi = std::max(hi, key);
    }
    return {std::bit_cast<float>(flip(lo)), std::bit_cast<float>(flip(hi))};
}

/// Writes the codes of group g of a row: rule(x) of every number x in it. The rule is asked for 32 numbers at a time,
/// so that it becomes vector code.
template <int Bits, class Rule>
void set_codes(std::span<const float> group, row_storage const& storage, std::size_t g, Rule const& rule) {
    using chunk = code_chunk<Bits>;
    std::uint8_t* codes = storage.codes + g * storage.group_columns / chunk_codes * chunk::bytes;
    for (std::size_t first = 0; first < group.size(); first += chunk_codes, codes += chunk::bytes) {
        const std::size_t count = std::min(chunk_codes, group.size() - first);
        std::array<float, chunk_codes> x{};
        std::copy_n(group.data() + first, count, x.data());
        std::array<std::uint32_t, chunk_codes> q;
        for (std::size_t i = 0; i < chunk_codes; ++i) q[i] = rule(x[i]);
        for (std::size_t i = 0; i < count; ++i) {
            BITLENS_ASSERT(q[i] < 1u << Bits);
            chunk::set(codes, i, static_cast<std::uint8_t>(q[i]));
        }
    }
}

} // namespace bitlens::detail

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bitlens {

template <class F>
inline constexpr bool is_normal_float = false;
template <int Bits, std::size_t GroupSize>
inline constexpr bool is_normal_float<normal_float<Bits, GroupSize>> = true;

/// Midpoints of neighbouring levels, in float32: code(x) = #{k : x > threshold_k}, so that a tie goes to the lower
/// code.
template <quant_format F>
inline constexpr auto decision_thresholds = [] {
    std::array<float, F::codebook.size() - 1> threshold{};
    for (std::size_t k = 0; k < threshold.size(); ++k) threshold[k] = (F::codebook[k] + F::codebook[k + 1]) / 2;
    return threshold;
}();

namespace detail {

/// x → x/scale, as the kernels of each width have it.
template <int Bits>
auto stretch_of(float scale) noexcept {
    if constexpr (Bits == 4)
        return [reciprocal = 1.0f / std::max(scale, 1e-38f)](float x) { return x * reciprocal; };
    else
        return [divisor = scale > 0 ? scale : 1.0f](float x) { return x / divisor; };
}

/// w to the nearest levels of its groups, with the codebook of RowFormat.
template <quant_format RowFormat>
void round_to_levels(matrix_view<const float> w, packed_arrays& packed) {
    for_each_row(w, [&](std::size_t r) {
        const row_storage row = packed.row(r);
        for (std::size_t g = 0; g < row.scales.size(); ++g) {
            const auto group = group_of_row(w.row(r), row, g);
            const float scale = row.scales[g] = largest_magnitude(group);
            if (!std::isfinite(scale)) check_finite("absmax", group, r, g * row.group_columns);
            set_codes<RowFormat::bits>(group, row, g, [stretch = stretch_of<RowFormat::bits>(scale)](float x) {
                const float y = stretch(x);
                std::uint32_t code = 0;
                for (const float threshold : decision_thresholds<RowFormat>) code += y > threshold ? 1u : 0u;
                return code;
            });
        }
    });
}

} // namespace detail

/// scale = max|w| of the group; code = the level nearest to w/scale.
/// Four bits follow bitsandbytes bit for bit: w · (1/max(scale, 1e-38)); groups run along rows, which is the same as
/// its blocks over the flattened matrix whenever it is allowed here. Three bits follow FLUTE in float32: w/scale. A
/// group of zeros gets scale 0 and the code of level 0.
template <class F>
struct absmax {
    static_assert(is_normal_float<F>,
                  "bitlens: absmax<F> quantizes to a normal_float<bits, group_size>; uniform formats "
                  "are what rtn<F> rounds to");
    using format = F;

    /// Quantize the scales too: the stored float32 scales are then the decoded ones (dynamic_map.hpp). Codes are those
    /// of the scales before that.
    bool nested_scales = false;

    /// Shapes: w (out, in).
    /// Errors: shape_error when `in` is not a multiple of the group size; format_error for a weight that is not finite.
    packed_matrix<F> operator()(matrix_view<const float> w) const {
        packed_matrix<F> packed(w.rows, w.cols);
        detail::round_to_levels<detail::row_format<F>>(w, packed.arrays());
        if (nested_scales) nest_scales(packed.arrays().scales.span());
        return packed;
    }
};

static_assert(quantizer<absmax<normal_float<3, 64>>> && quantizer<absmax<normal_float<4, 64>>>);
// Known answers: the literals of bitsandbytes' kernel and of FLUTE's pivots.
static_assert(decision_thresholds<normal_float<4, 64>>[0] == std::bit_cast<float>(0xBF591CD8u) &&
              decision_thresholds<normal_float<4, 64>>[14] == std::bit_cast<float>(0x3F5C89DAu) &&
              decision_thresholds<normal_float<3, 64>>[3] == std::bit_cast<float>(0x3DA4CADFu));

} // namespace bitlens

// ---- bitlens/quantizers/affine_grid.hpp
/// The grid of equally spaced levels that RTN and GPTQ lay over a group of weights.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace bitlens {

template <class F>
inline constexpr bool is_uniform = false;
template <int Bits, std::size_t GroupSize, zero_kind Zero>
inline constexpr bool is_uniform<uniform<Bits, GroupSize, Zero>> = true;

/// ŵ = scale · (code − zero); `zero` is an integer 0 … 2^bits − 1, also where the format keeps it in its codebook.
struct affine_grid {
    float scale = 0, zero = 0;

    /// clip(rne(x/scale) + zero, 0, largest): rounded first (half to even), moved then. No product meets a sum here, so
    /// that a compiler's fused multiply-add cannot change a code.
    std::uint32_t code(float x, float largest) const noexcept {
        const float q = std::nearbyint(x / scale) + zero;
        return static_cast<std::uint32_t>(static_cast<std::int32_t>(std::clamp(q, 0.0f, largest)));
    }
};

/// The grid over a group, in float32 with a rounding after every operation:
///   lo = min(min w, 0), hi = max(max w, 0), scale = (hi − lo)/(2^b − 1), zero = rne(−lo/scale);
///   symmetric: a = max(|lo|, hi), hi = a, lo = −a only where lo < 0, zero = 2^(b−1) always (so a group without
///   negative weights saturates above (2^(b−1) − 1)·scale, as the original does).
/// A group of zeros, or of numbers so small that the scale would be 0, gets the range −1 … 1 and decodes to zeros.
/// Where subnormal scales are so coarse that the zero would leave the codes, it stays at the largest code.
/// Errors: the scale is infinite when the range overflows, and not finite when a weight is not; the caller looks.
/// Source: GPTQ's quantizer (IST-DASLab/gptq:quant.py).
template <quant_format F>
    requires is_uniform<F> affine_grid min_max_grid(std::span<const float> group)
noexcept {
    constexpr float largest = static_cast<float>(F::codebook.size() - 1);
    auto [lo, hi] = detail::range_with_zero(group);
    if constexpr (!F::has_zero) {
        hi = std::max(hi, -lo); // in this order a NaN stays one
        if (lo < 0) lo = -hi;
    }
    affine_grid grid{(hi - lo) / largest, 0};
    if (grid.scale == 0) {
        lo = -1;
        grid.scale = 2.0f / largest;
    }
    if constexpr (F::has_zero)
        grid.zero = std::min(std::nearbyint(-lo / grid.scale), largest);
    else
        grid.zero = (largest + 1) / 2;
    return grid;
}

} // namespace bitlens

// ---- bitlens/quantizers/rtn.hpp
/// rtn: round to nearest, the quantizer that every other one is measured against.

#include <cmath>
#include <string>

namespace bitlens {

namespace detail {

/// w on the min-max grids of its groups, with the codebook of RowFormat.
template <quant_format RowFormat>
void round_to_nearest(matrix_view<const float> w, packed_arrays& packed) {
    for_each_row(w, [&](std::size_t r) {
        const row_storage row = packed.row(r);
        for (std::size_t g = 0; g < row.scales.size(); ++g) {
            const auto group = group_of_row(w.row(r), row, g);
            const affine_grid grid = min_max_grid<RowFormat>(group);
            if (!std::isfinite(grid.scale)) {
                const std::size_t first = g * row.group_columns;
                check_finite("rtn", group, r, first);
                throw format_error("rtn: the weights of row " + std::to_string(r) + ", columns " +
                                   std::to_string(first) + " to " + std::to_string(first + group.size() - 1) +
                                   ", span more than float32 can hold");
            }
            row.scales[g] = grid.scale;
            if constexpr (RowFormat::has_zero) row.zeros[g] = static_cast<std::uint8_t>(grid.zero);
            set_codes<RowFormat::bits>(group, row, g, [grid](float x) {
                return grid.code(x, static_cast<float>(RowFormat::codebook.size() - 1));
            });
        }
    });
}

} // namespace detail

/// code = clip(rne(w/scale) + zero, 0, 2^b − 1) on the min-max grid of every group (affine_grid.hpp). Scales are
/// float32. In exact arithmetic |w − ŵ| ≤ scale/2, but for what a symmetric grid cuts off.
template <class F>
struct rtn {
    static_assert(is_uniform<F>, "bitlens: rtn<F> rounds to a uniform<bits, group_size> format; a normal_float is what "
                                 "absmax<F> quantizes to");
    using format = F;

    /// Shapes: w (out, in), in ≥ 0; the last group of a row may be short.
    /// Errors: format_error for a weight that is not finite, or a group whose range leaves float32.
    packed_matrix<F> operator()(matrix_view<const float> w) const {
        packed_matrix<F> packed(w.rows, w.cols);
        detail::round_to_nearest<detail::row_format<F>>(w, packed.arrays());
        return packed;
    }
};

static_assert(quantizer<rtn<uniform<3, 64>>> && quantizer<rtn<uniform<4, 0, zero_kind::symmetric>>>);

} // namespace bitlens

// ---- bitlens/layers.hpp
/// What a model is made of: the layers of a decoder block, and the block that runs them in stages.

// ---- bitlens/layers/attention.hpp
/// Causal attention with grouped heads, for a whole document at once.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>

namespace bitlens {

namespace detail {

/// s_i ← e^(scale · (s_i − max s)) for i < n, 0 from there to the end; returns their sum.   s.size() is a multiple of
/// the lanes.
template <class Arch>
float exponentials(std::span<float> s, std::size_t n, float scale) noexcept {
    using vec = simd::batch<float, Arch>;
    constexpr float lowest = -std::numeric_limits<float>::infinity(); // e^lowest is 0
    std::fill(s.begin() + static_cast<std::ptrdiff_t>(n), s.end(), lowest);
    vec largest(lowest);
    for (std::size_t i = 0; i < s.size(); i += vec::size) largest = simd::max(largest, vec::load_unaligned(&s[i]));
    const vec maximum(simd::fold(largest, [](float a, float b) { return std::max(a, b); }));
    vec sum(0.0f);
    for (std::size_t i = 0; i < s.size(); i += vec::size) {
        const auto e = simd::exp((vec::load_unaligned(&s[i]) - maximum) * vec(scale));
        e.store_unaligned(&s[i]);
        sum = sum + e;
    }
    return simd::fold(sum, [](float a, float b) { return a + b; });
}

/// How attention lies in memory: keys are what the panels of a micro-kernel hold as rows of "weights", and values are
/// the same with rows and columns exchanged. All panels of a kind take the same room.
struct attention_layout {
    micro_kernel const& kernel;
    std::size_t positions, head_dim;

    /// Queries that read a panel while it is in the nearest cache.
    std::size_t block_rows = std::max<std::size_t>(1, 32 / kernel.tile_positions) * kernel.tile_positions;
    std::size_t key_depth = std::min(kernel.max_depth, head_dim);
    std::size_t value_depth = std::clamp<std::size_t>(positions, 1, kernel.max_depth);
    std::size_t key_panels = pieces(positions, kernel.panel_rows), key_blocks = pieces(head_dim, key_depth);
    std::size_t value_blocks = pieces(positions, value_depth), value_panels = pieces(head_dim, kernel.panel_rows);
    std::size_t key_panel_elements = panel_elements(key_depth), value_panel_elements = panel_elements(value_depth);
    std::size_t strip_cols = pieces(head_dim, chunk_codes) * chunk_codes;

    static constexpr std::size_t pieces(std::size_t n, std::size_t size) noexcept { return (n + size - 1) / size; }

    /// Elements of the keys or values of one head.
    std::size_t keys() const noexcept { return key_panels * key_blocks * key_panel_elements; }
    std::size_t values() const noexcept { return value_blocks * value_panels * value_panel_elements; }
    /// Where a panel begins, of some keys and a block of dimensions; of a block of positions and some dimensions.
    std::size_t key_panel(std::size_t panel, std::size_t block) const noexcept {
        return (panel * key_blocks + block) * key_panel_elements;
    }
    std::size_t value_panel(std::size_t block, std::size_t panel) const noexcept {
        return (block * value_panels + panel) * value_panel_elements;
    }

    std::size_t padded_keys() const noexcept { return key_panels * kernel.panel_rows; }
    std::size_t padded_dims() const noexcept { return value_panels * kernel.panel_rows; }
    /// What a task works in: keys of a panel as floats; packed queries or probabilities; scores; sums of values.
    std::size_t strip() const noexcept { return kernel.panel_rows * strip_cols; }
    std::size_t packed() const noexcept {
        return std::max(block_rows * kernel.row_elements(key_depth),
                        kernel.tile_positions * kernel.row_elements(value_depth));
    }
    std::size_t scores() const noexcept { return block_rows * padded_keys(); }
    std::size_t result() const noexcept { return kernel.tile_positions * padded_dims(); }

    std::size_t bytes(std::size_t kv_heads, std::size_t tasks) const noexcept {
        return workspace::bytes_for<packed_element>(kv_heads * keys()) +
               workspace::bytes_for<packed_element>(kv_heads * values()) +
               workspace::bytes_for<packed_element>(tasks * packed()) + workspace::bytes_for<float>(tasks * strip()) +
               workspace::bytes_for<float>(tasks * scores()) + workspace::bytes_for<float>(tasks * result());
    }

private:
    /// Weights are packed by whole registers, which may be more columns than a panel needs.
    std::size_t panel_elements(std::size_t depth) const noexcept {
        return kernel.panel_rows * kernel.row_elements(pieces(depth, chunk_codes) * chunk_codes);
    }
};

/// Keys and values of one head, (T, head_dim) each, into panels.   strip: layout.strip() floats to work in.
inline void pack_head(attention_layout const& layout, matrix_view<const float> k, matrix_view<const float> v,
                      packed_element* keys, packed_element* values, float* strip) noexcept {
    micro_kernel const& kernel = layout.kernel;
    const std::size_t panel_rows = kernel.panel_rows, stride = layout.strip_cols;
    for (std::size_t panel = 0; panel < layout.key_panels; ++panel) {
        const auto rows = k.middle_rows(panel * panel_rows, std::min(panel_rows, k.rows - panel * panel_rows));
        std::fill_n(strip, layout.strip(), 0.0f);
        for (std::size_t r = 0; r < rows.rows; ++r) std::ranges::copy(rows.row(r), strip + r * stride);
        for (std::size_t i = 0, block = 0; i < k.cols; i += layout.key_depth, ++block)
            kernel.pack_weights(strip + i, stride, panel_rows, 0, std::min(layout.key_depth, k.cols - i),
                                keys + layout.key_panel(panel, block));
    }
    for (std::size_t s = 0, block = 0; s < v.rows; s += layout.value_depth, ++block)
        for (std::size_t i = 0, panel = 0; i < v.cols; i += panel_rows, ++panel)
            kernel.pack_transposed(&v(s, i), v.stride, std::min(panel_rows, v.cols - i),
                                   std::min(layout.value_depth, v.rows - s), values + layout.value_panel(block, panel));
}

/// What a task of attention works in.
struct attention_scratch {
    packed_element* packed;
    float *scores, *result;
};

/// out = attention of queries `first` … of one head, at most a block of them, all (T, head_dim).
template <class Arch>
void attend(attention_layout const& layout, matrix_view<const float> q, std::size_t first, const packed_element* keys,
            const packed_element* values, matrix_view<float> out, attention_scratch scratch) noexcept {
    micro_kernel const& kernel = layout.kernel;
    const std::size_t tile_rows = kernel.tile_positions, panel_rows = kernel.panel_rows;
    const std::size_t end = std::min(q.rows, first + layout.block_rows), dims = q.cols;
    const matrix_view<float> scores(scratch.scores, layout.block_rows, layout.padded_keys());
    const matrix_view<float> result(scratch.result, tile_rows, layout.padded_dims());
    const auto rows_of = [&](std::size_t t) { return std::min(tile_rows, end - t); };
    const auto seen_by = [&](std::size_t t) { return std::min(t + tile_rows, end); }; // keys of the tile from t on
    const auto padded_rows_of = [&](std::size_t t) { return kernel.padded_positions(rows_of(t)); };

    for (std::size_t i = 0, block = 0; i < dims; i += layout.key_depth, ++block) {
        const std::size_t depth = std::min(layout.key_depth, dims - i), row_elements = kernel.row_elements(depth);
        const auto packed = [&](std::size_t t) { return scratch.packed + (t - first) * row_elements; };
        for (std::size_t t = first; t < end; t += tile_rows)
            kernel.pack_positions(q.middle_rows(t, rows_of(t)).middle_cols(i, depth), packed(t));
        for (std::size_t s = 0, panel = 0; s < end; s += panel_rows, ++panel)
            for (std::size_t t = first; t < end; t += tile_rows) {
                if (s >= seen_by(t)) continue;
                const auto tile = scores.middle_rows(t - first, padded_rows_of(t)).middle_cols(s, panel_rows);
                kernel.multiply(kernel.packed_operand(packed(t), rows_of(t)), depth,
                                keys + layout.key_panel(panel, block), tile, i == 0 ? matrix_view<float>{} : tile, {});
            }
    }
    const float scale = 1.0f / std::sqrt(static_cast<float>(dims));
    for (std::size_t t = first; t < end; t += tile_rows) {
        const auto tile = scores.middle_rows(t - first, rows_of(t));
        std::array<float, micro_kernel::most_tile_positions> sums{};
        const std::size_t padded = layout.pieces(seen_by(t), simd::lanes<Arch>) * simd::lanes<Arch>;
        for (std::size_t r = 0; r < tile.rows; ++r)
            sums[r] = exponentials<Arch>(tile.row(r).first(padded), t + r + 1, scale);
        for (std::size_t s = 0, block = 0; s < seen_by(t); s += layout.value_depth, ++block) {
            const auto weights = tile.middle_cols(s, std::min(layout.value_depth, seen_by(t) - s));
            kernel.pack_positions(weights, scratch.packed);
            for (std::size_t i = 0, panel = 0; i < dims; i += panel_rows, ++panel) {
                const auto part = result.middle_rows(0, padded_rows_of(t))
                                      .middle_cols(i, kernel.padded_rows(std::min(panel_rows, dims - i)));
                kernel.multiply(kernel.packed_operand(scratch.packed, weights.rows), weights.cols,
                                values + layout.value_panel(block, panel), part, s == 0 ? matrix_view<float>{} : part,
                                {});
            }
        }
        for (std::size_t r = 0; r < tile.rows; ++r)
            simd::map<Arch>(
                dims, [sum = simd::batch<float, Arch>(sums[r])](auto const& x) { return x / sum; },
                out.row(t + r).data(), result.row(r).data());
    }
}

/// Errors: shape_error where they do not fit.
inline void check_attention_operands(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v,
                                     std::size_t head_dim, matrix_view<float> out) {
    if (head_dim == 0 || k.cols == 0 || k.cols % head_dim != 0 || q.cols % k.cols != 0)
        throw shape_error("attention: q has " + std::to_string(q.cols) + " columns and k " + std::to_string(k.cols) +
                          ", expected whole heads of " + std::to_string(head_dim) + ", and as many of q for each of k");
    check_shape("attention", "k", k, q.rows, k.cols);
    check_shape("attention", "v", v, q.rows, k.cols);
    check_shape("attention", "out", out, q.rows, q.cols);
}

} // namespace detail

/// Bytes of workspace that attention needs, in any arithmetic.
template <class Arch = simd::default_arch>
std::size_t attention_bytes(std::size_t positions, std::size_t kv_heads, std::size_t head_dim, unsigned tasks) {
    std::size_t bytes = 0;
    for (const arithmetic a : all_arithmetics)
        bytes = std::max(
            bytes, detail::attention_layout{micro_kernel_of<Arch>(a), positions, head_dim}.bytes(kv_heads, tasks));
    return bytes;
}

/// out_t = Σ_{s ≤ t} softmax_s(q_t · k_s / √head_dim) · v_s, for each head; query head h reads key head
/// h / (heads / kv_heads). Both products are computed in the arithmetic of the workspace, the softmax in float32.
/// Shapes: q, out (T, heads · head_dim), k, v (T, kv_heads · head_dim).   The same bits for any number of tasks, and
/// for any T that holds the position, as long as all numbers are finite.   Agrees with reference::attention.
/// Errors: shape_error where the shapes do not fit, or the workspace is too small.
template <class Arch = simd::default_arch>
void attention(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v, std::size_t head_dim,
               matrix_view<float> out, workspace& scratch) {
    detail::check_attention_operands(q, k, v, head_dim, out);
    if (q.rows == 0) return;

    const std::size_t heads = q.cols / head_dim, kv_heads = k.cols / head_dim, tasks = scratch.tasks();
    const detail::attention_layout layout{micro_kernel_of<Arch>(scratch.products()), q.rows, head_dim};
    scratch.require("attention", layout.bytes(kv_heads, tasks));
    workspace::frame frame(scratch);
    const auto keys = frame.take<packed_element>(kv_heads * layout.keys());
    const auto values = frame.take<packed_element>(kv_heads * layout.values());
    const auto packed = frame.take<packed_element>(tasks * layout.packed());
    const auto strips = frame.take<float>(tasks * layout.strip());
    const auto scores = frame.take<float>(tasks * layout.scores());
    const auto results = frame.take<float>(tasks * layout.result());

    parallel_pieces(kv_heads, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        for (std::size_t h = begin; h < end; ++h)
            detail::pack_head(layout, k.middle_cols(h * head_dim, head_dim), v.middle_cols(h * head_dim, head_dim),
                              &keys[h * layout.keys()], &values[h * layout.values()], &strips[task * layout.strip()]);
    });
    const std::size_t blocks = layout.pieces(q.rows, layout.block_rows);
    parallel_pieces(heads * blocks, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        const micro_kernel_session session(layout.kernel);
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t head = i / blocks, kv_head = head / (heads / kv_heads);
            detail::attend<Arch>(
                layout, q.middle_cols(head * head_dim, head_dim), i % blocks * layout.block_rows,
                &keys[kv_head * layout.keys()], &values[kv_head * layout.values()],
                out.middle_cols(head * head_dim, head_dim),
                {&packed[task * layout.packed()], &scores[task * layout.scores()], &results[task * layout.result()]});
        }
    });
}

} // namespace bitlens

// ---- bitlens/layers/block.hpp
/// One block of a decoder: attention and a gated MLP around a residual stream, run in stages that can be resumed.

// ---- bitlens/layers/gated_mlp.hpp
/// The gate of a gated MLP: SiLU and the product with the up projection (Shazeer 2020, "SwiGLU").

#include <cstddef>

namespace bitlens {

namespace detail {

/// σ(x) = x / (1 + e^(−x)); towards −∞ it goes to −0.
template <class Arch>
simd::batch<float, Arch> silu(simd::batch<float, Arch> x) noexcept {
    using vec = simd::batch<float, Arch>;
    return x / (vec(1.0f) + simd::exp(-x));
}

} // namespace detail

/// a ← σ(a), element by element.
template <class Arch = simd::default_arch>
void silu(matrix_view<float> a) noexcept {
    using vec = simd::batch<float, Arch>;
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v) { return detail::silu<Arch>(v); }, a.row(t).data(), a.row(t).data());
}

/// a ← a ⊙ b.   Shapes: both (T, n).   Errors: shape_error where they differ.
template <class Arch = simd::default_arch>
void multiply(matrix_view<float> a, matrix_view<const float> b) {
    using vec = simd::batch<float, Arch>;
    detail::check_shape("multiply", "b", b, a.rows, a.cols);
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v, vec w) { return v * w; }, a.row(t).data(), a.row(t).data(), b.row(t).data());
}

/// a ← σ(a) ⊙ b in one pass: the same bits as silu and multiply.   Shapes, errors: as multiply.
template <class Arch = simd::default_arch>
void silu_multiply(matrix_view<float> a, matrix_view<const float> b) {
    using vec = simd::batch<float, Arch>;
    detail::check_shape("silu_multiply", "b", b, a.rows, a.cols);
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v, vec w) { return detail::silu<Arch>(v) * w; }, a.row(t).data(), a.row(t).data(),
            b.row(t).data());
}

/// a ← a + b.   Shapes, errors: as multiply.
template <class Arch = simd::default_arch>
void add(matrix_view<float> a, matrix_view<const float> b) {
    using vec = simd::batch<float, Arch>;
    detail::check_shape("add", "b", b, a.rows, a.cols);
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v, vec w) { return v + w; }, a.row(t).data(), a.row(t).data(), b.row(t).data());
}

} // namespace bitlens

// ---- bitlens/layers/linear.hpp
/// The seven linear layers of a block, and the bias that follows a matrix product.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace bitlens {

/// The linear layers of a block, in the order in which their inputs come to be.
enum class projection : std::uint8_t { q, k, v, o, gate, up, down };
inline constexpr std::size_t projection_count = 7;

/// "q_proj" …, as Hugging Face checkpoints name them.
constexpr std::string_view name(projection p) noexcept {
    constexpr std::array<std::string_view, projection_count> names{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                                   "gate_proj", "up_proj", "down_proj"};
    return names[static_cast<std::size_t>(p)];
}

/// y_t += b for every row.   Shapes: y (T, n), b (n) or empty, which adds nothing.   Errors: shape_error for others.
inline void add_bias(std::span<const float> b, matrix_view<float> y) {
    if (b.empty()) return;
    detail::check_size("add_bias", "b", b.size(), y.cols);
    for (std::size_t t = 0; t < y.rows; ++t) {
        float* const row = y.row(t).data();
        for (std::size_t i = 0; i < b.size(); ++i) row[i] += b[i];
    }
}

} // namespace bitlens

// ---- bitlens/layers/rms_norm.hpp
/// RMS normalisation (Zhang & Sennrich 2019).

#include <cmath>
#include <cstddef>
#include <span>

namespace bitlens {

namespace detail {

/// Σ x_i², in lanes and then in order: the same bits wherever the row stands.
template <class Arch>
float sum_of_squares(std::span<const float> x) noexcept {
    using vec = simd::batch<float, Arch>;
    vec sum(0.0f);
    std::size_t i = 0;
    for (; i + vec::size <= x.size(); i += vec::size) {
        const auto v = vec::load_unaligned(x.data() + i);
        sum = simd::fma(v, v, sum);
    }
    float total = simd::fold(sum, [](float a, float b) { return a + b; });
    for (; i < x.size(); ++i) total += x[i] * x[i];
    return total;
}

} // namespace detail

/// y_t = γ ⊙ x_t / √(mean(x_t²) + ε).   Shapes: x, y (T, d), γ (d); y may be x.   ε > 0 keeps a row of zeros at zero.
/// Errors: shape_error where they do not fit.
template <class Arch = simd::default_arch>
void rms_norm(matrix_view<const float> x, std::span<const float> gamma, float epsilon, matrix_view<float> y) {
    using vec = simd::batch<float, Arch>;
    detail::check_size("rms_norm", "gamma", gamma.size(), x.cols);
    detail::check_shape("rms_norm", "y", y, x.rows, x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) {
        const float mean = detail::sum_of_squares<Arch>(x.row(t)) / static_cast<float>(x.cols);
        const vec inverse(1.0f / std::sqrt(mean + epsilon));
        simd::map<Arch>(
            x.cols, [&](vec v, vec g) { return g * (v * inverse); }, y.row(t).data(), x.row(t).data(), gamma.data());
    }
}

} // namespace bitlens

// ---- bitlens/layers/rope.hpp
/// Rotary position embedding (Su et al. 2021), pairing dimension i with i + head_dim/2, as Hugging Face models do.

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

/// cos and sin of position · θ^(−2i/head_dim), for positions 0 … T − 1 and i < head_dim/2.
/// The frequency and the angle are rounded to float before the cosine is taken: models are trained and served with that
/// rounding (transformers computes both in float32), and at late positions it is worth 10⁻⁵ of a turn.
class rope_table {
public:
    /// Errors: shape_error for an odd head_dim; option_error unless theta is positive.
    rope_table(std::size_t positions, std::size_t head_dim, double theta)
        : cos_(positions, head_dim / 2), sin_(positions, head_dim / 2) {
        if (head_dim == 0 || head_dim % 2 != 0)
            throw shape_error("rope_table: head_dim " + std::to_string(head_dim) + ", expected an even number");
        if (!(theta > 0))
            throw option_error("rope_table: theta " + std::to_string(theta) + ", expected a positive number");
        for (std::size_t i = 0; i < head_dim / 2; ++i) {
            const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
            const float frequency = 1.0f / static_cast<float>(std::pow(theta, double{exponent}));
            for (std::size_t t = 0; t < positions; ++t) {
                const double angle = static_cast<float>(t) * frequency; // rounded to float
                cos_(t, i) = static_cast<float>(std::cos(angle));
                sin_(t, i) = static_cast<float>(std::sin(angle));
            }
        }
    }

    std::size_t positions() const noexcept { return cos_.rows(); }
    std::size_t head_dim() const noexcept { return 2 * cos_.cols(); }
    std::span<const float> cos(std::size_t t) const noexcept { return cos_.row(t); }
    std::span<const float> sin(std::size_t t) const noexcept { return sin_.row(t); }

private:
    matrix<float> cos_, sin_; // (T, head_dim/2)
};

/// Turns every head of every row by its position, in place: (a, b) → (a·cos − b·sin, b·cos + a·sin).
/// Shapes: x (T, heads · head_dim); its rows are positions first … first + T − 1.
/// Errors: shape_error for a position that is not in the table, or a part of a head.
inline void rope(rope_table const& table, std::size_t first, matrix_view<float> x) {
    const std::size_t half = table.head_dim() / 2;
    detail::check_range("rope", "positions", first, x.rows, table.positions());
    if (x.cols % table.head_dim() != 0)
        throw shape_error("rope: x has " + std::to_string(x.cols) + " columns, expected whole heads of " +
                          std::to_string(table.head_dim()));
    for (std::size_t t = 0; t < x.rows; ++t) {
        float const* const c = table.cos(first + t).data();
        float const* const s = table.sin(first + t).data();
        for (std::size_t head = 0; head < x.cols; head += 2 * half) {
            float* const a = x.row(t).data() + head;
            float* const b = a + half;
            for (std::size_t i = 0; i < half; ++i) {
                const float ai = a[i], bi = b[i];
                a[i] = ai * c[i] - bi * s[i];
                b[i] = bi * c[i] + ai * s[i];
            }
        }
    }
}

} // namespace bitlens

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bitlens {

/// The sizes of a block: d, heads, key and value heads, head_dim, d_ff; ε of its norms and θ of its rotary embedding.
struct block_shape {
    std::size_t width = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn_width = 0;
    float norm_eps = 0;
    double rope_theta = 0;

    bool operator==(block_shape const&) const = default;
};

/// Shape of a projection's weight.
struct matrix_shape {
    std::size_t rows = 0, cols = 0; // outputs, inputs

    bool operator==(matrix_shape const&) const = default;
};
constexpr matrix_shape shape_of(projection p, block_shape const& s) noexcept {
    switch (p) {
    case projection::q:
        return {s.heads * s.head_dim, s.width};
    case projection::k:
    case projection::v:
        return {s.kv_heads * s.head_dim, s.width};
    case projection::o:
        return {s.width, s.heads * s.head_dim};
    case projection::gate:
    case projection::up:
        return {s.ffn_width, s.width};
    case projection::down:
        break;
    }
    return {s.width, s.ffn_width};
}

/// What a block has besides its matrices: γ of both norms (d), and biases (empty when the architecture has none: one
/// that would be left out is refused).
struct norms_and_biases {
    std::vector<float> attn_norm, mlp_norm, q_bias, k_bias, v_bias;
};

/// The weights of one block. Each part is shared by all models that have it.
template <class W>
struct block_weights {
    std::array<std::shared_ptr<const W>, projection_count> linear;
    std::shared_ptr<const norms_and_biases> rest;

    W const& operator[](projection p) const noexcept { return *linear[static_cast<std::size_t>(p)]; }
};

/// The stages of a block, named after the matrices they multiply with.
enum class stage : std::uint8_t { qkv, o, gate_up, down, end };

/// What one example is between two stages.
struct block_state {
    matrix<float> x;     // the residual stream (T, d)
    matrix<float> heads; // input of W_o (T, heads · head_dim), after stage qkv
    matrix<float> act;   // input of W_down (T, d_ff), after stage gate_up
    std::shared_ptr<const rope_table> rope;
    stage next = stage::qkv;

    block_state(std::size_t positions, block_shape const& s)
        : x(positions, s.width), heads(positions, s.heads * s.head_dim), act(positions, s.ffn_width),
          rope(std::make_shared<const rope_table>(positions, s.head_dim, s.rope_theta)) {}
};

/// Bytes of workspace that advance needs, whoever listens.
inline std::size_t advance_bytes(block_shape const& s, std::size_t positions, unsigned tasks) {
    const auto floats = [&](std::size_t width) { return workspace::bytes_for<float>(positions * width); };
    std::size_t product = 0;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), s);
        product = std::max(product, matmul_bytes(rows, cols, positions, tasks));
    }
    const std::size_t query = floats(s.heads * s.head_dim), key = floats(s.kv_heads * s.head_dim);
    const std::size_t attend = floats(s.width) + query + 2 * key +
                               std::max(product, attention_bytes(positions, s.kv_heads, s.head_dim, tasks));
    const std::size_t gate = 2 * floats(s.width) + floats(s.ffn_width) + product;
    return std::max(attend, gate);
}

namespace detail {

/// f(first, count) over the rows of a document, in as many pieces as the workspace has tasks.
template <class F>
void over_rows(std::size_t positions, workspace const& scratch, F const& f) {
    parallel_pieces(positions, scratch.tasks(), 1,
                    [&](std::size_t, std::size_t first, std::size_t end) { f(first, end - first); });
}

/// One block at work on one example; a member function per stage.
template <class Architecture, class W, class P>
struct block_run {
    block_shape const& shape;
    block_weights<W> const& weights;
    site at;
    block_state& state;
    workspace& scratch;
    P& probe;

    std::size_t positions() const noexcept { return state.x.rows(); }
    void normalise(std::vector<float> const& gamma, matrix_view<float> y) {
        over_rows(positions(), scratch, [&](std::size_t first, std::size_t count) {
            rms_norm(state.x.view().middle_rows(first, count), gamma, shape.norm_eps, y.middle_rows(first, count));
        });
    }

    /// heads = attention(norm(x)).
    void qkv() {
        emit<hook::resid_pre>(probe, at, state.x);
        workspace::frame frame(scratch);
        const auto n = frame.template take<float>(positions(), shape.width);
        normalise(weights.rest->attn_norm, n);
        emit<hook::attn_in>(probe, at, n);

        const auto q = frame.template take<float>(positions(), shape.heads * shape.head_dim);
        const auto k = frame.template take<float>(positions(), shape.kv_heads * shape.head_dim);
        const auto v = frame.template take<float>(positions(), shape.kv_heads * shape.head_dim);
        matmul(weights[projection::q], n, q, scratch);
        matmul(weights[projection::k], n, k, scratch);
        matmul(weights[projection::v], n, v, scratch);
        over_rows(positions(), scratch, [&](std::size_t first, std::size_t count) {
            if constexpr (Architecture::qkv_bias) {
                add_bias(weights.rest->q_bias, q.middle_rows(first, count));
                add_bias(weights.rest->k_bias, k.middle_rows(first, count));
                add_bias(weights.rest->v_bias, v.middle_rows(first, count));
            }
            rope(*state.rope, first, q.middle_rows(first, count));
            rope(*state.rope, first, k.middle_rows(first, count));
        });
        attention(q, k, v, shape.head_dim, state.heads, scratch);
        emit<hook::attn_heads>(probe, at, state.heads);
    }

    /// x += W_o · heads.
    void o() {
        workspace::frame frame(scratch);
        const auto out = frame.template take<float>(positions(), shape.width);
        matmul(weights[projection::o], state.heads, out, scratch);
        emit<hook::attn_out>(probe, at, out);
        add(state.x, out);
        emit<hook::resid_mid>(probe, at, state.x);
    }

    /// act = σ(W_gate · norm(x)) ⊙ W_up · norm(x).
    void gate_up() {
        workspace::frame frame(scratch);
        const auto n = frame.template take<float>(positions(), shape.width);
        normalise(weights.rest->mlp_norm, n);
        emit<hook::mlp_in>(probe, at, n);

        const auto gate = state.act.view();
        if constexpr (listens<P, hook::mlp_gate_in>) { // W_gate alone reads what the probe leaves there
            const auto gate_in = frame.template take<float>(positions(), shape.width);
            std::copy(n.data, n.data + n.rows * n.cols, gate_in.data);
            emit<hook::mlp_gate_in>(probe, at, gate_in);
            matmul(weights[projection::gate], gate_in, gate, scratch);
        } else {
            matmul(weights[projection::gate], n, gate, scratch);
        }
        const auto up = frame.template take<float>(positions(), shape.ffn_width);
        matmul(weights[projection::up], n, up, scratch);
        over_rows(positions(), scratch, [&](std::size_t first, std::size_t count) {
            if constexpr (listens_to_any<P, hook::mlp_gate, hook::mlp_up>)
                silu(gate.middle_rows(first, count));
            else
                silu_multiply(gate.middle_rows(first, count), up.middle_rows(first, count));
        });
        if constexpr (listens_to_any<P, hook::mlp_gate, hook::mlp_up>) {
            emit<hook::mlp_gate>(probe, at, gate);
            emit<hook::mlp_up>(probe, at, up);
            multiply(gate, up);
        }
        emit<hook::mlp_act>(probe, at, gate);
    }

    /// x += W_down · act.
    void down() {
        workspace::frame frame(scratch);
        const auto out = frame.template take<float>(positions(), shape.width);
        matmul(weights[projection::down], state.act, out, scratch);
        emit<hook::mlp_out>(probe, at, out);
        add(state.x, out);
        emit<hook::resid_post>(probe, at, state.x);
    }
};

/// Errors: shape_error where weights or state do not fit the shape.
template <class Architecture, class W>
void check_block(block_shape const& shape, block_weights<W> const& weights, block_state const& state) {
    constexpr const char* who = "advance";
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto which = static_cast<projection>(p);
        if (weights.linear[p] == nullptr)
            throw shape_error("advance: the block has no " + std::string(name(which)) +
                              "; all projections are expected");
        const auto [rows, cols] = shape_of(which, shape);
        check_shape(who, name(which).data(), weights.linear[p]->rows(), weights.linear[p]->cols(), rows, cols);
    }
    if (weights.rest == nullptr) throw shape_error("advance: the block has no norms; both are expected");
    const std::size_t query = shape.heads * shape.head_dim, key = shape.kv_heads * shape.head_dim;
    check_size(who, "attn_norm", weights.rest->attn_norm.size(), shape.width);
    check_size(who, "mlp_norm", weights.rest->mlp_norm.size(), shape.width);
    check_size(who, "q_bias", weights.rest->q_bias.size(), Architecture::qkv_bias ? query : 0);
    check_size(who, "k_bias", weights.rest->k_bias.size(), Architecture::qkv_bias ? key : 0);
    check_size(who, "v_bias", weights.rest->v_bias.size(), Architecture::qkv_bias ? key : 0);
    const std::size_t positions = state.x.rows();
    check_shape(who, "the state's x", state.x.view(), positions, shape.width);
    check_shape(who, "the state's heads", state.heads.view(), positions, query);
    check_shape(who, "the state's act", state.act.view(), positions, shape.ffn_width);
}

} // namespace detail

/// Runs the stages state.next … until − 1 of one block on one example and speaks to the probe on the way; after the
/// last stage the state is ready for the next block. Each stage's inputs lie in the state or follow from it (norm of x,
/// heads, act), so that weights may change between two calls: a stage that left x alone (qkv, gate_up) can be run
/// again.   Scratch: advance_bytes.   Errors: shape_error where weights or state do not fit the shape, or the workspace
/// is too small.
template <class Architecture, product_weights W, detail::meant_as_probe P>
void advance(block_shape const& shape, block_weights<W> const& weights, site at, block_state& state, stage until,
             workspace& scratch, P& p) {
    detail::check_block<Architecture>(shape, weights, state);
    scratch.require("advance", advance_bytes(shape, state.x.rows(), scratch.tasks()));
    detail::block_run<Architecture, W, P> run{shape, weights, at, state, scratch, p};
    for (; state.next < until; state.next = static_cast<stage>(static_cast<int>(state.next) + 1)) switch (state.next) {
        case stage::qkv:
            run.qkv();
            break;
        case stage::o:
            run.o();
            break;
        case stage::gate_up:
            run.gate_up();
            break;
        case stage::down:
            run.down();
            break;
        case stage::end:
            break;
        }
    if (state.next == stage::end) state.next = stage::qkv;
}

} // namespace bitlens

// ---- bitlens/layers/embedding.hpp
/// embedding: token ids → rows of the embedding matrix.

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlens {

/// x_t = E[ids_t].   Shapes: ids (T), E (vocabulary, d), x (T, d).
/// Errors: shape_error where they do not fit, or for an id outside the vocabulary.
template <weight_matrix W>
void embed(W const& embedding, std::span<const std::int32_t> ids, matrix_view<float> x) {
    if constexpr (is_mixed_matrix<W>) {
        embedding.visit([&](auto const& m) { embed(m, ids, x); });
    } else {
        detail::check_shape("embed", "x", x, ids.size(), embedding.cols());
        check_token_ids(ids, embedding.rows());
        for (std::size_t t = 0; t < ids.size(); ++t)
            for (std::size_t i = 0; i < x.cols; ++i) x(t, i) = embedding.value(static_cast<std::size_t>(ids[t]), i);
    }
}

} // namespace bitlens

// ---- bitlens/layers/reference.hpp
/// Slow truths of this folder: the formulas in double, rounded to float at the end.

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bitlens::reference {

/// See bitlens::rms_norm.
inline void rms_norm(matrix_view<const float> x, std::span<const float> gamma, float epsilon, matrix_view<float> y) {
    bitlens::detail::check_size("reference::rms_norm", "gamma", gamma.size(), x.cols);
    bitlens::detail::check_shape("reference::rms_norm", "y", y, x.rows, x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) {
        double squares = 0;
        for (float v : x.row(t)) squares += double{v} * double{v};
        const double rms = std::sqrt(squares / static_cast<double>(x.cols) + double{epsilon});
        for (std::size_t i = 0; i < x.cols; ++i) y(t, i) = static_cast<float>(double{gamma[i]} * double{x(t, i)} / rms);
    }
}

/// See bitlens::rope; the angle is exact here, not rounded to float.
inline void rope(std::size_t head_dim, double theta, matrix_view<float> x) {
    const std::size_t half = head_dim / 2;
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t head = 0; head < x.cols; head += head_dim)
            for (std::size_t i = 0; i < half; ++i) {
                const double angle = static_cast<double>(t) *
                                     std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
                const double a = double{x(t, head + i)}, b = double{x(t, head + half + i)};
                x(t, head + i) = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
                x(t, head + half + i) = static_cast<float>(b * std::cos(angle) + a * std::sin(angle));
            }
}

/// See bitlens::attention.
inline void attention(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v,
                      std::size_t head_dim, matrix_view<float> out) {
    bitlens::detail::check_attention_operands(q, k, v, head_dim, out);
    const std::size_t heads = q.cols / head_dim, group = heads / (k.cols / head_dim);
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t t = 0; t < q.rows; ++t) {
            const std::size_t key = h / group * head_dim;
            std::vector<double> p(t + 1);
            double sum = 0;
            for (std::size_t s = 0; s <= t; ++s) {
                for (std::size_t i = 0; i < head_dim; ++i)
                    p[s] += double{q(t, h * head_dim + i)} * double{k(s, key + i)};
                p[s] = std::exp(p[s] / std::sqrt(static_cast<double>(head_dim)));
                sum += p[s];
            }
            for (std::size_t i = 0; i < head_dim; ++i) {
                double result = 0;
                for (std::size_t s = 0; s <= t; ++s) result += p[s] / sum * double{v(s, key + i)};
                out(t, h * head_dim + i) = static_cast<float>(result);
            }
        }
}

/// σ(gate) ⊙ up, into gate. See bitlens::silu_multiply.
inline void silu_multiply(matrix_view<float> gate, matrix_view<const float> up) {
    bitlens::detail::check_shape("reference::silu_multiply", "up", up, gate.rows, gate.cols);
    for (std::size_t t = 0; t < gate.rows; ++t)
        for (std::size_t i = 0; i < gate.cols; ++i) {
            const double g = double{gate(t, i)};
            gate(t, i) = static_cast<float>(g / (1 + std::exp(-g)) * double{up(t, i)});
        }
}

} // namespace bitlens::reference

// ---- bitlens/models.hpp
/// Whole models: their configuration, their files, and the forward pass.

// ---- bitlens/models/architectures.hpp
/// The families of models, one type each, saying what differs between them.

#include <concepts>
#include <string>
#include <string_view>

namespace bitlens {

/// Llama 2 and 3 without rope scaling, SmolLM2, and others of their build: RMS norms before attention and MLP, grouped
/// heads, rotary embedding over whole heads, a SiLU gate, no biases. r is what the second norm reads, h what it gives.
struct llama {
    static constexpr std::string_view name = "llama";
    static constexpr std::string_view hugging_face_class = "LlamaForCausalLM";
    static constexpr bool qkv_bias = false;
    static constexpr bool gguf_interleaves_heads =
        true; // its GGUF files store the rows of q and k in pairs (2i, 2i + 1)
};

/// Qwen 2 and 2.5: as llama, with biases on q, k and v.
struct qwen2 {
    static constexpr std::string_view name = "qwen2";
    static constexpr std::string_view hugging_face_class = "Qwen2ForCausalLM";
    static constexpr bool qkv_bias = true;
    static constexpr bool gguf_interleaves_heads = false;
};

/// Whether visit_architecture takes the name.
constexpr bool is_architecture(std::string_view name) noexcept { return name == llama::name || name == qwen2::name; }

/// What every family says of itself: see docs/add-an-architecture.md.
template <class A>
concept architecture = requires {
    { A::name } -> std::convertible_to<std::string_view>;
    { A::hugging_face_class } -> std::convertible_to<std::string_view>;
    { A::qkv_bias } -> std::convertible_to<bool>;
    { A::gguf_interleaves_heads } -> std::convertible_to<bool>;
};

/// f(llama{}) or f(qwen2{}) …, by name.   Errors: format_error for another name, listing those that exist.
template <class F>
decltype(auto) visit_architecture(std::string_view name, F const& f) {
    if (name == llama::name) return f(llama{});
    if (name == qwen2::name) return f(qwen2{});
    throw format_error("architecture '" + visible_text(name.substr(0, 100)) +
                       "' is not supported; there are llama and qwen2");
}

} // namespace bitlens

// ---- bitlens/models/checkpoint.hpp
/// checkpoint: a model on disk, a Hugging Face folder or a GGUF file, with its tensors under Hugging Face names.

// ---- bitlens/models/checkpoint_path.hpp
/// What a path leads to that is given as a model, and where it leads to none, what to give or do instead.

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

inline bool is_there(std::filesystem::path const& path) noexcept {
    std::error_code unknown; // what cannot be asked for cannot be opened either
    return std::filesystem::exists(path, unknown);
}

/// "org/name" of a path that is a model's name on a hub, or its address there; empty for another.
inline std::string hub_name(std::string_view text) {
    if (const auto scheme = text.find("://"); scheme != text.npos) {
        const auto host_end = text.find('/', scheme + 3);
        text.remove_prefix(host_end == text.npos ? text.size() : host_end + 1);
        const auto name_end = text.find('/', std::min(text.find('/'), text.size() - 1) + 1);
        text = text.substr(0, name_end); // "org/name/tree/main" and the like
    }
    text = text.substr(0, text.find(':')); // "org/name:Q4_K_M"
    if (text.ends_with('/')) text.remove_suffix(1);
    const auto slash = text.find('/');
    const auto is_part = [](std::string_view part) {
        constexpr std::string_view signs = "-_.";
        return !part.empty() && !part.starts_with('.') && std::ranges::all_of(part, [&](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   signs.find(c) != signs.npos;
        });
    };
    if (slash == text.npos || !is_part(text.substr(0, slash)) || !is_part(text.substr(slash + 1))) return {};
    for (std::string_view ending : {".gguf", ".safetensors", ".json", ".bin"})
        if (text.ends_with(ending)) return {};
    return std::string(text);
}

/// A few of the names, for a message.
inline std::string some_of(std::vector<std::string> const& names) {
    constexpr std::size_t most = 3;
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i == 0 ? "" : ", ") + in_quotes(names[i]);
    return text + (names.size() > most ? ", …" : "");
}

/// Names of what lies in a folder, sorted.
inline std::vector<std::string> names_in(std::filesystem::path const& folder) {
    std::vector<std::string> names;
    std::error_code unknown;
    for (auto const& entry : std::filesystem::directory_iterator(folder, unknown))
        names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

/// The first folder below that holds a config.json, as those of a hub's cache do; empty where there is none.
inline std::filesystem::path folder_below(std::filesystem::path const& folder) {
    for (auto const& place : {folder, folder / "snapshots"})
        for (auto const& name : names_in(place))
            if (is_there(place / name / "config.json")) return place / name;
    return {};
}

/// Weights as others write them, by the start and the end of their names.
struct foreign_weights {
    std::string_view begins, ends, name, remedy;
};
inline constexpr std::string_view saved_again =
    "load the model with transformers and save it again (save_pretrained), which writes model.safetensors";
inline constexpr std::array<foreign_weights, 13> known_weights{{
    {"consolidated", ".safetensors", "weights in the layout of who made the model",
     "fetch the files of the same model for transformers"},
    {"consolidated", ".pth", "weights in the layout of who made the model",
     "fetch the files of the same model for transformers"},
    {"model-", ".safetensors", "shards", "fetch model.safetensors.index.json too, which says what is in which"},
    {"", ".safetensors", "safetensors of another name", "name the one file that is meant model.safetensors"},
    {"", ".gguf", "GGUF files", "give the path of one of them"},
    {"", ".bin", "PyTorch's pickled weights", saved_again},
    {"", ".pth", "PyTorch's pickled weights", saved_again},
    {"", ".pt", "PyTorch's pickled weights", saved_again},
    {"", ".ckpt", "pickled weights", saved_again},
    {"", ".msgpack", "Flax weights", saved_again},
    {"", ".h5", "TensorFlow weights", saved_again},
    {"", ".onnx", "an ONNX graph", "fetch the model that it was made from"},
    {"", ".tflite", "a TensorFlow Lite graph", "fetch the model that it was made from"},
}};

/// What an adapter says of the model that it changes.
inline std::string base_model_of(std::filesystem::path const& adapter_config) {
    try {
        const json parsed = read_json_file(adapter_config);
        const auto base = if_present<std::string>(parsed, "base_model_name_or_path", adapter_config.string());
        if (base) return ", " + in_quotes(*base) + ",";
    } catch (error const&) { // it only helps to say more
    }
    return "";
}

/// "; there are …" of what a folder has in place of weights that are read; empty where there is nothing known.
inline std::string instead_of_weights(std::filesystem::path const& folder) {
    const auto names = names_in(folder);
    if (is_there(folder / "adapter_config.json"))
        return "; there is an adapter (LoRA, adapter_config.json), which changes a model and is none: merge it into "
               "its "
               "base model" +
               base_model_of(folder / "adapter_config.json") + " and save that (merge_and_unload, save_pretrained)";
    for (auto const& kind : known_weights) {
        std::vector<std::string> found;
        for (auto const& name : names)
            if (name.starts_with(kind.begins) && name.ends_with(kind.ends)) found.push_back(name);
        if (!found.empty())
            return "; there are " + std::string(kind.name) + " (" + some_of(found) +
                   "), which are not read here: " + std::string(kind.remedy);
    }
    return "";
}

} // namespace detail

/// What is wrong with a path at which there is nothing, and how to get there what its name may mean.
inline std::string missing_model_text(std::filesystem::path const& path) {
    std::string text = path.string() + ": there is no such file or folder";
    const std::string hub = detail::hub_name(path.string());
    if (hub.empty()) return text;
    const std::string name = hub.substr(hub.find('/') + 1);
    return text + "; nothing is fetched from a hub: 'hf download " + hub + " --local-dir " + name +
           "' does that, and the folder " + name + " is then given";
}

namespace detail {

/// Errors: format_error for a file that is none of GGUF but can be told.
inline void refuse_file_of_folder(std::filesystem::path const& path, std::span<const std::byte> bytes) {
    const std::string name = path.filename().string();
    const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    if (name.ends_with(".safetensors") || name.ends_with(".json") || begins_as_safetensors(bytes))
        throw format_error(path.string() + ": this is one file of a Hugging Face folder; give the folder, " +
                           folder.string());
    for (auto const& kind : known_weights)
        if (!name.ends_with(".gguf") && name.starts_with(kind.begins) && name.ends_with(kind.ends))
            throw format_error(path.string() + ": " + std::string(kind.name) +
                               " are not read: " + std::string(kind.remedy));
}

/// Whether a folder (or else a file, perhaps GGUF) is at a path.
/// Errors: io_error where nothing is; format_error for a file that is no GGUF and can be told.
inline bool is_model_folder(std::filesystem::path const& path) {
    std::error_code unknown;
    const auto status = std::filesystem::status(path, unknown);
    if (status.type() == std::filesystem::file_type::not_found) throw io_error(missing_model_text(path));
    if (std::filesystem::is_directory(status)) return true;
    const mapped_file file(path);
    if (!as_text(file.bytes()).starts_with("GGUF")) refuse_file_of_folder(path, file.bytes());
    return false;
}

inline bool has_weights(std::filesystem::path const& folder) {
    return is_there(folder / "model.safetensors") || is_there(folder / "model.safetensors.index.json");
}

/// Errors: io_error for a folder without config.json, saying what there is.
inline void require_config(std::filesystem::path const& folder) {
    if (is_there(folder / "config.json")) return;
    std::string text =
        folder.string() + ": holds no config.json; a Hugging Face folder has one beside model.safetensors";
    if (const auto below = folder_below(folder); !below.empty())
        text += "; there is one in " + below.string() + ": give that folder";
    else if (!has_weights(folder))
        text += instead_of_weights(folder);
    throw io_error(text);
}

/// Errors: io_error for a folder without weights that are read, saying what there is.
inline void require_weights(std::filesystem::path const& folder) {
    if (has_weights(folder)) return;
    throw io_error(folder.string() + ": holds neither model.safetensors nor model.safetensors.index.json" +
                   instead_of_weights(folder));
}

/// Descriptions of quantized weights that stand beside config.json, and the method that each belongs to.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 2> quantization_files{
    {{"quantize_config.json", "GPTQ"}, {"quant_config.json", "AWQ"}}};

} // namespace detail

} // namespace bitlens

// ---- bitlens/models/config.hpp
/// model_config: the sizes of a model, read from config.json or from GGUF metadata. What could change a result and is
/// not understood is a problem, never ignored.

// ---- bitlens/models/config_keys.hpp
/// What the keys of configurations mean to a reader that computes the forward pass of llama and qwen2 and nothing else.
/// Source: PretrainedConfig, LlamaConfig, Qwen2Config and GenerationConfig of transformers 4.31, 4.40, 4.46, 4.57 and
/// 5.24; ggml's docs/gguf.md and the constants of gguf 0.19.

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitlens::detail {

inline bool contains(std::span<const std::string_view> all, std::string_view one) {
    return std::ranges::find(all, one) != all.end();
}

/// The values at which a key changes nothing, and counts as absent.
enum class neutral : std::uint8_t {
    off,        // false, 0, and nothing: "", [], {}
    on,         // true
    one,        // 1
    off_or_one, // a factor of 0 is none
};

constexpr std::string_view name(neutral values) noexcept {
    switch (values) {
    case neutral::off:
        return "false or 0";
    case neutral::on:
        return "true";
    case neutral::one:
        return "1";
    case neutral::off_or_one:
        return "0 or 1";
    }
    return {};
}

/// x: a number, or a bool as 0 or 1.
constexpr bool is_neutral(double x, neutral values) noexcept {
    return (x == 0 && (values == neutral::off || values == neutral::off_or_one)) || (x == 1 && values != neutral::off);
}

/// A key that changes what is computed wherever a model knows it, unless its value is neutral.
struct neutral_key {
    std::string_view name;
    neutral values;
};

/// nullptr where there is none of that name.
constexpr neutral_key const* find(std::span<const neutral_key> keys, std::string_view name) noexcept {
    const auto found = std::ranges::find(keys, name, &neutral_key::name);
    return found == keys.end() ? nullptr : &*found;
}

// config.json

/// Keys that cannot change what the model computes: what a file says of itself, of training, of how it is to be run, of
/// special tokens, and of generation.
inline constexpr auto harmless_config_keys = std::to_array<std::string_view>({
    // the state of the program that wrote it
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_auto_class",
    "_commit_hash",
    "_configuration_file",
    "_experts_implementation",
    "_experts_implementation_internal",
    "_flash_attn_2_enabled",
    "_from_auto",
    "_from_model_config",
    "_from_pipeline",
    "_model_name_or_path",
    "_name_or_path",
    "_original_object_hash",
    "_output_attentions",
    "_pre_quantization_dtype",
    "_sliding_window_pattern",
    "architectures",
    "attn_implementation",
    "attribute_map",
    "auto_map",
    "base_config_key",
    "base_model_ep_plan",
    "base_model_fsdp_plan",
    "base_model_pp_plan",
    "base_model_tp_plan",
    "chunk_size_feed_forward",
    "dtype",
    "experts_implementation",
    "finetuning_task",
    "has_no_defaults_at_init",
    "id2label",
    "is_composition",
    "is_decoder",
    "is_encoder_decoder",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "model_name_or_path",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "return_dict",
    "sub_configs",
    "sub_configs_defaults",
    "task_specific_params",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_return_dict",
    "xla_device",
    // training; attention over the states of an encoder, which none of the families has
    "add_cross_attention",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "embd_pdrop",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "initializer_range",
    "neftune_noise_alpha",
    "output_router_logits",
    "resid_pdrop",
    "router_aux_loss_coef",
    // lengths: nothing is cut there
    "max_sequence_length",
    "model_max_length",
    "original_max_position_embeddings",
    "seq_length",
    // special tokens
    "bos_token",
    "bos_token_id",
    "cls_token_id",
    "decoder_start_token_id",
    "eos_token",
    "eos_token_id",
    "mask_token_id",
    "pad_token",
    "pad_token_id",
    "sep_token_id",
    "unk_token",
    "unk_token_id",
    // generation, which old versions keep here
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_ensemble_weight",
    "assistant_lookbehind",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "constraints",
    "continuous_batching_config",
    "disable_compile",
    "diversity_penalty",
    "do_sample",
    "dola_layers",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "force_bos_token_to_be_generated",
    "force_words_ids",
    "forced_bos_token_id",
    "forced_decoder_ids",
    "forced_eos_token_id",
    "generation_config",
    "generation_kwargs",
    "guidance_scale",
    "is_assistant",
    "length_penalty",
    "low_memory",
    "max_cache_len",
    "max_length",
    "max_matching_ngram_size",
    "max_new_tokens",
    "max_time",
    "min_length",
    "min_new_tokens",
    "min_p",
    "no_repeat_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_logits",
    "output_scores",
    "penalty_alpha",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "remove_invalid_values",
    "renormalize_logits",
    "repetition_penalty",
    "return_dict_in_generate",
    "return_legacy_cache",
    "sequence_bias",
    "speculation_type",
    "stop_strings",
    "suppress_tokens",
    "target_lookbehind",
    "temperature",
    "token_healing",
    "top_h",
    "top_k",
    "top_p",
    "typical_p",
    "use_mtp",
    "watermarking_config",
});

/// Keys that the reader understands, whatever their value.
inline constexpr auto read_config_keys = std::to_array<std::string_view>({
    "compression_config",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "quantization",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "vocab_size",
});

inline constexpr auto neutral_config_keys = std::to_array<neutral_key>({
    {"alibi", neutral::off},
    {"attention_bias", neutral::off},
    {"attention_chunk_size", neutral::off},
    {"attn_logit_softcapping", neutral::off},
    {"bias", neutral::off},
    {"clip_qkv", neutral::off},
    {"embedding_multiplier", neutral::one},
    {"final_logit_softcapping", neutral::off},
    {"is_causal", neutral::on},
    {"logit_scale", neutral::one},
    {"logits_scaling", neutral::one},
    {"mlp_bias", neutral::off},
    {"mlp_only_layers", neutral::off},
    {"n_routed_experts", neutral::off},
    {"n_shared_experts", neutral::off},
    {"num_experts", neutral::off},
    {"num_experts_per_tok", neutral::off},
    {"num_local_experts", neutral::off},
    {"num_nextn_predict_layers", neutral::off},
    {"parallel_attn", neutral::off},
    {"partial_rotary_factor", neutral::one},
    {"per_layer_config", neutral::off},
    {"pruned_heads", neutral::off},
    {"qk_layernorm", neutral::off},
    {"qk_norm", neutral::off},
    {"residual_multiplier", neutral::one},
    {"rope_interleaved", neutral::off},
    {"rotary_pct", neutral::one},
    {"scale_emb", neutral::one},
    {"use_alibi", neutral::off},
    {"use_bidirectional_attention", neutral::off},
    {"use_dynamic_ntk", neutral::off},
    {"use_logn_attn", neutral::off},
    {"use_mrope", neutral::off},
    {"use_parallel_residual", neutral::off},
    {"use_qk_norm", neutral::off},
    {"use_sliding_window", neutral::off},
});

/// unsloth writes more of its own from one version to the next.
inline bool is_known_config_key(std::string_view key) {
    return key.starts_with("unsloth_") || contains(harmless_config_keys, key) || contains(read_config_keys, key) ||
           find(neutral_config_keys, key) != nullptr;
}

inline bool is_neutral(json const& value, neutral values) {
    if (auto const* const flag = value.get_ptr<bool const*>()) return is_neutral(*flag ? 1.0 : 0.0, values);
    if (value.is_number()) return is_neutral(value.get<double>(), values);
    auto const* const text = value.get_ptr<std::string const*>();
    return values == neutral::off && (text ? text->empty() : value.empty());
}

/// Keys of rope_scaling and rope_parameters. All but the first six say nothing beside a factor of 1.
inline constexpr auto read_rope_keys = std::to_array<std::string_view>({
    "rope_theta",
    "rope_type",
    "type",
    "factor",
    "attention_factor",
    "partial_rotary_factor",
    "beta_fast",
    "beta_slow",
    "high_freq_factor",
    "low_freq_factor",
    "mscale",
    "mscale_all_dim",
    "original_max_position_embeddings",
    "truncate",
});

// GGUF, below "<architecture>."

/// Keys that the reader understands, or that change nothing where those do not: of layers with a window, of which there
/// are none, and of a scaling of positions, which is refused.
inline constexpr auto read_gguf_keys = std::to_array<std::string_view>({
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.key_length_swa",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.value_length",
    "attention.value_length_swa",
    "block_count",
    "context_length",
    "decoder_start_token_id",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.dimension_count_swa",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
    "tensor_data_layout",
    "vocab_size",
});

inline constexpr auto neutral_gguf_keys = std::to_array<neutral_key>({
    {"attention.causal", neutral::on},
    {"attention.clamp_kqv", neutral::off},
    {"attention.kv_lora_rank", neutral::off},
    {"attention.max_alibi_bias", neutral::off},
    {"attention.q_lora_rank", neutral::off},
    {"attention.scale", neutral::off},
    {"attention.shared_kv_layers", neutral::off},
    {"attention.temperature_length", neutral::off},
    {"attention.temperature_scale", neutral::off},
    {"attn_logit_softcapping", neutral::off},
    {"embedding_scale", neutral::off_or_one},
    {"expert_count", neutral::off},
    {"expert_feed_forward_length", neutral::off},
    {"expert_gating_func", neutral::off},
    {"expert_group_count", neutral::off},
    {"expert_group_used_count", neutral::off},
    {"expert_shared_count", neutral::off},
    {"expert_shared_feed_forward_length", neutral::off},
    {"expert_used_count", neutral::off},
    {"expert_weights_norm", neutral::off},
    {"expert_weights_scale", neutral::off_or_one},
    {"final_logit_softcapping", neutral::off},
    {"full_attention_interval", neutral::off},
    {"interleave_moe_layer_step", neutral::off},
    {"leading_dense_block_count", neutral::off},
    {"logit_scale", neutral::off_or_one},
    {"moe_every_n_layers", neutral::off},
    {"n_deepstack_layers", neutral::off},
    {"nextn_predict_layers", neutral::off},
    {"pooling_type", neutral::off},
    {"rescale_every_n_layers", neutral::off},
    {"residual_scale", neutral::off_or_one},
    {"rope.scale", neutral::off_or_one},
    {"rope.scale_linear", neutral::off_or_one},
    {"rope.scaling.alpha", neutral::off_or_one},
    {"rope.scaling.attn_factor", neutral::one},
    {"rope.scaling.yarn_attn_factor", neutral::one},
    {"rope.scaling.yarn_ext_factor", neutral::off},
    {"router_logit_softcapping", neutral::off},
    {"swin_norm", neutral::off},
    {"use_parallel_residual", neutral::off},
});

inline bool is_known_gguf_key(std::string_view below_architecture) {
    return contains(read_gguf_keys, below_architecture) || find(neutral_gguf_keys, below_architecture) != nullptr;
}

/// A number, or a bool as 0 or 1; nothing for another type.   Errors: format_error for an integer above 2^63.
inline std::optional<double> number_of(gguf_file const& file, gguf_value const& value) {
    if (value.type == gguf_type::string || value.type == gguf_type::array) return std::nullopt;
    if (value.type == gguf_type::boolean) return file.required<bool>(value.key) ? 1.0 : 0.0;
    if (value.type == gguf_type::float32 || value.type == gguf_type::float64) return file.required<double>(value.key);
    return static_cast<double>(file.required<std::int64_t>(value.key));
}

/// As found_text of JSON.
inline std::string found_text(gguf_file const& file, gguf_value const& value) {
    if (value.type == gguf_type::array) return "an array";
    if (value.type == gguf_type::string) return in_quotes(file.required<std::string_view>(value.key));
    const double x = number_of(file, value).value_or(0);
    if (value.type == gguf_type::boolean) return x == 1 ? "true" : "false";
    std::array<char, 32> digits;
    return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), x).ptr};
}

} // namespace bitlens::detail

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What a checkpoint says about its model.
struct model_config {
    std::string architecture; // name of one of the types in architectures.hpp
    std::size_t layers = 0, vocabulary = 0;
    std::size_t context = 0; // positions it was trained for; nothing is cut there
    block_shape block;
    bool tied_head = false; // the head is the embedding

    bool operator==(model_config const&) const = default;
};

/// f(llama{}) or f(qwen2{}) …   Errors: format_error for another architecture, listing those that exist.
template <class F>
decltype(auto) visit_architecture(model_config const& config, F const& f) {
    return visit_architecture(std::string_view(config.architecture), f);
}

/// Everything that is wrong with a checkpoint, one sentence each. `inspect` shows all, a loader throws the first.
class problem_list {
public:
    /// Runs f and keeps the text of an error, so that the next check still runs.
    template <class Error = format_error, class F>
    void collect(F const& f) {
        try {
            f();
        } catch (option_error const&) {
            throw; // what was asked for is wrong, not what was found
        } catch (Error const& e) {
            add(e.what());
        }
    }
    void add(std::string text) { texts_.push_back(std::move(text)); }
    std::vector<std::string> const& texts() const noexcept { return texts_; }
    bool empty() const noexcept { return texts_.empty(); }

private:
    std::vector<std::string> texts_;
};

namespace detail {

/// Larger than any size of a model, small enough that the product of two is no overflow.
inline constexpr std::size_t largest_size = std::size_t{1} << 30;

} // namespace detail

/// Checks that the sizes make a model: every one positive, query heads a multiple of key heads, an even head_dim,
/// ε and θ positive.
inline void check_config(model_config const& c, std::string const& who, problem_list& problems) {
    auto const& b = c.block;
    const auto wrong = [&](std::string_view what, std::string const& found) {
        problems.add(who + ": " + std::string(what) + " is expected, " + found + " was found");
    };
    const std::array<std::pair<std::string_view, std::size_t>, 8> sizes{{{"layers", c.layers},
                                                                         {"vocabulary", c.vocabulary},
                                                                         {"context", c.context},
                                                                         {"hidden size", b.width},
                                                                         {"attention heads", b.heads},
                                                                         {"key and value heads", b.kv_heads},
                                                                         {"head dimension", b.head_dim},
                                                                         {"feed-forward size", b.ffn_width}}};
    for (auto const& [name, size] : sizes)
        if (size == 0 || size > detail::largest_size)
            wrong("a number of " + std::string(name) + " from 1 to 2^30", std::to_string(size));
    if (b.kv_heads != 0 && b.heads % b.kv_heads != 0)
        wrong("a number of attention heads that is a multiple of the " + std::to_string(b.kv_heads) +
                  " key and value heads",
              std::to_string(b.heads));
    if (b.head_dim % 2 != 0) wrong("an even head dimension (rotary embedding turns pairs)", std::to_string(b.head_dim));
    if (!(b.norm_eps > 0) || !std::isfinite(b.norm_eps))
        wrong("a positive epsilon of the norms", std::to_string(b.norm_eps));
    if (!(b.rope_theta > 0) || !std::isfinite(b.rope_theta))
        wrong("a positive rope theta", std::to_string(b.rope_theta));
}

namespace detail {

/// Numbers of a description of quantized weights, wherever its kind keeps them: the first of that name, outermost
/// first.
inline json const* find_below(json const& object, std::span<const std::string_view> names, std::size_t depth = 3) {
    for (std::string_view name : names)
        if (const auto place = object.find(name); place != object.end() && !place->is_null()) return &*place;
    if (depth == 0) return nullptr;
    for (auto const& inner : object)
        if (inner.is_object())
            if (json const* const found = find_below(inner, names, depth - 1)) return found;
    return nullptr;
}

/// What a checkpoint of quantized weights says of them; nothing where it says that they are not quantized.
/// `method` is what to call it where the description does not.
inline std::optional<std::string> quantization_text(json const& description, std::string_view method) {
    if (description.empty() || description == false) return std::nullopt; // null, {} and [] are empty
    std::string text = "weights quantized by " + std::string(method);
    if (description.is_object()) {
        const auto is = [&](const char* key, bool value) {
            const auto place = description.find(key);
            return place != description.end() && *place == value;
        };
        if (is("load_in_4bit", false) && is("load_in_8bit", false)) return std::nullopt; // bitsandbytes, switched off
        const auto name = description.find("quant_method");
        if (name != description.end() && name->is_string())
            text = "weights quantized by " + in_quotes(name->get_ref<std::string const&>());
        constexpr std::array<std::string_view, 5> bits{"bits", "w_bit", "nbits", "num_bits", "weight_bits"};
        constexpr std::array<std::string_view, 2> group{"group_size", "q_group_size"};
        if (is("load_in_4bit", true))
            text += " to 4 bits";
        else if (is("load_in_8bit", true))
            text += " to 8 bits";
        else if (json const* const n = find_below(description, bits); n && n->is_number())
            text += " to " + found_text(*n) + " bits";
        if (json const* const n = find_below(description, group); n && n->is_number_integer() && *n > 0) // −1: rows
            text += " in groups of " + found_text(*n);
    }
    return text + " are not read yet; the model in full precision that they were made from is, and so is GGUF";
}

inline std::string not_neutral(std::string_view key, std::string const& found, neutral values) {
    return std::string(key) + " is " + found + ", which is not supported; only " + std::string(name(values)) + " is";
}

/// The end of every refusal of a key that is not known.
inline std::string way_past(std::string const& key, std::string const& found) {
    return " is not known, and could change what the model computes (its value is " + found + "); --allow-key " +
           in_quotes(key) + " passes over it";
}

/// Checks that the keys to be passed over are there, and unknown.   Errors: option_error.
template <class Occurs, class IsKnown>
void check_allowed_keys(std::span<const std::string> allowed, std::string const& who, Occurs const& occurs,
                        IsKnown const& is_known) {
    for (auto const& key : allowed) {
        if (!occurs(key))
            throw option_error(who + ": there is no key " + in_quotes(key) + " that could be passed over");
        if (is_known(key)) throw option_error(who + ": the key " + in_quotes(key) + " is known, and not passed over");
    }
}

/// Reads one config.json, problem by problem.
class config_json_reader {
public:
    config_json_reader(json const& file, std::string who, std::span<const std::string> allowed, problem_list& problems)
        : file_(file), who_(std::move(who)), allowed_(allowed), problems_(problems) {}

    model_config read() {
        model_config c;
        problems_.collect([&] { c.architecture = required<std::string>(file_, "model_type", who_); });
        const bool is_foreign = !c.architecture.empty() && !is_architecture(c.architecture);
        if (is_foreign) problems_.add(foreign_architecture(c.architecture));
        refuse_quantization();
        if (is_foreign) { // whatever else it says, it says of another model
            problem_list unsaid;
            config_json_reader(file_, who_, {}, unsaid).read_sizes(c);
            return c;
        }
        if (!c.architecture.empty()) problems_.collect([&] { check_class(c); });
        read_sizes(c);
        fill_in(c);
        refuse_what_changes_results(c);
        for (auto const& [key, value] : file_.items())
            if (!is_known_config_key(key)) refuse_unknown(key, value);
        check_allowed_keys(
            allowed_, who_, [&](std::string const& key) { return occurs(key); },
            [](std::string const& key) { return is_known(key); });
        return c;
    }

private:
    static constexpr std::array<std::string_view, 2> rope_keys{"rope_scaling", "rope_parameters"};

    void size(std::string_view key, std::size_t& to) {
        problems_.collect([&] { to = required<std::size_t>(file_, key, who_); });
    }

    /// What the file states; the rest stays as it is.
    void read_sizes(model_config& c) {
        size("num_hidden_layers", c.layers);
        size("vocab_size", c.vocabulary);
        size("max_position_embeddings", c.context);
        size("hidden_size", c.block.width);
        size("intermediate_size", c.block.ffn_width);
        size("num_attention_heads", c.block.heads);
        problems_.collect([&] {
            if (const auto n = if_present<std::size_t>(file_, "num_key_value_heads", who_)) c.block.kv_heads = *n;
        });
        problems_.collect([&] {
            if (const auto n = if_present<std::size_t>(file_, "head_dim", who_)) c.block.head_dim = *n;
        });
        problems_.collect([&] { c.block.norm_eps = required<float>(file_, "rms_norm_eps", who_); });
        problems_.collect([&] {
            if (const auto theta = stated_theta()) c.block.rope_theta = *theta;
        });
        problems_.collect([&] {
            // Both families say false where they say nothing.
            c.tied_head = if_present<bool>(file_, "tie_word_embeddings", who_).value_or(false);
        });
    }

    bool says(std::string_view key) const { return find_value(file_, key, who_) != nullptr; }

    /// What both families take where a file says nothing.
    void fill_in(model_config& c) {
        if (!says("num_key_value_heads"))
            c.block.kv_heads = c.block.heads; // before grouped heads there was no such key
        if (!says("head_dim")) problems_.collect([&] { c.block.head_dim = usual_head_dim(c.block); });
        const auto states_theta = [&](std::string_view key) {
            const auto rope = file_.find(key);
            return rope != file_.end() && rope->is_object() && rope->contains("rope_theta");
        };
        if (!says("rope_theta") && std::ranges::none_of(rope_keys, states_theta)) c.block.rope_theta = 10000.0;
    }

    std::size_t usual_head_dim(block_shape const& b) const {
        if (b.heads == 0 || b.width % b.heads != 0)
            throw format_error(who_ + ": without a head_dim, num_attention_heads must divide hidden_size; " +
                               std::to_string(b.heads) + " and " + std::to_string(b.width) + " were found");
        return b.width / b.heads;
    }

    /// Of a model_type that is not among the architectures: what it is, if that can be told.
    std::string foreign_architecture(std::string const& name) const {
        std::string text = who_ + ": ";
        try {
            visit_architecture(name, [](auto) {});
        } catch (format_error const& e) {
            text += e.what();
        }
        const auto has = [&](const char* key) { return file_.contains(key); };
        if (const auto inner = file_.find("text_config"); inner != file_.end()) {
            text += "; this one wraps a language model (text_config";
            if (inner->is_object())
                if (const auto type = inner->find("model_type"); type != inner->end() && type->is_string())
                    text += ", of type " + found_text(*type);
            return text + ") beside models of other things than text";
        }
        if (has("vision_config") || has("audio_config") || has("llm_config"))
            return text + "; this one is a model of other things than text too";
        if (const auto two = file_.find("is_encoder_decoder"); two != file_.end() && *two == true)
            return text + "; this one is an encoder with a decoder";
        const auto classes = file_.find("architectures");
        if (classes == file_.end() || !classes->is_array() || classes->empty() || !classes->front().is_string())
            return text;
        auto const& first = classes->front().get_ref<std::string const&>();
        if (first.ends_with("ForCausalLM") || first.ends_with("LMHeadModel")) return text;
        return text + "; this one (" + in_quotes(first) + ") does not predict the next token";
    }

    void check_class(model_config const& c) const {
        visit_architecture(c, [&]<class Architecture>(Architecture) {
            const auto classes = if_present<std::vector<std::string>>(file_, "architectures", who_);
            if (classes && std::ranges::find(*classes, Architecture::hugging_face_class) == classes->end())
                throw format_error(who_ + ": key \"architectures\": " + std::string(Architecture::hugging_face_class) +
                                   " is expected, " + (classes->empty() ? "nothing" : in_quotes(classes->front())) +
                                   " was found");
        });
    }

    void refuse_quantization() {
        for (std::string_view key : {"quantization_config", "compression_config", "quantization"}) {
            const auto place = file_.find(key);
            if (place == file_.end()) continue;
            const auto text = quantization_text(*place, key == "quantization" ? "MLX" : "a method without a name");
            if (!text) continue;
            problems_.add(who_ + ": key " + in_quotes(key) + ": " + *text);
            return;
        }
    }

    /// transformers 4 writes rope_theta and rope_scaling, transformers 5 rope_parameters with both.
    std::optional<double> stated_theta() const {
        std::optional<double> theta = if_present<double>(file_, "rope_theta", who_);
        for (std::string_view key : rope_keys) {
            json const* const rope = find_object(file_, key, who_);
            if (!rope) continue;
            const std::string who = who_ + ": " + std::string(key);
            const auto inner = if_present<double>(*rope, "rope_theta", who);
            if (theta && inner && *theta != *inner)
                throw format_error(who + ": rope_theta " + std::to_string(*inner) + " and elsewhere " +
                                   std::to_string(*theta));
            if (inner) theta = inner;
        }
        return theta;
    }

    /// Errors: format_error for a scaling that changes a frequency.
    static void refuse_scaling(json const& rope, std::string const& who) {
        constexpr std::array<std::string_view, 3> same_by_one{"linear", "llama3", "yarn"};
        auto type = if_present<std::string>(rope, "rope_type", who); // before "type", where both are
        if (!type) type = if_present<std::string>(rope, "type", who);
        const auto factor = if_present<double>(rope, "factor", who);
        const bool is_one = factor && *factor == 1;
        const bool is_none = !type || *type == "default";
        if (is_none ? factor && !is_one : !(is_one && contains(same_by_one, *type)))
            throw format_error(who + ": rope scaling " + (type ? "of type " + in_quotes(*type) : "without a type") +
                               " is not supported yet" +
                               (factor ? " (its factor is " + found_text(rope["factor"]) + ")" : "") +
                               "; only \"default\" is, and \"linear\", \"llama3\" or \"yarn\" by a factor of 1");
        for (const char* key : {"attention_factor", "partial_rotary_factor"})
            if (json const* const value = find_value(rope, key, who); value && !is_neutral(*value, neutral::one))
                throw format_error(who + ": " + not_neutral(key, found_text(*value), neutral::one));
    }

    void refuse_rope_scaling() {
        for (std::string_view key : rope_keys)
            problems_.collect([&] {
                json const* const rope = find_object(file_, key, who_);
                if (!rope) return;
                refuse_scaling(*rope, who_ + ": " + std::string(key));
                for (auto const& [inner, value] : rope->items())
                    if (!contains(read_rope_keys, inner)) refuse_unknown(std::string(key) + "." + inner, value);
            });
    }

    void refuse_unknown(std::string const& key, json const& value) {
        if (!value.is_null() && std::ranges::find(allowed_, key) == allowed_.end())
            problems_.add(who_ + ": the key " + in_quotes(key) + way_past(key, found_text(value)));
    }

    /// f(object, its key) for a key or for "rope_scaling.<key>".
    template <class F>
    static bool with_rope_key(std::string_view path, F const& f) {
        for (std::string_view rope : rope_keys)
            if (path.size() > rope.size() && path.starts_with(rope) && path[rope.size()] == '.')
                return f(rope, path.substr(rope.size() + 1));
        return false;
    }
    bool occurs(std::string const& key) const {
        return file_.contains(key) || with_rope_key(key, [&](std::string_view rope, std::string_view inner) {
                   const auto object = file_.find(rope);
                   return object != file_.end() && object->is_object() && object->contains(inner);
               });
    }
    static bool is_known(std::string const& key) {
        return is_known_config_key(key) || with_rope_key(key, [](std::string_view, std::string_view inner) {
                   return contains(read_rope_keys, inner);
               });
    }

    void refuse_what_changes_results(model_config const& c) {
        for (auto const& [key, values] : neutral_config_keys)
            if (json const* const value = find_value(file_, key, who_); value && !is_neutral(*value, values))
                problems_.add(who_ + ": " + not_neutral(key, found_text(*value), values));
        refuse_rope_scaling();
        problems_.collect([&] {
            const auto activation = required<std::string>(file_, "hidden_act", who_);
            if (activation != "silu" && activation != "swish") // two names of one function
                throw format_error(who_ + ": hidden_act " + in_quotes(activation) +
                                   " is not supported; only \"silu\" is");
        });
        problems_.collect([&] {
            for (auto const& type :
                 if_present<std::vector<std::string>>(file_, "layer_types", who_).value_or(std::vector<std::string>{}))
                if (type != "full_attention")
                    throw format_error(who_ + ": layer_types: " + in_quotes(type) +
                                       " is not supported; only \"full_attention\" is");
        });
        // qwen2 has a window of which its switch, false where nothing is said, makes no use.
        json const* const window = find_value(file_, "sliding_window", who_);
        if (window && c.architecture != qwen2::name && !says("use_sliding_window"))
            problems_.add(who_ + ": sliding_window is set, to " + found_text(*window) +
                          ", which is not supported; only null is");
    }

    json const& file_;
    std::string who_;
    std::span<const std::string> allowed_;
    problem_list& problems_;
};

/// Of a GGUF file: by what the frequencies of rope are divided. Ones divide by nothing.
inline constexpr std::string_view rope_divisors_name = "rope_freqs.weight";

class config_gguf_reader {
public:
    config_gguf_reader(gguf_file const& file, std::span<const std::string> allowed, problem_list& problems)
        : file_(file), who_(file.path().string()), allowed_(allowed), problems_(problems) {}

    model_config read() {
        model_config c;
        if (const auto part = part_of_a_model()) {
            problems_.add(who_ + ": " + *part);
            return c;
        }
        problems_.collect([&] { c.architecture = file_.required<std::string>("general.architecture"); });
        if (c.architecture.empty()) return c;
        prefix_ = c.architecture + ".";
        if (!is_architecture(c.architecture)) { // whatever else it says, it says of another model
            problems_.collect([&] { refuse_architecture(c.architecture); });
            problem_list unsaid;
            config_gguf_reader other(file_, {}, unsaid);
            other.prefix_ = prefix_;
            other.read_sizes(c);
            return c;
        }
        read_sizes(c);
        if (!file_.find_value(key("attention.head_count_kv"))) c.block.kv_heads = c.block.heads;
        problems_.collect([&] { c.block.head_dim = head_dim(c.block); });
        if (!file_.find_value(key("rope.freq_base"))) c.block.rope_theta = 10000.0;
        c.tied_head = file_.find("output.weight") == nullptr;
        refuse_what_changes_results();
        check_allowed_keys(
            allowed_, who_, [&](std::string const& name) { return file_.find_value(name) != nullptr; },
            [&](std::string const& name) {
                return !name.starts_with(prefix_) || is_known_gguf_key(std::string_view(name).substr(prefix_.size()));
            });
        return c;
    }

private:
    std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }

    void refuse_architecture(std::string const& name) const {
        try {
            visit_architecture(name, [](auto) {});
        } catch (format_error const& e) {
            throw format_error(who_ + ": " + e.what());
        }
    }

    /// What the file is where it is no model; nothing where it is one.
    std::optional<std::string> part_of_a_model() const {
        const auto text = [&](std::string_view name) -> std::string {
            gguf_value const* const value = file_.find_value(name);
            return value && value->type == gguf_type::string ? file_.required<std::string>(name) : "";
        };
        const std::string type = text("general.type"), architecture = text("general.architecture");
        const std::string wanted = "; the file of the language model itself is expected";
        if (type == "mmproj" || architecture == "clip")
            return "this is the encoder of images or sound of a model (mmproj)" + wanted;
        if (type == "adapter" || file_.find_value("adapter.type"))
            return "this is an adapter (LoRA), which changes a model and is none; merge it into its model first";
        if (!type.empty() && type != "model") return "key \"general.type\": " + in_quotes(type) + " was found" + wanted;
        if (file_.tensors().empty() && file_.find_value("tokenizer.ggml.tokens"))
            return "this is a vocabulary without tensors" + wanted;
        return std::nullopt;
    }

    /// What the file states; the rest stays as it is.
    void read_sizes(model_config& c) {
        problems_.collect([&] { c.layers = file_.required<std::size_t>(key("block_count")); });
        problems_.collect([&] { c.context = file_.required<std::size_t>(key("context_length")); });
        problems_.collect([&] { c.block.width = file_.required<std::size_t>(key("embedding_length")); });
        problems_.collect([&] { c.block.ffn_width = per_layer("feed_forward_length"); });
        problems_.collect([&] { c.block.heads = per_layer("attention.head_count"); });
        problems_.collect([&] {
            if (file_.find_value(key("attention.head_count_kv")))
                c.block.kv_heads = per_layer("attention.head_count_kv");
        });
        problems_.collect([&] {
            if (const auto n = file_.if_present<std::size_t>(key("attention.key_length"))) c.block.head_dim = *n;
        });
        problems_.collect([&] { c.block.norm_eps = file_.required<float>(key("attention.layer_norm_rms_epsilon")); });
        problems_.collect([&] {
            if (const auto theta = file_.if_present<float>(key("rope.freq_base"))) c.block.rope_theta = double{*theta};
        });
        problems_.collect([&] {
            gguf_tensor const* const embedding = file_.find("token_embd.weight");
            c.vocabulary = file_.if_present<std::size_t>(key("vocab_size")).value_or(embedding ? embedding->rows() : 0);
        });
    }

    /// A number, or an array with the same number for every layer.
    std::size_t per_layer(std::string_view suffix) const {
        const auto name = key(suffix);
        gguf_value const* const value = file_.find_value(name);
        if (!value || value->type != gguf_type::array) return file_.required<std::size_t>(name);
        const auto all = file_.required<std::vector<std::size_t>>(name);
        if (all.empty() || std::ranges::adjacent_find(all, std::ranges::not_equal_to{}) != all.end())
            throw format_error(who_ + ": key " + in_quotes(name) + ": layers of different sizes are not supported");
        return all.front();
    }

    std::size_t head_dim(block_shape const& b) const {
        const auto key_length = file_.if_present<std::size_t>(key("attention.key_length"));
        if (!key_length && (b.heads == 0 || b.width % b.heads != 0))
            throw format_error(who_ + ": without attention.key_length, head_count must divide embedding_length; " +
                               std::to_string(b.heads) + " and " + std::to_string(b.width) + " were found");
        const std::size_t head_dim = key_length ? *key_length : b.width / b.heads;
        for (std::string_view suffix : {"attention.value_length", "rope.dimension_count"})
            if (const auto other = file_.if_present<std::size_t>(key(suffix)); other && *other != head_dim)
                throw format_error(who_ + ": key " + in_quotes(key(suffix)) + ": " + std::to_string(head_dim) +
                                   " is expected, as long as a head's keys; " + std::to_string(*other) + " was found");
        return head_dim;
    }

    void refuse_what_changes_results() {
        problems_.collect([&] { refuse_scaling(); });
        problems_.collect([&] { refuse_scaling_tensors(); });
        problems_.collect([&] {
            const auto window = file_.if_present<std::uint64_t>(key("attention.sliding_window")).value_or(0);
            if (window != 0)
                throw format_error(who_ + ": a sliding window is not supported; " + std::to_string(window) +
                                   " was found, only 0 is");
        });
        problems_.collect([&] {
            const auto layout = file_.if_present<std::string>(key("tensor_data_layout"));
            // Files say either of the one order that there is.
            if (layout && *layout != "reference" && *layout != "Meta AI original pth")
                throw format_error(who_ + ": key " + in_quotes(key("tensor_data_layout")) + ": " + in_quotes(*layout) +
                                   " is not known; known are \"reference\" and \"Meta AI original pth\"");
        });
        for (auto const& value : file_.metadata())
            if (value.key.starts_with(prefix_)) problems_.collect([&] { refuse_value(value); });
    }

    void refuse_value(gguf_value const& value) {
        const auto suffix = value.key.substr(prefix_.size());
        if (neutral_key const* const known = detail::find(neutral_gguf_keys, suffix)) {
            const auto number = number_of(file_, value);
            if (!number || !is_neutral(*number, known->values))
                problems_.add(who_ + ": " + not_neutral(value.key, found_text(file_, value), known->values));
        } else if (const std::string name(value.key);
                   !is_known_gguf_key(suffix) && std::ranges::find(allowed_, name) == allowed_.end()) {
            problems_.add(who_ + ": the key " + in_quotes(name) + way_past(name, found_text(file_, value)));
        }
    }

    void refuse_scaling() const {
        const auto type = file_.if_present<std::string>(key("rope.scaling.type")).value_or("none");
        gguf_value const* const stored = file_.find_value(key("rope.scaling.factor"));
        const auto factor = stored ? number_of(file_, *stored) : std::nullopt;
        const bool is_one = factor && is_neutral(*factor, neutral::off_or_one);
        if (type == "none" ? !stored || is_one : is_one && (type == "linear" || type == "yarn")) return;
        throw format_error(who_ + ": rope scaling of type " + in_quotes(type) + " is not supported yet" +
                           (stored ? " (its factor is " + found_text(file_, *stored) + ")" : "") +
                           "; only \"none\" is, and \"linear\" or \"yarn\" by a factor of 1");
    }

    /// What else stretches positions is kept as tensors of divisors.
    void refuse_scaling_tensors() const {
        for (auto const& [name, type] :
             std::array<std::pair<std::string_view, const char*>, 3>{{{rope_divisors_name, "llama3"},
                                                                      {"rope_factors_long.weight", "longrope"},
                                                                      {"rope_factors_short.weight", "longrope"}}}) {
            gguf_tensor const* const t = file_.find(name);
            if (!t || (name == rope_divisors_name && holds_ones(*t))) continue;
            throw format_error(who_ + ": tensor " + in_quotes(name) + ": rope scaling of type " + in_quotes(type) +
                               " is not supported yet");
        }
    }
    static bool holds_ones(gguf_tensor const& t) {
        if (t.type->name != "F32") return false;
        for (std::size_t i = 0; i < t.bytes.size(); i += sizeof(float))
            if (load<float>(t.bytes.data() + i) != 1) return false;
        return true;
    }

    gguf_file const& file_;
    std::string who_, prefix_;
    std::span<const std::string> allowed_;
    problem_list& problems_;
};

} // namespace detail

/// The configuration in a config.json as transformers 4 and 5 write it; `who` is its path. What is wrong goes to
/// `problems`, and the rest is still read; of an architecture that is not supported, what it states. Keys that are not
/// known and that `allowed_keys` names are passed over ("rope_scaling.<key>" for one in there).
/// Errors: option_error for an allowed key that does not occur or is known.
inline model_config read_config(json const& file, std::string const& who, problem_list& problems,
                                std::span<const std::string> allowed_keys = {}) {
    model_config c;
    problems.collect([&] {
        detail::expect_object(file, who);
        const std::size_t before = problems.texts().size();
        c = detail::config_json_reader(file, who, allowed_keys, problems).read();
        if (problems.texts().size() == before) check_config(c, who, problems);
    });
    return c;
}

/// The configuration in the metadata of a GGUF file; problems, allowed keys (by their full name) and errors as above.
inline model_config read_config(gguf_file const& file, problem_list& problems,
                                std::span<const std::string> allowed_keys = {}) {
    const std::size_t before = problems.texts().size();
    const auto c = detail::config_gguf_reader(file, allowed_keys, problems).read();
    if (problems.texts().size() == before) check_config(c, file.path().string(), problems);
    return c;
}

} // namespace bitlens

// ---- bitlens/models/weights.hpp
/// Where the blocks of a model come from, one layer at a time.

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Gives the weights of layer k; may keep them or load them anew. It can be asked for the same layer again, by one
/// thread at a time.
template <class W>
struct layer_source {
    virtual ~layer_source() = default;
    virtual block_weights<W> layer(std::size_t k) = 0;
};

/// A std::shared_ptr to a layer_source<W>, or to what derives from one.
template <class Source, class W>
concept source_of = std::convertible_to<Source, std::shared_ptr<layer_source<W>>>;

/// Layers that lie in memory.
template <class W>
class resident_layers final : public layer_source<W> {
public:
    explicit resident_layers(std::vector<block_weights<W>> layers) : layers_(std::move(layers)) {}
    /// Errors: shape_error for a layer that is not there.
    block_weights<W> layer(std::size_t k) override {
        if (k >= layers_.size())
            throw shape_error("layer " + std::to_string(k) + " is asked of " + std::to_string(layers_.size()) +
                              " layers; a model needs as many as it has blocks");
        return layers_[k];
    }

private:
    std::vector<block_weights<W>> layers_;
};

} // namespace bitlens

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// One tensor of a checkpoint.
struct tensor_info {
    std::string name;        // as Hugging Face names it
    std::string stored_name; // as the file names it
    std::string type;        // as the file names it: "BF16", "Q4_1", …
    std::vector<std::size_t> shape;
    std::size_t bytes;
    std::filesystem::path file;
};

namespace detail {

static_assert(std::endian::native == std::endian::little, "checkpoints are read where numbers are little-endian");

enum class stored_number : std::uint8_t { f32, f16, bf16, block, unreadable };

/// One tensor and how to read it.
struct stored_tensor {
    tensor_info info;
    stored_number number;
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> mapping; // keeps the bytes alive
    gguf_tensor const* blocks = nullptr; // of a GGUF file
    std::size_t interleaved_head = 0;    // head_dim where the rows of each head are stored in pairs (i, i + head_dim/2)

    std::size_t rows() const noexcept { return info.shape.size() == 2 ? info.shape[0] : 1; }
    std::size_t cols() const noexcept { return info.shape.back(); }
    std::string who() const { return info.file.string() + ": tensor " + in_quotes(info.stored_name); }

    /// Where row r of the Hugging Face order lies: its row j·h/2 + i of a head is the stored row 2i + j.
    std::size_t stored_row(std::size_t r) const noexcept {
        if (interleaved_head == 0) return r;
        const std::size_t half = interleaved_head / 2, in_head = r % interleaved_head;
        return r - in_head + 2 * (in_head % half) + in_head / half;
    }
};

inline std::string layer_prefix(std::size_t k) { return "model.layers." + std::to_string(k) + "."; }
inline std::string weight_name(std::size_t k, projection p) {
    const bool attention = p <= projection::o;
    return layer_prefix(k) + (attention ? "self_attn." : "mlp.") + std::string(name(p)) + ".weight";
}
inline std::string bias_name(std::size_t k, projection p) {
    return layer_prefix(k) + "self_attn." + std::string(name(p)) + ".bias";
}
inline constexpr std::string_view embedding_name = "model.embed_tokens.weight", final_norm_name = "model.norm.weight",
                                  head_name = "lm_head.weight";
inline std::string attn_norm_name(std::size_t k) { return layer_prefix(k) + "input_layernorm.weight"; }
inline std::string mlp_norm_name(std::size_t k) { return layer_prefix(k) + "post_attention_layernorm.weight"; }

/// f(name, shape) for every tensor of a model.
template <class F>
void for_each_tensor(model_config const& c, F const& f) {
    using shape = std::vector<std::size_t>;
    f(std::string(embedding_name), shape{c.vocabulary, c.block.width});
    f(std::string(final_norm_name), shape{c.block.width});
    if (!c.tied_head) f(std::string(head_name), shape{c.vocabulary, c.block.width});
    const bool has_biases =
        visit_architecture(c, []<class Architecture>(Architecture) { return Architecture::qkv_bias; });
    for (std::size_t k = 0; k < c.layers; ++k) {
        for (auto const& name : {attn_norm_name(k), mlp_norm_name(k)}) f(name, shape{c.block.width});
        for (std::size_t i = 0; i < projection_count; ++i) {
            const auto p = static_cast<projection>(i);
            const auto [rows, cols] = shape_of(p, c.block);
            f(weight_name(k, p), shape{rows, cols});
            if (has_biases && p <= projection::v) f(bias_name(k, p), shape{rows});
        }
    }
}

/// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight"; empty for a name that has no counterpart.
inline std::string hugging_face_name(std::string_view gguf_name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 12> in_layer{{
        {"attn_norm.weight", "input_layernorm.weight"},
        {"ffn_norm.weight", "post_attention_layernorm.weight"},
        {"attn_q.weight", "self_attn.q_proj.weight"},
        {"attn_k.weight", "self_attn.k_proj.weight"},
        {"attn_v.weight", "self_attn.v_proj.weight"},
        {"attn_output.weight", "self_attn.o_proj.weight"},
        {"ffn_gate.weight", "mlp.gate_proj.weight"},
        {"ffn_up.weight", "mlp.up_proj.weight"},
        {"ffn_down.weight", "mlp.down_proj.weight"},
        {"attn_q.bias", "self_attn.q_proj.bias"},
        {"attn_k.bias", "self_attn.k_proj.bias"},
        {"attn_v.bias", "self_attn.v_proj.bias"},
    }};
    if (gguf_name == "token_embd.weight") return std::string(embedding_name);
    if (gguf_name == "output_norm.weight") return std::string(final_norm_name);
    if (gguf_name == "output.weight") return std::string(head_name);
    if (!gguf_name.starts_with("blk.")) return {};
    const auto dot = gguf_name.find('.', 4);
    if (dot == std::string_view::npos) return {};
    for (auto const& [gguf, hugging_face] : in_layer)
        if (gguf_name.substr(dot + 1) == gguf)
            return "model.layers." + std::string(gguf_name.substr(4, dot - 4)) + "." + std::string(hugging_face);
    return {};
}

/// Tensors that some files carry and no forward pass reads: tables that transformers once saved beside the weights, and
/// divisors that the configuration's reader has seen to be ones.
inline bool is_leftover(std::string_view name) {
    return name.ends_with(".rotary_emb.inv_freq") || name == rope_divisors_name;
}

/// The method that a tensor of quantized weights belongs to; empty for other tensors.
inline std::string_view quantized_by(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 10> endings{
        {{".qweight", "GPTQ or AWQ"},
         {".qzeros", "GPTQ or AWQ"},
         {".weight.absmax", "bitsandbytes"},
         {".weight.quant_map", "bitsandbytes"},
         {".SCB", "bitsandbytes"},
         {".weight_scale", "compressed-tensors or FP8"},
         {".weight_scale_inv", "FP8"},
         {".weight_packed", "compressed-tensors"},
         {".W_q", "HQQ"},
         {".codebooks", "AQLM"}}};
    for (auto const& [ending, method] : endings)
        if (name.ends_with(ending)) return method;
    return {};
}

/// Errors: format_error naming the tensor, for a number that is NaN or infinite.
template <class T>
void check_finite(std::span<const T> row, stored_tensor const& from, std::size_t r) {
    const auto exponent_is_full = [](T x) {
        if constexpr (std::same_as<T, float>)
            return (std::bit_cast<std::uint32_t>(x) & 0x7F800000u) == 0x7F800000u;
        else if constexpr (std::same_as<T, bf16>)
            return (x.bits & 0x7F80u) == 0x7F80u;
        else
            return (x.bits & 0x7C00u) == 0x7C00u;
    };
    bool bad = false;
    for (T const& x : row) bad |= exponent_is_full(x);
    if (bad) throw format_error(from.who() + ": row " + std::to_string(r) + " holds a number that is not finite");
}

/// Everything read from disk but the numbers themselves. Nothing here changes after construction.
struct checkpoint_contents {
    std::filesystem::path path;
    std::optional<gguf_file> gguf;
    std::optional<safetensors_folder> safetensors;
    model_config config;
    std::vector<stored_tensor> tensors;
    name_index by_name; // places in tensors, by Hugging Face name
    problem_list problems;

    /// `to_the_end`: what a file of a folder is refused for is one more problem, and the next is still looked at.
    checkpoint_contents(std::filesystem::path where, std::span<const std::string> allowed_keys, bool to_the_end)
        : path(std::move(where)) {
        if (is_model_folder(path))
            read_folder(allowed_keys, to_the_end);
        else
            read_gguf(allowed_keys);
        if (problems.empty() || (to_the_end && (gguf || safetensors) && says_a_model())) check_tensors();
    }
    checkpoint_contents(checkpoint_contents const&) = delete;
    checkpoint_contents& operator=(checkpoint_contents const&) = delete;

    void read_folder(std::span<const std::string> allowed_keys, bool to_the_end) {
        const auto step = [&](auto const& f) {
            if (!to_the_end) return f();
            problems.collect<error>(f);
        };
        step([&] { read_folder_config(allowed_keys); });
        if (!to_the_end && !problems.empty()) return;
        if (!is_there(path / "config.json") && !has_weights(path)) return; // all that there is has been said
        step([&] {
            require_weights(path);
            safetensors.emplace(path);
        });
        if (safetensors) take_safetensors();
    }

    void read_folder_config(std::span<const std::string> allowed_keys) {
        require_config(path);
        const auto config_path = path / "config.json";
        const auto parsed = read_json_file(config_path);
        config = read_config(parsed, config_path.string(), problems, allowed_keys);
        for (auto const& [name, method] : quantization_files) {
            const auto beside = path / name;
            if (!is_there(beside) || (parsed.is_object() && parsed.contains("quantization_config"))) continue;
            if (const auto text = quantization_text(read_json_file(beside), method))
                problems.add(beside.string() + ": " + *text);
        }
    }

    void take_safetensors() {
        for (auto const& [tensor, file] : safetensors->tensors()) {
            auto const& name = tensor->name;
            stored_tensor t{
                {name, name, std::string(info(tensor->type).name), tensor->shape, tensor->bytes.size(), file->path()},
                stored_number::unreadable,
                tensor->bytes,
                file->mapping()};
            if (tensor->type == safetensors_type::f32) t.number = stored_number::f32;
            if (tensor->type == safetensors_type::f16) t.number = stored_number::f16;
            if (tensor->type == safetensors_type::bf16) t.number = stored_number::bf16;
            if (!is_leftover(name)) tensors.push_back(std::move(t));
        }
        index_tensors();
    }

    void read_gguf(std::span<const std::string> allowed_keys) {
        gguf.emplace(path);
        config = read_config(*gguf, problems, allowed_keys);
        const bool interleaved = problems.empty() && visit_architecture(config, []<class Architecture>(Architecture) {
                                     return Architecture::gguf_interleaves_heads;
                                 });
        for (auto const& tensor : gguf->tensors()) {
            std::string name = hugging_face_name(tensor.name);
            if (name.empty()) name = std::string(tensor.name); // reported as unexpected
            stored_tensor t{{name, std::string(tensor.name), std::string(tensor.type->name), tensor.shape(),
                             tensor.bytes.size(), path},
                            tensor.type->decode ? stored_number::block : stored_number::unreadable,
                            tensor.bytes,
                            gguf->mapping(),
                            &tensor};
            if (tensor.type->name == "F32") t.number = stored_number::f32;
            if (tensor.type->name == "F16") t.number = stored_number::f16;
            if (tensor.type->name == "BF16") t.number = stored_number::bf16;
            if (interleaved && (name.ends_with("self_attn.q_proj.weight") || name.ends_with("self_attn.k_proj.weight")))
                t.interleaved_head = config.block.head_dim;
            if (!is_leftover(name)) tensors.push_back(std::move(t));
        }
        index_tensors();
    }

    void index_tensors() {
        for (std::size_t i = 0; i < tensors.size(); ++i) by_name.add(tensors[i].info.name, i);
        by_name.sort();
        if (const auto twice = by_name.repeated())
            problems.add(path.string() + ": two tensors stand for " + in_quotes(*twice));
    }

    stored_tensor const* find(std::string_view name) const noexcept {
        const auto place = by_name.find(name);
        return place ? &tensors[*place] : nullptr;
    }

    /// Whether the configuration, refused or not, says which tensors there should be.
    bool says_a_model() const {
        problem_list unsaid;
        check_config(config, {}, unsaid);
        return is_architecture(config.architecture) && unsaid.empty();
    }

    /// Every tensor of the architecture is there, in its shape and readable, and no other.
    void check_tensors() {
        for (auto const& t : tensors)
            if (const auto method = quantized_by(t.info.name); !method.empty()) {
                problems.add(t.who() + " belongs to weights quantized by " + std::string(method) +
                             ", which are not read yet");
                return; // what else is odd is so for this reason
            }
        if (config.layers > tensors.size()) { // and no list of a billion missing names
            problems.add(path.string() + ": the configuration says " + std::to_string(config.layers) +
                         " layers, but there are only " + std::to_string(tensors.size()) + " tensors");
            return;
        }
        std::vector<bool> is_known(tensors.size());
        for_each_tensor(config, [&](std::string const& name, std::vector<std::size_t> const& shape) {
            if (const auto place = by_name.find(name)) {
                is_known[*place] = true;
                check_tensor(tensors[*place], shape);
            } else {
                problems.add(path.string() + ": tensor " + in_quotes(name) + " of shape " + shape_text(shape) +
                             " is missing");
            }
        });
        const auto head = by_name.find(head_name);
        if (config.tied_head && head) {
            is_known[*head] = true;
            check_tied_head(tensors[*head]);
        }
        for (auto const& [name, place] : by_name.entries())
            if (!is_known[place])
                problems.add(tensors[place].who() + ": " + config.architecture + " has no such tensor");
    }

    void check_tensor(stored_tensor const& t, std::vector<std::size_t> const& shape) {
        if (t.info.shape != shape)
            problems.add(t.who() + ": shape " + shape_text(shape) + " is expected from the configuration, " +
                         shape_text(t.info.shape) + " was found");
        else if (t.number == stored_number::unreadable)
            problems.add(t.who() + ": numbers of type " + t.info.type + " are not read yet");
        else if (shape.size() == 1 && t.number == stored_number::block)
            problems.add(t.who() + ": F32, F16 or BF16 is expected of a vector, " + t.info.type + " was found");
    }

    /// A stored head beside tie_word_embeddings: true is harmless only if it is the embedding.
    void check_tied_head(stored_tensor const& head) {
        stored_tensor const* const embedding = find(embedding_name);
        if (!embedding || !std::ranges::equal(head.bytes, embedding->bytes) ||
            head.info.shape != embedding->info.shape || head.info.type != embedding->info.type)
            problems.add(head.who() + ": the configuration ties the head to the embedding, but this is another matrix");
    }
};

} // namespace detail

/// A model on disk. Copies share one mapping of the files; nothing is read before it is asked for.
///
/// Keys of the configuration that are not known are refused, as they could change what the model computes; those that
/// `allowed_keys` names are passed over.
///
/// Errors at construction: io_error where files are missing or cannot be opened; option_error for an allowed key that
/// does not occur or is known; format_error for the first of its problems: an architecture, then quantized weights,
/// then a key that are not supported, then a tensor that is missing, unexpected, of another shape or unreadable.
class checkpoint {
public:
    explicit checkpoint(std::filesystem::path const& path, std::span<const std::string> allowed_keys = {})
        : contents_(std::make_shared<const detail::checkpoint_contents>(path, allowed_keys, false)) {
        if (problems().empty()) return;
        const std::size_t more = problems().size() - 1;
        throw format_error(problems().front() + (more == 0 ? "" : " (and " + std::to_string(more) + " more)"));
    }

    /// The same without refusing: for showing what is there and everything that is wrong with it. Only config(),
    /// tensors(), files(), problems() and format_description() make sense where problems() is not empty.
    /// Errors: io_error where nothing is; those of a GGUF file's own structure; option_error as above.
    static checkpoint inspect(std::filesystem::path const& path, std::span<const std::string> allowed_keys = {}) {
        return checkpoint(std::make_shared<const detail::checkpoint_contents>(path, allowed_keys, true));
    }
    std::vector<std::string> const& problems() const noexcept { return contents_->problems.texts(); }

    std::filesystem::path const& path() const noexcept { return contents_->path; }
    model_config const& config() const noexcept { return contents_->config; }
    bool is_gguf() const noexcept { return contents_->gguf.has_value(); }

    /// Every file that decides what the model and its tokenizer compute, sorted.
    std::vector<std::filesystem::path> files() const {
        if (is_gguf()) return {path()};
        std::vector<std::filesystem::path> all;
        for (auto const& file : contents_->safetensors->files()) all.push_back(file.path());
        for (const char* name :
             {"config.json", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"})
            if (std::error_code unknown; std::filesystem::exists(path() / name, unknown)) all.push_back(path() / name);
        std::ranges::sort(all);
        return all;
    }

    /// By name.
    std::vector<tensor_info> tensors() const {
        std::vector<tensor_info> all;
        for (auto const& [name, place] : contents_->by_name.entries()) all.push_back(contents_->tensors[place].info);
        return all;
    }

    /// What is stored how, as in "GGUF, linear layers Q4_1, embedding Q8_0, tied head".
    std::string format_description() const {
        std::map<std::string, std::size_t> linear;
        std::string embedding, head;
        for (auto const& t : contents_->tensors) {
            if (t.info.name.find("_proj.weight") != std::string::npos) ++linear[t.info.type];
            if (t.info.name == detail::embedding_name) embedding = ", embedding " + t.info.type;
            if (t.info.name == detail::head_name) head = ", head " + t.info.type;
        }
        if (config().tied_head && !embedding.empty()) head = ", tied head";
        std::string text = is_gguf() ? "GGUF" : "safetensors";
        if (!linear.empty()) text += ", linear layers";
        for (auto const& [type, count] : linear)
            text += " " + type + (linear.size() > 1 ? " (" + std::to_string(count) + ")" : "");
        return text + embedding + head;
    }

    /// A matrix as W: in its stored type where W can hold that, borrowed from the mapped file where it lies aligned and
    /// in order; otherwise as float.
    /// Errors: format_error naming file and tensor for a name that is not there, a type that W cannot hold, and a
    /// number that is not finite.
    template <class W>
    W load_matrix(std::string_view name) const {
        detail::check_weight<W>();
        auto const& t = tensor(name, 2);
        if (t.number == detail::stored_number::bf16)
            if constexpr (std::constructible_from<W, packed_matrix<dense<bf16>>>) return stored<bf16>(t);
        if (t.number == detail::stored_number::f16)
            if constexpr (std::constructible_from<W, packed_matrix<dense<f16>>>) return stored<f16>(t);
        if constexpr (std::constructible_from<W, packed_matrix<dense<float>>>) {
            if (t.number == detail::stored_number::f32) return stored<float>(t);
            return decoded(t);
        }
        throw format_error(t.who() + ": numbers of type " + t.info.type +
                           " do not fit this program's type of weight, which lists neither them nor dense<float>, to "
                           "which they are decoded");
    }

    /// A norm or bias as floats.   Errors: as load_matrix.
    std::vector<float> load_vector(std::string_view name) const {
        auto const& t = tensor(name, 1);
        std::vector<float> values(t.cols());
        read_row(t, 0, values);
        detail::check_finite<float>(values, t, 0);
        return values;
    }

    /// The tokenizer that the checkpoint carries.
    /// Errors: io_error where a folder has no tokenizer.json; format_error as tokenizer.
    tokenizer load_tokenizer() const {
        return is_gguf() ? tokenizer::from_gguf(*contents_->gguf) : tokenizer::from_model(path());
    }

private:
    explicit checkpoint(std::shared_ptr<const detail::checkpoint_contents> contents) : contents_(std::move(contents)) {}

    detail::stored_tensor const& tensor(std::string_view name, std::size_t rank) const {
        detail::stored_tensor const* const found = contents_->find(name);
        if (!found) throw format_error(path().string() + ": there is no tensor " + in_quotes(name));
        auto const& t = *found;
        if (t.info.shape.size() != rank || t.number == detail::stored_number::unreadable)
            throw format_error(t.who() + ": a readable tensor of rank " + std::to_string(rank) + " is expected, " +
                               t.info.type + " of shape " + shape_text(t.info.shape) + " was found");
        return t;
    }

    /// Row r, in Hugging Face order, as floats.
    void read_row(detail::stored_tensor const& t, std::size_t r, std::span<float> to) const {
        if (t.blocks) {
            contents_->gguf->decode_rows(*t.blocks, t.stored_row(r), 1, {to.data(), 1, to.size()});
            return;
        }
        const auto copy = [&]<class T>(T) {
            std::byte const* from = t.bytes.data() + r * t.cols() * sizeof(T);
            for (std::size_t i = 0; i < to.size(); ++i) {
                T x;
                std::memcpy(&x, from + i * sizeof(T), sizeof(T));
                to[i] = static_cast<float>(x);
            }
        };
        if (t.number == detail::stored_number::f16)
            copy(f16{});
        else if (t.number == detail::stored_number::bf16)
            copy(bf16{});
        else
            copy(float{});
    }

    packed_matrix<dense<float>> decoded(detail::stored_tensor const& t) const {
        packed_matrix<dense<float>> m(t.rows(), t.cols());
        for (std::size_t r = 0; r < t.rows(); ++r) {
            read_row(t, r, m.writable_row(r));
            detail::check_finite<float>(m.row(r), t, r);
        }
        return m;
    }

    /// The numbers in their stored type T, borrowed if possible.
    template <class T>
    packed_matrix<dense<T>> stored(detail::stored_tensor const& t) const {
        const auto make = [&] {
            const auto address = reinterpret_cast<std::uintptr_t>(t.bytes.data());
            if (t.interleaved_head == 0 && address % alignof(T) == 0)
                return packed_matrix<dense<T>>(
                    t.mapping, matrix_view<const T>(reinterpret_cast<T const*>(t.bytes.data()), t.rows(), t.cols()));
            packed_matrix<dense<T>> own(t.rows(), t.cols());
            const std::size_t row_bytes = t.cols() * sizeof(T);
            for (std::size_t r = 0; r < t.rows(); ++r)
                std::memcpy(own.writable_row(r).data(), t.bytes.data() + t.stored_row(r) * row_bytes, row_bytes);
            return own;
        };
        auto m = make();
        for (std::size_t r = 0; r < m.rows(); ++r) detail::check_finite<T>(m.row(r), t, r);
        return m;
    }

    std::shared_ptr<const detail::checkpoint_contents> contents_;
};

/// The blocks of a checkpoint, loaded when asked for. With `keep_resident` each is loaded once and kept; without, only
/// the last one is, which all variants of a sweep ask for in turn, so that a model larger than memory streams from its
/// mapped files.
template <class W>
class checkpoint_layers final : public layer_source<W> {
public:
    checkpoint_layers(checkpoint source, bool keep_resident)
        : source_(std::move(source)), keeps_all_(keep_resident), blocks_(keep_resident ? source_.config().layers : 1) {}

    /// Errors: shape_error for a layer that is not there; as load_matrix and load_vector.
    block_weights<W> layer(std::size_t k) override {
        if (k >= source_.config().layers)
            throw shape_error(source_.path().string() + ": layer " + std::to_string(k) + " is asked of " +
                              std::to_string(source_.config().layers) + " layers");
        block_weights<W>& place = keeps_all_ ? blocks_[k] : blocks_[0];
        if (!keeps_all_ && last_ != k) place = {};
        if (!place.rest) place = load(k);
        last_ = k;
        return place;
    }

private:
    block_weights<W> load(std::size_t k) const {
        block_weights<W> w;
        for (std::size_t i = 0; i < projection_count; ++i)
            w.linear[i] =
                std::make_shared<const W>(source_.load_matrix<W>(detail::weight_name(k, static_cast<projection>(i))));
        norms_and_biases rest;
        rest.attn_norm = source_.load_vector(detail::attn_norm_name(k));
        rest.mlp_norm = source_.load_vector(detail::mlp_norm_name(k));
        visit_architecture(source_.config(), [&]<class Architecture>(Architecture) {
            if constexpr (Architecture::qkv_bias) {
                rest.q_bias = source_.load_vector(detail::bias_name(k, projection::q));
                rest.k_bias = source_.load_vector(detail::bias_name(k, projection::k));
                rest.v_bias = source_.load_vector(detail::bias_name(k, projection::v));
            }
        });
        w.rest = std::make_shared<const norms_and_biases>(std::move(rest));
        return w;
    }

    checkpoint source_;
    bool keeps_all_;
    std::vector<block_weights<W>> blocks_;
    std::size_t last_ = 0;
};

} // namespace bitlens

// ---- bitlens/models/random_model.hpp
/// tiny_model: a seeded random model for tests and examples that need no download.

// ---- bitlens/models/transformer.hpp
/// transformer: a decoder model, from token ids to logits, with a probe on the way.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// A model of one architecture with weights of type W. Copies share the weights.
template <class Architecture, class W>
class transformer {
    static_assert(bitlens::architecture<Architecture>,
                  "bitlens: transformer<Architecture, Weight>: an architecture is llama, qwen2, or a struct with the "
                  "members that docs/add-an-architecture.md lists");
    static_assert(weight_matrix<W>,
                  "bitlens: transformer<Architecture, Weight>: a weight is a packed_matrix<format> or "
                  "a mixed_matrix<format...>, such as packed_matrix<dense<float>>");

public:
    using architecture = Architecture;
    using weight = W;

    /// Of parts; the head may be the embedding.   Errors: shape_error for shapes that do not fit the configuration.
    transformer(model_config config, std::shared_ptr<layer_source<W>> layers, std::shared_ptr<const W> embedding,
                std::vector<float> final_norm, std::shared_ptr<const W> head)
        : config_(std::move(config)), layers_(std::move(layers)), embedding_(std::move(embedding)),
          final_norm_(std::make_shared<const std::vector<float>>(std::move(final_norm))), head_(std::move(head)) {
        const std::size_t vocabulary = config_.vocabulary, width = config_.block.width;
        if (layers_ == nullptr || embedding_ == nullptr || head_ == nullptr)
            throw shape_error("transformer: a part is null; layers, embedding and head are expected");
        detail::check_shape("transformer", "embedding", embedding_->rows(), embedding_->cols(), vocabulary, width);
        detail::check_shape("transformer", "head", head_->rows(), head_->cols(), vocabulary, width);
        detail::check_size("transformer", "final_norm", final_norm_->size(), width);
    }

    /// Of a checkpoint, whose files stay mapped. With `keep_resident` its blocks are loaded once and kept.
    /// Errors: format_error for a checkpoint of another architecture; as load_matrix.
    transformer(checkpoint const& source, bool keep_resident)
        : transformer(configuration_of(source), std::make_shared<checkpoint_layers<W>>(source, keep_resident),
                      std::make_shared<const W>(source.load_matrix<W>(detail::embedding_name)),
                      source.load_vector(detail::final_norm_name), nullptr, source) {}

    /// The same model with other blocks.
    template <class Source>
    transformer with_layers(Source layers) const {
        static_assert(source_of<Source, W>,
                      "bitlens: with_layers takes a std::shared_ptr to a layer_source whose weights "
                      "are of this model's type");
        transformer other = *this;
        if constexpr (source_of<Source, W>) other.layers_ = std::move(layers);
        if (other.layers_ == nullptr) throw shape_error("with_layers: a layer_source is expected, found none");
        return other;
    }

    /// The same model whose products are computed in another arithmetic.   Errors: option_error where this machine has
    /// none.
    transformer with_products(arithmetic products) const {
        transformer other = *this;
        other.products_ = checked(products);
        return other;
    }

    model_config const& config() const noexcept { return config_; }
    arithmetic products() const noexcept { return products_; }
    std::shared_ptr<layer_source<W>> layers() const noexcept { return layers_; }
    W const& embedding() const noexcept { return *embedding_; }
    std::span<const float> final_norm() const noexcept { return *final_norm_; }
    W const& head() const noexcept { return *head_; }

    /// x ← the rows of the embedding.   Shapes: ids (T), x (T, d).   Errors: as bitlens::embed.
    void embed(std::span<const std::int32_t> ids, matrix_view<float> x) const { bitlens::embed(*embedding_, ids, x); }

    /// Bytes of workspace that forward needs.
    std::size_t forward_bytes(std::size_t positions, unsigned tasks) const {
        return std::max(advance_bytes(config_.block, positions, tasks),
                        matmul_bytes(config_.vocabulary, config_.block.width, positions, tasks));
    }

    /// Runs a whole document and speaks to the probe on the way; final_norm and logits (T, vocabulary) are made only
    /// for a probe that listens to them. The workspace says in which arithmetic; bits depend neither on the probe nor
    /// on the workspace's tasks. Errors: shape_error for no ids, one outside the vocabulary, layers of another shape,
    /// or a workspace of less than forward_bytes; what the layers' source throws.
    template <detail::meant_as_probe P>
    void forward(std::span<const std::int32_t> ids, P&& p, workspace& scratch) const {
        if constexpr (check_probe<P>()) run(ids, p, scratch);
    }
    /// The same with a workspace of its own, in one task.
    template <detail::meant_as_probe P>
    void forward(std::span<const std::int32_t> ids, P&& p) const {
        workspace scratch(forward_bytes(ids.size(), 1), 1, products_);
        if constexpr (check_probe<P>()) run(ids, p, scratch);
    }

private:
    transformer(model_config config, std::shared_ptr<layer_source<W>> layers, std::shared_ptr<const W> embedding,
                std::vector<float> final_norm, std::nullptr_t, checkpoint const& source)
        : transformer(std::move(config), std::move(layers), embedding, std::move(final_norm),
                      source.config().tied_head ? embedding
                                                : std::make_shared<const W>(source.load_matrix<W>(detail::head_name))) {
    }

    template <class P>
    static constexpr bool check_probe() {
        static_assert(std::is_lvalue_reference_v<P>, "bitlens: forward takes a probe that has a name: what it heard is "
                                                     "read from it afterwards, and a temporary one is gone by then");
        return std::is_lvalue_reference_v<P> && bitlens::detail::points_of<std::remove_cvref_t<P>>::is_sound;
    }

    /// forward, for a probe that has been checked.
    template <class P>
    void run(std::span<const std::int32_t> ids, P& p, workspace& scratch) const {
        if (ids.empty()) throw shape_error("forward: at least one token id is expected");
        scratch.require("forward", forward_bytes(ids.size(), scratch.tasks()));
        block_state state(ids.size(), config_.block);
        embed(ids, state.x);
        for (std::size_t k = 0; k < config_.layers; ++k)
            advance<Architecture>(config_.block, layers_->layer(k), site{k}, state, stage::end, scratch, p);
        if constexpr (listens_to_any<P, hook::final_norm, hook::logits>) {
            rms_norm(state.x.view(), final_norm(), config_.block.norm_eps, state.x.view());
            emit<hook::final_norm>(p, site{config_.layers}, state.x);
        }
        if constexpr (listens<P, hook::logits>) {
            matrix<float> logits(ids.size(), config_.vocabulary);
            matmul(*head_, state.x.view(), logits.view(), scratch);
            emit<hook::logits>(p, site{config_.layers}, logits);
        }
    }

    static model_config const& configuration_of(checkpoint const& source) {
        if (source.config().architecture != Architecture::name)
            throw format_error(source.path().string() + ": architecture " + std::string(Architecture::name) +
                               " is expected, " + source.config().architecture + " was found");
        return source.config();
    }

    model_config config_;
    std::shared_ptr<layer_source<W>> layers_;
    std::shared_ptr<const W> embedding_;
    std::shared_ptr<const std::vector<float>> final_norm_;
    std::shared_ptr<const W> head_;
    arithmetic products_ = arithmetic::f32;
};

} // namespace bitlens

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Sizes of a model that runs in a moment: 4 layers of width 64, grouped heads, 256 tokens.
template <class Architecture>
model_config tiny_config() {
    static_assert(architecture<Architecture>,
                  "bitlens: an architecture is llama, qwen2, or a struct with the members that "
                  "docs/add-an-architecture.md lists");
    if constexpr (architecture<Architecture>)
        return {std::string(Architecture::name), 4, 256, 512, {64, 4, 2, 16, 160, 1e-5f, 10000.0}, true};
}

namespace detail {

/// A matrix of normal numbers that keeps the size of what it multiplies: deviation 1/√cols.
template <class W>
std::shared_ptr<const W> random_weight(matrix_shape shape, random_generator& random) {
    static_assert(std::constructible_from<W, packed_matrix<dense<float>>>,
                  "bitlens: a random model has float weights; quantize them afterwards");
    packed_matrix<dense<float>> m(shape.rows, shape.cols);
    const double deviation = 1 / std::sqrt(static_cast<double>(shape.cols));
    for (std::size_t r = 0; r < shape.rows; ++r)
        for (float& w : m.writable_row(r)) w = static_cast<float>(deviation * random.normal());
    return std::make_shared<const W>(std::move(m));
}

inline std::vector<float> random_vector(std::size_t size, double mean, double deviation, random_generator& random) {
    std::vector<float> v(size);
    for (float& x : v) x = static_cast<float>(mean + deviation * random.normal());
    return v;
}

} // namespace detail

/// A model with random weights, the same for the same configuration and seed on every machine.
/// Errors: format_error for a configuration that is no model (check_config) or of another architecture.
template <class Architecture, class W>
transformer<Architecture, W> tiny_model(model_config const& config, std::uint64_t seed) {
    problem_list problems;
    check_config(config, "tiny_model", problems);
    if (config.architecture != Architecture::name)
        problems.add("tiny_model: architecture " + std::string(Architecture::name) + " is expected, " +
                     config.architecture + " was found");
    if (!problems.empty()) throw format_error(problems.texts().front());

    auto const& shape = config.block;
    random_generator random(seed);
    std::vector<block_weights<W>> layers(config.layers);
    for (auto& layer : layers) {
        for (std::size_t p = 0; p < projection_count; ++p)
            layer.linear[p] = detail::random_weight<W>(shape_of(static_cast<projection>(p), shape), random);
        norms_and_biases rest;
        rest.attn_norm = detail::random_vector(shape.width, 1, 0.1, random);
        rest.mlp_norm = detail::random_vector(shape.width, 1, 0.1, random);
        if constexpr (Architecture::qkv_bias) {
            rest.q_bias = detail::random_vector(shape.heads * shape.head_dim, 0, 0.5, random);
            rest.k_bias = detail::random_vector(shape.kv_heads * shape.head_dim, 0, 0.5, random);
            rest.v_bias = detail::random_vector(shape.kv_heads * shape.head_dim, 0, 0.5, random);
        }
        layer.rest = std::make_shared<const norms_and_biases>(std::move(rest));
    }
    const auto embedding = detail::random_weight<W>({config.vocabulary, shape.width}, random);
    auto final_norm = detail::random_vector(shape.width, 1, 0.1, random);
    const auto head = config.tied_head ? embedding : detail::random_weight<W>({config.vocabulary, shape.width}, random);
    return {config, std::make_shared<resident_layers<W>>(std::move(layers)), embedding, std::move(final_norm), head};
}

} // namespace bitlens

// ---- bitlens/models/score.hpp
/// score: what a model makes of a text, in nats per token, without ever holding its logits.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Takes what the head reads, and scores it.
template <class W>
struct scorer {
    using points = hook::set<hook::final_norm>;
    W const& head;
    std::span<const std::int32_t> ids;
    std::span<double> nll;
    workspace& scratch;

    void on(hook::final_norm, site, matrix_view<const float> x) const {
        std::vector<std::int32_t> top(nll.size());
        std::vector<float> margin(nll.size());
        const matrix_view<const float> hidden = x.middle_rows(0, nll.size());
        const token_scores scores{nll, {}, top, margin};
        vocabulary_loss(head, std::span(&hidden, 1), ids.subspan(1), std::span(&scores, 1), scratch);
    }
};

} // namespace detail

/// Bytes of workspace that score needs for so many ids.
template <class Architecture, class W>
std::size_t score_bytes(transformer<Architecture, W> const& model, std::size_t tokens, unsigned tasks) {
    model_config const& config = model.config();
    return std::max(model.forward_bytes(tokens, tasks),
                    vocabulary_loss_bytes(config.vocabulary, config.block.width, tokens, 1, tasks));
}

/// nll_t = −log p(ids_{t+1} | ids_0 … ids_t), in nats, p = softmax(logits): the loss at each scored position; their
/// mean is the model's loss on the text, and e to its power the perplexity.   Shapes: ids (T) → (T − 1). The first id
/// is only read: a text begins with the tokenizer's own token where there is one (encode_with_bos). The head, softmax
/// and loss are fused: logits are never all there, and a probe cannot listen to them; what it writes elsewhere,
/// final_norm included, is scored. The workspace says in how many tasks and which arithmetic; bits are those of the
/// sweep, and do not depend on tasks. Sums are in double; a loss is that of the logits to about 1e-6. Errors:
/// shape_error for less than two ids, or one outside the vocabulary; as forward.
template <class Architecture, class W, detail::meant_as_probe P>
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids, P&& probe,
                          workspace& scratch) {
    constexpr bool is_named = std::is_lvalue_reference_v<P>;
    static_assert(is_named,
                  "bitlens: score takes a probe that has a name: what it heard is read from it afterwards, and a "
                  "temporary one is gone by then");
    static_assert(!listens<P, hook::logits>,
                  "bitlens: score never makes the logits, so no probe hears them; forward does");
    if (ids.size() < 2)
        throw shape_error("score: " + std::to_string(ids.size()) +
                          " token ids, expected at least 2: each but the first is scored");
    scratch.require("score", score_bytes(model, ids.size(), scratch.tasks()));
    std::vector<double> nll(ids.size() - 1);
    if constexpr (is_named) {
        detail::scorer<W> last{model.head(), ids, nll, scratch};
        chain both(probe, last);
        model.forward(ids, both, scratch);
    }
    return nll;
}

/// The same with a workspace of its own, in as many tasks as this process may use cores, in the model's arithmetic.
template <class Architecture, class W, detail::meant_as_probe P>
    requires(!std::same_as<std::remove_cvref_t<P>, workspace>)
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids, P&& probe) {
    const unsigned tasks = available_cores();
    workspace scratch(score_bytes(model, ids.size(), tasks), tasks, model.products());
    return score(model, ids, std::forward<P>(probe), scratch);
}

/// Without a probe.
template <class Architecture, class W>
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids,
                          workspace& scratch) {
    no_probe nobody;
    return score(model, ids, nobody, scratch);
}
template <class Architecture, class W>
std::vector<double> score(transformer<Architecture, W> const& model, std::span<const std::int32_t> ids) {
    no_probe nobody;
    return score(model, ids, nobody);
}

} // namespace bitlens

// ---- bitlens/sweep.hpp
/// sweep/: variants of a model side by side on many examples, what is measured of them, and the folder that keeps a run.

// ---- bitlens/sweep/column.hpp
/// column: what a measurement says of the numbers that it leaves.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// The name of variant 0 in every file of a run.
inline constexpr const char* full_model_name = "full";

/// How many numbers a column has of each document.
enum class column_shape : std::uint8_t { document, layer, position };

/// Of which variants it has them.
enum class column_owner : std::uint8_t { full_model, each_method, each_variant };

/// One quantity of a table of results. Files, readers, the plan of memory and the tables in the docs follow from it.
struct column {
    std::string name; // small letters, digits and '_'
    column_shape shape = column_shape::document;
    column_owner owner = column_owner::each_variant;
    std::string unit;       // "nats per token"; empty: a pure number
    std::string meaning;    // one line
    bool holds_ids = false; // token ids (int32) in place of numbers (float32); of a position only

    bool operator==(column const&) const = default;

    /// Whether variant v of a sweep has it; 0 is the full model.
    bool is_of(std::size_t v) const noexcept {
        return owner == column_owner::each_variant || (owner == column_owner::full_model) == (v == 0);
    }
    /// What files call it: "norm_r" of the full model alone, else with the variant: "nll_full", "mse_rtn3-g64".
    std::string stored_name(std::string_view variant) const {
        return owner == column_owner::full_model ? name : name + "_" + std::string(variant);
    }
};

/// The column of a table of rows for one layer: "norm_r_l3".
inline std::string layer_column(std::string_view stored_name, std::size_t layer) {
    return std::string(stored_name) + "_l" + std::to_string(layer);
}

/// Words for the enumerators, as manifests write them.
inline std::string_view name(column_shape shape) noexcept {
    constexpr std::string_view names[] = {"document", "layer", "position"};
    return names[static_cast<std::size_t>(shape)];
}
inline std::string_view name(column_owner owner) noexcept {
    constexpr std::string_view names[] = {"full model", "each method", "each variant"};
    return names[static_cast<std::size_t>(owner)];
}

/// Errors: option_error for a name that files could not bear, or ids that are not of a position.
inline void check_column(column const& c) {
    const auto plain = [](char x) { return (x >= 'a' && x <= 'z') || (x >= '0' && x <= '9') || x == '_'; };
    if (c.name.empty() || !std::ranges::all_of(c.name, plain))
        throw option_error("column '" + c.name + "': a name of small letters, digits and '_' is expected");
    if (c.holds_ids && c.shape != column_shape::position)
        throw option_error("column '" + c.name + "': token ids are expected of each position only");
}

} // namespace bitlens

// ---- bitlens/sweep/document_rows.hpp
/// document_rows: the documents of a run as rows of equally many token ids, and where they came from.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

struct document_rows {
    matrix<std::int32_t> ids;       // (N, tokens)
    std::vector<std::size_t> rows;  // row number in the input
    std::vector<std::string> names; // `id` of the input, empty when absent
    std::vector<std::string> topics;
    std::vector<std::optional<std::uint64_t>> bytes; // of the text of the scored tokens, where that is known

    /// Documents of these ids alone, numbered from 0.
    static document_rows numbered(matrix<std::int32_t> ids) {
        const std::size_t n = ids.rows();
        document_rows all{std::move(ids), std::vector<std::size_t>(n), std::vector<std::string>(n),
                          std::vector<std::string>(n), std::vector<std::optional<std::uint64_t>>(n)};
        for (std::size_t i = 0; i < n; ++i) all.rows[i] = i;
        return all;
    }

    std::size_t size() const noexcept { return ids.rows(); }
    /// Scored positions of a row.
    std::size_t positions() const noexcept { return ids.cols() == 0 ? 0 : ids.cols() - 1; }

    /// The first `count`, or all.
    document_rows first(std::size_t count) const {
        const auto n = static_cast<std::ptrdiff_t>(std::min(count, size()));
        const auto head = [n](auto const& list) {
            return std::remove_cvref_t<decltype(list)>(list.begin(), list.begin() + n);
        };
        document_rows some{matrix<std::int32_t>(static_cast<std::size_t>(n), ids.cols()), head(rows), head(names),
                           head(topics), head(bytes)};
        std::copy_n(ids.data(), some.ids.rows() * ids.cols(), some.ids.data());
        return some;
    }

    /// "document 7", or "document 7 (its id)": how messages name row n.
    std::string who(std::size_t n) const {
        return "document " + std::to_string(rows[n]) + (names[n].empty() ? "" : " (" + names[n] + ")");
    }
};

} // namespace bitlens

// ---- bitlens/sweep/layer_panels.hpp
/// layer_panels: one layer of every variant, laid out for the products of many examples.

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace bitlens {

/// Each layer's weights are decoded once for all examples of a block, into memory that the layers take in turn.
class layer_panels {
public:
    layer_panels(block_shape const& shape, std::size_t variants, arithmetic products)
        : memory_(variants), layers_(variants) {
        for (std::size_t v = 0; v < variants; ++v)
            for (std::size_t p = 0; p < projection_count; ++p) {
                const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
                layers_[v].linear[p] = memory_[v][p] = std::make_shared<weight_panels<>>(rows, cols, products);
            }
    }

    /// Bytes that the panels of one variant take.
    static std::size_t bytes(block_shape const& shape, arithmetic products) noexcept {
        std::size_t bytes = 0;
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
            bytes += weight_panels<>::bytes(rows, cols, products);
        }
        return bytes;
    }

    /// Takes over the weights of variant v from weights[v], where there are any.
    template <class W>
    void pack(std::span<const block_weights<W>> weights) {
        for (std::size_t v = 0; v < weights.size(); ++v) layers_[v].rest = weights[v].rest;
        parallel_for(weights.size() * projection_count, [&](std::size_t i) {
            auto const& from = weights[i / projection_count].linear[i % projection_count];
            if (from) memory_[i / projection_count][i % projection_count]->pack(*from);
        });
    }

    block_weights<weight_panels<>> const& operator[](std::size_t v) const noexcept { return layers_[v]; }

private:
    std::vector<std::array<std::shared_ptr<weight_panels<>>, projection_count>> memory_;
    std::vector<block_weights<weight_panels<>>> layers_; // the same panels, as layers take them
};

} // namespace bitlens

// ---- bitlens/sweep/manifest.hpp
/// run_manifest: what decides the numbers of a run. Equal manifests, equal bytes.

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// A variant beside the full model, and how it is made: "mine" and "nf3-g64".
struct run_method {
    std::string name, spec;
    bool operator==(run_method const&) const = default;
};

struct run_manifest {
    json setting = json::object();   // all else that decides a result, by name: model, data, arguments, versions
    std::vector<run_method> methods; // in the order of the tables
    std::vector<column> columns;     // what is measured

    bool operator==(run_manifest const&) const = default;
};

/// Name, size and SHA-256 of a file: what stands for it in a manifest.   Errors: io_error.
inline json file_identity(std::filesystem::path const& path) {
    return {{"name", visible_line(path.filename().native())},
            {"bytes", std::filesystem::file_size(path)},
            {"sha256", sha256_of_file(path)}};
}

/// The first place where two JSON values differ, in words; nothing when they are equal.
/// Errors: format_error for a string that is no UTF-8.
inline std::optional<std::string> first_difference(json const& found, json const& asked,
                                                   std::string const& where = "") {
    if (found == asked) return std::nullopt;
    if (found.is_object() && asked.is_object()) {
        const auto inside = [&](std::string const& key) { return where.empty() ? key : where + "." + key; };
        for (auto const& [key, value] : asked.items()) {
            if (!found.contains(key))
                return inside(key) + ": nothing in the folder, " + json_text(value, where) + " asked for";
            if (auto difference = first_difference(found[key], value, inside(key))) return difference;
        }
        for (auto const& [key, value] : found.items())
            if (!asked.contains(key))
                return inside(key) + ": " + json_text(value, where) + " in the folder, nothing asked for";
    }
    return where + ": " + json_text(found, where) + " in the folder, " + json_text(asked, where) + " asked for";
}

namespace detail {

/// The keys of manifest.json that are members of run_manifest; all others are its setting.
inline constexpr const char *methods_key = "methods", *columns_key = "columns";

inline json to_json(column const& c) {
    json out{{"name", c.name}, {"of", name(c.owner)}, {"per", name(c.shape)}, {"unit", c.unit}, {"meaning", c.meaning}};
    if (c.holds_ids) out["token_ids"] = true;
    return out;
}

template <class Word>
Word word_from(json const& object, const char* key, std::array<Word, 3> const& words, std::string const& who) {
    const auto text = required<std::string>(object, key, who);
    std::string known;
    for (const Word w : words) {
        if (text == name(w)) return w;
        known += (known.empty() ? "" : ", ") + std::string(name(w));
    }
    throw format_error(who + ": key \"" + key + "\": " + in_quotes(text) + " was found, expected " + known);
}

inline column column_from(json const& object, std::string const& who) {
    column c;
    c.name = required<std::string>(object, "name", who);
    c.owner = word_from(
        object, "of", std::array{column_owner::full_model, column_owner::each_method, column_owner::each_variant}, who);
    c.shape =
        word_from(object, "per", std::array{column_shape::document, column_shape::layer, column_shape::position}, who);
    c.unit = required<std::string>(object, "unit", who);
    c.meaning = required<std::string>(object, "meaning", who);
    c.holds_ids = if_present<bool>(object, "token_ids", who).value_or(false);
    return c;
}

inline json const& required_array(json const& object, const char* key, std::string const& who) {
    json const* const found = find_value(object, key, who);
    if (!found || !found->is_array()) throw format_error(who + ": key \"" + key + "\": an array is expected");
    return *found;
}

} // namespace detail

inline json to_json(run_manifest const& m) {
    json out = m.setting;
    out[detail::methods_key] = json::array();
    for (auto const& [name, spec] : m.methods) out[detail::methods_key].push_back({{"name", name}, {"spec", spec}});
    out[detail::columns_key] = json::array();
    for (column const& c : m.columns) out[detail::columns_key].push_back(detail::to_json(c));
    return out;
}

/// Errors: format_error naming `who` and what is missing or wrong.
inline run_manifest manifest_from(json const& file, std::string const& who) {
    run_manifest m;
    m.setting = detail::expect_object(file, who);
    std::set<std::string, std::less<>> names{std::string(full_model_name)};
    for (json const& entry : detail::required_array(file, detail::methods_key, who)) {
        const std::string place = who + ": " + detail::methods_key;
        m.methods.push_back({required<std::string>(entry, "name", place), required<std::string>(entry, "spec", place)});
        if (!names.insert(m.methods.back().name).second)
            throw format_error(place + ": the name " + in_quotes(m.methods.back().name) + " is taken");
    }
    for (json const& entry : detail::required_array(file, detail::columns_key, who))
        m.columns.push_back(detail::column_from(entry, who + ": " + detail::columns_key));
    m.setting.erase(detail::methods_key);
    m.setting.erase(detail::columns_key);
    return m;
}

/// Where two runs part, in words: the first difference of their settings, or of what they measure. Methods are left
/// out, because a run takes more of them later.
inline std::optional<std::string> first_difference(run_manifest const& found, run_manifest const& asked) {
    if (auto difference = first_difference(found.setting, asked.setting)) return difference;
    for (std::size_t i = 0; i < std::max(found.columns.size(), asked.columns.size()); ++i) {
        const auto at = [i](run_manifest const& m) {
            return i < m.columns.size() ? detail::to_json(m.columns[i]).dump() : std::string("nothing");
        };
        if (at(found) != at(asked)) return "columns: " + at(found) + " in the folder, " + at(asked) + " asked for";
    }
    return std::nullopt;
}

} // namespace bitlens

// ---- bitlens/sweep/memory_plan.hpp
/// memory_plan: what a sweep keeps in memory and how large its blocks are, decided before it starts.

// ---- bitlens/sweep/sweep.hpp
/// The engine of every experiment: block of examples → layer → example (in parallel) → variant.

// ---- bitlens/sweep/variants.hpp
/// variant: one model among those that a sweep runs side by side on the same examples.

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace bitlens {

/// Variants form a tree. Variant 0 is the root, the full-precision model; another one shares every block before
/// `fork_layer` with its parent, whose states it copies there, and goes on with weights of its own.
template <class W>
struct variant {
    std::string name;
    std::shared_ptr<layer_source<W>> weights;
    std::size_t parent = 0;     // index of an earlier variant
    std::size_t fork_layer = 0; // 0: on its own from the embedding on

    variant() = default;
    /// Does not compile for a source of another type of weight.
    template <class Source>
    variant(std::string its_name, Source source, std::size_t its_parent = 0, std::size_t its_fork_layer = 0)
        : name(std::move(its_name)), parent(its_parent), fork_layer(its_fork_layer) {
        static_assert(source_of<Source, W>, "bitlens: variant<W>{name, source}: the source is a std::shared_ptr to a "
                                            "layer_source<W>, of the same type of weight as the model");
        if constexpr (source_of<Source, W>) weights = std::move(source);
    }
};

/// Any list of variants of a model whose weights are W. Does not compile for variants of another type of weight.
template <class W, class Variants>
std::span<const variant<W>> variants_of(Variants const& variants) {
    constexpr bool fits = std::convertible_to<Variants const&, std::span<const variant<W>>>;
    static_assert(fits,
                  "bitlens: the variants are a list of variant<W>, such as a std::vector, where W is the model's type "
                  "of weight");
    if constexpr (fits)
        return variants;
    else
        return {};
}

/// Errors: option_error when there is no root, a variant has no weights, or its parent does not come before it or
/// starts after the fork.
template <class W>
void check_variants(std::span<const variant<W>> variants, std::size_t layers) {
    if (variants.empty()) throw option_error("sweep: at least one variant is expected, the full-precision model");
    if (variants[0].fork_layer != 0) throw option_error("sweep: variant 0 has no parent to fork from");
    for (auto const& v : variants)
        if (v.weights == nullptr)
            throw option_error("sweep: variant '" + v.name + "' has no weights; a layer_source is expected");
    for (std::size_t v = 1; v < variants.size(); ++v) {
        auto const& [name, weights, parent, fork] = variants[v];
        if (parent >= v || variants[parent].fork_layer > fork || fork >= layers)
            throw option_error("sweep: variant '" + name + "' forks from variant " + std::to_string(parent) +
                               " at layer " + std::to_string(fork) +
                               "; expected an earlier variant that runs at that layer, below " +
                               std::to_string(layers));
    }
}

} // namespace bitlens

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// What a sweep fills for one example. `with_probe(v, f)` calls f(probe) once, with the probe that watches variant v in
/// the block about to run; `scores()` gives room for what variant v made of each of the tokens − 1 scored positions.
/// A measurement belongs to one example and is never used by two threads at once.
template <class M>
concept measurement = requires(M m, no_probe& p) {
    m.with_probe(std::size_t{}, [](auto&) {});
    { m.scores() } -> std::convertible_to<std::span<const token_scores>>;
};

namespace detail {

/// What the task of one example needs beside its residual stream: only that is kept from layer to layer.
struct sweep_task {
    workspace scratch;
    block_state state;
};

/// Tasks are lent, not bound to threads: a thread that waits inside a kernel may take up a second example.
class sweep_task_pool {
public:
    sweep_task_pool(block_shape const& shape, std::size_t tokens, std::size_t workspace_bytes, unsigned tasks,
                    arithmetic products)
        : shape_(shape), tokens_(tokens), workspace_bytes_(workspace_bytes), tasks_(tasks), products_(products) {}

    /// Calls f(task) with a task that nobody else uses meanwhile.
    template <class F>
    void lend(F const& f) {
        std::unique_ptr<sweep_task> task = take();
        f(*task);
        const std::lock_guard lock(mutex_);
        free_.push_back(std::move(task));
    }

private:
    std::unique_ptr<sweep_task> take() {
        {
            const std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                auto task = std::move(free_.back());
                free_.pop_back();
                return task;
            }
        }
        return std::unique_ptr<sweep_task>(
            new sweep_task{workspace(workspace_bytes_, tasks_, products_), block_state(tokens_, shape_)});
    }

    block_shape shape_;
    std::size_t tokens_, workspace_bytes_;
    unsigned tasks_;
    arithmetic products_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<sweep_task>> free_;
};

} // namespace detail

/// How the work is cut. Neither number changes a result.
struct sweep_cut {
    std::size_t examples_per_block = 8; // each layer's weights are read and laid out once per block
    unsigned threads = 1;
};

/// Bytes that the sweep needs: for one example (times examples_per_block), for one thread, and once.
struct sweep_memory {
    std::size_t per_example = 0, per_thread = 0, once = 0;
};

inline std::size_t sweep_workspace_bytes(model_config const& config, std::size_t tokens, std::size_t variants,
                                         unsigned tasks) {
    return std::max(advance_bytes(config.block, tokens, tasks),
                    vocabulary_loss_bytes(config.vocabulary, config.block.width, tokens - 1, variants, tasks));
}

/// In whatever arithmetic: float32 takes most.
inline sweep_memory plan_sweep_memory(model_config const& config, std::size_t tokens, std::size_t variants) {
    auto const& shape = config.block;
    const std::size_t row_of_state = shape.width + shape.heads * shape.head_dim + shape.ffn_width;
    return {variants * tokens * shape.width * sizeof(float),
            tokens * row_of_state * sizeof(float) + sweep_workspace_bytes(config, tokens, variants, 1),
            variants * layer_panels::bytes(shape, arithmetic::f32)};
}

namespace detail {

/// What a sweep's `make` gives, or void where it is no function of an example's number.
template <class Make>
struct made_by {
    using type = void;
};
template <std::invocable<std::size_t> Make>
struct made_by<Make> {
    using type = std::remove_cvref_t<std::invoke_result_t<Make, std::size_t>>;
};

/// Whether a sweep can fill what `make` gives and hand it to `done`. Does not compile where it cannot, and says why.
template <class M, class Done>
constexpr bool check_measurement() {
    static_assert(!std::is_void_v<M>,
                  "bitlens: sweep(model, variants, ids, cut, make, done): make(n) gives the measurement "
                  "of example n, a std::size_t");
    if constexpr (!std::is_void_v<M>) {
        constexpr bool has_scores = requires(M m) {
            { m.scores() } -> std::convertible_to<std::span<const token_scores>>;
        };
        constexpr bool has_probe = requires(M m) {
            m.with_probe(std::size_t{}, [](auto&) {});
        };
        constexpr bool is_taken = std::invocable<Done const&, std::size_t, std::span<M>>;
        static_assert(has_scores,
                      "bitlens: a measurement has scores(), which gives a std::span<const token_scores>, one "
                      "for each variant");
        static_assert(has_probe,
                      "bitlens: a measurement has with_probe(v, f), which calls f(probe) with the probe that "
                      "watches variant v, or with a no_probe");
        static_assert(is_taken,
                      "bitlens: sweep(model, variants, ids, cut, make, done): done(first, measurements) takes a "
                      "std::size_t and a std::span of what make gives");
        return has_scores && has_probe && is_taken;
    }
    return false;
}

template <class Architecture, class W, class Make, class Done>
void run_sweep(transformer<Architecture, W> const& model, std::span<const variant<W>> variants,
               matrix_view<const std::int32_t> ids, sweep_cut cut, Make const& make, Done const& done) {
    using measurement_type = std::invoke_result_t<Make const&, std::size_t>;
    model_config const& config = model.config();
    check_variants(variants, config.layers);
    if (ids.cols < 2)
        throw shape_error("sweep: rows of at least 2 token ids are expected, found " + std::to_string(ids.cols));
    for (std::size_t n = 0; n < ids.rows; ++n) check_token_ids(ids.row(n), config.vocabulary);
    if (ids.rows == 0) return;

    const std::size_t tokens = ids.cols, scored = tokens - 1, variant_count = variants.size();
    const std::size_t block = std::clamp<std::size_t>(cut.examples_per_block, 1, ids.rows);
    const auto tasks = static_cast<unsigned>((cut.threads + block - 1) / block); // inside one example
    sweep_task_pool pool(config.block, tokens, sweep_workspace_bytes(config, tokens, variant_count, tasks), tasks,
                         model.products());
    layer_panels layer(config.block, variant_count, model.products());

    std::vector<matrix<float>> streams; // residual stream of example e and variant v: streams[e · variant_count + v]
    for (std::size_t i = 0; i < block * variant_count; ++i) streams.emplace_back(tokens, config.block.width);
    const auto copy = [](matrix<float> const& from, matrix<float>& to) { std::ranges::copy(from.span(), to.data()); };

    for (std::size_t first = 0; first < ids.rows; first += block) {
        const std::size_t count = std::min(block, ids.rows - first);
        std::vector<measurement_type> measurements;
        measurements.reserve(count);
        for (std::size_t e = 0; e < count; ++e) measurements.push_back(make(first + e));

        parallel_for(count, [&](std::size_t e) {
            matrix<float>* const stream = &streams[e * variant_count];
            model.embed(ids.row(first + e), stream[0]);
            for (std::size_t v = 1; v < variant_count; ++v)
                if (variants[v].fork_layer == 0) copy(stream[0], stream[v]);
        });
        for (std::size_t k = 0; k < config.layers; ++k) {
            std::vector<block_weights<W>> weights(variant_count);
            for (std::size_t v = 0; v < variant_count; ++v)
                if (variants[v].fork_layer <= k) weights[v] = variants[v].weights->layer(k);
            layer.pack(std::span<const block_weights<W>>(weights));
            parallel_for(count, [&](std::size_t e) {
                matrix<float>* const stream = &streams[e * variant_count];
                for (std::size_t v = 1; v < variant_count; ++v)
                    if (k > 0 && variants[v].fork_layer == k) copy(stream[variants[v].parent], stream[v]);
                pool.lend([&](sweep_task& task) {
                    for (std::size_t v = 0; v < variant_count; ++v) {
                        if (variants[v].fork_layer > k) continue;
                        std::swap(task.state.x, stream[v]);
                        measurements[e].with_probe(v, [&](auto& probe) {
                            advance<Architecture>(config.block, layer[v], site{k}, task.state, stage::end, task.scratch,
                                                  probe);
                        });
                        std::swap(task.state.x, stream[v]);
                    }
                });
            });
        }
        parallel_for(count, [&](std::size_t e) {
            std::vector<matrix_view<const float>> hidden;
            for (std::size_t v = 0; v < variant_count; ++v) {
                matrix_view<float> x = streams[e * variant_count + v].view().middle_rows(0, scored);
                rms_norm(x, model.final_norm(), config.block.norm_eps, x);
                hidden.push_back(x);
            }
            pool.lend([&](sweep_task& task) {
                vocabulary_loss(model.head(), hidden, ids.row(first + e).subspan(1), measurements[e].scores(),
                                task.scratch);
            });
        });
        done(first, std::span<measurement_type>(measurements));
    }
}

} // namespace detail

/// Runs every variant on every example, in the arithmetic of `model`, and lets measurements watch.
///
/// ids (N, tokens), tokens ≥ 2: position t is scored on ids(n, t + 1). `make(n)` gives the measurement of example n;
/// `done(first, measurements)` gets those of a finished block, in order, examples first, first + 1, …
/// Results do not depend on `cut`. Errors: shape_error for tokens < 2 or an id outside the vocabulary (before anything
/// runs), option_error for variants that are no tree; what the sources, measurements or `done` throw passes through.
template <class Architecture, class W, class Variants, class Make, class Done>
void sweep(transformer<Architecture, W> const& model, Variants const& variants, matrix_view<const std::int32_t> ids,
           sweep_cut cut, Make const& make, Done const& done) {
    const auto list = variants_of<W>(variants);
    if constexpr (detail::check_measurement<typename detail::made_by<Make const&>::type, Done>())
        detail::run_sweep(model, list, ids, cut, make, done);
}

} // namespace bitlens

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

namespace bitlens {

/// "1.05 MB", "713 MB", "5.4 GB": decimal units, as file managers print them.
inline std::string bytes_text(std::uint64_t bytes) {
    char text[32];
    if (bytes >= 1'000'000'000)
        std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes) / 1e9);
    else
        std::snprintf(text, sizeof text, "%.*f MB", bytes < 10'000'000 ? 2 : 0, static_cast<double>(bytes) / 1e6);
    return text;
}

/// What there is to keep, in bytes.
struct memory_demand {
    std::uint64_t ends = 0;      // embedding, head: always kept
    std::uint64_t full = 0;      // all blocks of the full model
    std::uint64_t quantized = 0; // all blocks of all quantized models
    std::size_t layers = 1;      // of which one at a time is enough
    std::uint64_t results = 0;   // tables that grow with the rows
    sweep_memory states;
    std::size_t rows = 1;
};

struct memory_plan {
    bool full_resident = true;      // else each layer is read again for every block of examples
    bool quantized_resident = true; // else each layer is quantized again for every block
    sweep_cut cut;
    std::uint64_t total = 0; // bytes
};

/// The fastest plan within `limit` bytes. Errors: option_error that says how much the smallest plan needs, and what
/// most of it is for.
inline memory_plan plan_memory(memory_demand const& d, std::uint64_t limit, unsigned threads) {
    const auto one_layer = [&](std::uint64_t all) { return (all + d.layers - 1) / d.layers; };
    // Enough examples to keep every thread busy until the layer's end, which all of them wait for.
    const std::size_t useful_block = std::min<std::size_t>(std::max<std::size_t>(8, 4 * threads), d.rows);
    std::uint64_t smallest = 0;
    for (const auto& [full_resident, quantized_resident] : {std::pair{true, true}, {false, true}, {false, false}}) {
        const std::uint64_t weights = d.ends + (full_resident ? d.full : one_layer(d.full)) +
                                      (quantized_resident ? d.quantized : one_layer(d.quantized));
        const std::uint64_t fixed = weights + d.results + threads * d.states.per_thread + d.states.once;
        smallest = fixed + d.states.per_example;
        // A layer that must be read or quantized again is worth as many examples as fit.
        const std::uint64_t wanted = full_resident && quantized_resident ? useful_block : d.rows;
        const std::uint64_t least = std::min<std::uint64_t>(useful_block, wanted);
        if (fixed + least * d.states.per_example > limit && (full_resident || quantized_resident)) continue;
        if (smallest > limit) break;
        const std::uint64_t block = std::min<std::uint64_t>(wanted, (limit - fixed) / d.states.per_example);
        return {full_resident,
                quantized_resident,
                {static_cast<std::size_t>(block), threads},
                fixed + block * d.states.per_example};
    }
    const std::pair<std::uint64_t, std::string> parts[] = {
        {d.ends, "the embedding and the head"},
        {one_layer(d.full), "a layer of the full model"},
        {one_layer(d.quantized), "a layer of the quantized models"},
        {d.results, "what is kept of all " + std::to_string(d.rows) + " rows"},
        {threads * d.states.per_thread, "what " + std::to_string(threads) + " threads work in"},
        {d.states.once, "work on one layer"},
        {d.states.per_example, "the states of an example"}};
    auto const& [bytes, what] = *std::ranges::max_element(parts);
    throw option_error("memory: at least " + bytes_text(smallest) + " are needed for one example at a time, " +
                       bytes_text(bytes) + " of them for " + what + "; " + bytes_text(limit) + " are allowed");
}

} // namespace bitlens

// ---- bitlens/sweep/position_scores.hpp
/// position_scores: room for what a sweep finds of every scored position of one variant.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitlens {

/// Per-position scores of one variant: see token_scores. The first variant's kl stays empty.
struct position_scores {
    std::vector<double> nll, kl, entropy;
    std::vector<std::int32_t> top;
    std::vector<float> margin;

    position_scores(std::size_t positions, bool is_reference)
        : nll(positions), kl(is_reference ? 0 : positions), entropy(positions), top(positions), margin(positions) {}
    token_scores view() noexcept { return {nll, kl, top, margin, entropy}; }

    /// Bytes that one position takes, at most.
    static constexpr std::size_t bytes_of_a_position = 3 * sizeof(double) + sizeof(std::int32_t) + sizeof(float);
};

/// Share of the positions at which two runs find the same token most likely.
/// Errors: shape_error for different numbers of positions, or none.
inline double same_top(position_scores const& a, position_scores const& b) {
    detail::check_size("same_top", "b", b.top.size(), a.top.size());
    if (a.top.empty()) throw shape_error("same_top: at least one position is expected");
    std::size_t same = 0;
    for (std::size_t t = 0; t < a.top.size(); ++t) same += a.top[t] == b.top[t] ? 1u : 0u;
    return static_cast<double>(same) / static_cast<double>(a.top.size());
}

/// A sweep's measurement of one row: the scores of every variant and nothing else. Variant 0 is the full model.
class score_measurement {
public:
    explicit score_measurement(std::size_t positions, std::size_t variants = 1) {
        BITLENS_ASSERT(variants >= 1);
        for (std::size_t v = 0; v < variants; ++v) scores_.emplace_back(positions, v == 0);
        for (auto& s : scores_) views_.push_back(s.view());
    }

    /// Bytes that one takes, at most.
    static std::size_t bytes(std::size_t positions, std::size_t variants) noexcept {
        return variants * positions * position_scores::bytes_of_a_position;
    }

    template <class F>
    void with_probe(std::size_t, F const& f) {
        no_probe nobody;
        f(nobody);
    }
    std::span<const token_scores> scores() noexcept { return views_; }
    position_scores const& positions(std::size_t variant) const noexcept { return scores_[variant]; }

private:
    std::vector<position_scores> scores_;
    std::vector<token_scores> views_;
};

} // namespace bitlens

// ---- bitlens/sweep/results_table.hpp
/// results_table: the one table of a run. Measurements fill it row by row, files hold it, statistics read it.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// N documents, L layers, T scored positions.
struct results_size {
    std::size_t documents = 0, layers = 0, positions = 0;
};

/// Stands for a number that is not defined (the kurtosis of equal numbers), and for one that nobody has measured yet.
inline constexpr double undefined_number = std::numeric_limits<double>::quiet_NaN();

/// A column of one variant. One of the three lists holds the numbers.
struct stored_column {
    column declared;
    std::size_t variant;
    std::string name;              // stored_name of the variant
    std::vector<double> numbers;   // (N) of documents, (L, N) of layers
    std::vector<float> scores;     // (N, T) of positions
    std::vector<std::int32_t> ids; // (N, T) of positions, where they are token ids
};

class results_table {
public:
    results_table() = default;

    /// No row is finished; every number is undefined. variants[0] is the full model.
    /// Errors: option_error for a column as check_column, and for two columns of one file with the same name.
    results_table(std::vector<column> columns, std::vector<std::string> variants, results_size size)
        : declared_(std::move(columns)), variants_(std::move(variants)), size_(size),
          finished_(variants_.size(), std::vector<bool>(size.documents, false)) {
        for (std::size_t v = 0; v < variants_.size(); ++v)
            for (column const& c : declared_)
                if (c.is_of(v)) stored_.push_back({c, v, c.stored_name(variants_[v]), {}, {}, {}});
        check_names();
        for (stored_column& s : stored_)
            if (s.declared.shape != column_shape::position)
                s.numbers.assign(layers_of(s) * size.documents, undefined_number);
            else if (s.declared.holds_ids)
                s.ids.assign(size.documents * size.positions, 0);
            else
                s.scores.assign(size.documents * size.positions, static_cast<float>(undefined_number));
    }

    /// Bytes that one document takes.
    static std::size_t bytes_per_document(std::span<const column> columns, std::size_t variants,
                                          results_size size) noexcept {
        std::size_t bytes = 0;
        for (column const& c : columns)
            for (std::size_t v = 0; v < variants; ++v) {
                if (!c.is_of(v)) continue;
                if (c.shape == column_shape::position)
                    bytes += size.positions * (c.holds_ids ? sizeof(std::int32_t) : sizeof(float));
                else
                    bytes += (c.shape == column_shape::layer ? size.layers : 1) * sizeof(double);
            }
        return bytes;
    }

    std::size_t documents() const noexcept { return size_.documents; }
    std::size_t layers() const noexcept { return size_.layers; }
    std::size_t positions() const noexcept { return size_.positions; }
    results_size size() const noexcept { return size_; }
    std::vector<std::string> const& variants() const noexcept { return variants_; }
    std::vector<column> const& declared() const noexcept { return declared_; }

    /// Every column of every variant, variant by variant, in the order of their declaration.
    std::span<const stored_column> columns() const noexcept { return stored_; }
    std::span<stored_column> columns() noexcept { return stored_; }

    /// The column of that name in examples.csv (of documents or of layers) or in tokens.npz (of positions).
    stored_column const* find(std::string_view name, column_shape shape) const noexcept {
        const auto found = std::ranges::find_if(
            stored_, [&](stored_column const& s) { return s.declared.shape == shape && s.name == name; });
        return found == stored_.end() ? nullptr : &*found;
    }

    /// One number of each document.   Shapes: (N).   Errors: option_error where there is no such column.
    std::span<const double> of_documents(std::string_view name) const {
        return expect(name, column_shape::document).numbers;
    }
    /// One number of each document at each layer: row k is layer k.   Shapes: (L, N).   Errors: as of_documents.
    matrix_view<const double> of_layers(std::string_view name) const {
        return {expect(name, column_shape::layer).numbers.data(), size_.layers, size_.documents};
    }
    /// Shapes: (N, T).   Errors: as of_documents.
    matrix_view<const float> of_positions(std::string_view name) const {
        stored_column const& s = expect(name, column_shape::position);
        if (s.declared.holds_ids) throw option_error("the results: column '" + s.name + "' holds token ids");
        return {s.scores.data(), size_.documents, size_.positions};
    }
    /// Shapes: (N, T).   Errors: as of_documents.
    matrix_view<const std::int32_t> ids_of_positions(std::string_view name) const {
        stored_column const& s = expect(name, column_shape::position);
        if (!s.declared.holds_ids) throw option_error("the results: column '" + s.name + "' holds no token ids");
        return {s.ids.data(), size_.documents, size_.positions};
    }

    bool is_finished(std::size_t variant, std::size_t row) const noexcept { return finished_[variant][row]; }
    void set_finished(std::size_t variant, std::size_t row) { finished_[variant][row] = true; }
    bool is_complete() const noexcept {
        return std::ranges::all_of(finished_,
                                   [](auto const& rows) { return std::ranges::all_of(rows, std::identity{}); });
    }

    /// How many columns of examples.csv a column of documents or of layers is.
    std::size_t layers_of(stored_column const& s) const noexcept {
        return s.declared.shape == column_shape::layer ? size_.layers : 1;
    }
    /// The name of one of them.
    static std::string csv_name(stored_column const& s, std::size_t layer) {
        return s.declared.shape == column_shape::layer ? layer_column(s.name, layer) : s.name;
    }

private:
    void check_names() const {
        std::set<std::string> in_csv, in_npz;
        const auto add = [](std::set<std::string>& names, std::string name) {
            if (!names.insert(name).second)
                throw option_error("two columns of the results are called " + visible_text(name) +
                                   "; a method of another name keeps both");
        };
        for (stored_column const& s : stored_) {
            check_column(s.declared);
            if (s.declared.shape == column_shape::position)
                add(in_npz, s.name);
            else
                for (std::size_t k = 0; k < layers_of(s); ++k) add(in_csv, csv_name(s, k));
        }
    }
    stored_column const& expect(std::string_view name, column_shape shape) const {
        if (auto const* const found = find(name, shape)) return *found;
        std::string there;
        for (stored_column const& s : stored_)
            if (s.declared.shape == shape) there += (there.empty() ? "" : ", ") + s.name;
        throw option_error("the results: there is no column '" + visible_text(name) + "' of each " +
                           std::string(bitlens::name(shape)) + "; there are " + visible_text(there));
    }

    std::vector<column> declared_;
    std::vector<std::string> variants_;
    results_size size_;
    std::vector<stored_column> stored_;
    std::vector<std::vector<bool>> finished_; // [variant][document]
};

/// Where a measurement writes what it found of one document under one variant, column by column. Of a document or a
/// layer, what is not finite is undefined; of a position it stays what it is.
/// Errors of all: option_error naming the column that the variant does not have, that was written twice or not at all;
/// shape_error for another number of values than the table has layers or positions.
class results_row {
public:
    results_row(results_table& table, std::size_t variant, std::size_t row)
        : table_(table), variant_(variant), row_(row), written_(table.columns().size(), false) {}

    void number(std::string_view name, double value) {
        place(name, column_shape::document).numbers[row_] = defined(value);
    }
    void number(std::string_view name, std::optional<double> value) { number(name, value.value_or(undefined_number)); }

    /// One number per layer.   values: double or std::optional<double>, of which nullopt is undefined.
    template <class Number>
    void layers(std::string_view name, std::vector<Number> const& values) {
        stored_column& s = place(name, column_shape::layer);
        check_count(name, values.size(), table_.layers());
        for (std::size_t k = 0; k < values.size(); ++k) {
            double& to = s.numbers[k * table_.documents() + row_];
            if constexpr (requires { values[k].has_value(); })
                to = defined(values[k].value_or(undefined_number));
            else
                to = defined(values[k]);
        }
    }

    /// One number, or token id, per scored position.
    template <class Number>
    void positions(std::string_view name, std::span<const Number> values) {
        stored_column& s = place(name, column_shape::position);
        check_count(name, values.size(), table_.positions());
        const auto write = [&](auto& all) {
            using to = typename std::remove_cvref_t<decltype(all)>::value_type;
            std::ranges::transform(values, all.begin() + static_cast<std::ptrdiff_t>(row_ * table_.positions()),
                                   [](Number x) { return static_cast<to>(x); });
        };
        s.declared.holds_ids ? write(s.ids) : write(s.scores);
    }

    /// Marks the row as finished.
    void finish() {
        for (std::size_t i = 0; i < written_.size(); ++i)
            if (stored_column const& s = table_.columns()[i]; s.variant == variant_ && !written_[i])
                refuse(s.declared.name, "was not written");
        table_.set_finished(variant_, row_);
    }

private:
    static double defined(double value) noexcept { return std::isfinite(value) ? value : undefined_number; }
    stored_column& place(std::string_view name, column_shape shape) {
        const auto columns = table_.columns();
        for (std::size_t i = 0; i < columns.size(); ++i) {
            stored_column& s = columns[i];
            if (s.variant != variant_ || s.declared.name != name || s.declared.shape != shape) continue;
            if (written_[i]) refuse(name, "is written a second time");
            written_[i] = true;
            return s;
        }
        refuse(name, "is declared by no column of each " + std::string(bitlens::name(shape)));
    }
    void check_count(std::string_view name, std::size_t found, std::size_t expected) const {
        if (found != expected)
            throw shape_error("measurement: " + std::string(name) + " of variant " + table_.variants()[variant_] +
                              ": " + std::to_string(found) + " values, expected " + std::to_string(expected));
    }
    [[noreturn]] void refuse(std::string_view name, std::string const& what) const {
        throw option_error("measurement: '" + std::string(name) + "' of variant " + table_.variants()[variant_] + " " +
                           what);
    }

    results_table& table_;
    std::size_t variant_, row_;
    std::vector<bool> written_; // of the table's columns
};

} // namespace bitlens

// ---- bitlens/sweep/run_arrays.hpp
/// run_arrays: the table of a run as xtensor arrays by name, to slice and combine as one would in numpy.

// ---- bitlens/sweep/run_results.hpp
/// run_results: all of a run but its model: what it is, its documents, its table. In memory, and in the run's folder.

// ---- bitlens/sweep/token_texts.hpp
/// token_texts: the bytes that the token ids of a run stand for.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

class token_texts {
public:
    token_texts() = default;
    /// bytes_of(id) → text, for each of the ids, which may come in any order and more than once.
    template <class BytesOf>
    token_texts(std::vector<std::int32_t> ids, BytesOf const& bytes_of) : ids_(std::move(ids)) {
        std::ranges::sort(ids_);
        ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
        for (const std::int32_t id : ids_) {
            bytes_ += bytes_of(id);
            offsets_.push_back(bytes_.size());
        }
    }

    /// The arrays token_ids, token_offsets and token_bytes of `file`, whose name is `who`.
    /// Errors: format_error naming the file and the array that is missing, or contradicts the others.
    static token_texts read(npz_reader const& file, std::string const& who) {
        token_texts t;
        t.ids_ = file.array("token_ids").values<std::int32_t>();
        const auto offsets = file.array("token_offsets").values<std::int64_t>();
        const auto bytes = file.array("token_bytes").values<std::uint8_t>();
        if (std::ranges::adjacent_find(t.ids_, std::greater_equal<>{}) != t.ids_.end())
            throw format_error(who + ": array 'token_ids' does not rise");
        if (offsets.size() != t.ids_.size() + 1 || offsets.front() != 0 ||
            offsets.back() != static_cast<std::int64_t>(bytes.size()) || !std::ranges::is_sorted(offsets))
            throw format_error(who + ": array 'token_offsets' does not cut the " + std::to_string(bytes.size()) +
                               " bytes of 'token_bytes' into " + std::to_string(t.ids_.size()) + " pieces");
        t.offsets_.assign(offsets.begin(), offsets.end());
        t.bytes_.assign(bytes.begin(), bytes.end());
        return t;
    }
    void write(npz_writer& file) const {
        file.add<std::int32_t>("token_ids", std::array{ids_.size()}, ids_);
        const std::vector<std::int64_t> offsets(offsets_.begin(), offsets_.end());
        file.add<std::int64_t>("token_offsets", std::array{offsets.size()}, offsets);
        const std::vector<std::uint8_t> bytes(bytes_.begin(), bytes_.end());
        file.add<std::uint8_t>("token_bytes", std::array{bytes.size()}, bytes);
    }

    bool has(std::int32_t id) const noexcept { return std::ranges::binary_search(ids_, id); }
    /// The bytes that an id stands for.   Errors: format_error for one that the run does not know.
    std::string_view operator[](std::int32_t id) const {
        const auto place = std::ranges::lower_bound(ids_, id);
        if (place == ids_.end() || *place != id)
            throw format_error("tokens.npz: array 'token_ids' lacks the id " + std::to_string(id));
        const auto i = static_cast<std::size_t>(place - ids_.begin());
        return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
    }

private:
    std::vector<std::int32_t> ids_; // rising
    std::vector<std::size_t> offsets_{0};
    std::string bytes_;
};

} // namespace bitlens

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// Row i of the table, of the documents and of all files is the same document.
struct run_results {
    run_manifest manifest;
    document_rows documents;
    results_table table;
    token_texts texts;
    std::vector<std::string> unfinished; // methods of the manifest for which the files have nothing yet

    std::size_t size() const noexcept { return documents.size(); }
    std::size_t layers() const noexcept { return table.layers(); }
    /// Of the table, in its order; variant v of the table is methods()[v − 1].
    std::vector<run_method> methods() const {
        std::vector<run_method> found;
        for (run_method const& m : manifest.methods)
            if (std::ranges::find(unfinished, m.name) == unfinished.end()) found.push_back(m);
        return found;
    }
};

/// The names of a run's variants: the full model's, then those of the methods.
inline std::vector<std::string> variant_names(std::span<const run_method> methods) {
    std::vector<std::string> names{std::string(full_model_name)};
    for (run_method const& m : methods) names.push_back(m.name);
    return names;
}

/// Every id of the documents and of the table's columns of ids.
inline std::vector<std::int32_t> ids_of(document_rows const& documents, results_table const& table) {
    std::vector<std::int32_t> all(documents.ids.span().begin(), documents.ids.span().end());
    for (stored_column const& s : table.columns()) all.insert(all.end(), s.ids.begin(), s.ids.end());
    return all;
}

/// Errors: io_error; format_error as csv_table.
inline csv_table read_csv(std::filesystem::path const& path) {
    const mapped_file file(path);
    return {as_text(file.bytes()), path.string()};
}

namespace detail {

inline constexpr const char *examples_name = "examples.csv", *tokens_name = "tokens.npz";

/// Numbers of documents, then those of layers: all variants of a column side by side.
inline std::vector<stored_column const*> csv_order(results_table const& table) {
    std::vector<stored_column const*> order;
    for (const column_shape shape : {column_shape::document, column_shape::layer})
        for (column const& c : table.declared())
            for (auto const& variant : table.variants())
                if (c.shape == shape)
                    if (auto const* const s = table.find(c.stored_name(variant), shape);
                        s && table.variants()[s->variant] == variant)
                        order.push_back(s);
    return order;
}

inline std::string examples_csv(document_rows const& documents, results_table const& table) {
    const auto order = csv_order(table);
    std::vector<std::string> names{"example", "id", "topic", "tokens", "bytes"};
    for (stored_column const* s : order)
        for (std::size_t k = 0; k < table.layers_of(*s); ++k) names.push_back(results_table::csv_name(*s, k));
    csv_writer csv(names);
    for (std::size_t n = 0; n < documents.size(); ++n) {
        csv.count(documents.rows[n]).text(documents.names[n]).text(documents.topics[n]).count(documents.ids.cols());
        documents.bytes[n] ? csv.count(*documents.bytes[n]) : csv.empty();
        for (stored_column const* s : order)
            for (std::size_t k = 0; k < table.layers_of(*s); ++k) {
                const double x = s->numbers[k * documents.size() + n];
                std::isfinite(x) ? csv.number(x) : csv.empty();
            }
        csv.end_row();
    }
    return csv.bytes();
}

/// Errors: format_error naming file and array for another shape or type.
template <class T>
std::vector<T> read_rows(npy_array const& array, std::size_t rows, std::size_t cols) {
    if (array.shape != std::vector{rows, cols})
        throw format_error(array.who + ": shape " + shape_text(array.shape) + ", expected " +
                           shape_text(std::vector{rows, cols}));
    return array.template values<T>();
}

/// No run holds more than the square of any float; and sums and squares of such numbers are finite.
inline constexpr double largest_number = 1e80;

/// Fills the columns of `table` that are of `variant` from the files of a complete run.
/// Errors: format_error naming the file, and the column, line or array that is missing or wrong.
inline void read_variant(csv_table const& examples, npz_reader const& tokens, results_table& table,
                         std::size_t variant) {
    for (stored_column& s : table.columns()) {
        if (s.variant != variant) continue;
        if (s.declared.shape == column_shape::position) {
            const npy_array array = tokens.array(s.name);
            if (s.declared.holds_ids)
                s.ids = read_rows<std::int32_t>(array, table.documents(), table.positions());
            else
                s.scores = read_rows<float>(array, table.documents(), table.positions());
            continue;
        }
        for (std::size_t k = 0; k < table.layers_of(s); ++k) {
            const std::string name = results_table::csv_name(s, k);
            const auto numbers = examples.optional_numbers(name);
            for (std::size_t n = 0; n < numbers.size(); ++n) {
                if (numbers[n] && std::abs(*numbers[n]) > largest_number)
                    examples.refuse(n, examples.column(name), "a number of at most 1e80");
                s.numbers[k * table.documents() + n] = numbers[n].value_or(undefined_number);
            }
        }
    }
    for (std::size_t n = 0; n < table.documents(); ++n) table.set_finished(variant, n);
}

/// Whether the files of a run hold the results of a method.
inline bool holds_method(csv_table const& examples, npz_reader const& tokens, std::span<const column> columns,
                         std::string const& method) {
    return std::ranges::any_of(columns, [&](column const& c) {
        if (c.owner == column_owner::full_model) return false;
        const std::string name = c.stored_name(method);
        if (c.shape == column_shape::position) return tokens.contains(name);
        return examples.has(c.shape == column_shape::layer ? layer_column(name, 0) : name);
    });
}

/// As many layers as the first column of layers has.
inline std::size_t layers_of(csv_table const& examples, std::span<const column> columns,
                             std::span<const std::string> variants) {
    for (column const& c : columns)
        for (std::size_t v = 0; v < variants.size(); ++v) {
            if (c.shape != column_shape::layer || !c.is_of(v)) continue;
            const std::string name = c.stored_name(variants[v]);
            examples.column(layer_column(name, 0)); // a model has a layer
            std::size_t layers = 1;
            while (examples.has(layer_column(name, layers))) ++layers;
            return layers;
        }
    return 0;
}

/// Refuses what results_table would make room for and the files do not hold.
inline void check_columns(csv_table const& examples, npz_reader const& tokens, std::span<const column> columns,
                          std::span<const std::string> variants) {
    for (column const& c : columns)
        for (std::size_t v = 0; v < variants.size(); ++v) {
            if (!c.is_of(v)) continue;
            const std::string name = c.stored_name(variants[v]);
            if (c.shape == column_shape::position)
                tokens.array(name);
            else
                examples.column(c.shape == column_shape::layer ? layer_column(name, 0) : name);
        }
}

/// Refuses numbers of a method that the manifest does not know.
inline void check_methods(csv_table const& examples, run_manifest const& manifest) {
    for (column const& c : manifest.columns) {
        if (c.shape != column_shape::document || c.owner != column_owner::each_variant) continue;
        for (auto const& name : examples.columns()) {
            if (!name.starts_with(c.name + "_")) continue;
            const auto variant = name.substr(c.name.size() + 1);
            if (variant != full_model_name &&
                std::ranges::find(manifest.methods, variant, &run_method::name) == manifest.methods.end())
                throw format_error(examples.who() + ": column '" + visible_text(name) +
                                   "' belongs to no method of manifest.json");
        }
    }
}

inline document_rows read_documents(csv_table const& examples, npz_reader const& tokens) {
    document_rows d;
    const npy_array ids = tokens.array("ids");
    if (ids.shape.size() != 2 || ids.shape[0] != examples.rows())
        throw format_error(ids.who + ": shape " + shape_text(ids.shape) + ", expected one row for each of the " +
                           std::to_string(examples.rows()) + " rows of " + examples.who());
    if (examples.rows() > 0 && ids.shape[1] < 2) throw format_error(ids.who + ": rows without a scored token");
    d.ids = matrix<std::int32_t>(ids.shape[0], ids.shape[1]);
    std::ranges::copy(ids.values<std::int32_t>(), d.ids.data());
    for (const std::uint64_t row : examples.counts("example")) d.rows.push_back(row);
    d.names = examples.texts("id");
    d.topics = examples.texts("topic");
    const auto lengths = examples.counts("tokens");
    for (std::size_t n = 0; n < lengths.size(); ++n)
        if (lengths[n] != d.ids.cols())
            examples.refuse(n, examples.column("tokens"), std::to_string(d.ids.cols()) + " as in " + ids.who);
    const std::size_t bytes = examples.column("bytes");
    for (std::size_t n = 0; n < examples.rows(); ++n)
        d.bytes.push_back(examples.text(n, bytes).empty() ? std::nullopt : std::optional(examples.count(n, bytes)));
    return d;
}

} // namespace detail

/// Writes RUN/tokens.npz, then RUN/examples.csv; a run whose examples.csv names a method has all of that method.
/// A number that is not finite is an empty cell.   Errors: io_error.
inline void write_run_tables(std::filesystem::path const& folder, document_rows const& documents,
                             results_table const& table, token_texts const& texts) {
    npz_writer file(folder / detail::tokens_name);
    const auto shape = [&](std::size_t cols) { return std::array{documents.size(), cols}; };
    file.add<std::int32_t>("ids", shape(documents.ids.cols()), documents.ids.span());
    for (stored_column const& s : table.columns()) {
        if (s.declared.shape != column_shape::position) continue;
        if (s.declared.holds_ids)
            file.add<std::int32_t>(s.name, shape(table.positions()), s.ids);
        else
            file.add<float>(s.name, shape(table.positions()), s.scores);
    }
    texts.write(file);
    file.finish();
    write_file_atomically(folder / detail::examples_name, detail::examples_csv(documents, table));
}

/// Says before a run that its tables could not be written.   Errors: io_error.
inline void expect_tables_writable(std::filesystem::path const& folder) {
    for (const char* name : {detail::tokens_name, detail::examples_name}) expect_writable(folder / name);
}

/// Whether a run of the folder has come to its end.
inline bool has_run_tables(std::filesystem::path const& folder) {
    std::error_code unknown;
    return std::filesystem::exists(folder / detail::examples_name, unknown);
}

/// What the tables of the folder hold of the table's variants; the others stay as they are.
/// Errors: io_error; format_error naming file and column for tables that are not of this run.
inline void read_run_tables(std::filesystem::path const& folder, results_table& table) {
    const csv_table examples = read_csv(folder / detail::examples_name);
    const npz_reader tokens(folder / detail::tokens_name);
    if (examples.rows() != table.documents())
        throw format_error(examples.who() + ": " + std::to_string(examples.rows()) + " rows, expected " +
                           std::to_string(table.documents()));
    for (std::size_t v = 0; v < table.variants().size(); ++v)
        if (v == 0 || detail::holds_method(examples, tokens, table.declared(), table.variants()[v]))
            detail::read_variant(examples, tokens, table, v);
}

/// A finished run from its folder alone.   Errors: io_error; format_error naming the file and the column, line, key or
/// array that is missing or wrong, or a folder where no run has come to its end.
inline run_results read_run(std::filesystem::path const& folder) {
    run_results run;
    const auto manifest_path = folder / "manifest.json";
    run.manifest = manifest_from(read_json_file(manifest_path), manifest_path.string());
    if (!has_run_tables(folder))
        throw format_error(folder.string() + ": the tables of a finished run are expected, examples.csv is missing; "
                                             "the command that began it goes on when it is called again");
    const csv_table examples = read_csv(folder / detail::examples_name);
    const npz_reader tokens(folder / detail::tokens_name);
    detail::check_methods(examples, run.manifest);
    run.documents = detail::read_documents(examples, tokens);
    run.texts = token_texts::read(tokens, (folder / detail::tokens_name).string());
    for (run_method const& m : run.manifest.methods)
        if (!detail::holds_method(examples, tokens, run.manifest.columns, m.name)) run.unfinished.push_back(m.name);
    const auto variants = variant_names(run.methods());
    const results_size size{run.size(), detail::layers_of(examples, run.manifest.columns, variants),
                            run.documents.positions()};
    detail::check_columns(examples, tokens, run.manifest.columns, variants);
    try {
        run.table = results_table(run.manifest.columns, variants, size);
    } catch (option_error const& e) {
        throw format_error(manifest_path.string() + ": " + e.what());
    }
    for (std::size_t v = 0; v < variants.size(); ++v) detail::read_variant(examples, tokens, run.table, v);
    return run;
}

} // namespace bitlens

// ---- bitlens/sweep/tensor.hpp
/// The one door to xtensor: our matrices as xtensor expressions, without a copy, for code that analyses them.

#if __has_include(<xtensor/containers/xadapt.hpp>) // first: an older xtensor may lie in the system's folder
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/core/xmath.hpp>
#include <xtensor/views/xview.hpp>
#else // before 0.26
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include <array>

namespace bitlens {

/// The same numbers as an xtensor expression of rank 2 (rows, cols) that does not own them; writing to it writes to the
/// matrix.
template <class T>
auto as_xtensor(matrix_view<T> m) {
    // An adaptor with strides of its own would do, but `*= 2` on one walks the memory and ignores them; a view does
    // not.
    const std::array<std::size_t, 2> whole_rows{m.rows, m.stride};
    return xt::view(xt::adapt(m.data, m.rows * m.stride, xt::no_ownership(), whole_rows), xt::all(),
                    xt::range(std::size_t{0}, m.cols));
}

/// A copy of an xtensor of rank 2. Errors: shape_error for another rank.
template <class E>
auto as_matrix(E const& expression) {
    if (expression.dimension() != 2) throw shape_error("as_matrix: an expression of rank 2 is expected");
    matrix<std::remove_cvref_t<decltype(expression(0, 0))>> m(expression.shape(0), expression.shape(1));
    for (std::size_t r = 0; r < m.rows(); ++r)
        for (std::size_t c = 0; c < m.cols(); ++c) m(r, c) = expression(r, c);
    return m;
}

} // namespace bitlens

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace bitlens {

/// Copies of columns, by the names that files have for them. NaN: not defined for that document.
///
///     const run_arrays run(results);
///     const xt::xarray<double> last = xt::view(run["norm_r"], xt::all(), -1);   // (N)
///     const auto rho = correlation(last / run["norm_r_l0"], run["error_rtn3-g64"]);
class run_arrays {
public:
    explicit run_arrays(run_results const& run) : run_(&run) {}

    /// A column of examples.csv: "nll_full" (N); of layers "norm_r" (N, L), or one of them, "norm_r_l3" (N).
    /// Errors: option_error naming the columns that there are.
    xt::xarray<double> operator[](std::string_view name) const {
        results_table const& t = run_->table;
        if (t.find(name, column_shape::layer)) {
            const auto layers = t.of_layers(name);
            xt::xarray<double> all = xt::zeros<double>(std::array{layers.cols, layers.rows});
            for (std::size_t n = 0; n < layers.cols; ++n)
                for (std::size_t k = 0; k < layers.rows; ++k) all(n, k) = layers(k, n);
            return all;
        }
        if (const auto layer = one_layer(name)) return copy(*layer);
        return copy(t.of_documents(name));
    }
    /// An array of tokens.npz: numbers of the scored positions, or token ids, "ids" those of the documents.
    /// Shapes: (N, T), ids (N, T + 1).   Errors: option_error naming the columns that there are.
    xt::xarray<float> positions(std::string_view name) const { return copy_rows(run_->table.of_positions(name)); }
    xt::xarray<std::int32_t> ids(std::string_view name = "ids") const {
        return copy_rows(name == "ids" ? run_->documents.ids.view() : run_->table.ids_of_positions(name));
    }

private:
    /// "norm_r_l3" → layer 3 of "norm_r".
    std::optional<std::span<const double>> one_layer(std::string_view name) const {
        for (stored_column const& s : run_->table.columns())
            if (s.declared.shape == column_shape::layer && name.starts_with(s.name))
                for (std::size_t k = 0; k < run_->layers(); ++k)
                    if (name == layer_column(s.name, k)) return run_->table.of_layers(s.name).row(k);
        return std::nullopt;
    }
    static xt::xarray<double> copy(std::span<const double> column) {
        xt::xarray<double> all = xt::zeros<double>(std::array{column.size()});
        std::ranges::copy(column, all.begin());
        return all;
    }
    template <class T>
    static xt::xarray<T> copy_rows(matrix_view<const T> rows) {
        xt::xarray<T> all = xt::zeros<T>(std::array{rows.rows, rows.cols});
        for (std::size_t n = 0; n < rows.rows; ++n)
            for (std::size_t t = 0; t < rows.cols; ++t) all(n, t) = rows(n, t);
        return all;
    }

    run_results const* run_;
};

/// The numbers of an xtensor expression in row-major order, for the statistics that take spans.
template <class E>
std::vector<double> numbers_of(xt::xexpression<E> const& expression) {
    const xt::xarray<double> all = expression.derived_cast();
    return {all.begin(), all.end()};
}

} // namespace bitlens

// ---- bitlens/sweep/run_folder.hpp
/// run_folder: where one run keeps its manifest, its finished blocks and its log, so that a kill loses one block at
/// most.

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace bitlens {

/// A finished block on disk: rows first … first + count − 1 of one variant.
struct run_part {
    std::filesystem::path path;
    std::size_t first = 0, count = 0;
};

namespace detail {

/// Folders that are made, and removed again at the end where they are still empty.
class new_folders {
public:
    /// `path` and the folders above it that are missing.   Errors: io_error.
    explicit new_folders(std::filesystem::path const& path) {
        std::error_code code;
        for (auto missing = path; !missing.empty() && !std::filesystem::exists(missing, code);
             missing = missing.parent_path())
            innermost_first_.push_back(missing);
        std::filesystem::create_directories(path, code);
        if (!code) return;
        remove();
        throw io_error(path.string() + ": cannot be created: " + code.message());
    }
    new_folders(new_folders const&) = delete;
    new_folders& operator=(new_folders const&) = delete;
    ~new_folders() { remove(); }

private:
    void remove() const noexcept {
        for (auto const& folder : innermost_first_) ::rmdir(folder.c_str());
    }

    std::vector<std::filesystem::path> innermost_first_;
};

} // namespace detail

/// Owns the folder as long as it lives: a second process that opens it is refused. At the end nothing is left of a
/// folder, or a lock, that it made and into which nothing was written.
///
///     RUN/manifest.json     what the run is; equal for equal runs
///     RUN/parts/…           finished blocks, `<variant>-<first>-<count>.npz`, until the run is complete
///     RUN/log.txt           times, threads, hosts: what differs between equal runs
///     RUN/.lock             held, not written
class run_folder {
public:
    /// Creates the folder or opens an earlier run's. Errors: io_error when it cannot be written or another process has
    /// it; option_error when it is no run folder but holds files.
    explicit run_folder(std::filesystem::path folder)
        : path_(std::move(folder)), lock_is_new_(is_free_for_a_run()), new_folders_(path_), lock_(take_lock()) {}
    run_folder(run_folder const&) = delete;
    run_folder& operator=(run_folder const&) = delete;
    ~run_folder() {
        if (!lock_is_new_) return;
        try {
            if (std::distance(std::filesystem::directory_iterator(path_), {}) == 1)
                ::unlink((path_ / lock_name).c_str());
        } catch (std::exception const&) { // then the lock stays, as after a kill
        }
    }

    std::filesystem::path const& path() const noexcept { return path_; }

    /// Says before a run that its manifest, log or parts could not be written.   Errors: io_error.
    void expect_writable() const {
        for (const char* name : {manifest_name, log_name}) bitlens::expect_writable(path_ / name);
        const auto parts = path_ / parts_name;
        std::error_code code;
        if (!std::filesystem::exists(std::filesystem::symlink_status(parts, code))) return;
        if (!std::filesystem::is_directory(parts, code)) throw io_error(parts.string() + ": a folder is expected");
        bitlens::expect_writable(parts / "part");
    }

    /// The manifest that an earlier process left; nothing in a new folder.   Errors: those of manifest_from.
    std::optional<run_manifest> manifest() const {
        const auto file = path_ / manifest_name;
        std::error_code unknown; // what is there and cannot be read is an error of reading
        if (!std::filesystem::exists(std::filesystem::symlink_status(file, unknown))) return std::nullopt;
        return manifest_from(read_json_file(file), file.string());
    }
    /// What this call runs: `asked` in a new folder; in one that was begun, with the methods that it has, in its order,
    /// before those that are new, because their order is that of the tables. Nothing is written.
    /// Errors: option_error with the first difference for the folder of another run, or a method that is another there.
    run_manifest agree(run_manifest asked) const {
        auto earlier = manifest();
        if (!earlier) return asked;
        if (const auto difference = first_difference(*earlier, asked))
            throw option_error(path_.string() + ": holds another run: " + *difference + "; another folder keeps both");
        for (run_method const& m : asked.methods) {
            const auto same = std::ranges::find(earlier->methods, m.name, &run_method::name);
            if (same == earlier->methods.end())
                earlier->methods.push_back(m);
            else if (same->spec != m.spec)
                throw option_error(path_.string() + ": method " + m.name + " is " + same->spec + " there, " + m.spec +
                                   " asked for; another name keeps both");
        }
        return *earlier;
    }
    /// Says before a run that a file named after one of its methods could not be written: the longest is a figure's,
    /// while it is being written.   Errors: io_error.
    void expect_names_writable(std::vector<run_method> const& methods) const {
        for (run_method const& m : methods)
            bitlens::expect_writable(path_ / (std::string(longest_around_a_name, '_') + m.name));
    }
    /// And makes room for parts.   Errors: io_error; format_error for a string that is no UTF-8.
    void write_manifest(run_manifest const& manifest) const {
        const std::string text = json_text(to_json(manifest), (path_ / manifest_name).string(), 2) + "\n";
        std::error_code code;
        std::filesystem::create_directories(path_ / parts_name, code);
        if (code) throw io_error((path_ / parts_name).string() + ": cannot be created: " + code.message());
        write_file_atomically(path_ / manifest_name, text);
    }

    /// Finished blocks of a variant, by first row. Files of other names are left alone.
    std::vector<run_part> parts(std::string_view variant) const {
        std::vector<run_part> found;
        std::error_code code;
        std::filesystem::directory_iterator entries(path_ / parts_name, code);
        if (code) throw io_error((path_ / parts_name).string() + ": cannot be listed: " + code.message());
        for (auto const& entry : entries)
            if (auto part = parse_part(entry.path(), variant)) found.push_back(*part);
        std::ranges::sort(found, {}, &run_part::first);
        return found;
    }
    std::filesystem::path part_path(std::string_view variant, std::size_t first, std::size_t count) const {
        return path_ / parts_name /
               (std::string(variant) + "-" + std::to_string(first) + "-" + std::to_string(count) + part_suffix);
    }
    /// Whether there are finished blocks of any variant.
    bool has_parts() const {
        std::error_code code;
        return !std::filesystem::is_empty(path_ / parts_name, code) && !code;
    }
    /// For a complete run: its results stand elsewhere in the folder.
    void remove_parts() const { std::filesystem::remove_all(path_ / parts_name); }

    /// Appends one line with the time to log.txt.
    void log(std::string_view line) const {
        const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
        std::tm utc{};
        gmtime_r(&now, &utc);
        char stamp[32];
        std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
        append_to_file(path_ / log_name, std::string(stamp) + ' ' + std::string(line) + '\n');
    }

private:
    static constexpr const char *lock_name = ".lock", *parts_name = "parts", *manifest_name = "manifest.json",
                                *log_name = "log.txt", *part_suffix = ".npz";
    static constexpr std::size_t longest_around_a_name = 48; // "figures/figure_01b_norm_r_density_" and ".svg", say

    /// Whether the lock of a run is still to be made.
    bool is_free_for_a_run() const {
        std::error_code code;
        if (!std::filesystem::exists(path_, code)) return true;
        if (!std::filesystem::is_directory(path_, code))
            throw io_error(path_.string() + ": a folder for the run is expected, found a file");
        if (std::filesystem::exists(path_ / lock_name, code)) return false;
        if (!std::filesystem::is_empty(path_, code) && !code)
            throw option_error(path_.string() +
                               ": holds files but no run; expected an empty or new folder, or a run's");
        return true;
    }
    /// The lock marks the folder as a run's, should the process be killed before it writes anything else.
    detail::descriptor take_lock() const {
        const auto path = path_ / lock_name;
        for (;;) {
            detail::descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
            if (lock.get() < 0) throw io_error(path.string() + ": " + std::strerror(errno));
            if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
                throw io_error(path_.string() + (errno == EWOULDBLOCK
                                                     ? ": another process is running in this folder"
                                                     : ": cannot be locked: " + std::string(std::strerror(errno))));
            // Who held it before may have removed it: then it keeps nobody out.
            struct stat opened {
            }, named{};
            if (::fstat(lock.get(), &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
                opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
                return lock;
        }
    }

    static std::optional<run_part> parse_part(std::filesystem::path const& path, std::string_view variant) {
        const std::string name = path.filename().string();
        const std::string prefix = std::string(variant) + "-";
        if (!name.starts_with(prefix) || !name.ends_with(part_suffix)) return std::nullopt;
        const char* at = name.data() + prefix.size();
        const char* const end = name.data() + name.size() - std::strlen(part_suffix);
        run_part part{path};
        const auto first = std::from_chars(at, end, part.first);
        if (first.ec != std::errc{} || first.ptr == end || *first.ptr != '-') return std::nullopt;
        const auto count = std::from_chars(first.ptr + 1, end, part.count);
        if (count.ec != std::errc{} || count.ptr != end || part.count == 0) return std::nullopt;
        return part;
    }

    std::filesystem::path path_;
    bool lock_is_new_;
    detail::new_folders new_folders_;
    detail::descriptor lock_;
};

} // namespace bitlens

// ---- bitlens/sweep/run_parts.hpp
/// The finished blocks of a run on disk: rows of one variant's columns, until the run is complete.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

/// The arrays of a part are named by shape and column: "layer.norm_r" (L, count), "position.nll" (count, T).
inline std::string part_array(column const& c) { return std::string(name(c.shape)) + "." + c.name; }

/// Calls f(list of all numbers, first and count of the rows' numbers in it) for each stretch of neighbouring numbers.
template <class Column, class F>
void for_each_stretch(Column& s, results_table const& table, std::size_t first, std::size_t count, F const& f) {
    if (s.declared.shape != column_shape::position)
        for (std::size_t k = 0; k < table.layers_of(s); ++k) f(s.numbers, k * table.documents() + first, count);
    else if (s.declared.holds_ids)
        f(s.ids, first * table.positions(), count * table.positions());
    else
        f(s.scores, first * table.positions(), count * table.positions());
}

} // namespace detail

/// Writes rows first … first + count − 1 of a variant as a part of the run.   Errors: io_error.
inline void write_part(run_folder const& folder, results_table const& table, std::size_t variant, std::size_t first,
                       std::size_t count) {
    npz_writer part(folder.part_path(table.variants()[variant], first, count));
    for (stored_column const& s : table.columns()) {
        if (s.variant != variant) continue;
        const bool by_position = s.declared.shape == column_shape::position;
        bool begun = false;
        detail::for_each_stretch(s, table, first, count,
                                 [&]<class T>(std::vector<T> const& all, std::size_t from, std::size_t n) {
                                     const std::array shape{by_position ? count : table.layers_of(s),
                                                            by_position ? table.positions() : count};
                                     if (!begun) part.begin<T>(detail::part_array(s.declared), shape);
                                     begun = true;
                                     part.append(std::span<const T>(all).subspan(from, n));
                                 });
    }
    part.finish();
}

/// Reads a part into the rows it stands for.   Errors: format_error when it has other rows or columns than the run.
inline void read_part(run_part const& part, results_table& table, std::size_t variant) {
    if (part.first > table.documents() || part.count > table.documents() - part.first)
        throw format_error(part.path.string() + ": rows up to " + std::to_string(part.first + part.count) +
                           ", expected at most " + std::to_string(table.documents()));
    const npz_reader file(part.path);
    for (stored_column& s : table.columns()) {
        if (s.variant != variant) continue;
        const npy_array array = file.array(detail::part_array(s.declared));
        const bool by_position = s.declared.shape == column_shape::position;
        std::size_t read = 0;
        detail::for_each_stretch(
            s, table, part.first, part.count, [&]<class T>(std::vector<T>& all, std::size_t from, std::size_t n) {
                const auto values = detail::read_rows<T>(array, by_position ? part.count : table.layers_of(s),
                                                         by_position ? table.positions() : part.count);
                std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(read), n,
                            all.begin() + static_cast<std::ptrdiff_t>(from));
                read += n;
            });
    }
    for (std::size_t n = 0; n < part.count; ++n) table.set_finished(variant, part.first + n);
}

/// What the tables of a complete run and the parts of an interrupted one hold of each variant.
/// Errors: format_error naming file and column for tables that are not of this run.
inline void read_finished(run_folder const& folder, results_table& table) {
    if (has_run_tables(folder.path())) read_run_tables(folder.path(), table);
    for (std::size_t v = 0; v < table.variants().size(); ++v) {
        bool complete = true;
        for (std::size_t n = 0; n < table.documents(); ++n) complete = complete && table.is_finished(v, n);
        if (complete) continue;
        for (auto const& part : folder.parts(table.variants()[v])) read_part(part, table, v);
    }
}

} // namespace bitlens

// ---- bitlens/sweep/run_study.hpp
/// run_study and measure_run: a sweep whose measurements fill the table of a run, resumable or in memory.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What a measurement of one document is made for. Variants are those that run, the full model first.
struct measured_size {
    std::size_t variants, layers, tokens, width;
};

/// What is measured of every document: the columns that it fills, and how a measurement of document n is made, whose
/// write(v, row) puts what it found of running variant v into every column that the variant has.
/// bytes_of_one(size): what one measurement takes, for the plan of memory.
template <class K>
concept measurement_kind = requires(K const& kind, measured_size size, std::size_t n, results_row& row) {
    { kind.columns() } -> std::same_as<std::vector<column>>;
    { kind.make(size, n) } -> measurement;
    kind.make(size, n).write(std::size_t{}, row);
    { kind.bytes_of_one(size) } -> std::convertible_to<std::size_t>;
};

/// Rows first … first + count − 1, all of which lack the same variants, and what has to run for those: they, the full
/// model, which all are compared with, and whatever they fork from. Indices into the run's variants, rising.
struct missing_rows {
    std::size_t first = 0, count = 0;
    std::vector<std::size_t> variants, running;
};

namespace detail {

template <class W>
std::vector<std::size_t> with_ancestors(std::vector<std::size_t> const& wanted, std::span<const variant<W>> variants) {
    std::vector<bool> runs(variants.size(), false);
    runs[0] = true;
    for (std::size_t v : wanted)
        for (; !runs[v]; v = variants[v].parent) runs[v] = true;
    std::vector<std::size_t> running;
    for (std::size_t v = 0; v < runs.size(); ++v)
        if (runs[v]) running.push_back(v);
    return running;
}

/// Some variants of a tree that hold their parents, as a tree of its own.
template <class W>
std::vector<variant<W>> chosen_variants(std::span<const variant<W>> variants, std::span<const std::size_t> chosen) {
    std::vector<variant<W>> out;
    for (const std::size_t v : chosen) {
        out.push_back(variants[v]);
        out.back().parent =
            static_cast<std::size_t>(std::ranges::lower_bound(chosen, variants[v].parent) - chosen.begin());
    }
    return out;
}

/// A loss of the full model that is not finite leaves nothing to compare with.   Errors: format_error naming it.
template <class M>
void check_full_model(M& measured, document_rows const& documents, std::size_t row) {
    const auto nll = measured.scores()[0].nll;
    for (std::size_t t = 0; t < nll.size(); ++t)
        if (!std::isfinite(nll[t]))
            throw format_error("the full model's loss is not finite: " + documents.who(row) + ", position " +
                               std::to_string(t + 1) + "; its errors would mean nothing");
}

/// Runs `variants` on some of the rows and hands each finished block to done(first row, measurements).
template <class Architecture, class W, measurement_kind Kind, class Done>
void sweep_rows(transformer<Architecture, W> const& model, std::span<const variant<W>> variants,
                document_rows const& documents, missing_rows const& rows, sweep_cut cut, Kind const& kind,
                Done const& done) {
    model_config const& config = model.config();
    const measured_size size{variants.size(), config.layers, documents.ids.cols(), config.block.width};
    const auto make = [&](std::size_t n) { return kind.make(size, rows.first + n); };
    using measured = std::invoke_result_t<decltype(make) const&, std::size_t>;
    sweep(model, variants, documents.ids.view().middle_rows(rows.first, rows.count), cut, make,
          [&](std::size_t first, std::span<measured> block) {
              for (std::size_t e = 0; e < block.size(); ++e)
                  check_full_model(block[e], documents, rows.first + first + e);
              done(rows.first + first, block);
          });
}

} // namespace detail

/// What is left to do, in order of the rows. Rows that lack nothing are in no piece.
/// Errors: shape_error for a table of another number of variants.
template <class W>
std::vector<missing_rows> rows_to_do(results_table const& table, std::span<const variant<W>> variants) {
    detail::check_size("rows_to_do", "variants", variants.size(), table.variants().size());
    std::vector<missing_rows> pieces;
    for (std::size_t n = 0; n < table.documents(); ++n) {
        std::vector<std::size_t> missing;
        for (std::size_t v = 0; v < variants.size(); ++v)
            if (!table.is_finished(v, n)) missing.push_back(v);
        if (missing.empty()) continue;
        if (!pieces.empty() && pieces.back().first + pieces.back().count == n && pieces.back().variants == missing)
            ++pieces.back().count;
        else
            pieces.push_back({n, 1, missing, detail::with_ancestors(missing, variants)});
    }
    return pieces;
}

/// Fills the rows of `table` that are missing, writing every finished block to the folder. variants[0] is the full
/// model, and the table has a variant for each. Rows that were finished before stay as they are.
/// `progress(runs)` is called after each block with the number of rows × variants that ran.   Errors: those of sweep
/// and of the measurement; io_error when a part cannot be written; format_error where a loss of the full model is not
/// finite.
template <class Architecture, class W, class Variants, measurement_kind Kind, class Progress>
void run_study(transformer<Architecture, W> const& model, Variants const& variants, document_rows const& documents,
               sweep_cut cut, Kind const& kind, run_folder const& folder, results_table& table,
               Progress const& progress) {
    const auto list = variants_of<W>(variants);
    for (auto const& piece : rows_to_do(table, list)) {
        const auto running = detail::chosen_variants(list, std::span<const std::size_t>(piece.running));
        const auto done = [&](std::size_t first, auto block) {
            for (std::size_t i = 0; i < running.size(); ++i) {
                const std::size_t v = piece.running[i];
                if (table.is_finished(v, first)) continue;
                for (std::size_t e = 0; e < block.size(); ++e) {
                    results_row row(table, v, first + e);
                    block[e].write(i, row);
                    row.finish();
                }
                write_part(folder, table, v, first, block.size());
            }
            progress(block.size() * running.size());
        };
        detail::sweep_rows(model, std::span<const variant<W>>(running), documents, piece, cut, kind, done);
    }
}

/// The same in memory, for programs that need no run folder: every variant on every document. variants[0] is the full
/// model. on_documents(n) is called when n more documents are done, and may throw.   Errors: as run_study.
template <class Architecture, class W, class Variants, measurement_kind Kind>
results_table measure_run(
    transformer<Architecture, W> const& model, Variants const& variants, document_rows const& documents, sweep_cut cut,
    Kind const& kind, std::function<void(std::size_t)> const& on_documents = [](std::size_t) {}) {
    const auto list = variants_of<W>(variants);
    std::vector<std::string> names;
    for (auto const& v : list) names.push_back(v.name);
    results_table table(kind.columns(), std::move(names),
                        {documents.size(), model.config().layers, documents.positions()});
    const auto done = [&](std::size_t first, auto block) {
        for (std::size_t e = 0; e < block.size(); ++e)
            for (std::size_t v = 0; v < list.size(); ++v) {
                results_row row(table, v, first + e);
                block[e].write(v, row);
                row.finish();
            }
        on_documents(block.size());
    };
    if (documents.size() > 0)
        detail::sweep_rows(model, list, documents, {0, documents.size(), {}, {}}, cut, kind, done);
    return table;
}

} // namespace bitlens

// ---- bitlens/sweep/select_documents.hpp
/// select_documents: the rows of an input that are long enough, as token ids of one length.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// The documents of a study, and what became of the rows of the input.
struct document_selection {
    document_rows documents;
    std::size_t read = 0, shorter = 0, cut = 0; // rows read; of them, left out, and cut to the length
};

namespace detail {

/// Bytes of the text of all ids but the first; nothing where there is no tokenizer, or an id has no token.
inline std::optional<std::uint64_t> scored_bytes(tokenizer const* t, std::span<const std::int32_t> ids) {
    std::uint64_t bytes = 0;
    for (const std::int32_t id : ids.subspan(1)) {
        if (t == nullptr || !t->has_token(id)) return std::nullopt;
        bytes += t->token_bytes(id).size();
    }
    return bytes;
}

/// A document of a file in words: "d.jsonl: line 7, document 5 (id "mine")".
inline std::string place_of(std::filesystem::path const& file, document const& d) {
    return file.string() + ": " + (d.line > 0 ? "line " + std::to_string(d.line) + ", " : "") + "document " +
           std::to_string(d.row) + (d.id.empty() ? "" : " (id " + in_quotes(d.id) + ")");
}

} // namespace detail

/// Whether a model of so many ids has a row for every token of a text.   Errors: format_error that `who`, the text,
/// begins.
inline void check_rows(std::string const& who, tokenizer const& t, std::span<const std::int32_t> ids,
                       std::size_t vocabulary) {
    for (const std::int32_t id : ids)
        if (static_cast<std::size_t>(id) >= vocabulary)
            throw format_error(who + ": among its tokens is " + in_quotes(t.text_of(id)) + " (id " +
                               std::to_string(id) + "), for which the model has no row: it has " +
                               std::to_string(vocabulary) + ", for the ids from 0 to " +
                               std::to_string(vocabulary - 1));
}

/// The first `limit` rows (all without one) of at least `tokens` ids, each cut to so many. Text is encoded, with `bos`
/// before it where there is one; rows of ids are taken as they stand. What is cut off is not judged.
/// t: nullptr only for rows of ids.   vocabulary: the model's.
/// Errors: those of document_reader and encode; format_error naming the document for an id outside the vocabulary, and
/// for one in rows of ids that is no token of the tokenizer; option_error when no row is long enough.
inline document_selection select_documents(std::filesystem::path const& data, tokenizer const* t,
                                           std::optional<std::int32_t> bos, std::size_t vocabulary, std::size_t tokens,
                                           std::optional<std::size_t> limit) {
    document_selection s;
    std::vector<std::int32_t> ids;
    document_reader reader(data, tokens);
    BITLENS_ASSERT(t != nullptr || reader.holds_ids());
    for (document d; (!limit || s.documents.rows.size() < *limit) && reader.next(d);) {
        ++s.read;
        if (!reader.holds_ids()) {
            d.ids = t->encode(d.text);
            if (bos) d.ids.insert(d.ids.begin(), *bos);
        }
        if (d.ids.size() < tokens) {
            ++s.shorter;
            continue;
        }
        if (std::max(d.ids.size(), reader.ids_a_row()) > tokens) ++s.cut;
        const auto used = std::span<const std::int32_t>(d.ids).first(tokens);
        if (reader.holds_ids()) {
            check_ids(data, d.row, used, vocabulary);
            const auto unknown = std::ranges::find_if(used, [&](std::int32_t id) { return t && !t->has_token(id); });
            if (unknown != used.end())
                throw format_error(data.string() + ": row " + std::to_string(d.row) + ", column " +
                                   std::to_string(unknown - used.begin()) + ": the id " + std::to_string(*unknown) +
                                   " is no token of the model's tokenizer, whose ids are below " +
                                   std::to_string(t->vocabulary_size()));
        } else {
            check_rows(detail::place_of(data, d), *t, used, vocabulary);
        }
        ids.insert(ids.end(), used.begin(), used.end());
        s.documents.rows.push_back(d.row);
        s.documents.names.push_back(d.id);
        s.documents.topics.push_back(d.topic);
        s.documents.bytes.push_back(detail::scored_bytes(t, used));
    }
    if (s.documents.rows.empty())
        throw option_error(data.string() + ": none of its " + std::to_string(s.read) + " rows has " +
                           std::to_string(tokens) + " tokens or more");
    s.documents.ids = matrix<std::int32_t>(s.documents.rows.size(), tokens);
    std::ranges::copy(ids, s.documents.ids.data());
    return s;
}

} // namespace bitlens

// ---- bitlens/recipes.hpp
/// Recipes: from the name of a method to a quantized model.

// ---- bitlens/recipes/all_formats.hpp
/// study_matrix: a weight matrix in any format that a method's name can ask for, and quantization into it.

// ---- bitlens/recipes/method.hpp
/// The names of quantization methods: "rtn3-g64", "mine=nf4-row-dq".

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bitlens {

enum class method_kind { rtn, normal_float };

/// How to quantize a matrix, and what results call it.
struct method {
    std::string name; ///< column names end in it: the text itself unless "name=" came first
    method_kind kind = method_kind::rtn;
    int bits = 0;
    std::size_t group_size = 0; ///< 0: a whole row
    bool symmetric = false;     ///< rtn only
    bool nested_scales = false; ///< normal_float only

    /// The text that parses to this method, without its name.
    std::string text() const {
        return (kind == method_kind::rtn ? "rtn" : "nf") + std::to_string(bits) +
               (group_size == 0 ? std::string("-row") : "-g" + std::to_string(group_size)) + (symmetric ? "-sym" : "") +
               (nested_scales ? "-dq" : "");
    }
};

inline constexpr std::string_view existing_methods =
    "what exists: rtn2 … rtn8 and nf3, nf4, each with -g32, -g64, -g128 or -row, then -sym (rtn: symmetric) or -dq "
    "(nf: "
    "quantized scales); a name may come first: rtn3-g64, mine=nf4-g64-dq";

/// A file's name has at most 255 bytes, of which that of a finished block, `.NAME-FIRST-COUNT.npz.tmp`, may need 51
/// beside the method's.
inline constexpr std::size_t longest_method_name = 200;

namespace detail {

[[noreturn]] inline void refuse_method(std::string_view text, std::string const& reason) {
    throw option_error("method '" + visible_text(text) + "': " + visible_text(reason) + "; " +
                       std::string(existing_methods));
}

/// Cuts text at every `separator`; the pieces may be empty.
inline std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> pieces;
    for (;;) {
        const auto end = text.find(separator);
        pieces.push_back(text.substr(0, end));
        if (end == text.npos) return pieces;
        text.remove_prefix(end + 1);
    }
}

/// A decimal number without sign, spaces or leading zeros; nothing else gives false.
inline bool read_number(std::string_view text, std::size_t& value) {
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    return problem == std::errc() && end == text.data() + text.size() && (text.size() == 1 || text[0] != '0');
}

/// What the text of every method of a kind begins with, before its bits.
struct kind_of_method {
    std::string_view begins;
    method_kind kind;
    std::size_t fewest_bits, most_bits;
};
inline constexpr kind_of_method kinds_of_methods[] = {{"rtn", method_kind::rtn, 2, 8},
                                                      {"nf", method_kind::normal_float, 3, 4}};

/// The kind that a text begins with, or none.
inline kind_of_method const* kind_at(std::string_view text) {
    const auto found =
        std::ranges::find_if(kinds_of_methods, [&](auto const& kind) { return text.starts_with(kind.begins); });
    return found == std::ranges::end(kinds_of_methods) ? nullptr : found;
}

/// Cuts a list at its commas, and blanks around them, but for those between the options of a method, "a:x=1,y=2": what
/// comes after a ':' and has a '=' is an option, unless a method follows the '=', whose name then stands before.
inline std::vector<std::string_view> split_methods(std::string_view list) {
    std::vector<std::string_view> methods;
    for (std::string_view piece : split(list, ',')) {
        while (piece.starts_with(' ')) piece.remove_prefix(1);
        while (piece.ends_with(' ')) piece.remove_suffix(1);
        const auto equals = piece.find('=');
        if (!methods.empty() && methods.back().find(':') != list.npos && equals != list.npos &&
            kind_at(piece.substr(equals + 1)) == nullptr)
            methods.back() = std::string_view(methods.back().begin(), piece.end());
        else
            methods.push_back(piece);
    }
    return methods;
}

inline void read_kind(std::string_view whole, std::string_view word, method& m) {
    if (word == "full") refuse_method(whole, "the model as it is stored is no method, and runs without being named");
    const auto* kind = kind_at(word);
    if (kind == nullptr) refuse_method(whole, "there is no method '" + std::string(word) + "'");
    m.kind = kind->kind;
    std::size_t bits = 0;
    const std::size_t fewest = kind->fewest_bits, most = kind->most_bits;
    if (!read_number(word.substr(kind->begins.size()), bits) || bits < fewest || bits > most)
        refuse_method(whole, "'" + std::string(word) + "' has no number of bits from " + std::to_string(fewest) +
                                 " to " + std::to_string(most));
    m.bits = static_cast<int>(bits);
}

inline void read_group(std::string_view whole, std::string_view word, method& m) {
    if (word == "row") return;
    if (!word.starts_with('g') || !read_number(word.substr(1), m.group_size) ||
        (m.group_size != 32 && m.group_size != 64 && m.group_size != 128))
        refuse_method(whole, "'-" + std::string(word) + "' is no group");
}

} // namespace detail

/// Reads `[name=]rtn<b>|nf<b>-g<32|64|128>|-row[-sym][-dq]`.
/// Names are made of at most 200 letters, digits, '.', '_' and '-'; "full" is taken by the model itself.
/// Errors: option_error that lists what exists.
inline method parse_method(std::string_view whole) {
    std::string_view text = whole;
    method m;
    if (const auto equals = text.substr(0, text.find(':')).find('='); equals != text.npos) {
        m.name = text.substr(0, equals);
        text.remove_prefix(equals + 1);
        if (m.name.empty()) detail::refuse_method(whole, "the name before '=' is empty");
    }
    const auto colon = text.find(':');
    const auto words = detail::split(text.substr(0, colon), '-');
    detail::read_kind(whole, words[0], m);
    if (words.size() < 2) detail::refuse_method(whole, "the group is missing: -g32, -g64, -g128 or -row");
    detail::read_group(whole, words[1], m);
    for (std::size_t i = 2; i < words.size(); ++i) {
        bool& flag = words[i] == "sym" ? m.symmetric : m.nested_scales;
        if (words[i] != "sym" && words[i] != "dq")
            detail::refuse_method(whole, "'-" + std::string(words[i]) + "' means nothing");
        if (flag) detail::refuse_method(whole, "'-" + std::string(words[i]) + "' stands twice");
        flag = true;
    }
    if (colon != text.npos)
        detail::refuse_method(whole, "there are no options like ':" + std::string(text.substr(colon + 1)) + "'");
    if (m.symmetric && m.kind != method_kind::rtn) detail::refuse_method(whole, "-sym belongs to rtn");
    if (m.nested_scales && m.kind != method_kind::normal_float) detail::refuse_method(whole, "-dq belongs to nf");
    if (m.name.empty()) m.name = text;
    const auto is_name_character = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    if (!std::all_of(m.name.begin(), m.name.end(), is_name_character))
        detail::refuse_method(whole, "a name is made of letters, digits, '.', '_' and '-'");
    if (m.name.size() > longest_method_name)
        detail::refuse_method(whole, "the name has " + std::to_string(m.name.size()) + " letters; at most " +
                                         std::to_string(longest_method_name) +
                                         " are taken, because files are called by it");
    if (m.name == "full") detail::refuse_method(whole, "the name 'full' is that of the model as it is stored");
    return m;
}

/// Reads a list "a,b,c"; an empty text gives no method. A comma between the options of a method, which none has yet,
/// belongs to them.
/// Errors: option_error, also for two methods of the same name.
inline std::vector<method> parse_methods(std::string_view list) {
    std::vector<method> methods;
    if (list.empty()) return methods;
    std::set<std::string> names;
    for (const std::string_view text : detail::split_methods(list)) {
        method m = parse_method(text);
        if (!names.insert(m.name).second) detail::refuse_method(text, "two methods are called '" + m.name + "'");
        methods.push_back(std::move(m));
    }
    return methods;
}

} // namespace bitlens

#include <array>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace bitlens {

namespace detail {

inline constexpr std::array<std::size_t, 4> method_groups{0, 32, 64, 128};

/// 2 … 8 bits × groups × both kinds of zero.
template <std::size_t I>
using uniform_number = uniform<static_cast<int>(2 + I / 8), method_groups[I / 2 % 4],
                               I % 2 == 0 ? zero_kind::asymmetric : zero_kind::symmetric>;
/// 3 and 4 bits × groups.
template <std::size_t I>
using normal_float_number = normal_float<static_cast<int>(3 + I / 4), method_groups[I % 4]>;

template <std::size_t... U, std::size_t... N>
auto all_formats(std::index_sequence<U...>, std::index_sequence<N...>)
    -> mixed_matrix<dense<float>, dense<bf16>, dense<f16>, uniform_number<U>..., normal_float_number<N>...>;

} // namespace detail

/// All formats that a method can name, and the dense ones of checkpoints.
using study_matrix =
    decltype(detail::all_formats(std::make_index_sequence<7 * 4 * 2>{}, std::make_index_sequence<2 * 4>{}));

namespace detail {

/// Quantizes if F is the format that m asks for.
template <weight_format F, class W>
bool quantize_as(method const& m, matrix_view<const float> w, std::optional<W>& result) {
    if constexpr (is_uniform<F> || is_normal_float<F>) {
        if (m.bits != F::bits || m.group_size != F::group_size) return false;
        if constexpr (is_uniform<F>) {
            if (m.kind != method_kind::rtn || m.symmetric == F::has_zero) return false;
            result.emplace(rtn<F>{}(w));
        } else {
            if (m.kind != method_kind::normal_float) return false;
            result.emplace(absmax<F>{m.nested_scales}(w));
        }
        return true;
    }
    return false;
}

template <weight_format... F>
mixed_matrix<F...> quantize_as_listed(method const& m, matrix_view<const float> w,
                                      std::type_identity<mixed_matrix<F...>>) {
    std::optional<mixed_matrix<F...>> result;
    if (!(quantize_as<F>(m, w, result) || ...)) refuse_method(m.text(), "the type of weight lists no such format");
    return std::move(*result);
}

} // namespace detail

/// w (out, in) by method m, as a W that lists m's format.
/// Errors: those of rtn and absmax; option_error for a method whose format W does not list.
template <class W = study_matrix>
W quantize(method const& m, matrix_view<const float> w) {
    static_assert(is_mixed_matrix<W>,
                  "bitlens: quantize<W>(method, w): W is a mixed_matrix that lists the formats which "
                  "methods may ask for, such as study_matrix");
    return detail::quantize_as_listed(m, w, std::type_identity<W>{});
}

} // namespace bitlens

// ---- bitlens/recipes/overrides.hpp
/// override_rules: which matrices a study treats differently from its method, from a JSON file.
///
///     {"rules": [{"projection": "gate_proj|up_proj", "layers": "*",      "use": "full"},
///                {"projection": "*",                 "layers": "0-1,29", "use": "rtn8-g64"}]}
///
/// projection: names as in checkpoints, joined by '|', or "*". layers: numbers and ranges from 0, joined by ',', or
/// "*". use: a method without a name, or "full": as the checkpoint has it. Of the rules that match a matrix the last
/// one holds; a rule that holds for none is an error.

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// What becomes of a matrix: a method, or nothing: it stays as the checkpoint has it.
using treatment = std::optional<method>;

class override_rules {
public:
    /// No rules.
    override_rules() = default;
    /// `who` is the file, `layers` those of the model.
    /// Errors: format_error naming file, number of the rule (from 1) and its text.
    override_rules(json const& file, std::string_view who, std::size_t layers) {
        check_keys(file, {"rules"}, who);
        json const* const rules = find_value(file, "rules", who);
        if (rules == nullptr || !rules->is_array())
            throw format_error(std::string(who) + R"(: an array "rules" is expected)");
        rule_of_.assign(layers, {});
        for (std::size_t i = 0; i < rules->size(); ++i) {
            json const& rule = (*rules)[i];
            const std::string rule_name =
                std::string(who) + ": rule " + std::to_string(i + 1) + " (" + shown(rule) + ")";
            add(rule, rule_name);
            names_.push_back(rule_name);
        }
        for (std::size_t i = 0; i < names_.size(); ++i)
            if (!is_used(i)) throw format_error(names_[i] + " holds for no matrix: later rules override it everywhere");
    }

    /// The rule's treatment of one matrix, or nullptr where no rule matches.
    treatment const* find(std::size_t layer, projection p) const {
        if (layer >= rule_of_.size()) return nullptr;
        const auto rule = rule_of_[layer][static_cast<std::size_t>(p)];
        return rule ? &uses_[*rule] : nullptr;
    }

private:
    /// Its beginning as JSON in ASCII; in_quotes would write `\x22` for each of its quotation marks.
    static std::string shown(json const& rule) {
        constexpr std::size_t longest = 200;
        std::string text = rule.dump(-1, ' ', true);
        if (text.size() <= longest) return text;
        text.resize(longest);
        return text + "…";
    }

    static void check_keys(json const& object, std::initializer_list<std::string_view> known, std::string_view who) {
        for (auto const& [key, value] : detail::expect_object(object, who).items())
            if (std::find(known.begin(), known.end(), key) == known.end()) {
                std::string expected;
                for (const std::string_view k : known) expected += (expected.empty() ? "" : ", ") + std::string(k);
                throw format_error(std::string(who) + ": the key " + in_quotes(key) + " means nothing here; expected " +
                                   expected);
            }
    }

    void add(json const& rule, std::string const& who) {
        check_keys(rule, {"projection", "layers", "use"}, who);
        const auto projections = read_projections(required<std::string>(rule, "projection", who), who);
        const auto layers = read_layers(required<std::string>(rule, "layers", who), who);
        uses_.push_back(read_use(required<std::string>(rule, "use", who), who));
        for (std::size_t layer = 0; layer < rule_of_.size(); ++layer)
            for (std::size_t p = 0; p < projection_count; ++p)
                if (layers[layer] && projections[p]) rule_of_[layer][p] = uses_.size() - 1;
    }

    static std::array<bool, projection_count> read_projections(std::string const& text, std::string const& who) {
        std::array<bool, projection_count> chosen{};
        if (text == "*") {
            chosen.fill(true);
            return chosen;
        }
        for (const std::string_view word : detail::split(text, '|')) {
            std::string known;
            bool found = false;
            for (std::size_t p = 0; p < projection_count; ++p) {
                const auto proper = name(static_cast<projection>(p));
                known += std::string(p == 0 ? "" : ", ") + std::string(proper);
                if (word == proper) found = chosen[p] = true;
            }
            if (!found)
                throw format_error(who + ": there is no projection " + in_quotes(word) + "; expected * or " + known +
                                   ", joined by |");
        }
        return chosen;
    }

    std::vector<bool> read_layers(std::string const& text, std::string const& who) const {
        const std::size_t layers = rule_of_.size();
        if (text == "*") return std::vector<bool>(layers, true);
        std::vector<bool> chosen(layers);
        for (const std::string_view range : detail::split(text, ',')) {
            const auto dash = range.find('-');
            std::size_t first = 0, last = 0;
            if (!detail::read_number(range.substr(0, dash), first) ||
                !detail::read_number(dash == range.npos ? range : range.substr(dash + 1), last) || last < first)
                throw format_error(who + ": layers " + in_quotes(text) +
                                   "; expected * or numbers and ranges like 0-3,29");
            if (last >= layers)
                throw format_error(who + ": layer " + std::to_string(last) + "; this model has layers 0 to " +
                                   std::to_string(layers - 1));
            std::fill(chosen.begin() + static_cast<std::ptrdiff_t>(first),
                      chosen.begin() + static_cast<std::ptrdiff_t>(last + 1), true);
        }
        return chosen;
    }

    static treatment read_use(std::string const& text, std::string const& who) {
        if (text == "full") return std::nullopt;
        if (text.find('=') != text.npos) throw format_error(who + ": a method without a name, or full, is expected");
        try {
            return parse_method(text);
        } catch (option_error const& e) {
            throw format_error(who + ": " + e.what() + ", or full");
        }
    }

    bool is_used(std::size_t rule) const {
        for (auto const& layer : rule_of_)
            if (std::find(layer.begin(), layer.end(), rule) != layer.end()) return true;
        return false;
    }

    std::vector<std::array<std::optional<std::size_t>, projection_count>> rule_of_; // per layer and projection
    std::vector<treatment> uses_;                                                   // per rule
    std::vector<std::string> names_;                                                // per rule, for errors
};

/// Errors: io_error; format_error as above.
inline override_rules read_override_rules(std::filesystem::path const& path, std::size_t layers) {
    return override_rules(read_json_file(path), path.string(), layers);
}

} // namespace bitlens

// ---- bitlens/recipes/quantize_layers.hpp
/// quantize_layers: the blocks of a model by one quantizer, whose format the model's type names.

#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// The numbers of w where they are stored as floats, else an empty view.
template <weight_matrix W>
matrix_view<const float> stored_floats(W const& w) noexcept {
    if constexpr (is_mixed_matrix<W>)
        return w.visit([](auto const& m) { return stored_floats(m); });
    else if constexpr (std::same_as<W, packed_matrix<dense<float>>>)
        return w.view();
    else
        return {};
}

/// f(view of w as floats): the numbers themselves where they are float, else a copy that lives as long as the call.
template <weight_matrix W, class Function>
decltype(auto) with_floats(W const& w, Function const& f) {
    if (const auto stored = stored_floats(w); stored.data != nullptr) return f(stored);
    const std::size_t stride = (w.cols() + chunk_codes - 1) / chunk_codes * chunk_codes; // whole chunks are decoded
    matrix<float> copy(w.rows(), stride);
    const auto floats = copy.view().middle_cols(0, w.cols());
    const row_decoder decode = decoder_of(w);
    for_each_row(floats, [&](std::size_t r) { decode(r, 0, floats.middle_rows(r, 1)); });
    return f(matrix_view<const float>(floats));
}

template <class>
inline constexpr bool never = false;
template <class W>
W weight_of(layer_source<W>&);

} // namespace detail

/// Layers 0 … layers − 1 of `full` with every linear layer quantized by `q`, in memory. Norms and biases are shared.
/// W is a mixed_matrix that lists the quantizer's format.   Errors: those of the source and the quantizer.
template <class Q, class W>
std::shared_ptr<layer_source<W>> quantize_layers(layer_source<W>& full, std::size_t layers, Q const& q) {
    static_assert(quantizer<Q>, "bitlens: quantize_layers takes a quantizer, such as rtn<uniform<3, 64>>{}: it has a "
                                "format, and q(matrix_view<const float>) gives a packed_matrix of it");
    if constexpr (quantizer<Q>) {
        constexpr bool lists_format = std::constructible_from<W, packed_matrix<typename Q::format>>;
        static_assert(lists_format,
                      "bitlens: the quantizer's format is not among those that the model's type of weight "
                      "lists; make it a mixed_matrix<..., format>");
        if constexpr (lists_format) {
            std::vector<block_weights<W>> blocks;
            for (std::size_t k = 0; k < layers; ++k) {
                blocks.push_back(full.layer(k));
                for (auto& linear : blocks.back().linear)
                    linear = detail::with_floats(
                        *linear, [&](matrix_view<const float> floats) { return std::make_shared<const W>(q(floats)); });
            }
            return std::make_shared<resident_layers<W>>(std::move(blocks));
        }
    }
}

/// A call with anything but a layer_source by reference.
template <class Source, class Q>
    requires(!requires(Source & source) { detail::weight_of(source); })
void quantize_layers(Source&&, std::size_t, Q const&) {
    static_assert(detail::never<Source>, "bitlens: quantize_layers(source, layers, quantizer): the source is a "
                                         "layer_source, as in *model.layers(), with the *");
}

} // namespace bitlens

// ---- bitlens/recipes/quantize_model.hpp
/// quantized_layers: the blocks of a model, quantized one layer at a time; check_shapes before that.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// quantize, whose errors name the place.
template <class W>
W quantize_at(std::size_t layer, projection p, method const& m, matrix_view<const float> w) {
    const auto place = [&] {
        return "layer " + std::to_string(layer) + " " + std::string(name(p)) + ", " + m.text() + ": ";
    };
    try {
        return quantize<W>(m, w);
    } catch (format_error const& e) {
        throw format_error(place() + e.what());
    } catch (shape_error const& e) {
        throw shape_error(place() + e.what());
    }
}

} // namespace detail

/// What becomes of one matrix: what a rule says, else m.
inline treatment treatment_of(method const& m, override_rules const& rules, std::size_t layer, projection p) {
    treatment const* const rule = rules.find(layer, p);
    return rule != nullptr ? *rule : treatment(m);
}

/// Refuses, before a model is loaded, what quantized_layers would refuse for the shapes of its matrices: one row of
/// each is quantized.   Errors: as quantized_layers::layer.
template <class W = study_matrix>
void check_shapes(block_shape const& shape, std::size_t layers, method const& quantizer, override_rules const& rules) {
    for (std::size_t k = 0; k < layers; ++k)
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto which = static_cast<projection>(p);
            const treatment use = treatment_of(quantizer, rules, k, which);
            if (!use) continue;
            const matrix<float> row(1, shape_of(which, shape).cols);
            detail::quantize_at<W>(k, which, *use, row);
        }
}

/// A layer_source that quantizes every linear layer of another one's blocks by `quantizer`, or as `rules` say for one.
/// A layer is quantized when it is first asked for. Norms, biases and matrices that stay full are shared with the
/// source, not copied. W lists the formats of the methods.
template <class W = study_matrix>
class quantized_layers final : public layer_source<W> {
    static_assert(is_mixed_matrix<W>,
                  "bitlens: quantized_layers<W>: W is a mixed_matrix that lists the formats which methods "
                  "may ask for, such as study_matrix");

public:
    /// keep_resident: packed layers stay in memory; else each request loads and quantizes again.
    quantized_layers(std::shared_ptr<layer_source<W>> full, method quantizer, override_rules rules = {},
                     bool keep_resident = true)
        : full_(std::move(full)), quantizer_(std::move(quantizer)), rules_(std::move(rules)), keeps_(keep_resident) {}

    /// Errors: those of the source; format_error of the quantizer, naming layer, projection and method.
    block_weights<W> layer(std::size_t k) override {
        if (k >= kept_.size()) kept_.resize(k + 1);
        auto block = kept_[k];
        if (std::ranges::none_of(block.linear, [](auto const& w) { return w == nullptr; })) return block;
        const auto full = full_->layer(k);
        block.rest = full.rest;
        for (std::size_t p = 0; p < projection_count; ++p) {
            if (block.linear[p] != nullptr) continue;
            const auto which = static_cast<projection>(p);
            if (const treatment use = treatment_of(quantizer_, rules_, k, which))
                block.linear[p] = detail::with_floats(*full.linear[p], [&](matrix_view<const float> floats) {
                    return std::make_shared<const W>(detail::quantize_at<W>(k, which, *use, floats));
                });
        }
        if (keeps_) kept_[k] = block;
        for (std::size_t p = 0; p < projection_count; ++p)
            if (block.linear[p] == nullptr) block.linear[p] = full.linear[p];
        return block;
    }

private:
    std::shared_ptr<layer_source<W>> full_;
    method quantizer_;
    override_rules rules_;
    bool keeps_;
    std::vector<block_weights<W>> kept_; // but for matrices that stay full: the source may not keep those
};

} // namespace bitlens

// ---- bitlens/analysis.hpp
/// analysis/: what a study measures of each document, and the numbers made from a finished run.

// ---- bitlens/analysis/document_measurement.hpp
/// document_measurement: what a study measures of one document, of the full model and of each quantized one.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// A sweep's measurement of one document; variant 0 is the full model. Whatever is a mean over positions leaves out
/// position 0, unless `positions` says otherwise.
class document_measurement {
public:
    /// bytes: of the text that is scored, where it is known.
    /// Errors: shape_error for less than 2 tokens, or no variants.
    document_measurement(measured_size size, position_range positions, std::optional<std::uint64_t> bytes)
        : full_(std::make_unique<full_model_probes>(size.layers, positions)), bytes_(bytes) {
        if (size.tokens < 2 || size.variants == 0)
            throw shape_error("document_measurement: " + std::to_string(size.tokens) + " tokens and " +
                              std::to_string(size.variants) + " variants, expected at least 2 and 1");
        for (std::size_t v = 1; v < size.variants; ++v) methods_.emplace_back(size.layers, *full_);
        for (std::size_t v = 0; v < size.variants; ++v) scores_.emplace_back(size.tokens - 1, v == 0);
        for (auto& s : scores_) views_.push_back(s.view());
    }

    /// Bytes that one takes.
    static std::size_t bytes(measured_size size) noexcept {
        constexpr std::size_t compared_points = 3, lists_of_full = 6, lists_of_method = 6;
        return compared_points * size.tokens * size.width * sizeof(float) +
               size.variants * size.tokens * position_scores::bytes_of_a_position +
               size.layers *
                   (lists_of_full * sizeof(std::optional<double>) + size.variants * lists_of_method * sizeof(double));
    }

    template <class F>
    void with_probe(std::size_t variant, F const& f) {
        if (variant == 0) {
            full_model_probes& p = *full_;
            chain probe{p.norm_r, p.norm_z, p.norm_h, p.kurtosis_r, p.kurtosis_h, p.top8_r, p.r, p.attn_out, p.mlp_out};
            f(probe);
        } else {
            method_probes& p = methods_[variant - 1];
            chain probe{p.r, p.attn_out, p.mlp_out};
            f(probe);
        }
    }
    std::span<const token_scores> scores() noexcept { return views_; }

    void write(std::size_t variant, results_row& row) const {
        position_scores const &scores = scores_[variant], &full = scores_[0];
        const double nll = mean<double>(scores.nll);
        row.number("nll", nll);
        row.number("entropy", mean<double>(scores.entropy));
        row.number("bits_per_byte", bits_per_byte(nll * static_cast<double>(scores.nll.size())));
        row.positions<double>("nll", scores.nll);
        row.positions<double>("entropy", scores.entropy);
        row.positions<std::int32_t>("top", scores.top);
        row.positions<float>("margin", scores.margin);
        if (variant == 0) {
            row.layers("norm_r", full_->norm_r.per_layer);
            row.layers("norm_z", full_->norm_z.per_layer);
            row.layers("norm_h", full_->norm_h.per_layer);
            row.layers("kurtosis_r", full_->kurtosis_r.per_layer);
            row.layers("kurtosis_h", full_->kurtosis_h.per_layer);
            row.layers("top8_r", full_->top8_r.per_layer);
            row.number("growth_r", full_->norm_r.per_layer.back() / full_->norm_r.per_layer.front());
        } else {
            method_probes const& p = methods_[variant - 1];
            row.number("error", nll - mean<double>(full.nll));
            row.number("kl", mean<double>(scores.kl));
            row.number("same_top", same_top(scores, full));
            row.positions<double>("kl", scores.kl);
            row.layers("mse", p.mlp_out.squared);
            row.layers("diff_r", p.r.relative);
            row.layers("diff_attn", p.attn_out.relative);
            row.layers("diff_mlp", p.mlp_out.relative);
        }
    }

private:
    struct full_model_probes {
        residual_norms<hook::resid_mid> norm_r;
        residual_norms<hook::resid_post> norm_z;
        residual_norms<hook::mlp_in> norm_h;
        token_kurtosis<hook::resid_mid> kurtosis_r;
        token_kurtosis<hook::mlp_in> kurtosis_h;
        top_share<hook::resid_mid> top8_r;
        latest<hook::resid_mid> r;
        latest<hook::attn_out> attn_out;
        latest<hook::mlp_out> mlp_out;

        full_model_probes(std::size_t layers, position_range p)
            : norm_r(layers, p), norm_z(layers, p), norm_h(layers, p), kurtosis_r(layers, p), kurtosis_h(layers, p),
              top8_r(layers, 8, p), r(p), attn_out(p), mlp_out(p) {}
    };
    struct method_probes {
        difference<hook::resid_mid> r;
        difference<hook::attn_out> attn_out;
        difference<hook::mlp_out> mlp_out;

        method_probes(std::size_t layers, full_model_probes const& full)
            : r(layers, full.r), attn_out(layers, full.attn_out), mlp_out(layers, full.mlp_out) {}
    };

    std::optional<double> bits_per_byte(double nats) const noexcept {
        if (!bytes_ || *bytes_ == 0) return std::nullopt;
        return nats / (std::numbers::ln2 * static_cast<double>(*bytes_));
    }

    std::unique_ptr<full_model_probes> full_; // where it stays when this object moves: the methods' probes refer to it
    std::vector<method_probes> methods_;
    std::optional<std::uint64_t> bytes_;
    std::vector<position_scores> scores_;
    std::vector<token_scores> views_;
};

/// What `bitlens study` measures of every document.
struct document_statistics {
    position_range positions;                                 // of norms, kurtosis, shares and differences
    std::span<const std::optional<std::uint64_t>> bytes = {}; // of each document's scored text; none: unknown

    std::vector<column> columns() const {
        using enum column_shape;
        using enum column_owner;
        const std::string nats = "nats per token", states = "activations";
        return {
            {"nll", document, each_variant, nats, "mean over the T scored positions of -log p(next token)"},
            {"error", document, each_method, nats, "nll of the method minus nll_full (eq. 4 of the paper)"},
            {"kl", document, each_method, nats, "mean of KL(p_full || p_method) over the whole vocabulary"},
            {"same_top", document, each_method, "share", "positions whose most likely token is the full model's"},
            {"entropy", document, each_variant, nats, "mean entropy of the predictions"},
            {"bits_per_byte", document, each_variant, "bits per byte",
             "loss of all scored tokens over the bytes of their text; empty where those are unknown"},
            {"growth_r", document, full_model, "", "norm_r of the last layer over that of layer 0"},
            {"norm_r", layer, full_model, states, "mean length of the states after attention (eq. 7)"},
            {"norm_z", layer, full_model, states, "mean length of the states after the block"},
            {"norm_h", layer, full_model, states, "mean length of what the MLP reads, norm and weight applied"},
            {"kurtosis_r", layer, full_model, "",
             "mean over tokens of the kurtosis of a state after attention, 3 for a normal distribution; empty where "
             "the "
             "numbers of a token are all equal"},
            {"kurtosis_h", layer, full_model, "", "the same of what the MLP reads"},
            {"top8_r", layer, full_model, "share",
             "of the squared length of a state after attention in its eight largest dimensions, mean over tokens"},
            {"mse", layer, each_method, "activations squared",
             "mean squared difference of the MLP's output from the full model's"},
            {"diff_r", layer, each_method, "",
             "mean over tokens of |r' - r| / |r|, the state after attention against the full model's: where the two "
             "runs "
             "part"},
            {"diff_attn", layer, each_method, "", "the same of what attention adds"},
            {"diff_mlp", layer, each_method, "", "the same of what the MLP adds"},
            {"nll", position, each_variant, "nats", "-log p(next token); column t belongs to id t + 1"},
            {"kl", position, each_method, "nats", "KL(p_full || p_method)"},
            {"top", position, each_variant, "token id", "most likely next id", true},
            {"margin", position, each_variant, "logits",
             "logit of the full model's most likely id minus the largest other one, both of this variant: below 0 "
             "where "
             "quantization changed the first place"},
            {"entropy", position, each_variant, "nats", "entropy of the prediction"},
        };
    }
    document_measurement make(measured_size size, std::size_t n) const {
        return {size, positions, n < bytes.size() ? bytes[n] : std::nullopt};
    }
    std::size_t bytes_of_one(measured_size size) const noexcept { return document_measurement::bytes(size); }
};
static_assert(measurement_kind<document_statistics>);

} // namespace bitlens

// ---- bitlens/analysis/error_sets.hpp
/// The examples that a method breaks (D_large) and those it does not (D_ctrl), as the paper draws them.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// Examples by falling error. Equal errors keep the order of the examples; an example without an error (NaN) has no
/// rank.
inline std::vector<std::size_t> rank_by_error(std::span<const double> error) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < error.size(); ++i)
        if (!std::isnan(error[i])) order.push_back(i);
    std::ranges::stable_sort(order, [error](std::size_t a, std::size_t b) { return error[a] > error[b]; });
    return order;
}

/// `count` of the items, each at most once, all choices equally likely; in drawn order. Same seed, same choice.
/// Errors: shape_error for more than there are.
inline std::vector<std::size_t> draw_sample(std::span<const std::size_t> items, std::size_t count, std::uint64_t seed) {
    detail::check_range("draw_sample", "items", 0, count, items.size());
    std::vector<std::size_t> pool(items.begin(), items.end());
    random_generator random(seed);
    for (std::size_t i = 0; i < count; ++i)
        std::swap(pool[i], pool[i + static_cast<std::size_t>(random.below(pool.size() - i))]);
    pool.resize(count);
    return pool;
}

/// Example numbers (rows of the run, from 0). All empty where there is no worst tenth: for fewer than ten examples, or
/// where its smallest error is also that of an example in the better half.
struct error_sets {
    std::vector<std::size_t> worst; // the worst tenth, by falling error
    std::vector<std::size_t> large; // D_large: as many, but no two with a 5-gram Jaccard similarity above 0.1
    std::vector<std::size_t> ctrl;  // D_ctrl: as many as D_large, at random from the half with the smaller errors
};

/// D_large is filled by walking down the ranking past near-duplicates, but never into the lower half, which is
/// D_ctrl's: it is smaller than a tenth where the upper half has too few distinct examples. `ids[i]`: tokens of example
/// i.   Errors: shape_error unless there are as many rows as errors.   Source: arXiv 2506.12044, §3.1 and appendix B;
/// the order of filter and ranking as the authors' released sets have it.
inline error_sets make_error_sets(std::span<const double> error, std::span<const std::span<const std::int32_t>> ids,
                                  std::uint64_t seed) {
    detail::check_size("make_error_sets", "ids", ids.size(), error.size());
    constexpr double largest_similarity = 0.1;
    const auto ranked = rank_by_error(error);
    const std::size_t tenth = ranked.size() / 10, upper = ranked.size() - ranked.size() / 2;
    error_sets sets;
    if (tenth == 0) return sets;
    if (error[ranked[tenth - 1]] == error[ranked[upper]]) return sets;
    sets.worst.assign(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(tenth));

    std::vector<std::span<const std::int32_t>> ranked_ids;
    for (std::size_t i = 0; i < upper; ++i) ranked_ids.push_back(ids[ranked[i]]);
    for (const std::size_t place : keep_distinct(ranked_ids, tenth, largest_similarity))
        sets.large.push_back(ranked[place]);
    sets.ctrl = draw_sample(std::span(ranked).subspan(upper), sets.large.size(), seed);
    return sets;
}

} // namespace bitlens

// ---- bitlens/analysis/finished_study.hpp
/// finished_study: a run by the names that the paper's statistics have for its columns, and the sets of its documents.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// A number per document for every layer: row k is layer k.   Shapes: (L, N).
using per_layer = matrix_view<const double>;

/// The columns of one quantized model. NaN where a document has no number.   Shapes: (N), (L, N).
struct method_columns {
    std::string name;
    std::string spec; // how the command named it: "nf3-g64"
    std::span<const double> nll, error, kl, same_top, entropy, bits_per_byte;
    per_layer mse, diff_r, diff_attn, diff_mlp;
};

/// A loss that is not finite.
struct missing_loss {
    std::size_t row, position; // of the table; position t is that of id t + 1
};

/// All that tables and figures are made from. The columns are those of `run`, which can move but is never copied.
struct finished_study {
    run_results run;
    std::uint64_t seed = 0;
    bool first_position = false; // norms, kurtosis and differences count position 0
    std::string full;            // in which formats the full model is stored
    std::span<const double> nll_full, entropy_full, bits_per_byte_full, growth_r;
    per_layer norm_r, norm_z, norm_h, kurtosis_r, kurtosis_h, top8_r;
    std::vector<method_columns> methods;
    std::vector<error_sets> sets;                // one per method
    std::vector<std::vector<missing_loss>> gaps; // one list per method: the first of each document

    std::size_t size() const noexcept { return run.size(); }
    std::size_t layers() const noexcept { return run.layers(); }
};

namespace detail {

inline std::vector<missing_loss> find_gaps(matrix_view<const float> nll) {
    std::vector<missing_loss> gaps;
    for (std::size_t n = 0; n < nll.rows; ++n)
        for (std::size_t t = 0; t < nll.cols; ++t)
            if (!std::isfinite(nll(n, t))) {
                gaps.push_back({n, t});
                break;
            }
    return gaps;
}

/// error must be the difference it is said to be, up to the order of summation.
inline void check_errors(finished_study const& s) {
    constexpr double rounding = 1e-9;
    for (auto const& m : s.methods)
        for (std::size_t n = 0; n < s.size(); ++n) {
            const double expected = m.nll[n] - s.nll_full[n];
            if (std::isnan(m.error[n]) && std::isnan(expected)) continue;
            if (!(std::abs(m.error[n] - expected) <= rounding * std::max(1.0, std::abs(m.nll[n]))))
                throw format_error("examples.csv: error_" + m.name + " of " + s.run.documents.who(n) + " is " +
                                   std::to_string(m.error[n]) + ", expected nll_" + m.name +
                                   " - nll_full = " + std::to_string(expected));
        }
}

} // namespace detail

/// The sets follow from the errors, the tokens and the run's seed.
/// Errors: format_error for a setting or column that a study has and this run does not, a loss of the full model that
/// is not finite, or an error that is no difference of losses.
inline finished_study make_study(run_results run) {
    finished_study s;
    s.run = std::move(run);
    results_table const& t = s.run.table;
    constexpr const char* who = "manifest.json";
    s.seed = required<std::uint64_t>(s.run.manifest.setting, "seed", who);
    s.first_position = required<bool>(s.run.manifest.setting, "first_position", who);
    s.full = required<std::string>(s.run.manifest.setting, "full", who);
    try {
        s.nll_full = t.of_documents("nll_full");
        s.entropy_full = t.of_documents("entropy_full");
        s.bits_per_byte_full = t.of_documents("bits_per_byte_full");
        s.growth_r = t.of_documents("growth_r");
        s.norm_r = t.of_layers("norm_r");
        s.norm_z = t.of_layers("norm_z");
        s.norm_h = t.of_layers("norm_h");
        s.kurtosis_r = t.of_layers("kurtosis_r");
        s.kurtosis_h = t.of_layers("kurtosis_h");
        s.top8_r = t.of_layers("top8_r");
        for (auto const& [name, spec] : s.run.methods()) {
            const auto numbers = [&](const char* column) { return t.of_documents(column + name); };
            const auto layers = [&](const char* column) { return t.of_layers(column + name); };
            s.methods.push_back({name, spec, numbers("nll_"), numbers("error_"), numbers("kl_"), numbers("same_top_"),
                                 numbers("entropy_"), numbers("bits_per_byte_"), layers("mse_"), layers("diff_r_"),
                                 layers("diff_attn_"), layers("diff_mlp_")});
            s.gaps.push_back(detail::find_gaps(t.of_positions("nll_" + name)));
        }
    } catch (option_error const& e) {
        throw format_error(std::string(who) + ": a study is expected; " + e.what());
    }
    for (std::size_t n = 0; n < s.size(); ++n)
        if (!std::isfinite(s.nll_full[n]))
            throw format_error("examples.csv: nll_full of " + s.run.documents.who(n) +
                               " is expected to be a finite number");
    detail::check_errors(s);
    std::vector<std::span<const std::int32_t>> ids;
    for (std::size_t n = 0; n < s.size(); ++n) ids.push_back(s.run.documents.ids.row(n));
    for (auto const& m : s.methods) s.sets.push_back(make_error_sets(m.error, ids, s.seed));
    return s;
}

} // namespace bitlens

// ---- bitlens/analysis/float32_check.hpp
/// What another arithmetic than float32 changes: some documents of a run once more in float32.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace bitlens {

/// Documents that are scored again: enough to see the size of the difference, few enough to cost little.
inline constexpr std::size_t float32_documents = 8;

inline std::filesystem::path float32_path(std::filesystem::path const& run_folder) {
    return run_folder / "float32.csv";
}

/// Writes float32.csv: example, nll_full, nll_<method> … of documents that were scored in float32. A loss that is not
/// finite is an empty cell.   Errors: io_error.
inline void write_float32_check(std::filesystem::path const& run_folder, document_rows const& documents,
                                results_table const& in_float32) {
    std::vector<std::string> columns{"example"};
    for (auto const& variant : in_float32.variants()) columns.push_back("nll_" + variant);
    csv_writer csv(columns);
    for (std::size_t i = 0; i < documents.size(); ++i) {
        csv.count(documents.rows[i]);
        for (auto const& variant : in_float32.variants()) {
            const double nll = in_float32.of_documents("nll_" + variant)[i];
            std::isnan(nll) ? csv.empty() : csv.number(nll);
        }
        csv.end_row();
    }
    write_file_atomically(float32_path(run_folder), csv.bytes());
}

/// Whether float32.csv is there and knows all these methods.   Errors: those of read_csv.
template <class Names>
bool has_float32_check(std::filesystem::path const& run_folder, Names const& methods) {
    if (!std::filesystem::exists(float32_path(run_folder))) return false;
    const csv_table csv = read_csv(float32_path(run_folder));
    return std::ranges::all_of(methods, [&](auto const& m) { return csv.has("nll_" + m.name); });
}

} // namespace bitlens

// ---- bitlens/analysis/numbers.hpp
/// The numbers behind the tables and figures of a study: each is a measurement or the reason why there is none.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// The documents that have a number in both of two columns, or in one; what statistics are taken over.
/// Errors: shape_error for columns of different lengths.
struct paired_numbers {
    std::vector<double> x, y;
};
inline paired_numbers defined_pairs(std::span<const double> x, std::span<const double> y) {
    detail::check_size("defined_pairs", "y", y.size(), x.size());
    paired_numbers p;
    for (std::size_t i = 0; i < x.size(); ++i)
        if (!std::isnan(x[i]) && !std::isnan(y[i])) {
            p.x.push_back(x[i]);
            p.y.push_back(y[i]);
        }
    return p;
}
inline std::vector<double> defined_numbers(std::span<const double> x) {
    std::vector<double> numbers;
    std::ranges::copy_if(x, std::back_inserter(numbers), [](double v) { return !std::isnan(v); });
    return numbers;
}

/// A number of a column as tables show it.
inline measured number_or_gap(double value) {
    if (std::isnan(value)) return undefined{"no finite number was measured"};
    return value;
}

namespace detail {

template <class Statistic>
measured of_pairs(std::span<const double> x, std::span<const double> y, Statistic const& statistic) {
    const auto p = defined_pairs(x, y);
    if (p.x.size() < 3) return undefined{"a correlation of fewer than three examples says nothing"};
    return {statistic(p.x, p.y), "the same value in all examples has no correlation"};
}

} // namespace detail

/// Pearson's correlation of two columns of examples, over those that have both numbers. So are the others below.
inline measured correlation(std::span<const double> x, std::span<const double> y) {
    return detail::of_pairs(x, y, pearson);
}
inline measured rank_correlation(std::span<const double> x, std::span<const double> y) {
    return detail::of_pairs(x, y, spearman);
}

struct measured_interval {
    measured lo, hi;
};

/// Of fewer documents, resamples are too much alike: an interval of a correlation of three says ±1 with certainty.
inline constexpr std::size_t fewest_documents = 20;
inline constexpr std::size_t bootstrap_resamples = 1000;

/// 95 % bootstrap interval of Pearson's correlation; undefined for fewer than fewest_documents.
inline measured_interval correlation_interval(std::span<const double> x, std::span<const double> y,
                                              std::uint64_t seed) {
    constexpr double level = 0.95;
    const auto none = [](std::string const& reason) { return measured_interval{undefined{reason}, undefined{reason}}; };
    if (const auto rho = correlation(x, y); !rho) return none(rho.reason());
    const auto pairs = defined_pairs(x, y);
    if (pairs.x.size() < fewest_documents)
        return none("fewer than " + std::to_string(fewest_documents) + " examples say nothing of their uncertainty");
    const auto found = bootstrap_interval(
        pairs.x, pairs.y, [](std::span<const double> a, std::span<const double> b) { return pearson(a, b); },
        bootstrap_resamples, level, seed);
    if (!found) return none("most resamples are constant");
    return {found->lo, found->hi};
}

inline undefined no_tenth() { return {"there is no worst tenth: fewer than ten examples, or equal errors"}; }

/// Mean of a column over those of a set of examples that have a number there.
inline measured mean_over(std::span<const double> values, std::span<const std::size_t> set) {
    if (set.empty()) return no_tenth();
    double sum = 0;
    std::size_t count = 0;
    for (const std::size_t i : set)
        if (!std::isnan(values[i])) {
            sum += values[i];
            ++count;
        }
    if (count == 0) return undefined{"no example of the set has a number here"};
    return sum / static_cast<double>(count);
}

/// exp of a mean NLL.
inline measured perplexity(measured const& mean_nll) {
    if (!mean_nll) return mean_nll;
    const double value = std::exp(*mean_nll);
    if (!std::isfinite(value)) return undefined{"the perplexity is beyond all numbers"};
    return value;
}

/// Mean over all examples.
inline measured overall_mean(std::span<const double> values) {
    const auto numbers = defined_numbers(values);
    if (numbers.empty()) return undefined{"no examples"};
    return mean(numbers);
}

/// Standard error of the mean: s / √N with the sample's s.
inline measured standard_error(std::span<const double> values) {
    const auto numbers = defined_numbers(values);
    if (numbers.size() < 2) return undefined{"fewer than two examples have no spread"};
    const double n = static_cast<double>(numbers.size());
    return std::sqrt(variance(numbers) / (n - 1));
}

/// Which share two random sets of these sizes out of n would have in common, roughly: the expected intersection over
/// the union that goes with it.
inline measured jaccard_by_chance(std::size_t a, std::size_t b, std::size_t n) {
    if (a == 0 || b == 0) return no_tenth();
    const double common = static_cast<double>(a) * static_cast<double>(b) / static_cast<double>(n);
    return common / (static_cast<double>(a + b) - common);
}

inline measured set_overlap(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    if (a.empty() || b.empty()) return no_tenth();
    return {jaccard(a, b), "both sets are empty"};
}

/// The letters a method's spec begins with: "rtn3-g64" → "rtn". Methods of one family differ in bits and groups only.
inline std::string_view family(method_columns const& m) {
    return std::string_view(m.spec).substr(0, m.spec.find_first_of("0123456789-:/"));
}

/// Two methods and how their errors go together over all examples.
struct method_pair {
    std::size_t first, second;
    bool same_family;
    measured pearson, spearman;
    measured_interval interval;
    measured overlap, chance; // Jaccard of the worst tenths
    measured overlap_large;   // of the D_large
};

inline std::vector<method_pair> method_pairs(finished_study const& s) {
    std::vector<method_pair> pairs;
    auto const& methods = s.methods;
    for (std::size_t a = 0; a < methods.size(); ++a)
        for (std::size_t b = a + 1; b < methods.size(); ++b)
            pairs.push_back({a, b, family(methods[a]) == family(methods[b]),
                             correlation(methods[a].error, methods[b].error),
                             rank_correlation(methods[a].error, methods[b].error),
                             correlation_interval(methods[a].error, methods[b].error, s.seed),
                             set_overlap(s.sets[a].worst, s.sets[b].worst),
                             jaccard_by_chance(s.sets[a].worst.size(), s.sets[b].worst.size(), s.run.size()),
                             set_overlap(s.sets[a].large, s.sets[b].large)});
    return pairs;
}

/// Mean of those that are defined.
inline measured mean_defined(std::span<const measured> values) {
    std::vector<double> defined;
    for (auto const& v : values)
        if (v) defined.push_back(*v);
    if (defined.empty()) return undefined{values.empty() ? "nothing to take the mean of" : values.front().reason()};
    return mean(defined);
}

/// ρ(S(l), E) for every layer l: a column of norms against a method's final errors.
inline std::vector<measured> layer_correlations(per_layer norms, std::span<const double> error) {
    std::vector<measured> rho;
    for (std::size_t k = 0; k < norms.rows; ++k) rho.push_back(correlation(norms.row(k), error));
    return rho;
}

/// Pearson of norm(x; h) at layer l with MSE(l) of a method.
inline std::vector<measured> mse_correlations(finished_study const& s, method_columns const& m) {
    std::vector<measured> rho;
    for (std::size_t k = 0; k < s.layers(); ++k) rho.push_back(correlation(s.norm_h.row(k), m.mse.row(k)));
    return rho;
}

/// The same over some of the examples, some perhaps more than once, for the layers first … L − 1.
inline std::vector<measured> mse_correlations(finished_study const& s, method_columns const& m, std::size_t first,
                                              std::span<const std::size_t> examples) {
    const auto chosen = [examples](std::span<const double> column) {
        std::vector<double> numbers;
        numbers.reserve(examples.size());
        for (const std::size_t i : examples) numbers.push_back(column[i]);
        return numbers;
    };
    std::vector<measured> rho;
    for (std::size_t k = first; k < s.layers(); ++k)
        rho.push_back(correlation(chosen(s.norm_h.row(k)), chosen(m.mse.row(k))));
    return rho;
}

/// A mean per layer over D_large and over D_ctrl.
struct set_curves {
    std::vector<measured> large, ctrl;
};

inline set_curves curves_over(per_layer values, error_sets const& sets) {
    set_curves curves;
    for (std::size_t k = 0; k < values.rows; ++k) {
        curves.large.push_back(mean_over(values.row(k), sets.large));
        curves.ctrl.push_back(mean_over(values.row(k), sets.ctrl));
    }
    return curves;
}

/// In how many of the layers first … L − 1 a relation between two curves holds.
struct layer_count {
    std::size_t holds = 0, of = 0;
};

template <class Relation>
layer_count count_layers(std::span<const measured> a, std::span<const measured> b, std::size_t first,
                         Relation const& relation) {
    layer_count count;
    for (std::size_t k = first; k < a.size(); ++k)
        if (a[k] && b[k]) {
            ++count.of;
            count.holds += relation(*a[k], *b[k]) ? 1u : 0u;
        }
    return count;
}

/// In how many of the layers first … L − 1 the residuals of D_large are smaller than those of D_ctrl, and its MLP
/// inputs larger: there the norm reverses the order.
inline layer_count count_reversals(set_curves const& r, set_curves const& h, std::size_t first) {
    layer_count count;
    for (std::size_t k = first; k < r.large.size(); ++k)
        if (r.large[k] && r.ctrl[k] && h.large[k] && h.ctrl[k]) {
            ++count.of;
            count.holds += *r.large[k] < *r.ctrl[k] && *h.large[k] > *h.ctrl[k] ? 1u : 0u;
        }
    return count;
}

/// First layer of the upper half, L/2, which is where the paper looks.
inline std::size_t upper_half(std::size_t layers) noexcept { return layers / 2; }

} // namespace bitlens

// ---- bitlens/analysis/verdicts.hpp
/// Verdicts: whether a run decides a question, and how.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::detail {

/// `mostly`: in more than half of the layers.
enum class outcome { agrees, mostly, differs, undecided, not_defined };

/// One method's, or one pair's, answer to a question.
struct answer {
    std::string text; // "rtn3-g64 12 of 15"
    outcome found;
};

/// What chance alone would show so rarely, to either side, decides.
inline constexpr double decisive_share = 0.025;

enum class side { above, below };

/// Does a correlation lie on that side of the threshold? Its whole interval has to.
inline outcome judge(measured const& rho, measured_interval const& within, side wanted, double threshold) {
    if (!rho) return outcome::not_defined;
    if (!within.lo || !within.hi) return outcome::undecided;
    if (*within.lo > threshold) return wanted == side::above ? outcome::agrees : outcome::differs;
    if (*within.hi < threshold) return wanted == side::below ? outcome::agrees : outcome::differs;
    return outcome::undecided;
}

/// In how many resamples a statement holds; of none where there are too few documents.
struct resampled {
    std::size_t holds = 0, of = 0;
};

/// `holds(random)` → bool draws a resample and looks; it is asked as often as an interval resamples.
template <class Holds>
resampled resample(std::size_t documents, std::uint64_t seed, Holds const& holds) {
    if (documents < fewest_documents) return {};
    resampled found{0, bootstrap_resamples};
    random_generator random(seed);
    for (std::size_t i = 0; i < found.of; ++i) found.holds += holds(random) ? 1u : 0u;
    return found;
}

/// As many as the set has, with replacement.
inline std::vector<std::size_t> draw_resample(std::span<const std::size_t> set, random_generator& random) {
    std::vector<std::size_t> drawn(set.size());
    for (auto& member : drawn) member = set[static_cast<std::size_t>(random.below(set.size()))];
    return drawn;
}

inline outcome judge(resampled const& found) noexcept {
    const double of = static_cast<double>(found.of), holds = static_cast<double>(found.holds);
    if (found.of == 0) return outcome::undecided;
    if (of - holds <= decisive_share * of) return outcome::agrees;
    return holds <= decisive_share * of ? outcome::differs : outcome::undecided;
}

/// A count of layers, and in how many resamples it is more than half of them.
inline outcome judge(layer_count count, resampled const& more_than_half) noexcept {
    if (count.of == 0) return outcome::not_defined;
    const outcome found = judge(more_than_half);
    return found == outcome::agrees && count.holds < count.of ? outcome::mostly : found;
}

/// Do two sets of n documents have more in common than random ones of their sizes?
inline outcome judge_overlap(std::span<const std::size_t> a, std::span<const std::size_t> b, std::size_t n) {
    if (a.empty() || b.empty()) return outcome::not_defined;
    const std::size_t common = common_members(a, b);
    if (chance_of_common(a.size(), b.size(), n, common) <= decisive_share) return outcome::agrees;
    return 1 - chance_of_common(a.size(), b.size(), n, common + 1) <= decisive_share ? outcome::differs
                                                                                     : outcome::undecided;
}

/// One word where all answers that are defined are the same, else how many give which.
inline std::string verdict(std::span<const answer> answers) {
    constexpr std::array<std::pair<outcome, std::string_view>, 4> words{{{outcome::agrees, "agrees"},
                                                                         {outcome::mostly, "agrees in most layers"},
                                                                         {outcome::differs, "differs"},
                                                                         {outcome::undecided, "not decided"}}};
    const auto defined =
        std::ranges::count_if(answers, [](answer const& a) { return a.found != outcome::not_defined; });
    if (defined == 0) return "not defined";
    std::string text;
    for (auto const& [found, word] : words) {
        const auto count = std::ranges::count(answers, found, &answer::found);
        if (count == defined) return std::string(word);
        if (count > 0)
            text += (text.empty() ? std::string() : std::string(", ")) + std::string(word) + " for " +
                    std::to_string(count);
    }
    return text;
}

/// The rule of the verdicts, for the reader of the page.
inline std::string verdict_rule() {
    return "How a verdict is found, for each method or pair: a finding agrees where it holds in at least 97.5 % of " +
           std::to_string(bootstrap_resamples) +
           " bootstrap resamples of the documents (of D_large and D_ctrl, where it is about them), differs where it "
           "fails in as many, and is not decided between, nor where fewer than " +
           std::to_string(fewest_documents) +
           " documents could be resampled. A correlation holds beyond its threshold (0, 0.5 or 0.97); what is said of "
           "layers holds where more than half of them show it, and agrees in most layers where not all do (of the MLP "
           "outputs the paper itself says “most”). Overlaps are set against those of random sets, 2.5 % to each side.";
}

} // namespace bitlens::detail

// ---- bitlens/page.hpp
/// page/: what shows the numbers of a run: tables, figures, words, the paper's findings beside them, and the report.

// ---- bitlens/page/claims.hpp
/// What the paper finds, put as questions to a run: does it show the same?

// ---- bitlens/page/published.hpp
/// What the paper reports (arXiv 2506.12044), as tables to stand beside a run's own. Other models, other data, other
/// methods: for orientation, not for comparison number by number.

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens::published {

inline constexpr std::string_view source = "arXiv 2506.12044: base models of 7 to 70 billion parameters in 16 bits, "
                                           "10,000 FineWeb documents of 512 tokens.";

/// Mean Pearson correlation of errors over all 50 pairs of methods (§4.1).
inline constexpr double mean_method_correlation = 0.82;
/// Jaccard overlap of the methods' worst tenths (§4.1). The paper does not say whether near-duplicates are in them;
/// appendix B gives other overlaps for D_large, which is without them.
inline constexpr std::string_view overlap = "mean 0.51, by chance about 0.05";
inline constexpr std::string_view overlap_note =
    "That the paper's overlap of worst tenths (§4.1) is before the near-duplicate filter is our reading.";
/// Pearson correlation of the error with the Kullback-Leibler divergence, at least (appendix A).
inline constexpr double least_kl_correlation = 0.97;
/// Pearson correlation of norm(x; h) with the MSE of the MLP output, above this in most upper layers (§5.3).
inline constexpr double norm_h_mse_correlation = 0.6;

struct pair_correlation {
    std::string_view model, first, second;
    double pearson;
};

/// Tables 1 and 6.
inline constexpr std::array<pair_correlation, 50> method_correlations{{
    {"Qwen2.5-7B", "AWQ4", "NF4", .52},    {"Qwen2.5-7B", "AWQ4", "GPTQ4", .66},  {"Qwen2.5-7B", "AWQ4", "NF3", .61},
    {"Qwen2.5-7B", "AWQ4", "GPTQ3", .65},  {"Qwen2.5-7B", "AWQ3", "NF3", .78},    {"Qwen2.5-7B", "AWQ3", "GPTQ3", .84},
    {"Qwen2.5-7B", "NF4", "GPTQ4", .57},   {"Qwen2.5-7B", "NF4", "AWQ3", .57},    {"Qwen2.5-7B", "NF4", "GPTQ3", .55},
    {"Qwen2.5-7B", "NF3", "GPTQ3", .75},   {"Qwen2.5-7B", "GPTQ4", "AWQ3", .75},  {"Qwen2.5-7B", "GPTQ4", "NF3", .70},
    {"Llama3-8B", "AWQ4", "NF4", .95},     {"Llama3-8B", "AWQ4", "GPTQ4", .96},   {"Llama3-8B", "AWQ4", "NF3", .88},
    {"Llama3-8B", "AWQ4", "EQAT3", .92},   {"Llama3-8B", "AWQ3", "NF3", .98},     {"Llama3-8B", "AWQ3", "EQAT3", .97},
    {"Llama3-8B", "NF4", "GPTQ4", .95},    {"Llama3-8B", "NF4", "AWQ3", .87},     {"Llama3-8B", "NF4", "EQAT3", .90},
    {"Llama3-8B", "NF3", "EQAT3", .96},    {"Llama3-8B", "GPTQ4", "AWQ3", .90},   {"Llama3-8B", "GPTQ4", "NF3", .90},
    {"Llama3-8B", "GPTQ4", "EQAT3", .93},  {"Mistral-12B", "AWQ4", "NF4", .78},   {"Mistral-12B", "AWQ4", "GPTQ4", .86},
    {"Mistral-12B", "AWQ4", "NF3", .80},   {"Mistral-12B", "AWQ4", "GPTQ3", .83}, {"Mistral-12B", "AWQ3", "NF3", .90},
    {"Mistral-12B", "AWQ3", "GPTQ3", .95}, {"Mistral-12B", "NF4", "GPTQ4", .82},  {"Mistral-12B", "NF4", "AWQ3", .81},
    {"Mistral-12B", "NF4", "GPTQ3", .78},  {"Mistral-12B", "NF3", "GPTQ3", .89},  {"Mistral-12B", "GPTQ4", "AWQ3", .90},
    {"Mistral-12B", "GPTQ4", "NF3", .85},  {"Llama3-70B", "AWQ4", "NF4", .80},    {"Llama3-70B", "AWQ4", "GPTQ4", .96},
    {"Llama3-70B", "AWQ4", "GPTQ3", .86},  {"Llama3-70B", "AWQ4", "EQAT3", .81},  {"Llama3-70B", "AWQ3", "EQAT3", .85},
    {"Llama3-70B", "NF4", "GPTQ4", .81},   {"Llama3-70B", "NF4", "GPTQ3", .80},   {"Llama3-70B", "NF4", "AWQ3", .81},
    {"Llama3-70B", "NF4", "EQAT3", .75},   {"Llama3-70B", "GPTQ4", "AWQ3", .94},  {"Llama3-70B", "GPTQ4", "EQAT3", .83},
    {"Llama3-70B", "GPTQ3", "AWQ3", .96},  {"Llama3-70B", "GPTQ3", "EQAT3", .83},
}};

inline table method_correlation_table() {
    table t{"published_method_correlation",
            "In the paper: correlation of errors between methods (tables 1 and 6)",
            {{"model", "model"}, {"first", "method"}, {"second", "and"}, {"pearson", "Pearson", 2}},
            {},
            {std::string(source)}};
    for (auto const& p : method_correlations)
        t.add({std::string(p.model), std::string(p.first), std::string(p.second), p.pearson});
    return t;
}

/// Table 5, FineWeb at 512 tokens.
inline table perplexity_table() {
    struct row {
        std::string_view model, method;
        double perplexity;
    };
    constexpr std::array<row, 27> rows{{
        {"Qwen2.5-7B", "16 bits", 11.06}, {"Qwen2.5-7B", "AWQ4", 11.35},  {"Qwen2.5-7B", "NF4", 11.37},
        {"Qwen2.5-7B", "GPTQ4", 11.33},   {"Qwen2.5-7B", "AWQ3", 12.77},  {"Qwen2.5-7B", "NF3", 13.47},
        {"Qwen2.5-7B", "GPTQ3", 12.26},   {"Llama3-8B", "16 bits", 9.57}, {"Llama3-8B", "AWQ4", 10.13},
        {"Llama3-8B", "NF4", 10.11},      {"Llama3-8B", "GPTQ4", 10.12},  {"Llama3-8B", "AWQ3", 12.13},
        {"Llama3-8B", "NF3", 12.45},      {"Llama3-8B", "EQAT3", 10.77},  {"Mistral-12B", "16 bits", 8.67},
        {"Mistral-12B", "AWQ4", 9.09},    {"Mistral-12B", "NF4", 9.13},   {"Mistral-12B", "GPTQ4", 9.02},
        {"Mistral-12B", "AWQ3", 10.32},   {"Mistral-12B", "NF3", 12.48},  {"Mistral-12B", "GPTQ3", 10.44},
        {"Llama3-70B", "16 bits", 7.15},  {"Llama3-70B", "AWQ4", 7.42},   {"Llama3-70B", "NF4", 7.88},
        {"Llama3-70B", "GPTQ4", 7.52},    {"Llama3-70B", "GPTQ3", 9.64},  {"Llama3-70B", "AWQ3", 8.40},
    }};
    table t{"published_perplexity",
            "In the paper: perplexity on FineWeb (table 5)",
            {{"model", "model"}, {"method", "method"}, {"perplexity", "perplexity", 2}},
            {},
            {std::string(source)}};
    for (auto const& r : rows) t.add({std::string(r.model), std::string(r.method), r.perplexity});
    return t;
}

/// Table 2.
inline table last_layer_table() {
    struct row {
        std::string_view model, method;
        double pearson;
    };
    constexpr std::array<row, 11> rows{{
        {"Qwen2.5-7B", "AWQ3", -.66},
        {"Qwen2.5-7B", "NF3", -.58},
        {"Qwen2.5-7B", "GPTQ3", -.74},
        {"Llama3-8B", "AWQ3", -.76},
        {"Llama3-8B", "NF3", -.76},
        {"Llama3-8B", "EQAT3", -.75},
        {"Mistral-12B", "AWQ3", -.80},
        {"Mistral-12B", "NF3", -.71},
        {"Mistral-12B", "GPTQ3", -.83},
        {"Llama3-70B", "AWQ3", -.78},
        {"Llama3-70B", "GPTQ3", -.81},
    }};
    table t{"published_last_layer",
            "In the paper: correlation of norm(x; r) at the last layer with the error (table 2)",
            {{"model", "model"}, {"method", "method"}, {"pearson", "Pearson", 2}},
            {},
            {std::string(source)}};
    for (auto const& r : rows) t.add({std::string(r.model), std::string(r.method), r.pearson});
    return t;
}

/// Appendix B (overlap of D_large) and table 4 (perplexity of the full model on the D_large of AWQ3).
inline table error_sets_table() {
    table t{
        "published_error_sets",
        "In the paper: the large-error sets",
        {{"model", "model"},
         {"jaccard", "mean overlap of D_large between methods", 2},
         {"perplexity_large", "16-bit perplexity on D_large", 2},
         {"perplexity_all", "on all documents", 2}},
        {},
        {std::string(source), "Overlap of worst tenths: " + std::string(overlap) + ". " + std::string(overlap_note)}};
    t.add({"Qwen2.5-7B", .30, 9.42, 11.06});
    t.add({"Llama3-8B", .49, 5.62, 9.57});
    t.add({"Mistral-12B", .66, 5.60, 8.67});
    t.add({"Llama3-70B", .66, 2.66, 7.15});
    return t;
}

} // namespace bitlens::published

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

inline std::string signed_text(measured const& m, int digits) {
    return m ? with_minus_sign(rounded_text(*m, digits)) : "not defined";
}

inline answer answer_with(std::string const& name, measured const& value, int digits, outcome found) {
    return {name + " " + signed_text(value, digits), found};
}

inline answer answer_with(std::string const& name, layer_count count, outcome found) {
    if (count.of == 0) return {name + " not defined", found};
    return {name + " " + std::to_string(count.holds) + " of " + std::to_string(count.of), found};
}

inline std::string joined(std::span<const answer> answers) {
    std::string text;
    for (auto const& a : answers) text += (text.empty() ? std::string() : std::string("; ")) + a.text;
    return text.empty() ? "nothing to compare" : text;
}

/// From … to, and the mean, of those that are defined.
inline std::string span_text(std::span<const measured> values, int digits) {
    std::vector<double> defined;
    for (auto const& v : values)
        if (v) defined.push_back(*v);
    if (defined.empty()) return "not defined";
    const auto text = [digits](double v) { return with_minus_sign(rounded_text(v, digits)); };
    const auto [low, high] = std::ranges::minmax(defined);
    if (defined.size() == 1) return text(low);
    return text(low) + " to " + text(high) + ", mean " + text(mean(defined));
}

} // namespace detail

/// Pairs to compare with the paper's, which are of different families; where a run has none, its pairs of one family.
struct compared_pairs {
    std::vector<method_pair> pairs;
    bool same_family; // nothing in the paper stands beside them
};

inline constexpr std::string_view same_family_words = " (same family; the paper leaves these out)";

inline compared_pairs comparable_pairs(std::span<const method_pair> pairs) {
    std::vector<method_pair> chosen;
    std::ranges::copy_if(pairs, std::back_inserter(chosen), [](auto const& p) { return !p.same_family; });
    if (chosen.empty() && !pairs.empty()) return {{pairs.begin(), pairs.end()}, true};
    return {std::move(chosen), false};
}

template <class Member>
std::vector<measured> column_of(std::span<const method_pair> pairs, Member member) {
    std::vector<measured> values;
    for (auto const& p : pairs) values.push_back(p.*member);
    return values;
}

/// The paper's findings beside this run's, with a verdict in words, whose rule is its first note. How strong a finding
/// is, the numbers say.
inline table claims_table(finished_study const& s, std::span<const method_pair> all_pairs) {
    using detail::answer, detail::answer_with, detail::draw_resample, detail::joined, detail::judge, detail::outcome,
        detail::resample, detail::side, detail::signed_text, detail::span_text, detail::verdict;
    table t{"claims",
            "What the paper finds, and what this run shows",
            {{"finding", "finding"}, {"paper", "the paper"}, {"run", "this run"}, {"verdict", "verdict"}},
            {},
            {detail::verdict_rule(),
             "The paper's numbers are of other models, methods and documents: " + std::string(published::source)}};

    const auto compared = comparable_pairs(all_pairs);
    auto const& pairs = compared.pairs;
    std::vector<answer> answers;
    const auto add_pairs = [&](char const* finding, std::string_view paper, std::string found) {
        if (compared.same_family) found += same_family_words;
        t.add({finding, std::string(paper), std::move(found), compared.same_family ? "no verdict" : verdict(answers)});
    };
    for (auto const& p : pairs)
        answers.push_back(answer_with("", p.pearson, 2, judge(p.pearson, p.interval, side::above, 0.5)));
    add_pairs("Methods fail on the same documents: their errors correlate above 0.5",
              "0.52 to 0.98, mean 0.82 over 50 pairs", span_text(column_of(pairs, &method_pair::pearson), 2));

    answers.clear();
    for (auto const& p : pairs)
        answers.push_back(answer_with("", p.overlap, 2,
                                      detail::judge_overlap(s.sets[p.first].worst, s.sets[p.second].worst, s.size())));
    const auto chance = mean_defined(column_of(pairs, &method_pair::chance));
    add_pairs("Their worst tenths overlap more than by chance", published::overlap,
              span_text(column_of(pairs, &method_pair::overlap), 2) +
                  (chance ? "; by chance about " + signed_text(chance, 2) : std::string()));

    const auto for_methods = [&](auto const& ask) {
        answers.clear();
        for (std::size_t v = 0; v < s.methods.size(); ++v) answers.push_back(ask(s.methods[v], s.sets[v]));
        return joined(answers);
    };
    const auto add = [&](char const* finding, char const* paper, std::string found) {
        t.add({finding, paper, std::move(found), verdict(answers)});
    };
    const auto correlation_answer = [&](auto const& m, std::span<const double> with, int digits, side wanted,
                                        double threshold) {
        const auto rho = correlation(with, m.error);
        return answer_with(m.name, rho, digits,
                           judge(rho, correlation_interval(with, m.error, s.seed), wanted, threshold));
    };
    add("The error and the KL divergence correlate at 0.97 or more", "0.97 or more",
        for_methods([&](auto const& m, auto const&) {
            return correlation_answer(m, m.kl, 3, side::above, published::least_kl_correlation);
        }));
    add("Documents with smaller residuals at the last layer have larger errors: the correlation is negative",
        "−0.58 to −0.83 with 3 bits", for_methods([&](auto const& m, auto const&) {
            return correlation_answer(m, s.norm_r.row(s.layers() - 1), 2, side::below, 0);
        }));
    const std::size_t upper = upper_half(s.layers());
    const auto most = [](layer_count count) { return 2 * count.holds > count.of; };
    // `count(sets)` → layer_count, for the sets of a method and for resamples of them.
    const auto answer_of_sets = [&](std::string const& name, error_sets const& sets, auto const& count) {
        const auto resamples = resample(sets.large.size(), s.seed, [&](random_generator& random) {
            return most(count({{}, draw_resample(sets.large, random), draw_resample(sets.ctrl, random)}));
        });
        const layer_count found = count(sets);
        return answer_with(name, found, judge(found, resamples));
    };
    const auto smaller_in_large = [&](per_layer values) {
        return for_methods([&](auto const& m, auto const& sets) {
            return answer_of_sets(m.name, sets, [&](error_sets const& drawn) {
                const auto c = curves_over(values.middle_rows(upper, values.rows - upper), drawn);
                return count_layers(c.large, c.ctrl, 0, [](double a, double b) { return a < b; });
            });
        });
    };
    add("The residuals of D_large are smaller than those of D_ctrl in the upper layers", "in all of Llama3-70B",
        smaller_in_large(s.norm_r));
    const std::size_t last_ten = s.layers() - std::min<std::size_t>(10, s.layers());
    add("The norm reverses this: residuals of D_large are smaller and its MLP inputs larger, in the last ten layers",
        "in the upper layers of all four models, clear in the last ten of Llama3-70B",
        for_methods([&](auto const& m, auto const& sets) {
            return answer_of_sets(m.name, sets, [&](error_sets const& drawn) {
                const auto last = [&](per_layer values) {
                    return curves_over(values.middle_rows(last_ten, values.rows - last_ten), drawn);
                };
                return count_reversals(last(s.norm_r), last(s.norm_h), 0);
            });
        }));
    add("The residuals of D_large have a smaller kurtosis in the upper layers", "in all shown",
        smaller_in_large(s.kurtosis_r));
    add("Larger MLP inputs get larger errors of the MLP output: correlation above 0.6 in the upper layers",
        "in most upper layers", for_methods([&](auto const& m, auto const&) {
            std::vector<std::size_t> all(s.size());
            std::iota(all.begin(), all.end(), std::size_t{0});
            const auto count = [&](std::span<const std::size_t> documents) {
                const auto rho = mse_correlations(s, m, upper, documents);
                return count_layers(rho, rho, 0,
                                    [](double a, double) { return a > published::norm_h_mse_correlation; });
            };
            const auto resamples = resample(
                all.size(), s.seed, [&](random_generator& random) { return most(count(draw_resample(all, random))); });
            const auto found = judge(count(all), resamples);
            return answer_with(m.name, count(all), found == outcome::mostly ? outcome::agrees : found);
        }));
    add("D_large is easier than the rest before quantization (perplexity of the full model)",
        "9.42, 5.62, 5.60, 2.66 "
        "against 11.06, 9.57, 8.67, 7.15",
        for_methods([&](auto const& m, auto const& sets) {
            const auto large = mean_over(s.nll_full, sets.large), all = overall_mean(s.nll_full);
            const auto resamples = resample(sets.large.size(), s.seed, [&](random_generator& random) {
                return *mean_over(s.nll_full, draw_resample(sets.large, random)) < *all;
            });
            auto a = answer_with(m.name, perplexity(large), 2, large ? judge(resamples) : outcome::not_defined);
            if (large) a.text += " against " + signed_text(perplexity(all), 2);
            return a;
        }));
    return t;
}

} // namespace bitlens

// ---- bitlens/page/example_text.hpp
/// Documents as HTML, each token coloured by its own error under one method, its loss, or its divergence.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// Neighbouring tokens that are shown as one because a character's bytes are split between them.
struct token_group {
    std::size_t first = 0, count = 0; // positions
    std::string bytes;
};

/// Groups the tokens of one document so that no character is split, unless its bytes are not UTF-8 anyway.
inline std::vector<token_group> group_tokens(std::span<const std::string> token_bytes) {
    const auto begun_character = [](std::string bytes) {
        bytes.erase(0, valid_utf8_length(bytes));
        if (bytes.empty()) return bytes;
        const auto lead = static_cast<std::uint8_t>(bytes.front());
        const std::size_t length = lead >= 0xF5 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
        const auto continues = [](char c) { return (static_cast<std::uint8_t>(c) & 0xC0u) == 0x80u; };
        if (bytes.size() >= length || !std::all_of(bytes.begin() + 1, bytes.end(), continues)) bytes.clear();
        return bytes;
    };
    std::vector<token_group> groups;
    std::string begun; // the last bytes of the last group, where they begin a character that is not whole
    for (std::size_t t = 0; t < token_bytes.size(); ++t) {
        if (begun.empty()) groups.push_back({t, 0, {}});
        auto& group = groups.back();
        ++group.count;
        group.bytes += token_bytes[t];
        begun = begun_character(begun + token_bytes[t]);
    }
    return groups;
}

/// What a token is coloured by, in nats. Its class is a letter and the step that |value| reaches, "" below the first.
struct token_scale {
    char above, below; // letters for numbers above and below zero
    std::array<double, 4> steps;

    std::string operator()(double value) const {
        if (std::isnan(value)) return {};
        std::size_t step = 0;
        while (step < steps.size() && std::abs(value) >= steps[step]) ++step;
        if (step == 0) return {};
        return (value > 0 ? above : below) + std::to_string(step);
    }
};
inline constexpr token_scale error_scale{'p', 'n', {0.25, 0.5, 1, 2}}, loss_scale{'l', 'l', {1, 2, 4, 8}},
    kl_scale{'k', 'k', {0.1, 0.3, 1, 3}};

/// The colours of each scale, on light and on dark pages; the reader's choice in example_switch says which counts.
inline std::string_view example_style() noexcept {
    return R"(.text{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--shade);padding:.75rem 1rem;margin:.5rem 0;font-size:.9rem;line-height:1.7;max-height:32rem;overflow-y:auto}
.text i,.key i{font-style:normal;border-radius:2px}
.by{margin:0 .3em 0 1em}.by+label{font-size:.9rem;cursor:pointer}
.key,.documents h4{margin:.5rem 0}.key i{padding:0 .4em;margin-right:.25em;color:var(--ink)}
.key{display:none}#by-error:checked~.key.error,#by-loss:checked~.key.loss,#by-kl:checked~.key.kl{display:block}
#by-error:checked~* .p1{background:rgba(226,88,16,.16)}#by-error:checked~* .p2{background:rgba(226,88,16,.32)}#by-error:checked~* .p3{background:rgba(226,88,16,.52)}#by-error:checked~* .p4{background:rgba(226,88,16,.78)}
#by-error:checked~* .n1{background:rgba(24,120,210,.16)}#by-error:checked~* .n2{background:rgba(24,120,210,.32)}#by-error:checked~* .n3{background:rgba(24,120,210,.52)}#by-error:checked~* .n4{background:rgba(24,120,210,.78)}
#by-loss:checked~* .l1{background:rgba(130,80,200,.14)}#by-loss:checked~* .l2{background:rgba(130,80,200,.28)}#by-loss:checked~* .l3{background:rgba(130,80,200,.46)}#by-loss:checked~* .l4{background:rgba(130,80,200,.7)}
#by-kl:checked~* .k1{background:rgba(20,150,110,.16)}#by-kl:checked~* .k2{background:rgba(20,150,110,.32)}#by-kl:checked~* .k3{background:rgba(20,150,110,.52)}#by-kl:checked~* .k4{background:rgba(20,150,110,.78)}
@media print{.text{max-height:none}.text,.key{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
)";
}

/// The choice of a scale, and what its colours mean. What it colours stands behind it, inside elements beside it.
inline std::string example_switch() {
    return R"(<span class="soft">Colour by</span><input class="by" type="radio" name="by" id="by-error" checked><label for="by-error">error</label><input class="by" type="radio" name="by" id="by-loss"><label for="by-loss">loss of the full model</label><input class="by" type="radio" name="by" id="by-kl"><label for="by-kl">KL divergence</label>
<p class="key error soft">Error of a token in nats: <i class="n4">≤ −2</i><i class="n3">−1</i><i class="n2">−0.5</i><i class="n1">−0.25</i> <i class="p1">0.25</i><i class="p2">0.5</i><i class="p3">1</i><i class="p4">≥ 2</i>. Point at a token for its numbers.</p>
<p class="key loss soft">Loss of a token under the full model in nats: <i class="l1">1</i><i class="l2">2</i><i class="l3">4</i><i class="l4">≥ 8</i>. Point at a token for its numbers.</p>
<p class="key kl soft">KL divergence of the predictions for a token in nats: <i class="k1">0.1</i><i class="k2">0.3</i><i class="k3">1</i><i class="k4">≥ 3</i>. Point at a token for its numbers.</p>
)";
}

/// The text of example `row` under a method. Pointing at a token shows its loss before and after, the divergence, and
/// the token that each model found most likely where they differ.
inline std::string example_html(run_results const& run, std::size_t row, std::string const& method) {
    const auto ids = run.documents.ids.row(row);
    const auto scores = [&](std::string const& column) { return run.table.of_positions(column).row(row); };
    const auto tops = [&](std::string const& column) { return run.table.ids_of_positions(column).row(row); };
    const auto full = scores("nll_full"), quantized = scores("nll_" + method), kl = scores("kl_" + method);
    const auto top_full = tops("top_full"), top_quantized = tops("top_" + method);
    std::vector<std::string> bytes;
    for (const std::int32_t id : ids) bytes.emplace_back(run.texts[id]);

    std::string out = "<div class=\"text\">";
    for (auto const& group : group_tokens(bytes)) {
        double before = 0, after = 0, divergence = 0;
        std::string likeliest;
        for (std::size_t t = group.first; t < group.first + group.count; ++t) {
            if (t == 0) continue; // nothing predicts the first token
            before += full[t - 1];
            after += quantized[t - 1];
            divergence += kl[t - 1];
            if (top_full[t - 1] != top_quantized[t - 1])
                likeliest.append("; likeliest “")
                    .append(run.texts[top_full[t - 1]])
                    .append("”, now “")
                    .append(run.texts[top_quantized[t - 1]])
                    .append("”");
        }
        const std::string text = html_escape(group.bytes);
        if (group.first + group.count == 1) {
            out += text;
            continue;
        }
        const double error = after - before;
        std::string classes;
        for (auto const& name : {error_scale(error), loss_scale(before), kl_scale(divergence)})
            if (!name.empty()) classes += (classes.empty() ? "" : " ") + name;
        out += classes.empty() ? "<i title=\"" : "<i class=\"" + classes + "\" title=\"";
        const auto number = [](double x) {
            return std::isfinite(x) ? with_minus_sign(fixed_text(x, 2)) : "not finite";
        };
        out += number(before) + " → " + number(after) + " (" + (error > 0 ? "+" : "") + number(error) + "), KL " +
               number(divergence) + html_escape(likeliest) + "\">" + text + "</i>";
    }
    return out + "</div>\n";
}

} // namespace bitlens

// ---- bitlens/page/figures.hpp
/// The figures of a study, as charts: each becomes an SVG and the CSV with what it shows.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// Charts that are drawn and saved together.
struct figure {
    std::string name; // stem of its files
    std::string caption;
    std::vector<chart> charts;
    std::size_t per_row = 1;
};

/// Writes an SVG file of the figure's name into the folder, and a CSV file of what it shows. Nothing for a figure
/// without charts.   Errors: io_error.
inline void write_figure(std::filesystem::path const& folder, figure const& f) {
    if (f.charts.empty()) return;
    write_file_atomically(folder / (f.name + ".svg"), to_svg(f.charts, f.per_row, svg_use::file));
    write_file_atomically(folder / (f.name + ".csv"), to_csv(f.charts));
    const auto picture = folder / (f.name + ".png"); // of an earlier figure: it would be taken for one of this
    std::error_code kept;
    if (std::filesystem::is_regular_file(picture, kept)) std::filesystem::remove(picture, kept);
}

namespace detail {

inline series layer_series(std::string name, std::span<const measured> values, std::size_t first) {
    series s{std::move(name), mark::line, {}};
    for (std::size_t k = first; k < values.size(); ++k)
        s.points.push_back({static_cast<double>(k), values[k].optional()});
    return s;
}

/// Two curves over layers from `first` on: the orange of D_large and the blue of D_ctrl, as in the paper.
inline std::vector<series> large_and_ctrl(set_curves const& curves, std::size_t first) {
    return {layer_series("D_large", curves.large, first), layer_series("D_ctrl", curves.ctrl, first)};
}

inline axis layer_axis() { return {"layer", scale::linear, true}; }

/// A chart with nothing drawn on its axes yet. (Nested braces instead make g++ 12 warn of strings it did not see
/// built.)
inline chart empty_chart(std::string name, std::string title, axis x, axis y) {
    chart c;
    c.name = std::move(name);
    c.title = std::move(title);
    c.x = std::move(x);
    c.y = std::move(y);
    return c;
}

/// Where the upper half of the layers begins.
inline double upper_half_line(finished_study const& s) { return static_cast<double>(upper_half(s.layers())) - 0.5; }

inline chart correlation_chart(finished_study const& s, std::string name, std::string title) {
    chart c = empty_chart(std::move(name), std::move(title), layer_axis(), {"Pearson correlation"});
    c.zero_line = true;
    c.split = upper_half_line(s);
    return c;
}

/// Where to draw densities of several samples so that all of each is seen: 200 places.
inline std::vector<double> density_places(std::span<const std::vector<double>> samples) {
    constexpr std::size_t places = 200;
    constexpr double margin = 3; // bandwidths: beyond it less than 0.3 % of a kernel
    range r;
    for (auto const& sample : samples)
        if (const auto bandwidth = silverman_bandwidth(sample)) {
            r.include(*std::ranges::min_element(sample) - margin * *bandwidth);
            r.include(*std::ranges::max_element(sample) + margin * *bandwidth);
        }
    std::vector<double> at;
    if (r.empty()) return at;
    for (std::size_t i = 0; i < places; ++i)
        at.push_back(std::lerp(r.low, r.high, static_cast<double>(i) / static_cast<double>(places - 1)));
    return at;
}

/// Density of one column of examples over D_large and D_ctrl. Empty where a set has no two different values.
inline std::vector<series> densities(std::span<const double> values, error_sets const& sets) {
    const auto chosen = [&](std::span<const std::size_t> set) {
        std::vector<double> sample;
        for (const std::size_t i : set) sample.push_back(values[i]);
        return defined_numbers(sample);
    };
    const std::vector<std::vector<double>> samples{chosen(sets.large), chosen(sets.ctrl)};
    const auto at = density_places(samples);
    std::vector<series> out{{"D_large", mark::area, {}}, {"D_ctrl", mark::area, {}}};
    for (std::size_t k = 0; k < samples.size(); ++k) {
        const auto bandwidth = silverman_bandwidth(samples[k]);
        if (!bandwidth) continue;
        const auto density = kernel_density(samples[k], at, *bandwidth);
        for (std::size_t i = 0; i < at.size(); ++i) out[k].points.push_back({at[i], density[i]});
    }
    return out;
}

/// Densities at each of the last ten layers.
inline std::vector<chart> last_layer_densities(per_layer values, error_sets const& sets, std::string const& what) {
    constexpr std::size_t shown = 10;
    std::vector<chart> charts;
    for (std::size_t k = values.rows - std::min(shown, values.rows); k < values.rows; ++k) {
        const std::string layer = "layer " + std::to_string(k);
        charts.push_back(empty_chart(layer, what + " at " + layer, {what}, {"density"}));
        charts.back().series = densities(values.row(k), sets);
    }
    return charts;
}

/// Only letters, digits, dots and hyphens of a method's name: part of a file name.
inline std::string file_stem(std::string_view name) {
    std::string stem;
    for (const char c : name) {
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
        stem += plain ? c : '_';
    }
    return stem;
}

} // namespace detail

/// Figure 1 (a): mean norm of r over the upper layers.
inline figure norm_curves_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.methods[v].name;
    figure f{
        "figure_01a_norm_r_" + detail::file_stem(name),
        "Residual magnitudes of the full model over the upper half of its layers, for the documents with large errors "
        "of " +
            name + " and for the control set.",
        {},
        1};
    f.charts.push_back(
        detail::empty_chart("norm_r", "Mean norm(x; r), sets of " + name, detail::layer_axis(), {"mean norm(x; r)"}));
    f.charts.back().series = detail::large_and_ctrl(curves_over(s.norm_r, s.sets[v]), upper_half(s.layers()));
    return f;
}

/// Figure 1 (b) and (c): densities at the last ten layers, before and after the norm.
inline figure norm_r_density_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.methods[v].name;
    return {"figure_01b_norm_r_density_" + detail::file_stem(name),
            "Densities of norm(x; r), before the norm, at the last layers; sets of " + name + ".",
            detail::last_layer_densities(s.norm_r, s.sets[v], "norm(x; r)"), 2};
}
inline figure norm_h_density_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.methods[v].name;
    return {"figure_01c_norm_h_density_" + detail::file_stem(name),
            "Densities of norm(x; h), after the norm, at the last layers; sets of " + name + ".",
            detail::last_layer_densities(s.norm_h, s.sets[v], "norm(x; h)"), 2};
}

/// Figures 6 and 7: kurtosis of r and of h per layer, on a logarithmic axis.
inline figure kurtosis_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.methods[v].name;
    figure f{"figure_06_07_kurtosis_" + detail::file_stem(name),
             "Kurtosis of the full model's states before (r) and after (h) the norm, for the sets of " + name +
                 ". The upper half begins at the dotted line.",
             {},
             2};
    const auto add = [&](std::string const& state, auto const& values) {
        chart c = detail::empty_chart("kurtosis_" + state, "Kurtosis of " + state + ", sets of " + name,
                                      detail::layer_axis(), {"mean kurtosis (log scale)", scale::logarithmic});
        c.series = detail::large_and_ctrl(curves_over(values, s.sets[v]), 0);
        c.split = detail::upper_half_line(s);
        f.charts.push_back(std::move(c));
    };
    add("r", s.kurtosis_r);
    add("h", s.kurtosis_h);
    return f;
}

/// What tells D_large from D_ctrl of one method.
struct set_figures {
    figure curves, density_r, density_h, kurtosis;
};

inline set_figures figures_of_sets(finished_study const& s, std::size_t v) {
    return {norm_curves_figure(s, v), norm_r_density_figure(s, v), norm_h_density_figure(s, v), kurtosis_figure(s, v)};
}

/// Correlation of one magnitude at each layer with each method's error.
inline chart layer_correlation_chart(finished_study const& s, std::string const& state, per_layer norms) {
    chart c = detail::correlation_chart(s, "norm_" + state, "Correlation of norm(x; " + state + ") with the error");
    for (auto const& m : s.methods)
        c.series.push_back(detail::layer_series(m.name, layer_correlations(norms, m.error), 0));
    return c;
}

/// Figures 8 to 11.
inline figure correlation_r_figure(finished_study const& s) {
    figure f{
        "figure_08_correlation_r",
        "Correlation over all documents of the residual magnitude at each layer with the final error of each method. "
        "The paper shows the upper half, right of the dotted line.",
        {},
        1};
    f.charts.push_back(layer_correlation_chart(s, "r", s.norm_r));
    return f;
}
inline figure correlation_z_h_figure(finished_study const& s) {
    figure f{"figure_08_correlation_z_h",
             "The same for the outputs of the blocks (z) and the inputs of the MLPs (h).",
             {},
             2};
    f.charts.push_back(layer_correlation_chart(s, "z", s.norm_z));
    f.charts.push_back(layer_correlation_chart(s, "h", s.norm_h));
    return f;
}

/// §5.3: correlation of norm(x; h) with the error of the MLP's output, per layer.
inline figure mse_figure(finished_study const& s) {
    chart c = detail::correlation_chart(s, "norm_h_mse", "Correlation of norm(x; h) with the MSE of the MLP output");
    for (auto const& m : s.methods) c.series.push_back(detail::layer_series(m.name, mse_correlations(s, m), 0));
    figure f{"mlp_error", "Do documents with larger MLP inputs get larger errors of the MLP's output?", {}, 1};
    f.charts.push_back(std::move(c));
    return f;
}

/// Table 1 as a picture: errors of the first method against those of each other.
inline figure error_figure(finished_study const& s) {
    auto const& methods = s.methods;
    figure f{"errors", "Each dot is a document: its error under one method against its error under another.", {}, 2};
    for (std::size_t v = 1; v < methods.size(); ++v) {
        series dots{methods[v].name, mark::dots, {}};
        for (std::size_t i = 0; i < s.size(); ++i)
            if (!std::isnan(methods[0].error[i]) && !std::isnan(methods[v].error[i]))
                dots.points.push_back(
                    {methods[0].error[i], methods[v].error[i], "document " + std::to_string(s.run.documents.rows[i])});
        f.charts.push_back(
            detail::empty_chart(methods[v].name, "Errors of " + methods[0].name + " and " + methods[v].name,
                                {methods[0].name + ", nats per token"}, {methods[v].name + ", nats per token"}));
        f.charts.back().series.push_back(std::move(dots));
    }
    return f;
}

} // namespace bitlens

// ---- bitlens/page/float32_table.hpp
/// What another arithmetic than float32 changed, as a table: the run beside its float32.csv.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// The run beside float32.csv; nothing where there is no such file.   Errors: format_error naming the file for an
/// example that is not in the run, or a method that is missing.
inline std::optional<table> float32_table(std::filesystem::path const& run_folder, finished_study const& s) {
    if (!std::filesystem::exists(float32_path(run_folder))) return std::nullopt;
    const csv_table csv = read_csv(float32_path(run_folder));
    std::vector<std::size_t> rows; // of the run
    for (const std::uint64_t example : csv.counts("example")) {
        auto const& all = s.run.documents.rows;
        const auto found = std::ranges::find(all, example);
        if (found == all.end()) csv.refuse(rows.size(), csv.column("example"), "an example of examples.csv");
        rows.push_back(static_cast<std::size_t>(found - all.begin()));
    }
    const auto of_rows = [&](std::span<const double> all) {
        std::vector<double> some;
        for (const std::size_t i : rows) some.push_back(all[i]);
        return some;
    };
    const auto difference = [](std::vector<double> const& a, std::vector<double> const& b) {
        std::vector<double> d;
        for (std::size_t i = 0; i < a.size(); ++i) d.push_back(a[i] - b[i]);
        return d;
    };
    const auto largest = [](std::vector<double> const& d) {
        double most = 0;
        for (const double x : defined_numbers(d)) most = std::max(most, std::abs(x));
        return most;
    };
    const auto read = [&](std::string const& column) {
        std::vector<double> numbers;
        for (auto const& x : csv.optional_numbers(column)) {
            if (x && std::abs(*x) > detail::largest_number)
                csv.refuse(numbers.size(), csv.column(column), "a number of at most 1e80");
            numbers.push_back(x.value_or(undefined_number));
        }
        return numbers;
    };
    const undefined no_error{"the full model has no error"};

    table t{"float32",
            "What the arithmetic changes",
            {{"variant", "model"},
             {"documents", "documents"},
             {"nll_difference", "mean difference of the loss", 5},
             {"largest_nll_difference", "largest", 5},
             {"mean_error", "mean error", 4},
             {"mean_error_float32", "in float32", 4},
             {"largest_error_difference", "largest difference of an error", 5},
             {"pearson", "correlation of the errors", 4}},
            {},
            {"The first documents of the run once more in float32. Differences: this run minus float32, nats per "
             "token."}};
    const auto full32 = read("nll_full"), full = of_rows(s.nll_full);
    const auto full_difference = difference(full, full32);
    t.add({std::string(full_model_name), rows.size(), overall_mean(full_difference), largest(full_difference), no_error,
           no_error, no_error, no_error});
    for (auto const& m : s.methods) {
        const auto nll32 = read("nll_" + m.name), nll = of_rows(m.nll);
        const auto error = of_rows(m.error), error32 = difference(nll32, full32);
        const auto changed = difference(nll, nll32);
        t.add({m.name, rows.size(), overall_mean(changed), largest(changed), overall_mean(error), overall_mean(error32),
               largest(difference(error, error32)), correlation(error, error32)});
    }
    return t;
}

} // namespace bitlens

// ---- bitlens/page/report.hpp
/// write_report: turns the folder of a finished run into summary.json, figures and report.html, without a model.

// ---- bitlens/page/table_json.hpp
/// A table as JSON.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace bitlens {

/// A table as JSON: rows are objects by the keys of the columns; a number that is not defined is an object with the
/// reason.
inline ordered_json to_json(table const& t) {
    struct visitor {
        ordered_json operator()(std::string const& text) const { return text; }
        ordered_json operator()(double number) const { return number; }
        ordered_json operator()(std::uint64_t count) const { return count; }
        ordered_json operator()(undefined const& why) const { return {{"not_defined", why.reason}}; }
    };
    ordered_json rows = ordered_json::array();
    for (auto const& row : t.rows) {
        ordered_json object = ordered_json::object();
        for (std::size_t c = 0; c < row.size(); ++c) object[t.columns[c].key] = std::visit(visitor{}, row[c].value);
        rows.push_back(std::move(object));
    }
    return {{"title", t.title}, {"rows", std::move(rows)}, {"notes", t.notes}};
}

} // namespace bitlens

// ---- bitlens/page/tables.hpp
/// The tables of a study, each made from the run alone.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Method by method: error, perplexity, divergence, agreement.
inline table method_table(finished_study const& s) {
    table t{
        "methods",
        "Error and perplexity of each method",
        {{"method", "method"},
         {"mean_error", "mean error, nats per token", 4},
         {"standard_error", "± standard error", 4},
         {"median_error", "median error", 4},
         {"largest_error", "largest error", 4},
         {"perplexity_full", "perplexity, full", 3},
         {"perplexity", "perplexity, quantized", 3},
         {"mean_kl", "mean KL, nats per token", 4},
         {"same_top", "same most likely token", 4}},
        {},
        {"Error: the mean negative log-likelihood of the document's tokens under the quantized model, minus the full "
         "model's. Over " +
         std::to_string(s.size()) + " documents."}};
    for (auto const& m : s.methods) {
        auto sorted = defined_numbers(m.error);
        std::ranges::sort(sorted);
        const measured none = undefined{"no examples"};
        t.add({m.name, overall_mean(m.error), standard_error(m.error),
               sorted.empty() ? none : measured(quantile(sorted, 0.5)), sorted.empty() ? none : measured(sorted.back()),
               perplexity(overall_mean(s.nll_full)), perplexity(overall_mean(m.nll)), overall_mean(m.kl),
               overall_mean(m.same_top)});
    }
    return t;
}

/// Document by document.
inline table documents_table(finished_study const& s) {
    table t{"documents",
            "All documents",
            {{"example", "document"}, {"nll_full", "loss, full"}},
            {},
            {"Losses and errors in nats per token. The documents that are links stand below."}};
    for (auto const& m : s.methods) t.columns.push_back({"error_" + m.name, "error, " + m.name});
    t.columns.push_back({"topic", "topic"});
    t.columns.push_back({"id", "id"});
    for (std::size_t i = 0; i < s.size(); ++i) {
        std::vector<cell> row{s.run.documents.rows[i], s.nll_full[i]};
        for (auto const& m : s.methods) row.emplace_back(number_or_gap(m.error[i]));
        row.emplace_back(s.run.documents.topics[i]);
        row.emplace_back(s.run.documents.names[i]);
        t.add(std::move(row));
    }
    return t;
}

/// The paper's tables 1 and 6.
inline table method_correlation_table(finished_study const& s, std::span<const method_pair> pairs) {
    table t{"method_correlation",
            "Correlation of errors between methods",
            {{"first", "method"},
             {"second", "and"},
             {"families", "families"},
             {"pearson", "Pearson", 3},
             {"pearson_low", "95 % from", 3},
             {"pearson_high", "to", 3},
             {"spearman", "Spearman", 3}},
            {},
            {"Interval: 1000 bootstrap resamples of the documents. The paper compares methods of different families "
             "only."}};
    for (auto const& p : pairs)
        t.add({s.methods[p.first].name, s.methods[p.second].name, p.same_family ? "same" : "different", p.pearson,
               p.interval.lo, p.interval.hi, p.spearman});
    return t;
}

/// Appendix A: does the other definition of the error say the same?
inline table kl_correlation_table(finished_study const& s) {
    table t{"kl_correlation",
            "Correlation of the error with the Kullback-Leibler divergence from the full model",
            {{"method", "method"},
             {"pearson", "Pearson", 3},
             {"pearson_low", "95 % from", 3},
             {"pearson_high", "to", 3},
             {"spearman", "Spearman", 3}},
            {},
            {"The paper: at least 0.97 (appendix A)."}};
    for (auto const& m : s.methods) {
        const auto within = correlation_interval(m.kl, m.error, s.seed);
        t.add({m.name, correlation(m.error, m.kl), within.lo, within.hi, rank_correlation(m.error, m.kl)});
    }
    return t;
}

/// D_large and D_ctrl of each method.
inline table error_sets_table(finished_study const& s) {
    table t{
        "error_sets",
        "Large-error sets D_large and control sets D_ctrl",
        {{"method", "method"},
         {"tenth", "worst tenth"},
         {"large", "D_large"},
         {"ctrl", "D_ctrl"},
         {"error_large", "mean error, D_large", 4},
         {"error_ctrl", "D_ctrl", 4},
         {"perplexity_full_large", "perplexity full, D_large", 2},
         {"perplexity_full_ctrl", "D_ctrl", 2},
         {"perplexity_full_all", "all", 2},
         {"perplexity_large", "perplexity quantized, D_large", 2},
         {"perplexity_ctrl", "D_ctrl", 2}},
        {},
        {"D_large: documents by falling error, without those whose token 5-grams overlap (Jaccard above 0.1) with one "
         "already taken, as many as a tenth of all, or fewer where the half with the larger errors has no more. "
         "D_ctrl: as many at random from the half with the smaller errors."}};
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& m = s.methods[v];
        auto const& [worst, large, ctrl] = s.sets[v];
        t.add({m.name, worst.size(), large.size(), ctrl.size(), mean_over(m.error, large), mean_over(m.error, ctrl),
               perplexity(mean_over(s.nll_full, large)), perplexity(mean_over(s.nll_full, ctrl)),
               perplexity(overall_mean(s.nll_full)), perplexity(mean_over(m.nll, large)),
               perplexity(mean_over(m.nll, ctrl))});
    }
    return t;
}

/// §4.1 and appendix B.
inline table overlap_table(finished_study const& s, std::span<const method_pair> pairs) {
    table t{"overlap",
            "Overlap of the methods' large-error documents",
            {{"first", "method"},
             {"second", "and"},
             {"jaccard_worst", "Jaccard, worst tenths", 3},
             {"chance", "by chance about", 3},
             {"jaccard_large", "Jaccard, D_large", 3}},
            {},
            {"The paper, worst tenths: " + std::string(published::overlap) + "; D_large of four models: 0.30 to 0.66.",
             std::string(published::overlap_note)}};
    for (auto const& p : pairs)
        t.add({s.methods[p.first].name, s.methods[p.second].name, p.overlap, p.chance, p.overlap_large});
    return t;
}

/// The paper's table 2, and the same for z and h.
inline table last_layer_table(finished_study const& s) {
    table t{"last_layer",
            "Correlation of magnitudes at the last layer with the error",
            {{"method", "method"},
             {"pearson_r", "norm(x; r): Pearson", 3},
             {"low_r", "95 % from", 3},
             {"high_r", "to", 3},
             {"spearman_r", "Spearman", 3},
             {"pearson_z", "norm(x; z): Pearson", 3},
             {"pearson_h", "norm(x; h): Pearson", 3}},
            {},
            {"r: input of the second norm; z: output of the block; h: what the MLP reads, γ applied."}};
    for (auto const& m : s.methods) {
        const auto within = correlation_interval(s.norm_r.row(s.layers() - 1), m.error, s.seed);
        t.add({m.name, correlation(s.norm_r.row(s.layers() - 1), m.error), within.lo, within.hi,
               rank_correlation(s.norm_r.row(s.layers() - 1), m.error),
               correlation(s.norm_z.row(s.layers() - 1), m.error), correlation(s.norm_h.row(s.layers() - 1), m.error)});
    }
    return t;
}

/// Figures 8 to 11 as numbers, for r, z and h.
inline table layer_correlation_table(finished_study const& s) {
    table t{"layer_correlation",
            "Correlation of magnitudes with the error, layer by layer",
            {{"method", "method"},
             {"layer", "layer"},
             {"pearson_r", "norm(x; r)", 3},
             {"pearson_z", "norm(x; z)", 3},
             {"pearson_h", "norm(x; h)", 3}},
            {},
            {}};
    for (auto const& m : s.methods) {
        const auto r = layer_correlations(s.norm_r, m.error);
        const auto z = layer_correlations(s.norm_z, m.error);
        const auto h = layer_correlations(s.norm_h, m.error);
        for (std::size_t k = 0; k < s.layers(); ++k) t.add({m.name, k, r[k], z[k], h[k]});
    }
    return t;
}

/// Figures 1 (a), 6 and 7 as numbers: means over D_large and D_ctrl of what the full model's layers show.
inline table set_means_table(finished_study const& s) {
    table t{"set_means",
            "D_large against D_ctrl, layer by layer",
            {{"method", "method"},
             {"layer", "layer"},
             {"norm_r_large", "norm(x; r), D_large", 3},
             {"norm_r_ctrl", "D_ctrl", 3},
             {"norm_h_large", "norm(x; h), D_large", 3},
             {"norm_h_ctrl", "D_ctrl", 3},
             {"kurtosis_r_large", "kurtosis of r, D_large", 2},
             {"kurtosis_r_ctrl", "D_ctrl", 2},
             {"kurtosis_h_large", "kurtosis of h, D_large", 2},
             {"kurtosis_h_ctrl", "D_ctrl", 2}},
            {},
            {"Kurtosis: of each token over the width of the model, not excess (3 for a normal distribution), mean over "
             "tokens."}};
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        const auto r = curves_over(s.norm_r, s.sets[v]), h = curves_over(s.norm_h, s.sets[v]);
        const auto kr = curves_over(s.kurtosis_r, s.sets[v]), kh = curves_over(s.kurtosis_h, s.sets[v]);
        for (std::size_t k = 0; k < s.layers(); ++k)
            t.add({s.methods[v].name, k, r.large[k], r.ctrl[k], h.large[k], h.ctrl[k], kr.large[k], kr.ctrl[k],
                   kh.large[k], kh.ctrl[k]});
    }
    return t;
}

/// §5.3: do larger inputs of an MLP go with larger errors of its output?
inline table mse_table(finished_study const& s) {
    table t{"mlp_error",
            "Error of the MLP outputs, layer by layer",
            {{"method", "method"},
             {"layer", "layer"},
             {"mean_mse", "mean MSE", 6},
             {"pearson_norm_h", "correlation with norm(x; h)", 3}},
            {},
            {"The paper: above 0.6 in most upper layers (§5.3)."}};
    for (auto const& m : s.methods) {
        const auto rho = mse_correlations(s, m);
        for (std::size_t k = 0; k < s.layers(); ++k) t.add({m.name, k, overall_mean(m.mse.row(k)), rho[k]});
    }
    return t;
}

} // namespace bitlens

// ---- bitlens/page/words.hpp
/// The few lines of a study that matter, in words made from its numbers.

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

inline std::string error_words(finished_study const& s) {
    auto const& methods = s.methods;
    std::vector<std::size_t> order(methods.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto error = [&](std::size_t v) { return overall_mean(methods[v].error); };
    std::ranges::stable_sort(
        order, [&](std::size_t a, std::size_t b) { return error(a) && error(b) && *error(a) < *error(b); });
    std::string text;
    for (const std::size_t v : order)
        text += (text.empty() ? std::string() : std::string(", ")) + methods[v].name + " " + signed_text(error(v), 3) +
                " (perplexity " + signed_text(perplexity(overall_mean(methods[v].nll)), 2) + ")";
    return "Mean error in nats per token, the smallest first: " + text + "; full model: perplexity " +
           signed_text(perplexity(overall_mean(s.nll_full)), 2) + ", " + counted(s.size(), "document") + ".";
}

inline std::string correlation_words(finished_study const& s, std::span<const method_pair> all_pairs) {
    const auto [pairs, same_family] = comparable_pairs(all_pairs);
    const method_pair* strongest = nullptr;
    for (auto const& p : pairs)
        if (p.pearson && (!strongest || *p.pearson > *strongest->pearson)) strongest = &p;
    if (!strongest)
        return "Correlation of errors between methods: not defined, " +
               (pairs.empty() ? "there is one method only" : pairs.front().pearson.reason()) + ".";
    auto const& methods = s.methods;
    std::string text = "Errors of different methods go together most for " + methods[strongest->first].name + " and " +
                       methods[strongest->second].name + ": Pearson " + signed_text(strongest->pearson, 2);
    if (strongest->interval.lo)
        text += " (95 % interval " + signed_text(strongest->interval.lo, 2) + " to " +
                signed_text(strongest->interval.hi, 2) + ")";
    const auto all = column_of(pairs, &method_pair::pearson);
    if (const auto defined = std::ranges::count_if(all, [](measured const& m) { return bool(m); }); defined > 1)
        text += "; mean over " + std::to_string(defined) + " pairs " + signed_text(mean_defined(all), 2);
    return text + (same_family ? std::string(same_family_words) + "." : ". The paper: mean 0.82.");
}

inline std::string overlap_words(std::span<const method_pair> all_pairs) {
    const auto [pairs, same_family] = comparable_pairs(all_pairs);
    const auto mean_overlap = mean_defined(column_of(pairs, &method_pair::overlap));
    if (!mean_overlap)
        return "Overlap of the methods' worst tenths: not defined, " +
               (pairs.empty() ? "there is one method only" : mean_overlap.reason()) + ".";
    return "The methods' worst tenths overlap by " + signed_text(mean_overlap, 2) +
           " (Jaccard) on average; by chance " + signed_text(mean_defined(column_of(pairs, &method_pair::chance)), 2) +
           (same_family ? std::string(same_family_words) + "." : ". The paper: 0.51.");
}

inline std::string last_layer_words(finished_study const& s) {
    std::string text;
    for (auto const& m : s.methods)
        text += (text.empty() ? std::string() : std::string(", ")) + m.name + " " +
                signed_text(correlation(s.norm_r.row(s.layers() - 1), m.error), 2);
    return "Correlation of the last layer's residual magnitude with the error: " + text +
           ". The paper: −0.58 to −0.83 with 3 bits.";
}

inline std::string difference_words(finished_study const& s) {
    if (s.methods.empty() || s.sets.front().large.empty())
        return "Documents with large errors against others: not defined, " + no_tenth().reason + ".";
    auto const& sets = s.sets.front();
    const std::size_t upper = upper_half(s.layers());
    const auto layers = [&](auto const& values, auto const& relation) {
        const auto c = curves_over(values, sets);
        const auto n = count_layers(c.large, c.ctrl, upper, relation);
        return std::to_string(n.holds) + " of the " + std::to_string(n.of);
    };
    const auto less = [](double a, double b) { return a < b; };
    const auto greater = [](double a, double b) { return a > b; };
    return "The " + counted(sets.large.size(), "document") + " with large errors of " + s.methods.front().name +
           ", against as many of the control set: smaller residuals in " + layers(s.norm_r, less) +
           " upper layers, larger MLP inputs in " + layers(s.norm_h, greater) + ", smaller kurtosis in " +
           layers(s.kurtosis_r, less) + ".";
}

} // namespace detail

/// A line for each method that has a loss which is not finite: the documents, each with the first position.
inline std::vector<std::string> gap_lines(finished_study const& s) {
    constexpr std::size_t named = 10;
    std::vector<std::string> lines;
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& gaps = s.gaps[v];
        if (gaps.empty()) continue;
        std::string text;
        for (std::size_t i = 0; i < std::min(named, gaps.size()); ++i)
            text += (text.empty() ? "" : "; ") + s.run.documents.who(gaps[i].row) + " from position " +
                    std::to_string(gaps[i].position + 1) + " on";
        if (gaps.size() > named) text += "; and " + std::to_string(gaps.size() - named) + " more";
        lines.push_back("Under " + s.methods[v].name + " the loss is not finite in " +
                        counted(gaps.size(), "document") + ", which its statistics leave out: " + text + ".");
    }
    return lines;
}

/// Five lines: errors and their ranking, correlation between methods, overlap, correlation with the last layer's
/// magnitudes, and how the documents with large errors differ; before them what gap_lines says.
inline std::vector<std::string> summary_lines(finished_study const& s, std::span<const method_pair> pairs) {
    auto lines = gap_lines(s);
    lines.insert(lines.end(), {detail::error_words(s), detail::correlation_words(s, pairs),
                               detail::overlap_words(pairs), detail::last_layer_words(s), detail::difference_words(s)});
    return lines;
}

} // namespace bitlens

// ---- bitlens/report/table_script.hpp
/// table_script: lets a reader sort the sortable tables of a page by a click on a column's head, and filter their rows;
/// unfolds on paper what is folded on the screen. Without scripts they are tables as any other.

#include <string_view>

namespace bitlens {

/// For all `details`, and the tables of class "sort", whose cells have in data-v the numbers that they are sorted by.
inline page_script table_script() noexcept {
    return {R"(
for (const table of document.querySelectorAll("table.sort")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const value = (row, c) => row.cells[c].dataset.v === undefined ? row.cells[c].textContent.toLowerCase() : +row.cells[c].dataset.v;
  heads.forEach((head, c) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    button.onclick = () => {
      const sign = head.ariaSort === "descending" ? 1 : -1;
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = sign < 0 ? "descending" : "ascending";
      rows.sort((a, b) => { const x = value(a, c), y = value(b, c); return x < y ? -sign : x > y ? sign : 0; });
      body.append(...rows);
    };
    head.replaceChildren(button);
  });
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = filter.ariaLabel = "Show rows with …";
  filter.oninput = () => {
    const wanted = filter.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  };
  table.parentNode.before(filter);
}
const unfolded = [];
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll('details:not([open])')) { folded.open = true; unfolded.push(folded); }
});
addEventListener("afterprint", () => { for (const folded of unfolded.splice(0)) folded.open = false; });
)",
            "mrqRJ05TC6z7e13cEGIXGBEaB40qqPXJbB564pnsMxk="};
}

inline std::string_view table_script_style() noexcept {
    return R"(.sortable{max-height:28rem;overflow-y:auto}
.sortable th{position:sticky;top:0;background:var(--paper)}
.sortable td:not(.n){overflow-wrap:anywhere}
.sortable td:not(.n),.sortable th:not(.n){padding-left:.75rem}
table.sort th button{all:unset;cursor:pointer;color:var(--accent)}
table.sort th button:focus-visible{outline:2px solid var(--accent)}
table.sort th[aria-sort=descending] button::after{content:" ↓"}
table.sort th[aria-sort=ascending] button::after{content:" ↑"}
input[type=search]{font:inherit;font-size:.875rem;color:inherit;background:var(--shade);border:1px solid var(--line);padding:.3rem .6rem}
@media print{input[type=search]{display:none}.sortable{max-height:none}}
)";
}

} // namespace bitlens

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// What a program says when the report is written.
struct report_summary {
    std::vector<std::string> lines;      // the five that matter
    std::filesystem::path page;          // report.html
    std::vector<std::string> unfinished; // methods that the page does not know yet
};

inline std::ostream& operator<<(std::ostream& out, report_summary const& summary) {
    for (auto const& line : summary.lines) out << line << '\n';
    return out;
}

namespace detail {

/// Everything that the page and summary.json show.
struct report_content {
    std::vector<std::string> lines;
    table claims, methods, method_correlation, kl_correlation, error_sets, overlap, last_layer, layer_correlation,
        set_means, mse;
    std::vector<set_figures> sets; // one per method
    figure correlation_r, correlation_z_h, mlp_error, errors;
    std::optional<table> float32; // of a run in another arithmetic
};

inline report_content make_content(finished_study const& s, std::optional<table> float32) {
    const auto pairs = method_pairs(s);
    report_content c{summary_lines(s, pairs),
                     claims_table(s, pairs),
                     method_table(s),
                     method_correlation_table(s, pairs),
                     kl_correlation_table(s),
                     error_sets_table(s),
                     overlap_table(s, pairs),
                     last_layer_table(s),
                     layer_correlation_table(s),
                     set_means_table(s),
                     mse_table(s),
                     {},
                     correlation_r_figure(s),
                     correlation_z_h_figure(s),
                     mse_figure(s),
                     error_figure(s),
                     std::move(float32)};
    for (std::size_t v = 0; v < s.methods.size(); ++v) c.sets.push_back(figures_of_sets(s, v));
    return c;
}

inline std::vector<table const*> tables_of(report_content const& c) {
    std::vector<table const*> all{&c.claims,  &c.methods,    &c.method_correlation, &c.kl_correlation, &c.error_sets,
                                  &c.overlap, &c.last_layer, &c.layer_correlation,  &c.set_means,      &c.mse};
    if (c.float32) all.push_back(&*c.float32);
    return all;
}

inline std::vector<figure const*> figures_of(report_content const& c) {
    std::vector<figure const*> all{&c.correlation_r, &c.correlation_z_h, &c.mlp_error, &c.errors};
    for (auto const& f : c.sets) all.insert(all.end(), {&f.curves, &f.density_r, &f.density_h, &f.kurtosis});
    return all;
}

inline ordered_json summary_json(report_content const& c) {
    ordered_json tables = ordered_json::object(), reported = ordered_json::object();
    for (table const* t : tables_of(c)) tables[t->name] = to_json(*t);
    for (table const& t : {published::perplexity_table(), published::method_correlation_table(),
                           published::error_sets_table(), published::last_layer_table()})
        reported[t.name] = to_json(t);
    return {{"summary", c.lines}, {"tables", std::move(tables)}, {"published", std::move(reported)}};
}

/// Charts, a caption, and links to the data files of the figures that they are of.
inline std::string figure_html(std::span<const chart> charts, std::size_t per_row, std::string_view caption,
                               std::initializer_list<std::string_view> data) {
    if (charts.empty()) return {};
    std::string out = "<figure>\n<div class=\"scroll\">" + to_svg(charts, per_row, svg_use::inside_page) +
                      "</div><figcaption>" + html_escape(caption) + " Data: ";
    std::string_view separator;
    for (const auto name : data) {
        const std::string path = "figures/" + std::string(name) + ".csv";
        out += std::string(separator) + "<a href=\"" + path + "\">" + path + "</a>";
        separator = ", ";
    }
    return out + "</figcaption>\n</figure>\n";
}

inline std::string figure_html(figure const& f) { return figure_html(f.charts, f.per_row, f.caption, {f.name}); }

inline std::string folded(std::string_view title, std::string const& body) {
    return "<details><summary>" + html_escape(title) + "</summary>\n" + body + "</details>\n";
}

inline std::string section(std::string_view id, std::string_view title) {
    return "<h2 id=\"" + std::string(id) + "\">" + html_escape(title) + "</h2>\n";
}

inline std::string paragraph(std::string_view text) { return "<p>" + html_escape(text) + "</p>\n"; }

/// Any JSON as nested lists of names and values.
inline std::string json_html(json const& value) {
    if (value.is_string()) return html_escape(value.get_ref<std::string const&>());
    if (!value.is_structured()) return html_escape(value.dump());
    std::string out = "<dl>";
    std::size_t index = 0;
    for (auto const& [key, inner] : value.items())
        out += "<dt>" + (value.is_object() ? html_escape(key) : std::to_string(++index)) + "</dt><dd>" +
               json_html(inner) + "</dd>";
    return out + "</dl>\n";
}

/// The sets of one method: figure 1 with the last layer's densities, figures 6 and 7.
inline std::string method_figures_html(set_figures const& figures) {
    std::string out = figure_html(figures.curves);
    std::vector<chart> last;
    last.push_back(figures.density_r.charts.back());
    last.push_back(figures.density_h.charts.back());
    out += figure_html(last, 2, "Magnitudes at the last layer, before the norm (left) and after it (right).",
                       {figures.density_r.name, figures.density_h.name});
    out += folded("The last ten layers before the norm", figure_html(figures.density_r));
    out += folded("The last ten layers after the norm", figure_html(figures.density_h));
    return out + figure_html(figures.kurtosis);
}

inline std::string example_anchor(finished_study const& s, std::size_t row) {
    return "document-" + std::to_string(s.run.documents.rows[row]);
}

inline std::string example_header(finished_study const& s, std::size_t row) {
    auto const& d = s.run.documents;
    std::string out = "<h4 id=\"" + example_anchor(s, row) + "\">Document " + std::to_string(d.rows[row]);
    if (!d.names[row].empty()) out += " · <bdi>" + html_escape(d.names[row]) + "</bdi>";
    if (!d.topics[row].empty()) out += " · <bdi>" + html_escape(d.topics[row]) + "</bdi>";
    out += "</h4>\n<p class=\"note\">Full model: " + fixed_text(s.nll_full[row], 3) + " nats per token. Errors: ";
    for (std::size_t v = 0; v < s.methods.size(); ++v)
        out += (v == 0 ? "" : ", ") + html_escape(s.methods[v].name) + " " +
               signed_text(number_or_gap(s.methods[v].error[row]), 3);
    return out + ".</p>\n";
}

/// Rows to show: the worst by the first method, and ordinary ones, whose error is nearest to the median.
struct shown_examples {
    std::vector<std::size_t> worst, ordinary;
};

inline shown_examples choose_examples(finished_study const& s) {
    constexpr std::size_t worst = 10, ordinary = 5;
    auto const& error = s.methods.front().error;
    auto ranked = rank_by_error(error);
    auto const& large = s.sets.front().large; // without near-duplicates
    shown_examples shown;
    std::span<const std::size_t> from = large.empty() ? std::span<const std::size_t>(ranked) : large;
    shown.worst.assign(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(std::min(worst, from.size())));
    const double median = ranked.empty() ? 0 : error[ranked[ranked.size() / 2]];
    std::ranges::stable_sort(ranked, {}, [&](std::size_t i) { return std::abs(error[i] - median); });
    for (const std::size_t i : ranked)
        if (shown.ordinary.size() < ordinary && std::ranges::find(shown.worst, i) == shown.worst.end())
            shown.ordinary.push_back(i);
    return shown;
}

inline std::string examples_html(finished_study const& s) {
    auto const& method = s.methods.front().name;
    const auto shown = choose_examples(s);
    html_use sortable{true, std::vector<std::string>(s.size())};
    for (auto const& rows : {shown.worst, shown.ordinary})
        for (const std::size_t row : rows) sortable.targets[row] = example_anchor(s, row);
    std::string out = to_html(documents_table(s), sortable) + "<div class=\"documents\">\n" +
                      paragraph("Each token by its own numbers under " + method + ". The first token is not scored.") +
                      example_switch();
    const auto show = [&](std::string_view title, std::span<const std::size_t> rows) {
        if (rows.empty()) return;
        out += "<div>\n<h3>" + html_escape(title) + "</h3>\n";
        for (const std::size_t row : rows) out += example_header(s, row) + example_html(s.run, row, method);
        out += "</div>\n";
    };
    show("The documents with the largest errors, without near-duplicates", shown.worst);
    show("Ordinary documents, whose errors are nearest to the median", shown.ordinary);
    return out + "</div>\n";
}

inline std::string page_html(finished_study const& s, report_content const& c) {
    std::string body = "<h1>Which documents did quantization break?</h1>\n<p class=\"soft\">" +
                       counted(s.size(), "document") + ", " + counted(s.layers(), "layer") + ", " +
                       counted(s.methods.size(), "method") + ", made by bitlens after arXiv 2506.12044.</p>\n";
    body += "<div class=\"summary\"><ul>\n";
    for (auto const& line : c.lines) body += "<li>" + html_escape(line) + "</li>\n";
    body += "</ul></div>\n";
    body += paragraph("“Full” means the checkpoint as it is stored (" + s.full +
                      "), which may itself be quantized already, as a Q4_1 file is. Errors are measured against it.");
    body += paragraph(s.first_position
                          ? "Norms, kurtosis and MSE count the first position too, which the paper leaves out of the "
                            "norms (eq. 7)."
                          : "Norms are means over all positions but the first, as in the paper (eq. 7). So are "
                            "kurtosis and MSE, by our choice: the paper does not say.");
    body +=
        "<nav><a href=\"#claims\">Findings</a><a href=\"#methods\">Methods</a><a href=\"#same\">Same documents?</a><a "
        "href=\"#sets\">Large errors</a><a href=\"#magnitudes\">Magnitudes</a><a href=\"#mlp\">MLP errors</a><a "
        "href=\"#examples\">Documents</a><a href=\"#manifest\">Manifest</a></nav>\n";

    body += section("claims", "Beside the paper's findings") + to_html(c.claims);
    body += section("methods", "How much does each method lose?") + to_html(c.methods) + to_html(c.kl_correlation) +
            (c.float32 ? to_html(*c.float32) : "") +
            folded("Perplexities that the paper reports", to_html(published::perplexity_table()));
    body += section("same", "Do methods fail on the same documents?") + to_html(c.method_correlation) +
            figure_html(c.errors) + to_html(c.overlap) +
            folded("Correlations that the paper reports", to_html(published::method_correlation_table()));

    body += section("sets", "What sets documents with large errors apart?") + to_html(c.error_sets) +
            folded("What the paper reports of these sets", to_html(published::error_sets_table()));
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        const std::string figures = method_figures_html(c.sets[v]);
        body += v == 0 ? figures : folded("The same figures for the sets of " + s.methods[v].name, figures);
    }
    body += folded("All layers as a table", to_html(c.set_means));

    body += section("magnitudes", "Do magnitudes foretell errors?") + figure_html(c.correlation_r) +
            to_html(c.last_layer) +
            folded("Correlations that the paper reports", to_html(published::last_layer_table())) +
            figure_html(c.correlation_z_h) + folded("All layers as a table", to_html(c.layer_correlation));
    body += section("mlp", "Do larger inputs get larger errors?") + figure_html(c.mlp_error) +
            folded("All layers as a table", to_html(c.mse));

    body += section("examples", "Documents");
    if (!s.methods.empty()) body += examples_html(s);
    body +=
        section("manifest", "How this was made") + json_html(to_json(s.run.manifest)) +
        "<p class=\"note\">All tables as numbers: <a href=\"summary.json\">summary.json</a>. One row per document: <a "
        "href=\"examples.csv\">examples.csv</a>.</p>\n";
    return html_page("bitlens: which documents did quantization break?",
                     std::string(svg_style()) + std::string(example_style()) + std::string(table_script_style()), body,
                     table_script());
}

} // namespace detail

/// Says before a study that its report could not be written.   Errors: io_error.
inline void expect_report_writable(std::filesystem::path const& run_folder) {
    for (const char* name : {"summary.json", "report.html"}) expect_writable(run_folder / name);
    const auto figures = run_folder / "figures";
    std::error_code code;
    if (!std::filesystem::exists(std::filesystem::symlink_status(figures, code))) return;
    const std::filesystem::directory_iterator entries(figures, code);
    if (code) throw io_error(figures.string() + ": a folder is expected: " + code.message());
    expect_writable(figures / "figure.svg");
    for (auto const& entry : entries)
        if (const auto kind = entry.path().extension(); kind == ".svg" || kind == ".csv") expect_writable(entry.path());
}

/// Writes summary.json, figures/*.svg with figures/*.csv, and report.html into `folder`, where float32.csv of the run
/// may be. Equal runs give equal bytes.   Errors: io_error; format_error for a float32.csv of another run.
inline report_summary write_report(std::filesystem::path const& folder, finished_study const& s) {
    expect_report_writable(folder);
    const auto content = detail::make_content(s, float32_table(folder, s));
    const auto figures = folder / "figures";
    std::error_code code;
    std::filesystem::create_directories(figures, code);
    if (code) throw io_error(figures.string() + ": cannot be created: " + code.message());
    for (figure const* f : detail::figures_of(content)) write_figure(figures, *f);
    write_file_atomically(folder / "summary.json", detail::summary_json(content).dump(2) + "\n");
    write_file_atomically(folder / "report.html", detail::page_html(s, content));
    return {content.lines, folder / "report.html", s.run.unfinished};
}

/// The same of a run that is read from its folder.   Errors: also those of read_run and make_study.
inline report_summary write_report(std::filesystem::path const& folder) {
    return write_report(folder, make_study(read_run(folder)));
}

} // namespace bitlens

// ---- bitlens/version.hpp
/// The version of the library; CMakeLists.txt reads it here.

#include <string_view>

namespace bitlens {

inline constexpr std::string_view version = "0.1.0";

} // namespace bitlens
