# cmake -DPROJECT=… -DSOURCE=… -DWORK=… -DPREFIX=… -DCOMPILER=… -DLAUNCHER=… -DGENERATOR=… -P run.cmake: configures and builds one
# consumer in WORK, against the sources of bitlens, or what was installed into a folder of PREFIX. Then runs its `program`, or
# compares its programs with the .output files of the project, one each.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} -S ${PROJECT} -B ${WORK} -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" -DCMAKE_BUILD_TYPE=None
  -DBITLENS_SOURCE=${SOURCE} "-DCMAKE_PREFIX_PATH=${PREFIX}")
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} --build ${WORK})

file(GLOB outputs ${PROJECT}/*.output)
foreach(output IN LISTS outputs)
  cmake_path(GET output STEM program)
  execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} -DPROGRAM=${WORK}/${program} -DEXPECTED=${output}
    -DWORK=${WORK}/run_${program} -P ${SOURCE}/docs/compare_output.cmake)
endforeach()
if(NOT outputs)
  execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${WORK}/program)
endif()
