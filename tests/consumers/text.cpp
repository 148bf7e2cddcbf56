// A program of someone who uses little of bitlens::bitlens, but JSON, zlib and utf8proc.
#include <bitlens/text.hpp>

#include <cstdio>
#include <fstream>

int main() {
    std::ofstream("text.jsonl") << R"({"text": "abe\u0301"})" << '\n';
    bitlens::document_reader reader("text.jsonl");
    bitlens::document document;
    const auto tokens = bitlens::tokenizer::from_json(bitlens::parse_json(R"({
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ã": 3, "©": 4}, "merges": [["a", "b"]]}})",
                                                                          "text.cpp"),
                                                      "text.cpp");
    if (!reader.next(document)) return 1;
    const auto ids = tokens.encode(document.text);
    for (const int id : ids) std::printf("%d ", id);
    return ids == std::vector<std::int32_t>{2, 3, 4} ? 0 : 1;
}
