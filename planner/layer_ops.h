/// The operations of a transformer's blocks on one GPU: kernels and collectives, in the order in which they are
/// launched.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "hwmodels/collective_time.h"
#include "hwmodels/kernel.h"
#include "planner/framework.h"
#include "planner/job.h"
#include "planner/model.h"
#include "planner/plan.h"

namespace foretrain {

/// Which group of ranks a collective runs in.
enum class GroupKind : std::uint8_t { tensor, context, data, embedding };
struct CollectiveCall {
  CollectiveOp op = CollectiveOp::all_reduce;
  Bytes size;  ///< as CollectiveTime counts it
  GroupKind group = GroupKind::tensor;
};

/// Where the time of an operation is booked.
enum class TimeLabel : std::uint8_t { compute, recompute, tensor_exposed, context_exposed };
inline constexpr std::array<std::string_view, 4> kTimeLabelNames = {"compute", "recompute", "tensor_exposed",
                                                                    "context_exposed"};

/// Waits for what runs beside the compute; takes no time of its own.
struct Join {};

struct Op {
  std::variant<Kernel, CollectiveCall, Join> work;
  TimeLabel label = TimeLabel::compute;
  bool beside = false;  ///< a collective that runs beside the compute that follows ...
  bool joins = false;   ///< ... until an operation that waits for all of them
};

/// All that decides a block's operations. Two equal shapes have equal blocks.
struct BlockShape {
  std::int64_t tensor = 1, context = 1, micro_batch = 1, sequence_length = 1;
  bool sequence_parallel = false;
  bool tensor_overlap = false;  ///< tensor-parallel collectives pipelined with their GEMMs
  ContextKind context_kind = ContextKind::ring;
  Recompute recompute = Recompute::none;
  friend bool operator==(const BlockShape&, const BlockShape&) = default;
};

enum class BlockKind : std::uint8_t {
  layer_forward,
  layer_backward,
  embedding_forward,
  embedding_backward,
  head_forward,
  head_backward
};

/// The operations of one block of `model`. A layer's backward pass includes what `shape.recompute` repeats.
/// Shapes: tokens = micro_batch x sequence_length / context; Megatron's column- and row-parallel linear layers,
/// 2 all-reduces a layer each way, or all-gather + reduce-scatter with sequence parallelism.
/// Source: Shoeybi et al. 2019 (arXiv 1909.08053), Korthikanti et al. 2022 (arXiv 2205.05198).
std::vector<Op> block_ops(BlockKind kind, const ModelSpec& model, const BlockShape& shape, const Software& software,
                          Precision precision, const FrameworkSpec& framework);

/// Vocabulary rows on each tensor rank: padded to a multiple of 128 x tensor (Megatron's
/// --make-vocab-size-divisible-by).
constexpr std::int64_t vocabulary_per_rank(std::int64_t vocab, std::int64_t tensor) {
  return round_up(vocab, 128 * tensor) / tensor;
}

}  // namespace foretrain
