# Registers each suite of a GoogleTest program as one test, after the program was linked:
#
#   cmake -D PROGRAM=file -D EMULATOR=command -D PREFIX=name. -D PROPERTIES=… -D LABELS=… -D OUTPUT=file.cmake -P …
execute_process(COMMAND ${EMULATOR} ${PROGRAM} --gtest_list_tests OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" lines "${listing}")
string(REPLACE ";" " " emulator "${EMULATOR}")
set(tests "")
foreach(line IN LISTS lines)
  # "suite." at the margin, its cases behind two blanks.
  if(line MATCHES "^[^ ]+\\.($| +#)" AND NOT line MATCHES "(^|/)DISABLED_")
    string(REGEX REPLACE "\\.($| +#.*)" "" suite "${line}")
    string(APPEND tests "add_test([==[${PREFIX}${suite}]==] ${emulator} [==[${PROGRAM}]==] [==[--gtest_filter=${suite}.*]==])\n"
                        "set_tests_properties([==[${PREFIX}${suite}]==] PROPERTIES ${PROPERTIES} LABELS \"${LABELS}\")\n")
  endif()
endforeach()
if(tests STREQUAL "")
  message(FATAL_ERROR "${PROGRAM} has no test suites")
endif()
file(WRITE ${OUTPUT} "${tests}")
