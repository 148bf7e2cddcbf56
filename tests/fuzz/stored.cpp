#include "allocations.hpp"
#include "files.hpp"
#include "keeps_to_form.hpp"
#include "layer_in_short.hpp"
#include "targets.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/formats/affine.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/formats/dense.hpp"
#include "bitlens/formats/lookup.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/io/gguf_blocks.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/io/safetensors_writer.hpp"
#include "bitlens/models/checkpoint_path.hpp"
#include "bitlens/models/config_quantization.hpp"
#include "bitlens/stored/find_stored_linear.hpp"
#include "bitlens/stored/gguf_blocks_of.hpp"
#include "bitlens/stored/gguf_linear.hpp"
#include "bitlens/stored/module_pattern.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::fuzz {

namespace {

/// f(), which may hold so many bytes of memory at once.
template <class F>
auto within(std::size_t most, F const& f) {
    take_peak();
    const std::size_t before = allocated();
    const auto check = [&] { must(take_peak() <= before + most, "memory out of proportion"); };
    try {
        auto result = f();
        check();
        return result;
    } catch (error const&) {
        check();
        throw;
    }
}

/// All that a matrix in codes promises.
void check(coded_matrix const& m) {
    const std::size_t groups = m.cols() / m.group_columns + (m.cols() % m.group_columns != 0);
    const auto has_groups = [&](matrix<float> const& of) { return of.rows() == m.rows() && of.cols() == groups; };
    must(m.bits >= 1 && m.bits <= 8, "codes of no number of bits");
    must(has_groups(m.scales), "scales of other groups");
    must(m.zeros.rows() == 0 || has_groups(m.zeros), "zeros of other groups");
    must(m.offsets.rows() == 0 || has_groups(m.offsets), "offsets of other groups");
    must(m.levels.empty() || m.levels.size() == std::size_t{1} << m.bits, "levels that are not those of the codes");
    must(std::ranges::all_of(m.codes.span(), [&](unsigned q) { return q >> m.bits == 0; }), "a code of more bits");
    std::vector<bool> is_read(m.cols());
    for (const std::uint32_t c : m.order) is_read.at(c) = true;
    must(m.order.empty() || (m.order.size() == m.cols() && std::ranges::all_of(is_read, std::identity())),
         "an order that leaves out a column");
}

/// The values of m, all of them finite, which are those of the format that is found to hold it.
std::vector<float> values_of(coded_matrix const& m) {
    using weights =
        mixed_matrix<dense<float>, uniform<2, 16>, uniform<3, 0>, uniform<4, 32>, uniform<8, 0>, normal_float<4, 0>,
                     affine<2, 16>, affine<4, 32>, affine<4, 0>, lookup<e2m1_levels, 16>, lookup<iq4_levels, 32>>;
    std::vector<float> values(m.rows() * m.cols());
    for (std::size_t r = 0; r < m.rows(); ++r) m.read_row(r, std::span(values).subspan(r * m.cols(), m.cols()));
    must(std::ranges::all_of(values, [](float x) { return std::isfinite(x); }), "a weight that is not finite");
    if (const auto packed = packed_as<weights>(m))
        for (std::size_t i = 0; i < values.size(); ++i)
            must(packed->value(i / m.cols(), i % m.cols()) == values[i], "another weight once packed");
    return values;
}

void check_form(coded_matrix const& form, coded_matrix const& m) {
    check(form);
    must(test::keeps_to_form(form, m), "a form of another matrix");
}

/// What a line of JSON says, kept for the next: fuzzers seldom change it.
quantization_description const& described(std::string_view line) {
    static std::string last;
    static std::optional<quantization_description> said;
    if (said && line == last) return *said;
    said.reset();
    json object = json::object();
    try {
        object = parse_json(line, "config.json");
    } catch (format_error const&) { // is the matter of another target
    }
    said.emplace(std::move(object), "config.json: key \"quantization_config\"");
    last = line;
    return *said;
}

/// The headers of a layer's tensors, then their numbers.
void read_layer(input bytes, std::initializer_list<std::string_view> parts) {
    static const folder place;
    static const safetensors_file file([] {
        write_safetensors(place / "model.safetensors", {}, {});
        return place / "model.safetensors";
    }());
    const layer_in_short layer(bytes, std::span(parts.begin(), parts.size()), file);
    constexpr std::size_t for_nothing = std::size_t{32} << 10;
    auto const* const said = within(for_nothing + 400 * layer.said().size(), [&] { return &described(layer.said()); });
    const std::size_t most = for_nothing + 100 * layer.bytes(); // of which the description is no part
    const auto linear = within(most, [&] { return find_stored_linear(layer.tensors(), *said); });
    must(linear->rows() != 0 && linear->cols() != 0, "a layer without weights");
    must(!linear->type().empty() && linear->bytes() == layer.bytes(), "a layer of other bytes");
    const auto form = within(most, [&] { return linear->form(); });
    within(most, [&] { return linear->conclusion(); });
    const auto m = within(most, [&] { return linear->read(); });
    must(m.rows() == linear->rows() && m.cols() == linear->cols(), "a matrix of another shape");
    check(m);
    if (form) check_form(*form, m);
    values_of(m);
}

} // namespace

void stored_gptq(input bytes) { read_layer(bytes, {"qweight", "qzeros", "scales", "g_idx"}); }
void stored_awq(input bytes) { read_layer(bytes, {"qweight", "qzeros", "scales", "scaled_zeros"}); }
void stored_efficient_qat(input bytes) { read_layer(bytes, {"qweight", "qzeros", "scales", "g_idx", "weight"}); }
void stored_bitsandbytes(input bytes) {
    read_layer(bytes,
               {"weight", "weight.absmax", "weight.quant_map", "weight.quant_state.bitsandbytes__nf4",
                "weight.quant_state.bitsandbytes__fp4", "weight.nested_absmax", "weight.nested_quant_map", "SCB"});
}
void stored_flute(input bytes) { read_layer(bytes, {"weight", "scales", "tables", "tables2"}); }
void stored_compressed(input bytes) {
    read_layer(bytes, {"weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"});
}
void stored_float4(input bytes) {
    read_layer(bytes,
               {"weight_packed", "weight_scale", "weight_global_scale", "weight", "weight_scale_2", "input_scale"});
}
void stored_byte_codes(input bytes) { read_layer(bytes, {"weight", "weight_scale", "weight_zero_point"}); }
void stored_mlx(input bytes) { read_layer(bytes, {"weight", "scales", "biases", "qbiases"}); }
void stored_auto_round(input bytes) { read_layer(bytes, {"qweight", "qzeros", "scales", "g_idx"}); }

/// Two bytes say the type and the number of rows; blocks follow.
void gguf_blocks(input bytes) {
    if (bytes.size() < 2) return;
    auto const& type = gguf_block_types[bytes[0] % gguf_block_types.size()];
    const std::size_t rows = 1 + bytes[1] % 3;
    if (type.decode == nullptr) throw format_error("type " + std::string(type.name) + " is not decoded");
    const auto all = bytes.subspan(2);
    const std::size_t blocks = all.size() / type.bytes / rows;
    const std::vector<std::uint8_t> kept(all.begin(),
                                         all.begin() + static_cast<std::ptrdiff_t>(rows * blocks * type.bytes));
    const gguf_tensor t{"t", &type, {blocks * type.elements, rows, 1, 1}, 2, std::as_bytes(std::span(kept))};
    matrix<float> decoded(rows, t.cols());
    for (std::size_t r = 0; r < rows; ++r)
        type.decode(t.bytes.data() + r * t.row_bytes(), blocks, decoded.row(r).data());
    if (type.parts == nullptr) return;
    const gguf_linear linear(t, "model.gguf", nullptr);
    std::optional<coded_matrix> m;
    try {
        m = linear.read();
    } catch (format_error const&) {
        must(!std::ranges::all_of(decoded.span(), [](float x) { return std::isfinite(x); }), "finite numbers refused");
        throw;
    }
    check(*m);
    check_form(*linear.form(), *m);
    must(std::ranges::equal(values_of(*m), decoded.span()), "other numbers than those decoded");
    if (type.parts->put_together == nullptr) return;
    const auto again = gguf_blocks_of(*m, type, "model.gguf");
    matrix<float> written(1, decoded.span().size());
    type.decode(again.data(), rows * blocks, written.data());
    must(std::ranges::equal(written.span(), decoded.span()), "other numbers once written");
}

/// Reads what a config.json says, and the same as the files beside one say it.
void quantization(input bytes) {
    const json said = parse_json(as_text(std::as_bytes(bytes)), "config.json");
    const auto describe = [](quantization_description const& d) {
        must(d.method().find_first_of("_ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos, "a method in other letters");
        if (auto const* const schemes = d.schemes())
            for (const std::string_view layer : {"model.layers.10.mlp.up_proj", "lm_head", "model.embed_tokens",
                                                 "model.language_model.layers.1.self_attn.q_proj"})
                if (auto const* const scheme = schemes->of(layer))
                    must(schemes->are_said() && (scheme->block[0] == 0) == (scheme->block[1] == 0), "half a block");
        if (detail::is_auto_round(d)) detail::auto_round_layout(d);
        if (d.method() == "gptq") gptq_layout::of(d);
    };
    for (auto const& [name, method] : detail::quantization_files) try {
            detail::quantization_refusal(said, std::string(name), method);
            describe({said, std::string(name)});
        } catch (format_error const&) {
        }
    for (auto const& [place, value] : detail::quantizations_in(said, "config.json"))
        if (const auto text = detail::quantization_refusal(*value, place)) throw format_error(*text);
    describe(detail::quantization_in(said, "config.json"));
}

/// A line, and the names of modules that it takes in or not: on each line one.
void module_pattern(input bytes) {
    const std::string_view text = as_text(std::as_bytes(bytes));
    const std::size_t end = std::min(text.find('\n'), text.size());
    const bitlens::module_pattern pattern(text.substr(0, end), "config.json");
    for (std::size_t at = end; at < text.size();) {
        const std::size_t next = std::min(text.find('\n', at + 1), text.size());
        pattern.matches(text.substr(at + 1, next - at - 1));
        at = next;
    }
}

} // namespace bitlens::fuzz
