# bitlens_add_compile_fail(<name> <source> <regex>...): with BITLENS_BAD=0 the source must compile; with BITLENS_BAD=1 it must
# not, and the first error must say what the regular expression asks for, the words a user should read. With several
# expressions there is a mistake for each: BITLENS_BAD=1, 2 ...
# Makes the ctests compile_fail.<name>.good and compile_fail.<name>.bad, or .bad1, .bad2 ...
function(bitlens_add_compile_fail name source)
  # Never built: it only collects the flags of a test program.
  set(flags_of compile_fail_${name})
  add_library(${flags_of} OBJECT EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${flags_of} PRIVATE bitlens_test)

  cmake_path(ABSOLUTE_PATH source)
  # The compiler's own folder, given again, would hide the standard library from #include_next. What others wrote may warn.
  set(includes "$<FILTER:$<TARGET_PROPERTY:${flags_of},INCLUDE_DIRECTORIES>,EXCLUDE,^/usr/include$>")
  set(own "$<FILTER:${includes},INCLUDE,^${PROJECT_SOURCE_DIR}/>")
  set(of_others "$<FILTER:${includes},EXCLUDE,^${PROJECT_SOURCE_DIR}/>")
  set(definitions "$<TARGET_PROPERTY:${flags_of},COMPILE_DEFINITIONS>")
  set(first_error -ferror-limit=1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    set(first_error -fmax-errors=1)
  endif()
  list(LENGTH ARGN mistakes)
  foreach(bad RANGE ${mistakes})
    if(NOT bad)
      set(test compile_fail.${name}.good)
    elseif(mistakes EQUAL 1)
      set(test compile_fail.${name}.bad)
    else()
      set(test compile_fail.${name}.bad${bad})
    endif()
    add_test(NAME ${test} COMMAND_EXPAND_LISTS COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -fsyntax-only ${first_error}
      "$<TARGET_PROPERTY:${flags_of},COMPILE_OPTIONS>"
      "$<$<BOOL:${definitions}>:-D$<JOIN:${definitions},;-D>>" "$<$<BOOL:${own}>:-I$<JOIN:${own},;-I>>"
      "$<$<BOOL:${of_others}>:-isystem;$<JOIN:${of_others},;-isystem;>>"
      -DBITLENS_BAD=${bad} ${source})
    if(bad)
      math(EXPR place "${bad} - 1")
      list(GET ARGN ${place} regex)
      set_tests_properties(${test} PROPERTIES PASS_REGULAR_EXPRESSION "error:.*${regex}")
    endif()
  endforeach()
endfunction()
