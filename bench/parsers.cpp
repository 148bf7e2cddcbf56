/// Time and memory of every parser of outside bytes on inputs that grow: both should be in proportion to the input.
///
///     bench_parsers [WORD]    only inputs with WORD in "target: name"; prints a line of CSV for each size
///
/// The parsers are those of the fuzz functions, which also use what they get (tests/fuzz/targets.hpp). Bytes are those
/// of the input, unpacked where it is gzip; seconds those of the processor; memory what is held from operator new.

#include "../tests/fuzz/allocations.hpp"
#include "../tests/fuzz/targets.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/io/byte_cursor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <zlib.h>

namespace {

namespace fuzz = bitlens::fuzz;

/// piece(0), piece(1) … joined by `separator` until `size` bytes are reached.
template <class Piece>
std::string repeat(std::size_t size, std::string_view separator, Piece const& piece) {
    std::string all;
    for (std::size_t i = 0; all.size() < size; ++i) all.append(i == 0 ? "" : separator).append(piece(i));
    return all;
}
std::string repeat(std::size_t size, std::string_view piece) {
    return repeat(size, "", [&](std::size_t) { return piece; });
}

template <class T>
std::string le(T number) {
    return {reinterpret_cast<char const*>(&number), sizeof number};
}

/// The `i`-th word over a … z, shorter ones first: so every suffix of a word is an earlier one.
std::string word(std::size_t i) {
    std::string letters;
    for (++i; i > 0; i = (i - 1) / 26) letters.insert(letters.begin(), static_cast<char>('a' + (i - 1) % 26));
    return letters;
}

std::string gzip(std::string const& bytes) {
    z_stream stream{};
    std::string packed(bytes.size() + bytes.size() / 100 + 1000, '\0');
    if (deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    return packed;
}

// ---- GGUF

constexpr std::uint32_t u8 = 0, u32 = 4, i32 = 5, f32 = 6, text = 8, array = 9;

std::string g_text(std::string_view s) { return le(std::uint64_t{s.size()}).append(s); }
std::string g_key(std::string_view key, std::uint32_t type, std::string const& value) {
    return g_text(key) + le(type) + value;
}
std::string g_array(std::string_view key, std::uint32_t type, std::size_t count, std::string const& elements) {
    return g_key(key, array, le(type) + le(std::uint64_t{count}) + elements);
}
std::string g_file(std::size_t keys, std::string const& metadata, std::size_t tensors = 0,
                   std::string_view infos = {}) {
    std::string file = "GGUF" + le(std::uint32_t{3}) + le(std::uint64_t{tensors}) + le(std::uint64_t{keys}) + metadata;
    file.append(infos);
    return file.append((32 - file.size() % 32) % 32, '\0');
}
template <class Piece>
std::pair<std::size_t, std::string> counted(std::size_t size, Piece const& piece) {
    std::size_t count = 0;
    std::string all = repeat(size, "", [&](std::size_t i) {
        ++count;
        return piece(i);
    });
    return {count, std::move(all)};
}

std::string gguf_keys(std::size_t size) {
    const auto [count, keys] =
        counted(size, [](std::size_t i) { return g_key("k" + std::to_string(i), u8, std::string(1, '\1')); });
    return g_file(count, keys);
}
std::string gguf_strings(std::size_t size) {
    const auto [count, strings] = counted(size, [](std::size_t) { return g_text(""); });
    return g_file(1, g_array("a", text, count, strings));
}
/// Tensors that the model does not have, behind a configuration that is in order.
std::string gguf_tensors(std::size_t size) {
    const auto number = [](char const* key, std::uint32_t n) { return g_key(std::string("llama.") + key, u32, le(n)); };
    const std::string metadata =
        g_key("general.architecture", text, g_text("llama")) + number("block_count", 1) + number("context_length", 16) +
        number("embedding_length", 4) + number("feed_forward_length", 4) + number("attention.head_count", 2) +
        number("attention.head_count_kv", 1) + g_key("llama.attention.layer_norm_rms_epsilon", f32, le(1e-5f)) +
        g_key("llama.rope.freq_base", f32, le(1e4f));
    const auto [count, infos] = counted(size, [](std::size_t i) {
        return g_text("t" + std::to_string(i)) + le(std::uint32_t{1}) + le(std::uint64_t{0}) + le(std::uint32_t{0}) +
               le(std::uint64_t{0});
    });
    return g_file(9, metadata, count, infos);
}
std::string gguf_vocabulary(std::size_t size) {
    std::string tokens, types, merges;
    std::size_t count = 0, merge_count = 0;
    for (; tokens.size() + types.size() + merges.size() < size; ++count) {
        const std::string w = word(count);
        tokens += g_text(w);
        types += le(std::int32_t{1});
        if (w.size() < 2) continue;
        merges += g_text(w.substr(0, 1) + " " + w.substr(1));
        ++merge_count;
    }
    return g_file(5, g_key("tokenizer.ggml.model", text, g_text("gpt2")) +
                         g_key("tokenizer.ggml.pre", text, g_text("qwen2")) +
                         g_array("tokenizer.ggml.tokens", text, count, tokens) +
                         g_array("tokenizer.ggml.token_type", i32, count, types) +
                         g_array("tokenizer.ggml.merges", text, merge_count, merges));
}

// ---- JSON

std::string with_header(std::string const& header) { return le(std::uint64_t{header.size()}) + header; }

std::string tokenizer_file(std::string const& vocabulary, std::string const& merges, std::string const& added) {
    return R"({"added_tokens":[)" + added +
           R"(],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},)"
           R"("model":{"type":"BPE","vocab":{)" +
           vocabulary + "},\"merges\":[" + merges + "]}}";
}
std::string json_vocabulary(std::size_t size) {
    std::string vocabulary, merges;
    for (std::size_t i = 0; vocabulary.size() + merges.size() < size; ++i) {
        const std::string w = word(i);
        vocabulary += (i == 0 ? "\"" : ",\"") + w + "\":" + std::to_string(i);
        if (w.size() > 1) merges += (merges.empty() ? "\"" : ",\"") + w.substr(0, 1) + " " + w.substr(1) + "\"";
    }
    return tokenizer_file(vocabulary, merges, "");
}
std::string json_added_tokens(std::size_t size) {
    return tokenizer_file(R"("a":0)", "", repeat(size, ",", [](std::size_t i) {
                              return R"({"id":)" + std::to_string(i + 1) + R"(,"content":"<)" + std::to_string(i) +
                                     R"(>","special":true})";
                          }));
}
std::string object_of(std::size_t size) {
    return "{" + repeat(size, ",", [](std::size_t i) { return "\"" + std::to_string(i) + "\":0"; }) + "}";
}
std::string objects(std::size_t size) { return R"({"text":"","x":[)" + repeat(size, "{},") + "{}]}"; }

// ---- The rest

std::string npy(std::size_t size, bool fortran, std::size_t rank) {
    std::string shape = std::to_string(size);
    for (std::size_t k = 1; k < rank; ++k) shape += ", 1";
    std::string header = std::string("{'descr': '|u1', 'fortran_order': ") + (fortran ? "True" : "False") +
                         ", 'shape': (" + shape + ",), }\n";
    return std::string("\x93NUMPY\x01\x00", 8) + le(static_cast<std::uint16_t>(header.size())) + header +
           std::string(size, '\1');
}
std::string npz(std::size_t size) {
    const std::string one = npy(1, false, 1);
    const auto crc =
        static_cast<std::uint32_t>(crc32(0, reinterpret_cast<Bytef const*>(one.data()), static_cast<uInt>(one.size())));
    std::string files, directory;
    std::size_t count = 0;
    for (; files.size() + directory.size() < size && count < 65535; ++count) {
        const std::string name = std::to_string(count) + ".npy";
        const auto length = static_cast<std::uint32_t>(one.size());
        const std::string sizes = le(std::uint32_t{0}) + le(crc) + le(length) + le(length) +
                                  le(static_cast<std::uint16_t>(name.size())) + le(std::uint16_t{0});
        directory += le(0x02014b50u) + le(20u | 20u << 16) + le(std::uint32_t{0}) + sizes + std::string(10, '\0') +
                     le(static_cast<std::uint32_t>(files.size())) + name;
        files += le(0x04034b50u) + le(std::uint16_t{20}) + le(std::uint32_t{0}) + sizes + name + one;
    }
    const auto entries = static_cast<std::uint16_t>(count);
    return files + directory + le(0x06054b50u) + le(std::uint32_t{0}) + le(entries) + le(entries) +
           le(static_cast<std::uint32_t>(directory.size())) + le(static_cast<std::uint32_t>(files.size())) +
           le(std::uint16_t{0});
}
std::string examples_header(std::string const& more) {
    return "example,id,topic,tokens,nll_full,nll_rtn4-row,error_rtn4-row,kl_rtn4-row,same_top_rtn4-row,norm_r_l0,"
           "norm_z_l0,norm_h_l0,kurtosis_r_l0,kurtosis_h_l0,mse_rtn4-row_l0" +
           more + "\n";
}

struct growing_input {
    std::string_view target, name;
    std::function<std::string(std::size_t)> make;
    bool packed = false; // the input is given as gzip
};

const std::vector<growing_input> inputs{
    {"gguf", "keys", gguf_keys},
    {"gguf", "strings of an array", gguf_strings},
    {"gguf", "one string", [](std::size_t n) { return g_file(1, g_key("a", text, g_text(std::string(n, 'x')))); }},
    {"gguf", "tensors that no model has", gguf_tensors},
    {"tokenizer_gguf", "tokens and merges", gguf_vocabulary},
    {"safetensors", "tensors",
     [](std::size_t n) {
         return with_header("{" +
                            repeat(n, ",",
                                   [](std::size_t i) {
                                       return "\"" + std::to_string(i) +
                                              R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
                                   }) +
                            "}");
     }},
    {"safetensors", "one name",
     [](std::size_t n) {
         return with_header("{\"" + std::string(n, 'x') + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})");
     }},
    {"safetensors", "dimensions",
     [](std::size_t n) {
         return with_header(R"({"t":{"dtype":"F32","shape":[)" + repeat(n, "0,") + R"(0],"data_offsets":[0,0]}})");
     }},
    {"safetensors", "metadata",
     [](std::size_t n) {
         return with_header(R"({"__metadata__":{)" +
                            repeat(n, ",", [](std::size_t i) { return "\"" + std::to_string(i) + "\":\"\""; }) + "}}");
     }},
    {"safetensors", "objects", [](std::size_t n) { return with_header(objects(n)); }},
    {"safetensors_index", "tensors of one shard",
     [](std::size_t n) {
         return R"({"weight_map":{)" +
                repeat(n, ",", [](std::size_t i) { return "\"" + std::to_string(i) + R"(":"first.safetensors")"; }) +
                "}}";
     }},
    {"safetensors_index", "shards",
     [](std::size_t n) {
         return R"({"weight_map":{)" +
                repeat(n, ",",
                       [](std::size_t i) {
                           return "\"" + std::to_string(i) + "\":\"" + std::to_string(i) + ".safetensors\"";
                       }) +
                "}}";
     }},
    {"config", "keys", object_of},
    {"config", "objects", objects},
    {"quantization", "names of layers",
     [](std::size_t n) {
         return R"({"quantization_config":{"quant_method":"compressed-tensors","ignore":[)" +
                repeat(n, ",", [](std::size_t i) { return "\"" + std::to_string(i) + "\""; }) + "]}}";
     }},
    {"quantization", "groups of layers",
     [](std::size_t n) {
         return R"({"quantization_config":{"config_groups":{)" +
                repeat(n, ",",
                       [](std::size_t i) {
                           const std::string k = std::to_string(i);
                           return "\"" + k + R"(":{"targets":[")" + k + R"("],"weights":{"num_bits":4}})";
                       }) +
                "}}}";
     }},
    {"quantization", "arguments of layers",
     [](std::size_t n) {
         return R"({"quantization_config":{"quant_method":"auto-round","extra_config":{)" +
                repeat(n, ",", [](std::size_t i) { return "\"" + std::to_string(i) + R"(":{"act_bits":16})"; }) + "}}}";
     }},
    {"module_pattern", "one name", [](std::size_t n) { return ".*x\n" + std::string(n, 'a'); }},
    {"module_pattern", "one name and a look ahead at each place",
     [](std::size_t n) { return "(.(?=.*a))*(?!.*a)x\n" + std::string(n, 'a'); }},
    {"module_pattern", "names", [](std::size_t n) { return ".*up_proj$" + repeat(n, "\nmlp.down_proj"); }},
    {"safetensors", "layers in codes",
     [](std::size_t n) {
         return with_header("{" +
                            repeat(n, ",",
                                   [](std::size_t i) {
                                       return "\"" + std::to_string(i) +
                                              R"(.qweight":{"dtype":"I32","shape":[0,8],"data_offsets":[0,0]})";
                                   }) +
                            "}");
     }},
    {"gguf_blocks", "blocks", [](std::size_t n) { return std::string(2, '\2') + std::string(n, '\1'); }},
    {"tokenizer_json", "tokens and merges", json_vocabulary},
    {"tokenizer_json", "added tokens", json_added_tokens},
    {"tokenizer_config", "keys", object_of},
    {"npy", "numbers", [](std::size_t n) { return npy(n, false, 1); }},
    {"npy", "numbers in Fortran order, 64 dimensions", [](std::size_t n) { return npy(n, true, 64); }},
    {"npz", "arrays", npz},
    {"documents", "lines", [](std::size_t n) { return repeat(n, "{\"text\":\"\"}\n"); }},
    {"documents", "blank lines", [](std::size_t n) { return std::string(n, '\n'); }},
    {"documents", "one text", [](std::size_t n) { return "{\"text\":\"" + std::string(n, 'x') + "\"}"; }},
    {"documents", "escapes", [](std::size_t n) { return "{\"text\":\"" + repeat(n, "\\u00e9") + "\"}"; }},
    {"documents", "objects", objects},
    {"documents", "keys", object_of},
    {"documents", "objects, packed", objects, true},
    {"documents", "lines, packed", [](std::size_t n) { return repeat(n, "{\"text\":\"\"}\n"); }, true},
    {"documents", "packed members", [](std::size_t n) { return repeat(n, gzip("")); }},
    {"choices", "questions",
     [](std::size_t n) { return repeat(n, "{\"text\":\"Q\",\"choices\":[\"a\",\"b\"],\"answer\":0}\n"); }},
    {"questions", "rows", [](std::size_t n) { return "question\tpossible_answers\n" + repeat(n, "Q\t[\"a\"]\n"); }},
    {"questions", "rows of different questions",
     [](std::size_t n) {
         return "question\tpossible_answers\n" +
                repeat(n, "", [](std::size_t i) { return std::to_string(i) + "\t[\"a\"]\n"; });
     }},
    {"questions", "answers",
     [](std::size_t n) { return "question\tpossible_answers\nQ\t[\"a\"" + repeat(n, ",\"a\"") + "]\n"; }},
    {"questions", "quotes",
     [](std::size_t n) {
         return "question\tpossible_answers\tx\nQ\t\"[\"\"a\"\"]\"\t\"" + repeat(n, "\"\"") + "\"\n";
     }},
    {"questions", "columns",
     [](std::size_t n) {
         const auto header = repeat(n / 2, "", [](std::size_t i) { return "\t" + std::to_string(i); });
         const auto columns = static_cast<std::size_t>(std::ranges::count(header, '\t'));
         return "question\tpossible_answers" + header + "\nQ\t[\"a\"]" + std::string(columns, '\t') + "\n";
     }},
    {"questions", "sigmas in an answer",
     [](std::size_t n) { return "question\tpossible_answers\nQ\t[\"" + repeat(n, "\u03A3''") + "\"]\n"; }},
    {"text", "spaces", [](std::size_t n) { return std::string(n, ' '); }},
    {"text", "line ends", [](std::size_t n) { return std::string(n, '\n'); }},
    {"text", "one letter", [](std::size_t n) { return std::string(n, 'a'); }},
    {"text", "digits", [](std::size_t n) { return std::string(n, '1'); }},
    {"text", "words", [](std::size_t n) { return repeat(n, " ", word); }},
    {"text", "marks out of order", [](std::size_t n) { return repeat(n, "\u0315\u0300"); }},
    {"text", "Hangul in parts", [](std::size_t n) { return repeat(n, "\u1100\u1161\u11A8"); }},
    {"text", "half of a special token", [](std::size_t n) { return repeat(n, "<|end|"); }},
    {"methods", "methods",
     [](std::size_t n) { return repeat(n, ",", [](std::size_t i) { return std::to_string(i) + "=nf4-row"; }); }},
    {"methods", "words of one method", [](std::size_t n) { return "rtn4-row" + repeat(n, "-x"); }},
    {"overrides", "rules",
     [](std::size_t n) {
         return R"({"rules":[)" +
                repeat(
                    n, ",",
                    [](std::size_t) -> std::string_view { return R"({"projection":"*","layers":"*","use":"full"})"; }) +
                "]}";
     }},
    {"overrides", "ranges of one rule",
     [](std::size_t n) {
         return R"({"rules":[{"projection":"*","layers":"0)" + repeat(n, ",0-2") + R"(","use":"full"}]})";
     }},
    {"run_manifest", "methods",
     [](std::size_t n) {
         return R"({"seed":0,"first_position":false,"full":"x","methods":[)" +
                repeat(n, ",",
                       [](std::size_t i) { return R"({"name":")" + std::to_string(i) + R"(","spec":"nf4-row"})"; }) +
                "]}";
     }},
    {"run_examples", "rows",
     [](std::size_t n) {
         return examples_header("") +
                repeat(n, "", [](std::size_t i) { return std::to_string(i) + ",,,4,1,1,0,0,1,1,1,1,1,1,0\n"; });
     }},
    {"run_examples", "columns",
     [](std::size_t n) {
         return examples_header(repeat(n, "", [](std::size_t i) { return ",norm_r_l" + std::to_string(i + 1); }));
     }},
    {"run_examples", "quotes of one cell",
     [](std::size_t n) { return examples_header("") + "\"" + repeat(n, "\"\"") + "\"" + std::string(14, ',') + "\n"; }},
};

void measure(growing_input const& input, fuzz::target const& target, std::size_t size) {
    const std::string plain = input.make(size), bytes = input.packed ? gzip(plain) : plain;
    fuzz::take_peak();
    const std::size_t before = fuzz::allocated();
    const std::clock_t begin = std::clock();
    std::string answer = "taken";
    try {
        target.run({reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size()});
    } catch (bitlens::error const& e) {
        answer = "refused";
    }
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    const auto n = static_cast<double>(plain.size());
    std::printf("%s,\"%s\",%zu,%.3f,%.1f,%.1f,%s\n", std::string(input.target).c_str(), std::string(input.name).c_str(),
                plain.size(), seconds, seconds / n * 1e9, static_cast<double>(fuzz::take_peak() - before) / n,
                answer.c_str());
    std::fflush(stdout);
}

} // namespace

int main(int count, char** arguments) {
    const std::string_view chosen = count > 1 ? arguments[1] : "";
    std::puts("target,input,bytes,seconds,nanoseconds_per_byte,memory_per_byte,answer");
    for (growing_input const& input : inputs) {
        const std::string name = std::string(input.target) + ": " + std::string(input.name);
        if (name.find(chosen) == std::string::npos) continue;
        auto const& target = *std::ranges::find(fuzz::targets, input.target, &fuzz::target::name);
        for (const std::size_t size : {1'000'000u, 2'000'000u, 4'000'000u, 8'000'000u}) measure(input, target, size);
    }
}
