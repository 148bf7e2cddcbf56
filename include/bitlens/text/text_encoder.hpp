#pragma once
/// text_encoder: text → ids, step by step as tokenizer_definition says.

#include "bitlens/text/added_tokens.hpp"
#include "bitlens/text/byte_pair_model.hpp"
#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/pre_tokenizer.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

struct text_encoder {
    added_token_finder raw_added, normalized_added; // looked for before, and after, normalization
    std::vector<normalizer::step> normalizer;
    std::vector<pre_tokenizer::step> pre_tokenizer;
    byte_pair_model model;

    /// The ids of a text, which must be valid UTF-8 of less than 4 GiB.
    std::vector<std::int32_t> encode(std::string_view text, bool special) const;
};

namespace detail {

/// One call of `encode`: the ids so far, and where in them the parts of words met lately have theirs.
class encoding {
public:
    encoding(text_encoder const& encoder, std::size_t text_size)
        : encoder_(encoder),
          known_(encoder.model.may_remember() ? std::bit_ceil(std::clamp<std::size_t>(text_size / 8, 16, 8192)) : 0) {
        ids_.reserve(text_size / 4);
    }

    void run(std::string_view text, bool special) {
        const auto push = [&](std::int32_t id) { ids_.push_back(id); };
        const auto between = [&](std::string_view raw) {
            const bool begins_text = raw.data() == text.data();
            std::string_view part = raw;
            if (!encoder_.normalizer.empty()) part = rewritten_.emplace_front(normalize(encoder_.normalizer, raw));
            const auto words = [&](std::string_view piece) {
                for_each_word(encoder_.pre_tokenizer, piece, begins_text && piece.data() == part.data(), rewritten_,
                              [&](std::string_view word) {
                                  encoder_.model.for_each_part(word, [&](std::string_view p) { append(p); });
                              });
            };
            encoder_.normalized_added.cut(part, special, words, push);
        };
        encoder_.raw_added.cut(text, special, between, push);
    }

    std::vector<std::int32_t> take() { return std::move(ids_); }

private:
    /// A part of a word and its ids, which are ids_[first … first + count − 1].
    struct known_part {
        std::string_view part; // of the caller's text or of rewritten_
        std::size_t first = 0, count = 0;
    };

    /// There is one place for a part, which forgets what was there, so size and time are bounded.
    void append(std::string_view part) {
        if (known_.empty()) return encoder_.model.encode(part, ids_, memory_);
        known_part& place = known_[std::hash<std::string_view>{}(part) & (known_.size() - 1)];
        if (place.part == part) {
            for (std::size_t i = 0; i < place.count; ++i) ids_.push_back(ids_[place.first + i]);
            return;
        }
        const std::size_t first = ids_.size();
        encoder_.model.encode(part, ids_, memory_);
        place = {part, first, ids_.size() - first};
    }

    text_encoder const& encoder_;
    std::vector<known_part> known_;
    std::forward_list<std::string> rewritten_; // each stays where it is
    byte_pair_model::scratch memory_;
    std::vector<std::int32_t> ids_;
};

} // namespace detail

inline std::vector<std::int32_t> text_encoder::encode(std::string_view text, bool special) const {
    detail::encoding call(*this, text.size());
    call.run(text, special);
    return call.take();
}

} // namespace bitlens
