#include "bitlens/io/gzip.hpp"

#include "files.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

std::string gzip(std::string_view text) {
    z_stream s{};
    REQUIRE(deflateInit2(&s, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string packed(deflateBound(&s, static_cast<uLong>(text.size())), '\0');
    s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    s.avail_in = static_cast<uInt>(text.size());
    s.next_out = reinterpret_cast<Bytef*>(packed.data());
    s.avail_out = static_cast<uInt>(packed.size());
    REQUIRE(deflate(&s, Z_FINISH) == Z_STREAM_END);
    packed.resize(s.total_out);
    deflateEnd(&s);
    return packed;
}

std::vector<std::string> lines_of(std::filesystem::path const& path) {
    line_reader reader(path);
    std::vector<std::string> lines;
    for (std::string_view line; reader.next(line);) {
        lines.emplace_back(line);
        CHECK(reader.line_number() == lines.size());
    }
    std::string_view line;
    CHECK_FALSE(reader.next(line)); // and stays so
    return lines;
}

using lines = std::vector<std::string>;
constexpr std::size_t no_cap = std::size_t{1} << 40;

} // namespace

TEST_CASE("gzip members that follow each other are one text") {
    CHECK(gunzip(as_bytes(gzip("hello")), "f", 5) == "hello");
    CHECK(gunzip(as_bytes(gzip("")), "f", 0).empty());
    CHECK(gunzip(as_bytes(gzip("one ") + gzip("") + gzip("two")), "f", no_cap) == "one two");
    const std::string text(1000000, 'x');
    CHECK(gunzip(as_bytes(gzip(text)), "f", no_cap) == text);
}

TEST_CASE("damaged gzip is refused") {
    const std::string packed = gzip("hello, hello, hello") + gzip("world");
    const std::size_t second = gzip("hello, hello, hello").size();
    for (std::size_t size = 0; size < packed.size(); ++size) {
        CAPTURE(size);
        if (size == second) continue; // the first member alone is whole
        CHECK_REFUSED(gunzip(as_bytes(packed.substr(0, size)), "f.gz", no_cap), "f.gz: ");
    }
    CHECK_REFUSED(gunzip(as_bytes(packed + "x"), "f.gz", no_cap), "1 bytes follow");
    CHECK_REFUSED(gunzip(as_bytes(files::with(packed, second - 8, "\x55")), "f.gz", no_cap), "damaged", "data check");
    CHECK_REFUSED(gunzip(as_bytes(files::with(packed, second - 4, "\x55")), "f.gz", no_cap), "damaged", "length check");
    CHECK_REFUSED(gunzip(as_bytes("no gzip at all"), "f.gz", no_cap), "damaged");
    CHECK_REFUSED(gunzip(as_bytes(gzip("hello")), "f.gz", 4), "more than 4 bytes");
}

TEST_CASE("a bomb stops at 64 MiB and 256 times its size") {
    const std::string bomb = gzip(std::string(std::size_t{100} << 20, '\0'));
    CHECK(bomb.size() < 200000);
    CHECK_REFUSED(gunzip(as_bytes(bomb), "f.gz", no_cap), "unpacks to more than", "no real file");
    const std::string zeros(std::size_t{50} << 20, '\0'); // nearer to the limit of deflate no compressor comes
    CHECK(gunzip(as_bytes(gzip(zeros)), "f.gz", no_cap) == zeros);
    CHECK(inflater::most_unpacked(100) == 103200);
}

TEST_CASE("lines of plain and of gzip files are the same") {
    const test::temporary_folder folder;
    const std::vector<std::pair<std::string, lines>> all{
        {"", {}},
        {"\n", {""}},
        {"a", {"a"}},
        {"a\n", {"a"}},
        {"a\r\nb\r\n", {"a", "b"}},
        {"\xEF\xBB\xBF"
         "a\n\n b ",
         {"a", "", " b "}},
        {"\xEF\xBB\xBF", {}},
        {"a\rb\n\xEF\xBB\xBF", {"a\rb", "\xEF\xBB\xBF"}},
        {std::string(200000, 'x') + "\n" + std::string(100000, 'y'),
         {std::string(200000, 'x'), std::string(100000, 'y')}},
    };
    for (auto const& [text, expected] : all) {
        CHECK(lines_of(folder.write("plain", text)) == expected);
        CHECK(lines_of(folder.write("packed", gzip(text))) == expected);
    }
    std::string many;
    for (int i = 0; i < 30000; ++i)
        many += std::to_string(i) + std::string(static_cast<std::size_t>(i % 50), '.') + "\n";
    CHECK(lines_of(folder.write("packed", gzip(many))) == lines_of(folder.write("plain", many)));
    const std::string packed = gzip("a\nb\n");
    CHECK_REFUSED(lines_of(folder.write("cut.gz", packed.substr(0, packed.size() - 3))), "cut.gz: ", "end early");
}

TEST_CASE("a line beyond the cap is refused by its number, plain and packed") {
    const test::temporary_folder folder;
    const std::string text = "short\n" + std::string(line_reader::longest_line + 1, 'x') + "\n";
    CHECK_REFUSED(lines_of(folder.write("plain", text)), "plain: line 2: longer than");
    CHECK_REFUSED(lines_of(folder.write("packed", gzip(text))), "packed: "); // the bomb's limit is near
}
