/// Memory-bound kernels of a graph as launches of our own kernels.
#pragma once

#include <cstdint>
#include <functional>

#include <cuda_runtime_api.h>

#include "validate/gpu/run/graph_file.h"
#include "validate/gpu/run/operands.h"

namespace foretrain::gpu {

/// One work with its operands, ready to be put on a stream, again and again.
using Launch = std::function<cudaError_t(cudaStream_t)>;
/// Takes operands for one launch. With operands that only count, the launch must not be used.
using Bind = std::function<Launch(Operands&)>;

/// What a graph's works leave to be known from elsewhere in the file.
struct WorkContext {
  std::int64_t head_dim = 128;
  std::int64_t sequence_length = 4096;
  std::int64_t vocabulary = 32768;  ///< of this rank
};
WorkContext work_context(const StepFile& file);

/// The number format as stored; throws SpecError for one that our kernels have not (fp4).
Storage storage_of(DType dtype);

/// Throws SpecError for what our kernels cannot run. The loss and the gradients of norms move what our fused kernels
/// move, and the rest of the bytes that the graph gives them (a framework whose kernels are not fused) as a copy.
Bind bind_memory_work(const MemoryKernel& work, const WorkContext& context);

/// Bytes and room that one launch takes, by region.
Needs needs_of(const Bind& bind);

}  // namespace foretrain::gpu
