/// Copies between the GPU and the host: what a copy on a lane of kind `copy` is.
#pragma once

#include "validate/gpu/run/memory_work.h"

namespace foretrain::gpu {

/// Whether the task copies to the host, or with a backward copy from it.
bool is_host_copy(const StepFile& file, const StepTask& task);
/// Bytes of such a copy.
std::int64_t host_copy_bytes(const StepWork& work);
/// To or from the beginning of `host`, which is pinned.
Bind host_copy(const StepWork& work, void* host);

}  // namespace foretrain::gpu
