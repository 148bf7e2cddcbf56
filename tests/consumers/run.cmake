# cmake -DNAME=… -DSOURCE=… -DWORK=… -DCOMPILER=… -DLAUNCHER=… -DGENERATOR=… -P run.cmake: configures, builds and runs one
# consumer against the sources of bitlens, and what was installed into WORK/../installed.
cmake_minimum_required(VERSION 3.25)
set(work ${WORK}/${NAME})
file(REMOVE_RECURSE ${work})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${NAME} -B ${work} -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DCMAKE_BUILD_TYPE=None
  -DBITLENS_SOURCE=${SOURCE} -DCMAKE_PREFIX_PATH=${WORK}/installed)
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} --build ${work})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${work}/program)
