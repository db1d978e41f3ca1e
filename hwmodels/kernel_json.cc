#include "hwmodels/kernel_json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 3> kLayoutNames = {"tn", "nn", "nt"};
constexpr std::array<std::string_view, 3> kKindNames = {"gemm", "attention", "memory"};
constexpr IntRange kExtent = {1, 1'000'000'000'000};
constexpr RealRange kByteRange = {0, 1e16};

std::int64_t extent(const SpecNode& node, std::string_view key, std::int64_t otherwise) {
  const auto value = node.optional(key);
  return value ? value->as_int(kExtent) : otherwise;
}

bool flag(const SpecNode& node, std::string_view key, bool otherwise) {
  const auto value = node.optional(key);
  return value ? value->as_bool() : otherwise;
}

DType dtype(const SpecNode& node, std::string_view key, DType otherwise) {
  const auto value = node.optional(key);
  return value ? static_cast<DType>(value->as_choice(kDTypeNames, "number format")) : otherwise;
}

DType usual_output(DType t) {
  if (t == DType::fp32 || t == DType::tf32) return DType::fp32;
  return t == DType::fp16 ? DType::fp16 : DType::bf16;
}

Gemm read_gemm(const SpecNode& node) {
  Gemm g{.batch = extent(node, "batch", 1),
         .m = node.required("m").as_int(kExtent),
         .n = node.required("n").as_int(kExtent),
         .k = node.required("k").as_int(kExtent)};
  g.dtype = dtype(node, "dtype", g.dtype);
  g.output = dtype(node, "output", usual_output(g.dtype));
  g.accumulate = flag(node, "accumulate", false);
  if (const auto layout = node.optional("layout"))
    g.layout = static_cast<GemmLayout>(layout->as_choice(kLayoutNames, "layout"));
  return g;
}

Attention read_attention(const SpecNode& node) {
  Attention a;
  a.batch = extent(node, "batch", 1);
  a.seq_q = node.required("seq_q").as_int(kExtent);
  a.seq_kv = extent(node, "seq_kv", a.seq_q);
  a.heads_q = node.required("heads_q").as_int(kExtent);
  a.heads_kv = extent(node, "heads_kv", a.heads_q);
  a.d_qk = extent(node, "d_qk", a.d_qk);
  a.d_v = extent(node, "d_v", a.d_qk);
  a.causal = flag(node, "causal", a.causal);
  a.backward = flag(node, "backward", a.backward);
  a.dtype = dtype(node, "dtype", a.dtype);
  return a;
}

std::vector<std::string_view> memory_op_names() {
  std::vector<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(MemoryOp::grad_norm); ++i) names.push_back(op_name(static_cast<MemoryOp>(i)));
  return names;
}

MemoryKernel read_memory(const SpecNode& node) {
  static const std::vector<std::string_view> kNames = memory_op_names();
  const auto op = static_cast<MemoryOp>(node.required("op").as_choice(kNames, "operation"));
  MemoryKernel k = memory_kernel(op, flag(node, "backward", false), node.required("rows").as_int(kExtent),
                                 node.required("cols").as_int(kExtent), dtype(node, "dtype", DType::bf16));
  k.vectorised = flag(node, "vectorised", true);
  if (const auto read = node.optional("read_bytes")) k.read = read->as_real(kByteRange) * bytes;
  if (const auto written = node.optional("written_bytes")) k.written = written->as_real(kByteRange) * bytes;
  return k;
}

std::string_view name(DType t) { return kDTypeNames[static_cast<std::size_t>(t)]; }

}  // namespace

Kernel read_kernel(const SpecNode& work) {
  if (!work.is_object()) work.fail_expected("an object: a kernel");
  switch (work.required("kind").as_choice(kKindNames, "kind of kernel")) {
    case 0:
      return read_gemm(work);
    case 1:
      return read_attention(work);
    default:
      return read_memory(work);
  }
}

std::string kernel_json(const Kernel& kernel) {
  if (const auto* g = std::get_if<Gemm>(&kernel)) {
    return fmt::format(
        R"({{"kind": "gemm", "batch": {}, "m": {}, "n": {}, "k": {}, "dtype": "{}", "output": "{}", "accumulate": {}, "layout": "{}"}})",
        g->batch, g->m, g->n, g->k, name(g->dtype), name(g->output), g->accumulate,
        kLayoutNames[static_cast<std::size_t>(g->layout)]);
  }
  if (const auto* a = std::get_if<Attention>(&kernel)) {
    return fmt::format(
        R"({{"kind": "attention", "batch": {}, "seq_q": {}, "seq_kv": {}, "heads_q": {}, "heads_kv": {}, "d_qk": {}, "d_v": {}, "causal": {}, "backward": {}, "dtype": "{}"}})",
        a->batch, a->seq_q, a->seq_kv, a->heads_q, a->heads_kv, a->d_qk, a->d_v, a->causal, a->backward,
        name(a->dtype));
  }
  const auto& m = std::get<MemoryKernel>(kernel);
  return fmt::format(
      R"({{"kind": "memory", "op": "{}", "backward": {}, "rows": {}, "cols": {}, "dtype": "{}", "vectorised": {}, "read_bytes": {}, "written_bytes": {}}})",
      op_name(m.op), m.backward, m.rows, m.cols, name(m.dtype), m.vectorised, m.read.base(), m.written.base());
}

}  // namespace foretrain
