#pragma once
/// What the keys of configurations mean, beside those that a family has for itself (model_family::config_keys).
/// Source: PretrainedConfig, GenerationConfig and the configurations of the families in transformers 4.31, 4.40, 4.46,
/// 4.57 and 5.24; ggml's docs/gguf.md and the constants of gguf 0.19.

#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/models/model_family.hpp"

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

/// Keys that the reader understands for every family, whatever their value.
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
    "original_max_position_embeddings",
    "quantization",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "sparseml_quantization_config",
    "tie_word_embeddings",
    "vocab_size",
});

/// Where no family says that it reads them.
inline constexpr auto neutral_config_keys = std::to_array<neutral_key>({
    {"alibi", neutral::off},
    {"attention_bias", neutral::off},
    {"attention_chunk_size", neutral::off},
    {"attn_logit_softcapping", neutral::off},
    {"bias", neutral::off},
    {"clip_qkv", neutral::off},
    {"embedding_multiplier", neutral::one},
    {"final_logit_softcapping", neutral::off},
    {"full_attn_mod", neutral::one},
    {"interpolate_factor", neutral::one},
    {"is_causal", neutral::on},
    {"llama_4_scaling_beta", neutral::off},
    {"lm_head_bias", neutral::off},
    {"logit_scale", neutral::one},
    {"logits_scaling", neutral::one},
    {"mlp_bias", neutral::off},
    {"mlp_only_layers", neutral::off},
    {"n_routed_experts", neutral::off},
    {"n_shared_experts", neutral::off},
    {"no_rope_layers", neutral::off},
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

/// Whether a reader of the family's configurations understands the key, at whatever value.
/// unsloth writes more of its own from one version to the next.
inline bool is_known_config_key(model_family const& family, std::string_view key) {
    return family.reads(key) || key.starts_with("unsloth_") || contains(harmless_config_keys, key) ||
           contains(read_config_keys, key) || find(neutral_config_keys, key) != nullptr;
}

inline bool is_neutral(json const& value, neutral values) {
    if (auto const* const flag = value.get_ptr<bool const*>()) return is_neutral(*flag ? 1.0 : 0.0, values);
    if (value.is_number()) return is_neutral(value.get<double>(), values);
    auto const* const text = value.get_ptr<std::string const*>();
    return values == neutral::off && (text ? text->empty() : value.empty());
}

/// Values of hidden_act and hidden_activation that mean the function. "gelu" is another one.
inline constexpr std::array<std::string_view, 2> silu_names{"silu", "swish"};
inline constexpr std::array<std::string_view, 1> gelu_tanh_names{"gelu_pytorch_tanh"};
constexpr std::span<const std::string_view> config_names_of(activation a) noexcept {
    if (a == activation::silu) return silu_names;
    return gelu_tanh_names;
}

// Families that are none here

/// What stands in the way of those that are often asked for, by the beginning of their model_type or
/// general.architecture without "_" and "-".
struct foreign_family {
    std::string_view begins, reason;
};
inline constexpr std::string_view of_experts = "is a mixture of experts";
inline constexpr auto foreign_families = std::to_array<foreign_family>({
    {"dbrx", of_experts},
    {"deepseek", of_experts},
    {"ernie45moe", of_experts},
    {"glm4moe", of_experts},
    {"gptoss", of_experts},
    {"granitemoe", of_experts},
    {"grok", of_experts},
    {"jamba", of_experts},
    {"llama4", of_experts},
    {"minimax", of_experts},
    {"mistral4", of_experts},
    {"mixtral", of_experts},
    {"olmoe", of_experts},
    {"phimoe", of_experts},
    {"qwen2moe", of_experts},
    {"qwen3moe", of_experts},
    {"qwen3next", of_experts},
});

/// Keys, in config.json, of models that choose among several MLPs for each token.
inline constexpr auto keys_of_experts = std::to_array<std::string_view>({
    "expert_num",
    "moe_intermediate_size",
    "moe_num_experts",
    "n_routed_experts",
    "num_experts",
    "num_experts_per_tok",
    "num_experts_per_token",
    "num_local_experts",
    "num_moe_experts",
});

// GGUF, below "<architecture>."

/// Keys that the reader understands, whatever their value.
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
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
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

inline std::string number_text(double x) {
    std::array<char, 32> digits;
    return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), x).ptr};
}

/// As found_text of JSON.
inline std::string found_text(gguf_file const& file, gguf_value const& value) {
    if (value.type == gguf_type::array) return "an array";
    if (value.type == gguf_type::string) return in_quotes(file.required<std::string_view>(value.key));
    const double x = number_of(file, value).value_or(0);
    if (value.type == gguf_type::boolean) return x == 1 ? "true" : "false";
    return number_text(x);
}

} // namespace bitlens::detail
