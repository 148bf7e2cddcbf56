// Megabytes of text a second that tokenizers encode and decode on one core, and whether their time grows with the
// length.
//
//     bench_tokenizers TEXTS.jsonl[.gz] [--pre NAME] TOKENIZER ...    best of several rounds over all texts, as CSV
//     bench_tokenizers --lengths [--pre NAME] TOKENIZER ...           texts that are hard on an encoder, each twice as
//                                                                     long as the one before, as CSV
//
// TOKENIZER is a file or folder that load_tokenizer takes. `otherwise` counts the texts that do not come back from
// decoding as they were, nor in normal form C, nor with U+2581 as a space, which is what SentencePiece makes of it.
// Seconds are those of the processor.

#include "bitlens/io/gzip.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/text/tokenizer_file.hpp"
#include "bitlens/text/unicode.hpp"
#include "process.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::bench;

namespace {

using ids = std::vector<std::int32_t>;

std::vector<std::string> read_texts(std::string const& path) {
    std::vector<std::string> texts;
    line_reader lines(path);
    for (std::string_view line; lines.next(line);)
        texts.push_back(required<std::string>(parse_json(line, path), "text", path));
    return texts;
}

/// Least CPU seconds of f() in some rounds.
template <class F>
double best_seconds(F const& f) {
    constexpr int rounds = 5;
    double best = 0;
    for (int i = 0; i < rounds; ++i) {
        const double start = cpu_seconds();
        f();
        const double seconds = cpu_seconds() - start;
        best = i == 0 ? seconds : std::min(best, seconds);
    }
    return best;
}

bool comes_back(std::string const& text, std::string const& decoded) {
    if (decoded == text || decoded == compose_nfc(text)) return true;
    constexpr std::string_view mark = "\u2581";
    std::string spaced;
    for (std::size_t at = 0; at < text.size();)
        if (text.compare(at, mark.size(), mark) == 0) {
            spaced += ' ';
            at += mark.size();
        } else {
            spaced += text[at++];
        }
    return decoded == spaced;
}

void measure(tokenizer const& t, std::string const& path, std::vector<std::string> const& texts) {
    std::size_t bytes = 0, id_count = 0, otherwise = 0;
    std::vector<ids> encoded(texts.size());
    for (auto const& text : texts) bytes += text.size();
    const double encoding = best_seconds([&] {
        for (std::size_t i = 0; i < texts.size(); ++i) encoded[i] = t.encode(texts[i]);
    });
    std::vector<std::string> decoded(texts.size());
    const double decoding = best_seconds([&] {
        for (std::size_t i = 0; i < texts.size(); ++i) decoded[i] = t.decode(encoded[i]);
    });
    for (std::size_t i = 0; i < texts.size(); ++i) {
        id_count += encoded[i].size();
        if (!comes_back(texts[i], decoded[i])) ++otherwise;
    }
    const double megabytes = 1e-6 * static_cast<double>(bytes);
    std::printf("%s,%.2f,%.1f,%zu,%zu,%zu,%zu\n", path.c_str(), megabytes / encoding, megabytes / decoding,
                texts.size(), bytes, id_count, otherwise);
    std::fflush(stdout);
}

std::string repeated(std::string_view piece, std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += piece;
    return text;
}

void measure_lengths(tokenizer const& t, std::string const& path) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 9> hard{{
        {"a letter", "a"},
        {"blank lines", "\n"},
        {"spaces", " "},
        {"lines of spaces", " \n"},
        {"a letter of four bytes", "\U0001D5BA"},
        {"no white space", "abcdefghijklmnopqrstuvwxyz0123456789"},
        {"digits", "1"},
        {"marks", "e\u0301\u0323"},
        {"words", "the quick brown fox "},
    }};
    constexpr std::size_t shortest = 1250000, longest = 10000000;
    for (auto const& [name, piece] : hard)
        for (std::size_t bytes = shortest; bytes <= longest; bytes *= 2) {
            const std::string text = repeated(piece, bytes);
            std::size_t count = 0;
            const double start = cpu_seconds();
            count = t.encode(text).size();
            const double seconds = cpu_seconds() - start;
            std::printf("%s,%s,%zu,%zu,%.3f\n", path.c_str(), std::string(name).c_str(), text.size(), count, seconds);
            std::fflush(stdout);
        }
}

} // namespace

int main(int argc, char** argv) try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 2) {
        std::fprintf(stderr, "bench_tokenizers TEXTS.jsonl|--lengths [--pre NAME] TOKENIZER ...\n");
        return 2;
    }
    const bool lengths = words[0] == "--lengths";
    const auto texts = lengths ? std::vector<std::string>() : read_texts(words[0]);
    std::printf("%s\n", lengths ? "tokenizer,text,bytes,ids,seconds"
                                : "tokenizer,encode_MB_s,decode_MB_s,texts,bytes,ids,otherwise");
    std::string pre;
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (words[i] == "--pre" && i + 1 < words.size()) {
            pre = words[++i];
            continue;
        }
        const tokenizer t = load_tokenizer(words[i], pre);
        pre.clear();
        if (lengths)
            measure_lengths(t, words[i]);
        else
            measure(t, words[i], texts);
    }
} catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
