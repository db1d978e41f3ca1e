// Which kernel an operator of PyTorch runs, by its name, shapes and strides.
#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "validate/calibrate/kineto.h"

namespace foretrain {
namespace {

struct TypeName {
  std::string_view name;
  DType dtype;
};
constexpr std::array kTypes = {TypeName{"c10::BFloat16", DType::bf16},
                               TypeName{"c10::Half", DType::fp16},
                               TypeName{"float", DType::fp32},
                               TypeName{"c10::Float8_e4m3fn", DType::fp8},
                               TypeName{"c10::Float8_e5m2", DType::fp8},
                               TypeName{"c10::Float8_e4m3fnuz", DType::fp8},
                               TypeName{"c10::Float8_e5m2fnuz", DType::fp8}};

std::optional<DType> dtype_of(const TraceOp& op, std::size_t argument) {
  if (argument >= op.types.size()) return std::nullopt;
  for (const TypeName& t : kTypes)
    if (t.name == op.types[argument]) return t.dtype;
  return std::nullopt;
}

const Dims& dims(const TraceOp& op, std::size_t argument) {
  static const Dims kNone;
  return argument < op.dims.size() ? op.dims[argument] : kNone;
}
bool positive(const Dims& d) {
  return std::all_of(d.begin(), d.end(), [](std::int64_t n) { return n > 0; });
}

/// Whether the argument's last two dimensions are a transposed view. Without strides: not known.
std::optional<bool> transposed(const TraceOp& op, std::size_t argument) {
  if (argument >= op.strides.size()) return std::nullopt;
  const Dims& s = op.strides[argument];
  if (s.size() < 2) return std::nullopt;
  return s[s.size() - 2] == 1 && s[s.size() - 1] != 1;
}

/// A[.., m, k] B[.., k, n] as arguments `a` and `b`. x W^T has W as a transposed view (tn), dy W none (nn), dy^T x the
/// first one (nt).
std::optional<Kernel> matrix_product(const TraceOp& op, std::size_t a, std::size_t b, std::string& why) {
  const Dims& left = dims(op, a);
  const Dims& right = dims(op, b);
  const auto dtype = dtype_of(op, a);
  if (left.size() < 2 || left.size() != right.size() || !positive(left) || !positive(right) ||
      left.back() != right[right.size() - 2]) {
    why = fmt::format("{} without two matrices that fit", op.name);
    return std::nullopt;
  }
  if (!dtype) {
    why = fmt::format("{} in an unknown number format", op.name);
    return std::nullopt;
  }
  Gemm g{.m = left[left.size() - 2], .n = right.back(), .k = left.back(), .dtype = *dtype};
  g.output = *dtype == DType::fp8 ? DType::bf16 : *dtype;
  for (std::size_t i = 0; i + 2 < left.size(); ++i) g.batch *= left[i];
  if (transposed(op, a).value_or(false)) {
    g.layout = GemmLayout::nt;
  } else if (const auto t = transposed(op, b)) {
    g.layout = *t ? GemmLayout::tn : GemmLayout::nn;
  }
  return g;
}

/// Attention operators: where q stands among the arguments, where is_causal, and whether heads come before sequence.
/// Source: PyTorch, aten/src/ATen/native/native_functions.yaml; flash-attention, flash_attn/flash_attn_interface.py.
struct AttentionOp {
  std::string_view name;
  std::size_t query, causal;
  bool heads_first, backward;
};
constexpr std::array kAttentionOps = {
    AttentionOp{"aten::_scaled_dot_product_flash_attention", 0, 4, true, false},
    AttentionOp{"aten::_scaled_dot_product_flash_attention_backward", 1, 11, true, true},
    AttentionOp{"aten::_scaled_dot_product_cudnn_attention", 0, 6, true, false},
    AttentionOp{"aten::_scaled_dot_product_cudnn_attention_backward", 1, 14, true, true},
    AttentionOp{"aten::_flash_attention_forward", 0, 8, false, false},
    AttentionOp{"aten::_flash_attention_backward", 1, 11, false, true},
    AttentionOp{"flash_attn::_flash_attn_forward", 0, 5, false, false},
    AttentionOp{"flash_attn::_flash_attn_backward", 1, 11, false, true}};

std::optional<Kernel> attention(const TraceOp& op, const AttentionOp& kind, std::string& why) {
  const Dims& q = dims(op, kind.query);
  const Dims& k = dims(op, kind.query + 1);
  const Dims& v = dims(op, kind.query + 2);
  const auto dtype = dtype_of(op, kind.query);
  if (q.size() != 4 || k.size() != 4 || v.size() != 4 || !positive(q) || !positive(k) || !positive(v) || !dtype) {
    why = fmt::format("{} with other shapes than [batch, sequence, heads, width]", op.name);
    return std::nullopt;
  }
  const std::string causal = kind.causal < op.concrete.size() ? op.concrete[kind.causal] : "";
  if (causal != "True" && causal != "False") {
    why = fmt::format("{} does not say whether it is causal (traces of PyTorch 2.1 on do)", op.name);
    return std::nullopt;
  }
  const std::size_t sequence = kind.heads_first ? 2 : 1, heads = kind.heads_first ? 1 : 2;
  return Attention{.batch = q[0],
                   .seq_q = q[sequence],
                   .seq_kv = k[sequence],
                   .heads_q = q[heads],
                   .heads_kv = k[heads],
                   .d_qk = q[3],
                   .d_v = v[3],
                   .causal = causal == "True",
                   .backward = kind.backward,
                   .dtype = *dtype};
}

/// Operators that move memory: which operation, and which argument has the shape.
struct MemoryTraceOp {
  std::string_view name;
  MemoryOp op;
  bool backward;
  std::size_t argument;
};
constexpr std::array kMemoryOps = {MemoryTraceOp{"aten::native_layer_norm", MemoryOp::layer_norm, false, 0},
                                   MemoryTraceOp{"aten::native_layer_norm_backward", MemoryOp::layer_norm, true, 0},
                                   MemoryTraceOp{"aten::_fused_rms_norm", MemoryOp::rms_norm, false, 0},
                                   MemoryTraceOp{"aten::_fused_rms_norm_backward", MemoryOp::rms_norm, true, 0},
                                   MemoryTraceOp{"aten::_softmax", MemoryOp::softmax, false, 0},
                                   MemoryTraceOp{"aten::_softmax_backward_data", MemoryOp::softmax, true, 0},
                                   MemoryTraceOp{"aten::gelu", MemoryOp::gelu, false, 0},
                                   MemoryTraceOp{"aten::gelu_backward", MemoryOp::gelu, true, 0},
                                   MemoryTraceOp{"aten::relu", MemoryOp::relu, false, 0},
                                   MemoryTraceOp{"aten::native_dropout", MemoryOp::dropout, false, 0},
                                   MemoryTraceOp{"aten::add", MemoryOp::add, false, 0},
                                   MemoryTraceOp{"aten::copy_", MemoryOp::copy, false, 0},
                                   MemoryTraceOp{"aten::zero_", MemoryOp::zero, false, 0},
                                   MemoryTraceOp{"aten::fill_", MemoryOp::zero, false, 0}};

std::optional<Kernel> memory_kernel_of(const TraceOp& op, const MemoryTraceOp& kind, std::string& why) {
  const Dims& shape = dims(op, kind.argument);
  const auto dtype = dtype_of(op, kind.argument);
  if (shape.empty() || !positive(shape) || !dtype) {
    why = fmt::format("{} without a shape or in an unknown number format", op.name);
    return std::nullopt;
  }
  MemoryOp what = kind.op;
  if (kind.op == MemoryOp::add && dims(op, 1) != shape) {
    why = "aten::add of different shapes";
    return std::nullopt;
  }
  DType narrow = *dtype;
  if (kind.op == MemoryOp::copy) {
    const auto from = dtype_of(op, 1);
    if (!from || dims(op, 1) != shape) {
      why = "aten::copy_ between formats or shapes that are not modelled";
      return std::nullopt;
    }
    if (*from != *dtype) {
      if (bytes_per_element(*from) != 4 && bytes_per_element(*dtype) != 4) {
        why = "aten::copy_ between formats or shapes that are not modelled";
        return std::nullopt;
      }
      what = MemoryOp::cast;
      narrow = bytes_per_element(*from) < bytes_per_element(*dtype) ? *from : *dtype;
    }
  }
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  // A cast of ours widens forwards; backwards it narrows.
  const bool backward = what == MemoryOp::cast ? narrow == *dtype : kind.backward;
  return memory_kernel(what, backward, rows, shape.back(), narrow);
}

}  // namespace

std::optional<Kernel> kernel_of(const TraceOp& op, std::string& why) {
  if (!op.has_dims) {
    why = "no Input Dims: the trace was taken without record_shapes=True";
    return std::nullopt;
  }
  if (op.name == "aten::mm" || op.name == "aten::bmm" || op.name == "aten::_scaled_mm")
    return matrix_product(op, 0, 1, why);
  if (op.name == "aten::addmm" || op.name == "aten::baddbmm") return matrix_product(op, 1, 2, why);
  for (const AttentionOp& kind : kAttentionOps)
    if (kind.name == op.name) return attention(op, kind, why);
  for (const MemoryTraceOp& kind : kMemoryOps)
    if (kind.name == op.name) return memory_kernel_of(op, kind, why);
  why = fmt::format("operator {} is not modelled", op.name);
  return std::nullopt;
}

}  // namespace foretrain
