#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/transformer.hpp"

#include "present_pages.hpp"
#include "written_model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using any_dense = mixed_matrix<dense<float>, dense<bf16>, dense<f16>>;
using float_matrix = packed_matrix<dense<float>>;

const json config_file = {{"model_type", "llama"},         {"hidden_act", "silu"},   {"hidden_size", 8},
                          {"intermediate_size", 10},       {"num_hidden_layers", 2}, {"num_attention_heads", 4},
                          {"num_key_value_heads", 2},      {"head_dim", 6},          {"vocab_size", 12},
                          {"max_position_embeddings", 64}, {"rms_norm_eps", 1e-5},   {"tie_word_embeddings", false}};

model_config config() {
    problem_list problems;
    return read_config(config_file, "config.json", problems);
}

using edit = std::function<void(std::vector<written_tensor>&)>;

std::string refusal(std::filesystem::path const& path) {
    try {
        checkpoint refused(path);
    } catch (format_error const& e) {
        return e.what();
    } catch (io_error const& e) {
        return e.what();
    }
    return "no refusal";
}

/// The message that a folder with changed tensors is refused with.
std::string refusal_of(edit const& change, json const& file = config_file) {
    const temporary_folder folder;
    auto tensors = make_tensors(config(), safetensors_type::bf16);
    change(tensors);
    write_folder(folder.path(), file, tensors);
    return refusal(folder.path());
}

written_tensor& find(std::vector<written_tensor>& tensors, std::string const& name) {
    return *std::ranges::find(tensors, name, &written_tensor::name);
}

bool has(std::string const& text, std::string const& words) { return text.find(words) != std::string::npos; }

} // namespace

TEST_CASE("numbers keep their 16 bits, borrowed from the mapped file") {
    const temporary_folder folder;
    const auto tensors = make_tensors(config(), safetensors_type::bf16);
    write_folder(folder.path(), config_file, tensors);
    const checkpoint source(folder.path());
    const std::string name = "model.layers.1.mlp.up_proj.weight";
    const auto expected = formula_weight(name, {10, 8});

    const auto mixed = source.load_matrix<any_dense>(name);
    CHECK(mixed.format_name() == "bf16");
    const auto borrowed = source.load_matrix<packed_matrix<dense<bf16>>>(name);
    const auto again = source.load_matrix<packed_matrix<dense<bf16>>>(name);
    CHECK(borrowed.data() == again.data()); // the file's own bytes
    const auto floats = source.load_matrix<float_matrix>(name);
    for (std::size_t r = 0; r < 10; ++r)
        for (std::size_t c = 0; c < 8; ++c) {
            CHECK(mixed.value(r, c) == static_cast<float>(bf16(expected[r * 8 + c])));
            CHECK(floats.value(r, c) == mixed.value(r, c));
        }
    CHECK_THROWS_AS(source.load_matrix<packed_matrix<dense<f16>>>(name), format_error);
    CHECK_THROWS_AS(source.load_matrix<any_dense>("model.layers.2.mlp.up_proj.weight"), format_error);
    CHECK_THROWS_AS(source.load_matrix<any_dense>("model.norm.weight"), format_error);
    CHECK_THROWS_AS(source.load_vector(name), format_error);
    CHECK(source.load_vector("model.norm.weight").size() == 8);
    CHECK(source.format_description() == "safetensors, linear layers BF16, embedding BF16, head BF16");
    CHECK(source.files().size() == 2);
    CHECK(source.tensors().size() == tensors.size());
}

TEST_CASE("what is borrowed leaves memory with the matrix, and an embedding when its rows have been read") {
    model_config large = config();
    large.vocabulary = 4000; // its matrices are many pages
    large.block.ffn_width = 4000;
    json as_json = config_file;
    as_json["vocab_size"] = large.vocabulary;
    as_json["intermediate_size"] = large.block.ffn_width;
    const temporary_folder folder;
    const auto tensors = make_tensors(large, safetensors_type::bf16);
    write_folder(folder.path(), as_json, tensors);
    write_gguf(folder / "model.gguf", large, tensors);
    const checkpoint source(folder.path()), gguf(folder / "model.gguf");

    const auto pages = [](packed_matrix<dense<bf16>> const& m) { return count_pages(m.data(), m.bytes()); };
    using stored_matrix = packed_matrix<dense<bf16>>;
    auto up = std::make_unique<stored_matrix>(source.load_matrix<stored_matrix>("model.layers.0.mlp.up_proj.weight"));
    auto const* const data = up->data();
    const std::size_t bytes = up->bytes();
    REQUIRE(pages(*up).all > 10);
    CHECK(pages(*up).present == pages(*up).all);
    up.reset();
    CHECK(count_pages(data, bytes).present == 0);

    const transformer<llama, stored_matrix> model(source, false);
    auto const& embedding = model.embedding();
    REQUIRE(pages(embedding).all > 10);
    CHECK(pages(embedding).present == 0); // checked, and given back
    const auto expected = formula_weight("model.embed_tokens.weight", {large.vocabulary, large.block.width});
    std::vector<std::int32_t> ids; // more than are read at once
    for (std::int32_t id = 39; id < 4000; id += 40) ids.push_back(id);
    matrix<float> x(ids.size(), large.block.width);
    model.embed(ids, x.view());
    CHECK(pages(embedding).present == 0);
    std::size_t different = 0;
    for (std::size_t t = 0; t < ids.size(); ++t)
        for (std::size_t i = 0; i < large.block.width; ++i) {
            const float stored = expected[static_cast<std::size_t>(ids[t]) * large.block.width + i];
            different += x(t, i) == static_cast<float>(bf16(stored)) ? 0u : 1u;
        }
    CHECK(different == 0);
    CHECK_THROWS_AS(model.embed(ids, x.view().middle_rows(0, 5)), shape_error);
    CHECK(source.is_borrowed<any_dense>("model.layers.0.self_attn.q_proj.weight"));
    CHECK_FALSE(gguf.is_borrowed<any_dense>("model.layers.0.self_attn.q_proj.weight")); // its rows are not in order
    CHECK(gguf.is_borrowed<any_dense>("model.layers.0.self_attn.v_proj.weight"));
    CHECK_FALSE(source.is_borrowed<float_matrix>("model.embed_tokens.weight")); // widened
    CHECK_THROWS_AS(source.is_borrowed<any_dense>("model.layers.2.mlp.up_proj.weight"), format_error);
}

TEST_CASE("the rows of q and k in a llama GGUF are put back in order") {
    const temporary_folder folder;
    for (const auto type : {safetensors_type::f32, safetensors_type::f16, safetensors_type::bf16}) {
        const auto tensors = make_tensors(config(), type);
        write_gguf(folder / "model.gguf", config(), tensors);
        write_folder(folder / "hf", config_file, tensors);
        const checkpoint gguf(folder / "model.gguf"), hf(folder / "hf");
        CHECK(gguf.config() == hf.config());
        for (auto const& t : hf.tensors()) {
            CAPTURE(t.name);
            if (t.shape.size() == 1) {
                CHECK(gguf.load_vector(t.name) == hf.load_vector(t.name));
                continue;
            }
            const auto a = gguf.load_matrix<any_dense>(t.name), b = hf.load_matrix<any_dense>(t.name);
            REQUIRE(a.rows() == b.rows());
            CHECK(a.format_name() == b.format_name());
            std::size_t different = 0;
            for (std::size_t r = 0; r < a.rows(); ++r)
                for (std::size_t c = 0; c < a.cols(); ++c) different += a.value(r, c) == b.value(r, c) ? 0u : 1u;
            CHECK(different == 0);
        }
        std::filesystem::remove_all(folder / "hf");
    }
}

TEST_CASE("the first rows of a matrix are those of the whole one") {
    const temporary_folder folder;
    const auto tensors = make_tensors(config(), safetensors_type::f16);
    write_folder(folder.path(), config_file, tensors);
    write_gguf(folder / "model.gguf", config(), tensors);
    const std::string name = "model.layers.1.self_attn.q_proj.weight"; // of which GGUF has its rows in another order
    for (auto const& path : {folder.path(), folder / "model.gguf"}) {
        const checkpoint source(path);
        const auto all = source.load_matrix<float_matrix>(name);
        for (const std::size_t most : {std::size_t{0}, std::size_t{5}, std::size_t{100}}) {
            const auto rows = source.load_first_rows(name, most);
            CHECK(rows.rows() == std::min(most, all.rows()));
            for (std::size_t r = 0; r < rows.rows(); ++r) CHECK(std::ranges::equal(rows.row(r), all.row(r)));
        }
    }
}

TEST_CASE("the stored row of a head of 8, as the format's known answer has it") {
    detail::stored_tensor t;
    t.interleaved_head = 8;
    std::vector<std::size_t> order(16); // stored row → Hugging Face row
    for (std::size_t r = 0; r < 16; ++r) order[t.stored_row(r)] = r;
    CHECK(order == std::vector<std::size_t>{0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15});
}

TEST_CASE("layers that are kept and layers that stream are the same") {
    const temporary_folder folder;
    write_folder(folder.path(), config_file, make_tensors(config(), safetensors_type::f32));
    const checkpoint source(folder.path());
    checkpoint_layers<float_matrix> kept(source, true), streamed(source, false);
    for (std::size_t k : {1u, 0u, 1u}) {
        const auto a = kept.layer(k), b = streamed.layer(k);
        CHECK(kept.layer(k).rest == a.rest);
        CHECK(streamed.layer(k).rest == b.rest); // of one layer, all variants share it
        streamed.layer(1 - k);
        CHECK(streamed.layer(k).rest != b.rest);
        CHECK(a.rest->norms == b.rest->norms);
        CHECK(std::ranges::equal(a[projection::down].row(3), b[projection::down].row(3)));
    }
}

TEST_CASE("tensors that do not make the model are refused by file and name") {
    CHECK(refusal_of([](auto&) {}) == "no refusal");
    const std::string name = "model.layers.1.self_attn.k_proj.weight";
    CHECK(has(refusal_of([&](auto& all) { std::erase_if(all, [&](auto const& t) { return t.name == name; }); }),
              "tensor \"" + name + "\" of shape"));
    CHECK(has(refusal_of([&](auto& all) {
                  find(all, name) = make_tensor(name, {12, 9}, safetensors_type::bf16);
              }),
              "tensor \"" + name + "\": shape"));
    CHECK(has(refusal_of([&](auto& all) { find(all, name) = make_tensor(name, {96}, safetensors_type::bf16); }),
              "tensor \"" + name + "\": shape"));
    CHECK(has(refusal_of([&](auto& all) { find(all, name).type = safetensors_type::i16; }),
              "numbers of type I16 are not read"));
    CHECK(has(refusal_of([&](auto& all) {
                  all.push_back(make_tensor("model.layers.0.self_attn.o_proj.bias", {8}, safetensors_type::bf16));
              }),
              "\"model.layers.0.self_attn.o_proj.bias\": llama has no such tensor"));
    CHECK(has(refusal_of([&](auto& all) {
                  all.push_back(make_tensor("model.layers.2.mlp.up_proj.weight", {10, 8}, safetensors_type::bf16));
              }),
              "model.layers.2.mlp.up_proj.weight\": llama has no such tensor"));
    CHECK(refusal_of([&](auto& all) {
              all.push_back(make_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {3}, safetensors_type::f32));
          }) == "no refusal");
}

TEST_CASE("a configuration and tensors that contradict each other are refused") {
    const auto changed = [](std::string const& key, json value) {
        json file = config_file;
        file[key] = std::move(value);
        return refusal_of([](auto&) {}, file);
    };
    CHECK(has(changed("num_hidden_layers", 1'000'000'000), "1000000000 layers, but there are only 21 tensors"));
    CHECK(has(changed("num_hidden_layers", 3), "\"model.layers.2.self_attn.q_proj.weight\" of shape"));
    CHECK(has(changed("num_hidden_layers", 1), "llama has no such tensor"));
    CHECK(has(changed("vocab_size", 11), "model.embed_tokens.weight\": shape"));
    CHECK(has(changed("head_dim", 4), "q_proj.weight\": shape"));
    CHECK(has(changed("num_key_value_heads", 4), "k_proj.weight\": shape"));
    CHECK(has(changed("model_type", "qwen2"), "q_proj.bias\" of shape"));
    CHECK(has(changed("tie_word_embeddings", true), "ties the head to the embedding, but this is another matrix"));
    CHECK(
        has(refusal_of([](auto& all) { std::erase_if(all, [](auto const& t) { return t.name == "lm_head.weight"; }); }),
            "\"lm_head.weight\" of shape"));
    json tied = config_file;
    tied["tie_word_embeddings"] = true;
    CHECK(
        refusal_of([](auto& all) { find(all, "lm_head.weight").bytes = find(all, "model.embed_tokens.weight").bytes; },
                   tied) == "no refusal");
    CHECK(
        refusal_of(
            [](auto& all) { std::erase_if(all, [](auto const& t) { return t.name == "model.embed_tokens.weight"; }); },
            tied) == "no refusal"); // the head is the embedding
}

TEST_CASE("numbers that are not finite are refused when they are loaded") {
    const temporary_folder folder;
    for (const auto type : {safetensors_type::f32, safetensors_type::f16, safetensors_type::bf16}) {
        auto tensors = make_tensors(config(), type);
        const std::size_t size = type == safetensors_type::f32 ? 4 : 2;
        for (const char* name : {"model.layers.0.mlp.up_proj.weight", "model.norm.weight"}) {
            auto& bytes = find(tensors, name).bytes;
            std::ranges::fill(bytes.end() - static_cast<std::ptrdiff_t>(size), bytes.end(),
                              std::byte{0x7F}); // NaN, or ...
            if (type == safetensors_type::f32) bytes.end()[-2] = std::byte{0xC0};
        }
        if (type == safetensors_type::bf16) // 0x7F7F is the largest but one finite bf16
            for (const char* name : {"model.layers.0.mlp.up_proj.weight", "model.norm.weight"})
                find(tensors, name).bytes.end()[-2] = std::byte{0x80}; // infinity
        write_folder(folder.path(), config_file, tensors);
        const checkpoint source(folder.path());
        CHECK_THROWS_WITH_AS(source.load_matrix<any_dense>("model.layers.0.mlp.up_proj.weight"),
                             doctest::Contains("row 9 holds a number that is not finite"), format_error);
        CHECK_THROWS_AS(source.load_matrix<float_matrix>("model.layers.0.mlp.up_proj.weight"), format_error);
        CHECK_THROWS_AS(source.load_vector("model.norm.weight"), format_error);
    }
}

TEST_CASE("files that are not there, and folders that are no model") {
    const temporary_folder folder;
    CHECK_THROWS_AS(checkpoint(folder / "nothing"), io_error);
    CHECK_THROWS_AS(checkpoint{folder.path()}, io_error); // no config.json
    write_text(folder / "config.json", "[]");
    CHECK_THROWS_AS(checkpoint{folder.path()}, format_error);
    write_text(folder / "config.json", config_file.dump());
    CHECK_THROWS_AS(checkpoint{folder.path()}, io_error); // no tensors
    write_text(folder / "bad.gguf", "GGUX");
    CHECK_THROWS_AS(checkpoint(folder / "bad.gguf"), format_error);
}

TEST_CASE("inspect shows what is there and everything that is wrong") {
    const temporary_folder folder;
    auto tensors = make_tensors(config(), safetensors_type::f16);
    find(tensors, "model.norm.weight") = make_tensor("model.norm.weight", {9}, safetensors_type::f16);
    std::erase_if(tensors, [](auto const& t) { return t.name == "lm_head.weight"; });
    write_folder(folder.path(), config_file, tensors);
    const auto shown = checkpoint::inspect(folder.path());
    CHECK(shown.problems().size() == 2);
    CHECK(shown.config().layers == 2);
    CHECK(shown.tensors().size() == tensors.size());
    CHECK(has(refusal(folder.path()), "(and 1 more)"));
}

TEST_CASE("what a folder holds in place of a model is named, with what to do") {
    const temporary_folder folder;
    const auto path = folder / "model";
    const auto refused = [&](std::vector<std::string> const& files) {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
        for (auto const& file : files) {
            std::filesystem::create_directories((path / file).parent_path());
            write_text(path / file, file.ends_with("config.json") ? config_file.dump() : "x");
        }
        return refusal(path);
    };
    CHECK(has(refused({}), "holds no config.json"));
    CHECK(has(refused({"config.json"}), "holds neither model.safetensors nor model.safetensors.index.json"));
    for (const char* file : {"pytorch_model.bin", "model.pth", "pytorch_model-00001-of-00002.bin"})
        CHECK(has(refused({"config.json", file}), "PyTorch's pickled weights (\"" + std::string(file) + "\")"));
    CHECK(has(refused({"config.json", "flax_model.msgpack"}), "Flax weights"));
    CHECK(has(refused({"config.json", "tf_model.h5"}), "TensorFlow weights"));
    CHECK(
        has(refused({"params.json", "consolidated.00.pth"}), "layout of who made the model (\"consolidated.00.pth\")"));
    CHECK(has(refused({"config.json", "model-00001-of-00002.safetensors"}), "fetch model.safetensors.index.json too"));
    CHECK(has(refused({"a.gguf", "b.gguf"}),
              "GGUF files (\"a.gguf\", \"b.gguf\"), which are not read here: give the path"));
    CHECK(has(refused({"snapshots/1234/config.json"}), "there is one in " + (path / "snapshots" / "1234").string()));
    refused({"adapter_model.safetensors"});
    write_text(path / "adapter_config.json", R"({"base_model_name_or_path": "org/base"})");
    CHECK(has(refusal(path), "an adapter (LoRA, adapter_config.json)"));
    CHECK(has(refusal(path), "merge it into its base model, \"org/base\","));
    CHECK(checkpoint::inspect(path).problems().size() == 1);
}

TEST_CASE("a file that stands in place of another is told by its bytes") {
    const temporary_folder folder;
    const auto model = folder / "model";
    write_folder(model, config_file, make_tensors(config(), safetensors_type::bf16));
    const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345678\n";
    const std::vector<std::pair<std::string, std::string>> kinds{{pointer, "a Git LFS pointer"},
                                                                 {"", "an empty file"},
                                                                 {std::string("PK\x03\x04", 4), "a zip archive"},
                                                                 {"\x1F\x8B\x08", "a gzip file"},
                                                                 {"\n<!doctype HTML><p>", "a web page"}};
    for (auto const& foreign : kinds) {
        auto const& [bytes, kind] = foreign;
        CAPTURE(foreign.second);
        const auto found = "expected, " + kind + " was found";
        write_text(folder / "x.gguf", bytes);
        CHECK(has(refusal(folder / "x.gguf"), "x.gguf: a GGUF file is " + found));
        for (const char* name : {"model.safetensors", "config.json"}) {
            const auto kept = model / "kept";
            std::filesystem::rename(model / name, kept);
            write_text(model / name, bytes);
            CHECK(has(refusal(model), found));
            std::filesystem::rename(kept, model / name);
        }
        write_text(model / "tokenizer.json", bytes);
        CHECK_THROWS_WITH_AS(checkpoint(model).load_tokenizer(), doctest::Contains(found.c_str()), format_error);
    }
    std::filesystem::remove(model / "tokenizer.json");
    write_text(model / "spiece.model", "x");
    CHECK_THROWS_WITH_AS(checkpoint(model).load_tokenizer(), doctest::Contains("; \"spiece.model\" alone is not read"),
                         io_error);
    write_text(model / "tokenizer.model", "x");
    CHECK_THROWS_WITH_AS(checkpoint(model).load_tokenizer(),
                         doctest::Contains("tokenizer.model: a tokenizer.json, a tokenizer.model of SentencePiece or"),
                         format_error);
    std::filesystem::remove(model / "tokenizer.model");
    std::filesystem::remove(model / "spiece.model");
    for (const char* name : {"model.safetensors", "config.json"})
        CHECK(has(refusal(model / name), std::string(name) +
                                             ": this is one file of a Hugging Face folder; give the "
                                             "folder, " +
                                             model.string()));
    write_text(folder / "pytorch_model.bin", "x");
    CHECK(has(refusal(folder / "pytorch_model.bin"), "PyTorch's pickled weights are not read"));
}

TEST_CASE("a model's name on a hub is no path, and what fetches it is said") {
    const auto fetch = [](std::string const& path) { return refusal(path); };
    const std::string words = "'hf download org/Name-1.5 --local-dir Name-1.5'";
    for (const char* path : {"org/Name-1.5", "https://example.org/org/Name-1.5",
                             "https://example.org/org/Name-1.5/tree/main", "org/Name-1.5:Q4_K_M"})
        CHECK(has(fetch(path), words));
    for (const char* path :
         {"absent", "./org/name", "/org/name", "a/b/c", "org/name.gguf", "../name", "https://", "a/"}) {
        CHECK(has(fetch(path), "there is no such file or folder"));
        CHECK_FALSE(has(fetch(path), "hf download"));
    }
}

TEST_CASE("an index whose shards are missing says how many and which") {
    const temporary_folder folder;
    write_folder(folder.path(), config_file, make_tensors(config(), safetensors_type::bf16), 4);
    CHECK(refusal(folder.path()) == "no refusal");
    for (const char* shard : {"model-00002-of-00004.safetensors", "model-00003-of-00004.safetensors"})
        std::filesystem::remove(folder / shard);
    CHECK(has(refusal(folder.path()), "2 of the 4 shards that it names are missing in the folder: "
                                      "\"model-00002-of-00004.safetensors\", \"model-00003-of-00004.safetensors\""));
}

TEST_CASE("quantized weights are refused as such where only a file or the tensors say so") {
    CHECK(has(refusal_of([](auto& all) {
                  find(all, "model.layers.0.mlp.up_proj.weight") =
                      make_tensor("model.layers.0.mlp.up_proj.qweight", {2, 8}, safetensors_type::f32);
              }),
              "up_proj.qweight\": I32 or I16 of rank 2 is expected, F32 of shape (2, 8) was found"));
    const temporary_folder folder;
    write_folder(folder.path(), config_file, make_tensors(config(), safetensors_type::bf16));
    write_text(folder / "hf_quant_config.json",
               R"({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "group_size": 128}})");
    CHECK(has(refusal(folder.path()),
              "hf_quant_config.json: weights quantized by \"modelopt\" in groups of 128 are not "
              "read (quant_algo \"FP8\")"));
}

TEST_CASE("a layer that is said to be quantized, and is not, is named") {
    const temporary_folder folder;
    json file = config_file;
    file["quantization_config"] = {
        {"quant_method", "compressed-tensors"},
        {"config_groups", {{"group_0", {{"targets", {"re:.*up_proj"}}, {"weights", {{"num_bits", 4}}}}}}}};
    write_folder(folder.path(), file, make_tensors(config(), safetensors_type::bf16));
    CHECK(has(refusal(folder.path()),
              "tensor \"model.layers.0.mlp.up_proj.weight\": " + (folder / "config.json").string() +
                  ": key \"quantization_config\" says that this layer is quantized, its weight is BF16"));
    file["quantization_config"]["ignore"] = {"re:.*mlp"};
    write_folder(folder.path(), file, make_tensors(config(), safetensors_type::bf16));
    CHECK(checkpoint(folder.path()).problems().empty());
}

TEST_CASE("inspect goes on after a refusal, to all others that a loader would meet") {
    const temporary_folder folder;
    auto tensors = make_tensors(config(), safetensors_type::f16);
    tensors.pop_back();
    json file = config_file;
    file["odd_key"] = 1;
    file["logit_scale"] = 2;
    write_folder(folder.path(), file, tensors);
    CHECK(checkpoint::inspect(folder.path()).problems().size() == 3); // two keys, one tensor
    const std::vector<std::string> allowed{"odd_key"};
    CHECK(checkpoint::inspect(folder.path(), allowed).problems().size() == 2);
    write_text(folder / "model.safetensors", "");
    const auto shown = checkpoint::inspect(folder.path());
    REQUIRE(shown.problems().size() == 3); // two keys, one file
    CHECK(has(shown.problems()[2], "an empty file"));
    CHECK(shown.format_description() == "safetensors");
}

TEST_CASE("a GGUF file that is no whole model is told from one") {
    const temporary_folder folder;
    const auto refused = [&](auto const& change) {
        gguf_writer file = gguf_metadata(config());
        change(file);
        file.write(folder / "part.gguf");
        return refusal(folder / "part.gguf");
    };
    CHECK(has(refused([](auto& f) { f.text("general.type", "mmproj"); }), "encoder of images or sound"));
    CHECK(has(refused([](auto& f) { f.text("general.type", "adapter"); }), "this is an adapter (LoRA)"));
    CHECK(has(refused([](auto& f) { f.text("adapter.type", "lora"); }), "this is an adapter (LoRA)"));
    CHECK(has(refused([](auto& f) { f.text("general.type", "imatrix"); }), "\"general.type\": \"imatrix\""));
    CHECK(has(refused([](auto& f) { f.text("tokenizer.ggml.tokens", "x"); }), "a vocabulary without tensors"));
    CHECK(has(refused([](auto& f) { f.number("split.count", 3); }), "key \"split.no\" is missing"));
    const auto whole = [](auto& f) {
        f.text("general.type", "model");
        f.number("llama.vocab_size", 12);
    };
    CHECK(has(refused(whole), "there are only 0 tensors"));
    gguf_writer clip;
    clip.text("general.architecture", "clip");
    clip.write(folder / "part.gguf");
    CHECK(has(refusal(folder / "part.gguf"), "encoder of images or sound"));
}

TEST_CASE("GGUF metadata at its default changes nothing") {
    const temporary_folder folder;
    const auto tensors = make_tensors(config(), safetensors_type::f32);
    gguf_writer file = gguf_metadata(config());
    for (const char* key : {"expert_count", "expert_used_count", "attention.sliding_window", "pooling_type"})
        file.number("llama." + std::string(key), 0);
    for (const char* key :
         {"attention.clamp_kqv", "attention.max_alibi_bias", "logit_scale", "final_logit_softcapping"})
        file.real("llama." + std::string(key), 0);
    file.text("llama.rope.scaling.type", "linear");
    file.real("llama.rope.scaling.factor", 1);
    file.number("llama.rope.scaling.original_context_length", 64);
    file.real("llama.rope.scaling.attn_factor", 1);
    file.real("llama.rope.scale_linear", 1);
    file.text("llama.tensor_data_layout", "Meta AI original pth");
    for (auto const& t : tensors)
        file.tensor(gguf_name(t.name), t.shape, 0,
                    t.name.ends_with("q_proj.weight") || t.name.ends_with("k_proj.weight") ? interleave_heads(t, 6)
                                                                                           : t.bytes);
    const std::array<float, 3> ones{1, 1, 1};
    const auto bytes = std::as_bytes(std::span(ones));
    file.tensor("rope_freqs.weight", {3}, 0, {bytes.begin(), bytes.end()});
    file.write(folder / "model.gguf");
    const checkpoint source(folder / "model.gguf");
    CHECK(source.config() == config());
    CHECK(source.tensors().size() == tensors.size());
    gguf_writer odd = gguf_metadata(config());
    odd.number("llama.odd_key", 1);
    for (auto const& t : tensors) odd.tensor(gguf_name(t.name), t.shape, 0, t.bytes);
    odd.write(folder / "odd.gguf");
    CHECK(has(refusal(folder / "odd.gguf"), "\"llama.odd_key\" is not known"));
    CHECK(checkpoint(folder / "odd.gguf", std::vector<std::string>{"llama.odd_key"}).config() == config());
    CHECK_THROWS_AS(checkpoint(folder / "odd.gguf", std::vector<std::string>{"llama.block_count"}), option_error);
}

TEST_CASE("GGUF metadata that changes the result is refused by name") {
    const temporary_folder folder;
    const auto tensors = make_tensors(config(), safetensors_type::f32);
    const auto refused = [&](auto const& change, model_config const& c) {
        gguf_writer file = gguf_metadata(c);
        change(file);
        for (auto const& t : tensors) file.tensor(gguf_name(t.name), t.shape, 0, t.bytes);
        file.write(folder / "model.gguf");
        return refusal(folder / "model.gguf");
    };
    const auto nothing = [](gguf_writer&) {};
    CHECK(refused(nothing, config()) == "no refusal");
    CHECK(has(refused([](auto& f) { f.text("llama.rope.scaling.type", "ntk"); }, config()), "scaling of type \"ntk\""));
    CHECK(refused([](auto& f) { f.text("llama.rope.scaling.type", "none"); }, config()) == "no refusal");
    CHECK(has(refused([](auto& f) { f.number("llama.expert_count", 8); }, config()),
              "llama.expert_count is 8, which is not supported; only false or 0 is"));
    CHECK(
        has(refused([](auto& f) { f.number("llama.odd_key", 8); }, config()),
            "\"llama.odd_key\" is not known, and could change what the model computes (its value is 8); --allow-key"));
    CHECK(has(refused([](auto& f) { f.number("llama.attention.sliding_window", 64); }, config()), "sliding window"));
    CHECK(has(refused([](auto& f) { f.real("llama.rope.scaling.factor", -4); }, config()), "factor -4"));
    CHECK(has(refused([](auto& f) { f.real("llama.logit_scale", 2); }, config()),
              "llama.logit_scale is 2, which is not supported; only 0 or 1 is"));
    CHECK(
        has(refused([](auto& f) { f.text("llama.tensor_data_layout", "other"); }, config()), "\"other\" is not known"));
    CHECK(has(refused([](auto& f) { f.number("llama.rope.dimension_count", 4); }, config()),
              "\"llama.rope.dimension_count\": 6"));
    CHECK(has(refused([](auto& f) { f.number("llama.vocab_size", 13); }, config()), "token_embd.weight\": shape"));
    CHECK(has(refused([](auto& f) { f.tensor("rope_freqs.weight", {3}, 0, std::vector<std::byte>(12)); }, config()),
              "divisors"));
    const auto second_norm = [](auto& f) { f.tensor("model.norm.weight", {8}, 0, std::vector<std::byte>(32)); };
    CHECK(has(refused(second_norm, config()), "two tensors stand for \"model.norm.weight\""));
    auto c = config();
    c.architecture = "gemma";
    CHECK(has(refused(nothing, c), "architecture 'gemma' is not supported; there are llama, mistral, "));
    c = config();
    c.layers = 1'000'000'000;
    CHECK(has(refused(nothing, c), "1000000000 layers"));
    c = config();
    c.block.norm_eps = 0;
    CHECK(has(refused(nothing, c), "epsilon"));
    c.block.norm_eps = std::numeric_limits<float>::quiet_NaN();
    CHECK(has(refused(nothing, c), "epsilon"));
    c = config();
    c.ropes[0].theta = std::numeric_limits<double>::infinity();
    CHECK(has(refused(nothing, c), "rope theta"));
    c = config();
    c.block.kv_heads = 3;
    CHECK(has(refused(nothing, c), "key and value heads"));
}

TEST_CASE("stacked tensors are not divided by sizes that make no model") {
    const temporary_folder folder;
    const json none{{"model_type", "phi3"},     {"hidden_size", 8}, {"num_attention_heads", 0},
                    {"num_key_value_heads", 0}, {"head_dim", 4},    {"num_hidden_layers", 1}};
    const std::string qkv = "model.layers.0.self_attn.qkv_proj.weight";
    write_folder(folder.path(), none, {store_tensor(qkv, {0, 8}, safetensors_type::f32, {})});
    CHECK_FALSE(checkpoint::inspect(folder.path()).problems().empty());
}
