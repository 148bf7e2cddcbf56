#pragma once
/// calibration_preset: how the texts of a file become the documents that a method looks at.

#include <cstddef>
#include <string_view>

namespace bitlens {

/// How the texts of a file become documents. Tokens are counted with the one that a text begins with.
struct calibration_preset {
    std::string_view name;
    std::size_t texts;     // at most
    bool counts_kept;      // whether so many are kept, or looked at
    bool strips_space;     // of both ends of a text
    std::size_t fewest;    // tokens of a text; those of fewer are left out
    std::size_t most;      // tokens of a text
    bool cuts_longer;      // texts of more tokens; else they are left out
    std::size_t block = 0; // tokens: texts are joined and cut in blocks, the rest is dropped; 0: each is a document

    bool operator==(calibration_preset const&) const = default;
};

/// The first 1024 texts, each a document. Source: GPTQModel's recipe and the paper's; quantization.md §3.2 restates it.
/// It sorts documents by length to pad batches less; a Hessian is a sum over tokens, and here none is padded.
inline constexpr calibration_preset gptq_calibration{.name = "gptq",
                                                     .texts = 1024,
                                                     .counts_kept = false,
                                                     .strips_space = false,
                                                     .fewest = 11,
                                                     .most = 2048,
                                                     .cuts_longer = true};

/// The first 128 short texts, joined and cut in blocks of 512.   Source: llm-awq's calib_data.py.
inline constexpr calibration_preset awq_calibration{.name = "awq",
                                                    .texts = 128,
                                                    .counts_kept = true,
                                                    .strips_space = true,
                                                    .fewest = 1,
                                                    .most = 512,
                                                    .cuts_longer = false,
                                                    .block = 512};

} // namespace bitlens
