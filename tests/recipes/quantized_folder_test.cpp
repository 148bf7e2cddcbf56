#include "bitlens/recipes/quantized_folder.hpp"

#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/stored_layers.hpp"

#include "kernels/any_format.hpp"
#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bitlens::test::quantized_folders {

namespace fs = std::filesystem;

namespace {

using folder_weight = mixed_matrix<dense<float>, uniform<3, 32>, uniform<4, 64, zero_kind::symmetric>>;
const block_shape folder_shape{64, 2, 2, 32, 96, 1e-5f};

quantized_manifest some_manifest(std::size_t layers = 3) {
    quantized_manifest m;
    m.method = "gptq3-g32";
    m.format = "uniform3-g32";
    m.layers = layers;
    m.knobs = {{"damp", 0.01}, {"act_order", true}};
    m.calibration = {{"texts", 128}, {"sha256", "ab"}};
    m.source = {{"files", {{{"name", "model.safetensors"}, {"sha256", "cd"}}}}};
    return m;
}

/// All matrices but o_proj, in the format F, gate_proj with its columns in an order; two folds. Equal for equal layers.
template <quant_format F = uniform<3, 32>, class Weight = folder_weight>
quantized_block<Weight> some_block(std::size_t layer, block_shape const& s = folder_shape) {
    random_generator random(100 + layer);
    quantized_block<Weight> block;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto which = static_cast<projection>(p);
        if (which == projection::o) continue;
        const auto [rows, cols] = shape_of(which, s);
        auto w = which == projection::gate ? test::random_ordered_matrix<F>(rows, cols, random)
                                           : test::random_matrix<F>(rows, cols, random);
        block.linear[p] = std::make_shared<const Weight>(std::move(w));
    }
    for (const std::size_t g : {0u, 3u})
        for (std::size_t c = 0; c < shape_of(g == 0 ? projection::q : projection::down, s).cols; ++c)
            block.fold[g].push_back(0.5f + static_cast<float>(random.uniform()));
    return block;
}

template <class Weight>
detail::packed_arrays const* arrays_of(Weight const& w) {
    return w.visit([]<class F>(packed_matrix<F> const& m) -> detail::packed_arrays const* {
        if constexpr (quant_format<F>)
            return &m.arrays();
        else
            return nullptr;
    });
}

template <class Weight>
bool equal(quantized_block<Weight> const& a, quantized_block<Weight> const& b) {
    if (a.fold != b.fold) return false;
    for (std::size_t p = 0; p < projection_count; ++p) {
        if ((a.linear[p] == nullptr) != (b.linear[p] == nullptr)) return false;
        if (a.linear[p] == nullptr) continue;
        if (a.linear[p]->format_name() != b.linear[p]->format_name()) return false;
        auto const &x = *arrays_of(*a.linear[p]), &y = *arrays_of(*b.linear[p]);
        if (!std::ranges::equal(x.codes.span(), y.codes.span()) ||
            !std::ranges::equal(x.scales.span(), y.scales.span()) ||
            !std::ranges::equal(x.zeros.span(), y.zeros.span()) ||
            !std::ranges::equal(x.offsets.span(), y.offsets.span()) || x.order != y.order)
            return false;
    }
    return true;
}

/// The file of a layer as tensors, to be changed and written with the right hash.
struct layer_file {
    std::map<std::string, std::string> metadata;
    struct tensor {
        safetensors_type type;
        std::vector<std::size_t> shape;
        std::vector<std::byte> bytes;
    };
    std::map<std::string, tensor> tensors;

    explicit layer_file(fs::path const& path) {
        const safetensors_file file(path);
        metadata = file.metadata();
        for (auto const& t : file.tensors()) tensors[t.name] = {t.type, t.shape, {t.bytes.begin(), t.bytes.end()}};
    }
    template <class T>
    void set(std::string const& name, std::size_t place, T value) {
        std::memcpy(tensors.at(name).bytes.data() + place * sizeof(T), &value, sizeof(T));
    }
    void write(fs::path const& path) {
        std::vector<safetensors_entry> all;
        for (auto const& [name, t] : tensors) all.push_back({name, t.type, t.shape, t.bytes});
        metadata.erase("sha256");
        metadata["sha256"] = detail::content_hash(metadata, all);
        write_safetensors(path, all, metadata);
    }
};

/// The text of the error that reading layer 0 throws.
std::string refusal_of_folder(quantized_folder const& folder, block_shape const& s = folder_shape) {
    try {
        read_quantized_layer<folder_weight>(folder, 0, s);
    } catch (format_error const& e) {
        return e.what();
    }
    return "none";
}

std::vector<fs::path> files_of(fs::path const& folder) {
    std::vector<fs::path> files;
    for (auto const& entry : fs::directory_iterator(folder)) files.push_back(entry.path().filename());
    std::ranges::sort(files);
    return files;
}

template <weight_format... F>
void check_every_format(std::type_identity<mixed_matrix<F...>>) {
    const test::temporary_folder parent;
    const block_shape wide{128, 1, 1, 128, 128, 1e-5f}; // whole groups of every size
    std::size_t checked = 0;
    const auto check = [&]<class G>(std::type_identity<G>) {
        if constexpr (quant_format<G>) {
            INFO(format_name<G>());
            const quantized_folder_writer folder(parent / format_name<G>(), some_manifest());
            const auto block = some_block<G, mixed_matrix<F...>>(1, wide);
            write_quantized_layer(folder, 1, block);
            CHECK(equal(block, read_quantized_layer<mixed_matrix<F...>>(folder, 1, wide)));
            ++checked;
        }
    };
    (check(std::type_identity<F>{}), ...);
    CHECK(checked == 84);
}

} // namespace

TEST_CASE("a layer comes back as it was written, in every format, with orders, folds and what stays full") {
    check_every_format(std::type_identity<study_matrix>{});
}

TEST_CASE("equal layers make equal files, whoever writes them, and short last groups come back") {
    const test::temporary_folder parent;
    std::string bytes[2];
    for (int i = 0; i < 2; ++i) {
        const quantized_folder_writer folder(parent / std::to_string(i), some_manifest());
        const block_shape odd{75, 1, 1, 33, 97, 1e-5f};
        const auto block = some_block(2, odd);
        write_quantized_layer(folder, 2, block);
        CHECK(equal(block, read_quantized_layer<folder_weight>(folder, 2, odd)));
        bytes[i] = test::read_bytes(folder.layer_path(2));
        CHECK(test::read_bytes(folder.path() / "manifest.json").find("\"layout\": 1") != std::string::npos);
    }
    CHECK(bytes[0] == bytes[1]);
    CHECK(fs::path(quantized_folder(parent / "0").layer_path(2)).filename() == "layer-0002.safetensors");
}

TEST_CASE("a manifest comes back, and what is none or of a later layout is refused") {
    const quantized_manifest m = some_manifest();
    CHECK(quantized_manifest_from(to_json(m), "m.json") == m);
    quantized_manifest without = m;
    without.calibration = nullptr;
    CHECK(quantized_manifest_from(to_json(without), "m.json") == without);
    CHECK(identity_of(without) != identity_of(m));
    quantized_manifest from_elsewhere = m;
    from_elsewhere.origin = {{"calibration", {{"file", {{"name", "other.jsonl"}}}}}};
    CHECK(to_json(from_elsewhere) != to_json(m));
    CHECK(quantized_manifest_from(to_json(from_elsewhere), "m.json").origin == from_elsewhere.origin);
    CHECK(from_elsewhere == m); // files under other names make the same
    CHECK(identity_of(from_elsewhere) == identity_of(m));
    CHECK_FALSE(first_difference(from_elsewhere, m));
    const auto refused = [&](auto const& change, const char* text) {
        json file = to_json(m);
        change(file);
        CHECK_THROWS_WITH_AS(quantized_manifest_from(file, "m.json"), doctest::Contains(text), format_error);
    };
    refused([](json& f) { f.erase("kind"); },
            "m.json: key \"kind\": \"quantized model\" is expected, nothing was found");
    refused([](json& f) { f["kind"] = "run"; }, "\"run\" was found");
    refused([](json& f) { f["layout"] = 2; }, "key \"layout\": 1 is expected, 2 was found; another version of bitlens");
    refused([](json& f) { f["layers"] = -1; }, "layers");
    refused([](json& f) { f["knobs"] = 3; }, "knobs");
    refused([](json& f) { f["origin"] = 3; }, "origin");
    refused([](json& f) { f.erase("method"); }, "method");
    refused([](json& f) { f["more"] = 1; }, "m.json: more: 1 was found, nothing expected");
    refused([](json& f) { f = json::array(); }, "m.json");
}

TEST_CASE("a folder goes on with its own manifest, and refuses another one and another writer") {
    const test::temporary_folder parent;
    const fs::path path = parent / "deep" / "q";
    CHECK_FALSE(is_quantized_folder(path));
    {
        const quantized_folder_writer folder(path, some_manifest());
        CHECK(is_quantized_folder(path));
        CHECK_THROWS_WITH_AS((quantized_folder_writer{path, some_manifest()}),
                             doctest::Contains("another process is running in this folder"), io_error);
        write_quantized_layer(folder, 0, some_block(0));
        CHECK(folder.first_missing_layer() == 1);
    }
    const auto before = test::read_bytes(path / "manifest.json");
    quantized_manifest other = some_manifest();
    other.knobs["damp"] = 0.02;
    CHECK_THROWS_WITH_AS(
        (quantized_folder_writer{path, other}),
        (path.string() +
         ": holds another quantized model: knobs.damp: 0.01 in the folder, 0.02 asked for; another folder keeps both")
            .c_str(),
        option_error);
    CHECK(test::read_bytes(path / "manifest.json") == before);
    const quantized_folder_writer again(path, some_manifest());
    CHECK(again.has_layer(0));
    CHECK(equal(read_quantized_layer<folder_weight>(again, 0, folder_shape), some_block(0)));
    CHECK_THROWS_AS(again.layer_path(3), shape_error);
    CHECK_THROWS_WITH_AS(read_quantized_layer<folder_weight>(again, 1, folder_shape),
                         doctest::Contains("layer-0001.safetensors"), io_error);
}

TEST_CASE("a folder that is somebody else's is refused, and a refused one leaves nothing") {
    const test::temporary_folder parent;
    parent.write("thesis.txt", "all of it");
    CHECK_THROWS_WITH_AS((quantized_folder_writer{parent.path(), some_manifest()}),
                         doctest::Contains("holds files but no quantized model"), option_error);
    CHECK(files_of(parent.path()) == std::vector<fs::path>{"thesis.txt"});
    CHECK_THROWS_WITH_AS((quantized_folder_writer{parent / "thesis.txt", some_manifest()}),
                         doctest::Contains("found a file"), io_error);
    quantized_manifest no_text = some_manifest();
    no_text.source["name"] = "\xFF";
    CHECK_THROWS_WITH_AS((quantized_folder_writer{parent / "new", no_text}), doctest::Contains("UTF-8"), format_error);
    CHECK_FALSE(fs::exists(parent / "new"));
    parent.write("manifest.json", R"({"model": {}})");
    CHECK_FALSE(is_quantized_folder(parent.path()));
    CHECK_THROWS_WITH_AS(quantized_folder{parent.path()}, doctest::Contains("it is no quantized model's"),
                         format_error);
    CHECK_THROWS_AS(quantized_folder{parent / "nowhere"}, io_error);
}

TEST_CASE("what could not be read again is not written") {
    const test::temporary_folder parent;
    const quantized_folder_writer folder(parent / "q", some_manifest());
    const auto refused = [&](auto const& change, const char* text) {
        random_generator random(5);
        quantized_block<folder_weight> block;
        auto w = test::random_matrix<uniform<3, 32>>(64, 64, random);
        change(w, block);
        if (block.linear[0] == nullptr) block.linear[0] = std::make_shared<const folder_weight>(std::move(w));
        CHECK_THROWS_WITH(write_quantized_layer(folder, 0, block), doctest::Contains(text));
        CHECK(files_of(folder.path()) == std::vector<fs::path>{".lock", "manifest.json"});
    };
    refused([](auto& w, auto&) { w.set_scale(3, 1, NAN); },
            "tensor \"q_proj.scales\": row 3, group 1 has the scale nan; a finite number is expected");
    refused([](auto& w, auto&) { w.arrays().zeros[7] = 8; },
            "tensor \"q_proj.zeros\": row 3, group 1 has the zero 8; less than 8 is expected");
    refused(
        [](auto&, auto& block) {
            block.linear[0] = std::make_shared<const folder_weight>(packed_matrix<dense<float>>(64, 64));
        },
        "q_proj is in the format f32; only low-bit ones are stored");
    refused(
        [](auto&, auto& block) {
            block.fold[1] = {1.0f, 0.0f};
        },
        "tensor \"fold.1\": column 1 is multiplied with 0.000000; a finite number above 0 is expected");
}

TEST_CASE("a full disk is an io_error and leaves nothing half-written") {
    const test::temporary_folder parent;
    const quantized_folder_writer folder(parent / "q", some_manifest());
    write_quantized_layer(folder, 0, some_block(0));
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 1000;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    std::string text;
    try {
        write_quantized_layer(folder, 1, some_block(1));
    } catch (io_error const& e) {
        text = e.what();
    }
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, old_handler);
    CHECK(text.find("layer-0001.safetensors: cannot be written") != std::string::npos);
    CHECK(files_of(folder.path()) == std::vector<fs::path>{".lock", "layer-0000.safetensors", "manifest.json"});
    CHECK(folder.first_missing_layer() == 1);
}

TEST_CASE("a writer that is killed at any time leaves a folder that goes on to the same bytes") {
    const test::temporary_folder parent;
    constexpr std::size_t layers = 6;
    const auto write_missing = [](fs::path const& path) {
        const quantized_folder_writer folder(path, some_manifest(layers));
        for (std::size_t k = 0; k < layers; ++k) {
            if (folder.has_layer(k))
                CHECK(equal(read_quantized_layer<folder_weight>(folder, k, folder_shape), some_block(k)));
            else
                write_quantized_layer(folder, k, some_block(k));
        }
    };
    write_missing(parent / "whole");
    for (int round = 0; round < 12; ++round) {
        const fs::path path = parent / std::to_string(round);
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            try {
                const quantized_folder_writer folder(path, some_manifest(layers));
                for (std::size_t k = 0; k < layers; ++k) write_quantized_layer(folder, k, some_block(k));
            } catch (...) {
            }
            ::_exit(0);
        }
        ::usleep(static_cast<useconds_t>(500 * round));
        ::kill(child, SIGKILL);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        write_missing(path);
        const auto files = files_of(parent / "whole");
        CHECK(files_of(path) == files);
        for (auto const& file : files)
            CHECK(test::read_bytes(path / file) == test::read_bytes(parent / "whole" / file));
    }
}

TEST_CASE("every tensor of a layer is checked, and the error names it") {
    const test::temporary_folder parent;
    const quantized_folder_writer folder(parent / "q", some_manifest());
    write_quantized_layer(folder, 0, some_block(0));
    const fs::path path = folder.layer_path(0);
    REQUIRE(refusal_of_folder(folder) == "none");
    const auto refused = [&](auto const& change, std::string const& text) {
        const std::string before = test::read_bytes(path);
        layer_file file(path);
        change(file);
        file.write(path);
        const std::string found = refusal_of_folder(folder);
        CHECK_MESSAGE(found.starts_with(path.string()), found);
        CHECK_MESSAGE(found.find(text) != std::string::npos, found);
        write_file_atomically(path, before);
    };
    refused([](layer_file& f) { f.set("k_proj.scales", 5, INFINITY); },
            "tensor \"k_proj.scales\": row 2, group 1 has the scale inf; a finite number is expected");
    refused([](layer_file& f) { f.set("k_proj.zeros", 6, std::uint8_t{8}); },
            "tensor \"k_proj.zeros\": row 3, group 0 has the zero 8; less than 8 is expected");
    refused([](layer_file& f) { f.set("gate_proj.order", 5, std::int32_t{64}); }, "tensor \"gate_proj.order\": ");
    refused([](layer_file& f) { f.set("gate_proj.order", 5, std::int32_t{-1}); },
            "column -1 at place 5; at least 0 is expected");
    refused(
        [](layer_file& f) {
            std::int32_t first;
            std::memcpy(&first, f.tensors.at("gate_proj.order").bytes.data(), sizeof first);
            f.set("gate_proj.order", 9, first);
        },
        "at place 9 and at place 0; each column is expected once");
    refused([](layer_file& f) { f.set("fold.0", 3, -1.0f); }, "tensor \"fold.0\": column 3 is multiplied with -1.0");
    refused([](layer_file& f) { f.tensors.erase("v_proj.codes"); }, "tensor \"v_proj.codes\" is missing");
    refused([](layer_file& f) { f.tensors.erase("v_proj.zeros"); }, "tensor \"v_proj.zeros\" is missing");
    refused([](layer_file& f) { f.tensors["o_proj.scales"] = f.tensors["q_proj.scales"]; },
            "tensor \"o_proj.scales\" is not expected");
    refused([](layer_file& f) { f.tensors["fold.4"] = f.tensors["fold.0"]; }, "tensor \"fold.4\" is not expected");
    refused([](layer_file& f) { f.tensors["v_proj.scales"].type = safetensors_type::i32; },
            "tensor \"v_proj.scales\": F32 of shape (64, 2) is expected, I32 of shape (64, 2) was found");
    refused(
        [](layer_file& f) {
            f.tensors["v_proj.codes"].shape = {24, 64};
        },
        "tensor \"v_proj.codes\": U8 of shape (64, 24) is expected, U8 of shape (24, 64) was found");
    refused([](layer_file& f) { f.tensors["fold.3"] = f.tensors["fold.0"]; },
            "tensor \"fold.3\": F32 of shape (96) is expected, F32 of shape (64) was found");
    refused([](layer_file& f) { f.metadata["v_proj.format"] = "nf4-g32"; },
            "__metadata__: \"v_proj.format\": \"nf4-g32\" is no format that the type of weight lists");
    refused([](layer_file& f) { f.metadata["v_proj.format"] = "f32"; }, "\"f32\" is no format");
    refused([](layer_file& f) { f.metadata["v_proj.format"] = "uniform4-g64-sym"; },
            "tensor \"v_proj.codes\": U8 of shape (64, 32) is expected, U8 of shape (64, 24) was found");
    refused([](layer_file& f) { f.metadata["note"] = "mine"; }, "__metadata__: \"note\" is not known");
    refused([](layer_file& f) { f.metadata["layer"] = "1"; },
            "__metadata__: \"layer\": \"0\" is expected, \"1\" was found; the file belongs elsewhere");
    refused([](layer_file& f) { f.metadata["manifest"] = "00"; }, "__metadata__: \"manifest\": ");
    refused([](layer_file& f) { f.metadata.erase("manifest"); }, "__metadata__: \"manifest\" is missing");
    // The file of another model, as it stands.
    block_shape other = folder_shape;
    other.ffn_width = 128;
    CHECK(refusal_of_folder(folder, other).find("tensor \"gate_proj.codes\": U8 of shape (128, 24) is expected") !=
          std::string::npos);
    // A layer of another folder, as it stands.
    quantized_manifest manifest = some_manifest();
    manifest.source["files"][0]["sha256"] = "ce";
    const quantized_folder_writer elsewhere(parent / "p", manifest);
    fs::copy_file(path, elsewhere.layer_path(0));
    CHECK(refusal_of_folder(elsewhere).find("\"manifest\": ") != std::string::npos);
    REQUIRE(refusal_of_folder(folder) == "none");
}

TEST_CASE("a file that is cut anywhere, or has one bit changed anywhere, is refused") {
    const test::temporary_folder parent;
    const quantized_folder_writer folder(parent / "q", some_manifest());
    quantized_block<folder_weight> block;
    random_generator random(8);
    block.linear[0] = std::make_shared<const folder_weight>(test::random_ordered_matrix<uniform<3, 32>>(2, 40, random));
    block.fold[0].assign(40, 1.5f);
    write_quantized_layer(folder, 0, block);
    const block_shape small{40, 1, 1, 2, 8, 1e-5f};
    const fs::path path = folder.layer_path(0);
    REQUIRE(refusal_of_folder(folder, small) == "none");
    const std::string bytes = test::read_bytes(path);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        for (int bit = 0; bit < 8; ++bit) {
            std::string changed = bytes;
            changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
            parent.write("q/layer-0000.safetensors", changed);
            taken += refusal_of_folder(folder, small) == "none";
        }
    CHECK(taken == 0);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        parent.write("q/layer-0000.safetensors", std::string_view(bytes).substr(0, size));
        taken += refusal_of_folder(folder, small) == "none";
    }
    CHECK(taken == 0);
    parent.write("q/layer-0000.safetensors", bytes);
    CHECK(refusal_of_folder(folder, small) == "none");
}

TEST_CASE("what a folder was calibrated on is told in words, as far as it says") {
    quantized_manifest m = some_manifest();
    CHECK(calibrated_on(m).empty());
    m.calibration = {{"documents", 43}, {"tokens", 11083}};
    CHECK(calibrated_on(m) == "calibrated on 43 documents of 11083 tokens");
    m.origin["calibration"] = {{"file", {{"name", "c4\n.jsonl"}}}};
    CHECK(calibrated_on(m) == "calibrated on 43 documents of 11083 tokens of c4\\x0a.jsonl");
    m.calibration = {{"awq_cache", {{"sha256", "ab"}}}};
    m.origin = {{"awq_cache", {{"name", "llama.pt"}}}};
    CHECK(calibrated_on(m) == "scales of llama.pt");
}

} // namespace bitlens::test::quantized_folders
