#include "bitlens/layers/key_value_cache.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/layers/attention.hpp"

#include "every_arithmetic.hpp"
#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;
using test::same_bits;

namespace {

/// A text of some positions: heads · head_dim queries, kv_heads · head_dim keys and values.
struct text_of_heads {
    std::size_t positions, heads, kv_heads, head_dim;
    matrix<float> q, k, v;

    text_of_heads(std::size_t count, std::size_t query_heads, std::size_t key_heads, std::size_t dims)
        : positions(count), heads(query_heads), kv_heads(key_heads), head_dim(dims), q(count, query_heads * dims),
          k(count, key_heads * dims), v(count, key_heads * dims) {
        random_generator random(count + dims);
        for (auto* m : {&q, &k, &v})
            for (float& x : m->span()) x = static_cast<float>(random.normal());
    }
    template <class Arch = simd::default_arch>
    matrix<float> whole(attention_rule const& rule, arithmetic a = arithmetic::f32) const {
        matrix<float> out(positions, heads * head_dim);
        workspace scratch(attention_bytes<Arch>(positions, kv_heads, head_dim, 1), 1, a);
        attention<Arch>(q, k, v, head_dim, rule, out, scratch);
        return out;
    }
};

/// Sizes around panels of keys and dimensions, pieces of values, and the blocks of 512 to 1536 keys whose values are
/// summed at once.
std::vector<text_of_heads> texts_to_cache() {
    std::vector<text_of_heads> texts;
    for (auto const& [count, heads, kv_heads, dims] :
         std::initializer_list<std::array<std::size_t, 4>>{{1, 1, 1, 2},
                                                           {7, 4, 2, 6},
                                                           {49, 3, 3, 34},
                                                           {70, 4, 2, 64},
                                                           {130, 2, 1, 128},
                                                           {20, 2, 2, 1100},
                                                           {1560, 1, 1, 6}})
        texts.emplace_back(count, heads, kv_heads, dims);
    return texts;
}

std::vector<attention_rule> rules_of_windows(text_of_heads const& text) {
    const float scale = attention_scale(text.head_dim);
    return {{.scale = scale},
            {.scale = scale, .window = text.positions / 3 + 1, .soft_cap = 0.8f},
            {.scale = scale, .window = 1},
            {.scale = scale, .window = 33}};
}

/// Each piece is appended, then asked: so many positions at a time, the first number first.
template <class Arch = simd::default_arch>
matrix<float> by_pieces(text_of_heads const& text, attention_rule const& rule, std::size_t first_piece,
                        std::size_t pieces_after, unsigned tasks, arithmetic a) {
    key_value_cache<Arch> cache(text.kv_heads, text.head_dim, a);
    matrix<float> out(text.positions, text.heads * text.head_dim);
    workspace scratch(
        cached_attention_bytes<Arch>(std::max(first_piece, pieces_after), text.positions, text.head_dim, tasks), tasks,
        a);
    for (std::size_t t = 0, count; t < text.positions; t += count) {
        count = std::min(t == 0 ? first_piece : pieces_after, text.positions - t);
        cache.append(text.k.view().middle_rows(t, count), text.v.view().middle_rows(t, count), tasks);
        CHECK(cache.positions() == t + count);
        const cached_queries<Arch> queries{&cache, t, text.q.view().middle_rows(t, count),
                                           out.view().middle_rows(t, count)};
        attention<Arch>(std::span(&queries, 1), rule, scratch);
    }
    return out;
}

} // namespace

TEST_CASE("attention over a cache has the bits of attention over the whole text, however it grew") {
    test::for_every_arithmetic([](arithmetic a) {
        for (auto const& text : texts_to_cache()) {
            CAPTURE(text.positions);
            CAPTURE(text.head_dim);
            for (auto const& rule : rules_of_windows(text)) {
                CAPTURE(rule.window);
                const auto whole = text.whole(rule, a);
                for (auto const& piece : std::initializer_list<std::pair<std::size_t, std::size_t>>{
                         {text.positions, 1}, {text.positions / 2 + 1, 1}, {1, 1}, {5, 13}, {48, 32}}) {
                    const std::size_t first = piece.first, after = piece.second;
                    if (after == 1 && text.positions - std::min(first, text.positions) > 800) continue; // takes long
                    CAPTURE(first);
                    CHECK(same_bits(by_pieces(text, rule, first, after, 1, a), whole));
                }
                CHECK(same_bits(by_pieces(text, rule, 17, 40, 3, a), whole));
            }
        }
    });
    const text_of_heads text(70, 4, 2, 34);
    const attention_rule rule{.scale = 0.3f, .window = 20};
    CHECK(same_bits(by_pieces<simd::scalar>(text, rule, 9, 1, 1, arithmetic::f32), text.whole<simd::scalar>(rule)));
}

TEST_CASE("queries of several texts, side by side, have the bits that each has alone") {
    const std::size_t dims = 34;
    std::vector<text_of_heads> texts;
    for (const std::size_t count : {3u, 70u, 1u, 33u}) texts.emplace_back(count, 4, 2, dims);
    const attention_rule rule{.scale = 0.3f, .window = 21};
    for (const unsigned tasks : {1u, 2u, 5u}) {
        std::vector<key_value_cache<>> caches;
        std::vector<matrix<float>> out;
        std::vector<cached_queries<>> queries;
        for (auto const& text : texts) {
            caches.emplace_back(2, dims, arithmetic::f32);
            caches.back().append(text.k, text.v);
            out.emplace_back(text.positions, 4 * dims);
        }
        for (std::size_t i = 0; i < texts.size(); ++i) { // the last of some, all of others
            const std::size_t first = i % 2 == 0 ? 0 : texts[i].positions - 2, count = texts[i].positions - first;
            queries.push_back({&caches[i], first, texts[i].q.view().middle_rows(first, count),
                               out[i].view().middle_rows(first, count)});
        }
        workspace scratch(cached_attention_bytes(3, 70, dims, tasks), tasks);
        attention(std::span<const cached_queries<>>(queries), rule, scratch);
        for (std::size_t i = 0; i < texts.size(); ++i) {
            const std::size_t first = queries[i].first, count = texts[i].positions - first;
            CHECK(same_bits(out[i].view().middle_rows(first, count),
                            texts[i].whole(rule).view().middle_rows(first, count)));
        }
    }
}

TEST_CASE("room grows by half, and is kept when a cache is cleared") {
    const text_of_heads text(400, 2, 1, 16);
    key_value_cache cache(1, 16, arithmetic::f32);
    CHECK(cache.capacity() == 0);
    std::vector<std::size_t> rooms;
    for (std::size_t t = 0; t < text.positions; ++t) {
        cache.append(text.k.view().middle_rows(t, 1), text.v.view().middle_rows(t, 1));
        if (rooms.empty() || rooms.back() != cache.capacity()) rooms.push_back(cache.capacity());
    }
    CHECK(rooms == std::vector<std::size_t>{32, 64, 96, 160, 256, 384, 576});
    cache.clear();
    CHECK(cache.positions() == 0);
    CHECK(cache.capacity() == 576);

    // What was there before is gone: another text, whose last keys lie among old ones.
    const text_of_heads other(50, 2, 1, 16);
    cache.append(other.k, other.v);
    matrix<float> out(50, 32);
    const attention_rule rule{.scale = 0.25f};
    const cached_queries<> queries{&cache, 0, other.q, out};
    workspace scratch(cached_attention_bytes(50, 50, 16, 1));
    attention(std::span(&queries, 1), rule, scratch);
    CHECK(same_bits(out, other.whole(rule)));

    key_value_cache reserved(1, 16, arithmetic::f32);
    reserved.reserve(100);
    CHECK(reserved.capacity() == 128);
    reserved.reserve(50);
    CHECK(reserved.capacity() == 128);
    // Of 128 positions: values of 48 or fewer dimensions in a panel; keys in whole panels; one panel of keys as floats.
    CHECK(key_value_cache<>::bytes(100, 1, 16, arithmetic::f32) >= 2 * 128 * 16 * sizeof(float));
    CHECK(key_value_cache<>::bytes(100, 3, 16, arithmetic::f32) ==
          3 * key_value_cache<>::bytes(100, 1, 16, arithmetic::f32));
}

TEST_CASE("keys, values and queries that do not fit a cache are refused") {
    CHECK_THROWS_WITH_AS(key_value_cache<>(0, 4, arithmetic::f32),
                         "key_value_cache: 0 heads of 4 dimensions, expected at least 1 of 1", shape_error);
    key_value_cache cache(2, 4, arithmetic::f32);
    const matrix<float> k(3, 8), narrow(3, 4), fewer(2, 8);
    CHECK_THROWS_WITH_AS(cache.append(narrow, k), "key_value_cache: k is 3 × 4, expected 3 × 8", shape_error);
    CHECK_THROWS_WITH_AS(cache.append(k, fewer), "key_value_cache: v is 2 × 8, expected 3 × 8", shape_error);
    cache.append(k, k);
    matrix<float> q(2, 16), out(2, 16);
    workspace scratch(cached_attention_bytes(2, 3, 4, 1)), small(64);
    const auto ask = [&](std::size_t first, workspace& w, attention_rule const& rule = {.scale = 1}) {
        const cached_queries<> queries{&cache, first, q, out};
        attention(std::span(&queries, 1), rule, w);
    };
    ask(1, scratch);
    CHECK_THROWS_WITH_AS(ask(2, scratch), "attention: 2 queries from 2 on, of 3", shape_error);
    CHECK_THROWS_WITH_AS(ask(1, small), doctest::Contains("attention: the workspace has 64 of 64 bytes free"),
                         shape_error);
    CHECK_THROWS_AS(ask(1, scratch, {.scale = 1, .window = 0}), option_error);
    workspace rounded(cached_attention_bytes(2, 3, 4, 1), 1, arithmetic::bf16_emulated);
    CHECK_THROWS_WITH_AS(ask(1, rounded),
                         "attention: keys and values are packed for float32, the workspace is for bf16 (emulated)",
                         option_error);
}
