# foretrain_built_in_files(TARGET FUNCTION FOLDER file...): puts data files of FOLDER (from the project's root) into TARGET, so
# that a program needs no files beside it. The generated source defines
#     std::span<const foretrain::BuiltInFile> foretrain::FUNCTION()
# which the target's own header declares. A file that changes is put in again by the next build.
function(foretrain_built_in_files target function folder)
  set(files ${ARGN})
  list(TRANSFORM files PREPEND "${PROJECT_SOURCE_DIR}/${folder}/" OUTPUT_VARIABLE paths)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${function}.cc)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${source} -DFUNCTION=${function} -DROOT=${PROJECT_SOURCE_DIR} -DFOLDER=${folder}
      "-DFILES=${files}" -P ${PROJECT_SOURCE_DIR}/cmake/write_built_in_files.cmake
    DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/write_built_in_files.cmake
    VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
