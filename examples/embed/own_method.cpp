/// A kind of quantization methods of one's own beside the library's, spelled and run as they are:
///     own_method [METHODS]   as in "rtn3-g32,nf3-g32,narrow3-g32,mine=narrow4-row"

#include <bitlens/models/random_model.hpp>
#include <bitlens/models/score.hpp>
#include <bitlens/recipes/quantize_model.hpp>
#include <bitlens/stats/moments.hpp>

#include <cstdio>
using namespace bitlens;

/// Round to nearest on a grid over nine tenths of each group's range: most weights are nearer to a level, the largest
/// are cut off.
template <class F>
struct narrow {
    using format = F;
    packed_matrix<F> operator()(matrix_view<const float> w) const {
        packed_matrix<F> packed = rtn<F>{}(w);
        for (std::size_t r = 0; r < w.rows; ++r)
            for (std::size_t c = 0; c < w.cols; ++c) {
                const std::size_t g = packed.group_of(c);
                if (c == 0 || packed.group_of(c - 1) != g) packed.set_scale(r, g, packed.scale(r, g) * 0.9f);
                const affine_grid grid{packed.scale(r, g), static_cast<float>(F::codebook.size() / 2)};
                packed.set_code(r, c, static_cast<std::uint8_t>(grid.code(w(r, c), F::codebook.size() - 1)));
            }
        return packed;
    }
};

struct narrow_method {
    static constexpr method_usage usage{"narrow", 3, 4, ""};
    int bits = 4;
    std::size_t group_size = 0;

    bool operator==(narrow_method const&) const = default;
    static narrow_method read(method_words& words) { return {words.bits(), words.group_size()}; }
    std::string text() const { return rtn_method{bits, group_size}.text().replace(0, 3, usage.word); }
    std::uint64_t bytes(matrix_shape shape) const { return rtn_method{bits, group_size, true}.bytes(shape); }
    template <quant_format F>
        requires is_uniform<F> std::optional<narrow<F>> quantizer()
    const {
        if (!rtn_method{bits, group_size, true}.quantizer<F>()) return std::nullopt;
        return narrow<F>{};
    }
};
using study_method = basic_method<rtn_method, normal_float_method, narrow_method>;

int main(int argc, char** argv) try {
    const auto methods =
        parse_methods<study_method>(argc > 1 ? argv[1] : "rtn3-g32,nf3-g32,narrow3-g32,mine=narrow4-row");
    const auto model = tiny_model<llama, study_matrix>(tiny_config<llama>(), 1);
    std::vector<std::int32_t> ids(64);
    random_generator random(2);
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(model.config().vocabulary));
    const auto loss = [&](auto const& of) {
        no_probe nothing;
        return mean(score(of, ids, nothing));
    };
    for (auto const& m : methods) {
        const auto layers = std::make_shared<quantized_layers<study_matrix, study_method>>(model.layers(), m);
        std::printf("%-12s %-12s error %+.4f nats\n", m.name.c_str(), m.text().c_str(),
                    loss(model.with_layers(layers)) - loss(model));
    }
} catch (option_error const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
