# The packages that the daemon and the tests need; all of them are Debian 12's. `./dev build` installs them.
include_guard(GLOBAL)

find_package(Threads REQUIRED)
# Boost 1.74, Debian's default, has an Asio that g++ 12 does not compile as C++20.
find_package(Boost 1.81 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
find_package(CLI11 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libsystemd REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(libseccomp REQUIRED IMPORTED_TARGET libseccomp)
if(RTD_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
