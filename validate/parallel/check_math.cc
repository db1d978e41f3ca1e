#include "validate/parallel/check_math.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "validate/parallel/layer_bench.h"

namespace foretrain::parallel {
namespace {

// Odd sizes, so that no operation can rely on round ones.
constexpr std::int64_t kRows = 7;
constexpr std::int64_t kColumns = 10;
constexpr std::int64_t kInner = 13;

/// A matrix of the reference and the same numbers in the Math.
class Bench {
 public:
  explicit Bench(const CheckRun& run) : run_(run) {}

  Matrix random(std::int64_t rows, std::int64_t columns, double width = 1) {
    return random_matrices(1, rows, columns, width, ++seed_).front();
  }
  Tensor upload(const Matrix& matrix) const {
    const std::vector<float> floats(matrix.values.begin(), matrix.values.end());
    return run_.math.upload(matrix.rows, matrix.columns, floats);
  }
  void compare(const std::string& what, const Tensor& got, const Matrix& wanted, std::int64_t roundings) const {
    run_.difference.compare(what, run_.math.download(got), wanted.values, rounding_tolerance(roundings));
  }

 private:
  const CheckRun& run_;
  std::uint64_t seed_ = 1000;
};

Matrix transposed(const Matrix& a) {
  Matrix t(a.columns, a.rows);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < a.columns; ++c) t(c, r) = a(r, c);
  }
  return t;
}

void check_multiply(const CheckRun& run) {
  Bench bench(run);
  const Matrix a = bench.random(kRows, kInner);
  const Matrix b = bench.random(kColumns, kInner);
  const Matrix start = bench.random(kRows, kColumns);
  const Matrix product = reference_linear(a, b, nullptr);  // a b^T
  const Tensor c = bench.upload(start);
  run.math.multiply(Product::nt, bench.upload(a), bench.upload(b), false, c);
  bench.compare("nt", c, product, kInner);
  run.math.multiply(Product::nn, bench.upload(a), bench.upload(transposed(b)), false, c);
  bench.compare("nn", c, product, kInner);
  run.math.multiply(Product::tn, bench.upload(transposed(a)), bench.upload(transposed(b)), false, c);
  bench.compare("tn", c, product, kInner);
  for (const Product kind : {Product::nt, Product::nn, Product::tn}) {
    const Tensor sum = bench.upload(start);
    run.math.multiply(kind, bench.upload(kind == Product::tn ? transposed(a) : a),
                      bench.upload(kind == Product::nt ? b : transposed(b)), true, sum);
    bench.compare("accumulating product", sum, start + product, kInner + 1);
  }
}

void check_elements(const CheckRun& run) {
  Bench bench(run);
  const Matrix x = bench.random(kRows, kColumns);
  const Matrix y = bench.random(kRows, kColumns);
  const Matrix row = bench.random(1, kColumns);
  Matrix wanted = y;
  for (std::size_t i = 0; i < wanted.values.size(); ++i) wanted.values[i] += 0.5 * x.values[i];
  const Tensor sum = bench.upload(y);
  run.math.add(bench.upload(x), 0.5F, sum);
  bench.compare("add", sum, wanted, 2);

  Matrix with_row = x;
  Matrix total = row;
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kColumns; ++c) {
      with_row(r, c) += row(0, c);
      total(0, c) += x(r, c);
    }
  }
  const Tensor x_row = bench.upload(x);
  run.math.add_row(bench.upload(row), x_row);
  bench.compare("add_row", x_row, with_row, 1);
  const Tensor summed = bench.upload(row);
  run.math.sum_rows(bench.upload(x), summed);
  bench.compare("sum_rows", summed, total, kRows);

  const Tensor copied = run.math.zeros(kRows, kColumns);
  bench.compare("zeros", copied, Matrix(kRows, kColumns), 1);
  run.math.copy(bench.upload(x), copied);
  bench.compare("copy", copied, x, 1);
  run.math.fill(0.25F, copied);
  Matrix quarter(kRows, kColumns);
  for (double& value : quarter.values) value = 0.25;
  bench.compare("fill", copied, quarter, 1);
}

void check_norm(NormKind kind, const CheckRun& run) {
  Bench bench(run);
  const bool layer = kind == NormKind::layer;
  const Matrix x = bench.random(kRows, kColumns);
  const Matrix weight = bench.random(1, kColumns);
  const Matrix bias = bench.random(1, kColumns);
  const Matrix dy = bench.random(kRows, kColumns);
  Matrix dweight = bench.random(1, kColumns);
  Matrix dbias = bench.random(1, kColumns);
  const Tensor dweight_sum = bench.upload(dweight);  // both sides add to the same numbers
  const Tensor dbias_sum = bench.upload(dbias);
  const Tensor y = run.math.norm(kind, bench.upload(x), bench.upload(weight), layer ? bench.upload(bias) : Tensor());
  bench.compare("norm", y, reference_norm(x, weight, layer ? &bias : nullptr), 3 * kColumns);
  const Tensor dx = run.math.norm_backward(kind, bench.upload(x), bench.upload(weight), bench.upload(dy), dweight_sum,
                                           layer ? dbias_sum : Tensor());
  bench.compare("norm dx", dx, reference_norm_backward(x, weight, dy, dweight, layer ? &dbias : nullptr), 6 * kColumns);
  bench.compare("norm dweight", dweight_sum, dweight, 3 * kColumns + kRows);
  bench.compare("norm dbias", dbias_sum, dbias, kRows);
}

void check_activations(const CheckRun& run) {
  Bench bench(run);
  const Matrix gate = bench.random(kRows, kColumns, 4);
  const Matrix up = bench.random(kRows, kColumns, 4);
  const Matrix dy = bench.random(kRows, kColumns);
  constexpr std::int64_t kRoundings = 30;  // a tanh or exponential and a dozen operations
  bench.compare("gelu", run.math.gelu(bench.upload(up)), reference_activation(nullptr, up), kRoundings);
  Matrix dgate(kRows, kColumns);
  Matrix dup(kRows, kColumns);
  reference_activation_backward(nullptr, up, dy, nullptr, dup);
  bench.compare("gelu dx", run.math.gelu_backward(bench.upload(up), bench.upload(dy)), dup, kRoundings);
  bench.compare("swiglu", run.math.swiglu(bench.upload(gate), bench.upload(up)), reference_activation(&gate, up),
                kRoundings);
  reference_activation_backward(&gate, up, dy, &dgate, dup);
  const Tensor dgate_got = run.math.zeros(kRows, kColumns);
  const Tensor dup_got = run.math.zeros(kRows, kColumns);
  run.math.swiglu_backward(bench.upload(gate), bench.upload(up), bench.upload(dy), dgate_got, dup_got);
  bench.compare("swiglu dgate", dgate_got, dgate, kRoundings);
  bench.compare("swiglu dup", dup_got, dup, kRoundings);
}

void check_rotate(const CheckRun& run) {
  Bench bench(run);
  constexpr std::int64_t kHeadDim = 4;
  const Matrix x = bench.random(kRows, 3 * kHeadDim);
  std::vector<int> positions(kRows);
  std::iota(positions.begin(), positions.end(), 0);
  const Tensor turned = bench.upload(x);
  run.math.rotate(Rotation::forward, 1, kHeadDim, positions, turned);
  bench.compare("rotate", turned, reference_rotate(x, kHeadDim, 1), 10);
  run.math.rotate(Rotation::inverse, 1, kHeadDim, positions, turned);
  bench.compare("rotate and back", turned, x, 20);
}

/// Attention over all keys at once, then over two blocks of keys that are merged; and backward over the two blocks.
void check_attention(const CheckRun& run) {
  Bench bench(run);
  constexpr std::int64_t kHeads = 4;
  constexpr std::int64_t kKvHeads = 2;
  constexpr std::int64_t kHeadDim = 5;
  constexpr std::int64_t kSplit = 4;  // keys 0 .. 3, then 4 .. 6, which the first queries do not see
  constexpr float kDrop = 0.3F;
  const Draw draw{99, 7};
  const Matrix q = bench.random(kRows, kHeads * kHeadDim);
  const Matrix k = bench.random(kRows, kKvHeads * kHeadDim);
  const Matrix v = bench.random(kRows, kKvHeads * kHeadDim);
  const Matrix dout = bench.random(kRows, kHeads * kHeadDim);
  const ReferenceAttention options{kHeads, kKvHeads, [&](std::int64_t head, std::int64_t query, std::int64_t key) {
                                     const auto element =
                                         static_cast<std::uint64_t>((head * kRows + query) * kRows + key);
                                     return uniform(draw, element) < kDrop ? 0 : 1 / (1 - double{kDrop});
                                   }};
  const Matrix out = reference_attention(options, q, k, v);
  Matrix dq(kRows, q.columns);
  Matrix dk(kRows, k.columns);
  Matrix dv(kRows, v.columns);
  reference_attention_backward(options, q, k, v, dout, dq, dk, dv);

  std::vector<int> positions(kRows);
  std::iota(positions.begin(), positions.end(), 0);
  const AttentionBlock whole{.batch = 1,
                             .heads = kHeads,
                             .kv_heads = kKvHeads,
                             .head_dim = kHeadDim,
                             .query_positions = positions,
                             .key_positions = positions,
                             .sequence = kRows,
                             .drop = kDrop,
                             .draw = draw};
  AttentionBlock early = whole;
  early.key_positions = std::span(positions).first(kSplit);
  AttentionBlock late = whole;
  late.key_positions = std::span(positions).subspan(kSplit);
  const Tensor tq = bench.upload(q);
  const Tensor tk = bench.upload(k);
  const Tensor tv = bench.upload(v);
  const auto part = [&](const Tensor& x, bool first) {
    return first ? x.view(0, kSplit, x.columns()) : x.view(kSplit * x.columns(), kRows - kSplit, x.columns());
  };
  constexpr std::int64_t kRoundings = 3 * (kHeadDim + kRows) + 20;
  bench.compare("attention", run.math.attention(whole, tq, tk, tv).out, out, kRoundings);
  AttentionResult merged = run.math.attention(late, tq, part(tk, false), part(tv, false));
  run.math.merge_attention(whole, run.math.attention(early, tq, part(tk, true), part(tv, true)), merged);
  bench.compare("attention over two blocks", merged.out, out, kRoundings);

  const Tensor gq = run.math.zeros(kRows, q.columns);
  const Tensor gk = run.math.zeros(kRows, k.columns);
  const Tensor gv = run.math.zeros(kRows, v.columns);
  const Tensor gout = bench.upload(dout);
  run.math.attention_backward(early, tq, part(tk, true), part(tv, true), merged, gout, gq, part(gk, true),
                              part(gv, true));
  run.math.attention_backward(late, tq, part(tk, false), part(tv, false), merged, gout, gq, part(gk, false),
                              part(gv, false));
  bench.compare("attention dq", gq, dq, 2 * kRoundings);
  bench.compare("attention dk", gk, dk, 2 * kRoundings);
  bench.compare("attention dv", gv, dv, 2 * kRoundings);
}

void check_dropout(const CheckRun& run) {
  Bench bench(run);
  const Draw draw{5, (std::uint64_t{1} << 40) + 3};  // a call number beyond 32 bits
  const Matrix x = bench.random(kRows, kColumns);
  Matrix wanted = x;
  for (std::size_t i = 0; i < wanted.values.size(); ++i)
    wanted.values[i] *= uniform(draw, i) < 0.4F ? 0 : 1 / (1 - double{0.4F});
  const Tensor dropped = bench.upload(x);
  run.math.dropout(0.4F, draw, dropped);
  bench.compare("dropout", dropped, wanted, 2);
}

void check_lookup(const CheckRun& run) {
  Bench bench(run);
  const std::vector<int> ids = {3,  9, 5, 5,
                                12, 2, 7};  // the table has rows 3 .. 9; 12 and 2 lie outside, 5 comes twice
  const Matrix table = bench.random(7, kColumns);
  const Matrix dy = bench.random(kRows, kColumns);
  Matrix wanted(kRows, kColumns);
  Matrix dtable = bench.random(7, kColumns);
  const Tensor dtable_sum = bench.upload(dtable);
  for (std::int64_t r = 0; r < kRows; ++r) {
    const int row = ids[static_cast<std::size_t>(r)] - 3;
    for (std::int64_t c = 0; c < kColumns && row >= 0 && row < 7; ++c) {
      wanted(r, c) = table(row, c);
      dtable(row, c) += dy(r, c);
    }
  }
  bench.compare("lookup", run.math.lookup(bench.upload(table), ids, 3), wanted, 1);
  run.math.lookup_backward(bench.upload(dy), ids, 3, dtable_sum);
  bench.compare("lookup dtable", dtable_sum, dtable, 3);
}

void check_softmax(const CheckRun& run) {
  Bench bench(run);
  const Matrix logits = bench.random(kRows, kColumns, 5);
  const std::vector<int> targets = {20, 29, 24, 25,
                                    21, 30, 19};  // columns are tokens 20 .. 29; the last two are elsewhere
  Matrix max(kRows, 1);
  Matrix sums(kRows, 2);
  Matrix dlogits(kRows, kColumns);
  for (std::int64_t r = 0; r < kRows; ++r) {
    max(r, 0) = logits(r, 0);
    for (std::int64_t c = 1; c < kColumns; ++c) max(r, 0) = std::max(max(r, 0), logits(r, c));
    for (std::int64_t c = 0; c < kColumns; ++c) sums(r, 0) += std::exp(logits(r, c) - max(r, 0));
    const int target = targets[static_cast<std::size_t>(r)] - 20;
    if (target >= 0 && target < kColumns) sums(r, 1) = logits(r, target) - max(r, 0);
    for (std::int64_t c = 0; c < kColumns; ++c)
      dlogits(r, c) = 0.5 * (std::exp(logits(r, c) - max(r, 0)) / sums(r, 0) - (c == target ? 1 : 0));
  }
  const Tensor x = bench.upload(logits);
  const Tensor got_max = run.math.row_max(x);
  bench.compare("row_max", got_max, max, 1);
  const Tensor got_sums = run.math.softmax_sums(x, got_max, targets, 20);
  bench.compare("softmax_sums", got_sums, sums, kColumns + 10);
  bench.compare("cross_entropy_backward", run.math.cross_entropy_backward(x, got_max, got_sums, targets, 20, 0.5F),
                dlogits, kColumns + 20);
}

void check_columns(const CheckRun& run) {
  Bench bench(run);
  const Matrix x = bench.random(kRows, 12);
  Matrix apart(3 * kRows, 4);
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < 12; ++c) apart(c / 4 * kRows + r, c % 4) = x(r, c);
  }
  const Tensor split = run.math.split_columns(bench.upload(x), 3);
  bench.compare("split_columns", split, apart, 1);
  bench.compare("join_columns", run.math.join_columns(split, 3), x, 1);
}

/// Two steps from given moments, each term of the formula on its own.
void check_adam(const CheckRun& run) {
  Bench bench(run);
  const AdamOptions options{.learning_rate = 0.01F, .epsilon = 1e-3F, .weight_decay = 0.1F};
  Matrix weight = bench.random(1, kColumns);
  Matrix mean(1, kColumns);
  Matrix square(1, kColumns);
  const Tensor got_weight = bench.upload(weight);
  const Tensor got_mean = bench.upload(mean);
  const Tensor got_square = bench.upload(square);
  for (int step = 1; step <= 2; ++step) {
    const Matrix gradient = bench.random(1, kColumns);
    for (std::int64_t i = 0; i < kColumns; ++i) {
      const double b1 = double{options.beta1};
      const double b2 = double{options.beta2};
      mean(0, i) = b1 * mean(0, i) + (1 - b1) * gradient(0, i);
      square(0, i) = b2 * square(0, i) + (1 - b2) * gradient(0, i) * gradient(0, i);
      const double m = mean(0, i) / (1 - std::pow(b1, step));
      const double v = square(0, i) / (1 - std::pow(b2, step));
      weight(0, i) -= double{options.learning_rate} *
                      (m / (std::sqrt(v) + double{options.epsilon}) + double{options.weight_decay} * weight(0, i));
    }
    run.math.adam(options, step, bench.upload(gradient), got_mean, got_square, got_weight);
  }
  bench.compare("adam weight", got_weight, weight, 20);
  bench.compare("adam mean", got_mean, mean, 20);
  bench.compare("adam square", got_square, square, 20);
}

}  // namespace

std::vector<Check> math_checks() {
  std::vector<Check> all;
  const auto add = [&](const std::string& name, std::function<void(const CheckRun&)> body) {
    all.push_back({"operation: " + name, 1, std::move(body), {}});
  };
  add("matrix products", check_multiply);
  add("sums and copies", check_elements);
  add("LayerNorm", [](const CheckRun& run) { check_norm(NormKind::layer, run); });
  add("RMSNorm", [](const CheckRun& run) { check_norm(NormKind::rms, run); });
  add("GeLU and SwiGLU", check_activations);
  add("RoPE", check_rotate);
  add("attention, whole and in blocks", check_attention);
  add("dropout", check_dropout);
  add("embedding rows", check_lookup);
  add("softmax and its loss", check_softmax);
  add("columns split and joined", check_columns);
  add("Adam", check_adam);
  return all;
}

}  // namespace foretrain::parallel
