# cmake -DBUILD=… -DCPACK=… and the arguments of run.cmake but PREFIX -P debian.cmake: makes the Debian package of a build folder,
# installs it into WORK/root beside the packages that this machine has, and runs the consumer against it. dpkg refuses when a
# package that it depends on is missing.
cmake_minimum_required(VERSION 3.25)
find_program(dpkg dpkg)
if(NOT dpkg OR NOT EXISTS /var/lib/dpkg/status)
  message(STATUS "skipped: this is no Debian machine")
  return()
endif()
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${CPACK} --config ${BUILD}/CPackConfig.cmake -G DEB -B ${WORK}/package)
file(GLOB package ${WORK}/package/*.deb)
file(MAKE_DIRECTORY ${WORK}/root ${WORK}/database/info ${WORK}/database/updates)
file(COPY /var/lib/dpkg/status DESTINATION ${WORK}/database)
# What dpkg has to say about packages whose lists of files are not in this database goes to a file.
execute_process(RESULT_VARIABLE failed ERROR_FILE ${WORK}/dpkg.log
  COMMAND ${dpkg} --admindir=${WORK}/database --instdir=${WORK}/root --force-not-root --install ${package})
if(failed)
  file(STRINGS ${WORK}/dpkg.log reasons REGEX "depends on|dpkg: error")
  message(FATAL_ERROR "${package} cannot be installed: ${reasons}")
endif()
set(PREFIX ${WORK}/root/usr)
string(APPEND WORK /program)
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
