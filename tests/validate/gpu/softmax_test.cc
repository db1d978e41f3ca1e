#include "validate/gpu/kernels/softmax.h"

#include "tests/validate/gpu/device_values.h"
#include "validate/gpu/kernels/cross_entropy.h"
#include "validate/reference/cross_entropy.h"
#include "validate/reference/softmax.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

constexpr double kSize = 8;

/// An exponential of numbers up to 2 * 8 * 1.5 (24 roundings of the exponent), a sum of `cols` of them, a division.
double softmax_steps(std::int64_t cols) { return 64 + static_cast<double>(cols) / 32; }

}  // namespace

TEST_CASE("Softmax, plain and causal, forward and backward") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : test_shapes()) {
      const std::int64_t rows = size.rows, cols = size.cols;
      for (const bool causal : {false, true}) {
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(causal);
        const std::int64_t queries = 5;
        const reference::SoftmaxShape shape{
            .rows = rows, .cols = cols, .scale = 1.5, .causal = causal, .queries = queries};
        const Values x = random_in(storage, rows * cols, 1, kSize), dy = random_in(storage, rows * cols, 2);
        const Tensor device_x(x, storage), device_dy(dy, storage), y(rows * cols, storage), dx(rows * cols, storage);
        require_success(
            softmax_forward({device_x.pointer(), y.pointer(), rows, cols, 1.5F, causal, queries, storage}, nullptr));
        const Values got = y.values();
        check_close(got, reference::softmax(shape, x), storage, softmax_steps(cols), 1);
        require_success(softmax_backward(
            {y.pointer(), device_dy.pointer(), dx.pointer(), rows, cols, 1.5F, causal, queries, storage}, nullptr));
        check_close(dx.values(), reference::softmax_backward(shape, got, dy), storage, softmax_steps(cols), 2);
      }
    }
  }
}

TEST_CASE("Softmax in place, and of a row of equal large numbers") {
  const Tensor x(Values(96, 30000.0), Storage::fp16);
  require_success(softmax_forward({x.pointer(), x.pointer(), 3, 32, 1, false, 1, Storage::fp16}, nullptr));
  for (const double p : x.values()) CHECK(p == 1.0 / 32);
}

TEST_CASE("Cross-entropy over one rank and over two that share the vocabulary") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : test_shapes()) {
      const std::int64_t rows = size.rows, cols = size.cols;
      for (const int ranks : {1, 2}) {
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(ranks);
        const std::vector<std::int64_t> targets = reference::random_indices(rows, ranks * cols, 5);
        const Values dloss = random_in(Storage::fp32, rows, 6);
        const DeviceArray<std::int64_t> device_targets(targets);
        const Tensor device_dloss(dloss, Storage::fp32), loss(rows, Storage::fp32);
        std::vector<Values> logits;
        std::vector<Tensor> device_logits, largest, sum_exp, target_logit;
        reference::CrossEntropyStatistics whole;
        Values largest_of_all(static_cast<std::size_t>(rows), -1e30), sum_of_all(largest_of_all.size()),
            target_of_all(largest_of_all.size());
        for (int rank = 0; rank < ranks; ++rank) {
          logits.push_back(random_in(storage, rows * cols, static_cast<std::uint64_t>(10 + rank), kSize));
          device_logits.emplace_back(logits.back(), storage);
          for (auto* statistic : {&largest, &sum_exp, &target_logit}) statistic->emplace_back(rows, Storage::fp32);
          require_success(cross_entropy_statistics(
              {device_logits.back().pointer(), device_targets.pointer(), largest.back().floats(),
               sum_exp.back().floats(), target_logit.back().floats(), rows, cols, rank * cols, storage},
              nullptr));
          const reference::CrossEntropyShape shape{.rows = rows, .vocabulary = cols, .first_token = rank * cols};
          const auto share = reference::cross_entropy_statistics(shape, logits.back(), targets);
          whole = rank == 0 ? share : reference::merge(whole, share);
          const Values found = largest.back().values();
          for (std::size_t r = 0; r < found.size(); ++r) largest_of_all[r] = std::fmax(largest_of_all[r], found[r]);
        }
        const Tensor device_largest(largest_of_all, Storage::fp32);
        for (std::size_t rank = 0; rank < logits.size(); ++rank) {  // what the all-reduces would do
          require_success(cross_entropy_rescale(
              {largest[rank].floats(), device_largest.floats(), sum_exp[rank].floats(), rows}, nullptr));
          const Values sum = sum_exp[rank].values(), target = target_logit[rank].values();
          for (std::size_t r = 0; r < sum.size(); ++r) {
            sum_of_all[r] += sum[r];
            target_of_all[r] += target[r];
          }
        }
        const Tensor device_sum(sum_of_all, Storage::fp32), device_target(target_of_all, Storage::fp32);
        require_success(cross_entropy_loss(
            {device_largest.floats(), device_sum.floats(), device_target.floats(), loss.floats(), rows}, nullptr));
        check_close(loss.values(), reference::cross_entropy_loss(whole), Storage::fp32, softmax_steps(cols), 2 * kSize);
        for (std::size_t rank = 0; rank < logits.size(); ++rank) {
          const std::int64_t first = static_cast<std::int64_t>(rank) * cols;
          require_success(cross_entropy_backward(
              {device_logits[rank].pointer(), device_targets.pointer(), device_largest.floats(), device_sum.floats(),
               device_dloss.floats(), device_logits[rank].pointer(), rows, cols, first, storage},
              nullptr));
          const reference::CrossEntropyShape shape{.rows = rows, .vocabulary = cols, .first_token = first};
          check_close(device_logits[rank].values(),
                      reference::cross_entropy_backward(shape, logits[rank], targets, whole, dloss), storage,
                      softmax_steps(cols), 1);
        }
      }
    }
  }
}
