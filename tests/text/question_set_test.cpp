#include "bitlens/text/question_set.hpp"

#include "io/files.hpp"
#include "temporary_folder.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <zlib.h>

using namespace bitlens;

namespace {

using aliases = std::vector<std::string>;

const std::string table_header = "prop\tquestion\tpossible_answers\ts_pop\n";

void write_gzip(std::filesystem::path const& path, std::string const& text) {
    const gzFile file = gzopen(path.c_str(), "wb");
    REQUIRE(gzwrite(file, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()));
    gzclose(file);
}

} // namespace

TEST_CASE("PopQA as it is published") {
    const auto path = std::filesystem::path(BITLENS_SHARED_DATA) / "popqa.tsv";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: ../shared/data is absent");
        return;
    }
    const auto all = read_questions(path);
    REQUIRE(all.size() == 3636);
    // As Python's str.split and json.loads say.
    CHECK(all[0].text == "In what city was Markus Ragger born?");
    CHECK(all[0].answers == aliases{"Klagenfurt", "Celovec", "Klagenfurt am Wörthersee"});
    CHECK(all[0].relation == "place of birth");
    CHECK(all[0].popularity == 394);
    CHECK(all[0].popularity_written == "394");
    CHECK((all[0].row == 0 && all[0].line == 2 && all[0].id.empty()));
    CHECK(all[1817].text == "Who is the father of One Count?");
    CHECK(all[3635].text == "What is Žarko Petan's occupation?");
    CHECK((all[3635].row == 3635 && all[3635].line == 3637));
    std::size_t answers = 0, births = 0;
    double popularity = 0;
    for (auto const& q : all) {
        answers += q.answers.size();
        births += q.relation == "place of birth";
        popularity += q.popularity.value_or(0);
    }
    CHECK(answers == 14574);
    CHECK(births == 548);
    CHECK(popularity == 71'862'352);

    // The same as pandas writes it, and as JSON Lines.
    const test::temporary_folder folder;
    std::string quoted, lines, lists_in_strings;
    const auto cell = [](std::string const& text) {
        if (text.find('"') == text.npos) return text;
        std::string twice = "\"";
        for (const char c : text) twice += c == '"' ? "\"\"" : std::string(1, c);
        return twice + '"';
    };
    quoted = table_header;
    for (auto const& q : all) {
        const std::string list = json(q.answers).dump();
        quoted += cell(q.relation) + '\t' + cell(q.text) + '\t' + cell(list) + '\t' + q.popularity_written + '\n';
        json line{
            {"prop", q.relation}, {"question", q.text}, {"s_pop", *q.popularity}, {"possible_answers", q.answers}};
        lines += line.dump() + '\n';
        line["possible_answers"] = list;
        line["s_pop"] = q.popularity_written;
        lists_in_strings += line.dump() + '\n';
    }
    write_gzip(folder / "lines.gz", lines);
    for (auto const& other : {folder.write("a.tsv", quoted), folder.write("a.jsonl", lines), folder / "lines.gz",
                              folder.write("b.jsonl", lists_in_strings)}) {
        CAPTURE(other.string());
        const auto same = read_questions(other);
        REQUIRE(same.size() == all.size());
        std::size_t different = 0;
        for (std::size_t i = 0; i < all.size(); ++i)
            different += same[i].text != all[i].text || same[i].answers != all[i].answers ||
                         same[i].relation != all[i].relation || same[i].popularity != all[i].popularity;
        CHECK(different == 0);
    }
}

TEST_CASE("cells of a table stand as they are, or in quotes where the answers do") {
    const test::temporary_folder folder;
    auto all =
        read_questions(folder.write("plain", "\n \t\n" + table_header + "\"r\"\t\"A\" or \"B\"?\t[\"x\"]\t1.50\n" +
                                                 "\n\"\t\"\"\"\t[ \"\\u00e4\\t\" , \"\\\"\"]\t\n"));
    REQUIRE(all.size() == 2);
    CHECK(all[0].relation == "\"r\"");
    CHECK(all[0].text == "\"A\" or \"B\"?");
    CHECK(all[0].answers == aliases{"x"});
    CHECK((all[0].popularity == 1.5 && all[0].popularity_written == "1.50"));
    CHECK((all[0].line == 4 && all[1].line == 6));
    CHECK(all[1].relation == "\"");
    CHECK(all[1].text == "\"\"\"");
    CHECK(all[1].answers == aliases{"ä\t", "\""});
    CHECK((!all[1].popularity && all[1].popularity_written.empty()));

    all = read_questions(folder.write("quoted",
                                      "\xEF\xBB\xBF\"prop\"\t\"question\"\tpossible_answers\t\"s_\"\"pop\"\"\"\r\n"
                                      "\"r\"\t\"\"\"A\"\" or\tB?\"\t\"[\"\"x\"\", \"\"\\\"\"\"\"]\"\t7\r\n"
                                      "r\tA \"B\"\t[\"y\"]\t\"8\"\r\n"),
                         {.bucket = "s_\"pop\""});
    REQUIRE(all.size() == 2);
    CHECK((all[0].relation == "r" && all[1].relation == "r"));
    CHECK(all[0].text == "\"A\" or\tB?");
    CHECK(all[0].answers == aliases{"x", "\""});
    CHECK(all[1].text == "A \"B\"");
    CHECK(all[1].answers == aliases{"y"});
    CHECK((all[0].popularity == 7 && all[1].popularity == 8));

    // A question in quotes in a table without them, whose first cell would hide a tab.
    all = read_questions(folder.write("hides", table_header + "\"r\tq\"\t[\"x\"]\t1\n"));
    CHECK((all[0].relation == "\"r" && all[0].text == "q\""));
    all = read_questions(folder.write("hides", "prop\tquestion\tpossible_answers\tid\n\"r\tq\"\t[\"x\"]\t\"i\"\n"));
    CHECK((all[0].text == "q\"" && all[0].id == "\"i\""));
}

TEST_CASE("JSON Lines of questions") {
    const test::temporary_folder folder;
    const auto path =
        folder.write("d", "\n{\"q\":\"One?\",\"a\":[\"x\",\"y\"],\"n\":12345678901234567890,\"id\":7}\n"
                          "{\"a\":\"[\\\"z\\\"]\",\"q\":\"Two?\",\"n\":null,\"id\":null,\"other\":[NaN]}\n"
                          "{\"a\":[\"z\"],\"q\":\"Three?\",\"n\":\"0\",\"r\":2.50}\n"
                          "{\"a\":[\"z\"],\"q\":\"Four?\",\"n\":\"\",\"r\":\"s\"}\n");
    const auto all = read_questions(path, {.text = "q", .answers = "a", .bucket = "n", .relation = "r"});
    REQUIRE(all.size() == 4);
    CHECK((all[0].text == "One?" && all[0].answers == aliases{"x", "y"} && all[0].id == "7" && all[0].line == 2));
    CHECK((all[0].popularity == 12345678901234567890.0 && all[0].popularity_written == "12345678901234567890"));
    CHECK((all[1].answers == aliases{"z"} && !all[1].popularity && all[1].id.empty() && all[1].relation.empty()));
    CHECK((all[2].popularity == 0 && all[2].popularity_written == "0" && all[2].relation == "2.50"));
    CHECK((!all[3].popularity && all[3].relation == "s"));
    const auto without = read_questions(path, {.text = "q", .answers = "a", .bucket = "", .relation = "", .id = ""});
    CHECK((!without[0].popularity && without[0].id.empty() && without[3].relation.empty()));
}

TEST_CASE("columns that were not asked for by name may be missing") {
    const test::temporary_folder folder;
    const auto table = folder.write("d.tsv", "question\tpossible_answers\tid\nq\t[\"a\"]\tx\n");
    const auto lines = folder.write("d.jsonl", "{\"question\":\"q\",\"possible_answers\":[\"a\"],\"id\":\"x\"}");
    for (auto const& path : {table, lines}) {
        CAPTURE(path.string());
        const auto all = read_questions(path);
        CHECK((all[0].relation.empty() && !all[0].popularity && all[0].id == "x"));
        for (question_keys const& keys :
             {question_keys{.bucket = "k"}, question_keys{.relation = "k"}, question_keys{.id = "k"}})
            CHECK_THROWS_TEXT(read_questions(path, keys), option_error, path.string(), "\"k\"");
        for (question_keys const& keys : {question_keys{.text = "k"}, question_keys{.answers = "k"}})
            CHECK_REFUSED(read_questions(path, keys), path.string() + ": line 1", "\"k\"", "missing");
    }
    CHECK_THROWS_TEXT(read_questions(table, {.id = "k"}), option_error, "line 1: the column \"k\" is missing",
                      "there are \"question\", \"possible_answers\", \"id\"");
    CHECK_THROWS_TEXT(read_questions(lines, {.id = "k"}), option_error, "none of the 1 questions has the key \"k\"");
}

TEST_CASE("what is wrong in a table of questions is named by file, line and column") {
    const test::temporary_folder folder;
    const auto check = [&](std::string const& row, std::string_view word, std::string_view other = "") {
        CAPTURE(row);
        const auto path = folder.write("d.tsv", table_header + "r\tq\t[\"a\"]\t1\n" + row + "\n");
        CHECK_REFUSED(read_questions(path), "d.tsv: line 3: ", word, other);
    };
    check("r\tq\tKlagenfurt\t1", "column \"possible_answers\": no valid JSON at byte");
    check("r\tq\t\t1", "column \"possible_answers\": no valid JSON");
    check("r\tq\t['a']\t1", "column \"possible_answers\": no valid JSON");
    check("r\tq\t[\"a\"] x\t1", "column \"possible_answers\": no valid JSON");
    check("r\tq\t[\"\\ud800\"]\t1", "column \"possible_answers\": no valid JSON");
    check("r\tq\t\"a\"\t1", "column \"possible_answers\": a list of strings is expected", "\"a\" was found");
    check("r\tq\t{\"a\":1}\t1", "column \"possible_answers\": a list of strings is expected", "object was found");
    check("r\tq\tnull\t1", "a list of strings is expected, null was found");
    check("r\tq\t[\"a\",7]\t1", "column \"possible_answers\": answer 1: a string is expected", "7 was found");
    check("r\tq\t[[\"a\"]]\t1", "answer 0: a string is expected, array was found");
    check("r\tq\t[]\t1", "column \"possible_answers\": a list of at least one answer", "an empty list was found");
    check("r\tq\t[\"a\",\"\"]\t1", "answer 1: a string of more than white space", "\"\" was found");
    check("r\tq\t[\" \\n\"]\t1", "answer 0: a string of more than white space");
    check("r\tq\t[\"a\"]", "4 cells, as the header has, are expected, 3 were found");
    check("r\tq\t[\"a\"]\t1\t", "4 cells, as the header has, are expected, 5 were found");
    check("r", "4 cells, as the header has, are expected, 1 were found");
    check("r\t\t[\"a\"]\t1", "column \"question\": a question of more than white space is expected", "\"\" was found");
    check("r\t \u00A0\t[\"a\"]\t1", "column \"question\": a question of more than white space is expected");
    for (std::string const number :
         {"-1", "nan", "inf", "-inf", "1e999", "abc", " 1", "1 ", "1,000", "0x10", "+1", "1e"}) {
        CAPTURE(number);
        check("r\tq\t[\"a\"]\t" + number, "column \"s_pop\": a finite number that is not negative is expected",
              "\"" + number + "\" was found");
    }
    check("r\tcaf\xE9\t[\"a\"]\t1", "column \"question\": byte 5 of the line is no UTF-8");
    check("r\tq\t[\"\xC0\x80\"]\t1", "column \"possible_answers\": byte 6 of the line is no UTF-8");
    check("r\xFF\tq\t[\"a\"]\t1", "column \"prop\": byte 1 of the line is no UTF-8");
    check("r\tq\t" + std::string(70, '[') + "\t1", "nested deeper");

    const auto twice = folder.write("d.tsv", "x\tquestion\tx\tpossible_answers\n1\tq\t2\t[\"a\"]\n");
    CHECK_REFUSED(read_questions(twice), "d.tsv: line 1: the column \"x\" occurs twice");
    // What is not read is not judged.
    CHECK(read_questions(folder.write("d.tsv", "x\tquestion\tpossible_answers\n\xFF\tq\t[\"a\"]\n")).size() == 1);
}

TEST_CASE("quotes of a table that do not end") {
    const test::temporary_folder folder;
    const auto check = [&](std::string const& row, std::string_view word) {
        CAPTURE(row);
        const auto path = folder.write("d.tsv", table_header + "r\tq\t\"[\"\"a\"\"]\"\t1\n" + row + "\n");
        CHECK_REFUSED(read_questions(path), "d.tsv: line 3: ", word, "");
    };
    const std::string expected = ": a quote that ends the cell in this line";
    check("r\t\"q\t\"[\"\"a\"\"]\"\t1", "column \"question\"" + expected);
    check("r\tq\t\"[\"\"a\"\"]\"\t\"1", "column \"s_pop\"" + expected);
    check("r\tq\t\"[\"a\"]\"\t1", "column \"possible_answers\"" + expected);
    check("r\tq\t\"[\"\"a\"\"]\"x\t1", "column \"possible_answers\"" + expected);
    check("r\tq\t\"[\"\"a\"\"]\"\t1\t\"", "a quote that ends");
    check("\"r\nr\"\tq\t[\"a\"]\t1", "column \"prop\"" + expected); // a cell of two lines
    check("r\tq\t\"[\"\"a\"\"\t]\"\t1\t2", "5 were found");
    CHECK_REFUSED(read_questions(folder.write("d.tsv", table_header + "r\tq\t\"[\"a\"]\"\t1\n")),
                  "line 2: column \"possible_answers\": no valid JSON"); // no cells in quotes, nor JSON
}

TEST_CASE("what is wrong in a line of questions is named by file, line and key") {
    const test::temporary_folder folder;
    const auto check = [&](std::string const& members, std::string_view word, std::string_view other = "") {
        CAPTURE(members);
        const auto path =
            folder.write("d.jsonl", "{\"question\":\"q\",\"possible_answers\":[\"a\"]}\n{" + members + "}\n");
        CHECK_REFUSED(read_questions(path), "d.jsonl: line 2: ", word, other);
    };
    const std::string q = R"("question":"q",)";
    check(R"("possible_answers":["a"])", "the key \"question\" is missing");
    check(R"("question":"q")", "the key \"possible_answers\" is missing");
    check(R"("question":1,"possible_answers":["a"])", "key \"question\": a string is expected, 1 was found");
    check(R"("question":"\t","possible_answers":["a"])", "key \"question\": a question of more than white space");
    check(q + R"("possible_answers":null)", "key \"possible_answers\": a list of strings is expected, null was found");
    check(q + R"("possible_answers":{"a":1})", "key \"possible_answers\": a list of strings", "object was found");
    check(q + R"("possible_answers":"a")", "key \"possible_answers\": no valid JSON");
    check(q + R"("possible_answers":"\"a\"")", "key \"possible_answers\": a list of strings", "\"a\" was found");
    check(q + R"("possible_answers":[])", "key \"possible_answers\": a list of at least one answer");
    check(q + R"("possible_answers":["a",null])", "key \"possible_answers\": answer 1: a string", "null was found");
    check(q + R"("possible_answers":["a"],"s_pop":-2)", "key \"s_pop\": a finite number", "\"-2\" was found");
    check(q + R"("possible_answers":["a"],"s_pop":"many")", "key \"s_pop\": a finite number", "\"many\" was found");
    check(q + R"("possible_answers":["a"],"s_pop":true)", "key \"s_pop\": a string or a number", "true was found");
    check(q + R"("possible_answers":["a"],"s_pop":NaN)", "no valid JSON");
    check(q + R"("possible_answers":["a"],"prop":["r"])", "key \"prop\"", "array was found");
    check(q + R"("possible_answers":["a"],"id":{})", "key \"id\"", "object was found");
    check(q + R"("possible_answers":["a"],"question":"r")", "\"question\" occurs twice");
    check(q + "\"possible_answers\":[\"\xFF\"]", "no valid JSON");
    check(q + R"("possible_answers":["a")", "no valid JSON");
}

TEST_CASE("a file that holds no questions is named for what it is") {
    const test::temporary_folder folder;
    const auto refused = [&](std::string const& name, std::string const& bytes, std::string_view word,
                             std::string_view other = "") {
        CAPTURE(name);
        const auto path = folder.write(name, bytes);
        CHECK_REFUSED(read_questions(path), path.string(), word, other);
    };
    refused("a.tsv", "", "JSON Lines or tab-separated values are expected, an empty file was found");
    refused("a.tsv", "\n \n", "at least one question is expected, none was found");
    refused("a.tsv", table_header, "at least one question is expected, none was found");
    refused("a.tsv", table_header + "\n\n", "at least one question is expected, none was found");
    refused("a.jsonl", "[{\"question\":\"q\"}]", "a JSON array was found");
    refused("a.json", "question", "line 1: no valid JSON");
    refused("a.csv", "question,possible_answers\n", "a table of comma-separated values was found", "pandas.read_csv(");
    refused("a.txt", "What is it?\n", "line 1: an object of JSON, or a header with tabs", "\"What is it?\" was found");
    refused("a.parquet", "PAR1\x15\x04", "a Parquet file was found",
            "each question needs the keys \"question\" and \"possible_answers\"");
    refused("a.tsv.zst", "\x28\xB5\x2F\xFD", "a Zstandard file was found", "zstd -d");
    write_gzip(folder / "empty.gz", "\n");
    CHECK_REFUSED(read_questions(folder / "empty.gz"), "at least one question is expected");
    write_gzip(folder / "twice.gz", "\x1F\x8B\x08");
    CHECK_REFUSED(read_questions(folder / "twice.gz"), "a gzip file was found");
    CHECK_THROWS_TEXT(read_questions(folder / "absent.tsv"), io_error, "absent.tsv");
}
