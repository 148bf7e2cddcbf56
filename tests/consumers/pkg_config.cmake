# cmake -DSOURCE=… -DPACKAGE=… -DVERSION=… -DPREFIX=… -DPROGRAM=… -DCOMPILER=… -DLAUNCHER=… -DPKG_CONFIG=… -P pkg_config.cmake:
# compiles and runs one program with the flags that pkg-config gives for what was installed into PREFIX.
cmake_minimum_required(VERSION 3.25)
set(ENV{PKG_CONFIG_PATH} ${PREFIX}/share/pkgconfig)
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${PKG_CONFIG} --modversion ${PACKAGE} OUTPUT_VARIABLE found
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT found STREQUAL VERSION)
  message(FATAL_ERROR "${PACKAGE}: version ${found}, ${VERSION} is expected")
endif()
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${PKG_CONFIG} --cflags ${PACKAGE} OUTPUT_VARIABLE compile)
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${PKG_CONFIG} --libs ${PACKAGE} OUTPUT_VARIABLE link)
separate_arguments(compile UNIX_COMMAND "${compile}")
separate_arguments(link UNIX_COMMAND "${link}")
# In two steps: a compiler cache does not link.
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${LAUNCHER} ${COMPILER} -std=c++20 ${compile} -c ${SOURCE} -o ${PROGRAM}.o)
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${COMPILER} ${PROGRAM}.o ${link} -o ${PROGRAM})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${PROGRAM})
