/// Flash attention as the graph of elementary operations that cuDNN recognises and runs as one kernel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hwmodels/kernel.h"
#include "validate/gpu/library/cudnn_graph.h"

namespace foretrain::gpu {

/// Which tensor of a graph is which when it runs. Sizes as in attention.h.
enum class AttentionTensor : std::int64_t {
  q = 1,
  k,
  v,
  out,
  statistics,  ///< log-sum-exp of the scaled scores
  scale,       ///< scalar: of the scores
  lowest,      ///< scalar: what hidden scores become
  one,         ///< scalar: backward only, 1 / (1 - dropout) of none
  dout,
  dq,
  dk,
  dv,
  row_sums,        ///< backward only: sum of dout * out over d, fp32 [batch, heads_q, seq_q]
  dq_accumulator,  ///< backward only: fp32 [batch, heads_q, seq_q, d_qk]
};

/// The graph of `attention`, forward or backward. Source of the pattern that cuDNN recognises: NVIDIA/cudnn-frontend
/// 3929da2 include/cudnn_frontend/node/scaled_dot_product_flash_attention.h. Throws SpecError for a shape it cannot
/// state: another format than bf16 and fp16, heads that do not divide, a causal mask over a part of the keys.
CudnnGraph attention_graph(const Attention& attention);

/// "attention 1x4096x32/8x128 bf16 causal backward".
std::string text_of(const Attention& attention);

/// How many configurations of engines cuDNN's heuristics know for a finalised graph: on its handle's device, or on a
/// described one, for which neither GPU nor driver is needed.
std::int64_t count_engines(const Descriptor& graph, const Descriptor* device = nullptr);

/// Those configurations that cuDNN also says it supports, best first. On a described device this needs a libcuda.so.1,
/// for which the toolkit's stub will do.
std::vector<Descriptor> engine_configurations(const Descriptor& graph, const Descriptor* device = nullptr);

/// A device described by cuDNN's JSON, which needs neither GPU nor driver. cuDNN 9.11 or newer.
Descriptor described_device(const std::string& json);

}  // namespace foretrain::gpu
