#include "files.hpp"
#include "targets.hpp"

#include "bitlens/core/padded_number.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/io/safetensors_writer.hpp"
#include "bitlens/models/checkpoint.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens::fuzz {

namespace {

/// Looks at a checkpoint as `bitlens inspect` does, then loads every tensor.   Errors: as checkpoint.
void load_all(std::filesystem::path const& path) {
    using weights = mixed_matrix<dense<float>, dense<bf16>, dense<f16>>;
    const checkpoint model = checkpoint::inspect(path);
    must(!model.format_description().empty(), "a format without a description");
    if (!model.problems().empty()) { // one without problems is read no second time
        const checkpoint refused(path);
        must(false, "a checkpoint with problems was taken");
    }
    checkpoint_layers<weights> layers(model, false);
    for (std::size_t k = 0; k < model.config().layers; ++k) layers.layer(k);
    for (auto const& t : model.tensors())
        if (t.shape.size() == 2) model.load_matrix<weights>(t.name);
}

template <class T>
void read_as(gguf_file const& file, gguf_value const& value) {
    if (value.type == gguf_type::array)
        must(file.required<std::vector<T>>(value.key).size() == value.count, "an array of another length");
    else
        file.required<T>(value.key);
}

void read(gguf_file const& file, gguf_value const& value) {
    must(file.find_value(value.key) == &value, "a value is not found by its key");
    if (value.element == gguf_type::string)
        read_as<std::string_view>(file, value);
    else if (value.element == gguf_type::boolean)
        read_as<bool>(file, value);
    else if (value.element == gguf_type::float32 || value.element == gguf_type::float64)
        read_as<double>(file, value);
    else if (value.element == gguf_type::uint64)
        read_as<std::uint64_t>(file, value);
    else
        read_as<std::int64_t>(file, value);
}

void decode(gguf_file const& file, gguf_tensor const& t) {
    must(file.find(t.name) == &t, "a tensor is not found by its name");
    if (t.type->decode == nullptr || t.bytes.empty()) return;
    matrix<float> row(1, t.cols());
    for (std::size_t r = 0; r < t.rows(); ++r) file.decode_rows(t, r, 1, row.view());
}

bool equal(safetensors_tensor const& a, safetensors_tensor const& b) {
    return a.name == b.name && a.type == b.type && a.shape == b.shape && std::ranges::equal(a.bytes, b.bytes);
}

/// Written and read again, a file holds the same.
void write_back(safetensors_file const& file, std::filesystem::path const& to) {
    std::vector<safetensors_entry> entries;
    for (auto const& t : file.tensors()) entries.push_back({t.name, t.type, t.shape, t.bytes});
    write_safetensors(to, entries, file.metadata());
    const safetensors_file back(to);
    must(std::ranges::equal(file.tensors(), back.tensors(), equal), "other tensors after writing and reading");
    must(file.metadata() == back.metadata(), "other metadata after writing and reading");
}

} // namespace

void gguf(input bytes) {
    static const folder place;
    const auto path = place.write("model.gguf", bytes);
    const gguf_file file(path);
    for (auto const& value : file.metadata()) read(file, value);
    for (auto const& t : file.tensors()) decode(file, t);
    load_all(path);
}

/// Files one after the other, each from its "GGUF" on: the parts of one model.
void gguf_parts(input bytes) {
    static const folder place;
    const std::string_view text = as_text(std::as_bytes(bytes));
    std::vector<std::size_t> begins{0};
    for (std::size_t at = 0; (at = text.find("GGUF", at + 1)) != text.npos;) begins.push_back(at);
    begins.push_back(bytes.size());
    const std::size_t count = begins.size() - 1;
    std::vector<std::filesystem::path> paths;
    for (std::size_t k = 0; k < count; ++k)
        paths.push_back(place.write("model-" + padded_number(k + 1, 5) + "-of-" + padded_number(count, 5) + ".gguf",
                                    bytes.subspan(begins[k], begins[k + 1] - begins[k])));
    const struct remover {
        std::vector<std::filesystem::path> const& of;
        ~remover() {
            for (auto const& path : of) std::filesystem::remove(path);
        }
    } then{paths};
    const gguf_file file(paths[0]);
    must(file.parts().size() == count || file.parts().size() == 1, "a model of other parts");
    for (auto const& value : file.metadata()) read(file, value);
    for (auto const& t : file.tensors()) {
        decode(file, t);
        auto const bytes_there = file.mapping(t)->bytes();
        must(t.bytes.data() >= bytes_there.data() &&
                 t.bytes.data() + t.bytes.size() <= bytes_there.data() + bytes_there.size(),
             "a tensor that is not in its part");
    }
    load_all(paths[0]);
}

void safetensors(input bytes) {
    static const folder model{{"config.json", "config/valid.json"}};
    write_back(safetensors_file(model.write("model.safetensors", bytes)), model / "written.safetensors");
    load_all(model.path());
}

void safetensors_index(input bytes) {
    static const folder model{{"config.json", "config/valid.json"},
                              {"first.safetensors", "safetensors/first_shard.safetensors"},
                              {"second.safetensors", "safetensors/second_shard.safetensors"}};
    model.write("model.safetensors.index.json", bytes);
    load_all(model.path());
}

void config(input bytes) {
    static const folder model{{"model.safetensors", "safetensors/valid.safetensors"}};
    model.write("config.json", bytes);
    load_all(model.path());
}

void tokenizer_config(input bytes) {
    static const folder place{{"config.json", "config/valid.json"},
                              {"model.safetensors", "safetensors/valid.safetensors"},
                              {"tokenizer.json", "tokenizer_json/valid_gpt2.json"}};
    static const checkpoint model(place.path()); // which keeps nothing of the tokenizer
    place.write("tokenizer_config.json", bytes);
    must(model.load_tokenizer().vocabulary_size() > 0, "a tokenizer without tokens");
}

} // namespace bitlens::fuzz
