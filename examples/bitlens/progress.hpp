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

/// Counts layers, and shows how many times a whole model ran over a document.
class progress {
public:
    /// `layers` to run in all, of a model of `layers_of_model`, over documents of `tokens` tokens.
    progress(std::size_t layers, std::size_t layers_of_model, std::size_t tokens)
        : total_(layers), layers_of_model_(layers_of_model), tokens_(tokens) {}
    ~progress() {
        if (terminal_ && done_ > 0) std::fputc('\n', stderr);
    }
    progress(progress const&) = delete;
    progress& operator=(progress const&) = delete;

    void advance(std::size_t layers) {
        done_ += layers;
        const auto now = clock::now();
        if (!terminal_ && done_ < total_ && now - shown_ < std::chrono::seconds(10)) return;
        shown_ = now;
        const double rate = static_cast<double>(done_) / seconds(); // layers a second
        const double left = static_cast<double>(total_ - done_) / rate;
        std::fprintf(stderr, "%s%5.1f %%  %zu of %zu model runs  %.0f tokens/s  %s left  %s", terminal_ ? "\r" : "",
                     100.0 * static_cast<double>(done_) / static_cast<double>(total_), done_ / layers_of_model_,
                     (total_ + layers_of_model_ - 1) / layers_of_model_,
                     rate / static_cast<double>(layers_of_model_) * static_cast<double>(tokens_),
                     duration_text(left).c_str(), terminal_ ? "   " : "\n");
        std::fflush(stderr);
    }
    double seconds() const { return std::chrono::duration<double>(clock::now() - start_).count(); }

private:
    using clock = std::chrono::steady_clock;
    std::size_t total_, layers_of_model_, tokens_, done_ = 0;
    bool terminal_ = ::isatty(STDERR_FILENO) == 1;
    clock::time_point start_ = clock::now(), shown_ = start_;
};

} // namespace bitlens::command
