#include "bitlens/text/tokenizer_sentencepiece.hpp"

#include "bitlens/text/tokenizer.hpp"

#include "io/files.hpp"
#include "sentencepiece_model.hpp"

#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

tokenizer_definition read(std::string const& bytes) { return read_sentencepiece(as_bytes(bytes), "x.model"); }

const std::string begin = piece("<unk>", 0, unknown) + piece("<s>", 0, control) + piece("</s>", 0, control);

} // namespace

TEST_CASE("pieces, their kinds and scores, in the order of the file") {
    const auto d = read(begin + piece("<mask>", 0, user_defined) + piece("\u2581a", -1.5f) + piece("b", -2) +
                        piece("gone", -3, unused) + trainer() + normalizer_spec());
    REQUIRE(d.vocabulary.size() == 2);
    CHECK(d.vocabulary[0].text == "\u2581a");
    CHECK(d.vocabulary[0].id == 4);
    CHECK(d.vocabulary[0].score == -1.5f);
    CHECK(d.vocabulary[1].id == 5);
    REQUIRE(d.frozen.size() == 1);
    CHECK(d.frozen[0].text == "<mask>");
    CHECK(d.frozen[0].id == 3);
    REQUIRE(d.unused.size() == 1);
    CHECK(d.unused[0].id == 6);
    CHECK(d.unused[0].score == -3);
    REQUIRE(d.added.size() == 3);
    for (auto const& token : d.added) {
        CHECK(token.special);
        CHECK_FALSE(token.normalized);
    }
    CHECK(d.unknown == 0);
    CHECK(d.bos == 1);
    CHECK(d.adds_bos);
    CHECK_FALSE(d.byte_fallback);
    CHECK(d.order == merge_order::by_score);
    CHECK(d.spelling == token_spelling::characters);
    CHECK(d.pre_tokenizer.empty());
}

TEST_CASE("what a file does not say holds as SentencePiece's schema has it") {
    const auto steps = [](std::string const& more) { return read(begin + trainer() + more).normalizer; };
    const auto kinds = [&](std::string const& more) {
        std::string text;
        for (auto const& step : steps(more))
            text += std::holds_alternative<normalizer::collapse_spaces>(step) ? "collapse "
                    : std::holds_alternative<normalizer::prepend>(step)       ? "prepend "
                    : std::holds_alternative<normalizer::replace>(step)       ? "replace "
                    : std::holds_alternative<normalizer::strip_end>(step)     ? "strip "
                                                                              : "? ";
        return text;
    };
    CHECK(kinds("") == "collapse prepend replace strip ");
    CHECK(kinds(bytes_field(3, "")) == "collapse prepend replace strip ");
    CHECK(kinds(bytes_field(3, number_field(3, 0))) == "collapse replace strip ");
    CHECK(kinds(bytes_field(3, number_field(4, 0))) == "prepend replace ");
    CHECK(kinds(normalizer_spec()) == "prepend replace ");
    CHECK(kinds(normalizer_spec(false)) == "replace ");
    CHECK(kinds(normalizer_spec(false, bytes_field(2, ""))) == "replace "); // a table of nothing
    CHECK(normalize(steps(""), "  a   b ") == "\u2581a\u2581b");
    CHECK(normalize(steps(normalizer_spec()), "  a   b ") == "\u2581\u2581\u2581a\u2581\u2581\u2581b\u2581");
    CHECK(normalize(steps(""), "\u2581\u2581") == "");
    CHECK(normalize(steps(""), "a \u2581") == "\u2581a");
    CHECK(normalize(steps(normalizer_spec()), "") == "");
    const auto unnamed = read(bytes_field(1, bytes_field(1, "a")) + begin + trainer());
    CHECK(unnamed.vocabulary[0].score == 0);
    CHECK(unnamed.vocabulary[0].text == "a");
}

TEST_CASE("the beginning of text is the control piece that the file names") {
    const auto bos = [](std::string const& pieces, std::string const& name) {
        return read(piece("<unk>", 0, unknown) + pieces + trainer(name.empty() ? "" : bytes_field(46, name))).bos;
    };
    CHECK(bos(piece("<s>", 0, control), "") == 1);
    CHECK(bos(piece("<s>", 0, control) + piece("<bos>", 0, control), "<bos>") == 2);
    CHECK(bos(piece("<s>", 0, control), "<bos>") == std::nullopt);
    CHECK(bos(piece("<s>"), "") == std::nullopt); // a normal piece
    CHECK(bos("", "<unk>") == std::nullopt);
    CHECK_FALSE(read(piece("<unk>", 0, unknown) + trainer()).adds_bos);
}

TEST_CASE("byte fallback needs the 256 pieces") {
    const std::string says = trainer(number_field(35, 1));
    const auto d = read(begin + byte_pieces() + says);
    CHECK(d.byte_fallback);
    CHECK(d.vocabulary.size() == 256);
    CHECK_REFUSED(read(begin + says), "x.model: byte_fallback is set and 0 pieces are of type BYTE; 256 are expected");
    CHECK_REFUSED(read(begin + byte_pieces() + trainer()), "256 pieces are of type BYTE, but byte_fallback is not set");
}

TEST_CASE("other kinds of model are refused by name") {
    const auto refused = [](std::string const& message) { return files::error_of([&] { read(begin + message); }); };
    const auto of_type = [](std::int64_t type) { return bytes_field(2, number_field(3, type)); };
    CHECK(refused("") == "x.model: a SentencePiece model of type UNIGRAM was found; only BPE is read");
    CHECK(refused(of_type(1)) == refused(""));
    CHECK(refused(of_type(3)) == "x.model: a SentencePiece model of type WORD was found; only BPE is read");
    CHECK(refused(of_type(4)) == "x.model: a SentencePiece model of type CHAR was found; only BPE is read");
    CHECK(refused(of_type(5)) == "x.model: a SentencePiece model of type 5 was found; only BPE is read");
    CHECK(refused(of_type(-1)) == "x.model: a SentencePiece model of type -1 was found; only BPE is read");
    CHECK_REFUSED(read(begin + trainer(number_field(24, 1))), "x.model: treat_whitespace_as_suffix (field 24 at byte ",
                  "true is not supported");
    CHECK_REFUSED(read(begin + trainer() + bytes_field(3, bytes_field(1, "nmt_nfkc") + bytes_field(2, "table"))),
                  "x.model: precompiled_charsmap (field 2 at byte ", "the normalizer \"nmt_nfkc\" rewrites characters");
    CHECK_REFUSED(read(begin + trainer() + normalizer_spec(true, number_field(5, 0))),
                  "x.model: escape_whitespaces (field 5 at byte ", "false is not supported");
}

TEST_CASE("pieces that contradict each other are refused") {
    const auto refused = [](std::string const& pieces) { return files::error_of([&] { read(pieces + trainer()); }); };
    CHECK(refused("") == "x.model: no piece is of type UNKNOWN; one is expected");
    CHECK(refused(piece("a")) == "x.model: no piece is of type UNKNOWN; one is expected");
    CHECK(refused(begin + piece("<u>", 0, unknown)) ==
          "x.model: pieces (field 1 at byte 45): pieces 0 and 3 are both of type UNKNOWN; one is expected");
    CHECK(refused(piece("")) == "x.model: pieces (field 1 at byte 0): piece 0 has no text");
    CHECK(refused(piece("a\xFF")) == "x.model: pieces (field 1 at byte 0): piece 0 is not UTF-8: \"a\\xff\"");
    CHECK(refused(piece("a", std::numeric_limits<float>::quiet_NaN())) ==
          "x.model: pieces (field 1 at byte 0): the score of piece 0, \"a\", is not finite");
    CHECK(refused(piece("a", -std::numeric_limits<float>::infinity())).find("is not finite") != std::string::npos);
    for (const std::int32_t type : {0, 7, -1})
        CHECK(refused(piece("a", 0, type)) == "x.model: pieces (field 1 at byte 0): piece 0 is of type " +
                                                  std::to_string(type) + "; 1 … 6 are expected");
}

TEST_CASE("what is no such file is refused") {
    const auto refused = [](std::string const& bytes) { return files::error_of([&] { read(bytes); }); };
    CHECK(refused("") == "x.model: a SentencePiece model is expected, an empty file was found; was the download cut?");
    CHECK(refused("version https://git-lfs\noid sha256:1\n").find("a Git LFS pointer") != std::string::npos);
    const std::string whole = begin + trainer() + normalizer_spec();
    for (std::size_t size = 1; size < whole.size(); ++size)
        if (size != (begin + trainer()).size()) CHECK(refused(whole.substr(0, size)).starts_with("x.model: "));
    CHECK(refused(bytes_field(1, number_field(1, 5)) + trainer()).starts_with("x.model: piece (field 1 at byte 2): "));
}
