/// Kernels as JSON objects: how graph files, measurement files and plugins name what ran.
#pragma once

#include <string>

#include "base/spec_node.h"
#include "hwmodels/kernel.h"

namespace foretrain {

/// Reads one of
///
///     {"kind": "gemm", "batch", "m", "n", "k", "dtype", "output", "accumulate", "layout": "tn" | "nn" | "nt"}
///     {"kind": "attention", "batch", "seq_q", "seq_kv", "heads_q", "heads_kv", "d_qk", "d_v", "causal", "backward",
///      "dtype"}
///     {"kind": "memory", "op", "backward", "rows", "cols", "dtype", "vectorised", "read_bytes", "written_bytes"}
///
/// What is left out is as in kernel.h; of a GEMM's output: as its format stores it (fp32 for tf32, bf16 for fp8 and
/// fp4); of attention's keys: as the queries; of bytes: memory_kernel's. Other keys are left alone. SpecError for what
/// is none of these.
Kernel read_kernel(const SpecNode& work);

/// `kernel` as such an object on one line; read_kernel gives the same kernel back.
std::string kernel_json(const Kernel& kernel);

}  // namespace foretrain
