# cmake -DNAME=… -DSOURCE=… -DWORK=… -DPREFIX=… -DCOMPILER=… -DLAUNCHER=… -DGENERATOR=… -P run.cmake: configures, builds and runs
# one consumer in WORK, against the sources of bitlens, or what was installed into PREFIX.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${NAME} -B ${WORK} -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DCMAKE_BUILD_TYPE=None
  -DBITLENS_SOURCE=${SOURCE} -DCMAKE_PREFIX_PATH=${PREFIX})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} --build ${WORK})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${WORK}/program)
