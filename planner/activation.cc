#include "planner/activation.h"

#include <algorithm>

namespace foretrain {

ActivationBytes activation_bytes(const ModelSpec& m, const BlockShape& shape, const Software& software,
                                 Precision precision, const FrameworkSpec& framework, bool one_byte_inputs) {
  const std::int64_t width = static_cast<std::int64_t>(bytes_per_element(activation_dtype(precision)));
  const std::int64_t tokens = shape.micro_batch * shape.sequence_length / shape.context;
  const std::int64_t norm_tokens = shape.sequence_parallel ? std::max<std::int64_t>(1, tokens / shape.tensor) : tokens;
  const std::int64_t heads = std::max<std::int64_t>(1, m.heads / shape.tensor);
  const std::int64_t kv_heads = std::max<std::int64_t>(1, m.kv_heads / shape.tensor);
  const std::int64_t ffn = m.ffn_hidden / shape.tensor;
  const std::int64_t q = heads * m.head_dim;
  const std::int64_t kv = kv_heads * m.head_dim;
  // Transformer Engine keeps a linear layer's input in the GEMM's 8-bit format (on Blackwell once; Hopper's GEMMs need
  // a transposed copy too, which makes it two bytes again). Source: NVIDIA/TransformerEngine pytorch/module/linear.py,
  // tensor/float8_tensor.py.
  const bool narrow = one_byte_inputs &&
                      (precision == Precision::fp8 || precision == Precision::mxfp8 || precision == Precision::nvfp4);
  const std::int64_t input_width = narrow ? 1 : width;
  const bool dropout = m.dropout > 0 || framework.dropout > 0;

  const std::int64_t hidden = norm_tokens * m.hidden * width;      // one [s, b, h] in the norm region
  const std::int64_t mask = dropout ? norm_tokens * m.hidden : 0;  // one byte an element
  const std::int64_t norm_output = (m.parallel_block ? 1 : 2) * norm_tokens * m.hidden * input_width;
  const std::int64_t norm_input = m.parallel_block ? hidden : 2 * hidden;
  const std::int64_t qkv = tokens * (q + 2 * kv) * width;
  const std::int64_t attention_out =
      tokens * q * (narrow ? width + input_width : width);  // attention's own copy, and the projection's
  // fp32 log-sum-exp of flash attention, or the unfused softmax output, dropout mask and dropout output.
  const std::int64_t scores = shape.micro_batch * heads * shape.sequence_length * shape.sequence_length / shape.context;
  const std::int64_t softmax = scores * width + (dropout ? scores + scores * width : 0);
  const bool flash = software.attention == AttentionKind::flash;
  const std::int64_t core = flash ? tokens * heads * 4 : softmax;
  const std::int64_t fc1 = tokens * (m.gated_mlp ? 2 : 1) * ffn * width;
  const std::int64_t fc2_input = tokens * ffn * input_width;

  ActivationBytes a;
  a.layer_kept = norm_input + norm_output + 2 * mask + qkv + core + attention_out + fc1 + fc2_input;
  a.layer = a.layer_kept;
  // Gradients alive at once in the MLP's backward pass: of its input, of the activation's output and of its input.
  const std::int64_t mlp_gradients = 2 * hidden + fc2_input + fc1;
  const std::int64_t core_gradients = flash ? qkv + attention_out : 2 * scores * width + qkv;
  a.backward_working = std::max(mlp_gradients, core_gradients + 2 * hidden);
  a.forward_working = std::max(fc1 + fc2_input, flash ? qkv : scores * width);
  if (shape.recompute == Recompute::selective && !flash) {
    a.layer = a.layer_kept - softmax;
    a.layer_kept = a.layer;
    a.backward_working += softmax;
  }
  if (shape.recompute == Recompute::selective && framework.selective != SelectiveKind::attention_core) {
    a.backward_working += a.layer_kept;
    const std::int64_t kv_kept = tokens * kv * width;
    a.layer = framework.selective == SelectiveKind::all_but_qkv
                  ? hidden + qkv
                  : hidden + tokens * q * width + kv_kept + attention_out + core + fc2_input + hidden;
    a.layer_kept = a.layer;
  }
  if (shape.recompute == Recompute::full) {
    a.layer = hidden;
    a.backward_working += a.layer_kept;
  }
  const std::int64_t vocabulary = vocabulary_per_rank(m.vocab, shape.tensor);
  a.embedding = mask + tokens * 8;  // token ids are 64-bit
  a.head = 2 * hidden;
  if (framework.fused_cross_entropy) {
    a.logits = tokens * vocabulary * width;  // replaced by their gradient in place
    a.logits_working = 0;
  } else {
    a.logits = tokens * vocabulary * 4;                    // exponentials in fp32, kept for the backward pass
    a.logits_working = tokens * vocabulary * (width + 4);  // the GEMM's output, and one fp32 temporary
  }
  return a;
}

}  // namespace foretrain
