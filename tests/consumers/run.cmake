# cmake -DPROJECT=… -DSOURCE=… -DWORK=… -DCOMPILER=… -DLAUNCHER=… -DGENERATOR=… -P run.cmake: configures and builds one consumer
# against the sources of bitlens, and what was installed into WORK/installed. Then runs its `program`, or compares its programs
# with the .output files of the project, one each.
cmake_minimum_required(VERSION 3.25)
cmake_path(GET PROJECT FILENAME name)
set(work ${WORK}/${name})
file(REMOVE_RECURSE ${work})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} -S ${PROJECT} -B ${work} -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DCMAKE_BUILD_TYPE=None
  -DBITLENS_SOURCE=${SOURCE} -DCMAKE_PREFIX_PATH=${WORK}/installed)
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} --build ${work})

file(GLOB outputs ${PROJECT}/*.output)
foreach(output IN LISTS outputs)
  cmake_path(GET output STEM program)
  execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} -DPROGRAM=${work}/${program} -DEXPECTED=${output}
    -DWORK=${work}/run_${program} -P ${SOURCE}/docs/compare_output.cmake)
endforeach()
if(NOT outputs)
  execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${work}/program)
endif()
