/// What a trainer adds to GEMMs in 8 and 4 bits: kernels that make their operands, and how their sums are kept.
#pragma once

#include "hwmodels/gpu.h"
#include "planner/job.h"

namespace foretrain {

/// A kernel over a tensor in 16 bits: bytes per element read and written. Zero both: there is none.
struct OperandKernel {
  double read = 0, written = 0;
  bool vectorised = true;  ///< false: along the long way of the tensor, an element at a time
};

/// How the operands of a linear layer's three GEMMs are made. `used` is false in 16 bits.
///
///     forward     y = x W^T     x: after a norm (`norm_input`), or anything else (`input`)
///     backward    dx = dy W     dy (`gradient`), cast before it is gathered where sequences are split
///                 dW = dy^T x   x again (`saved_norm_input`, `saved_input`); Hopper's GEMMs need it transposed
struct QuantisationSpec {
  bool used = false;
  double norm_written = 2;  ///< bytes per element that a norm writes: 1 where it scales and casts by itself
  OperandKernel norm_input, input, saved_norm_input, saved_input, gradient;
  OperandKernel transpose;  ///< of a gradient that was gathered in 8 bits, before the weight gradient
  OperandKernel result;     ///< of both gradient GEMMs: scales that the GEMM does not apply
  OperandKernel weight;     ///< in every micro-batch, where nothing keeps the cast weights between two
  double sent = 2;          ///< bytes per element that sequence parallelism gathers
  bool promotes = false;    ///< gradient GEMMs on Hopper add partial sums in fp32 (no fast accumulation)
};

/// Which scaling: 4-bit and MX formats say it themselves; for fp8 the framework, and words of Software::version,
/// Software::overlap and Software::notes ("current scaling", "megatron-bridge", "rowwise", ...; docs/FORMAT.md).
QuantisationSpec quantisation_spec(const Software& software, Precision precision, const GpuSpec& gpu);

}  // namespace foretrain
