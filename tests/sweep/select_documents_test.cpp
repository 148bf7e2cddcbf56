#include "bitlens/sweep/select_documents.hpp"

#include "bitlens/io/npy.hpp"

#include "temporary_folder.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

tokenizer tiny_tokenizer() {
    return tokenizer::from_json(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json");
}

} // namespace

TEST_CASE("rows that are long enough are cut to one length, with the beginning-of-text token in front") {
    const test::temporary_folder folder;
    const tokenizer t = tiny_tokenizer();
    const std::string longer = "a cat sat on the mat", longest = "the dog saw the cat on the mat";
    const std::size_t length = t.encode(longer).size() + 1;
    REQUIRE(t.encode(longest).size() > length);
    const auto path = folder.write("d.jsonl", "{\"text\": \"" + longer + "\", \"id\": \"first\"}\n{\"text\": \"a\"}\n" +
                                                  "{\"text\": \"" + longest + "\", \"topic\": \"dogs\"}\n");

    const std::size_t vocabulary = t.vocabulary_size();
    const auto s = select_documents(path, &t, 1, vocabulary, length, {});
    CHECK((s.read == 3 && s.shorter == 1 && s.cut == 1));
    CHECK(s.documents.rows == std::vector<std::size_t>{0, 2});
    CHECK(s.documents.names == std::vector<std::string>{"first", ""});
    CHECK(s.documents.topics == std::vector<std::string>{"", "dogs"});
    std::size_t bytes_of_cut = 0;
    for (std::size_t i = 0; i + 1 < length; ++i) bytes_of_cut += t.token_bytes(t.encode(longest)[i]).size();
    CHECK(s.documents.bytes == std::vector<std::optional<std::uint64_t>>{longer.size(), bytes_of_cut});
    REQUIRE((s.documents.ids.size() == 2 && s.documents.ids.longest() == length));
    for (std::size_t n = 0; n < 2; ++n) {
        auto expected = t.encode(n == 0 ? longer : longest);
        expected.insert(expected.begin(), 1);
        expected.resize(length);
        CHECK(std::ranges::equal(s.documents.ids.row(n), expected));
    }

    const auto kept = select_documents(path, &t, 1, vocabulary, length, {}, {.topic = "id", .kept = {"topic", "id"}});
    CHECK(kept.documents.topics == std::vector<std::string>{"first", ""});
    REQUIRE(kept.documents.kept.size() == 2);
    CHECK(kept.documents.kept[0].name == "topic");
    CHECK(kept.documents.kept[0].values == std::vector<std::string>{"", "dogs"});
    CHECK(kept.documents.kept[1].values == std::vector<std::string>{"first", ""});
    CHECK(kept.documents.first(1).kept[1].values == std::vector<std::string>{"first"});
    CHECK_THROWS_WITH_AS(select_documents(path, &t, 1, vocabulary, length, {}, {.kept = {"id", "url"}}),
                         doctest::Contains("d.jsonl: none of the 3 rows read has the key \"url\""), option_error);

    const auto whole = select_documents(path, &t, 1, vocabulary, row_length::any_up_to(length + 1), {});
    CHECK(whole.documents.size() > s.documents.size());
    for (std::size_t n = 0; n < whole.documents.size(); ++n)
        CHECK((whole.documents.ids.tokens(n) >= 2 && whole.documents.ids.tokens(n) <= length + 1));
    CHECK(whole.documents.ids.shortest() < length);
    CHECK(whole.shorter + whole.documents.size() == whole.read);

    const auto one = select_documents(path, &t, 1, vocabulary, length, 1);
    CHECK((one.read == 1 && one.documents.rows.size() == 1));
    CHECK(select_documents(path, &t, {}, vocabulary, length, {}).documents.rows == std::vector<std::size_t>{2});
    CHECK_THROWS_WITH_AS(select_documents(path, &t, {}, vocabulary, 1000, {}),
                         doctest::Contains("none of its 3 rows has 1000 tokens or more"), option_error);
}

TEST_CASE("ids are taken as they stand") {
    const test::temporary_folder folder;
    const std::vector<std::int32_t> ids{5, 6, 7, 8, 9, 10};
    const tokenizer t = tiny_tokenizer();
    const auto path = folder.path() / "ids.npy";
    write_npy<std::int32_t>(path, std::array<std::size_t, 2>{2, 3}, ids);
    const auto s = select_documents(path, &t, 1, 11, 2, {});
    CHECK(s.cut == 2);
    CHECK(std::ranges::equal(s.documents.ids.all(), std::vector{5, 6, 8, 9}));
    CHECK_THROWS_WITH_AS(
        select_documents(path, &t, {}, 10, 3, {}),
        doctest::Contains("ids.npy: row 1, column 2: a token id from 0 to 9 is expected, 10 was found"), format_error);
}

TEST_CASE(
    "rows of ids need no tokenizer; with one, each id is one of its tokens; ids that are cut off are not judged") {
    const test::temporary_folder folder;
    const tokenizer t = tiny_tokenizer();
    const std::size_t known = t.vocabulary_size();
    const auto path = folder.path() / "ids.npy";
    const std::vector<std::int32_t> ids{5, 6, -100, 8, static_cast<std::int32_t>(known), 10};
    write_npy<std::int32_t>(path, std::array<std::size_t, 2>{2, 3}, ids);
    const auto s = select_documents(path, nullptr, {}, known + 1, 2, {});
    CHECK(s.cut == 2);
    CHECK(std::ranges::equal(s.documents.ids.all(), std::vector{5, 6, 8, static_cast<int>(known)}));
    CHECK_THROWS_WITH_AS(
        select_documents(path, nullptr, {}, known, 2, {}),
        doctest::Contains("ids.npy: row 1, column 1: a token id from 0 to 599 is expected, 600 was found"),
        format_error);
    CHECK_THROWS_WITH_AS(
        select_documents(path, &t, {}, known + 1, 2, {}),
        doctest::Contains(
            "ids.npy: row 1, column 1: the id 600 is no token of the model's tokenizer, whose ids are below 600"),
        format_error);
    CHECK(select_documents(path, &t, {}, known + 1, 1, {}).documents.rows.size() == 2);
    CHECK_THROWS_WITH_AS(select_documents(path, &t, {}, known + 1, 3, {}), doctest::Contains("-100 was found"),
                         format_error);
}

TEST_CASE("a text with a token that the model has no row for is refused, where it has been cut it is not") {
    const test::temporary_folder folder;
    const tokenizer t = tiny_tokenizer();
    const auto ids = t.encode("a cat sat");
    const auto most = static_cast<std::size_t>(*std::ranges::max_element(ids));
    const auto path = folder.write("d.jsonl", "\n{\"text\": \"a cat sat\", \"id\": 7}\n");
    CHECK(select_documents(path, &t, {}, most + 1, ids.size(), {}).documents.rows.size() == 1);
    const auto message = [&](std::optional<std::int32_t> bos, std::size_t vocabulary, std::size_t tokens) {
        try {
            select_documents(path, &t, bos, vocabulary, tokens, {});
        } catch (format_error const& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    const std::string rows = ", for which the model has no row: it has " + std::to_string(most) +
                             ", for the ids from 0 to " + std::to_string(most - 1);
    CHECK(message({}, most, ids.size()) == path.string() + ": line 2, document 0 (id \"7\"): among its tokens is " +
                                               in_quotes(t.token_bytes(static_cast<std::int32_t>(most))) + " (id " +
                                               std::to_string(most) + ")" + rows);
    const auto first = static_cast<std::size_t>(std::ranges::find(ids, static_cast<std::int32_t>(most)) - ids.begin());
    if (first > 0) CHECK(message({}, most, first).empty());
    CHECK(message(2, 2, 2) ==
          path.string() + ": line 2, document 0 (id \"7\"): among its tokens is \"<|im_end|>\" (id 2), for which the "
                          "model has no row: it has 2, for the ids from 0 to 1");
}

TEST_CASE("a prompt is read and not scored, and what is too long with it is left out whole") {
    const test::temporary_folder folder;
    const tokenizer t = tiny_tokenizer();
    const auto path = folder.write("d.jsonl", "{\"before\": \"a cat sat on\", \"text\": \" the mat\"}\n"
                                              "{\"text\": \"the dog\"}\n");
    const std::size_t vocabulary = t.vocabulary_size();
    document_keys keys;
    keys.prompt = "before";
    for (const std::optional<std::int32_t> bos : {std::optional<std::int32_t>(), std::optional<std::int32_t>(1)}) {
        const auto s = select_documents(path, &t, bos, vocabulary, row_length::any_up_to(100), {}, keys);
        REQUIRE(s.documents.size() == 2);
        const std::size_t first = bos ? 1 : 0, prompt = t.encode("a cat sat on").size();
        REQUIRE(t.encode("a cat sat on the mat").size() > prompt);
        CHECK(s.documents.ids.scored(0).first == prompt + first - 1);
        CHECK(s.documents.ids.tokens(0) == t.encode("a cat sat on the mat").size() + first);
        CHECK(s.documents.bytes[0] == 8u);
        CHECK(s.documents.ids.scored(1).first == 0);
    }
    // A text that melts into the last tokens of its prompt is scored from there.
    const std::string text = "a cat sat on the mat";
    const auto whole_ids = t.encode(text);
    std::size_t melted = 0;
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
        const auto alone = t.encode(text.substr(0, cut));
        std::size_t common = 0;
        while (common < std::min(whole_ids.size(), alone.size()) && whole_ids[common] == alone[common]) ++common;
        if (common == alone.size() || common == 0) continue;
        ++melted;
        const auto file = folder.write("m.jsonl", "{\"before\": \"" + text.substr(0, cut) + "\", \"text\": \"" +
                                                      text.substr(cut) + "\"}\n");
        const auto one = select_documents(file, &t, {}, vocabulary, row_length::any_up_to(100), {}, keys);
        CHECK(std::ranges::equal(one.documents.ids.row(0), whole_ids));
        CHECK(one.documents.ids.scored(0).first == common - 1);
    }
    CHECK(melted > 0);

    const auto choices = folder.write(
        "c.jsonl", "{\"text\": \"a cat sat on\", \"c\": [\"the mat\", \"the dog\"], \"a\": 1, \"id\": \"x\"}\n"
                   "{\"text\": \"a cat\", \"c\": [\"sat on the mat the dog saw the cat\", \"sat\"], \"a\": 0}\n"
                   "{\"text\": \"the\", \"c\": [\"dog\", \"cat\", \"mat\"], \"a\": 2}\n");
    document_keys of_choices;
    of_choices.choices = "c";
    of_choices.answer = "a";
    const std::size_t most = t.encode("a cat sat on the mat").size();
    const auto s = select_documents(choices, &t, {}, vocabulary, row_length::any_up_to(most), {}, of_choices);
    CHECK(s.documents.rows == std::vector<std::size_t>{0, 0, 2, 2, 2});
    REQUIRE(s.documents.kept.size() == 2);
    CHECK(s.documents.kept[0].values == std::vector<std::string>{"0", "1", "0", "1", "2"});
    CHECK(s.documents.kept[1].values == std::vector<std::string>{"0", "1", "0", "0", "1"});
    REQUIRE(s.too_long.size() == 1);
    CHECK(s.too_long[0].find("line 2") != std::string::npos);
    // Never half of a question.
    CHECK(select_documents(choices, &t, {}, vocabulary, row_length::any_up_to(most), 1, of_choices).documents.size() ==
          2);
}
