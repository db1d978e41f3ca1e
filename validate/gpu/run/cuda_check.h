/// Errors of CUDA and NCCL calls as exceptions that name the call and its place.
#pragma once

#include <string>

#include <cuda_runtime_api.h>

#include "base/spec_error.h"

namespace foretrain::gpu {

/// Out of device memory: smaller work may still run.
class OutOfDeviceMemory : public MachineError {
 public:
  using MachineError::MachineError;
};

/// Throws MachineError "cudaMalloc(...): out of memory (file:line)" unless `error` is cudaSuccess.
void check_cuda(cudaError_t error, const char* call, const char* file, int line);

}  // namespace foretrain::gpu

#define FORETRAIN_CUDA_CHECK(call) ::foretrain::gpu::check_cuda((call), #call, __FILE__, __LINE__)
