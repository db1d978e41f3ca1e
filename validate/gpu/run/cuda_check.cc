#include "validate/gpu/run/cuda_check.h"

namespace foretrain::gpu {

void check_cuda(cudaError_t error, const char* call, const char* file, int line) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // an error that is not sticky is taken note of here, once
  const std::string text =
      std::string(call) + ": " + cudaGetErrorString(error) + " (" + file + ":" + std::to_string(line) + ")";
  if (error == cudaErrorMemoryAllocation) throw OutOfDeviceMemory(text);
  throw MachineError(text);
}

}  // namespace foretrain::gpu
