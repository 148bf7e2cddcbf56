#pragma once
/// Fuzz functions: each gives bytes to one parser the way a user would, and uses all that the parser makes of them.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace bitlens::fuzz {

using input = std::span<const std::uint8_t>;

/// What takes long and hangs little on the bytes, the report of a run, is made for one taken input in this many, chosen
/// by their checksum. Fuzzers raise it.
inline std::uint32_t long_for_one_in = 1;

/// Errors: bitlens::error for what the library refuses. Anything else that is thrown is a bug of the library, or
/// (std::logic_error) a property that does not hold.
void gguf(input);
void gguf_parts(input);
void gguf_blocks(input);
void safetensors(input);
void safetensors_index(input);
void config(input);
void quantization(input);
void module_pattern(input);
void stored_gptq(input);
void stored_awq(input);
void stored_auto_round(input);
void stored_efficient_qat(input);
void stored_bitsandbytes(input);
void stored_flute(input);
void stored_compressed(input);
void stored_float4(input);
void stored_byte_codes(input);
void stored_mlx(input);
void tokenizer_json(input);
void tokenizer_config(input);
void tokenizer_gguf(input);
void tokenizer_sentencepiece(input);
void tokenizer_tiktoken(input);
void tokenizer_tekken(input);
void tokenizer_merges(input);
void tokenizer_added(input);
void npy(input);
void npz(input);
void documents(input);
void choices(input);
void questions(input);
void text(input);
void methods(input);
void overrides(input);
void quantized_manifest(input);
void quantized_layer(input);
void published_awq(input);
void run_manifest(input);
void run_examples(input);
void run_float32(input);
void run_locate(input);
void run_locate_manifest(input);
void run_tokens(input);
void run_part(input);
void run_questions(input);
void run_questions_manifest(input);
void run_questions_tokens(input);

/// A function and its corpus, corpus/<name>/.
struct target {
    std::string_view name, title;
    void (*run)(input);
    std::size_t expansion; // most bytes of memory for each byte of the input
    bool makes_json;       // trees, whose destructors allocate, so that the want of memory may end the program there
};

/// JSON takes 80 bytes for "{},"; deflate reaches 1032 bytes for one.
inline constexpr std::array<target, 47> targets{{
    {"gguf", "A GGUF file as a model", gguf, 40, false},
    {"gguf_parts", "A GGUF model in several files", gguf_parts, 100, false},
    {"gguf_blocks", "Blocks of a GGUF tensor", gguf_blocks, 100, false},
    {"safetensors", "`model.safetensors` of a Hugging Face folder", safetensors, 100, true},
    {"safetensors_index", "`model.safetensors.index.json`", safetensors_index, 100, true},
    {"config", "`config.json`", config, 100, true},
    {"quantization", "What `config.json` says of quantized weights", quantization, 400, true},
    {"module_pattern", "A pattern of names of layers", module_pattern, 1000, false},
    {"stored_gptq", "A layer of GPTQ", stored_gptq, 400, true},
    {"stored_awq", "A layer of AWQ", stored_awq, 400, true},
    {"stored_auto_round", "A layer of AutoRound", stored_auto_round, 400, true},
    {"stored_efficient_qat", "A layer of EfficientQAT", stored_efficient_qat, 400, true},
    {"stored_bitsandbytes", "A layer of bitsandbytes", stored_bitsandbytes, 400, true},
    {"stored_flute", "A layer of FLUTE", stored_flute, 400, true},
    {"stored_compressed", "A layer of compressed-tensors in words", stored_compressed, 400, true},
    {"stored_float4", "A layer of floats of 4 bits", stored_float4, 400, true},
    {"stored_byte_codes", "A layer of codes of 8 bits", stored_byte_codes, 400, true},
    {"stored_mlx", "A layer of MLX", stored_mlx, 400, true},
    {"tokenizer_json", "`tokenizer.json`", tokenizer_json, 100, true},
    {"tokenizer_config", "`tokenizer_config.json`", tokenizer_config, 100, true},
    {"tokenizer_gguf", "The tokenizer in a GGUF file", tokenizer_gguf, 100, false},
    {"tokenizer_sentencepiece", "`tokenizer.model` of SentencePiece", tokenizer_sentencepiece, 100, false},
    {"tokenizer_tiktoken", "`tokenizer.model` of tiktoken", tokenizer_tiktoken, 200, false},
    {"tokenizer_tekken", "`tekken.json`", tokenizer_tekken, 200, true},
    {"tokenizer_merges", "`merges.txt`", tokenizer_merges, 100, true},
    {"tokenizer_added", "`tokenizer_config.json` beside a `tokenizer.model`", tokenizer_added, 100, true},
    {"npy", "An NPY file", npy, 40, false},
    {"npz", "An NPZ file", npz, 4 * 1032, false},
    {"documents", "A file of documents", documents, 16 * 1032, true},
    {"choices", "A file of questions of several choices", choices, 40 * 1032, true},
    {"questions", "A file of questions", questions, 40 * 1032, true},
    {"text", "A text", text, 200, false},
    {"methods", "A list of methods", methods, 200, false},
    {"overrides", "A file of overrides", overrides, 100, true},
    {"quantized_manifest", "`manifest.json` of a quantized model", quantized_manifest, 100, true},
    {"quantized_layer", "A layer of a quantized model", quantized_layer, 100, true},
    {"published_awq", "Scales and clips that llm-awq found", published_awq, 4 * 1032, false},
    {"run_manifest", "`manifest.json` of a run", run_manifest, 100, true},
    {"run_examples", "`examples.csv` of a run", run_examples, 100, true},
    {"run_float32", "`float32.csv` of a run", run_float32, 100, true},
    {"run_locate", "`locate.csv` of a run", run_locate, 100, true},
    {"run_locate_manifest", "`locate/manifest.json` of a run", run_locate_manifest, 100, true},
    {"run_tokens", "`tokens.npz` of a run", run_tokens, 4 * 1032, true},
    {"run_part", "A finished block of a run", run_part, 4 * 1032, true},
    {"run_questions", "`examples.csv` of a run of questions", run_questions, 100, true},
    {"run_questions_manifest", "`manifest.json` of a run of questions", run_questions_manifest, 100, true},
    {"run_questions_tokens", "`tokens.npz` of a run of questions", run_questions_tokens, 4 * 1032, true},
}};

} // namespace bitlens::fuzz
