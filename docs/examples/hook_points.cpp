#include <bitlens/hooks.hpp>
#include <bitlens/models.hpp>

#include <cstdio>

namespace hook = bitlens::hook;
using weight = bitlens::packed_matrix<bitlens::dense<float>>;

/// Prints every point of a run as it fires in layer 0, and after the last layer.
template <class Points>
struct printer;
template <class... Points>
struct printer<std::tuple<Points...>> {
    using points = hook::set<Points...>;

    template <hook::point Point>
    void on(Point, bitlens::site at, bitlens::matrix_view<const float> a) const {
        if (at.layer == 0 || !hook::per_layer<Point>)
            std::printf("%-13s %zu x %-3zu %s\n", hook::name<Point>.data(), a.rows, a.cols,
                        hook::per_layer<Point> ? "in every layer" : "once");
    }
};

int main() {
    auto config = bitlens::tiny_config<bitlens::llama>();
    config.block.head_dim = 8;
    auto const& sizes = config.block;
    std::printf("d %zu, heads %zu x %zu, key heads %zu x %zu, d_ff %zu, vocabulary %zu, T 3\n", sizes.width,
                sizes.heads, sizes.head_dim, sizes.kv_heads, sizes.head_dim, sizes.ffn_width, config.vocabulary);
    printer<decltype(std::tuple_cat(hook::all{}, hook::once{}))> probe;
    bitlens::tiny_model<bitlens::llama, weight>(config, 1).forward(std::vector<std::int32_t>{1, 2, 3}, probe);
}
