#pragma once
/// Progress on standard error: one line that renews itself on a terminal, plain lines otherwise.

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <unistd.h>

namespace bitlens::command {

/// "1 h 02 min", "3 min 20 s", "8 s".
inline std::string duration_text(double seconds) {
    const auto s = static_cast<long>(seconds + 0.5);
    char text[32];
    if (s >= 3600)
        std::snprintf(text, sizeof text, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        std::snprintf(text, sizeof text, "%ld min %02ld s", s / 60, s % 60);
    else
        std::snprintf(text, sizeof text, "%ld s", s);
    return text;
}

class progress {
public:
    /// `total` steps, each of `tokens` tokens.
    progress(std::size_t total, std::size_t tokens) : total_(total), tokens_(tokens) {}
    ~progress() {
        if (terminal_ && done_ > 0) std::fputc('\n', stderr);
    }
    progress(progress const&) = delete;
    progress& operator=(progress const&) = delete;

    void advance(std::size_t steps) {
        done_ += steps;
        const auto now = clock::now();
        if (!terminal_ && done_ < total_ && now - shown_ < std::chrono::seconds(10)) return;
        shown_ = now;
        const double seconds = std::chrono::duration<double>(now - start_).count();
        const double rate = static_cast<double>(done_) / seconds; // steps a second
        const double left = static_cast<double>(total_ - done_) / rate;
        std::fprintf(stderr, "%s%5.1f %%  %zu of %zu model runs  %.0f tokens/s  %s left  %s", terminal_ ? "\r" : "",
                     100.0 * static_cast<double>(done_) / static_cast<double>(total_), done_, total_,
                     rate * static_cast<double>(tokens_), duration_text(left).c_str(), terminal_ ? "   " : "\n");
        std::fflush(stderr);
    }
    double seconds() const { return std::chrono::duration<double>(clock::now() - start_).count(); }

private:
    using clock = std::chrono::steady_clock;
    std::size_t total_, tokens_, done_ = 0;
    bool terminal_ = ::isatty(STDERR_FILENO) == 1;
    clock::time_point start_ = clock::now(), shown_ = start_;
};

} // namespace bitlens::command
