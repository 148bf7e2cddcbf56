#pragma once
/// Reads a SentencePiece model (tokenizer.model): the protobuf message ModelProto.
/// Source of numbers and defaults: google/sentencepiece, src/sentencepiece_model.proto.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/protobuf.hpp"
#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/tokenizer_definition.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// One reading of one ModelProto.
class sentencepiece_reader {
public:
    explicit sentencepiece_reader(std::string who) { out_.who = std::move(who); }

    tokenizer_definition read(std::span<const std::byte> bytes) {
        protobuf_reader model(bytes, out_.who);
        while (const auto field = model.next()) {
            if (field->number() == 1) read_piece(*field);
            if (field->number() == 2) read_trainer(*field);
            if (field->number() == 3) read_normalizer(*field);
        }
        check_model_type();
        check_pieces();
        if (removes_extra_spaces_) out_.normalizer.push_back(normalizer::collapse_spaces{});
        if (adds_dummy_prefix_) out_.normalizer.push_back(normalizer::prepend{" "});
        out_.normalizer.push_back(normalizer::replace{" ", "\u2581"});
        if (removes_extra_spaces_) out_.normalizer.push_back(normalizer::strip_end{"\u2581"}); // also one of the text
        out_.spelling = token_spelling::characters;
        out_.order = merge_order::by_score;
        out_.fuses_unknown = true;
        // A file names the token; that it goes before every text is the habit of all who publish such files.
        out_.adds_bos = out_.bos.has_value();
        return std::move(out_);
    }

private:
    enum : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };
    enum : std::int32_t { unigram = 1, bpe, word, character };

    [[noreturn]] void fail(std::string const& reason) const { throw format_error(out_.who + ": " + reason); }

    void read_piece(protobuf_field const& message) {
        if (ids_ == std::numeric_limits<std::int32_t>::max()) message.fail("pieces", "there are more than 2147483647");
        const std::int32_t id = ids_++;
        std::string_view text;
        float score = 0;
        std::int32_t type = normal;
        auto fields = message.as_message("pieces");
        while (const auto field = fields.next()) {
            if (field->number() == 1) text = field->as_text("piece");
            if (field->number() == 2) score = field->as_float("score");
            if (field->number() == 3) type = field->as_int32("type");
        }
        if (text.empty()) message.fail("pieces", "piece " + std::to_string(id) + " has no text");
        if (!is_utf8(text)) message.fail("pieces", "piece " + std::to_string(id) + " is not UTF-8: " + in_quotes(text));
        if (!std::isfinite(score))
            message.fail("pieces",
                         "the score of piece " + std::to_string(id) + ", " + in_quotes(text) + ", is not finite");
        add(message, {std::string(text), id, score}, type);
    }

    void add(protobuf_field const& message, tokenizer_definition::token piece, std::int32_t type) {
        switch (type) {
        case normal:
            out_.vocabulary.push_back(std::move(piece));
            return;
        case unknown:
            if (out_.unknown)
                message.fail("pieces", "pieces " + std::to_string(*out_.unknown) + " and " + std::to_string(piece.id) +
                                           " are both of type UNKNOWN; one is expected");
            out_.unknown = piece.id;
            [[fallthrough]];
        case control:
            out_.added.push_back({std::move(piece.text), piece.id, true, false});
            return;
        case user_defined:
            out_.frozen.push_back(std::move(piece));
            return;
        case unused:
            out_.unused.push_back(std::move(piece));
            return;
        case byte:
            ++bytes_;
            out_.vocabulary.push_back(std::move(piece));
            return;
        default:
            message.fail("pieces", "piece " + std::to_string(piece.id) + " is of type " + std::to_string(type) +
                                       "; 1 … 6 are expected");
        }
    }

    void read_trainer(protobuf_field const& message) {
        auto fields = message.as_message("trainer_spec");
        while (const auto field = fields.next()) {
            if (field->number() == 3) model_type_ = field->as_int32("model_type");
            if (field->number() == 24 && field->as_bool("treat_whitespace_as_suffix"))
                field->fail("treat_whitespace_as_suffix", "true is not supported");
            if (field->number() == 35) out_.byte_fallback = field->as_bool("byte_fallback");
            if (field->number() == 46) bos_piece_ = field->as_text("bos_piece");
        }
    }

    void read_normalizer(protobuf_field const& message) {
        auto fields = message.as_message("normalizer_spec");
        std::string_view name;
        while (const auto field = fields.next()) {
            if (field->number() == 1) name = field->as_text("name");
            if (field->number() == 2 && !field->as_bytes("precompiled_charsmap").empty())
                field->fail("precompiled_charsmap", "the normalizer " + in_quotes(name) +
                                                        " rewrites characters by a table, which is not supported; "
                                                        "only files without one are read");
            if (field->number() == 3) adds_dummy_prefix_ = field->as_bool("add_dummy_prefix");
            if (field->number() == 4) removes_extra_spaces_ = field->as_bool("remove_extra_whitespaces");
            if (field->number() == 5 && !field->as_bool("escape_whitespaces"))
                field->fail("escape_whitespaces", "false is not supported");
        }
    }

    void check_model_type() const {
        constexpr std::array<std::string_view, 5> names{"", "UNIGRAM", "BPE", "WORD", "CHAR"};
        if (model_type_ == bpe) return;
        const bool is_known = model_type_ >= unigram && model_type_ <= character;
        fail("a SentencePiece model of type " +
             (is_known ? std::string(names[static_cast<std::size_t>(model_type_)]) : std::to_string(model_type_)) +
             " was found; only BPE is read");
    }

    void check_pieces() {
        if (!out_.unknown) fail("no piece is of type UNKNOWN; one is expected");
        if (!out_.byte_fallback && bytes_ > 0)
            fail(std::to_string(bytes_) + " pieces are of type BYTE, but byte_fallback is not set");
        if (out_.byte_fallback && bytes_ != 256)
            fail("byte_fallback is set and " + std::to_string(bytes_) + " pieces are of type BYTE; 256 are expected");
        for (auto const& piece : out_.added)
            if (piece.text == bos_piece_ && piece.id != out_.unknown) out_.bos = piece.id;
    }

    tokenizer_definition out_;
    std::int32_t ids_ = 0;  // of pieces so far
    std::size_t bytes_ = 0; // pieces of type BYTE
    // What holds where the file does not say.
    std::int32_t model_type_ = unigram;
    std::string_view bos_piece_ = "<s>";
    bool adds_dummy_prefix_ = true, removes_extra_spaces_ = true;
};

} // namespace detail

/// What a SentencePiece model says. Control pieces and the unknown one are special tokens, which such a model never
/// finds in a text; the beginning of text is the control piece that trainer_spec names.
/// Errors: format_error for what is no such message (see protobuf_reader), a model but BPE, a table of characters to
/// rewrite, and pieces that contradict each other.
inline tokenizer_definition read_sentencepiece(std::span<const std::byte> bytes, std::string who) {
    refuse_foreign(bytes, who, "a SentencePiece model");
    return detail::sentencepiece_reader(std::move(who)).read(bytes);
}

} // namespace bitlens
