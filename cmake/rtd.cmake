# The house rules of the build, and the six functions by which every folder declares what it builds:
#
#   rtd_library(NAME SOURCES a.cpp … [LINK lib …])             static library, or interface library without SOURCES
#   rtd_executable(NAME SOURCES … [LINK …] [EXPORTS])          build/<preset>/bin/NAME
#   rtd_plugin(NAME SOURCES … [LINK …])                        build/<preset>/plugins/NAME.so
#   rtd_test(NAME SOURCES … [LINK …] [LABELS …] [ALONE] [EXPORTS] [SINGLE] [PROCESSORS n] [TIMEOUT seconds])
#   rtd_valgrind_test(NAME FILTER)                             these cases of that test program once more, under Valgrind
#   rtd_python_test(NAME FILE [LABELS …] [PROCESSORS n] [TIMEOUT seconds] [ARGS …])
#
# LINK is public. EXPORTS links the whole runtime into the program and exports its symbols, as loading plugins needs.
# rtd_test registers each test case of a GoogleTest program as a test of its own. Under an emulator it is each suite,
# unless the cases want to be ALONE in a process: what one leaves on a stack keeps objects of the next alive. SINGLE
# registers the program as one. A test of the runtime is registered once more, as gcstress.NAME, with the collector's own
# checks.
# A test's labels are the folders below tests/ that it lies in ("runtime", "daemon", …) and those given.
include_guard(GLOBAL)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(RTD_SOURCE_ROOT ${CMAKE_CURRENT_LIST_DIR}/..)
cmake_path(NORMAL_PATH RTD_SOURCE_ROOT)

# rtd_precompiled(NAME KIND HEADERS <header> … [LINK lib …]): headers that many files include are parsed once for each
# tree and shared by the targets of rtd_use_precompiled. KIND is LIBRARY or PROGRAM: the compiler wants -fPIC or -fPIE
# alike. Every file includes what it uses all the same; `./dev lint` reads them without precompiled headers.
function(rtd_precompiled name kind)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "HEADERS;LINK")
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "int main() { return 0; }\n")
  if(kind STREQUAL "LIBRARY")
    add_library(${name} STATIC ${source})
  else()
    add_executable(${name} ${source})
  endif()
  rtd_house_rules(${name})
  target_link_libraries(${name} PRIVATE ${arg_LINK})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
endfunction()

# rtd_use_precompiled(NAME TARGET…)
function(rtd_use_precompiled name)
  foreach(target ${ARGN})
    target_precompile_headers(${target} REUSE_FROM ${name})
  endforeach()
endfunction()

# What every object of the house is compiled with. Frame pointers and probed stacks are part of the runtime's contract
# with all code that runs on a green thread: the unwinder follows the former, the stack guard relies on the latter.
set(RTD_CODE_OPTIONS -fno-omit-frame-pointer -fstack-clash-protection)
set(RTD_WARNING_OPTIONS -Wall -Wextra -Wshadow -Wnon-virtual-dtor)
# GCC 12 sees overlapping copies, and copies past the end, in std::string code that has none (GCC PR 105329, 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND RTD_WARNING_OPTIONS -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(RTD_WERROR)
  list(APPEND RTD_WARNING_OPTIONS -Werror)
endif()

set(RTD_SANITIZE_OPTIONS "")
if(RTD_SANITIZE STREQUAL "address")
  # Not vptr: to see whether memory can be read it makes a pipe, and reports a false mistake where no descriptor is left.
  set(RTD_SANITIZE_OPTIONS -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined)
  # Frames moved to a fake stack would hide them from the collector and from the green thread's own stack.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(RTD_SANITIZE_COMPILE_OPTIONS "SHELL:--param asan-use-after-return=0")
  else()
    set(RTD_SANITIZE_COMPILE_OPTIONS -fsanitize-address-use-after-return=never)
  endif()
elseif(RTD_SANITIZE STREQUAL "thread")
  set(RTD_SANITIZE_OPTIONS -fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # ThreadSanitizer does not model atomic_thread_fence; the runtime issues fences beside atomics that it does model.
    set(RTD_SANITIZE_COMPILE_OPTIONS -Wno-tsan)
  endif()
elseif(RTD_SANITIZE STREQUAL "fuzzer")
  set(RTD_SANITIZE_OPTIONS -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined)
elseif(RTD_SANITIZE)
  message(FATAL_ERROR "RTD_SANITIZE is \"${RTD_SANITIZE}\"; it may be address, thread, fuzzer or empty")
endif()

# rtd_house_rules(TARGET): flags, include root and definitions for a target that has sources.
function(rtd_house_rules target)
  target_compile_options(${target} PRIVATE ${RTD_WARNING_OPTIONS} ${RTD_CODE_OPTIONS} ${RTD_SANITIZE_OPTIONS}
                                           ${RTD_SANITIZE_COMPILE_OPTIONS})
  target_link_options(${target} PRIVATE ${RTD_SANITIZE_OPTIONS})
  target_include_directories(${target} PRIVATE ${RTD_SOURCE_ROOT})
  target_compile_definitions(${target} PRIVATE RT_DEBUG_CHECKS=$<BOOL:${RTD_DEBUG_CHECKS}>)
endfunction()

function(rtd_add_subdirectory_if_present folder)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endfunction()

function(rtd_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  rtd_refuse_unknown(${name} "${arg_UNPARSED_ARGUMENTS}" "${arg_KEYWORDS_MISSING_VALUES}")
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    rtd_house_rules(${name})
    target_link_libraries(${name} PUBLIC ${arg_LINK})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${arg_LINK})
  endif()
endfunction()

function(rtd_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "EXPORTS" "" "SOURCES;LINK")
  rtd_refuse_unknown(${name} "${arg_UNPARSED_ARGUMENTS}" "${arg_KEYWORDS_MISSING_VALUES}")
  rtd_program(${name} "${arg_SOURCES}" "${arg_LINK}" "${arg_EXPORTS}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

function(rtd_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  rtd_refuse_unknown(${name} "${arg_UNPARSED_ARGUMENTS}" "${arg_KEYWORDS_MISSING_VALUES}")
  # The target is not called NAME alone: a plugin may bear the name of a program or of a library.
  set(target plugin_${name})
  add_library(${target} MODULE ${arg_SOURCES})
  rtd_house_rules(${target})
  target_link_libraries(${target} PRIVATE rtd::plugin ${arg_LINK})
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
                                             LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
  cmake_path(IS_PREFIX RTD_TESTS_ROOT ${CMAKE_CURRENT_SOURCE_DIR} is_of_tests)
  if(NOT is_of_tests)
    install(TARGETS ${target} LIBRARY DESTINATION lib/rtd/plugins COMPONENT plugins)
    set_property(GLOBAL APPEND PROPERTY RTD_PRODUCTS ${target})
  endif()
endfunction()

function(rtd_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "ALONE;EXPORTS;SINGLE" "PROCESSORS;TIMEOUT" "SOURCES;LINK;LABELS")
  rtd_refuse_unknown(${name} "${arg_UNPARSED_ARGUMENTS}" "${arg_KEYWORDS_MISSING_VALUES}")
  rtd_program(${name} "${arg_SOURCES}" "${arg_LINK};GTest::gmock;GTest::gtest;GTest::gtest_main;Threads::Threads"
              "${arg_EXPORTS}")
  rtd_test_properties(properties labels)
  list(LENGTH arg_SOURCES source_count)
  if(source_count GREATER 1 AND NOT "rtd::plugin" IN_LIST arg_LINK)  # plugins are compiled with -fPIC
    rtd_use_precompiled(${RTD_TEST_PRECOMPILED} ${name})
  endif()
  if(arg_SINGLE)
    add_test(NAME ${RTD_TEST_PREFIX}${name} COMMAND ${name})
    set_tests_properties(${RTD_TEST_PREFIX}${name} PROPERTIES ${properties} LABELS "${labels}")
  elseif(CMAKE_CROSSCOMPILING AND NOT arg_ALONE)
    # By suite: a process takes a third of a second to start under an emulator.
    rtd_discover_suites(${name} "${RTD_TEST_PREFIX}" "${CMAKE_CROSSCOMPILING_EMULATOR}")
  else()
    rtd_discover_cases(${name} "${RTD_TEST_PREFIX}")
  endif()
  if("runtime" IN_LIST labels AND NOT arg_SINGLE AND NOT RTD_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    # Once more with collections at any time, each checked; by suite where cases do not mind each other's leftovers.
    set(checks RT_DEBUG=gccheckmark=1,gccheckheap=1,gcstress=200)
    if(arg_ALONE)
      rtd_discover_cases(${name} gcstress. ENVIRONMENT ${checks})
    else()
      rtd_discover_suites(${name} gcstress. "${CMAKE_COMMAND};-E;env;${checks}")
    endif()
  endif()
  if("runtime" IN_LIST labels)
    set_property(GLOBAL APPEND PROPERTY RTD_RUNTIME_TEST_TARGETS ${name})
    set_property(GLOBAL APPEND PROPERTY RTD_RUNTIME_TEST_FOLDERS ${CMAKE_CURRENT_BINARY_DIR})
  endif()
endfunction()

function(rtd_valgrind_test name filter)
  find_program(RTD_VALGRIND valgrind)
  if(RTD_VALGRIND AND NOT RTD_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    add_test(NAME ${RTD_TEST_PREFIX}${name}.under_valgrind
             # A step of the stack pointer over half a slot is a switch: runtime/context/sanitizer.h.
             COMMAND ${RTD_VALGRIND} -q --error-exitcode=9 --max-stackframe=32768
                     --suppressions=${RTD_TESTS_ROOT}/valgrind.supp
                     $<TARGET_FILE:${name}> --gtest_filter=${filter})
    set_tests_properties(${RTD_TEST_PREFIX}${name}.under_valgrind PROPERTIES TIMEOUT 600 LABELS "runtime;valgrind")
  endif()
endfunction()

function(rtd_python_test name file)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "PROCESSORS;TIMEOUT" "LABELS;ARGS")
  rtd_refuse_unknown(${name} "${arg_UNPARSED_ARGUMENTS}" "${arg_KEYWORDS_MISSING_VALUES}")
  if(NOT arg_PROCESSORS)
    # Such a test starts a daemon, its hosts and its clients. It spends most of its time in waiting for them; only a
    # sanitizer makes them so slow that they need the machine for themselves.
    set(arg_PROCESSORS 1)
    if(RTD_SANITIZE)
      set(arg_PROCESSORS 2)
    endif()
  endif()
  cmake_path(ABSOLUTE_PATH file NORMALIZE)
  add_test(NAME ${RTD_TEST_PREFIX}${name} COMMAND ${RTD_TEST_LAUNCHER} /usr/bin/python3 -B
                                                  ${RTD_TESTS_ROOT}/run_python_test.py ${file} ${arg_ARGS})
  rtd_test_properties(properties labels)
  set_tests_properties(${RTD_TEST_PREFIX}${name} PROPERTIES ${properties} LABELS "${labels}" SKIP_RETURN_CODE 77
    ENVIRONMENT "RTD_BIN_DIR=${CMAKE_BINARY_DIR}/bin;RTD_PLUGIN_DIR=${CMAKE_BINARY_DIR}/plugins;RTD_SOURCE_DIR=${RTD_SOURCE_ROOT};RTD_BUILD_DIR=${CMAKE_BINARY_DIR};RTD_SANITIZE=${RTD_SANITIZE}")
endfunction()

# ---- what the functions above share ----

set(RTD_TESTS_ROOT ${RTD_SOURCE_ROOT}/tests)
cmake_path(NORMAL_PATH RTD_TESTS_ROOT)

# The sanitizers' defaults are compiled into each program, so that they hold for one started by hand or by the daemon.
set(RTD_SANITIZER_SOURCE "")
if(RTD_SANITIZE)
  set(RTD_SANITIZER_SOURCE ${CMAKE_CURRENT_LIST_DIR}/sanitizer_defaults.cpp)
endif()

function(rtd_program name sources link exports)
  add_executable(${name} ${sources} ${RTD_SANITIZER_SOURCE})
  rtd_house_rules(${name})
  target_link_libraries(${name} PRIVATE ${link})
  if(exports)
    target_link_libraries(${name} PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,rt_runtime> ${CMAKE_DL_LIBS})
    set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON LINK_LIBRARY_OVERRIDE_rt_runtime WHOLE_ARCHIVE)
  endif()
  if(RTD_TEST_LAUNCHER)
    set_target_properties(${name} PROPERTIES CROSSCOMPILING_EMULATOR "${RTD_TEST_LAUNCHER}")
  endif()
endfunction()

# ThreadSanitizer of GCC 12 does not start where the kernel spreads mappings over more than 28 bits; there its programs
# run without address space randomisation.
set(RTD_TEST_LAUNCHER "")
if(RTD_SANITIZE STREQUAL "thread" AND EXISTS /proc/sys/vm/mmap_rnd_bits)
  file(READ /proc/sys/vm/mmap_rnd_bits random_bits)
  if(random_bits GREATER 28)
    find_program(RTD_SETARCH setarch REQUIRED)
    set(RTD_TEST_LAUNCHER ${RTD_SETARCH} -R)
  endif()
endif()

# Sets in the caller: `properties`, the test properties by name and value, and `labels`.
macro(rtd_test_properties properties_variable labels_variable)
  cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${RTD_TESTS_ROOT} OUTPUT_VARIABLE ${labels_variable})
  if(${labels_variable} MATCHES "^\\.\\.(/|$)" OR ${labels_variable} STREQUAL ".")
    set(${labels_variable} "")
  endif()
  string(REPLACE "/" ";" ${labels_variable} "${${labels_variable}}")
  list(APPEND ${labels_variable} ${arg_LABELS})
  list(REMOVE_DUPLICATES ${labels_variable})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  set(${properties_variable} TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS})
endmacro()

# Registers the cases of GoogleTest program NAME, each as a test; uses `properties` and `labels` of the caller.
function(rtd_discover_cases name prefix)
  gtest_discover_tests(${name} TEST_PREFIX "${prefix}${name}." TEST_LIST discovered DISCOVERY_TIMEOUT 120
                       NO_PRETTY_VALUES PROPERTIES ${properties} ${ARGN})
  # gtest_discover_tests flattens lists, so the labels are set afterwards, when ctest reads what was discovered.
  set(labels_file ${CMAKE_CURRENT_BINARY_DIR}/${prefix}${name}_labels.cmake)
  file(WRITE ${labels_file} "foreach(test \${discovered})\n"
                            "  set_tests_properties(\${test} PROPERTIES LABELS \"${labels}\")\n"
                            "endforeach()\nset(discovered)\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${labels_file})
endfunction()

# The same for its suites, started by LAUNCHER.
function(rtd_discover_suites name prefix launcher)
  set(suites_file ${CMAKE_CURRENT_BINARY_DIR}/${prefix}${name}_suites.cmake)
  if(NOT EXISTS ${suites_file})
    file(WRITE ${suites_file} "add_test(${prefix}${name}_NOT_BUILT ${name}_NOT_BUILT)\n")
  endif()
  string(REPLACE ";" " " flat_properties "${properties}")
  add_custom_command(
    TARGET ${name} POST_BUILD
    BYPRODUCTS ${suites_file}
    COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:${name}> -D "EMULATOR=${launcher}" -D
            PREFIX=${prefix}${name}. -D "PROPERTIES=${flat_properties}" -D "LABELS=${labels}" -D
            OUTPUT=${suites_file} -P ${RTD_SOURCE_ROOT}/cmake/discover_suites.cmake
    VERBATIM)
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${suites_file})
endfunction()

function(rtd_refuse_unknown name unknown empty)
  if(unknown)
    message(FATAL_ERROR "${name}: no keyword before: ${unknown}")
  endif()
  list(REMOVE_ITEM empty LINK LABELS ARGS)
  if(empty)
    message(FATAL_ERROR "${name}: nothing after: ${empty}")
  endif()
endfunction()
