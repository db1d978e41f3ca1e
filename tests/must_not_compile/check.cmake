# Fails unless COMPILER refuses SOURCE with an error that matches the pattern on its first line ("// error: PATTERN").
file(STRINGS ${SOURCE} first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// error: (.+)$")
  message(FATAL_ERROR "${SOURCE} does not begin with // error: PATTERN")
endif()
set(pattern "${CMAKE_MATCH_1}")

set(ENV{LC_ALL} C)  # plain quotes in messages
execute_process(COMMAND ${COMPILER} -std=c++20 -fsyntax-only -I${ROOT} ${SOURCE}
                RESULT_VARIABLE status ERROR_VARIABLE messages)
if(status EQUAL 0)
  message(NOTICE "${SOURCE} compiled, and must not")  # FATAL_ERROR would break the line anywhere
  message(FATAL_ERROR "not refused")
elseif(NOT messages MATCHES "error: [^\n]*${pattern}")
  message(NOTICE "${SOURCE} failed for another reason than ${pattern}:\n${messages}")
  message(FATAL_ERROR "refused for another reason")
endif()
