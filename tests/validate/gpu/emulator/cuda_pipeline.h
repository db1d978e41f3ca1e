#pragma once

#include "cuda_runtime.h"

inline void __pipeline_memcpy_async(void* to, const void* from, std::size_t bytes) {
  foretrain::emulator::copy_later(to, from, bytes);
}
inline void __pipeline_commit() { foretrain::emulator::end_group(); }
inline void __pipeline_wait_prior(std::size_t groups) { foretrain::emulator::wait_for_groups(groups); }
