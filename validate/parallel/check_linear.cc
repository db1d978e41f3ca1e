#include <utility>

#include "validate/parallel/check_layers.h"
#include "validate/parallel/layer_bench.h"
#include "validate/parallel/linear.h"
#include "validate/parallel/tensor_region.h"

namespace foretrain::parallel {
namespace {

SmallModel model_for_linear() { return {.family = Family::gpt, .layers = 1, .heads = 4, .kv_heads = 4}; }

ParallelPlan plan_for(int tensor) { return {.tensor = tensor, .micro_batch = 2}; }

/// The columns of each matrix that a tensor rank holds.
std::vector<Matrix> column_piece(const std::vector<Matrix>& whole, const LayerBench& bench) {
  const std::int64_t ranks = bench.rank().plan.tensor;
  std::vector<Matrix> pieces;
  for (const Matrix& matrix : whole) {
    Matrix piece(matrix.rows, matrix.columns / ranks);
    for (std::int64_t r = 0; r < piece.rows; ++r) {
      for (std::int64_t c = 0; c < piece.columns; ++c)
        piece(r, c) = matrix(r, bench.rank().mesh.place.tensor * piece.columns + c);
    }
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

/// The unsharded layer "up" or "down" of a ReferenceModel's first layer, and a matrix of gradients for each parameter.
struct ReferenceLinear {
  explicit ReferenceLinear(const SmallModel& model, const std::string& layer_name)
      : name("layer 0/" + layer_name), weights(ReferenceModel(model, initial_weights(model, 1)).weights()) {
    for (const auto& entry : weights) gradients[entry.first] = Matrix(entry.second.rows, entry.second.columns);
  }
  Matrix forward(const Matrix& x) const {
    return reference_linear(x, weights.at(name + " weight"), &weights.at(name + " bias"));
  }
  Matrix backward(const Matrix& x, const Matrix& dy) {
    return reference_linear_backward(x, weights.at(name + " weight"), dy, gradients.at(name + " weight"),
                                     &gradients.at(name + " bias"));
  }
  std::string name;
  ReferenceWeights weights;
  ReferenceWeights gradients;
};

struct Wanted {
  std::vector<Matrix> y;
  std::vector<Matrix> dx;
};

Wanted wanted_of(ReferenceLinear& reference, const std::vector<Matrix>& x, const std::vector<Matrix>& dy) {
  Wanted wanted;
  for (std::size_t s = 0; s < x.size(); ++s) {
    wanted.y.push_back(reference.forward(x[s]));
    wanted.dx.push_back(reference.backward(x[s], dy[s]));
  }
  return wanted;
}

void run_column(const SmallModel& model, const ParallelPlan& plan, const CheckRun& run) {
  LayerBench bench(model, plan, "layer 0", run);
  Math& math = run.math;
  const std::vector<Matrix> x = random_matrices(plan.micro_batch, model.sequence, model.hidden, 1, 61);
  const std::vector<Matrix> dy = random_matrices(plan.micro_batch, model.sequence, model.ffn_hidden, 1, 62);
  const Parameter& weight = bench.unit()["up weight"];
  const Parameter* const bias = bench.unit().find("up bias");
  const Tensor x_rows = bench.upload_rows(x, true);
  const Tensor y = linear(math, enter_region(bench.rank(), x_rows, "column"), weight, bias);
  bench.require_calls(bench.tensor(), Operation::all_reduce, 0, "after forward");
  const Tensor dx = math.zeros(x_rows.rows(), x_rows.columns());
  linear_backward(math, x_rows, weight, bias, bench.upload_rows(column_piece(dy, bench), true), dx);
  const Tensor dx_sum = enter_region_backward(bench.rank(), dx, "column");
  bench.require_calls(bench.tensor(), Operation::all_reduce, 1, "after backward");

  ReferenceLinear reference(model, "up");
  const Wanted wanted = wanted_of(reference, x, dy);
  bench.compare_rows("column-parallel output", y, column_piece(wanted.y, bench), true);
  bench.compare_rows("column-parallel input gradient", dx_sum, wanted.dx, true);
  bench.compare_gradients(reference.gradients);
}

void run_row(const SmallModel& model, const ParallelPlan& plan, const CheckRun& run) {
  LayerBench bench(model, plan, "layer 0", run);
  Math& math = run.math;
  const std::vector<Matrix> x = random_matrices(plan.micro_batch, model.sequence, model.ffn_hidden, 1, 71);
  const std::vector<Matrix> dy = random_matrices(plan.micro_batch, model.sequence, model.hidden, 1, 72);
  const Parameter& weight = bench.unit()["down weight"];
  const Parameter& bias = bench.unit()["down bias"];
  const Tensor x_rows = bench.upload_rows(column_piece(x, bench), true);
  const Tensor y = leave_region(bench.rank(), linear(math, x_rows, weight, nullptr), "row");
  math.add_row(bias.value, y);
  bench.require_calls(bench.tensor(), Operation::all_reduce, 1, "after forward");
  const Tensor dy_rows = leave_region_backward(bench.rank(), bench.upload_rows(dy, true), "row");
  const Tensor dx = math.zeros(x_rows.rows(), x_rows.columns());
  linear_backward(math, x_rows, weight, nullptr, dy_rows, dx);
  math.sum_rows(dy_rows, bias.gradient);
  bench.require_calls(bench.tensor(), Operation::all_reduce, 1, "after backward");

  ReferenceLinear reference(model, "down");
  const Wanted wanted = wanted_of(reference, x, dy);
  bench.compare_rows("row-parallel output", y, wanted.y, true);
  bench.compare_rows("row-parallel input gradient", dx, column_piece(wanted.dx, bench), true);
  bench.compare_gradients(reference.gradients);
}

}  // namespace

Check column_linear_check(std::string name, int tensor, std::vector<Fault> faults) {
  return {std::move(name), tensor,
          [tensor](const CheckRun& run) { run_column(model_for_linear(), plan_for(tensor), run); }, std::move(faults)};
}

Check row_linear_check(std::string name, int tensor, std::vector<Fault> faults) {
  return {std::move(name), tensor,
          [tensor](const CheckRun& run) { run_row(model_for_linear(), plan_for(tensor), run); }, std::move(faults)};
}

}  // namespace foretrain::parallel
