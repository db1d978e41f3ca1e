# What `make install` puts beside program and library, and the Debian packages that `make deb` (cpack) makes of it:
# foretrain (program, data, documentation, man pages, completion) and libforetrain-dev (library, header, CMake files).
set(FORETRAIN_MAINTAINER "Foretrain maintainers <maintainers@foretrain.invalid>" CACHE STRING
  "Who answers for the packages that are built here: NAME <MAIL>")

# What the program reads at run time (base/data_dir.h says where it looks), and what people read.
foreach(data_folder IN ITEMS hwmodels/catalogue planner/catalogue validate/published docs/schema)
  install(DIRECTORY ${data_folder}/ DESTINATION ${CMAKE_INSTALL_DATADIR}/foretrain/${data_folder} COMPONENT runtime)
endforeach()
install(FILES README.md packaging/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime PATTERN docs/schema EXCLUDE)
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

# Debian asks for changelogs that are packed; -n leaves the time out, so that the same sources give the same bytes.
find_program(FORETRAIN_GZIP gzip)
mark_as_advanced(FORETRAIN_GZIP)
if(FORETRAIN_GZIP)
  foreach(pair IN ITEMS "packaging/changelog;changelog.Debian.gz" "CHANGELOG.md;changelog.gz")
    list(GET pair 0 from)
    list(GET pair 1 to)
    add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/packaging/${to}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/packaging
      COMMAND sh -c "\"$0\" -9nc \"$1\" > \"$2\"" ${FORETRAIN_GZIP} ${PROJECT_SOURCE_DIR}/${from} ${PROJECT_BINARY_DIR}/packaging/${to}
      DEPENDS ${from} VERBATIM)
    list(APPEND packed ${PROJECT_BINARY_DIR}/packaging/${to})
  endforeach()
  add_custom_target(foretrain_changelogs ALL DEPENDS ${packed})
  install(FILES ${packed} DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
  install(FILES ${packed} packaging/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libforetrain-dev COMPONENT development)
else()
  install(FILES CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME foretrain)
set(CPACK_PACKAGE_VENDOR "The Foretrain authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "cluster simulator and parallelism planner for LLM training")
set(CPACK_PACKAGE_CONTACT "${FORETRAIN_MAINTAINER}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/pack_man_pages.cmake)
set(CPACK_OUTPUT_FILE_PREFIX ${PROJECT_BINARY_DIR}/packages)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME foretrain)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION science)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
"Foretrain judges every legal configuration of tensor, pipeline and data
parallelism, sharding, recomputation, schedule and micro-batch for a model, a
cluster and a training job, and ranks them: how long a step takes and why, and
what each GPU holds. It needs no GPU and no network.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libforetrain-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libfmt-dev, libpugixml-dev, libyaml-cpp-dev")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
"The library libforetrain.a, its C++20 header <foretrain/foretrain.h>, and what
CMake and pkg-config need to find them.")
include(CPack)
