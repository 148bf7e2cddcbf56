# bitlens_add_test(<name> <source>...): the doctest program test_<name> and the ctest <name> that runs it.
function(bitlens_add_test name)
  add_executable(test_${name} ${ARGN})
  target_link_libraries(test_${name} PRIVATE bitlens_test bitlens_test_main)
  target_precompile_headers(test_${name} REUSE_FROM bitlens_test_main)
  add_test(NAME ${name} COMMAND test_${name})
  set_property(GLOBAL APPEND PROPERTY BITLENS_TEST_PROGRAMS test_${name})
endfunction()
