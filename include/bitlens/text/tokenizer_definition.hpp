#pragma once
/// What a tokenizer file says, in terms that all file formats share.

#include "bitlens/text/split.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// A byte-level BPE tokenizer as its file describes it. Nothing is checked here; the class `tokenizer` does that.
struct tokenizer_definition {
    struct token {
        std::string text;
        std::int32_t id;
    };
    struct added_token {
        std::string text; // as it stands in documents
        std::int32_t id;
        bool special;    // matched only when asked for; the others always are
        bool normalized; // looked for after normalization, in its normalized form
    };
    struct merge {
        std::string left, right;
    };

    std::string who;                  // the file, for messages
    std::vector<token> vocabulary;    // texts in the byte alphabet
    std::vector<added_token> added;   // may repeat a token of the vocabulary to say what it is
    std::vector<token> unused;        // ids that stand for nothing; no text gives them
    std::vector<merge> merges;        // by falling priority; parts and results are tokens
    std::vector<split_rule> splits;   // see for_each_word
    bool composes = false;            // NFC before anything but raw added tokens
    bool prefers_whole_words = false; // a word that is a token is not merged (`ignore_merges`)
    std::string answer_to_unknown;    // the field that says what becomes of a byte without a token; empty: dropped
    std::optional<std::int32_t> bos;  // beginning of text
    bool adds_bos = false;            // whether the file wants it before every text
};

} // namespace bitlens
