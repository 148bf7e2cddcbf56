# cmake -DPROJECT=… -DSOURCE=… -DWORK=… -DPREFIX=… -DCOMPILER=… -DGENERATOR=… -P march.cmake: configures one consumer with flags
# and without. It is told once that it names no instruction set, and not at all where it does, or where it asked not to be.
cmake_minimum_required(VERSION 3.25)
function(configure name expected)
  file(REMOVE_RECURSE ${WORK}/${name})
  set(ENV{CXXFLAGS})
  execute_process(COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE said ERROR_VARIABLE said COMMAND ${CMAKE_COMMAND} -S ${PROJECT}
    -B ${WORK}/${name} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER} -DBITLENS_SOURCE=${SOURCE} "-DCMAKE_PREFIX_PATH=${PREFIX}"
    ${ARGN})
  string(REGEX MATCHALL "no -march is set" notices "${said}")
  list(LENGTH notices found)
  if(NOT found EQUAL expected)
    message(FATAL_ERROR "${name}: the notice came ${found} times, expected ${expected}:\n${said}")
  endif()
endfunction()
configure(none 1)
configure(release 1 -DCMAKE_BUILD_TYPE=Release)
configure(flags 0 -DCMAKE_CXX_FLAGS=-march=x86-64-v3)
configure(flags_of_build_type 0 -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -march=native")
configure(flags_of_other_type 1 -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -march=native")
configure(options 0 -DMARCH_FOR=folder)
configure(target 0 -DMARCH_FOR=target)
configure(silent 0 -DBITLENS_MARCH_NOTICE=OFF)
