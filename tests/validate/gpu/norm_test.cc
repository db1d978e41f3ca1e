#include "validate/gpu/kernels/norm.h"

#include "tests/validate/gpu/device_values.h"
#include "validate/reference/norm.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

struct Case {
  NormKind kind;
  reference::Norm reference;
};
constexpr Case kCases[] = {{NormKind::rms, reference::Norm::rms}, {NormKind::layer, reference::Norm::layer}};

/// Also many rows a block, and rows of every number of vectors a thread that the backward kernel has.
std::vector<Shape> norm_shapes(Storage storage) {
  std::vector<Shape> shapes = test_shapes();
  shapes.push_back({130, 32});
  if (kOnGpu || storage == Storage::fp32) shapes.push_back({7, 8200});
  if (kOnGpu) shapes.insert(shapes.end(), {{40, 16384}, {40, storage == Storage::fp32 ? 12289 : 25600}});
  return shapes;
}

}  // namespace

TEST_CASE("RMSNorm and LayerNorm forward, with their statistics") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : norm_shapes(storage)) {
      const std::int64_t rows = size.rows, cols = size.cols;
      if (cols < 2) continue;  // LayerNorm of one number is 0 / sqrt(epsilon): any error is enlarged 300 times
      for (const Case& c : kCases) {
        CAPTURE(rows);
        CAPTURE(cols);
        // A mean of 3 with deviations of 1 shows whether the variance is taken about the mean.
        Values x = random_in(storage, rows * cols, 1);
        for (double& v : x) v = reference::rounded(v + 3, format_of(storage));
        const Values weight = random_in(storage, cols, 2), bias = random_in(storage, cols, 3);
        const Tensor device_x(x, storage), device_weight(weight, storage), device_bias(bias, storage);
        const Tensor y(rows * cols, storage), mean(rows, Storage::fp32), inverse(rows, Storage::fp32);
        require_success(norm_forward({c.kind, device_x.pointer(), device_weight.pointer(),
                                      c.kind == NormKind::layer ? device_bias.pointer() : nullptr, y.pointer(),
                                      mean.floats(), inverse.floats(), rows, cols, 1e-5F, storage},
                                     nullptr));
        const reference::NormShape shape{.norm = c.reference, .rows = rows, .cols = cols, .epsilon = 1e-5F};
        const reference::NormResult want =
            reference::norm(shape, x, weight, c.kind == NormKind::layer ? View(bias) : View());
        // Sums over a row err by its length in the worst order; a row's deviation is at least 1/40 of its mean here.
        const double steps = 40 + static_cast<double>(cols) / 32;
        double largest = 1;
        for (const double v : want.inverse_deviation) largest = std::fmax(largest, v);
        check_close(y.values(), want.y, storage, steps, 4 * largest);
        check_close(inverse.values(), want.inverse_deviation, Storage::fp32, steps, 4 * largest * largest);
        if (c.kind == NormKind::layer) check_close(mean.values(), want.mean, Storage::fp32, steps, 4);
      }
    }
  }
}

TEST_CASE("Norms write 8 bits where a product in 8 bits follows") {
  const std::int64_t rows = 37, cols = 512;
  for (const Storage storage : {Storage::bf16, Storage::fp16}) {
    const Values x = random_in(storage, rows * cols, 1), weight = random_in(storage, cols, 2);
    const Tensor device_x(x, storage), device_weight(weight, storage), y(rows * cols, Storage::e4m3);
    Norm norm{.x = device_x.pointer(), .weight = device_weight.pointer(), .y = y.pointer()};
    norm.rows = rows;
    norm.cols = cols;
    norm.storage = storage;
    norm.narrow_y = true;
    require_success(norm_forward(norm, nullptr));
    const reference::NormShape shape{.norm = reference::Norm::rms, .rows = rows, .cols = cols, .epsilon = 1e-5F};
    check_close(y.values(), reference::norm(shape, x, weight, View()).y, Storage::e4m3, 56, 8);
  }
}

TEST_CASE("RMSNorm and LayerNorm backward: dx, and weight gradients set or added") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : norm_shapes(storage)) {
      const std::int64_t rows = size.rows, cols = size.cols;
      if (cols < 2) continue;
      for (const Case& c : kCases) {
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(static_cast<int>(storage));
        const Values x = random_in(storage, rows * cols, 1), dy = random_in(storage, rows * cols, 4);
        const Values weight = random_in(storage, cols, 2);
        const reference::NormShape shape{.norm = c.reference, .rows = rows, .cols = cols, .epsilon = 1e-3};
        const reference::NormResult forward = reference::norm(shape, x, weight);
        const reference::NormGradient want = reference::norm_backward(shape, x, weight, forward, dy);
        const Tensor device_x(x, storage), device_weight(weight, storage), device_dy(dy, storage);
        const Tensor mean(forward.mean, Storage::fp32), inverse(forward.inverse_deviation, Storage::fp32);
        const Tensor dx(rows * cols, storage);
        const Values ones(static_cast<std::size_t>(cols), 1.0);
        const Tensor dweight(ones, Storage::fp32), dbias(ones, Storage::fp32);
        NormBackward arguments{.kind = c.kind,
                               .x = device_x.pointer(),
                               .weight = device_weight.pointer(),
                               .mean = mean.floats(),
                               .inverse_deviation = inverse.floats(),
                               .dy = device_dy.pointer(),
                               .dx = dx.pointer(),
                               .dweight = dweight.floats(),
                               .dbias = c.kind == NormKind::layer ? dbias.floats() : nullptr,
                               .accumulate = true,
                               .rows = rows,
                               .cols = cols,
                               .storage = storage};
        std::int64_t bytes = 0;
        require_success(norm_backward_workspace(arguments, &bytes));
        const Device workspace(bytes);
        arguments.workspace = workspace.as<float>();
        require_success(norm_backward(arguments, nullptr));

        double largest = 1;
        for (const double v : forward.inverse_deviation) largest = std::fmax(largest, v);
        const double steps = 40 + static_cast<double>(cols) / 32;
        check_close(dx.values(), want.dx, storage, steps, 4 * largest * largest);
        Values added = want.dweight, added_bias = want.dbias;
        for (double& v : added) v += 1;
        for (double& v : added_bias) v += 1;
        const double sum_size = 1 + static_cast<double>(rows) * 2 * largest;
        check_close(dweight.values(), added, Storage::fp32, 8 + static_cast<double>(rows), sum_size);
        if (c.kind == NormKind::layer) {
          check_close(dbias.values(), added_bias, Storage::fp32, 8 + static_cast<double>(rows), sum_size);
        }
        arguments.accumulate = false;
        require_success(norm_backward(arguments, nullptr));
        check_close(dweight.values(), want.dweight, Storage::fp32, 8 + static_cast<double>(rows), sum_size);
      }
    }
  }
}
