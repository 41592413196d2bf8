# GoogleTest for a foreign machine: built from the sources that Debian's package googletest holds.
include_guard(GLOBAL)

set(RTD_GOOGLETEST_SOURCE /usr/src/googletest CACHE PATH "GoogleTest's sources")
if(NOT EXISTS ${RTD_GOOGLETEST_SOURCE}/CMakeLists.txt)
  message(FATAL_ERROR "no GoogleTest sources in ${RTD_GOOGLETEST_SOURCE}: install Debian's package googletest")
endif()
find_package(Threads REQUIRED)
set(INSTALL_GTEST OFF)
set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
add_subdirectory(${RTD_GOOGLETEST_SOURCE} ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
include(GoogleTest)
