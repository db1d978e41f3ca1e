/// Every kernel of a graph as a launch: matrix products by cuBLASLt, attention by cuDNN, the rest by our own kernels.
#pragma once

#include <memory>

#include "validate/gpu/run/memory_work.h"

namespace foretrain::gpu {

/// The libraries' handles on the current device. Binds keep using them.
class Libraries;
std::shared_ptr<Libraries> open_libraries();

/// Operands are taken in this order. gemm: A and B as reference/gemm.h lays them out, then C in the output's format (in
/// `state` when it is added to). attention: q, k, v as reference/attention.h lays them out, the output and, in scratch,
/// log_sum_exp; backward: q, k, v, the output, log_sum_exp (fp32 numbers), dout, then dq, dk, dv. memory-bound kernels:
/// memory_work.cc. Throws SpecError for a kernel that cannot run (a number format, a shape that the library refuses),
/// MachineError when a library fails.
Bind bind_kernel(const StepWork& kernel, const WorkContext& context, const std::shared_ptr<Libraries>& libraries);

}  // namespace foretrain::gpu
