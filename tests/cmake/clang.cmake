# cmake -DSOURCE=… -DBUILD=… -DCOMPILER=… -DGENERATOR=… -DARCH=… -DEXAMPLES=… -DPREFIX=… -DPROGRAMS=… -P clang.cmake: builds
# the programs, unoptimised, for the sake of the warnings, and each file by itself, for what it forgets to include.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=None -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DBITLENS_ARCH=${ARCH}
  -DBITLENS_BUILD_EXAMPLES=${EXAMPLES} -DBITLENS_BUILD_BENCH=OFF
  "-DCMAKE_PREFIX_PATH=${PREFIX}")
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CMAKE_COMMAND} --build ${BUILD} --target ${PROGRAMS})
