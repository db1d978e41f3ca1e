# Installs library and program into an empty prefix, moves it, builds the example against it, and holds its output against
# the program's. Called with BUILD, SOURCE, CXX, GENERATOR, SANITIZE, PROGRAM, LIBDIR.
set(work ${BUILD}/use_installed)
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work})

function(must_run)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUTPUT" "COMMAND")
  execute_process(COMMAND ${arg_COMMAND} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${arg_COMMAND}\nexit code ${status}\n${output}${errors}")
  endif()
  if(arg_OUTPUT)
    set(${arg_OUTPUT} "${output}" PARENT_SCOPE)
  endif()
endfunction()

must_run(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/installed_first --component development)
must_run(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/installed_first --component runtime)
file(RENAME ${work}/installed_first ${work}/prefix)  # a prefix may be moved

# Only what others may see is installed.
file(GLOB_RECURSE headers RELATIVE ${work}/prefix/include ${work}/prefix/include/*)
if(NOT headers STREQUAL "foretrain/foretrain.h")
  message(FATAL_ERROR "installed headers: ${headers}")
endif()

set(flags "")
if(SANITIZE)
  set(flags "-fsanitize=${SANITIZE}")
endif()
file(COPY ${SOURCE}/examples/cpp_api DESTINATION ${work})
must_run(COMMAND ${CMAKE_COMMAND} -S ${work}/cpp_api -B ${work}/build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${CXX}
  "-DCMAKE_CXX_FLAGS=${flags}" -DCMAKE_PREFIX_PATH=${work}/prefix)
must_run(COMMAND ${CMAKE_COMMAND} --build ${work}/build)
must_run(COMMAND ${work}/build/scaling ${work}/cpp_api/job.json 4 OUTPUT table)
message(STATUS "the example says:\n${table}")

# Its last line is the program's best plan.
must_run(COMMAND ${work}/prefix/bin/foretrain plan ${work}/cpp_api/job.json --top 1 --format json OUTPUT document)
string(JSON seconds GET "${document}" plans 0 step_seconds)
string(JSON tokens GET "${document}" plans 0 tokens_per_second_per_gpu)
string(REGEX MATCH "\n +4 +TP[^\n]* ([0-9]+\\.[0-9]+) s +([0-9]+) " line "${table}")
foreach(pair IN ITEMS "${CMAKE_MATCH_1};${seconds}" "${CMAKE_MATCH_2};${tokens}")
  list(GET pair 0 shown)
  list(GET pair 1 exact)
  string(REGEX REPLACE "\\.[0-9]*$" "" shown_whole "${shown}")
  string(REGEX REPLACE "\\.[0-9]*$" "" exact_whole "${exact}")
  math(EXPR difference "${shown_whole} - ${exact_whole}")
  if(line STREQUAL "" OR difference GREATER 1 OR difference LESS -1)
    message(FATAL_ERROR "the example shows \"${shown}\", the program ${exact}:\n${table}")
  endif()
endforeach()

# Another version is refused.
file(READ ${work}/cpp_api/CMakeLists.txt wanted)
string(REPLACE "find_package(foretrain 0.1 " "find_package(foretrain 7.0 " wanted "${wanted}")
file(WRITE ${work}/other_version/CMakeLists.txt "${wanted}")
execute_process(COMMAND ${CMAKE_COMMAND} -S ${work}/other_version -B ${work}/other_build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${CXX}
  -DCMAKE_PREFIX_PATH=${work}/prefix RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
if(status EQUAL 0)
  message(FATAL_ERROR "find_package(foretrain 7.0) found version 0.1")
endif()

# The same with pkg-config, where there is one.
find_program(pkg_config pkg-config)
if(pkg_config)
  set(ENV{PKG_CONFIG_PATH} ${work}/prefix/${LIBDIR}/pkgconfig)
  must_run(COMMAND ${pkg_config} --cflags --libs foretrain OUTPUT library_flags)
  separate_arguments(library_flags UNIX_COMMAND "${library_flags}")
  must_run(COMMAND ${CXX} -std=c++20 ${flags} ${SOURCE}/examples/cpp_api/scaling.cc -o ${work}/by_pkg_config ${library_flags})
  must_run(COMMAND ${work}/by_pkg_config ${work}/cpp_api/job.json 4 OUTPUT second_table)
  if(NOT second_table STREQUAL table)
    message(FATAL_ERROR "built with pkg-config the example says\n${second_table}")
  endif()
endif()
file(REMOVE_RECURSE ${work})
