#include "bitlens/text/documents.hpp"

#include "../io/files.hpp"

#include <array>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

std::vector<document> read_all(std::filesystem::path const& path, document_keys const& keys = {}) {
    document_reader reader(path, std::numeric_limits<std::size_t>::max(), keys);
    std::vector<document> all;
    for (document d; reader.next(d);) {
        CHECK(d.row == all.size());
        all.push_back(d);
    }
    document d;
    CHECK_FALSE(reader.next(d)); // and stays so
    return all;
}

} // namespace

TEST_CASE("JSON lines: text, id and topic as strings or numbers, other keys left alone") {
    const test::temporary_folder folder;
    const auto all =
        read_all(folder.write("d.jsonl", "\xEF\xBB\xBF{\"text\":\"one\",\"id\":\"a\",\"topic\":\"t\"}\r\n"
                                         "\n   \t\r\n"
                                         "{\"url\":[{}],\"text\":\"zwei\\u0000 ü\",\"id\":17,\"topic\":2.5}\n"
                                         "{\"text\":\"\",\"id\":null,\"topic\":null}\n"
                                         "{\"id\":12345678901234567890123,\"topic\":1.50,\"text\":\"\"}"));
    REQUIRE(all.size() == 4);
    CHECK(all[0].text == "one");
    CHECK(all[0].id == "a");
    CHECK(all[0].topic == "t");
    CHECK(all[1].text == std::string("zwei\0 ü", 8));
    CHECK(all[1].id == "17");
    CHECK(all[1].topic == "2.5");
    CHECK(all[2].text.empty());
    CHECK(all[2].id.empty());
    CHECK(all[2].topic.empty());
    CHECK(all[2].ids.empty());
    CHECK(all[3].id == "12345678901234567890123"); // more digits than a double has places for
    CHECK(all[3].topic == "1.50");
    CHECK((all[0].line == 1 && all[1].line == 4 && all[3].line == 6));
    CHECK(read_all(folder.write("empty.jsonl", "")).empty());
}

TEST_CASE("other keys are kept on request, and stand for text, id and topic") {
    using list = std::vector<std::string>;
    const test::temporary_folder folder;
    const auto path = folder.write(
        "d.jsonl", "{\"body\":\"one\",\"url\":\"http://a\",\"score\":1.50,\"ok\":true,\"text\":[1],\"id\":{}}\n"
                   "{\"body\":\"two\",\"ur\\u006c\":\"b\",\"score\":12345678901234567890123,\"ok\":false}\n"
                   "{\"body\":\"three\",\"score\":null}\n");
    const auto all = read_all(path, {.text = "body", .id = "url", .kept = {"ok", "url", "score"}});
    REQUIRE(all.size() == 3);
    CHECK(all[0].text == "one");
    CHECK((all[0].id == "http://a" && all[1].id == "b" && all[2].id.empty()));
    CHECK(all[0].kept == list{"true", "http://a", "1.50"});
    CHECK(all[1].kept == list{"false", "b", "12345678901234567890123"});
    CHECK(all[2].kept == list{"", "", ""});

    document_reader reader(path, 100, {.text = "body", .id = "name", .topic = "score", .kept = {"url", "none"}});
    CHECK(reader.absent_keys() == list{"body", "name", "score", "url", "none"});
    document d;
    while (reader.next(d)) CHECK(d.kept.size() == 2);
    CHECK(reader.absent_keys() == list{"name", "none"});
    document_reader other_place(folder.write("t.jsonl", "{\"text\":\"a\"}"), 100, {.topic = "id"});
    CHECK(other_place.next(d));
    CHECK(other_place.absent_keys() == list{"id"}); // which none has to have as its id

    const auto check = [&](std::string const& line, document_keys const& keys, std::string_view word,
                           std::string_view other) {
        CAPTURE(line);
        CHECK_REFUSED(read_all(folder.write("bad.jsonl", line), keys), "bad.jsonl: line 1", word, other);
    };
    check("{\"text\":\"a\"}", {.text = "body"}, "the key \"body\"", "missing");
    check("{\"text\":\"a\",\"tags\":[\"x\"]}", {.kept = {"tags"}}, "key \"tags\"",
          "a string, a number, true, false or null is expected, array was found");
    check("{\"text\":\"a\",\"meta\":{\"x\":1}}", {.kept = {"meta"}}, "key \"meta\"", "object was found");
    check("{\"text\":\"a\",\"n\":NaN}", {.kept = {"n"}}, "no valid JSON", "");
    check("{\"text\":\"a\",\"url\":true}", {.id = "url"}, "key \"url\"", "a string or a number is expected");
    check("{\"text\":\"a\",\"u\":1,\"u\":1}", {.kept = {"u"}}, "\"u\"", "twice");
}

TEST_CASE("text and token ids have no keys, and say so") {
    const test::temporary_folder folder;
    CHECK_THROWS_TEXT(read_all(folder.write("d.txt", "text"), {.kept = {"url"}}), option_error,
                      "d.txt: the key \"url\" was asked for", "the ending .txt is that of plain text");
    const std::array<std::int32_t, 2> ids{1, 2};
    write_npy(folder / "d.npy", std::array<std::size_t, 2>{1, 2}, std::span<const std::int32_t>(ids));
    for (document_keys const& keys :
         {document_keys{.text = "k"}, document_keys{.id = "k"}, document_keys{.topic = "k"}})
        CHECK_THROWS_TEXT(read_all(folder / "d.npy", keys), option_error, "d.npy: the key \"k\" was asked for",
                          "token ids were found");
}

TEST_CASE("what is wrong in a line is named by file, line and key") {
    const test::temporary_folder folder;
    const auto check = [&](std::string const& line, std::string_view word, std::string_view other = "") {
        CAPTURE(line);
        const auto path = folder.write("d.jsonl", "{\"text\":\"good\"}\n\n" + line + "\n");
        CHECK_REFUSED(read_all(path), "d.jsonl: line 3", word, other);
    };
    check("{\"id\":1}", "\"text\"", "missing");
    check("{\"text\":null}", "\"text\"", "a string is expected, null was found");
    check("{\"text\":7}", "\"text\"", "a string is expected, 7 was found");
    check("{\"text\":\"a\",\"id\":[1]}", "\"id\"", "a string or a number is expected, array was found");
    check("{\"text\":\"a\",\"topic\":true}", "\"topic\"", "true was found");
    check("{\"text\":\"a\",\"text\":\"b\"}", "\"text\"", "twice");
    check("[\"text\"]", "an object is expected");
    check("{\"text\":\"a\"", "no valid JSON");
    check("plain text", "no valid JSON");
    check("{\"text\":\"a\"} {\"text\":\"b\"}", "no valid JSON");
    check("{\"text\":\"ab\xFF\"}", "byte 11 is no UTF-8");
    check("{\"text\":\"\\ud800\"}", "no valid JSON");
    check("{\"text\":NaN}", "no valid JSON");
    check("{\"text\":\"a\",\"id\":\"\\ud800\"}", "no valid JSON");
    check("{\"text\":" + std::string(70, '[') + "}", "nested deeper");
    const auto said =
        files::error_of([&] { read_all(folder.write("one.jsonl", "{\"text\":\"a\"}\n{\"text\":\"\\udc00\"}\n")); });
    CHECK(said.find("one.jsonl: line 2: no valid JSON at byte 1") != std::string::npos);
    CHECK(said.find("line", said.find("line 2") + 1) == std::string::npos); // a message has one line
}

TEST_CASE("what stands in keys that are not read is not judged") {
    const test::temporary_folder folder;
    const auto all = read_all(folder.write("d.jsonl", R"({"score":NaN,"text":"one","of":[-Infinity,{"a":1,"a":2}]})"
                                                      "\n"
                                                      R"({"title":"half \ud83d","text":"two","n":1e999,"n":2})"
                                                      "\n{\"author\":\"caf\xE9\",\"text\":\"three\"}\n"));
    REQUIRE(all.size() == 3);
    CHECK(all[0].text == "one");
    CHECK(all[1].text == "two");
    CHECK(all[2].text == "three");
}

TEST_CASE("plain text under another ending is told from a wrong line of JSONL") {
    const test::temporary_folder folder;
    constexpr std::string_view advice = "was read as JSONL, one object a line: plain text needs the ending .txt";
    for (std::string const name : {"d.md", "d.TXT", "d", "d.gz", "json"}) {
        CAPTURE(name);
        CHECK_REFUSED(read_all(folder.write(name, "\nplain text\n")), name + ": line 2: no valid JSON", advice);
        CHECK_REFUSED(read_all(folder.write(name, "caf\xE9\n")), name + ": line 1: byte 3 is no UTF-8", advice);
        CHECK(files::error_of([&] { read_all(folder.write(name, "{\"text\":\"a\"}\nb\n")); }).find(advice) ==
              std::string::npos); // the first line was JSON
    }
    for (std::string const name : {"d.jsonl", "d.json", "d.jsonl.gz"}) {
        CAPTURE(name);
        const auto said = files::error_of([&] { read_all(folder.write(name, "plain text\n")); });
        CHECK(said.find("line 1: no valid JSON") != std::string::npos);
        CHECK(said.find(advice) == std::string::npos);
    }
}

TEST_CASE("joined lines: a row of white space is empty, and two line feeds stand before every row but the first") {
    CHECK(join_lines("").empty());
    CHECK(join_lines("a") == "a");
    CHECK(join_lines("a\nb") == "a\n\n\nb");
    CHECK(join_lines(" \n = Title = \n \n\t\r\n text \n") == "\n\n = Title = \n\n\n\n\n\n\n text \n");
    CHECK(join_lines("\n\n") == "\n\n");
    CHECK(join_lines("a\n ") == "a\n\n\n");
}

TEST_CASE("a text file is one document, but for its byte order mark") {
    const test::temporary_folder folder;
    const auto all = read_all(folder.write("d.txt", "\xEF\xBB\xBF{\"text\":\r\n\nü"));
    REQUIRE(all.size() == 1);
    CHECK(all[0].text == "{\"text\":\r\n\nü");
    CHECK_REFUSED(read_all(folder.write("d.txt", "abc\xC3")), "d.txt: byte 3 is no UTF-8");
}

TEST_CASE("rows of an NPY file are documents of ids") {
    const test::temporary_folder folder;
    const std::array<std::size_t, 2> shape{2, 3};
    const auto path = folder / "d.npy";
    const std::array<std::int32_t, 6> narrow{0, 1, 2, 3, 4, 2147483647};
    write_npy<std::int32_t>(path, shape, narrow);
    CHECK(document_reader(path).holds_ids());
    auto all = read_all(path);
    REQUIRE(all.size() == 2);
    CHECK(all[0].ids == std::vector<std::int32_t>{0, 1, 2});
    CHECK(all[1].ids == std::vector<std::int32_t>{3, 4, 2147483647});
    CHECK(all[1].text.empty());
    for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{1} << 31, std::int64_t{1} << 40}) {
        const std::array<std::int64_t, 6> wide{0, 1, 2, 3, bad, 5};
        write_npy<std::int64_t>(path, shape, wide);
        CHECK_REFUSED(read_all(path), "d.npy: row 1, column 1", std::to_string(bad) + " was found");
    }
    const std::array<std::size_t, 1> flat{6};
    write_npy<std::int32_t>(path, flat, narrow);
    CHECK_REFUSED(read_all(path), "d.npy: shape: (rows, tokens) is expected, (6) was found");
    const std::array<std::size_t, 2> endless{std::size_t{1} << 62, 0};
    write_npy<std::int32_t>(path, endless, {});
    CHECK_REFUSED(read_all(path), "d.npy: shape: (rows, tokens) is expected, (4611686018427387904, 0) was found");
    const std::array<float, 6> floats{};
    write_npy<float>(path, shape, floats);
    CHECK_REFUSED(read_all(path), "d.npy: descr: int32 or int64 is expected, <f4 was found");
}

TEST_CASE("ids behind those that are read are not judged") {
    const test::temporary_folder folder;
    const auto path = folder / "padded.npy";
    const std::array<std::size_t, 2> shape{2, 3};
    const std::array<std::int64_t, 6> padded{0, 1, -100, 3, 4, std::int64_t{1} << 40};
    write_npy<std::int64_t>(path, shape, padded);
    document_reader reader(path, 2);
    CHECK(reader.ids_a_row() == 3);
    for (std::vector<std::int32_t> const& expected : {std::vector{0, 1}, {3, 4}}) {
        document d;
        REQUIRE(reader.next(d));
        CHECK(d.ids == expected);
    }
    CHECK(document_reader(folder.write("d.txt", "text")).ids_a_row() == 0);
}

TEST_CASE("an array in Fortran order has the same rows") {
    const test::temporary_folder folder;
    const std::array<std::size_t, 2> shape{2, 3};
    const std::array<std::int32_t, 6> by_columns{0, 3, 1, 4, 2, 5};
    write_npy<std::int32_t>(folder / "c.npy", shape, by_columns);
    std::string bytes = test::read_bytes(folder / "c.npy");
    bytes.replace(bytes.find("False"), 5, "True ");
    const auto all = read_all(folder.write("f.npy", bytes));
    REQUIRE(all.size() == 2);
    CHECK(all[0].ids == std::vector<std::int32_t>{0, 1, 2});
    CHECK(all[1].ids == std::vector<std::int32_t>{3, 4, 5});
}

TEST_CASE("a file of another kind is named, with what makes documents of it") {
    const test::temporary_folder folder;
    const auto refused = [&](std::string const& name, std::string const& bytes, std::string const& kind,
                             std::string const& remedy) {
        const auto path = folder.write(name, bytes);
        CHECK_REFUSED(read_all(path), path.string() + ": JSON Lines, text or NPY are expected, " + kind + " was found",
                      remedy);
    };
    refused("a.parquet", "PAR1\x15\x04", "a Parquet file", "pandas.read_parquet(\"" + (folder / "a.parquet").string());
    refused("a.arrow", std::string("ARROW1\0\0", 8), "an Arrow file", "pandas.read_feather(");
    refused("a.jsonl.zst", "\x28\xB5\x2F\xFD", "a Zstandard file", "zstd -d");
    refused("a.jsonl.bz2", "BZh91AY", "a bzip2 file", "bunzip2");
    refused("a.jsonl.xz",
            std::string("\xFD"
                        "7zXZ\0",
                        6),
            "an xz file", "unxz");
    refused("a.jsonl.zip", "PK\x03\x04", "a zip archive", "unpack it first");
    refused("a.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer",
            "git lfs");
    refused("a.tsv", "id\ttext\n1\ta\n", "a table of tab-separated values",
            "(\"" + (folder / "a.tsv").string() + "\", sep=\"\\t\", dtype=str).to_json(\"" +
                (folder / "a.jsonl").string());
    refused("b.jsonl", "id\ttext\n1\ta\n", "a table of tab-separated values", "the key \"text\"");
    refused("a.csv", "id,text\n1,a\n", "a table of comma-separated values", "pandas.read_csv(");
    const auto text = folder.write("b.txt", "PAR1, GGUF and BZh are first words of files.");
    CHECK(read_all(text)[0].text.starts_with("PAR1"));
    const auto binary = folder.write("c.txt", "PAR1\xFF");
    CHECK_REFUSED(read_all(binary), "c.txt: text is expected, a Parquet file was found");
}

TEST_CASE("a file that is missing is an io_error") {
    CHECK_THROWS_TEXT(document_reader("absent.jsonl"), io_error, "absent.jsonl", "No such file");
}

TEST_CASE("the real samples read whole") {
    const std::string shared = BITLENS_SHARED_DATA;
    if (!std::filesystem::exists(shared)) {
        MESSAGE("skipped: ../shared/data is absent");
        return;
    }
    const auto ids = read_all(shared + "/qerror/Qwen2.5-7B/awq3-large.npy");
    REQUIRE(ids.size() == 1000);
    CHECK(ids[999].ids.size() == 512);
    const auto texts = read_all(shared + "/qerror/Qwen2.5-7B-awq3-large.jsonl.gz");
    REQUIRE(texts.size() == 1000);
    CHECK(texts[999].id == "999");
    CHECK(read_all(shared + "/c4/c4-en-first1000.jsonl.gz").size() == 1000);
    const mapped_file wikitext(shared + "/wikitext-2/wiki.test.raw");
    const std::string joined = join_lines(as_text(wikitext.bytes()));
    CHECK(joined.size() == 1'296'370); // as Python says; with Llama 3's tokenizer and its first token 289,077 tokens
    CHECK(joined.starts_with("\n\n = Robert Boulter = \n\n\n\n\n Robert Boulter is"));
}
