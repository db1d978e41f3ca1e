/// Every kernel of a graph as a launch: matrix products by cuBLASLt, attention by cuDNN, the rest by our own kernels.
#pragma once

#include <memory>
#include <vector>

#include "validate/gpu/run/memory_work.h"

namespace foretrain::gpu {

/// The libraries' handles on the current device. Binds keep using them.
class Libraries;
std::shared_ptr<Libraries> open_libraries();

/// What is run for one attention of a graph: itself, but for a causal one over more keys than queries. That is a rank
/// of a ring, whose keys pass by in C = seq_kv / seq_q turns: causal among its own tokens, then C - 1 times all its
/// queries with half as many keys (which tokens those are depends on the turn; their number does not), as
/// TransformerEngine's ring attention does. Source: NVIDIA/TransformerEngine
/// transformer_engine/pytorch/attention/dot_product_attention/ context_parallel.py. The same FLOPs; adding up the
/// turns' results is left out.
std::vector<Attention> turns_of(const Attention& attention);

/// Operands are taken in this order. gemm: A and B as reference/gemm.h lays them out, then C in the output's format (in
/// `state` when it is added to). attention: q, k, v as reference/attention.h lays them out, the output and, in scratch,
/// log_sum_exp; backward: q, k, v, the output, log_sum_exp (fp32 numbers), dout, then dq, dk, dv. memory-bound kernels:
/// memory_work.cc. Throws SpecError for a kernel that cannot run (a number format, a shape that the library refuses),
/// MachineError when a library fails.
Bind bind_kernel(const StepWork& kernel, const WorkContext& context, const std::shared_ptr<Libraries>& libraries);

}  // namespace foretrain::gpu
