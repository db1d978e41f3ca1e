#include "validate/gpu/run/kernel_work.h"

#include <algorithm>
#include <optional>

#include "base/spec_error.h"
#include "validate/gpu/library/attention.h"
#include "validate/gpu/library/gemm.h"

namespace foretrain::gpu {

class Libraries {
 public:
  GemmPlan plan(const Gemm& gemm) { return gemms_.plan(gemm); }
  std::shared_ptr<const AttentionPlan> plan(const Attention& attention) {
    if (AttentionLibrary::version().empty()) {
      throw SpecError(work_text(attention), "needs cuDNN, which was not found when this was built");
    }
    if (!attentions_) attentions_.emplace();
    return attentions_->plan(attention);
  }

 private:
  GemmLibrary gemms_;
  std::optional<AttentionLibrary> attentions_;  // from the first attention on
};

namespace {

Bind bind_gemm(const Gemm& g, const std::shared_ptr<Libraries>& libraries) {
  const GemmPlan plan = libraries->plan(g);
  const Storage in = storage_of(g.dtype), out = storage_of(g.output);
  return [=](Operands& o) -> Launch {
    GemmMemory memory;
    memory.a = o.read(in, g.batch * g.m * g.k);
    memory.b = o.read(in, g.batch * g.k * g.n);
    const std::int64_t results = g.batch * g.m * g.n;
    memory.c = g.accumulate && out == Storage::fp32 ? o.state(results) : o.write(results * bytes_of(out));
    void* workspace = o.scratch(plan.workspace_bytes());
    return [=](cudaStream_t stream) {
      plan.run(memory, workspace, stream);
      return cudaSuccess;
    };
  };
}

Bind bind_attention(const Attention& a, const std::shared_ptr<Libraries>& libraries) {
  std::vector<std::shared_ptr<const AttentionPlan>> plans;
  std::int64_t workspace_bytes = 0;
  for (const Attention& turn : turns_of(a)) {
    plans.push_back(libraries->plan(turn));
    workspace_bytes = std::max(workspace_bytes, plans.back()->workspace_bytes());
  }
  const Storage storage = storage_of(a.dtype);
  const std::int64_t q = a.batch * a.seq_q * a.heads_q * a.d_qk, out = a.batch * a.seq_q * a.heads_q * a.d_v;
  const std::int64_t k = a.batch * a.seq_kv * a.heads_kv * a.d_qk, v = a.batch * a.seq_kv * a.heads_kv * a.d_v;
  const std::int64_t statistics = a.batch * a.heads_q * a.seq_q;
  const std::int64_t width = bytes_of(storage);
  return [=](Operands& o) -> Launch {
    AttentionMemory m;
    m.q = o.read(storage, q);
    m.k = o.read(storage, k);
    m.v = o.read(storage, v);
    if (a.backward) {  // what the forward pass left is read only
      m.out = const_cast<void*>(o.read(storage, out));
      m.statistics = static_cast<float*>(const_cast<void*>(o.read(Storage::fp32, statistics)));
      m.dout = o.read(storage, out);
      m.dq = o.write(q * width);
      m.dk = o.write(k * width);
      m.dv = o.write(v * width);
    } else {
      m.out = o.write(out * width);
      m.statistics = static_cast<float*>(o.scratch(4 * statistics));
    }
    void* workspace = o.scratch(workspace_bytes);
    return [=](cudaStream_t stream) {
      for (const auto& plan : plans) plan->run(m, workspace, stream);
      return cudaSuccess;
    };
  };
}

}  // namespace

std::shared_ptr<Libraries> open_libraries() { return std::make_shared<Libraries>(); }

std::vector<Attention> turns_of(const Attention& a) {
  const std::int64_t turns = a.seq_kv / a.seq_q;
  if (!a.causal || turns < 2 || a.seq_kv % a.seq_q != 0 || a.seq_q % 2 != 0) return {a};
  Attention own = a, passing = a;
  own.seq_kv = a.seq_q;
  passing.seq_kv = a.seq_q / 2;
  passing.causal = false;
  std::vector<Attention> list(static_cast<std::size_t>(turns), passing);
  list.front() = own;
  return list;
}

Bind bind_kernel(const StepWork& kernel, const WorkContext& context, const std::shared_ptr<Libraries>& libraries) {
  if (const auto* gemm = std::get_if<Gemm>(&kernel)) return bind_gemm(*gemm, libraries);
  if (const auto* attention = std::get_if<Attention>(&kernel)) return bind_attention(*attention, libraries);
  if (const auto* memory = std::get_if<MemoryKernel>(&kernel)) return bind_memory_work(*memory, context);
  throw SpecError(work_text(kernel), "expected a kernel; a message has no kernel of its own");
}

}  // namespace foretrain::gpu
