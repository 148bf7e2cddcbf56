#pragma once
/// The families of models, one type each, saying what differs between them.

#include "bitlens/core/error.hpp"
#include "bitlens/report/visible_text.hpp"

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
