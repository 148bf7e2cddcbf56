# Shows that hooks cost nothing when nobody listens: a block is compiled twice at -O2, as it is and with every call of emit
# taken out of a copy of its header, and both must be the same instructions in the same functions. Order and registers are
# not compared: when a statement that does nothing goes, a compiler may let two independent loads trade places.
#   cmake -DCOMPILER=… -DINCLUDE=<include folder> -DSOURCE=no_cost.cpp -DWORK=<scratch folder> [-DFLAGS=…] -P no_cost.cmake
file(READ ${INCLUDE}/bitlens/layers/block.hpp header)
string(REGEX REPLACE "emit<[^;]*;" "" silent "${header}")
string(REGEX MATCHALL "emit<" emits "${header}")
list(LENGTH emits count)
file(READ ${INCLUDE}/bitlens/hooks/points.hpp points)
string(REGEX MATCH "using all = std::tuple<([^>]*)>" all "${points}")
string(REGEX MATCHALL "[a-z_]+" points "${CMAKE_MATCH_1}")
foreach(point IN LISTS points)
  if(NOT header MATCHES "hook::${point}[,> ]")
    message(FATAL_ERROR "block.hpp never speaks of the point ${point}")
  endif()
endforeach()
list(LENGTH points points_count)
if(points_count LESS 17)
  message(FATAL_ERROR "${points_count} points were found in points.hpp, 17 or more are expected")
endif()
file(MAKE_DIRECTORY ${WORK}/silent/bitlens/layers)
file(WRITE ${WORK}/silent/bitlens/layers/block.hpp "${silent}")

find_program(OBJDUMP objdump REQUIRED)
function(machine_code folder result)
  set(object ${WORK}/no_cost.o) # one name for both, since it is part of the listing
  execute_process(COMMAND ${COMPILER} -std=c++20 -O2 -DNDEBUG ${FLAGS} ${folder} -I${INCLUDE} -c ${SOURCE} -o ${object}
    COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${OBJDUMP} -d --no-show-raw-insn ${object} OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "\n *[0-9a-f]+:\t([a-z0-9]+)[^\n]*" "\n\\1" listing "${listing}") # an instruction's name
  string(REGEX REPLACE "\n[0-9a-f]+ <" "\n<" listing "${listing}")                       # a function's name
  string(REPLACE "\n" ";" listing "${listing}")
  list(SORT listing)
  set(${result} "${listing}" PARENT_SCOPE)
endfunction()
machine_code("" with_emit)
machine_code(-I${WORK}/silent without_emit)

list(LENGTH with_emit size)
if(size LESS 1000)
  message(FATAL_ERROR "${size} instructions are no block of a model")
endif()
if(NOT with_emit STREQUAL without_emit)
  message(FATAL_ERROR "a block that nobody listens to differs from one that cannot be listened to")
endif()
message(STATUS "the same ${size} lines of machine code, with ${count} places that emit and without")
