#include "planner/sharding.h"

#include <algorithm>

#include "planner/layer_ops.h"

namespace foretrain {

RankParameters rank_parameters(const ModelSpec& m, std::int64_t tensor) {
  const std::int64_t heads = std::max<std::int64_t>(1, m.heads / tensor);
  const std::int64_t kv_heads = std::max<std::int64_t>(1, m.kv_heads / tensor);  // repeated where tensor > kv_heads
  const std::int64_t qkv = (heads + 2 * kv_heads) * m.head_dim;
  const std::int64_t ffn = m.ffn_hidden / tensor;
  const std::int64_t fc1 = (m.gated_mlp ? 2 : 1) * ffn;
  const std::int64_t norm = m.hidden * (m.norm_bias ? 2 : 1);
  RankParameters r;
  r.layer = m.hidden * qkv + heads * m.head_dim * m.hidden + m.hidden * fc1 + ffn * m.hidden;
  if (m.qkv_bias) r.layer += qkv;
  if (m.attention_out_bias) r.layer += m.hidden;
  if (m.mlp_bias) r.layer += fc1 + m.hidden;
  r.layer += m.norms_per_layer * norm + m.qk_norm_params;
  const std::int64_t vocabulary = vocabulary_per_rank(m.vocab, tensor);
  r.embedding = vocabulary * m.hidden;
  if (m.position == PositionKind::learned) r.embedding += (m.max_positions + m.position_extra_rows) * m.hidden;
  if (m.embedding_norm) r.embedding += norm;
  r.final_norm = m.final_norm ? norm : 0;
  r.head = r.final_norm + vocabulary * m.hidden + (m.lm_head_bias ? vocabulary : 0);
  return r;
}

}  // namespace foretrain
