# Builds the tokio peer: cmake -DCARGO=… -DSOURCE=… -DBUILD=… -DPROGRAM=… -P build.cmake
#
# Where the crates that Cargo.lock names can be had neither from the registry nor from cargo's cache, there is no peer,
# and the build says so and goes on. Code of ours that does not compile is an error all the same.
execute_process(COMMAND ${CARGO} fetch --quiet --locked WORKING_DIRECTORY ${SOURCE}
                RESULT_VARIABLE failed ERROR_VARIABLE errors OUTPUT_QUIET)
if(failed)
  string(REGEX REPLACE "\n.*" "" first_line "${errors}")
  message(STATUS "the benchmarks go without tokio: its crates cannot be had: ${first_line}")
  file(REMOVE ${PROGRAM})
  return()
endif()
execute_process(COMMAND ${CARGO} build --quiet --release --locked --offline --target-dir ${BUILD}
                WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "cargo could not build the tokio peer of the benchmarks (above)")
endif()
file(COPY_FILE ${BUILD}/release/bench_tokio ${PROGRAM})
