# Faster builds where the tools are there; nothing else depends on them.
if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(FORETRAIN_CCACHE ccache)
  mark_as_advanced(FORETRAIN_CCACHE)
  if(FORETRAIN_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${FORETRAIN_CCACHE})
  endif()
endif()

include(CheckLinkerFlag)
check_linker_flag(CXX "-fuse-ld=mold" FORETRAIN_HAS_MOLD)
