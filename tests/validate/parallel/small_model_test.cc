#include "validate/parallel/small_model.h"

#include <doctest/doctest.h>

using namespace foretrain::parallel;

namespace {

std::int64_t parameter_count(const SmallModel& model) {
  std::int64_t count = 0;
  for (const auto& entry : initial_weights(model, 1)) count += static_cast<std::int64_t>(entry.second.size());
  return count;
}

}  // namespace

TEST_CASE("the models have the parameters of their families") {
  // GPT, hidden 16, ffn 32, vocab 24, sequence 8. Layer: 4 (16 * 16 + 16) + (16 * 32 + 32) + (32 * 16 + 16) + 2 norms
  // * 32 = 1088 + 544 + 528 + 64 = 2224. Two layers 4448, words 384, positions 128, final norm 32, head 384.
  CHECK(parameter_count({}) == 4448 + 384 + 128 + 32 + 384);
  CHECK(parameter_count({.tied_embeddings = true}) == 4448 + 384 + 128 + 32);
  // Llama with 2 kv heads of 4: 2 * 256 + 2 * 8 * 16 + 3 * 512 + 2 * 16 = 2336 a layer; words, head, final norm 16.
  CHECK(parameter_count({.family = Family::llama, .kv_heads = 2}) == 2 * 2336 + 2 * 384 + 16);
}

TEST_CASE("a piece is a run of rows or of columns") {
  const std::vector<int> whole = {0, 1, 2, 3, 10, 11, 12, 13};  // [2, 4]
  const ParameterSpec rows{.name = "weight", .rows = 2, .columns = 4, .cut = Cut::rows};
  CHECK(piece_of<int>(rows, whole, 1, 2) == std::vector<int>{10, 11, 12, 13});
  const ParameterSpec columns{.name = "weight", .rows = 2, .columns = 4, .cut = Cut::columns};
  CHECK(piece_of<int>(columns, whole, 1, 2) == std::vector<int>{2, 3, 12, 13});
  const ParameterSpec none{.name = "weight", .rows = 2, .columns = 4};
  CHECK(piece_of<int>(none, whole, 0, 1) == whole);
}

TEST_CASE("tokens lie in the vocabulary and differ between steps and sequences") {
  const SmallModel model;
  const std::vector<int> ids = token_ids(model, 0, 0);
  CHECK(ids.size() == 9);
  for (const int id : ids) {
    CHECK(id >= 0);
    CHECK(id < model.vocab);
  }
  CHECK(ids != token_ids(model, 1, 0));
  CHECK(ids != token_ids(model, 0, 1));
  CHECK(ids == token_ids(model, 0, 0));
}
