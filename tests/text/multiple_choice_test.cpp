#include "bitlens/text/documents.hpp"

#include "io/files.hpp"
#include "temporary_folder.hpp"

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

const document_keys of_choices{.text = "question", .choices = "choices", .answer = "answer"};

std::vector<document> documents_of(std::filesystem::path const& path, document_keys const& keys) {
    document_reader reader(path, std::numeric_limits<std::size_t>::max(), keys);
    std::vector<document> all;
    for (document d; reader.next(d);) all.push_back(d);
    return all;
}

} // namespace

TEST_CASE("a prompt is read before the text, and only by name") {
    const test::temporary_folder folder;
    const auto path = folder.write("d.jsonl", R"({"context":"Once ","text":"upon","prompt":7})"
                                              "\n"
                                              R"({"context":null,"text":"a"})"
                                              "\n"
                                              R"({"text":"time"})"
                                              "\n");
    const auto all = documents_of(path, {.prompt = "context"});
    REQUIRE(all.size() == 3);
    CHECK((all[0].prompt == "Once " && all[0].text == "upon")); // as they stand
    CHECK((all[1].prompt.empty() && all[2].prompt.empty() && all[2].text == "time"));
    CHECK((all[0].choice == 0 && !all[0].is_answer));
    CHECK(documents_of(path, {})[0].prompt.empty());

    document_reader reader(path, 100, {.prompt = "before"});
    for (document d; reader.next(d);) {
    }
    CHECK(reader.absent_keys() == std::vector<std::string>{"before"});
    CHECK_REFUSED(documents_of(path, {.prompt = "prompt"}), "d.jsonl: line 1: key \"prompt\"",
                  "a string is expected, 7 was found");
    CHECK_THROWS_TEXT(documents_of(folder.write("d.txt", "text"), {.prompt = "p"}), option_error,
                      "d.txt: the key \"p\" was asked for");
}

TEST_CASE("each choice of a question is a document behind it") {
    const test::temporary_folder folder;
    const auto path =
        folder.write("q.jsonl", R"({"question":"One?","choices":["a","b"," c"],"answer":1,"id":"x","l":3})"
                                "\n\n"
                                R"({"question":"Two: ","choices":["a","b"],"answer":"1","topic":"t"})"
                                "\n"
                                R"({"answer":"red","choices":["red","blue"],"question":"Three?"})"
                                "\n");
    auto keys = of_choices;
    keys.kept = {"l"};
    const auto all = documents_of(path, keys);
    REQUIRE(all.size() == 7);
    const std::vector<std::string_view> prompts{"One?", "One?", "One?", "Two: ", "Two: ", "Three?", "Three?"},
        texts{" a", " b", " c", "a", "b", " red", " blue"}, ids{"x", "x", "x", "1", "1", "2", "2"};
    const std::vector<std::size_t> rows{0, 0, 0, 1, 1, 2, 2}, lines{1, 1, 1, 3, 3, 4, 4}, choices{0, 1, 2, 0, 1, 0, 1},
        answers{0, 1, 0, 0, 1, 1, 0};
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        CHECK(all[i].prompt == prompts[i]);
        CHECK(all[i].text == texts[i]);
        CHECK(all[i].id == ids[i]);
        CHECK(all[i].row == rows[i]);
        CHECK(all[i].line == lines[i]);
        CHECK(all[i].choice == choices[i]);
        CHECK(all[i].is_answer == (answers[i] == 1));
        CHECK(all[i].kept == std::vector<std::string>{i < 3 ? "3" : ""});
        CHECK(all[i].topic == (i == 3 || i == 4 ? "t" : ""));
    }
}

TEST_CASE("choices as of ARC: texts and labels, with a label as the answer") {
    const test::temporary_folder folder;
    const document_keys keys{.text = "question", .choices = "choices", .answer = "answerKey"};
    const auto line = [](std::string const& labels, std::string const& answer) {
        return R"({"id":"M_1","question":"Which?","choices":{"text":["x","y","z"],"label":)" + labels +
               R"(},"answerKey":)" + answer + "}\n";
    };
    const auto right = [&](std::string const& labels, std::string const& answer) {
        std::size_t found = 99;
        for (auto const& d : documents_of(folder.write("arc.jsonl", line(labels, answer)), keys))
            if (d.is_answer) found = d.choice;
        return found;
    };
    CHECK(right(R"(["A","B","C"])", "\"B\"") == 1);
    CHECK(right(R"(["1","2","3"])", "\"3\"") == 2); // a label, no place
    CHECK(right(R"(["1","2","3"])", "1") == 0);
    CHECK(right("[7,8,9]", "9") == 2);
    CHECK(right("[7,8,9]", "\"8\"") == 1);
    const auto check = [&](std::string const& labels, std::string const& answer, std::string_view word,
                           std::string_view other) {
        CAPTURE(labels);
        CHECK_REFUSED(documents_of(folder.write("arc.jsonl", line(labels, answer)), keys), "arc.jsonl: line 1", word,
                      other);
    };
    check(R"(["A","B"])", "\"A\"", "key \"choices.label\"", "2 and 3 were found");
    check(R"(["A","B","A"])", "\"A\"", "key \"answerKey\"", "the text of only one of the labels is expected");
    check(R"(["A","B",null])", "\"A\"", "key \"choices.label[2]\"", "null was found");
    check(R"("ABC")", "\"A\"", "key \"choices.label\"", "an array of strings is expected, \"ABC\" was found");
    check(R"(["A","B","C"])", "\"D\"", "one of the labels is expected", "\"D\" was found");
    check(R"(["A","B","C"])", "\"\"", "key \"answerKey\"", "\"\" was found");
    const auto refused = [&](std::string const& choices, std::string_view word, std::string_view other) {
        CAPTURE(choices);
        const auto path = folder.write("arc.jsonl", R"({"question":"Q","answerKey":"A","choices":)" + choices + "}\n");
        CHECK_REFUSED(documents_of(path, keys), "arc.jsonl: line 1: key \"choices", word, other);
    };
    refused(R"({"label":["A","B"]})", "\"text\"", "missing");
    refused(R"({"text":["A","B"]})", "\"label\"", "missing");
    refused(R"({"text":"A","label":["A"]})", "choices.text", "an array of strings is expected, \"A\" was found");
}

TEST_CASE("what is wrong with choices is named by file, line and key") {
    const test::temporary_folder folder;
    const auto check = [&](std::string const& members, std::string_view word, std::string_view other = "") {
        CAPTURE(members);
        const auto path = folder.write("q.jsonl", R"({"question":"Q","choices":["a","b"],"answer":0})"
                                                  "\n{" +
                                                      members + "}\n");
        CHECK_REFUSED(documents_of(path, of_choices), "q.jsonl: line 2", word, other);
    };
    check(R"("choices":["a","b"],"answer":0)", "\"question\"", "missing");
    check(R"("question":"Q","answer":0)", "\"choices\"", "missing");
    check(R"("question":"Q","choices":["a","b"])", "\"answer\"", "missing");
    check(R"("question":" \n","choices":["a","b"],"answer":0)", "key \"question\"", "more than white space");
    check(R"("question":"Q","choices":"a","answer":0)", "key \"choices\"", "\"a\" was found");
    check(R"("question":"Q","choices":null,"answer":0)", "key \"choices\"", "null was found");
    check(R"("question":"Q","choices":[],"answer":0)", "2 to 1000 choices are expected, 0 were found");
    check(R"("question":"Q","choices":["a"],"answer":0)", "2 to 1000 choices are expected, 1 were found");
    check(R"("question":"Q","choices":["a",1],"answer":0)", "key \"choices[1]\"", "a string is expected, 1 was found");
    check(R"("question":"Q","choices":["a"," "],"answer":0)", "key \"choices[1]\"", "more than white space");
    check(R"("question":"Q","choices":["a",}],"answer":0)", "no valid JSON");
    check(R"("question":"Q","choices":["a","\ud800"],"answer":0)", "no valid JSON");
    check(R"("question":"Q","choices":["a","b"],"answer":2)", "key \"answer\"",
          "from 0 to 1, is expected, 2 was found");
    check(R"("question":"Q","choices":["a","b"],"answer":-1)", "key \"answer\"", "-1 was found");
    check(R"("question":"Q","choices":["a","b"],"answer":1.0)", "key \"answer\"", "1.0 was found");
    check(R"("question":"Q","choices":["a","b"],"answer":true)", "key \"answer\"", "a string or an integer");
    check(R"("question":"Q","choices":["a","b"],"answer":null)", "key \"answer\"", "null was found");
    check(R"("question":"Q","choices":["a","b"],"answer":["a"])", "key \"answer\"", "array was found");
    check(R"("question":"Q","choices":["a","b"],"answer":"c")", "one of the choices", "\"c\" was found");
    check(R"("question":"Q","choices":["a","a"],"answer":"a")", "the text of only one of the choices is expected");
    // "1" is the first choice, and the place of the second.
    check(R"("question":"Q","choices":["1","2"],"answer":"1")", "but not that of another", "\"1\" was found");
    const auto both = folder.write("both.jsonl", R"({"question":"Q","choices":["0","1"],"answer":"1"})");
    CHECK(documents_of(both, of_choices)[1].is_answer); // which is either way the second

    std::string many = "[\"a\"";
    for (std::size_t i = 1; i < most_choices; ++i) many += ",\"a\"";
    const std::string beginning = R"({"question":"Q","answer":999,"choices":)";
    CHECK(documents_of(folder.write("many.jsonl", beginning + many + "]}"), of_choices).back().is_answer);
    CHECK_REFUSED(documents_of(folder.write("many.jsonl", beginning + many + ",\"a\"]}"), of_choices),
                  "1001 were found");
}

TEST_CASE("keys of choices go together, and with no prompt") {
    const test::temporary_folder folder;
    const auto path = folder.write("q.jsonl", R"({"text":"Q","choices":["a","b"],"answer":0})");
    CHECK_THROWS_TEXT(document_reader(path, 1, {.choices = "choices"}), option_error, "q.jsonl: the key of the choices",
                      "\"choices\"", "without that of the answer");
    CHECK_THROWS_TEXT(document_reader(path, 1, {.answer = "gold"}), option_error, "q.jsonl: the key of the answer",
                      "\"gold\"", "without that of the choices");
    CHECK_THROWS_TEXT(document_reader(path, 1, {.prompt = "p", .choices = "choices", .answer = "answer"}), option_error,
                      "q.jsonl: the key of a prompt, \"p\"", "beside that of choices");
    CHECK_THROWS_TEXT(document_reader(folder.write("d.txt", "t"), 1, {.choices = "c", .answer = "a"}), option_error,
                      "the ending .txt");
}
