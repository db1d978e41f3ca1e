# foretrain_embed_text(VARIABLE NAME FILES a.js b.js): writes a C++ source that defines `extern const char NAME[]` in
# namespace foretrain, with the text of the files one after another, and puts its path into VARIABLE. A change of a file
# is seen at the next build.
function(foretrain_embed_text variable name)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "FILES")
  set(bytes "")
  foreach(part IN LISTS arg_FILES)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${part})
    file(READ ${part} hex HEX)
    string(REGEX REPLACE "(..)" "'\\\\x\\1'," chars "${hex}")
    string(APPEND bytes "${chars}\n")
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT
    "// Made from @arg_FILES@ by cmake/embed_text.cmake.\nnamespace foretrain {\nextern const char @name@[];\nconst char @name@[] = {\n@bytes@'\\0'};\n}  // namespace foretrain\n"
    @ONLY)
  set(${variable} ${source} PARENT_SCOPE)
endfunction()
