# How every target of ours is compiled: link foretrain_options PRIVATE.
add_library(foretrain_options INTERFACE)

# -Wconversion stays off: it reports every int64 that becomes a double. -Wfloat-conversion keeps what loses digits.
target_compile_options(foretrain_options INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wfloat-conversion
  # The same arithmetic on every processor: no fused multiply-add where the source has two operations.
  -ffp-contract=off
  # GCC 12 warns of overlapping copies inside std::string that cannot happen (GCC bug 105651).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  $<$<BOOL:${FORETRAIN_WARNINGS_AS_ERRORS}>:-Werror>)

if(FORETRAIN_SANITIZE)
  target_compile_options(foretrain_options INTERFACE
    -fsanitize=${FORETRAIN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    # Instrumented code of the standard library (std::regex) looks uninitialised to GCC 12.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(foretrain_options INTERFACE -fsanitize=${FORETRAIN_SANITIZE})
endif()
if(FORETRAIN_HAS_MOLD)
  target_link_options(foretrain_options INTERFACE -fuse-ld=mold)
endif()
