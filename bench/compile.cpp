// How long users' files take to compile, and how much memory that needs.
//
//     bench_compile [FILE]...     without one: those of bench/compile
//
// Each is compiled by the compiler of this build with -O2 and this build's -march, once for its syntax alone (reading
// the headers and instantiating templates) and once to machine code, in a process of its own, without ccache. Seconds
// are those of the processor: other work on the machine costs less of them than of the clock.

#include "process.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

using namespace bitlens::bench;

namespace {

process_use compile(std::string const& file, const char* how) {
    const std::string arch = BITLENS_ARCH_FLAG;
    std::vector<const char*> command{BITLENS_COMPILER, "-std=c++20", "-O2", how, "-o", "/dev/null", file.c_str()};
    if (!arch.empty()) command.push_back(arch.c_str());
    command.push_back(nullptr);
    return measure_process([&] {
        setenv("CPLUS_INCLUDE_PATH", BITLENS_INCLUDE_PATH, 1);
        execvp(command[0], const_cast<char* const*>(command.data()));
        throw std::runtime_error(std::string(command[0]) + ": cannot be run");
    });
}

} // namespace

int main(int argc, char** argv) try {
    std::vector<std::string> files(argv + 1, argv + argc);
    if (files.empty())
        for (const char* name : {"whole_library.cpp", "one_model.cpp"})
            files.push_back(BITLENS_COMPILE_FILES "/" + std::string(name));
    std::printf("%s -std=c++20 -O2 %s\n%-24s %14s %10s %14s %10s\n", BITLENS_COMPILER, BITLENS_ARCH_FLAG, "file",
                "syntax, CPU s", "peak MiB", "compile, CPU s", "peak MiB");
    for (auto const& file : files) {
        const process_use syntax = compile(file, "-fsyntax-only"), all = compile(file, "-c");
        const auto mib = [](process_use const& used) { return static_cast<double>(used.peak_bytes) / (1 << 20); };
        std::printf("%-24s %14.1f %10.0f %14.1f %10.0f\n", std::filesystem::path(file).filename().c_str(), syntax.cpu,
                    mib(syntax), all.cpu, mib(all));
        std::fflush(stdout);
    }
} catch (std::exception const& e) {
    std::fprintf(stderr, "bench_compile: %s\n", e.what());
    return 1;
}
