#include "tests/validate/gpu/device_values.h"
#include "validate/gpu/kernels/embedding.h"
#include "validate/gpu/kernels/rope.h"
#include "validate/reference/embedding.h"
#include "validate/reference/rope.h"

using namespace foretrain;
using namespace foretrain::gpu;

TEST_CASE("RoPE forward and backward, in place, in part of a wider row, samples first or positions first") {
  struct Case {
    std::int64_t tokens, heads, head_dim, positions, tokens_per_position, extra;
  };
  for (const Storage storage : kStorages) {
    for (const Case& c : {Case{1, 1, 2, 1, 1, 0}, Case{12, 3, 16, 6, 1, 0}, Case{12, 3, 16, 6, 2, 0},
                          Case{7, 2, 10, 7, 1, 4}, Case{40, 4, 64, 20, 1, 128}, Case{6, 2, 128, 3, 2, 3}}) {
      const std::int64_t half = c.head_dim / 2, stride = c.heads * c.head_dim + c.extra;
      const reference::RopeShape shape{.tokens = c.tokens, .heads = c.heads, .head_dim = c.head_dim, .base = 10000};
      const Device table(c.positions * half * 2 * 4);
      require_success(rope_table({table.as<float>(), c.positions, c.head_dim, 10000}, nullptr));
      std::vector<std::int64_t> positions;
      for (std::int64_t t = 0; t < c.tokens; ++t) positions.push_back(t / c.tokens_per_position % c.positions);
      const Values whole = random_in(storage, c.tokens * stride, 1);
      Values x;
      for (std::size_t i = 0; i < whole.size(); ++i) {
        if (static_cast<std::int64_t>(i) % stride < c.heads * c.head_dim) x.push_back(whole[i]);
      }
      for (const bool backward : {false, true}) {
        const Tensor device_x(whole, storage);
        require_success(rope({device_x.pointer(), device_x.pointer(), table.as<float>(), c.tokens, c.heads, c.head_dim,
                              c.positions, c.tokens_per_position, stride, backward, storage},
                             nullptr));
        Values got;
        const Values after = device_x.values();
        for (std::size_t i = 0; i < after.size(); ++i) {
          if (static_cast<std::int64_t>(i) % stride < c.heads * c.head_dim) {
            got.push_back(after[i]);
          } else {
            REQUIRE(after[i] == whole[i]);
          }
        }
        const Values want =
            backward ? reference::rope_backward(shape, positions, x) : reference::rope(shape, positions, x);
        check_close(got, want, storage, 4, 2);
      }
    }
  }
}

TEST_CASE("The table of angles keeps its accuracy at position 131,072") {
  const std::int64_t positions = 131'073, head_dim = 4;
  const Device table(positions * head_dim * 4);
  if (!kOnGpu) return;  // half a million double sines on the emulator say nothing about the GPU's
  require_success(rope_table({table.as<float>(), positions, head_dim, 500000}, nullptr));
  std::vector<float> angles(static_cast<std::size_t>(positions * head_dim));
  require_success(cudaDeviceSynchronize());
  require_success(cudaMemcpy(angles.data(), table.as<float>(), angles.size() * 4, cudaMemcpyDeviceToHost));
  const reference::RopeShape shape{.tokens = 1, .heads = 1, .head_dim = head_dim, .base = 500000};
  for (std::int64_t pair = 0; pair < 2; ++pair) {
    const double angle = reference::rope_angle(shape, positions - 1, pair);
    const auto at = static_cast<std::size_t>((positions - 1) * 4 + pair * 2);
    // exp2 in double errs by 1e-16 of an angle of 1e5: 1e-11, far below a float's 6e-8.
    CHECK(std::fabs(angles[at] - std::cos(angle)) < 1e-7);
    CHECK(std::fabs(angles[at + 1] - std::sin(angle)) < 1e-7);
  }
}

TEST_CASE("Embedding forward and backward, whole and one rank's share") {
  for (const Storage storage : kStorages) {
    for (const Shape& size : test_shapes()) {
      const std::int64_t count = size.rows, hidden = size.cols;
      const std::int64_t vocabulary = 11, first = 4;
      const std::vector<std::int64_t> tokens = reference::random_indices(count, 20, 7);
      const reference::EmbeddingShape shape{.vocabulary = vocabulary, .hidden = hidden, .first_token = first};
      const Values table = random_in(storage, vocabulary * hidden, 1), dy = random_in(storage, count * hidden, 2);
      const DeviceArray<std::int64_t> device_tokens(tokens);
      const Tensor device_table(table, storage), out(count * hidden, storage), device_dy(dy, storage);
      require_success(embedding_forward(
          {device_tokens.pointer(), device_table.pointer(), out.pointer(), count, vocabulary, hidden, first, storage},
          nullptr));
      CHECK(out.values() == reference::embed(shape, tokens, table));
      const Tensor gradient(Values(table.size(), 0.0), Storage::fp32);
      require_success(embedding_backward(
          {device_tokens.pointer(), device_dy.pointer(), gradient.floats(), count, vocabulary, hidden, first, storage},
          nullptr));
      check_close(gradient.values(), reference::embed_backward(shape, tokens, dy), Storage::fp32,
                  static_cast<double>(count), static_cast<double>(count));
    }
  }
}
