#include "bitlens/core/utf8.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/sha256.hpp"

#include "files.hpp"
#include "present_pages.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

constexpr ::uid_t nobody = 65534; // who may write nowhere, where root may everywhere

} // namespace

static_assert(is_utf8("a\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
static_assert(valid_utf8_length("ab\x80") == 2 && valid_utf8_length("a\xC1\xBF") == 1, "stray and overlong");
static_assert(valid_utf8_length("a\xE0\x9F\xBF") == 1 && valid_utf8_length("a\xF0\x8F\xBF\xBF") == 1, "overlong");
static_assert(valid_utf8_length("\xED\xA0\x80") == 0 && valid_utf8_length("\xF4\x90\x80\x80") == 0,
              "surrogate, too high");
static_assert(valid_utf8_length("\xF5\x80\x80\x80") == 0 && valid_utf8_length("x\xE2\x82") == 1, "no lead byte, cut");

TEST_CASE("names in messages are short and printable") {
    CHECK(in_quotes("a.b") == "\"a.b\"");
    CHECK(in_quotes("\n<\"\\\xFF>") == "\"\\x0a<\\x22\\x5c\\xff>\"");
    CHECK(in_quotes(std::string(101, 'x')) == "\"" + std::string(100, 'x') + "…\"");
}

TEST_CASE("what cannot be asked for is not there, as what leads nowhere") {
    const test::temporary_folder folder;
    const auto file = folder.write("x", "hello");
    std::filesystem::create_symlink("nowhere", folder.path() / "link");
    CHECK(is_there(file));
    CHECK(is_there(folder.path()));
    CHECK_FALSE(is_there(folder.path() / "link"));
    CHECK_FALSE(is_there(file / "below"));
    CHECK_FALSE(is_there(folder.path() / std::string(300, 'n')));
}

TEST_CASE("a mapped file has the bytes of the file, in both ways, also after a move") {
    const test::temporary_folder folder;
    const auto path = folder.write("x", "hello");
    for (const auto access : {file_access::map, file_access::copy}) {
        mapped_file file(path, access);
        CHECK(as_text(file.bytes()) == "hello");
        auto const* const before = file.bytes().data();
        mapped_file moved(std::move(file));
        CHECK(moved.bytes().data() == before);
        CHECK(moved.path() == path);
        mapped_file other(folder.write("y", ""), access);
        CHECK(other.bytes().empty());
        other = std::move(moved);
        CHECK(as_text(other.bytes()) == "hello");
    }
}

TEST_CASE("memory of a mapped file that is given back is gone until it is touched, whole pages alone") {
    const test::temporary_folder folder;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::string text(8 * page + 100, ' ');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
    const auto path = folder.write("x", text);
    for (const auto access : {file_access::map, file_access::copy}) {
        const mapped_file file(path, access);
        const auto bytes = file.bytes();
        CHECK(as_text(bytes) == text);
        const auto present = [&](std::size_t first, std::size_t count) {
            return test::count_pages(bytes.data() + first, count).present;
        };
        if (access == file_access::map) {
            REQUIRE(present(0, bytes.size()) == 8);
            file.give_back(bytes.subspan(page + 1, 4 * page)); // but for its ends these are pages 2, 3 and 4
            CHECK(present(0, 2 * page) == 2);
            CHECK(present(2 * page, 3 * page) == 0);
            CHECK(present(5 * page, 3 * page) == 3);
        }
        file.give_back(bytes.subspan(10, 20));
        file.give_back({});
        file.give_back(bytes);
        if (access == file_access::map) CHECK(present(0, bytes.size()) == 0);
        CHECK(as_text(bytes) == text);
    }
}

TEST_CASE("what cannot be opened is named with the reason") {
    const test::temporary_folder folder;
    CHECK_THROWS_TEXT(mapped_file(folder / "absent"), io_error, "absent", "No such file");
    CHECK_THROWS_TEXT(mapped_file(folder.path()), io_error, folder.path().string(), "folder");
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    CHECK_THROWS_TEXT(mapped_file(folder / "pipe"), io_error, "pipe", "regular file");
}

TEST_CASE("an atomic file is there complete or not at all") {
    const test::temporary_folder folder;
    const auto path = folder.write("x", "old");
    {
        atomic_file file(path);
        file.write("half");
        CHECK(test::read_bytes(path) == "old");
    }
    CHECK(test::read_bytes(path) == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
    {
        atomic_file file(path);
        file.write("nEw");
        file.write(" text");
        file.overwrite(1, as_bytes("e"));
        CHECK(file.size() == 8);
        file.commit();
    }
    CHECK(test::read_bytes(path) == "new text");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("what a killed writer left is overwritten, a living writer is not disturbed") {
    const test::temporary_folder folder;
    folder.write(".x.tmp", "a much longer text that was left");
    write_file_atomically(folder / "x", "short");
    CHECK(test::read_bytes(folder / "x") == "short");
    atomic_file first(folder / "x");
    CHECK_THROWS_TEXT(atomic_file(folder / "x"), io_error, ".x.tmp", "another program");
    first.write("first");
    first.commit();
    CHECK(test::read_bytes(folder / "x") == "first");
    write_file_atomically(folder / "x", "second");
    CHECK(test::read_bytes(folder / "x") == "second");
}

TEST_CASE("an atomic file replaces what links lead to, and the links stay") {
    const test::temporary_folder folder, elsewhere;
    namespace fs = std::filesystem;
    fs::create_directory(elsewhere / "deep");
    elsewhere.write("deep/x", "old");
    fs::create_symlink("deep/x", elsewhere / "inner");               // relative to where the link is
    fs::create_symlink(elsewhere / "inner", folder / "x");           // a link to a link
    fs::create_symlink(elsewhere / "deep" / "new", folder / "new");  // to a file that is still to come
    fs::create_symlink(elsewhere / "absent" / "x", folder / "lost"); // never: the folder is missing
    fs::create_symlink("loop", folder / "loop");
    for (const char* name : {"x", "new"}) {
        CAPTURE(name);
        write_file_atomically(folder / name, "text");
        CHECK(fs::is_symlink(folder / name));
        CHECK(test::read_bytes(elsewhere / "deep" / name) == "text");
    }
    CHECK(fs::is_symlink(elsewhere / "inner"));
    CHECK_THROWS_TEXT(atomic_file(folder / "lost"), io_error, "lost: cannot be written", "No such file");
    CHECK_THROWS_TEXT(atomic_file(folder / "loop"), io_error, "loop: cannot be written", "symbolic links");
    CHECK(std::distance(fs::directory_iterator(elsewhere / "deep"), {}) == 2);
    CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 4);
}

TEST_CASE("a file that is replaced passes on its mode and owner; a new one has those of any new file") {
    const test::temporary_folder folder;
    const auto path = folder.write("x", "old");
    const auto of = [](std::filesystem::path const& file) {
        struct stat status {};
        REQUIRE(::stat(file.c_str(), &status) == 0);
        return status;
    };
    for (const mode_t mode : {0640u, 0600u, 0666u, 0755u}) {
        REQUIRE(::chmod(path.c_str(), mode) == 0);
        atomic_file file(path);
        CHECK((of(folder / ".x.tmp").st_mode & 07777u) == mode); // before there is anything to read in it
        file.write("new");
        file.commit();
        CHECK((of(path).st_mode & 07777u) == mode);
    }
    if (::getuid() == 0) {
        REQUIRE(::chown(path.c_str(), nobody, nobody) == 0);
        write_file_atomically(path, "newer");
        CHECK(of(path).st_uid == nobody);
        CHECK(of(path).st_gid == nobody);
    }
    write_file_atomically(folder / "y", "new");
    CHECK(of(folder / "y").st_mode == of(folder.write("z", "new")).st_mode);
}

TEST_CASE("what is no regular file is not replaced by one, and is named") {
    const test::temporary_folder folder;
    std::filesystem::create_directory(folder / "d");
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    std::filesystem::create_symlink("pipe", folder / "to_pipe");
    std::filesystem::create_symlink("/dev/null", folder / "to_null");
    const auto refused = [](std::filesystem::path const& path, const char* what) {
        CAPTURE(path);
        CHECK_THROWS_TEXT(atomic_file{path}, io_error, path.string(), "a regular file is expected, a ", what);
        CHECK_THROWS_TEXT(expect_writable(path), io_error, path.string(), what);
        CHECK_THROWS_TEXT(append_to_file(path, "line"), io_error, path.string(), what);
    };
    refused(folder / "d", "folder");
    refused(folder / "pipe", "pipe");
    refused(folder / "to_pipe", "pipe");
    refused(folder / "to_null", "device");
    refused("/dev/null", "device");
    CHECK_THROWS_TEXT(atomic_file(folder / "d/"), io_error, "the name of a file is expected");
    CHECK_THROWS_TEXT(atomic_file(""), io_error, "the name of a file is expected");
    CHECK(std::filesystem::is_fifo(folder / "pipe"));
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 4);

    REQUIRE(::mkfifo((folder / ".x.tmp").c_str(), 0600) == 0); // opening it for writing would wait for a reader
    CHECK_THROWS_TEXT(atomic_file(folder / "x"), io_error, ".x.tmp cannot be created");
}

TEST_CASE("a file that may not be written is not replaced, though its folder may be") {
    const test::temporary_folder folder;
    const auto locked = folder.write("locked", "old"), of_another = folder.write("of_another", "old");
    REQUIRE(::chmod(locked.c_str(), 0444) == 0);
    REQUIRE(::chmod(of_another.c_str(), 0666) == 0);
    REQUIRE(::chmod(folder.path().c_str(), 01777) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool was_root = ::getuid() == 0;
        if (was_root && ::setuid(nobody) != 0) ::_exit(2);
        const auto is_refused = [](std::filesystem::path const& path, const char* why) {
            return files::missing(files::error_of<io_error>([&] { atomic_file{path}; }),
                                  {path.string() + ": cannot be written: ", why})
                .empty();
        };
        const bool ok = is_refused(locked, "Permission denied") &&
                        (!was_root || is_refused(of_another, "only its owner may replace it"));
        ::_exit(ok ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(test::read_bytes(locked) == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);
}

TEST_CASE("whether a file can be written is seen without writing it") {
    const test::temporary_folder folder;
    const auto path = folder.write("x", "old");
    expect_writable(path);
    expect_writable(folder / "y");
    CHECK(test::read_bytes(path) == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("lines are put behind those that a file holds, through a link too") {
    const test::temporary_folder folder;
    std::filesystem::create_symlink("log", folder / "link");
    append_to_file(folder / "log", "first\n");
    append_to_file(folder / "link", "second\n");
    CHECK(test::read_bytes(folder / "log") == "first\nsecond\n");
    CHECK_THROWS_TEXT(append_to_file(folder / "absent/log", "x"), io_error, "absent/log: cannot be written");
}

TEST_CASE("a write that fails says why and leaves nothing behind") {
    const test::temporary_folder folder;
    CHECK_THROWS_TEXT(write_file_atomically(folder / "absent/x", "text"), io_error, "absent", "No such file");
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit small{1000, before.rlim_max};
    auto* const old_action = std::signal(SIGXFSZ, SIG_IGN); // then write fails with EFBIG, as it would on a full disk
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string said =
        files::error_of<io_error>([&] { write_file_atomically(folder / "x", std::string(5000, 'x')); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, old_action);
    CHECK(files::missing(said, {"x: cannot be written", "File too large"}) == "");
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("SHA-256 of known texts (FIPS 180-4 examples, NIST CAVP), in one piece and in many") {
    CHECK(sha256_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    const std::string million(1000000, 'a');
    const std::string of_million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    CHECK(sha256_of(million) == of_million);
    const test::temporary_folder folder;
    CHECK(sha256_of_file(folder.write("a", million)) == of_million);
    const std::string text(200, 'b');
    for (std::size_t size = 0; size <= 130; ++size) { // every way to fill the last block
        sha256 pieces;
        for (std::size_t i = 0; i < size; i += 7)
            pieces.update(as_bytes(std::string_view(text).substr(i, std::min<std::size_t>(7, size - i))));
        CHECK(pieces.hex() == sha256_of(std::string_view(text).substr(0, size)));
    }
}
