# Compiles SOURCE with -DCASE=<CASE> and demands that EXPECTED is in one of the first three errors
# and that the compiler says NAMED. An empty EXPECTED demands that it compiles.
separate_arguments(FLAGS)
execute_process(
  COMMAND ${COMPILER} -std=c++20 -fsyntax-only -fno-diagnostics-color -DCASE=${CASE} ${FLAGS} ${SOURCE}
  RESULT_VARIABLE failed ERROR_VARIABLE output OUTPUT_QUIET)
if(EXPECTED STREQUAL "")
  if(failed)
    message(FATAL_ERROR "case ${CASE} should compile:\n${output}")
  endif()
  return()
endif()
if(NOT failed)
  message(FATAL_ERROR "case ${CASE} compiles, but should fail with '${EXPECTED}'")
endif()
string(REPLACE ";" "," output "${output}")
string(REGEX MATCHALL "[^\n]*error: [^\n]*" errors "${output}")
list(LENGTH errors count)
list(SUBLIST errors 0 3 first)
string(FIND "${first}" "${EXPECTED}" message_at)
string(FIND "${output}" "${NAMED}" name_at)
if(message_at EQUAL -1 OR name_at EQUAL -1)
  message(FATAL_ERROR "case ${CASE}: '${EXPECTED}' is not in the first three errors, or "
    "'${NAMED}' is not named:\n${output}")
endif()
# Two errors each for writing and reading is what the mistakes cost; more is noise.
if(count GREATER 4)
  message(FATAL_ERROR "case ${CASE}: ${count} errors bury the message:\n${output}")
endif()
message(STATUS "case ${CASE}: ${count} error(s)")
