#include "validate/gpu/run/memory_shape.h"

#include <algorithm>

#include "validate/gpu/kernels/elementwise.h"

namespace foretrain::gpu {

std::int64_t rest_beyond(const MemoryKernel& work, double bytes) {
  const double rest = work.read.base() + work.written.base() - bytes;
  return static_cast<std::int64_t>(std::max(0.0, rest) / 2) / 16 * 16;
}
Launch copies(const void* from, void* to, std::int64_t most, std::int64_t rest) {
  return [=](cudaStream_t stream) {
    for (std::int64_t left = rest; left > 0; left -= most) {
      if (const cudaError_t e = copy({from, to, std::min(left, most)}, stream); e != cudaSuccess) return e;
    }
    return cudaSuccess;
  };
}
Storage stored(const WorkShape& s, Bytes bytes) {
  const double width = bytes.base() / static_cast<double>(s.count);
  if (width > 3) return Storage::fp32;
  return width < 1.5 ? Storage::e4m3 : s.storage == Storage::fp16 ? Storage::fp16 : Storage::bf16;
}
float* row_numbers(Operands& o, std::int64_t rows) { return static_cast<float*>(o.scratch(4 * rows)); }

}  // namespace foretrain::gpu
