# cmake -DPROGRAM=… -DPAGE=… [-DWRITE=ON] -P compare_page.cmake: the page ends with what the program prints as a table. With
# WRITE it is made to.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${PROGRAM} --table OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
file(READ ${PAGE} page)
set(mark "\n<!-- fuzz_replay --table -->\n")
string(FIND "${page}" "${mark}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${PAGE} has no line${mark}below which the table stands")
endif()
string(SUBSTRING "${page}" 0 ${at} text)
set(expected "${text}${mark}${table}")
if(WRITE)
  file(WRITE ${PAGE} "${expected}")
elseif(NOT page STREQUAL expected)
  file(WRITE ${PROGRAM}.page.md "${expected}")
  message(FATAL_ERROR "${PAGE} is not what the code says now: compare it with ${PROGRAM}.page.md. "
    "If the code is right: cmake -DPROGRAM=${PROGRAM} -DPAGE=${PAGE} -DWRITE=ON -P ${CMAKE_CURRENT_LIST_FILE}")
endif()
