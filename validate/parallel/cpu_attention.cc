#include "validate/parallel/cpu_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace foretrain::parallel {
namespace {

/// One query position of one head of one sequence, and where its numbers lie.
struct Query {
  std::int64_t sequence_number = 0;
  std::int64_t head = 0;
  std::size_t position_number = 0;
};

template <class Visit>
void for_each_query(const AttentionBlock& block, const Visit& visit) {
  FORETRAIN_CHECK(block.heads % block.kv_heads == 0);
  for (std::size_t i = 0; i < block.query_positions.size(); ++i) {
    for (std::int64_t j = 0; j < block.batch; ++j) {
      for (std::int64_t h = 0; h < block.heads; ++h) visit(Query{j, h, i});
    }
  }
}

class Addresses {
 public:
  explicit Addresses(const AttentionBlock& block) : block_(block) {}
  /// Offset of the query's vector in a tensor [rows, heads * head_dim].
  std::int64_t query(const Query& query) const {
    return (row(query.position_number, query) * block_.heads + query.head) * block_.head_dim;
  }
  std::int64_t log_sum(const Query& query) const {
    return row(query.position_number, query) * block_.heads + query.head;
  }
  /// Offset of the vector of key number `key` that the query reads, in a tensor [key rows, kv_heads * head_dim].
  std::int64_t key(const Query& query, std::size_t key) const {
    const std::int64_t kv_head = query.head / (block_.heads / block_.kv_heads);
    return (row(key, query) * block_.kv_heads + kv_head) * block_.head_dim;
  }

 private:
  std::int64_t row(std::size_t position_number, const Query& query) const {
    return static_cast<std::int64_t>(position_number) * block_.batch + query.sequence_number;
  }
  const AttentionBlock& block_;
};

float dot(const float* a, const float* b, std::int64_t n) {
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

bool sees(const AttentionBlock& block, const Query& query, std::size_t key) {
  return block.key_positions[key] <= block.query_positions[query.position_number];
}

/// 0 where the probability is dropped, 1 / (1 - drop) where it is kept.
float keep_factor(const AttentionBlock& block, const Query& query, std::size_t key) {
  if (block.drop == 0) return 1;
  const std::int64_t row = (query.sequence_number * block.heads + query.head) * block.sequence +
                           block.query_positions[query.position_number];
  const std::int64_t element = row * block.sequence + block.key_positions[key];
  return uniform(block.draw, static_cast<std::uint64_t>(element)) < block.drop ? 0 : 1 / (1 - block.drop);
}

float score_scale(const AttentionBlock& block) { return 1 / std::sqrt(static_cast<float>(block.head_dim)); }

}  // namespace

void attention_on_cpu(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v,
                      const AttentionResult& result) {
  const Addresses at(block);
  const std::int64_t width = block.head_dim;
  std::vector<float> scores(block.key_positions.size());
  for_each_query(block, [&](const Query& query) {
    const float* const q_row = q.data() + at.query(query);
    float* const out = result.out.data() + at.query(query);
    float& log_sum = result.log_sum.data()[at.log_sum(query)];
    std::fill(out, out + width, 0.0F);
    float largest = -std::numeric_limits<float>::infinity();
    for (std::size_t n = 0; n < scores.size(); ++n) {
      if (!sees(block, query, n)) continue;
      scores[n] = score_scale(block) * dot(q_row, k.data() + at.key(query, n), width);
      largest = std::max(largest, scores[n]);
    }
    log_sum = largest;
    if (std::isinf(largest)) return;  // this block's keys all come later than the query
    float sum = 0;
    for (std::size_t n = 0; n < scores.size(); ++n) {
      if (!sees(block, query, n)) continue;
      const float weight = std::exp(scores[n] - largest);
      sum += weight;
      const float kept = weight * keep_factor(block, query, n);
      const float* const v_row = v.data() + at.key(query, n);
      for (std::int64_t i = 0; i < width; ++i) out[i] += kept * v_row[i];
    }
    for (std::int64_t i = 0; i < width; ++i) out[i] /= sum;
    log_sum = largest + std::log(sum);
  });
}

void merge_attention_on_cpu(const AttentionBlock& block, const AttentionResult& more, const AttentionResult& sum) {
  const Addresses at(block);
  for_each_query(block, [&](const Query& query) {
    float& log_sum = sum.log_sum.data()[at.log_sum(query)];
    const float log_more = more.log_sum.data()[at.log_sum(query)];
    if (std::isinf(log_more)) return;
    const float largest = std::max(log_sum, log_more);
    const float log_both = largest + std::log(std::exp(log_sum - largest) + std::exp(log_more - largest));
    float* const out = sum.out.data() + at.query(query);
    const float* const out_more = more.out.data() + at.query(query);
    for (std::int64_t i = 0; i < block.head_dim; ++i)
      out[i] = out[i] * std::exp(log_sum - log_both) + out_more[i] * std::exp(log_more - log_both);
    log_sum = log_both;
  });
}

void attention_backward_on_cpu(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v,
                               const AttentionResult& whole, const Tensor& dout, const Tensor& dq, const Tensor& dk,
                               const Tensor& dv) {
  const Addresses at(block);
  const std::int64_t width = block.head_dim;
  for_each_query(block, [&](const Query& query) {
    const float* const q_row = q.data() + at.query(query);
    const float* const dout_row = dout.data() + at.query(query);
    float* const dq_row = dq.data() + at.query(query);
    const float log_sum = whole.log_sum.data()[at.log_sum(query)];
    const float delta = dot(dout_row, whole.out.data() + at.query(query), width);  // sum over keys of p dp
    for (std::size_t n = 0; n < block.key_positions.size(); ++n) {
      if (!sees(block, query, n)) continue;
      const std::int64_t key = at.key(query, n);
      const float probability = std::exp(score_scale(block) * dot(q_row, k.data() + key, width) - log_sum);
      const float keep = keep_factor(block, query, n);
      const float dprobability = keep * dot(dout_row, v.data() + key, width);
      const float dscore = probability * (dprobability - delta) * score_scale(block);
      for (std::int64_t i = 0; i < width; ++i) {
        dq_row[i] += dscore * k.data()[key + i];
        dk.data()[key + i] += dscore * q_row[i];
        dv.data()[key + i] += probability * keep * dout_row[i];
      }
    }
  });
}

}  // namespace foretrain::parallel
