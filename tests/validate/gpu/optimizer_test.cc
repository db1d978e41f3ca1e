#include "validate/gpu/kernels/optimizer.h"

#include <limits>

#include "tests/validate/gpu/device_values.h"
#include "validate/reference/adam.h"

using namespace foretrain;
using namespace foretrain::gpu;

TEST_CASE("Adam: moments, master weights and the model's copy, with scaled gradients in either format") {
  for (const Storage storage : {Storage::bf16, Storage::fp16}) {
    for (const Storage gradient_storage : {Storage::fp32, storage}) {
      for (const std::int64_t count : {1, 5, 1024, 1027, 5000}) {
        for (const std::int64_t step : {1, 1000}) {
          const Values gradient = random_in(gradient_storage, count, 1);
          Values second = random_in(Storage::fp32, count, 4);
          for (double& v : second) v = reference::rounded(v * v, reference::kFp32);
          const reference::AdamState state{.weight = random_in(Storage::fp32, count, 2),
                                           .first_moment = random_in(Storage::fp32, count, 3),
                                           .second_moment = second};
          const Tensor device_gradient(gradient, gradient_storage), master(state.weight, Storage::fp32);
          const Tensor first(state.first_moment, Storage::fp32), squares(second, Storage::fp32);
          const Tensor weight(count, storage), clip(Values{0.5}, Storage::fp32);
          const Adam arguments{.gradient = device_gradient.pointer(),
                               .master = master.floats(),
                               .first_moment = first.floats(),
                               .second_moment = squares.floats(),
                               .weight = weight.pointer(),
                               .count = count,
                               .gradient_storage = gradient_storage,
                               .weight_storage = storage,
                               .learning_rate = 1e-3F,
                               .beta_1 = 0.9F,
                               .beta_2 = 0.95F,
                               .epsilon = 1e-8F,
                               .weight_decay = 0.1F,
                               .step = step,
                               .gradient_scale = 0.25F,
                               .device_scale = clip.floats()};
          require_success(adam(arguments, nullptr));
          const reference::AdamStep how{.learning_rate = 1e-3F,
                                        .beta_1 = 0.9F,
                                        .beta_2 = 0.95F,
                                        .epsilon = 1e-8F,
                                        .weight_decay = 0.1F,
                                        .step = step,
                                        .gradient_scale = 0.125};
          const reference::AdamState want = reference::adam(how, state, gradient);
          check_close(first.values(), want.first_moment, Storage::fp32, 4, 1);
          check_close(squares.values(), want.second_moment, Storage::fp32, 4, 1);
          // The step is learning_rate times a quotient that v near 0 makes large; 24 roundings of it, and two of w.
          double largest = 1;
          for (std::size_t i = 0; i < want.weight.size(); ++i) {
            largest = std::fmax(largest, 1 + 1e-3 * std::fabs(want.weight[i] - state.weight[i]) * 1e3 * 24);
          }
          check_close(master.values(), want.weight, Storage::fp32, 2, largest);
          const Values rounded_master = master.values(), copy = weight.values();
          for (std::size_t i = 0; i < copy.size(); ++i) {
            REQUIRE(copy[i] == reference::rounded(rounded_master[i], format_of(storage)));
          }
        }
      }
    }
  }
  CHECK(adam({.count = 8, .step = 0}, nullptr) == cudaErrorInvalidValue);
}

TEST_CASE("The gradient norm and the clipping coefficient that follows") {
  for (const Storage storage : kStorages) {
    for (const std::int64_t count : {1, 3, 8, 100'003, kOnGpu ? 30'000'001 : 100'008}) {
      const Values x = random_in(storage, count, 1);
      const Tensor device_x(x, storage), sum(1, Storage::fp32), coefficient(1, Storage::fp32);
      const Device workspace(kSumOfSquaresWorkspace * 4);
      require_success(
          sum_of_squares({device_x.pointer(), sum.floats(), workspace.as<float>(), count, storage}, nullptr));
      const double want = reference::sum_of_squares(x);
      // 256 x 1024 threads, each with count / 2^18 terms, then 1024 partial sums of 32 warps: under 100 roundings.
      check_close(sum.values(), {want}, Storage::fp32, 100 + static_cast<double>(count) / 0x1p18, want);
      require_success(clip_coefficient({sum.floats(), coefficient.floats(), 0.5F}, nullptr));
      check_close(coefficient.values(), {std::fmin(1, 0.5 / (std::sqrt(want) + 1e-6))}, Storage::fp32, 200, 1);
    }
  }
  Values broken(1000, 1.0);
  broken[777] = std::numeric_limits<double>::quiet_NaN();
  const Tensor device_x(broken, Storage::bf16), sum(1, Storage::fp32);
  const Device workspace(kSumOfSquaresWorkspace * 4);
  require_success(
      sum_of_squares({device_x.pointer(), sum.floats(), workspace.as<float>(), 1000, Storage::bf16}, nullptr));
  CHECK(std::isnan(sum.values()[0]));
}
