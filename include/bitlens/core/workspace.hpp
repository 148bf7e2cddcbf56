#pragma once
/// workspace: memory that the owner of a run lends to the kernels it calls, so that none of them allocates.

#include "bitlens/core/arithmetic.hpp"
#include "bitlens/core/view.hpp"

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
