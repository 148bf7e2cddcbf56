# cmake -DVERSION=… -P docs/check_version.cmake: files that name a version, and cannot read it in version.hpp, name this one.
cmake_minimum_required(VERSION 3.25)
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
foreach(place "CITATION.cff|^version: (.*)$" "CHANGELOG.md|^## \\[([0-9.]+)\\]"
    "docs/packaging/vcpkg/bitlens/vcpkg.json|\"version\": \"(.*)\"")
  string(REGEX MATCH "^([^|]*)\\|(.*)$" place "${place}")
  set(file ${CMAKE_MATCH_1})
  set(pattern "${CMAKE_MATCH_2}")
  file(STRINGS ${root}/${file} lines REGEX "${pattern}")
  list(GET lines 0 line) # the newest comes first
  string(REGEX MATCH "${pattern}" line "${line}")
  if(NOT CMAKE_MATCH_1 STREQUAL VERSION)
    message(SEND_ERROR "${file}: version ${CMAKE_MATCH_1}, version.hpp says ${VERSION}")
  endif()
endforeach()
