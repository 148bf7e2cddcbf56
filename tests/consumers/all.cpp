// A program of someone who uses bitlens::bitlens, and with it every library that bitlens stands on.
#include <bitlens/bitlens.hpp>

#include <cstdio>

int main() {
    const auto parsed = bitlens::parse_json(R"({"bits": 3})", "all.cpp");
    std::printf("bitlens %s: %s\n", bitlens::version.data(), parsed.dump().c_str());
    return parsed.at("bits") == 3 ? 0 : 1;
}
