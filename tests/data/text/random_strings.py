"""Strings that tokenizers stumble over: the same ones for the same seed. Used by the scripts beside this one."""

import random

SPACES = [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F,
          0x205F, 0x3000]
ALMOST_SPACES = [0x1C, 0x1D, 0x1E, 0x1F, 0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF]
EDGES = [0x00, 0x01, 0x7F, 0x80, 0x9F, 0xAD, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xF8FF, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000,
         0x1FFFF, 0x2FFFE, 0xE0001, 0xF0000, 0x10FFFE, 0x10FFFF]
CASES = [0x130, 0x131, 0x149, 0x17F, 0x1C4, 0x1C5, 0x1E9E, 0x212A, 0x2160, 0xAA, 0xBA, 0xB2, 0xBD, 0xDF, 0xFB05, 0xFB06]
RANGES = {
    "latin": [(0x61, 0x7A), (0x41, 0x5A), (0xC0, 0x24F), (0x1E00, 0x1EFF)],
    "punctuation": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0x2010, 0x2027), (0x3001, 0x3003)],
    "digits": [(0x30, 0x39), (0x660, 0x669), (0x966, 0x96F), (0xE50, 0xE59), (0xFF10, 0xFF19), (0x1D7CE, 0x1D7FF),
               (0x2150, 0x218B), (0x2460, 0x249B), (0x3021, 0x3029), (0x10107, 0x10133), (0x12400, 0x1246E)],
    "marks": [(0x300, 0x36F), (0x483, 0x489), (0x591, 0x5BD), (0x64B, 0x65F), (0x93C, 0x94D), (0xE31, 0xE3A),
              (0x1AB0, 0x1ACE), (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0x302A, 0x302F), (0x3099, 0x309A), (0xFE20, 0xFE2F),
              (0x1D165, 0x1D172), (0x1E8D0, 0x1E8D6)],
    "joining": [(0x1100, 0x11FF), (0xAC00, 0xD7A3), (0x3041, 0x30FF), (0x915, 0x95F), (0x9C7, 0x9DF), (0xB47, 0xB5D),
                (0x1B05, 0x1B43), (0x1F00, 0x1FFF), (0x2126, 0x212B), (0xF900, 0xFAD9), (0xFB1D, 0xFB4E),
                (0x11099, 0x110BA), (0x11131, 0x11132), (0x11347, 0x11357), (0x114B9, 0x114BC), (0x1D15E, 0x1D1C0),
                (0x2F800, 0x2FA1D)],
    "young": [(0x898, 0x89F), (0x8CA, 0x8D3), (0xC3C, 0xC3C), (0x1ABF, 0x1AFF), (0x1C89, 0x1C8A), (0xA7CB, 0xA7DC),
              (0x105C0, 0x105F3), (0x10D40, 0x10D85), (0x10EC0, 0x10EFF), (0x11380, 0x113E2), (0x11930, 0x11943),
              (0x116D0, 0x116E3), (0x11BC0, 0x11BF9), (0x11DE0, 0x11DE9), (0x13460, 0x13480), (0x16100, 0x16139),
              (0x16D40, 0x16D79), (0x16FF0, 0x16FF6), (0x1CCF0, 0x1CCF9), (0x1E5D0, 0x1E5FF), (0x1E6C0, 0x1E6FF),
              (0x2EBF0, 0x2EBF4), (0x323B0, 0x323B4)],
    "scripts": [(0x391, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA), (0x621, 0x64A), (0x905, 0x939), (0xE01, 0xE2E),
                (0x4E00, 0x9FFF), (0x20000, 0x2A6DF), (0x10330, 0x1034A), (0x1E900, 0x1E943)],
    "symbols": [(0x2190, 0x23FF), (0x2500, 0x27BF), (0x1F300, 0x1F5FF), (0xFE00, 0xFE0F), (0xE0020, 0xE007F)],
}
EMOJI = ["👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇫🇷", "1️⃣", "❤️", "🧑‍🚀", "☠️"]
PHRASES = ["'s", "'S", "'t", "'re", "'RE", "'Ve", "'ll", "'lL", "'m", "'D", "'ſ", "'", "''", "can't", "I'LL", "x'yz",
           "  ", "   ", "\n\n", "\r\n", " \n ", "\t\t", "\n \n", ".\n", "?!\r\n\r\n", "3.14", "1234567", "a1b2", "½x",
           "e\u0301", "a\u0323\u0302", "\u1100\u1161\u11A8", "\u0958", "\u2126", "\uFEFF", "<|endoftext|>", "<|im_start|>",
           "<|im_end|>", "<tool_call>", "</tool_call>", "<|fim_pad|>", "<s>", "<|endof", "text|>", "don't   stop", "https://",
           "the ", " and", "hello world", "naïve café", "Straße", "данные", "数据", "データ", "데이터", "بيانات", "डेटा"]


def scalar(rng):
    while True:
        code = rng.randrange(0x110000)
        if not 0xD800 <= code < 0xE000:
            return chr(code)


# What means something to SentencePiece, or to files that are made of it.
SENTENCEPIECE_PHRASES = ["\u2581", "\u2581\u2581", "\u2581a", " \u2581 b", "<0x0A>", "<0x41>", "<unk>", "<s>", "</s>", "<bos>", "<pad>",
                         "<table>", "</td>", "<b>", "<start_of_turn>", "<unused7>", "[INST]", "[/INST]", " " * 9, " " * 33,
                         "\n" * 5, "\n" * 35, "\t" * 3, "\t" * 33, "\u2581" * 17, " \n \n ", "<<table>>", "<SPECIAL_20>",
                         "<|begin_of_text|>", "fooBARBaz", "HTTPServer//\n/x", "McDonald\u2019s", "\u01c5ungla", "a/b\n/c"]


def piece(rng, phrases):
    kind = rng.randrange(14)
    if kind == 0:
        return scalar(rng)
    if kind == 1:
        return "".join(chr(rng.choice(SPACES)) for _ in range(rng.randint(1, 4)))
    if kind == 2:
        return chr(rng.choice(EDGES + CASES + ALMOST_SPACES))
    if kind == 3:
        return rng.choice(EMOJI)
    if kind in (4, 5, 6):
        return rng.choice(phrases)
    if kind == 7:
        return chr(rng.randrange(0x20, 0x7F)) * rng.randint(1, 9)
    ranges = RANGES[rng.choice(list(RANGES))]
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 6)))


def random_strings(count, seed, more_phrases=()):
    """Every eighth string is uniform over all planes, the others are a mixture of awkward things."""
    rng = random.Random(seed)
    phrases = [*PHRASES, *more_phrases]
    for i in range(count):
        length = rng.randint(1, 24)
        yield "".join(scalar(rng) if i % 8 == 0 else piece(rng, phrases) for _ in range(length))


AWKWARD = ["", " ", "  ", "\n", "\n\n\n", "\t \t", "a", " a", "a ", "a  b", "a   ", "   a", "\u00a0a", "a\u3000\u3000b",
           "I'm sure it's John's, they'll say we've won; SHE'D AGREE, WOULDN'T YOU'RE", "'sx 'tx 'dx 'mx 'llx 'vex 'rex",
           "'ſx", "1 22 333 4444", "١٢٣ ४५६ ½ Ⅷ ①②", "x²+y²=z²", "foo_bar::baz(42);\n\treturn 0;\n}", "http://a.b/c?d=e&f=g#h",
           "\r\n\r\nText\r\n", "tabs\t\tand\u000bmore", "\u0000\u0001\u001f\u007f\u0080", "\ufeffBOM", "e\u0301e\u0323\u0301",
           "\u1100\u1161\u11a8\uac01", "\u212b\u2126\u0344", "q\u0307\u0323", "👩‍👩‍👧‍👦👍🏽🇫🇷", "\U0010ffff\ue000\ud7ff\ufffd",
           "<|endoftext|>", "a<|im_start|>user\nhi<|im_end|>", "<tool_call>x</tool_call>", "<keep>é</keep>",
           "<|endof<|endoftext|>text|>", "z" * 300, " " * 300, "ab" * 150, "!" * 70, "9" * 50, "\n" * 100 + "x"]
