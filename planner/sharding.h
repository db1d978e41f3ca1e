/// How many parameters of the model a GPU holds, before data-parallel sharding.
#pragma once

#include <cstdint>

#include "planner/model.h"

namespace foretrain {

/// Parameters of one tensor rank. Column- and row-parallel weights and column-parallel biases are divided by `tensor`;
/// norms and row-parallel biases are on every rank; the vocabulary is padded to 128 x tensor.
struct RankParameters {
  std::int64_t layer = 0;       ///< one layer
  std::int64_t embedding = 0;   ///< word and position tables
  std::int64_t head = 0;        ///< final norm and LM head (its own copy when tied and on another stage)
  std::int64_t final_norm = 0;  ///< of `head`
};
RankParameters rank_parameters(const ModelSpec& model, std::int64_t tensor);

}  // namespace foretrain
