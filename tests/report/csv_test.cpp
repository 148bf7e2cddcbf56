#include "bitlens/report/csv.hpp"

#include "bitlens/core/random.hpp"

#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

std::string one_column(std::string const& text) {
    csv_writer csv(std::vector<std::string>{"c"});
    csv.text(text).end_row();
    return csv.bytes();
}

/// What the error says; an empty text when there is none.
std::string complaint(std::string const& bytes) {
    try {
        csv_table{bytes, "examples.csv"};
    } catch (format_error const& e) {
        return e.what();
    }
    return {};
}

} // namespace

TEST_CASE("every double reads back as the same bits") {
    random_generator random(1);
    std::vector<double> values{0.0, -0.0, 0.1, 1e-300, 5e-324, std::numeric_limits<double>::max(), -1.0 / 3};
    while (values.size() < 2000)
        if (const double v = std::bit_cast<double>(random()); std::isfinite(v)) values.push_back(v);
    csv_writer csv(std::vector<std::string>{"x"});
    for (const double v : values) csv.number(v).end_row();
    const auto back = csv_table(csv.bytes(), "t").numbers("x");
    REQUIRE(back.size() == values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
        CHECK(std::bit_cast<std::uint64_t>(back[i]) == std::bit_cast<std::uint64_t>(values[i]));
}

TEST_CASE("every text reads back as the same bytes, and no spreadsheet takes one for a formula") {
    for (std::string const text : {"plain",
                                   "",
                                   "a,b",
                                   "say \"hi\"",
                                   "two\nlines",
                                   "\r\n",
                                   "=SUM(A1)",
                                   "+1",
                                   "-1",
                                   "@x",
                                   "\tx",
                                   "\rx",
                                   "'=x",
                                   "''-x",
                                   "'tis",
                                   "'",
                                   "naïve, 中文 \xF0\x9F\x98\x80",
                                   "\"",
                                   "\"\"",
                                   " spaces "}) {
        CAPTURE(text);
        const std::string bytes = one_column(text);
        CHECK(csv_table(bytes, "t").text(0, 0) == text);
        const char first = bytes[bytes[2] == '"' ? 3 : 2];
        CHECK(std::string("=+-@\t\r").find(first) == std::string::npos);
    }
}

TEST_CASE("columns are found by name, rows may end in LF, CRLF or the file") {
    const csv_table t("\xEF\xBB\xBFid,n,\"x,y\"\r\na,1,0.5\nb,18446744073709551615,-2e3", "t.csv");
    CHECK(t.rows() == 2);
    CHECK(t.columns() == std::vector<std::string>{"id", "n", "x,y"});
    CHECK(t.has("n"));
    CHECK_FALSE(t.has("m"));
    CHECK(t.texts("id") == std::vector<std::string>{"a", "b"});
    CHECK(t.counts("n") == std::vector<std::uint64_t>{1, 18446744073709551615u});
    CHECK(t.numbers("x,y") == std::vector<double>{0.5, -2000});
    CHECK_THROWS_WITH_AS(t.numbers("nll"), "t.csv: no column 'nll' among its 3 columns", format_error);
    CHECK(csv_table("a\n", "t").rows() == 0);
    CHECK(csv_table("a\nx\n\"\"", "t").texts("a") == std::vector<std::string>{"x", ""});
}

TEST_CASE("an empty cell is a number that is not defined, where the reader allows it") {
    const csv_table t("k,z\n1,\n,2\n", "t");
    CHECK(t.optional_numbers("k") == std::vector<std::optional<double>>{1.0, std::nullopt});
    CHECK_THROWS_AS(t.numbers("k"), format_error);
}

TEST_CASE("a number is one finite number and nothing else") {
    for (std::string const text :
         {"", "x", "1 ", " 1", "1x", "nan", "inf", "-inf", "1e999", "0x10", "1;2", "--1", "+1"}) {
        CAPTURE(text);
        const csv_table t("a,x\nn," + text + "\n", "t.csv");
        CHECK_THROWS_WITH_AS(t.number(0, 1),
                             ("t.csv:2: column 'x' holds '" + text + "', expected a finite number").c_str(),
                             format_error);
    }
    for (std::string const text : {"", "-1", "1.0", "18446744073709551616"})
        CHECK_THROWS_AS(csv_table("a,x\nn," + text + "\n", "t").count(0, 1), format_error);
}

TEST_CASE("malformed tables are refused with file, line and column") {
    CHECK(complaint("").find("examples.csv: empty") == 0);
    CHECK(complaint("a,a\n") == "examples.csv:1: two columns are named 'a'");
    CHECK(complaint("a,,b\n") == "examples.csv:1: column 2 has no name");
    CHECK(complaint("a,b\n1\n") == "examples.csv:2: 1 cells, expected 2 as in the header");
    CHECK(complaint("a,b\n1,2\n1,2,3,4\n") == "examples.csv:3: 4 cells, expected 2 as in the header");
    CHECK(complaint("a,b\n\"x\ny\",2\n\n") == "examples.csv:4: 1 cells, expected 2 as in the header");
    CHECK(complaint("a,b\n1,\"2") == "examples.csv:2: column 2 'b': a quote is opened and never closed");
    CHECK(complaint("a,b\n1,x\"y\n").find("examples.csv:2: column 2 'b': a quote inside") == 0);
    CHECK(complaint("a,b\n\"x\"y,2\n").find("examples.csv:2: column 1 'a': a quote inside") == 0);
    CHECK(complaint("a,b\n\"x\"\r,2\n").find("examples.csv:2: column 1 'a': a quote inside") == 0);
}

TEST_CASE("any bytes give a table or a typed error") {
    random_generator random(2);
    const std::string alphabet("a,\"\r\n'=1\x80\0", 10);
    for (int i = 0; i < 20000; ++i) {
        std::string bytes(static_cast<std::size_t>(random.below(12)), ' ');
        for (char& c : bytes) c = alphabet[static_cast<std::size_t>(random.below(alphabet.size()))];
        try {
            const csv_table t(bytes, "t");
            for (std::size_t r = 0; r < t.rows(); ++r)
                for (std::size_t c = 0; c < t.columns().size(); ++c) CHECK(t.text(r, c).size() <= bytes.size());
        } catch (format_error const&) {
        }
    }
}

TEST_CASE("a column may be written once only") {
    CHECK_THROWS_WITH_AS(csv_writer(std::vector<std::string>{"a", "b", "a"}), "csv: two columns are named 'a'",
                         option_error);
}

TEST_CASE("a row has one cell for each column") {
    CHECK_THROWS_WITH_AS(csv_writer(std::vector<std::string>{}), "csv: at least one column is expected", shape_error);
    csv_writer csv(std::vector<std::string>{"a", "b"});
    csv.count(1);
    CHECK_THROWS_WITH_AS(csv.end_row(), "csv: a row of 1 cells, expected 2", shape_error);
    csv.count(2);
    CHECK_THROWS_WITH_AS(csv.count(3), "csv: a row of 3 cells, expected 2", shape_error);
    csv.end_row();
    CHECK(csv.bytes() == "a,b\n1,2\n");
}
