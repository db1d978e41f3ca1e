#include "validate/gpu/kernels/elementwise.h"

#include "tests/validate/gpu/device_values.h"
#include "validate/reference/elementwise.h"

using namespace foretrain::gpu;
namespace reference = foretrain::reference;

namespace {

/// Counts with every remainder of a vector, one tile and its neighbours, and several tiles.
const std::vector<std::int64_t> kCounts = {1, 7, 8, 9, 255, 4096, 8191, 8193, 20011};

}  // namespace

TEST_CASE("add, scale and cast: every count and format, aligned or not") {
  for (const Storage storage : kStorages) {
    for (const std::int64_t count : kCounts) {
      for (const std::int64_t shift : {0, 1}) {
        CAPTURE(static_cast<int>(storage));
        CAPTURE(count);
        const Values a = random_in(storage, count, 1), b = random_in(storage, count, 2);
        const Tensor device_a(a, storage, shift), device_b(b, storage), y(count, storage, shift);
        require_success(add({device_a.pointer(), device_b.pointer(), y.pointer(), count, storage}, nullptr));
        check_close(y.values(), reference::add(a, b), storage, 1, 2);

        const Tensor factor(Values{0.5}, Storage::fp32);
        require_success(scale({device_a.pointer(), y.pointer(), count, storage, 3, factor.floats()}, nullptr));
        check_close(y.values(), reference::scale(a, 1.5), storage, 2, 1.5);

        for (const Storage to : {Storage::fp32, Storage::fp16, Storage::bf16, Storage::e4m3}) {
          const Tensor z(count, to, shift);
          require_success(cast({device_a.pointer(), z.pointer(), count, storage, to, 4}, nullptr));
          CHECK(z.values() == reference::cast(a, format_of(to), 4));  // 4 x is exact: one rounding, the same
        }
      }
    }
  }
}

TEST_CASE("A cast to 8 bits saturates, one to 16 overflows to infinity, and NaN stays") {
  const Values x = {1000, -1e9, 70000, 448, std::nan("")};
  const Tensor from(x, Storage::fp32), small(5, Storage::e4m3), half(5, Storage::fp16);
  require_success(cast({from.pointer(), small.pointer(), 5, Storage::fp32, Storage::e4m3, 1}, nullptr));
  require_success(cast({from.pointer(), half.pointer(), 5, Storage::fp32, Storage::fp16, 1}, nullptr));
  const Values bytes = small.values(), halves = half.values();
  CHECK(bytes[0] == 448);
  CHECK(bytes[1] == -448);
  CHECK(bytes[3] == 448);
  CHECK(std::isnan(bytes[4]));
  CHECK(halves[0] == 1000);
  CHECK(std::isinf(halves[2]));
  CHECK(std::isnan(halves[4]));
}

TEST_CASE("copy and zero touch their bytes and no other") {
  for (const std::int64_t bytes : {1, 15, 16, 16384, 16385, 50001}) {
    for (const std::int64_t shift : {0, 3}) {
      std::vector<std::uint8_t> data(static_cast<std::size_t>(bytes + shift + 8));
      for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(1 + i % 250);
      const DeviceArray<std::uint8_t> from(data), to(std::vector<std::uint8_t>(data.size(), 255));
      require_success(copy({from.pointer() + shift, to.pointer() + shift, bytes}, nullptr));
      std::vector<std::uint8_t> copied = to.values();
      for (std::size_t i = 0; i < data.size(); ++i) {
        const bool inside = static_cast<std::int64_t>(i) >= shift && static_cast<std::int64_t>(i) < shift + bytes;
        REQUIRE(copied[i] == (inside ? data[i] : 255));
      }
      require_success(zero({to.pointer() + shift, bytes}, nullptr));
      copied = to.values();
      for (std::size_t i = 0; i < data.size(); ++i) {
        const bool inside = static_cast<std::int64_t>(i) >= shift && static_cast<std::int64_t>(i) < shift + bytes;
        REQUIRE(copied[i] == (inside ? 0 : 255));
      }
    }
  }
}

TEST_CASE("transpose: tiles, edges and batches") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : {Shape{1, 1}, {64, 64}, {65, 63}, {8, 200}, {130, 72}}) {
      const std::int64_t rows = size.rows, cols = size.cols;
      const std::int64_t batch = 2, count = batch * rows * cols;
      const Values x = random_in(storage, count, 3);
      const Tensor from(x, storage), to(count, storage);
      require_success(transpose({from.pointer(), to.pointer(), batch, rows, cols, storage}, nullptr));
      const Values y = to.values();
      for (std::int64_t b = 0; b < batch; ++b) {
        const auto one = static_cast<std::size_t>(rows * cols), first = static_cast<std::size_t>(b) * one;
        const Values want = reference::transpose(rows, cols, View(x).subspan(first, one));
        REQUIRE(Values(y.begin() + static_cast<std::ptrdiff_t>(first),
                       y.begin() + static_cast<std::ptrdiff_t>(first + one)) == want);
      }
    }
  }
}

TEST_CASE("What a launcher does not support it refuses, and nothing to do is no error") {
  CHECK(add({nullptr, nullptr, nullptr, 0, Storage::bf16}, nullptr) == cudaSuccess);
  CHECK(add({nullptr, nullptr, nullptr, -1, Storage::bf16}, nullptr) == cudaErrorInvalidValue);
  CHECK(add({nullptr, nullptr, nullptr, 8, Storage::e4m3}, nullptr) == cudaErrorInvalidValue);
  CHECK(cast({nullptr, nullptr, 8, Storage::e4m3, Storage::bf16, 1}, nullptr) == cudaErrorInvalidValue);
  CHECK(transpose({nullptr, nullptr, 70000, 8, 8, Storage::bf16}, nullptr) == cudaErrorInvalidValue);
}
