#pragma once
/// The version of the library; CMakeLists.txt reads it here.

#include <string_view>

namespace bitlens {

inline constexpr std::string_view version = "0.1.0";

} // namespace bitlens
