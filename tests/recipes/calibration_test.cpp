#include "bitlens/recipes/calibration.hpp"

#include "bitlens/io/npy.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

using ids_of_document = std::vector<std::int32_t>;

tokenizer const& tiny_tokenizer() {
    static const tokenizer t =
        tokenizer::from_json(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json");
    return t;
}

calibration_model tiny_reader(std::optional<std::int32_t> bos = {}, std::size_t context = 0) {
    return {&tiny_tokenizer(), bos, tiny_tokenizer().vocabulary_size(), context};
}

/// A text of so many tokens, all the same and another for each `word`: digits are tokens of their own.
std::string text_of(std::size_t tokens, std::size_t word = 1) {
    return std::string(tokens, static_cast<char>('0' + word % 10));
}

std::string lines_of(std::vector<std::string> const& texts) {
    std::string all;
    for (std::size_t i = 0; i < texts.size(); ++i)
        all += json{{"id", "t" + std::to_string(i)}, {"text", texts[i]}}.dump() + "\n";
    return all;
}

/// Documents of random ids, of which no two have a 5-gram in common.
std::vector<ids_of_document> random_rows(std::size_t rows, std::size_t tokens, std::uint64_t seed) {
    random_generator random(seed);
    std::vector<ids_of_document> all(rows, ids_of_document(tokens));
    for (auto& row : all)
        for (auto& id : row) id = static_cast<std::int32_t>(random.below(500));
    return all;
}

void write_rows(std::filesystem::path const& path, std::vector<ids_of_document> const& rows) {
    ids_of_document all;
    for (auto const& row : rows) all.insert(all.end(), row.begin(), row.end());
    write_npy<std::int32_t>(path, std::array<std::size_t, 2>{rows.size(), rows[0].size()}, all);
}

std::vector<std::size_t> rows_of(calibration_set const& s) {
    std::vector<std::size_t> rows;
    for (auto const& t : s.texts) rows.push_back(t.row);
    return rows;
}

template <class F>
std::string error_of(F const& f) {
    try {
        f();
    } catch (error const& e) {
        return e.what();
    }
    return "accepted";
}

} // namespace

TEST_CASE("for GPTQ a text is a document: of more than ten tokens, cut to 2048 or to the model's context") {
    REQUIRE(tiny_tokenizer().encode(text_of(12)).size() == 12);
    const test::temporary_folder folder;
    const auto path = folder.write("c.jsonl", lines_of({text_of(200, 1), text_of(10, 2), " \n\u2003", text_of(11, 3),
                                                        text_of(2049, 4), text_of(2048, 5)}));
    const auto s = read_calibration(path, tiny_reader());
    CHECK((s.read == 6 && s.shorter == 1 && s.empty == 1 && s.longer == 0 && s.cut == 1));
    CHECK(rows_of(s) == std::vector<std::size_t>{0, 3, 4, 5});
    CHECK(s.texts[1].name == "t3");
    REQUIRE(s.documents.size() == 4);
    CHECK(s.documents[0] == tiny_tokenizer().encode(text_of(200, 1)));
    CHECK(s.documents[2] == tiny_tokenizer().encode(text_of(2048, 4)));
    CHECK(s.tokens() == 200 + 11 + 2048 + 2048);
    CHECK(s.summary() == "4 documents of 4307 tokens from 4 of 6 texts; left out: 1 empty, 1 of fewer than 11 tokens; "
                         "cut: 1");
    CHECK(s.remarks == std::vector<std::string>{"calibration on 4 texts, where up to 1024 were to be taken: " +
                                                path.string() + " has no more"});

    // The token that a text begins with is one of them.
    const auto with_bos = read_calibration(path, tiny_reader(1));
    CHECK(rows_of(with_bos) == std::vector<std::size_t>{0, 1, 3, 4, 5});
    for (auto const& d : with_bos.documents) CHECK(d[0] == 1);
    CHECK((with_bos.documents[3].size() == 2048 && with_bos.documents[4].size() == 2048));

    const auto in_context = read_calibration(path, tiny_reader({}, 64));
    CHECK((in_context.documents[0].size() == 64 && in_context.documents[1].size() == 11 && in_context.cut == 3));
}

TEST_CASE("for GPTQ so many texts are looked at, for AWQ so many are kept") {
    const test::temporary_folder folder;
    const auto path = folder.write("c.jsonl", lines_of({text_of(600, 1), text_of(5, 2), text_of(300, 3),
                                                        text_of(513, 4), text_of(512, 5), text_of(400, 6)}));
    const auto gptq = read_calibration(path, tiny_reader(), {.texts = 3});
    CHECK(rows_of(gptq) == std::vector<std::size_t>{0, 2});
    CHECK(gptq.read == 3);
    CHECK(gptq.remarks.empty());
    const auto awq = read_calibration(path, tiny_reader(), {.preset = awq_calibration, .texts = 3});
    CHECK(rows_of(awq) == std::vector<std::size_t>{1, 2, 4});
    CHECK((awq.read == 5 && awq.longer == 2));
    CHECK(awq.remarks.empty());
}

TEST_CASE("for AWQ stripped texts are joined and cut in blocks, and what is left over is dropped") {
    const test::temporary_folder folder;
    const auto path = folder.write(
        "c.jsonl", lines_of({" \u2003" + text_of(300, 1) + "\n\n", "\t", text_of(400, 2), text_of(400, 3)}));
    const auto s = read_calibration(path, tiny_reader(7), {.preset = awq_calibration});
    ids_of_document joined;
    for (auto const& text : {text_of(300, 1), text_of(400, 2), text_of(400, 3)}) {
        joined.push_back(7);
        const auto ids = tiny_tokenizer().encode(text);
        joined.insert(joined.end(), ids.begin(), ids.end());
    }
    REQUIRE(s.documents.size() == 2); // of 1103 tokens
    for (std::size_t n = 0; n < 2; ++n)
        CHECK(s.documents[n] == ids_of_document(joined.begin() + static_cast<std::ptrdiff_t>(512 * n),
                                                joined.begin() + static_cast<std::ptrdiff_t>(512 * (n + 1))));
    CHECK(s.summary() == "2 documents of 1024 tokens (blocks of 512) from 3 of 4 texts; left out: 1 empty");
    const auto small = read_calibration(path, tiny_reader({}, 128), {.preset = awq_calibration});
    CHECK((small.documents.size() == 8 && small.block == 128));
}

TEST_CASE("so many tokens in all: the text that reaches them is cut, and the last") {
    const test::temporary_folder folder;
    const auto path = folder.write("c.jsonl", lines_of({text_of(200, 1), text_of(200, 2), text_of(200, 3)}));
    const auto s = read_calibration(path, tiny_reader(), {.tokens = 250});
    REQUIRE(s.documents.size() == 2);
    CHECK((s.documents[0].size() == 200 && s.documents[1].size() == 50 && s.cut == 1 && s.read == 2));
    CHECK(s.remarks.empty());
    CHECK(read_calibration(path, tiny_reader(), {.tokens = 20}).tokens() == 20); // fewer than else, as asked for
}

TEST_CASE("rows of ids are taken as they stand, whatever the preset") {
    const test::temporary_folder folder;
    const auto rows = random_rows(30, 5, 1);
    const auto path = folder.path() / "ids.npy";
    write_rows(path, rows);
    for (auto const& preset : {gptq_calibration, awq_calibration}) {
        const auto s = read_calibration(path, {nullptr, 1, 500, 4}, {.preset = preset});
        CHECK(s.documents == rows);
        CHECK(s.holds_ids);
        CHECK(s.remarks == std::vector<std::string>{
                               "calibration on rows of 5 tokens: the model was trained on 4 positions at most"});
        CHECK(s.identity()["preset"] == "rows of ids as they stand");
    }
    CHECK(read_calibration(path, {nullptr, {}, 500}, {.texts = 28}).documents.size() == 28);
    const auto ragged = read_calibration(path, {nullptr, {}, 500}, {.tokens = 132});
    CHECK((ragged.documents.size() == 27 && ragged.documents.back().size() == 2));
    CHECK(error_of([&] {
              read_calibration(path, {nullptr, {}, 300});
          }).find("ids.npy: row 0, column ") != std::string::npos);
}

TEST_CASE("a seed gives the rows of a file an order of their own, the same each time") {
    const test::temporary_folder folder;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < 40; ++i) texts.push_back(text_of(20 + i, i));
    const auto path = folder.write("c.jsonl", lines_of(texts));
    const auto of_seed = [&](std::uint64_t seed, std::optional<std::size_t> most = {}) {
        return rows_of(read_calibration(path, tiny_reader(), {.texts = most, .shuffle = seed}));
    };
    const auto five = of_seed(5);
    CHECK(five == of_seed(5));
    CHECK(five != of_seed(6));
    CHECK(std::set(five.begin(), five.end()).size() == 40);
    CHECK_FALSE(std::ranges::is_sorted(five));
    const auto some = of_seed(5, 10);
    CHECK(std::ranges::equal(some, std::span(five).first(10)));
}

TEST_CASE("what stands for a set in a manifest changes with every id, and says how the set was made") {
    const test::temporary_folder folder;
    const auto set_of = [&](std::vector<ids_of_document> const& rows) {
        const auto path = folder.path() / "ids.npy";
        write_rows(path, rows);
        return read_calibration(path, {nullptr, {}, 500}, {.fewest_tokens = 1});
    };
    const auto a = set_of({{1, 2, 3}, {4, 5, 6}}), b = set_of({{1, 2, 3, 4, 5, 6}}), c = set_of({{1, 2, 3}, {4, 5, 7}});
    // By Python: hashlib.sha256(struct.pack("<8I", 3, 1, 2, 3, 3, 4, 5, 6)).
    CHECK(a.ids_sha256() == "b193c2070ef32e98207ccb6904c2a5488428a820524880c6fc9c8a1b0c9c4d75");
    CHECK(a.ids_sha256() != b.ids_sha256());
    CHECK(a.ids_sha256() != c.ids_sha256());
    CHECK(a.identity()["tokens"] == 6);

    const auto path = folder.write("c.jsonl", lines_of({text_of(200, 1), text_of(200, 2)}));
    const json id = read_calibration(path, tiny_reader(3, 100), {.texts = 2, .tokens = 150, .shuffle = 4}).identity();
    CHECK_FALSE(id.contains("file"));
    CHECK((id["preset"] == "gptq" && id["longest"] == 100 && id["bos"] == 3 && id["most_texts"] == 2));
    CHECK((id["most_tokens"] == 150 && id["shuffle"] == 4 && id["documents"] == 2 && id["tokens"] == 150));
    // The same texts in another file are the same calibration; where they lie is said beside it.
    const auto renamed = folder.write("d.jsonl", lines_of({text_of(200, 1), text_of(200, 2)}) + "\n");
    const auto other = read_calibration(renamed, tiny_reader(3, 100), {.texts = 2, .tokens = 150, .shuffle = 4});
    CHECK(other.identity() == id);
    CHECK(other.origin() == json{{"file", file_identity(renamed)}});
    const json of_awq = read_calibration(folder.write("long.jsonl", lines_of({text_of(512)})), tiny_reader(),
                                         {.preset = awq_calibration})
                            .identity();
    CHECK(of_awq["block"] == 512);
}

TEST_CASE("too little to calibrate on is refused with what is there and what became of the rest") {
    const test::temporary_folder folder;
    const auto of = [&](std::vector<std::string> const& texts, calibration_options const& options = {}) {
        const auto path = folder.write("c.jsonl", lines_of(texts));
        return error_of([&] { read_calibration(path, tiny_reader(), options); });
    };
    const std::string file = (folder.path() / "c.jsonl").string();
    CHECK(of({}) == file + ": no document to calibrate on was found");
    CHECK(of({"", " ", text_of(10)}) ==
          file + ": 0 tokens to calibrate on, at least 128 are expected; 0 documents of 0 tokens from 0 of 3 texts; "
                 "left out: 2 empty, 1 of fewer than 11 tokens");
    CHECK(of({text_of(127)}) == file + ": 127 tokens to calibrate on, at least 128 are expected; 1 document of 127 "
                                       "tokens from 1 of 1 text");
    CHECK(of({text_of(128)}) == "accepted");
    CHECK(
        of({text_of(511)}, {.preset = awq_calibration}).find("511 tokens to calibrate on, at least 512 are expected") !=
        std::string::npos);
    CHECK(of({text_of(513)}, {.preset = awq_calibration}).find("left out: 1 of more than 512") != std::string::npos);
    CHECK(of({text_of(128)}, {.texts = 0}) == "calibration: texts: at least 1 is expected, 0 was found");
    CHECK(error_of([&] {
              read_calibration(folder.write("t.txt", text_of(200)), {nullptr, {}, 500});
          }).ends_with("t.txt: texts need the model's tokenizer, which there is none of; token ids as NPY do not"));
    CHECK(of({text_of(128)}, {.tokens = 0}) == "calibration: tokens: at least 1 is expected, 0 was found");
    CHECK(error_of([&] { read_calibration(folder.write("c.txt", ""), tiny_reader()); }).find("1 empty") !=
          std::string::npos);
    CHECK(error_of([&] {
              read_calibration(folder.write("k.jsonl", "{\"text\": \"" + text_of(200) + "\"}\n"), tiny_reader(), {},
                               {.id = "url"});
          }).find("k.jsonl: none of the 1 rows read has the key \"url\"") != std::string::npos);
    const auto path = folder.write("c.jsonl", lines_of({text_of(200)}));
    CHECK(error_of([&] {
              read_calibration(path, {&tiny_tokenizer(), 5, 5, 0});
          }).find("c.jsonl: line 1, document 0 (id \"t0\"): among its tokens is ") != std::string::npos);
}

TEST_CASE("fewer tokens than the widest layer has inputs are remarked on") {
    const test::temporary_folder folder;
    const auto path = folder.write("c.jsonl", lines_of({text_of(200)}));
    calibration_model reader = tiny_reader();
    reader.widest_input = 200;
    CHECK(read_calibration(path, reader, {.texts = 1}).remarks.empty());
    reader.widest_input = 201;
    CHECK(read_calibration(path, reader, {.texts = 1}).remarks ==
          std::vector<std::string>{"calibration on 200 tokens, fewer than the 201 inputs of the widest layer: how they "
                                   "depend on each other is known in part only"});
}

TEST_CASE("documents of the study are left out, also where they are a part, or begin elsewhere") {
    const test::temporary_folder folder;
    auto rows = random_rows(6, 100, 2);
    const auto studied = random_rows(3, 60, 3);
    std::ranges::copy(studied[0], rows[1].begin() + 20);       // all of a document, within a longer one
    std::copy_n(studied[2].begin() + 30, 30, rows[4].begin()); // its end: 26 of its 56 5-grams
    std::copy_n(studied[1].begin(), 10, rows[5].begin());      // a sentence: 6 of 56
    const auto path = folder.path() / "ids.npy";
    write_rows(path, rows);
    matrix<std::int32_t> ids(3, 60);
    for (std::size_t n = 0; n < 3; ++n) std::ranges::copy(studied[n], ids.row(n).begin());
    auto study = document_rows::numbered(std::move(ids));
    study.rows = {10, 11, 12};
    study.names[2] = "third";

    auto s = read_calibration(path, {nullptr, {}, 500});
    const std::string before = s.ids_sha256();
    leave_out(s, study);
    CHECK(rows_of(s) == std::vector<std::size_t>{0, 2, 3, 5});
    CHECK(s.documents == std::vector<ids_of_document>{rows[0], rows[2], rows[3], rows[5]});
    REQUIRE(s.in_study.size() == 2);
    CHECK((s.in_study[0].row == 1 && s.in_study[0].study_row == 10 && s.in_study[0].share == 1));
    CHECK((s.in_study[1].row == 4 && s.in_study[1].study_row == 12 && s.in_study[1].study_name == "third"));
    CHECK(s.in_study[1].share == doctest::Approx(26.0 / 56));
    CHECK(s.origin()["left_out_as_in_the_study"] == 2);
    CHECK(s.summary() == "4 documents of 400 tokens from 4 of 6 rows; left out: 2 in the study");
    CHECK(s.ids_sha256() != before);

    auto other = read_calibration(path, {nullptr, {}, 500});
    leave_out(other, document_rows::numbered([] {
                  matrix<std::int32_t> none(1, 60);
                  std::ranges::copy(random_rows(1, 60, 9)[0], none.row(0).begin());
                  return none;
              }()));
    CHECK(other.ids_sha256() == before);
    CHECK_FALSE(other.origin().contains("left_out_as_in_the_study"));
}

TEST_CASE("a text is judged whole, whatever a limit of tokens or the model's context leaves of it") {
    const test::temporary_folder folder;
    auto rows = random_rows(3, 200, 2);
    const auto studied = random_rows(2, 200, 3);
    std::ranges::copy(std::span(studied[0]).first(24), rows[1].begin()); // a paragraph that both begin with
    rows[2] = studied[1];
    const auto path = folder.path() / "ids.npy";
    write_rows(path, rows);
    matrix<std::int32_t> ids(2, 200);
    for (std::size_t n = 0; n < 2; ++n) std::ranges::copy(studied[n], ids.row(n).begin());
    const auto study = document_rows::numbered(std::move(ids));
    for (const std::size_t stub : {24u, 30u, 150u}) {
        CAPTURE(stub);
        auto paragraph = read_calibration(path, {nullptr, {}, 500}, {.tokens = 200 + stub});
        leave_out(paragraph, study);
        CHECK(rows_of(paragraph) == std::vector<std::size_t>{0, 1});
        CHECK((paragraph.cut == 1 && paragraph.documents[1].size() == stub));
        auto document = read_calibration(path, {nullptr, {}, 500}, {.tokens = 400 + stub});
        CHECK(document.cut == 1);
        leave_out(document, study);
        CHECK(rows_of(document) == std::vector<std::size_t>{0, 1});
        CHECK(document.cut == 0); // of those that are left
    }

    // Digits are tokens of their own.
    random_generator random(5);
    const auto digits = [&](std::size_t count) {
        std::string text;
        while (text.size() < count) text += static_cast<char>('0' + random.below(10));
        return text;
    };
    const std::string paragraph = digits(30), document = paragraph + digits(170);
    const auto texts = folder.write("c.jsonl", lines_of({digits(200), paragraph + digits(300), digits(200)}));
    const auto of_study = select_documents(folder.write("s.jsonl", lines_of({document})), &tiny_tokenizer(), {},
                                           tiny_tokenizer().vocabulary_size(), 200, {})
                              .documents;
    auto in_context = read_calibration(texts, tiny_reader({}, 64));
    leave_out(in_context, of_study);
    CHECK((in_context.texts.size() == 3 && in_context.cut == 3));
}

TEST_CASE("a short text is left out for all of it, not for a phrase") {
    const test::temporary_folder folder;
    const auto studied = random_rows(1, 200, 3);
    auto rows = random_rows(30, 12, 2);
    std::ranges::copy(std::span(studied[0]).subspan(50, 11), rows[1].begin()); // 7 of its 8 5-grams
    std::ranges::copy(std::span(studied[0]).subspan(90, 12), rows[2].begin());
    const auto path = folder.path() / "ids.npy";
    write_rows(path, rows);
    matrix<std::int32_t> ids(1, 200);
    std::ranges::copy(studied[0], ids.row(0).begin());
    auto s = read_calibration(path, {nullptr, {}, 500});
    leave_out(s, document_rows::numbered(std::move(ids)));
    REQUIRE(s.in_study.size() == 1);
    CHECK((s.in_study[0].row == 2 && s.in_study[0].share == 1));
}

TEST_CASE("a calibration set that is the study's own file is left out whole, and refused") {
    const test::temporary_folder folder;
    std::vector<std::string> texts;
    random_generator random(8);
    for (std::size_t i = 0; i < 8; ++i) {
        std::string text;
        for (std::size_t t = 0; t < 700; ++t) text += static_cast<char>('0' + random.below(10));
        texts.push_back(text);
    }
    const auto path = folder.write("c.jsonl", lines_of(texts));
    // Cut to 64 tokens, with and without the token that it begins with.
    const auto study = select_documents(path, &tiny_tokenizer(), 1, 600, 64, {}).documents;
    for (const std::optional<std::int32_t> bos : {std::optional<std::int32_t>(1), std::optional<std::int32_t>()}) {
        auto s = read_calibration(path, tiny_reader(bos));
        CHECK(error_of([&] { leave_out(s, study); }) ==
              path.string() + ": 0 tokens to calibrate on, at least 128 are expected; 0 documents of 0 tokens from 0 "
                              "of 8 texts; left out: 8 in the study");
    }
    // Of blocks that were joined from texts, the texts are left out.
    auto half = study.first(4);
    auto s = read_calibration(path, tiny_reader(), {.texts = 8});
    leave_out(s, half);
    CHECK(rows_of(s) == std::vector<std::size_t>{4, 5, 6, 7});
    const auto short_texts = [&] {
        auto cut = texts;
        for (auto& t : cut) t.resize(400);
        return cut;
    }();
    auto blocks =
        read_calibration(folder.write("b.jsonl", lines_of(short_texts)), tiny_reader(), {.preset = awq_calibration});
    CHECK(blocks.documents.size() == 6); // of 3200 tokens
    leave_out(blocks, half);
    CHECK(rows_of(blocks) == std::vector<std::size_t>{4, 5, 6, 7});
    REQUIRE(blocks.documents.size() == 3); // of 1600
    CHECK(ids_of_document(blocks.documents[0].begin(), blocks.documents[0].begin() + 400) == blocks.texts[0].ids);
}

TEST_CASE("the texts to calibrate on in examples/data are enough for every preset, and no documents of the study's") {
    const auto tokenizer_file =
        std::filesystem::path(BITLENS_SHARED_DATA) / "tokenizers" / "smollm2" / "tokenizer.json";
    if (!std::filesystem::exists(tokenizer_file)) {
        MESSAGE("skipped: " << tokenizer_file.string() << " is not there");
        return;
    }
    const tokenizer t = tokenizer::from_json(tokenizer_file);
    const calibration_model smollm{&t, {}, t.vocabulary_size(), 8192};
    const auto data = std::filesystem::path(BITLENS_TEST_DATA) / ".." / ".." / "examples" / "data";
    const auto study = select_documents(data / "web-registers.jsonl", &t, {}, t.vocabulary_size(), 512, {}).documents;
    REQUIRE(study.size() == 72);
    auto of_gptq = read_calibration(data / "calibration.jsonl", smollm);
    CHECK((of_gptq.documents.size() == 54 && of_gptq.tokens() == 11083)); // as examples/data/README.md says
    auto of_awq = read_calibration(data / "calibration.jsonl", smollm, {.preset = awq_calibration});
    CHECK((of_awq.longer == 2 && of_awq.documents.size() == 19));
    for (auto* s : {&of_gptq, &of_awq}) {
        leave_out(*s, study);
        CHECK(s->in_study.empty());
    }
    for (std::size_t tokens = 128; tokens < 11083; tokens += 128) {
        CAPTURE(tokens);
        auto some = read_calibration(data / "calibration.jsonl", smollm, {.tokens = tokens});
        leave_out(some, study);
        CHECK(some.in_study.empty());
    }
}
