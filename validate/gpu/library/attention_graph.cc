#include "validate/gpu/library/attention_graph.h"

#include "base/spec_error.h"

namespace foretrain::gpu {
namespace {

constexpr std::int64_t uid(AttentionTensor tensor) { return static_cast<std::int64_t>(tensor); }

/// [batch, heads, rows, width] that lies in memory as [batch, rows, heads, width].
Dimensions strides_of(std::int64_t heads, std::int64_t rows, std::int64_t width) {
  return {rows * heads * width, width, heads * width, 1};
}

/// The same, with rows and width exchanged: the transposed right-hand side of a product.
Dimensions transposed_strides(std::int64_t heads, std::int64_t rows, std::int64_t width) {
  return {rows * heads * width, width, 1, heads * width};
}

class Builder {
 public:
  explicit Builder(const Attention& a)
      : a_(a),
        type_(a.dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF),
        scores_{a.batch, a.heads_q, a.seq_q, a.seq_kv},
        rows_{a.batch, a.heads_q, a.seq_q, 1} {}

  CudnnGraph forward() {
    const TensorId q = query(AttentionTensor::q, a_.d_qk);
    const TensorId k = transposed_key(AttentionTensor::k, a_.d_qk);
    const TensorId v = key(AttentionTensor::v, a_.d_v);
    const TensorId out = query(AttentionTensor::out, a_.d_v);
    const TensorId statistics = graph_.input_or_output(uid(AttentionTensor::statistics), rows_, CUDNN_DATA_FLOAT);

    const TensorId seen = masked(scaled(product(q, k, scores_), scale()));
    const TensorId largest = reduced(CUDNN_REDUCE_TENSOR_MAX, seen);
    const TensorId exponential = of(CUDNN_POINTWISE_EXP, of(CUDNN_POINTWISE_SUB, seen, largest, scores_), scores_);
    const TensorId sum = reduced(CUDNN_REDUCE_TENSOR_ADD, exponential);
    graph_.pointwise(CUDNN_POINTWISE_ADD, largest, of(CUDNN_POINTWISE_LOG, sum, rows_), statistics);
    const TensorId probability = graph_.between(scores_, type_);
    graph_.pointwise(CUDNN_POINTWISE_DIV, exponential, sum, probability);
    graph_.multiply_matrices(probability, v, out);
    return std::move(graph_);
  }

  CudnnGraph backward() {
    const TensorId q = query(AttentionTensor::q, a_.d_qk), out = query(AttentionTensor::out, a_.d_v);
    const TensorId k = transposed_key(AttentionTensor::k, a_.d_qk), v = transposed_key(AttentionTensor::v, a_.d_v);
    const TensorId dout = query(AttentionTensor::dout, a_.d_v), dq = query(AttentionTensor::dq, a_.d_qk);
    const TensorId dk = key(AttentionTensor::dk, a_.d_qk), dv = key(AttentionTensor::dv, a_.d_v);
    const TensorId statistics = graph_.input_or_output(uid(AttentionTensor::statistics), rows_, CUDNN_DATA_FLOAT);
    const TensorId row_sums = graph_.input_or_output(uid(AttentionTensor::row_sums), rows_, CUDNN_DATA_FLOAT);
    const TensorId dq_accumulator = graph_.input_or_output(uid(AttentionTensor::dq_accumulator),
                                                           {a_.batch, a_.heads_q, a_.seq_q, a_.d_qk}, CUDNN_DATA_FLOAT);
    const TensorId factor = scale(), one = graph_.scalar(uid(AttentionTensor::one));

    // D = rowsum(dout * out)
    const TensorId elements = of(CUDNN_POINTWISE_MUL, dout, out, {a_.batch, a_.heads_q, a_.seq_q, a_.d_v});
    graph_.pointwise(CUDNN_POINTWISE_MUL, reduced(CUDNN_REDUCE_TENSOR_ADD, elements), one, row_sums);
    // P = exp(scale q k^T - statistics); dv = P^T dout, summed over the query heads of a key head
    const TensorId shifted = of(CUDNN_POINTWISE_SUB, scaled(product(q, k, scores_), factor), statistics, scores_);
    const TensorId probability = of(CUDNN_POINTWISE_EXP, masked(shifted), scores_);
    sum_heads(transposed(probability), dout, a_.d_v, dv);
    // dS = scale P * (dout v^T - D); dk = dS^T q, dq = dS k
    const TensorId difference = of(CUDNN_POINTWISE_SUB, product(dout, v, scores_), row_sums, scores_);
    const TensorId dscores = scaled(of(CUDNN_POINTWISE_MUL, difference, probability, scores_), factor);
    sum_heads(transposed(dscores), q, a_.d_qk, dk);
    const TensorId plain_k = graph_.between({a_.batch, a_.heads_kv, a_.seq_kv, a_.d_qk}, CUDNN_DATA_FLOAT,
                                            strides_of(a_.heads_kv, a_.seq_kv, a_.d_qk));
    graph_.reshape(k, plain_k);
    graph_.multiply_matrices(dscores, plain_k, dq_accumulator);
    graph_.pointwise(CUDNN_POINTWISE_IDENTITY, dq_accumulator, dq);
    return std::move(graph_);
  }

 private:
  TensorId query(AttentionTensor which, std::int64_t width) {
    return graph_.input_or_output(uid(which), {a_.batch, a_.heads_q, a_.seq_q, width}, type_,
                                  strides_of(a_.heads_q, a_.seq_q, width));
  }
  TensorId key(AttentionTensor which, std::int64_t width) {
    return graph_.input_or_output(uid(which), {a_.batch, a_.heads_kv, a_.seq_kv, width}, type_,
                                  strides_of(a_.heads_kv, a_.seq_kv, width));
  }
  TensorId transposed_key(AttentionTensor which, std::int64_t width) {
    return graph_.input_or_output(uid(which), {a_.batch, a_.heads_kv, width, a_.seq_kv}, type_,
                                  transposed_strides(a_.heads_kv, a_.seq_kv, width));
  }
  TensorId scale() { return graph_.scalar(uid(AttentionTensor::scale)); }

  TensorId of(cudnnPointwiseMode_t mode, TensorId x, const Dimensions& size) {
    const TensorId y = graph_.between(size);
    graph_.pointwise(mode, x, y);
    return y;
  }
  TensorId of(cudnnPointwiseMode_t mode, TensorId x, TensorId b, const Dimensions& size) {
    const TensorId y = graph_.between(size);
    graph_.pointwise(mode, x, b, y);
    return y;
  }
  TensorId product(TensorId x, TensorId y, const Dimensions& size) {
    const TensorId result = graph_.between(size);
    graph_.multiply_matrices(x, y, result);
    return result;
  }
  TensorId scaled(TensorId scores, TensorId factor) { return of(CUDNN_POINTWISE_MUL, scores, factor, scores_); }
  TensorId reduced(cudnnReduceTensorOp_t how, TensorId scores) {
    const TensorId row = graph_.between(rows_);
    graph_.reduce(how, scores, row);
    return row;
  }

  /// Scores of keys after the query become `lowest`.
  TensorId masked(TensorId scores) {
    if (!a_.causal) return scores;
    const TensorId lowest = graph_.scalar(uid(AttentionTensor::lowest));
    const TensorId row = graph_.between(scores_, CUDNN_DATA_INT32), column = graph_.between(scores_, CUDNN_DATA_INT32);
    const TensorId seen = graph_.between(scores_, CUDNN_DATA_BOOLEAN), result = graph_.between(scores_);
    graph_.index_along(2, scores, row);
    graph_.index_along(3, scores, column);
    graph_.at_least(row, column, seen);
    graph_.select(seen, scores, lowest, result);
    return result;
  }

  TensorId transposed(TensorId scores) {
    const Dimensions size = {a_.batch, a_.heads_q, a_.seq_kv, a_.seq_q};
    const Dimensions strides = {a_.heads_q * a_.seq_q * a_.seq_kv, a_.seq_q * a_.seq_kv, 1, a_.seq_kv};
    const TensorId result = graph_.between(size, type_, strides);
    graph_.reshape(scores, result);
    return result;
  }

  /// gradient [batch, heads_kv, seq_kv, width] = scores^T rows, summed over the query heads that share a key head.
  void sum_heads(TensorId transposed_scores, TensorId rows, std::int64_t width, TensorId gradient) {
    if (a_.heads_q == a_.heads_kv) {
      graph_.multiply_matrices(transposed_scores, rows, gradient);
      return;
    }
    const TensorId heads = graph_.between({a_.batch, a_.heads_q, a_.seq_kv, width}, type_);
    graph_.multiply_matrices(transposed_scores, rows, heads);
    graph_.reduce(CUDNN_REDUCE_TENSOR_ADD, heads, gradient);
  }

  const Attention& a_;
  cudnnDataType_t type_;
  Dimensions scores_, rows_;
  CudnnGraph graph_;
};

void refuse(const Attention& attention, const std::string& why) { throw SpecError(text_of(attention), why); }

}  // namespace

std::string text_of(const Attention& a) {
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  const std::string sequence = a.seq_q == a.seq_kv ? number(a.seq_q) : number(a.seq_q) + "/" + number(a.seq_kv);
  const std::string width = a.d_qk == a.d_v ? number(a.d_qk) : number(a.d_qk) + "/" + number(a.d_v);
  return "attention " + number(a.batch) + "x" + sequence + "x" + number(a.heads_q) + "/" + number(a.heads_kv) + "x" +
         width + " " + std::string(kDTypeNames[static_cast<std::size_t>(a.dtype)]) + (a.causal ? " causal" : "") +
         (a.backward ? " backward" : "");
}

CudnnGraph attention_graph(const Attention& a) {
  if (a.dtype != DType::bf16 && a.dtype != DType::fp16) refuse(a, "runs in bf16 and fp16 only");
  if (a.batch < 1 || a.seq_q < 1 || a.seq_kv < 1 || a.heads_kv < 1 || a.d_qk < 1 || a.d_v < 1) refuse(a, "is empty");
  if (a.heads_q < 1 || a.heads_q % a.heads_kv != 0) refuse(a, "needs query heads that key heads divide");
  if (a.causal && a.seq_q != a.seq_kv) refuse(a, "has a causal mask, which needs as many queries as keys");
  Builder builder(a);
  return a.backward ? builder.backward() : builder.forward();
}

namespace {

Descriptor heuristics_of(const Descriptor& graph, const Descriptor* device) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  heuristics.set_descriptor(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
#if CUDNN_VERSION >= 91100
  if (device != nullptr) heuristics.set_descriptor(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
#else
  if (device != nullptr) throw MachineError("cuDNN " + cudnn_version() + " cannot describe a device; 9.11 can");
#endif
  heuristics.finalise();
  return heuristics;
}

std::int64_t results_of(const Descriptor& heuristics, std::vector<cudnnBackendDescriptor_t>& into) {
  std::int64_t count = 0;
  check_cudnn(
      cudnnBackendGetAttribute(heuristics.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                               static_cast<std::int64_t>(into.size()), &count, into.empty() ? nullptr : into.data()),
      "cudnnBackendGetAttribute(results of heuristics)");
  return count;
}

}  // namespace

std::int64_t count_engines(const Descriptor& graph, const Descriptor* device) {
  std::vector<cudnnBackendDescriptor_t> none;
  return results_of(heuristics_of(graph, device), none);
}

std::vector<Descriptor> engine_configurations(const Descriptor& graph, const Descriptor* device) {
  const Descriptor heuristics = heuristics_of(graph, device);
  std::vector<cudnnBackendDescriptor_t> raw;
  const std::int64_t most = results_of(heuristics, raw);
  std::vector<Descriptor> found;
  for (std::int64_t i = 0; i < most; ++i) {
    found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    raw.push_back(found.back().raw());
  }
  const std::int64_t count = most == 0 ? 0 : results_of(heuristics, raw);
  while (static_cast<std::int64_t>(found.size()) > count) found.pop_back();
  return found;
}

Descriptor described_device(const std::string& json) {
#if CUDNN_VERSION >= 91100
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set_text(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, json);
  device.finalise();
  return device;
#else
  throw MachineError("cuDNN " + cudnn_version() + " cannot describe a device; 9.11 can" + json.substr(0, 0));
#endif
}

}  // namespace foretrain::gpu
