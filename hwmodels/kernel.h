/// GPU kernels as data: what is computed, on which shapes, in which number format.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "base/units.h"
#include "hwmodels/dtype.h"

namespace foretrain {

/// Memory layout of a GEMM in a linear layer: forward y = x W^T (TN), input gradient dx = dy W (NN), weight gradient dW
/// = dy^T x (NT).
enum class GemmLayout { tn, nn, nt };

/// C[m, n] (+)= A[m, k] B[k, n], `batch` times. FLOPs 2 batch m n k.
struct Gemm {
  std::int64_t batch = 1, m = 1, n = 1, k = 1;
  DType dtype = DType::bf16;
  DType output = DType::bf16;  ///< what C is stored as
  bool accumulate = false;     ///< C is read and added to (fp32 weight gradients)
  GemmLayout layout = GemmLayout::tn;
  bool promotes = false;  ///< fp8 on Hopper without fast accumulation: partial sums are added in fp32 outside the
                          ///< tensor core
  friend bool operator==(const Gemm&, const Gemm&) = default;
};

/// Fused (flash) attention. FLOPs forward 2 b hq sq skv (d_qk + d_v), halved when causal; backward 2.5 times that.
struct Attention {
  std::int64_t batch = 1, seq_q = 1, seq_kv = 1, heads_q = 1, heads_kv = 1, d_qk = 128, d_v = 128;
  bool causal = true;
  bool backward = false;
  DType dtype = DType::bf16;
  friend bool operator==(const Attention&, const Attention&) = default;
};

/// Kernels that move memory: time is bytes over achieved bandwidth plus a fixed cost.
enum class MemoryOp {
  rms_norm,
  layer_norm,
  softmax,
  masked_softmax,
  swiglu,
  geglu,
  gelu,
  relu,
  bias_gelu,
  add,
  bias_dropout_add,
  dropout,
  rope,
  copy,
  transpose,
  cast,
  zero,
  embedding,
  cross_entropy,
  adam,
  scale,
  grad_norm
};

/// One memory-bound kernel over rows x cols elements. `read` and `written` are all bytes it must move, inputs
/// and outputs counted once each; makers in kernel.cc compute them from shapes.
struct MemoryKernel {
  MemoryOp op = MemoryOp::copy;
  bool backward = false;
  std::int64_t rows = 1, cols = 1;
  Bytes read, written;
  DType dtype = DType::bf16;
  bool vectorised = true;  ///< threads load 16 bytes at a time; false: one narrow element (some older kernels)
  friend bool operator==(const MemoryKernel&, const MemoryKernel&) = default;
};

using Kernel = std::variant<Gemm, Attention, MemoryKernel>;

/// Floating-point operations of the algorithm (no hardware waste).
Flops flops_of(const Kernel&);
/// The least bytes through HBM: inputs and outputs once.
Bytes bytes_of(const Kernel&);
/// "gemm 8192x10240x8192 bf16 tn".
std::string_view op_name(MemoryOp);

/// A memory-bound kernel of `op` over rows x cols of `dtype`: bytes read and written as the usual fused implementation
/// moves them (e.g. layer_norm forward reads x and writes y: 2 rows cols width; backward reads x, dy, writes dx: 3, and
/// more where it is not fused). The table with its reasons stands in kernel.cc.
MemoryKernel memory_kernel(MemoryOp op, bool backward, std::int64_t rows, std::int64_t cols, DType dtype);

}  // namespace foretrain
