#include "planner/activation.h"

#include <algorithm>
#include <cmath>

namespace foretrain {
namespace {

/// Sizes of the tensors of one layer and of the head, in bytes.
struct TensorBytes {
  std::int64_t hidden = 0;    ///< [s, b, h] where sequence parallelism splits it
  std::int64_t whole = 0;     ///< the same on all tokens of the tensor group
  std::int64_t gathered = 0;  ///< `whole` where it differs from `hidden`, else 0
  std::int64_t mask = 0;      ///< of dropout, one byte an element
  std::int64_t norm_input = 0, norm_output = 0;
  std::int64_t query = 0, qkv = 0;
  std::int64_t scores = 0;         ///< one matrix of attention scores, 16 bits
  std::int64_t softmax = 0;        ///< what unfused attention keeps of it
  std::int64_t core = 0;           ///< what attention keeps beside q, k, v and its output
  std::int64_t attention_out = 0;  ///< attention's output as often as it is kept
  std::int64_t fc1 = 0, ffn = 0;   ///< output of the MLP's first layer, gradient of its second layer's input
  std::int64_t fc2_input = 0;      ///< as kept
  std::int64_t gate = 0;
};

TensorBytes tensor_bytes(const ModelSpec& m, const BlockShape& shape, const Software& software, Precision precision,
                         bool dropout, const MemoryTraits& traits) {
  const auto width = static_cast<std::int64_t>(bytes_per_element(activation_dtype(precision)));
  const std::int64_t input_width = traits.one_byte_inputs ? 1 : width;
  const bool split = shape.sequence_parallel && shape.tensor > 1;
  const std::int64_t tokens = shape.micro_batch * shape.sequence_length / shape.context;
  const std::int64_t norm_tokens = split ? std::max<std::int64_t>(1, tokens / shape.tensor) : tokens;
  const std::int64_t heads = std::max<std::int64_t>(1, m.heads / shape.tensor);
  const std::int64_t kv_heads = std::max<std::int64_t>(1, m.kv_heads / shape.tensor);
  const std::int64_t ffn = m.ffn_hidden / shape.tensor;
  const std::int64_t kv = tokens * kv_heads * m.head_dim * width;

  TensorBytes t;
  t.hidden = norm_tokens * m.hidden * width;
  t.whole = tokens * m.hidden * width;
  t.gathered = split ? t.whole : 0;
  t.mask = dropout ? norm_tokens * m.hidden : 0;
  const std::int64_t norms = m.parallel_block ? 1 : 2;
  t.norm_input = norms * t.hidden;
  t.norm_output = norms * (traits.gathered_inputs_kept ? tokens : norm_tokens) * m.hidden * input_width;
  t.query = tokens * heads * m.head_dim * width;
  t.qkv = t.query + 2 * kv;
  const std::int64_t elements =
      shape.micro_batch * heads * shape.sequence_length * shape.sequence_length / shape.context;
  t.scores = elements * width;
  t.softmax = elements * width + (dropout ? elements + elements * width : 0);  // result, mask, dropout's result
  const bool flash = software.attention == AttentionKind::flash;
  t.core = flash ? tokens * heads * 4 : t.softmax;  // log of the sum, fp32
  // Attention's output is the projection's input, unless that is kept in 8 bits or in another layout.
  const bool a_copy =
      traits.attention_output_twice || (shape.context > 1 && shape.context_kind == ContextKind::ulysses);
  t.attention_out = t.query + (traits.one_byte_inputs ? t.query / width : a_copy ? t.query : 0);
  // A ring sends keys and values in one tensor, beside the fused q, k, v that q still points into; rotary embedding has
  // made q, k, v tensors of their own.
  if (flash && shape.context > 1 && shape.context_kind == ContextKind::ring && m.position != PositionKind::rope)
    t.core += 2 * kv;
  if (m.qk_norm_params > 0) t.core += t.query + kv;  // inputs and outputs of the norms on queries and keys
  t.ffn = tokens * ffn * width;
  t.fc1 = (m.gated_mlp ? 2 : 1) * t.ffn;
  t.fc2_input = tokens * ffn * input_width;
  t.gate = m.gated_mlp && traits.gate_kept ? t.ffn : 0;
  return t;
}

/// What one layer's backward pass needs beside what its forward pass has kept, all of which is there at the start and
/// goes step by step: gradients, and the 16-bit gradient of a weight where it stands apart.
std::int64_t layer_gradients(const ModelSpec& m, const BlockShape& shape, const TensorBytes& t, std::int64_t width,
                             bool flash, const MemoryTraits& traits) {
  const std::int64_t weight =
      traits.weight_gradient_apart && !traits.gradient_stand_ins ? m.hidden * (m.ffn_hidden / shape.tensor) * width : 0;
  // MLP: gradient of the output (gathered for the row-parallel layer's weight), of the second layer's input, of the
  // first layer's output; then of its input.
  const std::int64_t second = t.hidden + t.gathered + t.ffn + weight;
  const std::int64_t activation = t.hidden + t.ffn + t.fc1 - t.fc2_input;
  const std::int64_t first = t.hidden + t.whole + t.gathered + weight * (m.gated_mlp ? 2 : 1) - t.fc2_input - t.gate;
  // Attention, when the MLP's activations are gone.
  const std::int64_t gone = t.fc1 + t.fc2_input + t.gate + (t.norm_input + t.norm_output) / 2 + t.mask;
  const std::int64_t scores = flash ? 0 : 2 * t.scores + (shape.recompute == Recompute::selective ? t.softmax : 0);
  const std::int64_t attention = 2 * t.hidden + t.query + t.qkv + scores - gone;
  return std::max({second, activation, first, attention});
}

/// What the head's backward pass needs beside the kept logits: their gradient, then that of the head's input and, where
/// it stands apart, of its weight.
std::int64_t head_gradients(const TensorBytes& t, std::int64_t logits, std::int64_t weight, std::int64_t width,
                            double kept, double on_top) {
  const auto count = static_cast<double>(logits);
  const double loss = count * on_top;
  const double gemm = count * (static_cast<double>(width) - kept) + static_cast<double>(t.whole + t.gathered + weight);
  return std::llround(std::max(loss, gemm));
}

}  // namespace

ActivationBytes activation_bytes(const ModelSpec& m, const BlockShape& shape, const Software& software,
                                 Precision precision, const FrameworkSpec& framework, const MemoryTraits& traits) {
  const auto width = static_cast<std::int64_t>(bytes_per_element(activation_dtype(precision)));
  const bool dropout = m.dropout > 0 || framework.dropout > 0;
  const bool flash = software.attention == AttentionKind::flash;
  const TensorBytes t = tensor_bytes(m, shape, software, precision, dropout, traits);

  ActivationBytes a;
  const std::int64_t all =
      t.norm_input + t.norm_output + 2 * t.mask + t.qkv + t.core + t.attention_out + t.fc1 + t.gate + t.fc2_input;
  a.layer = a.layer_kept = all;
  a.forward_working = t.hidden + t.gathered + (flash ? 0 : t.scores);
  a.backward_working = layer_gradients(m, shape, t, width, flash, traits);
  if (shape.recompute == Recompute::selective && framework.selective == SelectiveKind::attention_core && !flash) {
    a.layer = a.layer_kept = all - t.softmax;
  }
  if (shape.recompute == Recompute::selective && framework.selective != SelectiveKind::attention_core) {
    const std::int64_t keys = (t.qkv - t.query) / 2;
    a.layer = framework.selective == SelectiveKind::all_but_qkv
                  ? t.hidden + t.qkv
                  : 2 * t.hidden + t.query + keys + t.attention_out + t.core + t.ffn;
    a.layer_kept = a.layer;
    a.backward_working += all - a.layer;
  }
  if (shape.recompute == Recompute::full) {
    a.layer = t.hidden;
    a.forward_working += std::max(t.fc1 + t.ffn, t.qkv + t.query);
    a.backward_working += all - a.layer;
  }
  const std::int64_t tokens = shape.micro_batch * shape.sequence_length / shape.context;
  const std::int64_t vocabulary = vocabulary_per_rank(m.vocab, shape.tensor);
  const std::int64_t logits = tokens * vocabulary;
  a.embedding = t.mask + tokens * 8;  // token ids are 64-bit
  a.stage_output = traits.stage_output_kept ? t.hidden : 0;
  a.head = t.hidden + (traits.gathered_inputs_kept ? t.whole : t.hidden);
  const double split = shape.tensor > 1 ? traits.logit_split : 0;
  a.logits = std::llround(static_cast<double>(logits) * traits.logit_kept);
  a.head_forward = std::llround(static_cast<double>(logits) * (traits.logit_forward + split)) + t.gathered;
  a.head_backward = head_gradients(t, logits, traits.weight_gradient_apart ? vocabulary * m.hidden * width : 0, width,
                                   traits.logit_kept, traits.logit_backward + split);
  const std::int64_t waiting = traits.deferred_head_gradients * logits * width;
  a.head_forward += waiting;
  a.head_backward += waiting;
  return a;
}

}  // namespace foretrain
