#include "hwmodels/kernel.h"

#include <array>

#include "base/check.h"

namespace foretrain {
namespace {

constexpr double kFp32 = 4;
constexpr double kMask = 1;   // a dropout or attention mask keeps one byte an element
constexpr double kIndex = 8;  // token ids are int64

struct OpBytes {
  MemoryOp op;
  std::string_view name;
  // Bytes of one element through HBM, each tensor once: {tensors of the kernel's number format, other bytes}.
  double forward_read, forward_read_bytes, forward_written, forward_written_bytes;
  double backward_read, backward_read_bytes, backward_written, backward_written_bytes;
};

// Rows x cols is the shape of the output (for the gated activations and the loss: see their line). What is per row only
// (statistics, weights of a norm, indices) is left out where it is under 1 % of the rest. Backward reads what the usual
// fused kernels (Apex, Transformer Engine, torch) save.
constexpr std::array kOps = {
    // y = norm(x) w: reads x, writes y. Backward reads x, dy, writes dx; the gradient of w needs x and dy once more,
    // which
    // fused kernels (Transformer Engine, cuDNN) take from the same pass and the others (Apex, torch) from a second:
    // half of it.
    OpBytes{MemoryOp::rms_norm, "rms_norm", 1, 0, 1, 0, 3, 0, 1, 0},
    OpBytes{MemoryOp::layer_norm, "layer_norm", 1, 0, 1, 0, 3, 0, 1, 0},
    // Backward needs the output, not the input: reads y, dy, writes dx.
    OpBytes{MemoryOp::softmax, "softmax", 1, 0, 1, 0, 2, 0, 1, 0},
    // Scale, causal mask and softmax in one kernel (Megatron): the mask follows from the indices, nothing more is read.
    OpBytes{MemoryOp::masked_softmax, "masked_softmax", 1, 0, 1, 0, 2, 0, 1, 0},
    // y = act(a) b with rows x cols the output: reads a and b, writes y. Backward reads a, b, dy, writes da, db.
    OpBytes{MemoryOp::swiglu, "swiglu", 2, 0, 1, 0, 3, 0, 2, 0},
    OpBytes{MemoryOp::geglu, "geglu", 2, 0, 1, 0, 3, 0, 2, 0},
    OpBytes{MemoryOp::gelu, "gelu", 1, 0, 1, 0, 2, 0, 1, 0},
    OpBytes{MemoryOp::relu, "relu", 1, 0, 1, 0, 2, 0, 1, 0},
    // The bias is one row: nothing an element. Its gradient is a column sum of the dx that is written anyway.
    OpBytes{MemoryOp::bias_gelu, "bias_gelu", 1, 0, 1, 0, 2, 0, 1, 0},
    OpBytes{MemoryOp::add, "add", 2, 0, 1, 0, 1, 0, 1, 0},
    // y = residual + dropout(x + bias): reads x, residual, writes y and the mask. Backward reads dy and mask, writes
    // dx.
    OpBytes{MemoryOp::bias_dropout_add, "bias_dropout_add", 2, 0, 1, kMask, 1, kMask, 1, 0},
    OpBytes{MemoryOp::dropout, "dropout", 1, 0, 1, kMask, 1, kMask, 1, 0},
    // Rotates in place; the table of angles is [sequence, head_dim] and shared by all heads and samples.
    OpBytes{MemoryOp::rope, "rope", 1, 0, 1, 0, 1, 0, 1, 0},
    OpBytes{MemoryOp::copy, "copy", 1, 0, 1, 0, 1, 0, 1, 0},
    OpBytes{MemoryOp::transpose, "transpose", 1, 0, 1, 0, 1, 0, 1, 0},
    // Between a 16-bit format and fp32; `dtype` is the narrow side. Backward converts the other way.
    OpBytes{MemoryOp::cast, "cast", 1, 0, 0, kFp32, 0, kFp32, 1, 0},
    OpBytes{MemoryOp::zero, "zero", 0, 0, 1, 0, 0, 0, 1, 0},
    // rows tokens of cols = hidden: reads table rows, writes activations. Backward reads dy, adds into the fp32
    // gradient.
    OpBytes{MemoryOp::embedding, "embedding", 1, 0, 1, 0, 1, kFp32, 0, kFp32},
    // cols = vocabulary (of this rank). Forward reads logits for the maximum, again for the sum (the unfused kernels of
    // Megatron's vocabulary-parallel loss), and writes exponentials in fp32. Backward reads them and writes the
    // gradient.
    OpBytes{MemoryOp::cross_entropy, "cross_entropy", 2, 0, 0, kFp32, 0, kFp32, 1, 0},
    // One element a parameter: reads fp32 gradient, master weight, two moments; writes master, moments and the model's
    // copy.
    OpBytes{MemoryOp::adam, "adam", 0, 4 * kFp32, 1, 3 * kFp32, 0, 4 * kFp32, 1, 3 * kFp32},
    OpBytes{MemoryOp::scale, "scale", 1, 0, 1, 0, 1, 0, 1, 0},
    // Reads every gradient once; writes one number.
    OpBytes{MemoryOp::grad_norm, "grad_norm", 1, 0, 0, 0, 1, 0, 0, 0},
};

constexpr bool in_enum_order() {
  for (std::size_t i = 0; i < kOps.size(); ++i) {
    if (kOps[i].op != static_cast<MemoryOp>(i)) return false;
  }
  return kOps.size() == static_cast<std::size_t>(MemoryOp::grad_norm) + 1;
}
static_assert(in_enum_order(), "kOps has one row for each MemoryOp, in its order");

double product(std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

Flops flops_of(const Gemm& g) { return 2.0 * product(g.batch, g.m) * product(g.n, g.k) * flops; }

Flops flops_of(const Attention& a) {
  const double all =
      2.0 * product(a.batch, a.heads_q) * product(a.seq_q, a.seq_kv) * static_cast<double>(a.d_qk + a.d_v);
  return all * (a.causal ? 0.5 : 1.0) * (a.backward ? 2.5 : 1.0) * flops;
}

Bytes bytes_of(const Gemm& g) {
  const double operands = product(g.m, g.k) + product(g.k, g.n);
  const double result = product(g.m, g.n) * bytes_per_element(g.output) * (g.accumulate ? 2.0 : 1.0);
  return static_cast<double>(g.batch) * (operands * bytes_per_element(g.dtype) + result) * bytes;
}

/// Forward: q, k, v in, o out. Backward: q, k, v, o, do in, dq, dk, dv out, and dq summed in fp32 on the way (written
/// and read once more). Row statistics are d times smaller and left out.
Bytes bytes_of(const Attention& a) {
  const double width = bytes_per_element(a.dtype);
  const double queries = product(a.batch, a.seq_q) * static_cast<double>(a.heads_q);
  const double keys = product(a.batch, a.seq_kv) * static_cast<double>(a.heads_kv);
  const double q = queries * static_cast<double>(a.d_qk), o = queries * static_cast<double>(a.d_v);
  const double kv = keys * static_cast<double>(a.d_qk + a.d_v);
  if (!a.backward) return (q + o + kv) * width * bytes;
  return ((2 * q + 2 * o + 2 * kv) * width + 2 * kFp32 * q) * bytes;
}

}  // namespace

Flops flops_of(const Kernel& kernel) {
  if (const auto* g = std::get_if<Gemm>(&kernel)) return flops_of(*g);
  if (const auto* a = std::get_if<Attention>(&kernel)) return flops_of(*a);
  return {};
}

Bytes bytes_of(const Kernel& kernel) {
  if (const auto* g = std::get_if<Gemm>(&kernel)) return bytes_of(*g);
  if (const auto* a = std::get_if<Attention>(&kernel)) return bytes_of(*a);
  const auto& m = std::get<MemoryKernel>(kernel);
  return m.read + m.written;
}

std::string_view op_name(MemoryOp op) { return kOps[static_cast<std::size_t>(op)].name; }

MemoryKernel memory_kernel(MemoryOp op, bool backward, std::int64_t rows, std::int64_t cols, DType dtype) {
  FORETRAIN_CHECK(rows >= 0 && cols >= 0);
  const OpBytes& o = kOps[static_cast<std::size_t>(op)];
  const double elements = product(rows, cols), width = bytes_per_element(dtype);
  const double read =
      backward ? o.backward_read * width + o.backward_read_bytes : o.forward_read * width + o.forward_read_bytes;
  const double written = backward ? o.backward_written * width + o.backward_written_bytes
                                  : o.forward_written * width + o.forward_written_bytes;
  MemoryKernel kernel{
      .op = op, .backward = backward, .rows = rows, .cols = cols, .read = {}, .written = {}, .dtype = dtype};
  kernel.read = elements * read * bytes;
  kernel.written = elements * written * bytes;
  if (op == MemoryOp::embedding) kernel.read += static_cast<double>(rows) * kIndex * bytes;
  return kernel;
}

}  // namespace foretrain
