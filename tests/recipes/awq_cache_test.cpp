#include "bitlens/recipes/awq_cache.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/recipes/awq_walk.hpp"

#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>

using namespace bitlens;
using namespace std::string_literals;

namespace {

const std::filesystem::path goldens = std::filesystem::path(BITLENS_TEST_DATA) / "awq_cache";

model_config config() {
    auto c = tiny_config<llama>();
    c.layers = 2;
    return c;
}
awq_cache read(std::filesystem::path const& path) { return read_awq_cache(path, config(), llama::description); }

/// Entries of a file of torch.save, by name.
std::map<std::string, std::string> entries_of(std::string const& bytes) {
    std::map<std::string, std::string> entries;
    const zip_file zip(as_bytes(bytes), "zip");
    for (auto const& entry : zip.entries()) entries[std::string(entry.name)] = as_text(zip.unpack(entry).first);
    return entries;
}

/// A zip file of stored entries whose checksums are right.
std::string zipped(std::map<std::string, std::string> const& entries) {
    std::string file, directory;
    const auto number = [](std::string& to, std::uint64_t value, int bytes) {
        for (; bytes > 0; --bytes, value >>= 8) to += static_cast<char>(value);
    };
    for (auto const& entry : entries) {
        auto const &name = entry.first, &data = entry.second;
        const std::size_t offset = file.size();
        const auto common = [&](std::string& to) {
            number(to, 20, 2); // version; flags, method, time, date
            number(to, 0, 8);
            number(to, crc32_of(as_bytes(data)), 4);
            number(to, data.size(), 4);
            number(to, data.size(), 4);
            number(to, name.size(), 2);
            number(to, 0, 2);
        };
        number(file, zip::local_entry, 4);
        common(file);
        file += name + data;
        number(directory, zip::central_entry, 4);
        number(directory, 20, 2);
        common(directory);
        number(directory, 0, 10); // comment, disk, attributes
        number(directory, offset, 4);
        directory += name;
    }
    const std::size_t begin = file.size();
    file += directory;
    number(file, zip::end_record, 4);
    number(file, 0, 4);
    number(file, entries.size(), 2);
    number(file, entries.size(), 2);
    number(file, directory.size(), 4);
    number(file, begin, 4);
    number(file, 0, 2);
    return file;
}

std::string replaced(std::string text, std::string const& what, std::string const& by) {
    const auto at = text.find(what);
    REQUIRE(at != text.npos);
    return text.replace(at, what.size(), by);
}

/// What is said of float32.pt with its pickle changed, without the path.
std::string refusal(std::string const& what, std::string const& by) {
    const test::temporary_folder folder;
    auto entries = entries_of(test::read_bytes(goldens / "float32.pt"));
    auto& pickled = entries.at("float32/data.pkl");
    pickled = replaced(pickled, what, by);
    folder.write("cache.pt", zipped(entries));
    try {
        read(folder / "cache.pt");
    } catch (format_error const& e) {
        return std::string(e.what()).substr((folder / "cache.pt").string().size() + 2);
    }
    return "read";
}

} // namespace

TEST_CASE("scales and clips of published files, in each of their types") {
    for (const char* name : {"float16.pt", "bfloat16.pt", "float32.pt"}) {
        CAPTURE(name);
        const auto cache = read(goldens / name);
        REQUIRE(cache.fold.scales.size() == 2);
        for (std::size_t k = 0; k < 2; ++k) {
            const auto check_scales_of = [&](std::size_t group, std::size_t n, std::size_t width) {
                auto const& scales = cache.fold.scales[k][group];
                REQUIRE(scales.size() == width);
                for (std::size_t c = 0; c < width; ++c)
                    CHECK(scales[c] == static_cast<float>(1 + (7 * c + 3 * k + n) % 56) / 8);
            };
            check_scales_of(0, 0, 64);
            CHECK(cache.fold.scales[k][1].empty());
            check_scales_of(2, 1, 64);
            check_scales_of(3, 2, 160);
            const auto clips_of = [&](projection p) -> auto const& {
                return cache.clips[k][static_cast<std::size_t>(p)];
            };
            CHECK(clips_of(projection::q).rows() == 0);
            CHECK(clips_of(projection::v).rows() == 32);
            CHECK(clips_of(projection::down).rows() == (k == 1 ? 64 : 0));
            auto const& up = clips_of(projection::up);
            REQUIRE(up.cols() == 2);
            for (std::size_t r = 0; r < 160; ++r)
                for (std::size_t g = 0; g < 2; ++g)
                    CHECK(up(r, g) == static_cast<float>(1 + (3 * r + 5 * g) % 48) / 16);
        }
    }
}

TEST_CASE("a block by what was published: scaled, clipped, rounded") {
    using weight = mixed_matrix<dense<float>, uniform<3, 32>, uniform<3, 64>>;
    const auto m = tiny_model<llama, weight>(config(), 3);
    const auto cache = read(goldens / "float32.pt");
    constexpr block_form form = llama::description.form;
    for (std::size_t k = 0; k < 2; ++k) {
        const auto full = m.layers()->layer(k);
        const auto block = awq_block_of(cache, k, full, form, config().block, awq_method{3, 32});
        CHECK(block.fold == cache.fold.scales[k]);
        const auto scaled = folded(full, form, config().block, block.fold);
        for (std::size_t p = 0; p < projection_count; ++p) {
            auto const& w = *scaled.linear[p];
            matrix<float> expected(w.rows(), w.cols());
            for (std::size_t r = 0; r < w.rows(); ++r)
                for (std::size_t c = 0; c < w.cols(); ++c) {
                    expected(r, c) = w.value(r, c);
                    if (cache.clips[k][p].rows() != 0) {
                        const float m_of_group = cache.clips[k][p](r, c / 32);
                        expected(r, c) = std::clamp(expected(r, c), -m_of_group, m_of_group);
                    }
                }
            const auto rounded = round_spanning<uniform<3, 32>>(expected.view());
            for (std::size_t r = 0; r < w.rows(); ++r)
                for (std::size_t c = 0; c < w.cols(); ++c) REQUIRE(block.linear[p]->value(r, c) == rounded.value(r, c));
        }
    }
    CHECK_THROWS_WITH_AS(awq_block_of(cache, 1, m.layers()->layer(1), form, config().block, awq_method{3, 64}),
                         "awq_cache: layer 1 v_proj is clipped in 2 groups of a row, awq3-g64 has 1", format_error);
}

TEST_CASE("a file that does not fit the model") {
    const auto path = goldens / "float32.pt";
    auto other = config();
    other.layers = 1;
    CHECK_THROWS_WITH_AS(
        read_awq_cache(path, other, llama::description),
        (path.string() + ": scale 3: \"model.layers.1.input_layernorm\": the model has 1 layers").c_str(),
        format_error);
    other = config();
    other.block.ffn_width = 192;
    CHECK_THROWS_AS(read_awq_cache(path, other, llama::description), format_error);
    CHECK_THROWS_WITH_AS(
        read_awq_cache(path, config(), olmo2::description),
        (path.string() + ": scale 0: \"model.layers.0.input_layernorm\": blocks of the family olmo2 have no such part")
            .c_str(),
        format_error);
    CHECK_THROWS_AS(read(goldens / "make_goldens.py"), format_error); // no zip file
    CHECK_THROWS_AS(read(goldens / "nothing.pt"), io_error);
}

TEST_CASE("entries that are wrong are named") {
    CHECK(refusal("model.layers.0.input_layernorm", "model.layers.0.input_layernorn") ==
          "scale 0: \"model.layers.0.input_layernorn\": blocks of the family llama have no such part");
    CHECK(refusal("model.layers.0.input", "nodel.layers.0.input")
              .ends_with("a name like \"model.layers.0.…\" is expected"));
    CHECK(refusal("model.layers.0.input", "model.layers.X.input").ends_with("a layer's number is expected"));
    CHECK(refusal("torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_parameter").find("is not allowed") !=
          std::string::npos);
    CHECK(refusal("scale", "Scale") == "there is no key \"scale\"");
    CHECK(refusal("FloatStorage", "HalfStorage").find("its storage has 256 bytes, 64 numbers of 2 are expected") !=
          std::string::npos);
    CHECK(refusal("storage", "Storage").find("a storage is expected, \"Storage\" was found") != std::string::npos);
    CHECK(refusal("mlp.up_proj", "mlp.no_proj").find("no such part") != std::string::npos);
}

TEST_CASE("any bytes of the pickle give a cache or an error that says why") {
    const test::temporary_folder folder;
    const auto path = folder / "cache.pt";
    random_generator random(1);
    for (const char* name : {"float32", "bfloat16"}) {
        const auto entries = entries_of(test::read_bytes(goldens / (name + ".pt"s)));
        const std::string key = name + "/data.pkl"s;
        std::size_t refused = 0, tried = 0;
        for (std::size_t i = 0; i < entries.at(key).size(); i += 3) {
            auto changed = entries;
            changed.at(key)[i] = static_cast<char>(random.below(256));
            if (random.below(4) == 0) changed.at(key).erase(i, random.below(8));
            folder.write("cache.pt", zipped(changed));
            ++tried;
            try {
                read(path);
            } catch (format_error const& e) {
                ++refused;
                CHECK(std::string(e.what()).starts_with(path.string()));
            }
        }
        CHECK(refused > tried / 2);
    }
}
