#pragma once
/// What a tokenizer file says, in terms that all file formats share.

#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/pre_tokenizer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// How the text of a token in the vocabulary stands for bytes.
enum class token_spelling : std::uint8_t {
    alphabet,   // GPT-2's: a character for each byte; words are merged from bytes
    bytes,      // the bytes themselves, valid UTF-8 or not; words are merged from bytes
    characters, // UTF-8, with the space written as the normalizer or pre-tokenizer writes it (▁); words are merged
                // from characters
};

/// Which pairs of neighbours may be merged, and which of them first. The leftmost of equal ones goes first.
enum class merge_order : std::uint8_t {
    listed,   // those of `merges`, by falling priority (Hugging Face)
    by_id,    // every pair that makes a token together, the lowest id first (tiktoken, tekken)
    by_score, // the same, the highest score first (SentencePiece)
};

/// A BPE tokenizer as its file describes it. Nothing is checked here; the class `tokenizer` does that.
///
/// A text goes this way: added tokens with `normalized` = false are cut out; what lies between goes through
/// `normalizer`; added tokens with `normalized` = true are cut out; what lies between is cut into words by
/// `pre_tokenizer`; in each word `frozen` tokens are found and the rest is merged.
struct tokenizer_definition {
    struct token {
        std::string text; // as `spelling` says
        std::int32_t id;
        float score = 0; // for merge_order::by_score
    };
    struct added_token {
        std::string text; // as it stands in documents: UTF-8
        std::int32_t id;
        bool special;             // matched only when asked for; the others always are
        bool normalized;          // looked for after normalization, in its normalized form
        bool strips_left = false; // takes the white space before it, which is lost
        bool strips_right = false;
        bool single_word = false; // not beside a letter, a digit or _
    };
    struct merge {
        std::string left, right;
    };

    std::string who;                // the file, for messages
    std::vector<token> vocabulary;  // what merging can give; also "<0x00>" … "<0xFF>" where byte_fallback
    std::vector<added_token> added; // may repeat a token of the vocabulary to say what it is
    std::vector<token> frozen; // SentencePiece's user-defined pieces: in a word, the longest that begins at a place is
                               // one token and takes part in no merge. Not in `vocabulary`
    std::vector<token> unused; // ids that no text gives. With merge_order::by_score (SentencePiece's unused pieces)
                               // they take part in merging and are taken apart again. Not in `vocabulary`

    std::vector<normalizer::step> normalizer;
    std::vector<pre_tokenizer::step> pre_tokenizer;

    token_spelling spelling = token_spelling::alphabet;
    merge_order order = merge_order::listed;
    std::vector<merge> merges;           // with merge_order::listed; parts and results are tokens
    bool prefers_whole_words = false;    // a word that is a token is not merged (`ignore_merges`; tiktoken)
    bool byte_fallback = false;          // a character without a token becomes the tokens "<0xNN>" of its bytes
    std::optional<std::int32_t> unknown; // then this; none: it is dropped
    bool fuses_unknown = false;          // neighbours of that kind become one id

    std::optional<std::int32_t> bos; // beginning of text
    bool adds_bos = false;           // whether the file wants it before every text
};

} // namespace bitlens
