#include "validate/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace foretrain::reference {
namespace {

/// One query head of one sample, with the elements it reads.
struct Head {
  const AttentionShape& shape;
  std::int64_t sample, head;

  [[nodiscard]] std::int64_t key_head() const { return head / (shape.heads_q / shape.heads_kv); }
  [[nodiscard]] std::int64_t visible(std::int64_t query) const {
    if (!shape.causal) return shape.seq_kv;
    return std::clamp<std::int64_t>(query + shape.query_offset + 1, 0, shape.seq_kv);
  }
  [[nodiscard]] std::size_t q(std::int64_t query, std::int64_t width) const {
    return size_of(((sample * shape.seq_q + query) * shape.heads_q + head) * width);
  }
  [[nodiscard]] std::size_t kv(std::int64_t key, std::int64_t width) const {
    return size_of(((sample * shape.seq_kv + key) * shape.heads_kv + key_head()) * width);
  }
  [[nodiscard]] std::size_t row(std::int64_t query) const {
    return size_of((sample * shape.heads_q + head) * shape.seq_q + query);
  }
};

double dot(View a, std::size_t at_a, View b, std::size_t at_b, std::int64_t width) {
  double sum = 0;
  for (std::size_t i = 0; i < size_of(width); ++i) sum += a[at_a + i] * b[at_b + i];
  return sum;
}

void add_scaled(Values& to, std::size_t at, double factor, View from, std::size_t at_from, std::int64_t width) {
  for (std::size_t i = 0; i < size_of(width); ++i) to[at + i] += factor * from[at_from + i];
}

void check(const AttentionShape& s, View q, View k, View v) {
  FORETRAIN_CHECK(s.heads_kv > 0 && s.heads_q % s.heads_kv == 0);
  FORETRAIN_CHECK(q.size() == size_of(s.batch * s.seq_q * s.heads_q * s.d_qk));
  FORETRAIN_CHECK(k.size() == size_of(s.batch * s.seq_kv * s.heads_kv * s.d_qk));
  FORETRAIN_CHECK(v.size() == size_of(s.batch * s.seq_kv * s.heads_kv * s.d_v));
}

}  // namespace

AttentionResult attention(const AttentionShape& shape, View q, View k, View v) {
  check(shape, q, k, v);
  AttentionResult result{.out = Values(size_of(shape.batch * shape.seq_q * shape.heads_q * shape.d_v)),
                         .log_sum_exp = Values(size_of(shape.batch * shape.heads_q * shape.seq_q))};
  Values score(size_of(shape.seq_kv));
  for (std::int64_t i = 0; i < shape.batch * shape.heads_q; ++i) {
    const Head head{shape, i / shape.heads_q, i % shape.heads_q};
    for (std::int64_t query = 0; query < shape.seq_q; ++query) {
      const std::int64_t keys = head.visible(query);
      double largest = -std::numeric_limits<double>::infinity();
      for (std::int64_t key = 0; key < keys; ++key) {
        score[size_of(key)] = shape.scale * dot(q, head.q(query, shape.d_qk), k, head.kv(key, shape.d_qk), shape.d_qk);
        largest = std::max(largest, score[size_of(key)]);
      }
      double sum = 0;
      for (std::int64_t key = 0; key < keys; ++key) sum += std::exp(score[size_of(key)] - largest);
      const double log_sum_exp = keys == 0 ? largest : largest + std::log(sum);
      result.log_sum_exp[head.row(query)] = log_sum_exp;
      for (std::int64_t key = 0; key < keys; ++key) {
        add_scaled(result.out, head.q(query, shape.d_v), std::exp(score[size_of(key)] - log_sum_exp), v,
                   head.kv(key, shape.d_v), shape.d_v);
      }
    }
  }
  return result;
}

AttentionGradient attention_backward(const AttentionShape& shape, View q, View k, View v,
                                     const AttentionResult& forward, View dout) {
  check(shape, q, k, v);
  FORETRAIN_CHECK(dout.size() == forward.out.size());
  AttentionGradient gradient{.dq = Values(q.size()), .dk = Values(k.size()), .dv = Values(v.size())};
  for (std::int64_t i = 0; i < shape.batch * shape.heads_q; ++i) {
    const Head head{shape, i / shape.heads_q, i % shape.heads_q};
    for (std::int64_t query = 0; query < shape.seq_q; ++query) {
      const std::size_t at_q = head.q(query, shape.d_qk), at_out = head.q(query, shape.d_v);
      const double delta = dot(dout, at_out, forward.out, at_out, shape.d_v);
      for (std::int64_t key = 0; key < head.visible(query); ++key) {
        const std::size_t at_k = head.kv(key, shape.d_qk), at_v = head.kv(key, shape.d_v);
        const double score = shape.scale * dot(q, at_q, k, at_k, shape.d_qk);
        const double probability = std::exp(score - forward.log_sum_exp[head.row(query)]);
        const double dscore = shape.scale * probability * (dot(dout, at_out, v, at_v, shape.d_v) - delta);
        add_scaled(gradient.dv, at_v, probability, dout, at_out, shape.d_v);
        add_scaled(gradient.dq, at_q, dscore, k, at_k, shape.d_qk);
        add_scaled(gradient.dk, at_k, dscore, q, at_q, shape.d_qk);
      }
    }
  }
  return gradient;
}

}  // namespace foretrain::reference
