#include "validate/gpu/kernels/activation.h"

#include "tests/validate/gpu/device_values.h"
#include "validate/gpu/kernels/column_sums.h"
#include "validate/gpu/kernels/dropout.h"
#include "validate/reference/activation.h"
#include "validate/reference/dropout.h"
#include "validate/reference/elementwise.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

struct Case {
  ActivationKind kind;
  reference::Activation reference;
};

/// x sigmoid(z): the exponential's relative error counts only where the sigmoid is far from 0 and 1, so that it, the
/// division and the few products stay within 8 roundings of x.
constexpr double kSteps = 8;
constexpr double kSize = 8;  // of x

}  // namespace

TEST_CASE("relu and gelu, with and without bias, forward and backward") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : test_shapes()) {
      const std::int64_t rows = size.rows, cols = size.cols;
      CAPTURE(rows);
      CAPTURE(cols);
      const Values x = random_in(storage, rows * cols, 1, kSize), bias = random_in(storage, cols, 2, kSize);
      const Values dy = random_in(storage, rows * cols, 3);
      const Tensor device_x(x, storage), device_bias(bias, storage), device_dy(dy, storage);
      const Tensor y(rows * cols, storage);
      for (const Case& c : {Case{ActivationKind::relu, reference::Activation::relu},
                            Case{ActivationKind::gelu, reference::Activation::gelu}}) {
        for (const bool biased : {true, false}) {
          const void* b = biased ? device_bias.pointer() : nullptr;
          const View used = biased ? View(bias) : View();
          require_success(
              activation_forward({c.kind, device_x.pointer(), b, y.pointer(), rows, cols, storage}, nullptr));
          check_close(y.values(), reference::activate(c.reference, x, used), storage, kSteps, kSize);
          require_success(activation_backward(
              {c.kind, device_x.pointer(), b, device_dy.pointer(), y.pointer(), rows, cols, storage}, nullptr));
          check_close(y.values(), reference::activate_backward(c.reference, x, dy, used), storage, kSteps, kSize);
        }
      }
    }
  }
}

TEST_CASE("SwiGLU and GeGLU, forward and backward") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : test_shapes()) {
      const std::int64_t rows = size.rows, cols = size.cols;
      CAPTURE(rows);
      CAPTURE(cols);
      const Values gate_up = random_in(storage, rows * cols * 2, 1, kSize), dy = random_in(storage, rows * cols, 3);
      const Tensor device_gate_up(gate_up, storage), device_dy(dy, storage);
      const Tensor y(rows * cols, storage), dgate_up(rows * cols * 2, storage);
      for (const Case& c : {Case{ActivationKind::silu, reference::Activation::silu},
                            Case{ActivationKind::gelu, reference::Activation::gelu}}) {
        require_success(gated_forward({c.kind, device_gate_up.pointer(), y.pointer(), rows, cols, storage}, nullptr));
        check_close(y.values(), reference::gated(c.reference, cols, gate_up), storage, kSteps, kSize * kSize);
        require_success(gated_backward(
            {c.kind, device_gate_up.pointer(), device_dy.pointer(), dgate_up.pointer(), rows, cols, storage}, nullptr));
        check_close(dgate_up.values(), reference::gated_backward(c.reference, cols, gate_up, dy), storage, kSteps,
                    kSize * kSize);
      }
    }
  }
}

TEST_CASE("Activations do not overflow where the exponential does") {
  const Values x = {-1000, 1000, -60000, 60000, -88, 88, -104, 104};
  const Tensor device_x(x, Storage::fp32), y(8, Storage::fp32);
  const Activation gelu{ActivationKind::gelu, device_x.pointer(), nullptr, y.pointer(), 1, 8, Storage::fp32};
  require_success(activation_forward(gelu, nullptr));
  check_close(y.values(), {0, 1000, 0, 60000, 0, 88, 0, 104}, Storage::fp32, 1, 1);
}

TEST_CASE("bias, dropout and residual: the reference's mask and sum; backward by mask and by drawing again") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : test_shapes()) {
      const std::int64_t rows = size.rows, cols = size.cols;
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1} << 33, std::int64_t{5}}) {
        const std::int64_t count = rows * cols;
        const reference::Dropout how{.probability = 0.1F, .stream = {.seed = 42, .offset = 7}, .first_element = first};
        const Values x = random_in(storage, count, 1), bias = random_in(storage, cols, 2);
        const Values residual = random_in(storage, count, 3);
        const Tensor device_x(x, storage), device_bias(bias, storage), device_residual(residual, storage);
        const Tensor y(count, storage);
        const DeviceArray<std::uint8_t> mask(std::vector<std::uint8_t>(static_cast<std::size_t>(count), 9));
        Dropout arguments{.x = device_x.pointer(),
                          .bias = device_bias.pointer(),
                          .residual = device_residual.pointer(),
                          .y = y.pointer(),
                          .mask = mask.pointer(),
                          .rows = rows,
                          .cols = cols,
                          .storage = storage,
                          .probability = 0.1F,
                          .stream = how.stream,
                          .first_element = first};
        require_success(dropout_forward(arguments, nullptr));
        check_close(y.values(), reference::bias_dropout_add(how, x, bias, residual), storage, 6, 4);
        const std::vector<std::uint8_t> drawn = mask.values();
        for (std::int64_t i = 0; i < count; ++i) {
          REQUIRE(drawn[static_cast<std::size_t>(i)] == (reference::kept(how, first + i) ? 1 : 0));
        }
        for (const std::uint8_t* saved : {mask.pointer(), static_cast<std::uint8_t*>(nullptr)}) {
          require_success(dropout_backward(
              {device_x.pointer(), saved, y.pointer(), count, storage, 0.1F, how.stream, first}, nullptr));
          check_close(y.values(), reference::drop(how, x), storage, 4, 2);
        }
        arguments.bias = arguments.residual = nullptr;
        arguments.mask = nullptr;
        require_success(dropout_forward(arguments, nullptr));
        check_close(y.values(), reference::drop(how, x), storage, 4, 2);
      }
    }
  }
  CHECK(dropout_forward({.rows = 1, .cols = 1, .probability = 1, .stream = {}}, nullptr) == cudaErrorInvalidValue);
}

TEST_CASE("Column sums, set or added") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : test_shapes()) {
      const std::int64_t rows = size.rows, cols = size.cols;
      const Values x = random_in(storage, rows * cols, 1);
      const Tensor device_x(x, storage), sums(Values(static_cast<std::size_t>(cols), 2.0), Storage::fp32);
      const Device workspace(column_sums_workspace(rows, cols));
      for (const bool accumulate : {true, false}) {
        require_success(column_sums(
            {device_x.pointer(), sums.floats(), workspace.as<float>(), rows, cols, accumulate, storage}, nullptr));
        Values want = reference::column_sums(cols, x);
        if (accumulate) {
          for (double& sum : want) sum += 2;
        }
        // Any order of `rows` sums of numbers below 1 errs by rows roundings of at most `rows`.
        check_close(sums.values(), want, Storage::fp32, static_cast<double>(rows), 2 + static_cast<double>(rows));
      }
    }
  }
}
