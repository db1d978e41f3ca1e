#include "validate/gpu/run/host_copy.h"

namespace foretrain::gpu {

bool is_host_copy(const StepFile& file, const StepTask& task) {
  if (task.work < 0 || file.lanes[static_cast<std::size_t>(task.lane)].kind != StepLaneKind::copy) return false;
  const auto* kernel = std::get_if<MemoryKernel>(&file.works[static_cast<std::size_t>(task.work)]);
  return kernel != nullptr && kernel->op == MemoryOp::copy;
}

std::int64_t host_copy_bytes(const StepWork& work) {
  const auto& kernel = std::get<MemoryKernel>(work);
  return kernel.rows * kernel.cols * bytes_of(storage_of(kernel.dtype));
}

Bind host_copy(const StepWork& work, void* host) {
  const std::int64_t bytes = host_copy_bytes(work);
  const bool to_host = !std::get<MemoryKernel>(work).backward;
  return [=](Operands& o) -> Launch {
    const void* from = to_host ? o.read(Storage::bf16, (bytes + 1) / 2) : host;
    void* to = to_host ? host : o.write(bytes);
    const cudaMemcpyKind kind = to_host ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice;
    return
        [=](cudaStream_t stream) { return cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, stream); };
  };
}

}  // namespace foretrain::gpu
